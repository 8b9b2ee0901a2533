import X86

/// AT&T syntax, as GNU objdump writes it.
struct ATTWriter {
  let instruction: Instruction
  let address: UInt64

  func write() -> String {
    if let name = instruction.endBranchName { return name }
    if instruction.mnemonic == .NOP, instruction.opcode == 0x90, instruction.prefixes.contains(.operandSize) {
      let register = "%" + RegisterName.general(0, instruction.operandSize)
      return "xchg " + register + "," + register
    }
    var text = ""
    if instruction.prefixes.contains(.lock) { text += "lock " }
    text += repeatName
    var operands = self.operands
    var name = self.name
    if let predicate = comparison {
      name = predicate
      operands.removeLast()
    }
    text += name
    switch instruction.mnemonic {
    case .PBLENDVB, .BLENDVPS, .BLENDVPD, .SHA256RNDS2: text += " %xmm0,"
    default: if !operands.isEmpty { text += " " }
    }
    for position in operands.indices {
      let index = keepsIntelOrder ? position : operands.count - 1 - position
      if position > 0 { text += "," }
      text += self.text(operands[index], at: index)
    }
    text += implicitOperands
    if instruction.base == instructionPointerBase, instruction.hasMemoryOperand {
      text += "        # 0x" + hexadecimal(instruction.ripRelativeAddress(at: address), uppercase: false)
    }
    return text
  }

  // MARK: Names

  private var repeatName: String {
    if let name = instruction.repeatName {
      return name == "repe" ? "repz " : name == "repne" ? "repnz " : "rep "
    }
    return ""
  }

  /// b, w, l, q.
  private static func suffix(_ size: UInt8) -> String {
    switch size {
    case 1: "b"
    case 2: "w"
    case 4: "l"
    default: "q"
    }
  }

  /// Operands in Intel order, without those AT&T leaves out.
  private var operands: [Operand] {
    var operands = instruction.operands
    if operands.last?.kind == .one { operands.removeLast() }
    return operands
  }

  private var memoryOperand: Operand? { instruction.operands.first { $0.kind == .memory } }

  /// The predicate forms of CMPccPS and alike and of PCLMULQDQ, which name their immediate.
  private var comparison: String? {
    let predicates = [
      "eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord", "eq_uq", "nge", "ngt", "false", "neq_oq", "ge", "gt",
      "true", "eq_os", "lt_oq", "le_oq", "unord_s", "neq_us", "nlt_uq", "nle_uq", "ord_s", "eq_us", "nge_uq",
      "ngt_uq", "false_os", "neq_os", "ge_oq", "gt_oq", "true_us",
    ]
    let value = Int(truncatingIfNeeded: instruction.immediate)
    switch instruction.mnemonic {
    case .CMPPS, .CMPPD, .CMPSS, .CMPSD:
      return value < 8 ? "cmp" + predicates[value] + lowercased.dropFirst(3) : nil
    case .VCMPPS, .VCMPPD, .VCMPSS, .VCMPSD:
      return value < 32 ? "vcmp" + predicates[value] + lowercased.dropFirst(4) : nil
    case .PCLMULQDQ, .VPCLMULQDQ:
      let v = instruction.mnemonic == .VPCLMULQDQ ? "v" : ""
      switch value {
      case 0x00: return v + "pclmullqlqdq"
      case 0x01: return v + "pclmulhqlqdq"
      case 0x10: return v + "pclmullqhqdq"
      case 0x11: return v + "pclmulhqhqdq"
      default: return nil
      }
    default: return nil
    }
  }

  private var lowercased: String { "\(instruction.mnemonic)".lowercased() }

