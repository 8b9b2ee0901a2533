import SoftFloat
import Testing

/// What can be said on any host: Swift's own arithmetic to nearest even, and identities between rounding modes.
@Suite struct PortableTests {
  static func same(_ a: Binary64, _ b: Double) -> Bool { a.isNaN ? b.isNaN : a.bits == b.bitPattern }
  static func same(_ a: Binary32, _ b: Float) -> Bool { a.isNaN ? b.isNaN : a.bits == b.bitPattern }

  @Test func nearestEvenIsSwiftsOwnArithmetic() {
    var generator = Generator(1)
    var mismatches = Mismatches()
    for _ in 0..<20_000 {
      let a = generator.binary64()
      let b = generator.binary64(near: a.bits)
      let c = generator.binary64(near: b.bits)
      let (x, y, z) = (Double(bitPattern: a.bits), Double(bitPattern: b.bits), Double(bitPattern: c.bits))
      var e = FloatEnvironment()
      let right =
        Self.same(.add(a, b, &e), x + y) && Self.same(.sub(a, b, &e), x - y) && Self.same(.mul(a, b, &e), x * y) && Self.same(.div(a, b, &e), x / y)
        && Self.same(.sqrt(a, &e), x.squareRoot()) && Self.same(.fusedMultiplyAdd(a, b, c, &e), z.addingProduct(x, y))
        && Self.same(Binary32.from(a, &e), Float(x)) && Self.same(.roundToIntegral(a, .nearestEven, &e), x.rounded(.toNearestOrEven))
        && Self.same(.roundToIntegral(a, .up, &e), x.rounded(.up))
      if !right { mismatches.add("\(hex(a.bits, 16)) \(hex(b.bits, 16)) \(hex(c.bits, 16))") }
      let f = generator.binary32()
      let g = generator.binary32(near: f.bits)
      let (u, v) = (Float(bitPattern: f.bits), Float(bitPattern: g.bits))
      let rightToo =
        Self.same(.add(f, g, &e), u + v) && Self.same(.sub(f, g, &e), u - v) && Self.same(.mul(f, g, &e), u * v) && Self.same(.div(f, g, &e), u / v)
        && Self.same(.sqrt(f, &e), u.squareRoot()) && Self.same(Binary64.from(f, &e), Double(u))
      if !rightToo { mismatches.add("\(hex(UInt64(f.bits), 8)) \(hex(UInt64(g.bits), 8))") }
    }
    #expect(mismatches.count == 0, "\(mismatches.summary)")
  }

  /// Up is down mirrored; the two are equal or neighbours, different exactly if the result is inexact; truncation is the one nearer zero;
  /// nearest is one of them.
  @Test func directedRoundingsEncloseTheResult() {
    var generator = Generator(2)
    let operations: [@Sendable (Binary64, Binary64, inout FloatEnvironment) -> Binary64] = [
      { .add($0, $1, &$2) }, { .mul($0, $1, &$2) }, { .div($0, $1, &$2) }, { .fusedMultiplyAdd($0, $1, $0, &$2) },
    ]
    for operation in operations {
      for _ in 0..<5_000 {
        let a = generator.binary64()
        let b = generator.binary64(near: a.bits)
        func run(_ a: Binary64, _ b: Binary64, _ mode: RoundingMode) -> (Double, FloatFlags) {
          var e = FloatEnvironment(rounding: mode)
          return (Double(bitPattern: operation(a, b, &e).bits), e.flags)
        }
        let (down, flags) = run(a, b, .down)
        let (up, _) = run(a, b, .up)
        let (zero, _) = run(a, b, .towardZero)
        let (nearest, _) = run(a, b, .nearestEven)
        if down.isNaN {
          #expect(up.isNaN && zero.isNaN && nearest.isNaN)
          continue
        }
        #expect(flags.contains(.inexact) ? down.nextUp == up : down == up)
        #expect(zero == (down > 0 || (down == 0 && up > 0) ? down : up))
        #expect(nearest == down || nearest == up)
      }
    }
  }

