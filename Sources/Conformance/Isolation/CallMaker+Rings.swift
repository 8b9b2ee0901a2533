import Hypervisor
import XenABI

/// What a hostile front end does with the rings of its console, its block device and its network interface.
///
/// What is in a ring is written by the guest itself, one command after the other, so that its other processors come in between.
extension CallMaker {
  /// Bytes that the guest puts somewhere itself.
  mutating func put(_ bytes: [UInt8], at address: UInt64) -> GuestCommand {
    var s = structure()
    s.append(bytes)
    return GuestCommand(action: .copy, arguments: [address, stage(s), UInt64(bytes.count)])
  }

  mutating func store(_ value: UInt64, at address: UInt64) -> GuestCommand { GuestCommand(action: .store32, arguments: [address, value & 0xFFFF_FFFF]) }

  mutating func send(_ port: EventPort) -> GuestCommand {
    var s = structure()
    s.u32(oneIn(30) ? small(16) : UInt64(port))
    return call(.eventChannelOp, [4, stage(s)])
  }

  /// An entry of the guest's grant table, for the control domain mostly.
  mutating func grant(_ reference: GrantReference, _ frame: UInt64, flags: UInt64, to user: UInt64 = 0, part: UInt64 = 0) -> [GuestCommand] {
    let isNew = guest.domain.grantVersion == 2
    let at = guest.address(ServicePlace.grants) &+ UInt64(reference) * (isNew ? 16 : 8)
    var head = structure(), tail = structure()
    head.u16(flags)
    head.u16(user)
    head.u32(isNew ? part : frame)
    if !isNew { return [put(head.bytes, at: at)] }
    tail.u64(frame)
    return [put(tail.bytes, at: at &+ 8), put(head.bytes, at: at)]
  }

  /// A reference that an honest front end would not use: of anything, to anybody, in any way.
  mutating func wildGrant() -> [GuestCommand] {
    let reference = ServicePlace.wild.lowerBound + UInt32(random.below(ServicePlace.wild.count))
    let flags: UInt64 = [1, 1, 1, 5, 5, 0, 2, 3, 1 | 1 << 8, 9, 25, 0x19][random.below(12)]
    return grant(reference, oneIn(3) ? guest.number(random.pick(Array(ServicePlace.pages))) : frame(), flags: oneIn(12) ? bits(16) : flags,
                 to: oneIn(5) ? domain() : 0, part: oneIn(2) ? 512 | 512 << 16 : bits(32))
  }

  /// A reference for a request: right, of the rings' own pages, taken back, or never granted.
  mutating func buffer() -> GrantReference {
    switch random.below(16) {
    case 0..<8: return ServicePlace.dataReference + UInt32(random.below(ServicePlace.data.count))
    case 8: return ServicePlace.readOnlyReference + UInt32(random.below(ServicePlace.data.count))
    case 9: return ServicePlace.blockRingReference + UInt32(random.below(5))
    case 10..<14: return ServicePlace.wild.lowerBound + UInt32(random.below(ServicePlace.wild.count))
    case 14: return UInt32(random.below(600))
    default: return UInt32(truncatingIfNeeded: random.anyMagnitude())
    }
  }

  mutating func serviceAttack() -> [GuestCommand] {
    switch random.below(20) {
    case 0..<7: return storeAttack()
    case 7: return consoleAttack()
    case 8..<14: return blockAttack()
    case 14..<19: return networkAttack()
    default: return ringAttack()
    }
  }

  // MARK: At the beginning

  /// Makes the domain have a grant table.
  mutating func makeGrantTable() -> GuestCommand {
    var s = structure()
    s.u16(0x7FF0)
    s.u32(1)
    s.u16(0)
    s.word(room(16))
    return call(.grantTableOp, [GrantTableOp.setupTable.rawValue, stage(s), 1])
  }

