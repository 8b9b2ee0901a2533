import Processor
import SoftFloat
import X86Decoder

/// Floating point on the host where that is provably what the guest would see (conditions in SoftFloat's HostFloat.swift); everything
/// else, the first inexact operation among them, is the generic method's, which keeps the flags of MXCSR.

/// One lane: result from the first source's lane and the second's, as bit patterns; nil if the generic method must decide.
protocol LaneOperation: SendableMetatype {
  associatedtype From: Width
  associatedtype To: Width
  static func apply(_ a: To, _ b: From) -> To?
  /// What must be set of MXCSR's inexact mask and flag, and with the latter also nearest even, for `apply` to be the truth.
  static func usable(_ mxcsr: UInt32) -> Bool
}

extension LaneOperation {
  @inline(__always) static func usable(_ mxcsr: UInt32) -> Bool { HostFloat.isUsable(mxcsr: mxcsr) }
}

enum AddLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.tryAdd(F(bits: a), F(bits: b))?.bits }
}
enum SubLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.trySub(F(bits: a), F(bits: b))?.bits }
}
enum MulLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.tryMul(F(bits: a), F(bits: b))?.bits }
}
enum DivLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.tryDiv(F(bits: a), F(bits: b))?.bits }
}
enum MinLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.tryMin(F(bits: a), F(bits: b))?.bits }
  @inline(__always) static func usable(_: UInt32) -> Bool { true }
}
enum MaxLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.tryMax(F(bits: a), F(bits: b))?.bits }
  @inline(__always) static func usable(_: UInt32) -> Bool { true }
}
enum SqrtSingleLane: LaneOperation {
  @inline(__always) static func apply(_: UInt32, _ b: UInt32) -> UInt32? { HostFloat.trySqrt(Binary32(bits: b))?.bits }
}
enum SqrtDoubleLane: LaneOperation {
  @inline(__always) static func apply(_: UInt64, _ b: UInt64) -> UInt64? { HostFloat.trySqrt(Binary64(bits: b))?.bits }
}

// MARK: Conversions

/// CVTSS2SD.
enum WidenLane: LaneOperation {
  @inline(__always) static func apply(_: UInt64, _ b: UInt32) -> UInt64? { HostFloat.tryWiden(Binary32(bits: b))?.bits }
  @inline(__always) static func usable(_: UInt32) -> Bool { true }
}
/// CVTSD2SS.
enum NarrowLane: LaneOperation {
  @inline(__always) static func apply(_: UInt32, _ b: UInt64) -> UInt32? { HostFloat.tryNarrow(Binary64(bits: b))?.bits }
}
/// CVTSI2SS, CVTDQ2PS.
enum IntegerToSingleLane<T: Width>: LaneOperation {
  @inline(__always) static func apply(_: UInt32, _ b: T) -> UInt32? { Float(Int(truncatingIfNeeded: T.signed(b))).bitPattern }
}
/// CVTSI2SD; exact from 32 bits.
enum IntegerToDoubleLane<T: Width>: LaneOperation {
  @inline(__always) static func apply(_: UInt64, _ b: T) -> UInt64? { Double(Int(truncatingIfNeeded: T.signed(b))).bitPattern }
  @inline(__always) static func usable(_ mxcsr: UInt32) -> Bool { T.bitWidth == 32 || HostFloat.isUsable(mxcsr: mxcsr) }
}

