import Interpreter
import Platform
import Processor
import X86Decoder

/// A kind of processor, by what CPUID says: `.x86_64v3`, `.x86_64v2`, `.x86_64v1`, `.pentium3`, `.pentium`, `.i486`, `.i386`, or one of these
/// `.with(adding:removing:)` features.
public typealias CPUModel = Processor.CPUModel
/// A decoded instruction: `mnemonic`, `length`, `prefixes`, `op0` … `op3`, address components.
public typealias Instruction = X86Decoder.Instruction
/// The name of an instruction, as the SDM spells it: `.MOV`, `.JZ`, `.VPADDD`.
public typealias Mnemonic = X86Decoder.Mnemonic
/// `.es`, `.cs`, `.ss`, `.ds`, `.fs`, `.gs`
public typealias SegmentRegister = X86Decoder.SegmentRegister
/// Translates instructions to text in Intel or AT&T syntax.
public typealias Disassembler = X86Decoder.Disassembler
/// An interrupt or exception that was delivered: `vector`, `errorCode`, `rip`, `cr2` and more; its description is a line for a log.
public typealias EventRecord = Processor.FaultRecord

/// A processor with memory of your making: set its state, run it, read its state, watch it.
///
/// ```swift
/// let core = try Core(mode: .long)
/// try core.mapMemory(at: 0x1000, size: 0x1000)
/// try core.write([0x48, 0x01, 0xD8, 0xF4], at: 0x1000)  // add rax, rbx; hlt
/// core[.rax] = 2
/// core[.rbx] = 3
/// core[.rip] = 0x1000
/// let exit = core.run()                                  // .halt
/// print(core[.rax])                                      // 5
/// ```
///
/// A core is deterministic: the same state and the same calls give the same results, also of RDTSC and RDRAND, which count retired
/// instructions. It belongs to one thread at a time. Different cores are independent of each other.
///
/// Not modelled: caches, timing, a local APIC (its MSRs raise #GP), system-management mode, more than one processor; the machine that
/// `xenolith run` emulates has the latter and devices.
public final class Core {
  /// What kind of processor it is.
  public let model: CPUModel
  /// What ends a run instead of being left to the guest. ``ExitConditions/all`` unless chosen otherwise.
  public var exits: ExitConditions { didSet { watcher.update() } }

  let memory: PhysicalMemory
  let codeCache: CodeCache
  let virtual: VirtualCPU
  let bus: CoreBus
  let watcher = Watcher()
  /// First physical address that cannot be mapped.
  let addressSpace: UInt64
  var regions: [Region] = []
  var tables: IdentityTables?
  var cpu: CPU { virtual.cpu }

  /// Set by whoever ends the run, with the reason.
  @exclusivity(unchecked) var pendingExit: Exit?
  private(set) var isRunning = false

  /// - Parameters:
  ///   - model: `.x86_64v3` (the default), `.x86_64v2`, `.x86_64v1`, `.pentium3`, `.pentium`, `.i486` or `.i386`; `CPUModel.with(adding:removing:)`
  ///     makes others. An instruction that the model lacks raises #UD.
  ///   - mode: see ``Mode``.
  ///   - addressSpace: bytes of physical address space, cut to 512 GiB; costs address space of the host, not memory.
  ///   - exits: what ends a run.
  /// - Throws: `modeNotSupported`.
  public init(
    model: CPUModel = .x86_64v3, mode: Mode = .long, addressSpace: UInt64 = 4 << 30, exits: ExitConditions = .all
  ) throws(CoreError) {
    self.model = model
    self.exits = exits
    self.addressSpace = (min(addressSpace, 512 << 30) + 4095) & ~4095
    bus = CoreBus()
    // The tables of 64-bit mode lie where neither 32-bit code nor the linear addresses they map can reach them.
    memory = PhysicalMemory(limit: IdentityTables.base(addressSpace: self.addressSpace) + IdentityTables.size)
    codeCache = CodeCache(memory: memory)
    virtual = VirtualCPU(index: 0, memory: memory, model: model, codeCache: codeCache, bus: bus)
    bus.core = self
    watcher.core = self
    watcher.update()
    try enter(mode)
  }

  deinit { cpu.observe([], by: nil) }

  // MARK: Running

