import Processor
import SoftFloat
import X86Decoder

/// Floating point on the host where that is provably what the guest would see (conditions in SoftFloat's HostFloat.swift); everything
/// else is the generic method's. The first inexact operation sets MXCSR's flag here; no other can arise.

/// One lane: result from the first source's lane and the second's, as bit patterns; nil if the generic method must decide.
protocol LaneOperation: SendableMetatype {
  associatedtype From: Width
  associatedtype To: Width
  static func apply(_ a: To, _ b: From) -> To?
  /// Whether the result `r` is exact.
  static func isExact(_ a: To, _ b: From, _ r: To) -> Bool
  /// What must be set of MXCSR's inexact mask and rounding control for `apply` to be the truth.
  static func usable(_ mxcsr: UInt32) -> Bool
}

extension LaneOperation {
  @inline(__always) static func usable(_ mxcsr: UInt32) -> Bool { HostFloat.isUsable(mxcsr: mxcsr) }
  @inline(__always) static func isExact(_: To, _: From, _: To) -> Bool { true }
}

enum AddLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.tryAdd(F(bits: a), F(bits: b))?.bits }
  @inline(__always) static func isExact(_ a: F.Bits, _ b: F.Bits, _ r: F.Bits) -> Bool {
    HostFloat.isExactSum(F(bits: a), F(bits: b), F(bits: r))
  }
}
enum SubLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.trySub(F(bits: a), F(bits: b))?.bits }
  @inline(__always) static func isExact(_ a: F.Bits, _ b: F.Bits, _ r: F.Bits) -> Bool {
    HostFloat.isExactDifference(F(bits: a), F(bits: b), F(bits: r))
  }
}
enum MulLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.tryMul(F(bits: a), F(bits: b))?.bits }
  @inline(__always) static func isExact(_ a: F.Bits, _ b: F.Bits, _ r: F.Bits) -> Bool {
    HostFloat.isExactProduct(F(bits: a), F(bits: b), F(bits: r))
  }
}
enum DivLane<F: HostFormat>: LaneOperation where F.Bits: Width {
  @inline(__always) static func apply(_ a: F.Bits, _ b: F.Bits) -> F.Bits? { HostFloat.tryDiv(F(bits: a), F(bits: b))?.bits }
  @inline(__always) static func isExact(_ a: F.Bits, _ b: F.Bits, _ r: F.Bits) -> Bool {
    HostFloat.isExactQuotient(F(bits: a), F(bits: b), F(bits: r))
  }
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
  @inline(__always) static func isExact(_: UInt32, _ b: UInt32, _ r: UInt32) -> Bool {
    HostFloat.isExactRoot(Binary32(bits: b), Binary32(bits: r))
  }
}
enum SqrtDoubleLane: LaneOperation {
  @inline(__always) static func apply(_: UInt64, _ b: UInt64) -> UInt64? { HostFloat.trySqrt(Binary64(bits: b))?.bits }
  @inline(__always) static func isExact(_: UInt64, _ b: UInt64, _ r: UInt64) -> Bool {
    HostFloat.isExactRoot(Binary64(bits: b), Binary64(bits: r))
  }
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
  @inline(__always) static func isExact(_: UInt32, _ b: UInt64, _ r: UInt32) -> Bool {
    HostFloat.isExactNarrowing(Binary64(bits: b), Binary32(bits: r))
  }
}
/// CVTSI2SS, CVTDQ2PS.
enum IntegerToSingleLane<T: Width>: LaneOperation {
  @inline(__always) static func apply(_: UInt32, _ b: T) -> UInt32? { Float(Int(truncatingIfNeeded: T.signed(b))).bitPattern }
  @inline(__always) static func isExact(_: UInt32, _ b: T, _: UInt32) -> Bool {
    HostFloat.isExactConversion(Int64(truncatingIfNeeded: T.signed(b)), Binary32.self)
  }
}
/// CVTSI2SD; exact from 32 bits.
enum IntegerToDoubleLane<T: Width>: LaneOperation {
  @inline(__always) static func apply(_: UInt64, _ b: T) -> UInt64? { Double(Int(truncatingIfNeeded: T.signed(b))).bitPattern }
  @inline(__always) static func isExact(_: UInt64, _ b: T, _: UInt64) -> Bool {
    T.bitWidth == 32 || HostFloat.isExactConversion(Int64(truncatingIfNeeded: T.signed(b)), Binary64.self)
  }
  @inline(__always) static func usable(_ mxcsr: UInt32) -> Bool { T.bitWidth == 32 || HostFloat.isUsable(mxcsr: mxcsr) }
}

