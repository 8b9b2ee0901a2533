import Backends
import Hypervisor
import XenABI
import Xenstore

/// The front ends of a guest's block device and network interface, played from outside: rings, grants and nodes are written as its drivers
/// would, and the guest itself does nothing but hypercalls of event channels.
final class FrontEnds {
  unowned let guest: ScriptedGuest
  let disk: Disk
  let block: XenbusBackend
  let network: XenbusBackend
  private let store: XenstoreServer
  private(set) var blockPort: EventPort = 0
  private(set) var networkPort: EventPort = 0
  /// Slots of the block device's ring.
  private(set) var blockEntries: UInt32 = 32
  private var nextRefused = ServicePlace.refused.lowerBound

  init(_ guest: ScriptedGuest, disk: Disk, store: XenstoreServer, bridge: Bridge) {
    self.guest = guest
    self.disk = disk
    self.store = store
    let blockDriver = BlockBackend(domain: guest.domain, image: disk)
    let block = XenbusBackend(kind: "vbd", number: UInt32(ServicePlace.disk), domain: guest.domain, store: store, driver: blockDriver)
    blockDriver.onFailure = { [weak block] in block?.fail($0) }
    block.start(backend: [("mode", "w"), ("device-type", "disk")], frontend: [("virtual-device", "\(ServicePlace.disk)")])
    let networkDriver = NetworkBackend(domain: guest.domain, bridge: bridge)
    let network = XenbusBackend(kind: "vif", number: 0, domain: guest.domain, store: store, driver: networkDriver)
    networkDriver.onFailure = { [weak network] in network?.fail($0) }
    network.start(backend: [("handle", "0")], frontend: [("handle", "0")])
    self.block = block
    self.network = network
  }

  func stop() {
    block.stop()
    network.stop()
  }

  // MARK: Grants and ports

  func grant(_ reference: GrantReference, page: Int, readOnly: Bool = false, to user: DomainID = .control, permitted: Bool = true) {
    guard let table = guest.domain.grantTableFrames.first, let at = guest.hypervisor.memory.host(table.address) else { return }
    let flags: UInt16 = permitted ? readOnly ? 5 : 1 : 0
    let isNew = guest.domain.grantVersion == 2
    let p = at + Int(reference) * (isNew ? 16 : 8)
    p.storeBytes(of: flags, as: UInt16.self)
    p.storeBytes(of: user.rawValue, toByteOffset: 2, as: UInt16.self)
    if isNew {
      p.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
      p.storeBytes(of: guest.number(page), toByteOffset: 8, as: UInt64.self)
    } else {
      p.storeBytes(of: UInt32(truncatingIfNeeded: guest.number(page)), toByteOffset: 4, as: UInt32.self)
    }
  }

  func grantAll() {
    for n in 0..<ServicePlace.blockRingPages { grant(ServicePlace.blockRingReference + UInt32(n), page: ServicePlace.blockRing + n) }
    grant(ServicePlace.transmitReference, page: ServicePlace.transmitRing)
    grant(ServicePlace.receiveReference, page: ServicePlace.receiveRing)
    grant(ServicePlace.indirectReference, page: ServicePlace.indirect)
    for (n, page) in ServicePlace.data.enumerated() {
      grant(ServicePlace.dataReference + UInt32(n), page: page)
      grant(ServicePlace.readOnlyReference + UInt32(n), page: page, readOnly: true)
    }
  }

  /// Ports that wait for the control domain: EVTCHNOP_alloc_unbound.
  private func ports(_ count: Int) -> [EventPort] {
    let arena = guest.address(ScriptedGuest.Page.arena)
    var commands: [GuestCommand] = []
    for n in 0..<count {
      var s = Structure(isWide: guest.kind.isWide)
      s.u16(0x7FF0)
      s.u16(0)
      s.u32(0)
      guest.writeArena(s.bytes, at: 1024 + n * 16)
      commands.append(GuestCommand(number: 32, arguments: [6, arena + UInt64(1024 + n * 16)]))
    }
    guest.give(commands, to: 0)
    _ = guest.run([0], nanoseconds: 2_000_000)
    return (0..<count).map { EventPort(truncatingIfNeeded: guest.word(page: ScriptedGuest.Page.arena, offset: 1024 + $0 * 16) >> 32) }
  }

  // MARK: Connecting

  var isConnected: Bool { block.state == .connected && network.state == .connected }

