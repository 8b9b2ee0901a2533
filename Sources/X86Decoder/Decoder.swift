import X86

/// Bytes to instruction. Make one and keep it: it holds the pointers to the opcode map's tables.
///
/// Decoding allocates nothing and depends on nothing but the bytes and the code size. It follows Intel where
/// Intel and AMD differ (near branches in 64-bit code ignore 66; SDM vol. 2A §2.2.1 for REX, §2.3 for VEX).
/// Instructions of every feature are decoded; the processor compares `OpcodeMap.feature` with its model.
///
/// Not modelled: EVEX, XOP, 3DNow!, MPX, TSX, CET and AMX encodings are `.invalid` (hint NOPs among
/// them are NOPs).
public struct Decoder: Sendable {
  /// Bytes that must be readable for the checks of each access to be left out: the longest prefix run,
  /// opcode, ModRM, SIB, displacement and immediate that the walk can step over before it notices.
  static let safeLength = 40
  /// An instruction is at most this long (SDM vol. 2A §2.3.11).
  public static let maximumLength = 15

  public let map: OpcodeMap

  public init() {
    map = OpcodeMap.shared
  }

  /// Decodes with a decoder made on first use; for code that is not hot.
  public static func decode(_ bytes: UnsafeRawPointer, available: Int, codeSize: CodeSize) -> Instruction {
    Decoder().decode(bytes, available: available, codeSize: codeSize)
  }

  /// Decodes the instruction at `bytes`, of which `available` may be read.
  ///
  /// Gives `.truncated` if it needs more bytes than that, `.tooLong` if it passes 15, `.invalid` if
  /// the bytes are no instruction.
  public func decode(_ bytes: UnsafeRawPointer, available: Int, codeSize: CodeSize) -> Instruction {
    var instruction = Instruction()
    withUnsafeMutablePointer(to: &instruction) {
      decode(bytes, available: available, codeSize: codeSize, into: $0)
    }
    return instruction
  }

  /// The same into memory of the caller's, a third faster: a returned `Instruction` is copied.
  public func decode(
    _ bytes: UnsafeRawPointer, available: Int, codeSize: CodeSize, into instruction: UnsafeMutablePointer<Instruction>
  ) {
    instruction.initialize(to: Instruction())
    if available >= Self.safeLength {
      walk(bytes, codeSize, instruction)
      if instruction.pointee.length > Self.maximumLength { refuse(instruction, .tooLong) }
    } else {
      decodeNearEnd(bytes, available, codeSize, instruction)
    }
  }

  /// Turns an instruction that a processor model lacks into what that model makes of its bytes: `.invalid`
  /// (#UD), or the instruction whose encoding it extended (LZCNT is BSR, PREFETCHW a NOP).
  public func restrict(_ instruction: UnsafeMutablePointer<Instruction>, to features: FeatureSet) {
    var row = instruction.pointee.row
    while !features.contains(map.feature(row)) {
      row = map.fallback(row)
      instruction.pointee.row = row
      instruction.pointee.mnemonic = map.mnemonic(row)
      if row == 0 { return }
    }
  }

  /// Decodes from a copy padded with zeros.
  @inline(never)
  private func decodeNearEnd(
    _ bytes: UnsafeRawPointer, _ available: Int, _ codeSize: CodeSize, _ instruction: UnsafeMutablePointer<Instruction>
  ) {
    var copy: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
    withUnsafeMutableBytes(of: &copy) { buffer in
      guard let start = buffer.baseAddress else { return }
      let count = max(0, available)
      start.copyMemory(from: bytes, byteCount: count)
      walk(UnsafeRawPointer(start), codeSize, instruction)
      if Int(instruction.pointee.length) > count, count < Self.maximumLength {
        refuse(instruction, .truncated)
      } else if instruction.pointee.length > Self.maximumLength {
        refuse(instruction, .tooLong)
      }
    }
  }

  @inline(never)
  private func refuse(_ instruction: UnsafeMutablePointer<Instruction>, _ reason: Mnemonic) {
    let length = min(instruction.pointee.length, UInt8(Self.maximumLength))
    instruction.pointee = Instruction()
    instruction.pointee.mnemonic = reason
    instruction.pointee.length = length
  }

