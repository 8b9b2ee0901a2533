/// Local APIC of one processor: xAPIC register file and x2APIC MSRs.
///
/// Reference: SDM vol. 3A chapter 11 (APIC), §11.12 (x2APIC), vol. 4 for the MSRs. Memory: 4 KiB through `APICBus`.
/// Inputs: 0 = LINT0 (the PIC), 1 = LINT1 (NMI). Outputs: `ProcessorSignals`.
///
/// Not modelled: thermal and performance-counter sources (their LVT entries are registers only), CMCI, EOI-broadcast
/// suppression, remote read, focus processor checking, arbitration IDs.

import Platform

public final class LocalAPIC: Device, MemoryHandler, InterruptSink {
  /// Local vector table entries in the order of their registers (offset 320h + 10h × n).
  enum LocalVector: Int, CaseIterable { case timer, thermal, performance, lint0, lint1, error }

  enum ErrorBit {
    static let sendIllegalVector: UInt32 = 1 << 5
    static let receivedIllegalVector: UInt32 = 1 << 6
    static let illegalRegister: UInt32 = 1 << 7
  }

  static let lvtMask: UInt32 = 1 << 16
  static let lvtRemoteIRR: UInt32 = 1 << 14
  static let version: UInt32 = 0x14 | UInt32(LocalVector.allCases.count - 1) << 16
  static let defaultBase: UInt64 = 0xFEE0_0000
  /// Where the registers are after reset.
  public static var defaultAddress: UInt64 { defaultBase }

  public let name: String
  /// APIC ID, equal to the processor's initial APIC ID of CPUID.
  public let id: UInt32
  public let isBootstrap: Bool
  public weak var processor: (any ProcessorSignals)?
  /// Asks the PIC for its vector when a request came by ExtINT.
  public var acknowledgeExternal: (() -> UInt8)?
  /// Time-stamp counter of the processor, for TSC-deadline mode, and the first time at which it has a given value.
  public var tscNow: () -> UInt64 = { 0 }
  public var tscToTime: (UInt64) -> VirtualTime = { _ in VirtualClock.never }
  /// Called when IA32_APIC_BASE moves, enables or disables the register window.
  public var onBaseChange: ((UInt64) -> Void)?

  let bus: APICBus
  let clock: VirtualClock
  let timerRate: ClockRate

  var base: UInt64
  var taskPriority: UInt8 = 0
  var logicalDestination: UInt32 = 0
  var destinationFormat: UInt32 = .max
  var spuriousVector: UInt32 = 0xFF
  var vectorTable = [UInt32](repeating: LocalAPIC.lvtMask, count: LocalVector.allCases.count)
  var commandLow: UInt32 = 0
  var commandHigh: UInt32 = 0
  /// Errors since the last write of the ESR, and what that write made visible.
  var errors: UInt32 = 0
  var visibleErrors: UInt32 = 0
  /// Bitmaps of 256 vectors.
  var requests = [UInt32](repeating: 0, count: 8)
  var inService = [UInt32](repeating: 0, count: 8)
  var levelTriggered = [UInt32](repeating: 0, count: 8)
  /// Levels of LINT0 and LINT1.
  var inputs: UInt8 = 0
  /// An ExtINT message that came over the bus.
  var externalMessage = false
  var interruptRequest = false

  var timerInitial: UInt32 = 0
  var timerDivide: UInt32 = 0
  /// The current count was `timerStartCount` at bus clock tick `timerStart`.
  var timerStart: UInt64 = 0
  var timerStartCount: UInt32 = 0
  var tscDeadline: UInt64 = 0
  var timer: VirtualClock.Timer!

  /// - Parameters:
  ///   - busFrequency: clock of the timer before its divider, in Hz.
  public init(
    id: UInt32, bus: APICBus, clock: VirtualClock, isBootstrap: Bool, busFrequency: UInt64 = 1_000_000_000
  ) {
    name = "lapic\(id)"
    self.id = id
    self.bus = bus
    self.clock = clock
    self.isBootstrap = isBootstrap
    timerRate = ClockRate(busFrequency)
    base = Self.defaultBase | (isBootstrap ? 0x100 : 0) | 0x800
    timer = clock.makeTimer { [unowned self] due in timerFired(due) }
    bus.attach(self)
  }

  // MARK: Modes

  /// IA32_APIC_BASE.EN and EXTD.
  public var isEnabled: Bool { base.bit(11) }
  public var isX2APIC: Bool { base.bit(10) }
  /// Enabled in IA32_APIC_BASE and in the spurious-vector register.
  var isSoftwareEnabled: Bool { isEnabled && spuriousVector.bit(8) }

  /// Leaves the registers as PC firmware does: enabled, LINT0 passes the PIC through, LINT1 is NMI (virtual wire mode).
  public func configureVirtualWire() {
    spuriousVector = 0x1FF
    vectorTable[LocalVector.lint0.rawValue] = isBootstrap ? 0x700 : Self.lvtMask | 0x700
    vectorTable[LocalVector.lint1.rawValue] = 0x400
    update()
  }

