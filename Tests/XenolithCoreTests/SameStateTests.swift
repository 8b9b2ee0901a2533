import Testing
import XenolithCore

#if DEBUG
private let programs: UInt64 = 20
#else
private let programs: UInt64 = 1000
#endif

/// Random bytes as programs: a core with every hook ends in the same state, after the same exits, as one without.
struct SameStateTests {
  /// SplitMix64.
  private struct Random {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  private func prepare(_ core: Core, _ blank: Snapshot, seed: UInt64) throws {
    try core.restore(blank)
    var random = Random(state: seed)
    // Mostly common one-byte opcodes with register and memory operands.
    var code: [UInt8] = []
    for _ in 0..<600 {
      let byte = UInt8(truncatingIfNeeded: random.next() >> 20)
      code.append(random.next() % 3 == 0 ? byte & 0x3B : byte)
    }
    try core.write(code, at: codeBase)
    for register in Register.general64 where register != .rsp { core[register] = dataBase + random.next() % 0x2000 }
  }

  /// Runs on behind every exit, at the next byte where an instruction cannot be executed.
  private func run(_ core: Core, count: UInt64) -> [Exit] {
    var exits: [Exit] = []
    while core.retired < count, exits.count < 200 {
      let exit = core.run(count: count - core.retired)
      exits.append(exit)
      switch exit {
      case .exception: core[.rip] = codeBase + (core[.rip] &+ 1) % 500
      case .halt: core[.rip] = core[.rip]
      case .unmapped where core.instructionAddress > 0xFFFF: core[.rip] = codeBase
      case .tripleFault: return exits
      default: break
      }
    }
    return exits
  }

  @Test(arguments: Mode.allCases)
  func hooksChangeNothing(mode: Mode) throws {
    let plain = try makeCore([], mode: mode), watched = try makeCore([], mode: mode), memoryOnly = try makeCore([], mode: mode)
    let blank = plain.snapshot()
    var instructions: UInt64 = 0, completed: UInt64 = 0, begun: UInt64 = 0, accesses = 0, accessesAlone = 0, branches = 0
    watched.onInstruction { _, _ in begun += 1 }
    watched.afterInstruction { _, _ in completed += 1 }
    watched.onBranch { _, _ in branches += 1 }
    watched.onException { _, _ in .proceed }
    watched.onMemory { _, _ in accesses += 1 }
    memoryOnly.onMemory { _, _ in accessesAlone += 1 }
    for seed in 1...programs {
      for core in [plain, watched, memoryOnly] { try prepare(core, blank, seed: seed) }
      let exits = run(plain, count: 400)
      completed = 0
      for (core, how) in [(watched, "all hooks"), (memoryOnly, "a memory hook")] {
        let others = run(core, count: 400)
        if others == exits, core.snapshot().hash == plain.snapshot().hash { continue }
        let n = zip(exits, others).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(exits.count, others.count)
        Issue.record("""
          \(mode), seed \(seed): \(how) change the run, from exit \(n) on: \(exits.dropFirst(n).first.map(String.init(describing:)) ?? "none") and \
          \(others.dropFirst(n).first.map(String.init(describing:)) ?? "none"); registers \(core.registers.changes(since: plain.registers)), \
          retired \(plain.retired) and \(core.retired)
          """)
        return
      }
      #expect(completed == plain.retired, "\(mode), seed \(seed)")
      instructions += plain.retired
    }
    #expect(accesses == accessesAlone && accesses > 0 && branches > 0 && begun >= completed)
    #expect(instructions > programs * 50)
  }
}