  /// Maps the pages of xenstore, of the console, and of grants where the guest can write to them.
  mutating func openWindows() -> [GuestCommand] {
    var list: [GuestCommand] = []
    if guest.kind.isParavirtual {
      var frames = guest.domain.ringFrames
      if let table = guest.domain.grantTableFrames.first { frames.append(table) }
      for (page, frame) in zip([ServicePlace.store, ServicePlace.console, ServicePlace.grants], frames) {
        list.append(call(.updateVAMapping, [guest.address(page)] + wide(frame.rawValue << 12 | 7) + [UVMF.invlpg | UVMF.all]))
      }
      return list
    }
    var s = structure()
    s.u16(0x7FF0)
    s.u16(0)
    s.u32(1)
    s.word(0)
    s.word(UInt64(ServicePlace.grants))
    list.append(call(.memoryOp, [MemoryOp.addToPhysmap, stage(s)]))
    // Places of a PVH domain's pages are the same for all.
    for (page, frame) in [(ServicePlace.store, guest.storeFrame.rawValue), (ServicePlace.console, guest.storeFrame.rawValue + 1)] {
      list.append(updateMapping(guest.address(page), frame << 12 | 0x67))
      list.append(GuestCommand(action: .invalidate, arguments: [guest.address(page)]))
    }
    return list
  }

  /// Where the rings are at this moment.
  mutating func updatePorts() {
    ports.store = guest.storePort
    ports.console = guest.consolePort
    ports.storeProducer = guest.storePage.load(fromByteOffset: RingField.storeRequestProducer, as: UInt32.self)
    ports.isStoreStopped = guest.storePage.load(fromByteOffset: RingField.storeError, as: UInt32.self) != 0
    guard let ends = guest.frontEnds else { return }
    (ports.block, ports.network, ports.blockEntries) = (ends.blockPort, ends.networkPort, ends.blockEntries)
    ports.blockProducer = ends.get(ServicePlace.blockRing, RingField.requestProducer)
    ports.transmitProducer = ends.get(ServicePlace.transmitRing, RingField.requestProducer)
    ports.receiveProducer = ends.get(ServicePlace.receiveRing, RingField.requestProducer)
  }

  /// A frame that comes from the network.
  mutating func frameFromOutside() -> [UInt8] {
    let size = oneIn(6) ? 14 + random.below(20_000) : 14 + random.below(1500)
    return (0..<size).map { n in n < 6 ? 0xFF : random.byte() }
  }

  // MARK: Indices

  /// Indices of a ring as no honest guest writes them, and an event.
  private mutating func ringAttack() -> [GuestCommand] {
    let page = [ServicePlace.blockRing, ServicePlace.transmitRing, ServicePlace.receiveRing][random.below(3)]
    let va = guest.address(page)
    var list: [GuestCommand] = []
    for _ in 0..<1 + random.below(3) {
      let field = [RingField.requestProducer, RingField.requestProducer, RingField.requestEvent, RingField.responseProducer, RingField.responseEvent][random.below(5)]
      let value: UInt64 = [0xFFFF_FFFF, 0x8000_0000, small(600), bits(32), 0 &- small(64)][random.below(5)]
      list.append(store(value, at: va &+ UInt64(field)))
    }
    list.append(send(page == ServicePlace.blockRing ? ports.block : ports.network))
    return list
  }

  /// What another processor does meanwhile: changes slots, takes grants back, kicks.
  private mutating func meddle(_ page: Int, _ port: EventPort) -> [GuestCommand] {
    var list: [GuestCommand] = []
    for _ in 0..<1 + random.below(3) {
      switch random.below(5) {
      case 0: list += grant(buffer(), guest.number(random.pick(Array(ServicePlace.data))), flags: [0, 1, 5][random.below(3)])
      case 1: list += wildGrant()
      case 2: list.append(send(port))
      case 3: list.append(store(random.next(), at: guest.address(page) &+ 64 &+ bits(9) << 2))
      default: list.append(GuestCommand(action: .fill, arguments: [guest.address(ServicePlace.indirect) &+ bits(8) << 3, UInt64(buffer()) | bits(16) << 32, small(8)]))
      }
    }
    return list
  }

  // MARK: Console

