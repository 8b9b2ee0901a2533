/// Builds ACPI Machine Language terms as byte strings (ACPI specification 6.4, chapter 20).
enum AML {
  typealias Term = [UInt8]

  // MARK: Names

  /// A name string: segments separated by dots, optionally from the root (`\_SB.PCI0`).
  static func name(_ path: String) -> Term {
    var rest = Substring(path)
    var out: Term = []
    while let first = rest.first, first == "\\" || first == "^" {
      out.append(first.asciiValue!)
      rest = rest.dropFirst()
    }
    let segments = rest.split(separator: ".").map(segment)
    switch segments.count {
    case 0: out.append(0)
    case 1: break
    case 2: out.append(0x2E)
    default: out += [0x2F, UInt8(segments.count)]
    }
    return out + segments.joined()
  }

  /// Four characters, filled up with underscores.
  private static func segment(_ text: Substring) -> Term {
    let characters = Array(text.utf8.prefix(4))
    return characters + [UInt8](repeating: 0x5F, count: 4 - characters.count)
  }

  // MARK: Data

  static func integer(_ value: UInt64) -> Term {
    switch value {
    case 0: return [0x00]
    case 1: return [0x01]
    case ...0xFF: return [0x0A, UInt8(value)]
    case ...0xFFFF: return [0x0B] + littleEndian(UInt16(value))
    case ...0xFFFF_FFFF: return [0x0C] + littleEndian(UInt32(value))
    default: return [0x0E] + littleEndian(value)
    }
  }

  static func string(_ text: String) -> Term { [0x0D] + Array(text.utf8) + [0] }

  static func buffer(_ bytes: [UInt8]) -> Term {
    [0x11] + package(integer(UInt64(bytes.count)) + bytes)
  }

  static func packageOf(_ elements: [Term]) -> Term {
    [0x12] + package([UInt8(elements.count)] + elements.joined())
  }

  /// A compressed EISA identifier such as PNP0A03 (§19.3.4).
  static func eisaID(_ text: String) -> Term {
    let c = Array(text.utf8)
    let letters = UInt32(c[0] - 0x40) << 26 | UInt32(c[1] - 0x40) << 21 | UInt32(c[2] - 0x40) << 16
    let number = UInt32(text.dropFirst(3), radix: 16) ?? 0
    return [0x0C] + littleEndian((letters | number).byteSwapped)
  }

  // MARK: Objects

  static func named(_ path: String, _ value: Term) -> Term { [0x08] + name(path) + value }
  static func scope(_ path: String, _ terms: [Term]) -> Term { [0x10] + package(name(path) + terms.joined()) }
  static func device(_ path: String, _ terms: [Term]) -> Term {
    [0x5B, 0x82] + package(name(path) + terms.joined())
  }

  /// PkgLength (§20.2.4): counts itself; the top two bits of the first byte say how many bytes follow.
  private static func package(_ body: Term) -> Term {
    if body.count + 1 < 0x40 { return [UInt8(body.count + 1)] + body }
    for extra in 1...3 {
      let length = body.count + 1 + extra
      if length < 1 << (4 + 8 * extra) {
        var head: Term = [UInt8(extra << 6 | length & 15)]
        for i in 0..<extra { head.append(UInt8(truncatingIfNeeded: length >> (4 + 8 * i))) }
        return head + body
      }
    }
    preconditionFailure("an AML package of \(body.count) bytes cannot be encoded")
  }

  static func littleEndian<T: FixedWidthInteger>(_ value: T) -> Term {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  // MARK: Resource descriptors (§6.4)

  static func resources(_ descriptors: [Term]) -> Term {
    // End tag; checksum 0 means "treat as correct" (§6.4.2.9).
    buffer(Array(descriptors.joined()) + [0x79, 0])
  }

  /// Fixed range of ports with 16-bit decoding.
  static func io(_ base: UInt16, _ length: UInt8, alignment: UInt8 = 1) -> Term {
    [0x47, 0x01] + littleEndian(base) + littleEndian(base) + [alignment, length]
  }

  /// ISA interrupt: edge, active high, exclusive.
  static func irq(_ number: Int) -> Term { [0x22] + littleEndian(UInt16(1 << number)) }

  static func memory32(_ base: UInt64, _ length: UInt64) -> Term {
    [0x86, 9, 0, 1] + littleEndian(UInt32(base)) + littleEndian(UInt32(length))
  }

  /// What a bridge produces on its secondary side: fixed minimum and maximum, positive decoding.
  static func busNumbers(_ range: ClosedRange<UInt16>) -> Term {
    [0x88, 13, 0, 2, 0x0C, 0] + words16(range)
  }

  static func ioWindow(_ range: ClosedRange<UInt16>) -> Term {
    // Type-specific flag 3: both ISA and non-ISA ranges.
    [0x88, 13, 0, 1, 0x0C, 3] + words16(range)
  }

  static func memoryWindow(_ range: ClosedRange<UInt64>, cacheable: Bool) -> Term {
    let minimum = UInt32(range.lowerBound), maximum = UInt32(range.upperBound)
    return [0x87, 23, 0, 0, 0x0C, cacheable ? 0x03 : 0x01] + littleEndian(UInt32(0)) + littleEndian(minimum)
      + littleEndian(maximum) + littleEndian(UInt32(0)) + littleEndian(maximum - minimum + 1)
  }

  private static func words16(_ range: ClosedRange<UInt16>) -> Term {
    littleEndian(UInt16(0)) + littleEndian(range.lowerBound) + littleEndian(range.upperBound)
      + littleEndian(UInt16(0)) + littleEndian(range.upperBound &- range.lowerBound &+ 1)
  }
}
