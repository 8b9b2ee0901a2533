import Interpreter
import Processor
import X86Decoder

/// The hooks of one kind, in the order in which they were added.
struct HookList<Hook> {
  struct Entry {
    var id: HookID
    var range: ClosedRange<UInt64>
    var call: Hook
  }

  private(set) var entries: [Entry] = []
  var isEmpty: Bool { entries.isEmpty }

  mutating func add(_ id: HookID, _ range: ClosedRange<UInt64>?, _ hook: Hook) {
    entries.append(Entry(id: id, range: range ?? 0...UInt64.max, call: hook))
  }

  mutating func remove(_ id: HookID) { entries.removeAll { $0.id == id } }
}

/// Turns what the processor reports into calls of hooks and reasons to exit. Accesses to its properties are not checked for exclusivity: they are made
/// for every instruction, and hook lists are copied before they are walked.
final class Watcher: ExecutionObserver {
  unowned(unsafe) var core: Core!
  private var lastID = 0
  @exclusivity(unchecked) var before = HookList<InstructionHook>()
  @exclusivity(unchecked) var after = HookList<InstructionHook>()
  @exclusivity(unchecked) var memory = HookList<MemoryHook>()
  @exclusivity(unchecked) var branches = HookList<BranchHook>()
  @exclusivity(unchecked) var exceptions = HookList<ExceptionHook>()

  /// The owner delivers one itself.
  @exclusivity(unchecked) var ignoreEvents = false
  /// Whether the loop that reports instructions is needed.
  @exclusivity(unchecked) private(set) var seesInstructions = false

  func add<Hook>(_ list: ReferenceWritableKeyPath<Watcher, HookList<Hook>>, _ range: ClosedRange<UInt64>?, _ hook: Hook) -> HookID {
    lastID += 1
    let id = HookID(number: lastID)
    self[keyPath: list].add(id, range, hook)
    update()
    return id
  }

  func remove(_ id: HookID) {
    before.remove(id)
    after.remove(id)
    memory.remove(id)
    branches.remove(id)
    exceptions.remove(id)
    update()
  }

  /// Chooses what the processor reports, after hooks or exits changed.
  func update() {
    var what: Observation = []
    if !memory.isEmpty { what.insert(.memory) }
    // A run that ends for want of memory must not deliver the exception that the missing bytes raise.
    let ends: ExitConditions = [.exceptions, .softwareInterrupts, .systemCalls, .unmappedMemory]
    if !exceptions.isEmpty || !branches.isEmpty || !core.exits.isDisjoint(with: ends) { what.insert(.events) }
    let sees = !before.isEmpty || !after.isEmpty || !branches.isEmpty
    core.virtual.observe(what, by: what.isEmpty && !sees ? nil : self)
    if sees != seesInstructions {
      seesInstructions = sees
      core.reconsider()
    }
  }

  // MARK: Reports

  func willExecute(_ instruction: borrowing Instruction, at linear: UInt64) {
    if !before.isEmpty { call(before, InstructionEvent(address: linear, instruction: copy instruction)) }
  }

  func didExecute(_ instruction: borrowing Instruction, at linear: UInt64) {
    if !after.isEmpty { call(after, InstructionEvent(address: linear, instruction: copy instruction)) }
  }

  private func call(_ hooks: HookList<InstructionHook>, _ event: InstructionEvent) {
    for hook in hooks.entries where hook.range.contains(event.address) { hook.call(core, event) }
  }

  func didAccess(_ access: ObservedAccess) {
    let kind: MemoryAccess.Kind = access.isSystem ? access.isWrite ? .systemWrite : .systemRead : access.isWrite ? .write : .read
    let event = MemoryAccess(
      kind: kind, linear: access.linear, physical: access.physical, secondPage: access.secondPage, size: access.size, value: access.value)
    let last = access.linear &+ UInt64(access.size - 1)
    for hook in memory.entries where hook.range.lowerBound <= last && hook.range.upperBound >= access.linear { hook.call(core, event) }
  }

  func didBranch(_ kind: BranchKind, from: UInt64, to: UInt64) {
    let event = BranchEvent(kind: kind, from: from, to: to)
    for hook in branches.entries where hook.range.contains(from) { hook.call(core, event) }
  }

  func willDeliver(_ event: ObservedEvent) -> EventDecision {
    if ignoreEvents { return .deliver }
    // The run ends for another reason, before anything else happens.
    if core.pendingExit != nil { return .stop }
    let kind: ExceptionEvent.Kind =
      switch event.kind {
      case .external: .external
      case .exception: .exception
      case .software, .privilegedSoftware: .software
      }
    let description = ExceptionEvent(
      vector: event.vector, kind: kind, errorCode: event.errorCode,
      faultAddress: kind == .exception && event.vector == Vector.PF.rawValue ? core.cpu.s.pointee.cr2 : nil,
      instruction: core.cpu.linearRIP, returnRIP: event.returnRIP, depth: Int(event.depth))
    for hook in exceptions.entries where hook.range.contains(description.instruction) {
      switch hook.call(core, description) {
      case .proceed: if core.pendingExit != nil { return .stop }
      case .handled: return .handled
      case .stop:
        core.end(.stopped)
        return .stop
      }
    }
    switch kind {
    case .exception where core.exits.contains(.exceptions): core.end(.exception(description))
    case .software where core.exits.contains(.softwareInterrupts): core.end(.softwareInterrupt(vector: event.vector))
    default: return .deliver
    }
    return .stop
  }

  func willCallSystem(_ instruction: borrowing Instruction) -> EventDecision {
    if !core.exits.contains(.systemCalls) { return .deliver }
    core.end(.systemCall(instruction.mnemonic == .SYSCALL ? .syscall : .sysenter))
    return .stop
  }
}
