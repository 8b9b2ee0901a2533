import Platform
import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

/// Interrupts, NMI, shadows, single steps, breakpoints and HLT, with blocks running.
struct EventTests {
  /// Return address in the frame of an event without error code, on the stack of IST 1.
  private static let frameRIP: UInt64 = 0x1F000 - 40

  /// 64-bit code; the handler of all vectors counts at 6000h and returns, or halts.
  private func machine(_ code: [UInt8], halting: Bool = false) -> TestMachine {
    let m = TestMachine()
    m.prepare(.paged64)
    m.write(TestMachine.handler, halting ? [0xF4] : [0xFF, 0x04, 0x25, 0x00, 0x60, 0x00, 0x00, 0x48, 0xCF])
    m.write(TestMachine.code, code)
    return m
  }
  private func frameOffset(_ m: TestMachine) -> UInt64 { m.get64(Self.frameRIP) &- TestMachine.code }
  private func events(_ m: TestMachine) -> UInt32 { m.get32(TestMachine.counter) }

  private func request(_ m: TestMachine, _ vectors: UInt8...) {
    m.bus.vectors = vectors
    m.virtual.setInterruptRequest(true)
  }

  /// STI lets one more instruction through; a second STI does not prolong that.
  @Test(arguments: [([0x90, 0xFB, 0x90, 0x90, 0xF4], 3), ([0xFB, 0xFB, 0x90, 0xF4], 2), ([0xFB, 0xFA, 0x90, 0xF4], 0)]
    as [([UInt8], UInt64)])
  func interruptShadow(_ test: (code: [UInt8], offset: UInt64)) {
    let m = machine(test.code, halting: true)
    request(m, 0x40)
    #expect(m.virtual.run(instructions: 100) == .halted)
    if test.offset == 0 {
      // CLI in the shadow: no interrupt at all, and the halt is the program's.
      #expect(m.s.pointee.rip == TestMachine.code + 4 && m.bus.vectors == [0x40])
    } else {
      #expect(frameOffset(m) == test.offset && m.bus.vectors.isEmpty)
    }
  }

  /// MOV SS holds interrupts, NMIs and debug traps back for one instruction.
  @Test func stackSegmentShadow() {
    let m = machine([0x90, 0x8E, 0xD0, 0x90, 0x90, 0xF4], halting: true)  // nop; mov ss, eax; nop …
    m.s.pointee.rax = 0x10
    m.s.pointee.systemFlags |= RFLAGS.IF
    _ = m.virtual.run(instructions: 2)
    request(m, 0x40)
    m.virtual.signalNMI()
    _ = m.virtual.run(instructions: 1)
    // The NMI first; the interrupt waits for its handler, which has IF clear.
    #expect(frameOffset(m) == 4 && m.s.pointee.nmiBlocked)
  }

  /// NMIs do not nest; IRET allows the next.
  @Test func nonMaskable() {
    let m = machine([0x90, 0x90, 0x90, 0xF4])
    m.virtual.signalNMI()
    _ = m.virtual.run(instructions: 1)
    m.virtual.signalNMI()
    #expect(m.s.pointee.nmiBlocked)
    _ = m.virtual.run(instructions: 1)
    #expect(events(m) == 1 && frameOffset(m) == 0)
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(events(m) == 2 && !m.s.pointee.nmiBlocked)
  }

  @Test func haltAndWake() {
    let m = machine([0xFB, 0xF4, 0xB0, 0x07, 0xFA, 0xF4])  // sti; hlt; mov al, 7; cli; hlt
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(m.virtual.retired == 2)
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(m.virtual.retired == 2)
    request(m, 0x41)
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(events(m) == 1 && m.s.pointee.rax == 7 && frameOffset(m) == 2)
    // With IF clear an interrupt does not wake; an NMI does.
    request(m, 0x41)
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(events(m) == 1)
    m.virtual.signalNMI()
    #expect(m.virtual.run(instructions: 2) == .budgetUsed)
    #expect(events(m) == 2)
  }

  /// An interrupt that a device raises while its port is written is taken before the next instruction.
  @Test func interruptFromPort() {
    let m = machine([0x90, 0x90, 0xEE, 0x90, 0x90, 0xF4], halting: true)  // out dx, al
    m.s.pointee.systemFlags |= RFLAGS.IF
    m.bus.onPortWrite = { [unowned m] _, _ in self.request(m, 0x42) }
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(frameOffset(m) == 3 && m.virtual.retired == 4)
  }

