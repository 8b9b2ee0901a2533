import Processor
import X86Decoder

/// ADD OR AND SUB XOR CMP TEST, and ADC SBB, in their operand forms (SDM vol. 1 §7.3.2, §7.3.4).

/// A two-operand operation whose flags follow from result and first operand.
protocol ALUOperation: SendableMetatype {
  static func apply<T: Width>(_ a: T, _ b: T) -> T
  static var kind: UInt32 { get }
  /// CMP and TEST write no result.
  static var writes: Bool { get }
}

extension ALUOperation {
  @inline(__always) static var writes: Bool { true }
}

enum AddOperation: ALUOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> T { a &+ b }
  @inline(__always) static var kind: UInt32 { FlagKind.add }
}
enum SubOperation: ALUOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> T { a &- b }
  @inline(__always) static var kind: UInt32 { FlagKind.sub }
}
enum OrOperation: ALUOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> T { a | b }
  @inline(__always) static var kind: UInt32 { FlagKind.logic }
}
enum AndOperation: ALUOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> T { a & b }
  @inline(__always) static var kind: UInt32 { FlagKind.logic }
}
enum XorOperation: ALUOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> T { a ^ b }
  @inline(__always) static var kind: UInt32 { FlagKind.logic }
}
enum CmpOperation: ALUOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> T { a &- b }
  @inline(__always) static var kind: UInt32 { FlagKind.sub }
  @inline(__always) static var writes: Bool { false }
}
enum TestOperation: ALUOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T) -> T { a & b }
  @inline(__always) static var kind: UInt32 { FlagKind.logic }
  @inline(__always) static var writes: Bool { false }
}

enum ALU_Reg_Reg<O: ALUOperation, T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let a = cpu.get(op.pointee.a, as: T.self), b = cpu.get(op.pointee.b, as: T.self)
    let r = O.apply(a, b)
    if O.writes { cpu.set(op.pointee.a, r) }
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    fr = r.justified
    fa = a.justified
    return true
  }
}

enum ALU_Reg_Imm<O: ALUOperation, T: Width>: Straight {
  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let a = cpu.get(op.pointee.a, as: T.self)
    let r = O.apply(a, T.immediate(op))
    if O.writes { cpu.set(op.pointee.a, r) }
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    fr = r.justified
    fa = a.justified
    return true
  }
}

enum ALU_Reg_Mem<O: ALUOperation, T: Width, A: AddressForm>: Straight {
  @inline(__always) static var miss: MissKind { .read }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return false
    }
    let a = cpu.get(op.pointee.a, as: T.self)
    let r = O.apply(a, cpu.loadHost(address, distance, as: T.self))
    if O.writes { cpu.set(op.pointee.a, r) }
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    fr = r.justified
    fa = a.justified
    return true
  }
}

enum ALU_Mem_Reg<O: ALUOperation, T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = O.writes ? cpu.writeDistance(address) : cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      if O.writes { return Miss.write(cpu, op, n, fr, fa) }
      return Miss.read(cpu, op, n, fr, fa)
    }
    let a = cpu.loadHost(address, distance, as: T.self)
    let r = O.apply(a, cpu.get(op.pointee.a, as: T.self))
    if O.writes { cpu.storeHost(address, distance, r) }
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    return Next.operation(cpu, op, n, r.justified, a.justified)
  }
}

enum ALU_Mem_Imm<O: ALUOperation, T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = O.writes ? cpu.writeDistance(address) : cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      if O.writes { return Miss.write(cpu, op, n, fr, fa) }
      return Miss.read(cpu, op, n, fr, fa)
    }
    let a = cpu.loadHost(address, distance, as: T.self)
    let r = O.apply(a, T.immediate(op))
    if O.writes { cpu.storeHost(address, distance, r) }
    cpu.s.pointee.flagKind = T.flagKind(O.kind)
    return Next.operation(cpu, op, n, r.justified, a.justified)
  }
}

// MARK: The same where nobody reads the flags

enum ALU_Reg_Reg_NoFlags<O: ALUOperation, T: Width>: CombiningOperation {
  @inline(__always)
  static func value(_ cpu: CPU, _ op: OperationPointer, _ old: T) -> T { O.apply(old, cpu.get(op.pointee.b, as: T.self)) }
  @inline(__always)
  static func combine(_ old: T, _ fed: T) -> T { O.apply(old, fed) }
}

