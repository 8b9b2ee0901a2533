import Interpreter
import Platform
import Processor
import X86
import X86Decoder

/// A processor with little memory, all of it between guards: RAM from 0, ROM behind it, RAM below 4 GiB, and devices everywhere else.
final class FuzzMachine {
  static let ramSize = 256 << 10
  static let rom: UInt64 = 0x4_0000, romSize = 16 << 10
  static let high: UInt64 = 0xFFFF_C000, highSize = 16 << 10

  /// Answers that depend on the access and on how many there were before.
  final class Bus: ProcessorBus {
    unowned(unsafe) var machine: FuzzMachine?
    /// A hash of all accesses, with their order.
    var trail: UInt64 = 0
    /// The first access that should not have come here.
    var violation: String?
    var vectors: [UInt8] = []
    var taskPriority: UInt8 = 0

    private func note(_ kind: UInt64, _ address: UInt64, _ value: UInt64, _ size: Int) -> UInt64 {
      for word in [kind &<< 8 | UInt64(size), address, value] { trail = (trail ^ word) &* 0x100_0000_01B3 &+ (trail >> 29) }
      return trail &* 0x9E37_79B9_7F4A_7C15
    }

    private func check(_ address: UInt64, _ size: Int, write: Bool) {
      guard violation == nil else { return }
      if !(1...8 ~= size) || (address & 0xFFF) + UInt64(size) > 4096 {
        violation = "a device was asked for \(size) bytes at \(Hex.text(address, 10))"
      } else if let machine, machine.memory.pageWord(address) & PhysicalMemory.PageBits.readable != 0 {
        violation = "an access of \(size) bytes at \(Hex.text(address, 10)), which is memory, went to a device"
      }
    }

    func readPort(_ port: UInt16, size: Int) -> UInt32 { UInt32(truncatingIfNeeded: note(1, UInt64(port), 0, size) >> 16) }
    func writePort(_ port: UInt16, _ value: UInt32, size: Int) { _ = note(2, UInt64(port), UInt64(value), size) }
    func readDevice(_ address: UInt64, size: Int) -> UInt64 {
      check(address, size, write: false)
      let value = note(3, address, 0, size)
      return size >= 8 ? value : value & ((1 << UInt64(size * 8)) - 1)
    }
    func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {
      check(address, size, write: true)
      _ = note(4, address, value, size)
    }
    func acknowledgeInterrupt() -> UInt8? {
      let vector = vectors.isEmpty ? nil : vectors.removeFirst()
      machine?.virtual.setInterruptRequest(!vectors.isEmpty)
      return vector
    }
    func readAPICRegister(_ msr: UInt32) -> UInt64? { msr == 0x1B ? 0xFEE0_0900 : nil }
    func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { msr == 0x80B }
  }

  let memory = PhysicalMemory(limit: 1 << 32)
  let cache: CodeCache
  let bus = Bus()
  let virtual: VirtualCPU
  let model: CPUModel
  /// The state behind power-on: a reset leaves some of a processor as it was.
  private var powerOn: [UInt8] = []
  private let ram = GuardedMemory(size: ramSize)
  private let romMemory = GuardedMemory(size: romSize)
  private let highMemory = GuardedMemory(size: highSize)
  var cpu: CPU { virtual.cpu }
  var s: UnsafeMutablePointer<CPUState> { virtual.cpu.s }

  init(model: CPUModel) {
    self.model = model
    memory.map(ram.base, at: PhysicalAddress(0), size: UInt64(Self.ramSize), writable: true)
    memory.map(romMemory.base, at: PhysicalAddress(Self.rom), size: UInt64(Self.romSize), writable: false)
    memory.map(highMemory.base, at: PhysicalAddress(Self.high), size: UInt64(Self.highSize), writable: true)
    // The ROM is the same in every case: a write to it is a write outside memory.
    var random = FuzzRandom(seed: 1, number: 1)
    for n in 0..<Self.romSize / 8 { romMemory.base.storeBytes(of: random.next(), toByteOffset: n * 8, as: UInt64.self) }
    romMemory.makeReadOnly()
    cache = CodeCache(memory: memory)
    virtual = VirtualCPU(index: 0, memory: memory, model: model, codeCache: cache, bus: bus)
    bus.machine = self
    powerOn = state
  }

