/// QEMU's firmware configuration device: how SeaBIOS and OVMF learn about the machine.
///
/// Reference: QEMU, docs/specs/fw_cfg.rst. Ports: selector 510h (16 bits), data 511h, DMA 514h–51Bh (big-endian halves).
///
/// Not modelled: write access to items (a DMA write reports an error), the traditional data-port write.

import Platform

public final class FwCfg: Device {
  public let name = "fw_cfg"

  /// Selector keys of the items that are not files.
  public enum Key {
    public static let signature: UInt16 = 0x00, id: UInt16 = 0x01, uuid: UInt16 = 0x02, memorySize: UInt16 = 0x03
    public static let graphics: UInt16 = 0x04, processorCount: UInt16 = 0x05
    public static let kernelAddress: UInt16 = 0x07, kernelSize: UInt16 = 0x08, commandLine: UInt16 = 0x09
    public static let initrdAddress: UInt16 = 0x0A, initrdSize: UInt16 = 0x0B, bootMenu: UInt16 = 0x0E
    public static let maximumProcessors: UInt16 = 0x0F, kernelEntry: UInt16 = 0x10, kernelData: UInt16 = 0x11
    public static let initrdData: UInt16 = 0x12, commandLineAddress: UInt16 = 0x13, commandLineSize: UInt16 = 0x14
    public static let commandLineData: UInt16 = 0x15, setupAddress: UInt16 = 0x16, setupSize: UInt16 = 0x17
    public static let setupData: UInt16 = 0x18, directory: UInt16 = 0x19, firstFile: UInt16 = 0x20
    public static let acpiTables: UInt16 = 0x8000, smbios: UInt16 = 0x8001, irq0Override: UInt16 = 0x8002
    public static let e820: UInt16 = 0x8003, hpet: UInt16 = 0x8004
  }

  private enum DMA {
    static let error: UInt32 = 1, read: UInt32 = 2, skip: UInt32 = 4, select: UInt32 = 8, write: UInt32 = 16
  }

  private let memory: PhysicalMemory
  private var items: [UInt16: [UInt8]] = [:]
  private var files: [(name: String, key: UInt16)] = []
  private var selected: UInt16 = 0
  private var offset: UInt32 = 0
  private var dmaAddress: UInt64 = 0

  public init(memory: PhysicalMemory) {
    self.memory = memory
    items[Key.signature] = Array("QEMU".utf8)
    // Bit 0: the traditional interface, bit 1: DMA.
    items[Key.id] = [3, 0, 0, 0]
    rebuildDirectory()
  }

  // MARK: Contents

  /// Sets the bytes of an item by key.
  public func setItem(_ key: UInt16, _ bytes: [UInt8]) { items[key & ~0x4000] = bytes }

  /// Sets an item to a little-endian number.
  public func setItem<T: FixedWidthInteger>(_ key: UInt16, number: T) {
    setItem(key, withUnsafeBytes(of: number.littleEndian) { Array($0) })
  }

  /// Adds or replaces a file such as "etc/e820"; names have at most 55 bytes.
  public func addFile(_ name: String, _ bytes: [UInt8]) {
    precondition(name.utf8.count <= 55, "fw_cfg file names have at most 55 bytes")
    if let known = files.first(where: { $0.name == name }) {
      items[known.key] = bytes
    } else {
      let key = Key.firstFile + UInt16(files.count)
      files.append((name, key))
      items[key] = bytes
    }
    rebuildDirectory()
  }

