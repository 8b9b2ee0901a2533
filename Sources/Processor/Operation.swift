import X86Decoder

/// One slot of decoded code, 32 bytes: a guest instruction in the form its handler wants, or a stub between blocks.
///
/// A handler is a thin function (`Interpreter` knows its type) stored as an address; every guest instruction has a slot of its own
/// even where a fused handler does the work of two, so execution can resume at any slot.
public struct Operation {
  public var handler: UInt = 0
  /// Register numbers as the handler reads them: byte offsets for 8-bit operands, indices otherwise; or a condition.
  public var a: UInt8 = 0
  public var b: UInt8 = 0
  /// Memory operand: indices of base and index register, 16 (always zero) for none.
  public var base: UInt8 = 16
  public var index: UInt8 = 16
  /// The scale, a factor; for handlers that add a segment base its log2, and in bits 4–6 the segment register.
  public var scale: UInt8 = 0
  /// Guest instructions of the block up to and including this one; 0 marks a stub.
  public var count: UInt8 = 0
  /// Offset of the instruction in its page (bits 0–11) and its length (bits 12–15).
  public var location: UInt16 = 0
  /// Displacement of the memory operand; for stubs and branches the target relative to the page's start.
  public var displacement: Int32 = 0
  public var immediate: Int32 = 0
  /// Target operation, a 64-bit constant, or the address of a `DecodedInstruction`.
  public var link: UInt = 0

  public init() {}

  @inlinable @inline(__always)
  public var offset: UInt64 { UInt64(location & 0xFFF) }
  @inlinable @inline(__always)
  public var length: UInt64 { UInt64(location &>> 12) }
}

public typealias OperationPointer = UnsafeMutablePointer<Operation>