  @Test func precisionControlGivesTheNarrowerFormatsResults() {
    var generator = Generator(3)
    for _ in 0..<20_000 {
      // Exponents away from the limits: the register keeps its 15-bit exponent.
      let x = Double(bitPattern: (generator.next() & 0x801F_FFFF_FFFF_FFFF) | (0x3E0 + generator.below(64)) << 52)
      let y = Double(bitPattern: (generator.next() & 0x801F_FFFF_FFFF_FFFF) | (0x3E0 + generator.below(64)) << 52)
      var e = FloatEnvironment(precision: .double)
      let a = Extended80.from(Binary64(bits: x.bitPattern), &e)
      let b = Extended80.from(Binary64(bits: y.bitPattern), &e)
      #expect(Binary64.from(.add(a, b, &e), &e).bits == (x + y).bitPattern)
      #expect(Binary64.from(.sub(a, b, &e), &e).bits == (x - y).bitPattern)
      #expect(Binary64.from(.mul(a, b, &e), &e).bits == (x * y).bitPattern)
      #expect(Binary64.from(.div(a, b, &e), &e).bits == (x / y).bitPattern)
      let m = Extended80.fprem(a, b, &e)
      if !m.incomplete { #expect(Binary64.from(m.value, &e).bits == x.truncatingRemainder(dividingBy: y).bitPattern) }
      let n = Extended80.fprem1(a, b, &e)
      if !n.incomplete { #expect(Binary64.from(n.value, &e).bits == x.remainder(dividingBy: y).bitPattern) }
    }
  }

  @Test func packedDecimalsRoundTrip() {
    var generator = Generator(4)
    for _ in 0..<5_000 {
      var low: UInt64 = 0
      for _ in 0..<16 { low = low << 4 | generator.below(10) }
      let decimal = PackedDecimal(low: low, high: UInt16(generator.below(10) << 4 | generator.below(10) | generator.below(2) << 15))
      var e = FloatEnvironment()
      #expect(Extended80.from(decimal).toPackedDecimal(&e) == decimal)
      #expect(e.flags == [])
    }
    var e = FloatEnvironment()
    // 10^18 has 19 digits.
    #expect(Extended80.from(Int64(1_000_000_000_000_000_000)).toPackedDecimal(&e) == .indefinite)
    #expect(e.flags == .invalid)
  }

  @Test func environmentsFromControlWords() {
    let sse = FloatEnvironment(mxcsr: 0xFFC5)
    #expect(sse.rounding == .towardZero && sse.flushToZero && sse.denormalsAreZero && sse.masks == .all && sse.flags == [.invalid, .divideByZero])
    let x87 = FloatEnvironment(controlWord: 0x067E)
    #expect(x87.rounding == .down && x87.precision == .double && x87.masks == FloatFlags.all.subtracting(.invalid) && !x87.flushToZero)
    #expect(FloatEnvironment(controlWord: 0x017F).precision == .extended)
  }

  @Test func packedInstructionsDropLaterExceptionsAfterAnUnmaskedEarlierOne() {
    let raised: FloatFlags = [.divideByZero, .inexact, .overflow]
    #expect(raised.settled(masks: .all) == raised)
    #expect(raised.settled(masks: FloatFlags.all.subtracting(.inexact)) == raised)
    #expect(raised.settled(masks: FloatFlags.all.subtracting(.divideByZero)) == .divideByZero)
  }

  /// The environment's flags are sticky: an exact operation leaves them, whatever path it takes.
  @Test func flagsStick() {
    var e = FloatEnvironment(flags: .invalid)
    _ = Binary64.add(Binary64(bits: 1.0.bitPattern), Binary64(bits: 2.0.bitPattern), &e)
    _ = Binary32.from(.one, &e)
    _ = Extended80.mul(.one, .one, &e)
    #expect(e.flags == .invalid)
  }

  /// No operand, in or out of an instruction's domain, does anything but give a well-formed result.
  @Test func everyInstructionTakesEveryOperand() {
    var generator = Generator(5)
    func wellFormed(_ x: Extended80) -> Bool { !x.isUnsupported && !x.isSignalingNaN && !(x.biasedExponent == 0 && x.significand >> 63 != 0) }
    for _ in 0..<oracleRounds {
      let a = generator.extended()
      let b = generator.extended(near: generator.below(2) == 0 ? a : nil)
      var e = FloatEnvironment(controlWord: UInt16(truncatingIfNeeded: generator.next()))
      let results: [Extended80] = [
        .add(a, b, &e), .sub(a, b, &e), .mul(a, b, &e), .div(a, b, &e), .sqrt(a, &e), .scale(a, by: b, &e), .roundToInteger(a, &e),
        Extended80.fprem(a, b, &e).value, Extended80.fprem1(a, b, &e).value, Extended80.extract(a, &e).significand, .fyl2x(x: a, y: b, &e),
        .fyl2xp1(x: a, y: b, &e), .f2xm1(a, &e), .fpatan(y: a, x: b, &e), Extended80.fsin(a, &e).value, Extended80.fcos(a, &e).value,
        Extended80.fptan(a, &e).value,
        .from(PackedDecimal(low: generator.next(), high: UInt16(truncatingIfNeeded: generator.next()))),
      ]
      // An instruction stopped by an unmasked exception, or one that leaves its operand alone, may hand back what it was given.
      #expect(results.allSatisfy { wellFormed($0) || $0 == a || $0 == b }, "\(a) \(b)")
      #expect(e.flags.rawValue < 64)
      _ = a.toInt64(&e)
      _ = a.toPackedDecimal(&e)
      _ = Binary32.from(a, &e)
    }
  }
}
