import Processor
import X86Decoder

/// An instruction that a hook is called for.
public struct InstructionEvent: Sendable {
  /// Linear address of its first byte.
  public let address: UInt64
  /// Decoded: mnemonic, operands, prefixes, length.
  public let instruction: Instruction

  public var mnemonic: Mnemonic { instruction.mnemonic }
  public var length: Int { Int(instruction.length) }

  /// Its text in Intel syntax.
  public var text: String { Disassembler.text(of: instruction, at: address) }
  /// Its text in AT&T syntax.
  public var textATT: String { Disassembler.text(of: instruction, at: address, syntax: .att) }
}

/// A memory access that a hook is called for.
public struct MemoryAccess: Equatable, Sendable {
  public enum Kind: Sendable, CaseIterable {
    case read, write
    /// The processor's own: descriptor tables, task-state segments, frames of interrupts and far calls.
    case systemRead, systemWrite

    var bit: UInt8 {
      switch self {
      case .read: 1
      case .write: 2
      case .systemRead: 4
      case .systemWrite: 8
      }
    }
  }

  public let kind: Kind
  /// Linear address of the first byte.
  public let linear: UInt64
  /// Physical address of the first byte.
  public let physical: UInt64
  /// For an access across two pages: where the second begins physically.
  public let secondPage: UInt64?
  /// 1, 2, 4 or 8 bytes.
  public let size: Int
  /// What was read, or is about to be written; little-endian in memory.
  public let value: UInt64

  public var isWrite: Bool { kind == .write || kind == .systemWrite }
}

/// Why execution did not just go on: `.conditional`, `.jump`, `.call`, `.return`, `.softwareInterrupt`, `.interruptReturn`, `.systemCall`, `.systemReturn`,
/// `.exception`, `.externalInterrupt`.
public typealias BranchKind = Processor.BranchKind

/// A branch that was taken.
public struct BranchEvent: Hashable, Sendable {
  public let kind: BranchKind
  /// Linear address of the branch; for exceptions, of the instruction that faulted or would have been next.
  public let from: UInt64
  /// Linear address that execution goes on at.
  public let to: UInt64

  public init(kind: BranchKind, from: UInt64, to: UInt64) {
    self.kind = kind
    self.from = from
    self.to = to
  }
}

/// What an exception hook wants.
public enum ExceptionAction: Sendable {
  /// Ask the next hook; at last the exception ends the run or is delivered, as ``Core/exits`` says.
  case proceed
  /// The hook has dealt with it (has mapped the page, has done the system call): nothing is delivered and execution goes on at RIP. After a
  /// fault that is the same instruction again, unless the hook set RIP; it counts as one instruction.
  case handled
  /// The run ends with ``Exit/stopped``; nothing is delivered. A fault arises again when the core runs on.
  case stop
}

/// Names a hook, to remove it.
public struct HookID: Hashable, Sendable {
  let number: Int
}

public typealias InstructionHook = (_ core: Core, _ event: InstructionEvent) -> Void
public typealias MemoryHook = (_ core: Core, _ access: MemoryAccess) -> Void
public typealias BranchHook = (_ core: Core, _ event: BranchEvent) -> Void
public typealias ExceptionHook = (_ core: Core, _ event: ExceptionEvent) -> ExceptionAction

/// Hooks: functions of yours that are called while the core runs. <doc:WhatIsCalledWhen> says what is called when.
///
/// `in:` restricts a hook to linear addresses: of the instruction, of any byte accessed, of the branch's origin. Hooks of a kind are called in the
/// order in which they were added. They may be added and removed at any time, also by hooks; at the latest the next instruction is under the new ones.
extension Core {
  /// Before each instruction, when it has been fetched and decoded.
  @discardableResult
  public func onInstruction(in range: ClosedRange<UInt64>? = nil, _ hook: @escaping InstructionHook) -> HookID {
    watcher.add(\.before, range, hook)
  }

  /// After each instruction that is complete: one iteration for REP.
  @discardableResult
  public func afterInstruction(in range: ClosedRange<UInt64>? = nil, _ hook: @escaping InstructionHook) -> HookID {
    watcher.add(\.after, range, hook)
  }

  /// On each read, when it has been done, and each write, before it is done.
  ///
  /// - Parameters:
  ///   - kinds: without the processor's own accesses unless asked for.
  ///   - range: linear addresses; all if nil.
  ///   - hook: see ``MemoryAccess``.
  @discardableResult
  public func onMemory(
    _ kinds: Set<MemoryAccess.Kind> = [.read, .write], in range: ClosedRange<UInt64>? = nil, _ hook: @escaping MemoryHook
  ) -> HookID {
    var wanted: UInt8 = 0
    for kind in kinds { wanted |= kind.bit }
    let filtered: MemoryHook = { [wanted] core, access in
      if wanted & access.kind.bit != 0 { hook(core, access) }
    }
    return watcher.add(\.memory, range, filtered)
  }

  /// On each branch that is taken.
  @discardableResult
  public func onBranch(in range: ClosedRange<UInt64>? = nil, _ hook: @escaping BranchHook) -> HookID {
    watcher.add(\.branches, range, hook)
  }

  /// On each interrupt and exception, before its delivery.
  @discardableResult
  public func onException(in range: ClosedRange<UInt64>? = nil, _ hook: @escaping ExceptionHook) -> HookID {
    watcher.add(\.exceptions, range, hook)
  }

  /// Removes a hook; does nothing if it is gone already.
  public func remove(_ hook: HookID) {
    watcher.remove(hook)
  }
}
