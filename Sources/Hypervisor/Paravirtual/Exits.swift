import Processor
import X86
import X86Decoder
import XenABI

/// Every trap of a paravirtual processor comes here before the core delivers it, and is dealt with here.
extension VCPU: ExecutionObserver {
  public func willExecute(_ instruction: borrowing Instruction, at linear: UInt64) {}
  public func didExecute(_ instruction: borrowing Instruction, at linear: UInt64) {}
  public func didBranch(_ kind: BranchKind, from: UInt64, to: UInt64) {}
  public func didAccess(_ access: ObservedAccess) {}

  // MARK: Exceptions and interrupts

  public func willDeliver(_ event: ObservedEvent) -> EventDecision {
    // It is work for the guest, and so the guest's time.
    charge(Self.exceptionCost)
    switch event.kind {
    case .external: break
    case .software: softwareInterrupt(event)
    case .privilegedSoftware: inject(event.vector, returnRIP: event.returnRIP)
    case .exception: exception(event)
    }
    deliverPending()
    return .handled
  }

  /// Whether the guest's kernel executes.
  var isGuestKernel: Bool { domain.isCompat ? cpu.s.pointee.cpl == 1 : inKernel }

  private func softwareInterrupt(_ event: ObservedEvent) {
    let vector = event.vector
    cpu.s.pointee.pendingDebug = 0
    if vector == 0x82, domain.isCompat, isGuestKernel {
      cpu.setRIP(event.returnRIP)
      return hypercall32()
    }
    if vector != Vector.BP.rawValue, vector != Vector.OF.rawValue {
      let entry = traps[Int(vector)]
      let privilege: UInt8 = isGuestKernel ? (domain.assists & VMAssist.architecturalIOPL != 0 ? 0 : 1) : 3
      if entry.dpl < privilege || entry.address == 0 {
        // As the gate of a vector that programs may not raise.
        return inject(Vector.GP.rawValue, errorCode: UInt32(vector) << 3 | 2, returnRIP: cpu.s.pointee.rip)
      }
    }
    inject(vector, returnRIP: event.returnRIP)
  }

  private func exception(_ event: ObservedEvent) {
    let rip = event.returnRIP
    switch Vector(rawValue: event.vector) {
    case .PF: pageFault(event)
    case .GP:
      let code = event.errorCode ?? 0
      if code != 0 || !emulatePrivileged() { inject(Vector.GP.rawValue, errorCode: code, returnRIP: rip) }
    case .UD:
      if !emulateForced() { inject(Vector.UD.rawValue, returnRIP: rip) }
    case .NM:
      // The task-switched flag is the guest's lazy switch of floating-point state; delivering it clears it.
      setTaskSwitched(false)
      inject(Vector.NM.rawValue, returnRIP: rip)
    case .DB:
      inject(Vector.DB.rawValue, returnRIP: rip)
    case .DF, .MC:
      domain.crash("\(label): vector \(event.vector)")
    default:
      inject(event.vector, errorCode: event.errorCode, returnRIP: rip)
    }
  }

  private func pageFault(_ event: ObservedEvent) {
    let address = cpu.s.pointee.cr2
    var code = event.errorCode ?? 0
    if !domain.isCompat, code & 1 == 0, mapDescriptors(address) { return }
    if domain.isCompat, mapDescriptors(address) { return }
    if code & 3 == 3, isGuestKernel || domain.isCompat, emulatePageTableWrite(address) { return }
    // A reserved bit cannot come from the guest's tables, which were checked.
    code &= ~4
    if !isGuestKernel { code |= 4 }
    faultAddress = address
    inject(Vector.PF.rawValue, errorCode: code, returnRIP: event.returnRIP)
  }

  /// Sets or clears CR0.TS, the guest's and the processor's.
  func setTaskSwitched(_ on: Bool) {
    let s = cpu.s
    controlRegister0 = on ? controlRegister0 | CR0.TS : controlRegister0 & ~CR0.TS
    let new = on ? s.pointee.cr0 | CR0.TS : s.pointee.cr0 & ~CR0.TS
    if new != s.pointee.cr0 {
      // Nothing but TS changes, so nothing is refused.
      do throws(Fault) { try cpu.setCR0(new) } catch {}
    }
  }

  // MARK: System calls

  public func willCallSystem(_ instruction: borrowing Instruction) -> EventDecision {
    if instruction.mnemonic == .SYSCALL {
      systemCall()
    } else {
      sysenter()
    }
    deliverPending()
    return .handled
  }

  private func systemCall() {
    let s = cpu.s
    // A trap behind MOV SS strikes in the hypervisor, which drops it.
    s.pointee.pendingDebug = 0
    let after = s.pointee.nextRIP
    s.pointee.rcx = after
    s.pointee.r11 = (cpu.rflags() & ~(RFLAGS.RF | RFLAGS.IOPL)) | RFLAGS.IF
    if !domain.isCompat, inKernel {
      // The hypervisor comes back to its flat segments, whatever the guest had.
      if s.pointee.cs.selector != FlatSelector.ring3Code64 || s.pointee.ss.selector != FlatSelector.ring3Data {
        cpu.enterFlat(cs: FlatSelector.ring3Code64, ss: FlatSelector.ring3Data, long: true)
      }
      cpu.setRIP(after)
      return hypercall64()
    }
    let here = s.pointee.rip
    if syscallCallback.address == 0 { return inject(Vector.UD.rawValue, returnRIP: here) }
    bounce(to: syscallCallback, returnRIP: after)
  }

  private func sysenter() {
    let s = cpu.s
    s.pointee.pendingDebug = 0
    if sysenterCallback.address == 0 { return inject(Vector.GP.rawValue, errorCode: 0, returnRIP: s.pointee.rip) }
    // SYSENTER keeps neither RIP nor RSP: the frame has none.
    cpu.setRFLAGS(cpu.rflags() & ~RFLAGS.NT)
    s.pointee.rsp = 0
    s.pointee.cs.selector = domain.isCompat ? FlatSelector.compatUserCode : 3
    s.pointee.ss.selector = domain.isCompat ? FlatSelector.compatUserData : FlatSelector.ring3Data
    if domain.isCompat { s.pointee.cpl = 3 }
    bounce(to: sysenterCallback, returnRIP: 0)
  }
}
