import X86

/// Turns the text of the opcode map into its tables. Runs once in a process.
///
/// A mistake in the text is a programming error: it stops the process with the row that is wrong.
struct OpcodeMapBuilder {
  /// The values that each dimension of the selector may take for a row, as bit masks.
  private struct Match {
    var map = 0
    var opcode = 0
    /// For `+r`: the opcode and the seven that follow.
    var opcodeCount = 1
    var rm: UInt8 = 0xFF
    var reg: UInt8 = 0xFF
    var isRegister: UInt8 = 0b11
    var prefix: UInt8 = 0b1111
    var w: UInt8 = 0b11
    var l: UInt8 = 0b11
    var long: UInt8 = 0b11
    var operand16: UInt8 = 0b11
    var address: UInt8 = 0b111
    var usesModRM = false
  }

  /// Shift and width of the dimensions of the selector, in the order of `Match`'s masks.
  private static let dimensions: [(shift: Int, values: Int)] = [
    (0, 8), (3, 8), (6, 2), (7, 4), (9, 2), (10, 2), (11, 2), (12, 2), (13, 3),
  ]

  private static let fixedGeneral: [(name: StaticString, size: OperandSize, number: UInt8)] = [
    ("AL", .b, 0), ("CL", .b, 1), ("DX", .w, 2), ("AX", .w, 0), ("eAX", .z, 0), ("rAX", .v, 0),
  ]
  private static let fixedSegments: [(name: StaticString, number: UInt8)] = [
    ("ES", 0), ("CS", 1), ("SS", 2), ("DS", 3), ("FS", 4), ("GS", 5),
  ]

  private var mnemonics = NameTable(count: Mnemonic.allCases.count)
  private var features = NameTable(count: Feature.allCases.count)
  private var rows: [OpcodeRow] = [OpcodeRow()]
  private var matches: [Match] = [Match()]

  static func build() -> OpcodeMap {
    var builder = OpcodeMapBuilder()
    builder.rows.reserveCapacity(2048)
    builder.matches.reserveCapacity(2048)
    for mnemonic in Mnemonic.allCases { builder.mnemonics.insert("\(mnemonic)", mnemonic.rawValue) }
    for feature in Feature.allCases { builder.features.insert("\(feature)", UInt16(feature.rawValue)) }
    for text in OpcodeMapText.all {
      var scanner = Scanner(text)
      while scanner.nextLine() { builder.addRow(&scanner) }
    }
    return builder.tables()
  }

  // MARK: Text to rows

  private mutating func addRow(_ scanner: inout Scanner) {
    var row = OpcodeRow()
    var match = Match()
    encoding(&scanner, &row, &match)
    let name = scanner.word()
    guard let mnemonic = mnemonics.value(name).flatMap(Mnemonic.init(rawValue:)) else { scanner.fail("unknown mnemonic") }
    row.mnemonic = mnemonic
    operands(&scanner, &row, &match)
    let featureName = scanner.word()
    guard let feature = features.value(featureName).flatMap({ Feature(rawValue: UInt8($0)) }) else {
      scanner.fail("unknown feature")
    }
    row.feature = feature
    scanner.skipBar()
    flags(scanner.word(), &row, scanner)
    scanner.skipBar()
    attributes(&scanner, &row, &match)
    // String instructions name no operands in assembly text; their rows show what they use.
    if row.attributes.contains(.string) { row.operandCount = 0 }
    rows.append(row)
    matches.append(match)
  }

