import Platform
import XenABI

/// Types of frames and the checks that give a frame a type: the rules under which a paravirtual guest keeps page tables of its own.
///
/// A frame is used as one thing at a time. A page table's entries hold references on what they name, of a type that fits the level, so a
/// page table is never writable and nothing of another domain is ever mapped (xen/include/public/xen.h, "MMU updates").
///
/// Not modelled: superpages of paravirtual guests, which Xen has off by default, I/O memory, and shared (copy on write) frames.
extension Domain {
  // MARK: References

  /// A reference on a frame of this domain's.
  func get(_ frame: MachineFrameNumber) throws(XenError) {
    if !frames.get(frame, owner: id) { throw .EINVAL }
  }

  /// A reference and a use as `type`; contents are checked where the type asks for it.
  func getAndType(_ frame: MachineFrameNumber, _ type: FrameType) throws(XenError) {
    try get(frame)
    do throws(XenError) {
      try getType(frame, type)
    } catch {
      frames.put(frame)
      throw error
    }
  }

  func putAndType(_ frame: MachineFrameNumber) {
    putType(frame)
    frames.put(frame)
  }

  /// One more use as `type` of a frame that is referenced.
  func getType(_ frame: MachineFrameNumber, _ type: FrameType) throws(XenError) {
    let p = frames[frame]
    if p.pointee.typeCount != 0 {
      if p.pointee.type != type { throw .EINVAL }
      // A table that is being checked cannot be used in its own check, but for linear tables.
      if p.pointee.flags & FrameInfo.validating != 0 { throw .EINVAL }
      if p.pointee.typeCount == .max { throw .EBUSY }
      p.pointee.typeCount += 1
      return
    }
    p.pointee.type = type
    p.pointee.typeCount = 1
    guard type.isValidated else { return }
    // A processor may still hold a translation that writes to it.
    let places = hypervisor.codeCache.dropWriters(frame.rawValue)
    p.pointee.flags |= FrameInfo.validating
    hypervisor.running?.charge(UInt64(VCPU.batch + places))
    do throws(XenError) {
      try validate(frame, type)
    } catch {
      p.pointee.flags &= ~FrameInfo.validating
      p.pointee.typeCount = 0
      p.pointee.type = .none
      throw error
    }
    p.pointee.flags &= ~FrameInfo.validating
    hypervisor.note(.frame, self, nil, "is \(type)", [.init("mfn", .number(frame.rawValue))])
  }

  /// One use less; the last one gives back what the contents refer to.
  func putType(_ frame: MachineFrameNumber) {
    let p = frames[frame]
    p.pointee.typeCount -= 1
    if p.pointee.typeCount != 0 { return }
    // What the tables of a domain that has ended refer to goes all at once (`tearDown`).
    if p.pointee.type.isValidated, state != .dead {
      hypervisor.running?.charge(UInt64(VCPU.batch))
      p.pointee.typeCount = 1
      devalidate(frame, p.pointee.type)
      p.pointee.typeCount = 0
      hypervisor.note(.frame, self, nil, "is no table any more", [.init("mfn", .number(frame.rawValue))])
    }
    p.pointee.type = .none
    if p.pointee.flags & FrameInfo.kernelHalf != 0 {
      p.pointee.flags &= ~FrameInfo.kernelHalf
      kernelHalf.slots[frame] = nil
    }
  }

  // MARK: Checking contents

