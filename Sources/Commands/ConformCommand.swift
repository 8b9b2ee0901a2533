import ArgumentParser
import Machine

/// `xenolith conform`: tests of processors, run on this one.
struct ConformCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "conform",
    abstract: "Compares the emulated processor with hardware and test ROMs, and tests that domains stay apart.",
    discussion: """
      Every subcommand ends with a line "N passed, N failed, N skipped" and
      exits with 0 only if nothing failed.

      Examples:
        xenolith conform moo vectors/80286 --only F7
        xenolith conform host --count 1000000 --seed 2
        xenolith conform rom test386.bin --post-port 0x190 --output-port 0xe9
        xenolith conform fuzz --seconds 3600 --json result.json
        xenolith conform isolation --count 1000000

      Exit codes:
        0    nothing failed        1    something failed
        64   usage error           65   bad test file
        66   file missing          70   internal error
      """,
    subcommands: [ConformMOOCommand.self, ConformHostCommand.self, ConformROMCommand.self, ConformFuzzCommand.self, ConformIsolationCommand.self])
}

/// A shard as `K/N`.
struct ShardArgument: ExpressibleByArgument {
  let index: Int
  let count: Int

  init?(argument: String) {
    let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let index = Int(parts[0]), let count = Int(parts[1]), count > 0, 1...count ~= index else { return nil }
    self.index = index
    self.count = count
  }
}

/// Where reports go.
struct ReportOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Writes the results as JSON; - is standard output.", valueName: "file"))
  var json: String?
  @Option(help: ArgumentHelp("Writes the results as JUnit XML, as CI systems read it.", valueName: "file"))
  var junit: String?
  @Flag(help: "Prints no table and no progress, only failures and the last line.")
  var quiet = false

  /// Whether the reports can be written, before the work is done.
  func check() throws(MachineError) {
    var files = OutputFiles()
    for path in [json, junit] {
      guard let path else { continue }
      try HostFile.checkWritable(path)
      try files.add(path)
    }
  }
}
