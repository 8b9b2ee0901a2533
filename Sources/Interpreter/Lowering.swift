import Processor
import X86Decoder

/// From an instruction to an operation: which fast handler does it, and where its operands go.
///
/// What this returns no handler for is executed by its generic function outside the chain, which knows every form; so this file only
/// has to name what is common, and must be right about what it names.
struct Lowering {
  let codeSize: CodeSize
  /// DS, ES and SS have base 0 and limit 4G − 1, or the mode is 64-bit.
  let flatData: Bool
  let flatCode: Bool
  /// The stack pointer is as wide as the code size.
  let nativeStack: Bool

  init(modeKey: UInt16, codeSize: CodeSize) {
    self.codeSize = codeSize
    flatData = modeKey & (1 &<< 4) != 0
    flatCode = modeKey & (1 &<< 3) != 0
    nativeStack = codeSize == .bits64 || (codeSize == .bits32 && modeKey & (1 &<< 2) != 0)
  }

  /// Index of an operand width in the families of four widths: 8, 16, 32, 64 bits.
  @inline(__always)
  private func w4(_ size: UInt8) -> Int { size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3 }

  /// Index in the families of 32 and 64 bits, or nil.
  @inline(__always)
  func w2(_ size: UInt8) -> Int? { size == 4 ? 0 : size == 8 ? 1 : nil }

  /// Register field: byte offset of 8-bit registers, index of others.
  @inline(__always)
  private func field(_ o: Operand) -> UInt8 {
    if o.size != 1 { return o.register }
    return o.register < 16 ? o.register &* 8 : (o.register &- 16) &* 8 &+ 1
  }

  /// Number under which a handler finds `codeBias` among the registers.
  private static let codeBiasRegister = UInt8(MemoryLayout<CPUState>.offset(of: \.codeBias)! / 8)

  /// Fills the address fields; returns the form's index, or nil if no fast form serves.
  func address(_ i: Instruction, _ op: OperationPointer, next: UInt64) -> Int? {
    if i.addressSize != codeSize.rawValue { return nil }
    var displacement = i.displacement
    if i.base == instructionPointerBase {
      displacement = displacement &+ Int64(next)
      guard let short = Int32(exactly: displacement) else { return nil }
      op.pointee.displacement = short
      if i.segment == .fs || i.segment == .gs {
        // As kernels reach their per-CPU variables.
        op.pointee.base = Self.codeBiasRegister
        op.pointee.index = 16
        op.pointee.scale = i.segment.rawValue &<< 4
        return 3
      }
      return 2
    }
    if codeSize == .bits32 { displacement = Int64(Int32(truncatingIfNeeded: displacement)) }
    guard let short = Int32(exactly: displacement) else { return nil }
    op.pointee.displacement = short
    op.pointee.base = i.base < 16 ? i.base : 16
    op.pointee.index = i.index < 16 ? i.index : 16
    let flat: Bool
    switch i.segment {
    case .fs, .gs: flat = false
    case .cs: flat = codeSize == .bits64
    default: flat = flatData
    }
    if !flat {
      op.pointee.scale = (i.index < 16 ? i.scale : 0) | i.segment.rawValue &<< 4
      return 3
    }
    op.pointee.scale = 1 &<< i.scale
    return i.index < 16 ? 1 : 0
  }

  /// A member of a family [width][address form], for a memory operand.
  func memory(_ family: Int, _ width: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    guard let form = address(i, op, next: next) else { return nil }
    return family + width * 4 + form
  }

