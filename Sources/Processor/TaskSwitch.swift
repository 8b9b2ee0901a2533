import X86
import X86Decoder

/// Hardware task switching (SDM vol. 3A chapter 9): the order of checks, saves and loads is that of §9.3.

/// What a task switch is asked for by.
enum TaskSwitchCause {
  case jump, call, interrupt
  /// IRET with NT set.
  case iret
}

/// A TSS descriptor on its way into TR.
struct TaskTarget {
  var selector: UInt16
  var descriptor: Descriptor
}

/// Field offsets of the two task-state segments.
private enum TSS32 {
  static let cr3: UInt64 = 0x1C
  static let eip: UInt64 = 0x20
  static let eflags: UInt64 = 0x24
  static let registers: UInt64 = 0x28
  static let segments: UInt64 = 0x48
  static let ldt: UInt64 = 0x60
  static let trap: UInt64 = 0x64
  static let minimumLimit: UInt32 = 0x67
}

private enum TSS16 {
  static let ip: UInt64 = 0x0E
  static let flags: UInt64 = 0x10
  static let registers: UInt64 = 0x12
  static let segments: UInt64 = 0x22
  static let ldt: UInt64 = 0x2A
  static let minimumLimit: UInt32 = 0x2B
}

/// What is read from the new task's TSS before the switch is committed.
private struct TaskImage {
  var cr3: UInt64 = 0
  var rip: UInt64 = 0
  var flags: UInt64 = 0
  var registers = InlineArray<8, UInt64>(repeating: 0)
  /// ES CS SS DS FS GS.
  var selectors = InlineArray<6, UInt16>(repeating: 0)
  var ldt: UInt16 = 0
  var trap = false
}

extension CPU {
  /// The TSS that a task gate leads to.
  func taskGate(_ selector: UInt16, _ gate: Descriptor) throws(Fault) -> TaskTarget {
    if !gate.present { throw .notPresent(errorCode(selector)) }
    return try checkedTSS(gate.gateSelector)
  }

  /// Checks that a selector names an available, present TSS in the GDT.
  func checkedTSS(_ selector: UInt16) throws(Fault) -> TaskTarget {
    let code = errorCode(selector)
    if selector & 4 != 0 || isNull(selector) { throw .generalProtection(code) }
    let d = try fetchDescriptor(selector)
    if d.isSegment || (d.type != SystemType.tss16 && d.type != SystemType.tss32) { throw .generalProtection(code) }
    if !d.present { throw .notPresent(code) }
    return TaskTarget(selector: selector, descriptor: d)
  }

  /// The task to return to when IRET finds NT set: it must be busy.
  func returnTask() throws(Fault) -> TaskTarget {
    let selector = try loadSystem16(systemLinear(s.pointee.tr.base))
    let code = errorCode(selector)
    if selector & 4 != 0 || isNull(selector) { throw .invalidTSS(code) }
    let d = try fetchDescriptor(selector, orRaise: .TS)
    if d.isSegment || (d.type != SystemType.busyTSS16 && d.type != SystemType.busyTSS32) { throw .invalidTSS(code) }
    if !d.present { throw .notPresent(code) }
    return TaskTarget(selector: selector, descriptor: d)
  }

  /// Raises the page faults that an access to [base, base + count) of a TSS would raise.
  private func probeTask(_ base: UInt64, _ count: UInt64, _ access: Access) throws(Fault) {
    let first = base & 0xFFFF_FFFF
    _ = try translate(first, access, user: false, implicit: true)
    let last = (base &+ count &- 1) & 0xFFFF_FFFF
    if first & ~0xFFF != last & ~0xFFF { _ = try translate(last & ~0xFFF, access, user: false, implicit: true) }
  }

