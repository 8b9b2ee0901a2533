import Processor
import Testing
import X86

@testable import Conformance

#if DEBUG
  private let cases: UInt64 = 80
#else
  private let cases: UInt64 = 8000
#endif

struct FuzzTests {
  /// A bounded run in every mode. A crash ends the test process: `xenolith conform fuzz --seed 20` names the case.
  @Test(arguments: FuzzMode.allCases)
  func boundedRun(mode: FuzzMode) {
    var campaign = FuzzCampaign(seed: 20, count: cases / UInt64(FuzzMode.allCases.count))
    campaign.mode = mode
    campaign.workers = 2
    let result = campaign.run()
    #expect(result.findings == [], "\(FuzzReport(result: result, seed: 20, hostSeconds: 1).brief)")
    #expect(result.cases == campaign.count)
    #expect(result.compared > campaign.count / 5)
    // The cases must get somewhere.
    #expect(result.instructions > result.cases * 20, "\(mode): \(result.instructions)")
  }

  /// Cases in which blocks and single steps once differed: CR2 written by the fast path before a #GP, for an access across the end of the
  /// canonical addresses or of 4 GiB; a debug trap whose frame hits a data breakpoint again.
  @Test(arguments: [(3, 19199), (3, 26783), (20, 17275), (20, 12410)] as [(UInt64, UInt64)])
  func onceDifferent(seed: UInt64, number: UInt64) {
    var campaign = FuzzCampaign(seed: seed, count: 1)
    campaign.first = number
    let result = campaign.run()
    #expect(result.findings == [])
    #expect(result.compared == 1)
  }

  @Test func numbersAreSpread() {
    var random = FuzzRandom(seed: 1, number: 1)
    var counts = [Int](repeating: 0, count: 7)
    for _ in 0..<70_000 { counts[random.below(7)] += 1 }
    #expect(counts.allSatisfy { 9500...10_500 ~= $0 }, "\(counts)")
    let hits = (0..<10_000).filter { _ in random.chance(30) }.count
    #expect(2700...3300 ~= hits)
  }

  @Test func aCaseDependsOnSeedAndNumberOnly() {
    func trail(_ seed: UInt64, _ number: UInt64) -> [UInt8] {
      let m = FuzzMachine(model: .x86_64v3)
      _ = FuzzCase.prepare(m, mode: .long64, random: FuzzRandom(seed: seed, number: number))
      _ = m.virtual.run(instructions: 300)
      return m.state
    }
    #expect(trail(3, 70) == trail(3, 70))
    #expect(trail(3, 70) != trail(3, 71))
    #expect(trail(3, 70) != trail(4, 70))
    // Nor on the cases before: the same machine gives the same again.
    let m = FuzzMachine(model: .x86_64v3)
    var states: [[UInt8]] = []
    for number in [5, 6, 7, 5] as [UInt64] {
      _ = FuzzCase.prepare(m, mode: .protected32, random: FuzzRandom(seed: 1, number: number))
      _ = m.virtual.run(instructions: 300)
      states.append(m.state)
    }
    #expect(states[0] == states[3])
  }

  @Test func countAndFirst() {
    var campaign = FuzzCampaign(seed: 2, count: 100)
    let whole = campaign.run()
    campaign.count = 40
    var parts = campaign.run()
    campaign.first = 40
    campaign.count = 60
    campaign.workers = 2
    parts.add(campaign.run())
    #expect(parts == whole)
    // The callback ends a run.
    campaign.count = 100_000
    #expect(campaign.run { _ in false }.cases < 1000)
  }

  /// Begin states are possible ones, in every mode and on every model.
  @Test func beginStatesKeepTheInvariants() {
    for model in CPUModel.all {
      let m = FuzzMachine(model: model)
      for mode in FuzzMode.allCases where !mode.isLong || model.features.contains(.longMode) {
        for number in 0..<40 as Range<UInt64> {
          _ = FuzzCase.prepare(m, mode: mode, random: FuzzRandom(seed: 9, number: number))
          #expect(m.brokenInvariant == nil, "\(mode), \(model.name), case \(number)")
          #expect(mode != .long64 || m.s.pointee.codeSize == .bits64)
          #expect((mode == .virtual8086) == m.s.pointee.v86)
        }
      }
    }
  }

