import Processor
import X86
import XenABI

/// The descriptor tables of paravirtual guests: frames of the guest, checked, mapped where only the processor sees them.
extension Domain {
  /// Makes room for one more processor's tables; the L3, L2 and L1s are the hypervisor's.
  func makePerDomainTables(_ vcpu: Int) throws(XenError) {
    let flags = PTE.present | PTE.writable | PTE.accessed | PTE.dirty
    func table() throws(XenError) -> MachineFrameNumber {
      guard let t = hypervisor.allocateFrame(for: .xen, shared: true) else { throw .ENOMEM }
      perDomainTables.append(t)
      return t
    }
    if perDomainTables.isEmpty {
      let l3 = try table(), l2 = try table()
      frames.setEntry(l3, 0, l2.address | flags)
    }
    // A processor has 32 pages, so an L1 serves 16.
    let l2 = perDomainTables[1]
    if frames.entry(l2, vcpu / 16) == 0 {
      let l1 = try table()
      frames.setEntry(l2, vcpu / 16, l1.address | flags)
    }
    let l1 = PTE.frame(frames.entry(l2, vcpu / 16))
    frames.setEntry(l1, (vcpu % 16) * 32 + XenLayout.guestGDTPages, hypervisor.reservedGDT(self).address | PTE.present | PTE.accessed | PTE.dirty)
  }

  /// Contents of a frame that is to hold segment descriptors: nothing in it gives the guest more than it has.
  func checkDescriptors(_ frame: MachineFrameNumber) throws(XenError) {
    for n in 0..<512 {
      let old = frames.entry(frame, n)
      guard let new = checked(old) else { throw .EINVAL }
      if new != old { frames.setEntry(frame, n, new) }
    }
  }

  /// A descriptor as it may stand in a table, or nil.
  func checked(_ descriptor: UInt64) -> UInt64? {
    var low = UInt32(truncatingIfNeeded: descriptor), high = UInt32(truncatingIfNeeded: descriptor >> 32)
    if high & 0x8000 == 0 { return descriptor }
    let dpl = (high >> 13) & 3
    // Nothing of ring 0: the guest's kernel is in ring 1 or 3.
    let allowed = max(dpl, isCompat ? 1 : 3)
    high = (high & ~0x6000) | allowed << 13
    if high & 0x1000 == 0 {
      // The second half of a call gate, or a call gate; other system descriptors are not for guests.
      if high & 0xF00 == 0 { return descriptor }
      if high & 0xF00 != 0xC00 { return nil }
      let selector = low >> 16
      let limit: UInt32 = isCompat ? 1 : 3
      if selector & ~3 == 0 || selector & 3 < limit && selector < UInt32(XenLayout.reservedSelector) { return nil }
      if high & (isCompat ? 0xE0 : 0xFF) != 0 { return nil }
      // With DPL 0 its use faults, so that the hypervisor sees it.
      high &= ~0x6000
      low = (low & 0xFFFF) | ((selector & ~3) | dpl) << 16
    } else if isCompat, high & 0x20_0000 != 0 {
      return nil
    }
    return UInt64(low) | UInt64(high) << 32
  }

  /// A mapping of a frame went that may have been used as a descriptor table by way of it.
  func dropDescriptorMapping(of frame: MachineFrameNumber) {
    let p = frames[frame]
    if p.pointee.typeCount != 0, p.pointee.type == .segmentDescriptors {
      for v in vcpus { v.forgetLDT() }
    }
  }
}

extension VCPU {
  /// The L1 with this processor's pages, and the index of the first one.
  private var ownPages: (table: MachineFrameNumber, first: Int) {
    (PTE.frame(frames.entry(domain.perDomainTables[1], index / 16)), (index % 16) * 32)
  }

  // MARK: GDT

  /// Installs frames as the GDT.
  func installGDT(_ new: [MachineFrameNumber]) throws(XenError) {
    if new.count > XenLayout.guestGDTPages { throw .EINVAL }
    for (n, frame) in new.enumerated() {
      do throws(XenError) {
        try domain.getAndType(frame, .segmentDescriptors)
      } catch {
        for k in 0..<n { domain.putAndType(new[k]) }
        throw .EINVAL
      }
    }
    forgetGDT()
    gdtFrames = new
    let (table, first) = ownPages
    for (n, frame) in new.enumerated() {
      frames.setEntry(table, first + n, frame.address | PTE.present | PTE.writable | PTE.accessed | PTE.dirty)
    }
    flush()
  }

