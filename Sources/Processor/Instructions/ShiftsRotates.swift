import X86Decoder

/// Shifts and rotates (SDM vol. 1 §7.3.6).
///
/// The manual leaves OF undefined for counts above 1. Silicon computes it by the same circuit for all counts: CF ≠ top bit
/// of the result to the left, the two top bits of the result differing to the right. AF is cleared.
extension CPU {
  /// Count operand, masked as all processors since the 80286 do.
  @inline(__always)
  private func shiftCount(_ i: borrowing Instruction, _ o: Operand) throws(Fault) -> UInt64 {
    try read(i, o) & (i.op0.size == 8 ? 63 : 31)
  }

  /// Top bit of a value of `size` bytes.
  @inline(__always)
  static func topBit(_ value: UInt64, _ size: UInt8) -> Bool {
    (value &>> (UInt64(size) &* 8 &- 1)) & 1 != 0
  }

  /// The two top bits differ.
  @inline(__always)
  private static func topBitsDiffer(_ value: UInt64, _ size: UInt8) -> Bool {
    topBit(value ^ (value &<< 1), size)
  }

  // MARK: Shifts

  func SHL(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size, bits = UInt64(size) &* 8
    let a = try readForUpdate(i, i.op0)
    let count = try shiftCount(i, i.op1)
    let result = a &<< count
    try write(i, i.op0, result)
    if count == 0 { return }
    let carry = count <= bits && (a &>> (bits &- count)) & 1 != 0
    setFlagsShift(result, carry: carry, overflow: carry != Self.topBit(result, size), size)
  }

  func SHR(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let a = try readForUpdate(i, i.op0)
    let count = try shiftCount(i, i.op1)
    let result = a &>> count
    try write(i, i.op0, result)
    if count == 0 { return }
    let carry = (a &>> (count &- 1)) & 1 != 0
    setFlagsShift(result, carry: carry, overflow: Self.topBitsDiffer(result, size), size)
  }

  func SAR(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let a = Self.signExtend(try readForUpdate(i, i.op0), size)
    let count = Int64(bitPattern: try shiftCount(i, i.op1))
    let result = UInt64(bitPattern: a &>> count)
    try write(i, i.op0, result)
    if count == 0 { return }
    setFlagsShift(result, carry: (a &>> (count &- 1)) & 1 != 0, overflow: false, size)
  }

  /// With 16-bit operands and a count above 16, which the manual leaves undefined, the source follows a second time, while
  /// CF and (to the left) OF come from the destination alone; measured on AMD Zen 3.
  func SHLD(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size, bits = UInt64(size) &* 8
    let a = try readForUpdate(i, i.op0)
    let b = register(i.op1.register, size: size)
    let count = try shiftCount(i, i.op2)
    if count == 0 { return try write(i, i.op0, a) }
    let result: UInt64
    switch size {
    case 2: result = (((a &<< 32 | b &<< 16 | b) &<< count) &>> 32) & 0xFFFF
    case 4: result = ((a &<< 32 | b) &<< count) &>> 32
    default: result = a &<< count | b &>> (64 &- count)
    }
    try write(i, i.op0, result)
    let carry = count <= bits && (a &>> (bits &- count)) & 1 != 0
    setFlagsShift(result, carry: carry, overflow: carry != Self.topBit(a &<< count, size), size)
  }

  func SHRD(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let a = try readForUpdate(i, i.op0)
    let b = register(i.op1.register, size: size)
    let count = try shiftCount(i, i.op2)
    if count == 0 { return try write(i, i.op0, a) }
    let result: UInt64
    switch size {
    case 2: result = ((b &<< 32 | b &<< 16 | a) &>> count) & 0xFFFF
    case 4: result = ((b &<< 32 | a) &>> count) & 0xFFFF_FFFF
    default: result = a &>> count | b &<< (64 &- count)
    }
    try write(i, i.op0, result)
    let carry = (a &>> (count &- 1)) & 1 != 0
    setFlagsShift(result, carry: carry, overflow: Self.topBitsDiffer(result, size), size)
  }

