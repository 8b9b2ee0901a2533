import X86
import X86Decoder
import ZydisOracle

/// Instruction-like random bytes, from SplitMix64: small, and the same everywhere.
struct RandomBytes {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int(next() >> 33) % limit }

  private static let prefixes: [UInt8] = [
    0x66, 0x66, 0xF2, 0xF3, 0xF2, 0xF3, 0x67, 0xF0, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x48, 0x41, 0x4F, 0x44,
  ]

  /// Twenty-four bytes that begin like an instruction: some prefixes, then each opcode map about equally often.
  mutating func instruction(into bytes: UnsafeMutablePointer<UInt8>) {
    for word in 0..<3 {
      UnsafeMutableRawPointer(bytes).storeBytes(of: next(), toByteOffset: word * 8, as: UInt64.self)
    }
    var at = 0
    let choice = below(16)
    let count = choice < 6 ? 0 : choice < 11 ? 1 : choice < 14 ? 2 : choice < 15 ? 3 : below(14)
    for _ in 0..<count {
      bytes[at] = Self.prefixes[below(Self.prefixes.count)]
      at += 1
    }
    switch below(10) {
    case 0, 1: break
    case 2, 3, 4:
      bytes[at] = 0x0F
    case 5:
      bytes[at] = 0x0F
      bytes[at + 1] = below(2) == 0 ? 0x38 : 0x3A
    case 6:
      bytes[at] = 0xC5
      bytes[at + 1] |= below(2) == 0 ? 0xC0 : 0xF8
    case 7, 8:
      bytes[at] = 0xC4
      bytes[at + 1] = bytes[at + 1] & 0xE0 | UInt8(below(4)) | (below(2) == 0 ? 0xC0 : 0)
      if below(2) == 0 { bytes[at + 2] |= 0x78 }
    default: bytes[at] = UInt8(0xD8 + below(8))
    }
  }
}

extension CodeSize {
  var bits: Int { Int(rawValue) * 8 }
}

/// How a decoded instruction and Zydis' view of it differ; nil where they agree.
func difference(_ ours: Instruction, _ theirs: OracleInstruction) -> String? {
  let isAccepted = ours.mnemonic != .invalid && ours.mnemonic != .truncated && ours.mnemonic != .tooLong
  if !isAccepted || theirs.isAccepted == 0 {
    if isAccepted { return "only we accept" }
    return theirs.isAccepted == 0 ? nil : "only Zydis accepts"
  }
  if ours.length != theirs.length { return "length" }
  if zydisName(ours) != String(cString: theirs.mnemonic) { return "mnemonic" }
  let operands = [ours.op0, ours.op1, ours.op2, ours.op3]
  if ours.operandCount != theirs.operandCount { return "operand count" }
  return withUnsafeBytes(of: theirs.operands) { raw in
    let their = raw.bindMemory(to: OracleOperand.self)
    for index in 0..<Int(ours.operandCount) {
      if let what = difference(operands[index], their[index], ours) { return "operand \(index): \(what)" }
    }
    return nil
  }
}

private func difference(_ our: Operand, _ their: OracleOperand, _ instruction: Instruction) -> String? {
  func register(_ kind: Int) -> String? {
    guard Int(their.kind) == ORACLE_REGISTER else { return "kind" }
    if Int(their.registerClass) != kind { return "register class" }
    return our.register == their.registerNumber ? nil : "register"
  }
  func width() -> String? { Int(our.size) * 8 == Int(their.bits) ? nil : "width \(Int(our.size) * 8) not \(their.bits)" }
  switch our.kind {
  case .none: return "kind"
  case .general: return register(ORACLE_CLASS_GENERAL) ?? width()
  case .segment: return register(ORACLE_CLASS_SEGMENT)
  case .control: return register(ORACLE_CLASS_CONTROL)
  case .debug: return register(ORACLE_CLASS_DEBUG)
  case .mmx: return register(ORACLE_CLASS_MMX)
  case .x87: return register(ORACLE_CLASS_X87)
  case .vector:
    // A register's own width is 128 or 256 with Zydis, ours is what the instruction touches.
    return register(ORACLE_CLASS_VECTOR) ?? ((our.size == 32) == (their.bits == 256) ? nil : "vector width")
  case .memory:
    guard Int(their.kind) == ORACLE_MEMORY else { return "kind" }
    if instruction.base != their.base { return "base" }
    if instruction.index != their.index { return "index" }
    if instruction.index != noRegister, 1 << instruction.scale != their.scale { return "scale" }
    // Zydis sign-extends 16- and 32-bit addresses.
    if instruction.base == noRegister, instruction.index == noRegister {
      let mask: UInt64 = instruction.addressSize == 8 ? .max : 1 << (UInt64(instruction.addressSize) * 8) - 1
      if UInt64(bitPattern: instruction.displacement ^ their.value) & mask != 0 { return "displacement" }
    } else if instruction.displacement != their.value {
      return "displacement"
    }
    if instruction.segment.rawValue != their.segment { return "segment \(instruction.segment) not \(their.segment)" }
    // Where an instruction gives no width, Zydis gives the area's.
    return our.size == 0 ? nil : width()
  case .immediate:
    guard Int(their.kind) == ORACLE_IMMEDIATE, their.isRelative == 0 else { return "kind" }
    // Zydis sign-extends a byte, we do not; only the operand's own bits count.
    let mask: UInt64 = our.size == 8 ? .max : 1 << (UInt64(our.size) * 8) - 1
    return (instruction.immediate ^ UInt64(bitPattern: their.value)) & mask == 0 ? nil : "immediate"
  case .immediate2:
    guard Int(their.kind) == ORACLE_IMMEDIATE else { return "kind" }
    return UInt64(instruction.immediate2) == UInt64(bitPattern: their.value) ? nil : "second immediate"
  case .relative:
    guard Int(their.kind) == ORACLE_IMMEDIATE, their.isRelative != 0 else { return "kind" }
    return instruction.immediate == UInt64(bitPattern: their.value) ? nil : "displacement"
  case .farPointer:
    guard Int(their.kind) == ORACLE_POINTER else { return "kind" }
    return instruction.immediate == UInt64(bitPattern: their.value) && instruction.immediate2 == their.selector
      ? nil : "far pointer"
  case .one: return Int(their.kind) == ORACLE_IMMEDIATE && their.value == 1 ? nil : "kind"
  }
}

/// Zydis' name of the instruction: ours in lower case, with the size where Zydis makes it part of the name.
private func zydisName(_ instruction: Instruction) -> String {
  var name = "\(instruction.mnemonic)".lowercased()
  for suffix in ["_str", "_far"] where name.hasSuffix(suffix) { name.removeLast(4) }
  switch instruction.mnemonic {
  case .FXSAVE, .FXRSTOR, .XSAVE, .XRSTOR, .XSAVEOPT, .XSAVEC, .XSAVES, .XRSTORS:
    if instruction.prefixes.contains(.rexW) { name += "64" }
  case .PUSHF, .POPF, .IRET:
    if instruction.operandSize == 4 { name += "d" } else if instruction.operandSize == 8 { name += "q" }
  case .PUSHA, .POPA: if instruction.operandSize == 4 { name += "d" }
  default: break
  }
  return name
}