  /// Chooses the handler of an instruction that is no direct branch, or nil.
  /// - Parameters:
  ///   - next: offset of the following instruction in the page.
  ///   - flagsDead: nobody reads the status flags this instruction leaves.
  func lower(_ i: Instruction, _ op: OperationPointer, next: UInt64, flagsDead: Bool) -> Int? {
    let o0 = i.op0, o1 = i.op1
    op.pointee.immediate = Int32(truncatingIfNeeded: i.immediate)
    switch i.mnemonic {
    case .ADD: return alu(0, i, op, next, flagsDead)
    case .OR: return alu(1, i, op, next, flagsDead)
    case .AND: return alu(2, i, op, next, flagsDead)
    case .SUB: return alu(3, i, op, next, flagsDead)
    case .XOR: return alu(4, i, op, next, flagsDead)
    case .CMP: return alu(5, i, op, next, false)
    case .TEST: return alu(6, i, op, next, false)
    case .ADC: return carry(0, i, op, next)
    case .SBB: return carry(1, i, op, next)
    case .INC: return step(0, i, op, next, flagsDead)
    case .DEC: return step(1, i, op, next, flagsDead)
    case .NEG, .NOT:
      if o0.kind != .general { return nil }
      op.pointee.a = field(o0)
      return (i.mnemonic == .NEG ? HandlerTable.Neg_Reg : HandlerTable.Not_Reg) + w4(o0.size)
    case .MOV: return move(i, op, next)
    case .MOVZX: return extend(i, op, next, HandlerTable.Movzx_Reg_Reg, HandlerTable.Movzx_Reg_Mem, movzxIndex(o0.size, o1.size))
    case .MOVSX, .MOVSXD:
      return extend(i, op, next, HandlerTable.Movsx_Reg_Reg, HandlerTable.Movsx_Reg_Mem, movsxIndex(o0.size, o1.size))
    case .CBW, .CWDE, .CDQE:
      op.pointee.a = 0
      op.pointee.b = 0
      return HandlerTable.Movsx_Reg_Reg + (i.mnemonic == .CBW ? 0 : i.mnemonic == .CWDE ? 3 : 5)
    case .CWD, .CDQ, .CQO:
      op.pointee.a = 0
      op.pointee.b = 2
      return HandlerTable.SignToRDX + (i.mnemonic == .CWD ? 0 : i.mnemonic == .CDQ ? 1 : 2)
    case .LEA: return lea(i, op, next)
    case .XCHG: return exchange(i, op, next)
    case .BSWAP:
      guard let w = w2(o0.size) else { return nil }
      op.pointee.a = o0.register
      return HandlerTable.Bswap + w
    case .NOP, .PAUSE, .LFENCE, .MFENCE, .SFENCE:
      return i.hasMemoryOperand && i.mnemonic != .NOP ? nil : HandlerTable.Nop
    case .SETO, .SETNO, .SETB, .SETNB, .SETZ, .SETNZ, .SETBE, .SETNBE, .SETS, .SETNS, .SETP, .SETNP, .SETL, .SETNL,
         .SETLE, .SETNLE:
      if o0.kind != .general {
        op.pointee.b = i.opcode & 15
        return memory(HandlerTable.Setcc_Mem, 0, i, op, next)
      }
      op.pointee.a = field(o0)
      return HandlerTable.Setcc_Reg + Int(i.opcode & 15)
    case .CMOVO, .CMOVNO, .CMOVB, .CMOVNB, .CMOVZ, .CMOVNZ, .CMOVBE, .CMOVNBE, .CMOVS, .CMOVNS, .CMOVP, .CMOVNP,
         .CMOVL, .CMOVNL, .CMOVLE, .CMOVNLE:
      guard let w = w2(o0.size) else { return nil }
      op.pointee.a = o0.register
      if o1.kind == .general {
        op.pointee.b = o1.register
        return HandlerTable.Cmovcc_Reg_Reg + Int(i.opcode & 15) * 2 + w
      }
      op.pointee.b = i.opcode & 15
      return memory(HandlerTable.Cmovcc_Reg_Mem, w, i, op, next)
    case .SHL: return shift(0, i, op, flagsDead)
    case .SHR: return shift(1, i, op, flagsDead)
    case .SAR: return shift(2, i, op, flagsDead)
    case .ROL: return rotate(0, i, op, flagsDead)
    case .ROR: return rotate(1, i, op, flagsDead)
    case .SHLX, .SHRX, .SARX:
      guard let w = w2(o0.size), o1.kind == .general else { return nil }
      op.pointee.a = o0.register
      op.pointee.b = o1.register
      op.pointee.base = i.op2.register
      return HandlerTable.ShiftX + (i.mnemonic == .SHLX ? 0 : i.mnemonic == .SHRX ? 1 : 2) * 2 + w
    case .RORX:
      guard let w = w2(o0.size), o1.kind == .general else { return nil }
      op.pointee.a = o0.register
      op.pointee.b = o1.register
      op.pointee.immediate &= Int32(o0.size) * 8 - 1
      return op.pointee.immediate == 0 ? nil : HandlerTable.Rorx + w
    case .SHLD, .SHRD:
      guard let w = w2(o0.size), o0.kind == .general, i.op2.kind == .immediate else { return nil }
      op.pointee.a = o0.register
      op.pointee.b = o1.register
      op.pointee.immediate &= Int32(o0.size) * 8 - 1
      if op.pointee.immediate == 0 { return nil }
      return (i.mnemonic == .SHLD ? HandlerTable.Shld_Imm : HandlerTable.Shrd_Imm) + w
    case .IMUL, .MUL, .MULX, .DIV, .IDIV: return multiply(i, op, next)
    case .BT: return bit(0, i, op, next)
    case .BTS: return bit(1, i, op, next)
    case .BTR: return bit(2, i, op, next)
    case .BTC: return bit(3, i, op, next)
    case .BSF, .BSR:
      guard let w = w2(o0.size), o1.kind == .general else { return nil }
      op.pointee.a = o0.register
      op.pointee.b = o1.register
      return (i.mnemonic == .BSF ? HandlerTable.Bsf : HandlerTable.Bsr) + w
    case .CMPXCHG, .XADD:
      guard let w = w2(o0.size), o0.kind == .memory else { return nil }
      op.pointee.a = o1.register
      return memory(i.mnemonic == .XADD ? HandlerTable.Xadd_Mem_Reg : HandlerTable.Cmpxchg_Mem_Reg, w, i, op, next)
    case .CLI: return HandlerTable.Cli
    case .STI: return HandlerTable.Sti
    case .PUSHF, .POPF:
      if !nativeStack || !flatData || i.operandSize != codeSize.rawValue { return nil }
      return (i.mnemonic == .PUSHF ? HandlerTable.Pushf : HandlerTable.Popf) + (codeSize == .bits64 ? 1 : 0)
    case .MOVSB, .MOVSW, .MOVSD_STR, .MOVSQ, .STOSB, .STOSW, .STOSD, .STOSQ: return repeated(i, op)
    case .TZCNT, .LZCNT, .POPCNT, .ANDN, .BLSI, .BLSMSK, .BLSR, .BEXTR, .BZHI, .PDEP, .PEXT, .ADCX, .ADOX:
      return bitField(i, op, next)
    case .PUSH, .POP, .LEAVE: return stack(i, op, next)
    case .RET, .CALL, .JMP: return indirect(i, op, next)
    default: return vector(i, op, next)
    }
  }

