import Platform
import Processor
import X86
import XenABI

/// Shadow page tables of a domain: what the core walks in place of the guest's tables, which are ordinary memory of the guest's.
///
/// A shadow page holds the entries of one guest table, as far as they were used, with machine addresses in place of the guest's. The core
/// walks from a shadow root (`CPU.translateOwned`); where that leads nowhere it walks the guest's tables with all their faults, accessed
/// and dirty bits, and `fill` enters what it found. A shadow entry is writable only if the guest's is and is dirty already, so that the
/// first store comes here too.
///
/// - Stores to a shadowed table are noticed (`CodeCache.watch`) before they happen, and the shadow entries in question dropped: what is
///   not there is looked up again, as a TLB would. A last-level table that is written again and again goes *out of sync*: it may be
///   written freely, and is compared with a copy when the guest invalidates translations, which it must do before it may rely on them.
/// - Tables of 2-level guests have two (page tables) or four (page directories) shadow pages, since entries there have 4 bytes.
/// - Larger pages are splintered into 4 KiB entries, for their machine frames lie anywhere.
/// - Without paging all addresses are guest-physical ones: a splintered page of 4 GiB.
/// - Shadow pages come from a pool. When it is empty, the roots that were not used for longest go, then everything.
///
/// Not modelled: 5-level paging (hidden from guests), shadowing across domains, tables in pages that the hypervisor writes by itself (rings of
/// xenstore and console, the event bits of shared_info): what it writes there reaches the shadow when the guest next changes the entry.
final class ShadowPaging {
  /// What a shadow page stands for.
  enum Kind: UInt8, CaseIterable {
    /// Tables with 8-byte entries.
    case l1, l2, l3, l4
    /// Halves of a 2-level guest's page table, quarters of its page directory.
    case l1Low, l1High
    case l2Quarter0, l2Quarter1, l2Quarter2, l2Quarter3
    /// 2 MiB of a larger page, 1 GiB of one.
    case splinter, splinterDirectory
    /// Above the guest's own levels, one of each for every virtual processor: without paging, and where a guest has less than four levels.
    case topL4, topL3

    /// 1 to 4: level of its entries in the tables that the core walks.
    var level: Int {
      switch self {
      case .l1, .l1Low, .l1High, .splinter: 1
      case .l2, .l2Quarter0, .l2Quarter1, .l2Quarter2, .l2Quarter3, .splinterDirectory: 2
      case .l3, .topL3: 3
      case .l4, .topL4: 4
      }
    }

    /// Stands for a table of the guest's.
    var isOfTable: Bool {
      switch self {
      case .splinter, .splinterDirectory, .topL4, .topL3: false
      default: true
      }
    }

    /// Entries of the guest's table have 4 bytes.
    var isNarrow: Bool {
      switch self {
      case .l1Low, .l1High, .l2Quarter0, .l2Quarter1, .l2Quarter2, .l2Quarter3: true
      default: false
      }
    }
  }

  /// One page of shadow entries.
  struct Page {
    var kind: Kind
    /// Guest frame of the table, or the first one of the region; with attributes that its entries share (`Attributes`).
    var key: UInt64
    /// Machine frame of the guest's table.
    var table: MachineFrameNumber
    /// Entries and roots that lead here.
    var references: Int32 = 0
    /// Kept without references: a table that a processor may load again.
    var isPinned = false
    /// The last entry that was made to lead here.
    var parent: Int32 = -1
    var parentIndex: UInt16 = 0
    /// Stores to the table since it was last filled.
    var writes: UInt16 = 0
    /// Copy of the guest's table while it is out of sync.
    var snapshot: [UInt64] = []
    /// When a processor last used it as a root.
    var lastUse: UInt64 = 0
  }

  /// What is the same for all parts of a splintered page, in the upper bits of the key.
  enum Attributes {
    static let global: UInt64 = 1 << 52
    static let gigabyte: UInt64 = 1 << 53
    static let keyShift: UInt64 = 54
  }

  /// What happened, since the domain began.
  public struct Counters: Equatable, Sendable, CustomStringConvertible {
    public var fills = 0, created = 0, freed = 0
    public var splintered = 0
    public var watchedWrites = 0, dropped = 0
    public var unsynced = 0, resynced = 0
    public var unshadowed = 0, reclaimed = 0, rootSwitches = 0
    public var dirtied = 0

