import SoftFloat
import X86
import X86Decoder

/// x87 loads, stores, constants and control (SDM vol. 1 §8.3.3, §8.3.4, §8.3.11).
extension CPU {
  // MARK: Loads

  func FLD(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    if i.op0.kind != .memory {
      noteX87(i)
      let n = i.op0.register
      if isEmpty(n) {
        if stackFault(overflow: false) { pushST(.indefinite) }
        return
      }
      setConditions(0, mask: X87Status.c1)
      return pushChecked(st(n).pointee)
    }
    let offset = effectiveOffset(i)
    var environment = x87Environment
    let value: Extended80
    switch i.op0.size {
    case 4: value = .from(Binary32(bits: try load32(i.segment, offset)), &environment)
    case 8: value = .from(Binary64(bits: try load64(i.segment, offset)), &environment)
    default:
      try checkRead(i.segment, offset, size: 10)
      let significand = try load64(i.segment, offset)
      value = Extended80(significand: significand, signExponent: try load16(i.segment, offsetWithin(i, offset, 8)))
    }
    noteX87(i)
    if !isEmpty(7) {
      if stackFault(overflow: true) { pushST(.indefinite) }
      return
    }
    environment.roundedUp = false
    raise(environment)
    if environment.unmaskedPreComputation { return }
    pushST(value)
  }

  /// The offset `n` bytes on, wrapped to the address size.
  private func offsetWithin(_ i: borrowing Instruction, _ offset: UInt64, _ n: UInt64) -> UInt64 {
    switch i.addressSize {
    case 8: return offset &+ n
    case 4: return (offset &+ n) & 0xFFFF_FFFF
    default: return (offset &+ n) & 0xFFFF
    }
  }

  func FILD(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    let offset = effectiveOffset(i)
    let value: Extended80
    switch i.op0.size {
    case 2: value = .from(Int16(bitPattern: try load16(i.segment, offset)))
    case 4: value = .from(Int32(bitPattern: try load32(i.segment, offset)))
    default: value = .from(Int64(bitPattern: try load64(i.segment, offset)))
    }
    noteX87(i)
    setConditions(0, mask: X87Status.c1)
    pushChecked(value)
  }

  func FBLD(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    let offset = effectiveOffset(i)
    try checkRead(i.segment, offset, size: 10)
    let low = try load64(i.segment, offset)
    let packed = PackedDecimal(low: low, high: try load16(i.segment, offsetWithin(i, offset, 8)))
    noteX87(i)
    setConditions(0, mask: X87Status.c1)
    pushChecked(.from(packed))
  }

  private func loadConstant(_ i: borrowing Instruction, _ value: Extended80) throws(Fault) {
    try checkX87()
    noteX87(i)
    setConditions(0, mask: X87Status.c1)
    pushChecked(value)
  }

  func FLD1(_ i: borrowing Instruction) throws(Fault) { try loadConstant(i, .one) }
  func FLDZ(_ i: borrowing Instruction) throws(Fault) { try loadConstant(i, .zero) }
  func FLDPI(_ i: borrowing Instruction) throws(Fault) { try loadConstant(i, .constant(.pi, x87Environment.rounding)) }
  func FLDL2E(_ i: borrowing Instruction) throws(Fault) { try loadConstant(i, .constant(.log2OfE, x87Environment.rounding)) }
  func FLDL2T(_ i: borrowing Instruction) throws(Fault) { try loadConstant(i, .constant(.log2Of10, x87Environment.rounding)) }
  func FLDLG2(_ i: borrowing Instruction) throws(Fault) { try loadConstant(i, .constant(.log10Of2, x87Environment.rounding)) }
  func FLDLN2(_ i: borrowing Instruction) throws(Fault) { try loadConstant(i, .constant(.naturalLogOf2, x87Environment.rounding)) }

  // MARK: Stores

  /// Stores ST(0); an unmasked exception leaves memory and the stack alone.
  private func storeST(_ i: borrowing Instruction, pops: Bool) throws(Fault) {
    try checkX87()
    if i.op0.kind != .memory {
      noteX87(i)
      if isEmpty(0) {
        if stackFault(overflow: false) {
          setST(i.op0.register, .indefinite)
          if pops { popST() }
        }
        return
      }
      setConditions(0, mask: X87Status.c1)
      setST(i.op0.register, st(0).pointee)
      if pops { popST() }
      return
    }
    let offset = effectiveOffset(i)
    // The store must be possible before the status word changes.
    try checkWrite(i.segment, offset, size: Int(i.op0.size))
    noteX87(i)
    var environment = x87Environment
    var value = Extended80.indefinite
    let empty = isEmpty(0)
    if empty {
      if !stackFault(overflow: false) { return }
    } else {
      value = st(0).pointee
    }
    switch i.op0.size {
    case 4:
      let narrow = Binary32.from(value, &environment)
      if !commitStore(environment, empty: empty) { return }
      try store32(i.segment, offset, narrow.bits)
    case 8:
      let narrow = Binary64.from(value, &environment)
      if !commitStore(environment, empty: empty) { return }
      try store64(i.segment, offset, narrow.bits)
    default:
      if !empty { setConditions(0, mask: X87Status.c1) }
      try store64(i.segment, offset, value.significand)
      try store16(i.segment, offsetWithin(i, offset, 8), value.signExponent)
    }
    if pops { popST() }
  }

