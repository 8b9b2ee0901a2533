/// Low-memory places that the direct boot protocols use, all below 9FC00h and free for a kernel to take once it runs.
enum BootPlace {
  static let gdt: UInt64 = 0x1000
  /// PML4, PDPT and four page directories: the first 4 GiB mapped one to one with 2 MiB pages.
  static let pageTables: UInt64 = 0x2000
  static let pageTableBytes: UInt64 = 0x6000
  /// Linux's boot_params, multiboot's information or PVH's start_info, with what they point to.
  static let information: UInt64 = 0x1_0000
  static let informationLimit: UInt64 = 0x7_0000
  static let commandLine: UInt64 = 0x7_0000
  static let commandLineLimit: UInt64 = 0x1_0000
}

extension BootMemory {
  func writeBootGDT() throws(MachineError) {
    try claim(BootPlace.gdt, UInt64(ProcessorEntry.bootGDT.count * 8), for: "the boot GDT")
    var gdt = ByteBuffer()
    for descriptor in ProcessorEntry.bootGDT { gdt.put(descriptor) }
    put(gdt, at: BootPlace.gdt)
  }

  /// The GDT whose 10h is 64-bit code.
  func writeBootGDT64() throws(MachineError) {
    try writeBootGDT()
    var code = ByteBuffer()
    code.put(ProcessorEntry.bootGDT[4])
    put(code, at: BootPlace.gdt + UInt64(ProcessorEntry.code64))
  }

  func writeIdentityPageTables() throws(MachineError) {
    try claim(BootPlace.pageTables, BootPlace.pageTableBytes, for: "the boot page tables")
    let base = BootPlace.pageTables
    var tables = ByteBuffer(count: Int(BootPlace.pageTableBytes))
    // Present, writable; 2 MiB page in the directories (SDM vol. 3A table 4-18).
    tables.set((base + 0x1000) | 3, at: 0)
    for directory in 0..<4 {
      tables.set((base + 0x2000 + UInt64(directory) * 0x1000) | 3, at: 0x1000 + directory * 8)
      for entry in 0..<512 {
        tables.set(UInt64(directory * 512 + entry) << 21 | 0x83, at: 0x2000 + directory * 0x1000 + entry * 8)
      }
    }
    put(tables, at: base)
  }

  /// Puts a command line with its terminating zero into its place.
  func writeCommandLine(_ text: String, limit: UInt64 = BootPlace.commandLineLimit) throws(MachineError) {
    let length = UInt64(text.utf8.count)
    guard length < min(limit, BootPlace.commandLineLimit) else {
      throw .usage("the kernel command line has \(length) bytes, more than the \(min(limit, BootPlace.commandLineLimit) - 1) this kernel takes")
    }
    try claim(BootPlace.commandLine, length + 1, for: "the kernel command line")
    var buffer = ByteBuffer()
    buffer.putCString(text)
    put(buffer, at: BootPlace.commandLine)
  }
}
