import Hypervisor
import XenABI

/// What a front end can take as it is.
struct ReceiverFeatures {
  var scatterGather = false
  var tcpv4 = false
  var tcpv6 = false
  var checksum = true
  var checksumIPv6 = false
}

/// The ring by which a guest receives frames (xen/include/public/io/netif.h, "Guest receive").
///
/// Frames that find no buffers wait, as many as is decent, and are dropped beyond that.
final class NetworkReceiver: EventService {
  static let slotBytes = 8
  private static let maximumWaiting = 256
  private static let maximumWaitingBytes = 1 << 20

  private enum Flag {
    static let validated: UInt16 = 1
    static let checksumBlank: UInt16 = 2
    static let moreData: UInt16 = 4
    static let extra: UInt16 = 8
  }

  private let domain: Domain
  private let features: ReceiverFeatures
  private var ring: SharedRing
  private var waiting: [Packet] = []
  private var waitingBytes = 0
  private(set) var dropped: UInt64 = 0
  var port: EventPort = 0
  /// Who is connected to the port, where one port serves both directions.
  weak var notifier: (any EventService)?
  /// Told that the connection cannot go on, and why.
  private let onFailure: (String) -> Void
  private var isOpen = true

  init(domain: Domain, features: ReceiverFeatures, ring page: GrantedPage, onFailure: @escaping (String) -> Void) throws(RingError) {
    self.domain = domain
    self.features = features
    self.onFailure = onFailure
    ring = try SharedRing([page], slotBytes: Self.slotBytes)
  }

  func close() {
    isOpen = false
    domain.disconnect(port, from: notifier ?? self)
  }

  func guestNotified(_ domain: Domain, port: EventPort) { service() }

  /// A frame for the guest.
  func receive(_ packet: Packet) {
    guard isOpen else { return }
    for part in suitable(packet) {
      guard waiting.count < Self.maximumWaiting, waitingBytes + part.bytes.count <= Self.maximumWaitingBytes else {
        dropped += 1
        continue
      }
      waiting.append(part)
      waitingBytes += part.bytes.count
    }
    service()
  }

  /// The frame in a form that the guest takes.
  private func suitable(_ packet: Packet) -> [Packet] {
    if let segmentation = packet.segmentation {
      let takes = segmentation.kind == .tcpv4 ? features.tcpv4 : features.tcpv6
      if !takes || !features.scatterGather { return packet.complete() }
      return [packet]
    }
    var packet = packet
    let isIPv6 = packet.bytes.count > 13 && packet.bytes[12] == 0x86 && packet.bytes[13] == 0xDD
    if packet.isChecksumBlank, !(isIPv6 ? features.checksumIPv6 : features.checksum) { packet.fillChecksum() }
    return [packet]
  }

  /// Puts frames that wait into buffers.
  func service() {
    guard isOpen else { return }
    do throws(RingError) {
      var done = 0
      while done < waiting.count {
        let packet = waiting[done]
        let needed = slots(packet)
        // More than the ring has would never come.
        if needed > ring.entries / 2 || (needed > 1 && !features.scatterGather) {
          dropped += 1
          done += 1
          waitingBytes -= packet.bytes.count
          continue
        }
        var available = try ring.waiting()
        if available < needed {
          ring.askForEvent(after: needed)
          available = try ring.waiting()
          if available < needed { break }
        }
        put(packet, needed)
        done += 1
        waitingBytes -= packet.bytes.count
      }
      waiting.removeFirst(done)
      if ring.publish() { domain.raise(port, from: notifier ?? self) }
    } catch {
      isOpen = false
      onFailure(error.description)
    }
  }

  private func slots(_ packet: Packet) -> UInt32 {
    UInt32((packet.bytes.count + GrantedPage.bytes - 1) / GrantedPage.bytes + (packet.segmentation == nil ? 0 : 1))
  }

  /// { id u16, pad u16, gref u32 } becomes { id u16, offset u16, flags u16, status s16 }.
  private func put(_ packet: Packet, _ count: UInt32) {
    var requests: [(id: UInt16, reference: GrantReference)] = []
    withUnsafeTemporaryAllocation(byteCount: Self.slotBytes, alignment: 8) { slot in
      for n in 0..<count {
        ring.copy(n, into: slot)
        requests.append((UInt16(littleEndian: slot.load(as: UInt16.self)), UInt32(littleEndian: slot.load(fromByteOffset: 4, as: UInt32.self))))
      }
    }
    ring.take(count)
    let extraAt = packet.segmentation == nil ? -1 : 1
    var pages: [GrantedPage] = []
    for (n, request) in requests.enumerated() where n != extraAt {
      do throws(XenError) { pages.append(try domain.map(request.reference, writable: true)) } catch {
        // A buffer that is none: the frame is lost, and each of its requests is answered.
        dropped += 1
        for request in requests { respond(request.id, 0, -1) }
        return
      }
    }
    var flags: UInt16 = packet.isChecksumBlank || packet.segmentation != nil ? Flag.checksumBlank | Flag.validated : 0
    if packet.isValidated { flags |= Flag.validated }
    if packet.segmentation != nil { flags |= Flag.extra }
    var at = 0, page = 0
    for (n, request) in requests.enumerated() {
      if n == extraAt, let segmentation = packet.segmentation {
        respond(segmentation)
        continue
      }
      let size = min(packet.bytes.count - at, GrantedPage.bytes)
      packet.bytes.withUnsafeBytes { pages[page].write(0, UnsafeRawBufferPointer(rebasing: $0[at..<at + size])) }
      at += size
      page += 1
      respond(request.id, (n == 0 ? flags : 0) | (at < packet.bytes.count ? Flag.moreData : 0), Int16(size))
    }
  }

  private func respond(_ id: UInt16, _ flags: UInt16, _ status: Int16) {
    withUnsafeTemporaryAllocation(byteCount: Self.slotBytes, alignment: 8) { slot in
      slot.storeBytes(of: id.littleEndian, as: UInt16.self)
      slot.storeBytes(of: 0, toByteOffset: 2, as: UInt16.self)
      slot.storeBytes(of: flags.littleEndian, toByteOffset: 4, as: UInt16.self)
      slot.storeBytes(of: status.littleEndian, toByteOffset: 6, as: Int16.self)
      ring.respond(UnsafeRawBufferPointer(slot))
    }
  }

  /// XEN_NETIF_EXTRA_TYPE_GSO: { type u8, flags u8, size u16, kind u8, pad u8, features u16 }
  private func respond(_ segmentation: Packet.Segmentation) {
    withUnsafeTemporaryAllocation(byteCount: Self.slotBytes, alignment: 8) { slot in
      slot.initializeMemory(as: UInt8.self, repeating: 0)
      slot[0] = 1
      slot.storeBytes(of: UInt16(truncatingIfNeeded: segmentation.size).littleEndian, toByteOffset: 2, as: UInt16.self)
      slot[4] = segmentation.kind.rawValue
      ring.respond(UnsafeRawBufferPointer(slot))
    }
  }
}
