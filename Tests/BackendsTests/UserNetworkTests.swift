@testable import Backends
import Testing

@Suite struct UserNetworkTests {
  private final class Sink: BridgePort {
    var packets: [Packet] = []
    func receive(_ packet: Packet) { packets.append(packet) }
  }

  /// A UDP packet with a checksum of none.
  private func udp(_ payload: [UInt8], from: [UInt8], to: [UInt8], ports: (UInt16, UInt16), fragment: UInt16 = 0) -> Packet {
    var datagram: [UInt8] = []
    for word in [ports.0, ports.1, UInt16(8 + payload.count), 0] { datagram += word.bytes.reversed() }
    datagram += payload
    var ip: [UInt8] = [0x45, 0]
    ip += UInt16(20 + datagram.count).bytes.reversed() + [0, 1]
    ip += fragment.bytes.reversed() + [64, 17, 0, 0] + from + to
    let sum = ~UInt16(TestFrames.sum(ip))
    ip[10] = UInt8(sum >> 8)
    ip[11] = UInt8(sum & 255)
    return Packet(TestFrames.ethernet(ip + datagram, type: 0x0800, to: [0x52, 0x55, 10, 0, 2, 2]))
  }

  @Test func theGatewayAnswersARP() {
    let bridge = Bridge(name: "x"), guest = Sink()
    bridge.attach(guest)
    let network = UserNetwork(bridge: bridge) { 0 }
    let request: [UInt8] = [0, 1, 8, 0, 6, 4, 0, 1] + TestFrames.a + [10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2]
    bridge.forward(Packet(TestFrames.ethernet(request, type: 0x0806, to: [UInt8](repeating: 0xFF, count: 6))), from: guest)
    #expect(guest.packets.map { Array($0.bytes[20..<22]) } == [[0, 2]])
    #expect(guest.packets.first.map { Array($0.bytes[28..<32]) } == [10, 0, 2, 2])
    withExtendedLifetime(network) {}
  }

  @Test func socketsAreLimited() {
    let bridge = Bridge(name: "x"), guest = Sink()
    bridge.attach(guest)
    let network = UserNetwork(bridge: bridge) { 0 }
    for n in 0..<3000 {
      bridge.forward(udp([1], from: [10, 0, 2, 15], to: [10, 0, 2, 2], ports: (UInt16(20000 + n), 9)), from: guest)
      if n % 500 == 499 { #expect(network.descriptors().count <= 512) }
      network.service()
    }
  }

  @Test func hostileFramesAreNoTrap() {
    let bridge = Bridge(name: "x"), guest = Sink()
    bridge.attach(guest)
    let network = UserNetwork(bridge: bridge) { 0 }
    var generator = SeededGenerator(state: 5)
    for n in 0..<4000 {
      var packet = udp([UInt8](repeating: 7, count: 40), from: [10, 0, 2, 15], to: [10, 0, 2, 3], ports: (68, 67), fragment: n % 3 == 0 ? 0x2000 : 0)
      for _ in 0..<3 { packet.bytes[Int.random(in: 12..<packet.bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
      packet.bytes.removeLast(Int.random(in: 0...packet.bytes.count - 14, using: &generator))
      packet.isChecksumBlank = Bool.random(using: &generator)
      // Nothing is to reach the host's networks.
      if packet.bytes.count > 34, Array(packet.bytes[30..<33]) != [10, 0, 2] { continue }
      bridge.forward(packet, from: guest)
    }
    network.service()
    // The network still answers.
    guest.packets = []
    let request: [UInt8] = [0, 1, 8, 0, 6, 4, 0, 1] + TestFrames.a + [10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2]
    bridge.forward(Packet(TestFrames.ethernet(request, type: 0x0806, to: [UInt8](repeating: 0xFF, count: 6))), from: guest)
    #expect(guest.packets.contains { Array($0.bytes[20..<22]) == [0, 2] && Array($0.bytes[28..<32]) == [10, 0, 2, 2] })
  }
}
