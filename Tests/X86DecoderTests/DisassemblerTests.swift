import Foundation
import Testing
import X86
import X86Decoder

@Suite struct DisassemblerTests {
  struct Sample: Sendable, CustomTestStringConvertible {
    let codeSize: CodeSize
    let bytes: [UInt8]
    let intel: String
    let att: String
    init(_ codeSize: CodeSize, _ bytes: [UInt8], _ intel: String, _ att: String) {
      (self.codeSize, self.bytes, self.intel, self.att) = (codeSize, bytes, intel, att)
    }
    var testDescription: String { intel }
  }

  static let samples: [Sample] = [
    Sample(.bits64, [0x48, 0x89, 0xE5], "mov rbp, rsp", "mov %rsp,%rbp"),
    Sample(.bits64, [0xC7, 0x00, 1, 0, 0, 0], "mov dword ptr [rax], 0x01", "movl $0x1,(%rax)"),
    Sample(.bits64, [0x48, 0x8B, 0x04, 0xC8], "mov rax, [rax+rcx*8]", "mov (%rax,%rcx,8),%rax"),
    Sample(.bits64, [0x48, 0x8D, 0x05, 0xF9, 0xFF, 0xFF, 0xFF], "lea rax, [0x0000000000001000]", "lea -0x7(%rip),%rax        # 0x1000"),
    Sample(.bits64, [0xE8, 0xFB, 0xFF, 0xFF, 0xFF], "call 0x0000000000001000", "call 0x1000"),
    Sample(.bits64, [0xFF, 0x60, 0xF8], "jmp qword ptr [rax-0x08]", "jmp *-0x8(%rax)"),
    Sample(.bits64, [0x74, 0x00], "jz 0x0000000000001002", "je 0x1002"),
    Sample(.bits64, [0xF3, 0x48, 0xA5], "rep movsq", "rep movsq %ds:(%rsi),%es:(%rdi)"),
    Sample(.bits64, [0xF2, 0xAE], "repne scasb", "repnz scas %es:(%rdi),%al"),
    Sample(.bits64, [0x48, 0xB8, 1, 2, 3, 4, 5, 6, 7, 8], "mov rax, 0x807060504030201", "movabs $0x807060504030201,%rax"),
    Sample(.bits64, [0x48, 0x83, 0xE4, 0xF0], "and rsp, 0xFFFFFFFFFFFFFFF0", "and $0xfffffffffffffff0,%rsp"),
    Sample(.bits64, [0x0F, 0xB6, 0x07], "movzx eax, byte ptr [rdi]", "movzbl (%rdi),%eax"),
    Sample(.bits64, [0x48, 0x63, 0xC8], "movsxd rcx, eax", "movslq %eax,%rcx"),
    Sample(.bits64, [0x66, 0x90], "nop", "xchg %ax,%ax"),
    Sample(.bits64, [0xF3, 0x0F, 0x1E, 0xFA], "endbr64", "endbr64"),
    Sample(.bits64, [0x66, 0x0F, 0x1F, 0x44, 0, 0], "nop word ptr [rax+rax*1]", "nopw 0x0(%rax,%rax,1)"),
    Sample(.bits64, [0xF0, 0x48, 0x0F, 0xB1, 0x0B], "lock cmpxchg [rbx], rcx", "lock cmpxchg %rcx,(%rbx)"),
    Sample(.bits64, [0x64, 0x48, 0x8B, 0x04, 0x25, 0x28, 0, 0, 0], "mov rax, fs:[0x0000000000000028]", "mov %fs:0x28,%rax"),
    Sample(.bits64, [0xD1, 0xE0], "shl eax, 0x01", "shl %eax"),
    Sample(.bits64, [0xD2, 0x20], "shl byte ptr [rax], cl", "shlb %cl,(%rax)"),
    Sample(.bits64, [0x48, 0x98], "cdqe", "cltq"),
    Sample(.bits64, [0x48, 0xCF], "iretq", "iretq"),
    Sample(.bits64, [0xED], "in eax, dx", "in (%dx),%eax"),
    Sample(.bits64, [0x0F, 0x22, 0xD8], "mov cr3, rax", "mov %rax,%cr3"),
    Sample(.bits64, [0xF2, 0x48, 0x0F, 0x2A, 0xC1], "cvtsi2sd xmm0, rcx", "cvtsi2sd %rcx,%xmm0"),
    Sample(.bits64, [0x0F, 0xC2, 0xC1, 0x02], "cmpps xmm0, xmm1, 0x02", "cmpleps %xmm1,%xmm0"),
    Sample(.bits64, [0xC4, 0xE2, 0xE9, 0x90, 0x04, 0x4C], "vpgatherdq xmm0, qword ptr [rsp+xmm1*2], xmm2", "vpgatherdq %xmm2,(%rsp,%xmm1,2),%xmm0"),
    Sample(.bits64, [0xC5, 0xED, 0xFE, 0x0B], "vpaddd ymm1, ymm2, [rbx]", "vpaddd (%rbx),%ymm2,%ymm1"),
    Sample(.bits64, [0xD9, 0x00], "fld dword ptr [rax]", "flds (%rax)"),
    Sample(.bits64, [0xDF, 0x28], "fild qword ptr [rax]", "fildll (%rax)"),
    Sample(.bits64, [0xDC, 0xE1], "fsubr st1, st0", "fsub %st,%st(1)"),
    Sample(.bits64, [0x48, 0x0F, 0x07], "sysret", "sysretq"),
    Sample(.bits64, [0x06], "(bad)", "(bad)"),
    Sample(.bits32, [0x9A, 1, 2, 3, 4, 5, 6], "call far 0x0605:0x04030201", "lcall $0x605,$0x4030201"),
    Sample(.bits32, [0x8D, 0x74, 0x26, 0x00], "lea esi, [esi]", "lea 0x0(%esi,%eiz,1),%esi"),
    Sample(.bits32, [0x60], "pushad", "pusha"),
    Sample(.bits32, [0x62, 0x03], "bound eax, qword ptr [ebx]", "bound %eax,(%ebx)"),
    Sample(.bits16, [0x26, 0x8B, 0x47, 0x10], "mov ax, es:[bx+0x10]", "mov %es:0x10(%bx),%ax"),
    Sample(.bits16, [0x8B, 0x02], "mov ax, [bp+si]", "mov (%bp,%si),%ax"),
    Sample(.bits16, [0xCD, 0x10], "int 0x10", "int $0x10"),
    Sample(.bits16, [0xEB, 0xFE], "jmp 0x1000", "jmp 0x1000"),
  ]

