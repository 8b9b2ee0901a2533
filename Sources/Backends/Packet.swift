/// An Ethernet frame on its way, without its check sequence, with what its sender left to be done.
public struct Packet {
  /// What is left to be done to a TCP segment that is larger than the network's frames.
  struct Segmentation: Equatable {
    enum Kind: UInt8 {
      case tcpv4 = 1
      case tcpv6 = 2
    }
    var kind: Kind
    /// Bytes of payload in each of the frames to be made.
    var size: Int
  }

  public var bytes: [UInt8]
  /// The checksum of its TCP or UDP part is not computed.
  var isChecksumBlank = false
  /// The sender vouches for the checksum.
  var isValidated = false
  var segmentation: Segmentation?

  static let headerBytes = 14
  /// Most bytes of a frame, whatever its network can transport.
  static let maximumBytes = 65535

  /// A frame that is complete.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  var destination: EthernetAddress { EthernetAddress(bytes[0..<6]) }
  var source: EthernetAddress { EthernetAddress(bytes[6..<12]) }
}

/// Six bytes, as a number.
struct EthernetAddress: Hashable {
  var value: UInt64

  init(_ bytes: ArraySlice<UInt8>) { value = bytes.reduce(0) { $0 << 8 | UInt64($1) } }

  /// Of a group, or of everybody.
  var isGroup: Bool { value >> 40 & 1 != 0 }
}

/// Where the headers of a TCP or UDP packet lie.
private struct TransportHeaders {
  var isIPv6: Bool
  var network: Int
  var transport: Int
  /// End of the IP packet; frames may be padded.
  var end: Int
  var isTCP: Bool

  private static let tcp: UInt8 = 6, udp: UInt8 = 17

  /// Nil for whatever is no whole TCP or UDP packet of IP.
  init?(_ b: [UInt8]) {
    var at = 12
    var type = Self.word(b, at)
    // Up to two VLAN tags.
    for _ in 0..<2 where type == 0x8100 || type == 0x88A8 {
      at += 4
      type = Self.word(b, at)
    }
    network = at + 2
    var kind: UInt8
    switch type {
    case 0x0800:
      guard b.count >= network + 20, b[network] >> 4 == 4 else { return nil }
      let length = Int(b[network] & 15) * 4, total = Int(Self.word(b, network + 2))
      // Fragments have parts of a transport packet.
      guard length >= 20, total >= length, Self.word(b, network + 6) & 0x3FFF == 0 else { return nil }
      isIPv6 = false
      kind = b[network + 9]
      transport = network + length
      end = network + total
    case 0x86DD:
      guard b.count >= network + 40, b[network] >> 4 == 6 else { return nil }
      isIPv6 = true
      kind = b[network + 6]
      transport = network + 40
      end = transport + Int(Self.word(b, network + 4))
      // Hop-by-hop options, routing, destination options.
      for _ in 0..<8 where kind == 0 || kind == 43 || kind == 60 {
        guard transport + 8 <= b.count else { return nil }
        kind = b[transport]
        transport += (Int(b[transport + 1]) + 1) * 8
      }
    default: return nil
    }
    guard kind == Self.tcp || kind == Self.udp, end <= b.count, transport + (kind == Self.tcp ? 20 : 8) <= end else { return nil }
    isTCP = kind == Self.tcp
  }

  var checksum: Int { transport + (isTCP ? 16 : 6) }

  static func word(_ b: [UInt8], _ at: Int) -> UInt16 { at + 1 < b.count ? UInt16(b[at]) << 8 | UInt16(b[at + 1]) : 0 }
}

/// The Internet's checksum (RFC 1071).
private struct InternetChecksum {
  private var sum: UInt64 = 0