  // MARK: Families

  private func alu(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64, _ flagsDead: Bool) -> Int? {
    let o0 = i.op0, o1 = i.op1
    let w = w4(o0.size)
    if o0.kind == .general {
      op.pointee.a = field(o0)
      let dead = flagsDead && w >= 2
      switch o1.kind {
      case .general:
        op.pointee.b = field(o1)
        return dead ? HandlerTable.ALU_Reg_Reg_NoFlags + k * 2 + w - 2 : HandlerTable.ALU_Reg_Reg + k * 4 + w
      case .immediate:
        if dead, k == 3, op.pointee.immediate != .min {
          // Without flags, subtracting is adding the negative.
          op.pointee.immediate = -op.pointee.immediate
          return HandlerTable.ALU_Reg_Imm_NoFlags + w - 2
        }
        return dead ? HandlerTable.ALU_Reg_Imm_NoFlags + k * 2 + w - 2 : HandlerTable.ALU_Reg_Imm + k * 4 + w
      case .memory:
        return dead ? memory(HandlerTable.ALU_Reg_Mem_NoFlags, k * 2 + w - 2, i, op, next)
          : memory(HandlerTable.ALU_Reg_Mem, k * 4 + w, i, op, next)
      default: return nil
      }
    }
    if o1.kind == .immediate { return memory(HandlerTable.ALU_Mem_Imm, k * 4 + w, i, op, next) }
    op.pointee.a = field(o1)
    // TEST is commutative and has the register form only.
    if k == 6 { return memory(HandlerTable.ALU_Reg_Mem, k * 4 + w, i, op, next) }
    return memory(HandlerTable.ALU_Mem_Reg, k * 4 + w, i, op, next)
  }

