import XenABI

/// The arguments of a hypercall with their names, as a trace shows them; what structures hold is read from the guest's memory.
///
/// Of lists the first element is shown.
extension VCPU {
  func traceFields(of number: UInt32, _ a: HypercallArguments) -> [TraceRecord.Field] {
    guard let which = Hypercall(rawValue: number) else { return Self.raw(a) }
    var list = FieldList(vcpu: self)
    switch which {
    case .consoleIO:
      list.op(a[0], ["write", "read"])
      list.count("count", a[1])
      list.number("buffer", a[2])
    case .xenVersion:
      list.op(a[0], ["version", "extraversion", "compile_info", "capabilities", "changeset", "platform_parameters", "get_features", "pagesize", "guest_handle", "commandline", "build_id"])
    case .schedOp: list.schedOp(a)
    case .eventChannelOp: list.eventChannelOp(a)
    case .grantTableOp: list.grantTableOp(a)
    case .memoryOp: list.memoryOp(a)
    case .vcpuOp:
      list.op(a[0], ["initialise", "up", "down", "is_up", "get_runstate_info", "register_runstate_memory_area", "set_periodic_timer", "stop_periodic_timer", "set_singleshot_timer", "stop_singleshot_timer", "register_vcpu_info", "send_nmi", "get_physid", "register_vcpu_time_memory_area"])
      list.count("vcpu", a[1])
      switch a[0] {
      case VCPUOp.setPeriodicTimer: list.count("period", of: UInt64.self, at: a[2])
      case VCPUOp.setSingleshotTimer: list.count("timeout", of: UInt64.self, at: a[2])
      case VCPUOp.registerVCPUInfo:
        list.number("frame", of: UInt64.self, at: a[2])
        list.number("offset", of: UInt32.self, at: a[2] &+ 8)
      default: break
      }
    case .mmuUpdate:
      list.count("count", a[1])
      if let address = list.peek(UInt64.self, a[0]) {
        list.name("update", address & 3, ["pt_update", "machphys_update", "pt_update_preserve_ad", "pt_update_no_translate"])
        list.number("address", address & ~3)
      }
      list.number("value", of: UInt64.self, at: a[0] &+ 8)
    case .mmuextOp:
      list.count("count", a[1])
      if let op = list.peek(UInt32.self, a[0]) {
        list.op(UInt64(op), ["pin_l1_table", "pin_l2_table", "pin_l3_table", "pin_l4_table", "unpin_table", "new_baseptr", "tlb_flush_local", "invlpg_local", "tlb_flush_multi", "invlpg_multi", "tlb_flush_all", "invlpg_all", "flush_cache", "set_ldt", "", "new_user_baseptr", "clear_page", "copy_page", "flush_cache_global", "mark_super", "unmark_super"])
        list.word("argument", at: a[0] &+ wordBytes)
      }
    case .updateVAMapping:
      list.number("address", a[0])
      list.number("entry", isCompatCall ? a[1] | a[2] << 32 : a[1])
      list.number("flags", isCompatCall ? a[3] : a[2])
    case .multicall:
      list.count("count", a[1])
    case .stackSwitch:
      list.number("ss", a[0])
      list.number("sp", a[1])
    case .setSegmentBase:
      list.op(a[0], ["fs", "gs_user", "gs_kernel", "gs_user_selector"])
      list.number("base", a[1])
    case .setTimerOp: list.count("timeout", isCompatCall ? a[0] | a[1] << 32 : a[0])
    case .setGDT:
      list.count("entries", a[1])
      list.word("frame", at: a[0])
    case .updateDescriptor:
      list.number("address", isCompatCall ? a[0] | a[1] << 32 : a[0])
      list.number("descriptor", isCompatCall ? a[2] | a[3] << 32 : a[1])
    case .fpuTaskswitch: list.count("set", a[0])
    case .setDebugreg:
      list.count("register", a[0])
      list.number("value", a[1])
    case .getDebugreg: list.count("register", a[0])
    case .vmAssist:
      list.op(a[0], ["enable", "disable"])
      list.name("type", a[1], ["4gb_segments", "4gb_segments_notify", "writable_pagetables", "pae_extended_cr3", "architectural_iopl", "runstate_update_flag"])
    case .physdevOp:
      list.op(a[0], ["", "", "", "", "", "irq_status_query", "set_iopl", "set_iobitmap", "apic_read", "apic_write", "alloc_irq_vector", "free_irq_vector", "eoi", "map_pirq", "unmap_pirq", "manage_pci_add", "manage_pci_remove", "pirq_eoi_gmfn_v1", "", "restore_msi", "manage_pci_add_ext", "setup_gsi", "", "get_free_pirq", "pci_mmcfg_reserved", "pci_device_add", "pci_device_remove", "restore_msi_ext", "pirq_eoi_gmfn_v2", "dbgp_op", "prepare_msix", "release_msix"])
    case .setTrapTable:
      list.number("address", a[0])
      if a[0] != 0 {
        list.number("vector", of: UInt8.self, at: a[0])
        list.word("handler", at: a[0] &+ (isCompatCall ? 4 : 8))
      }
    case .xenpmuOp:
      list.op(a[0], ["mode_get", "mode_set", "feature_get", "feature_set", "init", "finish", "lvtpc_set", "flush"])
      list.number("argument", a[1])
    case .callbackOp:
      list.op(a[0], ["register", "unregister"])
      if let type = list.peek(UInt16.self, a[1]) { list.name("type", UInt64(type), ["event", "failsafe", "syscall", "sysenter_deprecated", "nmi", "sysenter", "", "syscall32"]) }
      list.word("address", at: a[1] &+ wordBytes)
    case .hvmOp:
      list.op(a[0], ["set_param", "get_param", "set_pci_intx_level", "set_isa_irq_level", "set_pci_link_route", "flush_tlbs", "", "", "", "pagetable_dying", "get_time", "xentrace", "set_mem_access", "get_mem_access", "", "get_mem_type", "", "", "", "", "", "", "", "set_evtchn_upcall_vector"])
      if a[0] == HVMOp.setUpcallVector {
        list.count("vcpu", of: UInt32.self, at: a[1])
        list.number("vector", of: UInt8.self, at: a[1] &+ 4)
      }
      if a[0] <= HVMOp.getParameter {
        list.count("parameter", of: UInt32.self, at: a[1] &+ 4)
        list.number("value", of: UInt64.self, at: a[1] &+ 8)
      }
    default: return Self.raw(a)
    }
    return list.fields
  }

