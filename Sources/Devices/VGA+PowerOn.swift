/// The state in which a VGA BIOS leaves the display, for boots without one.

import Platform

extension VGA {
  /// Sets up mode 3, 80 × 25 text in 9 × 16 cells: registers, palette, font and a blank screen (IBM PS/2 reference,
  /// "Mode tables").
  public func initialiseTextMode3() {
    reset()
    miscellaneous = 0x67
    sequencer = [0x03, 0x00, 0x03, 0x00, 0x02, 0, 0, 0]
    controller = [
      0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00,
      0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF,
    ]
    graphics = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF]
    attribute = [
      0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F,
      0x0C, 0x00, 0x0F, 0x08, 0x00,
    ]
    attributeIndex = 0x20
    loadDefaultPalette()
    for address in 0..<Self.planeSize { planes[address] = address < 0x4000 && address & 1 == 0 ? 0x0000_0720 : 0 }
    loadFont(CodePage437Font.glyphs, height: CodePage437Font.height)
  }

  /// The first 64 entries are the EGA's colours: two bits a component, the brighter one in bits 0–2.
  private func loadDefaultPalette() {
    for n in 0..<64 {
      for (component, bit) in [2, 1, 0].enumerated() {
        let level = UInt8(n >> bit & 1) * 0x2A + UInt8(n >> (bit + 3) & 1) * 0x15
        palette[n * 3 + component] = level
      }
    }
    for n in 64 * 3..<palette.count { palette[n] = 0 }
  }

  /// Puts a font of 256 glyphs into slot 0 of plane 2.
  private func loadFont(_ glyphs: [UInt8], height: Int) {
    for code in 0..<256 {
      for line in 0..<height {
        let address = code * 32 + line
        planes[address] = planes[address] & 0xFF00_FFFF | UInt32(glyphs[code * height + line]) << 16
      }
    }
  }
}