  // MARK: Priorities

  static func highest(_ map: [UInt32]) -> Int? {
    for word in stride(from: 7, through: 0, by: -1) where map[word] != 0 {
      return word * 32 + 31 - map[word].leadingZeroBitCount
    }
    return nil
  }

  static func set(_ map: inout [UInt32], _ vector: UInt8, _ on: Bool) {
    let word = Int(vector >> 5)
    map[word] = map[word].settingBit(Int(vector & 31), on)
  }

  /// PPR (SDM vol. 3A §11.8.3.1).
  var processorPriority: UInt8 {
    let service = UInt8(Self.highest(inService) ?? 0)
    return taskPriority & 0xF0 >= service & 0xF0 ? taskPriority : service & 0xF0
  }

  /// TPR as CR8 shows it: the priority class 0…15.
  public var cr8: UInt64 {
    get { UInt64(taskPriority >> 4) }
    set {
      taskPriority = UInt8(truncatingIfNeeded: newValue & 15) << 4
      update()
    }
  }

  private var deliverable: UInt8? {
    guard let vector = Self.highest(requests), UInt8(vector) & 0xF0 > processorPriority & 0xF0 else { return nil }
    return UInt8(vector)
  }

  private var externalRequest: Bool {
    if externalMessage { return true }
    guard inputs.bit(0) else { return false }
    // A disabled APIC connects LINT0 to INTR directly.
    if !isEnabled { return true }
    let entry = vectorTable[LocalVector.lint0.rawValue]
    return entry & Self.lvtMask == 0 && entry >> 8 & 7 == 7
  }

  /// Recomputes the request to the processor.
  func update() {
    let level = (isEnabled && deliverable != nil) || externalRequest
    if level != interruptRequest {
      interruptRequest = level
      processor?.setInterruptRequest(level)
    }
  }

  /// The processor takes its interrupt: returns the vector and moves it into service, or nil when none is left.
  public func acknowledge() -> UInt8? {
    defer { update() }
    if isEnabled, let vector = deliverable {
      Self.set(&requests, vector, false)
      Self.set(&inService, vector, true)
      return vector
    }
    if externalRequest {
      externalMessage = false
      return acknowledgeExternal?()
    }
    return nil
  }

  /// Vector that `acknowledge` would return from the APIC itself, for inspection.
  public var pendingVector: UInt8? { isEnabled ? deliverable : nil }

  func endOfInterrupt() {
    guard let vector = Self.highest(inService) else { return }
    Self.set(&inService, UInt8(vector), false)
    if levelTriggered[vector >> 5].bit(vector & 31) {
      let lint0 = LocalVector.lint0.rawValue
      if vectorTable[lint0] & 0xFF == UInt32(vector) {
        vectorTable[lint0] &= ~Self.lvtRemoteIRR
        serviceLevelLINT0()
      }
      bus.broadcastEndOfInterrupt(UInt8(vector))
    }
    update()
  }

  // MARK: Receiving

  func matches(_ destination: APICMessage.Destination) -> Bool {
    guard isEnabled else { return false }
    switch destination {
    case .everyone: return true
    case .everyoneBut(let sender): return sender != id
    case .physical(let target): return isX2APIC ? target == id : target & 0xFF == id & 0xFF
    case .logical(let target): return matchesLogical(target)
    }
  }

  /// SDM vol. 3A §11.6.2.2 (flat and cluster model), §11.12.10.2 (x2APIC).
  private func matchesLogical(_ target: UInt32) -> Bool {
    if isX2APIC {
      let mine = x2LogicalID
      return target >> 16 == mine >> 16 && target & mine & 0xFFFF != 0
    }
    let mine = logicalDestination >> 24
    if destinationFormat >> 28 == 0xF { return target & mine & 0xFF != 0 }
    guard destinationFormat >> 28 == 0 else { return false }
    let cluster = target >> 4 & 15
    return (cluster == 15 || cluster == mine >> 4) && target & mine & 15 != 0
  }

  var x2LogicalID: UInt32 { (id >> 4) << 16 | 1 << (id & 15) }

  func accept(_ message: APICMessage) {
    switch message.mode {
    case .fixed, .lowestPriority: request(message.vector, isLevel: message.isLevel)
    case .smi: processor?.signalSMI()
    case .nmi: processor?.signalNMI()
    case .initialise:
      resetRegisters()
      processor?.signalINIT()
    case .startup: processor?.signalStartup(vector: message.vector)
    case .external:
      externalMessage = true
      update()
    }
  }

  func request(_ vector: UInt8, isLevel: Bool) {
    guard isSoftwareEnabled else { return }
    if vector < 16 { return raise(ErrorBit.receivedIllegalVector) }
    Self.set(&requests, vector, true)
    Self.set(&levelTriggered, vector, isLevel)
    update()
  }

