// The IEEE 754 interchange formats as bit patterns (SDM vol. 1 §4.2.2, §4.8.3) and their common layout arithmetic.

/// An IEEE 754 binary interchange format held as its bit pattern. `==` compares bits, not numbers.
public protocol InterchangeFormat: Sendable, Hashable {
  associatedtype Bits: FixedWidthInteger & UnsignedInteger & Sendable
  var bits: Bits { get set }
  init(bits: Bits)
  /// Bits of the stored fraction, without the implied leading one.
  static var fractionWidth: Int { get }
  /// Bits of the exponent field.
  static var exponentWidth: Int { get }
}

/// Half precision. Only converted to and from, as by F16C.
@frozen public struct Binary16: InterchangeFormat {
  public var bits: UInt16
  @inlinable @inline(__always) public init(bits: UInt16) { self.bits = bits }
  @inlinable @inline(__always) public static var fractionWidth: Int { 10 }
  @inlinable @inline(__always) public static var exponentWidth: Int { 5 }
}

/// Single precision.
@frozen public struct Binary32: InterchangeFormat {
  public var bits: UInt32
  @inlinable @inline(__always) public init(bits: UInt32) { self.bits = bits }
  @inlinable @inline(__always) public static var fractionWidth: Int { 23 }
  @inlinable @inline(__always) public static var exponentWidth: Int { 8 }
}

/// Double precision.
@frozen public struct Binary64: InterchangeFormat {
  public var bits: UInt64
  @inlinable @inline(__always) public init(bits: UInt64) { self.bits = bits }
  @inlinable @inline(__always) public static var fractionWidth: Int { 52 }
  @inlinable @inline(__always) public static var exponentWidth: Int { 11 }
}

/// A nonzero finite number: (-1)^sign · significand/2^63 · 2^(exponent − bias of the format at hand), bit 63 of the significand set.
/// The exponent is not limited to the field's range, so denormals are normalised too.
struct Unpacked {
  var negative: Bool
  var exponent: Int
  var significand: UInt64

  @inline(__always) init(_ negative: Bool, _ exponent: Int, _ significand: UInt64) {
    self.negative = negative
    self.exponent = exponent
    self.significand = significand
  }
}

extension InterchangeFormat {
  @inlinable @inline(__always) static var signBit: UInt64 { 1 &<< UInt64(fractionWidth &+ exponentWidth) }
  @inlinable @inline(__always) static var magnitudeMask: UInt64 { signBit &- 1 }
  @inlinable @inline(__always) static var implicitBit: UInt64 { 1 &<< UInt64(fractionWidth) }
  @inlinable @inline(__always) static var fractionMask: UInt64 { implicitBit &- 1 }
  @inlinable @inline(__always) static var quietBit: UInt64 { implicitBit &>> 1 }
  @inlinable @inline(__always) static var infinityBits: UInt64 { magnitudeMask & ~fractionMask }
  /// The exponent field of infinities and NaNs.
  @inlinable @inline(__always) static var maximumExponent: Int { (1 &<< exponentWidth) &- 1 }
  @inlinable @inline(__always) static var bias: Int { maximumExponent &>> 1 }

  @inlinable @inline(__always) var raw: UInt64 { UInt64(truncatingIfNeeded: bits) }
  @inlinable @inline(__always) init(raw: UInt64) { self.init(bits: Bits(truncatingIfNeeded: raw)) }

  /// The QNaN floating-point indefinite: answer to a masked invalid operation (SDM vol. 1 §4.8.3.7).
  @inlinable @inline(__always) public static var indefinite: Self { Self(raw: signBit | infinityBits | quietBit) }

  @inlinable @inline(__always) var magnitude: UInt64 { raw & Self.magnitudeMask }
  @inlinable @inline(__always) public var isNegative: Bool { raw & Self.signBit != 0 }
  @inlinable @inline(__always) var biasedExponent: Int { Int(truncatingIfNeeded: magnitude &>> UInt64(Self.fractionWidth)) }
  @inlinable @inline(__always) public var isNaN: Bool { magnitude > Self.infinityBits }
  @inlinable @inline(__always) public var isSignalingNaN: Bool { isNaN && raw & Self.quietBit == 0 }
  @inlinable @inline(__always) public var isInfinity: Bool { magnitude == Self.infinityBits }
  @inlinable @inline(__always) public var isZero: Bool { magnitude == 0 }
  @inlinable @inline(__always) public var isDenormal: Bool { magnitude &- 1 < Self.fractionMask }
  /// Normal, neither zero, denormal, infinity nor NaN.
  @inlinable @inline(__always) var isOrdinary: Bool { magnitude &- Self.implicitBit < Self.infinityBits &- Self.implicitBit }
  /// A NaN with its quiet bit set; the identity on a QNaN.
  @inlinable @inline(__always) var quieted: Self { Self(raw: raw | Self.quietBit) }

  @inline(__always) static func zero(negative: Bool) -> Self { Self(raw: negative ? signBit : 0) }
  @inline(__always) static func infinity(negative: Bool) -> Self { Self(raw: infinityBits | (negative ? signBit : 0)) }

  /// The operand as DAZ sees it.
  @inline(__always) func flushed(_ environment: FloatEnvironment) -> Self {
    environment.denormalsAreZero && isDenormal ? Self(raw: raw & Self.signBit) : self
  }

  /// Splits a normal number.
  @inline(__always) var unpackedOrdinary: Unpacked {
    // The shift drops sign and exponent, but for the exponent's low bit, which the implied one has replaced.
    Unpacked(isNegative, biasedExponent, (raw | Self.implicitBit) &<< UInt64(63 &- Self.fractionWidth))
  }

  /// Splits a nonzero finite number.
  @inline(__always) var unpacked: Unpacked {
    let exponent = biasedExponent
    if exponent != 0 { return unpackedOrdinary }
    let fraction = magnitude
    let shift = fraction.leadingZeroBitCount
    return Unpacked(isNegative, 64 &- Self.fractionWidth &- shift, fraction &<< UInt64(shift))
  }
}
