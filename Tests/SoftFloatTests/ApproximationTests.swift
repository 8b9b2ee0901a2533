import SoftFloat
import Testing

@Suite struct ApproximationTests {
  @Test func reciprocalsAreWithinTheDocumentedError() {
    var worst = 0.0
    var generator = Generator(7)
    for _ in 0..<100_000 {
      let a = Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()) & 0x7FFF_FFFF)
      guard a.isNormal, a < 0x1p125, a > 0x1p-125 else { continue }
      let r = Float(bitPattern: Binary32.reciprocal(Binary32(bits: a.bitPattern)).bits)
      worst = max(worst, abs(Double(r) * Double(a) - 1))
      let s = Float(bitPattern: Binary32.reciprocalSquareRoot(Binary32(bits: a.bitPattern)).bits)
      worst = max(worst, abs(Double(s) * Double(a).squareRoot() - 1))
    }
    #expect(worst <= 1.5 / 4096)
    #expect(worst > 0.5 / 4096)
  }

  /// Values Intel's processors are known to give.
  @Test func knownValues() {
    #expect(Binary32.reciprocal(Binary32(bits: 0x3F80_0000)).bits == 0x3F7F_F000)
    #expect(Binary32.reciprocalSquareRoot(Binary32(bits: 0x3F80_0000)).bits == 0x3F7F_F000)
    #expect(Binary32.reciprocalSquareRoot(Binary32(bits: 0x4000_0000)).bits == 0x3F35_0000 - 0x800)
  }

  @Test func specials() {
    #expect(Binary32.reciprocal(Binary32(bits: 0x8000_0000)).bits == 0xFF80_0000)
    #expect(Binary32.reciprocal(Binary32(bits: 0x0000_0001)).bits == 0x7F80_0000)
    #expect(Binary32.reciprocal(Binary32(bits: 0xFF80_0000)).bits == 0x8000_0000)
    #expect(Binary32.reciprocal(Binary32(bits: 0x7F7F_FFFF)).bits == 0)
    #expect(Binary32.reciprocal(Binary32(bits: 0x7F80_0001)).bits == 0x7FC0_0001)
    #expect(Binary32.reciprocalSquareRoot(Binary32(bits: 0xBF80_0000)).bits == 0xFFC0_0000)
    #expect(Binary32.reciprocalSquareRoot(Binary32(bits: 0x8000_0001)).bits == 0xFF80_0000)
    #expect(Binary32.reciprocalSquareRoot(Binary32(bits: 0x7F80_0000)).bits == 0)
  }
}
