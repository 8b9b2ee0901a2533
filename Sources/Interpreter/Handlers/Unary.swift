import Processor
import X86Decoder

/// INC, DEC, NEG, NOT.

/// +1 or −1; CF stays, so it is carried into the auxiliary word.
protocol StepOperation: SendableMetatype {
  static func apply<T: Width>(_ a: T) -> T
  static var kind: UInt32 { get }
}

enum IncOperation: StepOperation {
  @inline(__always) static func apply<T: Width>(_ a: T) -> T { a &+ 1 }
  @inline(__always) static var kind: UInt32 { FlagKind.inc }
}
enum DecOperation: StepOperation {
  @inline(__always) static func apply<T: Width>(_ a: T) -> T { a &- 1 }
  @inline(__always) static var kind: UInt32 { FlagKind.dec }
}

enum Step_Reg<O: StepOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let carry: UInt64 = Flags.carry(fr, fa, cpu.s.pointee.flagKind) ? 1 : 0
    let r = O.apply(cpu.get(op.pointee.a, as: T.self))
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    return Next.operation(cpu, op, n, r.justified, carry)
  }
}

enum Step_Reg_NoFlags<O: StepOperation, T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    cpu.set(op.pointee.a, O.apply(cpu.get(op.pointee.a, as: T.self)))
    return true
  }
}

enum Step_Mem<O: StepOperation, T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let carry: UInt64 = Flags.carry(fr, fa, cpu.s.pointee.flagKind) ? 1 : 0
    let r = O.apply(cpu.loadHost(address, distance, as: T.self))
    cpu.storeHost(address, distance, r)
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    return Next.operation(cpu, op, n, r.justified, carry)
  }
}

/// NEG has the flags of 0 − operand.
enum Neg_Reg<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let r = 0 &- cpu.get(op.pointee.a, as: T.self)
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.sub)
    return Next.operation(cpu, op, n, r.justified, 0)
  }
}

enum Not_Reg<T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    cpu.set(op.pointee.a, ~cpu.get(op.pointee.a, as: T.self))
    return true
  }
}
