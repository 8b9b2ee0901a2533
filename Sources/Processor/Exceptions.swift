import X86
import X86Decoder

/// Delivery of interrupts and exceptions (SDM vol. 3A chapter 7).

/// Where an event comes from; it decides about gate privilege, the EXT bit and the RIP that is saved.
public enum EventKind: UInt8, Sendable {
  /// An interrupt from outside, or an NMI.
  case external
  /// A fault, trap or abort of the processor itself.
  case exception
  /// INT n, INT3, INTO: the gate's DPL is checked, and the frame holds the next instruction.
  case software
  /// INT1 (ICEBP): as `software`, but without the check of the gate's DPL.
  case privilegedSoftware
}

/// An event to deliver.
struct Event {
  var vector: UInt8
  var kind: EventKind
  var hasErrorCode = false
  var errorCode: UInt32 = 0
  /// RIP in the frame.
  var returnRIP: UInt64
  /// RF in the frame's flags: set for faults, so that an instruction breakpoint does not fire again (SDM vol. 3B §18.3.1.1).
  var resumeFlag = false
  /// INT n of virtual-8086 mode that the interrupt redirection bitmap sends to the 8086 handler.
  var redirected = false

  /// EXT in error codes of faults during the delivery (SDM vol. 3A §7.13).
  var isExternal: Bool { kind != .software }
}

extension CPU {
  // MARK: Entry points

  /// Delivers an exception raised by the instruction at RIP, with whatever follows from it: double fault, shutdown.
  ///
  /// Like every exception it counts as one retired instruction, so that time passes in a guest that does nothing but fault.
  public func deliver(_ fault: Fault) {
    // Breakpoints on the data of an instruction that did not complete are not reported; the trap of a new task is.
    s.pointee.pendingDebug &= DR6.bt
    deliverEvent(Event(
      vector: fault.vector, kind: .exception, hasErrorCode: fault.hasErrorCode, errorCode: fault.errorCode,
      returnRIP: s.pointee.rip, resumeFlag: true))
  }

  /// Delivers an interrupt or a trap between instructions: RIP is that of the next one.
  public func deliver(vector: UInt8, kind: EventKind, errorCode: UInt32? = nil) {
    deliverEvent(Event(
      vector: vector, kind: kind, hasErrorCode: errorCode != nil, errorCode: errorCode ?? 0,
      returnRIP: s.pointee.rip))
  }

  /// NMI: further ones are held back until IRET.
  public func deliverNMI() {
    s.pointee.nmiPending = false
    s.pointee.nmiBlocked = true
    deliver(vector: Vector.NMI.rawValue, kind: .external)
  }

  @inline(never)
  private func deliverEvent(_ first: Event) {
    var event = first
    var depth: UInt8 = 0
    let from = linearRIP
    while true {
      if observes(.events), !mayDeliver(event, depth: depth) {
        // What is dealt with outside counts as what is delivered.
        if event.kind == .exception, s.pointee.exitRequest & ExitRequest.observer == 0 { s.pointee.retired &+= 1 }
        s.pointee.nextRIP = s.pointee.rip
        return
      }
      environment.faultLog.record(self, event, depth: depth)
      if event.kind == .exception { s.pointee.retired &+= 1 }
      do throws(Fault) {
        try dispatch(event)
        // A debug handler may touch the debug registers (SDM vol. 3B §18.2.4, GD).
        if event.vector == Vector.DB.rawValue, event.kind == .exception { s.pointee.dr7 &= ~DR7.gd }
        s.pointee.rip = s.pointee.nextRIP
        s.pointee.interruptShadow = .max
        if s.pointee.activity == .halted { s.pointee.activity = .running }
        if observes(.events) { reportBranch(event.kind == .external ? .externalInterrupt : .exception, from: from, rip: s.pointee.rip) }
        return
      } catch {
        depth &+= 1
        var next = Event(
          vector: error.vector, kind: .exception, hasErrorCode: error.hasErrorCode, errorCode: error.errorCode,
          returnRIP: s.pointee.rip, resumeFlag: true)
        if event.isExternal, next.hasErrorCode, next.vector >= Vector.TS.rawValue, next.vector <= Vector.GP.rawValue {
          next.errorCode |= 1
        }
        switch Self.combine(event, next) {
        case .serial: break
        case .double:
          environment.faultLog.record(self, next, depth: depth)
          depth &+= 1
          next = Event(vector: Vector.DF.rawValue, kind: .exception, hasErrorCode: true, errorCode: 0,
                       returnRIP: s.pointee.rip, resumeFlag: true)
        case .shutdown:
          environment.faultLog.record(self, next, depth: depth)
          s.pointee.activity = .shutdown
          s.pointee.nextRIP = s.pointee.rip
          s.pointee.exitRequest |= ExitRequest.event
          return
        }
        event = next
        // Benign exceptions can follow each other without end (#AC for the stack of #AC's own handler). A processor hangs then; here the
        // instruction begins again, so that whoever counts instructions can step in.
        if depth >= 16 {
          s.pointee.nextRIP = s.pointee.rip
          return
        }
      }
    }
  }

