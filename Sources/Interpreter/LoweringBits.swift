import Processor
import X86Decoder

/// Lowering of bit counts, BMI1, BMI2 and ADX.
extension Lowering {
  func bitField(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    guard let w = w2(i.op0.size) else { return nil }
    op.pointee.a = i.op0.register
    switch i.mnemonic {
    case .TZCNT: return count(0, w, i, op, next)
    case .LZCNT: return count(1, w, i, op, next)
    case .POPCNT: return count(2, w, i, op, next)
    default: break
    }
    if i.op1.kind != .general { return nil }
    op.pointee.b = i.op1.register
    switch i.mnemonic {
    case .BLSI: return HandlerTable.BitField_Reg + 2 + w
    case .BLSMSK: return HandlerTable.BitField_Reg + 4 + w
    case .BLSR: return HandlerTable.BitField_Reg + 6 + w
    case .ADCX: return HandlerTable.AddThrough + w
    case .ADOX: return HandlerTable.AddThrough + 2 + w
    default: break
    }
    if i.op2.kind != .general { return nil }
    op.pointee.base = i.op2.register
    switch i.mnemonic {
    case .ANDN: return HandlerTable.BitField_Reg + w
    case .BZHI: return HandlerTable.BitField_Reg + 8 + w
    case .BEXTR: return HandlerTable.Bextr + w
    case .PDEP: return HandlerTable.Pdep + w
    default: return HandlerTable.Pext + w
    }
  }

  private func count(_ k: Int, _ w: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    if i.op1.kind == .general {
      op.pointee.b = i.op1.register
      return HandlerTable.Count_Reg + k * 2 + w
    }
    return memory(HandlerTable.Count_Mem, k * 2 + w, i, op, next)
  }
}
