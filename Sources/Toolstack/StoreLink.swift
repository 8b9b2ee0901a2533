import Hypervisor
import XenABI
import Xenstore

/// Joins a domain's xenstore page and port with the store.
package final class StoreLink: EventService {
  /// What a guest pays for a turn of the store's and for each byte of requests and replies, in instructions: about the host's time.
  private static let requestCost: UInt64 = 1000, byteCost: UInt64 = 50

  private let store: XenstoreServer
  private var ring: XenstoreRing?
  private var connection: XenstoreConnectionID?
  private var port: EventPort?
  /// Told after each turn of the domain's, before it can see what came of it.
  package var onTurn: (() -> Void)?

  package init(_ store: XenstoreServer) { self.store = store }

  package func attach(_ built: BuiltDomain) {
    let ring = XenstoreRing(page: built.storePage)
    ring.initialize()
    self.ring = ring
    port = built.storePort
    connection = store.introduce(built.domain.id.rawValue)
  }

  package func guestNotified(_ domain: Domain, port: EventPort) {
    guard let ring, let connection else { return }
    let before = ring.movedBytes
    // The guest can set the counts back: one turn moves no more than both rings hold.
    defer { domain.hypervisor.charge(domain, Self.requestCost + UInt64(min(ring.movedBytes &- before, UInt32(2 * XenstoreRing.size))) * Self.byteCost) }
    if ring.service(store, on: connection) { domain.raise(port, from: self) }
    onTurn?()
  }

  /// Watch events that come up without a request of the domain's.
  package func deliver(to domain: Domain) {
    guard let connection, let port, store.hasOutput(on: connection) else { return }
    guestNotified(domain, port: port)
  }
}
