import Processor
import XenABI

/// grant_table_op (xen/include/public/grant_table.h).
///
/// Not modelled: mappings by way of transitive grants (Xen refuses them, too), GNTTABOP_dump_table, GNTTABOP_cache_flush.
extension VCPU {
  func grantTableOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    guard let op = GrantTableOp(rawValue: a[0] & 0xFFFF) else { throw .ENOSYS }
    switch op {
    case .mapGrantRef: return try each(a, 32) { at throws(XenError) in try mapGrant(at) }
    case .unmapGrantRef: return try each(a, 24) { at throws(XenError) in try unmapGrant(at, replace: false) }
    case .unmapAndReplace: return try each(a, 24) { at throws(XenError) in try unmapGrant(at, replace: true) }
    case .copy: return try each(a, isCompatCall ? 24 : 40) { at throws(XenError) in try copyGrant(at) }
    case .swapGrantRef: return try each(a, 12) { at throws(XenError) in try swapGrants(at) }
    case .setupTable: try setupGrantTable(a[1], a[2])
    case .querySize: try querySize(a[1], a[2])
    case .setVersion: try setGrantVersion(a[1], a[2])
    case .getVersion: try getGrantVersion(a[1], a[2])
    case .getStatusFrames: try getStatusFrames(a[1], a[2])
    case .transfer: return try each(a, isCompatCall ? 16 : 24) { at throws(XenError) in try transferFrame(at) }
    case .dumpTable, .cacheFlush: throw .ENOSYS
    }
    return .zero
  }

  /// The operations of an array, one after the other.
  private func each(_ a: HypercallArguments, _ size: UInt64, _ body: (UInt64) throws(XenError) -> Void) throws(XenError) -> HypercallOutcome {
    let count = min(a[2], UInt64(Self.batch))
    if a[2] > UInt64(UInt32.max) { throw .EINVAL }
    var done: UInt64 = 0
    while done < count, done == 0 || !hasTakenLong {
      charge(Self.entryCost)
      try body(a[1] &+ done * size)
      done += 1
    }
    return a[2] > done ? .again([a[0], a[1] &+ done * size, a[2] - done, 0, 0, 0]) : .zero
  }

  private func own(_ id: UInt16) -> Bool { DomainID(id) == .own || DomainID(id) == domain.id }

  /// The domain that gives a grant. The control domain gives none: its services are the hypervisor's own.
  private func granting(_ id: UInt16) throws(GrantStatus) -> Domain {
    if own(id) { return domain }
    if let other = hypervisor.domains[DomainID(id)] { return other }
    throw id == 0 ? .generalError : .badDomain
  }

  // MARK: Mapping

  private enum MapFlag {
    static let device: UInt32 = 1
    static let host: UInt32 = 2
    static let readOnly: UInt32 = 4
    static let application: UInt32 = 8
    static let containsPTE: UInt32 = 16
  }

  /// Bit of an L1 entry that a grant made (Xen's _PAGE_GNTTAB): guests cannot set it, and the entry holds no references.
  static let grantedEntry: UInt64 = 1 << 62

  /// { host_addr u64, flags u32, ref u32, dom u16, status s16, handle u32, dev_bus_addr u64 }
  private func mapGrant(_ at: UInt64) throws(XenError) {
    let hostAddress = try load(at, as: UInt64.self), flags = try load(at &+ 8, as: UInt32.self)
    let reference = try load(at &+ 12, as: UInt32.self), who = try load(at &+ 16, as: UInt16.self)
    var status = GrantStatus.okay
    do throws(GrantStatus) {
      if flags & (MapFlag.device | MapFlag.host) == 0 { throw .badReference }
      let giver = try granting(who)
      charge(UInt64(domain.grants.mappings.count) / 8)
      guard let handle = domain.grants.newHandle() else { throw .noSpace }
      let readOnly = flags & MapFlag.readOnly != 0
      let hasHost = flags & MapFlag.host != 0, hasDevice = flags & MapFlag.device != 0
      // Who is granted a part of a page may copy it, and not see the rest.
      if let entry = giver.grantEntry(reference), giver.grants.version == 2, entry.flags & GrantTable.Flag.subPage != 0 { throw .generalError }
      let frame = try giver.acquire(reference, for: domain.id, writable: !readOnly)
      if hasHost {
        do throws(GrantStatus) {
          // Host and device each hold the grant.
          if hasDevice { _ = try giver.acquire(reference, for: domain.id, writable: !readOnly) }
          do throws(GrantStatus) {
            try enterGranted(frame, at: hostAddress, flags)
          } catch {
            if hasDevice { giver.releaseGrant(reference, writable: !readOnly) }
            throw error
          }
        } catch {
          giver.releaseGrant(reference, writable: !readOnly)
          throw error
        }
      }
      domain.grants.mappings[handle] = GrantTable.Mapping(
        giver: giver, reference: reference, frame: frame, isReadOnly: readOnly, hasHost: hasHost, hasDevice: hasDevice)
      try storing { () throws(XenError) in
        try store(at &+ 20, UInt32(handle))
        try store(at &+ 24, frame.address)
      }
    } catch {
      status = error
    }
    try store(at &+ 18, status.rawValue)
  }

  private func storing(_ body: () throws(XenError) -> Void) throws(GrantStatus) {
    do throws(XenError) { try body() } catch { throw .generalError }
  }

  /// The L1 entry that a grant operation names: by the linear address it maps, or by its machine address.
  private func grantSlot(_ address: UInt64, containsPTE: Bool) throws(GrantStatus) -> (MachineFrameNumber, Int) {
    if containsPTE {
      let table = MachineFrameNumber(address >> 12)
      guard address & 7 == 0, frames.isRAM(table), frames.owner(table) == domain.id, frames[table].pointee.type == .l1,
            frames[table].pointee.typeCount != 0 else { throw .generalError }
      return (table, Int(address & 0xFFF) / 8)
    }
    guard domain.isCompat ? address < XenLayout.compatStart : XenLayout.isGuest(address),
          let slot = domain.findL1(address, root: kernelRoot), frames[slot.table].pointee.type == .l1 else { throw .badVirtualAddress }
    return slot
  }

  private func enterGranted(_ frame: MachineFrameNumber, at address: UInt64, _ flags: UInt32) throws(GrantStatus) {
    if let hvm = domain.hvm {
      // The address is one of the guest's physical address space.
      let place = GuestFrameNumber(address >> 12)
      guard flags & MapFlag.containsPTE == 0, address & 0xFFF == 0, place.rawValue < hvm.memory.count, hvm.memory.kind(place) != .foreign else {
        throw .generalError
      }
      domain.clearPhysical(place)
      hvm.memory.set(place, to: frame, .foreign, writable: flags & MapFlag.readOnly == 0)
      return
    }
    let (table, index) = try grantSlot(address, containsPTE: flags & MapFlag.containsPTE != 0)
    var entry = frame.address | PTE.present | PTE.accessed | PTE.dirty | Self.grantedEntry
    if flags & MapFlag.readOnly == 0 { entry |= PTE.writable }
    if flags & MapFlag.application != 0 { entry |= PTE.user }
    entry |= UInt64(flags >> 16 & 7) << 9
    let old = frames.entry(table, index)
    entry = domain.adjust(entry, level: 1)
    frames.setEntry(table, index, entry)
    domain.noteChange(table, index, from: old, to: entry, level: 1)
    domain.putEntry(old, level: 1, of: table)
    if flags & MapFlag.containsPTE != 0 { flush() } else { cpu.invalidatePage(address) }
  }

  /// { host_addr u64, dev_bus_addr (new_addr) u64, handle u32, status s16 }
  private func unmapGrant(_ at: UInt64, replace: Bool) throws(XenError) {
    let hostAddress = try load(at, as: UInt64.self), second = try load(at &+ 8, as: UInt64.self)
    let handle = Int(try load(at &+ 16, as: UInt32.self))
    var status = GrantStatus.okay
    do throws(GrantStatus) {
      guard domain.grants.mappings.indices.contains(handle), var mapping = domain.grants.mappings[handle] else { throw .badHandle }
      let giver = mapping.giver
      let device = replace ? 0 : second
      if device != 0, device != mapping.frame.address { throw .generalError }
      if hostAddress != 0, mapping.hasHost {
        try leaveGranted(mapping, at: hostAddress, replacement: replace ? second : nil)
        mapping.hasHost = false
        giver.releaseGrant(mapping.reference, writable: !mapping.isReadOnly)
      }
      if device != 0, mapping.hasDevice {
        mapping.hasDevice = false
        giver.releaseGrant(mapping.reference, writable: !mapping.isReadOnly)
      }
      domain.grants.mappings[handle] = mapping.hasHost || mapping.hasDevice ? mapping : nil
    } catch {
      status = error
    }
    try store(at &+ 20, status.rawValue)
  }

  /// Takes a granted page out of a page table, and puts the entry of another address in its place.
  private func leaveGranted(_ mapping: GrantTable.Mapping, at address: UInt64, replacement: UInt64?) throws(GrantStatus) {
    if let hvm = domain.hvm {
      let place = GuestFrameNumber(address >> 12)
      guard address & 0xFFF == 0, replacement == nil, hvm.memory.kind(place) == .foreign, hvm.memory[place] == mapping.frame,
            (hvm.memory.map[Int(place.rawValue)] & GuestPhysicalMap.writable == 0) == mapping.isReadOnly else { throw .generalError }
      domain.clearPhysical(place)
      return
    }
    // An address that is mapped by a table the guest named by machine address looks the same.
    let slot: (MachineFrameNumber, Int)
    do throws(GrantStatus) {
      slot = try grantSlot(address, containsPTE: false)
    } catch {
      slot = try grantSlot(address, containsPTE: true)
    }
    let entry = frames.entry(slot.0, slot.1)
    guard entry & PTE.present != 0, entry & Self.grantedEntry != 0, PTE.frame(entry) == mapping.frame,
          (entry & PTE.writable == 0) == mapping.isReadOnly else { throw .generalError }
    var new: UInt64 = 0
    if let replacement, replacement != 0 {
      let other = try grantSlot(replacement, containsPTE: false)
      // The entry that is to go cannot take its own place.
      if other == slot { throw .generalError }
      // With what it refers to the entry moves; the place it came from is empty.
      new = frames.entry(other.0, other.1)
      frames.setEntry(other.0, other.1, 0)
      cpu.invalidatePage(replacement)
    }
    frames.setEntry(slot.0, slot.1, new)
    domain.flushAll()
  }

  // MARK: Copying

  /// One side of a copy: a grant, or a frame of the caller's.
  private struct Side {
    var address: UInt64
    var release: () -> Void
  }

  /// Two of { ref u32 or frame, domid u16, offset u16 }, then { len u16, flags u16, status s16 }.
  private func copyGrant(_ at: UInt64) throws(XenError) {
    let sideBytes: UInt64 = isCompatCall ? 8 : 16
    let tail = at &+ 2 * sideBytes
    let length = try load(tail, as: UInt16.self), flags = try load(tail &+ 2, as: UInt16.self)
    var sides: [(reference: UInt64, who: UInt16, offset: UInt16)] = []
    for n in 0..<2 as Range<UInt64> {
      let p = at &+ n * sideBytes
      sides.append((try loadWord(p), try load(p &+ wordBytes, as: UInt16.self), try load(p &+ wordBytes &+ 2, as: UInt16.self)))
    }
    var status = GrantStatus.okay
    do throws(GrantStatus) {
      for side in sides where UInt32(side.offset) + UInt32(length) > 4096 { throw .badCopyArgument }
      let source = try open(sides[0], isGrant: flags & 1 != 0, writable: false, UInt32(length))
      do throws(GrantStatus) {
        let destination = try open(sides[1], isGrant: flags & 2 != 0, writable: true, UInt32(length))
        let from = hypervisor.memory.host(source.address)!
        let copy = [UInt8](UnsafeRawBufferPointer(start: from, count: Int(length)))
        copy.withUnsafeBytes { frames.write($0, at: destination.address) }
        destination.release()
      } catch {
        source.release()
        throw error
      }
      source.release()
    } catch {
      status = error
    }
    try store(tail &+ 4, status.rawValue)
  }

  private func open(_ side: (reference: UInt64, who: UInt16, offset: UInt16), isGrant: Bool, writable: Bool, _ length: UInt32) throws(GrantStatus) -> Side {
    let offset = UInt32(side.offset)
    if isGrant {
      let giver = try granting(side.who)
      let reference = UInt32(truncatingIfNeeded: side.reference)
      let use = try giver.acquireForCopy(reference, for: domain.id, writable: writable, offset, length)
      return Side(address: use.frame.address + UInt64(offset), release: use.release)
    }
    // A frame by its number must be the caller's own.
    guard own(side.who) else { throw hypervisor.domains[DomainID(side.who)] == nil ? .badDomain : .permissionDenied }
    let domain = domain
    let frame: MachineFrameNumber
    do throws(XenError) {
      frame = try domain.machineFrame(side.reference)
      if writable { try domain.getAndType(frame, .writable) } else { try domain.get(frame) }
    } catch {
      throw .badPage
    }
    return Side(address: frame.address + UInt64(offset), release: {
      if writable { domain.putAndType(frame) } else { domain.frames.put(frame) }
    })
  }

  // MARK: Giving a frame away

  /// { frame, domid u16, ref u32, status s16 }: a frame of the caller's becomes one of a domain that expects it.
  private func transferFrame(_ at: UInt64) throws(XenError) {
    let number = try loadWord(at), who = try load(at &+ wordBytes, as: UInt16.self), reference = try load(at &+ wordBytes &+ 4, as: UInt32.self)
    var status = GrantStatus.okay
    do throws(GrantStatus) {
      let frame: MachineFrameNumber
      do throws(XenError) { frame = try domain.machineFrame(number) } catch { throw .badPage }
      // It must be the caller's, and nobody may use it.
      guard frames.isRAM(frame), frames.owner(frame) == domain.id else { throw .badPage }
      let p = frames[frame]
      guard p.pointee.flags & (FrameInfo.allocated | FrameInfo.shared) == FrameInfo.allocated, p.pointee.references == 1, p.pointee.typeCount == 0 else {
        throw .badPage
      }
      guard let taker = hypervisor.domains[DomainID(who)], taker !== domain, taker.state == .running else { throw .badDomain }
      guard taker.frameCount < taker.maximumFrames else { throw .noSpace }
      let place = try taker.expectTransfer(reference, from: domain)
      domain.give(frame, at: GuestFrameNumber(number), to: taker, place)
      taker.completeTransfer(reference, frame)
    } catch {
      status = error
    }
    try store(at &+ wordBytes &+ 8, status.rawValue)
  }

  // MARK: The table itself

  /// By what number the guest knows a frame of its table; all ones for one that it has not placed in its physical address space.
  private func number(_ frame: MachineFrameNumber) -> UInt64 { hvm == nil ? frame.rawValue : hypervisor.physical(of: frame) }

  /// { domid u16, nr_frames u32, status s16, frame_list }: writes the frames of the table, which grows as asked.
  private func setupGrantTable(_ at: UInt64, _ count: UInt64) throws(XenError) {
    if count != 1 { throw .EINVAL }
    var reader = GuestReader(self, at)
    let id = try reader.next(UInt16.self), wanted = try reader.next(UInt32.self)
    _ = try reader.next(Int16.self)
    let list = try reader.word()
    var status = GrantStatus.okay
    if wanted > GrantTable.maximumFrames {
      status = .generalError
    } else if !own(id) {
      status = hypervisor.domains[DomainID(id)] == nil ? .badDomain : .permissionDenied
    } else {
      try domain.growGrantTable(to: Int(wanted))
      for n in 0..<Int(wanted) { try storeWord(list &+ UInt64(n) * wordBytes, number(domain.grants.frames[n])) }
    }
    try store(at &+ 8, status.rawValue)
  }

  /// { nr_frames u32, domid u16, status s16, frame_list u64 }
  private func getStatusFrames(_ at: UInt64, _ count: UInt64) throws(XenError) {
    if count != 1 { throw .EINVAL }
    let wanted = try load(at, as: UInt32.self), id = try load(at &+ 4, as: UInt16.self)
    let list = try load(at &+ 8, as: UInt64.self)
    var status = GrantStatus.okay
    if !own(id) {
      status = hypervisor.domains[DomainID(id)] == nil ? .badDomain : .permissionDenied
    } else if wanted > domain.grants.statusFrames.count {
      status = .generalError
    } else {
      for n in 0..<Int(wanted) { try store(list &+ UInt64(n) * 8, number(domain.grants.statusFrames[n])) }
    }
    try store(at &+ 6, status.rawValue)
  }

  /// { domid u16, nr_frames u32, max_nr_frames u32, status s16 }
  private func querySize(_ at: UInt64, _ count: UInt64) throws(XenError) {
    if count != 1 { throw .EINVAL }
    let id = try load(at, as: UInt16.self)
    var status = GrantStatus.okay
    if own(id) {
      try store(at &+ 4, UInt32(domain.grants.frames.count))
      try store(at &+ 8, UInt32(GrantTable.maximumFrames))
    } else {
      status = hypervisor.domains[DomainID(id)] == nil ? .badDomain : .permissionDenied
    }
    try store(at &+ 12, status.rawValue)
  }

  /// Another layout of the entries: only while nobody uses one, and while the guest has no status frame mapped.
  private func setGrantVersion(_ at: UInt64, _ count: UInt64) throws(XenError) {
    if count != 1 { throw .EINVAL }
    let version = try load(at, as: UInt32.self)
    guard version == 1 || version == 2 else { throw .EINVAL }
    if version != domain.grants.version {
      if !domain.grants.active.isEmpty { throw .EBUSY }
      if domain.grants.statusFrames.contains(where: { frames[$0].pointee.references > 1 || frames[$0].pointee.typeCount > 1 }) { throw .EBUSY }
      if version == 1 {
        for frame in domain.grants.statusFrames {
          domain.removeShared(frame)
          hypervisor.freeShared(frame)
        }
        domain.grants.statusFrames = []
      }
      if version == 2 { try domain.growStatusFrames(for: domain.grants.frames.count) }
      domain.grants.version = version
      // The old layout means nothing in the new one.
      for frame in domain.grants.frames { frames.contents(frame).initializeMemory(as: UInt8.self, repeating: 0, count: 4096) }
    }
    try store(at, version)
  }

  private func getGrantVersion(_ at: UInt64, _ count: UInt64) throws(XenError) {
    if count != 1 { throw .EINVAL }
    if !own(try load(at, as: UInt16.self)) { throw .EPERM }
    try store(at &+ 4, domain.grants.version)
  }

  /// { ref_a u32, ref_b u32, status s16 }
  private func swapGrants(_ at: UInt64) throws(XenError) {
    let a = try load(at, as: UInt32.self), b = try load(at &+ 4, as: UInt32.self)
    var status = GrantStatus.okay
    if a >= domain.grants.entries || b >= domain.grants.entries {
      status = .badReference
    } else if domain.grants.active[a] != nil || domain.grants.active[b] != nil {
      status = .again
    } else if a != b {
      domain.swapGrantEntries(a, b)
    }
    try store(at &+ 8, status.rawValue)
  }
}
