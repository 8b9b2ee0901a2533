import Hypervisor
import Platform
import XenABI

/// Domains that a hostile one is not to reach: every page of theirs, their disks and their private nodes in xenstore have secrets, and are
/// compared with what they were.
struct Victims {
  let guests: [ScriptedGuest]
  private let services: CaseServices
  private let hypervisor: Hypervisor
  /// Upper bits of all secrets, so that they can be found anywhere.
  let mark: UInt64
  private var expected: [[UInt64: [UInt64]]] = []
  private var counters: [UInt64]
  private var nodes: [[String: CaseServices.StoredNode]] = []
  /// Frames that the first victim has got in a hostile domain's time.
  private var wandering: [MachineFrameNumber] = []
  /// Pages that were granted and are secret now.
  private var withdrawn: [(guest: Int, page: Int)] = []
  private(set) var ports: [EventPort] = []

  /// Grants that each victim has: read-only, writable, to the other victim, part of a page, of a page table, passed on.
  static let firstReference: GrantReference = 8
  static let pages = 128
  static let given = [120, 121]
  /// Numbers, in place of pages, of the secrets in xenstore and on disks.
  static let stored = 1, onDisk = 2
  static let secretSectors = 64
  /// Pages that are granted; the others are secret, but for those of front ends.
  static let readable = 70, shared = 71, partial = 72, firstSecret = 64
  static let markMask: UInt64 = 0xFFFF_FFFF_FF00_0000

  static func mark(_ seed: UInt64) -> UInt64 {
    (seed &* 0x9E37_79B9_7F4A_7C15 | 0x4000_0000_0000_0000) & Self.markMask & ~(0xFF << 56) | 0x5E << 56
  }

  /// - Parameters:
  ///   - mark: upper bits of the secrets.
  ///   - devices: whether they have disks and network interfaces.
  init(_ hypervisor: Hypervisor, mark: UInt64, _ services: CaseServices, pvh: GuestKind, devices: Bool) throws(BuildError) {
    self.hypervisor = hypervisor
    self.services = services
    self.mark = mark
    var guests: [ScriptedGuest] = []
    for (n, kind) in [GuestKind.pv64, .pv32, pvh].enumerated() {
      guests.append(try ScriptedGuest(hypervisor, "victim\(n + 1)", kind, pages: Self.pages, services, weight: 16))
    }
    self.guests = guests
    counters = guests.map { _ in 0 }
    for (n, guest) in guests.enumerated() {
      setUp(guest, version: UInt64(n % 2 + 1))
      hide(in: guest)
      services.hide(in: guest) { secret(guest, Self.stored, $0) }
      for sector in 0..<Self.secretSectors { for word in 0..<64 { services.medium.sectors(sector, 1, of: n + 1).storeBytes(of: secret(guest, Self.onDisk, word), toByteOffset: word * 8, as: UInt64.self) } }
      guard devices else { continue }
      guest.frontEnds = FrontEnds(guest, disk: Disk(services.medium, n + 1, isWritable: true), store: services.store, bridge: services.bridge)
      guest.frontEnds?.connect()
    }
    expected = guests.map { snapshot($0) }
    nodes = guests.map { storedNodes($0) }
  }

  private func setUp(_ guest: ScriptedGuest, version: UInt64) {
    var list = guest.firstCommands(0)
    var wanted = Structure(isWide: guest.kind.isWide)
    wanted.u32(version)
    guest.writeArena(wanted.bytes, at: 0)
    var table = Structure(isWide: guest.kind.isWide)
    table.u16(0x7FF0)
    table.u32(1)
    table.u16(0)
    table.word(guest.address(ScriptedGuest.Page.arena) + 256)
    guest.writeArena(table.bytes, at: 128)
    list.append(GuestCommand(number: 20, arguments: [8, guest.address(ScriptedGuest.Page.arena), 1]))
    list.append(GuestCommand(number: 20, arguments: [2, guest.address(ScriptedGuest.Page.arena) + 128, 1]))
    if guest.kind == .pv64 {
      // Two pages fewer than it may have: see `wander`.
      for pfn in Self.given { list.append(GuestCommand(number: 14, arguments: [guest.address(pfn), 0, UVMF.invlpg | UVMF.all])) }
      guest.writeArena(Self.given.flatMap { ScriptedGuest.bytes(guest.frames[$0].rawValue) }, at: 640)
      list.append(changeReservation(guest, MemoryOp.decreaseReservation))
    }
    guest.give(list, to: 0)
    _ = guest.run([0], nanoseconds: 10_000_000)
  }

