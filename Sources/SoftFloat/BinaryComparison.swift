// Comparison, minimum and maximum of binary32 and binary64 with SSE semantics.

extension InterchangeFormat {
  /// Maps the numbers onto integers of the same order; both zeros become 0.
  @inlinable @inline(__always) var orderKey: Int64 {
    let magnitude = Int64(truncatingIfNeeded: magnitude)
    return isNegative ? 0 &- magnitude : magnitude
  }

  @inline(__always) static func relation(_ first: Self, _ second: Self, signaling: Bool, _ environment: inout FloatEnvironment) -> FloatRelation {
    if !(first.isOrdinary && second.isOrdinary) {
      if first.isNaN || second.isNaN {
        if signaling || first.isSignalingNaN || second.isSignalingNaN { environment.raise(.invalid) }
        return .unordered
      }
      let a = first.flushed(environment)
      let b = second.flushed(environment)
      if a.isDenormal || b.isDenormal { environment.raise(.denormal) }
      return ordered(a, b)
    }
    return ordered(first, second)
  }

  @inline(__always) static func ordered(_ a: Self, _ b: Self) -> FloatRelation {
    let x = a.orderKey
    let y = b.orderKey
    return x < y ? .less : x == y ? .equal : .greater
  }

  /// MIN and MAX are not symmetric: a NaN of either kind on either side is invalid and yields the second operand as it stands,
  /// and so do two zeros (SDM vol. 2, MINSD).
  @inline(__always) static func extremum(_ first: Self, _ second: Self, wanted: FloatRelation, _ environment: inout FloatEnvironment) -> Self {
    if first.isNaN || second.isNaN {
      environment.raise(.invalid)
      return second.flushed(environment)
    }
    let a = first.flushed(environment)
    let b = second.flushed(environment)
    if a.isDenormal || b.isDenormal { environment.raise(.denormal) }
    return ordered(a, b) == wanted ? a : b
  }
}

extension Binary32 {
  /// MINSS: the smaller of the two, `b` if either is a NaN or both are zero.
  public static func min(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self { extremum(a, b, wanted: .less, &environment) }

  /// MAXSS: the larger of the two, `b` if either is a NaN or both are zero.
  public static func max(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self { extremum(a, b, wanted: .greater, &environment) }

  /// How `a` relates to `b`. An SNaN is always invalid, a QNaN only if `signaling` (COMISS; UCOMISS and the quiet predicates of CMPSS are not).
  public static func compare(_ a: Self, _ b: Self, signaling: Bool = false, _ environment: inout FloatEnvironment) -> FloatRelation {
    relation(a, b, signaling: signaling, &environment)
  }
}

extension Binary64 {
  /// MINSD: the smaller of the two, `b` if either is a NaN or both are zero.
  public static func min(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self { extremum(a, b, wanted: .less, &environment) }

  /// MAXSD: the larger of the two, `b` if either is a NaN or both are zero.
  public static func max(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self { extremum(a, b, wanted: .greater, &environment) }

  /// How `a` relates to `b`. An SNaN is always invalid, a QNaN only if `signaling` (COMISD; UCOMISD and the quiet predicates of CMPSD are not).
  public static func compare(_ a: Self, _ b: Self, signaling: Bool = false, _ environment: inout FloatEnvironment) -> FloatRelation {
    relation(a, b, signaling: signaling, &environment)
  }
}