enum ALU_Reg_Imm_NoFlags<O: ALUOperation, T: Width>: RegisterOperation {
  @inline(__always)
  static func value(_ cpu: CPU, _ op: OperationPointer, _ old: T) -> T { O.apply(old, T.immediate(op)) }
}

enum ALU_Reg_Mem_NoFlags<O: ALUOperation, T: Width, A: AddressForm>: Straight {
  @inline(__always) static var miss: MissKind { .read }

  @inline(__always)
  static func apply(_ cpu: CPU, _ op: OperationPointer, _ fr: inout UInt64, _ fa: inout UInt64) -> Bool {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return false
    }
    cpu.set(op.pointee.a, O.apply(cpu.get(op.pointee.a, as: T.self), cpu.loadHost(address, distance, as: T.self)))
    return true
  }
}

// MARK: With carry

/// ADC or SBB: with a carry the flags are of a kind of their own.
protocol CarryOperation: SendableMetatype {
  static func apply<T: Width>(_ a: T, _ b: T, _ carry: T) -> T
  static var kind: UInt32 { get }
  static var kindWithCarry: UInt32 { get }
}

enum AdcOperation: CarryOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T, _ carry: T) -> T { a &+ b &+ carry }
  @inline(__always) static var kind: UInt32 { FlagKind.add }
  @inline(__always) static var kindWithCarry: UInt32 { FlagKind.adc }
}
enum SbbOperation: CarryOperation {
  @inline(__always) static func apply<T: Width>(_ a: T, _ b: T, _ carry: T) -> T { a &- b &- carry }
  @inline(__always) static var kind: UInt32 { FlagKind.sub }
  @inline(__always) static var kindWithCarry: UInt32 { FlagKind.sbb }
}

extension CarryOperation {
  @inline(__always)
  static func kind<T: Width>(_ type: T.Type, _ carry: Bool) -> UInt32 {
    T.flagKind(carry ? kindWithCarry : kind)
  }
}

enum Carry_Reg_Reg<O: CarryOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let carry = Flags.carry(fr, fa, cpu.s.pointee.flagKind)
    let a = cpu.get(op.pointee.a, as: T.self)
    let r = O.apply(a, cpu.get(op.pointee.b, as: T.self), carry ? 1 : 0)
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = O.kind(T.self, carry)
    return Next.operation(cpu, op, n, r.justified, a.justified)
  }
}

enum Carry_Reg_Imm<O: CarryOperation, T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let carry = Flags.carry(fr, fa, cpu.s.pointee.flagKind)
    let a = cpu.get(op.pointee.a, as: T.self)
    let r = O.apply(a, T.immediate(op), carry ? 1 : 0)
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = O.kind(T.self, carry)
    return Next.operation(cpu, op, n, r.justified, a.justified)
  }
}

enum Carry_Reg_Mem<O: CarryOperation, T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.readDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    let carry = Flags.carry(fr, fa, cpu.s.pointee.flagKind)
    let a = cpu.get(op.pointee.a, as: T.self)
    let r = O.apply(a, cpu.loadHost(address, distance, as: T.self), carry ? 1 : 0)
    cpu.set(op.pointee.a, r)
    cpu.s.pointee.flagKind = O.kind(T.self, carry)
    return Next.operation(cpu, op, n, r.justified, a.justified)
  }
}

enum Carry_Mem_Reg<O: CarryOperation, T: Width, A: AddressForm> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = A.address(cpu, op)
    let distance = cpu.writeDistance(address)
    if distance > T.limit {
      cpu.s.pointee.missAddress = address
      return Miss.write(cpu, op, n, fr, fa)
    }
    let carry = Flags.carry(fr, fa, cpu.s.pointee.flagKind)
    let a = cpu.loadHost(address, distance, as: T.self)
    let r = O.apply(a, cpu.get(op.pointee.a, as: T.self), carry ? 1 : 0)
    cpu.storeHost(address, distance, r)
    cpu.s.pointee.flagKind = O.kind(T.self, carry)
    return Next.operation(cpu, op, n, r.justified, a.justified)
  }
}
