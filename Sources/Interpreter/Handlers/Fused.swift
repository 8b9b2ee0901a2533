import Processor
import X86Decoder

/// Compare-and-branch: an instruction that sets flags and the conditional jump after it in one handler. Both have slots
/// of their own, so either can be entered alone; the flags are kept as always.

/// Whether the condition of the jump holds after the flag-setting operation.
@inline(__always)
private func holds<O: ALUOperation, C: Condition, T: Width>(_ o: O.Type, _ c: C.Type, _ a: T, _ b: T, _ r: T) -> Bool {
  if O.kind == FlagKind.sub { return C.afterSub(a, b, r) }
  if O.kind == FlagKind.logic { return C.afterLogic(r) }
  return C.holds(r.justified, a.justified, T.flagKind(O.kind))
}

enum Fused_Reg_Reg<O: ALUOperation, T: Width, C: Condition>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self), b = cpu.get(op.pointee.b, as: T.self)
    let r = O.apply(a, b)
    if O.writes { cpu.set(op.pointee.a, r) }
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    if holds(O.self, C.self, a, b, r) { return Next.target(cpu, op + 1, n, r.justified, a.justified) }
    return Next.afterPair(cpu, op, n, r.justified, a.justified)
  }
}

enum Fused_Reg_Imm<O: ALUOperation, T: Width, C: Condition>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self), b = T.immediate(op)
    let r = O.apply(a, b)
    if O.writes { cpu.set(op.pointee.a, r) }
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    if holds(O.self, C.self, a, b, r) { return Next.target(cpu, op + 1, n, r.justified, a.justified) }
    return Next.afterPair(cpu, op, n, r.justified, a.justified)
  }
}

/// Compares with memory; only for operations that write nothing to memory.
enum Fused_Reg_Mem<O: ALUOperation, T: Width, A: AddressForm, C: Condition>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let a = cpu.get(op.pointee.a, as: T.self), b = cpu.loadHost(address, distance, as: T.self)
    let r = O.apply(a, b)
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    if holds(O.self, C.self, a, b, r) { return Next.target(cpu, op + 1, n, r.justified, a.justified) }
    return Next.afterPair(cpu, op, n, r.justified, a.justified)
  }
}

enum Fused_Mem_Reg<O: ALUOperation, T: Width, A: AddressForm, C: Condition>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let a = cpu.loadHost(address, distance, as: T.self), b = cpu.get(op.pointee.a, as: T.self)
    let r = O.apply(a, b)
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    if holds(O.self, C.self, a, b, r) { return Next.target(cpu, op + 1, n, r.justified, a.justified) }
    return Next.afterPair(cpu, op, n, r.justified, a.justified)
  }
}

enum Fused_Mem_Imm<O: ALUOperation, T: Width, A: AddressForm, C: Condition>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let a = cpu.loadHost(address, distance, as: T.self), b = T.immediate(op)
    let r = O.apply(a, b)
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    if holds(O.self, C.self, a, b, r) { return Next.target(cpu, op + 1, n, r.justified, a.justified) }
    return Next.afterPair(cpu, op, n, r.justified, a.justified)
  }
}

/// INC or DEC and a jump on ZF or SF.
enum Fused_Step<O: StepOperation, T: Width, C: Condition>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let carry: UInt64 = Flags.carry(fr, fa, cpu.s.pointee.flagKind) ? 1 : 0
    let r = O.apply(cpu.get(op.pointee.a, as: T.self))
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    if C.afterLogic(r) { return Next.target(cpu, op + 1, n, r.justified, carry) }
    return Next.afterPair(cpu, op, n, r.justified, carry)
  }
}

/// MOV r, r followed by an operation on the same destination: a three-operand operation. Its source is that of the MOV.
enum Fused_Mov_ALU_Imm<O: ALUOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let second = op + 1
    let a = cpu.get(op.pointee.b, as: T.self)
    let r = O.apply(a, T.immediate(second))
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    return Next.afterPair(cpu, op, n, r.justified, a.justified)
  }
}

/// Two register moves.
enum Fused_Mov_Mov<T: Width, U: Width>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let second = op + 1
    cpu.set(op.pointee.a, cpu.get(op.pointee.b, as: T.self))
    cpu.set(second.pointee.a, cpu.get(second.pointee.b, as: U.self))
    return Next.afterPair(cpu, op, n, fr, fa)
  }
}

/// Two pushes of registers on the same stack page.
enum Fused_Push_Push<T: Width>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let slot = T(truncatingIfNeeded: T.bitWidth / 8)
    let sp = cpu.get(4, as: T.self) &- slot &- slot
    let address = UInt64(truncatingIfNeeded: sp)
    let distance = address &- cpu.s.pointee.stackTag
    if distance &+ UInt64(truncatingIfNeeded: slot) >= cpu.s.pointee.stackSpan || distance >= cpu.s.pointee.stackSpan {
      cpu.s.pointee.missAddress = address &+ UInt64(truncatingIfNeeded: slot)
      return Push_Reg<T>.run(cpu, op, n, fr, fa)
    }
    let second = op + 1
    let top = cpu.stack + Int(truncatingIfNeeded: distance)
    (top + T.bitWidth / 8).storeBytes(of: cpu.get(op.pointee.a, as: T.self), as: T.self)
    cpu.set(4, sp &+ slot)
    top.storeBytes(of: cpu.get(second.pointee.a, as: T.self), as: T.self)
    cpu.set(4, sp)
    return Next.afterPair(cpu, op, n, fr, fa)
  }
}

/// Two pops of registers.
enum Fused_Pop_Pop<T: Width>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let slot = T(truncatingIfNeeded: T.bitWidth / 8)
    let sp = cpu.get(4, as: T.self)
    let distance = UInt64(truncatingIfNeeded: sp) &- cpu.s.pointee.stackTag
    let second = op + 1
    if distance &+ UInt64(truncatingIfNeeded: slot) >= cpu.s.pointee.stackSpan || distance >= cpu.s.pointee.stackSpan
      || op.pointee.a == 4 {
      return Pop_Reg<T>.run(cpu, op, n, fr, fa)
    }
    let top = cpu.stack + Int(truncatingIfNeeded: distance)
    let first = top.loadUnaligned(as: T.self)
    let other = (top + T.bitWidth / 8).loadUnaligned(as: T.self)
    cpu.set(4, sp &+ slot &+ slot)
    cpu.set(op.pointee.a, first)
    cpu.set(second.pointee.a, other)
    return Next.afterPair(cpu, op, n, fr, fa)
  }
}
