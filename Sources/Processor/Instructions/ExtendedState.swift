import SoftFloat
import X86
import X86Decoder

/// Components and layout of the XSAVE area (SDM vol. 1 §13.4), the offsets as `CPUModel.stateComponent` reports them.
enum XSaveLayout {
  static let x87: UInt64 = 1 << 0
  static let sse: UInt64 = 1 << 1
  static let avx: UInt64 = 1 << 2
  static let pkru: UInt64 = 1 << 9
  /// Components there are, of which XCR0 enables some.
  static let all = x87 | sse | avx | pkru

  /// Legacy region of 512 bytes and header of 64.
  static let headerOffset = 512
  static let extendedOffset = 576
  static let avxSize = 256
  static let pkruOffset = 2688
}

/// FXSAVE, FXRSTOR and the XSAVE family (SDM vol. 1 §10.5, §13). The modified optimisation of XSAVEOPT and XSAVES is not used, as
/// the architecture allows.
extension CPU {
  // MARK: Pieces of the legacy region

  /// FCW to FDP and the eight registers, at offsets 0–23 and 32–159. `wide`: 64-bit instruction and operand pointers (REX.W).
  private func storeX87(_ seg: SegmentRegister, _ base: UInt64, wide: Bool) throws(Fault) {
    let x = s.pointee.x87
    let status = x.statusWord & ~0x3800 | UInt16(x.top & 7) &<< 11
    try store64(seg, base, UInt64(x.controlWord) | UInt64(status) &<< 16 | UInt64(x.valid) &<< 32 | UInt64(x.lastOpcode & 0x7FF) &<< 48)
    if wide {
      try store64(seg, base &+ 8, x.lastInstruction)
      try store64(seg, base &+ 16, x.lastOperand)
    } else {
      try store64(seg, base &+ 8, x.lastInstruction & 0xFFFF_FFFF | UInt64(x.lastInstructionSelector) &<< 32)
      try store64(seg, base &+ 16, x.lastOperand & 0xFFFF_FFFF | UInt64(x.lastOperandSelector) &<< 32)
    }
    for n: UInt8 in 0..<8 {
      let register = physicalRegister(x.top &+ n).pointee
      try store64(seg, base &+ 32 &+ UInt64(n) &* 16, register.significand)
      try store64(seg, base &+ 40 &+ UInt64(n) &* 16, UInt64(register.signExponent))
    }
  }

  private func loadX87(_ seg: SegmentRegister, _ base: UInt64, wide: Bool) throws(Fault) {
    let head = try load64(seg, base)
    let instruction = try load64(seg, base &+ 8)
    let operand = try load64(seg, base &+ 16)
    let status = UInt16(truncatingIfNeeded: head &>> 16)
    s.pointee.x87.controlWord = UInt16(truncatingIfNeeded: head) & 0x1F7F | 0x40
    s.pointee.x87.top = UInt8(truncatingIfNeeded: status &>> 11) & 7
    s.pointee.x87.valid = UInt8(truncatingIfNeeded: head &>> 32)
    s.pointee.x87.lastOpcode = UInt16(truncatingIfNeeded: head &>> 48) & 0x7FF
    // ES and B follow from the flags and masks, whatever the image says (SDM vol. 1 §8.1.3.3).
    let pending = status & ~UInt16(truncatingIfNeeded: head) & 0x3F != 0
    s.pointee.x87.statusWord = status & 0x477F | (pending ? 0x8080 : 0)
    if wide {
      s.pointee.x87.lastInstruction = instruction
      s.pointee.x87.lastOperand = operand
    } else {
      s.pointee.x87.lastInstruction = instruction & 0xFFFF_FFFF
      s.pointee.x87.lastInstructionSelector = UInt16(truncatingIfNeeded: instruction &>> 32)
      s.pointee.x87.lastOperand = operand & 0xFFFF_FFFF
      s.pointee.x87.lastOperandSelector = UInt16(truncatingIfNeeded: operand &>> 32)
    }
    for n: UInt8 in 0..<8 {
      let significand = try load64(seg, base &+ 32 &+ UInt64(n) &* 16)
      let signExponent = try load16(seg, base &+ 40 &+ UInt64(n) &* 16)
      physicalRegister(s.pointee.x87.top &+ n).pointee = Extended80(significand: significand, signExponent: signExponent)
    }
  }

