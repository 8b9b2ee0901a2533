import SoftFloat
import X86
import X86Decoder

/// Availability checks, operands and results common to MMX, SSE and AVX.
///
/// A VEX instruction names its first source apart from the destination, allows unaligned memory and clears what its
/// vector length leaves of the destination (SDM vol. 1 §14.1.3); otherwise it is the legacy instruction. So one method
/// serves both: it takes its sources and gives its result through the functions here.
extension CPU {
  // MARK: Availability

  /// Legacy SSE: #UD if CR0.EM is set or CR4.OSFXSR clear, then #NM if CR0.TS is set (SDM vol. 2A table 2-17 on).
  @inline(__always) func checkSSE() throws(Fault) {
    if s.pointee.cr0 & (CR0.EM | CR0.TS) | (~s.pointee.cr4 & CR4.OSFXSR) != 0 { try refuseSSE() }
  }

  @inline(never) private func refuseSSE() throws(Fault) {
    throw s.pointee.cr0 & CR0.EM != 0 || s.pointee.cr4 & CR4.OSFXSR == 0 ? .undefined : .deviceNotAvailable
  }

  /// VEX: #UD outside protected mode, without CR4.OSXSAVE or without XCR0[2:1]; then #NM if CR0.TS is set.
  @inline(__always) func checkAVX() throws(Fault) {
    guard s.pointee.protectedMode && s.pointee.cr4 & CR4.OSXSAVE != 0 && s.pointee.xcr0 & 6 == 6 else { throw .undefined }
    if s.pointee.cr0 & CR0.TS != 0 { throw .deviceNotAvailable }
  }

  @inline(__always) func checkVector(_ i: borrowing Instruction) throws(Fault) {
    if i.prefixes.contains(.vex) { try checkAVX() } else { try checkSSE() }
  }

  // MARK: Sources

  /// A register or memory operand, zero-extended to 32 bytes. `aligned`: 16 bytes of memory must be aligned (#GP).
  func source(_ i: borrowing Instruction, _ o: Operand, aligned: Bool) throws(Fault) -> Vector256 {
    switch o.kind {
    case .vector: return vector(o.register).pointee
    case .mmx: return Vector256(mmx(o.register))
    case .memory:
      let offset = effectiveOffset(i)
      switch o.size {
      case 16:
        let (low, high) = try load128(i.segment, offset, aligned: aligned)
        return Vector256(low, high)
      case 32: return try load256(i.segment, offset, aligned: aligned)
      default: return Vector256(try load(i.segment, offset, size: o.size))
      }
    default: return Vector256(try read(i, o))
    }
  }

  /// The two sources of an SSE or AVX instruction, the memory one last: operands 0 and 1, or 1 and 2 with VEX.
  @inline(__always) func sources(_ i: borrowing Instruction) throws(Fault) -> (Vector256, Vector256) {
    if i.prefixes.contains(.vex) {
      try checkAVX()
      let b = try i.op2.kind == .vector ? vector(i.op2.register).pointee : source(i, i.op2, aligned: false)
      return (vector(i.op1.register).pointee, b)
    }
    try checkSSE()
    let b = try i.op1.kind == .vector ? vector(i.op1.register).pointee : source(i, i.op1, aligned: true)
    return (vector(i.op0.register).pointee, b)
  }

  /// The source of an instruction that does not read its destination: operand 1.
  @inline(__always) func soleSource(_ i: borrowing Instruction) throws(Fault) -> Vector256 {
    let vex = i.prefixes.contains(.vex)
    if vex { try checkAVX() } else { try checkSSE() }
    return try i.op1.kind == .vector ? vector(i.op1.register).pointee : source(i, i.op1, aligned: !vex)
  }

  /// As `sources`, for instructions that have an MMX form too.
  @inline(__always) func integerSources(_ i: borrowing Instruction) throws(Fault) -> (Vector256, Vector256) {
    if i.op0.kind == .mmx { return try mmxSources(i) }
    return try sources(i)
  }

  @inline(never) private func mmxSources(_ i: borrowing Instruction) throws(Fault) -> (Vector256, Vector256) {
    try checkMMX()
    let b = try source(i, i.op1, aligned: false)
    return (Vector256(mmx(i.op0.register)), b)
  }

