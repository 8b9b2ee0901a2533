import X86Decoder

/// A test with what its bytes say, as rules ask for it.
public struct MOOCase {
  public let test: MOOTest
  public let processor: MOOProcessor
  /// From the file: 0 is real mode.
  public let mode: UInt8
  /// Bytes before the opcode.
  public let prefixes: ArraySlice<UInt8>
  /// The opcode, or the byte behind 0F.
  public let opcode: UInt8
  public let isTwoByte: Bool
  /// The byte behind the opcode, which is ModRM for instructions that have one.
  public let modRM: UInt8
  /// The instruction as a 386 decodes it.
  public let instruction: Instruction

  init(_ test: MOOTest, in file: MOOFile) {
    self.test = test
    processor = file.processor
    mode = file.mode
    let bytes = test.bytes
    var n = 0
    while n < bytes.count, Self.isPrefix(bytes[n], file.processor) { n += 1 }
    prefixes = bytes[..<n]
    isTwoByte = file.processor != .i8086 && n + 1 < bytes.count && bytes[n] == 0x0F
    if isTwoByte { n += 1 }
    opcode = n < bytes.count ? bytes[n] : 0
    modRM = n + 1 < bytes.count ? bytes[n + 1] : 0
    instruction = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: bytes.count, codeSize: .bits16) }
  }

  private static func isPrefix(_ byte: UInt8, _ processor: MOOProcessor) -> Bool {
    switch byte {
    case 0x26, 0x2E, 0x36, 0x3E, 0xF0, 0xF2, 0xF3: true
    case 0xF1: processor != .i80386
    case 0x64...0x67: processor == .i80386
    default: false
    }
  }

  /// Field of the ModRM byte that extends the opcode or names a register.
  public var reg: UInt8 { modRM >> 3 & 7 }
  public var isRepeated: Bool { prefixes.contains(0xF2) || prefixes.contains(0xF3) }
  public var isString: Bool { !isTwoByte && (0x6C...0x6F ~= opcode || 0xA4...0xA7 ~= opcode || 0xAA...0xAF ~= opcode) }

  public func initial(_ register: MOORegister) -> UInt32 { test.initial.registers[register] }
  var al: UInt32 { initial(.eax) & 0xFF }
  var isAdjustSet: Bool { initial(.eflags) & 0x10 != 0 }

  /// Whether the access of this faulting instruction that passes the end of its segment goes through SS.
  var faultsInStack: Bool {
    if isString { return sourceIsStack && sourceFaultsFirst }
    // POP reads the stack first, all others their operand.
    let sp = initial(.esp) & 0xFFFF
    if !isTwoByte, opcode == 0x8F, sp == 0xFFFF { return true }
    if instruction.hasMemoryOperand, effectiveOffset + operandSize > 0x10000 { return instruction.segment == .ss }
    return usesStack
  }

  /// Pushes and pops, without software interrupts: with a stack too small for those a processor shuts down.
  private var usesStack: Bool {
    if isTwoByte { return opcode & 0xF6 == 0xA0 }
    switch opcode {
    case 0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x50...0x61, 0x68, 0x6A, 0x8F, 0x9A, 0x9C, 0x9D, 0xC2, 0xC3, 0xC8...0xCB, 0xCF, 0xE8:
      return true
    case 0xFF: return 2...3 ~= reg || reg == 6
    default: return false
    }
  }

  /// A string instruction with a source whose last segment override is SS.
  private var sourceIsStack: Bool {
    switch opcode {
    case 0x6E, 0x6F, 0xA4...0xA7, 0xAC, 0xAD: prefixes.last { [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65].contains($0) } == 0x36
    default: false
    }
  }

  /// Whether SI reaches the end of its segment before DI does, or in the same iteration: sources are read first.
  private var sourceFaultsFirst: Bool {
    func iterations(_ register: MOORegister) -> UInt32 {
      let offset = initial(register) & 0xFFFF
      if offset & 1 == 0 { return .max }
      return initial(.eflags) & 0x400 != 0 ? ((offset + 1) & 0xFFFF) / 2 : (0xFFFF - offset) / 2
    }
    return !(0xA4...0xA7 ~= opcode) || iterations(.esi) <= iterations(.edi)
  }

  /// Bytes of each access to memory, for the instructions whose operands tell.
  private var operandSize: UInt32 {
    for operand in [instruction.op0, instruction.op1] where operand.kind == .memory { return UInt32(max(operand.size, 1)) }
    return 1
  }

  /// Offset of the memory operand, for 16-bit addresses.
  private var effectiveOffset: UInt32 {
    func value(_ number: UInt8) -> UInt32 {
      switch number {
      case 3: initial(.ebx)
      case 5: initial(.ebp)
      case 6: initial(.esi)
      case 7: initial(.edi)
      default: 0
      }
    }
    return (value(instruction.base) &+ value(instruction.index) &+ UInt32(truncatingIfNeeded: instruction.displacement)) & 0xFFFF
  }

  /// Whether an access of more than one byte begins inside a segment of 64 KiB and ends behind it.
  var crossesSegmentEnd: Bool {
    if instruction.hasMemoryOperand, effectiveOffset + operandSize > 0x10000 { return true }
    let size: UInt32 = opcode & 1 == 0 ? 1 : 2
    if isString {
      // Word strings at odd offsets reach FFFF, sooner or later.
      let touched = [initial(.esi) & 0xFFFF, initial(.edi) & 0xFFFF]
      let count = isRepeated ? max(initial(.ecx) & 0xFFFF, 1) : 1
      let down = initial(.eflags) & 0x400 != 0
      return size == 2 && touched.contains { start in
        start & 1 != 0 && (start == 0xFFFF || (down ? count * 2 > start : start + (count - 1) * 2 >= 0xFFFF))
      }
    }
    // A stack slot at FFFF: pushes at odd SP that pass 0, pops that reach the top.
    let sp = initial(.esp) & 0xFFFF
    return (usesStack || 0xCC...0xCE ~= opcode) && sp & 1 != 0 && (sp < 8 || sp > 0xFFF4)
  }

  /// Bytes of the encoding, also where a 386 refuses its reg field.
  var encodedLength: Int {
    var bytes = test.bytes
    let place = prefixes.count + 1
    if !isTwoByte, [0x8F, 0xC6, 0xC7].contains(opcode), place < bytes.count { bytes[place] &= 0xC7 }
    bytes += [UInt8](repeating: 0, count: 16)
    let whole = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: bytes.count, codeSize: .bits16) }
    return Int(whole.length)
  }

  /// The byte that a DIV or IDIV of bytes divides by.
  private var byteDivisor: UInt32? {
    if modRM >= 0xC0 {
      let value = initial([MOORegister.eax, .ecx, .edx, .ebx][Int(modRM & 3)])
      return (modRM & 4 == 0 ? value : value >> 8) & 0xFF
    }
    let segments: [SegmentRegister: MOORegister] = [.es: .es, .cs: .cs, .ss: .ss, .ds: .ds]
    guard let segment = segments[instruction.segment] else { return nil }
    let address = (initial(segment) << 4) + effectiveOffset
    return test.initial.memory.first { $0.address == address }.map { UInt32($0.value) }
  }

  /// Whether an 80286 overlooks that the quotient of IDIV r/m8 does not fit. It divides the magnitudes bit by bit and keeps partial
  /// remainders in 8 bits: one of exactly 80H is lost in the next shift, and if the rest gives -128, that is in range.
  var losesQuotientOverflow: Bool {
    guard !isTwoByte, opcode == 0xF6, reg == 7, let divisor = byteDivisor else { return false }
    let dividend = initial(.eax) & 0xFFFF
    let isNegative = dividend & 0x8000 != 0
    let magnitude = isNegative ? 0x10000 - dividend : dividend
    let by = divisor & 0x80 != 0 ? 0x100 - divisor : divisor
    guard by != 0, isNegative != (divisor & 0x80 != 0), (magnitude << 1) >> 8 == by + 0x80 else { return false }
    return (magnitude - 0x4000) / by == 0x80
  }

  /// Whether the instruction itself passes the end of its 64 KiB segment.
  var codeCrossesSegmentEnd: Bool { (initial(.eip) & 0xFFFF) + UInt32(test.bytes.count) > 0x10000 }
}

extension MOOCase {
  /// Text of the instruction as a 386 sees it.
  var disassembly: String {
    Disassembler.text(of: instruction, at: UInt64(initial(.eip) & 0xFFFF))
  }
}
