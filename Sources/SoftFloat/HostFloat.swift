// Arithmetic of the host for SSE, where result and flags are provably those of the guest.
//
// Swift's Float and Double are IEEE 754 binary32 and binary64, rounded to nearest even without contraction, on every host. With
// rounding control at nearest even that leaves the flags, and so the following conditions make a host operation the whole truth:
//
// * Inexact is masked and already flagged, so whether this operation is inexact can be seen by nobody. Real programs reach this state
//   with the first inexact operation and stay in it.
// * No operand is denormal: no DE, nothing for DAZ to change.
// * The result is a normal number above the smallest one. Then no operand was a NaN, nothing was invalid or divided by zero, nothing
//   overflowed. The result was not tiny either: a tiny one would have been delivered as denormal, zero or exactly the smallest normal number.
// * Or the result is zero, and a sum (sums never underflow, and a zero sum is exact) or the product or quotient of a zero.
//
// Anything else goes to the `@inline(never)` software operation.

public enum HostFloat {
  /// Whether the environment allows host arithmetic at all.
  @inlinable @inline(__always) public static func isUsable(_ environment: FloatEnvironment) -> Bool {
    environment.rounding == .nearestEven && environment.flags.rawValue & environment.masks.rawValue & 32 != 0
  }

  /// Zero, or at least as large as the smallest normal number.
  @inlinable @inline(__always) static func isNotDenormal(_ bits: UInt64) -> Bool { bits & 0x7FFF_FFFF_FFFF_FFFF &- 1 >= 0x000F_FFFF_FFFF_FFFF }
  @inlinable @inline(__always) static func isNotDenormal(_ bits: UInt32) -> Bool { bits & 0x7FFF_FFFF &- 1 >= 0x007F_FFFF }
  /// Finite and above the smallest normal number.
  @inlinable @inline(__always) static func isSafe(_ bits: UInt64) -> Bool { bits & 0x7FFF_FFFF_FFFF_FFFF &- 0x0010_0000_0000_0001 < 0x7FDF_FFFF_FFFF_FFFF }
  @inlinable @inline(__always) static func isSafe(_ bits: UInt32) -> Bool { bits & 0x7FFF_FFFF &- 0x0080_0001 < 0x7EFF_FFFF }

  // MARK: Binary32

