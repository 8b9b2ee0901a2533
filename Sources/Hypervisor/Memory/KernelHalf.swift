import XenABI

/// What a 64-bit guest's kernel has mapped for itself, in the upper half of the linear addresses, and whether that has changed.
///
/// A change of roots flushes all translations (xen.h, MMUEXT_NEW_BASEPTR), and guests ask for it otherwise. The kernel's own half is the
/// same under all roots as a rule, so that its translations can stay: nobody can tell, as long as the slots of both roots agree and no
/// entry below them that was present has changed since the last flush (`VCPU.flushForGuest`). Tables that stand below such a slot carry a
/// mark, `FrameInfo.kernelHalf`. What keeps domains apart does not rest on this: that is `Hypervisor.flushStale`, and `VCPU.flush`.
struct KernelHalf {
  /// Value of the flush clock when an entry changed last that translations may have been made of.
  var changedAt: UInt64 = 0
  /// Slot of each L3 that stands in the kernel's half of a top-level table.
  var slots: [MachineFrameNumber: Int] = [:]
  /// False once the guest has mapped its page tables in a way that this does not follow: linear tables, or one L3 at two places.
  var isFollowed = true

  static let firstSlot = XenLayout.lastSlot + 1
}

extension Domain {
  private static let recorded = PTE.accessed | PTE.dirty

  /// Whether the kernel's half is the same under both roots.
  func isKernelHalfShared(_ old: MachineFrameNumber, _ new: MachineFrameNumber) -> Bool {
    if isCompat { return false }
    for n in KernelHalf.firstSlot..<512 where (frames.entry(old, n) ^ frames.entry(new, n)) & ~Self.recorded != 0 { return false }
    return true
  }

  /// Whether an entry of a page table maps a part of the kernel's half.
  func isKernelHalf(_ table: MachineFrameNumber, _ index: Int, level: Int) -> Bool {
    level == 4 ? index >= KernelHalf.firstSlot : frames[table].pointee.flags & FrameInfo.kernelHalf != 0
  }

  /// An entry of a table leads to a checked table of the level below now.
  func noteLink(to child: MachineFrameNumber, _ table: MachineFrameNumber, _ index: Int, level: Int) {
    if isCompat || !isKernelHalf(table, index, level: level) { return }
    if level == 4 {
      if let slot = kernelHalf.slots[child], slot != index { kernelHalf.isFollowed = false }
      kernelHalf.slots[child] = index
    }
    markKernelHalf(child, level: level - 1)
  }

  private func markKernelHalf(_ table: MachineFrameNumber, level: Int) {
    let p = frames[table]
    if p.pointee.flags & FrameInfo.kernelHalf != 0 { return }
    p.pointee.flags |= FrameInfo.kernelHalf
    if level == 1 { return }
    for n in 0..<512 {
      let entry = frames.entry(table, n)
      if entry & PTE.present == 0 { continue }
      let child = PTE.frame(entry)
      if frames[child].pointee.type.level == level - 1 {
        markKernelHalf(child, level: level - 1)
      } else {
        kernelHalf.isFollowed = false
      }
    }
  }

  /// An entry of a table in use was replaced.
  /// - Parameter linear: the address that an L1 entry was found by; its translations are dropped then, and no others are affected.
  func noteChange(
    _ table: MachineFrameNumber, _ index: Int, from old: UInt64, to new: UInt64, level: Int, linear: UInt64? = nil
  ) {
    if isCompat || old & PTE.present == 0 || !isKernelHalf(table, index, level: level) { return }
    // Bits that a walk sets may appear at any time.
    if (old ^ new) & ~Self.recorded == 0, old & ~new & Self.recorded == 0 { return }
    // An L3 may stand in the lower half too; what is known of its places are those in the upper one.
    if let linear, linear &>> 63 != 0, isMappedOnce(linear) {
      for v in vcpus { v.cpu.invalidatePage(linear) }
    } else {
      kernelHalf.changedAt = hypervisor.flushClock
    }
  }

  /// Whether the L1 that maps an address of the kernel's half maps no other one.
  private func isMappedOnce(_ linear: UInt64) -> Bool {
    if !kernelHalf.isFollowed { return false }
    func hasOneUse(_ table: MachineFrameNumber) -> Bool {
      let p = frames[table]
      return p.pointee.typeCount == (p.pointee.flags & FrameInfo.pinned != 0 ? 2 : 1)
    }
    guard let root = hypervisor.running?.kernelRoot else { return false }
    let l3 = PTE.frame(frames.entry(root, Int(linear &>> 39) & 511))
    let l2 = PTE.frame(frames.entry(l3, Int(linear &>> 30) & 511))
    return hasOneUse(l2) && hasOneUse(PTE.frame(frames.entry(l2, Int(linear &>> 21) & 511)))
  }
}