  /// Reports what a narrowing store raised; false if an unmasked exception keeps it from happening.
  private func commitStore(_ environment: FloatEnvironment, empty: Bool) -> Bool {
    if empty { return true }
    raise(environment)
    let stopping = environment.unmasked.rawValue & ~FloatFlags.inexact.rawValue
    return stopping == 0
  }

  func FST(_ i: borrowing Instruction) throws(Fault) { try storeST(i, pops: false) }
  func FSTP(_ i: borrowing Instruction) throws(Fault) { try storeST(i, pops: true) }
  /// The undocumented alias D9 D8+i, which raises no stack underflow.
  func FSTPNCE(_ i: borrowing Instruction) throws(Fault) {
    if isEmpty(0) {
      try checkX87()
      noteX87(i)
      st(i.op0.register).pointee = st(0).pointee
      s.pointee.x87.valid &= ~(1 &<< ((s.pointee.x87.top &+ i.op0.register) & 7))
      return popST()
    }
    try storeST(i, pops: true)
  }

  private func storeInteger(_ i: borrowing Instruction, pops: Bool, truncate: Bool) throws(Fault) {
    try checkX87()
    let offset = effectiveOffset(i)
    try checkWrite(i.segment, offset, size: Int(i.op0.size))
    noteX87(i)
    var environment = x87Environment
    let bits: UInt64
    if isEmpty(0) {
      if !stackFault(overflow: false) { return }
      bits = 1 &<< (UInt64(i.op0.size) &* 8 &- 1)
    } else {
      let value = st(0).pointee
      switch i.op0.size {
      case 2: bits = UInt64(truncatingIfNeeded: value.toInt16(truncate: truncate, &environment))
      case 4: bits = UInt64(truncatingIfNeeded: value.toInt32(truncate: truncate, &environment))
      default: bits = UInt64(bitPattern: value.toInt64(truncate: truncate, &environment))
      }
      raise(environment)
      if environment.unmaskedPreComputation { return }
    }
    try store(i.segment, offset, bits, size: i.op0.size)
    if pops { popST() }
  }

  func FIST(_ i: borrowing Instruction) throws(Fault) { try storeInteger(i, pops: false, truncate: false) }
  func FISTP(_ i: borrowing Instruction) throws(Fault) { try storeInteger(i, pops: true, truncate: false) }
  func FISTTP(_ i: borrowing Instruction) throws(Fault) { try storeInteger(i, pops: true, truncate: true) }

  func FBSTP(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    let offset = effectiveOffset(i)
    try checkWrite(i.segment, offset, size: 10)
    noteX87(i)
    var packed = PackedDecimal(low: 0xC000_0000_0000_0000, high: 0xFFFF)
    if isEmpty(0) {
      if !stackFault(overflow: false) { return }
    } else {
      var environment = x87Environment
      packed = st(0).pointee.toPackedDecimal(&environment)
      raise(environment)
      if environment.unmaskedPreComputation { return }
    }
    try store64(i.segment, offset, packed.low)
    try store16(i.segment, offsetWithin(i, offset, 8), packed.high)
    popST()
  }

  // MARK: Within the stack

  func FXCH(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
    let n = i.op0.register
    if isEmpty(0) || isEmpty(n) {
      if !stackFault(overflow: false) { return }
      if isEmpty(0) { setST(0, .indefinite) }
      if isEmpty(n) { setST(n, .indefinite) }
    } else {
      setConditions(0, mask: X87Status.c1)
    }
    let value = st(0).pointee
    setST(0, st(n).pointee)
    setST(n, value)
  }

  private func conditionalMove(_ i: borrowing Instruction, _ holds: Bool) throws(Fault) {
    try checkX87()
    noteX87(i)
    let n = i.op1.register
    if isEmpty(0) || isEmpty(n) {
      // The operands are looked at before the condition is.
      if stackFault(overflow: false) { setST(0, .indefinite) }
      return
    }
    setConditions(0, mask: X87Status.c1)
    if holds { setST(0, st(n).pointee) }
  }

