import X86Decoder

/// Rearranging lanes: unpack, pack, shuffle, align, blend, insert, extract, widen (SDM vol. 1 §10.4.4, §11.4.1.3, §12.6, §12.10).
extension CPU {
  // MARK: Interleaving. UNPCKLPS is PUNPCKLDQ on 128-bit halves, UNPCKLPD is PUNPCKLQDQ.

  /// Interleaves the low (or high) halves of the sources within each 128 bits, or within 64 bits of MMX.
  @inline(__always)
  private func unpack<T>(_ i: borrowing Instruction, high: Bool, _ type: T.Type) throws(Fault) {
    let (a, b) = try integerSources(i)
    let count = 16 / MemoryLayout<T>.size
    if i.op0.kind == .mmx {
      let from = high ? count / 4 : 0
      let result = Vector256.combining(a, b) { a, b, result in
        for n in 0..<count / 4 {
          result.setLane(2 &* n, a.lane(from &+ n, as: T.self))
          result.setLane(2 &* n &+ 1, b.lane(from &+ n, as: T.self))
        }
      }
      return setMMX(i.op0.register, result.q0)
    }
    let from = high ? count / 2 : 0
    setVector(i, i.op0.register, Vector256.combining(a, b) { a, b, result in
      for base in stride(from: 0, to: 2 &* count, by: count) {
        for n in 0..<count / 2 {
          result.setLane(base &+ 2 &* n, a.lane(base &+ from &+ n, as: T.self))
          result.setLane(base &+ 2 &* n &+ 1, b.lane(base &+ from &+ n, as: T.self))
        }
      }
    })
  }

  func PUNPCKLBW(_ i: borrowing Instruction) throws(Fault) { try unpack(i, high: false, UInt8.self) }
  func PUNPCKLWD(_ i: borrowing Instruction) throws(Fault) { try unpack(i, high: false, UInt16.self) }
  func PUNPCKLDQ(_ i: borrowing Instruction) throws(Fault) { try unpack(i, high: false, UInt32.self) }
  func PUNPCKLQDQ(_ i: borrowing Instruction) throws(Fault) { try perHalf(i) { Vector256($0.q0, $1.q0) } }
  func PUNPCKHBW(_ i: borrowing Instruction) throws(Fault) { try unpack(i, high: true, UInt8.self) }
  func PUNPCKHWD(_ i: borrowing Instruction) throws(Fault) { try unpack(i, high: true, UInt16.self) }
  func PUNPCKHDQ(_ i: borrowing Instruction) throws(Fault) { try unpack(i, high: true, UInt32.self) }
  func PUNPCKHQDQ(_ i: borrowing Instruction) throws(Fault) { try perHalf(i) { Vector256($0.q1, $1.q1) } }

  // MARK: Narrowing with saturation

  /// The lanes of the first source, then those of the second, within each 128 bits (64 of MMX).
  @inline(__always)
  private func pack<Wide: FixedWidthInteger & SignedInteger, Narrow: FixedWidthInteger>(
    _ i: borrowing Instruction, _ wide: Wide.Type, _ narrow: Narrow.Type
  ) throws(Fault) {
    let (a, b) = try integerSources(i)
    let count = 16 / MemoryLayout<Wide>.size
    if i.op0.kind == .mmx {
      let result = Vector256.combining(a, b) { a, b, result in
        for n in 0..<count / 2 {
          result.setLane(n, saturated(a.lane(n, as: Wide.self)) as Narrow)
          result.setLane(count / 2 &+ n, saturated(b.lane(n, as: Wide.self)) as Narrow)
        }
      }
      return setMMX(i.op0.register, result.q0)
    }
    setVector(i, i.op0.register, Vector256.combining(a, b) { a, b, result in
      for half in 0..<2 {
        for n in 0..<count {
          result.setLane(2 &* half &* count &+ n, saturated(a.lane(half &* count &+ n, as: Wide.self)) as Narrow)
          result.setLane((2 &* half &+ 1) &* count &+ n, saturated(b.lane(half &* count &+ n, as: Wide.self)) as Narrow)
        }
      }
    })
  }

