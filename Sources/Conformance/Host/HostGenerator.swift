import X86
import X86Decoder

/// Makes cases: code over the whole opcode map, and states in which it does something.
struct HostGenerator {
  private let catalog = HostCatalog.shared
  private let values = HostValues.shared
  private let decoder = Decoder()
  private let rules: HostRuleTable
  private let seed: UInt64
  /// Rows to begin with, in 64-bit and in 32-bit code; nil for all.
  private let only: [[UInt16]]?
  private let onlyMode: Bool?

  init(seed: UInt64, rules: HostRuleTable, only: Set<UInt16>? = nil, is32: Bool? = nil) {
    self.seed = seed
    self.rules = rules
    self.only = only.map { only in HostCatalog.shared.modes.map { $0.rows.filter(only.contains) } }
    onlyMode = is32
  }

  private static let lengths = [1, 1, 1, 1, 1, 2, 2, 2, 3, 4]
  private static let immediates: [UInt8] = [0, 1, 0xFF, 0x7F, 0x80, 8, 0x1F, 0x3F]
  private static let segmentPrefixes: [UInt8] = [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x64, 0x65]
  private static let oddPrefixes: [UInt8] = [0xF2, 0xF3, 0x66, 0x48]
  private static let mods: [UInt8] = [0, 1, 2, 1]
  private static let bases: [UInt8] = [0, 1, 2, 3, 5, 6, 7, 4]

  enum Outcome {
    case ready
    /// The rule that forbids it, and the row that was to be run.
    case skipped(rule: Int, row: UInt16)
  }

  /// Makes case `number` of the seed.
  func make(_ number: UInt64, _ c: CasePointer, _ program: inout HostProgram) -> Outcome {
    var r = FuzzRandom(seed: seed, number: number)
    let is32 = r.chance(40)
    var chosen = onlyMode ?? is32
    // What only one of the modes has.
    if let only, only[chosen ? 1 : 0].isEmpty { chosen.toggle() }
    c.clear(is32: chosen)
    program.count = 0
    program.number = number
    program.bySteps = r.next() & 1 != 0
    program.branches = false
    let mode = catalog.mode(is32: chosen)
    var wanted = Self.lengths[r.below(Self.lengths.count)]
    // Instructions that feed each other with registers and flags are rare among all rows.
    let rows = wanted > 1 && r.next() & 1 != 0 ? mode.integerRows : mode.rows
    var undefined: UInt32 = 0
    while program.count < wanted {
      var row = rows[r.below(rows.count)]
      if program.count == 0, let first = only?[chosen ? 1 : 0] { row = first[r.below(first.count)] }
      if let rule = rules.excluding[Int(row)] {
        if program.count == 0 { return .skipped(rule: rule, row: row) }
        continue
      }
      guard emit(row, mode.templates[Int(row)], c, &program, &r, isFirst: program.count == 0) else { continue }
      let i = program.instructions[program.count - 1]
      // An undefined flag must not become a defined value.
      if OpcodeMap.shared.flagsTested(i.row) & undefined != 0 {
        program.count -= 1
        c.pointee.codeLength = UInt8(program.offset(program.count))
        wanted -= 1
        continue
      }
      // Behind a branch nobody knows whether what defines a flag has run.
      if !program.branches { undefined &= ~OpcodeMap.shared.flagsModified(i.row) }
      undefined |= OpcodeMap.shared.flagsUndefined(i.row)
      let attributes = OpcodeMap.shared.attributes(i.row)
      if attributes.contains(.endsBlock) { program.branches = true }
      if i.row == 0 || rules.isLast[Int(i.row)] { break }
    }
    place(c, &r)
    var state = HostStateMaker(case: c, program: program, values: values, random: r)
    state.fill()
    return .ready
  }

  // MARK: Encoding

  /// Where the code lies: usually in the middle of a page; sometimes over the border of two, or at the end of the last.
  private func place(_ c: CasePointer, _ r: inout FuzzRandom) {
    let length = c.length
    switch r.below(20) {
    case 0: c.pointee.codeOffset = UInt16(0x1000 - r.below(length + 1))
    case 1: c.pointee.codeOffset = UInt16(Int(HostLayout.codeSize) - length + (r.chance(50) ? r.below(length) : 0))
    default: c.pointee.codeOffset = UInt16(0x200 + r.below(64) * 16 + r.below(16))
    }
    c.start.pointee.rip = HostLayout.code + UInt64(c.pointee.codeOffset)
  }