  private func encoding(_ scanner: inout Scanner, _ row: inout OpcodeRow, _ match: inout Match) {
    /// Opcode bytes seen; the escapes 0F, 0F 38 and 0F 3A move `map` and do not count.
    var opcodeSeen = false
    while !scanner.atBar {
      let word = scanner.word()
      if word.hasPrefix("VEX.") {
        vex(word, &row, &match, scanner)
      } else if !opcodeSeen, word == "NP" {
        match.prefix = 0b0001
      } else if !opcodeSeen, match.map == 0, word == "NP,66" {
        match.prefix = 0b0011
      } else if !opcodeSeen, match.map == 0, word == "66" {
        match.prefix = 0b0010
        row.attributes.insert(.takes66)
      } else if !opcodeSeen, match.map == 0, word == "F3", !scanner.atBar {
        match.prefix = 0b0100
        row.attributes.insert(.takesRepeat)
      } else if !opcodeSeen, match.map == 0, word == "F2", !scanner.atBar {
        match.prefix = 0b1000
        row.attributes.insert(.takesRepeat)
      } else if word == "REX.W" {
        match.w = 0b10
      } else if word == "o16" {
        match.operand16 = 0b10
      } else if word == "a16" {
        match.address = 0b001
      } else if word == "a64" {
        match.address = 0b100
      } else if word == "reg" {
        match.isRegister = 0b10
      } else if word[0] == UInt8(ascii: "/") {
        match.reg = 1 &<< (word[1] &- UInt8(ascii: "0"))
        match.usesModRM = true
      } else if let byte = word.hexByte {
        if !opcodeSeen, match.map == 0, byte == 0x0F {
          match.map = 1
        } else if !opcodeSeen, match.map == 1, byte == 0x38 {
          match.map = 2
        } else if !opcodeSeen, match.map == 1, byte == 0x3A {
          match.map = 3
        } else if !opcodeSeen {
          opcodeSeen = true
          match.opcode = Int(byte)
          if word.hasSuffix("+r") { match.opcodeCount = 8 }
        } else {
          match.usesModRM = true
          match.isRegister = 0b10
          match.reg = 1 &<< ((byte &>> 3) & 7)
          if !word.hasSuffix("+i") { match.rm = 1 &<< (byte & 7) }
        }
      } else {
        scanner.fail("unknown encoding")
      }
    }
    scanner.skipBar()
  }

  private func vex(_ word: Word, _ row: inout OpcodeRow, _ match: inout Match, _ scanner: Scanner) {
    row.attributes.insert(.vex)
    var rest = word
    while rest.count > 0 {
      let part = rest.takePart(before: UInt8(ascii: "."))
      if part == "VEX" { continue }
      else if part == "128" || part == "L0" { match.l = 0b01 }
      else if part == "256" { match.l = 0b10 }
      else if part == "LIG" { row.attributes.insert(.lengthIgnored) }
      else if part == "NP" { match.prefix = 0b0001 }
      else if part == "66" { match.prefix = 0b0010 }
      else if part == "F3" { match.prefix = 0b0100 }
      else if part == "F2" { match.prefix = 0b1000 }
      else if part == "0F" { match.map = 4 }
      else if part == "0F38" { match.map = 5 }
      else if part == "0F3A" { match.map = 6 }
      else if part == "W0" { match.w = 0b01 }
      else if part == "W1" { match.w = 0b10 }
      else { scanner.fail("unknown VEX field") }
    }
  }

  private func operands(_ scanner: inout Scanner, _ row: inout OpcodeRow, _ match: inout Match) {
    var usesVVVV = false
    if !scanner.atBar {
      var rest = scanner.word()
      while rest.count > 0 {
        let text = rest.takePart(before: UInt8(ascii: ","))
        guard var form = operand(text) else { scanner.fail("unknown operand") }
        switch form.letter {
        case .none: continue
        case .B, .H: usesVVVV = true
        case .E, .Q, .W:
          match.usesModRM = true
          row.attributes.insert(.memoryOperand)
        case .M, .vectorIndexed:
          match.usesModRM = true
          match.isRegister &= 0b01
          row.attributes.insert(.memoryOperand)
          if form.letter == .vectorIndexed {
            row.attributes.insert(.vectorIndex)
            form.fixed = match.w == 0b10 ? 3 : 2
          }
        case .N, .R, .U:
          match.usesModRM = true
          match.isRegister &= 0b10
        case .C, .D, .G, .P, .S, .V: match.usesModRM = true
        case .O: row.attributes.insert(.memoryOperand)
        case .I:
          for earlier in [row.form0, row.form1] where earlier.letter == .I { form.letter = .secondI }
        default: break
        }
        switch row.operandCount {
        case 0: row.form0 = form
        case 1: row.form1 = form
        case 2: row.form2 = form
        default: row.form3 = form
        }
        row.operandCount += 1
      }
    }
    if row.attributes.contains(.vex), !usesVVVV { row.attributes.insert(.vvvvUnused) }
    scanner.skipBar()
  }

