#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A command's connection to a running hypervisor.
public final class ControlClient {
  public let descriptor: Int32
  private var lines = LineBuffer()
  private var received: [[UInt8]] = []
  private var lastID = 0

  public init(path: String) throws(SocketError) { descriptor = try SocketAddress.connect(path, name: "the hypervisor") }

  deinit { close(descriptor) }

  /// Sends a request and returns its number.
  @discardableResult
  public func send(_ request: ControlRequest) throws(SocketError) -> Int {
    lastID += 1
    var rest = ControlLine.request(lastID, request)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress!, $0.count) }
      if count < 0, errno == EINTR { continue }
      // Whoever was refused finds the reason among the answers.
      guard count > 0 else { break }
      rest = rest.dropFirst(count)
    }
    return lastID
  }

  static let gone = SocketError(kind: .nobody, description: "the hypervisor has ended")

  /// The next answer that is here already, without waiting.
  public func waitingAnswer() throws(SocketError) -> ControlAnswer? {
    if received.isEmpty { return nil }
    do throws(ControlLine.Unreadable) { return try ControlLine.readAnswer(received.removeFirst()).answer } catch {
      throw SocketError(kind: .refused, description: error.description)
    }
  }

  /// Reads what has come; waits for it. Interrupted by a signal it returns without anything.
  public func read() throws(SocketError) {
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = systemRead(&buffer)
    if count < 0, errno == EINTR { return }
    guard count > 0 else { throw Self.gone }
    received += lines.add(buffer[..<count])
  }

  private func systemRead(_ buffer: inout [UInt8]) -> Int {
    #if canImport(Glibc)
    Glibc.read(descriptor, &buffer, buffer.count)
    #else
    Musl.read(descriptor, &buffer, buffer.count)
    #endif
  }

  /// Waits for the next answer.
  /// - Returns: nil when a signal came first and `isInterrupted` says so.
  public func answer(isInterrupted: () -> Bool) throws(SocketError) -> ControlAnswer? {
    while true {
      if let answer = try waitingAnswer() { return answer }
      if isInterrupted() { return nil }
      try read()
    }
  }
}
