import CBzip2
import CLZ4
import CLZMA
import CZlib
import CZstd
import KernelImages

/// Packs bytes as the programs of the same names do, for tests of unpacking.
enum Packing {
  static func pack(_ bytes: [UInt8], _ format: Compression) -> [UInt8] {
    switch format {
    case .gzip: gzip(bytes)
    case .bzip2: bzip2(bytes)
    case .xz: xz(bytes)
    case .lzma: lzma(bytes)
    case .lz4: lz4(bytes)
    case .zstd: zstd(bytes)
    }
  }

  private static func filled(_ room: Int, _ fill: (inout [UInt8]) -> Int) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: room)
    let count = fill(&output)
    return Array(output.prefix(count))
  }

  private static func gzip(_ bytes: [UInt8]) -> [UInt8] {
    var input = bytes
    return filled(bytes.count + 1000) { output in
      var stream = z_stream()
      deflateInit2_(&stream, 6, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
      defer { deflateEnd(&stream) }
      input.withUnsafeMutableBufferPointer { source in
        output.withUnsafeMutableBufferPointer { target in
          stream.next_in = source.baseAddress
          stream.avail_in = UInt32(source.count)
          stream.next_out = target.baseAddress
          stream.avail_out = UInt32(target.count)
          deflate(&stream, Z_FINISH)
        }
      }
      return Int(stream.total_out)
    }
  }

  private static func bzip2(_ bytes: [UInt8]) -> [UInt8] {
    var input = bytes.map { CChar(bitPattern: $0) }
    return filled(bytes.count * 2 + 1000) { output in
      var size = UInt32(output.count)
      output.withUnsafeMutableBytes { target in
        _ = BZ2_bzBuffToBuffCompress(
          target.baseAddress?.assumingMemoryBound(to: CChar.self), &size, &input, UInt32(input.count), 9, 0, 0)
      }
      return Int(size)
    }
  }

  private static func xz(_ bytes: [UInt8]) -> [UInt8] {
    filled(bytes.count + 1000) { output in
      var at = 0
      lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nil, bytes, bytes.count, &output, &at, output.count)
      return at
    }
  }

  private static func lzma(_ bytes: [UInt8]) -> [UInt8] {
    filled(bytes.count + 1000) { output in
      var options = lzma_options_lzma()
      lzma_lzma_preset(&options, 6)
      var stream = lzma_stream()
      _ = lzma_alone_encoder(&stream, &options)
      defer { lzma_end(&stream) }
      bytes.withUnsafeBufferPointer { source in
        output.withUnsafeMutableBufferPointer { target in
          stream.next_in = source.baseAddress
          stream.avail_in = source.count
          stream.next_out = target.baseAddress
          stream.avail_out = target.count
          while lzma_code(&stream, LZMA_FINISH) == LZMA_OK {}
        }
      }
      return Int(stream.total_out)
    }
  }

  /// The legacy frame, as `lz4 -l` makes it.
  private static func lz4(_ bytes: [UInt8]) -> [UInt8] {
    var result: [UInt8] = [0x02, 0x21, 0x4C, 0x18]
    for start in stride(from: 0, to: bytes.count, by: 8 << 20) {
      let part = bytes[start..<min(bytes.count, start + 8 << 20)].map { CChar(bitPattern: $0) }
      let block = filled(part.count + part.count / 200 + 1000) { output in
        output.withUnsafeMutableBytes { target in
          Int(LZ4_compress_default(
            part, target.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(part.count), Int32(target.count)))
        }
      }
      result += littleEndian(UInt32(block.count)) + block
    }
    return result
  }

  private static func zstd(_ bytes: [UInt8]) -> [UInt8] {
    filled(bytes.count + 1000) { output in ZSTD_compress(&output, output.count, bytes, bytes.count, 6) }
  }
}

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// An ELF file of a Xen kernel: one loadable segment, and its notes where the test wants them.
struct KernelFile {
  enum Place { case segment, section, guestSection(String), nowhere }

  var is64Bit = true
  var entry: UInt64 = 0xFFFF_FFFF_8100_0000
  var virtual: UInt64 = 0xFFFF_FFFF_8100_0000
  var physical: UInt64 = 0x100_0000
  var code: [UInt8] = [0xF4]
  var notes: [(type: UInt32, body: [UInt8])] = []
  var place = Place.segment

