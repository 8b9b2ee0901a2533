/// Pixels from registers and memory. Called only when somebody wants to look.

import Platform

extension VGA {
  /// Draws the display as it is now into `frame`, which takes the size of the mode. Graphics modes that show each line twice
  /// are drawn with each line once.
  public func render(into frame: inout Frame) {
    if dispi.usesFrameBuffer { return renderLinear(into: &frame) }
    if isGraphics || dispi.isEnabled { return renderGraphics(into: &frame) }
    renderText(into: &frame)
  }

  /// True in graphics modes, so that a terminal display knows when there is text.
  public var isGraphics: Bool { dispi.isEnabled || graphics[6].bit(0) }

  /// The display shows black: screen off, or the palette is being loaded.
  private var isBlank: Bool { sequencer[1].bit(5) || !attributeIndex.bit(5) }

  // MARK: Colours

  /// Palette RAM entry as a pixel.
  func colour(_ index: UInt8) -> UInt32 {
    let at = Int(index & paletteMask) * 3
    func component(_ n: Int) -> UInt32 {
      let value = UInt32(palette[at + n])
      return dispi.has8BitPalette ? value : value << 2 | value >> 4 & 3
    }
    return 0xFF00_0000 | component(0) << 16 | component(1) << 8 | component(2)
  }

  /// The sixteen colours of the attribute controller (IBM PS/2 reference, "Color select register").
  private func attributeColours() -> [UInt32] {
    (0..<16).map { n in
      var index = attribute[n & Int(attribute[0x12] & 15)] & 0x3F
      if attribute[0x10].bit(7) { index = index & 0x0F | (attribute[0x14] & 3) << 4 }
      return colour(index | (attribute[0x14] & 0x0C) << 4)
    }
  }

  // MARK: Addresses

  private var startAddress: Int { Int(controller[0x0C]) << 8 | Int(controller[0x0D]) }
  private var lineCompare: Int {
    Int(controller[0x18]) | (controller[7].bit(4) ? 256 : 0) | (controller[9].bit(6) ? 512 : 0)
  }
  private var rowPitch: Int { Int(controller[0x13]) * 2 }
  private var linesPerRow: Int { Int(controller[9] & 31) + 1 }

  /// Memory address of a CRTC counter value: byte, word or doubleword mode (CR14, CR17).
  @inline(__always)
  private func memoryAddress(_ counter: Int, rowScan: Int) -> Int {
    var address: Int
    if controller[0x14].bit(6) {
      address = counter << 2 | counter >> 14 & 3
    } else if !controller[0x17].bit(6) {
      address = counter << 1 | (controller[0x17].bit(5) ? counter >> 15 : counter >> 13) & 1
    } else {
      address = counter
    }
    if !controller[0x17].bit(0) { address = address & ~0x2000 | (rowScan & 1) << 13 }
    if !controller[0x17].bit(1) { address = address & ~0x4000 | (rowScan & 2) << 13 }
    return address & 0xFFFF
  }

  // MARK: Text

  private func renderText(into frame: inout Frame) {
    let columns = Int(controller[1]) + 1
    let cellWidth = sequencer[1].bit(0) ? 8 : 9
    let cellHeight = linesPerRow
    let height = displayedLines / (controller[9].bit(7) ? 2 : 1)
    frame.resize(width: columns * cellWidth, height: height)
    if isBlank { return fill(&frame, 0xFF00_0000) }
    let colours = attributeColours()
    let cursor = Int(controller[0x0E]) << 8 | Int(controller[0x0F])
    let cursorTop = Int(controller[0x0A] & 31), cursorBottom = Int(controller[0x0B] & 31)
    // The cursor blinks twice as fast as characters do.
    let cursorVisible = !controller[0x0A].bit(5) && frameCount & 16 == 0
    let blinks = attribute[0x10].bit(3)
    let blinkOff = blinks && frameCount & 32 != 0
    let fonts = [fontBase(sequencer[3] & 3 | sequencer[3] >> 2 & 4), fontBase(sequencer[3] >> 2 & 3 | sequencer[3] >> 3 & 4)]
    let hasTwoFonts = fonts[0] != fonts[1]
    let underline = Int(controller[0x14] & 31)
    let isMonochrome = attribute[0x10].bit(1)
    let width = frame.width
    let panning = Int(attribute[0x13] & 15)
    let shift = panning >= 8 ? 0 : cellWidth == 9 ? panning + 1 : panning
    let compare = lineCompare / (controller[9].bit(7) ? 2 : 1)

    frame.pixels.withUnsafeMutableBufferPointer { pixels in
      for y in 0..<height {
        let isSplit = y > compare
        let line = isSplit ? y - compare - 1 : y + Int(controller[8] & 31)
        let rowScan = line % cellHeight
        let pan = isSplit && attribute[0x10].bit(5) ? 0 : shift
        let bytePan = isSplit && attribute[0x10].bit(5) ? 0 : Int(controller[8] >> 5 & 3)
        let row = (isSplit ? 0 : startAddress + bytePan) + line / cellHeight * rowPitch
        var x = -pan
        for column in 0...columns {
          if x >= width { break }
          let counter = (row + column) & 0xFFFF
          let cell = planes[memoryAddress(counter, rowScan: 0)]
          let code = Int(cell & 0xFF)
          let attributes = UInt8(truncatingIfNeeded: cell >> 8)
          let font = fonts[attributes.bit(3) ? 1 : 0]
          var bits = UInt32(UInt8(truncatingIfNeeded: planes[(font + code * 32 + rowScan) & 0xFFFF] >> 16)) << 1
          // Line graphics characters repeat their eighth dot in the ninth.
          if attribute[0x10].bit(2), code & 0xE0 == 0xC0 { bits |= bits >> 1 & 1 }
          if isMonochrome, attributes & 7 == 1, rowScan == underline { bits = 0x1FF }
          if blinkOff, attributes.bit(7) { bits = 0 }
          if cursorVisible, counter == cursor, rowScan >= cursorTop, rowScan <= cursorBottom { bits = 0x1FF }
          let foreground = colours[Int(attributes & (hasTwoFonts ? 7 : 15))]
          let background = colours[Int(attributes >> 4 & (blinks ? 7 : 15))]
          for dot in 0..<cellWidth {
            if x >= 0, x < width { pixels[y * width + x] = bits.bit(8 - dot) ? foreground : background }
            x += 1
          }
        }
      }
    }
  }

