import Platform
import Processor
import Testing
import X86
import XenABI

@testable import Hypervisor

/// Shadow page tables against the guest's own tables: two PVH domains with the same contents, one walked by its shadow and one by its
/// tables, must translate alike, fault alike and end with the same accessed and dirty bits.
@Suite struct ShadowPagingTests {
  enum Mode: CaseIterable { case flat, twoLevel, pae, fourLevel }

  /// A PVH domain of 4 MiB whose processor is driven from here.
  final class Guest {
    static let frames: UInt64 = 1024
    let domain: Domain
    var cpu: CPU { domain.vcpus[0].cpu }
    var hypervisor: Hypervisor { domain.hypervisor }

    private final class Nobody: EventService {
      func guestNotified(_ domain: Domain, port: EventPort) {}
    }

    init(_ h: Hypervisor, _ paging: GuestPaging, poolBytes: UInt64? = nil) throws {
      let kernel = PVHKernel(segments: [.init(address: 0x1000, bytes: [0xEB, 0xFE], size: 2)], entry: 0x1000)
      domain = try h.build(DomainRequest(name: "\(paging)", memoryBytes: Self.frames << 12, paging: paging), kernel: .pvh(kernel), store: Nobody()).domain
      if let poolBytes {
        domain.hvm!.shadow!.tearDown()
        domain.hvm!.shadow = ShadowPaging(domain, bytes: poolBytes)
      }
    }

    func machine(_ address: UInt64) -> UInt64 { domain.hvm!.memory[GuestFrameNumber(address >> 12)]!.address | (address & 0xFFF) }
    func write(_ address: UInt64, _ value: UInt64, size: Int = 8) { hypervisor.memory.write(machine(address), value, size: size) }
    func read(_ address: UInt64) -> UInt64 { hypervisor.memory.read(machine(address), size: 8) }

    func enter(_ mode: Mode, root: UInt64, cr0: UInt64 = CR0.WP, cr4: UInt64 = 0) throws {
      let s = cpu.s
      try cpu.setCR0(CR0.PE | CR0.ET)
      try cpu.setEFER(mode == .fourLevel ? EFER.LME | EFER.NXE : mode == .pae ? EFER.NXE : 0)
      let paging: UInt64 = mode == .twoLevel ? CR4.PSE : CR4.PAE | CR4.PGE
      try cpu.setCR4((mode == .flat ? 0 : paging) | cr4)
      try cpu.setCR3(root)
      try cpu.setCR0(CR0.PE | CR0.ET | cr0 | (mode == .flat ? 0 : CR0.PG))
      s.pointee.cpl = 0
    }

    /// What an access comes to: a guest-physical address, or a fault's error code.
    enum Outcome: Equatable { case page(UInt64), fault(UInt32) }

    func access(_ linear: UInt64, _ kind: Access, user: Bool) -> (Outcome, PageTranslation?) {
      do throws(Fault) {
        let t = try cpu.translate(linear, kind, user: user)
        if t.physical & GuestPhysicalMap.outside != 0 { return (.page(t.physical & ~GuestPhysicalMap.outside), t) }
        return (.page(hypervisor.physical(of: MachineFrameNumber(t.physical >> 12)) << 12 | (t.physical & 0xFFF)), t)
      } catch {
        return (.fault(error.errorCode), nil)
      }
    }
  }

  /// Numbers that are the same in every run.
  struct Random {
    var state: UInt64
    mutating func next(_ below: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % below
    }
    mutating func flip(_ oneIn: UInt64) -> Bool { next(oneIn) == 0 }
  }

  /// Tables lie in frames 32 to 63; entries of theirs lead there, to other memory, and to nowhere.
  private static func entry(_ r: inout Random, _ mode: Mode) -> UInt64 {
    var e: UInt64 = r.flip(8) ? 0 : PTE.present
    if !r.flip(4) { e |= PTE.writable }
    if !r.flip(3) { e |= PTE.user }
    if r.flip(2) { e |= PTE.accessed }
    if r.flip(2) { e |= PTE.dirty }
    if r.flip(4) { e |= PTE.global }
    if mode != .twoLevel, r.flip(6) { e |= PTE.noExecute }
    if mode == .fourLevel, r.flip(6) { e |= r.next(16) << 59 }
    switch r.next(10) {
    case 0..<6: e |= (32 + r.next(32)) << 12
    case 6..<8: e |= r.next(Guest.frames) << 12
    case 8: e |= PTE.large | (mode == .twoLevel ? r.next(2) << 22 : r.next(3) << 21)
    default: e |= 0xFFFF_0000
    }
    return e
  }

