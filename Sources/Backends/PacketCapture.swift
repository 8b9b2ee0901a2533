/// Frames in the form of a pcap file (draft-ietf-opsawg-pcap), as tcpdump and Wireshark read it.
public struct PacketCapture {
  private static let ethernet: UInt32 = 1

  /// The beginning of a file.
  public static var header: [UInt8] {
    var bytes: [UInt8] = []
    append(0xA1B2_C3D4 as UInt32, to: &bytes)
    append(2 as UInt16, to: &bytes)
    append(4 as UInt16, to: &bytes)
    append(0 as UInt64, to: &bytes)
    append(UInt32(Packet.maximumBytes), to: &bytes)
    append(ethernet, to: &bytes)
    return bytes
  }

  /// A frame with its head. Checksums that were left blank are computed; large segments are recorded whole.
  /// - Parameter nanoseconds: since 1970.
  public static func record(_ packet: Packet, at nanoseconds: UInt64) -> [UInt8] {
    var packet = packet
    packet.fillChecksum()
    var bytes: [UInt8] = []
    bytes.reserveCapacity(16 + packet.bytes.count)
    append(UInt32(truncatingIfNeeded: nanoseconds / 1_000_000_000), to: &bytes)
    append(UInt32(nanoseconds % 1_000_000_000 / 1000), to: &bytes)
    append(UInt32(packet.bytes.count), to: &bytes)
    append(UInt32(packet.bytes.count), to: &bytes)
    return bytes + packet.bytes
  }

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
}