  /// Executes until `count` instructions are retired, the instruction at the linear address `until` is next, or something of ``Exit`` happens.
  ///
  /// An iteration of a REP instruction counts as an instruction, and so does an exception that is delivered. `until` is looked at
  /// after the first instruction: a run may begin where it is to end.
  ///
  /// Without instruction and branch hooks the core runs at full speed, also with `until`. Changing `until` from run to run costs
  /// decoding the code again.
  @discardableResult
  public func run(count: UInt64 = .max, until: UInt64? = nil) -> Exit {
    precondition(!isRunning, "a hook or handler cannot run the core that calls it")
    isRunning = true
    defer { isRunning = false }
    pendingExit = nil
    let begin = virtual.retired
    let end = begin &+ min(count, .max &- begin)
    virtual.stopAddress = until
    if let until, cpu.linearRIP == until, let exit = leave(until, end) { return exit }
    while true {
      let left = end &- virtual.retired
      let reason = watcher.seesInstructions ? virtual.runObserved(instructions: left, by: watcher) : virtual.run(instructions: left)
      if let exit = pendingExit { return exit }
      switch reason {
      case .halted, .waitForSIPI: return .halt
      case .shutdown: return .tripleFault
      case .budgetUsed: return until == cpu.linearRIP && end != begin ? .address : .count
      case .stopRequested:
        if until == cpu.linearRIP { return .address }
        // Otherwise a hook was added or removed: another loop may be the right one now.
      }
    }
  }

  /// Executes the instruction at the address where the run is to end; all iterations of a REP.
  private func leave(_ address: UInt64, _ end: UInt64) -> Exit? {
    let repeats = isRepeated(at: address)
    var reason: StopReason
    repeat {
      if virtual.retired >= end { return nil }
      reason = watcher.seesInstructions ? virtual.runObserved(instructions: 1, by: watcher) : virtual.runBySteps(instructions: 1)
      if let exit = pendingExit { return exit }
      if reason == .halted || reason == .shutdown { return nil }
    } while (repeats || reason == .stopRequested) && cpu.linearRIP == address
    return cpu.linearRIP == address ? .address : nil
  }

  private func isRepeated(at address: UInt64) -> Bool {
    guard let instruction = try? instruction(atLinear: address) else { return false }
    return OpcodeMap.shared.attributes(instruction.row).contains(.string)
      && !instruction.prefixes.isDisjoint(with: [.rep, .repne])
  }

  /// Ends the run, from a hook or handler: after the instruction at hand or, in a hook before an instruction, before it. Does nothing outside of runs.
  public func stop() { end(.stopped) }

  /// The first reason counts.
  func end(_ exit: Exit) {
    guard isRunning else { return }
    if pendingExit == nil { pendingExit = exit }
    virtual.stopObserved()
  }

  /// Lets a run under way choose its loop anew, behind the instruction at hand.
  func reconsider() {
    if isRunning { virtual.requestStop() }
  }

  /// Instructions (REP: iterations; deliveries of exceptions) retired since the core was made, or restored from a snapshot.
  public var retired: UInt64 { virtual.retired }

  /// Power-on state, in real-address mode at F000:FFF0 with the base FFFF0000H; memory stays as it is.
  public func reset() {
    virtual.reset()
    bus.clear()
  }

  // MARK: Events

  /// Lets the processor see an interrupt request with this vector, as an interrupt controller would: it is taken when RFLAGS.IF allows it,
  /// and wakes the processor from HLT. Several are taken in the order in which they were requested.
  public func requestInterrupt(vector: UInt8) {
    bus.vectors.append(vector)
    virtual.setInterruptRequest(true)
  }

  /// Requests a non-maskable interrupt.
  public func requestNMI() { virtual.signalNMI() }

  /// Delivers an exception to the guest now, as if the instruction at RIP had raised it; for exceptions that ended a run. With
  /// whatever follows from it, but without asking exception hooks or ``exits``.
  public func deliver(_ event: ExceptionEvent) {
    watcher.ignoreEvents = true
    defer { watcher.ignoreEvents = false }
    if event.kind == .exception, let vector = Vector(rawValue: event.vector) {
      cpu.deliver(event.errorCode.map { Fault(vector, errorCode: $0) } ?? Fault(vector))
    } else {
      cpu.deliver(vector: event.vector, kind: event.kind == .software ? .software : .external)
    }
  }

  /// The last interrupts and exceptions whose delivery was begun (up to 64), oldest first: after a triple fault, how it came to that.
  public var recentEvents: [EventRecord] { cpu.environment.faultLog.recent }
}
