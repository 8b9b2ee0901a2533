// F2XM1, FYL2X, FYL2XP1: powers and logarithms to base 2.
//
// Results are computed in 128-bit arithmetic and rounded once, by RC, to 64 bits: the error is below 0.5 + 2^-50 ulp, so all but about one in
// 2^50 are correctly rounded. Processors promise less than 1 ulp (SDM vol. 1 §8.3.10) and differ in last bits among themselves.

extension Extended80 {
  /// F2XM1: 2^x − 1 for −1 ≤ x ≤ 1. Outside that range, where the architecture leaves the result undefined, x comes back unchanged.
  @inline(never) public static func f2xm1(_ x: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(x, &environment) { return result }
    if x.isZero { return x }
    if x.isInfinity { return x.isNegative ? one(negative: true) : x }
    if x.isDenormal && environment.raiseDenormal() { return x }
    let u = x.unpacked
    if u.exponent >= bias {
      // Even the exact results for ±1 are reported as inexact.
      environment.raise(.inexact)
      let isMinusOne = u.negative && u.exponent == bias && u.significand == integerBit
      return isMinusOne ? Extended80(negative: true, exponent: bias &- 1, significand: integerBit) : x
    }
    let magnitude = WideFloat(u)
    let factor = polynomial(Coefficients.exponential, magnitude.fraction, alternating: u.negative)
    return inexact(u.negative, magnitude.times(WideFloat(exponent: -1, bits: factor)), &environment)
  }

  /// log2 of a positive number: sign and magnitude, or nil for the logarithm of 1. `integral` tells that the number is a power of two,
  /// whose logarithm is exact.
  @inline(__always) private static func log2(_ x: WideFloat) -> (negative: Bool, magnitude: WideFloat, integral: Bool)? {
    let one: UInt128 = 1 &<< 127
    var exponent = x.exponent
    if x.significand == one {
      if exponent == 0 { return nil }
      return (exponent < 0, WideFloat(exponent: 127, bits: UInt128(truncatingIfNeeded: exponent.magnitude)), true)
    }
    // x = m · 2^exponent with m between √½ and √2; log2 m = 2/ln 2 · artanh s with s = (m − 1)/(m + 1), |s| < 0.172.
    let negative: Bool
    let s: WideFloat
    // √2 · 2^127, to 64 bits: the exact border does not matter.
    if x.significand.high > 0xB504_F333_F9DE_6484 {
      exponent &+= 1
      negative = true
      // m is significand/2^128: numerator 1 − m, denominator 1 + m, halved to fit.
      s = WideFloat.quotient((0 &- x.significand) &>> 1, one &+ x.significand &>> 1)
    } else {
      negative = false
      // m is significand/2^127: numerator m − 1, denominator m + 1, halved to fit.
      s = WideFloat.quotient((x.significand &- one) &>> 1, x.significand &>> 1 &+ one &>> 1)
    }
    let squared = s.times(s).fraction
    let factor = WideFloat(exponent: 1, bits: polynomial(Coefficients.logarithm, squared, alternating: false))
    let fractional = s.times(factor)
    if exponent == 0 { return (negative, fractional, false) }
    let whole = WideFloat(exponent: 127, bits: UInt128(truncatingIfNeeded: exponent.magnitude))
    return (exponent < 0, whole.combined(fractional, subtracting: negative != (exponent < 0)), false)
  }

  /// y times a logarithm.
  @inline(__always)
  private static func product(
    _ y: Extended80, _ logarithm: (negative: Bool, magnitude: WideFloat, integral: Bool), _ environment: inout FloatEnvironment
  ) -> Extended80 {
    let u = y.unpacked
    let result = WideFloat(u).times(logarithm.magnitude)
    let negative = u.negative != logarithm.negative
    if logarithm.integral {
      // At most 15 by 64 bits: nothing has been truncated. Processors report even an exact product as inexact, and underflow with it.
      let value = rounded(negative, result.exponent &+ bias, result.significand, .extended, &environment)
      environment.raise(value.isDenormal ? [.underflow, .inexact] : .inexact)
      return value
    }
    return inexact(negative, result, &environment)
  }

