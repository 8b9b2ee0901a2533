/// Where the processor of a test set and a 386 or later legitimately differ: a rule for each difference, never a list of tests.
public struct MOORule: Sendable {
  public enum Effect: Sendable, Equatable {
    /// The test says nothing about a 386: it is not run.
    case skip
    /// #SS must come where the test has #GP; all else is compared.
    case stackFault
    /// Bits of registers that are not compared.
    case ignore(_ registers: [MOORegister], flags: UInt32 = 0)
    /// Bits 12-15 of the word of FLAGS on the stack are not compared.
    case storedFlags
    /// Of a fault, the vector and the return address are compared, and no register but CS:IP.
    case faultOnly

    var name: String {
      switch self {
      case .skip: "skipped"
      case .stackFault: "compared with #SS for #GP"
      case .ignore(let registers, let flags):
        "compared without " + (registers.map { $0.name(wide: false) } + (flags == 0 ? [] : [FlagNames.text(flags)])).joined(separator: ", ")
      case .storedFlags: "compared without bits 12-15 of FLAGS on the stack"
      case .faultOnly: "compared by vector and return address"
      }
    }
  }

  public let id: String
  public let reason: String
  public let processor: MOOProcessor
  public let effect: Effect
  public let applies: @Sendable (borrowing MOOCase) -> Bool

  init(
    _ id: String, _ processor: MOOProcessor, _ effect: Effect, _ reason: String, _ applies: @escaping @Sendable (borrowing MOOCase) -> Bool
  ) {
    self.id = id
    self.processor = processor
    self.effect = effect
    self.reason = reason
    self.applies = applies
  }

  static func all(for processor: MOOProcessor) -> [MOORule] { all.filter { $0.processor == processor } }

  /// In the order they are asked; the first that skips decides.
  public static let all: [MOORule] = i8086 + i80286 + i80386

  // MARK: 8086

  private static let i8086: [MOORule] = [
    MOORule("8086-aliases", .i8086, .skip, "60-6F, C0, C1, C8, C9 repeat other opcodes and 0F is POP CS; later processors gave them new meanings") { c in
      switch c.opcode {
      case 0x0F, 0x60...0x6F, 0xC0, 0xC1, 0xC8, 0xC9: true
      default: false
      }
    },
    MOORule("8086-lock", .i8086, .skip, "F0 and F1 lock any instruction; a 386 raises #UD for most, and F1 is no prefix") {
      $0.prefixes.contains(0xF0) || $0.prefixes.contains(0xF1)
    },
    MOORule("8086-coprocessor", .i8086, .skip, "D8-DF and 9B only show the coprocessor's bus cycles") { 0xD8...0xDF ~= $0.opcode || $0.opcode == 0x9B },
    MOORule("8086-undefined-reg", .i8086, .skip, "encodings with a reg field that a 386 refuses (8C, 8E above 3; C6, C7, 8F not 0; D0-D3 /6; FE above 1; FF /7)") { c in
      switch c.opcode {
      case 0x8C, 0x8E: c.reg > 3
      case 0x8F, 0xC6, 0xC7: c.reg != 0
      case 0xD0...0xD3: c.reg == 6
      case 0xFE: c.reg > 1
      case 0xFF: c.reg == 7 || ([3, 5].contains(c.reg) && c.modRM >= 0xC0)
      case 0x62, 0xC4, 0xC5, 0x8D: c.modRM >= 0xC0
      default: false
      }
    },
    MOORule("8086-shift-count", .i8086, .skip, "shift counts above 31 are executed in full; later processors take them modulo 32") {
      0xD2...0xD3 ~= $0.opcode && $0.initial(.ecx) & 0xFF > 31
    },
    MOORule("8086-push-sp", .i8086, .skip, "PUSH SP pushes the new value; from the 80286 on the old one") {
      $0.opcode == 0x54 || ($0.opcode == 0xFF && $0.modRM & 0xF8 == 0xF0 && $0.modRM & 7 == 4)
    },
    MOORule("8086-divide-error", .i8086, .skip, "a divide error returns behind the instruction, and quotients of -128 and -32768 are errors") { c in
      c.opcode == 0xD4 || (0xF6...0xF7 ~= c.opcode && c.reg >= 6)
    },
    MOORule("8086-decimal", .i8086, .skip, "DAA and DAS with AL 9A-9F and AF: the 8086 compares with 9F, later processors with 99") {
      ($0.opcode == 0x27 || $0.opcode == 0x2F) && 0x9A...0x9F ~= $0.al && $0.isAdjustSet
    },
    MOORule("8086-ascii", .i8086, .skip, "AAA and AAS adjust AL and AH each for itself; later processors carry from AL into AH") { c in
      let adjusts = c.al & 0xF > 9 || c.isAdjustSet
      return adjusts && ((c.opcode == 0x37 && c.al >= 0xFA) || (c.opcode == 0x3F && c.al < 6))
    },
    MOORule("8086-das-borrow", .i8086, .ignore([], flags: 1), "DAS with AL below 6: the 8086 does not set CF for the borrow of its first step") {
      $0.opcode == 0x2F && $0.al < 6 && $0.isAdjustSet && $0.initial(.eflags) & 1 == 0
    },
    MOORule("8086-flags-image", .i8086, .storedFlags, "bits 12-15 of FLAGS are stored as ones; a 386 stores IOPL and NT") { c in
      c.opcode == 0x9C || 0xCC...0xCE ~= c.opcode
    },
    MOORule("8086-segment-end", .i8086, .skip, "an access that passes offset FFFF wraps to 0; from the 80286 on it is a fault") { $0.crossesSegmentEnd },
    MOORule("8086-code-end", .i8086, .skip, "an instruction that passes offset FFFF goes on at 0; from the 80286 on it is a fault") { $0.codeCrossesSegmentEnd },
  ]

