import Platform
import Processor
import X86
import XenABI

/// Entering what a walk of the guest's tables has found into its shadow.
extension ShadowPaging {
  /// The guest's tables allow an access: its shadow comes to say so, too.
  func fill(_ v: VCPU, _ linear: UInt64, _ access: Access, guest: UInt64, _ t: inout PageTranslation) {
    let target = GuestFrameNumber(guest >> 12)
    // What is no memory is never shadowed: every access is told to the domain's devices.
    guard t.physical & GuestPhysicalMap.outside == 0 else { return }
    counters.fills += 1
    hypervisor.note(
      .shadow, domain, v.index, ShadowEvent.filled.rawValue,
      [.init("linear", .number(linear)), .init("gfn", .number(target.rawValue)), .init("access", .text("\(access)"))])
    makeRoom()
    var mayWrite = space.map[Int(target.rawValue)] & GuestPhysicalMap.writable != 0
    if dirtyLog != nil {
      if access == .write {
        dirtied(target)
      } else if !dirtyLog!.isMarked(target) {
        // The first store is to be noticed.
        mayWrite = false
        t.writableNow = false
      }
    }
    let s = v.cpu.s
    let rootID = root(v)
    if s.pointee.cr0 & CR0.PG == 0 {
      fillFlat(rootID, linear & 0xFFFF_FFFF, mayWrite)
    } else if s.pointee.efer & EFER.LMA != 0 {
      fillTable(rootID, 4, GuestFrameNumber((s.pointee.cr3 & PTE.address) >> 12), linear, mayWrite)
    } else if s.pointee.cr4 & CR4.PAE != 0 {
      fillPAE(v, rootID, linear & 0xFFFF_FFFF, mayWrite)
    } else {
      fillTwoLevel(v, rootID, linear & 0xFFFF_FFFF, mayWrite)
    }
  }

  private static let allRights = PTE.present | PTE.writable | PTE.user | PTE.accessed

  /// An entry of the guest's with 8 bytes; what lies outside its memory reads as absent.
  private func guestEntry(_ table: GuestFrameNumber, _ n: Int) -> UInt64 {
    guard let machine = space[table] else { return 0 }
    dirtied(table)
    return hypervisor.frames.entry(machine, n)
  }

  /// A guest frame is written: by the guest, or by the walk, which may have set accessed and dirty bits in a table.
  private func dirtied(_ frame: GuestFrameNumber) {
    if dirtyLog == nil || !dirtyLog!.mark(frame) { return }
    counters.dirtied += 1
    hypervisor.note(.shadow, domain, nil, ShadowEvent.dirtied.rawValue, [.init("gfn", .number(frame.rawValue))])
  }

  // MARK: By mode

  /// 4-level tables from a level down, and those of PAE from the second.
  private func fillTable(_ root: Int32, _ top: Int, _ rootTable: GuestFrameNumber, _ linear: UInt64, _ mayWrite: Bool) {
    var id = root
    var table = rootTable
    var level = top
    while true {
      pages[Int(id)]!.writes = 0
      let n = Int(linear >> UInt64(3 + 9 * level)) & 511
      let e = guestEntry(table, n)
      // The processor that walked saw it so; another one cannot have run since.
      guard e & PTE.present != 0 else { return }
      let next = GuestFrameNumber((e & PTE.address) >> 12)
      if level == 1 {
        leaf(id, n, e, next, mayWrite, part: 0)
        noteInSnapshot(id, n, e)
        return
      }
      if level < 4, e & PTE.large != 0 {
        let bits = UInt64(9 * (level - 1))
        let base = next.rawValue & ~(1 << bits - 1)
        return fillLarge(id, n, level, e, base: GuestFrameNumber(base), linear, mayWrite)
      }
      let kind: Kind = level == 4 ? .l3 : level == 3 ? .l2 : .l1
      let child = page(kind, next.rawValue)
      link(id, n, to: child, flags: PTE.present | PTE.accessed | (e & (PTE.writable | PTE.user | PTE.noExecute)))
      id = child
      table = next
      level -= 1
    }
  }

  private func fillPAE(_ v: VCPU, _ root: Int32, _ linear: UInt64, _ mayWrite: Bool) {
    let s = v.cpu.s
    let n = Int(linear >> 30) & 3
    let pointer = [s.pointee.pae0, s.pointee.pae1, s.pointee.pae2, s.pointee.pae3][n]
    guard pointer & PTE.present != 0 else { return }
    let table = GuestFrameNumber((pointer & PTE.address) >> 12)
    let top = page(.topL3, UInt64(v.index))
    let child = page(.l2, table.rawValue, pinned: true)
    pages[Int(child)]!.isPinned = true
    link(top, n, to: child, flags: Self.allRights)
    fillTable(child, 2, table, linear, mayWrite)
  }