  /// Brings both devices to where requests are served, if the guest is still in a state to do so.
  /// - Parameter options: of the block device's ring: two pages; grants that stay in use.
  func connect(options: UInt64 = 0) {
    grantAll()
    if block.state != .connected { blockEntries = options & 1 != 0 ? 64 : 32 }
    let both = ports(2)
    (blockPort, networkPort) = (both[0], both[1])
    for page in ServicePlace.blockRing..<ServicePlace.indirect { guest.write([UInt8](repeating: 0, count: 4096), page: page, offset: 0) }
    for page in [ServicePlace.blockRing, ServicePlace.transmitRing, ServicePlace.receiveRing] {
      for field in [RingField.requestEvent, RingField.responseEvent] { set(page, field, 1) }
    }
    var nodes = [("event-channel", "\(blockPort)"), ("feature-persistent", options & 2 != 0 ? "1" : "0")]
    if options & 1 != 0 {
      nodes += [("ring-page-order", "1"), ("ring-ref0", "\(ServicePlace.blockRingReference)"), ("ring-ref1", "\(ServicePlace.blockRingReference + 1)")]
    } else {
      try? store.remove("\(block.frontendPath)/ring-page-order")
      nodes.append(("ring-ref", "\(ServicePlace.blockRingReference)"))
    }
    join(block, nodes)
    join(network, [
      ("tx-ring-ref", "\(ServicePlace.transmitReference)"), ("rx-ring-ref", "\(ServicePlace.receiveReference)"), ("event-channel", "\(networkPort)"),
      ("request-rx-copy", "1"), ("feature-sg", "1"), ("feature-gso-tcpv4", options & 4 != 0 ? "1" : "0"),
    ])
  }

  private func join(_ device: XenbusBackend, _ nodes: [(String, String)]) {
    if device.state == .connected { return }
    let path = device.frontendPath
    for key in ["multi-queue-num-queues", "protocol", "event-channel-tx", "event-channel-rx"] { try? store.remove("\(path)/\(key)") }
    for state in [XenbusState.closed, .initialising] { try? store.write("\(path)/state", "\(state.rawValue)") }
    for (key, value) in nodes { try? store.write("\(path)/\(key)", value) }
    try? store.write("\(path)/state", "\(XenbusState.connected.rawValue)")
  }

  // MARK: Rings

  func set(_ page: Int, _ offset: Int, _ value: UInt32) { guest.write(Array(ScriptedGuest.bytes(UInt64(value)).prefix(4)), page: page, offset: offset) }
  func get(_ page: Int, _ offset: Int) -> UInt32 {
    guest.hypervisor.memory.host(guest.frames[page].address + UInt64(offset))?.load(as: UInt32.self) ?? 0
  }

  static func slotBytes(_ isWide: Bool) -> Int { isWide ? 112 : 108 }

  /// One read or write of whole pages.
  /// - Returns: the status of the response, nil where none has come.
  func transfer(write: Bool, sector: UInt64, _ segments: [(reference: GrantReference, first: UInt64, last: UInt64)], id: UInt64) -> Int16? {
    let isWide = guest.kind.isWide, size = Self.slotBytes(isWide)
    var s = Structure(isWide: isWide)
    s.u8(write ? 1 : 0)
    s.u8(UInt64(segments.count))
    s.u16(0)
    s.u64(id)
    s.u64(sector)
    for segment in segments {
      s.u32(UInt64(segment.reference))
      s.u8(segment.first)
      s.u8(segment.last)
      s.u16(0)
    }
    let producer = get(ServicePlace.blockRing, RingField.requestProducer)
    let at = RingField.slots + Int(producer & (blockEntries - 1)) * size
    // A slot may cross a border of pages.
    let inFirst = min(max(4096 - at, 0), s.bytes.count)
    guest.write(Array(s.bytes[..<inFirst]), page: ServicePlace.blockRing, offset: inFirst == 0 ? 0 : at)
    guest.write(Array(s.bytes[inFirst...]), page: ServicePlace.blockRing + 1, offset: inFirst == 0 ? at - 4096 : 0)
    set(ServicePlace.blockRing, RingField.requestProducer, producer &+ 1)
    guest.kick(blockPort)
    guard get(ServicePlace.blockRing, RingField.responseProducer) == producer &+ 1, at + 16 <= 4096, word(ServicePlace.blockRing, at) == id else { return nil }
    return Int16(truncatingIfNeeded: word(ServicePlace.blockRing, at + 8) >> 16)
  }

  private func word(_ page: Int, _ offset: Int) -> UInt64 {
    guest.hypervisor.memory.host(guest.frames[page].address + UInt64(offset))?.loadUnaligned(as: UInt64.self) ?? 0
  }

