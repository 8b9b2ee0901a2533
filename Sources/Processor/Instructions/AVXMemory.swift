import X86Decoder

/// Masked moves and gathers of AVX and AVX2: lanes that the mask leaves out are not accessed and cannot fault
/// (SDM vol. 2C, VMASKMOV, VGATHERDPS/VGATHERQPS).
extension CPU {
  /// Offset of lane `n` of a masked move, wrapped to the address size.
  @inline(__always) private func offset(_ i: borrowing Instruction, _ base: UInt64, _ displacement: Int) -> UInt64 {
    truncated(base &+ UInt64(displacement), i.addressSize)
  }

  @inline(__always) private func truncated(_ offset: UInt64, _ addressSize: UInt8) -> UInt64 {
    addressSize == 8 ? offset : addressSize == 4 ? offset & 0xFFFF_FFFF : offset & 0xFFFF
  }

  /// Load: op0 := op2 where op1 is negative, zero elsewhere. Store: op0 := op2 where op1 is negative.
  @inline(__always)
  private func maskedMove<T: FixedWidthInteger & SignedInteger>(_ i: borrowing Instruction, _ type: T.Type) throws(Fault) {
    try checkAVX()
    let mask = vector(i.op1.register).pointee
    let size = MemoryLayout<T>.size
    let count = (i.vectorLength == 32 ? 32 : 16) / size
    let base = effectiveOffset(i)
    if i.op0.kind == .memory {
      let value = vector(i.op2.register).pointee
      for n in 0..<count where mask.lane(n, as: T.self) < 0 { try checkWrite(i.segment, offset(i, base, n &* size), size: size) }
      for n in 0..<count where mask.lane(n, as: T.self) < 0 {
        try store(i.segment, offset(i, base, n &* size), UInt64(truncatingIfNeeded: value.lane(n, as: T.self)), size: UInt8(size))
      }
    } else {
      var result = Vector256()
      for n in 0..<count where mask.lane(n, as: T.self) < 0 {
        result.setLane(n, T(truncatingIfNeeded: try load(i.segment, offset(i, base, n &* size), size: UInt8(size))))
      }
      setVector(i, i.op0.register, result)
    }
  }

  /// VPMASKMOVD and VMASKMOVPS.
  func VPMASKMOVD(_ i: borrowing Instruction) throws(Fault) { try maskedMove(i, Int32.self) }
  /// VPMASKMOVQ and VMASKMOVPD.
  func VPMASKMOVQ(_ i: borrowing Instruction) throws(Fault) { try maskedMove(i, Int64.self) }

  /// Loads `T` lanes at base + index · scale + displacement, the indices being `Index` lanes of vector register `i.index`.
  ///
  /// Each lane done clears its mask, so that after a fault the instruction goes on where it stopped. Destination, index and mask
  /// must be three registers (#UD).
  @inline(__always)
  private func gather<T: FixedWidthInteger & SignedInteger, Index: FixedWidthInteger & SignedInteger>(
    _ i: borrowing Instruction, _ type: T.Type, index: Index.Type
  ) throws(Fault) {
    try checkAVX()
    let (target, mask, index) = (i.op0.register, i.op2.register, i.index)
    if target == mask || target == index || mask == index { throw .undefined }
    let size = MemoryLayout<T>.size
    let bytes = i.vectorLength == 32 ? 32 : 16
    let count = bytes / max(size, MemoryLayout<Index>.size)
    let indices = vector(index).pointee
    let base = (i.base < 16 ? gpr(i.base) : 0) &+ UInt64(bitPattern: i.displacement)
    var pending = vector(mask).pointee.map { (x: T) in x &>> T(truncatingIfNeeded: T.bitWidth &- 1) }
    var result = vector(target).pointee
    for n in 0..<count where pending.lane(n, as: T.self) < 0 {
      let scaled = UInt64(bitPattern: Int64(indices.lane(n, as: Index.self))) &<< UInt64(i.scale)
      let value: UInt64
      do {
        value = try load(i.segment, truncated(base &+ scaled, i.addressSize), size: UInt8(size))
      } catch {
        vector(mask).pointee = pending
        vector(target).pointee = result
        throw error
      }
      result.setLane(n, T(truncatingIfNeeded: value))
      pending.setLane(n, T(0))
    }
    // Lanes beyond the count, as when four-byte lanes go with eight-byte indices, are cleared.
    for n in count..<32 / size { result.setLane(n, T(0)) }
    vector(target).pointee = result
    vector(mask).pointee = Vector256()
  }

  /// VPGATHERDD and VGATHERDPS.
  func VPGATHERDD(_ i: borrowing Instruction) throws(Fault) { try gather(i, Int32.self, index: Int32.self) }
  /// VPGATHERDQ and VGATHERDPD.
  func VPGATHERDQ(_ i: borrowing Instruction) throws(Fault) { try gather(i, Int64.self, index: Int32.self) }
  /// VPGATHERQD and VGATHERQPS.
  func VPGATHERQD(_ i: borrowing Instruction) throws(Fault) { try gather(i, Int32.self, index: Int64.self) }
  /// VPGATHERQQ and VGATHERQPD.
  func VPGATHERQQ(_ i: borrowing Instruction) throws(Fault) { try gather(i, Int64.self, index: Int64.self) }
}
