// Add, subtract, multiply, divide, square root and fused multiply-add of binary32 and binary64 with SSE semantics
// (SDM vol. 1 §4.8.3.5 for NaNs, §4.9.2 and §11.5 for exceptions). Written once over the format, compiled for each.

extension InterchangeFormat {
  /// The result of a two-operand operation if either is a NaN (SDM vol. 1 table 4-7, SSE column): the first operand if it is one, else the second.
  @inline(__always) static func propagatedNaN(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self? {
    guard a.isNaN || b.isNaN else { return nil }
    if a.isSignalingNaN || b.isSignalingNaN { environment.raise(.invalid) }
    return a.isNaN ? a.quieted : b.quieted
  }

  @inline(__always) static func invalidResult(_ environment: inout FloatEnvironment) -> Self {
    environment.raise(.invalid)
    return indefinite
  }

  /// Raises DE for a denormal among the operands; true if the operation has to stop.
  @inline(__always) static func stopsAtDenormal(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Bool {
    (a.isDenormal || b.isDenormal) && environment.raiseDenormal()
  }

  // MARK: Addition

  @inline(__always) static func sum(_ a: Self, _ b: Self, negatingSecond: Bool, _ environment: inout FloatEnvironment) -> Self {
    if a.isOrdinary && b.isOrdinary {
      var y = b.unpackedOrdinary
      y.negative = y.negative != negatingSecond
      return sum(a.unpackedOrdinary, y, &environment)
    }
    return specialSum(a, b, negatingSecond: negatingSecond, &environment)
  }

  @inline(never) static func specialSum(_ first: Self, _ second: Self, negatingSecond: Bool, _ environment: inout FloatEnvironment) -> Self {
    environment.roundedUp = false
    let a = first.flushed(environment)
    let b = second.flushed(environment)
    if let nan = propagatedNaN(a, b, &environment) { return nan }
    let negativeB = b.isNegative != negatingSecond
    if a.isInfinity && b.isInfinity && a.isNegative != negativeB { return invalidResult(&environment) }
    if stopsAtDenormal(a, b, &environment) { return a }
    if a.isInfinity { return a }
    if b.isInfinity { return infinity(negative: negativeB) }
    if a.isZero && b.isZero {
      return zero(negative: a.isNegative == negativeB ? negativeB : environment.rounding == .down)
    }
    // Rounding the other operand alone is exact but lets FTZ and an unmasked underflow see it.
    if b.isZero {
      let x = a.unpacked
      return rounded(x.negative, x.exponent, x.significand, &environment)
    }
    var y = b.unpacked
    y.negative = negativeB
    if a.isZero { return rounded(y.negative, y.exponent, y.significand, &environment) }
    return sum(a.unpacked, y, &environment)
  }

  @inline(__always) static func sum(_ x: Unpacked, _ y: Unpacked, _ environment: inout FloatEnvironment) -> Self {
    let swap = x.exponent < y.exponent || (x.exponent == y.exponent && x.significand < y.significand)
    let big = swap ? y : x
    let small = swap ? x : y
    let distance = big.exponent &- small.exponent
    if big.negative == small.negative {
      // One bit of headroom: significands of these formats leave ten or more zero bits at the bottom.
      let total = big.significand &>> 1 &+ shiftRightJamming(small.significand &>> 1, distance)
      let carried = total &>> 63
      return rounded(big.negative, big.exponent &+ Int(truncatingIfNeeded: carried), total &<< (1 &- carried), &environment)
    }
    let difference = big.significand &- shiftRightJamming(small.significand, distance)
    if difference == 0 {
      environment.roundedUp = false
      return zero(negative: environment.rounding == .down)
    }
    let shift = difference.leadingZeroBitCount
    return rounded(big.negative, big.exponent &- shift, difference &<< UInt64(truncatingIfNeeded: shift), &environment)
  }

  // MARK: Multiplication

  @inline(__always) static func product(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self {
    if a.isOrdinary && b.isOrdinary { return product(a.unpackedOrdinary, b.unpackedOrdinary, &environment) }
    return specialProduct(a, b, &environment)
  }

  @inline(never) static func specialProduct(_ first: Self, _ second: Self, _ environment: inout FloatEnvironment) -> Self {
    environment.roundedUp = false
    let a = first.flushed(environment)
    let b = second.flushed(environment)
    if let nan = propagatedNaN(a, b, &environment) { return nan }
    if (a.isInfinity && b.isZero) || (a.isZero && b.isInfinity) { return invalidResult(&environment) }
    if stopsAtDenormal(a, b, &environment) { return a }
    let negative = a.isNegative != b.isNegative
    if a.isInfinity || b.isInfinity { return infinity(negative: negative) }
    if a.isZero || b.isZero { return zero(negative: negative) }
    return product(a.unpacked, b.unpacked, &environment)
  }

  @inline(__always) static func product(_ x: Unpacked, _ y: Unpacked, _ environment: inout FloatEnvironment) -> Self {
    let (high, low) = x.significand.multipliedFullWidth(by: y.significand)
    let jammed = high | (low != 0 ? 1 : 0)
    // Bits 126 or 127 lead; a left shift by one leaves the jammed bit in place of a zero, far below the rounding position.
    let leading = high &>> 63
    let exponent = x.exponent &+ y.exponent &- bias &+ Int(truncatingIfNeeded: leading)
    return rounded(x.negative != y.negative, exponent, jammed &<< (1 &- leading), &environment)
  }

  // MARK: Division

  @inline(__always) static func quotient(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self {
    if a.isOrdinary && b.isOrdinary { return quotient(a.unpackedOrdinary, b.unpackedOrdinary, &environment) }
    return specialQuotient(a, b, &environment)
  }

  @inline(never) static func specialQuotient(_ first: Self, _ second: Self, _ environment: inout FloatEnvironment) -> Self {
    environment.roundedUp = false
    let a = first.flushed(environment)
    let b = second.flushed(environment)
    if let nan = propagatedNaN(a, b, &environment) { return nan }
    if (a.isInfinity && b.isInfinity) || (a.isZero && b.isZero) { return invalidResult(&environment) }
    let negative = a.isNegative != b.isNegative
    if b.isZero && !a.isInfinity {
      environment.raise(.divideByZero)
      return infinity(negative: negative)
    }
    if stopsAtDenormal(a, b, &environment) { return a }
    if a.isInfinity { return infinity(negative: negative) }
    if a.isZero || b.isInfinity { return zero(negative: negative) }
    return quotient(a.unpacked, b.unpacked, &environment)
  }

  @inline(__always) static func quotient(_ x: Unpacked, _ y: Unpacked, _ environment: inout FloatEnvironment) -> Self {
    let exponent = x.exponent &- y.exponent &+ bias
    let negative = x.negative != y.negative
    if fractionWidth <= 23 {
      // Both significands have 24 bits at most: a 64-bit division gives 39 bits of quotient.
      let numerator = x.significand &>> 1
      let denominator = y.significand &>> 40
      let whole = numerator / denominator
      let shift = whole.leadingZeroBitCount
      let sticky: UInt64 = whole &* denominator != numerator ? 1 : 0
      return rounded(negative, exponent &+ 24 &- shift, whole &<< UInt64(truncatingIfNeeded: shift) | sticky, &environment)
    }
    let below = x.significand < y.significand
    let numerator = below ? (high: x.significand, low: UInt64(0)) : (high: x.significand &>> 1, low: x.significand &<< 63)
    let (whole, remainder) = y.significand.dividingFullWidth(numerator)
    return rounded(negative, below ? exponent &- 1 : exponent, whole | (remainder != 0 ? 1 : 0), &environment)
  }

  // MARK: Square root

  @inline(__always) static func root(_ a: Self, _ environment: inout FloatEnvironment) -> Self {
    if a.isOrdinary && !a.isNegative { return root(a.unpackedOrdinary, &environment) }
    return specialRoot(a, &environment)
  }

  @inline(never) static func specialRoot(_ operand: Self, _ environment: inout FloatEnvironment) -> Self {
    environment.roundedUp = false
    let a = operand.flushed(environment)
    if a.isNaN {
      if a.isSignalingNaN { environment.raise(.invalid) }
      return a.quieted
    }
    if a.isZero { return a }
    if a.isNegative { return invalidResult(&environment) }
    if a.isInfinity { return a }
    if a.isDenormal && environment.raiseDenormal() { return a }
    return root(a.unpacked, &environment)
  }

  @inline(__always) static func root(_ x: Unpacked, _ environment: inout FloatEnvironment) -> Self {
    let exponent = x.exponent &- bias
    let radicand = wide(x.significand, 0) &>> (exponent & 1 != 0 ? 0 : 1)
    let (whole, exact) = integerSquareRoot(radicand)
    return rounded(false, exponent &>> 1 &+ bias, whole | (exact ? 0 : 1), &environment)
  }

  // MARK: Fused multiply-add

  /// ±(a·b) ± c with one rounding. Operands are in the order of the instruction's formula "a × b + c"
  /// (SDM vol. 1 §14.5.1): a NaN is taken from a, then b, then c.
  @inline(__always)
  static func fused(
    _ first: Self, _ second: Self, _ third: Self, negateProduct: Bool, negateAddend: Bool, _ environment: inout FloatEnvironment
  ) -> Self {
    environment.roundedUp = false
    let a = first.flushed(environment)
    let b = second.flushed(environment)
    let c = third.flushed(environment)
    if a.isNaN || b.isNaN || c.isNaN {
      if a.isSignalingNaN || b.isSignalingNaN || c.isSignalingNaN { environment.raise(.invalid) }
      return a.isNaN ? a.quieted : b.isNaN ? b.quieted : c.quieted
    }
    let negativeProduct = (a.isNegative != b.isNegative) != negateProduct
    let negativeAddend = c.isNegative != negateAddend
    let infiniteProduct = a.isInfinity || b.isInfinity
    if infiniteProduct && (a.isZero || b.isZero) { return invalidResult(&environment) }
    if infiniteProduct && c.isInfinity && negativeProduct != negativeAddend { return invalidResult(&environment) }
    if (a.isDenormal || b.isDenormal || c.isDenormal) && environment.raiseDenormal() { return a }
    if infiniteProduct { return infinity(negative: negativeProduct) }
    if c.isInfinity { return infinity(negative: negativeAddend) }
    if a.isZero || b.isZero {
      if c.isZero {
        return zero(negative: negativeProduct == negativeAddend ? negativeAddend : environment.rounding == .down)
      }
      let z = c.unpacked
      return rounded(negativeAddend, z.exponent, z.significand, &environment)
    }
    let x = a.unpacked
    let y = b.unpacked
    let (high, low) = x.significand.multipliedFullWidth(by: y.significand)
    // Leading bit to 126; the product of two significands of at most 53 bits leaves 20 or more zero bits at the bottom.
    let leading = Int(truncatingIfNeeded: high &>> 63)
    var big = wide(high, low) &>> UInt128(truncatingIfNeeded: leading)
    var bigExponent = x.exponent &+ y.exponent &- bias &+ leading
    var bigNegative = negativeProduct
    if c.isZero {
      return rounded(bigNegative, bigExponent, (big &<< 1).jammedHigh, &environment)
    }
    let z = c.unpacked
    var small = wide(z.significand, 0) &>> 1
    var smallExponent = z.exponent
    var smallNegative = negativeAddend
    if smallExponent > bigExponent || (smallExponent == bigExponent && small > big) {
      swap(&big, &small)
      swap(&bigExponent, &smallExponent)
      swap(&bigNegative, &smallNegative)
    }
    let aligned = shiftRightJamming(small, bigExponent &- smallExponent)
    let total = bigNegative == smallNegative ? big &+ aligned : big &- aligned
    if total == 0 { return zero(negative: environment.rounding == .down) }
    let shift = total.leadingZeroBitCount
    return rounded(bigNegative, bigExponent &+ 1 &- shift, (total &<< UInt128(truncatingIfNeeded: shift)).jammedHigh, &environment)
  }
}

extension Binary32 {
  /// ADDSS.
  @inline(never) public static func add(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self {
    sum(a, b, negatingSecond: false, &environment)
  }
  /// SUBSS.
  @inline(never) public static func sub(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self {
    sum(a, b, negatingSecond: true, &environment)
  }
  /// MULSS.
  @inline(never) public static func mul(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self { product(a, b, &environment) }
  /// DIVSS.
  @inline(never) public static func div(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self { quotient(a, b, &environment) }
  /// SQRTSS.
  @inline(never) public static func sqrt(_ a: Self, _ environment: inout FloatEnvironment) -> Self { root(a, &environment) }
  /// The VFMADD family: ±(a·b) ± c with one rounding; `a`, `b`, `c` as in the instruction's formula.
  @inline(never) public static func fusedMultiplyAdd(
    _ a: Self, _ b: Self, _ c: Self, negateProduct: Bool = false, negateAddend: Bool = false, _ environment: inout FloatEnvironment
  ) -> Self { fused(a, b, c, negateProduct: negateProduct, negateAddend: negateAddend, &environment) }
}

extension Binary64 {
  /// ADDSD.
  @inline(never) public static func add(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self {
    sum(a, b, negatingSecond: false, &environment)
  }
  /// SUBSD.
  @inline(never) public static func sub(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self {
    sum(a, b, negatingSecond: true, &environment)
  }
  /// MULSD.
  @inline(never) public static func mul(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self { product(a, b, &environment) }
  /// DIVSD.
  @inline(never) public static func div(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self { quotient(a, b, &environment) }
  /// SQRTSD.
  @inline(never) public static func sqrt(_ a: Self, _ environment: inout FloatEnvironment) -> Self { root(a, &environment) }
  /// The VFMADD family: ±(a·b) ± c with one rounding; `a`, `b`, `c` as in the instruction's formula.
  @inline(never) public static func fusedMultiplyAdd(
    _ a: Self, _ b: Self, _ c: Self, negateProduct: Bool = false, negateAddend: Bool = false, _ environment: inout FloatEnvironment
  ) -> Self { fused(a, b, c, negateProduct: negateProduct, negateAddend: negateAddend, &environment) }
}
