import KernelImages
import Testing
@testable import Machine

@Suite struct ELFTests {
  @Test(arguments: [false, true]) func loadsSegmentsAndZeroesTheTail(wide: Bool) throws {
    let image = makeELF(
      is64Bit: wide, entry: 0x8010_0004, virtual: 0x8010_0000, physical: 0x10_0000, code: [1, 2, 3, 4], memorySize: 8)
    let elf = try ELFFile.read(image, name: "k")
    let memory = bootMemory()
    memory.put([UInt8](repeating: 0xFF, count: 12), at: 0x10_0000)
    try elf.load(into: memory, name: "k")
    #expect(elf.is64Bit == wide)
    #expect(elf.physicalEntry == 0x10_0004)
    #expect(memory.u64(0x10_0000) == 0x0000_0000_0403_0201)
    #expect(memory.u32(0x10_0008) == 0xFFFF_FFFF)
  }

  @Test func everyTruncationIsOneSentence() throws {
    let image = makeELF(is64Bit: true, entry: 0x10_0000, virtual: 0x10_0000, physical: 0x10_0000, code: [0x90, 0xF4])
    for length in 4..<image.count {
      let text = sentence { () throws(MachineError) in _ = try ELFFile.read(Array(image[..<length]), name: "cut.elf") }
      let found = try #require(text)
      #expect(found.hasPrefix("cut.elf is a damaged ELF file"))
      #expect(!found.contains("\n"))
    }
  }

  @Test func hostileHeadersNeverTrap() {
    var image = makeELF(is64Bit: true, entry: 0x10_0000, virtual: 0, physical: 0x10_0000, code: [0x90])
    var seed: UInt64 = 1, loaded = 0
    for _ in 0..<3000 {
      seed = seed &* 6364136223846793005 &+ 1442695040888963407
      let at = Int(seed >> 33) % image.count
      let old = image[at]
      image[at] = UInt8(truncatingIfNeeded: seed >> 20)
      let memory = bootMemory(2 << 20)
      let text = sentence { () throws(MachineError) in try ELFFile.read(image, name: "x").load(into: memory, name: "x") }
      if let text { #expect(text.contains("x") && !text.contains("\n")) } else { loaded += 1 }
      if seed & 7 == 0 { image[at] = old }
    }
    #expect(loaded > 0 && loaded < 3000)
  }

  @Test func segmentOutsideMemoryNamesTheOption() {
    let image = makeELF(is64Bit: true, entry: 0, virtual: 0, physical: 0x4000_0000, code: [0x90])
    let text = sentence { () throws(MachineError) in try ELFFile.read(image, name: "big").load(into: bootMemory(), name: "big") }
    #expect(text?.contains("--memory") == true)
  }
}

/// A bzImage of protocol 2.15 with one setup sector and recognisable code.
private func makeBzImage(relocatable: Bool = true, has64: Bool = true, preferred: UInt64 = 0x100_0000) -> [UInt8] {
  var b = ByteBuffer(count: 8192)
  b.set(UInt8(1), at: 0x1F1)
  b.set(UInt16(0xAA55), at: 0x1FE)
  b.set(UInt8(0x6A), at: 0x201)
  b.set(Array("HdrS".utf8), at: 0x202)
  b.set(UInt16(0x20F), at: 0x206)
  b.set(UInt8(1), at: 0x211)
  b.set(UInt32(0x7FFF_FFFF), at: 0x22C)
  b.set(UInt32(0x20_0000), at: 0x230)
  b.set(UInt8(relocatable ? 1 : 0), at: 0x234)
  b.set(UInt16(has64 ? 3 : 0), at: 0x236)
  b.set(UInt32(2047), at: 0x238)
  b.set(preferred, at: 0x258)
  b.set(UInt32(0x10_0000), at: 0x260)
  b.set(UInt32(0xCAFE_F00D), at: 1024)
  return b.bytes
}

@Suite struct LinuxBootTests {
  private func load(
    _ image: [UInt8], memory: BootMemory, longMode: Bool = true, initrd: [UInt8]? = nil, commandLine: String = "console=ttyS0"
  ) throws(MachineError) -> ProcessorEntry {
    try LinuxBoot.loadBzImage(
      .init(name: "vmlinuz", bytes: image), initrd: initrd.map { .init(name: "initrd", bytes: $0) },
      commandLine: commandLine, into: memory, longMode: longMode, rsdp: 0xF_0000)
  }

