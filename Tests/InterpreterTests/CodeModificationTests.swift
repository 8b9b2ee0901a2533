import Platform
import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

/// Code that changes after it was decoded: by itself, by another mapping, by a device, or because another page is mapped in its place.
struct CodeModificationTests {
  private func machine(_ code: [UInt8], at offset: UInt64 = 0) -> TestMachine {
    let m = TestMachine()
    m.prepare(.paged64)
    m.write(TestMachine.code + offset, code)
    m.s.pointee.rip = TestMachine.code + offset
    return m
  }

  private func runToHalt(_ m: TestMachine, by step: UInt64) {
    for _ in 0..<1000 where m.s.pointee.activity == .running { _ = m.virtual.run(instructions: step) }
    #expect(m.s.pointee.activity == .halted)
  }

  /// A loop whose second instruction is changed by the fourth, in the same block.
  @Test(arguments: [1, 2, 3, 1000] as [UInt64])
  func sameBlock(step: UInt64) {
    let m = machine([
      0xB0, 0x11,  // mov al, 11h
      0x00, 0xC3,  // add bl, al
      0xFE, 0x05, 0xF7, 0xFF, 0xFF, 0xFF,  // inc byte [the 11h]
      0xFF, 0xC9, 0x75, 0xF2, 0xF4,  // dec ecx; jnz; hlt
    ])
    m.s.pointee.rcx = 5
    runToHalt(m, by: step)
    #expect(m.s.pointee.rbx == 0x11 + 0x12 + 0x13 + 0x14 + 0x15)
    #expect(m.virtual.retired == 26)
  }

  /// The store changes the very next instruction.
  @Test func nextInstruction() {
    let m = machine([0xC6, 0x05, 0x01, 0, 0, 0, 0x22, 0xB0, 0x11, 0xF4])  // mov byte [rip + 1], 22h; mov al, 11h; hlt
    runToHalt(m, by: 100)
    #expect(m.s.pointee.rax == 0x22)
  }

  /// `call f` in a loop that stores into f before, where f is `mov al, n; ret`: on another page, or seen at another linear address.
  @Test(arguments: [(0x12000, 0x12001), (0x12000, 0x102001), (0x10800, 0x100801)] as [(UInt64, UInt64)])
  func function(_ place: (function: UInt64, store: UInt64)) {
    let m = machine([
      0x88, 0x0C, 0x25, UInt8(place.store & 0xFF), UInt8(place.store >> 8 & 0xFF), UInt8(place.store >> 16), 0,  // mov [store], cl
      0xBA, UInt8(place.function & 0xFF), UInt8(place.function >> 8 & 0xFF), UInt8(place.function >> 16), 0,  // mov edx, function
      0xFF, 0xD2, 0x00, 0xC3,  // call rdx; add bl, al
      0xFF, 0xC9, 0x75, 0xEA, 0xF4,  // dec ecx; jnz; hlt
    ])
    m.write(place.function, [0xB0, 0x77, 0xC3])
    m.s.pointee.rcx = 6
    runToHalt(m, by: 1000)
    #expect(m.s.pointee.rbx == 21)
  }

  /// An instruction across a page's end, whose second page is changed (by guest and by device).
  @Test func crossingInstruction() {
    let m = machine([])
    // At 10FFDh: mov eax, imm32 with three of its bytes on page 11000h; ret
    m.write(0x10FFD, [0xB8, 0x01, 0x00, 0x00, 0x00, 0xC3])
    m.write(0x13000, [
      0xE8, 0xF8, 0xDF, 0xFF, 0xFF,  // call 10FFDh
      0x01, 0xC3,  // add ebx, eax
      0xFE, 0x04, 0x25, 0x00, 0x10, 0x01, 0x00,  // inc byte [11000h]
      0xFF, 0xC9, 0x75, 0xEE, 0xF4,
    ])
    m.s.pointee.rip = 0x13000
    m.s.pointee.rcx = 3
    runToHalt(m, by: 1000)
    // 1 + 10001h + 20001h
    #expect(m.s.pointee.rbx == 0x30003)
    m.write(0x11001, [0x07])
    m.s.pointee.rip = 0x13000
    m.s.pointee.rcx = 1
    m.s.pointee.rbx = 0
    m.s.pointee.activity = .running
    runToHalt(m, by: 1000)
    #expect(m.s.pointee.rbx == 0x0703_0001)
  }

