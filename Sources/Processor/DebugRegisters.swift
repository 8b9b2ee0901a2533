import X86
import X86Decoder

/// Breakpoints and debug exceptions (SDM vol. 3B chapter 18).
///
/// Not modelled: branch trace and last-branch records, DR6.RTM, DR6.BLD.

/// Bits of DR6.
enum DR6 {
  /// Bits that read as one.
  static let ones: UInt64 = 0xFFFF_0FF0
  static let writable: UInt64 = 0xE00F
  static let bd: UInt64 = 1 << 13
  static let bs: UInt64 = 1 << 14
  static let bt: UInt64 = 1 << 15
}

/// Bits of DR7.
public enum DR7 {
  static let ones: UInt64 = 0x400
  static let writable: UInt64 = 0xFFFF_23FF
  static let enables: UInt64 = 0xFF
  public static let gd: UInt64 = 1 << 13
}

/// R/W field of DR7: what a breakpoint waits for.
private enum BreakpointKind {
  static let execute: UInt64 = 0
  static let write: UInt64 = 1
  static let port: UInt64 = 2
  static let access: UInt64 = 3
}

extension CPU {
  @inline(__always)
  private func breakpointAddress(_ n: UInt64) -> UInt64 {
    switch n {
    case 0: return s.pointee.dr0
    case 1: return s.pointee.dr1
    case 2: return s.pointee.dr2
    default: return s.pointee.dr3
    }
  }

  @inline(__always)
  private func isEnabled(_ n: UInt64) -> Bool { (s.pointee.dr7 &>> (n &* 2)) & 3 != 0 }
  @inline(__always)
  private func kind(_ n: UInt64) -> UInt64 { (s.pointee.dr7 &>> (16 &+ n &* 4)) & 3 }

  /// Bytes that a breakpoint covers; its address is aligned to them.
  @inline(__always)
  private func length(_ n: UInt64) -> UInt64 {
    switch (s.pointee.dr7 &>> (18 &+ n &* 4)) & 3 {
    case 0: return 1
    case 1: return 2
    case 2: return 8
    default: return 4
    }
  }

  /// Whether [address, address + size) and breakpoint n have a byte in common.
  private func overlaps(_ n: UInt64, _ address: UInt64, _ size: UInt64) -> Bool {
    let length = length(n)
    let first = breakpointAddress(n) & ~(length &- 1)
    return address &- first < length || first &- address < size
  }

  /// Whether any breakpoint on instructions is enabled, so that every instruction must be looked at.
  public var hasCodeBreakpoints: Bool {
    if s.pointee.dr7 & DR7.enables == 0 { return false }
    for n in 0..<4 as Range<UInt64> where isEnabled(n) && kind(n) == BreakpointKind.execute { return true }
    return false
  }

  /// To be asked before an instruction executes while `hasCodeBreakpoints`: raises #DB if a breakpoint lies on it and RF is clear.
  /// Behind a load of SS a breakpoint is suppressed as if RF were set (SDM vol. 3B §18.3.1.1).
  /// - Returns: true if the exception was delivered instead.
  public func checkCodeBreakpoint() -> Bool {
    if s.pointee.systemFlags & RFLAGS.RF != 0 { return false }
    if s.pointee.interruptShadow == s.pointee.retired, s.pointee.shadowIsMovSS { return false }
    let linear = is64Bit ? s.pointee.rip : (s.pointee.cs.base &+ s.pointee.rip) & 0xFFFF_FFFF
    var hits: UInt64 = 0
    for n in 0..<4 as Range<UInt64> where isEnabled(n) && kind(n) == BreakpointKind.execute && breakpointAddress(n) == linear {
      hits |= 1 &<< n
    }
    if hits == 0 { return false }
    deliverDebug(hits)
    return true
  }

  /// Whether a data breakpoint lies on the page at this linear address.
  public func dataBreakpointOnPage(_ page: UInt64) -> Bool {
    for n in 0..<4 as Range<UInt64> where isEnabled(n) && kind(n) & 1 != 0 && overlaps(n, page, 4096) { return true }
    return false
  }