  private mutating func consoleAttack() -> [GuestCommand] {
    let va = guest.address(ServicePlace.console)
    var list = [put((0..<1 + random.below(200)).map { _ in UInt8(32 + random.below(90)) }, at: va &+ 1024 &+ bits(11))]
    for _ in 0..<1 + random.below(3) {
      let field = RingField.consoleInputConsumer + 4 * random.below(4)
      list.append(store(oneIn(3) ? random.next() : small(5000), at: va &+ UInt64(field)))
    }
    list.append(send(ports.console))
    return list
  }

  // MARK: Block device

  private mutating func sector() -> UInt64 {
    let all = UInt64(Medium.sectorsOfDisk)
    switch random.below(10) {
    case 0..<6: return small(Medium.sectorsOfDisk)
    case 6: return all &- small(12)
    case 7: return all &+ small(64)
    case 8: return 0 &- small(64)
    default: return random.anyMagnitude()
    }
  }

  private mutating func segment(_ s: inout Structure, isRight: Bool) {
    s.u32(UInt64(isRight ? ServicePlace.dataReference + UInt32(random.below(ServicePlace.data.count)) : buffer()))
    let first = oneIn(12) && !isRight ? bits(8) : small(8)
    s.u8(first)
    s.u8(oneIn(12) && !isRight ? bits(8) : first + small(max(8 - Int(first), 1)))
    s.u16(0)
  }

  private mutating func blockRequest() -> [UInt8] {
    var s = structure()
    let isRight = !oneIn(3)
    let operation: UInt64 = [0, 0, 0, 1, 1, 1, 2, 3, 5, 6, 6, 6, bits(8)][random.below(13)]
    s.u8(operation)
    switch operation {
    case 6:
      let total: UInt64 = oneIn(2) ? 1 + small(24) : [0, 256, 257, 300 + small(300), 4096, 4097, bits(16)][random.below(7)]
      s.u8(oneIn(6) ? bits(8) : small(2))
      s.u16(total)
      s.u64(random.next())
      s.u64(isRight ? small(Medium.sectorsOfDisk / 2) : sector())
      s.u16(0)
      s.u16(0)
      for _ in 0..<8 { s.u32(UInt64(!isRight && oneIn(4) ? buffer() : ServicePlace.indirectReference)) }
    case 5:
      s.u8(bits(1))
      s.u16(0)
      s.u64(random.next())
      s.u64(sector())
      s.u64(oneIn(3) ? random.anyMagnitude() : small(64))
    default:
      let n = oneIn(16) ? bits(8) : 1 + small(11)
      s.u8(n)
      s.u16(0)
      s.u64(random.next())
      s.u64(isRight ? small(Medium.sectorsOfDisk - 88) : sector())
      for _ in 0..<min(n, 11) { segment(&s, isRight: isRight) }
    }
    return s.bytes
  }

  private mutating func blockAttack() -> [GuestCommand] {
    let va = guest.address(ServicePlace.blockRing)
    if processor != 0 { return meddle(ServicePlace.blockRing, ports.block) }
    var list: [GuestCommand] = []
    if oneIn(3) { list += wildGrant() }
    if oneIn(4) {
      // Segments for indirect requests, right ones mostly.
      var s = structure()
      let isRight = !oneIn(3)
      for _ in 0..<64 { segment(&s, isRight: isRight) }
      list.append(put(s.bytes, at: guest.address(ServicePlace.indirect) &+ (oneIn(2) ? 0 : small(7) << 9)))
    } else if oneIn(6) {
      let one = UInt64(ServicePlace.dataReference) | 7 << 40
      list.append(GuestCommand(action: .fill, arguments: [guest.address(ServicePlace.indirect), isWide ? one : UInt64(ServicePlace.dataReference), isWide ? 512 : 1023]))
    }
    for _ in 0..<1 + random.below(3) {
      let slot = UInt64(ports.blockProducer & (ports.blockEntries - 1))
      list.append(put(blockRequest(), at: va &+ 64 &+ slot * UInt64(FrontEnds.slotBytes(isWide))))
      ports.blockProducer &+= 1
    }
    list.append(store(UInt64(ports.blockProducer), at: va))
    // Taken back before the kick, or given to somebody else.
    if oneIn(5) { list += grant(ServicePlace.dataReference + UInt32(random.below(ServicePlace.data.count)), frame(), flags: [0, 1, 5][random.below(3)], to: oneIn(4) ? domain() : 0) }
    list.append(send(ports.block))
    return list
  }

