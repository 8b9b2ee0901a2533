import Platform
import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

/// Faults in the middle of blocks and pairs: RIP, flags, CR2, registers and count must be those of the instruction that faults.
struct FaultTests {
  /// Frame that the halting handler leaves on the stack of IST 1: error code, RIP, CS, RFLAGS, RSP, SS.
  private static let frameWithCode: UInt64 = 0x1F000 - 48

  /// Code in 64-bit mode with a handler that halts. Page 16000h is read-only, 17000h absent.
  private func run(_ code: [UInt8], steps: UInt64 = 100, _ prepare: (TestMachine) -> Void = { _ in }) -> TestMachine {
    let m = TestMachine()
    m.prepare(.paged64)
    m.write(TestMachine.handler, [0xF4])
    m.write(TestMachine.code, code)
    prepare(m)
    for _ in 0..<200 where m.s.pointee.activity == .running { _ = m.virtual.run(instructions: steps) }
    #expect(m.s.pointee.activity == .halted)
    return m
  }

  private struct Fault: Equatable {
    var code: UInt64, rip: UInt64, flags: UInt64, cr2: UInt64, retired: UInt64
  }

  /// - Returns: the frame; `retired` is the number of instructions before the faulting one.
  private func fault(_ m: TestMachine) -> Fault {
    let f = Self.frameWithCode
    // The exception and the HLT of its handler count one each.
    return Fault(code: m.get64(f), rip: m.get64(f + 8) - TestMachine.code, flags: m.get64(f + 24) & RFLAGS.status, cr2: m.s.pointee.cr2,
                 retired: m.virtual.retired - 2)
  }

  @Test(arguments: [1, 2, 100] as [UInt64])
  func loadBehindDeadFlags(steps: UInt64) {
    let m = run([
      0x01, 0xD8,  // add eax, ebx: nobody reads its flags
      0x29, 0xCA,  // sub edx, ecx: 0 − 1
      0x48, 0x8B, 0x37,  // mov rsi, [rdi]: faults
      0x39, 0xC0, 0xF4,  // cmp eax, eax; hlt
    ], steps: steps) {
      $0.s.pointee.rcx = 1
      $0.s.pointee.rdi = 0x17010
    }
    #expect(fault(m) == Fault(code: 0, rip: 4, flags: RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.SF, cr2: 0x17010, retired: 2))
  }

  /// DIV faults after an operation whose flags a later one overwrites.
  @Test func divideBehindDeadFlags() {
    let m = run([
      0x39, 0xC8,  // cmp eax, ecx: equal
      0xF7, 0xF3,  // div ebx: by zero
      0x39, 0xD8, 0x29, 0xC0, 0xF4,
    ])
    // #DE has no error code.
    let frame = Self.frameWithCode + 8
    #expect(m.get64(frame) == TestMachine.code + 2)
    #expect(m.get64(frame + 16) & RFLAGS.status == RFLAGS.ZF | RFLAGS.PF)
    #expect(m.virtual.retired == 3)
  }

  /// Loads and stores across a page's end whose second page is absent change nothing.
  @Test func crossings() {
    let load = run([0x90, 0x48, 0x8B, 0x07, 0xF4]) {
      $0.s.pointee.rdi = 0x16FFC
      $0.s.pointee.rax = 7
    }
    #expect(fault(load) == Fault(code: 0, rip: 1, flags: 0, cr2: 0x17000, retired: 1))
    #expect(load.s.pointee.rax == 7)
    let store = run([0x90, 0x48, 0x89, 0x07, 0xF4]) {
      $0.put64(TestMachine.entry(0x16000), 0x16007)
      $0.s.pointee.rdi = 0x16FFC
      $0.s.pointee.rax = ~0
    }
    #expect(fault(store) == Fault(code: 2, rip: 1, flags: 0, cr2: 0x17000, retired: 1))
    #expect(store.get32(0x16FFC) == 0)
    let modify = run([0x90, 0x48, 0x01, 0x07, 0xF4]) { $0.s.pointee.rdi = 0x15FFC }
    #expect(fault(modify) == Fault(code: 3, rip: 1, flags: 0, cr2: 0x16000, retired: 1))
    #expect(modify.get32(0x15FFC) == 0)
  }

  /// Both pages there: the bytes go where they should.
  @Test func goodCrossings() {
    let m = run([0x48, 0x89, 0x07, 0x48, 0x8B, 0x1F, 0x48, 0x01, 0x1F, 0xF4]) {
      $0.s.pointee.rdi = 0x14FFD
      $0.s.pointee.rax = 0x0102_0304_0506_0708
    }
    #expect(m.s.pointee.rbx == 0x0102_0304_0506_0708)
    #expect(m.memory.read(0x14FFD, size: 2) == 0x0E10 && m.memory.read(0x15000, size: 4) == 0x0406_080A)
    #expect(m.virtual.retired == 4)
  }

  /// An instruction whose second page is absent faults with CR2 in that page, and works when the page is there.
  @Test func crossingInstruction() {
    let m = run([]) {
      $0.write(0x16FFE, [0x90, 0xB8])
      $0.s.pointee.rip = 0x16FFE
    }
    #expect(m.s.pointee.cr2 == 0x17000)
    #expect(m.get64(Self.frameWithCode + 8) == 0x16FFF)
    #expect(m.virtual.retired == 3)
    m.put64(TestMachine.entry(0x17000), 0x17007)
    m.write(0x17000, [0x78, 0x56, 0x34, 0x12, 0xF4])
    m.s.pointee.rip = 0x16FFF
    m.s.pointee.activity = .running
    #expect(m.virtual.run(instructions: 100) == .halted)
    #expect(m.s.pointee.rax == 0x1234_5678)
  }

