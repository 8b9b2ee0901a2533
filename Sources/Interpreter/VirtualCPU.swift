import Platform
import Processor
import X86
import X86Decoder

/// Why `VirtualCPU.run` returned.
public enum StopReason: Sendable, Equatable {
  /// The instructions asked for have been retired.
  case budgetUsed
  /// HLT or MWAIT, and nothing deliverable is pending.
  case halted
  case waitForSIPI
  /// Triple fault.
  case shutdown
  case stopRequested
}

/// A virtual CPU with its state, TLBs and caches: what a machine plugs in and runs.
public final class VirtualCPU {
  /// The state, for instruction functions and debuggers.
  public let cpu: CPU
  public let index: Int
  private let environment: ProcessorEnvironment
  /// Made for the first run that reports instructions.
  lazy var instructionCache = InstructionCache()

  /// Debug builds do not turn handler calls into jumps: the stack grows with every operation, so a run goes in small portions.
  #if DEBUG
  private static let portion = 500
  #else
  private static let portion = 1 << 40
  #endif

  /// - Parameters:
  ///   - index: number of the processor; its local APIC's id.
  ///   - bus: is not retained and must outlive the processor.
  public init(index: Int, memory: PhysicalMemory, model: CPUModel, codeCache: CodeCache, bus: any ProcessorBus) {
    self.index = index
    environment = ProcessorEnvironment(memory: memory, model: model, codeCache: codeCache, bus: bus)
    cpu = CPU.make(environment, index: UInt32(index))
    codeCache.add(cpu)
    reset()
  }

  deinit {
    environment.codeCache.remove(cpu)
    cpu.destroy()
  }

  /// Instructions (REP: iterations) retired since power-on.
  public var retired: UInt64 { cpu.s.pointee.retired }

  public var a20Enabled: Bool {
    get { cpu.s.pointee.a20Mask & (1 << 20) != 0 }
    set {
      cpu.s.pointee.a20Mask = newValue ? ~0 : ~(1 << 20)
      cpu.flushTLB(keepGlobal: false)
    }
  }

  /// Power-on state.
  public func reset() {
    cpu.reset(isINIT: false)
  }

  // MARK: Running

  /// Executes until `instructions` more are retired, exactly, or something else stops the processor.
  public func run(instructions: UInt64) -> StopReason {
    let s = cpu.s
    let end = s.pointee.retired &+ instructions
    while true {
      if let reason = takeEvents() { return reason }
      if s.pointee.retired >= end { return .budgetUsed }
      if debugTrapIsDue { continue }
      if mustStep {
        if cpu.linearRIP == s.pointee.stopAddress { return .stopRequested }
        Step.one(cpu)
        continue
      }
      let left = end &- s.pointee.retired
      guard let op = BlockLookup.find(cpu) else {
        // Code outside memory is executed singly; the delivery of a fault of the fetch may have used the count up.
        if s.pointee.exitRequest == 0, s.pointee.activity == .running, s.pointee.retired < end { Step.one(cpu) }
        continue
      }
      if left > UInt64(BlockBuilder.maximumInstructions) {
        // A block is charged when it is left, so stop early enough not to overshoot.
        enter(op, Int(min(left &- UInt64(BlockBuilder.maximumInstructions), UInt64(Self.portion))))
      } else if blockLength(op) <= left {
        enter(op, 0)
      } else {
        Step.one(cpu)
      }
    }
  }

  /// The same one instruction (of a REP: one iteration) after the other by the generic functions, without any decoded block.
  public func runBySteps(instructions: UInt64) -> StopReason {
    let end = cpu.s.pointee.retired &+ instructions
    while true {
      if let reason = takeEvents() { return reason }
      if cpu.s.pointee.retired >= end { return .budgetUsed }
      if debugTrapIsDue { continue }
      Step.one(cpu)
    }
  }

  /// Enters the chain with a budget of `n` instructions; it ends behind the first block that uses it up.
  @inline(__always)
  private func enter(_ op: OperationPointer, _ n: Int) {
    let s = cpu.s
    s.pointee.retiredAtZero = s.pointee.retired &+ UInt64(n)
    return handler(of: op)(cpu, op, n, s.pointee.flagResult, s.pointee.flagAux)
  }

  /// Instructions of the block that begins at `op`: counts rise by one a slot until the jump at its end.
  private func blockLength(_ op: OperationPointer) -> UInt64 {
    var p = op
    while (p + 1).pointee.count > p.pointee.count { p += 1 }
    return UInt64(p.pointee.count)
  }

