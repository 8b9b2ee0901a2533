#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Devices

/// A VNC server: any number of viewers share the screen, keyboard and mouse.
public final class VNCDisplay: Screen {
  private final class Viewer {
    let socket: Int32
    var session: RFBSession
    var pending: [UInt8] = []

    init(socket: Int32, name: String) {
      self.socket = socket
      session = RFBSession(name: name)
    }

    deinit { close(socket) }
  }

  private let listener: Int32
  private var viewers: [Viewer] = []
  private var frame = Frame()
  private let name: String
  public static let basePort = 5900

  /// - Parameter address: "HOST:N" for port 5900 + N; without a host only this machine can connect.
  public init(address: String, name: String) throws(DisplayError) {
    self.name = name
    guard let colon = address.lastIndex(of: ":"), let number = UInt16(address[address.index(after: colon)...]), number < 1000
    else { throw DisplayError("vnc= takes HOST:N with a display number below 1000, not '\(address)'") }
    var host = String(address[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    if host.isEmpty { host = "127.0.0.1" }
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_PASSIVE
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, String(Self.basePort + Int(number)), &hints, &list) == 0, let first = list else {
      throw DisplayError("the host name \(host) cannot be resolved")
    }
    defer { freeaddrinfo(list) }
    listener = socket(
      first.pointee.ai_family, first.pointee.ai_socktype | Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue),
      first.pointee.ai_protocol)
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    guard listener >= 0, bind(listener, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0, listen(listener, 8) == 0 else {
      let reason = String(cString: strerror(errno))
      if listener >= 0 { close(listener) }
      throw DisplayError("VNC cannot listen on \(host), port \(Self.basePort + Int(number)): \(reason)")
    }
  }

  deinit { close(listener) }

  public var waitDescriptors: [Int32] { [listener] + viewers.map(\.socket) }

  public func show(_ frame: Frame, text: TextScreen?) {
    self.frame = frame
    for viewer in viewers {
      // A slow viewer gets the newest picture when it has taken the last one.
      if viewer.pending.isEmpty { viewer.session.update(frame) }
      flush(viewer)
    }
    dropClosed()
  }

  public func takeEvents() -> [ScreenEvent] {
    while true {
      let connection = accept(listener, nil, nil)
      guard connection >= 0 else { break }
      _ = fcntl(connection, F_SETFL, O_NONBLOCK)
      viewers.append(Viewer(socket: connection, name: name))
    }
    var events: [ScreenEvent] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    for viewer in viewers {
      let count = recv(viewer.socket, &buffer, buffer.count, 0)
      if count > 0 {
        events += viewer.session.receive(buffer[..<count], frame: frame)
      } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
        viewer.pending = []
        closed.insert(viewer.socket)
      }
      flush(viewer)
    }
    dropClosed()
    return events
  }

  private var closed: Set<Int32> = []

  private func flush(_ viewer: Viewer) {
    viewer.pending += viewer.session.takeOutgoing()
    while !viewer.pending.isEmpty {
      let count = viewer.pending.withUnsafeBytes { send(viewer.socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if count > 0 {
        viewer.pending.removeFirst(count)
      } else {
        if errno != EAGAIN, errno != EINTR { closed.insert(viewer.socket) }
        return
      }
    }
  }

  private func dropClosed() {
    viewers.removeAll { $0.session.isClosed || closed.contains($0.socket) }
    closed = []
  }
}
