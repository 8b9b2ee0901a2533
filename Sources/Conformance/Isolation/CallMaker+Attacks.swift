import Hypervisor
import XenABI

/// Several steps that belong together: what somebody would try who knows how a hypervisor like this one can be wrong.
extension CallMaker {
  /// One instruction with arguments that may be anything.
  mutating func instruction() -> [GuestCommand] {
    let actions: [GuestAction] = [
      .setCR0, .setCR2, .setCR3, .setCR4, .readCR0, .readCR2, .readCR3, .readCR4, .clearTS, .setDR0, .setDR1, .setDR6, .setDR7, .readDR7,
      .readMSR, .writeMSR, .setXCR0, .input, .output, .outputString, .inputString, .identify, .identifyForced, .popFlags, .disableInterrupts,
      .enableInterrupts, .loadGDT, .loadIDT, .loadLDT, .loadTR, .storeGDT, .storeLDT, .machineStatus, .setDS, .setES, .setFS, .setGS, .setSS,
      .accessRights, .segmentLimit, .breakpoint, .int80, .int82, .int20, .invalid, .sysenter, .syscall, .sysexit, .sysret, .swapGS, .setGSBase,
      .setFSBase, .invalidate, .halt, .vmcall, .singleStep, .divide,
    ]
    let rare: [GuestAction] = [.farReturn, .nativeReturn, .hypercallReturn, .call]
    var action = oneIn(30) ? random.pick(rare) : random.pick(actions)
    // What is carried out for a paravirtual guest ends another one at once.
    let fatal: Set<GuestAction> = [
      .setCR0, .setCR3, .setCR4, .writeMSR, .setXCR0, .popFlags, .enableInterrupts, .loadGDT, .loadIDT, .loadLDT, .loadTR, .halt, .syscall, .sysret,
      .sysexit, .setSS, .setDR7,
    ]
    if !guest.kind.isParavirtual, fatal.contains(action), !oneIn(12) { action = .identify }
    switch action {
    case .setCR3:
      let root = oneIn(2) ? surroundings.root.rawValue : frame()
      return [GuestCommand(action: action, arguments: [isWide ? root << 12 : (root << 12 | root >> 20) & 0xFFFF_FFFF])]
    case .setCR0, .setCR4: return [GuestCommand(action: action, arguments: [oneIn(2) ? 0x8005_0033 ^ 1 << small(32) : random.next()])]
    case .readMSR, .writeMSR:
      let list: [UInt64] = [0x10, 0x1B, 0x8B, 0x17, 0x1A0, 0x277, 0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0100, 0xC000_0101, 0xC000_0102, 0xC000_0103, 0x40000000]
      return [GuestCommand(action: action, arguments: [oneIn(4) ? bits(32) : random.pick(list), random.next(), oneIn(2) ? 0 : random.next()])]
    case .setDS, .setES, .setFS, .setGS, .setSS, .accessRights, .segmentLimit, .loadLDT, .loadTR:
      return [GuestCommand(action: action, arguments: [selector()])]
    case .farReturn: return [GuestCommand(action: action, arguments: [selector(), oneIn(2) ? guest.drivers[0].code : address()])]
    case .nativeReturn, .hypercallReturn:
      var s = structure()
      for _ in 0..<9 { s.word(oneIn(3) ? selector() : oneIn(2) ? guest.drivers[0].code : address()) }
      return [GuestCommand(action: action, arguments: [place(s)])]
    case .identify, .identifyForced: return [GuestCommand(action: action, arguments: [oneIn(2) ? 0x4000_0000 + small(6) : bits(32), small(4)])]
    default: return [GuestCommand(action: action, arguments: [address(), address(), small(300), random.next()])]
    }
  }

  mutating func selector() -> UInt64 {
    switch random.below(5) {
    case 0: return small(600) << 3 | bits(2)
    case 1: return bits(6) << 3 | 4 | bits(2)
    case 2, 3: return 0xE000 + small(9) << 3 | bits(2)
    default: return bits(16)
    }
  }

  /// A page mapped so that it may become a page table.
  mutating func readOnly(_ pfn: Int) -> GuestCommand { updateMapping(guest.address(pfn), guest.number(pfn) << 12 | 0x25) }
  mutating func writable(_ pfn: Int) -> GuestCommand { updateMapping(guest.address(pfn), guest.number(pfn) << 12 | 0x67) }
  mutating func touch(_ address: UInt64) -> GuestCommand { GuestCommand(action: .load, arguments: [address]) }
  mutating func scribble(_ address: UInt64) -> GuestCommand { GuestCommand(action: .store32, arguments: [address, random.next()]) }

