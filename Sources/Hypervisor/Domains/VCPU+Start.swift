import Interpreter
import Processor
import X86
import X86Decoder
import XenABI

/// Starting virtual processors: their first state, by the builder or by VCPUOP_initialise (arch-x86/xen.h, struct vcpu_guest_context).
extension VCPU {
  /// The registers a guest's processor begins with.
  struct FirstState {
    /// RAX … R15 in the processor's numbering.
    var registers = [UInt64](repeating: 0, count: 16)
    var rip: UInt64 = 0
    var rflags: UInt64 = 0
    var cs: UInt16 = 0, ss: UInt16 = 0, ds: UInt16 = 0, es: UInt16 = 0, fs: UInt16 = 0, gs: UInt16 = 0
    var fsBase: UInt64 = 0, gsBaseKernel: UInt64 = 0, gsBaseUser: UInt64 = 0
    var isKernel = true
  }

  /// The state of the processor under every paravirtual guest: long mode, paging, everything the model has that a guest may use.
  func prepareProcessor() {
    let s = cpu.s
    processor.reset()
    s.pointee.activity = .running
    s.pointee.cr0 = CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.AM | CR0.PG
    let wanted = CR4.PAE | CR4.MCE | CR4.OSFXSR | CR4.OSXMMEXCPT | CR4.OSXSAVE | CR4.DE
    s.pointee.cr4 = wanted & cpu.knownCR4
    s.pointee.efer = EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE
    s.pointee.xcr0 = 1
    s.pointee.gdtr.base = XenLayout.gdt(index)
    s.pointee.gdtr.limit = 0xFFFF
    // Never used: every interrupt and exception is the hypervisor's.
    s.pointee.idtr.limit = 0
    s.pointee.tr.limit = 0
    s.pointee.tr.attributes = 0x8B
    s.pointee.ldtr.usable = false
    // SYSCALL and SYSENTER are asked about before they change anything.
    s.pointee.sysenterCS = 0xE008
    controlRegister0 = 0
    cpu.updateMode()
    cpu.updateVectorsEnabled()
  }

  /// Puts the processor where it begins. The roots are installed.
  func start(_ state: FirstState) {
    let s = cpu.s
    for n in 0..<16 as Range<UInt8> { cpu.setGPR(n, state.registers[Int(n)]) }
    inKernel = state.isKernel
    cpu.switchAddressSpace(root: activeRoot, deprivileged: !domain.isCompat && inKernel)
    enter(cs: state.cs | (domain.isCompat ? 1 : 3), rip: state.rip, ss: state.ss | (domain.isCompat ? 1 : 3), rsp: state.registers[4], flags: state.rflags)
    for (seg, selector) in [(SegmentRegister.ds, state.ds), (.es, state.es), (.fs, state.fs), (.gs, state.gs)] {
      _ = cpu.restoreSegment(seg, selector)
    }
    if !domain.isCompat {
      s.pointee.fs.base = state.fsBase
      s.pointee.gs.base = state.isKernel ? state.gsBaseKernel : state.gsBaseUser
      s.pointee.kernelGSBase = state.isKernel ? state.gsBaseUser : state.gsBaseKernel
    }
    isInitialised = true
  }

  /// Lets the processor run. What it was initialised with takes effect here: a selector it cannot have ends the domain then.
  func bringUp() {
    if let first = firstState {
      firstState = nil
      start(first)
    }
    state = .runnable
    writeTimeInfo()
    hypervisor.becameRunnable(self)
  }
}

// MARK: VCPUOP_initialise