  private func initialiseX87() {
    s.pointee.x87 = X87State()
    s.pointee.x87.controlWord = 0x37F
  }

  private func storeMXCSR(_ seg: SegmentRegister, _ base: UInt64) throws(Fault) {
    try store64(seg, base &+ 24, UInt64(s.pointee.mxcsr) | UInt64(mxcsrMask) &<< 32)
  }

  /// XMM registers at offset 160: 16 in 64-bit mode, 8 otherwise.
  private func storeXMM(_ seg: SegmentRegister, _ base: UInt64) throws(Fault) {
    for n in 0..<vectorRegisterCount {
      let v = vector(n).pointee
      try store128(seg, base &+ 160 &+ UInt64(n) &* 16, v.q0, v.q1, aligned: false)
    }
  }

  private func loadXMM(_ seg: SegmentRegister, _ base: UInt64) throws(Fault) {
    for n in 0..<vectorRegisterCount {
      (vector(n).pointee.q0, vector(n).pointee.q1) = try load128(seg, base &+ 160 &+ UInt64(n) &* 16, aligned: false)
    }
  }

  // MARK: FXSAVE and FXRSTOR

  /// Offset of the operand after the checks both have: #NM for CR0.EM or TS, #GP(0) off a 16-byte boundary.
  private func legacyArea(_ i: borrowing Instruction, write: Bool) throws(Fault) -> UInt64 {
    if s.pointee.cr0 & (CR0.EM | CR0.TS) != 0 { throw .deviceNotAvailable }
    let base = effectiveOffset(i)
    if try linear(i.segment, base, size: 512, write: write) & 15 != 0 { throw .generalProtection() }
    if write { try checkWrite(i.segment, base, size: 512) } else { try checkRead(i.segment, base, size: 512) }
    return base
  }

  /// Bytes 416–511 and, without CR4.OSFXSR, the XMM registers are left as they are.
  func FXSAVE(_ i: borrowing Instruction) throws(Fault) {
    let base = try legacyArea(i, write: true)
    try storeX87(i.segment, base, wide: i.prefixes.contains(.rexW))
    try storeMXCSR(i.segment, base)
    if s.pointee.cr4 & CR4.OSFXSR != 0 { try storeXMM(i.segment, base) }
  }

  /// #GP(0) if the image sets reserved bits of MXCSR.
  func FXRSTOR(_ i: borrowing Instruction) throws(Fault) {
    let base = try legacyArea(i, write: false)
    let mxcsr = try load32(i.segment, base &+ 24)
    if s.pointee.cr4 & CR4.OSFXSR != 0, mxcsr & ~mxcsrMask != 0 { throw .generalProtection() }
    try loadX87(i.segment, base, wide: i.prefixes.contains(.rexW))
    if s.pointee.cr4 & CR4.OSFXSR != 0 {
      s.pointee.mxcsr = mxcsr
      try loadXMM(i.segment, base)
    }
  }

  // MARK: State components

  /// XINUSE: components that are not in their initial configuration (SDM vol. 1 §13.6), as XGETBV with ECX = 1 shows it.
  func componentsInUse() -> UInt64 {
    var result: UInt64 = 0
    let x = s.pointee.x87
    var x87 = UInt64(x.controlWord ^ 0x37F) | UInt64(x.statusWord) | UInt64(x.top) | UInt64(x.valid) | UInt64(x.lastOpcode)
    x87 |= UInt64(x.lastInstructionSelector) | UInt64(x.lastOperandSelector) | x.lastInstruction | x.lastOperand
    for n: UInt8 in 0..<8 {
      let register = physicalRegister(n).pointee
      x87 |= register.significand | UInt64(register.signExponent)
    }
    if x87 != 0 { result |= XSaveLayout.x87 }
    var low: UInt64 = 0
    var high: UInt64 = 0
    for n: UInt8 in 0..<16 {
      let v = vector(n).pointee
      low |= v.q0 | v.q1
      high |= v.q2 | v.q3
    }
    if low != 0 { result |= XSaveLayout.sse }
    if high != 0 { result |= XSaveLayout.avx }
    if s.pointee.pkru != 0 { result |= XSaveLayout.pkru }
    return result
  }

