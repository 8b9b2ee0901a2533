import Testing
import X86
import X86Decoder

@testable import Processor

/// Delivery of interrupts and exceptions: frames, error codes, privilege, double and triple faults.
@Suite struct SystemExceptionTests {
  typealias Machine = SystemTestMachine

  private func handler(_ vector: UInt64) -> UInt64 { Machine.handlers + vector * 16 }

  // MARK: Real mode

  @Test func realModeInterruptAndReturn() {
    let m = Machine()
    m.enterReal()
    m.s.pointee.systemFlags |= RFLAGS.IF | RFLAGS.TF
    m.cpu.cf = true
    #expect(m.run(0xCD, 0x21) == .done)
    // TF was set when INT began, but INT clears it before the trap would be taken; only the first step is looked at here.
    m.s.pointee.systemFlags &= ~RFLAGS.TF
    #expect(m.get16(0x7FFE) & 0x301 == 0x301)
    #expect(m.get16(0x7FFC) == 0 && m.get16(0x7FFA) == 0x9002)
    #expect(m.s.pointee.systemFlags & RFLAGS.IF == 0)
  }

  @Test func realModeVectorBeyondTheLimit() {
    let m = Machine()
    m.enterReal()
    m.s.pointee.idtr.limit = 0x7F
    #expect(m.run(0xCD, 0x20) == .fault(13, 0x102))
    #expect(m.s.pointee.rip == 0xA00D)
    #expect(m.get16(0x7FFA) == 0x9000, "a fault saves the instruction's own address, and no error code")
    #expect(m.s.pointee.rsp == 0x7FFA)
  }

  @Test func realModeIRET() {
    let m = Machine()
    m.enterReal()
    m.put16(0x8000, 0x1234)
    m.put16(0x8002, 0x0070)
    m.put16(0x8004, 0x3247)
    #expect(m.run(0xCF) == .done)
    #expect(m.s.pointee.rip == 0x1234 && m.s.pointee.cs.base == 0x700)
    #expect(m.cpu.rflags() & 0x7FD7 == 0x3247)
    #expect(m.s.pointee.rsp == 0x8006)
  }

  // MARK: Protected mode

