import Testing
import XenolithCore

/// The code of the documentation, compiled and run. Every code block of the catalogue and of README's "As a library" stands here between the two
/// marks, word for word; `DocumentationTests` compares.
struct Snippets {
  @Test func firstRun() throws {
    // [snippet]
    let core = try Core(mode: .long)
    try core.mapMemory(at: 0x1000, size: 0x1000)
    try core.write([0x48, 0x01, 0xD8, 0xF4], at: 0x1000)  // add rax, rbx; hlt
    core[.rax] = 2
    core[.rbx] = 3
    core[.rip] = 0x1000
    let exit = core.run()
    print(exit, core[.rax])  // halted 5
    // [end]
    #expect("\(exit) \(core[.rax])" == "halted 5")
  }

  @Test func ends() throws {
    let core = try makeCore([UInt8](repeating: 0x90, count: 0x300))
    // [snippet]
    core.run(count: 1000)  // .count, if nothing else happens first
    core.run(until: 0x1234)  // .address, in front of the instruction at linear address 1234H
    // [end]
    core[.rip] = codeBase
    #expect(core.run(until: 0x1234) == .address)
  }

  @Test func exceptions() throws {
    let core = try makeCore([0x90, 0x90, 0x90, 0xC6, 0x04, 0x25, 0, 0, 0x40, 0, 1])  // mov byte [400000h], 1
    try addTables(core, handler: codeBase + 0x80)
    try core.unmapPages(linear: 0x40_0000, size: 0x1000)
    // [snippet]
    if case .exception(let event) = core.run() {
      print(event)  // #PF(error 0x2) at 0x1003, address 0x400000
      core.deliver(event)
    }
    // [end]
    #expect(core.recentEvents.last?.vector == 14 && core[.rip] == codeBase + 0x80)
  }

  @Test func handlers() throws {
    let core = try makeCore([0xB0, 0x58, 0xBA, 0xF8, 3, 0, 0, 0xEE, 0xA1, 0, 0, 0x10, 0, 0, 0, 0, 0, 0x89, 0x04, 0x25, 0, 0, 0x10, 0, 0xF4])
    // [snippet]
    try core.mapPorts(0x3F8...0x3F8, write: { _, _, _, byte in
      print(Character(UnicodeScalar(UInt8(byte))), terminator: "")
    })
    try core.mapDevice(
      at: 0x10_0000, size: 8,
      read: { core, offset, size in core.retired },
      write: { core, offset, size, value in core.stop() })
    // [end]
    #expect(core.run() == .stopped)
    #expect(core[.eax] == 3 && core.retired == 5)
  }

  @Test func systemCalls() throws {
    let core = try makeCore([0xCD, 0x80, 0xB8, 1, 0, 0, 0, 0xCD, 0x80])  // int 80h; mov eax, 1; int 80h
    core[.eax] = 4
    // [snippet]
    while core.run() == .softwareInterrupt(vector: 0x80) {
      if core[.eax] == 1 { break }  // exit
      core[.eax] = 0
    }
    // [end]
    #expect(core[.rip] == codeBase + 9)
  }

  @Test func cases() throws {
    let core = try makeCore([0x48, 0x8D, 0x04, 0x49, 0xF4])  // lea rax, [rcx + rcx * 2]
    var results: [Registers] = []
    // [snippet]
    let start = core.snapshot()
    for value in 0..<1000 as Range<UInt64> {
      try core.restore(start)
      core[.rcx] = value
      _ = core.run(count: 100)
      results.append(core.registers)
    }
    // [end]
    #expect(results.count == 1000 && results[7][.rax] == 21)
  }

  @Test func pages() throws {
    let core = try makeCore([])
    // [snippet]
    try core.mapPages(linear: 0xFFFF_8000_0000_0000, to: 0x1000, size: 0x1000, [.execute])
    try core.unmapPages(linear: 0x2000, size: 0x1000)
    // [end]
    #expect(core.physicalAddress(ofLinear: 0xFFFF_8000_0000_0123) == 0x1123 && core.physicalAddress(ofLinear: 0x2000) == nil)
  }

  @Test func hooks() throws {
    let core = try makeCore([0x89, 0x04, 0x25, 0, 0x20, 0, 0, 0xEB, 0, 0xF4])  // mov [2000h], eax; jmp; hlt
    var edges: Set<BranchEvent> = []
    // [snippet]
    core.onInstruction { core, event in print(event.text) }
    core.onMemory([.write], in: 0x2000...0x2FFF) { core, access in print(access.linear, access.value) }
    core.onBranch { core, branch in edges.insert(branch) }
    // [end]
    #expect(core.run() == .halt)
    #expect(edges == [BranchEvent(kind: .jump, from: codeBase + 7, to: codeBase + 9)])
  }

  @Test func leavingOut() throws {
    let core = try makeCore([0x90, 0x90, 0x90, 0x90, 0x90, 0xBB, 1, 0, 0, 0, 0xF4])
    // [snippet]
    core.onInstruction(in: 0x1005...0x1005) { core, _ in core[.rip] = 0x100A }  // leave out what lies there
    // [end]
    #expect(core.run() == .halt)
    #expect(core[.ebx] == 0)
  }

  @Test func repairing() throws {
    let core = try makeCore([0xC6, 0x04, 0x25, 0, 0, 0x40, 0, 1, 0xF4])
    try core.unmapPages(linear: 0x40_0000, size: 0x1000)
    // [snippet]
    core.onException { core, event in
      guard let address = event.faultAddress else { return .proceed }
      try? core.mapPages(linear: address & ~0xFFF, to: 0x8000, size: 0x1000)
      return .handled  // the instruction begins again
    }
    // [end]
    #expect(core.run() == .halt)
    #expect(try core.read(at: 0x8000, as: UInt8.self) == 1)
  }
}