  /// An edge-triggered interrupt of the processor's own, as if by a message to it alone.
  public func requestInterrupt(_ vector: UInt8) { request(vector, isLevel: false) }

  func raise(_ error: UInt32) {
    let isNew = errors & error == 0
    errors |= error
    if isNew { deliverLocal(.error) }
  }

  /// Delivers a local interrupt through its LVT entry.
  func deliverLocal(_ source: LocalVector) {
    let entry = vectorTable[source.rawValue]
    guard isSoftwareEnabled, entry & Self.lvtMask == 0 else { return }
    switch APICMessage.Mode(rawValue: source == .timer || source == .error ? 0 : UInt8(entry >> 8 & 7)) {
    case .fixed: request(UInt8(truncatingIfNeeded: entry), isLevel: source == .lint0 && entry.bit(15))
    case .smi: processor?.signalSMI()
    case .nmi: processor?.signalNMI()
    default: break
    }
  }

  // MARK: Local inputs

  public func setInput(_ input: Int, level: Bool) {
    guard input == 0 || input == 1 else { return }
    let rises = level && !inputs.bit(input)
    inputs = inputs.settingBit(input, level)
    if !isEnabled {
      // Without an APIC the pins are INTR and NMI.
      if input == 1, rises { processor?.signalNMI() }
    } else {
      let source: LocalVector = input == 0 ? .lint0 : .lint1
      if source == .lint0, isLevelLINT0 { serviceLevelLINT0() } else if rises { deliverLocal(source) }
    }
    update()
  }

  /// Only LINT0 can be level-triggered, and only with fixed delivery (SDM vol. 3A §11.5.1).
  private var isLevelLINT0: Bool {
    let entry = vectorTable[LocalVector.lint0.rawValue]
    return entry.bit(15) && entry >> 8 & 7 == 0
  }

  /// Sends a level-triggered LINT0 that is asserted; remote IRR then holds it until its EOI.
  func serviceLevelLINT0() {
    let lint0 = LocalVector.lint0.rawValue
    guard isLevelLINT0, inputs.bit(0), isSoftwareEnabled,
      vectorTable[lint0] & (Self.lvtMask | Self.lvtRemoteIRR) == 0 else { return }
    vectorTable[lint0] |= Self.lvtRemoteIRR
    deliverLocal(.lint0)
  }

  // MARK: Device

  /// State after INIT or while disabled: everything but the ID and IA32_APIC_BASE (SDM vol. 3A §11.4.7.3).
  func resetRegisters() {
    taskPriority = 0
    logicalDestination = 0
    destinationFormat = .max
    spuriousVector = 0xFF
    commandLow = 0
    commandHigh = 0
    errors = 0
    visibleErrors = 0
    externalMessage = false
    for n in vectorTable.indices { vectorTable[n] = Self.lvtMask }
    for n in 0..<8 {
      requests[n] = 0
      inService[n] = 0
      levelTriggered[n] = 0
    }
    timerInitial = 0
    timerDivide = 0
    timerStart = 0
    timerStartCount = 0
    tscDeadline = 0
    clock.cancel(timer)
    update()
  }

  public func reset() {
    let old = base
    base = Self.defaultBase | (isBootstrap ? 0x100 : 0) | 0x800
    resetRegisters()
    if old != base { onBaseChange?(base) }
  }

  public func save(to writer: inout StateWriter) {
    writer.put(base)
    writer.put(taskPriority)
    for word in [logicalDestination, destinationFormat, spuriousVector, commandLow, commandHigh, errors, visibleErrors,
                 timerInitial, timerDivide, timerStartCount] { writer.put(word) }
    for word in vectorTable + requests + inService + levelTriggered { writer.put(word) }
    writer.put(inputs)
    writer.put(externalMessage)
    writer.put(interruptRequest)
    writer.put(timerStart)
    writer.put(tscDeadline)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    base = try reader.get(UInt64.self)
    taskPriority = try reader.get(UInt8.self)
    logicalDestination = try reader.get(UInt32.self)
    destinationFormat = try reader.get(UInt32.self)
    spuriousVector = try reader.get(UInt32.self)
    commandLow = try reader.get(UInt32.self)
    commandHigh = try reader.get(UInt32.self)
    errors = try reader.get(UInt32.self)
    visibleErrors = try reader.get(UInt32.self)
    timerInitial = try reader.get(UInt32.self)
    timerDivide = try reader.get(UInt32.self)
    timerStartCount = try reader.get(UInt32.self)
    try restoreArray(&vectorTable, from: &reader)
    try restoreArray(&requests, from: &reader)
    try restoreArray(&inService, from: &reader)
    try restoreArray(&levelTriggered, from: &reader)
    inputs = try reader.get(UInt8.self)
    externalMessage = try reader.getBool()
    interruptRequest = try reader.getBool()
    timerStart = try reader.get(UInt64.self)
    tscDeadline = try reader.get(UInt64.self)
    onBaseChange?(base)
    processor?.setInterruptRequest(interruptRequest)
  }
}
