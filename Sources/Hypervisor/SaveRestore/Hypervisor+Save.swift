import Platform
import XenABI

/// Writing a suspended paravirtual domain so that it can go on elsewhere.
///
/// The guest helps, as under Xen: told by xenstore to suspend it stops its devices, pins all its page tables, unmaps the shared page, turns
/// the frame numbers of its start_info into pseudo-physical ones, and calls SCHEDOP_shutdown with the machine frame of its start_info in
/// the third argument. What the file holds speaks of pseudo-physical frames only.
///
/// Not modelled: guests whose table of frames is to be found by its address alone (SIF_VIRT_P2M_4TOOLS, which the builder
/// does not announce).
extension Hypervisor {
  /// Writes memory, processors and shared page of a domain that has suspended itself.
  /// - Throws: what of it cannot be saved.
  public func save(_ domain: Domain, to w: inout StateWriter) throws(BuildError) {
    guard case .shutdown(.suspend) = domain.state else { throw BuildError("domain \(domain.name) has not suspended itself") }
    w.put(domain.hvm != nil)
    if let hvm = domain.hvm { return try savePVH(domain, hvm, to: &w) }
    w.put(domain.isCompat)
    let map = try PhysicalMap(domain)
    let startInfo = MachineFrameNumber(domain.vcpus[0].cpu.s.pointee.rdx)
    guard let startInfoPFN = map.pfn(of: startInfo) else {
      throw BuildError("domain \(domain.name) has not said where its start_info is when it suspended itself")
    }
    w.put(domain.maximumFrames)
    w.put(domain.highestPFN)
    w.put(domain.assists)
    w.put(domain.handle)
    w.put(now &+ domain.timeOffset)
    w.put(startInfoPFN)
    w.put(raw: UnsafeRawBufferPointer(start: domain.shared, count: 4096))
    let list = try frameList(of: domain, map)
    w.put(UInt64(list.count))
    for (position, pfn) in list {
      w.put(position)
      w.put(pfn)
    }
    try saveMemory(domain, map, to: &w)
    w.put(UInt32(domain.vcpus.count))
    for v in domain.vcpus { try v.save(map, to: &w) }
  }

  /// Lets a domain that has suspended itself run on where it is.
  public func resume(_ domain: Domain) {
    guard case .shutdown(.suspend) = domain.state else { return }
    // The guest reads that its suspension was cancelled.
    domain.vcpus[0].cpu.s.pointee.rax = 1
    domain.state = .running
    for v in domain.vcpus where v.state == .runnable { becameRunnable(v) }
  }

  // MARK: Memory

  /// How a frame is stored.
  enum StoredFrame: UInt8 {
    case zero = 0, contents
    /// A page table of a level: flag of being pinned in the bit above.
    static let tableMask: UInt8 = 7 << 1
    static let pinned: UInt8 = 1 << 4
  }

  private func saveMemory(_ domain: Domain, _ map: PhysicalMap, to w: inout StateWriter) throws(BuildError) {
    w.put(UInt64(map.frames.count))
    for (pfn, frame) in map.frames where !w.isBroken {
      let p = frames[frame]
      let level = p.pointee.typeCount != 0 ? p.pointee.type.level : 0
      let contents = frames.contents(frame)
      w.put(pfn)
      if level == 0 {
        let isZero = Self.isZero(contents)
        w.put(isZero ? StoredFrame.zero.rawValue : StoredFrame.contents.rawValue)
        if !isZero { w.put(raw: UnsafeRawBufferPointer(start: contents, count: 4096)) }
        continue
      }
      let isPinned = p.pointee.flags & FrameInfo.pinned != 0
      w.put(StoredFrame.contents.rawValue | UInt8(level) << 1 | (isPinned ? StoredFrame.pinned : 0))
      let slots = domain.guestSlots(frame, level)
      for n in 0..<512 {
        let entry = slots.contains(n) ? frames.entry(frame, n) : 0
        guard entry & PTE.present != 0 else {
          w.put(entry)
          continue
        }
        guard level > 1 || entry & VCPU.grantedEntry == 0, let target = map.pfn(of: PTE.frame(entry)) else {
          throw BuildError("domain \(domain.name) still maps memory that is not its own")
        }
        w.put(entry & ~PTE.address | target << 12)
      }
    }
  }

