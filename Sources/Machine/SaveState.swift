import CZlib
import Interpreter
import Platform
import Processor

/// Saved machines: everything that decides how a run goes on, in one file.
///
/// Layout: magic, version, configuration echo, what the machine boots after a reset; length and deflated bytes of the sections (machine, processors, devices in
/// board order); RAM as deflated runs of pages that are not all zero. It is restored into a machine of the same configuration.
public enum SaveState {
  private static let magic: UInt64 = 0x4554_4154_534E_4558  // "XENSTATE"
  private static let version: UInt32 = 2

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

  public static func save(_ machine: Machine) -> [UInt8] { pack(machine, sections: sections(of: machine)) }

  /// State of everything but memory.
  static func sections(of machine: Machine) -> [UInt8] {
    var writer = StateWriter()
    writeSections(machine, to: &writer)
    return writer.bytes
  }

  /// The file: configuration, `sections`, memory.
  static func pack(_ machine: Machine, sections: [UInt8]) -> [UInt8] {
    var writer = StateWriter()
    writer.put(magic)
    writer.put(version)
    write(machine.configuration, to: &writer)
    write(machine.configuration.boot, to: &writer)
    writer.put(UInt64(sections.count))
    writer.put(sections.withUnsafeBytes(deflate))
    writeMemory(machine, to: &writer)
    return writer.bytes
  }

  /// The part of the configuration that fixes the shape of the state.
  private static func write(_ c: MachineConfiguration, to writer: inout StateWriter) {
    writer.put(c.memory)
    writer.put(UInt32(c.processors))
    writer.put(c.cpu.text)
    writer.put(UInt64(bitPattern: c.startTime))
    writer.put(c.quantum)
    writer.put(c.hasHPET)
    writer.put(c.hasVGA)
    writer.put(UInt32(c.serialPorts))
    writer.put(c.exactSerialTiming)
    writer.put(c.debugExit != nil)
    writer.put(c.debugExit?.port ?? 0)
    writer.put(c.debugExit?.isQEMUStyle ?? false)
    // ROMs are part of the machine; other things to boot are not, and may be replaced when it is restored.
    if case .firmware(let file?) = c.boot.method { write(file, to: &writer) } else { write(nil, to: &writer) }
    write(c.videoBIOS, to: &writer)
  }

  private static func write(_ file: BootDescription.File?, to writer: inout StateWriter) {
    writer.put(file != nil)
    guard let file else { return }
    writer.put(file.name)
    writer.put(UInt64(file.bytes.count))
    writer.put(file.bytes.withUnsafeBytes(deflate))
  }

  private static func readFile(_ reader: inout StateReader) throws(StateError) -> BootDescription.File? {
    guard try reader.getBool() else { return nil }
    return BootDescription.File(name: try reader.getString(), bytes: try inflated(&reader))
  }

  /// What is booted after a reset, unless it is firmware.
  private static func write(_ boot: BootDescription, to writer: inout StateWriter) {
    switch boot.method {
    case .firmware: writer.put(UInt8(0))
    case .kernel(let file, let initrd, let commandLine, let modules):
      writer.put(UInt8(1))
      write(file, to: &writer)
      write(initrd, to: &writer)
      writer.put(commandLine)
      writer.put(UInt32(modules.count))
      for module in modules {
        write(module.file, to: &writer)
        writer.put(module.arguments)
      }
    case .bootSector(let file):
      writer.put(UInt8(2))
      write(file, to: &writer)
    case .flat(let blobs, let entry):
      writer.put(UInt8(3))
      writer.put(UInt32(blobs.count))
      for blob in blobs {
        write(blob.file, to: &writer)
        writer.put(blob.address)
      }
      writer.put(entry != nil)
      writer.put(entry ?? 0)
    }
    writer.put(UInt32(boot.registers.count))
    for (number, value) in boot.registers.sorted(by: { $0.key < $1.key }) {
      writer.put(number)
      writer.put(value)
    }
  }

  /// - Parameter boot: the firmware, which stays where nothing else is booted.
  private static func readBoot(_ reader: inout StateReader, _ boot: BootDescription) throws(StateError) -> BootDescription {
    var boot = boot
    switch try reader.get(UInt8.self) {
    case 0: break
    case 1:
      let kernel = try readPresentFile(&reader), initrd = try readFile(&reader), commandLine = try reader.getString()
      var modules: [BootDescription.Module] = []
      for _ in 0..<(try reader.get(UInt32.self)) {
        modules.append(.init(file: try readPresentFile(&reader), arguments: try reader.getString()))
      }
      boot.method = .kernel(kernel, initrd: initrd, commandLine: commandLine, modules: modules)
    case 2: boot.method = .bootSector(try readPresentFile(&reader))
    case 3:
      var blobs: [BootDescription.Blob] = []
      for _ in 0..<(try reader.get(UInt32.self)) {
        blobs.append(.init(file: try readPresentFile(&reader), address: try reader.get(UInt64.self)))
      }
      let hasEntry = try reader.getBool(), entry = try reader.get(UInt64.self)
      boot.method = .flat(blobs, entry: hasEntry ? entry : nil)
    default: throw StateError("it boots in a way that this program does not know")
    }
    for _ in 0..<(try reader.get(UInt32.self)) {
      let number = try reader.get(UInt8.self)
      boot.registers[number] = try reader.get(UInt64.self)
    }
    return boot
  }

