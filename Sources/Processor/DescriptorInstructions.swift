import X86
import X86Decoder

/// Instructions that look at descriptors or handle the descriptor-table registers (SDM vol. 3A §2.8, §6.10).
extension CPU {
  /// The selector operand of LAR, LSL, VERR, VERW, LLDT, LTR: 16 bits of memory or of a register.
  @inline(__always)
  private func selectorOperand(_ i: borrowing Instruction, _ o: Operand) throws(Fault) -> UInt16 {
    if o.kind == .memory { return try load16(i.segment, effectiveOffset(i)) }
    return UInt16(truncatingIfNeeded: gpr(o.register))
  }

  /// Stores a 16-bit value to memory, or extended to the operand size into a register.
  @inline(__always)
  private func storeWord(_ i: borrowing Instruction, _ value: UInt64) throws(Fault) {
    if i.op0.kind == .memory {
      try store16(i.segment, effectiveOffset(i), UInt16(truncatingIfNeeded: value))
    } else {
      setRegister(i.op0.register, size: i.operandSize, value)
    }
  }

  @inline(__always)
  private func requireProtectedMode() throws(Fault) {
    if !s.pointee.protectedMode { throw .undefined }
  }

  @inline(__always)
  func requireRing0() throws(Fault) {
    if s.pointee.cpl != 0 { throw .generalProtection() }
  }

  @inline(__always)
  private func checkUMIP() throws(Fault) {
    if s.pointee.cr4 & CR4.UMIP != 0, s.pointee.cpl != 0 { throw .generalProtection() }
  }

  // MARK: Questions about selectors

  /// The descriptor behind a selector, or nil where it is null or beyond its table.
  private func visibleDescriptor(_ selector: UInt16) throws(Fault) -> Descriptor? {
    if isNull(selector) { return nil }
    guard let address = descriptorAddress(selector) else { return nil }
    return Descriptor(try loadTable64(address))
  }

  /// Rule of SDM vol. 3A §6.10.2 for LAR and LSL.
  private func isAccessible(_ d: Descriptor, _ selector: UInt16) -> Bool {
    d.isConforming || max(s.pointee.cpl, rpl(selector)) <= d.dpl
  }

  func LAR(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    let selector = try selectorOperand(i, i.op1)
    guard let d = try visibleDescriptor(selector), isAccessible(d, selector) else { zf = false; return }
    if !d.isSegment {
      switch d.type {
      case SystemType.tss16, SystemType.busyTSS16, SystemType.callGate16, SystemType.taskGate:
        if s.pointee.longMode { zf = false; return }
      case SystemType.ldt, SystemType.tss32, SystemType.busyTSS32, SystemType.callGate32:
        if s.pointee.longMode, descriptorAddress(selector, bytes: 16) == nil { zf = false; return }
      default: zf = false; return
      }
    }
    setRegister(i.op0.register, size: i.operandSize, UInt64(d.high & 0x00FF_FF00))
    zf = true
  }

  func LSL(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    let selector = try selectorOperand(i, i.op1)
    guard let d = try visibleDescriptor(selector), isAccessible(d, selector) else { zf = false; return }
    if !d.isSegment {
      switch d.type {
      case SystemType.tss16, SystemType.busyTSS16:
        if s.pointee.longMode { zf = false; return }
      case SystemType.ldt, SystemType.tss32, SystemType.busyTSS32:
        if s.pointee.longMode, descriptorAddress(selector, bytes: 16) == nil { zf = false; return }
      default: zf = false; return
      }
    }
    setRegister(i.op0.register, size: i.operandSize, UInt64(d.limit))
    zf = true
  }

  func VERR(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    let selector = try selectorOperand(i, i.op0)
    guard let d = try visibleDescriptor(selector) else { zf = false; return }
    zf = d.isSegment && d.isReadable && isAccessible(d, selector)
  }

  func VERW(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    let selector = try selectorOperand(i, i.op0)
    guard let d = try visibleDescriptor(selector) else { zf = false; return }
    zf = d.isWritableData && max(s.pointee.cpl, rpl(selector)) <= d.dpl
  }

  func ARPL(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    // Memory is written, and has to be writable, only when the RPL changes (test386.asm, POST 17; Bochs differs).
    let old = try read(i, i.op0)
    let wanted = gpr(i.op1.register) & 3
    if old & 3 < wanted {
      try write(i, i.op0, (old & 0xFFFC) | wanted)
      zf = true
    } else {
      zf = false
    }
  }

  // MARK: LDTR and TR

  func SLDT(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    try checkUMIP()
    try storeWord(i, UInt64(s.pointee.ldtr.selector))
  }

  func STR(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    try checkUMIP()
    try storeWord(i, UInt64(s.pointee.tr.selector))
  }

  func LLDT(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    try requireRing0()
    let selector = try selectorOperand(i, i.op0)
    s.pointee.ldtr = try checkedLDT(selector, vector: .GP)
  }

  /// The LDTR that a selector gives.
  /// - Parameter vector: #GP for LLDT, #TS in a task switch. A descriptor that is not present is #NP for LLDT, #TS in a task switch.
  func checkedLDT(_ selector: UInt16, vector: Vector) throws(Fault) -> SegmentCache {
    let code = errorCode(selector)
    if selector & 4 != 0 { throw Fault(vector, errorCode: code) }
    if isNull(selector) {
      var c = SegmentCache()
      c.selector = selector
      c.limit = 0
      c.attributes = 0
      c.usable = false
      return c
    }
    let d = try fetchDescriptor(selector, orRaise: vector)
    if d.isSegment || d.type != SystemType.ldt { throw Fault(vector, errorCode: code) }
    var c = d.cache(selector: selector)
    if s.pointee.longMode {
      c.base |= try systemBaseHigh(selector, orRaise: vector)
      if !isCanonicalForRegister(c.base) { throw Fault(vector, errorCode: code) }
    }
    if !d.present { throw vector == .GP ? .notPresent(code) : Fault(vector, errorCode: code) }
    return c
  }

