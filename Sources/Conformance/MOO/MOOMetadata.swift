import Machine

/// What `metadata.json` beside a set's files says: which flags each instruction leaves undefined.
public struct MOOMetadata: Sendable {
  /// Defined bits of FLAGS by opcode (those behind 0F from 256 on) and the reg field of ModRM.
  private var flagMasks = [UInt16](repeating: 0xFFFF, count: 512 * 8)

  /// No metadata: every flag is defined.
  public init() {}

  public init(_ document: JSON, name: String) throws(MachineError) {
    guard let opcodes = document["opcodes"], !opcodes.members.isEmpty else {
      throw .badImage("\(name) has no object \"opcodes\", so it does not describe a test set")
    }
    for (opcode, entry) in opcodes.members {
      try note(entry, opcode, name)
      for (number, member) in entry["reg"]?.members ?? [] { try note(member, opcode + "." + number, name) }
    }
  }

  private mutating func note(_ entry: JSON, _ opcode: String, _ name: String) throws(MachineError) {
    guard let value = entry["flags-mask"] else { return }
    guard let number = value.integer, let mask = UInt16(exactly: number) else {
      throw .badImage("\(name) gives opcode \(opcode) a \"flags-mask\" that is no 16-bit number")
    }
    let parts = opcode.split(separator: ".")
    guard let code = parts.first.flatMap({ UInt16($0, radix: 16) }), code < 0x100 || code >> 8 == 0x0F else {
      throw .badImage("\(name) names an opcode '\(opcode)', which is no hexadecimal number of one byte, or of two with 0F")
    }
    let first = (Int(code & 0xFF) + (code < 0x100 ? 0 : 256)) * 8
    if parts.count == 1 {
      for reg in 0..<8 { flagMasks[first + reg] = mask }
    } else if let reg = Int(parts[1]), 0..<8 ~= reg {
      flagMasks[first + reg] = mask
    }
  }

  /// Defined flags of an instruction.
  ///
  /// - Parameters:
  ///   - opcode: the opcode byte, or the byte behind 0F.
  ///   - reg: field of the ModRM byte.
  public func definedFlags(_ opcode: UInt8, isTwoByte: Bool, reg: UInt8) -> UInt16 {
    flagMasks[(Int(opcode) + (isTwoByte ? 256 : 0)) * 8 + Int(reg & 7)]
  }
}
