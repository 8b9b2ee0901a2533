import Interpreter
import Platform
import Processor
import X86
import X86Decoder

/// The core with flat memory, put into the state of one test after the other.
///
/// A test costs what it touches: its bytes of memory are written before and cleared behind it. What a test changes beside them is found
/// at the end of a file by `residue`.
final class MOOCore {
  /// How instructions are executed.
  enum Engine: String, CaseIterable, Sendable {
    /// Decoded blocks and fast handlers, as guests run.
    case blocks
    /// One after the other by the generic functions.
    case steps
  }

  enum End: Equatable { case halted, shutdown, endless }

  /// Ports and absent memory answer with ones.
  private final class Bus: ProcessorBus {
    func readPort(_ port: UInt16, size: Int) -> UInt32 { size == 4 ? ~0 : (1 << UInt32(size * 8)) - 1 }
    func writePort(_ port: UInt16, _ value: UInt32, size: Int) {}
    func readDevice(_ address: UInt64, size: Int) -> UInt64 { ~0 }
    func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {}
    func acknowledgeInterrupt() -> UInt8? { nil }
    var taskPriority: UInt8 = 0
    func readAPICRegister(_ msr: UInt32) -> UInt64? { nil }
    func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { false }
  }

  /// All that real mode reaches, and what the 80286 and 386EX of the sets address.
  private static let memorySize = 16 << 20
  /// Real mode ends at 10FFEF.
  private static let reachable = 0x11_0000
  /// A REP of 65,535 iterations, and the way to the HLT.
  private static let longest: UInt64 = 70_000

  private let memory: PhysicalMemory
  private let ram: UnsafeMutablePointer<UInt8>
  private let bus = Bus()
  private let virtual: VirtualCPU
  private let processor: MOOProcessor
  private let engine: Engine
  var cpu: CPU { virtual.cpu }

  init(processor: MOOProcessor, engine: Engine) {
    memory = PhysicalMemory(limit: UInt64(Self.memorySize))
    ram = memory.addMemory(at: PhysicalAddress(0), size: UInt64(Self.memorySize)).assumingMemoryBound(to: UInt8.self)
    virtual = VirtualCPU(index: 0, memory: memory, model: .i386, codeCache: CodeCache(memory: memory), bus: bus)
    self.processor = processor
    self.engine = engine
    // The 8086 has twenty address lines.
    if processor == .i8086 { virtual.a20Enabled = false }
  }

  // MARK: State

  /// Bits of a register that can be loaded and compared.
  private func meaningful(_ register: MOORegister) -> UInt32 {
    switch register {
    // PG, TS, EM, MP, PE: the other bits of a 386 are undefined, or say that there is a coprocessor.
    case .cr0: 0x8000_000F
    case .cr3: 0xFFFF_F000
    case .eflags: processor == .i80386 ? 0x7FD5 : 0xFD5
    case .dr6: 0xE00F
    // Bit 10 reads as one since the 486.
    case .dr7: 0xFFFF_23FF
    case .cs, .ds, .es, .fs, .gs, .ss: 0xFFFF
    default: processor == .i80386 ? 0xFFFF_FFFF : 0xFFFF
    }
  }

  private func put(_ address: UInt32, _ value: UInt8) {
    memory.write(UInt64(address), UInt64(value), size: 1)
  }

  private func get(_ address: UInt32) -> UInt8 {
    Int(address) < Self.memorySize ? ram[Int(address)] : 0xFF
  }

  /// Address of an entry of the interrupt vector table.
  private static func entry(_ vector: UInt8) -> UInt32 { UInt32(vector) * 4 }

