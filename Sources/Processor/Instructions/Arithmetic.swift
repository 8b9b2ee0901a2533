import X86Decoder

/// Binary and decimal arithmetic (SDM vol. 1 §7.3.2 and §7.3.3).
///
/// Flags that the manual leaves undefined: MUL and IMUL set SF, ZF and PF from the low half of the product and clear AF
/// (Intel; AMD leaves them alone); DIV and IDIV leave all flags alone; the BCD instructions set SF, ZF and PF from AL and
/// clear what else is undefined.
extension CPU {
  // MARK: Addition and subtraction

  func ADD(_ i: borrowing Instruction) throws(Fault) {
    let a = try readForUpdate(i, i.op0)
    let result = a &+ (try source(i, i.op1))
    try write(i, i.op0, result)
    setFlagsAdd(result, a, i.op0.size)
  }

  func ADC(_ i: borrowing Instruction) throws(Fault) {
    let a = try readForUpdate(i, i.op0)
    let carry = cf
    let result = a &+ (try source(i, i.op1)) &+ (carry ? 1 : 0)
    try write(i, i.op0, result)
    setFlagsAdc(result, a, carry: carry, i.op0.size)
  }

  func SUB(_ i: borrowing Instruction) throws(Fault) {
    let a = try readForUpdate(i, i.op0)
    let result = a &- (try source(i, i.op1))
    try write(i, i.op0, result)
    setFlagsSub(result, a, i.op0.size)
  }

  func SBB(_ i: borrowing Instruction) throws(Fault) {
    let a = try readForUpdate(i, i.op0)
    let borrow = cf
    let result = a &- (try source(i, i.op1)) &- (borrow ? 1 : 0)
    try write(i, i.op0, result)
    setFlagsSbb(result, a, borrow: borrow, i.op0.size)
  }

  func CMP(_ i: borrowing Instruction) throws(Fault) {
    let a = try read(i, i.op0)
    setFlagsSub(a &- (try source(i, i.op1)), a, i.op0.size)
  }

  func INC(_ i: borrowing Instruction) throws(Fault) {
    let result = try readForUpdate(i, i.op0) &+ 1
    try write(i, i.op0, result)
    setFlagsInc(result, i.op0.size)
  }

  func DEC(_ i: borrowing Instruction) throws(Fault) {
    let result = try readForUpdate(i, i.op0) &- 1
    try write(i, i.op0, result)
    setFlagsDec(result, i.op0.size)
  }

  func NEG(_ i: borrowing Instruction) throws(Fault) {
    let result = 0 &- (try readForUpdate(i, i.op0))
    try write(i, i.op0, result)
    setFlagsNeg(result, i.op0.size)
  }

  /// Addition through CF alone.
  func ADCX(_ i: borrowing Instruction) throws(Fault) {
    let carry = try addThroughFlag(i, cf)
    cf = carry
  }

  /// Addition through OF alone.
  func ADOX(_ i: borrowing Instruction) throws(Fault) {
    let carry = try addThroughFlag(i, of)
    of = carry
  }

  private func addThroughFlag(_ i: borrowing Instruction, _ carryIn: Bool) throws(Fault) -> Bool {
    let o = i.op0
    let a = register(o.register, size: o.size)
    let b = try read(i, i.op1)
    let result = a &+ b &+ (carryIn ? 1 : 0)
    setRegister(o.register, size: o.size, result)
    let shift = Flags.justification(o.size)
    return Flags.carry(result &<< shift, a &<< shift, carryIn ? FlagKind.adc : FlagKind.add)
  }

  // MARK: Multiplication

  func MUL(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let b = try read(i, i.op0)
    let a = register(0, size: size)
    let low: UInt64, high: UInt64
    if size == 8 {
      (high, low) = a.multipliedFullWidth(by: b)
    } else {
      low = a &* b
      high = low &>> (UInt64(size) &* 8)
    }
    setProduct(low: low, high: high, size)
    let overflow = high != 0
    setFlagsShift(low, carry: overflow, overflow: overflow, size)
  }

  func IMUL(_ i: borrowing Instruction) throws(Fault) {
    if i.operandCount > 1 { return try multiplySignedTruncating(i) }
    let size = i.op0.size
    let b = Self.signExtend(try read(i, i.op0), size)
    let a = Self.signExtend(register(0, size: size), size)
    let low: UInt64, high: UInt64
    if size == 8 {
      let product = a.multipliedFullWidth(by: b)
      low = product.low
      high = UInt64(bitPattern: product.high)
    } else {
      low = UInt64(bitPattern: a &* b)
      high = UInt64(bitPattern: Int64(bitPattern: low) &>> (Int64(size) &* 8))
    }
    setProduct(low: low, high: high, size)
    let overflow = Int64(bitPattern: high) != Self.signExtend(low, size) &>> 63
    setFlagsShift(low, carry: overflow, overflow: overflow, size)
  }

  /// AX, or rDX:rAX, takes the product of operands of `size` bytes.
  private func setProduct(low: UInt64, high: UInt64, _ size: UInt8) {
    if size == 1 {
      setRegister(0, size: 2, low)
    } else {
      setRegister(0, size: size, low)
      setRegister(2, size: size, high)
    }
  }

