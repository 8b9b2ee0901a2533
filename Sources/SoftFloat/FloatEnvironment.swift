// The state every operation reads and updates: rounding control, exception masks and flags (SDM vol. 1 §4.9, §8.1.5, §10.2.3).

/// Direction of rounding, in the encoding shared by MXCSR.RC (bits 13–14) and the x87 control word's RC (bits 10–11).
@frozen public enum RoundingMode: UInt8, Sendable {
  case nearestEven = 0
  case down = 1
  case up = 2
  case towardZero = 3
}

/// Width to which x87 add, subtract, multiply, divide and square root round the significand, in the encoding
/// of the x87 control word's PC field (bits 8–9). The exponent keeps its 15 bits in every setting.
@frozen public enum ExtendedPrecision: UInt8, Sendable {
  /// 24 bits.
  case single = 0
  /// 53 bits.
  case double = 2
  /// 64 bits.
  case extended = 3

  /// From PC; the reserved encoding 1 behaves as full precision.
  @inlinable @inline(__always) public init(controlField: UInt16) {
    switch controlField & 3 {
    case 0: self = .single
    case 2: self = .double
    default: self = .extended
    }
  }
}

/// The six floating-point exceptions, laid out as bits 0–5 of MXCSR and of the x87 status word.
@frozen public struct FloatFlags: OptionSet, Sendable {
  public var rawValue: UInt8
  @inlinable @inline(__always) public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// IE, invalid operation.
  @inlinable @inline(__always) public static var invalid: FloatFlags { .init(rawValue: 1) }
  /// DE, denormal operand.
  @inlinable @inline(__always) public static var denormal: FloatFlags { .init(rawValue: 2) }
  /// ZE, division of a finite number by zero.
  @inlinable @inline(__always) public static var divideByZero: FloatFlags { .init(rawValue: 4) }
  /// OE, overflow.
  @inlinable @inline(__always) public static var overflow: FloatFlags { .init(rawValue: 8) }
  /// UE, underflow.
  @inlinable @inline(__always) public static var underflow: FloatFlags { .init(rawValue: 16) }
  /// PE, inexact result.
  @inlinable @inline(__always) public static var inexact: FloatFlags { .init(rawValue: 32) }
  /// All six.
  @inlinable @inline(__always) public static var all: FloatFlags { .init(rawValue: 63) }

  /// What a packed SSE instruction reports when `self` holds everything its elements raised: an unmasked pre-computation exception
  /// in any element keeps the post-computation exceptions of all of them from being looked for (SDM vol. 1 §11.5.2).
  @inlinable @inline(__always) public func settled(masks: FloatFlags) -> FloatFlags {
    rawValue & ~masks.rawValue & 7 != 0 ? FloatFlags(rawValue: rawValue & 7) : self
  }
}

/// Control and status of one operation or a run of them.
///
/// `flags` only ever gains bits. To see what one instruction raised, clear it first:
/// an x87 instruction whose `unmaskedPreComputation` is true has no result, an SSE instruction with any `unmasked` exception has none.
/// In both cases the value returned by the operation is to be dropped; an x87 operation with only overflow, underflow or inexact
/// unmasked returns the (exponent-wrapped) result that goes into the register.
@frozen public struct FloatEnvironment: Sendable {
  /// Rounding control.
  public var rounding: RoundingMode
  /// Exceptions raised so far.
  public var flags: FloatFlags
  /// Masked exceptions: bit set = masked, as in MXCSR bits 7–12 and the x87 control word's bits 0–5.
  public var masks: FloatFlags
  /// MXCSR.FTZ: a tiny result becomes zero. SSE only, and only while underflow is masked.
  public var flushToZero: Bool
  /// MXCSR.DAZ: a denormal operand counts as zero. SSE only.
  public var denormalsAreZero: Bool
  /// x87 precision control.
  public var precision: ExtendedPrecision
  /// Output: the last rounding increased the magnitude of the result; the x87 condition code C1 (SDM vol. 1 §8.1.3.3).
  public var roundedUp: Bool