  private func carry(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let o0 = i.op0, o1 = i.op1
    if o0.kind == .general {
      op.pointee.a = field(o0)
      switch o1.kind {
      case .general:
        op.pointee.b = field(o1)
        return HandlerTable.Carry_Reg_Reg + k * 4 + w4(o0.size)
      case .immediate: return HandlerTable.Carry_Reg_Imm + k * 4 + w4(o0.size)
      default:
        guard let w = w2(o0.size) else { return nil }
        return memory(HandlerTable.Carry_Reg_Mem, k * 2 + w, i, op, next)
      }
    }
    guard let w = w2(o0.size), o1.kind == .general else { return nil }
    op.pointee.a = o1.register
    return memory(HandlerTable.Carry_Mem_Reg, k * 2 + w, i, op, next)
  }

  private func step(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64, _ flagsDead: Bool) -> Int? {
    if i.op0.kind == .memory { return memory(HandlerTable.Step_Mem, k * 4 + w4(i.op0.size), i, op, next) }
    op.pointee.a = field(i.op0)
    if flagsDead, let w = w2(i.op0.size) { return HandlerTable.Step_Reg_NoFlags + k * 2 + w }
    return HandlerTable.Step_Reg + k * 4 + w4(i.op0.size)
  }

  private func move(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let o0 = i.op0, o1 = i.op1
    let w = w4(o0.size)
    switch (o0.kind, o1.kind) {
    case (.general, .general):
      op.pointee.a = field(o0)
      op.pointee.b = field(o1)
      return HandlerTable.Mov_Reg_Reg + w
    case (.general, .immediate):
      op.pointee.a = field(o0)
      if o0.size == 8, Int64(bitPattern: i.immediate) != Int64(Int32(truncatingIfNeeded: i.immediate)) {
        op.pointee.link = UInt(i.immediate)
        return HandlerTable.Mov_Reg_Imm64
      }
      return HandlerTable.Mov_Reg_Imm + w
    case (.general, .memory):
      op.pointee.a = field(o0)
      return memory(HandlerTable.Mov_Reg_Mem, w, i, op, next)
    case (.memory, .general):
      op.pointee.a = field(o1)
      return memory(HandlerTable.Mov_Mem_Reg, w, i, op, next)
    case (.memory, .immediate): return memory(HandlerTable.Mov_Mem_Imm, w, i, op, next)
    default: return nil
    }
  }

  /// Position of a MOVZX in its family; to 64 bits is to 32 bits.
  private func movzxIndex(_ to: UInt8, _ from: UInt8) -> Int? {
    switch (to, from) {
    case (2, 1): return 0
    case (4, 1), (8, 1): return 1
    case (4, 2), (8, 2): return 2
    default: return nil
    }
  }

  private func movsxIndex(_ to: UInt8, _ from: UInt8) -> Int? {
    switch (to, from) {
    case (2, 1): return 0
    case (4, 1): return 1
    case (8, 1): return 2
    case (4, 2): return 3
    case (8, 2): return 4
    case (8, 4): return 5
    default: return nil
    }
  }

  private func extend(_ i: Instruction, _ op: OperationPointer, _ next: UInt64,
                      _ register: Int, _ memoryFamily: Int, _ index: Int?) -> Int? {
    guard let index else { return nil }
    op.pointee.a = i.op0.register
    if i.op1.kind == .general {
      op.pointee.b = field(i.op1)
      return register + index
    }
    return memory(memoryFamily, index, i, op, next)
  }

  private func lea(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    // The segment does not matter, and must not choose the form.
    if i.addressSize != codeSize.rawValue { return nil }
    op.pointee.a = i.op0.register
    let width = i.op0.size == 2 ? 0 : i.op0.size == 4 ? 1 : 2
    if i.base == instructionPointerBase {
      guard let short = Int32(exactly: i.displacement &+ Int64(next)) else { return nil }
      op.pointee.displacement = short
      return HandlerTable.Lea + width * 3 + 2
    }
    op.pointee.displacement = Int32(truncatingIfNeeded: i.displacement)
    op.pointee.base = i.base < 16 ? i.base : 16
    op.pointee.index = i.index < 16 ? i.index : 16
    op.pointee.scale = 1 &<< i.scale
    return HandlerTable.Lea + width * 3 + (i.index < 16 ? 1 : 0)
  }

