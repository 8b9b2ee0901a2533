import Platform
import X86
import X86Decoder

@testable import Processor

/// A processor with 16 MiB of RAM that executes one instruction after the other through the generic functions, and helpers that build
/// descriptor tables, task-state segments and page tables in the guest's memory.
final class SystemTestMachine: ProcessorBus {
  let memory: PhysicalMemory
  let environment: ProcessorEnvironment
  let cpu: CPU
  var s: UnsafeMutablePointer<CPUState> { cpu.s }

  // What the bus saw.
  var portReads: [(port: UInt16, size: Int)] = []
  var portWrites: [(port: UInt16, value: UInt32, size: Int)] = []
  var portValue: UInt32 = 0xFFFF_FFFF
  var taskPriority: UInt8 = 0
  var apicBase: UInt64 = 0xFEE0_0900
  var x2APICWrites: [UInt32] = []

  func readPort(_ port: UInt16, size: Int) -> UInt32 {
    portReads.append((port, size))
    return portValue
  }
  func writePort(_ port: UInt16, _ value: UInt32, size: Int) { portWrites.append((port, value, size)) }
  func readDevice(_ address: UInt64, size: Int) -> UInt64 { ~0 }
  func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {}
  func acknowledgeInterrupt() -> UInt8? { nil }
  func readAPICRegister(_ msr: UInt32) -> UInt64? { msr == 0x1B ? apicBase : nil }
  func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool {
    if msr == 0x80B { x2APICWrites.append(msr) }
    if msr != 0x1B { return msr == 0x80B }
    apicBase = value
    return true
  }

  private final class NoBus: ProcessorBus {
    func readPort(_ port: UInt16, size: Int) -> UInt32 { 0 }
    func writePort(_ port: UInt16, _ value: UInt32, size: Int) {}
    func readDevice(_ address: UInt64, size: Int) -> UInt64 { 0 }
    func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {}
    func acknowledgeInterrupt() -> UInt8? { nil }
    var taskPriority: UInt8 = 0
    func readAPICRegister(_ msr: UInt32) -> UInt64? { nil }
    func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { false }
  }
  private let noBus = NoBus()

  init(model: CPUModel = .x86_64v3) {
    memory = PhysicalMemory(limit: 1 << 36)
    memory.addMemory(at: PhysicalAddress(0), size: 16 << 20)
    environment = ProcessorEnvironment(
      memory: memory, model: model, codeCache: CodeCache(memory: memory), bus: noBus)
    cpu = CPU.make(environment, index: 0)
    environment.bus = self
    cpu.reset(isINIT: false)
    s.pointee.cr0 &= ~(CR0.CD | CR0.NW)
    s.pointee.budget = 1000
  }

  deinit { cpu.destroy() }

  // MARK: Memory

