/// The APIC timer (SDM vol. 3A §11.5.4): one-shot, periodic and TSC-deadline mode.

import Platform

extension LocalAPIC {
  enum TimerMode: UInt32 { case oneShot = 0, periodic = 1, tscDeadline = 2 }

  /// Periods shorter than this (ns) are stretched, or a guest could make the machine do nothing but count.
  private static let shortestPeriod: VirtualTime = 1000

  var timerMode: TimerMode {
    TimerMode(rawValue: vectorTable[LocalVector.timer.rawValue] >> 17 & 3) ?? .oneShot
  }

  /// log2 of the divider: 1011b is 1, 000b is 2 … 111b of the split field is 1.
  private var divideShift: UInt64 { UInt64(((timerDivide & 3 | timerDivide >> 1 & 4) + 1) & 7) }

  /// Current-count register.
  var timerCount: UInt32 {
    if timerMode == .tscDeadline || timerInitial == 0 { return 0 }
    let elapsed = (timerRate.ticks(at: clock.now) &- timerStart) >> divideShift
    if elapsed < UInt64(timerStartCount) { return timerStartCount - UInt32(elapsed) }
    if timerMode == .oneShot { return 0 }
    return timerInitial - UInt32((elapsed - UInt64(timerStartCount)) % UInt64(timerInitial))
  }

  func writeTimerInitial(_ value: UInt32) {
    if timerMode == .tscDeadline { return }
    timerInitial = value
    startTimer(count: value)
  }

  /// A new divider changes the speed of the rest of the count.
  func writeTimerDivide(_ value: UInt32) {
    let count = timerCount
    timerDivide = value & 0xB
    if count != 0 { startTimer(count: count) }
  }

  private func startTimer(count: UInt32) {
    timerStart = timerRate.ticks(at: clock.now)
    timerStartCount = count
    if count == 0 {
      clock.cancel(timer)
    } else {
      clock.arm(timer, at: timerRate.time(ofTick: timerStart &+ UInt64(count) << divideShift))
    }
  }

  func writeTimerVector(_ value: UInt32) {
    let old = timerMode
    let count = timerCount
    vectorTable[LocalVector.timer.rawValue] = value
    let new = timerMode
    if old == new { return }
    if old == .tscDeadline || new == .tscDeadline {
      // Changing into or out of TSC-deadline mode disarms the timer.
      timerInitial = 0
      timerStartCount = 0
      tscDeadline = 0
      clock.cancel(timer)
    } else if count != 0 {
      startTimer(count: count)
    }
  }

  func writeTSCDeadline(_ value: UInt64) {
    guard timerMode == .tscDeadline else { return }
    tscDeadline = value
    if value == 0 {
      clock.cancel(timer)
    } else {
      clock.arm(timer, at: value <= tscNow() ? clock.now : tscToTime(value))
    }
  }

  func timerFired(_ due: VirtualTime) {
    switch timerMode {
    case .tscDeadline: tscDeadline = 0
    case .oneShot:
      timerStartCount = 0
    case .periodic:
      // Periods that passed unnoticed are one interrupt, as IRR is one bit.
      let period = UInt64(timerInitial) << divideShift
      guard period != 0 else { return }
      let ticks = timerRate.ticks(at: clock.now)
      let first = timerStart &+ UInt64(timerStartCount) << divideShift
      let passed = ticks >= first ? (ticks - first) / period : 0
      timerStart = first &+ passed &* period
      timerStartCount = timerInitial
      clock.arm(timer, at: max(timerRate.time(ofTick: timerStart &+ period), clock.now &+ Self.shortestPeriod))
    }
    deliverLocal(.timer)
  }
}
