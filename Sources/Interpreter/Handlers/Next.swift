import Processor
import X86Decoder

/// Ends of handlers.
enum Next {
  /// The following operation of the block.
  @inline(__always)
  static func operation(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let next = op + 1
    return handler(of: next)(cpu, next, n, fr, fa)
  }

  /// The operation after a pair that was executed together.
  @inline(__always)
  static func afterPair(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let next = op + 2
    return handler(of: next)(cpu, next, n, fr, fa)
  }

  /// The target of a direct branch: leaves the block, so the block's instructions up to `op` are charged.
  @inline(__always)
  static func target(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let left = n &- Int(op.pointee.count)
    let next = OperationPointer(bitPattern: op.pointee.link).unsafelyUnwrapped
    if left < 0 { return Control.exhausted(cpu, next, left, fr, fa) }
    return handler(of: next)(cpu, next, left, fr, fa)
  }

  /// The target of an indirect branch, by the jump cache.
  @inline(__always)
  static func indirect(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, to rip: UInt64) {
    let left = n &- Int(op.pointee.count)
    let entry = (cpu.s.pointee.jumpCache + JumpCache.offset(rip)).assumingMemoryBound(to: JumpCacheEntry.self)
    if entry.pointee.rip != rip || entry.pointee.stamp != cpu.s.pointee.jumpStamp || left < 0 {
      cpu.s.pointee.missAddress = rip
      return Control.indirect(cpu, op, left, fr, fa)
    }
    cpu.s.pointee.codeBias = entry.pointee.codeBias
    let next = OperationPointer(bitPattern: entry.pointee.operation).unsafelyUnwrapped
    return handler(of: next)(cpu, next, left, fr, fa)
  }
}