  /// #UD without CR4.OSXSAVE, #NM with CR0.TS, #GP(0) off a 64-byte boundary; supervisor forms need CPL 0 (#GP(0)).
  private func extendedArea(_ i: borrowing Instruction, supervisor: Bool, write: Bool) throws(Fault) -> UInt64 {
    if s.pointee.cr4 & CR4.OSXSAVE == 0 { throw .undefined }
    if s.pointee.cr0 & CR0.TS != 0 { throw .deviceNotAvailable }
    if supervisor, s.pointee.cpl != 0 { throw .generalProtection() }
    let base = effectiveOffset(i)
    if try linear(i.segment, base, size: XSaveLayout.extendedOffset, write: write) & 63 != 0 { throw .generalProtection() }
    return base
  }

  /// RFBM: what EDX:EAX asks for and XCR0 (for supervisor forms also IA32_XSS) enables.
  private func requestedComponents(supervisor: Bool) -> UInt64 {
    let mask = s.pointee.rdx &<< 32 | s.pointee.rax & 0xFFFF_FFFF
    return mask & (s.pointee.xcr0 | (supervisor ? s.pointee.xss : 0)) & XSaveLayout.all
  }

  /// Offset of PKRU in an area of either format.
  private func pkruOffset(compacted: Bool, _ components: UInt64) -> UInt64 {
    if !compacted { return UInt64(XSaveLayout.pkruOffset) }
    return UInt64(XSaveLayout.extendedOffset &+ (components & XSaveLayout.avx != 0 ? XSaveLayout.avxSize : 0))
  }

  // MARK: Saving

  /// Stores `written` of the components `request`; all faults come first.
  private func saveComponents(_ i: borrowing Instruction, _ base: UInt64, request: UInt64, written: UInt64, mxcsr: Bool, compacted: Bool) throws(Fault) {
    let seg = i.segment
    let avx = base &+ UInt64(XSaveLayout.extendedOffset)
    let pkru = base &+ pkruOffset(compacted: compacted, request)
    let count = vectorRegisterCount
    try checkWrite(seg, base, size: XSaveLayout.extendedOffset)
    if written & XSaveLayout.avx != 0 { try checkWrite(seg, avx, size: Int(count) &* 16) }
    if written & XSaveLayout.pkru != 0 { try checkWrite(seg, pkru, size: 8) }
    if written & XSaveLayout.x87 != 0 { try storeX87(seg, base, wide: i.prefixes.contains(.rexW)) }
    if mxcsr { try storeMXCSR(seg, base) }
    if written & XSaveLayout.sse != 0 { try storeXMM(seg, base) }
    if written & XSaveLayout.avx != 0 {
      for n in 0..<count {
        let v = vector(n).pointee
        try store128(seg, avx &+ UInt64(n) &* 16, v.q2, v.q3, aligned: false)
      }
    }
    if written & XSaveLayout.pkru != 0 { try store64(seg, pkru, UInt64(s.pointee.pkru)) }
  }

  /// The standard format. XSAVEOPT leaves out components in their initial configuration.
  private func saveStandard(_ i: borrowing Instruction, skipInitial: Bool) throws(Fault) {
    let base = try extendedArea(i, supervisor: false, write: true)
    let request = requestedComponents(supervisor: false)
    let inUse = componentsInUse()
    let header = base &+ UInt64(XSaveLayout.headerOffset)
    let mxcsr = request & (XSaveLayout.sse | XSaveLayout.avx) != 0
    try saveComponents(i, base, request: request, written: skipInitial ? request & inUse : request, mxcsr: mxcsr, compacted: false)
    try store64(i.segment, header, try load64(i.segment, header) & ~request | inUse & request)
  }

  /// The compacted format; MXCSR belongs to SSE and counts as in use when it is not 1F80H.
  private func saveCompacted(_ i: borrowing Instruction, supervisor: Bool) throws(Fault) {
    let base = try extendedArea(i, supervisor: supervisor, write: true)
    let request = requestedComponents(supervisor: supervisor)
    let inUse = componentsInUse() | (s.pointee.mxcsr != 0x1F80 ? XSaveLayout.sse : 0)
    let written = request & inUse
    let header = base &+ UInt64(XSaveLayout.headerOffset)
    try saveComponents(i, base, request: request, written: written, mxcsr: written & XSaveLayout.sse != 0, compacted: true)
    try store64(i.segment, header, written)
    try store64(i.segment, header &+ 8, request | 1 &<< 63)
  }

