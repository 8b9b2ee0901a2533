import HostOracle
import X86
import X86Decoder

/// Gives a case its registers and memory: first anything, then what makes its instructions' operands lie somewhere.
struct HostStateMaker {
  private let c: CasePointer
  private let s: StatePointer
  private let program: HostProgram
  private let values: HostValues
  private var r: FuzzRandom
  private let is32: Bool
  /// General registers that an operand already depends on.
  private var assigned: UInt32 = 0

  init(case c: CasePointer, program: HostProgram, values: HostValues, random: FuzzRandom) {
    self.c = c
    s = c.start
    self.program = program
    self.values = values
    r = random
    is32 = c.pointee.is32 != 0
  }

  mutating func fill() {
    c.pointee.bank = UInt8(1 + r.below(HostLayout.banks - 1))
    general()
    vectors()
    x87()
    for n in 0..<program.count { aim(n) }
    for n in 0..<program.count { special(n) }
    if is32 {
      for n in 0..<16 { s.setGPR(n, n < 8 ? s.gpr(n) & 0xFFFF_FFFF : 0) }
      s.pointee.fsBase = 0
      s.pointee.gsBase = 0
      if r.next() & 1 != 0 { (s.pointee.fs, s.pointee.gs) = (HostLayout.stack, HostLayout.stack) }
    }
  }

  // MARK: Registers

  private mutating func general() {
    for n in 0..<16 { s.setGPR(n, values.integer(&r)) }
    s.setGPR(4, HostLayout.data + UInt64(0x400 + r.below(0x180) * 8))
    let dice = r.next()
    var flags: UInt64 = 0x202 | dice & 0x8D5
    if dice >> 16 & 15 == 0 { flags |= RFLAGS.DF }
    if dice >> 20 & 63 == 0 { flags |= RFLAGS.NT }
    if dice >> 26 & 127 == 0 { flags |= RFLAGS.AC }
    if dice >> 33 & 15 == 0 { flags |= RFLAGS.ID }
    s.pointee.rflags = flags
    if dice >> 40 & 3 == 0 {
      s.pointee.fsBase = [0x1000, 0x10_0000, 0x7FFF_FFFF_F000, 0xFFFF_8000_0000_0000][r.below(4)]
      s.pointee.gsBase = UInt64(r.below(0x1_0000))
    }
  }

  private mutating func vectors() {
    let dice = r.next()
    let kind: Int? = dice & 3 == 0 ? nil : Int(dice >> 8 & 7)
    for n in 0..<16 { values.vector(s, n, &r, kind: kind) }
    if dice >> 16 & 3 == 0 {
      // Rounding, masks, FTZ, DAZ and flags.
      let masks: UInt32 = dice >> 18 & 1 == 0 ? 0x1F80 : UInt32(truncatingIfNeeded: dice >> 32) & 0x1F80
      s.mxcsr = masks | UInt32(truncatingIfNeeded: dice >> 32) & (dice >> 20 & 3 == 0 ? 0xE07F : 0xE000)
    }
  }

  private mutating func x87() {
    let dice = r.next()
    let uses = (0..<program.count).contains { n in
      switch OpcodeMap.shared.feature(program.instructions[n].row) {
      case .fpu, .i387, .mmx, .fxsr, .p6, .cmov, .sse, .sse2, .sse3, .ssse3: true
      default: false
      }
    }
    if !uses, dice & 7 != 0 { return }
    let control: UInt16
    switch dice >> 8 & 7 {
    case 0..<4: control = 0x37F
    case 4, 5: control = 0x7F | UInt16(truncatingIfNeeded: dice >> 16) & 0xF00
    default: control = 0x40 | UInt16(truncatingIfNeeded: dice >> 16) & 0x1F3F
    }
    s.controlWord = control
    // C0–C3, TOP and, now and then, flags.
    var status = UInt16(truncatingIfNeeded: dice >> 32) & 0x7F00
    if dice >> 11 & 3 == 0 { status |= UInt16(truncatingIfNeeded: dice >> 48) & 0x7F }
    if status & ~control & 0x3F != 0 {
      // An exception that is pending stops the next instruction: only some cases are for that.
      if dice >> 13 & 7 == 0 { status |= 0x8080 } else { status &= ~(~control & 0x3F) }
    }
    s.statusWord = status
    s.tags = dice >> 55 & 3 == 0 ? UInt8(truncatingIfNeeded: r.next()) : 0xFF
    for n in 0..<8 {
      let (significand, exponent) = values.float80(&r)
      s.setST(n, significand, exponent)
    }
  }

