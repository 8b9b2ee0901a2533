import Machine
import Testing

@testable import Conformance

struct MOORunTests {
  private typealias Test = MOOBuilder.Test

  private static func run(
    _ id: String, _ tests: [MOOBuilder.Test], masks: [MOORegister: UInt32]? = nil, engine: MOOCore.Engine = .blocks,
    metadata: MOOMetadata = MOOMetadata()
  ) throws -> MOOFileResult {
    let file = try MOOReader.read(MOOBuilder(id, masks: masks, tests: tests).bytes, name: "x.MOO")
    return MOOCampaign.run(file, on: MOOCore(processor: file.processor, engine: engine), metadata: metadata, failuresKept: 10)
  }

  /// ADD [BX], DX; HLT.
  private static let add = MOOBuilder.Test(
    bytes: [0x01, 0x17, 0xF4], before: [.ebx: 0x20, .edx: 0x1234], memory: [0x30020: 1, 0x30021: 2],
    after: [.eip: 0x103, .eflags: 6], memoryAfter: [0x30020: 0x35, 0x30021: 0x14])

  @Test(arguments: MOOCore.Engine.allCases)
  func rightResultsPass(engine: MOOCore.Engine) throws {
    let result = try Self.run("C286", [Self.add, Self.add], engine: engine)
    #expect(result.passed == 2 && result.failed == 0 && result.skipped == 0)
  }

  /// Everything that is compared must be able to fail.
  @Test(arguments: MOOCore.Engine.allCases)
  func wrongResultsFail(engine: MOOCore.Engine) throws {
    for register in MOORegister.order16 {
      var wrong = Self.add
      let value = wrong.after[register] ?? wrong.before[register] ?? Test.defaults[register] ?? 0
      wrong.after[register] = value ^ 1
      let result = try Self.run("C286", [wrong], engine: engine)
      #expect(result.failed == 1, "\(register)")
      #expect(result.failures.first?.differences.first?.what == register.name(wide: false))
    }
    var memory = Self.add
    memory.memoryAfter[0x30021] = 0x15
    #expect(try Self.run("C286", [memory], engine: engine).failures.first?.differences.map(\.what) == ["[030021]"])
    // A byte that must not change.
    var changed = Self.add
    changed.memoryAfter[0x30020] = nil
    #expect(try Self.run("C286", [changed], engine: engine).failures.first?.differences.map(\.what) == ["[030020]"])
  }

  @Test func writesThatNoTestExpectsAreFoundAndBelongToTheirTest() throws {
    var silent = Self.add
    silent.before[.ebx] = 0x40
    silent.memory = [:]
    silent.memoryAfter = [:]
    silent.after[.eflags] = 2
    let result = try Self.run("C286", [Self.add, silent, Self.add])
    #expect(result.passed == 2 && result.failed == 1)
    let failure = try #require(result.failures.first)
    #expect(failure.test.ordinal == 1)
    #expect(failure.differences.map(\.expected) == ["none", "none"])
    #expect(failure.differences.map(\.got) == ["34", "12"])
  }

  @Test func anEndWithoutHaltFails() throws {
    // JMP $.
    let result = try Self.run("C286", [Test(bytes: [0xEB, 0xFE, 0xF4], after: [.eip: 0x100])])
    #expect(result.failures.first?.differences.first?.what == "end")
  }

  /// DIV by zero: the frame's flags are compared under the mask of defined flags, all else exactly.
  @Test func exceptions() throws {
    var divide = Test(
      bytes: [0xF7, 0xF1, 0xF4], before: [.eflags: 0x8D7], memory: [0: 0, 1: 2, 2: 0, 3: 0x50, 0x50200: 0xF4],
      after: [.cs: 0x5000, .eip: 0x201, .esp: 0x7FFA, .eflags: 0x8D7],
      memoryAfter: [0x27FFE: 0xD7, 0x27FFF: 0x08, 0x27FFC: 0, 0x27FFD: 0x10, 0x27FFA: 0, 0x27FFB: 1], exception: 0)
    #expect(try Self.run("C286", [divide]).passed == 1)
    divide.memoryAfter[0x27FFE] = 0x03
    #expect(try Self.run("C286", [divide]).failed == 1)
    let text = #"{"opcodes": {"F7": {"reg": {"6": {"flags-mask": 63274}}}}}"#
    let metadata = try MOOMetadata(try JSON.parse(Array(text.utf8), name: "m"), name: "m")
    divide.memoryAfter[0x27FFE] = 0xC2
    divide.memoryAfter[0x27FFF] = 0
    divide.after[.eflags] = 0x2
    #expect(try Self.run("C286", [divide], metadata: metadata).passed == 1)
    divide.memoryAfter[0x27FFA] = 2
    #expect(try Self.run("C286", [divide], metadata: metadata).failed == 1)
  }

