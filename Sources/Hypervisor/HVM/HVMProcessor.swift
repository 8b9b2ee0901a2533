import Devices
import Interpreter
import Platform
import Processor
import XenABI

/// What makes a virtual processor a whole one: a local APIC, interrupts, and the answers to what it asks of its hypervisor.
///
/// Ports and addresses without memory lead nowhere, but for the local APIC's page and the hypervisor's debug port.
final class HVMProcessor: ProcessorBus, ProcessorSignals, GuestOwner {
  private unowned(unsafe) let domain: Domain
  private unowned(unsafe) let hypervisor: Hypervisor
  private unowned(unsafe) let platform: HVMPlatform
  private unowned(unsafe) var vcpu: VCPU!
  let lapic: LocalAPIC
  private var apicPage: UInt64
  private var apicRequests = false
  /// The event upcall has to be delivered by the callback vector.
  private var upcallIsDue = false
  /// HVMOP_set_evtchn_upcall_vector; 0 for the domain's.
  var upcallVector: UInt8 = 0

  /// Xen's console of one byte (xen/include/public/xen.h, "XEN_HVM_DEBUGCONS_IOPORT").
  private static let debugPort: UInt16 = 0xE9

  init(domain: Domain, platform: HVMPlatform, index: Int) {
    self.domain = domain
    self.platform = platform
    hypervisor = domain.hypervisor
    lapic = LocalAPIC(id: UInt32(index), bus: platform.apicBus, clock: platform.clock, isBootstrap: index == 0)
    apicPage = LocalAPIC.defaultAddress
  }

  func attach(_ vcpu: VCPU) {
    self.vcpu = vcpu
    lapic.processor = self
    lapic.tscNow = { [unowned self] in timeStamp }
    lapic.tscToTime = { [unowned self] target in
      let now = timeStamp, time = platform.clock.now
      if target <= now { return time }
      let (due, overflow) = time.addingReportingOverflow(target - now)
      return overflow ? VirtualClock.never : due
    }
    lapic.onBaseChange = { [unowned self] base in apicPage = base & ~0xFFF }
  }

  /// The guest's time-stamp counter now, also of a processor that does not run.
  private var timeStamp: UInt64 {
    synchronize()
    return vcpu.cpu.s.pointee.tscOffset &- vcpu.timeBase &+ hypervisor.now
  }

  private func synchronize() {
    // Its clock is the guest's, which may have begun on another machine.
    platform.clock.now = max(platform.clock.now, hypervisor.now &+ domain.timeOffset)
    platform.apicBus.currentProcessor = vcpu.index
  }

  // MARK: ProcessorBus

  func readPort(_ port: UInt16, size: Int) -> UInt32 {
    // Xen's debug port says who it is.
    port == Self.debugPort ? 0xE9 : ~0
  }

  func writePort(_ port: UInt16, _ value: UInt32, size: Int) {
    guard port == Self.debugPort, size == 1 else { return }
    domain.writeToConsole([UInt8(truncatingIfNeeded: value)])
  }

  func readDevice(_ address: UInt64, size: Int) -> UInt64 {
    let address = address & ~GuestPhysicalMap.outside
    guard address & ~0xFFF == apicPage, lapic.isEnabled else { return size >= 8 ? ~0 : 1 << UInt64(size * 8) - 1 }
    synchronize()
    return lapic.readMemory(address & 0xFFF, size: size)
  }

  func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {
    let address = address & ~GuestPhysicalMap.outside
    guard address & ~0xFFF == apicPage, lapic.isEnabled else { return }
    synchronize()
    lapic.writeMemory(address & 0xFFF, value, size: size)
    processorClockChanged()
  }

  func acknowledgeInterrupt() -> UInt8? {
    if upcallIsDue {
      upcallIsDue = false
      updateRequest()
      // The guest may have looked for events itself meanwhile.
      if vcpu.upcallPending, platform.callbackVector != 0 { return platform.callbackVector }
    }
    synchronize()
    return lapic.acknowledge()
  }

  var taskPriority: UInt8 {
    get { UInt8(truncatingIfNeeded: lapic.cr8) << 4 }
    set {
      synchronize()
      lapic.cr8 = UInt64(newValue >> 4)
    }
  }

  func readAPICRegister(_ msr: UInt32) -> UInt64? {
    synchronize()
    return lapic.readMSR(msr)
  }

  func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool {
    synchronize()
    defer { processorClockChanged() }
    return lapic.writeMSR(msr, value)
  }

  /// The APIC's timer may be due earlier than the present turn ends.
  private func processorClockChanged() { hypervisor.timersChanged(vcpu) }

  // MARK: ProcessorSignals

  func setInterruptRequest(_ level: Bool) {
    apicRequests = level
    updateRequest()
  }

  func signalNMI() {
    vcpu.processor.signalNMI()
    vcpu.wake()
  }

  func signalSMI() {}

  func signalINIT() {
    vcpu.processor.signalINIT()
    rouse()
  }

  func signalStartup(vector: UInt8) {
    vcpu.isInitialised = true
    vcpu.processor.signalStartup(vector: vector)
    rouse()
  }

  /// A processor that waits for its start, or that was taken down, looks at its signals.
  private func rouse() {
    if vcpu.state == .runnable { return }
    vcpu.state = .runnable
    hypervisor.becameRunnable(vcpu)
  }

  private func updateRequest() {
    let level = apicRequests || upcallIsDue
    if level != vcpu.cpu.s.pointee.interruptRequest { vcpu.processor.setInterruptRequest(level) }
    if level { vcpu.wake() }
  }

  // MARK: Events

  /// `evtchn_upcall_pending` has been set.
  func eventPending() {
    if upcallVector != 0 {
      synchronize()
      lapic.requestInterrupt(upcallVector)
    } else if platform.callbackVector != 0 {
      upcallIsDue = true
      updateRequest()
    }
  }

  /// Before a turn: what is still pending is delivered once more.
  func refresh() {
    if upcallVector == 0, vcpu.upcallPending, !upcallIsDue { eventPending() }
  }

  // MARK: GuestOwner

  func didTranslate(_ linear: UInt64, _ access: Access, guest: UInt64, _ translation: inout PageTranslation) {
    platform.shadow?.fill(vcpu, linear, access, guest: guest, &translation)
  }

  func didInvalidate(_ linear: UInt64?) { platform.shadow?.invalidate(vcpu, linear) }

  func cpuid(leaf: UInt32, subleaf: UInt32) -> CPUIDResult { GuestCPUID.hvmLeaf(leaf, subleaf, vcpu) }

  func readMSR(_ index: UInt32) -> MSRAnswer { vcpu.readHVMRegister(index) }

  func writeMSR(_ index: UInt32, _ value: UInt64) -> MSRAnswer { vcpu.writeHVMRegister(index, value) }

  func callHypervisor() { vcpu.hypercallHVM() }
}