  /// Address in plane 2 of a font slot (0…7), IBM PS/2 reference, "Character map select register".
  private func fontBase(_ slot: UInt8) -> Int { Int(slot & 3) * 0x4000 + Int(slot >> 2 & 1) * 0x2000 }

  // MARK: Planar graphics

  private func renderGraphics(into frame: inout Frame) {
    let is256 = graphics[5].bit(6)
    var width = (Int(controller[1]) + 1) * 8
    if is256, !dispi.isEnabled { width /= 2 }
    // Lines that only repeat others are left out.
    let usesRowScan = controller[0x17] & 3 != 3
    let repeats = (controller[9].bit(7) ? 2 : 1) * (usesRowScan ? 1 : linesPerRow)
    var height = max(1, displayedLines / repeats)
    var pitch = rowPitch
    var start = startAddress
    if dispi.isEnabled {
      (width, height, pitch) = (dispi.width, dispi.height, dispi.virtualWidth / 8)
      start = dispi.yOffset * pitch + dispi.xOffset / 8
    }
    frame.resize(width: width, height: height)
    if isBlank { return fill(&frame, 0xFF00_0000) }
    let palette256 = is256 ? (0..<256).map { colour(UInt8($0)) } : []
    let colours = attributeColours()
    let compare = dispi.isEnabled ? Int.max : lineCompare / repeats
    let rowsScans = usesRowScan ? linesPerRow : 1
    let pan = Int(attribute[0x13] & 15)

    frame.pixels.withUnsafeMutableBufferPointer { pixels in
      for y in 0..<height {
        let isSplit = y > compare
        let line = isSplit ? y - compare - 1 : y + (usesRowScan || dispi.isEnabled ? 0 : Int(controller[8] & 31) / linesPerRow)
        let rowScan = line % rowsScans
        let keepsPan = !(isSplit && attribute[0x10].bit(5))
        let bytePan = keepsPan && !dispi.isEnabled ? Int(controller[8] >> 5 & 3) : 0
        let row = (isSplit ? 0 : start + bytePan) + line / rowsScans * pitch
        let out = pixels.baseAddress! + y * width
        if is256 {
          draw256(row, rowScan, pan: keepsPan ? pan >> 1 & 3 : 0, width, palette256, out)
        } else if graphics[5].bit(5) {
          drawInterleaved(row, rowScan, width, colours, out)
        } else {
          drawPlanar(row, rowScan, pan: keepsPan ? pan & 7 : 0, width, colours, out)
        }
      }
    }
  }

  private func draw256(
    _ row: Int, _ rowScan: Int, pan: Int, _ width: Int, _ colours: [UInt32], _ out: UnsafeMutablePointer<UInt32>
  ) {
    for x in 0..<width {
      let at = x + pan
      let word = planes[memoryAddress((row + at >> 2) & 0xFFFF, rowScan: rowScan)]
      out[x] = colours[Int(word >> UInt32(8 * (at & 3)) & 0xFF)]
    }
  }

  private func drawPlanar(
    _ row: Int, _ rowScan: Int, pan: Int, _ width: Int, _ colours: [UInt32], _ out: UnsafeMutablePointer<UInt32>
  ) {
    for x in 0..<width {
      let at = x + pan
      let word = planes[memoryAddress((row + at >> 3) & 0xFFFF, rowScan: rowScan)] >> UInt32(7 - at & 7)
      out[x] = colours[Int(word & 1 | word >> 7 & 2 | word >> 14 & 4 | word >> 21 & 8)]
    }
  }

