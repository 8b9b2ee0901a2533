import Hypervisor
import XenABI
import Xenstore

/// Whether services still do for the victims what they are for, whatever a hostile domain has done with its own.
extension Victims {
  func useServices(_ random: inout FuzzRandom) -> [String] {
    var found: [String] = []
    for guest in guests where guest.isAlive {
      if let wrong = readOwnSecret(guest) { found.append("xenstore \(wrong) for \(guest.domain.name)") }
      guard let ends = guest.frontEnds else { continue }
      if !ends.isConnected { found.append("the devices of \(guest.domain.name) are not connected: \(ends.block.state), \(ends.network.state)") }
      if let wrong = useDisk(ends, &random) { found.append("the disk of \(guest.domain.name) \(wrong)") }
    }
    let others = guests.compactMap { $0.frontEnds }
    if others.count > 1 {
      let from = random.below(others.count), to = (from + 1 + random.below(others.count - 1)) % others.count
      if let wrong = sendFrame(others[from], others[to], &random) {
        found.append("a frame from \(others[from].guest.domain.name) to \(others[to].guest.domain.name) \(wrong)")
      }
    }
    return found
  }

  /// Reads its private node by a message of its own.
  private func readOwnSecret(_ guest: ScriptedGuest) -> String? {
    let page = guest.storePage, path = Array("data/secret".utf8) + [0]
    func word(_ offset: Int) -> UInt32 { page.load(fromByteOffset: offset, as: UInt32.self) }
    let request = XenstoreMessage(.read, requestID: 7, payload: path).bytes
    let producer = word(RingField.storeRequestProducer)
    for (n, byte) in request.enumerated() { page.storeBytes(of: byte, toByteOffset: Int((producer &+ UInt32(n)) & 1023), as: UInt8.self) }
    page.storeBytes(of: producer &+ UInt32(request.count), toByteOffset: RingField.storeRequestProducer, as: UInt32.self)
    let first = word(RingField.storeReplyProducer)
    guest.kick(guest.storePort)
    let last = word(RingField.storeReplyProducer)
    page.storeBytes(of: last, toByteOffset: RingField.storeReplyConsumer, as: UInt32.self)
    let wanted = XenstoreMessage(.read, requestID: 7, payload: (0..<8).flatMap { ScriptedGuest.bytes(secret(guest, Self.stored, $0)) }).bytes
    let reply = (0..<min(last &- first, 1024)).map { page.load(fromByteOffset: 1024 + Int((first &+ $0) & 1023), as: UInt8.self) }
    // Looked at no more: nobody else is to find it there.
    for n in 0..<1024 { page.storeBytes(of: 0, toByteOffset: 1024 + n, as: UInt8.self) }
    return reply == wanted ? nil : "answers \(reply.count) bytes, not what was written"
  }

  /// Writes some sectors behind the secret ones and reads them again.
  private func useDisk(_ ends: FrontEnds, _ random: inout FuzzRandom) -> String? {
    let sector = UInt64(Self.secretSectors + random.below(1000)), pages = ServicePlace.data.lowerBound
    let bytes = (0..<4096).map { _ in random.byte() }
    ends.guest.write(bytes, page: pages, offset: 0)
    guard ends.transfer(write: true, sector: sector, [(ServicePlace.readOnlyReference, 0, 7)], id: 1) == 0 else { return "cannot be written" }
    ends.guest.write([UInt8](repeating: 0, count: 4096), page: pages + 1, offset: 0)
    guard ends.transfer(write: false, sector: sector, [(ServicePlace.dataReference + 1, 0, 7)], id: 2) == 0 else { return "cannot be read" }
    guard let host = ends.guest.hypervisor.memory.host(ends.guest.frames[pages + 1].address) else { return nil }
    return UnsafeRawBufferPointer(start: host, count: 4096).elementsEqual(bytes) ? nil : "has other bytes than were written"
  }

  /// Lets one send a frame that the other receives, after all that was sent to it before.
  private func sendFrame(_ from: FrontEnds, _ to: FrontEnds, _ random: inout FuzzRandom) -> String? {
    for _ in 0..<3 { to.offerBuffers() }
    var consumer = to.get(ServicePlace.receiveRing, RingField.responseProducer)
    // To everybody, from an address that nobody else has.
    var frame: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2] + (0..<5).map { _ in random.byte() } + [0x88, 0xB5]
    frame += (0..<random.below(4000)).map { _ in random.byte() }
    from.transmit(frame)
    let received = to.received(&consumer)
    return received.contains(frame) ? nil : "did not arrive as it was; \(received.count) others did"
  }
}