  @Test func everyInvariantCanBeBroken() {
    let m = FuzzMachine(model: .x86_64v3)
    let breaks: [(String, (FuzzMachine) -> Void)] = [
      ("zero register", { $0.s.pointee.zero = 1 }), ("CPL is 4", { $0.s.pointee.cpl = 4 }), ("system flags", { $0.s.pointee.systemFlags |= 1 << 3 }),
      ("paging", { $0.s.pointee.cr0 = CR0.PG }), ("NW", { $0.s.pointee.cr0 |= CR0.NW }), ("real mode", { $0.s.pointee.cr0 &= ~(CR0.PE | CR0.PG); $0.s.pointee.cpl = 3 }),
      ("EFER", { $0.s.pointee.efer ^= EFER.LMA }), ("PAE", { $0.s.pointee.cr4 &= ~CR4.PAE }), ("TOP", { $0.s.pointee.x87.top = 8 }),
      ("MXCSR", { $0.s.pointee.mxcsr = 0x10000 }), ("XCR0", { $0.s.pointee.xcr0 = 6 }),
      ("virtual-8086", { $0.s.pointee.v86 = true; $0.s.pointee.cpl = 0 }), ("RIP", { $0.s.pointee.codeSize = .bits32; $0.s.pointee.rip = 1 << 32 }),
      ("a device was asked", { _ = $0.bus.readDevice(0x5FFF, size: 2) }), ("which is memory", { $0.bus.writeDevice(0x1000, 0, size: 4) }),
    ]
    for (word, spoil) in breaks {
      _ = FuzzCase.prepare(m, mode: .long64, random: FuzzRandom(seed: 1, number: 1))
      #expect(m.brokenInvariant == nil)
      spoil(m)
      #expect(m.brokenInvariant?.contains(word) == true, "\(word): \(m.brokenInvariant ?? "none")")
    }
  }

  @Test func differencesAreFound() {
    let a = FuzzMachine(model: .x86_64v3), b = FuzzMachine(model: .x86_64v3)
    for m in [a, b] { _ = FuzzCase.prepare(m, mode: .long64, random: FuzzRandom(seed: 1, number: 1)) }
    #expect(a.registerDifference(from: b) == nil && a.difference(from: b) == nil)
    b.put(0x3_1238, 1, size: 1)
    a.put(0x3_1238, 2, size: 1)
    #expect(a.difference(from: b)?.hasPrefix("memory at 00031238 is ") == true)
    // Accessed and dirty bits of page tables do not count, other bits of theirs do.
    for m in [a, b] {
      m.put(0x3_1238, 0, size: 1)
      m.put(0x2_1000, 0x67, size: 1)
    }
    let hash = b.tablesHash
    b.put(0x2_1000, 0x07, size: 1)
    #expect(a.difference(from: b) == nil && b.tablesHash == hash)
    b.put(0x2_1000, 0x06, size: 1)
    #expect(a.difference(from: b) != nil && b.tablesHash != hash)
    b.s.pointee.r9 ^= 1
    #expect(a.registerDifference(from: b)?.hasPrefix("register 9 is") == true)
  }

  /// A case that no model can run is none that passed.
  @Test func casesWithoutAModelAreSkipped() {
    var campaign = FuzzCampaign(seed: 1, count: 24)
    campaign.model = .i386
    let result = campaign.run()
    #expect(campaign.canRun && result.skipped == 9)
    #expect(FuzzReport(result: result, seed: 1, hostSeconds: 1).verdict == "15 passed, 0 failed, 9 skipped")
    campaign.mode = .long64
    #expect(!campaign.canRun)
    campaign.model = .x86_64v1
    #expect(campaign.canRun && campaign.run().skipped == 0)
  }

  @Test func report() throws {
    var result = FuzzResult()
    result.cases = 10
    result.failed = 1
    result.findings = [FuzzFinding(number: 7, mode: .real, model: "386", text: "CPL is 4")]
    let report = FuzzReport(result: result, seed: 5, hostSeconds: 2)
    #expect(report.text.hasPrefix("FAILED case 7 (real, 386): CPL is 4\n  repeat with: xenolith conform fuzz --seed 5 --first 7 --count 1\n"))
    #expect(report.text.hasSuffix("\n9 passed, 1 failed, 0 skipped\n"))
    #expect(try JSON.parse(Array(report.json.utf8), name: "r")["failed"]?.integer == 1)
    #expect(report.junit.contains("failures=\"1\""))
  }
}
