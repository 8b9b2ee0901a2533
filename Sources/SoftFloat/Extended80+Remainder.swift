// FPREM and FPREM1, FSCALE, FXTRACT, FRNDINT: the instructions that take numbers apart. None obeys precision control.

/// Outcome of FPREM or FPREM1.
@frozen public struct PartialRemainder: Sendable {
  public var value: Extended80
  /// The low three bits of the quotient: bit 2 goes to C0, bit 1 to C3, bit 0 to C1. Zero while `incomplete`.
  public var quotient: UInt8
  /// C2: the reduction has to be repeated.
  public var incomplete: Bool

  @inline(__always) init(_ value: Extended80, quotient: UInt64 = 0, incomplete: Bool = false) {
    self.value = value
    self.quotient = UInt8(truncatingIfNeeded: quotient & 7)
    self.incomplete = incomplete
  }
}

/// Outcome of FXTRACT.
@frozen public struct ExtractedParts: Sendable {
  /// The unbiased exponent as a number: replaces ST(0).
  public var exponent: Extended80
  /// The significand with an exponent of 0: is pushed.
  public var significand: Extended80
}

extension Extended80 {
  /// FPREM: the remainder of a / b with the quotient truncated.
  @inline(never) public static func fprem(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> PartialRemainder {
    remainder(a, b, toNearest: false, &environment)
  }

  /// FPREM1: the IEEE remainder, with the quotient rounded to nearest even.
  @inline(never) public static func fprem1(_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> PartialRemainder {
    remainder(a, b, toNearest: true, &environment)
  }

  @inline(__always)
  private static func remainder(_ a: Extended80, _ b: Extended80, toNearest: Bool, _ environment: inout FloatEnvironment) -> PartialRemainder {
    environment.roundedUp = false
    if let result = nonNumber(a, b, &environment) { return PartialRemainder(result) }
    if a.isInfinity || b.isZero { return PartialRemainder(invalidResult(&environment)) }
    if stopsAtDenormal(a, b, &environment) { return PartialRemainder(a) }
    if a.isZero { return PartialRemainder(a) }
    let x = a.unpacked
    if b.isInfinity { return PartialRemainder(rounded(x.negative, x.exponent, wide(x.significand, 0), .extended, &environment)) }
    let y = b.unpacked
    let distance = x.exponent &- y.exponent
    if distance >= 64 {
      // One step takes off 32 to 63 of the exponents' difference, so that the next to last brings it below 64 (SDM vol. 2, FPREM: "N is an
      // implementation-dependent number between 32 and 63").
      let step = 32 &+ distance & 31
      let rest = (wide(0, x.significand) &<< UInt128(truncatingIfNeeded: step)) % wide(0, y.significand)
      return PartialRemainder(exact(x.negative, y.exponent &+ distance &- step, rest.low, &environment), incomplete: true)
    }
    var quotient: UInt64 = 0
    var rest = x.significand
    var exponent = x.exponent
    if distance >= 0 {
      let (whole, left) = (wide(0, x.significand) &<< UInt128(truncatingIfNeeded: distance)).quotientAndRemainder(dividingBy: wide(0, y.significand))
      quotient = whole.low
      rest = left.low
      exponent = y.exponent
    }
    var negative = x.negative
    if toNearest && distance >= -1 {
      // Compare twice the remainder with b; for a distance of −1 the remainder, a itself, already counts half.
      let above: Bool
      let tie: Bool
      if distance >= 0 {
        let doubled = wide(0, rest) &<< 1
        above = doubled > wide(0, y.significand)
        tie = doubled == wide(0, y.significand)
      } else {
        above = rest > y.significand
        tie = rest == y.significand
      }
      if above || (tie && quotient & 1 != 0) {
        quotient &+= 1
        negative = !negative
        if distance >= 0 {
          rest = y.significand &- rest
        } else {
          // b − a in units of a's last place; below b/2, so it fits.
          rest = (wide(0, y.significand) &<< 1 &- wide(0, rest)).low
        }
      }
    }
    if rest == 0 { return PartialRemainder(zero(negative: x.negative), quotient: quotient) }
    return PartialRemainder(exact(negative, exponent, rest, &environment), quotient: quotient)
  }

  /// Packs significand/2^63 · 2^(exponent − 16383) with any leading zeros.
  @inline(__always) private static func exact(_ negative: Bool, _ exponent: Int, _ significand: UInt64, _ environment: inout FloatEnvironment) -> Extended80 {
    if significand == 0 { return zero(negative: negative) }
    let shift = significand.leadingZeroBitCount
    return rounded(negative, exponent &- shift, wide(significand &<< UInt64(truncatingIfNeeded: shift), 0), .extended, &environment)
  }

  /// FSCALE: a · 2^n, n being b truncated to an integer (SDM vol. 2 table 3-33).
  @inline(never) public static func scale(_ a: Extended80, by b: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(a, b, &environment) { return result }
    if b.isInfinity {
      if b.isNegative ? a.isInfinity : a.isZero { return invalidResult(&environment) }
      if a.isDenormal && environment.raiseDenormal() { return a }
      if b.isNegative { return zero(negative: a.isNegative) }
      return infinity(negative: a.isNegative)
    }
    if stopsAtDenormal(a, b, &environment) { return a }
    if a.isInfinity || a.isZero { return a }
    let x = a.unpacked
    var distance = 0
    if b.biasedExponent >= bias {
      // Beyond 2^16 every result overflows or underflows, wrapped exponents included.
      let size = b.biasedExponent &- bias
      distance = size > 16 ? 0x1FFFF : Int(truncatingIfNeeded: b.significand &>> UInt64(truncatingIfNeeded: 63 &- size))
      if b.isNegative { distance = 0 &- distance }
    }
    return rounded(x.negative, x.exponent &+ distance, wide(x.significand, 0), .extended, &environment)
  }

  /// FXTRACT. Zero gives −∞ with ZE and the zero itself; an infinity gives +∞ and itself.
  @inline(never) public static func extract(_ a: Extended80, _ environment: inout FloatEnvironment) -> ExtractedParts {
    environment.roundedUp = false
    if let result = nonNumber(a, &environment) { return ExtractedParts(exponent: result, significand: result) }
    if a.isInfinity { return ExtractedParts(exponent: infinity(negative: false), significand: a) }
    if a.isZero {
      environment.raise(.divideByZero)
      return ExtractedParts(exponent: infinity(negative: true), significand: a)
    }
    if a.isDenormal && environment.raiseDenormal() { return ExtractedParts(exponent: a, significand: a) }
    let x = a.unpacked
    return ExtractedParts(
      exponent: from(Int64(truncatingIfNeeded: x.exponent &- bias)), significand: Extended80(negative: x.negative, exponent: bias, significand: x.significand))
  }

  /// FRNDINT: rounded to an integral value by RC.
  @inline(never) public static func roundToInteger(_ a: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(a, &environment) { return result }
    if a.isInfinity || a.isZero { return a }
    if a.isDenormal && environment.raiseDenormal() { return a }
    if a.biasedExponent >= bias &+ 63 { return a }
    let x = a.unpacked
    let (magnitude, up, inexact) = roundedInteger(x.negative, x.exponent &- bias, x.significand, environment.rounding)
    if inexact { environment.raise(.inexact) }
    environment.roundedUp = up
    return from(negative: x.negative, magnitude: magnitude)
  }
}
