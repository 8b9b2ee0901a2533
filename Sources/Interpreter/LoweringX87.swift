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
    case .FADD, .FADDP: return binary(.add, i, op)
    case .FSUB, .FSUBP: return binary(.sub, i, op)
    case .FSUBR, .FSUBRP: return binary(.subReversed, i, op)
    case .FMUL, .FMULP: return binary(.mul, i, op)
    case .FDIV, .FDIVP: return binary(.div, i, op)
    case .FDIVR, .FDIVRP: return binary(.divReversed, i, op)
    case .FSQRT:
      op.pointee.a = 0
      op.pointee.b = 0
      op.pointee.index = X87Arithmetic.sqrt.rawValue
      op.pointee.base = 0
      return HandlerTable.X87_Root
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
    case .FIST, .FISTP, .FISTTP:
      op.pointee.a = i.mnemonic == .FISTTP ? 1 : 0
      op.pointee.b = i.mnemonic == .FIST ? 0 : 1
      return HandlerTable.X87_Store_Integer + (i.op0.size == 2 ? 0 : i.op0.size == 4 ? 1 : 2)
    case .FXCH: return HandlerTable.X87_Exchange
    case .FCMOVB: return conditional(2, i, op)
    case .FCMOVE: return conditional(4, i, op)
    case .FCMOVBE: return conditional(6, i, op)
    case .FCMOVU: return conditional(10, i, op)
    case .FCMOVNB: return conditional(3, i, op)
    case .FCMOVNE: return conditional(5, i, op)
    case .FCMOVNBE: return conditional(7, i, op)
    case .FCMOVNU: return conditional(11, i, op)
    case .FNSTSW:
      op.pointee.b = 1
      return inMemory ? HandlerTable.X87_StoreWord : HandlerTable.X87_StatusToAX
    case .FNSTCW:
      op.pointee.b = 0
      return HandlerTable.X87_StoreWord
    case .FLDCW: return HandlerTable.X87_LoadControl
    case .FCOM, .FUCOM, .FCOMP, .FUCOMP:
      let pops = i.mnemonic == .FCOMP || i.mnemonic == .FUCOMP ? 1 : 0
      op.pointee.b = UInt8(pops)
      return inMemory ? HandlerTable.X87_Compare_Mem + (i.op0.size == 8 ? 1 : 0) : HandlerTable.X87_Compare + pops
    case .FCOMPP, .FUCOMPP:
      op.pointee.a = 1
      return HandlerTable.X87_Compare + 2
    case .FCOMI, .FUCOMI, .FCOMIP, .FUCOMIP:
      op.pointee.a = i.op1.register
      return HandlerTable.X87_CompareToFlags + (i.mnemonic == .FCOMIP || i.mnemonic == .FUCOMIP ? 1 : 0)
    default: return nil
    }
  }

  private func binary(_ operation: X87Arithmetic, _ i: Instruction, _ op: OperationPointer) -> Int {
    switch operation {
    case .div: op.pointee.immediate = 0
    case .divReversed: op.pointee.immediate = 1
    default: op.pointee.immediate = operation.signChanges
    }
    if i.op0.kind == .memory {
      op.pointee.b = operation.rawValue
      let format = i.op0.size == 8 ? 1 : 0
      switch operation {
      case .mul: return HandlerTable.X87_Product_Mem + format
      case .div, .divReversed: return HandlerTable.X87_Quotient_Mem + format
      default: return HandlerTable.X87_Sum_Mem + format
      }
    }
    op.pointee.index = operation.rawValue
    // The popping forms have opcodes of their own.
    op.pointee.base = i.opcode & 7 == 6 ? 1 : 0
    switch operation {
    case .mul: return HandlerTable.X87_Product_Reg
    case .div, .divReversed: return HandlerTable.X87_Quotient_Reg
    default: return HandlerTable.X87_Sum_Reg
    }
  }

  /// FCMOVcc by a condition of Jcc's opcodes.
  private func conditional(_ condition: UInt8, _ i: Instruction, _ op: OperationPointer) -> Int {
    op.pointee.a = i.op1.register
    op.pointee.b = condition
    return HandlerTable.X87_Move_Conditional
  }
}
