/// A device's registers in I/O space. The device sees offsets in its own range.
public protocol PortHandler: AnyObject {
  /// Reads `size` bytes (1, 2 or 4) at `offset`; the value is right-justified.
  func readPort(_ offset: UInt16, size: Int) -> UInt32
  func writePort(_ offset: UInt16, _ value: UInt32, size: Int)
}

/// The 64 KiB of I/O space. Unclaimed ports read all ones and swallow writes.
public final class PortSpace {
  private struct Claim {
    var base: UInt16
    var end: UInt32
    var maximumSize: Int
    var handler: any PortHandler
  }

  @exclusivity(unchecked) private var claims: [Claim] = []
  @exclusivity(unchecked) private var index = [UInt8](repeating: 0xFF, count: 65536)

  public init() {}

  /// Gives ports [base, base+count) to `handler`. An access wider than `maximumSize` bytes is split into
  /// accesses of that size, as the ISA bus controller does.
  public func add(_ handler: any PortHandler, at base: UInt16, count: Int, maximumSize: Int = 1) {
    claims.append(Claim(base: base, end: UInt32(base) + UInt32(count), maximumSize: maximumSize, handler: handler))
    rebuild()
  }

  public func remove(_ handler: any PortHandler) {
    claims.removeAll { $0.handler === handler }
    rebuild()
  }

  private func rebuild() {
    precondition(claims.count < 0xFF)
    for i in 0..<65536 { index[i] = 0xFF }
    for (n, c) in claims.enumerated() {
      for p in Int(c.base)..<min(Int(c.end), 65536) { index[p] = UInt8(n) }
    }
  }

  public func read(_ port: UInt16, size: Int) -> UInt32 {
    let n = Int(index[Int(port)])
    if n != 0xFF {
      let c = claims[n]
      if size <= c.maximumSize { return c.handler.readPort(port &- c.base, size: size) }
    } else if size == 1 {
      return 0xFF
    }
    let part = n == 0xFF ? 1 : claims[n].maximumSize
    var value: UInt32 = 0
    for i in stride(from: 0, to: size, by: part) {
      value |= read(port &+ UInt16(i), size: part) &<< UInt32(i * 8)
    }
    return value
  }

  public func write(_ port: UInt16, _ value: UInt32, size: Int) {
    let n = Int(index[Int(port)])
    if n != 0xFF {
      let c = claims[n]
      if size <= c.maximumSize { c.handler.writePort(port &- c.base, value, size: size); return }
    } else if size == 1 {
      return
    }
    let part = n == 0xFF ? 1 : claims[n].maximumSize
    let mask: UInt32 = part == 1 ? 0xFF : 0xFFFF
    for i in stride(from: 0, to: size, by: part) {
      write(port &+ UInt16(i), (value &>> UInt32(i * 8)) & mask, size: part)
    }
  }
}