  @Test func entersAt64BitEntryPoint() throws {
    let memory = bootMemory()
    let entry = try load(makeBzImage(), memory: memory, initrd: [UInt8](repeating: 7, count: 5000))
    #expect(entry.instructionPointer == 0x100_0200)
    guard case .long64(_, let tables, _, _) = entry.mode else {
      Issue.record("not the 64-bit entry")
      return
    }
    #expect(memory.u32(0x100_0000) == 0xCAFE_F00D)
    // Identity mapping of the last 2 MiB below 4 GiB.
    #expect(memory.u64(tables + 0x5000 + 511 * 8) == 0xFFE0_0083)
    let zero = BootPlace.information
    #expect(memory.u64(zero + 0x70) == 0xF_0000)
    #expect(memory.text(UInt64(memory.u32(zero + 0x228))) == "console=ttyS0")
    let ramdisk = UInt64(memory.u32(zero + 0x218))
    #expect(memory.u32(zero + 0x21C) == 5000)
    #expect(ramdisk % 4096 == 0 && memory.u32(ramdisk) == 0x0707_0707)
    #expect(memory.memory.read(zero + 0x1E8, size: 1) == UInt64(memory.layout.memoryMap.count))
    #expect(memory.u32(zero + 0x210) & 0xFF == 0xFF)
  }

  @Test func kernelsWithoutTheFlagStartIn32Bits() throws {
    for longMode in [false, true] {
      let entry = try load(makeBzImage(has64: false), memory: bootMemory(), longMode: longMode)
      #expect(entry.instructionPointer == 0x100_0000)
      guard case .protected32 = entry.mode else {
        Issue.record("not the 32-bit entry")
        return
      }
    }
  }

  @Test func a64BitKernelNeedsA64BitProcessor() {
    let text = sentence { () throws(MachineError) in _ = try load(makeBzImage(), memory: bootMemory(), longMode: false) }
    #expect(text?.contains("--cpu") == true)
  }

  /// A relocatable kernel moves itself up to its preferred address: what it needs must be there, wherever it is loaded.
  @Test(arguments: [false, true], [false, true])
  func needsMemoryWhereItRuns(relocatable: Bool, has64: Bool) throws {
    let image = makeBzImage(relocatable: relocatable, has64: has64)
    for megabytes in [8, 16] as [UInt64] {
      let text = sentence { () throws(MachineError) in _ = try load(image, memory: bootMemory(megabytes << 20)) }
      #expect(text?.contains("--memory") == true, "\(megabytes)M")
    }
    #expect(try load(image, memory: bootMemory(18 << 20)).instructionPointer == (has64 ? 0x100_0200 : 0x100_0000))
  }

  /// The last of low memory belongs to the ACPI tables.
  @Test func tablesAreNotOverwritten() throws {
    let memory = bootMemory()
    let end = memory.layout.acpiBase
    #expect(end < memory.layout.lowMemory)
    try memory.claim(end - 4096, 4096, for: "a")
    #expect(sentence { () throws(MachineError) in try memory.claim(end - 8192, 8193, for: "b") } != nil)
    #expect(sentence { () throws(MachineError) in try memory.claim(end, 1, for: "c") }?.contains("--memory") == true)
  }

  @Test func preferredAddressIsAligned() throws {
    #expect(try load(makeBzImage(preferred: 0x110_0000), memory: bootMemory()).instructionPointer == 0x120_0200)
    #expect(try load(makeBzImage(preferred: 0), memory: bootMemory()).instructionPointer == 0x20_0200)
    #expect(sentence { () throws(MachineError) in _ = try load(makeBzImage(preferred: .max), memory: bootMemory()) }?.contains("elsewhere") == true)
  }