  /// A device writes over decoded code, in all the ways devices write.
  @Test func deviceWrites() {
    let m = machine([0xB0, 0x11, 0xF4])
    func again(_ expected: UInt64) {
      m.s.pointee.rip = TestMachine.code
      m.s.pointee.activity = .running
      runToHalt(m, by: 100)
      #expect(m.s.pointee.rax & 0xFF == expected)
    }
    again(0x11)
    m.memory.write(TestMachine.code + 1, 0x12, size: 1)
    again(0x12)
    m.memory.write(TestMachine.code, 0x13B0, size: 2)
    again(0x13)
    m.write(TestMachine.code, [0xB0, 0x14])
    again(0x14)
  }

  /// Data beside code on one page: hundreds of stores must neither be lost nor upset the code.
  @Test func dataBesideCode() {
    let m = machine([
      0xFF, 0x05, 0xFA, 0x0F, 0x00, 0x00,  // inc dword [rip + FFAh], at 11000h, which is code too
      0xFF, 0x05, 0xF4, 0x03, 0x00, 0x00,  // inc dword [rip + 3F4h], at 10400h
      0xFF, 0xC9, 0x75, 0xF0, 0xF4,
    ])
    m.s.pointee.rcx = 3000
    for _ in 0..<10 { _ = m.virtual.run(instructions: 2000) }
    #expect(m.s.pointee.activity == .halted)
    #expect(m.get32(0x11000) == 3000)
    #expect(m.get32(0x10400) == 3000)
  }

  private static let invalidations: [[UInt8]] = [
    [0x0F, 0x01, 0x3C, 0x25, 0x00, 0x00, 0x03, 0x00],  // invlpg [30000h]
    [0x0F, 0x20, 0xDA, 0x0F, 0x22, 0xDA],  // mov rdx, cr3; mov cr3, rdx
  ]

  /// Another page mapped in place of one whose code and data are cached, made known by INVLPG or a load of CR3.
  @Test(arguments: invalidations)
  func remap(invalidation: [UInt8]) {
    let once: [UInt8] = [
      0xB8, 0x00, 0x00, 0x03, 0x00, 0xFF, 0xD0,  // call 30000h
      0xC1, 0xE3, 0x08, 0x08, 0xC3,  // shl ebx, 8; or bl, al
      0xC1, 0xE3, 0x08, 0x0A, 0x1C, 0x25, 0x00, 0x01, 0x03, 0x00,  // shl ebx, 8; or bl, [30100h]
    ]
    let change: [UInt8] = [0xC7, 0x04, 0x25, 0x80, 0x01, 0x04, 0x00, 0x67, 0x10, 0x03, 0x00]  // mov dword [PTE of 30000h], 31067h
    let m = machine(once + change + invalidation + once + [0xF4])
    m.put64(TestMachine.entry(0x40000), 0x83003)
    for (page, value) in [(0x30000, 1), (0x31000, 2)] as [(UInt64, UInt8)] {
      m.write(page, [0xB0, value, 0xC3])
      m.write(page + 0x100, [value + 0x10])
    }
    runToHalt(m, by: 1000)
    #expect(m.s.pointee.rbx == 0x0111_0212)
  }

