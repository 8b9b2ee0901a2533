import Processor
import SoftFloat
import X86
import X86Decoder

/// The common x87 instructions. Empty or full stacks, and every exception that is not masked, go outside the chain before anything
/// was changed. `a` and `b` are stack positions; `link` holds what FNSTENV wants to know: the opcode in bits 0–10, the segment of
/// the operand in bits 16–18.
///
/// A floating-point environment is passed by address, which would forbid the tail call: what needs one is a function apart.

extension CPU {
  /// No #NM and no pending #MF.
  @inline(__always)
  var x87Usable: Bool { s.pointee.cr0 & (CR0.EM | CR0.TS) | UInt64(s.pointee.x87.statusWord & 0x80) == 0 }

  /// ST(n).
  @inline(__always)
  func stackRegister(_ n: UInt8) -> UnsafeMutablePointer<Extended80> {
    let first = base + (MemoryLayout<CPUState>.offset(of: \.x87)! + MemoryLayout<X87State>.offset(of: \.r0)!)
    return first.assumingMemoryBound(to: Extended80.self) + Int((s.pointee.x87.top &+ n) & 7)
  }

  @inline(__always)
  func holdsValue(_ n: UInt8) -> Bool { s.pointee.x87.valid & (1 &<< ((s.pointee.x87.top &+ n) & 7)) != 0 }

  /// Pops `count` registers.
  @inline(__always)
  func popStack(_ count: UInt8) {
    for _ in 0..<count {
      s.pointee.x87.valid &= ~(1 &<< s.pointee.x87.top)
      s.pointee.x87.top = (s.pointee.x87.top &+ 1) & 7
    }
  }

  /// Pushes onto a stack that is not full.
  @inline(__always)
  func pushStack(_ value: Extended80) {
    s.pointee.x87.top = (s.pointee.x87.top &- 1) & 7
    stackRegister(0).pointee = value
    s.pointee.x87.valid |= 1 &<< s.pointee.x87.top
  }

  /// Writes ST(n), empty or not.
  @inline(__always)
  func setStack(_ n: UInt8, _ value: Extended80) {
    stackRegister(n).pointee = value
    s.pointee.x87.valid |= 1 &<< ((s.pointee.x87.top &+ n) & 7)
  }

  @inline(__always)
  var x87Controls: FloatEnvironment { FloatEnvironment(controlWord: s.pointee.x87.controlWord) }

  /// Adds masked exceptions to the status word; C1 becomes the direction of rounding.
  @inline(__always)
  func settleX87(_ flags: FloatFlags, roundedUp: Bool, conditions: UInt16 = 0, mask: UInt16 = 0x200) {
    s.pointee.x87.statusWord = (s.pointee.x87.statusWord & ~mask) | UInt16(flags.rawValue) | (roundedUp ? 0x200 : 0) | conditions
  }

  /// Instruction pointer and opcode of the last instruction (SDM vol. 1 §8.1.8).
  @inline(__always)
  func noteX87(_ op: OperationPointer) {
    s.pointee.x87.lastInstruction = (s.pointee.codeBias &+ op.pointee.offset) & s.pointee.ripMask
    s.pointee.x87.lastInstructionSelector = s.pointee.cs.selector
    s.pointee.x87.lastOpcode = UInt16(truncatingIfNeeded: op.pointee.link) & 0x7FF
  }

  /// The same with a memory operand; in a flat segment the offset is the linear address.
  @inline(__always)
  func noteX87(_ op: OperationPointer, operand: UInt64) {
    noteX87(op)
    s.pointee.x87.lastOperand = operand
    let segment = Int(truncatingIfNeeded: op.pointee.link &>> 16) & 7
    let cache = base + MemoryLayout<CPUState>.offset(of: \.es)! + segment &* MemoryLayout<SegmentCache>.stride
    s.pointee.x87.lastOperandSelector = cache.assumingMemoryBound(to: SegmentCache.self).pointee.selector
  }
}

/// How often an instruction pops.
protocol PopCount: SendableMetatype { static var count: UInt8 { get } }
enum Pop0: PopCount { @inline(__always) static var count: UInt8 { 0 } }
enum Pop1: PopCount { @inline(__always) static var count: UInt8 { 1 } }
enum Pop2: PopCount { @inline(__always) static var count: UInt8 { 2 } }

