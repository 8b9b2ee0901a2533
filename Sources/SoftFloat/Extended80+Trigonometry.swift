// FSIN, FCOS, FSINCOS, FPTAN.
//
// Arguments are reduced with the processors' own π, which has 66 bits: 0.C90FDAA2 2168C234 C · 2^2 (SDM vol. 1 §8.3.8). Reduction by it is
// exact here, so the result is the correctly rounded function of the argument as reduced (error below 0.5 + 2^-50 ulp), and multiples of π
// give what hardware gives rather than the mathematical value.

/// Outcome of a trigonometric instruction.
@frozen public struct TrigonometricResult: Sendable {
  /// Replaces ST(0): sine, cosine or tangent.
  public var value: Extended80
  /// Is pushed afterwards: the cosine for FSINCOS, 1 for FPTAN, the NaN for either if the operand was one.
  public var pushed: Extended80
  /// C2: the operand is 2^63 or larger; nothing is changed or pushed.
  public var outOfRange: Bool
}

extension Extended80 {
  /// FSIN.
  @inline(never) public static func fsin(_ x: Extended80, _ environment: inout FloatEnvironment) -> TrigonometricResult {
    if let result = trigonometricSpecial(x, ofZero: x, pushedForZero: x, &environment) { return result }
    let angle = reduced(x.unpacked)
    let value = angle.quadrant & 1 == 0 ? inexact(angle.negative != (angle.quadrant & 2 != 0), sine(angle.rest), &environment)
      : inexact(angle.quadrant & 2 != 0, cosine(angle.rest), &environment)
    return TrigonometricResult(value: value, pushed: value, outOfRange: false)
  }

  /// FCOS.
  @inline(never) public static func fcos(_ x: Extended80, _ environment: inout FloatEnvironment) -> TrigonometricResult {
    if let result = trigonometricSpecial(x, ofZero: one, pushedForZero: one, &environment) { return result }
    let angle = reduced(x.absolute.unpacked)
    let value = angle.quadrant & 1 == 0 ? inexact(angle.quadrant & 2 != 0, cosine(angle.rest), &environment)
      : inexact(angle.negative == (angle.quadrant & 2 != 0), sine(angle.rest), &environment)
    return TrigonometricResult(value: value, pushed: value, outOfRange: false)
  }

  /// FSINCOS.
  @inline(never) public static func fsincos(_ x: Extended80, _ environment: inout FloatEnvironment) -> TrigonometricResult {
    if let result = trigonometricSpecial(x, ofZero: x, pushedForZero: one, &environment) { return result }
    let sine = fsin(x, &environment).value
    let up = environment.roundedUp
    let cosine = fcos(x, &environment).value
    environment.roundedUp = up
    return TrigonometricResult(value: sine, pushed: cosine, outOfRange: false)
  }

  /// FPTAN.
  @inline(never) public static func fptan(_ x: Extended80, _ environment: inout FloatEnvironment) -> TrigonometricResult {
    if let result = trigonometricSpecial(x, ofZero: x, pushedForZero: one, &environment) { return result }
    let angle = reduced(x.unpacked)
    if angle.rest.exponent < -64 {
      // r + r³/3 is r and a little more, which a quotient of truncated values might miss.
      return TrigonometricResult(value: inexact(angle.negative, angle.rest, &environment), pushed: one, outOfRange: false)
    }
    let s = sine(angle.rest)
    let c = cosine(angle.rest)
    let odd = angle.quadrant & 1 != 0
    var tangent = odd ? WideFloat.quotient(c.significand, s.significand) : WideFloat.quotient(s.significand, c.significand)
    tangent.exponent &+= odd ? c.exponent &- s.exponent : s.exponent &- c.exponent
    let value = inexact(angle.negative != odd, tangent, &environment)
    return TrigonometricResult(value: value, pushed: one, outOfRange: false)
  }

  /// Everything but a nonzero number below 2^63.
  @inline(__always)
  private static func trigonometricSpecial(
    _ x: Extended80, ofZero: Extended80, pushedForZero: Extended80, _ environment: inout FloatEnvironment
  ) -> TrigonometricResult? {
    environment.roundedUp = false
    if x.isOrdinary && x.biasedExponent < bias &+ 63 { return nil }
    if let result = nonNumber(x, &environment) { return TrigonometricResult(value: result, pushed: result, outOfRange: false) }
    if x.isInfinity {
      environment.raise(.invalid)
      return TrigonometricResult(value: indefinite, pushed: indefinite, outOfRange: false)
    }
    if x.isZero { return TrigonometricResult(value: ofZero, pushed: pushedForZero, outOfRange: false) }
    if x.isDenormal {
      return environment.raiseDenormal() ? TrigonometricResult(value: x, pushed: x, outOfRange: false) : nil
    }
    return TrigonometricResult(value: x, pushed: x, outOfRange: true)
  }

  /// x − quadrant · π/2 as sign and magnitude, at most π/4.
  @inline(__always) private static func reduced(_ x: Unpacked) -> (negative: Bool, rest: WideFloat, quadrant: UInt64) {
    let exponent = x.exponent &- bias
    if exponent < -1 { return (x.negative, WideFloat(x), 0) }
    // In units of 2^-65, π/2 is a 66-bit integer and x an integer below 2^128: the division is exact.
    let halfPi: UInt128 = 0x3_243F_6A88_85A3_08D3
    let scaled = wide(0, x.significand) &<< UInt128(truncatingIfNeeded: exponent &+ 2)
    var (quotient, rest) = scaled.quotientAndRemainder(dividingBy: halfPi)
    var negative = x.negative
    if rest > halfPi &>> 1 {
      rest = halfPi &- rest
      quotient &+= 1
      negative = !negative
    }
    // halfPi is odd and longer than x's significand, so the rest of a nonzero x is not zero.
    let quadrant = quotient.low
    return (negative, WideFloat(exponent: 62, bits: rest), x.negative ? 0 &- quadrant : quadrant)
  }

  /// sin r for r ≤ π/4.
  @inline(__always) private static func sine(_ r: WideFloat) -> WideFloat {
    let fraction = r.fraction
    return r.times(WideFloat(exponent: 0, bits: polynomial(Coefficients.sine, fraction.multipliedHigh(fraction), alternating: true)))
  }

  /// cos r for r ≤ π/4.
  @inline(__always) private static func cosine(_ r: WideFloat) -> WideFloat {
    let fraction = r.fraction
    return WideFloat(exponent: 0, bits: polynomial(Coefficients.cosine, fraction.multipliedHigh(fraction), alternating: true))
  }
}
