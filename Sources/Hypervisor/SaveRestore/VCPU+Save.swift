import Platform
import Processor
import X86
import XenABI

/// A virtual processor in a saved domain: what the guest can know of it, and nothing of how it is run. Everything is checked again when it
/// is read, as the hypercalls that set it would check it.
extension VCPU {
  private static let vectorRegisters = 16

  func save(_ map: PhysicalMap, to w: inout StateWriter) throws(BuildError) {
    func pfn(_ frame: MachineFrameNumber) throws(BuildError) -> UInt64 {
      guard let pfn = map.pfn(of: frame) else { throw BuildError("\(label) uses memory that is not its domain's") }
      return pfn
    }
    w.put(isInitialised && firstState == nil)
    guard isInitialised, firstState == nil else { return }
    let s = cpu.s
    w.put(state != .offline)
    w.put(inKernel)
    w.put(upcallMask)
    w.put(try pfn(kernelRoot))
    w.put(userRoot != nil)
    w.put(try userRoot.map { (f) throws(BuildError) in try pfn(f) } ?? 0)
    for n in 0..<16 as Range<UInt8> { w.put(cpu.gpr(n)) }
    w.put(s.pointee.rip)
    w.put(cpu.rflags())
    for selector in [s.pointee.cs.selector, s.pointee.ss.selector, s.pointee.ds.selector, s.pointee.es.selector, s.pointee.fs.selector, s.pointee.gs.selector] {
      w.put(selector)
    }
    w.put(s.pointee.fs.base)
    w.put(inKernel ? s.pointee.gs.base : s.pointee.kernelGSBase)
    w.put(inKernel ? s.pointee.kernelGSBase : s.pointee.gs.base)
    w.put(controlRegister0 & CR0.TS != 0)
    w.put(s.pointee.cr4)
    w.put(iopl)
    w.put(nmiPending)
    for n in [0, 1, 2, 3, 6, 7] as [UInt8] { w.put(cpu.debugRegister(n)) }
    for entry in traps + [eventCallback, failsafeCallback, syscallCallback, syscall32Callback, sysenterCallback] {
      w.put(entry.cs)
      w.put(entry.address)
      w.put(entry.masksEvents)
      w.put(entry.dpl)
    }
    w.put(kernelSS)
    w.put(kernelSP)
    w.put(UInt32(gdtFrames.count))
    for frame in gdtFrames { w.put(try pfn(frame)) }
    w.put(ldtBase)
    w.put(UInt32(ldtEntries))
    w.put(s.pointee.xcr0)
    w.put(s.pointee.mxcsr)
    let x = s.pointee.x87
    for r in [x.r0, x.r1, x.r2, x.r3, x.r4, x.r5, x.r6, x.r7] {
      w.put(r.significand)
      w.put(r.signExponent)
    }
    for word in [x.controlWord, x.statusWord, x.lastOpcode, x.lastInstructionSelector, x.lastOperandSelector] { w.put(word) }
    w.put(x.valid)
    w.put(x.top)
    w.put(x.lastInstruction)
    w.put(x.lastOperand)
    for n in 0..<UInt8(Self.vectorRegisters) {
      let v = cpu.vector(n).pointee
      for word in [v.q0, v.q1, v.q2, v.q3] { w.put(word) }
    }
    // Timers, in the guest's time.
    w.put(singleShot != nil)
    w.put(singleShot.map { $0 &+ domain.timeOffset } ?? 0)
    w.put(periodNanoseconds)
  }

