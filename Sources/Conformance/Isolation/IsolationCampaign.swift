import Synchronization

/// What a campaign against the hypervisor did.
public struct IsolationResult: Sendable {
  public var cases: UInt64 = 0
  public var failed: UInt64 = 0
  /// Hypercalls, instructions and accesses of the hostile domains.
  public var commands = 0
  public var domains = 0
  /// Domains that the hypervisor ended for what they did.
  public var killed = 0
  /// Hypercalls by name, those of multicalls too.
  public var hypercalls: [String: (made: Int, succeeded: Int)] = [:]
  /// What services did in the end for all that hostile domains asked of them: transfers of disks, frames on the bridge, turns of xenstore.
  public var transfers = 0, frames = 0, storeTurns = 0
  public var findings: [IsolationFinding] = []

  public var made: Int { hypercalls.values.reduce(0) { $0 + $1.made } }
  public var succeeded: Int { hypercalls.values.reduce(0) { $0 + $1.succeeded } }
}

/// What is wrong in a case.
public struct IsolationFinding: Sendable {
  public var number: UInt64
  public var kind: GuestKind
  public var text: String
  /// Commands executed in the case until then.
  public var commands: Int
}

/// Hostile domains against the hypervisor and its services (xenstore, console, block and network back ends): they must neither reach other
/// domains, nor crash, hang or bleed them.
///
/// Not modelled: back ends in other domains than the hypervisor itself, and uplinks of bridges, which no domain of a case has.
public struct IsolationCampaign: Sendable {
  public var seed: UInt64
  public var first: UInt64 = 0
  public var count: UInt64
  public var workers = 1
  public var kind: GuestKind?
  public var findingsKept = 10
  /// Commands of a case.
  public static let length = 1000

  public init(seed: UInt64, count: UInt64) {
    self.seed = seed
    self.count = count
  }

  private func make(_ number: UInt64) -> IsolationCase {
    var made = IsolationCase(seed: seed, number: number, length: Self.length)
    made.kind = kind
    return made
  }

  /// - Parameter progress: called now and then, never on two threads at once; false ends the run.
  public func run(progress: @escaping @Sendable (IsolationResult) -> Bool = { _ in true }) -> IsolationResult {
    struct Shared {
      var next: UInt64
      var result = IsolationResult()
      var isStopped = false
    }
    let shared = Mutex(Shared(next: first))
    let end = first &+ count
    ParallelWork.run(workers: min(workers, FuzzWatch.maximumWorkers)) { worker in
      while let number: UInt64 = shared.withLock({ shared in
        guard !shared.isStopped, shared.next < end else { return nil }
        shared.next += 1
        return shared.next - 1
      }) {
        FuzzWatch.begin(number, worker)
        var one = make(number)
        let problem = one.run()
        let finding = problem.map { explain($0, number, one.work.commands) }
        FuzzWatch.end(worker)
        shared.withLock { shared in
          shared.result.cases += 1
          shared.result.commands += one.work.commands
          shared.result.domains += one.work.domains
          shared.result.killed += one.work.killed
          shared.result.transfers += one.work.transfers
          shared.result.frames += one.work.frames
          shared.result.storeTurns += one.work.storeTurns
          for (call, counts) in one.work.hypercalls {
            let old = shared.result.hypercalls[call] ?? (0, 0)
            shared.result.hypercalls[call] = (old.made + counts.made, old.succeeded + counts.succeeded)
          }
          if let finding {
            shared.result.failed += 1
            if shared.result.findings.count < findingsKept { shared.result.findings.append(finding) }
          }
          if !progress(shared.result) { shared.isStopped = true }
        }
      }
    }
    return shared.withLock { $0.result }
  }

  /// Runs the case again, one command at a time where it went wrong, to name the command.
  private func explain(_ problem: IsolationProblem, _ number: UInt64, _ commands: Int) -> IsolationFinding {
    var again = make(number)
    again.singly = (problem.life, max(0, problem.round - 4))
    let exact = again.run()
    let shown = exact ?? problem
    var text = problem.text.prefix(6).joined(separator: "\n    ")
    text += "\n  in domain \(shown.life) of the case, round \(shown.round); \(exact == nil ? "the last commands of the round" : "one at a time, seen after the last of"):"
    for command in shown.commands { text += "\n    \(command)" }
    if let exact, exact.text != problem.text { text += "\n  then: " + exact.text.prefix(3).joined(separator: "\n    ") }
    return IsolationFinding(number: number, kind: problem.kind, text: text, commands: commands)
  }

  /// Every command of a case, one a line.
  public func listing(of number: UInt64) -> String {
    var lines = ""
    var one = make(number)
    one.onCommand = { life, round, processor, command in lines += "domain \(life) round \(round) v\(processor) \(command)\n" }
    let problem = one.run()
    return lines + (problem.map { "FAILED: \($0.text.joined(separator: "; "))\n" } ?? "")
  }
}
