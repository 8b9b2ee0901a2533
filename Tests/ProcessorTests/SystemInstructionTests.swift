import Testing
import X86
import X86Decoder

@testable import Processor

/// Control registers, flags, system calls, ports, debug registers, MSRs and CPUID.
@Suite struct SystemInstructionTests {
  typealias Machine = SystemTestMachine
  typealias Outcome = SystemTestMachine.Outcome

  // MARK: Control registers

  @Test func cr0Consistency() {
    let m = Machine()
    m.enterProtected()
    func set(_ v: UInt64) -> Fault? { m.fault { (cpu) throws(Fault) in try cpu.setCR0(v) } }
    #expect(set(CR0.PG) == .generalProtection(), "PG without PE")
    #expect(set(CR0.PE | CR0.NW) == .generalProtection(), "NW without CD")
    #expect(set(CR0.PE | 1 << 40) == .generalProtection())
    #expect(set(CR0.PE | 1 << 10) == nil)
    #expect(m.s.pointee.cr0 == CR0.PE | CR0.ET, "reserved bits are dropped, ET is fixed")
  }

  @Test func enteringAndLeavingLongMode() {
    let m = Machine()
    m.enterLong()
    let root = m.s.pointee.cr3
    m.enterProtected()
    m.s.pointee.efer = 0
    m.s.pointee.cr3 = root
    m.s.pointee.cr4 = 0
    m.cpu.updateMode()
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setEFER(EFER.LME | EFER.NXE) } == nil)
    let on = m.s.pointee.cr0 | CR0.PG
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR0(on) } == .generalProtection(), "PAE is missing")
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR4(CR4.PAE) } == nil)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR0(on) } == nil)
    #expect(m.s.pointee.longMode && m.s.pointee.efer & EFER.LMA != 0 && m.s.pointee.codeSize == .bits32)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR4(0) } == .generalProtection(), "PAE cannot go in IA-32e mode")
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setEFER(0) } == .generalProtection(), "LME cannot change with paging on")
    m.setDescriptor(0x60, Machine.descriptor(access: 0x9B, flags: 0xA))
    #expect(m.run(0xEA, 0, 0, 1, 0, 0x60, 0) == .done)
    #expect(m.s.pointee.codeSize == .bits64 && m.s.pointee.stackSize == 8 && m.s.pointee.ds.fastLimit == ~0)
    #expect(m.s.pointee.modeKey == 2 | ModeKey.stackBig | ModeKey.flatCode | ModeKey.flatData)
    m.s.pointee.rip = 0x1_0000
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR0(on & ~CR0.PG) } == .generalProtection(), "not out of 64-bit code")
  }

  @Test func cr4AndPCID() {
    let m = Machine()
    m.enterLong()
    func set(_ v: UInt64) -> Fault? { m.fault { (cpu) throws(Fault) in try cpu.setCR4(v) } }
    #expect(set(CR4.PAE | 1 << 13) == .generalProtection(), "VMX is not there")
    #expect(set(CR4.PAE | CR4.LA57) == .generalProtection())
    m.s.pointee.cr3 |= 8
    #expect(set(CR4.PAE | CR4.PCIDE) == .generalProtection(), "CR3 bits 11–0 must be 0")
    m.s.pointee.cr3 &= ~8
    #expect(set(CR4.PAE | CR4.PCIDE) == nil)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR3(Machine.pml4 | 1 << 63 | 5) } == nil)
    #expect(m.s.pointee.cr3 == Machine.pml4 | 5)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR3(1 << 50) } == .generalProtection())
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR0(cpu.s.pointee.cr0 & ~CR0.PG) } == .generalProtection())
  }

  @Test func cr8IsTheTaskPriority() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.rax = 9
    #expect(m.run(0x44, 0x0F, 0x22, 0xC0) == .done)  // MOV CR8, RAX
    #expect(m.taskPriority == 0x90)
    m.taskPriority = 0x37
    #expect(m.run(0x44, 0x0F, 0x20, 0xC3) == .done)  // MOV RBX, CR8
    #expect(m.s.pointee.rbx == 3)
    m.s.pointee.rax = 16
    #expect(m.run(0x44, 0x0F, 0x22, 0xC0) == .fault(13, 0))
  }

  @Test func controlRegistersAreForRing0() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    #expect(m.run(0x0F, 0x20, 0xC0) == .fault(13, 0))
    let none = Machine()
    none.enterProtected()
    #expect(none.run(0x0F, 0x20, 0xC8) == .fault(6, nil), "there is no CR1")
    let old = Machine(model: .i386)
    old.enterProtected()
    #expect(old.run(0x0F, 0x20, 0xE0) == .fault(6, nil), "the 386 has no CR4")
  }

  @Test func lmswSetsButDoesNotClearPE() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.rax = 0xE
    #expect(m.run(0x0F, 0x01, 0xF0) == .done)
    #expect(m.s.pointee.cr0 & 0xF == 0xF)
    m.s.pointee.rax = 0
    #expect(m.run(0x0F, 0x01, 0xF0) == .done)
    #expect(m.s.pointee.cr0 & 0xF == 1)
  }

  @Test func umip() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    #expect(m.run(0x0F, 0x01, 0xE0) == .done)  // SMSW EAX
    #expect(m.s.pointee.rax == m.s.pointee.cr0)
    for bytes in [[0x0F, 0x01, 0xE0], [0x0F, 0x00, 0xC0], [0x0F, 0x00, 0xC8]] as [[UInt8]] {
      let n = Machine()
      n.enterProtected(cpl: 3)
      n.s.pointee.cr4 |= CR4.UMIP
      #expect(n.run(bytes[0], bytes[1], bytes[2]) == .fault(13, 0))
    }
  }

  @Test func descriptorTableRegisters() {
    let m = Machine()
    m.enterProtected()
    m.put16(0x5_0000, 0x1FF)
    m.put32(0x5_0002, 0x1234_5678)
    m.s.pointee.rbx = 0x5_0000
    #expect(m.run(0x0F, 0x01, 0x1B) == .done)  // LIDT [EBX]
    #expect(m.s.pointee.idtr.base == 0x1234_5678 && m.s.pointee.idtr.limit == 0x1FF)
    #expect(m.run(0x66, 0x0F, 0x01, 0x1B) == .done)
    #expect(m.s.pointee.idtr.base == 0x34_5678, "24 bits of base with a 16-bit operand size")
    m.s.pointee.rbx = 0x5_1000
    #expect(m.run(0x0F, 0x01, 0x03) == .done)  // SGDT [EBX]
    #expect(m.get16(0x5_1000) == 0xFF && m.get32(0x5_1002) == UInt32(Machine.gdt))
    let long = Machine()
    long.enterLong()
    long.put64(0x5_0002, 0x8000_0000_0000)
    long.s.pointee.rbx = 0x5_0000
    #expect(long.run(0x0F, 0x01, 0x13) == .fault(13, 0), "a base that is not canonical")
  }

  // MARK: Flags

  @Test func popfChangesWhatThePrivilegeAllows() {
    func after(cpl: UInt8, iopl: UInt64) -> UInt64 {
      let m = Machine()
      m.enterProtected(cpl: cpl)
      m.s.pointee.systemFlags |= iopl << 12
      m.put32(0x6_0000, 0xFFFF_FEFF)  // all but TF
      #expect(m.run(0x9D) == .done)
      #expect(m.s.pointee.rsp == 0x6_0004)
      return m.cpu.rflags()
    }
    #expect(after(cpl: 0, iopl: 0) == 0x24_7ED7)
    #expect(after(cpl: 3, iopl: 0) == 0x24_4CD7, "neither IF nor IOPL")
    #expect(after(cpl: 3, iopl: 3) == 0x24_7ED7)
    #expect(after(cpl: 1, iopl: 1) == 0x24_5ED7)
  }

  @Test func popfOfOldModels() {
    func after(_ model: CPUModel) -> UInt64 {
      let m = Machine(model: model)
      m.enterProtected()
      m.put32(0x6_0000, 0x24_0000)
      #expect(m.run(0x9D) == .done)
      return m.cpu.rflags()
    }
    #expect(after(.i386) == 2, "neither AC nor ID")
    #expect(after(.i486) == 0x24_0002)
  }

  @Test func pushfHidesVMAndRF() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.systemFlags |= RFLAGS.RF
    #expect(m.run(0x9C) == .done)
    #expect(m.stack32(1) == [2 | (m.cpu.rflags() & 0x8D5 == 0 ? 0 : UInt32(m.cpu.rflags() & 0x8D5))])
  }

  @Test func cliWithPVI() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.s.pointee.cr4 |= CR4.PVI
    m.s.pointee.systemFlags |= RFLAGS.IF | RFLAGS.VIF
    #expect(m.run(0xFA) == .done)
    #expect(m.s.pointee.systemFlags & (RFLAGS.IF | RFLAGS.VIF) == RFLAGS.IF)
    #expect(m.run(0xFB) == .done)
    #expect(m.s.pointee.systemFlags & RFLAGS.VIF != 0)
  }

  // MARK: System calls

  @Test func syscallAndSysret() {
    let m = Machine()
    m.enterLong(cpl: 3)
    m.s.pointee.star = 0x0013_0008 << 32
    m.s.pointee.lstar = 0xFFFF_8000_0000_1000
    m.s.pointee.sfmask = RFLAGS.IF | RFLAGS.CF
    m.s.pointee.systemFlags |= RFLAGS.IF
    m.cpu.cf = true
    m.cpu.zf = false
    #expect(m.run(0x0F, 0x05) == .done)
    #expect(m.s.pointee.rip == 0xFFFF_8000_0000_1000 && m.s.pointee.cpl == 0 && m.s.pointee.rcx == 0x9002)
    #expect(m.s.pointee.r11 & 0x201 == 0x201 && m.cpu.rflags() & 0x201 == 0)
    #expect(m.s.pointee.cs.selector == 8 && m.s.pointee.ss.selector == 0x10 && m.s.pointee.cs.attributes == 0xA09B)
    m.s.pointee.rip = 0x9100
    #expect(m.run(0x48, 0x0F, 0x07) == .done)
    #expect(m.s.pointee.rip == 0x9002 && m.s.pointee.cpl == 3)
    #expect(m.s.pointee.cs.selector == 0x23 && m.s.pointee.ss.selector == 0x1B)
    #expect(m.cpu.rflags() & 0x201 == 0x201 && m.s.pointee.modeKey & ModeKey.user != 0)
  }

  @Test func syscallConditions() {
    let off = Machine()
    off.enterLong(cpl: 3)
    off.s.pointee.efer &= ~EFER.SCE
    #expect(off.run(0x0F, 0x05) == .fault(6, nil))
    let compat = Machine()
    compat.enterProtected()
    #expect(compat.run(0x0F, 0x05) == .fault(6, nil), "Intel: 64-bit mode only")
    let far = Machine()
    far.enterLong()
    far.s.pointee.rcx = 0x8000_0000_0000
    #expect(far.run(0x48, 0x0F, 0x07) == .fault(13, 0))
    let user = Machine()
    user.enterLong(cpl: 3)
    #expect(user.run(0x48, 0x0F, 0x07) == .fault(13, 0))
  }

  @Test func sysenterAndSysexit() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    #expect(m.run(0x0F, 0x34) == .fault(13, 0), "SYSENTER_CS is 0")
    let n = Machine()
    n.enterProtected(cpl: 3)
    n.s.pointee.sysenterCS = 8
    n.s.pointee.sysenterESP = 0x7000
    n.s.pointee.sysenterEIP = 0x5_0000
    #expect(n.run(0x0F, 0x34) == .done)
    #expect(n.s.pointee.rip == 0x5_0000 && n.s.pointee.rsp == 0x7000 && n.s.pointee.cpl == 0)
    n.s.pointee.rdx = 0x9100
    n.s.pointee.rcx = 0x6_1000
    #expect(n.run(0x0F, 0x35) == .done)
    #expect(n.s.pointee.cs.selector == 0x1B && n.s.pointee.ss.selector == 0x23 && n.s.pointee.rip == 0x9100)
    #expect(n.s.pointee.rsp == 0x6_1000 && n.s.pointee.cpl == 3)
  }

  @Test func swapgsAndBases() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.kernelGSBase = 0x1234
    m.s.pointee.gs.base = 0x5678
    #expect(m.run(0x0F, 0x01, 0xF8) == .done)
    #expect(m.s.pointee.gs.base == 0x1234 && m.s.pointee.kernelGSBase == 0x5678)
    #expect(m.run(0xF3, 0x48, 0x0F, 0xAE, 0xC8) == .fault(6, nil), "RDGSBASE without CR4.FSGSBASE")
    m.s.pointee.rip = 0x9000
    m.s.pointee.cr4 |= CR4.FSGSBASE
    #expect(m.run(0xF3, 0x48, 0x0F, 0xAE, 0xC8) == .done)
    #expect(m.s.pointee.rax == 0x1234)
    m.s.pointee.rax = 0x8000_0000_0000
    #expect(m.run(0xF3, 0x48, 0x0F, 0xAE, 0xD8) == .fault(13, 0), "WRGSBASE of an address that is not canonical")
  }

  @Test func registersHoldTheWidestAddresses() {
    // Between the 48 bits of 4-level paging and the 57 of LA57, while CR4.LA57 is clear.
    let address: UInt64 = 0x8000_0000_0000
    for isWide in [false, true] {
      let m = Machine(model: .x86_64v3.with(adding: isWide ? [.la57] : []))
      m.enterLong()
      m.s.pointee.cr4 |= CR4.FSGSBASE
      m.s.pointee.rax = address
      #expect(m.run(0xF3, 0x48, 0x0F, 0xAE, 0xD8) == (isWide ? .done : .fault(13, 0)), "WRGSBASE")
      m.s.pointee.rip = 0x9000
      m.s.pointee.rcx = 0xC000_0082
      m.s.pointee.rax = 0
      m.s.pointee.rdx = address >> 32
      #expect(m.run(0x0F, 0x30) == (isWide ? .done : .fault(13, 0)), "WRMSR of IA32_LSTAR")
      #expect(m.cpu.cpuid(leaf: 0x8000_0008, subleaf: 0).eax >> 8 & 0xFF == (isWide ? 57 : 48))
    }
  }

  // MARK: Ports

  @Test func portsByIOPLAndBitmap() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    // The bitmap begins at 88h in the TSS: all ports allowed but 71h.
    for n in 0..<0x2000 as Range<UInt64> { m.put8(Machine.tss + 0x88 + n, 0) }
    m.put8(Machine.tss + 0x88 + 0x71 / 8, 0x02)
    m.portValue = 0x1122_3344
    #expect(m.run(0xE4, 0x70) == .done)
    #expect(m.s.pointee.rax & 0xFF == 0x44)
    #expect(m.run(0xE5, 0x6D) == .done)
    #expect(m.s.pointee.rax == 0x1122_3344)
    #expect(m.run(0xE5, 0x6E) == .fault(13, 0), "four ports from 6EH touch 71H")
    #expect(m.portReads.count == 2)
    let privileged = Machine()
    privileged.enterProtected(cpl: 3)
    privileged.s.pointee.systemFlags |= RFLAGS.IOPL
    privileged.s.pointee.rdx = 0x3F8
    #expect(privileged.run(0xEE) == .done)
    #expect(privileged.portWrites.count == 1)
    let short = Machine()
    short.enterProtected(cpl: 3)
    short.s.pointee.tr.limit = 0x67
    #expect(short.run(0xEE) == .fault(13, 0))
  }

  @Test func repeatedInputIsExactWhenItFaults() {
    let m = Machine()
    m.enterLong()
    m.portValue = 0xAB
    m.s.pointee.rdx = 0x1F0
    m.s.pointee.rdi = 0xFF_FFFD
    m.s.pointee.rcx = 10
    #expect(m.run(0xF3, 0x6C) == .done, "the iterations before the fault count on their own")
    #expect(m.s.pointee.rcx == 7 && m.s.pointee.rdi == 0x100_0000 && m.s.pointee.retireWeight == 3)
    #expect(m.run(0xF3, 0x6C) == .fault(14, 2), "the fault comes when the instruction is restarted")
    #expect(m.s.pointee.rcx == 7 && m.portReads.count == 3, "no port is read whose byte cannot be stored")
    #expect(m.get8(0xFF_FFFF) == 0xAB)
    m.s.pointee.rip = 0x9000
    m.s.pointee.rsi = 0x9_0000
    m.s.pointee.rcx = 5
    m.s.pointee.budget = 2
    m.put8(0x9_0000, 0x41)
    #expect(m.run(0xF3, 0x6E) == .done)
    #expect(m.s.pointee.rip == 0x9000 && m.s.pointee.rcx == 3 && m.portWrites.count == 2 && m.portWrites[0].value == 0x41)
  }

  // MARK: Debug registers

  @Test func debugRegisterRules() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.rax = 0xFFFF_FFFF
    #expect(m.run(0x0F, 0x23, 0xF0) == .done)  // MOV DR6, EAX
    #expect(m.s.pointee.dr6 == 0xFFFF_EFFF)
    #expect(m.run(0x0F, 0x21, 0xE3) == .done)  // MOV EBX, DR4
    #expect(m.s.pointee.rbx == 0xFFFF_EFFF, "DR4 is DR6 without CR4.DE")
    m.s.pointee.cr4 |= CR4.DE
    #expect(m.run(0x0F, 0x21, 0xE3) == .fault(6, nil))
    m.s.pointee.rip = 0x9000
    m.s.pointee.rax = 0x2000
    #expect(m.run(0x0F, 0x23, 0xF8) == .done)  // DR7.GD
    #expect(m.s.pointee.dr7 == 0x2400)
    #expect(m.run(0x0F, 0x21, 0xC3) == .fault(1, nil))
    #expect(m.s.pointee.dr6 & DR6.bd != 0 && m.s.pointee.dr7 & DR7.gd == 0 && m.s.pointee.rip == Machine.handlers + 16)
    let user = Machine()
    user.enterProtected(cpl: 3)
    #expect(user.run(0x0F, 0x21, 0xC3) == .fault(13, 0))
  }

  @Test func dataBreakpointTrapsAfterTheInstruction() {
    let m = Machine()
    m.enterProtected()
    m.cpu.setDebugRegister(0, 0x5_0004)
    m.cpu.setDebugRegister(7, 0x1 | 0xD << 16)  // L0, 4 bytes, writes
    m.s.pointee.rbx = 0x5_0000
    #expect(m.run(0x8B, 0x43, 0x04) == .done)  // a read
    #expect(m.s.pointee.rip == 0x9003)
    #expect(m.run(0x88, 0x43, 0x03) == .done)  // a byte beside it
    #expect(m.s.pointee.rip == 0x9006)
    #expect(m.run(0x88, 0x43, 0x07) == .done)  // the last byte of it
    #expect(m.s.pointee.rip == Machine.handlers + 16 && m.stack32(1) == [0x9009])
    #expect(m.s.pointee.dr6 & 0xF == 1)
  }

  @Test func codeBreakpointAndRF() {
    let m = Machine()
    m.enterProtected()
    m.cpu.setDebugRegister(1, 0x9000)
    m.cpu.setDebugRegister(7, 0x8)
    #expect(m.cpu.hasCodeBreakpoints)
    #expect(m.cpu.checkCodeBreakpoint())
    #expect(m.s.pointee.rip == Machine.handlers + 16 && m.s.pointee.dr6 & 0xF == 2)
    #expect(m.stack32(3)[0] == 0x9000)
    m.put32(m.s.pointee.rsp + 8, 0x1_0002)
    #expect(m.run(0xCF) == .done)
    #expect(m.s.pointee.systemFlags & RFLAGS.RF != 0 && m.s.pointee.rip == 0x9000)
    #expect(!m.cpu.checkCodeBreakpoint())
  }

  @Test func singleStep() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.systemFlags |= RFLAGS.TF
    #expect(m.run(0x90) == .done)
    #expect(m.s.pointee.rip == Machine.handlers + 16 && m.s.pointee.dr6 & DR6.bs != 0)
    #expect(m.s.pointee.systemFlags & RFLAGS.TF == 0 && m.stack32(3)[2] & 0x100 != 0)
  }

  @Test func portBreakpoint() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.cr4 |= CR4.DE
    m.cpu.setDebugRegister(2, 0x3F8)
    m.cpu.setDebugRegister(7, 0x10 | 2 << 24)
    m.s.pointee.rdx = 0x3F8
    #expect(m.run(0xEE) == .done)
    #expect(m.s.pointee.rip == Machine.handlers + 16 && m.s.pointee.dr6 & 0xF == 4 && m.portWrites.count == 1)
  }

  // MARK: Time and model-specific registers

  @Test func timeStampCounter() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.s.pointee.retired = 0x1_0000_0005
    m.s.pointee.tscOffset = 10
    #expect(m.run(0x0F, 0x31) == .done)
    #expect(m.s.pointee.rdx == 1 && m.s.pointee.rax == 15)
    m.s.pointee.cr4 |= CR4.TSD
    #expect(m.run(0x0F, 0x31) == .fault(13, 0))
    let k = Machine()
    k.enterProtected()
    k.s.pointee.retired = 1000
    #expect(k.fault { (cpu) throws(Fault) in try cpu.writeMSR(MSR.timeStampCounter, 5000) } == nil)
    #expect(k.cpu.readTSC() == 5000 && k.cpu.readMSR(MSR.tscAdjust) == 4000)
    #expect(k.fault { (cpu) throws(Fault) in try cpu.writeMSR(MSR.tscAdjust, 0) } == nil)
    #expect(k.cpu.readTSC() == 1000)
  }

  @Test func modelSpecificRegisters() {
    let m = Machine()
    m.enterLong()
    func write(_ msr: UInt32, _ v: UInt64) -> Fault? { m.fault { (cpu) throws(Fault) in try cpu.writeMSR(msr, v) } }
    #expect(write(MSR.lstar, 0x8000_0000_0000) == .generalProtection())
    #expect(write(MSR.fsBase, 0x8000_0000_0000) == .generalProtection())
    #expect(write(MSR.fsBase, 0xFFFF_8000_0000_0000) == nil && m.s.pointee.fs.base == 0xFFFF_8000_0000_0000)
    #expect(write(MSR.pat, 0x02) == .generalProtection(), "2 is no memory type")
    #expect(write(MSR.pat, 0x0007_0406_0007_0401) == nil)
    #expect(write(MSR.mtrrDefaultType, 0xC06) == nil && write(MSR.mtrrDefaultType, 0x1000) == .generalProtection())
    #expect(write(MSR.mtrrPhysicalBase0, 0xC000_0000) == nil && m.cpu.readMSR(0x200) == 0xC000_0000)
    #expect(write(0x201, 1 << 45) == .generalProtection())
    #expect(write(0x26F, 0x0606_0606_0606_0606) == nil && m.cpu.readMSR(0x26F) == 0x0606_0606_0606_0606)
    #expect(write(MSR.efer, 1 << 12) == .generalProtection())
    #expect(write(0x401, 1) == .generalProtection() && write(0x401, 0) == nil && write(0x400, ~0) == nil)
    #expect(write(MSR.archCapabilities, 0) == .generalProtection())
    #expect(write(MSR.platformID, 0) == .generalProtection(), "read-only")
    #expect(write(MSR.debugControl, 3) == nil && m.cpu.readMSR(MSR.debugControl) == 3)
    #expect(write(MSR.machineCheckStatus, 7) == nil && m.cpu.readMSR(MSR.machineCheckStatus) == 7)
    for bit in [2, 6, 63] as [UInt64] { #expect(write(MSR.debugControl, 1 << bit) == .generalProtection()) }
    for bit in [3, 63] as [UInt64] { #expect(write(MSR.machineCheckStatus, 1 << bit) == .generalProtection()) }
    #expect(write(MSR.sysenterCS, 0x1234_5678_0000_0010) == nil && m.cpu.readMSR(MSR.sysenterCS) == 0x10)
    m.s.pointee.rcx = 0x1234_5678
    #expect(m.run(0x0F, 0x32) == .fault(13, 0))
    let user = Machine()
    user.enterLong(cpl: 3)
    user.s.pointee.rcx = UInt64(MSR.timeStampCounter)
    #expect(user.run(0x0F, 0x32) == .fault(13, 0))
  }

  /// Reserved bits of INVPCID's descriptor fault for every type (SDM vol. 2A, INVPCID).
  @Test func invalidationDescriptors() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.rcx = 0x8000
    for type in 0..<5 as Range<UInt64> {
      m.s.pointee.rax = type
      for (low, isGood) in [(0, true), (0x1000, false), (1 << 63, false)] as [(UInt64, Bool)] {
        m.put64(0x8000, low)
        m.put64(0x8008, 0x5000)
        m.s.pointee.rip = 0x1_0000
        #expect(m.run(0x66, 0x0F, 0x38, 0x82, 0x01) == (isGood && type < 4 ? .done : .fault(13, 0)), "type \(type), descriptor \(low)")
        m.enterLong()
      }
    }
  }

  /// RESET clears the time-stamp counter, INIT leaves it alone (SDM vol. 3A table 10-1).
  @Test func timeStampCounterAfterReset() {
    let m = Machine()
    m.s.pointee.retired = 1000
    #expect(m.fault { (cpu) throws(Fault) in try cpu.writeMSR(MSR.timeStampCounter, 5000) } == nil)
    m.cpu.reset(isINIT: true)
    #expect(m.cpu.readTSC() == 5000)
    m.cpu.reset(isINIT: false)
    #expect(m.cpu.readTSC() == 0 && m.cpu.readMSR(MSR.tscAdjust) == 0)
    m.s.pointee.retired += 7
    #expect(m.cpu.readTSC() == 7)
  }

  /// The x2APIC decides which of its registers can be read or written, not the other direction's answer.
  @Test func writeOnlyRegistersOfTheAPIC() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.exitRequest = 0
    #expect(m.cpu.readMSR(0x80B) == nil)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.writeMSR(0x80B, 0) } == nil)
    #expect(m.x2APICWrites == [0x80B] && m.s.pointee.exitRequest & ExitRequest.event != 0)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.writeMSR(0x802, 0) } == .generalProtection(), "the APIC refuses it")
    let old = Machine(model: .x86_64v3.with(adding: [], removing: [.x2apic]))
    #expect(old.fault { (cpu) throws(Fault) in try cpu.writeMSR(0x80B, 0) } == .generalProtection())
    #expect(old.x2APICWrites.isEmpty)
  }

  /// IA32_MISC_ENABLE: reserved bits fault, bits that tell what there is cannot be changed (SDM vol. 4).
  @Test func miscellaneousEnables() {
    let m = Machine()
    m.enterLong()
    #expect(m.fault { (cpu) throws(Fault) in try cpu.writeMSR(MSR.miscEnable, 0xFFFF_FFFF) } == .generalProtection())
    #expect(m.cpu.readMSR(MSR.miscEnable) == 1)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.writeMSR(MSR.miscEnable, 1 << 22 | 1 << 11) } == nil)
    #expect(m.cpu.readMSR(MSR.miscEnable) == 1 << 22)
  }

  /// CD and NW came with the 486.
  @Test func cacheBitsAfterReset() {
    for (model, bits) in [(CPUModel.i386, 0x10), (.i486, 0x6000_0010)] as [(CPUModel, UInt64)] {
      let m = Machine(model: model)
      m.cpu.reset(isINIT: false)
      #expect(m.s.pointee.cr0 == bits)
    }
  }

  // MARK: Extended state

  @Test func componentsInUse() {
    let m = Machine()
    m.enterLong()
    #expect(m.run(0xDB, 0xE3) == .done)  // FNINIT: power-on is not what counts as initial
    m.s.pointee.rcx = 1
    m.s.pointee.cr4 |= CR4.OSXSAVE
    m.s.pointee.xcr0 = 7
    func inUse() -> UInt64 {
      #expect(m.run(0x0F, 0x01, 0xD0) == .done)
      return m.s.pointee.rax
    }
    #expect(inUse() == 0)
    m.s.pointee.mxcsr = 0x9F80
    #expect(inUse() == 2)
    m.s.pointee.mxcsr = 0x1F80
    m.cpu.vector(3).pointee.q3 = 1
    #expect(inUse() == 4)
    m.s.pointee.xcr0 = 3
    #expect(inUse() == 0, "AVX is not enabled")
    m.s.pointee.x87.controlWord = 0x27F
    #expect(inUse() == 1)
  }

  // MARK: CPUID

  @Test func defaultModelIsNotAffectedByAnything() {
    let m = Machine()
    let one = m.cpu.cpuid(leaf: 1, subleaf: 0)
    #expect(one.eax == 0x106CA, "family 6, model 1CH, an in-order Atom")
    #expect(one.ecx & (1 << 3 | 1 << 5 | 1 << 27 | 1 << 31) == 0, "no MONITOR, VMX, OSXSAVE yet, hypervisor")
    #expect(one.ecx & (1 << 17) != 0 && one.ecx & (1 << 28) != 0 && one.ecx & 1 << 24 != 0)
    let seven = m.cpu.cpuid(leaf: 7, subleaf: 0)
    #expect(seven.ebx & (1 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 20) == (1 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 20))
    #expect(seven.edx & (1 << 29 | 1 << 4) == (1 << 29 | 1 << 4) && seven.edx & 1 << 26 == 0)
    let capabilities = m.cpu.readMSR(MSR.archCapabilities)!
    #expect(capabilities & 0x171 == 0x171, "RDCL, SSB, MDS, PSCHANGE, TAA")
    #expect(m.cpu.cpuid(leaf: 6, subleaf: 0).ecx & 1 == 0, "no APERF and MPERF")
  }

  @Test func leavesThatMirrorState() {
    let m = Machine()
    m.s.pointee.cr4 |= CR4.OSXSAVE
    #expect(m.cpu.cpuid(leaf: 1, subleaf: 0).ecx & 1 << 27 != 0)
    #expect(m.cpu.cpuid(leaf: 1, subleaf: 0).edx & 1 << 9 != 0)
    m.apicBase = 0xFEE0_0000
    #expect(m.cpu.cpuid(leaf: 1, subleaf: 0).edx & 1 << 9 == 0)
    #expect(m.cpu.cpuid(leaf: 0xD, subleaf: 0) == CPUIDResult(eax: 7, ebx: 576, ecx: 832))
    m.s.pointee.xcr0 = 7
    #expect(m.cpu.cpuid(leaf: 0xD, subleaf: 0).ebx == 832)
    #expect(m.cpu.cpuid(leaf: 0xD, subleaf: 2) == CPUIDResult(eax: 256, ebx: 576))
    #expect(m.cpu.cpuid(leaf: 0xD, subleaf: 9) == CPUIDResult())
  }

  @Test func xcr0Rules() {
    let m = Machine()
    func set(_ v: UInt64) -> Fault? { m.fault { (cpu) throws(Fault) in try cpu.setXCR0(v) } }
    #expect(set(7) == nil && set(3) == nil && set(1) == nil)
    #expect(set(2) == .generalProtection() && set(5) == .generalProtection() && set(0x207) == .generalProtection())
  }

  @Test func topology() {
    let model = CPUModel.x86_64v3.with(processorCount: 6)
    #expect(model.cpuid(leaf: 0xB, subleaf: 0, apicID: 5, xcr0: 1) == CPUIDResult(eax: 0, ebx: 1, ecx: 0x100, edx: 5))
    #expect(model.cpuid(leaf: 0xB, subleaf: 1, apicID: 5, xcr0: 1) == CPUIDResult(eax: 3, ebx: 6, ecx: 0x201, edx: 5))
    #expect(model.cpuid(leaf: 1, subleaf: 0, apicID: 5, xcr0: 1).ebx == 5 << 24 | 6 << 16 | 8 << 8)
    #expect(model.cpuid(leaf: 1, subleaf: 0, apicID: 5, xcr0: 1).edx & 1 << 28 != 0)
    let l3 = model.cpuid(leaf: 4, subleaf: 3, apicID: 0, xcr0: 1)
    #expect(l3.eax & 0x1F == 3 && (l3.eax >> 14) & 0xFFF == 5 && l3.eax >> 26 == 5)
    #expect((l3.ecx + 1) * ((l3.ebx >> 22) + 1) * 64 == 32 << 20)
    #expect(model.cpuid(leaf: 4, subleaf: 4, apicID: 0, xcr0: 1).eax == 0)
  }

  @Test func frequencyAndBrand() {
    let model = CPUModel.x86_64v3
    #expect(model.cpuid(leaf: 0x15, subleaf: 0, apicID: 0, xcr0: 1) == CPUIDResult(eax: 1, ebx: 1, ecx: 1_000_000_000))
    #expect(model.with(crystalFrequency: 25_000_000).cpuid(leaf: 0x15, subleaf: 0, apicID: 0, xcr0: 1).ebx == 40)
    var text: [UInt8] = []
    for leaf in 0x8000_0002...0x8000_0004 as ClosedRange<UInt32> {
      let r = model.cpuid(leaf: leaf, subleaf: 0, apicID: 0, xcr0: 1)
      for w in [r.eax, r.ebx, r.ecx, r.edx] { for k in 0..<4 as Range<UInt32> { text.append(UInt8(truncatingIfNeeded: w >> (k * 8))) } }
    }
    #expect(String(decoding: text.prefix { $0 != 0 }, as: UTF8.self) == "Xenolith x86-64-v3 processor")
    let zero = model.cpuid(leaf: 0, subleaf: 0, apicID: 0, xcr0: 1)
    #expect(zero.ebx == 0x756E_6547 && zero.edx == 0x4965_6E69 && zero.ecx == 0x6C65_746E)
    #expect(model.cpuid(leaf: 0x8000_0008, subleaf: 0, apicID: 0, xcr0: 1).eax == 0x3028)
  }

  @Test func modelsByName() {
    #expect(CPUModel.named("x86-64-v3") === CPUModel.all[0])
    #expect(CPUModel.named("486")?.features.contains(.i486) == true)
    #expect(CPUModel.named("z80") == nil)
    for model in CPUModel.all {
      #expect(model.features.contains(.longMode) == (model.linearAddressBits == 48))
      #expect(model.brand.utf8.count < 48 && model.vendor.utf8.count == 12)
    }
    let old = Machine(model: .i386)
    old.enterProtected()
    #expect(old.run(0x0F, 0xA2) == .fault(6, nil), "the 386 has no CPUID")
    let four = Machine(model: .i486)
    four.enterProtected()
    #expect(four.run(0x0F, 0xA2) == .done)
    #expect(four.run(0x0F, 0x32) == .fault(6, nil), "the 486 has no MSRs")
  }
}
