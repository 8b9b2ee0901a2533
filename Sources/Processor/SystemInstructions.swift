import X86
import X86Decoder

/// Instructions that only system software uses, or that look at the processor itself (SDM vol. 3A §2.8).
///
/// Not modelled: MONITOR does not watch its line, so MWAIT always ends at once (a false wake-up, which the SDM permits);
/// performance counters (RDPMC raises #GP).
extension CPU {
  // MARK: Flags

  func CLI(_ i: borrowing Instruction) throws(Fault) {
    if isReal || s.pointee.cpl <= iopl, !s.pointee.v86 || iopl == 3 {
      s.pointee.systemFlags &= ~RFLAGS.IF
    } else if hasVirtualInterrupts {
      s.pointee.systemFlags &= ~RFLAGS.VIF
    } else {
      throw .generalProtection()
    }
  }

  func STI(_ i: borrowing Instruction) throws(Fault) {
    if isReal || s.pointee.cpl <= iopl, !s.pointee.v86 || iopl == 3 {
      if s.pointee.systemFlags & RFLAGS.IF == 0 {
        s.pointee.systemFlags |= RFLAGS.IF
        beginShadow(movSS: false)
      }
      noteFlagsChanged()
    } else if hasVirtualInterrupts {
      if s.pointee.systemFlags & RFLAGS.VIP != 0 { throw .generalProtection() }
      s.pointee.systemFlags |= RFLAGS.VIF
    } else {
      throw .generalProtection()
    }
  }

  /// CLI and STI work on VIF: virtual-8086 mode with VME, or CPL 3 with PVI; IOPL is less than 3 when this is asked.
  private var hasVirtualInterrupts: Bool {
    s.pointee.v86 ? s.pointee.cr4 & CR4.VME != 0 : s.pointee.cpl == 3 && s.pointee.cr4 & CR4.PVI != 0
  }

  func PUSHF(_ i: borrowing Instruction) throws(Fault) {
    var image = rflags() & ~(RFLAGS.VM | RFLAGS.RF)
    let size = i.operandSize
    if s.pointee.v86, iopl < 3 {
      if s.pointee.cr4 & CR4.VME == 0 || size != 2 { throw .generalProtection() }
      image = (image & ~RFLAGS.IF) | RFLAGS.IOPL | (image & RFLAGS.VIF != 0 ? RFLAGS.IF : 0)
    }
    try push(image, size: size)
  }

  func POPF(_ i: borrowing Instruction) throws(Fault) {
    let level = iopl
    let size = i.operandSize
    let virtual = s.pointee.v86 && level < 3
    if virtual, s.pointee.cr4 & CR4.VME == 0 || size != 2 { throw .generalProtection() }
    var image = try load(.ss, stackOffset(0), size: size)
    var mask = RFLAGS.TF | RFLAGS.DF | RFLAGS.NT
    if virtual {
      if image & RFLAGS.TF != 0 || (image & RFLAGS.IF != 0 && s.pointee.systemFlags & RFLAGS.VIP != 0) {
        throw .generalProtection()
      }
      image = (image & ~RFLAGS.VIF) | (image & RFLAGS.IF != 0 ? RFLAGS.VIF : 0)
      mask |= RFLAGS.VIF
    } else {
      if s.pointee.cpl <= level || isReal { mask |= RFLAGS.IF }
      if s.pointee.cpl == 0 { mask |= RFLAGS.IOPL }
    }
    if size != 2 {
      mask |= identificationMask | RFLAGS.RF
      image &= ~RFLAGS.RF
    }
    setStackOffset(stackOffset(Int64(size)))
    setStatusFlags(image)
    setSystemFlags(image, mask: mask)
  }

  func CLAC(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cpl != 0 { throw .undefined }
    s.pointee.systemFlags &= ~RFLAGS.AC
    selectTLB()
  }

  func STAC(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cpl != 0 { throw .undefined }
    s.pointee.systemFlags |= RFLAGS.AC
    selectTLB()
  }

  // MARK: Control registers

