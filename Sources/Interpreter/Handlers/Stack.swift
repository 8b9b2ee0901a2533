import Processor
import X86Decoder

/// PUSH, POP and LEAVE on a flat stack, by way of the stack-page entry. `T` is the width of a stack slot and of the stack pointer.

enum Push_Reg<T: Width>: Straight {
  @inline(__always) static var miss: MissKind { .push }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    return cpu.push(cpu.get(op.pointee.a, as: T.self))
  }
}

enum Push_Imm<T: Width>: Straight {
  @inline(__always) static var miss: MissKind { .push }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    return cpu.push(T.immediate(op))
  }
}

enum Push_Mem<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let source = A.address(cpu, op)
    let sourceDistance = cpu.readDistance(source)
    if sourceDistance > T.limit {
      cpu.s.pointee.missAddress = source
      return Miss.read(cpu, op, n, fr, fa)
    }
    let value = cpu.loadHost(source, sourceDistance, as: T.self)
    if !cpu.push(value) { return Miss.stack(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum Pop_Reg<T: Width>: Straight {
  @inline(__always) static var miss: MissKind { .pop }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let sp = cpu.get(4, as: T.self)
    guard let value = cpu.stackSlot(at: sp) else { return false }
    cpu.set(4, sp &+ T(truncatingIfNeeded: T.bitWidth / 8))
    cpu.set(op.pointee.a, value)
    return true
  }
}

/// LEAVE: rSP = rBP, then POP rBP.
enum Leave<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let sp = cpu.get(5, as: T.self)
    guard let value = cpu.stackSlot(at: sp) else { return Miss.stackRead(cpu, op, n, fr, fa) }
    cpu.set(5, value)
    cpu.set(4, sp &+ T(truncatingIfNeeded: T.bitWidth / 8))
    return Next.operation(cpu, op, n, fr, fa)
  }
}
