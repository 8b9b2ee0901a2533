import Testing
import XenolithCore

/// Mapping, reading and writing of memory, page tables, and what bad arguments get.
struct MemoryTests {
  @Test func badRanges() throws {
    let core = try Core(mode: .real)
    try core.mapMemory(at: 0x1000, size: 0x2000)
    #expect(throws: CoreError.unaligned(address: 0x1001, size: 0x1000)) { try core.mapMemory(at: 0x1001, size: 0x1000) }
    #expect(throws: CoreError.unaligned(address: 0x4000, size: 0x10)) { try core.mapMemory(at: 0x4000, size: 0x10) }
    #expect(throws: CoreError.unaligned(address: 0x4000, size: 0)) { try core.mapMemory(at: 0x4000, size: 0) }
    #expect(throws: CoreError.overlap(address: 0x2000, size: 0x1000, with: 0x1000...0x2FFF)) { try core.mapMemory(at: 0x2000, size: 0x1000) }
    #expect(throws: CoreError.overlap(address: 0, size: 0x10000, with: 0x1000...0x2FFF)) { try core.mapMemory(at: 0, size: 0x10000) }
    #expect(throws: CoreError.overlap(address: 0x2FFF, size: 4, with: 0x1000...0x2FFF)) {
      try core.mapDevice(at: 0x2FFF, size: 4, read: { _, _, _ in 0 }, write: { _, _, _, _ in })
    }
    #expect(throws: CoreError.outsideAddressSpace(address: 4 << 30, size: 0x1000, limit: 4 << 30)) { try core.mapMemory(at: 4 << 30, size: 0x1000) }
    #expect(throws: CoreError.outsideAddressSpace(address: 0xFFFF_F000, size: 0x2000, limit: 4 << 30)) {
      try core.mapMemory(at: 0xFFFF_F000, size: 0x2000)
    }
    #expect(throws: CoreError.outsideAddressSpace(address: 0x1000, size: .max & ~0xFFF, limit: 4 << 30)) {
      try core.mapMemory(at: 0x1000, size: .max & ~0xFFF)
    }
    #expect(core.mappedRanges == [0x1000...0x2FFF])
    #expect(throws: CoreError.notMapped(address: 0x2000)) { try core.unmap(at: 0x2000) }
  }

  @Test func badAccesses() throws {
    let core = try Core(mode: .real)
    try core.mapMemory(at: 0x1000, size: 0x1000)
    try core.mapMemory(at: 0x2000, size: 0x1000)
    // Over the border of two pieces, but not over the end.
    try core.write([1, 2, 3, 4] as [UInt8], at: 0x1FFE)
    #expect(try core.read(at: 0x1FFE, as: UInt32.self) == 0x0403_0201)
    #expect(throws: CoreError.notMapped(address: 0x3000)) { try core.write([1, 2] as [UInt8], at: 0x2FFF) }
    #expect(try core.read(at: 0x2FFF, as: UInt8.self) == 0)
    #expect(throws: CoreError.notMapped(address: 0x9000)) { try core.read(at: 0x9000, count: 1) }
    #expect(try core.read(at: 0x9000, count: 0) == [])
  }

  @Test func sentences() {
    #expect("\(CoreError.overlap(address: 0x2000, size: 0x1000, with: 0x1000...0x2FFF))"
      == "0x1000 bytes at 0x2000 overlap what is mapped at 0x1000–0x2fff: unmap that first")
    #expect("\(CoreError.modeNotSupported(mode: "64-bit mode", model: "386"))" == "the CPU model 386 has no 64-bit mode")
  }

  @Test func readOnlyMemory() throws {
    let core = try makeCore([0xC6, 0x04, 0x25, 0, 0, 1, 0, 7, 0xA0, 0, 0, 1, 0, 0, 0, 0, 0, 0xF4])  // mov byte [10000h], 7; mov al, [10000h]
    try core.mapMemory(at: 0x10000, size: 0x1000, writable: false)
    try core.write(5 as UInt8, at: 0x10000)
    #expect(core.run() == .halt)
    #expect(core[.al] == 5)
  }

  /// Memory that is taken away is gone for the processor too, translations and code included; what comes instead is new.
  @Test func unmapping() throws {
    let core = try makeCore([0xA0, 0, 0, 1, 0, 0, 0, 0, 0, 0xF4])  // mov al, [10000h]
    try core.mapMemory(at: 0x10000, size: 0x1000)
    try core.write(5 as UInt8, at: 0x10000)
    #expect(core.run() == .halt)
    #expect(core[.al] == 5)
    try core.unmap(at: 0x10000)
    core[.rip] = codeBase
    #expect(core.run() == .unmapped(PhysicalAccess(address: 0x10000, size: 1, isWrite: false, value: 0xFF)))
    try core.mapMemory(at: 0x10000, size: 0x2000)
    core[.rip] = codeBase
    #expect(core.run() == .halt)
    #expect(core[.al] == 0)
    try core.unmap(at: 0)
    core[.rip] = codeBase
    #expect(core.run() == .unmapped(PhysicalAccess(address: codeBase, size: 1, isWrite: false, value: 0xFF)))
  }

  /// Code that the host writes anew is executed anew.
  @Test func changingCode() throws {
    let core = try makeCore([0xFF, 0xC0, 0xF4])
    #expect(core.run() == .halt)
    try core.write([0xFF, 0xC8] as [UInt8], at: codeBase)  // dec eax
    core[.rip] = codeBase
    #expect(core.run() == .halt)
    #expect(core[.eax] == 0)
  }

  @Test func pages() throws {
    let core = try makeCore([0x8B, 0x07, 0x89, 0x03, 0xF4])  // mov eax, [rdi]; mov [rbx], eax
    let high: UInt64 = 0xFFFF_8000_0000_0000
    try core.mapPages(linear: high, to: 0x9000, size: 0x2000, [.user])
    try core.write(0x1122_3344 as UInt32, linear: high + 0xFFE)
    #expect(core.physicalAddress(ofLinear: high + 0x1004) == 0xA004)
    #expect(try core.read(at: 0x9FFE, as: UInt32.self) == 0x1122_3344)
    core[.rdi] = high + 0xFFE
    core[.rbx] = high
    guard case .exception(let event) = core.run() else { return #expect(Bool(false)) }
    #expect(core[.eax] == 0x1122_3344)
    #expect(event.vector == 14 && event.errorCode == 3 && event.faultAddress == high)
    #expect(throws: CoreError.noTranslation(linear: high + 0x2000)) { try core.read(linear: high + 0x1FFF, count: 2) }
    #expect(throws: CoreError.notCanonical(linear: 0x8000_0000_0000)) { try core.mapPages(linear: 0x8000_0000_0000, to: 0, size: 0x1000) }
    #expect(throws: CoreError.noPageTables) { try Core(mode: .protected32).mapPages(linear: 0, to: 0, size: 0x1000) }
    // Neighbours in the page of 2 MiB that was split are as they were.
    try core.mapPages(linear: 0x5000, to: 0x9000, size: 0x1000)
    #expect(core.physicalAddress(ofLinear: 0x4FFF) == 0x4FFF && core.physicalAddress(ofLinear: 0x5000) == 0x9000)
    #expect(core.physicalAddress(ofLinear: 0x6000) == 0x6000 && core.physicalAddress(ofLinear: 0xFFFF_FFFF) == 0xFFFF_FFFF)
  }

  /// Pages are mapped all or none.
  @Test func pagesThatCannotBeMapped() throws {
    let core = try makeCore([0x8B, 0x07, 0xF4])  // mov eax, [rdi]
    let edge: UInt64 = 0x7FFF_FFFF_F000
    #expect(throws: CoreError.notCanonical(linear: 1 << 47)) { try core.mapPages(linear: edge, to: 0, size: 0x2000) }
    #expect(throws: CoreError.notCanonical(linear: 1 << 47)) { try core.unmapPages(linear: 0x1000, size: 0xFFFF_FFFF_FFFF_E000) }
    #expect(core.physicalAddress(ofLinear: edge) == nil)
    #expect(throws: CoreError.linearRange(linear: 0xFFFF_FFFF_FFFF_F000, size: 0x2000)) {
      try core.mapPages(linear: 0xFFFF_FFFF_FFFF_F000, to: 0x9000, size: 0x2000)
    }
    #expect(core.physicalAddress(ofLinear: 0) == 0 && core.physicalAddress(ofLinear: 0xFFFF_FFFF_FFFF_F000) == nil)
    // Tables are kept in 1 MiB: six at the beginning, three for the first page here, then one for 2 MiB.
    let high: UInt64 = 0xFFFF_8000_0000_0000
    let most: UInt64 = 256 - 6 - 2
    #expect(throws: CoreError.pageTablesFull) { try core.mapPages(linear: high, to: 0, size: (most + 1) << 21) }
    #expect(core.physicalAddress(ofLinear: high) == nil)
    // Nothing is left in the TLB of what was, and all that fits can be mapped.
    core[.rdi] = high
    try core.mapPages(linear: high, to: dataBase, size: most << 21)
    #expect(core.physicalAddress(ofLinear: high + most << 21 - 1) == dataBase + most << 21 - 1)
    #expect(core.run() == .halt)
    #expect(throws: CoreError.pageTablesFull) { try core.unmapPages(linear: high, size: (most + 1) << 21) }
    #expect(core.physicalAddress(ofLinear: high) == dataBase)
    try core.unmapPages(linear: high, size: most << 21)
    core[.rip] = codeBase
    guard case .exception(let event) = core.run() else { return #expect(Bool(false)) }
    #expect(event.vector == 14)
  }

  @Test func sizesAtTheirLimits() throws {
    let core = try Core(addressSpace: .max)
    try core.mapMemory(at: (512 << 30) - 0x1000, size: 0x1000)
    #expect(throws: CoreError.outsideAddressSpace(address: 512 << 30, size: 0x1000, limit: 512 << 30)) { try core.mapMemory(at: 512 << 30, size: 0x1000) }
    #expect(try core.read(at: (512 << 30) - 0x1000, count: -1) == [] && core.read(at: 0, count: 0) == [] && core.read(linear: 0, count: .min) == [])
  }

  /// Rights by privilege, and no-execute.
  @Test func rights() throws {
    let core = try makeCore([])
    try core.enter(.long, privilege: 3)
    #expect(core.privilege == 3)
    try core.write([0xA0, 0, 0x40, 0, 0, 0, 0, 0, 0] as [UInt8], at: codeBase)  // mov al, [4000h]
    try core.mapPages(linear: 0x4000, to: 0x4000, size: 0x1000, [.write])
    core[.rip] = codeBase
    guard case .exception(let event) = core.run() else { return #expect(Bool(false)) }
    #expect(event.vector == 14 && event.errorCode == 5)
    try core.mapPages(linear: codeBase, to: codeBase, size: 0x1000, [.user])
    guard case .exception(let fetch) = core.run() else { return #expect(Bool(false)) }
    #expect(fetch.vector == 14 && fetch.errorCode == 0x15 && fetch.faultAddress == codeBase)
  }

  /// An access across two pages is one event with both physical addresses.
  @Test func pageCrossingAccess() throws {
    let core = try makeCore([0x48, 0x8B, 0x07, 0x48, 0x89, 0x07, 0xF4])  // mov rax, [rdi]; mov [rdi], rax
    try core.mapPages(linear: 0x20_0000, to: 0x4000, size: 0x1000)
    try core.mapPages(linear: 0x20_1000, to: 0x9000, size: 0x1000)
    try core.write(0x8877_6655_4433_2211 as UInt64, linear: 0x20_0FFD)
    core[.rdi] = 0x20_0FFD
    var seen: [MemoryAccess] = []
    core.onMemory { _, access in seen.append(access) }
    #expect(core.run() == .halt)
    #expect(seen.map(\.kind) == [.read, .write])
    for access in seen {
      #expect(access.linear == 0x20_0FFD && access.physical == 0x4FFD && access.secondPage == 0x9000)
      #expect(access.size == 8 && access.value == 0x8877_6655_4433_2211)
    }
    #expect(try core.read(at: 0x9000, count: 5) == [0x44, 0x55, 0x66, 0x77, 0x88])
  }

  /// Accesses that miss the TLB each time, and accesses that hooks see, cost no stack of the host's while decoded blocks run on.
  @Test(arguments: [false, true])
  func missesDoNotPileUp(withHook: Bool) throws {
    // mov eax, [rdi]; mov [rdi + 1000000h], eax; push [rdi]; pop [rdi]; dec ecx; jnz; hlt
    let core = try makeCore([
      0x8B, 0x07, 0x89, 0x87, 0, 0, 0, 1, 0xFF, 0x37, 0x8F, 0x07, 0xFF, 0xC9, 0x75, 0xF0, 0xF4,
    ])
    try core.mapMemory(at: 0x10_0000, size: 33 << 20)
    core[.rdi] = 0x10_0000
    core[.rsp] = 0x210_0008
    core[.ecx] = 300_000
    var accesses = 0
    if withHook { core.onMemory { _, _ in accesses += 1 } }
    #expect(core.run() == .halt)
    #expect(core.retired == 1_800_001 && accesses == (withHook ? 1_800_000 : 0))
  }

  /// Wide operands come in parts of eight bytes, in ascending order.
  @Test func wideAccesses() throws {
    let core = try makeCore([0xC5, 0xFD, 0x6F, 0x07, 0x0F, 0x11, 0x47, 0x20, 0xF4])  // vmovdqa ymm0, [rdi]; movups [rdi+20h], xmm0
    for n in 0..<4 as Range<UInt64> { try core.write(n + 1, at: dataBase + n * 8) }
    core[.rdi] = dataBase
    var seen: [String] = []
    core.onMemory { _, access in seen.append("\(access.kind) \(access.linear - dataBase) \(access.size) \(access.value)") }
    #expect(core.run() == .halt)
    #expect(seen == ["read 0 8 1", "read 8 8 2", "read 16 8 3", "read 24 8 4", "write 32 8 1", "write 40 8 2"])
    #expect(core[ymm: 0] == SIMD4(1, 2, 3, 4))
  }
}
