import XenABI

/// What tools show of domains and their processors.
extension VCPU {
  public var isUp: Bool { state != .offline }
  /// It has something to do, whether or not it is its turn.
  public var isRunnable: Bool { state == .runnable }
  /// Time it had, in nanoseconds.
  public var consumedTime: UInt64 { schedule.consumed }
  /// Physical processor it ran on last.
  public var processorNumber: Int { schedule.processor }
  /// Physical processors it may run on; nil for all.
  public var affinity: Set<Int>? { schedule.affinity }
}

extension Domain {
  public var consumedTime: UInt64 { vcpus.reduce(0) { $0 &+ $1.consumedTime } }
  public var isPaused: Bool { pauseCount > 0 }
  /// Why it ended; nil while it runs.
  public var shutdownReason: ShutdownReason? {
    if case .shutdown(let reason) = state { reason } else { nil }
  }
}

extension Hypervisor {
  /// Bytes that no domain has.
  public var freeMemory: UInt64 { frames.freeFrames << 12 }
  public var totalMemory: UInt64 { frames.totalFrames << 12 }
}

extension ShutdownReason {
  /// As Xen's tools call it.
  public var name: String {
    switch self {
    case .poweroff: "poweroff"
    case .reboot: "reboot"
    case .suspend: "suspend"
    case .crash: "crash"
    case .watchdog: "watchdog"
    case .softReset: "soft-reset"
    }
  }
}
