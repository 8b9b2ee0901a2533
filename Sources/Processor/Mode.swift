import Platform
import X86
import X86Decoder

/// Control registers and what follows from them: the mode, and everything that is derived from mode and segments.

/// Bits of `CPUState.modeKey`.
enum ModeKey {
  static let stackBig: UInt16 = 1 << 2
  static let flatCode: UInt16 = 1 << 3
  static let flatData: UInt16 = 1 << 4
  /// Real or virtual-8086 mode.
  static let unprotected: UInt16 = 1 << 5
  static let user: UInt16 = 1 << 6
}

extension RFLAGS {
  /// Every flag but the constant bit 1.
  static let writable: UInt64 = 0x3F7FD5
}

extension CPU {
  @inline(__always) var is64Bit: Bool { s.pointee.codeSize == .bits64 }
  @inline(__always) var isReal: Bool { s.pointee.cr0 & CR0.PE == 0 }
  @inline(__always) var iopl: UInt8 { UInt8(truncatingIfNeeded: s.pointee.systemFlags &>> 12) & 3 }
  @inline(__always) func has(_ feature: Feature) -> Bool { environment.model.features.contains(feature) }

  // MARK: Derived state

  /// Number of offsets at which 16 bytes need no further check, for a segment outside 64-bit mode.
  @inline(__always)
  func fastLimit(_ c: SegmentCache, protected: Bool) -> UInt64 {
    // Type 2, 3: expand-up, writable data; it is present or it could not have been loaded.
    if protected, !c.usable || c.attributes & 0x9E != 0x92 { return 0 }
    return c.limit >= 15 ? UInt64(c.limit) &- 14 : 0
  }

  /// Recomputes everything that is derived from CR0, EFER, RFLAGS.VM, CPL and the segment registers.
  public func updateMode() {
    let p = s
    let was64 = p.pointee.codeSize == .bits64
    if was64, p.pointee.cs.long, p.pointee.efer & EFER.LMA != 0, p.pointee.cr0 & CR0.PE != 0 {
      // From 64-bit code to 64-bit code nothing can have changed but the privilege.
      p.pointee.modeKey = (p.pointee.modeKey & ~ModeKey.user) | (p.pointee.cpl == 3 ? ModeKey.user : 0)
      selectTLB()
      return
    }
    let oldKey = p.pointee.modeKey
    let enabled = p.pointee.cr0 & CR0.PE != 0
    let v86 = enabled && p.pointee.systemFlags & RFLAGS.VM != 0
    let long = p.pointee.efer & EFER.LMA != 0
    let protected = enabled && !v86
    p.pointee.v86 = v86
    p.pointee.protectedMode = protected
    p.pointee.longMode = long
    updateVectorsEnabled()
    var key: UInt16 = p.pointee.cpl == 3 ? ModeKey.user : 0
    if long, p.pointee.cs.long {
      p.pointee.codeSize = .bits64
      p.pointee.stackSize = 8
      p.pointee.addressMask = ~0
      key |= 2 | ModeKey.stackBig | ModeKey.flatCode | ModeKey.flatData
      if !was64 {
        p.pointee.es.fastLimit = ~0
        p.pointee.cs.fastLimit = ~0
        p.pointee.ss.fastLimit = ~0
        p.pointee.ds.fastLimit = ~0
        p.pointee.fs.fastLimit = ~0
        p.pointee.gs.fastLimit = ~0
      }
    } else {
      let code32 = p.pointee.cs.big
      p.pointee.codeSize = code32 ? .bits32 : .bits16
      p.pointee.addressMask = code32 ? 0xFFFF_FFFF : 0xFFFF
      let big = p.pointee.ss.big
      p.pointee.stackSize = big ? 4 : 2
      if code32 { key |= 1 }
      if big { key |= ModeKey.stackBig }
      if !protected { key |= ModeKey.unprotected }
      p.pointee.es.fastLimit = fastLimit(p.pointee.es, protected: protected)
      p.pointee.cs.fastLimit = fastLimit(p.pointee.cs, protected: protected)
      p.pointee.ss.fastLimit = fastLimit(p.pointee.ss, protected: protected)
      p.pointee.ds.fastLimit = fastLimit(p.pointee.ds, protected: protected)
      p.pointee.fs.fastLimit = fastLimit(p.pointee.fs, protected: protected)
      p.pointee.gs.fastLimit = fastLimit(p.pointee.gs, protected: protected)
      if p.pointee.cs.base == 0, p.pointee.cs.limit == 0xFFFF_FFFF { key |= ModeKey.flatCode }
      if isFlat(p.pointee.ds), isFlat(p.pointee.es), isFlat(p.pointee.ss) { key |= ModeKey.flatData }
    }
    p.pointee.modeKey = key
    // Code is cached by mode and by where a CS that is not flat begins; privilege alone only selects another TLB.
    if (key ^ oldKey) & ~ModeKey.user == 0, key & ModeKey.flatCode != 0 {
      selectTLB()
    } else {
      modeChanged()
    }
  }

