import X86Decoder

/// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM vol. 1 §12.10.3, vol. 2B §4.1). Memory needs no alignment.
extension CPU {
  /// Fields of the immediate (SDM vol. 2B table 4-1 on).
  private struct StringControl {
    let immediate: UInt64

    var words: Bool { immediate & 1 != 0 }
    var signed: Bool { immediate & 2 != 0 }
    /// 0 equal any, 1 ranges, 2 equal each, 3 equal ordered.
    var aggregation: UInt64 { immediate &>> 2 & 3 }
    var negated: Bool { immediate & 16 != 0 }
    var negatesValidOnly: Bool { immediate & 32 != 0 }
    /// Index of the last one instead of the first, or a mask of elements instead of bits.
    var outputBit: Bool { immediate & 64 != 0 }
    var count: Int { words ? 8 : 16 }

    /// All elements, widened so that one comparison serves all kinds.
    @inline(__always) func elements(_ v: Vector256) -> Elements {
      var result = Elements(repeating: 0)
      switch immediate & 3 {
      case 0: for n in 0..<16 { result[n] = Int32(v.lane(n, as: UInt8.self)) }
      case 1: for n in 0..<8 { result[n] = Int32(v.lane(n, as: UInt16.self)) }
      case 2: for n in 0..<16 { result[n] = Int32(v.lane(n, as: Int8.self)) }
      default: for n in 0..<8 { result[n] = Int32(v.lane(n, as: Int16.self)) }
      }
      return result
    }

    /// Elements before the first zero.
    @inline(__always) func implicitLength(_ v: borrowing Elements) -> Int {
      for n in 0..<count where v[n] == 0 { return n }
      return count
    }
  }

  private typealias Elements = InlineArray<16, Int32>

  /// The explicit length in RAX or RDX: its absolute value, saturated.
  private func explicitLength(_ i: borrowing Instruction, _ value: UInt64, _ count: Int) -> Int {
    // W means 64-bit lengths, but in 64-bit code only.
    let signed = i.prefixes.contains(.rexW) && is64Bit ? Int64(bitPattern: value) : Int64(Int32(truncatingIfNeeded: value))
    return Int(truncatingIfNeeded: min(signed.magnitude, UInt64(count)))
  }

  /// IntRes1: what the aggregation says of each element of the second source, with invalid elements overridden
  /// (SDM vol. 2B table 4-7).
  @inline(__always)
  private func aggregate(_ control: StringControl, _ a: borrowing Elements, _ lengthA: Int, _ b: borrowing Elements, _ lengthB: Int) -> UInt32 {
    var result: UInt32 = 0
    let count = control.count
    switch control.aggregation {
    case 0:
      for j in 0..<lengthB {
        let x = b[j]
        for k in 0..<lengthA where a[k] == x { result |= 1 &<< UInt32(j) }
      }
    case 1:
      for j in 0..<lengthB {
        let x = b[j]
        for k in stride(from: 0, to: lengthA &- 1, by: 2) where a[k] <= x {
          if x <= a[k &+ 1] { result |= 1 &<< UInt32(j) }
        }
      }
    case 2:
      for j in 0..<count {
        let (validA, validB) = (j < lengthA, j < lengthB)
        let equal = a[j] == b[j]
        if validA && validB ? equal : validA == validB { result |= 1 &<< UInt32(j) }
      }
    default:
      for j in 0..<count {
        var matches = true
        for k in 0..<min(lengthA, count &- j) {
          let equal = a[k] == b[j &+ k]
          if j &+ k >= lengthB || !equal {
            matches = false
            break
          }
        }
        if matches { result |= 1 &<< UInt32(j) }
      }
    }
    return result
  }

  /// IntRes2 with the flags set; the caller makes an index or a mask of it.
  private func compareStrings(_ i: borrowing Instruction, explicit: Bool) throws(Fault) -> (StringControl, UInt32) {
    try checkVector(i)
    let second = try source(i, i.op1, aligned: false)
    let control = StringControl(immediate: i.immediate & 0xFF)
    let (a, b) = (control.elements(vector(i.op0.register).pointee), control.elements(second))
    let count = control.count
    let lengthA = explicit ? explicitLength(i, s.pointee.rax, count) : control.implicitLength(a)
    let lengthB = explicit ? explicitLength(i, s.pointee.rdx, count) : control.implicitLength(b)
    var result = aggregate(control, a, lengthA, b, lengthB)
    let valid: UInt32 = control.negatesValidOnly ? (1 &<< UInt32(lengthB)) &- 1 : (1 &<< UInt32(count)) &- 1
    if control.negated { result ^= valid }
    setStatusFlags(
      (result != 0 ? Flags.cf : 0) | (lengthB < count ? Flags.zf : 0) | (lengthA < count ? Flags.sf : 0)
        | (result & 1 != 0 ? Flags.of : 0))
    return (control, result)
  }

  @inline(__always) private func stringIndex(_ i: borrowing Instruction, explicit: Bool) throws(Fault) {
    let (control, result) = try compareStrings(i, explicit: explicit)
    let index: Int
    if result == 0 {
      index = control.count
    } else {
      index = control.outputBit ? 31 &- result.leadingZeroBitCount : result.trailingZeroBitCount
    }
    s.pointee.rcx = UInt64(index)
  }

  @inline(__always) private func stringMask(_ i: borrowing Instruction, explicit: Bool) throws(Fault) {
    let (control, bits) = try compareStrings(i, explicit: explicit)
    var result = Vector256(UInt64(bits))
    if control.outputBit {
      result = Vector256()
      for n in 0..<control.count where bits &>> UInt32(n) & 1 != 0 {
        if control.words { result.setLane(n, UInt16.max) } else { result.setLane(n, UInt8.max) }
      }
    }
    setXMM(i, 0, result)
  }

  func PCMPESTRI(_ i: borrowing Instruction) throws(Fault) { try stringIndex(i, explicit: true) }
  func PCMPISTRI(_ i: borrowing Instruction) throws(Fault) { try stringIndex(i, explicit: false) }
  func PCMPESTRM(_ i: borrowing Instruction) throws(Fault) { try stringMask(i, explicit: true) }
  func PCMPISTRM(_ i: borrowing Instruction) throws(Fault) { try stringMask(i, explicit: false) }
}
