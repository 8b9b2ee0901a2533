import X86
import X86Decoder

/// Port input and output (SDM vol. 1 chapter 19).
extension CPU {
  /// Raises #GP(0) unless the program may use `size` ports from `port` on: by IOPL, or by the permission bitmap of the TSS.
  func checkPort(_ port: UInt16, size: Int) throws(Fault) {
    if isReal || (!s.pointee.v86 && s.pointee.cpl <= iopl) { return }
    let tr = s.pointee.tr
    if !tr.usable || tr.type & 8 == 0 || tr.limit < 103 { throw .generalProtection() }
    let map = UInt64(try loadSystem16(systemLinear(tr.base &+ 102)))
    let at = map &+ UInt64(port &>> 3)
    // Two bytes are always read, so the bitmap ends with a byte of ones.
    if at &+ 1 > UInt64(tr.limit) { throw .generalProtection() }
    let bits = UInt32(try loadSystem8(systemLinear(tr.base &+ at)))
      | UInt32(try loadSystem8(systemLinear(tr.base &+ at &+ 1))) &<< 8
    let wanted: UInt32 = ((1 &<< UInt32(size)) &- 1) &<< UInt32(port & 7)
    if bits & wanted != 0 { throw .generalProtection() }
  }

  private func readPort(_ port: UInt16, size: Int) -> UInt32 {
    portBreakpoint(port, size: size)
    return environment.bus.readPort(port, size: size)
  }

  private func writePort(_ port: UInt16, _ value: UInt32, size: Int) {
    portBreakpoint(port, size: size)
    environment.bus.writePort(port, value, size: size)
  }

  /// The port operand: an immediate byte or DX.
  private func portOperand(_ o: Operand, _ i: borrowing Instruction) -> UInt16 {
    o.kind == .general ? UInt16(truncatingIfNeeded: s.pointee.rdx) : UInt16(truncatingIfNeeded: i.immediate) & 0xFF
  }

  func IN(_ i: borrowing Instruction) throws(Fault) {
    let port = portOperand(i.op1, i)
    let size = i.op0.size
    try checkPort(port, size: Int(size))
    setRegister(0, size: size, UInt64(readPort(port, size: Int(size))))
  }

  func OUT(_ i: borrowing Instruction) throws(Fault) {
    let port = portOperand(i.op0, i)
    let size = i.op1.size
    try checkPort(port, size: Int(size))
    writePort(port, UInt32(truncatingIfNeeded: register(0, size: size)), size: Int(size))
  }

  // MARK: String forms

  func INSB(_ i: borrowing Instruction) throws(Fault) { try inputString(i, size: 1) }
  func INSW(_ i: borrowing Instruction) throws(Fault) { try inputString(i, size: 2) }
  func INSD(_ i: borrowing Instruction) throws(Fault) { try inputString(i, size: 4) }
  func OUTSB(_ i: borrowing Instruction) throws(Fault) { try outputString(i, size: 1) }
  func OUTSW(_ i: borrowing Instruction) throws(Fault) { try outputString(i, size: 2) }
  func OUTSD(_ i: borrowing Instruction) throws(Fault) { try outputString(i, size: 4) }

  private func inputString(_ i: borrowing Instruction, size: UInt8) throws(Fault) {
    let port = UInt16(truncatingIfNeeded: s.pointee.rdx)
    try checkPort(port, size: Int(size))
    let width = i.addressSize
    let mask = addressSizeMask(i)
    try repeatString(i) { () throws(Fault) in
      let offset = s.pointee.rdi & mask
      // The store may fault; the port must not have been read then.
      try checkWrite(.es, offset, size: Int(size))
      try store(.es, offset, UInt64(readPort(port, size: Int(size))), size: size)
      advance(7, size, width)
    }
  }

  private func outputString(_ i: borrowing Instruction, size: UInt8) throws(Fault) {
    let port = UInt16(truncatingIfNeeded: s.pointee.rdx)
    try checkPort(port, size: Int(size))
    let width = i.addressSize
    let mask = addressSizeMask(i)
    let source = i.segment
    try repeatString(i) { () throws(Fault) in
      let value = try load(source, s.pointee.rsi & mask, size: size)
      writePort(port, UInt32(truncatingIfNeeded: value), size: Int(size))
      advance(6, size, width)
    }
  }

  /// Moves RSI or RDI by the element size in the direction of DF, within the address size.
  @inline(__always)
  private func advance(_ n: UInt8, _ size: UInt8, _ width: UInt8) {
    let step = s.pointee.systemFlags & RFLAGS.DF != 0 ? 0 &- UInt64(size) : UInt64(size)
    setRegister(n, size: width, gpr(n) &+ step)
  }

  /// Executes a string instruction once, or under REP a bounded number of times; what is left is done when RIP comes here again.
  @inline(__always)
  private func repeatString(_ i: borrowing Instruction, _ once: () throws(Fault) -> Void) throws(Fault) {
    if i.prefixes.isDisjoint(with: [.rep, .repne]) {
      try once()
      return
    }
    var left = s.pointee.rcx & addressSizeMask(i)
    if left == 0 { return }
    let limit = UInt64(max(1, min(s.pointee.budget, 4096)))
    var done: UInt64 = 0
    // Devices see the time of each iteration, wherever the run was cut.
    let begin = s.pointee.retired
    while left != 0, done < limit {
      s.pointee.retired = begin &+ done
      do throws(Fault) {
        try once()
      } catch {
        // Iterations before the fault count; the instruction raises it anew as its first.
        s.pointee.retired = begin
        if done == 0 { throw error }
        break
      }
      left &-= 1
      done &+= 1
      setRegister(1, size: i.addressSize, left)
      // An event that a port access caused, or a breakpoint, is taken between iterations.
      if s.pointee.exitRequest != 0 || s.pointee.pendingDebug != 0 { break }
    }
    s.pointee.retired = begin
    s.pointee.retireWeight = done
    if left != 0 { s.pointee.nextRIP = s.pointee.rip }
  }
}