  /// For the frames, or for room for them, in the arena at 640.
  private func changeReservation(_ guest: ScriptedGuest, _ operation: UInt64) -> GuestCommand {
    var s = Structure(isWide: guest.kind.isWide)
    s.word(guest.address(ScriptedGuest.Page.arena) + 640)
    s.word(UInt64(Self.given.count))
    s.u32(0)
    s.u32(0)
    s.u16(0x7FF0)
    s.align(8)
    guest.writeArena(s.bytes, at: 704)
    return GuestCommand(number: 12, arguments: [operation, guest.address(ScriptedGuest.Page.arena) + 704])
  }

  /// The first victim takes two frames, which may be what a hostile domain has just given back, and puts secrets there; or gives them back.
  mutating func wander() {
    let guest = guests[0]
    let isTaking = wandering.isEmpty
    for frame in wandering { expected[0][frame.rawValue] = nil }
    guest.writeArena(isTaking ? [UInt8](repeating: 0, count: 16) : wandering.flatMap { ScriptedGuest.bytes($0.rawValue) }, at: 640)
    guest.give([changeReservation(guest, isTaking ? MemoryOp.increaseReservation : MemoryOp.decreaseReservation)], to: 0)
    _ = guest.run([0], nanoseconds: 2_000_000)
    wandering = []
    guard isTaking else { return }
    for n in Self.given.indices {
      let frame = MachineFrameNumber(guest.word(page: ScriptedGuest.Page.arena, offset: 640 + n * 8))
      guard hypervisor.owner(of: frame) == guest.domain.id else { continue }
      for word in 0..<512 { put(secret(guest, Self.given[n], word), frame, word) }
      expected[0][frame.rawValue] = (0..<512).map { secret(guest, Self.given[n], $0) }
      wandering.append(frame)
    }
  }

  /// A victim takes its grants of whole pages back, where nobody uses them, and has secrets there from now on.
  mutating func withdraw() {
    for (n, guest) in guests.enumerated() where guest.domain.grantVersion == 1 {
      guard let table = guest.domain.grantTableFrames.first, let at = hypervisor.memory.host(table.address) else { continue }
      for (reference, pfn) in [(Self.firstReference, Self.readable), (Self.firstReference + 1, Self.shared)] {
        let p = at + Int(reference) * 8
        let flags = p.load(as: UInt16.self)
        // Somebody reads or writes.
        if flags & 0x18 != 0 || flags & 3 == 0 { continue }
        p.storeBytes(of: 0, as: UInt16.self)
        for word in 0..<512 { put(secret(guest, pfn, word), guest.frames[pfn], word) }
        expected[n][guest.frames[pfn].rawValue] = (0..<512).map { secret(guest, pfn, $0) }
        withdrawn.append((n, pfn))
      }
    }
  }

  /// Before new grants: what was withdrawn is no secret any more.
  private mutating func restore() {
    for (n, pfn) in withdrawn { for word in 0..<512 { put(0, guests[n].frames[pfn], word) } }
    withdrawn = []
  }

  /// Private nodes are written again.
  func stirStore() {
    for guest in guests { services.stir(guest) { secret(guest, Self.stored, $0) } }
  }

  /// The victims have what they had at first.
  mutating func settle() { if !wandering.isEmpty { wander() } }

  private func hide(in guest: ScriptedGuest) {
    for pfn in Self.firstSecret..<Self.pages where pfn != Self.readable && pfn != Self.shared && !ServicePlace.pages.contains(pfn) {
      guard hypervisor.owner(of: guest.frames[pfn]) == guest.domain.id, !guest.domain.isPageTable(guest.frames[pfn]) else { continue }
      for n in 0..<512 where pfn != Self.partial || n < 64 || n >= 128 { put(secret(guest, pfn, n), guest.frames[pfn], n) }
    }
  }

  private func put(_ value: UInt64, _ frame: MachineFrameNumber, _ n: Int) {
    hypervisor.memory.host(frame.address)?.storeBytes(of: value, toByteOffset: n * 8, as: UInt64.self)
  }