  private var name: String {
    let size = instruction.operandSize
    switch instruction.mnemonic {
    case .CBW: return "cbtw"
    case .CWDE: return "cwtl"
    case .CDQE: return "cltq"
    case .CWD: return "cwtd"
    case .CDQ: return "cltd"
    case .CQO: return "cqto"
    case .IRET: return "iret" + (size == 8 ? "q" : overrideSuffix)
    case .PUSHF, .POPF, .PUSHA, .POPA: return lowercased + overrideSuffix
    case .CALL_FAR: return "lcall" + overrideSuffix
    case .JMP_FAR: return "ljmp" + overrideSuffix
    case .RET_FAR: return "lret" + (size == 8 ? "q" : overrideSuffix)
    case .SYSRET, .SYSEXIT: return lowercased + (size == 8 ? "q" : instruction.addressSize == 8 ? "l" : "")
    case .SGDT, .SIDT, .LGDT, .LIDT:
      // Six bytes outside 64-bit code, of which a 16-bit operand size uses five.
      return lowercased + (instruction.op0.size == 6 ? Self.suffix(size) : "")
    case .FLDENV, .FNSTENV, .FRSTOR, .FNSAVE:
      return lowercased + (overrideSuffix == "w" ? "s" : overrideSuffix)
    case .MOVSX, .MOVZX: return String(lowercased.prefix(4)) + Self.suffix(instruction.op1.size) + Self.suffix(size)
    case .MOVSXD: return size == 8 ? "movslq" : "movsxd"
    case .MOV: return movName
    case .MOVSD_STR: return "movsl"
    case .CMPSD_STR: return "cmpsl"
    case .INSD: return "insl"
    case .OUTSD: return "outsl"
    case .STOSB, .STOSW, .STOSD, .STOSQ: return "stos"
    case .LODSB, .LODSW, .LODSD, .LODSQ: return "lods"
    case .SCASB, .SCASW, .SCASD, .SCASQ: return "scas"
    case .FXSAVE, .FXRSTOR, .XSAVE, .XRSTOR, .XSAVEOPT, .XSAVEC, .XSAVES, .XRSTORS:
      return lowercased + (instruction.prefixes.contains(.rexW) ? "64" : "")
    case .PUSH, .POP, .CALL, .JMP, .RET, .ENTER, .LEAVE:
      return lowercased + (instruction.op0.kind == .general ? "" : overrideSuffix)
    case .CVTSI2SD, .CVTSI2SS, .VCVTSI2SD, .VCVTSI2SS, .NOP:
      guard let memory = memoryOperand else { return lowercased }
      return lowercased + Self.suffix(memory.size)
    case .VCVTPD2PS, .VCVTPD2DQ, .VCVTTPD2DQ:
      return lowercased + (memoryOperand == nil ? "" : instruction.vectorLength == 32 ? "y" : "x")
    case .FSUB, .FSUBR, .FSUBP, .FSUBRP, .FDIV, .FDIVR, .FDIVP, .FDIVRP: return reversedName
    default: return Self.condition(instruction.mnemonic) ?? lowercased + suffix
    }
  }

  /// objdump's spelling of the conditions.
  private static func condition(_ mnemonic: Mnemonic) -> String? {
    switch mnemonic {
    case .JZ: "je"
    case .JNZ: "jne"
    case .JNB: "jae"
    case .JNBE: "ja"
    case .JNL: "jge"
    case .JNLE: "jg"
    case .SETZ: "sete"
    case .SETNZ: "setne"
    case .SETNB: "setae"
    case .SETNBE: "seta"
    case .SETNL: "setge"
    case .SETNLE: "setg"
    case .CMOVZ: "cmove"
    case .CMOVNZ: "cmovne"
    case .CMOVNB: "cmovae"
    case .CMOVNBE: "cmova"
    case .CMOVNL: "cmovge"
    case .CMOVNLE: "cmovg"
    default: nil
    }
  }

  /// AT&T assemblers have always swapped these where ST(i) is the destination (binutils, SYSV386 compatibility).
  private var reversedName: String {
    if memoryOperand != nil { return lowercased + suffix }
    guard instruction.op0.kind == .x87, instruction.opcode & 4 != 0 else { return lowercased }
    switch instruction.mnemonic {
    case .FSUB: return "fsubr"
    case .FSUBR: return "fsub"
    case .FSUBP: return "fsubrp"
    case .FSUBRP: return "fsubp"
    case .FDIV: return "fdivr"
    case .FDIVR: return "fdiv"
    case .FDIVP: return "fdivrp"
    default: return "fdivp"
    }
  }

