import Processor
import X86
import X86Decoder

/// What a case of the fuzzer runs in.
public enum FuzzMode: String, CaseIterable, Sendable {
  case real, unreal, protected16, protected32, virtual8086, compatibility16, compatibility32, long64

  var isLong: Bool { self == .long64 || self == .compatibility16 || self == .compatibility32 }
  var isProtected: Bool { self != .real && self != .unreal }
}

/// Puts a machine into a random but possible state: tables that are mostly right, code that is not, and registers that point anywhere.
struct FuzzCase {
  private static let gdt: UInt64 = 0x1_0000, ldt: UInt64 = 0x1_1000, idt: UInt64 = 0x1_2000
  private static let tss: UInt64 = 0x1_4000, otherTSS: UInt64 = 0x1_5000, handlers: UInt64 = 0x1_6000
  private static let code: UInt64 = 0x1_8000, stack: UInt64 = 0x1_F000
  private static let tables: UInt64 = 0x2_0000
  private static let codeSize = 1024

  /// Selectors, with the RPL of their DPL.
  private static let code0: UInt16 = 0x08, data0: UInt16 = 0x10, taskSelector: UInt16 = 0x18
  /// In long mode the descriptor of the TSS takes two entries.
  private static let ldtSelector: UInt16 = 0x28, firstFree = 7, entries = 32

  let mode: FuzzMode
  private let m: FuzzMachine
  private var random: FuzzRandom
  private var cpl: UInt8 = 0

  /// Prepares `machine`; returns the random numbers' state for what comes next.
  static func prepare(_ machine: FuzzMachine, mode: FuzzMode, random: FuzzRandom) -> FuzzRandom {
    var it = FuzzCase(mode: mode, m: machine, random: random)
    it.fill()
    return it.random
  }

  private init(mode: FuzzMode, m: FuzzMachine, random: FuzzRandom) {
    self.mode = mode
    self.m = m
    self.random = random
  }

  private mutating func fill() {
    m.clear(&random)
    let s = m.s
    s.pointee.cr0 = CR0.ET
    interruptTable()
    if mode.isProtected {
      cpl = mode == .virtual8086 ? 3 : random.pick([0, 0, 3, 3, 1, 2])
      s.pointee.cr0 |= CR0.PE
      descriptors()
      paging()
    }
    controlBits()
    segments()
    registers()
    let begin = Self.code + UInt64(random.below(4) == 0 ? 0xF80 + random.below(0x80) : random.below(0x100))
    m.put(begin, FuzzCode.bytes(Self.codeSize, is64: mode == .long64, &random))
    s.pointee.rip = begin &- (mode == .long64 ? 0 : s.pointee.cs.base)
    if mode != .long64 { s.pointee.rip &= s.pointee.cs.big ? 0xFFFF_FFFF : 0xFFFF }
    m.cpu.updateMode()
    m.cpu.modeChanged()
    m.cpu.flushTLB(keepGlobal: false)
    s.pointee.exitRequest = 0
  }

  // MARK: Tables

  private mutating func interruptTable() {
    let s = m.s
    if !mode.isProtected {
      // The handler steps over a byte of what faulted, so that code is gone through: PUSH BP; MOV BP, SP; INC [BP+2]; POP BP; IRET.
      m.put(Self.handlers, [0x55, 0x8B, 0xEC, 0xFF, 0x46, 0x02, 0x5D, 0xCF])
      let far = (Self.handlers >> 4) << 16
      for v in 0..<256 as Range<UInt64> { m.put(v * 4, random.chance(92) ? far : random.next(), size: 4) }
      s.pointee.idtr.limit = random.chance(90) ? 0x3FF : UInt16(truncatingIfNeeded: random.next())
      return
    }
    s.pointee.idtr.base = Self.idt
    s.pointee.idtr.limit = random.chance(85) ? (mode.isLong ? 0xFFF : 0x7FF) : UInt16(truncatingIfNeeded: random.next())
    for v in 0..<256 as Range<UInt64> {
      let hasCode = [8, 10, 11, 12, 13, 14, 17, 21].contains(v)
      let target = Self.handlers + v * 16
      if mode.isLong {
        // INC of the return address, and IRET.
        m.put(target, (hasCode ? [0x48, 0x83, 0xC4, 0x08] : []) + [0x48, 0xFF, 0x04, 0x24, 0x48, 0xCF])
        let type = random.pick([0xEE, 0x8E, 0x8F, 0xEF] as [UInt64])
        let ist = random.chance(10) ? random.next() & 7 : 0
        m.put(Self.idt + v * 16, target & 0xFFFF | UInt64(Self.code0) << 16 | ist << 32 | type << 40 | (target >> 16) << 48)
        m.put(Self.idt + v * 16 + 8, 0)
      } else {
        m.put(target, (hasCode ? [0x83, 0xC4, 0x04] : []) + [0xFF, 0x04, 0x24, 0xCF])
        let type = random.pick([0xEE, 0x8E, 0x8F, 0xEF, 0xEE, 0x8E, 0x86, 0xE7, 0xE5] as [UInt64])
        let selector = type == 0xE5 ? UInt64(random.below(Self.entries) * 8) : UInt64(Self.code0)
        m.put(Self.idt + v * 8, target & 0xFFFF | selector << 16 | type << 40 | (target >> 16) << 48)
      }
      if random.chance(5) { m.put(Self.idt + UInt64(random.below(0x1000)), random.next(), size: 1) }
    }
  }

