import Interpreter
import Processor
import X86Decoder

/// How the boot processor starts when no firmware runs: the mode a boot protocol promises its kernel.
public struct ProcessorEntry: Sendable {
  public enum Mode: Sendable {
    /// CS:IP after power-on, F000:FFF0.
    case reset
    /// Real mode, all segments but CS with this base/16.
    case real(cs: UInt16, ds: UInt16, ss: UInt16)
    /// Flat 32-bit protected mode, paging off; selectors of code and data in the GDT at `gdt`.
    case protected32(gdt: UInt64, code: UInt16, data: UInt16)
    /// 64-bit mode with the page tables at `pageTables`.
    case long64(gdt: UInt64, pageTables: UInt64, code: UInt16, data: UInt16)
  }

  public var mode: Mode
  public var instructionPointer: UInt64
  /// General registers by encoding number; the others are zero.
  public var registers: [UInt8: UInt64] = [:]

  public static let reset = ProcessorEntry(mode: .reset, instructionPointer: 0)

  public init(mode: Mode, instructionPointer: UInt64, registers: [UInt8: UInt64] = [:]) {
    self.mode = mode
    self.instructionPointer = instructionPointer
    self.registers = registers
  }

  /// Numbers of general registers in encoding order.
  enum Register {
    static let rax: UInt8 = 0, rcx: UInt8 = 1, rdx: UInt8 = 2, rbx: UInt8 = 3
    static let rsp: UInt8 = 4, rbp: UInt8 = 5, rsi: UInt8 = 6, rdi: UInt8 = 7
  }

  /// Descriptors of the boot GDT: null, unused, code at 10h, data at 18h, as Linux asks
  /// (Documentation/arch/x86/boot.rst, __BOOT_CS and __BOOT_DS); 64-bit code at 20h.
  static let bootGDT: [UInt64] = [0, 0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x00AF_9B00_0000_FFFF]
  static let code32: UInt16 = 0x10, data32: UInt16 = 0x18, code64: UInt16 = 0x10

  /// Brings a processor that was just reset into this state.
  func apply(to vcpu: VirtualCPU) {
    let cpu = vcpu.cpu
    let s = cpu.s
    if case .reset = mode { return }
    for n in 0..<16 as Range<UInt8> { cpu.setGPR(n, registers[n] ?? 0) }
    s.pointee.rip = instructionPointer
    s.pointee.nextRIP = instructionPointer
    s.pointee.systemFlags = 2
    switch mode {
    case .reset: break
    case .real(let cs, let ds, let ss):
      s.pointee.cr0 = 0x10
      for register in SegmentRegister.allCases {
        let selector = register == .cs ? cs : register == .ss ? ss : ds
        var cache = SegmentCache()
        cache.selector = selector
        cache.base = UInt64(selector) << 4
        cpu.segment(register).pointee = cache
      }
      s.pointee.idtr.base = 0
      s.pointee.idtr.limit = 0x3FF
    case .protected32(let gdt, let code, let data):
      s.pointee.cr0 = 0x11
      loadFlat(cpu, gdt: gdt, code: code, data: data, codeAttributes: 0xC09B)
    case .long64(let gdt, let pageTables, let code, let data):
      s.pointee.cr3 = pageTables
      s.pointee.cr4 = 0x20
      s.pointee.efer = 0x500
      s.pointee.cr0 = 0x8000_0011
      loadFlat(cpu, gdt: gdt, code: code, data: data, codeAttributes: 0xA09B)
    }
    cpu.updateMode()
  }

  private func loadFlat(_ cpu: CPU, gdt: UInt64, code: UInt16, data: UInt16, codeAttributes: UInt16) {
    for register in SegmentRegister.allCases {
      var cache = SegmentCache()
      cache.selector = register == .cs ? code : data
      cache.base = 0
      cache.limit = 0xFFFF_FFFF
      cache.attributes = register == .cs ? codeAttributes : 0xC093
      cpu.segment(register).pointee = cache
    }
    cpu.s.pointee.gdtr.base = gdt
    cpu.s.pointee.gdtr.limit = UInt16(Self.bootGDT.count * 8 - 1)
    cpu.s.pointee.idtr.base = 0
    cpu.s.pointee.idtr.limit = 0
  }
}
