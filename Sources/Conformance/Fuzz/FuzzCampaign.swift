import Interpreter
import Processor
import Synchronization
import X86
import X86Decoder

/// What went wrong in one case.
public struct FuzzFinding: Sendable, Equatable {
  public var number: UInt64
  public var mode: FuzzMode
  public var model: String
  public var text: String
}

/// What a run of the fuzzer did.
public struct FuzzResult: Sendable, Equatable {
  public var cases: UInt64 = 0
  public var instructions: UInt64 = 0
  /// Cases that were also executed one instruction after the other, and compared.
  public var compared: UInt64 = 0
  public var failed: UInt64 = 0
  /// Cases for whose mode there is no model.
  public var skipped: UInt64 = 0
  /// The first failures.
  public var findings: [FuzzFinding] = []

  mutating func add(_ other: FuzzResult) {
    cases += other.cases
    instructions += other.instructions
    compared += other.compared
    failed += other.failed
    skipped += other.skipped
    findings += other.findings
  }
}

/// Random code in random states: the core must stay within guest memory, keep its invariants, end, and do the same by blocks and by
/// single steps. A crash of the process is a finding too: `FuzzWatch` says in which case.
public struct FuzzCampaign: Sendable {
  public var seed: UInt64
  /// Number of the first case; cases of the same seed and number are the same.
  public var first: UInt64 = 0
  public var count: UInt64
  public var workers = 1
  /// Only this mode, or all in turn.
  public var mode: FuzzMode?
  public var model: CPUModel?
  /// Findings to keep.
  public var findingsKept = 20
  /// Instructions of a case.
  private static let length: UInt64 = 600

  public init(seed: UInt64, count: UInt64) {
    self.seed = seed
    self.count = count
  }

  /// Whether there is a case that can be run.
  public var canRun: Bool {
    guard let mode, let model else { return true }
    return Runner.suits(model, mode)
  }

  /// - Parameter progress: called now and then, never on two threads at once; false ends the run.
  public func run(progress: @escaping @Sendable (FuzzResult) -> Bool = { _ in true }) -> FuzzResult {
    struct Shared {
      var next: UInt64
      var result = FuzzResult()
      var isStopped = false
    }
    let shared = Mutex(Shared(next: first))
    let end = first &+ count
    ParallelWork.run(workers: min(workers, FuzzWatch.maximumWorkers)) { worker in
      var runner = Runner(campaign: self, worker: worker)
      while true {
        let batch: Range<UInt64>? = shared.withLock { shared in
          guard !shared.isStopped, shared.next < end else { return nil }
          let batch = shared.next..<min(shared.next + 64, end)
          shared.next = batch.upperBound
          return batch
        }
        guard let batch else { break }
        var part = FuzzResult()
        for number in batch { runner.one(number, &part) }
        shared.withLock { shared in
          shared.result.add(part)
          shared.result.findings.sort { $0.number < $1.number }
          shared.result.findings = Array(shared.result.findings.prefix(findingsKept))
          if !progress(shared.result) { shared.isStopped = true }
        }
      }
      FuzzWatch.end(worker)
    }
    return shared.withLock { $0.result }
  }

  /// What a case executes, one line an instruction, by single steps and without the events that come between.
  public func listing(of number: UInt64) -> String {
    var runner = Runner(campaign: self, worker: 0)
    guard let (machine, _) = runner.prepare(number, steps: true) else { return "" }
    var out = ""
    while machine.s.pointee.retired < Self.length, machine.s.pointee.activity == .running {
      out += machine.place + "\n"
      _ = machine.virtual.runBySteps(instructions: 1)
    }
    return out
  }

  /// The machines of one thread, made when first needed.
  private struct Runner {
    let campaign: FuzzCampaign
    let worker: Int
    private var machines: [String: (blocks: FuzzMachine, steps: FuzzMachine)] = [:]
    private let edge = GuardedMemory(size: 4096)

    init(campaign: FuzzCampaign, worker: Int) {
      self.campaign = campaign
      self.worker = worker
    }

    static func suits(_ model: CPUModel, _ mode: FuzzMode) -> Bool {
      !mode.isLong || model.features.contains(.longMode)
    }

    private func mode(of number: UInt64) -> FuzzMode {
      campaign.mode ?? FuzzMode.allCases[Int(number % UInt64(FuzzMode.allCases.count))]
    }

    /// Puts a machine into the begin state of a case; nil if no model suits its mode. Also gives the random numbers for what comes next.
    mutating func prepare(_ number: UInt64, steps: Bool) -> (FuzzMachine, FuzzRandom)? {
      var random = FuzzRandom(seed: campaign.seed, number: number)
      let mode = mode(of: number)
      let suitable = (campaign.model.map { [$0] } ?? CPUModel.all).filter { Self.suits($0, mode) }
      if suitable.isEmpty { return nil }
      // The newest has most to go wrong.
      let model = random.chance(50) ? suitable[0] : random.pick(suitable)
      let pair = machines[model.name] ?? (FuzzMachine(model: model), FuzzMachine(model: model))
      machines[model.name] = pair
      let machine = steps ? pair.steps : pair.blocks
      return (machine, FuzzCase.prepare(machine, mode: mode, random: random))
    }