  private func exchange(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let o0 = i.op0, o1 = i.op1
    if o0.kind == .general, o1.kind == .general {
      op.pointee.a = field(o0)
      op.pointee.b = field(o1)
      return HandlerTable.Xchg_Reg_Reg + w4(o0.size)
    }
    op.pointee.a = field(o0.kind == .general ? o0 : o1)
    return memory(HandlerTable.Xchg_Mem_Reg, w4(o0.size), i, op, next)
  }

  private func shift(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ flagsDead: Bool) -> Int? {
    if i.op0.kind != .general { return nil }
    op.pointee.a = field(i.op0)
    if i.op1.kind == .general {
      guard let w = w2(i.op0.size) else { return nil }
      return HandlerTable.Shift_Reg_CL + k * 2 + w
    }
    guard let count = constantCount(i) else { return nil }
    op.pointee.immediate = count
    if flagsDead, let w = w2(i.op0.size) { return HandlerTable.Shift_Reg_Imm_NoFlags + k * 2 + w }
    return HandlerTable.Shift_Reg_Imm + k * 4 + w4(i.op0.size)
  }

  private func rotate(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ flagsDead: Bool) -> Int? {
    if i.op0.kind != .general { return nil }
    if i.op1.kind == .general {
      guard let w = w2(i.op0.size) else { return nil }
      op.pointee.a = i.op0.register
      return HandlerTable.Rotate_Reg_CL + k * 2 + w
    }
    guard let count = constantCount(i) else { return nil }
    op.pointee.a = field(i.op0)
    op.pointee.immediate = count
    if flagsDead, let w = w2(i.op0.size) { return HandlerTable.Rotate_Reg_Imm_NoFlags + k * 2 + w }
    return HandlerTable.Rotate_Reg_Imm + k * 4 + w4(i.op0.size)
  }

  /// Masked constant count of a shift, if it is 1 … width − 1.
  private func constantCount(_ i: Instruction) -> Int32? {
    let raw = i.op1.kind == .one ? 1 : i.immediate
    let count = Int32(truncatingIfNeeded: raw & (i.op0.size == 8 ? 63 : 31))
    return count > 0 && count < Int32(i.op0.size) * 8 ? count : nil
  }

  private func multiply(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let o0 = i.op0, o1 = i.op1
    guard let w = w2(o0.size) else { return nil }
    if i.mnemonic == .MULX {
      if i.op2.kind != .general { return nil }
      op.pointee.a = o0.register
      op.pointee.b = o1.register
      op.pointee.base = i.op2.register
      return HandlerTable.Mulx + w
    }
    if i.operandCount >= 2 {
      op.pointee.a = o0.register
      if i.operandCount == 3 {
        if o1.kind == .general {
          op.pointee.b = o1.register
          return HandlerTable.Imul_Reg_Reg_Imm + w
        }
        return memory(HandlerTable.Imul_Reg_Mem_Imm, w, i, op, next)
      }
      if o1.kind == .general {
        op.pointee.b = o1.register
        return HandlerTable.Imul_Reg_Reg + w
      }
      return memory(HandlerTable.Imul_Reg_Mem, w, i, op, next)
    }
    if o0.kind == .general {
      op.pointee.a = o0.register
      switch i.mnemonic {
      case .MUL: return HandlerTable.Mul_Reg + w
      case .IMUL: return HandlerTable.Imul_Reg + w
      case .DIV: return HandlerTable.Div_Reg + w
      default: return HandlerTable.Idiv_Reg + w
      }
    }
    if i.mnemonic == .MUL { return memory(HandlerTable.Mul_Mem, w, i, op, next) }
    if i.mnemonic == .DIV { return memory(HandlerTable.Div_Mem, w, i, op, next) }
    return nil
  }