  private static func readPresentFile(_ reader: inout StateReader) throws(StateError) -> BootDescription.File {
    guard let file = try readFile(&reader) else { throw StateError("a file that it boots is missing in it") }
    return file
  }

  private static func readConfiguration(_ reader: inout StateReader) throws(StateError) -> MachineConfiguration {
    guard try reader.get(UInt64.self) == magic else { throw StateError("it is not a saved machine") }
    let found = try reader.get(UInt32.self)
    guard found == version else {
      throw StateError("it has format version \(found), this program reads version \(version)")
    }
    var c = MachineConfiguration(boot: BootDescription(.firmware(nil)))
    c.memory = try reader.get(UInt64.self)
    c.processors = Int(try reader.get(UInt32.self))
    let cpu = try reader.getString()
    do { c.cpu = try CPUSelection(cpu) } catch { throw StateError(error.description) }
    c.startTime = Int64(bitPattern: try reader.get(UInt64.self))
    c.quantum = try reader.get(UInt64.self)
    c.hasHPET = try reader.getBool()
    c.hasVGA = try reader.getBool()
    c.serialPorts = Int(try reader.get(UInt32.self))
    c.exactSerialTiming = try reader.getBool()
    let hasExit = try reader.getBool()
    let exit = MachineConfiguration.DebugExitPort(
      port: try reader.get(UInt16.self), isQEMUStyle: try reader.getBool())
    c.debugExit = hasExit ? exit : nil
    c.boot = BootDescription(.firmware(try readFile(&reader)))
    c.videoBIOS = try readFile(&reader)
    return c
  }

  /// The machine that a file was saved from, with what it boots after a reset.
  public static func configuration(of bytes: [UInt8], name: String) throws(MachineError) -> MachineConfiguration {
    var reader = StateReader(bytes)
    do throws(StateError) {
      var configuration = try readConfiguration(&reader)
      configuration.boot = try readBoot(&reader, configuration.boot)
      do { try configuration.validate() } catch { throw StateError(error.description) }
      return configuration
    } catch {
      throw refusal(name, error)
    }
  }

  /// One sentence, whatever a forged file has put into its names.
  private static func refusal(_ name: String, _ error: StateError) -> MachineError {
    let text = error.description.unicodeScalars.map { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) ? "?" : Character($0) }
    return .badImage("\(name) cannot be restored: \(String(text))")
  }

  private static func writeSections(_ machine: Machine, to writer: inout StateWriter) {
    // Time-stamp counters take in the time that their processors have not run.
    for connection in machine.connections { connection.resume() }
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
    var reader = StateReader(bytes)
    do throws(StateError) {
      var saved = StateWriter(), mine = StateWriter()
      let configuration = try readConfiguration(&reader)
      _ = try readBoot(&reader, configuration.boot)
      write(configuration, to: &saved)
      write(machine.configuration, to: &mine)
      guard saved.bytes == mine.bytes else {
        throw StateError("it was saved from a machine with another configuration (memory, CPUs, devices)")
      }
      var sections = StateReader(try inflated(&reader))
      try readSections(machine, from: &sections)
      guard sections.isAtEnd else { throw StateError("it has more sections than this machine has devices") }
      try readMemory(machine, from: &reader)
      machine.memoryMapChanged()
      for connection in machine.connections { connection.rebase() }
    } catch {
      throw refusal(name, error)
    }
  }

  private static func inflated(_ reader: inout StateReader) throws(StateError) -> [UInt8] {
    let size = try reader.get(UInt64.self)
    guard size <= 1 << 30 else { throw StateError("a part of it has an impossible length") }
    let packed = try reader.getBytes()
    var length = UInt(size)
    var status = Z_OK
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(size)) { target, count in
      status = uncompress(target.baseAddress!, &length, packed, UInt(packed.count))
      count = status == Z_OK ? Int(length) : 0
    }
    guard status == Z_OK, bytes.count == Int(size) else { throw StateError("a part of it is damaged") }
    return bytes
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
