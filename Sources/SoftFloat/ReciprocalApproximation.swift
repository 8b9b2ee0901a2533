// RCPSS and RSQRTSS: approximations with a relative error of at most 1.5 · 2^-12 (SDM vol. 2, RCPPS, RSQRTPS).
//
// The architecture leaves the bits open. Intel's processors look them up by the leading fraction bits; their tables are the reciprocal
// (root) of the middle of the interval those bits name, rounded to nearest with 12 fraction bits, which is what is computed here.
// AMD's tables are finer and differ. Neither instruction reads or writes MXCSR: a denormal counts as zero, a tiny result becomes zero.

extension Binary32 {
  /// RCPSS: about 1/a. The leading 11 fraction bits choose the result.
  public static func reciprocal(_ a: Binary32) -> Binary32 {
    if a.isNaN { return a.quieted }
    if a.isZero || a.isDenormal { return infinity(negative: a.isNegative) }
    if a.isInfinity { return zero(negative: a.isNegative) }
    // 2/(1 + (2i + 1)/2^12) in units of 2^-12.
    let middle = 4096 &+ (a.raw & fractionMask) &>> 12 &* 2 &+ 1
    let value = ((1 &<< 26) / middle &+ 1) &>> 1
    let exponent = 2 &* bias &- 1 &- a.biasedExponent
    return exponent < 1 ? zero(negative: a.isNegative) : approximation(negative: a.isNegative, exponent, value)
  }

  /// RSQRTSS: about 1/√a. The exponent's low bit and the leading 10 fraction bits choose the result.
  public static func reciprocalSquareRoot(_ a: Binary32) -> Binary32 {
    if a.isNaN { return a.quieted }
    if a.isZero || a.isDenormal { return infinity(negative: a.isNegative) }
    if a.isNegative { return indefinite }
    if a.isInfinity { return zero(negative: false) }
    // 2/√m in units of 2^-12, m being 1 + (2i + 1)/2^11, doubled for an odd exponent. Half a unit finer first, to round; the host's root
    // of an integer below 2^52 truncates to the exact integer root.
    let exponent = a.biasedExponent &- bias
    let middle = 2048 &+ (a.raw & fractionMask) &>> 13 &* 2 &+ 1
    let radicand: UInt64 = (1 &<< 39) / (exponent & 1 != 0 ? middle &* 2 : middle)
    let value = (UInt64(Double(radicand).squareRoot()) &+ 1) &>> 1
    return approximation(negative: false, bias &- 1 &- exponent &>> 1, value)
  }

  /// A value of 1 to 2 in units of 2^-12 at the given exponent.
  @inline(__always) private static func approximation(negative: Bool, _ exponent: Int, _ value: UInt64) -> Binary32 {
    let packed = UInt64(truncatingIfNeeded: exponent) &<< 23 | (value & 0xFFF) &<< 11
    return Binary32(raw: packed | (negative ? signBit : 0))
  }
}