  @Test func refusesWhatCannotWork() {
    let long = String(repeating: "x", count: 3000)
    #expect(sentence { () throws(MachineError) in
      _ = try load(makeBzImage(), memory: bootMemory(), commandLine: long)
    }?.contains("command line") == true)
    #expect(sentence { () throws(MachineError) in
      _ = try load(Array(makeBzImage()[..<900]), memory: bootMemory())
    }?.contains("vmlinuz") == true)
    #expect(sentence { () throws(MachineError) in
      _ = try load(makeBzImage(), memory: bootMemory(18 << 20), initrd: [UInt8](repeating: 1, count: 19 << 20))
    }?.contains("initrd") == true)
  }
}

@Suite struct MultibootTests {
  private func header1(flags: UInt32) -> [UInt8] {
    var b = ByteBuffer()
    b.put(Multiboot.magic1)
    b.put(flags)
    b.put(0 &- Multiboot.magic1 &- flags)
    return b.bytes
  }

  private func boot(
    _ image: [UInt8], memory: BootMemory, modules: [BootDescription.Module] = []
  ) throws(MachineError) -> ProcessorEntry {
    let boot = BootDescription(.kernel(.init(name: "k", bytes: image), initrd: nil, commandLine: "a b", modules: modules))
    return try BootLoader.load(
      boot, into: memory, longMode: true,
      tables: .init(rsdpAddress: 0xF_0000, rsdp: [UInt8](repeating: 0x5A, count: 36)))
  }

  @Test func version1() throws {
    let code = header1(flags: 3) + [0x90, 0xF4, 0, 0]
    let image = makeELF(is64Bit: false, entry: 0x10_000C, virtual: 0x10_0000, physical: 0x10_0000, code: code)
    let memory = bootMemory()
    let module = BootDescription.Module(file: .init(name: "m.img", bytes: [1, 2, 3]), arguments: "x=1")
    let entry = try boot(image, memory: memory, modules: [module])
    #expect(entry.instructionPointer == 0x10_000C)
    #expect(entry.registers[0] == 0x2BAD_B002)
    let info = try #require(entry.registers[3])
    let flags = memory.u32(info)
    #expect(flags & 0x4D == 0x4D)
    #expect(memory.text(UInt64(memory.u32(info + 16))) == "k a b")
    #expect(memory.u32(info + 20) == 1)
    let list = UInt64(memory.u32(info + 24))
    let start = memory.u32(list), end = memory.u32(list + 4)
    #expect(end - start == 3 && start % 4096 == 0)
    #expect(memory.u32(UInt64(start)) & 0xFF_FFFF == 0x03_0201)
    #expect(memory.text(UInt64(memory.u32(list + 8))) == "m.img x=1")
    let map = UInt64(memory.u32(info + 48))
    #expect(memory.u32(info + 44) == UInt32(memory.layout.memoryMap.count * 24))
    #expect(memory.u32(map) == 20 && memory.u64(map + 12) == PhysicalLayout.ebda)
  }

  @Test func addressFieldsInsteadOfELF() throws {
    var b = ByteBuffer()
    b.put([0xAA, 0xBB, 0xCC, 0xDD])
    b.put(header1(flags: 0x1_0000))
    for address in [0x20_0004, 0x20_0000, 0, 0x20_0100, 0x20_0020] as [UInt32] { b.put(address) }
    b.put([0x11, 0x22])
    let memory = bootMemory()
    let entry = try boot(b.bytes, memory: memory)
    #expect(entry.instructionPointer == 0x20_0020)
    #expect(memory.u32(0x20_0000) == 0xDDCC_BBAA)
    #expect(memory.u32(0x20_0024) & 0xFFFF == 0x2211)
  }