  func forgetGDT() {
    let (table, first) = ownPages
    for (n, frame) in gdtFrames.enumerated() {
      frames.setEntry(table, first + n, 0)
      domain.putAndType(frame)
    }
    gdtFrames = []
    flush()
  }

  /// set_gdt: frames as an array of unsigned long, and the number of descriptors.
  func setGDT(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    let entries = a[1]
    if entries > UInt64(XenLayout.guestGDTEntries) { throw .EINVAL }
    var new: [MachineFrameNumber] = []
    for n in 0..<(entries + 511) / 512 { new.append(MachineFrameNumber(try loadWord(a[0] &+ n * wordBytes))) }
    try installGDT(new)
    return .zero
  }

  // MARK: LDT

  /// The LDT's pages are mapped when the processor first looks at them.
  func setLDT(base: UInt64, entries: UInt64) throws(XenError) {
    if entries > 8192 || base & 0xFFF != 0 || (entries != 0 && !XenLayout.isGuest(base)) { throw .EINVAL }
    if base == ldtBase, Int(entries) == ldtEntries { return }
    forgetLDT()
    ldtBase = base
    ldtEntries = Int(entries)
    loadLDTR()
  }

  private func loadLDTR() {
    let s = cpu.s
    s.pointee.ldtr.usable = ldtEntries != 0
    s.pointee.ldtr.base = XenLayout.ldt(index)
    s.pointee.ldtr.limit = ldtEntries == 0 ? 0 : UInt32(ldtEntries * 8 - 1)
    s.pointee.ldtr.selector = ldtEntries == 0 ? 0 : XenLayout.reservedSelector + 0x50
    s.pointee.ldtr.attributes = 0x82
  }

  /// Frames of the LDT that the processor sees.
  var mappedLDTFrames: [MachineFrameNumber] {
    let (table, first) = ownPages
    return (first + 16..<first + 32).map { frames.entry(table, $0) }.filter { $0 & PTE.present != 0 }.map { PTE.frame($0) }
  }

  /// Takes all pages of the LDT out of the processor's sight.
  func forgetLDT() {
    let (table, first) = ownPages
    var any = false
    for n in first + 16..<first + 32 {
      let entry = frames.entry(table, n)
      if entry & PTE.present == 0 { continue }
      frames.setEntry(table, n, 0)
      domain.putAndType(PTE.frame(entry))
      any = true
    }
    if any { flush() }
  }

  /// A fault of the processor's in the area of its descriptor tables: maps a page of the LDT. False if it is not that.
  func mapDescriptors(_ address: UInt64) -> Bool {
    let offset = address &- XenLayout.ldt(index)
    if offset >= UInt64(ldtEntries * 8) { return false }
    let linear = ldtBase &+ (offset & ~0xFFF)
    // The LDT lies in the kernel's address space.
    guard let (l1, n) = domain.findL1(domain.isCompat ? linear & 0xFFFF_FFFF : linear, root: kernelRoot) else { return false }
    let entry = frames.entry(l1, n)
    if entry & PTE.present == 0 { return false }
    let frame = PTE.frame(entry)
    do throws(XenError) { try domain.getAndType(frame, .segmentDescriptors) } catch { return false }
    let (table, first) = ownPages
    frames.setEntry(table, first + 16 + Int(offset >> 12), frame.address | PTE.present | PTE.writable | PTE.accessed | PTE.dirty)
    return true
  }

  // MARK: Single descriptors

  /// update_descriptor: machine address and descriptor; in 32-bit guests both take two arguments.
  func updateDescriptor(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    let address = domain.isCompat ? a[0] | a[1] << 32 : a[0]
    let descriptor = domain.isCompat ? a[2] | a[3] << 32 : a[1]
    guard address & 7 == 0, let new = domain.checked(descriptor) else { throw .EINVAL }
    let frame = MachineFrameNumber(address >> 12)
    try domain.get(frame)
    let p = frames[frame]
    let type: FrameType = p.pointee.typeCount != 0 && p.pointee.type == .segmentDescriptors ? .segmentDescriptors : .writable
    do throws(XenError) {
      try domain.getType(frame, type)
    } catch {
      frames.put(frame)
      throw .EINVAL
    }
    frames.setEntry(frame, Int(address & 0xFFF) / 8, new)
    domain.putAndType(frame)
    return .zero
  }
}