  /// The same bytes decoded as 32-bit and as 16-bit code.
  @Test func sameBytesInTwoModes() {
    let m = TestMachine()
    let code: [UInt8] = [0xB8, 0x34, 0x12, 0x40, 0x43, 0xF4]  // mov eax, 43401234h; hlt — or mov ax, 1234h; inc ax; inc bx; hlt
    m.prepare(.flat32)
    m.write(TestMachine.code, code)
    runToHalt(m, by: 100)
    #expect(m.s.pointee.rax == 0x4340_1234 && m.virtual.retired == 2)
    var c = m.s.pointee.cs
    c.attributes &= ~0x4000
    m.s.pointee.cs = c
    m.cpu.updateMode()
    m.s.pointee.rip = TestMachine.code
    m.s.pointee.activity = .running
    m.s.pointee.rax = 0
    m.s.pointee.rbx = 0
    runToHalt(m, by: 100)
    #expect(m.s.pointee.rax == 0x1235 && m.s.pointee.rbx == 1 && m.virtual.retired == 6)
  }

  /// Code whose segment ends in the middle of a page is cached apart from the same bytes in a segment that ends elsewhere.
  @Test func segmentLimits() {
    let m = TestMachine()
    m.prepare(.segmented32)
    m.write(0x11000, Array(repeating: 0x90, count: 0x900) + [0xF4])
    m.write(TestMachine.handler, [0xF4])
    func enter(base: UInt64, rip: UInt64) -> UInt64 {
      m.s.pointee.cs.base = base
      m.s.pointee.cs.limit = 0x17FF
      m.cpu.updateMode()
      m.s.pointee.rip = rip
      m.s.pointee.activity = .running
      let before = m.virtual.retired
      #expect(m.virtual.run(instructions: 1000) == .halted)
      return m.virtual.retired - before
    }
    // The byte at 117F0h: far below the limit of the one segment, 16 bytes below that of the other.
    #expect(enter(base: 0x11000, rip: 0x7F0) == 0x111)
    #expect(enter(base: 0x10000, rip: 0x17F0) == 16 + 2)
  }

  /// Another address space maps another function in the place of the first. Code of a global page stays cached over a write to CR3,
  /// with all stamps, until CR4.PGE changes; that of other pages does not (SDM vol. 3A §4.10.4.1).
  @Test(arguments: [true, false])
  func globalPages(global: Bool) {
    let function: UInt64 = 0x30000, other = TestMachine.pageTables + 0x8000
    let m = machine([
      0xFF, 0xD2, 0x89, 0xC6,  // call rdx; mov esi, eax
      0x0F, 0x22, 0xDB, 0xFF, 0xD2, 0x89, 0xC7,  // mov cr3, rbx; call rdx; mov edi, eax
      0x0F, 0x22, 0xE1, 0xFF, 0xD2, 0xF4,  // mov cr4, rcx; call rdx; hlt
    ])
    let bits: UInt64 = global ? 0x107 : 7
    m.put64(TestMachine.entry(TestMachine.code), TestMachine.code | 0x107)
    m.put64(TestMachine.entry(function), function | bits)
    // The other tables: a copy down to the last level, which differs in the function's entry.
    for level in 0..<4 as Range<UInt64> {
      for k in 0..<512 as Range<UInt64> {
        m.put64(other + level << 12 + k * 8, m.get64(TestMachine.pageTables + level << 12 + k * 8))
      }
      if level < 3 { m.put64(other + level << 12, (other + (level + 1) << 12) | 7) }
    }
    m.put64(other + 0x3000 + (function >> 12) * 8, (function + 0x1000) | bits)
    m.write(function, [0xB8, 1, 0, 0, 0, 0xC3])
    m.write(function + 0x1000, [0xB8, 2, 0, 0, 0, 0xC3])
    m.s.pointee.rdx = function
    m.s.pointee.rbx = other
    m.s.pointee.rcx = m.s.pointee.cr4
    m.s.pointee.cr4 |= CR4.PGE
    #expect(m.virtual.run(instructions: 4) == .budgetUsed)
    let stamps = m.s.pointee.supervisorCode.stamps
    #expect(m.s.pointee.rsi == 1 && m.virtual.run(instructions: 5) == .budgetUsed)
    #expect((m.s.pointee.supervisorCode.stamps.translation == stamps.translation) == global)
    runToHalt(m, by: 1000)
    #expect(m.s.pointee.rdi == (global ? 1 : 2))
    #expect(m.s.pointee.rax == 2)
  }
}
