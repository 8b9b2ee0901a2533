import KernelImages

/// Multiboot 2 (specification 2.0): header of tags in the first 32 KiB, information of tags in EBX.
///
/// Not modelled: EFI entry points and tags, network tag, framebuffer requests (the screen stays in text mode).
extension Multiboot {
  static let magic2: UInt32 = 0xE852_50D6
  static let loaderMagic2: UInt32 = 0x36D7_6289

  struct Header2 {
    var offset: Int
    var addresses: AddressFields?
    var entry: UInt64?
    /// Lowest and highest address, alignment: the image may be moved (tag 10).
    var modulesAligned = false
    /// A tag this loader must obey but does not know.
    var unknownRequired: UInt16?
  }

  private enum HeaderTag {
    static let end: UInt16 = 0
    static let informationRequest: UInt16 = 1
    static let address: UInt16 = 2
    static let entry: UInt16 = 3
    static let consoleFlags: UInt16 = 4
    static let framebuffer: UInt16 = 5
    static let moduleAlignment: UInt16 = 6
    static let efiBootServices: UInt16 = 7
    static let entryEFI32: UInt16 = 8
    static let entryEFI64: UInt16 = 9
    static let relocatable: UInt16 = 10
  }

  static func header2(in image: [UInt8]) -> Header2? {
    var at = 0
    while at + 16 <= min(image.count, 32768) {
      if image.u32(at) == magic2, image.u32(at + 4) == 0, let length = image.u32(at + 8), let sum = image.u32(at + 12),
        magic2 &+ length &+ sum == 0 {
        return parse(image, at: at, length: Int(length))
      }
      at += 8
    }
    return nil
  }

  private static func parse(_ image: [UInt8], at offset: Int, length: Int) -> Header2 {
    var header = Header2(offset: offset)
    var entry: UInt64?
    var at = offset + 16
    let end = min(offset + length, image.count)
    while at + 8 <= end, let type = image.u16(at), let flags = image.u16(at + 2), let size = image.u32(at + 4), size >= 8 {
      switch type {
      case HeaderTag.end: at = end
      case HeaderTag.address:
        let a = (0..<4).map { UInt64(image.u32(at + 8 + $0 * 4) ?? 0) }
        header.addresses = AddressFields(header: a[0], load: a[1], loadEnd: a[2], bssEnd: a[3], entry: 0)
      case HeaderTag.entry: entry = image.u32(at + 8).map(UInt64.init)
      case HeaderTag.moduleAlignment: header.modulesAligned = true
      case HeaderTag.informationRequest, HeaderTag.consoleFlags, HeaderTag.framebuffer, HeaderTag.efiBootServices,
        HeaderTag.entryEFI32, HeaderTag.entryEFI64, HeaderTag.relocatable:
        break
      default: if flags & 1 == 0 { header.unknownRequired = type }
      }
      at += (Int(size) + 7) / 8 * 8
    }
    header.entry = entry
    return header
  }

  static func load2(
    _ kernel: BootDescription.File, header: Header2, commandLine: String, modules: [BootDescription.Module],
    into memory: BootMemory, rsdp: [UInt8]
  ) throws(MachineError) -> ProcessorEntry {
    if let tag = header.unknownRequired {
      throw .badImage("\(kernel.name) demands multiboot 2 header tag \(tag), which is not known here")
    }
    var entry: UInt64
    var elf: ELFFile?
    if let addresses = header.addresses {
      guard let address = header.entry else {
        throw .badImage("\(kernel.name) gives load addresses in its multiboot 2 header but no entry address")
      }
      _ = try loadByAddresses(kernel, addresses, headerOffset: header.offset, into: memory)
      entry = address
    } else {
      guard ELFFile.isELF(kernel.bytes) else { throw noPlace(kernel, header: "multiboot 2 header without an address tag") }
      let file = try ELFFile.read(kernel.bytes, name: kernel.name)
      try file.load(into: memory, name: kernel.name)
      entry = header.entry ?? file.physicalEntry
      elf = file
    }
    let places = try loadModules(modules, into: memory)
    var info = InformationTags()
    info.tag(1) { $0.putCString(commandText(kernel, commandLine)) }
    info.tag(2) { $0.putCString(loaderName) }
    for (module, place) in zip(modules, places) {
      info.tag(3) {
        $0.put(UInt32(place.start))
        $0.put(UInt32(place.end))
        $0.putCString(moduleText(module))
      }
    }
    info.tag(4) {
      $0.put(UInt32(640 - 1))
      $0.put(UInt32((memory.layout.acpiBase - 0x10_0000) / 1024))
    }
    info.tag(6) {
      $0.put(UInt32(24))
      $0.put(UInt32(0))
      for e in memory.layout.memoryMap {
        $0.put(e.base)
        $0.put(e.length)
        $0.put(e.kind.rawValue)
        $0.put(UInt32(0))
      }
    }
    if let sections = elf?.sections {
      info.tag(9) {
        $0.put(sections.count)
        $0.put(sections.entrySize)
        $0.put(sections.nameIndex)
        $0.put(sections.bytes)
      }
    }
    info.tag(14) { $0.put(Array(rsdp.prefix(20))) }
    info.tag(15) { $0.put(rsdp) }
    try finish(info.finished(), memory)
    return try protectedEntry(at: entry, magic: UInt64(loaderMagic2), memory)
  }
}

/// Collects the tags of a multiboot 2 information structure (§3.6): each starts on 8 bytes and carries its size.
private struct InformationTags {
  private var buffer: ByteBuffer

  init() {
    buffer = ByteBuffer()
    buffer.put(UInt64(0))
  }

  mutating func tag(_ type: UInt32, _ body: (inout ByteBuffer) -> Void) {
    buffer.align(8)
    let start = buffer.count
    buffer.put(type)
    buffer.put(UInt32(0))
    body(&buffer)
    buffer.set(UInt32(buffer.count - start), at: start + 4)
  }

  func finished() -> ByteBuffer {
    var result = self
    result.tag(0) { _ in }
    result.buffer.set(UInt32(result.buffer.count), at: 0)
    return result.buffer
  }
}
