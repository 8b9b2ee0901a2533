#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a hypervisor says on standard error while it runs. Guests cause most of it: nobody waits until it is read, and it does not grow
/// without end.
final class HypervisorMessages {
  /// Lines in a row, and lines a second after them; the hypervisor's own log has the last thousands.
  private static let burst = 200.0, rate = 20.0
  private static let mostWaiting = 1 << 16
  /// A pipe that poll calls writable takes this much at once (PIPE_BUF).
  private static let portion = 4096

  private let descriptor: Int32
  private var allowance = burst
  private var last = HostFile.monotonicTime()
  private var waiting: [UInt8] = []
  private var omitted = 0

  init(_ descriptor: Int32 = 2) { self.descriptor = descriptor }

  /// - Parameter line: without an end.
  func say(_ line: String) {
    let now = HostFile.monotonicTime()
    allowance = min(Self.burst, allowance + Double(now &- last) / 1e9 * Self.rate)
    last = now
    guard allowance >= 1, waiting.count < Self.mostWaiting else {
      omitted += 1
      return
    }
    allowance -= 1
    // A terminal may be in raw mode.
    if omitted > 0 { waiting += Array("xenolith: \(omitted) messages were left out here\r\n".utf8) }
    omitted = 0
    waiting += Array("\(line)\r\n".utf8)
    flush()
  }

  /// Writes what the reader takes.
  /// - Parameter milliseconds: time that it gets for that.
  func flush(within milliseconds: Int32 = 0) {
    while !waiting.isEmpty {
      var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      guard poll(&entry, 1, milliseconds) > 0 else { return }
      let count = waiting.withUnsafeBytes { write(descriptor, $0.baseAddress, min($0.count, Self.portion)) }
      if count < 0, errno == EAGAIN || errno == EINTR { return }
      // Nobody will read it any more.
      waiting.removeFirst(count > 0 ? count : waiting.count)
    }
  }
}
