import X86Decoder

/// Status flags computed from what the last instruction left behind (`FlagKind`), in machine registers.
///
/// All functions take the left-justified result `fr`, the auxiliary word `fa` and the kind word `fk` of `CPUState`.
/// With a constant `fk` they fold to a few host instructions; a handler that knows the producer passes a constant.
public enum Flags {
  public static let cf: UInt64 = 1 << 0
  public static let pf: UInt64 = 1 << 2
  public static let af: UInt64 = 1 << 4
  public static let zf: UInt64 = 1 << 6
  public static let sf: UInt64 = 1 << 7
  public static let of: UInt64 = 1 << 11
  /// CF PF AF ZF SF OF, the lazily kept part of RFLAGS.
  public static let status: UInt64 = 0x8D5

  /// Distance by which an operand of `size` bytes is left-justified.
  @inlinable @inline(__always)
  public static func justification(_ size: UInt8) -> UInt64 { 64 &- UInt64(size) &* 8 }

  /// The word of `CPUState.flagKind` for a kind and an operand width in bytes.
  @inlinable @inline(__always)
  public static func kind(_ kind: UInt32, size: UInt8) -> UInt32 {
    kind | UInt32(truncatingIfNeeded: justification(size)) &<< 8
  }

  @inlinable @inline(__always)
  public static func shift(_ fk: UInt32) -> UInt64 { UInt64(fk &>> 8) & 63 }

