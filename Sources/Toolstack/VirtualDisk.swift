/// Which disk a domain sees, and the number that names it in xenstore (`device/vbd/51712`).
///
/// Source: xen-vbd-interface(7).
public struct VirtualDisk: Hashable, Sendable {
  public let name: String
  public let number: UInt32

  /// "xvda", "xvdb2", "hda", "sdc1", "d0p1", or a number; nil for anything else.
  public init?(_ name: String) {
    guard let number = Self.number(name) else { return nil }
    self.name = name
    self.number = number
  }

  private static func number(_ name: String) -> UInt32? {
    if let (disk, partition) = parts(name, "xvd") { return xenNumber(disk, partition) }
    if let (disk, partition) = parts(name, "hd") {
      // Two disks on each of two IDE controllers, whose majors are 3 and 22.
      guard disk < 4, partition < 64 else { return nil }
      return (disk < 2 ? 3 : 22) << 8 | (disk & 1) << 6 | partition
    }
    if let (disk, partition) = parts(name, "sd") {
      guard disk < 16, partition < 16 else { return nil }
      return 8 << 8 | disk << 4 | partition
    }
    if name.hasPrefix("d"), let p = name.firstIndex(of: "p"), let disk = decimal(name[..<p].dropFirst()),
      let partition = decimal(name[name.index(after: p)...]) {
      return xenNumber(disk, partition)
    }
    if name.utf8.first.map({ (0x30...0x39).contains($0) }) == true { return KeyReader.number(name).flatMap(UInt32.init(exactly:)) }
    return nil
  }

  /// Major 202 has room for 16 disks of 16 partitions; the rest has a form of its own.
  private static func xenNumber(_ disk: UInt32, _ partition: UInt32) -> UInt32? {
    guard disk < 1 << 20, partition < 256 else { return nil }
    return disk < 16 && partition < 16 ? 202 << 8 | disk << 4 | partition : 1 << 28 | disk << 8 | partition
  }

  /// The disk's number and the partition's (0 for the whole disk) behind a prefix: letters count from a to z, aa, ab, …
  private static func parts(_ name: String, _ prefix: String) -> (disk: UInt32, partition: UInt32)? {
    guard name.hasPrefix(prefix) else { return nil }
    let letters = name.dropFirst(prefix.count).utf8.prefix { (0x61...0x7A).contains($0) }
    guard (1...4).contains(letters.count) else { return nil }
    let disk = letters.reduce(UInt32(0)) { $0 * 26 + UInt32($1 - 0x61) + 1 } - 1
    let digits = name.dropFirst(prefix.count + letters.count)
    guard !digits.isEmpty else { return (disk, 0) }
    guard let partition = decimal(digits), partition > 0 else { return nil }
    return (disk, partition)
  }

  private static func decimal(_ digits: Substring) -> UInt32? {
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return UInt32(digits)
  }
}
