/// One thing that is not as a test expects it.
public struct MOODifference: Sendable, Equatable {
  public var what: String
  public var before: String?
  public var expected: String
  public var got: String
  /// Which flags differ, or nothing.
  public var note = ""

  init(what: String, before: String?, expected: String, got: String) {
    self.what = what
    self.before = before
    self.expected = expected
    self.got = got
  }

  init(register: MOORegister, wide: Bool, before: UInt32, expected: UInt32, got: UInt32, mask: UInt32) {
    let digits = wide ? 8 : 4
    let shown: UInt32 = wide ? ~0 : 0xFFFF
    what = register.name(wide: wide)
    self.before = Hex.text(UInt64(before & shown), digits)
    self.expected = Hex.text(UInt64(expected & shown), digits)
    self.got = Hex.text(UInt64(got & shown), digits)
    if register == .eflags { note = FlagNames.text((expected ^ got) & mask) }
  }

  /// - Parameter expected: nil for a byte that the instruction was not to write.
  init(memory address: UInt32, before: UInt8?, expected: UInt8?, got: UInt8) {
    what = "[\(Hex.text(UInt64(address), 6))]"
    self.before = before.map { Hex.text(UInt64($0), 2) }
    self.expected = expected.map { Hex.text(UInt64($0), 2) } ?? "none"
    self.got = Hex.text(UInt64(got), 2)
  }
}

enum Hex {
  static func text(_ value: UInt64, _ digits: Int) -> String {
    let text = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  static func dump(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { text(UInt64($0), 2) }.joined(separator: " ")
  }
}