  private static func descriptor(base: UInt64, limit: UInt64, access: UInt64, flags: UInt64) -> UInt64 {
    (limit & 0xFFFF) | (base & 0xFF_FFFF) << 16 | access << 40 | (limit >> 16 & 0xF) << 48 | flags << 52 | (base >> 24 & 0xFF) << 56
  }

  private mutating func descriptors() {
    let s = m.s
    let code64: UInt64 = mode.isLong ? 0xA : 0xC
    m.put(Self.gdt, 0)
    m.put(Self.gdt + 8, Self.descriptor(base: 0, limit: 0xFFFFF, access: 0x9B, flags: code64))
    m.put(Self.gdt + 16, Self.descriptor(base: 0, limit: 0xFFFFF, access: 0x93, flags: 0xC))
    m.put(Self.gdt + 24, Self.descriptor(base: Self.tss, limit: 0x7FF, access: 0x8B, flags: 0))
    m.put(Self.gdt + 32, 0)
    m.put(Self.gdt + 40, Self.descriptor(base: Self.ldt, limit: 0xFFF, access: 0x82, flags: 0))
    m.put(Self.gdt + 48, 0)
    for n in 0..<Self.entries {
      if n >= Self.firstFree { m.put(Self.gdt + UInt64(n) * 8, anyDescriptor()) }
      m.put(Self.ldt + UInt64(n) * 8, anyDescriptor())
    }
    s.pointee.gdtr.base = Self.gdt
    s.pointee.gdtr.limit = random.chance(90) ? 0xFF : UInt16(truncatingIfNeeded: random.next())
    s.pointee.ldtr = cache(base: Self.ldt, limit: 0xFFF, attributes: 0x82, selector: Self.ldtSelector)
    s.pointee.tr = cache(base: Self.tss, limit: 0x7FF, attributes: 0x8B, selector: Self.taskSelector)
    // Stacks of the inner rings, in the places of both kinds of TSS.
    for n in 0..<12 as Range<UInt64> {
      m.put(Self.tss + 4 + n * 8, mode.isLong ? Self.stack - n * 0x100 : (Self.stack - n * 0x100) | UInt64(Self.data0) << 32)
    }
    m.put(Self.tss + 102, random.pick([104, 0x200, 0x7FF, random.next() & 0xFFFF]), size: 2)
    // Another task that can be switched to.
    for n in 0..<26 as Range<UInt64> { m.put(Self.otherTSS + n * 4, random.next() & 0x1_FFFF, size: 4) }
    m.put(Self.otherTSS + 32, Self.code, size: 4)
    m.put(Self.otherTSS + 36, 0x202, size: 4)
    for n in 0..<6 as Range<UInt64> { m.put(Self.otherTSS + 72 + n * 4, n == 1 ? 0x08 : 0x10, size: 4) }
    m.put(Self.otherTSS + 96, UInt64(random.pick([0, Self.ldtSelector])), size: 4)
  }