  private func bit(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    guard let w = w2(i.op0.size) else { return nil }
    if i.op0.kind == .general {
      op.pointee.a = i.op0.register
      if i.op1.kind == .general {
        op.pointee.b = i.op1.register
        // Tells the handler of a BT fused with a jump which of the two this is.
        op.pointee.index = 16
        return HandlerTable.Bit_Reg_Reg + k * 2 + w
      }
      op.pointee.index = 0
      op.pointee.immediate &= Int32(i.op0.size) * 8 - 1
      return HandlerTable.Bit_Reg_Imm + k * 2 + w
    }
    if i.op1.kind != .immediate { return nil }
    op.pointee.immediate &= Int32(i.op0.size) * 8 - 1
    return memory(HandlerTable.Bit_Mem_Imm, k * 2 + w, i, op, next)
  }

  private func repeated(_ i: Instruction, _ op: OperationPointer) -> Int? {
    if i.prefixes.isDisjoint(with: [.rep, .repne]) || codeSize == .bits16 || i.addressSize != codeSize.rawValue || !flatData { return nil }
    switch i.mnemonic {
    case .STOSB: return HandlerTable.Rep_Stos
    case .STOSW: return HandlerTable.Rep_Stos + 1
    case .STOSD: return HandlerTable.Rep_Stos + 2
    case .STOSQ: return HandlerTable.Rep_Stos + 3
    default: break
    }
    // The source can be in any segment.
    if i.segment == .fs || i.segment == .gs || (i.segment == .cs && codeSize != .bits64) { return nil }
    op.pointee.a = i.mnemonic == .MOVSB ? 1 : i.mnemonic == .MOVSW ? 2 : i.mnemonic == .MOVSD_STR ? 4 : 8
    return HandlerTable.Rep_Movs
  }

  private func stack(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    if !nativeStack || !flatData || i.operandSize != codeSize.rawValue { return nil }
    let w = codeSize == .bits64 ? 1 : 0
    let o0 = i.op0
    if i.mnemonic == .LEAVE { return HandlerTable.Leave + w }
    switch o0.kind {
    case .general:
      op.pointee.a = o0.register
      return (i.mnemonic == .PUSH ? HandlerTable.Push_Reg : HandlerTable.Pop_Reg) + w
    case .immediate: return i.mnemonic == .PUSH ? HandlerTable.Push_Imm + w : nil
    case .memory:
      return i.mnemonic == .PUSH && o0.size == codeSize.rawValue ? memory(HandlerTable.Push_Mem, w, i, op, next) : nil
    default: return nil
    }
  }

  /// RET, and CALL and JMP through a register or memory.
  private func indirect(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    if !nativeStack || !flatData || !flatCode || i.operandSize != codeSize.rawValue { return nil }
    let w = codeSize == .bits64 ? 1 : 0
    if i.mnemonic == .RET {
      op.pointee.immediate = i.operandCount == 0 ? 0 : Int32(i.immediate & 0xFFFF)
      return HandlerTable.Ret + w
    }
    let isCall = i.mnemonic == .CALL
    op.pointee.immediate = Int32(next)
    if i.op0.kind == .general {
      op.pointee.a = i.op0.register
      return (isCall ? HandlerTable.Call_Reg : HandlerTable.Jmp_Reg) + w
    }
    if i.op0.kind != .memory || i.op0.size != codeSize.rawValue { return nil }
    return memory(isCall ? HandlerTable.Call_Mem : HandlerTable.Jmp_Mem, w, i, op, next)
  }

  // MARK: Direct branches

  /// Handler of a direct near branch that the chain can follow, or nil.
  func branch(_ i: Instruction, csLimit: UInt32) -> Int? {
    if i.op0.kind != .relative || i.operandSize != codeSize.rawValue { return nil }
    // With a CS that is not flat, a 16-bit target can only be within a limit of 64 KiB − 1.
    if !flatCode, codeSize != .bits16 || csLimit != 0xFFFF { return nil }
    switch i.mnemonic {
    case .JMP: return HandlerTable.Jmp
    case .CALL: return nativeStack && flatData ? HandlerTable.Call + (codeSize == .bits64 ? 1 : 0) : nil
    case .JO, .JNO, .JB, .JNB, .JZ, .JNZ, .JBE, .JNBE, .JS, .JNS, .JP, .JNP, .JL, .JNL, .JLE, .JNLE:
      return HandlerTable.Jcc + Int(i.opcode & 15)
    default: return nil
    }
  }
}