  /// MOV to and from CR0, CR2, CR3, CR4, CR8.
  func moveControl(_ i: borrowing Instruction) throws(Fault) {
    let load = i.op0.kind == .control
    let number = load ? i.op0.register : i.op1.register
    switch number {
    case 0, 2, 3: break
    case 4: if !has(.i486) || (!environment.model.hasCPUID) { throw .undefined }
    case 8: if !is64Bit { throw .undefined }
    default: throw .undefined
    }
    if s.pointee.cpl != 0 { throw .generalProtection() }
    let wide = is64Bit
    if load {
      let value = wide ? gpr(i.op1.register) : gpr(i.op1.register) & 0xFFFF_FFFF
      switch number {
      case 0: try setCR0(value)
      case 2: s.pointee.cr2 = value
      case 3: try setCR3(value)
      case 4: try setCR4(value)
      default: try setCR8(value)
      }
    } else {
      let value: UInt64
      switch number {
      case 0: value = s.pointee.cr0
      case 2: value = s.pointee.cr2
      case 3: value = s.pointee.cr3
      case 4: value = s.pointee.cr4
      default: value = readCR8()
      }
      setRegister(i.op0.register, size: wide ? 8 : 4, value)
    }
  }

  func CLTS(_ i: borrowing Instruction) throws(Fault) {
    try requireRing0()
    if s.pointee.cr0 & CR0.TS == 0 { return }
    s.pointee.cr0 &= ~CR0.TS
    updateVectorsEnabled()
    s.pointee.exitRequest |= ExitRequest.codeChanged
  }

  func XGETBV(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cr4 & CR4.OSXSAVE == 0 { throw .undefined }
    let value: UInt64
    switch UInt32(truncatingIfNeeded: s.pointee.rcx) {
    case 0: value = s.pointee.xcr0
    case 1 where has(.xgetbv1):
      // MXCSR counts as SSE state here, as processors show.
      let inUse = componentsInUse() | (s.pointee.mxcsr != 0x1F80 ? XSaveLayout.sse : 0)
      value = s.pointee.xcr0 & inUse
    default: throw .generalProtection()
    }
    s.pointee.rax = value & 0xFFFF_FFFF
    s.pointee.rdx = value &>> 32
  }

  func XSETBV(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cr4 & CR4.OSXSAVE == 0 { throw .undefined }
    try requireRing0()
    if UInt32(truncatingIfNeeded: s.pointee.rcx) != 0 { throw .generalProtection() }
    try setXCR0(registerPair)
  }

  /// EDX:EAX.
  @inline(__always)
  var registerPair: UInt64 { (s.pointee.rdx &<< 32) | (s.pointee.rax & 0xFFFF_FFFF) }

  @inline(__always)
  private func setRegisterPair(_ value: UInt64) {
    s.pointee.rax = value & 0xFFFF_FFFF
    s.pointee.rdx = value &>> 32
  }

  func RDPKRU(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cr4 & CR4.PKE == 0 { throw .undefined }
    if UInt32(truncatingIfNeeded: s.pointee.rcx) != 0 { throw .generalProtection() }
    s.pointee.rax = UInt64(s.pointee.pkru)
    s.pointee.rdx = 0
  }

  func WRPKRU(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cr4 & CR4.PKE == 0 { throw .undefined }
    if (s.pointee.rcx | s.pointee.rdx) & 0xFFFF_FFFF != 0 { throw .generalProtection() }
    let new = UInt32(truncatingIfNeeded: s.pointee.rax)
    if new == s.pointee.pkru { return }
    s.pointee.pkru = new
    // TLB entries have the rights of their keys folded in.
    flushAll()
  }

  // MARK: Caches and translations

  func INVD(_ i: borrowing Instruction) throws(Fault) { try requireRing0() }
  func WBINVD(_ i: borrowing Instruction) throws(Fault) { try requireRing0() }

  func INVLPG(_ i: borrowing Instruction) throws(Fault) {
    try requireRing0()
    let offset = effectiveOffset(i)
    if is64Bit {
      let address = i.segment.rawValue >= SegmentRegister.fs.rawValue ? offset &+ segment(i.segment).pointee.base : offset
      if isCanonical(address) { invalidateLinear(address) }
    } else {
      invalidateLinear((offset &+ segment(i.segment).pointee.base) & 0xFFFF_FFFF)
    }
  }

