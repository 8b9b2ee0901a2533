import Platform
import SoftFloat
import X86
import X86Decoder

/// Hidden part of a segment register (SDM vol. 3A §3.4.3).
public struct SegmentCache {
  public var base: UInt64 = 0
  /// Scaled to bytes.
  public var limit: UInt32 = 0xFFFF
  public var selector: UInt16 = 0
  /// Descriptor bits 40–55 with the limit bits cleared: type 0–3, S 4, DPL 5–6, P 7, AVL 12, L 13, D/B 14, G 15.
  public var attributes: UInt16 = 0x93
  /// Offsets below this need no further check for reading and writing up to 16 bytes; 0 where every access must be checked.
  public var fastLimit: UInt64 = 0
  /// False after a null selector was loaded (outside 64-bit mode such a segment faults on use).
  public var usable: Bool = true

  public init() {}

  @inlinable public var type: UInt16 { attributes & 0xF }
  @inlinable public var dpl: UInt8 { UInt8(truncatingIfNeeded: attributes &>> 5) & 3 }
  @inlinable public var present: Bool { attributes & 0x80 != 0 }
  /// D/B: 32-bit operand and address size for code, 32-bit stack pointer for SS.
  @inlinable public var big: Bool { attributes & 0x4000 != 0 }
  @inlinable public var long: Bool { attributes & 0x2000 != 0 }
  @inlinable public var isCode: Bool { attributes & 0x18 == 0x18 }
  @inlinable public var conforming: Bool { attributes & 0x1C == 0x1C }
  @inlinable public var expandDown: Bool { attributes & 0x1C == 0x14 }
  @inlinable public var writable: Bool { attributes & 0x1A == 0x12 }
  @inlinable public var readable: Bool { attributes & 0x18 == 0x10 || attributes & 0x1A == 0x1A }
}

/// GDTR or IDTR.
public struct DescriptorTableRegister {
  public var base: UInt64 = 0
  public var limit: UInt16 = 0xFFFF
  public init() {}
}

/// How lazily kept status flags are computed; stored in `CPUState.flagKind` with 64 − width in bits 8–15.
///
/// `flagResult` and `flagAux` are left-justified: shifted so that the operand's top bit is bit 63. Then one set of
/// condition code serves all widths.
public enum FlagKind {
  /// result = aux − b
  public static let sub: UInt32 = 0
  /// result = aux + b
  public static let add: UInt32 = 1
  /// CF = OF = AF = 0
  public static let logic: UInt32 = 2
  /// CF in aux bit 0
  public static let inc: UInt32 = 3
  /// CF in aux bit 0
  public static let dec: UInt32 = 4
  /// CF in aux bit 0, OF in aux bit 1, AF in aux bit 4
  public static let shift: UInt32 = 5
  /// result = aux + b + 1
  public static let adc: UInt32 = 6
  /// result = aux − b − 1
  public static let sbb: UInt32 = 7
  /// aux holds the flags as in RFLAGS; result is 0 exactly if ZF is set
  public static let explicit: UInt32 = 8
}

/// What a halted or waiting processor waits for.
public enum Activity: UInt8 {
  case running
  /// HLT or MWAIT: until an interrupt.
  case halted
  /// INIT happened, waiting for a start-up IPI.
  case waitForSIPI
  /// Triple fault.
  case shutdown
}

/// Reasons to leave the chain of operations and look around in the run loop; bits of `CPUState.exitRequest`.
public enum ExitRequest {
  /// An interrupt, NMI, INIT … became deliverable, or activity changed.
  public static let event: UInt32 = 1
  /// The mode, a mapping or code under execution changed: look the next instruction up anew.
  public static let codeChanged: UInt32 = 2
  /// The owner wants `run` to return after this instruction.
  public static let stop: UInt32 = 4
  /// An observer wants `run` to return, or the stop address is reached: nothing more is taken or delivered before.
  public static let observer: UInt32 = 8
  /// An observer dealt with an event in place of its delivery: the instruction is over, and so are traps that were to follow it.
  public static let handled: UInt32 = 16
}

/// One 256-bit vector register; the low half is the XMM register.
public struct Vector256: Equatable {
  public var q0: UInt64 = 0
  public var q1: UInt64 = 0
  public var q2: UInt64 = 0
  public var q3: UInt64 = 0
  @inlinable public init() {}
}

/// The x87 unit as FXSAVE shows it (SDM vol. 1 §8.1). `registers` is physical order; ST(i) is register (TOP + i) mod 8.
public struct X87State {
  public var r0 = Extended80.zero, r1 = Extended80.zero, r2 = Extended80.zero, r3 = Extended80.zero
  public var r4 = Extended80.zero, r5 = Extended80.zero, r6 = Extended80.zero, r7 = Extended80.zero
  public var controlWord: UInt16 = 0x40
  /// Without TOP, which is in `top`.
  public var statusWord: UInt16 = 0
  /// Bit i set: physical register i is not empty (the abridged tag of FXSAVE).
  public var valid: UInt8 = 0
  public var top: UInt8 = 0
  public var lastOpcode: UInt16 = 0
  public var lastInstructionSelector: UInt16 = 0
  public var lastOperandSelector: UInt16 = 0
  public var lastInstruction: UInt64 = 0
  public var lastOperand: UInt64 = 0
  public init() {}
}

