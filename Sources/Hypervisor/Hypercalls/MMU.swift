import Processor
import XenABI

/// mmu_update, update_va_mapping, mmuext_op, and loading of page-table roots (xen/include/public/xen.h).
extension VCPU {
  /// The domain that an argument of a memory hypercall names. Only the control domain works on others.
  private func owner(_ id: UInt64) throws(XenError) -> Domain {
    let id = DomainID(UInt16(truncatingIfNeeded: id))
    if id == .own || id == domain.id { return domain }
    guard hypervisor.domains[id] != nil || id == .io || id == .xen else { throw .ESRCH }
    throw .EPERM
  }

  func mmuUpdate(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    // A high half of the domain argument names the owner of the page tables, plus one.
    let tables = a[3] >> 16 & 0xFFFF
    if tables != 0 { _ = try owner(tables - 1) }
    _ = try owner(a[3] & 0xFFFF)
    var done: UInt64 = 0
    let total = a[1] & 0x7FFF_FFFF
    var already: UInt64 = 0
    if a[1] & 0x8000_0000 != 0, a[2] != 0 { already = UInt64(try load(a[2], as: UInt32.self)) }
    func report() throws(XenError) {
      if a[2] != 0 { try store(a[2], UInt32(truncatingIfNeeded: already + done)) }
    }
    while done < total {
      if done == UInt64(Self.batch) || done > 0 && hasTakenLong {
        try report()
        return .again([a[0] &+ done * 16, (total - done) | 0x8000_0000, a[2], a[3], 0, 0])
      }
      charge(Self.entryCost)
      do throws(XenError) {
        let address = try load(a[0] &+ done * 16, as: UInt64.self), value = try load(a[0] &+ done * 16 &+ 8, as: UInt64.self)
        switch address & 7 {
        case MMUUpdate.normal, MMUUpdate.noTranslate: try domain.updateEntry(at: address & ~7, value, .normal, self)
        case MMUUpdate.preserveAccessedDirty: try domain.updateEntry(at: address & ~7, value, .preserveAccessedDirty, self)
        case MMUUpdate.machineToPhysical:
          let frame = MachineFrameNumber(address >> 12)
          try domain.get(frame)
          hypervisor.setPhysical(of: frame, to: value)
          frames.put(frame)
        default: throw .ENOSYS
        }
      } catch {
        try report()
        throw error
      }
      done += 1
    }
    try report()
    return .zero
  }

  func updateVAMapping(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    // A 32-bit guest passes the entry in two arguments.
    let value = domain.isCompat ? a[1] | a[2] << 32 : a[1]
    let flags = domain.isCompat ? a[3] : a[2]
    return try updateMapping(a[0], value, flags)
  }

  func updateVAMappingOtherdomain(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    let value = domain.isCompat ? a[1] | a[2] << 32 : a[1]
    _ = try owner(domain.isCompat ? a[4] : a[3])
    return try updateMapping(a[0], value, domain.isCompat ? a[3] : a[2])
  }

  private func updateMapping(_ linear: UInt64, _ value: UInt64, _ flags: UInt64) throws(XenError) -> HypercallOutcome {
    guard domain.isCompat ? linear >> 32 == 0 && linear < XenLayout.compatStart : XenLayout.isGuest(linear),
          let (table, index) = domain.findL1(linear, root: kernelRoot) else { throw .EINVAL }
    let p = frames[table]
    if p.pointee.typeCount == 0 || p.pointee.type != .l1 { throw .EINVAL }
    try domain.modify(table, index, value, level: 1, .normal, linear: linear)
    let mask = flags & ~UVMF.flushTypeMask & ~UVMF.all
    switch flags & UVMF.flushTypeMask {
    case UVMF.tlbFlush:
      for v in try flushTargets(mask, all: flags & UVMF.all != 0) { v.flushForGuest() }
    case UVMF.invlpg:
      for v in try flushTargets(mask, all: flags & UVMF.all != 0) { invalidate(linear, on: v) }
    default: break
    }
    return .zero
  }

  private func invalidate(_ linear: UInt64, on v: VCPU) {
    charge(Self.entryCost)
    v.cpu.invalidatePage(linear)
  }

  /// The processors a flush concerns: this one, all, or those of a bitmap in guest memory.
  private func flushTargets(_ bitmap: UInt64, all: Bool) throws(XenError) -> [VCPU] {
    if all { return domain.vcpus }
    return bitmap == 0 ? [self] : try members(of: bitmap)
  }

  /// Processors whose bits are set in the guest's bitmap at an address.
  private func members(of bitmap: UInt64) throws(XenError) -> [VCPU] {
    var result: [VCPU] = []
    var byte: UInt8 = 0
    for v in domain.vcpus {
      if v.index & 7 == 0 { byte = try load(bitmap &+ UInt64(v.index >> 3), as: UInt8.self) }
      if byte >> UInt8(v.index & 7) & 1 != 0 { result.append(v) }
    }
    return result
  }

