import HostOracle
import Machine
import Synchronization
import X86Decoder

/// A case in which the core is not as the host, as small as it could be made.
public struct HostFailure: Sendable, Equatable {
  public var number: UInt64
  /// Row of the first instruction of the case as it was generated.
  public var row: UInt16
  /// The smaller case; the original one if nothing could be left out.
  public var replay: HostReplay
  public var listing: [String]
  public var differences: [HostDifference]
}

public struct HostResult: Sendable {
  public var passed = 0, failed = 0, skipped = 0
  /// By opcode row of the first instruction.
  public var rowPassed: [Int], rowFailed: [Int], rowSkipped: [Int]
  /// Times an instruction of a row was begun, and times it was completed, in 64-bit and in 32-bit code.
  public var begun: [[Int]], completed: [[Int]]
  /// Cases that each rule applied to.
  public var ruled: [Int]
  /// Cases that agreed when they were repeated alone, and the numbers of the first.
  public var unsteady = 0
  public var unsteadyCases: [UInt64] = []
  static let unsteadyKept = 20
  public var failures: [HostFailure] = []

  init() {
    let rows = OpcodeMap.shared.rowCount
    rowPassed = Array(repeating: 0, count: rows)
    rowFailed = rowPassed
    rowSkipped = rowPassed
    begun = [rowPassed, rowPassed]
    completed = begun
    ruled = Array(repeating: 0, count: HostRule.all.count)
  }

  public var cases: Int { passed + failed + skipped }

  /// The host's interruptions make about one of a million cases unsteady. More come from what ran before a case: a failure.
  public var isTooUnsteady: Bool { unsteady > max(2, cases / 100_000) }

  mutating func add(_ other: HostResult) {
    func sum(_ a: inout [Int], _ b: [Int]) { for n in a.indices { a[n] += b[n] } }
    passed += other.passed
    failed += other.failed
    skipped += other.skipped
    unsteady += other.unsteady
    unsteadyCases = Array((unsteadyCases + other.unsteadyCases).sorted().prefix(Self.unsteadyKept))
    sum(&rowPassed, other.rowPassed)
    sum(&rowFailed, other.rowFailed)
    sum(&rowSkipped, other.rowSkipped)
    for n in 0..<2 {
      sum(&begun[n], other.begun[n])
      sum(&completed[n], other.completed[n])
    }
    sum(&ruled, other.ruled)
    failures += other.failures
  }
}

/// Generated cases, run on the host's processor and on the core.
public struct HostCampaign: Sendable {
  public var seed: UInt64
  public var first: UInt64 = 0
  public var count: UInt64
  /// Cases whose number leaves this remainder.
  public var shard: (index: Int, count: Int) = (1, 1)
  public var workers = 1
  /// Failures to keep in full, and of each opcode row.
  public var failuresKept = 20
  public var failuresKeptOfRow = 2
  /// Begin with instructions of these mnemonics only; empty for all.
  public var only: Set<String> = []
  /// Only 64-bit or only 32-bit code.
  public var is32: Bool?
  /// Changes the core's result of the instruction at hand: shows that a difference is found.
  var sabotage: (@Sendable (UnsafeMutablePointer<HostState>, UnsafePointer<HostCase>) -> Void)?
  public let host: HostFeatures

  public init(host: HostFeatures, seed: UInt64, count: UInt64) {
    self.host = host
    self.seed = seed
    self.count = count
  }

  /// - Parameter progress: called now and then, never on two threads at once.
  public func run(progress: @escaping @Sendable (_ cases: Int, _ failed: Int) -> Void = { _, _ in }) throws(MachineError) -> HostResult {
    struct Shared {
      var next: UInt64
      var result = HostResult()
      var cases = 0, failed = 0
      var error: MachineError?
    }
    let numbers = (count + UInt64(shard.count) - 1) / UInt64(shard.count)
    let shared = Mutex(Shared(next: 0))
    let rows = try selectedRows()
    ParallelWork.run(workers: workers) { _ in
      guard let runner = HostRunner(campaign: self, only: rows) else {
        shared.withLock { $0.error = .usage("the host refused a process or memory for the cases") }
        return
      }
      defer { runner.stop() }
      while true {
        let batch: Range<UInt64>? = shared.withLock { shared in
          guard shared.error == nil, shared.next < numbers else { return nil }
          let begin = shared.next
          shared.next = min(numbers, begin + 4096)
          return begin..<shared.next
        }
        guard let batch else { break }
        do throws(MachineError) {
          try runner.run(batch.lazy.map { first &+ $0 * UInt64(shard.count) + UInt64(shard.index - 1) }.filter { $0 < first + count })
        } catch {
          shared.withLock { $0.error = error }
        }
        shared.withLock { shared in
          shared.cases += batch.count
          shared.failed = max(shared.failed, runner.result.failed)
          progress(shared.cases, shared.failed)
        }
      }
      shared.withLock { $0.result.add(runner.result) }
    }
    if let error = shared.withLock({ $0.error }) { throw error }
    var result = shared.withLock { $0.result }
    result.failures.sort { $0.number < $1.number }
    return result
  }

  private func selectedRows() throws(MachineError) -> Set<UInt16>? {
    if only.isEmpty { return nil }
    let rows = (1..<UInt16(OpcodeMap.shared.rowCount)).filter { only.contains("\(OpcodeMap.mnemonic($0))") }
    if rows.isEmpty { throw .usage("the opcode map has no instruction \(only.sorted().joined(separator: ", "))") }
    return Set(rows)
  }

  /// Runs one case given as text; its failure, or nil if both agree.
  public func replay(_ replay: HostReplay) throws(MachineError) -> (failure: HostFailure?, listing: [String]) {
    guard let runner = HostRunner(campaign: self, only: nil) else { throw .usage("the host refused a process or memory for the cases") }
    defer { runner.stop() }
    return try runner.replay(replay)
  }

  /// A case of the seed as text, or the rule that keeps it from being run.
  public func text(of number: UInt64) throws(MachineError) -> (HostReplay?, skippedBy: HostRule?) {
    guard let runner = HostRunner(campaign: self, only: try selectedRows()) else { throw .usage("the host refused a process or memory for the cases") }
    defer { runner.stop() }
    return runner.text(of: number)
  }
}
