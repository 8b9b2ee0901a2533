import Processor
import X86
import X86Decoder

/// What a core begins in, and can be put into at any time by ``Core/enter(_:privilege:)``.
public enum Mode: String, Sendable, CaseIterable {
  /// Real-address mode: all segments 0, the interrupt vector table at 0.
  case real = "real-address mode"
  /// Protected mode with 16-bit code and stack, all segments flat, paging off.
  case protected16 = "16-bit protected mode"
  /// Protected mode with 32-bit code and stack, all segments flat, paging off.
  case protected32 = "32-bit protected mode"
  /// 64-bit mode, with page tables that map the first 4 GiB of linear addresses to the same physical ones, for all rights and privileges.
  /// They lie outside the address space, where the guest cannot see them; ``Core/mapPages(linear:to:size:_:)`` changes them.
  case long = "64-bit mode"
}

extension Core {
  /// Puts the processor into a mode: reset, then control registers and segments as an operating system sets them, FPU, SSE and AVX usable as far as
  /// the model has them. General registers are 0, RSP too: give the program a stack if it needs one.
  ///
  /// There are no descriptor tables (the limits of GDTR and IDTR are 0, but for IDTR's 3FFH in real-address mode): loading a segment register in
  /// protected mode raises #GP until you set ``gdtr``, and exceptions need an IDT where they do not end the run.
  ///
  /// - Parameters:
  ///   - mode: the mode to begin in; the guest may leave it.
  ///   - privilege: CPL, 0–3; real-address mode has 0 only.
  /// - Throws: `modeNotSupported` for 64-bit mode on a 32-bit model.
  public func enter(_ mode: Mode, privilege: Int = 0) throws(CoreError) {
    if mode == .long, !model.features.contains(.longMode) {
      throw .modeNotSupported(mode: mode.rawValue, model: model.name)
    }
    reset()
    let s = cpu.s
    s.pointee.rdx = 0
    let features = model.features
    s.pointee.cr0 = CR0.ET | CR0.MP | (features.contains(.i486) ? CR0.NE | CR0.WP : 0)
    if features.contains(.fxsr) { s.pointee.cr4 |= CR4.OSFXSR }
    if features.contains(.sse) { s.pointee.cr4 |= CR4.OSXMMEXCPT }
    if features.contains(.xsave) {
      s.pointee.cr4 |= CR4.OSXSAVE
      s.pointee.xcr0 = model.supportedXCR0 & 7
    }
    s.pointee.x87.controlWord = 0x37F
    s.pointee.idtr.limit = mode == .real ? 0x3FF : 0
    s.pointee.gdtr.limit = 0
    if mode == .real {
      for register in SegmentRegister.allCases { setHidden(register, .real(0, isCode: register == .cs)) }
    } else {
      s.pointee.cr0 |= CR0.PE
      enterProtected(mode, UInt8(privilege & 3))
    }
    s.pointee.rip = 0
    s.pointee.nextRIP = 0
    settle()
  }

  private func enterProtected(_ mode: Mode, _ privilege: UInt8) {
    let s = cpu.s
    let bits = mode == .long ? 64 : mode == .protected32 ? 32 : 16
    if mode == .long {
      if tables == nil { tables = IdentityTables(memory, addressSpace: addressSpace) }
      s.pointee.cr0 |= CR0.PG
      s.pointee.cr3 = IdentityTables.base(addressSpace: addressSpace)
      s.pointee.cr4 |= CR4.PAE
      s.pointee.efer = EFER.LME | EFER.LMA | EFER.SCE | EFER.NXE
    }
    s.pointee.cpl = privilege
    let ring = UInt16(privilege)
    setHidden(.cs, .flatCode(selector: 8 | ring, bits: bits, privilege: Int(privilege)))
    for register in SegmentRegister.allCases where register != .cs {
      setHidden(register, .flatData(selector: 16 | ring, privilege: Int(privilege), isBig: bits != 16))
    }
  }

  private func setHidden(_ register: SegmentRegister, _ segment: Segment) {
    let c = cpu.segment(register)
    c.pointee = SegmentCache()
    c.pointee.selector = segment.selector
    c.pointee.base = segment.base
    c.pointee.limit = segment.limit
    c.pointee.attributes = segment.attributes
  }
}