  /// A stop asked for in the middle of a block comes right behind the instruction.
  @Test func stopFromPort() {
    let m = machine([0x90, 0xEE, 0x90, 0xF4])
    m.bus.onPortWrite = { [unowned m] _, _ in m.virtual.requestStop() }
    #expect(m.virtual.run(instructions: 100) == .stopRequested)
    #expect(m.virtual.retired == 2 && m.s.pointee.rip == TestMachine.code + 2)
    #expect(m.virtual.run(instructions: 100) == .halted)
  }

  /// INTO without an overflow delivers nothing: the single-step trap comes behind it as behind any other instruction.
  @Test func singleStepOfINTO() {
    let m = TestMachine()
    m.prepare(.flat32)
    m.write(TestMachine.handler, [0xF4])
    m.write(TestMachine.code, [0xCE, 0x90, 0xF4])
    m.s.pointee.systemFlags |= RFLAGS.TF
    #expect(m.virtual.run(instructions: 10) == .halted)
    #expect(m.s.pointee.rip == TestMachine.handler + 1)
    #expect(m.get32(m.s.pointee.rsp) == UInt32(TestMachine.code) + 1)
  }

  /// TF set by POPF: the instruction behind is the first to trap; a REP traps behind each iteration.
  @Test(arguments: [1, 1000] as [UInt64])
  func singleStep(portion: UInt64) {
    let m = machine([
      0x9C, 0x80, 0x4C, 0x24, 0x01, 0x01, 0x9D,  // pushf; or byte [rsp + 1], 1; popf
      0x90,  // one
      0xF3, 0xAA,  // rep stosb, three times
      0x9C, 0x80, 0x64, 0x24, 0x01, 0xFE, 0x9D,  // pushf, and, popf: two more and the popf itself
      0x90, 0xF4,
    ])
    m.s.pointee.rcx = 3
    m.s.pointee.rdi = TestMachine.data
    for _ in 0..<200 where m.s.pointee.activity == .running { _ = m.virtual.run(instructions: portion) }
    #expect(events(m) == 7)
    #expect(m.s.pointee.dr6 & 0x4000 != 0)
    #expect(m.s.pointee.activity == .halted && m.s.pointee.rip == TestMachine.code + 19)
  }

  /// An instruction breakpoint in the middle of what would be a block.
  @Test func codeBreakpoint() {
    let m = machine([0xFF, 0xC0, 0xFF, 0xC0, 0xFF, 0xC0, 0x48, 0xFF, 0xC9, 0x75, 0xF5, 0xF4])  // three inc eax, dec rcx, jnz
    m.s.pointee.rcx = 2
    // Decoded before the breakpoint is there.
    _ = m.virtual.run(instructions: 5)
    m.cpu.setDebugRegister(0, TestMachine.code + 2)
    m.cpu.setDebugRegister(7, 1)
    // The frame of an instruction breakpoint has RF clear; its handler sets RF there (SDM vol. 3B §18.3.1.1).
    m.write(TestMachine.handler, [0xFF, 0x04, 0x25, 0x00, 0x60, 0x00, 0x00, 0x80, 0x4C, 0x24, 0x12, 0x01, 0x48, 0xCF])
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(events(m) == 1 && frameOffset(m) == 2 && m.s.pointee.rax == 6 && m.s.pointee.dr6 & 0xF == 1)
  }

  /// RF lasts for one instruction, also for one that jumps to itself: the breakpoint hits its second execution.
  @Test func resumeFlagAndTheShortestLoop() {
    let m = machine([0xEB, 0xFE], halting: true)
    m.cpu.setDebugRegister(0, TestMachine.code)
    m.cpu.setDebugRegister(7, 1)
    m.s.pointee.systemFlags |= RFLAGS.RF
    #expect(m.virtual.run(instructions: 100) == .halted)
    // The jump, the #DB, HLT.
    #expect(m.virtual.retired == 3 && frameOffset(m) == 0 && m.s.pointee.dr6 & 0xF == 1)
  }

