import KernelImages

/// Multiboot 1 (specification 0.6.96): header in the first 8 KiB, ELF or the a.out kludge, modules, memory map.
/// Multiboot 2 is in `Multiboot+Version2.swift`.
enum Multiboot {
  static let magic1: UInt32 = 0x1BAD_B002
  static let loaderMagic1: UInt32 = 0x2BAD_B002
  static let loaderName = "Xenolith"

  /// A multiboot 1 header; `offset` is its place in the file.
  struct Header1 {
    var offset: Int
    var flags: UInt32
    /// header, load, load end, bss end, entry: valid with flag 16.
    var addresses: [UInt32]
  }

  /// How the file is loaded when it does not say so by ELF program headers.
  struct AddressFields {
    var header: UInt64
    var load: UInt64
    var loadEnd: UInt64
    var bssEnd: UInt64
    var entry: UInt64
  }

  static func header1(in image: [UInt8]) -> Header1? {
    var at = 0
    while at + 12 <= min(image.count, 8192) {
      if image.u32(at) == magic1, let flags = image.u32(at + 4), let checksum = image.u32(at + 8),
        magic1 &+ flags &+ checksum == 0 {
        let addresses = (0..<5).map { image.u32(at + 12 + $0 * 4) ?? 0 }
        return Header1(offset: at, flags: flags, addresses: addresses)
      }
      at += 4
    }
    return nil
  }

  static func load1(
    _ kernel: BootDescription.File, header: Header1, commandLine: String, modules: [BootDescription.Module],
    into memory: BootMemory
  ) throws(MachineError) -> ProcessorEntry {
    // Bits 0–15 are demands a loader must know: page-aligned modules, memory information, video mode.
    guard header.flags & 0xFFF8 == 0 else {
      throw .badImage("\(kernel.name) demands multiboot features \(hexadecimal(UInt64(header.flags & 0xFFF8))) that no version defines")
    }
    let entry: UInt64
    var sections: ELFFile.SectionTable?
    if header.flags & 1 << 16 != 0 {
      let a = header.addresses.map(UInt64.init)
      entry = try loadByAddresses(
        kernel, AddressFields(header: a[0], load: a[1], loadEnd: a[2], bssEnd: a[3], entry: a[4]),
        headerOffset: header.offset, into: memory)
    } else {
      guard ELFFile.isELF(kernel.bytes) else { throw noPlace(kernel, header: "multiboot header without address fields") }
      let elf = try ELFFile.read(kernel.bytes, name: kernel.name)
      try elf.load(into: memory, name: kernel.name)
      entry = elf.physicalEntry
      sections = elf.sections
    }
    try writeInformation1(kernel, commandLine: commandLine, modules: modules, sections: sections, into: memory)
    return try protectedEntry(at: entry, magic: UInt64(loaderMagic1), memory)
  }

  static func noPlace(_ kernel: BootDescription.File, header: String) -> MachineError {
    .badImage("\(kernel.name) has a \(header) and is no ELF file: nothing says where in memory it belongs")
  }

  /// The "a.out kludge": addresses in the header instead of an ELF file.
  static func loadByAddresses(
    _ kernel: BootDescription.File, _ fields: AddressFields, headerOffset: Int, into memory: BootMemory
  ) throws(MachineError) -> UInt64 {
    let distance = fields.header &- fields.load
    guard fields.load <= fields.header, distance <= UInt64(headerOffset) else {
      throw .badImage("\(kernel.name) has a multiboot header whose addresses contradict each other")
    }
    let start = UInt64(headerOffset) - distance
    let available = UInt64(kernel.bytes.count) - start
    let size = fields.loadEnd == 0 ? available : fields.loadEnd &- fields.load
    guard fields.loadEnd == 0 || fields.loadEnd >= fields.load, size <= available else {
      throw .badImage("\(kernel.name) is shorter than its multiboot header says")
    }
    let bss = max(fields.bssEnd, fields.load + size) - fields.load
    try memory.claim(fields.load, bss, for: kernel.name)
    memory.put(kernel.bytes.part(start, size)!, at: fields.load)
    memory.zero(fields.load + size, bss - size)
    return fields.entry
  }

