import Foundation
import Testing
import X86
import X86Decoder
import ZydisOracle

/// Agreement with Zydis: length, mnemonic, operands, and what is no instruction at all.
@Suite(.enabled(if: oracleOpen() == nil, "Zydis is absent (Debian: libzydis-dev)"))
struct ZydisTests {
  let decoder = Decoder()

  /// Instructions a code size; `XENOLITH_DECODER_TRIALS` overrides.
  static var trials: Int {
    if let text = ProcessInfo.processInfo.environment["XENOLITH_DECODER_TRIALS"], let count = Int(text) { return count }
    #if DEBUG
      return 50_000
    #else
      return 2_000_000
    #endif
  }

  /// Differences counted by rule, and the first few that no rule explains.
  struct Tally {
    var compared = 0
    var accepted = 0
    var explained: [String: Int] = [:]
    var unexplained: [String] = []
    var unexplainedCount = 0

    mutating func compare(_ decoder: Decoder, _ bytes: UnsafePointer<UInt8>, _ available: Int, _ codeSize: CodeSize) -> Instruction {
      let ours = decoder.decode(bytes, available: available, codeSize: codeSize)
      var theirs = OracleInstruction()
      oracleDecode(Int32(codeSize.bits), bytes, UInt64(min(available, 15)), &theirs)
      compared += 1
      if theirs.isAccepted != 0 { accepted += 1 }
      guard let what = difference(ours, theirs) else { return ours }
      let isaSet = theirs.isAccepted != 0 ? String(cString: theirs.isaSet) : ""
      if let rule = DifferenceRule.all.first(where: { $0.explains(what, ours, theirs, isaSet) }) {
        explained[rule.name, default: 0] += 1
        return ours
      }
      unexplainedCount += 1
      if unexplained.count < 20 {
        let hex = (0..<min(available, 15)).map { hexByte(bytes[$0]) }.joined(separator: " ")
        let name = theirs.isAccepted != 0 ? String(cString: theirs.mnemonic) : "nothing"
        unexplained.append("\(codeSize.bits)-bit \(hex): \(what); we \(ours.mnemonic), Zydis \(name) \(isaSet)")
      }
      return ours
    }

    /// Appends the counts as a line of JSON to the file that `XENOLITH_DECODER_REPORT` names, for `testsuite/conformance --decoder`.
    func report(_ what: String) throws {
      guard let path = ProcessInfo.processInfo.environment["XENOLITH_DECODER_REPORT"] else { return }
      let counts: [String: Any] = [
        "what": what, "compared": compared, "accepted": accepted, "explained": explained, "unexplained": unexplainedCount,
      ]
      let line = try JSONSerialization.data(withJSONObject: counts, options: [.sortedKeys]) + Data("\n".utf8)
      // One write call, so that lines of tests that run side by side do not mix.
      let file = open(path, O_WRONLY | O_APPEND | O_CREAT, 0o666)
      defer { close(file) }
      #expect(line.withUnsafeBytes { write(file, $0.baseAddress, $0.count) } == line.count)
    }
  }