    public var description: String {
      "\(fills) fills, \(created) pages made, \(splintered) of larger pages, \(watchedWrites) stores to tables seen, \(dropped) entries dropped, "
        + "\(unsynced) tables out of sync, \(unshadowed) taken for none, \(reclaimed) reclaimed, \(rootSwitches) changes of root"
        + (dirtied == 0 ? "" : ", \(dirtied) pages dirtied")
    }
  }

  /// Stores to a last-level table after which it goes out of sync, and to another one after which it is taken for no table any more.
  static let unsyncThreshold: UInt16 = 12
  static let unshadowThreshold: UInt16 = 64
  static let maximumUnsynced = 24
  /// Time, in instructions, that a guest pays for making all its shadow pages void.
  static let renewalCost: UInt64 = 2000
  /// Pages that one fill may need.
  static let reserve = 8

  unowned(unsafe) let domain: Domain
  unowned(unsafe) let hypervisor: Hypervisor
  unowned(unsafe) let space: GuestPhysicalSpace
  /// Frames of the pool, by number of the page, and the way back.
  private let pool: [MachineFrameNumber]
  let ids: [MachineFrameNumber: Int32]
  var capacity: Int { pool.count }
  var pages: [Page?]
  private var free: [Int32]
  /// By kind and key.
  private var index: [UInt64: Int32] = [:]
  /// Shadow pages of a machine frame that is a table.
  private var shadowsOfTable: [UInt64: [Int32]] = [:]
  /// A page without entries: the root before anything was filled.
  let emptyRoot: MachineFrameNumber
  /// By virtual processor.
  private(set) var roots: [Int32]
  var unsynced: [Int32] = []
  var counters = Counters()
  private var clock: UInt64 = 0
  /// Guest frames written since they were last asked for, where log-dirty mode is on.
  var dirtyLog: DirtyLog?

  /// - Parameter bytes: of shadow pages at most.
  init?(_ domain: Domain, bytes: UInt64) {
    guard let platform = domain.hvm else { return nil }
    self.domain = domain
    hypervisor = domain.hypervisor
    space = platform.memory
    var count: UInt64 = 64
    while count < bytes >> 12 { count *= 2 }
    var frames: [MachineFrameNumber] = []
    while frames.count <= count, let frame = hypervisor.allocateFrame(for: .xen) { frames.append(frame) }
    if frames.count <= count {
      for frame in frames { _ = hypervisor.frames.release(frame) }
      return nil
    }
    emptyRoot = frames.removeLast()
    pool = frames
    ids = Dictionary(uniqueKeysWithValues: zip(frames, 0...))
    pages = [Page?](repeating: nil, count: frames.count)
    free = (0..<Int32(frames.count)).reversed()
    roots = [Int32](repeating: -1, count: domain.vcpus.count)
    for v in domain.vcpus {
      v.cpu.s.pointee.shadowRoot = emptyRoot.address
      v.cpu.s.pointee.reportsTranslations = true
    }
  }

  /// What Xen's tools give a domain: 1 MiB for each processor and 1/128 of its memory.
  static func defaultBytes(memory: UInt64, vcpus: Int) -> UInt64 { memory / 128 + UInt64(vcpus) << 20 }

  func tearDown() {
    dropAll()
    hypervisor.log("\(domain.id) shadow page tables: \(counters)")
    for v in domain.vcpus {
      v.cpu.s.pointee.reportsTranslations = false
      v.cpu.s.pointee.shadowRoot = 0
    }
    for frame in pool { _ = hypervisor.frames.release(frame) }
    _ = hypervisor.frames.release(emptyRoot)
  }

  // MARK: Pages

  @inline(__always)
  func frame(_ id: Int32) -> MachineFrameNumber { pool[Int(id)] }

  /// The page that an entry of a shadow page leads to.
  @inline(__always)
  func child(_ entry: UInt64) -> Int32 { ids[PTE.frame(entry)]! }

  @inline(__always)
  func entry(_ id: Int32, _ n: Int) -> UInt64 { hypervisor.frames.entry(frame(id), n) }

