#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Conformance
import Machine

/// `xenolith conform host`: generated code on the host's processor and on this one.
struct ConformHostCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "host",
    abstract: "Compares generated instructions with the processor of the host.",
    discussion: """
      Every case is one to four unprivileged instructions of the whole opcode
      map, in 64-bit or 32-bit code, with registers, flags, x87, SSE and AVX
      state and memory of its own. It is run by a process on the host that can
      do nothing else, and by the core; registers, defined flags, floating
      point state, memory and exceptions must be the same. A case is the same
      whenever seed and number are. Half of the cases run by decoded blocks,
      half by single steps. A case that fails is made smaller, and printed with
      a line that repeats it.

      Where a program cannot run an instruction, or processors legitimately
      differ, a rule leaves the instruction or part of the comparison out;
      rules are printed with their reasons and counts, and so is every row of
      the opcode map that was not hit. Needs an x86-64 Linux with AVX2 and
      FSGSBASE (Linux 5.9).

      Examples:
        xenolith conform host --count 1000000
        xenolith conform host --count 50000000 --seed 2 --shard 1/4
        xenolith conform host --only SHLD --only SHRD --count 100000
        xenolith conform host --seed 2 --case 4711
        xenolith conform host --replay '64 code=480FA5D8 rcx=41 rax=1 rbx=8000000000000000'
      """)

  @Option(help: "How many cases.")
  var count = CountArgument(argument: "100000")!
  @Option(help: "Seed of the cases.")
  var seed = CountArgument(argument: "1")!
  @Option(help: ArgumentHelp("Runs part K of N of the cases.", valueName: "K/N"))
  var shard: ShardArgument?
  @Option(name: .customLong("case"), help: ArgumentHelp("Runs only this case of the seed, and shows it.", valueName: "number"))
  var single: CountArgument?
  @Option(help: ArgumentHelp("Runs a case given as text, as failures print it.", valueName: "text"))
  var replay: String?
  @Option(help: ArgumentHelp("Begins with this instruction only; repeats.", valueName: "mnemonic"))
  var only: [String] = []
  @Option(help: ArgumentHelp("Only 64-bit or only 32-bit code.", valueName: "64|32"))
  var bits: Int?
  @Option(help: "How many failures to make smaller and show.")
  var failures = 20
  @Option(help: "Threads, each with a process of its own (default: one for each host core).")
  var jobs: Int?
  @OptionGroup var report: ReportOptions

  func validate() throws {
    if failures < 0 { throw ValidationError("--failures cannot be negative") }
    if let jobs, jobs < 1 { throw ValidationError("--jobs is at least 1") }
    if count.value == 0 { throw ValidationError("--count is at least 1") }
    if let bits, bits != 32, bits != 64 { throw ValidationError("--bits is 64 or 32") }
    if single != nil, replay != nil { throw ValidationError("--case and --replay exclude each other") }
  }

  func run() throws {
    try report.check()
    guard let host = HostFeatures() else {
      throw MachineError.usage("conform host needs an x86-64 Linux host with AVX2 and FSGSBASE")
    }
    var campaign = HostCampaign(host: host, seed: seed.value, count: count.value)
    if let shard { campaign.shard = (shard.index, shard.count) }
    campaign.only = Set(only.map { $0.uppercased() })
    campaign.is32 = bits.map { $0 == 32 }
    campaign.failuresKept = failures
    campaign.workers = jobs ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    if let replay { return try show(campaign, HostReplay(replay)) }
    if let single {
      let (replay, rule) = try campaign.text(of: single.value)
      if let replay { return try show(campaign, replay) }
      try HostFile.standardOutput("skipped by rule \(rule?.id ?? ""): \(rule?.reason ?? "")\n0 passed, 0 failed, 1 skipped\n".utf8)
      return
    }
    let start = HostFile.monotonicTime()
    let result = try run(campaign)
    let duration = Double(HostFile.monotonicTime() - start) / 1e9
    let options = only.map { " --only \($0)" }.joined() + (bits.map { " --bits \($0)" } ?? "")
    var text = HostReport(result: result, host: host, seed: seed.value, hostSeconds: duration, options: options)
    text.failuresShown = failures
    try HostFile.standardOutput((report.quiet ? text.brief : text.text).utf8)
    if let path = report.json { try HostFile.store(Array(text.json.utf8), to: path) }
    if let path = report.junit { try HostFile.store(Array(text.junit.utf8), to: path) }
    if result.failed > 0 || result.isTooUnsteady { throw ExitCode(1) }
  }

  private func run(_ campaign: HostCampaign) throws -> HostResult {
    let bar = ProgressBar(label: "host", isQuiet: report.quiet)
    defer { bar.finish() }
    let total = max(1, count.value / UInt64(campaign.shard.count))
    return try campaign.run { cases, failed in bar.show(Double(cases) / Double(total), "\(cases) cases, \(failed) failed") }
  }

  private func show(_ campaign: HostCampaign, _ replay: HostReplay) throws {
    let (failure, listing) = try campaign.replay(replay)
    if let failure {
      try HostFile.standardOutput((failure.text(seed: seed.value) + "0 passed, 1 failed, 0 skipped\n").utf8)
      throw ExitCode(1)
    }
    try HostFile.standardOutput((listing.joined(separator: "\n") + "\n\(replay.text)\n1 passed, 0 failed, 0 skipped\n").utf8)
  }
}
