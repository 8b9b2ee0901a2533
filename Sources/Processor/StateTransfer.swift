import Platform
import SoftFloat
import X86
import X86Decoder

/// Saving and restoring of a processor. One list of fields serves both directions, so they cannot disagree.
private protocol FieldVisitor {
  mutating func field<T: FixedWidthInteger>(_ value: inout T) throws(StateError)
  mutating func field(_ value: inout Bool) throws(StateError)
}

private struct FieldWriter: FieldVisitor {
  var writer: StateWriter

  mutating func field<T: FixedWidthInteger>(_ value: inout T) throws(StateError) { writer.put(value) }
  mutating func field(_ value: inout Bool) throws(StateError) { writer.put(value) }
}

private struct FieldReader: FieldVisitor {
  var reader: StateReader

  mutating func field<T: FixedWidthInteger>(_ value: inout T) throws(StateError) { value = try reader.get(T.self) }
  mutating func field(_ value: inout Bool) throws(StateError) { value = try reader.getBool() }
}

extension CPU {
  /// Writes all architectural state. Lazy flags are written as flags, so that equal states give equal bytes.
  public func save(to writer: inout StateWriter) {
    let flags = Flags.explicit(statusFlags())
    s.pointee.flagResult = flags.result
    s.pointee.flagAux = flags.aux
    s.pointee.flagKind = FlagKind.explicit
    var visitor = FieldWriter(writer: writer)
    // Writing to memory does not fail.
    try? transfer(&visitor)
    writer = visitor.writer
  }

  /// Reads what `save` wrote, and derives the rest.
  public func restore(from reader: inout StateReader) throws(StateError) {
    var visitor = FieldReader(reader: reader)
    try transfer(&visitor)
    reader = visitor.reader
    s.pointee.flagKind = FlagKind.explicit
    if s.pointee.cpl > 3 || s.pointee.x87.top > 7 || s.pointee.mxcsr & 0xFFFF_0000 != 0 {
      throw StateError("the saved processor state is not possible")
    }
    deriveState()
    s.pointee.exitRequest = 0
  }

  /// Derives all that depends on control registers, flags and segment registers, after somebody wrote them directly.
  ///
  /// - Parameter loadingPDPTEs: as a load of CR3 does with PAE paging; entries that would raise #GP are left alone.
  public func deriveState(loadingPDPTEs: Bool = false) {
    if loadingPDPTEs, s.pointee.cr0 & CR0.PG != 0, s.pointee.cr4 & CR4.PAE != 0, s.pointee.efer & EFER.LMA == 0 {
      try? loadPDPTEs(cr3: s.pointee.cr3)
    }
    updateVectorsEnabled()
    updateMode()
    modeChanged()
    flushTLB(keepGlobal: false)
  }

  private func transfer<V: FieldVisitor>(_ v: inout V) throws(StateError) {
    let p = s
    for n in 0..<16 as Range<UInt8> {
      var value = gpr(n)
      try v.field(&value)
      setGPR(n, value)
    }
    try v.field(&p.pointee.flagResult)
    try v.field(&p.pointee.flagAux)
    try v.field(&p.pointee.rip)
    try v.field(&p.pointee.systemFlags)
    try v.field(&p.pointee.cpl)
    var activity = p.pointee.activity.rawValue
    try v.field(&activity)
    guard let known = Activity(rawValue: activity) else { throw StateError("the saved processor state is not possible") }
    p.pointee.activity = known
    try v.field(&p.pointee.retired)
    try v.field(&p.pointee.interruptShadow)
    try v.field(&p.pointee.shadowIsMovSS)
    try segment(&p.pointee.es, &v)
    try segment(&p.pointee.cs, &v)
    try segment(&p.pointee.ss, &v)
    try segment(&p.pointee.ds, &v)
    try segment(&p.pointee.fs, &v)
    try segment(&p.pointee.gs, &v)
    try segment(&p.pointee.ldtr, &v)
    try segment(&p.pointee.tr, &v)
    try v.field(&p.pointee.gdtr.base)
    try v.field(&p.pointee.gdtr.limit)
    try v.field(&p.pointee.idtr.base)
    try v.field(&p.pointee.idtr.limit)
    try control(&v)
    try modelSpecific(&v)
    try v.field(&p.pointee.interruptRequest)
    try v.field(&p.pointee.nmiPending)
    try v.field(&p.pointee.nmiBlocked)
    try v.field(&p.pointee.initPending)
    try v.field(&p.pointee.sipiPending)
    try x87(&v)
    try v.field(&p.pointee.mxcsr)
    for n in 0..<16 as Range<UInt8> {
      try v.field(&vector(n).pointee.q0)
      try v.field(&vector(n).pointee.q1)
      try v.field(&vector(n).pointee.q2)
      try v.field(&vector(n).pointee.q3)
    }
  }