  // MARK: Operands

  /// An address for an operand of `size` bytes: mostly in the data, sometimes over an edge of it or out of it.
  private mutating func target(size: Int, alignment: UInt64) -> UInt64 {
    let dice = r.next()
    let edge = UInt64(r.below(max(size, 2) + 1))
    let length = UInt64(size)
    switch dice & 63 {
    case 0: return HostLayout.data + 0x1000 - edge
    case 1: return HostLayout.data - edge
    case 2: return HostLayout.readOnly - edge
    case 3: return HostLayout.readOnly + UInt64(r.below(0xF00)) & ~(alignment - 1)
    case 4: return HostLayout.readOnly + HostLayout.readOnlySize - edge
    case 5:
      if is32 { return [0, 0xFFFF_FFFF, 0xFFFF_FFFC, 0x8000_0000, 0x1_0000, HostLayout.data &- 0x800, 0x7FFF_FFFF][r.below(7)] }
      return [0, ~0, 0xFFFF_FFFF_FFFF_FFF8, 0x8000_0000_0000, 0x7FFF_FFFF_FFFF - edge, 0xFFFF_8000_0000_0000 &- edge, 0xFFFF_8000_0000_1000, HostLayout.data - 0x800][r.below(8)]
    default:
      let room = HostLayout.dataSize - min(length, HostLayout.dataSize)
      var at = dice >> 8 & 0x1FFF
      if at > room { at = dice >> 24 & 0xFF }
      // Mostly aligned; what need not be, half of the time.
      let isLarge = alignment >= 16
      if isLarge ? dice >> 32 & 15 != 0 : dice >> 32 & 1 == 0 { at &= ~(alignment - 1) }
      return HostLayout.data + at
    }
  }

  /// A value for a register that nothing depends on yet.
  private mutating func assign(_ n: UInt8, _ value: UInt64) {
    let bit: UInt32 = 1 << UInt32(n & 15)
    if assigned & bit != 0 { return }
    assigned |= bit
    s.setGPR(Int(n & 15), value)
  }

  private func isAssigned(_ n: UInt8) -> Bool { assigned >> UInt32(n & 15) & 1 != 0 }

  /// Writes the displacement that ends `behind` bytes before the end of instruction `n`.
  private func setDisplacement(_ n: Int, _ value: UInt32, offset: Int) {
    for k in 0..<4 { c.code[offset + k] = UInt8(truncatingIfNeeded: value >> UInt32(k * 8)) }
    // The decoded instruction follows.
    program.instructions[n].displacement = Int64(Int32(bitPattern: value))
  }

  /// Offset in the code of a 32-bit displacement behind ModRM and SIB, or nil.
  private func displacementOffset(_ n: Int) -> Int? {
    let i = program.instructions[n], start = program.offset(n), length = Int(i.length)
    guard i.addressSize != 2, i.modRM < 0xC0 else { return nil }
    let mod = i.modRM >> 6
    // ModRM is found from behind the opcode: the first place whose bytes fit, and behind a VEX prefix the place where it must be.
    var first = start + 1
    if i.prefixes.contains(.vex) {
      var vex = start
      while c.code[vex] & 0xFE != 0xC4 { vex += 1 }
      first = vex + (c.code[vex] == 0xC4 ? 4 : 3)
    }
    for at in first..<start + length where c.code[at] == i.modRM && c.code[at - 1] == i.opcode {
      let sib = i.modRM & 7 == 4 ? 1 : 0
      let isWide = mod == 2 || (mod == 0 && (i.modRM & 7 == 5 || (sib == 1 && at + 1 < start + length && c.code[at + 1] & 7 == 5)))
      return isWide && at + 1 + sib + 4 <= start + length ? at + 1 + sib : nil
    }
    return nil
  }

