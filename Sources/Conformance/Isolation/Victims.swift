import Hypervisor
import Platform
import XenABI

/// Domains that a hostile one is not to reach: every page of theirs has secrets, and is compared with what it was.
struct Victims {
  let guests: [ScriptedGuest]
  private let hypervisor: Hypervisor
  /// Upper bits of all secrets, so that they can be found anywhere.
  let mark: UInt64
  private var expected: [[UInt64: [UInt64]]] = []
  private var counters: [UInt64]
  private(set) var ports: [EventPort] = []

  /// Grants that each victim has: read-only, writable, to the other victim, part of a page, of a page table, passed on.
  static let firstReference: GrantReference = 8
  static let pages = 128
  /// Pages that are granted; the others are secret.
  static let readable = 70, shared = 71, partial = 72, firstSecret = 64
  static let markMask: UInt64 = 0xFFFF_FFFF_FF00_0000

  init(_ hypervisor: Hypervisor, seed: UInt64) throws(BuildError) {
    self.hypervisor = hypervisor
    mark = (seed &* 0x9E37_79B9_7F4A_7C15 | 0x4000_0000_0000_0000) & Self.markMask & ~(0xFF << 56) | 0x5E << 56
    var guests: [ScriptedGuest] = []
    for (n, kind) in [GuestKind.pv64, .pv32].enumerated() {
      guests.append(try ScriptedGuest(hypervisor, "victim\(n + 1)", kind, pages: Self.pages, weight: 16))
    }
    self.guests = guests
    counters = guests.map { _ in 0 }
    for (n, guest) in guests.enumerated() {
      setUp(guest, version: UInt64(n + 1))
      hide(in: guest)
    }
    expected = guests.map { snapshot($0) }
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
    guest.give(list, to: 0)
    _ = guest.run([0], nanoseconds: 10_000_000)
  }

  private func hide(in guest: ScriptedGuest) {
    for pfn in Self.firstSecret..<Self.pages where pfn != Self.readable && pfn != Self.shared {
      guard !guest.domain.isPageTable(guest.frames[pfn]) else { continue }
      for n in 0..<512 where pfn != Self.partial || n < 64 || n >= 128 { put(secret(guest, pfn, n), guest.frames[pfn], n) }
    }
  }

  private func put(_ value: UInt64, _ frame: MachineFrameNumber, _ n: Int) {
    hypervisor.memory.host(frame.address)?.storeBytes(of: value, toByteOffset: n * 8, as: UInt64.self)
  }

  func secret(_ guest: ScriptedGuest, _ pfn: Int, _ n: Int) -> UInt64 { mark | UInt64(guest.domain.id.rawValue & 0xFF) << 16 | UInt64(pfn) << 9 | UInt64(n) }

  /// New grants, and a port each, for a hostile domain that has begun.
  mutating func welcome(_ hostile: DomainID) {
    ports = []
    for (n, guest) in guests.enumerated() {
      grant(guest, to: hostile, other: guests[1 - n].domain.id)
      var s = Structure(isWide: guest.kind.isWide)
      s.u16(0x7FF0)
      s.u16(UInt64(hostile.rawValue))
      s.u32(0)
      guest.writeArena(s.bytes, at: 512)
      var reset = Structure(isWide: guest.kind.isWide)
      reset.u32(3)
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
    func entry(_ n: UInt32, _ flags: UInt16, _ who: DomainID, _ frame: MachineFrameNumber, part: (UInt16, UInt16) = (0, 0)) {
      let p = at + Int(Self.firstReference + n) * (wide ? 16 : 8)
      p.storeBytes(of: flags, as: UInt16.self)
      p.storeBytes(of: who.rawValue, toByteOffset: 2, as: UInt16.self)
      if wide {
        p.storeBytes(of: part.0, toByteOffset: 4, as: UInt16.self)
        p.storeBytes(of: part.1, toByteOffset: 6, as: UInt16.self)
        p.storeBytes(of: frame.rawValue, toByteOffset: 8, as: UInt64.self)
      } else {
        p.storeBytes(of: UInt32(truncatingIfNeeded: frame.rawValue), toByteOffset: 4, as: UInt32.self)
      }
    }
    entry(0, 1 | 4, hostile, guest.frames[Self.readable])
    entry(1, 1, hostile, guest.frames[Self.shared])
    entry(2, 1, other, guest.frames[Self.firstSecret])
    if wide { entry(3, 1 | 4 | 1 << 8, hostile, guest.frames[Self.partial], part: (512, 512)) }
    if let table = guest.domain.vcpus.first?.root { entry(4, 1, hostile, table) }
    if wide { entry(5, 3, hostile, guest.frames[Self.firstSecret], part: (other.rawValue, 0)) }
  }

  // MARK: What must not change

  /// Frames whose every byte stays: not page tables, whose accessed bits change, nor the list a victim works off, nor what it shares.
  private func snapshot(_ guest: ScriptedGuest) -> [UInt64: [UInt64]] {
    var result: [UInt64: [UInt64]] = [:]
    let moving = [ScriptedGuest.Page.script, ScriptedGuest.Page.stack, ScriptedGuest.Page.arena, Self.shared].map { guest.frames[$0] }
    for frame in guest.domain.machineFrames where !moving.contains(frame) && !guest.domain.isPageTable(frame) {
      guard let host = hypervisor.memory.host(frame.address) else { continue }
      result[frame.rawValue] = Array(UnsafeBufferPointer(start: host.assumingMemoryBound(to: UInt64.self), count: 512))
    }
    return result
  }

  /// What of the victims is not as it was.
  func changes() -> [String] {
    var found: [String] = []
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