  /// The iterations of a string instruction are one instruction to RF.
  @Test func resumeFlagAndRepetition() {
    let m = machine([0xF3, 0xAA, 0xF4])  // rep stosb
    m.s.pointee.rcx = 5
    m.s.pointee.rdi = TestMachine.data
    m.cpu.setDebugRegister(0, TestMachine.code)
    m.cpu.setDebugRegister(7, 1)
    m.s.pointee.systemFlags |= RFLAGS.RF
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(events(m) == 0 && m.s.pointee.rcx == 0 && m.s.pointee.systemFlags & RFLAGS.RF == 0)
  }

  /// A start-up message right behind an INIT counts, one before it does not.
  @Test func startUpFollowsINIT() {
    let m = machine([])
    m.write(0x8000, [0xF4])
    m.s.pointee.apicBase &= ~(1 << 8)
    m.virtual.signalINIT()
    m.virtual.signalStartup(vector: 8)
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(m.s.pointee.cs.base == 0x8000 && m.s.pointee.rip == 1)
    m.virtual.signalStartup(vector: 8)
    m.virtual.signalINIT()
    #expect(m.virtual.run(instructions: 100) == .waitForSIPI)
  }

  /// A data breakpoint is reported behind the instruction that hits it, also where other instructions of a block follow.
  @Test(arguments: [1, 1000] as [UInt64])
  func dataBreakpoint(portion: UInt64) {
    let m = machine([0x90, 0x89, 0x07, 0x90, 0x90, 0x90, 0xF4])  // nop; mov [rdi], eax; nop …
    m.s.pointee.rdi = TestMachine.data
    m.cpu.setDebugRegister(1, TestMachine.data + 2)
    m.cpu.setDebugRegister(7, 0x0010_0004)  // L1, write, one byte
    for _ in 0..<100 where m.s.pointee.activity == .running { _ = m.virtual.run(instructions: portion) }
    #expect(events(m) == 1)
    #expect(frameOffset(m) == 3)
    #expect(m.s.pointee.dr6 & 0xF == 2)
  }

  /// A push that hits a data breakpoint, with the stack page's entry in use before.
  @Test func dataBreakpointOnStack() {
    let m = machine([0x50, 0x50, 0x50, 0x90, 0xF4])
    _ = m.virtual.run(instructions: 1)
    m.cpu.setDebugRegister(0, TestMachine.stackTop - 24)
    m.cpu.setDebugRegister(7, 0x0009_0001)
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(events(m) == 1 && frameOffset(m) == 3)
  }

  /// A hit by the load of SS is reported behind the next instruction.
  @Test func dataBreakpointBehindStackSegment() {
    let m = machine([0x90, 0x8E, 0x17, 0x90, 0x90, 0xF4])  // mov ss, [rdi]
    m.s.pointee.rdi = TestMachine.data
    m.put16(TestMachine.data, 0x10)
    m.cpu.setDebugRegister(0, TestMachine.data)
    m.cpu.setDebugRegister(7, 0x0003_0001)
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(events(m) == 1 && frameOffset(m) == 4)
  }

  /// A load of SS suppresses the breakpoint of the next instruction, not that of the one after it (SDM vol. 3B §18.3.1.1).
  @Test(arguments: [2 as UInt64, 3])
  func codeBreakpointBehindStackSegment(offset: UInt64) {
    let m = machine([0x8E, 0xD0, 0x90, 0x90, 0xF4])  // mov ss, eax
    m.s.pointee.rax = 0x10
    m.cpu.setDebugRegister(0, TestMachine.code + offset)
    m.cpu.setDebugRegister(7, 1)
    m.write(TestMachine.handler, [0xFF, 0x04, 0x25, 0x00, 0x60, 0x00, 0x00, 0x80, 0x4C, 0x24, 0x12, 0x01, 0x48, 0xCF])
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(events(m) == (offset == 2 ? 0 : 1))
  }

  /// Three faults on top of each other end in shutdown, not in a loop.
  @Test func tripleFault() {
    let m = machine([0x0F, 0x0B])
    m.s.pointee.idtr.limit = 0
    #expect(m.virtual.run(instructions: 1000) == .shutdown)
    #expect(m.virtual.run(instructions: 1000) == .shutdown)
  }
}
