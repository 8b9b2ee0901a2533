import HostOracle
import Machine
import X86Decoder

/// One worker of a campaign: a child process on the host, a core, and cases that go through both in batches. While the child runs one
/// batch, the next is generated and the last compared.
final class HostRunner {
  private let campaign: HostCampaign
  private let rules: HostRuleTable
  private let generator: HostGenerator
  private let oracle: OpaquePointer
  private let core: HostCore
  private var programs: [[HostProgram]]
  private let coreEnd: StatePointer
  private let coreLines: UnsafeMutablePointer<HostLines>
  private let decoder = Decoder()
  private(set) var result = HostResult()
  private var keptOfRow: [UInt16: Int] = [:]
  /// Seconds for a batch.
  private static let patience: Int32 = 20

  /// Nil if the host refuses memory or processes.
  init?(campaign: HostCampaign, only: Set<UInt16>?) {
    guard let oracle = host_oracle_start() else { return nil }
    self.campaign = campaign
    self.oracle = oracle
    rules = HostRuleTable(host: campaign.host)
    generator = HostGenerator(seed: campaign.seed, rules: rules, only: only, is32: campaign.is32)
    let banks = host_oracle_banks(oracle)!
    HostValues.shared.fill(banks)
    core = HostCore(model: campaign.host.coreModel, banks: banks)
    core.sabotage = campaign.sabotage
    programs = (0..<2).map { _ in (0..<HostLayout.batch).map { _ in HostProgram() } }
    coreEnd = .allocate(capacity: 1)
    coreEnd.initialize(to: HostState())
    coreLines = .allocate(capacity: 1)
    coreLines.initialize(to: HostLines())
  }

  func stop() {
    host_oracle_stop(oracle)
    for list in programs { for program in list { program.deallocate() } }
    coreEnd.deallocate()
    coreLines.deallocate()
  }

  private func cases(_ buffer: Int) -> CasePointer { host_oracle_cases(oracle, Int32(buffer))! }

  // MARK: Batches

  func run(_ numbers: some Sequence<UInt64>) throws(MachineError) {
    var iterator = numbers.makeIterator()
    var buffer = 0
    var running = generate(&iterator, buffer)
    if running > 0 { host_oracle_begin(oracle, Int32(buffer), Int32(running)) }
    while running > 0 {
      let next = generate(&iterator, 1 - buffer)
      let blamed = try wait(buffer, running)
      if next > 0 { host_oracle_begin(oracle, Int32(1 - buffer), Int32(next)) }
      var failing: [Int] = []
      for n in 0..<running where n != blamed {
        if !judge(buffer, n) { failing.append(n) }
      }
      // The oracle is busy with the other buffer: failures wait for it.
      if !failing.isEmpty {
        if next > 0 {
          // What it was doing is done again afterwards.
          _ = try wait(1 - buffer, next)
        }
        for n in failing { examine(cases(buffer) + n, programs[buffer][n]) }
        if next > 0 { host_oracle_begin(oracle, Int32(1 - buffer), Int32(next)) }
      }
      buffer = 1 - buffer
      running = next
    }
  }

  /// Fills a buffer; returns how many cases there are.
  private func generate(_ numbers: inout some IteratorProtocol<UInt64>, _ buffer: Int) -> Int {
    var n = 0
    while n < HostLayout.batch, let number = numbers.next() {
      switch generator.make(number, cases(buffer) + n, &programs[buffer][n]) {
      case .ready: n += 1
      case .skipped(let rule, let row):
        result.skipped += 1
        result.rowSkipped[Int(row)] += 1
        result.ruled[rule] += 1
      }
    }
    return n
  }

  /// Waits for the child. Returns a case that ended it, which has failed; nil if there is none.
  private func wait(_ buffer: Int, _ count: Int) throws(MachineError) -> Int? {
    let blamed = host_oracle_wait(oracle, Self.patience)
    if blamed == -2 { throw .usage("the host refused a process for the cases") }
    if blamed < 0 { return nil }
    let n = Int(blamed), program = programs[buffer][n]
    record(HostFailure(
      number: program.number, row: program.instructions[0].row, replay: HostReplay(cases(buffer) + n, bySteps: program.bySteps),
      listing: listing(cases(buffer) + n),
      differences: [HostDifference(what: "the oracle", before: "", host: "ended or hung", core: "")]))
    // The rest of the batch has not run: once more without the culprit.
    let c = cases(buffer) + n
    c.clear(is32: false)
    c.start.pointee.rip = HostLayout.code + 0x800
    host_oracle_begin(oracle, Int32(buffer), Int32(count))
    if try wait(buffer, count) != nil { throw .usage("the host's process ends again and again") }
    return n
  }