  private func operand(_ text: Word) -> OperandForm? {
    for fixed in Self.fixedGeneral where text == fixed.name {
      return OperandForm(letter: .fixedGeneral, registerSize: fixed.size, fixed: fixed.number)
    }
    for fixed in Self.fixedSegments where text == fixed.name {
      return OperandForm(letter: .fixedSegment, registerSize: .w, fixed: fixed.number)
    }
    if text == "ST0" { return OperandForm(letter: .x87Top, registerSize: .t) }
    if text == "STi" { return OperandForm(letter: .x87Register, registerSize: .t) }
    if text == "1" { return OperandForm(letter: .one, registerSize: .b) }
    if text.hasPrefix("vm") {
      guard let size = size(text.dropFirst(4)) else { return nil }
      return OperandForm(letter: .vectorIndexed, registerSize: size)
    }
    if text.hasPrefix("sI") {
      guard let size = size(text.dropFirst(2)) else { return nil }
      return OperandForm(letter: .signedI, registerSize: size)
    }
    var memory = text
    let register = memory.takePart(before: UInt8(ascii: "/"))
    guard let registerSize = size(register.dropFirst(1)) else { return nil }
    if memory.count > 0 {
      guard let memorySize = size(memory.dropFirst(1)) else { return nil }
      let letter: OperandLetter = text[0] == UInt8(ascii: "R") ? .E : .W
      return OperandForm(letter: letter, memorySize: memorySize, registerSize: registerSize)
    }
    let letter: OperandLetter
    switch text[0] {
    case UInt8(ascii: "A"): letter = .A
    case UInt8(ascii: "B"): letter = .B
    case UInt8(ascii: "C"): letter = .C
    case UInt8(ascii: "D"): letter = .D
    case UInt8(ascii: "E"): letter = .E
    case UInt8(ascii: "G"): letter = .G
    case UInt8(ascii: "H"): letter = .H
    case UInt8(ascii: "I"): letter = .I
    case UInt8(ascii: "J"): letter = .J
    case UInt8(ascii: "L"): letter = .L
    case UInt8(ascii: "M"): letter = .M
    case UInt8(ascii: "N"): letter = .N
    case UInt8(ascii: "O"): letter = .O
    case UInt8(ascii: "P"): letter = .P
    case UInt8(ascii: "Q"): letter = .Q
    case UInt8(ascii: "R"): letter = .R
    case UInt8(ascii: "S"): letter = .S
    case UInt8(ascii: "U"): letter = .U
    case UInt8(ascii: "V"): letter = .V
    case UInt8(ascii: "W"): letter = .W
    case UInt8(ascii: "Z"): letter = .Z
    case UInt8(ascii: "X"), UInt8(ascii: "Y"), UInt8(ascii: "F"): letter = .none
    default: return nil
    }
    return OperandForm(letter: letter, memorySize: registerSize, registerSize: registerSize)
  }

  private func size(_ text: Word) -> OperandSize? {
    if text.count == 0 { return OperandSize.none }
    if text == "dq" { return .dq }
    if text == "ss" { return .d }
    if text == "sd" { return .q }
    if text == "ps" || text == "pd" { return .x }
    guard text.count == 1 else { return nil }
    switch text[0] {
    case UInt8(ascii: "b"): return .b
    case UInt8(ascii: "w"): return .w
    case UInt8(ascii: "d"): return .d
    case UInt8(ascii: "q"): return .q
    case UInt8(ascii: "t"): return .t
    case UInt8(ascii: "v"): return .v
    case UInt8(ascii: "z"): return .z
    case UInt8(ascii: "y"): return .y
    case UInt8(ascii: "n"): return .n
    case UInt8(ascii: "p"): return .p
    case UInt8(ascii: "a"): return .a
    case UInt8(ascii: "s"): return .s
    case UInt8(ascii: "x"): return .x
    case UInt8(ascii: "h"): return .h
    case UInt8(ascii: "f"): return .f
    case UInt8(ascii: "e"): return .e
    default: return nil
    }
  }

