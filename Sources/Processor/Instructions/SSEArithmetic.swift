import SoftFloat
import X86Decoder

/// Floating-point arithmetic, rounding and comparison of SSE, SSE2, SSE3, SSE4.1 and AVX (SDM vol. 1 §10.4.1, §11.4.1,
/// §12.4, §12.10, §14.1). Exceptions of all lanes are collected before the first result is written.
extension CPU {
  typealias Binary<T> = (T, T, inout FloatEnvironment) -> T
  typealias Unary<T> = (T, inout FloatEnvironment) -> T

  // MARK: Families

  @inline(__always) private func packed<T>(_ i: borrowing Instruction, _ body: Binary<T>) throws(Fault) {
    let (a, b) = try sources(i)
    var environment = simdEnvironment
    var result = Vector256()
    let bytes = i.vectorLength == 32 ? 32 : 16
    for n in 0..<bytes / MemoryLayout<T>.size { result.setLane(n, body(a.lane(n), b.lane(n), &environment)) }
    try settle(environment)
    setVector(i, i.op0.register, result)
  }

  /// The low lane; the others are those of the first source.
  @inline(__always) private func scalar<T>(_ i: borrowing Instruction, _ body: Binary<T>) throws(Fault) {
    let (a, b) = try sources(i)
    var environment = simdEnvironment
    var result = a
    result.setLane(0, body(a.lane(0), b.lane(0), &environment))
    try settle(environment)
    setXMM(i, i.op0.register, result)
  }

  @inline(__always) private func packedUnary<T>(_ i: borrowing Instruction, _ body: Unary<T>) throws(Fault) {
    let a = try soleSource(i)
    var environment = simdEnvironment
    var result = Vector256()
    let bytes = i.vectorLength == 32 ? 32 : 16
    for n in 0..<bytes / MemoryLayout<T>.size { result.setLane(n, body(a.lane(n), &environment)) }
    try settle(environment)
    setVector(i, i.op0.register, result)
  }

  @inline(__always) private func packedSingle(_ i: borrowing Instruction, _ body: Binary<Binary32>) throws(Fault) { try packed(i, body) }
  @inline(__always) private func packedDouble(_ i: borrowing Instruction, _ body: Binary<Binary64>) throws(Fault) { try packed(i, body) }
  @inline(__always) private func scalarSingle(_ i: borrowing Instruction, _ body: Binary<Binary32>) throws(Fault) { try scalar(i, body) }
  @inline(__always) private func scalarDouble(_ i: borrowing Instruction, _ body: Binary<Binary64>) throws(Fault) { try scalar(i, body) }

  // MARK: The four operations, square root, minimum and maximum