  private mutating func anyDescriptor() -> UInt64 {
    let dpl = random.next() & 3
    let base = random.pick([0, 0, Self.code, UInt64(random.below(FuzzMachine.ramSize)), random.next() & 0xFFFF_FFFF])
    let limit = random.pick([0xFFFFF, 0xFFFFF, 0xFFFF, 0xFFF, UInt64(random.below(0x10000)), random.next() & 0xFFFFF])
    switch random.below(10) {
    case 0: return random.next()
    // A TSS or an LDT.
    case 1: return Self.descriptor(base: random.pick([Self.otherTSS, Self.otherTSS, Self.ldt]), limit: random.pick([0x67, 0x2B, 0x7FF]),
                                   access: random.pick([0x89, 0x8B, 0x81, 0x82, 0xE9]), flags: 0)
    // A gate.
    case 2:
      let type = random.pick([0x84, 0x85, 0x8C, 0xEC, 0xE4, 0xE5] as [UInt64])
      return Self.code & 0xFFFF | UInt64(random.below(16) * 8) << 16 | (random.next() & 0x1F) << 32 | type << 40 | (Self.code >> 16) << 48
    case 3...5:
      return Self.descriptor(base: base, limit: limit, access: 0x98 | dpl << 5 | random.next() & 7, flags: random.pick([0xC, 0x4, 0x0, 0xA, 0x8]))
    default:
      return Self.descriptor(base: base, limit: limit, access: 0x90 | dpl << 5 | random.next() & 7, flags: random.pick([0xC, 0x4, 0x0, 0x8]))
    }
  }

  // MARK: Paging

  private mutating func paging() {
    let s = m.s
    let model = m.model.features
    let canPAE = model.contains(.pae)
    if !mode.isLong, random.chance(30) { return }
    s.pointee.cr0 |= CR0.PG
    if model.contains(.i486), random.chance(60) { s.pointee.cr0 |= CR0.WP }
    if mode.isLong || (canPAE && random.chance(50)) {
      s.pointee.cr4 |= CR4.PAE
      if model.contains(.nx), random.chance(70) { s.pointee.efer |= EFER.NXE }
      wideTables()
    } else {
      if model.contains(.pse), random.chance(70) { s.pointee.cr4 |= CR4.PSE }
      narrowTables()
    }
    if mode.isLong { s.pointee.efer |= EFER.LME | EFER.LMA }
    // What a switch to the other task loads.
    m.put(Self.otherTSS + 28, s.pointee.cr3, size: 4)
    if random.chance(8) { s.pointee.cr3 = UInt64(random.below(FuzzMachine.ramSize)) & ~0xFFF }
  }

  /// Flags of an entry that is mostly present and usable.
  private mutating func rights() -> UInt64 {
    if random.chance(90) { return 0x07 | random.next() & 0x160 }
    return random.next() & 0x1FF
  }

  private mutating func narrowTables() {
    let directory = Self.tables, table = Self.tables + 0x1000, top = Self.tables + 0x2000
    for n in 0..<1024 as Range<UInt64> {
      m.put(directory + n * 4, random.chance(85) ? 0 : random.next() & 0xFFFF_FFFF, size: 4)
      m.put(table + n * 4, random.chance(97) ? n << 12 | rights() : random.next(), size: 4)
      m.put(top + n * 4, (0xFFC00 + n) << 12 | rights(), size: 4)
    }
    m.put(directory, table | 7, size: 4)
    m.put(directory + 4092, top | 7, size: 4)
    m.put(directory + 4, UInt64(random.below(4)) << 22 | 0x87, size: 4)
    m.s.pointee.cr3 = directory
  }

  private mutating func wideTables() {
    let root = Self.tables, pointers = Self.tables + 0x1000, directory = Self.tables + 0x2000
    let table = Self.tables + 0x3000, topDirectory = Self.tables + 0x4000, top = Self.tables + 0x5000
    let noExecute: UInt64 = 1 << 63
    for n in 0..<512 as Range<UInt64> {
      for page in [root, pointers, directory, topDirectory] { m.put(page + n * 8, random.chance(85) ? 0 : random.next()) }
      var entry = n << 12 | rights()
      if m.s.pointee.efer & EFER.NXE != 0, random.chance(4) { entry |= noExecute }
      m.put(table + n * 8, random.chance(97) ? entry : random.next())
      m.put(top + n * 8, (0xFFE00 + n) << 12 | rights())
    }
    m.put(root, pointers | 7)
    m.put(root + 511 * 8, random.chance(50) ? root | 3 : pointers | 7)
    m.put(pointers, directory | (mode.isLong ? 7 : 1))
    m.put(pointers + 24, topDirectory | (mode.isLong ? 7 : 1))
    m.put(directory, table | 7)
    m.put(directory + 8, UInt64(random.below(4)) << 21 | 0x87)
    m.put(topDirectory + 511 * 8, top | 7)
    m.s.pointee.cr3 = mode.isLong ? root : pointers
    if !mode.isLong {
      // The pointers that a load of CR3 would have read and found right.
      m.s.pointee.pae0 = directory | 1
      m.s.pointee.pae1 = random.chance(50) ? 0 : directory | 1
      m.s.pointee.pae2 = 0
      m.s.pointee.pae3 = topDirectory | 1
    }
  }

