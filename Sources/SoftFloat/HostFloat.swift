// Arithmetic of the host for SSE, where result and flags are provably those of the guest.
//
// Swift's Float and Double are IEEE 754 binary32 and binary64, rounded to nearest even without contraction, on every host. With
// rounding control at nearest even that leaves the flags, and so the following conditions make a host operation the whole truth:
//
// * Inexact is masked. The caller asks `isUsable` once. If it is flagged already, whether this operation is inexact can be seen by
//   nobody: real programs reach this state with the first inexact operation and stay in it. Until then the caller asks `isExact…`,
//   which tells by host arithmetic and by counting zeros whether the result is, and flags inexact if it is not.
// * No operand is denormal: no DE, nothing for DAZ to change.
// * The result is a normal number above the smallest one. Then no operand was a NaN, nothing was invalid or divided by zero, nothing
//   overflowed. The result was not tiny either: a tiny one would have been delivered as denormal, zero or exactly the smallest normal number.
// * Or the result is zero, and a sum (sums never underflow, and a zero sum is exact) or the product or quotient of a zero.
//
// The `try…` functions check all but the first and answer nil if in doubt; `add` … `compare` do it all and fall back on the
// `@inline(never)` software operation.

/// An interchange format the host computes in.
public protocol HostFormat: InterchangeFormat {
  associatedtype Host: BinaryFloatingPoint
  init(host: Host)
  var host: Host { get }