  mutating func attack() -> [GuestCommand] {
    switch random.below(14) {
    case 0..<3: return guest.kind.isParavirtual ? tableAttack() : ownTableAttack()
    case 3, 4: return grantAttack()
    case 5: return fifoAttack()
    case 6, 7: return releaseAttack()
    case 8: return descriptorAttack()
    case 9: return rootAttack()
    case 10: return sharedPageAttack()
    case 11: return wakeAttack()
    case 12: return guest.kind == .pv64 ? exchangeAttack() : guest.kind.isParavirtual ? tableAttack() : ownTableAttack()
    default: return oneIn(12) ? stormAttack() : guest.kind.isParavirtual ? tableAttack() : ownTableAttack()
    }
  }

  /// A page becomes a page table, is written to in all ways, is used, and is a page again.
  private mutating func tableAttack() -> [GuestCommand] {
    let pfn = pagePFN(), mfn = guest.number(pfn), va = guest.address(pfn)
    var list = prepare(va &+ small(500) << 3, entries: random.below(4))
    list.append(readOnly(pfn))
    let level = oneIn(4) ? 1 + random.below(3) : 0
    list.append(extended([([MMUExt.pinL1, .pinL2, .pinL3, .pinL4][level], mfn, 0)]))
    for _ in 0..<1 + random.below(3) {
      let slot = small(24)
      switch random.below(6) {
      case 0: list.append(mmuUpdate([(mfn << 12 | slot << 3 | (oneIn(3) ? 2 : 0), entry()), (mfn << 12 | (slot + 1) << 3, entry())]))
      case 1: list.append(GuestCommand(action: .storeWide, arguments: [va &+ slot << 3, entry(), entry()]))
      case 2: list.append(GuestCommand(action: .storeImage, arguments: [va &+ [0, 0x800, 0xE00, 0xF00][random.below(4)], entry(), entry()]))
      case 3: list.append(GuestCommand(action: .fill, arguments: [va &+ slot << 3, entry(), small(8)]))
      case 4: list.append(GuestCommand(action: .enter, arguments: [va &+ 0x200 &+ slot << 3, entry()]))
      default: list += prepare(va &+ slot << 3, entries: 1)
      }
    }
    if level == 0 {
      // Under the image's L2, where it maps what it may.
      let slot = 16 + small(200)
      let window = guest.base &+ slot << 21
      list.append(mmuUpdate([(surroundings.middle.rawValue << 12 | slot << 3, mfn << 12 | 0x67)]))
      for _ in 0..<3 {
        let at = window &+ small(24) << 12 &+ bits(9) << 3
        list.append(oneIn(2) ? touch(at) : scribble(at))
      }
      if oneIn(2) { list.append(mmuUpdate([(surroundings.middle.rawValue << 12 | slot << 3, 0)])) }
      if oneIn(4) { list.append(touch(window &+ small(24) << 12)) }
    }
    if !oneIn(3) { list.append(extended([(.unpin, mfn, 0)])) }
    list.append(writable(pfn))
    return list
  }

