@testable import Backends
@testable import Hypervisor
import Testing
import XenABI
import Xenstore

/// A disk in memory that counts what is done to it.
final class MemoryImage: BlockImage {
  var contents: [UInt8]
  let isWritable: Bool
  let canDiscard = true
  var flushes = 0
  /// Writes and flushes fail.
  var isFull = false
  var discarded: [(UInt64, UInt64)] = []
  var sectors: UInt64 { UInt64(contents.count / sectorBytes) }

  init(sectors: Int, isWritable: Bool = true) {
    contents = (0..<sectors * sectorBytes).map { UInt8(truncatingIfNeeded: $0 / sectorBytes) }
    self.isWritable = isWritable
  }

  func read(_ sector: UInt64, into target: UnsafeMutableRawBufferPointer) throws(BlockImageError) {
    let at = Int(sector) * sectorBytes
    for n in 0..<target.count { target[n] = contents[at + n] }
  }
  func write(_ sector: UInt64, _ source: UnsafeRawBufferPointer) throws(BlockImageError) {
    if isFull { throw BlockImageError("is full") }
    let at = Int(sector) * sectorBytes
    for n in 0..<source.count { contents[at + n] = source[n] }
  }
  func flush() throws(BlockImageError) { flushes += 1 }
  func discard(_ sector: UInt64, count: UInt64) throws(BlockImageError) { discarded.append((sector, count)) }
}

/// A block device's front end.
final class TestBlockFront {
  let front: TestFrontend
  let image: MemoryImage
  let driver: BlockBackend
  let device: XenbusBackend
  var ring: FrontRing
  var port: EventPort = 0

  init(_ image: MemoryImage = MemoryImage(sectors: 64), persistent: Bool = false, connects: Bool = true) throws {
    front = try TestFrontend()
    self.image = image
    driver = BlockBackend(domain: front.domain, image: image)
    device = XenbusBackend(kind: "vbd", number: 51712, domain: front.domain, store: front.store, driver: driver)
    ring = FrontRing(front.page(), slotBytes: 112)
    let device = device
    driver.onFailure = { [weak device] in device?.fail($0) }
    device.start(backend: [], frontend: [])
    if connects { try connect(persistent: persistent) }
  }

  func connect(persistent: Bool = false) throws {
    port = try front.port()
    try front.write(device, "ring-ref", "\(ring.page.reference)")
    try front.write(device, "event-channel", "\(port)")
    try front.write(device, "protocol", "x86_64-abi")
    try front.write(device, "feature-persistent", persistent ? "1" : "0")
    try front.enter(device, .initialised)
  }

  /// { op u8, nr u8, handle u16, pad, id u64, sector u64, { ref u32, first u8, last u8, pad u16 }… }
  static func request(_ operation: UInt8, id: UInt64, sector: UInt64, _ segments: [(GrantReference, UInt8, UInt8)], count: UInt8? = nil) -> [UInt8] {
    var slot: [UInt8] = [operation, count ?? UInt8(segments.count), 0, 0, 0, 0, 0, 0]
    slot += id.bytes
    slot += sector.bytes
    for (reference, first, last) in segments {
      slot += reference.bytes
      slot += [first, last, 0, 0]
    }
    return slot
  }

  static func discard(_ sector: UInt64, _ count: UInt64) -> [UInt8] {
    let head: [UInt8] = [5, 0, 0, 0, 0, 0, 0, 0]
    return head + UInt64(1).bytes + sector.bytes + count.bytes
  }

  /// Sends requests and returns { id, operation, status } of the responses.
  func submit(_ requests: [UInt8]...) throws -> [(id: UInt64, operation: UInt8, status: Int16)] {
    for request in requests { ring.put(request) }
    ring.push()
    try front.kick(port)
    return ring.responses(16).map { r in
      (r[0..<8].reversed().reduce(0) { $0 << 8 | UInt64($1) }, r[8], Int16(bitPattern: UInt16(r[10]) | UInt16(r[11]) << 8))
    }
  }
}

