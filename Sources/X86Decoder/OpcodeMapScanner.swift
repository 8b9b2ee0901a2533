/// Lexical side of the opcode map's text: bytes of static strings, so that building the tables allocates
/// and hashes next to nothing.

/// A run of bytes of the text.
struct Word {
  let start: UnsafePointer<UInt8>
  let count: Int

  /// The byte at `index`, 0 past the end.
  subscript(index: Int) -> UInt8 { index < count ? start[index] : 0 }

  static func == (word: Word, literal: StaticString) -> Bool {
    word.count == literal.utf8CodeUnitCount && word.hasPrefix(literal)
  }

  func hasPrefix(_ literal: StaticString) -> Bool {
    let length = literal.utf8CodeUnitCount
    if length > count { return false }
    for index in 0..<length where start[index] != literal.utf8Start[index] { return false }
    return true
  }

  func hasSuffix(_ literal: StaticString) -> Bool {
    let length = literal.utf8CodeUnitCount
    return length <= count && dropFirst(count - length) == literal
  }

  func dropFirst(_ length: Int) -> Word { Word(start: start + min(length, count), count: max(0, count - length)) }

  /// The part before the first `separator`; the word becomes what follows it, empty at the end.
  mutating func takePart(before separator: UInt8) -> Word {
    var length = 0
    while length < count, start[length] != separator { length += 1 }
    let part = Word(start: start, count: length)
    self = dropFirst(length + 1)
    return part
  }

  /// The value of the first two characters as a hexadecimal byte.
  var hexByte: UInt8? {
    func digit(_ character: UInt8) -> UInt8? {
      switch character {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
      case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
      default: nil
      }
    }
    guard let high = digit(self[0]), let low = digit(self[1]) else { return nil }
    return high << 4 | low
  }
}

/// Reads the text line by line, word by word.
struct Scanner {
  private var next: UnsafePointer<UInt8>
  private let end: UnsafePointer<UInt8>
  private var lineStart: UnsafePointer<UInt8>
  private var lineEnd: UnsafePointer<UInt8>

  init(_ text: StaticString) {
    next = text.utf8Start
    end = next + text.utf8CodeUnitCount
    lineStart = next
    lineEnd = next
  }

  /// Goes to the next line that holds a row; false at the end.
  mutating func nextLine() -> Bool {
    var start = lineEnd
    while start < end {
      if start.pointee == UInt8(ascii: "\n") { start += 1 }
      var stop = start
      while stop < end, stop.pointee != UInt8(ascii: "\n") { stop += 1 }
      lineStart = start
      lineEnd = stop
      next = start
      skipSpaces()
      if next < lineEnd, next.pointee != UInt8(ascii: "#") { return true }
      start = stop
    }
    return false
  }

  private mutating func skipSpaces() {
    while next < lineEnd, next.pointee == UInt8(ascii: " ") { next += 1 }
  }

  /// At the end of a column or of the line.
  var atBar: Bool { next == lineEnd || next.pointee == UInt8(ascii: "|") }

  mutating func skipBar() {
    if next < lineEnd, next.pointee == UInt8(ascii: "|") { next += 1 }
    skipSpaces()
  }

  /// The next word of the column; empty at its end.
  mutating func word() -> Word {
    let start = next
    while next < lineEnd, next.pointee != UInt8(ascii: " "), next.pointee != UInt8(ascii: "|") { next += 1 }
    let word = Word(start: start, count: next - start)
    skipSpaces()
    return word
  }

  func fail(_ reason: StaticString) -> Never {
    let line = String(decoding: UnsafeBufferPointer(start: lineStart, count: lineEnd - lineStart), as: UTF8.self)
    fatalError("opcode map: \(reason) in row:\(line)")
  }
}

/// Names to numbers by open addressing.
struct NameTable {
  private var slots: [(hash: UInt32, value: UInt16)]
  private var names: [String]
  private let mask: Int

  init(count: Int) {
    var capacity = 64
    while capacity < count * 2 { capacity *= 2 }
    slots = Array(repeating: (0, 0), count: capacity)
    names = Array(repeating: "", count: capacity)
    mask = capacity - 1
  }

  private static func hash(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var hash: UInt32 = 0x811C_9DC5
    for byte in bytes { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
    return hash | 1
  }

  mutating func insert(_ name: String, _ value: UInt16) {
    let hash = Self.hash(name.utf8)
    var slot = Int(hash >> 4) & mask
    while slots[slot].hash != 0 { slot = (slot + 1) & mask }
    slots[slot] = (hash, value)
    names[slot] = name
  }

  func value(_ word: Word) -> UInt16? {
    let bytes = UnsafeBufferPointer(start: word.start, count: word.count)
    let hash = Self.hash(bytes)
    var slot = Int(hash >> 4) & mask
    while slots[slot].hash != 0 {
      if slots[slot].hash == hash, names[slot].utf8.elementsEqual(bytes) { return slots[slot].value }
      slot = (slot + 1) & mask
    }
    return nil
  }
}
