import Platform

/// What a processor is plugged into. The owner (a machine, a hypervisor, a test) implements it; all calls happen outside
/// the fast path, with `retired` exact.
public protocol ProcessorBus: AnyObject {
  func readPort(_ port: UInt16, size: Int) -> UInt32
  func writePort(_ port: UInt16, _ value: UInt32, size: Int)
  /// Accesses to physical addresses that are not RAM or ROM; they do not cross a page.
  func readDevice(_ address: UInt64, size: Int) -> UInt64
  func writeDevice(_ address: UInt64, _ value: UInt64, size: Int)
  /// INTA: the vector of the interrupt to take, or nil when the request is gone.
  func acknowledgeInterrupt() -> UInt8?
  /// The local APIC's task priority register; its bits 7–4 are CR8.
  var taskPriority: UInt8 { get set }
  /// MSRs of the local APIC (IA32_APIC_BASE, x2APIC 800H–8FFH, TSC deadline); nil means #GP.
  func readAPICRegister(_ msr: UInt32) -> UInt64?
  func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool
}

/// What the processors of one machine share, as seen from one of them.
public final class ProcessorEnvironment {
  public let memory: PhysicalMemory
  public let model: CPUModel
  public let codeCache: CodeCache
  public unowned(unsafe) var bus: any ProcessorBus
  /// Told of what `CPUState.observation` says; set by `CPU.observe`.
  public internal(set) unowned(unsafe) var observer: (any ExecutionObserver)?
  /// Of a guest whose physical address space is not the machine's; set by `CPU.beOwned`.
  public internal(set) unowned(unsafe) var owner: (any GuestOwner)?
  /// The last events delivered, for explanations.
  public let faultLog = FaultLog()

  public init(memory: PhysicalMemory, model: CPUModel, codeCache: CodeCache, bus: any ProcessorBus) {
    self.memory = memory
    self.model = model
    self.codeCache = codeCache
    self.bus = bus
  }
}
