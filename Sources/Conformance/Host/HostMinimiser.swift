import HostOracle
import X86Decoder

/// Makes a failing case smaller while it still fails: fewer instructions, fewer registers, less memory.
struct HostMinimiser {
  /// Whether the case in its slot still fails.
  let fails: (CasePointer) -> Bool
  let decoder = Decoder()

  /// - Parameter c: a slot that the oracle runs; it holds the smaller case afterwards.
  func minimise(_ c: CasePointer) {
    var isSmaller = true
    var rounds = 0
    while isSmaller, rounds < 4 {
      rounds += 1
      isSmaller = instructions(c)
      isSmaller = state(c) || isSmaller
    }
  }

  /// Tries a change; takes it back if the case does not fail any more.
  private func attempt(_ c: CasePointer, _ change: () -> Bool) -> Bool {
    let saved = UnsafeMutablePointer<HostCase>.allocate(capacity: 1)
    defer { saved.deallocate() }
    saved.initialize(to: c.pointee)
    if !change() { return false }
    if fails(c) { return true }
    c.update(from: saved, count: 1)
    return false
  }

  private func instructions(_ c: CasePointer) -> Bool {
    var program = HostProgram()
    defer { program.deallocate() }
    var changed = attempt(c) {
      if c.pointee.codeOffset == 0x800 { return false }
      c.pointee.codeOffset = 0x800
      c.start.pointee.rip = HostLayout.code + 0x800
      return true
    }
    program.decode(c, decoder)
    var n = program.count - 1
    while n >= 0, program.count > 1 {
      let at = program.offset(n), length = n + 1 < program.count ? program.offset(n + 1) - at : c.length - at
      let gone = attempt(c) {
        for k in at..<c.length - length { c.code[k] = c.code[k + length] }
        c.pointee.codeLength -= UInt8(length)
        return true
      } || attempt(c) {
        // Without moving what follows: a branch may go there.
        if (0..<length).allSatisfy({ c.code[at + $0] == 0x90 }) { return false }
        for k in 0..<length { c.code[at + k] = 0x90 }
        return true
      }
      if gone {
        changed = true
        program.decode(c, decoder)
        n = min(n, program.count)
      }
      n -= 1
    }
    return changed
  }

  private func state(_ c: CasePointer) -> Bool {
    let s = c.start
    var changed = false
    func tryTo(_ change: () -> Bool) { if attempt(c, change) { changed = true } }
    while c.pointee.patchCount > 0 {
      let count = c.pointee.patchCount
      tryTo {
        c.pointee.patchCount -= 1
        return true
      }
      if c.pointee.patchCount == count { break }
    }
    tryTo {
      if c.pointee.bank == 0 { return false }
      c.pointee.bank = 0
      return true
    }
    // All registers of a kind at once, then one by one.
    tryTo {
      if (0..<64).allSatisfy({ s.ymm($0 / 4, $0 % 4) == 0 }) { return false }
      for n in 0..<64 { s.setYMM(n / 4, n % 4, 0) }
      return true
    }
    for n in 0..<64 { tryTo { clear(s.ymm(n / 4, n % 4)) { s.setYMM(n / 4, n % 4, 0) } } }
    for n in 0..<16 {
      tryTo { clear(s.gpr(n)) { s.setGPR(n, 0) } }
      tryTo { clear(s.gpr(n) & ~0xFFFF_FFFF) { s.setGPR(n, s.gpr(n) & 0xFFFF_FFFF) } }
      tryTo { clear(s.gpr(n) & ~0xFF) { s.setGPR(n, s.gpr(n) & 0xFF) } }
    }
    for n in 0..<8 { tryTo { clear(s.significand(n) | UInt64(s.signExponent(n))) { s.setST(n, 0, 0) } } }
    tryTo { clear(UInt64(s.tags)) { s.tags = 0 } }
    tryTo { clear(UInt64(s.statusWord)) { s.statusWord = 0 } }
    tryTo { clear(UInt64(s.statusWord & ~0x3800)) { s.statusWord &= 0x3800 } }
    tryTo { clear(UInt64(s.controlWord ^ 0x37F)) { s.controlWord = 0x37F } }
    tryTo { clear(UInt64(s.mxcsr ^ 0x1F80)) { s.mxcsr = 0x1F80 } }
    tryTo { clear(UInt64(s.mxcsr & 0x3F)) { s.mxcsr &= ~0x3F } }
    for bit in 0..<22 as Range<UInt64> { tryTo { clear(s.pointee.rflags & (1 << bit) & ~0x202) { s.pointee.rflags &= ~(1 << bit) } } }
    tryTo { clear(UInt64(s.pointee.fs)) { s.pointee.fs = 0 } }
    tryTo { clear(UInt64(s.pointee.gs)) { s.pointee.gs = 0 } }
    tryTo { clear(s.pointee.fsBase) { s.pointee.fsBase = 0 } }
    tryTo { clear(s.pointee.gsBase) { s.pointee.gsBase = 0 } }
    return changed
  }

  private func clear(_ value: UInt64, _ action: () -> Void) -> Bool {
    if value == 0 { return false }
    action()
    return true
  }
}