  @Test func contradictoryAddressesAreRefused() {
    for fields in [[0x10_0000, 0x20_0000, 0, 0, 0], [0x20_0000, 0x10_0000, 0, 0, 0], [0x10_0000, 0x10_0000, 0x50_0000, 0, 0],
                   [0xFFFF_FFFF, 0xFFFF_FFF0, 1, 2, 3]] as [[UInt32]] {
      var b = ByteBuffer()
      b.put(header1(flags: 0x1_0000))
      for address in fields { b.put(address) }
      #expect(sentence { () throws(MachineError) in _ = try boot(b.bytes, memory: bootMemory()) } != nil)
    }
  }

  @Test func headersWithoutAddressesNeedAnELFFile() {
    var second = ByteBuffer()
    for word in [Multiboot.magic2, 0, 24, 0 &- Multiboot.magic2 &- 24, 0, 8] as [UInt32] { second.put(word) }
    for image in [header1(flags: 0), second.bytes] {
      let text = sentence { () throws(MachineError) in _ = try boot(image + [0xF4], memory: bootMemory()) }
      #expect(text?.contains("no ELF file: nothing says where") == true)
    }
  }

  @Test func version2() throws {
    var head = ByteBuffer()
    head.put(Multiboot.magic2)
    head.put(UInt32(0))
    head.put(UInt32(24))
    head.put(0 &- Multiboot.magic2 &- 24)
    head.put(UInt16(0))
    head.put(UInt16(0))
    head.put(UInt32(8))
    let image = makeELF(
      is64Bit: true, entry: 0x10_0018, virtual: 0x10_0000, physical: 0x10_0000, code: head.bytes + [0xF4])
    let memory = bootMemory()
    let entry = try boot(image, memory: memory)
    #expect(entry.registers[0] == 0x36D7_6289)
    #expect(entry.instructionPointer == 0x10_0018)
    let info = try #require(entry.registers[3])
    var found: Set<UInt32> = []
    var at = info + 8
    while at < info + UInt64(memory.u32(info)) {
      let type = memory.u32(at)
      found.insert(type)
      if type == 1 { #expect(memory.text(at + 8) == "k a b") }
      if type == 15 { #expect(memory.u32(at + 8) == 0x5A5A_5A5A) }
      at += UInt64(memory.u32(at + 4) + 7) & ~7
    }
    #expect(found.isSuperset(of: [0, 1, 2, 4, 6, 14, 15]))
    #expect(at == info + UInt64(memory.u32(info)))
  }
}

@Suite struct OtherBootTests {
  @Test func pvh() throws {
    let image = makeELF(
      is64Bit: true, entry: 0xFFFF_FFFF_8100_0000, virtual: 0xFFFF_FFFF_8100_0000, physical: 0x100_0000,
      code: [0xF4], note: ("Xen", 18, [0x10, 0, 0, 1, 0, 0, 0, 0]))
    let elf = try ELFFile.read(image, name: "k")
    let start = try #require(PVH.entry(of: elf))
    #expect(start == 0x100_0010)
    let memory = bootMemory()
    let entry = try PVH.load(
      elf, name: "k", entry: start, initrd: .init(name: "i", bytes: [9]), commandLine: "quiet", modules: [],
      into: memory, rsdp: 0xF_0000)
    let info = try #require(entry.registers[3])
    #expect(memory.u32(info) == 0x336E_C578)
    #expect(memory.u32(info + 12) == 1)
    #expect(memory.text(memory.u64(info + 24)) == "quiet")
    #expect(memory.u64(info + 32) == 0xF_0000)
    let module = memory.u64(info + 16)
    #expect(memory.u64(module + 8) == 1 && memory.u32(memory.u64(module)) & 0xFF == 9)
    #expect(memory.u64(memory.u64(info + 40) + 8) == PhysicalLayout.ebda)
    // Its entry is 32-bit code, the rest is not.
    for (bits64, model) in [(true, "pentium3"), (false, "pentium3"), (true, "x86-64-v1")] {
      let kernel = makeELF(
        is64Bit: bits64, entry: 0x100_0000, virtual: 0x100_0000, physical: 0x100_0000, code: [0xF4], note: ("Xen", 18, [0, 0, 0, 1, 0, 0, 0, 0]))
      var configuration = MachineConfiguration(boot: BootDescription(.kernel(.init(name: "k", bytes: kernel), initrd: nil, commandLine: "", modules: [])))
      configuration.cpu = try CPUSelection(model)
      let text = sentence { () throws(MachineError) in _ = try Machine(configuration) }
      #expect((text?.contains("--cpu") == true) == (bits64 && model == "pentium3"), "\(text ?? "")")
    }
  }

  @Test func bootSectorNeedsItsSignature() throws {
    var sector = [UInt8](repeating: 0x90, count: 512)
    #expect(sentence { () throws(MachineError) in
      _ = try FlatBinary.loadBootSector(.init(name: "s", bytes: sector), into: bootMemory())
    }?.contains("55 AA") == true)
    sector[510] = 0x55
    sector[511] = 0xAA
    let entry = try FlatBinary.loadBootSector(.init(name: "s", bytes: sector), into: bootMemory())
    #expect(entry.instructionPointer == 0x7C00 && entry.registers[2] == 0x80)
  }

