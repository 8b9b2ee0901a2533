import SoftFloat
import Testing

/// Host arithmetic before inexact was flagged: it must find out by itself what is exact.
@Suite struct HostFloatTests {
  /// Compares an operation with the software's in result and flags, inexact unflagged and everything masked; most operands must be
  /// such that both exact and inexact results come up.
  private func compare<F: HostFormat>(
    _ operands: (inout Generator) -> (F, F), _ host: (F, F, inout FloatEnvironment) -> F, _ software: (F, F, inout FloatEnvironment) -> F
  ) {
    var generator = Generator(77)
    var mismatches = Mismatches()
    var exact = 0, inexact = 0
    for _ in 0..<oracleRounds {
      let (a, b) = operands(&generator)
      var first = FloatEnvironment(), second = FloatEnvironment()
      let (r, expected) = (host(a, b, &first), software(a, b, &second))
      if r != expected || first.flags != second.flags { mismatches.add("\(a) \(b): \(r) \(first.flags), software \(expected) \(second.flags)") }
      if second.flags == .inexact { inexact += 1 }
      if second.flags == [] { exact += 1 }
    }
    #expect(mismatches.count == 0, "\(mismatches.summary)")
    #expect(exact > oracleRounds / 20 && inexact > oracleRounds / 20)
  }

  /// Few significant bits and exponents close together, so that many results are exact.
  private static func doubles(_ g: inout Generator) -> (Binary64, Binary64) {
    if g.below(3) == 0 {
      let a = g.binary64()
      return (a, g.binary64(near: a.bits))
    }
    func short() -> Binary64 {
      let fraction = (g.next() << (64 - g.below(54))) >> 12
      return Binary64(bits: g.below(2) << 63 | (1000 + g.below(50)) << 52 | fraction)
    }
    return (short(), short())
  }
  private static func singles(_ g: inout Generator) -> (Binary32, Binary32) {
    if g.below(3) == 0 {
      let a = g.binary32()
      return (a, g.binary32(near: a.bits))
    }
    func short() -> Binary32 {
      let fraction = UInt32(truncatingIfNeeded: (g.next() << (64 - g.below(25))) >> 41)
      return Binary32(bits: UInt32(g.below(2)) << 31 | UInt32(115 + g.below(20)) << 23 | fraction)
    }
    return (short(), short())
  }
  /// Dividends that are products, radicands that are squares, as often as not.
  private static func multiples(_ g: inout Generator) -> (Binary64, Binary64) {
    let (a, b) = doubles(&g)
    let product = Binary64(host: a.host * b.host)
    return g.below(2) == 0 && !product.isNaN ? (product, b) : (a, b)
  }
  private static func multiplesSingle(_ g: inout Generator) -> (Binary32, Binary32) {
    let (a, b) = singles(&g)
    let product = Binary32(host: a.host * b.host)
    return g.below(2) == 0 && !product.isNaN ? (product, b) : (a, b)
  }
  private static func squares(_ g: inout Generator) -> (Binary64, Binary64) {
    let (a, b) = doubles(&g)
    return g.below(2) == 0 ? (Binary64(host: a.host * a.host), b) : (Binary64(host: a.host.magnitude), b)
  }

  @Test func sums() {
    compare(Self.doubles, { HostFloat.add($0, $1, &$2) }, { Binary64.add($0, $1, &$2) })
    compare(Self.singles, { HostFloat.add($0, $1, &$2) }, { Binary32.add($0, $1, &$2) })
    compare(Self.doubles, { HostFloat.sub($0, $1, &$2) }, { Binary64.sub($0, $1, &$2) })
    compare(Self.singles, { HostFloat.sub($0, $1, &$2) }, { Binary32.sub($0, $1, &$2) })
  }

  @Test func products() {
    compare(Self.doubles, { HostFloat.mul($0, $1, &$2) }, { Binary64.mul($0, $1, &$2) })
    compare(Self.singles, { HostFloat.mul($0, $1, &$2) }, { Binary32.mul($0, $1, &$2) })
  }

  @Test func quotientsAndRoots() {
    compare(Self.multiples, { HostFloat.div($0, $1, &$2) }, { Binary64.div($0, $1, &$2) })
    compare(Self.multiplesSingle, { HostFloat.div($0, $1, &$2) }, { Binary32.div($0, $1, &$2) })
    compare(Self.squares, { a, _, e in HostFloat.sqrt(a, &e) }, { a, _, e in Binary64.sqrt(a, &e) })
  }

  @Test func conversions() {
    var generator = Generator(5)
    var mismatches = Mismatches()
    for _ in 0..<oracleRounds {
      let value = Int64(bitPattern: generator.integer(64))
      var e = [FloatEnvironment](repeating: FloatEnvironment(), count: 6)
      if HostFloat.single(value, &e[0]) != Binary32.from(value, &e[1]) || e[0].flags != e[1].flags { mismatches.add("\(value) to single") }
      if HostFloat.double(value, &e[2]) != Binary64.from(value, &e[3]) || e[2].flags != e[3].flags { mismatches.add("\(value) to double") }
      let (a, _) = Self.doubles(&generator)
      if HostFloat.narrow(a, &e[4]) != Binary32.from(a, &e[5]) || e[4].flags != e[5].flags { mismatches.add("\(a) to single") }
    }
    #expect(mismatches.count == 0, "\(mismatches.summary)")
  }
}
