import Platform
import XenABI

/// Changes of single entries of page tables that are in use (xen/include/public/xen.h, "mmu_update").
extension Domain {
  enum UpdateKind { case normal, preserveAccessedDirty }

  /// Writes `value` at machine address `address`: an entry of a page table, with all checks, or eight bytes of ordinary memory.
  func updateEntry(at address: UInt64, _ value: UInt64, _ kind: UpdateKind, _ vcpu: VCPU) throws(XenError) {
    let frame = MachineFrameNumber(address &>> 12)
    let index = Int((address & 0xFFF) &>> 3)
    try get(frame)
    let p = frames[frame]
    do throws(XenError) {
      if p.pointee.typeCount != 0, p.pointee.type.level != 0 {
        let wasPresent = frames.entry(frame, index) & PTE.present != 0
        try modify(frame, index, value, level: p.pointee.type.level, kind)
        if wasPresent, p.pointee.type.level > 1 { for v in vcpus { v.flushForGuest() } }
      } else {
        try getType(frame, .writable)
        frames.setEntry(frame, index, value)
        putType(frame)
      }
    } catch {
      frames.put(frame)
      throw error
    }
    frames.put(frame)
  }

  /// Replaces one entry of a table of a known level.
  /// - Parameter linear: the address that an L1 entry was found by.
  func modify(
    _ table: MachineFrameNumber, _ index: Int, _ value: UInt64, level: Int, _ kind: UpdateKind, linear: UInt64? = nil
  ) throws(XenError) {
    if !guestSlots(table, level).contains(index) { throw level == 2 || level == 4 ? .EPERM : .EINVAL }
    let old = frames.entry(table, index)
    var new = value
    if new & PTE.present != 0 {
      let adjusted = adjust(new, level: level)
      // Bits that concern neither what is mapped nor whether it may be written.
      let harmless = PTE.accessed | PTE.dirty | PTE.user | PTE.available | PTE.noExecute | PTE.global | PTE.guestKernel | 0x7FF0_0000_0000_0000
      if old & (PTE.present | VCPU.grantedEntry) == PTE.present, (old ^ adjusted) & ~harmless == 0, value & ~(harmless | old) == 0 || level == 1 && isPlain(value), value & VCPU.grantedEntry == 0 {
        new = merged(adjusted, old, kind)
        frames.setEntry(table, index, new)
        noteChange(table, index, from: old, to: new, level: level, linear: linear)
        return
      }
      new = try getEntry(new, level: level, of: table, index: index)
    }
    new = merged(new, old, kind)
    frames.setEntry(table, index, new)
    noteChange(table, index, from: old, to: new, level: level, linear: linear)
    putEntry(old, level: level, of: table)
  }

  /// No bit is set that a checked entry could not have.
  private func isPlain(_ value: UInt64) -> Bool { value & (PTE.large | PTE.writeThrough | PTE.cacheDisable) == 0 }

  private func merged(_ new: UInt64, _ old: UInt64, _ kind: UpdateKind) -> UInt64 {
    kind == .preserveAccessedDirty ? new | (old & (PTE.accessed | PTE.dirty)) : new
  }

  // MARK: Finding entries

  /// The L1 entry that maps a linear address with the tables in use, with the table referenced by nothing but the tables themselves.
  func findL1(_ linear: UInt64, root: MachineFrameNumber) -> (table: MachineFrameNumber, index: Int)? {
    var table = root
    var level = 4
    if isCompat {
      if linear >> 32 != 0 { return nil }
      level = 3
    }
    while true {
      let index = Int((linear &>> UInt64(3 + level * 9)) & 0x1FF)
      if level == 1 { return (table, index) }
      if level == 4, (XenLayout.firstSlot...XenLayout.lastSlot).contains(index) { return nil }
      let entry = frames.entry(table, index)
      if entry & PTE.present == 0 || entry & PTE.large != 0 { return nil }
      table = PTE.frame(entry)
      guard frames.isRAM(table) else { return nil }
      level -= 1
    }
  }

  // MARK: Pinning

  func pin(_ frame: MachineFrameNumber, _ type: FrameType) throws(XenError) {
    try getAndType(frame, type)
    let p = frames[frame]
    if p.pointee.flags & FrameInfo.pinned != 0 {
      putAndType(frame)
      throw .EINVAL
    }
    p.pointee.flags |= FrameInfo.pinned
  }

  func unpin(_ frame: MachineFrameNumber) throws(XenError) {
    try get(frame)
    let p = frames[frame]
    if p.pointee.flags & FrameInfo.pinned == 0 {
      frames.put(frame)
      throw .EINVAL
    }
    p.pointee.flags &= ~FrameInfo.pinned
    putAndType(frame)
    frames.put(frame)
  }
}