  private static func raw(_ a: HypercallArguments) -> [TraceRecord.Field] { (0..<6).map { TraceRecord.Field("a\($0)", .number(a[$0])) } }
}

/// Fields as they are found.
private struct FieldList {
  let vcpu: VCPU
  var fields: [TraceRecord.Field] = []

  /// A value in the guest's memory, or nil where there is none.
  func peek<T: FixedWidthInteger>(_: T.Type, _ address: UInt64) -> T? {
    do throws(XenError) { return try vcpu.load(address, as: T.self) } catch { return nil }
  }

  mutating func number(_ name: String, _ value: UInt64) { fields.append(.init(name, .number(value))) }
  mutating func count(_ name: String, _ value: UInt64) { fields.append(.init(name, .count(value))) }
  mutating func number<T: FixedWidthInteger>(_ name: String, of type: T.Type, at address: UInt64) {
    if let v = peek(type, address) { number(name, UInt64(truncatingIfNeeded: v)) }
  }
  mutating func count<T: FixedWidthInteger>(_ name: String, of type: T.Type, at address: UInt64) {
    if let v = peek(type, address) { count(name, UInt64(truncatingIfNeeded: v)) }
  }
  mutating func word(_ name: String, at address: UInt64) {
    do throws(XenError) { number(name, try vcpu.loadWord(address)) } catch {}
  }

  /// A sub-operation by its name, or by its number where it has none.
  mutating func op(_ value: UInt64, _ names: [String]) { name("op", value, names) }

  mutating func name(_ field: String, _ value: UInt64, _ names: [String]) {
    if value < UInt64(names.count), !names[Int(value)].isEmpty {
      fields.append(.init(field, .text(names[Int(value)])))
    } else {
      count(field, value)
    }
  }

  private mutating func domain(_ name: String, at address: UInt64) {
    guard let id = peek(UInt16.self, address) else { return }
    fields.append(.init(name, .text(DomainID(id) == .own ? "self" : "\(DomainID(id))")))
  }

  mutating func schedOp(_ a: HypercallArguments) {
    op(a[0], ["yield", "block", "shutdown", "poll", "remote_shutdown", "shutdown_code", "watchdog", "pin_override"])
    switch a[0] {
    case SchedOp.shutdown:
      if let reason = peek(UInt32.self, a[1]) { fields.append(.init("reason", .text(ShutdownReason(rawValue: reason).map { "\($0)" } ?? "\(reason)"))) }
    case SchedOp.poll:
      count("ports", of: UInt32.self, at: a[1] &+ vcpu.wordBytes)
    default: break
    }
  }

