import Testing
import X86
import X86Decoder

@testable import Processor

/// String instructions against a plain loop over elements, and where runs are cut.
@Suite struct IntegerStringTests {
  typealias Machine = SystemTestMachine

  static func bytes(_ m: Machine, _ at: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { m.get8(at + UInt64($0)) }
  }

  static func fill(_ m: Machine, _ at: UInt64, _ count: Int) {
    for n in 0..<count { m.put8(at + UInt64(n), UInt8(truncatingIfNeeded: n &* 37 &+ n >> 8)) }
  }

  static func opcode(_ base: UInt8, _ size: Int) -> [UInt8] {
    switch size {
    case 1: return [base]
    case 2: return [0x66, base + 1]
    case 4: return [base + 1]
    default: return [0x48, base + 1]
    }
  }

  /// Repeats the instruction until it is finished, as the run loop does; returns how many times it had to be started.
  static func finish(_ m: Machine, _ code: [UInt8]) -> Int {
    let start = m.s.pointee.rip
    var starts = 0
    repeat {
      starts += 1
      #expect(m.execute(code) == .done)
    } while m.s.pointee.rip == start && starts < 100_000
    m.s.pointee.rip = start
    return starts
  }

  /// All sizes, both directions, distances that overlap in all ways, and positions about page borders.
  @Test(arguments: [1, 2, 4, 8])
  func movesLikeSingleElements(_ size: Int) {
    let m = Machine()
    m.enterLong()
    let base: UInt64 = 0x30_0000
    let length = 3 * 4096
    for budget in [7, 1000] {
      m.s.pointee.budget = budget
      for backward in [false, true] {
        for (source, distance) in [(4090, 1), (4090, -1), (4093, 3), (100, 0), (200, 8), (4000, 40), (3000, 5000), (5000, -37),
                                   (6000, -2), (4088, 4), (5001, 64), (700, 9)] {
          let count = 150
          Self.fill(m, base, length)
          var model = Self.bytes(m, base, length)
          let target = source + distance
          for k in 0..<count {
            let at = (backward ? count - 1 - k : k) * size
            let element = Array(model[(source + at)..<(source + at + size)])
            model.replaceSubrange((target + at)..<(target + at + size), with: element)
          }
          let first = UInt64(backward ? (count - 1) * size : 0)
          m.s.pointee.rsi = base + UInt64(source) + first
          m.s.pointee.rdi = base + UInt64(target) + first
          m.s.pointee.rcx = UInt64(count)
          m.s.pointee.systemFlags = backward ? 2 | RFLAGS.DF : 2
          let retired = m.s.pointee.retired
          _ = Self.finish(m, [0xF3] + Self.opcode(0xA4, size))
          let moved = UInt64(bitPattern: Int64((backward ? -1 : 1) * count * size))
          #expect(Self.bytes(m, base, length) == model, "source \(source) distance \(distance) backward \(backward)")
          #expect(m.s.pointee.rcx == 0)
          #expect(m.s.pointee.rsi == base + UInt64(source) + first &+ moved)
          #expect(m.s.pointee.rdi == base + UInt64(target) + first &+ moved)
          #expect(m.s.pointee.retired - retired == UInt64(count))
        }
      }
    }
  }

  @Test(arguments: [1, 2, 4, 8])
  func storesAndLoads(_ size: Int) {
    let m = Machine()
    m.enterLong()
    let base: UInt64 = 0x30_0F00
    m.s.pointee.rax = 0x8877_6655_4433_2211
    let pattern = (0..<size).map { UInt8(0x11 * ($0 + 1)) }
    m.s.pointee.rdi = base
    m.s.pointee.rcx = 500
    _ = Self.finish(m, [0xF3] + Self.opcode(0xAA, size))
    #expect(Self.bytes(m, base, 500 * size) == Array((0..<500).map { _ in pattern }.joined()))
    #expect(m.get8(base + UInt64(500 * size)) == 0)
    #expect(m.s.pointee.rdi == base + UInt64(500 * size))

    m.s.pointee.rax = ~0
    m.put64(base + 8, 0x0102_0304_0506_0708)
    m.s.pointee.rsi = base + 8
    #expect(m.execute(Self.opcode(0xAC, size)) == .done)
    let expected: [Int: UInt64] = [
      1: 0xFFFF_FFFF_FFFF_FF08, 2: 0xFFFF_FFFF_FFFF_0708, 4: 0x0506_0708, 8: 0x0102_0304_0506_0708,
    ]
    #expect(m.s.pointee.rax == expected[size])
    #expect(m.s.pointee.rsi == base + 8 + UInt64(size))
  }

