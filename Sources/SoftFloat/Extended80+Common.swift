// The common case of x87 arithmetic, for fast handlers: full precision, to nearest even, inexact masked; normal operands, and results
// that neither overflow nor underflow. Nothing but inexact can be raised then, no environment is needed, and all fits into machine
// registers. The `try…` functions answer nil where that does not hold; the general operation decides then.

/// A result and the bits it leaves in the x87 status word: PE (bit 5), and C1 (bit 9) if rounding increased the magnitude.
@frozen public struct RoundedExtended: Sendable {
  public var value: Extended80
  public var status: UInt16

  @inlinable @inline(__always) init(_ value: Extended80, _ status: UInt16) {
    self.value = value
    self.status = status
  }

  /// Rounds `high` with `low` behind it to nearest even. `signExponent` must leave room for a carry.
  @inlinable @inline(__always) init(_ signExponent: UInt16, _ high: UInt64, _ low: UInt64) {
    if low == 0 {
      self.init(Extended80(significand: high, signExponent: signExponent), 0)
      return
    }
    let up = (low &>> 63) & (low &<< 1 != 0 ? 1 : high)
    let (sum, carry) = high.addingReportingOverflow(up)
    self.init(
      Extended80(significand: sum | (carry ? Extended80.integerBit : 0), signExponent: signExponent &+ (carry ? 1 : 0)),
      0x20 | UInt16(truncatingIfNeeded: up &<< 9))
  }
}

extension Extended80 {
  // MARK: Arithmetic

  /// a + b.
  @inlinable @inline(__always) public static func trySum(_ a: Extended80, _ b: Extended80) -> RoundedExtended? {
    guard a.isOrdinary && b.isOrdinary else { return nil }
    let distance = (a.signExponent & 0x7FFF).subtractingReportingOverflow(b.signExponent & 0x7FFF)
    let swap = distance.overflow || (distance.partialValue == 0 && a.significand < b.significand)
    let big = swap ? b : a
    let small = swap ? a : b
    let shift = UInt64(truncatingIfNeeded: distance.overflow ? 0 &- distance.partialValue : distance.partialValue)
    // The smaller significand in 128 bits; of what lies below, whether there is anything.
    var high = small.significand &>> shift
    var low = (small.significand &<< 1) &<< (63 &- (shift & 63))
    if shift >= 64 {
      low = shift < 128 ? high | (low != 0 ? 1 : 0) : 1
      high = 0
    }
    if (a.signExponent ^ b.signExponent) & 0x8000 == 0 {
      let (sum, carry) = big.significand.addingReportingOverflow(high)
      if !carry { return RoundedExtended(notOverflowing: big.signExponent, sum, low) }
      return RoundedExtended(notOverflowing: big.signExponent &+ 1, sum &>> 1 | integerBit, sum &<< 63 | low &>> 1 | low & 1)
    }
    var difference = big.significand &- high &- (low != 0 ? 1 : 0)
    low = 0 &- low
    if difference == 0 {
      if low == 0 { return RoundedExtended(.zero, 0) }
      difference = low
      low = 0
      let count = UInt16(truncatingIfNeeded: difference.leadingZeroBitCount)
      guard big.signExponent & 0x7FFF > count &+ 64 else { return nil }
      return RoundedExtended(
        Extended80(significand: difference &<< UInt64(truncatingIfNeeded: count), signExponent: big.signExponent &- count &- 64), 0)
    }
    let count = UInt64(truncatingIfNeeded: difference.leadingZeroBitCount)
    guard UInt64(truncatingIfNeeded: big.signExponent & 0x7FFF) > count else { return nil }
    return RoundedExtended(
      big.signExponent &- UInt16(truncatingIfNeeded: count), difference &<< count | (low &>> 1) &>> (63 &- count), low &<< count)
  }

  /// a · b.
  @inlinable @inline(__always) public static func tryProduct(_ a: Extended80, _ b: Extended80) -> RoundedExtended? {
    guard a.isOrdinary && b.isOrdinary else { return nil }
    let (high, low) = a.significand.multipliedFullWidth(by: b.significand)
    let carry = high &>> 63
    let exponent = a.biasedExponent &+ b.biasedExponent &- bias &+ Int(truncatingIfNeeded: carry)
    guard UInt(bitPattern: exponent &- 1) < 0x7FFD else { return nil }
    let signExponent = UInt16(truncatingIfNeeded: exponent) | (a.signExponent ^ b.signExponent) & 0x8000
    return carry != 0 ? RoundedExtended(signExponent, high, low)
      : RoundedExtended(signExponent, high &<< 1 | low &>> 63, low &<< 1)
  }

  /// a / b.
  @inline(never) public static func tryQuotient(_ a: Extended80, _ b: Extended80) -> RoundedExtended? {
    guard a.isOrdinary && b.isOrdinary else { return nil }
    let below = a.significand < b.significand
    let exponent = a.biasedExponent &- b.biasedExponent &+ bias &- (below ? 1 : 0)
    guard UInt(bitPattern: exponent &- 1) < 0x7FFD else { return nil }
    let (whole, remainder) = b.significand.dividingFullWidth(
      below ? (high: a.significand, low: 0) : (high: a.significand &>> 1, low: a.significand &<< 63))
    // Twice the remainder tells what is behind: nothing, less than one half or more. One half itself it cannot be: the divisor would
    // divide a power of two times the dividend, and the quotient end sooner.
    let rest: UInt64 = remainder == 0 ? 0 : remainder > b.significand &>> 1 ? ~0 : 1
    return RoundedExtended(UInt16(truncatingIfNeeded: exponent) | (a.signExponent ^ b.signExponent) & 0x8000, whole, rest)
  }

