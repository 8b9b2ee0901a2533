import Interpreter
import Platform
import Processor
import X86
import XenABI

/// What a virtual processor is doing.
enum VCPUState {
  case runnable
  /// In SCHEDOP_block or a poll: until an event, or until a time.
  case blocked
  /// Not brought up, or taken down.
  case offline
}

/// Where a guest wants to be entered (struct trap_info, callbacks).
struct EntryPoint {
  var cs: UInt16 = 0
  var address: UInt64 = 0
  /// Events are masked on entry.
  var masksEvents = false
  /// Privilege that may raise the vector by INT.
  var dpl: UInt8 = 0
}

/// A virtual processor.
///
/// It has a processor of the core to itself, with its own TLBs: a switch between virtual processors moves no state.
public final class VCPU {
  public let domain: Domain
  public let index: Int
  private(set) var processor: VirtualCPU!
  /// Of a domain with page tables of its own: local APIC and interrupts. What follows on entry points, page and descriptor tables is a
  /// paravirtual processor's.
  let hvm: HVMProcessor?
  let cpu: CPU
  var state: VCPUState = .offline
  /// Guest kernel, not one of its programs. A 32-bit guest is told apart by its rings.
  var inKernel = true
  /// The guest's notions of CR0 and CR4, which it may read.
  var controlRegister0: UInt64 = 0
  var iopl: UInt8 = 1

  // — page tables
  var kernelRoot = MachineFrameNumber.invalid
  var userRoot: MachineFrameNumber?
  /// Of a 32-bit guest: the hypervisor's top-level table above the guest's four entries.
  var monitorTable: MachineFrameNumber?
  /// When the translations were last forgotten, by the flush clock.
  var flushedAt: UInt64 = 0

  // — entry points
  var traps = [EntryPoint](repeating: EntryPoint(), count: 256)
  var kernelSS: UInt16 = 0
  var kernelSP: UInt64 = 0
  var eventCallback = EntryPoint()
  var failsafeCallback = EntryPoint()
  var syscallCallback = EntryPoint()
  var syscall32Callback = EntryPoint()
  var sysenterCallback = EntryPoint()

  // — descriptor tables
  var gdtFrames: [MachineFrameNumber] = []
  var ldtBase: UInt64 = 0
  var ldtEntries = 0

  /// The vcpu_info: in the shared page at first, where VCPUOP_register_vcpu_info says later.
  var infoFrame: MachineFrameNumber
  var infoOffset: Int
  /// A registered vcpu_info holds a reference.
  var hasOwnInfo = false

  // — time
  /// Virtual time minus instructions retired while it runs.
  var timeBase: UInt64 = 0
  /// Instructions retired when the hypercall under way began.
  var callStart: UInt64 = 0
  var singleShot: UInt64?
  var periodNanoseconds: UInt64 = 0
  var nextPeriod: UInt64 = .max
  /// End of a poll with a timeout.
  var pollUntil: UInt64?
  var pollPorts: [EventPort] = []
  var isPolling = false
  /// Linear address where the guest wants its runstate; 0 for nowhere. Likewise its time.
  var runstateAddress: UInt64 = 0
  var timeAddress: UInt64 = 0
  var isInitialised = false
  /// What VCPUOP_initialise said, until the processor is brought up.
  var firstState: FirstState?
  var runstate = RunState()
  var schedule = ScheduleState()
  var nmiPending = false

  init(domain: Domain, index: Int) {
    self.domain = domain
    self.index = index
    infoFrame = domain.sharedInfo
    infoOffset = index * SharedInfoLayout.vcpuInfoBytes
    let h = domain.hypervisor
    hvm = domain.hvm.map { HVMProcessor(domain: domain, platform: $0, index: index) }
    let made = VirtualCPU(index: index, memory: h.memory, model: domain.hvm?.model ?? h.model, codeCache: h.codeCache, bus: hvm ?? h.nothing)
    processor = made
    cpu = made.cpu
    if let hvm, let platform = domain.hvm {
      hvm.attach(self)
      cpu.beOwned(by: hvm, map: platform.memory.map, pages: platform.memory.count)
    } else {
      made.observe(.events, by: self)
    }
  }

  deinit {
    processor?.observe([], by: nil)
    cpu.beOwned(by: nil, map: nil, pages: 0)
  }

  var frames: FrameTable { domain.frames }
  var hypervisor: Hypervisor { domain.hypervisor }

  /// For messages: `d1v0`.
  public var label: String { "\(domain.id)v\(index)" }

  // MARK: vcpu_info

  @inline(__always)
  var info: UnsafeMutableRawPointer { frames.contents(infoFrame) + infoOffset }

  /// The vcpu_info is about to be written. It may lie in a page of the guest's where anything else is too, even a page table.
  func noteInfoWrite() { if hasOwnInfo { frames.memory.noteWrite(infoFrame.address + UInt64(infoOffset), size: SharedInfoLayout.vcpuInfoBytes) } }

