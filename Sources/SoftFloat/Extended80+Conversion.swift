// Loads and stores of the x87: binary32 and binary64, integers, packed BCD (SDM vol. 2, FLD, FST, FILD, FIST, FISTTP, FBLD, FBSTP).

extension Extended80 {
  @inline(__always) private static func widened<Source: InterchangeFormat>(_ a: Source, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if !a.isOrdinary {
      if a.isZero { return zero(negative: a.isNegative) }
      if a.isNaN {
        if a.isSignalingNaN { environment.raise(.invalid) }
        let payload = (a.raw & Source.fractionMask) &<< UInt64(63 &- Source.fractionWidth)
        return Extended80(negative: a.isNegative, exponent: maximumExponent, significand: payload | integerBit | quietBit)
      }
      if a.isInfinity { return infinity(negative: a.isNegative) }
      environment.raise(.denormal)
    }
    let x = a.unpacked
    return Extended80(negative: x.negative, exponent: x.exponent &- Source.bias &+ bias, significand: x.significand)
  }

  @inline(__always) private static func widenedOperand<Source: InterchangeFormat>(
    _ a: Source, other: Extended80, isDividend: Bool, _ environment: inout FloatEnvironment
  ) -> Extended80 {
    if a.isOrdinary || a.isDenormal {
      let superseded = other.isNaN || other.isUnsupported || (isDividend && other.isZero)
      if a.isDenormal && !superseded { environment.raise(.denormal) }
      let x = a.unpacked
      return Extended80(negative: x.negative, exponent: x.exponent &- Source.bias &+ bias, significand: x.significand)
    }
    if a.isZero { return zero(negative: a.isNegative) }
    let payload = (a.raw & Source.fractionMask) &<< UInt64(63 &- Source.fractionWidth)
    return Extended80(negative: a.isNegative, exponent: maximumExponent, significand: payload | integerBit)
  }

  /// The memory operand of FADD m32fp, FCOM m32fp and so on, ready for the register operation. Unlike a load it stays an SNaN, which
  /// only the operation itself can judge beside `other`, the register operand; and its denormal exception, which the wider format would
  /// hide, gives way to a NaN there or, for the dividend of FDIVR, to a zero. If `environment.unmaskedPreComputation` holds afterwards,
  /// the operation is not to be carried out.
  @inline(never)
  public static func memoryOperand(
    _ value: Binary32, other: Extended80, isDividend: Bool = false, _ environment: inout FloatEnvironment
  ) -> Extended80 { widenedOperand(value, other: other, isDividend: isDividend, &environment) }

  /// The memory operand of FADD m64fp and so on; as for binary32.
  @inline(never)
  public static func memoryOperand(
    _ value: Binary64, other: Extended80, isDividend: Bool = false, _ environment: inout FloatEnvironment
  ) -> Extended80 { widenedOperand(value, other: other, isDividend: isDividend, &environment) }

  /// FLD m32fp: exact; IE for an SNaN (quieted), DE for a denormal.
  @inline(never) public static func from(_ value: Binary32, _ environment: inout FloatEnvironment) -> Extended80 { widened(value, &environment) }

  /// FLD m64fp: exact; IE for an SNaN (quieted), DE for a denormal.
  @inline(never) public static func from(_ value: Binary64, _ environment: inout FloatEnvironment) -> Extended80 { widened(value, &environment) }

  /// FILD m16int.
  public static func from(_ value: Int16) -> Extended80 { from(Int64(value)) }
  /// FILD m32int.
  public static func from(_ value: Int32) -> Extended80 { from(Int64(value)) }
  /// FILD m64int.
  @inlinable @inline(__always) public static func from(_ value: Int64) -> Extended80 { from(negative: value < 0, magnitude: value.magnitude) }

  @inlinable @inline(__always) static func from(negative: Bool, magnitude: UInt64) -> Extended80 {
    if magnitude == 0 { return zero(negative: negative) }
    let shift = magnitude.leadingZeroBitCount
    return Extended80(negative: negative, exponent: bias &+ 63 &- shift, significand: magnitude &<< UInt64(truncatingIfNeeded: shift))
  }

  /// FIST m16int, FISTP; FISTTP if `truncate`. 0x8000 and IE if the value does not fit.
  public func toInt16(truncate: Bool = false, _ environment: inout FloatEnvironment) -> Int16 {
    Int16(truncatingIfNeeded: integer(maximum: 0x7FFF, truncate ? .towardZero : environment.rounding, &environment))
  }
  /// FIST m32int, FISTP; FISTTP if `truncate`. 0x80000000 and IE if the value does not fit.
  public func toInt32(truncate: Bool = false, _ environment: inout FloatEnvironment) -> Int32 {
    Int32(truncatingIfNeeded: integer(maximum: 0x7FFF_FFFF, truncate ? .towardZero : environment.rounding, &environment))
  }
  /// FISTP m64int; FISTTP if `truncate`. 0x8000000000000000 and IE if the value does not fit.
  public func toInt64(truncate: Bool = false, _ environment: inout FloatEnvironment) -> Int64 {
    integer(maximum: 0x7FFF_FFFF_FFFF_FFFF, truncate ? .towardZero : environment.rounding, &environment)
  }

