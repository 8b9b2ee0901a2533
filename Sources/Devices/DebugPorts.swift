/// Ports that exist only in emulators (and the POST port): console output, progress codes, and an end of the run with a code.
///
/// References: Bochs "port E9 hack"; SeaBIOS and OVMF debug port 402h; QEMU isa-debug-exit; PC/AT POST port 80h.
/// Ports: E9h, 402h, 80h, and whatever the owner gives to the exit port.
///
/// Not modelled: nothing is left out.

import Platform

/// A write-only text console on one port. Port E9h reads E9h, port 402h reads E9h too: that is how firmware finds them.
public final class DebugConsole: Device, PortHandler {
  public let name: String
  public var onByte: ((UInt8) -> Void)?

  public init(name: String) { self.name = name }

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 { 0xE9 }

  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    for i in 0..<size { onByte?(UInt8(truncatingIfNeeded: value >> UInt32(8 * i))) }
  }

  public func reset() {}
  public func save(to writer: inout StateWriter) {}
  public func restore(from reader: inout StateReader) throws(StateError) {}
}

/// The POST code latch: keeps the last byte written.
public final class POSTPort: Device, PortHandler {
  public let name: String
  public private(set) var code: UInt8 = 0
  public var onCode: ((UInt8) -> Void)?

  public init(name: String = "post") { self.name = name }

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 { UInt32(code) }

  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    code = UInt8(truncatingIfNeeded: value)
    onCode?(code)
  }

  public func reset() { code = 0 }
  public func save(to writer: inout StateWriter) { writer.put(code) }
  public func restore(from reader: inout StateReader) throws(StateError) { code = try reader.get(UInt8.self) }
}

/// A port that ends the run.
public final class DebugExit: Device, PortHandler {
  public enum Style: Sendable {
    /// A write of n ends the run with exit code n.
    case plain
    /// A write of n ends the run with exit code (n << 1) | 1.
    case qemu
  }

  public let name: String
  public var onExit: ((Int32) -> Void)?
  private let style: Style

  public init(name: String = "debug-exit", style: Style) {
    self.name = name
    self.style = style
  }

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 { 0 }

  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    let code = style == .plain ? value : value << 1 | 1
    onExit?(Int32(truncatingIfNeeded: code & 0xFF))
  }

  public func reset() {}
  public func save(to writer: inout StateWriter) {}
  public func restore(from reader: inout StateReader) throws(StateError) {}
}