  // MARK: Network interface

  private mutating func networkAttack() -> [GuestCommand] {
    if processor != 0 { return meddle(oneIn(2) ? ServicePlace.transmitRing : ServicePlace.receiveRing, ports.network) }
    var list: [GuestCommand] = []
    if oneIn(4) { list += wildGrant() }
    if oneIn(3) {
      // Buffers for frames.
      let va = guest.address(ServicePlace.receiveRing)
      for _ in 0..<1 + random.below(4) {
        var s = structure()
        s.u16(bits(16))
        s.u16(0)
        s.u32(UInt64(buffer()))
        list.append(put(s.bytes, at: va &+ 64 &+ UInt64(ports.receiveProducer & 255) * 8))
        ports.receiveProducer &+= 1
      }
      list.append(store(UInt64(ports.receiveProducer), at: va))
      return list + [send(ports.network)]
    }
    let va = guest.address(ServicePlace.transmitRing)
    let count = oneIn(20) ? 1 + random.below(20) : 1 + random.below(3)
    // Where the frame begins: addresses of everybody, the victims, a group, itself.
    let page = random.below(ServicePlace.data.count), offset = oneIn(5) ? small(4096) : small(512)
    var header = structure()
    for side in 0..<2 {
      let last = oneIn(8) ? 0xFF : small(5)
      header.append(side == 0 && oneIn(3) ? [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] : [0, 0x16, 0x3E, 0, 0, UInt8(last)])
    }
    header.append(oneIn(2) ? [8, 0, 0x45, 0] : oneIn(2) ? [0x86, 0xDD, 0x60, 0] : [0x88, 0xB5, 0, 0])
    header.append((0..<small(60)).map { _ in random.byte() })
    if Int(offset) + header.bytes.count <= 4096 { list.append(put(header.bytes, at: guest.address(ServicePlace.data.lowerBound + page) &+ offset)) }
    let isRight = !oneIn(3), extra = oneIn(5)
    let total = oneIn(8) ? bits(16) : 14 + small(isRight ? count * 1000 : 3000)
    for n in 0..<count {
      var s = structure()
      s.u32(UInt64(n == 0 && (isRight || !oneIn(4)) ? ServicePlace.dataReference + UInt32(page) : isRight ? ServicePlace.readOnlyReference + UInt32(page) : buffer()))
      s.u16(oneIn(10) && !isRight ? bits(16) : n == 0 ? offset : small(isRight ? 2048 : 4096))
      var flags: UInt64 = oneIn(12) && !isRight ? bits(4) : bits(2)
      if n + 1 < count, isRight || !oneIn(20) { flags |= 4 }
      if n == 0, extra { flags |= 8 }
      s.u16(flags)
      s.u16(bits(16))
      s.u16(n == 0 ? total : oneIn(6) && !isRight ? bits(16) : small(Int(max(total / UInt64(count), 1))))
      list.append(put(s.bytes, at: va &+ 64 &+ UInt64(ports.transmitProducer & 255) * 12))
      ports.transmitProducer &+= 1
      if n == 0, extra {
        var e = structure()
        e.u8(oneIn(4) ? bits(8) : 1)
        e.u8(oneIn(8) ? bits(8) : 0)
        e.u16(oneIn(3) ? bits(16) : small(2000))
        e.u8(oneIn(4) ? bits(8) : 1 + bits(1))
        e.zeros(7)
        list.append(put(e.bytes, at: va &+ 64 &+ UInt64(ports.transmitProducer & 255) * 12))
        ports.transmitProducer &+= 1
      }
    }
    list.append(store(UInt64(ports.transmitProducer), at: va))
    list.append(send(ports.network))
    return list
  }
}