  private func load(_ test: MOOTest, stackFaultAsGeneral: Bool) {
    for byte in test.initial.memory { put(byte.address, byte.value) }
    if stackFaultAsGeneral {
      for n in 0..<4 as Range<UInt32> { put(Self.entry(12) + n, get(Self.entry(13) + n)) }
    }
    let r = test.initial.registers
    let s = cpu.s
    virtual.reset()
    s.pointee.interruptRequest = false
    s.pointee.rax = UInt64(r[.eax])
    s.pointee.rcx = UInt64(r[.ecx])
    s.pointee.rdx = UInt64(r[.edx])
    s.pointee.rbx = UInt64(r[.ebx])
    s.pointee.rsp = UInt64(r[.esp])
    s.pointee.rbp = UInt64(r[.ebp])
    s.pointee.rsi = UInt64(r[.esi])
    s.pointee.rdi = UInt64(r[.edi])
    s.pointee.rip = UInt64(r[.eip])
    for (segment, register) in Self.segments {
      let selector = UInt16(truncatingIfNeeded: r[register])
      cpu.segment(segment).pointee.selector = selector
      cpu.segment(segment).pointee.base = UInt64(selector) << 4
    }
    let flags = UInt64(r[.eflags] & meaningful(.eflags))
    cpu.setStatusFlags(flags)
    s.pointee.systemFlags = flags & 0x7700 | 2
    s.pointee.idtr.limit = 0x3FF
    s.pointee.cr0 = UInt64(r[.cr0] & meaningful(.cr0)) & ~(CR0.PE | CR0.PG) | CR0.ET
    s.pointee.cr3 = UInt64(r[.cr3] & meaningful(.cr3))
    s.pointee.dr6 |= UInt64(r[.dr6] & meaningful(.dr6))
    if r[.dr7] & meaningful(.dr7) != 0 { cpu.setDebugRegister(7, UInt64(r[.dr7] & meaningful(.dr7))) }
    cpu.updateMode()
    cpu.modeChanged()
    s.pointee.exitRequest = 0
  }

  private static let segments: [(SegmentRegister, MOORegister)] = [
    (.es, .es), (.cs, .cs), (.ss, .ss), (.ds, .ds), (.fs, .fs), (.gs, .gs),
  ]

  private func value(_ register: MOORegister) -> UInt32 {
    let s = cpu.s
    return switch register {
    case .cr0: UInt32(truncatingIfNeeded: s.pointee.cr0)
    case .cr3: UInt32(truncatingIfNeeded: s.pointee.cr3)
    case .eax: UInt32(truncatingIfNeeded: s.pointee.rax)
    case .ebx: UInt32(truncatingIfNeeded: s.pointee.rbx)
    case .ecx: UInt32(truncatingIfNeeded: s.pointee.rcx)
    case .edx: UInt32(truncatingIfNeeded: s.pointee.rdx)
    case .esi: UInt32(truncatingIfNeeded: s.pointee.rsi)
    case .edi: UInt32(truncatingIfNeeded: s.pointee.rdi)
    case .ebp: UInt32(truncatingIfNeeded: s.pointee.rbp)
    case .esp: UInt32(truncatingIfNeeded: s.pointee.rsp)
    case .cs: UInt32(s.pointee.cs.selector)
    case .ds: UInt32(s.pointee.ds.selector)
    case .es: UInt32(s.pointee.es.selector)
    case .fs: UInt32(s.pointee.fs.selector)
    case .gs: UInt32(s.pointee.gs.selector)
    case .ss: UInt32(s.pointee.ss.selector)
    case .eip: UInt32(truncatingIfNeeded: s.pointee.rip)
    case .eflags: UInt32(truncatingIfNeeded: cpu.rflags())
    case .dr6: UInt32(truncatingIfNeeded: s.pointee.dr6)
    case .dr7: UInt32(truncatingIfNeeded: s.pointee.dr7)
    }
  }

  // MARK: Running

