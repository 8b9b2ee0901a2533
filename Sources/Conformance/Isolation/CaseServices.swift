import Backends
import Hypervisor
import Toolstack
import XenABI
import Xenstore

/// The services of a case's domains, as the toolstack attaches them: one xenstore for all, consoles, disks that lie side by side, and a bridge
/// with everybody's interface and one of its own, which looks at every frame.
final class CaseServices {
  let store = XenstoreServer()
  let bridge = Bridge(name: "xenbr0")
  let medium: Medium
  private let hypervisor: Hypervisor
  private let mark: UInt64
  private let watcher = Watcher()
  private var problems: [String] = []
  private var frames = 0, turns = 0

  private final class Watcher: BridgePort {
    func receive(_ packet: Packet) {}
  }

  /// - Parameter mark: upper bits of every secret.
  init(_ hypervisor: Hypervisor, mark: UInt64, disks: Int) {
    self.hypervisor = hypervisor
    self.mark = mark
    medium = Medium(disks: disks)
    medium.isSecret = { [unowned self] in isSecret($0) }
    store.host.domainExists = { [unowned hypervisor] id in id == 0 || hypervisor.domains[DomainID(id)] != nil }
    store.host.introduce = { _, _, _, _ in false }
    // So small that a hostile domain comes to the end of them.
    store.quotas.nodes = 60
    store.quotas.watches = 4
    store.quotas.transactions = 2
    store.quotas.memory = 1 << 16
    bridge.attach(watcher)
    bridge.onPacket = { [unowned self] packet in
      frames += 1
      if packet.bytes.withUnsafeBytes({ isSecret($0) }) { problems.append("a secret is in a frame") }
    }
  }

  /// Whether bytes have a secret in them at any offset.
  func isSecret(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if bytes.count < 8 { return false }
    // The highest byte of all secrets, and what is before it.
    let top = UInt8(truncatingIfNeeded: mark >> 56)
    for n in 7..<bytes.count where bytes[n] == top {
      if bytes.loadUnaligned(fromByteOffset: n - 7, as: UInt64.self) & Victims.markMask == mark { return true }
    }
    return false
  }

  /// Name of a node that nobody who may not list the one above can know.
  var secretName: String { "k" + String(mark >> 24, radix: 16) }

  // MARK: Domains

  func storeLink() -> StoreLink { StoreLink(store) }

  /// Introduces a domain to the store; what the store tells it is looked at before the domain can see it.
  func attach(_ built: BuiltDomain, _ link: StoreLink) {
    link.attach(built)
    let page = built.storePage
    let id = built.domain.id.rawValue, name = Array(secretName.utf8), isHostile = built.domain.name == "hostile"
    link.onTurn = { [unowned self] in
      guard isHostile else { return }
      turns += 1
      let bytes = UnsafeRawBufferPointer(start: page, count: 2048)
      if isSecret(bytes) { problems.append("xenstore tells domain \(id) a secret") }
      if Self.contains(bytes, name) { problems.append("xenstore tells domain \(id) a secret name") }
    }
    let path = "/local/domain/\(id)"
    let readable = [XenstorePermission(.none, 0), XenstorePermission(.read, id)], own = [XenstorePermission(.none, id)]
    for (key, value, permissions) in [("", "", readable), ("/name", built.domain.name, readable), ("/device", "", readable), ("/data", "", own), ("/control", "", readable)] {
      try? store.write(path + key, value)
      try? store.setPermissions(path + key, permissions)
    }
  }

  private static func contains(_ bytes: UnsafeRawBufferPointer, _ text: [UInt8]) -> Bool {
    guard let first = text.first else { return false }
    for n in 0..<bytes.count - text.count where bytes[n] == first && bytes[n + 1] == text[1] {
      if bytes[n..<n + text.count].elementsEqual(text) { return true }
    }
    return false
  }

  /// Nodes of a victim that nobody else may read, and some that others may.
  func hide(in victim: ScriptedGuest, secret: (Int) -> UInt64) {
    let id = victim.domain.id.rawValue, path = "/local/domain/\(id)"
    let own = [XenstorePermission(.none, id)]
    try? store.write(path + "/data/secret", (0..<8).flatMap { ScriptedGuest.bytes(secret($0)) })
    try? store.write(path + "/data/private", "")
    try? store.write(path + "/data/private/" + secretName, (0..<4).flatMap { ScriptedGuest.bytes(secret($0)) })
    try? store.write(path + "/data/open", "for all")
    try? store.setPermissions(path + "/data/open", [XenstorePermission(.read, id)])
    for key in ["/data/secret", "/data/private", "/data/private/" + secretName] { try? store.setPermissions(path + key, own) }
  }

