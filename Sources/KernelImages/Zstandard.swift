import CZstd

/// RFC 8878, by libzstd. A window of up to 128 MiB, which is more than kernels use, is the library's own limit.
enum Zstandard {
  static func unpack(_ bytes: ArraySlice<UInt8>, limit: Int) -> [UInt8]? {
    guard let stream = ZSTD_createDStream() else { return nil }
    defer { ZSTD_freeDStream(stream) }
    return Unpacking.run(bytes, limit: limit) { input, output in
      var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
      var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
      let status = ZSTD_decompressStream(stream, &target, &source)
      return Unpacking.Step(
        consumed: source.pos, produced: target.pos,
        outcome: ZSTD_isError(status) != 0 ? .isBroken : status == 0 ? .isAtEnd : .goesOn)
    }
  }
}