  func put8(_ a: UInt64, _ v: UInt8) { memory.write(a, UInt64(v), size: 1) }
  func put16(_ a: UInt64, _ v: UInt16) { memory.write(a, UInt64(v), size: 2) }
  func put32(_ a: UInt64, _ v: UInt32) { memory.write(a, UInt64(v), size: 4) }
  func put64(_ a: UInt64, _ v: UInt64) { memory.write(a, v, size: 8) }
  func get8(_ a: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: memory.read(a, size: 1)) }
  func get16(_ a: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: memory.read(a, size: 2)) }
  func get32(_ a: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: memory.read(a, size: 4)) }
  func get64(_ a: UInt64) -> UInt64 { memory.read(a, size: 8) }

  // MARK: Execution

  /// What the last `run` did.
  enum Outcome: Equatable {
    case done
    /// The instruction raised this, and it was delivered.
    case fault(UInt8, UInt32?)
  }

  /// Executes one instruction at CS:RIP as the dispatcher does, after putting it there.
  @discardableResult
  func run(_ bytes: UInt8...) -> Outcome {
    let linear = cpu.is64Bit ? s.pointee.rip : (s.pointee.cs.base &+ s.pointee.rip) & 0xFFFF_FFFF
    for (n, b) in bytes.enumerated() {
      if let a = cpu.translateForDebugger(linear &+ UInt64(n)) { put8(a, b) }
    }
    var i = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: $0.count, codeSize: s.pointee.codeSize) }
    cpu.admit(&i)
    let singleStep = s.pointee.systemFlags & RFLAGS.TF != 0
    s.pointee.retireWeight = 1
    s.pointee.exitRequest = 0
    s.pointee.nextRIP = s.pointee.rip &+ UInt64(i.length)
    do throws(Fault) {
      try cpu.execute(i)
    } catch {
      cpu.deliver(error)
      return .fault(error.vector, error.hasErrorCode ? error.errorCode : nil)
    }
    s.pointee.rip = s.pointee.nextRIP
    s.pointee.retired &+= s.pointee.retireWeight
    _ = cpu.deliverDebugTraps(singleStep: singleStep)
    return .done
  }

  /// The fault that a closure throws, or nil.
  func fault(_ body: (CPU) throws(Fault) -> Void) -> Fault? {
    do throws(Fault) {
      try body(cpu)
      return nil
    } catch {
      return error
    }
  }

  // MARK: Tables

  static let gdt: UInt64 = 0x1000
  static let idt: UInt64 = 0x2000
  static let tss: UInt64 = 0x4000
  static let handlers: UInt64 = 0x10_0000

  static func descriptor(base: UInt32 = 0, limit: UInt32 = 0xFFFFF, access: UInt8, flags: UInt8) -> UInt64 {
    var d = UInt64(limit & 0xFFFF) | UInt64(base & 0xFF_FFFF) << 16 | UInt64(access) << 40
    d |= UInt64(limit >> 16 & 0xF) << 48 | UInt64(flags & 0xF) << 52 | UInt64(base >> 24) << 56
    return d
  }

  static func gate(selector: UInt16, offset: UInt32, access: UInt8, parameters: UInt8 = 0) -> UInt64 {
    UInt64(offset & 0xFFFF) | UInt64(selector) << 16 | UInt64(parameters) << 32 | UInt64(access) << 40 | UInt64(offset >> 16) << 48
  }

  func setDescriptor(_ selector: UInt16, _ d: UInt64) { put64(Self.gdt + UInt64(selector & 0xFFF8), d) }
  func setGate(_ vector: UInt8, _ d: UInt64) { put64(Self.idt + UInt64(vector) * 8, d) }
  func setGate64(_ vector: UInt8, selector: UInt16, offset: UInt64, access: UInt8, ist: UInt8 = 0) {
    put64(Self.idt + UInt64(vector) * 16,
          Self.gate(selector: selector, offset: UInt32(truncatingIfNeeded: offset), access: access, parameters: ist))
    put64(Self.idt + UInt64(vector) * 16 + 8, offset >> 32)
  }

  /// Selectors of the flat tables that `enterProtected` and `enterLong` build.
  static let code0: UInt16 = 0x08, data0: UInt16 = 0x10, code3: UInt16 = 0x1B, data3: UInt16 = 0x23
  static let taskSelector: UInt16 = 0x28
  static let code1: UInt16 = 0x41, data1: UInt16 = 0x49, conforming0: UInt16 = 0x50
  static let code16: UInt16 = 0x58
  static let freeSelector: UInt16 = 0x60

  private func loadFlat(_ reg: SegmentRegister, _ selector: UInt16) {
    let d = Descriptor(get64(Self.gdt + UInt64(selector & 0xFFF8)))
    cpu.segment(reg).pointee = d.cache(selector: selector)
  }

  /// Flat 32-bit protected mode at privilege `cpl`, with a TSS whose ring-0 stack is at 80000h, and an IDT of 32-bit interrupt gates
  /// to `handlers` + 16 · vector, all with DPL 0 but vectors 80h and up.
  func enterProtected(cpl: UInt8 = 0) {
    setDescriptor(0x08, Self.descriptor(access: 0x9B, flags: 0xC))
    setDescriptor(0x10, Self.descriptor(access: 0x93, flags: 0xC))
    setDescriptor(0x18, Self.descriptor(access: 0xFB, flags: 0xC))
    setDescriptor(0x20, Self.descriptor(access: 0xF3, flags: 0xC))
    setDescriptor(0x28, Self.descriptor(base: UInt32(Self.tss), limit: 0x20FF, access: 0x8B, flags: 0))
    setDescriptor(0x40, Self.descriptor(access: 0xBB, flags: 0xC))
    setDescriptor(0x48, Self.descriptor(access: 0xB3, flags: 0xC))
    setDescriptor(0x50, Self.descriptor(access: 0x9F, flags: 0xC))
    setDescriptor(0x58, Self.descriptor(limit: 0xFFFF, access: 0x9B, flags: 0))
    put32(Self.tss + 4, 0x8_0000)
    put16(Self.tss + 8, Self.data0)
    put32(Self.tss + 12, 0x7_0000)
    put16(Self.tss + 16, Self.data1)
    put16(Self.tss + 102, 0x88)
    for v in 0..<256 {
      setGate(UInt8(v), Self.gate(selector: Self.code0, offset: UInt32(Self.handlers) + UInt32(v) * 16, access: v < 0x80 ? 0x8E : 0xEE))
    }
    s.pointee.cr0 = CR0.PE | CR0.ET | CR0.NE
    finish(cpl)
  }

  private func finish(_ cpl: UInt8) {
    s.pointee.gdtr.base = Self.gdt
    s.pointee.gdtr.limit = 0xFF
    s.pointee.idtr.base = Self.idt
    s.pointee.idtr.limit = s.pointee.efer & EFER.LMA != 0 ? 0xFFF : 0x7FF
    s.pointee.cpl = cpl
    loadFlat(.cs, cpl == 3 ? Self.code3 : cpl == 1 ? Self.code1 : Self.code0)
    let data = cpl == 3 ? Self.data3 : cpl == 1 ? Self.data1 : Self.data0
    for reg in SegmentRegister.allCases where reg != .cs { loadFlat(reg, data) }
    loadFlat(.ss, data)
    let d = Descriptor(get64(Self.gdt + 0x28))
    s.pointee.tr = d.cache(selector: Self.taskSelector)
    s.pointee.rip = 0x9000
    s.pointee.rsp = 0x6_0000
    cpu.updateMode()
  }

  static let pml4: UInt64 = 0x20_0000

  /// 64-bit mode; the first 16 MiB are mapped by 2 MiB pages that user and supervisor may write, with tables at 200000h, 201000h, 202000h.
  func enterLong(cpl: UInt8 = 0) {
    enterProtected()
    setDescriptor(0x08, Self.descriptor(access: 0x9B, flags: 0xA))
    setDescriptor(0x18, Self.descriptor(access: 0xFB, flags: 0xA))
    setDescriptor(0x40, Self.descriptor(access: 0xBB, flags: 0xA))
    setDescriptor(0x50, Self.descriptor(access: 0x9F, flags: 0xA))
    put64(Self.tss + 4, 0x8_0000)
    put64(Self.tss + 36, 0x9_0008)
    for v in 0..<256 {
      setGate64(UInt8(v), selector: Self.code0, offset: Self.handlers + UInt64(v) * 16, access: v < 0x80 ? 0x8E : 0xEE)
    }
    put64(Self.pml4, (Self.pml4 + 0x1000) | 7)
    put64(Self.pml4 + 0x1000, (Self.pml4 + 0x2000) | 7)
    for n in 0..<8 as Range<UInt64> { put64(Self.pml4 + 0x2000 + n * 8, n << 21 | 0x87) }
    s.pointee.cr3 = Self.pml4
    s.pointee.cr4 = CR4.PAE
    s.pointee.efer = EFER.LME | EFER.LMA | EFER.NXE | EFER.SCE
    s.pointee.cr0 = CR0.PE | CR0.ET | CR0.NE | CR0.PG | CR0.WP
    finish(cpl)
    cpu.flushTLB(keepGlobal: false)
  }

  /// 16-bit real mode at 0:9000h with a vector table at 0 whose entries lead to 0:A000h + vector.
  func enterReal() {
    for v in 0..<256 as Range<UInt64> { put32(v * 4, UInt32(0xA000 + v)) }
    for reg in SegmentRegister.allCases {
      var c = SegmentCache()
      c.attributes = 0x93
      cpu.segment(reg).pointee = c
    }
    s.pointee.idtr.base = 0
    s.pointee.idtr.limit = 0x3FF
    s.pointee.rip = 0x9000
    s.pointee.rsp = 0x8000
    cpu.updateMode()
  }

  /// The double words on top of the stack, lowest address first.
  func stack32(_ count: Int) -> [UInt32] {
    (0..<count).map { get32((s.pointee.ss.base &+ s.pointee.rsp &+ UInt64($0) * 4) & 0xFFFF_FFFF) }
  }

  func stack64(_ count: Int) -> [UInt64] { (0..<count).map { get64(s.pointee.rsp &+ UInt64($0) * 8) } }
}
