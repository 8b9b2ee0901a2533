import Machine
import Synchronization

/// What came of the tests of one file.
public struct MOOFileResult: Sendable {
  /// Opcode, as the file is called, and its mnemonic where the file says it.
  public var opcode: String
  public var mnemonic: String
  public var processor: MOOProcessor
  public var passed = 0
  public var failed = 0
  public var skipped = 0
  /// Tests that each rule applied to, by the rule's place in `MOORule.all`; of several that skip the first counts.
  public var ruled = [Int](repeating: 0, count: MOORule.all.count)
  /// The first failures.
  public var failures: [MOOFailure] = []
}

/// A test that failed, with all that a reader needs to understand it.
public struct MOOFailure: Sendable {
  public var test: MOOTest
  public var processor: MOOProcessor
  public var disassembly: String
  public var differences: [MOODifference]
}

/// Runs the tests of a folder on all host cores.
public struct MOOCampaign: Sendable {
  /// Which part of the tests to run: number `index` (from 1) of `count`.
  public struct Shard: Sendable, Equatable {
    public var index: Int
    public var count: Int
    public static let whole = Shard(index: 1, count: 1)

    public init(index: Int, count: Int) {
      self.index = index
      self.count = count
    }
  }

  public struct Progress: Sendable {
    public var passed = 0
    public var failed = 0
    public var skipped = 0
    /// Share of the work that is done, 0…1.
    public var share = 0.0
  }

  /// Paths of the files, in the order of the report, with their sizes.
  public var files: [(path: String, size: Int)]
  public var metadata: MOOMetadata
  public var shard = Shard.whole
  /// Execute by single steps rather than by decoded blocks.
  public var bySteps = false
  /// Failures to keep of each file.
  public var failuresKept = 20
  public var workers = 1

  public init(files: [(path: String, size: Int)], metadata: MOOMetadata) {
    self.files = files
    self.metadata = metadata
  }

  /// Runs everything; results are in the order of the files, whatever the number of workers.
  ///
  /// - Parameters:
  ///   - contents: reads a file; called on several threads.
  ///   - progress: called now and then, never on two threads at once.
  public func run(
    contents: @escaping @Sendable (String) throws(MachineError) -> [UInt8], progress: @escaping @Sendable (Progress) -> Void
  ) throws(MachineError) -> [MOOFileResult] {
    struct Shared {
      var next = 0
      var done = Progress()
      var bytes = 0
      var results: [MOOFileResult?]
      var error: (place: Int, MachineError)?
    }
    let total = max(1, files.reduce(0) { $0 + $1.size })
    let shared = Mutex(Shared(results: Array(repeating: nil, count: files.count)))
    ParallelWork.run(workers: min(workers, max(files.count, 1))) { _ in
      var cores: [MOOProcessor: MOOCore] = [:]
      while true {
        let n: Int? = shared.withLock { shared in
          guard shared.error == nil, shared.next < files.count else { return nil }
          defer { shared.next += 1 }
          return shared.next
        }
        guard let n else { return }
        do throws(MachineError) {
          let result = try file(files[n].path, contents, &cores)
          shared.withLock { shared in
            shared.results[n] = result
            shared.bytes += files[n].size
            shared.done.passed += result.passed
            shared.done.failed += result.failed
            shared.done.skipped += result.skipped
            shared.done.share = Double(shared.bytes) / Double(total)
            progress(shared.done)
          }
        } catch {
          shared.withLock { shared in if shared.error.map({ $0.place > n }) ?? true { shared.error = (n, error) } }
        }
      }
    }
    let end = shared.withLock { ($0.results, $0.error) }
    if let (_, error) = end.1 { throw error }
    return end.0.compactMap { $0 }
  }

  private func file(
    _ path: String, _ contents: (String) throws(MachineError) -> [UInt8], _ cores: inout [MOOProcessor: MOOCore]
  ) throws(MachineError) -> MOOFileResult {
    let bytes = try PackedFile.unpacked(contents(path), name: path)
    let file = try MOOReader.read(bytes, name: path, keep: { $0 % shard.count == shard.index - 1 })
    let core = cores[file.processor] ?? MOOCore(processor: file.processor, engine: bySteps ? .steps : .blocks)
    cores[file.processor] = core
    return Self.run(file, on: core, metadata: metadata, failuresKept: failuresKept)
  }

  /// Runs the tests of one file on a core.
  static func run(_ file: MOOFile, on core: MOOCore, metadata: MOOMetadata, failuresKept: Int) -> MOOFileResult {
    let result = pass(file, on: core, metadata: metadata, failuresKept: failuresKept, findsStrays: false)
    if core.residue().isEmpty { return result }
    // Something was written that no test expects: which test did it?
    return pass(file, on: core, metadata: metadata, failuresKept: failuresKept, findsStrays: true)
  }

  private static func pass(
    _ file: MOOFile, on core: MOOCore, metadata: MOOMetadata, failuresKept: Int, findsStrays: Bool
  ) -> MOOFileResult {
    var result = MOOFileResult(opcode: file.name, mnemonic: file.mnemonic, processor: file.processor)
    let rules = MOORule.all.enumerated().filter { $0.element.processor == file.processor }
    var effects: [MOORule.Effect] = []
    for test in file.tests {
      let subject = MOOCase(test, in: file)
      effects.removeAll(keepingCapacity: true)
      var isSkipped = false
      for (place, rule) in rules where rule.applies(subject) {
        result.ruled[place] += 1
        isSkipped = rule.effect == .skip
        if isSkipped { break }
        effects.append(rule.effect)
      }
      if isSkipped {
        result.skipped += 1
        continue
      }
      let flags = UInt32(metadata.definedFlags(subject.opcode, isTwoByte: subject.isTwoByte, reg: subject.reg)) | 0xFFFF_0000
      var differences = core.run(subject, definedFlags: flags, effects: effects, masks: file.masks)
      if findsStrays {
        differences += core.residue().prefix(8).map { MOODifference(memory: $0.address, before: nil, expected: nil, got: $0.value) }
      }
      if differences.isEmpty {
        result.passed += 1
      } else {
        result.failed += 1
        if result.failures.count < failuresKept {
          result.failures.append(MOOFailure(
            test: test, processor: file.processor, disassembly: subject.disassembly, differences: differences))
        }
      }
    }
    return result
  }
}
