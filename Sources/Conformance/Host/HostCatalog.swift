import X86
import X86Decoder

/// How an instruction of a row of the opcode map can be encoded, without its operands.
struct HostTemplate {
  enum Form: UInt8 { case none, memory, register, fixed }

  /// 0–3: one-byte, 0F, 0F 38, 0F 3A; 4–6: VEX 0F, 0F 38, 0F 3A.
  var map: UInt8
  var opcode: UInt8
  /// Mandatory prefix, or operand size: 0 none, 1 66, 2 F3, 3 F2.
  var select: UInt8
  var w: Bool
  var long: Bool
  var addressSize: Bool
  var form: Form
  /// ModRM.reg, and rm where the form is `fixed`.
  var reg: UInt8 = 0
  var rm: UInt8 = 0

  var isVEX: Bool { map >= 4 }
}

/// All encodings of each row, found by asking the decoder about every opcode with every prefix.
final class HostCatalog: Sendable {
  /// For 64-bit and 32-bit code: rows that have an encoding there, and their encodings.
  struct Mode: Sendable {
    var rows: [UInt16] = []
    /// Those of the integer instructions.
    var integerRows: [UInt16] = []
    var templates: [[HostTemplate]]
  }

  let modes: [Mode]
  let rowCount: Int
  static let shared = HostCatalog()

  private init() {
    rowCount = OpcodeMap.shared.rowCount
    modes = [Self.mode(.bits64), Self.mode(.bits32)]
  }

  func mode(is32: Bool) -> Mode { modes[is32 ? 1 : 0] }

  private static func mode(_ codeSize: CodeSize) -> Mode {
    var mode = Mode(templates: Array(repeating: [], count: OpcodeMap.shared.rowCount))
    let decoder = Decoder()
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: 48)
    let instruction = UnsafeMutablePointer<Instruction>.allocate(capacity: 1)
    buffer.initialize(repeating: 0, count: 48)
    defer {
      buffer.deallocate()
      instruction.deallocate()
    }
    func row(_ t: HostTemplate, _ modRM: UInt8) -> (row: UInt16, hasModRM: Bool) {
      var n = 0
      func put(_ byte: UInt8) {
        buffer[n] = byte
        n += 1
      }
      t.prologue(is64: codeSize == .bits64, rex: 0, vvvv: 0, extensions: 0, put)
      buffer[n] = modRM
      for k in n + 1..<48 { buffer[k] = 0 }
      decoder.decode(buffer, available: 48, codeSize: codeSize, into: instruction)
      return (instruction.pointee.row, instruction.pointee.modRM == modRM && modRM != 0)
    }
    func add(_ t: HostTemplate, _ row: UInt16) {
      if row != 0 { mode.templates[Int(row)].append(t) }
    }
    func opcodeForms(_ base: HostTemplate, _ plain: HostTemplate?) {
      // 66, F2 and F3 count only where they make a difference.
      func isNew(_ modRM: UInt8, _ found: UInt16) -> Bool {
        guard let plain else { return true }
        return found != row(plain, modRM).row || base.select == 1
      }
      var t = base
      let first = row(t, 0xC1), memory = row(t, 0x04)
      if first.row == 0 && memory.row == 0 && !(0..<64).contains(where: { row(t, 0xC0 | UInt8($0)).row != 0 || row(t, UInt8($0)).row != 0 }) { return }
      let hasModRM = (0..<8).contains { row(t, 0xC1 | UInt8($0) << 3).hasModRM || row(t, 0x04 | UInt8($0) << 3).hasModRM }
      if !hasModRM {
        t.form = .none
        if isNew(0xC1, first.row) { add(t, first.row) }
        return
      }
      for reg in 0..<8 as Range<UInt8> {
        t.reg = reg
        t.form = .memory
        let found = row(t, reg << 3 | 4).row
        if isNew(reg << 3 | 4, found) { add(t, found) }
        let rows = (0..<8 as Range<UInt8>).map { row(t, 0xC0 | reg << 3 | $0).row }
        if rows.allSatisfy({ $0 == rows[0] }) {
          t.form = .register
          if isNew(0xC0 | reg << 3, rows[0]) { add(t, rows[0]) }
        } else {
          t.form = .fixed
          for rm in 0..<8 as Range<UInt8> where isNew(0xC0 | reg << 3 | rm, rows[Int(rm)]) {
            t.rm = rm
            add(t, rows[Int(rm)])
          }
        }
      }
    }
    for map in 0..<7 as Range<UInt8> {
      for opcode in 0...255 as ClosedRange<UInt8> {
        for w in [false, true] where !w || codeSize == .bits64 || map >= 4 {
          for long in [false, true] where !long || map >= 4 {
            for address in [false, true] where !address || (map == 0 && opcode == 0xE3) {
              for select in 0..<4 as Range<UInt8> {
                let t = HostTemplate(map: map, opcode: opcode, select: select, w: w, long: long, addressSize: address, form: .none)
                var plain = t
                plain.select = 0
                opcodeForms(t, map < 4 && select != 0 ? plain : nil)
              }
            }
          }
        }
      }
    }
    mode.rows = (1..<mode.templates.count).filter { !mode.templates[$0].isEmpty }.map { UInt16($0) }
    mode.integerRows = mode.rows.filter { row in
      switch OpcodeMap.feature(ofRow: row) {
      case .i8086, .i186, .i386, .i486, .cmov, .bmi1, .bmi2, .adx, .movbe, .popcnt, .lzcnt, .longMode: !OpcodeMap.attributes(row).contains(.privileged)
      default: false
      }
    }
    return mode
  }

  /// The encoding of a row as the manual writes it, with its mnemonic.
  func name(_ row: UInt16) -> String {
    for mode in modes {
      if let t = mode.templates[Int(row)].first { return "\(t.text) \(OpcodeMap.mnemonic(row))" }
    }
    return "\(OpcodeMap.mnemonic(row))"
  }
}