  /// The instruction that writes to a page table is another one when the hypervisor looks at it: the page that it stands on was exchanged,
  /// at an address that is only executed, and the processor goes on with what it has decoded.
  private mutating func exchangeAttack() -> [GuestCommand] {
    let first = pagePFN(), second = pagePFN(), table = pagePFN(), plain = pagePFN(), place = pagePFN()
    let code = guest.address(place), mfn = guest.number(table)
    let slot = surroundings.bottom.rawValue << 12 | (code >> 12 & 511) << 3
    func word(_ instruction: [UInt8]) -> UInt64 {
      // mov rdi, r8; the instruction; ret
      let bytes = [0x4C, 0x89, 0xC7] + instruction + [UInt8](repeating: 0x90, count: 4 - instruction.count) + [0xC3]
      return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    // syscall and movsq most of all.
    let rare: [[UInt8]] = [
      [0x48, 0xAB], [0x48, 0x87, 0x37], [0x48, 0x0F, 0xAE, 0x07], [0x48, 0xCF], [0x57], [0x0F, 0x22, 0xDF], [0xCD, 0x80], [0x0F, 0x01, 0x3F], [0x0F, 0x00, 0x07],
      [0xF4], [0x0F, 0x01, 0x07],
    ]
    let other = oneIn(3) ? random.pick(rare) : oneIn(2) ? [0x0F, 0x05] : [0x48, 0xA5]
    let calls: [Hypercall] = [.updateVAMapping, .updateVAMapping, .mmuUpdate, .mmuextOp, .memoryOp, .grantTableOp, .iret, .setGDT, .setTrapTable]
    var list = [
      GuestCommand(action: .store64, arguments: [guest.address(second), word(other)]),
      GuestCommand(action: .store64, arguments: [guest.address(first), word([0x48, 0x89, 0x37])]),
      GuestCommand(action: .fill, arguments: [guest.address(table), 0, 512]), readOnly(table), extended([(.pinL1, mfn, 0)]),
      mmuUpdate([(slot, guest.number(first) << 12 | 0x25)]), extended([(.invlpgLocal, code, 0)]),
      GuestCommand(action: .call, arguments: [code, 0, 0, 0, guest.address(plain)]),
      mmuUpdate([(slot, guest.number(second) << 12 | 0x25)]),
    ]
    let at = guest.address(table) &+ small(24) << 3
    // The same table once more, mapped by the same entry: what the hypervisor puts there while it looks is there as well.
    let alias = 14 << 21 as UInt64
    if oneIn(2) { list.append(mmuUpdate([(surroundings.middle.rawValue << 12 | (code &+ alias) >> 18 & 0xFF8, surroundings.bottom.rawValue << 12 | 0x67)])) }
    for _ in 0..<1 + random.below(2) {
      let number = UInt64(random.pick(calls).rawValue), value = oneIn(3) ? 0 : oneIn(2) ? at &+ alias : entry()
      list.append(GuestCommand(action: .call, number: number, arguments: [code, value, small(3), UInt64(DomainID.own.rawValue), at]))
    }
    list += [touch(at), touch(at &+ alias), writable(place)]
    if !oneIn(3) { list.append(extended([(.unpin, mfn, 0)])) }
    list.append(writable(table))
    return list
  }

  /// A guest with tables of its own takes rights away in them, makes pages larger, lets tables map tables, and uses what comes of it.
  private mutating func ownTableAttack() -> [GuestCommand] {
    var list: [GuestCommand] = []
    let window = guest.base &+ (1 + small(60)) << 21
    func table(_ n: Int, _ index: UInt64) -> UInt64 { guest.address(ScriptedGuest.Page.tables[n]) &+ index << 3 }
    var places: [UInt64] = []
    for _ in 0..<1 + random.below(3) {
      let rights: UInt64 = [0x67, 0x65, 0x27, 0x25, 0x63, 0x61, 1, 0][random.below(8)] | (oneIn(4) ? PTE.noExecute : 0) | (oneIn(8) ? PTE.global : 0)
      let at: UInt64
      switch random.below(4) {
      case 0..<2:
        at = pageAddress()
        list.append(GuestCommand(action: .store64, arguments: [table(3, (at &- guest.base) >> 12 & 511), (oneIn(3) ? frame() : guest.number(pagePFN())) << 12 | rights]))
      case 2:
        // A page of 2 MiB, or a page of its own as a table.
        at = window
        let target = oneIn(2) ? (oneIn(3) ? small(1 << 12) << 21 : 0) | PTE.large : guest.number(pagePFN()) << 12
        list.append(GuestCommand(action: .store64, arguments: [table(2, (at &- guest.base) >> 21 & 511), target | rights]))
        list += prepare(guest.address(pagePFN()), entries: 2)
      default:
        at = guest.base &+ 1 << 30
        list.append(GuestCommand(action: .store64, arguments: [table(1, (guest.base >> 30 &+ 1) & 511), (oneIn(2) ? PTE.large : guest.number(pagePFN()) << 12) | rights]))
      }
      places.append(at)
      if !oneIn(4) { list.append(GuestCommand(action: .invalidate, arguments: [at])) }
      for _ in 0..<2 { list.append(oneIn(2) ? touch(at &+ bits(9) << 3) : scribble(at &+ bits(9) << 3)) }
    }
    let back = random.pick(places)
    if back < guest.base &+ 1 << 21 {
      list.append(GuestCommand(action: .store64, arguments: [table(3, (back &- guest.base) >> 12 & 511), (back &- guest.base) & ~0xFFF | 0x67]))
      list += [GuestCommand(action: .invalidate, arguments: [back]), scribble(back)]
    }
    return list
  }

  /// Somebody's page is mapped, used, unmapped in one of several ways, and used again.
  private mutating func grantAttack() -> [GuestCommand] {
    let va = pageAddress(), who = UInt64(random.pick(surroundings.victims).rawValue)
    let reference = UInt64(Victims.firstReference) + small(6)
    let flags: UInt64 = oneIn(2) ? 2 : 6
    var list = [mapGrant(at: va, flags: oneIn(8) ? flags | 1 : flags, reference: reference, of: who), touch(va &+ bits(9) << 3), scribble(va &+ bits(9) << 3)]
    if oneIn(4) { list.append(updateMapping(va, oneIn(2) ? 0 : entry())) }
    if oneIn(4) { list += [mapGrant(at: pageAddress(), flags: flags, reference: reference, of: who)] }
    for handle in 0..<1 + small(3) {
      list.append(unmapGrant(at: va, handle: oneIn(2) ? handle : nil, replacing: oneIn(3) ? (oneIn(2) ? va : pageAddress()) : nil))
    }
    list += [touch(va &+ bits(9) << 3), scribble(va &+ bits(9) << 3)]
    if left.count < 8 { left.append(va) } else { left[random.below(8)] = va }
    return list
  }

  private mutating func fifoAttack() -> [GuestCommand] {
    let control = pagePFN(), array = pagePFN()
    var s = structure()
    s.u64(guest.number(control))
    s.u32(bits(9) << 3)
    s.u32(small(4))
    s.u64(0)
    var list = [call(.eventChannelOp, [11, place(s)])]
    var t = structure()
    t.u64(guest.number(array))
    list.append(call(.eventChannelOp, [12, place(t)]))
    for _ in 0..<4 {
      // Words with all bits, links that lead nowhere, heads beyond the last port.
      let page = guest.address(oneIn(2) ? control : array)
      list.append(GuestCommand(action: .store32, arguments: [page &+ small(64) << 2, oneIn(2) ? 0xFFFF_FFFF : random.anyMagnitude() << 28 | bits(28)]))
      list += eventCall()
      var u = structure()
      u.u32(small(12))
      list.append(call(.eventChannelOp, [[4, 9][random.below(2)], place(u)]))
    }
    if oneIn(3) {
      var u = structure()
      u.u16(0x7FF0)
      list.append(call(.eventChannelOp, [10, place(u)]))
    }
    return list
  }

  /// A frame is given back while a translation of it may be left.
  private mutating func releaseAttack() -> [GuestCommand] {
    let pfn = pagePFN(), mfn = guest.number(pfn), va = guest.address(pfn)
    var frames = structure(), reservation = structure()
    frames.word(mfn)
    self.reservation(place(frames), 1, 0, 0x7FF0, into: &reservation)
    let give = call(.memoryOp, [MemoryOp.decreaseReservation, place(reservation)])
    var list = [touch(va), scribble(va)]
    if oneIn(3) { list.append(extended([(.pinL1, mfn, 0)])) }
    if !oneIn(3) { list.append(call(.updateVAMapping, [va] + wide(0) + [0])) }
    list.append(give)
    if oneIn(2) { list.append(give) }
    if oneIn(3) { list.append(call(.updateVAMapping, [va] + wide(0) + [0])) }
    if oneIn(3) { list.append(extended([(.pinL1, mfn, 0)])) }
    list += [touch(va &+ 8), scribble(va &+ 16), touch(va &+ bits(9) << 3)]
    if left.count < 8 { left.append(va) } else { left[random.below(8)] = va }
    return list
  }

  private mutating func descriptorAttack() -> [GuestCommand] {
    let pfn = pagePFN(), mfn = guest.number(pfn), va = guest.address(pfn)
    var list: [GuestCommand] = []
    for k in 1..<2 + UInt64(random.below(5)) {
      let d = descriptor()
      list.append(GuestCommand(action: .store64, arguments: [va &+ k * 8] + (isWide ? [d] : [d & 0xFFFF_FFFF, d >> 32])))
    }
    list.append(readOnly(pfn))
    if oneIn(2) {
      var s = structure()
      s.word(mfn)
      list.append(call(.setGDT, [place(s), 8 + small(504)]))
    } else {
      list.append(extended([(.setLDT, va, 8 + small(500))]))
    }
    for _ in 0..<3 {
      let action: GuestAction = [.setDS, .setES, .setFS, .setGS, .accessRights, .segmentLimit][random.below(6)]
      list.append(GuestCommand(action: action, arguments: [(1 + small(6)) << 3 | (oneIn(2) ? 4 : 0) | bits(2)]))
      list.append(call(.updateDescriptor, wide(mfn << 12 | (1 + small(6)) << 3) + wide(descriptor())))
    }
    if oneIn(6) { list.append(GuestCommand(action: .farReturn, arguments: [(1 + small(6)) << 3 | bits(3), guest.drivers[0].code])) }
    if oneIn(2) { list.append(writable(pfn)) }
    list.append(call(.setGDT, [room(8), 0]))
    list.append(extended([(.setLDT, 0, 0)]))
    if !oneIn(3) { list.append(writable(pfn)) }
    return list
  }

  /// A copy of the root becomes the root, with entries of the guest's choice.
  private mutating func rootAttack() -> [GuestCommand] {
    let pfn = pagePFN(), mfn = guest.number(pfn)
    let top: UInt64 = isWide ? 512 : 4
    var list = [extended([(.copyPage, mfn, surroundings.root.rawValue)]), readOnly(pfn)]
    if oneIn(2) { list.insert(contentsOf: prepare(guest.address(pfn) &+ small(Int(top)) << 3, entries: 1), at: 1) }
    list.append(extended([(isWide ? .pinL4 : .pinL3, mfn, 0)]))
    if oneIn(2) { list.append(mmuUpdate([(mfn << 12 | small(Int(top)) << 3, oneIn(2) ? mfn << 12 | 5 : entry())])) }
    list.append(extended([(.newBasePointer, mfn, 0)]))
    if isWide, oneIn(2) { list.append(extended([(.newUserBasePointer, oneIn(3) ? 0 : mfn, 0)])) }
    list += [touch(pageAddress()), mmuUpdate(), touch(address())]
    list.append(extended([(.newBasePointer, surroundings.root.rawValue, 0)]))
    if isWide, oneIn(2) { list.append(extended([(.newUserBasePointer, 0, 0)])) }
    if !oneIn(3) { list.append(extended([(.unpin, mfn, 0)])) }
    list.append(writable(pfn))
    return list
  }

  /// Rings and bitmaps with indices that no honest guest writes, and the event that makes the other side look.
  private mutating func sharedPageAttack() -> [GuestCommand] {
    guard !surroundings.special.isEmpty else { return [] }
    let va = pageAddress()
    var list = [updateMapping(va, random.pick(surroundings.special).rawValue << 12 | 0x67)]
    let offsets: [UInt64] = [0, 1, 8, 0x400, 0x404, 0x800, 0x804, 0x808, 0x80C, 0xA00, 0xC00, 0xC04, 0xC08, 0xC0C]
    for _ in 0..<4 {
      list.append(GuestCommand(action: .store32, arguments: [va &+ (oneIn(2) ? random.pick(offsets) : bits(10) << 2), oneIn(2) ? random.anyMagnitude() : random.next()]))
      var s = structure()
      s.u32(1 + small(3))
      list.append(call(.eventChannelOp, [4, place(s)]))
    }
    if oneIn(2) { list.append(updateMapping(va, 0)) }
    return list
  }

  private mutating func wakeAttack() -> [GuestCommand] {
    let target = small(ScriptedGuest.processors)
    var list = [call(.vcpuOp, [VCPUOp.initialise, target, firstState(Int(target), damaged: oneIn(3))]), call(.vcpuOp, [VCPUOp.up, target, 0])]
    if oneIn(3) { list.append(vcpuOp()) }
    return list
  }

  /// Exceptions whose handler faults, on a stack that never ends: all of it is one page.
  private mutating func stormAttack() -> [GuestCommand] {
    let first = Self.firstPage + random.below(Self.pages - 4)
    func mfn(_ n: Int) -> UInt64 { guest.number(first + n) << 12 }
    var list = [GuestCommand(action: .fill, arguments: [guest.address(first + 1), mfn(0) | 0x67, isWide ? 512 : 0]), readOnly(first + 1)]
    guard isWide else { return list }
    for n in 2..<4 {
      list.append(GuestCommand(action: .fill, arguments: [guest.address(first + n), mfn(n - 1) | 0x67, 512]))
      list.append(readOnly(first + n))
    }
    list.append(mmuUpdate([(surroundings.root.rawValue << 12 | 64 << 3, mfn(3) | 0x67)]))
    var table = structure()
    for vector in [6, 13, 14] as [UInt64] {
      table.u8(vector)
      table.u8(3)
      table.u16(0xE033)
      table.word(0x1234_5000)
    }
    for _ in 0..<2 { table.word(0) }
    list.append(call(.setTrapTable, [place(table)]))
    // Any instruction that faults with the stack there.
    list.append(GuestCommand(action: .nativeReturn, arguments: [64 << 39 + 63 << 33]))
    return list
  }
}