extension VCPU {
  /// A first state from the guest's memory, by a processor that runs. What it asks for is checked as the single hypercalls check it.
  func initialise(from caller: VCPU, _ at: UInt64) throws(XenError) {
    if isInitialised { throw .EEXIST }
    let compat = domain.isCompat
    // The image of the floating-point unit comes first; a guest's first state of it is the one after reset.
    var r = GuestReader(caller, at &+ 512)
    let flags = try r.word()
    var first = FirstState()
    if compat {
      for n in [3, 1, 2, 6, 7, 5, 0] { first.registers[n] = UInt64(try r.next(UInt32.self)) }
      _ = try r.next(UInt32.self)
      first.rip = UInt64(try r.next(UInt32.self))
      first.cs = UInt16(truncatingIfNeeded: try r.next(UInt32.self))
      first.rflags = UInt64(try r.next(UInt32.self))
      first.registers[4] = UInt64(try r.next(UInt32.self))
      first.ss = UInt16(truncatingIfNeeded: try r.next(UInt32.self))
      first.es = UInt16(truncatingIfNeeded: try r.next(UInt32.self))
      first.ds = UInt16(truncatingIfNeeded: try r.next(UInt32.self))
      first.fs = UInt16(truncatingIfNeeded: try r.next(UInt32.self))
      first.gs = UInt16(truncatingIfNeeded: try r.next(UInt32.self))
    } else {
      for n in [15, 14, 13, 12, 5, 3, 11, 10, 9, 8, 0, 1, 2, 6, 7] { first.registers[n] = try r.next(UInt64.self) }
      _ = try r.next(UInt64.self)
      first.rip = try r.next(UInt64.self)
      first.cs = UInt16(truncatingIfNeeded: try r.next(UInt64.self))
      first.rflags = try r.next(UInt64.self)
      first.registers[4] = try r.next(UInt64.self)
      first.ss = UInt16(truncatingIfNeeded: try r.next(UInt64.self))
      first.es = UInt16(truncatingIfNeeded: try r.next(UInt64.self))
      first.ds = UInt16(truncatingIfNeeded: try r.next(UInt64.self))
      first.fs = UInt16(truncatingIfNeeded: try r.next(UInt64.self))
      first.gs = UInt16(truncatingIfNeeded: try r.next(UInt64.self))
    }
    var newTraps = [EntryPoint](repeating: EntryPoint(), count: 256)
    for n in 0..<256 {
      _ = try r.next(UInt8.self)
      let trapFlags = try r.next(UInt8.self), cs = try r.next(UInt16.self), address = try r.word()
      newTraps[n] = EntryPoint(cs: cs | (compat ? 1 : 3), address: address, masksEvents: trapFlags & 4 != 0, dpl: trapFlags & 3)
    }
    let ldtBase = try r.word(), ldtEntries = try r.word()
    var gdt: [MachineFrameNumber] = []
    for _ in 0..<16 { gdt.append(MachineFrameNumber(try r.word())) }
    let gdtEntries = try r.word()
    let ss = try r.word(), sp = try r.word()
    var control: [UInt64] = []
    for _ in 0..<8 { control.append(try r.word()) }
    var debug: [UInt64] = []
    for _ in 0..<8 { debug.append(try r.word()) }
    if compat {
      eventCallback = EntryPoint(cs: UInt16(truncatingIfNeeded: try r.word()) | 1, address: try r.word(), masksEvents: true)
      failsafeCallback = EntryPoint(cs: UInt16(truncatingIfNeeded: try r.word()) | 1, address: try r.word(), masksEvents: true)
      _ = try r.word()
    } else {
      eventCallback = EntryPoint(cs: 3, address: try r.word(), masksEvents: true)
      failsafeCallback = EntryPoint(cs: 3, address: try r.word(), masksEvents: flags & 8 != 0)
      syscallCallback = EntryPoint(cs: 3, address: try r.word(), masksEvents: flags & 16 != 0)
      _ = try r.word()
      first.fsBase = try r.next(UInt64.self)
      first.gsBaseKernel = try r.next(UInt64.self)
      first.gsBaseUser = try r.next(UInt64.self)
      for a in [first.fsBase, first.gsBaseKernel, first.gsBaseUser, first.rip] where !XenLayout.isCanonical(a) { throw .EINVAL }
    }
    if gdtEntries > UInt64(XenLayout.guestGDTEntries) || ldtEntries > 8192 { throw .EINVAL }
    traps = newTraps
    kernelSS = UInt16(truncatingIfNeeded: ss)
    kernelSP = sp
    prepareProcessor()
    let root = compat ? MachineFrameNumber(XenLayout.compatRoot(control[3])) : MachineFrameNumber(control[3] >> 12)
    try domain.loadRoot(root, self)
    if !compat, control[1] != 0 { try domain.loadUserRoot(MachineFrameNumber(control[1] >> 12), self) }
    try installGDT(Array(gdt.prefix(Int((gdtEntries + 511) / 512))))
    try setLDT(base: ldtBase, entries: ldtEntries)
    for n in [0, 1, 2, 3, 6, 7] as [UInt8] where debug[Int(n)] != 0 { _ = setDebugRegister(n, debug[Int(n)]) }
    if control[0] & CR0.TS != 0 { setTaskSwitched(true) }
    first.isKernel = flags & 4 != 0 || compat
    upcallMask = first.rflags & RFLAGS.IF == 0
    firstState = first
    isInitialised = true
  }
}