  private func flags(_ word: Word, _ row: inout OpcodeRow, _ scanner: Scanner) {
    if word.count == 0 { return }
    guard word.count == 6 else { scanner.fail("six flags expected") }
    for position in 0..<6 {
      let bit: UInt8 = 0x20 &>> UInt8(position)
      switch word[position] {
      case UInt8(ascii: "-"): break
      case UInt8(ascii: "M"), UInt8(ascii: "0"), UInt8(ascii: "1"): row.written |= bit
      case UInt8(ascii: "?"):
        row.written |= bit
        row.undefined |= bit
      case UInt8(ascii: "T"): row.tested |= bit
      case UInt8(ascii: "X"):
        row.tested |= bit
        row.written |= bit
      case UInt8(ascii: "m"): row.maybeWritten |= bit
      case UInt8(ascii: "x"):
        row.tested |= bit
        row.maybeWritten |= bit
      case UInt8(ascii: "u"):
        row.maybeWritten |= bit
        row.undefined |= bit
      default: scanner.fail("unknown flag letter")
      }
    }
  }

  private func attributes(_ scanner: inout Scanner, _ row: inout OpcodeRow, _ match: inout Match) {
    while !scanner.atBar {
      let word = scanner.word()
      if word == "lock" { row.attributes.insert(.lockable) }
      else if word == "i64" { row.attributes.insert(.invalid64); match.long = 0b01 }
      else if word == "o64" { row.attributes.insert(.only64); match.long = 0b10 }
      else if word == "d64" { row.attributes.insert(.default64) }
      else if word == "f64" { row.attributes.insert(.force64) }
      else if word == "cpl0" { row.attributes.insert(.privileged) }
      else if word == "ends" { row.attributes.insert(.endsBlock) }
      else if word == "stack" { row.attributes.insert(.stack) }
      else if word == "string" { row.attributes.insert(.string) }
      else if word == "implicit" { row.attributes.insert(.implicitMemory) }
      else if word == "noaccess" { row.attributes.insert(.noAccess) }
      else if word == "fallback" { row.attributes.insert(.fallback) }
      else if word == "rexb" { row.attributes.insert(.notWithREXB) }
      else if word == "anymod" {
        row.attributes.insert(.modIgnored)
        match.isRegister = 0b11
      } else { scanner.fail("unknown attribute") }
    }
  }

  // MARK: Rows to tables

  /// The masks of a row in the order of `dimensions`.
  private typealias Masks = SIMD16<UInt8>

  private func masks(_ match: Match) -> Masks {
    Masks(
      match.rm, match.reg, match.isRegister, match.prefix, match.w, match.l, match.long, match.operand16, match.address,
      0, 0, 0, 0, 0, 0, 0)
  }

