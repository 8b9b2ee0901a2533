import Testing
import XenolithCore

/// Registers, segments, modes and snapshots.
struct StateTests {
  @Test func partsOfRegisters() throws {
    let core = try makeCore([])
    core[.rax] = 0x1122_3344_5566_7788
    #expect(core[.eax] == 0x5566_7788 && core[.ax] == 0x7788 && core[.al] == 0x88 && core[.ah] == 0x77)
    core[.ah] = 0xAB
    core[.al] = 0x1CD
    #expect(core[.rax] == 0x1122_3344_5566_ABCD)
    core[.ax] = 0
    #expect(core[.rax] == 0x1122_3344_5566_0000)
    core[.eax] = 5
    #expect(core[.rax] == 5)
    core[.r10w] = 0xFFFF_1234
    #expect(core[.r10] == 0x1234)
    core[.sil] = 0x7F
    #expect(core[.rsi] == 0x7F)
  }

  /// The value type agrees with the processor.
  @Test func registerValues() throws {
    let core = try makeCore([])
    var values = Registers()
    for (n, register) in Register.general64.enumerated() { values[register] = 0x0101_0101_0101_0101 &* UInt64(n + 1) }
    values.rip = codeBase
    values.rflags = 0x8D7
    core.registers = values
    #expect(core.registers == values)
    for name in ["rax", "ebx", "cx", "dl", "bh", "r15d", "r9b", "spl", "rip", "eflags"] {
      let register = try #require(Register(name))
      #expect(register.description == name)
      #expect(core[register] == values[register])
      values[register] = 0x1234_5678_9ABC_DE02
      core[register] = 0x1234_5678_9ABC_DE02
      if register != .eflags { #expect(core[register] == values[register]) }
    }
    #expect(Register("RAX") == .rax && Register("xyz") == nil)
    var later = values
    later[.r11] = 1
    later.rflags = 2
    #expect(later.changes(since: values) == [.r11, .rflags])
  }

  @Test func flags() throws {
    let core = try makeCore([0x39, 0xC0, 0x9C, 0xF4])  // cmp eax, eax; pushfq
    #expect(core.run() == .halt)
    #expect(core[.rflags] & 0x8D5 == 0x44)
    #expect(try core.read(at: stackTop - 8, as: UInt64.self) == core[.rflags])
    core[.rflags] = 0x8D5
    #expect(core[.rflags] == 0x8D7)
  }

  @Test func vectorAndFloatingPointRegisters() throws {
    let core = try makeCore([0xC5, 0xF5, 0xFE, 0xD1, 0xD9, 0xE8, 0xF4])  // vpaddd ymm2, ymm1, ymm1; fld1
    core[ymm: 1] = SIMD4(1, 2, 3, 4)
    core[xmm: 1] = SIMD2(10, 20)
    #expect(core[ymm: 1] == SIMD4(10, 20, 3, 4))
    #expect(core[st: 0] == nil)
    #expect(core.run() == .halt)
    #expect(core[ymm: 2] == SIMD4(20, 40, 6, 8))
    #expect(core[st: 0] == Extended80(significand: 1 << 63, signExponent: 0x3FFF))
    #expect(core.x87StatusWord == 7 << 11 && core.x87ControlWord == 0x37F && core.mxcsr == 0x1F80)
    core[mm: 3] = 77
    #expect(core[mm: 3] == 77)
  }

  /// The same bytes in each mode: 40h is INC in 16 and 32 bits, and a REX prefix in 64.
  @Test(arguments: Mode.allCases)
  func modes(mode: Mode) throws {
    let core = try makeCore([0x40, 0x90, 0xF4], mode: mode)
    #expect(core.run() == .halt)
    #expect(core[.eax] == (mode == .long ? 0 : 1))
    #expect(core.retired == (mode == .long ? 2 : 3))
    #expect(core[.cr0] & 1 == (mode == .real ? 0 : 1))
    // The stack pointer is as wide as the mode's.
    try core.write([0x50, 0xF4] as [UInt8], at: codeBase)  // push
    core[.rip] = codeBase
    core[.rsp] = stackTop
    #expect(core.run() == .halt)
    let width: UInt64 = mode == .long ? 8 : mode == .protected32 ? 4 : 2
    #expect(core[.rsp] == stackTop - width)
  }

  @Test func models() throws {
    #expect(throws: CoreError.modeNotSupported(mode: "64-bit mode", model: "386")) { try Core(model: .i386) }
    let code: [UInt8] = [0x0F, 0xA2, 0xF4]  // cpuid
    let old = try makeCore(code, mode: .protected32, model: .i386)
    guard case .exception(let event) = old.run() else { return #expect(Bool(false)) }
    #expect(event.vector == 6)
    let pentium = try makeCore(code, mode: .protected32, model: .pentium)
    #expect(pentium.run() == .halt)
    #expect(pentium[.ebx] == 0x756E_6547)
    let reduced = try makeCore([0xC5, 0xF5, 0xFE, 0xD1], model: CPUModel.x86_64v3.with(removing: [.avx2]))
    guard case .exception(let missing) = reduced.run() else { return #expect(Bool(false)) }
    #expect(missing.vector == 6)
  }

  @Test func segments() throws {
    let core = try makeCore([0x64, 0xA1, 0, 0, 0, 0, 0xF4], mode: .protected32)  // mov eax, fs:[0]
    try core.write(99 as UInt32, at: dataBase)
    var fs = core[segment: .fs]
    #expect(fs.base == 0 && fs.limit == .max && fs.isUsable)
    fs.base = dataBase
    fs.limit = 3
    core[segment: .fs] = fs
    #expect(core[segment: .fs] == fs)
    #expect(core.run() == .halt)
    #expect(core[.eax] == 99)
    fs.limit = 2
    core[segment: .fs] = fs
    core[.rip] = codeBase
    guard case .exception(let event) = core.run() else { return #expect(Bool(false)) }
    #expect(event.vector == 13)
  }

  @Test func loadingSelectors() throws {
    let core = try makeCore([], mode: .protected32)
    try core.write(0x00CF_9300_4000_FFFF as UInt64, at: 0xA010)
    core.gdtr = DescriptorTable(base: 0xA000, limit: 0x17)
    try core.load(.es, selector: 0x10)
    #expect(core[segment: .es].base == 0x4000)
    #expect(throws: CoreError.segment(selector: 0x18, vector: 13)) { try core.load(.es, selector: 0x18) }
    #expect(throws: CoreError.segment(selector: 8, vector: 6)) { try core.load(.cs, selector: 8) }
    #expect(core[segment: .es].base == 0x4000)
  }

  @Test func modelSpecificRegisters() throws {
    let core = try makeCore([])
    try core.writeMSR(0xC000_0100, 0x1234)
    #expect(core.readMSR(0xC000_0100) == 0x1234 && core[segment: .fs].base == 0x1234)
    #expect(core.readMSR(0xDEAD_BEEF) == nil)
    #expect(throws: CoreError.modelSpecificRegister(0xC000_0100)) { try core.writeMSR(0xC000_0100, 1 << 63) }
  }

  /// A snapshot brings registers, memory, pages and pending interrupts back, and the run from there is the same.
  @Test func snapshots() throws {
    let core = try makeCore([0xFF, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xFF, 0xC0, 0xEB, 0xF5])  // inc dword [4000h]; inc eax; jmp
    try core.mapPages(linear: 0x20_0000, to: 0x9000, size: 0x1000)
    _ = core.run(count: 30)
    let snapshot = core.snapshot()
    _ = core.run(count: 100)
    let later = core.snapshot()
    #expect(snapshot.hash != later.hash)
    try core.unmapPages(linear: 0x20_0000, size: 0x1000)
    try core.write([0xF4] as [UInt8], at: codeBase)
    try core.restore(snapshot)
    #expect(core.snapshot().hash == snapshot.hash)
    #expect(core[.eax] == 10 && core.retired == 30 && core.physicalAddress(ofLinear: 0x20_0000) == 0x9000)
    _ = core.run(count: 100)
    #expect(core.snapshot().hash == later.hash)
    // Into another core with the same memory.
    let other = try makeCore([])
    try other.restore(snapshot)
    _ = other.run(count: 100)
    #expect(other.snapshot().hash == later.hash)
    // Not into one with other memory or of another model.
    #expect(throws: CoreError.self) { try Core().restore(snapshot) }
    #expect(throws: CoreError.self) { try makeCore([], model: .x86_64v2).restore(snapshot) }
    #expect(throws: CoreError.self) { try makeCore([], model: .x86_64v3.with(removing: [.avx2])).restore(snapshot) }
    let larger = try Core(addressSpace: 8 << 30)
    try larger.mapMemory(at: 0, size: 0x10000)
    let before = larger.snapshot().hash
    #expect(throws: CoreError.self) { try larger.restore(snapshot) }
    #expect(larger.snapshot().hash == before)
  }

  @Test func snapshotOfRegisters() throws {
    let core = try makeCore([0xFF, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xF4])
    let snapshot = core.snapshot(includingMemory: false)
    for n in 1...3 as ClosedRange<UInt32> {
      #expect(core.run() == .halt)
      #expect(try core.read(at: dataBase, as: UInt32.self) == n)
      try core.restore(snapshot)
      #expect(core[.rip] == codeBase && core.retired == 0)
    }
  }

  @Test func disassembly() throws {
    let core = try makeCore([0x8B, 0x47, 0x08], mode: .long)
    #expect(try core.disassembly(atLinear: codeBase) == "mov eax, [rdi+0x08]")
    #expect(try core.disassembly(atLinear: codeBase, syntax: .att) == "mov 0x8(%rdi),%eax")
    #expect(try core.instruction(atLinear: codeBase).mnemonic == .MOV)
    #expect(throws: CoreError.notMapped(address: 0x50000)) { try core.disassembly(atLinear: 0x50000) }
  }
}
