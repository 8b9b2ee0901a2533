/// The ELF file in whatever a kernel comes in: ELF as it is, packed as a whole (`xen.gz`), or the payload of a bzImage.
///
/// Source: Linux Documentation/arch/x86/boot.rst, payload_offset and payload_length (protocol 2.08 and later).
public enum KernelImage {
  private enum Field {
    static let setupSectors = 0x1F1
    static let bootFlag = 0x1FE
    static let magic = 0x202
    static let version = 0x206
    static let payloadOffset = 0x248
    static let payloadLength = 0x24C
  }

  /// - Parameters:
  ///   - file: the bytes of the kernel file.
  ///   - name: what messages call it.
  public static func elf(in file: [UInt8], name: String) throws(ImageError) -> [UInt8] {
    var image = file
    if let packing = Compression(of: image) {
      image = try packing.decompress(image[...], name: name)
    } else if let payload = try payload(of: image, name: name) {
      if ELFFile.isELF(Array(payload.prefix(4))) {
        image = Array(payload)
      } else if let packing = Compression(of: payload) {
        image = try packing.decompress(payload, name: "the kernel inside \(name)")
      } else {
        throw ImageError(
          "the kernel inside \(name) is packed in a format other than \(Compression.allCases.map(\.rawValue).joined(separator: ", "))")
      }
    }
    guard ELFFile.isELF(image) else {
      throw ImageError("\(name) is no kernel that a domain can start: neither ELF nor a Linux bzImage with an ELF file inside")
    }
    return image
  }

  /// The packed kernel in a bzImage; nil where the file is none.
  private static func payload(of file: [UInt8], name: String) throws(ImageError) -> ArraySlice<UInt8>? {
    guard file.u16(Field.bootFlag) == 0xAA55, file[...].dropFirst(Field.magic).starts(with: Array("HdrS".utf8)),
      let version = file.u16(Field.version), let sectors = file.u8(Field.setupSectors)
    else { return nil }
    guard version >= 0x208 else {
      throw ImageError(
        "\(name) is a Linux kernel of boot protocol \(version >> 8).\(version & 0xFF), older than 2.08: where its ELF file lies is not known")
    }
    // "If the setup_sects field contains 0, the real value is 4"; the boot sector comes on top.
    let code = UInt64(sectors == 0 ? 4 : sectors) * 512 + 512
    guard let offset = file.u32(Field.payloadOffset), let length = file.u32(Field.payloadLength), length > 0,
      let payload = file.part(code + UInt64(offset), UInt64(length))
    else { throw ImageError("\(name) is a Linux kernel that is cut short, or that has no ELF file inside") }
    return payload
  }
}