  /// Runs the core on a case that the host has run, and counts. False if they differ.
  private func judge(_ buffer: Int, _ n: Int) -> Bool {
    let c = cases(buffer) + n
    let program = programs[buffer][n]
    let row = Int(program.instructions[0].row)
    switch compare(c, program) {
    case .agree:
      result.passed += 1
      result.rowPassed[row] += 1
      cover(c, program)
    case .skipped:
      result.skipped += 1
      result.rowSkipped[row] += 1
    case .differ: return false
    }
    return true
  }

  private func comparison(_ c: CasePointer, _ program: HostProgram) -> HostComparison {
    let isDone = core.run(c, bySteps: program.bySteps, coreEnd, coreLines)
    return HostComparison(
      c: c, program: program, rules: rules, core: coreEnd, coreLines: coreLines, isDone: isDone, banks: host_oracle_banks(oracle))
  }

  private func compare(_ c: CasePointer, _ program: HostProgram) -> HostComparison.Verdict {
    verdict(c, program, counting: &result.ruled)
  }

  private func verdict(_ c: CasePointer, _ program: HostProgram, counting counts: inout [Int]) -> HostComparison.Verdict {
    let found = comparison(c, program).verdict(counting: &counts)
    guard case .differ = found, program.branches, strays(c, program) else { return found }
    let rule = rules.strayRule
    counts[rule] += 1
    return .skipped(rule)
  }

  /// Whether the core has executed bytes inside an instruction of the program that are an instruction to which a rule applies.
  private func strays(_ c: CasePointer, _ program: HostProgram) -> Bool {
    let known = Set((0..<program.count).map { program.offset($0) })
    let instruction = UnsafeMutablePointer<Instruction>.allocate(capacity: 1)
    instruction.initialize(to: Instruction())
    defer { instruction.deallocate() }
    var seen = known, found = false
    core.trace(c) { rip, is32 in
      let at = Int(truncatingIfNeeded: rip &- c.start.pointee.rip)
      guard at >= 0, at < c.length, seen.insert(at).inserted else { return }
      decoder.decode(c.code + at, available: c.length - at, codeSize: is32 ? .bits32 : .bits64, into: instruction)
      let context = HostContext(
        instruction: UnsafePointer(instruction), offset: at, start: c.start, end: c.end, core: coreEnd,
        code: UnsafeBufferPointer(start: c.code + at, count: c.length - at), is32: is32, host: rules.host, isFirst: false)
      if rules.asked[Int(instruction.pointee.row)].contains(where: { HostRule.all[$0].applies(context) }) { found = true }
    }
    return found
  }

  private func cover(_ c: CasePointer, _ program: HostProgram) {
    let mode = c.pointee.is32 != 0 ? 1 : 0
    let vector = c.end.pointee.vector
    let at = Int(truncatingIfNeeded: c.end.pointee.rip &- c.start.pointee.rip)
    for n in 0..<program.count {
      let row = program.instructions[n].row
      if vector != HostLayout.noVector, at >= 0, at < program.offset(n) { break }
      result.begun[mode][Int(row)] += 1
      if vector == HostLayout.noVector || at != program.offset(n) { result.completed[mode][Int(row)] += 1 }
      // Who knows what follows a branch.
      if OpcodeMap.shared.attributes(row).contains(.endsBlock) { break }
    }
  }

  // MARK: Failures

  /// Runs one case alone on both.
  private func alone(_ c: CasePointer, _ program: HostProgram) -> HostComparison.Verdict {
    let slot = cases(scratchBuffer)
    if slot != c { slot.update(from: c, count: 1) }
    host_oracle_begin(oracle, Int32(scratchBuffer), 1)
    if host_oracle_wait(oracle, Self.patience) != -1 {
      return .differ([HostDifference(what: "the oracle", before: "", host: "ended or hung", core: "")])
    }
    var counts = result.ruled
    return verdict(slot, program, counting: &counts)
  }

  private let scratchBuffer = 0

