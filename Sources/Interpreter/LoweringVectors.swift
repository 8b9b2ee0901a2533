import Processor
import X86Decoder

/// Lowering of vector instructions. What is not named here, and every MMX form, is left to the generic methods.
extension Lowering {
  /// Position of an instruction's encoding among legacy, VEX.128, VEX.256.
  @inline(__always)
  func encoding(_ i: Instruction) -> Int {
    i.prefixes.contains(.vex) ? (i.vectorLength == 32 ? 2 : 1) : 0
  }

  /// The same for what knows no 256 bits: scalars.
  @inline(__always)
  func scalarEncoding(_ i: Instruction) -> Int { i.prefixes.contains(.vex) ? 1 : 0 }

  /// Fills the address fields for handlers that have the one form `[base + index * scale + displacement]`: a RIP-relative address has
  /// `codeBias` as its base register, which lies among the first words of the state.
  func indexed(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Bool {
    guard let form = address(i, op, next: next), form < 3 else { return false }
    if form == 2 {
      op.pointee.base = UInt8(MemoryLayout<CPUState>.offset(of: \.codeBias)! / 8)
      op.pointee.index = 16
      op.pointee.scale = 0
    }
    return true
  }

  /// 0 for `[base]` and RIP-relative, 1 with an index: for families with the two forms.
  private func form(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    indexed(i, op, next) ? (i.base != instructionPointerBase && i.index < 16 ? 1 : 0) : nil
  }

  /// Chooses the handler of a vector instruction, or nil.
  func vector(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    switch i.mnemonic {
    case .MOVAPS, .MOVAPD, .MOVDQA, .VMOVAPS, .VMOVAPD, .VMOVDQA, .MOVNTPS, .MOVNTPD, .MOVNTDQ, .VMOVNTPS, .VMOVNTPD, .VMOVNTDQ:
      return whole(i, op, next, aligned: true)
    case .MOVUPS, .MOVUPD, .MOVDQU, .LDDQU, .VMOVUPS, .VMOVUPD, .VMOVDQU, .VLDDQU: return whole(i, op, next, aligned: false)
    case .MOVSS, .VMOVSS: return low(i, op, next, 0, HandlerTable.Vector_MergeSingle)
    case .MOVSD, .VMOVSD: return low(i, op, next, 1, HandlerTable.Vector_MergeLow)
    case .MOVD, .VMOVD: return general(i, op, next, 0)
    case .MOVQ, .VMOVQ: return general(i, op, next, 1)
    case .MOVLPS, .MOVLPD, .VMOVLPS, .VMOVLPD:
      if i.op0.kind == .memory {
        op.pointee.a = i.op1.register
        return form(i, op, next).map { HandlerTable.Vector_StoreLow + 4 + scalarEncoding(i) * 2 + $0 }
      }
      return half(i, op, next, HandlerTable.Vector_MergeLow_Mem)
    case .MOVHPS, .MOVHPD, .VMOVHPS, .VMOVHPD:
      if i.op0.kind == .memory {
        op.pointee.a = i.op1.register
        return indexed(i, op, next) ? HandlerTable.Vector_StoreHigh + scalarEncoding(i) : nil
      }
      return half(i, op, next, HandlerTable.Vector_MergeHigh_Mem)
    case .MOVHLPS, .VMOVHLPS: return registers(i, op, HandlerTable.Vector_HighToLow)
    case .MOVLHPS, .VMOVLHPS: return registers(i, op, HandlerTable.Vector_LowToHigh)
    case .MOVDDUP:
      op.pointee.a = i.op0.register
      op.pointee.b = i.op0.register
      if i.op1.kind == .vector {
        op.pointee.base = i.op1.register
        return HandlerTable.Vector_Duplicate
      }
      return indexed(i, op, next) ? HandlerTable.Vector_Duplicate_Mem : nil
    case .PMOVMSKB, .VPMOVMSKB:
      if i.op1.kind != .vector { return nil }
      op.pointee.a = i.op0.register
      op.pointee.b = i.op1.register
      return HandlerTable.Vector_ByteMask + encoding(i)
    case .MOVMSKPS, .MOVMSKPD:
      op.pointee.a = i.op0.register
      op.pointee.b = i.op1.register
      return HandlerTable.Vector_SignMask + (i.mnemonic == .MOVMSKPS ? 0 : 1)

    case .VZEROUPPER: return codeSize == .bits64 ? HandlerTable.Vector_ZeroUpper : nil

    case .PAND, .ANDPS, .ANDPD, .VPAND, .VANDPS, .VANDPD: return integer(0, i, op, next)
    case .PANDN, .ANDNPS, .ANDNPD, .VPANDN, .VANDNPS, .VANDNPD: return integer(1, i, op, next)
    case .POR, .ORPS, .ORPD, .VPOR, .VORPS, .VORPD: return integer(2, i, op, next)
    case .PXOR, .XORPS, .XORPD, .VPXOR, .VXORPS, .VXORPD: return integer(3, i, op, next)
    case .PCMPEQB, .VPCMPEQB: return integer(4, i, op, next)
    case .PCMPEQW, .VPCMPEQW: return integer(5, i, op, next)
    case .PCMPEQD, .VPCMPEQD: return integer(6, i, op, next)
    case .PCMPGTB, .VPCMPGTB: return integer(7, i, op, next)
    case .PADDB, .VPADDB: return integer(8, i, op, next)
    case .PADDD, .VPADDD: return integer(9, i, op, next)
    case .PADDQ, .VPADDQ: return integer(10, i, op, next)
    case .PSUBB, .VPSUBB: return integer(11, i, op, next)
    case .PMINUB, .VPMINUB: return integer(12, i, op, next)
    case .PMAXUB, .VPMAXUB: return integer(13, i, op, next)

    case .PCMPGTW, .VPCMPGTW: return integer(14, i, op, next)
    case .PCMPGTD, .VPCMPGTD: return integer(15, i, op, next)
    case .PADDW, .VPADDW: return integer(16, i, op, next)
    case .PSUBW, .VPSUBW: return integer(17, i, op, next)
    case .PSUBD, .VPSUBD: return integer(18, i, op, next)
    case .PSUBQ, .VPSUBQ: return integer(19, i, op, next)
    case .PMINSW, .VPMINSW: return integer(20, i, op, next)
    case .PMAXSW, .VPMAXSW: return integer(21, i, op, next)
    case .PMULLW, .VPMULLW: return integer(22, i, op, next)
    case .PMULUDQ, .VPMULUDQ: return integer(23, i, op, next)
    case .PUNPCKLBW, .VPUNPCKLBW: return integer(24, i, op, next)
    case .PUNPCKLWD, .VPUNPCKLWD: return integer(25, i, op, next)
    case .PUNPCKLDQ, .UNPCKLPS, .VPUNPCKLDQ, .VUNPCKLPS: return integer(26, i, op, next)
    case .PUNPCKLQDQ, .UNPCKLPD, .VPUNPCKLQDQ, .VUNPCKLPD: return integer(27, i, op, next)
    case .PUNPCKHBW, .VPUNPCKHBW: return integer(28, i, op, next)
    case .PUNPCKHWD, .VPUNPCKHWD: return integer(29, i, op, next)
    case .PUNPCKHDQ, .UNPCKHPS, .VPUNPCKHDQ, .VUNPCKHPS: return integer(30, i, op, next)
    case .PUNPCKHQDQ, .UNPCKHPD, .VPUNPCKHQDQ, .VUNPCKHPD: return integer(31, i, op, next)
    case .PSHUFD, .VPSHUFD: return integer(32, i, op, next, sole: true)
    case .SHUFPS, .VSHUFPS: return integer(33, i, op, next)
    case .SHUFPD, .VSHUFPD:
      // The upper half has immediate bits of its own.
      return i.vectorLength == 32 ? nil : integer(34, i, op, next)
    case .PCMPEQQ, .VPCMPEQQ: return integer(35, i, op, next)
    case .PCMPGTQ, .VPCMPGTQ: return integer(36, i, op, next)
    case .PMINSD, .VPMINSD: return integer(37, i, op, next)
    case .PMAXSD, .VPMAXSD: return integer(38, i, op, next)
    case .PMINUD, .VPMINUD: return integer(39, i, op, next)
    case .PMAXUD, .VPMAXUD: return integer(40, i, op, next)
    case .PMINUW, .VPMINUW: return integer(41, i, op, next)
    case .PMAXUW, .VPMAXUW: return integer(42, i, op, next)
    case .PMULLD, .VPMULLD: return integer(43, i, op, next)
    case .PADDUSB, .VPADDUSB: return integer(44, i, op, next)
    case .PADDUSW, .VPADDUSW: return integer(45, i, op, next)
    case .PSUBUSB, .VPSUBUSB: return integer(46, i, op, next)
    case .PSUBUSW, .VPSUBUSW: return integer(47, i, op, next)
    case .PADDSW, .VPADDSW: return integer(48, i, op, next)
    case .PSUBSW, .VPSUBSW: return integer(49, i, op, next)
    case .PAVGB, .VPAVGB: return integer(50, i, op, next)
    case .PAVGW, .VPAVGW: return integer(51, i, op, next)
    case .PMULHUW, .VPMULHUW: return integer(52, i, op, next)
    case .PMULHW, .VPMULHW: return integer(53, i, op, next)
    case .PMULHRSW, .VPMULHRSW: return integer(54, i, op, next)
    case .PMULDQ, .VPMULDQ: return integer(55, i, op, next)
    case .PABSB, .VPABSB: return integer(56, i, op, next, sole: true)
    case .PABSW, .VPABSW: return integer(57, i, op, next, sole: true)
    case .PABSD, .VPABSD: return integer(58, i, op, next, sole: true)
    case .PMADDWD, .VPMADDWD: return integer(59, i, op, next)
    case .PMADDUBSW, .VPMADDUBSW: return integer(60, i, op, next)
    case .PSADBW, .VPSADBW: return integer(61, i, op, next)
    case .PSHUFB, .VPSHUFB: return integer(62, i, op, next)
    case .PALIGNR, .VPALIGNR: return integer(63, i, op, next)
    case .PSHUFLW, .VPSHUFLW: return integer(64, i, op, next, sole: true)
    case .PSHUFHW, .VPSHUFHW: return integer(65, i, op, next, sole: true)
    case .PACKSSWB, .VPACKSSWB: return integer(66, i, op, next)
    case .PACKUSWB, .VPACKUSWB: return integer(67, i, op, next)
    case .PACKSSDW, .VPACKSSDW: return integer(68, i, op, next)
    case .PACKUSDW, .VPACKUSDW: return integer(69, i, op, next)

    case .PSLLW, .VPSLLW: return shift(0, 16, i, op)
    case .PSLLD, .VPSLLD: return shift(1, 32, i, op)
    case .PSLLQ, .VPSLLQ: return shift(2, 64, i, op)
    case .PSRLW, .VPSRLW: return shift(3, 16, i, op)
    case .PSRLD, .VPSRLD: return shift(4, 32, i, op)
    case .PSRLQ, .VPSRLQ: return shift(5, 64, i, op)
    case .PSRAW, .VPSRAW: return shift(6, 16, i, op)
    case .PSRAD, .VPSRAD: return shift(7, 32, i, op)
    case .PSLLDQ, .VPSLLDQ: return shift(8, 16, i, op)
    case .PSRLDQ, .VPSRLDQ: return shift(9, 16, i, op)
    default: return element(i, op, next)
    }
  }

  // MARK: Operands

  /// Destination and first source, which are the same in legacy encodings; returns the second source. `sole`: there is no first source.
  @inline(__always)
  func sources(_ i: Instruction, _ op: OperationPointer, sole: Bool = false) -> Operand {
    op.pointee.a = i.op0.register
    if i.prefixes.contains(.vex), !sole {
      op.pointee.b = i.op1.register
      return i.op2
    }
    op.pointee.b = i.op0.register
    return i.op1
  }

  /// A member of a pair of families, with a register or memory as the second source, at the same position.
  func either(_ register: Int, _ memory: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64, _ source: Operand) -> Int? {
    if source.kind == .vector {
      op.pointee.base = source.register
      return register
    }
    return source.kind == .memory && indexed(i, op, next) ? memory : nil
  }

  // MARK: Moves

  private func whole(_ i: Instruction, _ op: OperationPointer, _ next: UInt64, aligned: Bool) -> Int? {
    let encoding = encoding(i)
    op.pointee.immediate = aligned ? (encoding == 2 ? 31 : 15) : 0
    switch (i.op0.kind, i.op1.kind) {
    case (.vector, .vector):
      op.pointee.a = i.op0.register
      op.pointee.b = i.op0.register
      op.pointee.base = i.op1.register
      return HandlerTable.Vector_Copy + encoding
    case (.vector, .memory):
      op.pointee.a = i.op0.register
      return form(i, op, next).map { HandlerTable.Vector_Load + encoding * 2 + $0 }
    case (.memory, .vector):
      op.pointee.a = i.op1.register
      return form(i, op, next).map { HandlerTable.Vector_Store + encoding * 2 + $0 }
    default: return nil
    }
  }

  /// MOVSS (`width` 0) and MOVSD (1).
  private func low(_ i: Instruction, _ op: OperationPointer, _ next: UInt64, _ width: Int, _ merge: Int) -> Int? {
    if i.op0.kind == .memory {
      op.pointee.a = i.op1.register
      return form(i, op, next).map { HandlerTable.Vector_StoreLow + width * 4 + scalarEncoding(i) * 2 + $0 }
    }
    if i.op1.kind == .memory {
      op.pointee.a = i.op0.register
      return form(i, op, next).map { HandlerTable.Vector_LoadLow + width * 4 + scalarEncoding(i) * 2 + $0 }
    }
    return registers(i, op, merge)
  }

  /// MOVD (`width` 0) and MOVQ (1).
  private func general(_ i: Instruction, _ op: OperationPointer, _ next: UInt64, _ width: Int) -> Int? {
    op.pointee.a = i.op0.register
    op.pointee.b = i.op1.register
    let encoding = scalarEncoding(i)
    switch (i.op0.kind, i.op1.kind) {
    case (.vector, .general): return HandlerTable.Vector_FromGPR + width * 2 + encoding
    case (.general, .vector): return HandlerTable.Vector_ToGPR + width * 2 + encoding
    case (.vector, .vector):
      op.pointee.base = i.op1.register
      return width == 1 ? HandlerTable.Vector_CopyLow + encoding : nil
    case (.vector, .memory): return form(i, op, next).map { HandlerTable.Vector_LoadLow + width * 4 + encoding * 2 + $0 }
    case (.memory, .vector):
      op.pointee.a = i.op1.register
      return form(i, op, next).map { HandlerTable.Vector_StoreLow + width * 4 + encoding * 2 + $0 }
    default: return nil
    }
  }

  /// A half of a register from memory.
  private func half(_ i: Instruction, _ op: OperationPointer, _ next: UInt64, _ family: Int) -> Int? {
    let source = sources(i, op)
    return source.kind == .memory && indexed(i, op, next) ? family + scalarEncoding(i) : nil
  }

  private func registers(_ i: Instruction, _ op: OperationPointer, _ family: Int) -> Int? {
    let source = sources(i, op)
    if source.kind != .vector { return nil }
    op.pointee.base = source.register
    return family + scalarEncoding(i)
  }

  // MARK: Integers

  private func integer(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64, sole: Bool = false) -> Int? {
    if i.op0.kind != .vector { return nil }
    let member = k * 3 + encoding(i)
    return either(HandlerTable.Vector_Reg + member, HandlerTable.Vector_Mem + member, i, op, next, sources(i, op, sole: sole))
  }

  /// By a constant below `limit`.
  private func shift(_ k: Int, _ limit: UInt64, _ i: Instruction, _ op: OperationPointer) -> Int? {
    if i.op0.kind != .vector || i.immediate & 0xFF >= limit { return nil }
    let source = sources(i, op, sole: true)
    // Legacy forms name their one register once.
    op.pointee.base = source.kind == .immediate ? i.op0.register : source.register
    if !i.prefixes.contains(.vex) ? source.kind != .immediate : i.op2.kind != .immediate { return nil }
    op.pointee.immediate = Int32(i.immediate & 0xFF)
    return HandlerTable.VectorShift + k * 3 + encoding(i)
  }

  // MARK: Floating point

  func float(_ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    switch i.mnemonic {
    case .ADDSS, .VADDSS: return scalar(0, i, op, next)
    case .ADDSD, .VADDSD: return scalar(1, i, op, next)
    case .SUBSS, .VSUBSS: return scalar(2, i, op, next)
    case .SUBSD, .VSUBSD: return scalar(3, i, op, next)
    case .MULSS, .VMULSS: return scalar(4, i, op, next)
    case .MULSD, .VMULSD: return scalar(5, i, op, next)
    case .DIVSS, .VDIVSS: return scalar(6, i, op, next)
    case .DIVSD, .VDIVSD: return scalar(7, i, op, next)
    case .MINSS, .VMINSS: return scalar(8, i, op, next)
    case .MINSD, .VMINSD: return scalar(9, i, op, next)
    case .MAXSS, .VMAXSS: return scalar(10, i, op, next)
    case .MAXSD, .VMAXSD: return scalar(11, i, op, next)
    case .SQRTSS, .VSQRTSS: return scalar(12, i, op, next)
    case .SQRTSD, .VSQRTSD: return scalar(13, i, op, next)
    case .CVTSS2SD, .VCVTSS2SD: return scalar(14, i, op, next)
    case .CVTSD2SS, .VCVTSD2SS: return scalar(15, i, op, next)
    case .ADDPS, .VADDPS: return packed(0, i, op, next)
    case .ADDPD, .VADDPD: return packed(1, i, op, next)
    case .SUBPS, .VSUBPS: return packed(2, i, op, next)
    case .SUBPD, .VSUBPD: return packed(3, i, op, next)
    case .MULPS, .VMULPS: return packed(4, i, op, next)
    case .MULPD, .VMULPD: return packed(5, i, op, next)
    case .DIVPS, .VDIVPS: return packed(6, i, op, next)
    case .DIVPD, .VDIVPD: return packed(7, i, op, next)
    case .MINPS, .VMINPS: return packed(8, i, op, next)
    case .MINPD, .VMINPD: return packed(9, i, op, next)
    case .MAXPS, .VMAXPS: return packed(10, i, op, next)
    case .MAXPD, .VMAXPD: return packed(11, i, op, next)
    case .SQRTPS, .VSQRTPS: return packed(12, i, op, next, sole: true)
    case .SQRTPD, .VSQRTPD: return packed(13, i, op, next, sole: true)
    case .CVTDQ2PS, .VCVTDQ2PS: return packed(14, i, op, next, sole: true)
    case .CVTPS2DQ, .VCVTPS2DQ: return packed(15, i, op, next, sole: true)
    case .CVTTPS2DQ, .VCVTTPS2DQ: return packed(16, i, op, next, sole: true)
    case .COMISS, .UCOMISS, .VCOMISS, .VUCOMISS: return compare(0, i, op, next)
    case .COMISD, .UCOMISD, .VCOMISD, .VUCOMISD: return compare(1, i, op, next)
    case .CVTSI2SS, .VCVTSI2SS: return fromInteger(0, i, op, next)
    case .CVTSI2SD, .VCVTSI2SD: return fromInteger(1, i, op, next)
    case .CVTTSS2SI, .VCVTTSS2SI: return toInteger(0, i, op, next)
    case .CVTTSD2SI, .VCVTTSD2SI: return toInteger(1, i, op, next)
    case .CVTSS2SI, .VCVTSS2SI: return toInteger(2, i, op, next)
    case .CVTSD2SI, .VCVTSD2SI: return toInteger(3, i, op, next)
    default: return fused(i, op, next) ?? x87(i, op, next)
    }
  }

  private func scalar(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let member = k * 2 + scalarEncoding(i)
    return either(HandlerTable.Scalar_Reg + member, HandlerTable.Scalar_Mem + member, i, op, next, sources(i, op))
  }

  private func packed(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64, sole: Bool = false) -> Int? {
    let member = k * 3 + encoding(i)
    return either(HandlerTable.Packed_Reg + member, HandlerTable.Packed_Mem + member, i, op, next, sources(i, op, sole: sole))
  }

  private func compare(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let member = k * 2 + scalarEncoding(i)
    return either(HandlerTable.Compare_Reg + member, HandlerTable.Compare_Mem + member, i, op, next, sources(i, op, sole: true))
  }

  private func fromInteger(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let source = sources(i, op)
    let member = (k * 2 + (source.size == 8 ? 1 : 0)) * 2 + scalarEncoding(i)
    if source.kind == .general {
      op.pointee.base = source.register
      return HandlerTable.FromInteger_GPR + member
    }
    return source.kind == .memory && indexed(i, op, next) ? HandlerTable.FromInteger_Mem + member : nil
  }

  private func toInteger(_ k: Int, _ i: Instruction, _ op: OperationPointer, _ next: UInt64) -> Int? {
    let member = (k * 2 + (i.op0.size == 8 ? 1 : 0)) * 2 + scalarEncoding(i)
    return either(HandlerTable.ToInteger_Reg + member, HandlerTable.ToInteger_Mem + member, i, op, next, sources(i, op, sole: true))
  }
}
