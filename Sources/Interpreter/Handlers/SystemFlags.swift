import Processor
import X86
import X86Decoder

/// PUSHF, POPF, CLI and STI as kernels use them around short critical sections; what is unusual goes outside the chain.

enum Pushf<T: Width>: Straight {
  @inline(__always) static var miss: MissKind { .push }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let image = (cpu.s.pointee.systemFlags & ~(RFLAGS.VM | RFLAGS.RF)) | Flags.word(fr, fa, cpu.s.pointee.flagKind)
    return cpu.push(T(truncatingIfNeeded: image))
  }
}

/// Whether CLI, STI and POPF may change IF: in protected mode with CPL ≤ IOPL.
@inline(__always)
private func ownsInterruptFlag(_ cpu: CPU) -> Bool {
  cpu.s.pointee.protectedMode && UInt64(cpu.s.pointee.cpl) <= (cpu.s.pointee.systemFlags &>> 12) & 3
}

/// POPF that changes no system flag but IF and DF, and lets no interrupt in that waits already.
enum Popf<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let sp = cpu.get(4, as: T.self)
    guard let slot = cpu.stackSlot(at: sp) else { return Miss.stackRead(cpu, op, n, fr, fa) }
    let image = UInt64(truncatingIfNeeded: slot)
    let changed = image ^ cpu.s.pointee.systemFlags
    if changed & (RFLAGS.TF | RFLAGS.NT | RFLAGS.IOPL | RFLAGS.AC | RFLAGS.ID) != 0
      || (changed & RFLAGS.IF != 0 && (!ownsInterruptFlag(cpu) || cpu.s.pointee.interruptRequest)) {
      return Outside.retry(cpu, op, n, fr, fa)
    }
    cpu.s.pointee.systemFlags ^= changed & (RFLAGS.IF | RFLAGS.DF)
    cpu.set(4, sp &+ T(truncatingIfNeeded: T.bitWidth / 8))
    let flags = Flags.explicit(image)
    cpu.s.pointee.flagKind = FlagKind.explicit
    return Next.operation(cpu, op, n, flags.result, flags.aux)
  }
}

enum Cli {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !ownsInterruptFlag(cpu) { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.s.pointee.systemFlags &= ~RFLAGS.IF
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// STI while no interrupt waits; the instruction after it is in its shadow.
enum Sti {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !ownsInterruptFlag(cpu) || cpu.s.pointee.interruptRequest || cpu.s.pointee.nmiPending {
      return Outside.retry(cpu, op, n, fr, fa)
    }
    if cpu.s.pointee.systemFlags & RFLAGS.IF == 0 {
      cpu.s.pointee.systemFlags |= RFLAGS.IF
      let retired = cpu.s.pointee.retiredAtZero &- UInt64(bitPattern: Int64(n)) &+ UInt64(op.pointee.count) &- 1
      if cpu.s.pointee.interruptShadow != retired {
        cpu.s.pointee.interruptShadow = retired &+ 1
        cpu.s.pointee.shadowIsMovSS = false
      }
    }
    return Next.operation(cpu, op, n, fr, fa)
  }
}
