import X86Decoder

/// Bit and byte instructions, BMI1, BMI2 and CRC32 (SDM vol. 1 §7.3.6, §7.3.11).
///
/// Flags that the manual leaves undefined: BT and its relatives, BSF and BSR leave them alone; LZCNT, TZCNT and BEXTR clear
/// them; ANDN, BLSI, BLSMSK, BLSR and BZHI set PF from the result and clear AF.
extension CPU {
  // MARK: Bit tests

  private enum BitChange { case none, set, reset, complement }

  func BT(_ i: borrowing Instruction) throws(Fault) { try testBit(i, .none) }
  func BTS(_ i: borrowing Instruction) throws(Fault) { try testBit(i, .set) }
  func BTR(_ i: borrowing Instruction) throws(Fault) { try testBit(i, .reset) }
  func BTC(_ i: borrowing Instruction) throws(Fault) { try testBit(i, .complement) }

  /// A register bit offset reaches memory beyond the operand, in both directions; an immediate one does not (SDM vol. 2A,
  /// BT).
  @inline(__always)
  private func testBit(_ i: borrowing Instruction, _ change: BitChange) throws(Fault) {
    let size = i.op0.size, bits = UInt64(size) &* 8
    let number = try source(i, i.op1)
    let bit = 1 as UInt64 &<< (number & (bits &- 1))
    let offset: UInt64
    let value: UInt64
    if i.op0.kind == .memory {
      var at = effectiveOffset(i)
      if i.op1.kind == .general {
        let element = Self.signExtend(number, i.op1.size) &>> Int64(bits.trailingZeroBitCount)
        at = (at &+ UInt64(bitPattern: element &* Int64(size))) & addressSizeMask(i)
      }
      offset = at
      if change != .none { try checkWrite(i.segment, offset, size: Int(size)) }
      value = try load(i.segment, offset, size: size)
    } else {
      offset = 0
      value = register(i.op0.register, size: size)
    }
    let result: UInt64
    switch change {
    case .none: result = value
    case .set: result = value | bit
    case .reset: result = value & ~bit
    case .complement: result = value ^ bit
    }
    if change != .none {
      if i.op0.kind == .memory {
        try store(i.segment, offset, result, size: size)
      } else {
        setRegister(i.op0.register, size: size, result)
      }
    }
    cf = value & bit != 0
  }

  // MARK: Scans and counts

  func BSF(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    if value != 0 { setRegister(i.op0.register, size: i.op0.size, UInt64(value.trailingZeroBitCount)) }
    zf = value == 0
  }

  func BSR(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    if value != 0 { setRegister(i.op0.register, size: i.op0.size, UInt64(63 &- value.leadingZeroBitCount)) }
    zf = value == 0
  }

  func TZCNT(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    let bits = Int(i.op0.size) &* 8
    setCount(i, UInt64(min(value.trailingZeroBitCount, bits)), of: value)
  }

  func LZCNT(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    setCount(i, UInt64(value.leadingZeroBitCount &- 64 &+ Int(i.op0.size) &* 8), of: value)
  }

  private func setCount(_ i: borrowing Instruction, _ count: UInt64, of value: UInt64) {
    setRegister(i.op0.register, size: i.op0.size, count)
    setStatusFlags((value == 0 ? Flags.cf : 0) | (count == 0 ? Flags.zf : 0))
  }

  func POPCNT(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    setRegister(i.op0.register, size: i.op0.size, UInt64(value.nonzeroBitCount))
    setStatusFlags(value == 0 ? Flags.zf : 0)
  }

  // MARK: BMI1

  private func setBitResult(_ i: borrowing Instruction, _ result: UInt64, carry: Bool) {
    setRegister(i.op0.register, size: i.op0.size, result)
    setFlagsShift(result, carry: carry, overflow: false, i.op0.size)
  }

  func ANDN(_ i: borrowing Instruction) throws(Fault) {
    setBitResult(i, try ~read(i, i.op1) & read(i, i.op2), carry: false)
  }

  func BLSI(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    setBitResult(i, value & (0 &- value), carry: value != 0)
  }

  func BLSMSK(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    setBitResult(i, value ^ (value &- 1), carry: value == 0)
  }

  func BLSR(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    setBitResult(i, value & (value &- 1), carry: value == 0)
  }

  func BEXTR(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    let control = try read(i, i.op2)
    let start = control & 0xFF, length = (control &>> 8) & 0xFF
    let field = start < 64 ? value &>> start : 0
    let result = length < 64 ? field & ((1 &<< length) &- 1) : field
    setRegister(i.op0.register, size: i.op0.size, result)
    setStatusFlags(result == 0 ? Flags.zf : 0)
  }

  // MARK: BMI2

  func BZHI(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    let index = try read(i, i.op2) & 0xFF
    let beyond = index >= UInt64(i.op0.size) &* 8
    setBitResult(i, beyond ? value : value & ((1 &<< index) &- 1), carry: beyond)
  }

  /// The high half is written last: it is what stays if both destinations are one register.
  func MULX(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let b = try read(i, i.op2)
    let product = register(2, size: size).multipliedFullWidth(by: b)
    setRegister(i.op1.register, size: size, product.low)
    setRegister(i.op0.register, size: size, size == 8 ? product.high : product.low &>> 32)
  }

  func PDEP(_ i: borrowing Instruction) throws(Fault) {
    var bits = try read(i, i.op1)
    var mask = try read(i, i.op2)
    var result: UInt64 = 0
    while mask != 0 {
      let lowest = mask & (0 &- mask)
      if bits & 1 != 0 { result |= lowest }
      bits &>>= 1
      mask ^= lowest
    }
    setRegister(i.op0.register, size: i.op0.size, result)
  }

  func PEXT(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    var mask = try read(i, i.op2)
    var result: UInt64 = 0
    var place: UInt64 = 1
    while mask != 0 {
      let lowest = mask & (0 &- mask)
      if value & lowest != 0 { result |= place }
      place &<<= 1
      mask ^= lowest
    }
    setRegister(i.op0.register, size: i.op0.size, result)
  }

  // MARK: CRC32

  /// CRC-32C (polynomial 11EDC6F41H, bit-reflected) of 1 to 8 bytes; the register's upper half becomes zero.
  func CRC32(_ i: borrowing Instruction) throws(Fault) {
    var crc = register(i.op0.register, size: 4) ^ (try read(i, i.op1))
    for _ in 0..<(Int(i.op1.size) &* 8) {
      crc = (crc &>> 1) ^ (0x82F6_3B78 & (0 &- (crc & 1)))
    }
    setGPR(i.op0.register, crc & 0xFFFF_FFFF)
  }
}