  // MARK: Processor

  private mutating func controlBits() {
    let s = m.s
    let model = m.model.features
    func allow(_ feature: Feature, _ bits: UInt64, _ percent: Int) {
      if model.contains(feature), random.chance(percent) { s.pointee.cr4 |= bits }
    }
    allow(.vme, CR4.VME, 40)
    allow(.vme, CR4.PVI, 30)
    allow(.tsc, CR4.TSD, 20)
    allow(.de, CR4.DE, 50)
    allow(.pge, CR4.PGE, 50)
    allow(.fxsr, CR4.OSFXSR, 90)
    allow(.sse, CR4.OSXMMEXCPT, 70)
    allow(.umip, CR4.UMIP, 30)
    allow(.fsgsbase, CR4.FSGSBASE, 50)
    allow(.xsave, CR4.OSXSAVE, 80)
    if mode.isProtected {
      allow(.smep, CR4.SMEP, 20)
      allow(.smap, CR4.SMAP, 20)
      allow(.pku, CR4.PKE, 30)
    }
    if mode.isLong { allow(.pcid, CR4.PCIDE, 20) }
    if model.contains(.syscall), random.chance(60) { s.pointee.efer |= EFER.SCE }
    for (bit, percent) in [(CR0.MP, 30), (CR0.EM, 8), (CR0.TS, 8)] where random.chance(percent) { s.pointee.cr0 |= bit }
    if model.contains(.i486) {
      if random.chance(70) { s.pointee.cr0 |= CR0.NE }
      if random.chance(30) { s.pointee.cr0 |= CR0.AM }
    }
    if model.contains(.xsave) { s.pointee.xcr0 = random.pick([1, 3, 7, 7, 7]) & m.model.supportedXCR0 }
    s.pointee.star = random.next() & 0xFFF8_FFF8_FFFF_FFFF
    s.pointee.lstar = Self.code
    s.pointee.cstar = Self.code
    s.pointee.sfmask = random.next() & 0xFFFF_FFFF
    s.pointee.sysenterCS = random.pick([0, 8, 8])
    s.pointee.sysenterEIP = Self.code
    s.pointee.sysenterESP = Self.stack
    s.pointee.kernelGSBase = Self.code
    if random.chance(15) {
      for n in 0..<4 as Range<UInt8> { m.cpu.setDebugRegister(n, Self.code + UInt64(random.below(0x1000))) }
      m.cpu.setDebugRegister(7, random.next() & 0xFFFF_23FF)
    }
  }

  private func cache(base: UInt64, limit: UInt32, attributes: UInt16, selector: UInt16) -> SegmentCache {
    var c = SegmentCache()
    c.base = base
    c.limit = limit
    c.attributes = attributes
    c.selector = selector
    return c
  }

