import Platform
import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

#if DEBUG
/// Debug builds are a hundred times slower.
private let programs: UInt64 = 20
#else
private let programs: UInt64 = 1500
#endif

/// Random programs, executed by blocks and one instruction after the other by the generic functions: everything must be the same.
struct DifferentialTests {
  /// A begin state with random code and registers.
  static func prepare(_ m: TestMachine, seed: UInt64, mode: TestMode) {
    m.prepare(mode)
    var generator = InstructionGenerator(seed: seed, mode: mode)
    var random = SeededGenerator(~seed)
    generator.program(20 + random.below(180))
    // Some programs lie across a page's end.
    let shift = random.pick([0, 0, 0x40, 0xE00, 0xFA1, 0xFF3] as [UInt64])
    m.write(TestMachine.code + shift, generator.bytes)
    m.setEntries(generator.entries.map { $0 + shift }, mode)
    m.s.pointee.rip &+= shift
    for k in 0..<0xC00 as Range<UInt64> { m.put64(TestMachine.data + k * 8, random.next() >> (random.next() & 63)) }
    for n in [0, 1, 2, 8, 9, 10, 11, 12, 13, 14, 15] as [UInt8] { m.cpu.setGPR(n, random.next() >> (random.next() & 63)) }
    m.cpu.setGPR(1, random.next() & 0x1F)
    if mode.codeSize != .bits64 {
      for n in 0..<3 as Range<UInt8> { m.cpu.setGPR(n, m.cpu.gpr(n) & 0xFFFF_FFFF) }
      for n in 8..<16 as Range<UInt8> { m.cpu.setGPR(n, 0) }
    }
    for n in 0..<16 as Range<UInt8> { m.cpu.vector(n).pointee.q0 = random.next() }
  }

  /// Nil if blocks and steps give the same after `count` instructions; else what differs.
  static func difference(_ blocks: TestMachine, _ steps: TestMachine) -> String? {
    let same = blocks.state == steps.state && blocks.bus.hash == steps.bus.hash
      && memcmp(blocks.ram, steps.ram, TestMachine.memorySize) == 0
    if same { return nil }
    var text = "blocks: \(blocks.summary)\nsteps:  \(steps.summary)\n"
    if let k = (0..<TestMachine.memorySize).first(where: { blocks.contents[$0] != steps.contents[$0] }) {
      text += "memory at \(String(k, radix: 16)): \(blocks.contents[k]) and \(steps.contents[k])\n"
    }
    let a = blocks.state, b = steps.state
    if let k = a.indices.first(where: { a[$0] != b[$0] }) { text += "saved state at byte \(k): \(a[k]) and \(b[k])\n" }
    return text
  }

  /// Runs both for `count`; on a difference finds the first instruction behind which they differ and describes it.
  static func compare(_ blocks: TestMachine, _ steps: TestMachine, count: UInt64, _ prepare: (TestMachine) -> Void) -> String? {
    prepare(blocks)
    prepare(steps)
    blocks.runBlocks(to: count)
    steps.runSteps(to: count)
    guard var text = difference(blocks, steps) else { return nil }
    prepare(steps)
    var before = "?"
    for n in 1...count {
      prepare(blocks)
      blocks.runBlocks(to: n)
      before = steps.currentInstruction
      steps.runSteps(to: n)
      if let first = difference(blocks, steps) {
        text = "first difference at \(n), behind\n\(before)\(first)"
        break
      }
    }
    prepare(steps)
    return text + "program:\n" + steps.listing(Fetch.linear(steps.cpu, steps.s.pointee.rip), count: 60, at: steps.s.pointee.rip)
  }

  @Test(arguments: TestMode.allCases)
  func blocksEqualSteps(mode: TestMode) {
    let blocks = TestMachine(), steps = TestMachine()
    var executed: UInt64 = 0
    var failures = 0
    for seed in 1...programs {
      let count = 50 + seed * 37 % 700
      if let text = Self.compare(blocks, steps, count: count, { Self.prepare($0, seed: seed, mode: mode) }) {
        Issue.record("\(mode), seed \(seed): \(text)")
        failures += 1
        if failures == 3 { return }
      }
      executed += steps.s.pointee.retired
    }
    // The generator must make programs that run.
    #expect(executed > programs * 200)
  }

  /// Any partition of a run gives the state of the whole run, and every part ends exactly where it should.
  @Test(arguments: TestMode.allCases)
  func partitions(mode: TestMode) {
    let whole = TestMachine(), parts = TestMachine()
    for seed in 1...(programs / 10) {
      let count: UInt64 = 600
      Self.prepare(whole, seed: seed, mode: mode)
      Self.prepare(parts, seed: seed, mode: mode)
      whole.runBlocks(to: count)
      var random = SeededGenerator(seed ^ 0xABCD)
      while parts.s.pointee.retired < count, parts.s.pointee.activity == .running {
        parts.runBlocks(to: min(count, parts.s.pointee.retired + 1 + UInt64(random.below(seed % 2 == 0 ? 4 : 150))))
      }
      if let text = Self.difference(whole, parts) {
        Issue.record("\(mode), seed \(seed): \(text)")
        return
      }
    }
  }

  /// A processor restored in the middle, on another machine, goes on as the first does.
  @Test(arguments: TestMode.allCases)
  func saveAndRestore(mode: TestMode) throws {
    let first = TestMachine()
    for seed in 1...(programs / 20) {
      let second = TestMachine()
      Self.prepare(first, seed: seed, mode: mode)
      first.runBlocks(to: 100 + seed)
      try second.restore(first.state)
      second.write(0, Array(first.contents))
      #expect(second.state == first.state)
      let hash = first.bus.hash
      first.bus.clear()
      first.runBlocks(to: 700)
      second.runBlocks(to: 700)
      if let text = Self.difference(first, second) {
        Issue.record("\(mode), seed \(seed), hash \(hash): \(text)")
        return
      }
    }
  }

  /// A loop of plain instructions: `run` stops at exactly the count asked for, in front of the right instruction.
  @Test(arguments: TestMode.allCases)
  func exactCounts(mode: TestMode) {
    let m = TestMachine()
    m.prepare(mode)
    // inc eax … (100 of them, two bytes each), jmp back
    var code: [UInt8] = []
    for _ in 0..<100 { code += [0xFF, 0xC0] }
    code += mode == .real ? [0xE9, 0x35, 0xFF] : [0xE9, 0x33, 0xFF, 0xFF, 0xFF]
    m.write(TestMachine.code, code)
    let start = m.s.pointee.rip
    var total: UInt64 = 0
    for n in (Array(0...140) + [199, 200, 201, 202, 1000, 4321]) as [UInt64] {
      #expect(m.virtual.run(instructions: n) == .budgetUsed)
      total += n
      #expect(m.virtual.retired == total)
      let place = total % 101
      #expect(m.s.pointee.rip == start + place * 2)
      #expect(m.cpu.gpr(0) & 0xFFFF == (total / 101 * 100 + place) & 0xFFFF)
    }
  }
}
