import X86Decoder

/// Where an instruction's operand lies.
enum HostOperands {
  /// Base, index and displacement of the memory operand with the registers of `state`, and the segment's base.
  ///
  /// - Parameters:
  ///   - offset: of the instruction in the code.
  ///   - rip: where the code begins.
  static func address(_ i: UnsafePointer<Instruction>, offset: Int, _ state: StatePointer, rip: UInt64, is32: Bool) -> UInt64 {
    let address = self.offset(i, at: rip &+ UInt64(offset), state)
    return is32 ? address & 0xFFFF_FFFF : address &+ segmentBase(i, state)
  }

  /// The same without the segment's base.
  static func offset(_ i: UnsafePointer<Instruction>, at rip: UInt64, _ state: StatePointer) -> UInt64 {
    var address = UInt64(bitPattern: i.pointee.displacement)
    if i.pointee.base == instructionPointerBase {
      address &+= rip &+ UInt64(i.pointee.length)
    } else if i.pointee.base != noRegister {
      address &+= state.gpr(Int(i.pointee.base & 15))
    }
    if i.pointee.index != noRegister, !OpcodeMap.attributes(i.pointee.row).contains(.vectorIndex) {
      address &+= state.gpr(Int(i.pointee.index & 15)) << UInt64(i.pointee.scale)
    }
    switch i.pointee.addressSize {
    case 2: return address & 0xFFFF
    case 4: return address & 0xFFFF_FFFF
    default: return address
    }
  }

  /// LOCK MOV of CR0: the decoder refuses it, so its bytes must tell.
  static func isLockedMoveOfCR0(_ code: UnsafeBufferPointer<UInt8>, is32: Bool) -> Bool {
    var n = 0, isLocked = false
    while n < code.count, [0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65].contains(code[n]) || (!is32 && code[n] & 0xF0 == 0x40) {
      isLocked = isLocked || code[n] == 0xF0
      n += 1
    }
    return isLocked && n + 2 < code.count && code[n] == 0x0F && code[n + 1] & 0xFD == 0x20 && code[n + 2] & 0x38 == 0
  }

  /// The offset that a string instruction reads at, or XLAT or a masked move uses; nil for others.
  static func implicitOffset(_ i: UnsafePointer<Instruction>, _ state: StatePointer) -> UInt64? {
    let offset: UInt64
    switch i.pointee.mnemonic {
    case .XLAT: offset = state.gpr(3) &+ state.gpr(0) & 0xFF
    case .MASKMOVQ, .MASKMOVDQU, .VMASKMOVDQU: offset = state.gpr(7)
    default:
      guard OpcodeMap.attributes(i.pointee.row).contains(.string) else { return nil }
      offset = state.gpr(6)
    }
    return i.pointee.addressSize == 4 ? offset & 0xFFFF_FFFF : offset
  }

  static func isCanonical(_ address: UInt64) -> Bool { Int64(bitPattern: address) >> 47 == 0 || Int64(bitPattern: address) >> 47 == -1 }

  static func segmentBase(_ i: UnsafePointer<Instruction>, _ state: StatePointer) -> UInt64 {
    switch i.pointee.segment {
    case .fs: state.pointee.fsBase
    case .gs: state.pointee.gsBase
    default: 0
    }
  }

  /// Width of the memory operand in bytes, as far as the instruction says; 0 for none.
  static func memorySize(_ i: UnsafePointer<Instruction>) -> Int {
    if i.pointee.op0.kind == .memory { return size(i, i.pointee.op0) }
    if i.pointee.op1.kind == .memory { return size(i, i.pointee.op1) }
    if i.pointee.op2.kind == .memory { return size(i, i.pointee.op2) }
    return i.pointee.mnemonic == .MASKMOVDQU || i.pointee.mnemonic == .VMASKMOVDQU ? 16 : 0
  }

  private static func size(_ i: UnsafePointer<Instruction>, _ operand: Operand) -> Int {
    if operand.size != 0 { return Int(operand.size) }
    switch i.pointee.mnemonic {
    case .XSAVE, .XSAVEC, .XSAVEOPT, .XSAVES, .XRSTOR, .XRSTORS: return 1024
    case .FXSAVE, .FXRSTOR: return 512
    case .FNSAVE, .FRSTOR: return 108
    case .FNSTENV, .FLDENV: return 28
    case .CMPXCHG8B: return 8
    case .CMPXCHG16B: return 16
    default: return 0
    }
  }

  /// What the address must be a multiple of, so that it does not fault, or usually is.
  static func alignment(_ i: UnsafePointer<Instruction>) -> UInt64 {
    switch i.pointee.mnemonic {
    case .XSAVE, .XSAVEC, .XSAVEOPT, .XSAVES, .XRSTOR, .XRSTORS: 64
    case .FXSAVE, .FXRSTOR: 16
    default: UInt64(max(1, min(32, memorySize(i) & -memorySize(i))))
    }
  }
}
