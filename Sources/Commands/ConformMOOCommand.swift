#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Conformance
import Machine

/// `xenolith conform moo`: single-instruction tests captured from hardware.
struct ConformMOOCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "moo",
    abstract: "Runs single-instruction tests captured from hardware (MOO files).",
    discussion: """
      Every *.MOO and *.MOO.gz file of the folders is run on a 386, in real
      mode. Flags that an instruction leaves undefined are masked by the file
      or by metadata.json beside it. Where the processor of the set differs
      from a 386 by design, a rule skips the test or part of the comparison;
      rules are printed with their reasons and counts.

      Examples:
        xenolith conform moo vectors/80286
        xenolith conform moo vectors/8086 vectors/80286 --json result.json
        xenolith conform moo vectors/80286 --only F7 --failures 3
        xenolith conform moo vectors/80286 --shard 2/4 --junit part2.xml
      """)

  @Argument(help: "Folders with MOO files, or single files.")
  var paths: [String]
  @Option(help: ArgumentHelp("Runs part K of N of every file's tests.", valueName: "K/N"))
  var shard: ShardArgument?
  @Option(help: ArgumentHelp("Runs only files whose opcode begins so; repeats.", valueName: "opcode"))
  var only: [String] = []
  @Option(help: "How many failures to show.")
  var failures = 20
  @Option(help: "Threads (default: one for each host core).")
  var jobs: Int?
  @Flag(help: "Executes one instruction at a time by the generic functions, not by decoded blocks.")
  var step = false
  @OptionGroup var report: ReportOptions

  func validate() throws {
    if failures < 0 { throw ValidationError("--failures cannot be negative") }
    if let jobs, jobs < 1 { throw ValidationError("--jobs is at least 1") }
  }

  func run() throws {
    try report.check()
    var results: [MOOFileResult] = []
    let start = HostFile.monotonicTime()
    for path in paths { results += try campaign(path) }
    var text = MOOReport(
      results: results, hostSeconds: Double(HostFile.monotonicTime() - start) / 1e9, title: paths.joined(separator: ", "))
    text.failuresShown = failures
    try HostFile.standardOutput((report.quiet ? text.brief : text.text).utf8)
    if let path = report.json { try HostFile.store(Array(text.json.utf8), to: path) }
    if let path = report.junit { try HostFile.store(Array(text.junit.utf8), to: path) }
    if text.failed > 0 { throw ExitCode(1) }
  }

  private func campaign(_ path: String) throws(MachineError) -> [MOOFileResult] {
    let isFolder = HostFile.isFolder(path)
    var files = isFolder ? try HostFile.list(path).filter(Self.isMOO).map { path + "/" + $0 } : [path]
    if !only.isEmpty {
      files = files.filter { file in only.contains { MOOReader.opcodeName(file).uppercased().hasPrefix($0.uppercased()) } }
    }
    guard !files.isEmpty else {
      throw .missingFile(only.isEmpty ? "\(path) has no files that end in .MOO or .MOO.gz" : "\(path) has no MOO files of the opcodes asked for")
    }
    let folder = isFolder ? path : path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    var campaign = MOOCampaign(files: files.map { ($0, HostFile.size($0)) }, metadata: try metadata(folder.isEmpty ? "." : folder))
    if let shard { campaign.shard = .init(index: shard.index, count: shard.count) }
    campaign.bySteps = step
    campaign.failuresKept = failures
    campaign.workers = jobs ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let bar = ProgressBar(label: path, isQuiet: report.quiet)
    defer { bar.finish() }
    return try campaign.run(contents: { path throws(MachineError) in try HostFile.contents(path) }) { progress in
      bar.show(progress.share, "\(progress.passed) passed, \(progress.failed) failed, \(progress.skipped) skipped")
    }
  }

  private static func isMOO(_ name: String) -> Bool {
    let lower = name.lowercased()
    return lower.hasSuffix(".moo") || lower.hasSuffix(".moo.gz")
  }

  private func metadata(_ folder: String) throws(MachineError) -> MOOMetadata {
    let path = folder + "/metadata.json"
    guard HostFile.exists(path) else { return MOOMetadata() }
    return try MOOMetadata(JSON.parse(try HostFile.contents(path), name: path), name: path)
  }
}