/// Whether it does not matter for the inexact flag that DAZ may make a denormal an exact zero: DAZ is clear, or inexact flagged.
@inline(__always) private func takesDenormals(_ mxcsr: UInt32) -> Bool { mxcsr & 0x60 != 0x40 }

/// Truncation has its own rounding, and needs only inexact masked.
protocol TruncatingLane: LaneOperation {}
extension TruncatingLane {
  @inline(__always) static func usable(_ mxcsr: UInt32) -> Bool { mxcsr & 0x1000 != 0 && takesDenormals(mxcsr) }
}
/// CVTTSS2SI, CVTTPS2DQ.
enum SingleToInt32Lane: TruncatingLane {
  @inline(__always) static func apply(_: UInt32, _ b: UInt32) -> UInt32? {
    HostFloat.tryTruncateToInt32(Binary32(bits: b)).map { UInt32(bitPattern: $0) }
  }
  @inline(__always) static func isExact(_: UInt32, _ b: UInt32, _ r: UInt32) -> Bool {
    Float(Int32(bitPattern: r)) == Float(bitPattern: b)
  }
}
enum SingleToInt64Lane: TruncatingLane {
  @inline(__always) static func apply(_: UInt64, _ b: UInt32) -> UInt64? {
    HostFloat.tryTruncateToInt64(Binary32(bits: b)).map { UInt64(bitPattern: $0) }
  }
  @inline(__always) static func isExact(_: UInt64, _ b: UInt32, _ r: UInt64) -> Bool {
    Float(Int64(bitPattern: r)) == Float(bitPattern: b)
  }
}
/// CVTTSD2SI.
enum DoubleToInt32Lane: TruncatingLane {
  @inline(__always) static func apply(_: UInt32, _ b: UInt64) -> UInt32? {
    HostFloat.tryTruncateToInt32(Binary64(bits: b)).map { UInt32(bitPattern: $0) }
  }
  @inline(__always) static func isExact(_: UInt32, _ b: UInt64, _ r: UInt32) -> Bool {
    Double(Int32(bitPattern: r)) == Double(bitPattern: b)
  }
}
enum DoubleToInt64Lane: TruncatingLane {
  @inline(__always) static func apply(_: UInt64, _ b: UInt64) -> UInt64? {
    HostFloat.tryTruncateToInt64(Binary64(bits: b)).map { UInt64(bitPattern: $0) }
  }
  @inline(__always) static func isExact(_: UInt64, _ b: UInt64, _ r: UInt64) -> Bool {
    Double(Int64(bitPattern: r)) == Double(bitPattern: b)
  }
}
/// CVTPS2DQ, to nearest even: a sum with 1.5 · 2⁵² has the integer in its low bits.
enum RoundSingleLane: LaneOperation {
  @inline(__always) static func usable(_ mxcsr: UInt32) -> Bool { HostFloat.isUsable(mxcsr: mxcsr) && takesDenormals(mxcsr) }
  @inline(__always) static func apply(_: UInt32, _ b: UInt32) -> UInt32? {
    let x = Float(bitPattern: b)
    return x > -0x1p31 && x < 0x1p31 ? UInt32(truncatingIfNeeded: (Double(x) + 0x1.8p52).bitPattern) : nil
  }
  @inline(__always) static func isExact(_: UInt32, _ b: UInt32, _ r: UInt32) -> Bool {
    Float(Int32(bitPattern: r)) == Float(bitPattern: b)
  }
}