  /// As `soleSource`, for instructions that have an MMX form too.
  @inline(__always) func integerSource(_ i: borrowing Instruction) throws(Fault) -> Vector256 {
    if i.op0.kind == .mmx {
      try checkMMX()
      return try source(i, i.op1, aligned: false)
    }
    return try soleSource(i)
  }

  // MARK: Results

  /// Writes a vector register at the instruction's vector length: legacy forms keep the upper half, VEX.128 clears it.
  @inline(__always) func setVector(_ i: borrowing Instruction, _ n: UInt8, _ value: Vector256) {
    let register = vector(n)
    register.pointee.q0 = value.q0
    register.pointee.q1 = value.q1
    if i.vectorLength == 32 {
      register.pointee.q2 = value.q2
      register.pointee.q3 = value.q3
    } else if i.prefixes.contains(.vex) {
      register.pointee.q2 = 0
      register.pointee.q3 = 0
    }
  }

  /// The same with 128 bits whatever VEX.L says: results of scalar instructions.
  @inline(__always) func setXMM(_ i: borrowing Instruction, _ n: UInt8, _ value: Vector256) {
    let register = vector(n)
    register.pointee.q0 = value.q0
    register.pointee.q1 = value.q1
    if i.prefixes.contains(.vex) {
      register.pointee.q2 = 0
      register.pointee.q3 = 0
    }
  }

  /// Writes operand 0, an MMX or vector register.
  @inline(__always) func setIntegerResult(_ i: borrowing Instruction, _ value: Vector256) {
    if i.op0.kind == .mmx { setMMX(i.op0.register, value.q0) } else { setVector(i, i.op0.register, value) }
  }

  /// Stores the low `size` bytes of a vector.
  func storeVector(_ i: borrowing Instruction, size: UInt8, _ value: Vector256, aligned: Bool) throws(Fault) {
    let offset = effectiveOffset(i)
    switch size {
    case 16: try store128(i.segment, offset, value.q0, value.q1, aligned: aligned)
    case 32: try store256(i.segment, offset, value, aligned: aligned)
    default: try store(i.segment, offset, value.q0, size: size)
    }
  }

  // MARK: Families

  /// destination = body(first source, second source), integer instructions of all widths.
  @inline(__always)
  func integer(_ i: borrowing Instruction, _ body: (Vector256, Vector256) -> Vector256) throws(Fault) {
    let (a, b) = try integerSources(i)
    setIntegerResult(i, body(a, b))
  }

  /// The same lane by lane.
  @inline(__always) func lanes<T>(_ i: borrowing Instruction, _ body: (T, T) -> T) throws(Fault) {
    let (a, b) = try integerSources(i)
    setIntegerResult(i, Vector256.zip(a, b, body))
  }

  /// The same for each 128-bit half by itself, SSE and AVX only.
  @inline(__always)
  func perHalf(_ i: borrowing Instruction, _ body: (Vector256, Vector256) -> Vector256) throws(Fault) {
    let (a, b) = try sources(i)
    setVector(i, i.op0.register, Vector256.perHalf(a, b, body))
  }

  // MARK: Floating-point environment

  /// MXCSR as the arithmetic wants it, with no flags but a masked, already sticky PE: that one needs not be found again,
  /// and not having to find it is what makes host arithmetic usable.
  @inline(__always) var simdEnvironment: FloatEnvironment {
    var environment = FloatEnvironment(mxcsr: s.pointee.mxcsr)
    environment.flags = FloatFlags(rawValue: UInt8(truncatingIfNeeded: s.pointee.mxcsr & s.pointee.mxcsr &>> 7) & 0x20)
    return environment
  }

  /// Makes the flags of a finished operation sticky; #XM (or #UD, CR4.OSXMMEXCPT) for unmasked ones, before any result
  /// is written (SDM vol. 1 §11.5.1).
  @inline(__always) func settle(_ environment: FloatEnvironment) throws(Fault) {
    if UInt32(environment.flags.rawValue) & ~s.pointee.mxcsr != 0 || environment.unmasked.rawValue != 0 {
      try recordExceptions(environment)
    }
  }

  @inline(never) private func recordExceptions(_ environment: FloatEnvironment) throws(Fault) {
    let flags = environment.flags.settled(masks: environment.masks)
    s.pointee.mxcsr |= UInt32(flags.rawValue)
    if environment.unmasked.rawValue != 0 { throw s.pointee.cr4 & CR4.OSXMMEXCPT != 0 ? .simd : .undefined }
  }
}
