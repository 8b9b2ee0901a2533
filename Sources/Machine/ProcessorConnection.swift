import Devices
import Interpreter
import Platform
import Processor

/// What one virtual CPU is plugged into: the machine's ports and devices, and its own local APIC. It brings the clock up to the
/// instruction before any device sees an access.
final class ProcessorConnection: ProcessorBus, ProcessorSignals {
  private unowned(unsafe) let machine: Machine
  private unowned(unsafe) let clock: VirtualClock
  private unowned(unsafe) let ports: PortSpace
  private unowned(unsafe) let memory: PhysicalMemory
  let lapic: LocalAPIC
  /// Set right after construction: processor and connection need each other.
  private(set) var processor: VirtualCPU!
  /// Virtual time minus instructions retired; constant while the processor runs.
  private(set) var timeBase: UInt64 = 0
  /// Page of the APIC's registers; one that no address has where the processor has no APIC.
  private var apicPage: UInt64
  private let hasAPIC: Bool

  init(machine: Machine, lapic: LocalAPIC) {
    self.machine = machine
    self.lapic = lapic
    hasAPIC = machine.configuration.cpu.model.features.contains(.apic)
    apicPage = hasAPIC ? PhysicalLayout.localAPIC : .max
    clock = machine.clock
    ports = machine.ports
    memory = machine.memory
  }

  func attach(_ processor: VirtualCPU) {
    self.processor = processor
    lapic.processor = self
    lapic.tscNow = { [unowned self] in
      synchronize()
      return self.processor.retired &+ self.processor.cpu.s.pointee.tscOffset
    }
    lapic.tscToTime = { [unowned self] target in
      let now = self.processor.retired &+ self.processor.cpu.s.pointee.tscOffset
      if target <= now { return clock.now }
      let time = clock.now.addingReportingOverflow(target - now)
      return time.overflow ? VirtualClock.never : time.partialValue
    }
    lapic.onBaseChange = { [unowned self] base in if hasAPIC { apicPage = base & ~0xFFF } }
  }

  /// The processor takes up running at the clock's present time. Its time-stamp counter went on while it did not run.
  func resume() {
    let base = clock.now &- processor.retired
    processor.cpu.s.pointee.tscOffset &+= base &- timeBase
    timeBase = base
  }

  /// After a restore the counter is as it was saved, after a reset it is 0; only the base is new.
  func rebase() { timeBase = clock.now &- processor.retired }

  /// Brings the clock to the instruction at hand.
  @inline(__always)
  func synchronize() {
    if machine.running === processor { clock.now = timeBase &+ processor.retired }
  }

  // MARK: ProcessorBus

  func readPort(_ port: UInt16, size: Int) -> UInt32 {
    synchronize()
    return ports.read(port, size: size)
  }

  func writePort(_ port: UInt16, _ value: UInt32, size: Int) {
    synchronize()
    ports.write(port, value, size: size)
  }

  func readDevice(_ address: UInt64, size: Int) -> UInt64 {
    synchronize()
    if address & ~0xFFF == apicPage, lapic.isEnabled { return lapic.readMemory(address & 0xFFF, size: size) }
    return memory.read(address, size: size)
  }

  func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {
    synchronize()
    if address & ~0xFFF == apicPage, lapic.isEnabled { return lapic.writeMemory(address & 0xFFF, value, size: size) }
    memory.write(address, value, size: size)
  }

  func acknowledgeInterrupt() -> UInt8? {
    synchronize()
    return lapic.acknowledge()
  }

  var taskPriority: UInt8 {
    get { UInt8(truncatingIfNeeded: lapic.cr8) &<< 4 }
    set {
      synchronize()
      lapic.cr8 = UInt64(newValue &>> 4)
    }
  }

  func readAPICRegister(_ msr: UInt32) -> UInt64? {
    synchronize()
    return lapic.readMSR(msr)
  }

  func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool {
    synchronize()
    return lapic.writeMSR(msr, value)
  }

  // MARK: ProcessorSignals

  /// A signal may make this processor runnable while another one runs: that one's turn ends, so that the wait is short, and
  /// so that an INIT has happened when the start-up message comes.
  private func wake() {
    if let running = machine.running, running !== processor {
      machine.turnLeft = 0
      running.requestStop()
    }
  }

  func setInterruptRequest(_ level: Bool) {
    processor.setInterruptRequest(level)
    if level { wake() }
  }

  func signalNMI() {
    processor.signalNMI()
    wake()
  }

  func signalSMI() {
    processor.signalSMI()
    wake()
  }

  func signalINIT() {
    processor.signalINIT()
    wake()
  }

  func signalStartup(vector: UInt8) {
    processor.signalStartup(vector: vector)
    wake()
  }
}