  /// Notes the data breakpoints that an access touches; they are reported after the instruction.
  public func dataBreakpoint(_ linear: UInt64, size: Int, write: Bool) {
    for n in 0..<4 as Range<UInt64> where isEnabled(n) {
      let kind = kind(n)
      if kind == BreakpointKind.access || (kind == BreakpointKind.write && write), overlaps(n, linear, UInt64(size)) {
        s.pointee.pendingDebug |= 1 &<< n
      }
    }
    if s.pointee.pendingDebug != 0 { s.pointee.exitRequest |= ExitRequest.event }
  }

  /// The same for an access to ports, with CR4.DE set.
  func portBreakpoint(_ port: UInt16, size: Int) {
    if s.pointee.dr7 & DR7.enables == 0 || s.pointee.cr4 & CR4.DE == 0 { return }
    for n in 0..<4 as Range<UInt64>
    where isEnabled(n) && kind(n) == BreakpointKind.port && overlaps(n, UInt64(port), UInt64(size)) {
      s.pointee.pendingDebug |= 1 &<< n
    }
    if s.pointee.pendingDebug != 0 { s.pointee.exitRequest |= ExitRequest.event }
  }

  /// To be asked after an instruction: delivers the debug trap that is due, with RIP at the next instruction.
  /// - Parameter singleStep: RFLAGS.TF was set when the instruction began.
  /// - Returns: true if a trap was delivered.
  public func deliverDebugTraps(singleStep: Bool) -> Bool {
    let due = s.pointee.pendingDebug | (singleStep ? DR6.bs : 0)
    if due == 0 { return false }
    deliverDebug(due)
    return true
  }

  private func deliverDebug(_ bits: UInt64) {
    s.pointee.pendingDebug = 0
    s.pointee.dr6 = (s.pointee.dr6 & ~0xF) | bits
    deliver(vector: Vector.DB.rawValue, kind: .exception)
  }

  // MARK: MOV DR

  func moveDebug(_ i: borrowing Instruction) throws(Fault) {
    let load = i.op0.kind == .debug
    var number = load ? i.op0.register : i.op1.register
    if number > 7 { throw .undefined }
    if number == 4 || number == 5 {
      if s.pointee.cr4 & CR4.DE != 0 { throw .undefined }
      number &+= 2
    }
    if s.pointee.cpl != 0 { throw .generalProtection() }
    if s.pointee.dr7 & DR7.gd != 0 {
      s.pointee.dr6 = (s.pointee.dr6 & ~0xF) | DR6.bd
      throw Fault(.DB)
    }
    if !load {
      setRegister(i.op0.register, size: is64Bit ? 8 : 4, debugRegister(number))
      return
    }
    let value = is64Bit ? gpr(i.op1.register) : gpr(i.op1.register) & 0xFFFF_FFFF
    if number >= 6, value &>> 32 != 0 { throw .generalProtection() }
    setDebugRegister(number, value)
  }

  /// DR0–DR3, DR6 or DR7.
  public func debugRegister(_ n: UInt8) -> UInt64 {
    switch n {
    case 6: return s.pointee.dr6
    case 7: return s.pointee.dr7
    default: return breakpointAddress(UInt64(n))
    }
  }

  public func setDebugRegister(_ n: UInt8, _ value: UInt64) {
    switch n {
    case 0: s.pointee.dr0 = value
    case 1: s.pointee.dr1 = value
    case 2: s.pointee.dr2 = value
    case 3: s.pointee.dr3 = value
    case 6: s.pointee.dr6 = (value & DR6.writable) | DR6.ones
    default:
      let armed = (s.pointee.dr7 | value) & DR7.enables != 0
      s.pointee.dr7 = (value & DR7.writable) | DR7.ones
      if !armed { return }
    }
    // Watched pages must have no TLB entries, and instructions with breakpoints must be looked at one by one.
    if n == 7 || (n < 4 && s.pointee.dr7 & DR7.enables != 0) {
      flushAll()
      s.pointee.exitRequest |= ExitRequest.event | ExitRequest.codeChanged
    }
  }
}
