import Platform
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

/// Numbers that depend on the seed alone.
struct SeededGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func below(_ n: Int) -> Int { Int(next() >> 1) % n }
  mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next() >> 24) }
  mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
  mutating func pick<T>(_ from: [T]) -> T { from[below(from.count)] }
}

/// Ports and devices whose answers depend on the address only; what is asked of them, and when, goes into a hash.
final class TestBus: ProcessorBus {
  unowned(unsafe) var machine: TestMachine?
  private(set) var accesses: UInt64 = 0
  private(set) var hash: UInt64 = 0
  /// Vectors that INTR brings, in order; the line is high while there are any.
  var vectors: [UInt8] = []
  var taskPriority: UInt8 = 0
  /// Told of every write to a port.
  var onPortWrite: ((UInt16, UInt32) -> Void)?

  func clear() {
    accesses = 0
    hash = 0
    vectors = []
  }
  private func note(_ kind: UInt64, _ address: UInt64, _ value: UInt64, _ size: Int) {
    accesses &+= 1
    let time = machine?.cpu.s.pointee.retired ?? 0
    for word in [kind, address, value, UInt64(size), time] { hash = (hash ^ word) &* 0x100_0000_01B3 &+ (hash >> 29) }
  }
  func readPort(_ port: UInt16, size: Int) -> UInt32 {
    note(1, UInt64(port), 0, size)
    return UInt32(port) &* 0x0101_0101 ^ 0x5A
  }
  func writePort(_ port: UInt16, _ value: UInt32, size: Int) {
    note(2, UInt64(port), UInt64(value), size)
    onPortWrite?(port, value)
  }
  func readDevice(_ address: UInt64, size: Int) -> UInt64 {
    note(3, address, 0, size)
    return ~0
  }
  func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) { note(4, address, value, size) }
  func acknowledgeInterrupt() -> UInt8? {
    let vector = vectors.isEmpty ? nil : vectors.removeFirst()
    machine?.virtual.setInterruptRequest(!vectors.isEmpty)
    return vector
  }
  func readAPICRegister(_ msr: UInt32) -> UInt64? { nil }
  func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { false }
}

/// What a test runs in.
enum TestMode: CaseIterable, CustomStringConvertible {
  case real, flat32, segmented32, paged64, user64

  var codeSize: CodeSize {
    switch self {
    case .real: .bits16
    case .flat32, .segmented32: .bits32
    case .paged64, .user64: .bits64
    }
  }
  var description: String {
    switch self {
    case .real: "16-bit real mode"
    case .flat32: "32-bit flat"
    case .segmented32: "32-bit with segments"
    case .paged64: "64-bit, CPL 0"
    case .user64: "64-bit, CPL 3"
    }
  }
}

/// One processor with a megabyte of memory, tables for every mode, and a handler for every exception that counts it, puts stack and
/// segments right and goes on at the next of eight entries into the code under test.
final class TestMachine {
  static let memorySize = 1 << 20
  static let gdt: UInt64 = 0x1000, idt: UInt64 = 0x2000, tss: UInt64 = 0x4000, handler: UInt64 = 0x5000
  static let counter: UInt64 = 0x6000, entries: UInt64 = 0x6100
  /// Physical begin of the code under test, its data and the top of its stack.
  static let code: UInt64 = 0x10000, data: UInt64 = 0x14000, stackTop: UInt64 = 0x1C000
  static let pageTables: UInt64 = 0x80000
  /// Where paged modes see code and data a second time.
  static let alias: UInt64 = 0x10_0000

  let memory: PhysicalMemory
  let ram: UnsafeMutableRawPointer
  let cache: CodeCache
  let bus = TestBus()
  let virtual: VirtualCPU
  var cpu: CPU { virtual.cpu }
  var s: UnsafeMutablePointer<CPUState> { virtual.cpu.s }