  private func fillTwoLevel(_ v: VCPU, _ root: Int32, _ linear: UInt64, _ mayWrite: Bool) {
    let directory = GuestFrameNumber((v.cpu.s.pointee.cr3 & 0xFFFF_F000) >> 12)
    let quarter = Int(linear >> 30)
    let kind = Kind(rawValue: Kind.l2Quarter0.rawValue + UInt8(quarter))!
    let top = page(.topL3, UInt64(v.index))
    let l2 = page(kind, directory.rawValue, pinned: true)
    link(top, quarter, to: l2, flags: Self.allRights)
    pages[Int(l2)]!.writes = 0
    guard let machine = space[directory] else { return }
    dirtied(directory)
    let e = narrowEntry(machine, Int(linear >> 22))
    guard e & PTE.present != 0 else { return }
    let n = Int(linear >> 21) & 511
    if e & PTE.large != 0, v.cpu.s.pointee.cr4 & CR4.PSE != 0 {
      // With PSE-36 bits 20–13 are bits 39–32 of the address (SDM vol. 3A §5.3).
      let base = (e & 0xFFC0_0000) | ((e & 0x1F_E000) << 19) | (linear & 0x20_0000)
      return fillLarge(l2, n, 2, e, base: GuestFrameNumber(base >> 12), linear, mayWrite)
    }
    let table = GuestFrameNumber(e >> 12)
    let l1 = page(linear & 0x20_0000 == 0 ? .l1Low : .l1High, table.rawValue)
    link(l2, n, to: l1, flags: PTE.present | PTE.accessed | (e & (PTE.writable | PTE.user)))
    pages[Int(l1)]!.writes = 0
    guard let tableFrame = space[table] else { return }
    dirtied(table)
    let p = narrowEntry(tableFrame, Int(linear >> 12) & 1023)
    guard p & PTE.present != 0 else { return }
    leaf(l1, Int(linear >> 12) & 511, p, GuestFrameNumber(p >> 12), mayWrite, part: 0)
    noteInSnapshot(l1, Int(linear >> 12) & 511, p)
  }

  private func narrowEntry(_ machine: MachineFrameNumber, _ n: Int) -> UInt64 {
    UInt64(UInt32(littleEndian: hypervisor.frames.contents(machine).load(fromByteOffset: n * 4, as: UInt32.self)))
  }

  /// Without paging.
  private func fillFlat(_ root: Int32, _ linear: UInt64, _ mayWrite: Bool) {
    let top = child(entry(root, 0))
    let directory = page(.splinterDirectory, (linear >> 30) << 18 | Attributes.gigabyte)
    link(top, Int(linear >> 30), to: directory, flags: Self.allRights)
    fillSplinter(directory, linear, GuestFrameNumber((linear >> 30) << 18), Attributes.gigabyte, mayWrite)
  }

  // MARK: Larger pages

  /// An entry of level 2 or 3 that maps a page: `base` is the guest frame at the beginning of what the shadow entry covers.
  private func fillLarge(_ id: Int32, _ n: Int, _ level: Int, _ e: UInt64, base: GuestFrameNumber, _ linear: UInt64, _ mayWrite: Bool) {
    var attributes = e & PTE.global != 0 ? Attributes.global : 0
    attributes |= (e >> 59 & 15) << Attributes.keyShift
    var flags = PTE.present | PTE.accessed | (e & (PTE.user | PTE.noExecute))
    if e & PTE.writable != 0, e & PTE.dirty != 0 { flags |= PTE.writable }
    if level == 3 {
      attributes |= Attributes.gigabyte
      let directory = page(.splinterDirectory, base.rawValue | attributes)
      link(id, n, to: directory, flags: flags)
      fillSplinter(directory, linear, base, attributes, mayWrite)
    } else {
      let part = page(.splinter, base.rawValue | attributes)
      link(id, n, to: part, flags: flags)
      fillPart(part, linear, base, attributes, mayWrite)
    }
  }

  /// 2 MiB of 1 GiB.
  private func fillSplinter(_ directory: Int32, _ linear: UInt64, _ base: GuestFrameNumber, _ attributes: UInt64, _ mayWrite: Bool) {
    let n = Int(linear >> 21) & 511
    let start = GuestFrameNumber(base.rawValue + UInt64(n) << 9)
    let part = page(.splinter, start.rawValue | attributes)
    link(directory, n, to: part, flags: Self.allRights)
    fillPart(part, linear, start, attributes, mayWrite)
  }

  private func fillPart(_ part: Int32, _ linear: UInt64, _ base: GuestFrameNumber, _ attributes: UInt64, _ mayWrite: Bool) {
    let n = Int(linear >> 12) & 511
    var e = PTE.present | PTE.user | PTE.writable | PTE.dirty
    if attributes & Attributes.global != 0 { e |= PTE.global }
    e |= (attributes >> Attributes.keyShift & 15) << 59
    leaf(part, n, e, GuestFrameNumber(base.rawValue + UInt64(n)), mayWrite,
         part: attributes & Attributes.gigabyte != 0 ? ShadowEntry.partOfGigabyte : ShadowEntry.partOfLarge)
  }

  // MARK: Entries

  /// An entry of the last level.
  private func leaf(_ id: Int32, _ n: Int, _ e: UInt64, _ target: GuestFrameNumber, _ mayWrite: Bool, part: UInt64) {
    guard let machine = space[target] else { return }
    var new = machine.address | PTE.present | PTE.accessed | PTE.dirty | part
    new |= e & (PTE.user | PTE.global | PTE.noExecute | 15 << 59)
    if mayWrite, e & PTE.writable != 0, e & PTE.dirty != 0 { new |= PTE.writable }
    setLeaf(id, n, new)
  }
}