  private func tables() -> OpcodeMap {
    typealias Cell = OpcodeMap.Cell
    let cellCount = OpcodeMap.mapCount * 256
    let cells = UnsafeMutablePointer<Cell>.allocate(capacity: cellCount)
    cells.initialize(repeating: Cell(), count: cellCount)

    // The span of selector bits each cell needs.
    let full = masks(Match())
    var low = [Int](repeating: 15, count: cellCount)
    var high = [Int](repeating: 0, count: cellCount)
    for index in 1..<matches.count {
      let match = matches[index]
      let allowed = masks(match)
      for opcode in match.opcode..<match.opcode + match.opcodeCount {
        let at = match.map << 8 | opcode
        if match.usesModRM { cells[at].hasModRM = true }
        for (dimension, place) in Self.dimensions.enumerated() where allowed[dimension] != full[dimension] {
          low[at] = min(low[at], place.shift)
          high[at] = max(high[at], place.shift + (place.values == 8 ? 3 : place.values == 2 ? 1 : 2))
        }
      }
    }
    var total = 1
    for at in 0..<cellCount {
      let bits = max(0, high[at] - low[at])
      cells[at].shift = bits == 0 ? 0 : UInt8(low[at])
      cells[at].mask = UInt16((1 << bits) - 1)
      cells[at].base = UInt32(total)
      total += 1 << bits
    }
    let selections = UnsafeMutablePointer<UInt16>.allocate(capacity: total)
    selections.initialize(repeating: 0, count: total)
    let rowTable = UnsafeMutablePointer<OpcodeRow>.allocate(capacity: rows.count)
    rowTable.initialize(from: rows, count: rows.count)
    for index in 1..<matches.count { fill(index, cells, selections, rowTable) }
    return OpcodeMap(
      cells: cells, selections: selections, rows: rowTable, prefixes: PrefixKind.table(), sizes: Self.sizeTable(),
      rowCount: rows.count)
  }

  /// Enters a row at every selector it matches.
  private func fill(
    _ index: Int, _ cells: UnsafeMutablePointer<OpcodeMap.Cell>, _ selections: UnsafeMutablePointer<UInt16>,
    _ rows: UnsafeMutablePointer<OpcodeRow>
  ) {
    let match = matches[index]
    for opcode in match.opcode..<match.opcode + match.opcodeCount {
      let cell = cells[match.map << 8 | opcode]
      let span = Int(cell.mask) << Int(cell.shift)
      func enter(_ dimension: Int, _ selector: Int, _ allowed: Masks) {
        if dimension == Self.dimensions.count {
          let place = Int(cell.base) + (selector >> Int(cell.shift)) & Int(cell.mask)
          if rows[index].attributes.contains(.fallback) { rows[index].fallback = selections[place] }
          selections[place] = UInt16(index)
          return
        }
        let place = Self.dimensions[dimension]
        if span & ((place.values == 8 ? 7 : place.values - 1) << place.shift) == 0 {
          return enter(dimension + 1, selector, allowed)
        }
        for value in 0..<place.values where allowed[dimension] & (1 << UInt8(value)) != 0 {
          enter(dimension + 1, selector | value << place.shift, allowed)
        }
      }
      var allowed = masks(match)
      enter(0, 0, allowed)
      // Where a W1 form exists in 64-bit code only, W is ignored elsewhere and means the W0 form
      // (VMOVD/VMOVQ, VPINSRD/Q, VPEXTRD/Q).
      if match.w == 0b01, cell.mask &<< cell.shift & 0x0800 != 0 {
        allowed[4] = 0b10
        allowed[6] = 0b01
        enter(0, 0, allowed)
      }
    }
  }

  private static func sizeTable() -> UnsafePointer<UInt8> {
    let table = UnsafeMutablePointer<UInt8>.allocate(capacity: OperandSize.allCases.count << 4)
    table.initialize(repeating: 0, count: OperandSize.allCases.count << 4)
    for size in OperandSize.allCases {
      for context in 0..<16 {
        let operand: UInt8 = context & 3 == 0 ? 2 : context & 3 == 1 ? 4 : 8
        let vector: UInt8 = context & 4 != 0 ? 32 : 16
        let long = context & 8 != 0
        let width: UInt8 =
          switch size {
          case .none: 0
          case .b: 1
          case .w: 2
          case .d: 4
          case .q: 8
          case .dq: 16
          case .t: 10
          case .v: operand
          case .z: operand == 2 ? 2 : 4
          case .y: operand == 8 ? 8 : 4
          case .n: long ? 8 : 4
          case .p: operand + 2
          case .a: operand * 2
          case .s: long ? 10 : 6
          case .x: vector
          case .h: vector / 2
          case .f: vector / 4
          case .e: vector / 8
          }
        table[Int(size.rawValue) << 4 | context] = width
      }
    }
    return UnsafePointer(table)
  }
}