  private enum Combination { case serial, double, shutdown }

  /// SDM vol. 3A table 7-5: what a fault during the delivery of another event becomes.
  private static func combine(_ first: Event, _ second: Event) -> Combination {
    if first.kind != .exception { return .serial }
    func isContributory(_ v: UInt8) -> Bool {
      switch v {
      case 0, 10, 11, 12, 13, 21: return true
      default: return false
      }
    }
    func isPageFault(_ v: UInt8) -> Bool { v == 14 || v == 20 }
    let contributory = isContributory(second.vector)
    let pageFault = isPageFault(second.vector)
    if first.vector == Vector.DF.rawValue { return contributory || pageFault ? .shutdown : .serial }
    if isContributory(first.vector) { return contributory ? .double : .serial }
    if isPageFault(first.vector) { return contributory || pageFault ? .double : .serial }
    return .serial
  }

  /// Delivers one event, or throws the fault that prevents it, with nothing changed (unless a task switch was committed).
  func dispatch(_ event: Event) throws(Fault) {
    if isReal || event.redirected {
      try dispatchReal(event)
    } else if s.pointee.longMode {
      try dispatchLong(event)
    } else {
      try dispatchProtected(event)
    }
  }

  // MARK: Real mode

  /// Through the interrupt vector table, also for redirected interrupts of virtual-8086 mode, whose table is at linear 0.
  private func dispatchReal(_ event: Event) throws(Fault) {
    let at = UInt64(event.vector) &* 4
    var flags = rflags()
    var base: UInt64 = 0
    if event.redirected {
      // With IOPL < 3 the program sees VIF as IF (SDM vol. 3B §21.3.3.4).
      if iopl < 3 {
        flags = (flags & ~RFLAGS.IF) | RFLAGS.IOPL | (flags & RFLAGS.VIF != 0 ? RFLAGS.IF : 0)
      }
    } else {
      if at &+ 3 > UInt64(s.pointee.idtr.limit) { throw .generalProtection(UInt32(event.vector) &* 8 &+ 2) }
      base = s.pointee.idtr.base
    }
    // A redirected vector is read with the rights of the program that asked for it.
    let offset: UInt64
    let selector: UInt16
    if event.redirected {
      offset = UInt64(try loadLinear(at, as: UInt16.self))
      selector = try loadLinear(at &+ 2, as: UInt16.self)
    } else {
      offset = UInt64(try loadSystem16(systemLinear(base &+ at)))
      selector = try loadSystem16(systemLinear(base &+ at &+ 2))
    }
    var stack = StackCursor(current: self)
    try stack.push(flags, size: 2)
    try stack.push(UInt64(s.pointee.cs.selector), size: 2)
    try stack.push(event.returnRIP, size: 2)
    if offset > UInt64(s.pointee.cs.limit) { throw .generalProtection() }
    s.pointee.rsp = stack.pointer
    var cleared = RFLAGS.TF | RFLAGS.RF
    if event.redirected {
      cleared |= iopl < 3 ? RFLAGS.VIF : RFLAGS.IF
      cleared |= RFLAGS.NT
    } else {
      cleared |= RFLAGS.IF | RFLAGS.AC
    }
    s.pointee.systemFlags &= ~cleared
    enterUnprotected(selector, offset: offset)
  }