  func ADDPS(_ i: borrowing Instruction) throws(Fault) { try packedSingle(i) { HostFloat.add($0, $1, &$2) } }
  func ADDPD(_ i: borrowing Instruction) throws(Fault) { try packedDouble(i) { HostFloat.add($0, $1, &$2) } }
  func ADDSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { HostFloat.add($0, $1, &$2) } }
  func ADDSD(_ i: borrowing Instruction) throws(Fault) { try scalarDouble(i) { HostFloat.add($0, $1, &$2) } }
  func SUBPS(_ i: borrowing Instruction) throws(Fault) { try packedSingle(i) { HostFloat.sub($0, $1, &$2) } }
  func SUBPD(_ i: borrowing Instruction) throws(Fault) { try packedDouble(i) { HostFloat.sub($0, $1, &$2) } }
  func SUBSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { HostFloat.sub($0, $1, &$2) } }
  func SUBSD(_ i: borrowing Instruction) throws(Fault) { try scalarDouble(i) { HostFloat.sub($0, $1, &$2) } }
  func MULPS(_ i: borrowing Instruction) throws(Fault) { try packedSingle(i) { HostFloat.mul($0, $1, &$2) } }
  func MULPD(_ i: borrowing Instruction) throws(Fault) { try packedDouble(i) { HostFloat.mul($0, $1, &$2) } }
  func MULSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { HostFloat.mul($0, $1, &$2) } }
  func MULSD(_ i: borrowing Instruction) throws(Fault) { try scalarDouble(i) { HostFloat.mul($0, $1, &$2) } }
  func DIVPS(_ i: borrowing Instruction) throws(Fault) { try packedSingle(i) { HostFloat.div($0, $1, &$2) } }
  func DIVPD(_ i: borrowing Instruction) throws(Fault) { try packedDouble(i) { HostFloat.div($0, $1, &$2) } }
  func DIVSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { HostFloat.div($0, $1, &$2) } }
  func DIVSD(_ i: borrowing Instruction) throws(Fault) { try scalarDouble(i) { HostFloat.div($0, $1, &$2) } }

  func MINPS(_ i: borrowing Instruction) throws(Fault) { try packedSingle(i) { HostFloat.min($0, $1, &$2) } }
  func MINPD(_ i: borrowing Instruction) throws(Fault) { try packedDouble(i) { HostFloat.min($0, $1, &$2) } }
  func MINSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { HostFloat.min($0, $1, &$2) } }
  func MINSD(_ i: borrowing Instruction) throws(Fault) { try scalarDouble(i) { HostFloat.min($0, $1, &$2) } }
  func MAXPS(_ i: borrowing Instruction) throws(Fault) { try packedSingle(i) { HostFloat.max($0, $1, &$2) } }
  func MAXPD(_ i: borrowing Instruction) throws(Fault) { try packedDouble(i) { HostFloat.max($0, $1, &$2) } }
  func MAXSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { HostFloat.max($0, $1, &$2) } }
  func MAXSD(_ i: borrowing Instruction) throws(Fault) { try scalarDouble(i) { HostFloat.max($0, $1, &$2) } }

  func SQRTPS(_ i: borrowing Instruction) throws(Fault) {
    try packedUnary(i) { (a: Binary32, e: inout FloatEnvironment) in HostFloat.sqrt(a, &e) }
  }
  func SQRTPD(_ i: borrowing Instruction) throws(Fault) {
    try packedUnary(i) { (a: Binary64, e: inout FloatEnvironment) in HostFloat.sqrt(a, &e) }
  }
  func SQRTSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { _, b, e in HostFloat.sqrt(b, &e) } }
  func SQRTSD(_ i: borrowing Instruction) throws(Fault) { try scalarDouble(i) { _, b, e in HostFloat.sqrt(b, &e) } }

  // The approximations raise nothing and heed no control (SDM vol. 1 §10.4.1).
  func RCPPS(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, a.map { (x: Binary32) in .reciprocal(x) })
  }
  func RCPSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { _, b, _ in .reciprocal(b) } }
  func RSQRTPS(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, a.map { (x: Binary32) in .reciprocalSquareRoot(x) })
  }
  func RSQRTSS(_ i: borrowing Instruction) throws(Fault) { try scalarSingle(i) { _, b, _ in .reciprocalSquareRoot(b) } }

  // MARK: Alternating and horizontal addition

  /// Subtracts in even lanes, adds in odd ones.
  @inline(__always)
  private func addSubtract<T: HostFormat>(_ i: borrowing Instruction, _ format: T.Type) throws(Fault) {
    let (a, b) = try sources(i)
    var environment = simdEnvironment
    var result = Vector256()
    let count = (i.vectorLength == 32 ? 32 : 16) / MemoryLayout<T>.size
    for n in stride(from: 0, to: count, by: 2) {
      result.setLane(n, HostFloat.sub(a.lane(n, as: T.self), b.lane(n), &environment))
      result.setLane(n &+ 1, HostFloat.add(a.lane(n &+ 1, as: T.self), b.lane(n &+ 1), &environment))
    }
    try settle(environment)
    setVector(i, i.op0.register, result)
  }

  func ADDSUBPS(_ i: borrowing Instruction) throws(Fault) { try addSubtract(i, Binary32.self) }
  func ADDSUBPD(_ i: borrowing Instruction) throws(Fault) { try addSubtract(i, Binary64.self) }

  /// Neighbouring lanes of the first source, then of the second, within each 128 bits.
  @inline(__always) private func horizontal<T>(_ i: borrowing Instruction, _ body: Binary<T>) throws(Fault) {
    let (a, b) = try sources(i)
    var environment = simdEnvironment
    var result = Vector256()
    let perHalf = 16 / MemoryLayout<T>.size
    for base in stride(from: 0, to: i.vectorLength == 32 ? perHalf &* 2 : perHalf, by: perHalf) {
      for n in stride(from: 0, to: perHalf, by: 2) {
        result.setLane(base &+ n / 2, body(a.lane(base &+ n), a.lane(base &+ n &+ 1), &environment))
        result.setLane(base &+ (perHalf &+ n) / 2, body(b.lane(base &+ n), b.lane(base &+ n &+ 1), &environment))
      }
    }
    try settle(environment)
    setVector(i, i.op0.register, result)
  }

  func HADDPS(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: Binary32, b, e: inout FloatEnvironment) in HostFloat.add(a, b, &e) } }
  func HADDPD(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: Binary64, b, e: inout FloatEnvironment) in HostFloat.add(a, b, &e) } }
  func HSUBPS(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: Binary32, b, e: inout FloatEnvironment) in HostFloat.sub(a, b, &e) } }
  func HSUBPD(_ i: borrowing Instruction) throws(Fault) { try horizontal(i) { (a: Binary64, b, e: inout FloatEnvironment) in HostFloat.sub(a, b, &e) } }

  // MARK: Dot products

  /// Products chosen by the immediate's high bits, summed pairwise, to the lanes chosen by its low bits. Exceptions of the
  /// products and of each level of sums are delivered by themselves (SDM vol. 2A, DPPS).
  func DPPS(_ i: borrowing Instruction) throws(Fault) {
    let control = Int(i.immediate & 0xFF)
    let (a, b) = try sources(i)
    var environment = simdEnvironment
    var result = Vector256()
    let halves = i.vectorLength == 32 ? 2 : 1
    var products = Vector256()
    for n in 0..<halves &* 4 where control &>> (4 &+ (n & 3)) & 1 != 0 {
      products.setLane(n, HostFloat.mul(a.lane(n, as: Binary32.self), b.lane(n), &environment))
    }
    try settle(environment)
    var sums = Vector256()
    for n in 0..<halves &* 2 {
      sums.setLane(n, HostFloat.add(products.lane(2 &* n, as: Binary32.self), products.lane(2 &* n &+ 1), &environment))
    }
    try settle(environment)
    for half in 0..<halves {
      let total = HostFloat.add(sums.lane(2 &* half, as: Binary32.self), sums.lane(2 &* half &+ 1), &environment)
      for n in 0..<4 where control &>> n & 1 != 0 { result.setLane(half &* 4 &+ n, total) }
    }
    try settle(environment)
    setVector(i, i.op0.register, result)
  }

  func DPPD(_ i: borrowing Instruction) throws(Fault) {
    let control = Int(i.immediate & 0xFF)
    let (a, b) = try sources(i)
    var environment = simdEnvironment
    var products = Vector256()
    for n in 0..<2 where control &>> (4 &+ n) & 1 != 0 {
      products.setLane(n, HostFloat.mul(a.lane(n, as: Binary64.self), b.lane(n), &environment))
    }
    try settle(environment)
    let total = HostFloat.add(products.lane(0, as: Binary64.self), products.lane(1), &environment)
    try settle(environment)
    setVector(i, i.op0.register, Vector256(control & 1 != 0 ? total.bits : 0, control & 2 != 0 ? total.bits : 0))
  }

  // MARK: Rounding to integral values

  /// The immediate of ROUNDPS: direction in bits 0–1, MXCSR's instead with bit 2, no precision exception with bit 3.
  private struct RoundingControl {
    let mode: RoundingMode
    let quiet: Bool

    @inline(__always) init(_ immediate: UInt64, _ environment: FloatEnvironment) {
      mode = immediate & 4 != 0 ? environment.rounding : RoundingMode(field: UInt8(truncatingIfNeeded: immediate))
      quiet = immediate & 8 != 0
    }
  }

  func ROUNDPS(_ i: borrowing Instruction) throws(Fault) {
    let control = RoundingControl(i.immediate, simdEnvironment)
    try packedUnary(i) { (a: Binary32, e: inout FloatEnvironment) in
      Binary32.roundToIntegral(a, control.mode, suppressInexact: control.quiet, &e)
    }
  }
  func ROUNDPD(_ i: borrowing Instruction) throws(Fault) {
    let control = RoundingControl(i.immediate, simdEnvironment)
    try packedUnary(i) { (a: Binary64, e: inout FloatEnvironment) in
      Binary64.roundToIntegral(a, control.mode, suppressInexact: control.quiet, &e)
    }
  }
  func ROUNDSS(_ i: borrowing Instruction) throws(Fault) {
    let control = RoundingControl(i.immediate, simdEnvironment)
    try scalarSingle(i) { _, b, e in Binary32.roundToIntegral(b, control.mode, suppressInexact: control.quiet, &e) }
  }
  func ROUNDSD(_ i: borrowing Instruction) throws(Fault) {
    let control = RoundingControl(i.immediate, simdEnvironment)
    try scalarDouble(i) { _, b, e in Binary64.roundToIntegral(b, control.mode, suppressInexact: control.quiet, &e) }
  }

  // MARK: Comparison to masks

  func CMPPS(_ i: borrowing Instruction) throws(Fault) {
    let predicate = FloatPredicate(i.immediate, vex: i.prefixes.contains(.vex))
    try packedSingle(i) { a, b, e in
      Binary32(bits: predicate.holds(HostFloat.compare(a, b, signaling: predicate.signaling, &e)) ? ~0 : 0)
    }
  }
  func CMPPD(_ i: borrowing Instruction) throws(Fault) {
    let predicate = FloatPredicate(i.immediate, vex: i.prefixes.contains(.vex))
    try packedDouble(i) { a, b, e in
      Binary64(bits: predicate.holds(HostFloat.compare(a, b, signaling: predicate.signaling, &e)) ? ~0 : 0)
    }
  }
  func CMPSS(_ i: borrowing Instruction) throws(Fault) {
    let predicate = FloatPredicate(i.immediate, vex: i.prefixes.contains(.vex))
    try scalarSingle(i) { a, b, e in
      Binary32(bits: predicate.holds(HostFloat.compare(a, b, signaling: predicate.signaling, &e)) ? ~0 : 0)
    }
  }
  func CMPSD(_ i: borrowing Instruction) throws(Fault) {
    let predicate = FloatPredicate(i.immediate, vex: i.prefixes.contains(.vex))
    try scalarDouble(i) { a, b, e in
      Binary64(bits: predicate.holds(HostFloat.compare(a, b, signaling: predicate.signaling, &e)) ? ~0 : 0)
    }
  }

  // MARK: Comparison to flags

  /// ZF PF CF: 111 unordered, 000 greater, 001 less, 100 equal; OF, SF and AF are cleared (SDM vol. 2A, COMISD).
  @inline(__always) private func setFlags(_ relation: FloatRelation, _ environment: FloatEnvironment) throws(Fault) {
    try settle(environment)
    switch relation {
    case .unordered: setStatusFlags(Flags.zf | Flags.pf | Flags.cf)
    case .greater: setStatusFlags(0)
    case .less: setStatusFlags(Flags.cf)
    case .equal: setStatusFlags(Flags.zf)
    }
  }

  @inline(__always) private func compareSingle(_ i: borrowing Instruction, signaling: Bool) throws(Fault) {
    let b = try soleSource(i)
    var environment = simdEnvironment
    let a = vector(i.op0.register).pointee
    try setFlags(HostFloat.compare(a.lane(0, as: Binary32.self), b.lane(0), signaling: signaling, &environment), environment)
  }

  @inline(__always) private func compareDouble(_ i: borrowing Instruction, signaling: Bool) throws(Fault) {
    let b = try soleSource(i)
    var environment = simdEnvironment
    let a = vector(i.op0.register).pointee
    try setFlags(HostFloat.compare(a.lane(0, as: Binary64.self), b.lane(0), signaling: signaling, &environment), environment)
  }

  func COMISS(_ i: borrowing Instruction) throws(Fault) { try compareSingle(i, signaling: true) }
  func COMISD(_ i: borrowing Instruction) throws(Fault) { try compareDouble(i, signaling: true) }
  func UCOMISS(_ i: borrowing Instruction) throws(Fault) { try compareSingle(i, signaling: false) }
  func UCOMISD(_ i: borrowing Instruction) throws(Fault) { try compareDouble(i, signaling: false) }
}

/// The predicate of CMPPS and its kin: three bits, five with VEX (SDM vol. 2A, table 3-1).
struct FloatPredicate {
  /// Bit `FloatRelation.rawValue` is set where the predicate holds.
  private let truth: UInt8
  /// Invalid for a QNaN too.
  let signaling: Bool

  /// Truth of predicates 0–15, four bits each: less 1, equal 2, greater 4, unordered 8. 16–31 differ in signaling only.
  private static let truths: UInt64 = 0xF465_0B9A_7CED_8312

  @inline(__always) init(_ immediate: UInt64, vex: Bool) {
    let code = immediate & (vex ? 31 : 7)
    truth = UInt8(truncatingIfNeeded: Self.truths &>> ((code & 15) &* 4)) & 15
    let ordering = code & 3 == 1 || code & 3 == 2
    signaling = ordering != (code & 16 != 0)
  }

  @inline(__always) func holds(_ relation: FloatRelation) -> Bool { truth &>> relation.rawValue & 1 != 0 }
}
