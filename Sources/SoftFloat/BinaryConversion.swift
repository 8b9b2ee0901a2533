// Conversions of the interchange formats: to integral values, from and to integers, among each other.

/// The integer part of (-1)^negative · significand/2^63 · 2^exponent rounded by `mode`; |value| < 2^64.
/// A value with bits to lose is below 2^63, so adding one cannot overflow.
@inline(__always)
func roundedInteger(_ negative: Bool, _ exponent: Int, _ significand: UInt64, _ mode: RoundingMode) -> (magnitude: UInt64, up: Bool, inexact: Bool) {
  let whole: UInt64
  let rest: UInt64
  if exponent >= 63 {
    whole = significand
    rest = 0
  } else if exponent >= 0 {
    whole = significand &>> UInt64(truncatingIfNeeded: 63 &- exponent)
    rest = significand &<< UInt64(truncatingIfNeeded: exponent &+ 1)
  } else {
    whole = 0
    rest = shiftRightJamming(significand, -1 &- exponent)
  }
  let up = mode.roundsUp(negative: negative, odd: whole & 1 != 0, rest: rest)
  return (whole &+ (up ? 1 : 0), up, rest != 0)
}

extension InterchangeFormat {
  @inline(__always)
  static func integral(_ operand: Self, _ mode: RoundingMode, suppressInexact: Bool, _ environment: inout FloatEnvironment) -> Self {
    environment.roundedUp = false
    let a = operand.flushed(environment)
    if a.biasedExponent >= bias &+ fractionWidth {
      guard a.isNaN else { return a }
      if a.isSignalingNaN { environment.raise(.invalid) }
      return a.quieted
    }
    if a.isZero { return a }
    let x = a.unpacked
    let (magnitude, up, inexact) = roundedInteger(x.negative, x.exponent &- bias, x.significand, mode)
    if inexact && !suppressInexact { environment.raise(.inexact) }
    environment.roundedUp = up
    if magnitude == 0 { return zero(negative: x.negative) }
    // Exact: at most fractionWidth + 1 bits are left.
    let shift = magnitude.leadingZeroBitCount
    let fraction = (magnitude &<< UInt64(truncatingIfNeeded: shift)) &>> UInt64(63 &- fractionWidth)
    let packed = UInt64(truncatingIfNeeded: bias &+ 62 &- shift) &<< UInt64(fractionWidth) &+ fraction
    return Self(raw: packed | (x.negative ? signBit : 0))
  }

  @inline(__always) static func converted(_ value: Int64, _ environment: inout FloatEnvironment) -> Self {
    let magnitude = value.magnitude
    if magnitude == 0 {
      environment.roundedUp = false
      return zero(negative: false)
    }
    let shift = magnitude.leadingZeroBitCount
    return rounded(value < 0, bias &+ 63 &- shift, magnitude &<< UInt64(truncatingIfNeeded: shift), &environment)
  }

  /// Rounds to a signed integer of -maximum − 1 … maximum; the integer indefinite -maximum − 1 with IE for anything else.
  @inline(__always) func signedInteger(maximum: UInt64, _ mode: RoundingMode, _ environment: inout FloatEnvironment) -> Int64 {
    environment.roundedUp = false
    let a = flushed(environment)
    if a.isZero { return 0 }
    if a.biasedExponent <= Self.bias &+ 63 {
      let x = a.unpacked
      let (magnitude, up, inexact) = roundedInteger(x.negative, x.exponent &- Self.bias, x.significand, mode)
      if magnitude <= maximum &+ (x.negative ? 1 : 0) {
        if inexact { environment.raise(.inexact) }
        environment.roundedUp = up
        let value = Int64(truncatingIfNeeded: magnitude)
        return x.negative ? 0 &- value : value
      }
    }
    environment.raise(.invalid)
    return Int64(truncatingIfNeeded: ~maximum)
  }

  /// Moves a NaN's sign and the high bits of its payload over, quiet.
  @inline(__always) static func convertedNaN<Source: InterchangeFormat>(_ a: Source, _ environment: inout FloatEnvironment) -> Self {
    if a.isSignalingNaN { environment.raise(.invalid) }
    let payload = ((a.raw & Source.fractionMask) &<< UInt64(63 &- Source.fractionWidth)) &>> UInt64(63 &- fractionWidth)
    return Self(raw: payload | infinityBits | quietBit | (a.isNegative ? signBit : 0))
  }

  @inline(__always) static func converted<Source: InterchangeFormat>(_ operand: Source, _ environment: inout FloatEnvironment) -> Self {
    environment.roundedUp = false
    let a = operand.flushed(environment)
    if !a.isOrdinary {
      if a.isNaN { return convertedNaN(a, &environment) }
      if a.isInfinity { return infinity(negative: a.isNegative) }
      if a.isZero { return zero(negative: a.isNegative) }
      if environment.raiseDenormal() { return zero(negative: a.isNegative) }
    }
    let x = a.unpacked
    return rounded(x.negative, x.exponent &- Source.bias &+ bias, x.significand, &environment)
  }
}

