import X86
import X86Decoder

/// Far JMP, CALL and RET (SDM vol. 3A §6.8, vol. 2 JMP, CALL, RET).
extension CPU {
  // MARK: Code segments

  /// Checks a code segment that is to be entered at privilege `cpl` without a gate.
  private func checkDirectCode(_ selector: UInt16, _ d: Descriptor) throws(Fault) {
    let code = errorCode(selector)
    let cpl = s.pointee.cpl
    if d.isConforming {
      if d.dpl > cpl { throw .generalProtection(code) }
    } else if rpl(selector) > cpl || d.dpl != cpl {
      throw .generalProtection(code)
    }
    if s.pointee.longMode, d.long, d.big { throw .generalProtection(code) }
    if !d.present { throw .notPresent(code) }
  }

  /// #GP(0) unless an instruction may be fetched at `offset` of a code segment.
  @inline(__always)
  func checkCodeOffset(_ offset: UInt64, _ d: Descriptor) throws(Fault) {
    if s.pointee.longMode, d.long {
      if !isCanonical(offset) { throw .generalProtection() }
    } else if offset > UInt64(d.limit) {
      throw .generalProtection()
    }
  }

  /// Loads CS and CPL and goes there. All checks are done.
  @inline(__always)
  func enterCode(_ selector: UInt16, _ d: Descriptor, cpl: UInt8, offset: UInt64) {
    setSegment(.cs, (selector & 0xFFFC) | UInt16(cpl), d)
    s.pointee.cpl = cpl
    s.pointee.nextRIP = offset
    updateMode()
  }

  /// CS of real and virtual-8086 mode.
  @inline(__always)
  func enterUnprotected(_ selector: UInt16, offset: UInt64) {
    loadUnprotected(.cs, selector)
    s.pointee.nextRIP = offset
    updateMode()
  }

  /// Selector and offset of a far pointer in the instruction or in memory.
  private func farPointer(_ i: borrowing Instruction) throws(Fault) -> (selector: UInt16, offset: UInt64) {
    if i.op0.kind == .farPointer {
      return (i.immediate2, i.operandSize == 2 ? i.immediate & 0xFFFF : i.immediate & 0xFFFF_FFFF)
    }
    let at = effectiveOffset(i)
    let offset = try load(i.segment, at, size: i.operandSize)
    let selector = try load16(i.segment, (at &+ UInt64(i.operandSize)) & addressSizeMask(i))
    return (selector, offset)
  }

  // MARK: JMP

  func JMP_FAR(_ i: borrowing Instruction) throws(Fault) {
    let (selector, offset) = try farPointer(i)
    if !s.pointee.protectedMode {
      if offset > UInt64(s.pointee.cs.limit) { throw .generalProtection() }
      enterUnprotected(selector, offset: offset)
      return
    }
    if isNull(selector) { throw .generalProtection() }
    var d = try fetchDescriptor(selector)
    if d.isSegment {
      if !d.isCode { throw .generalProtection(errorCode(selector)) }
      try checkDirectCode(selector, d)
      try checkCodeOffset(offset, d)
      try markAccessed(selector, &d)
      enterCode(selector, d, cpl: s.pointee.cpl, offset: offset)
      return
    }
    try checkGateAccess(selector, d)
    switch d.type {
    case SystemType.callGate16 where !s.pointee.longMode, SystemType.callGate32:
      var target = try callGate(selector, d)
      let cpl = s.pointee.cpl
      if target.descriptor.isConforming ? target.descriptor.dpl > cpl : target.descriptor.dpl != cpl {
        throw .generalProtection(errorCode(target.selector))
      }
      if !target.descriptor.present { throw .notPresent(errorCode(target.selector)) }
      try checkCodeOffset(target.offset, target.descriptor)
      try markAccessed(target.selector, &target.descriptor)
      enterCode(target.selector, target.descriptor, cpl: cpl, offset: target.offset)
    case SystemType.taskGate where !s.pointee.longMode:
      let tss = try taskGate(selector, d)
      try switchTask(to: tss, by: .jump)
    case SystemType.tss16 where !s.pointee.longMode, SystemType.tss32 where !s.pointee.longMode:
      if !d.present { throw .notPresent(errorCode(selector)) }
      try switchTask(to: try checkedTSS(selector), by: .jump)
    default:
      throw .generalProtection(errorCode(selector))
    }
  }