/// Single or double format in memory.
protocol X87Format: SendableMetatype {
  associatedtype Bits: Width
  static func widen(_ bits: Bits, _ environment: inout FloatEnvironment) -> Extended80
  /// As an operand of arithmetic, where NaNs follow rules of their own.
  static func operand(_ bits: Bits, other: Extended80, _ environment: inout FloatEnvironment) -> Extended80
  static func narrow(_ value: Extended80, _ environment: inout FloatEnvironment) -> Bits
  /// Zero, or finite and normal.
  static func isPlain(_ bits: Bits) -> Bool
}
enum X87Single: X87Format {
  @inline(__always) static func widen(_ bits: UInt32, _ e: inout FloatEnvironment) -> Extended80 { .from(Binary32(bits: bits), &e) }
  @inline(__always) static func operand(_ bits: UInt32, other: Extended80, _ e: inout FloatEnvironment) -> Extended80 {
    .memoryOperand(Binary32(bits: bits), other: other, isDividend: false, &e)
  }
  @inline(__always) static func narrow(_ value: Extended80, _ e: inout FloatEnvironment) -> UInt32 { Binary32.from(value, &e).bits }
  @inline(__always) static func isPlain(_ bits: UInt32) -> Bool { bits &<< 1 == 0 || (bits &>> 23 & 0xFF) &- 1 < 0xFE }
}
enum X87Double: X87Format {
  @inline(__always) static func widen(_ bits: UInt64, _ e: inout FloatEnvironment) -> Extended80 { .from(Binary64(bits: bits), &e) }
  @inline(__always) static func operand(_ bits: UInt64, other: Extended80, _ e: inout FloatEnvironment) -> Extended80 {
    .memoryOperand(Binary64(bits: bits), other: other, isDividend: false, &e)
  }
  @inline(__always) static func narrow(_ value: Extended80, _ e: inout FloatEnvironment) -> UInt64 { Binary64.from(value, &e).bits }
  @inline(__always) static func isPlain(_ bits: UInt64) -> Bool { bits &<< 1 == 0 || (bits &>> 52 & 0x7FF) &- 1 < 0x7FE }
}

// MARK: Arithmetic

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
}

/// The operation is in `index`, the number of pops in `base`.
enum X87_Binary_Reg {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !execute(cpu, op) { return Outside.retry(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }

  @inline(never)
  private static func execute(_ cpu: CPU, _ op: OperationPointer) -> Bool {
    if !cpu.x87Usable || !cpu.holdsValue(op.pointee.a) || !cpu.holdsValue(op.pointee.b) { return false }
    var environment = cpu.x87Controls
    let destination = cpu.stackRegister(op.pointee.a)
    let other = cpu.stackRegister(op.pointee.b).pointee
    let result = X87Arithmetic.apply(op.pointee.index, destination.pointee, other, &environment)
    if environment.unmasked.rawValue != 0 { return false }
    cpu.noteX87(op)
    cpu.settleX87(environment.flags, roundedUp: environment.roundedUp)
    destination.pointee = result
    cpu.popStack(op.pointee.base)
    return true
  }
}

/// ST(0) op memory, the operation in `b`; denormals, infinities and NaNs in memory are the generic method's.
enum X87_Binary_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !cpu.x87Usable || !cpu.holdsValue(0) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > F.Bits.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    if !execute(cpu, op, address, cpu.loadHost(address, distance, as: F.Bits.self)) { return Outside.retry(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }

