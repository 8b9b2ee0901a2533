import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

/// Operations done together by one handler: every chain and feed, and the pairs of the table, against single steps.
struct FusionTests {
  /// Code of one instruction; registers are general registers 0–7 but 4.
  typealias Code = [UInt8]

  private static func registers(_ opcode: Code, _ reg: UInt8, _ rm: UInt8, wide: Bool) -> Code {
    (wide ? [0x48] : []) + opcode + [0xC0 | reg << 3 | rm]
  }

  private static func immediate(_ value: UInt32) -> Code { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

  /// The register operations that chains and feeds are made of, in the order of `Fusion`'s steps.
  private static func steps(_ a: UInt8, _ b: UInt8, wide: Bool) -> [Code] {
    [0x89, 0x01, 0x09, 0x21, 0x29, 0x31].map { registers([$0], b, a, wide: wide) }
      + [0, 4].map { registers([0x81], $0, a, wide: wide) + immediate(0x8765_4321) }
      + [4, 5, 7, 0, 1].map { registers([0xC1], $0, a, wide: wide) + [0x0D] }
  }

  /// Table indices of the handlers of a block.
  private static func handlers(_ m: TestMachine, _ prepare: (TestMachine) -> Void) -> [Int] {
    prepare(m)
    guard var op = BlockLookup.find(m.cpu) else { return [] }
    var found: [Int] = []
    var previous = 0
    while Int(op.pointee.count) > previous {
      previous = Int(op.pointee.count)
      found.append(indices[op.pointee.handler] ?? -1)
      op += 1
    }
    return found
  }

  private static let indices = Dictionary(
    (0..<HandlerTable.count).map { (HandlerTable.addresses[$0], $0) }, uniquingKeysWith: { first, _ in first })

  private static func prepare(_ m: TestMachine, _ mode: TestMode, _ code: Code, _ seed: UInt64) {
    m.prepare(mode)
    m.write(TestMachine.code, code)
    var random = SeededGenerator(seed)
    for n in [0, 1, 2, 3, 6, 7] as [UInt8] {
      let value = random.next() >> (random.next() & 63)
      m.cpu.setGPR(n, mode.codeSize == .bits64 ? value : value & 0xFFFF_FFFF)
    }
    m.cpu.setGPR(5, TestMachine.data + 0x100)
    for k in 0..<0x80 as Range<UInt64> { m.put64(TestMachine.data + k * 8, random.next()) }
  }

  /// Behind two operations one that overwrites their flags, so that nobody reads them; then a jump that ends the block.
  @Test(arguments: [TestMode.paged64, .flat32])
  func chainsAndFeeds(mode: TestMode) {
    let blocks = TestMachine(), steps = TestMachine()
    var used: Set<Int> = []
    for wide in mode.codeSize == .bits64 ? [false, true] : [false] {
      for (kind, second) in [(0, Self.steps(1, 3, wide: wide)), (1, Self.steps(3, 1, wide: wide))] {
        for (i, a) in Self.steps(1, 2, wide: wide).enumerated() {
          for (j, b) in second.enumerated() {
            let code = a + b + Self.registers([0x01], 6, 7, wide: wide) + [0xEB, 0x00, 0xF4]
            for seed in 1...3 as ClosedRange<UInt64> {
              let prepare = { (m: TestMachine) in Self.prepare(m, mode, code, seed &* 977 &+ UInt64(i * 13 + j)) }
              if let text = DifferentialTests.compare(blocks, steps, count: 4, prepare) {
                Issue.record("\(mode), \(kind), \(i), \(j): \(text)")
                return
              }
              if seed == 1 { used.formUnion(Self.handlers(blocks, prepare)) }
            }
          }
        }
      }
    }
    let widths = mode.codeSize == .bits64 ? 2 : 1
    #expect(used.filter { $0 >= HandlerTable.Chain && $0 < HandlerTable.Chain + 13 * 12 * 2 }.count == 13 * 12 * widths)
    #expect(used.filter { $0 >= HandlerTable.Feed && $0 < HandlerTable.Feed + 13 * 6 * 2 }.count == 13 * 6 * widths)
  }

  /// Operations of many kinds, memory among them, with and without a compare-and-branch behind.
  private static func mixture(wide64: Bool) -> [Code] {
    var all: [Code] = []
    for wide in wide64 ? [false, true] : [false] {
      all += steps(1, 2, wide: wide) + steps(2, 1, wide: wide)
      for opcode in [0x8B, 0x89, 0x8D, 0x03, 0x33, 0x3B, 0x23] as [UInt8] {
        all.append((wide ? [0x48] : []) + [opcode, 0x45 | 1 << 3, 0x08])
        all.append((wide ? [0x48] : []) + [opcode, 0x45 | 2 << 3, 0x10])
      }
      all += [registers([0x39], 2, 1, wide: wide) + [0x72, 0], registers([0x85], 1, 1, wide: wide) + [0x74, 0]]
      all += [registers([0x39], 2, 1, wide: wide) + [0x75, 0], registers([0x81], 7, 1, wide: wide) + immediate(9) + [0x77, 0]]
      all += [registers([0x0F, 0xAF], 1, 2, wide: wide), registers([0xF7], 2, 1, wide: wide), registers([0x31], 0, 0, wide: wide)]
      all += [(wide ? [0x48] : []) + [0xC7, 0x45, 0x20] + immediate(0xFEDC_BA98), registers([0xFF], 0, 1, wide: wide)]
    }
    all += [[0x0F, 0xB6, 0x4D, 0x03], [0x0F, 0xB7, 0x55, 0x05], [0x0F, 0xB6, 0xC9], [0x88, 0x4D, 0x07], [0x8A, 0x4D, 0x09]]
    all += [[0x51], [0x52], [0x59], [0x5A], [0x90], [0xB9] + immediate(77), [0xBA] + immediate(0x8000_0000), [0xC6, 0x45, 0x11, 0x5A]]
    all += [[0x9C], [0x9D], [0xFA], [0xF0, 0x0F, 0xB1, 0x4D, 0x30], [0xF0, 0x0F, 0xC1, 0x55, 0x38], [0xD3, 0xC2], [0xC1, 0xC9, 0x03]]
    return all
  }

  @Test(arguments: [TestMode.paged64, .flat32])
  func pairs(mode: TestMode) {
    let blocks = TestMachine(), steps = TestMachine()
    let all = Self.mixture(wide64: mode.codeSize == .bits64)
    var used: Set<Int> = []
    var seed: UInt64 = 0
    for (i, a) in all.enumerated() {
      for (j, b) in all.enumerated() {
        seed += 1
        #if DEBUG
        if seed % 20 != 0 { continue }
        #endif
        // Something before, so that pairs are looked for at other places too.
        let code = all[Int(seed % UInt64(all.count))] + a + b + [0xEB, 0x00, 0xF4]
        let prepare = { (m: TestMachine) in Self.prepare(m, mode, code, seed) }
        if let text = DifferentialTests.compare(blocks, steps, count: 5, prepare) {
          Issue.record("\(mode), \(i), \(j): \(text)")
          return
        }
        if seed % 4 == 0 { used.formUnion(Self.handlers(blocks, prepare)) }
      }
    }
    let count = HandlerTable.pairs.count
    #expect(used.filter { $0 >= HandlerTable.Pair && $0 < HandlerTable.Pair + count }.count > 30)
  }
}
