import Hypervisor

/// A domain's console with those who look at it: each sees everything from when it came, the first one also what nobody has seen yet.
public final class DomainConsole {
  /// Bytes kept for whoever comes next; older ones are forgotten.
  private static let historyLimit = 256 << 10
  /// Typed bytes that may wait for the guest.
  private static let inputLimit = 4096

  private var ring: ConsoleRing?
  private var viewers: [(number: Int, show: ([UInt8]) -> Void)] = []
  private var nextViewer = 1
  private var unseen: [UInt8] = []

  /// Goes on with the console of a domain that was just built.
  func connect(_ new: ConsoleRing) {
    ring = new
    new.onOutput = { [unowned self] in show($0) }
  }

  /// Takes what the guest has written last, before its memory goes.
  func disconnect() {
    ring?.drain()
    ring?.onOutput = nil
    ring = nil
  }

  func drain() { ring?.drain() }

  func show(_ bytes: [UInt8]) {
    for viewer in viewers { viewer.show(bytes) }
    guard viewers.isEmpty else { return }
    unseen += bytes
    if unseen.count > 2 * Self.historyLimit { unseen.removeFirst(unseen.count - Self.historyLimit) }
  }

  /// - Returns: a number to detach by.
  public func attach(_ show: @escaping ([UInt8]) -> Void) -> Int {
    let number = nextViewer
    nextViewer += 1
    viewers.append((number, show))
    if !unseen.isEmpty {
      show(Array(unseen.suffix(Self.historyLimit)))
      unseen = []
    }
    return number
  }

  public func detach(_ number: Int) { viewers.removeAll { $0.number == number } }

  public var takesInput: Bool { (ring?.backlog ?? 0) < Self.inputLimit }

  public func type(_ bytes: [UInt8]) { ring?.type(bytes) }
}
