import Platform
import Processor
import X86
import X86Decoder

/// Instruction fetch: translation of RIP, and decoding of single instructions.
enum Fetch {
  /// Translates a linear code address, with all faults of a fetch.
  static func translate(_ cpu: CPU, _ linear: UInt64) throws(Fault) -> PageTranslation {
    if !cpu.isCanonical(linear) { throw .generalProtection() }
    return try cpu.translate(linear, .execute, user: cpu.s.pointee.cpl == 3)
  }

  @inline(__always)
  static func linear(_ cpu: CPU, _ rip: UInt64) -> UInt64 {
    let s = cpu.s
    return s.pointee.codeSize == .bits64 ? rip : (rip &+ s.pointee.cs.base) & 0xFFFF_FFFF
  }

  /// Decodes the instruction at RIP by fetching its bytes one page at a time; never reads a page it does not need.
  ///
  /// - Throws: #PF and #GP of the fetch, #UD for bytes that are no instruction or not one of this CPU model.
  @inline(never)
  static func instruction(_ cpu: CPU) throws(Fault) -> Instruction {
    var buffer: (UInt64, UInt64) = (0, 0)
    let instruction = try withUnsafeMutableBytes(of: &buffer) { (bytes) throws(Fault) -> Instruction in
      try decode(cpu, into: bytes.baseAddress.unsafelyUnwrapped)
    }
    return instruction
  }

  /// Decodes again an instruction of a block, which lies on one page and in memory; without a walk if the code TLB still knows the page.
  @inline(__always)
  static func again(_ cpu: CPU, _ op: OperationPointer) throws(Fault) -> Instruction {
    guard let page = cpu.codePage(linear: linear(cpu, cpu.s.pointee.rip)),
          let host = UnsafeRawPointer(
            bitPattern: cpu.pageWord(page.pointee.physicalPage &<< 12) & ~PhysicalMemory.PageBits.mask) else {
      return try instruction(cpu)
    }
    let offset = op.pointee.offset
    var again = Decoder.decode(host + Int(offset), available: Int(4096 &- offset), codeSize: cpu.s.pointee.codeSize)
    cpu.admit(&again)
    return again
  }

  private static func decode(_ cpu: CPU, into bytes: UnsafeMutableRawPointer) throws(Fault) -> Instruction {
    let s = cpu.s
    var available = 0
    while true {
      // As many bytes as the page, the segment limit and the buffer allow.
      let rip = s.pointee.rip &+ UInt64(available)
      var room = 15 - available
      if s.pointee.codeSize != .bits64 {
        if rip > UInt64(s.pointee.cs.limit) { throw .generalProtection() }
        room = min(room, Int(UInt64(s.pointee.cs.limit) &- rip) + 1)
      }
      let linear = linear(cpu, rip)
      let physical = try translate(cpu, linear).physical
      room = min(room, Int(4096 - (linear & 0xFFF)))
      for k in 0..<room {
        bytes.storeBytes(of: UInt8(truncatingIfNeeded: cpu.readPhysical(physical &+ UInt64(k), 1)),
                         toByteOffset: available + k, as: UInt8.self)
      }
      available += room
      var instruction = Decoder.decode(bytes, available: available, codeSize: s.pointee.codeSize)
      if instruction.mnemonic == .truncated, available < 15 { continue }
      cpu.admit(&instruction)
      return try accept(instruction)
    }
  }

  /// #UD for what is no instruction, or none of this CPU model.
  private static func accept(_ instruction: Instruction) throws(Fault) -> Instruction {
    switch instruction.mnemonic {
    case .invalid: throw .undefined
    case .tooLong, .truncated: throw .generalProtection()
    default: return instruction
    }
  }
}
