import Testing
import X86
import X86Decoder

/// Decodes a few bytes; what follows them is not there.
func decode(_ bytes: [UInt8], _ codeSize: CodeSize = .bits64) -> Instruction {
  bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: bytes.count, codeSize: codeSize) }
}

/// Decodes with enough bytes behind for the path without checks.
func decodePadded(_ bytes: [UInt8], _ codeSize: CodeSize = .bits64) -> Instruction {
  decode(bytes + [UInt8](repeating: 0xCC, count: 48), codeSize)
}

@Suite struct DecoderTests {
  @Test func lengthLimits() {
    // 14 prefixes and a NOP are 15 bytes; one more prefix passes the limit.
    let fourteen = [UInt8](repeating: 0x2E, count: 14)
    #expect(decode(fourteen + [0x90]).mnemonic == .NOP)
    #expect(decode(fourteen + [0x90]).length == 15)
    #expect(decode(fourteen + [0x2E, 0x90]).mnemonic == .tooLong)
    #expect(decodePadded(fourteen + [0x2E, 0x90]).mnemonic == .tooLong)
    // The limit counts the immediate too.
    let eleven = [UInt8](repeating: 0x2E, count: 11)
    #expect(decodePadded(eleven + [0x05, 1, 2, 3, 4]).mnemonic == .tooLong)
    #expect(decodePadded(eleven.dropLast() + [0x05, 1, 2, 3, 4]).length == 15)
  }

  @Test func truncation() {
    // MOV RAX, imm64 at every shorter length, and whole.
    let whole: [UInt8] = [0x48, 0xB8, 1, 2, 3, 4, 5, 6, 7, 8]
    for count in 0..<whole.count {
      #expect(decode(Array(whole.prefix(count)) + [], .bits64).mnemonic == .truncated)
    }
    #expect(decode(whole).immediate == 0x0807_0605_0403_0201)
    #expect(decode([0x0F]).mnemonic == .truncated)
    #expect(decode([0x80]).mnemonic == .truncated)
    #expect(decode([0xC5]).mnemonic == .truncated)
    // A byte that is no instruction by itself needs no more bytes.
    #expect(decode([0x06]).mnemonic == .invalid)
    // Fifteen prefixes say enough.
    #expect(decode([UInt8](repeating: 0x66, count: 15)).mnemonic == .tooLong)
    #expect(decode([UInt8](repeating: 0x66, count: 14)).mnemonic == .truncated)
  }

  @Test func bothPathsAgree() {
    var random = RandomBytes(state: 42)
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { buffer in
      buffer.initialize(repeating: 0)
      let bytes = buffer.baseAddress!
      let decoder = Decoder()
      for _ in 0..<20_000 {
        random.instruction(into: bytes)
        let whole = decoder.decode(bytes, available: 64, codeSize: .bits64)
        let exact = decoder.decode(bytes, available: Int(whole.length), codeSize: .bits64)
        #expect(whole.mnemonic == exact.mnemonic && whole.length == exact.length && whole.op0 == exact.op0)
        if whole.mnemonic != .invalid, whole.mnemonic != .tooLong {
          let short = decoder.decode(bytes, available: Int(whole.length) - 1, codeSize: .bits64)
          #expect(short.mnemonic == .truncated)
        }
      }
    }
  }

  @Test func rexCountsOnlyAsTheLastPrefix() {
    #expect(decode([0x48, 0x01, 0xD8]).operandSize == 8)
    #expect(decode([0x48, 0x66, 0x01, 0xD8]).operandSize == 2)
    #expect(decode([0x66, 0x48, 0x01, 0xD8]).operandSize == 8)
    #expect(decode([0x41, 0x48, 0x01, 0xD8]).op0.register == 0)
    #expect(decode([0x48, 0xFF, 0xC0], .bits32).mnemonic == .DEC)
  }

