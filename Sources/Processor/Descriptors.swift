import X86
import X86Decoder

/// Segment and gate descriptors in memory (SDM vol. 3A §3.4.5, §6.8.3), and where they are found.

/// The eight bytes of a descriptor.
struct Descriptor {
  var low: UInt32
  var high: UInt32

  init(_ raw: UInt64) {
    low = UInt32(truncatingIfNeeded: raw)
    high = UInt32(truncatingIfNeeded: raw &>> 32)
  }

  /// As kept in a segment cache: bits 40–55 without the limit bits.
  var attributes: UInt16 { UInt16(truncatingIfNeeded: high &>> 8) & 0xF0FF }
  var type: UInt8 { UInt8(truncatingIfNeeded: high &>> 8) & 0xF }
  /// S: code or data, not a system descriptor.
  var isSegment: Bool { high & 0x1000 != 0 }
  var dpl: UInt8 { UInt8(truncatingIfNeeded: high &>> 13) & 3 }
  var present: Bool { high & 0x8000 != 0 }
  var isCode: Bool { high & 0x1800 == 0x1800 }
  var isConforming: Bool { high & 0x1C00 == 0x1C00 }
  var isWritableData: Bool { high & 0x1A00 == 0x1200 }
  var isReadable: Bool { high & 0x1800 == 0x1000 || high & 0x1A00 == 0x1A00 }
  var long: Bool { high & 0x20_0000 != 0 }
  var big: Bool { high & 0x40_0000 != 0 }

  var base: UInt64 {
    UInt64(low &>> 16) | UInt64(high & 0xFF) &<< 16 | UInt64(high & 0xFF00_0000)
  }

  /// Scaled to bytes.
  var limit: UInt32 {
    let raw = (low & 0xFFFF) | (high & 0xF_0000)
    return high & 0x80_0000 != 0 ? (raw &<< 12) | 0xFFF : raw
  }

  // As a gate.
  var gateSelector: UInt16 { UInt16(truncatingIfNeeded: low &>> 16) }
  var gateOffset16: UInt64 { UInt64(low & 0xFFFF) }
  var gateOffset32: UInt64 { UInt64((low & 0xFFFF) | (high & 0xFFFF_0000)) }
  /// IST of a 64-bit interrupt gate.
  var ist: UInt64 { UInt64(high & 7) }
  var parameterCount: Int { Int(high & 0x1F) }

  /// The hidden part for a segment register.
  func cache(selector: UInt16) -> SegmentCache {
    var c = SegmentCache()
    c.base = base
    c.limit = limit
    c.selector = selector
    c.attributes = attributes
    return c
  }
}

/// Types of system descriptors (SDM vol. 3A table 3-2).
enum SystemType {
  static let tss16: UInt8 = 1
  static let ldt: UInt8 = 2
  static let busyTSS16: UInt8 = 3
  static let callGate16: UInt8 = 4
  static let taskGate: UInt8 = 5
  static let interruptGate16: UInt8 = 6
  static let trapGate16: UInt8 = 7
  static let tss32: UInt8 = 9
  static let busyTSS32: UInt8 = 11
  static let callGate32: UInt8 = 12
  static let interruptGate32: UInt8 = 14
  static let trapGate32: UInt8 = 15
}

@inline(__always) func rpl(_ selector: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: selector) & 3 }
/// Index and table bit: what an error code shows of a selector.
@inline(__always) func errorCode(_ selector: UInt16) -> UInt32 { UInt32(selector & 0xFFFC) }
@inline(__always) func isNull(_ selector: UInt16) -> Bool { selector & 0xFFFC == 0 }

extension CPU {
  /// Eight bytes of a system structure. Bases in IA-32e mode are 64 bits wide whatever the code segment's size, so the
  /// halves of a field that crosses a page are addressed one by one.
  @inline(__always)
  func loadTable64(_ linear: UInt64) throws(Fault) -> UInt64 {
    let a = systemLinear(linear)
    if a & 0xFFF <= 0xFF8 { return try loadSystem64(a) }
    var value: UInt64 = 0
    for k in 0..<8 as Range<UInt64> {
      value |= UInt64(try loadSystem8(systemLinear(linear &+ k))) &<< (k &* 8)
    }
    return value
  }

  @inline(__always)
  func systemLinear(_ linear: UInt64) -> UInt64 { s.pointee.longMode ? linear : linear & 0xFFFF_FFFF }

  /// Linear address of the descriptor a selector names, if `bytes` of it lie within its table.
  @inline(__always)
  func descriptorAddress(_ selector: UInt16, bytes: UInt32 = 8) -> UInt64? {
    let offset = UInt32(selector & 0xFFF8)
    if selector & 4 == 0 {
      if offset &+ bytes &- 1 > UInt32(s.pointee.gdtr.limit) { return nil }
      return s.pointee.gdtr.base &+ UInt64(offset)
    }
    if !s.pointee.ldtr.usable || offset &+ bytes &- 1 > s.pointee.ldtr.limit { return nil }
    return s.pointee.ldtr.base &+ UInt64(offset)
  }

  /// The descriptor of a selector.
  /// - Parameter vector: fault to raise with the selector as error code when it lies beyond its table.
  @inline(__always)
  func fetchDescriptor(_ selector: UInt16, orRaise vector: Vector = .GP) throws(Fault) -> Descriptor {
    guard let address = descriptorAddress(selector) else { throw Fault(vector, errorCode: errorCode(selector)) }
    return Descriptor(try loadTable64(address))
  }

  /// Sets the accessed bit of a code or data descriptor in memory if it is clear.
  @inline(__always)
  func markAccessed(_ selector: UInt16, _ descriptor: inout Descriptor) throws(Fault) {
    if descriptor.high & 0x100 != 0 { return }
    descriptor.high |= 0x100
    guard let address = descriptorAddress(selector) else { return }
    try storeSystem8(systemLinear(address &+ 5), UInt8(truncatingIfNeeded: descriptor.high &>> 8))
  }

  /// Upper half of the base of a 16-byte system descriptor (IA-32e mode), with the check of its type field.
  /// - Throws: #GP(selector).
  func systemBaseHigh(_ selector: UInt16, orRaise vector: Vector = .GP) throws(Fault) -> UInt64 {
    guard let address = descriptorAddress(selector, bytes: 16) else { throw Fault(vector, errorCode: errorCode(selector)) }
    let upper = try loadTable64(address &+ 8)
    if (upper &>> 40) & 0x1F != 0 { throw Fault(vector, errorCode: errorCode(selector)) }
    return upper &<< 32
  }
}