  private var movName: String {
    if instruction.opcode & 0xFC == 0xA0, instruction.addressSize == 8 { return "movabs" }
    if instruction.opcode & 0xF8 == 0xB8, instruction.operandSize == 8 { return "movabs" }
    return "mov" + suffix
  }

  /// Stack and far instructions say their width where a prefix changes it.
  private var overrideSuffix: String {
    guard instruction.prefixes.contains(.operandSize), instruction.operandSize != 8 else { return "" }
    return Self.suffix(instruction.operandSize)
  }

  /// Widths of x87 memory operands have letters of their own.
  private func x87Suffix(_ size: UInt8) -> String {
    switch instruction.mnemonic {
    case .FLD, .FST, .FSTP, .FADD, .FMUL, .FCOM, .FCOMP, .FSUB, .FSUBR, .FDIV, .FDIVR:
      return size == 4 ? "s" : size == 8 ? "l" : "t"
    case .FILD, .FIST, .FISTP, .FISTTP, .FIADD, .FIMUL, .FICOM, .FICOMP, .FISUB, .FISUBR, .FIDIV, .FIDIVR:
      return size == 2 ? "s" : size == 4 ? "l" : "ll"
    default: return ""
    }
  }

  /// Integer instructions with a memory operand and no register beside it say their width.
  private var suffix: String {
    guard let memory = memoryOperand else { return "" }
    if 0xD8...0xDF ~= instruction.opcode, instruction.mnemonic.isX87 { return x87Suffix(memory.size) }
    switch instruction.mnemonic {
    case .ADD, .OR, .ADC, .SBB, .AND, .SUB, .XOR, .CMP, .TEST, .MOV, .INC, .DEC, .NOT, .NEG, .MUL, .IMUL, .DIV,
      .IDIV, .ROL, .ROR, .RCL, .RCR, .SHL, .SHR, .SAR, .BT, .BTS, .BTR, .BTC, .CRC32:
      let hasRegister = instruction.operands.contains { RegisterName.of($0) != nil } && !instruction.isShiftByCL
      return hasRegister && instruction.mnemonic != .CRC32 ? "" : Self.suffix(memory.size)
    default: return ""
    }
  }

  // MARK: Operands

  private var keepsIntelOrder: Bool {
    switch instruction.mnemonic {
    case .ENTER, .BOUND: true
    default: false
    }
  }

  private func text(_ operand: Operand, at index: Int) -> String {
    let isIndirect: Bool =
      switch instruction.mnemonic {
      case .CALL, .JMP, .CALL_FAR, .JMP_FAR: operand.kind == .general || operand.kind == .memory
      default: false
      }
    let star = isIndirect ? "*" : ""
    if let register = RegisterName.of(operand) {
      switch instruction.mnemonic {
      case .IN, .OUT: if operand.register == 2, operand.size == 2 { return "(%dx)" }
      case .MOV:
        // The source of a segment register is written as wide as the operand size.
        if instruction.op0.kind == .segment, index == 1 {
          return "%" + RegisterName.general(operand.register, instruction.operandSize)
        }
      default: break
      }
      return star + "%" + (operand.kind == .debug ? "db\(operand.register)" : register)
    }
    switch operand.kind {
    case .x87: return x87(operand, at: index)
    case .memory: return star + memory
    case .immediate: return "$0x" + hexadecimal(Instruction.truncate(instruction.immediate, operand.size), uppercase: false)
    case .immediate2: return "$0x" + hexadecimal(UInt64(instruction.immediate2), uppercase: false)
    case .one: return "$0x1"
    case .relative: return "0x" + hexadecimal(instruction.branchTarget(at: address), uppercase: false)
    case .farPointer:
      return "$0x" + hexadecimal(UInt64(instruction.immediate2), uppercase: false) + ",$0x"
        + hexadecimal(instruction.immediate, uppercase: false)
    default: return ""
    }
  }

