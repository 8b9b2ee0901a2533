#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Control
import Machine

/// `xenolith console`.
struct ConsoleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "console",
    abstract: "Attaches this terminal to a domain's console.",
    discussion: """
      Ctrl-] detaches. What the domain wrote while nobody looked comes first. When the domain starts again the console goes on.

      Exit codes: 0 detached or the domain ended, 66 no such domain or no hypervisor, 101 the domain crashed.

      Examples:
        xenolith console guest
      """)

  @OptionGroup var service: ServiceOptions

  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain"))
  var domain: String

  func run() throws {
    let code = try ConsoleSession(try service.connect(), domain: domain).run()
    if code != 0 { throw ExitCode(code) }
  }
}

/// A terminal that is attached to a console of a running hypervisor.
struct ConsoleSession {
  private let connection: ServiceConnection
  private let domain: String
  private static let detachKey: UInt8 = 0x1D

  init(_ connection: ServiceConnection, domain: String) {
    self.connection = connection
    self.domain = domain
  }

  /// - Returns: an exit code.
  func run() throws -> Int32 {
    guard case .attached = try connection.ask(.console(domain: domain)) else { throw ServiceConnection.surprise }
    Terminal.makeRaw()
    defer { Terminal.restore() }
    let client = connection.client
    var inputIsOpen = true
    while true {
      while let answer = try waiting() {
        switch answer {
        case .console(let bytes):
          guard HostFile.writeAll(1, bytes) else { return 130 }
        case .ended(let reason):
          Terminal.restore()
          return reason == "crash" || reason == "watchdog" ? 101 : 0
        case .failed(let reason, let message): throw MachineError(reason.kind, message)
        default: break
        }
      }
      if Terminal.isInterrupted { return 130 }
      var entries = [pollfd(fd: client.descriptor, events: Int16(POLLIN), revents: 0)]
      if inputIsOpen { entries.append(pollfd(fd: 0, events: Int16(POLLIN), revents: 0)) }
      guard poll(&entries, nfds_t(entries.count), -1) > 0 else { continue }
      if entries[0].revents != 0 {
        do throws(SocketError) { try client.read() } catch { throw MachineError(error) }
      }
      guard entries.count > 1, entries[1].revents != 0 else { continue }
      var buffer = [UInt8](repeating: 0, count: 1024)
      let count = read(0, &buffer, buffer.count)
      guard count > 0 else {
        inputIsOpen = false
        continue
      }
      let typed = buffer[..<count]
      if Terminal.isTerminal, let end = typed.firstIndex(of: Self.detachKey) {
        if end > 0 { try connection.send(.input(bytes: .init(typed[..<end]))) }
        return 0
      }
      try connection.send(.input(bytes: .init(typed)))
    }
  }

  private func waiting() throws(MachineError) -> ControlAnswer? {
    do throws(SocketError) { return try connection.client.waitingAnswer() } catch { throw MachineError(error) }
  }
}
