import SoftFloat
import X86
import X86Decoder

/// x87 arithmetic, comparisons and transcendental functions (SDM vol. 1 §8.3.5–§8.3.8).
extension CPU {
  typealias X87Operation = (Extended80, Extended80, inout FloatEnvironment) -> Extended80

  /// FADD and its kin: destination op other, in all operand forms.
  ///
  /// - Parameters:
  ///   - reversed: other op destination.
  ///   - pops: the P forms.
  @inline(__always)
  private func binary(_ i: borrowing Instruction, reversed: Bool = false, pops: Bool = false, isDivision: Bool = false,
                      _ operation: X87Operation) throws(Fault) {
    try checkX87()
    var environment = x87Environment
    var destination: UInt8 = 0
    var other: Extended80
    if i.op0.kind == .memory {
      let offset = effectiveOffset(i)
      if i.op0.size == 4 {
        let bits = try load32(i.segment, offset)
        noteX87(i)
        if isEmpty(0) { return underflow(0, pops: false) }
        other = .memoryOperand(Binary32(bits: bits), other: st(0).pointee, isDividend: isDivision && reversed, &environment)
      } else {
        let bits = try load64(i.segment, offset)
        noteX87(i)
        if isEmpty(0) { return underflow(0, pops: false) }
        other = .memoryOperand(Binary64(bits: bits), other: st(0).pointee, isDividend: isDivision && reversed, &environment)
      }
      if environment.unmaskedPreComputation { return raise(environment) }
    } else {
      noteX87(i)
      destination = i.op0.register
      let source = i.op1.register
      if isEmpty(destination) || isEmpty(source) { return underflow(destination, pops: pops) }
      other = st(source).pointee
    }
    let own = st(destination).pointee
    let result = reversed ? operation(other, own, &environment) : operation(own, other, &environment)
    finish(destination, result, environment, pops: pops)
  }

  /// FIADD and its kin: ST(0) op integer.
  @inline(__always)
  private func binaryInteger(_ i: borrowing Instruction, reversed: Bool = false, _ operation: X87Operation) throws(Fault) {
    try checkX87()
    let other = try loadInteger(i)
    noteX87(i)
    if isEmpty(0) { return underflow(0, pops: false) }
    var environment = x87Environment
    let own = st(0).pointee
    let result = reversed ? operation(other, own, &environment) : operation(own, other, &environment)
    finish(0, result, environment, pops: false)
  }

  @inline(__always)
  private func loadInteger(_ i: borrowing Instruction) throws(Fault) -> Extended80 {
    let offset = effectiveOffset(i)
    switch i.op0.size {
    case 2: return .from(Int16(bitPattern: try load16(i.segment, offset)))
    case 4: return .from(Int32(bitPattern: try load32(i.segment, offset)))
    default: return .from(Int64(bitPattern: try load64(i.segment, offset)))
    }
  }

  @inline(never)
  private func underflow(_ destination: UInt8, pops: Bool) {
    if !stackFault(overflow: false) { return }
    setST(destination, .indefinite)
    if pops { popST() }
  }

  /// Stores a result, unless an unmasked exception of the operands forbids it.
  @inline(__always)
  private func finish(_ destination: UInt8, _ result: Extended80, _ environment: FloatEnvironment, pops: Bool) {
    raise(environment)
    if environment.unmaskedPreComputation { return }
    setST(destination, result)
    if pops { popST() }
  }

  func FADD(_ i: borrowing Instruction) throws(Fault) { try binary(i, Extended80.add) }
  func FADDP(_ i: borrowing Instruction) throws(Fault) { try binary(i, pops: true, Extended80.add) }
  func FSUB(_ i: borrowing Instruction) throws(Fault) { try binary(i, Extended80.sub) }
  func FSUBP(_ i: borrowing Instruction) throws(Fault) { try binary(i, pops: true, Extended80.sub) }
  func FSUBR(_ i: borrowing Instruction) throws(Fault) { try binary(i, reversed: true, Extended80.sub) }
  func FSUBRP(_ i: borrowing Instruction) throws(Fault) { try binary(i, reversed: true, pops: true, Extended80.sub) }
  func FMUL(_ i: borrowing Instruction) throws(Fault) { try binary(i, Extended80.mul) }
  func FMULP(_ i: borrowing Instruction) throws(Fault) { try binary(i, pops: true, Extended80.mul) }
  func FDIV(_ i: borrowing Instruction) throws(Fault) { try binary(i, isDivision: true, Extended80.div) }
  func FDIVP(_ i: borrowing Instruction) throws(Fault) { try binary(i, pops: true, isDivision: true, Extended80.div) }
  func FDIVR(_ i: borrowing Instruction) throws(Fault) { try binary(i, reversed: true, isDivision: true, Extended80.div) }
  func FDIVRP(_ i: borrowing Instruction) throws(Fault) {
    try binary(i, reversed: true, pops: true, isDivision: true, Extended80.div)
  }

