import Interpreter
import Processor
import X86
import XenABI

/// What the scheduler knows of a virtual processor.
struct ScheduleState {
  /// Time it had, in ns, divided by its domain's weight (times 256): who has least is next.
  var virtualTime: UInt64 = 0
  /// Time it had in all, in ns.
  var consumed: UInt64 = 0
  /// Of the present accounting period, for caps.
  var consumedThisPeriod: UInt64 = 0
  /// Physical processors it may run on; nil for all.
  var affinity: Set<Int>?
  /// It can run from here on: when it was stopped last, or became runnable.
  var readyAt: UInt64 = 0
  /// Physical processor it ran on last.
  var processor = 0

  func mayRun(on processor: Int) -> Bool { affinity?.contains(processor) ?? true }
}

/// Which virtual processor runs next, and where: by weight, as Xen's credit schedulers share processors, by caps and by pinning.
///
/// The physical processors are emulated one after the other, each with a clock of its own: the next turn is always the one that begins
/// earliest. What one does to another is seen there at the beginning of its next turn, so turns are short where there are several.
struct Scheduler {
  /// Until when each physical processor was busy.
  var processors: [UInt64] = [0]
  /// Longest turn, in ns.
  var slice: UInt64 { min(processors.count == 1 ? 1_000_000 : 500_000, longestTurn) }
  /// Shorter turns, which tests ask for.
  var longestTurn = UInt64.max
  /// Of caps, in ns.
  static let period: UInt64 = 30_000_000
  /// Times from here on never come: 146 years.
  static let never: UInt64 = 1 << 62
  /// Set when the running processor gives up its turn.
  var yielded = false
  /// Virtual time of the last one that was chosen: who wakes up after a long sleep starts from here.
  var floor: UInt64 = 0
  var periodEnd: UInt64 = Scheduler.period
  /// The one that gave up its turn last goes behind the others once.
  var skip: ObjectIdentifier?
  /// The one that ran last, for traces.
  var lastRun: ObjectIdentifier?
}

extension Hypervisor {
  /// What a step of the hypervisor came to.
  public enum StepResult: Equatable, Sendable {
    case ran
    /// Nobody can run before this time, or before something comes from outside (nil).
    case idle(until: UInt64?)
  }

  /// Physical processors of the emulated machine; to be set before domains are made.
  public var physicalProcessors: Int {
    get { scheduler.processors.count }
    set { scheduler.processors = [UInt64](repeating: clock, count: max(newValue, 1)) }
  }

  /// Lets a virtual processor run on some physical processors only (nil: on all).
  public func pin(_ domain: Domain, vcpu: Int, to processors: Set<Int>?) {
    guard domain.vcpus.indices.contains(vcpu) else { return }
    domain.vcpus[vcpu].schedule.affinity = processors
    running?.processor.requestStop()
  }

  /// Lets one virtual processor run, for a slice at most.
  /// - Parameter limit: time, in ns since the beginning, that is not to be passed.
  public func step(limit: UInt64 = .max) -> StepResult {
    while true {
      let turn = nextTurn()
      // What is due before it may change the choice.
      let start = turn?.start ?? clock
      if let timer = nextTimer, timer <= start {
        clock = max(clock, timer)
        fireTimers()
        continue
      }
      clock = max(clock, start)
      if clock >= scheduler.periodEnd {
        beginPeriod()
        continue
      }
      guard let turn else {
        let next = min(nextTimer ?? .max, isAnyoneCapped ? scheduler.periodEnd : .max)
        return .idle(until: next == .max ? nil : next)
      }
      scheduler.skip = nil
      scheduler.floor = max(scheduler.floor, turn.vcpu.schedule.virtualTime)
      let end = min(start &+ min(scheduler.slice, allowance(turn.vcpu.domain)), nextTimer ?? .max, limit)
      if end > start { run(turn.vcpu, on: turn.processor, from: start, for: end - start) }
      return .ran
    }
  }

  /// Time passes while nobody runs.
  public func advance(to time: UInt64) { clock = max(clock, time) }

  /// The turn that can begin earliest; of those on one processor that of the virtual processor that had least.
  private func nextTurn() -> (vcpu: VCPU, processor: Int, start: UInt64)? {
    var best: (vcpu: VCPU, processor: Int, start: UInt64)?
    var bestTime: UInt64 = 0
    for d in orderedDomains where d.isRunnable {
      for v in d.vcpus where v.state == .runnable && !isCapped(d) {
        let time = scheduler.skip == ObjectIdentifier(v) ? .max : v.schedule.virtualTime
        for p in scheduler.processors.indices where v.schedule.mayRun(on: p) {
          let start = max(scheduler.processors[p], v.schedule.readyAt, clock)
          let isBetter = best.map { b in
            start != b.start ? start < b.start
              : time != bestTime ? time < bestTime
              // It stays where it was, if that is as good.
              : b.vcpu === v && v.schedule.processor == p
          } ?? true
          if isBetter {
            best = (v, p, start)
            bestTime = time
          }
        }
      }
    }
    return best
  }

  private func isCapped(_ d: Domain) -> Bool { allowance(d) == 0 }

