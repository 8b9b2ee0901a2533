import X86Decoder

/// Moves of SSE, SSE2, SSE3 and their AVX forms (SDM vol. 1 §10.4.1, §11.4.1, §14.1). Moves between MMX and XMM are in MMX.swift.
extension CPU {
  // MARK: Whole registers

  /// Between register and memory at the instruction's vector length.
  @inline(__always) private func moveWhole(_ i: borrowing Instruction, aligned: Bool) throws(Fault) {
    try checkVector(i)
    if i.op0.kind == .vector {
      let value = try i.op1.kind == .vector ? vector(i.op1.register).pointee : source(i, i.op1, aligned: aligned)
      setVector(i, i.op0.register, value)
    } else {
      try storeVector(i, size: i.vectorLength == 32 ? 32 : 16, vector(i.op1.register).pointee, aligned: aligned)
    }
  }

  /// MOVAPS, MOVAPD, MOVDQA, the non-temporal stores and MOVNTDQA: #GP(0) on misaligned memory, VEX or not.
  func MOVAPS(_ i: borrowing Instruction) throws(Fault) { try moveWhole(i, aligned: true) }
  /// MOVUPS, MOVUPD, MOVDQU and LDDQU.
  func MOVUPS(_ i: borrowing Instruction) throws(Fault) { try moveWhole(i, aligned: false) }

  // MARK: Scalars

  /// A load clears the rest of the register; a move between registers keeps it, or takes it from the first source.
  func MOVSS(_ i: borrowing Instruction) throws(Fault) {
    try checkVector(i)
    if i.op1.kind == .memory {
      setXMM(i, i.op0.register, Vector256(UInt64(try load32(i.segment, effectiveOffset(i)))))
    } else if i.op0.kind == .memory {
      try store32(i.segment, effectiveOffset(i), vector(i.op1.register).pointee.lane(0))
    } else {
      let vex = i.prefixes.contains(.vex)
      var result = vector(vex ? i.op1.register : i.op0.register).pointee
      result.setLane(0, vector(vex ? i.op2.register : i.op1.register).pointee.lane(0, as: UInt32.self))
      setXMM(i, i.op0.register, result)
    }
  }

  func MOVSD(_ i: borrowing Instruction) throws(Fault) {
    try checkVector(i)
    if i.op1.kind == .memory {
      setXMM(i, i.op0.register, Vector256(try load64(i.segment, effectiveOffset(i))))
    } else if i.op0.kind == .memory {
      try store64(i.segment, effectiveOffset(i), vector(i.op1.register).pointee.q0)
    } else {
      let vex = i.prefixes.contains(.vex)
      var result = vector(vex ? i.op1.register : i.op0.register).pointee
      result.q0 = vector(vex ? i.op2.register : i.op1.register).pointee.q0
      setXMM(i, i.op0.register, result)
    }
  }

  /// MOVD and MOVQ in all directions between general, MMX, XMM registers and memory: the low 4 or 8 bytes, zero-extended.
  @inline(__always) private func moveLow(_ i: borrowing Instruction, size: UInt8) throws(Fault) {
    let (to, from) = (i.op0.kind, i.op1.kind)
    if to == .mmx || from == .mmx { try checkMMX() } else { try checkVector(i) }
    let value: UInt64
    switch from {
    case .vector: value = vector(i.op1.register).pointee.q0
    case .mmx: value = mmx(i.op1.register)
    case .memory: value = try load(i.segment, effectiveOffset(i), size: size)
    default: value = gpr(i.op1.register)
    }
    let low = size == 4 ? value & 0xFFFF_FFFF : value
    switch to {
    case .vector: setXMM(i, i.op0.register, Vector256(low))
    case .mmx: setMMX(i.op0.register, low)
    case .memory:
      try store(i.segment, effectiveOffset(i), low, size: size)
      if from == .mmx { enterMMX() }
    default:
      setGPR(i.op0.register, low)
      if from == .mmx { enterMMX() }
    }
  }

  func MOVD(_ i: borrowing Instruction) throws(Fault) { try moveLow(i, size: 4) }
  func MOVQ(_ i: borrowing Instruction) throws(Fault) { try moveLow(i, size: 8) }

  // MARK: Halves

  /// The source whose other half a half move keeps: operand 0, or operand 1 with VEX.
  @inline(__always) private func kept(_ i: borrowing Instruction) -> Vector256 {
    vector(i.prefixes.contains(.vex) ? i.op1.register : i.op0.register).pointee
  }

  /// MOVLPS, MOVLPD.
  func MOVLPS(_ i: borrowing Instruction) throws(Fault) {
    try checkVector(i)
    if i.op0.kind == .memory { return try store64(i.segment, effectiveOffset(i), vector(i.op1.register).pointee.q0) }
    var result = kept(i)
    result.q0 = try load64(i.segment, effectiveOffset(i))
    setXMM(i, i.op0.register, result)
  }