  mutating func eventChannelOp(_ a: HypercallArguments) {
    op(a[0], ["bind_interdomain", "bind_virq", "bind_pirq", "close", "send", "status", "alloc_unbound", "bind_ipi", "bind_vcpu", "unmask", "reset", "init_control", "expand_array", "set_priority", "reset_cont"])
    guard let which = EventChannelOp(rawValue: a[0]) else { return }
    switch which {
    case .allocateUnbound:
      domain("owner", at: a[1])
      domain("remote", at: a[1] &+ 2)
      count("port", of: UInt32.self, at: a[1] &+ 4)
    case .bindInterdomain:
      domain("remote", at: a[1])
      count("remote_port", of: UInt32.self, at: a[1] &+ 4)
      count("port", of: UInt32.self, at: a[1] &+ 8)
    case .bindVIRQ:
      count("virq", of: UInt32.self, at: a[1])
      count("vcpu", of: UInt32.self, at: a[1] &+ 4)
      count("port", of: UInt32.self, at: a[1] &+ 8)
    case .bindIPI, .bindVCPU, .setPriority:
      count(which == .bindIPI ? "vcpu" : "port", of: UInt32.self, at: a[1])
      count(which == .bindIPI ? "port" : which == .bindVCPU ? "vcpu" : "priority", of: UInt32.self, at: a[1] &+ 4)
    case .close, .send, .unmask: count("port", of: UInt32.self, at: a[1])
    case .status:
      domain("domain", at: a[1])
      count("port", of: UInt32.self, at: a[1] &+ 4)
    case .initControl: number("frame", of: UInt64.self, at: a[1])
    case .expandArray: number("frame", of: UInt64.self, at: a[1])
    case .bindPIRQ, .reset, .resetContinue: break
    }
  }

  mutating func grantTableOp(_ a: HypercallArguments) {
    op(a[0] & 0xFFFF, ["map_grant_ref", "unmap_grant_ref", "setup_table", "dump_table", "transfer", "copy", "query_size", "unmap_and_replace", "set_version", "get_status_frames", "get_version", "swap_grant_ref", "cache_flush"])
    count("count", a[2])
    guard a[2] > 0, let which = GrantTableOp(rawValue: a[0] & 0xFFFF) else { return }
    switch which {
    case .mapGrantRef:
      number("address", of: UInt64.self, at: a[1])
      number("flags", of: UInt32.self, at: a[1] &+ 8)
      count("reference", of: UInt32.self, at: a[1] &+ 12)
      domain("domain", at: a[1] &+ 16)
      count("handle", of: UInt32.self, at: a[1] &+ 20)
    case .unmapGrantRef, .unmapAndReplace:
      number("address", of: UInt64.self, at: a[1])
      count("handle", of: UInt32.self, at: a[1] &+ 16)
    case .setupTable:
      domain("domain", at: a[1])
      count("frames", of: UInt32.self, at: a[1] &+ 4)
    case .setVersion: count("version", of: UInt32.self, at: a[1])
    default: break
    }
  }

  mutating func memoryOp(_ a: HypercallArguments) {
    op(a[0] & 0x3F, ["increase_reservation", "decrease_reservation", "maximum_ram_page", "current_reservation", "maximum_reservation", "machphys_mfn_list", "populate_physmap", "add_to_physmap", "", "memory_map", "machine_memory_map", "exchange", "machphys_mapping", "set_memory_map", "maximum_gpfn", "remove_from_physmap", "", "", "", "", "", "", "", "add_to_physmap_batch"])
    switch a[0] & 0x3F {
    case MemoryOp.increaseReservation, MemoryOp.decreaseReservation, MemoryOp.populatePhysmap:
      if a[0] >> 6 != 0 { count("done", a[0] >> 6) }
      word("extents", at: a[1] &+ vcpu.wordBytes)
      count("order", of: UInt32.self, at: a[1] &+ 2 &* vcpu.wordBytes)
    case MemoryOp.addToPhysmap:
      count("space", of: UInt32.self, at: a[1] &+ 4)
      word("index", at: a[1] &+ 8)
      word("frame", at: a[1] &+ 8 &+ vcpu.wordBytes)
    default: break
    }
  }
}
