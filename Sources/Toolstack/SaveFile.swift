import Control
import FoundationEssentials
import Hypervisor
import Platform

/// The file of a saved domain: magic, version, checksum and length of what follows; the configuration that it was made from; its own nodes
/// in xenstore; and what the hypervisor saves of it.
struct SaveFile {
  private static let magic = Array("XENOLITH DOMAIN\n".utf8)
  private static let version: UInt32 = 2
  private static let headerBytes = 16 + 4 + 8 + 8

  var name: String
  var source: DomainSource
  var schedule: SavedSchedule
  var nodes: [SavedNode]
  /// What the hypervisor saved.
  var domain: StateReader

  /// A node that the guest made.
  struct SavedNode: Equatable {
    /// Below the domain's own.
    var path: String
    var value: [UInt8]
  }

  /// How a domain was scheduled: commands may have changed what its configuration says.
  struct SavedSchedule: Equatable {
    var weight: Int
    var cap: Int
    /// Physical processors of each virtual one; empty for all.
    var affinity: [[Int]]
  }

  // MARK: Writing

  /// - Parameter body: what `domain` is to hold, written in place as it is large.
  static func make(name: String, source: DomainSource, schedule: SavedSchedule, nodes: [SavedNode], _ body: (inout StateWriter) throws(BuildError) -> Void)
    throws(BuildError) -> [UInt8] {
    var w = StateWriter()
    w.put(name)
    w.put(source.file)
    w.put(source.directory)
    w.put(Array(source.text))
    w.put(UInt32(schedule.weight))
    w.put(UInt32(schedule.cap))
    w.put(UInt32(schedule.affinity.count))
    for processors in schedule.affinity {
      w.put(UInt32(processors.count))
      for n in processors { w.put(UInt32(n)) }
    }
    w.put(UInt32(nodes.count))
    for node in nodes {
      w.put(node.path)
      w.put(node.value)
    }
    try body(&w)
    var header = StateWriter()
    for byte in magic { header.put(byte) }
    header.put(version)
    header.put(checksum(w.bytes[...]))
    header.put(UInt64(w.bytes.count))
    return header.bytes + w.bytes
  }

  private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    var hash = StateHash()
    bytes.withUnsafeBytes { hash.add($0) }
    return hash.value
  }

  // MARK: Reading

  /// - Parameter bytes: may be anything.
  init(_ bytes: [UInt8]) throws(BuildError) {
    guard bytes.count >= Self.magic.count, Array(bytes[..<Self.magic.count]) == Self.magic else { throw BuildError("it is no saved domain") }
    var r = StateReader(bytes[Self.magic.count...])
    do throws(StateError) {
      let version = try r.get(UInt32.self)
      guard version == Self.version else { throw StateError("it was written by another version of this program (format \(version), this one reads \(Self.version))") }
      let sum = try r.get(UInt64.self), count = try r.get(UInt64.self)
      let rest = bytes[Self.headerBytes...]
      guard UInt64(rest.count) >= count else { throw StateError("it ends too early") }
      guard UInt64(rest.count) == count, Self.checksum(rest) == sum else { throw StateError("it is damaged") }
      name = try r.getString()
      source = DomainSource(text: [], file: try r.getString(), directory: try r.getString())
      source.text = Data(try r.getBytes())
      schedule = SavedSchedule(weight: Int(try r.get(UInt32.self)), cap: Int(try r.get(UInt32.self)), affinity: [])
      guard 1...65535 ~= schedule.weight, schedule.cap <= 12800 else { throw StateError("it has an impossible share of the processors") }
      for _ in 0..<(try r.get(UInt32.self)) {
        var processors: [Int] = []
        for _ in 0..<(try r.get(UInt32.self)) { processors.append(Int(try r.get(UInt32.self))) }
        schedule.affinity.append(processors)
      }
      nodes = []
      for _ in 0..<(try r.get(UInt32.self)) { nodes.append(SavedNode(path: try r.getString(), value: try r.getBytes())) }
    } catch {
      throw BuildError(error.description)
    }
    domain = r
  }
}
