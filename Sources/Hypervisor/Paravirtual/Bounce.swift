import Processor
import X86
import XenABI

/// Entering the guest's kernel for an exception, a system call or an event: the frame that Xen puts on its stack (xen.h,
/// struct cpu_user_regs and "trap frames"; the guest finds RCX and R11 above an ordinary exception frame in 64-bit mode).
extension VCPU {
  /// Bits of RFLAGS that entering clears (SDM vol. 3A §7.12.1.2, and AC, which would concern the kernel).
  private static let clearedFlags = RFLAGS.TF | RFLAGS.VM | RFLAGS.RF | RFLAGS.NT | RFLAGS.AC

  /// An exception, with the guest's handler for it.
  /// - Parameter returnRIP: what the frame holds.
  func inject(_ vector: UInt8, errorCode: UInt32? = nil, returnRIP: UInt64) {
    let entry = traps[Int(vector)]
    if entry.address == 0 && entry.cs & ~3 == 0 {
      return domain.crash("\(label): no handler for vector \(vector)\(errorCode.map { ", error code \(String($0, radix: 16))" } ?? "")")
    }
    bounce(to: entry, errorCode: errorCode, returnRIP: returnRIP)
  }

  /// Enters the kernel at `entry`.
  func bounce(to entry: EntryPoint, errorCode: UInt32? = nil, returnRIP: UInt64) {
    if domain.isCompat {
      bounce32(to: entry, errorCode, returnRIP)
    } else {
      bounce64(to: entry, errorCode, returnRIP)
    }
  }

  private func savedFlags() -> UInt64 {
    var flags = cpu.rflags() & ~(RFLAGS.IF | RFLAGS.IOPL)
    if !upcallMask { flags |= RFLAGS.IF }
    if domain.assists & VMAssist.architecturalIOPL != 0 { flags |= UInt64(iopl) << 12 }
    return flags
  }

  private func bounce64(to entry: EntryPoint, _ errorCode: UInt32?, _ returnRIP: UInt64) {
    let s = cpu.s
    let flags = savedFlags()
    let fromKernel = inKernel
    var sp = s.pointee.rsp
    if !fromKernel {
      switchMode(kernel: true)
      sp = kernelSP
    }
    sp &= ~15
    // The kernel sees itself in ring 0.
    let cs = UInt64(s.pointee.cs.selector & (fromKernel ? 0xFFFC : 0xFFFF)) | (upcallMask ? 1 << 32 : 0)
    var frame: InlineArray<8, UInt64> = [s.pointee.rcx, s.pointee.r11, 0, returnRIP, cs, flags, s.pointee.rsp, UInt64(s.pointee.ss.selector)]
    var first = 0
    if let errorCode {
      frame[2] = UInt64(errorCode)
    } else {
      frame[2] = frame[1]
      frame[1] = frame[0]
      first = 1
    }
    let bytes = (8 - first) * 8
    sp &-= UInt64(bytes)
    do throws(XenError) {
      for n in first..<8 { try store(sp &+ UInt64((n - first) * 8), frame[n]) }
    } catch {
      return domain.crash("\(label): no room for an exception frame at \(String(sp, radix: 16))")
    }
    if entry.address == 0 { return domain.crash("\(label): entry point at address 0") }
    if entry.masksEvents { upcallMask = true }
    s.pointee.rsp = sp
    cpu.enterFlat(cs: FlatSelector.ring3Code64, ss: FlatSelector.ring3Data, long: true)
    cpu.setRFLAGS((cpu.rflags() & ~Self.clearedFlags) | RFLAGS.IF)
    cpu.setRIP(entry.address)
  }

  private func bounce32(to entry: EntryPoint, _ errorCode: UInt32?, _ returnRIP: UInt64) {
    let s = cpu.s
    let flags = savedFlags()
    let fromKernel = s.pointee.cpl == 1
    let oldSP = s.pointee.rsp, oldSS = s.pointee.ss.selector
    var sp = fromKernel ? oldSP & 0xFFFF_FFFF : kernelSP
    let cs = UInt32(s.pointee.cs.selector) | (upcallMask ? 1 << 16 : 0)
    inKernel = true
    do throws(XenError) {
      func push(_ value: UInt32) throws(XenError) {
        sp = (sp &- 4) & 0xFFFF_FFFF
        try store(sp, value)
      }
      if !fromKernel {
        try push(UInt32(oldSS))
        try push(UInt32(truncatingIfNeeded: oldSP))
      }
      try push(UInt32(truncatingIfNeeded: flags))
      try push(cs)
      try push(UInt32(truncatingIfNeeded: returnRIP))
      if let errorCode { try push(errorCode) }
    } catch {
      return domain.crash("\(label): no room for an exception frame at \(String(sp, radix: 16))")
    }
    if entry.masksEvents { upcallMask = true }
    let ss = fromKernel ? oldSS : kernelSS | 1
    do throws(Fault) {
      try cpu.returnOutward(cs: entry.cs & ~3 | 1, rip: entry.address & 0xFFFF_FFFF, ss: ss, rsp: sp)
    } catch {
      return domain.crash("\(label): bad selectors of a handler (\(String(entry.cs, radix: 16)), \(String(ss, radix: 16)))")
    }
    cpu.setRFLAGS((cpu.rflags() & ~Self.clearedFlags) | RFLAGS.IF)
    cpu.setRIP(s.pointee.rip)
  }

  /// Delivers what is pending and not masked, between two instructions.
  func deliverPending() {
    guard domain.state == .running, hvm == nil else { return }
    if nmiPending, traps[2].address != 0 {
      nmiPending = false
      var entry = traps[2]
      entry.masksEvents = true
      bounce(to: entry, returnRIP: cpu.s.pointee.rip)
    }
    if upcallPending, !upcallMask, eventCallback.address != 0 {
      var entry = eventCallback
      entry.masksEvents = true
      bounce(to: entry, returnRIP: cpu.s.pointee.rip)
    }
  }
}
