import Interpreter
import Platform
import Processor
import X86
import XenABI

/// A hypervisor in the manner of Xen: it owns the emulated machine and runs domains on it.
///
/// One host thread calls it. Everything it does depends on its inputs alone, so that a run can be repeated.
public final class Hypervisor {
  public let memory: PhysicalMemory
  public let model: CPUModel
  public let codeCache: CodeCache
  let frames: FrameTable
  public private(set) var domains: [DomainID: Domain] = [:] { didSet { orderedDomains = domains.values.sorted { $0.id < $1.id } } }
  /// The same by number: what depends on an order is repeatable.
  private(set) var orderedDomains: [Domain] = []
  /// Nanoseconds since the hypervisor began, as of the last switch; `now` is exact.
  var clock: UInt64 = 0
  /// The virtual processor that executes at this moment.
  var running: VCPU?
  var flushClock: UInt64 {
    get { frames.flushClock }
    set { frames.flushClock = newValue }
  }
  public var trace: (any HypervisorTrace)?
  public let console = HypervisorLog()
  let nothing = NoDevices()
  var scheduler = Scheduler()
  /// Seconds since 1970 when the hypervisor began.
  public var wallClockAtStart: UInt64 = 0
  private var nextID: UInt16 = 1

  private var compatTable: (first: MachineFrameNumber, l1: [MachineFrameNumber]) = (.invalid, [])
  private var machineToPhysicalRoot: MachineFrameNumber = .invalid
  private var machineToPhysicalFirst: MachineFrameNumber = .invalid
  /// A page table that an instruction writes to: as it was, and where the instruction writes.
  private(set) var pageTableCopies: (before: MachineFrameNumber, written: MachineFrameNumber) = (.invalid, .invalid)
  private var reservedGDTPages: (wide: MachineFrameNumber, compat: MachineFrameNumber) = (.invalid, .invalid)

  /// - Parameters:
  ///   - memoryBytes: of the machine; the host gives it page by page as guests touch it.
  public init(memoryBytes: UInt64, model: CPUModel) {
    let bytes = memoryBytes & ~0xFFF
    self.model = model
    memory = PhysicalMemory(limit: bytes)
    memory.addMemory(at: PhysicalAddress(0), size: bytes)
    codeCache = CodeCache(memory: memory)
    // Frame 0 is nobody's, so that a forgotten frame number shows.
    frames = FrameTable(memory: memory, first: 1, end: bytes >> 12)
    let cache = codeCache
    memory.onCodeWrite = { address, size in _ = cache.noteWrite(address, size: size) }
    makeOwnTables()
    memory.onWatchedWrite = { [unowned self] address, size in
      let frame = MachineFrameNumber(address >> 12)
      guard let owner = frames.owner(frame) else { return }
      domains[owner]?.hvm?.shadow?.willWrite(frame, offset: Int(address & 0xFFF), size: size)
    }
  }

  var physicalAddressBits: UInt64 { UInt64(model.physicalAddressBits) }

  /// Nanoseconds since the hypervisor began.
  public var now: UInt64 {
    guard let running else { return clock }
    return running.timeBase &+ running.processor.retired
  }

  /// Lets the virtual processor that executes at this moment pay for what a service does for its domain.
  /// - Parameter instructions: as many as the work takes time.
  public func charge(_ domain: Domain, _ instructions: UInt64) {
    if let running, running.domain === domain { running.charge(instructions) }
  }

  public func log(_ line: String) { console.add(line, at: now) }

  // MARK: Frames

  /// A zeroed frame that no processor has a translation of.
  func allocateFrame(for owner: DomainID, shared: Bool = false) -> MachineFrameNumber? {
    guard let frame = frames.allocate(for: owner, shared: shared) else { return nil }
    for d in orderedDomains { flushStale(d, since: frames[frame].pointee.releasedAt) }
    frames[frame].pointee.releasedAt = 0
    return frame
  }

  /// Gives a frame back that the hypervisor shared with a domain, and that the domain itself does not map any more.
  /// - Parameters:
  ///   - uses: references that others have by grants, who keep it for now; `writers` of them may write.
  func freeShared(_ frame: MachineFrameNumber, uses: UInt32 = 0, writers: UInt32 = 0) {
    frames[frame].pointee.typeCount = writers
    frames[frame].pointee.references = uses + 1
    frames[frame].pointee.flags &= ~FrameInfo.shared
    frames[frame].pointee.releasedAt = flushClock
    _ = frames.release(frame)
  }

  /// Forgets translations of the domain's processors that were not forgotten since a moment of the flush clock.
  func flushStale(_ domain: Domain, since moment: UInt64) {
    if moment == 0 { return }
    for v in domain.vcpus where v.flushedAt <= moment { v.flush() }
  }

  // MARK: The hypervisor's part of address spaces

