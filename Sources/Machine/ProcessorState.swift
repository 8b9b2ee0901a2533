import Interpreter
import Platform
import Processor
import SoftFloat

/// Saving and restoring of a processor: architectural state only. What is derived (mode, TLBs, decoded code) is made anew.
extension VirtualCPU {
  func save(to writer: inout StateWriter) {
    var transfer = StateTransfer(writing: writer)
    // Writing cannot fail.
    try? cpu.transfer(&transfer)
    writer = transfer.writer
  }

  func restore(from reader: inout StateReader) throws(StateError) {
    var transfer = StateTransfer(reading: reader)
    try cpu.transfer(&transfer)
    reader = transfer.reader
    cpu.updateMode()
    cpu.flushTLB(keepGlobal: false)
    cpu.s.pointee.exitRequest |= ExitRequest.event | ExitRequest.codeChanged
  }
}

/// Moves fields in one direction or the other, so that the list of fields stands in one place.
struct StateTransfer {
  private(set) var writer = StateWriter()
  private(set) var reader = StateReader([])
  let isReading: Bool

  init(writing writer: StateWriter) {
    self.writer = writer
    isReading = false
  }

  init(reading reader: StateReader) {
    self.reader = reader
    isReading = true
  }

  mutating func move<T: FixedWidthInteger>(_ value: inout T) throws(StateError) {
    if isReading { value = try reader.get(T.self) } else { writer.put(value) }
  }

  mutating func move(_ value: inout Bool) throws(StateError) {
    if isReading { value = try reader.getBool() } else { writer.put(value) }
  }
}

extension CPU {
  fileprivate func transfer(_ t: inout StateTransfer) throws(StateError) {
    for n in 0..<16 as Range<UInt8> {
      var value = gpr(n)
      try t.move(&value)
      setGPR(n, value)
    }
    try t.move(&s.pointee.rip)
    s.pointee.nextRIP = s.pointee.rip
    var status = statusFlags()
    try t.move(&status)
    try t.move(&s.pointee.systemFlags)
    if t.isReading { setStatusFlags(status) }
    try t.move(&s.pointee.cpl)
    var activity = s.pointee.activity.rawValue
    try t.move(&activity)
    guard let known = Activity(rawValue: activity) else { throw StateError("a processor has an unknown activity") }
    s.pointee.activity = known
    try t.move(&s.pointee.retired)
    try t.move(&s.pointee.interruptShadow)
    try t.move(&s.pointee.shadowIsMovSS)
    try moveSegments(&t)
    try moveControl(&t)
    try moveModelSpecific(&t)
    try t.move(&s.pointee.interruptRequest)
    try t.move(&s.pointee.nmiPending)
    try t.move(&s.pointee.nmiBlocked)
    try t.move(&s.pointee.initPending)
    try t.move(&s.pointee.sipiPending)
    try t.move(&s.pointee.deliveringVector)
    try moveFloatingPoint(&t)
  }

  private func moveSegments(_ t: inout StateTransfer) throws(StateError) {
    func move(_ c: inout SegmentCache) throws(StateError) {
      try t.move(&c.base)
      try t.move(&c.limit)
      try t.move(&c.selector)
      try t.move(&c.attributes)
      try t.move(&c.usable)
    }
    try move(&s.pointee.es)
    try move(&s.pointee.cs)
    try move(&s.pointee.ss)
    try move(&s.pointee.ds)
    try move(&s.pointee.fs)
    try move(&s.pointee.gs)
    try move(&s.pointee.ldtr)
    try move(&s.pointee.tr)
    try t.move(&s.pointee.gdtr.base)
    try t.move(&s.pointee.gdtr.limit)
    try t.move(&s.pointee.idtr.base)
    try t.move(&s.pointee.idtr.limit)
  }

