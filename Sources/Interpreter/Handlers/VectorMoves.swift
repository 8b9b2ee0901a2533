import Processor
import X86Decoder

/// Moves of vector registers: whole ones, their low 4 or 8 bytes, halves, and sign masks.

/// MOVAPS, MOVUPS and their kin from memory; `immediate` holds the address bits that must be clear.
enum Vector_Load<E: VectorEncoding, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    if !E.usable(cpu) || UInt32(truncatingIfNeeded: address) & UInt32(bitPattern: op.pointee.immediate) != 0 {
      return Outside.executeFloat(cpu, op, n, fr, fa)
    }
    let distance = cpu.readDistance(address)
    if distance > E.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let source = cpu.host(address, distance)
    if E.isWide { cpu.setHigh(op.pointee.a, source.loadUnaligned(fromByteOffset: 16, as: Half.self)) }
    cpu.setXMM(op.pointee.a, source.loadUnaligned(as: Half.self), E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum Vector_Store<E: VectorEncoding, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    if !E.usable(cpu) || UInt32(truncatingIfNeeded: address) & UInt32(bitPattern: op.pointee.immediate) != 0 {
      return Outside.executeFloat(cpu, op, n, fr, fa)
    }
    let distance = cpu.writeDistance(address)
    if distance > E.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let target = cpu.host(address, distance)
    target.storeBytes(of: cpu.low(op.pointee.a), as: Half.self)
    if E.isWide { target.storeBytes(of: cpu.high(op.pointee.a), toByteOffset: 16, as: Half.self) }
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// MOVSS, MOVSD, MOVD, MOVQ from memory: the rest of the register becomes zero.
enum Vector_LoadLow<T: Width, E: VectorEncoding, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    cpu.setXMM(op.pointee.a, Half(UInt64(truncatingIfNeeded: cpu.loadHost(address, distance, as: T.self)), 0), E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// MOVSS, MOVSD, MOVD, MOVQ, MOVLPS to memory.
enum Vector_StoreLow<T: Width, E: VectorEncoding, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    cpu.storeHost(address, distance, cpu.vectorBytes(op.pointee.a).loadUnaligned(as: T.self))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// MOVHPS, MOVHPD to memory.
enum Vector_StoreHigh<E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.writeDistance(address)
    if distance > UInt64.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    cpu.storeHost(address, distance, cpu.vectorBytes(op.pointee.a).loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// MOVD, MOVQ from a general register.
enum Vector_FromGPR<T: Width, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.setXMM(op.pointee.a, Half(UInt64(truncatingIfNeeded: cpu.get(op.pointee.b, as: T.self)), 0), E.self)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// MOVD, MOVQ to a general register.
enum Vector_ToGPR<T: Width, E: VectorEncoding> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.set(op.pointee.a, cpu.vectorBytes(op.pointee.b).loadUnaligned(as: T.self))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// PMOVMSKB.
enum Vector_ByteMask<E: VectorEncoding> {
  /// Gathers eight sign bits with one multiplication: the partial products do not overlap in the top byte.
  @inline(__always)
  private static func signs(_ x: UInt64) -> UInt64 {
    ((x &>> 7 & 0x0101_0101_0101_0101) &* 0x0102_0408_1020_4080) &>> 56
  }

  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !E.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let source = cpu.vectorBytes(op.pointee.b)
    var mask = signs(source.loadUnaligned(as: UInt64.self)) | signs(source.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) &<< 8
    if E.isWide {
      mask |= signs(source.loadUnaligned(fromByteOffset: 16, as: UInt64.self)) &<< 16
      mask |= signs(source.loadUnaligned(fromByteOffset: 24, as: UInt64.self)) &<< 24
    }
    cpu.set(op.pointee.a, mask)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// MOVMSKPS, MOVMSKPD (of 128 bits) for lanes as wide as `T`.
enum Vector_SignMask<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !LegacyEncoding.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let x = cpu.low(op.pointee.b)
    let mask: UInt64
    if T.bitWidth == 64 {
      mask = x[0] &>> 63 | (x[1] &>> 63) &<< 1
    } else {
      mask = (x[0] &>> 31 & 1) | (x[0] &>> 63) &<< 1 | (x[1] &>> 31 & 1) &<< 2 | (x[1] &>> 63) &<< 3
    }
    cpu.set(op.pointee.a, mask)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Moves that combine two sources

/// MOVAPS and its kin between registers.
enum CopyOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { b }
}
/// MOVQ between registers.
enum CopyLowOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(b[0], 0) }
}
/// MOVSS between registers.
enum MergeSingleOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(a[0] & ~0xFFFF_FFFF | b[0] & 0xFFFF_FFFF, a[1])
  }
}
/// MOVSD between registers, MOVLPS and MOVLPD from memory.
enum MergeLowOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(b[0], a[1]) }
}
/// MOVLHPS, MOVHPS and MOVHPD from memory, PUNPCKLQDQ.
enum UnpackLow64Operation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(a[0], b[0]) }
}
/// MOVHLPS.
enum HighToLowOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(b[1], a[1]) }
}
/// MOVDDUP.
enum DuplicateLowOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(b[0], b[0]) }
}

/// VZEROUPPER in 64-bit mode.
enum Vector_ZeroUpper {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !VEX128Encoding.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    for register in 0..<16 as Range<UInt8> { cpu.setHigh(register, Half()) }
    return Next.operation(cpu, op, n, fr, fa)
  }
}
