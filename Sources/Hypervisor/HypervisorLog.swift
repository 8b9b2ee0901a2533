/// The hypervisor's messages, as `xl dmesg` shows them.
public final class HypervisorLog {
  public struct Line: Sendable {
    public var nanoseconds: UInt64
    public var text: String
  }
  private(set) public var lines: [Line] = []
  /// Told of every line as it comes.
  public var onLine: ((Line) -> Void)?
  private let capacity = 4096

  public func clear() { lines = [] }

  func add(_ text: String, at time: UInt64) {
    let line = Line(nanoseconds: time, text: text)
    if lines.count == capacity { lines.removeFirst(capacity / 4) }
    lines.append(line)
    onLine?(line)
  }
}

/// Lines that a guest causes in the log: so many in a second of the hypervisor's time and no more, for the log is everybody's.
struct GuestLines {
  let maximum: Int
  private var second: UInt64 = 0
  private var count = 0

  init(maximum: Int) { self.maximum = maximum }

  mutating func add(_ line: String, of domain: Domain) {
    let now = domain.hypervisor.now / 1_000_000_000
    if now != second {
      if count > maximum { domain.hypervisor.log("\(domain.id) \(domain.name): \(count - maximum) more lines") }
      second = now
      count = 0
    }
    count += 1
    if count <= maximum { domain.hypervisor.log(line) }
  }
}