  @inline(__always) private func integer(maximum: UInt64, _ mode: RoundingMode, _ environment: inout FloatEnvironment) -> Int64 {
    environment.roundedUp = false
    if isZero { return 0 }
    if biasedExponent <= Self.bias &+ 63 && !isUnsupported {
      let x = unpacked
      let (magnitude, up, inexact) = roundedInteger(x.negative, x.exponent &- Self.bias, x.significand, mode)
      if magnitude <= maximum &+ (x.negative ? 1 : 0) {
        if inexact { environment.raise(.inexact) }
        environment.roundedUp = up
        let value = Int64(truncatingIfNeeded: magnitude)
        return x.negative ? 0 &- value : value
      }
    }
    environment.raise(.invalid)
    return Int64(truncatingIfNeeded: ~maximum)
  }
}

extension InterchangeFormat {
  /// Rounds for a store near or beyond the format's limits. An unmasked overflow or underflow keeps the result from being stored and so from being inexact, which
  /// SSE arithmetic would report.
  @inline(never) private static func storedAtLimits(_ x: Unpacked, _ environment: inout FloatEnvironment) -> Self {
    let before = environment.flags
    environment.flags = []
    let result = rounded(x.negative, x.exponent &- Extended80.bias &+ bias, x.significand, &environment)
    if environment.unmasked.rawValue & 0x18 != 0 {
      environment.flags.remove(.inexact)
      environment.roundedUp = false
    }
    environment.raise(before)
    return result
  }

  /// FST: a denormal source raises no DE; one so small always underflows.
  @inline(__always) static func narrowed(_ a: Extended80, _ environment: inout FloatEnvironment) -> Self {
    environment.roundedUp = false
    if a.isOrdinary {
      let x = a.unpackedOrdinary
      let exponent = x.exponent &- Extended80.bias &+ bias
      if exponent >= 1 && exponent < maximumExponent &- 1 { return rounded(x.negative, exponent, x.significand, &environment) }
      return storedAtLimits(x, &environment)
    }
    if a.isZero { return zero(negative: a.isNegative) }
    if a.isUnsupported { return invalidResult(&environment) }
    if a.isInfinity { return infinity(negative: a.isNegative) }
    if a.isNaN {
      if a.isSignalingNaN { environment.raise(.invalid) }
      let payload = (a.significand &<< 1) &>> UInt64(64 &- fractionWidth)
      return Self(raw: payload | infinityBits | quietBit | (a.isNegative ? signBit : 0))
    }
    return storedAtLimits(a.unpacked, &environment)
  }
}

extension Binary32 {
  /// FST m32fp. With overflow or underflow unmasked and flagged, nothing is to be stored. The environment must not flush to zero.
  @inline(never) public static func from(_ value: Extended80, _ environment: inout FloatEnvironment) -> Self { narrowed(value, &environment) }
}

extension Binary64 {
  /// FST m64fp. With overflow or underflow unmasked and flagged, nothing is to be stored. The environment must not flush to zero.
  @inline(never) public static func from(_ value: Extended80, _ environment: inout FloatEnvironment) -> Self { narrowed(value, &environment) }
}

/// Eighteen decimal digits and a sign in ten bytes (SDM vol. 1 §4.7): the layout of FBLD and FBSTP in memory.
@frozen public struct PackedDecimal: Hashable, Sendable {
  /// Digits 0–15, four bits each: bytes 0–7.
  public var low: UInt64
  /// Digits 16 and 17, then the sign in bit 15: bytes 8 and 9.
  public var high: UInt16

  @inlinable @inline(__always) public init(low: UInt64, high: UInt16) {
    self.low = low
    self.high = high
  }

  /// Packed BCD indefinite.
  @inlinable @inline(__always) public static var indefinite: PackedDecimal { .init(low: 0xC000_0000_0000_0000, high: 0xFFFF) }
}

extension Extended80 {
  /// FBLD. Exact. Digits above 9, undefined architecturally, count with their face value.
  public static func from(_ value: PackedDecimal) -> Extended80 {
    var magnitude: UInt64 = 0
    var digit: UInt64 = 18
    while digit != 0 {
      digit &-= 1
      let nibble = digit >= 16 ? UInt64(value.high) &>> ((digit &- 16) &* 4) : value.low &>> (digit &* 4)
      magnitude = magnitude &* 10 &+ nibble & 15
    }
    return from(negative: value.high & 0x8000 != 0, magnitude: magnitude)
  }

  /// FBSTP: rounded to an integer by RC; the BCD indefinite and IE if it has more than 18 digits or is no finite number.
  public func toPackedDecimal(_ environment: inout FloatEnvironment) -> PackedDecimal {
    environment.roundedUp = false
    let sign: UInt16 = isNegative ? 0x8000 : 0
    if isZero { return PackedDecimal(low: 0, high: sign) }
    if biasedExponent <= Self.bias &+ 63 && !isUnsupported {
      let x = unpacked
      var (magnitude, up, inexact) = roundedInteger(x.negative, x.exponent &- Self.bias, x.significand, environment.rounding)
      if magnitude <= 999_999_999_999_999_999 {
        if inexact { environment.raise(.inexact) }
        environment.roundedUp = up
        var low: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64 {
          low |= (magnitude % 10) &<< shift
          magnitude /= 10
          shift &+= 4
        }
        let high = UInt16(truncatingIfNeeded: magnitude % 10 | (magnitude / 10) &<< 4)
        return PackedDecimal(low: low, high: high | sign)
      }
    }
    environment.raise(.invalid)
    return .indefinite
  }
}
