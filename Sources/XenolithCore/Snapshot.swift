import Platform
import Processor
import X86

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The state of a core at a moment: registers and memory.
public struct Snapshot: Sendable {
  struct Piece: Sendable {
    var base: UInt64
    var bytes: [UInt8]
  }

  /// In the format of saved machine states.
  var processor: [UInt8]
  var vectors: [UInt8]
  var taskPriority: UInt8
  var model: String
  var features: FeatureSet
  /// Where the tables of 64-bit mode lie depends on it.
  var addressSpace: UInt64
  /// Contents of writable memory; nil for a snapshot of registers alone.
  var memory: [Piece]?
  /// The tables of 64-bit mode, as far as they are used.
  var tables: [UInt8]?

  /// Equal for equal states of registers and memory; for comparing runs.
  public var hash: UInt64 {
    var hash = StateHash()
    processor.withUnsafeBytes { hash.add($0) }
    for piece in memory ?? [] { piece.bytes.withUnsafeBytes { hash.add($0) } }
    tables?.withUnsafeBytes { hash.add($0) }
    return hash.value
  }
}

extension Core {
  /// Takes a snapshot.
  ///
  /// Not in it: hooks, ``exits``, what is mapped, and the state of your devices.
  ///
  /// - Parameter includingMemory: without it only registers and pending interrupts are taken, which is fast enough to do it for every test case.
  public func snapshot(includingMemory: Bool = true) -> Snapshot {
    var writer = StateWriter()
    virtual.save(to: &writer)
    return Snapshot(
      processor: writer.bytes, vectors: bus.vectors, taskPriority: bus.taskPriority, model: model.name,
      features: model.features, addressSpace: addressSpace,
      memory: includingMemory ? writableMemory.map { Snapshot.Piece(base: $0.base, bytes: Self.bytes($0.host, $0.size)) } : nil,
      tables: includingMemory ? tables.map { Self.bytes(UnsafeMutableRawPointer($0.host), Int($0.used)) } : nil)
  }

  /// Puts back what a snapshot holds, of this core or of one like it. Pages that have not changed since cost a comparison only.
  ///
  /// - Throws: `snapshot` if memory is mapped otherwise now, or model, features or address space differ; nothing has changed then.
  public func restore(_ snapshot: Snapshot) throws(CoreError) {
    if snapshot.model != model.name { throw .snapshot("it is of the model \(snapshot.model)") }
    if snapshot.features != model.features { throw .snapshot("it is of a \(model.name) with other features") }
    if snapshot.addressSpace != addressSpace { throw .snapshot("it is of a core with \(hex(snapshot.addressSpace)) bytes of address space") }
    if let pieces = snapshot.memory {
      let now = writableMemory
      let isSame = now.count == pieces.count && zip(now, pieces).allSatisfy { $0.base == $1.base && $0.size == $1.bytes.count }
      if !isSame { throw .snapshot("other memory was mapped when it was taken") }
    }
    do throws(StateError) {
      var reader = StateReader(snapshot.processor)
      try virtual.restore(from: &reader)
    } catch {
      throw .snapshot(error.description)
    }
    bus.vectors = snapshot.vectors
    bus.taskPriority = snapshot.taskPriority
    for piece in snapshot.memory ?? [] { piece.bytes.withUnsafeBytes { put($0, at: piece.base) } }
    if let bytes = snapshot.tables {
      if tables == nil { tables = IdentityTables(memory, addressSpace: addressSpace) }
      bytes.withUnsafeBytes { put($0, at: tables!.base) }
      tables!.used = UInt64(bytes.count)
    }
    cpu.s.pointee.nextRIP = cpu.s.pointee.rip
  }

  private static func bytes(_ host: UnsafeMutableRawPointer, _ count: Int) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: host, count: count))
  }

  private func put(_ bytes: UnsafeRawBufferPointer, at base: UInt64) {
    for offset in stride(from: 0, to: bytes.count, by: 4096) {
      let page = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + 4096)])
      guard let host = memory.host(base + UInt64(offset)) else { return }
      if memcmp(host, page.baseAddress!, 4096) != 0 { memory.load(page, at: base + UInt64(offset)) }
    }
  }

  /// Base, host address and size of memory that the guest can write.
  private var writableMemory: [(base: UInt64, host: UnsafeMutableRawPointer, size: Int)] {
    regions.compactMap { region in
      guard case .memory(let host, writable: true) = region.kind else { return nil }
      return (region.base, host, Int(region.size))
    }
  }
}