  func FCMOVB(_ i: borrowing Instruction) throws(Fault) { try conditionalMove(i, cf) }
  func FCMOVE(_ i: borrowing Instruction) throws(Fault) { try conditionalMove(i, zf) }
  func FCMOVBE(_ i: borrowing Instruction) throws(Fault) { try conditionalMove(i, cf || zf) }
  func FCMOVU(_ i: borrowing Instruction) throws(Fault) { try conditionalMove(i, pf) }
  func FCMOVNB(_ i: borrowing Instruction) throws(Fault) { try conditionalMove(i, !cf) }
  func FCMOVNE(_ i: borrowing Instruction) throws(Fault) { try conditionalMove(i, !zf) }
  func FCMOVNBE(_ i: borrowing Instruction) throws(Fault) { try conditionalMove(i, !(cf || zf)) }
  func FCMOVNU(_ i: borrowing Instruction) throws(Fault) { try conditionalMove(i, !pf) }

  func FINCSTP(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
    s.pointee.x87.top = (s.pointee.x87.top &+ 1) & 7
    setConditions(0, mask: X87Status.c1)
  }

  func FDECSTP(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
    s.pointee.x87.top = (s.pointee.x87.top &- 1) & 7
    setConditions(0, mask: X87Status.c1)
  }

  func FFREE(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
    s.pointee.x87.valid &= ~(1 &<< ((s.pointee.x87.top &+ i.op0.register) & 7))
  }

  func FFREEP(_ i: borrowing Instruction) throws(Fault) {
    try FFREE(i)
    popST()
  }

  // MARK: Control

  func FNOP(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
  }

  /// WAIT looks at CR0.MP rather than EM (SDM vol. 3A table 2-2).
  func FWAIT(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cr0 & (CR0.MP | CR0.TS) == CR0.MP | CR0.TS { throw .deviceNotAvailable }
    if s.pointee.x87.statusWord & X87Status.errorSummary != 0 { throw .floatingPoint }
  }

  func FNINIT(_ i: borrowing Instruction) throws(Fault) {
    try checkX87Present()
    initialiseX87Unit()
  }

  func FNCLEX(_ i: borrowing Instruction) throws(Fault) {
    try checkX87Present()
    s.pointee.x87.statusWord &= ~(0x7F | X87Status.errorSummary | X87Status.busy)
  }

  func FLDCW(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    let value = try load16(i.segment, effectiveOffset(i))
    s.pointee.x87.controlWord = value & 0x1F7F | 0x40
    updateErrorSummary()
  }

  func FNSTCW(_ i: borrowing Instruction) throws(Fault) {
    try checkX87Present()
    try store16(i.segment, effectiveOffset(i), s.pointee.x87.controlWord)
  }

  func FNSTSW(_ i: borrowing Instruction) throws(Fault) {
    try checkX87Present()
    if i.op0.kind == .memory {
      try store16(i.segment, effectiveOffset(i), x87StatusWord)
    } else {
      setRegister(0, size: 2, UInt64(x87StatusWord))
    }
  }

  // MARK: Environment (SDM vol. 1 figures 8-9 to 8-12)

  /// Bytes of the environment: 14 with 16-bit operand size, else 28.
  private func environmentSize(_ i: borrowing Instruction) -> UInt64 { i.operandSize == 2 ? 14 : 28 }

  private func storeEnvironment(_ i: borrowing Instruction, _ offset: UInt64) throws(Fault) {
    let x = s.pointee.x87
    let unprotected = !s.pointee.protectedMode
    let instruction = unprotected ? UInt64(x.lastInstructionSelector) &<< 4 &+ x.lastInstruction : x.lastInstruction
    let operand = unprotected ? UInt64(x.lastOperandSelector) &<< 4 &+ x.lastOperand : x.lastOperand
    if i.operandSize == 2 {
      let words: InlineArray<7, UInt16> = [
        x.controlWord, x87StatusWord, x87TagWord, UInt16(truncatingIfNeeded: instruction),
        unprotected ? UInt16(truncatingIfNeeded: instruction &>> 4) & 0xF000 | x.lastOpcode : x.lastInstructionSelector,
        UInt16(truncatingIfNeeded: operand),
        unprotected ? UInt16(truncatingIfNeeded: operand &>> 4) & 0xF000 : x.lastOperandSelector,
      ]
      for k in 0..<7 { try store16(i.segment, offsetWithin(i, offset, UInt64(k) &* 2), words[k]) }
      return
    }
    let opcode = UInt32(x.lastOpcode) &<< 16
    let words: InlineArray<7, UInt32> = [
      0xFFFF_0000 | UInt32(x.controlWord), 0xFFFF_0000 | UInt32(x87StatusWord), 0xFFFF_0000 | UInt32(x87TagWord),
      unprotected ? 0xFFFF_0000 | UInt32(truncatingIfNeeded: instruction) & 0xFFFF : UInt32(truncatingIfNeeded: instruction),
      unprotected ? (UInt32(truncatingIfNeeded: instruction) & 0xFFFF_0000) &>> 4 | UInt32(x.lastOpcode)
        : opcode | UInt32(x.lastInstructionSelector),
      unprotected ? 0xFFFF_0000 | UInt32(truncatingIfNeeded: operand) & 0xFFFF : UInt32(truncatingIfNeeded: operand),
      unprotected ? (UInt32(truncatingIfNeeded: operand) & 0xFFFF_0000) &>> 4 : 0xFFFF_0000 | UInt32(x.lastOperandSelector),
    ]
    for k in 0..<7 { try store32(i.segment, offsetWithin(i, offset, UInt64(k) &* 4), words[k]) }
  }

