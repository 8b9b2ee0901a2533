import Processor
import SoftFloat
import X86
import X86Decoder

/// The common x87 instructions: access to the register stack, loads and stores. Empty or full stacks, and every exception that is not
/// masked, go outside the chain before anything was changed. `a` and `b` are stack positions; the lower half of `link` holds what
/// FNSTENV wants to know: the opcode in bits 0–10, the segment of the operand in bits 16–18.

extension CPU {
  /// Control word in bits 0–15, status word above. Fast handlers always write both together: a host processor that reads two words
  /// together which were written apart waits until both are in its cache.
  @inline(__always)
  var x87Words: UInt32 {
    get { base.loadUnaligned(fromByteOffset: Self.x87WordsOffset, as: UInt32.self) }
    nonmutating set { base.storeBytes(of: newValue, toByteOffset: Self.x87WordsOffset, as: UInt32.self) }
  }

  @inline(__always)
  private static var x87WordsOffset: Int { MemoryLayout<CPUState>.offset(of: \.x87)! + MemoryLayout<X87State>.offset(of: \.controlWord)! }

  /// No #NM and no pending #MF.
  @inline(__always)
  func x87Usable(_ words: UInt32) -> Bool { s.pointee.cr0 & (CR0.EM | CR0.TS) | UInt64(words & 0x80_0000) == 0 }

  /// The same, and inexact is masked.
  @inline(__always)
  func x87Rounds(_ words: UInt32) -> Bool { s.pointee.cr0 & (CR0.EM | CR0.TS) | UInt64((words & 0x80_0020) ^ 0x20) == 0 }

  /// The same, and rounding is to nearest even.
  @inline(__always)
  func x87RoundsToNearest(_ words: UInt32) -> Bool { s.pointee.cr0 & (CR0.EM | CR0.TS) | UInt64((words & 0x80_0C20) ^ 0x20) == 0 }

  /// The same, and to full precision: what `Extended80.trySum` and its kin ask for.
  @inline(__always)
  func x87Common(_ words: UInt32) -> Bool { s.pointee.cr0 & (CR0.EM | CR0.TS) | UInt64((words & 0x80_0F20) ^ 0x320) == 0 }

  /// Physical number of ST(n).
  @inline(__always)
  func stackIndex(_ n: UInt8) -> UInt8 { (s.pointee.x87.top &+ n) & 7 }

  @inline(__always)
  func physicalStack(_ index: UInt8) -> UnsafeMutablePointer<Extended80> {
    let first = base + (MemoryLayout<CPUState>.offset(of: \.x87)! + MemoryLayout<X87State>.offset(of: \.r0)!)
    return first.assumingMemoryBound(to: Extended80.self) + Int(index)
  }

  /// ST(n).
  @inline(__always)
  func stackRegister(_ n: UInt8) -> UnsafeMutablePointer<Extended80> { physicalStack(stackIndex(n)) }

  @inline(__always)
  func holdsValue(_ n: UInt8) -> Bool { (s.pointee.x87.valid &>> stackIndex(n)) & 1 != 0 }

  /// Pops `count` registers, 0 or 1, without a branch.
  @inline(__always)
  func popStack(upToOne count: UInt8) {
    let top = s.pointee.x87.top
    s.pointee.x87.valid &= ~(count &<< top)
    s.pointee.x87.top = (top &+ count) & 7
  }

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

  /// Adds masked exceptions to the status word; C1 becomes the direction of rounding, other condition bits of `mask` those given.
  @inline(__always)
  func settleX87(_ words: UInt32, _ status: UInt16, mask: UInt16 = 0x200) {
    x87Words = (words & ~(UInt32(mask) &<< 16)) | UInt32(status) &<< 16
  }

