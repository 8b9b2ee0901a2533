import X86

/// What a row says beyond its operands.
public struct RowAttributes: OptionSet, Sendable {
  public let rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// LOCK is allowed when the destination is memory.
  public static let lockable = RowAttributes(rawValue: 1 << 0)
  /// In 64-bit code the operand size is 64 unless 66 makes it 16.
  public static let default64 = RowAttributes(rawValue: 1 << 1)
  /// In 64-bit code the operand size is 64.
  public static let force64 = RowAttributes(rawValue: 1 << 2)
  /// Privileged: #GP(0) unless CPL is 0.
  public static let privileged = RowAttributes(rawValue: 1 << 3)
  public static let endsBlock = RowAttributes(rawValue: 1 << 4)
  /// Pushes, pops or otherwise uses the stack without naming it.
  public static let stack = RowAttributes(rawValue: 1 << 5)
  /// String instruction: memory at rSI, rDI.
  public static let string = RowAttributes(rawValue: 1 << 6)
  /// Other memory that no operand names (XLAT, MASKMOVDQU, descriptor tables).
  public static let implicitMemory = RowAttributes(rawValue: 1 << 7)
  /// Has a memory operand that is not accessed (LEA, NOP, INVLPG, PREFETCH).
  public static let noAccess = RowAttributes(rawValue: 1 << 8)
  /// Without the feature the row of `OpcodeMap.fallback` applies (LZCNT is BSR then).
  public static let fallback = RowAttributes(rawValue: 1 << 9)
  public static let invalid64 = RowAttributes(rawValue: 1 << 10)
  public static let only64 = RowAttributes(rawValue: 1 << 11)
  public static let vex = RowAttributes(rawValue: 1 << 12)
  /// Has a memory operand in at least one of its forms.
  public static let memoryOperand = RowAttributes(rawValue: 1 << 13)
  /// The index of the memory operand is a vector register.
  public static let vectorIndex = RowAttributes(rawValue: 1 << 14)

  // For the decoder alone.
  static let modIgnored = RowAttributes(rawValue: 1 << 16)
  static let notWithREXB = RowAttributes(rawValue: 1 << 17)
  /// 66 is part of the opcode.
  static let takes66 = RowAttributes(rawValue: 1 << 18)
  /// F2 or F3 is part of the opcode.
  static let takesRepeat = RowAttributes(rawValue: 1 << 19)
  /// VEX.vvvv names no operand and must be 1111.
  static let vvvvUnused = RowAttributes(rawValue: 1 << 20)
  static let lengthIgnored = RowAttributes(rawValue: 1 << 21)
}

/// Addressing method of an operand (SDM vol. 2D §A.2.1).
enum OperandLetter: UInt8 {
  case none
  case A, B, C, D, E, G, H, I, J, L, M, N, O, P, Q, R, S, U, V, W, Z
  case signedI, secondI
  case vectorIndexed
  /// AL, CL, DX, AX, eAX, rAX: the register is `OperandForm.fixed`.
  case fixedGeneral
  case fixedSegment
  case x87Top, x87Register
  case one
}

/// Operand type (SDM vol. 2D §A.2.2); the width in bytes follows from it and the decoding context.
enum OperandSize: UInt8, CaseIterable {
  case none, b, w, d, q, dq, t, v, z, y, n, p, a, s, x, h, f, e
}

/// One operand of a row, four bytes.
struct OperandForm {
  var letter: OperandLetter = .none
  var memorySize: OperandSize = .none
  var registerSize: OperandSize = .none
  /// Number of a fixed register, or log2 of the element width of a gather.
  var fixed: UInt8 = 0
}

/// One row of the opcode map as the decoder reads it. 32 bytes, trivial.
struct OpcodeRow {
  var mnemonic: Mnemonic = .invalid
  var feature: Feature = .i8086
  var operandCount: UInt8 = 0
  var attributes: RowAttributes = []
  var form0 = OperandForm()
  var form1 = OperandForm()
  var form2 = OperandForm()
  var form3 = OperandForm()
  /// Six bits each: OF SF ZF AF PF CF from bit 5 down.
  var tested: UInt8 = 0
  /// Written whatever the operands.
  var written: UInt8 = 0
  /// Written for some operands.
  var maybeWritten: UInt8 = 0
  var undefined: UInt8 = 0
  /// The row whose place a `.fallback` row took.
  var fallback: UInt16 = 0
}
