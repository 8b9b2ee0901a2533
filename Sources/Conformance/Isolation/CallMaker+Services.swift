import Hypervisor
import XenABI

/// Calls that concern grants, event channels, and processors.
extension CallMaker {
  // MARK: Grants

  mutating func grantCall() -> [GuestCommand] {
    switch random.below(12) {
    case 0..<4: return [mapGrant(at: pageAddress(), flags: grantFlags())]
    case 4..<6: return [unmapGrant(at: pageAddress())]
    case 6..<9: return [copyGrant()]
    case 9:
      return prepareGrants() + [grantOp(GrantTableOp.setupTable.rawValue) { m, s in
        let frames = m.oneIn(5) ? m.random.anyMagnitude() : 1 + m.small(6)
        s.u16(m.domain())
        s.u32(frames)
        s.u16(0)
        s.word(m.room(128))
      }]
    default: return [otherGrantOp()]
    }
  }

  mutating func grantFlags() -> UInt64 { oneIn(6) ? bits(32) : [2, 6, 1, 3, 7, 10, 14, 18, 22][random.below(9)] }

  private mutating func grantOp(_ op: UInt64, _ body: (inout CallMaker, inout Structure) -> Void) -> GuestCommand {
    var s = structure()
    let n = oneIn(8) ? 2 + random.below(3) : 1
    for _ in 0..<n {
      s.align(8)
      body(&self, &s)
    }
    return call(.grantTableOp, [op, place(s), oneIn(24) ? random.anyMagnitude() : UInt64(n)])
  }

  mutating func mapGrant(at address: UInt64, flags: UInt64, reference: UInt64? = nil, of giver: UInt64? = nil) -> GuestCommand {
    let byEntry = flags & 16 != 0
    // A guest with page tables of its own names the place by its physical address.
    let spot = guest.kind.isParavirtual ? address : address &- guest.base
    let target = byEntry ? entryAddress() : oneIn(12) ? weirdAddress() : spot
    let r = reference ?? self.reference()
    let who = giver ?? (oneIn(3) ? domain() : UInt64(random.pick(surroundings.victims).rawValue))
    var s = structure()
    s.u64(target)
    s.u32(flags)
    s.u32(r)
    s.u16(who)
    s.u16(0)
    s.u32(0)
    s.u64(0)
    return call(.grantTableOp, [GrantTableOp.mapGrantRef.rawValue, place(s), 1])
  }

  /// - Parameter new: address of which `unmap_and_replace` takes the entry.
  mutating func unmapGrant(at address: UInt64, handle: UInt64? = nil, replacing new: UInt64? = nil) -> GuestCommand {
    var s = structure()
    let replace = new != nil || oneIn(4)
    s.u64(guest.kind.isParavirtual ? address : address &- guest.base)
    s.u64(new ?? (replace ? (oneIn(4) ? address : pageAddress()) : oneIn(3) ? frame() << 12 : 0))
    s.u32(handle ?? (oneIn(8) ? random.anyMagnitude() : small(8)))
    s.u16(0)
    s.align(8)
    return call(.grantTableOp, [replace ? GrantTableOp.unmapAndReplace.rawValue : GrantTableOp.unmapGrantRef.rawValue, place(s), 1])
  }

  mutating func copyGrant() -> GuestCommand {
    grantOp(GrantTableOp.copy.rawValue) { m, s in
      let flags = m.oneIn(10) ? m.bits(16) : [1, 2, 3, 1, 0][m.random.below(5)]
      for side in 0..<2 as Range<UInt64> {
        let isGrant = flags >> side & 1 != 0
        s.word(isGrant ? m.reference() : m.frame())
        s.u16(isGrant && !m.oneIn(8) ? UInt64(m.random.pick(m.surroundings.victims).rawValue) : m.domain())
        s.u16(m.oneIn(3) ? m.small(4200) : m.bits(4) << 8)
      }
      s.u16(m.oneIn(3) ? m.small(4200) : 8 << m.small(10))
      s.u16(flags)
      s.u16(0)
    }
  }

