/// System control port A and the reset control register: fast A20 and the ways to reset a PC besides the keyboard controller.
///
/// Reference: IBM PS/2 Hardware Interface Technical Reference (port 92h); Intel 82371SB (PIIX3) §2.5.6 (CF9h). Ports: 92h, CF9h.
///
/// Not modelled: the hard disk activity lamp and the security lock of port 92h (the bits are kept and read back).

import Platform

/// The A20 gate. The keyboard controller and port 92h drive it; the last write counts.
public final class A20Gate {
  public private(set) var isOpen = true
  /// Called with the new state when it changes.
  public var onChange: ((Bool) -> Void)?

  public init() {}

  public func set(_ open: Bool) {
    if open == isOpen { return }
    isOpen = open
    onChange?(open)
  }
}

/// What a reset request reaches.
public enum ResetKind: Sendable {
  /// The processor alone (INIT#): devices and memory keep their state.
  case processor
  /// The whole machine.
  case system
}

public final class SystemControlA: Device {
  public let name = "port92"
  /// The guest asked for a reset.
  public var onReset: ((ResetKind) -> Void)?

  private let gate: A20Gate
  private var control: UInt8 = 0
  private var resetControl: UInt8 = 0

  public init(gate: A20Gate) { self.gate = gate }

  /// Port 92h.
  public private(set) lazy var port92 = PortWindow(
    read: { [unowned self] _, _ in UInt32(control & ~2 | (gate.isOpen ? 2 : 0)) },
    write: { [unowned self] _, value, _ in
      let byte = UInt8(truncatingIfNeeded: value)
      let rises = byte.bit(0) && !control.bit(0)
      control = byte & 0xFB
      gate.set(byte.bit(1))
      if rises { onReset?(.processor) }
    })

  /// Port CF9h: bit 1 selects a hard reset, the rising edge of bit 2 resets.
  public private(set) lazy var portCF9 = PortWindow(
    read: { [unowned self] _, _ in UInt32(resetControl) },
    write: { [unowned self] _, value, _ in
      let byte = UInt8(truncatingIfNeeded: value)
      let rises = byte.bit(2) && !resetControl.bit(2)
      resetControl = byte & 0x0E
      if rises { onReset?(byte.bit(1) ? .system : .processor) }
    })

  public func reset() {
    control = 0
    resetControl = 0
    gate.set(true)
  }

  public func save(to writer: inout StateWriter) {
    writer.put(control)
    writer.put(resetControl)
    writer.put(gate.isOpen)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    control = try reader.get(UInt8.self)
    resetControl = try reader.get(UInt8.self)
    gate.set(try reader.getBool())
  }
}