  /// What the prefixes and the opcode said, for the operands.
  private struct Context {
    var bytes: UnsafeRawPointer
    /// Offset of the next byte.
    var at: Int
    var modRM: UInt8
    /// REX or VEX extensions, each 0 or 8.
    var r: UInt8 = 0
    var x: UInt8 = 0
    var b: UInt8 = 0
    var vvvv: UInt8 = 0
    /// SPL, BPL, SIL, DIL instead of AH, CH, DH, BH.
    var newByteRegisters: Bool
    var long: Bool
    /// Index into a row of the size table.
    var sizeContext: Int

    @inline(__always)
    mutating func byte() -> UInt8 {
      let value = bytes.load(fromByteOffset: at, as: UInt8.self)
      at &+= 1
      return value
    }

    @inline(__always)
    mutating func word() -> UInt16 {
      let value = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self))
      at &+= 2
      return value
    }

    @inline(__always)
    mutating func doubleword() -> UInt32 {
      let value = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
      at &+= 4
      return value
    }

    @inline(__always)
    mutating func quadword() -> UInt64 {
      let value = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      at &+= 8
      return value
    }
  }

  /// Decodes without looking at how many bytes there are; steps over at most `safeLength`.
  @inline(__always)
  private func walk(_ bytes: UnsafeRawPointer, _ codeSize: CodeSize, _ i: UnsafeMutablePointer<Instruction>) {
    let long = codeSize == .bits64
    var at = 0
    var rex: UInt8 = 0
    var prefixes: Prefixes = []
    /// 0 none, 1 66, 2 F3, 3 F2.
    var mandatory: UInt32 = 0
    var segment: UInt8 = noRegister

    // Prefixes. REX counts only where it is the last.
    var opcode = bytes.load(as: UInt8.self)
    while true {
      let kind = map.prefixes[Int(opcode)]
      if kind == PrefixKind.none.rawValue { break }
      if kind == PrefixKind.rex.rawValue {
        if !long { break }
        rex = opcode
      } else {
        rex = 0
        switch PrefixKind(rawValue: kind).unsafelyUnwrapped {
        case .operandSize:
          prefixes.insert(.operandSize)
          if mandatory == 0 { mandatory = 1 }
        case .addressSize: prefixes.insert(.addressSize)
        case .rep:
          prefixes.insert(.rep)
          prefixes.remove(.repne)
          mandatory = 2
        case .repne:
          prefixes.insert(.repne)
          prefixes.remove(.rep)
          mandatory = 3
        case .lock: prefixes.insert(.lock)
        case .es, .cs, .ss, .ds:
          // Null prefixes in 64-bit code (SDM vol. 1 §3.4.2.1): they do not cancel FS or GS either.
          if !long {
            segment = kind &- PrefixKind.es.rawValue
            prefixes.insert(.segmentOverride)
          }
        case .fs, .gs:
          segment = kind &- PrefixKind.es.rawValue
          prefixes.insert(.segmentOverride)
        case .none, .rex: break
        }
      }
      at &+= 1
      if at >= Self.maximumLength {
        i.pointee.length = UInt8(Self.maximumLength + 1)
        return
      }
      opcode = bytes.load(fromByteOffset: at, as: UInt8.self)
    }
    at &+= 1

    var context = Context(
      bytes: bytes, at: at, modRM: 0, newByteRegisters: rex != 0, long: long, sizeContext: 0)
    if rex != 0 {
      context.r = (rex & 4) &<< 1
      context.x = (rex & 2) &<< 2
      context.b = (rex & 1) &<< 3
      prefixes.insert(.rex)
      if rex & 8 != 0 { prefixes.insert(.rexW) }
    }

    // Opcode, through the escapes and VEX.
    var mapBase = 0
    var vectorLength: UInt32 = 0
    if opcode == 0x0F {
      opcode = context.byte()
      mapBase = 256
      if opcode == 0x38 {
        opcode = context.byte()
        mapBase = 512
      } else if opcode == 0x3A {
        opcode = context.byte()
        mapBase = 768
      }
    } else if opcode & 0xFE == 0xC4, long || bytes.load(fromByteOffset: at, as: UInt8.self) >= 0xC0 {
      // VEX; in 16- and 32-bit code LES and LDS with a register for ModRM (SDM vol. 2A §2.3.5).
      let isRefused = mandatory != 0 || rex != 0 || prefixes.contains(.lock)
      let first = context.byte()
      context.r = (~first & 0x80) &>> 4
      var last = first
      mapBase = 4 * 256
      if opcode == 0xC4 {
        last = context.byte()
        context.x = (~first & 0x40) &>> 3
        context.b = long ? (~first & 0x20) &>> 2 : 0
        mapBase = (3 + Int(first & 0x1F)) * 256
        if last & 0x80 != 0 { prefixes.insert(.rexW) }
      }
      context.vvvv = (~last &>> 3) & 0xF
      vectorLength = UInt32(last &>> 2) & 1
      mandatory = UInt32(last & 3)
      prefixes.insert(.vex)
      if isRefused || mapBase < 4 * 256 || mapBase > 6 * 256 {
        i.pointee.length = UInt8(truncatingIfNeeded: context.at)
        return
      }
      opcode = context.byte()
    }

    // Sizes (SDM vol. 1 table 3-4).
    let operand66 = prefixes.contains(.operandSize) && !prefixes.contains(.vex)
    var operandLog: UInt32  // 0 is 2 bytes, 1 is 4, 2 is 8
    let addressLog: UInt32
    if long {
      operandLog = prefixes.contains(.rexW) ? 2 : operand66 ? 0 : 1
      addressLog = prefixes.contains(.addressSize) ? 1 : 2
    } else {
      operandLog = (codeSize == .bits32) != operand66 ? 1 : 0
      addressLog = (codeSize == .bits32) != prefixes.contains(.addressSize) ? 1 : 0
    }

    // The row.
    let cell = map.cells[mapBase &+ Int(opcode)]
    if cell.hasModRM { context.modRM = context.byte() }
    let isRegister: UInt32 = context.modRM >= 0xC0 ? 1 : 0
    var selector = UInt32(context.modRM & 0x3F) | isRegister &<< 6 | mandatory &<< 7
    if prefixes.contains(.rexW) { selector |= 1 &<< 9 }
    selector |= vectorLength &<< 10 | (long ? 1 &<< 11 : 0) | (operandLog == 0 ? 1 &<< 12 : 0) | addressLog &<< 13
    var rowIndex = map.selections[Int(cell.base &+ ((selector &>> UInt32(cell.shift)) & UInt32(cell.mask)))]
    var row = map.rows + Int(rowIndex)
    let attributes = row.pointee.attributes
    if rowIndex == 0 {
      i.pointee.length = UInt8(truncatingIfNeeded: context.at)
      return
    }
    if attributes.contains(.notWithREXB), context.b != 0 {
      // 90 with REX.B exchanges R8 and rAX; it shares its row with 91–97.
      rowIndex = map.selections[Int(map.cells[0x91].base)]
      row = map.rows + Int(rowIndex)
    }

    i.pointee.row = rowIndex
    i.pointee.opcode = opcode
    i.pointee.modRM = context.modRM
    if attributes.contains(.takes66) { prefixes.remove(.operandSize) }
    if attributes.contains(.takesRepeat) {
      prefixes.remove(.rep)
      prefixes.remove(.repne)
    }
    if long {
      if attributes.contains(.force64) {
        operandLog = 2
      } else if attributes.contains(.default64), operandLog == 1 {
        operandLog = 2
      }
    }
    i.pointee.operandSize = 2 &<< UInt8(truncatingIfNeeded: operandLog)
    i.pointee.addressSize = 2 &<< UInt8(truncatingIfNeeded: addressLog)
    if attributes.contains(.vex) {
      if attributes.contains(.lengthIgnored) { vectorLength = 0 }
      i.pointee.vectorLength = vectorLength != 0 ? 32 : 16
      if attributes.contains(.vvvvUnused), context.vvvv != 0 {
        i.pointee = Instruction()
        i.pointee.length = UInt8(truncatingIfNeeded: context.at)
        return
      }
      if !long { context.vvvv &= 7 }
    }
    i.pointee.prefixes = prefixes
    context.sizeContext = Int(operandLog | vectorLength &<< 2 | (long ? 8 : 0))

    // Memory.
    var isMemory = false
    if cell.hasModRM, isRegister == 0, !attributes.contains(.modIgnored) {
      isMemory = true
      if addressLog == 0 {
        address16(&context, i)
        if attributes.contains(.vectorIndex) { rowIndex = 0 }
      } else {
        address(&context, i, isVectorIndexed: attributes.contains(.vectorIndex), &rowIndex)
      }
    }
    if segment != noRegister { i.pointee.segment = SegmentRegister(rawValue: segment).unsafelyUnwrapped }

    // Operands.
    let count = row.pointee.operandCount
    i.pointee.operandCount = count
    if count > 0 {
      i.pointee.op0 = operand(row.pointee.form0, &context, i, &rowIndex)
      if count > 1 {
        i.pointee.op1 = operand(row.pointee.form1, &context, i, &rowIndex)
        if count > 2 {
          i.pointee.op2 = operand(row.pointee.form2, &context, i, &rowIndex)
          if count > 3 { i.pointee.op3 = operand(row.pointee.form3, &context, i, &rowIndex) }
        }
      }
    }

    // LOCK needs a memory destination (SDM vol. 2A, LOCK).
    if prefixes.contains(.lock), !(isMemory && attributes.contains(.lockable)) { rowIndex = 0 }
    let length = UInt8(truncatingIfNeeded: context.at)
    if rowIndex == 0 {
      i.pointee = Instruction()
      i.pointee.length = length
      return
    }
    i.pointee.mnemonic = row.pointee.mnemonic
    i.pointee.length = length
  }

  /// SDM vol. 2A table 2-1.
  @inline(never)
  private func address16(_ context: inout Context, _ i: UnsafeMutablePointer<Instruction>) {
    let mod = context.modRM &>> 6
    let rm = context.modRM & 7
    switch rm {
    case 0: (i.pointee.base, i.pointee.index) = (3, 6)
    case 1: (i.pointee.base, i.pointee.index) = (3, 7)
    case 2: (i.pointee.base, i.pointee.index) = (5, 6)
    case 3: (i.pointee.base, i.pointee.index) = (5, 7)
    case 4: i.pointee.base = 6
    case 5: i.pointee.base = 7
    case 6: i.pointee.base = 5
    default: i.pointee.base = 3
    }
    if i.pointee.base == 5 { i.pointee.segment = .ss }
    if mod == 1 {
      i.pointee.displacement = Int64(Int8(bitPattern: context.byte()))
    } else if mod == 2 {
      i.pointee.displacement = Int64(Int16(bitPattern: context.word()))
    } else if rm == 6 {
      i.pointee.base = noRegister
      i.pointee.segment = .ds
      i.pointee.displacement = Int64(Int16(bitPattern: context.word()))
    }
  }

  /// SDM vol. 2A tables 2-2 and 2-3, and §2.2.1.6 for RIP-relative addressing.
  @inline(__always)
  private func address(
    _ context: inout Context, _ i: UnsafeMutablePointer<Instruction>, isVectorIndexed: Bool, _ rowIndex: inout UInt16
  ) {
    let mod = context.modRM &>> 6
    var base = context.modRM & 7
    if base == 4 {
      let sib = context.byte()
      base = sib & 7
      let index = (sib &>> 3) & 7 | context.x
      i.pointee.scale = sib &>> 6
      if index != 4 || isVectorIndexed { i.pointee.index = index }
      if base == 5, mod == 0 {
        i.pointee.displacement = Int64(Int32(bitPattern: context.doubleword()))
        return
      }
    } else {
      // A gather has a SIB byte (SDM vol. 2A §2.3.12).
      if isVectorIndexed { rowIndex = 0 }
      if base == 5, mod == 0 {
        i.pointee.displacement = Int64(Int32(bitPattern: context.doubleword()))
        if context.long { i.pointee.base = instructionPointerBase }
        return
      }
    }
    if base &- 4 < 2, context.b == 0 { i.pointee.segment = .ss }
    i.pointee.base = base | context.b
    if mod == 1 {
      i.pointee.displacement = Int64(Int8(bitPattern: context.byte()))
    } else if mod == 2 {
      i.pointee.displacement = Int64(Int32(bitPattern: context.doubleword()))
    }
  }

  @inline(__always)
  private func width(_ size: OperandSize, _ context: Context) -> UInt8 {
    map.sizes[Int(size.rawValue) &<< 4 | context.sizeContext]
  }

  @inline(__always)
  private func general(_ number: UInt8, _ size: UInt8, _ context: Context) -> Operand {
    if size == 1, !context.newByteRegisters, number &- 4 < 4 {
      return Operand(kind: .general, register: number &+ 12, size: 1)
    }
    return Operand(kind: .general, register: number, size: size)
  }

  /// One operand; reads the immediates, and clears `rowIndex` where a register does not exist.
  @inline(never)
  private func operand(
    _ form: OperandForm, _ context: inout Context, _ i: UnsafeMutablePointer<Instruction>, _ rowIndex: inout UInt16
  ) -> Operand {
    let size = width(form.registerSize, context)
    let rm = context.modRM & 7 | context.b
    let reg = (context.modRM &>> 3) & 7 | context.r
    switch form.letter {
    case .E:
      if context.modRM < 0xC0 { return Operand(kind: .memory, size: width(form.memorySize, context)) }
      return general(rm, size, context)
    case .G: return general(reg, size, context)
    case .M: return Operand(kind: .memory, size: size)
    case .Z: return general(i.pointee.opcode & 7 | context.b, size, context)
    case .R: return general(rm, size, context)
    case .B: return Operand(kind: .general, register: context.vvvv, size: size)
    case .fixedGeneral: return Operand(kind: .general, register: form.fixed, size: size)

    case .I:
      i.pointee.immediate = immediate(form.registerSize, &context)
      // An imm32 stands for the whole operand.
      return Operand(kind: .immediate, size: form.registerSize == .z ? width(.v, context) : size)
    case .signedI:
      i.pointee.immediate = UInt64(bitPattern: Int64(Int8(bitPattern: context.byte())))
      return Operand(kind: .immediate, size: width(.v, context))
    case .secondI:
      i.pointee.immediate2 = UInt16(context.byte())
      return Operand(kind: .immediate2, size: size)
    case .J:
      i.pointee.immediate =
        form.registerSize == .b
        ? UInt64(bitPattern: Int64(Int8(bitPattern: context.byte()))) : immediate(.z, &context)
      return Operand(kind: .relative, size: i.pointee.operandSize)
    case .A:
      i.pointee.immediate = i.pointee.operandSize == 2 ? UInt64(context.word()) : UInt64(context.doubleword())
      i.pointee.immediate2 = context.word()
      return Operand(kind: .farPointer, size: size)
    case .O:
      switch i.pointee.addressSize {
      case 2: i.pointee.displacement = Int64(context.word())
      case 4: i.pointee.displacement = Int64(context.doubleword())
      default: i.pointee.displacement = Int64(bitPattern: context.quadword())
      }
      return Operand(kind: .memory, size: size)

    case .V: return Operand(kind: .vector, register: reg, size: size)
    case .W:
      if context.modRM < 0xC0 { return Operand(kind: .memory, size: width(form.memorySize, context)) }
      return Operand(kind: .vector, register: rm, size: size)
    case .U: return Operand(kind: .vector, register: rm, size: size)
    case .H: return Operand(kind: .vector, register: context.vvvv, size: size)
    case .L:
      let register = context.byte() &>> 4
      return Operand(kind: .vector, register: context.long ? register : register & 7, size: size)
    case .vectorIndexed: return Operand(kind: .memory, size: 1 &<< form.fixed)
    case .P: return Operand(kind: .mmx, register: reg & 7, size: size)
    case .Q:
      if context.modRM < 0xC0 { return Operand(kind: .memory, size: size) }
      return Operand(kind: .mmx, register: rm & 7, size: size)
    case .N: return Operand(kind: .mmx, register: rm & 7, size: size)

    case .x87Top: return Operand(kind: .x87, register: 0, size: size)
    case .x87Register: return Operand(kind: .x87, register: context.modRM & 7, size: size)
    case .one: return Operand(kind: .one, size: 1)
    case .fixedSegment: return Operand(kind: .segment, register: form.fixed, size: size)
    case .S:
      let register = (context.modRM &>> 3) & 7
      // There are six, and CS is no destination of MOV (SDM vol. 2B, MOV).
      if register > 5 || (register == 1 && i.pointee.opcode == 0x8E) { rowIndex = 0 }
      return Operand(kind: .segment, register: register, size: size)
    case .C:
      // CR0, CR2, CR3, CR4, CR8 (SDM vol. 2B, MOV—Move to/from Control Registers).
      if reg > 8 || 0b1_0001_1101 &>> UInt32(reg) & 1 == 0 { rowIndex = 0 }
      return Operand(kind: .control, register: reg, size: size)
    case .D:
      if reg > 7 { rowIndex = 0 }
      return Operand(kind: .debug, register: reg, size: size)
    case .none: return .none
    }
  }

  /// Zero-extended, but for imm32 (and imm16) of `z`, which stand for a sign-extended operand.
  @inline(__always)
  private func immediate(_ size: OperandSize, _ context: inout Context) -> UInt64 {
    switch size {
    case .b: return UInt64(context.byte())
    case .w: return UInt64(context.word())
    case .z:
      if context.sizeContext & 3 == 0 { return UInt64(bitPattern: Int64(Int16(bitPattern: context.word()))) }
      return UInt64(bitPattern: Int64(Int32(bitPattern: context.doubleword())))
    default:
      switch context.sizeContext & 3 {
      case 0: return UInt64(context.word())
      case 1: return UInt64(context.doubleword())
      default: return context.quadword()
      }
    }
  }
}