  /// Recomputes what is derived from ES, SS, DS, FS or GS after it alone was loaded, outside 64-bit mode.
  func updateSegment(_ seg: SegmentRegister) {
    let p = s
    let c = segment(seg)
    c.pointee.fastLimit = fastLimit(c.pointee, protected: p.pointee.protectedMode)
    var key = p.pointee.modeKey & ~ModeKey.flatData
    if isFlat(p.pointee.ds), isFlat(p.pointee.es), isFlat(p.pointee.ss) { key |= ModeKey.flatData }
    if seg == .ss {
      let big = c.pointee.big
      p.pointee.stackSize = big ? 4 : 2
      p.pointee.stackSpan = 0
      key = (key & ~ModeKey.stackBig) | (big ? ModeKey.stackBig : 0)
    }
    if key == p.pointee.modeKey { return }
    p.pointee.modeKey = key
    modeChanged()
  }

  /// Recomputes whether vector instructions are usable at all, which fast handlers test instead of the control registers (SDM
  /// vol. 3A §2.5, table 13-1; vol. 1 §14.3).
  public func updateVectorsEnabled() {
    let p = s
    let (cr0, cr4) = (p.pointee.cr0, p.pointee.cr4)
    let sse = cr0 & (CR0.EM | CR0.TS) == 0 && cr4 & CR4.OSFXSR != 0
    let avx = cr0 & CR0.TS == 0 && p.pointee.protectedMode && cr4 & CR4.OSXSAVE != 0 && p.pointee.xcr0 & 6 == 6
    p.pointee.vectorsEnabled = (sse ? 1 : 0) | (avx ? 2 : 0)
  }

  @inline(__always)
  private func isFlat(_ c: SegmentCache) -> Bool {
    c.base == 0 && c.limit == 0xFFFF_FFFF && c.fastLimit != 0
  }

  /// After IF, TF, RF or NMI blocking changed: makes the run loop look for events it may take now.
  @inline(__always)
  func noteFlagsChanged() {
    let flags = s.pointee.systemFlags
    if flags & (RFLAGS.TF | RFLAGS.RF) != 0 || (flags & RFLAGS.IF != 0 && s.pointee.interruptRequest)
      || (s.pointee.nmiPending && !s.pointee.nmiBlocked) {
      s.pointee.exitRequest |= ExitRequest.event
    }
  }

  /// Replaces the flags of `systemFlags` in `mask` (status flags in it are ignored).
  @inline(__always)
  func setSystemFlags(_ value: UInt64, mask: UInt64) {
    let old = s.pointee.systemFlags
    let new = (old & ~mask) | (value & mask & ~RFLAGS.status) | 2
    s.pointee.systemFlags = new
    if (old ^ new) & RFLAGS.AC != 0 { selectTLB() }
    noteFlagsChanged()
  }

  // MARK: Control registers

  /// Writes CR0 with all checks of MOV CR0.
  /// - Throws: #GP(0) for an inconsistent value; nothing has changed then.
  public func setCR0(_ value: UInt64) throws(Fault) {
    if value &>> 32 != 0 { throw .generalProtection() }
    let old = s.pointee.cr0
    var known = CR0.PE | CR0.MP | CR0.EM | CR0.TS | CR0.ET | CR0.PG
    if has(.i486) { known |= CR0.NE | CR0.WP | CR0.AM | CR0.NW | CR0.CD }
    let new = (value & known) | CR0.ET
    if new & CR0.PG != 0, new & CR0.PE == 0 { throw .generalProtection() }
    if new & CR0.NW != 0, new & CR0.CD == 0 { throw .generalProtection() }
    let changed = old ^ new
    let cr4 = s.pointee.cr4
    var efer = s.pointee.efer
    if changed & CR0.PG != 0 {
      if new & CR0.PG != 0 {
        if efer & EFER.LME != 0 {
          // SDM vol. 3A §10.8.5: consistency checks when IA-32e mode is activated.
          if cr4 & CR4.PAE == 0 || s.pointee.cs.long || s.pointee.tr.attributes & 0x1D == 0x01 { throw .generalProtection() }
          efer |= EFER.LMA
        }
      } else {
        if is64Bit || cr4 & CR4.PCIDE != 0 { throw .generalProtection() }
        efer &= ~EFER.LMA
      }
    }
    if new & CR0.PG != 0, cr4 & CR4.PAE != 0, efer & EFER.LMA == 0, changed & (CR0.PG | CR0.CD | CR0.NW) != 0 {
      try loadPDPTEs(cr3: s.pointee.cr3)
    }
    s.pointee.cr0 = new
    s.pointee.efer = efer
    updateVectorsEnabled()
    if changed & (CR0.PE | CR0.PG | CR0.WP) != 0 { flushAll() }
    if changed & (CR0.PE | CR0.PG) != 0 { updateMode() }
    if changed & CR0.AM != 0 { selectTLB() }
    if changed & (CR0.TS | CR0.EM | CR0.MP | CR0.NE) != 0 { s.pointee.exitRequest |= ExitRequest.codeChanged }
  }

