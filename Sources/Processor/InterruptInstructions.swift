import X86
import X86Decoder

/// Instructions that raise interrupts and return from them (SDM vol. 2: INT n, INT3, INTO, INT1, IRET).
extension CPU {
  /// Raises a software event. A fault on the way is this instruction's own.
  private func raise(_ vector: UInt8, _ kind: EventKind, redirected: Bool = false) throws(Fault) {
    let event = Event(vector: vector, kind: kind, returnRIP: s.pointee.nextRIP, redirected: redirected)
    if observes(.events), !mayDeliver(event, depth: 0) { return }
    let from = linearRIP
    do throws(Fault) {
      try dispatch(event)
    } catch {
      var fault = error
      if event.isExternal, fault.hasErrorCode, fault.vector >= Vector.TS.rawValue, fault.vector <= Vector.GP.rawValue {
        fault.errorCode |= 1
      }
      throw fault
    }
    s.pointee.interruptShadow = .max
    if observes(.events) { reportBranch(.softwareInterrupt, from: from, rip: s.pointee.nextRIP) }
  }

  func INT(_ i: borrowing Instruction) throws(Fault) {
    let vector = UInt8(truncatingIfNeeded: i.immediate)
    if s.pointee.v86 {
      if s.pointee.cr4 & CR4.VME != 0, try isRedirected(vector) {
        try raise(vector, .software, redirected: true)
        return
      }
      if iopl < 3 { throw .generalProtection() }
    }
    try raise(vector, .software)
  }

  /// Interrupt redirection bitmap of the TSS, the 32 bytes below the I/O bitmap: a clear bit keeps the interrupt in the
  /// virtual-8086 task (SDM vol. 3B §21.3.3).
  private func isRedirected(_ vector: UInt8) throws(Fault) -> Bool {
    let tr = s.pointee.tr
    if !tr.usable || tr.type & 8 == 0 || tr.limit < 103 { throw .generalProtection() }
    let map = UInt64(try loadSystem16(systemLinear(tr.base &+ 102)))
    let at = map &- 32 &+ UInt64(vector &>> 3)
    if map < 32 || at > UInt64(tr.limit) { throw .generalProtection() }
    return (try loadSystem8(systemLinear(tr.base &+ at)) &>> (vector & 7)) & 1 == 0
  }

  func INT3(_ i: borrowing Instruction) throws(Fault) { try raise(Vector.BP.rawValue, .software) }

  func INTO(_ i: borrowing Instruction) throws(Fault) {
    if of { try raise(Vector.OF.rawValue, .software) }
  }

  func INT1(_ i: borrowing Instruction) throws(Fault) { try raise(Vector.DB.rawValue, .privilegedSoftware) }

  // MARK: IRET

  func IRET(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.protectedMode {
      if is64Bit { try returnFrom64(i) } else { try returnProtected(i) }
    } else if s.pointee.v86 {
      try returnV86(i)
    } else {
      try returnReal(i)
    }
    s.pointee.nmiBlocked = false
    noteFlagsChanged()
  }

  /// Loads the flags that IRET may change at the privilege `cpl` it was executed with.
  private func loadFlags(_ image: UInt64, size: UInt8, cpl: UInt8, iopl: UInt8, virtual: Bool = true) {
    var mask = RFLAGS.TF | RFLAGS.DF | RFLAGS.NT
    if cpl <= iopl { mask |= RFLAGS.IF }
    if cpl == 0 { mask |= RFLAGS.IOPL }
    if size != 2 {
      mask |= identificationMask
      // RF only matters to instruction breakpoints; without any it would outlive the next instruction.
      if hasCodeBreakpoints { mask |= RFLAGS.RF }
      if cpl == 0, virtual { mask |= RFLAGS.VIF | RFLAGS.VIP }
    }
    setStatusFlags(image)
    setSystemFlags(image, mask: mask)
  }

  /// The flags by which programs tell processors apart: AC can be changed from the 486 on, ID where there is a CPUID instruction.
  var identificationMask: UInt64 {
    (has(.i486) ? RFLAGS.AC : 0) | (environment.model.hasCPUID ? RFLAGS.ID : 0)
  }

  private func returnReal(_ i: borrowing Instruction) throws(Fault) {
    let size = i.operandSize
    let step = Int64(size)
    let offset = try load(.ss, stackOffset(0), size: size)
    let selector = UInt16(truncatingIfNeeded: try load(.ss, stackOffset(step), size: size))
    let flags = try load(.ss, stackOffset(step &* 2), size: size)
    if offset > UInt64(s.pointee.cs.limit) { throw .generalProtection() }
    setStackOffset(stackOffset(step &* 3))
    // Unlike in protected mode VIF and VIP keep their values (SDM vol. 2A, IRET, real-address mode).
    loadFlags(flags, size: size, cpl: 0, iopl: 0, virtual: false)
    enterUnprotected(selector, offset: offset)
  }

