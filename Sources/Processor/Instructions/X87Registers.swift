import SoftFloat
import X86
import X86Decoder

/// The x87 register stack, its exceptions and its environment (SDM vol. 1 §8.1–§8.5).
///
/// Not modelled: with CR0.NE clear a pending error raises #MF as well, where hardware would assert FERR# and wait for IRQ 13.

/// Bits of the x87 status word.
enum X87Status {
  static let stackFault: UInt16 = 1 << 6
  static let errorSummary: UInt16 = 1 << 7
  static let c0: UInt16 = 1 << 8
  static let c1: UInt16 = 1 << 9
  static let c2: UInt16 = 1 << 10
  static let c3: UInt16 = 1 << 14
  static let busy: UInt16 = 1 << 15
  static let conditions = c0 | c1 | c2 | c3
}

extension CPU {
  // MARK: Checks

  /// Before an x87 instruction that waits: #NM if the unit is not there or belongs to another task, #MF for a pending error.
  @inline(__always)
  func checkX87() throws(Fault) {
    if s.pointee.cr0 & (CR0.EM | CR0.TS) | UInt64(s.pointee.x87.statusWord & X87Status.errorSummary) != 0 { try refuseX87() }
  }

  @inline(never)
  private func refuseX87() throws(Fault) {
    throw s.pointee.cr0 & (CR0.EM | CR0.TS) != 0 ? .deviceNotAvailable : .floatingPoint
  }

  /// Before an instruction that does not wait for errors (FNINIT, FNSTSW …).
  @inline(__always)
  func checkX87Present() throws(Fault) {
    if s.pointee.cr0 & (CR0.EM | CR0.TS) != 0 { throw .deviceNotAvailable }
  }

  /// Remembers instruction and operand for FNSTENV; control instructions do not do this (SDM vol. 1 §8.1.8).
  @inline(__always)
  func noteX87(_ i: borrowing Instruction) {
    s.pointee.x87.lastInstruction = s.pointee.rip
    s.pointee.x87.lastInstructionSelector = s.pointee.cs.selector
    s.pointee.x87.lastOpcode = UInt16(i.opcode & 7) &<< 8 | UInt16(i.modRM)
    if i.op0.kind == .memory {
      s.pointee.x87.lastOperand = effectiveOffset(i)
      s.pointee.x87.lastOperandSelector = segment(i.segment).pointee.selector
    }
  }

  // MARK: Stack

  @inline(__always)
  func st(_ n: UInt8) -> UnsafeMutablePointer<Extended80> { physicalRegister(s.pointee.x87.top &+ n) }

  @inline(__always)
  func isEmpty(_ n: UInt8) -> Bool { s.pointee.x87.valid & (1 &<< ((s.pointee.x87.top &+ n) & 7)) == 0 }

  /// Writes ST(n) and marks it valid.
  @inline(__always)
  func setST(_ n: UInt8, _ value: Extended80) {
    st(n).pointee = value
    s.pointee.x87.valid |= 1 &<< ((s.pointee.x87.top &+ n) & 7)
  }

  @inline(__always)
  func popST() {
    s.pointee.x87.valid &= ~(1 &<< s.pointee.x87.top)
    s.pointee.x87.top = (s.pointee.x87.top &+ 1) & 7
  }

  /// Decrements TOP and writes the new ST(0); the caller has made sure that it is empty.
  @inline(__always)
  func pushST(_ value: Extended80) {
    s.pointee.x87.top = (s.pointee.x87.top &- 1) & 7
    setST(0, value)
  }

  /// Pushes a value, or reports stack overflow: the indefinite is pushed then if IE is masked.
  @inline(__always)
  func pushChecked(_ value: Extended80) {
    if isEmpty(7) { return pushST(value) }
    if stackFault(overflow: true) { pushST(.indefinite) }
  }

  // MARK: Exceptions

  @inline(__always)
  var x87Environment: FloatEnvironment { FloatEnvironment(controlWord: s.pointee.x87.controlWord) }

  /// Adds exceptions to the status word, with the error summary if one is unmasked. C1 becomes the direction of rounding.
  @inline(__always)
  func raise(_ environment: FloatEnvironment) {
    let flags = UInt16(environment.flags.rawValue)
    var status = (s.pointee.x87.statusWord & ~X87Status.c1) | flags | (environment.roundedUp ? X87Status.c1 : 0)
    if flags & ~s.pointee.x87.controlWord & 0x3F != 0 { status |= X87Status.errorSummary | X87Status.busy }
    s.pointee.x87.statusWord = status
  }

  /// Stack overflow or underflow: IE and SF, C1 telling which. Returns true if IE is masked, so that the indefinite is the result.
  @inline(never)
  func stackFault(overflow: Bool) -> Bool {
    var status = (s.pointee.x87.statusWord & ~X87Status.c1) | 1 | X87Status.stackFault | (overflow ? X87Status.c1 : 0)
    let masked = s.pointee.x87.controlWord & 1 != 0
    if !masked { status |= X87Status.errorSummary | X87Status.busy }
    s.pointee.x87.statusWord = status
    return masked
  }

  @inline(__always)
  func setConditions(_ bits: UInt16, mask: UInt16 = X87Status.conditions) {
    s.pointee.x87.statusWord = (s.pointee.x87.statusWord & ~mask) | bits
  }

  /// After the control word or the flags were loaded: the summary follows from them.
  func updateErrorSummary() {
    let pending = s.pointee.x87.statusWord & ~s.pointee.x87.controlWord & 0x3F != 0
    s.pointee.x87.statusWord = (s.pointee.x87.statusWord & ~(X87Status.errorSummary | X87Status.busy))
      | (pending ? X87Status.errorSummary | X87Status.busy : 0)
  }

  /// Status word with TOP in its place.
  var x87StatusWord: UInt16 { s.pointee.x87.statusWord | UInt16(s.pointee.x87.top) &<< 11 }

  /// The full tag word: two bits a physical register, computed from contents (SDM vol. 1 §8.1.7).
  var x87TagWord: UInt16 {
    var tags: UInt16 = 0
    for n in 0..<8 as Range<UInt8> {
      let tag: UInt16
      if s.pointee.x87.valid & (1 &<< n) == 0 {
        tag = 3
      } else {
        switch physicalRegister(n).pointee.classification {
        case .normal: tag = 0
        case .zero: tag = 1
        default: tag = 2
        }
      }
      tags |= tag &<< (UInt16(n) &* 2)
    }
    return tags
  }

  func setX87TagWord(_ tags: UInt16) {
    var valid: UInt8 = 0
    for n in 0..<8 as Range<UInt8> where (tags &>> (UInt16(n) &* 2)) & 3 != 3 { valid |= 1 &<< n }
    s.pointee.x87.valid = valid
  }

  func initialiseX87Unit() {
    s.pointee.x87.controlWord = 0x37F
    s.pointee.x87.statusWord = 0
    s.pointee.x87.top = 0
    s.pointee.x87.valid = 0
    s.pointee.x87.lastOpcode = 0
    s.pointee.x87.lastInstruction = 0
    s.pointee.x87.lastInstructionSelector = 0
    s.pointee.x87.lastOperand = 0
    s.pointee.x87.lastOperandSelector = 0
  }
}