  init(model: CPUModel = .x86_64v3) {
    memory = PhysicalMemory(limit: 1 << 32)
    ram = memory.addMemory(at: PhysicalAddress(0), size: UInt64(Self.memorySize))
    cache = CodeCache(memory: memory)
    virtual = VirtualCPU(index: 0, memory: memory, model: model, codeCache: cache, bus: bus)
    bus.machine = self
  }

  // MARK: Memory

  /// As a device or loader writes.
  func write(_ address: UInt64, _ bytes: [UInt8]) {
    _ = bytes.withUnsafeBytes { memory.load($0, at: address) }
  }
  func put16(_ a: UInt64, _ v: UInt16) { memory.write(a, UInt64(v), size: 2) }
  func put32(_ a: UInt64, _ v: UInt32) { memory.write(a, UInt64(v), size: 4) }
  func put64(_ a: UInt64, _ v: UInt64) { memory.write(a, v, size: 8) }
  func get32(_ a: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: memory.read(a, size: 4)) }
  func get64(_ a: UInt64) -> UInt64 { memory.read(a, size: 8) }
  var contents: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: ram, count: Self.memorySize) }

  // MARK: Modes

  private func descriptor(base: UInt64 = 0, limit: UInt64 = 0xFFFFF, access: UInt64, flags: UInt64) -> UInt64 {
    (limit & 0xFFFF) | (base & 0xFF_FFFF) << 16 | access << 40 | (limit >> 16) << 48 | flags << 52 | (base >> 24) << 56
  }

  private func load(_ reg: SegmentRegister, _ selector: UInt16) {
    cpu.segment(reg).pointee = Descriptor(get64(Self.gdt + UInt64(selector & 0xFFF8))).cache(selector: selector)
  }

  /// Puts memory and processor into the begin state of a mode, with RIP at the code under test.
  func prepare(_ mode: TestMode) {
    cache.dropAll()
    ram.initializeMemory(as: UInt8.self, repeating: 0, count: Self.memorySize)
    bus.clear()
    virtual.reset()
    virtual.setInterruptRequest(false)
    s.pointee.rdx = 0
    s.pointee.retired = 0
    s.pointee.tscOffset = 0
    s.pointee.initPending = false
    s.pointee.interruptShadow = .max
    s.pointee.cr0 = CR0.ET
    for reg in SegmentRegister.allCases { cpu.segment(reg).pointee = SegmentCache() }
    s.pointee.x87 = X87State()
    for n in 0..<16 as Range<UInt8> { cpu.vector(n).pointee = Vector256() }
    s.pointee.mxcsr = 0x1F80
    s.pointee.xcr0 = 7
    s.pointee.pkru = 0
    s.pointee.gdtr.base = Self.gdt
    s.pointee.gdtr.limit = 0x7F
    s.pointee.idtr.base = mode == .real ? 0 : Self.idt
    s.pointee.idtr.limit = mode == .real ? 0x3FF : mode.codeSize == .bits64 ? 0xFFF : 0x7FF
    switch mode {
    case .real: prepareReal()
    case .flat32, .segmented32: prepareProtected(mode)
    case .paged64, .user64: prepareLong(mode)
    }
    s.pointee.cr4 |= CR4.OSFXSR | CR4.OSXMMEXCPT | CR4.OSXSAVE
    cpu.updateMode()
    cpu.modeChanged()
    cpu.flushTLB(keepGlobal: false)
    s.pointee.exitRequest = 0
  }

  private func prepareReal() {
    for v in 0..<256 as Range<UInt64> { put32(v * 4, UInt32(Self.handler)) }
    write(Self.handler, [
      0x31, 0xC0, 0x8E, 0xD8,  // xor ax, ax; mov ds, ax
      0xFF, 0x06, 0x00, 0x60, 0x8B, 0x1E, 0x00, 0x60,  // inc word [6000h]; mov bx, [6000h]
      0xB8, 0x00, 0x18, 0x8E, 0xD0, 0xBC, 0x00, 0x40,  // mov ss, 1800h; mov sp, 4000h
      0xB8, 0x00, 0x14, 0x8E, 0xD8, 0x8E, 0xC0,  // mov ds, 1400h; mov es, ax
      0x83, 0xE3, 0x07, 0xC1, 0xE3, 0x02, 0x2E, 0xFF, 0xAF, 0x00, 0x61,  // jmp far cs:[bx * 4 + 6100h]
    ])
    func set(_ reg: SegmentRegister, _ selector: UInt16) {
      cpu.segment(reg).pointee.selector = selector
      cpu.segment(reg).pointee.base = UInt64(selector) << 4
    }
    set(.cs, 0x1000)
    set(.ds, 0x1400)
    set(.es, 0x1400)
    set(.ss, 0x1800)
    set(.fs, 0x1500)
    set(.gs, 0x1000)
    cpu.segment(.cs).pointee.attributes = 0x9B
    s.pointee.rsp = 0x4000
    s.pointee.rip = 0
  }

  private func prepareProtected(_ mode: TestMode) {
    put64(Self.gdt + 0x08, descriptor(access: 0x9B, flags: 0xC))
    put64(Self.gdt + 0x10, descriptor(access: 0x93, flags: 0xC))
    put64(Self.gdt + 0x18, descriptor(base: Self.code, limit: 0xFFFF, access: 0x9B, flags: 4))
    put64(Self.gdt + 0x20, descriptor(base: Self.data, limit: 0x5FFF, access: 0x93, flags: 4))
    put64(Self.gdt + 0x28, descriptor(base: 0x18000, limit: 0x4FFF, access: 0x93, flags: 4))
    put64(Self.gdt + 0x30, descriptor(base: Self.data + 8, limit: 0x7FFF, access: 0x93, flags: 4))
    // Expand-down: offsets 1000h and up.
    put64(Self.gdt + 0x38, descriptor(base: 0x13FF0, limit: 0xFFF, access: 0x97, flags: 4))
    // Read-only.
    put64(Self.gdt + 0x40, descriptor(base: Self.data, limit: 0x5FFF, access: 0x91, flags: 4))
    for v in 0..<256 as Range<UInt64> { put64(Self.idt + v * 8, Self.handler | 8 << 16 | 0x8E << 40) }
    s.pointee.cr0 = CR0.PE | CR0.ET | CR0.NE
    if mode == .flat32 {
      write(Self.handler, [
        0xB8, 0x10, 0, 0, 0, 0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0, 0x8E, 0xE0, 0x8E, 0xE8,  // mov eax, 10h; mov sregs, ax
        0xBC, 0x00, 0xC0, 0x01, 0x00, 0xFF, 0x05, 0x00, 0x60, 0, 0,  // mov esp, stackTop; inc dword [6000h]
        0x8B, 0x1D, 0x00, 0x60, 0, 0, 0x83, 0xE3, 0x07, 0xFF, 0x24, 0x9D, 0x00, 0x61, 0, 0,  // jmp [ebx * 4 + 6100h]
      ])
      load(.cs, 0x08)
      for reg in SegmentRegister.allCases where reg != .cs { load(reg, 0x10) }
      s.pointee.rip = Self.code
      s.pointee.rsp = Self.stackTop
    } else {
      write(Self.handler, [
        0xB8, 0x10, 0, 0, 0, 0x8E, 0xD8, 0xFF, 0x05, 0x00, 0x60, 0, 0, 0x8B, 0x1D, 0x00, 0x60, 0, 0, 0x83, 0xE3, 0x07,
        0xB8, 0x28, 0, 0, 0, 0x8E, 0xD0, 0xBC, 0x00, 0x40, 0, 0,  // mov ss, 28h; mov esp, 4000h
        0xB8, 0x20, 0, 0, 0, 0x8E, 0xD8, 0xB8, 0x30, 0, 0, 0, 0x8E, 0xC0,  // mov ds, 20h; mov es, 30h
        0x2E, 0xFF, 0x2C, 0xDD, 0x00, 0x61, 0, 0,  // jmp far cs:[ebx * 8 + 6100h]
      ])
      load(.cs, 0x18)
      load(.ds, 0x20)
      load(.ss, 0x28)
      load(.es, 0x30)
      load(.fs, 0x38)
      load(.gs, 0x40)
      s.pointee.rip = 0
      s.pointee.rsp = 0x4000
    }
  }

  /// Physical address of the page-table entry of a linear address below 2 MiB.
  static func entry(_ linear: UInt64) -> UInt64 { pageTables + 0x3000 + (linear >> 12) * 8 }

  private func prepareLong(_ mode: TestMode) {
    put64(Self.gdt + 0x08, descriptor(access: 0x9B, flags: 0xA))
    put64(Self.gdt + 0x10, descriptor(access: 0x93, flags: 0xC))
    put64(Self.gdt + 0x18, descriptor(access: 0xFB, flags: 0xA))
    put64(Self.gdt + 0x20, descriptor(access: 0xF3, flags: 0xC))
    put64(Self.gdt + 0x28, descriptor(base: Self.tss, limit: 0x67, access: 0x8B, flags: 0))
    put64(Self.tss + 4, 0x1F000)
    put64(Self.tss + 36, 0x1F000)
    for v in 0..<256 as Range<UInt64> {
      put64(Self.idt + v * 16, Self.handler | 8 << 16 | 1 << 32 | 0xEE << 40)
      put64(Self.idt + v * 16 + 8, 0)
    }
    let table = Self.pageTables
    put64(table, (table + 0x1000) | 7)
    put64(table + 0x1000, (table + 0x2000) | 7)
    put64(table + 0x2000, (table + 0x3000) | 7)
    // Identity for the first megabyte but for the tables; code and data again above it; one page read-only, one absent.
    for page in 0..<0x80 as Range<UInt64> { put64(table + 0x3000 + page * 8, page << 12 | 7) }
    for page in 0..<16 as Range<UInt64> { put64(Self.entry(Self.alias) + page * 8, (0x10 + page) << 12 | 7) }
    put64(Self.entry(0x16000), 0x16000 | 5)
    put64(Self.entry(0x17000), 0)
    s.pointee.cr3 = table
    s.pointee.cr4 = CR4.PAE
    s.pointee.efer = EFER.LME | EFER.LMA | EFER.NXE | EFER.SCE
    s.pointee.cr0 = CR0.PE | CR0.ET | CR0.NE | CR0.PG | CR0.WP
    let begin: [UInt8] = [0xFF, 0x04, 0x25, 0x00, 0x60, 0, 0, 0x8B, 0x1C, 0x25, 0x00, 0x60, 0, 0, 0x83, 0xE3, 0x07]
    if mode == .paged64 {
      write(Self.handler, [0xBC, 0x00, 0xC0, 0x01, 0x00] + begin + [0xFF, 0x24, 0xDD, 0x00, 0x61, 0, 0])
      load(.cs, 0x08)
      for reg in SegmentRegister.allCases where reg != .cs { load(reg, 0x10) }
    } else {
      // push SS, RSP, RFLAGS, CS, RIP; iretq
      write(Self.handler, [0xBC, 0x00, 0xE8, 0x01, 0x00] + begin + [
        0x6A, 0x23, 0x68, 0x00, 0xC0, 0x01, 0x00, 0x6A, 0x02, 0x6A, 0x1B, 0xFF, 0x34, 0xDD, 0x00, 0x61, 0, 0, 0x48, 0xCF,
      ])
      s.pointee.cpl = 3
      load(.cs, 0x1B)
      for reg in SegmentRegister.allCases where reg != .cs { load(reg, 0x23) }
    }
    s.pointee.fs.base = Self.data + 0x100
    s.pointee.gs.base = Self.code + 0x800
    s.pointee.tr = Descriptor(get64(Self.gdt + 0x28)).cache(selector: 0x28)
    s.pointee.rip = Self.code
    s.pointee.rsp = Self.stackTop
  }

  /// Where the handler of exceptions resumes: offsets in the code under test.
  func setEntries(_ offsets: [UInt64], _ mode: TestMode) {
    for (n, offset) in offsets.enumerated() {
      switch mode {
      case .real: put32(Self.entries + UInt64(n) * 4, 0x1000 << 16 | UInt32(offset))
      case .flat32: put32(Self.entries + UInt64(n) * 4, UInt32(Self.code + offset))
      case .segmented32: put64(Self.entries + UInt64(n) * 8, 0x18 << 32 | offset)
      case .paged64, .user64: put64(Self.entries + UInt64(n) * 8, Self.code + offset)
      }
    }
  }

  // MARK: Running

  /// Runs by blocks until `end` instructions are retired or the processor stops.
  @discardableResult
  func runBlocks(to end: UInt64) -> StopReason {
    s.pointee.retired >= end ? .budgetUsed : virtual.run(instructions: end - s.pointee.retired)
  }

  /// The same one instruction after the other, without any decoded block.
  func runSteps(to end: UInt64) {
    while s.pointee.retired < end, s.pointee.activity == .running {
      s.pointee.exitRequest = 0
      Step.one(cpu)
    }
  }

  /// Everything architectural.
  var state: [UInt8] {
    var writer = StateWriter()
    virtual.save(to: &writer)
    return writer.bytes
  }

  func restore(_ bytes: [UInt8]) throws {
    var reader = StateReader(bytes)
    try virtual.restore(from: &reader)
  }

  var flags: UInt64 { s.pointee.systemFlags | UInt64(cpu.statusFlags()) }

  /// For messages: what registers hold.
  var summary: String {
    func hex(_ v: UInt64) -> String { String(v, radix: 16) }
    let registers = (0..<16).map { "\($0):\(hex(cpu.gpr(UInt8($0))))" }.joined(separator: " ")
    return "rip \(hex(s.pointee.rip)) flags \(hex(flags)) retired \(s.pointee.retired) cr2 \(hex(s.pointee.cr2)) "
      + "activity \(s.pointee.activity) cs \(hex(UInt64(s.pointee.cs.selector))) ds \(hex(UInt64(s.pointee.ds.selector))) "
      + "ss \(hex(UInt64(s.pointee.ss.selector))) accesses \(bus.accesses) \(registers)"
  }

  /// Text of the instruction at CS:RIP.
  var currentInstruction: String {
    let linear = Fetch.linear(cpu, s.pointee.rip)
    guard let physical = cpu.translateForDebugger(linear), physical + 15 <= UInt64(Self.memorySize) else { return "?" }
    return listing(physical, count: 1, at: s.pointee.rip)
  }

  /// Disassembly of physical memory.
  func listing(_ physical: UInt64, count: Int, at address: UInt64) -> String {
    var text = ""
    var offset: UInt64 = 0
    for _ in 0..<count where physical + offset + 15 <= UInt64(Self.memorySize) {
      let i = Decoder.decode(ram + Int(physical + offset), available: 15, codeSize: s.pointee.codeSize)
      let length = max(UInt64(i.length), 1)
      let bytes = (0..<Int(length)).map { k -> String in
        let hex = String(ram.load(fromByteOffset: Int(physical + offset) + k, as: UInt8.self), radix: 16)
        return hex.count == 1 ? "0" + hex : hex
      }
      text += "\(String(address + offset, radix: 16)): \(bytes.joined(separator: " "))  "
        + Disassembler.text(of: i, at: address + offset) + "\n"
      offset += length
    }
    return text
  }
}