  // MARK: Protected mode

  private func dispatchProtected(_ event: Event) throws(Fault) {
    let gateCode = UInt32(event.vector) &* 8 &+ 2
    let at = UInt64(event.vector) &* 8
    if at &+ 7 > UInt64(s.pointee.idtr.limit) { throw .generalProtection(gateCode) }
    let gate = Descriptor(try loadTable64(s.pointee.idtr.base &+ at))
    if gate.isSegment { throw .generalProtection(gateCode) }
    let size: UInt8
    switch gate.type {
    case SystemType.taskGate, SystemType.interruptGate32, SystemType.trapGate32: size = 4
    case SystemType.interruptGate16, SystemType.trapGate16: size = 2
    default: throw .generalProtection(gateCode)
    }
    if event.kind == .software, gate.dpl < s.pointee.cpl { throw .generalProtection(gateCode) }
    if !gate.present { throw .notPresent(gateCode) }
    if gate.type == SystemType.taskGate {
      try dispatchTask(event, gate)
      return
    }

    let selector = gate.gateSelector
    if isNull(selector) { throw .generalProtection() }
    let code = errorCode(selector)
    var cs = try fetchDescriptor(selector)
    let cpl = s.pointee.cpl
    if !cs.isCode || cs.dpl > cpl { throw .generalProtection(code) }
    if !cs.present { throw .notPresent(code) }
    let offset = size == 4 ? gate.gateOffset32 : gate.gateOffset16
    let fromV86 = s.pointee.v86
    let flags = rflags() | (event.resumeFlag ? RFLAGS.RF : 0)

    if !cs.isConforming, cs.dpl < cpl {
      if fromV86, cs.dpl != 0 { throw .generalProtection(code) }
      var inner = try innerStack(cpl: cs.dpl)
      var stack = StackCursor(self, segment: inner.descriptor.cache(selector: inner.selector), pointer: inner.pointer,
                              faultCode: errorCode(inner.selector))
      if fromV86 {
        try stack.push(UInt64(s.pointee.gs.selector), size: size)
        try stack.push(UInt64(s.pointee.fs.selector), size: size)
        try stack.push(UInt64(s.pointee.ds.selector), size: size)
        try stack.push(UInt64(s.pointee.es.selector), size: size)
      }
      try stack.push(UInt64(s.pointee.ss.selector), size: size)
      try stack.push(s.pointee.rsp, size: size)
      try pushFrame(&stack, event, flags: flags, size: size)
      try checkCodeOffset(offset, cs)
      try markAccessed(selector, &cs)
      try markAccessed(inner.selector, &inner.descriptor)
      clearFlags(interruptGate: gate.type & 1 == 0)
      if fromV86 {
        loadNull(.es, 0)
        loadNull(.ds, 0)
        loadNull(.fs, 0)
        loadNull(.gs, 0)
      }
      setSegment(.ss, inner.selector, inner.descriptor)
      enterCode(selector, cs, cpl: cs.dpl, offset: offset)
      s.pointee.rsp = stack.pointer
    } else {
      if fromV86 { throw .generalProtection(code) }
      var stack = StackCursor(current: self)
      try pushFrame(&stack, event, flags: flags, size: size)
      try checkCodeOffset(offset, cs)
      try markAccessed(selector, &cs)
      clearFlags(interruptGate: gate.type & 1 == 0)
      enterCode(selector, cs, cpl: cpl, offset: offset)
      s.pointee.rsp = stack.pointer
    }
  }

  @inline(__always)
  private func pushFrame(_ stack: inout StackCursor, _ event: Event, flags: UInt64, size: UInt8) throws(Fault) {
    try stack.push(flags, size: size)
    try stack.push(UInt64(s.pointee.cs.selector), size: size)
    try stack.push(event.returnRIP, size: size)
    if event.hasErrorCode { try stack.push(UInt64(event.errorCode), size: size) }
  }