  // MARK: mmuext_op

  func mmuextOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    _ = try owner(a[3])
    let size: UInt64 = domain.isCompat ? 12 : 24
    let total = a[1] & 0x7FFF_FFFF
    var done: UInt64 = 0
    func report(_ n: UInt64) throws(XenError) { if a[2] != 0 { try store(a[2], UInt32(truncatingIfNeeded: n)) } }
    while done < total {
      if done == UInt64(Self.batch) || done > 0 && hasTakenLong {
        try report(done)
        return .again([a[0] &+ done * size, (total - done) | 0x8000_0000, a[2], a[3], 0, 0])
      }
      charge(Self.entryCost)
      do throws(XenError) {
        var reader = GuestReader(self, a[0] &+ done * size)
        let command = try reader.next(UInt32.self)
        let first = try reader.word(), second = try reader.word()
        try extended(command, first, second)
      } catch {
        try report(done)
        throw error
      }
      done += 1
    }
    try report(done)
    return .zero
  }

  private func extended(_ command: UInt32, _ first: UInt64, _ second: UInt64) throws(XenError) {
    guard let op = MMUExt(rawValue: command) else { throw .ENOSYS }
    let frame = MachineFrameNumber(first)
    switch op {
    case .pinL1: try domain.pin(frame, .l1)
    case .pinL2: try domain.pin(frame, .l2)
    case .pinL3: try domain.pin(frame, .l3)
    case .pinL4:
      if domain.isCompat { throw .EINVAL }
      try domain.pin(frame, .l4)
    case .unpin: try domain.unpin(frame)
    case .newBasePointer: try domain.loadRoot(frame, self)
    case .newUserBasePointer:
      if domain.isCompat { throw .EOPNOTSUPP }
      try domain.loadUserRoot(frame, self)
    case .tlbFlushLocal: flushForGuest()
    case .invlpgLocal: cpu.invalidatePage(first)
    case .tlbFlushMulti: for v in try members(of: second) { v.flushForGuest() }
    case .invlpgMulti: for v in try members(of: second) { invalidate(first, on: v) }
    case .tlbFlushAll: for v in domain.vcpus { v.flushForGuest() }
    case .invlpgAll: for v in domain.vcpus { invalidate(first, on: v) }
    // There are no caches to write back. Only who has devices may ask for it.
    case .flushCache, .flushCacheGlobal: throw .EACCES
    case .setLDT: try setLDT(base: first, entries: second)
    case .clearPage:
      try domain.getAndType(frame, .writable)
      charge(Self.pageCost)
      frames.fill(frame, from: nil)
      domain.putAndType(frame)
    case .copyPage:
      let source = MachineFrameNumber(second)
      try domain.get(source)
      do throws(XenError) {
        try domain.getAndType(frame, .writable)
      } catch {
        frames.put(source)
        throw error
      }
      charge(Self.pageCost)
      frames.fill(frame, from: source)
      domain.putAndType(frame)
      frames.put(source)
    case .markSuper, .unmarkSuper: throw .EOPNOTSUPP
    }
  }
}

extension Domain {
  /// Type of a root: of a 32-bit guest it is an L3.
  var rootType: FrameType { isCompat ? .l3 : .l4 }

  /// A new root for the guest's kernel (and, in 32-bit guests, for everything).
  func loadRoot(_ frame: MachineFrameNumber, _ vcpu: VCPU) throws(XenError) {
    if frame == vcpu.kernelRoot { return vcpu.flushForGuest() }
    try getAndType(frame, rootType)
    let old = vcpu.kernelRoot
    vcpu.kernelRoot = frame
    vcpu.installRoots()
    if old != .invalid, isKernelHalfShared(old, frame) { vcpu.flushForGuest() } else { vcpu.flush() }
    if old != .invalid { putAndType(old) }
  }

  /// A new root for programs; frame 0 takes it away.
  func loadUserRoot(_ frame: MachineFrameNumber, _ vcpu: VCPU) throws(XenError) {
    if frame == vcpu.userRoot { return }
    if frame.rawValue != 0 { try getAndType(frame, .l4) }
    let old = vcpu.userRoot
    vcpu.userRoot = frame.rawValue == 0 ? nil : frame
    vcpu.installRoots()
    vcpu.cpu.flushPrograms()
    if let old { putAndType(old) }
  }
}

extension VCPU {
  /// Lets the core walk the present roots; translations of others are to be flushed.
  func installRoots() {
    if let monitorTable {
      frames.setEntry(monitorTable, 0, kernelRoot.address | PTE.present | PTE.writable | PTE.user | PTE.accessed)
    }
    cpu.switchAddressSpace(root: activeRoot, deprivileged: !domain.isCompat && inKernel)
  }
}