  func LTR(_ i: borrowing Instruction) throws(Fault) {
    try requireProtectedMode()
    try requireRing0()
    let selector = try selectorOperand(i, i.op0)
    let code = errorCode(selector)
    if isNull(selector) { throw .generalProtection() }
    if selector & 4 != 0 { throw .generalProtection(code) }
    let d = try fetchDescriptor(selector)
    let available = d.type == SystemType.tss32 || (d.type == SystemType.tss16 && !s.pointee.longMode)
    if d.isSegment || !available { throw .generalProtection(code) }
    if !d.present { throw .notPresent(code) }
    var c = d.cache(selector: selector)
    if s.pointee.longMode {
      c.base |= try systemBaseHigh(selector)
      if !isCanonicalForRegister(c.base) { throw .generalProtection(code) }
    }
    try setTaskBusy(selector, true)
    c.attributes |= 2
    s.pointee.tr = c
  }

  /// Sets or clears the busy bit of the TSS descriptor that a selector names.
  func setTaskBusy(_ selector: UInt16, _ busy: Bool) throws(Fault) {
    guard let address = descriptorAddress(selector) else { return }
    let at = systemLinear(address &+ 5)
    let old = try loadSystem8(at)
    try storeSystem8(at, busy ? old | 2 : old & ~2)
  }

  // MARK: GDTR, IDTR

  private func storeTableRegister(_ i: borrowing Instruction, _ r: DescriptorTableRegister) throws(Fault) {
    try checkUMIP()
    let offset = effectiveOffset(i)
    let mask = addressSizeMask(i)
    let wide = is64Bit
    try checkWrite(i.segment, offset, size: wide ? 10 : 6)
    try store16(i.segment, offset, r.limit)
    if wide {
      try store64(i.segment, (offset &+ 2) & mask, r.base)
    } else {
      try store32(i.segment, (offset &+ 2) & mask, UInt32(truncatingIfNeeded: r.base))
    }
  }

  private func loadTableRegister(_ i: borrowing Instruction) throws(Fault) -> DescriptorTableRegister {
    try requireRing0()
    let offset = effectiveOffset(i)
    let mask = addressSizeMask(i)
    var r = DescriptorTableRegister()
    r.limit = try load16(i.segment, offset)
    if is64Bit {
      r.base = try load64(i.segment, (offset &+ 2) & mask)
      if !isCanonicalForRegister(r.base) { throw .generalProtection() }
    } else {
      r.base = UInt64(try load32(i.segment, (offset &+ 2) & mask))
      if i.operandSize == 2 { r.base &= 0xFF_FFFF }
    }
    return r
  }

  func SGDT(_ i: borrowing Instruction) throws(Fault) { try storeTableRegister(i, s.pointee.gdtr) }
  func SIDT(_ i: borrowing Instruction) throws(Fault) { try storeTableRegister(i, s.pointee.idtr) }
  func LGDT(_ i: borrowing Instruction) throws(Fault) { s.pointee.gdtr = try loadTableRegister(i) }
  func LIDT(_ i: borrowing Instruction) throws(Fault) { s.pointee.idtr = try loadTableRegister(i) }

  // MARK: Machine status word

  func SMSW(_ i: borrowing Instruction) throws(Fault) {
    try checkUMIP()
    try storeWord(i, s.pointee.cr0)
  }

  /// LMSW loads PE, MP, EM, TS and can set PE but not clear it.
  func LMSW(_ i: borrowing Instruction) throws(Fault) {
    try requireRing0()
    let value = UInt64(try selectorOperand(i, i.op0)) & 0xF
    let old = s.pointee.cr0
    try setCR0((old & ~0xE) | value)
  }

  // MARK: FS and GS bases

  private func checkFSGSBASE() throws(Fault) {
    if !is64Bit || s.pointee.cr4 & CR4.FSGSBASE == 0 { throw .undefined }
  }

  private func writeBase(_ i: borrowing Instruction, _ seg: SegmentRegister) throws(Fault) {
    try checkFSGSBASE()
    let value = register(i.op0.register, size: i.op0.size)
    if !isCanonicalForRegister(value) { throw .generalProtection() }
    segment(seg).pointee.base = value
  }

  func RDFSBASE(_ i: borrowing Instruction) throws(Fault) {
    try checkFSGSBASE()
    setRegister(i.op0.register, size: i.op0.size, s.pointee.fs.base)
  }

  func RDGSBASE(_ i: borrowing Instruction) throws(Fault) {
    try checkFSGSBASE()
    setRegister(i.op0.register, size: i.op0.size, s.pointee.gs.base)
  }

  func WRFSBASE(_ i: borrowing Instruction) throws(Fault) { try writeBase(i, .fs) }
  func WRGSBASE(_ i: borrowing Instruction) throws(Fault) { try writeBase(i, .gs) }

  func SWAPGS(_ i: borrowing Instruction) throws(Fault) {
    if !is64Bit { throw .undefined }
    try requireRing0()
    let base = s.pointee.gs.base
    s.pointee.gs.base = s.pointee.kernelGSBase
    s.pointee.kernelGSBase = base
  }
}
