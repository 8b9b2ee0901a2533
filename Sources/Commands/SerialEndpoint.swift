#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Machine

/// Where a serial port (or a debug console) leads on the host.
final class SerialEndpoint {
  enum Kind: Equatable {
    case stdio
    case null
    case file(String)
    case unix(String, isServer: Bool)
    case tcp(host: String, port: UInt16, isServer: Bool)
  }

  /// `stdio`, `null`, `file:F`, `unix:F[,server]`, `tcp:HOST:PORT[,server]`.
  static func parse(_ text: String) -> Kind? {
    if text == "stdio" { return .stdio }
    if text == "null" || text == "none" { return .null }
    guard let colon = text.firstIndex(of: ":") else { return nil }
    var rest = String(text[text.index(after: colon)...])
    let isServer = rest.hasSuffix(",server")
    if isServer { rest.removeLast(7) }
    guard !rest.isEmpty else { return nil }
    switch text[..<colon] {
    case "file": return .file(isServer ? rest + ",server" : rest)
    case "unix": return .unix(rest, isServer: isServer)
    case "tcp":
      guard let split = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: split)...]) else { return nil }
      return .tcp(host: String(rest[..<split]), port: port, isServer: isServer)
    default: return nil
    }
  }

  let kind: Kind
  private var input: Int32 = -1
  private var output: Int32 = -1
  /// A socket that waits for somebody to connect.
  private var listener: Int32 = -1
  private var pending: [UInt8] = []
  /// Why output cannot go on.
  struct Failure: CustomStringConvertible {
    let description: String
    /// Whoever read it went away, which ends a run like an interruption; otherwise the host refused to take it.
    let isReaderGone: Bool

    init(description: String, isReaderGone: Bool) {
      self.description = description
      self.isReaderGone = isReaderGone
    }

    /// Of standard output, with the system's reason.
    init(standardOutput error: Int32) {
      isReaderGone = error == EPIPE || error == EIO
      description = isReaderGone ? "interrupted: nobody reads standard output any more" : HostFile.outputFailure(error).description
    }
  }
  /// Set when standard output or a file takes no more: the run cannot do what it was asked for.
  private(set) var failure: Failure?

  /// - Parameter readsInput: for `stdio`, whether standard input belongs to it.
  init(_ kind: Kind, readsInput: Bool = true) throws(MachineError) {
    self.kind = kind
    switch kind {
    case .stdio:
      output = 1
      if readsInput { input = 0 }
    case .null: break
    case .file(let path): output = try HostFile.create(path)
    case .unix(let path, let isServer): try openUnix(path, isServer: isServer)
    case .tcp(let host, let port, let isServer): try openTCP(host, port, isServer: isServer)
    }
  }

  deinit {
    flush()
    if output > 2 { close(output) }
    if listener > 2 { close(listener) }
    if case .unix(let path, true) = kind { unlink(path) }
  }

  // MARK: Output

  func put(_ byte: UInt8) {
    pending.append(byte)
    if pending.count >= 4096 { flush() }
  }

  func flush() {
    guard !pending.isEmpty else { return }
    // EINTR: the run is to end, whoever may read.
    if output >= 0, failure == nil, !HostFile.writeAll(output, pending), errno != EINTR { outputFailed(errno) }
    pending.removeAll(keepingCapacity: true)
  }

  private func outputFailed(_ error: Int32) {
    switch kind {
    case .stdio: failure = Failure(standardOutput: error)
    case .file(let path):
      failure = Failure(description: "\(path) cannot be written: \(String(cString: strerror(error)))", isReaderGone: false)
    default: disconnect()
    }
  }

  // MARK: Input

  /// Descriptor to wait on for input or a connection, or -1.
  var waitDescriptor: Int32 { input >= 0 ? input : listener }
  var canBringInput: Bool { waitDescriptor >= 0 }

  /// Takes what is there after the descriptor became readable.
  func receive() -> [UInt8] {
    if input < 0 {
      let connection = accept(listener, nil, nil)
      if connection >= 0 {
        input = connection
        output = connection
      }
      return []
    }
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = read(input, &buffer, buffer.count)
    if count > 0 { return Array(buffer[..<count]) }
    if count < 0, errno == EINTR || errno == EAGAIN { return [] }
    disconnect()
    return []
  }

  /// End of input: a server waits for the next connection, a file on standard input is over for good. A terminal that is
  /// gone takes the run with it.
  private func disconnect() {
    if kind == .stdio {
      if isatty(input) == 1 { failure = Failure(description: "interrupted: the terminal is gone", isReaderGone: true) }
      input = -1
      return
    }
    if output > 2 { close(output) }
    input = -1
    output = -1
  }

  // MARK: Sockets

  private func openUnix(_ path: String, isServer: Bool) throws(MachineError) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw .usage("the socket path \(path) is longer than the system allows")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    let status = withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        isServer
          ? bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
          : connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try finish(descriptor, status, isServer: isServer, name: path)
  }

  private func openTCP(_ host: String, _ port: UInt16, isServer: Bool) throws(MachineError) {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = isServer ? AI_PASSIVE : 0
    var list: UnsafeMutablePointer<addrinfo>?
    let name = host.trimmingBrackets
    guard getaddrinfo(name.isEmpty ? nil : name, String(port), &hints, &list) == 0, let first = list else {
      throw .usage("the host name \(host) cannot be resolved")
    }
    defer { freeaddrinfo(list) }
    let descriptor = socket(first.pointee.ai_family, first.pointee.ai_socktype, first.pointee.ai_protocol)
    if isServer {
      var on: Int32 = 1
      setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    }
    let status = isServer
      ? bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen)
      : connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen)
    try finish(descriptor, status, isServer: isServer, name: "\(host):\(port)")
  }

  private func finish(_ descriptor: Int32, _ status: Int32, isServer: Bool, name: String) throws(MachineError) {
    guard descriptor >= 0, status == 0, !isServer || listen(descriptor, 1) == 0 else {
      let reason = HostFile.lastError
      if descriptor >= 0 { close(descriptor) }
      throw .missingFile("the serial port cannot \(isServer ? "listen on" : "connect to") \(name): \(reason)")
    }
    if isServer {
      listener = descriptor
    } else {
      input = descriptor
      output = descriptor
    }
  }
}

extension String {
  /// An IPv6 address may stand in brackets.
  fileprivate var trimmingBrackets: String { hasPrefix("[") && hasSuffix("]") ? String(dropFirst().dropLast()) : self }
}
