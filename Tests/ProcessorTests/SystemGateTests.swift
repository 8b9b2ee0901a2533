import Testing
import X86
import X86Decoder

@testable import Processor

/// Far transfers through segments, call gates and tasks; segment loads.
@Suite struct SystemGateTests {
  typealias Machine = SystemTestMachine

  // MARK: Segment registers

  @Test(arguments: [
    // selector, vector, error code of MOV DS, AX at CPL 3
    (0x10 as UInt16, 13 as UInt8, 0x10 as UInt32),  // ring 0 data
    (0x08, 13, 0x08),  // ring 0 code
    (0x28, 13, 0x28),  // a TSS
    (0x102, 13, 0x100),  // beyond the GDT
    (0x24, 13, 0x24),  // no LDT
    (0x62, 11, 0x60),  // not present
  ])
  func badDataSegments(_ selector: UInt16, _ vector: UInt8, _ code: UInt32) {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.setDescriptor(0x60, Machine.descriptor(access: 0x73, flags: 0xC))
    m.s.pointee.rax = UInt64(selector)
    #expect(m.run(0x8E, 0xD8) == .fault(vector, code))
  }

  @Test func goodDataSegments() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.setDescriptor(0x60, Machine.descriptor(base: 0x12_3400, limit: 0x1FF, access: 0xF2, flags: 0x4))
    m.s.pointee.rax = 0x63
    #expect(m.run(0x8E, 0xD8) == .done)
    #expect(m.s.pointee.ds.base == 0x12_3400 && m.s.pointee.ds.limit == 0x1FF)
    #expect(m.get8(Machine.gdt + 0x65) == 0xF3, "the accessed bit is set in memory")
    #expect(m.s.pointee.ds.fastLimit == 0x1FF - 14)
    #expect(m.s.pointee.modeKey & ModeKey.flatData == 0)
    m.s.pointee.rax = 3
    #expect(m.run(0x8E, 0xD8) == .done)
    #expect(!m.s.pointee.ds.usable && m.s.pointee.ds.fastLimit == 0)
    #expect(m.run(0x8A, 0x00) == .fault(13, 0))  // MOV AL, [EAX]
  }

  @Test func conformingCodeIsReadableFromAnywhere() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.s.pointee.rax = 0x53
    #expect(m.run(0x8E, 0xC0) == .done)
    #expect(m.s.pointee.es.fastLimit == 0, "code is never writable")
  }

  @Test(arguments: [
    (0x0 as UInt16, 13 as UInt8, 0x0 as UInt32), (0x13, 13, 0x10), (0x08, 13, 0x08), (0x20, 13, 0x20), (0x60, 12, 0x60),
  ])
  func badStackSegments(_ selector: UInt16, _ vector: UInt8, _ code: UInt32) {
    let m = Machine()
    m.enterProtected()
    m.setDescriptor(0x60, Machine.descriptor(access: 0x13, flags: 0xC))
    m.s.pointee.rax = UInt64(selector)
    #expect(m.run(0x8E, 0xD0) == .fault(vector, code))
  }

  @Test func nullStackSegmentIn64BitMode() {
    let m = Machine()
    m.enterLong()
    m.s.pointee.rax = 0
    #expect(m.run(0x8E, 0xD0) == .done)
    m.s.pointee.rax = 3
    #expect(m.run(0x8E, 0xD0) == .fault(13, 0))
    let user = Machine()
    user.enterLong(cpl: 3)
    user.s.pointee.rax = 3
    #expect(user.run(0x8E, 0xD0) == .fault(13, 0))
  }

  @Test func unrealModeKeepsItsLimits() {
    let m = Machine()
    m.enterProtected()
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR0(CR0.ET) } == nil)
    m.s.pointee.rax = 0x1234
    #expect(m.run(0x66, 0x8E, 0xD8) == .done)
    #expect(m.s.pointee.ds.base == 0x1_2340 && m.s.pointee.ds.limit == 0xFFFF_FFFF)
  }

  @Test func larLslVerrVerw() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.s.pointee.rcx = 0x1B
    #expect(m.run(0x0F, 0x02, 0xC1) == .done)  // LAR EAX, CX
    #expect(m.cpu.zf && m.s.pointee.rax == 0x00CF_FB00)
    #expect(m.run(0x0F, 0x03, 0xC1) == .done)  // LSL
    #expect(m.cpu.zf && m.s.pointee.rax == 0xFFFF_FFFF)
    m.s.pointee.rcx = 0x10
    #expect(m.run(0x0F, 0x02, 0xC1) == .done)
    #expect(!m.cpu.zf && m.s.pointee.rax == 0xFFFF_FFFF, "a segment of ring 0 is not visible, EAX stays")
    m.s.pointee.rcx = 0x23
    #expect(m.run(0x0F, 0x00, 0xE9) == .done)  // VERW CX
    #expect(m.cpu.zf)
    m.s.pointee.rcx = 0x1B
    #expect(m.run(0x0F, 0x00, 0xE9) == .done)
    #expect(!m.cpu.zf)
    #expect(m.run(0x0F, 0x00, 0xE1) == .done)  // VERR CX
    #expect(m.cpu.zf)
    m.s.pointee.rcx = 0x53  // conforming code of ring 0
    #expect(m.run(0x0F, 0x00, 0xE1) == .done)
    #expect(m.cpu.zf)
    m.s.pointee.rax = 0x40
    m.s.pointee.rcx = 3
    #expect(m.run(0x63, 0xC8) == .done)  // ARPL AX, CX
    #expect(m.cpu.zf && m.s.pointee.rax & 0xFFFF == 0x43)
    let real = Machine()
    real.enterReal()
    #expect(real.run(0x0F, 0x00, 0xE1) == .fault(6, nil))
  }

  /// An RPL that is high enough is not written back: the operand may lie in a segment that cannot be written.
  @Test func arplWritesOnlyWhatChanges() {
    let m = Machine()
    m.enterProtected()
    m.setDescriptor(0x60, Machine.descriptor(base: 0x8000, access: 0x90, flags: 0xC))
    m.put16(0x8000, 0x42)
    m.s.pointee.rax = 0x60
    #expect(m.run(0x8E, 0xD8) == .done)  // MOV DS, AX
    m.s.pointee.rbx = 0
    m.s.pointee.rcx = 2
    #expect(m.run(0x63, 0x0B) == .done)  // ARPL [EBX], CX
    #expect(!m.cpu.zf && m.get16(0x8000) == 0x42)
    m.s.pointee.rcx = 3
    #expect(m.run(0x63, 0x0B) == .fault(13, 0))
    #expect(m.get16(0x8000) == 0x42)
  }

  /// ENTER of 32 bits on a 16-bit stack pushes all of ESP as the frame's address, not its lower half.
  @Test func enterOnASmallStackPushesTheWholeFramePointer() {
    let m = Machine()
    m.enterProtected()
    m.setDescriptor(0x60, Machine.descriptor(base: 0x5_0000, limit: 0xFFFF, access: 0x92, flags: 0))
    m.s.pointee.rax = 0x60
    #expect(m.run(0x8E, 0xD0) == .done)  // MOV SS, AX
    m.s.pointee.rsp = 0x1_8000
    m.s.pointee.rbp = 0x7_6543
    #expect(m.run(0xC8, 0x10, 0x00, 0x01) == .done)  // ENTER 16, 1
    #expect(m.get32(0x5_7FFC) == 0x7_6543 && m.get32(0x5_7FF8) == 0x1_7FFC)
    #expect(m.s.pointee.rbp == 0x1_7FFC && m.s.pointee.rsp == 0x1_7FE8)
  }

  @Test func ltrAndLldt() {
    let m = Machine()
    m.enterProtected()
    m.setDescriptor(0x60, Machine.descriptor(base: 0x5000, limit: 0x67, access: 0x89, flags: 0))
    m.setDescriptor(0x68, Machine.descriptor(base: 0x5100, limit: 0x17, access: 0x82, flags: 0))
    m.s.pointee.rax = 0x60
    #expect(m.run(0x0F, 0x00, 0xD8) == .done)  // LTR AX
    #expect(m.get8(Machine.gdt + 0x65) == 0x8B && m.s.pointee.tr.base == 0x5000 && m.s.pointee.tr.type == 11)
    #expect(m.run(0x0F, 0x00, 0xD8) == .fault(13, 0x60), "a busy TSS")
    m.s.pointee.rip = 0x9000
    m.s.pointee.rax = 0x68
    #expect(m.run(0x0F, 0x00, 0xD0) == .done)  // LLDT AX
    m.put64(0x5108, Machine.descriptor(base: 0x77_0000, access: 0x92, flags: 0xC))
    m.s.pointee.rax = 0x0C
    #expect(m.run(0x8E, 0xD8) == .done)
    #expect(m.s.pointee.ds.base == 0x77_0000)
    m.s.pointee.rax = 0x1C
    #expect(m.run(0x8E, 0xD8) == .fault(13, 0x1C), "beyond the LDT")
  }

  // MARK: Calls

  @Test func farCallAndReturn() {
    let m = Machine()
    m.enterProtected()
    #expect(m.run(0x9A, 0x78, 0x56, 0x00, 0x00, 0x50, 0x00) == .done)  // CALL 0050:5678, conforming
    #expect(m.s.pointee.rip == 0x5678 && m.s.pointee.cs.selector == 0x50)
    #expect(m.stack32(2) == [0x9007, 0x08])
    #expect(m.run(0xCB) == .done)
    #expect(m.s.pointee.rip == 0x9007 && m.s.pointee.cs.selector == 0x08 && m.s.pointee.rsp == 0x6_0000)
  }

  @Test(arguments: [
    (0x00 as UInt8, 13 as UInt8, 0x00 as UInt32), (0x10, 13, 0x10), (0x1B, 13, 0x18), (0x09, 13, 0x08), (0x60, 11, 0x60), (0x68, 13, 0),
  ])
  func badFarJumps(_ selector: UInt8, _ vector: UInt8, _ code: UInt32) {
    let m = Machine()
    m.enterProtected()
    m.setDescriptor(0x60, Machine.descriptor(access: 0x1B, flags: 0xC))
    m.setDescriptor(0x68, Machine.descriptor(limit: 0xFF, access: 0x9B, flags: 0x4))
    #expect(m.run(0xEA, 0, 1, 0, 0, selector, 0) == .fault(vector, code))
  }

  @Test func callGateCopiesParameters() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.setDescriptor(0x60, Machine.gate(selector: Machine.code0, offset: 0x5_4321, access: 0xEC, parameters: 2))
    m.put32(0x6_0000, 0x1111)
    m.put32(0x6_0004, 0x2222)
    #expect(m.run(0x9A, 0, 0, 0, 0, 0x60, 0) == .done)
    #expect(m.s.pointee.cpl == 0 && m.s.pointee.rip == 0x5_4321 && m.s.pointee.cs.selector == 0x08)
    #expect(m.s.pointee.rsp == 0x8_0000 - 24)
    #expect(m.stack32(6) == [0x9007, 0x1B, 0x1111, 0x2222, 0x6_0000, 0x23])
    #expect(m.run(0xCA, 8, 0) == .done)  // RETF 8
    #expect(m.s.pointee.cpl == 3 && m.s.pointee.rip == 0x9007 && m.s.pointee.rsp == 0x6_0008)
    #expect(m.s.pointee.ss.selector == 0x23)
  }

  @Test func callGateErrors() {
    let m = Machine()
    m.enterProtected(cpl: 3)
    m.setDescriptor(0x60, Machine.gate(selector: Machine.code0, offset: 0, access: 0x8C))
    #expect(m.run(0x9A, 0, 0, 0, 0, 0x60, 0) == .fault(13, 0x60), "DPL 0")
    let absent = Machine()
    absent.enterProtected(cpl: 3)
    absent.setDescriptor(0x60, Machine.gate(selector: Machine.code0, offset: 0, access: 0x6C))
    #expect(absent.run(0x9A, 0, 0, 0, 0, 0x60, 0) == .fault(11, 0x60))
    let jump = Machine()
    jump.enterProtected(cpl: 3)
    jump.setDescriptor(0x60, Machine.gate(selector: Machine.code0, offset: 0, access: 0xEC))
    #expect(jump.run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(13, 0x08), "JMP cannot change privilege")
    let limit = Machine()
    limit.enterProtected(cpl: 3)
    limit.setDescriptor(0x60, Machine.gate(selector: Machine.code0, offset: 0, access: 0xEC))
    limit.s.pointee.tr.limit = 8
    #expect(limit.run(0x9A, 0, 0, 0, 0, 0x60, 0) == .fault(10, 0x28), "the stack lies beyond the TSS")
  }

  @Test func callGateOf64BitMode() {
    let m = Machine()
    m.enterLong(cpl: 3)
    m.setDescriptor(0x60, Machine.gate(selector: Machine.code0, offset: 0x8765_4320, access: 0xEC))
    m.put64(Machine.gdt + 0x68, 0xFFFF_8000)
    m.put64(0x5_0000, 0x60 << 32)
    m.s.pointee.rbx = 0x5_0000
    #expect(m.run(0xFF, 0x1B) == .done)  // CALL FAR [RBX]
    #expect(m.s.pointee.rip == 0xFFFF_8000_8765_4320 && m.s.pointee.cpl == 0)
    #expect(m.stack64(4) == [0x9002, 0x1B, 0x6_0000, 0x23])
    #expect(m.s.pointee.ss.selector == 0)
    m.put64(Machine.gdt + 0x68, 0xFFFF_8000 | 1 << 40)
    let again = Machine()
    again.enterLong(cpl: 3)
    again.setDescriptor(0x60, Machine.gate(selector: Machine.code0, offset: 0, access: 0xEC))
    again.put64(Machine.gdt + 0x68, 1 << 40)
    again.put64(0x5_0000, 0x60 << 32)
    again.s.pointee.rbx = 0x5_0000
    #expect(again.run(0xFF, 0x1B) == .fault(13, 0x60), "the upper half's type must be 0")
  }

  @Test func returnToAnOuterRingDropsSegments() {
    let m = Machine()
    m.enterProtected()
    m.s.pointee.rax = 0x23
    #expect(m.run(0x8E, 0xC0) == .done)  // ES of ring 3 stays
    for (n, v) in [0x9100, 0x1B, 0x5_0000, 0x23].enumerated() { m.put32(0x6_0000 + UInt64(n) * 4, UInt32(v)) }
    #expect(m.run(0xCB) == .done)
    #expect(m.s.pointee.cpl == 3 && m.s.pointee.rsp == 0x5_0000)
    #expect(m.s.pointee.es.selector == 0x23 && m.s.pointee.ds.selector == 0 && !m.s.pointee.ds.usable)
  }

  // MARK: Tasks

  static let otherTask: UInt64 = 0x5000

  /// A second 32-bit task at selector 60h, to run at 0008:00054000.
  private func twoTasks(cpl: UInt8 = 0, access: UInt8 = 0xE9) -> Machine {
    let m = Machine()
    m.enterProtected(cpl: cpl)
    m.setDescriptor(0x60, Machine.descriptor(base: UInt32(Self.otherTask), limit: 0x67, access: access, flags: 0))
    let t = Self.otherTask
    m.put32(t + 0x20, 0x5_4000)
    m.put32(t + 0x24, 0x0000_0246)
    for n in 0..<8 as Range<UInt64> { m.put32(t + 0x28 + n * 4, 0x100 + UInt32(n)) }
    m.put32(t + 0x38, 0x4_0000)
    for (n, v) in [0x10, 0x08, 0x10, 0x10, 0, 0].enumerated() { m.put32(t + 0x48 + UInt64(n) * 4, UInt32(v)) }
    return m
  }

  @Test func jumpToATask() {
    let m = twoTasks()
    m.s.pointee.rbx = 0x77
    m.s.pointee.dr7 = 0x401 | 2
    #expect(m.run(0xEA, 0, 0, 0, 0, 0x60, 0) == .done)
    #expect(m.s.pointee.rip == 0x5_4000 && m.s.pointee.rsp == 0x4_0000 && m.s.pointee.rax == 0x100 && m.s.pointee.rdi == 0x107)
    #expect(m.s.pointee.tr.selector == 0x60 && m.s.pointee.tr.type == 11)
    #expect(m.s.pointee.cr0 & CR0.TS != 0)
    #expect(m.s.pointee.dr7 & 3 == 2, "local breakpoints go, global ones stay")
    #expect(m.get8(Machine.gdt + 0x65) == 0xEB && m.get8(Machine.gdt + 0x2D) == 0x89)
    #expect(m.get32(Machine.tss + 0x20) == 0x9007 && m.get32(Machine.tss + 0x34) == 0x77)
    #expect(m.get16(Machine.tss + 0x4C) == 0x08)
    #expect(m.s.pointee.systemFlags & RFLAGS.NT == 0 && m.cpu.rflags() & 0xFFF == 0x246)
    #expect(m.get16(Self.otherTask) == 0, "JMP leaves no link")
  }

  @Test func callATaskAndReturn() {
    let m = twoTasks()
    #expect(m.run(0x9A, 0, 0, 0, 0, 0x60, 0) == .done)
    #expect(m.s.pointee.systemFlags & RFLAGS.NT != 0 && m.get16(Self.otherTask) == 0x28)
    #expect(m.get8(Machine.gdt + 0x2D) == 0x8B && m.get8(Machine.gdt + 0x65) == 0xEB, "both are busy")
    #expect(m.run(0xCF) == .done)
    #expect(m.s.pointee.rip == 0x9007 && m.s.pointee.tr.selector == 0x28 && m.s.pointee.rsp == 0x6_0000)
    #expect(m.get8(Machine.gdt + 0x65) == 0xE9 && m.get8(Machine.gdt + 0x2D) == 0x8B)
    #expect(m.get32(Self.otherTask + 0x24) & UInt32(RFLAGS.NT) == 0, "NT is cleared in the image of the task that returned")
    #expect(m.get32(Self.otherTask + 0x20) == 0x5_4001)
  }

  @Test func taskGateForAnException() {
    let m = twoTasks(cpl: 3, access: 0x89)
    m.setGate(13, Machine.gate(selector: 0x60, offset: 0, access: 0x85))
    #expect(m.run(0xFA) == .fault(13, 0))
    #expect(m.s.pointee.rip == 0x5_4000 && m.s.pointee.cpl == 0 && m.s.pointee.rsp == 0x4_0000 - 4)
    #expect(m.stack32(1) == [0])
    #expect(m.get32(Machine.tss + 0x20) == 0x9000, "the fault's own address")
    #expect(m.get32(Machine.tss + 0x24) & UInt32(RFLAGS.NT) == 0 && m.s.pointee.systemFlags & RFLAGS.NT != 0)
    #expect(m.get32(Machine.tss + 0x24) & UInt32(RFLAGS.RF) != 0, "a fault saves RF")
  }

  @Test func taskSwitchErrorsBeforeTheCommit() {
    #expect(twoTasks(access: 0xEB).run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(13, 0x60), "busy")
    #expect(twoTasks(access: 0x69).run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(11, 0x60), "not present")
    #expect(twoTasks(cpl: 3, access: 0x89).run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(13, 0x60), "DPL")
    let small = twoTasks()
    small.setDescriptor(0x60, Machine.descriptor(base: 0x5000, limit: 0x66, access: 0xE9, flags: 0))
    #expect(small.run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(10, 0x60))
    #expect(small.s.pointee.tr.selector == 0x28)
  }

  @Test func taskSwitchErrorsAfterTheCommit() {
    // A bad code segment in the new task: #TS with the new task's EIP, delivered on a stack of ring 0 of the new task.
    let m = twoTasks()
    m.put32(Self.otherTask + 0x4C, 0x10)
    m.put32(Self.otherTask + 4, 0x3_0000)
    m.put32(Self.otherTask + 8, 0x10)
    #expect(m.run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(10, 0x10))
    #expect(m.s.pointee.tr.selector == 0x60)
    #expect(m.s.pointee.rip == Machine.handlers + 10 * 16)
    #expect(m.stack32(2) == [0x10, 0x5_4000])
    // A data segment that is not present.
    let d = twoTasks()
    d.setDescriptor(0x68, Machine.descriptor(access: 0x13, flags: 0xC))
    d.put32(Self.otherTask + 0x54, 0x68)
    #expect(d.run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(11, 0x68))
    // A stack that is not present.
    let s = twoTasks()
    s.setDescriptor(0x68, Machine.descriptor(access: 0x13, flags: 0xC))
    s.put32(Self.otherTask + 0x50, 0x68)
    s.put32(Self.otherTask + 4, 0x3_0000)
    s.put32(Self.otherTask + 8, 0x10)
    #expect(s.run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(12, 0x68))
    // An LDT that is none.
    let l = twoTasks()
    l.put32(Self.otherTask + 0x60, 0x10)
    l.put32(Self.otherTask + 4, 0x3_0000)
    l.put32(Self.otherTask + 8, 0x10)
    #expect(l.run(0xEA, 0, 0, 0, 0, 0x60, 0) == .fault(10, 0x10))
  }

  @Test func taskOf286() {
    let m = twoTasks()
    m.setDescriptor(0x60, Machine.descriptor(base: UInt32(Self.otherTask), limit: 0x2B, access: 0x81, flags: 0))
    let t = Self.otherTask
    m.put16(t + 14, 0x4000)
    m.put16(t + 16, 0x0202)
    for n in 0..<8 as Range<UInt64> { m.put16(t + 18 + n * 2, 0x100 + UInt16(n)) }
    for (n, v) in [0x10, 0x58, 0x10, 0x10].enumerated() { m.put16(t + 34 + UInt64(n) * 2, UInt16(v)) }
    m.put16(t + 42, 0)
    #expect(m.run(0x9A, 0, 0, 0, 0, 0x60, 0) == .done)
    #expect(m.s.pointee.rip == 0x4000 && m.s.pointee.codeSize == .bits16)
    #expect(m.s.pointee.rax & 0xFFFF == 0x100 && m.s.pointee.rsp & 0xFFFF == 0x104)
    #expect(!m.s.pointee.fs.usable && m.s.pointee.tr.type == 3)
    #expect(m.run(0xCF) == .done)
    #expect(m.s.pointee.rip == 0x9007 && m.s.pointee.codeSize == .bits32)
  }

  @Test func debugTrapOfATask() {
    let m = twoTasks()
    m.put32(Self.otherTask + 0x64, 1)
    #expect(m.run(0xEA, 0, 0, 0, 0, 0x60, 0) == .done)
    #expect(m.s.pointee.dr6 & DR6.bt != 0)
    #expect(m.s.pointee.rip == Machine.handlers + 16)
    #expect(m.stack32(1) == [0x5_4000])
  }
}
