import Platform
import X86
import X86Decoder

/// An entry of the code TLB: which decoded page a linear page is, in a mode.
public struct CodeTLBEntry {
  /// Linear page address with the mode key in its low bits; `CodeTLB.invalid` when empty.
  public var tag: UInt64
  public var page: UnsafeMutablePointer<CodePage>?
  /// Translation stamp under which the entry was made.
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

/// Values that entries of the caches of code are compared with. Stamps of user code are odd, so that kernel and user code keep
/// separate entries; the first ones are above 1, so that zeroed entries are never valid.
public struct CodeStamps: Sendable {
  /// Changes whenever a mapping or a block of decoded code does.
  public var jump: UInt64
  /// Changes whenever a mapping does, or the record of a page of code is freed.
  public var translation: UInt64

  public static let firstSupervisor = CodeStamps(jump: 2, translation: 2)
  public static let firstUser = CodeStamps(jump: 3, translation: 3)
}

/// What is cached about code of one privilege (CPL 3, or 0–2): under which stamps, and from which linear pages.
public struct CachedCode {
  public var stamps: CodeStamps
  /// Pages that code was fetched from since the translation stamp changed, hashed: may say yes wrongly, never no.
  private var pages = InlineArray<64, UInt64>(repeating: 0)
  /// One of them was not global.
  private(set) var hasLocalPages = false

  init(stamps: CodeStamps) { self.stamps = stamps }

  private static func bit(_ linear: UInt64) -> UInt64 { ((linear &>> 12) ^ (linear &>> 24)) & 4095 }

  mutating func insert(_ linear: UInt64, global: Bool) {
    let bit = Self.bit(linear)
    pages[Int(bit &>> 6)] |= 1 &<< (bit & 63)
    if !global { hasLocalPages = true }
  }

  func mayContain(_ linear: UInt64) -> Bool {
    let bit = Self.bit(linear)
    return (pages[Int(bit &>> 6)] &>> (bit & 63)) & 1 != 0
  }

  mutating func forgetTranslations() {
    stamps.jump &+= 2
    stamps.translation &+= 2
    pages = InlineArray(repeating: 0)
    hasLocalPages = false
  }
}

/// What keeps the caches of translations and decoded code true when mappings, rights and modes change.
extension CPU {
  /// Drops translations: all, or all but those of global pages.
  public func flushTLB(keepGlobal: Bool) {
    tlbs.flush(keepGlobal: keepGlobal)
    s.pointee.stackSpan = 0
    s.pointee.userCode.forgetTranslations()
    // A kernel's own code is global as a rule.
    if !keepGlobal || s.pointee.supervisorCode.hasLocalPages { s.pointee.supervisorCode.forgetTranslations() }
    selectStamps()
    if s.pointee.reportsTranslations { environment.owner?.didInvalidate(nil) }
  }

  /// A paravirtual kernel's change of address space that leaves its own half of the linear addresses, the upper one, as it was: drops
  /// all translations but those.
  public func flushPrograms() {
    tlbs.flushPrograms()
    s.pointee.stackSpan = 0
    s.pointee.userCode.forgetTranslations()
    if s.pointee.supervisorCode.hasLocalPages { s.pointee.supervisorCode.forgetTranslations() }
    selectStamps()
  }

  /// INVLPG: drops the translations of one page.
  public func invalidatePage(_ linear: UInt64) {
    tlbs.drop(page: linear)
    s.pointee.stackSpan = 0
    if s.pointee.userCode.mayContain(linear) { s.pointee.userCode.forgetTranslations() }
    if s.pointee.supervisorCode.mayContain(linear) { s.pointee.supervisorCode.forgetTranslations() }
    selectStamps()
    if s.pointee.reportsTranslations { environment.owner?.didInvalidate(linear) }
  }