  private func validate(_ frame: MachineFrameNumber, _ type: FrameType) throws(XenError) {
    if type == .segmentDescriptors { return try checkDescriptors(frame) }
    let level = type.level
    // The top-level table of a 32-bit guest has four entries; the rest of the page is not looked at, and must not be used either.
    if isCompat, level == 3 {
      for n in 4..<512 { frames.setEntry(frame, n, 0) }
    }
    if isCompat, level == 4 { throw .EINVAL }
    var checked: UInt64 = 0
    defer { hypervisor.running?.charge(checked * VCPU.checkCost) }
    for n in guestSlots(frame, level) {
      let entry = frames.entry(frame, n)
      if entry & PTE.present == 0 {
        // Entries that are not present are the guest's business, but for an L3 of a 32-bit guest and top-level ones.
        continue
      }
      checked += 1
      do throws(XenError) {
        let adjusted = try getEntry(entry, level: level, of: frame, index: n)
        if adjusted != entry { frames.setEntry(frame, n, adjusted) }
      } catch {
        for k in guestSlots(frame, level) {
          if k >= n { break }
          putEntry(frames.entry(frame, k), level: level, of: frame)
        }
        throw error
      }
    }
    if level == 4 { hypervisor.installOwnSlots(frame, of: self) }
  }

  private func devalidate(_ frame: MachineFrameNumber, _ type: FrameType) {
    let level = type.level
    if level == 0 { return }
    var checked: UInt64 = 0
    for n in guestSlots(frame, level) {
      let entry = frames.entry(frame, n)
      if entry & PTE.present == 0 { continue }
      checked += 1
      putEntry(entry, level: level, of: frame)
    }
    hypervisor.running?.charge(checked * VCPU.checkCost)
    if level == 4 { hypervisor.removeOwnSlots(frame) }
    if level == 2, topL2s.remove(frame.rawValue) != nil {
      for n in XenLayout.compatFirstL2Slot..<512 { frames.setEntry(frame, n, 0) }
    }
  }

  /// Indices of the entries that are the guest's to write.
  func guestSlots(_ frame: MachineFrameNumber, _ level: Int) -> GuestSlots {
    if level == 4 { return GuestSlots(hole: XenLayout.firstSlot...XenLayout.lastSlot, end: 512) }
    if isCompat, level == 3 { return GuestSlots(hole: nil, end: 4) }
    // The tables under the last gigabyte of a 32-bit guest hold Xen's own entries at their end.
    if isCompat, level == 2, topL2s.contains(frame.rawValue) { return GuestSlots(hole: nil, end: XenLayout.compatFirstL2Slot) }
    return GuestSlots(hole: nil, end: 512)
  }

  /// Takes the references that an entry needs and returns the entry as it is to be stored.
  func getEntry(_ entry: UInt64, level: Int, of table: MachineFrameNumber, index: Int) throws(XenError) -> UInt64 {
    if entry & disallowedBits(level) != 0 { throw .EINVAL }
    let frame = PTE.frame(entry)
    if level == 1 {
      try getMapped(frame, writable: entry & PTE.writable != 0)
      return adjust(entry, level: 1)
    }
    do throws(XenError) {
      if isCompat, level == 3, index == 3 {
        try getTopL2(frame)
      } else {
        try getAndType(frame, .table(level: level - 1))
      }
    } catch {
      if error == .EINVAL, getLinear(entry, level: level, of: table) {
        if isKernelHalf(table, index, level: level) { kernelHalf.isFollowed = false }
        return adjust(entry, level: level)
      }
      throw error
    }
    noteLink(to: frame, table, index, level: level)
    return adjust(entry, level: level)
  }

  /// The L2 of a 32-bit guest's last gigabyte: its end is the hypervisor's, so it can be used as nothing else.
  private func getTopL2(_ frame: MachineFrameNumber) throws(XenError) {
    guard frames.isRAM(frame) else { throw .EINVAL }
    let isNew = frames[frame].pointee.typeCount == 0
    if !isNew, !topL2s.contains(frame.rawValue) { throw .EINVAL }
    topL2s.insert(frame.rawValue)
    do throws(XenError) {
      try getAndType(frame, .l2)
    } catch {
      if isNew { topL2s.remove(frame.rawValue) }
      throw error
    }
    if isNew { hypervisor.installCompatSlots(frame) }
  }

