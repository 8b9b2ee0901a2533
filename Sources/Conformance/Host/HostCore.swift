import HostOracle
import Interpreter
import Platform
import Processor
import SoftFloat
import X86

/// The emulated processor in the place of a Linux program: the same descriptors, addresses and control registers, and a kernel that
/// halts at every exception.
final class HostCore {
  private final class Bus: ProcessorBus {
    func readPort(_ port: UInt16, size: Int) -> UInt32 { ~0 }
    func writePort(_ port: UInt16, _ value: UInt32, size: Int) {}
    func readDevice(_ address: UInt64, size: Int) -> UInt64 { ~0 }
    func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {}
    func acknowledgeInterrupt() -> UInt8? { nil }
    var taskPriority: UInt8 = 0
    func readAPICRegister(_ msr: UInt32) -> UInt64? { nil }
    func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { false }
  }

  // Physical addresses; the kernel's pages are at `kernel` + the same in linear memory.
  private static let memorySize: UInt64 = 1 << 20
  private static let tables: UInt64 = 0x1000
  private static let gdt: UInt64 = 0x9000, tss: UInt64 = 0x9800, idt: UInt64 = 0xA000, handlers: UInt64 = 0xB000, stack: UInt64 = 0xD000
  private static let code: UInt64 = 0x1_0000, stubs: UInt64 = 0x1_4000, data: UInt64 = 0x2_0000, readOnly: UInt64 = 0x2_2000
  private static let kernel: UInt64 = 0xFFFF_8000_0000_0000
  /// More instructions and iterations than any case has without a loop for ever.
  private static let longest: UInt64 = 20_000

  private let memory = PhysicalMemory(limit: memorySize)
  private let ram: UnsafeMutableRawPointer
  private let bus = Bus()
  private let virtual: VirtualCPU
  private let banks: UnsafePointer<UInt8>
  private var cpu: CPU { virtual.cpu }
  /// Code of the last case, to be taken away before the next.
  private var used = 0..<0
  /// A deliberate error, for tests of the comparison: changes the state behind a case.
  var sabotage: ((UnsafeMutablePointer<HostState>, UnsafePointer<HostCase>) -> Void)?

  /// - Parameter banks: what data pages begin with; it must outlive this.
  init(model: CPUModel, banks: UnsafePointer<UInt8>) {
    ram = memory.addMemory(at: PhysicalAddress(0), size: Self.memorySize)
    virtual = VirtualCPU(index: 0, memory: memory, model: model, codeCache: CodeCache(memory: memory), bus: bus)
    self.banks = banks
    pages()
    descriptors()
    let s = virtual.cpu.s
    virtual.reset()
    s.pointee.cr0 = CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.AM | CR0.PG
    s.pointee.cr3 = Self.tables
    s.pointee.cr4 = CR4.PAE | CR4.PGE | CR4.OSFXSR | CR4.OSXMMEXCPT | CR4.OSXSAVE | CR4.FSGSBASE
    s.pointee.efer = EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE
    s.pointee.xcr0 = 7
    s.pointee.gdtr.base = Self.kernel + Self.gdt
    s.pointee.gdtr.limit = 127
    s.pointee.idtr.base = Self.kernel + Self.idt
    s.pointee.idtr.limit = 0xFFF
    s.pointee.tr = cache(base: Self.kernel + Self.tss, limit: 0x67, attributes: 0x8B, selector: 0x40)
    s.pointee.ldtr.usable = false
    s.pointee.ldtr.selector = 0
    s.pointee.cs = cache(base: 0, limit: 0xFFFF_FFFF, attributes: 0xA09B, selector: 0x10)
    virtual.cpu.updateMode()
    virtual.cpu.modeChanged()
    virtual.cpu.flushTLB(keepGlobal: false)
  }

  // MARK: Set-up

  private func put(_ address: UInt64, _ value: UInt64) { memory.write(address, value, size: 8) }

  private func cache(base: UInt64, limit: UInt32, attributes: UInt16, selector: UInt16) -> SegmentCache {
    var c = SegmentCache()
    c.base = base
    c.limit = limit
    c.attributes = attributes
    c.selector = selector
    return c
  }

  private func pages() {
    let t = Self.tables, accessed: UInt64 = 0x60, noExecute: UInt64 = 1 << 63
    put(t, t + 0x1000 | 7 | accessed)
    put(t + 0x1000, t + 0x2000 | 7 | accessed)
    put(t + 0x2000 + (HostLayout.code >> 21) * 8, t + 0x3000 | 7 | accessed)
    put(t + 0x2000 + (HostLayout.data >> 21) * 8, t + 0x4000 | 7 | accessed)
    for n in 0..<2 as Range<UInt64> {
      put(t + 0x3000 + n * 8, Self.code + n * 0x1000 | 5 | accessed)
      put(t + 0x4000 + n * 8, Self.data + n * 0x1000 | 7 | accessed | noExecute)
    }
    put(t + 0x3000 + (HostLayout.stubs - HostLayout.code) >> 12 * 8, Self.stubs | 5 | accessed)
    put(t + 0x4000 + 2 * 8, Self.readOnly | 5 | accessed | noExecute)
    put(t + 256 * 8, t + 0x5000 | 3 | accessed)
    put(t + 0x5000, t + 0x6000 | 3 | accessed)
    put(t + 0x6000, t + 0x7000 | 3 | accessed)
    for page in [Self.gdt, Self.idt, Self.handlers, Self.stack - 0x1000] { put(t + 0x7000 + page >> 12 * 8, page | 3 | accessed | 0x100) }
    memset(Self.code, 0xCC, 0x2000)
    host_oracle_stubs((ram + Int(Self.stubs)).assumingMemoryBound(to: UInt8.self))
    (ram + Int(Self.readOnly)).copyMemory(from: banks + Int(HostLayout.dataSize), byteCount: Int(HostLayout.readOnlySize))
  }

