/// Takes typed values out of settings, with errors that say what was expected.
struct KeyReader {
  /// The file that the domain is described in.
  let source: ConfigurationSource
  let settings: [ConfigurationSyntax.Setting]

  /// One string of a list, with the line it stands on.
  struct Element {
    var text: String
    var line: Int
  }

  func setting(_ key: String) -> ConfigurationSyntax.Setting? { settings.first { $0.key == key } }

  func error(_ key: String, _ reason: String, line: Int? = nil) -> ConfigurationError {
    let setting = setting(key)
    return (setting?.source ?? source).error("\(key) \(reason)", key: key, line: line ?? setting?.line)
  }

  func text(_ key: String) throws(ConfigurationError) -> String? {
    guard let setting = setting(key) else { return nil }
    guard case .atom(let text, _) = setting.value else { throw error(key, "must be a single value, not a list") }
    return text
  }

  /// A string that may not be empty.
  func filledText(_ key: String) throws(ConfigurationError) -> String? {
    let text = try text(key)
    if text?.isEmpty == true { throw error(key, "must not be empty") }
    return text
  }

  func number(_ key: String, _ range: ClosedRange<Int>, unit: String = "") throws(ConfigurationError) -> Int? {
    guard let text = try text(key) else { return nil }
    if setting(key)?.wasAddedTo == true { throw error(key, "is a number, which += cannot add to") }
    let what = unit.isEmpty ? "a whole number" : "a whole number of \(unit)"
    guard let number = Self.number(text) else { throw error(key, "must be \(what), not \"\(text)\"") }
    guard range.contains(number) else {
      let bound = number < range.lowerBound ? "at least \(range.lowerBound)" : "at most \(range.upperBound)"
      throw error(key, "is \(number), but must be \(bound)")
    }
    return number
  }

  func flag(_ key: String) throws(ConfigurationError) -> Bool? {
    guard let text = try text(key) else { return nil }
    guard let number = Self.number(text) else { throw error(key, "must be 0 or 1, not \"\(text)\"") }
    return number != 0
  }

  /// A list of strings.
  func texts(_ key: String) throws(ConfigurationError) -> [Element]? {
    guard let setting = setting(key) else { return nil }
    guard case .list(let values, _) = setting.value else { throw error(key, "must be a list, like [ \"…\" ]") }
    var result: [Element] = []
    for value in values {
      guard case .atom(let text, let line) = value else {
        throw error(key, "must be a list of strings, but has a list inside", line: value.line)
      }
      result.append(Element(text: text, line: line))
    }
    return result
  }

  /// A list of strings, or one string that stands for a list of one.
  func textOrTexts(_ key: String) throws(ConfigurationError) -> [Element]? {
    guard let setting = setting(key) else { return nil }
    guard case .atom(let text, let line) = setting.value else { return try texts(key) }
    return [Element(text: text, line: line)]
  }

  func choice<T: RawRepresentable & CaseIterable>(
    _ key: String, _ type: T.Type
  ) throws(ConfigurationError) -> T? where T.RawValue == String {
    guard let text = try text(key) else { return nil }
    guard let value = T(rawValue: text) else {
      let names = T.allCases.map(\.rawValue).joined(separator: ", ")
      throw error(key, "is \"\(text)\", but must be one of \(names)")
    }
    return value
  }

  /// Decimal, octal with 0, hexadecimal with 0x, with a sign or without.
  static func number(_ text: String) -> Int? {
    let isNegative = text.hasPrefix("-")
    let digits = isNegative ? text.dropFirst() : text[...]
    guard let first = digits.utf8.first, (0x30...0x39).contains(first) else { return nil }
    let value: Int? =
      if digits.lowercased().hasPrefix("0x") {
        digits.dropFirst(2).utf8.first.map { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") } == true
          ? Int(digits.dropFirst(2), radix: 16) : nil
      } else {
        Int(digits, radix: digits.count > 1 && first == UInt8(ascii: "0") ? 8 : 10)
      }
    return value.map { isNegative ? -$0 : $0 }
  }
}
