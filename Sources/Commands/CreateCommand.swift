#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Control
import Machine
import Toolstack

/// `xenolith create`: domains from xl's configuration files, on a running hypervisor or on one in this process.
struct CreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create",
    abstract: "Starts domains from xl configuration files.",
    discussion: """
      Where `xenolith hypervisor` runs, the domains are started there, and -c attaches this terminal to the console of the domain
      (Ctrl-] detaches).

      Otherwise the hypervisor is in this process; it runs until the last domain has ended. With -c the console of the domain is this
      terminal (Ctrl-A x ends everything, Ctrl-A p asks the domain to switch itself off); with several domains their lines are shown with
      their names. With --socket other commands reach it there.

      Paravirtual domains (type = "pv") of 64 and 32 bits and PVH domains (type = "pvh") with console, xenstore, a RAM disk,
      disks and networks are there. Fully virtualised domains (type = "hvm") are not yet.

      Exit codes: 0 every domain ended by itself, 64 wrong option, 65 bad configuration or kernel, 66 missing file,
      101 a domain crashed, 103 --timeout, 130 interrupted.

      Examples:
        xenolith create -c guest.cfg
        xenolith create --timeout 60 one.cfg two.cfg
        xenolith create -c --pcap net.pcap guest.cfg
      """)

  @Flag(name: [.customShort("c"), .long], help: "Attach the console.")
  var console = false

  @Flag(name: .shortAndLong, help: "Leave the domains paused.")
  var paused = false

  @OptionGroup var service: ServiceOptions
  @OptionGroup var hosting: HostingOptions

  @Argument(help: ArgumentHelp("Configuration files.", valueName: "config"))
  var configs: [String]

  func run() throws {
    if let connection = try service.connectIfRunning() { return try handOver(to: connection) }
    let session = try hosting.makeSession()
    if service.socket != nil { try session.serve(service.path, store: hosting.xenstoreSocket) }
    if console { session.attachTerminal(several: configs.count > 1) }
    for path in configs {
      let source = try Self.source(path, quiet: hosting.quiet)
      session.show(try DomainFiles.create(source, paused: paused, on: session.manager))
    }
    let code = session.run(timeout: hosting.timeout)
    if code != 0 { throw ExitCode(code) }
  }

  /// Starts the domains on a hypervisor that runs.
  private func handOver(to connection: ServiceConnection) throws {
    if let option = hosting.firstGiven { throw MachineError.usage("\(option) comes too late: a hypervisor runs at \(service.path) already") }
    if console, configs.count > 1 { throw MachineError.usage("-c takes one domain where a hypervisor runs already") }
    for path in configs {
      let source = try Self.source(path, quiet: hosting.quiet)
      guard case .created(let domain) = try connection.ask(.create(source, paused: paused)) else { throw ServiceConnection.surprise }
      if console {
        let code = try ConsoleSession(connection, domain: "\(domain.id)").run()
        if code != 0 { throw ExitCode(code) }
      }
    }
  }

  /// A configuration file as it is handed on. What is wrong with it is found here, and warnings are said here.
  static func source(_ path: String, quiet: Bool) throws(MachineError) -> DomainSource {
    let source = DomainSource(text: try HostFile.contents(path, limit: 1 << 20), file: path, directory: currentFolder)
    let configuration = try DomainFiles.configuration(source)
    for warning in configuration.warnings where !quiet { HostFile.standardError("xenolith: \(warning)\n") }
    return source
  }

  static func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : currentFolder + "/" + path }

  private static var currentFolder: String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    guard getcwd(&buffer, buffer.count) != nil else { return "." }
    return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
