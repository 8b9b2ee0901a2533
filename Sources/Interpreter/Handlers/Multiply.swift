import Processor
import X86Decoder

/// IMUL with two and three operands, MUL and IMUL to rDX:rAX, DIV and IDIV of rDX:rAX, for 32 and 64 bits.

/// Flags of a product: SF, ZF, PF of the low half, CF = OF = significant bits lost.
@inline(__always)
private func finish<T: Width>(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ low: T, _ overflow: Bool) {
  cpu.s.pointee.flagKind = T.flagKind(FlagKind.shift)
  return Next.operation(cpu, op, n, low.justified, overflow ? 3 : 0)
}

enum Imul_Reg_Reg<T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let a = T.signed(cpu.get(op.pointee.a, as: T.self))
    let (r, overflow) = a.multipliedReportingOverflow(by: T.signed(cpu.get(op.pointee.b, as: T.self)))
    cpu.set(op.pointee.a, T.unsigned(r))
    cpu.s.pointee.flagKind = T.flagKind(FlagKind.shift)
    fr = T.unsigned(r).justified
    fa = overflow ? 3 : 0
    return true
  }
}

enum Imul_Reg_Mem<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let a = T.signed(cpu.get(op.pointee.a, as: T.self))
    let (r, overflow) = a.multipliedReportingOverflow(by: T.signed(cpu.loadHost(address, distance, as: T.self)))
    cpu.set(op.pointee.a, T.unsigned(r))
    return finish(cpu, op, n, T.unsigned(r), overflow)
  }
}

enum Imul_Reg_Reg_Imm<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let b = T.signed(cpu.get(op.pointee.b, as: T.self))
    let (r, overflow) = b.multipliedReportingOverflow(by: T.signed(T.immediate(op)))
    cpu.set(op.pointee.a, T.unsigned(r))
    return finish(cpu, op, n, T.unsigned(r), overflow)
  }
}

enum Imul_Reg_Mem_Imm<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let b = T.signed(cpu.loadHost(address, distance, as: T.self))
    let (r, overflow) = b.multipliedReportingOverflow(by: T.signed(T.immediate(op)))
    cpu.set(op.pointee.a, T.unsigned(r))
    return finish(cpu, op, n, T.unsigned(r), overflow)
  }
}

@inline(__always)
private func mul<T: Width>(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ b: T) {
  let product = cpu.get(0, as: T.self).multipliedFullWidth(by: b)
  let low = T(truncatingIfNeeded: product.low)
  cpu.set(0, low)
  cpu.set(2, product.high)
  return finish(cpu, op, n, low, product.high != 0)
}

@inline(__always)
private func imul<T: Width>(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ b: T) {
  let product = T.signed(cpu.get(0, as: T.self)).multipliedFullWidth(by: T.signed(b))
  let low = T(truncatingIfNeeded: product.low)
  cpu.set(0, low)
  cpu.set(2, T.unsigned(product.high))
  return finish(cpu, op, n, low, product.high != T.signed(low) &>> T.SignedForm(truncatingIfNeeded: T.bitWidth &- 1))
}

enum Mul_Reg<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    return mul(cpu, op, n, cpu.get(op.pointee.a, as: T.self))
  }
}

enum Imul_Reg<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    return imul(cpu, op, n, cpu.get(op.pointee.a, as: T.self))
  }
}

enum Mul_Mem<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    return mul(cpu, op, n, cpu.loadHost(address, distance, as: T.self))
  }
}

/// MULX: `a` high, `b` low half (written first, so that equal registers keep the high half), `base` the factor.
enum Mulx<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let product = cpu.get(2, as: T.self).multipliedFullWidth(by: cpu.get(op.pointee.base, as: T.self))
    cpu.set(op.pointee.b, T(truncatingIfNeeded: product.low))
    cpu.set(op.pointee.a, product.high)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// DIV of a dividend that fits the width twice; a quotient that does not fit the width faults outside the chain. DIV leaves the flags alone,
/// as the generic function does.
@inline(__always)
private func div<T: Width>(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64, _ d: T) {
  let high = cpu.get(2, as: T.self), low = cpu.get(0, as: T.self)
  if d <= high { return Outside.retry(cpu, op, n, fr, fa) }
  if high == 0 {
    cpu.set(0, T(truncatingIfNeeded: UInt64(truncatingIfNeeded: low) / UInt64(truncatingIfNeeded: d)))
    cpu.set(2, T(truncatingIfNeeded: UInt64(truncatingIfNeeded: low) % UInt64(truncatingIfNeeded: d)))
    return Next.operation(cpu, op, n, fr, fa)
  }
  if T.bitWidth == 32 {
    let dividend = UInt64(truncatingIfNeeded: high) &<< 32 | UInt64(truncatingIfNeeded: low)
    cpu.set(0, T(truncatingIfNeeded: dividend / UInt64(truncatingIfNeeded: d)))
    cpu.set(2, T(truncatingIfNeeded: dividend % UInt64(truncatingIfNeeded: d)))
    return Next.operation(cpu, op, n, fr, fa)
  }
  return Outside.retry(cpu, op, n, fr, fa)
}

enum Div_Reg<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    return div(cpu, op, n, fr, fa, cpu.get(op.pointee.a, as: T.self))
  }
}

enum Div_Mem<T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    return div(cpu, op, n, fr, fa, cpu.loadHost(address, distance, as: T.self))
  }
}

/// IDIV r of a dividend that is a sign-extended single width, the usual case after CDQ or CQO.
enum Idiv_Reg<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let d = T.signed(cpu.get(op.pointee.a, as: T.self)), low = T.signed(cpu.get(0, as: T.self))
    let high = T.signed(cpu.get(2, as: T.self))
    let isExtended = high == low &>> T.SignedForm(truncatingIfNeeded: T.bitWidth &- 1)
    if d == 0 || d == -1 || !isExtended { return Outside.retry(cpu, op, n, fr, fa) }
    let q = Int64(truncatingIfNeeded: low).dividedReportingOverflow(by: Int64(truncatingIfNeeded: d)).partialValue
    let r = Int64(truncatingIfNeeded: low) &- q &* Int64(truncatingIfNeeded: d)
    cpu.set(0, T(truncatingIfNeeded: q))
    cpu.set(2, T(truncatingIfNeeded: r))
    return Next.operation(cpu, op, n, fr, fa)
  }
}
