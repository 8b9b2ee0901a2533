/// Saving and restoring of machine state: a flat little-endian byte stream made of named sections.

/// Why a state stream cannot be read, as a sentence for the user.
public struct StateError: Error, CustomStringConvertible, Sendable {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// Collects state. Every value has a fixed width, so equal state gives equal bytes and the hash of the bytes identifies the state.
///
/// State that need not fit into memory goes to a sink, in portions of `portion` bytes but for the last one.
public struct StateWriter {
  /// What was written and no sink has had.
  public private(set) var bytes: [UInt8] = []
  /// The sink has refused to take more: what is written is lost.
  public private(set) var isBroken = false
  private let sink: ((UnsafeRawBufferPointer) -> Bool)?

  public static let portion = 1 << 20

  public init() { sink = nil }

  /// - Parameter sink: takes the bytes one after the other; false when it cannot, and it is not called again.
  public init(to sink: @escaping (UnsafeRawBufferPointer) -> Bool) { self.sink = sink }

  /// Gives the sink what it has not had. To be called once, at the end.
  public mutating func finish() {
    drain()
    guard let sink, !isBroken, !bytes.isEmpty else { return }
    isBroken = !bytes.withUnsafeBytes(sink)
    bytes = []
  }

  private mutating func drain() {
    guard let sink, bytes.count >= Self.portion else { return }
    var given = 0
    while !isBroken, bytes.count - given >= Self.portion {
      isBroken = !bytes.withUnsafeBytes { sink(UnsafeRawBufferPointer(rebasing: $0[given..<given + Self.portion])) }
      given += Self.portion
    }
    bytes.removeFirst(isBroken ? bytes.count : given)
  }

  public mutating func put<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    drain()
  }

  public mutating func put(_ value: Bool) { put(value ? 1 : 0 as UInt8) }

  public mutating func put(_ value: [UInt8]) {
    put(UInt64(value.count))
    bytes.append(contentsOf: value)
    drain()
  }

  public mutating func put(_ value: String) { put(Array(value.utf8)) }

  public mutating func put(raw value: UnsafeRawBufferPointer) {
    bytes.append(contentsOf: value)
    drain()
  }

  /// Writes a named section; readers find its end by the length.
  public mutating func section(_ name: String, _ body: (inout StateWriter) -> Void) {
    var inner = StateWriter()
    body(&inner)
    put(name)
    put(inner.bytes)
  }
}

/// Reads what a `StateWriter` wrote, from memory or portion after portion from elsewhere.
public struct StateReader {
  private var bytes: ArraySlice<UInt8>
  private var position: Int
  /// Bytes that come after `bytes`, and who has them.
  private var rest = 0
  private let source: ((_ count: Int) throws(StateError) -> [UInt8])?

  public init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
    source = nil
  }

  public init(_ bytes: [UInt8]) { self.init(bytes[...]) }

  /// - Parameters:
  ///   - count: bytes that there are.
  ///   - source: gives the next bytes, as many as it is asked for.
  public init(count: Int, from source: @escaping (_ count: Int) throws(StateError) -> [UInt8]) {
    bytes = []
    position = 0
    rest = count
    self.source = source
  }

  public var isAtEnd: Bool { position == bytes.endIndex && rest == 0 }

  private mutating func take(_ count: Int) throws(StateError) -> ArraySlice<UInt8> {
    guard count >= 0, count <= bytes.endIndex - position + rest else {
      throw StateError("it ends too early")
    }
    if count > bytes.endIndex - position, let source {
      var more = Array(bytes[position...])
      while more.count < count {
        let next = min(rest, StateWriter.portion)
        more += try source(next)
        rest -= next
      }
      bytes = more[...]
      position = 0
    }
    defer { position += count }
    return bytes[position..<position + count]
  }

  public mutating func get<T: FixedWidthInteger>(_ type: T.Type) throws(StateError) -> T {
    let part = try take(MemoryLayout<T>.size)
    var value: T = 0
    withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: part) }
    return T(littleEndian: value)
  }

  public mutating func getBool() throws(StateError) -> Bool { try get(UInt8.self) != 0 }

  public mutating func getBytes() throws(StateError) -> [UInt8] {
    let count = try get(UInt64.self)
    guard count <= UInt64(Int.max) else { throw StateError("a part of it has an impossible length") }
    return Array(try take(Int(count)))
  }

  public mutating func getString() throws(StateError) -> String {
    String(decoding: try getBytes(), as: UTF8.self)
  }

  public mutating func get(raw target: UnsafeMutableRawBufferPointer) throws(StateError) {
    target.copyBytes(from: try take(target.count))
  }

  /// Opens the next section, which must have this name.
  public mutating func section(_ name: String, _ body: (inout StateReader) throws(StateError) -> Void) throws(StateError) {
    let found = try getString()
    guard found == name else {
      throw StateError("the saved state has '\(found)' where '\(name)' is expected: it was made by another configuration")
    }
    let length = try get(UInt64.self)
    guard length <= UInt64(Int.max) else { throw StateError("a part of it has an impossible length") }
    var inner = StateReader(try take(Int(length)))
    try body(&inner)
    guard inner.isAtEnd else { throw StateError("the saved state of '\(name)' is longer than this version writes") }
  }
}

/// A 64-bit hash of a byte stream, eight bytes a step; identifies machine states, no defence against forgery.
public struct StateHash {
  public private(set) var value: UInt64 = 0x9E37_79B9_7F4A_7C15

  public init() {}

  @inline(__always)
  private mutating func mix(_ word: UInt64) {
    let x = (value ^ word) &* 0xFF51_AFD7_ED55_8CCD
    value = ((x &<< 29) | (x &>> 35)) &+ 0x52DC_E729_3849_5C9D
  }

  public mutating func add(_ data: UnsafeRawBufferPointer) {
    mix(UInt64(data.count))
    var i = 0
    while i &+ 8 <= data.count {
      mix(UInt64(littleEndian: data.loadUnaligned(fromByteOffset: i, as: UInt64.self)))
      i &+= 8
    }
    var rest: UInt64 = 0
    while i < data.count {
      rest = (rest &<< 8) | UInt64(data[i])
      i &+= 1
    }
    mix(rest)
  }
}

/// A part of the machine that has state of its own.
public protocol Device: AnyObject {
  /// Name of its section in saved states, unique in a machine.
  var name: String { get }
  /// Power-on state; also the effect of the RESET line.
  func reset()
  func save(to writer: inout StateWriter)
  func restore(from reader: inout StateReader) throws(StateError)
}