  private func moveControl(_ t: inout StateTransfer) throws(StateError) {
    try t.move(&s.pointee.cr0)
    try t.move(&s.pointee.cr2)
    try t.move(&s.pointee.cr3)
    try t.move(&s.pointee.cr4)
    try t.move(&s.pointee.efer)
    try t.move(&s.pointee.xcr0)
    try t.move(&s.pointee.pkru)
    try t.move(&s.pointee.dr0)
    try t.move(&s.pointee.dr1)
    try t.move(&s.pointee.dr2)
    try t.move(&s.pointee.dr3)
    try t.move(&s.pointee.dr6)
    try t.move(&s.pointee.dr7)
    try t.move(&s.pointee.pendingDebug)
    try t.move(&s.pointee.pae0)
    try t.move(&s.pointee.pae1)
    try t.move(&s.pointee.pae2)
    try t.move(&s.pointee.pae3)
  }

  private func moveModelSpecific(_ t: inout StateTransfer) throws(StateError) {
    try t.move(&s.pointee.star)
    try t.move(&s.pointee.lstar)
    try t.move(&s.pointee.cstar)
    try t.move(&s.pointee.sfmask)
    try t.move(&s.pointee.kernelGSBase)
    try t.move(&s.pointee.sysenterCS)
    try t.move(&s.pointee.sysenterESP)
    try t.move(&s.pointee.sysenterEIP)
    try t.move(&s.pointee.pat)
    try t.move(&s.pointee.apicBase)
    try t.move(&s.pointee.tscOffset)
    try t.move(&s.pointee.tscAux)
    try t.move(&s.pointee.miscEnable)
    try t.move(&s.pointee.mtrrDefType)
    try t.move(&s.pointee.specCtrl)
    try t.move(&s.pointee.xss)
    for n in s.pointee.msr.mtrrVariable.indices { try t.move(&s.pointee.msr.mtrrVariable[n]) }
    for n in s.pointee.msr.mtrrFixed.indices { try t.move(&s.pointee.msr.mtrrFixed[n]) }
    try t.move(&s.pointee.msr.tscAdjust)
    try t.move(&s.pointee.msr.debugControl)
    try t.move(&s.pointee.msr.machineCheckStatus)
    for n in s.pointee.msr.machineCheckBanks.indices { try t.move(&s.pointee.msr.machineCheckBanks[n]) }
  }

  private func moveFloatingPoint(_ t: inout StateTransfer) throws(StateError) {
    try t.move(&s.pointee.mxcsr)
    try t.move(&s.pointee.x87.controlWord)
    try t.move(&s.pointee.x87.statusWord)
    try t.move(&s.pointee.x87.valid)
    try t.move(&s.pointee.x87.top)
    s.pointee.x87.top &= 7
    try t.move(&s.pointee.x87.lastOpcode)
    try t.move(&s.pointee.x87.lastInstructionSelector)
    try t.move(&s.pointee.x87.lastOperandSelector)
    try t.move(&s.pointee.x87.lastInstruction)
    try t.move(&s.pointee.x87.lastOperand)
    try withX87Registers { (register: inout Extended80) throws(StateError) in
      try t.move(&register.significand)
      try t.move(&register.signExponent)
    }
    for n in 0..<16 as Range<UInt8> {
      let v = vector(n)
      try t.move(&v.pointee.q0)
      try t.move(&v.pointee.q1)
      try t.move(&v.pointee.q2)
      try t.move(&v.pointee.q3)
    }
  }

  /// The eight registers in physical order.
  private func withX87Registers(_ body: (inout Extended80) throws(StateError) -> Void) throws(StateError) {
    try body(&s.pointee.x87.r0)
    try body(&s.pointee.x87.r1)
    try body(&s.pointee.x87.r2)
    try body(&s.pointee.x87.r3)
    try body(&s.pointee.x87.r4)
    try body(&s.pointee.x87.r5)
    try body(&s.pointee.x87.r6)
    try body(&s.pointee.x87.r7)
  }
}