  private mutating func aim(_ n: Int) {
    let i = program.instructions + n
    let attributes = OpcodeMap.shared.attributes(i.pointee.row)
    if i.pointee.op0.kind == .memory || i.pointee.op1.kind == .memory || i.pointee.op2.kind == .memory { aimOperand(n, attributes) }
    if attributes.contains(.string) { aimString(i) }
    if attributes.contains(.stack), r.below(12) == 0 { assign(4, target(size: Int(i.pointee.operandSize), alignment: 8)) }
    switch i.pointee.mnemonic {
    case .XLAT:
      if r.chance(80) { s.setGPR(0, s.gpr(0) & ~0xFF | UInt64(r.byte())) }
      assign(3, target(size: 1, alignment: 1) &- s.gpr(0) & 0xFF)
    case .MASKMOVQ: assign(7, target(size: 8, alignment: 8))
    case .MASKMOVDQU, .VMASKMOVDQU: assign(7, target(size: 16, alignment: 16))
    case .DIV, .IDIV:
      // Quotients that fit, mostly.
      if r.chance(25) { break }
      let isNegative = s.gpr(0) >> UInt64(i.pointee.operandSize * 8 - 1) & 1 != 0
      if i.pointee.op0.size == 1 {
        if !isAssigned(0) { s.setGPR(0, s.gpr(0) & ~0xFF80 | (r.chance(50) ? 0 : UInt64(r.below(16)) << 8)) }
      } else if !isAssigned(2) {
        s.setGPR(2, i.pointee.mnemonic == .IDIV && isNegative ? ~0 : r.chance(60) ? 0 : UInt64(r.below(100)))
      }
    case .LOOP, .LOOPE, .LOOPNE, .JCXZ, .JECXZ, .JRCXZ: if r.chance(70) { assign(1, UInt64(r.below(3))) }
    case .ENTER, .LEAVE: if r.chance(80) { assign(5, target(size: 64, alignment: 8)) }
    default: break
    }
  }

  private mutating func aimString(_ i: UnsafeMutablePointer<Instruction>) {
    let size = max(1, Int(i.pointee.operandSize))
    let mask: UInt64 = i.pointee.addressSize == 4 ? 0xFFFF_FFFF : ~0
    assign(6, (target(size: size, alignment: UInt64(size)) &- HostOperands.segmentBase(i, s)) & mask)
    assign(7, target(size: size, alignment: UInt64(size)) & mask)
    if !i.pointee.prefixes.isDisjoint(with: [.rep, .repne]) {
      assign(1, r.chance(90) ? UInt64(r.below(r.chance(80) ? 12 : 300)) : values.integer(&r) & 0xFFFF)
    }
  }

  private mutating func aimOperand(_ n: Int, _ attributes: RowAttributes) {
    let i = program.instructions + n
    let size = HostOperands.memorySize(i)
    var goal = target(size: size, alignment: HostOperands.alignment(i)) &- (is32 ? 0 : HostOperands.segmentBase(i, s))
    // BT and its kind reach beyond the operand by the bit's number.
    if [.BT, .BTS, .BTR, .BTC].contains(i.pointee.mnemonic), i.pointee.op1.kind == .general, r.chance(90) {
      assign(i.pointee.op1.register, UInt64(bitPattern: Int64(r.below(2048) - 1024)))
    }
    if i.pointee.base == instructionPointerBase {
      guard let offset = displacementOffset(n) else { return }
      let next = s.pointee.rip &+ UInt64(program.offset(n) + Int(i.pointee.length))
      setDisplacement(n, UInt32(truncatingIfNeeded: goal &- next), offset: offset)
      return
    }
    if i.pointee.index != noRegister {
      if attributes.contains(.vectorIndex) {
        // Small elements, of the doublewords or quadwords that the index has.
        let wide = [.VGATHERQPD, .VGATHERQPS, .VPGATHERQD, .VPGATHERQQ].contains(i.pointee.mnemonic)
        for lane in 0..<4 {
          let a = UInt64(r.below(200)), b = UInt64(r.below(200))
          s.setYMM(Int(i.pointee.index & 15), lane, wide ? a : a | b << 32)
        }
        goal = target(size: 1024, alignment: 4) &- (is32 ? 0 : HostOperands.segmentBase(i, s))
      } else if i.pointee.index != i.pointee.base {
        assign(i.pointee.index, r.chance(80) ? UInt64(bitPattern: Int64(r.below(64) - 32)) : values.integer(&r))
      }
    }
    var rest = goal &- UInt64(bitPattern: i.pointee.displacement)
    if i.pointee.index != noRegister, !attributes.contains(.vectorIndex) { rest &-= s.gpr(Int(i.pointee.index & 15)) << UInt64(i.pointee.scale) }
    if i.pointee.base == noRegister {
      if [0xA0, 0xA1, 0xA2, 0xA3].contains(i.pointee.opcode), i.pointee.modRM == 0, i.pointee.addressSize != 2 {
        let bytes = Int(i.pointee.addressSize), at = program.offset(n) + Int(i.pointee.length) - bytes
        for k in 0..<bytes { c.code[at + k] = UInt8(truncatingIfNeeded: goal >> UInt64(k * 8)) }
        i.pointee.displacement = Int64(bitPattern: bytes == 4 ? goal & 0xFFFF_FFFF : goal)
      } else if let offset = displacementOffset(n) {
        setDisplacement(n, UInt32(truncatingIfNeeded: rest &+ UInt64(bitPattern: i.pointee.displacement)), offset: offset)
      }
      return
    }
    if i.pointee.addressSize == 4, !is32 { rest = rest & 0xFFFF_FFFF | (r.chance(50) ? r.next() << 32 : 0) }
    if !isAssigned(i.pointee.base), i.pointee.base != i.pointee.index {
      assign(i.pointee.base, rest)
    } else if let offset = displacementOffset(n) {
      setDisplacement(n, UInt32(truncatingIfNeeded: rest &+ UInt64(bitPattern: i.pointee.displacement) &- s.gpr(Int(i.pointee.base & 15))), offset: offset)
    }
  }

