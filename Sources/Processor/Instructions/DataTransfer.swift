import X86Decoder

/// Data transfer instructions (SDM vol. 1 §7.3.1). Loads of segment registers are in Segmentation.swift.
extension CPU {
  /// `value`, of which `size` bytes count, sign-extended to 64 bits.
  @inline(__always)
  static func signExtend(_ value: UInt64, _ size: UInt8) -> Int64 {
    let shift = Int64(64 &- Int(size) &* 8)
    return (Int64(bitPattern: value) &<< shift) &>> shift
  }

  // MARK: Moves

  func MOV(_ i: borrowing Instruction) throws(Fault) {
    switch (i.op0.kind, i.op1.kind) {
    case (.segment, _), (_, .segment): try moveSegment(i)
    case (.control, _), (_, .control): try moveControl(i)
    case (.debug, _), (_, .debug): try moveDebug(i)
    default: try write(i, i.op0, source(i, i.op1))
    }
  }

  func MOVZX(_ i: borrowing Instruction) throws(Fault) {
    try write(i, i.op0, read(i, i.op1))
  }

  func MOVSX(_ i: borrowing Instruction) throws(Fault) {
    try write(i, i.op0, UInt64(bitPattern: Self.signExtend(read(i, i.op1), i.op1.size)))
  }

  func MOVSXD(_ i: borrowing Instruction) throws(Fault) { try MOVSX(i) }

  func MOVNTI(_ i: borrowing Instruction) throws(Fault) {
    try write(i, i.op0, read(i, i.op1))
  }

  func MOVBE(_ i: borrowing Instruction) throws(Fault) {
    let shift = Flags.justification(i.op0.size)
    try write(i, i.op0, read(i, i.op1).byteSwapped &>> shift)
  }

  /// With a 16-bit operand the result is undefined; processors clear the register's low word.
  func BSWAP(_ i: borrowing Instruction) throws(Fault) {
    let o = i.op0
    let value = register(o.register, size: o.size)
    setRegister(o.register, size: o.size, o.size == 2 ? 0 : value.byteSwapped &>> Flags.justification(o.size))
  }

  func LEA(_ i: borrowing Instruction) throws(Fault) {
    setRegister(i.op0.register, size: i.op0.size, effectiveOffset(i))
  }

  func XLAT(_ i: borrowing Instruction) throws(Fault) {
    let offset = (s.pointee.rbx &+ (s.pointee.rax & 0xFF)) & addressSizeMask(i)
    setRegister(0, size: 1, UInt64(try load8(i.segment, offset)))
  }

  /// A 32-bit destination loses its upper half even if the condition is false; memory is read in any case.
  func CMOVcc(_ i: borrowing Instruction) throws(Fault) {
    let value = try read(i, i.op1)
    let o = i.op0
    setRegister(o.register, size: o.size, condition(i.opcode) ? value : register(o.register, size: o.size))
  }

  func SETcc(_ i: borrowing Instruction) throws(Fault) {
    try write(i, i.op0, condition(i.opcode) ? 1 : 0)
  }

  // MARK: Exchanges

  func XCHG(_ i: borrowing Instruction) throws(Fault) {
    let a = try readForUpdate(i, i.op0)
    let b = try read(i, i.op1)
    try write(i, i.op0, b)
    try write(i, i.op1, a)
  }

  func XADD(_ i: borrowing Instruction) throws(Fault) {
    let a = try readForUpdate(i, i.op0)
    let sum = a &+ register(i.op1.register, size: i.op1.size)
    if i.op0.kind == .memory { try write(i, i.op0, sum) }
    setRegister(i.op1.register, size: i.op1.size, a)
    // Last, so that the sum stays where both operands are one register.
    if i.op0.kind != .memory { setRegister(i.op0.register, size: i.op0.size, sum) }
    setFlagsAdd(sum, a, i.op0.size)
  }

  /// A memory destination must be writable and is written even if the comparison fails. Of the registers only one changes:
  /// the destination if the comparison succeeds, the accumulator if not.
  func CMPXCHG(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let destination = try readForUpdate(i, i.op0)
    let accumulator = register(0, size: size)
    if accumulator == destination {
      try write(i, i.op0, register(i.op1.register, size: size))
    } else {
      if i.op0.kind == .memory { try write(i, i.op0, destination) }
      setRegister(0, size: size, destination)
    }
    setFlagsSub(accumulator &- destination, accumulator, size)
  }

  func CMPXCHG8B(_ i: borrowing Instruction) throws(Fault) {
    let offset = effectiveOffset(i)
    try checkWrite(i.segment, offset, size: 8)
    let destination = try load64(i.segment, offset)
    let expected = (s.pointee.rax & 0xFFFF_FFFF) | s.pointee.rdx &<< 32
    let equal = destination == expected
    if equal {
      try store64(i.segment, offset, (s.pointee.rbx & 0xFFFF_FFFF) | s.pointee.rcx &<< 32)
    } else {
      try store64(i.segment, offset, destination)
      s.pointee.rax = destination & 0xFFFF_FFFF
      s.pointee.rdx = destination &>> 32
    }
    zf = equal
  }