  /// No processor decodes code on shadow pages, so nobody has to be told.
  @inline(__always)
  private func store(_ id: Int32, _ n: Int, _ value: UInt64) {
    hypervisor.frames.contents(frame(id)).storeBytes(of: value.littleEndian, toByteOffset: n &* 8, as: UInt64.self)
  }

  private func indexKey(_ kind: Kind, _ key: UInt64) -> UInt64 { key | UInt64(kind.rawValue) << 58 }

  func find(_ kind: Kind, _ key: UInt64) -> Int32? { index[indexKey(kind, key)] }

  /// A page for a table or region, new and empty if need be. There is one: see `makeRoom`.
  func page(_ kind: Kind, _ key: UInt64, pinned: Bool = false) -> Int32 {
    if let id = find(kind, key) { return id }
    guard let id = free.popLast() else { fatalError("the shadow pool was to have room") }
    hypervisor.frames.contents(frame(id)).initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
    let table = kind.isOfTable ? space[GuestFrameNumber(key)] ?? .invalid : .invalid
    var page = Page(kind: kind, key: key, table: table)
    page.isPinned = pinned
    pages[Int(id)] = page
    index[indexKey(kind, key)] = id
    counters.created += 1
    if kind == .splinter { counters.splintered += 1 }
    if table != .invalid {
      let known = shadowsOfTable[table.rawValue] ?? []
      shadowsOfTable[table.rawValue] = known + [id]
      // A table that is out of sync as a last-level one cannot be of another level too.
      for other in known { resync(other) }
      hypervisor.codeCache.watch(table.rawValue)
    }
    trace(.created, kind, key)
    return id
  }

  /// Frees a page that nothing leads to, and what it alone leads to.
  private func remove(_ id: Int32) {
    guard let page = pages[Int(id)] else { return }
    if page.kind.level > 1 {
      let words = hypervisor.frames.contents(frame(id)).assumingMemoryBound(to: UInt64.self)
      for n in 0..<512 where words[n] != 0 { unlink(id, n) }
    }
    pages[Int(id)] = nil
    index[indexKey(page.kind, page.key)] = nil
    if !page.snapshot.isEmpty { unsynced.removeAll { $0 == id } }
    if page.table != .invalid {
      let left = (shadowsOfTable[page.table.rawValue] ?? []).filter { $0 != id }
      shadowsOfTable[page.table.rawValue] = left.isEmpty ? nil : left
      if left.isEmpty { hypervisor.codeCache.unwatch(page.table.rawValue) }
    }
    free.append(id)
    counters.freed += 1
    trace(.freed, page.kind, page.key)
  }

  private func release(_ id: Int32) {
    pages[Int(id)]!.references -= 1
    if pages[Int(id)]!.references == 0, !pages[Int(id)]!.isPinned { remove(id) }
  }

  /// Makes an entry of an upper level lead to a page.
  func link(_ id: Int32, _ n: Int, to child: Int32, flags: UInt64) {
    let new = frame(child).address | flags
    let old = entry(id, n)
    if old == new { return }
    if old & PTE.address != new & PTE.address || old & PTE.present == 0 {
      pages[Int(child)]!.references += 1
      pages[Int(child)]!.parent = id
      pages[Int(child)]!.parentIndex = UInt16(n)
      unlink(id, n)
    }
    store(id, n, new)
  }

  /// Drops an entry of an upper level.
  private func unlink(_ id: Int32, _ n: Int) {
    let old = entry(id, n)
    if old & PTE.present == 0 { return }
    store(id, n, 0)
    release(child(old))
  }

  func setLeaf(_ id: Int32, _ n: Int, _ value: UInt64) { store(id, n, value) }

  /// Drops an entry, whatever its level.
  func drop(_ id: Int32, _ n: Int) {
    if pages[Int(id)]!.kind.level > 1 {
      unlink(id, n)
    } else if entry(id, n) != 0 {
      store(id, n, 0)
      counters.dropped += 1
    }
  }

  // MARK: Roots

  /// The processor has other tables now, perhaps. Its root is looked up again, or filled when it is needed.
  func selectRoot(_ v: VCPU) {
    let s = v.cpu.s
    var new: Int32 = -1
    if s.pointee.cr0 & CR0.PG != 0, s.pointee.efer & EFER.LMA != 0 { new = find(.l4, (s.pointee.cr3 & PTE.address) >> 12) ?? -1 }
    setRoot(v, new)
  }

