import Platform
import XenABI

/// Making a domain from what `save` wrote. The bytes may be anything: a file that was made to harm gets no more rights than a guest has, as
/// its page tables are checked like any guest's.
extension Hypervisor {
  /// Builds the domain, paused where it suspended itself, with a new number, new frames and new event channels for its services.
  /// - Parameters:
  ///   - name, weight, cap: as a configuration has them.
  ///   - paging, shadowBytes: of a PVH domain, as `DomainRequest` has them.
  ///   - store: answers on the domain's xenstore port.
  public func restore(
    _ r: inout StateReader, name: String, weight: Int, cap: Int, paging: GuestPaging = .shadow, shadowBytes: UInt64? = nil, store: any EventService
  ) throws(BuildError) -> BuiltDomain {
    let isPVH: Bool, isCompat: Bool
    do throws(StateError) {
      isPVH = try r.getBool()
      isCompat = isPVH ? false : try r.getBool()
    } catch { throw BuildError("the saved domain \(name) cannot be restored: \(error)") }
    if isPVH { return try restorePVH(&r, name: name, weight: weight, cap: cap, paging: paging, shadowBytes: shadowBytes, store: store) }
    let domain: Domain
    do throws(XenError) { domain = try makeDomain(name: name, isCompat: isCompat, hvm: nil, maximumFrames: 0) } catch {
      throw BuildError("the machine has no memory left for domain \(name)")
    }
    domain.weight = weight
    domain.cap = cap
    domain.pauseCount = 1
    do throws(StateError) {
      return try fill(domain, &r, store)
    } catch {
      destroy(domain)
      throw BuildError("the saved domain \(name) cannot be restored: \(error)")
    }
  }

  private func fill(_ domain: Domain, _ r: inout StateReader, _ store: any EventService) throws(StateError) -> BuiltDomain {
    domain.maximumFrames = try r.get(UInt64.self)
    domain.highestPFN = try r.get(UInt64.self)
    // Together not more than the machine could ever have, which also keeps sums from overflowing.
    guard domain.maximumFrames < 1 << 40, domain.highestPFN < 1 << 27 else { throw StateError("it says it has an impossible amount of memory") }
    domain.assists = try r.get(UInt64.self)
    domain.handle = try r.getBytes()
    guard domain.handle.count == 16 else { throw StateError("its identity has not 16 bytes") }
    domain.timeOffset = try r.get(UInt64.self) &- now
    let startInfo = try r.get(UInt64.self)
    var shared = [UInt8](repeating: 0, count: 4096)
    for n in 0..<4096 { shared[n] = try r.get(UInt8.self) }
    let listCount = try r.get(UInt64.self)
    guard listCount <= domain.highestPFN / 512 + 1 + 512 * 512 else { throw StateError("its table of frames has an impossible size") }
    var list: [(position: UInt64, pfn: UInt64)] = []
    for _ in 0..<listCount { list.append((try r.get(UInt64.self), try r.get(UInt64.self))) }
    var memory = RestoredMemory(domain)
    try memory.read(&r)
    try memory.rewriteFrameList(list)
    restoreShared(domain, shared)
    let ports: (store: EventPort, console: EventPort)
    do throws(XenError) { ports = (try domain.bindService(store), try domain.bindService(ServiceRelay())) } catch {
      throw StateError("it cannot have event channels")
    }
    let pages = try memory.rewriteStartInfo(startInfo, domain, storePort: ports.store, consolePort: ports.console)
    let built: BuiltDomain
    do throws(XenError) { built = try attachServices(to: domain, store: (pages.store, ports.store), console: (pages.console, ports.console), number: pages.store.rawValue) } catch {
      throw StateError("its pages for services are no ordinary memory")
    }
    // A root gets its entry for the descriptor tables when it is checked.
    do throws(XenError) { try domain.makePerDomainTables(0) } catch { throw StateError("the machine has no memory left") }
    try memory.pinTables()
    let count = try r.get(UInt32.self)
    guard 1...UInt32(SharedInfoLayout.legacyVCPUs) ~= count else { throw StateError("it has an impossible number of processors") }
    for n in 0..<Int(count) {
      let v: VCPU
      do throws(XenError) { v = try domain.addProcessor(n) } catch { throw StateError("the machine has no memory left") }
      domain.assists &= v.knownAssists
      try v.restore(from: &r, { (pfn) throws(StateError) in try memory.frame(pfn) })
    }
    guard domain.vcpus[0].isUp, domain.state == .running else { throw StateError("its first processor cannot go on") }
    // The call that suspended the guest returns: this is another machine than before.
    domain.vcpus[0].cpu.s.pointee.rax = 0
    return built
  }