  private func memset(_ address: UInt64, _ value: UInt8, _ count: Int) {
    (ram + Int(address)).initializeMemory(as: UInt8.self, repeating: value, count: count)
  }

  /// The descriptors of Linux (arch/x86 of any version since 2.6).
  private func descriptors() {
    let entries: [(Int, UInt64)] = [
      (1, 0x00CF_9B00_0000_FFFF), (2, 0x00AF_9B00_0000_FFFF), (3, 0x00CF_9300_0000_FFFF), (4, 0x00CF_FB00_0000_FFFF), (5, 0x00CF_F300_0000_FFFF),
      (6, 0x00AF_FB00_0000_FFFF), (8, 0x0000_8B00_0000_0067), (15, 0x0040_F500_0000_0000),
    ]
    for (n, value) in entries { put(Self.gdt + UInt64(n) * 8, value) }
    // RSP0; and no I/O bitmap.
    memory.write(Self.tss + 4, Self.kernel + Self.stack, size: 8)
    memory.write(Self.tss + 102, 0x8000, size: 2)
    for vector in 0..<256 as Range<UInt64> {
      let target = Self.kernel + Self.handlers + vector
      let type: UInt64 = vector == 3 || vector == 4 ? 0xEE : 0x8E
      put(Self.idt + vector * 16, target & 0xFFFF | 0x10 << 16 | type << 40 | (target >> 16 & 0xFFFF) << 48)
      put(Self.idt + vector * 16 + 8, target >> 32)
    }
    // A HLT for each vector.
    memset(Self.handlers, 0xF4, 256)
  }

  // MARK: A case

  /// Executes a case; its end state comes into `end`, its memory into `lines`. False if it does not end.
  func run(_ c: CasePointer, bySteps: Bool, _ end: StatePointer, _ lines: UnsafeMutablePointer<HostLines>) -> Bool {
    host_oracle_fill((ram + Int(Self.data)).assumingMemoryBound(to: UInt8.self), banks, c)
    load(c)
    enter(c)
    let s = cpu.s
    let reason = bySteps ? virtual.runBySteps(instructions: Self.longest) : virtual.run(instructions: Self.longest)
    let isDone = reason == .halted
    collect(end, c, s)
    host_oracle_compare((ram + Int(Self.data)).assumingMemoryBound(to: UInt8.self), banks, c, lines)
    sabotage?(end, c)
    return isDone
  }

  /// Executes a case once more by steps, and names the address of each of its instructions before it runs.
  func trace(_ c: CasePointer, _ visit: (_ rip: UInt64, _ is32: Bool) -> Void) {
    host_oracle_fill((ram + Int(Self.data)).assumingMemoryBound(to: UInt8.self), banks, c)
    load(c)
    enter(c)
    for _ in 0..<Self.longest {
      if cpu.s.pointee.cpl != 3 { return }
      visit(cpu.s.pointee.rip, cpu.s.pointee.cs.selector == HostLayout.code32)
      if virtual.runBySteps(instructions: 1) != .budgetUsed { return }
    }
  }

