import Processor
import X86Decoder

/// An instruction kept in decoded form beside the operations, for handlers that execute it outside the chain.
struct DecodedInstruction {
  var instruction: Instruction
  /// For an instruction that crosses a page: the jump stamp under which its second page was fetched.
  var stamp: UInt64
}

/// Executing an instruction by its generic function, in the middle of a chain of operations.
enum Outside {
  /// Handler of every instruction that has no fast handler; `link` points to the `DecodedInstruction`.
  static func execute(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.s.pointee.flagResult = fr
    cpu.s.pointee.flagAux = fa
    let decoded = UnsafePointer<DecodedInstruction>(bitPattern: op.pointee.link).unsafelyUnwrapped
    guard let next = run(cpu, op, n, decoded, isLast: false) else { return }
    return handler(of: next)(cpu, next, cpu.s.pointee.budget, cpu.s.pointee.flagResult, cpu.s.pointee.flagAux)
  }

  /// Handler of an x87 or vector instruction without a fast handler, and where a fast one goes that gives up: such an instruction
  /// neither branches nor changes the mode. The upper half of `link` is the distance to the `DecodedInstruction`, in slots.
  /// One handler for both: two of the same structure would be merged by the optimiser and lose their tail calls.
  @inline(never)
  static func executeFloat(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.s.pointee.flagResult = fr
    cpu.s.pointee.flagAux = fa
    if let elsewhere = runFloat(cpu, op, n) {
      if elsewhere == op { return }
      return handler(of: elsewhere)(cpu, elsewhere, cpu.s.pointee.budget, cpu.s.pointee.flagResult, cpu.s.pointee.flagAux)
    }
    let next = op + 1
    return handler(of: next)(cpu, next, n, cpu.s.pointee.flagResult, cpu.s.pointee.flagAux)
  }

  /// Returns nil to go on with the next operation, `op` itself to leave the chain, or where else to go on.
  @inline(never)
  private static func runFloat(_ cpu: CPU, _ op: OperationPointer, _ n: Int) -> OperationPointer? {
    synchronise(cpu, op, n)
    cpu.s.pointee.genericFloats &+= 1
    let decoded = UnsafeRawPointer(op + Int(op.pointee.link &>> 32)).assumingMemoryBound(to: DecodedInstruction.self)
    do {
      // x87 instructions stand before MMX and vector instructions in the list of mnemonics.
      if decoded.pointee.instruction.mnemonic.rawValue < Mnemonic.EMMS.rawValue {
        try cpu.executeX87(decoded.pointee.instruction)
      } else {
        _ = try cpu.executeVector(decoded.pointee.instruction)
      }
    } catch {
      return deliver(cpu, error) ?? op
    }
    return cpu.s.pointee.exitRequest == 0 ? nil : finishOutside(cpu, op)
  }

  /// The instruction at `op` is done and something asked to look around.
  @inline(never)
  private static func finishOutside(_ cpu: CPU, _ op: OperationPointer) -> OperationPointer {
    let s = cpu.s
    s.pointee.retired &+= 1
    s.pointee.rip = (s.pointee.rip &+ op.pointee.length) & s.pointee.ripMask
    return continueElsewhere(cpu) ?? op
  }

  /// Handler of an instruction that crosses into the next page: its bytes are fetched again when mappings may have changed.
  static func executeCrossing(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.s.pointee.flagResult = fr
    cpu.s.pointee.flagAux = fa
    guard let next = runCrossing(cpu, op, n) else { return }
    return handler(of: next)(cpu, next, cpu.s.pointee.budget, cpu.s.pointee.flagResult, cpu.s.pointee.flagAux)
  }

  /// The fast handler of `op` gave up: decode the instruction again and execute it with all checks.
  @inline(never)
  static func retry(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.s.pointee.flagResult = fr
    cpu.s.pointee.flagAux = fa
    guard let next = runRefetched(cpu, op, n) else { return }
    return handler(of: next)(cpu, next, cpu.s.pointee.budget, cpu.s.pointee.flagResult, cpu.s.pointee.flagAux)
  }

  @inline(never)
  private static func runRefetched(_ cpu: CPU, _ op: OperationPointer, _ n: Int) -> OperationPointer? {
    synchronise(cpu, op, n)
    do {
      var decoded = DecodedInstruction(instruction: try Fetch.again(cpu, op), stamp: 0)
      return run(cpu, op, n, &decoded, isLast: false)
    } catch {
      return deliver(cpu, error)
    }
  }

