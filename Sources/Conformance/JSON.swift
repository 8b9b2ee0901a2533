import Machine

/// A JSON document (RFC 8259), small and without dependencies: metadata of test sets is read with it, reports are written.
public indirect enum JSON: Sendable, Equatable {
  case null
  case boolean(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  /// In the order of the text.
  case object([(key: String, value: JSON)])

  public static func == (a: JSON, b: JSON) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.boolean(let x), .boolean(let y)): x == y
    case (.number(let x), .number(let y)): x == y
    case (.string(let x), .string(let y)): x == y
    case (.array(let x), .array(let y)): x == y
    case (.object(let x), .object(let y)): x.count == y.count && zip(x, y).allSatisfy { $0 == $1 }
    default: false
    }
  }

  public subscript(_ key: String) -> JSON? {
    if case .object(let members) = self { members.first { $0.key == key }?.value } else { nil }
  }

  public var string: String? { if case .string(let text) = self { text } else { nil } }
  public var integer: Int? { if case .number(let value) = self { Int(exactly: value) } else { nil } }
  public var members: [(key: String, value: JSON)] { if case .object(let members) = self { members } else { [] } }

  public static func integer(_ value: Int) -> JSON { .number(Double(value)) }

  // MARK: Writing

  /// With two spaces of indentation and a line's end.
  public var text: String {
    var out = ""
    write(&out, "")
    return out + "\n"
  }

  private func write(_ out: inout String, _ indent: String) {
    switch self {
    case .null: out += "null"
    case .boolean(let value): out += value ? "true" : "false"
    case .number(let value): out += Int(exactly: value).map(String.init) ?? (value.isFinite ? "\(value)" : "null")
    case .string(let text): Self.quote(text, &out)
    case .array(let list):
      if list.isEmpty { out += "[]" } else { Self.sequence(list, "[", "]", &out, indent) { $0.write(&$1, indent + "  ") } }
    case .object(let members):
      if members.isEmpty {
        out += "{}"
      } else {
        Self.sequence(members, "{", "}", &out, indent) { member, out in
          Self.quote(member.key, &out)
          out += ": "
          member.value.write(&out, indent + "  ")
        }
      }
    }
  }

  private static func sequence<T>(
    _ list: [T], _ open: String, _ close: String, _ out: inout String, _ indent: String, _ each: (T, inout String) -> Void
  ) {
    out += open
    for (n, item) in list.enumerated() {
      out += (n == 0 ? "\n" : ",\n") + indent + "  "
      each(item, &out)
    }
    out += "\n" + indent + close
  }

  private static func quote(_ text: String, _ out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }

  // MARK: Reading

  /// - Parameter name: what messages call the text.
  public static func parse(_ bytes: [UInt8], name: String) throws(MachineError) -> JSON {
    var parser = Parser(bytes: bytes, name: name)
    let value = try parser.value(depth: 0)
    parser.space()
    guard parser.at == bytes.count else { throw parser.unexpected() }
    return value
  }

  private struct Parser {
    let bytes: [UInt8]
    let name: String
    var at = 0
    /// Deeper nesting is refused rather than the stack exhausted.
    static let deepest = 100

    func unexpected() -> MachineError {
      .badImage(at < bytes.count ? "\(name) is no JSON: unexpected character at byte \(at)" : "\(name) is no JSON: it ends too early")
    }

    mutating func space() {
      while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
    }

    mutating func take(_ character: Character) throws(MachineError) {
      space()
      guard at < bytes.count, bytes[at] == character.asciiValue else { throw unexpected() }
      at += 1
    }

    mutating func isNext(_ character: Character) -> Bool {
      space()
      guard at < bytes.count, bytes[at] == character.asciiValue else { return false }
      at += 1
      return true
    }

    mutating func value(depth: Int) throws(MachineError) -> JSON {
      space()
      guard at < bytes.count, depth < Self.deepest else { throw unexpected() }
      switch Character(UnicodeScalar(bytes[at])) {
      case "{":
        at += 1
        var members: [(key: String, value: JSON)] = []
        if isNext("}") { return .object(members) }
        repeat {
          space()
          let key = try string()
          try take(":")
          members.append((key, try value(depth: depth + 1)))
        } while isNext(",")
        try take("}")
        return .object(members)
      case "[":
        at += 1
        var list: [JSON] = []
        if isNext("]") { return .array(list) }
        repeat { list.append(try value(depth: depth + 1)) } while isNext(",")
        try take("]")
        return .array(list)
      case "\"": return .string(try string())
      case "t": return try word("true", .boolean(true))
      case "f": return try word("false", .boolean(false))
      case "n": return try word("null", .null)
      default: return try number()
      }
    }

    private mutating func word(_ text: String, _ value: JSON) throws(MachineError) -> JSON {
      guard bytes[at...].starts(with: text.utf8) else { throw unexpected() }
      at += text.utf8.count
      return value
    }

    private mutating func number() throws(MachineError) -> JSON {
      let start = at
      while at < bytes.count, "+-.0123456789eE".utf8.contains(bytes[at]) { at += 1 }
      guard let value = Double(String(decoding: bytes[start..<at], as: UTF8.self)) else {
        at = start
        throw unexpected()
      }
      return .number(value)
    }

    private mutating func string() throws(MachineError) -> String {
      guard at < bytes.count, bytes[at] == 0x22 else { throw unexpected() }
      at += 1
      var units: [UInt8] = []
      while at < bytes.count, bytes[at] != 0x22 {
        if bytes[at] != 0x5C {
          units.append(bytes[at])
          at += 1
          continue
        }
        at += 1
        guard at < bytes.count else { throw unexpected() }
        switch Character(UnicodeScalar(bytes[at])) {
        case "n": units.append(0x0A)
        case "t": units.append(0x09)
        case "r": units.append(0x0D)
        case "b": units.append(0x08)
        case "f": units.append(0x0C)
        case "\"", "\\", "/": units.append(bytes[at])
        case "u":
          guard at + 4 < bytes.count, let code = UInt32(String(decoding: bytes[at + 1...at + 4], as: UTF8.self), radix: 16)
          else { throw unexpected() }
          // Halves of surrogate pairs stand for themselves only as the replacement character.
          units += Array(String(UnicodeScalar(code) ?? "\u{FFFD}").utf8)
          at += 4
        default: throw unexpected()
        }
        at += 1
      }
      guard at < bytes.count else { throw unexpected() }
      at += 1
      return String(decoding: units, as: UTF8.self)
    }
  }
}