  private func returnV86(_ i: borrowing Instruction) throws(Fault) {
    let size = i.operandSize
    let step = Int64(size)
    let virtual = iopl < 3
    if virtual, s.pointee.cr4 & CR4.VME == 0 || size != 2 { throw .generalProtection() }
    let offset = try load(.ss, stackOffset(0), size: size)
    let selector = UInt16(truncatingIfNeeded: try load(.ss, stackOffset(step), size: size))
    let flags = try load(.ss, stackOffset(step &* 2), size: size)
    if offset > UInt64(s.pointee.cs.limit) { throw .generalProtection() }
    if virtual {
      if flags & RFLAGS.TF != 0 || (flags & RFLAGS.IF != 0 && s.pointee.systemFlags & RFLAGS.VIP != 0) {
        throw .generalProtection()
      }
      setStatusFlags(flags)
      let vif = flags & RFLAGS.IF != 0 ? RFLAGS.VIF : 0
      setSystemFlags((flags & ~RFLAGS.VIF) | vif, mask: RFLAGS.DF | RFLAGS.NT | RFLAGS.TF | RFLAGS.VIF)
    } else {
      loadFlags(flags, size: size, cpl: 3, iopl: 3)
    }
    setStackOffset(stackOffset(step &* 3))
    enterUnprotected(selector, offset: offset)
  }

  private func returnProtected(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.systemFlags & RFLAGS.NT != 0 {
      if s.pointee.longMode { throw .generalProtection() }
      try switchTask(to: try returnTask(), by: .iret)
      return
    }
    let size = i.operandSize
    let step = Int64(size)
    let offset = try load(.ss, stackOffset(0), size: size)
    let selector = UInt16(truncatingIfNeeded: try load(.ss, stackOffset(step), size: size))
    let flags = try load(.ss, stackOffset(step &* 2), size: size)
    let cpl = s.pointee.cpl
    let level = iopl
    if size == 4, flags & RFLAGS.VM != 0, cpl == 0, !s.pointee.longMode {
      try returnToV86(offset: offset, selector, flags)
      return
    }
    var d = try checkReturnCode(selector)
    if rpl(selector) == cpl {
      try checkCodeOffset(offset, d)
      try markAccessed(selector, &d)
      setStackOffset(stackOffset(step &* 3))
      loadFlags(flags, size: size, cpl: cpl, iopl: level)
      enterCode(selector, d, cpl: cpl, offset: offset)
      return
    }
    let rsp = try load(.ss, stackOffset(step &* 3), size: size)
    let stackSelector = UInt16(truncatingIfNeeded: try load(.ss, stackOffset(step &* 4), size: size))
    try returnOutward(selector, &d, offset: offset, stackSelector, rsp: rsp)
    loadFlags(flags, size: size, cpl: cpl, iopl: level)
  }

  private func returnToV86(offset: UInt64, _ selector: UInt16, _ flags: UInt64) throws(Fault) {
    var words = InlineArray<6, UInt64>(repeating: 0)
    for n in 0..<6 { words[n] = try load(.ss, stackOffset(12 &+ Int64(n) &* 4), size: 4) }
    if offset > 0xFFFF { throw .generalProtection() }
    setStatusFlags(flags)
    // CPL is 0 here, so every flag is loaded.
    s.pointee.systemFlags = (flags & RFLAGS.writable & ~(RFLAGS.status | RFLAGS.RF)) | 2
      | (hasCodeBreakpoints ? flags & RFLAGS.RF : 0)
    s.pointee.cpl = 3
    loadUnprotected(.cs, selector)
    loadUnprotected(.ss, UInt16(truncatingIfNeeded: words[1]))
    loadUnprotected(.es, UInt16(truncatingIfNeeded: words[2]))
    loadUnprotected(.ds, UInt16(truncatingIfNeeded: words[3]))
    loadUnprotected(.fs, UInt16(truncatingIfNeeded: words[4]))
    loadUnprotected(.gs, UInt16(truncatingIfNeeded: words[5]))
    s.pointee.rsp = words[0]
    s.pointee.nextRIP = offset
    updateMode()
  }

  private func returnFrom64(_ i: borrowing Instruction) throws(Fault) {
    if s.pointee.systemFlags & RFLAGS.NT != 0 { throw .generalProtection() }
    let size = i.operandSize
    let step = UInt64(size)
    let sp = s.pointee.rsp
    let offset: UInt64, selector: UInt16, flags: UInt64, rsp: UInt64, stackSelector: UInt16
    if size == 8, let frame = stackFrame(sp, size: 40) {
      offset = frame.loadUnaligned(as: UInt64.self)
      selector = frame.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
      flags = frame.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
      rsp = frame.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
      stackSelector = frame.loadUnaligned(fromByteOffset: 32, as: UInt16.self)
    } else {
      offset = try load(.ss, sp, size: size)
      selector = UInt16(truncatingIfNeeded: try load(.ss, sp &+ step, size: size))
      flags = try load(.ss, sp &+ step &* 2, size: size)
      rsp = try load(.ss, sp &+ step &* 3, size: size)
      stackSelector = UInt16(truncatingIfNeeded: try load(.ss, sp &+ step &* 4, size: size))
    }
    var d = try checkReturnCode(selector)
    let cpl = s.pointee.cpl
    let level = iopl
    try returnOutward(selector, &d, offset: offset, stackSelector, rsp: rsp)
    loadFlags(flags, size: size, cpl: cpl, iopl: level)
  }
}