  private mutating func otherGrantOp() -> GuestCommand {
    let op = oneIn(3) ? small(14) : [6, 8, 9, 10, 11, 11][random.below(6)]
    return grantOp(op) { m, s in
      switch op {
      case 6:
        s.u16(m.domain())
        s.u32(0)
        s.u32(0)
        s.u16(0)
      case 8: s.u32(m.oneIn(8) ? m.bits(32) : 1 + m.small(2))
      case 9:
        s.u32(m.oneIn(4) ? m.random.anyMagnitude() : 1 + m.small(2))
        s.u16(m.domain())
        s.u16(0)
        s.u64(m.room(64))
      case 10:
        s.u16(m.domain())
        s.u16(0)
        s.u32(0)
      case 11:
        s.u32(m.reference())
        s.u32(m.reference())
        s.u16(0)
      default: for _ in 0..<6 { s.u64(m.oneIn(2) ? m.frame() : m.address()) }
      }
    }
  }

  /// Entries of the domain's own grant table, as it would write them if it had the table mapped.
  mutating func prepareGrants() -> [GuestCommand] {
    guard let table = guest.domain.grantTableFrames.first else { return [] }
    let window = pageAddress()
    let reference = UInt64(Victims.firstReference) + small(4)
    let flags = oneIn(3) ? bits(16) : 1 | (oneIn(2) ? 4 : 0)
    let value = flags | domain() << 16 | frame() << 32
    return [
      updateMapping(window, table.rawValue << 12 | 7),
      GuestCommand(action: .store64, arguments: [window &+ reference * 8] + (isWide ? [value] : [value & 0xFFFF_FFFF, value >> 32])),
    ]
  }

  // MARK: Event channels

  mutating func eventCall() -> [GuestCommand] {
    var s = structure()
    let op = oneIn(24) ? random.anyMagnitude() : small(15)
    switch op {
    case 0:
      s.u16(oneIn(3) ? domain() : UInt64(random.pick(surroundings.victims).rawValue))
      s.u32(oneIn(2) && !surroundings.ports.isEmpty ? UInt64(random.pick(surroundings.ports)) : port())
      s.u32(0)
    case 1:
      s.u32(oneIn(8) ? bits(32) : small(26))
      s.u32(oneIn(8) ? bits(32) : small(5))
      s.u32(0)
    case 5:
      s.u16(domain())
      s.u32(port())
      for _ in 0..<4 { s.u32(0) }
    case 6:
      s.u16(domain())
      s.u16(domain())
      s.u32(0)
    case 10, 14: s.u16(domain())
    case 11:
      s.u64(frame())
      s.u32(oneIn(3) ? bits(32) : bits(9) << 3)
      s.u32(oneIn(6) ? bits(32) : small(5))
      s.u64(0)
    case 12: s.u64(frame())
    default:
      // A port, and what else the operation wants.
      s.u32(port())
      s.u32(oneIn(6) ? bits(32) : small(18))
      s.u32(0)
    }
    return [call(.eventChannelOp, [op, place(s)])]
  }

  // MARK: Processors

