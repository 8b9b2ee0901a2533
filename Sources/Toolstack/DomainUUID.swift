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

  /// One that depends on a name alone (RFC 9562, version 8), for a domain whose configuration gives none.
  init(name: String) {
    // FNV-1a from two beginnings.
    let halves = [0xCBF2_9CE4_8422_2325, 0x8422_2325_CBF2_9CE4].map { name.utf8.reduce($0 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 } }
    bytes = halves.enumerated().flatMap { n, half in
      (0..<8).map { i in
        let byte = UInt8(truncatingIfNeeded: half >> UInt64(56 - i * 8))
        return n == 0 && i == 6 ? byte & 0x0F | 0x80 : n == 1 && i == 0 ? byte & 0x3F | 0x80 : byte
      }
    }
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