  // MARK: Operands with a meaning

  private var endPointer: (offset: UInt64, selector: UInt64) {
    mutating get {
      switch r.below(10) {
      case 0..<6: return (HostLayout.end64, 0x33)
      case 6, 7: return (HostLayout.end32, 0x23)
      case 8: return r.chance(50) ? (HostLayout.end32, 0x20) : (HostLayout.end64, [0, 3, 0x2B, 0x10, 0x18, 0x43, 0x63, 0x8B, 0x30][r.below(9)])
      default: return (r.next() & 0xFFFF_FFFF, r.next() & 0xFFFF)
      }
    }
  }

  private mutating func selector() -> UInt64 {
    [0, 1, 3, 0x2B, 0x2B, 0x2B, 0x28, 0x23, 0x33, 0x10, 0x18, 0x40, 0x53, 0x63, 0x8B, 0x2F, r.next() & 0xFF87][r.below(17)]
  }

  /// A place in the code to go on at: behind a later instruction, or in the INT3s before it.
  private mutating func destination(after n: Int) -> UInt64 {
    if r.below(16) == 0 { return HostLayout.code + UInt64(max(0, Int(c.pointee.codeOffset) - 1 - r.below(40))) }
    let later = n + 1 + r.below(program.count - n)
    return s.pointee.rip + UInt64(later < program.count ? program.offset(later) : c.length)
  }