  @Test(arguments: CodeSize.allCases)
  func randomBytes(_ codeSize: CodeSize) throws {
    var random = RandomBytes(state: 0x5EED)
    var tally = Tally()
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24) { buffer in
      let bytes = buffer.baseAddress!
      for _ in 0..<Self.trials {
        random.instruction(into: bytes)
        _ = tally.compare(decoder, bytes, 24, codeSize)
      }
    }
    #expect(tally.unexplained.isEmpty)
    #expect(tally.accepted > Self.trials / 3)
    try tally.report("random bytes, \(codeSize.bits)-bit")
  }

  /// Files with code that machines for this project have.
  static let programs: [(path: String, codeSize: CodeSize)] = {
    let cache = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("testsuite/.cache").path
    let candidates: [(String, CodeSize)] = [
      ("/usr/lib/x86_64-linux-gnu/libc.so.6", .bits64), ("/usr/bin/busybox", .bits64),
      (cache + "/busybox-amd64", .bits64), (cache + "/busybox-i386", .bits32), ("/usr/lib32/libc.so.6", .bits32),
      (cache + "/vmlinux-amd64", .bits64), (cache + "/vmlinux-686", .bits32), (cache + "/vmlinux-686-pae", .bits32),
    ]
    return candidates.filter { FileManager.default.isReadableFile(atPath: $0.0) }
  }()

  @Test(.enabled(if: !programs.isEmpty, "no x86 program to read on this machine"), arguments: programs)
  func realCode(_ program: (path: String, codeSize: CodeSize)) throws {
    let file = [UInt8](try Data(contentsOf: URL(fileURLWithPath: program.path)))
    var tally = Tally()
    #if DEBUG
      var left = Self.trials
    #else
      var left = Int.max
    #endif
    file.withUnsafeBufferPointer { buffer in
      for range in executableRanges(of: buffer) {
        var at = range.lowerBound
        while at < range.upperBound, left > 0 {
          let instruction = tally.compare(decoder, buffer.baseAddress! + at, range.upperBound - at, program.codeSize)
          at += max(1, Int(instruction.length))
          left -= 1
        }
      }
    }
    #expect(tally.unexplained.isEmpty)
    #expect(tally.accepted > min(10_000, Self.trials / 2))
    try tally.report("\(URL(fileURLWithPath: program.path).lastPathComponent), \(program.codeSize.bits)-bit")
  }

  /// Intel text equals that of Zydis' formatter, apart from the widths of memory, which we write more often.
  @Test(arguments: [CodeSize.bits32, .bits64])
  func intelText(_ codeSize: CodeSize) {
    var random = RandomBytes(state: 0x7E47)
    var different: [String] = []
    var equal = 0
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24) { buffer in
      let bytes = buffer.baseAddress!
      for _ in 0..<Self.trials / 20 {
        random.instruction(into: bytes)
        let ours = decoder.decode(bytes, available: 24, codeSize: codeSize)
        var theirs = OracleInstruction()
        oracleDecode(Int32(codeSize.bits), bytes, 15, &theirs)
        // Where decoding differs, text does; HLE's names and addresses of the other size are Zydis' own.
        if theirs.isAccepted == 0 || difference(ours, theirs) != nil || ours.prefixes.contains(.lock) { continue }
        if ours.prefixes.contains(.addressSize) || ours.mnemonic == .LEA || ours.mnemonic == .NOP { continue }
        if ours.mnemonic == .XCHG || ours.mnemonic == .MOV, ours.prefixes.contains(.rep) || ours.prefixes.contains(.repne) { continue }
        if ours.op0.kind == .relative, ours.prefixes.contains(.operandSize) { continue }
        var text = [CChar](repeating: 0, count: 128)
        guard oracleText(Int32(codeSize.bits), bytes, 15, 0x40_1000, 0, &text, 128) != 0 else { continue }
        let zydis = withoutWidths(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
        let own = withoutWidths(Disassembler.text(of: ours, at: 0x40_1000, syntax: .intel))
        if own == zydis { equal += 1 } else if different.count < 20 { different.append("\(own)  Zydis: \(zydis)") }
      }
    }
    #expect(different.isEmpty)
    #expect(equal > Self.trials / 100)
  }

  /// The status flags of the map are those Zydis knows, but for the rules named here.
  @Test(arguments: CodeSize.allCases)
  func statusFlags(_ codeSize: CodeSize) {
    let status: UInt32 = 0x8D5
    var random = RandomBytes(state: 0xF1A65)
    var different: Set<String> = []
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24) { buffer in
      let bytes = buffer.baseAddress!
      for _ in 0..<Self.trials / 4 {
        random.instruction(into: bytes)
        let ours = decoder.decode(bytes, available: 24, codeSize: codeSize)
        var theirs = OracleInstruction()
        oracleDecode(Int32(codeSize.bits), bytes, 15, &theirs)
        if theirs.isAccepted == 0 || difference(ours, theirs) != nil { continue }
        let tested = decoder.map.flagsTested(ours.row)
        let written = decoder.map.flagsMaybeModified(ours.row)
        let undefined = decoder.map.flagsUndefined(ours.row)
        switch ours.mnemonic {
        case .INT, .INT1, .INT3, .INTO, .SYSCALL: continue  // They save RFLAGS, which Zydis does not count as a test.
        case .VMCALL, .VMFUNC: continue  // Flags change only in VMX operation.
        case .CMPSB, .CMPSW, .CMPSD_STR, .CMPSQ, .SCASB, .SCASW, .SCASD, .SCASQ:
          // REPE and REPNE test the ZF they have just written themselves.
          if written == theirs.flagsWritten & status { continue }
        case .SBB, .BEXTR, .VPTEST, .VTESTPS, .VTESTPD:
          continue  // Zydis departs from SDM vol. 2 (SBB writes AF; BEXTR clears OF; VTEST clears the rest).
        case .ROL, .ROR, .RCL, .RCR, .SHL, .SHR, .SAR:
          // OF is defined for a count of 1, which has opcodes of its own; Zydis has one answer for all.
          if written == (theirs.flagsWritten | theirs.flagsUndefined) & status { continue }
        default: break
        }
        let isSame =
          tested == theirs.flagsTested & status
          && written == (theirs.flagsWritten | theirs.flagsUndefined) & status
          && undefined == theirs.flagsUndefined & status
        if !isSame { different.insert("\(ours.mnemonic) row \(ours.row)") }
      }
    }
    #expect(different.isEmpty)
  }

  private func withoutWidths(_ text: String) -> String {
    guard let at = text.range(of: "ptr ") else { return text }
    let head = text[..<at.lowerBound].split(separator: " ").dropLast().joined(separator: " ")
    return head + " " + text[at.upperBound...]
  }
}

