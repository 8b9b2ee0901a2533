import X86Decoder

/// Packed shifts of MMX, SSE2 and AVX2. Unlike scalar shifts, a count as large as the lane clears it or leaves only signs
/// (SDM vol. 2B, PSLLW/PSLLD/PSLLQ).
extension CPU {
  /// The value to shift and the count: an immediate, the low 64 bits of a register, or 8 or 16 bytes of memory.
  @inline(__always)
  private func shiftOperands(_ i: borrowing Instruction) throws(Fault) -> (Vector256, UInt64) {
    let (second, third) = (i.op1.kind, i.op2.kind)
    if second == .immediate || third == .immediate {
      if i.op0.kind == .mmx {
        try checkMMX()
        return (Vector256(mmx(i.op0.register)), i.immediate & 0xFF)
      }
      try checkVector(i)
      return (vector(i.prefixes.contains(.vex) ? i.op1.register : i.op0.register).pointee, i.immediate & 0xFF)
    }
    let (a, b) = try integerSources(i)
    return (a, b.q0)
  }

  @inline(__always)
  private func logicalShift<T: FixedWidthInteger & UnsignedInteger>(
    _ i: borrowing Instruction, _ body: (T, T) -> T
  ) throws(Fault) {
    let (a, count) = try shiftOperands(i)
    if count >= UInt64(T.bitWidth) { return setIntegerResult(i, Vector256()) }
    let c = T(truncatingIfNeeded: count)
    setIntegerResult(i, a.map { (x: T) in body(x, c) })
  }

  @inline(__always)
  private func arithmeticShift<T: FixedWidthInteger & SignedInteger>(_ i: borrowing Instruction, _ type: T.Type) throws(Fault) {
    let (a, count) = try shiftOperands(i)
    let c = T(truncatingIfNeeded: min(count, UInt64(T.bitWidth &- 1)))
    setIntegerResult(i, a.map { (x: T) in x &>> c })
  }

  func PSLLW(_ i: borrowing Instruction) throws(Fault) { try logicalShift(i) { (x: UInt16, c) in x &<< c } }
  func PSLLD(_ i: borrowing Instruction) throws(Fault) { try logicalShift(i) { (x: UInt32, c) in x &<< c } }
  func PSLLQ(_ i: borrowing Instruction) throws(Fault) { try logicalShift(i) { (x: UInt64, c) in x &<< c } }
  func PSRLW(_ i: borrowing Instruction) throws(Fault) { try logicalShift(i) { (x: UInt16, c) in x &>> c } }
  func PSRLD(_ i: borrowing Instruction) throws(Fault) { try logicalShift(i) { (x: UInt32, c) in x &>> c } }
  func PSRLQ(_ i: borrowing Instruction) throws(Fault) { try logicalShift(i) { (x: UInt64, c) in x &>> c } }
  func PSRAW(_ i: borrowing Instruction) throws(Fault) { try arithmeticShift(i, Int16.self) }
  func PSRAD(_ i: borrowing Instruction) throws(Fault) { try arithmeticShift(i, Int32.self) }

  // MARK: Whole 128-bit lanes by bytes

  func PSLLDQ(_ i: borrowing Instruction) throws(Fault) {
    let (a, count) = try shiftOperands(i)
    setVector(i, i.op0.register, Vector256(low: a.half(0).shiftedLeft(bytes: count), high: a.half(1).shiftedLeft(bytes: count)))
  }

  func PSRLDQ(_ i: borrowing Instruction) throws(Fault) {
    let (a, count) = try shiftOperands(i)
    setVector(i, i.op0.register, Vector256(low: a.half(0).shiftedRight(bytes: count), high: a.half(1).shiftedRight(bytes: count)))
  }

  // MARK: Counts of their own for each lane (AVX2)

  func VPSLLVD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt32, c) in c < 32 ? a &<< c : 0 } }
  func VPSLLVQ(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt64, c) in c < 64 ? a &<< c : 0 } }
  func VPSRLVD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt32, c) in c < 32 ? a &>> c : 0 } }
  func VPSRLVQ(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt64, c) in c < 64 ? a &>> c : 0 } }
  func VPSRAVD(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: Int32, c) in a &>> (UInt32(bitPattern: c) < 32 ? c : 31) }
  }
}

extension Vector256 {
  /// The low 128 bits shifted by whole bytes.
  @inline(__always) func shiftedLeft(bytes: UInt64) -> Vector256 {
    if bytes >= 16 { return Vector256() }
    let value = UInt128(q1) &<< 64 | UInt128(q0)
    return Vector256(value: value &<< UInt128(bytes &* 8))
  }

  @inline(__always) func shiftedRight(bytes: UInt64) -> Vector256 {
    if bytes >= 16 { return Vector256() }
    let value = UInt128(q1) &<< 64 | UInt128(q0)
    return Vector256(value: value &>> UInt128(bytes &* 8))
  }

  @inline(__always) init(value: UInt128) {
    self.init(UInt64(truncatingIfNeeded: value), UInt64(truncatingIfNeeded: value &>> 64))
  }
}
