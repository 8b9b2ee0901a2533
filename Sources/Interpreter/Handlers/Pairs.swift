import Processor
import X86Decoder

/// Two operations in one handler: superinstructions.
///
/// Every operation keeps its slot and its own handler, so execution can be resumed at the second. Which pairs exist, and which are
/// chosen in a block, is told by `Tools/generate-handler-table.py` and `Fusion`.

/// An operation as a table entry.
protocol Executable: SendableMetatype {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64)
}

/// Which slow path an operation takes when its memory cannot be reached in the fast way.
enum MissKind { case never, read, write, push, pop }

/// An operation that the next one follows whatever happens: no branch, and no way out but a miss.
protocol Straight: Executable {
  /// Executes it. False if memory could not be reached: `missAddress` is set then and nothing else has changed.
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool
  static var miss: MissKind { get }
}

extension Straight {
  @inline(__always) static var miss: MissKind { .never }

  @inline(__always)
  static func missed(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    switch miss {
    case .never: return
    case .read: return Miss.read(cpu, op, n, fr, fa)
    case .write: return Miss.write(cpu, op, n, fr, fa)
    case .push: return Miss.stack(cpu, op, n, fr, fa)
    case .pop: return Miss.stackRead(cpu, op, n, fr, fa)
    }
  }

  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    var result = fr, aux = fa
    if !apply(cpu, op, &result, &aux) { return missed(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, result, aux)
  }
}

/// An operation on one register that touches no flags, or whose flags nobody reads: the new value of register `a` from its old one.
protocol RegisterOperation: Straight {
  associatedtype T: Width
  static func value(_ cpu: CPU, _ op: OperationPointer, _ old: T) -> T
}

extension RegisterOperation {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    cpu.set(op.pointee.a, value(cpu, op, cpu.get(op.pointee.a, as: T.self)))
    return true
  }
}

/// A register operation with a second register, `b`.
protocol CombiningOperation: RegisterOperation {
  static func combine(_ old: T, _ fed: T) -> T
}

/// Any two operations.
enum Pair<A: Straight, B: Executable> {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    var result = fr, aux = fa
    if !A.apply(cpu, op, &result, &aux) { return A.missed(cpu, op, n, fr, fa) }
    return B.run(cpu, op + 1, n, result, aux)
  }
}

/// Two operations on the same register, the second without another use of it: the value between them stays in a host register, which
/// saves the time from a store to the load behind it.
enum Chain<A: RegisterOperation, B: RegisterOperation> where A.T == B.T {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let second = op + 1
    let first = A.value(cpu, op, cpu.get(op.pointee.a, as: A.T.self))
    cpu.set(op.pointee.a, B.value(cpu, second, first))
    return Next.afterPair(cpu, op, n, fr, fa)
  }
}

/// An operation and one with another destination that its result is the source of.
enum Feed<A: RegisterOperation, B: CombiningOperation> where A.T == B.T {
  @inline(__always)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let second = op + 1
    let first = A.value(cpu, op, cpu.get(op.pointee.a, as: A.T.self))
    cpu.set(op.pointee.a, first)
    cpu.set(second.pointee.a, B.combine(cpu.get(second.pointee.a, as: B.T.self), first))
    return Next.afterPair(cpu, op, n, fr, fa)
  }
}