extension HostTemplate {
  /// Writes everything up to the opcode.
  ///
  /// - Parameters:
  ///   - rex: a REX prefix to use although nothing needs it (0x40…0x4F), or 0; W is added.
  ///   - vvvv: register number of VEX.vvvv.
  ///   - extensions: R, X, B as in REX bits 2–0, for VEX.
  func prologue(is64: Bool, rex: UInt8, vvvv: UInt8, extensions: UInt8, _ put: (UInt8) -> Void) {
    if addressSize { put(0x67) }
    if isVEX {
      let last = (w ? 0x80 : 0) | (~vvvv & 0xF) << 3 | (long ? 4 : 0) | select
      let inverted = ~extensions
      if map == 4, !w, extensions & 3 == 0, vvvv & 1 == 0 {
        put(0xC5)
        put((inverted & 4) << 5 | last & 0x7F)
      } else {
        put(0xC4)
        put((inverted & 7) << 5 | (map - 3))
        put(last)
      }
      put(opcode)
      return
    }
    switch select {
    case 1: put(0x66)
    case 2: put(0xF3)
    case 3: put(0xF2)
    default: break
    }
    let prefix = is64 && (w || rex != 0) ? 0x40 | rex | (w ? 8 : 0) : 0
    if prefix != 0 { put(prefix) }
    if map > 0 { put(0x0F) }
    if map == 2 { put(0x38) }
    if map == 3 { put(0x3A) }
    put(opcode)
  }

  var text: String {
    var out = ""
    let selects = ["", "66 ", "F3 ", "F2 "]
    if isVEX {
      out = "VEX.\(long ? "256" : "128")" + ["", ".66", ".F3", ".F2"][Int(select)] + [".0F", ".0F38", ".0F3A"][Int(map) - 4] + (w ? ".W1 " : ".W0 ")
    } else {
      out = selects[Int(select)] + (w ? "REX.W " : "") + ["", "0F ", "0F 38 ", "0F 3A "][Int(map)]
    }
    out += Hex.text(UInt64(opcode), 2)
    switch form {
    case .none: break
    case .memory, .register: out += " /\(reg)"
    case .fixed: out += " " + Hex.text(UInt64(0xC0 | reg << 3 | rm), 2)
    }
    return out
  }
}