  /// The second operand, left-justified; for the kinds add, sub, adc and sbb.
  @inlinable @inline(__always)
  public static func secondOperand(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> UInt64 {
    switch fk & 0xFF {
    case FlagKind.sub: return fa &- fr
    case FlagKind.add: return fr &- fa
    case FlagKind.adc: return fr &- fa &- (1 &<< shift(fk))
    default: return fa &- fr &- (1 &<< shift(fk))
    }
  }

  @inlinable @inline(__always)
  public static func carry(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool {
    switch fk & 0xFF {
    case FlagKind.sub: return fr > fa
    case FlagKind.add: return fr < fa
    case FlagKind.logic: return false
    case FlagKind.adc: return fr <= fa
    case FlagKind.sbb: return fr >= fa
    default: return fa & 1 != 0
    }
  }

  @inlinable @inline(__always)
  public static func zero(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { fr == 0 }

  @inlinable @inline(__always)
  public static func sign(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool {
    fk & 0xFF == FlagKind.explicit ? fa & sf != 0 : Int64(bitPattern: fr) < 0
  }

  @inlinable @inline(__always)
  public static func overflow(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool {
    switch fk & 0xFF {
    case FlagKind.sub, FlagKind.sbb:
      let b = secondOperand(fr, fa, fk)
      return Int64(bitPattern: (fa ^ b) & (fa ^ fr)) < 0
    case FlagKind.add, FlagKind.adc:
      let b = secondOperand(fr, fa, fk)
      return Int64(bitPattern: (fr ^ fa) & (fr ^ b)) < 0
    case FlagKind.logic: return false
    case FlagKind.inc: return fr == 1 &<< 63
    case FlagKind.dec: return fr &+ (1 &<< shift(fk)) == 1 &<< 63
    case FlagKind.shift: return fa & 2 != 0
    default: return fa & of != 0
    }
  }

  /// Even number of ones in the result's low byte.
  @inlinable @inline(__always)
  public static func parity(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool {
    if fk & 0xFF == FlagKind.explicit { return fa & pf != 0 }
    return evenParity(fr &>> shift(fk))
  }

  /// Parity of the low byte, without a population count (which not every host has as one instruction).
  @inlinable @inline(__always)
  public static func evenParity(_ value: UInt64) -> Bool {
    let folded = (value ^ (value &>> 4)) & 0xF
    return (0x9669 &>> folded) & 1 != 0
  }

  /// Carry out of bit 3. Logic and shifts clear it, as silicon does where the manual leaves it undefined.
  @inlinable @inline(__always)
  public static func adjust(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool {
    switch fk & 0xFF {
    case FlagKind.sub, FlagKind.add, FlagKind.adc, FlagKind.sbb:
      return ((fr ^ fa ^ secondOperand(fr, fa, fk)) &>> shift(fk)) & 0x10 != 0
    case FlagKind.logic: return false
    case FlagKind.inc: return (fr &>> shift(fk)) & 0xF == 0
    case FlagKind.dec: return (fr &>> shift(fk)) & 0xF == 0xF
    default: return fa & af != 0
    }
  }

  /// The auxiliary word with `FlagKind.shift` for other CF and OF while SF, ZF, PF and AF stay; not for `FlagKind.explicit`.
  @inlinable @inline(__always)
  public static func replacing(carry: Bool, overflow: Bool, _ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> UInt64 {
    (carry ? 1 : 0) | (overflow ? 2 : 0) | (adjust(fr, fa, fk) ? af : 0)
  }

  /// SF ≠ OF.
  @inlinable @inline(__always)
  public static func less(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool {
    if fk & 0xFF == FlagKind.sub { return Int64(bitPattern: fa) < Int64(bitPattern: fa &- fr) }
    return sign(fr, fa, fk) != overflow(fr, fa, fk)
  }

  /// The condition in the low four bits of the opcodes of Jcc, SETcc and CMOVcc (SDM vol. 1 appendix B).
  @inlinable @inline(__always)
  public static func condition(_ cc: UInt8, _ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool {
    let holds: Bool
    switch (cc &>> 1) & 7 {
    case 0: holds = overflow(fr, fa, fk)
    case 1: holds = carry(fr, fa, fk)
    case 2: holds = zero(fr, fa, fk)
    case 3: holds = carry(fr, fa, fk) || zero(fr, fa, fk)
    case 4: holds = sign(fr, fa, fk)
    case 5: holds = parity(fr, fa, fk)
    case 6: holds = less(fr, fa, fk)
    default: holds = less(fr, fa, fk) || zero(fr, fa, fk)
    }
    return holds != (cc & 1 != 0)
  }

  /// CF PF AF ZF SF OF at their places in RFLAGS, all other bits clear.
  @inlinable @inline(__always)
  public static func word(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> UInt64 {
    if fk & 0xFF == FlagKind.explicit { return fa & status }
    return (carry(fr, fa, fk) ? cf : 0) | (parity(fr, fa, fk) ? pf : 0) | (adjust(fr, fa, fk) ? af : 0)
      | (zero(fr, fa, fk) ? zf : 0) | (sign(fr, fa, fk) ? sf : 0) | (overflow(fr, fa, fk) ? of : 0)
  }

  /// The pair to keep with `FlagKind.explicit` for a word of flags.
  @inlinable @inline(__always)
  public static func explicit(_ bits: UInt64) -> (result: UInt64, aux: UInt64) {
    ((bits & zf) ^ zf, bits & status)
  }
}

/// Status flags in memory, for instructions outside the fast path.
extension CPU {
  @inlinable @inline(__always)
  public func statusFlags() -> UInt64 {
    Flags.word(s.pointee.flagResult, s.pointee.flagAux, s.pointee.flagKind)
  }

  /// RFLAGS with everything in it.
  @inlinable @inline(__always)
  public func rflags() -> UInt64 { s.pointee.systemFlags | statusFlags() }

  /// Sets CF PF AF ZF SF OF, all six, from their places in `bits`.
  @inlinable @inline(__always)
  public func setStatusFlags(_ bits: UInt64) {
    let pair = Flags.explicit(bits)
    setFlags(pair.result, pair.aux, FlagKind.explicit)
  }

  /// Sets the status flags in `mask` from `bits`; the others keep their values.
  @inlinable @inline(__always)
  public func updateStatusFlags(_ bits: UInt64, mask: UInt64) {
    setStatusFlags((statusFlags() & ~mask) | (bits & mask))
  }

  @usableFromInline @inline(__always)
  func setFlags(_ result: UInt64, _ aux: UInt64, _ kind: UInt32) {
    s.pointee.flagResult = result
    s.pointee.flagAux = aux
    s.pointee.flagKind = kind
  }

  @inlinable @inline(__always)
  public func condition(_ cc: UInt8) -> Bool {
    Flags.condition(cc, s.pointee.flagResult, s.pointee.flagAux, s.pointee.flagKind)
  }

  public var cf: Bool {
    @inlinable @inline(__always)
    get { Flags.carry(s.pointee.flagResult, s.pointee.flagAux, s.pointee.flagKind) }
    nonmutating set { updateStatusFlags(newValue ? Flags.cf : 0, mask: Flags.cf) }
  }

  public var pf: Bool {
    @inlinable @inline(__always)
    get { Flags.parity(s.pointee.flagResult, s.pointee.flagAux, s.pointee.flagKind) }
    nonmutating set { updateStatusFlags(newValue ? Flags.pf : 0, mask: Flags.pf) }
  }

  public var af: Bool {
    @inlinable @inline(__always)
    get { Flags.adjust(s.pointee.flagResult, s.pointee.flagAux, s.pointee.flagKind) }
    nonmutating set { updateStatusFlags(newValue ? Flags.af : 0, mask: Flags.af) }
  }

  public var zf: Bool {
    @inlinable @inline(__always)
    get { s.pointee.flagResult == 0 }
    nonmutating set { updateStatusFlags(newValue ? Flags.zf : 0, mask: Flags.zf) }
  }

  public var sf: Bool {
    @inlinable @inline(__always)
    get { Flags.sign(s.pointee.flagResult, s.pointee.flagAux, s.pointee.flagKind) }
    nonmutating set { updateStatusFlags(newValue ? Flags.sf : 0, mask: Flags.sf) }
  }

  public var of: Bool {
    @inlinable @inline(__always)
    get { Flags.overflow(s.pointee.flagResult, s.pointee.flagAux, s.pointee.flagKind) }
    nonmutating set { updateStatusFlags(newValue ? Flags.of : 0, mask: Flags.of) }
  }

  // Producers. `result` and `a` are right-justified; bits above `size` bytes do not matter.

  /// After result = a + b.
  @inlinable @inline(__always)
  public func setFlagsAdd(_ result: UInt64, _ a: UInt64, _ size: UInt8) {
    setFlagsArithmetic(FlagKind.add, result, a, size)
  }

  /// After result = a + b + carry.
  @inlinable @inline(__always)
  public func setFlagsAdc(_ result: UInt64, _ a: UInt64, carry: Bool, _ size: UInt8) {
    setFlagsArithmetic(carry ? FlagKind.adc : FlagKind.add, result, a, size)
  }

  /// After result = a − b.
  @inlinable @inline(__always)
  public func setFlagsSub(_ result: UInt64, _ a: UInt64, _ size: UInt8) {
    setFlagsArithmetic(FlagKind.sub, result, a, size)
  }

  /// After result = a − b − borrow.
  @inlinable @inline(__always)
  public func setFlagsSbb(_ result: UInt64, _ a: UInt64, borrow: Bool, _ size: UInt8) {
    setFlagsArithmetic(borrow ? FlagKind.sbb : FlagKind.sub, result, a, size)
  }

  /// After result = 0 − b.
  @inlinable @inline(__always)
  public func setFlagsNeg(_ result: UInt64, _ size: UInt8) {
    setFlagsArithmetic(FlagKind.sub, result, 0, size)
  }

  @usableFromInline @inline(__always)
  func setFlagsArithmetic(_ kind: UInt32, _ result: UInt64, _ a: UInt64, _ size: UInt8) {
    let shift = Flags.justification(size)
    setFlags(result &<< shift, a &<< shift, Flags.kind(kind, size: size))
  }

  /// After a bitwise operation: CF = OF = AF = 0.
  @inlinable @inline(__always)
  public func setFlagsLogic(_ result: UInt64, _ size: UInt8) {
    setFlags(result &<< Flags.justification(size), 0, Flags.kind(FlagKind.logic, size: size))
  }

  /// After result = a + 1; CF keeps its value.
  @inlinable @inline(__always)
  public func setFlagsInc(_ result: UInt64, _ size: UInt8) {
    setFlags(result &<< Flags.justification(size), cf ? 1 : 0, Flags.kind(FlagKind.inc, size: size))
  }

  /// After result = a − 1; CF keeps its value.
  @inlinable @inline(__always)
  public func setFlagsDec(_ result: UInt64, _ size: UInt8) {
    setFlags(result &<< Flags.justification(size), cf ? 1 : 0, Flags.kind(FlagKind.dec, size: size))
  }

  /// After a shift (and whatever else sets SF ZF PF from a result and CF OF by itself); AF = 0.
  @inlinable @inline(__always)
  public func setFlagsShift(_ result: UInt64, carry: Bool, overflow: Bool, _ size: UInt8) {
    setFlags(result &<< Flags.justification(size), (carry ? 1 : 0) | (overflow ? 2 : 0),
             Flags.kind(FlagKind.shift, size: size))
  }
}
