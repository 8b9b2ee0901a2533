/// Where a network card or an uplink is plugged in.
public protocol BridgePort: AnyObject {
  /// A frame for this port. It may be dropped.
  func receive(_ packet: Packet)
}

/// A switch that learns where addresses are (IEEE 802.1D, without spanning trees).
public final class Bridge {
  /// Addresses it remembers, and those of one port: nobody can fill its memory, or make it forget the others'.
  static let maximumAddresses = 4096
  static let maximumAddressesOfPort = 64

  public let name: String
  private var ports: [any BridgePort] = []
  private var table: [EthernetAddress: ObjectIdentifier] = [:]
  private var learned: [ObjectIdentifier: Int] = [:]
  /// Told of every frame, before it is passed on.
  public var onPacket: ((Packet) -> Void)?

  public init(name: String) { self.name = name }

  public func attach(_ port: any BridgePort) { ports.append(port) }

  public func detach(_ port: any BridgePort) {
    let id = ObjectIdentifier(port)
    ports.removeAll { $0 === port }
    table = table.filter { $0.value != id }
    learned[id] = nil
  }

  /// Passes a frame on to whom it is for, or to everybody else.
  public func forward(_ packet: Packet, from port: any BridgePort) {
    guard packet.bytes.count >= Packet.headerBytes, packet.bytes.count <= Packet.maximumBytes else { return }
    onPacket?(packet)
    learn(packet.source, ObjectIdentifier(port))
    let destination = packet.destination
    if !destination.isGroup, let id = table[destination] {
      if id != ObjectIdentifier(port) { ports.first { ObjectIdentifier($0) == id }?.receive(packet) }
      return
    }
    for other in ports where other !== port { other.receive(packet) }
  }

  private func learn(_ address: EthernetAddress, _ port: ObjectIdentifier) {
    let old = table[address]
    if address.isGroup || old == port { return }
    guard learned[port, default: 0] < Self.maximumAddressesOfPort, old != nil || table.count < Self.maximumAddresses else { return }
    if let old { learned[old, default: 1] -= 1 }
    table[address] = port
    learned[port, default: 0] += 1
  }
}
