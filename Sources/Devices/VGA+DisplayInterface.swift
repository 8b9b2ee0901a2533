/// The Bochs VBE display interface (DISPI), version B0C5h: index port 1CEh, data port 1CFh (and 1D0h), 16 bits each.

import Platform

extension VGA {
  struct DisplayInterface {
    private enum Index {
      static let id = 0, width = 1, height = 2, depth = 3, enable = 4, bank = 5, virtualWidth = 6, virtualHeight = 7
      static let xOffset = 8, yOffset = 9, memory = 10
    }
    private enum Enable {
      static let enabled: UInt16 = 1, capabilities: UInt16 = 2, palette8: UInt16 = 0x20, linear: UInt16 = 0x40
      static let keepMemory: UInt16 = 0x80
    }
    private static let maximumWidth = 2560, maximumHeight = 1600

    private var memorySize: Int
    var index: UInt16 = 0
    private var registers = [UInt16](repeating: 0, count: 11)

    init(memorySize: Int) {
      self.memorySize = memorySize
      registers[Index.id] = 0xB0C5
      registers[Index.memory] = UInt16(truncatingIfNeeded: memorySize >> 16)
    }

    var isEnabled: Bool { registers[Index.enable] & Enable.enabled != 0 }
    var has8BitPalette: Bool { registers[Index.enable] & Enable.palette8 != 0 }
    var depth: Int { Int(registers[Index.depth]) }
    /// The display and the window at A0000h show linear memory.
    var usesFrameBuffer: Bool { isEnabled && depth >= 8 }
    var bank: UInt16 { registers[Index.bank] }
    var width: Int { Int(registers[Index.width]) }
    var height: Int { Int(registers[Index.height]) }
    var xOffset: Int { Int(registers[Index.xOffset]) }
    var yOffset: Int { Int(registers[Index.yOffset]) }
    var virtualWidth: Int { Int(registers[Index.virtualWidth]) }
    /// Bytes of a pixel: 8 → 1, 15 and 16 → 2, 24 → 3, 32 → 4.
    var bytesPerPixel: Int { (depth + 7) / 8 }
    var pitch: Int { virtualWidth * bytesPerPixel }

    func read() -> UInt16 {
      let n = Int(index)
      guard n < registers.count else { return 0 }
      if registers[Index.enable] & Enable.capabilities != 0 {
        switch n {
        case Index.width: return UInt16(Self.maximumWidth)
        case Index.height: return UInt16(Self.maximumHeight)
        case Index.depth: return 32
        default: break
        }
      }
      return registers[n]
    }

    /// Returns true when the mode was switched on and its memory is to be cleared.
    mutating func write(_ value: UInt16) -> Bool {
      switch Int(index) {
      case Index.id: if (0xB0C0...0xB0C5).contains(value) { registers[Index.id] = value }
      case Index.width: if !isEnabled, (1...Self.maximumWidth).contains(Int(value)) { registers[Index.width] = value }
      case Index.height: if !isEnabled, (1...Self.maximumHeight).contains(Int(value)) { registers[Index.height] = value }
      case Index.depth: if !isEnabled, [0, 4, 8, 15, 16, 24, 32].contains(value) { registers[Index.depth] = value == 0 ? 8 : value }
      case Index.bank: if Int(value) < memorySize >> 16 { registers[Index.bank] = value }
      case Index.virtualWidth: setVirtualWidth(value)
      case Index.xOffset: registers[Index.xOffset] = value
      case Index.yOffset: registers[Index.yOffset] = value
      case Index.enable: return enable(value)
      default: break
      }
      return false
    }

    private mutating func enable(_ value: UInt16) -> Bool {
      let turnsOn = value & Enable.enabled != 0 && !isEnabled
      registers[Index.enable] = value & 0xE3
      guard turnsOn else { return false }
      registers[Index.bank] = 0
      registers[Index.xOffset] = 0
      registers[Index.yOffset] = 0
      setVirtualWidth(registers[Index.width])
      // A mode that does not fit into memory is not switched on.
      let bytesPerLine = depth == 4 ? width / 8 : width * bytesPerPixel
      if bytesPerLine * height == 0 || bytesPerLine * height > (depth == 4 ? VGA.planeSize : memorySize) {
        registers[Index.enable] &= ~Enable.enabled
        return false
      }
      return value & Enable.keepMemory == 0
    }

    private mutating func setVirtualWidth(_ value: UInt16) {
      let wanted = max(Int(value), width)
      let bytesPerLine = depth == 4 ? wanted / 8 : wanted * bytesPerPixel
      let lines = bytesPerLine == 0 ? 0 : (depth == 4 ? VGA.planeSize : memorySize) / bytesPerLine
      if lines < height { return }
      registers[Index.virtualWidth] = UInt16(wanted)
      registers[Index.virtualHeight] = UInt16(min(lines, 0xFFFF))
    }

    func save(to writer: inout StateWriter) {
      writer.put(index)
      for register in registers { writer.put(register) }
    }

    mutating func restore(from reader: inout StateReader) throws(StateError) {
      index = try reader.get(UInt16.self)
      try restoreArray(&registers, from: &reader)
      guard width <= Self.maximumWidth, height <= Self.maximumHeight, depth <= 32,
        virtualWidth >= width || !isEnabled, !usesFrameBuffer || pitch * height <= memorySize else {
        throw StateError("the saved state of the VGA is damaged")
      }
    }
  }

  func writeDisplayInterface(_ value: UInt16) {
    guard dispi.write(value) else { return }
    if dispi.usesFrameBuffer {
      frameBuffer.initializeMemory(as: UInt8.self, repeating: 0, count: dispi.pitch * dispi.height)
    } else {
      planes.update(repeating: 0, count: Self.planeSize)
    }
  }
}
