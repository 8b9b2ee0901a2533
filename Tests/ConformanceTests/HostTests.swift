import HostOracle
import Processor
import Testing
import X86Decoder

@testable import Conformance

#if DEBUG
  private let cases: UInt64 = 2000
#else
  private let cases: UInt64 = 10_000
#endif

private let host = HostFeatures()

/// The core against the host's processor.
@Suite(.enabled(if: host != nil, "needs an x86-64 Linux host with AVX2 and FSGSBASE"), .serialized)
struct HostTests {
  private func campaign(seed: UInt64 = 1, count: UInt64 = 1) throws -> HostCampaign { HostCampaign(host: try #require(host), seed: seed, count: count) }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func boundedRun(seed: UInt64) throws {
    let result = try campaign(seed: seed, count: cases).run()
    let report = HostReport(result: result, host: try #require(host), seed: seed, hostSeconds: 1).brief
    #expect(result.failures == [], "\(report)")
    #expect(result.failed == 0)
    #expect(result.cases == Int(cases))
    // Rules must not eat the cases, nor exceptions the instructions.
    #expect(result.passed > Int(cases) * 9 / 10)
    let begun = result.begun[0].reduce(0, +) + result.begun[1].reduce(0, +)
    let completed = result.completed[0].reduce(0, +) + result.completed[1].reduce(0, +)
    #expect(completed > begun / 2, "\(completed) of \(begun) instructions completed")
    // The host may be interrupted at the wrong moment.
    #expect(!result.isTooUnsteady)
  }

  /// Cases that fail only behind others are named, and many of them are a failure.
  @Test func unsteadyCases() throws {
    var result = try campaign(seed: 1, count: 1).run(), more = result
    result.unsteady = 1
    result.unsteadyCases = [77]
    more.unsteady = 30
    more.unsteadyCases = Array(100..<120)
    #expect(!result.isTooUnsteady)
    result.add(more)
    #expect(result.isTooUnsteady && result.unsteadyCases.count == 20 && result.unsteadyCases[0] == 77)
    let report = HostReport(result: result, host: try #require(host), seed: 1, hostSeconds: 1)
    for text in [report.brief, report.text] { #expect(text.contains("FAILED: 31 cases skipped") && text.contains(": 77, 100, 101,")) }
  }

  /// Shards have every case once.
  @Test func shards() throws {
    var sum = 0
    for index in 1...3 {
      var part = try campaign(seed: 4, count: 500)
      part.shard = (index, 3)
      sum += try part.run().cases
    }
    #expect(sum == 500)
  }

  @Test func coverage() throws {
    let result = try campaign(seed: 5, count: cases * 3).run()
    let report = HostReport(result: result, host: try #require(host), seed: 5, hostSeconds: 1)
    // Each row is chosen about fifteen times.
    #expect(report.missed.count <= 2, "\(report.missed.map { HostCatalog.shared.name($0) })")
    #expect(report.text.contains("rows not hit: "))
    #expect(report.excluded.contains { $0.rule.id == "kernel-entry" && $0.rows.contains { OpcodeMap.mnemonic($0) == .SYSCALL } })
    #expect(report.text.hasSuffix("\(result.passed) passed, 0 failed, \(result.skipped) skipped\n"))
    #expect(report.junit.contains("failures=\"0\""))
    #expect(try JSON.parse(Array(report.json.utf8), name: "report")["failed"]?.integer == 0)
  }

  // MARK: A planted difference

  /// The core's RAX is wrong whenever the code has an IMUL.
  private static let sabotage: @Sendable (UnsafeMutablePointer<HostState>, UnsafePointer<HostCase>) -> Void = { end, c in
    let code = withUnsafeBytes(of: c.pointee.code) { Array($0.prefix(Int(c.pointee.codeLength))) }
    if zip(code, code.dropFirst()).contains(where: { $0 == 0x0F && $1 == 0xAF }) { end.pointee.gpr.0 ^= 1 }
  }

  @Test func aPlantedDifferenceIsFoundAndMadeSmall() throws {
    var bad = try campaign(seed: 6, count: cases * 2)
    bad.sabotage = Self.sabotage
    bad.failuresKeptOfRow = 100
    let result = try bad.run()
    #expect(result.failed > 0)
    for failure in result.failures {
      #expect(failure.differences.map(\.what) == ["RAX"])
      // One instruction, at the place where all are, and nothing that it does not need.
      #expect(failure.listing.count == 1, "\(failure.listing)")
      #expect(failure.listing[0].contains("imul"))
      #expect(failure.listing[0].hasPrefix("10000800"))
      #expect(!failure.replay.text.contains("ymm") && !failure.replay.text.contains("st0=") && !failure.replay.text.contains("rflags"), "\(failure.replay.text)")
      // The line repeats it; without the fault it passes.
      #expect(try bad.replay(failure.replay).failure?.differences == failure.differences)
      #expect(try campaign().replay(failure.replay).failure == nil)
      #expect(failure.text(seed: 6).contains("--replay '\(failure.replay.text)'"))
    }
  }

  @Test func everyPartOfTheStateIsCompared() throws {
    typealias Change = @Sendable (UnsafeMutablePointer<HostState>) -> Void
    let changes: [(String, Change)] = [
      ("R15", { $0.pointee.gpr.15 ^= 1 }), ("RFLAGS", { $0.pointee.rflags ^= 1 }), ("RFLAGS", { $0.pointee.rflags ^= 0x400 }),
      ("FS base", { $0.pointee.fsBase ^= 1 }), ("DS", { $0.pointee.ds = 0x2B }), ("YMM15", { $0.setYMM(15, 3, 1) }), ("MXCSR", { $0.mxcsr ^= 1 }),
      ("FCW", { $0.controlWord ^= 1 }), ("FSW", { $0.statusWord ^= 0x800 }), ("FTW", { $0.tags ^= 0x80 }), ("ST7", { $0.setST(7, 1, 0) }),
      ("event", { $0.pointee.vector = 13 }),
    ]
    for (what, change) in changes {
      var bad = try campaign()
      bad.sabotage = { end, _ in change(end) }
      #expect(try bad.replay(HostReplay("64 code=90")).failure?.differences.map(\.what) == [what])
    }
    var bad = try campaign()
    bad.sabotage = { end, _ in
      end.pointee.errorCode ^= 4
      end.pointee.faultAddress ^= 1
      end.pointee.rip ^= 1
    }
    #expect(try bad.replay(HostReplay("64 code=8B00 rax=1000")).failure?.differences.map(\.what) == ["CR2", "error code", "RIP"])
  }

  // MARK: Text

  @Test func aCaseIsItsText() throws {
    let c = try campaign(seed: 7)
    for number in 0..<40 as Range<UInt64> {
      let (replay, rule) = try c.text(of: number)
      guard let replay else {
        #expect(rule != nil)
        continue
      }
      #expect(try c.text(of: number).0 == replay)
      let slot = CasePointer.allocate(capacity: 1)
      defer { slot.deallocate() }
      slot.initialize(to: HostCase())
      let steps = try replay.read(into: slot)
      #expect(HostReplay(slot, bySteps: steps) == replay)
    }
    #expect(try c.text(of: 1).0 != c.text(of: 2).0)
    #expect(try c.text(of: 1).0 != campaign(seed: 8).text(of: 1).0)
  }

  /// What the generator thinks it made is what its bytes say, and no instruction tests a flag that another may have left undefined.
  @Test(arguments: [(9, 0..<3000), (220, 1_006_023..<1_006_024), (212, 2_140_373..<2_140_374), (215, 1_309_270..<1_309_271)] as [(UInt64, Range<UInt64>)])
  func generatedCode(seed: UInt64, numbers: Range<UInt64>) throws {
    let generator = HostGenerator(seed: seed, rules: HostRuleTable(host: try #require(host)))
    let slot = CasePointer.allocate(capacity: 1)
    slot.initialize(to: HostCase())
    var program = HostProgram(), decoded = HostProgram()
    defer {
      slot.deallocate()
      program.deallocate()
      decoded.deallocate()
    }
    let map = OpcodeMap.shared
    for number in numbers {
      guard case .ready = generator.make(number, slot, &program) else { continue }
      decoded.decode(slot, Decoder())
      #expect(decoded.count == program.count && decoded.branches == program.branches, "case \(number)")
      var undefined: UInt32 = 0, branches = false
      for n in 0..<program.count {
        let row = program.instructions[n].row
        #expect(decoded.instructions[n].row == row && decoded.offset(n) == program.offset(n), "case \(number)")
        #expect(map.flagsTested(row) & undefined == 0, "case \(number)")
        if !branches { undefined &= ~map.flagsModified(row) }
        undefined |= map.flagsUndefined(row)
        branches = branches || map.attributes(row).contains(.endsBlock)
      }
    }
  }

  @Test(arguments: ["", "64", "64 code=", "64 rax=1", "64 cod=90", "64 code=9", "64 code=90 rax", "64 code=90 st9=0:1", "64 at=2000", "64 mem=1000:00", "64 ymm1=x"])
  func badText(text: String) throws {
    #expect(throws: (any Error).self) { _ = try campaign().replay(HostReplay(text)) }
  }

  // MARK: Decided differences

  /// Each has a rule or agrees: LOCK MOV CR0, far calls to 32-bit code with an RSP of more than 32 bits, a branch into an
  /// instruction, XSAVEC of components that are in use on one of them only.
  @Test(arguments: [
    "64 code=F0480F20C3", "32 code=F00F20C0", "64 code=FF9CF494FDFFFF steps rsp=8b78271020000b44 rsi=8e90fb1dffffff01 mem=200000e0:00420010 mem=200000e4:2300",
    "64 code=66FF1F steps rsp=8000000000000031 rdi=200003ec rflags=40202 mem=200003ec:0042 mem=200003ee:2300",
    "32 code=0FC725401D0020 steps rax=4",
    "32 code=F0668120EC06FF10 steps at=47f bank=f rax=20001ade rsp=20000900 mem=20001ade:87040010",
  ])
  func decidedDifferences(text: String) throws {
    #expect(try campaign().replay(HostReplay(text)).failure == nil)
  }

  /// A branch into an instruction is excused only where a rule speaks of what is there.
  @Test func straysAreStillCompared() throws {
    // JMP into the immediate of a MOV: INC ECX there has no rule, PUSH ES has one.
    var bad = try campaign()
    bad.sabotage = { end, _ in end.pointee.gpr.1 ^= 0x100 }
    #expect(try bad.replay(HostReplay("32 code=EB01B841909090")).failure?.differences.map(\.what) == ["RCX"])
    #expect(try bad.replay(HostReplay("32 code=EB01B806909090 rsp=20000800")).failure?.differences.map(\.what) == (bad.host.isAMD ? nil : ["RCX"]))
  }

  @Test func otherLockedInstructionsAreInvalid() {
    func isMove(_ bytes: [UInt8], is32: Bool = false) -> Bool { bytes.withUnsafeBufferPointer { HostOperands.isLockedMoveOfCR0($0, is32: is32) } }
    #expect(isMove([0xF0, 0x48, 0x0F, 0x20, 0xC3]) && isMove([0x66, 0xF0, 0x0F, 0x22, 0xC0], is32: true))
    #expect(!isMove([0xF0, 0x0F, 0x20, 0xC8]) && !isMove([0x0F, 0x20, 0xC0]) && !isMove([0xF0, 0x0F, 0x21, 0xC0]))
    #expect(!isMove([0xF0, 0x48, 0x0F, 0x20, 0xC3], is32: true) && !isMove([0xF0, 0x0F, 0x20]))
  }

  // MARK: The guarded process

  @Test func codeThatDoesNotEnd() throws {
    // Neither side comes to an end, and the next case runs.
    #expect(try campaign().replay(HostReplay("64 code=EBFE")).failure == nil)
    #expect(try campaign().replay(HostReplay("32 code=EBFE")).failure == nil)
  }

  @Test(arguments: ["64 code=0F05 rax=27", "32 code=CD80 rax=1", "64 code=CD80 rax=1"])
  func systemCallsAreStopped(text: String) throws {
    let failure = try #require(try campaign().replay(HostReplay(text)).failure)
    #expect(failure.differences.map(\.host) == ["a system call"])
  }

  /// The one call that gets through (exit_group) ends the process; another takes its place.
  @Test func aProcessThatEnds() throws {
    let failure = try #require(try campaign().replay(HostReplay("64 code=0F05 rax=e7")).failure)
    #expect(failure.differences.map(\.what) == ["the oracle"])
    #expect(try campaign().replay(HostReplay("64 code=90")).failure == nil)
  }

  @Test(arguments: [
    ("64 code=F7F1", 0), ("64 code=F1", 1), ("64 code=CC", 3), ("32 code=CE rflags=a02", 4), ("32 code=6200 rax=20000000 rcx=5", 5), ("64 code=0F0B", 6),
    ("64 code=8ED0", 13), ("64 code=8B00", 14), ("64 code=9B fcw=37e fsw=8081", 16), ("64 code=8B00 rax=20000001 rflags=40202", 17),
    ("64 code=0F58C0 mxcsr=1f00 ymm0=0_0_0_7f800001", 19),
  ])
  func exceptionsAreComparedByVector(text: String, vector: UInt32) throws {
    #expect(try campaign().replay(HostReplay(text)).failure == nil)
    // The core alone agrees with what is written here.
    #expect(CoreCase(text).end.pointee.vector == vector)
  }
}

/// A case on the core alone.
private final class CoreCase {
  private let slot = CasePointer.allocate(capacity: 1)
  private let banks = UnsafeMutablePointer<UInt8>.allocate(capacity: HostLayout.banks * Int(HostLayout.dataSize))
  let end = StatePointer.allocate(capacity: 1)
  private let lines = UnsafeMutablePointer<HostLines>.allocate(capacity: 1)

  init(_ text: String, model: CPUModel = .x86_64v3) {
    slot.initialize(to: HostCase())
    end.initialize(to: HostState())
    lines.initialize(to: HostLines())
    HostValues.shared.fill(banks)
    let bySteps = (try? HostReplay(text).read(into: slot)) ?? false
    let isDone = HostCore(model: model, banks: banks).run(slot, bySteps: bySteps, end, lines)
    #expect(isDone)
  }

  deinit {
    slot.deallocate()
    banks.deallocate()
    // `end` lives on: an expression holds it longer than this.
    lines.deallocate()
  }
}

/// What the comparison with silicon once found. These need no host.
struct HostFindingTests {
  /// FCMOVcc with an empty register loads the indefinite value also if its condition is false.
  @Test(arguments: ["", " steps"])
  func conditionalMoveOfAnEmptyRegister(steps: String) {
    let c = CoreCase("64 code=DACA" + steps)
    #expect(c.end.tags == 1)
    #expect(c.end.significand(0) == 0xC000_0000_0000_0000 && c.end.signExponent(0) == 0xFFFF)
    #expect(c.end.statusWord & 0x41 == 0x41)
  }

  /// FFREEP frees its operand and pops, which empties ST(0).
  @Test func freeAndPop() {
    let c = CoreCase("64 code=DFC4 ftw=ff")
    #expect(c.end.tags == 0xEE)
    #expect(c.end.statusWord & 0x3800 == 0x800)
  }

  /// CMPXCHG16B asks for a page as a write does, whatever the comparison will say.
  @Test func compareAndExchangeFaultsAsAWrite() {
    let c = CoreCase("64 code=480FC708 rax=10")
    #expect(c.end.pointee.vector == 14)
    #expect(c.end.pointee.errorCode == 6)
    #expect(CoreCase("64 code=480FC708 rax=18").end.pointee.vector == 13)
  }

  /// VEX.W before VPCMPESTRI means 64-bit lengths in 64-bit code only.
  @Test func stringLengthsIn32BitCode() {
    #expect(CoreCase("32 code=C4E3F961C900 rdx=ffffffff").end.pointee.rflags & 0x40 != 0)
    #expect(CoreCase("64 code=C4E3F961C900 rdx=ffffffff").end.pointee.rflags & 0x40 == 0)
  }

  /// A far call pushes on the stack of the code that it leaves: RSP in 64-bit code, also on the way to 32-bit code (SDM vol. 2A, CALL).
  @Test(arguments: ["", " steps"])
  func farCallTo32BitCode(steps: String) {
    let far = "64 code=FF1E rsi=200000e0 mem=200000e0:004200102300" + steps
    #expect(CoreCase(far + " rsp=8b78271020000b44").end.pointee.vector == 12)
    #expect(CoreCase(far + " rsp=720020000b44").end.pointee.vector == 14)
    #expect(CoreCase(far + " rsp=20000b44").end.pointee.vector == HostLayout.noVector)
  }

  /// LOCK before MOV of a control register is invalid (SDM vol. 2A, LOCK), in ring 3 too: #UD comes before #GP.
  @Test func lockedMoveOfControlRegister() {
    #expect(CoreCase("64 code=F0480F20C3").end.pointee.vector == 6)
    #expect(CoreCase("64 code=480F20C3").end.pointee.vector == 13)
  }

  /// 66 does not make RDFSBASE one of 16 bits, nor WRFSBASE.
  @Test func segmentBaseWithOperandSize() {
    #expect(CoreCase("64 code=66F30FAEC0 rax=fe14bf52 fsbase=12345678").end.gpr(0) == 0x1234_5678)
    #expect(CoreCase("64 code=66F30FAED0 rax=fe14bf52").end.pointee.fsBase == 0xFE14_BF52)
  }
}
