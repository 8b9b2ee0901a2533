// The end of every operation on an interchange format: round, detect overflow and underflow, pack.

extension InterchangeFormat {
  /// Rounds (-1)^negative · significand/2^63 · 2^(exponent − bias) to the format. Bit 63 of `significand` is set; everything below
  /// its last bit has been jammed into bit 0.
  ///
  /// Overflow and underflow follow SDM vol. 1 §4.9.1.4–5: tininess is detected after rounding; a masked underflow is flagged only
  /// if the result is also inexact, an unmasked one whenever it is tiny. Flush to zero (§10.2.3.3) takes every tiny result.
  @inline(__always) static func rounded(_ negative: Bool, _ exponent: Int, _ significand: UInt64, _ environment: inout FloatEnvironment) -> Self {
    let discarded = 63 &- fractionWidth
    let kept = significand &>> UInt64(discarded)
    let rest = significand &<< UInt64(64 &- discarded)
    let up = environment.rounding.roundsUp(negative: negative, odd: kept & 1 != 0, rest: rest)
    if exponent < 1 { return roundedTiny(negative, exponent, significand, &environment) }
    // The implied one adds 1 to the exponent field; a carry out of the fraction does so too.
    let packed = UInt64(truncatingIfNeeded: exponent &- 1) &<< UInt64(fractionWidth) &+ kept &+ (up ? 1 : 0)
    if exponent >= maximumExponent || packed >= infinityBits { return overflowed(negative, inexact: rest != 0, &environment) }
    environment.roundedUp = up
    if rest != 0 { environment.raise(.inexact) }
    return Self(raw: packed | (negative ? signBit : 0))
  }

  @inline(never) static func overflowed(_ negative: Bool, inexact: Bool, _ environment: inout FloatEnvironment) -> Self {
    let masked = environment.isMasked(.overflow)
    environment.raise(masked || inexact ? [.overflow, .inexact] : .overflow)
    let toInfinity = environment.rounding == .nearestEven || environment.rounding.isAway(negative: negative)
    environment.roundedUp = masked && toInfinity
    return Self(raw: (toInfinity ? infinityBits : infinityBits &- 1) | (negative ? signBit : 0))
  }

  @inline(never) static func roundedTiny(_ negative: Bool, _ exponent: Int, _ significand: UInt64, _ environment: inout FloatEnvironment) -> Self {
    let discarded = 63 &- fractionWidth
    let rounding = environment.rounding
    // Tiny after rounding: the result as it would be with an unbounded exponent lies below the smallest normal number.
    var tiny = true
    let unboundedRest = significand &<< UInt64(64 &- discarded)
    if exponent == 0 {
      let kept = significand &>> UInt64(discarded)
      let up = rounding.roundsUp(negative: negative, odd: kept & 1 != 0, rest: unboundedRest)
      tiny = !(up && kept == implicitBit &<< 1 &- 1)
    }
    let masked = environment.isMasked(.underflow)
    if tiny && environment.flushToZero && masked {
      environment.raise([.underflow, .inexact])
      environment.roundedUp = false
      return zero(negative: negative)
    }
    let denormalised = shiftRightJamming(significand, 1 &- exponent)
    let kept = denormalised &>> UInt64(discarded)
    let rest = denormalised &<< UInt64(64 &- discarded)
    let up = rounding.roundsUp(negative: negative, odd: kept & 1 != 0, rest: rest)
    environment.roundedUp = up
    if masked {
      if rest != 0 { environment.raise(tiny ? [.underflow, .inexact] : .inexact) }
    } else {
      // The handler is to be given the wrapped, normalised result, so only what that loses is inexact.
      if tiny { environment.raise(.underflow) }
      if (tiny ? unboundedRest : rest) != 0 { environment.raise(.inexact) }
    }
    return Self(raw: (kept &+ (up ? 1 : 0)) | (negative ? signBit : 0))
  }
}
