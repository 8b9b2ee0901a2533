import Hypervisor
import X86
import XenABI

/// Calls and accesses that concern memory and page tables.
extension CallMaker {
  /// Machine address of an entry of a page table.
  mutating func entryAddress() -> UInt64 {
    let s = surroundings
    let table = oneIn(3) || s.tables.isEmpty ? frame() : random.pick(s.tables).rawValue
    return table << 12 | (oneIn(4) ? small(512) : small(24)) << 3
  }

  mutating func memoryCall() -> [GuestCommand] {
    switch guest.kind.isParavirtual || oneIn(3) ? random.below(12) : 11 {
    case 0..<3: return [mmuUpdate()]
    case 3..<6: return [updateMapping(pageAddress(), entry())]
    case 6..<9: return [extended()]
    case 9: return [call(.updateVAMappingOtherdomain, [address()] + wide(entry()) + [flush(), domain()])]
    default: return [memoryOp()]
    }
  }

  mutating func flush() -> UInt64 {
    switch random.below(5) {
    case 0: return 0
    case 1: return UVMF.tlbFlush | UVMF.all
    case 2: return UVMF.invlpg
    case 3: return place(structureOf(bits(16))) & ~7 | 1 + small(2)
    default: return bits(8)
    }
  }

  private func structureOf(_ word: UInt64) -> Structure {
    var s = structure()
    s.u64(word)
    return s
  }

  mutating func updateMapping(_ address: UInt64, _ entry: UInt64) -> GuestCommand {
    if !guest.kind.isParavirtual {
      // Its last-level table is memory.
      let table = guest.address(ScriptedGuest.Page.tables[3])
      return GuestCommand(action: .store64, arguments: [table &+ (address &- guest.base) >> 12 & 511 << 3, entry])
    }
    return call(.updateVAMapping, [oneIn(16) ? weirdAddress() : address] + wide(entry) + [flush()])
  }

  mutating func mmuUpdate(_ updates: [(UInt64, UInt64)]? = nil) -> GuestCommand {
    if !guest.kind.isParavirtual {
      let (address, value) = updates?.first ?? (entryAddress(), entry())
      return GuestCommand(action: .store64, arguments: [guest.base &+ address & ~7, value])
    }
    var s = structure()
    let n = updates?.count ?? 1 + random.below(4)
    for k in 0..<n {
      s.u64(updates?[k].0 ?? (entryAddress() | (oneIn(5) ? bits(3) : oneIn(4) ? 2 : 0)))
      s.u64(updates?[k].1 ?? entry())
    }
    let total = updates == nil && oneIn(16) ? random.anyMagnitude() : UInt64(n)
    let who = updates == nil && oneIn(4) ? domain() | (oneIn(3) ? (domain() + 1) << 16 : 0) : UInt64(DomainID.own.rawValue)
    return call(.mmuUpdate, [place(s), total, oneIn(3) ? room(8) : 0, who])
  }

  mutating func extended(_ operations: [(MMUExt, UInt64, UInt64)]? = nil) -> GuestCommand {
    var s = structure()
    let n = operations?.count ?? 1 + random.below(3)
    for k in 0..<n {
      if let o = operations?[k] {
        s.u32(UInt64(o.0.rawValue))
        s.word(o.1)
        s.word(o.2)
        continue
      }
      var op = small(24)
      // A new root that is none ends the domain's pursuits.
      if op == 5, !oneIn(4) { op = 4 }
      s.u32(oneIn(30) ? bits(32) : op)
      switch op {
      case 13:
        s.word(pageAddress())
        s.word(oneIn(4) ? random.anyMagnitude() : small(8193))
      case 7, 9, 11:
        s.word(address())
        s.word(room(8))
      case 8:
        s.word(0)
        s.word(room(8))
      default:
        s.word(frame())
        s.word(frame())
      }
    }
    let total = operations == nil && oneIn(16) ? random.anyMagnitude() : UInt64(n)
    return call(.mmuextOp, [place(s), total, oneIn(3) ? room(8) : 0, operations == nil && oneIn(5) ? domain() : UInt64(DomainID.own.rawValue)])
  }

  mutating func reservation(_ list: UInt64, _ n: UInt64, _ order: UInt64, _ who: UInt64, into s: inout Structure) {
    s.word(list)
    s.word(n)
    s.u32(order)
    s.u32(oneIn(10) ? bits(32) : 0)
    s.u16(who)
    s.align(wordBytes)
  }

  mutating func extents(_ n: Int, pseudo: Bool) -> UInt64 {
    var s = structure()
    for _ in 0..<n { s.word(pseudo ? UInt64(pagePFN()) : frame()) }
    return place(s)
  }

