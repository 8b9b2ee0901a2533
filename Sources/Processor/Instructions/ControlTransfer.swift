import X86
import X86Decoder

/// Near control transfers, procedure frames, flag instructions, hints and fences (SDM vol. 1 §7.3.8, §7.3.10, §7.3.13).
/// Far transfers and interrupts are with the system instructions.
extension CPU {
  // MARK: Branches

  /// The new instruction pointer, truncated to the operand size; #GP(0) where the code segment does not reach.
  @inline(__always)
  func nearTarget(_ target: UInt64, _ size: UInt8) throws(Fault) -> UInt64 {
    if s.pointee.codeSize == .bits64 {
      if !isCanonical(target) { throw .generalProtection() }
      return target
    }
    let truncated = size == 2 ? target & 0xFFFF : target & 0xFFFF_FFFF
    if truncated > UInt64(s.pointee.cs.limit) { throw .generalProtection() }
    return truncated
  }

  @inline(__always)
  private func relativeTarget(_ i: borrowing Instruction) throws(Fault) -> UInt64 {
    try nearTarget(s.pointee.nextRIP &+ i.immediate, i.operandSize)
  }

  func JMP(_ i: borrowing Instruction) throws(Fault) {
    s.pointee.nextRIP = i.op0.kind == .relative
      ? try relativeTarget(i) : try nearTarget(read(i, i.op0), i.operandSize)
  }

  func Jcc(_ i: borrowing Instruction) throws(Fault) {
    if condition(i.opcode) { s.pointee.nextRIP = try relativeTarget(i) }
  }

  func CALL(_ i: borrowing Instruction) throws(Fault) {
    let target = i.op0.kind == .relative
      ? try relativeTarget(i) : try nearTarget(read(i, i.op0), i.operandSize)
    try push(s.pointee.nextRIP, size: i.operandSize)
    s.pointee.nextRIP = target
  }

  func RET(_ i: borrowing Instruction) throws(Fault) {
    let size = i.operandSize
    let target = try nearTarget(load(.ss, stackOffset(0), size: size), size)
    let parameters = i.operandCount > 0 ? Int64(i.immediate & 0xFFFF) : 0
    setStackOffset(stackOffset(Int64(size) &+ parameters))
    s.pointee.nextRIP = target
  }

  func LOOP(_ i: borrowing Instruction) throws(Fault) { try loop(i, while: true) }
  func LOOPE(_ i: borrowing Instruction) throws(Fault) { try loop(i, while: zf) }
  func LOOPNE(_ i: borrowing Instruction) throws(Fault) { try loop(i, while: !zf) }

  /// The counter is as wide as an address, the target as an operand.
  private func loop(_ i: borrowing Instruction, while holds: Bool) throws(Fault) {
    let count = (s.pointee.rcx &- 1) & addressSizeMask(i)
    if count != 0, holds { s.pointee.nextRIP = try relativeTarget(i) }
    setRegister(1, size: i.addressSize, count)
  }

  func JCXZ(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.rcx & addressSizeMask(i) == 0 { s.pointee.nextRIP = try relativeTarget(i) }
  }

  func JECXZ(_ i: borrowing Instruction) throws(Fault) { try JCXZ(i) }
  func JRCXZ(_ i: borrowing Instruction) throws(Fault) { try JCXZ(i) }

  // MARK: Procedure frames

  func ENTER(_ i: borrowing Instruction) throws(Fault) {
    let size = i.operandSize
    let allocation = Int64(i.immediate & 0xFFFF)
    let level = Int64(i.immediate2 & 31)
    try store(.ss, stackOffset(-Int64(size)), s.pointee.rbp, size: size)
    let frame = stackOffset(-Int64(size))
    // FrameTemp is all of ESP: a 16-bit stack leaves the upper half as it was.
    let framePointer = s.pointee.stackSize == 2 ? (s.pointee.rsp & ~0xFFFF) | frame : frame
    if level > 0 {
      for n in 1..<max(level, 1) {
        let outer = (s.pointee.rbp &- UInt64(bitPattern: n &* Int64(size))) & stackMask
        try store(.ss, stackOffset(-Int64(size) &* (n &+ 1)), load(.ss, outer, size: size), size: size)
      }
      try store(.ss, stackOffset(-Int64(size) &* (level &+ 1)), framePointer, size: size)
    }
    let top = stackOffset(-Int64(size) &* (level &+ 1) &- allocation)
    // The final stack pointer must be good for writing (SDM vol. 2A, ENTER).
    try checkWrite(.ss, top, size: Int(size))
    setRegister(5, size: size, framePointer)
    setStackOffset(top)
  }

