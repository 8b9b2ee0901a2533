import Processor
import SoftFloat
import X86
import X86Decoder

/// A number in an x87 register, as its 80 bits: `significand` (with the integer bit) and `signExponent` (sign in bit 15).
public typealias Extended80 = SoftFloat.Extended80

/// Registers. They are read and written as they are, without the checks that instructions make; what depends on them (mode,
/// translations, decoded code) follows.
extension Core {
  /// Any register that has a name in ``Register``.
  ///
  /// Setting RIP wakes a halted processor. Control registers take any value: a combination that no processor allows gives undefined results.
  /// CR3 loads the PDPTE registers where PAE paging has them.
  public subscript(_ register: Register) -> UInt64 {
    get {
      let s = cpu.s
      switch register.file {
      case .general: return cpu.register(register.number, size: UInt8(register.size))
      case .instructionPointer: return register.cut(s.pointee.rip)
      case .flags: return register.cut(cpu.rflags())
      case .debug: return cpu.debugRegister(register.number)
      case .control:
        switch register.number {
        case 0: return s.pointee.cr0
        case 2: return s.pointee.cr2
        case 3: return s.pointee.cr3
        case 4: return s.pointee.cr4
        default: return UInt64(bus.taskPriority >> 4)
        }
      }
    }
    set {
      switch register.file {
      case .general: cpu.setRegister(register.number, size: UInt8(register.size), newValue)
      case .instructionPointer: setRIP(register.cut(newValue))
      case .flags: setFlags(register.size == 2 ? cpu.rflags() & ~0xFFFF | register.cut(newValue) : register.cut(newValue))
      case .debug: cpu.setDebugRegister(register.number, newValue)
      case .control: setControl(register.number, newValue)
      }
    }
  }

  private func setRIP(_ value: UInt64) {
    let s = cpu.s
    s.pointee.rip = value & s.pointee.ripMask
    // In the middle of an instruction the other one counts.
    s.pointee.nextRIP = s.pointee.rip
    if s.pointee.activity == .halted { s.pointee.activity = .running }
  }

  private func setFlags(_ value: UInt64) {
    let s = cpu.s
    cpu.setStatusFlags(value & RFLAGS.status)
    let old = s.pointee.systemFlags
    s.pointee.systemFlags = value & 0x3F_7702 & ~RFLAGS.status | 2
    if (s.pointee.systemFlags ^ old) & (RFLAGS.VM | RFLAGS.AC) != 0 { cpu.deriveState() }
    if s.pointee.systemFlags != old { s.pointee.exitRequest |= ExitRequest.event }
  }

  private func setControl(_ number: UInt8, _ value: UInt64) {
    let s = cpu.s
    switch number {
    case 0:
      s.pointee.cr0 = value & 0xFFFF_FFFF | CR0.ET
      if s.pointee.efer & EFER.LME != 0 {
        s.pointee.efer = value & CR0.PG != 0 ? s.pointee.efer | EFER.LMA : s.pointee.efer & ~EFER.LMA
      }
    case 2: return s.pointee.cr2 = value
    case 3: s.pointee.cr3 = value
    case 4: s.pointee.cr4 = value
    default: return bus.taskPriority = UInt8(truncatingIfNeeded: value << 4)
    }
    cpu.deriveState(loadingPDPTEs: true)
    s.pointee.exitRequest |= ExitRequest.event
  }

  /// The general registers, RIP and RFLAGS at once.
  public var registers: Registers {
    get {
      var values = Registers()
      for n in 0..<16 { values[number: n] = cpu.gpr(UInt8(n)) }
      values.rip = cpu.s.pointee.rip
      values.rflags = cpu.rflags()
      return values
    }
    set {
      for n in 0..<16 { cpu.setGPR(UInt8(n), newValue[number: n]) }
      setRIP(newValue.rip)
      setFlags(newValue.rflags)
    }
  }

  /// The linear address of the next instruction: RIP, and outside 64-bit mode the base of CS.
  public var instructionAddress: UInt64 { cpu.linearRIP }

  /// CPL, 0–3.
  public var privilege: Int { Int(cpu.s.pointee.cpl) }