  func XSAVE(_ i: borrowing Instruction) throws(Fault) { try saveStandard(i, skipInitial: false) }
  func XSAVEOPT(_ i: borrowing Instruction) throws(Fault) { try saveStandard(i, skipInitial: true) }
  func XSAVEC(_ i: borrowing Instruction) throws(Fault) { try saveCompacted(i, supervisor: false) }
  func XSAVES(_ i: borrowing Instruction) throws(Fault) { try saveCompacted(i, supervisor: true) }

  // MARK: Restoring

  func XRSTOR(_ i: borrowing Instruction) throws(Fault) { try restore(i, supervisor: false) }
  func XRSTORS(_ i: borrowing Instruction) throws(Fault) { try restore(i, supervisor: true) }

  /// #GP(0) for a header that asks for what is not enabled or sets reserved bits (SDM vol. 1 §13.8, §13.12).
  private func checkHeader(_ i: borrowing Instruction, _ header: UInt64, supervisor: Bool) throws(Fault) -> (present: UInt64, layout: UInt64) {
    let present = try load64(i.segment, header)
    let layout = try load64(i.segment, header &+ 8)
    let enabled = s.pointee.xcr0 | (supervisor ? s.pointee.xss : 0)
    if layout &>> 63 == 0 {
      if supervisor || present & ~enabled != 0 || layout != 0 { throw .generalProtection() }
      if try load64(i.segment, header &+ 16) != 0 { throw .generalProtection() }
    } else {
      let components = layout & ~(1 &<< 63)
      if components & ~enabled != 0 || present & ~components != 0 { throw .generalProtection() }
      for offset in stride(from: UInt64(16), to: 64, by: 8) where try load64(i.segment, header &+ offset) != 0 {
        throw .generalProtection()
      }
    }
    return (present, layout)
  }

  private func restore(_ i: borrowing Instruction, supervisor: Bool) throws(Fault) {
    let seg = i.segment
    let base = try extendedArea(i, supervisor: supervisor, write: false)
    let (present, layout) = try checkHeader(i, base &+ UInt64(XSaveLayout.headerOffset), supervisor: supervisor)
    let compacted = layout &>> 63 != 0
    let request = requestedComponents(supervisor: supervisor)
    let loaded = request & present
    let avx = base &+ UInt64(XSaveLayout.extendedOffset)
    let pkru = base &+ pkruOffset(compacted: compacted, layout)
    let count = vectorRegisterCount
    try checkRead(seg, base, size: XSaveLayout.extendedOffset)
    if loaded & XSaveLayout.avx != 0 { try checkRead(seg, avx, size: Int(count) &* 16) }
    let newPKRU = loaded & XSaveLayout.pkru != 0 ? try load32(seg, pkru) : 0
    // The standard format restores MXCSR with SSE or AVX even where XSTATE_BV says "initial"; the compacted one treats it as SSE state.
    let mxcsrWanted = request & (compacted ? XSaveLayout.sse : XSaveLayout.sse | XSaveLayout.avx) != 0
    let mxcsrLoaded = mxcsrWanted && (!compacted || loaded & XSaveLayout.sse != 0)
    let mxcsr = mxcsrLoaded ? try load32(seg, base &+ 24) : 0x1F80
    if mxcsr & ~mxcsrMask != 0 { throw .generalProtection() }

    if loaded & XSaveLayout.x87 != 0 {
      try loadX87(seg, base, wide: i.prefixes.contains(.rexW))
    } else if request & XSaveLayout.x87 != 0 {
      initialiseX87()
    }
    if mxcsrWanted { s.pointee.mxcsr = mxcsr }
    if loaded & XSaveLayout.sse != 0 {
      try loadXMM(seg, base)
    } else if request & XSaveLayout.sse != 0 {
      for n in 0..<count { (vector(n).pointee.q0, vector(n).pointee.q1) = (0, 0) }
    }
    if request & XSaveLayout.avx != 0 {
      for n in 0..<count {
        let half = loaded & XSaveLayout.avx != 0 ? try load128(seg, avx &+ UInt64(n) &* 16, aligned: false) : (0, 0)
        (vector(n).pointee.q2, vector(n).pointee.q3) = half
      }
    }
    if request & XSaveLayout.pkru != 0 { setPKRU(newPKRU) }
  }

  /// Translations have the rights of protection keys folded in.
  private func setPKRU(_ value: UInt32) {
    if s.pointee.pkru == value { return }
    s.pointee.pkru = value
    flushTLB(keepGlobal: false)
  }
}
