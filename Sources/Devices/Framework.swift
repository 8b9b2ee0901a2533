/// Small things that several devices share.

import Platform

/// One of several port ranges of a device, as a handler of its own.
public final class PortWindow: PortHandler {
  private let onRead: (UInt16, Int) -> UInt32
  private let onWrite: (UInt16, UInt32, Int) -> Void

  init(read: @escaping (UInt16, Int) -> UInt32, write: @escaping (UInt16, UInt32, Int) -> Void) {
    onRead = read
    onWrite = write
  }

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 { onRead(offset, size) }
  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) { onWrite(offset, value, size) }
}

/// A fixed-frequency oscillator that ticks from power-on; converts without accumulating rounding errors.
struct ClockRate: Sendable {
  let hertz: UInt64
  private static let second: UInt64 = 1_000_000_000

  init(_ hertz: UInt64) { self.hertz = max(1, hertz) }

  /// Number of whole ticks since power-on.
  func ticks(at time: VirtualTime) -> UInt64 {
    let product = time.multipliedFullWidth(by: hertz)
    if product.high >= Self.second { return .max }
    return Self.second.dividingFullWidth(product).quotient
  }

  /// First nanosecond at which `ticks(at:)` reaches `tick`; `VirtualClock.never` when that is out of range.
  func time(ofTick tick: UInt64) -> VirtualTime {
    let product = tick.multipliedFullWidth(by: Self.second)
    let low = product.low.addingReportingOverflow(hertz - 1)
    let high = product.high &+ (low.overflow ? 1 : 0)
    if high >= hertz { return VirtualClock.never }
    return hertz.dividingFullWidth((high, low.partialValue)).quotient
  }
}

extension FixedWidthInteger {
  @inline(__always)
  func bit(_ n: Int) -> Bool { (self &>> Self(truncatingIfNeeded: n)) & 1 != 0 }

  @inline(__always)
  func settingBit(_ n: Int, _ on: Bool) -> Self {
    let mask: Self = 1 &<< Self(truncatingIfNeeded: n)
    return on ? self | mask : self & ~mask
  }
}

/// All ones in the low `size` bytes: what a bus reads when nobody drives it.
@inline(__always)
func allOnes(_ size: Int) -> UInt64 { size >= 8 ? ~0 : (1 &<< UInt64(size &* 8)) &- 1 }

/// Saved sequences have fixed lengths; a stream of another length is refused, not truncated.
func restoreArray<T: FixedWidthInteger>(
  _ array: inout [T], from reader: inout StateReader
) throws(StateError) {
  for i in array.indices { array[i] = try reader.get(T.self) }
}
