import CLZ4

/// The legacy frame of LZ4, which the Linux kernel is packed in, by liblz4: a magic number, then blocks with their packed
/// size in front, of up to 8 MiB unpacked.
///
/// Source: lz4_Frame_format.md, "Legacy frame".
enum LZ4 {
  static let magic: UInt32 = 0x184C_2102
  private static let blockSize = 8 << 20

  static func unpack(_ bytes: ArraySlice<UInt8>, limit: Int) -> [UInt8]? {
    let packed = Array(bytes)
    var output: [UInt8] = []
    var block = [UInt8](repeating: 0, count: blockSize)
    var at: UInt64 = 4
    // The frame has no end mark. A number without a block behind it is the unpacked size that Linux appends.
    while let size = packed.integer(UInt32.self, at: at), at + 4 < UInt64(packed.count) {
      at += 4
      // Frames may follow each other.
      if size == magic { continue }
      guard size > 0, let part = packed.part(at, UInt64(size)) else { return nil }
      let produced = part.withUnsafeBytes { source in
        block.withUnsafeMutableBytes { target in
          LZ4_decompress_safe(
            source.baseAddress?.assumingMemoryBound(to: CChar.self), target.baseAddress?.assumingMemoryBound(to: CChar.self),
            Int32(clamping: source.count), Int32(blockSize))
        }
      }
      guard produced >= 0, output.count + Int(produced) <= limit else { return nil }
      output.append(contentsOf: block[..<Int(produced)])
      at += UInt64(size)
    }
    return output.isEmpty ? nil : output
  }
}
