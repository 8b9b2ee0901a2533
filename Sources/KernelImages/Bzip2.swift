import CBzip2

/// bzip2, by its own library.
enum Bzip2 {
  static func unpack(_ bytes: ArraySlice<UInt8>, limit: Int) -> [UInt8]? {
    var stream = bz_stream()
    guard BZ2_bzDecompressInit(&stream, 0, 0) == BZ_OK else { return nil }
    defer { BZ2_bzDecompressEnd(&stream) }
    return Unpacking.run(bytes, limit: limit) { input, output in
      stream.next_in = UnsafeMutableRawPointer(mutating: input.baseAddress)?.assumingMemoryBound(to: CChar.self)
      stream.avail_in = UInt32(input.count)
      stream.next_out = UnsafeMutableRawPointer(output.baseAddress)?.assumingMemoryBound(to: CChar.self)
      stream.avail_out = UInt32(output.count)
      let status = BZ2_bzDecompress(&stream)
      return Unpacking.Step(
        consumed: input.count - Int(stream.avail_in), produced: output.count - Int(stream.avail_out),
        outcome: status == BZ_STREAM_END ? .isAtEnd : status == BZ_OK ? .goesOn : .isBroken)
    }
  }
}
