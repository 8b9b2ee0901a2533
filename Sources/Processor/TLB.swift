/// The software data TLB: 4096 direct-mapped entries of 32 bytes that hold a host address with the permissions folded in.
///
/// An entry is { read tag, write tag, host address of the page, code word }. A tag is the linear address of the page, so that
/// `t = address − tag; t > 4096 − size` finds a miss and a page crossing in one comparison. There is one TLB for each set of
/// access rights, and the current one is reached through `CPUState.tlb`; changing rights is changing a pointer.
public enum DataTLB {
  public static let entries = 4096
  public static let entryBytes = 32
  public static let bytes = entries * entryBytes

  public static let readTag = 0
  public static let writeTag = 8
  public static let host = 16
  /// Physical address of the page with bit 0 set if only decoded code on it keeps stores from the fast path; 0 otherwise.
  public static let code = 24

  /// Byte offset of the entry for a linear address.
  @inlinable @inline(__always)
  public static func offset(_ linear: UInt64) -> Int {
    Int(truncatingIfNeeded: (linear &>> 7) & UInt64((entries &- 1) &<< 5))
  }

  /// A tag that no address with this index can match: its own index bits differ.
  @inlinable @inline(__always)
  public static func invalidTag(_ offset: Int) -> UInt64 {
    (UInt64(truncatingIfNeeded: offset) &<< 7) ^ 0x1000
  }
}

/// The TLBs of one processor, and a log of the entries to drop when the page tables change.
///
/// Entries of global pages survive a change of CR3 (SDM vol. 3A §4.10.2.4). The log keeps flushing proportional to what was
/// filled since the last flush, not to the size of the TLB.
public struct TLBSet {
  public static let count = 5
  /// CPL 3.
  public static let user = 0
  /// CPL 0–2, with SMAP in force if CR4 says so.
  public static let supervisor = 1
  /// CPL 0–2 with RFLAGS.AC set, which lifts SMAP.
  public static let supervisorAC = 2
  /// Never filled: every access takes the slow path, where alignment is checked.
  public static let none = 3
  /// CPL 3, where `CPUState.deprivileged` is set: a paravirtual kernel in an address space of its own.
  public static let deprivileged = 4

  let memory: UnsafeMutableRawPointer
  /// Number of logged fills of each TLB, and the logs: entry index with bit 15 set for global pages. In the TLB of a paravirtual kernel
  /// the upper half of the linear addresses counts as global.
  let log: UnsafeMutablePointer<UInt16>
  let logged: UnsafeMutablePointer<Int32>
  static let logCapacity = 4096

  public init() {
    memory = .allocate(byteCount: Self.count * DataTLB.bytes, alignment: 4096)
    log = .allocate(capacity: Self.count * Self.logCapacity)
    logged = .allocate(capacity: Self.count)
    for t in 0..<Self.count {
      for e in 0..<DataTLB.entries { invalidate(t, e * DataTLB.entryBytes) }
      logged[t] = 0
    }
  }

  func deallocate() {
    memory.deallocate()
    log.deallocate()
    logged.deallocate()
  }

  public func base(_ tlb: Int) -> UnsafeMutableRawPointer { memory + tlb * DataTLB.bytes }

  @inline(__always)
  func invalidate(_ tlb: Int, _ offset: Int) {
    let e = base(tlb) + offset
    e.storeBytes(of: DataTLB.invalidTag(offset), as: UInt64.self)
    e.storeBytes(of: DataTLB.invalidTag(offset), toByteOffset: DataTLB.writeTag, as: UInt64.self)
  }

  /// Enters a page. `writable` also stands for "dirty already set, no code on the page"; `code` is the code word.
  func fill(_ tlb: Int, page: UInt64, host: UInt, writable: Bool, code: UInt64, global: Bool) {
    let offset = DataTLB.offset(page)
    let e = base(tlb) + offset
    e.storeBytes(of: page, as: UInt64.self)
    e.storeBytes(of: writable ? page : DataTLB.invalidTag(offset), toByteOffset: DataTLB.writeTag, as: UInt64.self)
    e.storeBytes(of: host, toByteOffset: DataTLB.host, as: UInt.self)
    e.storeBytes(of: code, toByteOffset: DataTLB.code, as: UInt64.self)
    let n = Int(logged[tlb])
    if n < Self.logCapacity {
      log[tlb * Self.logCapacity + n] = UInt16(offset / DataTLB.entryBytes) | (global ? 0x8000 : 0)
      logged[tlb] = Int32(n + 1)
    } else {
      logged[tlb] = Int32(Self.logCapacity + 1)
    }
  }

  /// Drops all entries, or all but those of global pages.
  func flush(keepGlobal: Bool) {
    for t in 0..<Self.count { flush(t, keepGlobal: keepGlobal) }
  }

  /// Drops all entries but those of a paravirtual kernel's own half of the linear addresses.
  func flushPrograms() {
    for t in 0..<Self.count { flush(t, keepGlobal: t == Self.deprivileged) }
  }

  private func flush(_ t: Int, keepGlobal: Bool) {
    let n = Int(logged[t])
    let entries = log + t * Self.logCapacity
    if n > Self.logCapacity {
      for e in 0..<DataTLB.entries { invalidate(t, e * DataTLB.entryBytes) }
      logged[t] = 0
      return
    }
    var kept = 0
    for i in 0..<n {
      let e = entries[i]
      if keepGlobal, e & 0x8000 != 0 {
        entries[kept] = e
        kept += 1
      } else {
        invalidate(t, Int(e & 0xFFF) * DataTLB.entryBytes)
      }
    }
    logged[t] = Int32(kept)
  }

  /// Drops the entries for one page of linear addresses.
  func drop(page: UInt64) {
    let offset = DataTLB.offset(page)
    for t in 0..<Self.count {
      let e = base(t) + offset
      if e.load(as: UInt64.self) == page & ~0xFFF { invalidate(t, offset) }
    }
  }

  /// Drops every entry by which a host page could be written: stores to it must be noticed, or refused, from now on.
  func drop(host: UInt, writers: TLBWriters) {
    if let count = writers.count {
      for k in 0..<count { drop(host: host, entry: writers.index(k)) }
    } else {
      for entry in 0..<DataTLB.entries { drop(host: host, entry: entry) }
    }
  }

  private func drop(host: UInt, entry: Int) {
    let offset = entry * DataTLB.entryBytes
    for t in 0..<Self.count where (base(t) + offset).load(fromByteOffset: DataTLB.host, as: UInt.self) == host { invalidate(t, offset) }
  }
}

/// Which entries of the processors' data TLBs may hold a physical page for writing: the indices of up to five of them, or "anywhere".
///
/// Looking at these only spares a search through all TLBs when a page comes to hold decoded code, or a page table.
public struct TLBWriters {
  /// Bits 0–3: how many indices follow, of 12 bits each; 15 for more than fit.
  private var word: UInt64 = 0

  public init() {}

  /// Number of indices, or nil for anywhere.
  var count: Int? { word & 15 == 15 ? nil : Int(word & 15) }

  func index(_ k: Int) -> Int { Int((word &>> UInt64(4 &+ 12 &* k)) & 0xFFF) }

  mutating func insert(_ linear: UInt64) {
    let index = (linear &>> 12) & UInt64(DataTLB.entries &- 1)
    guard let count else { return }
    for k in 0..<count where self.index(k) == Int(index) { return }
    if count == 5 {
      word = 15
    } else {
      word = (word &+ 1) | index &<< UInt64(4 &+ 12 &* count)
    }
  }
}
