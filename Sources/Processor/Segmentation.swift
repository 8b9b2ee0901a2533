import X86
import X86Decoder

/// Loading of segment registers with the checks of SDM vol. 3A chapter 6 (§6.5–§6.7).
extension CPU {
  /// Loads ES, SS, DS, FS or GS as MOV, POP and LDS … do; CS is loaded by far transfers only.
  /// - Throws: #GP, #NP, #SS with the selector as error code, or a page fault; nothing has changed then.
  public func loadSegment(_ seg: SegmentRegister, _ selector: UInt16) throws(Fault) {
    if !s.pointee.protectedMode {
      loadUnprotected(seg, selector)
      updateSegment(seg)
      return
    }
    if seg == .ss {
      try loadStackSegment(selector)
    } else {
      try loadDataSegment(seg, selector)
    }
    if !is64Bit { updateSegment(seg) }
  }

  /// Real and virtual-8086 mode: the base is the selector times 16. Real mode leaves limit and default size alone, so that segments
  /// enlarged in protected mode stay so; virtual-8086 mode sets everything (SDM vol. 3B §21.3.1).
  func loadUnprotected(_ seg: SegmentRegister, _ selector: UInt16) {
    let c = segment(seg)
    c.pointee.selector = selector
    c.pointee.base = UInt64(selector) &<< 4
    c.pointee.usable = true
    if s.pointee.systemFlags & RFLAGS.VM != 0, !isReal {
      c.pointee.limit = 0xFFFF
      c.pointee.attributes = 0xF3
    } else {
      c.pointee.attributes = (c.pointee.attributes & 0xD000) | 0x93
    }
  }

  /// Puts a null selector into a segment register. The base of FS and GS becomes 0, as on Intel's processors.
  func loadNull(_ seg: SegmentRegister, _ selector: UInt16) {
    let c = segment(seg)
    c.pointee.selector = selector
    c.pointee.base = 0
    c.pointee.limit = 0
    c.pointee.attributes = 0
    c.pointee.usable = false
    c.pointee.fastLimit = is64Bit ? ~0 : 0
  }

  /// Commits a checked descriptor.
  @inline(__always)
  func setSegment(_ seg: SegmentRegister, _ selector: UInt16, _ descriptor: Descriptor) {
    let c = segment(seg)
    c.pointee.base = descriptor.base
    c.pointee.limit = descriptor.limit
    c.pointee.selector = selector
    c.pointee.attributes = descriptor.attributes
    c.pointee.usable = true
    c.pointee.fastLimit = is64Bit ? ~0 : 0
  }

  private func loadStackSegment(_ selector: UInt16) throws(Fault) {
    let cpl = s.pointee.cpl
    if isNull(selector) {
      // 64-bit mode runs on a null stack segment in rings 0–2 (SDM vol. 3A §6.8.3).
      if !is64Bit || cpl == 3 || rpl(selector) != cpl { throw .generalProtection() }
      loadNull(.ss, selector)
      s.pointee.ss.attributes = UInt16(cpl) &<< 5
      return
    }
    var descriptor = try checkStackSegment(selector, cpl: cpl, vector: .GP)
    try markAccessed(selector, &descriptor)
    setSegment(.ss, selector, descriptor)
  }

  /// Checks of a selector that is to become SS at privilege `cpl`.
  /// - Parameter vector: what to raise for a bad descriptor (#GP, or #TS where it came from a task-state segment).
  func checkStackSegment(_ selector: UInt16, cpl: UInt8, vector: Vector) throws(Fault) -> Descriptor {
    let code = errorCode(selector)
    if isNull(selector) { throw Fault(vector, errorCode: code) }
    let descriptor = try fetchDescriptor(selector, orRaise: vector)
    if rpl(selector) != cpl || !descriptor.isWritableData || descriptor.dpl != cpl {
      throw Fault(vector, errorCode: code)
    }
    if !descriptor.present { throw .stack(code) }
    return descriptor
  }

