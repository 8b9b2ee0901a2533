/// Intel 82093AA I/O APIC with 24 inputs, optionally with the EOI register of later chip sets.
///
/// Datasheet: Intel 82093AA (order 290566-001); EOI register: Intel ICH9 §13.5. Memory: 4 KiB, usually at FEC00000h.
///
/// Inputs carry "asserted", so the polarity bit of an entry is kept and otherwise ignored.
///
/// Not modelled: the serial APIC bus (messages arrive at once, delivery status reads idle), arbitration.

import Platform

public final class IOAPIC: Device, MemoryHandler, InterruptSink {
  public let name = "ioapic"
  public static let inputCount = 24

  private let bus: APICBus
  private let version: UInt8
  private let initialID: UInt8
  private var id: UInt8
  private var selected: UInt8 = 0
  private var entries = [UInt64](repeating: Entry.masked, count: IOAPIC.inputCount)
  private var lines: UInt32 = 0

  private enum Entry {
    static let masked: UInt64 = 1 << 16
    static let level: UInt64 = 1 << 15
    static let remoteIRR: UInt64 = 1 << 14
    static let logical: UInt64 = 1 << 11
    static let writable: UInt64 = 0xFF00_0000_0001_AFFF
  }

  /// - Parameters:
  ///   - id: APIC ID at reset; the MADT and the MP table must say the same.
  ///   - version: 11h for the 82093AA, 20h with an EOI register.
  public init(bus: APICBus, id: UInt8 = 0, version: UInt8 = 0x20) {
    self.bus = bus
    self.version = version
    initialID = id & 0x0F
    self.id = initialID
    bus.attach(self)
  }

  // MARK: Inputs

  public func setInput(_ input: Int, level: Bool) {
    guard input >= 0, input < Self.inputCount else { return }
    let rises = level && !lines.bit(input)
    lines = lines.settingBit(input, level)
    let entry = entries[input]
    if entry & Entry.level != 0 {
      serviceLevel(input)
    } else if rises, entry & Entry.masked == 0 {
      deliver(entry)
    }
  }

  /// Sends a level interrupt that is asserted and not yet accepted.
  private func serviceLevel(_ input: Int) {
    let entry = entries[input]
    guard entry & (Entry.masked | Entry.level | Entry.remoteIRR) == Entry.level, lines.bit(input) else { return }
    // Remote IRR exists for fixed and lowest-priority delivery only; the others are edges by definition.
    if entry >> 8 & 7 <= 1 { entries[input] |= Entry.remoteIRR }
    deliver(entry)
  }

  private func deliver(_ entry: UInt64) {
    bus.deliver(APICMessage(
      vector: UInt8(truncatingIfNeeded: entry),
      mode: APICMessage.Mode(rawValue: UInt8(entry >> 8 & 7)) ?? .fixed,
      destination: APICMessage.Destination(
        narrow: UInt8(truncatingIfNeeded: entry >> 56), isLogical: entry & Entry.logical != 0),
      isLevel: entry & Entry.level != 0))
  }

  /// An EOI for a level-triggered vector, broadcast by a local APIC or written to the EOI register.
  public func endOfInterrupt(_ vector: UInt8) {
    for input in 0..<Self.inputCount {
      let entry = entries[input]
      if UInt8(truncatingIfNeeded: entry) == vector, entry & Entry.level != 0 {
        entries[input] &= ~Entry.remoteIRR
        serviceLevel(input)
      }
    }
  }

  /// The redirection entry of an input, as the guest reads it.
  public func redirection(_ input: Int) -> UInt64 { entries.indices.contains(input) ? entries[input] : 0 }

  // MARK: Registers

  private func readSelected() -> UInt32 {
    switch selected {
    case 0, 2: return UInt32(id) << 24
    case 1: return UInt32(Self.inputCount - 1) << 16 | UInt32(version)
    case 0x10..<(0x10 + 2 * UInt8(Self.inputCount)):
      let entry = entries[Int(selected - 0x10) / 2]
      return UInt32(truncatingIfNeeded: selected & 1 == 0 ? entry : entry >> 32)
    default: return 0
    }
  }

  private func writeSelected(_ value: UInt32) {
    switch selected {
    case 0: id = UInt8(value >> 24 & 0x0F)
    case 0x10..<(0x10 + 2 * UInt8(Self.inputCount)):
      let n = Int(selected - 0x10) / 2
      let old = entries[n]
      var new = selected & 1 == 0
        ? old & ~0xFFFF_FFFF | UInt64(value)
        : old & 0xFFFF_FFFF | UInt64(value) << 32
      new &= Entry.writable
      // Remote IRR is read-only, and meaningless for edges: system software clears it by a visit to edge mode.
      if new & Entry.level != 0 { new |= old & Entry.remoteIRR }
      entries[n] = new
      serviceLevel(n)
    default: break
    }
  }

  public func readMemory(_ offset: UInt64, size: Int) -> UInt64 {
    let shift = (offset & 3) * 8
    switch offset & 0xFF0 {
    case 0x00: return UInt64(selected) >> shift
    case 0x10: return UInt64(readSelected()) >> shift
    default: return 0
    }
  }

  public func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int) {
    switch offset & 0xFFF {
    case 0x00: selected = UInt8(truncatingIfNeeded: value)
    case 0x10: writeSelected(UInt32(truncatingIfNeeded: value))
    case 0x40: if version >= 0x20 { endOfInterrupt(UInt8(truncatingIfNeeded: value)) }
    default: break
    }
  }

  // MARK: Device

  public func reset() {
    id = initialID
    selected = 0
    for n in entries.indices { entries[n] = Entry.masked }
  }

  public func save(to writer: inout StateWriter) {
    writer.put(id)
    writer.put(selected)
    writer.put(lines)
    for entry in entries { writer.put(entry) }
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    id = try reader.get(UInt8.self)
    selected = try reader.get(UInt8.self)
    lines = try reader.get(UInt32.self)
    try restoreArray(&entries, from: &reader)
  }
}
