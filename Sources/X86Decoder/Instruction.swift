/// A decoded instruction: everything the byte string says, nothing that depends on the state of a CPU
/// beyond the code size it was decoded for.
///
/// The value is trivial (no references) so that it can be stored in raw memory beside the operations
/// of the decoded-code cache.

/// Default operand and address size of a code segment (SDM vol. 3A §3.4.5, CS.D and CS.L).
public enum CodeSize: UInt8, Sendable, CaseIterable {
  case bits16 = 2
  case bits32 = 4
  case bits64 = 8
}

/// What kind of thing an operand names.
public enum OperandKind: UInt8, Sendable {
  case none
  /// General register; `register` 0–15 in encoding order, 16–19 are AH, CH, DH, BH (only with `size` 1).
  case general
  /// Memory at `segment:[base + index * scale + displacement]` of the instruction.
  case memory
  /// `Instruction.immediate`, already sign- or zero-extended to 64 bits as the operand size demands.
  case immediate
  /// `Instruction.immediate2` (ENTER's nesting level, EXTRQ-style second immediates).
  case immediate2
  /// Branch displacement in `Instruction.immediate` (signed, relative to the next instruction).
  case relative
  /// Far pointer: offset in `immediate`, selector in `immediate2`.
  case farPointer
  /// Segment register, `register` 0–5: ES CS SS DS FS GS.
  case segment
  case control
  case debug
  /// MMX register MM0–MM7.
  case mmx
  /// XMM or YMM register 0–15; `size` (16 or 32, or a scalar's width) says how much is touched.
  case vector
  /// x87 stack register ST(i).
  case x87
  /// A constant 1 (the shifts D0, D1).
  case one
}

/// One explicit operand as it stands in assembly text, in Intel order (destination first).
public struct Operand: Sendable, Equatable {
  public var kind: OperandKind
  public var register: UInt8
  /// Width in bytes: 1, 2, 4, 6, 8, 10, 16, 32; 0 where the instruction gives none (LEA, INVLPG, FXSAVE).
  public var size: UInt8

  @inlinable
  public init(kind: OperandKind, register: UInt8 = 0, size: UInt8 = 0) {
    self.kind = kind
    self.register = register
    self.size = size
  }

  public static let none = Operand(kind: .none)
}

/// Prefix bytes present, as far as they have meaning for execution or text.
public struct Prefixes: OptionSet, Sendable {
  public let rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  public static let lock = Prefixes(rawValue: 1 << 0)
  /// F3 as the last of F2/F3 (REP, REPE), where it is not part of the opcode.
  public static let rep = Prefixes(rawValue: 1 << 1)
  /// F2 as the last of F2/F3 (REPNE), where it is not part of the opcode.
  public static let repne = Prefixes(rawValue: 1 << 2)
  public static let operandSize = Prefixes(rawValue: 1 << 3)
  public static let addressSize = Prefixes(rawValue: 1 << 4)
  public static let segmentOverride = Prefixes(rawValue: 1 << 5)
  public static let rex = Prefixes(rawValue: 1 << 6)
  public static let rexW = Prefixes(rawValue: 1 << 7)
  public static let vex = Prefixes(rawValue: 1 << 8)
}

/// Segment registers in encoding order (SDM vol. 2A table B-8).
public enum SegmentRegister: UInt8, Sendable, CaseIterable {
  case es, cs, ss, ds, fs, gs
}

/// Register number that means "no base" or "no index" in a memory operand.
public let noRegister: UInt8 = 0xFF
/// `Instruction.base` of a RIP-relative operand: the address is next RIP + displacement.
public let instructionPointerBase: UInt8 = 0xFE

public struct Instruction: Sendable {
  /// `.invalid` where the bytes are no instruction (#UD); `.truncated` where more bytes are needed than
  /// were given; `.tooLong` where the instruction passes 15 bytes (#GP(0)).
  public var mnemonic: Mnemonic = .invalid
  /// Index of the row in the opcode map; 0 is the row of `.invalid`.
  public var row: UInt16 = 0
  /// Length in bytes, 1–15.
  public var length: UInt8 = 0
  /// Effective operand size in bytes: 2, 4, 8 (the width of "v" operands and of implicit stack pushes
  /// after the 64-bit defaults were applied).
  public var operandSize: UInt8 = 0
  /// Effective address size in bytes: 2, 4, 8.
  public var addressSize: UInt8 = 0
  /// Vector length in bytes of a VEX instruction: 16 or 32; 0 without VEX.
  public var vectorLength: UInt8 = 0
  public var prefixes: Prefixes = []
  /// Effective segment of the memory operand (default or override). For string instructions the
  /// source segment.
  public var segment: SegmentRegister = .ds
  /// 0–15, `noRegister` or `instructionPointerBase`.
  public var base: UInt8 = noRegister
  /// 0–15 or `noRegister`.
  public var index: UInt8 = noRegister
  /// log2 of the scale, 0–3.
  public var scale: UInt8 = 0
  /// The ModRM byte as it stood (0 where there was none), and the whole opcode byte.
  public var modRM: UInt8 = 0
  public var opcode: UInt8 = 0
  /// Sign-extended displacement, or the absolute address of a moffs operand.
  public var displacement: Int64 = 0
  public var immediate: UInt64 = 0
  public var immediate2: UInt16 = 0
  public var operandCount: UInt8 = 0
  public var op0 = Operand.none
  public var op1 = Operand.none
  public var op2 = Operand.none
  public var op3 = Operand.none

  @inlinable public init() {}

  @inlinable public var hasMemoryOperand: Bool {
    op0.kind == .memory || op1.kind == .memory || op2.kind == .memory
  }
}