  /// Switches tasks. Faults thrown before the switch is committed belong to the old task; later ones (bad selectors in the new TSS)
  /// belong to the new task, whose RIP the processor then has.
  /// - Parameters:
  ///   - resume: RIP that the old task continues at.
  ///   - resumeFlag: a fault's handler is the new task, so RF is set in the flags that are saved (SDM vol. 3B §18.3.1.1).
  func switchTask(
    to target: TaskTarget, by cause: TaskSwitchCause, resume: UInt64? = nil, resumeFlag: Bool = false
  ) throws(Fault) {
    let old = s.pointee.tr
    let new = target.descriptor.cache(selector: target.selector)
    let new32 = target.descriptor.type & 8 != 0
    let old32 = old.type & 8 != 0
    let nested = cause == .call || cause == .interrupt
    if new.limit < (new32 ? TSS32.minimumLimit : TSS16.minimumLimit) { throw .invalidTSS(errorCode(target.selector)) }
    if !old.usable || old.limit < (old32 ? 0x5F : 0x29) { throw .invalidTSS(errorCode(old.selector)) }

    // All page faults come before anything changes.
    if old32 {
      try probeTask(old.base &+ TSS32.eip, 0x40, .write)
    } else {
      try probeTask(old.base &+ TSS16.ip, 0x1C, .write)
    }
    try probeTask(new.base, new32 ? 0x68 : 0x2C, .read)
    if nested { try probeTask(new.base, 2, .write) }
    var image = new32 ? try loadTask32(new.base) : try loadTask16(new.base)

    if !nested { try setTaskBusy(old.selector, false) }
    var flags = rflags()
    if cause == .iret { flags &= ~RFLAGS.NT }
    if resumeFlag { flags |= RFLAGS.RF }
    try saveTask(old, wide: old32, flags: flags, rip: resume ?? s.pointee.nextRIP)
    if nested {
      try storeSystem16(systemLinear(new.base), old.selector)
      image.flags |= RFLAGS.NT
    }
    if cause != .iret { try setTaskBusy(target.selector, true) }

    // From here on faults are the new task's.
    s.pointee.tr = new
    s.pointee.tr.attributes |= 2
    s.pointee.cr0 |= CR0.TS
    updateVectorsEnabled()
    s.pointee.exitRequest |= ExitRequest.codeChanged | ExitRequest.event
    try loadTaskState(image, wide: new32)
  }

  private func loadTask32(_ base: UInt64) throws(Fault) -> TaskImage {
    var image = TaskImage()
    func field(_ offset: UInt64) throws(Fault) -> UInt64 { UInt64(try loadSystem32(systemLinear(base &+ offset))) }
    image.cr3 = try field(TSS32.cr3)
    image.rip = try field(TSS32.eip)
    image.flags = try field(TSS32.eflags)
    for n in 0..<8 { image.registers[n] = try field(TSS32.registers &+ UInt64(n) &* 4) }
    for n in 0..<6 { image.selectors[n] = UInt16(truncatingIfNeeded: try field(TSS32.segments &+ UInt64(n) &* 4)) }
    image.ldt = UInt16(truncatingIfNeeded: try field(TSS32.ldt))
    image.trap = try field(TSS32.trap) & 1 != 0
    return image
  }

  private func loadTask16(_ base: UInt64) throws(Fault) -> TaskImage {
    var image = TaskImage()
    func field(_ offset: UInt64) throws(Fault) -> UInt64 { UInt64(try loadSystem16(systemLinear(base &+ offset))) }
    image.rip = try field(TSS16.ip)
    image.flags = try field(TSS16.flags)
    // The upper halves read as ones afterwards on the processors that were looked at.
    for n in 0..<8 { image.registers[n] = 0xFFFF_0000 | (try field(TSS16.registers &+ UInt64(n) &* 2)) }
    for n in 0..<4 { image.selectors[n] = UInt16(truncatingIfNeeded: try field(TSS16.segments &+ UInt64(n) &* 2)) }
    image.ldt = UInt16(truncatingIfNeeded: try field(TSS16.ldt))
    return image
  }

  private func saveTask(_ tr: SegmentCache, wide: Bool, flags: UInt64, rip: UInt64) throws(Fault) {
    let base = tr.base
    let selectors: InlineArray<6, UInt16> = [
      s.pointee.es.selector, s.pointee.cs.selector, s.pointee.ss.selector,
      s.pointee.ds.selector, s.pointee.fs.selector, s.pointee.gs.selector,
    ]
    if wide {
      try storeSystem32(systemLinear(base &+ TSS32.eip), UInt32(truncatingIfNeeded: rip))
      try storeSystem32(systemLinear(base &+ TSS32.eflags), UInt32(truncatingIfNeeded: flags))
      for n in 0..<8 {
        try storeSystem32(systemLinear(base &+ TSS32.registers &+ UInt64(n) &* 4), UInt32(truncatingIfNeeded: gpr(UInt8(n))))
      }
      for n in 0..<6 { try storeSystem16(systemLinear(base &+ TSS32.segments &+ UInt64(n) &* 4), selectors[n]) }
    } else {
      try storeSystem16(systemLinear(base &+ TSS16.ip), UInt16(truncatingIfNeeded: rip))
      try storeSystem16(systemLinear(base &+ TSS16.flags), UInt16(truncatingIfNeeded: flags))
      for n in 0..<8 {
        try storeSystem16(systemLinear(base &+ TSS16.registers &+ UInt64(n) &* 2), UInt16(truncatingIfNeeded: gpr(UInt8(n))))
      }
      for n in 0..<4 { try storeSystem16(systemLinear(base &+ TSS16.segments &+ UInt64(n) &* 2), selectors[n]) }
    }
  }

