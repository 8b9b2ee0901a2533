#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Devices
import Display
import Machine

/// Connects a running machine with the terminal, serial back ends and a window.
final class CommandLineHost: MachineHost {
  private let endpoints: [SerialEndpoint]
  private let screen: (any Screen)?
  private var frame = Frame()
  private var lastFrame: UInt64 = 0
  private var escape = EscapeKeys()
  private var isEnded = false
  /// Where the escape key's answers go.
  private let isTerminal: Bool

  /// 50 pictures a second.
  private static let framePeriod: UInt64 = 20_000_000
  /// A guest that does not read gets no more than this.
  private static let backlogLimit = 4096

  init(endpoints: [SerialEndpoint], screen: (any Screen)?) {
    self.endpoints = endpoints
    self.screen = screen
    isTerminal = Terminal.isTerminal
  }

  func wallTime() -> UInt64 { HostFile.monotonicTime() }

  var isInteractive: Bool { screen != nil || endpoints.contains { $0.canBringInput } }

  var isInterrupted: Bool { isEnded || Terminal.isInterrupted }

  func flush() { for endpoint in endpoints { endpoint.flush() } }

  func service(_ machine: Machine, mayWait: UInt64) -> [InputEvent] {
    flush()
    if endpoints.contains(where: { $0.failure != nil }) { isEnded = true }
    var events = refresh(machine)
    var waiting: [pollfd] = []
    var ports: [Int] = []
    for (port, endpoint) in endpoints.enumerated()
    where endpoint.canBringInput && machine.serialBacklog(port) < Self.backlogLimit {
      waiting.append(pollfd(fd: endpoint.waitDescriptor, events: Int16(POLLIN), revents: 0))
      ports.append(port)
    }
    var timeout = events.isEmpty && !isInterrupted ? mayWait : 0
    for descriptor in screen?.waitDescriptors ?? [] {
      waiting.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
    }
    if screen != nil { timeout = min(timeout, Self.framePeriod / 2) }
    guard poll(&waiting, nfds_t(waiting.count), Int32((timeout + 999_999) / 1_000_000)) > 0 else { return events }
    for (entry, port) in zip(waiting, ports) where entry.revents != 0 {
      receive(endpoints[port].receive(), port: port, machine, &events)
    }
    return events
  }

  private func receive(_ bytes: [UInt8], port: Int, _ machine: Machine, _ events: inout [InputEvent]) {
    var guest = bytes
    if endpoints[port].kind == .stdio, isTerminal {
      let (rest, commands) = escape.filter(bytes)
      guest = rest
      for command in commands { obey(command, machine, &events) }
    }
    if !guest.isEmpty { events.append(.serial(port: port, bytes: guest)) }
  }

  private func obey(_ command: EscapeKeys.Command, _ machine: Machine, _ events: inout [InputEvent]) {
    switch command {
    case .end: isEnded = true
    case .help: HostFile.standardError(EscapeKeys.help)
    case .status: HostFile.standardError("\r\n\(machine.statusText)\r\n")
    case .powerButton: events.append(.powerButton)
    }
  }

  // MARK: Screen

  private func text(_ machine: Machine) -> TextScreen? {
    machine.textCells().map { t in
      TextScreen(
        columns: t.columns, rows: t.rows, cells: t.cells.map { .init(code: $0.code, attribute: $0.attribute) },
        cursor: t.cursor)
    }
  }

  private func refresh(_ machine: Machine) -> [InputEvent] {
    guard let screen else { return [] }
    let now = wallTime()
    if now &- lastFrame >= Self.framePeriod {
      lastFrame = now
      if machine.render(into: &frame) { screen.show(frame, text: text(machine)) }
    }
    return screen.takeEvents().compactMap { event in
      switch event {
      case .key(let key, let isPressed): return .key(key, isPressed: isPressed)
      case .mouse(let dx, let dy, let wheel, let buttons): return .mouse(dx: dx, dy: dy, wheel: wheel, buttons: buttons)
      case .close:
        isEnded = true
        return nil
      }
    }
  }
}