  private mutating func special(_ n: Int) {
    let i = program.instructions + n
    let size = Int(i.pointee.operandSize)
    let stack = s.gpr(4)
    let memory = i.pointee.hasMemoryOperand ? HostOperands.address(i, offset: program.offset(n), s, rip: s.pointee.rip, is32: is32) : 0
    switch i.pointee.mnemonic {
    case .XRSTOR, .XRSTORS: xsaveImage(memory)
    case .FXRSTOR: if r.chance(85) { c.addPatch(memory &+ 24, [UInt64(UInt32(truncatingIfNeeded: r.next()) & 0xFFBF)], size: 4) }
    case .LDMXCSR, .VLDMXCSR: if r.chance(90) { c.addPatch(memory, [r.next() & 0xFFFF], size: 4) }
    case .FLDCW: c.addPatch(memory, [r.next() & 0x1F7F | 0x40], size: 2)
    case .XSETBV, .XGETBV: s.setGPR(1, UInt64(r.below(3)))
    case .XSAVE, .XSAVEC, .XSAVEOPT, .XSAVES:
      // Only components that both sides have.
      s.setGPR(0, r.next() & 7)
      s.setGPR(2, 0)
    case .RET where r.chance(90): c.addPatch(stack, [destination(after: n)], size: is32 ? 4 : 8)
    case .RET_FAR where r.chance(90):
      let (offset, selector) = endPointer
      c.addPatch(stack, [offset, selector], size: size)
    case .IRET where r.chance(90): interruptFrame(stack, size)
    case .POPF: c.addPatch(stack, [r.next() & (r.chance(85) ? 0x24_CED5 : 0x3F_FFFF)], size: size)
    case .JMP, .CALL:
      if i.pointee.op0.kind == .memory {
        c.addPatch(memory, [destination(after: n)], size: size)
      } else if i.pointee.op0.kind == .general {
        assign(i.pointee.op0.register, destination(after: n))
      }
    case .JMP_FAR, .CALL_FAR:
      let (offset, selector) = endPointer
      if i.pointee.op0.kind == .memory {
        c.addPatch(memory, [offset], size: size)
        c.addPatch(memory &+ UInt64(size), [selector], size: 2)
      } else {
        let at = program.offset(n) + Int(i.pointee.length) - 2 - size
        for k in 0..<size { c.code[at + k] = UInt8(truncatingIfNeeded: offset >> UInt64(k * 8)) }
        for k in 0..<2 { c.code[at + size + k] = UInt8(truncatingIfNeeded: selector >> UInt64(k * 8)) }
      }
    case .LDS, .LES, .LFS, .LGS, .LSS: c.addPatch(memory &+ UInt64(size), [selector()], size: 2)
    case .MOV where i.pointee.op0.kind == .segment, .POP where i.pointee.op0.kind == .segment, .LAR, .LSL, .VERR, .VERW:
      let value = selector()
      if i.pointee.mnemonic == .POP {
        c.addPatch(stack, [value], size: 2)
      } else if i.pointee.hasMemoryOperand {
        c.addPatch(memory, [value], size: 2)
      } else {
        let source = i.pointee.mnemonic == .VERR || i.pointee.mnemonic == .VERW ? i.pointee.op0 : i.pointee.op1
        assign(source.register, value | r.next() << 16)
      }
    case .BOUND: if r.chance(60) { c.addPatch(memory, [0 &- UInt64(r.below(100)), UInt64(r.below(100)) << UInt64(r.below(24))], size: size) }
    case .WRFSBASE, .WRGSBASE: if r.chance(50) { assign(i.pointee.op0.register, r.next() & 0x7FFF_FFFF_FFFF) }
    case .CMPXCHG where !i.pointee.hasMemoryOperand && r.chance(50):
      if !isAssigned(0), i.pointee.op0.register < 16 { s.setGPR(0, s.gpr(Int(i.pointee.op0.register))) }
    default: break
    }
    if i.pointee.op0.kind == .relative { branch(n) }
  }

  /// Points a relative branch at a place ahead.
  private mutating func branch(_ n: Int) {
    let i = program.instructions + n
    if r.below(24) == 0 {
      // Anywhere, but not into a loop.
      if i.pointee.immediate >> 63 == 0, i.pointee.immediate > 64 { return }
    }
    let next = s.pointee.rip &+ UInt64(program.offset(n) + Int(i.pointee.length))
    let distance = destination(after: n) &- next
    let isNear = !(0x70...0x7F ~= i.pointee.opcode || 0xE0...0xE3 ~= i.pointee.opcode || i.pointee.opcode == 0xEB)
    let bytes = !isNear ? 1 : is32 && size16(i) ? 2 : 4
    let at = program.offset(n) + Int(i.pointee.length) - bytes
    for k in 0..<bytes { c.code[at + k] = UInt8(truncatingIfNeeded: distance >> UInt64(k * 8)) }
  }

  private func size16(_ i: UnsafeMutablePointer<Instruction>) -> Bool { i.pointee.prefixes.contains(.operandSize) }

  private mutating func interruptFrame(_ stack: UInt64, _ size: Int) {
    let (offset, selector) = endPointer
    let flags = r.next() & (r.chance(80) ? 0x20_4CD5 : 0x24_CED5) | 0x202
    c.addPatch(stack, [offset, selector, flags, HostLayout.data + UInt64(r.below(0x1000)), r.chance(90) ? 0x2B : r.next() & 0xFFFF], size: size)
  }

  /// Header and MXCSR of an XSAVE image, mostly acceptable.
  private mutating func xsaveImage(_ at: UInt64) {
    s.setGPR(0, r.next() & 7)
    s.setGPR(2, 0)
    c.addPatch(at &+ 24, [r.next() & (r.chance(90) ? 0xFFBF : 0xFFFF_FFFF)], size: 4)
    let compacted = r.chance(30)
    var header: [UInt64] = [r.next() & 7, compacted ? 1 << 63 | r.next() & 7 : 0, 0, 0, 0, 0, 0, 0]
    if compacted, r.chance(85) { header[0] &= header[1] }
    if r.below(10) == 0 { header[r.below(8)] ^= 1 << UInt64(r.below(64)) }
    c.addPatch(at &+ 512, header)
  }
}
