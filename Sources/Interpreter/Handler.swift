import Processor
import X86Decoder

/// A handler executes one operation (or two, fused) and ends in a call of the next operation's handler, which the optimiser
/// turns into a jump: registers carry everything from one to the next, and the stack does not grow.
///
/// - `cpu`, `op`: the processor and the operation to execute.
/// - `n`: instructions left in this entry into the chain, as of the beginning of the block.
/// - `fr`, `fa`: result and auxiliary word of the lazy flags; their kind is `CPUState.flagKind`.
///
/// Five arguments, not six: with six too few host registers are left and many handlers spill. What breaks the tail call: `defer`,
/// class properties, `do`/`catch`, and a slow path that is not `@inline(never)`; a check in `testsuite/` reads the disassembly.
public typealias Handler = @convention(thin) @Sendable (CPU, OperationPointer, Int, UInt64, UInt64) -> Void

@inline(__always)
func handler(of op: OperationPointer) -> Handler {
  unsafeBitCast(op.pointee.handler, to: Handler.self)
}

/// Unsigned integers of operand width.
protocol Width: FixedWidthInteger & UnsignedInteger & SendableMetatype where Magnitude == Self {
  associatedtype SignedForm: FixedWidthInteger & SignedInteger where SignedForm.Magnitude == Self
  static func signed(_ value: Self) -> SignedForm
  static func unsigned(_ value: SignedForm) -> Self
}

extension UInt8: Width {
  @inline(__always) static func signed(_ value: UInt8) -> Int8 { Int8(bitPattern: value) }
  @inline(__always) static func unsigned(_ value: Int8) -> UInt8 { UInt8(bitPattern: value) }
}
extension UInt16: Width {
  @inline(__always) static func signed(_ value: UInt16) -> Int16 { Int16(bitPattern: value) }
  @inline(__always) static func unsigned(_ value: Int16) -> UInt16 { UInt16(bitPattern: value) }
}
extension UInt32: Width {
  @inline(__always) static func signed(_ value: UInt32) -> Int32 { Int32(bitPattern: value) }
  @inline(__always) static func unsigned(_ value: Int32) -> UInt32 { UInt32(bitPattern: value) }
}
extension UInt64: Width {
  @inline(__always) static func signed(_ value: UInt64) -> Int64 { Int64(bitPattern: value) }
  @inline(__always) static func unsigned(_ value: Int64) -> UInt64 { UInt64(bitPattern: value) }
}

extension Width {
  /// Left-justified in 64 bits, as lazy flags are kept.
  @inline(__always)
  var justified: UInt64 { UInt64(truncatingIfNeeded: self) &<< UInt64(truncatingIfNeeded: 64 &- Self.bitWidth) }

  /// An operation's 32-bit immediate, sign-extended.
  @inline(__always)
  static func immediate(_ op: OperationPointer) -> Self { Self(truncatingIfNeeded: op.pointee.immediate) }

  @inline(__always)
  static func flagKind(_ kind: UInt32) -> UInt32 {
    kind | UInt32(truncatingIfNeeded: 64 &- Self.bitWidth) &<< 8
  }
}

extension CPU {
  @inline(__always)
  var base: UnsafeMutableRawPointer { UnsafeMutableRawPointer(s) }

  /// Register operand of a handler: `n` is a byte offset for bytes, an index otherwise.
  @inline(__always)
  func get<T: Width>(_ n: UInt8, as type: T.Type) -> T {
    base.load(fromByteOffset: T.bitWidth == 8 ? Int(n) : Int(n) &* 8, as: T.self)
  }

  /// 32-bit writes clear the upper half, narrower ones leave the rest alone.
  @inline(__always)
  func set<T: Width>(_ n: UInt8, _ value: T) {
    if T.bitWidth == 32 {
      base.storeBytes(of: UInt64(truncatingIfNeeded: value), toByteOffset: Int(n) &* 8, as: UInt64.self)
    } else {
      base.storeBytes(of: value, toByteOffset: T.bitWidth == 8 ? Int(n) : Int(n) &* 8, as: T.self)
    }
  }
}
