import Testing

@testable import SoftFloat

/// A nonnegative fixed-point number of 64 integer and 256 fraction bits, for computing constants from their definitions.
struct Fixed: Comparable {
  /// Least significant first, 32 bits each; the last two are the integer part.
  var limbs = [UInt64](repeating: 0, count: 10)

  init(_ integer: UInt64) {
    limbs[8] = integer & 0xFFFF_FFFF
    limbs[9] = integer >> 32
  }

  static func + (a: Fixed, b: Fixed) -> Fixed {
    var r = a
    var carry: UInt64 = 0
    for i in 0..<10 {
      let s = a.limbs[i] + b.limbs[i] + carry
      r.limbs[i] = s & 0xFFFF_FFFF
      carry = s >> 32
    }
    return r
  }

  static func - (a: Fixed, b: Fixed) -> Fixed {
    var r = a
    var borrow: UInt64 = 0
    for i in 0..<10 {
      let s = a.limbs[i] &- b.limbs[i] &- borrow
      r.limbs[i] = s & 0xFFFF_FFFF
      borrow = s >> 63
    }
    return r
  }

  static func * (a: Fixed, b: Fixed) -> Fixed {
    var product = [UInt64](repeating: 0, count: 21)
    for i in 0..<10 {
      var carry: UInt64 = 0
      for j in 0..<10 {
        let s = product[i + j] + a.limbs[i] * b.limbs[j] + carry
        product[i + j] = s & 0xFFFF_FFFF
        carry = s >> 32
      }
      product[i + 10] = carry
    }
    var r = Fixed(0)
    for i in 0..<10 { r.limbs[i] = product[i + 8] }
    return r
  }

  static func / (a: Fixed, b: UInt64) -> Fixed {
    var r = a
    var rest: UInt64 = 0
    for i in (0..<10).reversed() {
      let s = rest << 32 | a.limbs[i]
      r.limbs[i] = s / b
      rest = s % b
    }
    return r
  }

  static func < (a: Fixed, b: Fixed) -> Bool {
    for i in (0..<10).reversed() where a.limbs[i] != b.limbs[i] { return a.limbs[i] < b.limbs[i] }
    return false
  }

  var isZero: Bool { limbs.allSatisfy { $0 == 0 } }

  /// Rounded to nearest after multiplication by 2^bits, bits ≤ 128.
  func scaled(_ bits: Int) -> UInt128 {
    let half = Fixed(1).shifted(right: bits + 1)
    let sum = self + half
    var r: UInt128 = 0
    for position in (256 - bits..<256 - bits + 128).reversed() {
      r = r << 1 | UInt128(sum.limbs[position / 32] >> UInt64(position % 32) & 1)
    }
    return r
  }

  func shifted(right count: Int) -> Fixed {
    var r = self
    for _ in 0..<count { r = r / 2 }
    return r
  }

  /// Σ x^(2k+1)/(2k+1), the terms' signs alternating for the arctangent, the same for the inverse hyperbolic tangent.
  static func arcSeries(_ x: Fixed, alternating: Bool) -> Fixed {
    var sum = x
    var power = x
    let square = x * x
    var k: UInt64 = 1
    while !power.isZero {
      power = power * square
      let term = power / (2 * k + 1)
      sum = alternating && k % 2 == 1 ? sum - term : sum + term
      k += 1
    }
    return sum
  }

  /// ln 2 = 2 · artanh(1/3).
  static let naturalLogOf2 = arcSeries(Fixed(1) / 3, alternating: false) * Fixed(2)
  /// Machin: π/4 = 4 · atan(1/5) − atan(1/239).
  static let quarterPi = arcSeries(Fixed(1) / 5, alternating: true) * Fixed(4) - arcSeries(Fixed(1) / 239, alternating: true)
}

@Suite struct CoefficientTests {
  @Test func exponential() {
    var c = Fixed(1)
    for k in 0..<30 {
      c = c * Fixed.naturalLogOf2 / UInt64(k + 1)
      #expect(Coefficients.exponential[k] == c.scaled(128))
    }
    // The first one left out is below the last place.
    #expect((c * Fixed.naturalLogOf2 / 31).scaled(128) <= 1)
  }

  @Test func logarithm() {
    // c = 2/((2j + 1) ln 2) · 2^126: checked by multiplying back, to half a unit.
    for j in 0..<25 {
      let factor = Fixed.naturalLogOf2 * Fixed(UInt64(2 * j + 1))
      func product(_ coefficient: UInt128, plusHalf: Bool) -> Fixed {
        var c = Fixed(0)
        for i in 0..<4 { c.limbs[4 + i] = UInt64(truncatingIfNeeded: coefficient >> UInt128(32 * i)) & 0xFFFF_FFFF }
        let half = Fixed(1).shifted(right: 129)
        return (plusHalf ? c + half : c - half) * factor
      }
      // The coefficient read as a fraction of 2^128 is a quarter of its value.
      let expected = Fixed(1) / 2
      #expect(product(Coefficients.logarithm[j], plusHalf: false) < expected)
      #expect(product(Coefficients.logarithm[j], plusHalf: true) > expected)
    }
  }

  @Test func arctangent() {
    for j in 0..<13 { #expect(Coefficients.arctangent[j] == (Fixed(1) / UInt64(2 * j + 1)).scaled(127)) }
    for i in 0..<16 {
      #expect(Coefficients.arctangentOfSixteenths[i] == Fixed.arcSeries(Fixed(UInt64(i)) / 16, alternating: true).scaled(127))
    }
    #expect(Coefficients.arctangentOfSixteenths[16] == Fixed.quarterPi.scaled(127))
    #expect(Coefficients.pi == (Fixed.quarterPi * Fixed(4)).scaled(126))
  }

  @Test func sineAndCosine() {
    var reciprocal = Fixed(1)
    for k in 0..<33 {
      if k > 0 { reciprocal = reciprocal / UInt64(k) }
      #expect((k % 2 == 0 ? Coefficients.cosine[k / 2] : Coefficients.sine[k / 2]) == reciprocal.scaled(127))
    }
  }
}
