import SoftFloat
import X86Decoder

/// Fused multiply-add (SDM vol. 1 §14.5). The digits of a mnemonic say which operands are multiplied and which is added:
/// VFMADD231PS is op0 := op1 × op2 + op0.
extension CPU {
  /// Order of the three operands in the formula a × b + c, as the digits name them.
  enum FusedOrder {
    case o132, o213, o231
  }

  /// What happens to product and addend, and whether it alternates between lanes.
  struct FusedSigns {
    var negateProduct = false
    var negateAddend = false
    /// The addend's sign flips in odd lanes.
    var alternating = false

    static let add = FusedSigns()
    static let subtract = FusedSigns(negateAddend: true)
    static let negativeAdd = FusedSigns(negateProduct: true)
    static let negativeSubtract = FusedSigns(negateProduct: true, negateAddend: true)
    /// VFMADDSUB: odd lanes add, even lanes subtract.
    static let addSubtract = FusedSigns(negateAddend: true, alternating: true)
    static let subtractAdd = FusedSigns(alternating: true)

    @inline(__always) func negatesAddend(_ lane: Int) -> Bool { negateAddend != (alternating && lane & 1 != 0) }
  }

  typealias Fused<T> = (T, T, T, Bool, Bool, inout FloatEnvironment) -> T

  @inline(__always)
  private func fused<T>(_ i: borrowing Instruction, _ order: FusedOrder, _ signs: FusedSigns, count: Int, scalar: Bool, _ body: Fused<T>) throws(Fault) {
    let (second, third) = try sources(i)
    let first = vector(i.op0.register).pointee
    let a = order == .o231 ? second : order == .o213 ? second : first
    let b = order == .o213 ? first : third
    let c = order == .o132 ? second : order == .o213 ? third : first
    var environment = simdEnvironment
    var result = scalar ? first : Vector256()
    for n in 0..<count {
      result.setLane(n, body(a.lane(n), b.lane(n), c.lane(n), signs.negateProduct, signs.negatesAddend(n), &environment))
    }
    try settle(environment)
    if scalar { setXMM(i, i.op0.register, result) } else { setVector(i, i.op0.register, result) }
  }

  /// On the host where that is the whole truth, by the conditions of `HostFloat`, and inexact is flagged already.
  @inline(__always)
  private static func fused<F: HostFormat>(
    _ a: F, _ b: F, _ c: F, _ negateProduct: Bool, _ negateAddend: Bool, _ environment: inout FloatEnvironment,
    _ software: (F, F, F, inout FloatEnvironment) -> F
  ) -> F {
    if HostFloat.isUsable(environment), environment.flags.contains(.inexact),
       let result = HostFloat.tryFused(a, b, c, negateProduct: negateProduct, negateAddend: negateAddend) {
      return result
    }
    return software(a, b, c, &environment)
  }

  @inline(__always) private static func single(
    _ a: Binary32, _ b: Binary32, _ c: Binary32, _ negateProduct: Bool, _ negateAddend: Bool, _ e: inout FloatEnvironment
  ) -> Binary32 {
    fused(a, b, c, negateProduct, negateAddend, &e) { a, b, c, e in
      .fusedMultiplyAdd(a, b, c, negateProduct: negateProduct, negateAddend: negateAddend, &e)
    }
  }

  @inline(__always) private static func double(
    _ a: Binary64, _ b: Binary64, _ c: Binary64, _ negateProduct: Bool, _ negateAddend: Bool, _ e: inout FloatEnvironment
  ) -> Binary64 {
    fused(a, b, c, negateProduct, negateAddend, &e) { a, b, c, e in
      .fusedMultiplyAdd(a, b, c, negateProduct: negateProduct, negateAddend: negateAddend, &e)
    }
  }

  func fusedPackedSingle(_ i: borrowing Instruction, _ order: FusedOrder, _ signs: FusedSigns) throws(Fault) {
    try fused(i, order, signs, count: i.vectorLength == 32 ? 8 : 4, scalar: false, { Self.single($0, $1, $2, $3, $4, &$5) })
  }
  func fusedPackedDouble(_ i: borrowing Instruction, _ order: FusedOrder, _ signs: FusedSigns) throws(Fault) {
    try fused(i, order, signs, count: i.vectorLength == 32 ? 4 : 2, scalar: false, { Self.double($0, $1, $2, $3, $4, &$5) })
  }
  func fusedScalarSingle(_ i: borrowing Instruction, _ order: FusedOrder, _ signs: FusedSigns) throws(Fault) {
    try fused(i, order, signs, count: 1, scalar: true, { Self.single($0, $1, $2, $3, $4, &$5) })
  }
  func fusedScalarDouble(_ i: borrowing Instruction, _ order: FusedOrder, _ signs: FusedSigns) throws(Fault) {
    try fused(i, order, signs, count: 1, scalar: true, { Self.double($0, $1, $2, $3, $4, &$5) })
  }
}
