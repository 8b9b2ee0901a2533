import Backends
import Toolstack

/// All frames of the domains' networks in a pcap file.
final class PacketCaptureFile {
  private let file: SerialEndpoint

  init(_ manager: DomainManager, _ file: SerialEndpoint) {
    self.file = file
    put(PacketCapture.header)
    let hypervisor = manager.hypervisor
    manager.networks.onPacket = { [unowned self, unowned hypervisor] packet in
      put(PacketCapture.record(packet, at: hypervisor.wallClockAtStart * 1_000_000_000 + hypervisor.now))
    }
  }

  private func put(_ bytes: [UInt8]) {
    for byte in bytes { file.put(byte) }
  }

  func flush() { file.flush() }

  /// Why it has ended before its time.
  var failure: SerialEndpoint.Failure? { file.failure }
}