  func FIADD(_ i: borrowing Instruction) throws(Fault) { try binaryInteger(i, Extended80.add) }
  func FISUB(_ i: borrowing Instruction) throws(Fault) { try binaryInteger(i, Extended80.sub) }
  func FISUBR(_ i: borrowing Instruction) throws(Fault) { try binaryInteger(i, reversed: true, Extended80.sub) }
  func FIMUL(_ i: borrowing Instruction) throws(Fault) { try binaryInteger(i, Extended80.mul) }
  func FIDIV(_ i: borrowing Instruction) throws(Fault) { try binaryInteger(i, Extended80.div) }
  func FIDIVR(_ i: borrowing Instruction) throws(Fault) { try binaryInteger(i, reversed: true, Extended80.div) }

  // MARK: One operand

  /// ST(0) = f(ST(0)).
  @inline(__always)
  private func unary(_ i: borrowing Instruction, _ operation: (Extended80, inout FloatEnvironment) -> Extended80) throws(Fault) {
    try checkX87()
    noteX87(i)
    if isEmpty(0) { return underflow(0, pops: false) }
    var environment = x87Environment
    let result = operation(st(0).pointee, &environment)
    finish(0, result, environment, pops: false)
  }

  func FSQRT(_ i: borrowing Instruction) throws(Fault) { try unary(i, Extended80.sqrt) }
  func FRNDINT(_ i: borrowing Instruction) throws(Fault) { try unary(i, Extended80.roundToInteger) }
  func F2XM1(_ i: borrowing Instruction) throws(Fault) { try unary(i, Extended80.f2xm1) }
  /// Sign changes raise nothing, not even for an SNaN; C1 is cleared.
  func FCHS(_ i: borrowing Instruction) throws(Fault) { try unary(i) { value, _ in value.negated } }
  func FABS(_ i: borrowing Instruction) throws(Fault) { try unary(i) { value, _ in value.absolute } }

  func FSCALE(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
    if isEmpty(0) || isEmpty(1) { return underflow(0, pops: false) }
    var environment = x87Environment
    let result = Extended80.scale(st(0).pointee, by: st(1).pointee, &environment)
    finish(0, result, environment, pops: false)
  }

  /// ST(0) becomes the exponent, and the significand is pushed.
  func FXTRACT(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
    if isEmpty(0) { return underflowPushing() }
    if !isEmpty(7) { return overflowPushing() }
    var environment = x87Environment
    let parts = Extended80.extract(st(0).pointee, &environment)
    raise(environment)
    if environment.unmaskedPreComputation { return }
    setST(0, parts.exponent)
    pushST(parts.significand)
  }

  private func underflowPushing() {
    if !stackFault(overflow: false) { return }
    setST(0, .indefinite)
    pushST(.indefinite)
  }

  private func overflowPushing() {
    if !stackFault(overflow: true) { return }
    setST(0, .indefinite)
    pushST(.indefinite)
  }

  // MARK: Remainders

  private func remainder(_ i: borrowing Instruction,
                         _ operation: (Extended80, Extended80, inout FloatEnvironment) -> PartialRemainder) throws(Fault) {
    try checkX87()
    noteX87(i)
    if isEmpty(0) || isEmpty(1) { return underflow(0, pops: false) }
    var environment = x87Environment
    let result = operation(st(0).pointee, st(1).pointee, &environment)
    environment.roundedUp = false
    raise(environment)
    if environment.unmaskedPreComputation { return }
    setST(0, result.value)
    var bits: UInt16 = 0
    if result.incomplete {
      bits = X87Status.c2
    } else {
      if result.quotient & 1 != 0 { bits |= X87Status.c1 }
      if result.quotient & 2 != 0 { bits |= X87Status.c3 }
      if result.quotient & 4 != 0 { bits |= X87Status.c0 }
    }
    setConditions(bits)
  }

