import Processor
import X86Decoder

/// Bit counts, BMI1, BMI2 and the additions through one flag of ADX.

// MARK: Counts

protocol CountOperation: SendableMetatype {
  static func apply<T: Width>(_ a: T) -> T
  /// TZCNT and LZCNT set CF for a zero source and ZF for a zero result, POPCNT the latter only.
  static var carries: Bool { get }
}
enum TzcntOperation: CountOperation {
  @inline(__always) static func apply<T: Width>(_ a: T) -> T { T(truncatingIfNeeded: a.trailingZeroBitCount) }
  @inline(__always) static var carries: Bool { true }
}
enum LzcntOperation: CountOperation {
  @inline(__always) static func apply<T: Width>(_ a: T) -> T { T(truncatingIfNeeded: a.leadingZeroBitCount) }
  @inline(__always) static var carries: Bool { true }
}
enum PopcntOperation: CountOperation {
  @inline(__always) static func apply<T: Width>(_ a: T) -> T { T(truncatingIfNeeded: a.nonzeroBitCount) }
  @inline(__always) static var carries: Bool { false }
}

@inline(__always)
private func settleCount<O: CountOperation, T: Width>(
  _ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ source: T, _: O.Type
) {
  let r = O.apply(source)
  cpu.set(op.pointee.a, r)
  let flags = Flags.explicit((O.carries && source == 0 ? Flags.cf : 0) | (r == 0 ? Flags.zf : 0))
  cpu.s.pointee.flagKind = FlagKind.explicit
  return Next.operation(cpu, op, n, flags.result, flags.aux)
}

enum Count_Reg<O: CountOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    settleCount(cpu, op, n, fr, fa, cpu.get(op.pointee.b, as: T.self), O.self)
  }
}

enum Count_Mem<O: CountOperation, T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    return settleCount(cpu, op, n, fr, fa, cpu.loadHost(address, distance, as: T.self), O.self)
  }
}

// MARK: BMI1 and BMI2 on registers: destination `a`, sources `b` and `base`

/// Flags are those of a shift: SF, ZF and PF by the result, OF and AF clear, CF given.
protocol BitFieldOperation: SendableMetatype {
  static func apply<T: Width>(_ a: T, _ b: T) -> (result: T, carry: Bool)
}
enum AndnOperation: BitFieldOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> (result: T, carry: Bool) { (~a & b, false) }
}
enum BlsiOperation: BitFieldOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _: T) -> (result: T, carry: Bool) { (a & (0 &- a), a != 0) }
}
enum BlsmskOperation: BitFieldOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _: T) -> (result: T, carry: Bool) { (a ^ (a &- 1), a == 0) }
}
enum BlsrOperation: BitFieldOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _: T) -> (result: T, carry: Bool) { (a & (a &- 1), a == 0) }
}
enum BzhiOperation: BitFieldOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> (result: T, carry: Bool) {
    let index = b & 0xFF
    let beyond = index >= T(truncatingIfNeeded: T.bitWidth)
    return (beyond ? a : a & ((1 &<< index) &- 1), beyond)
  }
}

enum BitField_Reg<O: BitFieldOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let (r, carry) = O.apply(cpu.get(op.pointee.b, as: T.self), cpu.get(op.pointee.base, as: T.self))
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.shift)
    return Next.operation(cpu, op, n, r.justified, carry ? 1 : 0)
  }
}

enum Bextr<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let control = cpu.get(op.pointee.base, as: UInt64.self)
    let start = control & 0xFF, length = control &>> 8 & 0xFF
    let value = UInt64(truncatingIfNeeded: cpu.get(op.pointee.b, as: T.self))
    let field = start < 64 ? value &>> start : 0
    let r = length < 64 ? field & ((1 &<< length) &- 1) : field
    cpu.set(op.pointee.a, T(truncatingIfNeeded: r))
    let flags = Flags.explicit(r == 0 ? Flags.zf : 0)
    cpu.s.pointee.flagKind = FlagKind.explicit
    return Next.operation(cpu, op, n, flags.result, flags.aux)
  }
}

/// Bits of `b` to the places that have ones in `base`.
enum Pdep<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    var bits = cpu.get(op.pointee.b, as: T.self), mask = cpu.get(op.pointee.base, as: T.self)
    var r: T = 0
    while mask != 0 {
      let lowest = mask & (0 &- mask)
      r |= lowest & (0 &- (bits & 1))
      bits &>>= 1
      mask ^= lowest
    }
    cpu.set(op.pointee.a, r)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// Bits of `b` from the places that have ones in `base`.
enum Pext<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let value = cpu.get(op.pointee.b, as: T.self)
    var mask = cpu.get(op.pointee.base, as: T.self)
    var r: T = 0, place: T = 1
    while mask != 0 {
      let lowest = mask & (0 &- mask)
      if value & lowest != 0 { r |= place }
      place &<<= 1
      mask ^= lowest
    }
    cpu.set(op.pointee.a, r)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: ADX: destination `a`, source `b`, through CF or OF alone

protocol FlagChoice: SendableMetatype { static var flag: UInt64 { get } }
enum ThroughCarry: FlagChoice { @inline(__always) static var flag: UInt64 { Flags.cf } }
enum ThroughOverflow: FlagChoice { @inline(__always) static var flag: UInt64 { Flags.of } }

enum AddThrough<F: FlagChoice, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let word = Flags.word(fr, fa, cpu.s.pointee.flagKind)
    let (sum, first) = cpu.get(op.pointee.a, as: T.self).addingReportingOverflow(cpu.get(op.pointee.b, as: T.self))
    let (r, second) = sum.addingReportingOverflow(word & F.flag != 0 ? 1 : 0)
    cpu.set(op.pointee.a, r)
    let flags = Flags.explicit(first || second ? word | F.flag : word & ~F.flag)
    cpu.s.pointee.flagKind = FlagKind.explicit
    return Next.operation(cpu, op, n, flags.result, flags.aux)
  }
}
