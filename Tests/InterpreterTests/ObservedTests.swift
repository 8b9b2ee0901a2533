import Platform
import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

#if DEBUG
private let programs: UInt64 = 10
#else
private let programs: UInt64 = 400
#endif

/// Counts and hashes what it is told.
private final class TestObserver: ExecutionObserver {
  private(set) var begun: UInt64 = 0, completed: UInt64 = 0, exceptions: UInt64 = 0, accesses: UInt64 = 0
  private(set) var accessHash: UInt64 = 0
  private(set) var branches: [BranchKind: Int] = [:]
  /// Linear address of the instruction that is under way.
  private var current: UInt64?
  private(set) var disorder: String?

  func willExecute(_ instruction: borrowing Instruction, at linear: UInt64) {
    begun &+= 1
    current = linear
  }

  func didExecute(_ instruction: borrowing Instruction, at linear: UInt64) {
    completed &+= 1
    if current != linear { disorder = "after \(linear) follows before \(String(describing: current))" }
    current = nil
  }

  func didBranch(_ kind: BranchKind, from: UInt64, to: UInt64) { branches[kind, default: 0] += 1 }

  func didAccess(_ access: ObservedAccess) {
    accesses &+= 1
    let words = [access.linear, access.physical, access.secondPage ?? 1, access.value, UInt64(access.size), access.isWrite ? 1 : 0,
                 access.isSystem ? 1 : 0]
    for word in words { accessHash = (accessHash ^ word) &* 0x100_0000_01B3 &+ (accessHash >> 29) }
  }

  func willDeliver(_ event: ObservedEvent) -> EventDecision {
    if event.kind == .exception {
      exceptions &+= 1
      current = nil
    }
    return .deliver
  }

  func willCallSystem(_ instruction: borrowing Instruction) -> EventDecision { .deliver }
}

/// Runs with an observer: they change nothing, and tell the same from decoded blocks and from single steps.
struct ObservedTests {
  @Test(arguments: TestMode.allCases)
  func observingChangesNothing(mode: TestMode) {
    let plain = TestMachine(), stepped = TestMachine(), blocks = TestMachine()
    var kinds: Set<BranchKind> = []
    for seed in 1...programs {
      let count = 50 + seed * 37 % 700
      for m in [plain, stepped, blocks] { DifferentialTests.prepare(m, seed: seed, mode: mode) }
      plain.runBlocks(to: count)
      let all = TestObserver(), memory = TestObserver()
      stepped.virtual.observe([.memory, .events], by: all)
      _ = stepped.virtual.runObserved(instructions: count, by: all)
      blocks.virtual.observe(.memory, by: memory)
      blocks.runBlocks(to: count)
      for (m, how) in [(stepped, "instructions, memory and events"), (blocks, "memory")] {
        m.virtual.observe([], by: nil)
        if let text = DifferentialTests.difference(plain, m) {
          Issue.record("\(mode), seed \(seed), observing \(how): \(text)")
          return
        }
      }
      #expect(all.disorder == nil)
      #expect(all.completed + all.exceptions == plain.s.pointee.retired, "\(mode), seed \(seed)")
      #expect(all.begun >= all.completed && all.begun <= all.completed + all.exceptions)
      #expect(all.accesses == memory.accesses && all.accessHash == memory.accessHash, "\(mode), seed \(seed)")
      kinds.formUnion(all.branches.keys)
    }
    #expect(kinds.isSuperset(of: [.conditional, .jump, .call, .return, .exception]))
  }

  /// The stop address ends runs by blocks and by steps at the same places.
  @Test(arguments: TestMode.allCases)
  func stopAddress(mode: TestMode) {
    let blocks = TestMachine(), stepped = TestMachine()
    let observer = TestObserver()
    var stops = 0
    for seed in 1...(programs / 4) {
      for m in [blocks, stepped] { DifferentialTests.prepare(m, seed: seed, mode: mode) }
      // An instruction that the program comes to.
      stepped.runSteps(to: 20 + seed % 60)
      let address = stepped.cpu.linearRIP
      DifferentialTests.prepare(stepped, seed: seed, mode: mode)
      blocks.virtual.stopAddress = nil
      // Links that lead past it exist already.
      blocks.runBlocks(to: 10)
      stepped.runSteps(to: 10)
      for m in [blocks, stepped] { m.virtual.stopAddress = address }
      for _ in 0..<3 where stepped.s.pointee.retired < 600 {
        let left = 600 - stepped.s.pointee.retired
        let first = stepped.virtual.runObserved(instructions: left, by: observer)
        if blocks.cpu.linearRIP == address { _ = blocks.virtual.runBySteps(instructions: 1) }
        // A repeated instruction, and a branch to itself, are at the address again.
        let second = blocks.cpu.linearRIP == address ? first : blocks.virtual.run(instructions: 600 - blocks.s.pointee.retired)
        if first == .stopRequested { stops += 1 }
        #expect(first == second, "\(mode), seed \(seed)")
        if let text = DifferentialTests.difference(blocks, stepped) {
          Issue.record("\(mode), seed \(seed), stop at \(String(address, radix: 16)): \(text)")
          return
        }
      }
    }
    #expect(stops > Int(programs / 8))
  }

  /// An interrupt, NMI or trap whose delivery the observer refuses: the run ends before anything of it, and nothing else is taken.
  @Test func refusedDelivery() {
    final class Refusing: ExecutionObserver {
      var asked: [UInt8] = []
      func willExecute(_ instruction: borrowing Instruction, at linear: UInt64) {}
      func didExecute(_ instruction: borrowing Instruction, at linear: UInt64) {}
      func didBranch(_ kind: BranchKind, from: UInt64, to: UInt64) {}
      func didAccess(_ access: ObservedAccess) {}
      func willDeliver(_ event: ObservedEvent) -> EventDecision {
        asked.append(event.vector)
        return .stop
      }
      func willCallSystem(_ instruction: borrowing Instruction) -> EventDecision { .deliver }
    }
    let m = TestMachine()
    m.prepare(.paged64)
    m.write(TestMachine.code, [0x90, 0x90, 0x90, 0x90])
    let observer = Refusing()
    m.virtual.observe(.events, by: observer)
    m.s.pointee.systemFlags |= RFLAGS.IF
    m.virtual.signalNMI()
    m.bus.vectors = [0x40]
    m.virtual.setInterruptRequest(true)
    let before = m.s.pointee.rsp
    #expect(m.virtual.run(instructions: 10) == .stopRequested)
    #expect(observer.asked == [2] && m.bus.vectors == [0x40])
    #expect(m.virtual.run(instructions: 10) == .stopRequested)
    #expect(observer.asked == [2, 0x40] && m.s.pointee.retired == 0)
    #expect(m.s.pointee.rsp == before && m.s.pointee.rip == TestMachine.code)
    m.virtual.observe([], by: nil)
  }
}