  static func isZero(_ page: UnsafeMutableRawPointer) -> Bool {
    for n in 0..<512 where page.load(fromByteOffset: n * 8, as: UInt64.self) != 0 { return false }
    return true
  }

  /// Pages of the guest's own table of machine frames, each with its place in the table: the guest keeps a tree of three levels for the
  /// toolstack (arch-x86/xen.h, pfn_to_mfn_frame_list_list).
  private func frameList(of domain: Domain, _ map: PhysicalMap) throws(BuildError) -> [(position: UInt64, pfn: UInt64)] {
    let broken = BuildError("domain \(domain.name) has not said where its table of frames is")
    let words = GuestWords(domain)
    let perPage = UInt64(words.perPage)
    let entries = words.load(domain.shared, at: domain.layout.maximumPFN)
    let top = MachineFrameNumber(words.load(domain.shared, at: domain.layout.pfnToMFNListList))
    guard entries > domain.highestPFN, entries <= 1 << 27, map.pfn(of: top) != nil else { throw broken }
    let pages = (entries + perPage - 1) / perPage
    var list: [(position: UInt64, pfn: UInt64)] = []
    for position in 0..<pages {
      let middle = MachineFrameNumber(words.load(frames.contents(top), index: Int(position / perPage)))
      guard map.pfn(of: middle) != nil else { throw broken }
      guard let pfn = map.pfn(of: MachineFrameNumber(words.load(frames.contents(middle), index: Int(position % perPage)))) else { throw broken }
      list.append((position, pfn))
    }
    return list
  }
}

/// A guest's `unsigned long` in its memory.
struct GuestWords {
  let bytes: Int
  var perPage: Int { 4096 / bytes }
  /// An entry of the guest's table of frames that has one of its two upper bits set is no frame: missing, foreign, identical.
  func isFrame(_ entry: UInt64) -> Bool { entry >> UInt64(bytes * 8 - 2) == 0 }
  var missing: UInt64 { bytes == 4 ? 0xFFFF_FFFF : ~0 }

  init(_ domain: Domain) { bytes = domain.layout.word }

  func load(_ page: UnsafeMutableRawPointer, at offset: Int) -> UInt64 {
    bytes == 4 ? UInt64(UInt32(littleEndian: page.load(fromByteOffset: offset, as: UInt32.self)))
      : UInt64(littleEndian: page.load(fromByteOffset: offset, as: UInt64.self))
  }

  func load(_ page: UnsafeMutableRawPointer, index: Int) -> UInt64 { load(page, at: index * bytes) }

  /// Stores the low bits of a value.
  func store(_ value: UInt64, _ page: UnsafeMutableRawPointer, at offset: Int) {
    if bytes == 4 {
      page.storeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, toByteOffset: offset, as: UInt32.self)
    } else {
      page.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
    }
  }
}

/// The frames of a domain by their pseudo-physical numbers, as the machine-to-physical table has them.
struct PhysicalMap {
  private(set) var frames: [(pfn: UInt64, frame: MachineFrameNumber)] = []
  private var pfns: [UInt64: UInt64] = [:]

  init(_ domain: Domain) throws(BuildError) {
    pfns.reserveCapacity(domain.ownedFrames.count)
    for number in domain.ownedFrames {
      let frame = MachineFrameNumber(number)
      let pfn = domain.hypervisor.physical(of: frame)
      guard pfn <= domain.highestPFN else { throw BuildError("domain \(domain.name) has a frame that it gave no number") }
      pfns[number] = pfn
      frames.append((pfn, frame))
    }
    frames.sort { $0.pfn < $1.pfn }
    for n in frames.indices.dropFirst() where frames[n].pfn == frames[n - 1].pfn {
      throw BuildError("domain \(domain.name) has given two of its frames the same number")
    }
  }

  func pfn(of frame: MachineFrameNumber) -> UInt64? { pfns[frame.rawValue] }
}
