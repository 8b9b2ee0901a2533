import Hypervisor
import XenABI

/// The back end of a network interface (xen/include/public/io/netif.h): a port of a bridge.
///
/// Scatter-gather, segmentation offload for TCP over IPv4 and IPv6, checksum offload, one event channel or one for each direction. Frames
/// between domains keep their blank checksums and their size where the receiver takes them so; everybody else gets complete ones.
///
/// Not modelled: several queues, the control ring, multicast filters (every group is received), rate limits, page flipping.
public final class NetworkBackend: BackendDriver, BridgePort {
  private let domain: Domain
  private let bridge: Bridge
  private var transmitter: NetworkTransmitter?
  private var receiver: NetworkReceiver?
  /// Told that the connection cannot go on, and why.
  public var onFailure: ((String) -> Void)?

  public init(domain: Domain, bridge: Bridge) {
    self.domain = domain
    self.bridge = bridge
  }

  public let features: [(key: String, value: String)] = [
    ("feature-sg", "1"), ("feature-gso-tcpv4", "1"), ("feature-gso-tcpv6", "1"), ("feature-ipv6-csum-offload", "1"), ("feature-rx-copy", "1"),
    ("feature-rx-flip", "0"), ("feature-multicast-control", "0"), ("feature-split-event-channels", "1"),
  ]

  public func connect(_ frontend: FrontendNodes) throws(BackendError) -> [(key: String, value: String)] {
    disconnect()
    guard frontend.flag("request-rx-copy") else { throw BackendError("the front end does not ask for copies, and flipping is not there") }
    if let queues = frontend.number("multi-queue-num-queues"), queues != 1 { throw BackendError("the front end wants \(queues) queues, of 1") }
    let transmitPage = try page(frontend, "tx-ring-ref"), receivePage = try page(frontend, "rx-ring-ref")
    let features = ReceiverFeatures(
      scatterGather: frontend.flag("feature-sg"), tcpv4: frontend.flag("feature-gso-tcpv4"), tcpv6: frontend.flag("feature-gso-tcpv6"),
      checksum: !frontend.flag("feature-no-csum-offload"), checksumIPv6: frontend.flag("feature-ipv6-csum-offload"))
    let isSplit = frontend.number("event-channel-tx") != nil
    let transmitPort = try frontend.required(isSplit ? "event-channel-tx" : "event-channel")
    let receivePort = isSplit ? try frontend.required("event-channel-rx") : transmitPort
    do throws(RingError) {
      let receiver = try NetworkReceiver(domain: domain, features: features, ring: receivePage) { [weak self] in self?.onFailure?($0) }
      let transmitter = try NetworkTransmitter(
        domain: domain, ring: transmitPage,
        onPacket: { [weak self] in
          guard let self else { return }
          bridge.forward($0, from: self)
        }, onFailure: { [weak self] in self?.onFailure?($0) })
      self.transmitter = transmitter
      self.receiver = receiver
    } catch {
      throw BackendError(error.description)
    }
    do throws(XenError) {
      try join(transmitPort, receivePort)
    } catch {
      disconnect()
      throw BackendError("its event channels do not wait for a back end")
    }
    bridge.attach(self)
    transmitter?.service()
    return []
  }

  /// One port serves both rings, or each has its own.
  private func join(_ transmitPort: EventPort, _ receivePort: EventPort) throws(XenError) {
    guard let transmitter, let receiver else { return }
    transmitter.port = transmitPort
    receiver.port = receivePort
    if transmitPort != receivePort {
      try domain.connect(transmitPort, to: transmitter)
      try domain.connect(receivePort, to: receiver)
    } else {
      let both = NetworkPort(transmitter, receiver)
      transmitter.notifier = both
      receiver.notifier = both
      try domain.connect(transmitPort, to: both)
    }
  }

  private func page(_ frontend: FrontendNodes, _ key: String) throws(BackendError) -> GrantedPage {
    try BlockBackend.ringPage(domain, try frontend.required(key), key)
  }

  public func disconnect() {
    bridge.detach(self)
    transmitter?.close()
    receiver?.close()
    transmitter = nil
    receiver = nil
  }

  public func service() {
    if let transmitter, transmitter.hasMore { transmitter.service() }
  }

  public func receive(_ packet: Packet) { receiver?.receive(packet) }
}

/// An event channel that stands for both rings.
final class NetworkPort: EventService {
  private let transmitter: NetworkTransmitter
  private let receiver: NetworkReceiver

  init(_ transmitter: NetworkTransmitter, _ receiver: NetworkReceiver) {
    self.transmitter = transmitter
    self.receiver = receiver
  }

  func guestNotified(_ domain: Domain, port: EventPort) {
    transmitter.service()
    receiver.service()
  }
}
