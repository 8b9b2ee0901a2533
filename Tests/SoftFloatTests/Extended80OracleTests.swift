#if arch(x86_64)
  import FloatOracle
  import SoftFloat
  import Testing

  /// The x87 instructions against the host's: results, exception flags and condition codes in all rounding and precision modes,
  /// masked and unmasked. Transcendental results have tests of their own.
  @Suite struct Extended80OracleTests {
    /// What an instruction leaves behind, as far as SoftFloat decides it.
    struct Outcome {
      var st0: Extended80?
      var st1: Extended80?
      /// What is stored: bytes and value.
      var memory: (count: Int, low: UInt64, high: UInt16)?
      /// C0, C2, C3 of the status word; C1 is `roundedUp` unless given.
      var conditions: UInt16?
      var c1: Bool?
    }

    enum Operands: Sendable { case two, one, decimal, memory32, memory64, integer16, integer32, integer64, withMemory32, withMemory64, none }

    struct Case: Sendable, CustomTestStringConvertible {
      let name: String
      let oracle: Int32
      let operands: Operands
      let operation: @Sendable (_ a: Extended80, _ b: Extended80, _ memory: (low: UInt64, high: UInt16), _ environment: inout FloatEnvironment) -> Outcome
      var testDescription: String { name }

      init(
        _ name: String, _ oracle: OracleX87, _ operands: Operands,
        _ operation: @escaping @Sendable (Extended80, Extended80, (low: UInt64, high: UInt16), inout FloatEnvironment) -> Outcome
      ) {
        self.name = name
        self.oracle = Int32(oracle.rawValue)
        self.operands = operands
        self.operation = operation
      }
    }

    /// C3, C2, C0 as FCOM sets them.
    static func conditions(_ relation: FloatRelation) -> UInt16 {
      switch relation {
      case .greater: 0
      case .less: 0x0100
      case .equal: 0x4000
      case .unordered: 0x4500
      }
    }

    static func remainder(_ r: PartialRemainder) -> Outcome {
      let q = UInt16(r.quotient)
      return Outcome(st0: r.value, conditions: (q & 4) << 6 | (q & 2) << 13 | (r.incomplete ? 0x0400 : 0), c1: q & 1 != 0)
    }

    static func withMemory32(
      _ a: Extended80, _ bits: UInt64, _ dividend: Bool, _ e: inout FloatEnvironment, _ operation: (Extended80, inout FloatEnvironment) -> Extended80
    ) -> Outcome {
      let b = Extended80.memoryOperand(Binary32(bits: UInt32(truncatingIfNeeded: bits)), other: a, isDividend: dividend, &e)
      return e.unmaskedPreComputation ? Outcome() : Outcome(st0: operation(b, &e))
    }
    static func withMemory64(
      _ a: Extended80, _ bits: UInt64, _ dividend: Bool, _ e: inout FloatEnvironment, _ operation: (Extended80, inout FloatEnvironment) -> Extended80
    ) -> Outcome {
      let b = Extended80.memoryOperand(Binary64(bits: bits), other: a, isDividend: dividend, &e)
      return e.unmaskedPreComputation ? Outcome() : Outcome(st0: operation(b, &e))
    }

    static let cases: [Case] = [
      Case("FADD", ORACLE_FADD, .two) { a, b, _, e in Outcome(st0: .add(a, b, &e)) },
      Case("FSUB", ORACLE_FSUB, .two) { a, b, _, e in Outcome(st0: .sub(a, b, &e)) },
      Case("FMUL", ORACLE_FMUL, .two) { a, b, _, e in Outcome(st0: .mul(a, b, &e)) },
      Case("FDIV", ORACLE_FDIV, .two) { a, b, _, e in Outcome(st0: .div(a, b, &e)) },
      Case("FSQRT", ORACLE_FSQRT, .one) { a, _, _, e in Outcome(st0: .sqrt(a, &e)) },
      Case("FPREM", ORACLE_FPREM, .two) { a, b, _, e in remainder(Extended80.fprem(a, b, &e)) },
      Case("FPREM1", ORACLE_FPREM1, .two) { a, b, _, e in remainder(Extended80.fprem1(a, b, &e)) },
      Case("FSCALE", ORACLE_FSCALE, .two) { a, b, _, e in Outcome(st0: .scale(a, by: b, &e)) },
      Case("FXTRACT", ORACLE_FXTRACT, .one) { a, _, _, e in
        let r = Extended80.extract(a, &e)
        return Outcome(st0: r.significand, st1: r.exponent)
      },
      Case("FRNDINT", ORACLE_FRNDINT, .one) { a, _, _, e in Outcome(st0: .roundToInteger(a, &e)) },
      Case("FCOM", ORACLE_FCOM, .two) { a, b, _, e in Outcome(st0: a, conditions: conditions(Extended80.compare(a, b, signaling: true, &e))) },
      Case("FUCOM", ORACLE_FUCOM, .two) { a, b, _, e in Outcome(st0: a, conditions: conditions(Extended80.compare(a, b, signaling: false, &e))) },
      Case("FTST", ORACLE_FTST, .one) { a, _, _, e in Outcome(st0: a, conditions: conditions(Extended80.compare(a, .zero, signaling: true, &e))) },
      Case("FXAM", ORACLE_FXAM, .one) { a, _, _, _ in
        let c = UInt16(a.classification.rawValue)
        return Outcome(st0: a, conditions: (c & 4) << 12 | (c & 2) << 9 | (c & 1) << 8, c1: a.isNegative)
      },
      Case("FLDL2T", ORACLE_FLDL2T, .none) { _, _, _, e in Outcome(st0: .constant(.log2Of10, e.rounding)) },
      Case("FLDL2E", ORACLE_FLDL2E, .none) { _, _, _, e in Outcome(st0: .constant(.log2OfE, e.rounding)) },
      Case("FLDPI", ORACLE_FLDPI, .none) { _, _, _, e in Outcome(st0: .constant(.pi, e.rounding)) },
      Case("FLDLG2", ORACLE_FLDLG2, .none) { _, _, _, e in Outcome(st0: .constant(.log10Of2, e.rounding)) },
      Case("FLDLN2", ORACLE_FLDLN2, .none) { _, _, _, e in Outcome(st0: .constant(.naturalLogOf2, e.rounding)) },
      Case("FLD m32fp", ORACLE_FLD32, .memory32) { _, _, m, e in Outcome(st0: .from(Binary32(bits: UInt32(truncatingIfNeeded: m.low)), &e)) },
      Case("FLD m64fp", ORACLE_FLD64, .memory64) { _, _, m, e in Outcome(st0: .from(Binary64(bits: m.low), &e)) },
      Case("FST m32fp", ORACLE_FST32, .one) { a, _, _, e in Outcome(st0: a, memory: (4, UInt64(Binary32.from(a, &e).bits), 0)) },
      Case("FST m64fp", ORACLE_FST64, .one) { a, _, _, e in Outcome(st0: a, memory: (8, Binary64.from(a, &e).bits, 0)) },
      Case("FILD m16int", ORACLE_FILD16, .integer16) { _, _, m, _ in Outcome(st0: .from(Int16(truncatingIfNeeded: m.low))) },
      Case("FILD m32int", ORACLE_FILD32, .integer32) { _, _, m, _ in Outcome(st0: .from(Int32(truncatingIfNeeded: m.low))) },
      Case("FILD m64int", ORACLE_FILD64, .integer64) { _, _, m, _ in Outcome(st0: .from(Int64(bitPattern: m.low))) },
      Case("FISTP m16int", ORACLE_FISTP16, .one) { a, _, _, e in Outcome(memory: (2, UInt64(UInt16(bitPattern: a.toInt16(&e))), 0)) },
      Case("FISTP m32int", ORACLE_FISTP32, .one) { a, _, _, e in Outcome(memory: (4, UInt64(UInt32(bitPattern: a.toInt32(&e))), 0)) },
      Case("FISTP m64int", ORACLE_FISTP64, .one) { a, _, _, e in Outcome(memory: (8, UInt64(bitPattern: a.toInt64(&e)), 0)) },
      Case("FISTTP m16int", ORACLE_FISTTP16, .one) { a, _, _, e in Outcome(memory: (2, UInt64(UInt16(bitPattern: a.toInt16(truncate: true, &e))), 0)) },
      Case("FISTTP m32int", ORACLE_FISTTP32, .one) { a, _, _, e in Outcome(memory: (4, UInt64(UInt32(bitPattern: a.toInt32(truncate: true, &e))), 0)) },
      Case("FISTTP m64int", ORACLE_FISTTP64, .one) { a, _, _, e in Outcome(memory: (8, UInt64(bitPattern: a.toInt64(truncate: true, &e)), 0)) },
      Case("FADD m32fp", ORACLE_FADD32, .withMemory32) { a, _, m, e in withMemory32(a, m.low, false, &e) { .add(a, $0, &$1) } },
      Case("FDIV m32fp", ORACLE_FDIV32, .withMemory32) { a, _, m, e in withMemory32(a, m.low, false, &e) { .div(a, $0, &$1) } },
      Case("FDIVR m32fp", ORACLE_FDIVR32, .withMemory32) { a, _, m, e in withMemory32(a, m.low, true, &e) { .div($0, a, &$1) } },
      Case("FADD m64fp", ORACLE_FADD64, .withMemory64) { a, _, m, e in withMemory64(a, m.low, false, &e) { .add(a, $0, &$1) } },
      Case("FDIV m64fp", ORACLE_FDIV64, .withMemory64) { a, _, m, e in withMemory64(a, m.low, false, &e) { .div(a, $0, &$1) } },
      Case("FDIVR m64fp", ORACLE_FDIVR64, .withMemory64) { a, _, m, e in withMemory64(a, m.low, true, &e) { .div($0, a, &$1) } },
      Case("FCOM m32fp", ORACLE_FCOM32, .withMemory32) { a, _, m, e in
        let b = Extended80.memoryOperand(Binary32(bits: UInt32(truncatingIfNeeded: m.low)), other: a, &e)
        return Outcome(st0: a, conditions: conditions(Extended80.compare(a, b, signaling: true, &e)))
      },
      Case("FCOM m64fp", ORACLE_FCOM64, .withMemory64) { a, _, m, e in
        let b = Extended80.memoryOperand(Binary64(bits: m.low), other: a, &e)
        return Outcome(st0: a, conditions: conditions(Extended80.compare(a, b, signaling: true, &e)))
      },
      Case("FBLD", ORACLE_FBLD, .decimal) { _, _, m, _ in Outcome(st0: .from(PackedDecimal(low: m.low, high: m.high))) },
      Case("FBSTP", ORACLE_FBSTP, .one) { a, _, _, e in
        let d = a.toPackedDecimal(&e)
        return Outcome(memory: (10, d.low, d.high))
      },
    ]

    static func value(_ x: OracleExtended) -> Extended80 { Extended80(significand: x.significand, signExponent: x.signExponent) }
    static func value(_ x: Extended80) -> OracleExtended { OracleExtended(significand: x.significand, signExponent: x.signExponent) }

    static func run(_ oracle: Int32, _ a: Extended80, _ b: Extended80, _ memory: (low: UInt64, high: UInt16), _ control: UInt16) -> (OracleX87Result, low: UInt64, high: UInt16) {
      var result = OracleX87Result()
      var bytes: (UInt64, UInt64) = (memory.low, UInt64(memory.high))
      withUnsafeBytes(of: &bytes) { oracle_x87(oracle, value(a), value(b), $0.baseAddress!.assumingMemoryBound(to: UInt8.self), control, &result) }
      let (low, high) = withUnsafeBytes(of: result.memory) { ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt16.self)) }
      return (result, low, high)
    }

    @Test(arguments: cases) func agreesWithTheHost(_ test: Case) {
      var generator = Generator(UInt64(test.oracle) + 1000)
      var mismatches = Mismatches()
      for _ in 0..<oracleRounds {
        var a = generator.extended()
        let b = generator.extended(near: a)
        var memory: (low: UInt64, high: UInt16) = (0xA5A5_A5A5_A5A5_A5A5, 0xA5A5)
        switch test.operands {
        case .two, .one, .none: break
        case .decimal:
          memory = (0, UInt16(generator.below(2)) << 15 | UInt16(generator.below(10) << 4 | generator.below(10)))
          for _ in 0..<16 { memory.low = memory.low << 4 | generator.below(10) }
        case .memory32: memory.low = UInt64(generator.binary32().bits)
        case .memory64: memory.low = generator.binary64().bits
        case .integer16: memory.low = generator.integer(16)
        case .integer32: memory.low = generator.integer(32)
        case .integer64: memory.low = generator.integer(64)
        case .withMemory32:
          let m = generator.binary32()
          memory.low = UInt64(m.bits)
          if generator.below(2) == 0 { var e = FloatEnvironment(); a = .from(generator.binary32(near: m.bits), &e) }
        case .withMemory64:
          let m = generator.binary64()
          memory.low = m.bits
          if generator.below(2) == 0 { var e = FloatEnvironment(); a = .from(generator.binary64(near: m.bits), &e) }
        }
        var control = UInt16(generator.below(4) << 10) | [0x0000, 0x0200, 0x0300, 0x0300, 0x0100][Int(generator.below(5))] | 0x3F
        if generator.below(3) == 0 { control &= ~(UInt16(truncatingIfNeeded: generator.next()) & 0x3F) }
        var environment = FloatEnvironment(controlWord: control)
        let outcome = test.operation(a, b, memory, &environment)
        let (host, low, high) = Self.run(test.oracle, a, b, memory, control)

        let hostFlags = UInt8(host.status & 0x3F)
        var right = environment.flags.rawValue == hostFlags
        let stopped = environment.unmaskedPreComputation
        let postStopped = environment.unmasked.rawValue & 0x18 != 0
        var text = "flags \(hex(UInt64(environment.flags.rawValue), 2))"
        if let conditions = outcome.conditions, !stopped || test.name.contains("COM") || test.name == "FTST" {
          right = right && host.status & 0x4500 == conditions
          text += " C \(hex(UInt64(conditions), 4))"
        }
        if !stopped {
          right = right && (host.status & 0x0200 != 0) == (outcome.c1 ?? environment.roundedUp)
          text += " C1 \(outcome.c1 ?? environment.roundedUp)"
        }
        if let memory = outcome.memory {
          // An unmasked numeric exception of a store leaves memory alone; inexact is reported after storing.
          if !stopped && !postStopped {
            let mask = memory.count >= 8 ? UInt64.max : (1 << UInt64(memory.count * 8)) - 1
            right = right && low & mask == memory.low && (memory.count < 10 || high == memory.high)
            text += " memory \(hex(UInt64(memory.high), 4)):\(hex(memory.low, 16))"
          }
        } else if !stopped {
          if let st0 = outcome.st0 {
            right = right && Self.value(host.st0) == st0
            text += " ST0 \(st0)"
          }
          if let st1 = outcome.st1 {
            right = right && Self.value(host.st1) == st1
            text += " ST1 \(st1)"
          }
        }
        if !right {
          mismatches.add(
            "\(a) \(b) m \(hex(UInt64(memory.high), 4)):\(hex(memory.low, 16)) CW \(hex(UInt64(control), 4)): \(text); host flags \(hex(UInt64(hostFlags), 2)) "
              + "SW \(hex(UInt64(host.status), 4)) ST0 \(Self.value(host.st0)) ST1 \(Self.value(host.st1)) memory \(hex(UInt64(high), 4)):\(hex(low, 16))")
        }
      }
      #expect(mismatches.count == 0, "\(mismatches.summary)")
    }
  }
#endif
