import Devices

/// ACPI tables of the PC (ACPI specification 6.4, chapter 5; IA-PC HPET specification 1.0a §3.2.4).
///
/// Not modelled: SLIT/SRAT (one node), MCFG (no PCI Express), DMAR.
struct ACPITables {
  /// What the tables have to describe.
  struct Board {
    var layout: PhysicalLayout
    var processors: Int
    var hasHPET: Bool
    var serialPorts: [(base: UInt16, line: Int)]
  }

  /// Registers of the PIIX4 power management unit.
  enum PowerPorts {
    static let base: UInt16 = 0x600
    static let event = base, control = base + 4, timer = base + 8
    static let generalEvents = base + 12
    static let command: UInt16 = 0xB2
    static let reset: UInt64 = 0xCF9
    static let resetValue: UInt8 = 0x0F
    static let interrupt: UInt16 = 9
  }

  /// A field of the image that holds the address of a table.
  struct Pointer {
    var offset: Int
    var size: Int
  }

  /// A byte at `offset` that makes the sum of `length` bytes from `start` zero.
  struct Checksum {
    var offset: Int
    var start: Int
    var length: Int
  }

  /// Tables to be placed at `base`, and the root pointer to be placed in the BIOS area.
  let base: UInt64
  private(set) var image = ByteBuffer()
  private(set) var rsdp: [UInt8] = []
  /// What changes when somebody else places the tables.
  private(set) var pointers: [Pointer] = []
  private(set) var checksums: [Checksum] = []
  static let rootPointers = [Pointer(offset: 16, size: 4), Pointer(offset: 24, size: 8)]
  static let rootChecksums = [Checksum(offset: 8, start: 0, length: 20), Checksum(offset: 32, start: 0, length: 36)]

  init(board: Board, base: UInt64) {
    self.base = base
    // The FACS comes first: it must be aligned to 64 bytes.
    image.put(Self.facs())
    let facs = base
    let dsdt = append(Self.table("DSDT", revision: 2, Self.dsdtBody(board)))
    let fadt = append(
      Self.table("FACP", revision: 3, Self.fadtBody(facs: facs, dsdt: dsdt)),
      pointers: [
        Pointer(offset: 36, size: 4), Pointer(offset: 40, size: 4), Pointer(offset: 132, size: 8), Pointer(offset: 140, size: 8),
      ])
    var tables = [fadt, append(Self.table("APIC", revision: 3, Self.madtBody(board)))]
    if board.hasHPET { tables.append(append(Self.table("HPET", revision: 1, Self.hpetBody()))) }
    let rsdt = append(
      Self.table("RSDT", revision: 1, tables.flatMap { AML.littleEndian(UInt32($0)) }),
      pointers: tables.indices.map { Pointer(offset: 36 + $0 * 4, size: 4) })
    let xsdt = append(
      Self.table("XSDT", revision: 1, tables.flatMap { AML.littleEndian($0) }),
      pointers: tables.indices.map { Pointer(offset: 36 + $0 * 8, size: 8) })
    rsdp = Self.rootPointer(rsdt: rsdt, xsdt: xsdt)
  }

  /// Adds a table; `fields` are places within it. Returns its address.
  private mutating func append(_ table: [UInt8], pointers fields: [Pointer] = []) -> UInt64 {
    image.align(16)
    let start = image.count
    image.put(table)
    pointers += fields.map { Pointer(offset: start + $0.offset, size: $0.size) }
    checksums.append(Checksum(offset: start + 9, start: start, length: table.count))
    return base + UInt64(start)
  }

  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt8 { 0 &- bytes.reduce(0, &+) }

  /// A system description table: the 36-byte header and its body, with the checksum.
  static func table(_ signature: String, revision: UInt8, _ body: [UInt8]) -> [UInt8] {
    var table = ByteBuffer()
    table.put(signature, width: 4)
    table.put(UInt32(36 + body.count))
    table.put(revision)
    table.put(UInt8(0))
    table.put("XENOLT", width: 6)
    table.put("XENOLITH", width: 8)
    table.put(UInt32(1))
    table.put("XENO", width: 4)
    table.put(UInt32(1))
    table.put(body)
    table.set(checksum(table.bytes), at: 9)
    return table.bytes
  }

  private static func rootPointer(rsdt: UInt64, xsdt: UInt64) -> [UInt8] {
    var pointer = ByteBuffer()
    pointer.put("RSD PTR ", width: 8)
    pointer.put(UInt8(0))
    pointer.put("XENOLT", width: 6)
    pointer.put(UInt8(2))
    pointer.put(UInt32(rsdt))
    pointer.put(UInt32(36))
    pointer.put(xsdt)
    pointer.put(UInt32(0))
    pointer.set(checksum(pointer.bytes[..<20]), at: 8)
    pointer.set(checksum(pointer.bytes), at: 32)
    return pointer.bytes
  }

