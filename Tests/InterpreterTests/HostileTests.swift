import Platform
import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

#if DEBUG
private let rounds: UInt64 = 3
#else
private let rounds: UInt64 = 400
#endif

/// Random bytes as code, random registers, tables and page tables: whatever a guest does, the host must survive it, and a run must end.
struct HostileTests {
  private static let addresses: [UInt64] = [
    0, 1, 0xFFF, 0x1000, 0xFFFF, 0xFFFE, 0x10000, 0x13FFD, 0x14000, 0x1BFFF, 0xF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFC, 0xFFFF_F000,
    0x7FFF_FFFF, 0x8000_0000, 0x7FFF_FFFF_FFFF, 0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000, ~0, ~7,
    0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0x4000_0000_0000_0000,
  ]

  private func disturb(_ m: TestMachine, _ random: inout SeededGenerator, _ mode: TestMode) {
    // Random code at its place, and at the ends of 64 KiB and of 4 GiB.
    for k in 0..<0x800 as Range<UInt64> { m.memory.write(TestMachine.code + k * 8, random.next(), size: 8) }
    for k in 0..<0x10 as Range<UInt64> {
      m.memory.write(0x1FF80 + k * 8, random.next(), size: 8)
      m.memory.write(0xFFFF_FF80 + k * 8, random.next(), size: 8)
    }
    for n in 0..<16 as Range<UInt8> {
      var v = random.chance(50) ? random.pick(Self.addresses) : random.next() >> (random.next() & 63)
      if mode.codeSize != .bits64 { v &= 0xFFFF_FFFF }
      if n != 4 || random.chance(20) { m.cpu.setGPR(n, v) }
    }
    if mode.codeSize != .bits64 { for n in 8..<16 as Range<UInt8> { m.cpu.setGPR(n, 0) } }
    m.s.pointee.mxcsr = UInt32(truncatingIfNeeded: random.next()) & 0xFFFF
    // Tables of descriptors and pages, sometimes.
    if random.chance(40) {
      for _ in 0..<random.below(20) { m.memory.write(TestMachine.gdt + UInt64(random.below(0x80)), random.next() & 0xFF, size: 1) }
    }
    if random.chance(40) {
      for _ in 0..<random.below(20) { m.memory.write(TestMachine.idt + UInt64(random.below(0x200)), random.next() & 0xFF, size: 1) }
    }
    if random.chance(40) {
      for _ in 0..<random.below(20) { m.memory.write(TestMachine.pageTables + UInt64(random.below(0x3100)), random.next() & 0xFF, size: 1) }
    }
    if random.chance(30) { m.s.pointee.systemFlags |= random.next() & 0x24_7F00 }
    if random.chance(20) {
      m.cpu.setDebugRegister(UInt8(random.below(4)), TestMachine.code + UInt64(random.below(0x5000)))
      m.cpu.setDebugRegister(7, random.next() & 0xFFFF_0FFF)
    }
    if random.chance(20) { m.s.pointee.idtr.limit = UInt16(truncatingIfNeeded: random.next()) }
    if random.chance(20) { m.s.pointee.tr.limit = UInt32(random.below(0x80)) }
    switch mode {
    case .real:
      if random.chance(30) { m.s.pointee.rip = 0xFFF0 + UInt64(random.below(16)) }
      if random.chance(30) { m.s.pointee.rsp = UInt64(random.below(4)) }
      if random.chance(10) { m.s.pointee.cs.limit = UInt32(random.below(0x1000)) }
    case .flat32:
      if random.chance(30) { m.s.pointee.rip = 0xFFFF_FF80 + UInt64(random.below(0x80)) }
    case .segmented32:
      if random.chance(30) { m.s.pointee.rip = 0xFF80 + UInt64(random.below(0x80)) }
      for reg in SegmentRegister.allCases where random.chance(30) {
        m.cpu.segment(reg).pointee.limit = UInt32(truncatingIfNeeded: random.pick(Self.addresses))
        m.cpu.segment(reg).pointee.base = random.pick(Self.addresses) & 0xFFFF_FFFF
      }
    case .paged64, .user64:
      if random.chance(10) { m.s.pointee.rip = random.pick([0x7FFF_FFFF_FFFE, 0xFFFF_FFFF_FFFF_FFFE, 0x8000_0000_0000]) }
      if random.chance(10) { m.s.pointee.fs.base = random.pick(Self.addresses) }
    }
    m.cpu.updateMode()
    m.cpu.modeChanged()
    m.cpu.flushTLB(keepGlobal: false)
  }