  private mutating func segments() {
    let s = m.s
    switch mode {
    case .real, .unreal, .virtual8086:
      for reg in SegmentRegister.allCases {
        let selector = random.pick([0x1000, 0x1800, 0, UInt16(random.below(0x4000)), UInt16(truncatingIfNeeded: random.next())])
        set(reg, cache(base: UInt64(selector) << 4, limit: 0xFFFF, attributes: mode == .virtual8086 ? 0xF3 : 0x93, selector: selector))
        if mode == .unreal, reg != .cs, random.chance(70) { m.cpu.segment(reg).pointee.limit = 0xFFFF_FFFF }
      }
      let selector: UInt16 = random.pick([0x1800, 0x1000, 0x17F0])
      set(.cs, cache(base: UInt64(selector) << 4, limit: 0xFFFF, attributes: mode == .virtual8086 ? 0xF3 : 0x93, selector: selector))
      if mode == .virtual8086 {
        s.pointee.cpl = 3
        s.pointee.systemFlags |= RFLAGS.VM
      }
    default:
      s.pointee.cpl = cpl
      let privilege = UInt16(cpl) << 5
      for reg in SegmentRegister.allCases {
        var c = cache(base: 0, limit: 0xFFFF_FFFF, attributes: 0xC093 | privilege, selector: Self.data0 | UInt16(cpl))
        if reg != .ss, random.chance(30) {
          c.base = random.pick([Self.code, UInt64(random.below(FuzzMachine.ramSize)), random.next() & 0xFFFF_FFFF])
          c.limit = random.pick([0xFFFF, 0xFFF, UInt32(random.below(0x2_0000)), 0xFFFF_FFFF])
          c.attributes = (random.pick([0x93, 0x91, 0x97, 0x9B]) | privilege) | random.pick([0x4000, 0])
          if random.chance(15) { c.usable = false }
        }
        if reg == .ss, mode != .long64, random.chance(30) {
          c.attributes &= ~0xC000
          c.limit = 0xFFFF
          c.base = 0x1_0000
        }
        set(reg, c)
      }
      let attributes: UInt16 = mode == .long64 ? 0xA09B : mode == .protected32 || mode == .compatibility32 ? 0xC09B : 0x009B
      var c = cache(base: 0, limit: 0xFFFF_FFFF, attributes: attributes | privilege, selector: Self.code0 | UInt16(cpl))
      if attributes == 0x009B {
        c.base = Self.code & ~0xFFFF
        c.limit = 0xFFFF
      }
      set(.cs, c)
    }
  }

  private func set(_ register: SegmentRegister, _ c: SegmentCache) { m.cpu.segment(register).pointee = c }

  private mutating func registers() {
    let s = m.s
    let wide = mode == .long64
    for n in 0..<(mode.isLong ? 16 : 8) as Range<UInt8> {
      let value = random.pick([
        UInt64(random.below(FuzzMachine.ramSize)), Self.code + UInt64(random.below(0x800)), random.anyMagnitude(), random.anyMagnitude(),
        FuzzMachine.high + UInt64(random.below(0x4100)), FuzzMachine.rom + UInt64(random.below(0x4000)), UInt64(random.below(0x20)),
        0xFFF, 0xFFFE, 0x7FFF_FFFF_FFFE, 0x8000_0000_0000,
      ])
      m.cpu.setGPR(n, wide || n > 7 ? value : value & 0xFFFF_FFFF)
    }
    if random.chance(85) { s.pointee.rsp = mode == .virtual8086 || !mode.isProtected ? UInt64(0xF000 + random.below(0x200)) : Self.stack - UInt64(random.below(0x100)) }
    var flags = random.next() & 0x20_0ED5
    if random.chance(8) { flags |= RFLAGS.TF }
    if random.chance(20) { flags |= RFLAGS.IOPL }
    if random.chance(10) { flags |= RFLAGS.NT }
    if m.model.features.contains(.i486), random.chance(20) { flags |= RFLAGS.AC }
    if !m.model.hasCPUID { flags &= ~RFLAGS.ID }
    m.cpu.setStatusFlags(flags)
    s.pointee.systemFlags |= flags & ~RFLAGS.status | 2
    if m.model.features.contains(.sse) { s.pointee.mxcsr = random.chance(60) ? 0x1F80 : UInt32(truncatingIfNeeded: random.next()) & 0xFFFF }
    for n in 0..<16 as Range<UInt8> {
      let v = m.cpu.vector(n)
      v.pointee.q0 = random.pick([random.next(), 0x3FF0_0000_0000_0000, 0x7FF8_0000_0000_0000, random.anyMagnitude(), 0x7F80_0000_3F80_0000])
      v.pointee.q1 = random.next()
      if m.model.features.contains(.avx) { v.pointee.q2 = random.next() }
    }
    s.pointee.x87.controlWord = random.chance(50) ? 0x37F : UInt16(truncatingIfNeeded: random.next()) & 0xF7F | 0x40
    s.pointee.x87.valid = random.byte()
    s.pointee.x87.top = random.byte() & 7
  }
}
