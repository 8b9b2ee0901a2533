#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
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
        xenolith create -c guest.cfg
        xenolith disassemble --bits 16 bootsector.bin
      """,
    version: "xenolith \(programVersion)",
    subcommands: [RunCommand.self, DisassembleCommand.self, ConformCommand.self],
    groupedSubcommands: [
      CommandGroup(
        name: "Domains",
        subcommands: [
          HypervisorCommand.self, CreateCommand.self, ListCommand.self, ConsoleCommand.self, PauseCommand.self, UnpauseCommand.self,
          ShutdownCommand.self, RebootCommand.self, DestroyCommand.self, SaveCommand.self, RestoreCommand.self, DumpCoreCommand.self, VCPUListCommand.self, VCPUPinCommand.self,
          VCPUSetCommand.self, MemSetCommand.self, SchedCreditCommand.self, DmesgCommand.self, TopCommand.self,
        ])
    ])

  public init() {}

  /// Parses the process's arguments, runs the subcommand and ends the process with its exit code.
  public static func start() -> Never {
    HostFile.occupyClosedStreams()
    // A file that grows beyond `ulimit -f` is an error like others.
    signal(SIGXFSZ, SIG_IGN)
    let code = execute(Array(CommandLine.arguments.dropFirst()))
    #if canImport(Glibc)
    Glibc.exit(code)
    #elseif canImport(Musl)
    Musl.exit(code)
    #endif
  }

  /// Runs the subcommand that `arguments` name, says what went wrong, and returns the exit code.
  static func execute(_ arguments: [String]) -> Int32 {
    do {
      var command = try parseAsRoot(RunCommand.normalise(arguments))
      try command.run()
      return 0
    } catch {
      return Failure.report(error, arguments: arguments)
    }
  }
}
