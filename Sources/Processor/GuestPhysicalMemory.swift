import Platform
import X86

/// Guests whose physical addresses are not the machine's: the map between the two, shadow page tables, and what their owner is asked.
///
/// A page walk of such a guest reads its tables through the map (nested translation). With a shadow root the processor walks the
/// owner's tables first, which lead straight to machine addresses, and the guest's only where those do not have what it needs.

/// Entries of `CPUState.physicalMap`: the machine address of a page with these bits.
public enum GuestPhysicalMap {
  public static let present: UInt64 = 1
  public static let writable: UInt64 = 2
  /// Set in physical addresses that lead to no memory, so that they are none of the machine's.
  public static let outside: UInt64 = 1 << 62
}

/// Bits of shadow entries that the hardware's entries leave to software.
public enum ShadowEntry {
  /// The entry is a part of a larger page of the guest's, of 2 or 4 MiB or of 1 GiB.
  public static let partOfLarge: UInt64 = 1 << 9
  public static let partOfGigabyte: UInt64 = 1 << 10
}

/// What becomes of an access to a model-specific register.
public enum MSRAnswer: Sendable {
  /// The processor has it as without an owner.
  case own
  /// What a read yields; a write is done.
  case value(UInt64)
  /// #GP
  case fault
}

/// Who runs such a guest. All calls come from within the run, with RIP and `retired` exact.
public protocol GuestOwner: AnyObject {
  /// The guest's tables allow this access, accessed and dirty bits are set, and this is what becomes of it.
  /// Only where `CPUState.reportsTranslations` says so.
  /// - Parameter guest: the guest-physical address.
  func didTranslate(_ linear: UInt64, _ access: Access, guest: UInt64, _ translation: inout PageTranslation)
  /// The guest may have other tables now, or other translations of this linear address (nil: of all). Likewise.
  func didInvalidate(_ linear: UInt64?)
  func cpuid(leaf: UInt32, subleaf: UInt32) -> CPUIDResult
  func readMSR(_ index: UInt32) -> MSRAnswer
  func writeMSR(_ index: UInt32, _ value: UInt64) -> MSRAnswer
  /// VMCALL or VMMCALL: arguments and result are in registers; `nextRIP` is behind the instruction.
  func callHypervisor()
}

extension CPU {
  /// Gives the guest a physical address space of its own, or none; `map` stays the caller's and outlives the processor.
  public func beOwned(by owner: (any GuestOwner)?, map: UnsafeMutablePointer<UInt64>?, pages: UInt64) {
    environment.owner = owner
    s.pointee.physicalMap = map
    s.pointee.physicalMapPages = pages
  }

  /// What the machine has at a guest-physical address; an address outside all memory where there is nothing.
  @inline(__always)
  public func machineAddress(_ address: UInt64) -> UInt64 {
    let page = address &>> 12
    guard page < s.pointee.physicalMapPages, let map = s.pointee.physicalMap else { return address | GuestPhysicalMap.outside }
    let entry = map[Int(truncatingIfNeeded: page)]
    return entry & GuestPhysicalMap.present == 0 ? address | GuestPhysicalMap.outside : (entry & ~0xFFF) | (address & 0xFFF)
  }

  /// The same as `walk`, but for a guest with a physical address space of its own: to a machine address.
  @inline(never)
  func translateOwned(_ linear: UInt64, _ access: Access, user: Bool, implicit: Bool) throws(Fault) -> PageTranslation {
    if s.pointee.shadowRoot != 0, let t = walkShadow(linear, access, user: user, implicit: implicit) { return t }
    var t = try walk(linear, access, user: user, implicit: implicit)
    let guest = t.physical
    t.physical = machineAddress(guest)
    if t.physical & GuestPhysicalMap.outside == 0, let map = s.pointee.physicalMap, map[Int(guest &>> 12)] & GuestPhysicalMap.writable == 0 {
      // As to ROM: what is written goes nowhere.
      t.writableNow = false
      if access == .write { t.physical = guest | GuestPhysicalMap.outside }
    }
    if s.pointee.reportsTranslations { environment.owner?.didTranslate(linear, access, guest: guest, &t) }
    return t
  }

  /// By the shadow tables; nil where they do not have the page, or not with the rights for this access.
  ///
  /// A shadow page is writable only if the guest's is and its dirty bit is set, so there is nothing to be set here.
  private func walkShadow(_ linear: UInt64, _ access: Access, user: Bool, implicit: Bool) -> PageTranslation? {
    var table = s.pointee.shadowRoot
    var shift: UInt64 = 39
    var rights: UInt64 = ~0
    var noExecute: UInt64 = 0
    var entry: UInt64 = 0
    while true {
      let address = table | ((linear &>> (shift &- 3)) & 0xFF8)
      entry = UInt64(littleEndian: hostByte(pageWord(address), address).load(as: UInt64.self))
      if entry & Entry.present == 0 { return nil }
      rights &= entry
      noExecute |= entry & Entry.noExecute
      table = entry & Entry.address
      if shift == 12 { break }
      shift &-= 9
    }
    let keyed = s.pointee.longMode && s.pointee.cr4 & CR4.PKE != 0
    var isKeyFault = false
    var t = self.rights(
      access, user: user, implicit: implicit, rights: rights, noExecute: noExecute != 0, keyed: keyed,
      key: UInt32(truncatingIfNeeded: entry &>> 59) & 15, &isKeyFault)
    if rights & Entry.writable == 0 { t.writableNow = false }
    if !t.allows(access) { return nil }
    t.physical = table | (linear & 0xFFF)
    t.global = entry & Entry.global != 0 && s.pointee.cr4 & CR4.PGE != 0
    if entry & (ShadowEntry.partOfLarge | ShadowEntry.partOfGigabyte) != 0 {
      s.pointee.largePages.insert(linear, isGigabyte: entry & ShadowEntry.partOfGigabyte != 0)
    }
    return t
  }
}