  /// A failure: is it one again? Then it is made smaller and kept.
  private func examine(_ c: CasePointer, _ program: HostProgram) {
    let row = program.instructions[0].row
    // The buffers are the child's; while a case is examined, the batch waits in a copy.
    let saved = UnsafeMutablePointer<HostCase>.allocate(capacity: 2)
    defer { saved.deallocate() }
    let slot = cases(scratchBuffer)
    saved.initialize(to: slot.pointee)
    (saved + 1).initialize(to: c.pointee)
    defer { slot.update(from: saved, count: 1) }
    let original = saved + 1
    var first: [HostDifference] = []
    switch alone(original, program) {
    case .differ(let found): first = found
    default:
      result.unsteady += 1
      if result.unsteadyCases.count < HostResult.unsteadyKept { result.unsteadyCases.append(program.number) }
      result.skipped += 1
      result.rowSkipped[Int(row)] += 1
      return
    }
    guard result.failures.count < campaign.failuresKept, keptOfRow[row, default: 0] < campaign.failuresKeptOfRow else {
      return record(nil, row: row)
    }
    slot.update(from: original, count: 1)
    var working = HostProgram()
    defer { working.deallocate() }
    working.bySteps = program.bySteps
    let kinds = Set(first.map { Self.kind($0) })
    let minimiser = HostMinimiser { candidate in
      if !working.decode(candidate, self.decoder) { return false }
      // Undefined flags must not come into play because what defined them is gone.
      if case .differ(let found) = self.alone(candidate, working) { return !kinds.isDisjoint(with: found.map { Self.kind($0) }) && !self.usesUndefined(working) }
      return false
    }
    minimiser.minimise(slot)
    working.decode(slot, decoder)
    var differences = first
    if case .differ(let found) = alone(slot, working) { differences = found }
    record(HostFailure(
      number: program.number, row: row, replay: HostReplay(slot, bySteps: program.bySteps), listing: listing(slot), differences: differences))
  }

  /// Register classes, so that a smaller case fails in the same way.
  private static func kind(_ d: HostDifference) -> String {
    if d.what.hasPrefix("YMM") { return "YMM" }
    if d.what.hasPrefix("ST") { return "ST" }
    if d.what.hasPrefix("[") { return "memory" }
    if HostNames.general.contains(d.what) { return "register" }
    return d.what == "RFLAGS" ? d.what + d.note : d.what
  }

  private func usesUndefined(_ program: HostProgram) -> Bool {
    var undefined: UInt32 = 0, branches = false
    for n in 0..<program.count {
      let row = program.instructions[n].row
      if OpcodeMap.shared.flagsTested(row) & undefined != 0 { return true }
      branches = branches || OpcodeMap.shared.attributes(row).contains(.endsBlock)
      if !branches { undefined &= ~OpcodeMap.shared.flagsModified(row) }
      undefined |= OpcodeMap.shared.flagsUndefined(row)
    }
    return false
  }

  private func record(_ failure: HostFailure?, row: UInt16? = nil) {
    let row = failure?.row ?? row ?? 0
    result.failed += 1
    result.rowFailed[Int(row)] += 1
    keptOfRow[row, default: 0] += 1
    if let failure { result.failures.append(failure) }
  }

  private func listing(_ c: CasePointer) -> [String] {
    var program = HostProgram()
    defer { program.deallocate() }
    program.decode(c, decoder)
    return (0..<program.count).map { n in
      let at = program.offset(n), i = program.instructions[n]
      let length = i.row == 0 ? c.length - at : Int(i.length)
      let address = c.start.pointee.rip + UInt64(at)
      return Hex.text(address, 8) + "  " + Hex.dump((0..<length).map { c.code[at + $0] }).padded(30) + Disassembler.text(of: i, at: address)
    }
  }

  // MARK: Single cases

  func replay(_ replay: HostReplay) throws(MachineError) -> (failure: HostFailure?, listing: [String]) {
    let c = cases(scratchBuffer)
    var program = programs[0][0]
    program.bySteps = try replay.read(into: c)
    program.decode(c, decoder)
    guard case .differ(let found) = alone(c, program) else { return (nil, listing(c)) }
    return (HostFailure(number: 0, row: program.instructions[0].row, replay: replay, listing: listing(c), differences: found), listing(c))
  }

  func text(of number: UInt64) -> (HostReplay?, skippedBy: HostRule?) {
    switch generator.make(number, cases(0), &programs[0][0]) {
    case .ready: (HostReplay(cases(0), bySteps: programs[0][0].bySteps), nil)
    case .skipped(let rule, _): (nil, HostRule.all[rule])
    }
  }
}
