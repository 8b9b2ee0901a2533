/// A font of our own for code page 437 in cells of 8 × 16, for text mode without a VGA BIOS.
///
/// Letters and symbols are drawn on sheets; accented letters are a letter and a mark; box characters follow from the weight
/// of their four arms.

enum CodePage437Font {
  static let height = 16

  /// 256 glyphs of 16 bytes, the leftmost dot in bit 7.
  static let glyphs: [UInt8] = {
    var font = [UInt8](repeating: 0, count: 256 * height)
    readSheets(into: &font)
    combine(into: &font)
    drawBoxes(into: &font)
    drawBlocks(into: &font)
    return font
  }()

  // MARK: Drawn glyphs

  private static func readSheets(into font: inout [UInt8]) {
    var codes: [Int] = []
    var row = 0
    for line in sheets.split(separator: "\n") {
      let cells = line.split(separator: " ")
      if cells.first?.count == 2 {
        codes = cells.map { Int($0, radix: 16) ?? 0 }
        row = 2
      } else {
        for (code, cell) in zip(codes, cells) { font[code * height + row] = bits(cell) }
        row += 1
      }
    }
    // What touches the upper border of a sheet and has to go on to the next cell above.
    for code in [0xF5] { for row in 0..<2 { font[code * height + row] = font[code * height + 2] } }
    // Two symbols are the negatives of others, over the whole cell.
    for row in 0..<height {
      font[0x08 * height + row] = ~font[0x07 * height + row]
      font[0x0A * height + row] = ~font[0x09 * height + row]
    }
  }

  private static func bits(_ dots: some StringProtocol) -> UInt8 {
    dots.utf8.reduce(0) { $0 << 1 | ($1 == UInt8(ascii: "#") ? 1 : 0) }
  }

  // MARK: Accented letters

  private enum Mark { case acute, grave, circumflex, diaeresis, ring, tilde, cedilla }

  private static func pattern(_ mark: Mark) -> [UInt8] {
    switch mark {
    case .acute: [0b0000_1000, 0b0001_0000]
    case .grave: [0b0010_0000, 0b0001_0000]
    case .circumflex: [0b0001_1000, 0b0010_0100]
    case .diaeresis: [0, 0b0010_0100]
    case .ring: [0b0001_1000, 0b0001_1000]
    case .tilde: [0b0011_0010, 0b0100_1100]
    case .cedilla: [0b0000_1000, 0b0001_1000]
    }
  }

  private static let accented: [(code: Int, letter: Character, mark: Mark)] = [
    (0x80, "C", .cedilla), (0x81, "u", .diaeresis), (0x82, "e", .acute), (0x83, "a", .circumflex),
    (0x84, "a", .diaeresis), (0x85, "a", .grave), (0x86, "a", .ring), (0x87, "c", .cedilla),
    (0x88, "e", .circumflex), (0x89, "e", .diaeresis), (0x8A, "e", .grave), (0x8B, "i", .diaeresis),
    (0x8C, "i", .circumflex), (0x8D, "i", .grave), (0x8E, "A", .diaeresis), (0x8F, "A", .ring),
    (0x90, "E", .acute), (0x93, "o", .circumflex), (0x94, "o", .diaeresis), (0x95, "o", .grave),
    (0x96, "u", .circumflex), (0x97, "u", .grave), (0x98, "y", .diaeresis), (0x99, "O", .diaeresis),
    (0x9A, "U", .diaeresis), (0xA0, "a", .acute), (0xA1, "i", .acute), (0xA2, "o", .acute),
    (0xA3, "u", .acute), (0xA4, "n", .tilde), (0xA5, "N", .tilde),
  ]

  private static func combine(into font: inout [UInt8]) {
    for (code, letter, mark) in accented {
      let source = Int(letter.asciiValue ?? 0) * height
      for row in 0..<height { font[code * height + row] = font[source + row] }
      // The mark replaces the dot of an i.
      if letter == "i" { for row in 2..<5 { font[code * height + row] = 0 } }
      let top = mark == .cedilla ? 12 : letter.isUppercase ? 0 : 2
      for (row, dots) in pattern(mark).enumerated() { font[code * height + top + row] |= dots }
    }
  }

  // MARK: Boxes