  static func add(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self
  static func sub(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self
  static func mul(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self
  static func div(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self
  static func sqrt(_ a: Self, _ environment: inout FloatEnvironment) -> Self
  static func min(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self
  static func max(_ a: Self, _ b: Self, _ environment: inout FloatEnvironment) -> Self
  static func compare(_ a: Self, _ b: Self, signaling: Bool, _ environment: inout FloatEnvironment) -> FloatRelation
}

extension Binary32: HostFormat {
  @inlinable @inline(__always) public init(host: Float) { self.init(bits: host.bitPattern) }
  @inlinable @inline(__always) public var host: Float { Float(bitPattern: bits) }
}

extension Binary64: HostFormat {
  @inlinable @inline(__always) public init(host: Double) { self.init(bits: host.bitPattern) }
  @inlinable @inline(__always) public var host: Double { Double(bitPattern: bits) }
}

extension HostFormat {
  /// Finite, normal and above the smallest normal number.
  @inlinable @inline(__always) var isSafe: Bool { magnitude &- (Self.implicitBit | 1) < Self.infinityBits &- (Self.implicitBit | 1) }
  /// Zero, normal, infinite or NaN.
  @inlinable @inline(__always) var isNotDenormal: Bool { magnitude &- 1 >= Self.fractionMask }
  /// Significand of a normal number as an integer.
  @inlinable @inline(__always) var significandField: UInt64 { raw & Self.fractionMask | Self.implicitBit }
  /// Zeros at the end of a normal number's significand.
  @inlinable @inline(__always) var trailingZeros: Int { (raw | Self.implicitBit).trailingZeroBitCount }
}

public enum HostFloat {
  /// Whether MXCSR allows host arithmetic at all: nearest even, inexact masked.
  @inlinable @inline(__always) public static func isUsable(mxcsr: UInt32) -> Bool { mxcsr & 0x7000 == 0x1000 }

  /// Whether the environment allows host arithmetic at all.
  @inlinable @inline(__always) public static func isUsable(_ environment: FloatEnvironment) -> Bool {
    environment.rounding == .nearestEven && environment.masks.rawValue & 32 != 0
  }

  /// Flags inexact, if it is not flagged already and a host result is.
  @inlinable @inline(__always) public static func settle(_ environment: inout FloatEnvironment, isExact: @autoclosure () -> Bool) {
    if environment.flags.rawValue & 32 == 0, !isExact() { environment.raise(.inexact) }
  }

  // MARK: If `isUsable`

  /// a + b if no exception but inexact can arise.
  @inlinable @inline(__always) public static func tryAdd<F: HostFormat>(_ a: F, _ b: F) -> F? {
    let r = F(host: a.host + b.host)
    return a.isNotDenormal && b.isNotDenormal && (r.isSafe || r.isZero) ? r : nil
  }

  /// a − b if no exception but inexact can arise.
  @inlinable @inline(__always) public static func trySub<F: HostFormat>(_ a: F, _ b: F) -> F? {
    let r = F(host: a.host - b.host)
    return a.isNotDenormal && b.isNotDenormal && (r.isSafe || r.isZero) ? r : nil
  }

  /// a · b if no exception but inexact can arise.
  @inlinable @inline(__always) public static func tryMul<F: HostFormat>(_ a: F, _ b: F) -> F? {
    let r = F(host: a.host * b.host)
    return a.isNotDenormal && b.isNotDenormal && (r.isSafe || (r.isZero && (a.isZero || b.isZero))) ? r : nil
  }

  /// a / b if no exception but inexact can arise.
  @inlinable @inline(__always) public static func tryDiv<F: HostFormat>(_ a: F, _ b: F) -> F? {
    let r = F(host: a.host / b.host)
    return a.isNotDenormal && b.isNotDenormal && (r.isSafe || (r.isZero && a.isZero)) ? r : nil
  }

  /// ±a·b ± c, rounded once, if no exception but inexact can arise. Whether it is exact no function here tells.
  @inlinable @inline(__always)
  public static func tryFused<F: HostFormat>(_ a: F, _ b: F, _ c: F, negateProduct: Bool, negateAddend: Bool) -> F? {
    guard a.isNotDenormal && b.isNotDenormal && c.isNotDenormal else { return nil }
    let addend = negateAddend ? -c.host : c.host
    let r = F(host: addend.addingProduct(negateProduct ? -a.host : a.host, b.host))
    return r.isSafe ? r : nil
  }

  /// √a if no exception but inexact can arise: the root of a positive normal number is one too, above the smallest.
  @inlinable @inline(__always) public static func trySqrt(_ a: Binary32) -> Binary32? {
    guard a.isOrdinary && !a.isNegative else { return nil }
    // Of the significand as an integer, doubled where that makes the exponent even. That the integer cannot be negative spares the C
    // library's function, which would have to set errno.
    let odd = (a.bits &>> 23) & 1
    let r = Float((a.bits & 0x7F_FFFF | 0x80_0000) &<< odd).squareRoot()
    return Binary32(bits: r.bitPattern &+ (a.bits &>> 23 &- odd &- 150) &<< 22)
  }

  /// √a if no exception but inexact can arise.
  @inlinable @inline(__always) public static func trySqrt(_ a: Binary64) -> Binary64? {
    guard a.isOrdinary && !a.isNegative else { return nil }
    let odd = (a.bits &>> 52 &+ 1) & 1
    let r = Double((a.bits & 0xF_FFFF_FFFF_FFFF | 0x10_0000_0000_0000) &<< odd).squareRoot()
    return Binary64(bits: r.bitPattern &+ (a.bits &>> 52 &- odd &- 1075) &<< 51)
  }

  /// CVTSD2SS if no exception but inexact can arise.
  @inlinable @inline(__always) public static func tryNarrow(_ a: Binary64) -> Binary32? {
    let r = Binary32(host: Float(a.host))
    return a.isNotDenormal && (r.isSafe || a.isZero) ? r : nil
  }

  /// CVTTSS2SI if the value fits. Needs inexact masked, but any rounding control will do: truncation is the instruction's own.
  @inlinable @inline(__always) public static func tryTruncateToInt32(_ a: Binary32) -> Int32? {
    let x = a.host
    return x > -0x1p31 && x < 0x1p31 ? Int32(x) : nil
  }

  /// CVTTSS2SI to 64 bits, likewise.
  @inlinable @inline(__always) public static func tryTruncateToInt64(_ a: Binary32) -> Int64? {
    let x = a.host
    return x > -0x1p63 && x < 0x1p63 ? Int64(x) : nil
  }

  /// CVTTSD2SI, likewise.
  @inlinable @inline(__always) public static func tryTruncateToInt32(_ a: Binary64) -> Int32? {
    let x = a.host
    return x > -0x1p31 && x < 0x1p31 ? Int32(x) : nil
  }

  /// CVTTSD2SI to 64 bits, likewise.
  @inlinable @inline(__always) public static func tryTruncateToInt64(_ a: Binary64) -> Int64? {
    let x = a.host
    return x > -0x1p63 && x < 0x1p63 ? Int64(x) : nil
  }

  // MARK: Whether a result of the functions above is exact

  /// Of a sum `r`: it is if either operand can be had back from it. The subtraction of the larger operand is exact (T. J. Dekker, A
  /// floating-point technique for extending the available precision, 1971), so its outcome is the other operand only if nothing was lost.
  @inlinable @inline(__always) public static func isExactSum<F: HostFormat>(_ a: F, _ b: F, _ r: F) -> Bool {
    r.host - a.host == b.host && r.host - b.host == a.host
  }

  /// Of a difference `r`.
  @inlinable @inline(__always) public static func isExactDifference<F: HostFormat>(_ a: F, _ b: F, _ r: F) -> Bool {
    r.host + b.host == a.host && a.host - r.host == b.host
  }

  /// Of a product `r`: significands of p and q bits between their first and last one make a product of p + q bits, or one less if it
  /// does not carry, whose last bit is one.
  @inlinable @inline(__always) public static func isExactProduct<F: HostFormat>(_ a: F, _ b: F, _ r: F) -> Bool {
    let carries = a.biasedExponent &+ b.biasedExponent &- F.bias != r.biasedExponent
    return r.isZero || a.trailingZeros &+ b.trailingZeros > F.fractionWidth &- (carries ? 0 : 1)
  }

  /// Of a quotient: it ends, and then soon enough, if what is odd of the divisor divides the dividend.
  @inlinable @inline(__always) public static func isExactQuotient<F: HostFormat>(_ a: F, _ b: F, _ r: F) -> Bool {
    if r.isZero { return true }
    let divisor = b.significandField &>> UInt64(truncatingIfNeeded: b.trailingZeros)
    return a.significandField.remainderReportingOverflow(dividingBy: divisor).partialValue == 0
  }

  /// Of a square root `r` of `a`.
  @inlinable @inline(__always) public static func isExactRoot<F: HostFormat>(_ a: F, _ r: F) -> Bool {
    r.host * r.host == a.host && isExactProduct(r, r, a)
  }

  /// Of CVTSD2SS.
  @inlinable @inline(__always) public static func isExactNarrowing(_ a: Binary64, _ r: Binary32) -> Bool { Double(r.host) == a.host }

  /// Whether an integer has no more significant bits than the format.
  @inlinable @inline(__always) public static func isExactConversion<F: HostFormat>(_ a: Int64, _: F.Type) -> Bool {
    a.magnitude.leadingZeroBitCount &+ (a | Int64.min).trailingZeroBitCount &+ F.fractionWidth >= 63
  }

  // MARK: In any environment

  /// CVTSI2SD of 32 bits: exact.
  @inlinable @inline(__always) public static func widen(_ a: Int32) -> Binary64 { Binary64(host: Double(a)) }

  /// CVTSS2SD of zeros, normal numbers and infinities: exact.
  @inlinable @inline(__always) public static func tryWiden(_ a: Binary32) -> Binary64? {
    a.isNotDenormal && a.magnitude <= Binary32.infinityBits ? Binary64(host: Double(a.host)) : nil
  }

  /// How zeros, normal numbers and infinities compare, which raises nothing.
  @inlinable @inline(__always) public static func tryCompare<F: HostFormat>(_ a: F, _ b: F) -> FloatRelation? {
    guard a.isNotDenormal && b.isNotDenormal else { return nil }
    let x = a.host
    let y = b.host
    return x < y ? .less : x > y ? .greater : x == y ? .equal : nil
  }

  /// MINSS, MINSD of zeros, normal numbers and infinities.
  @inlinable @inline(__always) public static func tryMin<F: HostFormat>(_ a: F, _ b: F) -> F? {
    tryCompare(a, b).map { $0 == .less ? a : b }
  }

  /// MAXSS, MAXSD of zeros, normal numbers and infinities.
  @inlinable @inline(__always) public static func tryMax<F: HostFormat>(_ a: F, _ b: F) -> F? {
    tryCompare(a, b).map { $0 == .greater ? a : b }
  }

  // MARK: With the software operation to fall back on

  /// ADDSS, ADDSD.
  @inlinable @inline(__always) public static func add<F: HostFormat>(_ a: F, _ b: F, _ environment: inout FloatEnvironment) -> F {
    if isUsable(environment), let r = tryAdd(a, b) {
      settle(&environment, isExact: isExactSum(a, b, r))
      return r
    }
    return F.add(a, b, &environment)
  }

  /// SUBSS, SUBSD.
  @inlinable @inline(__always) public static func sub<F: HostFormat>(_ a: F, _ b: F, _ environment: inout FloatEnvironment) -> F {
    if isUsable(environment), let r = trySub(a, b) {
      settle(&environment, isExact: isExactDifference(a, b, r))
      return r
    }
    return F.sub(a, b, &environment)
  }

  /// MULSS, MULSD.
  @inlinable @inline(__always) public static func mul<F: HostFormat>(_ a: F, _ b: F, _ environment: inout FloatEnvironment) -> F {
    if isUsable(environment), let r = tryMul(a, b) {
      settle(&environment, isExact: isExactProduct(a, b, r))
      return r
    }
    return F.mul(a, b, &environment)
  }

  /// DIVSS, DIVSD.
  @inlinable @inline(__always) public static func div<F: HostFormat>(_ a: F, _ b: F, _ environment: inout FloatEnvironment) -> F {
    if isUsable(environment), let r = tryDiv(a, b) {
      settle(&environment, isExact: isExactQuotient(a, b, r))
      return r
    }
    return F.div(a, b, &environment)
  }

  /// SQRTSS.
  @inlinable @inline(__always) public static func sqrt(_ a: Binary32, _ environment: inout FloatEnvironment) -> Binary32 {
    if isUsable(environment), let r = trySqrt(a) {
      settle(&environment, isExact: isExactRoot(a, r))
      return r
    }
    return Binary32.sqrt(a, &environment)
  }

  /// SQRTSD.
  @inlinable @inline(__always) public static func sqrt(_ a: Binary64, _ environment: inout FloatEnvironment) -> Binary64 {
    if isUsable(environment), let r = trySqrt(a) {
      settle(&environment, isExact: isExactRoot(a, r))
      return r
    }
    return Binary64.sqrt(a, &environment)
  }

  /// CVTSD2SS.
  @inlinable @inline(__always) public static func narrow(_ a: Binary64, _ environment: inout FloatEnvironment) -> Binary32 {
    if isUsable(environment), let r = tryNarrow(a) {
      settle(&environment, isExact: isExactNarrowing(a, r))
      return r
    }
    return Binary32.from(a, &environment)
  }

  /// CVTSI2SS.
  @inlinable @inline(__always) public static func single(_ a: Int64, _ environment: inout FloatEnvironment) -> Binary32 {
    if !isUsable(environment) { return Binary32.from(a, &environment) }
    settle(&environment, isExact: isExactConversion(a, Binary32.self))
    return Binary32(host: Float(a))
  }

  /// CVTSI2SD of 64 bits.
  @inlinable @inline(__always) public static func double(_ a: Int64, _ environment: inout FloatEnvironment) -> Binary64 {
    if !isUsable(environment) { return Binary64.from(a, &environment) }
    settle(&environment, isExact: isExactConversion(a, Binary64.self))
    return Binary64(host: Double(a))
  }

  /// MINSS, MINSD.
  @inlinable @inline(__always) public static func min<F: HostFormat>(_ a: F, _ b: F, _ environment: inout FloatEnvironment) -> F {
    tryMin(a, b) ?? F.min(a, b, &environment)
  }

  /// MAXSS, MAXSD.
  @inlinable @inline(__always) public static func max<F: HostFormat>(_ a: F, _ b: F, _ environment: inout FloatEnvironment) -> F {
    tryMax(a, b) ?? F.max(a, b, &environment)
  }

  /// COMISS, COMISD if `signaling`, else UCOMISS, UCOMISD.
  @inlinable @inline(__always)
  public static func compare<F: HostFormat>(_ a: F, _ b: F, signaling: Bool, _ environment: inout FloatEnvironment) -> FloatRelation {
    tryCompare(a, b) ?? F.compare(a, b, signaling: signaling, &environment)
  }
}
