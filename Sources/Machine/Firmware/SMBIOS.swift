/// The tables by which a kernel (its "DMI:" line) and dmidecode name the machine: DMTF DSP0134, System Management BIOS
/// 2.8, with its 32-bit entry point.
///
/// Not modelled: base board (2), caches (7), slots (9) and other optional structures. With firmware, that makes its own.
enum SMBIOS {
  static let manufacturer = "Xenolith"
  static let product = "PC"
  private static let memoryArray: UInt16 = 0x1000

  /// Entry point and structures, to be placed at `address` (16-byte aligned, below 1 MiB).
  static func build(_ configuration: MachineConfiguration, at address: UInt64) -> [UInt8] {
    let layout = PhysicalLayout(memory: configuration.memory)
    var table = Table()
    addFirmware(&table)
    addSystem(&table)
    for n in 0..<configuration.processors { addProcessor(&table, n, configuration) }
    addMemory(&table, layout)
    table.add(32, handle: 0x2000, ByteBuffer(count: 7))  // System boot status: no errors.
    table.add(127, handle: 0x7F00, ByteBuffer())
    return entryPoint(table, at: address + 32) + [0] + table.bytes.bytes
  }

  /// DSP0134 §5.2.1: 31 bytes with two checksums.
  private static func entryPoint(_ table: Table, at address: UInt64) -> [UInt8] {
    var b = ByteBuffer()
    b.put("_SM_", width: 4)
    b.put([0, 31, 2, 8] as [UInt8])
    b.put(UInt16(table.largest))
    b.put([0, 0, 0, 0, 0, 0] as [UInt8])
    b.put("_DMI_", width: 5)
    b.put(UInt8(0))
    b.put(UInt16(table.bytes.count))
    b.put(UInt32(address))
    b.put(table.count)
    b.put(UInt8(0x28))
    b.set(ACPITables.checksum(Array(b.bytes[16...])), at: 21)
    b.set(ACPITables.checksum(b.bytes), at: 4)
    return b.bytes
  }

  /// BIOS (0).
  private static func addFirmware(_ table: inout Table) {
    var b = ByteBuffer()
    b.put([1, 2] as [UInt8])  // Vendor, version.
    b.put(UInt16(0xF000))
    b.put([3, 0] as [UInt8])  // Date; one unit of 64K.
    b.put(UInt64(1) << 3)  // Characteristics are not supported.
    b.put([0x01, 0x10] as [UInt8])  // ACPI; a virtual machine.
    b.put([0, 1, 0xFF, 0xFF] as [UInt8])  // Release 0.1, no embedded controller.
    table.add(0, handle: 0, b, strings: [manufacturer, programVersion, "01/01/2026"])
  }

  /// System (1) and enclosure (3).
  private static func addSystem(_ table: inout Table) {
    var system = ByteBuffer()
    system.put([1, 2, 3, 0] as [UInt8])
    system.put("Xenolith Xenolit", width: 16)  // UUID: the same for all machines, so that runs repeat.
    system.put([6, 0, 0] as [UInt8])  // Woken by the power switch.
    table.add(1, handle: 0x100, system, strings: [manufacturer, product, programVersion])
    var enclosure = ByteBuffer()
    enclosure.put([1, 1, 2, 0, 0] as [UInt8])  // Type "other".
    enclosure.put([3, 3, 3, 2] as [UInt8])  // States: safe; security unknown.
    enclosure.put(UInt32(0))
    enclosure.put([0, 0, 0, 0, 0] as [UInt8])
    table.add(3, handle: 0x300, enclosure, strings: [manufacturer, programVersion])
  }

  /// Processor (4).
  private static func addProcessor(_ table: inout Table, _ n: Int, _ configuration: MachineConfiguration) {
    let model = configuration.cpu.model
    var b = ByteBuffer()
    b.put([1, 3, 1, 2] as [UInt8])  // Socket, central processor, family "other", manufacturer.
    b.put(model.signature)
    b.put(UInt32(0))
    b.put([3, 0] as [UInt8])
    // External clock; an instruction takes a nanosecond.
    for speed in [0, 1000, 1000] as [UInt16] { b.put(speed) }
    b.put([0x41, 1] as [UInt8])  // Populated and enabled; upgrade "other".
    for _ in 0..<3 { b.put(UInt16.max) }  // No cache structures.
    b.put([0, 0, 0, 1, 1, 1] as [UInt8])  // One core with one thread.
    b.put(UInt16(model.features.contains(.longMode) ? 4 : 0))
    b.put(UInt16(1))
    table.add(4, handle: 0x400 + UInt16(n), b, strings: ["CPU \(n)", manufacturer, model.name])
  }

  /// Memory array (16), one device of everything (17), and where it is (19).
  private static func addMemory(_ table: inout Table, _ layout: PhysicalLayout) {
    let bytes = layout.lowMemory + layout.highMemory
    var array = ByteBuffer()
    array.put([3, 3, 3] as [UInt8])  // System board, system memory, no error correction.
    array.put(UInt32(clamping: bytes >> 10))
    array.put(UInt16(0xFFFE))
    array.put(UInt16(1))
    array.put(UInt64(0))
    table.add(16, handle: memoryArray, array)

    var device = ByteBuffer()
    device.put(memoryArray)
    device.put(UInt16(0xFFFE))
    device.put(UInt32.max)  // Widths unknown.
    let mebibytes = bytes >> 20
    device.put(bytes % (1 << 20) != 0 && bytes < 0x7FFF << 10 ? UInt16(bytes >> 10) | 0x8000 : UInt16(min(mebibytes, 0x7FFF)))
    device.put([9, 0, 1, 0, 7] as [UInt8])  // DIMM, locator, RAM.
    device.put(UInt16(2))
    device.put(UInt16(0))
    device.put([2, 0, 0, 0, 0] as [UInt8])
    device.put(mebibytes >= 0x7FFF ? UInt32(clamping: mebibytes) : 0)
    for _ in 0..<4 { device.put(UInt16(0)) }
    table.add(17, handle: 0x1100, device, strings: ["DIMM 0", manufacturer])

    for (n, range) in [(UInt64(0), layout.lowMemory), (PhysicalLayout.highBase, layout.highMemory)].enumerated() where range.1 > 0 {
      let end = range.0 + range.1 - 1
      let isSmall = end >> 10 < UInt64(UInt32.max)
      var mapped = ByteBuffer()
      mapped.put(isSmall ? UInt32(range.0 >> 10) : .max)
      mapped.put(isSmall ? UInt32(end >> 10) : .max)
      mapped.put(memoryArray)
      mapped.put(UInt8(1))
      mapped.put(isSmall ? 0 : range.0)
      mapped.put(isSmall ? 0 : end)
      table.add(19, handle: 0x1300 + UInt16(n), mapped)
    }
  }

  /// Structures behind each other (§6.1): header, formatted area, strings, two zeros at the end.
  private struct Table {
    var bytes = ByteBuffer()
    var count: UInt16 = 0
    var largest = 0

    mutating func add(_ type: UInt8, handle: UInt16, _ formatted: ByteBuffer, strings: [String] = []) {
      let start = bytes.count
      bytes.put([type, UInt8(formatted.count + 4)])
      bytes.put(handle)
      bytes.put(formatted.bytes)
      for text in strings { bytes.putCString(text) }
      bytes.put(strings.isEmpty ? [0, 0] : [0] as [UInt8])
      count += 1
      largest = max(largest, bytes.count - start)
    }
  }
}