  /// Changes a victim's private node, so that those who watch it are told.
  func stir(_ victim: ScriptedGuest, secret: (Int) -> UInt64) {
    try? store.write("/local/domain/\(victim.domain.id.rawValue)/data/private/" + secretName, (0..<4).flatMap { ScriptedGuest.bytes(secret($0)) })
  }

  /// Takes a domain that has ended out of all services, in the toolstack's order.
  func detach(_ guest: ScriptedGuest) {
    guest.console.drain()
    guest.console.onOutput = nil
    guest.frontEnds?.stop()
    store.release(guest.domain.id.rawValue)
    try? store.remove("/local/domain/\(guest.domain.id.rawValue)")
  }

  /// What the toolstack does now and then.
  func service(_ guests: [ScriptedGuest]) {
    store.advance(to: hypervisor.now / 1_000_000)
    for guest in guests where guest.isAlive {
      guest.frontEnds?.block.service()
      guest.frontEnds?.network.service()
      guest.storeLink.deliver(to: guest.domain)
    }
  }

  /// Offsets in the store's ring that are impossible: the store must not listen on, nor take anything from there.
  func tryStore(_ guest: ScriptedGuest) -> [String] {
    let page = guest.storePage
    func word(_ offset: Int) -> UInt32 { page.load(fromByteOffset: offset, as: UInt32.self) }
    guard guest.isAlive, word(RingField.storeError) == 0, word(RingField.storeConnection) == 0 else { return [] }
    let consumer = word(RingField.storeRequestConsumer)
    page.storeBytes(of: consumer &+ 3000, toByteOffset: RingField.storeRequestProducer, as: UInt32.self)
    guest.kick(guest.storePort)
    return word(RingField.storeRequestConsumer) == consumer || word(RingField.storeError) != 0 ? [] : ["xenstore takes 3000 bytes from a ring of 1024"]
  }

  /// A frame from outside, for everybody or somebody.
  func send(_ bytes: [UInt8]) { bridge.forward(Packet(bytes), from: watcher) }

  // MARK: What must be so

  /// Frames on the bridge since the last question.
  func takeFrames() -> Int {
    defer { frames = 0 }
    return frames
  }

  /// Turns of the store for hostile domains since the last question.
  func takeTurns() -> Int {
    defer { turns = 0 }
    return turns
  }

  func takeProblems() -> [String] {
    defer { problems = [] }
    return problems.prefix(8) + medium.takeProblems()
  }

  /// Nodes at and below a path, with their permissions.
  func snapshot(_ path: String) -> [String: StoredNode] {
    var result: [String: StoredNode] = [:]
    var open = [path]
    while let next = open.popLast() {
      guard let value = try? store.read(next), let permissions = try? store.permissions(next) else { continue }
      result[next] = StoredNode(value: value, permissions: permissions)
      open += ((try? store.list(next)) ?? []).map { "\(next)/\($0)" }
    }
    return result
  }

  struct StoredNode: Equatable {
    var value: [UInt8]
    var permissions: [XenstorePermission]
  }

  /// Whether anything in the store is still counted for a domain.
  func isCharged(_ id: DomainID) -> Bool {
    let usage = store.usage(of: id.rawValue)
    return usage.nodes != 0 || usage.memory != 0 || usage.watches != 0 || usage.transactions != 0 || usage.outstanding != 0
  }

  /// What a domain has of the store beyond what it may have. The toolstack's own writes below its directory are not counted to it beforehand.
  func excess(of id: DomainID) -> [String] {
    let usage = store.usage(of: id.rawValue), quotas = store.quotas
    var found: [String] = []
    if usage.nodes > quotas.nodes + 24 { found.append("\(id) has \(usage.nodes) nodes of \(quotas.nodes)") }
    if usage.watches > quotas.watches { found.append("\(id) has \(usage.watches) watches of \(quotas.watches)") }
    if usage.transactions > quotas.transactions { found.append("\(id) has \(usage.transactions) transactions of \(quotas.transactions)") }
    if usage.memory > quotas.memory + 16384 { found.append("\(id) takes up \(usage.memory) bytes of xenstore's \(quotas.memory)") }
    if usage.outstanding > quotas.outstanding + 1 { found.append("\(id) has \(usage.outstanding) requests under way") }
    if min(usage.nodes, usage.watches, usage.transactions, usage.memory, usage.outstanding) < 0 { found.append("\(id) has \(usage) of xenstore") }
    return found
  }
}
