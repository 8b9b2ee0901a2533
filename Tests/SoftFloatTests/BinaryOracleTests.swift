#if arch(x86_64)
  import FloatOracle
  import SoftFloat
  import Testing

  /// Binary32 and binary64 against the host's SSE unit: results and flags in all rounding modes, with FTZ, DAZ and unmasked exceptions.
  @Suite struct BinaryOracleTests {
    typealias Operation = @Sendable (_ a: UInt64, _ b: UInt64, _ c: UInt64, _ environment: inout FloatEnvironment) -> UInt64

    enum Shape: Sendable { case single, double, int32, int64, half }

    struct Case: Sendable, CustomTestStringConvertible {
      let name: String
      let oracle: Int
      let shape: Shape
      let operation: Operation
      /// Which result bits count.
      let mask: UInt64
      var testDescription: String { name }
    }

    static func single(_ name: String, _ oracle: OracleSSE, _ f: @escaping @Sendable (Binary32, Binary32, Binary32, inout FloatEnvironment) -> Binary32) -> Case {
      Case(
        name: name, oracle: Int(oracle.rawValue), shape: .single,
        operation: { UInt64(f(Binary32(bits: UInt32(truncatingIfNeeded: $0)), Binary32(bits: UInt32(truncatingIfNeeded: $1)), Binary32(bits: UInt32(truncatingIfNeeded: $2)), &$3).bits) },
        mask: 0xFFFF_FFFF)
    }
    static func double(_ name: String, _ oracle: OracleSSE, _ f: @escaping @Sendable (Binary64, Binary64, Binary64, inout FloatEnvironment) -> Binary64) -> Case {
      Case(
        name: name, oracle: Int(oracle.rawValue), shape: .double,
        operation: { f(Binary64(bits: $0), Binary64(bits: $1), Binary64(bits: $2), &$3).bits }, mask: UInt64.max)
    }
    static func fromSingle(_ name: String, _ oracle: OracleSSE, _ mask: UInt64 = 0xFFFF_FFFF, _ f: @escaping @Sendable (Binary32, inout FloatEnvironment) -> UInt64) -> Case {
      Case(name: name, oracle: Int(oracle.rawValue), shape: .single, operation: { a, _, _, e in f(Binary32(bits: UInt32(truncatingIfNeeded: a)), &e) }, mask: mask)
    }
    static func fromDouble(_ name: String, _ oracle: OracleSSE, _ mask: UInt64 = 0xFFFF_FFFF, _ f: @escaping @Sendable (Binary64, inout FloatEnvironment) -> UInt64) -> Case {
      Case(name: name, oracle: Int(oracle.rawValue), shape: .double, operation: { a, _, _, e in f(Binary64(bits: a), &e) }, mask: mask)
    }

    /// ZF, PF, CF as COMISS sets them.
    static func flags(_ relation: FloatRelation) -> UInt64 {
      switch relation {
      case .less: 4
      case .equal: 1
      case .greater: 0
      case .unordered: 7
      }
    }

    static func isInexactHidden(_ e: FloatEnvironment) -> Bool { e.flags.contains(.inexact) && e.masks.contains(.inexact) }

    static let cases: [Case] = [
      single("ADDSS", ORACLE_ADDS) { a, b, _, e in .add(a, b, &e) }, single("SUBSS", ORACLE_SUBS) { a, b, _, e in .sub(a, b, &e) },
      single("MULSS", ORACLE_MULS) { a, b, _, e in .mul(a, b, &e) }, single("DIVSS", ORACLE_DIVS) { a, b, _, e in .div(a, b, &e) },
      single("SQRTSS", ORACLE_SQRTS) { a, _, _, e in .sqrt(a, &e) },
      single("MINSS", ORACLE_MINS) { a, b, _, e in .min(a, b, &e) }, single("MAXSS", ORACLE_MAXS) { a, b, _, e in .max(a, b, &e) },
      single("VFMADDSS", ORACLE_FMADDS) { a, b, c, e in .fusedMultiplyAdd(b, a, c, &e) },
      single("VFMSUBSS", ORACLE_FMSUBS) { a, b, c, e in .fusedMultiplyAdd(b, a, c, negateAddend: true, &e) },
      single("VFNMADDSS", ORACLE_FNMADDS) { a, b, c, e in .fusedMultiplyAdd(b, a, c, negateProduct: true, &e) },
      single("VFNMSUBSS", ORACLE_FNMSUBS) { a, b, c, e in .fusedMultiplyAdd(b, a, c, negateProduct: true, negateAddend: true, &e) },
      double("ADDSD", ORACLE_ADDD) { a, b, _, e in .add(a, b, &e) }, double("SUBSD", ORACLE_SUBD) { a, b, _, e in .sub(a, b, &e) },
      double("MULSD", ORACLE_MULD) { a, b, _, e in .mul(a, b, &e) }, double("DIVSD", ORACLE_DIVD) { a, b, _, e in .div(a, b, &e) },
      double("SQRTSD", ORACLE_SQRTD) { a, _, _, e in .sqrt(a, &e) },
      double("MINSD", ORACLE_MIND) { a, b, _, e in .min(a, b, &e) }, double("MAXSD", ORACLE_MAXD) { a, b, _, e in .max(a, b, &e) },
      double("VFMADDSD", ORACLE_FMADDD) { a, b, c, e in .fusedMultiplyAdd(b, a, c, &e) },
      double("VFMSUBSD", ORACLE_FMSUBD) { a, b, c, e in .fusedMultiplyAdd(b, a, c, negateAddend: true, &e) },
      double("VFNMADDSD", ORACLE_FNMADDD) { a, b, c, e in .fusedMultiplyAdd(b, a, c, negateProduct: true, &e) },
      double("VFNMSUBSD", ORACLE_FNMSUBD) { a, b, c, e in .fusedMultiplyAdd(b, a, c, negateProduct: true, negateAddend: true, &e) },

      single("MINSS by host", ORACLE_MINS) { a, b, _, e in HostFloat.min(a, b, &e) }, double("MAXSD by host", ORACLE_MAXD) { a, b, _, e in HostFloat.max(a, b, &e) },
      fromSingle("CVTSS2SD by host", ORACLE_CVTSS2SD, UInt64.max) { (HostFloat.tryWiden($0) ?? Binary64.from($0, &$1)).bits },
      fromDouble("CVTSD2SS by host", ORACLE_CVTSD2SS) { UInt64(HostFloat.narrow($0, &$1).bits) },
      fromSingle("CVTTSS2SI by host", ORACLE_CVTTSS2SI32) {
        UInt64(UInt32(bitPattern: (isInexactHidden($1) ? HostFloat.tryTruncateToInt32($0) : nil) ?? $0.toInt32(truncate: true, &$1)))
      },
      fromDouble("CVTTSD2SI by host", ORACLE_CVTTSD2SI32) {
        UInt64(UInt32(bitPattern: (isInexactHidden($1) ? HostFloat.tryTruncateToInt32($0) : nil) ?? $0.toInt32(truncate: true, &$1)))
      },
      fromDouble("CVTTSD2SI r64 by host", ORACLE_CVTTSD2SI64, UInt64.max) {
        UInt64(bitPattern: (isInexactHidden($1) ? HostFloat.tryTruncateToInt64($0) : nil) ?? $0.toInt64(truncate: true, &$1))
      },
      Case(name: "CVTSI2SD by host", oracle: Int(ORACLE_CVTSI2SD32.rawValue), shape: .int32, operation: { a, _, _, _ in HostFloat.widen(Int32(truncatingIfNeeded: a)).bits }, mask: UInt64.max),
      Case(name: "CVTSI2SS r64 by host", oracle: Int(ORACLE_CVTSI2SS64.rawValue), shape: .int64, operation: { UInt64(HostFloat.single(Int64(bitPattern: $0), &$3).bits) }, mask: 0xFFFF_FFFF),
      Case(name: "CVTSI2SD r64 by host", oracle: Int(ORACLE_CVTSI2SD64.rawValue), shape: .int64, operation: { HostFloat.double(Int64(bitPattern: $0), &$3).bits }, mask: UInt64.max),
      single("ADDSS by host", ORACLE_ADDS) { a, b, _, e in HostFloat.add(a, b, &e) }, single("SUBSS by host", ORACLE_SUBS) { a, b, _, e in HostFloat.sub(a, b, &e) },
      single("MULSS by host", ORACLE_MULS) { a, b, _, e in HostFloat.mul(a, b, &e) }, single("DIVSS by host", ORACLE_DIVS) { a, b, _, e in HostFloat.div(a, b, &e) },
      single("SQRTSS by host", ORACLE_SQRTS) { a, _, _, e in HostFloat.sqrt(a, &e) },
      double("ADDSD by host", ORACLE_ADDD) { a, b, _, e in HostFloat.add(a, b, &e) }, double("SUBSD by host", ORACLE_SUBD) { a, b, _, e in HostFloat.sub(a, b, &e) },
      double("MULSD by host", ORACLE_MULD) { a, b, _, e in HostFloat.mul(a, b, &e) }, double("DIVSD by host", ORACLE_DIVD) { a, b, _, e in HostFloat.div(a, b, &e) },
      double("SQRTSD by host", ORACLE_SQRTD) { a, _, _, e in HostFloat.sqrt(a, &e) },

      Case(name: "COMISS", oracle: Int(ORACLE_COMIS.rawValue), shape: .single, operation: { flags(Binary32.compare(Binary32(bits: UInt32($0)), Binary32(bits: UInt32($1)), signaling: true, &$3)) }, mask: 7),
      Case(name: "UCOMISS", oracle: Int(ORACLE_UCOMIS.rawValue), shape: .single, operation: { flags(Binary32.compare(Binary32(bits: UInt32($0)), Binary32(bits: UInt32($1)), signaling: false, &$3)) }, mask: 7),
      Case(name: "COMISS by host", oracle: Int(ORACLE_COMIS.rawValue), shape: .single, operation: { flags(HostFloat.compare(Binary32(bits: UInt32($0)), Binary32(bits: UInt32($1)), signaling: true, &$3)) }, mask: 7),
      Case(name: "COMISD", oracle: Int(ORACLE_COMID.rawValue), shape: .double, operation: { flags(Binary64.compare(Binary64(bits: $0), Binary64(bits: $1), signaling: true, &$3)) }, mask: 7),
      Case(name: "UCOMISD", oracle: Int(ORACLE_UCOMID.rawValue), shape: .double, operation: { flags(Binary64.compare(Binary64(bits: $0), Binary64(bits: $1), signaling: false, &$3)) }, mask: 7),
      Case(name: "UCOMISD by host", oracle: Int(ORACLE_UCOMID.rawValue), shape: .double, operation: { flags(HostFloat.compare(Binary64(bits: $0), Binary64(bits: $1), signaling: false, &$3)) }, mask: 7),

      fromSingle("CVTSS2SD", ORACLE_CVTSS2SD, UInt64.max) { Binary64.from($0, &$1).bits },
      fromDouble("CVTSD2SS", ORACLE_CVTSD2SS) { UInt64(Binary32.from($0, &$1).bits) },
      Case(name: "CVTSI2SS", oracle: Int(ORACLE_CVTSI2SS32.rawValue), shape: .int32, operation: { UInt64(Binary32.from(Int32(truncatingIfNeeded: $0), &$3).bits) }, mask: 0xFFFF_FFFF),
      Case(name: "CVTSI2SS r64", oracle: Int(ORACLE_CVTSI2SS64.rawValue), shape: .int64, operation: { UInt64(Binary32.from(Int64(bitPattern: $0), &$3).bits) }, mask: 0xFFFF_FFFF),
      Case(name: "CVTSI2SD", oracle: Int(ORACLE_CVTSI2SD32.rawValue), shape: .int32, operation: { Binary64.from(Int32(truncatingIfNeeded: $0), &$3).bits }, mask: UInt64.max),
      Case(name: "CVTSI2SD r64", oracle: Int(ORACLE_CVTSI2SD64.rawValue), shape: .int64, operation: { Binary64.from(Int64(bitPattern: $0), &$3).bits }, mask: UInt64.max),
      fromSingle("CVTSS2SI", ORACLE_CVTSS2SI32) { UInt64(UInt32(bitPattern: $0.toInt32(&$1))) },
      fromSingle("CVTSS2SI r64", ORACLE_CVTSS2SI64, UInt64.max) { UInt64(bitPattern: $0.toInt64(&$1)) },
      fromSingle("CVTTSS2SI", ORACLE_CVTTSS2SI32) { UInt64(UInt32(bitPattern: $0.toInt32(truncate: true, &$1))) },
      fromSingle("CVTTSS2SI r64", ORACLE_CVTTSS2SI64, UInt64.max) { UInt64(bitPattern: $0.toInt64(truncate: true, &$1)) },
      fromDouble("CVTSD2SI", ORACLE_CVTSD2SI32) { UInt64(UInt32(bitPattern: $0.toInt32(&$1))) },
      fromDouble("CVTSD2SI r64", ORACLE_CVTSD2SI64, UInt64.max) { UInt64(bitPattern: $0.toInt64(&$1)) },
      fromDouble("CVTTSD2SI", ORACLE_CVTTSD2SI32) { UInt64(UInt32(bitPattern: $0.toInt32(truncate: true, &$1))) },
      fromDouble("CVTTSD2SI r64", ORACLE_CVTTSD2SI64, UInt64.max) { UInt64(bitPattern: $0.toInt64(truncate: true, &$1)) },
      fromSingle("ROUNDSS by MXCSR", ORACLE_ROUNDSS_MXCSR) { UInt64(Binary32.roundToIntegral($0, $1.rounding, &$1).bits) },
      fromSingle("ROUNDSS nearest", ORACLE_ROUNDSS_0) { UInt64(Binary32.roundToIntegral($0, .nearestEven, &$1).bits) },
      fromSingle("ROUNDSS down", ORACLE_ROUNDSS_1) { UInt64(Binary32.roundToIntegral($0, .down, &$1).bits) },
      fromSingle("ROUNDSS up", ORACLE_ROUNDSS_2) { UInt64(Binary32.roundToIntegral($0, .up, &$1).bits) },
      fromSingle("ROUNDSS truncated", ORACLE_ROUNDSS_3) { UInt64(Binary32.roundToIntegral($0, .towardZero, &$1).bits) },
      fromSingle("ROUNDSS quiet", ORACLE_ROUNDSS_QUIET) { UInt64(Binary32.roundToIntegral($0, $1.rounding, suppressInexact: true, &$1).bits) },
      fromDouble("ROUNDSD by MXCSR", ORACLE_ROUNDSD_MXCSR, UInt64.max) { Binary64.roundToIntegral($0, $1.rounding, &$1).bits },
      fromDouble("ROUNDSD nearest", ORACLE_ROUNDSD_0, UInt64.max) { Binary64.roundToIntegral($0, .nearestEven, &$1).bits },
      fromDouble("ROUNDSD quiet", ORACLE_ROUNDSD_QUIET, UInt64.max) { Binary64.roundToIntegral($0, $1.rounding, suppressInexact: true, &$1).bits },
      Case(name: "VCVTPH2PS", oracle: Int(ORACLE_CVTPH2PS.rawValue), shape: .half, operation: { UInt64(Binary32.from(Binary16(bits: UInt16($0)), &$3).bits) }, mask: 0xFFFF_FFFF),
      fromSingle("VCVTPS2PH by MXCSR", ORACLE_CVTPS2PH_MXCSR, 0xFFFF) { UInt64(Binary16.from($0, $1.rounding, &$1).bits) },
      fromSingle("VCVTPS2PH down", ORACLE_CVTPS2PH_1, 0xFFFF) { UInt64(Binary16.from($0, .down, &$1).bits) },
    ]

    @Test(arguments: cases) func agreesWithTheHost(_ test: Case) {
      var generator = Generator(UInt64(test.oracle) + 1)
      var mismatches = Mismatches()
      for round in 0..<oracleRounds {
        let operands: (UInt64, UInt64, UInt64)
        switch test.shape {
        case .single:
          let a = generator.binary32()
          let b = generator.binary32(near: a.bits)
          operands = (UInt64(a.bits), UInt64(b.bits), UInt64(generator.binary32(near: generator.below(2) == 0 ? b.bits : nil).bits))
        case .double:
          let a = generator.binary64()
          let b = generator.binary64(near: a.bits)
          operands = (a.bits, b.bits, generator.binary64(near: generator.below(2) == 0 ? b.bits : nil).bits)
        case .int32: operands = (generator.integer(32) & 0xFFFF_FFFF, 0, 0)
        case .int64: operands = (generator.integer(64), 0, 0)
        case .half: operands = (round < 65536 ? UInt64(generator.binary16().bits) : 0, 0, 0)
        }
        // Everything masked most of the time: an unmasked exception costs a signal.
        var mxcsr = UInt32(truncatingIfNeeded: generator.below(4) << 13) | 0x1F80
        if round % 3 == 1 { mxcsr |= UInt32(truncatingIfNeeded: generator.next()) & 0x8040 }
        if round % 3 == 2 { mxcsr |= 0x20 }
        if round % 50 == 0 { mxcsr &= ~(UInt32(truncatingIfNeeded: generator.next()) & 0x1F80) }
        var environment = FloatEnvironment(mxcsr: mxcsr)
        if HostFloat.isUsable(environment) != HostFloat.isUsable(mxcsr: mxcsr) { mismatches.add("isUsable of MXCSR \(hex(UInt64(mxcsr), 4))") }
        let result = test.operation(operands.0, operands.1, operands.2, &environment) & test.mask
        var flags: UInt32 = 0
        let expected = oracle_sse(Int32(test.oracle), operands.0, operands.1, operands.2, mxcsr, &flags) & test.mask
        let trapped = flags & ~(mxcsr >> 7) & 0x3F != 0
        if UInt32(environment.flags.rawValue) != flags || (!trapped && result != expected) {
          mismatches.add(
            "\(hex(operands.0, 16)) \(hex(operands.1, 16)) \(hex(operands.2, 16)) MXCSR \(hex(UInt64(mxcsr), 4)): \(hex(result, 16)) flags "
              + "\(hex(UInt64(environment.flags.rawValue), 2)), host \(hex(expected, 16)) flags \(hex(UInt64(flags), 2))")
        }
      }
      #expect(mismatches.count == 0, "\(mismatches.summary)")
    }
  }
#endif