  // MARK: CALL

  func CALL_FAR(_ i: borrowing Instruction) throws(Fault) {
    let (selector, offset) = try farPointer(i)
    let size = i.operandSize
    var stack = StackCursor(current: self)
    if !s.pointee.protectedMode {
      try stack.push(UInt64(s.pointee.cs.selector), size: size)
      try stack.push(s.pointee.nextRIP, size: size)
      if offset > UInt64(s.pointee.cs.limit) { throw .generalProtection() }
      enterUnprotected(selector, offset: offset)
      s.pointee.rsp = stack.pointer
      return
    }
    if isNull(selector) { throw .generalProtection() }
    var d = try fetchDescriptor(selector)
    if d.isSegment {
      if !d.isCode { throw .generalProtection(errorCode(selector)) }
      try checkDirectCode(selector, d)
      try stack.push(UInt64(s.pointee.cs.selector), size: size)
      try stack.push(s.pointee.nextRIP, size: size)
      try checkCodeOffset(offset, d)
      try markAccessed(selector, &d)
      enterCode(selector, d, cpl: s.pointee.cpl, offset: offset)
      s.pointee.rsp = stack.pointer
      return
    }
    try checkGateAccess(selector, d)
    switch d.type {
    case SystemType.callGate16 where !s.pointee.longMode, SystemType.callGate32:
      try callThroughGate(selector, d)
    case SystemType.taskGate where !s.pointee.longMode:
      try switchTask(to: try taskGate(selector, d), by: .call)
    case SystemType.tss16 where !s.pointee.longMode, SystemType.tss32 where !s.pointee.longMode:
      if !d.present { throw .notPresent(errorCode(selector)) }
      try switchTask(to: try checkedTSS(selector), by: .call)
    default:
      throw .generalProtection(errorCode(selector))
    }
  }

  /// Privilege rule of call gates, task gates and TSS descriptors.
  private func checkGateAccess(_ selector: UInt16, _ d: Descriptor) throws(Fault) {
    if max(s.pointee.cpl, rpl(selector)) > d.dpl { throw .generalProtection(errorCode(selector)) }
  }

  private struct GateTarget {
    var selector: UInt16
    var descriptor: Descriptor
    var offset: UInt64
  }

  /// What a call gate leads to: a code segment whose privilege is still to be looked at.
  private func callGate(_ selector: UInt16, _ gate: Descriptor) throws(Fault) -> GateTarget {
    let code = errorCode(selector)
    var offset = gate.type == SystemType.callGate16 ? gate.gateOffset16 : gate.gateOffset32
    if s.pointee.longMode { offset |= try systemBaseHigh(selector) }
    if !gate.present { throw .notPresent(code) }
    let target = gate.gateSelector
    if isNull(target) { throw .generalProtection() }
    let d = try fetchDescriptor(target)
    let targetCode = errorCode(target)
    if !d.isCode || d.dpl > s.pointee.cpl { throw .generalProtection(targetCode) }
    // A gate of IA-32e mode leads to 64-bit code.
    if s.pointee.longMode, !d.long || d.big { throw .generalProtection(targetCode) }
    return GateTarget(selector: target, descriptor: d, offset: offset)
  }

