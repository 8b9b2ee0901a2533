import Testing
@testable import Machine

@Suite struct ACPITests {
  private func tables(processors: Int = 4, memory: UInt64 = 512 << 20) -> ACPITables {
    ACPITables(
      board: .init(
        layout: PhysicalLayout(memory: memory), processors: processors, hasHPET: true,
        serialPorts: [(base: 0x3F8, line: 4), (base: 0x2F8, line: 3)]),
      base: 0x1000_0000)
  }

  /// Offset of the table with this signature that some pointer of the XSDT (or the FADT) names.
  private func find(_ t: ACPITables, _ signature: String) -> Int? {
    let bytes = t.image.bytes
    let xsdt = Int(t.rsdp.u64(24)! - t.base)
    for at in stride(from: xsdt + 36, to: xsdt + Int(bytes.u32(xsdt + 4)!), by: 8) {
      let place = Int(bytes.u64(at)! - t.base)
      if String(decoding: bytes[place..<place + 4], as: UTF8.self) == signature { return place }
    }
    return nil
  }

  @Test func everyTableSumsToZero() throws {
    let t = tables()
    #expect(t.rsdp[..<20].reduce(0, &+) == 0)
    #expect(t.rsdp.reduce(0, &+) == 0)
    for signature in ["FACP", "APIC", "HPET"] {
      let at = try #require(find(t, signature))
      let length = Int(t.image.bytes.u32(at + 4)!)
      #expect(t.image.bytes[at..<at + length].reduce(0, &+) == 0)
    }
    let fadt = try #require(find(t, "FACP"))
    #expect(t.image.bytes.u32(fadt + 4) == 244)
    let dsdt = Int(t.image.bytes.u64(fadt + 140)! - t.base)
    #expect(Array(t.image.bytes[dsdt..<dsdt + 4]) == Array("DSDT".utf8))
    let length = Int(t.image.bytes.u32(dsdt + 4)!)
    #expect(t.image.bytes[dsdt..<dsdt + length].reduce(0, &+) == 0)
    #expect(t.image.bytes.u32(fadt + 36)! % 64 == 0)
    #expect(t.image.count < Int(PhysicalLayout.acpiReserve))
  }

  @Test(arguments: [1, 2, 64]) func oneLocalAPICAProcessor(processors: Int) throws {
    let t = tables(processors: processors)
    let madt = try #require(find(t, "APIC"))
    let bytes = t.image.bytes
    var at = madt + 44, local = 0, overrides: [UInt8: UInt32] = [:]
    let end = madt + Int(bytes.u32(madt + 4)!)
    while at < end {
      if bytes[at] == 0 { local += 1 }
      if bytes[at] == 2 { overrides[bytes[at + 3]] = bytes.u32(at + 4)! }
      at += Int(bytes[at + 1])
    }
    #expect(at == end)
    #expect(local == processors)
    #expect(overrides[0] == 2 && overrides[9] == 9)
    #expect(t.image.count < Int(PhysicalLayout.acpiReserve))
  }

  @Test func packageLengths() {
    // PkgLength counts itself: 1 byte up to 63, 2 bytes from 64 on.
    #expect(AML.scope("A", [[UInt8](repeating: 0xA3, count: 58)])[1] == 63)
    let two = AML.scope("A", [[UInt8](repeating: 0xA3, count: 59)])
    #expect(two[1] == 0x40 | (65 & 15) && two[2] == 65 >> 4)
    #expect(AML.eisaID("PNP0A03") == [0x0C, 0x41, 0xD0, 0x0A, 0x03])
    #expect(AML.name("\\_SB.PCI0.ISA") == Array("\\".utf8) + [0x2F, 3] + Array("_SB_PCI0ISA_".utf8))
    #expect(AML.integer(0x1234) == [0x0B, 0x34, 0x12])
  }

  @Test func multiprocessorTable() {
    let bytes = MPTable.build(processors: 3, at: 0xF_0100)
    #expect(bytes[..<16].reduce(0, &+) == 0)
    #expect(bytes.u32(4) == 0xF_0110)
    let table = Array(bytes[16...])
    #expect(Int(table.u16(4)!) == table.count)
    #expect(table.reduce(0, &+) == 0)
    var at = 44, processors = 0, entries = 0
    while at < table.count {
      if table[at] == 0 { processors += 1 }
      at += table[at] == 0 ? 20 : 8
      entries += 1
    }
    #expect(at == table.count && processors == 3 && entries == Int(table.u16(34)!))
  }
}

