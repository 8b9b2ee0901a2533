import Processor
import X86Decoder

/// Lowering of vector instructions that move or test elements, and of fused multiply-add.
extension Lowering {
  /// Chooses the handler of an instruction that moves or tests elements, or what floating point finds.
  func element(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    switch i.mnemonic {
    case .VPBROADCASTB: return broadcast(0, i, op, next)
    case .VPBROADCASTW: return broadcast(1, i, op, next)
    case .VPBROADCASTD, .VBROADCASTSS: return broadcast(2, i, op, next)
    case .VPBROADCASTQ, .VBROADCASTSD: return broadcast(3, i, op, next)
    case .PINSRB, .VPINSRB: return insert(0, i, op)
    case .PINSRW, .VPINSRW: return insert(1, i, op)
    case .PINSRD, .VPINSRD: return insert(2, i, op)
    case .PINSRQ, .VPINSRQ: return insert(3, i, op)
    case .PEXTRB, .VPEXTRB: return extract(0, i, op)
    case .PEXTRW, .VPEXTRW: return extract(1, i, op)
    case .PEXTRD, .VPEXTRD: return extract(2, i, op)
    case .PEXTRQ, .VPEXTRQ: return extract(3, i, op)
    case .VINSERTI128, .VINSERTF128:
      return either(HandlerTable.Vector_InsertHalf, HandlerTable.Vector_InsertHalf_Mem, i, op, next, sources(i, op))
    case .VEXTRACTI128, .VEXTRACTF128:
      if i.op0.kind != .vector { return nil }
      op.pointee.a = i.op0.register
      op.pointee.b = i.op1.register
      return HandlerTable.Vector_ExtractHalf
    case .VPERM2I128, .VPERM2F128: return registersOnly(HandlerTable.Vector_PermuteHalves, op, sources(i, op))
    case .VPERMQ, .VPERMPD: return registersOnly(HandlerTable.Vector_PermuteQuads, op, sources(i, op, sole: true))
    case .PTEST, .VPTEST: return registersOnly(HandlerTable.Vector_Test + encoding(i), op, sources(i, op, sole: true))
    case .PMOVZXBW, .VPMOVZXBW: return extend(0, i, op, next)
    case .PMOVZXWD, .VPMOVZXWD: return extend(1, i, op, next)
    case .PMOVZXDQ, .VPMOVZXDQ: return extend(2, i, op, next)
    case .PMOVSXBW, .VPMOVSXBW: return extend(3, i, op, next)
    case .PMOVSXWD, .VPMOVSXWD: return extend(4, i, op, next)
    case .PMOVSXDQ, .VPMOVSXDQ: return extend(5, i, op, next)
    default: return float(i, op, next)
    }
  }

  private func registersOnly(_ handler: Int, _ op: OperationPointer, _ source: Operand) -> Int? {
    if source.kind != .vector { return nil }
    op.pointee.base = source.register
    return handler
  }

  /// `k` is log2 of the element's width in bytes.
  private func broadcast(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let member = k * 2 + (i.vectorLength == 32 ? 1 : 0)
    return either(HandlerTable.Vector_Broadcast + member, HandlerTable.Vector_Broadcast_Mem + member, i, op, next,
                  sources(i, op, sole: true))
  }

  private func insert(_ k: Int, _ i: Instruction, _ op: OperationPointer) -> Int? {
    if i.op0.kind != .vector || i.vectorLength == 32 { return nil }
    let source = sources(i, op)
    if source.kind != .general { return nil }
    op.pointee.base = source.register
    op.pointee.immediate = elementOffset(i, k)
    return HandlerTable.Vector_Insert + k * 2 + scalarEncoding(i)
  }

  private func extract(_ k: Int, _ i: Instruction, _ op: OperationPointer) -> Int? {
    if i.op0.kind != .general || i.op1.kind != .vector || i.vectorLength == 32 { return nil }
    op.pointee.a = i.op0.register
    op.pointee.b = i.op1.register
    op.pointee.immediate = elementOffset(i, k)
    return HandlerTable.Vector_Extract + k * 2 + scalarEncoding(i)
  }

