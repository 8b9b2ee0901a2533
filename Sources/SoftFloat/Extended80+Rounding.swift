// The end of every x87 operation: round to the precision at hand, detect overflow and underflow, pack (SDM vol. 1 §8.5).

extension Extended80 {
  /// The amount by which an unmasked overflow or underflow moves the exponent back into range (SDM vol. 1 §8.5.4–5).
  static var exponentWrap: Int { 24576 }

  /// Rounds (-1)^negative · significand/2^127 · 2^(exponent − 16383) to the environment's precision. Bit 127 of `significand` is set; what lies
  /// below bit 0 has been jammed into it.
  @inline(__always) static func rounded(_ negative: Bool, _ exponent: Int, _ significand: UInt128, _ environment: inout FloatEnvironment) -> Extended80 {
    rounded(negative, exponent, significand, environment.precision, &environment)
  }

  /// As above, to a given precision: many instructions do not obey precision control.
  @inline(__always)
  static func rounded(
    _ negative: Bool, _ exponent: Int, _ significand: UInt128, _ precision: ExtendedPrecision, _ environment: inout FloatEnvironment
  ) -> Extended80 {
    // The common case: full precision, to nearest, no chance of overflow or underflow.
    if precision == .extended && environment.rounding == .nearestEven && exponent &- 1 >= 0 && exponent < 0x7FFE {
      let kept = significand.high
      let rest = significand.low
      let up = (rest &>> 63) & (rest &<< 1 != 0 ? 1 : kept & 1)
      if rest != 0 { environment.raise(.inexact) }
      environment.roundedUp = up != 0
      let (sum, carry) = kept.addingReportingOverflow(up)
      return Extended80(negative: negative, exponent: exponent &+ (carry ? 1 : 0), significand: sum | (carry ? integerBit : 0))
    }
    return roundedGenerally(negative, exponent, significand.high, significand.low, precision, &environment)
  }

  /// A significand cut at a precision: the kept bits in place, the value of their last one, and the rest scaled so that one half is 2^63.
  @inline(__always) private static func cut(_ high: UInt64, _ low: UInt64, _ precision: ExtendedPrecision) -> (kept: UInt64, unit: UInt64, rest: UInt64) {
    let discarded: UInt64 =
      switch precision {
      case .single: 40
      case .double: 11
      case .extended: 0
      }
    if discarded == 0 { return (high, 1, low) }
    let unit: UInt64 = 1 &<< discarded
    return (high & (0 &- unit), unit, high &<< (64 &- discarded) | (low != 0 ? 1 : 0))
  }

  @inline(never)
  static func roundedGenerally(
    _ negative: Bool, _ biasedExponent: Int, _ high: UInt64, _ low: UInt64, _ precision: ExtendedPrecision, _ environment: inout FloatEnvironment
  ) -> Extended80 {
    var exponent = biasedExponent
    let rounding = environment.rounding
    var (kept, unit, rest) = cut(high, low, precision)
    var up = rounding.roundsUp(negative: negative, odd: kept & unit != 0, rest: rest)
    if exponent < 1 {
      // Tiny after rounding, unless rounding with an unbounded exponent reaches the smallest normal number.
      let tiny = exponent < 0 || !(up && kept &+ unit == 0)
      if tiny && !environment.isMasked(.underflow) {
        environment.raise(.underflow)
        exponent &+= exponentWrap
        if exponent < 1 {
          // Only FSCALE gets this far down.
          environment.roundedUp = false
          environment.raise(.inexact)
          return zero(negative: negative)
        }
      } else {
        let denormal = shiftRightJamming(wide(high, low), 1 &- exponent)
        (kept, unit, rest) = cut(denormal.high, denormal.low, precision)
        up = rounding.roundsUp(negative: negative, odd: kept & unit != 0, rest: rest)
        environment.roundedUp = up
        if rest != 0 { environment.raise(tiny ? [.underflow, .inexact] : .inexact) }
        if up { kept &+= unit }
        return Extended80(negative: negative, exponent: kept & integerBit != 0 ? 1 : 0, significand: kept)
      }
    }
    if up {
      kept &+= unit
      if kept == 0 {
        kept = integerBit
        exponent &+= 1
      }
    }
    if exponent >= 0x7FFF {
      if environment.isMasked(.overflow) {
        environment.raise([.overflow, .inexact])
        let toInfinity = rounding == .nearestEven || rounding.isAway(negative: negative)
        environment.roundedUp = toInfinity
        return toInfinity ? infinity(negative: negative) : Extended80(negative: negative, exponent: 0x7FFE, significand: 0 &- unit)
      }
      environment.raise(.overflow)
      exponent &-= exponentWrap
      if exponent >= 0x7FFF {
        environment.roundedUp = true
        environment.raise(.inexact)
        return infinity(negative: negative)
      }
    }
    environment.roundedUp = up
    if rest != 0 { environment.raise(.inexact) }
    return Extended80(negative: negative, exponent: exponent, significand: kept)
  }
}
