import ArgumentParser
import Conformance
import Machine

/// `xenolith conform rom`: a test ROM that reports by POST codes and text.
struct ConformROMCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rom",
    abstract: "Runs a test ROM that reports by a POST port and an output port.",
    discussion: """
      The ROM lies at the top of the first megabyte and of the first four
      gigabytes. It has passed if its last POST code is the one of --pass and
      its output has the lines of --expect (blanks at their ends do not count).

      Examples:
        xenolith conform rom test386.bin --post-port 0x190 \\
            --output-port 0xe9 --expect test386-EE-reference.txt
        xenolith conform rom test386.bin --post-port 0x190 --cpu 386 \\
            --output-port 0xe9 --output got.txt
      """)

  @Argument(help: "The ROM: a multiple of 4096 bytes, at most 512K.")
  var file: String
  @Option(help: ArgumentHelp("Port of the POST codes.", valueName: "port"))
  var postPort: PortArgument
  @Option(help: ArgumentHelp("Port of the text.", valueName: "port"))
  var outputPort: PortArgument?
  @Option(help: ArgumentHelp("What the text should be.", valueName: "file"))
  var expect: String?
  @Option(help: ArgumentHelp("Stores the text; - is standard output.", valueName: "file"))
  var output: String?
  @Option(help: ArgumentHelp("POST code of success.", valueName: "code"))
  var pass = AddressArgument(argument: "0xff")!
  @Option(help: "CPU model (xenolith run --cpu help lists them).")
  var cpu: String?
  @Option(help: ArgumentHelp("Ends the run after so many host seconds.", valueName: "seconds"))
  var timeout = 300.0
  @Option(help: ArgumentHelp("Ends the run after so many instructions.", valueName: "N"))
  var maxInstructions: CountArgument?
  @OptionGroup var report: ReportOptions

  func validate() throws {
    if pass.value > 0xFF { throw ValidationError("--pass is a byte, at most 0xff") }
    if timeout.isNaN || timeout <= 0 { throw ValidationError("--timeout is a time in seconds, more than 0") }
    if expect != nil, outputPort == nil { throw ValidationError("--expect needs --output-port, where the text comes from") }
  }

  func run() throws {
    try report.check()
    if let output { try HostFile.checkWritable(output) }
    let result = try test()
    try HostFile.standardOutput((report.quiet ? result.problems + result.verdict + "\n" : result.text).utf8)
    if let path = report.json { try HostFile.store(Array(result.json.utf8), to: path) }
    if let path = report.junit { try HostFile.store(Array(result.junit.utf8), to: path) }
    if result.failed > 0 { throw ExitCode(1) }
  }

  private func test() throws(MachineError) -> ROMReport {
    let selection = try cpu.map { text throws(MachineError) in try CPUSelection(text) } ?? .standard
    let reference = try expect.map { path throws(MachineError) in try HostFile.contents(path) }
    let rom = try ROMRun(
      try HostFile.contents(file, limit: 1 << 20), name: file, model: selection.model, postPort: postPort.port, outputPort: outputPort?.port)
    let start = HostFile.monotonicTime()
    let bar = ProgressBar(label: file, isQuiet: report.quiet)
    let end = rom.run(instructions: maxInstructions?.value ?? .max) {
      let seconds = Double(HostFile.monotonicTime() - start) / 1e9
      let share = reference.map { Double(rom.output.count) / Double(max($0.count, 1)) } ?? seconds / timeout
      bar.show(share, "POST \(rom.codes.last.map { String($0, radix: 16) } ?? "-")")
      return seconds > timeout
    }
    bar.finish()
    if let output { try HostFile.store(rom.output, to: output) }
    return ROMReport(
      rom, name: file, end: end, passCode: UInt8(pass.value), expected: reference,
      hostSeconds: Double(HostFile.monotonicTime() - start) / 1e9)
  }
}
