import Platform
import X86

/// The page walk (SDM vol. 3A chapter 5, "Paging"): 32-bit, PAE, 4-level and 5-level.
///
/// Not modelled: memory types (PAT, PCD, PWT), the paging-structure caches (every walk reads the tables).

/// What a walk found out about a page.
public struct PageTranslation {
  /// Physical address of the byte asked for, A20 applied.
  public var physical: UInt64 = 0
  /// A data read of the same privilege needs no further check.
  public var readable = true
  /// A write of the same privilege needs no further check, and the dirty bit is set already.
  public var writableNow = true
  /// An instruction fetch of the same privilege needs no further check.
  public var executable = true
  /// The page is a user page (U/S set at every level).
  public var user = true
  public var global = false
  public var noExecute = false
  /// log2 of the page's size: 12, 21, 22 or 30; 32 with paging off.
  public var sizeBits: UInt8 = 12

  @inline(__always)
  func allows(_ access: Access) -> Bool {
    switch access {
    case .read: readable
    case .write: writableNow
    case .execute: executable
    }
  }
}

/// Which linear addresses were translated by pages larger than 4 KiB, since everything was last flushed: hashed, so that it may say yes
/// wrongly, but never no.
public struct LargePageFilter {
  private var regions = InlineArray<128, UInt64>(repeating: 0)

  public init() {}

  /// Number of the bit for a region, by the region's number: 4 MiB, or 1 GiB with a marker above.
  private static func bit(_ region: UInt64) -> UInt64 { (region ^ (region &>> 13) ^ (region &>> 26)) & 8191 }
  private static func gigabyte(_ linear: UInt64) -> UInt64 { bit((linear &>> 30) ^ 0x1555) }

  private func test(_ bit: UInt64) -> Bool { (regions[Int(bit &>> 6)] &>> (bit & 63)) & 1 != 0 }

  mutating func insert(_ linear: UInt64, isGigabyte: Bool) {
    let bit = isGigabyte ? Self.gigabyte(linear) : Self.bit(linear &>> 22)
    regions[Int(bit &>> 6)] |= 1 &<< (bit & 63)
  }

  func mayContain(_ linear: UInt64) -> Bool { test(Self.bit(linear &>> 22)) || test(Self.gigabyte(linear)) }
}

/// Bits of paging-structure entries.
enum Entry {
  static let present: UInt64 = 1 << 0
  static let writable: UInt64 = 1 << 1
  static let user: UInt64 = 1 << 2
  static let accessed: UInt64 = 1 << 5
  static let dirty: UInt64 = 1 << 6
  static let large: UInt64 = 1 << 7
  static let global: UInt64 = 1 << 8
  static let noExecute: UInt64 = 1 << 63
  static let address: UInt64 = 0x000F_FFFF_FFFF_F000
}

/// Bits of a page-fault error code (SDM vol. 3A §5.7).
private enum FaultBits {
  static let present: UInt32 = 1
  static let write: UInt32 = 2
  static let user: UInt32 = 4
  static let reserved: UInt32 = 8
  static let fetch: UInt32 = 16
  static let protectionKey: UInt32 = 32
}

extension CPU {
  /// Translates a linear address for an access of one byte.
  ///
  /// Accessed and dirty bits are set exactly as the access demands, and not at all when it faults. On a fault CR2 is loaded.
  /// - Parameters:
  ///   - user: the access is made with user privilege (CPL 3 and not an implicit supervisor access).
  ///   - implicit: a supervisor access to a system structure, which RFLAGS.AC does not lift SMAP for (SDM vol. 3A §5.6.1).
  /// - Throws: #PF with its error code.
  public func translate(_ linear: UInt64, _ access: Access, user: Bool, implicit: Bool = false) throws(Fault) -> PageTranslation {
    if s.pointee.physicalMap != nil { return try translateOwned(linear, access, user: user, implicit: implicit) }
    return try walk(linear, access, user: user, implicit: implicit)
  }

  /// By the guest's own tables, to an address that is physical for the guest.
  @inline(__always)
  func walk(_ linear: UInt64, _ access: Access, user: Bool, implicit: Bool) throws(Fault) -> PageTranslation {
    let state = s
    if state.pointee.cr0 & CR0.PG == 0 {
      var t = PageTranslation()
      t.physical = linear & s.pointee.a20Mask
      t.sizeBits = 32
      return t
    }
    if state.pointee.cr4 & CR4.PAE == 0 {
      return try translateTwoLevel(linear, access, user: user, implicit: implicit)
    }
    return try translateLong(linear, access, user: user, implicit: implicit)
  }

  /// Where a linear address leads, without access checks, without accessed and dirty bits; nil where it is not mapped.
  public func translateForDebugger(_ linear: UInt64) -> UInt64? {
    walkForDebugger(linear).map { s.pointee.physicalMap == nil ? $0 : machineAddress($0) }
  }

