@testable import Backends
@testable import Hypervisor
import Testing
import XenABI
import Xenstore

/// A network interface's front end.
final class TestNetworkFront {
  let front: TestFrontend
  let device: XenbusBackend
  let driver: NetworkBackend
  var transmit: FrontRing
  var receive: FrontRing
  var port: EventPort = 0

  init(_ bridge: Bridge, on other: TestFrontend? = nil, offload: Bool = true, connects: Bool = true) throws {
    front = try TestFrontend(on: other)
    driver = NetworkBackend(domain: front.domain, bridge: bridge)
    device = XenbusBackend(kind: "vif", number: 0, domain: front.domain, store: front.store, driver: driver)
    transmit = FrontRing(front.page(), slotBytes: 12)
    receive = FrontRing(front.page(), slotBytes: 8)
    let device = device
    driver.onFailure = { [weak device] in device?.fail($0) }
    device.start(backend: [], frontend: [])
    if connects { try connect(offload: offload) }
  }

  func connect(offload: Bool = true) throws {
    port = try front.port()
    try front.write(device, "tx-ring-ref", "\(transmit.page.reference)")
    try front.write(device, "rx-ring-ref", "\(receive.page.reference)")
    try front.write(device, "event-channel", "\(port)")
    try front.write(device, "request-rx-copy", "1")
    try front.write(device, "feature-sg", offload ? "1" : "0")
    try front.write(device, "feature-gso-tcpv4", offload ? "1" : "0")
    try front.write(device, "feature-no-csum-offload", offload ? "0" : "1")
    try front.enter(device, .connected)
  }

  static func request(_ reference: GrantReference, _ offset: UInt16, _ flags: UInt16, _ id: UInt16, _ size: UInt16) -> [UInt8] {
    var slot = reference.bytes
    for word in [offset, flags, id, size] { slot += word.bytes }
    return slot
  }

  /// Sends slots and returns { id, status } of the answers.
  func send(_ slots: [UInt8]...) throws -> [[Int16]] {
    for slot in slots { transmit.put(slot) }
    transmit.push()
    try front.kick(port)
    return transmit.responses(4).map { [Self.word($0, 0), Self.word($0, 2)] }
  }

  static func word(_ b: [UInt8], _ at: Int) -> Int16 { Int16(bitPattern: UInt16(b[at]) | UInt16(b[at + 1]) << 8) }

  private(set) var buffers: [TestFrontend.Page] = []
  /// Gives pages to receive into.
  func offer(_ count: Int) throws {
    for n in buffers.count..<buffers.count + count {
      buffers.append(front.page())
      receive.put(UInt16(n).bytes + [0, 0] + buffers[n].reference.bytes)
    }
    receive.push()
    try front.kick(port)
  }

  /// { id, offset, flags, status } of what was received.
  func received() -> [[Int16]] { receive.responses(8).map { r in [0, 2, 4, 6].map { Self.word(r, $0) } } }
}

@Suite struct NetworkBackendTests {
  private final class Sink: BridgePort {
    var packets: [Packet] = []
    func receive(_ packet: Packet) { packets.append(packet) }
  }

  private func fill(_ page: TestFrontend.Page, _ bytes: [UInt8], at offset: Int = 0) {
    for (n, byte) in bytes.enumerated() { page.set(offset + n, byte) }
  }

  @Test func framesOfOneAndSeveralSlots() throws {
    let bridge = Bridge(name: "x"), sink = Sink()
    bridge.attach(sink)
    let t = try TestNetworkFront(bridge)
    #expect(t.device.state == .connected)
    let frame = TestFrames.tcp((0..<6000).map { UInt8(truncatingIfNeeded: $0) }), total = UInt16(frame.count)
    let pages = [t.front.page(), t.front.page()]
    fill(pages[0], Array(frame[..<3000]), at: 96)
    fill(pages[1], Array(frame[3000...]), at: 0)
    #expect(try t.send(TestNetworkFront.request(pages[0].reference, 96, 0, 1, 60)) == [[1, 0]])
    #expect(sink.packets.map(\.bytes) == [Array(frame[..<60])])
    let extra: [UInt8] = [1, 0] + UInt16(1448).bytes + [1, 0, 0, 0, 0, 0, 0, 0]
    let answers = try t.send(
      TestNetworkFront.request(pages[0].reference, 96, 1 | 4 | 8, 2, total), extra, TestNetworkFront.request(pages[1].reference, 0, 0, 3, total - 3000))
    // The slot that was no request has an answer that says so.
    #expect(answers == [[2, 0], [0, 1], [3, 0]])
    #expect(sink.packets.count == 2 && sink.packets[1].bytes == frame)
    #expect(sink.packets[1].isChecksumBlank && sink.packets[1].segmentation == .init(kind: .tcpv4, size: 1448))
    #expect(t.front.takeEvent(t.port))
    #expect(t.front.grantsInUse == 2)
  }

