import Processor
import X86Decoder

/// Shifts and rotates of registers by a constant or by CL (SDM vol. 1 §7.3.6).
///
/// OF is computed for all counts as for a count of 1, like the generic functions do. Constant counts are
/// masked and not 0 when they come here.

protocol ShiftOperation: SendableMetatype {
  /// `count` is 1 … width − 1.
  static func apply<T: Width>(_ a: T, _ count: T) -> T
  static func carry<T: Width>(_ a: T, _ count: T, _ r: T) -> Bool
  static func overflow<T: Width>(_ a: T, _ r: T, carry: Bool) -> Bool
}

@inline(__always)
private func topBit<T: Width>(_ value: T) -> Bool { T.signed(value) < 0 }

enum ShlOperation: ShiftOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ count: T) -> T { a &<< count }
  @inline(__always) static func carry<T: Width>(_ a: T, _ count: T, _ r: T) -> Bool {
    (a &>> (T(truncatingIfNeeded: T.bitWidth) &- count)) & 1 != 0
  }
  @inline(__always) static func overflow<T: Width>(_ a: T, _ r: T, carry: Bool) -> Bool { topBit(r) != carry }
}

enum ShrOperation: ShiftOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ count: T) -> T { a &>> count }
  @inline(__always) static func carry<T: Width>(_ a: T, _ count: T, _ r: T) -> Bool { (a &>> (count &- 1)) & 1 != 0 }
  @inline(__always) static func overflow<T: Width>(_ a: T, _ r: T, carry: Bool) -> Bool { topBit(r ^ (r &<< 1)) }
}

enum SarOperation: ShiftOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ count: T) -> T {
    T.unsigned(T.signed(a) &>> T.signed(count))
  }
  @inline(__always) static func carry<T: Width>(_ a: T, _ count: T, _ r: T) -> Bool { (a &>> (count &- 1)) & 1 != 0 }
  @inline(__always) static func overflow<T: Width>(_ a: T, _ r: T, carry: Bool) -> Bool { false }
}

enum Shift_Reg_Imm<O: ShiftOperation, T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let a = cpu.get(op.pointee.a, as: T.self), count = T.immediate(op)
    let r = O.apply(a, count)
    let carry = O.carry(a, count, r)
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.shift)
    fr = r.justified
    fa = (carry ? 1 : 0) | (O.overflow(a, r, carry: carry) ? 2 : 0)
    return true
  }
}

enum Shift_Reg_Imm_NoFlags<O: ShiftOperation, T: Width>: RegisterOperation {
  @inline(__always)
  static func value(_ cpu: CPU, _ op: OperationPointer, _ old: T) -> T { O.apply(old, T.immediate(op)) }
}

/// By CL; only for 32 and 64 bits, where the masked count is below the width. A count of 0 leaves the flags alone.
enum Shift_Reg_CL<O: ShiftOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self)
    let count = cpu.get(1, as: T.self) & T(truncatingIfNeeded: T.bitWidth &- 1)
    if count == 0 {
      cpu.set(op.pointee.a, a)
      return Next.operation(cpu, op, n, fr, fa)
    }
    let r = O.apply(a, count)
    let carry = O.carry(a, count, r)
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.shift)
    return Next.operation(cpu, op, n, r.justified, (carry ? 1 : 0) | (O.overflow(a, r, carry: carry) ? 2 : 0))
  }
}

// MARK: Rotates change CF and OF only

protocol RotateOperation: SendableMetatype {
  static func apply<T: Width>(_ a: T, _ count: T) -> T
  static func carry<T: Width>(_ r: T) -> Bool
  static func overflow<T: Width>(_ r: T) -> Bool
}

enum RolOperation: RotateOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ count: T) -> T {
    (a &<< count) | (a &>> (T(truncatingIfNeeded: T.bitWidth) &- count))
  }
  @inline(__always) static func carry<T: Width>(_ r: T) -> Bool { r & 1 != 0 }
  @inline(__always) static func overflow<T: Width>(_ r: T) -> Bool { (r & 1 != 0) != topBit(r) }
}