  @Test func flatBinariesMustNotOverlap() {
    let a = BootDescription.Blob(file: .init(name: "a", bytes: [1, 2, 3]), address: 0x1000)
    let b = BootDescription.Blob(file: .init(name: "b", bytes: [1]), address: 0x1002)
    let text = sentence { () throws(MachineError) in _ = try FlatBinary.load([a, b], entry: nil, into: bootMemory()) }
    #expect(text == "b wants memory at 0x1002, which a occupies already")
  }

  @Test func memoryIsAdvisedOnlyWhereItHelps() {
    func refusal(_ address: UInt64) -> String? {
      let blob = BootDescription.Blob(file: .init(name: "a", bytes: [1, 2, 3]), address: address)
      return sentence { () throws(MachineError) in _ = try FlatBinary.load([blob], entry: nil, into: bootMemory()) }
    }
    for address in [0x9_FFFE, 0xA_0000, 0xFEC0_0000, 0xFFFF_FFFE, 1 << 40, .max - 1, .max] as [UInt64] {
      #expect(refusal(address)?.contains("must lie elsewhere") == true, "\(hexadecimal(address))")
    }
    for address in [0x1000_0000, 0x1_0000_0000] as [UInt64] {
      #expect(refusal(address)?.contains("--memory") == true, "\(hexadecimal(address))")
    }
    #expect(refusal(0xC_0000) == nil)
  }

  @Test func imagesAreRecognised() {
    var iso = [UInt8](repeating: 0, count: 0x8010)
    iso.replaceSubrange(0x8001..<0x8006, with: Array("CD001".utf8))
    #expect(ImageKind.detect(iso) == .iso)
    #expect(ImageKind.detect(makeBzImage()) == .linuxBzImage)
    #expect(ImageKind.detect([0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3]) == .qcow2)
    #expect(ImageKind.detect(Array("conectix".utf8)) == .vhd)
    #expect(ImageKind.detect([]) == .unknown)
  }

  @Test func packedFilesAreUnpackedAndDamageIsASentence() throws {
    // gzip of "hello\n".
    let packed: [UInt8] = [
      0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0xE7, 2, 0, 0x20, 0x30, 0x3A, 0x36, 6, 0, 0, 0,
    ]
    #expect(try PackedFile.unpacked(packed, name: "z") == Array("hello\n".utf8))
    #expect(try PackedFile.unpacked([1, 2, 3], name: "z") == [1, 2, 3])
    for length in 3..<packed.count {
      #expect(sentence { () throws(MachineError) in _ = try PackedFile.unpacked(Array(packed[..<length]), name: "z") } != nil)
    }
  }
}