/// Truncation has its own rounding, and needs only inexact masked and flagged.
protocol TruncatingLane: LaneOperation {}
extension TruncatingLane {
  @inline(__always) static func usable(_ mxcsr: UInt32) -> Bool { mxcsr & 0x1020 == 0x1020 }
}
/// CVTTSS2SI, CVTTPS2DQ.
enum SingleToInt32Lane: TruncatingLane {
  @inline(__always) static func apply(_: UInt32, _ b: UInt32) -> UInt32? {
    HostFloat.tryTruncateToInt32(Binary32(bits: b)).map { UInt32(bitPattern: $0) }
  }
}
enum SingleToInt64Lane: TruncatingLane {
  @inline(__always) static func apply(_: UInt64, _ b: UInt32) -> UInt64? {
    HostFloat.tryTruncateToInt64(Binary32(bits: b)).map { UInt64(bitPattern: $0) }
  }
}
/// CVTTSD2SI.
enum DoubleToInt32Lane: TruncatingLane {
  @inline(__always) static func apply(_: UInt32, _ b: UInt64) -> UInt32? {
    HostFloat.tryTruncateToInt32(Binary64(bits: b)).map { UInt32(bitPattern: $0) }
  }
}
enum DoubleToInt64Lane: TruncatingLane {
  @inline(__always) static func apply(_: UInt64, _ b: UInt64) -> UInt64? {
    HostFloat.tryTruncateToInt64(Binary64(bits: b)).map { UInt64(bitPattern: $0) }
  }
}
/// CVTPS2DQ, to nearest even: a sum with 1.5 · 2⁵² has the integer in its low bits.
enum RoundSingleLane: LaneOperation {
  @inline(__always) static func apply(_: UInt32, _ b: UInt32) -> UInt32? {
    let x = Float(bitPattern: b)
    return x > -0x1p31 && x < 0x1p31 ? UInt32(truncatingIfNeeded: (Double(x) + 0x1.8p52).bitPattern) : nil
  }
}

// MARK: Scalars: lane 0 of destination `a`; the rest is that of the first source `b`

@inline(__always)
private func settle<O: LaneOperation, E: VectorEncoding>(
  _ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ source: O.From, _: O.Type, _: E.Type
) {
  let first = cpu.vectorBytes(op.pointee.b)
  guard let result = O.apply(first.loadUnaligned(as: O.To.self), source) else { return Outside.retry(cpu, op, n, fr, fa) }
  let target = cpu.vectorBytes(op.pointee.a)
  if E.clearsUpper {
    cpu.setXMM(op.pointee.a, first.loadUnaligned(as: Half.self), E.self)
  }
  target.storeBytes(of: result, as: O.To.self)
  return Next.operation(cpu, op, n, fr, fa)
}

/// Second source: vector register `base`.
enum Scalar_Reg<O: LaneOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.retry(cpu, op, n, fr, fa) }
    return settle(cpu, op, n, fr, fa, cpu.vectorBytes(op.pointee.base).loadUnaligned(as: O.From.self), O.self, E.self)
  }
}

enum Scalar_Mem<O: LaneOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > O.From.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    return settle(cpu, op, n, fr, fa, cpu.loadHost(address, distance, as: O.From.self), O.self, E.self)
  }
}

/// Second source: general register `base`.
enum Scalar_GPR<O: LaneOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.retry(cpu, op, n, fr, fa) }
    return settle(cpu, op, n, fr, fa, cpu.get(op.pointee.base, as: O.From.self), O.self, E.self)
  }
}

// MARK: Scalars to general registers

enum ScalarToGPR_Reg<O: LaneOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    guard E.usable(cpu), O.usable(cpu.s.pointee.mxcsr),
          let result = O.apply(0, cpu.vectorBytes(op.pointee.base).loadUnaligned(as: O.From.self))
    else { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.set(op.pointee.a, result)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum ScalarToGPR_Mem<O: LaneOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > O.From.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    guard let result = O.apply(0, cpu.loadHost(address, distance, as: O.From.self)) else { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.set(op.pointee.a, result)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: COMISS, UCOMISS, COMISD, UCOMISD, which differ in NaNs only

@inline(__always)
private func setRelation(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ relation: FloatRelation?) {
  guard let relation else { return Outside.retry(cpu, op, n, fr, fa) }
  let flags = Flags.explicit(relation == .less ? Flags.cf : relation == .equal ? Flags.zf : 0)
  cpu.s.pointee.flagKind = FlagKind.explicit
  return Next.operation(cpu, op, n, flags.result, flags.aux)
}

enum Compare_Reg<F: HostFormat, E: VectorEncoding> where F.Bits: Width {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.retry(cpu, op, n, fr, fa) }
    let a = cpu.vectorBytes(op.pointee.a).loadUnaligned(as: F.Bits.self)
    let b = cpu.vectorBytes(op.pointee.base).loadUnaligned(as: F.Bits.self)
    return setRelation(cpu, op, n, fr, fa, HostFloat.tryCompare(F(bits: a), F(bits: b)))
  }
}