  @inline(__always)
  private func clearFlags(interruptGate: Bool) {
    var cleared = RFLAGS.TF | RFLAGS.VM | RFLAGS.RF | RFLAGS.NT
    if interruptGate { cleared |= RFLAGS.IF }
    s.pointee.systemFlags &= ~cleared
  }

  private func dispatchTask(_ event: Event, _ gate: Descriptor) throws(Fault) {
    let target = try checkedTSS(gate.gateSelector)
    let wide = target.descriptor.type & 8 != 0
    try switchTask(to: target, by: .interrupt, resume: event.returnRIP, resumeFlag: event.resumeFlag)
    if event.hasErrorCode { try push(UInt64(event.errorCode), size: wide ? 4 : 2) }
  }

  // MARK: IA-32e mode

  private func dispatchLong(_ event: Event) throws(Fault) {
    let gateCode = UInt32(event.vector) &* 8 &+ 2
    let at = UInt64(event.vector) &* 16
    if at &+ 15 > UInt64(s.pointee.idtr.limit) { throw .generalProtection(gateCode) }
    let gate = Descriptor(try loadTable64(s.pointee.idtr.base &+ at))
    if gate.isSegment || gate.type | 1 != SystemType.trapGate32 { throw .generalProtection(gateCode) }
    let cpl = s.pointee.cpl
    if event.kind == .software, gate.dpl < cpl { throw .generalProtection(gateCode) }
    if !gate.present { throw .notPresent(gateCode) }
    let offset = gate.gateOffset32 | ((try loadTable64(s.pointee.idtr.base &+ at &+ 8)) &<< 32)

    let selector = gate.gateSelector
    if isNull(selector) { throw .generalProtection() }
    let code = errorCode(selector)
    var cs = try fetchDescriptor(selector)
    if !cs.isCode || cs.dpl > cpl || !cs.long || cs.big { throw .generalProtection(code) }
    if !cs.present { throw .notPresent(code) }

    let inward = !cs.isConforming && cs.dpl < cpl
    let newCPL = inward ? cs.dpl : cpl
    var rsp = s.pointee.rsp
    if gate.ist != 0 {
      rsp = try innerRSP(cpl: newCPL, ist: gate.ist)
    } else if inward {
      rsp = try innerRSP(cpl: newCPL)
    }
    let flags = rflags() | (event.resumeFlag ? RFLAGS.RF : 0)
    var stack = StackCursor(self, pointer64: rsp & ~15, cpl: newCPL)
    let size: UInt64 = event.hasErrorCode ? 48 : 40
    if let frame = newStackFrame(stack.tlb, stack.pointer &- size, size: Int(size)) {
      // Downwards, as a processor pushes: top first.
      let top = frame + Int(size)
      top.storeBytes(of: UInt64(s.pointee.ss.selector), toByteOffset: -8, as: UInt64.self)
      top.storeBytes(of: s.pointee.rsp, toByteOffset: -16, as: UInt64.self)
      top.storeBytes(of: flags, toByteOffset: -24, as: UInt64.self)
      top.storeBytes(of: UInt64(s.pointee.cs.selector), toByteOffset: -32, as: UInt64.self)
      top.storeBytes(of: event.returnRIP, toByteOffset: -40, as: UInt64.self)
      if event.hasErrorCode { frame.storeBytes(of: UInt64(event.errorCode), as: UInt64.self) }
      stack.pointer = stack.pointer &- size
    } else {
      try stack.push(UInt64(s.pointee.ss.selector), size: 8)
      try stack.push(s.pointee.rsp, size: 8)
      try pushFrame(&stack, event, flags: flags, size: 8)
    }
    if !isCanonical(offset) { throw .generalProtection() }
    try markAccessed(selector, &cs)
    clearFlags(interruptGate: gate.type & 1 == 0)
    enterCode(selector, cs, cpl: newCPL, offset: offset)
    if inward { loadNullStack(cpl: newCPL) }
    s.pointee.rsp = stack.pointer
  }
}
