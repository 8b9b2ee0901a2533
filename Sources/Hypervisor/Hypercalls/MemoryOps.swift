import XenABI

/// memory_op (xen/include/public/memory.h).
///
/// Not modelled: NUMA nodes, address-width restrictions (all frames are below every limit a guest may name), I/O spaces.
extension VCPU {
  func memoryOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    // The upper bits of the command count extents that are done.
    let command = a[0] & 0x3F, start = a[0] >> 6
    switch command {
    case MemoryOp.increaseReservation, MemoryOp.populatePhysmap, MemoryOp.decreaseReservation:
      return try reservation(command, start, a[1])
    case MemoryOp.maximumRAMPage:
      return .value(frames.totalFrames)
    case MemoryOp.currentReservation, MemoryOp.maximumReservation, MemoryOp.maximumGPFN:
      let who = DomainID(try load(a[1], as: UInt16.self))
      if who != .own, who != domain.id { throw hypervisor.domains[who] == nil ? .ESRCH : .EPERM }
      switch command {
      case MemoryOp.currentReservation: return .value(domain.frameCount)
      case MemoryOp.maximumReservation: return .value(domain.maximumFrames)
      default: return .value(domain.highestPFN)
      }
    case MemoryOp.memoryMap:
      return try memoryMap(a[1])
    case MemoryOp.machineMemoryMap: throw .EPERM
    case MemoryOp.machphysMapping where hvm != nil: throw .ENOSYS
    case MemoryOp.exchange where hvm != nil: throw .EOPNOTSUPP
    case MemoryOp.machphysMapping:
      // { v_start, v_end, max_mfn }
      if domain.isCompat {
        try storeWord(a[1], XenLayout.compatStart)
        try storeWord(a[1] &+ 4, 0xF680_0000)
        try storeWord(a[1] &+ 8, min(frames.totalFrames, (0xF680_0000 - XenLayout.compatStart) / 4 - 1))
      } else {
        try storeWord(a[1], XenLayout.machineToPhysical)
        try storeWord(a[1] &+ 8, XenLayout.machineToPhysical + (1 << 38))
        try storeWord(a[1] &+ 16, frames.totalFrames)
      }
      return .zero
    case MemoryOp.exchange:
      return try exchange(a[1])
    case MemoryOp.addToPhysmap where hvm != nil: return try addToPhysmap(a[1], start)
    case MemoryOp.addToPhysmapBatch where hvm != nil: return try addToPhysmapBatch(a[1], start)
    case MemoryOp.removeFromPhysmap where hvm != nil: return try removeFromPhysmap(a[1])
    case MemoryOp.addToPhysmap, MemoryOp.removeFromPhysmap, MemoryOp.addToPhysmapBatch:
      // A paravirtual guest's physical map is its own.
      throw .ENOSYS
    default: throw .ENOSYS
    }
  }

  /// struct xen_memory_reservation: { extent_start, nr_extents, extent_order, mem_flags, domid }
  private func reservation(_ command: UInt64, _ start: UInt64, _ at: UInt64) throws(XenError) -> HypercallOutcome {
    var reader = GuestReader(self, at)
    let list = try reader.word(), count = try reader.word()
    let order = try reader.next(UInt32.self)
    _ = try reader.next(UInt32.self)
    let who = DomainID(try reader.next(UInt16.self))
    if start > count { return .value(start) }
    if who != .own, who != domain.id { return .value(start) }
    if order > 9 || count > UInt64.max >> 16 { return .value(start) }
    var done = start
    while done < count {
      if done - start == UInt64(Self.batch) || done > start && hasTakenLong { return .again([command | done << 6, at, 0, 0, 0, 0]) }
      charge((command == MemoryOp.decreaseReservation ? Self.entryCost : Self.pageCost) << UInt64(order))
      let ok: Bool
      do throws(XenError) {
        switch command {
        case MemoryOp.decreaseReservation where hvm != nil, MemoryOp.populatePhysmap where hvm != nil:
          ok = try reservePhysical(command, list &+ done * wordBytes, order)
        case MemoryOp.decreaseReservation: ok = try giveBack(list &+ done * wordBytes, order)
        case MemoryOp.populatePhysmap: ok = try populate(list &+ done * wordBytes, order)
        default: ok = try increase(list == 0 ? 0 : list &+ done * wordBytes, order)
        }
      } catch {
        return .value(done)
      }
      if !ok { return .value(done) }
      done += 1
    }
    return .value(done)
  }

  private func giveBack(_ slot: UInt64, _ order: UInt32) throws(XenError) -> Bool {
    let first = try loadWord(slot)
    for n in 0..<UInt64(1) << UInt64(order) {
      let frame = MachineFrameNumber(first &+ n)
      guard frames.isRAM(frame), frames.get(frame, owner: domain.id) else { return false }
      // A pinned page table is unpinned with it.
      if frames[frame].pointee.flags & FrameInfo.pinned != 0 { try domain.unpin(frame) }
      let released = domain.releaseFrame(frame)
      frames.put(frame)
      if !released { return false }
    }
    return true
  }

  /// Frames for pseudo-physical numbers that are given; their machine frame is written back.
  private func populate(_ slot: UInt64, _ order: UInt32) throws(XenError) -> Bool {
    let pfn = try loadWord(slot)
    guard let first = domain.allocate(order: order) else { return false }
    for n in 0..<UInt64(1) << UInt64(order) { hypervisor.setPhysical(of: MachineFrameNumber(first.rawValue + n), to: pfn &+ n) }
    domain.highestPFN = max(domain.highestPFN, pfn &+ (1 << UInt64(order)) &- 1)
    try storeWord(slot, first.rawValue)
    return true
  }

  private func increase(_ slot: UInt64, _ order: UInt32) throws(XenError) -> Bool {
    guard let first = domain.allocate(order: order) else { return false }
    if slot != 0 { try storeWord(slot, first.rawValue) }
    return true
  }

  /// { nr_entries, buffer }; entries are { u64 address, u64 size, u32 type } without padding.
  private func memoryMap(_ at: UInt64) throws(XenError) -> HypercallOutcome {
    var reader = GuestReader(self, at)
    let room = try reader.next(UInt32.self)
    let buffer = try reader.word()
    if hvm != nil { return try storeMemoryMap(buffer, room: room, at) }
    if room < 1 { throw .EINVAL }
    try store(buffer, UInt64(0))
    try store(buffer &+ 8, domain.maximumFrames << 12)
    try store(buffer &+ 16, UInt32(1))
    try store(at, UInt32(1))
    return .zero
  }

  /// Frames for other frames: { in, out, nr_exchanged }, each a reservation (memory.h, struct xen_memory_exchange).
  private func exchange(_ at: UInt64) throws(XenError) -> HypercallOutcome {
    var reader = GuestReader(self, at)
    let inList = try reader.word(), inCount = try reader.word()
    let inOrder = try reader.next(UInt32.self)
    _ = try reader.next(UInt32.self)
    let inWho = DomainID(try reader.next(UInt16.self))
    reader.align(wordBytes)
    let outList = try reader.word(), outCount = try reader.word()
    let outOrder = try reader.next(UInt32.self)
    _ = try reader.next(UInt32.self)
    let outWho = DomainID(try reader.next(UInt16.self))
    reader.align(wordBytes)
    let doneAt = reader.address
    let already = try reader.word()
    if already > inCount { throw .EINVAL }
    if inWho != outWho { throw .EINVAL }
    if inOrder > 9 || outOrder > 9 { throw .EPERM }
    if inCount > UInt64.max >> 12 || outCount > UInt64.max >> 12 || inCount << UInt64(inOrder) != outCount << UInt64(outOrder) { throw .EINVAL }
    if inWho != .own, inWho != domain.id { throw hypervisor.domains[inWho] == nil ? .ESRCH : .EPERM }
    if inList &+ inCount * wordBytes < inList || outList &+ outCount * wordBytes < outList { throw .EFAULT }
    if !domain.isCompat, !XenLayout.isGuest(inList) || !XenLayout.isGuest(outList) || !XenLayout.isGuest(outList &+ outCount * 8) { throw .EFAULT }
    // In steps of the larger extent, so that each is all or nothing.
    let step = max(inOrder, outOrder)
    var done = already
    let inStep = UInt64(1) << UInt64(step - inOrder), outStep = UInt64(1) << UInt64(step - outOrder)
    while done < inCount {
      if done - already >= UInt64(Self.batch) || done > already && hasTakenLong {
        try storeWord(doneAt, done)
        return .again([MemoryOp.exchange, at, 0, 0, 0, 0])
      }
      charge(Self.pageCost << UInt64(step))
      do throws(XenError) {
        try exchangeStep(inList, done, inOrder, inStep, outList, done / inStep * outStep, outOrder, outStep)
      } catch {
        try storeWord(doneAt, done)
        throw error
      }
      done += inStep
    }
    try storeWord(doneAt, done)
    return .zero
  }

  private func exchangeStep(_ inList: UInt64, _ inIndex: UInt64, _ inOrder: UInt32, _ inStep: UInt64,
                            _ outList: UInt64, _ outIndex: UInt64, _ outOrder: UInt32, _ outStep: UInt64) throws(XenError) {
    // Numbers of the new frames come first, so that a list which cannot be read costs nothing.
    var pfns: [UInt64] = []
    for n in 0..<outStep { pfns.append(try loadWord(outList &+ (outIndex + n) * wordBytes)) }
    var old: [MachineFrameNumber] = []
    for n in 0..<inStep {
      let first = try loadWord(inList &+ (inIndex + n) * wordBytes)
      for k in 0..<UInt64(1) << UInt64(inOrder) { old.append(MachineFrameNumber(first &+ k)) }
    }
    // Each must be the domain's, once, and used by nobody.
    if Set(old).count != old.count { throw .EINVAL }
    for frame in old {
      guard frames.isRAM(frame), frames.owner(frame) == domain.id, frames[frame].pointee.references == 1,
            frames[frame].pointee.flags & FrameInfo.allocated != 0, frames[frame].pointee.flags & FrameInfo.shared == 0 else { throw .EINVAL }
    }
    // The new frames are had before the old ones go, so that a failure costs nothing.
    var new: [MachineFrameNumber] = []
    domain.maximumFrames += UInt64(old.count)
    for _ in pfns {
      guard let first = domain.allocate(order: outOrder) else {
        for first in new {
          for k in 0..<UInt64(1) << UInt64(outOrder) { _ = domain.releaseFrame(MachineFrameNumber(first.rawValue + k)) }
        }
        domain.maximumFrames -= UInt64(old.count)
        throw .ENOMEM
      }
      new.append(first)
    }
    for frame in old { _ = domain.releaseFrame(frame) }
    domain.maximumFrames -= UInt64(old.count)
    for (n, (pfn, first)) in zip(pfns, new).enumerated() {
      for k in 0..<UInt64(1) << UInt64(outOrder) { hypervisor.setPhysical(of: MachineFrameNumber(first.rawValue + k), to: pfn &+ k) }
      try storeWord(outList &+ (outIndex + UInt64(n)) * wordBytes, first.rawValue)
    }
  }
}

extension Domain {
  /// 2^order frames in a row. Only single frames can be had from what was given back.
  func allocate(order: UInt32) -> MachineFrameNumber? {
    if order == 0 { return allocateFrame() }
    let count = UInt64(1) << UInt64(order)
    guard frameCount + count <= maximumFrames, let first = hypervisor.frames.allocateRun(count, for: id) else { return nil }
    for n in 0..<count { ownedFrames.insert(first.rawValue + n) }
    return first
  }
}