  /// IMUL with two or three operands.
  private func multiplySignedTruncating(_ i: borrowing Instruction) throws(Fault) {
    let o = i.op0
    let a = Self.signExtend(i.operandCount == 3 ? try read(i, i.op1) : register(o.register, size: o.size), o.size)
    let b = Self.signExtend(try source(i, i.operandCount == 3 ? i.op2 : i.op1), o.size)
    let (product, overflow64) = a.multipliedReportingOverflow(by: b)
    let result = UInt64(bitPattern: product)
    let overflow = overflow64 || Self.signExtend(result, o.size) != product
    setRegister(o.register, size: o.size, result)
    setFlagsShift(result, carry: overflow, overflow: overflow, o.size)
  }

  // MARK: Division

  func DIV(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let divisor = try read(i, i.op0)
    if size == 8 {
      if s.pointee.rdx >= divisor { throw .divide }
      let (quotient, remainder) = divisor.dividingFullWidth((s.pointee.rdx, s.pointee.rax))
      setQuotient(quotient, remainder, size)
      return
    }
    let dividend = narrowDividend(size)
    if divisor == 0 { throw .divide }
    let quotient = dividend / divisor
    if quotient &>> (UInt64(size) &* 8) != 0 { throw .divide }
    setQuotient(quotient, dividend % divisor, size)
  }

  /// Works on magnitudes, because the quotient may overflow in ways that host division traps on.
  func IDIV(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let divisor = Self.signExtend(try read(i, i.op0), size)
    var high: UInt64, low: UInt64
    if size == 8 {
      (high, low) = (s.pointee.rdx, s.pointee.rax)
    } else {
      low = UInt64(bitPattern: Self.signExtend(narrowDividend(size), size &* 2))
      high = UInt64(bitPattern: Int64(bitPattern: low) &>> 63)
    }
    let negative = Int64(bitPattern: high) < 0
    if negative {
      low = 0 &- low
      high = ~high &+ (low == 0 ? 1 : 0)
    }
    let magnitude = divisor.magnitude
    if high >= magnitude { throw .divide }
    let (quotient, remainder) = magnitude.dividingFullWidth((high, low))
    let negativeQuotient = negative != (divisor < 0)
    let limit = 1 as UInt64 &<< (UInt64(size) &* 8 &- 1)
    if quotient >= limit, !(negativeQuotient && quotient == limit) { throw .divide }
    setQuotient(negativeQuotient ? 0 &- quotient : quotient, negative ? 0 &- remainder : remainder, size)
  }

  /// AX, DX:AX or EDX:EAX.
  private func narrowDividend(_ size: UInt8) -> UInt64 {
    if size == 1 { return register(0, size: 2) }
    return register(0, size: size) | register(2, size: size) &<< (UInt64(size) &* 8)
  }

  private func setQuotient(_ quotient: UInt64, _ remainder: UInt64, _ size: UInt8) {
    setRegister(0, size: size, quotient)
    setRegister(size == 1 ? 16 : 2, size: size, remainder)
  }

  // MARK: Decimal arithmetic

  func DAA(_ i: borrowing Instruction) throws(Fault) {
    let old = register(0, size: 1)
    let high = old > 0x99 || cf
    let low = old & 0xF > 9 || af
    setDecimal(old &+ (low ? 6 : 0) &+ (high ? 0x60 : 0), carry: high, adjust: low)
  }

  func DAS(_ i: borrowing Instruction) throws(Fault) {
    let old = register(0, size: 1)
    let high = old > 0x99 || cf
    let low = old & 0xF > 9 || af
    setDecimal(old &- (low ? 6 : 0) &- (high ? 0x60 : 0), carry: high || (low && old < 6), adjust: low)
  }

  func AAA(_ i: borrowing Instruction) throws(Fault) {
    let ax = register(0, size: 2)
    let adjust = ax & 0xF > 9 || af
    let result = adjust ? ax &+ 0x106 : ax
    setRegister(0, size: 2, result & 0xFF0F)
    setDecimal(result & 0xF, carry: adjust, adjust: adjust)
  }

  func AAS(_ i: borrowing Instruction) throws(Fault) {
    let ax = register(0, size: 2)
    let adjust = ax & 0xF > 9 || af
    let result = adjust ? ax &- 0x106 : ax
    setRegister(0, size: 2, result & 0xFF0F)
    setDecimal(result & 0xF, carry: adjust, adjust: adjust)
  }

  func AAM(_ i: borrowing Instruction) throws(Fault) {
    let base = i.immediate & 0xFF
    if base == 0 { throw .divide }
    let al = register(0, size: 1)
    setRegister(16, size: 1, al / base)
    setDecimal(al % base, carry: false, adjust: false)
  }

  func AAD(_ i: borrowing Instruction) throws(Fault) {
    let result = register(0, size: 1) &+ register(16, size: 1) &* (i.immediate & 0xFF)
    setRegister(0, size: 2, result & 0xFF)
    setDecimal(result, carry: false, adjust: false)
  }

  private func setDecimal(_ al: UInt64, carry: Bool, adjust: Bool) {
    setRegister(0, size: 1, al)
    setStatusFlags((carry ? Flags.cf : 0) | (adjust ? Flags.af : 0) | (Flags.evenParity(al) ? Flags.pf : 0)
      | (al & 0xFF == 0 ? Flags.zf : 0) | (al & Flags.sf))
  }
}
