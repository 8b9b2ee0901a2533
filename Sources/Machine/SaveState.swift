import CZlib
import Platform
import Processor

/// Saved machines: everything that decides how a run goes on, in one file.
///
/// Layout: magic, version, configuration echo, then sections (machine, processors, devices in board order), then RAM
/// as runs of pages that are not all zero, deflated. A machine is restored into one with the same configuration.
public enum SaveState {
  private static let magic: UInt64 = 0x4554_4154_534E_4558  // "XENSTATE"
  private static let version: UInt32 = 1

  // MARK: Hash

  /// Hash of all architectural and device state and RAM. Equal runs have equal hashes.
  public static func hash(_ machine: Machine) -> UInt64 {
    var writer = StateWriter()
    writeSections(machine, to: &writer)
    var hash = StateHash()
    writer.bytes.withUnsafeBytes { hash.add($0) }
    for block in machine.memory.blocks where block.isWritable {
      let host = UnsafeRawPointer(bitPattern: block.host)!
      hash.add(UnsafeRawBufferPointer(start: host, count: Int(block.size)))
    }
    return hash.value
  }

  // MARK: Saving

  public static func save(_ machine: Machine) -> [UInt8] {
    var writer = StateWriter()
    writer.put(magic)
    writer.put(version)
    writer.put(describe(machine.configuration))
    writeSections(machine, to: &writer)
    writeMemory(machine, to: &writer)
    return writer.bytes
  }

  /// The part of the configuration that fixes the shape of the state, as text that an error can show.
  private static func describe(_ c: MachineConfiguration) -> String {
    "memory \(describeSize(c.memory)), \(c.processors) CPUs of model \(c.model.name), \(c.serialPorts) serial ports, "
      + "HPET \(c.hasHPET ? "on" : "off"), VGA \(c.hasVGA ? "on" : "off"), "
      + "debug exit \(c.debugExit.map { "port \($0.port)" } ?? "off"), quantum \(c.quantum)"
  }

  private static func writeSections(_ machine: Machine, to writer: inout StateWriter) {
    writer.section("machine") {
      machine.clock.save(to: &$0)
      $0.put(UInt32(machine.turn))
      $0.put(machine.turnLeft)
      $0.put(machine.input.nextNumber)
    }
    for (n, processor) in machine.processors.enumerated() {
      writer.section("cpu\(n)") { processor.save(to: &$0) }
      let lapic = machine.connections[n].lapic
      writer.section(lapic.name) { lapic.save(to: &$0) }
    }
    for device in machine.board.devices {
      writer.section(device.name) { device.save(to: &$0) }
    }
  }

  private static func isZero(_ page: UnsafeRawPointer) -> Bool {
    for word in 0..<Int(pageSize) / 8 where page.load(fromByteOffset: word * 8, as: UInt64.self) != 0 { return false }
    return true
  }

  /// Runs of pages with content: physical page number, number of pages, deflated bytes.
  private static func writeMemory(_ machine: Machine, to writer: inout StateWriter) {
    let longestRun: UInt64 = 4096
    for block in machine.memory.blocks where block.isWritable {
      let host = UnsafeRawPointer(bitPattern: block.host)!
      let pages = block.size / pageSize
      var page: UInt64 = 0
      while page < pages {
        let start = page
        while page < pages, page - start < longestRun, !isZero(host + Int(page * pageSize)) { page += 1 }
        if page == start {
          page += 1
          continue
        }
        writer.put(block.base.pageNumber + start)
        writer.put(page - start)
        writer.put(deflate(UnsafeRawBufferPointer(
          start: host + Int(start * pageSize), count: Int((page - start) * pageSize))))
      }
    }
    writer.put(UInt64.max)
  }

  private static func deflate(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var size = compressBound(UInt(bytes.count))
    return [UInt8](unsafeUninitializedCapacity: Int(size)) { target, count in
      // Level 1: memory compresses well, time matters more. The bound makes failure impossible.
      _ = compress2(target.baseAddress!, &size, bytes.bindMemory(to: UInt8.self).baseAddress!, UInt(bytes.count), 1)
      count = Int(size)
    }
  }

  // MARK: Restoring

  /// Brings a machine that was just built into a saved state.
  public static func restore(_ machine: Machine, from bytes: [UInt8], name: String) throws(MachineError) {
    do {
      var reader = StateReader(bytes)
      guard try reader.get(UInt64.self) == magic else { throw StateError("it is not a saved machine") }
      let found = try reader.get(UInt32.self)
      guard found == version else {
        throw StateError("it has format version \(found), this program reads version \(version)")
      }
      let saved = try reader.getString(), mine = describe(machine.configuration)
      guard saved == mine else {
        throw StateError("it was saved from a machine with \(saved), but this one has \(mine)")
      }
      try readSections(machine, from: &reader)
      try readMemory(machine, from: &reader)
      machine.memoryMapChanged()
      for connection in machine.connections { connection.rebase() }
    } catch let error as StateError {
      throw .badImage("\(name) cannot be restored: \(error)")
    } catch {
      throw MachineError(.internal, "\(error)")
    }
  }

  private static func readSections(_ machine: Machine, from reader: inout StateReader) throws(StateError) {
    try reader.section("machine") { (r) throws(StateError) in
      try machine.clock.restore(from: &r)
      machine.turn = Int(try r.get(UInt32.self)) % machine.processors.count
      machine.turnLeft = try r.get(UInt64.self)
      machine.input.restore(nextNumber: try r.get(UInt64.self))
    }
    for (n, processor) in machine.processors.enumerated() {
      try reader.section("cpu\(n)") { (r) throws(StateError) in try processor.restore(from: &r) }
      let lapic = machine.connections[n].lapic
      try reader.section(lapic.name) { (r) throws(StateError) in try lapic.restore(from: &r) }
    }
    for device in machine.board.devices {
      try reader.section(device.name) { (r) throws(StateError) in try device.restore(from: &r) }
    }
  }

  private static func readMemory(_ machine: Machine, from reader: inout StateReader) throws(StateError) {
    for block in machine.memory.blocks where block.isWritable {
      let host = UnsafeMutableRawPointer(bitPattern: block.host)!
      for page in 0..<Int(block.size / pageSize) where !isZero(host + page * Int(pageSize)) {
        (host + page * Int(pageSize)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(pageSize))
      }
    }
    while true {
      let page = try reader.get(UInt64.self)
      if page == .max { return }
      let count = try reader.get(UInt64.self)
      let packed = try reader.getBytes()
      guard let block = machine.memory.blocks.first(where: {
        $0.isWritable && page >= $0.base.pageNumber && page - $0.base.pageNumber < $0.size / pageSize
      }), count <= block.size / pageSize - (page - block.base.pageNumber) else {
        throw StateError("its memory lies where this machine has none")
      }
      let target = UnsafeMutablePointer<UInt8>(bitPattern: block.host)! + Int((page - block.base.pageNumber) * pageSize)
      var size = UInt(count * pageSize)
      guard uncompress(target, &size, packed, UInt(packed.count)) == Z_OK, size == UInt(count * pageSize) else {
        throw StateError("its memory is damaged")
      }
    }
  }
}