  // MARK: Vectors and x87

  /// XMM0–XMM15 as two quadwords, the low one first. Setting leaves the upper half of the YMM register alone.
  public subscript(xmm n: Int) -> SIMD2<UInt64> {
    get {
      let v = vector(n)
      return SIMD2(v.pointee.q0, v.pointee.q1)
    }
    set {
      let v = vector(n)
      v.pointee.q0 = newValue[0]
      v.pointee.q1 = newValue[1]
    }
  }

  /// YMM0–YMM15 as four quadwords, the lowest first.
  public subscript(ymm n: Int) -> SIMD4<UInt64> {
    get {
      let v = vector(n)
      return SIMD4(v.pointee.q0, v.pointee.q1, v.pointee.q2, v.pointee.q3)
    }
    set {
      let v = vector(n)
      v.pointee.q0 = newValue[0]
      v.pointee.q1 = newValue[1]
      v.pointee.q2 = newValue[2]
      v.pointee.q3 = newValue[3]
    }
  }

  private func vector(_ n: Int) -> UnsafeMutablePointer<Vector256> {
    precondition(0..<16 ~= n, "vector registers are numbered 0 to 15")
    return cpu.vector(UInt8(n))
  }

  public var mxcsr: UInt32 {
    get { cpu.s.pointee.mxcsr }
    set { cpu.s.pointee.mxcsr = newValue & 0xFFFF }
  }

  /// ST(0)–ST(7), by their distance from the top of the stack; nil is an empty register.
  public subscript(st n: Int) -> Extended80? {
    get {
      let physical = physicalNumber(n)
      return cpu.s.pointee.x87.valid >> physical & 1 == 0 ? nil : x87Register(physical).pointee
    }
    set {
      let physical = physicalNumber(n)
      if let newValue {
        x87Register(physical).pointee = newValue
        cpu.s.pointee.x87.valid |= 1 << physical
      } else {
        cpu.s.pointee.x87.valid &= ~(1 << physical)
      }
    }
  }

  /// MM0–MM7: the significands of the x87 registers, whatever the top of their stack.
  public subscript(mm n: Int) -> UInt64 {
    get { x87Register(UInt8(n & 7)).pointee.significand }
    set { x87Register(UInt8(n & 7)).pointee.significand = newValue }
  }

  private func physicalNumber(_ n: Int) -> UInt8 {
    precondition(0..<8 ~= n, "x87 registers are numbered 0 to 7")
    return (cpu.s.pointee.x87.top &+ UInt8(n)) & 7
  }

  private func x87Register(_ n: UInt8) -> UnsafeMutablePointer<Extended80> {
    let first = MemoryLayout<CPUState>.offset(of: \.x87)! + MemoryLayout<X87State>.offset(of: \.r0)!
    return (UnsafeMutableRawPointer(cpu.s) + first).assumingMemoryBound(to: Extended80.self) + Int(n)
  }

  /// The x87 control word.
  public var x87ControlWord: UInt16 {
    get { cpu.s.pointee.x87.controlWord }
    set { cpu.s.pointee.x87.controlWord = newValue }
  }

  /// The x87 status word with TOP in bits 11–13.
  public var x87StatusWord: UInt16 {
    get { cpu.s.pointee.x87.statusWord & ~0x3800 | UInt16(cpu.s.pointee.x87.top) << 11 }
    set {
      cpu.s.pointee.x87.statusWord = newValue & ~0x3800
      cpu.s.pointee.x87.top = UInt8(newValue >> 11 & 7)
    }
  }

  // MARK: Model-specific registers

  /// What RDMSR reads; nil where it raises #GP.
  public func readMSR(_ index: UInt32) -> UInt64? { cpu.readMSR(index) }

  /// Writes as WRMSR does.
  ///
  /// - Throws: `modelSpecificRegister` where it raises #GP.
  public func writeMSR(_ index: UInt32, _ value: UInt64) throws(CoreError) {
    do throws(Fault) { try cpu.writeMSR(index, value) } catch { throw .modelSpecificRegister(index) }
  }
}