  private func callThroughGate(_ selector: UInt16, _ gate: Descriptor) throws(Fault) {
    var target = try callGate(selector, gate)
    if !target.descriptor.present { throw .notPresent(errorCode(target.selector)) }
    let long = s.pointee.longMode
    let size: UInt8 = long ? 8 : gate.type == SystemType.callGate32 ? 4 : 2
    let cpl = s.pointee.cpl
    let newCPL = target.descriptor.dpl
    if target.descriptor.isConforming || newCPL == cpl {
      var stack = long ? StackCursor(self, pointer64: s.pointee.rsp, cpl: cpl) : StackCursor(current: self)
      try stack.push(UInt64(s.pointee.cs.selector), size: size)
      try stack.push(s.pointee.nextRIP, size: size)
      try checkCodeOffset(target.offset, target.descriptor)
      try markAccessed(target.selector, &target.descriptor)
      enterCode(target.selector, target.descriptor, cpl: cpl, offset: target.offset)
      s.pointee.rsp = stack.pointer
      return
    }
    if long {
      var stack = StackCursor(self, pointer64: try innerRSP(cpl: newCPL), cpl: newCPL)
      try stack.push(UInt64(s.pointee.ss.selector), size: 8)
      try stack.push(s.pointee.rsp, size: 8)
      try stack.push(UInt64(s.pointee.cs.selector), size: 8)
      try stack.push(s.pointee.nextRIP, size: 8)
      try checkCodeOffset(target.offset, target.descriptor)
      try markAccessed(target.selector, &target.descriptor)
      enterCode(target.selector, target.descriptor, cpl: newCPL, offset: target.offset)
      loadNullStack(cpl: newCPL)
      s.pointee.rsp = stack.pointer
      return
    }
    var inner = try innerStack(cpl: newCPL)
    var stack = StackCursor(self, segment: inner.descriptor.cache(selector: inner.selector), pointer: inner.pointer,
                            faultCode: errorCode(inner.selector))
    let oldMask: UInt64 = s.pointee.stackSize == 4 ? 0xFFFF_FFFF : 0xFFFF
    let oldPointer = s.pointee.rsp & oldMask
    try stack.push(UInt64(s.pointee.ss.selector), size: size)
    try stack.push(s.pointee.rsp, size: size)
    var n = gate.parameterCount
    while n > 0 {
      n &-= 1
      try stack.push(try load(.ss, (oldPointer &+ UInt64(n) &* UInt64(size)) & oldMask, size: size), size: size)
    }
    try stack.push(UInt64(s.pointee.cs.selector), size: size)
    try stack.push(s.pointee.nextRIP, size: size)
    try checkCodeOffset(target.offset, target.descriptor)
    try markAccessed(target.selector, &target.descriptor)
    try markAccessed(inner.selector, &inner.descriptor)
    setSegment(.ss, inner.selector, inner.descriptor)
    enterCode(target.selector, target.descriptor, cpl: newCPL, offset: target.offset)
    s.pointee.rsp = stack.pointer
  }

  // MARK: Stacks of inner rings

  /// SS and ESP of an inner ring from the task-state segment, with the checks on the stack segment (outside IA-32e mode).
  func innerStack(cpl: UInt8) throws(Fault) -> (selector: UInt16, descriptor: Descriptor, pointer: UInt64) {
    let tr = s.pointee.tr
    let code = errorCode(tr.selector)
    let selector: UInt16
    let pointer: UInt64
    if tr.type & 8 != 0 {
      let at = UInt64(cpl) &* 8 &+ 4
      if !tr.usable || at &+ 5 > UInt64(tr.limit) { throw .invalidTSS(code) }
      pointer = UInt64(try loadSystem32(systemLinear(tr.base &+ at)))
      selector = try loadSystem16(systemLinear(tr.base &+ at &+ 4))
    } else {
      let at = UInt64(cpl) &* 4 &+ 2
      if !tr.usable || at &+ 3 > UInt64(tr.limit) { throw .invalidTSS(code) }
      pointer = UInt64(try loadSystem16(systemLinear(tr.base &+ at)))
      selector = try loadSystem16(systemLinear(tr.base &+ at &+ 2))
    }
    return (selector, try checkStackSegment(selector, cpl: cpl, vector: .TS), pointer)
  }

  /// RSP of an inner ring, or an IST entry, from the 64-bit task-state segment (SDM vol. 3A §9.7).
  func innerRSP(cpl: UInt8, ist: UInt64 = 0) throws(Fault) -> UInt64 {
    let at = ist == 0 ? UInt64(cpl) &* 8 &+ 4 : ist &* 8 &+ 28
    if !s.pointee.tr.usable || at &+ 7 > UInt64(s.pointee.tr.limit) {
      throw .invalidTSS(errorCode(s.pointee.tr.selector))
    }
    let rsp = try loadTable64(s.pointee.tr.base &+ at)
    if !isCanonical(rsp) { throw .stack() }
    return rsp
  }

