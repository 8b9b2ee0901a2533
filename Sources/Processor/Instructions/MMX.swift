import SoftFloat
import X86
import X86Decoder

/// MMX registers and the instructions that only they have (SDM vol. 1 §9). Arithmetic shared with SSE2 is in
/// IntegerSIMD*.swift.
extension CPU {
  // MARK: Registers

  /// Before any MMX instruction: #UD if CR0.EM is set, #NM if CR0.TS is, #MF for a pending x87 exception
  /// (SDM vol. 3A §12.1, table 12-1, §12.5).
  @inline(__always) func checkMMX() throws(Fault) {
    if s.pointee.cr0 & (CR0.EM | CR0.TS) | UInt64(s.pointee.x87.statusWord & 0x80) != 0 { try refuseMMX() }
  }

  @inline(never) private func refuseMMX() throws(Fault) {
    if s.pointee.cr0 & CR0.EM != 0 { throw .undefined }
    throw s.pointee.cr0 & CR0.TS != 0 ? .deviceNotAvailable : .floatingPoint
  }

  /// Physical x87 register `n`, whose significand is MM`n`.
  @inline(__always) func physicalRegister(_ n: UInt8) -> UnsafeMutablePointer<Extended80> {
    let base = raw + (MemoryLayout<CPUState>.offset(of: \.x87)! + MemoryLayout<X87State>.offset(of: \.r0)!)
    return base.assumingMemoryBound(to: Extended80.self) + Int(n & 7)
  }

  @inline(__always) func mmx(_ n: UInt8) -> UInt64 { physicalRegister(n).pointee.significand }

  /// Writing a register sets its sign and exponent to ones, and TOP and all tags as `enterMMX` does (SDM vol. 1 §9.5.1).
  @inline(__always) func setMMX(_ n: UInt8, _ value: UInt64) {
    physicalRegister(n).pointee = Extended80(significand: value, signExponent: 0xFFFF)
    enterMMX()
  }

  /// What every MMX instruction but EMMS does to the x87 unit: TOP 0, all registers valid.
  @inline(__always) func enterMMX() {
    s.pointee.x87.top = 0
    s.pointee.x87.valid = 0xFF
  }

  func EMMS(_ i: borrowing Instruction) throws(Fault) {
    try checkMMX()
    s.pointee.x87.top = 0
    s.pointee.x87.valid = 0
  }

  // MARK: Moves

  func MOVQ2DQ(_ i: borrowing Instruction) throws(Fault) {
    try checkMMXWithSSE()
    setXMM(i, i.op0.register, Vector256(mmx(i.op1.register)))
    enterMMX()
  }

  func MOVDQ2Q(_ i: borrowing Instruction) throws(Fault) {
    try checkMMXWithSSE()
    setMMX(i.op0.register, vector(i.op1.register).pointee.q0)
  }

  /// Instructions with an MMX and an XMM operand need both units.
  @inline(__always) func checkMMXWithSSE() throws(Fault) {
    try checkSSE()
    try checkMMX()
  }

  func MOVNTQ(_ i: borrowing Instruction) throws(Fault) {
    try checkMMX()
    try store64(i.segment, effectiveOffset(i), mmx(i.op1.register))
    enterMMX()
  }

  func MASKMOVQ(_ i: borrowing Instruction) throws(Fault) {
    try checkMMX()
    try storeMaskedBytes(i, Vector256(mmx(i.op0.register)), Vector256(mmx(i.op1.register)), count: 8)
    enterMMX()
  }

  func PSHUFW(_ i: borrowing Instruction) throws(Fault) {
    let a = try integerSource(i)
    setMMX(i.op0.register, shuffledWords(a.q0, by: UInt8(truncatingIfNeeded: i.immediate)))
  }
}