/// CVTSS2SI, CVTSD2SI to nearest even, of numbers so small that a sum with 1.5 · 2⁵² has the integer in its low bits.
protocol RoundingLane: LaneOperation {}
extension RoundingLane {
  @inline(__always) static func usable(_ mxcsr: UInt32) -> Bool { HostFloat.isUsable(mxcsr: mxcsr) && takesDenormals(mxcsr) }
  @inline(__always) fileprivate static func round32(_ x: Double) -> UInt32? {
    x > -0x1p31 && x < 0x1p31 - 1 ? UInt32(truncatingIfNeeded: (x + 0x1.8p52).bitPattern) : nil
  }
  @inline(__always) fileprivate static func round64(_ x: Double) -> UInt64? {
    x > -0x1p51 && x < 0x1p51 ? (x + 0x1.8p52).bitPattern &- (0x1.8p52 as Double).bitPattern : nil
  }
}
enum RoundSingleToInt32Lane: RoundingLane {
  @inline(__always) static func apply(_: UInt32, _ b: UInt32) -> UInt32? { round32(Double(Float(bitPattern: b))) }
  @inline(__always) static func isExact(_: UInt32, _ b: UInt32, _ r: UInt32) -> Bool {
    Float(Int32(bitPattern: r)) == Float(bitPattern: b)
  }
}
enum RoundSingleToInt64Lane: RoundingLane {
  @inline(__always) static func apply(_: UInt64, _ b: UInt32) -> UInt64? { round64(Double(Float(bitPattern: b))) }
  @inline(__always) static func isExact(_: UInt64, _ b: UInt32, _ r: UInt64) -> Bool {
    Float(Int64(bitPattern: r)) == Float(bitPattern: b)
  }
}
enum RoundDoubleToInt32Lane: RoundingLane {
  @inline(__always) static func apply(_: UInt32, _ b: UInt64) -> UInt32? { round32(Double(bitPattern: b)) }
  @inline(__always) static func isExact(_: UInt32, _ b: UInt64, _ r: UInt32) -> Bool {
    Double(Int32(bitPattern: r)) == Double(bitPattern: b)
  }
}
enum RoundDoubleToInt64Lane: RoundingLane {
  @inline(__always) static func apply(_: UInt64, _ b: UInt64) -> UInt64? { round64(Double(bitPattern: b)) }
  @inline(__always) static func isExact(_: UInt64, _ b: UInt64, _ r: UInt64) -> Bool {
    Double(Int64(bitPattern: r)) == Double(bitPattern: b)
  }
}

// MARK: Scalars: lane 0 of destination `a`; the rest is that of the first source `b`

/// Sets MXCSR's inexact flag if it is clear and the result is inexact.
@inline(__always)
private func noteInexact(_ cpu: CPU, unless isExact: () -> Bool) {
  let mxcsr = cpu.s.pointee.mxcsr
  if mxcsr & 0x20 == 0, !isExact() { cpu.s.pointee.mxcsr = mxcsr | 0x20 }
}

@inline(__always)
private func settle<O: LaneOperation, E: VectorEncoding>(
  _ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ source: O.From, _: O.Type, _: E.Type
) {
  let first = cpu.vectorBytes(op.pointee.b)
  let own = first.loadUnaligned(as: O.To.self)
  guard let result = O.apply(own, source) else { return Outside.executeFloat(cpu, op, n, fr, fa) }
  noteInexact(cpu) { O.isExact(own, source, result) }
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
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    return settle(cpu, op, n, fr, fa, cpu.vectorBytes(op.pointee.base).loadUnaligned(as: O.From.self), O.self, E.self)
  }
}

enum Scalar_Mem<O: LaneOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.executeFloat(cpu, op, n, fr, fa) }
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
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    return settle(cpu, op, n, fr, fa, cpu.get(op.pointee.base, as: O.From.self), O.self, E.self)
  }
}

// MARK: Scalars to general registers