@Suite struct SMBIOSTests {
  private func configuration(processors: Int, memory: UInt64) -> MachineConfiguration {
    var configuration = MachineConfiguration.running(Program.spin, processors: processors)
    configuration.memory = memory
    return configuration
  }

  /// Structures by type: the formatted area from the header on, and the strings.
  private func structures(_ image: [UInt8]) throws -> [UInt8: [(formatted: [UInt8], strings: [String])]] {
    #expect(image[..<31].reduce(0, &+) == 0 && image[16..<31].reduce(0, &+) == 0)
    #expect(Array(image[..<4]) == Array("_SM_".utf8) && Array(image[16..<21]) == Array("_DMI_".utf8))
    let start = Int(try #require(image.u32(24))) - 0xF_2000, length = Int(try #require(image.u16(22)))
    #expect(start + length == image.count)
    var found: [UInt8: [(formatted: [UInt8], strings: [String])]] = [:]
    var at = start, count = 0
    while at < image.count {
      let size = Int(image[at + 1])
      var end = at + size
      while image[end] != 0 || image[end + 1] != 0 { end += 1 }
      let strings = image[(at + size)..<end].split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
      found[image[at], default: []].append((Array(image[at..<at + size]), strings))
      #expect(end + 2 - at <= Int(image.u16(8)!))
      at = end + 2
      count += 1
    }
    #expect(count == Int(image.u16(28)!))
    return found
  }

  @Test func everyStructureCanBeFound() throws {
    let found = try structures(SMBIOS.build(configuration(processors: 3, memory: 5 << 30), at: 0xF_2000))
    #expect(Set(found.keys) == [0, 1, 3, 4, 16, 17, 19, 32, 127])
    #expect(found[4]?.count == 3 && found[19]?.count == 2)
    // Lengths of version 2.8 (DSP0134 table 3 and the structures' own).
    for (type, length) in [(0, 0x18), (1, 0x1B), (3, 0x16), (4, 0x2A), (16, 0x17), (17, 0x28), (19, 0x1F), (32, 0x0B), (127, 4)] {
      #expect(found[UInt8(type)]?.first?.formatted.count == length, "type \(type)")
    }
    let system = try #require(found[1]?.first)
    #expect(system.strings[Int(system.formatted[5]) - 1] == SMBIOS.product)
    #expect(found[17]?.first?.formatted.u16(12) == 5120)
    #expect(found[19]?.last?.formatted.u32(4) == 4 << 20 && found[19]?.last?.formatted.u32(8) == 6 << 20 - 1)
    #expect(found[4]?.last?.strings.first == "CPU 2")
  }

  @Test(arguments: [(4 << 20 + 4096, 0x9004), (64 << 30, 0x7FFF), (256 << 20, 256)] as [(UInt64, UInt16)])
  func sizesHaveTheirUnits(_ test: (memory: UInt64, field: UInt16)) throws {
    let image = SMBIOS.build(configuration(processors: 64, memory: test.memory), at: 0xF_2000)
    // The handlers of the interrupt vectors lie above them.
    #expect(image.count < 0xC000)
    let found = try structures(image)
    let device = try #require(found[17]?.first?.formatted)
    #expect(device.u16(12) == test.field)
    #expect(device.u32(28) == (test.field == 0x7FFF ? 65536 : 0))
  }

  @Test func aMachineHasThem() throws {
    let machine = try Machine(configuration(processors: 2, memory: 4 << 20))
    let image = SMBIOS.build(machine.configuration, at: 0xF_2000)
    #expect((0..<image.count).allSatisfy { machine.memory.read(0xF_2000 + UInt64($0), size: 1) == UInt64(image[$0]) })
  }
}

@Suite struct MemoryLayoutTests {
  @Test(arguments: [2, 64, 3071, 3072, 3073, 4096, 65536] as [UInt64]) func mapCoversAllMemoryOnce(megabytes: UInt64) {
    let layout = PhysicalLayout(memory: megabytes << 20)
    #expect(layout.lowMemory + layout.highMemory == megabytes << 20)
    var end: UInt64 = 0
    var ram: UInt64 = 0
    for e in layout.memoryMap {
      #expect(e.base >= end && e.length > 0)
      end = e.base + e.length
      if e.kind != .reserved { ram += e.length }
    }
    // What is missing: the EBDA, the VGA window and the area of option ROMs and BIOS.
    #expect(ram == megabytes << 20 - (0x10_0000 - PhysicalLayout.ebda))
  }

  @Test func sizesAreDescribedAsTheyAreGiven() {
    #expect(describeSize(512 << 20) == "512M" && describeSize(3 << 30) == "3G" && describeSize(1000) == "1000")
  }
}
