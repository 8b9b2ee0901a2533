#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a server does with the bytes of its connections.
public protocol StreamService: AnyObject {
  func opened(_ connection: StreamConnection)
  /// Whether bytes of the connection would be taken now. While they are not, its client waits.
  func takes(from connection: StreamConnection) -> Bool
  /// - Returns: how many of the bytes are taken; the rest is brought again when `takes` says so.
  func received(_ bytes: [UInt8], on connection: StreamConnection) -> Int
  /// More bytes for the client, when it has read some.
  func moreOutput(for connection: StreamConnection, upTo limit: Int) -> [UInt8]
  func closed(_ connection: StreamConnection)
  /// What a client is told that comes when there are too many.
  func refusal(clients: Int) -> [UInt8]
}

extension StreamService {
  /// Nothing.
  public func refusal(clients: Int) -> [UInt8] { [] }
}

/// One client of a server.
public final class StreamConnection {
  let descriptor: Int32
  private(set) var output: [UInt8] = []
  private var sent = 0
  /// Received and not taken yet.
  var input: [UInt8] = []
  /// Ends when everything is sent, or at once.
  private(set) var isClosing = false
  private(set) var isAborted = false

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// Bytes that the client has not read.
  public var backlog: Int { output.count - sent }

  public func send(_ bytes: [UInt8]) {
    if sent > 65536 {
      output.removeFirst(sent)
      sent = 0
    }
    output += bytes
  }

  /// Ends it when everything is sent; nothing more is received.
  public func close() { isClosing = true }

  /// Ends it, whatever was not sent.
  public func abort() { isAborted = true }

  var isOver: Bool { isAborted || isClosing && backlog == 0 }

  /// Gives the host what it takes. Returns false when the client is gone.
  func flush() -> Bool {
    while sent < output.count {
      let count = output[sent...].withUnsafeBytes { systemSend(descriptor, $0.baseAddress!, $0.count) }
      if count < 0 { return errno == EAGAIN || errno == EINTR }
      sent += count
    }
    output.removeAll(keepingCapacity: output.capacity < 65536)
    sent = 0
    return true
  }

  private func systemSend(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    #if canImport(Glibc)
    Glibc.send(descriptor, bytes, count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    #else
    Musl.send(descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT)
    #endif
  }
}

/// A Unix socket with its clients. No client can hold up another one, or the guests: what it does not read stays in a buffer that its
/// service keeps small, what it sends is read as fast as the service takes it.
public final class StreamServer: PollSource {
  private static let portion = 16384

  public let path: String
  private let listener: Int32
  private let service: any StreamService
  private var connections: [StreamConnection] = []
  private let mostClients: Int
  /// Of the socket's file, so that another server's is not removed at the end.
  private var identity: (dev_t, ino_t) = (0, 0)

  /// - Parameters:
  ///   - name: what messages call it.
  ///   - mostClients: at a time; those who come then are refused.
  public init(path: String, name: String, service: any StreamService, mostClients: Int = 256) throws(SocketError) {
    self.path = path
    self.mostClients = mostClients
    self.service = service
    listener = try SocketAddress.listen(path, name: name)
    var status = stat()
    if lstat(path, &status) == 0 { identity = (status.st_dev, status.st_ino) }
  }

  deinit {
    for connection in connections { close(connection.descriptor) }
    close(listener)
    var status = stat()
    if lstat(path, &status) == 0, (status.st_dev, status.st_ino) == identity { unlink(path) }
  }

  public func descriptors() -> [pollfd] {
    var result: [pollfd] = []
    for c in connections {
      fill(c)
      // What was left over is offered again first.
      if !c.input.isEmpty, service.takes(from: c) { offer(c) }
      let reads = c.input.isEmpty && !c.isClosing && service.takes(from: c)
      result.append(pollfd(fd: c.descriptor, events: Int16((reads ? POLLIN : 0) | (c.backlog > 0 ? POLLOUT : 0)), revents: 0))
    }
    result.append(pollfd(fd: listener, events: Int16(POLLIN), revents: 0))
    return result
  }

  public func ready(_ entries: ArraySlice<pollfd>) {
    for (entry, c) in zip(entries, connections) where entry.revents != 0 { serve(c, Int32(entry.revents)) }
    if entries.last!.revents & Int16(POLLIN) != 0 { admit() }
  }

  /// Sends what waits to be sent.
  public func flush() {
    for c in connections {
      fill(c)
      if !c.flush() || c.isOver { end(c) }
    }
  }

  private func admit() {
    let descriptor = accept(listener, nil, nil)
    guard descriptor >= 0 else { return }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    SocketAddress.makeNonBlocking(descriptor)
    let connection = StreamConnection(descriptor)
    if connections.count >= mostClients {
      // A new socket takes a sentence at once.
      connection.send(service.refusal(clients: connections.count))
      _ = connection.flush()
      close(descriptor)
      return
    }
    connections.append(connection)
    service.opened(connection)
  }

  private func serve(_ c: StreamConnection, _ events: Int32) {
    if events & Int32(POLLIN) != 0 {
      var buffer = [UInt8](repeating: 0, count: Self.portion)
      let count = read(c.descriptor, &buffer, buffer.count)
      if count == 0 || count < 0 && errno != EAGAIN && errno != EINTR { return end(c) }
      if count > 0 {
        c.input += buffer[..<count]
        offer(c)
      }
    } else if events & Int32(POLLHUP | POLLERR | POLLNVAL) != 0 {
      return end(c)
    }
    fill(c)
    if !c.flush() || c.isOver { end(c) }
  }

  private func offer(_ c: StreamConnection) {
    let taken = service.received(c.input, on: c)
    c.input.removeFirst(min(taken, c.input.count))
  }

  private func fill(_ c: StreamConnection) {
    while c.backlog < Self.portion, !c.isAborted {
      let more = service.moreOutput(for: c, upTo: Self.portion)
      if more.isEmpty { break }
      c.send(more)
    }
  }

  private func end(_ c: StreamConnection) {
    guard let n = connections.firstIndex(where: { $0 === c }) else { return }
    connections.remove(at: n)
    service.closed(c)
    close(c.descriptor)
  }
}