  private func loadEnvironment(_ i: borrowing Instruction, _ offset: UInt64) throws(Fault) {
    var words: InlineArray<7, UInt32> = [0, 0, 0, 0, 0, 0, 0]
    let narrow = i.operandSize == 2
    for k in 0..<7 {
      words[k] = narrow ? UInt32(try load16(i.segment, offsetWithin(i, offset, UInt64(k) &* 2)))
        : try load32(i.segment, offsetWithin(i, offset, UInt64(k) &* 4))
    }
    s.pointee.x87.controlWord = UInt16(truncatingIfNeeded: words[0]) & 0x1F7F | 0x40
    let status = UInt16(truncatingIfNeeded: words[1])
    s.pointee.x87.statusWord = status & ~0x3800
    s.pointee.x87.top = UInt8(truncatingIfNeeded: status &>> 11) & 7
    setX87TagWord(UInt16(truncatingIfNeeded: words[2]))
    if s.pointee.protectedMode {
      s.pointee.x87.lastInstruction = UInt64(words[3])
      s.pointee.x87.lastInstructionSelector = UInt16(truncatingIfNeeded: words[4])
      if !narrow { s.pointee.x87.lastOpcode = UInt16(truncatingIfNeeded: words[4] &>> 16) & 0x7FF }
      s.pointee.x87.lastOperand = UInt64(words[5])
      s.pointee.x87.lastOperandSelector = UInt16(truncatingIfNeeded: words[6])
    } else {
      // Linear addresses of 20 or 32 bits, kept as offsets in a segment at 0.
      let high: UInt64 = narrow ? 0xF000 : 0x0FFF_F000
      s.pointee.x87.lastInstruction = UInt64(words[3] & 0xFFFF) | (UInt64(words[4]) & high) &<< 4
      s.pointee.x87.lastInstructionSelector = 0
      s.pointee.x87.lastOpcode = UInt16(truncatingIfNeeded: words[4]) & 0x7FF
      s.pointee.x87.lastOperand = UInt64(words[5] & 0xFFFF) | (UInt64(words[6]) & high) &<< 4
      s.pointee.x87.lastOperandSelector = 0
    }
    updateErrorSummary()
  }

  func FNSTENV(_ i: borrowing Instruction) throws(Fault) {
    try checkX87Present()
    let offset = effectiveOffset(i)
    try checkWrite(i.segment, offset, size: Int(environmentSize(i)))
    try storeEnvironment(i, offset)
    // All exceptions are masked afterwards.
    s.pointee.x87.controlWord |= 0x3F
    updateErrorSummary()
  }

  func FLDENV(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    let offset = effectiveOffset(i)
    try checkRead(i.segment, offset, size: Int(environmentSize(i)))
    try loadEnvironment(i, offset)
  }

  func FNSAVE(_ i: borrowing Instruction) throws(Fault) {
    try checkX87Present()
    let offset = effectiveOffset(i), size = environmentSize(i)
    try checkWrite(i.segment, offset, size: Int(size) + 80)
    try storeEnvironment(i, offset)
    for n in 0..<8 as Range<UInt8> {
      let at = offsetWithin(i, offset, size &+ UInt64(n) &* 10)
      try store64(i.segment, at, st(n).pointee.significand)
      try store16(i.segment, offsetWithin(i, at, 8), st(n).pointee.signExponent)
    }
    initialiseX87Unit()
  }

  func FRSTOR(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    let offset = effectiveOffset(i), size = environmentSize(i)
    try checkRead(i.segment, offset, size: Int(size) + 80)
    try loadEnvironment(i, offset)
    for n in 0..<8 as Range<UInt8> {
      let at = offsetWithin(i, offset, size &+ UInt64(n) &* 10)
      let significand = try load64(i.segment, at)
      st(n).pointee = Extended80(significand: significand, signExponent: try load16(i.segment, offsetWithin(i, at, 8)))
    }
  }
}
