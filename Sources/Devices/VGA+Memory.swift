/// The VGA's memory as the processor sees it (IBM PS/2 reference, "Video memory read/write operation").

import Platform

extension VGA: MemoryHandler {
  /// Offsets count from A0000h; the window is 128 KiB.
  public static let windowBase = PhysicalAddress(0xA0000)
  public static let windowSize: UInt64 = 0x20000

  public func readMemory(_ offset: UInt64, size: Int) -> UInt64 {
    var value: UInt64 = 0
    for i in 0..<size { value |= UInt64(readByte(UInt32(truncatingIfNeeded: offset) &+ UInt32(i))) << UInt64(8 * i) }
    return value
  }

  public func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int) {
    for i in 0..<size {
      writeByte(UInt32(truncatingIfNeeded: offset) &+ UInt32(i), UInt8(truncatingIfNeeded: value >> UInt64(8 * i)))
    }
  }

  /// Position in the window selected by the memory map field, or nil outside it.
  @inline(__always)
  private func windowOffset(_ offset: UInt32) -> UInt32? {
    guard miscellaneous.bit(1) || dispi.usesFrameBuffer, offset < 0x20000 else { return nil }
    switch graphics[6] >> 2 & 3 {
    case 0: return offset
    case 1: return offset < 0x10000 ? offset : nil
    case 2: return offset & 0x18000 == 0x10000 ? offset & 0x7FFF : nil
    default: return offset & 0x18000 == 0x18000 ? offset & 0x7FFF : nil
    }
  }

  private var isChain4: Bool { sequencer[4].bit(3) }
  private var isOddEven: Bool { !sequencer[4].bit(2) }

  /// Address within the planes in odd/even mode: with chaining on, A0 only chooses the plane, and the page bit (or A16 of the
  /// 128 KiB window) takes its place.
  @inline(__always)
  private func oddEvenAddress(_ offset: UInt32) -> Int {
    if !graphics[6].bit(1) { return Int(offset & 0xFFFF) }
    let page = graphics[6] >> 2 & 3 == 0 ? offset >> 16 & 1 : miscellaneous.bit(5) ? 0 : 1
    return Int(offset & 0xFFFE | page)
  }

  private func readByte(_ offset: UInt32) -> UInt8 {
    if dispi.usesFrameBuffer { return offset < 0x10000 ? readBank(offset) : 0xFF }
    guard let at = windowOffset(offset) else { return 0xFF }
    if isChain4 {
      latch = planes[Int(at & 0xFFFC)]
      return UInt8(truncatingIfNeeded: latch >> (8 * (at & 3)))
    }
    if graphics[5].bit(4) {
      latch = planes[oddEvenAddress(at)]
      let plane = UInt32(graphics[4] & 2) | at & 1
      return UInt8(truncatingIfNeeded: latch >> (8 * plane))
    }
    latch = planes[Int(at & 0xFFFF)]
    if graphics[5].bit(3) { return compare() }
    return UInt8(truncatingIfNeeded: latch >> (8 * UInt32(graphics[4] & 3)))
  }

  /// Read mode 1: bits whose colour equals the colour compare register in the planes that count.
  private func compare() -> UInt8 {
    let different = (latch ^ Self.expand(graphics[2])) & Self.expand(graphics[7])
    let folded = different | different >> 16
    return ~UInt8(truncatingIfNeeded: folded | folded >> 8)
  }

  /// Four bits, one a plane, to whole bytes.
  @inline(__always)
  static func expand(_ bits: UInt8) -> UInt32 {
    let b = UInt32(bits)
    return (b & 1 | (b & 2) << 7 | (b & 4) << 14 | (b & 8) << 21) &* 0xFF
  }

  private func writeByte(_ offset: UInt32, _ byte: UInt8) {
    if dispi.usesFrameBuffer {
      if offset < 0x10000 { writeBank(offset, byte) }
      return
    }
    guard let at = windowOffset(offset) else { return }
    let mapMask = sequencer[2]
    if isChain4 {
      let lane: UInt32 = 0xFF << (8 * (at & 3))
      modify(Int(at & 0xFFFC), data: byte, mask: Self.expand(mapMask) & lane)
    } else if isOddEven {
      let odd: UInt32 = at & 1 == 0 ? 0x00FF_00FF : 0xFF00_FF00
      modify(oddEvenAddress(at), data: byte, mask: Self.expand(mapMask) & odd)
    } else {
      modify(Int(at & 0xFFFF), data: byte, mask: Self.expand(mapMask))
    }
  }

  /// The data path of a write: rotate, set/reset, logical operation with the latches, bit mask, map mask.
  @inline(__always)
  private func modify(_ address: Int, data: UInt8, mask: UInt32) {
    let rotation = graphics[3] & 7
    let rotated = data >> rotation | data << (8 - rotation)
    let bitMask: UInt32
    var value: UInt32
    switch graphics[5] & 3 {
    case 0:
      let setReset = Self.expand(graphics[1])
      value = UInt32(rotated) &* 0x0101_0101 & ~setReset | Self.expand(graphics[0]) & setReset
      bitMask = UInt32(graphics[8]) &* 0x0101_0101
      value = combine(value)
    case 1:
      value = latch
      bitMask = .max
    case 2:
      value = combine(Self.expand(data & 15))
      bitMask = UInt32(graphics[8]) &* 0x0101_0101
    default:
      value = Self.expand(graphics[0])
      bitMask = UInt32(graphics[8] & rotated) &* 0x0101_0101
    }
    value = value & bitMask | latch & ~bitMask
    planes[address] = planes[address] & ~mask | value & mask
  }

  @inline(__always)
  private func combine(_ value: UInt32) -> UInt32 {
    switch graphics[3] >> 3 & 3 {
    case 0: return value
    case 1: return value & latch
    case 2: return value | latch
    default: return value ^ latch
    }
  }

  // MARK: Banked window of the DISPI modes

  private func readBank(_ offset: UInt32) -> UInt8 {
    let at = (Int(dispi.bank) << 16) + Int(offset)
    return at < frameBufferSize ? frameBuffer.load(fromByteOffset: at, as: UInt8.self) : 0xFF
  }

  private func writeBank(_ offset: UInt32, _ byte: UInt8) {
    let at = (Int(dispi.bank) << 16) + Int(offset)
    if at < frameBufferSize { frameBuffer.storeBytes(of: byte, toByteOffset: at, as: UInt8.self) }
  }
}
