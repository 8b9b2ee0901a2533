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
  /// Physical processors it may run on; all where it is empty.
  var affinity: Set<Int> = []
}

/// Which virtual processor runs next: by weight, as Xen's credit schedulers share a processor, and by caps.
struct Scheduler {
  /// Longest turn while somebody else waits, in ns.
  var slice: UInt64 = 5_000_000
  /// Of caps, in ns.
  static let period: UInt64 = 30_000_000
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

  /// Lets one virtual processor run, for a slice at most.
  /// - Parameter limit: time, in ns since the beginning, that is not to be passed.
  public func step(limit: UInt64 = .max) -> StepResult {
    fireTimers()
    if clock >= scheduler.periodEnd { beginPeriod() }
    guard let v = choose() else {
      let next = min(nextTimer ?? .max, isAnyoneCapped ? scheduler.periodEnd : .max)
      return .idle(until: next == .max ? nil : next)
    }
    let end = min(clock &+ scheduler.slice, nextTimer ?? .max, limit)
    if end > clock { run(v, for: end - clock) }
    return .ran
  }

  /// Time passes while nobody runs.
  public func advance(to time: UInt64) { clock = max(clock, time) }

  private func choose() -> VCPU? {
    var best: VCPU?
    var passed: VCPU?
    for d in orderedDomains where d.isRunnable {
      for v in d.vcpus where v.state == .runnable && !isCapped(d) {
        if scheduler.skip == ObjectIdentifier(v) {
          passed = v
          continue
        }
        if best == nil || v.schedule.virtualTime < best!.schedule.virtualTime { best = v }
      }
    }
    scheduler.skip = nil
    let chosen = best ?? passed
    if let chosen { scheduler.floor = max(scheduler.floor, chosen.schedule.virtualTime) }
    return chosen
  }

  private func isCapped(_ d: Domain) -> Bool {
    d.cap != 0 && d.vcpus.reduce(0) { $0 + $1.schedule.consumedThisPeriod } >= UInt64(d.cap) * Scheduler.period / 100
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

  private func run(_ v: VCPU, for nanoseconds: UInt64) {
    let start = clock
    if trace != nil, scheduler.lastRun != ObjectIdentifier(v) { note(.switch, v.domain, v.index, "runs", []) }
    scheduler.lastRun = ObjectIdentifier(v)
    v.runstate.enter(.running, at: clock)
    v.storeRunstateArea()
    scheduler.yielded = false
    v.resume(at: clock)
    running = v
    v.deliverPending()
    if v.domain.isRunnable, v.state == .runnable {
      switch v.processor.run(instructions: nanoseconds) {
      case .budgetUsed, .stopRequested: break
      case .halted, .waitForSIPI, .shutdown: v.processorStopped()
      }
    }
    clock = now
    running = nil
    let used = clock - start
    v.schedule.consumed += used
    v.schedule.consumedThisPeriod += used
    v.schedule.virtualTime += max(used, 1) * 256 / UInt64(max(v.domain.weight, 1))
    if scheduler.yielded { scheduler.skip = ObjectIdentifier(v) }
    switch v.state {
    case .runnable: v.runstate.enter(v.domain.isRunnable ? .runnable : .blocked, at: clock)
    case .blocked: v.runstate.enter(.blocked, at: clock)
    case .offline: v.runstate.enter(.offline, at: clock)
    }
  }

  func becameRunnable(_ v: VCPU) {
    v.schedule.virtualTime = max(v.schedule.virtualTime, scheduler.floor)
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
      next = min(next, d.hvm?.clock.nextDeadline ?? .max)
      for v in d.vcpus where v.state != .offline {
        next = min(next, v.singleShot ?? .max, v.nextPeriod, v.pollUntil ?? .max)
      }
    }
    return next == .max ? nil : next
  }

  private func fireTimers() {
    for d in orderedDomains where d.isRunnable {
      if let local = d.hvm?.clock {
        local.now = max(local.now, clock)
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