  // MARK: 80286

  private static let i80286: [MOORule] = [
    MOORule("80286-lock", .i80286, .skip, "LOCK goes before any instruction; a 386 raises #UD for most") {
      $0.prefixes.contains(0xF0) || $0.prefixes.contains(0xF1)
    },
    MOORule("80286-coprocessor", .i80286, .skip, "D8-DF and 9B depend on the coprocessor") { !$0.isTwoByte && (0xD8...0xDF ~= $0.opcode || $0.opcode == 0x9B) },
    MOORule("80286-length", .i80286, .skip, "instructions of more than 10 bytes are refused; a 386 takes 15") { $0.test.bytes.count - 1 > 10 || $0.encodedLength > 10 },
    MOORule("80286-segment-registers", .i80286, .skip, "8C and 8E with a reg field of 4 or 5 name FS and GS on a 386") {
      !$0.isTwoByte && ($0.opcode == 0x8C || $0.opcode == 0x8E) && 4...5 ~= $0.reg
    },
    MOORule("80286-stack-fault", .i80286, .stackFault, "an access beyond the limit of SS raises #GP; #SS on a 386") {
      $0.test.exception == 13 && $0.faultsInStack
    },
    MOORule("80286-string-fault", .i80286, .ignore([.esi, .edi, .ecx]), "SI, DI and CX have moved on when a string instruction faults; a 386 restarts it") {
      $0.isString && $0.test.exception == 13
    },
    MOORule("80286-partial", .i80286, .faultOnly, "PUSHA, POPA, POP m, ENTER and LEAVE have changed SP, other registers and memory when they fault; a 386 restarts them") {
      $0.test.exception == 13 && !$0.isTwoByte && [0x60, 0x61, 0x8F, 0xC8, 0xC9].contains($0.opcode)
    },
    MOORule("80286-aam-zero", .i80286, .ignore([], flags: 0xC4), "AAM 0 sets SF, ZF and PF before its divide error") {
      !$0.isTwoByte && $0.opcode == 0xD4 && $0.test.exception == 0
    },
    MOORule("80286-idiv-overflow", .i80286, .skip, "IDIV of bytes overlooks an overflow when its first partial remainder is 80H and the rest gives -128") {
      $0.losesQuotientOverflow
    },
    MOORule("80286-shift-overflow", .i80286, .ignore([], flags: 0x800), "OF is undefined behind shifts and rotates by CL or an immediate of another count than 1") { c in
      switch c.opcode {
      case 0xC0, 0xC1: !c.isTwoByte && c.instruction.immediate & 31 != 1
      case 0xD2, 0xD3: !c.isTwoByte && c.initial(.ecx) & 31 != 1
      default: false
      }
    },
  ]

  // MARK: 80386

  private static let i80386: [MOORule] = [
    MOORule("80386-mode", .i80386, .skip, "only real mode can be set up from a test: hidden parts of segment registers are not in it") { $0.mode != 0 },
    MOORule("80386-coprocessor", .i80386, .skip, "D8-DF and 9B depend on the coprocessor") { !$0.isTwoByte && (0xD8...0xDF ~= $0.opcode || $0.opcode == 0x9B) },
  ]
}

/// Names of the bits of FLAGS in messages.
enum FlagNames {
  private static let names: [(bit: UInt32, name: String)] = [
    (0, "CF"), (2, "PF"), (4, "AF"), (6, "ZF"), (7, "SF"), (8, "TF"), (9, "IF"), (10, "DF"), (11, "OF"), (12, "IOPL"), (13, "IOPL"),
    (14, "NT"), (16, "RF"), (17, "VM"),
  ]

  static func text(_ bits: UInt32) -> String {
    var found: [String] = []
    for (bit, name) in names where bits >> bit & 1 != 0 && found.last != name { found.append(name) }
    return found.joined(separator: " ")
  }
}