  /// Weights of the arms of B3h–DAh: left, right, up, down; 0 none, 1 single, 2 double.
  private static let arms: [(left: Int, right: Int, up: Int, down: Int)] = [
    (0, 0, 1, 1), (1, 0, 1, 1), (2, 0, 1, 1), (1, 0, 2, 2), (1, 0, 0, 2), (2, 0, 0, 1), (2, 0, 2, 2), (0, 0, 2, 2),
    (2, 0, 0, 2), (2, 0, 2, 0), (1, 0, 2, 0), (2, 0, 1, 0), (1, 0, 0, 1), (0, 1, 1, 0), (1, 1, 1, 0), (1, 1, 0, 1),
    (0, 1, 1, 1), (1, 1, 0, 0), (1, 1, 1, 1), (0, 2, 1, 1), (0, 1, 2, 2), (0, 2, 2, 0), (0, 2, 0, 2), (2, 2, 2, 0),
    (2, 2, 0, 2), (0, 2, 2, 2), (2, 2, 0, 0), (2, 2, 2, 2), (2, 2, 1, 0), (1, 1, 2, 0), (2, 2, 0, 1), (1, 1, 0, 2),
    (0, 1, 2, 0), (0, 2, 1, 0), (0, 2, 0, 1), (0, 1, 0, 2), (1, 1, 2, 2), (2, 2, 1, 1), (1, 0, 1, 0), (0, 1, 0, 1),
  ]

  private static func drawBoxes(into font: inout [UInt8]) {
    for (n, arm) in arms.enumerated() {
      var cell = Cell()
      let (hasLeft, hasRight, hasUp, hasDown) = (arm.left > 0, arm.right > 0, arm.up > 0, arm.down > 0)
      let across = max(arm.left, arm.right), along = max(arm.up, arm.down)
      cell.lines(
        isRow: true, weight: across, before: hasLeft, after: hasRight,
        crossing: along, crossesBefore: hasUp, crossesAfter: hasDown)
      cell.lines(
        isRow: false, weight: along, before: hasUp, after: hasDown,
        crossing: across, crossesBefore: hasLeft, crossesAfter: hasRight)
      for row in 0..<height { font[(0xB3 + n) * height + row] = cell.rows[row] }
    }
  }

  private struct Cell {
    var rows = [UInt8](repeating: 0, count: 16)

    private mutating func line(isRow: Bool, at position: Int, from start: Int, to end: Int) {
      guard start <= end else { return }
      for i in start...end {
        if isRow { rows[position] |= 0x80 >> UInt8(i) } else { rows[i] |= 0x80 >> UInt8(position) }
      }
    }

    /// Draws one direction. Positions: a single line runs through the middle, a double one beside it.
    mutating func lines(
      isRow: Bool, weight: Int, before: Bool, after: Bool, crossing: Int, crossesBefore: Bool, crossesAfter: Bool
    ) {
      if weight == 0 { return }
      let middle = isRow ? 7 : 3, end = isRow ? 7 : 15
      let centre = isRow ? 3 : 7
      let (near, far) = (centre - 1, centre + 1)
      let passes = crossesBefore && crossesAfter
      if weight == 1 {
        // A single line ends at the nearer line of a double one that passes, at the farther one of a corner.
        let start = crossing == 2 ? (passes ? far : near) : centre
        let stop = crossing == 2 ? (passes ? near : far) : centre
        line(isRow: isRow, at: middle, from: before ? 0 : start, to: after ? end : stop)
        return
      }
      for (position, isOpen) in [(middle - 1, crossesBefore), (middle + 1, crossesAfter)] {
        if crossing < 2 {
          line(isRow: isRow, at: position, from: before ? 0 : centre, to: after ? end : centre)
        } else {
          // Where the crossing pair leaves on this side, the line is interrupted between its two lines.
          if before { line(isRow: isRow, at: position, from: 0, to: isOpen ? near : far) }
          if after { line(isRow: isRow, at: position, from: isOpen ? far : near, to: end) }
        }
      }
    }
  }

  // MARK: Shades and blocks

  private static func drawBlocks(into font: inout [UInt8]) {
    for row in 0..<height {
      let isEven = row.isMultiple(of: 2)
      font[0xB0 * height + row] = isEven ? 0x22 : 0x88
      font[0xB1 * height + row] = isEven ? 0x55 : 0xAA
      font[0xB2 * height + row] = isEven ? 0xDD : 0x77
      font[0xDB * height + row] = 0xFF
      font[0xDC * height + row] = row >= 8 ? 0xFF : 0
      font[0xDD * height + row] = 0xF0
      font[0xDE * height + row] = 0x0F
      font[0xDF * height + row] = row < 8 ? 0xFF : 0
    }
  }
}