enum RorOperation: RotateOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ count: T) -> T {
    (a &>> count) | (a &<< (T(truncatingIfNeeded: T.bitWidth) &- count))
  }
  @inline(__always) static func carry<T: Width>(_ r: T) -> Bool { topBit(r) }
  @inline(__always) static func overflow<T: Width>(_ r: T) -> Bool { topBit(r ^ (r &<< 1)) }
}

extension RotateOperation {
  /// Replaces CF and OF by those of the result; the other flags stay in their lazy form.
  @inline(__always)
  static func flags<T: Width>(_ cpu: CPU, _ r: T, _ fr: UInt64, _ fa: UInt64) -> UInt64 {
    let kind = cpu.s.pointee.flagKind
    if kind & 0xFF == FlagKind.explicit {
      return fa & ~(Flags.cf | Flags.of) | (carry(r) ? Flags.cf : 0) | (overflow(r) ? Flags.of : 0)
    }
    cpu.s.pointee.flagKind = (kind & ~0xFF) | FlagKind.shift
    return Flags.replacing(carry: carry(r), overflow: overflow(r), fr, fa, kind)
  }
}

enum Rotate_Reg_Imm<O: RotateOperation, T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let r = O.apply(cpu.get(op.pointee.a, as: T.self), T.immediate(op))
    cpu.set(op.pointee.a, r)
    fa = O.flags(cpu, r, fr, fa)
    return true
  }
}

/// By CL, for 32 and 64 bits. A count of 0 leaves the flags alone.
enum Rotate_Reg_CL<O: RotateOperation, T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let a = cpu.get(op.pointee.a, as: T.self)
    let count = cpu.get(1, as: T.self) & T(truncatingIfNeeded: T.bitWidth &- 1)
    let r = O.apply(a, count)
    cpu.set(op.pointee.a, r)
    if count != 0 { fa = O.flags(cpu, r, fr, fa) }
    return true
  }
}

enum Rotate_Reg_Imm_NoFlags<O: RotateOperation, T: Width>: RegisterOperation {
  @inline(__always)
  static func value(_ cpu: CPU, _ op: OperationPointer, _ old: T) -> T { O.apply(old, T.immediate(op)) }
}

// MARK: BMI2 shifts and RORX: no flags

/// SHLX, SHRX, SARX r, r, r: `b` is the source, `base` the count.
enum ShiftX<O: ShiftOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let count = cpu.get(op.pointee.base, as: T.self) & T(truncatingIfNeeded: T.bitWidth &- 1)
    cpu.set(op.pointee.a, O.apply(cpu.get(op.pointee.b, as: T.self), count))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum Rorx<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.set(op.pointee.a, RorOperation.apply(cpu.get(op.pointee.b, as: T.self), T.immediate(op)))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// SHLD and SHRD r, r, imm8 of 32 and 64 bits, count not 0.
enum Shld_Imm<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self), count = T.immediate(op)
    let opposite = T(truncatingIfNeeded: T.bitWidth) &- count
    let r = (a &<< count) | (cpu.get(op.pointee.b, as: T.self) &>> opposite)
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.shift)
    let carry = (a &>> opposite) & 1 != 0
    return Next.operation(cpu, op, n, r.justified, (carry ? 1 : 0) | (topBit(r) != carry ? 2 : 0))
  }
}

enum Shrd_Imm<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self), count = T.immediate(op)
    let opposite = T(truncatingIfNeeded: T.bitWidth) &- count
    let r = (a &>> count) | (cpu.get(op.pointee.b, as: T.self) &<< opposite)
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.shift)
    let overflow: UInt64 = topBit(r ^ (r &<< 1)) ? 2 : 0
    return Next.operation(cpu, op, n, r.justified, UInt64(truncatingIfNeeded: (a &>> (count &- 1)) & 1) | overflow)
  }
}
