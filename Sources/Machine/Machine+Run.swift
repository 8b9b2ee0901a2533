import Interpreter
import Platform
import Processor

/// The run loop: processors take turns, timers fire between instructions, idle time is skipped or slept.
extension Machine {
  public struct Limits: Sendable {
    /// Stop when all processors together have retired this many since power-on.
    public var instructions: UInt64?
    /// Stop after this much wall time, in nanoseconds.
    public var wallTime: UInt64?
    public init(instructions: UInt64? = nil, wallTime: UInt64? = nil) {
      self.instructions = instructions
      self.wallTime = wallTime
    }
  }

  /// Longest stretch without a look at the wall clock: a few milliseconds of work.
  private static let stretch: UInt64 = 1_000_000
  /// Least wall time between two looks at the host's input, and most by which virtual time may run ahead before
  /// an idle guest makes its host sleep, in ns.
  private static let serviceInterval: UInt64 = 5_000_000
  /// Lag behind the wall clock that an idle guest still catches up with, in ns.
  private static let greatestLag: Int64 = 200_000_000

  private struct Pace {
    var lastService: UInt64
    /// Wall and virtual time that correspond to each other.
    var wallAnchor: UInt64
    var virtualAnchor: VirtualTime
  }

  /// Runs until something ends the run. A machine can be run on after `.timeout`, `.instructionLimit` and `.interrupted`.
  public func run(host: any MachineHost, limits: Limits = Limits()) throws(MachineError) -> EndReason {
    let start = host.wallTime()
    var pace = Pace(lastService: start, wallAnchor: start, virtualAnchor: clock.now)
    service(host, mayWait: 0, &pace)
    while true {
      clock.fireDue()
      keepAppointments()
      if pendingReset {
        if endsOnReset || !canReboot { pendingReset = false; return .reset }
        try performReset()
      }
      if let reason = pendingEnd {
        pendingEnd = nil
        return reason
      }
      enterReplayed()
      let wall = host.wallTime()
      if wall &- pace.lastService >= Self.serviceInterval { service(host, mayWait: 0, &pace) }
      if host.isInterrupted { return .interrupted }
      if let limit = limits.wallTime, wall &- start >= limit { return .timeout }
      var most = Self.stretch
      if let limit = limits.instructions {
        let done = retired
        if done >= limit { return .instructionLimit }
        most = min(most, limit - done)
      }
      if let n = nextProcessor() {
        if let reason = run(processor: n, most: min(most, max(1, nextEvent &- clock.now))) { return reason }
      } else if let reason = idle(host, &pace) {
        return reason
      }
    }
  }

  /// Earliest virtual time at which something other than a processor wants the clock.
  private var nextEvent: VirtualTime {
    var next = clock.nextDeadline
    if let appointment = appointments.first { next = min(next, appointment.time) }
    if let record = replay.first { next = min(next, record.time) }
    return next
  }

  private func keepAppointments() {
    while let first = appointments.first, first.time <= clock.now {
      appointments.removeFirst()
      first.action(self)
    }
  }

  private func enterReplayed() {
    while let record = replay.first, record.time <= clock.now {
      replay.removeFirst()
      enter(record.event)
    }
  }

  private func service(_ host: any MachineHost, mayWait: UInt64, _ pace: inout Pace) {
    let events = host.service(self, mayWait: mayWait)
    pace.lastService = host.wallTime()
    if mayWait > 0 {
      // The guest slept as long as the host did, but not beyond its next event.
      let target = pace.virtualAnchor &+ (pace.lastService &- pace.wallAnchor)
      clock.now = max(clock.now, min(nextEvent, target))
    }
    if replay.isEmpty { for event in events { enter(event) } }
  }

  // MARK: Turns

  /// The processor to run: the one whose turn it is, or the next that can run.
  private func nextProcessor() -> Int? {
    if turnLeft > 0, processors[turn].canRun { return turn }
    for step in 1...processors.count {
      let n = (turn + step) % processors.count
      if processors[n].canRun {
        turn = n
        turnLeft = configuration.quantum
        return n
      }
    }
    return nil
  }

  private func run(processor n: Int, most: UInt64) -> EndReason? {
    let processor = processors[n]
    let connection = connections[n]
    let isAlone = processors.count == 1
    apics.currentProcessor = n
    connection.resume()
    running = processor
    let before = processor.retired
    let count = isAlone ? most : min(most, turnLeft)
    let reason = executesBySteps ? processor.runBySteps(instructions: count) : processor.run(instructions: count)
    running = nil
    clock.now = connection.timeBase &+ processor.retired
    if !isAlone { turnLeft = turnLeft &- min(turnLeft, processor.retired &- before) }
    switch reason {
    case .budgetUsed: exits.budgetUsed &+= 1
    case .stopRequested: exits.stopRequested &+= 1
    case .halted:
      exits.halted &+= 1
      turnLeft = 0
    case .waitForSIPI:
      exits.waitForSIPI &+= 1
      turnLeft = 0
    case .shutdown: return .tripleFault(TripleFaultReport.text(processor))
    }
    return nil
  }

  // MARK: Idleness

  private func idle(_ host: any MachineHost, _ pace: inout Pace) -> EndReason? {
    guard processors.contains(where: \.canBeInterrupted) else {
      return .haltedForGood("every processor is halted with interrupts disabled")
    }
    let next = nextEvent
    if !host.isInteractive {
      guard next != VirtualClock.never else {
        return .haltedForGood("every processor is halted and no timer or input is left that could wake one")
      }
      clock.now = max(clock.now, next)
      return nil
    }
    // Virtual time may lag behind the wall clock (a busy guest is slower than its clock) or have run ahead a little.
    let wall = host.wallTime()
    var lag = Int64(bitPattern: (wall &- pace.wallAnchor) &- (clock.now &- pace.virtualAnchor))
    if lag > Self.greatestLag {
      pace.wallAnchor = wall
      pace.virtualAnchor = clock.now
      lag = 0
    }
    let ahead = Int64(clamping: next &- clock.now).subtractingReportingOverflow(lag)
    let wait = ahead.overflow ? Int64.max : ahead.partialValue
    if wait < Int64(Self.serviceInterval) {
      clock.now = max(clock.now, next)
      return nil
    }
    service(host, mayWait: UInt64(min(wait, 1_000_000_000)), &pace)
    return nil
  }
}

/// How often the processors left the interpreter, by reason.
public struct ExitCounts: Sendable {
  public internal(set) var budgetUsed: UInt64 = 0
  public internal(set) var stopRequested: UInt64 = 0
  public internal(set) var halted: UInt64 = 0
  public internal(set) var waitForSIPI: UInt64 = 0
  public init() {}
}

extension VirtualCPU {
  /// The processor would execute something if it ran now.
  var canRun: Bool {
    let s = cpu.s
    switch s.pointee.activity {
    case .running: return true
    case .halted:
      return s.pointee.initPending || (s.pointee.nmiPending && !s.pointee.nmiBlocked)
        || (s.pointee.interruptRequest && s.pointee.systemFlags & (1 << 9) != 0)
    case .waitForSIPI: return s.pointee.initPending || s.pointee.sipiPending != 0
    case .shutdown: return true
    }
  }

  /// An interrupt from a timer or from outside could make the processor run.
  var canBeInterrupted: Bool {
    cpu.s.pointee.activity == .halted && cpu.s.pointee.systemFlags & (1 << 9) != 0
  }
}
