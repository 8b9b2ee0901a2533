import ArgumentParser
import Machine

/// The `xenolith` program: every subcommand is a type of this module.
public struct XenolithCommand: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "xenolith",
    abstract: "A full-system x86 emulator: deterministic, explainable, without virtualisation hardware.",
    discussion: """
      Examples:
        xenolith run --kernel vmlinuz --initrd initrd.gz --append console=ttyS0
        xenolith run --load test.bin@0x7c00 --debug-exit 0xf4
        xenolith disassemble --bits 16 bootsector.bin
      """,
    version: "xenolith \(programVersion)",
    subcommands: [RunCommand.self, DisassembleCommand.self, ConformCommand.self])

  public init() {}

  /// Parses the process's arguments, runs the subcommand and ends the process with its exit code.
  public static func start() -> Never {
    let arguments = RunCommand.normalise(Array(CommandLine.arguments.dropFirst()))
    do {
      var command = try parseAsRoot(arguments)
      try command.run()
      exit()
    } catch {
      exit(withError: error)
    }
  }
}
