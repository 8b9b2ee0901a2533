// 64- and 128-bit helpers for significands. "Jamming" ORs every bit shifted out into bit 0, so that a later rounding still sees
// whether the value was exact and on which side of a tie it lies.

@inline(__always) func shiftRightJamming(_ value: UInt64, _ count: Int) -> UInt64 {
  if count < 64 {
    let lost = value &<< UInt64(truncatingIfNeeded: 64 &- count) != 0 && count != 0
    return value &>> UInt64(truncatingIfNeeded: count) | (lost ? 1 : 0)
  }
  return value != 0 ? 1 : 0
}

@inline(__always) func shiftRightJamming(_ value: UInt128, _ count: Int) -> UInt128 {
  if count < 128 {
    let kept = value &>> UInt128(truncatingIfNeeded: count)
    return kept | (kept &<< UInt128(truncatingIfNeeded: count) != value ? 1 : 0)
  }
  return value != 0 ? 1 : 0
}

@inline(__always) func wide(_ high: UInt64, _ low: UInt64) -> UInt128 {
  UInt128(truncatingIfNeeded: high) &<< 64 | UInt128(truncatingIfNeeded: low)
}

extension UInt128 {
  @inline(__always) var high: UInt64 { UInt64(truncatingIfNeeded: self &>> 64) }
  @inline(__always) var low: UInt64 { UInt64(truncatingIfNeeded: self) }

  /// The high 64 bits with the low ones jammed into bit 0.
  @inline(__always) var jammedHigh: UInt64 { high | (low != 0 ? 1 : 0) }

  @inline(__always) func multipliedHigh(_ other: UInt128) -> UInt128 { multipliedFullWidth(by: other).high }
}

/// The integer square root of `radicand`, which must be at least 2^126, and whether it is exact.
///
/// The host's square root (correctly rounded by IEEE 754 everywhere) gives 52 bits; one Newton step leaves an error of at most a few
/// units, which the remainder then settles exactly. So no property of the host shows in the result.
@inline(__always) func integerSquareRoot(_ radicand: UInt128) -> (root: UInt64, exact: Bool) {
  let estimate = Double(radicand.high).squareRoot() * 4_294_967_296.0
  var root = estimate < 18_446_744_073_709_551_615.0 ? UInt64(estimate) : UInt64.max
  let (squareHigh, squareLow) = root.multipliedFullWidth(by: root)
  let square = wide(squareHigh, squareLow)
  if square > radicand {
    root &-= ((square &- radicand) &>> 14).low / (root &>> 13)
  } else {
    let (sum, carry) = root.addingReportingOverflow(((radicand &- square) &>> 14).low / (root &>> 13))
    root = carry ? UInt64.max : sum
  }
  while true {
    let (high, low) = root.multipliedFullWidth(by: root)
    let product = wide(high, low)
    if product > radicand {
      root &-= 1
      continue
    }
    let remainder = radicand &- product
    if remainder > wide(0, root) &<< 1 {
      root &+= 1
      continue
    }
    return (root, remainder == 0)
  }
}