  private func setRoot(_ v: VCPU, _ new: Int32) {
    let old = roots[v.index]
    if old == new {
      // Of a private root the parts below may be others.
      if new < 0 { v.cpu.s.pointee.shadowRoot = emptyRoot.address }
      return
    }
    roots[v.index] = new
    counters.rootSwitches += 1
    if new >= 0 {
      clock += 1
      pages[Int(new)]!.references += 1
      pages[Int(new)]!.lastUse = clock
    }
    if old >= 0 { release(old) }
    v.cpu.s.pointee.shadowRoot = new < 0 ? emptyRoot.address : frame(new).address
  }

  /// The root for the tables that the processor has now.
  func root(_ v: VCPU) -> Int32 {
    if roots[v.index] >= 0 { return roots[v.index] }
    let s = v.cpu.s
    let new: Int32
    if s.pointee.cr0 & CR0.PG != 0, s.pointee.efer & EFER.LMA != 0 {
      new = page(.l4, (s.pointee.cr3 & PTE.address) >> 12, pinned: true)
    } else {
      new = page(.topL4, UInt64(v.index))
      link(new, 0, to: page(.topL3, UInt64(v.index)), flags: PTE.present | PTE.writable | PTE.user)
    }
    setRoot(v, new)
    return new
  }

  // MARK: Giving back

  /// Sees to it that one fill cannot run out of pages.
  func makeRoom() {
    if free.count >= Self.reserve { return }
    let idle = pages.indices.filter { pages[$0].map { $0.isPinned && $0.references == 0 } ?? false }.sorted { pages[$0]!.lastUse < pages[$1]!.lastUse }
    for id in idle where free.count < max(Self.reserve, capacity / 8) {
      counters.reclaimed += 1
      trace(.reclaimed, pages[id]!.kind, pages[id]!.key)
      remove(Int32(id))
    }
    if free.count < Self.reserve { dropAll() }
  }

  /// Forgets all shadow pages: something else changed than the guest's tables.
  func dropAll() {
    if index.isEmpty { return }
    for v in domain.vcpus { setRoot(v, -1) }
    // What leads to a page is of a higher level always, so from above nothing is left that leads anywhere.
    for id in index.values.sorted(by: { (pages[Int($0)]!.kind.level, $1) > (pages[Int($1)]!.kind.level, $0) }) { remove(id) }
  }

  /// Takes a page out of everything that leads to it.
  func unshadow(_ id: Int32) {
    guard let page = pages[Int(id)] else { return }
    // Held until the end.
    pages[Int(id)]!.references += 1
    pages[Int(id)]!.isPinned = false
    for v in domain.vcpus where roots[v.index] == id { setRoot(v, -1) }
    let address = frame(id).address
    func leads(_ other: Int32, _ n: Int) -> Bool { entry(other, n) & PTE.present != 0 && entry(other, n) & PTE.address == address }
    if page.parent >= 0, pages[Int(page.parent)]?.kind.level == page.kind.level + 1, leads(page.parent, Int(page.parentIndex)) {
      unlink(page.parent, Int(page.parentIndex))
    }
    if pages[Int(id)]!.references > 1 {
      for other in pages.indices where pages[other]?.kind.level == page.kind.level + 1 {
        for n in 0..<512 where leads(Int32(other), n) { unlink(Int32(other), n) }
      }
    }
    release(id)
  }

  /// Shadow pages of a table.
  func shadows(of table: MachineFrameNumber) -> [Int32] { shadowsOfTable[table.rawValue] ?? [] }

  func trace(_ event: ShadowEvent, _ kind: Kind, _ key: UInt64) {
    hypervisor.note(
      .shadow, domain, nil, event.rawValue, [.init("table", .text("\(kind)")), .init("gfn", .number(key & 0xF_FFFF_FFFF_FFFF))])
  }
}

/// What a trace tells of shadow page tables.
public enum ShadowEvent: String, Sendable {
  case created, freed, unsynced, resynced, unshadowed, reclaimed
  /// A translation was entered: the first access to a page, and the first store to it, which sets the guest's accessed and dirty bits.
  case filled
  /// The first store to a guest frame since the log of dirty frames was taken.
  case dirtied
  /// A store to a table dropped entries of its shadow.
  case written
}