  /// CGA four-colour modes: two bits a pixel, even bytes in plane 0, odd ones in plane 1.
  private func drawInterleaved(
    _ row: Int, _ rowScan: Int, _ width: Int, _ colours: [UInt32], _ out: UnsafeMutablePointer<UInt32>
  ) {
    for x in 0..<width {
      let word = planes[memoryAddress((row + x >> 3) & 0xFFFF, rowScan: rowScan)]
      let shift = UInt32((x & 4) << 1 + (3 - x & 3) << 1)
      out[x] = colours[Int(word >> shift & 3 | (word >> (shift + 16) & 3) << 2)]
    }
  }

  private func fill(_ frame: inout Frame, _ colour: UInt32) {
    for i in frame.pixels.indices { frame.pixels[i] = colour }
  }

  // MARK: Linear frame buffer

  private func renderLinear(into frame: inout Frame) {
    let (width, height, bytes, pitch) = (dispi.width, dispi.height, dispi.bytesPerPixel, dispi.pitch)
    frame.resize(width: width, height: height)
    let start = dispi.yOffset * pitch + dispi.xOffset * bytes
    let colours = bytes == 1 ? (0..<256).map { colour(UInt8($0)) } : []
    frame.pixels.withUnsafeMutableBufferPointer { pixels in
      for y in 0..<height {
        let line = start + y * pitch
        let out = pixels.baseAddress! + y * width
        // A picture that is scrolled past the end of memory goes on in black.
        guard line + width * bytes <= frameBufferSize else {
          for x in 0..<width { out[x] = 0xFF00_0000 }
          continue
        }
        let source = UnsafeRawPointer(frameBuffer) + line
        switch dispi.depth {
        case 8: for x in 0..<width { out[x] = colours[Int(source.load(fromByteOffset: x, as: UInt8.self))] }
        case 15: for x in 0..<width { out[x] = Self.expand15(source.loadUnaligned(fromByteOffset: x * 2, as: UInt16.self)) }
        case 16: for x in 0..<width { out[x] = Self.expand16(source.loadUnaligned(fromByteOffset: x * 2, as: UInt16.self)) }
        case 24:
          for x in 0..<width {
            let low = UInt32(UInt16(littleEndian: source.loadUnaligned(fromByteOffset: x * 3, as: UInt16.self)))
            out[x] = 0xFF00_0000 | UInt32(source.load(fromByteOffset: x * 3 + 2, as: UInt8.self)) << 16 | low
          }
        default:
          for x in 0..<width {
            out[x] = 0xFF00_0000 | UInt32(littleEndian: source.loadUnaligned(fromByteOffset: x * 4, as: UInt32.self))
          }
        }
      }
    }
  }

  private static func expand15(_ raw: UInt16) -> UInt32 {
    let p = UInt32(UInt16(littleEndian: raw))
    let (r, g, b) = (p >> 10 & 31, p >> 5 & 31, p & 31)
    return 0xFF00_0000 | (r << 3 | r >> 2) << 16 | (g << 3 | g >> 2) << 8 | (b << 3 | b >> 2)
  }

  private static func expand16(_ raw: UInt16) -> UInt32 {
    let p = UInt32(UInt16(littleEndian: raw))
    let (r, g, b) = (p >> 11, p >> 5 & 63, p & 31)
    return 0xFF00_0000 | (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2)
  }

  // MARK: Text for terminals

  /// The characters (code page 437) and attributes of a text mode, row by row; nil in graphics modes.
  public func textCells() -> (columns: Int, rows: Int, cells: [(code: UInt8, attribute: UInt8)], cursor: Int?)? {
    if isGraphics { return nil }
    let columns = Int(controller[1]) + 1
    let rows = max(1, displayedLines / (controller[9].bit(7) ? 2 : 1) / linesPerRow)
    var cells: [(code: UInt8, attribute: UInt8)] = []
    cells.reserveCapacity(columns * rows)
    for row in 0..<rows {
      for column in 0..<columns {
        let cell = planes[memoryAddress((startAddress + row * rowPitch + column) & 0xFFFF, rowScan: 0)]
        cells.append((UInt8(truncatingIfNeeded: cell), UInt8(truncatingIfNeeded: cell >> 8)))
      }
    }
    let position = (Int(controller[0x0E]) << 8 | Int(controller[0x0F])) - startAddress
    let isInside = !controller[0x0A].bit(5) && position >= 0 && rowPitch > 0 && position % rowPitch < columns
    let cursor = isInside ? position / rowPitch * columns + position % rowPitch : nil
    return (columns, rows, cells, cursor.flatMap { $0 < cells.count ? $0 : nil })
  }
}