func hexByte(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }

/// File ranges of an ELF file's code: its executable sections, or executable segments where it has no sections (System V gABI). A
/// segment may hold much that is no code.
func executableRanges(of file: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
  func value(_ at: Int, _ size: Int) -> Int {
    (0..<size).reduce(0) { at + $1 < file.count ? $0 | Int(file[at + $1]) << (8 * $1) : $0 }
  }
  guard file.count > 64, value(0, 4) == 0x464C_457F else { return [] }
  let is64 = file[4] == 2
  func ranges(_ table: Int, _ size: Int, _ count: Int, _ field: (Int) -> (isCode: Bool, offset: Int, length: Int)) -> [Range<Int>] {
    (0..<count).compactMap { index in
      let (isCode, offset, length) = field(table + index * size)
      return isCode && offset >= 0 && length > 0 && offset + length <= file.count ? offset..<offset + length : nil
    }
  }
  // SHT_PROGBITS with SHF_EXECINSTR.
  let sections = ranges(is64 ? value(40, 8) : value(32, 4), is64 ? value(58, 2) : value(46, 2), is64 ? value(60, 2) : value(48, 2)) { at in
    let flags = value(at + 8, is64 ? 8 : 4)
    return (value(at + 4, 4) == 1 && flags & 4 != 0, is64 ? value(at + 24, 8) : value(at + 16, 4), is64 ? value(at + 32, 8) : value(at + 20, 4))
  }
  if !sections.isEmpty { return sections }
  // PT_LOAD with PF_X.
  return ranges(is64 ? value(32, 8) : value(28, 4), is64 ? value(54, 2) : value(42, 2), is64 ? value(56, 2) : value(44, 2)) { at in
    let flags = is64 ? value(at + 4, 4) : value(at + 24, 4)
    return (value(at, 4) == 1 && flags & 1 != 0, is64 ? value(at + 8, 8) : value(at + 4, 4), is64 ? value(at + 32, 8) : value(at + 16, 4))
  }
}
