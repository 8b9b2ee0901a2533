import Machine
import Processor
import Testing

@testable import Conformance

struct ROMTests {
  /// A ROM of 4 KiB whose code lies at F000:F000 and is reached from the reset vector.
  private static func image(_ code: [UInt8]) -> [UInt8] {
    var rom = [UInt8](repeating: 0xF4, count: 4096)
    rom.replaceSubrange(0..<code.count, with: code)
    rom.replaceSubrange(0xFF0..<0xFF3, with: [0xE9, 0x0D, 0xF0])
    return rom
  }

  /// MOV AL, value; OUT port, AL.
  private static func out(_ port: UInt8, _ value: UInt8) -> [UInt8] { [0xB0, value, 0xE6, port] }
  private static func text(_ text: String) -> [UInt8] { text.utf8.flatMap { out(0xE9, $0) } }

  private static func report(
    _ code: [UInt8], expect: String? = nil, instructions: UInt64 = 100_000, isExpired: () -> Bool = { false }
  ) throws -> ROMReport {
    let rom = try ROMRun(image(code), name: "t.bin", model: .i386, postPort: 0x80, outputPort: 0xE9)
    let end = rom.run(instructions: instructions, isExpired: isExpired)
    return ROMReport(rom, name: "t.bin", end: end, passCode: 0xFF, expected: expect.map { Array($0.utf8) }, hostSeconds: 1)
  }

  @Test func aPassingROM() throws {
    let code = Self.out(0x80, 1) + Self.text("one \ntwo\n") + Self.out(0x80, 0xFF) + [0xF4]
    let report = try Self.report(code, expect: "one\r\ntwo")
    #expect(report.codes == [1, 0xFF])
    #expect(report.end == .halted)
    #expect(report.problems == "")
    #expect(report.text.hasSuffix("2 passed, 0 failed, 0 skipped\n"))
    #expect(try Self.report(code).verdict == "1 passed, 0 failed, 1 skipped")
  }

  @Test func anotherLastCodeFails() throws {
    let report = try Self.report(Self.out(0x80, 0xFF) + Self.out(0x80, 9) + [0xF4])
    #expect(report.failed == 1)
    #expect(report.problems.contains("the last POST code is 09, not FF; HLT at F000:0000F009"))
    #expect(try Self.report([0xF4]).problems.contains("the last POST code is missing"))
  }

  @Test func theFirstDifferingLineIsShown() throws {
    let code = Self.text("a\nb\nc\n") + Self.out(0x80, 0xFF) + [0xF4]
    let report = try Self.report(code, expect: "a\nb\nx\n")
    #expect(report.difference == ROMReport.Difference(line: 3, expected: "x", got: "c", context: ["a", "b"]))
    #expect(report.verdict == "1 passed, 1 failed, 0 skipped")
    #expect(report.problems.contains("  expected: x\n  got:      c\n"))
    #expect(try Self.report(code, expect: "a\nb\nc\nd").difference?.got == nil)
    #expect(try Self.report(code, expect: "a\nb").difference?.expected == nil)
    let document = try JSON.parse(Array(report.json.utf8), name: "report")
    #expect(document["difference"]?["line"]?.integer == 3)
    #expect(report.junit.contains("failures=\"1\" skipped=\"0\""))
  }

  @Test func everyEndIsNamed() throws {
    // JMP $.
    let loop: [UInt8] = [0xEB, 0xFE]
    #expect(try Self.report(loop).end == .instructionLimit)
    #expect(try Self.report(loop, instructions: .max, isExpired: { true }).end == .timeout)
    // LIDT of a limit of 0 bytes from ROM, then INT3: no vector fits, nor the ones for the faults that follow.
    let code: [UInt8] = [0x2E, 0x0F, 0x01, 0x1E, 0x00, 0xF1, 0xCC]
    let report = try Self.report(code + [UInt8](repeating: 0xF4, count: 0x100 - code.count) + [UInt8](repeating: 0, count: 6))
    #expect(report.end == .tripleFault)
    #expect(!report.events.isEmpty)
    #expect(report.problems.contains("triple fault at F000:"))
  }

  @Test func sizesThatAreNoROM() {
    for size in [0, 100, 4095, 1 << 20] {
      #expect(throws: MachineError.self) {
        try ROMRun([UInt8](repeating: 0, count: size), name: "t", model: .i386, postPort: 1, outputPort: nil)
      }
    }
  }

  /// ROM cannot be written, RAM below it can.
  @Test func memory() throws {
    // MOV [F800], AL through ES = F000; MOV AL, ES:[F800]; OUT 80, AL.
    let code: [UInt8] = [0x0E, 0x07, 0xB0, 0x55, 0x26, 0xA2, 0x00, 0xF8, 0x26, 0xA0, 0x00, 0xF8, 0xE6, 0x80, 0xF4]
    // PUSH CS needs a stack: SS:SP is 0:0 at reset, and FFFE is RAM.
    #expect(try Self.report(code).codes == [0xF4])
  }
}