  mutating func processorCall() -> [GuestCommand] {
    let here = guest.drivers[0].code
    let selector: UInt64 = isWide ? 0xE033 : 0xE019
    switch random.below(19) {
    case 0: return [call(.setTrapTable, [oneIn(8) ? address() : guest.address(ScriptedGuest.Page.traps)])]
    case 1:
      var s = structure()
      for _ in 0..<14 { s.word(frame()) }
      return [call(.setGDT, [place(s), oneIn(3) ? random.anyMagnitude() : 1 + small(7168)])]
    case 2: return [call(.setCallbacks, oneIn(10) ? [address(), address(), address(), address()] : isWide ? [here, here, here] : [selector, here, selector, here])]
    case 3: return [call(.fpuTaskswitch, [bits(1)])]
    case 4: return [call(.setDebugreg, [oneIn(6) ? random.anyMagnitude() : small(8), oneIn(2) ? weirdAddress() : bits(32)])]
    case 5: return [call(.getDebugreg, [oneIn(6) ? random.anyMagnitude() : small(9)])]
    case 6: return [call(.updateDescriptor, wide(frame() << 12 | bits(9) << 3) + wide(descriptor()))]
    case 7: return [call(.setTimerOp, wide(oneIn(3) ? random.next() : guest.hypervisor.now + bits(20)))]
    case 8: return [call(.xenVersion, [oneIn(8) ? random.anyMagnitude() : small(12), room(1100)])]
    case 9: return [call(.consoleIO, [small(3), oneIn(6) ? random.anyMagnitude() : small(40), address()])]
    case 10: return [call(.vmAssist, [small(3), oneIn(6) ? random.anyMagnitude() : small(40)])]
    case 11...13: return [vcpuOp()]
    case 14: return [call(.setSegmentBase, [small(5), oneIn(2) ? weirdAddress() : bits(16)])]
    case 15:
      var s = structure()
      s.u16(small(9))
      s.u16(bits(2))
      if !isWide { s.word(selector) }
      s.word(oneIn(10) ? address() : here)
      return [call(.callbackOp, [small(3), place(s)])]
    case 16: return [call(.nmiOp, [small(3), room(8)])]
    case 17:
      var s = structure()
      s.u32(oneIn(4) ? bits(32) : small(5))
      s.u32(bits(32))
      s.u64(random.next())
      return [call(.physdevOp, [small(32), place(s)])]
    default: return [schedule()]
    }
  }

  /// Waiting is for ever if nobody wakes the processor, so it is rare and mostly has an end.
  mutating func schedule() -> GuestCommand {
    var s = structure()
    switch random.below(12) {
    case 0:
      s.word(room(64))
      s.u32(oneIn(3) ? small(200) : small(3))
      s.u64(oneIn(6) ? random.next() : guest.hypervisor.now + bits(14))
      return call(.schedOp, [SchedOp.poll, place(s)])
    case 1 where oneIn(40): return call(.schedOp, [SchedOp.block, 0])
    case 2:
      s.u32(oneIn(30) ? small(7) : 7 + bits(20))
      return call(.schedOp, [SchedOp.shutdown, place(s)])
    case 3 where oneIn(40): return call(.schedOpCompat, [small(4), 7])
    case 4: return call(.schedOp, [3 + small(8), room(32)])
    default: return call(.schedOp, [SchedOp.yield, 0])
    }
  }

  mutating func vcpuOp() -> GuestCommand {
    var s = structure()
    var op = oneIn(12) ? random.anyMagnitude() : small(14)
    // A processor that is down does nothing more.
    if op == VCPUOp.down, !oneIn(12) { op = VCPUOp.isUp }
    let target = oneIn(12) ? random.anyMagnitude() : small(ScriptedGuest.processors)
    switch op {
    case VCPUOp.initialise: return call(.vcpuOp, [op, target, firstState(Int(target & 3), damaged: oneIn(2))])
    case VCPUOp.registerRunstateArea, VCPUOp.registerTimeArea: s.word(oneIn(2) ? weirdAddress() : pageAddress() &+ bits(12))
    case VCPUOp.setPeriodicTimer: s.u64(oneIn(3) ? random.next() : random.anyMagnitude())
    case VCPUOp.setSingleshotTimer:
      s.u64(oneIn(3) ? random.next() : guest.hypervisor.now + bits(18))
      s.u32(bits(2))
    case VCPUOp.registerVCPUInfo:
      s.u64(frame())
      s.u32(oneIn(3) ? bits(32) : bits(9) << 3)
      s.u32(0)
    default: s.zeros(64)
    }
    return call(.vcpuOp, [op, target, place(s)])
  }

