import Processor
import X86Decoder

/// Leaving the chain, and the stubs between blocks.
enum Control {
  /// The budget is used up: stop before `op`.
  @inline(never)
  static func exhausted(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let s = cpu.s
    s.pointee.flagResult = fr
    s.pointee.flagAux = fa
    s.pointee.rip = op.pointee.count == 0 ? stubTarget(cpu, op) : (s.pointee.codeBias &+ op.pointee.offset) & s.pointee.ripMask
    s.pointee.retired = s.pointee.retiredAtZero &- UInt64(bitPattern: Int64(n))
  }

  /// Target of a stub: `displacement` is relative to the page's start, `immediate` the mask of a branch with 16-bit operand size, or −1.
  @inline(__always)
  private static func stubTarget(_ cpu: CPU, _ op: OperationPointer) -> UInt64 {
    (cpu.s.pointee.codeBias &+ UInt64(bitPattern: Int64(op.pointee.displacement)))
      & cpu.s.pointee.ripMask & UInt64(bitPattern: Int64(op.pointee.immediate))
  }

  /// Stub at the end of a block and the target of a branch that has not been taken yet: `displacement` is the target in the same
  /// page, `link` the operation whose `link` is to be patched.
  static func resolve(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if n < 0 { return exhausted(cpu, op, n, fr, fa) }
    cpu.s.pointee.flagResult = fr
    cpu.s.pointee.flagAux = fa
    guard let next = link(cpu, op, n) else { return }
    return handler(of: next)(cpu, next, cpu.s.pointee.budget, cpu.s.pointee.flagResult, cpu.s.pointee.flagAux)
  }

  @inline(never)
  private static func link(_ cpu: CPU, _ op: OperationPointer, _ n: Int) -> OperationPointer? {
    let s = cpu.s
    s.pointee.rip = stubTarget(cpu, op)
    s.pointee.retired = s.pointee.retiredAtZero &- UInt64(bitPattern: Int64(n))
    s.pointee.budget = n
    let stamp = s.pointee.jumpStamp
    let rip = s.pointee.rip
    guard let target = BlockLookup.find(cpu) else { return nil }
    // A fault may have led elsewhere, and building the target may have dropped this very block.
    if s.pointee.jumpStamp == stamp, s.pointee.rip == rip, let source = OperationPointer(bitPattern: op.pointee.link) {
      source.pointee.link = UInt(bitPattern: target)
    }
    return target
  }

  /// Stub of a jump to another page; the slot after it is a `JumpCacheEntry`. `displacement` is the target relative to this page.
  static func crossPage(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if n < 0 { return exhausted(cpu, op, n, fr, fa) }
    let rip = stubTarget(cpu, op)
    let cache = UnsafeRawPointer(op + 1).assumingMemoryBound(to: JumpCacheEntry.self)
    if cache.pointee.rip != rip || cache.pointee.stamp != cpu.s.pointee.jumpStamp {
      return crossPageMiss(cpu, op, n, fr, fa)
    }
    cpu.s.pointee.codeBias = cache.pointee.codeBias
    let next = OperationPointer(bitPattern: cache.pointee.operation).unsafelyUnwrapped
    return handler(of: next)(cpu, next, n, fr, fa)
  }

  @inline(never)
  private static func crossPageMiss(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.s.pointee.flagResult = fr
    cpu.s.pointee.flagAux = fa
    guard let next = linkCrossPage(cpu, op, n) else { return }
    return handler(of: next)(cpu, next, cpu.s.pointee.budget, cpu.s.pointee.flagResult, cpu.s.pointee.flagAux)
  }

  @inline(never)
  private static func linkCrossPage(_ cpu: CPU, _ op: OperationPointer, _ n: Int) -> OperationPointer? {
    let s = cpu.s
    s.pointee.rip = stubTarget(cpu, op)
    s.pointee.retired = s.pointee.retiredAtZero &- UInt64(bitPattern: Int64(n))
    s.pointee.budget = n
    let rip = s.pointee.rip
    let stamp = s.pointee.jumpStamp
    guard let target = BlockLookup.find(cpu) else { return nil }
    if s.pointee.jumpStamp == stamp, s.pointee.rip == rip {
      UnsafeMutableRawPointer(op + 1).storeBytes(
        of: JumpCacheEntry(rip: rip, stamp: s.pointee.jumpStamp, operation: UInt(bitPattern: target),
                           codeBias: s.pointee.codeBias), as: JumpCacheEntry.self)
    }
    return target
  }

  /// Continuation of indirect jumps, calls and returns that missed the jump cache, and of those without budget: `missAddress` is the
  /// target and `n` already charged.
  @inline(never)
  static func indirect(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    cpu.s.pointee.flagResult = fr
    cpu.s.pointee.flagAux = fa
    guard let next = findIndirect(cpu, n) else { return }
    return handler(of: next)(cpu, next, cpu.s.pointee.budget, cpu.s.pointee.flagResult, cpu.s.pointee.flagAux)
  }

  @inline(never)
  private static func findIndirect(_ cpu: CPU, _ n: Int) -> OperationPointer? {
    let s = cpu.s
    let rip = s.pointee.missAddress
    s.pointee.rip = rip
    s.pointee.retired = s.pointee.retiredAtZero &- UInt64(bitPattern: Int64(n))
    if n < 0 { return nil }
    s.pointee.budget = n
    guard let target = BlockLookup.find(cpu) else { return nil }
    if s.pointee.rip == rip {
      let entry = s.pointee.jumpCache + JumpCache.offset(rip)
      entry.storeBytes(of: JumpCacheEntry(rip: rip, stamp: s.pointee.jumpStamp, operation: UInt(bitPattern: target),
                                          codeBias: s.pointee.codeBias), as: JumpCacheEntry.self)
    }
    return target
  }
}