@Suite struct BlockBackendTests {
  @Test func connectsAndDescribesTheDisk() throws {
    let t = try TestBlockFront()
    #expect(t.device.state == .connected)
    #expect(t.front.read(t.device, "state") == "4")
    #expect(t.front.read(t.device, "sectors") == "64")
    #expect(t.front.read(t.device, "sector-size") == "512")
    #expect(t.front.read(t.device, "info") == "0")
    #expect(t.front.read(t.device, "feature-max-indirect-segments") == "256")
    #expect(t.front.read(t.device, "feature-discard") == "1")
  }

  @Test func readsAndWritesPartsOfPages() throws {
    let t = try TestBlockFront()
    let page = t.front.page(), other = t.front.page()
    page.fill(0xEE)
    let responses = try t.submit(TestBlockFront.request(0, id: 77, sector: 3, [(page.reference, 2, 3), (other.reference, 7, 7)]))
    #expect(responses.map(\.status) == [0])
    #expect(responses.first?.id == 77)
    #expect(t.front.takeEvent(t.port))
    #expect(page.bytes(0..<1024).allSatisfy { $0 == 0xEE })
    #expect(page.bytes(1024..<1536).allSatisfy { $0 == 3 } && page.bytes(1536..<2048).allSatisfy { $0 == 4 })
    #expect(page.bytes(2048..<4096).allSatisfy { $0 == 0xEE })
    #expect(other.bytes(3584..<4096).allSatisfy { $0 == 5 })
    page.fill(0xAB)
    #expect(try t.submit(TestBlockFront.request(1, id: 78, sector: 10, [(page.reference, 0, 0)])).map(\.status) == [0])
    #expect(t.image.contents[10 * 512..<11 * 512].allSatisfy { $0 == 0xAB })
    #expect(t.image.contents[11 * 512] == 11)
    // Nothing stays in use but the ring.
    #expect(t.front.grantsInUse == 1)
  }

  @Test func keepsPersistentGrants() throws {
    let t = try TestBlockFront(persistent: true)
    let page = t.front.page()
    #expect(try t.submit(TestBlockFront.request(0, id: 1, sector: 0, [(page.reference, 0, 7)])).map(\.status) == [0])
    #expect(t.front.grantsInUse == 2)
    try t.front.enter(t.device, .closed)
    #expect(t.front.grantsInUse == 0)
  }

  @Test func grantsThatAreKeptAreInTheAudit() throws {
    let t = try TestBlockFront(persistent: true)
    let page = t.front.page()
    #expect(try t.submit(TestBlockFront.request(0, id: 1, sector: 0, [(page.reference, 0, 7)])).map(\.status) == [0])
    #expect(t.front.hypervisor.auditFrames() == [])
    // One that is given back twice is found.
    t.front.domain.releaseGrant(page.reference, writable: true)
    #expect(!t.front.hypervisor.auditFrames().isEmpty)
  }

