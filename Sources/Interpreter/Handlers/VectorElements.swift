import Processor
import X86Decoder

/// Vector instructions that move or test elements: broadcasts, insertion, extraction, extension, 128-bit halves, PTEST.

// MARK: Broadcasts: lane 0 of `base`, or memory, to all lanes of `a`

@inline(__always)
private func broadcast<T: Width, E: VectorEncoding>(_ cpu: CPU, _ n: UInt8, _ value: T, _: E.Type) {
  // One in every lane of the type, times the value.
  let ones: UInt64 = T.bitWidth == 64 ? 1 : ~0 / ((1 &<< UInt64(T.bitWidth)) &- 1)
  let word = UInt64(truncatingIfNeeded: value) &* ones
  if E.isWide { cpu.setHigh(n, Half(word, word)) }
  cpu.setXMM(n, Half(word, word), E.self)
}

enum Vector_Broadcast<T: Width, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    broadcast(cpu, op.pointee.a, cpu.vectorBytes(op.pointee.base).loadUnaligned(as: T.self), E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum Vector_Broadcast_Mem<T: Width, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    broadcast(cpu, op.pointee.a, cpu.loadHost(address, distance, as: T.self), E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Elements and general registers; `immediate` is the element's offset in bytes

/// PINSRB, PINSRW, PINSRD, PINSRQ from the general register `base`, with `b` the first source.
enum Vector_Insert<T: Width, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let value = T(truncatingIfNeeded: cpu.get(op.pointee.base, as: UInt64.self))
    if E.clearsUpper || op.pointee.a != op.pointee.b { cpu.setXMM(op.pointee.a, cpu.low(op.pointee.b), E.self) }
    cpu.vectorBytes(op.pointee.a).storeBytes(of: value, toByteOffset: Int(op.pointee.immediate), as: T.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// PEXTRB, PEXTRW, PEXTRD, PEXTRQ from `b` to the general register `a`, zero-extended.
enum Vector_Extract<T: Width, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let value = cpu.vectorBytes(op.pointee.b).loadUnaligned(fromByteOffset: Int(op.pointee.immediate), as: T.self)
    cpu.set(op.pointee.a, UInt64(truncatingIfNeeded: value))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Halves of 256 bits; `immediate` chooses

/// VINSERTI128, VINSERTF128 of the register `base` into `b`.
enum Vector_InsertHalf {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !VEX256Encoding.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let half = cpu.low(op.pointee.base), low = cpu.low(op.pointee.b), high = cpu.high(op.pointee.b)
    let isHigh = op.pointee.immediate & 1 != 0
    cpu.setLow(op.pointee.a, isHigh ? low : half)
    cpu.setHigh(op.pointee.a, isHigh ? half : high)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// VINSERTI128, VINSERTF128 of memory.
enum Vector_InsertHalf_Mem {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !VEX256Encoding.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > VEX128Encoding.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let half = cpu.host(address, distance).loadUnaligned(as: Half.self), low = cpu.low(op.pointee.b), high = cpu.high(op.pointee.b)
    let isHigh = op.pointee.immediate & 1 != 0
    cpu.setLow(op.pointee.a, isHigh ? low : half)
    cpu.setHigh(op.pointee.a, isHigh ? half : high)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// VEXTRACTI128, VEXTRACTF128 of `b` to the register `a`.
enum Vector_ExtractHalf {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !VEX256Encoding.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.setXMM(op.pointee.a, op.pointee.immediate & 1 != 0 ? cpu.high(op.pointee.b) : cpu.low(op.pointee.b), VEX128Encoding.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// VPERM2I128, VPERM2F128 of the registers `b` and `base`.
enum Vector_PermuteHalves {
  @inline(__always)
  private static func half(_ cpu: CPU, _ op: OperationPointer, _ control: Int32) -> Half {
    if control & 8 != 0 { return Half() }
    let register = control & 2 != 0 ? op.pointee.base : op.pointee.b
    return control & 1 != 0 ? cpu.high(register) : cpu.low(register)
  }

  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !VEX256Encoding.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let low = half(cpu, op, op.pointee.immediate), high = half(cpu, op, op.pointee.immediate &>> 4)
    cpu.setLow(op.pointee.a, low)
    cpu.setHigh(op.pointee.a, high)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// VPERMQ, VPERMPD of the register `base`.
enum Vector_PermuteQuads {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !VEX256Encoding.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let source = cpu.vectorBytes(op.pointee.base)
    let control = Int(op.pointee.immediate)
    let q0 = source.loadUnaligned(fromByteOffset: (control & 3) &* 8, as: UInt64.self)
    let q1 = source.loadUnaligned(fromByteOffset: (control &>> 2 & 3) &* 8, as: UInt64.self)
    let q2 = source.loadUnaligned(fromByteOffset: (control &>> 4 & 3) &* 8, as: UInt64.self)
    let q3 = source.loadUnaligned(fromByteOffset: (control &>> 6 & 3) &* 8, as: UInt64.self)
    cpu.setLow(op.pointee.a, Half(q0, q1))
    cpu.setHigh(op.pointee.a, Half(q2, q3))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Extension of 64 bits to 128

/// PMOVZX and PMOVSX to lanes of twice the width.
protocol ExtendOperation: SendableMetatype {
  static func apply(_ x: UInt64) -> Half
}
@inline(__always) private func bytes(_ x: UInt64) -> SIMD8<UInt8> { unsafeBitCast(x, to: SIMD8<UInt8>.self) }
@inline(__always) private func words(_ x: UInt64) -> SIMD4<UInt16> { unsafeBitCast(x, to: SIMD4<UInt16>.self) }
enum PMOVZXBWOperation: ExtendOperation {
  @inline(__always) static func apply(_ x: UInt64) -> Half { Half(lanes: SIMD8<UInt16>(truncatingIfNeeded: bytes(x))) }
}
enum PMOVZXWDOperation: ExtendOperation {
  @inline(__always) static func apply(_ x: UInt64) -> Half { Half(lanes: SIMD4<UInt32>(truncatingIfNeeded: words(x))) }
}
enum PMOVZXDQOperation: ExtendOperation {
  @inline(__always) static func apply(_ x: UInt64) -> Half { Half(x & 0xFFFF_FFFF, x &>> 32) }
}
enum PMOVSXBWOperation: ExtendOperation {
  @inline(__always) static func apply(_ x: UInt64) -> Half {
    Half(lanes: SIMD8<Int16>(truncatingIfNeeded: unsafeBitCast(x, to: SIMD8<Int8>.self)))
  }
}
enum PMOVSXWDOperation: ExtendOperation {
  @inline(__always) static func apply(_ x: UInt64) -> Half {
    Half(lanes: SIMD4<Int32>(truncatingIfNeeded: unsafeBitCast(x, to: SIMD4<Int16>.self)))
  }
}
enum PMOVSXDQOperation: ExtendOperation {
  @inline(__always) static func apply(_ x: UInt64) -> Half {
    Half(UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: x))), UInt64(bitPattern: Int64(bitPattern: x) &>> 32))
  }
}

enum Vector_Extend<O: ExtendOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let source = cpu.low(op.pointee.base)
    if E.isWide { cpu.setHigh(op.pointee.a, O.apply(source[1])) }
    cpu.setXMM(op.pointee.a, O.apply(source[0]), E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// Half as much memory as the vector has, of any alignment.
enum Vector_Extend_Mem<O: ExtendOperation, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > (E.isWide ? VEX128Encoding.limit : UInt64.limit) {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let source = cpu.host(address, distance)
    if E.isWide { cpu.setHigh(op.pointee.a, O.apply(source.loadUnaligned(fromByteOffset: 8, as: UInt64.self))) }
    cpu.setXMM(op.pointee.a, O.apply(source.loadUnaligned(as: UInt64.self)), E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: PTEST, VPTEST of the registers `a` and `base`

/// ZF: no common ones; CF: the second source has no ones outside the first.
enum Vector_Test<E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let a = cpu.low(op.pointee.a), b = cpu.low(op.pointee.base)
    var common = a & b, outside = ~a & b
    if E.isWide {
      let a = cpu.high(op.pointee.a), b = cpu.high(op.pointee.base)
      common |= a & b
      outside |= ~a & b
    }
    let flags = Flags.explicit((common[0] | common[1] == 0 ? Flags.zf : 0) | (outside[0] | outside[1] == 0 ? Flags.cf : 0))
    cpu.s.pointee.flagKind = FlagKind.explicit
    return Next.operation(cpu, op, n, flags.result, flags.aux)
  }
}