  func FPREM(_ i: borrowing Instruction) throws(Fault) { try remainder(i, Extended80.fprem) }
  func FPREM1(_ i: borrowing Instruction) throws(Fault) { try remainder(i, Extended80.fprem1) }

  // MARK: Transcendental functions

  private func trigonometric(_ i: borrowing Instruction, pushes: Bool,
                             _ operation: (Extended80, inout FloatEnvironment) -> TrigonometricResult) throws(Fault) {
    try checkX87()
    noteX87(i)
    setConditions(0, mask: X87Status.c2)
    if isEmpty(0) { return pushes ? underflowPushing() : underflow(0, pops: false) }
    if pushes, !isEmpty(7) { return overflowPushing() }
    var environment = x87Environment
    let result = operation(st(0).pointee, &environment)
    if result.outOfRange {
      setConditions(X87Status.c2, mask: X87Status.c2 | X87Status.c1)
      return
    }
    raise(environment)
    if environment.unmaskedPreComputation { return }
    setST(0, result.value)
    if pushes { pushST(result.pushed) }
  }

  func FSIN(_ i: borrowing Instruction) throws(Fault) { try trigonometric(i, pushes: false, Extended80.fsin) }
  func FCOS(_ i: borrowing Instruction) throws(Fault) { try trigonometric(i, pushes: false, Extended80.fcos) }
  func FSINCOS(_ i: borrowing Instruction) throws(Fault) { try trigonometric(i, pushes: true, Extended80.fsincos) }
  func FPTAN(_ i: borrowing Instruction) throws(Fault) { try trigonometric(i, pushes: true, Extended80.fptan) }

  /// ST(1) = f(ST(0), ST(1)), then pop.
  private func intoST1(_ i: borrowing Instruction, _ operation: X87Operation) throws(Fault) {
    try checkX87()
    noteX87(i)
    if isEmpty(0) || isEmpty(1) { return underflow(1, pops: true) }
    var environment = x87Environment
    let result = operation(st(0).pointee, st(1).pointee, &environment)
    finish(1, result, environment, pops: true)
  }

  func FPATAN(_ i: borrowing Instruction) throws(Fault) { try intoST1(i) { Extended80.fpatan(y: $1, x: $0, &$2) } }
  func FYL2X(_ i: borrowing Instruction) throws(Fault) { try intoST1(i) { Extended80.fyl2x(x: $0, y: $1, &$2) } }
  func FYL2XP1(_ i: borrowing Instruction) throws(Fault) { try intoST1(i) { Extended80.fyl2xp1(x: $0, y: $1, &$2) } }

  // MARK: Comparisons

  /// Condition codes of a relation: C3 C2 C0 as ZF PF CF.
  private func conditionBits(_ relation: FloatRelation) -> UInt16 {
    switch relation {
    case .greater: return 0
    case .less: return X87Status.c0
    case .equal: return X87Status.c3
    case .unordered: return X87Status.c0 | X87Status.c2 | X87Status.c3
    }
  }

  private func compare(_ b: Extended80, _ start: FloatEnvironment, signaling: Bool, pops: Int) {
    var environment = start
    let relation = Extended80.compare(st(0).pointee, b, signaling: signaling, &environment)
    environment.roundedUp = false
    raise(environment)
    if environment.unmaskedPreComputation { return }
    setConditions(conditionBits(relation))
    for _ in 0..<pops { popST() }
  }

  private func compareUnderflow(pops: Int) {
    if !stackFault(overflow: false) { return }
    setConditions(conditionBits(.unordered), mask: X87Status.c0 | X87Status.c2 | X87Status.c3)
    for _ in 0..<pops { popST() }
  }

  private func compareStack(_ i: borrowing Instruction, _ n: UInt8, signaling: Bool, pops: Int) throws(Fault) {
    try checkX87()
    noteX87(i)
    if isEmpty(0) || isEmpty(n) { return compareUnderflow(pops: pops) }
    compare(st(n).pointee, x87Environment, signaling: signaling, pops: pops)
  }

