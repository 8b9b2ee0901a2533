import Testing
import XenolithCore

/// Every reason for which a run ends, and the state it leaves.
struct ExitTests {
  @Test func count() throws {
    let core = try makeCore([0x90, 0x90, 0x90, 0xF4])
    #expect(core.run(count: 2) == .count)
    #expect(core[.rip] == codeBase + 2 && core.retired == 2)
    #expect(core.run(count: 0) == .count)
    #expect(core.retired == 2)
  }

  /// The run stops in front of the instruction, however it comes there, and as often as it comes there.
  @Test(arguments: [false, true])
  func address(withInstructionHook: Bool) throws {
    let core = try makeCore([0xFF, 0xC0, 0xFF, 0xC3, 0xFF, 0xC9, 0x75, 0xF8, 0xF4])  // inc eax; inc ebx; dec ecx; jnz; hlt
    core[.ecx] = 3
    if withInstructionHook { core.onInstruction { _, _ in } }
    // Decoded as one block first.
    #expect(core.run(count: 4) == .count)
    #expect(core.run(until: codeBase + 2) == .address)
    #expect(core[.rip] == codeBase + 2 && core[.eax] == 2 && core[.ebx] == 1)
    #expect(core.run(until: codeBase + 2) == .address)
    #expect(core[.eax] == 3 && core[.ebx] == 2 && core[.ecx] == 1)
    #expect(core.run(until: codeBase + 2) == .halt)
    #expect(core[.ebx] == 3)
  }

  /// Falling through, by a jump, by a return, and across a page.
  @Test func addressByEveryWay() throws {
    let core = try makeCore([0xE8, 0x01, 0, 0, 0, 0xF4, 0xC3])  // call +6; hlt; ret
    #expect(core.run(until: codeBase + 5) == .address)
    core[.rip] = codeBase
    #expect(core.run(until: codeBase + 5) == .address)
    core[.rip] = codeBase
    #expect(core.run() == .halt)
    core[.rip] = codeBase
    #expect(core.run(until: codeBase + 6) == .address)
    try core.write([0xE9, 0xF7, 0x0F, 0, 0], at: codeBase + 4)  // jmp 2000h
    try core.write([0x90, 0xEB, 0xFD] as [UInt8], at: 0x2000)  // nop; jmp to it
    core[.rip] = codeBase + 4
    #expect(core.run(count: 100, until: 0x2000) == .address)
    #expect(core.run(count: 100, until: 0x2001) == .address)
    #expect(core.run(count: 100, until: 0x2000) == .address)
    #expect(core.run(count: 100, until: 0x2004) == .count)
  }

  /// The address counts before the number of instructions, and a run of none reaches nothing.
  @Test func addressAndCount() throws {
    let core = try makeCore([0x90, 0x90, 0xF4])
    #expect(core.run(count: 2, until: codeBase + 2) == .address)
    #expect(core.run(count: 0, until: codeBase + 2) == .count)
    core[.rip] = codeBase
    #expect(core.run(count: 1, until: codeBase + 2) == .count)
  }

  /// A run that begins at its end, at a repeated instruction: all of it is left.
  @Test(arguments: [false, true])
  func addressOfARepetition(withInstructionHook: Bool) throws {
    let core = try makeCore([0xF3, 0xAA, 0xEB, 0xFC])  // rep stosb; jmp back
    if withInstructionHook { core.onInstruction { _, _ in } }
    core[.rcx] = 5
    core[.rdi] = dataBase
    #expect(core.run(count: 100, until: codeBase) == .address)
    #expect(core[.rcx] == 0 && core.retired == 6)
  }

  /// In real mode the address is linear: the base of CS counts.
  @Test func addressWithSegmentBase() throws {
    let core = try makeCore([0x90, 0x90, 0xF4], mode: .real)
    core[segment: .cs] = .real(0x100, isCode: true)
    core[.rip] = 0
    #expect(core.instructionAddress == codeBase)
    #expect(core.run(until: codeBase + 2) == .address)
    #expect(core[.ip] == 2)
  }

  @Test func halt() throws {
    let core = try makeCore([0xF4, 0x90, 0xF4])
    #expect(core.run() == .halt)
    #expect(core[.rip] == codeBase + 1)
    // It stays halted; a new RIP wakes it.
    #expect(core.run() == .halt)
    #expect(core.retired == 1)
    core[.rip] = codeBase + 1
    #expect(core.run() == .halt)
    #expect(core.retired == 3)
  }

