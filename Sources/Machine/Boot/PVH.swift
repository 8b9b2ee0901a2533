import KernelImages

/// The PVH entry of Xen guests: 32-bit protected mode at the address in the ELF note XEN_ELFNOTE_PHYS32_ENTRY,
/// EBX pointing to struct hvm_start_info.
///
/// Source: xen/include/public/arch-x86/hvm/start_info.h, xen/include/public/elfnote.h, docs/misc/pvh.pandoc.
enum PVH {
  static let physicalEntryNote: UInt32 = 18
  private static let magic: UInt32 = 0x336E_C578

  /// The entry point, if the file has the note.
  static func entry(of elf: ELFFile) -> UInt64? {
    for note in elf.notes where note.name == "Xen" && note.type == physicalEntryNote {
      return note.description.u64(0) ?? note.description.u32(0).map(UInt64.init)
    }
    return nil
  }

  static func load(
    _ elf: ELFFile, name: String, entry: UInt64, initrd: BootDescription.File?, commandLine: String,
    modules: [BootDescription.Module], into memory: BootMemory, rsdp: UInt64
  ) throws(MachineError) -> ProcessorEntry {
    try elf.load(into: memory, name: name)
    var all = modules
    // The first module is the initial RAM disk by convention.
    if let initrd { all.insert(BootDescription.Module(file: initrd, arguments: ""), at: 0) }
    let places = try Multiboot.loadModules(all, into: memory)
    try memory.writeCommandLine(commandLine)

    let base = BootPlace.information
    let map = memory.layout.memoryMap
    let headerSize: UInt64 = 56
    let moduleBase = base + headerSize
    let mapBase = moduleBase + UInt64(places.count) * 32
    let textBase = mapBase + UInt64(map.count) * 24
    var info = ByteBuffer()
    info.put(magic)
    info.put(UInt32(1))
    info.put(UInt32(0))
    info.put(UInt32(places.count))
    info.put(places.isEmpty ? UInt64(0) : moduleBase)
    info.put(BootPlace.commandLine)
    info.put(rsdp)
    info.put(mapBase)
    info.put(UInt32(map.count))
    info.put(UInt32(0))

    var texts = ByteBuffer()
    for (module, place) in zip(all, places) {
      info.put(place.start)
      info.put(place.end - place.start)
      info.put(module.arguments.isEmpty ? UInt64(0) : textBase + UInt64(texts.count))
      info.put(UInt64(0))
      if !module.arguments.isEmpty { texts.putCString(module.arguments) }
    }
    for e in map {
      info.put(e.base)
      info.put(e.length)
      info.put(e.kind.rawValue)
      info.put(UInt32(0))
    }
    info.put(texts.bytes)
    guard UInt64(info.count) <= BootPlace.informationLimit - base else {
      throw .usage("the module arguments together are longer than 384K")
    }
    try memory.claim(base, UInt64(info.count), for: "the PVH start information")
    memory.put(info, at: base)
    guard entry < 1 << 32 else {
      throw .badImage("\(name) has a PVH entry point above 4 GiB, where 32-bit code cannot start")
    }
    try memory.writeBootGDT()
    return ProcessorEntry(
      mode: .protected32(gdt: BootPlace.gdt, code: ProcessorEntry.code32, data: ProcessorEntry.data32),
      instructionPointer: entry, registers: [ProcessorEntry.Register.rbx: base])
  }
}