    mutating func one(_ number: UInt64, _ result: inout FuzzResult) {
      FuzzWatch.begin(number, worker)
      result.cases += 1
      decode(number)
      guard let (machine, start) = prepare(number, steps: false) else {
        result.skipped += 1
        return
      }
      var problem: String?
      // Of every mode a fourth.
      if number / UInt64(FuzzMode.allCases.count) % 4 == 3 {
        result.compared += 1
        if let (steps, _) = prepare(number, steps: true) { problem = compare(machine, steps, start) }
      } else {
        problem = disturb(machine, start)
      }
      result.instructions += machine.virtual.retired
      guard let problem else { return }
      result.failed += 1
      if result.findings.count < campaign.findingsKept {
        result.findings.append(FuzzFinding(number: number, mode: mode(of: number), model: machine.model.name, text: problem))
      }
    }

    /// Runs with interrupts and resets coming in between; returns what went wrong.
    private func disturb(_ m: FuzzMachine, _ random: FuzzRandom) -> String? {
      var random = random
      let s = m.s
      for _ in 0..<40 {
        if s.pointee.retired >= FuzzCampaign.length { break }
        let left = FuzzCampaign.length - s.pointee.retired
        let reason = m.virtual.run(instructions: min(left, 1 + UInt64(random.below(300))))
        if let broken = m.brokenInvariant { return broken + ", behind instruction \(s.pointee.retired)" }
        if reason == .shutdown { break }
        switch random.below(12) {
        case 0...3:
          m.bus.vectors = [random.byte()]
          m.virtual.setInterruptRequest(true)
        case 4: m.virtual.signalNMI()
        case 5: if random.chance(30) { m.virtual.signalINIT() }
        case 6: m.virtual.signalStartup(vector: random.byte())
        case 7:
          // A saved processor is the same processor.
          let saved = m.state
          if !m.restore(saved) || m.state != saved { return "the state does not survive being saved, behind instruction \(s.pointee.retired)" }
        default: if reason == .halted || reason == .waitForSIPI { m.virtual.signalNMI() }
        }
      }
      // An exception counts as an instruction, so one that fails on delivery can pass the end a little.
      return s.pointee.retired > FuzzCampaign.length + 32 ? "the run did not end where it should: \(s.pointee.retired) instructions" : nil
    }

    /// Runs by blocks and by steps, without events from outside; returns the first difference.
    private func compare(_ blocks: FuzzMachine, _ steps: FuzzMachine, _ random: FuzzRandom) -> String? {
      var random = random
      let tables = blocks.tablesHash
      while blocks.s.pointee.retired < FuzzCampaign.length, blocks.s.pointee.activity == .running {
        let target = min(FuzzCampaign.length, blocks.s.pointee.retired + 1 + UInt64(random.below(200)))
        _ = blocks.virtual.run(instructions: target - blocks.s.pointee.retired)
        _ = steps.virtual.runBySteps(instructions: target - min(target, steps.s.pointee.retired))
        if let broken = steps.brokenInvariant { return broken + ", behind instruction \(steps.s.pointee.retired), by steps" }
        if let broken = blocks.brokenInvariant { return broken + ", behind instruction \(blocks.s.pointee.retired)" }
        // A debug exception whose frame meets a data breakpoint again is delivered in another call of the run loop: nothing to compare then.
        if blocks.s.pointee.pendingDebug != 0 || steps.s.pointee.pendingDebug != 0 { return nil }
        // Who changes page tables without flushing may be served from old translations, and those last longer by blocks.
        if blocks.tablesHash != tables || steps.tablesHash != tables || blocks.usesOtherTables { return nil }
        if let difference = blocks.registerDifference(from: steps) {
          return "by blocks \(difference), behind instruction \(blocks.s.pointee.retired) at RIP \(Hex.text(blocks.s.pointee.rip, 16))"
        }
        if blocks.bus.trail != steps.bus.trail { return "by blocks other ports or devices are used, up to instruction \(blocks.s.pointee.retired)" }
      }
      let a = blocks.state, b = steps.state
      if let place = zip(a, b).enumerated().first(where: { $0.element.0 != $0.element.1 })?.offset {
        return "by blocks the saved state differs at byte \(place), at the end behind instruction \(blocks.s.pointee.retired)"
      }
      return blocks.difference(from: steps).map { "by blocks \($0), at the end behind instruction \(blocks.s.pointee.retired)" }
    }

    /// Decodes random bytes that end where memory ends: not one byte behind may be read.
    private func decode(_ number: UInt64) {
      var random = FuzzRandom(seed: ~campaign.seed, number: number)
      for _ in 0..<4 {
        let available = 1 + random.below(40)
        let start = edge.base + edge.size - available
        for n in 0..<available { start.storeBytes(of: random.byte(), toByteOffset: n, as: UInt8.self) }
        let i = Decoder.decode(start, available: available, codeSize: random.pick([.bits16, .bits32, .bits64]))
        if random.chance(10) {
          _ = Disassembler.text(of: i, at: random.next())
          _ = Disassembler.text(of: i, at: random.next(), syntax: .att)
        }
      }
    }
  }
}