extension Binary32 {
  /// ROUNDSS: the integral value next to `a` in direction `mode`; inexact is not raised if `suppressInexact` (immediate bit 3).
  public static func roundToIntegral(
    _ a: Self, _ mode: RoundingMode, suppressInexact: Bool = false, _ environment: inout FloatEnvironment
  ) -> Self { integral(a, mode, suppressInexact: suppressInexact, &environment) }

  /// CVTSI2SS.
  public static func from(_ value: Int32, _ environment: inout FloatEnvironment) -> Self { converted(Int64(value), &environment) }
  /// CVTSI2SS with a 64-bit source.
  public static func from(_ value: Int64, _ environment: inout FloatEnvironment) -> Self { converted(value, &environment) }

  /// CVTSS2SI, or CVTTSS2SI if `truncate`; 0x80000000 and IE if the value does not fit.
  public func toInt32(truncate: Bool = false, _ environment: inout FloatEnvironment) -> Int32 {
    Int32(truncatingIfNeeded: signedInteger(maximum: 0x7FFF_FFFF, truncate ? .towardZero : environment.rounding, &environment))
  }
  /// CVTSS2SI or CVTTSS2SI to 64 bits; 0x8000000000000000 and IE if the value does not fit.
  public func toInt64(truncate: Bool = false, _ environment: inout FloatEnvironment) -> Int64 {
    signedInteger(maximum: 0x7FFF_FFFF_FFFF_FFFF, truncate ? .towardZero : environment.rounding, &environment)
  }

  /// CVTSD2SS.
  public static func from(_ value: Binary64, _ environment: inout FloatEnvironment) -> Self { converted(value, &environment) }

  /// VCVTPH2PS: exact. A denormal source raises nothing and DAZ does not apply to it (SDM vol. 2, VCVTPH2PS).
  public static func from(_ value: Binary16, _ environment: inout FloatEnvironment) -> Self {
    environment.roundedUp = false
    if value.isNaN { return convertedNaN(value, &environment) }
    if value.isInfinity { return infinity(negative: value.isNegative) }
    if value.isZero { return zero(negative: value.isNegative) }
    let x = value.unpacked
    return rounded(x.negative, x.exponent &- Binary16.bias &+ bias, x.significand, &environment)
  }
}

extension Binary64 {
  /// ROUNDSD: the integral value next to `a` in direction `mode`; inexact is not raised if `suppressInexact` (immediate bit 3).
  public static func roundToIntegral(
    _ a: Self, _ mode: RoundingMode, suppressInexact: Bool = false, _ environment: inout FloatEnvironment
  ) -> Self { integral(a, mode, suppressInexact: suppressInexact, &environment) }

  /// CVTSI2SD.
  public static func from(_ value: Int32, _ environment: inout FloatEnvironment) -> Self { converted(Int64(value), &environment) }
  /// CVTSI2SD with a 64-bit source.
  public static func from(_ value: Int64, _ environment: inout FloatEnvironment) -> Self { converted(value, &environment) }

  /// CVTSD2SI, or CVTTSD2SI if `truncate`; 0x80000000 and IE if the value does not fit.
  public func toInt32(truncate: Bool = false, _ environment: inout FloatEnvironment) -> Int32 {
    Int32(truncatingIfNeeded: signedInteger(maximum: 0x7FFF_FFFF, truncate ? .towardZero : environment.rounding, &environment))
  }
  /// CVTSD2SI or CVTTSD2SI to 64 bits; 0x8000000000000000 and IE if the value does not fit.
  public func toInt64(truncate: Bool = false, _ environment: inout FloatEnvironment) -> Int64 {
    signedInteger(maximum: 0x7FFF_FFFF_FFFF_FFFF, truncate ? .towardZero : environment.rounding, &environment)
  }

  /// CVTSS2SD.
  public static func from(_ value: Binary32, _ environment: inout FloatEnvironment) -> Self { converted(value, &environment) }
}

extension Binary16 {
  /// VCVTPS2PH with the rounding of its immediate or of MXCSR. FTZ does not apply, DAZ does (SDM vol. 2, VCVTPS2PH).
  public static func from(_ value: Binary32, _ mode: RoundingMode, _ environment: inout FloatEnvironment) -> Self {
    let saved = environment
    environment.rounding = mode
    environment.flushToZero = false
    let result = converted(value, &environment)
    environment.rounding = saved.rounding
    environment.flushToZero = saved.flushToZero
    return result
  }
}