  /// struct vcpu_guest_context with what lets the processor work off its list.
  mutating func firstState(_ processor: Int, damaged: Bool) -> UInt64 {
    let driver = guest.drivers[processor]
    if !guest.kind.isParavirtual { return hardwareState(processor, damaged: damaged) }
    let cs: UInt64 = isWide ? 0xE033 : 0xE019, ss: UInt64 = isWide ? 0xE02B : 0xE021
    let root = guest.domain.vcpus.first?.root.rawValue ?? 0
    func odd(_ value: UInt64, _ m: inout CallMaker) -> UInt64 { damaged && m.oneIn(6) ? (m.oneIn(2) ? m.weirdAddress() : m.frame()) : value }
    var s = structure()
    s.zeros(512)
    s.word(4)
    for _ in 0..<(isWide ? 15 : 7) { s.word(random.next()) }
    s.word(0)
    for value in [odd(driver.code, &self), odd(cs, &self), odd(0x200, &self), driver.stackTop, odd(ss, &self)] { s.word(value) }
    for _ in 0..<4 { s.word(isWide ? 0 : odd(ss, &self)) }
    for vector in 0..<256 as Range<UInt64> {
      s.u8(vector)
      s.u8(7)
      s.u16(cs)
      s.word(odd(driver.code, &self))
    }
    s.word(odd(0, &self))
    s.word(odd(0, &self))
    for _ in 0..<16 { s.word(frame()) }
    s.word(damaged ? small(1000) : 0)
    s.word(ss)
    s.word(driver.stackTop)
    for n in 0..<8 as Range<UInt64> { s.word(n == 3 ? odd(isWide ? root << 12 : (root << 12 | root >> 20) & 0xFFFF_FFFF, &self) : n == 1 ? odd(0, &self) : 0) }
    for _ in 0..<8 { s.word(odd(0, &self)) }
    for _ in 0..<2 {
      if !isWide { s.word(cs) }
      s.word(odd(driver.code, &self))
    }
    if isWide { s.word(odd(driver.code, &self)) }
    s.word(0)
    if isWide { for _ in 0..<3 { s.word(odd(0, &self)) } }
    // It takes more than a page: always at the same place, where the structures of others may come over it.
    guest.writeArena(s.bytes, at: 0x8000 + (processor & 3) << 13)
    return guest.address(ScriptedGuest.Page.arena) + 0x8000 + UInt64(processor & 3) << 13
  }

  /// struct vcpu_hvm_context, 64-bit.
  private mutating func hardwareState(_ processor: Int, damaged: Bool) -> UInt64 {
    func odd(_ value: UInt64, _ m: inout CallMaker) -> UInt64 { damaged && m.oneIn(5) ? (m.oneIn(2) ? m.weirdAddress() : m.bits(32)) : value }
    var s = structure()
    s.u32(damaged && oneIn(4) ? small(3) : 1)
    s.u32(0)
    for _ in 0..<8 { s.u64(random.next()) }
    let start = guest.base &+ UInt64(ScriptedGuest.Page.start) << 12 &+ UInt64(PVHStart.second &+ processor * PVHStart.secondBytes)
    for value in [start, 2, 0x8001_0031, UInt64(ScriptedGuest.Page.tables[0]) << 12, 0x620, 0xD01] { s.u64(odd(value, &self)) }
    s.zeros(64)
    return place(s)
  }

  mutating func descriptor() -> UInt64 {
    if oneIn(3) { return random.next() }
    // Code and data of all privileges, gates, system segments.
    let type = [0x9A, 0x92, 0x9E, 0x8C, 0x84, 0x89, 0x82, 0x80, 0xFA, 0xF2, 0xFB, 0xEC, 0x85][random.below(13)]
    return UInt64(type) << 40 | (oneIn(2) ? 0x00CF_0000_0000_FFFF : 0x00AF_0000_0000_FFFF) ^ (oneIn(4) ? random.next() & 0x00F0_00FF_FFFF_0000 : 0)
  }
}