  @Test func indirectSegments() throws {
    let t = try TestBlockFront()
    let list = t.front.page(), pages = (0..<20).map { _ in t.front.page() }
    for n in 0..<20 {
      list.set(n * 8, pages[n].reference)
      list.set(n * 8 + 4, 0 as UInt8)
      list.set(n * 8 + 5, 0 as UInt8)
    }
    func indirect(_ operation: UInt8, count: UInt16, sector: UInt64 = 5) -> [UInt8] {
      var slot: [UInt8] = [6, operation]
      slot += count.bytes + [0, 0, 0, 0]
      slot += UInt64(9).bytes + sector.bytes
      return slot + [0, 0, 0, 0] + list.reference.bytes
    }
    let responses = try t.submit(indirect(0, count: 20))
    #expect(responses.map(\.status) == [0])
    // The response names the operation that was indirect.
    #expect(responses.first?.operation == 0)
    for n in 0..<20 { #expect(pages[n].bytes(0..<512).allSatisfy { $0 == UInt8(n + 5) }) }
    for bad in [indirect(0, count: 0), indirect(0, count: 257), indirect(0, count: 65535), indirect(2, count: 20), indirect(6, count: 20), indirect(0, count: 20, sector: 50)] {
      #expect(try t.submit(bad).map(\.status) == [-1])
    }
  }

  @Test func badRequestsAreErrors() throws {
    let t = try TestBlockFront()
    let page = t.front.page(), readOnly = t.front.page(readOnly: true), foreign = t.front.page(to: DomainID(9))
    let r = page.reference
    let before = t.image.contents
    for bad in [
      TestBlockFront.request(0, id: 1, sector: 64, [(r, 0, 0)]),
      TestBlockFront.request(0, id: 1, sector: 63, [(r, 0, 1)]),
      TestBlockFront.request(1, id: 1, sector: .max, [(r, 0, 0)]),
      TestBlockFront.request(1, id: 1, sector: .max - 6, [(r, 0, 7)]),
      TestBlockFront.request(1, id: 1, sector: 1 << 55, [(r, 0, 7)]),
      TestBlockFront.request(0, id: 1, sector: 0, [(r, 5, 4)]),
      TestBlockFront.request(0, id: 1, sector: 0, [(r, 0, 8)]),
      TestBlockFront.request(0, id: 1, sector: 0, [(r, 255, 255)]),
      TestBlockFront.request(0, id: 1, sector: 0, []),
      TestBlockFront.request(1, id: 1, sector: 0, [(r, 0, 0)], count: 12),
      TestBlockFront.request(1, id: 1, sector: 0, [(r, 0, 0)], count: 255),
      TestBlockFront.request(0, id: 1, sector: 0, [(0, 0, 0)]),
      TestBlockFront.request(0, id: 1, sector: 0, [(.max, 0, 0)]),
      TestBlockFront.request(0, id: 1, sector: 0, [(readOnly.reference, 0, 0)]),
      TestBlockFront.request(1, id: 1, sector: 0, [(foreign.reference, 0, 0)]),
      TestBlockFront.request(1, id: 1, sector: 0, [(r, 0, 0), (foreign.reference, 0, 0)]),
      TestBlockFront.request(4, id: 1, sector: 0, [(r, 0, 0)]),
      TestBlockFront.request(200, id: 1, sector: 0, [(r, 0, 0)]),
    ] {
      #expect(try t.submit(bad).map(\.status) == [-1], "\(bad)")
    }
    #expect(t.image.contents == before)
    #expect(t.device.state == .connected)
    // A page that may only be read can be written to the disk.
    readOnly.fill(7)
    #expect(try t.submit(TestBlockFront.request(1, id: 1, sector: 0, [(readOnly.reference, 0, 0)])).map(\.status) == [0])
    #expect(t.image.contents[0] == 7)
  }

  @Test func flushBarrierAndDiscard() throws {
    let t = try TestBlockFront()
    let page = t.front.page()
    #expect(try t.submit(TestBlockFront.request(3, id: 1, sector: 0, [])).map(\.status) == [0])
    #expect(t.image.flushes == 1)
    #expect(try t.submit(TestBlockFront.request(2, id: 1, sector: 0, [(page.reference, 0, 0)])).map(\.status) == [0])
    #expect(t.image.flushes == 3)
    #expect(try t.submit(TestBlockFront.discard(8, 8)).map(\.status) == [0])
    #expect(t.image.discarded.map(\.0) == [8])
    for (sector, count) in [(60, 5), (0, 0), (UInt64.max, 2), (2, UInt64.max)] as [(UInt64, UInt64)] {
      #expect(try t.submit(TestBlockFront.discard(sector, count)).map(\.status) == [-1])
    }
    #expect(t.image.discarded.count == 1)
  }

  @Test func whatTheHostRefusesIsSaidOnce() throws {
    let test = try TestBlockFront()
    var complaints: [String] = []
    test.driver.onImageError = { complaints.append($0.description) }
    test.image.isFull = true
    let page = test.front.page()
    let write = { (id: UInt64) in TestBlockFront.request(1, id: id, sector: 3, [(page.reference, 0, 0)]) }
    #expect(try test.submit(write(1), write(2)).map(\.status) == [-1, -1])
    #expect(complaints == ["is full"])
    test.image.isFull = false
    #expect(try test.submit(write(3)).map(\.status) == [0])
  }

  @Test func readOnlyDisksRefuseWrites() throws {
    let t = try TestBlockFront(MemoryImage(sectors: 8, isWritable: false))
    let page = t.front.page()
    #expect(t.front.read(t.device, "info") == "4")
    #expect(t.front.read(t.device, "feature-discard") == "0")
    #expect(try t.submit(TestBlockFront.request(1, id: 1, sector: 0, [(page.reference, 0, 0)])).map(\.status) == [-1])
    #expect(try t.submit(TestBlockFront.discard(0, 1)).map(\.status) == [-2])
    #expect(try t.submit(TestBlockFront.request(0, id: 1, sector: 0, [(page.reference, 0, 7)])).map(\.status) == [0])
  }

  @Test(arguments: [33, 1000, 0x8000_0000, UInt32.max]) func indicesFarAheadEndTheConnection(_ ahead: UInt32) throws {
    let t = try TestBlockFront()
    t.ring.page.set(0, ahead)
    try t.front.kick(t.port)
    #expect(t.device.state == .closing)
    #expect(t.front.hypervisor.console.lines.contains { $0.text.contains("vbd/51712") && $0.text.contains("requests wait") })
    #expect(t.front.grantsInUse == 0)
    // The port leads nowhere any more.
    try t.front.kick(t.port)
  }

  @Test func aRingThatWritesItselfIsNoEndlessLoop() throws {
    // Each sector read into the ring's own head announces the next request.
    let image = MemoryImage(sectors: 4096)
    let t = try TestBlockFront(image)
    for n in 0..<4096 {
      let next = UInt32(n + 2)
      for (i, byte) in next.bytes.enumerated() { image.contents[n * 512 + i] = byte }
      for slot in 0..<4 {
        let request = TestBlockFront.request(0, id: 0, sector: UInt64(n + 1), [(t.ring.page.reference, 0, 0)])
        for (i, byte) in request.enumerated() where 64 + slot * 112 + i < 512 { image.contents[n * 512 + 64 + slot * 112 + i] = byte }
      }
    }
    for _ in 0..<32 { t.ring.put(TestBlockFront.request(0, id: 0, sector: 0, [(t.ring.page.reference, 0, 0)])) }
    t.ring.page.set(0, 1 as UInt32)
    try t.front.kick(t.port)
    t.driver.service()
    #expect(t.device.state == .connected || t.device.state == .closing)
  }

  @Test(arguments: [1, 4, 16]) func ringsOfSeveralPages(_ count: Int) throws {
    let t = try TestBlockFront(connects: false)
    t.ring = FrontRing((0..<count).map { _ in t.front.page() }, slotBytes: 112)
    for (n, page) in t.ring.pages.enumerated() { try t.front.write(t.device, "ring-ref\(n)", "\(page.reference)") }
    try t.front.write(t.device, "ring-page-order", "\(count.trailingZeroBitCount)")
    try t.connect()
    #expect(t.device.state == .connected)
    let page = t.front.page()
    // Round the ring twice: slots lie across borders of pages.
    for round in 0..<4 {
      let ids = (0..<UInt64(t.ring.entries / 2)).map { $0 + UInt64(round) << 32 }
      for id in ids { t.ring.put(TestBlockFront.request(0, id: id, sector: id % 60, [(page.reference, 0, 0)])) }
      #expect(try t.submit().map(\.id) == ids)
    }
  }

  @Test func requestsOf32BitGuests() throws {
    let t = try TestBlockFront(connects: false)
    t.ring = FrontRing(t.ring.page, slotBytes: 108)
    t.port = try t.front.port()
    try t.front.write(t.device, "ring-ref", "\(t.ring.page.reference)")
    try t.front.write(t.device, "event-channel", "\(t.port)")
    try t.front.write(t.device, "protocol", "x86_32-abi")
    try t.front.enter(t.device, .initialised)
    let page = t.front.page()
    for id in 0..<40 as Range<UInt64> {
      // { op u8, nr u8, handle u16, id u64, sector u64, segments }
      var slot: [UInt8] = [0, 1, 0, 0]
      slot += id.bytes + (id + 2).bytes
      slot += page.reference.bytes + [1, 1, 0, 0]
      t.ring.put(slot)
      t.ring.push()
      try t.front.kick(t.port)
      let response = t.ring.responses(12)
      #expect(response == [id.bytes + [0, 0, 0, 0]])
      #expect(page.bytes(512..<1024).allSatisfy { $0 == UInt8(id + 2) })
    }
  }

  @Test func severalQueues() throws {
    let t = try TestBlockFront(connects: false)
    var rings = (0..<3).map { _ in FrontRing(t.front.page(), slotBytes: 112) }
    let ports = try rings.map { _ in try t.front.port() }, page = t.front.page()
    try t.front.write(t.device, "multi-queue-num-queues", "3")
    for n in 0..<3 {
      try t.front.write(t.device, "queue-\(n)/ring-ref", "\(rings[n].page.reference)")
      try t.front.write(t.device, "queue-\(n)/event-channel", "\(ports[n])")
    }
    try t.front.enter(t.device, .initialised)
    #expect(t.device.state == .connected)
    for n in 0..<3 {
      rings[n].put(TestBlockFront.request(0, id: UInt64(n), sector: 0, [(page.reference, 0, 0)]))
      rings[n].push()
      try t.front.kick(ports[n])
      #expect(rings[n].responses(16).map { $0[0] } == [UInt8(n)])
      #expect(t.front.takeEvent(ports[n]))
    }
    // One that breaks takes all with it.
    rings[1].page.set(0, 99999 as UInt32)
    try t.front.kick(ports[1])
    #expect(t.device.state == .closing && t.front.grantsInUse == 0)
  }

  @Test func comesBackAfterClosing() throws {
    let t = try TestBlockFront()
    try t.front.enter(t.device, .closing)
    #expect(t.device.state == .closing)
    try t.front.enter(t.device, .closed)
    #expect(t.device.state == .closed && t.front.grantsInUse == 0)
    try t.front.enter(t.device, .initialising)
    #expect(t.device.state == .initWait)
    t.ring = FrontRing(t.ring.page, slotBytes: 112)
    try t.connect()
    #expect(t.device.state == .connected)
    let page = t.front.page()
    #expect(try t.submit(TestBlockFront.request(0, id: 5, sector: 1, [(page.reference, 0, 0)])).map(\.id) == [5])
  }

  @Test func badNodesDoNotConnect() throws {
    for (key, value) in [
      ("ring-ref", "x"), ("ring-ref", "4294967295"), ("event-channel", "70000"), ("event-channel", "1"), ("protocol", "sparc"),
      ("ring-page-order", "31"), ("ring-page-order", "1"), ("multi-queue-num-queues", "0"), ("multi-queue-num-queues", "9"),
    ] {
      let t = try TestBlockFront(connects: false)
      try t.front.write(t.device, "ring-ref", "\(t.ring.page.reference)")
      try t.front.write(t.device, "event-channel", "\(try t.front.port())")
      try t.front.write(t.device, key, value)
      try t.front.enter(t.device, .initialised)
      #expect(t.device.state == .closing, "\(key) = \(value)")
      #expect(t.front.grantsInUse == 0)
    }
  }

  @Test func aStoppedDeviceLeavesNothing() throws {
    let t = try TestBlockFront()
    t.device.stop()
    #expect(t.front.grantsInUse == 0)
    #expect(t.front.read(t.device, "state") == nil)
    #expect(!t.front.store.exists("/local/domain/0/backend/vbd/\(t.front.domain.id.rawValue)"))
    try t.front.enter(t.device, .initialising)
    #expect(t.front.read(t.device, "state") == nil)
  }

  @Test func randomRequestsHarmNobody() throws {
    let t = try TestBlockFront()
    let page = t.front.page()
    var generator = SeededGenerator(state: 7)
    for round in 0..<2000 {
      if t.device.state != .connected {
        try t.front.enter(t.device, .closed)
        try t.front.enter(t.device, .initialising)
        t.ring = FrontRing(t.ring.page, slotBytes: 112)
        try t.connect()
      }
      var slot = (0..<112).map { _ in UInt8.random(in: 0...255, using: &generator) }
      slot[0] = UInt8.random(in: 0...7, using: &generator)
      if Bool.random(using: &generator) { slot[1] = UInt8.random(in: 0...12, using: &generator) }
      if Bool.random(using: &generator) { slot.replaceSubrange(16..<24, with: UInt64.random(in: 0...70, using: &generator).bytes) }
      if Bool.random(using: &generator) { slot.replaceSubrange(24..<28, with: page.reference.bytes) }
      t.ring.put(slot)
      if round % 50 == 49 { t.ring.page.set(0, UInt32.random(in: 0...UInt32.max, using: &generator)) } else { t.ring.push() }
      try t.front.kick(t.port)
      _ = t.ring.responses(16)
    }
    #expect(t.image.sectors == 64)
  }
}

/// Repeatable numbers (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