  @Test func thirtyTwoBitRegistersAndMasks() throws {
    // 66 01 D8: ADD EAX, EBX.
    var test = Test(
      bytes: [0x66, 0x01, 0xD8, 0xF4], before: [.eax: 0x7FFF_FFFF, .ebx: 1, .eflags: 2], after: [.eax: 0x8000_0000, .eip: 0x104, .eflags: 0x896])
    #expect(try Self.run("386E", [test]).passed == 1)
    test.after[.eflags] = 0x86
    #expect(try Self.run("386E", [test]).failures.first?.differences.first?.note == "AF OF")
    #expect(try Self.run("386E", [test], masks: [.eflags: 0xFFFF_F7EF]).passed == 1)
    test.masksAfter = [.eflags: 0xFFFF_F7EF]
    #expect(try Self.run("386E", [test]).passed == 1)
    test.after[.eax] = 0x8000_0002
    #expect(try Self.run("386E", [test]).failures.first?.differences.first?.got == "80000000")
  }

  /// The 8086 set has one instruction and no HLT; a repeated one runs to its end.
  @Test func singleInstructions() throws {
    let inc = Test(bytes: [0x40], before: [.eax: 0xF], after: [.eax: 0x10, .eip: 0x101, .eflags: 0x12])
    let rep = Test(
      bytes: [0xF3, 0xA4], before: [.ecx: 3, .esi: 0x10, .edi: 0x20], memory: [0x30010: 7, 0x30011: 8, 0x30012: 9],
      after: [.ecx: 0, .esi: 0x13, .edi: 0x23, .eip: 0x102], memoryAfter: [0x40020: 7, 0x40021: 8, 0x40022: 9])
    // FFFF:0020 wraps to 00010.
    let wrap = Test(bytes: [0xA0, 0x20, 0x00], before: [.ds: 0xFFFF], memory: [0x10: 0x5A], after: [.eax: 0x5A, .eip: 0x103])
    #expect(try Self.run("8086", [inc, rep, wrap]).passed == 3)
  }

  // MARK: Rules

  /// For every rule a test that it applies to.
  private static let examples: [String: (id: String, test: MOOBuilder.Test)] = [
    "8086-aliases": ("8086", Test(bytes: [0x60, 0])),
    "8086-lock": ("8086", Test(bytes: [0xF0, 0x40])),
    "8086-coprocessor": ("8086", Test(bytes: [0xD8, 0xC0])),
    "8086-undefined-reg": ("8086", Test(bytes: [0x8F, 0xC8])),
    "8086-shift-count": ("8086", Test(bytes: [0xD3, 0xE0], before: [.ecx: 32])),
    "8086-push-sp": ("8086", Test(bytes: [0x54])),
    "8086-divide-error": ("8086", Test(bytes: [0xF6, 0xF8])),
    "8086-decimal": ("8086", Test(bytes: [0x27], before: [.eax: 0x9B, .eflags: 0x12])),
    "8086-ascii": ("8086", Test(bytes: [0x37], before: [.eax: 0xFB])),
    "8086-das-borrow": ("8086", Test(bytes: [0x2F], before: [.eax: 1, .eflags: 0x12])),
    "8086-flags-image": ("8086", Test(bytes: [0x9C])),
    "8086-segment-end": ("8086", Test(bytes: [0x8B, 0x07], before: [.ebx: 0xFFFF])),
    "8086-code-end": ("8086", Test(bytes: [0xB8, 1, 2], before: [.eip: 0xFFFE])),
    "80286-lock": ("C286", Test(bytes: [0xF0, 0x90, 0xF4])),
    "80286-coprocessor": ("C286", Test(bytes: [0x9B, 0xF4])),
    "80286-length": ("C286", Test(bytes: [UInt8](repeating: 0x26, count: 10) + [0x90, 0xF4])),
    "80286-segment-registers": ("C286", Test(bytes: [0x8C, 0xE0, 0xF4])),
    "80286-stack-fault": ("C286", Test(bytes: [0x58, 0xF4], before: [.esp: 0xFFFF], exception: 13)),
    "80286-string-fault": ("C286", Test(bytes: [0xA5, 0xF4], before: [.esi: 0xFFFF], exception: 13)),
    "80286-partial": ("C286", Test(bytes: [0x61, 0xF4], before: [.esp: 0xFFFD], exception: 13)),
    "80286-aam-zero": ("C286", Test(bytes: [0xD4, 0, 0xF4], exception: 0)),
    "80286-idiv-overflow": ("C286", Test(bytes: [0xF6, 0xFE, 0xF4], before: [.eax: 0x8C60, .edx: 0x6700])),
    "80286-shift-overflow": ("C286", Test(bytes: [0xC1, 0xE0, 4, 0xF4])),
    "80386-mode": ("386E", Test(bytes: [0x90, 0xF4])),
    "80386-coprocessor": ("386E", Test(bytes: [0xDF, 0xC0, 0xF4])),
  ]