  @Test(arguments: TestMode.allCases)
  func randomBytes(mode: TestMode) {
    let m = TestMachine()
    m.memory.addMemory(at: PhysicalAddress(0xFFFF_0000), size: 0x10000)
    var executed: UInt64 = 0
    for seed in 1...rounds {
      var random = SeededGenerator(seed &* 7919)
      m.prepare(mode)
      m.setEntries((0..<8).map { _ in UInt64(random.below(0x3000)) }, mode)
      disturb(m, &random, mode)
      let end: UInt64 = 3000
      for _ in 0..<100 {
        if m.s.pointee.retired >= end { break }
        let reason = m.virtual.run(instructions: min(end - m.s.pointee.retired, UInt64(1 + random.below(900))))
        if reason == .shutdown || reason == .waitForSIPI { break }
        if reason == .halted {
          // Whatever it waits for.
          m.virtual.signalNMI()
          if m.s.pointee.nmiBlocked { break }
        }
        if random.chance(20) {
          m.bus.vectors = [random.byte()]
          m.virtual.setInterruptRequest(true)
        }
      }
      // An exception counts as an instruction, so one that fails on delivery can pass the end a little.
      #expect(m.s.pointee.retired <= end + 32, "seed \(seed)")
      executed += m.s.pointee.retired
    }
    #expect(executed > rounds * 100)
  }

  /// The same seeds by blocks and by steps: hostile programs, too, do the same either way.
  @Test(arguments: TestMode.allCases)
  func randomBytesEqualSteps(mode: TestMode) {
    let blocks = TestMachine(), steps = TestMachine()
    var failures = 0
    for seed in 1...rounds {
      let text = DifferentialTests.compare(blocks, steps, count: 300) { m in
        var random = SeededGenerator(seed &* 104_729)
        m.prepare(mode)
        m.setEntries((0..<8).map { _ in UInt64(random.below(0x3000)) }, mode)
        for k in 0..<0x800 as Range<UInt64> { m.memory.write(TestMachine.code + k * 8, random.next(), size: 8) }
        for n in 0..<(mode.codeSize == .bits64 ? 16 : 8) as Range<UInt8> where n != 4 {
          m.cpu.setGPR(n, mode.codeSize == .bits64 ? random.next() >> (random.next() & 63) : random.next() >> (32 + (random.next() & 31)))
        }
      }
      if let text {
        Issue.record("\(mode), seed \(seed): \(text)")
        failures += 1
        if failures == 2 { return }
      }
    }
  }

  /// The instruction pointer at the end of its range: past 64 KiB in real mode faults, past 4 GiB goes on at 0.
  @Test func instructionPointerEnds() {
    let real = TestMachine()
    real.prepare(.real)
    real.write(TestMachine.handler, [0xF4])
    real.write(TestMachine.code + 0xFFFE, [0x90, 0x90])
    real.s.pointee.rip = 0xFFFE
    #expect(real.virtual.run(instructions: 100) == .halted)
    // #GP: the frame holds IP 0 (16 bits of 10000h).
    #expect(real.virtual.retired == 4 && real.s.pointee.cs.selector == 0)

    let flat = TestMachine()
    flat.memory.addMemory(at: PhysicalAddress(0xFFFF_0000), size: 0x10000)
    flat.prepare(.flat32)
    flat.write(0xFFFF_FFFE, [0x90, 0x90])
    flat.write(0, [0x90, 0xF4])
    flat.s.pointee.rip = 0xFFFF_FFFE
    #expect(flat.virtual.run(instructions: 100) == .halted)
    #expect(flat.virtual.retired == 4 && flat.s.pointee.rip == 2)
  }