  /// What a domain may still have of this period.
  private func allowance(_ d: Domain) -> UInt64 {
    if d.cap == 0 { return .max }
    let used = d.vcpus.reduce(0) { $0 + $1.schedule.consumedThisPeriod }, most = UInt64(d.cap) * Scheduler.period / 100
    return most > used ? most - used : 0
  }

  private var isAnyoneCapped: Bool {
    orderedDomains.contains { d in d.isRunnable && isCapped(d) && d.vcpus.contains { $0.state == .runnable } }
  }

  private func beginPeriod() {
    for d in orderedDomains {
      for v in d.vcpus { v.schedule.consumedThisPeriod = 0 }
    }
    scheduler.periodEnd = clock + Scheduler.period
  }

  private func run(_ v: VCPU, on processor: Int, from start: UInt64, for nanoseconds: UInt64) {
    if trace != nil, scheduler.lastRun != ObjectIdentifier(v) { note(.switch, v.domain, v.index, "runs", [.init("cpu", .count(UInt64(processor)))]) }
    scheduler.lastRun = ObjectIdentifier(v)
    v.runstate.enter(.running, at: start)
    v.schedule.processor = processor
    v.storeRunstateArea()
    scheduler.yielded = false
    v.resume(at: start)
    running = v
    v.deliverPending()
    if v.domain.isRunnable, v.state == .runnable {
      switch v.processor.run(instructions: nanoseconds) {
      case .budgetUsed, .stopRequested: break
      case .halted, .waitForSIPI, .shutdown: v.processorStopped()
      }
    }
    let end = now
    running = nil
    let used = end - start
    scheduler.processors[processor] = end
    if scheduler.processors.count == 1 { clock = end }
    v.schedule.readyAt = end
    v.schedule.consumed += used
    v.schedule.consumedThisPeriod += used
    v.schedule.virtualTime += max(used, 1) * 256 / UInt64(max(v.domain.weight, 1))
    if scheduler.yielded { scheduler.skip = ObjectIdentifier(v) }
    switch v.state {
    case .runnable: v.runstate.enter(v.domain.isRunnable ? .runnable : .blocked, at: end)
    case .blocked: v.runstate.enter(.blocked, at: end)
    case .offline: v.runstate.enter(.offline, at: end)
    }
  }

  func becameRunnable(_ v: VCPU) {
    v.schedule.virtualTime = max(v.schedule.virtualTime, scheduler.floor)
    v.schedule.readyAt = max(v.schedule.readyAt, now)
    v.runstate.enter(.runnable, at: now)
    // Who wakes up is short of time by definition, so it comes next.
    if let running, running !== v { running.processor.requestStop() }
  }

  // MARK: Timers

  /// The running processor's turn may have to end earlier now.
  func timersChanged(_ v: VCPU) { running?.processor.requestStop() }

  private var nextTimer: UInt64? {
    var next = UInt64.max
    for d in orderedDomains where d.isRunnable {
      if let due = d.hvm?.clock.nextDeadline, due != .max { next = min(next, d.hostTime(ofGuest: due)) }
      for v in d.vcpus where v.state != .offline {
        next = min(next, v.singleShot ?? .max, v.nextPeriod, v.pollUntil ?? .max)
      }
    }
    return next >= Scheduler.never ? nil : next
  }

  private func fireTimers() {
    for d in orderedDomains where d.isRunnable {
      if let local = d.hvm?.clock {
        local.now = max(local.now, clock &+ d.timeOffset)
        local.fireDue()
      }
      for v in d.vcpus where v.state != .offline {
        if let t = v.singleShot, t <= clock {
          v.singleShot = nil
          d.raise(virq: VIRQ.timer, vcpu: v.index)
        }
        if v.nextPeriod <= clock {
          v.nextPeriod = max(v.nextPeriod &+ v.periodNanoseconds, clock)
          d.raise(virq: VIRQ.timer, vcpu: v.index)
        }
        if let t = v.pollUntil, t <= clock { v.wake() }
      }
    }
  }
}

extension VCPU {
  /// Takes up running at a time: its time-stamp counter counts that time.
  func resume(at time: UInt64) {
    let base = time &- processor.retired
    // The guest may have set its counter.
    cpu.s.pointee.tscOffset &+= base &- timeBase
    timeBase = base
    hvm?.refresh()
  }

  /// The core has nothing to execute. A paravirtual processor never comes to that by itself.
  func processorStopped() {
    guard hvm != nil else { return domain.crash("\(label): the processor stopped") }
    switch cpu.s.pointee.activity {
    case .halted where cpu.s.pointee.systemFlags & RFLAGS.IF == 0:
      // Nothing can come any more: the guest has switched this processor off, and with the last one itself.
      state = .offline
      if !domain.vcpus.contains(where: { $0.state != .offline }) { domain.shutDown(.poweroff) }
    case .halted: state = .blocked
    case .waitForSIPI: state = .offline
    default:
      hypervisor.log("\(domain.id) \(domain.name): triple fault")
      hypervisor.log(registersText)
      let reason = domain.hvm.map { ShutdownReason(rawValue: UInt32(truncatingIfNeeded: $0.parameters[HVMParameter.tripleFaultReason])) } ?? nil
      domain.shutDown(reason ?? .reboot)
    }
  }
}
