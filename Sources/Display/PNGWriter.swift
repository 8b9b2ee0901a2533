import CZlib
import Devices

/// Writes pictures as PNG, 8 bits a component, RGB (PNG specification, third edition).
public enum PNGWriter {
  public static func encode(_ frame: Frame) -> [UInt8] {
    var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    var header = bigEndian(UInt32(frame.width)) + bigEndian(UInt32(frame.height))
    header += [8, 2, 0, 0, 0]
    appendChunk("IHDR", header, to: &file)
    appendChunk("IDAT", compress(rows(of: frame)), to: &file)
    appendChunk("IEND", [], to: &file)
    return file
  }

  /// Each row after its filter type: 2, "up", because most rows of a screen resemble the one above.
  private static func rows(of frame: Frame) -> [UInt8] {
    let width = frame.width * 3
    var out: [UInt8] = []
    out.reserveCapacity((width + 1) * frame.height)
    var above = [UInt8](repeating: 0, count: width)
    var row = above
    for y in 0..<frame.height {
      for x in 0..<frame.width {
        let pixel = frame.pixels[y * frame.width + x]
        row[x * 3] = UInt8(truncatingIfNeeded: pixel >> 16)
        row[x * 3 + 1] = UInt8(truncatingIfNeeded: pixel >> 8)
        row[x * 3 + 2] = UInt8(truncatingIfNeeded: pixel)
      }
      out.append(2)
      for n in 0..<width { out.append(row[n] &- above[n]) }
      swap(&row, &above)
    }
    return out
  }

  private static func compress(_ bytes: [UInt8]) -> [UInt8] {
    var size = compressBound(UInt(bytes.count))
    return [UInt8](unsafeUninitializedCapacity: Int(size)) { target, count in
      // The bound makes failure impossible.
      _ = compress2(target.baseAddress!, &size, bytes, UInt(bytes.count), 6)
      count = Int(size)
    }
  }

  private static func appendChunk(_ type: String, _ data: [UInt8], to file: inout [UInt8]) {
    let body = Array(type.utf8) + data
    file += bigEndian(UInt32(data.count)) + body
    file += bigEndian(UInt32(truncatingIfNeeded: crc32(0, body, UInt32(body.count))))
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }
}