  /// Branches whose target, counted from the page they lie in, does not fit into 32 bits.
  @Test(arguments: [TestMode.flat32, .paged64, .user64])
  func farthestBranches(mode: TestMode) {
    let blocks = TestMachine(), steps = TestMachine()
    let far: [UInt8] = [0xFF, 0xFF, 0xFF, 0x7F]
    for branch in [[0xE9], [0xE8], [0x31, 0xC0, 0x0F, 0x84], [0x31, 0xC0, 0x0F, 0x85], [0x83, 0xC8, 0x01, 0x0F, 0x85]] as [[UInt8]] {
      for offset in [0, 0xFE0] as [UInt64] {
        let prepare = { (m: TestMachine) in
          m.prepare(mode)
          m.write(TestMachine.code + offset, branch + far + [0x40, 0x90, 0xF4])
          m.s.pointee.rip &+= offset
        }
        if let text = DifferentialTests.compare(blocks, steps, count: 4, prepare) { Issue.record("\(mode), \(branch): \(text)") }
      }
    }
  }

  /// A direct branch to an address that is not canonical faults at the branch, with nothing pushed (SDM vol. 2A, CALL, Jcc, JMP). The same
  /// memory is executed at an ordinary address as well, where the branch goes to a HLT, before or after.
  @Test(arguments: [[0xE9], [0xE8], [0x31, 0xC0, 0x0F, 0x84]] as [[UInt8]])
  func branchesBeyondTheCanonicalAddresses(branch: [UInt8]) {
    let high: UInt64 = 0x7FFF_FFFF_F000
    func machine() -> TestMachine {
      let m = TestMachine()
      m.prepare(.paged64)
      let table = TestMachine.pageTables
      m.put64(table + 255 * 8, (table + 0x4000) | 7)
      m.put64(table + 0x4000 + 511 * 8, (table + 0x5000) | 7)
      m.put64(table + 0x5000 + 511 * 8, (table + 0x6000) | 7)
      m.put64(table + 0x6000 + 511 * 8, TestMachine.code | 7)
      m.write(TestMachine.code, branch + [0, 0x10, 0, 0])
      m.write(TestMachine.code + 0x1000 + UInt64(branch.count) + 4, [0xF4])
      m.write(TestMachine.handler, [0xF4])
      return m
    }
    func run(_ m: TestMachine, at rip: UInt64, blocks: Bool) {
      m.s.pointee.activity = .running
      m.s.pointee.rsp = TestMachine.stackTop
      m.s.pointee.rip = rip
      #expect((blocks ? m.virtual.run(instructions: 100) : m.virtual.runBySteps(instructions: 100)) == .halted)
      if rip != high {
        #expect(m.s.pointee.rip == TestMachine.code + 0x1000 + UInt64(branch.count) + 5)
        return
      }
      #expect(m.s.pointee.rip == TestMachine.handler + 1)
      // The frame on the stack of IST 1: error code, RIP, CS, RFLAGS, RSP, SS.
      let frame = m.s.pointee.rsp
      #expect(m.get64(frame) == 0)
      #expect(m.get64(frame + 8) == high + (branch.count == 1 ? 0 : 2))
      #expect(m.get64(frame + 32) == TestMachine.stackTop)
    }
    for order in [[high], [TestMachine.code, high], [high, TestMachine.code]] {
      for blocks in [true, false] {
        let m = machine()
        for rip in order { run(m, at: rip, blocks: blocks) }
      }
    }
  }
}