  private func makeOwnTables() {
    func frame() -> MachineFrameNumber { frames.allocate(for: .xen, shared: true)! }
    // The machine-to-physical table: eight bytes a frame, in frames of its own that lie one behind the other, mapped by L1 tables.
    let entries = frames.totalFrames + 1
    let pages = Int((entries * 8 + 4095) / 4096)
    machineToPhysicalFirst = frame()
    for _ in 1..<max(pages, 2) { _ = frame() }
    let root = frame()
    machineToPhysicalRoot = root
    let flags = PTE.present | PTE.user | PTE.accessed | PTE.dirty | PTE.noExecute
    var l2: MachineFrameNumber = .invalid, l1: MachineFrameNumber = .invalid
    for n in 0..<pages {
      if n % (512 * 512) == 0 {
        l2 = frame()
        frames.setEntry(root, n / (512 * 512), l2.address | flags)
      }
      if n % 512 == 0 {
        l1 = frame()
        frames.setEntry(l2, (n / 512) % 512, l1.address | flags)
      }
      frames.setEntry(l1, n % 512, (machineToPhysicalFirst.address + UInt64(n) * 4096) | flags)
    }
    // The same for 32-bit guests: four bytes a frame, as many as fit into their hole.
    let compatPages = min(Int((entries * 4 + 4095) / 4096), 4096)
    compatTable.first = frame()
    for _ in 1..<max(compatPages, 2) { _ = frame() }
    for n in 0..<compatPages {
      if n % 512 == 0 { compatTable.l1.append(frame()) }
      frames.setEntry(compatTable.l1.last!, n % 512, (compatTable.first.address + UInt64(n) * 4096) | flags)
    }
    reservedGDTPages = (frame(), frame())
    pageTableCopies = (frame(), frame())
    for (page, descriptors) in [(reservedGDTPages.wide, ReservedDescriptors.wide), (reservedGDTPages.compat, ReservedDescriptors.compat)] {
      for (n, d) in descriptors.enumerated() { frames.setEntry(page, n, d) }
    }
  }

  func reservedGDT(_ domain: Domain) -> MachineFrameNumber { domain.isCompat ? reservedGDTPages.compat : reservedGDTPages.wide }

  /// Whether all guests may read a frame of the hypervisor's: of the machine-to-physical tables, or descriptors that every GDT has.
  func isShown(_ frame: MachineFrameNumber) -> Bool {
    machineToPhysicalFirst.rawValue..<machineToPhysicalRoot.rawValue ~= frame.rawValue
      || compatTable.first.rawValue..<compatTable.l1[0].rawValue ~= frame.rawValue
      || frame == reservedGDTPages.wide || frame == reservedGDTPages.compat
  }

  /// Entry of the machine-to-physical table; ~0 where no guest has the frame.
  func setPhysical(of frame: MachineFrameNumber, to pfn: UInt64) {
    let address = machineToPhysicalFirst.address + frame.rawValue * 8
    memory.host(address)!.storeBytes(of: pfn.littleEndian, as: UInt64.self)
    if frame.rawValue < 4096 * 1024 {
      memory.host(compatTable.first.address + frame.rawValue * 4)!.storeBytes(of: UInt32(truncatingIfNeeded: pfn).littleEndian, as: UInt32.self)
    }
  }

  func physical(of frame: MachineFrameNumber) -> UInt64 {
    UInt64(littleEndian: memory.host(machineToPhysicalFirst.address + frame.rawValue * 8)!.load(as: UInt64.self))
  }

  /// Fills the hypervisor's slots of a top-level table.
  func installOwnSlots(_ table: MachineFrameNumber, of domain: Domain) {
    for slot in XenLayout.firstSlot...XenLayout.lastSlot { frames.setEntry(table, slot, ownSlot(slot, of: domain)) }
  }

  /// What belongs into a slot of the hypervisor's.
  func ownSlot(_ slot: Int, of domain: Domain) -> UInt64 {
    switch slot {
    case XenLayout.machineToPhysicalSlot: return machineToPhysicalRoot.address | PTE.present | PTE.user | PTE.accessed | PTE.noExecute
    case XenLayout.perDomainSlot: return domain.perDomainTables.first.map { $0.address | PTE.present | PTE.writable | PTE.accessed | PTE.noExecute } ?? 0
    default: return 0
    }
  }

  /// Fills the hypervisor's entries of the L2 under the last gigabyte of a 32-bit guest.
  func installCompatSlots(_ table: MachineFrameNumber) {
    for n in XenLayout.compatFirstL2Slot..<512 {
      let k = n - XenLayout.compatFirstL2Slot
      frames.setEntry(table, n, k < compatTable.l1.count ? compatTable.l1[k].address | PTE.present | PTE.user | PTE.accessed : 0)
    }
  }

  func removeOwnSlots(_ table: MachineFrameNumber) {
    for slot in XenLayout.firstSlot...XenLayout.lastSlot { frames.setEntry(table, slot, 0) }
  }

  // MARK: Domains

  /// A domain without memory or processors; the builder does the rest.
  func makeDomain(name: String, isCompat: Bool, hvm: HVMPlatform? = nil, maximumFrames: UInt64) throws(XenError) -> Domain {
    var id = nextID
    while domains[DomainID(id)] != nil || id >= DomainID.firstReserved.rawValue || id == 0 { id = id >= DomainID.firstReserved.rawValue ? 1 : id + 1 }
    nextID = id + 1
    guard let shared = allocateFrame(for: DomainID(id), shared: true) else { throw .ENOMEM }
    let domain = Domain(id: DomainID(id), name: name, hypervisor: self, isCompat: isCompat, hvm: hvm, sharedInfo: shared)
    domain.maximumFrames = maximumFrames
    domains[domain.id] = domain
    return domain
  }

  func domainEnded(_ domain: Domain) { domain.observer?.domainEnded(domain) }

  func domain(_ id: DomainID, as caller: Domain) -> Domain? { id == .own ? caller : domains[id] }

  func forget(_ domain: Domain) { domains[domain.id] = nil }
}

/// What paravirtual processors find at ports and outside memory: nothing.
final class NoDevices: ProcessorBus {
  func readPort(_ port: UInt16, size: Int) -> UInt32 { ~0 }
  func writePort(_ port: UInt16, _ value: UInt32, size: Int) {}
  func readDevice(_ address: UInt64, size: Int) -> UInt64 { ~0 }
  func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {}
  func acknowledgeInterrupt() -> UInt8? { nil }
  var taskPriority: UInt8 {
    get { 0 }
    set {}
  }
  func readAPICRegister(_ msr: UInt32) -> UInt64? { nil }
  func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { false }
}