  /// Sends a frame that is in pages of data, from their beginnings.
  func transmit(_ frame: [UInt8]) {
    let pages = (frame.count + 4095) / 4096
    var producer = get(ServicePlace.transmitRing, RingField.requestProducer)
    for n in 0..<pages {
      let part = Array(frame[n * 4096..<min((n + 1) * 4096, frame.count)])
      guest.write(part, page: ServicePlace.data.lowerBound + n, offset: 0)
      var s = Structure(isWide: true)
      s.u32(UInt64(ServicePlace.readOnlyReference) + UInt64(n))
      s.u16(0)
      s.u16(n + 1 < pages ? 4 : 0)
      s.u16(UInt64(n))
      s.u16(UInt64(n == 0 ? frame.count : part.count))
      guest.write(s.bytes, page: ServicePlace.transmitRing, offset: RingField.slots + Int(producer & 255) * 12)
      producer &+= 1
    }
    set(ServicePlace.transmitRing, RingField.requestProducer, producer)
    guest.kick(networkPort)
  }

  /// Offers buffers for frames, as many as the ring has room for; they are four pages again and again.
  func offerBuffers() {
    let producer = get(ServicePlace.receiveRing, RingField.requestProducer)
    let count = 128 &- (producer &- get(ServicePlace.receiveRing, RingField.responseProducer))
    guard count <= 128 else { return }
    for n in 0..<count {
      let buffer = (producer &+ n) & 3
      var s = Structure(isWide: true)
      s.u16(UInt64(buffer))
      s.u16(0)
      s.u32(UInt64(ServicePlace.dataReference + 6 + buffer))
      guest.write(s.bytes, page: ServicePlace.receiveRing, offset: RingField.slots + Int((producer &+ n) & 255) * 8)
    }
    set(ServicePlace.receiveRing, RingField.requestProducer, producer &+ count)
    guest.kick(networkPort)
  }

  /// Frames of one page that came in since `consumer`, which is moved on.
  func received(_ consumer: inout UInt32) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    let producer = get(ServicePlace.receiveRing, RingField.responseProducer)
    while consumer != producer, producer &- consumer <= 256 {
      let slot = word(ServicePlace.receiveRing, RingField.slots + Int(consumer & 255) * 8)
      let size = Int(Int16(truncatingIfNeeded: slot >> 48)), offset = Int(slot >> 16 & 0xFFF)
      let page = ServicePlace.data.lowerBound + 6 + Int(slot & 3)
      if size > 0, size + offset <= 4096, let host = guest.hypervisor.memory.host(guest.frames[page].address + UInt64(offset)) {
        frames.append([UInt8](UnsafeRawBufferPointer(start: host, count: size)))
      }
      consumer &+= 1
    }
    return frames
  }

  // MARK: What must be refused

  /// Asks the back end for what it must not do, and says where it did.
  func tryForbidden(_ random: inout FuzzRandom, other: DomainID) -> [String] {
    guard block.state == .connected else { return [] }
    let marker = random.next()
    let page = ServicePlace.data.lowerBound + random.below(ServicePlace.data.count)
    let reference = nextRefused
    nextRefused = nextRefused + 1 == ServicePlace.refused.upperBound ? ServicePlace.refused.lowerBound : nextRefused + 1
    let what: String
    switch random.below(4) {
    case 0:
      grant(reference, page: page, readOnly: true)
      what = "a page that is granted for reading"
    case 1:
      grant(reference, page: page, to: other)
      what = "a page that is granted to another domain"
    case 2:
      grant(reference, page: page, permitted: false)
      what = "a page that is not granted"
    default:
      // Far ahead: the ring is broken.
      let producer = get(ServicePlace.blockRing, RingField.responseProducer)
      set(ServicePlace.blockRing, RingField.requestProducer, producer &+ 1000)
      guard get(ServicePlace.blockRing, RingField.requestProducer) == producer &+ 1000 else { return [] }
      let before = disk.transfers
      guest.kick(blockPort)
      // Only if the kick came through.
      return disk.transfers == before || block.state != .connected ? [] : ["a ring with a thousand requests is served on"]
    }
    guest.write([UInt8](repeating: 0, count: 512), page: page, offset: 0)
    disk.contents(0, 1).storeBytes(of: marker, as: UInt64.self)
    _ = transfer(write: false, sector: 0, [(reference, 0, 0)], id: random.next())
    guard word(page, 0) == marker else { return [] }
    return ["the block back end writes to \(what)"]
  }
}
