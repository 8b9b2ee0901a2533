import X86

/// Instruction to assembly text.
///
/// Intel syntax is written as Zydis writes it, AT&T syntax as GNU objdump does (without symbols).
/// Prefixes that mean nothing to an instruction are left out. An instruction that is none is `(bad)`.
public enum Disassembler {
  public enum Syntax: Sendable {
    case intel, att
  }

  /// The text of an instruction; `address` is the linear address (or offset) of its first byte and decides
  /// branch targets and RIP-relative addresses.
  public static func text(of instruction: Instruction, at address: UInt64, syntax: Syntax = .intel) -> String {
    switch instruction.mnemonic {
    case .invalid, .truncated, .tooLong: return "(bad)"
    default: break
    }
    switch syntax {
    case .intel:
      return IntelWriter(instruction: instruction, address: address).write()
    case .att:
      return ATTWriter(instruction: instruction, address: address).write()
    }
  }

  /// The mnemonic of an instruction in lower case, as Intel syntax writes it.
  public static func name(of instruction: Instruction) -> String {
    IntelWriter(instruction: instruction, address: 0).name
  }
}

/// Names of registers.
enum RegisterName {
  private static let byte = [
    "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b",
    "r15b", "ah", "ch", "dh", "bh",
  ]
  private static let word = [
    "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w",
  ]
  private static let doubleword = [
    "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d",
    "r15d",
  ]
  private static let quadword = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
  ]
  private static let segments = ["es", "cs", "ss", "ds", "fs", "gs"]

  static func general(_ number: UInt8, _ size: UInt8) -> String {
    switch size {
    case 1: byte[Int(min(number, 19))]
    case 2: word[Int(number & 15)]
    case 4: doubleword[Int(number & 15)]
    default: quadword[Int(number & 15)]
    }
  }

  static func segment(_ segment: SegmentRegister) -> String { segments[Int(segment.rawValue)] }

  /// The name of a register operand; nil if the operand is none.
  static func of(_ operand: Operand) -> String? {
    switch operand.kind {
    case .general: general(operand.register, operand.size)
    case .segment: segments[Int(min(operand.register, 5))]
    case .control: "cr\(operand.register)"
    case .debug: "dr\(operand.register)"
    case .mmx: "mm\(operand.register)"
    case .vector: (operand.size == 32 ? "ymm" : "xmm") + "\(operand.register)"
    default: nil
    }
  }
}

extension Instruction {
  /// The explicit operands in Intel order.
  var operands: [Operand] { Array([op0, op1, op2, op3].prefix(Int(operandCount))) }

  /// Target of a near branch, cut to the operand size (SDM vol. 2A, JMP).
  func branchTarget(at address: UInt64) -> UInt64 {
    Self.truncate(address &+ UInt64(length) &+ immediate, operandSize)
  }

  /// Address of a RIP-relative operand.
  func ripRelativeAddress(at address: UInt64) -> UInt64 {
    Self.truncate(address &+ UInt64(length) &+ UInt64(bitPattern: displacement), addressSize)
  }

  static func truncate(_ value: UInt64, _ size: UInt8) -> UInt64 {
    size >= 8 ? value : value & (1 &<< (UInt64(size) &* 8) &- 1)
  }

  /// `rep`, `repe` or `repne` where the prefix repeats a string instruction.
  var repeatName: String? {
    guard OpcodeMap.shared.attributes(row).contains(.string) else { return nil }
    if prefixes.contains(.repne) { return "repne" }
    guard prefixes.contains(.rep) else { return nil }
    switch mnemonic {
    case .CMPSB, .CMPSW, .CMPSD_STR, .CMPSQ, .SCASB, .SCASW, .SCASD, .SCASQ: return "repe"
    default: return "rep"
    }
  }

  /// ENDBR64 and ENDBR32, which are hint NOPs to a processor without CET.
  var endBranchName: String? {
    guard mnemonic == .NOP, opcode == 0x1E, prefixes.contains(.rep) else { return nil }
    return modRM == 0xFA ? "endbr64" : modRM == 0xFB ? "endbr32" : nil
  }
}

/// `value` in hexadecimal of at least `digits` digits, without 0x.
func hexadecimal(_ value: UInt64, digits: Int = 1, uppercase: Bool) -> String {
  let text = String(value, radix: 16, uppercase: uppercase)
  return text.count >= digits ? text : String(repeating: "0", count: digits - text.count) + text
}
