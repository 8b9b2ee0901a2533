/// A saved store that cannot be read back, as one sentence.
public struct XenstoreStateError: Error, CustomStringConvertible, Sendable {
  public let description: String
}

/// Writes the fields of a saved state one behind the other: little-endian numbers, byte strings with their length.
struct RecordWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put(_ number: UInt64) {
    bytes.append(littleEndian: UInt32(truncatingIfNeeded: number))
    bytes.append(littleEndian: UInt32(truncatingIfNeeded: number >> 32))
  }

  mutating func put(_ count: Int) { put(UInt64(count)) }
  mutating func put(_ flag: Bool) { put(UInt64(flag ? 1 : 0)) }

  mutating func put(_ text: some Collection<UInt8>) {
    put(text.count)
    bytes.append(contentsOf: text)
  }

  mutating func put(_ text: String) { put(text.utf8) }

  /// A number or its absence.
  mutating func put(_ number: UInt64?) {
    put(number != nil)
    if let number { put(number) }
  }

  mutating func put<T>(_ elements: [T], _ each: (inout RecordWriter, T) -> Void) {
    put(elements.count)
    for element in elements { each(&self, element) }
  }
}

/// Reads back what `RecordWriter` wrote, from bytes that may be anything.
struct RecordReader {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  var isAtEnd: Bool { rest.isEmpty }

  static let damaged = XenstoreStateError(description: "the saved xenstore is damaged")

  mutating func number() throws(XenstoreStateError) -> UInt64 {
    guard rest.count >= 8 else { throw Self.damaged }
    let field = rest.prefix(8)
    rest = rest.dropFirst(8)
    return field.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  mutating func number<T: FixedWidthInteger>(_ type: T.Type) throws(XenstoreStateError) -> T {
    guard let value = T(exactly: try number()) else { throw Self.damaged }
    return value
  }

  mutating func flag() throws(XenstoreStateError) -> Bool {
    switch try number() {
    case 0: false
    case 1: true
    default: throw Self.damaged
    }
  }

  mutating func optional() throws(XenstoreStateError) -> UInt64? { try flag() ? try number() : nil }

  mutating func text() throws(XenstoreStateError) -> [UInt8] {
    let count = try number(Int.self)
    guard count >= 0, count <= rest.count else { throw Self.damaged }
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  /// As many elements as the count says; one that is larger than the bytes left is caught at once.
  mutating func list<T>(
    _ each: (inout RecordReader) throws(XenstoreStateError) -> T
  ) throws(XenstoreStateError) -> [T] {
    let count = try number(Int.self)
    guard count >= 0, count <= rest.count else { throw Self.damaged }
    var result: [T] = []
    for _ in 0..<count { result.append(try each(&self)) }
    return result
  }

  mutating func path() throws(XenstoreStateError) -> XenstorePath {
    let text = try text()
    do {
      return try XenstorePath(text[...], home: "", limit: XenstorePath.absoluteLimit, allowSpecial: true)
    } catch {
      throw Self.damaged
    }
  }
}