enum ScalarToGPR_Reg<O: LaneOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let source = cpu.vectorBytes(op.pointee.base).loadUnaligned(as: O.From.self)
    guard E.usable(cpu), O.usable(cpu.s.pointee.mxcsr), let result = O.apply(0, source)
    else { return Outside.executeFloat(cpu, op, n, fr, fa) }
    noteInexact(cpu) { O.isExact(0, source, result) }
    cpu.set(op.pointee.a, result)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum ScalarToGPR_Mem<O: LaneOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > O.From.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let source = cpu.loadHost(address, distance, as: O.From.self)
    guard let result = O.apply(0, source) else { return Outside.executeFloat(cpu, op, n, fr, fa) }
    noteInexact(cpu) { O.isExact(0, source, result) }
    cpu.set(op.pointee.a, result)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: COMISS, UCOMISS, COMISD, UCOMISD, which differ in NaNs only

@inline(__always)
private func setRelation(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ relation: FloatRelation?) {
  guard let relation else { return Outside.executeFloat(cpu, op, n, fr, fa) }
  let flags = Flags.explicit(relation == .less ? Flags.cf : relation == .equal ? Flags.zf : 0)
  cpu.s.pointee.flagKind = FlagKind.explicit
  return Next.operation(cpu, op, n, flags.result, flags.aux)
}

enum Compare_Reg<F: HostFormat, E: VectorEncoding> where F.Bits: Width {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let a = cpu.vectorBytes(op.pointee.a).loadUnaligned(as: F.Bits.self)
    let b = cpu.vectorBytes(op.pointee.base).loadUnaligned(as: F.Bits.self)
    return setRelation(cpu, op, n, fr, fa, HostFloat.tryCompare(F(bits: a), F(bits: b)))
  }
}

enum Compare_Mem<F: HostFormat, E: VectorEncoding> where F.Bits: Width {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
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
  guard let low = lanes(first, source, O.self) else { return Outside.executeFloat(cpu, op, n, fr, fa) }
  if E.isWide {
    guard let high = lanes(first + 16, source + 16, O.self) else { return Outside.executeFloat(cpu, op, n, fr, fa) }
    noteInexact(cpu) { areExact(first, source, low, O.self) && areExact(first + 16, source + 16, high, O.self) }
    cpu.setHigh(op.pointee.a, high)
  } else {
    noteInexact(cpu) { areExact(first, source, low, O.self) }
  }
  cpu.setXMM(op.pointee.a, low, E.self)
  return Next.operation(cpu, op, n, fr, fa)
}

/// Whether the results on all lanes of 128 bits are exact.
@inline(__always)
private func areExact<O: LaneOperation>(_ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, _ r: Half, _: O.Type) -> Bool
where O.From == O.To {
  if O.To.bitWidth == 64 {
    return O.isExact(a.loadUnaligned(as: O.To.self), b.loadUnaligned(as: O.To.self), O.To(truncatingIfNeeded: r[0]))
      && O.isExact(a.loadUnaligned(fromByteOffset: 8, as: O.To.self), b.loadUnaligned(fromByteOffset: 8, as: O.To.self),
                   O.To(truncatingIfNeeded: r[1]))
  }
  for k in 0..<4 {
    let lane = O.To(truncatingIfNeeded: r[k &>> 1] &>> (UInt64(truncatingIfNeeded: k & 1) &* 32))
    if !O.isExact(a.loadUnaligned(fromByteOffset: k &* 4, as: O.To.self), b.loadUnaligned(fromByteOffset: k &* 4, as: O.To.self), lane) {
      return false
    }
  }
  return true
}

enum Packed_Reg<O: LaneOperation, E: VectorEncoding> where O.From == O.To {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) || !O.usable(cpu.s.pointee.mxcsr) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    return settlePacked(cpu, op, n, fr, fa, cpu.vectorBytes(op.pointee.base), O.self, E.self)
  }
}

enum Packed_Mem<O: LaneOperation, E: VectorEncoding> where O.From == O.To {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) || address & E.alignment != 0 || !O.usable(cpu.s.pointee.mxcsr) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > E.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    return settlePacked(cpu, op, n, fr, fa, cpu.host(address, distance), O.self, E.self)
  }
}
