#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Backends
import Control
import Hypervisor

/// The bridges that domains' interfaces are plugged into, by name, each with an uplink of its own.
public final class VirtualNetworks: PollSource {
  /// Of interfaces that do not say where they belong.
  static let defaultBridge = "xenbr0"

  private let hypervisor: Hypervisor
  /// Whether new bridges lead to the host's networks. Without that what the domains do depends on nothing outside.
  public var hasUplink = true
  private var bridges: [Bridge] = []
  private var uplinks: [UserNetwork] = []
  /// Descriptors of each uplink in the last answer of `descriptors`.
  private var counts: [Int] = []
  /// Told of every frame on any bridge.
  public var onPacket: ((Packet) -> Void)? { didSet { for bridge in bridges { bridge.onPacket = onPacket } } }

  init(_ hypervisor: Hypervisor) { self.hypervisor = hypervisor }

  func bridge(_ name: String?) -> Bridge {
    let name = name ?? Self.defaultBridge
    if let known = bridges.first(where: { $0.name == name }) { return known }
    let bridge = Bridge(name: name)
    bridge.onPacket = onPacket
    bridges.append(bridge)
    if hasUplink { uplinks.append(UserNetwork(bridge: bridge) { [unowned hypervisor] in hypervisor.now }) }
    return bridge
  }

  /// Whether the host's networks can tell the guests something.
  public var waitsForHost: Bool { !uplinks.isEmpty }

  public func descriptors() -> [pollfd] {
    let all = uplinks.map { $0.descriptors() }
    counts = all.map(\.count)
    return all.flatMap { $0 }
  }

  public func ready(_ entries: ArraySlice<pollfd>) {
    var start = entries.startIndex
    for (uplink, count) in zip(uplinks, counts) {
      uplink.ready(entries[start..<start + count])
      start += count
    }
  }

  func service() {
    for uplink in uplinks { uplink.service() }
  }
}

extension MACAddress {
  /// One of Xen's range that depends on the domain's name and the interface's number only, so that a domain keeps it.
  init(domain name: String, interface number: Int) {
    // FNV-1a.
    var hash: UInt32 = 2_166_136_261
    for byte in Array("\(name)/\(number)".utf8) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    let suffix = [hash >> 16 & 0x7F, hash >> 8 & 0xFF, hash & 0xFF].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    self.init("00:16:3e:" + suffix.joined(separator: ":"))!
  }
}
