/// The formats that Linux kernels and their initial RAM disks are packed in.
///
/// Not modelled: LZO, which Debian's kernels never used.
public enum Compression: String, CaseIterable, Sendable {
  case gzip, bzip2
  case xz = "XZ"
  case lzma = "LZMA"
  case lz4 = "LZ4"
  case zstd

  /// The format that bytes begin like; nil where it is none of these.
  public init?(of bytes: some Collection<UInt8>) {
    let known: [(Compression, [UInt8])] = [
      (.gzip, [0x1F, 0x8B, 8]), (.bzip2, Array("BZh".utf8)), (.xz, [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0]),
      (.lz4, [0x02, 0x21, 0x4C, 0x18]), (.zstd, [0x28, 0xB5, 0x2F, 0xFD]),
      // Not a magic number, but the properties and the low half of the dictionary size that everybody uses.
      (.lzma, [0x5D, 0, 0]),
    ]
    guard let found = known.first(where: { bytes.starts(with: $0.1) }) else { return nil }
    self = found.0
  }

  /// Unpacks bytes, at most 1 GiB of them. Whatever follows the end of the packed stream is left alone.
  /// - Parameter name: what messages call the file.
  public func decompress(_ bytes: ArraySlice<UInt8>, name: String) throws(ImageError) -> [UInt8] {
    guard let result = unpack(bytes, limit: Unpacking.limit) else {
      throw ImageError("\(name) is a \(rawValue) file that is damaged, cut short, or larger than 1G when unpacked")
    }
    return result
  }

  func unpack(_ bytes: ArraySlice<UInt8>, limit: Int) -> [UInt8]? {
    switch self {
    case .gzip: Gzip.unpack(bytes, limit: limit)
    case .bzip2: Bzip2.unpack(bytes, limit: limit)
    case .xz: LZMA.unpackXZ(bytes, limit: limit)
    case .lzma: LZMA.unpackAlone(bytes, limit: limit)
    case .lz4: LZ4.unpack(bytes, limit: limit)
    case .zstd: Zstandard.unpack(bytes, limit: limit)
    }
  }
}