  /// ST(0) where the opcode implies it is `%st`; where the instruction names it, `%st(0)`.
  private func x87(_ operand: Operand, at index: Int) -> String {
    // DC and DE have ST(i) first, the other escapes ST(0).
    let implied = instruction.opcode & 5 == 4 ? 1 : 0
    return instruction.operandCount == 2 && index == implied ? "%st" : "%st(\(operand.register))"
  }

  private var memory: String {
    var text = ""
    if instruction.prefixes.contains(.segmentOverride) { text += "%" + RegisterName.segment(instruction.segment) + ":" }
    let size = instruction.addressSize
    let displacement = instruction.displacement
    if instruction.base == noRegister, instruction.index == noRegister, !instruction.hasIdleIndex {
      return text + "0x" + hexadecimal(Instruction.truncate(UInt64(bitPattern: displacement), size), uppercase: false)
    }
    // A displacement of zero is written where the encoding has one.
    if displacement != 0 || instruction.modRM >= 0x40 || instruction.base == noRegister
      || instruction.base == instructionPointerBase
    {
      text += displacement < 0 ? "-0x" : "0x"
      text += hexadecimal(displacement.magnitude, uppercase: false)
    }
    text += "("
    if instruction.base == instructionPointerBase {
      text += size == 8 ? "%rip" : "%eip"
    } else if instruction.base != noRegister {
      text += "%" + RegisterName.general(instruction.base, size)
    }
    if instruction.index != noRegister {
      text += ",%"
      if instruction.hasVectorIndex {
        text += (instruction.vectorIndexSize == 32 ? "ymm" : "xmm") + "\(instruction.index)"
      } else {
        text += RegisterName.general(instruction.index, size)
      }
      if size != 2 { text += ",\(1 << instruction.scale)" }
    } else if instruction.hasIdleIndex {
      text += size == 8 ? ",%riz" : ",%eiz"
      text += ",\(1 << instruction.scale)"
    }
    return text + ")"
  }

  /// Operands of string instructions, which AT&T spells out.
  private var implicitOperands: String {
    let address = instruction.addressSize
    let source = "%" + RegisterName.segment(instruction.segment) + ":(%" + RegisterName.general(6, address) + ")"
    let destination = "%es:(%" + RegisterName.general(7, address) + ")"
    func accumulator(_ size: UInt8) -> String { "%" + RegisterName.general(0, size) }
    switch instruction.mnemonic {
    case .MOVSB, .MOVSW, .MOVSD_STR, .MOVSQ: return " " + source + "," + destination
    case .CMPSB, .CMPSW, .CMPSD_STR, .CMPSQ: return " " + destination + "," + source
    case .STOSB: return " " + accumulator(1) + "," + destination
    case .STOSW, .STOSD, .STOSQ: return " " + accumulator(instruction.operandSize) + "," + destination
    case .LODSB: return " " + source + "," + accumulator(1)
    case .LODSW, .LODSD, .LODSQ: return " " + source + "," + accumulator(instruction.operandSize)
    case .SCASB: return " " + destination + "," + accumulator(1)
    case .SCASW, .SCASD, .SCASQ: return " " + destination + "," + accumulator(instruction.operandSize)
    case .INSB, .INSW, .INSD: return " (%dx)," + destination
    case .OUTSB, .OUTSW, .OUTSD: return " " + source + ",(%dx)"
    case .XLAT: return " %" + RegisterName.segment(instruction.segment) + ":(%" + RegisterName.general(3, address) + ")"
    default: return ""
    }
  }
}

extension Mnemonic {
  /// Among the instructions of the escapes D8–DF.
  var isX87: Bool { rawValue >= Mnemonic.F2XM1.rawValue && rawValue <= Mnemonic.FYL2XP1.rawValue }
}

extension Instruction {
  /// A SIB byte that names no index though its base needs no SIB, or that scales the index it has not.
  var hasIdleIndex: Bool {
    guard addressSize != 2, modRM < 0xC0, modRM & 7 == 4, index == noRegister else { return false }
    if scale != 0 { return true }
    return base != noRegister && base & 7 != 4
  }
}
