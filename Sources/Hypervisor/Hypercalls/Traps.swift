import Processor
import X86
import XenABI

/// set_trap_table, callback_op, set_callbacks, stack_switch, set_segment_base, fpu_taskswitch, set_debugreg, get_debugreg, nmi_op, iret.
extension VCPU {
  /// xen.h, struct trap_info: an array that ends with an address of 0.
  func setTrapTable(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    if a[0] == 0 {
      traps = [EntryPoint](repeating: EntryPoint(), count: 256)
      return .zero
    }
    var reader = GuestReader(self, a[0])
    for _ in 0...256 {
      let vector = try reader.next(UInt8.self), flags = try reader.next(UInt8.self)
      let cs = try reader.next(UInt16.self), address = try reader.word()
      if address == 0 { break }
      traps[Int(vector)] = try entryPoint(cs, address, masks: flags & 4 != 0, dpl: flags & 3)
    }
    return .zero
  }

  /// A guest's code selector and address. The selector never has more privilege than the guest's kernel.
  private func entryPoint(_ cs: UInt16, _ address: UInt64, masks: Bool, dpl: UInt8 = 0) throws(XenError) -> EntryPoint {
    if !domain.isCompat, !XenLayout.isCanonical(address) { throw .EINVAL }
    return EntryPoint(cs: cs | (domain.isCompat ? 1 : 3), address: domain.isCompat ? address & 0xFFFF_FFFF : address, masksEvents: masks, dpl: dpl)
  }