  @Test func byteRegisters() {
    #expect(decode([0x88, 0xE0]).op1 == Operand(kind: .general, register: 16, size: 1))
    #expect(decode([0x40, 0x88, 0xE0]).op1 == Operand(kind: .general, register: 4, size: 1))
    #expect(decode([0xB7, 1]).op0 == Operand(kind: .general, register: 19, size: 1))
  }

  @Test func lockNeedsALockableMemoryDestination() {
    #expect(decode([0xF0, 0x01, 0x03]).mnemonic == .ADD)
    #expect(decode([0xF0, 0x01, 0xC3]).mnemonic == .invalid)
    #expect(decode([0xF0, 0x03, 0x03]).mnemonic == .invalid)
    #expect(decode([0xF0, 0x39, 0x03]).mnemonic == .invalid)
    #expect(decode([0xF0, 0x90]).mnemonic == .invalid)
    #expect(decode([0xF0, 0x0F, 0xC7, 0x0B]).mnemonic == .CMPXCHG8B)
    #expect(decode([0xF0, 0x48, 0x0F, 0xC7, 0x0B]).mnemonic == .CMPXCHG16B)
    #expect(decode([0xF0, 0x0F, 0xA3, 0x03]).mnemonic == .invalid)
    #expect(decode([0xF0, 0x0F, 0xAB, 0x03]).mnemonic == .BTS)
    #expect(decode([0xF0, 0x0F, 0x20, 0xC0]).mnemonic == .invalid)
  }

