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

enum Rotate_Reg_Imm<O: RotateOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let r = O.apply(cpu.get(op.pointee.a, as: T.self), T.immediate(op))
    cpu.set(op.pointee.a, r)
    let kind = cpu.s.pointee.flagKind
    // After logic operations and shifts AF is 0, so that the other flags can stay in their lazy form.
    if kind & 0xFF == FlagKind.logic || kind & 0xFF == FlagKind.shift {
      cpu.s.pointee.flagKind = (kind & ~0xFF) | FlagKind.shift
      return Next.operation(cpu, op, n, fr, (O.carry(r) ? 1 : 0) | (O.overflow(r) ? 2 : 0))
    }
    if kind & 0xFF == FlagKind.explicit {
      let kept = fa & ~(Flags.cf | Flags.of)
      return Next.operation(cpu, op, n, fr, kept | (O.carry(r) ? Flags.cf : 0) | (O.overflow(r) ? Flags.of : 0))
    }
    return setFlags(cpu, op, n, fr, fa)
  }
}

extension Rotate_Reg_Imm {
  /// Turns all flags into a word, then sets CF and OF by the result, which is in the register.
  @inline(never)
  private static func setFlags(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let r = cpu.get(op.pointee.a, as: T.self)
    let word = (Flags.word(fr, fa, cpu.s.pointee.flagKind) & ~(Flags.cf | Flags.of))
      | (O.carry(r) ? Flags.cf : 0) | (O.overflow(r) ? Flags.of : 0)
    let flags = Flags.explicit(word)
    cpu.s.pointee.flagKind = FlagKind.explicit
    return Next.operation(cpu, op, n, flags.result, flags.aux)
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