  /// FYL2X: y · log2(x), x being ST(0) and y ST(1) (SDM vol. 2 table 3-51).
  @inline(never) public static func fyl2x(x: Extended80, y: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(x, y, &environment) { return result }
    if x.isZero {
      if y.isZero { return invalidResult(&environment) }
      if y.isInfinity { return infinity(negative: !y.isNegative) }
      environment.raise(.divideByZero)
      return infinity(negative: !y.isNegative)
    }
    if x.isNegative { return invalidResult(&environment) }
    if x.isInfinity {
      if y.isZero { return invalidResult(&environment) }
      if y.isDenormal && environment.raiseDenormal() { return y }
      return infinity(negative: y.isNegative)
    }
    if y.isInfinity && x == one { return invalidResult(&environment) }
    if stopsAtDenormal(x, y, &environment) { return y }
    let below = x.biasedExponent < bias
    if y.isInfinity { return infinity(negative: y.isNegative != below) }
    if y.isZero { return zero(negative: y.isNegative != below) }
    guard let logarithm = log2(WideFloat(x.unpacked)) else { return zero(negative: y.isNegative) }
    return product(y, logarithm, &environment)
  }

  /// FYL2XP1: y · log2(x + 1), x being ST(0) and y ST(1) (SDM vol. 2 table 3-52). Defined for |x| ≤ 1 − √½; computed for every x above −1.
  /// From there down x comes back unchanged, but −∞ is invalid.
  @inline(never) public static func fyl2xp1(x: Extended80, y: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(x, y, &environment) { return result }
    if x.isZero {
      if y.isInfinity { return invalidResult(&environment) }
      if y.isDenormal && environment.raiseDenormal() { return y }
      return zero(negative: x.isNegative != y.isNegative)
    }
    if x.isInfinity {
      if x.isNegative { return invalidResult(&environment) }
      if y.isZero { return invalidResult(&environment) }
      if y.isDenormal && environment.raiseDenormal() { return y }
      return infinity(negative: y.isNegative)
    }
    if stopsAtDenormal(x, y, &environment) { return y }
    let negative = x.isNegative != y.isNegative
    if y.isInfinity { return infinity(negative: negative) }
    if y.isZero { return zero(negative: negative) }
    if x.isNegative && x.biasedExponent >= bias {
      environment.raise(.inexact)
      return x
    }
    let u = x.unpacked
    let magnitude = WideFloat(u)
    if magnitude.exponent < -2 {
      // log2(1 + x) = 2/ln 2 · artanh s with s = x/(2 + x), |s| < 1/7, of full relative precision however small x is.
      let two: UInt128 = 1 &<< 126
      let eighth = magnitude.fraction &>> 3
      let denominator = u.negative ? two &- eighth : two &+ eighth
      // The quotient takes x's significand as an integer: x is significand/2^127 · 2^exponent, the denominator is scaled by 2^125.
      var s = WideFloat.quotient(magnitude.significand, denominator)
      s.exponent &+= magnitude.exponent &- 2
      let squared = s.times(s).fraction
      let factor = WideFloat(exponent: 1, bits: polynomial(Coefficients.logarithm, squared, alternating: false))
      return inexact(negative, WideFloat(y.unpacked).times(s.times(factor)), &environment)
    }
    // 1 + x is exact in 128 bits, or x so large that what is lost does not matter.
    let unit = WideFloat(exponent: 127, bits: 1)
    let shifted: WideFloat
    if magnitude.exponent < 0 {
      shifted = unit.combined(magnitude, subtracting: u.negative)
    } else {
      shifted = magnitude.combined(unit, subtracting: false)
    }
    guard let logarithm = log2(shifted) else { return zero(negative: negative) }
    return product(y, logarithm, &environment)
  }
}
