/// Values that operands are made of: edges of every format, and anything between.
struct HostValues {
  /// General registers: ends of the ranges of each width.
  private let integers: [UInt64]
  private let singles: [UInt32]
  private let doubles: [UInt64]
  private let extended: [(UInt64, UInt16)]
  /// Vectors of 32 bytes, four words each, by kind of content.
  private let vectors: [UInt64]
  private static let vectorCount = 256

  static let shared = HostValues()

  private init() {
    var edges: [UInt64] = [0, 1, 2, 3, 4, 7, 8, 9, 10, 15, 16, 31, 32, 33, 63, 64, 65, 99, 0x99, 0x9A, 100]
    for bits in [7, 8, 15, 16, 31, 32, 47, 48, 63] as [UInt64] {
      for delta in [~0, 0, 1] as [UInt64] {
        edges.append((1 << bits) &+ delta)
        edges.append(0 &- ((1 << bits) &+ delta))
      }
    }
    edges += [~0, ~0 - 1, 0x0123_4567_89AB_CDEF, 0xA5A5_5A5A_C3C3_3C3C, 0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA]
    integers = edges

    var s: [UInt32] = []
    for magnitude in [
      0, 1, 0x7F_FFFF, 0x80_0000, 0x80_0001, 0x3F80_0000, 0x3F7F_FFFF, 0x3F80_0001, 0x3F00_0000, 0x4000_0000, 0x4049_0FDB, 0x7F7F_FFFF,
      0x7F80_0000, 0x7F80_0001, 0x7FBF_FFFF, 0x7FC0_0000, 0x7FFF_FFFF, 0x4F00_0000, 0x4EFF_FFFF, 0x5F00_0000, 0x5F80_0000, 0x4B00_0000, 0x4B80_0000,
      0x3400_0000, 0x3380_0000, 0x0C00_0000, 0x477F_E000, 0x477F_F000, 0x3880_0000, 0x3300_0000, 0x4020_0000, 0x3FC0_0000, 0x2000_0000, 0x5F7F_FFFF,
    ] as [UInt32] {
      s += [magnitude, magnitude | 0x8000_0000]
    }
    singles = s

    var d: [UInt64] = []
    for magnitude in [
      0, 1, 0xF_FFFF_FFFF_FFFF, 0x10_0000_0000_0000, 0x3FF0_0000_0000_0000, 0x3FEF_FFFF_FFFF_FFFF, 0x3FF0_0000_0000_0001, 0x3FE0_0000_0000_0000,
      0x4000_0000_0000_0000, 0x4009_21FB_5444_2D18, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0001, 0x7FF7_FFFF_FFFF_FFFF,
      0x7FF8_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x41E0_0000_0000_0000, 0x41DF_FFFF_FFC0_0000, 0x41DF_FFFF_FFE0_0000, 0x43E0_0000_0000_0000,
      0x43F0_0000_0000_0000, 0x4330_0000_0000_0000, 0x4340_0000_0000_0000, 0x47EF_FFFF_E000_0000, 0x47EF_FFFF_F000_0000, 0x3810_0000_0000_0000,
      0x380F_FFFF_FFFF_FFFF, 0x36A0_0000_0000_0000, 0x3690_0000_0000_0000, 0x3CA0_0000_0000_0000, 0x4004_0000_0000_0000, 0x3FF8_0000_0000_0000,
      0x2000_0000_0000_0000, 0x5FE0_0000_0000_0000,
    ] as [UInt64] {
      d += [magnitude, magnitude | 1 << 63]
    }
    doubles = d

    let top: UInt64 = 1 << 63
    var e: [(UInt64, UInt16)] = []
    for (significand, exponent) in [
      (0, 0), (1, 0), (top - 1, 0), (top, 0), (top | 1, 0), (top, 1), (~0, 1), (top, 0x3FFF), (~0, 0x3FFE), (top | 1, 0x3FFF), (top, 0x3FFE),
      (0xC90F_DAA2_2168_C235, 0x4000), (0xC90F_DAA2_2168_C235, 0x3FFE), (0xC000_0000_0000_0000, 0x4000), (~0, 0x7FFE), (top, 0x7FFE), (top, 0x7FFF),
      (top | 1, 0x7FFF), (0xC000_0000_0000_0000, 0x7FFF), (~0, 0x7FFF), (0xBFFF_FFFF_FFFF_FFFF, 0x7FFF), (0, 0x7FFF), (1, 0x7FFF), (top - 1, 0x3FFF),
      (0, 0x3FFF), (1 << 62, 1), (top, 0x401E), (~0, 0x401D), (0xFFFF_FFFE_0000_0000, 0x401D), (top, 0x400E), (0xFFFF_0000_0000_0000, 0x400D),
      (top, 0x403E), (~0, 0x403D), (0xDE0B_6B3A_763F_FFF0, 0x403A), (0xDE0B_6B3A_7640_0000, 0x403A), (top, 0x43FE), (top, 0x407E), (top, 0x3F81), (top, 0x3C01),
      (top, 0x3C00), (0xFFFF_FF80_0000_0000, 0x407E), (0xFFFF_FFFF_FFFF_FC00, 0x43FE), (top, 0x3FBF), (top, 0x3FC0), (top, 0x4040), (0xA000_0000_0000_0000, 0x4002),
    ] as [(UInt64, UInt16)] {
      e += [(significand, exponent), (significand, exponent | 0x8000)]
    }
    extended = e

    var random = FuzzRandom(seed: 0x5EED, number: 0)
    var v: [UInt64] = []
    for n in 0..<Self.vectorCount {
      for _ in 0..<4 { v.append(Self.lane(n & 7, &random, s, d, edges)) }
    }
    vectors = v
  }