  /// Code was fetched from this linear page with the current privilege: INVLPG of it concerns the caches of code.
  public func noteCodePage(_ linear: UInt64, global: Bool) {
    if runsProgram {
      s.pointee.userCode.insert(linear, global: global)
    } else {
      s.pointee.supervisorCode.insert(linear, global: s.pointee.deprivileged ? linear &>> 63 != 0 : global)
    }
  }

  /// Whether the code that runs is a program's, not a kernel's.
  @inline(__always)
  private var runsProgram: Bool { s.pointee.cpl == 3 && !s.pointee.deprivileged }

  /// The stamps that apply now; the chain is left if they are others than before, for the current block may be stale.
  @inline(__always)
  private func selectStamps() {
    let stamps = runsProgram ? s.pointee.userCode.stamps : s.pointee.supervisorCode.stamps
    if stamps.jump != s.pointee.jumpStamp { s.pointee.exitRequest |= ExitRequest.codeChanged }
    s.pointee.jumpStamp = stamps.jump
    s.pointee.translationStamp = stamps.translation
  }

  /// After a change of CPL, RFLAGS.AC, CR0.AM or CR4.SMAP: the TLB whose rights apply now.
  @inline(__always)
  public func selectTLB() {
    let tlb = tlbs.base(checksAlignment ? TLBSet.none : currentTLB)
    if tlb != s.pointee.tlb {
      s.pointee.tlb = tlb
      s.pointee.stackSpan = 0
    }
    selectStamps()
  }

  /// After a change of mode, or of the base or limit of a CS that is not flat: nothing cached by RIP holds any more.
  public func modeChanged() {
    s.pointee.ripMask = s.pointee.codeSize == .bits64 ? ~0 : 0xFFFF_FFFF
    // Stack slots have another width.
    s.pointee.stackSpan = 0
    forgetCode()
    selectTLB()
  }

  /// Decoded blocks were dropped somewhere, or RIPs have another meaning.
  func forgetBlocks() {
    s.pointee.userCode.stamps.jump &+= 2
    s.pointee.supervisorCode.stamps.jump &+= 2
    selectStamps()
  }

  /// Records of pages of code were freed.
  func forgetCode() {
    s.pointee.userCode.forgetTranslations()
    s.pointee.supervisorCode.forgetTranslations()
    selectStamps()
  }

  /// Stores to a page of memory must be noticed, or refused, from now on.
  func dropWriters(hostPage: UInt, writers: TLBWriters) {
    tlbs.drop(host: hostPage, writers: writers)
    if s.pointee.stackHost == hostPage { s.pointee.stackSpan = 0 }
  }

  /// Looks up the decoded page that RIP is in; nil means `CodeFetch` must translate and make it.
  @inlinable @inline(__always)
  public func codePage(linear: UInt64) -> UnsafeMutablePointer<CodePage>? {
    let entry = s.pointee.codeTLB + CodeTLB.index(linear)
    if entry.pointee.tag != (linear & ~0xFFF) | UInt64(s.pointee.modeKey) || entry.pointee.stamp != s.pointee.translationStamp {
      return nil
    }
    return entry.pointee.page
  }

  /// What the decoded code of RIP's page depends on besides its bytes.
  public var codeKey: CodeKey {
    let mode = s.pointee.modeKey & 0x3F
    if mode & 8 == 0 {
      return CodeKey(modeKey: mode, csBase: UInt32(truncatingIfNeeded: s.pointee.cs.base), csLimit: s.pointee.cs.limit)
    }
    // A direct branch reaches 2 GiB. Where that may be beyond the canonical addresses it faults on one linear page and not on
    // another: such pages do not share their code with others of the same memory.
    let reach: UInt64 = 0x8000_1000
    if isCanonical(s.pointee.rip &+ reach), isCanonical(s.pointee.rip &- reach) {
      return CodeKey(modeKey: mode, csBase: 0, csLimit: ~0)
    }
    return CodeKey(modeKey: mode | 0x40, csBase: UInt32(truncatingIfNeeded: s.pointee.rip &>> 12), csLimit: ~0)
  }
}
