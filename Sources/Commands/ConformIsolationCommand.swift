#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Conformance
import Dispatch
import Machine

/// `xenolith conform isolation`: hostile domains against the hypervisor.
struct ConformIsolationCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "isolation",
    abstract: "Attacks the hypervisor from inside a domain and looks at what it must not do.",
    discussion: """
      Every case makes a hypervisor with three domains that have secrets and,
      one after the other, hostile domains with one to four processors. They
      execute hypercalls, privileged instructions and accesses to page tables,
      rings and grants: right ones, nearly right ones and random ones, and
      known attacks. A case fails if a secret gets out, a byte of the others
      changes, the book-keeping of frames does not add up, a domain ends
      without a message, memory is lost, or somebody waits for ever. A case is
      the same whenever seed and number are; what fails is repeated one
      command at a time.

      Examples:
        xenolith conform isolation --count 1000000
        xenolith conform isolation --seed 7 --first 42 --cases 1 --list
      """)

  @Option(help: "Seed of the run.")
  var seed = CountArgument(argument: "1")!
  @Option(help: ArgumentHelp("How many hypercalls, instructions and accesses, in cases of \(IsolationCampaign.length).", valueName: "n"))
  var count = CountArgument(argument: "100000")!
  @Option(help: ArgumentHelp("Number of the first case.", valueName: "case"))
  var first = CountArgument(argument: "0")!
  @Option(help: ArgumentHelp("How many cases, instead of --count.", valueName: "n"))
  var cases: CountArgument?
  @Option(help: ArgumentHelp("Only domains of this kind: \(GuestKind.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "kind"))
  var kind: GuestKindArgument?
  @Option(help: "How many failures to show.")
  var failures = 5
  @Option(help: "Threads (default: one for each host core).")
  var jobs: Int?
  @Flag(help: "Lists what case --first executes, and does not run the others.")
  var list = false
  @OptionGroup var report: ReportOptions

  /// A case takes less than a second; one that takes this many hangs.
  private static let patience: UInt64 = 60

  func validate() throws {
    if failures < 0 { throw ValidationError("--failures cannot be negative") }
    if let jobs, jobs < 1 { throw ValidationError("--jobs is at least 1") }
    if count.value == 0 || cases?.value == 0 { throw ValidationError("--count and --cases are at least 1") }
  }

  func run() throws {
    try report.check()
    let length = UInt64(IsolationCampaign.length)
    let wanted = cases?.value ?? (count.value / length + (count.value % length == 0 ? 0 : 1))
    guard first.value.addingReportingOverflow(wanted).overflow == false else { throw MachineError.usage("--first and --cases pass 2^64") }
    var campaign = IsolationCampaign(seed: seed.value, count: wanted)
    campaign.first = first.value
    campaign.workers = jobs ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    campaign.kind = kind?.kind
    campaign.findingsKept = max(1, failures)
    if list {
      try HostFile.standardOutput(campaign.listing(of: first.value).utf8)
      return
    }
    let start = HostFile.monotonicTime()
    let result = watched(campaign)
    let duration = Double(HostFile.monotonicTime() - start) / 1e9
    let text = IsolationReport(result: result, seed: seed.value, hostSeconds: duration)
    try HostFile.standardOutput((report.quiet ? text.brief : text.text).utf8)
    if let path = report.json { try HostFile.store(Array(text.json.utf8), to: path) }
    if let path = report.junit { try HostFile.store(Array(text.junit.utf8), to: path) }
    if result.failed > 0 { throw ExitCode(1) }
  }

  private func watched(_ campaign: IsolationCampaign) -> IsolationResult {
    FuzzWatch.reportCrashes()
    let watch = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "isolation watch"))
    watch.schedule(deadline: .now() + 1, repeating: 1)
    watch.setEventHandler {
      guard let number = FuzzWatch.hanging(longerThan: Self.patience) else { return }
      HostFile.standardError("\nFAILED: case \(number) does not end; repeat with --seed \(campaign.seed) --first \(number) --cases 1\n")
      _exit(1)
    }
    watch.activate()
    defer { watch.cancel() }
    let bar = ProgressBar(label: "isolation", isQuiet: report.quiet)
    defer { bar.finish() }
    return campaign.run { result in
      bar.show(
        Double(result.cases) / Double(max(campaign.count, 1)),
        "\(result.commands) commands, \(result.domains) domains, \(result.failed) failed")
      return true
    }
  }
}

struct GuestKindArgument: ExpressibleByArgument {
  let kind: GuestKind
  init?(argument: String) {
    guard let kind = GuestKind(rawValue: argument) else { return nil }
    self.kind = kind
  }
}