  @Test(arguments: [1, 2, 4, 8])
  func comparesUntilTheCondition(_ size: Int) {
    let m = Machine()
    m.enterLong()
    let a: UInt64 = 0x30_0FF0, b: UInt64 = 0x31_0010
    let count = 700
    for backward in [false, true] {
      for difference in [0, 1, 5, 350, 699, 700] {
        Self.fill(m, a, count * size)
        for n in 0..<(count * size) { m.put8(b + UInt64(n), m.get8(a + UInt64(n))) }
        let place = backward ? count - 1 - difference : difference
        if difference < count { m.put8(b + UInt64(place * size), m.get8(a + UInt64(place * size)) &+ 1) }
        let first = UInt64(backward ? (count - 1) * size : 0)
        m.s.pointee.rsi = a + first
        m.s.pointee.rdi = b + first
        m.s.pointee.rcx = UInt64(count)
        m.s.pointee.systemFlags = backward ? 2 | RFLAGS.DF : 2
        _ = Self.finish(m, [0xF3] + Self.opcode(0xA6, size))
        let done = min(difference + 1, count)
        #expect(m.s.pointee.rcx == UInt64(count - done))
        #expect(m.cpu.zf == (difference == count))
        let step = Int64((backward ? -1 : 1) * done * size)
        #expect(m.s.pointee.rsi == (a + first) &+ UInt64(bitPattern: step))
        #expect(m.s.pointee.rdi == (b + first) &+ UInt64(bitPattern: step))
      }
    }
  }

  @Test(arguments: [1, 2, 4, 8])
  func scansUntilTheCondition(_ size: Int) {
    let m = Machine()
    m.enterLong()
    let b: UInt64 = 0x30_0FF0
    m.s.pointee.rax = 0x4141_4141_4141_4141
    for place in [0, 1, 77, 999] {
      for n in 0..<(1000 * size) { m.put8(b + UInt64(n), 0x22) }
      for n in 0..<size { m.put8(b + UInt64(place * size + n), 0x41) }
      m.s.pointee.rdi = b
      m.s.pointee.rcx = 1000
      _ = Self.finish(m, [0xF2] + Self.opcode(0xAE, size))
      #expect(m.s.pointee.rcx == UInt64(999 - place))
      #expect(m.s.pointee.rdi == b + UInt64((place + 1) * size))
      #expect(m.cpu.zf && !m.cpu.cf)
    }
    // Not found: the flags are those of the last comparison.
    m.put8(b + UInt64(999 * size + size - 1), 0x22)
    m.s.pointee.rdi = b
    m.s.pointee.rcx = 1000
    _ = Self.finish(m, [0xF2] + Self.opcode(0xAE, size))
    #expect(m.s.pointee.rcx == 0 && !m.cpu.zf)
  }