  @Test func badFramesAreErrors() throws {
    let bridge = Bridge(name: "x"), sink = Sink()
    bridge.attach(sink)
    let t = try TestNetworkFront(bridge)
    let page = t.front.page(), foreign = t.front.page(to: DomainID(9)), r = page.reference
    for bad in [
      TestNetworkFront.request(r, 0, 0, 1, 13), TestNetworkFront.request(r, 0, 0, 1, 0), TestNetworkFront.request(r, 4090, 0, 1, 60),
      TestNetworkFront.request(r, 65535, 0, 1, 65535), TestNetworkFront.request(r, 0, 0, 1, 4097), TestNetworkFront.request(0, 0, 0, 1, 60),
      TestNetworkFront.request(.max, 0, 0, 1, 60), TestNetworkFront.request(foreign.reference, 0, 0, 1, 60),
    ] {
      #expect(try t.send(bad) == [[1, -1]], "\(bad)")
    }
    // Parts that are more than the whole, and an extra of a kind that was not offered.
    #expect(try t.send(TestNetworkFront.request(r, 0, 4, 1, 60), TestNetworkFront.request(r, 0, 0, 2, 60)) == [[1, -1], [2, -1]])
    #expect(try t.send(TestNetworkFront.request(r, 0, 8, 1, 60), [2, 0] + [UInt8](repeating: 0, count: 10)) == [[1, -1], [0, 1]])
    // More slots than a frame may have.
    for n in 0..<20 { t.transmit.put(TestNetworkFront.request(r, 0, n < 19 ? 4 : 0, UInt16(n), n == 0 ? 1000 : 10)) }
    #expect(try t.send().map { $0[1] } == [Int16](repeating: -1, count: 20))
    #expect(sink.packets.isEmpty && t.device.state == .connected)
  }

  @Test(arguments: ["torn", "tornExtra", "endless", "ahead", "receiveAhead"]) func brokenRingsEndTheConnection(_ how: String) throws {
    let bridge = Bridge(name: "x"), sink = Sink()
    bridge.attach(sink)
    let t = try TestNetworkFront(bridge)
    let r = t.front.page().reference
    switch how {
    case "torn": _ = try t.send(TestNetworkFront.request(r, 0, 4, 1, 60))
    case "tornExtra": _ = try t.send(TestNetworkFront.request(r, 0, 8, 1, 60))
    case "endless":
      for _ in 0..<200 { t.transmit.put(TestNetworkFront.request(r, 0, 4, 1, 60)) }
      _ = try t.send()
    case "ahead":
      t.transmit.page.set(0, 257 as UInt32)
      try t.front.kick(t.port)
    default:
      t.receive.page.set(0, 0x9000_0000 as UInt32)
      bridge.forward(Packet(TestFrames.tcp([1])), from: sink)
    }
    #expect(t.device.state == .closing && t.front.grantsInUse == 0)
    #expect(t.front.hypervisor.console.lines.contains { $0.text.contains("vif/0") })
    bridge.forward(Packet(TestFrames.tcp([1])), from: sink)
    try t.front.kick(t.port)
  }

  @Test func receivesIntoOfferedPages() throws {
    let bridge = Bridge(name: "x"), sink = Sink()
    bridge.attach(sink)
    let t = try TestNetworkFront(bridge)
    var large = Packet(TestFrames.tcp([UInt8](repeating: 5, count: 5000)))
    large.isChecksumBlank = true
    large.segmentation = .init(kind: .tcpv4, size: 1448)
    bridge.forward(large, from: sink)
    #expect(t.received().isEmpty)
    try t.offer(2)
    #expect(t.received().isEmpty)
    _ = t.front.takeEvent(t.port)
    try t.offer(2)
    // Two pages of data and the slot of the extra between them; the last offer stays.
    let responses = t.received()
    try #require(responses.count == 3)
    #expect(responses[0] == [0, 0, 1 | 2 | 4 | 8, 4096])
    #expect(responses[2] == [2, 0, 0, 958])
    #expect(t.buffers[0].bytes(0..<4096) == Array(large.bytes[..<4096]) && t.buffers[2].bytes(0..<958) == Array(large.bytes[4096...]))
    #expect(t.front.takeEvent(t.port))
    #expect(t.front.grantsInUse == 2)
  }