  private func compareOperand(_ i: borrowing Instruction, pops: Int) throws(Fault) {
    if i.op0.kind != .memory { return try compareStack(i, i.op0.register, signaling: true, pops: pops) }
    try checkX87()
    let offset = effectiveOffset(i)
    var environment = x87Environment
    let other: Extended80
    if i.op0.size == 4 {
      let bits = try load32(i.segment, offset)
      noteX87(i)
      if isEmpty(0) { return compareUnderflow(pops: pops) }
      other = .memoryOperand(Binary32(bits: bits), other: st(0).pointee, &environment)
    } else {
      let bits = try load64(i.segment, offset)
      noteX87(i)
      if isEmpty(0) { return compareUnderflow(pops: pops) }
      other = .memoryOperand(Binary64(bits: bits), other: st(0).pointee, &environment)
    }
    compare(other, environment, signaling: true, pops: pops)
  }

  func FCOM(_ i: borrowing Instruction) throws(Fault) { try compareOperand(i, pops: 0) }
  func FCOMP(_ i: borrowing Instruction) throws(Fault) { try compareOperand(i, pops: 1) }
  func FCOMPP(_ i: borrowing Instruction) throws(Fault) { try compareStack(i, 1, signaling: true, pops: 2) }
  func FUCOM(_ i: borrowing Instruction) throws(Fault) { try compareStack(i, i.op0.register, signaling: false, pops: 0) }
  func FUCOMP(_ i: borrowing Instruction) throws(Fault) { try compareStack(i, i.op0.register, signaling: false, pops: 1) }
  func FUCOMPP(_ i: borrowing Instruction) throws(Fault) { try compareStack(i, 1, signaling: false, pops: 2) }

  private func compareInteger(_ i: borrowing Instruction, pops: Int) throws(Fault) {
    try checkX87()
    let other = try loadInteger(i)
    noteX87(i)
    if isEmpty(0) { return compareUnderflow(pops: pops) }
    compare(other, x87Environment, signaling: true, pops: pops)
  }

  func FICOM(_ i: borrowing Instruction) throws(Fault) { try compareInteger(i, pops: 0) }
  func FICOMP(_ i: borrowing Instruction) throws(Fault) { try compareInteger(i, pops: 1) }

  func FTST(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
    if isEmpty(0) { return compareUnderflow(pops: 0) }
    compare(.zero, x87Environment, signaling: true, pops: 0)
  }

  /// FCOMI and its kin set ZF, PF and CF, and clear OF, SF and AF.
  private func compareToFlags(_ i: borrowing Instruction, signaling: Bool, pops: Bool) throws(Fault) {
    try checkX87()
    noteX87(i)
    let n = i.op1.register
    let relation: FloatRelation
    if isEmpty(0) || isEmpty(n) {
      if !stackFault(overflow: false) { return }
      relation = .unordered
    } else {
      var environment = x87Environment
      relation = Extended80.compare(st(0).pointee, st(n).pointee, signaling: signaling, &environment)
      environment.roundedUp = false
      raise(environment)
      if environment.unmaskedPreComputation { return }
    }
    switch relation {
    case .greater: setStatusFlags(0)
    case .less: setStatusFlags(RFLAGS.CF)
    case .equal: setStatusFlags(RFLAGS.ZF)
    case .unordered: setStatusFlags(RFLAGS.ZF | RFLAGS.PF | RFLAGS.CF)
    }
    if pops { popST() }
  }

  func FCOMI(_ i: borrowing Instruction) throws(Fault) { try compareToFlags(i, signaling: true, pops: false) }
  func FCOMIP(_ i: borrowing Instruction) throws(Fault) { try compareToFlags(i, signaling: true, pops: true) }
  func FUCOMI(_ i: borrowing Instruction) throws(Fault) { try compareToFlags(i, signaling: false, pops: false) }
  func FUCOMIP(_ i: borrowing Instruction) throws(Fault) { try compareToFlags(i, signaling: false, pops: true) }

  /// Class of ST(0) in C3 C2 C0, its sign in C1; also for an empty register.
  func FXAM(_ i: borrowing Instruction) throws(Fault) {
    try checkX87()
    noteX87(i)
    let value = st(0).pointee
    let code = isEmpty(0) ? ExtendedClass.empty.rawValue : value.classification.rawValue
    var bits: UInt16 = value.isNegative ? X87Status.c1 : 0
    if code & 1 != 0 { bits |= X87Status.c0 }
    if code & 2 != 0 { bits |= X87Status.c2 }
    if code & 4 != 0 { bits |= X87Status.c3 }
    setConditions(bits)
  }
}
