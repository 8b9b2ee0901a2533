import SoftFloat

/// A small deterministic generator (splitmix64), so that a failure can be repeated.
struct Generator: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func below(_ bound: UInt64) -> UInt64 { next() % bound }

  /// Significand bits of the kinds that matter for rounding: random, few ones, runs of ones at the top or the bottom, one off a power of two.
  mutating func pattern() -> UInt64 {
    switch below(8) {
    case 0: return 0
    case 1: return (1 << below(64)) | (1 << below(64))
    case 2: return UInt64.max << below(64)
    case 3: return UInt64.max >> below(64)
    case 4: return (1 << below(64)) &- 1 &+ below(3)
    case 5: return next() << below(64)
    default: return next()
    }
  }

  /// Bits of an interchange format: every class, exponents crowded around 1.0, the limits and `near`.
  mutating func format(fraction: UInt64, exponent: UInt64, near: UInt64? = nil) -> UInt64 {
    let maximum: UInt64 = (1 << exponent) - 1
    let field: UInt64
    switch below(12) {
    case 0: field = 0
    case 1: field = maximum
    case 2: field = 1 + below(4)
    case 3: field = maximum - 1 - below(4)
    case 4, 5: field = (maximum >> 1) &- 2 &+ below(5)
    case 6, 7, 8:
      if let near { field = (((near >> fraction) & maximum) &+ below(8) &- 4) & maximum } else { field = below(maximum + 1) }
    case 9: field = (maximum >> 1) &+ below(70)
    default: field = below(maximum + 1)
    }
    let bits = pattern() & ((1 << fraction) - 1)
    return below(2) << (fraction + exponent) | field << fraction | bits
  }

  mutating func binary32(near: UInt32? = nil) -> Binary32 {
    Binary32(bits: UInt32(truncatingIfNeeded: format(fraction: 23, exponent: 8, near: near.map(UInt64.init))))
  }
  mutating func binary64(near: UInt64? = nil) -> Binary64 { Binary64(bits: format(fraction: 52, exponent: 11, near: near)) }
  mutating func binary16() -> Binary16 { Binary16(bits: UInt16(truncatingIfNeeded: format(fraction: 10, exponent: 5))) }

  /// An 80-bit value; one in twelve has an encoding the 80387 and later reject.
  mutating func extended(near: Extended80? = nil) -> Extended80 {
    let field: UInt64
    switch below(14) {
    case 0: field = 0
    case 1: field = 0x7FFF
    case 2: field = 1 + below(4)
    case 3: field = 0x7FFE - below(4)
    case 4, 5: field = 0x3FFD + below(5)
    case 6, 7: field = 0x3FFF + below(70)
    case 8, 9, 10:
      if let near { field = (UInt64(near.signExponent) &+ below(130) &- 65) & 0x7FFF } else { field = below(0x8000) }
    case 11: field = 0x3FFF - 1022 - below(60)
    case 12: field = 0x3FFF - 126 - below(30)
    default: field = below(0x8000)
    }
    var bits = pattern()
    if field != 0 && below(12) != 0 { bits |= 1 << 63 }
    if field == 0 && below(4) != 0 { bits &= ~(1 << 63) }
    return Extended80(significand: bits, signExponent: UInt16(field | below(2) << 15))
  }

  /// Bits of an integer of the given width, large and small.
  mutating func integer(_ width: UInt64) -> UInt64 {
    let value = pattern() >> (64 - width)
    return below(2) == 0 ? value : 0 &- value
  }
}

extension Extended80: CustomStringConvertible {
  public var description: String { hex(UInt64(signExponent), 4) + ":" + hex(significand, 16) }
}

func hex(_ value: UInt64, _ digits: Int) -> String {
  let text = String(value, radix: 16, uppercase: true)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}

/// Operand sets an instruction is compared over. Unoptimised code is a hundred times slower.
#if DEBUG
  let oracleRounds = 3_000
#else
  let oracleRounds = 60_000
#endif

/// Collects the first few mismatches of a long comparison.
struct Mismatches {
  private(set) var count = 0
  private(set) var samples: [String] = []
  mutating func add(_ text: @autoclosure () -> String) {
    count += 1
    if samples.count < 6 { samples.append(text()) }
  }
  var summary: String { "\(count) mismatches\n" + samples.joined(separator: "\n") }
}
