#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Conformance
import Dispatch
import Machine

/// `xenolith conform fuzz`: random code in random states.
struct ConformFuzzCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fuzz",
    abstract: "Executes random code in random states and looks for what must not happen.",
    discussion: """
      Every case has random bytes as code, random registers, descriptors, page
      tables and control bits, in real, protected, virtual-8086 or long mode,
      and interrupts that come at random. A case fails if the emulator
      crashes, hangs, leaves guest memory, breaks an invariant of the state,
      or does something else by decoded blocks than by single steps. A case
      is the same whenever seed and number are.

      Examples:
        xenolith conform fuzz --count 100000
        xenolith conform fuzz --seconds 7200 --seed 42
        xenolith conform fuzz --seed 42 --first 1234 --count 1
      """)

  @Option(help: "Seed of the run.")
  var seed = CountArgument(argument: "1")!
  @Option(help: ArgumentHelp("Number of the first case.", valueName: "case"))
  var first = CountArgument(argument: "0")!
  @Option(help: "How many cases (default: 100000, or no limit with --seconds).")
  var count: CountArgument?
  @Option(help: "Ends the run after so many seconds.")
  var seconds: Double?
  @Option(help: ArgumentHelp("Only this mode: \(FuzzMode.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "mode"))
  var mode: FuzzModeArgument?
  @Option(help: "Only this CPU model (default: all).")
  var cpu: String?
  @Option(help: "How many failures to show.")
  var failures = 20
  @Option(help: "Threads (default: one for each host core).")
  var jobs: Int?
  @Flag(help: "Lists what case --first executes, and does not run the others.")
  var list = false
  @OptionGroup var report: ReportOptions

  /// A case takes less than a millisecond; one that takes this many seconds hangs.
  private static let patience: UInt64 = 30

  func validate() throws {
    if failures < 0 { throw ValidationError("--failures cannot be negative") }
    if let jobs, jobs < 1 { throw ValidationError("--jobs is at least 1") }
    if count?.value == 0 { throw ValidationError("--count is at least 1") }
    if let seconds, seconds.isNaN || seconds <= 0 { throw ValidationError("--seconds is more than 0") }
  }

  func run() throws {
    try report.check()
    let limit = count?.value ?? (seconds == nil ? 100_000 : UInt64.max - first.value)
    guard first.value.addingReportingOverflow(limit).overflow == false else { throw MachineError.usage("--first and --count pass 2^64") }
    var campaign = FuzzCampaign(seed: seed.value, count: limit)
    campaign.first = first.value
    campaign.workers = jobs ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    campaign.mode = mode?.mode
    campaign.model = try cpu.map { text throws(MachineError) in try CPUSelection(text) }?.model
    campaign.findingsKept = max(1, failures)
    guard campaign.canRun else { throw MachineError.usage("the CPU model \(cpu ?? "") has no mode \(mode?.mode.rawValue ?? ""): choose another") }
    if list {
      try HostFile.standardOutput(campaign.listing(of: first.value).utf8)
      return
    }
    let start = HostFile.monotonicTime()
    let result = watched(campaign, start)
    let duration = Double(HostFile.monotonicTime() - start) / 1e9
    let text = FuzzReport(result: result, seed: seed.value, hostSeconds: duration, findingsShown: failures)
    try HostFile.standardOutput((report.quiet ? text.brief : text.text).utf8)
    if let path = report.json { try HostFile.store(Array(text.json.utf8), to: path) }
    if let path = report.junit { try HostFile.store(Array(text.junit.utf8), to: path) }
    if result.failed > 0 { throw ExitCode(1) }
  }

  private func watched(_ campaign: FuzzCampaign, _ start: UInt64) -> FuzzResult {
    FuzzWatch.reportCrashes()
    let watch = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "fuzz watch"))
    watch.schedule(deadline: .now() + 1, repeating: 1)
    watch.setEventHandler {
      guard let number = FuzzWatch.hanging(longerThan: Self.patience) else { return }
      HostFile.standardError("\nFAILED: case \(number) does not end; repeat with --seed \(campaign.seed) --first \(number) --count 1\n")
      _exit(1)
    }
    watch.activate()
    defer { watch.cancel() }
    let bar = ProgressBar(label: "fuzz", isQuiet: report.quiet)
    defer { bar.finish() }
    let most = seconds
    return campaign.run { result in
      let passed = Double(HostFile.monotonicTime() - start) / 1e9
      bar.show(
        max(Double(result.cases) / Double(campaign.count), most.map { passed / $0 } ?? 0),
        "\(result.cases) cases, \(result.instructions) instructions, \(result.failed) failed")
      return most.map { passed < $0 } ?? true
    }
  }
}

struct FuzzModeArgument: ExpressibleByArgument {
  let mode: FuzzMode
  init?(argument: String) {
    guard let mode = FuzzMode(rawValue: argument) else { return nil }
    self.mode = mode
  }
}