  /// The same without the peculiarity.
  private static let counterexamples: [String: MOOBuilder.Test] = [
    "8086-aliases": Test(bytes: [0x70, 0]),
    "8086-lock": Test(bytes: [0x40]),
    "8086-coprocessor": Test(bytes: [0xE0, 0]),
    "8086-undefined-reg": Test(bytes: [0x8F, 0x07]),
    "8086-shift-count": Test(bytes: [0xD3, 0xE0], before: [.ecx: 31]),
    "8086-push-sp": Test(bytes: [0xFF, 0xF5]),
    "8086-divide-error": Test(bytes: [0xF6, 0xE8]),
    "8086-decimal": Test(bytes: [0x27], before: [.eax: 0x9B]),
    "8086-ascii": Test(bytes: [0x37], before: [.eax: 0xF9]),
    "8086-das-borrow": Test(bytes: [0x2F], before: [.eax: 6, .eflags: 0x12]),
    "8086-flags-image": Test(bytes: [0x9D]),
    "8086-segment-end": Test(bytes: [0x8A, 0x07], before: [.ebx: 0xFFFF]),
    "8086-code-end": Test(bytes: [0xB8, 1, 2], before: [.eip: 0xFFFD]),
    "80286-lock": Test(bytes: [0x26, 0x90, 0xF4]),
    "80286-coprocessor": Test(bytes: [0x98, 0xF4]),
    "80286-length": Test(bytes: [UInt8](repeating: 0x26, count: 9) + [0x90, 0xF4]),
    "80286-segment-registers": Test(bytes: [0x8C, 0xD8, 0xF4]),
    "80286-stack-fault": Test(bytes: [0x8B, 0x07, 0xF4], before: [.ebx: 0xFFFF], exception: 13),
    "80286-string-fault": Test(bytes: [0xA5, 0xF4], before: [.esi: 1]),
    "80286-partial": Test(bytes: [0x61, 0xF4]),
    "80286-aam-zero": Test(bytes: [0xD4, 10, 0xF4]),
    // The divisor of the other sign, and a positive quotient.
    "80286-idiv-overflow": Test(bytes: [0xF6, 0xFE, 0xF4], before: [.eax: 0x6DE8, .edx: 0x5B00]),
    "80286-shift-overflow": Test(bytes: [0xC1, 0xE0, 1, 0xF4]),
    "80386-mode": Test(bytes: [0x90, 0xF4]),
    "80386-coprocessor": Test(bytes: [0x98, 0xF4]),
  ]

  @Test(arguments: MOORule.all.map(\.id))
  func everyRuleAppliesToItsExampleOnly(id: String) throws {
    let rule = try #require(MOORule.all.first { $0.id == id })
    let example = try #require(Self.examples[id]), other = try #require(Self.counterexamples[id])
    let mode: UInt8 = id == "80386-mode" ? 1 : 0
    let file = try MOOReader.read(MOOBuilder(example.id, mode: mode, tests: [example.test]).bytes, name: "x")
    #expect(rule.processor == file.processor)
    #expect(rule.applies(MOOCase(file.tests[0], in: file)))
    let second = try MOOReader.read(MOOBuilder(example.id, tests: [other]).bytes, name: "x")
    #expect(!rule.applies(MOOCase(second.tests[0], in: second)))
    #expect(!rule.reason.isEmpty)
  }

