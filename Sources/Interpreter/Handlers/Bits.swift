import Processor
import X86Decoder

/// BT, BTS, BTR, BTC of registers; bit counts and scans; BMI1.

protocol BitOperation: SendableMetatype {
  static func apply<T: Width>(_ a: T, _ bit: T) -> T
  static var writes: Bool { get }
}
enum BtOperation: BitOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ bit: T) -> T { a }
  @inline(__always) static var writes: Bool { false }
}
enum BtsOperation: BitOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ bit: T) -> T { a | bit }
  @inline(__always) static var writes: Bool { true }
}
enum BtrOperation: BitOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ bit: T) -> T { a & ~bit }
  @inline(__always) static var writes: Bool { true }
}
enum BtcOperation: BitOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ bit: T) -> T { a ^ bit }
  @inline(__always) static var writes: Bool { true }
}

/// CF becomes the bit; the other flags stay as they are.
@inline(__always)
private func setCarry(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ carry: Bool) {
  let kind = cpu.s.pointee.flagKind
  switch kind & 0xFF {
  case FlagKind.logic:
    cpu.s.pointee.flagKind = (kind & ~0xFF) | FlagKind.shift
    return Next.operation(cpu, op, n, fr, carry ? 1 : 0)
  case FlagKind.shift, FlagKind.inc, FlagKind.dec, FlagKind.explicit:
    // All keep CF in bit 0 of the auxiliary word.
    return Next.operation(cpu, op, n, fr, (fa & ~1) | (carry ? 1 : 0))
  default:
    if carry { return CarryFlag.set(cpu, op, n, fr, fa) }
    return CarryFlag.clear(cpu, op, n, fr, fa)
  }
}

/// OF and AF of additions and subtractions are worked out before CF is replaced.
private enum CarryFlag {
  @inline(never)
  static func set(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let kind = cpu.s.pointee.flagKind
    let aux = Flags.replacing(carry: true, overflow: Flags.overflow(fr, fa, kind), fr, fa, kind)
    cpu.s.pointee.flagKind = (kind & ~0xFF) | FlagKind.shift
    return Next.operation(cpu, op, n, fr, aux)
  }

  @inline(never)
  static func clear(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let kind = cpu.s.pointee.flagKind
    let aux = Flags.replacing(carry: false, overflow: Flags.overflow(fr, fa, kind), fr, fa, kind)
    cpu.s.pointee.flagKind = (kind & ~0xFF) | FlagKind.shift
    return Next.operation(cpu, op, n, fr, aux)
  }
}

enum Bit_Reg_Reg<O: BitOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self)
    let bit: T = 1 &<< cpu.get(op.pointee.b, as: T.self)
    if O.writes { cpu.set(op.pointee.a, O.apply(a, bit)) }
    return setCarry(cpu, op, n, fr, fa, a & bit != 0)
  }
}

enum Bit_Reg_Imm<O: BitOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self)
    let bit: T = 1 &<< T.immediate(op)
    if O.writes { cpu.set(op.pointee.a, O.apply(a, bit)) }
    return setCarry(cpu, op, n, fr, fa, a & bit != 0)
  }
}

/// A bit of memory by a constant index, which stays within the operand.
enum Bit_Mem_Imm<O: BitOperation, T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = O.writes ? cpu.writeDistance(address) : cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      if O.writes { return Miss.write(cpu, op, n, fr, fa) }
      return Miss.read(cpu, op, n, fr, fa)
    }
    let a = cpu.loadHost(address, distance, as: T.self)
    let bit: T = 1 &<< T.immediate(op)
    if O.writes { cpu.storeHost(address, distance, O.apply(a, bit)) }
    return setCarry(cpu, op, n, fr, fa, a & bit != 0)
  }
}

/// Fused BT and Jcc on the carry.
enum Bit_Reg_Jcc<T: Width, C: Condition> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let bit: T = 1 &<< (op.pointee.index == 16 ? cpu.get(op.pointee.b, as: T.self) : T.immediate(op))
    let isSet = cpu.get(op.pointee.a, as: T.self) & bit != 0
    let word = (Flags.word(fr, fa, cpu.s.pointee.flagKind) & ~Flags.cf) | (isSet ? Flags.cf : 0)
    let flags = Flags.explicit(word)
    cpu.s.pointee.flagKind = FlagKind.explicit
    if C.holds(flags.result, flags.aux, FlagKind.explicit) {
      return Next.target(cpu, op + 1, n, flags.result, flags.aux)
    }
    return Next.afterPair(cpu, op, n, flags.result, flags.aux)
  }
}

/// BSF and BSR with a source that is not 0; a zero source goes outside the chain, where the destination is kept and ZF set.
enum Bsf<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let b = cpu.get(op.pointee.b, as: T.self)
    if b == 0 { return Outside.retry(cpu, op, n, fr, fa) }
    let r = T(truncatingIfNeeded: b.trailingZeroBitCount)
    cpu.set(op.pointee.a, r)
    return Bits.setZero(cpu, op, n, fr, fa, false)
  }
}

enum Bsr<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let b = cpu.get(op.pointee.b, as: T.self)
    if b == 0 { return Outside.retry(cpu, op, n, fr, fa) }
    let r = T(truncatingIfNeeded: T.bitWidth &- 1 &- b.leadingZeroBitCount)
    cpu.set(op.pointee.a, r)
    return Bits.setZero(cpu, op, n, fr, fa, false)
  }
}

enum Bits {
  /// ZF changes, the other flags stay.
  @inline(__always)
  static func setZero(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ zero: Bool) {
    let word = (Flags.word(fr, fa, cpu.s.pointee.flagKind) & ~Flags.zf) | (zero ? Flags.zf : 0)
    let flags = Flags.explicit(word)
    cpu.s.pointee.flagKind = FlagKind.explicit
    return Next.operation(cpu, op, n, flags.result, flags.aux)
  }
}
