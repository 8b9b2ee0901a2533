import Testing
import XenolithCore

/// What hooks may do to the core that calls them.
struct HookEffectTests {
  /// Registers that a hook changes are what the instruction finds; what an after hook changes, the next one finds.
  @Test func hooksChangeRegisters() throws {
    let core = try makeCore([0x01, 0xD8, 0x01, 0xD8, 0xF4])  // add eax, ebx twice
    core.onInstruction(in: codeBase...codeBase) { core, _ in core[.ebx] = 5 }
    core.afterInstruction(in: codeBase...codeBase) { core, _ in core[.eax] += 100 }
    #expect(core.run() == .halt)
    #expect(core[.eax] == 110)
  }

  /// A before hook that sets RIP leaves the instruction out; the one there gets its own before.
  @Test func hookSkipsInstruction() throws {
    let core = try makeCore([0xFF, 0xC0, 0xFF, 0xC3, 0xF4])  // inc eax; inc ebx
    var seen: [UInt64] = []
    core.onInstruction { core, event in
      seen.append(event.address)
      if event.address == codeBase { core[.rip] = codeBase + 2 }
    }
    #expect(core.run() == .halt)
    #expect(core[.eax] == 0 && core[.ebx] == 1 && core.retired == 2)
    #expect(seen == [codeBase, codeBase + 2, codeBase + 4])
  }

  /// An after hook that sets RIP chooses the next instruction.
  @Test func afterHookJumps() throws {
    let core = try makeCore([0x90, 0xFF, 0xC0, 0xF4])
    core.afterInstruction(in: codeBase...codeBase) { core, _ in core[.rip] = codeBase + 3 }
    #expect(core.run() == .halt)
    #expect(core[.eax] == 0)
  }

  /// Stopped before: not executed, and it is the first of the next run. Stopped after: executed.
  @Test func stopping() throws {
    let core = try makeCore([0xFF, 0xC0, 0xFF, 0xC0, 0xF4])
    let hook = core.onInstruction(in: (codeBase + 2)...(codeBase + 2)) { core, _ in core.stop() }
    #expect(core.run() == .stopped)
    #expect(core[.rip] == codeBase + 2 && core[.eax] == 1 && core.retired == 1)
    #expect(core.run() == .stopped)
    #expect(core.retired == 1)
    core.remove(hook)
    core.afterInstruction { core, _ in core.stop() }
    #expect(core.run() == .stopped)
    #expect(core[.rip] == codeBase + 4 && core[.eax] == 2)
  }

  /// From a memory hook: the instruction is completed. Also without instruction hooks, where decoded blocks run.
  @Test(arguments: [false, true])
  func stoppingOnMemory(withInstructionHook: Bool) throws {
    // mov [4000h], eax; inc eax; inc eax; hlt
    let core = try makeCore([0x89, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xFF, 0xC0, 0xFF, 0xC0, 0xF4])
    core[.eax] = 9
    if withInstructionHook { core.onInstruction { _, _ in } }
    core.onMemory { core, access in
      if access.isWrite { core.stop() }
    }
    #expect(core.run() == .stopped)
    #expect(core[.rip] == codeBase + 7 && core.retired == 1)
    #expect(try core.read(at: dataBase, as: UInt32.self) == 9)
    #expect(core.run() == .halt)
    #expect(core[.eax] == 11)
  }

  /// A stop in the middle of a REP leaves the rest of it for the next run.
  @Test(arguments: [false, true])
  func stoppingInARepetition(withInstructionHook: Bool) throws {
    let core = try makeCore([0xF3, 0xAA, 0xF4])  // rep stosb
    core[.rcx] = 10
    core[.rdi] = dataBase
    if withInstructionHook { core.onInstruction { _, _ in } }
    var writes = 0
    core.onMemory { core, _ in
      writes += 1
      if writes == 4 { core.stop() }
    }
    #expect(core.run() == .stopped)
    #expect(core[.rcx] == 6 && core[.rip] == codeBase && core.retired == 4)
    #expect(core.run() == .halt)
    #expect(writes == 10 && core.retired == 11)
  }