  @Test(arguments: samples)
  func text(_ sample: Sample) {
    let instruction = decode(sample.bytes, sample.codeSize)
    #expect(Disassembler.text(of: instruction, at: 0x1000, syntax: .intel) == sample.intel)
    #expect(Disassembler.text(of: instruction, at: 0x1000, syntax: .att) == sample.att)
  }

  static let objdump = "/usr/bin/objdump"

  /// AT&T text equals what objdump prints for the same bytes.
  @Test(
    .enabled(if: FileManager.default.isExecutableFile(atPath: objdump), "GNU objdump is absent (Debian: binutils)"),
    arguments: CodeSize.allCases)
  func objdumpAgrees(_ codeSize: CodeSize) throws {
    // Each instruction in a slot of 32 bytes filled with NOPs.
    let decoder = Decoder()
    var random = RandomBytes(state: 0x0BDD)
    var code: [UInt8] = []
    var ours: [Int: String] = [:]
    var scratch = [UInt8](repeating: 0, count: 64)
    while ours.count < 20_000 {
      scratch.withUnsafeMutableBufferPointer { random.instruction(into: $0.baseAddress!) }
      let instruction = scratch.withUnsafeBytes { decoder.decode($0.baseAddress!, available: 24, codeSize: codeSize) }
      if !Self.isComparable(instruction) { continue }
      ours[code.count] = Disassembler.text(of: instruction, at: UInt64(code.count), syntax: .att)
      code += scratch.prefix(Int(instruction.length))
      code += [UInt8](repeating: 0x90, count: 32 - Int(instruction.length))
    }
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("x86-decoder-\(codeSize.bits)-\(getpid()).bin")
    try Data(code).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let machine = codeSize == .bits64 ? "i386:x86-64" : codeSize == .bits32 ? "i386" : "i8086"
    let listing = try Self.run(objdump: ["-D", "-b", "binary", "-m", machine, "--no-show-raw-insn", file.path])
    var compared = 0
    var different: [String] = []
    for line in listing.split(separator: "\n") {
      let parts = line.split(separator: "\t", maxSplits: 1)
      guard parts.count == 2, let colon = parts[0].firstIndex(of: ":"),
        let address = Int(parts[0][..<colon].drop { $0 == " " }, radix: 16), let own = ours[address]
      else { continue }
      guard let text = Self.normalised(String(parts[1])), let mine = Self.normalised(own) else { continue }
      compared += 1
      if mine != text, different.count < 20 { different.append("\(mine)  objdump: \(text)") }
    }
    #expect(different.isEmpty)
    #expect(compared > 15_000)
  }