  private func execute(_ test: MOOCase) -> End {
    let s = cpu.s
    if !processor.endsWithHalt {
      // One instruction; a repeated one is through when IP moves.
      let rip = s.pointee.rip
      let mayStay = test.isString && test.isRepeated
      for _ in 0..<Self.longest {
        _ = virtual.runBySteps(instructions: 1)
        if !mayStay || s.pointee.rip != rip { return .halted }
      }
      return .endless
    }
    let reason = engine == .blocks ? virtual.run(instructions: Self.longest) : virtual.runBySteps(instructions: Self.longest)
    switch reason {
    case .halted: return .halted
    case .shutdown: return .shutdown
    default: return .endless
    }
  }

  /// The vector of the last exception that was delivered.
  private var lastVector: UInt8? { cpu.environment.faultLog.recent.last?.vector }

  /// What differs from what the test expects; empty for a test that passes.
  ///
  /// - Parameters:
  ///   - definedFlags: bits of FLAGS that the instruction defines.
  ///   - effects: of the rules that apply.
  func run(_ test: MOOCase, definedFlags: UInt32, effects: [MOORule.Effect], masks: MOORegisters?) -> [MOODifference] {
    var stackFault = false, faultOnly = false, storedFlags = false
    var ignored: UInt32 = 0
    var flags = definedFlags
    for effect in effects {
      switch effect {
      case .skip: break
      case .stackFault: stackFault = true
      case .faultOnly: faultOnly = true
      case .storedFlags: storedFlags = true
      case .ignore(let registers, let bits):
        for register in registers { ignored |= 1 << UInt32(register.rawValue) }
        flags &= ~bits
      }
    }
    for masks in [masks, test.test.final.masks] {
      if let masks, masks.has(.eflags) { flags &= masks[.eflags] }
    }
    load(test.test, stackFaultAsGeneral: stackFault)
    let faults = cpu.environment.faultLog.count
    let end = execute(test)
    var differences: [MOODifference] = []
    if end != .halted {
      differences.append(MOODifference(what: "end", before: nil, expected: "HLT", got: end == .shutdown ? "shutdown" : "none"))
    }
    if stackFault || faultOnly {
      let got = cpu.environment.faultLog.count > faults ? lastVector : nil
      let expected = stackFault ? 12 : test.test.exception
      if got != expected { differences.append(MOODifference(what: "vector", before: nil, expected: expected.map { "\($0)" } ?? "none", got: got.map { "\($0)" } ?? "none")) }
    }
    if faultOnly { ignored |= ~(1 << UInt32(MOORegister.cs.rawValue) | 1 << UInt32(MOORegister.eip.rawValue)) }
    compareRegisters(test.test, ignored: ignored, flags: flags, masks: masks, &differences)
    if faultOnly {
      compareReturnAddress(test.test, &differences)
    } else {
      compareMemory(test, storedFlags: storedFlags, flags: flags, &differences)
    }
    clear(test.test, stackFault)
    // The frame may lie elsewhere than the test's, and other bytes may have been written before the fault.
    if faultOnly { for address in stack(0..<6) { clear(address) } }
    return differences
  }

  private func compareRegisters(
    _ test: MOOTest, ignored: UInt32, flags: UInt32, masks: MOORegisters?, _ differences: inout [MOODifference]
  ) {
    for register in MOORegister.allCases where test.initial.registers.has(register) && ignored >> UInt32(register.rawValue) & 1 == 0 {
      var mask = meaningful(register)
      if register == .eflags { mask &= flags }
      if let masks, masks.has(register) { mask &= masks[register] }
      if let masks = test.final.masks, masks.has(register) { mask &= masks[register] }
      let expected = test.expected(register), got = value(register)
      if (expected ^ got) & mask != 0 {
        differences.append(MOODifference(
          register: register, wide: processor == .i80386, before: test.initial.registers[register], expected: expected, got: got, mask: mask))
      }
    }
    for (segment, register) in Self.segments where cpu.segment(segment).pointee.base != UInt64(value(register)) << 4 {
      differences.append(MOODifference(what: "\(register) base", before: nil, expected: Hex.text(UInt64(value(register)) << 4, 5),
                                       got: Hex.text(cpu.segment(segment).pointee.base, 5)))
    }
  }

