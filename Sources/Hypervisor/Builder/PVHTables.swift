import XenABI

/// ACPI tables of a PVH domain (ACPI specification 6.4, chapter 5): processors with local APICs, and nothing else of a PC
/// ("hardware-reduced").
///
/// Not modelled: processor objects in the DSDT, so no processor is added while the guest runs.
struct PVHTables {
  /// Bytes to be placed at the address that `init` was told.
  private(set) var image: [UInt8]
  /// Guest-physical address of the root pointer.
  let rsdp: UInt64

  init(processors: Int, at base: UInt64) {
    var image: [UInt8] = []
    func place(_ table: [UInt8]) -> UInt64 {
      image += [UInt8](repeating: 0, count: -image.count & 15)
      let address = base + UInt64(image.count)
      image += table
      return address
    }
    let dsdt = place(Self.table("DSDT", revision: 2, []))
    let tables = [
      place(Self.table("FACP", revision: 5, Self.fixedDescription(dsdt: dsdt))),
      place(Self.table("APIC", revision: 3, Self.processorList(processors))),
    ]
    let xsdt = place(Self.table("XSDT", revision: 1, tables.flatMap { Self.bytes($0) }))
    var root = Array("RSD PTR ".utf8) + [0] + Array("XENOLT".utf8) + [2] + Self.bytes(UInt32(0)) + Self.bytes(UInt32(36)) + Self.bytes(xsdt)
    root += [0, 0, 0, 0]
    root[8] = Self.checksum(root[..<20])
    root[32] = Self.checksum(root[...])
    rsdp = place(root)
    self.image = image
  }

  private static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

  private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt8 { 0 &- bytes.reduce(0, &+) }

  private static func table(_ signature: String, revision: UInt8, _ body: [UInt8]) -> [UInt8] {
    var t = Array(signature.utf8) + bytes(UInt32(36 + body.count)) + [revision, 0] + Array("XENOLTXENOLITH".utf8)
    t += bytes(UInt32(1)) + Array("XENO".utf8) + bytes(UInt32(1)) + body
    t[9] = checksum(t[...])
    return t
  }

  /// FADT: no registers at all; 64-bit fields from byte 140 on name the DSDT.
  private static func fixedDescription(dsdt: UInt64) -> [UInt8] {
    var body = [UInt8](repeating: 0, count: 268 - 36)
    func set(_ new: [UInt8], at offset: Int) { body.replaceSubrange(offset - 36..<offset - 36 + new.count, with: new) }
    set(bytes(UInt32(truncatingIfNeeded: dsdt)), at: 40)
    // No VGA, no clock of a PC's CMOS, no 8042.
    set(bytes(UInt16(1 << 2 | 1 << 5)), at: 109)
    // WBINVD works, hardware-reduced.
    set(bytes(UInt32(1 << 0 | 1 << 20)), at: 112)
    set(bytes(dsdt), at: 140)
    return body
  }

  private static func processorList(_ count: Int) -> [UInt8] {
    var body = bytes(UInt32(0xFEE0_0000)) + bytes(UInt32(0))
    for n in 0..<count { body += [0, 8, UInt8(n), UInt8(n)] + bytes(UInt32(1)) }
    return body
  }
}
