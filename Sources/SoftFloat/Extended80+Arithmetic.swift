// FADD, FSUB, FMUL, FDIV, FSQRT and the NaN rules they share with the other x87 instructions (SDM vol. 1 §4.8.3, §8.3.5, §8.5.1).

extension Extended80 {
  // MARK: Operands that are not numbers

  @inline(__always) static func invalidResult(_ environment: inout FloatEnvironment) -> Extended80 {
    environment.raise(.invalid)
    return indefinite
  }

  /// The result of a one-operand instruction if its operand is unsupported or a NaN.
  @inline(__always) static func nonNumber(_ a: Extended80, _ environment: inout FloatEnvironment) -> Extended80? {
    if a.isUnsupported { return invalidResult(&environment) }
    guard a.isNaN else { return nil }
    if a.isSignalingNaN { environment.raise(.invalid) }
    return a.quieted
  }

  /// The result of a two-operand instruction if an operand is unsupported or a NaN (SDM vol. 1 table 4-7, x87 column):
  /// of an SNaN and a QNaN the QNaN, of two alike the larger significand, of equal significands the positive one.
  @inline(never) static func nonNumber(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Extended80? {
    if a.isUnsupported || b.isUnsupported { return invalidResult(&environment) }
    guard a.isNaN || b.isNaN else { return nil }
    let signalingA = a.isSignalingNaN
    let signalingB = b.isSignalingNaN
    if signalingA || signalingB { environment.raise(.invalid) }
    if !b.isNaN { return a.quieted }
    if !a.isNaN { return b.quieted }
    if signalingA != signalingB { return signalingA ? b : a }
    if a.significand != b.significand { return a.significand > b.significand ? a.quieted : b.quieted }
    return a.isNegative ? b.quieted : a.quieted
  }

  @inline(__always) static func stopsAtDenormal(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Bool {
    (a.isDenormal || b.isDenormal) && environment.raiseDenormal()
  }

  // MARK: Addition

  /// FADD: a + b.
  @inline(never) public static func add(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    if a.isOrdinary && b.isOrdinary { return sum(a.unpackedOrdinary, b.unpackedOrdinary, &environment) }
    return specialSum(a, b, negatingSecond: false, &environment)
  }

  /// FSUB: a − b. FSUBR is the same with the operands exchanged.
  @inline(never) public static func sub(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    if a.isOrdinary && b.isOrdinary { return sum(a.unpackedOrdinary, b.negated.unpackedOrdinary, &environment) }
    return specialSum(a, b, negatingSecond: true, &environment)
  }

  @inline(never)
  private static func specialSum(_ a: Extended80, _ b: Extended80, negatingSecond: Bool, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(a, b, &environment) { return result }
    let negativeB = b.isNegative != negatingSecond
    if a.isInfinity && b.isInfinity && a.isNegative != negativeB { return invalidResult(&environment) }
    if stopsAtDenormal(a, b, &environment) { return a }
    if a.isInfinity { return a }
    if b.isInfinity { return infinity(negative: negativeB) }
    if a.isZero && b.isZero { return zero(negative: a.isNegative == negativeB ? negativeB : environment.rounding == .down) }
    // Precision control may round the other operand.
    if b.isZero {
      let x = a.unpacked
      return rounded(x.negative, x.exponent, wide(x.significand, 0), &environment)
    }
    var y = b.unpacked
    y.negative = negativeB
    if a.isZero { return rounded(y.negative, y.exponent, wide(y.significand, 0), &environment) }
    return sum(a.unpacked, y, &environment)
  }

  @inline(__always) private static func sum(_ x: Unpacked, _ y: Unpacked, _ environment: inout FloatEnvironment) -> Extended80 {
    let swap = x.exponent < y.exponent || (x.exponent == y.exponent && x.significand < y.significand)
    let big = swap ? y : x
    let small = swap ? x : y
    let aligned = shiftRightJamming(wide(small.significand, 0), big.exponent &- small.exponent)
    if big.negative == small.negative {
      let (high, carry) = big.significand.addingReportingOverflow(aligned.high)
      if carry {
        let low = high &<< 63 | aligned.low &>> 1 | aligned.low & 1
        return rounded(big.negative, big.exponent &+ 1, wide(integerBit | high &>> 1, low), &environment)
      }
      return rounded(big.negative, big.exponent, wide(high, aligned.low), &environment)
    }
    let difference = wide(big.significand, 0) &- aligned
    if difference == 0 {
      environment.roundedUp = false
      return zero(negative: environment.rounding == .down)
    }
    let shift = difference.leadingZeroBitCount
    return rounded(big.negative, big.exponent &- shift, difference &<< UInt128(truncatingIfNeeded: shift), &environment)
  }

  // MARK: Multiplication

  /// FMUL: a · b.
  @inline(never) public static func mul(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    if a.isOrdinary && b.isOrdinary { return product(a.unpackedOrdinary, b.unpackedOrdinary, &environment) }
    return specialProduct(a, b, &environment)
  }

  @inline(never) private static func specialProduct(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(a, b, &environment) { return result }
    if (a.isInfinity && b.isZero) || (a.isZero && b.isInfinity) { return invalidResult(&environment) }
    if stopsAtDenormal(a, b, &environment) { return a }
    let negative = a.isNegative != b.isNegative
    if a.isInfinity || b.isInfinity { return infinity(negative: negative) }
    if a.isZero || b.isZero { return zero(negative: negative) }
    return product(a.unpacked, b.unpacked, &environment)
  }

  @inline(__always) private static func product(_ x: Unpacked, _ y: Unpacked, _ environment: inout FloatEnvironment) -> Extended80 {
    let (high, low) = x.significand.multipliedFullWidth(by: y.significand)
    let full = wide(high, low)
    let leading = high &>> 63
    let exponent = x.exponent &+ y.exponent &- bias &+ Int(truncatingIfNeeded: leading)
    return rounded(x.negative != y.negative, exponent, leading != 0 ? full : full &<< 1, &environment)
  }

  // MARK: Division

  /// FDIV: a / b. FDIVR is the same with the operands exchanged.
  @inline(never) public static func div(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    if a.isOrdinary && b.isOrdinary { return quotient(a.unpackedOrdinary, b.unpackedOrdinary, &environment) }
    return specialQuotient(a, b, &environment)
  }

  @inline(never) private static func specialQuotient(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(a, b, &environment) { return result }
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

  @inline(__always) private static func quotient(_ x: Unpacked, _ y: Unpacked, _ environment: inout FloatEnvironment) -> Extended80 {
    let below = x.significand < y.significand
    let numerator = below ? (high: x.significand, low: UInt64(0)) : (high: x.significand &>> 1, low: x.significand &<< 63)
    let (whole, remainder) = y.significand.dividingFullWidth(numerator)
    // The bits to follow: at least one half, exactly one half, or less, which is all rounding asks.
    let doubled = remainder &<< 1
    let carry = remainder &>> 63 != 0
    let rest: UInt64 = remainder == 0 ? 0 : !carry && doubled < y.significand ? 1 : !carry && doubled == y.significand ? integerBit : integerBit | 1
    let exponent = x.exponent &- y.exponent &+ bias &- (below ? 1 : 0)
    return rounded(x.negative != y.negative, exponent, wide(whole, rest), &environment)
  }

  // MARK: Square root

  /// FSQRT.
  @inline(never) public static func sqrt(_ a: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(a, &environment) { return result }
    if a.isZero { return a }
    if a.isNegative { return invalidResult(&environment) }
    if a.isInfinity { return a }
    if a.isDenormal && environment.raiseDenormal() { return a }
    let x = a.unpacked
    let exponent = x.exponent &- bias
    let radicand = wide(x.significand, 0) &>> (exponent & 1 != 0 ? 0 : 1)
    let (whole, exact) = integerSquareRoot(radicand)
    // A root lies above the midpoint of two neighbours if the remainder exceeds the root; it never is the midpoint.
    let (squareHigh, squareLow) = whole.multipliedFullWidth(by: whole)
    let remainder = radicand &- wide(squareHigh, squareLow)
    let rest: UInt64 = exact ? 0 : remainder > wide(0, whole) ? integerBit | 1 : 1
    return rounded(false, exponent &>> 1 &+ bias, wide(whole, rest), &environment)
  }
}
