import SoftFloat
import X86Decoder

/// Conversions between integers and floating-point formats of SSE, SSE2, AVX and F16C (SDM vol. 1 §10.4.3, §11.4.1.6,
/// §14.4). Values that do not fit an integer give the integer indefinite and IE.
extension CPU {
  /// Converts lanes `0 ..< count` of the source; the rest of the result is zero.
  @inline(__always)
  private func convert<From, To>(
    _ a: Vector256, count: Int, _ body: (From, inout FloatEnvironment) -> To
  ) throws(Fault) -> Vector256 {
    var environment = simdEnvironment
    var result = Vector256()
    for n in 0..<count { result.setLane(n, body(a.lane(n), &environment)) }
    try settle(environment)
    return result
  }

  /// Whether a truncation that fits raises nothing that is not flagged already.
  @inline(__always) private static func canTruncate(_ environment: FloatEnvironment) -> Bool {
    environment.flags.rawValue & environment.masks.rawValue & FloatFlags.inexact.rawValue != 0
  }

  /// Twice as many lanes with VEX.256.
  @inline(__always) private func count(_ i: borrowing Instruction, _ lanes: Int) -> Int { i.vectorLength == 32 ? lanes &* 2 : lanes }

  // MARK: Packed integers and floating point

  func CVTDQ2PS(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, try convert(a, count: count(i, 4)) { (x: Int32, e: inout FloatEnvironment) in HostFloat.single(Int64(x), &e) })
  }
  func CVTDQ2PD(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, try convert(a, count: count(i, 2)) { (x: Int32, _: inout FloatEnvironment) in HostFloat.widen(x) })
  }

  @inline(__always) private func singlesToIntegers(_ i: borrowing Instruction, truncate: Bool) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, try convert(a, count: count(i, 4)) { (x: Binary32, e: inout FloatEnvironment) in
      x.toInt32(truncate: truncate, &e)
    })
  }
  func CVTPS2DQ(_ i: borrowing Instruction) throws(Fault) { try singlesToIntegers(i, truncate: false) }
  func CVTTPS2DQ(_ i: borrowing Instruction) throws(Fault) { try singlesToIntegers(i, truncate: true) }

  /// Four lanes of VEX.256 fit an XMM register.
  @inline(__always) private func doublesToIntegers(_ i: borrowing Instruction, truncate: Bool) throws(Fault) {
    let a = try soleSource(i)
    setXMM(i, i.op0.register, try convert(a, count: count(i, 2)) { (x: Binary64, e: inout FloatEnvironment) in
      x.toInt32(truncate: truncate, &e)
    })
  }
  func CVTPD2DQ(_ i: borrowing Instruction) throws(Fault) { try doublesToIntegers(i, truncate: false) }
  func CVTTPD2DQ(_ i: borrowing Instruction) throws(Fault) { try doublesToIntegers(i, truncate: true) }

  // MARK: Packed single and double

  func CVTPS2PD(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, try convert(a, count: count(i, 2)) { (x: Binary32, e: inout FloatEnvironment) in HostFloat.tryWiden(x) ?? Binary64.from(x, &e) })
  }
  func CVTPD2PS(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setXMM(i, i.op0.register, try convert(a, count: count(i, 2)) { (x: Binary64, e: inout FloatEnvironment) in HostFloat.narrow(x, &e) })
  }

  // MARK: Scalars

  @inline(__always)
  private func convertScalar<From, To>(_ i: borrowing Instruction, _ body: (From, inout FloatEnvironment) -> To) throws(Fault) {
    let (a, b) = try sources(i)
    var environment = simdEnvironment
    var result = a
    result.setLane(0, body(b.lane(0), &environment))
    try settle(environment)
    setXMM(i, i.op0.register, result)
  }

  func CVTSS2SD(_ i: borrowing Instruction) throws(Fault) {
    try convertScalar(i) { (x: Binary32, e: inout FloatEnvironment) in HostFloat.tryWiden(x) ?? Binary64.from(x, &e) }
  }
  func CVTSD2SS(_ i: borrowing Instruction) throws(Fault) {
    try convertScalar(i) { (x: Binary64, e: inout FloatEnvironment) in HostFloat.narrow(x, &e) }
  }

  /// The integer source is a general register or memory of 4 or 8 bytes.
  func CVTSI2SS(_ i: borrowing Instruction) throws(Fault) {
    if (i.prefixes.contains(.vex) ? i.op2 : i.op1).size == 8 {
      try convertScalar(i) { (x: Int64, e: inout FloatEnvironment) in HostFloat.single(x, &e) }
    } else {
      try convertScalar(i) { (x: Int32, e: inout FloatEnvironment) in HostFloat.single(Int64(x), &e) }
    }
  }
  func CVTSI2SD(_ i: borrowing Instruction) throws(Fault) {
    if (i.prefixes.contains(.vex) ? i.op2 : i.op1).size == 8 {
      try convertScalar(i) { (x: Int64, e: inout FloatEnvironment) in HostFloat.double(x, &e) }
    } else {
      try convertScalar(i) { (x: Int32, _: inout FloatEnvironment) in HostFloat.widen(x) }
    }
  }

  @inline(__always) private func singleToInteger(_ i: borrowing Instruction, truncate: Bool) throws(Fault) {
    let x = try soleSource(i).lane(0, as: Binary32.self)
    var environment = simdEnvironment
    let wide = i.op0.size == 8
    if truncate, Self.canTruncate(environment) {
      if wide, let value = HostFloat.tryTruncateToInt64(x) { return setGPR(i.op0.register, UInt64(bitPattern: value)) }
      if !wide, let value = HostFloat.tryTruncateToInt32(x) { return setGPR(i.op0.register, UInt64(UInt32(bitPattern: value))) }
    }
    let value = wide ? x.toInt64(truncate: truncate, &environment) : Int64(x.toInt32(truncate: truncate, &environment))
    try settle(environment)
    setRegister(i.op0.register, size: wide ? 8 : 4, UInt64(bitPattern: value))
  }
  func CVTSS2SI(_ i: borrowing Instruction) throws(Fault) { try singleToInteger(i, truncate: false) }
  func CVTTSS2SI(_ i: borrowing Instruction) throws(Fault) { try singleToInteger(i, truncate: true) }

  @inline(__always) private func doubleToInteger(_ i: borrowing Instruction, truncate: Bool) throws(Fault) {
    let x = try soleSource(i).lane(0, as: Binary64.self)
    var environment = simdEnvironment
    let wide = i.op0.size == 8
    if truncate, Self.canTruncate(environment) {
      if wide, let value = HostFloat.tryTruncateToInt64(x) { return setGPR(i.op0.register, UInt64(bitPattern: value)) }
      if !wide, let value = HostFloat.tryTruncateToInt32(x) { return setGPR(i.op0.register, UInt64(UInt32(bitPattern: value))) }
    }
    let value = wide ? x.toInt64(truncate: truncate, &environment) : Int64(x.toInt32(truncate: truncate, &environment))
    try settle(environment)
    setRegister(i.op0.register, size: wide ? 8 : 4, UInt64(bitPattern: value))
  }
  func CVTSD2SI(_ i: borrowing Instruction) throws(Fault) { try doubleToInteger(i, truncate: false) }
  func CVTTSD2SI(_ i: borrowing Instruction) throws(Fault) { try doubleToInteger(i, truncate: true) }

  // MARK: MMX integers. The x87 unit changes to MMX even if a SIMD exception keeps the result from being written, as silicon does.

  /// Source of CVTPI2PS and CVTPI2PD: memory leaves the x87 unit alone.
  @inline(__always) private func mmxIntegers(_ i: borrowing Instruction) throws(Fault) -> Vector256 {
    try checkSSE()
    if i.op1.kind == .mmx {
      try checkMMX()
      enterMMX()
      return Vector256(mmx(i.op1.register))
    }
    return Vector256(try load64(i.segment, effectiveOffset(i)))
  }

  /// Source of the conversions to MMX.
  @inline(__always) private func sourceForMMX(_ i: borrowing Instruction) throws(Fault) -> Vector256 {
    try checkMMXWithSSE()
    let a = try source(i, i.op1, aligned: true)
    enterMMX()
    return a
  }

  func CVTPI2PS(_ i: borrowing Instruction) throws(Fault) {
    let a = try mmxIntegers(i)
    let result = try convert(a, count: 2) { (x: Int32, e: inout FloatEnvironment) in HostFloat.single(Int64(x), &e) }
    vector(i.op0.register).pointee.q0 = result.q0
  }
  func CVTPI2PD(_ i: borrowing Instruction) throws(Fault) {
    let a = try mmxIntegers(i)
    let result = try convert(a, count: 2) { (x: Int32, _: inout FloatEnvironment) in HostFloat.widen(x) }
    setXMM(i, i.op0.register, result)
  }

  @inline(__always) private func singlesToMMX(_ i: borrowing Instruction, truncate: Bool) throws(Fault) {
    let a = try sourceForMMX(i)
    let result = try convert(a, count: 2) { (x: Binary32, e: inout FloatEnvironment) in x.toInt32(truncate: truncate, &e) }
    setMMX(i.op0.register, result.q0)
  }
  func CVTPS2PI(_ i: borrowing Instruction) throws(Fault) { try singlesToMMX(i, truncate: false) }
  func CVTTPS2PI(_ i: borrowing Instruction) throws(Fault) { try singlesToMMX(i, truncate: true) }

  @inline(__always) private func doublesToMMX(_ i: borrowing Instruction, truncate: Bool) throws(Fault) {
    let a = try sourceForMMX(i)
    let result = try convert(a, count: 2) { (x: Binary64, e: inout FloatEnvironment) in x.toInt32(truncate: truncate, &e) }
    setMMX(i.op0.register, result.q0)
  }
  func CVTPD2PI(_ i: borrowing Instruction) throws(Fault) { try doublesToMMX(i, truncate: false) }
  func CVTTPD2PI(_ i: borrowing Instruction) throws(Fault) { try doublesToMMX(i, truncate: true) }

  // MARK: Half precision

  func VCVTPH2PS(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setVector(i, i.op0.register, try convert(a, count: count(i, 4)) { (x: Binary16, e: inout FloatEnvironment) in Binary32.from(x, &e) })
  }

  /// Four or eight lanes to the low half of a register, which is then cleared above, or to memory.
  func VCVTPS2PH(_ i: borrowing Instruction) throws(Fault) {
    try checkAVX()
    let control = i.immediate
    let mode = control & 4 != 0 ? simdEnvironment.rounding : RoundingMode(field: UInt8(truncatingIfNeeded: control))
    let size: UInt8 = i.vectorLength == 32 ? 16 : 8
    if i.op0.kind == .memory { try checkWrite(i.segment, effectiveOffset(i), size: Int(size)) }
    let result = try convert(vector(i.op1.register).pointee, count: count(i, 4)) { (x: Binary32, e: inout FloatEnvironment) in
      Binary16.from(x, mode, &e)
    }
    if i.op0.kind == .memory {
      try storeVector(i, size: size, result, aligned: false)
    } else {
      setXMM(i, i.op0.register, result)
    }
  }
}
