/// The syntax of xl's configuration files: settings of strings, numbers and lists. It looks like Python, but nothing is
/// evaluated.
///
/// Source: xl.cfg(5), "Syntax"; what libxlu accepts beyond it (`+=`, escapes, a comma behind the last element).
struct ConfigurationSyntax {
  indirect enum Value: Equatable {
    /// A string or a number: xl does not tell them apart.
    case atom(String, line: Int)
    case list([Value], line: Int)

    var line: Int {
      switch self {
      case .atom(_, let line), .list(_, let line): line
      }
    }
  }

  struct Setting: Equatable {
    var key: String
    var value: Value
    /// Where the key stands (the last time, if it was added to).
    var line: Int
    var source: ConfigurationSource
    var wasAddedTo = false
  }

  /// Lists inside each other: more than anything asks for.
  private static let depthLimit = 16

  private let source: ConfigurationSource
  private let bytes: [UInt8]
  private var at = 0
  private var line = 1
  private(set) var settings: [Setting] = []

  /// Reads a whole file.
  /// - Parameters:
  ///   - settings: what was read before, which `+=` may add to and later settings replace.
  static func parse(
    _ bytes: [UInt8], from source: ConfigurationSource, after settings: [Setting] = []
  ) throws(ConfigurationError) -> [Setting] {
    var parser = ConfigurationSyntax(source: source, bytes: bytes)
    parser.settings = settings
    while try parser.statement() {}
    return parser.settings
  }

  private init(source: ConfigurationSource, bytes: [UInt8]) {
    self.source = source
    self.bytes = bytes
  }

  private func error(_ reason: String, key: String? = nil, line: Int? = nil) -> ConfigurationError {
    source.error(reason, key: key, line: line ?? self.line)
  }

  // MARK: Characters

  private var current: UInt8? { at < bytes.count ? bytes[at] : nil }

  private static func isKeyStart(_ c: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(c) }
  private static func isDigit(_ c: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(c) }
  private static func isKeyCharacter(_ c: UInt8) -> Bool { isKeyStart(c) || isDigit(c) || c == UInt8(ascii: "_") }

  private mutating func take(while condition: (UInt8) -> Bool) -> String {
    let start = at
    while let c = current, condition(c) { at += 1 }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  /// Blanks; and comments and line ends, where these do not end a statement.
  private mutating func skip(lines: Bool) {
    while let c = current {
      switch c {
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): at += 1
      case UInt8(ascii: "#"):
        while at < bytes.count, bytes[at] != UInt8(ascii: "\n") { at += 1 }
      case UInt8(ascii: "\n") where lines:
        at += 1
        line += 1
      default: return
      }
    }
  }

  /// What stands here, for a message.
  private var here: String {
    guard let c = current else { return "the end of the file" }
    if c == UInt8(ascii: "\n") { return "the end of the line" }
    let word = bytes[at...].prefix(20).prefix { $0 > 0x20 }
    return "\"\(String(decoding: word, as: UTF8.self))\""
  }

  /// A hint for those who have a file from the days when these were Python.
  private var pythonHint: String {
    guard let c = current, "+-.():%".utf8.contains(c) else { return "" }
    return " (Python is not evaluated)"
  }

  // MARK: Statements