  /// Gives the references of a stored entry back.
  func putEntry(_ entry: UInt64, level: Int, of table: MachineFrameNumber) {
    if entry & PTE.present == 0 { return }
    let frame = PTE.frame(entry)
    if level == 1 {
      // What a grant mapped holds its references itself: overwritten instead of unmapped, it stays mapped for the granting domain.
      if entry & VCPU.grantedEntry == 0 { putMapped(frame, writable: entry & PTE.writable != 0) }
      return
    }
    if frames[frame].pointee.type.level == level {
      putLinear(frame, of: table)
    } else {
      putAndType(frame)
    }
  }

  /// What an entry of an L1 maps: the domain's own frames. Frames of others are mapped by grants only.
  private func getMapped(_ frame: MachineFrameNumber, writable: Bool) throws(XenError) {
    if writable {
      try getAndType(frame, .writable)
    } else {
      try get(frame)
    }
  }

  private func putMapped(_ frame: MachineFrameNumber, writable: Bool) {
    if writable {
      putAndType(frame)
    } else {
      dropDescriptorMapping(of: frame)
      frames.put(frame)
    }
  }

  /// A table of the same level: a linear page table, which must not be writable.
  private func getLinear(_ entry: UInt64, level: Int, of table: MachineFrameNumber) -> Bool {
    if entry & PTE.writable != 0 { return false }
    let frame = PTE.frame(entry)
    guard frames.isRAM(frame), !(isCompat && level == 3) else { return false }
    let p = frames[frame]
    if frame == table {
      p.pointee.linearUses += 1
      return true
    }
    // Only tables that were checked, and no chains of linear tables.
    guard p.pointee.type.level == level, p.pointee.typeCount != 0, p.pointee.flags & FrameInfo.validating == 0,
          p.pointee.linearUses >= 0, frames[table].pointee.linearUses <= 0 else { return false }
    guard frames.get(frame, owner: id) else { return false }
    p.pointee.typeCount += 1
    p.pointee.linearUses += 1
    frames[table].pointee.linearUses -= 1
    return true
  }

  private func putLinear(_ frame: MachineFrameNumber, of table: MachineFrameNumber) {
    let p = frames[frame]
    p.pointee.linearUses -= 1
    if frame == table { return }
    frames[table].pointee.linearUses += 1
    putAndType(frame)
  }

  /// Bits that must be clear in an entry that is present.
  private func disallowedBits(_ level: Int) -> UInt64 {
    let always: UInt64 = PTE.large | PTE.writeThrough | PTE.cacheDisable | 0x000F_0000_0000_0000 & ~((1 &<< hypervisor.physicalAddressBits) &- 1)
    switch level {
    case 1: return always | VCPU.grantedEntry
    case 3 where isCompat: return always | PTE.global | 0x7FF0_0000_0000_0000 | PTE.noExecute
    default: return always | PTE.global
    }
  }

  /// The kernel of a 64-bit guest runs in ring 3, so that all its pages are user pages; what it meant stays in a bit of its own.
  func adjust(_ entry: UInt64, level: Int) -> UInt64 {
    if entry & PTE.present == 0 { return entry }
    if isCompat { return level == 3 ? entry | PTE.writable | PTE.user | PTE.accessed : entry }
    if level > 1 { return entry | PTE.user }
    if entry & PTE.user == 0 { return entry | PTE.guestKernel | PTE.user }
    return entry & PTE.guestKernel == 0 ? entry | PTE.global : entry
  }
}

/// Indices of a page table with a hole in the middle.
struct GuestSlots: Sequence, IteratorProtocol {
  private let hole: ClosedRange<Int>?
  private let end: Int
  private var n = 0

  init(hole: ClosedRange<Int>?, end: Int) {
    self.hole = hole
    self.end = end
  }

  func contains(_ index: Int) -> Bool { index >= 0 && index < end && !(hole?.contains(index) ?? false) }

  mutating func next() -> Int? {
    if let hole, n == hole.lowerBound { n = hole.upperBound + 1 }
    if n >= end { return nil }
    n += 1
    return n - 1
  }
}
