import Platform
import X86
import X86Decoder

/// One virtual CPU, as the instruction functions see it: a pointer to its state. Copying it costs nothing and touches no
/// reference count; the memory belongs to `VirtualCPU`.
@frozen public struct CPU: @unchecked Sendable {
  public let s: UnsafeMutablePointer<CPUState>

  @inlinable @inline(__always)
  public init(_ s: UnsafeMutablePointer<CPUState>) { self.s = s }

  @inlinable @inline(__always)
  var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(s) }

  @inline(__always)
  public var environment: ProcessorEnvironment { s.pointee.environment._withUnsafeGuaranteedRef { $0 } }

  @inline(__always)
  var tlbs: TLBSet { s.pointee.tlbSet }

  public var codeCache: CodeCache { environment.codeCache }

  // MARK: General registers

  /// All 64 bits of general register 0–15.
  @inlinable @inline(__always)
  public func gpr(_ n: UInt8) -> UInt64 {
    raw.load(fromByteOffset: Int(n) &* 8, as: UInt64.self)
  }

  @inlinable @inline(__always)
  public func setGPR(_ n: UInt8, _ value: UInt64) {
    raw.storeBytes(of: value, toByteOffset: Int(n) &* 8, as: UInt64.self)
  }

  /// Byte offset in the state of a byte register: 0–15 the low bytes, 16–19 AH, CH, DH, BH.
  @inlinable @inline(__always)
  static func byteOffset(_ n: UInt8) -> Int {
    n < 16 ? Int(n) &* 8 : Int(n &- 16) &* 8 &+ 1
  }

  /// Value of a register operand, zero-extended. `size` is 1, 2, 4 or 8.
  @inlinable @inline(__always)
  public func register(_ n: UInt8, size: UInt8) -> UInt64 {
    switch size {
    case 1: return UInt64(raw.load(fromByteOffset: Self.byteOffset(n), as: UInt8.self))
    case 2: return gpr(n) & 0xFFFF
    case 4: return gpr(n) & 0xFFFF_FFFF
    default: return gpr(n)
    }
  }

  /// Writes a register operand: 8 and 16 bits leave the rest alone, 32 bits clear the upper half.
  @inlinable @inline(__always)
  public func setRegister(_ n: UInt8, size: UInt8, _ value: UInt64) {
    switch size {
    case 1: raw.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: Self.byteOffset(n), as: UInt8.self)
    case 2: raw.storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: Int(n) &* 8, as: UInt16.self)
    case 4: setGPR(n, value & 0xFFFF_FFFF)
    default: setGPR(n, value)
    }
  }

  // MARK: Segments and vectors

  @inline(__always)
  public func segment(_ r: SegmentRegister) -> UnsafeMutablePointer<SegmentCache> {
    let base = raw + MemoryLayout<CPUState>.offset(of: \.es)!
    return base.assumingMemoryBound(to: SegmentCache.self) + Int(r.rawValue)
  }

  @inline(__always)
  public func vector(_ n: UInt8) -> UnsafeMutablePointer<Vector256> {
    let base = raw + MemoryLayout<CPUState>.offset(of: \.v0)!
    return base.assumingMemoryBound(to: Vector256.self) + Int(n & 15)
  }
}