  @Test func receiversWithoutOffloadGetCompleteFrames() throws {
    let bridge = Bridge(name: "x"), sink = Sink()
    bridge.attach(sink)
    let t = try TestNetworkFront(bridge, offload: false)
    try t.offer(8)
    var large = Packet(TestFrames.tcp([UInt8](repeating: 5, count: 3000)))
    large.isChecksumBlank = true
    large.segmentation = .init(kind: .tcpv4, size: 1448)
    bridge.forward(large, from: sink)
    let responses = t.received()
    #expect(responses.map { $0[3] } == [1502, 1502, 158])
    for (n, response) in responses.enumerated() { #expect(TestFrames.isRight(t.buffers[n].bytes(0..<Int(response[3])))) }
  }

  @Test func badBuffersLoseTheFrameOnly() throws {
    let bridge = Bridge(name: "x"), sink = Sink()
    bridge.attach(sink)
    let t = try TestNetworkFront(bridge)
    let readOnly = t.front.page(readOnly: true)
    t.receive.put(UInt16(7).bytes + [0, 0] + readOnly.reference.bytes)
    t.receive.push()
    bridge.forward(Packet(TestFrames.tcp([1])), from: sink)
    #expect(t.received() == [[7, 0, 0, -1]])
    #expect(t.device.state == .connected && readOnly.bytes(0..<64).allSatisfy { $0 == 0 })
  }

  @Test func whoDoesNotReceiveCostsLittle() throws {
    let bridge = Bridge(name: "x"), sink = Sink()
    bridge.attach(sink)
    let t = try TestNetworkFront(bridge)
    for _ in 0..<5000 { bridge.forward(Packet(TestFrames.tcp([UInt8](repeating: 1, count: 1400))), from: sink) }
    try t.offer(256)
    #expect(t.received().count == 256)
    try t.front.kick(t.port)
    #expect(t.received().isEmpty)
  }

  @Test func domainsReachEachOther() throws {
    let bridge = Bridge(name: "x")
    let one = try TestNetworkFront(bridge), two = try TestNetworkFront(bridge, on: one.front)
    #expect(one.front.domain.id != two.front.domain.id)
    try two.offer(4)
    let page = one.front.page(), frame = TestFrames.tcp([1, 2, 3])
    fill(page, frame)
    _ = two.front.takeEvent(two.port)
    #expect(try one.send(TestNetworkFront.request(page.reference, 0, 1, 1, UInt16(frame.count))) == [[1, 0]])
    #expect(two.received() == [[0, 0, 3, Int16(frame.count)]])
    #expect(two.buffers[0].bytes(0..<frame.count) == frame)
    #expect(two.front.takeEvent(two.port))
    two.device.stop()
    #expect(try one.send(TestNetworkFront.request(page.reference, 0, 1, 1, UInt16(frame.count))) == [[1, 0]])
  }

  @Test func badNodesDoNotConnect() throws {
    for (key, value) in [("request-rx-copy", "0"), ("tx-ring-ref", "0"), ("rx-ring-ref", "-1"), ("event-channel", "0"), ("multi-queue-num-queues", "2")] {
      let t = try TestNetworkFront(Bridge(name: "x"), connects: false)
      for (other, good) in [("tx-ring-ref", "\(t.transmit.page.reference)"), ("rx-ring-ref", "\(t.receive.page.reference)"), ("request-rx-copy", "1")] {
        try t.front.write(t.device, other, good)
      }
      try t.front.write(t.device, "event-channel", "\(try t.front.port())")
      try t.front.write(t.device, key, value)
      try t.front.enter(t.device, .connected)
      #expect(t.device.state == .closing && t.front.grantsInUse == 0, "\(key) = \(value)")
    }
  }

  @Test func randomSlotsHarmNobody() throws {
    let bridge = Bridge(name: "x"), sink = Sink()
    bridge.attach(sink)
    let t = try TestNetworkFront(bridge)
    let page = t.front.page()
    var generator = SeededGenerator(state: 11)
    for round in 0..<4000 {
      if t.device.state != .connected {
        try t.front.enter(t.device, .closed)
        try t.front.enter(t.device, .initialising)
        t.transmit = FrontRing(t.transmit.page, slotBytes: 12)
        t.receive = FrontRing(t.receive.page, slotBytes: 8)
        try t.connect(offload: Bool.random(using: &generator))
      }
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        var slot = (0..<12).map { _ in UInt8.random(in: 0...255, using: &generator) }
        if Int.random(in: 0..<4, using: &generator) != 0 { slot.replaceSubrange(0..<4, with: page.reference.bytes) }
        if Int.random(in: 0..<4, using: &generator) != 0 { slot[5] = 0 }
        if Int.random(in: 0..<4, using: &generator) != 0 { slot[6] &= 0x0B }
        t.transmit.put(slot)
        t.receive.put(Array(slot[4..<8]) + (Bool.random(using: &generator) ? page.reference.bytes : Array(slot[0..<4])))
      }
      if round % 40 == 39 { t.transmit.page.set(0, UInt32.random(in: 0...UInt32.max, using: &generator)) } else { t.transmit.push() }
      if round % 40 == 19 { t.receive.page.set(0, UInt32.random(in: 0...UInt32.max, using: &generator)) } else { t.receive.push() }
      bridge.forward(Packet(TestFrames.tcp([UInt8](repeating: 0, count: round))), from: sink)
      try t.front.kick(t.port)
      _ = t.transmit.responses(4)
      _ = t.received()
    }
    #expect(t.front.grantsInUse <= 2)
  }
}