  // MARK: Rotates; only CF and OF change

  @inline(__always)
  private func setRotateFlags(carry: Bool, overflow: Bool) {
    updateStatusFlags((carry ? Flags.cf : 0) | (overflow ? Flags.of : 0), mask: Flags.cf | Flags.of)
  }

  /// A count that is a multiple of the width leaves the operand alone but sets the flags; a count of 0 does not.
  func ROL(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size, bits = UInt64(size) &* 8
    let a = try readForUpdate(i, i.op0)
    let count = try shiftCount(i, i.op1)
    let turn = count & (bits &- 1)
    let result = turn == 0 ? a : a &<< turn | a &>> (bits &- turn)
    try write(i, i.op0, result)
    if count == 0 { return }
    let carry = result & 1 != 0
    setRotateFlags(carry: carry, overflow: carry != Self.topBit(result, size))
  }

  func ROR(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size, bits = UInt64(size) &* 8
    let a = try readForUpdate(i, i.op0)
    let count = try shiftCount(i, i.op1)
    let turn = count & (bits &- 1)
    let result = turn == 0 ? a : a &>> turn | a &<< (bits &- turn)
    try write(i, i.op0, result)
    if count == 0 { return }
    setRotateFlags(carry: Self.topBit(result, size), overflow: Self.topBitsDiffer(result, size))
  }

  /// Rotates through CF, so the cycle is one longer than the operand.
  func RCL(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size, bits = UInt64(size) &* 8
    let a = try readForUpdate(i, i.op0)
    let count = try shiftCount(i, i.op1)
    let turn = count % (bits &+ 1)
    let carryIn: UInt64 = cf ? 1 : 0
    var result = a
    var carry = carryIn != 0
    if turn != 0 {
      result = a &<< turn | carryIn &<< (turn &- 1) | (turn > 1 ? a &>> (bits &+ 1 &- turn) : 0)
      carry = (a &>> (bits &- turn)) & 1 != 0
    }
    try write(i, i.op0, result)
    if count == 0 { return }
    setRotateFlags(carry: carry, overflow: carry != Self.topBit(result, size))
  }

  func RCR(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size, bits = UInt64(size) &* 8
    let a = try readForUpdate(i, i.op0)
    let count = try shiftCount(i, i.op1)
    let turn = count % (bits &+ 1)
    let carryIn: UInt64 = cf ? 1 : 0
    var result = a
    var carry = carryIn != 0
    if turn != 0 {
      result = a &>> turn | carryIn &<< (bits &- turn) | (turn > 1 ? a &<< (bits &+ 1 &- turn) : 0)
      carry = (a &>> (turn &- 1)) & 1 != 0
    }
    try write(i, i.op0, result)
    if count == 0 { return }
    setRotateFlags(carry: carry, overflow: Self.topBitsDiffer(result, size))
  }

  // MARK: BMI2 forms without flags

  func SHLX(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    setRegister(i.op0.register, size: i.op0.size, value &<< (try shiftCount(i, i.op2)))
  }

  func SHRX(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    setRegister(i.op0.register, size: i.op0.size, value &>> (try shiftCount(i, i.op2)))
  }

  func SARX(_ i: borrowing Instruction) throws(Fault) {
    let value = Self.signExtend(try read(i, i.op1), i.op0.size)
    let count = Int64(bitPattern: try shiftCount(i, i.op2))
    setRegister(i.op0.register, size: i.op0.size, UInt64(bitPattern: value &>> count))
  }

  func RORX(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size, bits = UInt64(size) &* 8
    let value = try read(i, i.op1)
    let turn = try shiftCount(i, i.op2)
    setRegister(i.op0.register, size: size, turn == 0 ? value : value &>> turn | value &<< (bits &- turn))
  }
}