  /// The same from an environment.
  @inline(__always)
  func settleX87(_ environment: FloatEnvironment) {
    settleX87(x87Words, UInt16(environment.flags.rawValue) | (environment.roundedUp ? 0x200 : 0))
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
  associatedtype Format: InterchangeFormat where Format.Bits == Bits
  static func widen(_ bits: Bits, _ environment: inout FloatEnvironment) -> Extended80
  /// As an operand of arithmetic, where NaNs follow rules of their own.
  static func operand(_ bits: Bits, other: Extended80, _ environment: inout FloatEnvironment) -> Extended80
  static func narrow(_ value: Extended80, _ environment: inout FloatEnvironment) -> Bits
}
enum X87Single: X87Format {
  typealias Format = Binary32
  @inline(__always) static func widen(_ bits: UInt32, _ e: inout FloatEnvironment) -> Extended80 { .from(Binary32(bits: bits), &e) }
  @inline(__always) static func operand(_ bits: UInt32, other: Extended80, _ e: inout FloatEnvironment) -> Extended80 {
    .memoryOperand(Binary32(bits: bits), other: other, isDividend: false, &e)
  }
  @inline(__always) static func narrow(_ value: Extended80, _ e: inout FloatEnvironment) -> UInt32 { Binary32.from(value, &e).bits }
}
enum X87Double: X87Format {
  typealias Format = Binary64
  @inline(__always) static func widen(_ bits: UInt64, _ e: inout FloatEnvironment) -> Extended80 { .from(Binary64(bits: bits), &e) }
  @inline(__always) static func operand(_ bits: UInt64, other: Extended80, _ e: inout FloatEnvironment) -> Extended80 {
    .memoryOperand(Binary64(bits: bits), other: other, isDividend: false, &e)
  }
  @inline(__always) static func narrow(_ value: Extended80, _ e: inout FloatEnvironment) -> UInt64 { Binary64.from(value, &e).bits }
}
extension X87Format {
  /// A zero or normal number.
  @inline(__always) static func tryWiden(_ bits: Bits) -> Extended80? { .tryWiden(Format(bits: bits)) }
}

// MARK: Loads

enum X87_Load_Reg {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || !cpu.holdsValue(op.pointee.a) || cpu.holdsValue(7) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, 0)
    cpu.pushStack(cpu.stackRegister(op.pointee.a).pointee)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// Zeros and normal numbers; the rest is the generic method's.
enum X87_Load_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || cpu.holdsValue(7) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > F.Bits.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    guard let value = F.tryWiden(cpu.loadHost(address, distance, as: F.Bits.self)) else {
      return Outside.executeFloat(cpu, op, n, fr, fa)
    }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, 0)
    cpu.pushStack(value)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FLD of 80 bits, which raises nothing.
enum X87_Load_Extended {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || cpu.holdsValue(7) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > 4096 - 10 {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let source = cpu.host(address, distance)
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, 0)
    cpu.pushStack(Extended80(significand: source.loadUnaligned(as: UInt64.self),
                             signExponent: source.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FILD, exact.
enum X87_Load_Integer<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || cpu.holdsValue(7) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let value = Extended80.from(Int64(truncatingIfNeeded: T.signed(cpu.loadHost(address, distance, as: T.self))))
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, 0)
    cpu.pushStack(value)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FLD1 (`a` 1) and FLDZ (0).
enum X87_Load_Constant {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || cpu.holdsValue(7) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, 0)
    cpu.pushStack(op.pointee.a == 0 ? Extended80(significand: 0, signExponent: 0)
                    : Extended80(significand: 1 &<< 63, signExponent: 0x3FFF))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Stores, moves and exchange

enum X87_Store_Reg<P: PopCount> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || !cpu.holdsValue(0) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, 0)
    cpu.setStack(op.pointee.a, cpu.stackRegister(0).pointee)
    cpu.popStack(P.count)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// `b` says how often to pop.
enum X87_Store_Mem<F: X87Format> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    if !cpu.x87RoundsToNearest(words) || !cpu.holdsValue(0) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.writeDistance(address)
    if distance > F.Bits.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    guard let (value, status) = cpu.stackRegister(0).pointee.tryNarrow(to: F.Format.self) else {
      return Outside.executeFloat(cpu, op, n, fr, fa)
    }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, status)
    cpu.storeHost(address, distance, value.bits)
    cpu.popStack(upToOne: op.pointee.b)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FSTP of 80 bits.
