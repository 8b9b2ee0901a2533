import Control
import FoundationEssentials
import Hypervisor
import Platform

/// The bytes of a saved domain, to be read in any order and more than once.
public protocol SavedBytes: AnyObject {
  var count: Int { get }
  func read(_ range: Range<Int>) throws(StateError) -> [UInt8]
}

/// The file of a saved domain: magic and version; the configuration that it was made from; its own nodes in xenstore; what the hypervisor
/// saves of it; and the length and the checksum of all that. It is written and read in portions (`StateWriter.portion`), which
/// the checksum counts.
struct SaveFile {
  private static let magic = Array("XENOLITH DOMAIN\n".utf8)
  private static let version: UInt32 = 3
  private static let headerBytes = 16 + 4
  private static let trailerBytes = 8 + 8

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

  /// - Parameters:
  ///   - sink: gets the file.
  ///   - body: writes what `domain` is to hold.
  static func write(
    name: String, source: DomainSource, schedule: SavedSchedule, nodes: [SavedNode], to sink: any ByteSink,
    _ body: (inout StateWriter) throws(BuildError) -> Void
  ) throws(BuildError) {
    var header = StateWriter()
    for byte in magic { header.put(byte) }
    header.put(version)
    try sink.take(header.bytes)
    var hash = StateHash(), count = 0
    var failure: BuildError?
    var w = StateWriter { portion in
      do throws(BuildError) { try sink.take(portion) } catch {
        failure = error
        return false
      }
      hash.add(portion)
      count += portion.count
      return true
    }
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
    w.finish()
    if let failure { throw failure }
    var trailer = StateWriter()
    trailer.put(UInt64(count))
    trailer.put(hash.value)
    try sink.take(trailer.bytes)
  }

  // MARK: Reading

  /// - Parameter file: may hold anything.
  init(_ file: any SavedBytes) throws(BuildError) {
    do throws(StateError) {
      guard file.count >= Self.headerBytes, try file.read(0..<Self.magic.count) == Self.magic else { throw StateError("it is no saved domain") }
      var header = StateReader(try file.read(Self.magic.count..<Self.headerBytes))
      let version = try header.get(UInt32.self)
      guard version == Self.version else { throw StateError("it was written by another version of this program (format \(version), this one reads \(Self.version))") }
      let body = try Self.checked(file)
      var position = body.lowerBound
      var r = StateReader(count: body.count) { (count) throws(StateError) in
        position += count
        return try file.read(position - count..<position)
      }
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
      domain = r
    } catch {
      throw BuildError(error.description)
    }
  }

  /// Where the body is, if it is whole.
  private static func checked(_ file: any SavedBytes) throws(StateError) -> Range<Int> {
    guard file.count >= headerBytes + trailerBytes else { throw StateError("it ends too early") }
    let body = headerBytes..<file.count - trailerBytes
    var trailer = StateReader(try file.read(body.upperBound..<file.count))
    guard try trailer.get(UInt64.self) == UInt64(body.count) else { throw StateError("it is damaged or not complete") }
    var hash = StateHash(), position = body.lowerBound
    while position < body.upperBound {
      let portion = try file.read(position..<min(position + StateWriter.portion, body.upperBound))
      portion.withUnsafeBytes { hash.add($0) }
      position += portion.count
    }
    guard try trailer.get(UInt64.self) == hash.value else { throw StateError("it is damaged") }
    return body
  }
}