  private func rebuildDirectory() {
    var bytes: [UInt8] = []
    func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.bigEndian) { bytes += $0 } }
    put(UInt32(files.count))
    for file in files.sorted(by: { $0.name < $1.name }) {
      put(UInt32(items[file.key]?.count ?? 0))
      put(file.key)
      put(UInt16(0))
      bytes += Array(file.name.utf8) + [UInt8](repeating: 0, count: 56 - file.name.utf8.count)
    }
    items[Key.directory] = bytes
  }

  // MARK: Reading

  private func select(_ key: UInt16) {
    // Bit 14 only asks for write access.
    selected = key & ~0x4000
    offset = 0
  }

  private func nextByte() -> UInt8 {
    guard let item = items[selected], Int(offset) < item.count else { return 0 }
    defer { offset += 1 }
    return item[Int(offset)]
  }

  /// Selector and data: ports 510h–511h.
  public private(set) lazy var registers = PortWindow(
    read: { [unowned self] offset, size in
      if offset == 0 { return UInt32(truncatingIfNeeded: allOnes(size)) }
      return UInt32(nextByte())
    },
    write: { [unowned self] offset, value, size in
      if offset == 0, size == 2 { select(UInt16(truncatingIfNeeded: value)) }
    })

  /// DMA address: ports 514h–51Bh, accesses of 4 bytes.
  public private(set) lazy var dma = PortWindow(
    read: { offset, size in
      // "QEMU CFG" in big-endian order tells that the interface is there.
      let signature: [UInt8] = Array("QEMU CFG".utf8)
      var value: UInt32 = 0
      for i in 0..<size { value |= UInt32(signature[(Int(offset) + i) & 7]) << UInt32(8 * i) }
      return value
    },
    write: { [unowned self] offset, value, size in
      guard size == 4 else { return }
      if offset == 0 {
        dmaAddress = UInt64(value.byteSwapped) << 32
      } else if offset == 4 {
        let address = dmaAddress | UInt64(value.byteSwapped)
        dmaAddress = 0
        transfer(address)
      }
    })

  private func readBig(_ address: UInt64, bytes: Int) -> UInt64 {
    var value: UInt64 = 0
    for i in 0..<UInt64(bytes) { value = value << 8 | memory.read(address &+ i, size: 1) }
    return value
  }

  private func transfer(_ address: UInt64) {
    let control = UInt32(readBig(address, bytes: 4))
    let length = UInt32(readBig(address &+ 4, bytes: 4))
    let target = readBig(address &+ 8, bytes: 8)
    if control & DMA.select != 0 { select(UInt16(truncatingIfNeeded: control >> 16)) }
    var result: UInt32 = 0
    if control & DMA.read != 0 {
      if !copy(length, to: target) { result = DMA.error }
    } else if control & DMA.skip != 0 {
      offset = UInt32(min(UInt64(offset) + UInt64(length), UInt64(items[selected]?.count ?? 0)))
    } else if control & DMA.write != 0 {
      result = DMA.error
    }
    for i in 0..<UInt64(4) { memory.write(address &+ i, UInt64(result >> UInt32(24 - 8 * i)) & 0xFF, size: 1) }
  }

  /// Copies the rest of the item, then zeroes. Stops at the first page that is not memory.
  private func copy(_ length: UInt32, to target: UInt64) -> Bool {
    let item = items[selected] ?? []
    let available = min(max(0, item.count - Int(offset)), Int(length))
    let start = min(Int(offset), item.count)
    offset += UInt32(available)
    let copied = item[start..<start + available].withUnsafeBytes { memory.load($0, at: target) }
    guard copied else { return false }
    let zeroes = [UInt8](repeating: 0, count: 4096)
    var at = target &+ UInt64(available)
    var left = Int(length) - available
    while left > 0 {
      let part = min(left, zeroes.count)
      guard zeroes.withUnsafeBytes({ memory.load(UnsafeRawBufferPointer(rebasing: $0[0..<part]), at: at) }) else { return false }
      at &+= UInt64(part)
      left -= part
    }
    return true
  }

  // MARK: Device

  public func reset() {
    selected = 0
    offset = 0
    dmaAddress = 0
  }

  public func save(to writer: inout StateWriter) {
    writer.put(selected)
    writer.put(offset)
    writer.put(dmaAddress)
    // The contents may have changed since the machine was built: files by name, the rest by key.
    writer.put(UInt32(items.count))
    for key in items.keys.sorted() {
      writer.put(key)
      writer.put(items[key] ?? [])
    }
    writer.put(UInt32(files.count))
    for file in files {
      writer.put(file.name)
      writer.put(file.key)
    }
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    selected = try reader.get(UInt16.self)
    offset = try reader.get(UInt32.self)
    dmaAddress = try reader.get(UInt64.self)
    items = [:]
    for _ in 0..<(try reader.get(UInt32.self)) {
      let key = try reader.get(UInt16.self)
      items[key] = try reader.getBytes()
    }
    files = []
    for _ in 0..<(try reader.get(UInt32.self)) {
      let name = try reader.getString()
      guard name.utf8.count <= 55 else { throw StateError("the saved state of fw_cfg is damaged") }
      files.append((name, try reader.get(UInt16.self)))
    }
  }
}