  func secret(_ guest: ScriptedGuest, _ pfn: Int, _ n: Int) -> UInt64 { mark | UInt64(guest.domain.id.rawValue & 0xFF) << 16 | UInt64(pfn) << 9 | UInt64(n) }

  /// New grants, and a port each, for a hostile domain that has begun.
  mutating func welcome(_ hostile: DomainID) {
    restore()
    let old = ports
    ports = []
    for (n, guest) in guests.enumerated() {
      grant(guest, to: hostile, other: guests[(n + 1) % guests.count].domain.id)
      var s = Structure(isWide: guest.kind.isWide)
      s.u16(0x7FF0)
      s.u16(UInt64(hostile.rawValue))
      s.u32(0)
      guest.writeArena(s.bytes, at: 512)
      var reset = Structure(isWide: guest.kind.isWide)
      reset.u32(old.isEmpty ? 0 : UInt64(old[n]))
      guest.writeArena(reset.bytes, at: 576)
      let arena = guest.address(ScriptedGuest.Page.arena)
      guest.give([GuestCommand(number: 32, arguments: [3, arena + 576]), GuestCommand(number: 32, arguments: [6, arena + 512])], to: 0)
      _ = guest.run([0], nanoseconds: 5_000_000)
      ports.append(UInt32(truncatingIfNeeded: guest.word(page: ScriptedGuest.Page.arena, offset: 512) >> 32))
    }
    for n in guests.indices { expected[n] = snapshot(guests[n]) }
  }

  private func grant(_ guest: ScriptedGuest, to hostile: DomainID, other: DomainID) {
    guard let table = guest.domain.grantTableFrames.first, let at = hypervisor.memory.host(table.address) else { return }
    let wide = guest.domain.grantVersion == 2
    func entry(_ n: UInt32, _ flags: UInt16, _ who: DomainID, _ frame: UInt64, part: (UInt16, UInt16) = (0, 0)) {
      let p = at + Int(Self.firstReference + n) * (wide ? 16 : 8)
      p.storeBytes(of: flags, as: UInt16.self)
      p.storeBytes(of: who.rawValue, toByteOffset: 2, as: UInt16.self)
      if wide {
        p.storeBytes(of: part.0, toByteOffset: 4, as: UInt16.self)
        p.storeBytes(of: part.1, toByteOffset: 6, as: UInt16.self)
        p.storeBytes(of: frame, toByteOffset: 8, as: UInt64.self)
      } else {
        p.storeBytes(of: UInt32(truncatingIfNeeded: frame), toByteOffset: 4, as: UInt32.self)
      }
    }
    entry(0, 1 | 4, hostile, guest.number(Self.readable))
    entry(1, 1, hostile, guest.number(Self.shared))
    entry(2, 1, other, guest.number(Self.firstSecret))
    if wide { entry(3, 1 | 4 | 1 << 8, hostile, guest.number(Self.partial), part: (512, 512)) }
    // A PVH guest that grants its page tables for writing has nobody to blame.
    if guest.kind.isParavirtual, let table = guest.domain.vcpus.first?.root { entry(4, 1, hostile, table.rawValue) }
    if wide { entry(5, 3, hostile, guest.number(Self.firstSecret), part: (other.rawValue, 0)) }
  }

  // MARK: What must not change

  /// Frames whose every byte stays: not page tables, whose accessed bits change, nor the list a victim works off, nor what it shares.
  private func snapshot(_ guest: ScriptedGuest) -> [UInt64: [UInt64]] {
    var result: [UInt64: [UInt64]] = [:]
    var pages = [ScriptedGuest.Page.script, ScriptedGuest.Page.stack, ScriptedGuest.Page.arena, Self.shared] + ServicePlace.pages
    if !guest.kind.isParavirtual { pages += ScriptedGuest.Page.tables }
    let moving = Set(pages.map { guest.frames[$0] } + guest.domain.ringFrames)
    for frame in guest.domain.machineFrames where !moving.contains(frame) && !guest.domain.isPageTable(frame) {
      guard let host = hypervisor.memory.host(frame.address) else { continue }
      result[frame.rawValue] = Array(UnsafeBufferPointer(start: host.assumingMemoryBound(to: UInt64.self), count: 512))
    }
    return result
  }