  /// SS after a switch to an inner ring in IA-32e mode: null with the new privilege as RPL.
  @inline(__always)
  func loadNullStack(cpl: UInt8) {
    loadNull(.ss, UInt16(cpl))
    s.pointee.ss.attributes = UInt16(cpl) &<< 5
  }

  // MARK: RET

  func RET_FAR(_ i: borrowing Instruction) throws(Fault) {
    let size = i.operandSize
    let step = Int64(size)
    let release = i.op0.kind == .immediate ? Int64(i.immediate & 0xFFFF) : 0
    let offset = try load(.ss, stackOffset(0), size: size)
    let selector = UInt16(truncatingIfNeeded: try load(.ss, stackOffset(step), size: size))
    if !s.pointee.protectedMode {
      if offset > UInt64(s.pointee.cs.limit) { throw .generalProtection() }
      let top = stackOffset(step &* 2 &+ release)
      setStackOffset(top)
      enterUnprotected(selector, offset: offset)
      return
    }
    var d = try checkReturnCode(selector)
    let newCPL = rpl(selector)
    if newCPL == s.pointee.cpl {
      try checkCodeOffset(offset, d)
      try markAccessed(selector, &d)
      setStackOffset(stackOffset(step &* 2 &+ release))
      enterCode(selector, d, cpl: newCPL, offset: offset)
      return
    }
    let newRSP = try load(.ss, stackOffset(step &* 2 &+ release), size: size)
    let stackSelector = UInt16(truncatingIfNeeded: try load(.ss, stackOffset(step &* 3 &+ release), size: size))
    try returnOutward(selector, &d, offset: offset, stackSelector, rsp: newRSP)
    // The callee's parameters leave the outer stack too.
    setStackOffset(stackOffset(release))
  }

  /// Checks the code segment that a far return or IRET goes back to.
  func checkReturnCode(_ selector: UInt16) throws(Fault) -> Descriptor {
    if isNull(selector) { throw .generalProtection() }
    let code = errorCode(selector)
    let d = try fetchDescriptor(selector)
    let newCPL = rpl(selector)
    if !d.isCode || newCPL < s.pointee.cpl { throw .generalProtection(code) }
    if d.isConforming ? d.dpl > newCPL : d.dpl != newCPL { throw .generalProtection(code) }
    if s.pointee.longMode, d.long, d.big { throw .generalProtection(code) }
    if !d.present { throw .notPresent(code) }
    return d
  }

  /// The part of far returns and IRET that loads SS:RSP of the ring they go to, and drops segments it may not use.
  func returnOutward(_ selector: UInt16, _ d: inout Descriptor, offset: UInt64, _ stackSelector: UInt16, rsp: UInt64) throws(Fault) {
    let newCPL = rpl(selector)
    var stackDescriptor: Descriptor?
    if isNull(stackSelector) {
      // Only 64-bit code of rings 0–2 may run on a null stack segment.
      let to64 = s.pointee.longMode && d.long
      if !to64 || newCPL == 3 || rpl(stackSelector) != newCPL { throw .generalProtection() }
    } else {
      stackDescriptor = try checkStackSegment(stackSelector, cpl: newCPL, vector: .GP)
    }
    try checkCodeOffset(offset, d)
    try markAccessed(selector, &d)
    if var sd = stackDescriptor {
      try markAccessed(stackSelector, &sd)
      setSegment(.ss, stackSelector, sd)
    } else {
      loadNull(.ss, stackSelector)
      s.pointee.ss.attributes = UInt16(newCPL) &<< 5
    }
    let outward = newCPL != s.pointee.cpl
    enterCode(selector, d, cpl: newCPL, offset: offset)
    setStackOffset(rsp)
    if outward { dropPrivilegedSegments() }
  }
}
