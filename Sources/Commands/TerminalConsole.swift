#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Control
import Machine
import Toolstack

/// The terminal of a command that hosts a hypervisor, as the console of its domains: what is typed goes to the first one.
final class TerminalConsole: PollSource {
  private let manager: DomainManager
  /// Lines are shown with the domain's name.
  private let several: Bool
  private var escape = EscapeKeys()
  private(set) var isEnded = false
  /// Why standard output takes no more.
  private(set) var failure: SerialEndpoint.Failure?
  private var inputIsOpen = true
  /// By domain: a line that is not complete.
  private var lines: [String: [UInt8]] = [:]
  private var output: [UInt8] = []

  init(_ manager: DomainManager, several: Bool) {
    self.manager = manager
    self.several = several
  }

  var takesInput: Bool { inputIsOpen && !manager.domains.isEmpty }

  // MARK: Input

  func descriptors() -> [pollfd] {
    guard takesInput, manager.domains.first?.console.takesInput == true else { return [] }
    return [pollfd(fd: 0, events: Int16(POLLIN), revents: 0)]
  }

  func ready(_ entries: ArraySlice<pollfd>) {
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = read(0, &buffer, buffer.count)
    if count <= 0 {
      inputIsOpen = false
      return
    }
    var typed = Array(buffer[..<count])
    if Terminal.isTerminal {
      let (rest, commands) = escape.filter(typed)
      typed = rest
      if commands.contains(.end) { isEnded = true }
      if commands.contains(.powerButton), let first = manager.domains.first { manager.requestShutdown(first) }
      if commands.contains(.help) { HostFile.standardError(EscapeKeys.help) }
    }
    manager.domains.first?.console.type(typed)
  }

  // MARK: Output

  /// One domain's text goes out as it is; of several, whole lines with the name.
  func show(_ managed: ManagedDomain) {
    let name = managed.name
    _ = managed.console.attach { [weak self] in self?.put($0, of: name) }
  }

  private func put(_ bytes: [UInt8], of name: String) {
    if !several {
      output += bytes
    } else {
      var line = lines[name] ?? []
      for byte in bytes {
        line.append(byte)
        if byte == 10 {
          output += Array("\(name): ".utf8) + line
          line = []
        }
      }
      lines[name] = line
    }
    if output.count > 4096 { flush() }
  }

  func flush() {
    if output.isEmpty { return }
    if failure == nil, !HostFile.writeAll(1, output) {
      // After a signal nobody is expected to read.
      if errno != EINTR { failure = SerialEndpoint.Failure(standardOutput: errno) }
      isEnded = true
    }
    output.removeAll(keepingCapacity: true)
  }
}