  /// A quadword of a kind of content.
  private static func lane(_ kind: Int, _ r: inout FuzzRandom, _ singles: [UInt32], _ doubles: [UInt64], _ integers: [UInt64]) -> UInt64 {
    func single(_ r: inout FuzzRandom) -> UInt64 {
      switch r.below(10) {
      case 0..<5: return UInt64(r.pick(singles))
      case 5..<9: return UInt64(0x3F00_0000 &+ UInt32(truncatingIfNeeded: r.next() & 0x80FF_FFFF))
      default: return r.next() & 0xFFFF_FFFF
      }
    }
    switch kind {
    case 0, 1: return single(&r) | single(&r) << 32
    case 2, 3:
      switch r.below(10) {
      case 0..<5: return r.pick(doubles)
      case 5..<9: return 0x3FD0_0000_0000_0000 &+ r.next() & 0x803F_FFFF_FFFF_FFFF
      default: return r.next()
      }
    case 4: return r.pick(integers)
    // Small numbers as bytes, words or doublewords, as indices and counts are.
    case 5:
      let width = r.pick([8, 16, 32, 64] as [UInt64])
      var value: UInt64 = 0
      for shift in stride(from: 0 as UInt64, to: 64, by: Int(width)) { value |= UInt64(r.below(70)) << shift }
      return value
    // Signs of elements: masks.
    case 6:
      let width = r.pick([8, 16, 32, 64] as [UInt64])
      var value: UInt64 = 0
      for shift in stride(from: 0 as UInt64, to: 64, by: Int(width)) where r.chance(50) { value |= (~0 >> (64 - width)) << shift }
      return value
    default: return r.next()
    }
  }

  // MARK: Picking

  func integer(_ r: inout FuzzRandom) -> UInt64 {
    let choice = r.next()
    switch choice & 7 {
    case 0, 1: return r.next()
    case 2, 3: return r.next() >> (choice >> 8 & 63)
    // An edge in the low part, something else above it.
    case 4: return integers[r.below(integers.count)] & 0xFFFF_FFFF | r.next() << 32
    case 5: return integers[r.below(integers.count)] & 0xFFFF | r.next() << 16
    default: return integers[r.below(integers.count)]
    }
  }

  /// Fills a YMM register.
  func vector(_ state: StatePointer, _ n: Int, _ r: inout FuzzRandom, kind: Int?) {
    let choice = r.next()
    var at = Int(choice & 0xFF)
    // One kind for all registers of a case makes operations meet operands of their format.
    if let kind { at = at & ~7 | (choice >> 16 & 7 < 6 ? kind : Int(choice >> 20 & 7)) }
    for lane in 0..<4 { state.setYMM(n, lane, vectors[at * 4 + lane]) }
  }

  func float80(_ r: inout FuzzRandom) -> (UInt64, UInt16) {
    let choice = r.next()
    switch choice & 15 {
    case 0..<7: return extended[r.below(extended.count)]
    case 7..<12: return (r.next() | 1 << 63, UInt16(truncatingIfNeeded: 0x3FE8 + choice >> 8 & 0x3F) | UInt16(truncatingIfNeeded: choice >> 16) & 0x8000)
    case 12, 13: return (r.next() | 1 << 63, UInt16(truncatingIfNeeded: choice >> 16))
    // An integer.
    case 14:
      var value = r.next() >> (choice >> 8 & 63)
      if value == 0 { value = 1 }
      let shift = value.leadingZeroBitCount
      return (value << UInt64(shift), UInt16(0x403E - shift) | UInt16(truncatingIfNeeded: choice >> 16) & 0x8000)
    default: return (r.next(), UInt16(truncatingIfNeeded: choice >> 16))
    }
  }

  // MARK: Banks of data

  /// Fills the banks that data pages begin with: always the same, so that a case is its text. Bank 0 is zero.
  func fill(_ banks: UnsafeMutableRawPointer) {
    let size = Int(HostLayout.dataSize)
    banks.initializeMemory(as: UInt8.self, repeating: 0, count: HostLayout.banks * size)
    var r = FuzzRandom(seed: 0xDA7A, number: 0)
    for line in size / 64..<HostLayout.banks * size / 64 {
      let at = banks + line * 64
      let kind = r.below(12)
      switch kind {
      case 0..<8: for n in 0..<8 { at.storeBytes(of: Self.lane(kind, &r, singles, doubles, integers), toByteOffset: n * 8, as: UInt64.self) }
      case 8, 9:
        for n in 0..<4 {
          let (significand, exponent) = float80(&r)
          at.storeBytes(of: significand, toByteOffset: n * 16, as: UInt64.self)
          at.storeBytes(of: UInt64(exponent) | r.next() << 16, toByteOffset: n * 16 + 8, as: UInt64.self)
        }
      // Packed decimal numbers.
      case 10:
        for n in 0..<64 { at.storeBytes(of: UInt8(r.below(10) << 4 | r.below(10)), toByteOffset: n, as: UInt8.self) }
      // Text, for string instructions.
      default:
        for n in 0..<64 { at.storeBytes(of: r.chance(10) ? 0 : UInt8(0x41 + r.below(4)), toByteOffset: n, as: UInt8.self) }
      }
    }
  }
}
