import ArgumentParser
import Control
import Machine

/// `xenolith save`, with the order of arguments that `xl` has.
struct SaveCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "save", abstract: "Writes a running domain to a file.",
    discussion: """
      The domain's kernel is asked to suspend itself; what it was in the middle of goes on when it is restored. A file that is there is
      replaced only when the new one is complete.

      Exit codes: 64 wrong option, 65 the domain cannot be saved, 66 no such domain or no hypervisor, or the file cannot be written.

      Examples:
        xenolith save guest guest.save
        xenolith save -c guest checkpoint.save
      """)
  @OptionGroup var service: ServiceOptions
  @Flag(name: [.customShort("c"), .long], help: "Let the domain run on afterwards.") var checkpoint = false
  @Flag(name: [.customShort("p"), .long], help: "Leave the domain paused afterwards.") var pause = false
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String
  @Argument(help: ArgumentHelp("File to write.", valueName: "file")) var file: String

  func validate() throws {
    if checkpoint, pause { throw ValidationError("-c and -p exclude each other") }
  }

  func run() throws {
    try ask(.save(domain: domain, path: CreateCommand.absolute(file), after: checkpoint ? .resume : pause ? .pause : .destroy))
  }
}

/// `xenolith dump-core`.
struct DumpCoreCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump-core", abstract: "Writes a domain's memory and processors to a file for debuggers.",
    discussion: """
      The file is an ELF file of Xen's dump-core format, as the program crash reads it. The domain runs on.

      Exit codes: 64 wrong option, 66 no such domain or no hypervisor, or the file cannot be written.

      Examples:
        xenolith dump-core guest guest.core
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String
  @Argument(help: ArgumentHelp("File to write.", valueName: "file")) var file: String
  func run() throws { try ask(.dumpCore(domain: domain, path: CreateCommand.absolute(file))) }
}

/// `xenolith restore`, with the order of arguments that `xl` has.
struct RestoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore", abstract: "Makes a domain from a file that `save` wrote.",
    discussion: """
      On a running hypervisor, or on one in this process as `create` does.

      Exit codes: those of create; 65 also for a file that is no saved domain.

      Examples:
        xenolith restore guest.save
        xenolith restore -c other.cfg guest.save
      """)

  @Flag(name: [.customShort("c"), .long], help: "Attach the console.") var console = false
  @Flag(name: .shortAndLong, help: "Leave the domain paused.") var paused = false
  @OptionGroup var service: ServiceOptions
  @OptionGroup var hosting: HostingOptions
  @Argument(help: ArgumentHelp("The saved domain, after a configuration file to use instead of its own.", valueName: "config] [file")) var files: [String]

  func validate() throws {
    if files.count > 2 { throw ValidationError("restore takes a configuration file at most, and a saved domain") }
  }

  func run() throws {
    let configuration = files.count > 1 ? try CreateCommand.source(files[0], quiet: hosting.quiet) : nil
    let path = CreateCommand.absolute(files[files.count - 1])
    guard let connection = try service.connectIfRunning() else { return try host(path, configuration) }
    if let option = hosting.firstGiven { throw MachineError.usage("\(option) comes too late: a hypervisor runs at \(service.path) already") }
    guard case .created(let domain) = try connection.ask(.restore(path: path, configuration: configuration, paused: paused)) else {
      throw ServiceConnection.surprise
    }
    guard console else { return }
    let code = try ConsoleSession(connection, domain: "\(domain.id)").run()
    if code != 0 { throw ExitCode(code) }
  }

  private func host(_ path: String, _ configuration: DomainSource?) throws {
    let session = try hosting.makeSession()
    if service.socket != nil { try session.serve(service.path, store: hosting.xenstoreSocket) }
    if console { session.attachTerminal(several: false) }
    session.show(try DomainFiles.restore(path, configuration, paused: paused, on: session.manager))
    let code = session.run(timeout: hosting.timeout)
    if code != 0 { throw ExitCode(code) }
  }
}