  func LEAVE(_ i: borrowing Instruction) throws(Fault) {
    let size = i.operandSize
    let frame = s.pointee.rbp & stackMask
    let value = try load(.ss, frame, size: size)
    setStackOffset((frame &+ UInt64(size)) & stackMask)
    setRegister(5, size: size, value)
  }

  /// What wraps an offset to the stack's width.
  @inline(__always)
  private var stackMask: UInt64 {
    switch s.pointee.stackSize {
    case 8: return ~0
    case 4: return 0xFFFF_FFFF
    default: return 0xFFFF
    }
  }

  func BOUND(_ i: borrowing Instruction) throws(Fault) {
    let size = i.op0.size
    let offset = effectiveOffset(i)
    let index = Self.signExtend(register(i.op0.register, size: size), size)
    let lower = Self.signExtend(try load(i.segment, offset, size: size), size)
    let upper = Self.signExtend(
      try load(i.segment, (offset &+ UInt64(size)) & addressSizeMask(i), size: size), size)
    if index < lower || index > upper { throw Fault(.BR) }
  }

  func UD0(_ i: borrowing Instruction) throws(Fault) { throw .undefined }
  func UD1(_ i: borrowing Instruction) throws(Fault) { throw .undefined }
  func UD2(_ i: borrowing Instruction) throws(Fault) { throw .undefined }

  // MARK: Flags

  func CLC(_ i: borrowing Instruction) throws(Fault) { cf = false }
  func STC(_ i: borrowing Instruction) throws(Fault) { cf = true }
  func CMC(_ i: borrowing Instruction) throws(Fault) { cf = !cf }
  func CLD(_ i: borrowing Instruction) throws(Fault) { s.pointee.systemFlags &= ~RFLAGS.DF }
  func STD(_ i: borrowing Instruction) throws(Fault) { s.pointee.systemFlags |= RFLAGS.DF }

  // MARK: Hints, caches, order

  /// NOP, PAUSE, the hint NOPs and all prefetches: memory is not accessed and nothing faults.
  func NOP(_ i: borrowing Instruction) throws(Fault) {}

  /// CLFLUSH, CLFLUSHOPT and CLWB fault as a load of one byte does (SDM vol. 2A, CLFLUSH). Caches are not modelled.
  func CLFLUSH(_ i: borrowing Instruction) throws(Fault) {
    try checkRead(i.segment, effectiveOffset(i), size: 1)
  }

  /// LFENCE, MFENCE, SFENCE: memory accesses are in program order anyway.
  func FENCE(_ i: borrowing Instruction) throws(Fault) {}

  // MARK: Random numbers and the processor's number

  /// Random numbers are a function of saved state, so that a run can be repeated: SplitMix64 of the instruction count and
  /// the processor's index. CF says that a number was available.
  func RDRAND(_ i: borrowing Instruction) throws(Fault) { setRandom(i, stream: 0x5244_5241_4E44_0001) }
  func RDSEED(_ i: borrowing Instruction) throws(Fault) { setRandom(i, stream: 0x5244_5345_4544_0003) }

  private func setRandom(_ i: borrowing Instruction, stream: UInt64) {
    var z = (s.pointee.retired &+ stream) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(s.pointee.index) &<< 56
    z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
    setRegister(i.op0.register, size: i.op0.size, z ^ (z &>> 31))
    setStatusFlags(Flags.cf)
  }

  func RDPID(_ i: borrowing Instruction) throws(Fault) {
    setRegister(i.op0.register, size: i.op0.size, s.pointee.tscAux)
  }
}
