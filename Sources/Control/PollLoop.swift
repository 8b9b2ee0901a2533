#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Whoever waits for descriptors of the host: sockets, a terminal, a network.
public protocol PollSource: AnyObject {
  /// What to wait for now. None, if there is nothing to do for bytes that come.
  func descriptors() -> [pollfd]
  /// The same entries, with what happened.
  func ready(_ entries: ArraySlice<pollfd>)
}

/// Waits for all sources of a hypervisor between the turns of its guests.
///
/// The hypervisor runs in one thread and depends on its inputs alone, and so do its services: whatever comes from outside is taken between
/// two turns of guests, in the order of the sources. An event-loop library would bring threads of its own and a second opinion on who
/// waits; what is needed of one is `poll` and this page.
public final class PollLoop {
  private var sources: [any PollSource] = []

  public init() {}

  public func add(_ source: any PollSource) { sources.append(source) }

  /// Waits until something happens, and lets the sources deal with it.
  /// - Parameter nanoseconds: longest wait; 0 only looks.
  /// - Returns: whether anything happened. A signal ends the wait, too.
  @discardableResult
  public func wait(nanoseconds: UInt64) -> Bool {
    var entries: [pollfd] = []
    var ends: [Int] = []
    for source in sources {
      entries += source.descriptors()
      ends.append(entries.count)
    }
    let milliseconds = min(nanoseconds / 1_000_000, 1_000_000)
    var count = poll(&entries, nfds_t(entries.count), Int32(milliseconds))
    if count == 0, nanoseconds % 1_000_000 >= 1000, nanoseconds < 1_000_000_000 {
      // The rest is less than poll can count.
      usleep(UInt32(nanoseconds % 1_000_000 / 1000))
      count = poll(&entries, nfds_t(entries.count), 0)
    }
    guard count > 0 else { return false }
    var start = 0
    for (source, end) in zip(sources, ends) {
      let part = entries[start..<end]
      if part.contains(where: { $0.revents != 0 }) { source.ready(part) }
      start = end
    }
    return true
  }
}