  /// Leaves out forms where objdump departs on purpose, with the reason.
  private static func isComparable(_ instruction: Instruction) -> Bool {
    switch instruction.mnemonic {
    case .invalid, .tooLong, .truncated: return false
    case .UD0, .UD1, .WBINVD, .NOP, .LSL: return false  // Widths, and later extensions that objdump knows.
    case .FENI8087_NOP, .FDISI8087_NOP, .FSETPM287_NOP, .FSTPNCE, .FFREEP: return false  // Spelled otherwise.
    case .CVTSI2SD, .CVTSI2SS, .VCVTSI2SD, .VCVTSI2SS: return false  // Suffix only in 64-bit code.
    case .VMOVSS, .VMOVSD, .PMOVMSKB, .MOVSXD: return false  // Registers of widths that do not matter.
    case .VPCMPESTRI, .VPCMPESTRM: return false  // Suffix for an ignored VEX.W.
    case .LOOP, .LOOPE, .LOOPNE, .SYSRET, .SYSEXIT: return false  // Suffix for an ignored 66.
    case .CALL, .JMP, .RET, .PUSH, .POP, .ENTER, .LEAVE:
      // objdump follows AMD where 66 and REX.W meet 64-bit defaults.
      if instruction.addressSize == 8 || instruction.op0.size == 8 { return !instruction.prefixes.contains(.operandSize) }
    case .FCOM, .FCOMP, .FXCH, .FST, .FSTP:
      if instruction.opcode >= 0xDC, instruction.modRM >= 0xC0 { return false }  // Undocumented aliases are (bad).
    case .FLDENV, .FNSTENV, .FRSTOR, .FNSAVE, .IRET, .RET_FAR, .PUSHF, .POPF:
      if instruction.prefixes.contains(.rexW) { return false }  // 66 still shows in the suffix.
    case .CALL_FAR, .JMP_FAR:
      if instruction.prefixes.contains(.rexW) { return false }
    default: break
    }
    // Absolute addresses shorter than the address space are negative numbers there; short branches wrap.
    if instruction.addressSize < 8, instruction.base == noRegister, instruction.index == noRegister { return false }
    if instruction.op0.kind == .relative {
      return instruction.operandSize != 2 && !instruction.prefixes.contains(.operandSize)
    }
    return true
  }

  /// Without prefixes that mean nothing, branch hints and comments; nil where objdump gives up.
  private static func normalised(_ text: String) -> String? {
    var text = text
    if let comment = text.firstIndex(of: "#") { text = String(text[..<comment]) }
    for hint in [",pn ", ",pt "] { text = text.replacingOccurrences(of: hint, with: " ") }
    let idle: Set<Substring> = [
      "repz", "repnz", "rep", "data16", "data32", "addr16", "addr32", "es", "cs", "ss", "ds", "fs", "gs", "lock", "bnd",
      "notrack", "xacquire", "xrelease",
    ]
    let words = text.split(separator: " ").drop { idle.contains($0) || $0 == "rex" || $0.hasPrefix("rex.") }
    if words.isEmpty || text.contains("(bad)") { return nil }
    return words.joined(separator: " ")
  }

  private static func run(objdump arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: objdump)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }
}
