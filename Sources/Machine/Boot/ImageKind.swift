import KernelImages

/// What a file is, found out from its content.
public enum ImageKind: Equatable, Sendable {
  case linuxBzImage
  case elf
  case multibootNonELF
  case qcow2, vhd, iso
  case gzip
  /// 55 AA at offset 510, and none of the others.
  case bootSector
  case unknown

  /// - Parameter image: the file, or at least its first 64 KiB.
  public static func detect(_ image: [UInt8]) -> ImageKind {
    func at(_ offset: Int, _ text: String) -> Bool {
      let pattern = Array(text.utf8)
      return image.count >= offset + pattern.count && Array(image[offset..<offset + pattern.count]) == pattern
    }
    if ELFFile.isELF(image) { return .elf }
    if image.u16(0x1FE) == 0xAA55, at(0x202, "HdrS") { return .linuxBzImage }
    if at(0, "QFI\u{FB}") || image.starts(with: [0x51, 0x46, 0x49, 0xFB]) { return .qcow2 }
    if at(0, "conectix") { return .vhd }
    if at(0x8001, "CD001") { return .iso }
    if image.starts(with: [0x1F, 0x8B, 8]) { return .gzip }
    if Multiboot.header1(in: image) != nil || Multiboot.header2(in: image) != nil { return .multibootNonELF }
    if image.u16(0x1FE) == 0xAA55 { return .bootSector }
    return .unknown
  }
}
