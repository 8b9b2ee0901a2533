import XenABI

/// The end of a domain: everything it had goes back, but what others still use of it.
extension Domain {
  func tearDown() {
    state = .dead
    for port in events.bound { close(port) }
    for handle in grants.mappings.indices {
      guard let mapping = grants.mappings[handle] else { continue }
      grants.mappings[handle] = nil
      for _ in 0..<(mapping.hasHost ? 1 : 0) + (mapping.hasDevice ? 1 : 0) {
        mapping.giver.releaseGrant(mapping.reference, writable: !mapping.isReadOnly)
      }
    }
    stopFIFO()
    for frame in serviceFrames { putAndType(frame) }
    serviceFrames = []
    for v in vcpus {
      v.processor.requestStop()
      v.leaveMemory()
    }
    let all = ownedFrames.union(releasedFrames).sorted().map { MachineFrameNumber($0) }
    for frame in all where frames.owner(frame) == id && frames[frame].pointee.flags & FrameInfo.pinned != 0 {
      frames[frame].pointee.flags &= ~FrameInfo.pinned
      putAndType(frame)
    }
    hvm?.shadow?.tearDown()
    var granted: [UInt64: (uses: UInt32, writers: UInt32)] = [:]
    for use in grants.active.values {
      granted[use.frame.rawValue, default: (0, 0)].uses += UInt32(use.readers + use.writers)
      granted[use.frame.rawValue]!.writers += UInt32(use.writers)
    }
    for frame in all where frames.owner(frame) == id && frames[frame].pointee.flags & FrameInfo.shared == 0 {
      hypervisor.setPhysical(of: frame, to: ~0)
      // What the domain's own page tables referred to nobody refers to now; only grants that others use are left.
      let (others, writers) = granted[frame.rawValue] ?? (0, 0)
      let p = frames[frame]
      p.pointee.type = writers == 0 ? .none : .writable
      p.pointee.typeCount = writers
      if p.pointee.flags & FrameInfo.allocated != 0 {
        if p.pointee.references > others + 1 { p.pointee.references = others + 1 }
        _ = frames.release(frame)
      } else if p.pointee.references > others {
        p.pointee.references = others + 1
        frames.put(frame)
      }
    }
    ownedFrames = []
    releasedFrames = []
    frames.discard(all)
    for frame in grants.frames + grants.statusFrames + perDomainTables + [sharedInfo] {
      let (uses, writers) = granted[frame.rawValue] ?? (0, 0)
      hypervisor.freeShared(frame, uses: uses, writers: writers)
    }
    grants.frames = []
    grants.statusFrames = []
    perDomainTables = []
    vcpus = []
  }
}

extension VCPU {
  /// Gives back what the processor itself holds of the domain's memory.
  func leaveMemory() {
    state = .offline
    if hasOwnInfo {
      domain.putAndType(infoFrame)
      hasOwnInfo = false
    }
    if hvm == nil {
      forgetLDT()
      forgetGDT()
    }
    if let userRoot { domain.putAndType(userRoot) }
    if kernelRoot != .invalid { domain.putAndType(kernelRoot) }
    userRoot = nil
    kernelRoot = .invalid
    // The core has nothing to walk any more; its translations go.
    flush()
  }
}