  /// Bytes from an even place of what is summed up.
  mutating func add(_ b: [UInt8], _ range: Range<Int>) {
    b.withUnsafeBufferPointer { p in
      var at = range.lowerBound
      while at + 1 < range.upperBound {
        sum &+= UInt64(p[at]) << 8 | UInt64(p[at + 1])
        at += 2
      }
      if at < range.upperBound { sum &+= UInt64(p[at]) << 8 }
    }
  }

  mutating func add(_ number: Int) { sum &+= UInt64(number) }

  var value: UInt16 {
    var s = sum
    while s > 0xFFFF { s = s >> 16 &+ s & 0xFFFF }
    return ~UInt16(s)
  }
}

extension Packet {
  /// Computes what the sender left blank.
  mutating func fillChecksum() {
    guard isChecksumBlank else { return }
    isChecksumBlank = false
    if let headers = TransportHeaders(bytes) { Self.fillChecksum(&bytes, headers) }
  }

  private static func fillChecksum(_ b: inout [UInt8], _ h: TransportHeaders) {
    set(&b, h.checksum, 0)
    var sum = InternetChecksum()
    sum.add(b, h.isIPv6 ? h.network + 8..<h.network + 40 : h.network + 12..<h.network + 20)
    sum.add(h.isTCP ? 6 : 17)
    sum.add(h.end - h.transport)
    sum.add(b, h.transport..<h.end)
    // Zero would say that a UDP packet has no checksum.
    set(&b, h.checksum, sum.value == 0 && !h.isTCP ? 0xFFFF : sum.value)
  }

  private static func set(_ b: inout [UInt8], _ at: Int, _ value: UInt16) {
    b[at] = UInt8(value >> 8)
    b[at + 1] = UInt8(value & 0xFF)
  }

  /// The frames that a network card with segmentation would send: complete, none with more payload than asked for.
  func complete() -> [Packet] {
    guard let segmentation, let h = TransportHeaders(bytes), h.isTCP else {
      var packet = self
      packet.segmentation = nil
      packet.fillChecksum()
      return [packet]
    }
    let data = h.transport + Int(bytes[h.transport + 12] >> 4) * 4
    let size = max(segmentation.size, Self.minimumSegment)
    guard data >= h.transport + 20, data < h.end, h.end - data > size else {
      var packet = self
      packet.segmentation = nil
      packet.isChecksumBlank = true
      packet.fillChecksum()
      return [packet]
    }
    return stride(from: data, to: h.end, by: size).map { segment(h, data, $0..<min($0 + size, h.end), number: ($0 - data) / size) }
  }

  /// A guest that wants a frame for each byte gets larger ones.
  private static let minimumSegment = 88

  private func segment(_ h: TransportHeaders, _ data: Int, _ payload: Range<Int>, number: Int) -> Packet {
    var b = Array(bytes[..<data])
    b += bytes[payload]
    let before = payload.lowerBound - data
    if h.isIPv6 {
      Self.set(&b, h.network + 4, UInt16(b.count - h.network - 40))
    } else {
      Self.set(&b, h.network + 2, UInt16(b.count - h.network))
      Self.set(&b, h.network + 4, TransportHeaders.word(bytes, h.network + 4) &+ UInt16(truncatingIfNeeded: number))
      Self.set(&b, h.network + 10, 0)
      var sum = InternetChecksum()
      sum.add(b, h.network..<h.transport)
      Self.set(&b, h.network + 10, sum.value)
    }
    let sequence = bytes[h.transport + 4..<h.transport + 8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } &+ UInt32(before)
    for n in 0..<4 { b[h.transport + 4 + n] = UInt8(truncatingIfNeeded: sequence >> UInt32(24 - 8 * n)) }
    // FIN and PSH belong to the last one, CWR to the first.
    if payload.upperBound != h.end { b[h.transport + 13] &= ~0x09 }
    if before != 0 { b[h.transport + 13] &= ~0x80 }
    if let headers = TransportHeaders(b) { Self.fillChecksum(&b, headers) }
    var packet = Packet(b)
    packet.isValidated = isValidated
    return packet
  }
}