  @Test func exceptions() throws {
    // div ecx with ecx 0
    let core = try makeCore([0xF7, 0xF1, 0xF4])
    guard case .exception(let event) = core.run() else { return #expect(Bool(false)) }
    #expect(event.vector == 0 && event.name == "#DE" && event.errorCode == nil && event.faultAddress == nil && event.kind == .exception)
    #expect(event.instruction == codeBase && core[.rip] == codeBase)
    // It begins again, now with another divisor.
    core[.ecx] = 1
    #expect(core.run() == .halt)
  }

  /// The event that ended a run can be handed to the guest after all.
  @Test func deliveringAfterAll() throws {
    let core = try makeCore([0x0F, 0x0B])
    try addTables(core, handler: codeBase + 0x80)
    try core.write([0xF4] as [UInt8], at: codeBase + 0x80)
    guard case .exception(let event) = core.run() else { return #expect(Bool(false)) }
    // Exception hooks are not asked; the processor's accesses are reported.
    var pushed: [UInt64] = []
    core.onException { _, _ in .stop }
    core.onMemory([.systemWrite]) { _, access in pushed.append(access.value) }
    core.deliver(event)
    #expect(core[.rip] == codeBase + 0x80)
    #expect(pushed.last == codeBase)
    #expect(try core.read(at: stackTop - 40, as: UInt64.self) == codeBase)
    #expect(core.run() == .halt)
  }

  /// The decoded fast path and the instrumented loop end alike.
  @Test(arguments: [[0xCD, 0x21], [0xCC], [0xF1]] as [[UInt8]], [false, true])
  func softwareInterrupts(code: [UInt8], withInstructionHook: Bool) throws {
    let core = try makeCore(code + [0xF4])
    if withInstructionHook { core.onInstruction { _, _ in } }
    let vector: UInt8 = code[0] == 0xCD ? 0x21 : code[0] == 0xCC ? 3 : 1
    #expect(core.run() == .softwareInterrupt(vector: vector))
    #expect(core[.rip] == codeBase + UInt64(code.count) && core.retired == 1 && core[.rsp] == stackTop)
    #expect(core.run() == .halt)
  }

  @Test(arguments: [false, true])
  func systemCalls(withInstructionHook: Bool) throws {
    let core = try makeCore([0x0F, 0x05, 0xF4])
    if withInstructionHook { core.onBranch { _, _ in } }
    core[.rcx] = 7
    #expect(core.run() == .systemCall(.syscall))
    #expect(core[.rip] == codeBase + 2 && core[.rcx] == 7)
    // Carried out where the guest has it.
    core.exits = .none
    core[.rip] = codeBase
    try core.writeMSR(0xC000_0082, 0x1800)
    try core.write([0xF4] as [UInt8], at: 0x1800)
    #expect(core.run() == .halt)
    #expect(core[.rip] == 0x1801 && core[.rcx] == codeBase + 2)
  }

  @Test func ports() throws {
    let core = try makeCore([0xE4, 0x60, 0xE6, 0x61, 0xEF, 0xF4])  // in al, 60h; out 61h, al; out dx, eax; hlt
    var written: [UInt32] = []
    try core.mapPorts(0x60...0x61, read: { _, port, size in port == 0x60 && size == 1 ? 0xFF55 : 0 },
                      write: { _, _, _, value in written.append(value) })
    core[.eax] = 0x1234_5600
    core[.dx] = 0x3F8
    #expect(core.run() == .port(PortAccess(port: 0x3F8, size: 4, isWrite: true, value: 0x1234_5655)))
    #expect(written == [0x55])
    #expect(core[.rip] == codeBase + 5 && core.retired == 3)
    #expect(throws: CoreError.portsTaken(0x60...0x61)) { try core.mapPorts(0x61...0x70, read: { _, _, _ in 0 }) }
    // An input without a handler has read ones.
    core[.rip] = codeBase
    try core.write([0xEC, 0xF4] as [UInt8], at: codeBase)  // in al, dx
    #expect(core.run() == .port(PortAccess(port: 0x3F8, size: 1, isWrite: false, value: 0xFF)))
    #expect(core[.al] == 0xFF)
  }

  @Test func devices() throws {
    let core = try makeCore([0xA1, 0x08, 0, 2, 0, 0, 0, 0, 0, 0x89, 0x04, 0x25, 0x0C, 0, 2, 0, 0xF4])  // mov eax, [20008h]; mov [2000Ch], eax; hlt
    var written: [(UInt64, Int, UInt64)] = []
    try core.mapDevice(at: 0x20000, size: 16, read: { _, offset, size in offset << 8 | UInt64(size) },
                       write: { _, offset, size, value in written.append((offset, size, value)) })
    #expect(core.run() == .halt)
    #expect(core[.eax] == 0x804)
    #expect(written.count == 1 && written[0] == (12, 4, 0x804))
  }

  /// A handler may stop the run; the instruction is completed.
  @Test func handlersStop() throws {
    let core = try makeCore([0xE6, 0x80, 0x90, 0xF4])  // out 80h, al
    try core.mapPorts(0x80...0x80, write: { core, _, _, _ in core.stop() })
    #expect(core.run() == .stopped)
    #expect(core[.rip] == codeBase + 2)
  }

  @Test(arguments: [false, true])
  func unmappedMemory(withInstructionHook: Bool) throws {
    let core = try makeCore([0xA1, 0, 0, 3, 0, 0, 0, 0, 0, 0xF4])  // mov eax, [30000h]
    if withInstructionHook { core.onInstruction { _, _ in } }
    #expect(core.run() == .unmapped(PhysicalAccess(address: 0x30000, size: 4, isWrite: false, value: 0xFFFF_FFFF)))
    #expect(core[.eax] == 0xFFFF_FFFF && core[.rip] == codeBase + 9)
    // Code where nothing is has not been executed, also if it begins in memory.
    core[.rip] = 0x30000
    #expect(core.run() == .unmapped(PhysicalAccess(address: 0x30000, size: 1, isWrite: false, value: 0xFF)))
    #expect(core[.rip] == 0x30000)
    try core.write([0xB8, 0xFF] as [UInt8], at: 0xFFFE)  // the first bytes of mov eax, imm32
    core[.rip] = 0xFFFE
    core[.eax] = 1
    #expect(core.run() == .unmapped(PhysicalAccess(address: 0x10000, size: 1, isWrite: false, value: 0xFF)))
    #expect(core[.rip] == 0xFFFE && core[.eax] == 1)
    // On a computer it reads ones.
    core.exits = .none
    core[.rip] = codeBase
    #expect(core.run() == .halt)
  }

  @Test func tripleFault() throws {
    let core = try makeCore([0x0F, 0x0B], exits: .none)
    #expect(core.run() == .tripleFault)
    #expect(core.run() == .tripleFault)
    #expect(core.recentEvents.contains { $0.vector == 8 })
    core.reset()
    #expect(core[.rip] == 0xFFF0 && core[segment: .cs].base == 0xFFFF_0000)
  }

  /// An interrupt wakes a halted processor; those behind it wait for IF.
  @Test func interrupts() throws {
    let core = try makeCore([0xFB, 0xF4, 0x90, 0xF4])  // sti; hlt; nop; hlt
    try addTables(core, handler: codeBase + 0x80)
    try core.write([0xFF, 0xC3, 0x48, 0xCF] as [UInt8], at: codeBase + 0x80)  // inc ebx; iretq
    #expect(core.run() == .halt)
    core.requestInterrupt(vector: 0x20)
    core.requestInterrupt(vector: 0x21)
    #expect(core.run() == .halt)
    #expect(core[.ebx] == 2 && core[.rip] == codeBase + 4)
    core.requestNMI()
    #expect(core.run(count: 2) == .count)
    #expect(core[.ebx] == 3)
  }

  /// Each exit says in a sentence what happened.
  @Test func descriptions() throws {
    let core = try makeCore([0xFF, 0x34, 0x25, 0, 0, 0x40, 0])  // push [400000h]
    try core.unmapPages(linear: 0x40_0000, size: 0x1000)
    #expect("\(core.run())" == "exception #PF(error 0x0) at 0x1000, address 0x400000")
    #expect("\(Exit.port(PortAccess(port: 0x3F8, size: 1, isWrite: false, value: 0xFF)))"
      == "1 bytes read from port 0x3f8, which has no handler")
  }
}
