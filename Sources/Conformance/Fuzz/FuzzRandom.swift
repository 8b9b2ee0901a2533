/// Numbers that depend on a seed and a number alone (SplitMix64, public domain): every case can be repeated by itself.
public struct FuzzRandom: Sendable {
  private var state: UInt64

  /// - Parameters:
  ///   - seed: of the run.
  ///   - number: of the case in the run.
  public init(seed: UInt64, number: UInt64) {
    state = seed &* 0xD134_2543_DE82_EF95 &+ number
    state = next() ^ (number &* 0x9E37_79B9_7F4A_7C15)
  }

  @inline(__always)
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// 0..<n.
  @inline(__always)
  public mutating func below(_ n: Int) -> Int { Int(truncatingIfNeeded: ((next() >> 32) &* UInt64(n)) >> 32) }
  public mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next() >> 24) }
  public mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
  public mutating func pick<T>(_ from: [T]) -> T { from[below(from.count)] }

  /// A number with as many significant bits as another number says, so that small and large ones are equally likely.
  public mutating func anyMagnitude() -> UInt64 {
    let value = next() >> (next() & 63)
    return chance(25) ? 0 &- value : value
  }
}