  private func walkForDebugger(_ linear: UInt64) -> UInt64? {
    let cr0 = s.pointee.cr0, cr4 = s.pointee.cr4
    let mask = s.pointee.a20Mask
    if cr0 & CR0.PG == 0 { return linear & mask }
    if cr4 & CR4.PAE == 0 {
      let pde = readEntry32((s.pointee.cr3 & 0xFFFF_F000) | ((linear &>> 20) & 0xFFC))
      if pde & Entry.present == 0 { return nil }
      if pde & Entry.large != 0, cr4 & CR4.PSE != 0 {
        return (largePageBase(pde) | (linear & 0x3F_FFFF)) & mask
      }
      let pte = readEntry32((pde & 0xFFFF_F000) | ((linear &>> 10) & 0xFFC))
      return pte & Entry.present == 0 ? nil : ((pte & 0xFFFF_F000) | (linear & 0xFFF)) & mask
    }
    var (shift, table) = rootTable(linear)
    if shift == 0 { return nil }
    while true {
      let entry = readEntry64(table | ((linear &>> (shift &- 3)) & 0xFF8))
      if entry & Entry.present == 0 { return nil }
      let page = entry & Entry.address
      if shift == 12 || (shift <= 30 && entry & Entry.large != 0) {
        let offset: UInt64 = (1 &<< shift) &- 1
        return ((page & ~offset) | (linear & offset)) & mask
      }
      table = page
      shift = shift &- 9
    }
  }

  // MARK: Table entries in memory

  /// Where an entry lies for the machine.
  @inline(__always)
  private func entryAddress(_ address: UInt64) -> UInt64 {
    s.pointee.physicalMap == nil ? address & s.pointee.a20Mask : machineAddress(address)
  }

  @inline(__always)
  func readEntry64(_ address: UInt64) -> UInt64 {
    let physical = entryAddress(address)
    let word = pageWord(physical)
    if word != 0 { return UInt64(littleEndian: hostByte(word, physical).load(as: UInt64.self)) }
    return environment.memory.read(physical, size: 8)
  }

  @inline(__always)
  func readEntry32(_ address: UInt64) -> UInt64 {
    let physical = entryAddress(address)
    let word = pageWord(physical)
    if word != 0 { return UInt64(UInt32(littleEndian: hostByte(word, physical).load(as: UInt32.self))) }
    return environment.memory.read(physical, size: 4) & 0xFFFF_FFFF
  }

  /// Accessed and dirty live in the low byte of an entry of either size.
  @inline(never)
  private func setEntryBits(_ address: UInt64, _ bits: UInt64) {
    let physical = entryAddress(address)
    let word = pageWord(physical)
    if word & (PhysicalMemory.PageBits.writable | PhysicalMemory.PageBits.code) == PhysicalMemory.PageBits.writable {
      let host = hostByte(word, physical)
      host.storeBytes(of: host.load(as: UInt8.self) | UInt8(truncatingIfNeeded: bits), as: UInt8.self)
      return
    }
    let memory = environment.memory
    let old = memory.read(physical, size: 1)
    memory.write(physical, old | bits, size: 1)
  }

  // MARK: Walks

  /// Level (as the shift of its index) and address of the table a walk begins with; shift 0 where a PDPTE is not present.
  @inline(__always)
  private func rootTable(_ linear: UInt64) -> (shift: UInt64, table: UInt64) {
    if s.pointee.longMode {
      return (s.pointee.cr4 & CR4.LA57 != 0 ? 48 : 39, s.pointee.cr3 & Entry.address)
    }
    let pdpte: UInt64
    switch (linear &>> 30) & 3 {
    case 0: pdpte = s.pointee.pae0
    case 1: pdpte = s.pointee.pae1
    case 2: pdpte = s.pointee.pae2
    default: pdpte = s.pointee.pae3
    }
    return pdpte & Entry.present == 0 ? (0, 0) : (21, pdpte & Entry.address)
  }