  func CMPXCHG16B(_ i: borrowing Instruction) throws(Fault) {
    let offset = effectiveOffset(i)
    // Misalignment (#GP) has precedence over paging; and a page fault is that of a write, whatever the comparison will say.
    if try linear(i.segment, offset, size: 16, write: true) & 15 != 0 { throw .generalProtection() }
    try checkWrite(i.segment, offset, size: 16)
    let destination = try load128(i.segment, offset, aligned: true)
    let equal = destination == (s.pointee.rax, s.pointee.rdx)
    if equal {
      try store128(i.segment, offset, s.pointee.rbx, s.pointee.rcx, aligned: true)
    } else {
      try store128(i.segment, offset, destination.0, destination.1, aligned: true)
      s.pointee.rax = destination.0
      s.pointee.rdx = destination.1
    }
    zf = equal
  }

  // MARK: Stack

  func PUSH(_ i: borrowing Instruction) throws(Fault) {
    if i.op0.kind == .segment { return try pushSegment(i) }
    try push(source(i, i.op0), size: i.operandSize)
  }

  /// With a 32-bit operand size only the selector's 16 bits are written (SDM vol. 2B, PUSH: all recent processors).
  private func pushSegment(_ i: borrowing Instruction) throws(Fault) {
    let selector = try read(i, i.op0)
    if i.operandSize == 4 {
      let offset = stackOffset(-4)
      try store16(.ss, offset, UInt16(truncatingIfNeeded: selector))
      setStackOffset(offset)
    } else {
      try push(selector, size: i.operandSize)
    }
  }

  func POP(_ i: borrowing Instruction) throws(Fault) {
    switch i.op0.kind {
    case .segment: try popSegment(i)
    case .memory: try popMemory(i)
    default:
      let value = try pop(size: i.operandSize)
      setRegister(i.op0.register, size: i.operandSize, value)
    }
  }

  /// The address of the destination is computed with the stack pointer already incremented (SDM vol. 2B, POP).
  private func popMemory(_ i: borrowing Instruction) throws(Fault) {
    let rsp = s.pointee.rsp
    let value = try pop(size: i.operandSize)
    do throws(Fault) {
      try write(i, i.op0, value)
    } catch {
      s.pointee.rsp = rsp
      throw error
    }
  }

  private func popSegment(_ i: borrowing Instruction) throws(Fault) {
    let size: UInt8 = i.operandSize == 8 ? 8 : 2
    let selector = UInt16(truncatingIfNeeded: try load(.ss, stackOffset(0), size: size))
    // The stack segment may change its width, so the new pointer is computed before and put in place by the old width.
    let offset = stackOffset(Int64(i.operandSize))
    let rsp = s.pointee.stackSize == 2 ? (s.pointee.rsp & ~0xFFFF) | offset : offset
    let segment = SegmentRegister(rawValue: i.op0.register) ?? .ds
    try loadSegment(segment, selector)
    s.pointee.rsp = rsp
    if segment == .ss { beginShadow(movSS: true) }
  }

  func PUSHA(_ i: borrowing Instruction) throws(Fault) {
    let size = i.operandSize
    for n in 1...8 { try checkWrite(.ss, stackOffset(-Int64(size) &* Int64(n)), size: Int(size)) }
    for n in 0..<8 {
      try store(.ss, stackOffset(-Int64(size) &* Int64(n + 1)), gpr(UInt8(truncatingIfNeeded: n)), size: size)
    }
    setStackOffset(stackOffset(-8 &* Int64(size)))
  }

  func POPA(_ i: borrowing Instruction) throws(Fault) {
    let size = i.operandSize
    func element(_ n: Int64) throws(Fault) -> UInt64 { try load(.ss, stackOffset(Int64(size) &* n), size: size) }
    let di = try element(0), si = try element(1), bp = try element(2)
    // The stored stack pointer (element 3) is skipped.
    let bx = try element(4), dx = try element(5), cx = try element(6), ax = try element(7)
    setRegister(7, size: size, di)
    setRegister(6, size: size, si)
    setRegister(5, size: size, bp)
    setRegister(3, size: size, bx)
    setRegister(2, size: size, dx)
    setRegister(1, size: size, cx)
    setRegister(0, size: size, ax)
    setStackOffset(stackOffset(8 &* Int64(size)))
  }

  // MARK: Widening of the accumulator, flags to and from AH

  func CBW(_ i: borrowing Instruction) throws(Fault) { widenAccumulator(from: 1) }
  func CWDE(_ i: borrowing Instruction) throws(Fault) { widenAccumulator(from: 2) }
  func CDQE(_ i: borrowing Instruction) throws(Fault) { widenAccumulator(from: 4) }

  @inline(__always)
  private func widenAccumulator(from size: UInt8) {
    setRegister(0, size: size &* 2, UInt64(bitPattern: Self.signExtend(s.pointee.rax, size)))
  }

  func CWD(_ i: borrowing Instruction) throws(Fault) { signOfAccumulator(2) }
  func CDQ(_ i: borrowing Instruction) throws(Fault) { signOfAccumulator(4) }
  func CQO(_ i: borrowing Instruction) throws(Fault) { signOfAccumulator(8) }

  @inline(__always)
  private func signOfAccumulator(_ size: UInt8) {
    setRegister(2, size: size, Self.signExtend(s.pointee.rax, size) < 0 ? ~0 : 0)
  }

  func LAHF(_ i: borrowing Instruction) throws(Fault) {
    setRegister(16, size: 1, (rflags() & 0xD5) | 2)
  }

  func SAHF(_ i: borrowing Instruction) throws(Fault) {
    updateStatusFlags(register(16, size: 1), mask: 0xD5)
  }

  /// AL = CF ? FFH : 0; undocumented by Intel, present since the 8086.
  func SALC(_ i: borrowing Instruction) throws(Fault) {
    setRegister(0, size: 1, cf ? 0xFF : 0)
  }
}
