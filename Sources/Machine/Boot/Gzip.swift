import CZlib

/// Kernels come packed (`xen.gz`): GRUB unpacks what it loads, and so must whoever takes its place.
public enum Gzip {
  public static func isCompressed(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x1F, 0x8B, 8]) }

  /// Largest result accepted: more than any kernel, less than what hurts the host.
  static let limit = 1 << 30

  /// - Parameter name: what messages call the file.
  public static func decompress(_ bytes: [UInt8], name: String) throws(MachineError) -> [UInt8] {
    var stream = z_stream()
    // 16 + window bits: gzip framing (zlib.h, inflateInit2).
    guard inflateInit2_(&stream, 16 + 15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw MachineError(.internal, "zlib cannot be started")
    }
    defer { inflateEnd(&stream) }
    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    var input = bytes
    var status = Z_OK
    input.withUnsafeMutableBufferPointer { source in
      stream.next_in = source.baseAddress
      stream.avail_in = UInt32(clamping: source.count)
      while status == Z_OK, output.count <= limit {
        let produced = chunk.withUnsafeMutableBufferPointer { target in
          stream.next_out = target.baseAddress
          stream.avail_out = UInt32(target.count)
          status = inflate(&stream, Z_NO_FLUSH)
          return target.count - Int(stream.avail_out)
        }
        output.append(contentsOf: chunk[..<produced])
        if produced == 0, stream.avail_in == 0 { break }
      }
    }
    guard status == Z_STREAM_END, output.count <= limit else {
      throw .badImage("\(name) is a gzip file that is damaged, cut short, or larger than 1G when unpacked")
    }
    return output
  }
}