  /// Reads what `save` wrote into a processor that is prepared.
  /// - Parameter frame: the machine frame of a pseudo-physical one.
  func restore(from r: inout StateReader, _ frame: (UInt64) throws(StateError) -> MachineFrameNumber) throws(StateError) {
    let impossible = StateError("a processor in it has an impossible state")
    guard try r.getBool() else { return }
    let s = cpu.s
    let isUp = try r.getBool()
    var first = FirstState()
    first.isKernel = try r.getBool()
    let mask = try r.getBool()
    let root = try frame(try r.get(UInt64.self))
    let hasUserRoot = try r.getBool()
    let user = try r.get(UInt64.self)
    guard first.isKernel || hasUserRoot else { throw impossible }
    for n in 0..<16 { first.registers[n] = try r.get(UInt64.self) }
    first.rip = try r.get(UInt64.self)
    first.rflags = try r.get(UInt64.self)
    first.cs = try r.get(UInt16.self)
    first.ss = try r.get(UInt16.self)
    first.ds = try r.get(UInt16.self)
    first.es = try r.get(UInt16.self)
    first.fs = try r.get(UInt16.self)
    first.gs = try r.get(UInt16.self)
    first.fsBase = try r.get(UInt64.self)
    first.gsBaseKernel = try r.get(UInt64.self)
    first.gsBaseUser = try r.get(UInt64.self)
    for address in [first.rip, first.fsBase, first.gsBaseKernel, first.gsBaseUser] where !XenLayout.isCanonical(address) { throw impossible }
    let taskSwitched = try r.getBool()
    let cr4 = try r.get(UInt64.self)
    iopl = try r.get(UInt8.self) & 3
    nmiPending = try r.getBool()
    var debug: [(UInt8, UInt64)] = []
    for n in [0, 1, 2, 3, 6, 7] as [UInt8] { debug.append((n, try r.get(UInt64.self))) }
    let ring: UInt16 = domain.isCompat ? 1 : 3
    func entryPoint() throws(StateError) -> EntryPoint {
      let e = EntryPoint(cs: try r.get(UInt16.self) | ring, address: try r.get(UInt64.self), masksEvents: try r.getBool(), dpl: try r.get(UInt8.self) & 3)
      guard XenLayout.isCanonical(e.address) else { throw impossible }
      // An entry that was never set has no selector.
      return e.address == 0 && e.cs == ring ? EntryPoint(cs: 0, address: 0, masksEvents: e.masksEvents, dpl: e.dpl) : e
    }
    for n in 0..<256 { traps[n] = try entryPoint() }
    eventCallback = try entryPoint()
    failsafeCallback = try entryPoint()
    syscallCallback = try entryPoint()
    syscall32Callback = try entryPoint()
    sysenterCallback = try entryPoint()
    kernelSS = try r.get(UInt16.self)
    kernelSP = try r.get(UInt64.self)
    let gdtCount = try r.get(UInt32.self)
    guard gdtCount <= UInt32(XenLayout.guestGDTPages) else { throw impossible }
    var gdt: [MachineFrameNumber] = []
    for _ in 0..<gdtCount { gdt.append(try frame(try r.get(UInt64.self))) }
    let ldt = try r.get(UInt64.self), ldtCount = try r.get(UInt32.self)
    do throws(XenError) {
      try domain.loadRoot(root, self)
      if hasUserRoot {
        guard let user = try? frame(user) else { throw .EINVAL }
        try domain.loadUserRoot(user, self)
      }
      try installGDT(gdt)
      try setLDT(base: ldt, entries: UInt64(ldtCount))
    } catch {
      throw StateError("the page tables or descriptor tables in it are not valid")
    }
    let xcr0 = try r.get(UInt64.self)
    s.pointee.mxcsr = try r.get(UInt32.self) & 0xFFFF
    try restoreX87(&r)
    for n in 0..<UInt8(Self.vectorRegisters) {
      let v = cpu.vector(n)
      v.pointee.q0 = try r.get(UInt64.self)
      v.pointee.q1 = try r.get(UInt64.self)
      v.pointee.q2 = try r.get(UInt64.self)
      v.pointee.q3 = try r.get(UInt64.self)
    }
    let hasSingleShot = try r.getBool(), deadline = try r.get(UInt64.self)
    periodNanoseconds = try r.get(UInt64.self)
    guard periodNanoseconds == 0 || VCPU.timerPeriods.contains(periodNanoseconds) else { throw impossible }
    setGuestCR4(cr4)
    do throws(Fault) { try cpu.setXCR0(xcr0) } catch { throw impossible }
    for (n, value) in debug where value != 0 { _ = setDebugRegister(n, n == 6 ? value & 0xFFFF_FFFF : value) }
    // The time-stamp counter goes on with the guest's clock.
    s.pointee.tscOffset &+= domain.timeOffset
    start(first)
    setTaskSwitched(taskSwitched)
    upcallMask = mask
    if hasSingleShot { singleShot = domain.hostTime(ofGuest: deadline) }
    if periodNanoseconds != 0 { nextPeriod = hypervisor.now &+ periodNanoseconds }
    // Whoever waited looks again why.
    if isUp { bringUp() }
  }

  private func restoreX87(_ r: inout StateReader) throws(StateError) {
    var x = X87State()
    func register() throws(StateError) -> (UInt64, UInt16) { (try r.get(UInt64.self), try r.get(UInt16.self)) }
    (x.r0.significand, x.r0.signExponent) = try register()
    (x.r1.significand, x.r1.signExponent) = try register()
    (x.r2.significand, x.r2.signExponent) = try register()
    (x.r3.significand, x.r3.signExponent) = try register()
    (x.r4.significand, x.r4.signExponent) = try register()
    (x.r5.significand, x.r5.signExponent) = try register()
    (x.r6.significand, x.r6.signExponent) = try register()
    (x.r7.significand, x.r7.signExponent) = try register()
    x.controlWord = try r.get(UInt16.self)
    x.statusWord = try r.get(UInt16.self)
    x.lastOpcode = try r.get(UInt16.self)
    x.lastInstructionSelector = try r.get(UInt16.self)
    x.lastOperandSelector = try r.get(UInt16.self)
    x.valid = try r.get(UInt8.self)
    x.top = try r.get(UInt8.self) & 7
    x.lastInstruction = try r.get(UInt64.self)
    x.lastOperand = try r.get(UInt64.self)
    cpu.s.pointee.x87 = x
  }
}