  /// The shared page: what the processors' parts had, the guest's own words; no events, all masked.
  private func restoreShared(_ domain: Domain, _ old: [UInt8]) {
    let new = domain.shared, l = domain.layout, words = GuestWords(domain)
    old.withUnsafeBytes { old in
      for n in 0..<SharedInfoLayout.legacyVCPUs {
        let at = n * SharedInfoLayout.vcpuInfoBytes
        (new + at).copyMemory(from: old.baseAddress! + at, byteCount: SharedInfoLayout.vcpuInfoBytes)
        words.store(0, new, at: at + l.pendingSelector)
        new.storeBytes(of: 1, toByteOffset: at + SharedInfoLayout.upcallMask, as: UInt8.self)
      }
      (new + l.maximumPFN).copyMemory(from: old.baseAddress! + l.maximumPFN, byteCount: words.bytes)
    }
    for n in l.eventMask..<l.eventMask + l.twoLevelPorts / 8 { new.storeBytes(of: 0xFF, toByteOffset: n, as: UInt8.self) }
    domain.writeWallClock()
    setPhysical(of: domain.sharedInfo, to: ~0)
  }
}

/// Memory of a domain under restoration: new frames for its pseudo-physical ones, and what of their contents speaks of frames.
struct RestoredMemory {
  private let domain: Domain
  private var frames: [UInt64: MachineFrameNumber] = [:]
  private var tables: [(frame: MachineFrameNumber, level: Int, isPinned: Bool)] = []

  init(_ domain: Domain) { self.domain = domain }

  func frame(_ pfn: UInt64) throws(StateError) -> MachineFrameNumber {
    guard let frame = frames[pfn] else { throw StateError("it refers to memory that it does not have") }
    return frame
  }

  mutating func read(_ r: inout StateReader) throws(StateError) {
    let count = try r.get(UInt64.self)
    guard count <= domain.maximumFrames else { throw StateError("it has more memory than it may have") }
    var last: UInt64?
    for _ in 0..<count {
      let pfn = try r.get(UInt64.self)
      let kind = try r.get(UInt8.self)
      guard pfn <= domain.highestPFN, last.map({ pfn > $0 }) ?? true else { throw StateError("its memory is not in order") }
      last = pfn
      guard let frame = domain.allocateFrame() else { throw StateError("the machine has no memory left") }
      domain.hypervisor.setPhysical(of: frame, to: pfn)
      frames[pfn] = frame
      if kind & 1 == Hypervisor.StoredFrame.contents.rawValue {
        try r.get(raw: UnsafeMutableRawBufferPointer(start: domain.frames.contents(frame), count: 4096))
      }
      let level = Int(kind & Hypervisor.StoredFrame.tableMask) >> 1
      guard level <= 4 else { throw StateError("it has page tables of an unknown kind") }
      if level > 0 { tables.append((frame, level, kind & Hypervisor.StoredFrame.pinned != 0)) }
    }
    // Entries of page tables can name frames that come later.
    for table in tables {
      for n in 0..<512 {
        let entry = domain.frames.entry(table.frame, n)
        if entry & PTE.present == 0 { continue }
        let target = try self.frame((entry & PTE.address) >> 12)
        domain.frames.setEntry(table.frame, n, entry & ~PTE.address | target.address)
      }
    }
  }

  /// Entries of the guest's table of machine frames.
  func rewriteFrameList(_ list: [(position: UInt64, pfn: UInt64)]) throws(StateError) {
    let words = GuestWords(domain)
    for (position, pfn) in list {
      let page = domain.frames.contents(try frame(pfn))
      guard position < 1 << 27 else { throw StateError("its table of frames has an impossible size") }
      for n in 0..<words.perPage where words.isFrame(words.load(page, index: n)) {
        words.store(frames[position * UInt64(words.perPage) + UInt64(n)]?.rawValue ?? words.missing, page, at: n * words.bytes)
      }
    }
  }

  /// What the guest finds changed: shared page, pages and ports of xenstore and console. It has left the pages' pseudo-physical numbers.
  func rewriteStartInfo(
    _ pfn: UInt64, _ domain: Domain, storePort: EventPort, consolePort: EventPort
  ) throws(StateError) -> (store: MachineFrameNumber, console: MachineFrameNumber) {
    let l = domain.isCompat ? StartInfoLayout.compat : .wide, words = GuestWords(domain)
    let info = domain.frames.contents(try frame(pfn))
    let store = try frame(words.load(info, at: l.storeFrame))
    let console = try frame(words.load(info, at: l.consoleFrame))
    words.store(domain.sharedInfo.address, info, at: l.sharedInfo)
    words.store(store.rawValue, info, at: l.storeFrame)
    info.storeBytes(of: storePort, toByteOffset: l.storePort, as: UInt32.self)
    words.store(console.rawValue, info, at: l.consoleFrame)
    info.storeBytes(of: consolePort, toByteOffset: l.consolePort, as: UInt32.self)
    return (store, console)
  }

  func pinTables() throws(StateError) {
    // The L2 under a 32-bit guest's last gigabyte must be known as that before it is used as any other.
    let order = domain.isCompat ? tables.sorted { $0.level > $1.level } : tables
    for table in order where table.isPinned {
      do throws(XenError) { try domain.pin(table.frame, .table(level: table.level)) } catch {
        throw StateError("the page tables in it are not valid")
      }
    }
  }
}
