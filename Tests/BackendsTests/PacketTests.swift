@testable import Backends
import Testing

/// Frames that are made by hand.
enum TestFrames {
  static let a: [UInt8] = [0, 0x16, 0x3E, 0, 0, 1], b: [UInt8] = [0, 0x16, 0x3E, 0, 0, 2]

  static func ethernet(_ payload: [UInt8], type: UInt16, to: [UInt8] = b, from: [UInt8] = a) -> [UInt8] {
    var bytes = to + from
    bytes += type.bytes.reversed()
    return bytes + payload
  }

  /// A TCP segment over IPv4 with checksums of zero.
  static func tcp(_ payload: [UInt8], flags: UInt8 = 0x18, sequence: UInt32 = 0xFFFF_FF00) -> [UInt8] {
    var tcp: [UInt8] = [0x12, 0x34, 0, 80]
    tcp += sequence.bytes.reversed()
    tcp += [0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0]
    var ip: [UInt8] = [0x45, 0]
    ip += UInt16(40 + payload.count).bytes.reversed()
    ip += [0, 7, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    return ethernet(ip + tcp + payload, type: 0x0800)
  }

  static func tcp6(_ payload: [UInt8]) -> [UInt8] {
    var ip: [UInt8] = [0x60, 0, 0, 0]
    ip += UInt16(20 + payload.count).bytes.reversed()
    ip += [6, 64] + [UInt8](repeating: 1, count: 16) + [UInt8](repeating: 2, count: 16)
    let tcp: [UInt8] = [0x12, 0x34, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0]
    return ethernet(ip + tcp + payload, type: 0x86DD)
  }

  /// The sum of 16-bit words, as its receiver checks it: 0xFFFF where the checksum is right.
  static func sum(_ bytes: some Sequence<UInt8>, _ start: UInt32 = 0) -> UInt32 {
    var s = start, high = true
    for byte in bytes {
      s += high ? UInt32(byte) << 8 : UInt32(byte)
      high.toggle()
    }
    while s > 0xFFFF { s = s >> 16 + s & 0xFFFF }
    return s
  }

  /// Whether IPv4's and TCP's checksums hold.
  static func isRight(_ b: [UInt8]) -> Bool {
    sum(b[14..<34]) == 0xFFFF && sum(b[34...], sum(b[26..<34]) + 6 + UInt32(b.count - 34)) == 0xFFFF
  }
}

@Suite struct PacketTests {
  @Test func fillsBlankChecksums() {
    var packet = Packet(TestFrames.tcp([1, 2, 3]))
    packet.isChecksumBlank = true
    packet.fillChecksum()
    #expect(TestFrames.sum(packet.bytes[34...], TestFrames.sum(packet.bytes[26..<34]) + 6 + 23) == 0xFFFF)
    #expect(!packet.isChecksumBlank)
    // Nothing is changed that is complete.
    var complete = Packet(TestFrames.tcp([1, 2, 3]))
    complete.fillChecksum()
    #expect(complete.bytes == TestFrames.tcp([1, 2, 3]))
  }

  @Test func segmentsLargePackets() {
    let payload = (0..<3500).map { UInt8(truncatingIfNeeded: $0) }
    var packet = Packet(TestFrames.tcp(payload, flags: 0x99))
    packet.isChecksumBlank = true
    packet.segmentation = .init(kind: .tcpv4, size: 1448)
    let parts = packet.complete()
    #expect(parts.map(\.bytes.count) == [1448 + 54, 1448 + 54, 604 + 54])
    #expect(parts.allSatisfy { TestFrames.isRight($0.bytes) && $0.segmentation == nil && !$0.isChecksumBlank })
    #expect(parts.flatMap { $0.bytes[54...] } == payload)
    // CWR in the first, FIN and PSH in the last; the sequence goes on over its end; each has an identification of its own.
    #expect(parts.map { $0.bytes[47] } == [0x90, 0x10, 0x19])
    #expect(parts.map { Array($0.bytes[38..<42]) } == [[0xFF, 0xFF, 0xFF, 0], [0, 0, 4, 0xA8], [0, 0, 0x0A, 0x50]])
    #expect(parts.map { $0.bytes[19] } == [7, 8, 9])
    #expect(parts.map { UInt16($0.bytes[16]) << 8 | UInt16($0.bytes[17]) } == [1488, 1488, 644])
  }

