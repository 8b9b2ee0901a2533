import KernelImages

/// The Linux/x86 boot protocol: the 64-bit entry point where kernel and processor have it, else the 32-bit one.
///
/// Source: Linux Documentation/arch/x86/boot.rst and zero-page.rst, protocol 2.02–2.15.
enum LinuxBoot {
  /// Offsets in boot_params (the "zero page"); those from 1F1h on are the setup header, also in the file.
  private enum Field {
    static let acpiRSDP = 0x70
    static let memoryMapCount = 0x1E8
    static let setupHeader = 0x1F1
    static let setupSectors = 0x1F1
    static let systemSize = 0x1F4
    static let bootFlag = 0x1FE
    static let headerLength = 0x201
    static let magic = 0x202
    static let version = 0x206
    static let loaderType = 0x210
    static let loadFlags = 0x211
    static let code32Start = 0x214
    static let ramdiskImage = 0x218
    static let ramdiskSize = 0x21C
    static let commandLine = 0x228
    static let initrdMaximum = 0x22C
    static let alignment = 0x230
    static let relocatable = 0x234
    static let extendedLoadFlags = 0x236
    static let commandLineSize = 0x238
    static let preferredAddress = 0x258
    static let initSize = 0x260
    static let memoryMap = 0x2D0
    static let size = 0x1000
  }

  /// Most entries the zero page has room for.
  private static let memoryMapLimit = 128

  /// The setup header of a bzImage, as far as a loader needs it.
  struct Header {
    let version: UInt16
    let setupBytes: Int
    let loadedHigh: Bool
    let isRelocatable: Bool
    let has64BitEntry: Bool
    let preferredAddress: UInt64
    let initSize: UInt64
    let alignment: UInt64
    let initrdLimit: UInt64
    let commandLineLimit: UInt64
    let bytes: [UInt8]

    init(_ image: [UInt8], name: String) throws(MachineError) {
      func broken(_ what: String) -> MachineError { .badImage("\(name) is no Linux kernel that can be started: \(what)") }
      guard image.count > Field.size, let version = image.u16(Field.version), let sectors = image.u8(Field.setupSectors),
        let length = image.u8(Field.headerLength), let flags = image.u8(Field.loadFlags),
        let limit = image.u32(Field.initrdMaximum)
      else { throw broken("it ends inside its header") }
      guard version >= 0x202 else {
        throw broken("its boot protocol \(version >> 8).\(version & 0xFF) is older than 2.02")
      }
      self.version = version
      // "for backwards compatibility, if the setup_sects field contains 0, the real value is 4".
      setupBytes = (Int(sectors == 0 ? 4 : sectors) + 1) * 512
      // The protected-mode code follows the set-up code; its size is given in units of 16 bytes.
      let systemBytes = UInt64(image.u32(Field.systemSize) ?? 0) * 16
      guard UInt64(setupBytes) + systemBytes <= UInt64(image.count) + 15, setupBytes < image.count else {
        throw broken("it is cut short")
      }
      loadedHigh = flags & 1 != 0
      guard loadedHigh else { throw broken("it is a zImage, made to run below 640K") }
      let relocates = version >= 0x205 && image.u8(Field.relocatable)! != 0
      isRelocatable = relocates
      has64BitEntry = version >= 0x20C && image.u16(Field.extendedLoadFlags)! & 1 != 0
      preferredAddress = version >= 0x20A ? image.u64(Field.preferredAddress)! : 0x10_0000
      initSize = version >= 0x20A ? UInt64(image.u32(Field.initSize)!) : UInt64(image.count) * 3
      let wanted = UInt64(image.u32(Field.alignment)!)
      alignment = relocates && wanted.nonzeroBitCount == 1 ? max(wanted, 4096) : 0x10_0000
      initrdLimit = version >= 0x203 ? UInt64(limit) + 1 : 0x3800_0000
      commandLineLimit = version >= 0x206 ? UInt64(image.u32(Field.commandLineSize)!) + 1 : 256
      let end = min(Field.magic + Int(length), 0x290)
      bytes = Array(image[Field.setupHeader..<end])
    }
  }

  static func loadBzImage(
    _ kernel: BootDescription.File, initrd: BootDescription.File?, commandLine: String,
    into memory: BootMemory, longMode: Bool, rsdp: UInt64
  ) throws(MachineError) -> ProcessorEntry {
    let header = try Header(kernel.bytes, name: kernel.name)
    // Only 64-bit kernels have the flag (XLF_KERNEL_64).
    if header.has64BitEntry && !longMode { throw Self.needsLongMode(kernel.name) }
    let code = kernel.bytes[header.setupBytes...]
    let room = max(header.initSize, UInt64(code.count))
    let base = try place(header, room: room, name: kernel.name, memory)
    memory.put(code, at: base)

    var parameters = ByteBuffer(count: Field.size)
    parameters.set(header.bytes, at: Field.setupHeader)
    parameters.set(UInt32(truncatingIfNeeded: base), at: Field.code32Start)
    try fill(
      &parameters, initrd: initrd, commandLine: commandLine, commandLineLimit: header.commandLineLimit,
      initrdLimit: header.initrdLimit, rsdp: rsdp, memory)
    return try entry(at: header.has64BitEntry ? base + 0x200 : base, long: header.has64BitEntry, memory)
  }

