import Processor
import X86Decoder

/// Running under the eyes of an observer. Memory accesses and events are reported by `run` as well; instructions and branches only here.
extension VirtualCPU {
  /// What the observer is told from now on; nil and nothing for the fast path without questions.
  public func observe(_ what: Observation, by observer: (any ExecutionObserver)?) { cpu.observe(what, by: observer) }

  /// As `runBySteps`, with every instruction and branch reported.
  ///
  /// - Parameter observer: the one given to `observe`.
  public func runObserved(instructions: UInt64, by observer: any ExecutionObserver) -> StopReason {
    let s = cpu.s
    let end = s.pointee.retired &+ instructions
    // A run that begins at the stop address leaves it.
    var mayStop = false
    let cache = instructionCache
    while true {
      if let reason = takeEvents() { return reason }
      if s.pointee.retired >= end { return .budgetUsed }
      if debugTrapIsDue { continue }
      if mayStop, cpu.linearRIP == s.pointee.stopAddress { return .stopRequested }
      mayStop = true
      Step.one(cpu, observer, cache)
    }
  }

  /// The run returns before anything else happens to the processor: an instruction under way is completed, no event is taken.
  public func stopObserved() { cpu.s.pointee.exitRequest |= ExitRequest.observer }

  /// Lets `run` return when it is about to execute the instruction at a linear address, and `runObserved` when it comes there.
  ///
  /// Setting another address forgets all decoded code, so that no link between blocks leads past it.
  public var stopAddress: UInt64? {
    get { cpu.s.pointee.stopAddress == CPUState.noStopAddress ? nil : cpu.s.pointee.stopAddress }
    set {
      let s = cpu.s
      let address = newValue ?? CPUState.noStopAddress
      if address == s.pointee.stopAddress { return }
      s.pointee.stopAddress = address
      s.pointee.stopOffset = newValue.map { $0 & 0xFFF } ?? 4096
      if newValue != nil { cpu.codeCache.dropAll() }
    }
  }
}

extension Step {
  /// The same as `one`, reported. A hook that puts the processor elsewhere begins another instruction.
  static func one(_ cpu: CPU, _ observer: any ExecutionObserver, _ cache: InstructionCache) { perform(cpu, observer, cache) }

  /// Reports an instruction that was decoded. False if the observer stopped the run or led it elsewhere.
  @inline(never)
  static func announce(_ cpu: CPU, _ i: borrowing Instruction, _ observer: any ExecutionObserver, at linear: UInt64) -> Bool {
    let size = cpu.s.pointee.codeSize
    observer.willExecute(i, at: linear)
    return cpu.s.pointee.exitRequest & ExitRequest.observer == 0 && cpu.linearRIP == linear && cpu.s.pointee.codeSize == size
  }

  /// Reports the branch of an instruction that is complete, and the instruction. Interrupts and system calls are reported where they happen.
  @inline(never)
  static func report(_ cpu: CPU, _ i: borrowing Instruction, _ observer: any ExecutionObserver, at linear: UInt64) {
    if let kind = branchKind(cpu, i) { observer.didBranch(kind, from: linear, to: cpu.linearRIP) }
    observer.didExecute(i, at: linear)
  }

  private static func branchKind(_ cpu: CPU, _ i: borrowing Instruction) -> BranchKind? {
    switch i.mnemonic {
    case .JO, .JNO, .JB, .JNB, .JZ, .JNZ, .JBE, .JNBE, .JS, .JNS, .JP, .JNP, .JL, .JNL, .JLE, .JNLE, .JCXZ, .JECXZ, .JRCXZ,
         .LOOP, .LOOPE, .LOOPNE:
      return cpu.tookBranch(i) ? .conditional : nil
    case .JMP, .JMP_FAR: return .jump
    case .CALL, .CALL_FAR: return .call
    case .RET, .RET_FAR: return .return
    case .IRET: return .interruptReturn
    case .SYSRET, .SYSEXIT: return .systemReturn
    default: return nil
    }
  }
}
