import Processor
import X86Decoder

/// What handlers of vector instructions share: encodings, registers, and the two shapes most instructions have.
///
/// Whatever is unusual (vectors disabled by control registers, misaligned operands of legacy forms, floating point that could
/// raise an exception) goes outside the chain, where the generic method does it with all checks.

/// 128 bits of a vector register. Nearly every instruction, AVX2 included, treats each 128 bits by itself.
typealias Half = SIMD2<UInt64>

/// How an instruction is encoded: what must be enabled, what memory must be aligned, what becomes of the rest of the destination.
protocol VectorEncoding: SendableMetatype {
  /// Bit of `CPUState.vectorsEnabled`.
  static var enabled: UInt8 { get }
  /// Address bits that must be clear in a memory operand of full width.
  static var alignment: UInt64 { get }
  static var isWide: Bool { get }
  static var clearsUpper: Bool { get }
}
/// Legacy SSE keeps the upper half of the destination.
enum LegacyEncoding: VectorEncoding {
  @inline(__always) static var enabled: UInt8 { 1 }
  @inline(__always) static var alignment: UInt64 { 15 }
  @inline(__always) static var isWide: Bool { false }
  @inline(__always) static var clearsUpper: Bool { false }
}
/// VEX with 128 bits, and VEX scalars: the upper half is cleared.
enum VEX128Encoding: VectorEncoding {
  @inline(__always) static var enabled: UInt8 { 2 }
  @inline(__always) static var alignment: UInt64 { 0 }
  @inline(__always) static var isWide: Bool { false }
  @inline(__always) static var clearsUpper: Bool { true }
}
enum VEX256Encoding: VectorEncoding {
  @inline(__always) static var enabled: UInt8 { 2 }
  @inline(__always) static var alignment: UInt64 { 0 }
  @inline(__always) static var isWide: Bool { true }
  @inline(__always) static var clearsUpper: Bool { false }
}

extension VectorEncoding {
  /// Largest distance in the TLB at which an access of full width stays on its page.
  @inline(__always) static var limit: UInt64 { isWide ? 4096 &- 32 : 4096 &- 16 }
  @inline(__always) static func usable(_ cpu: CPU) -> Bool { cpu.s.pointee.vectorsEnabled & enabled != 0 }
}

extension CPU {
  /// Vector register `n` in memory.
  @inline(__always)
  func vectorBytes(_ n: UInt8) -> UnsafeMutableRawPointer {
    base + MemoryLayout<CPUState>.offset(of: \.v0)! + (Int(n) &<< 5)
  }
  @inline(__always) func low(_ n: UInt8) -> Half { vectorBytes(n).loadUnaligned(as: Half.self) }
  @inline(__always) func high(_ n: UInt8) -> Half { vectorBytes(n).loadUnaligned(fromByteOffset: 16, as: Half.self) }
  @inline(__always) func setLow(_ n: UInt8, _ value: Half) { vectorBytes(n).storeBytes(of: value, as: Half.self) }
  @inline(__always) func setHigh(_ n: UInt8, _ value: Half) { vectorBytes(n).storeBytes(of: value, toByteOffset: 16, as: Half.self) }

  /// Lane 0.
  @inline(__always) func lane<T: BitwiseCopyable>(_ n: UInt8, as type: T.Type) -> T { vectorBytes(n).loadUnaligned(as: T.self) }

  /// Writes 128 bits and what the encoding makes of the rest.
  @inline(__always)
  func setXMM<E: VectorEncoding>(_ n: UInt8, _ value: Half, _: E.Type) {
    setLow(n, value)
    if E.clearsUpper { setHigh(n, Half()) }
  }
}

/// Halves as lanes of another type. Concrete types only, which compile to host vector instructions; loops over lanes would not.
extension Half {
  @inline(__always) init<T>(lanes: T) { self = unsafeBitCast(lanes, to: Half.self) }
  @inline(__always) var u8: SIMD16<UInt8> { unsafeBitCast(self, to: SIMD16<UInt8>.self) }
  @inline(__always) var i8: SIMD16<Int8> { unsafeBitCast(self, to: SIMD16<Int8>.self) }
  @inline(__always) var u16: SIMD8<UInt16> { unsafeBitCast(self, to: SIMD8<UInt16>.self) }
  @inline(__always) var i16: SIMD8<Int16> { unsafeBitCast(self, to: SIMD8<Int16>.self) }
  @inline(__always) var u32: SIMD4<UInt32> { unsafeBitCast(self, to: SIMD4<UInt32>.self) }
  @inline(__always) var i32: SIMD4<Int32> { unsafeBitCast(self, to: SIMD4<Int32>.self) }
}

/// destination = operation(first source, second source, immediate), 128 bits at a time.
protocol VectorOperation: SendableMetatype {
  static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half
}

/// Registers only: destination `a`, sources `b` and `base`.
enum Vector_Reg<O: VectorOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let low = O.apply(cpu.low(op.pointee.b), cpu.low(op.pointee.base), op.pointee.immediate)
    if E.isWide {
      cpu.setHigh(op.pointee.a, O.apply(cpu.high(op.pointee.b), cpu.high(op.pointee.base), op.pointee.immediate))
    }
    cpu.setXMM(op.pointee.a, low, E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// The second source is memory.
enum Vector_Mem<O: VectorOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) || address & E.alignment != 0 { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > E.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let source = cpu.host(address, distance)
    let low = O.apply(cpu.low(op.pointee.b), source.loadUnaligned(as: Half.self), op.pointee.immediate)
    if E.isWide {
      cpu.setHigh(op.pointee.a, O.apply(cpu.high(op.pointee.b), source.loadUnaligned(fromByteOffset: 16, as: Half.self),
                                        op.pointee.immediate))
    }
    cpu.setXMM(op.pointee.a, low, E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// The second source is 8 bytes of memory, zero-extended, of any alignment.
enum Vector_Mem64<O: VectorOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > UInt64.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let source = Half(cpu.loadHost(address, distance, as: UInt64.self), 0)
    cpu.setXMM(op.pointee.a, O.apply(cpu.low(op.pointee.b), source, op.pointee.immediate), E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}
