import Platform
import X86
import X86Decoder

/// Birth, reset and death of a virtual CPU's state.
extension CPU {
  /// Allocates the state and its caches, in power-on state but for `reset`.
  public static func make(_ environment: ProcessorEnvironment, index: UInt32) -> CPU {
    let tlbs = TLBSet()
    let codeTLB = UnsafeMutablePointer<CodeTLBEntry>.allocate(capacity: CodeTLB.entries)
    codeTLB.initialize(repeating: CodeTLBEntry(tag: CodeTLB.invalid, page: nil, stamp: 0), count: CodeTLB.entries)
    let jumpCache = UnsafeMutablePointer<JumpCacheEntry>.allocate(capacity: JumpCache.entries)
    jumpCache.initialize(repeating: JumpCacheEntry(rip: 0, stamp: 0, operation: 0, codeBias: 0), count: JumpCache.entries)
    let raw = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<CPUState>.size, alignment: 64)
    let s = raw.bindMemory(to: CPUState.self, capacity: 1)
    s.initialize(to: CPUState(tlb: tlbs.base(TLBSet.supervisor), jumpCache: UnsafeMutableRawPointer(jumpCache), codeTLB: codeTLB,
                              index: index, pageTable: environment.memory.pageTable, writers: environment.codeCache.writers, pageCount: environment.memory.pageCount,
                              reservedAddressBits: (~0 &<< UInt64(environment.model.physicalAddressBits)) & 0x000F_FFFF_FFFF_FFFF,
                              hasGigabytePages: environment.model.features.contains(.page1GB), tlbSet: tlbs, environment: Unmanaged.passRetained(environment)))
    return CPU(s)
  }

  public func destroy() {
    tlbs.deallocate()
    s.pointee.codeTLB.deallocate()
    s.pointee.jumpCache.assumingMemoryBound(to: JumpCacheEntry.self).deallocate()
    let environment = s.pointee.environment
    raw.deallocate()
    environment.release()
  }

  /// Power-on, RESET or INIT state (SDM vol. 3A table 10-1).
  ///
  /// INIT leaves x87, vector registers, MXCSR, MTRRs and most MSRs, CR0.CD and CR0.NW, and the time-stamp counter alone, and a processor other
  /// than the first waits for a start-up IPI then.
  public func reset(isINIT: Bool) {
    let p = s
    let cacheBits = p.pointee.cr0 & (CR0.CD | CR0.NW)
    for n in 0..<16 as Range<UInt8> { setGPR(n, 0) }
    p.pointee.rdx = UInt64(environment.model.signature)
    p.pointee.flagResult = 1
    p.pointee.flagAux = 0
    p.pointee.flagKind = FlagKind.explicit
    p.pointee.systemFlags = 2
    p.pointee.rip = 0xFFF0
    p.pointee.nextRIP = 0xFFF0
    p.pointee.cpl = 0
    p.pointee.activity = isINIT && p.pointee.apicBase & (1 &<< 8) == 0 ? .waitForSIPI : .running
    p.pointee.interruptShadow = .max
    p.pointee.shadowIsMovSS = false
    p.pointee.nmiBlocked = false
    p.pointee.nmiPending = false
    // A start-up IPI may follow an INIT before the processor has taken that: only RESET forgets it.
    if !isINIT { p.pointee.sipiPending = 0 }
    p.pointee.pendingDebug = 0
    p.pointee.cr0 = 0x10 | (isINIT ? cacheBits : has(.i486) ? CR0.CD | CR0.NW : 0)
    p.pointee.cr2 = 0
    p.pointee.cr3 = 0
    p.pointee.cr4 = 0
    p.pointee.efer = 0
    p.pointee.dr0 = 0
    p.pointee.dr1 = 0
    p.pointee.dr2 = 0
    p.pointee.dr3 = 0
    p.pointee.dr6 = 0xFFFF_0FF0
    p.pointee.dr7 = 0x400
    var data = SegmentCache()
    data.attributes = 0x93
    p.pointee.es = data
    p.pointee.ss = data
    p.pointee.ds = data
    p.pointee.fs = data
    p.pointee.gs = data
    data.selector = 0xF000
    data.base = 0xFFFF_0000
    data.attributes = 0x9B
    p.pointee.cs = data
    var system = SegmentCache()
    system.attributes = 0x82
    p.pointee.ldtr = system
    system.attributes = 0x8B
    p.pointee.tr = system
    p.pointee.gdtr = DescriptorTableRegister()
    p.pointee.idtr = DescriptorTableRegister()
    p.pointee.idtr.limit = 0xFFFF
    if !isINIT {
      p.pointee.activity = .running
      p.pointee.xcr0 = 1
      p.pointee.pkru = 0
      p.pointee.mxcsr = 0x1F80
      p.pointee.x87 = X87State()
      for n in 0..<16 as Range<UInt8> { vector(n).pointee = Vector256() }
      p.pointee.pat = 0x0007_0406_0007_0406
      p.pointee.apicBase = 0xFEE0_0000 | 1 &<< 11 | (p.pointee.index == 0 ? 1 &<< 8 : 0)
      p.pointee.star = 0
      p.pointee.lstar = 0
      p.pointee.cstar = 0
      p.pointee.sfmask = 0
      p.pointee.kernelGSBase = 0
      p.pointee.sysenterCS = 0
      p.pointee.sysenterESP = 0
      p.pointee.sysenterEIP = 0
      p.pointee.tscAux = 0
      p.pointee.tscOffset = 0 &- p.pointee.retired
      p.pointee.miscEnable = 1
      p.pointee.mtrrDefType = 0
      p.pointee.xss = 0
      p.pointee.msr = ModelSpecificState()
      if p.pointee.index != 0 { p.pointee.activity = .waitForSIPI }
    }
    updateMode()
    flushTLB(keepGlobal: false)
  }

  /// A start-up IPI: begins in real mode at page `vector` (SDM vol. 3A §9.4.4).
  public func startUp(vector: UInt8) {
    s.pointee.cs.selector = UInt16(vector) &<< 8
    s.pointee.cs.base = UInt64(vector) &<< 12
    s.pointee.rip = 0
    s.pointee.activity = .running
    updateMode()
  }
}