  /// PAE and longer: entries of 8 bytes.
  private func translateLong(_ linear: UInt64, _ access: Access, user: Bool, implicit: Bool) throws(Fault) -> PageTranslation {
    let long = s.pointee.longMode
    var reservedAlways = s.pointee.reservedAddressBits
    // In PAE paging the bits that 4-level paging leaves to software are reserved (SDM vol. 3A table 5-10).
    if !long { reservedAlways |= 0x7FF0_0000_0000_0000 }
    if s.pointee.efer & EFER.NXE == 0 { reservedAlways |= Entry.noExecute }

    var (shift, table) = rootTable(linear)
    if shift == 0 { throw pageFault(linear, access, user: user, 0) }
    var rights = Entry.writable | Entry.user
    var noExecute: UInt64 = 0
    var accessed = Entry.accessed
    var entries = InlineArray<5, UInt64>(repeating: 0)
    var depth = 0
    var entry: UInt64 = 0
    while true {
      let address = table | ((linear &>> (shift &- 3)) & 0xFF8)
      entries[depth] = address
      depth &+= 1
      entry = readEntry64(address)
      if entry & Entry.present == 0 { throw pageFault(linear, access, user: user, 0) }
      var reserved = reservedAlways
      let leaf: Bool
      switch shift {
      case 12: leaf = true
      case 21:
        leaf = entry & Entry.large != 0
        if leaf { reserved |= 0x001F_E000 }
      case 30 where s.pointee.hasGigabytePages:
        leaf = entry & Entry.large != 0
        if leaf { reserved |= 0x3FFF_E000 }
      default:
        leaf = false
        reserved |= Entry.large
      }
      if entry & reserved != 0 {
        throw pageFault(linear, access, user: user, FaultBits.present | FaultBits.reserved)
      }
      rights &= entry
      noExecute |= entry & Entry.noExecute
      accessed &= entry
      if leaf { break }
      table = entry & Entry.address
      shift = shift &- 9
    }
    let key = long && s.pointee.cr4 & CR4.PKE != 0 ? UInt32(truncatingIfNeeded: entry &>> 59) & 15 : 0
    var t = try checkRights(
      linear, access, user: user, implicit: implicit, rights: rights, noExecute: noExecute != 0,
      keyed: long && s.pointee.cr4 & CR4.PKE != 0, key: key)

    let write = access == .write
    if accessed == 0 {
      for level in 0..<depth { setEntryBits(entries[level], Entry.accessed) }
    }
    if write, entry & Entry.dirty == 0 { setEntryBits(entries[depth &- 1], Entry.accessed | Entry.dirty) }
    if !write, entry & Entry.dirty == 0 { t.writableNow = false }
    let offset: UInt64 = (1 &<< shift) &- 1
    t.physical = ((entry & Entry.address & ~offset) | (linear & offset)) & s.pointee.a20Mask
    t.global = entry & Entry.global != 0 && s.pointee.cr4 & CR4.PGE != 0
    t.sizeBits = UInt8(truncatingIfNeeded: shift)
    if shift != 12 { s.pointee.largePages.insert(linear, isGigabyte: shift == 30) }
    return t
  }

  /// 32-bit paging: entries of 4 bytes, pages of 4 KiB or, with CR4.PSE, 4 MiB.
  private func translateTwoLevel(_ linear: UInt64, _ access: Access, user: Bool, implicit: Bool) throws(Fault) -> PageTranslation {
    let pdeAddress = (s.pointee.cr3 & 0xFFFF_F000) | ((linear &>> 20) & 0xFFC)
    let pde = readEntry32(pdeAddress)
    if pde & Entry.present == 0 { throw pageFault(linear, access, user: user, 0) }
    let large = pde & Entry.large != 0 && s.pointee.cr4 & CR4.PSE != 0
    var entry = pde
    var entryAddress = pdeAddress
    var rights = pde
    if large {
      if pde & largePageReserved != 0 {
        throw pageFault(linear, access, user: user, FaultBits.present | FaultBits.reserved)
      }
    } else {
      entryAddress = (pde & 0xFFFF_F000) | ((linear &>> 10) & 0xFFC)
      entry = readEntry32(entryAddress)
      if entry & Entry.present == 0 { throw pageFault(linear, access, user: user, 0) }
      rights &= entry
    }
    var t = try checkRights(
      linear, access, user: user, implicit: implicit, rights: rights, noExecute: false, keyed: false, key: 0)
    if pde & Entry.accessed == 0 { setEntryBits(pdeAddress, Entry.accessed) }
    if entry & Entry.accessed == 0 { setEntryBits(entryAddress, Entry.accessed) }
    if entry & Entry.dirty == 0 {
      if access == .write { setEntryBits(entryAddress, Entry.dirty) } else { t.writableNow = false }
    }
    let physical = large ? largePageBase(pde) | (linear & 0x3F_FFFF) : (entry & 0xFFFF_F000) | (linear & 0xFFF)
    t.physical = physical & s.pointee.a20Mask
    t.global = entry & Entry.global != 0 && s.pointee.cr4 & CR4.PGE != 0
    t.sizeBits = large ? 22 : 12
    if large { s.pointee.largePages.insert(linear, isGigabyte: false) }
    return t
  }

  /// Base of a 4 MiB page; with PSE-36, bits 20–13 are bits 39–32 of the address.
  private func largePageBase(_ pde: UInt64) -> UInt64 {
    let low = pde & 0xFFC0_0000
    return environment.model.features.contains(.pse36) ? low | ((pde & 0x001F_E000) &<< 19) : low
  }

