import Platform

/// What a processor has cached of one linear page: for audits that ask whether it may still be there.
public struct CachedTranslation {
  /// First address of the linear page.
  public let linear: UInt64
  /// Host address of the page of memory that it leads to.
  public let host: UnsafeMutableRawPointer
  public let stores: Stores

  public enum Stores: Sendable {
    /// None go through it.
    case none
    /// They go through it, and those who want to know of stores to the page are told.
    case told
    /// They go through it without anybody looking.
    case free
  }
}

extension CPU {
  /// Calls `body` for everything by which the processor would reach memory without a walk of page tables: the entries of all its data
  /// TLBs, the stack's page, and the pages of its code TLB. One page may come several times.
  public func forEachCachedTranslation(_ body: (CachedTranslation) -> Void) {
    tlbs.forEach(body)
    if s.pointee.stackSpan != 0, let host = UnsafeMutableRawPointer(bitPattern: s.pointee.stackHost) {
      body(CachedTranslation(linear: s.pointee.rsp & ~0xFFF, host: host, stores: .free))
    }
    for n in 0..<CodeTLB.entries {
      let entry = s.pointee.codeTLB[n]
      let isCurrent = entry.stamp == s.pointee.userCode.stamps.translation || entry.stamp == s.pointee.supervisorCode.stamps.translation
      guard entry.tag != CodeTLB.invalid, isCurrent, let page = entry.page, let host = environment.memory.host(page.pointee.physicalPage &<< 12) else { continue }
      body(CachedTranslation(linear: entry.tag & ~0xFFF, host: host, stores: .none))
    }
  }
}

extension TLBSet {
  func forEach(_ body: (CachedTranslation) -> Void) {
    for t in 0..<Self.count where t != Self.none {
      for e in 0..<DataTLB.entries {
        let offset = e * DataTLB.entryBytes, entry = base(t) + offset
        let tag = entry.load(as: UInt64.self)
        guard tag != DataTLB.invalidTag(offset), let host = UnsafeMutableRawPointer(bitPattern: entry.load(fromByteOffset: DataTLB.host, as: UInt.self)) else { continue }
        let isFree = entry.load(fromByteOffset: DataTLB.writeTag, as: UInt64.self) == tag
        let isTold = entry.load(fromByteOffset: DataTLB.code, as: UInt64.self) & 1 != 0
        body(CachedTranslation(linear: tag, host: host, stores: isFree ? .free : isTold ? .told : .none))
      }
    }
  }
}
