import X86Decoder

/// Explicit operands of the generic instruction functions.
extension CPU {
  /// Offset of the memory operand within its segment, wrapped to the address size (SDM vol. 1 §3.7.5).
  @inline(__always)
  public func effectiveOffset(_ i: borrowing Instruction) -> UInt64 {
    var offset = UInt64(bitPattern: i.displacement)
    if i.base < 16 {
      offset = offset &+ gpr(i.base)
    } else if i.base == instructionPointerBase {
      offset = offset &+ s.pointee.rip &+ UInt64(i.length)
    }
    if i.index < 16 { offset = offset &+ (gpr(i.index) &<< UInt64(i.scale)) }
    switch i.addressSize {
    case 8: return offset
    case 4: return offset & 0xFFFF_FFFF
    default: return offset & 0xFFFF
    }
  }

  /// Value of an operand, zero-extended to 64 bits.
  public func read(_ i: borrowing Instruction, _ o: Operand) throws(Fault) -> UInt64 {
    switch o.kind {
    case .general: return register(o.register, size: o.size)
    case .memory: return try load(i.segment, effectiveOffset(i), size: o.size)
    case .immediate: return o.size == 8 ? i.immediate : i.immediate & ((1 &<< (UInt64(o.size) &* 8)) &- 1)
    case .immediate2: return UInt64(i.immediate2)
    case .one: return 1
    case .segment: return UInt64(segment(SegmentRegister(rawValue: o.register) ?? .es).pointee.selector)
    default: return i.immediate
    }
  }

  /// The same for an operand that will be written: memory must be writable, or the fault is a write fault.
  public func readForUpdate(_ i: borrowing Instruction, _ o: Operand) throws(Fault) -> UInt64 {
    if o.kind == .memory {
      let offset = effectiveOffset(i)
      try checkWrite(i.segment, offset, size: Int(o.size))
      return try load(i.segment, offset, size: o.size)
    }
    return register(o.register, size: o.size)
  }

  /// Writes a general register or memory operand.
  public func write(_ i: borrowing Instruction, _ o: Operand, _ value: UInt64) throws(Fault) {
    if o.kind == .memory {
      try store(i.segment, effectiveOffset(i), value, size: o.size)
    } else {
      setRegister(o.register, size: o.size, value)
    }
  }

  /// Memory of 1, 2, 4 or 8 bytes, zero-extended.
  public func load(_ seg: SegmentRegister, _ offset: UInt64, size: UInt8) throws(Fault) -> UInt64 {
    switch size {
    case 1: return UInt64(try load8(seg, offset))
    case 2: return UInt64(try load16(seg, offset))
    case 4: return UInt64(try load32(seg, offset))
    default: return try load64(seg, offset)
    }
  }

  public func store(_ seg: SegmentRegister, _ offset: UInt64, _ value: UInt64, size: UInt8) throws(Fault) {
    switch size {
    case 1: try store8(seg, offset, UInt8(truncatingIfNeeded: value))
    case 2: try store16(seg, offset, UInt16(truncatingIfNeeded: value))
    case 4: try store32(seg, offset, UInt32(truncatingIfNeeded: value))
    default: try store64(seg, offset, value)
    }
  }

  // MARK: Stack

  /// Offset of the stack pointer within SS, wrapped to the stack size.
  @inline(__always)
  public func stackOffset(_ delta: Int64) -> UInt64 {
    let sp = s.pointee.rsp &+ UInt64(bitPattern: delta)
    switch s.pointee.stackSize {
    case 8: return sp
    case 4: return sp & 0xFFFF_FFFF
    default: return sp & 0xFFFF
    }
  }

  /// Sets the stack pointer to an offset, leaving the bits beyond the stack size alone (16-bit stacks).
  @inline(__always)
  public func setStackOffset(_ offset: UInt64) {
    if s.pointee.stackSize == 2 {
      s.pointee.rsp = (s.pointee.rsp & ~0xFFFF) | (offset & 0xFFFF)
    } else {
      s.pointee.rsp = s.pointee.stackSize == 4 ? offset & 0xFFFF_FFFF : offset
    }
  }

  /// Pushes the low `size` (2, 4, 8) bytes; RSP changes only when the store succeeded.
  public func push(_ value: UInt64, size: UInt8) throws(Fault) {
    let offset = stackOffset(-Int64(size))
    try store(.ss, offset, value, size: size)
    setStackOffset(offset)
  }

  public func pop(size: UInt8) throws(Fault) -> UInt64 {
    let value = try load(.ss, stackOffset(0), size: size)
    setStackOffset(stackOffset(Int64(size)))
    return value
  }
}
