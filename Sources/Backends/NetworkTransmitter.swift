import Hypervisor
import XenABI

/// The ring by which a guest sends frames (xen/include/public/io/netif.h, "Guest transmit").
final class NetworkTransmitter: EventService {
  static let slotBytes = 12
  /// Slots a frame may have (XEN_NETIF_NR_SLOTS_MIN), and from where on a front end is broken.
  private static let maximumSlots = 18
  private static let brokenSlots: UInt32 = 32

  private enum Flag {
    static let checksumBlank: UInt16 = 1
    static let validated: UInt16 = 2
    static let moreData: UInt16 = 4
    static let extra: UInt16 = 8
  }
  /// NETIF_RSP_*
  private enum Status {
    static let okay: Int16 = 0
    static let error: Int16 = -1
    /// Of a slot that was no request.
    static let null: Int16 = 1
  }

  private struct Slot {
    var reference: GrantReference
    var offset: UInt16
    var flags: UInt16
    var id: UInt16
    var size: UInt16
  }

  /// A frame's slots as they came.
  private struct Group {
    var slots: [Slot] = []
    var extras = 0
    var segmentation: Packet.Segmentation?
    var isBad = false
  }

  private let domain: Domain
  private var ring: SharedRing
  private let onPacket: (Packet) -> Void
  private let onFailure: (String) -> Void
  var port: EventPort = 0
  /// Who is connected to the port, where one port serves both directions.
  weak var notifier: (any EventService)?
  private var isOpen = true
  /// The guest gave more to do than one turn is for.
  private(set) var hasMore = false
  private var isServing = false

  init(
    domain: Domain, ring page: GrantedPage, onPacket: @escaping (Packet) -> Void, onFailure: @escaping (String) -> Void
  ) throws(RingError) {
    self.domain = domain
    self.onPacket = onPacket
    self.onFailure = onFailure
    ring = try SharedRing([page], slotBytes: Self.slotBytes)
  }

  func close() {
    isOpen = false
    hasMore = false
    domain.disconnect(port, from: notifier ?? self)
  }

  func guestNotified(_ domain: Domain, port: EventPort) { service() }

  /// Takes frames and passes them on.
  func service() {
    guard isOpen, !isServing else { return }
    isServing = true
    defer { isServing = false }
    var budget = 2 * Int(ring.entries)
    do throws(RingError) {
      while isOpen {
        var count = try ring.waiting()
        if count == 0 {
          ring.askForEvent()
          count = try ring.waiting()
          if count == 0 { break }
        }
        if budget <= 0 { break }
        let group = try take(count)
        budget -= group.slots.count + group.extras
        let packet = packet(group)
        let bytes = packet?.bytes.count ?? 0
        domain.hypervisor.charge(domain, ServiceCost.request &* UInt64(group.slots.count) &+ UInt64(bytes) / ServiceCost.bytesPerInstruction)
        respond(group, packet == nil ? Status.error : Status.okay)
        if let packet { onPacket(packet) }
      }
      hasMore = isOpen && budget <= 0
      if isOpen, ring.publish() { domain.raise(port, from: notifier ?? self) }
    } catch {
      isOpen = false
      onFailure(error.description)
    }
  }

  /// Takes the slots of one frame off the ring. A frame whose slots are not all there is a front end's end.
  private func take(_ count: UInt32) throws(RingError) -> Group {
    var group = Group()
    var n: UInt32 = 0
    var isMore = true
    while isMore {
      guard n < count else { throw RingError("a frame of its ring is not complete") }
      guard n < Self.brokenSlots else { throw RingError("a frame of its ring has too many slots") }
      let slot = slot(n)
      n += 1
      let isFirst = group.slots.isEmpty
      group.slots.append(slot)
      if slot.flags & Flag.extra != 0, isFirst {
        var isMoreExtra = true
        while isMoreExtra {
          guard n < count, n < Self.brokenSlots else { throw RingError("a frame of its ring is not complete") }
          isMoreExtra = takeExtra(n, &group)
          n += 1
        }
      }
      isMore = slot.flags & Flag.moreData != 0
    }
    ring.take(n)
    return group
  }

  /// { gref u32, offset u16, flags u16, id u16, size u16 }
  private func slot(_ n: UInt32) -> Slot {
    withUnsafeTemporaryAllocation(byteCount: Self.slotBytes, alignment: 8) { b in
      ring.copy(n, into: b)
      return Slot(
        reference: UInt32(littleEndian: b.load(as: UInt32.self)), offset: UInt16(littleEndian: b.load(fromByteOffset: 4, as: UInt16.self)),
        flags: UInt16(littleEndian: b.load(fromByteOffset: 6, as: UInt16.self)), id: UInt16(littleEndian: b.load(fromByteOffset: 8, as: UInt16.self)),
        size: UInt16(littleEndian: b.load(fromByteOffset: 10, as: UInt16.self)))
    }
  }

  /// { type u8, flags u8, size u16, kind u8, … }: of the types only segmentation is offered.
  /// - Returns: whether another one follows.
  private func takeExtra(_ n: UInt32, _ group: inout Group) -> Bool {
    let (type, flags, size, kind) = withUnsafeTemporaryAllocation(byteCount: Self.slotBytes, alignment: 8) { b in
      ring.copy(n, into: b)
      return (b[0], b[1], UInt16(littleEndian: b.load(fromByteOffset: 2, as: UInt16.self)), b[4])
    }
    group.extras += 1
    if type == 1, size > 0, let kind = Packet.Segmentation.Kind(rawValue: kind) {
      group.segmentation = Packet.Segmentation(kind: kind, size: Int(size))
    } else {
      group.isBad = true
    }
    return flags & 1 != 0
  }

  /// Gathers a frame; nil for one that cannot be.
  private func packet(_ group: Group) -> Packet? {
    guard !group.isBad, group.slots.count <= Self.maximumSlots, let first = group.slots.first else { return nil }
    // The first request has the size of all.
    let total = Int(first.size), rest = group.slots.dropFirst().reduce(0) { $0 + Int($1.size) }
    guard total >= Packet.headerBytes, rest < total else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(total)
    for (n, slot) in group.slots.enumerated() {
      let size = n == 0 ? total - rest : Int(slot.size)
      guard Int(slot.offset) + size <= GrantedPage.bytes else { return nil }
      do throws(XenError) {
        let page = try domain.map(slot.reference, writable: false)
        withUnsafeTemporaryAllocation(byteCount: max(size, 1), alignment: 8) { b in
          let part = UnsafeMutableRawBufferPointer(rebasing: b[..<size])
          page.read(Int(slot.offset), into: part)
          bytes.append(contentsOf: part)
        }
      } catch {
        return nil
      }
    }
    var packet = Packet(bytes)
    packet.isChecksumBlank = first.flags & Flag.checksumBlank != 0
    packet.isValidated = first.flags & (Flag.checksumBlank | Flag.validated) != 0
    packet.segmentation = group.segmentation
    return packet
  }

  /// { id u16, status s16 }, in the order of the slots.
  private func respond(_ group: Group, _ status: Int16) {
    for (n, slot) in group.slots.enumerated() {
      respond(slot.id, status)
      if n == 0 { for _ in 0..<group.extras { respond(0, Status.null) } }
    }
  }

  private func respond(_ id: UInt16, _ status: Int16) {
    withUnsafeTemporaryAllocation(byteCount: 4, alignment: 4) { b in
      b.storeBytes(of: id.littleEndian, as: UInt16.self)
      b.storeBytes(of: status.littleEndian, toByteOffset: 2, as: Int16.self)
      ring.respond(UnsafeRawBufferPointer(b))
    }
  }
}
