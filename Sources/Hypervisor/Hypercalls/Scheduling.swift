import Processor
import X86
import XenABI

/// sched_op and vcpu_op.
extension VCPU {
  func schedOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    switch a[0] {
    case SchedOp.yield:
      giveUpTurn()
    case SchedOp.block:
      block()
    case SchedOp.shutdown:
      let code = try load(a[1], as: UInt32.self)
      guard let reason = ShutdownReason(rawValue: code) else { throw .EINVAL }
      // A suspended guest finds a 1 here when it was cancelled; it is resumed with 0.
      endByItself(reason)
    case SchedOp.poll:
      try poll(a[1])
    case SchedOp.shutdownCode:
      return .zero
    case SchedOp.watchdog, SchedOp.remoteShutdown, SchedOp.pinOverride:
      throw a[0] == SchedOp.watchdog ? .EINVAL : .EPERM
    default: throw .ENOSYS
    }
    return .zero
  }

  func schedOpCompat(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    switch a[0] {
    case SchedOp.yield: giveUpTurn()
    case SchedOp.block: block()
    case SchedOp.shutdown:
      guard let reason = ShutdownReason(rawValue: UInt32(truncatingIfNeeded: a[1])) else { throw .EINVAL }
      endByItself(reason)
    default: throw .ENOSYS
    }
    return .zero
  }

  /// The guest ends its domain; that it has crashed is worth a line.
  private func endByItself(_ reason: ShutdownReason) {
    if reason == .crash { hypervisor.log("\(domain.id) \(domain.name) says that it has crashed") }
    domain.shutDown(reason)
  }

  private func giveUpTurn() {
    hypervisor.scheduler.yielded = true
    processor.requestStop()
  }

  /// Waits for an event, with events unmasked.
  private func block() {
    upcallMask = false
    if upcallPending { return }
    state = .blocked
    pollPorts = []
    pollUntil = nil
    processor.requestStop()
  }

  /// Waits for one of a few ports, masked or not, or a time (sched.h, struct sched_poll).
  private func poll(_ address: UInt64) throws(XenError) {
    var reader = GuestReader(self, address)
    let list = try reader.word()
    let count = try reader.next(UInt32.self)
    let timeout = try reader.next(UInt64.self)
    if count > 128 { throw .EINVAL }
    var ports: [EventPort] = []
    for n in 0..<UInt64(count) {
      let port = try load(list &+ n * 4, as: UInt32.self)
      if !domain.events.isValid(port) { throw .EINVAL }
      ports.append(port)
    }
    if ports.contains(where: { domain.isPending($0) }) { return }
    if timeout != 0, timeout <= hypervisor.now &+ domain.timeOffset { return }
    state = .blocked
    pollPorts = ports
    isPolling = true
    pollUntil = timeout == 0 ? nil : domain.hostTime(ofGuest: timeout)
    hypervisor.timersChanged(self)
    processor.requestStop()
  }

  // MARK: vcpu_op

  /// Periods in ns that a periodic timer may have.
  static let timerPeriods: ClosedRange<UInt64> = 1_000_000...UInt64.max >> 2

  func vcpuOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    guard a[1] < UInt64(domain.vcpus.count) else { throw .ENOENT }
    let target = domain.vcpus[Int(a[1])]
    switch a[0] {
    case VCPUOp.initialise:
      if hvm != nil { try target.initialiseHVM(from: self, a[2]) } else { try target.initialise(from: self, a[2]) }
    case VCPUOp.up:
      if !target.isInitialised { throw .EINVAL }
      if target.state == .offline { target.bringUp() }
    case VCPUOp.down:
      let others = domain.vcpus.contains { $0 !== target && $0.state != .offline }
      if !others {
        domain.shutDown(.poweroff)
        return .zero
      }
      target.state = .offline
      target.runstate.enter(.offline, at: hypervisor.now)
      target.processor.requestStop()
    case VCPUOp.isUp:
      return .value(target.state == .offline ? 0 : 1)
    case VCPUOp.getRunstateInfo:
      try storeRunstate(of: target, at: a[2])
    case VCPUOp.registerRunstateArea:
      target.runstateAddress = try loadWord(a[2])
      try storeRunstate(of: target, at: target.runstateAddress)
    case VCPUOp.setPeriodicTimer:
      let period = try load(a[2], as: UInt64.self)
      // The upper bound is Xen's, too: sums of times do not overflow.
      guard VCPU.timerPeriods.contains(period) else { throw .EINVAL }
      target.periodNanoseconds = period
      target.nextPeriod = hypervisor.now &+ period
      hypervisor.timersChanged(target)
    case VCPUOp.stopPeriodicTimer:
      target.periodNanoseconds = 0
      target.nextPeriod = .max
    case VCPUOp.setSingleshotTimer:
      if target !== self { throw .EINVAL }
      var reader = GuestReader(self, a[2])
      let time = try reader.next(UInt64.self), flags = try reader.next(UInt32.self)
      // VCPU_SSHOTTMR_future: a time that is over is refused.
      if flags & 1 != 0, time < hypervisor.now &+ domain.timeOffset { throw .ETIME }
      singleShot = domain.hostTime(ofGuest: time)
      hypervisor.timersChanged(self)
    case VCPUOp.stopSingleshotTimer:
      if target !== self { throw .EINVAL }
      singleShot = nil
    case VCPUOp.registerVCPUInfo:
      var reader = GuestReader(self, a[2])
      let frame = try domain.machineFrame(try reader.next(UInt64.self)), offset = try reader.next(UInt32.self)
      try target.moveInfo(frame, Int(offset))
    case VCPUOp.sendNMI:
      if let hvm = target.hvm {
        hvm.signalNMI()
      } else {
        target.nmiPending = true
        target.wake()
      }
    case VCPUOp.registerTimeArea:
      target.timeAddress = try loadWord(a[2])
      target.storeTimeArea()
    default: throw .ENOSYS
    }
    return .zero
  }

  private func storeRunstate(of target: VCPU, at address: UInt64) throws(XenError) {
    let r = target.runstate
    // A 32-bit guest aligns the 64-bit fields to four bytes.
    let step: UInt64 = domain.isCompat ? 4 : 8
    try store(address, UInt32(r.kind.rawValue))
    try store(address &+ step, r.since &+ domain.timeOffset)
    for n in 0..<4 { try store(address &+ step &+ 8 &+ UInt64(n) * 8, r.total(RunStateKind(rawValue: n)!, at: hypervisor.now)) }
  }

  /// Brings the area that the guest registered up to date, when it is about to run.
  func storeRunstateArea() {
    if runstateAddress == 0 { return }
    do throws(XenError) { try storeRunstate(of: self, at: runstateAddress) } catch {}
  }

  func storeTimeArea() {
    if timeAddress == 0 { return }
    do throws(XenError) {
      for n in 0..<4 { try store(timeAddress &+ UInt64(n * 8), (info + SharedInfoLayout.time).load(fromByteOffset: n * 8, as: UInt64.self)) }
    } catch {}
  }

  /// Puts the vcpu_info where the guest wants it; only once.
  func moveInfo(_ frame: MachineFrameNumber, _ offset: Int) throws(XenError) {
    if hasOwnInfo || offset < 0 || offset > 4096 - SharedInfoLayout.vcpuInfoBytes { throw .EINVAL }
    try domain.getAndType(frame, .writable)
    let old = info
    let new = frames.contents(frame) + offset
    new.copyMemory(from: old, byteCount: SharedInfoLayout.vcpuInfoBytes)
    infoFrame = frame
    infoOffset = offset
    hasOwnInfo = true
    // Nothing that was pending is lost: the guest looks at everything once.
    let width = domain.layout.word
    for n in 0..<width { new.storeBytes(of: 0xFF, toByteOffset: domain.layout.pendingSelector + n, as: UInt8.self) }
    notify()
  }
}

/// How long a virtual processor was in each state (vcpu.h, RUNSTATE_*).
struct RunState {
  private(set) var kind = RunStateKind.offline
  private(set) var since: UInt64 = 0
  private var totals = InlineArray<4, UInt64>(repeating: 0)

  mutating func enter(_ new: RunStateKind, at now: UInt64) {
    // Another physical processor's clock may be behind.
    let now = max(now, since)
    totals[kind.rawValue] += now - since
    kind = new
    since = now
  }

  func total(_ which: RunStateKind, at now: UInt64) -> UInt64 {
    totals[which.rawValue] + (which == kind && now > since ? now - since : 0)
  }
}