enum Compare_Mem<F: HostFormat, E: VectorEncoding> where F.Bits: Width {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > F.Bits.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let a = cpu.vectorBytes(op.pointee.a).loadUnaligned(as: F.Bits.self)
    let b = cpu.loadHost(address, distance, as: F.Bits.self)
    return setRelation(cpu, op, n, fr, fa, HostFloat.tryCompare(F(bits: a), F(bits: b)))
  }
}

// MARK: Packed

/// The operation on all lanes of 128 bits, or nil if one of them needs the generic method.
@inline(__always)
private func lanes<O: LaneOperation>(_ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, _: O.Type) -> Half? where O.From == O.To {
  if O.To.bitWidth == 64 {
    guard let r0 = O.apply(a.loadUnaligned(as: O.To.self), b.loadUnaligned(as: O.To.self)),
          let r1 = O.apply(a.loadUnaligned(fromByteOffset: 8, as: O.To.self), b.loadUnaligned(fromByteOffset: 8, as: O.To.self))
    else { return nil }
    return Half(UInt64(truncatingIfNeeded: r0), UInt64(truncatingIfNeeded: r1))
  }
  guard let r0 = O.apply(a.loadUnaligned(as: O.To.self), b.loadUnaligned(as: O.To.self)),
        let r1 = O.apply(a.loadUnaligned(fromByteOffset: 4, as: O.To.self), b.loadUnaligned(fromByteOffset: 4, as: O.To.self)),
        let r2 = O.apply(a.loadUnaligned(fromByteOffset: 8, as: O.To.self), b.loadUnaligned(fromByteOffset: 8, as: O.To.self)),
        let r3 = O.apply(a.loadUnaligned(fromByteOffset: 12, as: O.To.self), b.loadUnaligned(fromByteOffset: 12, as: O.To.self))
  else { return nil }
  return Half(UInt64(truncatingIfNeeded: r0) | UInt64(truncatingIfNeeded: r1) &<< 32,
              UInt64(truncatingIfNeeded: r2) | UInt64(truncatingIfNeeded: r3) &<< 32)
}

@inline(__always)
private func settlePacked<O: LaneOperation, E: VectorEncoding>(
  _ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ source: UnsafeMutableRawPointer, _: O.Type, _: E.Type
) where O.From == O.To {
  let first = cpu.vectorBytes(op.pointee.b)
  guard let low = lanes(first, source, O.self) else { return Outside.retry(cpu, op, n, fr, fa) }
  if E.isWide {
    guard let high = lanes(first + 16, source + 16, O.self) else { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.setHigh(op.pointee.a, high)
  }
  cpu.setXMM(op.pointee.a, low, E.self)
  return Next.operation(cpu, op, n, fr, fa)
}

enum Packed_Reg<O: LaneOperation, E: VectorEncoding> where O.From == O.To {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.retry(cpu, op, n, fr, fa) }
    return settlePacked(cpu, op, n, fr, fa, cpu.vectorBytes(op.pointee.base), O.self, E.self)
  }
}

enum Packed_Mem<O: LaneOperation, E: VectorEncoding> where O.From == O.To {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) || address & E.alignment != 0 || !O.usable(cpu.s.pointee.mxcsr) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > E.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    return settlePacked(cpu, op, n, fr, fa, cpu.host(address, distance), O.self, E.self)
  }
}