  @Test func faultFromRing3SwitchesStacks() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.s.pointee.systemFlags |= RFLAGS.IF | RFLAGS.NT
    #expect(m.run(0xFA) == .fault(13, 0))  // CLI with IOPL 0
    #expect(m.s.pointee.rip == handler(13) && m.s.pointee.cpl == 0)
    #expect(m.s.pointee.cs.selector == Machine.code0 && m.s.pointee.ss.selector == Machine.data0)
    #expect(m.s.pointee.rsp == 0x8_0000 - 24)
    let frame = m.stack32(6)
    #expect(frame[0] == 0 && frame[1] == 0x9000 && frame[2] == 0x1B && frame[4] == 0x6_0000 && frame[5] == 0x23)
    #expect(frame[3] & 0x1_4202 == 0x1_4202, "RF is set in the image of a fault; IF and NT as they were")
    #expect(m.s.pointee.systemFlags & (RFLAGS.IF | RFLAGS.NT | RFLAGS.RF) == 0)
    #expect(m.run(0x83, 0xC4, 0x04) == .done)  // ADD ESP, 4
    #expect(m.run(0xCF) == .done)
    #expect(m.s.pointee.cpl == 3 && m.s.pointee.rip == 0x9000 && m.s.pointee.rsp == 0x6_0000)
    #expect(m.s.pointee.cs.selector == 0x1B && m.s.pointee.ss.selector == 0x23)
    #expect(m.s.pointee.ds.selector == 0x23)
  }

  @Test func softwareInterruptNeedsTheGatesPrivilege() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    #expect(m.run(0xCD, 0x30) == .fault(13, 0x30 * 8 + 2))
    let open = Machine()
    open.enterProtected(cpl: 3)
    #expect(open.run(0xCD, 0x80) == .done)
    #expect(open.s.pointee.rip == handler(0x80))
    #expect(open.stack32(2) == [0x9002, 0x1B])
    #expect(open.stack32(3)[2] & 0x1_0000 == 0, "no RF for a software interrupt")
  }

  @Test func int3IgnoresNothingAndInt1IgnoresDPL() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    #expect(m.run(0xCC) == .fault(13, 3 * 8 + 2))
    let one = Machine()
    one.enterProtected(cpl: 3)
    #expect(one.run(0xF1) == .done)
    #expect(one.s.pointee.rip == handler(1) && one.stack32(1) == [0x9001])
  }

  @Test func trapGatesKeepIF() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.systemFlags |= RFLAGS.IF
    m.setGate(0x20, Machine.gate(selector: Machine.code0, offset: 0x5_0000, access: 0x8F))
    #expect(m.run(0xCD, 0x20) == .done)
    #expect(m.s.pointee.systemFlags & RFLAGS.IF != 0)
    #expect(m.s.pointee.rip == 0x5_0000 && m.s.pointee.rsp == 0x6_0000 - 12)
  }

  @Test func gatesOf286MaskTheOffset() {
    let m = Machine()
    m.enterProtected()
    m.setGate(0x20, Machine.gate(selector: Machine.code0, offset: 0xDEAD_5000, access: 0x86))
    #expect(m.run(0xCD, 0x20) == .done)
    #expect(m.s.pointee.rip == 0x5000 && m.s.pointee.rsp == 0x6_0000 - 6)
    #expect(m.get16(0x6_0000 - 6) == 0x9002)
  }

  @Test(arguments: [
    // gate, expected vector and error code for INT 20h
    (0x0000_0E00_0008_0000 as UInt64, 11 as UInt8, 0x102 as UInt32),  // not present
    (0x0000_8200_0008_0000, 13, 0x102),  // an LDT is no gate
    (0x0000_8E00_0000_0000, 13, 0),  // null code selector
    (0x0000_8E00_0010_0000, 13, 0x10),  // a data segment
    (0x0000_8E00_01F8_0000, 13, 0x1F8),  // beyond the GDT
  ])
  func badGates(_ gate: UInt64, _ vector: UInt8, _ code: UInt32) {
    let m = Machine()
    m.enterProtected()
    m.setGate(0x20, gate)
    #expect(m.run(0xCD, 0x20) == .fault(vector, code))
    #expect(m.s.pointee.rip == handler(UInt64(vector)))
    #expect(m.stack32(2) == [code, 0x9000])
    let external = Machine()
    external.enterProtected()
    external.setGate(0x20, gate)
    external.cpu.deliver(vector: 0x20, kind: .external)
    #expect(external.s.pointee.rip == handler(UInt64(vector)))
    #expect(external.stack32(1) == [code | 1], "EXT is set for an interrupt from outside")
  }

  @Test func vectorBeyondTheLimit() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.idtr.limit = 0x20 * 8 + 6
    #expect(m.run(0xCD, 0x20) == .fault(13, 0x102))
  }

  @Test func notPresentStackIsSS() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.setDescriptor(0x60, Machine.descriptor(access: 0x13, flags: 0xC))
    m.put16(Machine.tss + 8, 0x60)
    m.cpu.deliver(vector: 0x20, kind: .external)
    // #SS(60h, EXT), whose own delivery meets the same stack: #DF, and again: shutdown.
    #expect(m.s.pointee.activity == .shutdown)
    let chain = m.environment.faultLog.lastChain(of: 0)
    #expect(chain.map(\.vector) == [0x20, 12, 12, 8, 12])
    #expect(chain[1].errorCode == 0x61)
  }

  @Test func nullInnerStackIsTS() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.put16(Machine.tss + 8, 0)
    // A task gate for #TS, #DF need not be there: look at the log.
    m.cpu.deliver(vector: 0x20, kind: .external)
    let chain = m.environment.faultLog.lastChain(of: 0)
    #expect(chain[1].vector == 10 && chain[1].errorCode == 1)
  }

  @Test func doubleFaultTable() {
    // #GP whose gate is not present: #NP during #GP is a double fault.
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.setGate(13, 0)
    m.run(0xFA)
    #expect(m.s.pointee.rip == handler(8) && m.stack32(2) == [0, 0x9000])
    // #UD is benign: a fault during its delivery is delivered by itself.
    let benign = Machine()
    benign.enterProtected()
    benign.setGate(6, Machine.gate(selector: Machine.code0, offset: 0, access: 0x0E))
    #expect(benign.run(0x0F, 0x0B) == .fault(6, nil))
    #expect(benign.s.pointee.rip == handler(11) && benign.stack32(1) == [6 * 8 + 2 + 1])
  }

  @Test func tripleFaultIsAShutdownWithAStory() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.idtr.limit = 0
    #expect(m.run(0x0F, 0x0B) == .fault(6, nil))
    #expect(m.s.pointee.activity == .shutdown)
    #expect(m.s.pointee.rip == 0x9000)
    let chain = m.environment.faultLog.lastChain(of: 0)
    #expect(chain.map(\.vector) == [6, 13, 13, 8, 13])
    #expect(chain.map(\.depth) == [0, 1, 2, 3, 4])
    #expect(chain[1].description.hasPrefix("#GP(error 0033) at 0008:0000000000009000"))
  }

  @Test func pageFaultDuringDelivery() {
    let m = Machine()
    m.enterLong(cpl: 3)
    // The handler's stack is not mapped: #PF in the delivery of #GP stays a #PF, which then fails the same way: #DF on an IST stack.
    m.put64(Machine.tss + 4, 0xFFFF_8000_0000_1000)
    m.setGate64(8, selector: Machine.code0, offset: handler(8), access: 0x8E, ist: 1)
    m.run(0xFA)
    #expect(m.s.pointee.rip == handler(8))
    #expect(m.s.pointee.rsp == 0x9_0000 - 48)
    #expect(m.environment.faultLog.lastChain(of: 0).map(\.vector) == [13, 14, 14, 8])
    #expect(m.s.pointee.cr2 == 0xFFFF_8000_0000_0FF8)
  }

  // MARK: 64-bit mode

  @Test func longModeFrame() {
    let m = Machine()
    m.enterLong(cpl: 3)
    m.s.pointee.rsp = 0x6_0003
    m.s.pointee.systemFlags |= RFLAGS.IF
    m.cpu.deliver(vector: 0x30, kind: .external)
    #expect(m.s.pointee.rip == handler(0x30) && m.s.pointee.cpl == 0)
    #expect(m.s.pointee.ss.selector == 0 && !m.s.pointee.ss.usable)
    #expect(m.stack64(5) == [0x9000, 0x1B, 0x202, 0x6_0003, 0x23])
    #expect(m.s.pointee.rsp == 0x8_0000 - 40)
    #expect(m.run(0x48, 0xCF) == .done)
    #expect(m.s.pointee.cpl == 3 && m.s.pointee.rsp == 0x6_0003 && m.s.pointee.ss.selector == 0x23)
    #expect(m.s.pointee.systemFlags & RFLAGS.IF != 0)
  }

  @Test func longModeAlignsTheStackAndUsesIST() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.rsp = 0x6_000F
    m.cpu.deliver(vector: 0x30, kind: .external)
    #expect(m.s.pointee.rsp == 0x6_0000 - 40)
    #expect(m.stack64(5)[3] == 0x6_000F)
    #expect(m.s.pointee.ss.selector == Machine.data0, "no change of privilege, no change of SS")
    m.setGate64(0x31, selector: Machine.code0, offset: handler(0x31), access: 0x8E, ist: 1)
    m.cpu.deliver(vector: 0x31, kind: .external)
    #expect(m.s.pointee.rsp == 0x9_0000 - 40)
  }

  @Test func longModeGateErrors() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.idtr.limit = 0x30 * 16 + 14
    #expect(m.run(0xCD, 0x30) == .fault(13, 0x30 * 8 + 2))
    let compat = Machine()
    compat.enterLong()
    compat.setDescriptor(0x60, Machine.descriptor(access: 0x9B, flags: 0xC))
    compat.setGate64(0x30, selector: 0x60, offset: 0, access: 0x8E)
    #expect(compat.run(0xCD, 0x30) == .fault(13, 0x60), "a gate must lead to 64-bit code")
    let far = Machine()
    far.enterLong()
    far.setGate64(0x30, selector: Machine.code0, offset: 0x8000_0000_0000, access: 0x8E)
    #expect(far.run(0xCD, 0x30) == .fault(13, 0))
    let stack = Machine()
    stack.enterLong()
    stack.put64(Machine.tss + 36, 0x8000_0000_0000)
    stack.setGate64(0x30, selector: Machine.code0, offset: 0, access: 0x8E, ist: 1)
    #expect(stack.run(0xCD, 0x30) == .fault(12, 0), "a stack that is not canonical is #SS")
  }

  @Test func iretFrom64To32BitCode() {
    let m = Machine()
    m.enterLong()
    m.setDescriptor(0x60, Machine.descriptor(access: 0xFB, flags: 0xC))
    for (n, v) in [0x1234_5678, 0x63, 0x202, 0x5_0000, 0x23].enumerated() { m.put64(0x6_0000 + UInt64(n) * 8, UInt64(v)) }
    m.s.pointee.fs.base = 5
    #expect(m.run(0x48, 0xCF) == .done)
    #expect(m.s.pointee.codeSize == .bits32 && m.s.pointee.longMode && m.s.pointee.rip == 0x1234_5678)
    #expect(m.s.pointee.rsp == 0x5_0000 && m.s.pointee.stackSize == 4)
    // FS held a ring-0 data segment.
    #expect(!m.s.pointee.fs.usable && m.s.pointee.fs.selector == 0)
  }

  @Test func iretToANullStackSegment() {
    func attempt(cs: UInt16, ss: UInt16) -> SystemTestMachine.Outcome {
      let m = Machine()
      m.enterLong()
      for (n, v) in [0x9000, UInt64(cs), 2, 0x5_0000, UInt64(ss)].enumerated() { m.put64(0x6_0000 + UInt64(n) * 8, v) }
      return m.run(0x48, 0xCF)
    }
    #expect(attempt(cs: 0x08, ss: 0) == .done)
    #expect(attempt(cs: 0x1B, ss: 3) == .fault(13, 0))
    #expect(attempt(cs: 0x08, ss: 1) == .fault(13, 0))
    #expect(attempt(cs: 0x1B, ss: 0x10) == .fault(13, 0x10))
  }

  @Test func iretWithNTIsRefusedInLongMode() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.systemFlags |= RFLAGS.NT
    #expect(m.run(0x48, 0xCF) == .fault(13, 0))
  }

  @Test func nmiIsBlockedUntilIRET() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.nmiPending = true
    m.cpu.deliverNMI()
    #expect(m.s.pointee.nmiBlocked && !m.s.pointee.nmiPending && m.s.pointee.rip == handler(2))
    #expect(m.run(0x48, 0xCF) == .done)
    #expect(!m.s.pointee.nmiBlocked && m.s.pointee.rip == 0x9000)
  }

  // MARK: Virtual-8086 mode

  private func v86(_ flags: UInt64 = 0) -> Machine {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.rsp = 0x7_F000
    let words: [UInt32] = [0x200, 0x1000, UInt32(RFLAGS.VM | 2 | flags), 0x800, 0x1800, 0x11, 0x22, 0x33, 0x44]
    for (n, w) in words.enumerated() { m.put32(0x7_F000 + UInt64(n) * 4, w) }
    #expect(m.run(0xCF) == .done)
    return m
  }

  @Test func iretToVirtual8086() {
    let m = v86()
    #expect(m.s.pointee.v86 && m.s.pointee.cpl == 3 && m.s.pointee.rip == 0x200)
    #expect(m.s.pointee.cs.base == 0x1_0000 && m.s.pointee.cs.limit == 0xFFFF)
    #expect(m.s.pointee.rsp == 0x800 && m.s.pointee.ss.base == 0x1_8000)
    #expect(m.s.pointee.es.base == 0x110 && m.s.pointee.ds.base == 0x220 && m.s.pointee.fs.base == 0x330 && m.s.pointee.gs.base == 0x440)
    #expect(m.s.pointee.codeSize == .bits16)
  }

  @Test func interruptOutOfVirtual8086() {
    let m = v86(RFLAGS.IF)
    m.cpu.deliver(vector: 0x20, kind: .external)
    #expect(!m.s.pointee.v86 && m.s.pointee.cpl == 0)
    #expect(m.stack32(9) == [0x200, 0x1000, 0x2_0202, 0x800, 0x1800, 0x11, 0x22, 0x33, 0x44])
    #expect(!m.s.pointee.ds.usable && !m.s.pointee.gs.usable)
    #expect(m.run(0xCF) == .done)
    #expect(m.s.pointee.v86 && m.s.pointee.ds.base == 0x220)
  }

  @Test func intInVirtual8086NeedsIOPL3() {
    #expect(v86().run(0xCD, 0x80) == .fault(13, 0))
    let m = v86(RFLAGS.IOPL)
    #expect(m.run(0xCD, 0x80) == .done)
    #expect(!m.s.pointee.v86 && m.stack32(1) == [0x202])
    #expect(v86().run(0x9C) == .fault(13, 0))  // PUSHF
    #expect(v86().run(0xCF) == .fault(13, 0))  // IRET
  }

  @Test func virtualInterruptsOfVME() {
    let m = v86(RFLAGS.VIF)
    m.s.pointee.cr4 |= CR4.VME
    // Vector 21h goes to the program's own handler at 0:84h.
    m.put16(0x84, 0x5555)
    m.put16(0x86, 0x0040)
    m.put8(Machine.tss + 0x88 - 32 + 4, 0)
    #expect(m.run(0xCD, 0x21) == .done)
    #expect(m.s.pointee.v86 && m.s.pointee.cs.selector == 0x40 && m.s.pointee.rip == 0x5555)
    #expect(m.get16(0x1_8000 + 0x7FA) == 0x202 && m.get16(0x1_8000 + 0x7FE) == 0x3202, "IF shows VIF, IOPL shows 3")
    #expect(m.s.pointee.systemFlags & RFLAGS.VIF == 0)
    #expect(m.run(0xCF) == .done)
    #expect(m.s.pointee.systemFlags & RFLAGS.VIF != 0 && m.s.pointee.rip == 0x202 && m.s.pointee.cs.selector == 0x1000)
    // CLI and STI work on VIF; STI with VIP set faults.
    #expect(m.run(0xFA) == .done)
    #expect(m.s.pointee.systemFlags & RFLAGS.VIF == 0)
    m.s.pointee.systemFlags |= RFLAGS.VIP
    #expect(m.run(0xFB) == .fault(13, 0))
    // A set bit in the redirection map means the protected-mode handler, which needs IOPL 3.
    let n = v86()
    n.s.pointee.cr4 |= CR4.VME
    n.put8(Machine.tss + 0x88 - 32 + 4, 0x02)
    #expect(n.run(0xCD, 0x21) == .fault(13, 0))
  }

  // MARK: Shadows

  @Test func stiShadowsOneInstruction() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.retired = 100
    m.s.pointee.interruptRequest = true
    #expect(m.run(0xFB) == .done)
    #expect(m.s.pointee.interruptShadow == 101 && !m.s.pointee.shadowIsMovSS)
    #expect(m.s.pointee.exitRequest & ExitRequest.event != 0)
    // A second STI, with IF set already, casts no shadow.
    m.s.pointee.interruptShadow = .max
    #expect(m.run(0xFB) == .done)
    #expect(m.s.pointee.interruptShadow == .max)
    #expect(m.run(0x8E, 0xD0) == .fault(13, 0))  // MOV SS, AX with AX = 0
    m.s.pointee.rip = 0x9000
    m.s.pointee.rax = 0x10
    #expect(m.run(0x8E, 0xD0) == .done)
    #expect(m.s.pointee.interruptShadow == m.s.pointee.retired && m.s.pointee.shadowIsMovSS)
  }
}

/// Guests that would stop a processor for good.
@Suite struct SystemEndlessFaultTests {
  typealias Machine = SystemTestMachine

  @Test func alignmentCheckOfItsOwnHandlerEnds() {
    // A ring-3 handler of #AC on a misaligned stack: delivering #AC raises #AC.
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.setGate(17, Machine.gate(selector: Machine.code3, offset: 0x5_0000, access: 0xEE))
    m.s.pointee.cr0 |= CR0.AM
    m.s.pointee.systemFlags |= RFLAGS.AC
    m.cpu.updateMode()
    m.s.pointee.rsp = 0x6_0001
    let before = m.s.pointee.retired
    #expect(m.run(0x50) == .fault(17, 0))  // PUSH EAX
    #expect(m.s.pointee.rip == 0x9000 && m.s.pointee.activity == .running)
    #expect(m.s.pointee.retired > before, "time passes")
  }

  @Test func aHandlerThatFaultsAtOnceTakesTime() {
    let m = Machine()
    m.enterReal()
    let before = m.s.pointee.retired
    for _ in 0..<10 { m.run(0x0F, 0x0B) }
    #expect(m.s.pointee.retired == before + 10)
  }
}
