#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Backends

/// The disks of a case's domains, one behind the other, so that whoever reads beyond the end of one reads another's secrets.
final class Medium {
  static let sectorsOfDisk = 4096
  private let contents: UnsafeMutableRawPointer
  let disks: Int
  /// What no back end may ask a disk for.
  private(set) var problems: [String] = []
  /// Whether bytes that are written are somebody's secret.
  var isSecret: (UnsafeRawBufferPointer) -> Bool = { _ in false }

  init(disks: Int) {
    self.disks = disks
    guard let zeros = calloc(disks * Self.sectorsOfDisk, sectorBytes) else { fatalError("the host has no memory for disks") }
    contents = zeros
  }

  deinit { free(contents) }

  /// Bytes of some sectors.
  func sectors(_ first: Int, _ count: Int, of disk: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: contents + (disk * Self.sectorsOfDisk + first) * sectorBytes, count: count * sectorBytes)
  }

  /// Where a transfer takes place; nil where nothing is.
  fileprivate func place(_ disk: Disk, _ what: String, _ sector: UInt64, _ count: Int, writes: Bool) -> UnsafeMutableRawPointer? {
    let end = sector.addingReportingOverflow(UInt64(count / sectorBytes))
    if count % sectorBytes != 0 || end.overflow || end.partialValue > disk.sectors { note("\(what) of \(count) bytes at sector \(sector) of \(disk.sectors)") }
    if writes, !disk.isWritable { note("\(what) of a disk that cannot be written") }
    let at = UInt64(disk.number * Self.sectorsOfDisk) &+ sector
    let all = UInt64(disks * Self.sectorsOfDisk)
    guard at < all, all - at >= UInt64((count + sectorBytes - 1) / sectorBytes) else { return nil }
    return contents + Int(at) * sectorBytes
  }

  func note(_ text: String) {
    if problems.count < 8 { problems.append("a back end wants \(text)") }
  }

  func takeProblems() -> [String] {
    defer { problems = [] }
    return problems
  }
}

/// One domain's disk.
final class Disk: BlockImage {
  private let medium: Medium
  let number: Int
  let isWritable: Bool
  let sectors = UInt64(Medium.sectorsOfDisk)
  let canDiscard = true
  private(set) var transfers = 0

  init(_ medium: Medium, _ number: Int, isWritable: Bool) {
    self.medium = medium
    self.number = number
    self.isWritable = isWritable
  }

  /// Its sectors, from outside.
  func contents(_ first: Int, _ count: Int) -> UnsafeMutableRawBufferPointer { medium.sectors(first, count, of: number) }

  func read(_ sector: UInt64, into target: UnsafeMutableRawBufferPointer) throws(BlockImageError) {
    transfers += 1
    guard let at = medium.place(self, "a read", sector, target.count, writes: false) else { throw BlockImageError("has no such sector") }
    target.copyMemory(from: UnsafeRawBufferPointer(start: at, count: target.count))
  }

  func write(_ sector: UInt64, _ source: UnsafeRawBufferPointer) throws(BlockImageError) {
    transfers += 1
    if medium.isSecret(source) { medium.note("a secret to be written to a disk") }
    guard let at = medium.place(self, "a write", sector, source.count, writes: true) else { throw BlockImageError("has no such sector") }
    at.copyMemory(from: source.baseAddress!, byteCount: source.count)
  }

  func flush() throws(BlockImageError) { transfers += 1 }

  func discard(_ sector: UInt64, count: UInt64) throws(BlockImageError) {
    transfers += 1
    let bytes = Int(clamping: min(count, 1 << 40)) * sectorBytes
    guard let at = medium.place(self, "a discard", sector, bytes, writes: true) else { throw BlockImageError("has no such sector") }
    at.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
  }
}
