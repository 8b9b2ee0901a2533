import X86Decoder

/// Bitwise instructions (SDM vol. 1 §7.3.4). AF, which the manual leaves undefined, is cleared as all current silicon does.
extension CPU {
  /// Source operand of an integer instruction. Immediates come sign-extended to 64 bits; callers look only at the bits of
  /// the operand size.
  @inline(__always)
  func source(_ i: borrowing Instruction, _ o: Operand) throws(Fault) -> UInt64 {
    o.kind == .immediate ? i.immediate : try read(i, o)
  }

  func AND(_ i: borrowing Instruction) throws(Fault) {
    let result = try readForUpdate(i, i.op0) & source(i, i.op1)
    try write(i, i.op0, result)
    setFlagsLogic(result, i.op0.size)
  }

  func OR(_ i: borrowing Instruction) throws(Fault) {
    let result = try readForUpdate(i, i.op0) | source(i, i.op1)
    try write(i, i.op0, result)
    setFlagsLogic(result, i.op0.size)
  }

  func XOR(_ i: borrowing Instruction) throws(Fault) {
    let result = try readForUpdate(i, i.op0) ^ source(i, i.op1)
    try write(i, i.op0, result)
    setFlagsLogic(result, i.op0.size)
  }

  func TEST(_ i: borrowing Instruction) throws(Fault) {
    setFlagsLogic(try read(i, i.op0) & source(i, i.op1), i.op0.size)
  }

  func NOT(_ i: borrowing Instruction) throws(Fault) {
    try write(i, i.op0, ~readForUpdate(i, i.op0))
  }
}