  /// - Returns: false at the end of the file.
  private mutating func statement() throws(ConfigurationError) -> Bool {
    skip(lines: true)
    guard let c = current else { return false }
    if c == UInt8(ascii: ";") {
      at += 1
      return true
    }
    guard Self.isKeyStart(c) else {
      throw error("\(here) stands where a key is expected: keys are lower-case letters, digits and _\(pythonHint)")
    }
    let start = line
    let key = take(while: Self.isKeyCharacter)
    skip(lines: false)
    var isAddition = false
    if current == UInt8(ascii: "+"), at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: "=") {
      at += 1
      isAddition = true
    }
    guard current == UInt8(ascii: "=") else {
      throw error("\(key) must be followed by =, not by \(here)\(pythonHint)", key: key)
    }
    at += 1
    skip(lines: false)
    let value = try value(of: key, depth: 0)
    skip(lines: false)
    guard current == nil || current == UInt8(ascii: "\n") || current == UInt8(ascii: ";") else {
      throw error("\(key): \(here) stands behind the value, where the line should end\(pythonHint)", key: key)
    }
    try store(key, value, start, isAddition: isAddition)
    return true
  }

  private mutating func store(_ key: String, _ value: Value, _ line: Int, isAddition: Bool) throws(ConfigurationError) {
    guard isAddition, let i = settings.firstIndex(where: { $0.key == key }) else {
      settings.removeAll { $0.key == key }
      settings.append(Setting(key: key, value: value, line: line, source: source, wasAddedTo: isAddition))
      return
    }
    switch (settings[i].value, value) {
    case (.atom(let old, _), .atom(let new, _)): settings[i].value = .atom(old + new, line: line)
    case (.list(let old, _), .list(let new, _)): settings[i].value = .list(old + new, line: line)
    default: throw error("\(key): += cannot add a list to a string or a string to a list", key: key, line: line)
    }
    settings[i].line = line
    settings[i].source = source
    settings[i].wasAddedTo = true
  }

  private mutating func value(of key: String, depth: Int) throws(ConfigurationError) -> Value {
    let start = line
    switch current {
    case UInt8(ascii: "\""), UInt8(ascii: "'"): return .atom(try quoted(key), line: start)
    case UInt8(ascii: "["): return .list(try elements(of: key, depth: depth + 1), line: start)
    case let c? where Self.isDigit(c):
      return .atom(take { Self.isDigit($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) || $0 == UInt8(ascii: "x") }, line: start)
    default:
      throw error("\(key): a string in quotes, a number or a list is expected, not \(here)\(pythonHint)", key: key)
    }
  }

  private mutating func elements(of key: String, depth: Int) throws(ConfigurationError) -> [Value] {
    guard depth <= Self.depthLimit else { throw error("\(key): lists stand more than \(Self.depthLimit) deep in each other", key: key) }
    let start = line
    at += 1
    var result: [Value] = []
    while true {
      skip(lines: true)
      if current == UInt8(ascii: "]") { break }
      guard current != nil else { throw error("\(key): the list that begins here has no ]", key: key, line: start) }
      result.append(try value(of: key, depth: depth))
      skip(lines: true)
      if current == UInt8(ascii: ",") {
        at += 1
      } else if current != UInt8(ascii: "]") {
        guard current != nil else { throw error("\(key): the list that begins here has no ]", key: key, line: start) }
        throw error("\(key): , or ] is expected in the list, not \(here)\(pythonHint)", key: key)
      }
    }
    at += 1
    return result
  }

  // MARK: Strings

  private mutating func quoted(_ key: String) throws(ConfigurationError) -> String {
    let quote = bytes[at]
    at += 1
    var result: [UInt8] = []
    while let c = current, c != UInt8(ascii: "\n") {
      at += 1
      if c == quote { return String(decoding: result, as: UTF8.self) }
      result.append(c == UInt8(ascii: "\\") ? try escaped(key) : c)
    }
    throw error("\(key): the string has no closing \(quote == UInt8(ascii: "'") ? "'" : "\"") on its line", key: key)
  }

  /// The character behind a backslash.
  private mutating func escaped(_ key: String) throws(ConfigurationError) -> UInt8 {
    let simple: [(Character, UInt8)] = [
      ("\"", 0x22), ("'", 0x27), ("\\", 0x5C), ("a", 7), ("b", 8), ("f", 12), ("n", 10), ("r", 13), ("t", 9), ("v", 11),
    ]
    if let c = current {
      if let found = simple.first(where: { $0.0 == Character(UnicodeScalar(c)) }) {
        at += 1
        return found.1
      }
      if c == UInt8(ascii: "x"), at + 2 < bytes.count,
        let value = UInt8(String(decoding: bytes[(at + 1)...(at + 2)], as: UTF8.self), radix: 16) {
        at += 3
        return value
      }
      let octal = bytes[at...].prefix(3).prefix { (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }
      if let value = UInt8(String(decoding: octal, as: UTF8.self), radix: 8) {
        at += octal.count
        return value
      }
    }
    throw error("\(key): \\ is followed by \(here), which means nothing: write \\\\ for a backslash", key: key)
  }
}