  var bytes: [UInt8] {
    var noteBytes: [UInt8] = []
    for note in notes {
      noteBytes += littleEndian(UInt32(4)) + littleEndian(UInt32(note.body.count)) + littleEndian(note.type)
      noteBytes += Array("Xen\0".utf8) + note.body
      noteBytes += [UInt8](repeating: 0, count: (4 - note.body.count % 4) % 4)
    }
    var sectionName = ".notes", sectionType: UInt32 = 7
    var hasSegment = false, hasSection = false
    switch place {
    case .segment: hasSegment = true
    case .section: hasSection = true
    case .guestSection(let text):
      (sectionName, sectionType, hasSection) = ("__xen_guest", 3, true)
      noteBytes = Array(text.utf8) + [0]
    case .nowhere: break
    }
    let header = is64Bit ? 64 : 52, program = is64Bit ? 56 : 32
    let names = Array("\0\(sectionName)\0.names\0".utf8)
    let codeAt = header + program * (hasSegment ? 2 : 1)
    let notesAt = codeAt + code.count
    let namesAt = notesAt + noteBytes.count
    let tableAt = namesAt + names.count
    func word(_ value: UInt64) -> [UInt8] { is64Bit ? littleEndian(value) : littleEndian(UInt32(truncatingIfNeeded: value)) }
    func segment(_ type: UInt32, _ at: Int, _ size: Int, _ virtual: UInt64, _ physical: UInt64) -> [UInt8] {
      let sizes = word(UInt64(size)) + word(UInt64(size))
      let places = word(UInt64(at)) + word(virtual) + word(physical)
      return is64Bit
        ? littleEndian(type) + littleEndian(UInt32(5)) + places + sizes + word(4)
        : littleEndian(type) + places + sizes + littleEndian(UInt32(5)) + word(4)
    }
    func section(_ name: Int, _ type: UInt32, _ at: Int, _ size: Int) -> [UInt8] {
      littleEndian(UInt32(name)) + littleEndian(type) + word(0) + word(0) + word(UInt64(at)) + word(UInt64(size))
        + littleEndian(UInt32(0)) + littleEndian(UInt32(0)) + word(4) + word(0)
    }
    var result: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, is64Bit ? 2 : 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    result += littleEndian(UInt16(2)) + littleEndian(UInt16(is64Bit ? 62 : 3)) + littleEndian(UInt32(1)) + word(entry)
    result += word(UInt64(header)) + word(hasSection ? UInt64(tableAt) : 0) + littleEndian(UInt32(0))
    result += littleEndian(UInt16(header)) + littleEndian(UInt16(program)) + littleEndian(UInt16(hasSegment ? 2 : 1))
    result += littleEndian(UInt16(is64Bit ? 64 : 40)) + littleEndian(UInt16(hasSection ? 3 : 0))
    result += littleEndian(UInt16(hasSection ? 2 : 0))
    result += segment(1, codeAt, code.count, virtual, physical)
    if hasSegment { result += segment(4, notesAt, noteBytes.count, 0, 0) }
    result += code + noteBytes + names
    if hasSection {
      result += section(0, 0, 0, 0) + section(1, sectionType, notesAt, noteBytes.count)
      result += section(1 + sectionName.utf8.count + 1, 3, namesAt, names.count)
    }
    return result
  }
}

/// A bzImage with a payload; `extra` bytes follow it, as Linux puts the unpacked size behind some formats.
func makeBzImage(payload: [UInt8], version: UInt16 = 0x20F, extra: [UInt8] = []) -> [UInt8] {
  var image = [UInt8](repeating: 0, count: 1024)
  func put(_ bytes: [UInt8], at offset: Int) { image.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
  put([1], at: 0x1F1)
  put([0x55, 0xAA], at: 0x1FE)
  put(Array("HdrS".utf8), at: 0x202)
  put(littleEndian(version), at: 0x206)
  put(littleEndian(UInt32(32)), at: 0x248)
  put(littleEndian(UInt32(payload.count + extra.count)), at: 0x24C)
  return image + [UInt8](repeating: 0xCC, count: 32) + payload + extra + [1, 2, 3]
}

/// The sentence of the error that `body` throws, or nil.
func sentence(_ body: () throws(ImageError) -> Void) -> String? {
  do {
    try body()
    return nil
  } catch {
    return error.description
  }
}