  /// Appends an instruction of the row; false if none came of it.
  private func emit(
    _ row: UInt16, _ templates: [HostTemplate], _ c: CasePointer, _ program: inout HostProgram, _ r: inout FuzzRandom, isFirst: Bool
  ) -> Bool {
    let is32 = c.pointee.is32 != 0
    let start = c.length
    if start > HostLayout.codeBytes - 16 { return false }
    let code = c.code
    for attempt in 0..<4 {
      var at = start
      func put(_ byte: UInt8) {
        if at < HostLayout.codeBytes {
          code[at] = byte
          at += 1
        }
      }
      let t = templates[r.below(templates.count)]
      prefixes(row, t, &r, put)
      operation(t, is32: is32, &r, put)
      // Mutated bytes: prefixes in odd places, reserved fields, other instructions.
      var isMutated = false
      if attempt == 0, r.below(64) == 0 {
        isMutated = true
        code[start + r.below(min(4, at - start))] ^= 1 << UInt8(r.below(8))
      }
      for _ in 0..<8 {
        let dice = r.next()
        put(dice & 7 < 3 ? Self.immediates[Int(dice >> 8 & 7)] : UInt8(truncatingIfNeeded: dice >> 16))
      }
      let i = program.instructions + program.count
      decoder.decode(code + start, available: at - start, codeSize: is32 ? .bits32 : .bits64, into: i)
      let found = i.pointee.row
      if found != row, !isMutated { continue }
      if found == 0 || i.pointee.mnemonic == .truncated || i.pointee.mnemonic == .tooLong {
        // What no decoder knows is run by itself, and with bytes that the host may take for a part of it.
        if !isFirst || !isMutated || HostForeign.isKnown(code + start, at - start, is32: is32) { continue }
        c.pointee.codeLength = UInt8(min(at, start + 15))
        program.append(offset: start)
        return true
      }
      if rules.excluding[Int(found)] != nil { continue }
      if i.pointee.mnemonic == .INT, i.pointee.immediate & 0xFF == 0x80 { continue }
      c.pointee.codeLength = UInt8(start + Int(i.pointee.length))
      program.append(offset: start)
      return true
    }
    return false
  }

  private func prefixes(_ row: UInt16, _ t: HostTemplate, _ r: inout FuzzRandom, _ put: (UInt8) -> Void) {
    let attributes = OpcodeMap.shared.attributes(row)
    let dice = r.next()
    if attributes.contains(.lockable) ? dice & 0xFF < 40 : dice & 0xFF < 2 { put(0xF0) }
    if dice >> 8 & 0xFF < 14 { put(Self.segmentPrefixes[Int(dice >> 16 & 7)]) }
    if dice >> 24 & 0xFF < 14 { put(0x67) }
    if attributes.contains(.string) {
      if dice >> 32 & 0xFF < 140 { put(dice >> 40 & 1 == 0 ? 0xF3 : 0xF2) }
    } else if dice >> 32 & 0xFF < 3 {
      put(Self.oddPrefixes[Int(dice >> 40 & 3)])
    }
  }

  /// Opcode, ModRM, SIB and displacement.
  private func operation(_ t: HostTemplate, is32: Bool, _ r: inout FuzzRandom, _ put: (UInt8) -> Void) {
    let dice = r.next()
    let extensions = is32 ? 0 : UInt8(truncatingIfNeeded: dice) & UInt8(truncatingIfNeeded: dice >> 3) & 7
    var vvvv = UInt8(truncatingIfNeeded: dice >> 8) & (is32 ? 7 : 15)
    // Where VEX.vvvv names nothing it must be as if it named register 0.
    if dice >> 16 & 7 == 0 { vvvv = 0 }
    let rex: UInt8 = !is32 && dice >> 20 & 3 == 0 ? 0x40 | UInt8(truncatingIfNeeded: dice >> 24) & 7 : 0
    t.prologue(is64: !is32, rex: rex, vvvv: vvvv, extensions: extensions, put)
    switch t.form {
    case .none: break
    case .fixed: put(0xC0 | t.reg << 3 | t.rm)
    case .register: put(0xC0 | t.reg << 3 | UInt8(truncatingIfNeeded: dice >> 32) & 7)
    case .memory:
      let mod = Self.mods[Int(dice >> 36 & 3)]
      var rm = UInt8(truncatingIfNeeded: dice >> 40) & 7
      // The stack pointer and absolute addresses are only some of the forms.
      if dice >> 43 & 1 != 0 { rm = Self.bases[Int(rm)] }
      put(mod << 6 | t.reg << 3 | rm)
      var absolute = mod == 0 && rm == 5
      if rm == 4 {
        let sib = UInt8(truncatingIfNeeded: dice >> 44)
        put(sib)
        if mod == 0, sib & 7 == 5 { absolute = true }
      }
      if mod == 1 {
        put(UInt8(truncatingIfNeeded: dice >> 52))
      } else if mod == 2 || absolute {
        let near = Int32(truncatingIfNeeded: r.next()) >> (dice >> 60 == 0 ? 0 : 20)
        for n in 0..<4 as Range<Int32> { put(UInt8(truncatingIfNeeded: near >> (n * 8))) }
      }
    }
  }
}

/// Encodings that the decoder refuses and that later or other processors have given a meaning: nothing to compare there.
enum HostForeign {
  static func isKnown(_ code: UnsafePointer<UInt8>, _ count: Int, is32: Bool) -> Bool {
    var n = 0
    while n < count, [0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65].contains(code[n]) || (!is32 && code[n] & 0xF0 == 0x40) { n += 1 }
    guard n + 2 < count else { return true }
    switch code[n] {
    // EVEX, XOP, VEX of other maps and of AVX-512 masks and VNNI.
    case 0x62, 0x8F, 0xC4, 0xC5: return true
    case 0x0F:
      switch code[n + 1] {
      // Groups 6 and 7, SSE4A, VMX, 3DNow!, the hint space, group 9 and 15.
      case 0x00, 0x01, 0x05, 0x0D, 0x0E, 0x0F, 0x18...0x1F, 0x24...0x27, 0x2B, 0x34, 0x36...0x37, 0x78, 0x79, 0xA6, 0xA7, 0xAE, 0xC7: return true
      case 0x38: return [0xC8...0xCF, 0xF0...0xFF, 0x80...0x82].contains { $0.contains(code[n + 2]) }
      case 0x3A: return 0xCC...0xCF ~= code[n + 2]
      default: return false
      }
    default: return false
    }
  }
}
