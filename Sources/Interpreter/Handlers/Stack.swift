import Processor
import X86Decoder

/// PUSH, POP and LEAVE on a flat stack, by way of the stack-page entry. `T` is the width of a stack slot and of the stack pointer.

enum Push_Reg<T: Width>: Straight {
  @inline(__always) static var miss: MissKind { .push }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let sp = cpu.get(4, as: T.self) &- T(truncatingIfNeeded: T.bitWidth / 8)
    let address = UInt64(truncatingIfNeeded: sp)
    let distance = address &- cpu.s.pointee.stackTag
    if distance >= cpu.s.pointee.stackSpan {
      cpu.s.pointee.missAddress = address
      return false
    }
    (cpu.stack + Int(truncatingIfNeeded: distance)).storeBytes(of: cpu.get(op.pointee.a, as: T.self), as: T.self)
    cpu.set(4, sp)
    return true
  }
}

enum Push_Imm<T: Width>: Straight {
  @inline(__always) static var miss: MissKind { .push }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let sp = cpu.get(4, as: T.self) &- T(truncatingIfNeeded: T.bitWidth / 8)
    let address = UInt64(truncatingIfNeeded: sp)
    let distance = address &- cpu.s.pointee.stackTag
    if distance >= cpu.s.pointee.stackSpan {
      cpu.s.pointee.missAddress = address
      return false
    }
    (cpu.stack + Int(truncatingIfNeeded: distance)).storeBytes(of: T.immediate(op), as: T.self)
    cpu.set(4, sp)
    return true
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
    let sp = cpu.get(4, as: T.self) &- T(truncatingIfNeeded: T.bitWidth / 8)
    let address = UInt64(truncatingIfNeeded: sp)
    let distance = address &- cpu.s.pointee.stackTag
    if distance >= cpu.s.pointee.stackSpan {
      cpu.s.pointee.missAddress = address
      return Miss.stack(cpu, op, n, fr, fa)
    }
    (cpu.stack + Int(truncatingIfNeeded: distance)).storeBytes(of: value, as: T.self)
    cpu.set(4, sp)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum Pop_Reg<T: Width>: Straight {
  @inline(__always) static var miss: MissKind { .pop }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let sp = cpu.get(4, as: T.self)
    let address = UInt64(truncatingIfNeeded: sp)
    let distance = address &- cpu.s.pointee.stackTag
    if distance >= cpu.s.pointee.stackSpan {
      cpu.s.pointee.missAddress = address
      return false
    }
    let value = (cpu.stack + Int(truncatingIfNeeded: distance)).loadUnaligned(as: T.self)
    cpu.set(4, sp &+ T(truncatingIfNeeded: T.bitWidth / 8))
    cpu.set(op.pointee.a, value)
    return true
  }
}

/// LEAVE: rSP = rBP, then POP rBP.
enum Leave<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let sp = cpu.get(5, as: T.self)
    let address = UInt64(truncatingIfNeeded: sp)
    let distance = address &- cpu.s.pointee.stackTag
    if distance >= cpu.s.pointee.stackSpan {
      cpu.s.pointee.missAddress = address
      return Miss.stackRead(cpu, op, n, fr, fa)
    }
    cpu.set(5, (cpu.stack + Int(truncatingIfNeeded: distance)).loadUnaligned(as: T.self))
    cpu.set(4, sp &+ T(truncatingIfNeeded: T.bitWidth / 8))
    return Next.operation(cpu, op, n, fr, fa)
  }
}