  /// CMP with memory and the jump behind it in one handler.
  @Test func comparePair() {
    let m = run([0x90, 0x3B, 0x07, 0x74, 0x00, 0xF4]) { $0.s.pointee.rdi = 0x17FF0 }
    #expect(fault(m) == Fault(code: 0, rip: 1, flags: 0, cr2: 0x17FF0, retired: 1))
  }

  @Test func pushPair() {
    let m = run([0x90, 0x50, 0x51, 0xF4]) {
      $0.s.pointee.rsp = 0x18008
      $0.s.pointee.rax = 5
    }
    #expect(fault(m) == Fault(code: 2, rip: 2, flags: 0, cr2: 0x17FF8, retired: 2))
    #expect(m.get64(Self.frameWithCode + 32) == 0x18000 && m.get64(0x18000) == 5)
  }

  @Test func popPair() {
    let m = run([0x90, 0x58, 0x59, 0xF4]) {
      $0.put64(0x16FF8, 77)
      $0.s.pointee.rsp = 0x16FF8
      $0.s.pointee.rcx = 3
    }
    #expect(fault(m) == Fault(code: 0, rip: 2, flags: 0, cr2: 0x17000, retired: 2))
    #expect(m.s.pointee.rax == 77 && m.s.pointee.rcx == 3 && m.get64(Self.frameWithCode + 32) == 0x17000)
  }

  /// PUSH rSP and POP rSP in pairs.
  @Test func stackPointerInPairs() {
    let m = run([0x50, 0x54, 0x5B, 0x5C, 0xF4]) { $0.s.pointee.rax = 0x18100 }
    // push rax; push rsp; pop rbx; pop rsp
    #expect(m.s.pointee.rbx == TestMachine.stackTop - 8 && m.s.pointee.rsp == 0x18100)
    let n = run([0x54, 0x50, 0x5C, 0x5B, 0xF4]) {
      $0.s.pointee.rax = 0x18100
      $0.put64(0x18100, 9)
    }
    // push rsp; push rax; pop rsp; pop rbx
    #expect(n.s.pointee.rbx == 9 && n.s.pointee.rsp == 0x18108)
  }

  /// Pops and returns read the stack: they do not make its page dirty.
  @Test func popsDoNotDirty() {
    let m = run([0x58, 0xC3, 0xF4]) {
      $0.s.pointee.rsp = 0x18000
      $0.put64(0x18008, TestMachine.code + 2)
    }
    #expect(m.get64(TestMachine.entry(0x18000)) & 0x60 == 0x20)
    #expect(m.virtual.retired == 3)
  }

  /// The conditional jump of a pair, entered alone with other flags.
  @Test func jumpIntoPair() {
    let m = run([
      0x39, 0xD8,  // cmp eax, ebx: equal
      0x74, 0x01,  // jz over the hlt
      0xF4,
      0xFF, 0xC1,  // inc ecx
      0x83, 0xF9, 0x03,  // cmp ecx, 3: not equal twice
      0xEB, 0xF6,  // jmp to the jz
    ])
    // First round by way of the CMP; then ecx is 1: falls through to the HLT.
    #expect(m.s.pointee.rcx == 1 && m.virtual.retired == 7)
  }

  /// An interrupt between the two instructions of a pair is taken there.
  @Test func interruptBetweenPair() {
    let m = TestMachine()
    m.prepare(.paged64)
    m.write(TestMachine.handler, [0xF4])
    m.write(TestMachine.code, [0x39, 0xD8, 0x74, 0x01, 0xF4, 0xF4])
    m.s.pointee.systemFlags |= RFLAGS.IF
    #expect(m.virtual.run(instructions: 1) == .budgetUsed)
    #expect(m.s.pointee.rip == TestMachine.code + 2)
    m.bus.vectors = [0x40]
    m.virtual.setInterruptRequest(true)
    _ = m.virtual.run(instructions: 10)
    let frame = Self.frameWithCode + 8
    #expect(m.get64(frame) == TestMachine.code + 2)
    #expect(m.get64(frame + 16) & RFLAGS.status == RFLAGS.ZF | RFLAGS.PF)
  }

  /// A REP that faults in a later element has committed the ones before.
  @Test(arguments: [1, 3, 100] as [UInt64])
  func repeatedStore(steps: UInt64) {
    let m = run([0xF3, 0xAA, 0xF4], steps: steps) {
      $0.s.pointee.rdi = 0x15FFC
      $0.s.pointee.rcx = 10
      $0.s.pointee.rax = 0x5A
    }
    #expect(fault(m) == Fault(code: 3, rip: 0, flags: 0, cr2: 0x16000, retired: 4))
    #expect(m.s.pointee.rcx == 6 && m.s.pointee.rdi == 0x16000 && m.get32(0x15FFC) == 0x5A5A_5A5A)
  }

  /// A branch to an address that is not canonical faults at the branch for RET, JMP and CALL.
  @Test(arguments: [[0xFF, 0xE0], [0xFF, 0xD0], [0xC3]] as [[UInt8]])
  func notCanonical(branch: [UInt8]) {
    let m = run([0x90] + branch) {
      $0.s.pointee.rax = 0x8000_0000_0000
      $0.put64(TestMachine.stackTop, 0x8000_0000_0000)
    }
    #expect(fault(m) == Fault(code: 0, rip: 1, flags: 0, cr2: 0, retired: 1))
    #expect(m.get64(Self.frameWithCode + 32) == TestMachine.stackTop)
  }
}
