import Testing
import XenolithCore

/// The order in which hooks are called: what the article "Hooks: what is called when" promises.
struct HookOrderTests {
  private func record(_ code: [UInt8], mode: Mode = .long, system: Bool = false, exits: ExitConditions = .all,
                      _ prepare: (Core) throws -> Void = { _ in }) throws -> (lines: [String], exit: Exit, core: Core) {
    let core = try makeCore(code, mode: mode, exits: exits)
    let recorder = Recorder()
    try prepare(core)
    recorder.attach(core, system: system)
    let exit = core.run(count: 100)
    return (recorder.lines, exit, core)
  }

  @Test func plainInstructions() throws {
    let result = try record([0xFF, 0xC0, 0x90, 0xF4])  // inc eax; nop; hlt
    #expect(result.exit == .halt)
    #expect(result.lines == [
      "before +0 INC", "after +0 INC", "before +2 NOP", "after +2 NOP", "before +3 HLT", "after +3 HLT",
    ])
  }

  /// A memory operand that is changed is read, then written; both between before and after.
  @Test func readModifyWrite() throws {
    let result = try record([0x83, 0x04, 0x25, 0x00, 0x40, 0, 0, 5, 0xF4]) { try $0.write(0x10 as UInt32, at: dataBase) }  // add dword [4000h], 5
    #expect(Array(result.lines.prefix(4)) == ["before +0 ADD", "read 4000 4 10", "write 4000 4 15", "after +0 ADD"])
    #expect(try result.core.read(at: dataBase, as: UInt32.self) == 0x15)
  }

  /// The write hook comes before the write, the read hook after the read.
  @Test func writesAreSeenBeforeTheyHappen() throws {
    let core = try makeCore([0xC6, 0x04, 0x25, 0x00, 0x40, 0, 0, 7, 0xF4])  // mov byte [4000h], 7
    try core.write(3 as UInt8, at: dataBase)
    var old: UInt8?
    core.onMemory { core, access in old = try? core.read(at: access.physical, as: UInt8.self) }
    #expect(core.run() == .halt)
    #expect(old == 3)
    #expect(try core.read(at: dataBase, as: UInt8.self) == 7)
  }

  @Test func branches() throws {
    // cmp eax, eax; jnz +2 (not taken); jz +1; (hlt); call +1; hlt; ret
    let result = try record([0x39, 0xC0, 0x75, 2, 0x74, 1, 0xF4, 0xE8, 1, 0, 0, 0, 0xF4, 0xC3])
    #expect(result.exit == .halt)
    #expect(result.lines == [
      "before +0 CMP", "after +0 CMP", "before +2 JNZ", "after +2 JNZ",
      "before +4 JZ", "branch conditional +4→+7", "after +4 JZ",
      "before +7 CALL", "write 7ff8 8 100c", "branch call +7→+13", "after +7 CALL",
      "before +13 RET", "read 7ff8 8 100c", "branch return +13→+12", "after +13 RET",
      "before +12 HLT", "after +12 HLT",
    ])
  }

  /// A conditional branch to the next instruction is a branch only if it is taken.
  @Test(arguments: [(0x74, true), (0x75, false)] as [(UInt8, Bool)])
  func branchToTheNextInstruction(_ test: (opcode: UInt8, taken: Bool)) throws {
    let result = try record([0x39, 0xC0, test.opcode, 0, 0xF4])
    #expect(result.lines.contains("branch conditional +2→+4") == test.taken)
  }

  @Test func loopBranches() throws {
    let result = try record([0xE2, 0xFE, 0xF4]) { $0[.rcx] = 3 }  // loop to itself
    #expect(result.lines == [
      "before +0 LOOP", "branch conditional +0→+0", "after +0 LOOP", "before +0 LOOP", "branch conditional +0→+0", "after +0 LOOP",
      "before +0 LOOP", "after +0 LOOP", "before +2 HLT", "after +2 HLT",
    ])
  }

  /// Each iteration of a REP is an instruction; with a count of zero there is one that does nothing.
  @Test func repetitions() throws {
    let prepare: (Core) throws -> Void = { core in
      core[.rcx] = 2
      core[.rsi] = dataBase
      core[.rdi] = dataBase + 0x100
      try core.write([0xAA, 0xBB] as [UInt8], at: dataBase)
    }
    let result = try record([0xF3, 0xA4, 0xF4], prepare)  // rep movsb; hlt
    #expect(result.lines == [
      "before +0 MOVSB", "read 4000 1 aa", "write 4100 1 aa", "after +0 MOVSB",
      "before +0 MOVSB", "read 4001 1 bb", "write 4101 1 bb", "after +0 MOVSB", "before +2 HLT", "after +2 HLT",
    ])
    #expect(result.core.retired == 3)
    let none = try record([0xF3, 0xA4, 0xF4])
    #expect(none.lines == ["before +0 MOVSB", "after +0 MOVSB", "before +2 HLT", "after +2 HLT"])
  }

  /// A fault: before, then the exception, and no after; nothing of the instruction has happened.
  @Test func faultingInstruction() throws {
    let result = try record([0x48, 0xFF, 0x04, 0x25, 0xFF, 0x40, 0, 0]) { try $0.mapPages(linear: 0x4000, to: 0x4000, size: 0x1000, []) }
    #expect(result.lines == ["before +0 INC", "exception #PF +0"])
    guard case .exception(let event) = result.exit else { return #expect(Bool(false), "\(result.exit)") }
    // A write fault, for the operand must be writable before it is read.
    #expect(event.vector == 14 && event.errorCode == 3 && event.faultAddress == 0x40FF && event.returnRIP == codeBase)
    #expect(result.core[.rip] == codeBase && result.core.retired == 0)
  }

  /// What cannot be fetched or decoded is an exception and nothing else.
  @Test func undecodableBytes() throws {
    #expect(try record([0x0F, 0xFF]).lines == ["before +0 UD0", "exception #UD +0"])
    #expect(try record([0xD6], mode: .long).lines == ["exception #UD +0"])
    let unmapped = try record([0x90]) { try $0.unmapPages(linear: codeBase, size: 0x1000) }
    #expect(unmapped.lines == ["exception #PF +0"])
  }

  /// Delivered: exception, the processor's own accesses, the branch to the handler; then the handler's instructions.
  @Test func deliveredException() throws {
    let result = try record([0x0F, 0x0B], system: true, exits: .none) { core in  // ud2
      try addTables(core, handler: codeBase + 0x100)
      try core.write([0xF4] as [UInt8], at: codeBase + 0x100)
    }
    #expect(result.exit == .halt)
    #expect(result.lines.first == "before +0 UD2")
    #expect(result.lines[1] == "exception #UD +0")
    let system = result.lines[2..<(result.lines.count - 3)]
    #expect(!system.isEmpty && system.allSatisfy { $0.hasPrefix("system") })
    #expect(system.contains("systemRead b060 8 8e0000081100"))
    #expect(system.contains("systemWrite 7fd8 8 1000"))
    #expect(Array(result.lines.suffix(3)) == ["branch exception +0→+256", "before +256 HLT", "after +256 HLT"])
    // The exception counts, HLT counts; the instruction that raised it does not.
    #expect(result.core.retired == 2)
  }

  /// INT n is an instruction with an after; its exception hook comes before the gate is looked at.
  @Test func softwareInterrupt() throws {
    let result = try record([0xCD, 0x40, 0xF4], exits: .none) { core in
      try addTables(core, handler: codeBase + 0x100)
      try core.write([0x48, 0xCF] as [UInt8], at: codeBase + 0x100)  // iretq
    }
    #expect(result.lines.map { $0.hasPrefix("read") ? "read" : $0 } == [
      "before +0 INT", "exception interrupt 64 +0", "branch softwareInterrupt +0→+256", "after +0 INT",
      "before +256 IRET", "read", "read", "read", "read", "read", "branch interruptReturn +256→+2", "after +256 IRET",
      "before +2 HLT", "after +2 HLT",
    ])
  }

  /// An interrupt from outside comes between two instructions.
  @Test func externalInterrupt() throws {
    let result = try record([0xFB, 0x90, 0x90], exits: .none) { core in  // sti; nop; nop
      try addTables(core, handler: codeBase + 0x100)
      try core.write([0xF4] as [UInt8], at: codeBase + 0x100)
      core.requestInterrupt(vector: 0x33)
    }
    #expect(result.lines == [
      "before +0 STI", "after +0 STI", "before +1 NOP", "after +1 NOP", "exception interrupt 51 +2",
      "branch externalInterrupt +2→+256", "before +256 HLT", "after +256 HLT",
    ])
  }

  /// A single-step trap comes behind the after of its instruction, with RIP at the next.
  @Test func singleStep() throws {
    let result = try record([0x90, 0x90]) { $0[.rflags] = 0x102 }
    #expect(result.lines == ["before +0 NOP", "after +0 NOP", "exception #DB +1"])
    guard case .exception(let event) = result.exit else { return #expect(Bool(false), "\(result.exit)") }
    #expect(event.vector == 1 && event.returnRIP == codeBase + 1)
  }

  /// A fault while a fault is delivered is asked about as well, with its depth.
  @Test func nestedExceptions() throws {
    let core = try makeCore([0x0F, 0x0B], exits: .none)
    var depths: [String] = []
    core.onException { _, event in
      depths.append("\(event.name) \(event.depth)")
      return .proceed
    }
    #expect(core.run(count: 10) == .tripleFault)
    // No IDT: #UD cannot be delivered (#GP), which becomes a double fault, which cannot either.
    #expect(depths == ["#UD 0", "#GP 1", "#DF 3"])
    #expect(core.recentEvents.map(\.vector) == [6, 13, 13, 8, 13])
  }

  /// Hooks of one kind in the order in which they were added; removed ones are gone.
  @Test func orderOfAdding() throws {
    let core = try makeCore([0x90, 0x90, 0x90, 0xF4])
    var calls: [Int] = []
    core.onInstruction { _, _ in calls.append(1) }
    let second = core.onInstruction { _, _ in calls.append(2) }
    core.onInstruction { _, _ in calls.append(3) }
    _ = core.run(count: 1)
    core.remove(second)
    _ = core.run(count: 1)
    #expect(calls == [1, 2, 3, 1, 3])
  }

  @Test func ranges() throws {
    let core = try makeCore([0x90, 0x90, 0x90, 0xA1, 0xFE, 0x3F, 0, 0, 0, 0, 0, 0, 0xF4])  // nop ×3; mov eax, [3FFEh]; hlt
    var seen: [UInt64] = [], touched = 0, missed = 0
    core.onInstruction(in: (codeBase + 1)...(codeBase + 2)) { _, event in seen.append(event.address) }
    // Any byte of the access counts.
    core.onMemory(in: 0x4001...0x4001) { _, _ in touched += 1 }
    core.onMemory(in: 0x4002...0x5000) { _, _ in missed += 1 }
    #expect(core.run() == .halt)
    #expect(seen == [codeBase + 1, codeBase + 2])
    #expect(touched == 1 && missed == 0)
  }
}