  static func needsLongMode(_ name: String) -> MachineError {
    .usage("\(name) is a 64-bit kernel, but the chosen CPU model has no 64-bit mode: choose another with --cpu")
  }

  /// An uncompressed kernel (`vmlinux`): there is no setup header, so the loader writes what the kernel reads of it.
  static func loadELF(
    _ elf: ELFFile, name: String, initrd: BootDescription.File?, commandLine: String,
    into memory: BootMemory, longMode: Bool, rsdp: UInt64
  ) throws(MachineError) -> ProcessorEntry {
    if elf.is64Bit && !longMode { throw needsLongMode(name) }
    try elf.load(into: memory, name: name)
    var parameters = ByteBuffer(count: Field.size)
    parameters.set(UInt16(0xAA55), at: Field.bootFlag)
    parameters.set(Array("HdrS".utf8), at: Field.magic)
    parameters.set(UInt16(0x20C), at: Field.version)
    parameters.set(UInt8(1), at: Field.loadFlags)
    parameters.set(UInt32(0x100_0000), at: Field.alignment)
    parameters.set(UInt32(2047), at: Field.commandLineSize)
    try fill(
      &parameters, initrd: initrd, commandLine: commandLine, commandLineLimit: 2048, initrdLimit: 0x8000_0000,
      rsdp: rsdp, memory)
    return try entry(at: elf.physicalEntry, long: elf.is64Bit, memory)
  }

  /// Where the kernel will run: a relocatable one moves itself up to its preferred address when it is loaded lower, so
  /// loading it there is no loss, and `room` must be free from there on (boot.rst, pref_address and init_size).
  private static func place(
    _ header: Header, room: UInt64, name: String, _ memory: BootMemory
  ) throws(MachineError) -> UInt64 {
    var base = header.preferredAddress
    if header.isRelocatable {
      let (sum, overflow) = max(base, 0x10_0000).addingReportingOverflow(header.alignment - 1)
      base = overflow ? .max : sum & ~(header.alignment - 1)
    }
    try memory.claim(base, room, for: name)
    return base
  }

  private static func fill(
    _ parameters: inout ByteBuffer, initrd: BootDescription.File?, commandLine: String, commandLineLimit: UInt64,
    initrdLimit: UInt64, rsdp: UInt64, _ memory: BootMemory
  ) throws(MachineError) {
    // screen_info: VGA text mode 3, 80 × 25, 16 lines a character (include/uapi/linux/screen_info.h).
    parameters.set(UInt8(3), at: 0x06)
    parameters.set(UInt8(80), at: 0x07)
    parameters.set(UInt16(0x0003), at: 0x0A)
    parameters.set(UInt8(25), at: 0x0E)
    parameters.set(UInt8(1), at: 0x0F)
    parameters.set(UInt16(16), at: 0x10)
    // Extended memory in KiB, for kernels that distrust the map: at most 64 MiB − 1 KiB fit.
    parameters.set(UInt16(min((memory.layout.lowMemory - 0x10_0000) / 1024, 0xFFFF)), at: 0x02)
    parameters.set(rsdp, at: Field.acpiRSDP)
    // "Undefined" loader: FFh (boot.rst, type_of_loader).
    parameters.set(UInt8(0xFF), at: Field.loaderType)

    try memory.writeCommandLine(commandLine, limit: commandLineLimit)
    parameters.set(UInt32(BootPlace.commandLine), at: Field.commandLine)
    if let initrd, !initrd.bytes.isEmpty {
      let size = UInt64(initrd.bytes.count)
      let base = try memory.allocate(size, below: initrdLimit, for: initrd.name)
      memory.put(initrd.bytes, at: base)
      parameters.set(UInt32(truncatingIfNeeded: base), at: Field.ramdiskImage)
      parameters.set(UInt32(truncatingIfNeeded: size), at: Field.ramdiskSize)
    }

    let map = memory.layout.memoryMap.prefix(memoryMapLimit)
    parameters.set(UInt8(map.count), at: Field.memoryMapCount)
    for (i, e) in map.enumerated() {
      parameters.set(e.base, at: Field.memoryMap + i * 20)
      parameters.set(e.length, at: Field.memoryMap + i * 20 + 8)
      parameters.set(e.kind.rawValue, at: Field.memoryMap + i * 20 + 16)
    }
    try memory.claim(BootPlace.information, UInt64(Field.size), for: "Linux boot_params")
    memory.put(parameters, at: BootPlace.information)
  }

  private static func entry(at address: UInt64, long: Bool, _ memory: BootMemory) throws(MachineError) -> ProcessorEntry {
    let registers = [ProcessorEntry.Register.rsi: BootPlace.information]
    if long {
      try memory.writeBootGDT64()
      try memory.writeIdentityPageTables()
      return ProcessorEntry(
        mode: .long64(
          gdt: BootPlace.gdt, pageTables: BootPlace.pageTables, code: ProcessorEntry.code64, data: ProcessorEntry.data32),
        instructionPointer: address, registers: registers)
    }
    try memory.writeBootGDT()
    return ProcessorEntry(
      mode: .protected32(gdt: BootPlace.gdt, code: ProcessorEntry.code32, data: ProcessorEntry.data32),
      instructionPointer: address, registers: registers)
  }
}
