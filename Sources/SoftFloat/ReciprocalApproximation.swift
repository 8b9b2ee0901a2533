// RCPSS and RSQRTSS.

extension Binary32 {
  /// RCPSS.
  public static func reciprocal(_ a: Binary32) -> Binary32 {
    if a.isNaN { return a.quieted }
    if a.isZero || a.isDenormal { return infinity(negative: a.isNegative) }
    if a.isInfinity { return zero(negative: a.isNegative) }
    let index = (a.raw & fractionMask) &>> 12
    let numerator: UInt64 = 1 &<< 26
    let divisor = 4096 &+ index &* 2 &+ 1
    let value = (numerator &<< 1 / divisor &+ 1) &>> 1
    let exponent = 253 &- a.biasedExponent
    if exponent < 1 { return zero(negative: a.isNegative) }
    return Binary32(raw: (a.isNegative ? signBit : 0) | UInt64(exponent) &<< 23 | (value &<< 10) & fractionMask)
  }

  /// RSQRTSS.
  public static func reciprocalSquareRoot(_ a: Binary32) -> Binary32 {
    if a.isNaN { return a.quieted }
    if a.isZero || a.isDenormal { return infinity(negative: a.isNegative) }
    if a.isNegative { return indefinite }
    if a.isInfinity { return zero(negative: false) }
    var environment = FloatEnvironment()
    let root = Binary64.sqrt(.from(a, &environment), &environment)
    let reciprocal = Binary32.from(Binary64.div(Binary64(bits: 0x3FF0_0000_0000_0000), root, &environment), &environment)
    return Binary32(bits: reciprocal.bits &+ 0x400 & 0xFFFF_F800)
  }
}