  mutating func memoryOp() -> GuestCommand {
    var s = structure()
    let me = oneIn(6) ? domain() : UInt64(DomainID.own.rawValue)
    let n = 1 + random.below(4)
    let total = oneIn(14) ? random.anyMagnitude() : UInt64(n)
    let order = oneIn(6) ? small(12) : 0
    var op: UInt64
    switch random.below(12) {
    case 0..<3:
      op = [0, 1, 6][random.below(3)]
      reservation(extents(n, pseudo: op == 6), total, order, me, into: &s)
    case 3, 4:
      op = MemoryOp.exchange
      reservation(extents(n, pseudo: false), total, order, me, into: &s)
      reservation(extents(n, pseudo: true), total, oneIn(3) ? small(11) : order, me, into: &s)
      s.word(oneIn(4) ? random.anyMagnitude() : 0)
    case 5:
      op = MemoryOp.addToPhysmap
      s.u16(me)
      s.u16(count())
      s.u32(small(8))
      s.word(oneIn(2) ? small(4) : frame())
      s.word(UInt64(pagePFN()))
    case 6:
      op = MemoryOp.removeFromPhysmap
      s.u16(me)
      s.word(oneIn(3) ? frame() : UInt64(pagePFN()))
    case 7:
      op = MemoryOp.addToPhysmapBatch
      let list = extents(n, pseudo: false), numbers = extents(n, pseudo: true), errors = room(16)
      s.u16(me)
      s.u16(small(8))
      s.u16(total)
      s.u16(domain())
      for handle in [list, numbers, errors] { s.word(handle) }
    case 8:
      op = [3, 4, 14][random.below(3)]
      s.u16(me)
    case 9:
      op = [9, 10, 13][random.below(3)]
      s.u32(count())
      s.word(room(64))
    default:
      op = small(30)
      for _ in 0..<6 { s.word(oneIn(2) ? frame() : address()) }
    }
    if oneIn(10) { op |= random.anyMagnitude() << 6 }
    return call(.memoryOp, [op, place(s)])
  }

  // MARK: Accesses by instructions

  mutating func memoryAccess() -> [GuestCommand] {
    // Where something was once, others' memory may be by now.
    if !left.isEmpty, oneIn(3) {
      let at = random.pick(left) &+ bits(9) << 3
      return [oneIn(2) ? touch(at) : scribble(at)]
    }
    let at = oneIn(5) ? weirdAddress() : pageAddress() &+ (oneIn(3) ? bits(12) : small(24) << 3)
    switch random.below(16) {
    case 0..<3: return [GuestCommand(action: .load, arguments: [at])]
    case 3..<6: return [GuestCommand(action: .store64, arguments: [at] + (isWide ? [entry()] : [entry() & 0xFFFF_FFFF, entry() >> 32]))]
    case 6: return [GuestCommand(action: [.store32, .store16, .store8][random.below(3)], arguments: [at, random.next()])]
    case 7: return [GuestCommand(action: .exchange, arguments: [at, entry()])]
    case 8: return [GuestCommand(action: .compareExchange, arguments: [at, entry()])]
    case 9: return [GuestCommand(action: .storeWide, arguments: [at, entry(), entry()])]
    case 10: return [GuestCommand(action: .storeWide2, arguments: [at & ~15, entry(), entry()])]
    // An image that reaches into the next page, whose entry it may itself write.
    case 11: return [GuestCommand(action: .storeImage, arguments: [at & ~0xFFF | [0, 0xE00, 0xF00, 0xE80, 0xF80][random.below(5)], entry(), entry()])]
    case 12: return [GuestCommand(action: .enter, arguments: [(at & ~0xFFF) &+ bits(9), entry()])]
    case 13: return [GuestCommand(action: .push, arguments: [(at & ~0xFFF) &+ bits(6) << 3, entry(), entry()])]
    case 14: return [GuestCommand(action: .fill, arguments: [at, entry(), small(600)])]
    default: return [GuestCommand(action: .copy, arguments: [at, address(), small(4096)])]
    }
  }

  /// Entries of page tables or other shared words, written as the guest's own memory, before somebody looks at them.
  mutating func prepare(_ address: UInt64, entries n: Int) -> [GuestCommand] {
    (0..<n).map { k in
      let e = entry()
      return GuestCommand(action: .store64, arguments: [address &+ UInt64(k * 8)] + (isWide ? [e] : [e & 0xFFFF_FFFF, e >> 32]))
    }
  }
}