/// All state of one virtual CPU, in raw memory at a fixed address. General registers come first so that a handler reaches
/// register n at byte 8·n; number 16 is always zero and stands for "no base" and "no index".
public struct CPUState {
  public var rax: UInt64 = 0, rcx: UInt64 = 0, rdx: UInt64 = 0, rbx: UInt64 = 0
  public var rsp: UInt64 = 0, rbp: UInt64 = 0, rsi: UInt64 = 0, rdi: UInt64 = 0
  public var r8: UInt64 = 0, r9: UInt64 = 0, r10: UInt64 = 0, r11: UInt64 = 0
  public var r12: UInt64 = 0, r13: UInt64 = 0, r14: UInt64 = 0, r15: UInt64 = 0
  /// Always zero.
  public var zero: UInt64 = 0

  // — lazy flags; in the chain of operations result and aux travel in machine registers
  public var flagResult: UInt64 = 0
  public var flagAux: UInt64 = 0
  public var flagKind: UInt32 = FlagKind.explicit
  /// Bits of `ExitRequest`; looked at after every instruction that is not on the fast path and at block ends on exhausted budget.
  public var exitRequest: UInt32 = 0

  // — fast path
  /// RIP of byte 0 of the page being executed: RIP = codeBias + offset in the page.
  public var codeBias: UInt64 = 0
  /// All ones, 2^32 − 1 or 2^16 − 1 by the code segment's address size.
  public var addressMask: UInt64 = 0xFFFF
  /// All ones in 64-bit mode, else 2^32 − 1.
  public var ripMask: UInt64 = 0xFFFF_FFFF
  /// Entries of jump caches are valid while this has the value they were made with; that of the current privilege.
  public var jumpStamp: UInt64 = CodeStamps.firstSupervisor.jump
  /// The same for entries of the code TLB.
  public var translationStamp: UInt64 = CodeStamps.firstSupervisor.translation
  /// Current data TLB (one for user accesses, one for supervisor, one for supervisor with AC set).
  public var tlb: UnsafeMutableRawPointer
  /// The page the stack pointer was last seen in, for pushes and pops: linear address, host address, and the number of
  /// offsets at which a stack slot of the current code size fits (0 when the entry is not valid).
  public var stackTag: UInt64 = 0
  public var stackHost: UInt = 0
  public var stackSpan: UInt64 = 0
  public var missAddress: UInt64 = 0
  /// Instructions left of this entry into the chain, when not in a machine register.
  public var budget: Int = 0
  /// Value of `retired` at which the budget is 0.
  public var retiredAtZero: UInt64 = 0
  /// Operation at which the chain was left or is to be entered.
  public var resume: UInt = 0
  public var jumpCache: UnsafeMutableRawPointer
  public var codeTLB: UnsafeMutablePointer<CodeTLBEntry>

  // — architectural
  /// Address of the current instruction while it executes outside the chain; the next one between instructions.
  public var rip: UInt64 = 0
  /// Where execution continues; a branch writes it. Set to rip + length before an instruction executes.
  public var nextRIP: UInt64 = 0
  /// RFLAGS without the status flags CF PF AF ZF SF OF (which are lazy) and with bit 1 set.
  public var systemFlags: UInt64 = 2
  public var cpl: UInt8 = 0
  /// Code of CPL 3 is a paravirtual guest's kernel: its translations are kept apart from those of the guest's programs, so that its
  /// owner can change between the two address spaces without losing either (see `CPU.switchAddressSpace`).
  public var deprivileged = false
  public var activity: Activity = .running
  /// Instructions (REP: iterations) retired since reset, exact whenever an instruction runs outside the chain.
  public var retired: UInt64 = 0
  /// How much the current instruction counts: 1, or the iterations of a REP.
  public var retireWeight: UInt64 = 1
  /// MOV SS, POP SS, STI: no interrupt is taken before the instruction that starts at this value of `retired` is done.
  public var interruptShadow: UInt64 = .max
  /// The shadow came from MOV SS / POP SS: debug traps are held back too.
  public var shadowIsMovSS = false

  public var es = SegmentCache(), cs = SegmentCache(), ss = SegmentCache()
  public var ds = SegmentCache(), fs = SegmentCache(), gs = SegmentCache()
  public var ldtr = SegmentCache(), tr = SegmentCache()
  public var gdtr = DescriptorTableRegister(), idtr = DescriptorTableRegister()

  public var cr0: UInt64 = 0, cr2: UInt64 = 0, cr3: UInt64 = 0, cr4: UInt64 = 0
  public var efer: UInt64 = 0
  public var xcr0: UInt64 = 1
  public var pkru: UInt32 = 0
  public var dr0: UInt64 = 0, dr1: UInt64 = 0, dr2: UInt64 = 0, dr3: UInt64 = 0
  public var dr6: UInt64 = 0xFFFF_0FF0, dr7: UInt64 = 0x400
  /// Data breakpoints hit by the current instruction (DR6 bits 0–3), reported after it.
  public var pendingDebug: UInt64 = 0
  public var pae0: UInt64 = 0, pae1: UInt64 = 0, pae2: UInt64 = 0, pae3: UInt64 = 0

