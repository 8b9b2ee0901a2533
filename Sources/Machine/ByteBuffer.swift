/// Little-endian byte strings, as firmware tables and boot structures are made of.
struct ByteBuffer {
  private(set) var bytes: [UInt8] = []

  init() {}
  init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var count: Int { bytes.count }

  mutating func put<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func put(_ more: [UInt8]) { bytes.append(contentsOf: more) }

  /// The characters, cut or filled up with `fill` to `width` bytes.
  mutating func put(_ text: String, width: Int, fill: UInt8 = 0x20) {
    let characters = Array(text.utf8.prefix(width))
    bytes.append(contentsOf: characters)
    bytes.append(contentsOf: repeatElement(fill, count: width - characters.count))
  }

  /// The characters and a zero.
  mutating func putCString(_ text: String) {
    bytes.append(contentsOf: text.utf8)
    bytes.append(0)
  }

  mutating func align(_ alignment: Int) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  /// Overwrites at a place that exists already.
  mutating func set<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    withUnsafeBytes(of: value.littleEndian) { source in
      for (i, byte) in source.enumerated() { bytes[offset + i] = byte }
    }
  }

  mutating func set(_ more: [UInt8], at offset: Int) {
    bytes.replaceSubrange(offset..<offset + more.count, with: more)
  }
}