  func PACKSSWB(_ i: borrowing Instruction) throws(Fault) { try pack(i, Int16.self, Int8.self) }
  func PACKSSDW(_ i: borrowing Instruction) throws(Fault) { try pack(i, Int32.self, Int16.self) }
  func PACKUSWB(_ i: borrowing Instruction) throws(Fault) { try pack(i, Int16.self, UInt8.self) }
  func PACKUSDW(_ i: borrowing Instruction) throws(Fault) { try pack(i, Int32.self, UInt16.self) }

  // MARK: Widening

  @inline(__always)
  private func widen<Narrow: FixedWidthInteger, Wide: FixedWidthInteger>(
    _ i: borrowing Instruction, _ narrow: Narrow.Type, _ wide: Wide.Type
  ) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, Vector256.combining(a, a) { a, _, result in
      for n in 0..<Vector256.lanes(of: Wide.self) { result.setLane(n, Wide(truncatingIfNeeded: a.lane(n, as: Narrow.self))) }
    })
  }

  func PMOVSXBW(_ i: borrowing Instruction) throws(Fault) { try widen(i, Int8.self, Int16.self) }
  func PMOVSXBD(_ i: borrowing Instruction) throws(Fault) { try widen(i, Int8.self, Int32.self) }
  func PMOVSXBQ(_ i: borrowing Instruction) throws(Fault) { try widen(i, Int8.self, Int64.self) }
  func PMOVSXWD(_ i: borrowing Instruction) throws(Fault) { try widen(i, Int16.self, Int32.self) }
  func PMOVSXWQ(_ i: borrowing Instruction) throws(Fault) { try widen(i, Int16.self, Int64.self) }
  func PMOVSXDQ(_ i: borrowing Instruction) throws(Fault) { try widen(i, Int32.self, Int64.self) }
  func PMOVZXBW(_ i: borrowing Instruction) throws(Fault) { try widen(i, UInt8.self, UInt16.self) }
  func PMOVZXBD(_ i: borrowing Instruction) throws(Fault) { try widen(i, UInt8.self, UInt32.self) }
  func PMOVZXBQ(_ i: borrowing Instruction) throws(Fault) { try widen(i, UInt8.self, UInt64.self) }
  func PMOVZXWD(_ i: borrowing Instruction) throws(Fault) { try widen(i, UInt16.self, UInt32.self) }
  func PMOVZXWQ(_ i: borrowing Instruction) throws(Fault) { try widen(i, UInt16.self, UInt64.self) }
  func PMOVZXDQ(_ i: borrowing Instruction) throws(Fault) { try widen(i, UInt32.self, UInt64.self) }

  // MARK: Shuffles by immediate

  /// Four words chosen by the four two-bit fields of `control`.
  @inline(__always) func shuffledWords(_ words: UInt64, by control: UInt8) -> UInt64 {
    var result: UInt64 = 0
    for n in 0..<4 {
      let from = UInt64(control &>> UInt8(2 &* n)) & 3
      result |= (words &>> (from &* 16) & 0xFFFF) &<< UInt64(16 &* n)
    }
    return result
  }

  func PSHUFD(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    let control = Int(i.immediate & 0xFF)
    var result = Vector256()
    for n in 0..<8 { result.setLane(n, a.lane(n & 4 | control &>> (2 &* (n & 3)) & 3, as: UInt32.self)) }
    setVector(i, i.op0.register, result)
  }

  func PSHUFLW(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    let control = UInt8(truncatingIfNeeded: i.immediate)
    setVector(i, i.op0.register, Vector256(shuffledWords(a.q0, by: control), a.q1, shuffledWords(a.q2, by: control), a.q3))
  }

  func PSHUFHW(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    let control = UInt8(truncatingIfNeeded: i.immediate)
    setVector(i, i.op0.register, Vector256(a.q0, shuffledWords(a.q1, by: control), a.q2, shuffledWords(a.q3, by: control)))
  }

  /// Two lanes of the first source, then two of the second.
  func SHUFPS(_ i: borrowing Instruction) throws(Fault) {
    let control = Int(i.immediate & 0xFF)
    try perHalf(i) { a, b in
      var result = Vector256()
      result.setLane(0, a.lane(control & 3, as: UInt32.self))
      result.setLane(1, a.lane(control &>> 2 & 3, as: UInt32.self))
      result.setLane(2, b.lane(control &>> 4 & 3, as: UInt32.self))
      result.setLane(3, b.lane(control &>> 6 & 3, as: UInt32.self))
      return result
    }
  }

  func SHUFPD(_ i: borrowing Instruction) throws(Fault) {
    let control = i.immediate
    let (a, b) = try sources(i)
    setVector(i, i.op0.register, Vector256(
      control & 1 != 0 ? a.q1 : a.q0, control & 2 != 0 ? b.q1 : b.q0,
      control & 4 != 0 ? a.q3 : a.q2, control & 8 != 0 ? b.q3 : b.q2))
  }

  // MARK: Shuffles by register

  /// Each byte of the second source chooses one of the first within its 128 (MMX: 64) bits, or zero with bit 7.
  func PSHUFB(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try integerSources(i)
    let within = i.op0.kind == .mmx ? 7 : 15
    let bytes = i.vectorLength == 32 ? 32 : 16
    setIntegerResult(i, Vector256.combining(a, b) { a, b, result in
      for n in 0..<bytes {
        let control = b.lane(n, as: UInt8.self)
        let byte = a.lane(n & ~within | Int(control) & within, as: UInt8.self)
        result.setLane(n, control < 0x80 ? byte : 0)
      }
    })
  }

  /// The 16 (MMX: 8) bytes that begin `immediate` bytes up in the first source over the second.
  func PALIGNR(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try integerSources(i)
    let count = i.immediate & 0xFF
    if i.op0.kind == .mmx {
      let joined = UInt128(a.q0) &<< 64 | UInt128(b.q0)
      return setMMX(i.op0.register, count < 16 ? UInt64(truncatingIfNeeded: joined &>> UInt128(count &* 8)) : 0)
    }
    setVector(i, i.op0.register, Vector256.perHalf(a, b) { a, b in
      if count < 16 { return b.shiftedRight(bytes: count) | a.shiftedLeft(bytes: 16 &- count) }
      return a.shiftedRight(bytes: count &- 16)
    })
  }

  // MARK: Blends

  /// Lanes of the second source where the immediate has a one, which repeats every `period` lanes.
  @inline(__always)
  private func blend<T>(_ i: borrowing Instruction, period: Int, _ type: T.Type) throws(Fault) {
    let control = Int(i.immediate & 0xFF)
    let (a, b) = try sources(i)
    setVector(i, i.op0.register, Vector256.combining(a, b) { a, b, result in
      for n in 0..<Vector256.lanes(of: T.self) {
        result.setLane(n, control &>> (n % period) & 1 != 0 ? b.lane(n, as: T.self) : a.lane(n))
      }
    })
  }

  func BLENDPS(_ i: borrowing Instruction) throws(Fault) { try blend(i, period: 8, UInt32.self) }
  func BLENDPD(_ i: borrowing Instruction) throws(Fault) { try blend(i, period: 4, UInt64.self) }
  func PBLENDW(_ i: borrowing Instruction) throws(Fault) { try blend(i, period: 8, UInt16.self) }
  func VPBLENDD(_ i: borrowing Instruction) throws(Fault) { try blend(i, period: 8, UInt32.self) }

  /// Lanes of the second source where the mask, XMM0 or the register of a fourth operand, is negative.
  @inline(__always)
  private func blendByMask<T: FixedWidthInteger & SignedInteger>(_ i: borrowing Instruction, _ type: T.Type) throws(Fault) {
    let (a, b) = try sources(i)
    let signs = vector(i.prefixes.contains(.vex) ? i.op3.register : 0).pointee
    let mask = signs.map { (x: T) in x &>> T(truncatingIfNeeded: T.bitWidth &- 1) }
    setVector(i, i.op0.register, a & ~mask | b & mask)
  }

  func PBLENDVB(_ i: borrowing Instruction) throws(Fault) { try blendByMask(i, Int8.self) }
  func BLENDVPS(_ i: borrowing Instruction) throws(Fault) { try blendByMask(i, Int32.self) }
  func BLENDVPD(_ i: borrowing Instruction) throws(Fault) { try blendByMask(i, Int64.self) }

  // MARK: Insertion

  /// A lane of the first source replaced by a general register's or memory's low bytes.
  @inline(__always)
  private func insert<T: FixedWidthInteger>(_ i: borrowing Instruction, _ type: T.Type) throws(Fault) {
    let vex = i.prefixes.contains(.vex)
    let from = vex ? i.op2 : i.op1
    if i.op0.kind == .mmx { try checkMMX() } else { try checkVector(i) }
    let value: UInt64
    if from.kind == .memory {
      value = try load(i.segment, effectiveOffset(i), size: UInt8(MemoryLayout<T>.size))
    } else {
      value = gpr(from.register)
    }
    let lane = Int(truncatingIfNeeded: i.immediate)
    if i.op0.kind == .mmx {
      var result = Vector256(mmx(i.op0.register))
      result.setLane(lane & 3, T(truncatingIfNeeded: value))
      return setMMX(i.op0.register, result.q0)
    }
    var result = vector(vex ? i.op1.register : i.op0.register).pointee
    result.setLane(lane & (16 / MemoryLayout<T>.size &- 1), T(truncatingIfNeeded: value))
    setXMM(i, i.op0.register, result)
  }

  func PINSRB(_ i: borrowing Instruction) throws(Fault) { try insert(i, UInt8.self) }
  func PINSRW(_ i: borrowing Instruction) throws(Fault) { try insert(i, UInt16.self) }
  func PINSRD(_ i: borrowing Instruction) throws(Fault) { try insert(i, UInt32.self) }
  func PINSRQ(_ i: borrowing Instruction) throws(Fault) { try insert(i, UInt64.self) }

  /// One lane of the source (memory has only one) to one lane of the destination, then zeros by mask.
  func INSERTPS(_ i: borrowing Instruction) throws(Fault) {
    let control = Int(i.immediate & 0xFF)
    let fromMemory = (i.prefixes.contains(.vex) ? i.op2 : i.op1).kind == .memory
    let (a, b) = try sources(i)
    var result = a
    result.setLane(control &>> 4 & 3, b.lane(fromMemory ? 0 : control &>> 6, as: UInt32.self))
    for n in 0..<4 where control &>> n & 1 != 0 { result.setLane(n, UInt32(0)) }
    setXMM(i, i.op0.register, result)
  }

  // MARK: Extraction

  /// A lane of the source, zero-extended, to a general register or memory.
  @inline(__always)
  private func extract<T: FixedWidthInteger & UnsignedInteger>(_ i: borrowing Instruction, _ type: T.Type) throws(Fault) {
    let mask = 16 / MemoryLayout<T>.size &- 1
    if i.op1.kind == .mmx {
      try checkMMX()
      setGPR(i.op0.register, UInt64(Vector256(mmx(i.op1.register)).lane(Int(truncatingIfNeeded: i.immediate) & 3, as: UInt16.self)))
      return enterMMX()
    }
    try checkVector(i)
    let value = UInt64(vector(i.op1.register).pointee.lane(Int(truncatingIfNeeded: i.immediate) & mask, as: T.self))
    if i.op0.kind == .memory {
      try store(i.segment, effectiveOffset(i), value, size: UInt8(MemoryLayout<T>.size))
    } else {
      setGPR(i.op0.register, value)
    }
  }

  func PEXTRB(_ i: borrowing Instruction) throws(Fault) { try extract(i, UInt8.self) }
  func PEXTRW(_ i: borrowing Instruction) throws(Fault) { try extract(i, UInt16.self) }
  /// PEXTRD and EXTRACTPS.
  func PEXTRD(_ i: borrowing Instruction) throws(Fault) { try extract(i, UInt32.self) }
  func PEXTRQ(_ i: borrowing Instruction) throws(Fault) { try extract(i, UInt64.self) }
}
