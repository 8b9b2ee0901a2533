#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Control
import Hypervisor
import Machine
import Toolstack
import XenABI

/// One hypervisor with its domains, and the world outside: the clock, this terminal, sockets.
final class HypervisorSession {
  let manager: DomainManager
  private let quiet: Bool
  private let loop = PollLoop()
  private var sockets: [StreamServer] = []
  private var tracer: HypervisorTraceFile?
  private var capture: PacketCaptureFile?
  /// The terminal as a console, if it is one.
  private var terminal: TerminalConsole?
  private let messages = HypervisorMessages()
  private var crashed = false
  /// A trace or a capture could not be written as it should.
  private var isIncomplete = false

  /// - Parameter cores: folder for core files.
  init(_ manager: DomainManager, quiet: Bool, cores: String = ".") {
    self.manager = manager
    self.quiet = quiet
    manager.hypervisor.wallClockAtStart = UInt64(time(nil))
    loop.add(manager.networks)
    manager.readFiles = { (configuration) throws(BuildError) in
      do throws(MachineError) { return try DomainFiles.images(configuration) } catch { throw BuildError(error.description) }
    }
    manager.storeCore = { (name, body) throws(BuildError) in
      // What was dumped before stays.
      var number = 0
      func path() -> String { "\(cores)/\(name)\(number == 0 ? "" : ".\(number)").core" }
      while HostFile.exists(path()) { number += 1 }
      try MemoryFile.store(body, to: path())
      return path()
    }
    manager.onEnd = { [weak self] in self?.domainEnded($0) }
    if !quiet {
      manager.hypervisor.console.onLine = { [messages] in messages.say("(XEN) \($0.text)") }
      manager.onEvent = { [messages] in messages.say("xenolith: \($0)") }
    }
  }

  /// A message to whoever reads standard error.
  func say(_ message: String) { messages.say("xenolith: \(message)") }

  /// Keeps a trace from now on, in a file and of kinds as `HypervisorTraceFile` says.
  func trace(to text: String) throws(MachineError) {
    tracer = try HypervisorTraceFile(text)
    manager.hypervisor.trace = tracer
  }

  /// Keeps every frame of the domains' networks in a file from now on.
  func capture(to path: String) throws(MachineError) {
    capture = PacketCaptureFile(manager, try SerialEndpoint(.file(path)))
  }

  // MARK: The world outside

  private(set) var service: HypervisorService?

  /// Lets commands reach the hypervisor by a socket, and Xen's tools the store by another one.
  /// - Parameter store: its path; nil for one beside the first.
  func serve(_ path: String, store: String?) throws(MachineError) {
    let service = HypervisorService(manager)
    try serve(path, "the hypervisor", service)
    self.service = service
    try serve(store ?? SocketAddress.store(beside: path), "the store", XenstoreSocket(manager.store))
  }

  private func serve(_ path: String, _ name: String, _ service: any StreamService) throws(MachineError) {
    do throws(SocketError) {
      let server = try StreamServer(path: path, name: name, service: service)
      sockets.append(server)
      loop.add(server)
    } catch {
      throw MachineError(error)
    }
  }

  /// Shows consoles on this terminal and takes what is typed there.
  /// - Parameter several: lines are shown with the domain's name.
  func attachTerminal(several: Bool) {
    let terminal = TerminalConsole(manager, several: several)
    self.terminal = terminal
    loop.add(terminal)
  }

  func show(_ managed: ManagedDomain) { terminal?.show(managed) }

  private func domainEnded(_ end: DomainEnd) {
    if end.isGivenUp || end.outcome == .gone && (end.reason == .crash || end.reason == .watchdog) { crashed = true }
    service?.domainEnded(end)
  }

  // MARK: Running

  /// Lets the domains run.
  /// - Parameters:
  ///   - timeout: in seconds.
  ///   - forever: not only until the last one has ended.
  /// - Returns: an exit code.
  func run(timeout: Double? = nil, forever: Bool = false) -> Int32 {
    Terminal.handleSignals()
    if terminal != nil { Terminal.makeRaw() }
    defer { Terminal.restore() }
    // However it ends, what was written last is there, if somebody reads it.
    defer {
      flush()
      messages.flush(within: 200)
    }
    let start = HostFile.monotonicTime()
    let h = manager.hypervisor
    var lastLook: UInt64 = 0
    // A kernel that cannot even be entered has ended already.
    manager.reap()
    while forever || manager.domains.contains(where: \.isAlive) {
      var wait: UInt64 = 0
      if case .idle(let until) = h.step() {
        if takesInput || forever {
          wait = min(until.map { $0 > h.now ? $0 - h.now : 0 } ?? .max, 50_000_000)
          if wait == 0, let until { h.advance(to: until) }
        } else if let until {
          h.advance(to: until)
        } else {
          // Somebody may have been told something by xenstore a moment ago.
          manager.service()
          guard case .idle(nil) = h.step() else { continue }
          HostFile.standardError("xenolith: every domain waits for something that cannot come\n")
          return 102
        }
      }
      manager.reap()
      let before = HostFile.monotonicTime()
      if wait > 0 || before &- lastLook > 5_000_000 {
        manager.service()
        flush()
        loop.wait(nanoseconds: wait)
        let now = HostFile.monotonicTime()
        // The guests' time is the host's while they wait.
        if wait > 0 { h.advance(to: h.now + min(max(now &- before, 1), wait)) }
        lastLook = now
        manager.service()
        if let failure = terminal?.failure {
          HostFile.standardError("xenolith: \(failure)\n")
          return failure.isReaderGone ? 130 : 70
        }
        if terminal?.isEnded == true || Terminal.isInterrupted { return 130 }
        if let timeout, Double(now &- start) / 1e9 >= timeout {
          say("--timeout: \(manager.domains.count) domain(s) still run")
          return 103
        }
      }
    }
    flush()
    if let failure = terminal?.failure {
      HostFile.standardError("xenolith: \(failure)\n")
      return failure.isReaderGone ? 130 : 70
    }
    return crashed ? 101 : isIncomplete ? 70 : 0
  }

  /// Somebody can tell the guests something.
  private var takesInput: Bool { terminal?.takesInput == true || !sockets.isEmpty || manager.networks.waitsForHost }

  private func flush() {
    terminal?.flush()
    for socket in sockets { socket.flush() }
    tracer?.flush()
    capture?.flush()
    messages.flush()
    // The domains have nothing to do with it, and go on.
    guard !isIncomplete, let failure = tracer?.failure ?? capture?.failure else { return }
    isIncomplete = true
    messages.say("xenolith: \(failure)")
  }
}

extension MachineError {
  /// What went wrong with a socket.
  init(_ error: SocketError) {
    self.init(error.kind == .inUse ? .usage : .missingFile, error.description)
  }
}