  @inline(never)
  private static func execute(_ cpu: CPU, _ op: OperationPointer, _ address: UInt64, _ bits: F.Bits) -> Bool {
    if !F.isPlain(bits) { return false }
    var environment = cpu.x87Controls
    let destination = cpu.stackRegister(0)
    let other = F.operand(bits, other: destination.pointee, &environment)
    let result = X87Arithmetic.apply(op.pointee.b, destination.pointee, other, &environment)
    if environment.unmasked.rawValue != 0 { return false }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(environment.flags, roundedUp: environment.roundedUp)
    destination.pointee = result
    return true
  }
}

/// FCHS and FABS, which raise nothing.
enum X87_Negate {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.x87Usable || !cpu.holdsValue(0) { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87([], roundedUp: false)
    cpu.stackRegister(0).pointee.signExponent ^= 0x8000
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum X87_Absolute {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.x87Usable || !cpu.holdsValue(0) { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87([], roundedUp: false)
    cpu.stackRegister(0).pointee.signExponent &= 0x7FFF
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Loads

enum X87_Load_Reg {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.x87Usable || !cpu.holdsValue(op.pointee.a) || cpu.holdsValue(7) { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87([], roundedUp: false)
    cpu.pushStack(cpu.stackRegister(op.pointee.a).pointee)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum X87_Load_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !cpu.x87Usable || cpu.holdsValue(7) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > F.Bits.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    if !execute(cpu, op, address, cpu.loadHost(address, distance, as: F.Bits.self)) { return Outside.retry(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }

  @inline(never)
  private static func execute(_ cpu: CPU, _ op: OperationPointer, _ address: UInt64, _ bits: F.Bits) -> Bool {
    var environment = cpu.x87Controls
    let value = F.widen(bits, &environment)
    if environment.unmasked.rawValue != 0 { return false }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(environment.flags, roundedUp: false)
    cpu.pushStack(value)
    return true
  }
}

/// FLD of 80 bits, which raises nothing.
enum X87_Load_Extended {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !cpu.x87Usable || cpu.holdsValue(7) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > 4096 - 10 {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let source = cpu.host(address, distance)
    cpu.noteX87(op, operand: address)
    cpu.settleX87([], roundedUp: false)
    cpu.pushStack(Extended80(significand: source.loadUnaligned(as: UInt64.self),
                             signExponent: source.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FILD, exact.
enum X87_Load_Integer<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !cpu.x87Usable || cpu.holdsValue(7) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let value = Extended80.from(Int64(truncatingIfNeeded: T.signed(cpu.loadHost(address, distance, as: T.self))))
    cpu.noteX87(op, operand: address)
    cpu.settleX87([], roundedUp: false)
    cpu.pushStack(value)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FLD1 (`a` 1) and FLDZ (0).
enum X87_Load_Constant {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.x87Usable || cpu.holdsValue(7) { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87([], roundedUp: false)
    cpu.pushStack(op.pointee.a == 0 ? Extended80(significand: 0, signExponent: 0)
                    : Extended80(significand: 1 &<< 63, signExponent: 0x3FFF))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Stores and exchange

enum X87_Store_Reg<P: PopCount> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.x87Usable || !cpu.holdsValue(0) { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87([], roundedUp: false)
    cpu.setStack(op.pointee.a, cpu.stackRegister(0).pointee)
    cpu.popStack(P.count)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// `b` says how often to pop.
enum X87_Store_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !cpu.x87Usable || !cpu.holdsValue(0) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.writeDistance(address)
    if distance > F.Bits.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    if !execute(cpu, op, address, distance) { return Outside.retry(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }

  @inline(never)
  private static func execute(_ cpu: CPU, _ op: OperationPointer, _ address: UInt64, _ distance: UInt64) -> Bool {
    var environment = cpu.x87Controls
    let bits = F.narrow(cpu.stackRegister(0).pointee, &environment)
    if environment.unmasked.rawValue != 0 { return false }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(environment.flags, roundedUp: environment.roundedUp)
    cpu.storeHost(address, distance, bits)
    cpu.popStack(op.pointee.b)
    return true
  }
}

/// FSTP of 80 bits.
enum X87_Store_Extended {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !cpu.x87Usable || !cpu.holdsValue(0) { return Outside.retry(cpu, op, n, fr, fa) }
    let distance = cpu.writeDistance(address)
    if distance > 4096 - 10 {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let target = cpu.host(address, distance)
    let value = cpu.stackRegister(0).pointee
    cpu.noteX87(op, operand: address)
    cpu.settleX87([], roundedUp: false)
    target.storeBytes(of: value.significand, as: UInt64.self)
    target.storeBytes(of: value.signExponent, toByteOffset: 8, as: UInt16.self)
    cpu.popStack(1)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum X87_Exchange {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.x87Usable || !cpu.holdsValue(0) || !cpu.holdsValue(op.pointee.a) { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87([], roundedUp: false)
    let top = cpu.stackRegister(0), other = cpu.stackRegister(op.pointee.a)
    let value = top.pointee
    top.pointee = other.pointee
    other.pointee = value
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Comparison

/// ST(0) against ST(a); unordered also if there is anything to flag, which is the generic method's.
@inline(never)
private func relation(_ cpu: CPU, _ op: OperationPointer) -> FloatRelation {
  var environment = cpu.x87Controls
  let relation = Extended80.compare(cpu.stackRegister(0).pointee, cpu.stackRegister(op.pointee.a).pointee, signaling: true, &environment)
  return environment.flags.rawValue != 0 ? .unordered : relation
}

/// FCOM, FUCOM and their popping forms.
enum X87_Compare<P: PopCount> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.x87Usable || !cpu.holdsValue(0) || !cpu.holdsValue(op.pointee.a) { return Outside.retry(cpu, op, n, fr, fa) }
    let order = relation(cpu, op)
    if order == .unordered { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87([], roundedUp: false, conditions: order == .less ? 0x100 : order == .equal ? 0x4000 : 0, mask: 0x4700)
    cpu.popStack(P.count)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FCOMI, FUCOMI and their popping forms.
enum X87_CompareToFlags<P: PopCount> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !cpu.x87Usable || !cpu.holdsValue(0) || !cpu.holdsValue(op.pointee.a) { return Outside.retry(cpu, op, n, fr, fa) }
    let order = relation(cpu, op)
    if order == .unordered { return Outside.retry(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87([], roundedUp: false)
    cpu.popStack(P.count)
    let flags = Flags.explicit(order == .less ? Flags.cf : order == .equal ? Flags.zf : 0)
    cpu.s.pointee.flagKind = FlagKind.explicit
    return Next.operation(cpu, op, n, flags.result, flags.aux)
  }
}
