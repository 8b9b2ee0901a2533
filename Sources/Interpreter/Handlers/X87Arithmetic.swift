import Processor
import SoftFloat
import X86
import X86Decoder

/// x87 arithmetic and comparison. The handlers do what is common (normal operands, full precision, to nearest even, inexact masked)
/// in machine registers; what they give up goes to `X87_Binary_Reg` or `X87_Binary_Mem`, which know every precision and rounding, and
/// what those give up to the generic method.
///
/// A floating-point environment is passed by address, which would forbid the tail call: what needs one is a function apart.

/// What an arithmetic operation computes, as operations carry it at run time. Handlers for each, alike but for the function they call,
/// would be merged by the optimiser into one with an argument more, and lose the tail call.
enum X87Arithmetic: UInt8 {
  case add, sub, subReversed, mul, div, divReversed, sqrt

  /// own op other.
  @inline(__always)
  static func apply(_ code: UInt8, _ own: Extended80, _ other: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    switch code {
    case X87Arithmetic.add.rawValue: return .add(own, other, &environment)
    case X87Arithmetic.sub.rawValue: return .sub(own, other, &environment)
    case X87Arithmetic.subReversed.rawValue: return .sub(other, own, &environment)
    case X87Arithmetic.mul.rawValue: return .mul(own, other, &environment)
    case X87Arithmetic.div.rawValue: return .div(own, other, &environment)
    case X87Arithmetic.divReversed.rawValue: return .div(other, own, &environment)
    default: return .sqrt(own, &environment)
    }
  }

  /// The sign to change of the destination (bits 0–15) and of the other operand (bits 16–31) to make a difference a sum.
  var signChanges: Int32 {
    switch self {
    case .sub: Int32(bitPattern: 0x8000_0000)
    case .subReversed: 0x8000
    default: 0
    }
  }
}

// MARK: Two registers: destination `a`, the other operand `b`, the operation in `index`, the number of pops in `base`

/// FADD, FSUB, FSUBR and their popping forms; `immediate` holds the sign changes.
enum X87_Sum_Reg {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    let own = cpu.stackIndex(op.pointee.a), other = cpu.stackIndex(op.pointee.b)
    var x = cpu.physicalStack(own).pointee
    var y = cpu.physicalStack(other).pointee
    x.signExponent ^= UInt16(truncatingIfNeeded: op.pointee.immediate)
    y.signExponent ^= UInt16(truncatingIfNeeded: op.pointee.immediate &>> 16)
    guard cpu.x87Common(words), cpu.areValid(own, other), let r = Extended80.trySum(x, y) else {
      return X87_Binary_Reg.run(cpu, op, n, fr, fa)
    }
    cpu.noteX87(op)
    cpu.settleX87(words, r.status)
    cpu.physicalStack(own).pointee = r.value
    cpu.popStack(upToOne: op.pointee.base)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FMUL and FMULP.
enum X87_Product_Reg {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    let own = cpu.stackIndex(op.pointee.a), other = cpu.stackIndex(op.pointee.b)
    guard cpu.x87Common(words), cpu.areValid(own, other),
          let r = Extended80.tryProduct(cpu.physicalStack(own).pointee, cpu.physicalStack(other).pointee)
    else { return X87_Binary_Reg.run(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, r.status)
    cpu.physicalStack(own).pointee = r.value
    cpu.popStack(upToOne: op.pointee.base)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FDIV and FDIVP, and (`immediate` 1) FDIVR and FDIVRP.
enum X87_Quotient_Reg {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    let own = cpu.stackIndex(op.pointee.a), other = cpu.stackIndex(op.pointee.b)
    let reversed = op.pointee.immediate != 0
    guard cpu.x87Common(words), cpu.areValid(own, other),
          let r = Extended80.tryQuotient(cpu.physicalStack(reversed ? other : own).pointee,
                                         cpu.physicalStack(reversed ? own : other).pointee)
    else { return X87_Binary_Reg.run(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, r.status)
    cpu.physicalStack(own).pointee = r.value
    cpu.popStack(upToOne: op.pointee.base)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FSQRT.
enum X87_Root {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    guard cpu.x87Common(words), cpu.holdsValue(0), let r = Extended80.tryRoot(cpu.stackRegister(0).pointee)
    else { return X87_Binary_Reg.run(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, r.status)
    cpu.stackRegister(0).pointee = r.value
    return Next.operation(cpu, op, n, fr, fa)
  }
}

extension CPU {
  /// Whether two physical registers hold values.
  @inline(__always)
  func areValid(_ x: UInt8, _ y: UInt8) -> Bool { (s.pointee.x87.valid &>> x) & (s.pointee.x87.valid &>> y) & 1 != 0 }
}

/// Any operation, precision and rounding, and zeros, denormals, infinities and NaNs.
enum X87_Binary_Reg {
  @inline(never)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !execute(cpu, op) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }

  @inline(never)
  private static func execute(_ cpu: CPU, _ op: OperationPointer) -> Bool {
    if !cpu.x87Usable(cpu.x87Words) || !cpu.holdsValue(op.pointee.a) || !cpu.holdsValue(op.pointee.b) { return false }
    var environment = cpu.x87Controls
    let destination = cpu.stackRegister(op.pointee.a)
    let other = cpu.stackRegister(op.pointee.b).pointee
    let result = X87Arithmetic.apply(op.pointee.index, destination.pointee, other, &environment)
    if environment.unmasked.rawValue != 0 { return false }
    cpu.noteX87(op)
    cpu.settleX87(environment)
    destination.pointee = result
    cpu.popStack(upToOne: op.pointee.base)
    return true
  }
}

// MARK: ST(0) and memory, the operation in `b`

/// FADD, FSUB, FSUBR; `immediate` holds the sign changes.
enum X87_Sum_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    let distance = cpu.readDistance(address)
    guard cpu.x87Common(words), cpu.holdsValue(0), distance <= F.Bits.limit,
          var y = F.tryWiden(cpu.loadHost(address, distance, as: F.Bits.self))
    else { return X87_Binary_Mem<F>.run(cpu, op, n, fr, fa) }
    var x = cpu.stackRegister(0).pointee
    x.signExponent ^= UInt16(truncatingIfNeeded: op.pointee.immediate)
    y.signExponent ^= UInt16(truncatingIfNeeded: op.pointee.immediate &>> 16)
    guard let r = Extended80.trySum(x, y) else { return X87_Binary_Mem<F>.run(cpu, op, n, fr, fa) }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, r.status)
    cpu.stackRegister(0).pointee = r.value
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FMUL.
enum X87_Product_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    let distance = cpu.readDistance(address)
    guard cpu.x87Common(words), cpu.holdsValue(0), distance <= F.Bits.limit,
          let y = F.tryWiden(cpu.loadHost(address, distance, as: F.Bits.self)),
          let r = Extended80.tryProduct(cpu.stackRegister(0).pointee, y)
    else { return X87_Binary_Mem<F>.run(cpu, op, n, fr, fa) }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, r.status)
    cpu.stackRegister(0).pointee = r.value
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FDIV and (`immediate` 1) FDIVR.
enum X87_Quotient_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    let distance = cpu.readDistance(address)
    guard cpu.x87Common(words), cpu.holdsValue(0), distance <= F.Bits.limit,
          let y = F.tryWiden(cpu.loadHost(address, distance, as: F.Bits.self))
    else { return X87_Binary_Mem<F>.run(cpu, op, n, fr, fa) }
    let x = cpu.stackRegister(0).pointee
    let reversed = op.pointee.immediate != 0
    guard let r = Extended80.tryQuotient(reversed ? y : x, reversed ? x : y) else { return X87_Binary_Mem<F>.run(cpu, op, n, fr, fa) }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, r.status)
    cpu.stackRegister(0).pointee = r.value
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// Any operation, precision and rounding; denormals, infinities and NaNs in memory are the generic method's.
enum X87_Binary_Mem<F: X87Format> {
  @inline(never)
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !cpu.x87Usable(cpu.x87Words) || !cpu.holdsValue(0) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > F.Bits.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    if !execute(cpu, op, address, cpu.loadHost(address, distance, as: F.Bits.self)) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }

  @inline(never)
  private static func execute(_ cpu: CPU, _ op: OperationPointer, _ address: UInt64, _ bits: F.Bits) -> Bool {
    if F.tryWiden(bits) == nil { return false }
    var environment = cpu.x87Controls
    let destination = cpu.stackRegister(0)
    let other = F.operand(bits, other: destination.pointee, &environment)
    let result = X87Arithmetic.apply(op.pointee.b, destination.pointee, other, &environment)
    if environment.unmasked.rawValue != 0 { return false }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(environment)
    destination.pointee = result
    return true
  }
}

// MARK: Signs, which raise nothing

enum X87_Negate {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || !cpu.holdsValue(0) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, 0)
    cpu.stackRegister(0).pointee.signExponent ^= 0x8000
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum X87_Absolute {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || !cpu.holdsValue(0) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, 0)
    cpu.stackRegister(0).pointee.signExponent &= 0x7FFF
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Comparison of zeros and normal numbers, which raises nothing

/// FCOM, FUCOM and their popping forms.
enum X87_Compare<P: PopCount> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    guard cpu.x87Usable(words), cpu.holdsValue(0), cpu.holdsValue(op.pointee.a),
          let order = Extended80.tryCompare(cpu.stackRegister(0).pointee, cpu.stackRegister(op.pointee.a).pointee)
    else { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, order == .less ? 0x100 : order == .equal ? 0x4000 : 0, mask: 0x4700)
    cpu.popStack(P.count)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FCOM and (`b` 1) FCOMP with memory.
enum X87_Compare_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || !cpu.holdsValue(0) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > F.Bits.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    guard let y = F.tryWiden(cpu.loadHost(address, distance, as: F.Bits.self)),
          let order = Extended80.tryCompare(cpu.stackRegister(0).pointee, y)
    else { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, order == .less ? 0x100 : order == .equal ? 0x4000 : 0, mask: 0x4700)
    cpu.popStack(upToOne: op.pointee.b)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FCOMI, FUCOMI and their popping forms.
enum X87_CompareToFlags<P: PopCount> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    guard cpu.x87Usable(words), cpu.holdsValue(0), cpu.holdsValue(op.pointee.a),
          let order = Extended80.tryCompare(cpu.stackRegister(0).pointee, cpu.stackRegister(op.pointee.a).pointee)
    else { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, 0)
    cpu.popStack(P.count)
    let flags = Flags.explicit(order == .less ? Flags.cf : order == .equal ? Flags.zf : 0)
    cpu.s.pointee.flagKind = FlagKind.explicit
    return Next.operation(cpu, op, n, flags.result, flags.aux)
  }
}