  private func segment<V: FieldVisitor>(_ c: inout SegmentCache, _ v: inout V) throws(StateError) {
    try v.field(&c.base)
    try v.field(&c.limit)
    try v.field(&c.selector)
    try v.field(&c.attributes)
    try v.field(&c.usable)
  }

  private func control<V: FieldVisitor>(_ v: inout V) throws(StateError) {
    let p = s
    try v.field(&p.pointee.cr0)
    try v.field(&p.pointee.cr2)
    try v.field(&p.pointee.cr3)
    try v.field(&p.pointee.cr4)
    try v.field(&p.pointee.efer)
    try v.field(&p.pointee.xcr0)
    try v.field(&p.pointee.pkru)
    try v.field(&p.pointee.dr0)
    try v.field(&p.pointee.dr1)
    try v.field(&p.pointee.dr2)
    try v.field(&p.pointee.dr3)
    try v.field(&p.pointee.dr6)
    try v.field(&p.pointee.dr7)
    try v.field(&p.pointee.pendingDebug)
    try v.field(&p.pointee.pae0)
    try v.field(&p.pointee.pae1)
    try v.field(&p.pointee.pae2)
    try v.field(&p.pointee.pae3)
    try v.field(&p.pointee.a20Mask)
  }

  private func x87<V: FieldVisitor>(_ v: inout V) throws(StateError) {
    let p = s
    for n in 0..<8 as Range<UInt8> {
      try v.field(&physicalRegister(n).pointee.significand)
      try v.field(&physicalRegister(n).pointee.signExponent)
    }
    try v.field(&p.pointee.x87.controlWord)
    try v.field(&p.pointee.x87.statusWord)
    try v.field(&p.pointee.x87.valid)
    try v.field(&p.pointee.x87.top)
    try v.field(&p.pointee.x87.lastOpcode)
    try v.field(&p.pointee.x87.lastInstructionSelector)
    try v.field(&p.pointee.x87.lastOperandSelector)
    try v.field(&p.pointee.x87.lastInstruction)
    try v.field(&p.pointee.x87.lastOperand)
  }

  private func modelSpecific<V: FieldVisitor>(_ v: inout V) throws(StateError) {
    let p = s
    try v.field(&p.pointee.star)
    try v.field(&p.pointee.lstar)
    try v.field(&p.pointee.cstar)
    try v.field(&p.pointee.sfmask)
    try v.field(&p.pointee.kernelGSBase)
    try v.field(&p.pointee.sysenterCS)
    try v.field(&p.pointee.sysenterESP)
    try v.field(&p.pointee.sysenterEIP)
    try v.field(&p.pointee.pat)
    try v.field(&p.pointee.apicBase)
    try v.field(&p.pointee.tscOffset)
    try v.field(&p.pointee.tscAux)
    try v.field(&p.pointee.miscEnable)
    try v.field(&p.pointee.mtrrDefType)
    try v.field(&p.pointee.xss)
    // Memory-type ranges and machine-check banks: plain words.
    let words = UnsafeMutableRawPointer(p) + MemoryLayout<CPUState>.offset(of: \.msr)!
    for k in 0..<MemoryLayout<ModelSpecificState>.size / 8 {
      try v.field(&words.assumingMemoryBound(to: UInt64.self)[k])
    }
  }
}