  @inline(__always)
  var upcallMask: Bool {
    get { info.load(fromByteOffset: SharedInfoLayout.upcallMask, as: UInt8.self) != 0 }
    set { info.storeBytes(of: newValue ? 1 : 0, toByteOffset: SharedInfoLayout.upcallMask, as: UInt8.self) }
  }

  @inline(__always)
  var upcallPending: Bool {
    get { info.load(fromByteOffset: SharedInfoLayout.upcallPending, as: UInt8.self) != 0 }
    set { info.storeBytes(of: newValue ? 1 : 0, toByteOffset: SharedInfoLayout.upcallPending, as: UInt8.self) }
  }

  /// The fault address as the guest reads it.
  var faultAddress: UInt64 {
    get {
      domain.isCompat ? UInt64(info.load(fromByteOffset: domain.layout.cr2, as: UInt32.self))
        : info.load(fromByteOffset: domain.layout.cr2, as: UInt64.self)
    }
    set {
      if domain.isCompat {
        info.storeBytes(of: UInt32(truncatingIfNeeded: newValue), toByteOffset: domain.layout.cr2, as: UInt32.self)
      } else {
        info.storeBytes(of: newValue, toByteOffset: domain.layout.cr2, as: UInt64.self)
      }
    }
  }

  /// Sets `evtchn_upcall_pending` and wakes the processor if it waits.
  func notify() {
    noteInfoWrite()
    upcallPending = true
    hvm?.eventPending()
    wake()
  }

  /// Width of the guest's hypercalls at this moment: 32 bits.
  @inline(__always)
  var isCompatCall: Bool { hvm == nil ? domain.isCompat : cpu.s.pointee.codeSize != .bits64 }

  func wake() {
    if state != .blocked { return }
    state = .runnable
    isPolling = false
    pollPorts = []
    pollUntil = nil
    hypervisor.becameRunnable(self)
  }

  /// Tells the guest how its time-stamp counter becomes system time: both count nanoseconds since the hypervisor began.
  func writeTimeInfo() {
    let t = info + SharedInfoLayout.time
    t.storeBytes(of: UInt32(2), toByteOffset: TimeInfo.version, as: UInt32.self)
    t.storeBytes(of: UInt64(0), toByteOffset: TimeInfo.tscTimestamp, as: UInt64.self)
    t.storeBytes(of: UInt64(0), toByteOffset: TimeInfo.systemTime, as: UInt64.self)
    // (delta << 1) × 2^31 >> 32 = delta
    t.storeBytes(of: UInt32(0x8000_0000), toByteOffset: TimeInfo.tscToSystemMultiplier, as: UInt32.self)
    t.storeBytes(of: Int8(1), toByteOffset: TimeInfo.tscShift, as: Int8.self)
    t.storeBytes(of: TimeInfo.tscStable, toByteOffset: TimeInfo.flags, as: UInt8.self)
  }

  // MARK: Translations

  /// Whoever runs pays for it.
  func flush() {
    hypervisor.running?.charge(Self.flushCost)
    cpu.flushTLB(keepGlobal: false)
    hypervisor.flushClock += 1
    flushedAt = hypervisor.flushClock
  }

  /// A flush that the guest asks for, or may expect: its kernel's own half can stay if no translation of it is stale.
  func flushForGuest() {
    if domain.isCompat || hvm != nil || !domain.kernelHalf.isFollowed || flushedAt <= domain.kernelHalf.changedAt {
      flush()
    } else {
      hypervisor.running?.charge(Self.flushCost)
      cpu.flushPrograms()
    }
  }

  /// Address of the root that the core walks.
  var activeRoot: UInt64 {
    if let monitorTable { return monitorTable.address }
    return inKernel ? kernelRoot.address : (userRoot ?? kernelRoot).address
  }

  /// Changes between the guest's kernel and its programs, as SWAPGS and a change of CR3 would.
  func switchMode(kernel: Bool) {
    if kernel == inKernel { return }
    inKernel = kernel
    swap(&cpu.s.pointee.gs.base, &cpu.s.pointee.kernelGSBase)
    cpu.switchAddressSpace(root: activeRoot, deprivileged: kernel)
  }

  // MARK: Explaining

  var registersText: String {
    func hex(_ v: UInt64) -> String { String(v, radix: 16) }
    let s = cpu.s.pointee
    return "\(label) rip \(hex(UInt64(s.cs.selector))):\(hex(s.rip)) rsp \(hex(UInt64(s.ss.selector))):\(hex(s.rsp)) flags \(hex(cpu.rflags())) rax \(hex(s.rax)) rbx \(hex(s.rbx)) rcx \(hex(s.rcx)) rdx \(hex(s.rdx)) rsi \(hex(s.rsi)) rdi \(hex(s.rdi)) rbp \(hex(s.rbp)) cr2 \(hex(s.cr2)) cr3 \(hex(s.cr3))"
  }
}