  func callbackOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    var reader = GuestReader(self, a[1])
    let type = CallbackType(rawValue: try reader.next(UInt16.self))
    switch a[0] {
    case 0:
      let masks = try reader.next(UInt16.self) & 1 != 0
      var cs: UInt16 = 0
      // The address is an unsigned long, or { unsigned long cs, eip } for 32-bit guests.
      if domain.isCompat { cs = UInt16(truncatingIfNeeded: try reader.word()) }
      let entry = try entryPoint(cs, try reader.word(), masks: masks)
      switch type {
      case .event: eventCallback = entry
      case .failsafe: failsafeCallback = entry
      case .syscall:
        if domain.isCompat { throw .EINVAL }
        syscallCallback = entry
      case .syscall32: syscall32Callback = entry
      case .sysenter, .sysenterDeprecated: sysenterCallback = entry
      case .nmi: traps[2] = EntryPoint(cs: entry.cs, address: entry.address, masksEvents: true)
      case nil: throw .ENOSYS
      }
    case 1:
      switch type {
      case .event, .failsafe, .syscall, .syscall32, .sysenter, .sysenterDeprecated: throw .EINVAL
      case .nmi: traps[2] = EntryPoint()
      case nil: throw .ENOSYS
      }
    default: throw .ENOSYS
    }
    return .zero
  }

  func setCallbacks(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    if domain.isCompat {
      eventCallback = try entryPoint(UInt16(truncatingIfNeeded: a[0]), a[1], masks: true)
      failsafeCallback = try entryPoint(UInt16(truncatingIfNeeded: a[2]), a[3], masks: true)
    } else {
      eventCallback = try entryPoint(0, a[0], masks: true)
      failsafeCallback = try entryPoint(0, a[1], masks: true)
      syscallCallback = try entryPoint(0, a[2], masks: false)
    }
    return .zero
  }

  /// The stack that the kernel is entered on from programs.
  func stackSwitch(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    kernelSS = UInt16(truncatingIfNeeded: a[0])
    kernelSP = a[1]
    return .zero
  }

  func setSegmentBase(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    if domain.isCompat { throw .ENOSYS }
    let canonical = XenLayout.isCanonical(a[1])
    switch a[0] {
    case 0: if !canonical { throw .EINVAL }
      cpu.s.pointee.fs.base = a[1]
    case 1: if !canonical { throw .EINVAL }
      cpu.s.pointee.kernelGSBase = a[1]
    case 2: if !canonical { throw .EINVAL }
      cpu.s.pointee.gs.base = a[1]
    case 3:
      // A selector for the program's GS: loaded with the program's base in place.
      swap(&cpu.s.pointee.gs.base, &cpu.s.pointee.kernelGSBase)
      _ = cpu.restoreSegment(.gs, UInt16(truncatingIfNeeded: a[1]))
      swap(&cpu.s.pointee.gs.base, &cpu.s.pointee.kernelGSBase)
    default: throw .EINVAL
    }
    return .zero
  }

  func fpuTaskswitch(_ a: HypercallArguments) -> HypercallOutcome {
    setTaskSwitched(a[0] != 0)
    return .zero
  }

  func setDebugreg(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    guard a[0] < 8 else { throw .EINVAL }
    if !setDebugRegister(UInt8(a[0]), a[1]) { throw a[0] < 4 ? .EPERM : .EINVAL }
    return .zero
  }

  func getDebugreg(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    guard a[0] < 8, let value = debugRegister(UInt8(a[0])) else { throw a[0] < 8 ? .ENODEV : .EINVAL }
    return .value(value)
  }

  func nmiOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    switch a[0] {
    case 0:
      var reader = GuestReader(self, a[1])
      let address = try reader.word()
      traps[2] = try entryPoint(domain.isCompat ? FlatSelector.compatKernelCode : FlatSelector.ring3Code64, address, masks: true)
    case 1: traps[2] = EntryPoint()
    default: throw .ENOSYS
    }
    return .zero
  }

  // MARK: IRET

  /// Returns from an exception or to a program, by the frame on the kernel's stack (xen-x86_64.h, struct iret_context).
  func iret() throws(XenError) -> HypercallOutcome {
    if domain.isCompat { return iret32() }
    let s = cpu.s
    var frame = InlineArray<9, UInt64>(repeating: 0)
    do throws(XenError) {
      for n in 0..<9 { frame[n] = try load(s.pointee.rsp &+ UInt64(n * 8), as: UInt64.self) }
    } catch {
      domain.crash("\(label): the frame of an iret cannot be read")
      return .done
    }
    let cs = UInt16(truncatingIfNeeded: frame[5]), ss = UInt16(truncatingIfNeeded: frame[8]) | 3
    let flags = frame[6]
    if cs & 3 == 3 {
      if userRoot == nil {
        domain.crash("\(label): return to a program without page tables for it")
        return .done
      }
      switchMode(kernel: false)
    }
    if domain.assists & VMAssist.architecturalIOPL != 0 { iopl = UInt8(truncatingIfNeeded: flags >> 12) & 3 }
    s.pointee.rax = frame[0]
    // VGCF_in_syscall: RCX and R11 are not restored.
    if frame[3] & 0x100 == 0 {
      s.pointee.r11 = frame[1]
      s.pointee.rcx = frame[2]
    } else {
      s.pointee.rcx = frame[4]
      s.pointee.r11 = flags
    }
    upcallMask = flags & RFLAGS.IF == 0
    enter(cs: cs | 3, rip: frame[4], ss: ss, rsp: frame[7], flags: flags)
    return .done
  }

  /// Goes where the guest wants to; what it cannot have ends at its failsafe callback.
  func enter(cs: UInt16, rip: UInt64, ss: UInt16, rsp: UInt64, flags: UInt64) {
    let kept = (flags & (RFLAGS.status | RFLAGS.TF | RFLAGS.DF | RFLAGS.NT | RFLAGS.RF | RFLAGS.AC | RFLAGS.ID)) | RFLAGS.IF | 2
    let s = cpu.s
    if !domain.isCompat, cs == FlatSelector.ring3Code64, ss == FlatSelector.ring3Data, XenLayout.isCanonical(rip) {
      s.pointee.rsp = rsp
      cpu.enterFlat(cs: cs, ss: ss, long: true)
      cpu.setRFLAGS(kept)
      cpu.setRIP(rip)
      return
    }
    do throws(Fault) {
      try cpu.returnOutward(cs: cs, rip: rip, ss: ss, rsp: rsp)
      cpu.setRFLAGS(kept)
      cpu.setRIP(s.pointee.rip)
    } catch {
      failsafe(cs: cs, rip: rip, ss: ss, rsp: rsp, flags: kept)
    }
  }

  /// The failsafe callback: the kernel is told that its return could not be made, with the data segments on the stack (xen.h,
  /// "failsafe callback").
  private func failsafe(cs: UInt16, rip: UInt64, ss: UInt16, rsp: UInt64, flags: UInt64) {
    if failsafeCallback.address == 0 { return domain.crash("\(label): return to \(String(cs, radix: 16)):\(String(rip, radix: 16)) faults, and there is no failsafe callback") }
    let s = cpu.s
    s.pointee.cs.selector = cs
    s.pointee.ss.selector = ss
    s.pointee.rsp = rsp
    cpu.setRFLAGS(flags)
    var entry = failsafeCallback
    entry.masksEvents = true
    bounce(to: entry, returnRIP: rip)
    if domain.state != .running { return }
    // DS, ES, FS, GS below the frame; the kernel finds them first.
    var sp = s.pointee.rsp
    let selectors = [s.pointee.gs.selector, s.pointee.fs.selector, s.pointee.es.selector, s.pointee.ds.selector]
    do throws(XenError) {
      for selector in selectors {
        sp = sp &- wordBytes
        try storeWord(sp, UInt64(selector))
      }
    } catch {
      return domain.crash("\(label): no room for the frame of the failsafe callback")
    }
    s.pointee.rsp = sp
  }

  private func iret32() -> HypercallOutcome {
    let s = cpu.s
    let sp = s.pointee.rsp & 0xFFFF_FFFF
    func word(_ n: UInt64) throws(XenError) -> UInt64 { UInt64(try load(sp &+ n * 4, as: UInt32.self)) }
    do throws(XenError) {
      let eax = try word(0), eip = try word(1), cs = UInt16(truncatingIfNeeded: try word(2)), flags = try word(3)
      if flags & RFLAGS.VM != 0 {
        // There is no virtual-8086 mode for guests: #GP on the first instruction there.
        domain.crash("\(label): return to virtual-8086 mode")
        return .done
      }
      if cs & 3 == 0 {
        domain.crash("\(label): return to ring 0")
        return .done
      }
      if domain.assists & VMAssist.architecturalIOPL != 0 { iopl = UInt8(truncatingIfNeeded: flags >> 12) & 3 }
      s.pointee.rax = eax
      upcallMask = flags & RFLAGS.IF == 0
      if cs & 3 == 1 {
        enter(cs: cs, rip: eip, ss: s.pointee.ss.selector, rsp: sp &+ 16, flags: flags)
      } else {
        enter(cs: cs, rip: eip, ss: UInt16(truncatingIfNeeded: try word(5)), rsp: try word(4), flags: flags)
      }
    } catch {
      domain.crash("\(label): the frame of an iret cannot be read")
    }
    return .done
  }
}