  /// Modules lie page-aligned above the kernel, in their order: many kernels allocate behind the last one.
  static func loadModules(
    _ modules: [BootDescription.Module], into memory: BootMemory
  ) throws(MachineError) -> [(start: UInt64, end: UInt64)] {
    var places: [(start: UInt64, end: UInt64)] = []
    for module in modules {
      let size = UInt64(module.file.bytes.count)
      let base = try memory.allocate(max(size, 1), below: 0x8000_0000, for: module.file.name)
      memory.put(module.file.bytes, at: base)
      places.append((base, base + size))
    }
    return places
  }

  static func moduleText(_ module: BootDescription.Module) -> String {
    module.arguments.isEmpty ? module.file.name : "\(module.file.name) \(module.arguments)"
  }

  static func commandText(_ kernel: BootDescription.File, _ commandLine: String) -> String {
    commandLine.isEmpty ? kernel.name : "\(kernel.name) \(commandLine)"
  }

  /// The information structure (§3.3): flags, memory sizes, command line, modules, sections, memory map, loader name.
  private static func writeInformation1(
    _ kernel: BootDescription.File, commandLine: String, modules: [BootDescription.Module],
    sections: ELFFile.SectionTable?, into memory: BootMemory
  ) throws(MachineError) {
    let places = try loadModules(modules, into: memory)
    let base = BootPlace.information
    var info = ByteBuffer(count: 120)
    var flags: UInt32 = 1 << 0 | 1 << 2 | 1 << 6 | 1 << 9

    func here() -> UInt32 { UInt32(base) + UInt32(info.count) }
    info.set(UInt32(640 - 1), at: 4)
    info.set(UInt32((memory.layout.acpiBase - 0x10_0000) / 1024), at: 8)
    info.set(here(), at: 16)
    info.putCString(commandText(kernel, commandLine))
    if !modules.isEmpty {
      flags |= 1 << 3
      var texts: [UInt32] = []
      for module in modules {
        texts.append(here())
        info.putCString(moduleText(module))
      }
      info.align(4)
      info.set(UInt32(modules.count), at: 20)
      info.set(here(), at: 24)
      for (place, text) in zip(places, texts) {
        info.put(UInt32(place.start))
        info.put(UInt32(place.end))
        info.put(text)
        info.put(UInt32(0))
      }
    }
    info.align(4)
    let map = memory.layout.memoryMap
    info.set(UInt32(map.count * 24), at: 44)
    info.set(here(), at: 48)
    for e in map {
      info.put(UInt32(20))
      info.put(e.base)
      info.put(e.length)
      info.put(e.kind.rawValue)
    }
    info.set(here(), at: 64)
    info.putCString(loaderName)
    if let sections {
      flags |= 1 << 5
      let place = try writeSections(sections, into: memory)
      info.set(sections.count, at: 28)
      info.set(sections.entrySize, at: 32)
      info.set(UInt32(place), at: 36)
      info.set(sections.nameIndex, at: 40)
    }
    info.set(flags, at: 0)
    try finish(info, memory)
  }

  private static func writeSections(_ table: ELFFile.SectionTable, into memory: BootMemory) throws(MachineError) -> UInt64 {
    let place = try memory.allocate(UInt64(max(table.bytes.count, 1)), below: 0x8000_0000, for: "the ELF section table")
    memory.put(table.bytes, at: place)
    return place
  }

  static func finish(_ info: ByteBuffer, _ memory: BootMemory) throws(MachineError) {
    guard UInt64(info.count) <= BootPlace.informationLimit - BootPlace.information else {
      throw .usage("the kernel command line and module arguments together are longer than 384K")
    }
    try memory.claim(BootPlace.information, UInt64(info.count), for: "the multiboot information")
    memory.put(info, at: BootPlace.information)
  }

  /// Machine state (§3.2): flat 32-bit segments, A20 on, paging and interrupts off, EAX magic, EBX information.
  static func protectedEntry(
    at address: UInt64, magic: UInt64, _ memory: BootMemory
  ) throws(MachineError) -> ProcessorEntry {
    guard address < 1 << 32 else {
      throw .badImage("the entry point \(hexadecimal(address)) lies above 4 GiB, where 32-bit code cannot start")
    }
    try memory.writeBootGDT()
    return ProcessorEntry(
      mode: .protected32(gdt: BootPlace.gdt, code: ProcessorEntry.code32, data: ProcessorEntry.data32),
      instructionPointer: address,
      registers: [ProcessorEntry.Register.rax: magic, ProcessorEntry.Register.rbx: BootPlace.information])
  }
}