  /// The stop behind an instruction with TF set: its trap comes when the core runs on.
  @Test func stoppingBeforeASingleStepTrap() throws {
    let core = try makeCore([0x90, 0x90])
    core[.rflags] = 0x102
    let hook = core.afterInstruction { core, _ in core.stop() }
    #expect(core.run() == .stopped)
    #expect(core[.rip] == codeBase + 1)
    core.remove(hook)
    guard case .exception(let event) = core.run() else { return #expect(Bool(false)) }
    #expect(event.vector == 1 && core[.rip] == codeBase + 1 && core[.dr6] & 0x4000 != 0)
  }

  /// A hook maps the page that was missing, and the instruction goes through.
  @Test(arguments: [false, true])
  func handlingAPageFault(withInstructionHook: Bool) throws {
    let core = try makeCore([0xC7, 0x04, 0x25, 0x00, 0x00, 0x20, 0, 1, 2, 3, 4, 0xF4])  // mov dword [200000h], 04030201h
    try core.unmapPages(linear: 0x20_0000, size: 0x1000)
    if withInstructionHook { core.onInstruction { _, _ in } }
    var faults = 0
    core.onException { core, event in
      guard let address = event.faultAddress else { return .proceed }
      faults += 1
      try? core.mapPages(linear: address & ~0xFFF, to: 0x9000, size: 0x1000)
      return .handled
    }
    #expect(core.run() == .halt)
    #expect(faults == 1)
    #expect(try core.read(at: 0x9000, as: UInt32.self) == 0x0403_0201)
    // The fault counts as one, as it does where a handler in the guest deals with it.
    #expect(core.retired == 3)
  }

  /// System calls done by a hook: INT 80H is left out and execution goes on behind it.
  @Test(arguments: [false, true])
  func handlingASoftwareInterrupt(withInstructionHook: Bool) throws {
    let core = try makeCore([0xCD, 0x80, 0xFF, 0xC0, 0xCD, 0x80, 0xF4])  // int 80h; inc eax; int 80h; hlt
    if withInstructionHook { core.afterInstruction { _, _ in } }
    core.onException { core, event in
      guard event.kind == .software, event.vector == 0x80 else { return .proceed }
      core[.eax] += 0x10
      return .handled
    }
    #expect(core.run() == .halt)
    #expect(core[.eax] == 0x21 && core[.rsp] == stackTop && core.retired == 4)
  }

  /// The first hook that does not proceed decides.
  @Test func exceptionActions() throws {
    let core = try makeCore([0x0F, 0x0B, 0xF4])
    var asked = 0
    core.onException { _, _ in .stop }
    core.onException { _, _ in
      asked += 1
      return .handled
    }
    #expect(core.run() == .stopped)
    #expect(asked == 0 && core[.rip] == codeBase && core.retired == 0)
  }

  /// Hooks may be added and removed by hooks; that counts from the next instruction on.
  @Test func hooksAddedByHooks() throws {
    let core = try makeCore([0x89, 0x04, 0x25, 0x00, 0x40, 0, 0, 0x90, 0x90, 0xF4])  // mov [4000h], eax; nop; nop; hlt
    var seen: [UInt64] = []
    var first: HookID?
    first = core.onMemory { core, _ in
      if let first { core.remove(first) }
      core.onInstruction { _, event in seen.append(event.address) }
    }
    #expect(core.run() == .halt)
    #expect(seen == [codeBase + 7, codeBase + 8, codeBase + 9])
    #expect(core.retired == 4)
  }

  /// A hook that a before hook adds or removes: nothing is called twice, and nothing is left out.
  @Test func hooksChangedBeforeAnInstruction() throws {
    let core = try makeCore([0x90, 0x90, 0x90, 0xF4])
    var before: [UInt64] = [], after: [UInt64] = []
    var own: HookID?
    own = core.onInstruction { core, event in
      before.append(event.address - codeBase)
      if event.address == codeBase { core.afterInstruction { _, event in after.append(event.address - codeBase) } }
      if event.address == codeBase + 2, let own { core.remove(own) }
    }
    #expect(core.run() == .halt)
    #expect(before == [0, 1, 2] && after == [0, 1, 2, 3] && core.retired == 4)
    // The last hook removes itself: the run goes on without any.
    let other = try makeCore([0x90, 0x90, 0xF4])
    var calls = 0
    var last: HookID?
    last = other.onInstruction { core, _ in
      calls += 1
      if let last { core.remove(last) }
    }
    #expect(other.run(until: codeBase + 2) == .address)
    #expect(calls == 1 && other.retired == 2)
  }

  /// A stop of a run that has not begun does nothing.
  @Test func stopOutsideARun() throws {
    let core = try makeCore([0x90, 0xF4])
    core.stop()
    #expect(core.run() == .halt)
  }
}
