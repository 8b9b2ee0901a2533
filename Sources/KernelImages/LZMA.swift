import CLZMA

/// XZ and the older LZMA format, by liblzma.
enum LZMA {
  /// Bytes a stream may make the library use: what the strongest preset needs, many times over.
  private static let memoryLimit: UInt64 = 1 << 30

  static func unpackXZ(_ bytes: ArraySlice<UInt8>, limit: Int) -> [UInt8]? {
    unpack(bytes, limit: limit) { lzma_stream_decoder(&$0, memoryLimit, 0) }
  }

  static func unpackAlone(_ bytes: ArraySlice<UInt8>, limit: Int) -> [UInt8]? {
    unpack(bytes, limit: limit) { lzma_alone_decoder(&$0, memoryLimit) }
  }

  private static func unpack(
    _ bytes: ArraySlice<UInt8>, limit: Int, start: (inout lzma_stream) -> lzma_ret
  ) -> [UInt8]? {
    var stream = lzma_stream()
    guard start(&stream) == LZMA_OK else { return nil }
    defer { lzma_end(&stream) }
    return Unpacking.run(bytes, limit: limit) { input, output in
      stream.next_in = input.baseAddress
      stream.avail_in = input.count
      stream.next_out = output.baseAddress
      stream.avail_out = output.count
      let status = lzma_code(&stream, LZMA_RUN)
      return Unpacking.Step(
        consumed: input.count - stream.avail_in, produced: output.count - stream.avail_out,
        outcome: status == LZMA_STREAM_END ? .isAtEnd : status == LZMA_OK || status == LZMA_BUF_ERROR ? .goesOn : .isBroken)
    }
  }
}