  /// MOVHPS, MOVHPD.
  func MOVHPS(_ i: borrowing Instruction) throws(Fault) {
    try checkVector(i)
    if i.op0.kind == .memory { return try store64(i.segment, effectiveOffset(i), vector(i.op1.register).pointee.q1) }
    var result = kept(i)
    result.q1 = try load64(i.segment, effectiveOffset(i))
    setXMM(i, i.op0.register, result)
  }

  func MOVHLPS(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    setXMM(i, i.op0.register, Vector256(b.q1, a.q1))
  }

  func MOVLHPS(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    setXMM(i, i.op0.register, Vector256(a.q0, b.q0))
  }

  // MARK: Duplicating moves

  /// The 128-bit form reads only 8 bytes of memory, without alignment.
  func MOVDDUP(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, Vector256(a.q0, a.q0, a.q2, a.q2))
  }

  func MOVSLDUP(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, a.map { (q: UInt64) in q & 0xFFFF_FFFF | q &<< 32 })
  }

  func MOVSHDUP(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, a.map { (q: UInt64) in q &>> 32 | q & 0xFFFF_FFFF_0000_0000 })
  }

  // MARK: Sign masks

  /// The top bits of the lanes of the source, lane 0 in bit 0.
  @inline(__always)
  private func signs<T: FixedWidthInteger & SignedInteger>(_ a: Vector256, _ type: T.Type, bytes: Int) -> UInt64 {
    var mask: UInt64 = 0
    for n in 0..<bytes / MemoryLayout<T>.size where a.lane(n, as: T.self) < 0 { mask |= 1 &<< UInt64(n) }
    return mask
  }

  func MOVMSKPS(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setGPR(i.op0.register, signs(a, Int32.self, bytes: i.vectorLength == 32 ? 32 : 16))
  }

  func MOVMSKPD(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setGPR(i.op0.register, signs(a, Int64.self, bytes: i.vectorLength == 32 ? 32 : 16))
  }

  func PMOVMSKB(_ i: borrowing Instruction) throws(Fault) {
    if i.op1.kind == .mmx {
      try checkMMX()
      let a = Vector256(mmx(i.op1.register))
      setGPR(i.op0.register, signs(a, Int8.self, bytes: 8))
      return enterMMX()
    }
    let a = try soleSource(i)
    // Gathering eight sign bits with one multiplication: the partial products do not overlap in the top byte.
    var mask: UInt64 = 0
    for n in 0..<(i.vectorLength == 32 ? 4 : 2) {
      let bits = ((a.lane(n, as: UInt64.self) &>> 7 & 0x0101_0101_0101_0101) &* 0x0102_0408_1020_4080) &>> 56
      mask |= bits &<< UInt64(n &* 8)
    }
    setGPR(i.op0.register, mask)
  }

  // MARK: MXCSR

  /// #GP(0) if a reserved bit is to be set.
  func LDMXCSR(_ i: borrowing Instruction) throws(Fault) {
    try checkVector(i)
    let value = try load32(i.segment, effectiveOffset(i))
    if value & ~mxcsrMask != 0 { throw .generalProtection() }
    s.pointee.mxcsr = value
  }

  func STMXCSR(_ i: borrowing Instruction) throws(Fault) {
    try checkVector(i)
    try store32(i.segment, effectiveOffset(i), s.pointee.mxcsr)
  }

  // MARK: Masked store

  /// Stores the bytes of operand 0 chosen by the sign bits of operand 1 at DS:rDI; what is not chosen is not touched
  /// and cannot fault.
  func MASKMOVDQU(_ i: borrowing Instruction) throws(Fault) {
    try checkVector(i)
    try storeMaskedBytes(i, vector(i.op0.register).pointee, vector(i.op1.register).pointee, count: 16)
  }

  func storeMaskedBytes(_ i: borrowing Instruction, _ value: Vector256, _ mask: Vector256, count: Int) throws(Fault) {
    let addressMask: UInt64 = i.addressSize == 8 ? ~0 : i.addressSize == 4 ? 0xFFFF_FFFF : 0xFFFF
    let base = s.pointee.rdi
    for n in 0..<count where mask.lane(n, as: Int8.self) < 0 {
      try checkWrite(i.segment, (base &+ UInt64(n)) & addressMask, size: 1)
    }
    for n in 0..<count where mask.lane(n, as: Int8.self) < 0 {
      try store8(i.segment, (base &+ UInt64(n)) & addressMask, value.lane(n))
    }
  }
}

/// Bits of MXCSR that exist (SDM vol. 1 §10.2.3); the value FXSAVE stores as MXCSR_MASK.
let mxcsrMask: UInt32 = 0xFFFF