  @inline(never)
  private static func runCrossing(_ cpu: CPU, _ op: OperationPointer, _ n: Int) -> OperationPointer? {
    let decoded = UnsafeMutablePointer<DecodedInstruction>(bitPattern: op.pointee.link).unsafelyUnwrapped
    if decoded.pointee.stamp != cpu.s.pointee.jumpStamp {
      synchronise(cpu, op, n)
      do {
        let instruction = try Fetch.instruction(cpu)
        // Nothing is mapped where the second page leads, and the owner wants to know first.
        if cpu.s.pointee.exitRequest & ExitRequest.observer != 0 { return nil }
        try BlockLookup.watchSecondPage(cpu, instruction)
        decoded.pointee.instruction = instruction
        decoded.pointee.stamp = cpu.s.pointee.jumpStamp
      } catch {
        return deliver(cpu, error)
      }
    }
    return run(cpu, op, n, decoded, isLast: true)
  }

  /// Brings `rip` and `retired` up to the instruction at `op`, which has not been executed.
  @inline(__always)
  static func synchronise(_ cpu: CPU, _ op: OperationPointer, _ n: Int) {
    cpu.s.pointee.rip = (cpu.s.pointee.codeBias &+ op.pointee.offset) & cpu.s.pointee.ripMask
    cpu.s.pointee.retired = cpu.s.pointee.retiredAtZero &- UInt64(bitPattern: Int64(n)) &+ UInt64(op.pointee.count) &- 1
  }

  /// Executes the instruction at `op`. Returns the operation to go on with, with budget and flags in memory, or nil to leave the chain.
  @inline(never)
  private static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int,
                          _ decoded: UnsafePointer<DecodedInstruction>, isLast: Bool) -> OperationPointer? {
    synchronise(cpu, op, n)
    let s = cpu.s
    s.pointee.nextRIP = (s.pointee.rip &+ UInt64(decoded.pointee.instruction.length)) & s.pointee.ripMask
    let following = s.pointee.nextRIP
    s.pointee.retireWeight = 1
    s.pointee.budget = max(n &- Int(op.pointee.count) &+ 1, 1)
    do {
      try cpu.execute(decoded.pointee.instruction)
    } catch {
      return deliver(cpu, error)
    }
    s.pointee.retired &+= s.pointee.retireWeight
    s.pointee.rip = s.pointee.nextRIP
    if s.pointee.nextRIP == following, !isLast, !mustLeave(cpu), s.pointee.exitRequest == 0 {
      // As of the beginning of the block, which is how the handlers count.
      s.pointee.budget = Int(bitPattern: UInt(s.pointee.retiredAtZero &- s.pointee.retired)) &+ Int(op.pointee.count)
      return op + 1
    }
    return continueElsewhere(cpu)
  }

  /// Delivers an exception and goes on at its handler.
  @inline(never)
  private static func deliver(_ cpu: CPU, _ fault: Fault) -> OperationPointer? {
    cpu.deliver(fault)
    return continueElsewhere(cpu)
  }

  /// RIP was set: go on there without leaving the chain, if nothing else is to be done and budget is left.
  @inline(never)
  private static func continueElsewhere(_ cpu: CPU) -> OperationPointer? {
    let s = cpu.s
    s.pointee.exitRequest &= ~ExitRequest.codeChanged
    let left = Int(bitPattern: UInt(s.pointee.retiredAtZero &- s.pointee.retired))
    if s.pointee.exitRequest != 0 || mustLeave(cpu) || left < 0 { return nil }
    s.pointee.budget = left
    let rip = s.pointee.rip
    let entry = (s.pointee.jumpCache + JumpCache.offset(rip)).assumingMemoryBound(to: JumpCacheEntry.self)
    if entry.pointee.rip == rip, entry.pointee.stamp == s.pointee.jumpStamp {
      s.pointee.codeBias = entry.pointee.codeBias
      return OperationPointer(bitPattern: entry.pointee.operation)
    }
    guard let target = BlockLookup.find(cpu) else { return nil }
    if s.pointee.rip == rip {
      entry.pointee = JumpCacheEntry(rip: rip, stamp: s.pointee.jumpStamp, operation: UInt(bitPattern: target),
                                     codeBias: s.pointee.codeBias)
    }
    return target
  }

  /// Whether the run loop has something to do before the next instruction.
  @inline(__always)
  private static func mustLeave(_ cpu: CPU) -> Bool {
    let s = cpu.s
    if s.pointee.interruptRequest, s.pointee.systemFlags & (1 &<< 9) != 0 { return true }
    // Single step and breakpoints are the run loop's, which goes instruction by instruction then.
    return s.pointee.systemFlags & (1 &<< 8) != 0 || s.pointee.activity != .running
  }
}