  @inlinable @inline(__always)
  public init(
    rounding: RoundingMode = .nearestEven, flags: FloatFlags = [], masks: FloatFlags = .all, flushToZero: Bool = false,
    denormalsAreZero: Bool = false, precision: ExtendedPrecision = .extended
  ) {
    self.rounding = rounding
    self.flags = flags
    self.masks = masks
    self.flushToZero = flushToZero
    self.denormalsAreZero = denormalsAreZero
    self.precision = precision
    self.roundedUp = false
  }

  /// The environment of SSE instructions: controls and sticky flags of `mxcsr`.
  @inlinable @inline(__always) public init(mxcsr: UInt32) {
    self.init(
      rounding: RoundingMode(field: UInt8(truncatingIfNeeded: mxcsr &>> 13)), flags: FloatFlags(rawValue: UInt8(truncatingIfNeeded: mxcsr) & 63),
      masks: FloatFlags(rawValue: UInt8(truncatingIfNeeded: mxcsr &>> 7) & 63), flushToZero: mxcsr & 0x8000 != 0, denormalsAreZero: mxcsr & 0x40 != 0)
  }

  /// The environment of x87 instructions: controls of `controlWord`, no flags.
  @inlinable @inline(__always) public init(controlWord: UInt16) {
    self.init(
      rounding: RoundingMode(field: UInt8(truncatingIfNeeded: controlWord &>> 10)), masks: FloatFlags(rawValue: UInt8(truncatingIfNeeded: controlWord) & 63),
      precision: ExtendedPrecision(controlField: controlWord &>> 8))
  }

  /// Adds `exceptions` to the flags.
  @inlinable @inline(__always) public mutating func raise(_ exceptions: FloatFlags) {
    flags = FloatFlags(rawValue: flags.rawValue | exceptions.rawValue)
  }

  /// Flagged exceptions that are not masked.
  @inlinable @inline(__always) public var unmasked: FloatFlags { FloatFlags(rawValue: flags.rawValue & ~masks.rawValue & 63) }

  /// An unmasked invalid-operation, denormal or zero-divide exception is flagged: the instruction delivers no result.
  @inlinable @inline(__always) public var unmaskedPreComputation: Bool { flags.rawValue & ~masks.rawValue & 7 != 0 }

  @inlinable @inline(__always) func isMasked(_ exception: FloatFlags) -> Bool { masks.rawValue & exception.rawValue != 0 }

  /// Raises the denormal exception; true if it is unmasked and the operation has to stop here.
  @inline(__always) mutating func raiseDenormal() -> Bool {
    raise(.denormal)
    return !isMasked(.denormal)
  }
}

extension RoundingMode {
  /// From the two-bit field RC; higher bits are ignored.
  @inlinable @inline(__always) public init(field: UInt8) {
    self = RoundingMode(rawValue: field & 3).unsafelyUnwrapped
  }

  /// Whether a discarded fraction makes the magnitude grow, for the three directed modes.
  @inline(__always) func isAway(negative: Bool) -> Bool {
    switch self {
    case .nearestEven, .towardZero: false
    case .down: negative
    case .up: !negative
    }
  }

  /// Whether to add one unit to a truncated magnitude. `rest` is the discarded part, scaled so that one half is 2^63 and with every
  /// lost bit ORed into bit 0; `odd` tells that the last kept bit is set.
  @inline(__always) func roundsUp(negative: Bool, odd: Bool, rest: UInt64) -> Bool {
    switch self {
    case .nearestEven: rest > 0x8000_0000_0000_0000 || (rest == 0x8000_0000_0000_0000 && odd)
    case .down: negative && rest != 0
    case .up: !negative && rest != 0
    case .towardZero: false
    }
  }
}

/// Outcome of a comparison.
@frozen public enum FloatRelation: UInt8, Sendable {
  case less, equal, greater
  /// At least one operand is a NaN.
  case unordered
}
