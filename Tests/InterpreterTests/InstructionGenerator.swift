import X86Decoder

/// Makes random code of common instructions for one mode: integer, stack, branches, memory, strings, some SSE and x87. Operands point mostly
/// into the test's data, sometimes at its code, sometimes anywhere.
struct InstructionGenerator {
  var random: SeededGenerator
  let mode: TestMode
  private(set) var bytes: [UInt8] = []
  private(set) var starts: [Int] = []
  /// Offsets of the one-byte and four- or two-byte displacements of branches, filled in at the end.
  private var shortBranches: [Int] = []
  private var nearBranches: [Int] = []
  private(set) var entries: [UInt64] = []

  init(seed: UInt64, mode: TestMode) {
    random = SeededGenerator(seed)
    self.mode = mode
  }

  private var is16: Bool { mode == .real }
  private var is64: Bool { mode.codeSize == .bits64 }

  private mutating func emit(_ values: UInt8...) { bytes += values }
  private mutating func immediate(_ count: Int) {
    let small = random.chance(50)
    for k in 0..<count {
      bytes.append(small && k > 0 ? (random.chance(50) ? 0 : 0xFF) : random.byte())
    }
  }
  private mutating func put32(_ v: UInt32) { for k in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: v >> UInt32(8 * k))) } }

  /// An address in the test's data as this mode names it, sometimes close to a page's end.
  private mutating func dataAddress() -> UInt32 {
    let base: UInt32 = mode == .real || mode == .segmented32 ? 0 : UInt32(TestMachine.data)
    switch random.below(10) {
    case 0: return base &+ 0xFF8 &+ UInt32(random.below(8))
    case 1: return base &+ 0x1FF0 &+ UInt32(random.below(16))
    case 2 where is64: return base &+ 0x1FFC &+ UInt32(random.below(0x2000))
    case 3 where is64: return UInt32(TestMachine.alias) &+ UInt32(random.below(0x6000))
    case 4 where mode == .flat32 || is64: return UInt32(TestMachine.code) &+ UInt32(random.below(600))
    case 5 where mode == .segmented32: return UInt32(0x5F00 &+ random.below(0x300))
    case 6 where is16: return UInt32(0xFFF0 &+ random.below(16))
    default: return base &+ UInt32(random.below(0x1F00))
    }
  }

  /// New values for the registers that operands point with.
  mutating func pointers() {
    for reg in [3, 6, 7, 5] as [UInt8] {
      if is16 {
        starts.append(bytes.count)
        emit(0xB8 + reg)
        let v = dataAddress()
        bytes += [UInt8(truncatingIfNeeded: v), UInt8(truncatingIfNeeded: v >> 8)]
      } else {
        starts.append(bytes.count)
        emit(0xB8 + reg)
        put32(dataAddress())
      }
    }
  }

  private mutating func modRM(_ reg: UInt8, memoryOnly: Bool = false, registerOnly: Bool = false) {
    let mod = registerOnly ? 3 : memoryOnly ? UInt8(random.below(3)) : random.pick([0, 1, 2, 3, 3, 3, 3] as [UInt8])
    var rm = UInt8(random.below(8))
    if mod == 3 {
      if rm == 4, random.chance(80) { rm = 0 }
      emit(0xC0 | reg << 3 | rm)
      return
    }
    if is16 {
      if mod == 0, rm == 6 {
        emit(reg << 3 | 6)
        let v = dataAddress()
        bytes += [UInt8(truncatingIfNeeded: v), UInt8(truncatingIfNeeded: v >> 8)]
        return
      }
      emit(mod << 6 | reg << 3 | rm)
      if mod == 1 { bytes.append(random.byte()) }
      if mod == 2 { bytes += [random.byte(), random.pick([0, 0, 1, 0xFF])] }
      return
    }
    if rm < 3, random.chance(90) { rm = random.pick([3, 6, 7, 5]) }
    emit(mod << 6 | reg << 3 | rm)
    var absolute = mod == 0 && rm == 5
    if rm == 4 {
      let index = random.chance(70) ? 4 : UInt8(random.below(8))
      let base: UInt8 = random.pick([3, 5, 6, 7, 3, 6])
      emit(UInt8(random.below(4)) << 6 | index << 3 | base)
      if base == 5, mod == 0 {
        put32(dataAddress())
        return
      }
      absolute = false
    }
    if absolute {
      // RIP-relative in 64-bit code.
      put32(is64 ? UInt32(truncatingIfNeeded: random.below(0x5000) - 100) : dataAddress())
    } else if mod == 1 {
      bytes.append(random.byte())
    } else if mod == 2 {
      put32(UInt32(truncatingIfNeeded: random.below(0x400) - 0x200))
    }
  }

  /// One instruction.
  mutating func one() {
    starts.append(bytes.count)
    var wide = false, word = false
    if random.chance(10) {
      emit(0x66)
      word = true
    }
    if !is64 || random.chance(10), random.chance(4) { emit(0x67) }
    if random.chance(5) { emit(random.pick([0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65])) }
    if random.chance(2) { emit(0xF0) }
    if is64, random.chance(60) {
      var rex: UInt8 = 0x40
      if random.chance(60) {
        rex |= 8
        wide = true
      }
      if random.chance(25) { rex |= 4 }
      if random.chance(10) { rex |= 2 }
      if random.chance(15) { rex |= 1 }
      emit(rex)
    }
    // Width of an immediate that follows the operand size.
    let z = is16 != word && !wide ? 2 : 4
    let reg = random.chance(85) ? random.pick([0, 1, 2, 0, 1, 2, 3, 5, 6, 7] as [UInt8]) : UInt8(random.below(8))
    switch random.below(100) {
    case 0..<16:
      emit(UInt8(random.below(8)) * 8 + UInt8(random.below(4)))
      modRM(reg)
    case 16..<19:
      let b = UInt8(random.below(2))
      emit(UInt8(random.below(8)) * 8 + 4 + b)
      immediate(b == 0 ? 1 : z)
    case 19..<26:
      let op = random.pick([0x80, 0x81, 0x83] as [UInt8])
      emit(op)
      modRM(UInt8(random.below(8)))
      immediate(op == 0x81 ? z : 1)
    case 26..<29:
      emit(0x84 + UInt8(random.below(4)))
      modRM(reg)
    case 29..<41:
      emit(0x88 + UInt8(random.below(4)))
      modRM(reg)
    case 41..<43:
      let b = UInt8(random.below(2))
      emit(0xC6 + b)
      modRM(0)
      immediate(b == 0 ? 1 : z)
    case 43..<46:
      let b = UInt8(random.below(2))
      emit(0xB0 + b * 8 + (b == 1 ? random.pick([0, 1, 2]) : UInt8(random.below(8))))
      if wide && b == 1 { immediate(8) } else { immediate(b == 0 ? 1 : z) }
    case 46..<50:
      emit(0x8D)
      modRM(random.pick([0, 1, 2, 3, 6]), memoryOnly: true)
    case 50..<55:
      let op: UInt8 = random.pick([0xF6, 0xF7, 0xFE, 0xFF])
      let n = op >= 0xFE ? UInt8(random.below(2)) : UInt8(random.below(8))
      emit(op)
      modRM(n)
      if op < 0xFE, n < 2 { immediate(op == 0xF6 ? 1 : z) }
    case 55..<60:
      let op: UInt8 = random.pick([0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3])
      emit(op)
      modRM(UInt8(random.below(8)))
      if op < 0xD0 { immediate(1) }
    case 60..<68:
      switch random.below(10) {
      case 0...6:
        var r = UInt8(random.below(16))
        if r == 12, random.chance(80) { r = 8 }  // POP rSP
        emit(0x50 + r)
      case 7: 
        emit(0x6A)
        immediate(1)
      case 8:
        emit(0x68)
        immediate(z)
      default:
        if random.chance(50) {
          emit(0xFF)
          modRM(6)
        } else {
          emit(0x8F)
          modRM(0)
        }
      }
    case 68..<76:
      emit(0x70 + UInt8(random.below(16)))
      shortBranches.append(bytes.count)
      emit(0)
    case 76..<78:
      emit(random.pick([0xEB, 0xE0, 0xE1, 0xE2, 0xE3]))
      shortBranches.append(bytes.count)
      emit(0)
    case 78..<81:
      if random.chance(50) { emit(0x0F, 0x80 + UInt8(random.below(16))) } else { emit(random.pick([0xE8, 0xE9])) }
      if word && is64 {
        put32(0)
      } else if word {
        for _ in 0..<z { emit(0) }
      } else {
        nearBranches.append(bytes.count)
        for _ in 0..<(is16 ? 2 : 4) { emit(0) }
      }
    case 81..<82: emit(0xC3)
    case 82..<91: twoByte(reg, z)
    case 91..<93:
      let b: UInt8 = random.pick([0x69, 0x6B])
      emit(b)
      modRM(reg)
      immediate(b == 0x69 ? z : 1)
    case 93..<95: emit(random.pick([0x98, 0x99, 0xF5, 0xF8, 0xF9, 0xFC, 0x9C, 0x9E, 0x9F, 0x90, 0x91, 0xC9]))
    case 95..<98:
      if random.chance(60) { emit(random.pick([0xF2, 0xF3])) }
      emit(random.pick([0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF]))
    case 98: rare(reg)
    default:
      if random.chance(70) {
        emit(random.pick([0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF]))
        modRM(UInt8(random.below(8)))
      } else {
        vex(reg)
      }
    }
  }

  private mutating func twoByte(_ reg: UInt8, _ z: Int) {
    switch random.below(16) {
    case 0, 1:
      emit(0x0F, 0x40 + UInt8(random.below(16)))
      modRM(reg)
    case 2, 3:
      emit(0x0F, 0x90 + UInt8(random.below(16)))
      modRM(0)
    case 4, 5, 6:
      emit(0x0F, random.pick([0xB6, 0xB7, 0xBE, 0xBF]))
      modRM(reg)
    case 7:
      emit(0x0F, random.pick([0xA3, 0xAB, 0xB3, 0xBB]))
      modRM(reg)
    case 8:
      emit(0x0F, 0xBA)
      modRM(4 + UInt8(random.below(4)))
      immediate(1)
    case 9:
      if random.chance(30) { emit(0xF3) }
      emit(0x0F, random.pick([0xBC, 0xBD, 0xB8]))
      modRM(reg)
    case 10:
      let op: UInt8 = random.pick([0xA4, 0xA5, 0xAC, 0xAD])
      emit(0x0F, op)
      modRM(reg)
      if op & 1 == 0 { immediate(1) }
    case 11:
      emit(0x0F, 0xAF)
      modRM(reg)
    case 12: emit(0x0F, 0xC8 + random.pick([0, 1, 2]))
    case 13:
      emit(0x0F, random.pick([0xC0, 0xC1, 0xB0, 0xB1]))
      modRM(reg)
    case 14:
      if random.chance(50) { emit(random.pick([0xF2, 0xF3, 0x66])) }
      emit(0x0F, random.pick([0x10, 0x11, 0x28, 0x29, 0x6F, 0x7F, 0xEF, 0xFE, 0x58, 0x59, 0x2A, 0x2D, 0x6E, 0x7E, 0xD6, 0x57, 0x70]))
      modRM(reg)
      if bytes.count > 0, bytes[bytes.count - 1] == 0x70 { immediate(1) }
    default:
      if mode == .user64 { emit(0x90) } else { emit(0x0F, 0x31) }
    }
  }

  private mutating func rare(_ reg: UInt8) {
    switch random.below(8) {
    case 0:
      emit(0xFF)
      modRM(random.pick([2, 4]))
    case 1: emit(0x9D)
    case 2:
      emit(0x8E)
      modRM(random.pick([0, 2, 3, 4, 5]))
    case 3:
      emit(0x8C)
      modRM(UInt8(random.below(6)))
    case 4: emit(0xC8, random.byte() & 0x1F, 0, UInt8(random.below(3)))
    case 5: emit(random.pick([0xEC, 0xEE, 0xED, 0xEF, 0xFB, 0xFA, 0xCC, 0xFD]))
    case 6: emit(0xCD, random.byte())
    default: emit(random.pick([0x60, 0x61, 0x27, 0x2F, 0x37, 0xD7, 0xD4, 0xD5]), 0x0A)
    }
  }

  /// BMI instructions.
  private mutating func vex(_ reg: UInt8) {
    let w: UInt8 = is64 && random.chance(50) ? 0x80 : 0
    let v = UInt8(random.below(8))
    switch random.below(3) {
    case 0:
      emit(0xC4, 0xE2, w | (~v & 0xF) << 3 | UInt8(random.below(4)), random.pick([0xF2, 0xF5, 0xF6, 0xF7]))
      modRM(reg)
    case 1:
      emit(0xC4, 0xE3, w | 0x7B, 0xF0)
      modRM(reg)
      immediate(1)
    default:
      emit(0xC5, 0xC0 | (~v & 7) << 3 | UInt8(random.below(4)), random.pick([0x58, 0xEF, 0xFE, 0x59, 0x5C, 0x10, 0x11, 0x6F]))
      modRM(reg)
    }
  }

  /// A program of `count` instructions; the handler of exceptions enters it at `entries`.
  mutating func program(_ count: Int) {
    for n in 0..<count {
      if n % max(count / 8, 1) == 0, entries.count < 8 {
        entries.append(UInt64(bytes.count))
        pointers()
      }
      one()
    }
    while entries.count < 8 { entries.append(0) }
    // Round again, so that most programs run until the count is up.
    starts.append(bytes.count)
    emit(0xE9)
    let back = -(bytes.count + (is16 ? 2 : 4))
    for k in 0..<(is16 ? 2 : 4) { bytes.append(UInt8(truncatingIfNeeded: back >> (8 * k))) }
    for at in shortBranches {
      let near = starts.filter { abs($0 - at - 1) < 127 }
      let target = random.chance(90) ? random.pick(near) - at - 1 : random.below(100) - 40
      bytes[at] = UInt8(truncatingIfNeeded: target)
    }
    for at in nearBranches {
      let width = is16 ? 2 : 4
      let target = random.pick(starts) - at - width
      for k in 0..<width { bytes[at + k] = UInt8(truncatingIfNeeded: target >> (8 * k)) }
    }
  }
}