  private func storedNodes(_ guest: ScriptedGuest) -> [String: CaseServices.StoredNode] {
    var result = services.snapshot("/local/domain/\(guest.domain.id.rawValue)")
    for kind in ["vbd", "vif"] { result.merge(services.snapshot("/local/domain/0/backend/\(kind)/\(guest.domain.id.rawValue)")) { $1 } }
    return result
  }

  /// What of the victims is not as it was: memory, nodes in xenstore, disks.
  func changes() -> [String] {
    var found: [String] = []
    for (n, guest) in guests.enumerated() {
      if nodes[n] != storedNodes(guest) { found.append("nodes of \(guest.domain.name) in xenstore were changed") }
      let disk = services.medium.sectors(0, Self.secretSectors, of: n + 1)
      for word in 0..<Self.secretSectors * 64 where disk.load(fromByteOffset: word * 8, as: UInt64.self) != secret(guest, Self.onDisk, word % 64) {
        found.append("sector \(word / 64) of the disk of \(guest.domain.name) was changed")
        break
      }
    }
    for (guest, pages) in zip(guests, expected) {
      if !guest.isAlive { found.append("\(guest.domain.name) has ended: \(guest.domain.shutdownReason?.name ?? "")") }
      for (frame, words) in pages {
        guard hypervisor.owner(of: MachineFrameNumber(frame)) == guest.domain.id, let host = hypervisor.memory.host(frame << 12) else {
          found.append("\(guest.domain.name) has lost frame \(String(frame, radix: 16))")
          continue
        }
        let same = words.withUnsafeBytes { compare($0, host) }
        if let same { found.append("byte \(same) of frame \(String(frame, radix: 16)) of \(guest.domain.name) was changed") }
      }
    }
    return found
  }

  private func compare(_ words: UnsafeRawBufferPointer, _ host: UnsafeMutableRawPointer) -> Int? {
    for n in 0..<512 where words.load(fromByteOffset: n * 8, as: UInt64.self) != host.load(fromByteOffset: n * 8, as: UInt64.self) { return n * 8 }
    return nil
  }

  /// Secrets in a domain's memory and registers.
  func secrets(in guest: ScriptedGuest) -> [String] {
    var found: [String] = []
    for frame in guest.domain.machineFrames + guest.domain.grantTableFrames + guest.domain.grantStatusFrames + [guest.domain.sharedInfoFrame] {
      guard let host = hypervisor.memory.host(frame.address) else { continue }
      for n in 0..<512 {
        let word = host.load(fromByteOffset: n * 8, as: UInt64.self)
        if word & Self.markMask == mark { found.append("secret \(String(word, radix: 16)) is in \(frame) of \(guest.domain.name), byte \(n * 8)") }
      }
      if found.count > 3 { return found }
    }
    for v in guest.domain.vcpus {
      for word in v.registers where word & Self.markMask == mark { found.append("secret \(String(word, radix: 16)) is in a register of \(v.label)") }
    }
    return found
  }

  /// The same at every offset.
  func scattered(in guest: ScriptedGuest) -> [String] {
    for frame in guest.domain.machineFrames {
      guard let host = hypervisor.memory.host(frame.address) else { continue }
      for n in 0...4088 {
        let word = host.loadUnaligned(fromByteOffset: n, as: UInt64.self)
        if word & Self.markMask == mark { return ["secret \(String(word, radix: 16)) is in \(frame) of \(guest.domain.name), byte \(n)"] }
      }
    }
    return []
  }

  /// Whether a text has a secret at any offset.
  func isSecret(in text: [UInt8]) -> Bool {
    let upper = (4..<8).map { UInt8(truncatingIfNeeded: mark >> ($0 * 8)) }
    return text.indices.dropLast(3).contains { text[$0..<$0 + 4].elementsEqual(upper) }
  }

  /// Whether every victim has had its turn and gone on since the last time this was asked.
  mutating func goOn() -> [String] {
    var found: [String] = []
    for (n, guest) in guests.enumerated() {
      let before = max(guest.idleCount(), counters[n])
      for _ in 0..<10_000 where guest.isAlive && guest.idleCount() <= before {
        if case .idle(let until) = hypervisor.step() { hypervisor.advance(to: until ?? hypervisor.now + 1_000_000) }
      }
      if guest.idleCount() <= before { found.append("\(guest.domain.name) does not go on") }
      counters[n] = guest.idleCount()
    }
    return found
  }
}