  private func loadDataSegment(_ seg: SegmentRegister, _ selector: UInt16) throws(Fault) {
    if isNull(selector) {
      loadNull(seg, selector)
      return
    }
    var descriptor = try checkDataSegment(selector, cpl: s.pointee.cpl, vector: .GP)
    try markAccessed(selector, &descriptor)
    setSegment(seg, selector, descriptor)
  }

  /// Checks of a selector that is to become ES, DS, FS or GS at privilege `cpl`; it is not null.
  func checkDataSegment(_ selector: UInt16, cpl: UInt8, vector: Vector) throws(Fault) -> Descriptor {
    let code = errorCode(selector)
    let descriptor = try fetchDescriptor(selector, orRaise: vector)
    if !descriptor.isSegment || !descriptor.isReadable { throw Fault(vector, errorCode: code) }
    if !descriptor.isConforming, max(rpl(selector), cpl) > descriptor.dpl { throw Fault(vector, errorCode: code) }
    if !descriptor.present { throw .notPresent(code) }
    return descriptor
  }

  /// After a return to an outer ring: a data segment that the ring may not use becomes null (SDM vol. 2, RET, IRET).
  func dropPrivilegedSegments() {
    dropPrivileged(.es)
    dropPrivileged(.ds)
    dropPrivileged(.fs)
    dropPrivileged(.gs)
  }

  private func dropPrivileged(_ seg: SegmentRegister) {
    let c = segment(seg)
    if c.pointee.usable, !c.pointee.conforming, c.pointee.dpl < s.pointee.cpl { loadNull(seg, 0) }
  }

  /// MOV from and to segment registers; the destination of a load decides which.
  func moveSegment(_ i: borrowing Instruction) throws(Fault) {
    if i.op0.kind == .segment {
      guard let seg = SegmentRegister(rawValue: i.op0.register), seg != .cs else { throw .undefined }
      let selector = UInt16(truncatingIfNeeded: i.op1.kind == .memory
        ? UInt64(try load16(i.segment, effectiveOffset(i))) : gpr(i.op1.register))
      try loadSegment(seg, selector)
      if seg == .ss { beginShadow(movSS: true) }
      return
    }
    guard let seg = SegmentRegister(rawValue: i.op1.register) else { throw .undefined }
    let selector = segment(seg).pointee.selector
    if i.op0.kind == .memory {
      try store16(i.segment, effectiveOffset(i), selector)
    } else {
      setRegister(i.op0.register, size: i.operandSize, UInt64(selector))
    }
  }

  /// LDS, LES, LFS, LGS, LSS: offset and selector from memory.
  func loadFarPointer(_ i: borrowing Instruction, _ seg: SegmentRegister) throws(Fault) {
    let offset = effectiveOffset(i)
    let size = i.operandSize
    let mask = addressSizeMask(i)
    let value = try load(i.segment, offset, size: size)
    let selector = try load16(i.segment, (offset &+ UInt64(size)) & mask)
    try loadSegment(seg, selector)
    setRegister(i.op0.register, size: size, value)
  }

  @inline(__always)
  func addressSizeMask(_ i: borrowing Instruction) -> UInt64 {
    i.addressSize == 8 ? ~0 : i.addressSize == 4 ? 0xFFFF_FFFF : 0xFFFF
  }

  func LDS(_ i: borrowing Instruction) throws(Fault) { try loadFarPointer(i, .ds) }
  func LES(_ i: borrowing Instruction) throws(Fault) { try loadFarPointer(i, .es) }
  func LFS(_ i: borrowing Instruction) throws(Fault) { try loadFarPointer(i, .fs) }
  func LGS(_ i: borrowing Instruction) throws(Fault) { try loadFarPointer(i, .gs) }
  func LSS(_ i: borrowing Instruction) throws(Fault) { try loadFarPointer(i, .ss) }

  /// MOV SS, POP SS and STI hold interrupts back until after the next instruction (SDM vol. 3A §7.8.3). A shadow is not renewed while
  /// one is in force: of several such instructions in a row only the first is sure to have the effect.
  @inline(__always)
  func beginShadow(movSS: Bool) {
    if s.pointee.interruptShadow == s.pointee.retired { return }
    s.pointee.interruptShadow = s.pointee.retired &+ 1
    s.pointee.shadowIsMovSS = movSS
  }
}