  /// √a.
  @inline(never) public static func tryRoot(_ a: Extended80) -> RoundedExtended? {
    guard a.isOrdinary && !a.isNegative else { return nil }
    let exponent = a.biasedExponent &- bias
    let radicand = wide(a.significand, 0) &>> (exponent & 1 != 0 ? 0 : 1)
    let (whole, exact) = integerSquareRoot(radicand)
    let (squareHigh, squareLow) = whole.multipliedFullWidth(by: whole)
    let rest: UInt64 = exact ? 0 : radicand &- wide(squareHigh, squareLow) > wide(0, whole) ? ~0 : 1
    return RoundedExtended(UInt16(truncatingIfNeeded: exponent &>> 1 &+ bias), whole, rest)
  }

  // MARK: Comparison

  /// How zeros and normal numbers compare, in any environment.
  @inlinable @inline(__always) public static func tryCompare(_ a: Extended80, _ b: Extended80) -> FloatRelation? {
    guard a.isOrdinary || a.isZero, b.isOrdinary || b.isZero else { return nil }
    if (a.signExponent ^ b.signExponent) & 0x8000 != 0 {
      return a.isZero && b.isZero ? .equal : a.isNegative ? .less : .greater
    }
    if a == b { return .equal }
    let exponents = (a.signExponent, b.signExponent)
    let below = exponents.0 == exponents.1 ? a.significand < b.significand : exponents.0 < exponents.1
    return below != a.isNegative ? .less : .greater
  }

  // MARK: Conversion

  /// A zero or normal number, in any environment: exact.
  @inlinable @inline(__always) public static func tryWiden<F: InterchangeFormat>(_ a: F) -> Extended80? {
    let sign = UInt16(truncatingIfNeeded: a.raw &>> UInt64(truncatingIfNeeded: F.fractionWidth &+ F.exponentWidth)) &<< 15
    if a.isOrdinary {
      return Extended80(
        significand: (a.raw | F.implicitBit) &<< UInt64(truncatingIfNeeded: 63 &- F.fractionWidth),
        signExponent: UInt16(truncatingIfNeeded: a.biasedExponent &+ bias &- F.bias) | sign)
    }
    return a.isZero ? Extended80(significand: 0, signExponent: sign) : nil
  }

  /// To an interchange format, and the bits this leaves in the status word.
  @inlinable @inline(__always) public func tryNarrow<F: InterchangeFormat>(to: F.Type) -> (F, status: UInt16)? {
    let sign = UInt64(truncatingIfNeeded: signExponent &>> 15) &<< UInt64(truncatingIfNeeded: F.fractionWidth &+ F.exponentWidth)
    let exponent = biasedExponent &- (Self.bias &- F.bias)
    guard UInt(bitPattern: exponent &- 1) < UInt(bitPattern: F.maximumExponent &- 2), significand & Self.integerBit != 0 else {
      return isZero ? (F(raw: sign), 0) : nil
    }
    let discarded = UInt64(truncatingIfNeeded: 63 &- F.fractionWidth)
    let kept = significand &>> discarded
    let rest = significand &<< (64 &- discarded)
    let up = (rest &>> 63) & (rest &<< 1 != 0 ? 1 : kept)
    // The integer bit adds 1 to the exponent field; a carry out of the fraction does so too.
    let packed = UInt64(truncatingIfNeeded: exponent &- 1) &<< UInt64(truncatingIfNeeded: F.fractionWidth) &+ kept &+ up
    return (F(raw: packed | sign), rest != 0 ? 0x20 | UInt16(truncatingIfNeeded: up &<< 9) : 0)
  }

  /// To an integer of `width` bits by a rounding mode, and the bits this leaves in the status word. Needs inexact masked.
  @inlinable @inline(__always) public func tryInteger(width: Int, _ mode: RoundingMode) -> (Int64, status: UInt16)? {
    let exponent = biasedExponent &- Self.bias
    guard exponent < width &- 1, significand & Self.integerBit != 0 else { return isZero ? (0, 0) : nil }
    // Below one half nothing but that there is something matters.
    let whole = exponent < 0 ? 0 : significand &>> UInt64(truncatingIfNeeded: 63 &- exponent)
    let rest = exponent < -1 ? 1 : significand &<< UInt64(truncatingIfNeeded: exponent &+ 1)
    let up: Bool =
      switch mode {
      case .nearestEven: rest > Self.integerBit || (rest == Self.integerBit && whole & 1 != 0)
      case .down: isNegative && rest != 0
      case .up: !isNegative && rest != 0
      case .towardZero: false
      }
    let magnitude = whole &+ (up ? 1 : 0)
    if magnitude &>> UInt64(truncatingIfNeeded: width &- 1) != 0 { return nil }
    let value = Int64(bitPattern: magnitude)
    return (isNegative ? 0 &- value : value, rest != 0 ? 0x20 | (up ? 0x200 : 0) : 0)
  }
}

extension RoundedExtended {
  /// Nil if the exponent is the largest or would become so by a carry.
  @inlinable @inline(__always) init?(notOverflowing signExponent: UInt16, _ high: UInt64, _ low: UInt64) {
    if signExponent & 0x7FFF >= 0x7FFE { return nil }
    self.init(signExponent, high, low)
  }
}
