import X86

/// The opcode map in the form the decoder walks: flat tables in one block of raw memory that lives as
/// long as the process.
///
/// An opcode of a map has a *cell*; the cell says whether a ModRM byte follows and which bits of the
/// *selector* (ModRM.rm and reg, mod = 3, prefix, W, L, mode, sizes) choose among its rows. Row 0 is `.invalid`.
public struct OpcodeMap: @unchecked Sendable {
  /// Selector bits, from bit 0: rm (3), reg (3), mod is 3 (1), mandatory prefix (2), W (1), L (1), 64-bit
  /// code (1), operand size 16 (1), address size (2: 0 is 16, 1 is 32, 2 is 64). A cell uses a contiguous span.
  struct Cell {
    var base: UInt32 = 0
    var mask: UInt16 = 0
    var shift: UInt8 = 0
    var hasModRM: Bool = false
  }

  /// Opcode maps in the order of the cells: one-byte, 0F, 0F 38, 0F 3A, VEX 0F, VEX 0F38, VEX 0F3A.
  static let mapCount = 7

  let cells: UnsafePointer<Cell>
  let selections: UnsafePointer<UInt16>
  let rows: UnsafePointer<OpcodeRow>
  /// `PrefixKind` of each byte value.
  let prefixes: UnsafePointer<UInt8>
  /// Width in bytes at `OperandSize << 4 | 64-bit code << 3 | VEX.L << 2 | log2(operand size / 2)`.
  let sizes: UnsafePointer<UInt8>
  public let rowCount: Int

  /// Built from the text on first use, in about a millisecond.
  public static let shared: OpcodeMap = OpcodeMapBuilder.build()

  @inline(__always)
  private func row(_ row: UInt16) -> UnsafePointer<OpcodeRow> {
    rows + (Int(row) < rowCount ? Int(row) : 0)
  }

  public func mnemonic(_ row: UInt16) -> Mnemonic { self.row(row).pointee.mnemonic }
  /// The feature that introduced the form; `.i8086` is always there.
  public func feature(_ row: UInt16) -> Feature { self.row(row).pointee.feature }
  /// The row that applies on a processor without the feature of this one; 0 (#UD) for nearly all.
  public func fallback(_ row: UInt16) -> UInt16 { self.row(row).pointee.fallback }
  public func attributes(_ row: UInt16) -> RowAttributes { self.row(row).pointee.attributes }

  /// Status flags the instruction reads, as bits of RFLAGS.
  public func flagsTested(_ row: UInt16) -> UInt32 { Self.rflags(self.row(row).pointee.tested) }
  /// Status flags the instruction writes whatever its operands, undefined results included: what a
  /// liveness pass may kill.
  public func flagsModified(_ row: UInt16) -> UInt32 { Self.rflags(self.row(row).pointee.written) }
  /// Status flags the instruction writes at least for some operands; a superset of `flagsModified`.
  public func flagsMaybeModified(_ row: UInt16) -> UInt32 {
    Self.rflags(self.row(row).pointee.written | self.row(row).pointee.maybeWritten)
  }
  /// Status flags whose value afterwards the manual leaves open, at least for some operands.
  public func flagsUndefined(_ row: UInt16) -> UInt32 { Self.rflags(self.row(row).pointee.undefined) }

  /// Transfers control, or may change how what follows is fetched, decoded or interrupted.
  public func endsBlock(_ row: UInt16) -> Bool { attributes(row).contains(.endsBlock) }

  /// Whether an instruction of the row can access memory: by an operand (in its memory form) or implicitly.
  public func touchesMemory(_ row: UInt16) -> Bool {
    let attributes = attributes(row)
    return !attributes.intersection([.stack, .string, .implicitMemory]).isEmpty
      || (attributes.contains(.memoryOperand) && !attributes.contains(.noAccess))
  }

  /// The index of a gather is half as wide as the vector (VGATHERDPD, VPGATHERDQ).
  func vectorIndexIsHalf(_ row: UInt16) -> Bool { self.row(row).pointee.form1.registerSize == .h }

  /// OF SF ZF AF PF CF from bit 5 down, spread to their places in RFLAGS (SDM vol. 1 figure 3-8).
  private static func rflags(_ letters: UInt8) -> UInt32 {
    let m = UInt32(letters)
    return (m & 0x20) &<< 6 | (m & 0x10) &<< 3 | (m & 0x08) &<< 3 | (m & 0x04) &<< 2 | (m & 0x02) &<< 1 | (m & 0x01)
  }
}

// The same by name of the type, for code that is not hot.
extension OpcodeMap {
  public static func mnemonic(_ row: UInt16) -> Mnemonic { shared.mnemonic(row) }
  public static func feature(ofRow row: UInt16) -> Feature { shared.feature(row) }
  public static func attributes(_ row: UInt16) -> RowAttributes { shared.attributes(row) }
  public static func flagsTested(_ row: UInt16) -> UInt32 { shared.flagsTested(row) }
  public static func flagsModified(_ row: UInt16) -> UInt32 { shared.flagsModified(row) }
  public static func flagsMaybeModified(_ row: UInt16) -> UInt32 { shared.flagsMaybeModified(row) }
  public static func flagsUndefined(_ row: UInt16) -> UInt32 { shared.flagsUndefined(row) }
  public static func endsBlock(_ row: UInt16) -> Bool { shared.endsBlock(row) }
  public static func touchesMemory(_ row: UInt16) -> Bool { shared.touchesMemory(row) }
}
