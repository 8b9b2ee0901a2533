// FCOM, FUCOM, FTST and their kin (SDM vol. 2, FCOM, FUCOM).

extension Extended80 {
  /// How `a` relates to `b`. `signaling` (FCOM, FCOMI, FTST): any NaN is invalid; else (FUCOM, FUCOMI) only an SNaN. Unsupported encodings always are.
  public static func compare(_ a: Extended80, _ b: Extended80, signaling: Bool, _ environment: inout FloatEnvironment) -> FloatRelation {
    environment.roundedUp = false
    if !(a.isOrdinary && b.isOrdinary) {
      if a.isUnsupported || b.isUnsupported {
        environment.raise(.invalid)
        return .unordered
      }
      if a.isNaN || b.isNaN {
        if signaling || a.isSignalingNaN || b.isSignalingNaN { environment.raise(.invalid) }
        return .unordered
      }
      if a.isDenormal || b.isDenormal { environment.raise(.denormal) }
      if a.isZero && b.isZero { return .equal }
    }
    if a.isNegative != b.isNegative { return a.isNegative ? .less : .greater }
    // A pseudo-denormal has the value of the same significand with exponent 1.
    let x = max(a.biasedExponent, 1)
    let y = max(b.biasedExponent, 1)
    if x == y && a.significand == b.significand { return .equal }
    let smaller = x < y || (x == y && a.significand < b.significand)
    return smaller != a.isNegative ? .less : .greater
  }
}
