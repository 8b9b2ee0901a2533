import Processor
import X86
import XenABI

/// Compares shadow page tables, entry by entry, with the guest's own tables and its physical address space: an entry that leads further, or
/// allows more, is a hole. One that allows less, or is not there, is only looked up again.
///
/// What is defined to be late is compared with what it was: a table that is out of sync with the copy that was made of it. The entries above
/// the guest's own tables, and those of 2-level guests' directories, are followed but not compared with the registers they come from, which
/// take effect when the guest loads them.
extension ShadowPaging {
  func audit() -> [String] {
    var problems: [String] = []
    var references = [Int32](repeating: 0, count: capacity)
    for (n, root) in roots.enumerated() {
      if root >= 0 { references[Int(root)] += 1 }
      let wanted = root < 0 ? emptyRoot.address : frame(root).address
      if n < domain.vcpus.count, domain.vcpus[n].cpu.s.pointee.shadowRoot != wanted { problems.append("v\(n) walks from what is not its shadow root") }
    }
    for n in 0..<512 where hypervisor.frames.entry(emptyRoot, n) != 0 { problems.append("entry \(n) of the empty shadow root is not empty") }
    for id in pages.indices {
      guard let page = pages[id] else { continue }
      let frames = hypervisor.frames
      if page.kind.isOfTable, space[GuestFrameNumber(page.key)] != page.table { problems.append("\(name(page)) is of \(page.table), which is not there any more") }
      for n in 0..<512 {
        let shadow = frames.entry(frame(Int32(id)), n)
        if shadow & PTE.present == 0 { continue }
        let wrong = page.kind.level == 1 ? checkLeaf(page, n, shadow) : checkLink(page, n, shadow, &references)
        if let wrong { problems.append("entry \(n) of \(name(page)) \(wrong)") }
        if problems.count > 8 { return problems }
      }
    }
    for id in pages.indices where pages[id] != nil && pages[id]!.references != references[id] {
      problems.append("\(name(pages[id]!)) has \(pages[id]!.references) references on record; \(references[id]) were found")
    }
    return problems
  }

  private func name(_ page: Page) -> String { "shadow \(page.kind) of gfn \(String(page.key & 0xF_FFFF_FFFF_FFFF, radix: 16))" }

  /// The guest's entry that a shadow entry stands for; nil where there is none to compare with.
  private func guestEntry(_ page: Page, _ n: Int) -> UInt64? {
    func narrow(_ index: Int) -> UInt64 {
      if !page.snapshot.isEmpty { return page.snapshot[index / 2] >> UInt64(index & 1 * 32) & 0xFFFF_FFFF }
      return UInt64(UInt32(littleEndian: hypervisor.frames.contents(page.table).load(fromByteOffset: index * 4, as: UInt32.self)))
    }
    guard page.table != .invalid else { return nil }
    switch page.kind {
    case .l1, .l2, .l3, .l4: return page.snapshot.isEmpty ? hypervisor.frames.entry(page.table, n) : page.snapshot[n]
    case .l1Low: return narrow(n)
    case .l1High: return narrow(n + 512)
    case .l2Quarter0, .l2Quarter1, .l2Quarter2, .l2Quarter3:
      return narrow(Int(page.kind.rawValue - Kind.l2Quarter0.rawValue) * 256 + n / 2)
    case .splinter, .splinterDirectory, .topL4, .topL3: return nil
    }
  }

  /// What a shadow entry allows beyond the guest's.
  private func excess(_ shadow: UInt64, _ guest: UInt64, isLeaf: Bool) -> String? {
    if guest & PTE.present == 0 { return "is there, and the guest's is not" }
    if shadow & PTE.user != 0, guest & PTE.user == 0 { return "is for programs, and the guest's is not" }
    if shadow & PTE.noExecute == 0, guest & PTE.noExecute != 0 { return "can be executed, and the guest's cannot" }
    if shadow & PTE.writable != 0, guest & PTE.writable == 0 { return "can be written, and the guest's cannot" }
    if isLeaf, shadow & PTE.writable != 0, guest & PTE.dirty == 0 { return "can be written, and the guest's is not dirty" }
    return nil
  }

  private func checkLeaf(_ page: Page, _ n: Int, _ shadow: UInt64) -> String? {
    let machine = PTE.frame(shadow)
    let target: GuestFrameNumber
    if let guest = guestEntry(page, n) {
      if let wrong = excess(shadow, guest, isLeaf: true) { return wrong }
      target = GuestFrameNumber((guest & (page.kind.isNarrow ? 0xFFFF_F000 : PTE.address)) >> 12)
    } else {
      target = GuestFrameNumber(page.key & (Attributes.global - 1) + UInt64(n))
    }
    guard let own = space[target] else { return "leads to \(machine), and the guest has nothing there" }
    if own != machine { return "leads to \(machine), and the guest's memory there is \(own)" }
    if shadow & PTE.writable != 0, space.map[Int(target.rawValue)] & GuestPhysicalMap.writable == 0 { return "can be written, and the guest may only read there" }
    if shadow & PTE.writable != 0, dirtyLog?.isMarked(target) == false { return "can be written, and nobody would notice" }
    return nil
  }

  private func checkLink(_ page: Page, _ n: Int, _ shadow: UInt64, _ references: inout [Int32]) -> String? {
    guard let id = ids[PTE.frame(shadow)], let child = pages[Int(id)] else { return "leads to what is no shadow page" }
    references[Int(id)] += 1
    if child.kind.level != page.kind.level - 1 { return "leads to a \(child.kind)" }
    guard let guest = guestEntry(page, n) else { return nil }
    if let wrong = excess(shadow, guest, isLeaf: false) { return wrong }
    let place = guest & (page.kind.isNarrow ? 0xFFFF_F000 : PTE.address)
    if child.kind.isOfTable {
      if child.key != place >> 12 { return "leads to another table than the guest's" }
    } else if guest & PTE.large == 0 {
      return "leads to a part of a larger page, and the guest's does not"
    } else if shadow & PTE.writable != 0, guest & PTE.dirty == 0 {
      return "can be written, and the guest's is not dirty"
    } else if !page.kind.isNarrow, child.key & (Attributes.global - 1) != place >> 12 & ~(1 << UInt64(9 * (page.kind.level - 1)) - 1) {
      return "leads to another page than the guest's"
    }
    return nil
  }
}
