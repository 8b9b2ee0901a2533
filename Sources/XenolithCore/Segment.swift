import Processor
import X86
import X86Decoder

/// A segment register with its hidden part (SDM vol. 3A §3.4.3).
public struct Segment: Equatable, Sendable {
  public var selector: UInt16
  public var base: UInt64
  /// In bytes: the last offset that is valid, or for expand-down segments the last that is not.
  public var limit: UInt32
  /// Bits 40–55 of the descriptor with the limit bits zero: type 0–3, S 4, DPL 5–6, P 7, AVL 12, L 13, D/B 14, G 15.
  public var attributes: UInt16
  /// False for what a null selector leaves.
  public var isUsable: Bool

  public init(selector: UInt16, base: UInt64, limit: UInt32, attributes: UInt16, isUsable: Bool = true) {
    self.selector = selector
    self.base = base
    self.limit = limit
    self.attributes = attributes
    self.isUsable = isUsable
  }

  /// As real-address mode loads it: the base is the selector times 16.
  public static func real(_ selector: UInt16, isCode: Bool = false) -> Segment {
    Segment(selector: selector, base: UInt64(selector) << 4, limit: 0xFFFF, attributes: isCode ? 0x9B : 0x93)
  }

  /// All 4 GiB of readable code of 16, 32 or 64 bits.
  public static func flatCode(selector: UInt16, bits: Int, privilege: Int = 0) -> Segment {
    let size: UInt16 = bits == 64 ? 0x2000 : bits == 32 ? 0x4000 : 0
    return Segment(selector: selector, base: 0, limit: .max, attributes: 0x809B | size | UInt16(privilege & 3) << 5)
  }

  /// All 4 GiB of writable data; as a stack its pointer has 32 bits, or 16.
  public static func flatData(selector: UInt16, privilege: Int = 0, isBig: Bool = true) -> Segment {
    Segment(selector: selector, base: 0, limit: .max, attributes: (isBig ? 0xC093 : 0x8093) | UInt16(privilege & 3) << 5)
  }
}

/// GDTR or IDTR.
public struct DescriptorTable: Equatable, Sendable {
  public var base: UInt64
  /// Last valid offset.
  public var limit: UInt16

  public init(base: UInt64, limit: UInt16) {
    self.base = base
    self.limit = limit
  }
}

extension Core {
  /// A segment register with everything in it. Setting it looks at no descriptor table; setting SS in protected mode sets CPL to its DPL, as it is on
  /// a processor.
  public subscript(segment register: SegmentRegister) -> Segment {
    get { Self.segment(cpu.segment(register).pointee) }
    set {
      cpu.segment(register).pointee = Self.cache(newValue)
      if register == .ss, cpu.s.pointee.protectedMode { cpu.s.pointee.cpl = UInt8(newValue.attributes >> 5 & 3) }
      settle()
    }
  }

  /// LDTR.
  public var ldtr: Segment {
    get { Self.segment(cpu.s.pointee.ldtr) }
    set { cpu.s.pointee.ldtr = Self.cache(newValue) }
  }

  /// TR, the task register.
  public var tr: Segment {
    get { Self.segment(cpu.s.pointee.tr) }
    set { cpu.s.pointee.tr = Self.cache(newValue) }
  }

  public var gdtr: DescriptorTable {
    get { DescriptorTable(base: cpu.s.pointee.gdtr.base, limit: cpu.s.pointee.gdtr.limit) }
    set { (cpu.s.pointee.gdtr.base, cpu.s.pointee.gdtr.limit) = (newValue.base, newValue.limit) }
  }

  public var idtr: DescriptorTable {
    get { DescriptorTable(base: cpu.s.pointee.idtr.base, limit: cpu.s.pointee.idtr.limit) }
    set { (cpu.s.pointee.idtr.base, cpu.s.pointee.idtr.limit) = (newValue.base, newValue.limit) }
  }

  /// Loads ES, SS, DS, FS or GS as MOV does: from the descriptor table in protected mode, with all checks.
  ///
  /// - Throws: `segment` with the vector of the exception that MOV would raise, and for CS, which only jumps load. Nothing has changed then.
  public func load(_ register: SegmentRegister, selector: UInt16) throws(CoreError) {
    if register == .cs { throw .segment(selector: selector, vector: Vector.UD.rawValue) }
    do throws(Fault) {
      try cpu.loadSegment(register, selector)
      settle()
    } catch {
      throw .segment(selector: selector, vector: error.vector)
    }
  }

  /// Brings what is derived from segments up to date.
  func settle() {
    if cpu.s.pointee.codeSize == .bits64 {
      for register in SegmentRegister.allCases { cpu.segment(register).pointee.fastLimit = ~0 }
    }
    cpu.deriveState()
    cpu.s.pointee.exitRequest |= ExitRequest.event
  }

  private static func segment(_ c: SegmentCache) -> Segment {
    Segment(selector: c.selector, base: c.base, limit: c.limit, attributes: c.attributes, isUsable: c.usable)
  }

  private static func cache(_ segment: Segment) -> SegmentCache {
    var c = SegmentCache()
    c.selector = segment.selector
    c.base = segment.base
    c.limit = segment.limit
    c.attributes = segment.attributes & 0xF0FF
    c.usable = segment.isUsable
    return c
  }
}
