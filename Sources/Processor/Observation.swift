import X86
import X86Decoder

/// Watching a processor at work: what an observer is told, and when.
///
/// An observer costs nothing where nobody observes: memory is seen because no page gets a TLB entry then, so that every access takes the
/// slow path, which asks; events are seen where they are delivered. Instructions are seen by `VirtualCPU.runObserved` alone.
///
/// Not reported: fetches, page walks and the accessed and dirty bits they set, and loads of TLBs by instructions that only probe.

/// What an observer wants to be told of besides instructions.
public struct Observation: OptionSet, Sendable {
  public let rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// `didAccess`
  public static let memory = Observation(rawValue: 1)
  /// `willDeliver`, `willCallSystem` and the branches of delivered events
  public static let events = Observation(rawValue: 2)
}

/// One access to memory, of 1, 2, 4 or 8 bytes. Wider ones come in parts, in the order in which they are made.
public struct ObservedAccess: Sendable {
  /// Of the first byte.
  public var linear: UInt64
  /// Physical address of the first byte.
  public var physical: UInt64
  /// Physical address of the first byte on the second page; nil for an access that lies on one page.
  public var secondPage: UInt64?
  public var size: Int
  public var isWrite: Bool
  /// What was read, or is about to be written.
  public var value: UInt64
  /// The processor's own: descriptor tables, task-state segments, frames of interrupts and far calls.
  public var isSystem: Bool
}

/// An interrupt or exception before its delivery.
public struct ObservedEvent: Sendable {
  public var vector: UInt8
  public var kind: EventKind
  public var errorCode: UInt32?
  /// RIP that the frame would hold.
  public var returnRIP: UInt64
  /// 0 for an event of its own, n for the nth that arose during its delivery.
  public var depth: UInt8
}

/// What becomes of an event.
public enum EventDecision: Sendable {
  case deliver
  /// It was dealt with outside: execution goes on at RIP.
  case handled
  /// The run ends before the delivery.
  case stop
}

/// Why RIP did not just go on.
public enum BranchKind: Sendable, CaseIterable {
  /// Jcc, LOOPcc, JCXZ that was taken.
  case conditional
  case jump, call
  /// RET, near and far.
  case `return`
  /// INT n, INT3, INTO, INT1.
  case softwareInterrupt
  /// IRET
  case interruptReturn
  /// SYSCALL, SYSENTER
  case systemCall
  /// SYSRET, SYSEXIT
  case systemReturn
  /// Delivery of a fault, trap or abort.
  case exception
  /// Delivery of an interrupt from outside or an NMI.
  case externalInterrupt
}

/// Who watches a processor. All calls come from within the run, on its thread, with RIP, flags and `retired` exact.
public protocol ExecutionObserver: AnyObject {
  /// The instruction at RIP, at this linear address, has been fetched and decoded.
  func willExecute(_ instruction: borrowing Instruction, at linear: UInt64)
  /// It is complete; RIP is the next one's. Of a REP: one iteration.
  func didExecute(_ instruction: borrowing Instruction, at linear: UInt64)
  /// From the instruction at linear address `from` to the linear address `to`.
  func didBranch(_ kind: BranchKind, from: UInt64, to: UInt64)
  /// After a read, before a write.
  func didAccess(_ access: ObservedAccess)
  func willDeliver(_ event: ObservedEvent) -> EventDecision
  /// SYSCALL or SYSENTER is about to be executed and will not fault.
  func willCallSystem(_ instruction: borrowing Instruction) -> EventDecision
}

extension CPU {
  @inline(__always)
  func observes(_ what: Observation) -> Bool { s.pointee.observation & what.rawValue != 0 }

  /// Chooses what the observer is told; memory accesses take the slow path from now on, or the fast one again.
  public func observe(_ what: Observation, by observer: (any ExecutionObserver)?) {
    environment.observer = observer
    let new = observer == nil ? 0 : what.rawValue
    if (new ^ s.pointee.observation) & Observation.memory.rawValue != 0 { flushTLB(keepGlobal: false) }
    s.pointee.observation = new
  }

  /// Linear address of the instruction at RIP.
  public var linearRIP: UInt64 {
    s.pointee.codeSize == .bits64 ? s.pointee.rip : (s.pointee.rip &+ s.pointee.cs.base) & 0xFFFF_FFFF
  }

  /// Whether the conditional branch that was just executed was taken, also where its target is the next instruction.
  public func tookBranch(_ i: borrowing Instruction) -> Bool {
    let count = s.pointee.rcx & addressSizeMask(i)
    switch i.mnemonic {
    case .JCXZ, .JECXZ, .JRCXZ: return count == 0
    case .LOOP: return count != 0
    case .LOOPE: return count != 0 && zf
    case .LOOPNE: return count != 0 && !zf
    default: return condition(i.opcode)
    }
  }

  /// The run ends here; the single-step trap of the last instruction comes when it goes on.
  public func holdSingleStep() { s.pointee.pendingDebug |= DR6.bs }

  // MARK: Telling

  @inline(never)
  func reportAccess(_ linear: UInt64, _ size: Int, _ value: UInt64, write: Bool, system: Bool, _ physical: UInt64, second: UInt64? = nil) {
    let mask: UInt64 = size >= 8 ? ~0 : (1 &<< UInt64(size &* 8)) &- 1
    environment.observer?.didAccess(ObservedAccess(
      linear: linear, physical: physical, secondPage: second, size: size, isWrite: write, value: value & mask, isSystem: system))
  }

  @inline(never)
  func reportBranch(_ kind: BranchKind, from: UInt64, rip: UInt64) {
    let base = s.pointee.codeSize == .bits64 ? 0 : s.pointee.cs.base
    environment.observer?.didBranch(kind, from: from, to: s.pointee.codeSize == .bits64 ? rip : (rip &+ base) & 0xFFFF_FFFF)
  }

  /// Asks the observer about an event; true if it is to be delivered.
  @inline(never)
  func mayDeliver(_ event: Event, depth: UInt8) -> Bool {
    let decision = environment.observer?.willDeliver(ObservedEvent(
      vector: event.vector, kind: event.kind, errorCode: event.hasErrorCode ? event.errorCode : nil,
      returnRIP: event.returnRIP, depth: depth)) ?? .deliver
    return follow(decision)
  }

  /// Asks about a SYSCALL or SYSENTER; true if it is to be executed.
  @inline(never)
  func mayCallSystem(_ i: borrowing Instruction) -> Bool {
    follow(environment.observer?.willCallSystem(i) ?? .deliver)
  }

  private func follow(_ decision: EventDecision) -> Bool {
    switch decision {
    case .deliver: return true
    case .handled: s.pointee.exitRequest |= ExitRequest.event | ExitRequest.handled
    case .stop: s.pointee.exitRequest |= ExitRequest.observer
    }
    return false
  }
}
