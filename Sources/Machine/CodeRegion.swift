import KernelImages
import X86Decoder

/// Bytes of code with their address, for disassembly.
public struct CodeRegion: Sendable {
  public var address: UInt64
  public var bytes: [UInt8]
  public var codeSize: CodeSize

  public init(address: UInt64, bytes: [UInt8], codeSize: CodeSize) {
    self.address = address
    self.bytes = bytes
    self.codeSize = codeSize
  }

  /// The executable segments of an ELF file at their virtual addresses, or nil where the bytes are no sound ELF file for x86.
  public static func inELF(_ image: [UInt8]) -> [CodeRegion]? {
    guard let elf = try? ELFFile(image, name: "") else { return nil }
    let regions = elf.loadableSegments.filter { $0.flags & 1 != 0 }.compactMap { s in
      image.part(s.offset, s.fileSize).map {
        CodeRegion(address: s.virtualAddress, bytes: Array($0), codeSize: elf.machine == 62 ? .bits64 : .bits32)
      }
    }
    return regions.isEmpty ? nil : regions
  }
}