  @Test func segmentsIPv6() {
    let payload = [UInt8](repeating: 9, count: 2000)
    var packet = Packet(TestFrames.tcp6(payload))
    packet.segmentation = .init(kind: .tcpv6, size: 1200)
    let parts = packet.complete()
    #expect(parts.map(\.bytes.count) == [1274, 874])
    for b in parts.map(\.bytes) {
      #expect(Int(b[18]) << 8 | Int(b[19]) == b.count - 54)
      #expect(TestFrames.sum(b[54...], TestFrames.sum(b[22..<54]) + 6 + UInt32(b.count - 54)) == 0xFFFF)
    }
  }

  @Test func tinySegmentsAreMadeLarger() {
    var packet = Packet(TestFrames.tcp([UInt8](repeating: 0, count: 60000)))
    packet.segmentation = .init(kind: .tcpv4, size: 1)
    #expect(packet.complete().count < 700)
  }

  @Test func whateverIsThereIsNoTrap() {
    var generator = SeededGenerator(state: 3)
    for _ in 0..<20000 {
      var bytes = Bool.random(using: &generator) ? TestFrames.tcp([1, 2, 3, 4, 5, 6, 7, 8]) : TestFrames.tcp6([1, 2, 3, 4])
      for _ in 0..<4 { bytes[Int.random(in: 12..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
      bytes.removeLast(Int.random(in: 0...bytes.count - 14, using: &generator))
      var packet = Packet(bytes)
      packet.isChecksumBlank = true
      packet.segmentation = .init(kind: .tcpv4, size: Int.random(in: 1...65535, using: &generator))
      for part in packet.complete() { #expect(part.bytes.count >= 14 && part.segmentation == nil) }
      packet.segmentation = nil
      packet.fillChecksum()
      #expect(packet.bytes.count == bytes.count)
    }
  }

  @Test func capturesAreComplete() {
    var packet = Packet(TestFrames.tcp([1]))
    packet.isChecksumBlank = true
    let record = PacketCapture.record(packet, at: 5_000_001_000)
    #expect(PacketCapture.header.count == 24 && Array(PacketCapture.header[0..<4]) == [0xD4, 0xC3, 0xB2, 0xA1])
    #expect(Array(record[0..<16]) == [5, 0, 0, 0, 1, 0, 0, 0, 55, 0, 0, 0, 55, 0, 0, 0])
    #expect(TestFrames.sum(record[50...], TestFrames.sum(record[42..<50]) + 6 + 21) == 0xFFFF)
  }
}

@Suite struct BridgeTests {
  private final class Port: BridgePort {
    var received: [Packet] = []
    func receive(_ packet: Packet) { received.append(packet) }
  }

  private func frame(to: [UInt8], from: [UInt8]) -> Packet { Packet(to + from + [8, 0, 1, 2, 3]) }
  private let everybody = [UInt8](repeating: 0xFF, count: 6)

  @Test func learnsWhereAddressesAre() {
    let bridge = Bridge(name: "x"), p = Port(), q = Port(), r = Port()
    for port in [p, q, r] { bridge.attach(port) }
    bridge.forward(frame(to: everybody, from: TestFrames.a), from: p)
    #expect(p.received.isEmpty && q.received.count == 1 && r.received.count == 1)
    bridge.forward(frame(to: TestFrames.a, from: TestFrames.b), from: q)
    #expect(p.received.count == 1 && r.received.count == 1)
    // An address that moves is found again; one that is gone is everybody's.
    bridge.forward(frame(to: TestFrames.b, from: TestFrames.a), from: r)
    #expect(q.received.count == 2)
    bridge.forward(frame(to: TestFrames.a, from: TestFrames.b), from: q)
    #expect(r.received.count == 2 && p.received.count == 1)
    bridge.detach(r)
    bridge.forward(frame(to: TestFrames.a, from: TestFrames.b), from: q)
    #expect(p.received.count == 2)
  }

  @Test func onePortCannotFillTheTable() {
    let bridge = Bridge(name: "x"), flood = Port(), good = Port(), other = Port()
    for port in [flood, good, other] { bridge.attach(port) }
    for n in 0..<10000 { bridge.forward(frame(to: everybody, from: [2, 0, 0, 0, UInt8(n >> 8), UInt8(n & 255)]), from: flood) }
    bridge.forward(frame(to: everybody, from: TestFrames.a), from: good)
    let before = (good.received.count, flood.received.count)
    bridge.forward(frame(to: TestFrames.a, from: TestFrames.b), from: other)
    #expect(good.received.count == before.0 + 1 && flood.received.count == before.1)
  }

  @Test func nothingTooShortPasses() {
    let bridge = Bridge(name: "x"), p = Port(), q = Port()
    bridge.attach(p)
    bridge.attach(q)
    for count in 0..<14 { bridge.forward(Packet([UInt8](repeating: 0xFF, count: count)), from: p) }
    #expect(q.received.isEmpty)
  }
}
