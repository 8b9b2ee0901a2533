import CZlib

/// RFC 1952, by zlib.
public enum Gzip {
  public static func isCompressed(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x1F, 0x8B, 8]) }

  /// - Parameter name: what messages call the file.
  public static func decompress(_ bytes: [UInt8], name: String) throws(ImageError) -> [UInt8] {
    try Compression.gzip.decompress(bytes[...], name: name)
  }

  static func unpack(_ bytes: ArraySlice<UInt8>, limit: Int) -> [UInt8]? {
    var stream = z_stream()
    // 16 + window bits: gzip framing (zlib.h, inflateInit2).
    guard inflateInit2_(&stream, 16 + 15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return nil }
    defer { inflateEnd(&stream) }
    return Unpacking.run(bytes, limit: limit) { input, output in
      stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
      stream.avail_in = UInt32(input.count)
      stream.next_out = output.baseAddress
      stream.avail_out = UInt32(output.count)
      let status = inflate(&stream, Z_NO_FLUSH)
      return Unpacking.Step(
        consumed: input.count - Int(stream.avail_in), produced: output.count - Int(stream.avail_out),
        outcome: status == Z_STREAM_END ? .isAtEnd : status == Z_OK || status == Z_BUF_ERROR ? .goesOn : .isBroken)
    }
  }
}
