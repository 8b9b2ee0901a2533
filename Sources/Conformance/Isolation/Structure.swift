/// Bytes of a structure in a guest's memory, with C's alignment; `unsigned long` and handles have the guest's width.
struct Structure {
  let isWide: Bool
  private(set) var bytes: [UInt8] = []

  init(isWide: Bool) { self.isWide = isWide }

  mutating func align(_ to: Int) {
    while bytes.count % to != 0 { bytes.append(0) }
  }

  private mutating func put(_ value: UInt64, _ size: Int) {
    // A 32-bit guest aligns 64-bit integers to 4 bytes.
    align(isWide ? size : min(size, 4))
    for n in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> (n * 8))) }
  }

  mutating func u8(_ v: UInt64) { put(v, 1) }
  mutating func u16(_ v: UInt64) { put(v, 2) }
  mutating func u32(_ v: UInt64) { put(v, 4) }
  mutating func u64(_ v: UInt64) { put(v, 8) }
  mutating func word(_ v: UInt64) { put(v, isWide ? 8 : 4) }
  mutating func append(_ more: [UInt8]) { bytes += more }
  mutating func zeros(_ count: Int) { bytes += [UInt8](repeating: 0, count: count) }
}
