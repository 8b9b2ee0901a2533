import KernelImages

/// Chooses the boot protocol by the content of the kernel and puts everything in its place.
enum BootLoader {
  /// What firmware tables the protocols point to.
  struct Tables {
    var rsdpAddress: UInt64
    var rsdp: [UInt8]
  }

  static func load(
    _ boot: BootDescription, into memory: BootMemory, longMode: Bool, tables: Tables
  ) throws(MachineError) -> ProcessorEntry {
    var entry: ProcessorEntry
    switch boot.method {
    case .firmware: entry = .reset
    case .flat(let blobs, let start): entry = try FlatBinary.load(blobs, entry: start, into: memory)
    case .bootSector(let file): entry = try FlatBinary.loadBootSector(file, into: memory)
    case .kernel(let file, let initrd, let commandLine, let modules):
      entry = try loadKernel(
        file, initrd: initrd, commandLine: commandLine, modules: modules, into: memory, longMode: longMode, tables: tables)
    }
    entry.registers.merge(boot.registers) { $1 }
    return entry
  }

  private static func loadKernel(
    _ given: BootDescription.File, initrd: BootDescription.File?, commandLine: String,
    modules: [BootDescription.Module], into memory: BootMemory, longMode: Bool, tables: Tables
  ) throws(MachineError) -> ProcessorEntry {
    var file = given
    file.bytes = try PackedFile.unpacked(file.bytes, name: file.name)
    let rsdp = tables.rsdpAddress
    switch ImageKind.detect(file.bytes) {
    case .linuxBzImage:
      try refuse(modules, for: file)
      return try LinuxBoot.loadBzImage(
        file, initrd: initrd, commandLine: commandLine, into: memory, longMode: longMode, rsdp: rsdp)
    case .elf, .multibootNonELF:
      // A kernel that offers several protocols gets the one that carries most: multiboot 2 gives it the RSDP.
      var all = modules
      if let initrd { all.insert(BootDescription.Module(file: initrd, arguments: ""), at: 0) }
      if let header = Multiboot.header2(in: file.bytes) {
        return try Multiboot.load2(
          file, header: header, commandLine: commandLine, modules: all, into: memory, rsdp: tables.rsdp)
      }
      if let header = Multiboot.header1(in: file.bytes) {
        return try Multiboot.load1(file, header: header, commandLine: commandLine, modules: all, into: memory)
      }
      let elf = try ELFFile.read(file.bytes, name: file.name)
      if elf.is64Bit && !longMode { throw LinuxBoot.needsLongMode(file.name) }
      if let entry = PVH.entry(of: elf) {
        return try PVH.load(
          elf, name: file.name, entry: entry, initrd: initrd, commandLine: commandLine, modules: modules,
          into: memory, rsdp: rsdp)
      }
      try refuse(modules, for: file)
      return try LinuxBoot.loadELF(
        elf, name: file.name, initrd: initrd, commandLine: commandLine, into: memory, longMode: longMode, rsdp: rsdp)
    default:
      throw .badImage(
        "\(file.name) is no kernel: neither a Linux bzImage, nor ELF, nor multiboot; start raw code with --load \(file.name)@ADDRESS")
    }
  }

  private static func refuse(_ modules: [BootDescription.Module], for file: BootDescription.File) throws(MachineError) {
    if !modules.isEmpty {
      throw .usage("\(file.name) is a Linux kernel, which takes --initrd but no --module")
    }
  }
}