  /// Writes CR3. Translations that are not global go, also where PCIDs would allow them to stay.
  public func setCR3(_ value: UInt64) throws(Fault) {
    var new = value
    if s.pointee.longMode {
      if s.pointee.cr4 & CR4.PCIDE != 0 { new &= ~(1 &<< 63) }
      if new &>> UInt64(environment.model.physicalAddressBits) != 0 { throw .generalProtection() }
    } else {
      new &= 0xFFFF_FFFF
      if s.pointee.cr0 & CR0.PG != 0, s.pointee.cr4 & CR4.PAE != 0 { try loadPDPTEs(cr3: new) }
    }
    s.pointee.cr3 = new
    flushTLB(keepGlobal: true)
  }

  /// Bits of CR4 that the model knows.
  public var knownCR4: UInt64 {
    let features = environment.model.features
    var known: UInt64 = 0
    func allow(_ feature: Feature, _ bits: UInt64) { if features.contains(feature) { known |= bits } }
    allow(.vme, CR4.VME | CR4.PVI)
    allow(.tsc, CR4.TSD)
    allow(.de, CR4.DE)
    allow(.pse, CR4.PSE)
    allow(.pae, CR4.PAE)
    allow(.mce, CR4.MCE)
    allow(.pge, CR4.PGE)
    allow(.p6, CR4.PCE)
    allow(.fxsr, CR4.OSFXSR)
    allow(.sse, CR4.OSXMMEXCPT)
    allow(.umip, CR4.UMIP)
    allow(.la57, CR4.LA57)
    allow(.fsgsbase, CR4.FSGSBASE)
    allow(.pcid, CR4.PCIDE)
    allow(.xsave, CR4.OSXSAVE)
    allow(.smep, CR4.SMEP)
    allow(.smap, CR4.SMAP)
    allow(.pku, CR4.PKE)
    return known
  }

  public func setCR4(_ new: UInt64) throws(Fault) {
    let old = s.pointee.cr4
    let changed = old ^ new
    if new & ~knownCR4 != 0 { throw .generalProtection() }
    if s.pointee.longMode, new & CR4.PAE == 0 || changed & CR4.LA57 != 0 { throw .generalProtection() }
    if changed & new & CR4.PCIDE != 0, !s.pointee.longMode || s.pointee.cr3 & 0xFFF != 0 { throw .generalProtection() }
    if s.pointee.cr0 & CR0.PG != 0, new & CR4.PAE != 0, !s.pointee.longMode,
       changed & (CR4.PAE | CR4.PSE | CR4.PGE | CR4.SMEP) != 0 {
      try loadPDPTEs(cr3: s.pointee.cr3)
    }
    s.pointee.cr4 = new
    updateVectorsEnabled()
    if changed & (CR4.PGE | CR4.PSE | CR4.PAE | CR4.PCIDE | CR4.SMEP | CR4.SMAP | CR4.PKE | CR4.LA57) != 0 {
      flushAll()
    }
    selectTLB()
    s.pointee.exitRequest |= ExitRequest.codeChanged
  }

  /// CR8 is bits 7–4 of the task priority.
  public func readCR8() -> UInt64 { UInt64(environment.bus.taskPriority &>> 4) }

  public func setCR8(_ value: UInt64) throws(Fault) {
    if value &>> 4 != 0 { throw .generalProtection() }
    environment.bus.taskPriority = UInt8(value &<< 4)
    s.pointee.exitRequest |= ExitRequest.event
  }

  /// Writes IA32_EFER as WRMSR does: LMA is read-only.
  public func setEFER(_ value: UInt64) throws(Fault) {
    let old = s.pointee.efer
    var known = EFER.LMA
    if has(.syscall) { known |= EFER.SCE }
    if has(.longMode) { known |= EFER.LME }
    if has(.nx) { known |= EFER.NXE }
    if value & ~known != 0 { throw .generalProtection() }
    if (value ^ old) & EFER.LME != 0, s.pointee.cr0 & CR0.PG != 0 { throw .generalProtection() }
    s.pointee.efer = (value & ~EFER.LMA) | (old & EFER.LMA)
    if (value ^ old) & EFER.NXE != 0 { flushAll() }
  }

  /// XCR0 by XSETBV (SDM vol. 1 §13.3).
  public func setXCR0(_ value: UInt64) throws(Fault) {
    if value & 1 == 0 || value & ~environment.model.supportedXCR0 != 0 { throw .generalProtection() }
    if value & 6 == 4 { throw .generalProtection() }
    s.pointee.xcr0 = value
    updateVectorsEnabled()
    s.pointee.exitRequest |= ExitRequest.codeChanged
  }
}
