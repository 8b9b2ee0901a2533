import Processor
import X86
import X86Decoder

/// Executing exactly one instruction by its generic function, with everything that can happen around it.
enum Step {
  /// One instruction (of a REP: one iteration), or the delivery of the fault it raises.
  static func one(_ cpu: CPU) { perform(cpu, nil, nil) }

  @inline(__always)
  static func perform(_ cpu: CPU, _ observer: (any ExecutionObserver)?, _ cache: InstructionCache?) {
    let s = cpu.s
    // RF lasts for one instruction; TF counts as it stood before the instruction.
    let resume = s.pointee.systemFlags & RFLAGS.RF != 0
    let task = s.pointee.tr.selector
    let trap = s.pointee.systemFlags & RFLAGS.TF != 0
    if s.pointee.dr7 & 0xFF != 0, cpu.checkCodeBreakpoint() { return }
    var singleStep = false
    do {
      let instruction = if let cache { try cache.instruction(cpu) } else { try Fetch.instruction(cpu) }
      // Nothing is mapped where the instruction lies, and the owner wants to know first.
      if s.pointee.exitRequest & ExitRequest.observer != 0 { return }
      let linear = observer == nil ? 0 : cpu.linearRIP
      if let observer, !announce(cpu, instruction, observer, at: linear) { return }
      s.pointee.nextRIP = (s.pointee.rip &+ UInt64(instruction.length)) & s.pointee.ripMask
      s.pointee.retireWeight = 1
      s.pointee.budget = 1
      try cpu.execute(instruction)
      s.pointee.retired &+= s.pointee.retireWeight
      if resume, !keepsRF(instruction, cpu, task: task) { s.pointee.systemFlags &= ~RFLAGS.RF }
      s.pointee.rip = s.pointee.nextRIP
      singleStep = trap && s.pointee.exitRequest & ExitRequest.handled == 0 && !suppressesTrap(instruction.mnemonic, cpu)
      if let observer { report(cpu, instruction, observer, at: linear) }
    } catch {
      cpu.deliver(error)
      return
    }
    if s.pointee.exitRequest & ExitRequest.observer != 0 {
      if singleStep { cpu.holdSingleStep() }
      return
    }
    // Behind MOV SS nothing is reported before the next instruction is done.
    if s.pointee.interruptShadow == s.pointee.retired, s.pointee.shadowIsMovSS { return }
    _ = cpu.deliverDebugTraps(singleStep: singleStep)
  }

  /// Whether RF is left as it is: IRET and task switches load it for the next instruction, and a string instruction that
  /// goes on is not complete (SDM vol. 3B §18.3.1.1).
  private static func keepsRF(_ i: borrowing Instruction, _ cpu: CPU, task: UInt16) -> Bool {
    let s = cpu.s
    switch i.mnemonic {
    case .IRET: return true
    case .LTR: return false
    default:
      if s.pointee.tr.selector != task { return true }
      if s.pointee.nextRIP != s.pointee.rip { return false }
      if i.prefixes.isDisjoint(with: [.rep, .repne]) { return false }
      return OpcodeMap.shared.attributes(i.row).contains(.string)
    }
  }

  /// Instructions that deliver an exception themselves clear TF.
  private static func suppressesTrap(_ m: Mnemonic, _ cpu: CPU) -> Bool {
    switch m {
    case .INT, .INT3, .INT1: return true
    // Without an overflow it is as any other instruction.
    case .INTO: return cpu.s.pointee.systemFlags & RFLAGS.TF == 0
    default: return false
    }
  }
}
