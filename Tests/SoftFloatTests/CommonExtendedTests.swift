import SoftFloat
import Testing

/// The functions for the common case of x87 arithmetic must give what the general ones do wherever they give anything, and that in
/// nearly all cases without extremes.
@Suite struct CommonExtendedTests {
  private static func status(_ e: FloatEnvironment) -> UInt16 { UInt16(e.flags.rawValue) | (e.roundedUp ? 0x200 : 0) }

  /// Numbers of all classes, and every other time normal ones with exponents close together.
  private static func pair(_ g: inout Generator) -> (Extended80, Extended80, isPlain: Bool) {
    if g.below(2) == 0 {
      let a = g.extended()
      return (a, g.extended(near: a), false)
    }
    func plain() -> Extended80 {
      Extended80(significand: g.pattern() | 1 << 63, signExponent: UInt16(g.below(2) << 15 | (0x3FC0 + g.below(140))))
    }
    return (plain(), plain(), true)
  }

  private func compare(_ common: (Extended80, Extended80) -> RoundedExtended?, _ general: (Extended80, Extended80, inout FloatEnvironment) -> Extended80,
                       negativesToo: Bool = true) {
    var generator = Generator(3)
    var mismatches = Mismatches()
    for _ in 0..<oracleRounds {
      let (a, b, isPlain) = Self.pair(&generator)
      var environment = FloatEnvironment()
      let expected = general(a, b, &environment)
      guard let r = common(a, b) else {
        if isPlain, negativesToo || !a.isNegative { mismatches.add("\(a) \(b): nothing") }
        continue
      }
      if r.value != expected || r.status != Self.status(environment) {
        mismatches.add("\(a) \(b): \(r.value) status \(hex(UInt64(r.status), 3)), in general \(expected) \(hex(UInt64(Self.status(environment)), 3))")
      }
    }
    #expect(mismatches.count == 0, "\(mismatches.summary)")
  }

  @Test func sums() {
    compare({ Extended80.trySum($0, $1) }, { .add($0, $1, &$2) })
    compare({ Extended80.trySum($0, $1.negated) }, { .sub($0, $1, &$2) })
  }
  @Test func products() { compare({ Extended80.tryProduct($0, $1) }, { .mul($0, $1, &$2) }) }
  @Test func quotients() { compare({ Extended80.tryQuotient($0, $1) }, { .div($0, $1, &$2) }) }
  @Test func roots() { compare({ a, _ in Extended80.tryRoot(a) }, { a, _, e in .sqrt(a, &e) }, negativesToo: false) }

  @Test func comparisons() {
    var generator = Generator(4)
    var mismatches = Mismatches()
    for k in 0..<oracleRounds {
      var (a, b, isPlain) = Self.pair(&generator)
      if k % 5 == 0 { b = a }
      if k % 5 == 1 { b = a.negated }
      if k % 7 == 0 { b = Extended80(significand: 0, signExponent: k % 2 == 0 ? 0x8000 : 0) }
      if k % 35 == 0 { a = .zero }
      var environment = FloatEnvironment()
      let expected = Extended80.compare(a, b, signaling: true, &environment)
      guard let r = Extended80.tryCompare(a, b) else {
        if isPlain { mismatches.add("\(a) \(b): nothing") }
        continue
      }
      if r != expected || environment.flags != [] { mismatches.add("\(a) \(b): \(r), in general \(expected) \(environment.flags)") }
    }
    #expect(mismatches.count == 0, "\(mismatches.summary)")
  }

  @Test func widening() {
    var generator = Generator(6)
    var mismatches = Mismatches()
    for _ in 0..<oracleRounds {
      let (a, b) = (generator.binary32(), generator.binary64())
      var e = FloatEnvironment()
      if let r = Extended80.tryWiden(a), r != .from(a, &e) || e.flags != [] { mismatches.add("\(a)") }
      if let r = Extended80.tryWiden(b), r != .from(b, &e) || e.flags != [] { mismatches.add("\(b)") }
      if a.isZero != (Extended80.tryWiden(a)?.isZero ?? false) { mismatches.add("\(a) as zero") }
    }
    #expect(mismatches.count == 0, "\(mismatches.summary)")
  }

  @Test func narrowing() {
    var generator = Generator(8)
    var mismatches = Mismatches()
    var seen = 0
    for _ in 0..<oracleRounds {
      let (a, _, _) = Self.pair(&generator)
      var e = FloatEnvironment(), f = FloatEnvironment()
      let single = Binary32.from(a, &e), double = Binary64.from(a, &f)
      if let r = a.tryNarrow(to: Binary32.self) {
        seen += 1
        if r.0 != single || r.status != Self.status(e) { mismatches.add("\(a) to \(r), in general \(single) \(e.flags)") }
      }
      if let r = a.tryNarrow(to: Binary64.self) {
        seen += 1
        if r.0 != double || r.status != Self.status(f) { mismatches.add("\(a) to \(r), in general \(double) \(f.flags)") }
      }
    }
    #expect(mismatches.count == 0, "\(mismatches.summary)")
    #expect(seen > oracleRounds / 2)
  }

  @Test(arguments: [RoundingMode.nearestEven, .down, .up, .towardZero]) func integers(_ mode: RoundingMode) {
    var generator = Generator(9)
    var mismatches = Mismatches()
    var seen = 0
    for k in 0..<oracleRounds {
      var (a, _, _) = Self.pair(&generator)
      // Integers and halves among them.
      if k % 3 == 0 { a.significand &= ~0 << (63 - UInt64(max(0, min(62, Int(a.signExponent & 0x7FFF) - 0x3FFE)))) }
      for width in [16, 32, 64] {
        var e = FloatEnvironment(rounding: mode)
        let expected: Int64
        switch width {
        case 16: expected = Int64(a.toInt16(&e))
        case 32: expected = Int64(a.toInt32(&e))
        default: expected = a.toInt64(&e)
        }
        guard let r = a.tryInteger(width: width, mode) else { continue }
        seen += 1
        if r.0 != expected || r.status != Self.status(e) {
          mismatches.add("\(a) to \(width) bits: \(r), in general \(expected) status \(hex(UInt64(Self.status(e)), 3))")
        }
      }
    }
    #expect(mismatches.count == 0, "\(mismatches.summary)")
    #expect(seen > oracleRounds / 2)
  }
}
