/// Bounds-checked little-endian reads from an image; out of range is nil, never a trap.
extension Array where Element == UInt8 {
  package func integer<T: FixedWidthInteger>(_ type: T.Type, at offset: UInt64) -> T? {
    let size = UInt64(MemoryLayout<T>.size)
    guard offset <= UInt64(count), size <= UInt64(count) - offset else { return nil }
    return withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: Int(offset), as: T.self)) }
  }

  package func u8(_ offset: Int) -> UInt8? { integer(UInt8.self, at: UInt64(clamping: offset)) }
  package func u16(_ offset: Int) -> UInt16? { integer(UInt16.self, at: UInt64(clamping: offset)) }
  package func u32(_ offset: Int) -> UInt32? { integer(UInt32.self, at: UInt64(clamping: offset)) }
  package func u64(_ offset: Int) -> UInt64? { integer(UInt64.self, at: UInt64(clamping: offset)) }

  /// `length` bytes from `offset`, or nil where the array does not have them.
  package func part(_ offset: UInt64, _ length: UInt64) -> ArraySlice<UInt8>? {
    guard offset <= UInt64(count), length <= UInt64(count) - offset else { return nil }
    return self[Int(offset)..<Int(offset + length)]
  }
}
