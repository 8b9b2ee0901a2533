import Processor
import X86Decoder

/// Lowering of x87 instructions.
extension Lowering {
  /// Chooses the handler of an x87 instruction, or nil.
  func x87(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    if i.opcode & 0xF8 != 0xD8 { return nil }
    let inMemory = i.op0.kind == .memory
    if inMemory, !indexed(i, op, next) { return nil }
    op.pointee.link = UInt(i.opcode & 7) &<< 8 | UInt(i.modRM) | UInt(i.segment.rawValue) &<< 16
    op.pointee.a = inMemory ? 0 : i.op0.register
    op.pointee.b = i.op1.register
    switch i.mnemonic {
    case .FADD: return binary(.add, i, op)
    case .FSUB: return binary(.sub, i, op)
    case .FSUBR: return binary(.subReversed, i, op)
    case .FMUL: return binary(.mul, i, op)
    case .FDIV: return binary(.div, i, op)
    case .FDIVR: return binary(.divReversed, i, op)
    case .FADDP: return binary(.add, i, op, pops: 1)
    case .FSUBP: return binary(.sub, i, op, pops: 1)
    case .FSUBRP: return binary(.subReversed, i, op, pops: 1)
    case .FMULP: return binary(.mul, i, op, pops: 1)
    case .FDIVP: return binary(.div, i, op, pops: 1)
    case .FDIVRP: return binary(.divReversed, i, op, pops: 1)
    case .FSQRT:
      op.pointee.a = 0
      op.pointee.b = 0
      return binary(.sqrt, i, op)
    case .FCHS: return HandlerTable.X87_Negate
    case .FABS: return HandlerTable.X87_Absolute
    case .FLD:
      if !inMemory { return HandlerTable.X87_Load_Reg }
      return i.op0.size == 10 ? HandlerTable.X87_Load_Extended : HandlerTable.X87_Load_Mem + (i.op0.size == 8 ? 1 : 0)
    case .FILD: return HandlerTable.X87_Load_Integer + (i.op0.size == 2 ? 0 : i.op0.size == 4 ? 1 : 2)
    case .FLD1, .FLDZ:
      op.pointee.a = i.mnemonic == .FLD1 ? 1 : 0
      return HandlerTable.X87_Load_Constant
    case .FST, .FSTP:
      let pops = i.mnemonic == .FSTP ? 1 : 0
      if !inMemory { return HandlerTable.X87_Store_Reg + pops }
      op.pointee.b = UInt8(pops)
      return i.op0.size == 10 ? HandlerTable.X87_Store_Extended : HandlerTable.X87_Store_Mem + (i.op0.size == 8 ? 1 : 0)
    case .FXCH: return HandlerTable.X87_Exchange
    case .FCOM, .FUCOM: return inMemory ? nil : HandlerTable.X87_Compare
    case .FCOMP, .FUCOMP: return inMemory ? nil : HandlerTable.X87_Compare + 1
    case .FCOMPP, .FUCOMPP:
      op.pointee.a = 1
      return HandlerTable.X87_Compare + 2
    case .FCOMI, .FUCOMI, .FCOMIP, .FUCOMIP:
      op.pointee.a = i.op1.register
      return HandlerTable.X87_CompareToFlags + (i.mnemonic == .FCOMIP || i.mnemonic == .FUCOMIP ? 1 : 0)
    default: return nil
    }
  }

  private func binary(_ operation: X87Arithmetic, _ i: Instruction, _ op: OperationPointer, pops: UInt8 = 0) -> Int {
    if i.op0.kind == .memory {
      op.pointee.b = operation.rawValue
      return HandlerTable.X87_Binary_Mem + (i.op0.size == 8 ? 1 : 0)
    }
    op.pointee.index = operation.rawValue
    op.pointee.base = pops
    return HandlerTable.X87_Binary_Reg
  }
}
