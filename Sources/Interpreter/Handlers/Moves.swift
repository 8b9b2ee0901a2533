import Processor
import X86Decoder

/// MOV, MOVZX, MOVSX, MOVSXD, LEA, XCHG, CMPXCHG, XADD, BSWAP, CBW … CQO, SETcc and CMOVcc.

enum Mov_Reg_Reg<T: Width>: CombiningOperation {
  @inline(__always)
  static func value(_ cpu: CPU, _ op: OperationPointer, _ old: T) -> T { cpu.get(op.pointee.b, as: T.self) }
  @inline(__always)
  static func combine(_ old: T, _ fed: T) -> T { fed }
}

enum Mov_Reg_Imm<T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    cpu.set(op.pointee.a, T.immediate(op))
    return true
  }
}

/// A 64-bit constant, in `link`.
enum Mov_Reg_Imm64: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    cpu.set(op.pointee.a, UInt64(op.pointee.link))
    return true
  }
}

enum Mov_Reg_Mem<T: Width, A: AddressForm>: Straight {
  @inline(__always) static var miss: MissKind { .read }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return false
    }
    cpu.set(op.pointee.a, cpu.loadHost(address, distance, as: T.self))
    return true
  }
}

enum Mov_Mem_Reg<T: Width, A: AddressForm>: Straight {
  @inline(__always) static var miss: MissKind { .write }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let address = A.address(cpu, op)
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return false
    }
    cpu.storeHost(address, distance, cpu.get(op.pointee.a, as: T.self))
    return true
  }
}

enum Mov_Mem_Imm<T: Width, A: AddressForm>: Straight {
  @inline(__always) static var miss: MissKind { .write }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let address = A.address(cpu, op)
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return false
    }
    cpu.storeHost(address, distance, T.immediate(op))
    return true
  }
}

/// MOVZX from `S` to `T`.
enum Movzx_Reg_Reg<T: Width, S: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    cpu.set(op.pointee.a, T(truncatingIfNeeded: cpu.get(op.pointee.b, as: S.self)))
    return true
  }
}

enum Movzx_Reg_Mem<T: Width, S: Width, A: AddressForm>: Straight {
  @inline(__always) static var miss: MissKind { .read }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > S.limit {
      cpu.s.pointee.missAddress = address
      return false
    }
    cpu.set(op.pointee.a, T(truncatingIfNeeded: cpu.loadHost(address, distance, as: S.self)))
    return true
  }
}

/// MOVSX and MOVSXD from `S` to `T`.
enum Movsx_Reg_Reg<T: Width, S: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    cpu.set(op.pointee.a, T(truncatingIfNeeded: S.signed(cpu.get(op.pointee.b, as: S.self))))
    return true
  }
}

enum Movsx_Reg_Mem<T: Width, S: Width, A: AddressForm>: Straight {
  @inline(__always) static var miss: MissKind { .read }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > S.limit {
      cpu.s.pointee.missAddress = address
      return false
    }
    cpu.set(op.pointee.a, T(truncatingIfNeeded: S.signed(cpu.loadHost(address, distance, as: S.self))))
    return true
  }
}

/// LEA: the address form must not be a segment's.
enum Lea<T: Width, A: AddressForm>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    cpu.set(op.pointee.a, T(truncatingIfNeeded: A.address(cpu, op)))
    return true
  }
}

enum Xchg_Reg_Reg<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self), b = cpu.get(op.pointee.b, as: T.self)
    cpu.set(op.pointee.a, b)
    cpu.set(op.pointee.b, a)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum Xchg_Mem_Reg<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let old = cpu.loadHost(address, distance, as: T.self)
    cpu.storeHost(address, distance, cpu.get(op.pointee.a, as: T.self))
    cpu.set(op.pointee.a, old)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// CMPXCHG with memory, LOCK or not: one processor runs at a time.
enum Cmpxchg_Mem_Reg<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let old = cpu.loadHost(address, distance, as: T.self), accumulator = cpu.get(0, as: T.self)
    if old == accumulator {
      cpu.storeHost(address, distance, cpu.get(op.pointee.a, as: T.self))
    } else {
      cpu.set(0, old)
    }
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.sub)
    return Next.operation(cpu, op, n, (accumulator &- old).justified, accumulator.justified)
  }
}

enum Xadd_Mem_Reg<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let old = cpu.loadHost(address, distance, as: T.self)
    let sum = old &+ cpu.get(op.pointee.a, as: T.self)
    cpu.storeHost(address, distance, sum)
    cpu.set(op.pointee.a, old)
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.add)
    return Next.operation(cpu, op, n, sum.justified, old.justified)
  }
}

enum Bswap<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.set(op.pointee.a, cpu.get(op.pointee.a, as: T.self).byteSwapped)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// CWD, CDQ, CQO: `a` is rAX, `b` rDX.
enum SignToRDX<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let negative = T.signed(cpu.get(op.pointee.a, as: T.self)) < 0
    cpu.set(op.pointee.b, negative ? ~0 : 0 as T)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// NOP, hint NOPs, fences: nothing at all.
enum Nop: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    return true
  }
}

enum Setcc_Reg<C: Condition> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.set(op.pointee.a, C.holds(fr, fa, cpu.s.pointee.flagKind) ? 1 : 0 as UInt8)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// The condition is in `b`.
enum Setcc_Mem<A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.writeDistance(address)
    if distance > UInt8.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let holds = Flags.condition(op.pointee.b, fr, fa, cpu.s.pointee.flagKind)
    cpu.storeHost(address, distance, holds ? 1 : 0 as UInt8)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// A 32-bit CMOVcc clears the upper half whether it moves or not.
enum Cmovcc_Reg_Reg<C: Condition, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let a = cpu.get(op.pointee.a, as: T.self), b = cpu.get(op.pointee.b, as: T.self)
    cpu.set(op.pointee.a, C.holds(fr, fa, cpu.s.pointee.flagKind) ? b : a)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// The condition is in `b`.
enum Cmovcc_Reg_Mem<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let value = cpu.loadHost(address, distance, as: T.self)
    let holds = Flags.condition(op.pointee.b, fr, fa, cpu.s.pointee.flagKind)
    cpu.set(op.pointee.a, holds ? value : cpu.get(op.pointee.a, as: T.self))
    return Next.operation(cpu, op, n, fr, fa)
  }
}