enum X87_Store_Extended {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || !cpu.holdsValue(0) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.writeDistance(address)
    if distance > 4096 - 10 {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let target = cpu.host(address, distance)
    let value = cpu.stackRegister(0).pointee
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, 0)
    target.storeBytes(of: value.significand, as: UInt64.self)
    target.storeBytes(of: value.signExponent, toByteOffset: 8, as: UInt16.self)
    cpu.popStack(1)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FIST, FISTP and (`a` 1) FISTTP; `b` says how often to pop.
enum X87_Store_Integer<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    if !cpu.x87Rounds(words) || !cpu.holdsValue(0) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let mode = op.pointee.a != 0 ? RoundingMode.towardZero : RoundingMode(field: UInt8(truncatingIfNeeded: words &>> 10))
    guard let (value, status) = cpu.stackRegister(0).pointee.tryInteger(width: T.bitWidth, mode) else {
      return Outside.executeFloat(cpu, op, n, fr, fa)
    }
    cpu.noteX87(op, operand: address)
    cpu.settleX87(words, status)
    cpu.storeHost(address, distance, T(truncatingIfNeeded: value))
    cpu.popStack(upToOne: op.pointee.b)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum X87_Exchange {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || !cpu.holdsValue(0) || !cpu.holdsValue(op.pointee.a) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, 0)
    let top = cpu.stackRegister(0), other = cpu.stackRegister(op.pointee.a)
    let value = top.pointee
    top.pointee = other.pointee
    other.pointee = value
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FCMOVcc on the condition `b` of Jcc's opcodes.
enum X87_Move_Conditional {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let words = cpu.x87Words
    if !cpu.x87Usable(words) || !cpu.holdsValue(0) || !cpu.holdsValue(op.pointee.a) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.noteX87(op)
    cpu.settleX87(words, 0)
    if Flags.condition(op.pointee.b, fr, fa, cpu.s.pointee.flagKind) {
      cpu.stackRegister(0).pointee = cpu.stackRegister(op.pointee.a).pointee
    }
    return Next.operation(cpu, op, n, fr, fa)
  }
}

// MARK: Control and status word

/// FNSTSW AX. Like the stores below it does not wait for pending errors.
enum X87_StatusToAX {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if cpu.s.pointee.cr0 & (CR0.EM | CR0.TS) != 0 { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.set(0, UInt16(truncatingIfNeeded: cpu.x87Words &>> 16) | UInt16(cpu.s.pointee.x87.top) &<< 11)
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FNSTCW, and (`b` 1) FNSTSW to memory.
enum X87_StoreWord {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if cpu.s.pointee.cr0 & (CR0.EM | CR0.TS) != 0 { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.writeDistance(address)
    if distance > UInt16.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let words = cpu.x87Words
    let status = UInt16(truncatingIfNeeded: words &>> 16) | UInt16(cpu.s.pointee.x87.top) &<< 11
    cpu.storeHost(address, distance, op.pointee.b != 0 ? status : UInt16(truncatingIfNeeded: words))
    return Next.operation(cpu, op, n, fr, fa)
  }
}

/// FLDCW that leaves no flagged exception unmasked.
enum X87_LoadControl {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    let words = cpu.x87Words
    if !cpu.x87Usable(words) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > UInt16.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let control = UInt32(cpu.loadHost(address, distance, as: UInt16.self)) & 0x1F7F | 0x40
    if (words &>> 16) & ~control & 0x3F != 0 { return Outside.executeFloat(cpu, op, n, fr, fa) }
    cpu.x87Words = words & 0xFFFF_0000 | control
    return Next.operation(cpu, op, n, fr, fa)
  }
}