  /// ADDSS.
  @inlinable @inline(__always) public static func add(_ a: Binary32, _ b: Binary32, _ environment: inout FloatEnvironment) -> Binary32 {
    if isUsable(environment) && isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let r = Float(bitPattern: a.bits) + Float(bitPattern: b.bits)
      if isSafe(r.bitPattern) || r.bitPattern &<< 1 == 0 { return Binary32(bits: r.bitPattern) }
    }
    return Binary32.add(a, b, &environment)
  }

  /// SUBSS.
  @inlinable @inline(__always) public static func sub(_ a: Binary32, _ b: Binary32, _ environment: inout FloatEnvironment) -> Binary32 {
    if isUsable(environment) && isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let r = Float(bitPattern: a.bits) - Float(bitPattern: b.bits)
      if isSafe(r.bitPattern) || r.bitPattern &<< 1 == 0 { return Binary32(bits: r.bitPattern) }
    }
    return Binary32.sub(a, b, &environment)
  }

  /// MULSS.
  @inlinable @inline(__always) public static func mul(_ a: Binary32, _ b: Binary32, _ environment: inout FloatEnvironment) -> Binary32 {
    if isUsable(environment) && isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let r = Float(bitPattern: a.bits) * Float(bitPattern: b.bits)
      if isSafe(r.bitPattern) || (r.bitPattern &<< 1 == 0 && (a.isZero || b.isZero)) { return Binary32(bits: r.bitPattern) }
    }
    return Binary32.mul(a, b, &environment)
  }

  /// DIVSS.
  @inlinable @inline(__always) public static func div(_ a: Binary32, _ b: Binary32, _ environment: inout FloatEnvironment) -> Binary32 {
    if isUsable(environment) && isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let r = Float(bitPattern: a.bits) / Float(bitPattern: b.bits)
      if isSafe(r.bitPattern) || (r.bitPattern &<< 1 == 0 && a.isZero) { return Binary32(bits: r.bitPattern) }
    }
    return Binary32.div(a, b, &environment)
  }

  /// SQRTSS. The root of a positive normal number is one, above the smallest.
  @inlinable @inline(__always) public static func sqrt(_ a: Binary32, _ environment: inout FloatEnvironment) -> Binary32 {
    if isUsable(environment) && a.isOrdinary && !a.isNegative {
      // Of the significand as an integer, doubled to leave an even exponent. That it cannot be negative spares the C library's sqrt,
      // which would have to set errno.
      let odd = (a.bits &>> 23) & 1
      let r = Float((a.bits & 0x7F_FFFF | 0x80_0000) &<< odd).squareRoot()
      return Binary32(bits: r.bitPattern &+ (a.bits &>> 23 &- odd &- 150) &<< 22)
    }
    return Binary32.sqrt(a, &environment)
  }

  /// COMISS if `signaling`, else UCOMISS: of two normal numbers or zeros a comparison raises nothing in any environment.
  @inlinable @inline(__always)
  public static func compare(_ a: Binary32, _ b: Binary32, signaling: Bool, _ environment: inout FloatEnvironment) -> FloatRelation {
    if isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let x = Float(bitPattern: a.bits)
      let y = Float(bitPattern: b.bits)
      if x < y { return .less }
      if x > y { return .greater }
      if x == y { return .equal }
    }
    return Binary32.compare(a, b, signaling: signaling, &environment)
  }

  // MARK: Binary64

  /// ADDSD.
  @inlinable @inline(__always) public static func add(_ a: Binary64, _ b: Binary64, _ environment: inout FloatEnvironment) -> Binary64 {
    if isUsable(environment) && isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let r = Double(bitPattern: a.bits) + Double(bitPattern: b.bits)
      if isSafe(r.bitPattern) || r.bitPattern &<< 1 == 0 { return Binary64(bits: r.bitPattern) }
    }
    return Binary64.add(a, b, &environment)
  }

  /// SUBSD.
  @inlinable @inline(__always) public static func sub(_ a: Binary64, _ b: Binary64, _ environment: inout FloatEnvironment) -> Binary64 {
    if isUsable(environment) && isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let r = Double(bitPattern: a.bits) - Double(bitPattern: b.bits)
      if isSafe(r.bitPattern) || r.bitPattern &<< 1 == 0 { return Binary64(bits: r.bitPattern) }
    }
    return Binary64.sub(a, b, &environment)
  }

  /// MULSD.
  @inlinable @inline(__always) public static func mul(_ a: Binary64, _ b: Binary64, _ environment: inout FloatEnvironment) -> Binary64 {
    if isUsable(environment) && isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let r = Double(bitPattern: a.bits) * Double(bitPattern: b.bits)
      if isSafe(r.bitPattern) || (r.bitPattern &<< 1 == 0 && (a.isZero || b.isZero)) { return Binary64(bits: r.bitPattern) }
    }
    return Binary64.mul(a, b, &environment)
  }

  /// DIVSD.
  @inlinable @inline(__always) public static func div(_ a: Binary64, _ b: Binary64, _ environment: inout FloatEnvironment) -> Binary64 {
    if isUsable(environment) && isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let r = Double(bitPattern: a.bits) / Double(bitPattern: b.bits)
      if isSafe(r.bitPattern) || (r.bitPattern &<< 1 == 0 && a.isZero) { return Binary64(bits: r.bitPattern) }
    }
    return Binary64.div(a, b, &environment)
  }

  /// SQRTSD. The root of a positive normal number is one, above the smallest.
  @inlinable @inline(__always) public static func sqrt(_ a: Binary64, _ environment: inout FloatEnvironment) -> Binary64 {
    if isUsable(environment) && a.isOrdinary && !a.isNegative {
      // Of the significand as an integer, doubled to leave an even exponent. That it cannot be negative spares the C library's sqrt,
      // which would have to set errno.
      let odd = (a.bits &>> 52 &+ 1) & 1
      let r = Double((a.bits & 0xF_FFFF_FFFF_FFFF | 0x10_0000_0000_0000) &<< odd).squareRoot()
      return Binary64(bits: r.bitPattern &+ (a.bits &>> 52 &- odd &- 1075) &<< 51)
    }
    return Binary64.sqrt(a, &environment)
  }

  /// COMISD if `signaling`, else UCOMISD: of two normal numbers or zeros a comparison raises nothing in any environment.
  @inlinable @inline(__always)
  public static func compare(_ a: Binary64, _ b: Binary64, signaling: Bool, _ environment: inout FloatEnvironment) -> FloatRelation {
    if isNotDenormal(a.bits) && isNotDenormal(b.bits) {
      let x = Double(bitPattern: a.bits)
      let y = Double(bitPattern: b.bits)
      if x < y { return .less }
      if x > y { return .greater }
      if x == y { return .equal }
    }
    return Binary64.compare(a, b, signaling: signaling, &environment)
  }
}
