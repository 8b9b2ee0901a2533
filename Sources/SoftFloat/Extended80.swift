// The x87 double extended-precision format: encodings, classes, constants (SDM vol. 1 §4.2.2, §8.2, §8.3.8).

/// An x87 register's 80 bits: an explicit 64-bit significand, a 15-bit exponent biased by 16383, a sign. `==` compares bits, not numbers.
@frozen public struct Extended80: Hashable, Sendable {
  /// Bit 63 is the integer bit.
  public var significand: UInt64
  /// Bit 15 is the sign.
  public var signExponent: UInt16

  @inlinable @inline(__always) public init(significand: UInt64, signExponent: UInt16) {
    self.significand = significand
    self.signExponent = signExponent
  }
}

/// What FXAM tells of a register's content, encoded as C3:C2:C0; 5 (empty) is for the register file to say.
@frozen public enum ExtendedClass: UInt8, Sendable {
  case unsupported = 0
  case nan = 1
  case normal = 2
  case infinity = 3
  case zero = 4
  case empty = 5
  case denormal = 6
}

extension Extended80 {
  @inlinable @inline(__always) static var integerBit: UInt64 { 0x8000_0000_0000_0000 }
  @inlinable @inline(__always) static var quietBit: UInt64 { 0x4000_0000_0000_0000 }
  @inlinable @inline(__always) static var bias: Int { 0x3FFF }
  @inlinable @inline(__always) static var maximumExponent: Int { 0x7FFF }

  /// +0.
  @inlinable @inline(__always) public static var zero: Extended80 { .init(significand: 0, signExponent: 0) }
  /// 1, as FLD1 loads it.
  @inlinable @inline(__always) public static var one: Extended80 { .init(significand: integerBit, signExponent: 0x3FFF) }
  /// The QNaN floating-point indefinite.
  @inlinable @inline(__always) public static var indefinite: Extended80 { .init(significand: 0xC000_0000_0000_0000, signExponent: 0xFFFF) }

  @inlinable @inline(__always) static func zero(negative: Bool) -> Extended80 { .init(significand: 0, signExponent: negative ? 0x8000 : 0) }
  @inline(__always) static func one(negative: Bool) -> Extended80 { .init(significand: integerBit, signExponent: negative ? 0xBFFF : 0x3FFF) }
  @inline(__always) static func infinity(negative: Bool) -> Extended80 { .init(significand: integerBit, signExponent: negative ? 0xFFFF : 0x7FFF) }

  @inlinable @inline(__always) public var isNegative: Bool { signExponent & 0x8000 != 0 }
  /// The exponent field, biased by 16383.
  @inlinable @inline(__always) public var biasedExponent: Int { Int(truncatingIfNeeded: signExponent & 0x7FFF) }
  @inlinable @inline(__always) public var isZero: Bool { biasedExponent == 0 && significand == 0 }
  /// Denormal or pseudo-denormal.
  @inlinable @inline(__always) public var isDenormal: Bool { biasedExponent == 0 && significand != 0 }
  @inlinable @inline(__always) public var isInfinity: Bool { biasedExponent == 0x7FFF && significand == Self.integerBit }
  /// A NaN proper; pseudo-NaNs are unsupported.
  @inlinable @inline(__always) public var isNaN: Bool { biasedExponent == 0x7FFF && significand > Self.integerBit }
  @inlinable @inline(__always) public var isSignalingNaN: Bool { isNaN && significand & Self.quietBit == 0 }
  /// Unnormal, pseudo-infinity or pseudo-NaN: an exponent without the integer bit. Invalid as an operand since the 80387.
  @inlinable @inline(__always) public var isUnsupported: Bool { biasedExponent != 0 && significand & Self.integerBit == 0 }
  /// Normal: neither zero, denormal, infinity, NaN nor unsupported.
  @inlinable @inline(__always) var isOrdinary: Bool {
    signExponent & 0x7FFF &- 1 < 0x7FFE && significand & Self.integerBit != 0
  }
  @inlinable @inline(__always) var quieted: Extended80 { .init(significand: significand | Self.quietBit, signExponent: signExponent) }

  /// FABS.
  @inlinable @inline(__always) public var absolute: Extended80 { .init(significand: significand, signExponent: signExponent & 0x7FFF) }
  /// FCHS.
  @inlinable @inline(__always) public var negated: Extended80 { .init(significand: significand, signExponent: signExponent ^ 0x8000) }

  /// FXAM; the sign goes to C1.
  @inlinable public var classification: ExtendedClass {
    if isOrdinary { return .normal }
    if isZero { return .zero }
    if isDenormal { return .denormal }
    if isUnsupported { return .unsupported }
    return isInfinity ? .infinity : .nan
  }

  /// Splits an ordinary number.
  @inline(__always) var unpackedOrdinary: Unpacked { Unpacked(isNegative, biasedExponent, significand) }

  /// Splits a nonzero finite number. An exponent field of 0 counts as 1, for denormals and pseudo-denormals alike.
  @inline(__always) var unpacked: Unpacked {
    let exponent = biasedExponent
    if exponent != 0 { return unpackedOrdinary }
    let shift = significand.leadingZeroBitCount
    return Unpacked(isNegative, 1 &- shift, significand &<< UInt64(truncatingIfNeeded: shift))
  }

  @inlinable @inline(__always) init(negative: Bool, exponent: Int, significand: UInt64) {
    self.init(significand: significand, signExponent: UInt16(truncatingIfNeeded: exponent) | (negative ? 0x8000 : 0))
  }
}

/// The constants of FLD1 … FLDZ other than 0 and 1.
@frozen public enum ExtendedConstant: Sendable {
  case log2Of10, log2OfE, pi, log10Of2, naturalLogOf2
}

extension Extended80 {
  /// FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2: the constant rounded to 64 bits by `mode`; inexact is not raised (SDM vol. 1 §8.3.8).
  public static func constant(_ which: ExtendedConstant, _ mode: RoundingMode) -> Extended80 {
    // The truncated significand, and whether the bits after it are above one half.
    let (exponent, truncated, aboveHalf): (UInt16, UInt64, Bool) =
      switch which {
      case .log2Of10: (0x4000, 0xD49A_784B_CD1B_8AFE, false)
      case .log2OfE: (0x3FFF, 0xB8AA_3B29_5C17_F0BB, true)
      case .pi: (0x4000, 0xC90F_DAA2_2168_C234, true)
      case .log10Of2: (0x3FFD, 0x9A20_9A84_FBCF_F798, true)
      case .naturalLogOf2: (0x3FFE, 0xB172_17F7_D1CF_79AB, true)
      }
    let up = mode == .up || (mode == .nearestEven && aboveHalf)
    return Extended80(significand: truncated &+ (up ? 1 : 0), signExponent: exponent)
  }
}
