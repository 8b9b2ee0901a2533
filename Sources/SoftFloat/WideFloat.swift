// A 128-bit floating-point magnitude: the working precision of the transcendental instructions. Operations truncate, so each is in error by
// at most one unit in 2^-127; a result built from a few dozen of them is good to better than 2^-120, where x87 needs 2^-64.

struct WideFloat {
  /// Value: significand/2^127 · 2^exponent, bit 127 set.
  var exponent: Int
  var significand: UInt128

  /// Normalises `bits`/2^127 · 2^exponent; `bits` is not zero.
  @inline(__always) init(exponent: Int, bits: UInt128) {
    let shift = bits.leadingZeroBitCount
    self.exponent = exponent &- shift
    self.significand = bits &<< UInt128(truncatingIfNeeded: shift)
  }

  /// The magnitude of a finite nonzero register value.
  @inline(__always) init(_ x: Unpacked) {
    exponent = x.exponent &- Extended80.bias
    significand = wide(x.significand, 0)
  }

  static var pi: WideFloat { WideFloat(exponent: 1, bits: Coefficients.pi) }
  static var halfPi: WideFloat { WideFloat(exponent: 0, bits: Coefficients.pi) }
  static var quarterPi: WideFloat { WideFloat(exponent: -1, bits: Coefficients.pi) }

  @inline(__always) func times(_ other: WideFloat) -> WideFloat {
    WideFloat(exponent: exponent &+ other.exponent &+ 1, bits: significand.multipliedHigh(other.significand))
  }

  /// The value times 2^128, for values below 1; bits below the last are lost.
  @inline(__always) var fraction: UInt128 {
    let shift = -1 &- exponent
    return shift > 127 ? 0 : significand &>> UInt128(truncatingIfNeeded: shift)
  }

  /// self + other or self − other, which must not be the larger.
  @inline(__always) func combined(_ other: WideFloat, subtracting: Bool) -> WideFloat {
    let distance = exponent &- other.exponent
    let aligned = distance > 126 ? 1 : other.significand &>> UInt128(truncatingIfNeeded: distance &+ 1)
    let base = significand &>> 1
    return WideFloat(exponent: exponent &+ 1, bits: subtracting ? base &- aligned : base &+ aligned)
  }

  /// numerator / denominator of two nonzero integers.
  @inline(never) static func quotient(_ numerator: UInt128, _ denominator: UInt128) -> WideFloat {
    let numeratorShift = numerator.leadingZeroBitCount
    let denominatorShift = denominator.leadingZeroBitCount
    var n = numerator &<< UInt128(truncatingIfNeeded: numeratorShift)
    let d = denominator &<< UInt128(truncatingIfNeeded: denominatorShift)
    var exponent = denominatorShift &- numeratorShift
    if n >= d { n &>>= 1 } else { exponent &-= 1 }
    // Long division in two digits of 64 bits (Knuth, The Art of Computer Programming, 4.3.1 D).
    let first = digit(&n, d)
    let second = digit(&n, d)
    return WideFloat(exponent: exponent, bits: wide(first, second))
  }

  /// The next 64 quotient bits of n/d for n < d, bit 127 of d set; n becomes the remainder, scaled up.
  @inline(__always) private static func digit(_ n: inout UInt128, _ d: UInt128) -> UInt64 {
    var digit: UInt64
    var rest: UInt64
    var fits = true
    if n.high >= d.high {
      digit = UInt64.max
      let (sum, carry) = n.low.addingReportingOverflow(d.high)
      rest = sum
      fits = !carry
    } else {
      (digit, rest) = d.high.dividingFullWidth((n.high, n.low))
    }
    while fits {
      let (high, low) = digit.multipliedFullWidth(by: d.low)
      if wide(high, low) <= wide(rest, 0) { break }
      digit &-= 1
      let (sum, carry) = rest.addingReportingOverflow(d.high)
      rest = sum
      fits = !carry
    }
    let (high, low) = digit.multipliedFullWidth(by: d.low)
    n = wide(rest, 0) &- wide(high, low)
    return digit
  }
}

/// c[0] + c[1]·x + c[2]·x² … in the fixed point of the coefficients, x being a fraction of 2^128; or the alternating sum, which is
/// kept below c[0] even if x is too small to show, so that directed rounding goes the right way.
@inline(__always) func polynomial<let count: Int>(_ coefficients: InlineArray<count, UInt128>, _ x: UInt128, alternating: Bool) -> UInt128 {
  var index = count &- 1
  var sum = coefficients[index]
  while index > 1 {
    index &-= 1
    let product = sum.multipliedHigh(x)
    sum = alternating ? coefficients[index] &- product : coefficients[index] &+ product
  }
  let product = sum.multipliedHigh(x)
  return alternating ? coefficients[0] &- (product | 1) : coefficients[0] &+ product
}

extension Extended80 {
  /// Rounds a transcendental result, which is never exact.
  @inline(__always) static func inexact(_ negative: Bool, _ value: WideFloat, _ environment: inout FloatEnvironment) -> Extended80 {
    rounded(negative, value.exponent &+ bias, value.significand | 1, .extended, &environment)
  }
}
