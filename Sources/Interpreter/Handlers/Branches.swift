import Processor
import X86Decoder

/// Jumps, calls, returns, and the end of a block.

/// A conditional jump leaves the block by its link when taken and goes on with the next slot otherwise: blocks continue behind it.
enum Jcc<C: Condition>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if C.holds(fr, fa, cpu.s.pointee.flagKind) { return Next.target(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// JMP, and the end of a block that has no jump of its own.
enum Jmp: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    return Next.target(cpu, op, n, fr, fa)
  }
}

/// What a CALL pushes.
@inline(__always)
private func returnAddress<T: Width>(_ cpu: CPU, _ op: OperationPointer) -> T {
  T(truncatingIfNeeded: cpu.s.pointee.codeBias &+ UInt64(bitPattern: Int64(op.pointee.immediate)))
}

/// CALL rel: `immediate` is the return address relative to the page, `T` the width of the stack slot.
enum Call<T: Width>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.push(returnAddress(cpu, op) as T) { return Miss.stack(cpu, op, n, fr, fa) }
    return Next.target(cpu, op, n, fr, fa)
  }
}

/// CALL r: the target is register `a`.
enum Call_Reg<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let target = UInt64(truncatingIfNeeded: cpu.get(op.pointee.a, as: T.self))
    if !isCanonical(target) { return Outside.retry(cpu, op, n, fr, fa) }
    if !cpu.push(returnAddress(cpu, op) as T) { return Miss.stack(cpu, op, n, fr, fa) }
    return Next.indirect(cpu, op, n, fr, fa, to: target)
  }
}

/// A branch to an address that is not canonical faults before anything changes, outside the chain.
@inline(__always)
private func isCanonical(_ address: UInt64) -> Bool {
  UInt64(bitPattern: Int64(bitPattern: address &<< 16) &>> 16) == address
}

enum Jmp_Reg<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let target = UInt64(truncatingIfNeeded: cpu.get(op.pointee.a, as: T.self))
    if !isCanonical(target) { return Outside.retry(cpu, op, n, fr, fa) }
    return Next.indirect(cpu, op, n, fr, fa, to: target)
  }
}

enum Jmp_Mem<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let target = UInt64(truncatingIfNeeded: cpu.loadHost(address, distance, as: T.self))
    if !isCanonical(target) { return Outside.retry(cpu, op, n, fr, fa) }
    return Next.indirect(cpu, op, n, fr, fa, to: target)
  }
}

enum Call_Mem<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let source = A.address(cpu, op)
    let sourceDistance = cpu.readDistance(source)
    if sourceDistance > T.limit {
      cpu.s.pointee.missAddress = source
      return Miss.read(cpu, op, n, fr, fa)
    }
    let target = UInt64(truncatingIfNeeded: cpu.loadHost(source, sourceDistance, as: T.self))
    if !isCanonical(target) { return Outside.retry(cpu, op, n, fr, fa) }
    if !cpu.push(returnAddress(cpu, op) as T) { return Miss.stack(cpu, op, n, fr, fa) }
    return Next.indirect(cpu, op, n, fr, fa, to: target)
  }
}

/// RET and RET imm16: `immediate` is what else is taken off the stack.
enum Ret<T: Width>: Executable {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let sp = cpu.get(4, as: T.self)
    guard let slot = cpu.stackSlot(at: sp) else { return Miss.stackRead(cpu, op, n, fr, fa) }
    let target = UInt64(truncatingIfNeeded: slot)
    if !isCanonical(target) { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.set(4, sp &+ T(truncatingIfNeeded: T.bitWidth / 8) &+ T.immediate(op))
    return Next.indirect(cpu, op, n, fr, fa, to: target)
  }
}
