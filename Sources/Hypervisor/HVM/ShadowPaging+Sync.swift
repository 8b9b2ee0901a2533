import Platform
import Processor
import X86
import XenABI

/// Keeping shadows true while the guest writes to its tables.
extension ShadowPaging {
  /// `size` bytes at an offset of a shadowed table are about to be written.
  func willWrite(_ table: MachineFrameNumber, offset: Int, size: Int) {
    counters.watchedWrites += 1
    for id in shadows(of: table) {
      guard pages[Int(id)] != nil else { continue }
      dropEntries(id, offset, size)
      noteWrite(id, table)
    }
  }

  /// Drops the shadow entries of a part of a table.
  private func dropEntries(_ id: Int32, _ offset: Int, _ size: Int) {
    let kind = pages[Int(id)]!.kind
    let last = offset + size - 1
    switch kind {
    case .l1Low, .l1High:
      let half = kind == .l1Low ? 0 : 512
      for n in offset / 4...last / 4 where n >= half && n < half + 512 { drop(id, n - half) }
    case .l2Quarter0, .l2Quarter1, .l2Quarter2, .l2Quarter3:
      let quarter = Int(kind.rawValue - Kind.l2Quarter0.rawValue) * 256
      for n in offset / 4...last / 4 where n >= quarter && n < quarter + 256 {
        drop(id, (n - quarter) * 2)
        drop(id, (n - quarter) * 2 + 1)
      }
    default:
      for n in offset / 8...last / 8 { drop(id, n) }
    }
  }

  private func noteWrite(_ id: Int32, _ table: MachineFrameNumber) {
    guard let page = pages[Int(id)] else { return }
    trace(.written, page.kind, page.key)
    pages[Int(id)]!.writes &+= 1
    if page.kind.level == 1 {
      if page.writes >= Self.unsyncThreshold, unsynced.count < Self.maximumUnsynced, shadows(of: table).allSatisfy({ pages[Int($0)]!.kind.level == 1 }) {
        for other in shadows(of: table) { unsync(other, table) }
        hypervisor.codeCache.unwatch(table.rawValue)
      }
    } else if page.writes >= Self.unshadowThreshold {
      // Nobody fills a table so often without using it.
      counters.unshadowed += 1
      trace(.unshadowed, page.kind, page.key)
      unshadow(id)
    }
  }

  // MARK: Out of sync

  /// The table may be written freely until the guest next invalidates translations.
  private func unsync(_ id: Int32, _ table: MachineFrameNumber) {
    guard pages[Int(id)]!.snapshot.isEmpty else { return }
    counters.unsynced += 1
    trace(.unsynced, pages[Int(id)]!.kind, pages[Int(id)]!.key)
    let words = hypervisor.frames.contents(table).assumingMemoryBound(to: UInt64.self)
    pages[Int(id)]!.snapshot = Array(UnsafeBufferPointer(start: words, count: 512))
    unsynced.append(id)
  }

  /// The entry was just entered as it is now.
  func noteInSnapshot(_ id: Int32, _ n: Int, _ e: UInt64) {
    guard !pages[Int(id)]!.snapshot.isEmpty else { return }
    switch pages[Int(id)]!.kind {
    case .l1: pages[Int(id)]!.snapshot[n] = e
    case .l1Low, .l1High:
      let narrow = n + (pages[Int(id)]!.kind == .l1High ? 512 : 0)
      let shift = UInt64(narrow & 1) * 32
      let old = pages[Int(id)]!.snapshot[narrow / 2]
      pages[Int(id)]!.snapshot[narrow / 2] = (old & ~(0xFFFF_FFFF << shift)) | e << shift
    default: break
    }
  }

  /// Drops what was changed in a table since it went out of sync, and notices stores to it again.
  func resync(_ id: Int32) {
    guard let page = pages[Int(id)], !page.snapshot.isEmpty else { return }
    pages[Int(id)]!.snapshot = []
    pages[Int(id)]!.writes = 0
    unsynced.removeAll { $0 == id }
    counters.resynced += 1
    hypervisor.codeCache.watch(page.table.rawValue)
    let words = hypervisor.frames.contents(page.table).assumingMemoryBound(to: UInt64.self)
    for n in 0..<512 where words[n] != page.snapshot[n] { dropEntries(id, n * 8, 8) }
    trace(.resynced, page.kind, page.key)
  }

  /// The guest has invalidated translations, of one linear address or of all, and may have loaded other tables.
  func invalidate(_ v: VCPU, _ linear: UInt64?) {
    while let id = unsynced.last { resync(id) }
    if linear == nil { selectRoot(v) }
  }

  // MARK: Log-dirty

  /// From now on every guest frame that is written is noted (for copying a domain that runs).
  func startLogDirty() {
    dirtyLog = DirtyLog(frames: space.count)
    dropAll()
    domain.flushAll()
  }

  func stopLogDirty() { dirtyLog = nil }

  /// The frames written since the last call; noting begins anew.
  func takeDirty() -> [GuestFrameNumber] {
    guard dirtyLog != nil else { return [] }
    let frames = dirtyLog!.take()
    dropAll()
    domain.flushAll()
    return frames
  }
}

/// A set of guest frames, a bit each.
struct DirtyLog {
  private var words: [UInt64]

  init(frames: UInt64) { words = [UInt64](repeating: 0, count: Int((frames + 63) / 64)) }

  func isMarked(_ frame: GuestFrameNumber) -> Bool { words[Int(frame.rawValue / 64)] >> (frame.rawValue % 64) & 1 != 0 }

  /// False if it was marked before.
  mutating func mark(_ frame: GuestFrameNumber) -> Bool {
    guard frame.rawValue / 64 < UInt64(words.count), !isMarked(frame) else { return false }
    words[Int(frame.rawValue / 64)] |= 1 << (frame.rawValue % 64)
    return true
  }

  mutating func take() -> [GuestFrameNumber] {
    var frames: [GuestFrameNumber] = []
    for n in words.indices {
      while words[n] != 0 {
        let bit = words[n].trailingZeroBitCount
        frames.append(GuestFrameNumber(UInt64(n * 64 + bit)))
        words[n] &= words[n] - 1
      }
    }
    return frames
  }
}
