/// Virtual time in nanoseconds since power-on. It is derived from retired instructions only, so it is
/// part of the machine's deterministic state (wall time enters nowhere).
public typealias VirtualTime = UInt64

/// The machine's clock and its event queue.
///
/// The run loop sets `now`; before a device is touched the processor brings it up to the instruction, so a device
/// reads exact time. Timers with equal deadlines fire in the order of their registration, which is
/// fixed by the machine's construction; so the order survives save and restore.
public final class VirtualClock {
  public static let never: VirtualTime = .max

  public struct Timer: Hashable, Sendable {
    fileprivate let index: Int
  }

  /// Current time in ns. Written by the run loop only.
  public var now: VirtualTime = 0
  private var deadlines: [VirtualTime] = []
  private var actions: [(VirtualTime) -> Void] = []
  /// Earliest deadline of all timers.
  public private(set) var nextDeadline: VirtualTime = VirtualClock.never
  /// Called when the earliest deadline moved to an earlier time, so that a running processor can be told.
  public var onEarlierDeadline: (() -> Void)?

  public init() {}

  /// Registers a timer; `action` gets the deadline it fires for (not later than `now`).
  public func makeTimer(_ action: @escaping (VirtualTime) -> Void) -> Timer {
    deadlines.append(Self.never)
    actions.append(action)
    return Timer(index: deadlines.count - 1)
  }

  public func arm(_ timer: Timer, at time: VirtualTime) {
    deadlines[timer.index] = time
    let old = nextDeadline
    update()
    if nextDeadline < old { onEarlierDeadline?() }
  }

  public func cancel(_ timer: Timer) {
    if deadlines[timer.index] == Self.never { return }
    deadlines[timer.index] = Self.never
    update()
  }

  public func deadline(of timer: Timer) -> VirtualTime { deadlines[timer.index] }

  private func update() {
    var next = Self.never
    for d in deadlines where d < next { next = d }
    nextDeadline = next
  }

  /// Fires every timer that is due at `now`, earliest first.
  public func fireDue() {
    while nextDeadline <= now {
      let due = nextDeadline
      guard let i = deadlines.firstIndex(of: due) else { return }
      deadlines[i] = Self.never
      update()
      actions[i](due)
    }
  }

  public func save(to writer: inout StateWriter) {
    writer.put(now)
    writer.put(UInt32(deadlines.count))
    for d in deadlines { writer.put(d) }
  }

  /// Latest time that a saved machine can have, and how far a timer can be overdue in it: timers that fire one by one to
  /// catch up with a forged time would do nothing else.
  private static let latest: VirtualTime = 1 << 62, longestDelay: VirtualTime = 1_000_000_000

  public func restore(from reader: inout StateReader) throws(StateError) {
    now = try reader.get(UInt64.self)
    guard now <= Self.latest else { throw StateError("its time is impossible") }
    let count = try reader.get(UInt32.self)
    guard Int(count) == deadlines.count else {
      throw StateError("the saved machine has \(count) timers, this one has \(deadlines.count)")
    }
    for i in 0..<deadlines.count {
      deadlines[i] = try reader.get(UInt64.self)
      guard deadlines[i] >= now || now - deadlines[i] <= Self.longestDelay else { throw StateError("a timer of it is overdue") }
    }
    update()
  }
}
