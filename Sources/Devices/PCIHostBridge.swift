/// Host bridge of the Intel 440FX: configuration mechanism 1 and the programmable attribute map of C0000h–FFFFFh.
///
/// Datasheet: Intel 82441FX (order 290549-001). Ports: CF8h–CFFh, accesses up to 4 bytes. PCI 00.0.
///
/// Not modelled: DRAM timing and sizing registers, error reporting, AGP; SMRAM control is kept and offered to the owner.

import Platform

public final class PCIHostBridge: PCIDevice, PortHandler {
  /// One segment of the attribute map.
  public struct Segment: Equatable, Sendable {
    public var base: UInt64
    public var size: UInt64
    /// Reads come from RAM (otherwise from ROM or the bus).
    public var readsRAM: Bool
    /// Writes go to RAM (otherwise to the bus).
    public var writesRAM: Bool
  }

  /// Called with the segments that a write to the attribute map changed.
  public var onAttributesChange: (([Segment]) -> Void)?
  /// Called with the SMRAM control register (72h) when it changes.
  public var onSMRAMChange: ((UInt8) -> Void)?

  private let devices: PCIBus
  private var address: UInt32 = 0

  private static let attributes = 0x59
  private static let smram = 0x72

  /// Creates the bridge and attaches it to `bus` as 00.0.
  public init(bus: PCIBus) {
    devices = bus
    super.init(name: "i440fx", vendor: 0x8086, device: 0x1237, classCode: 0x060000, revision: 2)
    for offset in 0x59...0x5F { define8(offset, 0, writable: offset == 0x59 ? 0x30 : 0x33) }
    define8(0x50, 0, writable: 0xFF)
    define8(0x51, 0x01, writable: 0xFF)
    define8(0x57, 0x01, writable: 0xFF)
    for offset in 0x60...0x67 { define8(offset, 0, writable: 0xFF) }
    define8(Self.smram, 0x02, writable: 0x78)
    bus.attach(self, at: 0)
  }

  /// All thirteen segments as they are now (datasheet §3.2.18).
  public var segments: [Segment] {
    var list: [Segment] = []
    for n in 0..<13 {
      let byte = configuration[Self.attributes + (n + 1) / 2]
      let bits = n.isMultiple(of: 2) ? byte >> 4 : byte
      let base: UInt64 = n == 0 ? 0xF0000 : n <= 8 ? 0xC0000 + UInt64(n - 1) * 0x4000 : 0xE0000 + UInt64(n - 9) * 0x4000
      list.append(Segment(base: base, size: n == 0 ? 0x10000 : 0x4000, readsRAM: bits.bit(0), writesRAM: bits.bit(1)))
    }
    return list
  }

  public override func writeConfiguration(_ offset: Int, _ value: UInt32, size: Int) {
    let oldSegments = segments
    let oldSMRAM = configuration[Self.smram]
    super.writeConfiguration(offset, value, size: size)
    let changed = zip(oldSegments, segments).filter { $0 != $1 }.map { $1 }
    if !changed.isEmpty { onAttributesChange?(changed) }
    // D_LCK closes the register for good: D_OPEN is cleared and nothing can be written until reset.
    if oldSMRAM.bit(4) { setByte(Self.smram, oldSMRAM) }
    let smram = configuration[Self.smram]
    if smram.bit(4) { setByte(Self.smram, smram & ~0x40) }
    if configuration[Self.smram] != oldSMRAM { onSMRAMChange?(configuration[Self.smram]) }
  }

  // MARK: Configuration mechanism 1 (PCI 3.0 §3.2.2.3.2)

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 {
    let ones = UInt32(truncatingIfNeeded: allOnes(size))
    if offset < 4 { return offset == 0 && size == 4 ? address : ones }
    guard let (device, register) = target(offset) else { return ones }
    return device.readConfiguration(register, size: min(size, 4 - Int(offset & 3)))
  }

  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    if offset < 4 {
      if offset == 0, size == 4 { address = value & 0x80FF_FFFC }
      return
    }
    guard let (device, register) = target(offset) else { return }
    device.writeConfiguration(register, value, size: min(size, 4 - Int(offset & 3)))
  }

  private func target(_ offset: UInt16) -> (PCIDevice, Int)? {
    guard address.bit(31), address >> 16 & 0xFF == 0,
      let device = devices.device(at: Int(address >> 11 & 31), function: Int(address >> 8 & 7)) else { return nil }
    return (device, Int(address & 0xFC) + Int(offset & 3))
  }

  // MARK: Device

  public override func reset() {
    let old = segments
    super.reset()
    address = 0
    let changed = zip(old, segments).filter { $0 != $1 }.map { $1 }
    if !changed.isEmpty { onAttributesChange?(changed) }
    onSMRAMChange?(configuration[Self.smram])
  }

  public override func save(to writer: inout StateWriter) {
    super.save(to: &writer)
    writer.put(address)
    devices.save(to: &writer)
  }

  public override func restore(from reader: inout StateReader) throws(StateError) {
    try super.restore(from: &reader)
    address = try reader.get(UInt32.self)
    try devices.restore(from: &reader)
    onAttributesChange?(segments)
    onSMRAMChange?(configuration[Self.smram])
  }
}
