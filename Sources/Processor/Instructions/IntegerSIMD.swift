import X86Decoder

/// Packed integer arithmetic, comparison and logic of MMX, SSE2, SSSE3, SSE4 and AVX2 (SDM vol. 1 §9.4, §11.4.2, §12.6,
/// §12.10, §14.6). One method serves the MMX, the XMM and the VEX form.
extension CPU {
  // MARK: Logic. Floating-point logic (ANDPS …) is the same operation.

  func PAND(_ i: borrowing Instruction) throws(Fault) { try integer(i) { $0 & $1 } }
  func PANDN(_ i: borrowing Instruction) throws(Fault) { try integer(i) { ~$0 & $1 } }
  func POR(_ i: borrowing Instruction) throws(Fault) { try integer(i) { $0 | $1 } }
  func PXOR(_ i: borrowing Instruction) throws(Fault) { try integer(i) { $0 ^ $1 } }

  // MARK: Addition and subtraction

  func PADDB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt8, b) in a &+ b } }
  func PADDW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt16, b) in a &+ b } }
  func PADDD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt32, b) in a &+ b } }
  func PADDQ(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt64, b) in a &+ b } }
  func PSUBB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt8, b) in a &- b } }
  func PSUBW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt16, b) in a &- b } }
  func PSUBD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt32, b) in a &- b } }
  func PSUBQ(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt64, b) in a &- b } }

  func PADDSB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int8, b) in saturated(Int16(a) &+ Int16(b)) } }
  func PADDSW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int16, b) in saturated(Int32(a) &+ Int32(b)) } }
  func PADDUSB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt8, b) in saturated(Int16(a) &+ Int16(b)) } }
  func PADDUSW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt16, b) in saturated(Int32(a) &+ Int32(b)) } }
  func PSUBSB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int8, b) in saturated(Int16(a) &- Int16(b)) } }
  func PSUBSW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int16, b) in saturated(Int32(a) &- Int32(b)) } }
  func PSUBUSB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt8, b) in saturated(Int16(a) &- Int16(b)) } }
  func PSUBUSW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt16, b) in saturated(Int32(a) &- Int32(b)) } }

  func PAVGB(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: UInt8, b) in UInt8(truncatingIfNeeded: (UInt16(a) &+ UInt16(b) &+ 1) &>> 1) }
  }
  func PAVGW(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: UInt16, b) in UInt16(truncatingIfNeeded: (UInt32(a) &+ UInt32(b) &+ 1) &>> 1) }
  }

  // MARK: Comparison

  @inline(__always)
  private func compare<T: FixedWidthInteger>(_ i: borrowing Instruction, _ holds: (T, T) -> Bool) throws(Fault) {
    try lanes(i) { (a: T, b: T) in holds(a, b) ? ~0 : 0 }
  }

  func PCMPEQB(_ i: borrowing Instruction) throws(Fault) { try compare(i) { (a: UInt8, b) in a == b } }
  func PCMPEQW(_ i: borrowing Instruction) throws(Fault) { try compare(i) { (a: UInt16, b) in a == b } }
  func PCMPEQD(_ i: borrowing Instruction) throws(Fault) { try compare(i) { (a: UInt32, b) in a == b } }
  func PCMPEQQ(_ i: borrowing Instruction) throws(Fault) { try compare(i) { (a: UInt64, b) in a == b } }
  func PCMPGTB(_ i: borrowing Instruction) throws(Fault) { try compare(i) { (a: Int8, b) in a > b } }
  func PCMPGTW(_ i: borrowing Instruction) throws(Fault) { try compare(i) { (a: Int16, b) in a > b } }
  func PCMPGTD(_ i: borrowing Instruction) throws(Fault) { try compare(i) { (a: Int32, b) in a > b } }
  func PCMPGTQ(_ i: borrowing Instruction) throws(Fault) { try compare(i) { (a: Int64, b) in a > b } }

  // MARK: Minimum and maximum

  func PMINUB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt8, b) in min(a, b) } }
  func PMINUW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt16, b) in min(a, b) } }
  func PMINUD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt32, b) in min(a, b) } }
  func PMINSB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int8, b) in min(a, b) } }
  func PMINSW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int16, b) in min(a, b) } }
  func PMINSD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int32, b) in min(a, b) } }
  func PMAXUB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt8, b) in max(a, b) } }
  func PMAXUW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt16, b) in max(a, b) } }
  func PMAXUD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt32, b) in max(a, b) } }
  func PMAXSB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int8, b) in max(a, b) } }
  func PMAXSW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int16, b) in max(a, b) } }
  func PMAXSD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int32, b) in max(a, b) } }

  // MARK: Absolute value and sign

  @inline(__always)
  private func absolute<T: FixedWidthInteger & SignedInteger>(_ i: borrowing Instruction, _ type: T.Type) throws(Fault) {
    let a = try integerSource(i)
    setIntegerResult(i, a.map { (x: T) in x < 0 ? 0 &- x : x })
  }

  func PABSB(_ i: borrowing Instruction) throws(Fault) { try absolute(i, Int8.self) }
  func PABSW(_ i: borrowing Instruction) throws(Fault) { try absolute(i, Int16.self) }
  func PABSD(_ i: borrowing Instruction) throws(Fault) { try absolute(i, Int32.self) }

  func PSIGNB(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int8, b) in b < 0 ? 0 &- a : b == 0 ? 0 : a } }
  func PSIGNW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int16, b) in b < 0 ? 0 &- a : b == 0 ? 0 : a } }
  func PSIGND(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: Int32, b) in b < 0 ? 0 &- a : b == 0 ? 0 : a } }

  // MARK: Multiplication

  func PMULLW(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt16, b) in a &* b } }
  func PMULLD(_ i: borrowing Instruction) throws(Fault) { try lanes(i) { (a: UInt32, b) in a &* b } }
  func PMULHW(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: Int16, b) in Int16(truncatingIfNeeded: (Int32(a) &* Int32(b)) &>> 16) }
  }
  func PMULHUW(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: UInt16, b) in UInt16(truncatingIfNeeded: (UInt32(a) &* UInt32(b)) &>> 16) }
  }
  func PMULHRSW(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: Int16, b) in Int16(truncatingIfNeeded: ((Int32(a) &* Int32(b)) &>> 14 &+ 1) &>> 1) }
  }
  func PMULUDQ(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: UInt64, b) in (a & 0xFFFF_FFFF) &* (b & 0xFFFF_FFFF) }
  }
  func PMULDQ(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: Int64, b) in Int64(Int32(truncatingIfNeeded: a)) &* Int64(Int32(truncatingIfNeeded: b)) }
  }

  /// Sums of the products of neighbouring words.
  func PMADDWD(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: Int32, b) in
      let low = Int32(Int16(truncatingIfNeeded: a)) &* Int32(Int16(truncatingIfNeeded: b))
      return low &+ (a &>> 16) &* (b &>> 16)
    }
  }

  /// Saturated sums of the products of neighbouring bytes, unsigned in the first source and signed in the second.
  func PMADDUBSW(_ i: borrowing Instruction) throws(Fault) {
    try lanes(i) { (a: UInt16, b: UInt16) -> UInt16 in
      let low = Int32(a & 0xFF) &* Int32(Int8(truncatingIfNeeded: b))
      let sum: Int16 = saturated(low &+ Int32(a &>> 8) &* Int32(Int8(truncatingIfNeeded: b &>> 8)))
      return UInt16(bitPattern: sum)
    }
  }

  // MARK: Sums of absolute differences

  func PSADBW(_ i: borrowing Instruction) throws(Fault) {
    try integer(i) { a, b in
      Vector256.combining(a, b) { a, b, result in
        for q in 0..<4 {
          var sum: UInt64 = 0
          for n in 0..<8 { sum &+= UInt64(a.lane(q &* 8 &+ n, as: UInt8.self).distance(b.lane(q &* 8 &+ n))) }
          result.setLane(q, sum)
        }
      }
    }
  }

  /// Eight sums of four absolute differences each: a block of the second source against a window sliding over the first.
  func MPSADBW(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    let control = Int(i.immediate & 0x3F)
    setVector(i, i.op0.register, Vector256.combining(a, b) { a, b, result in
      for half in 0..<2 {
        let fields = control &>> (half &* 3)
        let window = half &* 16 &+ (fields & 4)
        let block = half &* 16 &+ (fields & 3) &* 4
        for n in 0..<8 {
          var sum: UInt16 = 0
          for k in 0..<4 { sum &+= UInt16(a.lane(window &+ n &+ k, as: UInt8.self).distance(b.lane(block &+ k))) }
          result.setLane(half &* 8 &+ n, sum)
        }
      }
    })
  }

  /// The smallest word and its position.
  func PHMINPOSUW(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    var best = UInt64(a.lane(0, as: UInt16.self))
    for n in 1..<8 {
      let word = UInt64(a.lane(n, as: UInt16.self))
      if word < best & 0xFFFF { best = word | UInt64(n) &<< 16 }
    }
    setXMM(i, i.op0.register, Vector256(best))
  }

  // MARK: Horizontal operations

  /// Combines neighbouring lanes: those of the first source give the low half of each 128 (MMX: 64) bits, those of the
  /// second one the high half.
  @inline(__always)
  private func horizontal<T>(_ i: borrowing Instruction, _ body: (T, T) -> T) throws(Fault) {
    let (a, b) = try integerSources(i)
    let width = i.op0.kind == .mmx ? 8 : 16
    let pairs = width / MemoryLayout<T>.size / 2
    setIntegerResult(i, Vector256.combining(a, b) { a, b, result in
      for base in stride(from: 0, to: 32 / MemoryLayout<T>.size, by: pairs &* 2) {
        for n in 0..<pairs {
          result.setLane(base &+ n, body(a.lane(base &+ 2 &* n), a.lane(base &+ 2 &* n &+ 1)))
          result.setLane(base &+ pairs &+ n, body(b.lane(base &+ 2 &* n), b.lane(base &+ 2 &* n &+ 1)))
        }
      }
    })
  }

  func PHADDW(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: UInt16, b) in a &+ b } }
  func PHADDD(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: UInt32, b) in a &+ b } }
  func PHADDSW(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: Int16, b) in saturated(Int32(a) &+ Int32(b)) } }
  func PHSUBW(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: UInt16, b) in a &- b } }
  func PHSUBD(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: UInt32, b) in a &- b } }
  func PHSUBSW(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: Int16, b) in saturated(Int32(a) &- Int32(b)) } }

  // MARK: Tests

  /// ZF: no common ones; CF: the second source has no ones outside the first. The other status flags are cleared.
  @inline(__always) private func test(_ i: borrowing Instruction, mask: UInt64) throws(Fault) {
    if i.prefixes.contains(.vex) { try checkAVX() } else { try checkSSE() }
    let a = vector(i.op0.register).pointee
    let b = try source(i, i.op1, aligned: !i.prefixes.contains(.vex))
    var common = a.q0 & b.q0 | a.q1 & b.q1
    var outside = ~a.q0 & b.q0 | ~a.q1 & b.q1
    if i.vectorLength == 32 {
      common |= a.q2 & b.q2 | a.q3 & b.q3
      outside |= ~a.q2 & b.q2 | ~a.q3 & b.q3
    }
    setStatusFlags((common & mask == 0 ? Flags.zf : 0) | (outside & mask == 0 ? Flags.cf : 0))
  }

  func PTEST(_ i: borrowing Instruction) throws(Fault) { try test(i, mask: ~0) }
  /// The same for the sign bits of the lanes only.
  func VTESTPS(_ i: borrowing Instruction) throws(Fault) { try test(i, mask: 0x8000_0000_8000_0000) }
  func VTESTPD(_ i: borrowing Instruction) throws(Fault) { try test(i, mask: 0x8000_0000_0000_0000) }
}

/// The nearest value that the narrower type has.
@inline(__always)
func saturated<Wide: FixedWidthInteger & SignedInteger, Narrow: FixedWidthInteger>(_ value: Wide) -> Narrow {
  let low = Wide(truncatingIfNeeded: Narrow.min)
  let high = Wide(truncatingIfNeeded: Narrow.max)
  return Narrow(truncatingIfNeeded: value < low ? low : value > high ? high : value)
}

extension UInt8 {
  @inline(__always) fileprivate func distance(_ other: UInt8) -> UInt8 { self > other ? self &- other : other &- self }
}