  // — MSRs
  public var star: UInt64 = 0, lstar: UInt64 = 0, cstar: UInt64 = 0, sfmask: UInt64 = 0
  public var kernelGSBase: UInt64 = 0
  public var sysenterCS: UInt64 = 0, sysenterESP: UInt64 = 0, sysenterEIP: UInt64 = 0
  public var pat: UInt64 = 0x0007_0406_0007_0406
  public var apicBase: UInt64 = 0
  public var tscOffset: UInt64 = 0
  public var tscAux: UInt64 = 0
  public var miscEnable: UInt64 = 1
  public var mtrrDefType: UInt64 = 0
  public var xss: UInt64 = 0
  /// The registers that are only stored.
  public var msr = ModelSpecificState()

  // — events from outside
  /// Level of INTR.
  public var interruptRequest = false
  public var nmiPending = false
  public var nmiBlocked = false
  public var initPending = false
  /// Start-up vector + 1, or 0.
  public var sipiPending: UInt16 = 0

  // — floating point and vectors
  public var mxcsr: UInt32 = 0x1F80
  public var x87 = X87State()
  public var v0 = Vector256(), v1 = Vector256(), v2 = Vector256(), v3 = Vector256()
  public var v4 = Vector256(), v5 = Vector256(), v6 = Vector256(), v7 = Vector256()
  public var v8 = Vector256(), v9 = Vector256(), v10 = Vector256(), v11 = Vector256()
  public var v12 = Vector256(), v13 = Vector256(), v14 = Vector256(), v15 = Vector256()

  // — derived from the above by `updateMode()`
  public var codeSize: CodeSize = .bits16
  /// CR0.PE set and not virtual-8086.
  public var protectedMode = false
  public var v86 = false
  /// EFER.LMA.
  public var longMode = false
  /// Key of decoded code: what of the state decoding depends on.
  public var modeKey: UInt16 = 0
  /// Width in bytes of the stack pointer: 2, 4, 8.
  public var stackSize: UInt8 = 2
  /// Which vector instructions CR0, CR4 and XCR0 allow: bit 0 legacy SSE, bit 1 AVX; kept by `updateVectorsEnabled()`.
  public var vectorsEnabled: UInt8 = 0

  /// Index among the machine's processors, and the APIC id.
  public var index: UInt32 = 0

  /// What is cached about code of each privilege.
  public var userCode = CachedCode(stamps: .firstUser)
  public var supervisorCode = CachedCode(stamps: .firstSupervisor)
  /// Where the TLBs may hold parts of pages larger than 4 KiB.
  public var largePages = LargePageFilter()
  /// The machine's physical page table (`PhysicalMemory.pageTable`) and its length, here to be reached without a reference.
  public var pageTable: UnsafeMutablePointer<UInt>
  /// `CodeCache.writers`, likewise.
  public var writers: UnsafeMutablePointer<TLBWriters>
  public var pageCount: UInt64
  /// Physical address lines: with A20 masked off, bit 20 reads as zero.
  public var a20Mask: UInt64 = ~0
  /// From the CPU model: address bits that must be zero in paging-structure entries, and whether 1 GiB pages exist.
  public var reservedAddressBits: UInt64
  public var hasGigabytePages: Bool

  /// Of a guest with a physical address space of its own: machine page by guest-physical page, as `GuestPhysicalMap` says; nil where
  /// physical addresses are the machine's.
  public var physicalMap: UnsafeMutablePointer<UInt64>?
  public var physicalMapPages: UInt64 = 0
  /// Physical address of the 4-level tables that are walked instead of the guest's own, where they have what is looked for; 0 for none.
  public var shadowRoot: UInt64 = 0
  /// The owner is asked about every walk of the guest's tables and every invalidation.
  public var reportsTranslations = false

  /// All TLBs of this processor; `tlb` points to the current one.
  public var tlbSet: TLBSet

  /// How many x87 and vector instructions the chain of operations left to their generic methods: for tests of its fast handlers.
  public var genericFloats: UInt64 = 0

  /// What a CPU of this kind is connected to and shares; never nil after construction. Not part of saved state.
  public var environment: Unmanaged<ProcessorEnvironment>

  /// Bits of `Observation`: what `environment.observer` is told of.
  public var observation: UInt8 = 0
  /// `run` returns before the instruction at this linear address, if it reaches it by a branch; not canonical where there is none.
  public var stopAddress: UInt64 = Self.noStopAddress
  /// Offset in its page at which blocks end, so that the stop address begins one; 4096 for nowhere.
  public var stopOffset: UInt64 = 4096
  public static var noStopAddress: UInt64 { 0x8000_0000_0000_0001 }

  // — statistics
  public var tlbMisses: UInt64 = 0
}