  private func loadTaskState(_ image: TaskImage, wide: Bool) throws(Fault) {
    s.pointee.rip = image.rip
    s.pointee.nextRIP = image.rip
    setStatusFlags(image.flags)
    s.pointee.systemFlags = (image.flags & RFLAGS.writable & ~RFLAGS.status) | 2
    for n in 0..<8 { setGPR(UInt8(n), image.registers[n]) }
    // The local breakpoints were the old task's.
    s.pointee.dr7 &= ~0x155
    s.pointee.interruptShadow = .max
    if image.trap { s.pointee.pendingDebug |= DR6.bt }

    // Until their descriptors are loaded the segments are unusable, and the privilege is the least, so that the handler of a fault
    // on the way gets a stack of its own.
    for n in 0..<6 {
      let seg = SegmentRegister(rawValue: UInt8(n))!
      let c = segment(seg)
      c.pointee.selector = image.selectors[n]
      c.pointee.usable = false
      c.pointee.attributes &= 0xFF7F
    }
    s.pointee.cpl = 3
    s.pointee.ldtr.selector = image.ldt
    s.pointee.ldtr.usable = false
    if wide, s.pointee.cr0 & CR0.PG != 0 {
      s.pointee.cr3 = image.cr3
      flushTLB(keepGlobal: true)
    }
    updateMode()
    if wide, s.pointee.cr0 & CR0.PG != 0, s.pointee.cr4 & CR4.PAE != 0 { try loadPDPTEs(cr3: image.cr3) }
    s.pointee.ldtr = try checkedLDT(image.ldt, vector: .TS)

    if image.flags & RFLAGS.VM != 0, wide {
      for n in 0..<6 { loadUnprotected(SegmentRegister(rawValue: UInt8(n))!, image.selectors[n]) }
      updateMode()
      if image.rip > 0xFFFF { throw .generalProtection() }
      return
    }
    s.pointee.systemFlags &= ~RFLAGS.VM

    let codeSelector = image.selectors[1]
    let code = errorCode(codeSelector)
    if isNull(codeSelector) { throw .invalidTSS(code) }
    var cs = try fetchDescriptor(codeSelector, orRaise: .TS)
    let cpl = rpl(codeSelector)
    if !cs.isCode || (cs.isConforming ? cs.dpl > cpl : cs.dpl != cpl) { throw .invalidTSS(code) }
    if !cs.present { throw .notPresent(code) }
    try markAccessed(codeSelector, &cs)

    let stackSelector = image.selectors[2]
    s.pointee.cpl = cpl
    setSegment(.cs, codeSelector, cs)
    updateMode()
    var ss = try checkStackSegment(stackSelector, cpl: cpl, vector: .TS)
    try markAccessed(stackSelector, &ss)
    setSegment(.ss, stackSelector, ss)
    try loadTaskData(.ds, image.selectors[3])
    try loadTaskData(.es, image.selectors[0])
    try loadTaskData(.fs, image.selectors[4])
    try loadTaskData(.gs, image.selectors[5])
    updateMode()
    noteFlagsChanged()
    if image.rip > UInt64(cs.limit) { throw .generalProtection() }
  }

  private func loadTaskData(_ seg: SegmentRegister, _ selector: UInt16) throws(Fault) {
    if isNull(selector) {
      loadNull(seg, selector)
      return
    }
    var d = try checkDataSegment(selector, cpl: s.pointee.cpl, vector: .TS)
    try markAccessed(selector, &d)
    setSegment(seg, selector, d)
  }
}