  /// What an interrupted run has done is committed; the budget bounds it.
  @Test func budgetCutsARun() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.budget = 100
    m.s.pointee.rsi = 0x30_0000
    m.s.pointee.rdi = 0x31_0000
    m.s.pointee.rcx = 250
    let rip = m.s.pointee.rip
    #expect(m.execute([0xF3, 0xA4]) == .done)
    #expect(m.s.pointee.rcx == 150 && m.s.pointee.rip == rip && m.s.pointee.retireWeight == 100)
    #expect(m.execute([0xF3, 0xA4]) == .done)
    #expect(m.execute([0xF3, 0xA4]) == .done)
    #expect(m.s.pointee.rcx == 0 && m.s.pointee.rip == rip + 2 && m.s.pointee.retireWeight == 50)
  }

  /// A fault in the middle: first the elements before it are committed and counted, then the fault comes alone.
  @Test func faultInTheMiddleOfARun() {
    let m = Machine()
    m.enterLong()
    // The last mapped byte is FFFFFFH.
    m.s.pointee.rdi = 0xFF_FFF0
    m.s.pointee.rcx = 100
    m.s.pointee.rax = 0xAB
    let rip = m.s.pointee.rip
    #expect(m.execute([0xF3, 0xAA]) == .done)
    #expect(m.s.pointee.rcx == 84 && m.s.pointee.rdi == 0x100_0000 && m.s.pointee.rip == rip)
    #expect(m.s.pointee.retireWeight == 16)
    #expect(m.execute([0xF3, 0xAA]) == .fault(14, 2))
    #expect(m.s.pointee.cr2 == 0x100_0000)
    #expect(m.s.pointee.rcx == 84 && m.s.pointee.rdi == 0x100_0000)
    #expect(m.get8(0xFF_FFFF) == 0xAB)
  }

  @Test func sourceFaultsBeforeTheDestinationIsTouched() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.rsi = 0x200_0000
    m.s.pointee.rdi = 0x30_0000
    m.put8(0x30_0000, 0x55)
    #expect(m.execute([0xA4]) == .fault(14, 0))
    #expect(m.get8(0x30_0000) == 0x55 && m.s.pointee.rdi == 0x30_0000)
  }

  /// Registers wrap at the address size; with 32 bits in 64-bit mode their upper halves become zero, but only if an element
  /// was processed (as on current processors).
  @Test func addressSize() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.rsi = 0xFFFF_FFFF_0030_0000
    m.s.pointee.rdi = 0xFFFF_FFFF_0031_0000
    m.s.pointee.rcx = 0xFFFF_FFFF_0000_0000
    #expect(m.execute([0x67, 0xF3, 0xA4]) == .done)
    #expect(m.s.pointee.rcx == 0xFFFF_FFFF_0000_0000 && m.s.pointee.rsi == 0xFFFF_FFFF_0030_0000)
    m.s.pointee.rcx = 0xFFFF_FFFF_0000_0002
    _ = Self.finish(m, [0x67, 0xF3, 0xA4])
    #expect(m.s.pointee.rcx == 0 && m.s.pointee.rsi == 0x30_0002 && m.s.pointee.rdi == 0x31_0002)

    let r = Machine()
    r.enterReal()
    r.s.pointee.es.selector = 0x1000
    r.s.pointee.es.base = 0x1_0000
    r.s.pointee.rsi = 0xABCD_FFFE
    r.s.pointee.rdi = 0xABCD_0010
    r.s.pointee.rcx = 0xABCD_0004
    for n in 0..<2 as Range<UInt64> {
      r.put8(0xFFFE + n, UInt8(n) + 1)
      r.put8(n, UInt8(n) + 3)
    }
    _ = Self.finish(r, [0xF3, 0xA4])
    #expect(Self.bytes(r, 0x1_0010, 4) == [1, 2, 3, 4])
    #expect(r.s.pointee.rsi == 0xABCD_0002 && r.s.pointee.rdi == 0xABCD_0014 && r.s.pointee.rcx == 0xABCD_0000)
  }

  /// An override moves the source, never the destination.
  @Test func segmentOverride() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.fs.base = 0x1_0000
    m.s.pointee.rsi = 0x30_0000
    m.s.pointee.rdi = 0x32_0000
    m.put32(0x31_0000, 0x1234_5678)
    #expect(m.execute([0x64, 0xA5]) == .done)
    #expect(m.get32(0x32_0000) == 0x1234_5678)
  }
}
