import Platform
import X86
import X86Decoder

/// An entry of the code TLB: which decoded page a linear page is, in a mode.
public struct CodeTLBEntry {
  /// Linear page address with the mode key in its low bits; `CodeTLB.invalid` when empty.
  public var tag: UInt64
  public var page: UnsafeMutablePointer<CodePage>?
  /// Jump stamp (without its bit for CPL 3) under which the entry was made.
  public var stamp: UInt64

  public init(tag: UInt64, page: UnsafeMutablePointer<CodePage>?, stamp: UInt64) {
    self.tag = tag
    self.page = page
    self.stamp = stamp
  }
}

public enum CodeTLB {
  public static let entries = 1024
  /// No linear page with a mode key looks like this: mode keys have bits 7–11 clear.
  public static let invalid: UInt64 = 0xFFF

  @inlinable @inline(__always)
  public static func index(_ linear: UInt64) -> Int { Int(truncatingIfNeeded: (linear &>> 12)) & (entries &- 1) }
}

/// An entry of the cache of indirect jumps, also the inline cache of a direct jump to another page: valid for a RIP while
/// the processor's jump stamp is the same.
public struct JumpCacheEntry {
  public var rip: UInt64
  public var stamp: UInt64
  public var operation: UInt
  public var codeBias: UInt64

  public init(rip: UInt64, stamp: UInt64, operation: UInt, codeBias: UInt64) {
    self.rip = rip
    self.stamp = stamp
    self.operation = operation
    self.codeBias = codeBias
  }
}

public enum JumpCache {
  public static let entries = 4096

  @inlinable @inline(__always)
  public static func offset(_ rip: UInt64) -> Int {
    Int(truncatingIfNeeded: ((rip ^ (rip &>> 12)) & UInt64(entries &- 1)) &<< 5)
  }
}

/// What keeps the caches of translations and decoded code true when mappings, rights and modes change.
extension CPU {
  /// Drops translations: all, or all but those of global pages.
  public func flushTLB(keepGlobal: Bool) {
    tlbs.flush(keepGlobal: keepGlobal)
    s.pointee.stackSpan = 0
    changeJumpStamp()
  }

  /// INVLPG: drops the translations of one page.
  public func invalidatePage(_ linear: UInt64) {
    tlbs.drop(page: linear)
    s.pointee.stackSpan = 0
    changeJumpStamp()
  }

  /// After a change of CPL, RFLAGS.AC, CR0.AM or CR4.SMAP: the TLB whose rights apply now.
  @inline(__always)
  public func selectTLB() {
    let index = checksAlignment ? TLBSet.none : currentTLB
    s.pointee.tlb = tlbs.base(index)
    s.pointee.stackSpan = 0
    // Kernel and user code keep separate entries in the jump caches.
    s.pointee.jumpStamp = (s.pointee.jumpStamp & ~1) | (s.pointee.cpl == 3 ? 1 : 0)
  }

  /// After a change of mode, or of the base or limit of a CS that is not flat: nothing cached by RIP holds any more.
  public func modeChanged() {
    s.pointee.ripMask = s.pointee.codeSize == .bits64 ? ~0 : 0xFFFF_FFFF
    changeJumpStamp()
    selectTLB()
  }

  /// Makes every entry of the jump caches and of the code TLB stale.
  public func changeJumpStamp() {
    s.pointee.jumpStamp &+= 2
    s.pointee.exitRequest |= ExitRequest.codeChanged
  }

  /// Decoded code was dropped somewhere.
  func forgetCode() { changeJumpStamp() }

  /// A page of memory now holds decoded code: stores to it must be noticed.
  func protect(hostPage: UInt) {
    tlbs.protect(host: hostPage)
    if s.pointee.stackHost == hostPage { s.pointee.stackSpan = 0 }
  }

  /// Looks up the decoded page that RIP is in; nil means `CodeFetch` must translate and make it.
  @inlinable @inline(__always)
  public func codePage(linear: UInt64) -> UnsafeMutablePointer<CodePage>? {
    let entry = s.pointee.codeTLB + CodeTLB.index(linear)
    if entry.pointee.tag != (linear & ~0xFFF) | UInt64(s.pointee.modeKey) || entry.pointee.stamp != s.pointee.jumpStamp &>> 1 {
      return nil
    }
    return entry.pointee.page
  }

  public var codeKey: CodeKey {
    if s.pointee.modeKey & 8 != 0 { return CodeKey(modeKey: s.pointee.modeKey & 0x3F, csBase: 0, csLimit: ~0) }
    return CodeKey(modeKey: s.pointee.modeKey & 0x3F, csBase: UInt32(truncatingIfNeeded: s.pointee.cs.base),
                   csLimit: s.pointee.cs.limit)
  }
}
