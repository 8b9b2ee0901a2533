#if arch(x86_64)
  import FloatOracle
  import SoftFloat
  import Testing

  /// The transcendental instructions against the host's. Results may differ in the last place, which the architecture leaves open; flags,
  /// special cases and condition codes may not.
  @Suite struct TranscendentalOracleTests {
    struct Outcome {
      var st0: Extended80
      var st1: Extended80?
      var outOfRange = false
    }

    struct Case: Sendable, CustomTestStringConvertible {
      let name: String
      let oracle: Int32
      /// Biased exponents of the operands that are in the instruction's domain; special encodings are tried everywhere.
      let exponents: ClosedRange<UInt64>
      let operation: @Sendable (_ a: Extended80, _ b: Extended80, _ environment: inout FloatEnvironment) -> Outcome
      var testDescription: String { name }
    }

    static let cases: [Case] = [
      Case(name: "F2XM1", oracle: Int32(ORACLE_F2XM1.rawValue), exponents: 0...0x3FFE) { a, _, e in Outcome(st0: .f2xm1(a, &e)) },
      Case(name: "FYL2X", oracle: Int32(ORACLE_FYL2X.rawValue), exponents: 0...0x7FFE) { a, b, e in Outcome(st0: .fyl2x(x: a, y: b, &e)) },
      Case(name: "FYL2XP1", oracle: Int32(ORACLE_FYL2XP1.rawValue), exponents: 0...0x3FFC) { a, b, e in Outcome(st0: .fyl2xp1(x: a, y: b, &e)) },
      Case(name: "FPATAN", oracle: Int32(ORACLE_FPATAN.rawValue), exponents: 0...0x7FFE) { a, b, e in Outcome(st0: .fpatan(y: b, x: a, &e)) },
      Case(name: "FSIN", oracle: Int32(ORACLE_FSIN.rawValue), exponents: 0...0x403F) { a, _, e in
        let r = Extended80.fsin(a, &e)
        return Outcome(st0: r.value, outOfRange: r.outOfRange)
      },
      Case(name: "FCOS", oracle: Int32(ORACLE_FCOS.rawValue), exponents: 0...0x403F) { a, _, e in
        let r = Extended80.fcos(a, &e)
        return Outcome(st0: r.value, outOfRange: r.outOfRange)
      },
      Case(name: "FSINCOS", oracle: Int32(ORACLE_FSINCOS.rawValue), exponents: 0...0x403F) { a, _, e in
        let r = Extended80.fsincos(a, &e)
        return r.outOfRange ? Outcome(st0: r.value, outOfRange: true) : Outcome(st0: r.pushed, st1: r.value)
      },
      Case(name: "FPTAN", oracle: Int32(ORACLE_FPTAN.rawValue), exponents: 0...0x403F) { a, _, e in
        let r = Extended80.fptan(a, &e)
        return r.outOfRange ? Outcome(st0: r.value, outOfRange: true) : Outcome(st0: r.pushed, st1: r.value)
      },
    ]

    static func value(_ x: OracleExtended) -> Extended80 { Extended80(significand: x.significand, signExponent: x.signExponent) }

    /// Whether two results are the same or neighbours.
    static func near(_ a: Extended80, _ b: Extended80) -> Bool {
      if a == b { return true }
      guard a.isNegative == b.isNegative, !a.isNaN, !b.isNaN, !a.isInfinity, !b.isInfinity else { return false }
      func position(_ x: Extended80) -> Int64 { Int64(x.significand & 0x7FFF_FFFF_FFFF_FFFF) }
      let step = Int(a.biasedExponent) - Int(b.biasedExponent)
      if step == 0 { return abs(position(a) - position(b)) <= 1 }
      return step == 1 && a.significand << 1 == 0 && b.significand == UInt64.max || step == -1 && b.significand << 1 == 0 && a.significand == UInt64.max
    }

    @Test(arguments: cases) func agreesWithTheHost(_ test: Case) {
      var generator = Generator(UInt64(test.oracle) + 5000)
      var mismatches = Mismatches()
      for _ in 0..<oracleRounds {
        var a = generator.extended()
        let b = generator.extended(near: a)
        if a.isOrdinaryNumber, !test.exponents.contains(UInt64(a.biasedExponent)) || generator.below(2) == 0 {
          let span = min(test.exponents.upperBound - test.exponents.lowerBound, 80)
          let top = min(test.exponents.upperBound, 0x3FFF + 66)
          a.signExponent = a.signExponent & 0x8000 | UInt16(top - generator.below(span + 1))
          if a.biasedExponent == 0 { a.signExponent |= 1 }
        }
        var control = UInt16(generator.below(4) << 10) | [0x0000, 0x0200, 0x0300][Int(generator.below(3))] | 0x3F
        if generator.below(4) == 0 { control &= ~(UInt16(truncatingIfNeeded: generator.next()) & 0x3F) }
        var environment = FloatEnvironment(controlWord: control)
        let outcome = test.operation(a, b, &environment)
        let (host, _, _) = Extended80OracleTests.run(test.oracle, a, b, (0, 0), control)
        let hostFlags = UInt8(host.status & 0x3F)
        let hostST0 = Self.value(host.st0)
        let hostST1 = Self.value(host.st1)
        var right = environment.flags.rawValue == hostFlags && (host.status & 0x0400 != 0) == outcome.outOfRange
        if !environment.unmaskedPreComputation {
          right = right && Self.near(hostST0, outcome.st0)
          if let st1 = outcome.st1 { right = right && Self.near(hostST1, st1) }
        }
        if !right {
          mismatches.add(
            "\(a) \(b) CW \(hex(UInt64(control), 4)): ST0 \(outcome.st0) ST1 \(outcome.st1?.description ?? "") flags \(hex(UInt64(environment.flags.rawValue), 2)) C1 \(environment.roundedUp); "
              + "host SW \(hex(UInt64(host.status), 4)) ST0 \(hostST0) ST1 \(hostST1)")
        }
      }
      #expect(mismatches.count == 0, "\(mismatches.summary)")
    }
  }

  extension Extended80 {
    var isOrdinaryNumber: Bool { classification == .normal }
  }
#endif
