import X86
import X86Decoder

/// Fast system calls (SDM vol. 3A §6.8.7–§6.8.8, vol. 2B).
extension CPU {
  /// Attributes of the flat segments that these instructions load without looking at a descriptor table.
  enum Flat {
    static let code64: UInt16 = 0xA09B
    static let code32: UInt16 = 0xC09B
    static let data: UInt16 = 0xC093
    static func ring(_ attributes: UInt16, _ dpl: UInt16) -> UInt16 { attributes | dpl &<< 5 }
  }

  @inline(__always)
  func loadFlat(_ seg: SegmentRegister, _ selector: UInt16, _ attributes: UInt16) {
    let c = segment(seg)
    c.pointee.selector = selector
    c.pointee.base = 0
    c.pointee.limit = 0xFFFF_FFFF
    c.pointee.attributes = attributes
    c.pointee.usable = true
    c.pointee.fastLimit = is64Bit ? ~0 : 0
  }

  /// SYSCALL, in 64-bit mode only, as on Intel's processors.
  func SYSCALL(_ i: borrowing Instruction) throws(Fault) {
    if !is64Bit || s.pointee.efer & EFER.SCE == 0 { throw .undefined }
    if observes(.events), !mayCallSystem(i) { return }
    let from = linearRIP
    s.pointee.rcx = s.pointee.nextRIP
    let flags = rflags()
    s.pointee.r11 = flags & ~RFLAGS.RF
    let kept = flags & ~(s.pointee.sfmask | RFLAGS.RF)
    setStatusFlags(kept)
    s.pointee.systemFlags = (kept & RFLAGS.writable & ~RFLAGS.status) | 2
    let selector = UInt16(truncatingIfNeeded: s.pointee.star &>> 32) & 0xFFFC
    loadFlat(.cs, selector, Flat.code64)
    loadFlat(.ss, selector &+ 8, Flat.data)
    s.pointee.cpl = 0
    s.pointee.nextRIP = s.pointee.lstar
    updateMode()
    if observes(.events) { reportBranch(.systemCall, from: from, rip: s.pointee.nextRIP) }
  }

  func SYSRET(_ i: borrowing Instruction) throws(Fault) {
    if !is64Bit || s.pointee.efer & EFER.SCE == 0 { throw .undefined }
    try requireRing0()
    let to64 = i.operandSize == 8
    if to64, !isCanonical(s.pointee.rcx) { throw .generalProtection() }
    let target = to64 ? s.pointee.rcx : s.pointee.rcx & 0xFFFF_FFFF
    let flags = s.pointee.r11
    setStatusFlags(flags)
    // RF and VM are cleared (SDM vol. 2B, SYSRET).
    s.pointee.systemFlags = (flags & 0x3C_7FD7 & ~RFLAGS.status) | 2
    let base = UInt16(truncatingIfNeeded: s.pointee.star &>> 48)
    loadFlat(.cs, (to64 ? base &+ 16 : base) | 3, Flat.ring(to64 ? Flat.code64 : Flat.code32, 3))
    loadFlat(.ss, (base &+ 8) | 3, Flat.ring(Flat.data, 3))
    s.pointee.cpl = 3
    s.pointee.nextRIP = target
    updateMode()
    noteFlagsChanged()
  }

  func SYSENTER(_ i: borrowing Instruction) throws(Fault) {
    let selector = UInt16(truncatingIfNeeded: s.pointee.sysenterCS) & 0xFFFC
    if isReal || selector == 0 { throw .generalProtection() }
    if observes(.events), !mayCallSystem(i) { return }
    let from = linearRIP
    let long = s.pointee.longMode
    s.pointee.systemFlags &= ~(RFLAGS.VM | RFLAGS.IF | RFLAGS.RF)
    loadFlat(.cs, selector, long ? Flat.code64 : Flat.code32)
    loadFlat(.ss, selector &+ 8, Flat.data)
    s.pointee.cpl = 0
    s.pointee.rsp = long ? s.pointee.sysenterESP : s.pointee.sysenterESP & 0xFFFF_FFFF
    s.pointee.nextRIP = long ? s.pointee.sysenterEIP : s.pointee.sysenterEIP & 0xFFFF_FFFF
    updateMode()
    if observes(.events) { reportBranch(.systemCall, from: from, rip: s.pointee.nextRIP) }
  }

  func SYSEXIT(_ i: borrowing Instruction) throws(Fault) {
    let selector = UInt16(truncatingIfNeeded: s.pointee.sysenterCS) & 0xFFFC
    if isReal || selector == 0 || s.pointee.cpl != 0 { throw .generalProtection() }
    let to64 = i.operandSize == 8
    let rip = to64 ? s.pointee.rdx : s.pointee.rdx & 0xFFFF_FFFF
    let rsp = to64 ? s.pointee.rcx : s.pointee.rcx & 0xFFFF_FFFF
    if to64, !isCanonical(rip) || !isCanonical(rsp) { throw .generalProtection() }
    let offset: UInt16 = to64 ? 32 : 16
    loadFlat(.cs, (selector &+ offset) | 3, Flat.ring(to64 ? Flat.code64 : Flat.code32, 3))
    loadFlat(.ss, (selector &+ offset &+ 8) | 3, Flat.ring(Flat.data, 3))
    s.pointee.cpl = 3
    s.pointee.rsp = rsp
    s.pointee.nextRIP = rip
    updateMode()
  }
}