  /// Addresses of the stack's top bytes.
  private func stack(_ bytes: Range<UInt32>) -> [UInt32] {
    let base = UInt32(truncatingIfNeeded: cpu.s.pointee.ss.base), sp = UInt32(truncatingIfNeeded: cpu.s.pointee.rsp)
    return bytes.map { (base &+ ((sp &+ $0) & 0xFFFF)) & UInt32(truncatingIfNeeded: cpu.s.pointee.a20Mask) }
  }

  /// A fault returns to the instruction that raised it.
  private func compareReturnAddress(_ test: MOOTest, _ differences: inout [MOODifference]) {
    let ip = test.initial.registers[.eip], cs = test.initial.registers[.cs]
    for (address, expected) in zip(stack(0..<4), [ip, ip >> 8, cs, cs >> 8]) where get(address) != UInt8(truncatingIfNeeded: expected) {
      differences.append(MOODifference(memory: address, before: nil, expected: UInt8(truncatingIfNeeded: expected), got: get(address)))
    }
  }

  private func compareMemory(_ subject: MOOCase, storedFlags: Bool, flags: UInt32, _ differences: inout [MOODifference]) {
    let test = subject.test
    // The word of FLAGS on the stack, of which bits may be undefined: the frame of an exception is IP, CS, FLAGS.
    var image: [UInt32] = []
    var imageMask = flags & meaningful(.eflags)
    if storedFlags {
      image = subject.opcode == 0x9C ? stack(0..<2) : stack(4..<6)
      imageMask = 0xFFF
    } else if test.exception != nil {
      image = stack(4..<6)
    }
    for byte in test.final.memory {
      let got = get(byte.address)
      if got == byte.value { continue }
      if image.first == byte.address, (got ^ byte.value) & UInt8(truncatingIfNeeded: imageMask) == 0 { continue }
      if image.last == byte.address, (got ^ byte.value) & UInt8(truncatingIfNeeded: imageMask >> 8) == 0 { continue }
      differences.append(MOODifference(
        memory: byte.address, before: test.initial.memory.last { $0.address == byte.address }?.value, expected: byte.value, got: got))
    }
    // What the instruction is not to change.
    for byte in test.initial.memory where get(byte.address) != byte.value {
      if test.final.memory.contains(where: { $0.address == byte.address }) { continue }
      if test.initial.memory.contains(where: { $0.address == byte.address && $0.value != byte.value }) { continue }
      differences.append(MOODifference(memory: byte.address, before: byte.value, expected: byte.value, got: get(byte.address)))
    }
  }

  private func clear(_ test: MOOTest, _ stackFault: Bool) {
    for byte in test.initial.memory { clear(byte.address) }
    for byte in test.final.memory { clear(byte.address) }
    if stackFault { for n in 0..<4 as Range<UInt32> { put(Self.entry(12) + n, 0) } }
  }

  private func clear(_ address: UInt32) {
    put(address, 0)
    // The next test begins with empty TLBs; without the mark nobody searches them when it runs code on this page.
    if Int(address) < Self.memorySize { memory.pageTable[Int(address) >> 12] &= ~PhysicalMemory.PageBits.cachedForWriting }
  }

  /// Bytes that are not zero although every test has cleared its own: writes that no test expects. Clears them.
  func residue() -> [MOOByte] {
    var found: [MOOByte] = []
    let words = UnsafeMutableRawPointer(ram).assumingMemoryBound(to: UInt64.self)
    for n in 0..<Self.reachable / 8 where words[n] != 0 {
      for k in 0..<8 where ram[n * 8 + k] != 0 { found.append(MOOByte(address: UInt32(n * 8 + k), value: ram[n * 8 + k])) }
      memory.write(UInt64(n * 8), 0, size: 8)
    }
    return found
  }
}