  /// In bytes, of the element that the immediate names.
  private func elementOffset(_ i: Instruction, _ k: Int) -> Int32 { Int32(i.immediate & (15 &>> UInt64(k))) &<< Int32(k) }

  private func extend(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let member = k * 3 + encoding(i)
    return either(HandlerTable.Vector_Extend + member, HandlerTable.Vector_Extend_Mem + member, i, op, next, sources(i, op, sole: true))
  }

  // MARK: Fused multiply-add

  func fused(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    guard let (formula, isDouble, isScalar) = fusedFormula(i.mnemonic) else { return nil }
    let bytes = isScalar ? (isDouble ? 8 : 4) : Int32(i.vectorLength == 32 ? 32 : 16)
    op.pointee.immediate = formula | (isDouble ? 16 : 0) | bytes &<< 8
    return either(HandlerTable.Fused_Reg, HandlerTable.Fused_Mem, i, op, next, sources(i, op))
  }

  /// Order of operands (0 for 132, 1 for 213, 2 for 231), with 4 for a negated product and 8 for a negated addend.
  private func fusedFormula(_ mnemonic: Mnemonic) -> (formula: Int32, isDouble: Bool, isScalar: Bool)? {
    switch mnemonic {
    case .VFMADD132SS: return (0, false, true)
    case .VFMADD132SD: return (0, true, true)
    case .VFMADD132PS: return (0, false, false)
    case .VFMADD132PD: return (0, true, false)
    case .VFMADD213SS: return (1, false, true)
    case .VFMADD213SD: return (1, true, true)
    case .VFMADD213PS: return (1, false, false)
    case .VFMADD213PD: return (1, true, false)
    case .VFMADD231SS: return (2, false, true)
    case .VFMADD231SD: return (2, true, true)
    case .VFMADD231PS: return (2, false, false)
    case .VFMADD231PD: return (2, true, false)
    case .VFNMADD132SS: return (4, false, true)
    case .VFNMADD132SD: return (4, true, true)
    case .VFNMADD132PS: return (4, false, false)
    case .VFNMADD132PD: return (4, true, false)
    case .VFNMADD213SS: return (5, false, true)
    case .VFNMADD213SD: return (5, true, true)
    case .VFNMADD213PS: return (5, false, false)
    case .VFNMADD213PD: return (5, true, false)
    case .VFNMADD231SS: return (6, false, true)
    case .VFNMADD231SD: return (6, true, true)
    case .VFNMADD231PS: return (6, false, false)
    case .VFNMADD231PD: return (6, true, false)
    case .VFMSUB132SS: return (8, false, true)
    case .VFMSUB132SD: return (8, true, true)
    case .VFMSUB132PS: return (8, false, false)
    case .VFMSUB132PD: return (8, true, false)
    case .VFMSUB213SS: return (9, false, true)
    case .VFMSUB213SD: return (9, true, true)
    case .VFMSUB213PS: return (9, false, false)
    case .VFMSUB213PD: return (9, true, false)
    case .VFMSUB231SS: return (10, false, true)
    case .VFMSUB231SD: return (10, true, true)
    case .VFMSUB231PS: return (10, false, false)
    case .VFMSUB231PD: return (10, true, false)
    case .VFNMSUB132SS: return (12, false, true)
    case .VFNMSUB132SD: return (12, true, true)
    case .VFNMSUB132PS: return (12, false, false)
    case .VFNMSUB132PD: return (12, true, false)
    case .VFNMSUB213SS: return (13, false, true)
    case .VFNMSUB213SD: return (13, true, true)
    case .VFNMSUB213PS: return (13, false, false)
    case .VFNMSUB213PD: return (13, true, false)
    case .VFNMSUB231SS: return (14, false, true)
    case .VFNMSUB231SD: return (14, true, true)
    case .VFNMSUB231PS: return (14, false, false)
    case .VFNMSUB231PD: return (14, true, false)
    default: return nil
    }
  }
}