  func INVPCID(_ i: borrowing Instruction) throws(Fault) {
    try requireRing0()
    let (low, address) = try load128(i.segment, effectiveOffset(i), aligned: false)
    let type = is64Bit ? gpr(i.op0.register) : gpr(i.op0.register) & 0xFFFF_FFFF
    let pcid = low & 0xFFF
    if type > 3 || low &>> 12 != 0 { throw .generalProtection() }
    switch type {
    case 0:
      if !isCanonical(address) { throw .generalProtection() }
      if s.pointee.cr4 & CR4.PCIDE == 0, pcid != 0 { throw .generalProtection() }
      invalidateLinear(address)
    case 1:
      if s.pointee.cr4 & CR4.PCIDE == 0, pcid != 0 { throw .generalProtection() }
      flushTLB(keepGlobal: true)
    case 2: flushAll()
    default: flushTLB(keepGlobal: true)
    }
  }

  // MARK: Waiting

  func HLT(_ i: borrowing Instruction) throws(Fault) {
    try requireRing0()
    s.pointee.activity = .halted
    s.pointee.exitRequest |= ExitRequest.event
  }

  func MONITOR(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cpl != 0 { throw .undefined }
    if UInt32(truncatingIfNeeded: s.pointee.rcx) != 0 { throw .generalProtection() }
    _ = try load8(i.segment, s.pointee.rax & addressSizeMask(i))
  }

  func MWAIT(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cpl != 0 { throw .undefined }
    if UInt32(truncatingIfNeeded: s.pointee.rcx) > 1 { throw .generalProtection() }
  }

  // MARK: Time

  /// IA32_TIME_STAMP_COUNTER: one tick an instruction, plus what the machine adds for idle time.
  @inline(__always)
  public func readTSC() -> UInt64 { s.pointee.retired &+ s.pointee.tscOffset }

  func RDTSC(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.cr4 & CR4.TSD != 0, s.pointee.cpl != 0 { throw .generalProtection() }
    setRegisterPair(readTSC())
  }

  func RDTSCP(_ i: borrowing Instruction) throws(Fault) {
    try RDTSC(i)
    s.pointee.rcx = s.pointee.tscAux & 0xFFFF_FFFF
  }

  func RDPMC(_ i: borrowing Instruction) throws(Fault) { throw .generalProtection() }

  // MARK: Model-specific registers and identification

  func RDMSR(_ i: borrowing Instruction) throws(Fault) {
    try requireRing0()
    let index = UInt32(truncatingIfNeeded: s.pointee.rcx)
    switch environment.owner?.readMSR(index) ?? .own {
    case .own:
      guard let value = readMSR(index) else { throw .generalProtection() }
      setRegisterPair(value)
    case .value(let value): setRegisterPair(value)
    case .fault: throw .generalProtection()
    }
  }

  func WRMSR(_ i: borrowing Instruction) throws(Fault) {
    try requireRing0()
    let index = UInt32(truncatingIfNeeded: s.pointee.rcx)
    switch environment.owner?.writeMSR(index, registerPair) ?? .own {
    case .own: try writeMSR(index, registerPair)
    case .value: break
    case .fault: throw .generalProtection()
    }
  }

  func CPUID(_ i: borrowing Instruction) throws(Fault) {
    let leaf = UInt32(truncatingIfNeeded: s.pointee.rax), subleaf = UInt32(truncatingIfNeeded: s.pointee.rcx)
    let r = environment.owner?.cpuid(leaf: leaf, subleaf: subleaf) ?? cpuid(leaf: leaf, subleaf: subleaf)
    s.pointee.rax = UInt64(r.eax)
    s.pointee.rbx = UInt64(r.ebx)
    s.pointee.rcx = UInt64(r.ecx)
    s.pointee.rdx = UInt64(r.edx)
  }

  // MARK: Instructions that need a unit or a mode which there is not

  /// System management mode is never entered, so there is nothing to resume from.
  func RSM(_ i: borrowing Instruction) throws(Fault) { throw .undefined }

  /// VMX and SVM are not there: all their instructions are undefined, but those by which a guest calls its owner.
  func virtualisationInstruction(_ i: borrowing Instruction) throws(Fault) {
    if i.mnemonic != .VMCALL, i.mnemonic != .VMMCALL { throw .undefined }
    guard let owner = environment.owner else { throw .undefined }
    owner.callHypervisor()
  }
}