  /// Reserved bits of the PDE of a 4 MiB page (SDM vol. 3A table 5-4).
  private var largePageReserved: UInt64 {
    let model = environment.model
    if !model.features.contains(.pse36) { return 0x003F_E000 }
    let bits = min(40, UInt64(model.physicalAddressBits))
    return 0x003F_E000 & (~0 &<< (bits &- 19))
  }

  // MARK: Rights

  /// SDM vol. 3A §5.6: who may do what, for an entry chain whose R/W and U/S bits are and-ed in `rights`.
  @inline(__always)
  private func checkRights(
    _ linear: UInt64, _ access: Access, user: Bool, implicit: Bool, rights: UInt64, noExecute: Bool, keyed: Bool, key: UInt32
  ) throws(Fault) -> PageTranslation {
    var isKeyFault = false
    let t = self.rights(access, user: user, implicit: implicit, rights: rights, noExecute: noExecute, keyed: keyed, key: key, &isKeyFault)
    if !t.allows(access) { throw pageFault(linear, access, user: user, FaultBits.present | (isKeyFault ? FaultBits.protectionKey : 0)) }
    return t
  }

  /// - Parameter isKeyFault: set if the protection key alone or too is against the access.
  @inline(__always)
  func rights(
    _ access: Access, user: Bool, implicit: Bool, rights: UInt64, noExecute: Bool, keyed: Bool, key: UInt32, _ isKeyFault: inout Bool
  ) -> PageTranslation {
    let userPage = rights & Entry.user != 0
    let writePage = rights & Entry.writable != 0
    let cr4 = s.pointee.cr4
    let protect = s.pointee.cr0 & CR0.WP != 0
    var t = PageTranslation()
    t.user = userPage
    t.noExecute = noExecute
    if user {
      t.readable = userPage
      t.writableNow = userPage && writePage
      t.executable = userPage && !noExecute
    } else {
      let barred = userPage && cr4 & CR4.SMAP != 0 && (implicit || s.pointee.systemFlags & RFLAGS.AC == 0)
      t.readable = !barred
      t.writableNow = !barred && (writePage || !protect)
      t.executable = !noExecute && !(userPage && cr4 & CR4.SMEP != 0)
    }
    if keyed, userPage {
      let pkru = s.pointee.pkru &>> (key &* 2)
      let readDenied = pkru & 1 != 0
      let writeDenied = readDenied || (pkru & 2 != 0 && (user || protect))
      if readDenied { t.readable = false }
      if writeDenied { t.writableNow = false }
      isKeyFault = (access == .read && readDenied) || (access == .write && writeDenied)
    }
    return t
  }

  @inline(never)
  private func pageFault(_ linear: UInt64, _ access: Access, user: Bool, _ bits: UInt32) -> Fault {
    var code = bits
    if access == .write { code |= FaultBits.write }
    if user { code |= FaultBits.user }
    let cr4 = s.pointee.cr4
    if access == .execute, cr4 & CR4.SMEP != 0 || (cr4 & CR4.PAE != 0 && s.pointee.efer & EFER.NXE != 0) {
      code |= FaultBits.fetch
    }
    s.pointee.cr2 = linear
    return Fault(.PF, errorCode: code)
  }

  // MARK: Invalidation

  /// Drops all translations, those of global pages too.
  func flushAll() {
    s.pointee.largePages = LargePageFilter()
    flushTLB(keepGlobal: false)
  }

  /// INVLPG: drops what the TLBs hold of the page at this linear address, whatever its size was when they were filled.
  ///
  /// They hold large pages in parts of 4 KiB, and all parts must go (SDM vol. 3A §5.10.4.1). That is rare enough to drop everything.
  func invalidateLinear(_ linear: UInt64) {
    if s.pointee.largePages.mayContain(linear) { flushAll() } else { invalidatePage(linear) }
  }

  // MARK: PDPTE registers of PAE paging

  /// Loads the four PDPTE registers for PAE paging (SDM vol. 3A §5.4.1).
  /// - Throws: #GP(0) if a present entry has a reserved bit set; nothing is loaded then.
  func loadPDPTEs(cr3: UInt64) throws(Fault) {
    let base = cr3 & 0xFFFF_FFE0
    let reserved = (~0 &<< UInt64(environment.model.physicalAddressBits)) | 0x1E6
    var entries = InlineArray<4, UInt64>(repeating: 0)
    for n in 0..<4 {
      let entry = readEntry64(base &+ UInt64(n) &* 8)
      if entry & Entry.present != 0, entry & reserved != 0 { throw .generalProtection() }
      entries[n] = entry
    }
    s.pointee.pae0 = entries[0]
    s.pointee.pae1 = entries[1]
    s.pointee.pae2 = entries[2]
    s.pointee.pae3 = entries[3]
  }
}
