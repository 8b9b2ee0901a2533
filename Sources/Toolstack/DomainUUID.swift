/// The identity of a domain over its restarts.
public struct DomainUUID: Hashable, Sendable, CustomStringConvertible {
  /// 16.
  public let bytes: [UInt8]

  /// 32 hexadecimal digits, with dashes as in 01234567-89ab-cdef-0123-456789abcdef or without; nil for anything else.
  public init?(_ text: String) {
    let characters = Array(text.utf8)
    let dashes = [8, 13, 18, 23]
    guard characters.count == 32 || characters.count == 36 && dashes.allSatisfy({ characters[$0] == UInt8(ascii: "-") }) else {
      return nil
    }
    let digits = characters.filter { $0 != UInt8(ascii: "-") }
    guard digits.count == 32 else { return nil }
    var bytes: [UInt8] = []
    for i in stride(from: 0, to: 32, by: 2) {
      let pair = digits[i..<i + 2]
      guard !pair.contains(UInt8(ascii: "+")), let byte = UInt8(String(decoding: pair, as: UTF8.self), radix: 16) else { return nil }
      bytes.append(byte)
    }
    self.bytes = bytes
  }

  /// A random one (RFC 9562, version 4).
  public init(using generator: inout some RandomNumberGenerator) {
    var bytes = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    self.bytes = bytes
  }

  /// One that depends on a name alone, for a domain whose configuration gives none.
  init(name: String) {
    // FNV-1a for the seed, SplitMix64 from there.
    struct Numbers: RandomNumberGenerator {
      var state: UInt64
      mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
      }
    }
    var numbers = Numbers(state: name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
    self.init(using: &numbers)
  }

  /// - Parameter bytes: 16.
  init(bytes: [UInt8]) { self.bytes = bytes }

  public var description: String {
    var text = ""
    for (i, byte) in bytes.enumerated() {
      if [4, 6, 8, 10].contains(i) { text += "-" }
      text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return text
  }
}