  /// All memory random, the processor reset.
  func clear(_ random: inout FuzzRandom) {
    cache.dropAll()
    for n in 0..<Self.ramSize / 8 { ram.base.storeBytes(of: random.next(), toByteOffset: n * 8, as: UInt64.self) }
    for n in 0..<Self.highSize / 8 { highMemory.base.storeBytes(of: random.next(), toByteOffset: n * 8, as: UInt64.self) }
    bus.trail = 0
    bus.violation = nil
    bus.vectors = []
    bus.taskPriority = 0
    virtual.reset()
    _ = restore(powerOn)
    virtual.setInterruptRequest(false)
    s.pointee.initPending = false
    s.pointee.retired = 0
    s.pointee.interruptShadow = .max
    s.pointee.tscOffset = 0
    s.pointee.zero = 0
  }

  /// Writes into RAM as a loader does, before anything runs.
  func put(_ address: UInt64, _ value: UInt64, size: Int = 8) {
    for n in 0..<size where address + UInt64(n) < UInt64(Self.ramSize) {
      ram.base.storeBytes(of: UInt8(truncatingIfNeeded: value >> UInt64(n * 8)), toByteOffset: Int(address) + n, as: UInt8.self)
    }
  }

  func put(_ address: UInt64, _ bytes: [UInt8]) {
    for (n, byte) in bytes.enumerated() { put(address + UInt64(n), UInt64(byte), size: 1) }
  }

  /// Everything architectural, for comparisons.
  var state: [UInt8] {
    var writer = StateWriter()
    virtual.save(to: &writer)
    return writer.bytes
  }

  func restore(_ bytes: [UInt8]) -> Bool {
    var reader = StateReader(bytes)
    do {
      try virtual.restore(from: &reader)
      return true
    } catch {
      return false
    }
  }