  @Test func vexRefusesOtherPrefixes() {
    let vaddps: [UInt8] = [0xC5, 0xE8, 0x58, 0xCB]
    #expect(decode(vaddps).mnemonic == .VADDPS)
    for prefix: UInt8 in [0x66, 0xF2, 0xF3, 0xF0, 0x40, 0x48] { #expect(decode([prefix] + vaddps).mnemonic == .invalid) }
    #expect(decode([0x64, 0x67] + vaddps).mnemonic == .VADDPS)
    // VEX.vvvv is 1111 where it names nothing: VMOVUPS.
    #expect(decode([0xC5, 0xF8, 0x10, 0xCB]).mnemonic == .VMOVUPS)
    #expect(decode([0xC5, 0xE8, 0x10, 0xCB]).mnemonic == .invalid)
    // In 32-bit code C5 with a memory form is LDS, and the fourth bit of vvvv is ignored.
    #expect(decode([0xC5, 0x03], .bits32).mnemonic == .LDS)
    #expect(decode(vaddps, .bits32).op1.register == 2)
    #expect(decode([0xC4, 0xC1, 0x68, 0x58, 0xCB], .bits32).op2.register == 3)
  }

  @Test func widthOfVEXMoves() {
    #expect(decode([0xC4, 0xE1, 0xF9, 0x6E, 0xC0]).mnemonic == .VMOVQ)
    #expect(decode([0xC4, 0xE1, 0x79, 0x6E, 0xC0]).mnemonic == .VMOVD)
    // VEX.W is ignored outside 64-bit code.
    #expect(decode([0xC4, 0xE1, 0xF9, 0x6E, 0xC0], .bits32).mnemonic == .VMOVD)
    #expect(decode([0xC4, 0xE2, 0xE8, 0xF2, 0xC0]).op0.size == 8)
    #expect(decode([0xC4, 0xE2, 0xE8, 0xF2, 0xC0], .bits32).op0.size == 4)
    #expect(decode([0xC5, 0xEC, 0x58, 0xCB]).vectorLength == 32)
    // Scalars ignore VEX.L.
    #expect(decode([0xC5, 0xEE, 0x58, 0xCB]).vectorLength == 16)
  }

  @Test func gathers() {
    let gather = decode([0xC4, 0xE2, 0xE9, 0x90, 0x04, 0x4C])
    #expect(gather.mnemonic == .VPGATHERDQ)
    #expect(gather.index == 1 && gather.base == 4 && gather.scale == 1 && gather.op1.size == 8)
    // Index 4 is a register here, and without a SIB byte there is no gather.
    #expect(decode([0xC4, 0xE2, 0x69, 0x90, 0x04, 0x20]).index == 4)
    #expect(decode([0xC4, 0xE2, 0x69, 0x90, 0x03]).mnemonic == .invalid)
    #expect(decode([0x67, 0xC4, 0xE2, 0x69, 0x90, 0x04], .bits32).mnemonic == .invalid)
  }

  @Test func segments() {
    #expect(decode([0x8B, 0x03]).segment == .ds)
    #expect(decode([0x8B, 0x45, 0]).segment == .ss)
    #expect(decode([0x41, 0x8B, 0x45, 0]).segment == .ds)
    #expect(decode([0x8B, 0x04, 0x24]).segment == .ss)
    #expect(decode([0x65, 0x8B, 0x03]).segment == .gs)
    // In 64-bit code ES, CS, SS and DS are null prefixes and do not even cancel FS.
    #expect(decode([0x64, 0x3E, 0x8B, 0x03]).segment == .fs)
    #expect(decode([0x3E, 0x8B, 0x45, 0]).segment == .ss)
    #expect(decode([0x3E, 0x8B, 0x45, 0], .bits32).segment == .ds)
    #expect(decode([0x64, 0x3E, 0x8B, 0x03], .bits32).segment == .ds)
    #expect(decode([0x8B, 0x46, 0], .bits16).segment == .ss)
    #expect(decode([0x8B, 0x06, 0, 0x80], .bits16).segment == .ds)
    #expect(decode([0x65, 0xA4]).segment == .gs)
  }

  @Test func addressing() {
    let relative = decode([0x8B, 0x05, 0x10, 0, 0, 0])
    #expect(relative.base == instructionPointerBase && relative.displacement == 16)
    #expect(decode([0x8B, 0x05, 0x10, 0, 0, 0], .bits32).base == noRegister)
    let direct = decode([0x41, 0x8B, 0x04, 0x4D, 0xFF, 0xFF, 0xFF, 0xFF])
    #expect(direct.base == noRegister && direct.index == 1 && direct.displacement == -1)
    #expect(decode([0x42, 0x8B, 0x04, 0x20]).index == 12)
    #expect(decode([0x8B, 0x04, 0x20]).index == noRegister)
    let word = decode([0x8B, 0x42, 0xF0], .bits16)
    #expect(word.base == 5 && word.index == 6 && word.displacement == -16 && word.addressSize == 2)
    let moffs = decode([0xA1, 8, 7, 6, 5, 4, 3, 2, 0xF1])
    #expect(UInt64(bitPattern: moffs.displacement) == 0xF102_0304_0506_0708)
  }

  @Test func operandSizes() {
    #expect(decode([0x50]).operandSize == 8)
    #expect(decode([0x66, 0x50]).operandSize == 2)
    #expect(decode([0x66, 0xE8, 0, 0, 0, 0]).operandSize == 8)
    #expect(decode([0x66, 0xE8, 0, 0, 0, 0]).length == 6)
    #expect(decode([0x66, 0xE8, 0, 0], .bits32).operandSize == 2)
    #expect(decode([0x66, 0x48, 0x98]).mnemonic == .CDQE)
    #expect(decode([0x66, 0x98]).mnemonic == .CBW)
    #expect(decode([0x48, 0x6D]).mnemonic == .INSD)
    #expect(decode([0x67, 0xE3, 0]).mnemonic == .JECXZ)
    #expect(decode([0xE3, 0], .bits16).mnemonic == .JCXZ)
    #expect(decode([0x66, 0xF2, 0x0F, 0x38, 0xF1, 0xC0]).op1.size == 2)
  }

  @Test func immediates() {
    #expect(decode([0x83, 0xC0, 0xFF]).immediate == .max)
    #expect(decode([0x80, 0xC0, 0xFF]).immediate == 0xFF)
    #expect(decode([0x48, 0x05, 0, 0, 0, 0x80]).immediate == 0xFFFF_FFFF_8000_0000)
    #expect(decode([0xB8, 0, 0, 0, 0x80]).immediate == 0x8000_0000)
    let enter = decode([0xC8, 0x34, 0x12, 5])
    #expect(enter.immediate == 0x1234 && enter.immediate2 == 5)
    let far = decode([0x9A, 1, 2, 3, 4, 5, 6], .bits32)
    #expect(far.immediate == 0x0403_0201 && far.immediate2 == 0x0605 && far.op0.size == 6)
  }

  @Test func registersThatDoNotExist() {
    #expect(decode([0x8E, 0xC8]).mnemonic == .invalid)
    #expect(decode([0x8C, 0xC8]).mnemonic == .MOV)
    #expect(decode([0x8C, 0xF0]).mnemonic == .invalid)
    #expect(decode([0x0F, 0x20, 0xC8]).mnemonic == .invalid)
    #expect(decode([0x44, 0x0F, 0x20, 0xC0]).op1.register == 8)
    #expect(decode([0x44, 0x0F, 0x21, 0xC0]).mnemonic == .invalid)
    // ModRM.mod does not matter to control registers, and no SIB byte or displacement follows.
    #expect(decode([0x0F, 0x22, 0x04]).length == 3)
    #expect(decode([0x0F, 0x22, 0x04]).op1 == Operand(kind: .general, register: 4, size: 8))
  }

  @Test func mandatoryPrefixes() {
    // The last of F2 and F3 counts, and goes before 66.
    #expect(decode([0xF2, 0xF3, 0x66, 0x0F, 0x58, 0xC1]).mnemonic == .ADDSS)
    #expect(decode([0xF3, 0xF2, 0x0F, 0x58, 0xC1]).mnemonic == .ADDSD)
    #expect(decode([0x66, 0x0F, 0x58, 0xC1]).prefixes.contains(.operandSize) == false)
    #expect(decode([0xF3, 0x0F, 0xB8, 0xC1]).mnemonic == .POPCNT)
    #expect(decode([0x0F, 0xB8, 0xC1]).mnemonic == .invalid)
    #expect(decode([0xF3, 0xA4]).prefixes.contains(.rep))
    #expect(decode([0xF3, 0x0F, 0x1E, 0xFA]).mnemonic == .NOP)
    #expect(decode([0xF3, 0x90]).mnemonic == .PAUSE)
    #expect(decode([0x41, 0x90]).mnemonic == .XCHG)
    #expect(decode([0xF3, 0x41, 0x90]).mnemonic == .XCHG)
    #expect(decode([0x48, 0x90]).mnemonic == .NOP)
  }

  @Test func invalidHere() {
    for opcode: UInt8 in [0x06, 0x0E, 0x17, 0x27, 0x37, 0x60, 0x62, 0x82, 0x9A, 0xCE, 0xD4, 0xD6, 0xEA] {
      #expect(decodePadded([opcode, 0x00]).mnemonic == .invalid)
      #expect(decodePadded([opcode, 0x00], .bits32).mnemonic != .invalid)
    }
    // EVEX outside 64-bit code is BOUND with a register.
    #expect(decodePadded([0x62, 0xF1, 0x7C, 0x48, 0x58, 0xC0], .bits32).mnemonic == .invalid)
    #expect(decode([0x63, 0xC0], .bits32).mnemonic == .ARPL)
    #expect(decode([0x63, 0xC0]).mnemonic == .MOVSXD)
    #expect(decode([0xF3, 0x0F, 0xAE, 0xC0], .bits32).mnemonic == .invalid)
    #expect(decode([0x0F, 0x01, 0xF8], .bits32).mnemonic == .invalid)
    #expect(decode([0x8F, 0xE8], .bits32).mnemonic == .invalid)
  }
}