  /// Whether the next instruction needs the attention that only single steps give: TF, instruction breakpoints, an interrupt shadow
  /// that something waits behind.
  private var mustStep: Bool {
    let s = cpu.s
    if s.pointee.systemFlags & (RFLAGS.TF | RFLAGS.RF) != 0 { return true }
    if s.pointee.dr7 & 0xFF != 0, cpu.hasCodeBreakpoints { return true }
    return s.pointee.interruptShadow == s.pointee.retired && hasPendingEvent
  }

  private var hasPendingEvent: Bool {
    let s = cpu.s
    return s.pointee.interruptRequest || s.pointee.nmiPending || s.pointee.pendingDebug != 0
  }

  /// Whether a debug trap is to be delivered before the next instruction: the frame of one may hit a data breakpoint again.
  var debugTrapIsDue: Bool {
    let s = cpu.s
    return s.pointee.pendingDebug != 0 && (s.pointee.interruptShadow != s.pointee.retired || !s.pointee.shadowIsMovSS)
  }

  /// Takes what is due between two instructions, in the order of SDM vol. 3A table 6-2. Returns a reason to stop, if there is one.
  func takeEvents() -> StopReason? {
    let s = cpu.s
    var request = s.pointee.exitRequest
    s.pointee.exitRequest = 0
    if request & ExitRequest.observer != 0 { return .stopRequested }
    if s.pointee.initPending {
      s.pointee.initPending = false
      cpu.reset(isINIT: true)
    }
    if s.pointee.activity != .running {
      switch s.pointee.activity {
      case .shutdown: return .shutdown
      case .waitForSIPI:
        if s.pointee.sipiPending == 0 { return .waitForSIPI }
        cpu.startUp(vector: UInt8(truncatingIfNeeded: s.pointee.sipiPending &- 1))
        s.pointee.sipiPending = 0
      default:
        let wakes = (s.pointee.nmiPending && !s.pointee.nmiBlocked)
          || (s.pointee.interruptRequest && s.pointee.systemFlags & RFLAGS.IF != 0)
        if !wakes { return .halted }
        s.pointee.activity = .running
      }
    }
    s.pointee.sipiPending = 0
    if debugTrapIsDue {
      // Data breakpoints that the last instruction hit; traps come before interrupts.
      _ = cpu.deliverDebugTraps(singleStep: false)
      if isStopped(&request) { return .stopRequested }
    }
    if s.pointee.interruptShadow != s.pointee.retired {
      if s.pointee.nmiPending, !s.pointee.nmiBlocked {
        s.pointee.nmiPending = false
        cpu.deliverNMI()
        if isStopped(&request) { return .stopRequested }
      }
      if s.pointee.interruptRequest, s.pointee.systemFlags & RFLAGS.IF != 0,
         let vector = environment.bus.acknowledgeInterrupt() {
        cpu.deliver(vector: vector, kind: .external)
        if isStopped(&request) { return .stopRequested }
      }
    }
    if request & ExitRequest.stop != 0 { return .stopRequested }
    // Delivering an event may have ended in a triple fault.
    return s.pointee.activity == .shutdown ? .shutdown : nil
  }

  /// Adds what the delivery of an event asks for; true if an observer wants the run to end.
  private func isStopped(_ request: inout UInt32) -> Bool {
    request |= cpu.s.pointee.exitRequest
    cpu.s.pointee.exitRequest = 0
    return request & ExitRequest.observer != 0
  }

  /// Makes `run` return after the current instruction.
  public func requestStop() { cpu.s.pointee.exitRequest |= ExitRequest.stop }
}

extension VirtualCPU: ProcessorSignals {
  public func setInterruptRequest(_ level: Bool) {
    cpu.s.pointee.interruptRequest = level
    if level { cpu.s.pointee.exitRequest |= ExitRequest.event }
  }

  public func signalNMI() {
    cpu.s.pointee.nmiPending = true
    cpu.s.pointee.exitRequest |= ExitRequest.event
  }

  /// There is no system-management mode: the signal is ignored.
  public func signalSMI() {}

  public func signalINIT() {
    cpu.s.pointee.initPending = true
    // A start-up IPI from before it is void.
    cpu.s.pointee.sipiPending = 0
    cpu.s.pointee.exitRequest |= ExitRequest.event
  }

  public func signalStartup(vector: UInt8) {
    cpu.s.pointee.sipiPending = UInt16(vector) + 1
    cpu.s.pointee.exitRequest |= ExitRequest.event
  }
}

extension VirtualCPU {
  public func save(to writer: inout StateWriter) { cpu.save(to: &writer) }
  public func restore(from reader: inout StateReader) throws(StateError) { try cpu.restore(from: &reader) }
}
