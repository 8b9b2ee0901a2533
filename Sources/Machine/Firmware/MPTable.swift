/// The tables of the Intel MultiProcessor Specification 1.4, for kernels that look for no ACPI.
enum MPTable {
  /// Floating pointer structure and configuration table, to be placed at `address`.
  static func build(
    processors: Int, at address: UInt64, processorSignature: UInt32 = 0x600, features: UInt32 = 0x201
  ) -> [UInt8] {
    let configuration = Self.configuration(processors, processorSignature, features)
    var pointer = ByteBuffer()
    pointer.put("_MP_", width: 4)
    pointer.put(UInt32(address) + 16)
    pointer.put([1, 4, 0, 0, 0, 0, 0, 0] as [UInt8])
    pointer.set(ACPITables.checksum(pointer.bytes), at: 10)
    return pointer.bytes + configuration
  }

  private static func configuration(_ processors: Int, _ signature: UInt32, _ features: UInt32) -> [UInt8] {
    var b = ByteBuffer()
    var entries: UInt16 = 0
    b.put("PCMP", width: 4)
    b.put(UInt16(0))
    b.put([4, 0] as [UInt8])
    b.put("XENOLITH", width: 8)
    b.put("PC", width: 12)
    b.put(UInt32(0))
    b.put(UInt16(0))
    b.put(UInt16(0))
    b.put(UInt32(PhysicalLayout.localAPIC))
    b.put(UInt32(0))

    func entry(_ bytes: [UInt8]) {
      b.put(bytes)
      entries += 1
    }
    for n in 0..<processors {
      // Enabled; the first is the bootstrap processor.
      entry([0, UInt8(n), 0x14, n == 0 ? 3 : 1] + AML.littleEndian(signature) + AML.littleEndian(features)
        + [UInt8](repeating: 0, count: 8))
    }
    let pci: UInt8 = 0, isa: UInt8 = 1, ioapic: UInt8 = 0
    entry([1, pci] + Array("PCI   ".utf8))
    entry([1, isa] + Array("ISA   ".utf8))
    entry([2, ioapic, 0x11, 1] + AML.littleEndian(UInt32(PhysicalLayout.ioapic)))
    /// Types: 0 vectored, 1 NMI, 3 ExtINT; flags: 0 as the bus has it, 0Dh level-triggered and active high.
    func interrupt(_ type: UInt8, flags: UInt16, bus: UInt8, source: UInt8, input: UInt8) {
      entry([3, type] + AML.littleEndian(flags) + [bus, source, ioapic, input])
    }
    let links = Set(ChipsetSetup.pirqLines)
    for line in 0..<16 as Range<UInt8> where line != 2 && !links.contains(line) {
      interrupt(0, flags: line == 9 ? 0x0D : 0, bus: isa, source: line, input: line == 0 ? 2 : line)
    }
    for slot in 1..<32 as Range<UInt8> {
      for pin in 0..<4 as Range<UInt8> {
        let line = ChipsetSetup.pirqLines[Int((slot + pin + 3) & 3)]
        interrupt(0, flags: 0x0D, bus: pci, source: slot << 2 | pin, input: line)
      }
    }
    entry([4, 3, 0, 0, isa, 0, 0xFF, 0])
    entry([4, 1, 0, 0, isa, 0, 0xFF, 1])
    b.set(UInt16(b.count), at: 4)
    b.set(entries, at: 34)
    b.set(ACPITables.checksum(b.bytes), at: 7)
    return b.bytes
  }
}