  private static func facs() -> [UInt8] {
    var facs = ByteBuffer()
    facs.put("FACS", width: 4)
    facs.put(UInt32(64))
    facs.put([UInt8](repeating: 0, count: 24))
    facs.put(UInt8(2))
    facs.put([UInt8](repeating: 0, count: 31))
    return facs.bytes
  }

  /// Generic address structure of an I/O port (§5.2.3.2).
  private static func port(_ address: UInt64, bits: UInt8, access: UInt8) -> [UInt8] {
    [1, bits, 0, access] + AML.littleEndian(address)
  }

  private static func fadtBody(facs: UInt64, dsdt: UInt64) -> [UInt8] {
    var b = ByteBuffer()
    b.put(UInt32(facs))
    b.put(UInt32(dsdt))
    b.put(UInt8(0))
    b.put(UInt8(1))  // preferred profile: desktop
    b.put(PowerPorts.interrupt)
    b.put(UInt32(PowerPorts.command))
    b.put([ACPIPowerManagement.enableCommand, ACPIPowerManagement.disableCommand, 0, 0])  // no S4BIOS_REQ, PSTATE_CNT
    b.put(UInt32(PowerPorts.event))
    b.put(UInt32(0))
    b.put(UInt32(PowerPorts.control))
    b.put(UInt32(0))
    b.put(UInt32(0))
    b.put(UInt32(PowerPorts.timer))
    b.put(UInt32(PowerPorts.generalEvents))
    b.put(UInt32(0))
    b.put([4, 2, 0, 4, 4, 0, 0, 0] as [UInt8])  // register block lengths
    b.put(UInt16(0xFFF))  // C2 and C3 latencies: not supported
    b.put(UInt16(0xFFF))
    b.put(UInt32(0))
    b.put([0, 0, 0, 0, 0x32] as [UInt8])  // duty cycle, alarms; century register of the RTC
    b.put(UInt16(3))  // legacy devices, 8042
    b.put(UInt8(0))
    // WBINVD works, C1 on all processors, no sleep button, 32-bit timer, reset register.
    b.put(UInt32(1 << 0 | 1 << 2 | 1 << 5 | 1 << 8 | 1 << 10))
    b.put(port(PowerPorts.reset, bits: 8, access: 1))
    b.put(PowerPorts.resetValue)
    b.put([0, 0, 0] as [UInt8])
    b.put(facs)
    b.put(dsdt)
    b.put(port(UInt64(PowerPorts.event), bits: 32, access: 2))
    b.put(port(0, bits: 0, access: 0))
    b.put(port(UInt64(PowerPorts.control), bits: 16, access: 2))
    b.put(port(0, bits: 0, access: 0))
    b.put(port(0, bits: 0, access: 0))
    b.put(port(UInt64(PowerPorts.timer), bits: 32, access: 3))
    b.put(port(UInt64(PowerPorts.generalEvents), bits: 32, access: 1))
    b.put(port(0, bits: 0, access: 0))
    return b.bytes
  }

  private static func madtBody(_ board: Board) -> [UInt8] {
    var b = ByteBuffer()
    b.put(UInt32(PhysicalLayout.localAPIC))
    b.put(UInt32(1))  // the two 8259 are there
    for n in 0..<board.processors {
      b.put([0, 8, UInt8(n), UInt8(n)] as [UInt8])
      b.put(UInt32(1))
    }
    b.put([1, 12, 0, 0] as [UInt8])
    b.put(UInt32(PhysicalLayout.ioapic))
    b.put(UInt32(0))
    // Source overrides: the timer arrives at input 2; SCI and PCI links are level-triggered, active high.
    func override(_ line: UInt8, input: UInt32, flags: UInt16) {
      b.put([2, 10, 0, line] as [UInt8])
      b.put(input)
      b.put(flags)
    }
    override(0, input: 2, flags: 0)
    for line in ([UInt8(PowerPorts.interrupt)] + Set(ChipsetSetup.pirqLines)).sorted() {
      override(line, input: UInt32(line), flags: 0x0D)
    }
    // LINT1 of every processor is NMI.
    b.put([4, 6, 0xFF, 0, 0, 1] as [UInt8])
    return b.bytes
  }

  private static func hpetBody() -> [UInt8] {
    var b = ByteBuffer()
    b.put(UInt32(0x8086_A201))
    b.put([0, 64, 0, 0] as [UInt8])
    b.put(PhysicalLayout.hpet)
    b.put(UInt8(0))
    b.put(UInt16(100))
    b.put(UInt8(0))
    return b.bytes
  }
}