  @Test(arguments: Mode.allCases) func translatesAsTheGuestsTables(_ mode: Mode) throws {
    let h = Hypervisor(memoryBytes: 256 << 20, model: CPUModel.named("x86-64-v3")!)
    let shadowed = try Guest(h, .shadow), nested = try Guest(h, .nested)
    let guests = [shadowed, nested]
    var r = Random(state: UInt64(mode == .pae ? 7 : 3))
    let narrow = mode == .twoLevel
    var pages = 0, faults = 0
    for round in 0..<120 {
      // Tables change a little; now and then one is rewritten as a whole.
      for _ in 0..<(round == 0 ? 16000 : 40) {
        let slot = 32 << 12 + r.next(32) << 12 + r.next(narrow ? 1024 : 512) * (narrow ? 4 : 8)
        let e = Self.entry(&r, mode)
        for g in guests { g.write(UInt64(slot), e, size: narrow ? 4 : 8) }
      }
      if r.flip(3) {
        let table = (32 + r.next(32)) << 12
        for n in 0..<512 as Range<UInt64> {
          let e = Self.entry(&r, mode)
          for g in guests { g.write(table + n * 8, narrow ? e & 0xFFFF_FFFF : e) }
        }
      }
      let root = (32 + r.next(8)) << 12
      if mode == .pae {
        // Pointers have neither rights nor accessed bits.
        for n in 0..<4 as Range<UInt64> {
          let pointer = r.flip(6) ? 0 : (32 + r.next(32)) << 12 | PTE.present
          for g in guests { g.write(root + n * 8, pointer) }
        }
      }
      let cr0 = r.flip(3) ? 0 : CR0.WP
      var cr4: UInt64 = 0
      if mode != .flat, mode != .twoLevel {
        if r.flip(2) { cr4 |= CR4.SMEP }
        if r.flip(2) { cr4 |= CR4.SMAP }
        if mode == .fourLevel, r.flip(2) { cr4 |= CR4.PKE }
      }
      let pkru = UInt32(r.next(1 << 31))
      for g in guests {
        // The model may lack protection keys.
        try g.enter(mode, root: root, cr0: cr0, cr4: cr4 & g.cpu.knownCR4)
        g.cpu.s.pointee.pkru = pkru
      }
      // Few addresses, so that most are asked for again.
      let addresses = (0..<24).map { _ -> UInt64 in
        var a: UInt64 = 0
        for level in 0..<4 as Range<UInt64> { a |= r.next(r.flip(2) ? 4 : 512) << (12 + 9 * level) }
        a |= r.next(4096)
        if mode != .fourLevel { return a & (mode == .flat ? 0x7F_FFFF : 0xFFFF_FFFF) }
        return UInt64(bitPattern: Int64(bitPattern: a << 16) >> 16)
      }
      for step in 0..<200 {
        let linear = addresses[Int(r.next(24))]
        let kind: Access = [.read, .write, .execute][Int(r.next(3))]
        let user = r.flip(2)
        let (a, s) = shadowed.access(linear, kind, user: user)
        let (b, n) = nested.access(linear, kind, user: user)
        #expect(a == b, "\(mode) round \(round) step \(step): \(String(linear, radix: 16)) \(kind) user \(user)")
        if let s, let n { #expect(!s.writableNow || n.writableNow, "writable beyond the guest's rights") }
        if case .page = a { pages += 1 } else { faults += 1 }
        if a != b { return }
        if r.flip(20) {
          // What was out of sync must count from here on.
          for g in guests { g.cpu.invalidatePage(linear) }
        }
        if r.flip(10) {
          let slot = (32 + r.next(32)) << 12 + r.next(narrow ? 1024 : 512) * (narrow ? 4 : 8)
          let e = Self.entry(&r, mode)
          for g in guests {
            g.write(slot, e, size: narrow ? 4 : 8)
            g.cpu.invalidatePage(linear)
          }
        }
      }
      #expect(shadowed.domain.hvm!.shadow!.audit() == [], "\(mode) round \(round)")
      let differing = (32 << 12..<64 << 12 as Range<UInt64>).first { $0 % 8 == 0 && shadowed.read($0) != nested.read($0) }
      #expect(differing == nil, "\(mode) round \(round): tables differ, in their accessed and dirty bits perhaps")
    }
    // The test is one only if both happen.
    #expect(pages > 500)
    #expect(mode == .flat || faults > 500)
    let counters = shadowed.domain.hvm!.shadow!.counters
    #expect(counters.fills > 100)
    if mode != .flat {
      #expect(counters.dropped > 20)
      #expect(counters.unsynced > 5 && counters.resynced > 5)
      #expect(counters.splintered > 2)
    }
  }

  /// The audit sees an entry that allows more than the guest's, leads elsewhere, or stands where nothing is.
  @Test func auditFindsWhatIsTooMuch() throws {
    let h = Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
    let g = try Guest(h, .shadow)
    let root: UInt64 = 100 << 12
    for level in 0..<3 as Range<UInt64> { g.write(root + level << 12, root + (level + 1) << 12 | 7) }
    g.write(root + 3 << 12, 200 << 12 | 5)
    try g.enter(.fourLevel, root: root)
    #expect(g.access(0x123, .read, user: true).0 == .page(200 << 12 | 0x123))
    let shadow = g.domain.hvm!.shadow!
    let l1 = try #require(shadow.find(.l1, 103)), l2 = try #require(shadow.find(.l2, 102))
    let right = shadow.entry(l1, 0)
    #expect(shadow.audit() == [])
    for (n, wrong) in [(0, right | PTE.writable), (0, right ^ 1 << 12), (0, shadow.frame(l2).address | 1), (1, right)] {
      shadow.setLeaf(l1, n, wrong)
      #expect(shadow.audit().count == 1)
      #expect(h.auditFrames().count == 1)
      shadow.setLeaf(l1, n, n == 0 ? right : 0)
    }
    shadow.setLeaf(l2, 0, right)
    #expect(!shadow.audit().isEmpty)
  }

  /// A pool too small for what the guest uses is used again and again, and nothing goes wrong.
  @Test func reclaimsUnderALimit() throws {
    let h = Hypervisor(memoryBytes: 256 << 20, model: CPUModel.named("x86-64-v3")!)
    let g = try Guest(h, .shadow, poolBytes: 64 << 12)
    // Sixty roots that each lead by tables of their own to one page.
    for n in 0..<60 as Range<UInt64> {
      let root = (100 + n * 4) << 12
      for level in 0..<3 as Range<UInt64> { g.write(root + level << 12, root + (level + 1) << 12 | 7) }
      g.write(root + 3 << 12, (500 + n) << 12 | 7)
    }
    for _ in 0..<3 {
      for n in 0..<60 as Range<UInt64> {
        try g.enter(.fourLevel, root: (100 + n * 4) << 12)
        #expect(g.access(0x123, .write, user: true).0 == .page((500 + n) << 12 | 0x123))
      }
    }
    let shadow = g.domain.hvm!.shadow!
    #expect(shadow.counters.reclaimed > 50)
    #expect(shadow.pages.count(where: { $0 != nil }) <= 64)
  }

  /// A table that leads to itself on all levels has a shadow for each, and all go with it.
  @Test func recursiveTablesGo() throws {
    let h = Hypervisor(memoryBytes: 256 << 20, model: CPUModel.named("x86-64-v3")!)
    let g = try Guest(h, .shadow)
    let root: UInt64 = 50 << 12
    g.write(root, root | 7)
    try g.enter(.fourLevel, root: root)
    #expect(g.access(0x45, .read, user: false).0 == .page(root | 0x45))
    g.write(root, 0)
    g.cpu.invalidatePage(0)
    #expect(g.access(0x45, .read, user: false).0 == .fault(0))
    g.domain.hvm!.shadow!.dropAll()
    #expect(g.domain.hvm!.shadow!.pages.allSatisfy { $0 == nil })
  }

  private final class Recorder: HypervisorTrace {
    private var all: [TraceRecord] = []
    func wants(_ kind: TraceRecord.Kind) -> Bool { kind == .shadow }
    func record(_ record: TraceRecord) { all.append(record) }
    func records(_ name: String) -> [[TraceRecord.Field]] { all.filter { $0.name == name }.map(\.fields) }
  }

  /// Log-dirty mode knows every page that is written, the guest's tables by their accessed bits too, and none that is only read.
  @Test func logDirtyFindsWhatIsWritten() throws {
    let h = Hypervisor(memoryBytes: 256 << 20, model: CPUModel.named("x86-64-v3")!)
    let g = try Guest(h, .shadow)
    let root: UInt64 = 60 << 12
    for level in 0..<3 as Range<UInt64> { g.write(root + level << 12, root + (level + 1) << 12 | 7) }
    for n in 0..<16 as Range<UInt64> { g.write(root + 3 << 12 + n * 8, (200 + n) << 12 | 7) }
    try g.enter(.fourLevel, root: root)
    for n in 0..<16 as Range<UInt64> { try g.cpu.storeLinear(n << 12, UInt64(1)) }
    let shadow = g.domain.hvm!.shadow!
    shadow.startLogDirty()
    _ = try g.cpu.loadLinear(3 << 12, as: UInt64.self)
    _ = shadow.takeDirty()
    _ = try g.cpu.loadLinear(3 << 12, as: UInt64.self)
    try g.cpu.storeLinear(5 << 12, UInt64(1))
    try g.cpu.storeLinear(5 << 12 + 8, UInt64(1))
    let dirty = Set(shadow.takeDirty().map(\.rawValue))
    #expect(dirty.contains(205))
    #expect(!dirty.contains(203))
    #expect(dirty.isDisjoint(with: Set((206..<216) as Range<UInt64>)))
    // Noting goes on; each frame is told of once, with the translation that the store entered.
    let recorder = Recorder()
    h.trace = recorder
    let before = shadow.counters.dirtied
    try g.cpu.storeLinear(5 << 12, UInt64(2))
    try g.cpu.storeLinear(5 << 12, UInt64(3))
    h.trace = nil
    #expect(recorder.records("dirtied").filter { $0.contains { $0 == .init("gfn", .number(205)) } }.count == 1)
    #expect(recorder.records("filled").contains([.init("linear", .number(5 << 12)), .init("gfn", .number(205)), .init("access", .text("write"))]))
    #expect(shadow.counters.dirtied - before == recorder.records("dirtied").count)
    #expect("\(shadow.counters)".contains("pages dirtied"))
    try g.cpu.storeLinear(9 << 12, UInt64(2))
    #expect(Set(shadow.takeDirty().map(\.rawValue)).isSuperset(of: [205, 209]))
  }
}