  private func load(_ c: CasePointer) {
    let offset = Int(c.pointee.codeOffset)
    let length = min(c.length, Int(HostLayout.codeSize) - offset)
    let behind = min(Int(HOST_TAIL_BYTES), Int(HostLayout.codeSize) - offset - length)
    let previous = used
    used = offset..<offset + length + behind
    withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { buffer in
      buffer.initializeMemory(as: UInt8.self, repeating: 0xCC)
      if !previous.isEmpty { memory.load(UnsafeRawBufferPointer(rebasing: buffer[..<previous.count]), at: Self.code + UInt64(previous.lowerBound)) }
      buffer.baseAddress!.copyMemory(from: c.code, byteCount: length)
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(HOST_TAIL_BYTES)) { tail in
        host_oracle_tail(c, tail.baseAddress!)
        (buffer.baseAddress! + length).copyMemory(from: tail.baseAddress!, byteCount: behind)
      }
      memory.load(UnsafeRawBufferPointer(rebasing: buffer[..<(length + behind)]), at: Self.code + UInt64(offset))
    }
  }

  private func segment(_ selector: UInt16) -> SegmentCache {
    if selector & 0xFFFC != 0 { return cache(base: 0, limit: 0xFFFF_FFFF, attributes: 0xC0F3, selector: selector) }
    var c = cache(base: 0, limit: 0xFFFF_FFFF, attributes: 0xC0F3, selector: selector)
    c.usable = false
    return c
  }

  private func enter(_ c: CasePointer) {
    let s = cpu.s, start = c.start
    let is32 = c.pointee.is32 != 0
    for n in 0..<16 { cpu.setGPR(UInt8(n), start.gpr(n)) }
    s.pointee.rip = start.pointee.rip
    s.pointee.nextRIP = start.pointee.rip
    cpu.setStatusFlags(start.pointee.rflags)
    s.pointee.systemFlags = start.pointee.rflags & 0x3F_7700 | 2
    s.pointee.cs = cache(base: 0, limit: 0xFFFF_FFFF, attributes: is32 ? 0xC0FB : 0xA0FB, selector: start.pointee.cs)
    s.pointee.ss = segment(start.pointee.ss)
    s.pointee.ds = segment(start.pointee.ds)
    s.pointee.es = segment(start.pointee.es)
    s.pointee.fs = segment(start.pointee.fs)
    s.pointee.gs = segment(start.pointee.gs)
    s.pointee.fs.base = start.pointee.fsBase
    s.pointee.gs.base = start.pointee.gsBase
    s.pointee.cpl = 3
    s.pointee.activity = .running
    s.pointee.retired = 0
    s.pointee.interruptShadow = .max
    s.pointee.pendingDebug = 0
    s.pointee.dr6 = 0xFFFF_0FF0
    s.pointee.cr2 = 0
    s.pointee.mxcsr = start.mxcsr
    s.pointee.x87 = X87State()
    s.pointee.x87.controlWord = start.controlWord
    let top = UInt8(truncatingIfNeeded: start.statusWord >> 11) & 7
    s.pointee.x87.statusWord = start.statusWord & ~0x3800
    s.pointee.x87.top = top
    s.pointee.x87.valid = start.tags
    withUnsafeMutablePointer(to: &s.pointee.x87.r0) { registers in
      for n in 0..<8 {
        registers[(Int(top) + n) & 7] = Extended80(significand: start.significand(n), signExponent: start.signExponent(n))
      }
    }
    UnsafeMutableRawPointer(cpu.vector(0)).copyMemory(from: UnsafeRawPointer(start) + HostLayout.ymm, byteCount: 512)
    cpu.updateMode()
    cpu.modeChanged()
    s.pointee.exitRequest = 0
  }

  /// Reads what the exception left: the handler's address tells the vector, the stack the rest.
  private func collect(_ end: StatePointer, _ c: CasePointer, _ s: UnsafeMutablePointer<CPUState>) {
    let vector = UInt32(truncatingIfNeeded: s.pointee.rip &- 1 &- Self.kernel &- Self.handlers)
    for n in 0..<16 { end.setGPR(n, cpu.gpr(UInt8(n))) }
    var frame = Int(truncatingIfNeeded: s.pointee.rsp &- Self.kernel)
    guard vector < 256, s.pointee.cpl == 0, frame > Int(Self.stack) - 0x100, frame <= Int(Self.stack) - 40 else {
      end.pointee.vector = 0xFFFF_FFFE
      end.pointee.rip = s.pointee.rip
      return
    }
    func word(_ n: Int) -> UInt64 { (ram + frame + n * 8).load(as: UInt64.self) }
    end.pointee.errorCode = 0
    if [8, 10, 11, 12, 13, 14, 17, 21].contains(vector) {
      end.pointee.errorCode = UInt32(truncatingIfNeeded: word(0))
      frame += 8
    }
    end.pointee.rip = word(0)
    end.pointee.cs = UInt16(truncatingIfNeeded: word(1))
    end.pointee.rflags = word(2)
    end.setGPR(4, word(3))
    end.pointee.ss = UInt16(truncatingIfNeeded: word(4))
    end.pointee.vector = vector
    end.pointee.faultAddress = vector == 14 ? s.pointee.cr2 : 0
    // The INT3 where all cases end.
    if vector == 3, end.pointee.rip &- 1 == HostLayout.stubs {
      end.pointee.vector = HostLayout.noVector
      end.pointee.rip = 0
    }
    end.pointee.ds = s.pointee.ds.selector
    end.pointee.es = s.pointee.es.selector
    end.pointee.fs = s.pointee.fs.selector
    end.pointee.gs = s.pointee.gs.selector
    end.pointee.fsBase = s.pointee.fs.base
    end.pointee.gsBase = s.pointee.gs.base
    end.controlWord = s.pointee.x87.controlWord
    end.statusWord = s.pointee.x87.statusWord | UInt16(s.pointee.x87.top) << 11
    end.tags = s.pointee.x87.valid
    end.mxcsr = s.pointee.mxcsr
    let top = Int(s.pointee.x87.top)
    withUnsafeMutablePointer(to: &s.pointee.x87.r0) { registers in
      for n in 0..<8 {
        let register = registers[(top + n) & 7]
        end.setST(n, register.significand, register.signExponent)
      }
    }
    (UnsafeMutableRawPointer(end) + HostLayout.ymm).copyMemory(from: cpu.vector(0), byteCount: 512)
  }
}
