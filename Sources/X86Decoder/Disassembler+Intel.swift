import X86

/// Intel syntax, as Zydis' formatter writes it.
struct IntelWriter {
  let instruction: Instruction
  let address: UInt64

  func write() -> String {
    if let name = instruction.endBranchName { return name }
    var text = ""
    if instruction.prefixes.contains(.lock) { text += "lock " }
    if let name = instruction.repeatName { text += name + " " }
    text += name
    let operands = instruction.operands
    for (index, operand) in operands.enumerated() {
      text += index == 0 ? " " : ", "
      text += self.text(operand, of: operands)
    }
    return text
  }

  /// The mnemonic, with the operand size where the name tells it.
  var name: String {
    let size = instruction.operandSize
    let isLong = instruction.prefixes.contains(.rexW)
    switch instruction.mnemonic {
    case .IRET: return size == 8 ? "iretq" : size == 4 ? "iretd" : "iret"
    case .PUSHF: return size == 8 ? "pushfq" : size == 4 ? "pushfd" : "pushf"
    case .POPF: return size == 8 ? "popfq" : size == 4 ? "popfd" : "popf"
    case .PUSHA: return size == 4 ? "pushad" : "pusha"
    case .POPA: return size == 4 ? "popad" : "popa"
    case .CALL_FAR: return "call far"
    case .JMP_FAR: return "jmp far"
    case .RET_FAR: return "ret far"
    case .MOVSD_STR: return "movsd"
    case .CMPSD_STR: return "cmpsd"
    case .FXSAVE, .FXRSTOR, .XSAVE, .XRSTOR, .XSAVEOPT, .XSAVEC, .XSAVES, .XRSTORS:
      return "\(instruction.mnemonic)".lowercased() + (isLong ? "64" : "")
    default: return "\(instruction.mnemonic)".lowercased()
    }
  }

  private func text(_ operand: Operand, of operands: [Operand]) -> String {
    if let register = RegisterName.of(operand) { return register }
    switch operand.kind {
    case .x87: return "st\(operand.register)"
    case .memory: return memory(operand, of: operands)
    case .immediate:
      return "0x" + hexadecimal(Instruction.truncate(instruction.immediate, operand.size), digits: 2, uppercase: true)
    case .immediate2: return "0x" + hexadecimal(UInt64(instruction.immediate2), digits: 2, uppercase: true)
    case .one: return "0x01"
    case .relative:
      return "0x"
        + hexadecimal(
          instruction.branchTarget(at: address), digits: Int(instruction.operandSize) * 2, uppercase: true)
    case .farPointer:
      return "0x" + hexadecimal(UInt64(instruction.immediate2), digits: 4, uppercase: true) + ":0x"
        + hexadecimal(instruction.immediate, digits: Int(instruction.operandSize) * 2, uppercase: true)
    default: return ""
    }
  }

  private func memory(_ operand: Operand, of operands: [Operand]) -> String {
    var text = ""
    if needsWidth(operand, of: operands) { text += Self.widthName(operand.size) }
    if instruction.prefixes.contains(.segmentOverride) { text += RegisterName.segment(instruction.segment) + ":" }
    text += "["
    let displacement = instruction.displacement
    if instruction.base == noRegister, instruction.index == noRegister {
      let value = Instruction.truncate(UInt64(bitPattern: displacement), instruction.addressSize)
      text += "0x" + hexadecimal(value, digits: Int(instruction.addressSize) * 2, uppercase: true)
    } else if instruction.base == instructionPointerBase {
      text += "0x"
      text += hexadecimal(
        instruction.ripRelativeAddress(at: address), digits: Int(instruction.addressSize) * 2, uppercase: true)
    } else {
      if instruction.base != noRegister { text += RegisterName.general(instruction.base, instruction.addressSize) }
      if instruction.index != noRegister {
        if instruction.base != noRegister { text += "+" }
        if instruction.hasVectorIndex {
          text += (instruction.vectorIndexSize == 32 ? "ymm" : "xmm") + "\(instruction.index)"
        } else {
          text += RegisterName.general(instruction.index, instruction.addressSize)
        }
        if instruction.addressSize != 2 { text += "*\(1 << instruction.scale)" }
      }
      if displacement != 0 {
        text += displacement < 0 ? "-0x" : "+0x"
        text += hexadecimal(displacement.magnitude, digits: 2, uppercase: true)
      }
    }
    return text + "]"
  }

  private static func widthName(_ size: UInt8) -> String {
    switch size {
    case 1: "byte ptr "
    case 2: "word ptr "
    case 4: "dword ptr "
    case 6: "fword ptr "
    case 8: "qword ptr "
    case 10: "tbyte ptr "
    case 16: "xmmword ptr "
    case 32: "ymmword ptr "
    default: ""
    }
  }

  /// A width is written unless a register beside the memory has the same one. (Zydis leaves it out in a few
  /// more places: PUSH, POP, near branches, x87.)
  private func needsWidth(_ operand: Operand, of operands: [Operand]) -> Bool {
    for other in operands {
      switch other.kind {
      case .general:
        // The count of a shift says nothing about what is shifted.
        if other.size == operand.size, !instruction.isShiftByCL { return false }
      case .vector:
        if max(other.size, 16) == operand.size { return false }
      case .mmx, .segment:
        if other.size == operand.size { return false }
      default: break
      }
    }
    return true
  }
}

extension Instruction {
  var hasVectorIndex: Bool { OpcodeMap.shared.attributes(row).contains(.vectorIndex) }

  /// Width in bytes of the index register of a gather.
  var vectorIndexSize: UInt8 { OpcodeMap.shared.vectorIndexIsHalf(row) ? vectorLength / 2 : vectorLength }

  /// D2 and D3: the count is CL.
  var isShiftByCL: Bool { opcode & 0xFE == 0xD2 && operandCount == 2 && op1 == Operand(kind: .general, register: 1, size: 1) }
}