  /// What would be executed next.
  var place: String {
    let linear = s.pointee.codeSize == .bits64 ? s.pointee.rip : (s.pointee.cs.base &+ s.pointee.rip) & 0xFFFF_FFFF
    let head = "\(s.pointee.retired) \(Hex.text(UInt64(s.pointee.cs.selector), 4)):\(Hex.text(s.pointee.rip, 8)) CPL \(s.pointee.cpl) flags \(Hex.text(cpu.rflags(), 6))"
    var bytes: [UInt8] = []
    for n in 0..<15 as Range<UInt64> {
      guard let physical = cpu.translateForDebugger(linear &+ n), memory.pageWord(physical) != 0 else { break }
      bytes.append(UInt8(truncatingIfNeeded: cpu.readPhysical(physical, 1)))
    }
    guard !bytes.isEmpty else { return head + " (not in memory)" }
    let instruction = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: bytes.count, codeSize: s.pointee.codeSize) }
    let length = max(1, min(Int(instruction.length), bytes.count))
    return "\(head) \(Hex.dump(bytes[..<length]).padded(24)) \(Disassembler.text(of: instruction, at: s.pointee.rip))"
  }

  /// The first of the general registers, RIP, flags and count of instructions that another processor has otherwise.
  func registerDifference(from other: FuzzMachine) -> String? {
    func differ(_ name: String, _ a: UInt64, _ b: UInt64) -> String? { a == b ? nil : "\(name) is \(Hex.text(a, 16)), by steps \(Hex.text(b, 16))" }
    for n in 0..<16 as Range<UInt8> where cpu.gpr(n) != other.cpu.gpr(n) { return differ("register \(n)", cpu.gpr(n), other.cpu.gpr(n)) }
    return differ("RIP", s.pointee.rip, other.s.pointee.rip) ?? differ("RFLAGS", cpu.rflags(), other.cpu.rflags())
      ?? differ("CR2", s.pointee.cr2, other.s.pointee.cr2) ?? differ("DR6", s.pointee.dr6, other.s.pointee.dr6)
      ?? differ("the count of instructions", s.pointee.retired, other.s.pointee.retired)
  }

  /// Where page tables lie: entries, but for accessed and dirty bits, of which translations in use may be older.
  static let tables: Range<Int> = 0x2_0000..<0x2_6000
  private static let accessedAndDirty: UInt64 = 0x60_0000_0060

  /// Whether the walk begins in other memory.
  var usesOtherTables: Bool { s.pointee.cr0 & CR0.PG != 0 && !Self.tables.contains(Int(truncatingIfNeeded: s.pointee.cr3 & 0xFF_FFFF_F000)) }

  /// A hash of the page tables without accessed and dirty bits.
  var tablesHash: UInt64 {
    var hash: UInt64 = 0
    for n in stride(from: Self.tables.lowerBound, to: Self.tables.upperBound, by: 8) {
      hash = (hash ^ (ram.base.load(fromByteOffset: n, as: UInt64.self) & ~Self.accessedAndDirty)) &* 0x100_0000_01B3 &+ (hash >> 29)
    }
    return hash
  }

  /// First words of RAM in which two machines differ, but for accessed and dirty bits.
  func difference(from other: FuzzMachine) -> String? {
    for (mine, others, base) in [(ram, other.ram, UInt64(0)), (highMemory, other.highMemory, Self.high)] {
      for n in stride(from: 0, to: mine.size, by: 8) {
        let a = mine.base.load(fromByteOffset: n, as: UInt64.self), b = others.base.load(fromByteOffset: n, as: UInt64.self)
        if a == b || (base == 0 && Self.tables.contains(n) && (a ^ b) & ~Self.accessedAndDirty == 0) { continue }
        return "memory at \(Hex.text(base + UInt64(n), 8)) is \(Hex.text(a, 16)), by steps \(Hex.text(b, 16))"
      }
    }
    return nil
  }

  /// What holds for every processor at every instruction boundary; nil if it does.
  var brokenInvariant: String? {
    let p = s.pointee
    let (cr0, efer) = (p.cr0, p.efer)
    if let violation = bus.violation { return violation }
    if p.zero != 0 { return "the constant zero register holds \(Hex.text(p.zero, 16))" }
    if p.cpl > 3 { return "CPL is \(p.cpl)" }
    if p.systemFlags & RFLAGS.status != 0 || p.systemFlags & 2 == 0 || p.systemFlags & ~0x3F_7702 != 0 {
      return "the system flags are \(Hex.text(p.systemFlags, 8))"
    }
    if cr0 & CR0.PG != 0, cr0 & CR0.PE == 0 { return "paging is on in real mode" }
    if cr0 & CR0.NW != 0, cr0 & CR0.CD == 0 { return "CR0.NW is set without CD" }
    if cr0 & CR0.PE == 0, p.cpl != 0 { return "CPL is \(p.cpl) in real mode" }
    if p.v86, p.cpl != 3 { return "CPL is \(p.cpl) in virtual-8086 mode" }
    if (efer & EFER.LMA != 0) != (efer & EFER.LME != 0 && cr0 & CR0.PG != 0) { return "EFER is \(Hex.text(efer, 4)), CR0 \(Hex.text(cr0, 8))" }
    if efer & EFER.LMA != 0, p.cr4 & CR4.PAE == 0 { return "long mode without PAE" }
    if p.x87.top > 7 { return "the x87 TOP is \(p.x87.top)" }
    if p.mxcsr & 0xFFFF_0000 != 0 { return "MXCSR is \(Hex.text(UInt64(p.mxcsr), 8))" }
    if p.xcr0 & 1 == 0 { return "XCR0 is \(p.xcr0)" }
    if p.codeSize == .bits64 {
      if efer & EFER.LMA == 0 { return "64-bit code outside long mode" }
    } else if p.rip > 0xFFFF_FFFF {
      return "RIP is \(Hex.text(p.rip, 16)) outside 64-bit mode"
    }
    return nil
  }
}