  @Test func skippedTestsAreCountedByRule() throws {
    let result = try Self.run("C286", [Test(bytes: [0xF0, 0x90, 0xF4]), Self.add])
    #expect(result.skipped == 1 && result.passed == 1)
    let report = MOOReport(results: [result], hostSeconds: 1, title: "t")
    #expect(report.ruled.map(\.rule.id) == ["80286-lock"])
    #expect(report.text.contains("rule 80286-lock: 1 tests skipped: "))
    #expect(report.text.hasSuffix("\n1 passed, 0 failed, 1 skipped\n"))
  }

  /// A fault of the stack has to come as #SS, with the frame that the test shows for #GP.
  @Test func stackFaults() throws {
    let pop = Test(
      bytes: [0x58, 0xF4], before: [.esp: 0xFFFF], memory: [52: 0, 53: 2, 54: 0, 55: 0x50, 0x50200: 0xF4],
      after: [.cs: 0x5000, .eip: 0x201, .esp: 0xFFF9],
      memoryAfter: [0x2FFFD: 2, 0x2FFFE: 0, 0x2FFFB: 0, 0x2FFFC: 0x10, 0x2FFF9: 0, 0x2FFFA: 1], exception: 13)
    #expect(try Self.run("C286", [pop]).passed == 1)
    // MOV AX, [BX] at FFFF has to raise #GP.
    var load = pop
    load.bytes = [0x8B, 0x07, 0xF4]
    load.before[.ebx] = 0xFFFF
    #expect(try Self.run("C286", [load]).passed == 1)
  }

  // MARK: Reports

  @Test func reports() throws {
    var wrong = Self.add
    wrong.name = "add <[bx]>,dx"
    wrong.after[.eflags] = 0x42
    let report = MOOReport(results: [try Self.run("C286", [wrong, Self.add])], hostSeconds: 0.5, title: "t")
    let lines = report.text.split(separator: "\n")
    #expect(lines[0] == "FAILED 80286 test 0: add <[bx]>,dx")
    #expect(lines[1].hasSuffix("to a 386: add [bx], dx"))
    #expect(lines.contains("  flags     0002      0042      0006  (PF ZF)"))
    #expect(lines.last == "1 passed, 1 failed, 0 skipped")
    let document = try JSON.parse(Array(report.json.utf8), name: "report")
    #expect(document["failed"]?.integer == 1)
    guard case .array(let failures)? = document["failures"] else {
      Issue.record("no list of failures")
      return
    }
    #expect(failures.first?["hash"]?.string == "000102030405060708090a0b0c0d0e0f10111213")
    #expect(report.junit.contains("<failure message=\"1 of 2 tests failed\">"))
    #expect(report.junit.contains("add &lt;[bx]&gt;,dx"))
  }

  /// Every test is in exactly one shard, whatever the number of workers, and the order is that of the files.
  @Test func shardsAndWorkers() throws {
    let files: [String: [UInt8]] = [
      "a/00.MOO": MOOBuilder("C286", tests: Array(repeating: Self.add, count: 10)).bytes,
      "a/01.MOO": MOOBuilder("C286", tests: Array(repeating: Self.add, count: 3)).bytes,
    ]
    var passed = 0
    for index in 1...4 {
      var campaign = MOOCampaign(files: files.keys.sorted().map { ($0, 1) }, metadata: MOOMetadata())
      campaign.shard = .init(index: index, count: 4)
      campaign.workers = index
      let results = try campaign.run(contents: { path throws(MachineError) in files[path]! }) { _ in }
      #expect(results.map(\.opcode) == ["00", "01"])
      passed += results.reduce(0) { $0 + $1.passed }
    }
    #expect(passed == 13)
    let broken = MOOCampaign(files: [("a/00.MOO", 1), ("a/02.MOO", 1)], metadata: MOOMetadata())
    #expect(throws: MachineError.self) {
      try broken.run(contents: { path throws(MachineError) in files[path] ?? [1, 2, 3] }) { _ in }
    }
  }
}
