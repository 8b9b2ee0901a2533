// FPATAN. Precision as in Extended80+Logarithm.swift: computed to about 2^-120 with π to 128 bits, rounded once.

extension Extended80 {
  /// FPATAN: the angle of the point (x, y), x being ST(0) and y ST(1), from −π to π (SDM vol. 2 table 3-31).
  @inline(never) public static func fpatan(y: Extended80, x: Extended80, _ environment: inout FloatEnvironment) -> Extended80 {
    environment.roundedUp = false
    if let result = nonNumber(y, x, &environment) { return result }
    if stopsAtDenormal(y, x, &environment) { return y }
    if y.isInfinity || x.isInfinity {
      if !y.isInfinity {
        return x.isNegative ? inexact(y.isNegative, .pi, &environment) : zero(negative: y.isNegative)
      }
      if !x.isInfinity { return inexact(y.isNegative, .halfPi, &environment) }
      let angle: WideFloat = x.isNegative ? WideFloat.pi.combined(.quarterPi, subtracting: true) : .quarterPi
      return inexact(y.isNegative, angle, &environment)
    }
    if y.isZero {
      return x.isNegative ? inexact(y.isNegative, .pi, &environment) : zero(negative: y.isNegative)
    }
    if x.isZero { return inexact(y.isNegative, .halfPi, &environment) }

    let v = y.unpacked
    let u = x.unpacked
    let steep = v.exponent > u.exponent || (v.exponent == u.exponent && v.significand > u.significand)
    let small = steep ? u : v
    let big = steep ? v : u
    var angle = atanOfRatio(small, big)
    // With the operands exchanged or x negative the angle counts from the other axis; a vanishing one leaves that axis, never passes it.
    if steep { angle = WideFloat.halfPi.combined(angle, subtracting: !u.negative) } else if u.negative {
      angle = WideFloat.pi.combined(angle, subtracting: true)
    }
    return inexact(v.negative, angle, &environment)
  }

  /// atan(small/big) for magnitudes with small ≤ big.
  @inline(__always) private static func atanOfRatio(_ small: Unpacked, _ big: Unpacked) -> WideFloat {
    let distance = big.exponent &- small.exponent
    var sixteenths = 0
    if distance < 6 {
      // Only a choice of expansion point: its rounding does not matter.
      let ratio = Double(small.significand) / (Double(big.significand) * Double(1 &<< distance))
      sixteenths = Int(ratio * 16.0 + 0.5)
    }
    if sixteenths == 0 {
      var t = WideFloat.quotient(wide(0, small.significand), wide(0, big.significand))
      t.exponent &-= distance
      return atanSeries(t)
    }
    // atan t = atan c + atan((t − c)/(1 + t·c)) with c = i/16, in integers.
    let i = UInt128(truncatingIfNeeded: sixteenths)
    let s = wide(0, small.significand)
    let b = wide(0, big.significand) &<< UInt128(truncatingIfNeeded: distance)
    let atanC = WideFloat(exponent: 0, bits: Coefficients.arctangentOfSixteenths[sixteenths])
    let near = s &* 16
    let far = b &* i
    if near == far { return atanC }
    let below = near < far
    let t = WideFloat.quotient(below ? far &- near : near &- far, b &* 16 &+ s &* i)
    return atanC.combined(atanSeries(t), subtracting: below)
  }

  /// atan t for t ≤ 1/32.
  @inline(__always) private static func atanSeries(_ t: WideFloat) -> WideFloat {
    t.times(WideFloat(exponent: 0, bits: polynomial(Coefficients.arctangent, t.times(t).fraction, alternating: true)))
  }
}
