import X86Decoder

/// Broadcasts, permutations across 128-bit halves, and VZEROALL/VZEROUPPER (SDM vol. 1 §14.1, §14.6).
extension CPU {
  // MARK: Broadcast

  @inline(__always) private func broadcast<T>(_ i: borrowing Instruction, _ type: T.Type) throws(Fault) {
    let a = try soleSource(i)
    let value = a.lane(0, as: T.self)
    setVector(i, i.op0.register, a.map { (_: T) in value })
  }

  func VPBROADCASTB(_ i: borrowing Instruction) throws(Fault) { try broadcast(i, UInt8.self) }
  func VPBROADCASTW(_ i: borrowing Instruction) throws(Fault) { try broadcast(i, UInt16.self) }
  /// VPBROADCASTD and VBROADCASTSS.
  func VPBROADCASTD(_ i: borrowing Instruction) throws(Fault) { try broadcast(i, UInt32.self) }
  /// VPBROADCASTQ and VBROADCASTSD.
  func VPBROADCASTQ(_ i: borrowing Instruction) throws(Fault) { try broadcast(i, UInt64.self) }
  /// VBROADCASTF128 and VBROADCASTI128.
  func VBROADCASTI128(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, Vector256(low: a, high: a))
  }

  // MARK: 128-bit halves

  /// VINSERTF128 and VINSERTI128.
  func VINSERTI128(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    setVector(i, i.op0.register, i.immediate & 1 == 0 ? Vector256(low: b, high: a.half(1)) : Vector256(low: a, high: b))
  }

  /// VEXTRACTF128 and VEXTRACTI128.
  func VEXTRACTI128(_ i: borrowing Instruction) throws(Fault) {
    try checkAVX()
    let value = vector(i.op1.register).pointee.half(Int(i.immediate & 1))
    if i.op0.kind == .memory {
      try storeVector(i, size: 16, value, aligned: false)
    } else {
      setXMM(i, i.op0.register, value)
    }
  }

  /// VPERM2F128 and VPERM2I128: each half is one of the four of both sources, or zero.
  func VPERM2I128(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    let control = i.immediate
    @inline(__always) func chosen(_ field: UInt64) -> Vector256 {
      if field & 8 != 0 { return Vector256() }
      return (field & 2 == 0 ? a : b).half(Int(field & 1))
    }
    setVector(i, i.op0.register, Vector256(low: chosen(control & 15), high: chosen(control &>> 4 & 15)))
  }

  // MARK: Within 128 bits

  /// Control is an immediate, two bits a lane, or the low two bits of each lane of the second source.
  func VPERMILPS(_ i: borrowing Instruction) throws(Fault) {
    if i.op2.kind == .immediate { return try PSHUFD(i) }
    let (a, control) = try sources(i)
    var result = Vector256()
    for n in 0..<8 { result.setLane(n, a.lane(n & 4 | Int(control.lane(n, as: UInt32.self) & 3), as: UInt32.self)) }
    setVector(i, i.op0.register, result)
  }

  /// Control is an immediate, one bit a lane, or bit 1 of each lane of the second source.
  func VPERMILPD(_ i: borrowing Instruction) throws(Fault) {
    var result = Vector256()
    if i.op2.kind == .immediate {
      let a = try soleSource(i)
      let control = Int(i.immediate & 15)
      for n in 0..<4 { result.setLane(n, a.lane(n & 2 | control &>> n & 1, as: UInt64.self)) }
    } else {
      let (a, control) = try sources(i)
      for n in 0..<4 { result.setLane(n, a.lane(n & 2 | Int(control.lane(n, as: UInt64.self) &>> 1 & 1), as: UInt64.self)) }
    }
    setVector(i, i.op0.register, result)
  }

  // MARK: Across all lanes

  /// VPERMD and VPERMPS: the indices are in the first source.
  func VPERMD(_ i: borrowing Instruction) throws(Fault) {
    let (control, a) = try sources(i)
    var result = Vector256()
    for n in 0..<8 { result.setLane(n, a.lane(Int(control.lane(n, as: UInt32.self) & 7), as: UInt32.self)) }
    setVector(i, i.op0.register, result)
  }

  /// VPERMQ and VPERMPD.
  func VPERMQ(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    let control = Int(i.immediate & 0xFF)
    var result = Vector256()
    for n in 0..<4 { result.setLane(n, a.lane(control &>> (2 &* n) & 3, as: UInt64.self)) }
    setVector(i, i.op0.register, result)
  }

  // MARK: Clearing. Outside 64-bit mode registers 8–15 do not exist and are left alone.

  func VZEROALL(_ i: borrowing Instruction) throws(Fault) {
    try checkAVX()
    for n in 0..<vectorRegisterCount { vector(n).pointee = Vector256() }
  }

  func VZEROUPPER(_ i: borrowing Instruction) throws(Fault) {
    try checkAVX()
    for n in 0..<vectorRegisterCount {
      vector(n).pointee.q2 = 0
      vector(n).pointee.q3 = 0
    }
  }

  @inline(__always) var vectorRegisterCount: UInt8 { s.pointee.codeSize == .bits64 ? 16 : 8 }
}
