import XenABI

/// The grants a domain gives, and what it has mapped of others' (xen/include/public/grant_table.h).
///
/// Entries live in frames that the guest shares with the hypervisor; the guest may change them at any time, so each is read once for
/// each use. What is in use is recorded here.
struct GrantTable {
  /// Frames of entries: 512 of version 1, or 256 of version 2 each.
  var frames: [MachineFrameNumber] = []
  /// Frames of status words, in version 2.
  var statusFrames: [MachineFrameNumber] = []
  var version: UInt32 = 1
  static let maximumFrames = 64

  /// A grant that somebody uses.
  struct Active {
    var frame: MachineFrameNumber
    var readers = 0
    var writers = 0
  }
  var active: [GrantReference: Active] = [:]

  /// A grant of another domain that this one has mapped; its handle is the index.
  struct Mapping {
    /// Kept, so that a grant can be given back to a domain that is gone.
    var giver: Domain
    var reference: GrantReference
    var frame: MachineFrameNumber
    var isReadOnly: Bool
    var hasHost: Bool
    var hasDevice: Bool
  }
  var mappings: [Mapping?] = []
  static let maximumMappings = 8192

  /// GTF_*
  enum Flag {
    static let permitAccess: UInt16 = 1
    static let acceptTransfer: UInt16 = 2
    static let transitive: UInt16 = 3
    static let typeMask: UInt16 = 3
    static let readOnly: UInt16 = 1 << 2
    static let reading: UInt16 = 1 << 3
    static let writing: UInt16 = 1 << 4
    static let subPage: UInt16 = 1 << 8
    static let transferCommitted: UInt16 = 1 << 2
    static let transferCompleted: UInt16 = 1 << 3
  }

  var entryBytes: Int { version == 1 ? 8 : 16 }
  var entries: UInt32 { UInt32(frames.count * 4096 / entryBytes) }

  mutating func newHandle() -> Int? {
    if let n = mappings.firstIndex(where: { $0 == nil }) { return n }
    if mappings.count == Self.maximumMappings { return nil }
    mappings.append(nil)
    return mappings.count - 1
  }
}

/// GNTST_*: what single grant operations come to.
enum GrantStatus: Int16, Error {
  case okay = 0
  case generalError = -1
  case badDomain = -2
  case badReference = -3
  case badHandle = -4
  case badVirtualAddress = -5
  case badDeviceAddress = -6
  case permissionDenied = -8
  case badPage = -9
  case badCopyArgument = -10
  case addressTooBig = -11
  case again = -12
  case noSpace = -13
}

/// An entry of a grant table as it was when it was looked at.
struct GrantEntry {
  var flags: UInt16
  var domain: DomainID
  var frame: MachineFrameNumber
  /// Part of the page that may be copied.
  var offset: UInt32 = 0
  var length: UInt32 = 4096
  /// A grant of another domain's that is passed on.
  var transitive: (domain: DomainID, reference: GrantReference)?
}

extension Domain {
  /// Makes room for a number of frames.
  func growGrantTable(to count: Int) throws(XenError) {
    while grants.frames.count < count {
      guard let frame = hypervisor.allocateFrame(for: id, shared: true) else { throw .ENOMEM }
      hypervisor.setPhysical(of: frame, to: ~0)
      grants.frames.append(frame)
    }
    if grants.version == 2 { try growStatusFrames() }
  }

  /// A status word for each entry of version 2.
  func growStatusFrames() throws(XenError) {
    let needed = (grants.frames.count * 256 * 2 + 4095) / 4096
    while grants.statusFrames.count < max(needed, 1) {
      guard let frame = hypervisor.allocateFrame(for: id, shared: true) else { throw .ENOMEM }
      hypervisor.setPhysical(of: frame, to: ~0)
      grants.statusFrames.append(frame)
    }
  }

  private func entryAddress(_ reference: GrantReference) -> UnsafeMutableRawPointer {
    let at = Int(reference) * grants.entryBytes
    return frames.contents(grants.frames[at / 4096]) + at % 4096
  }

  private func statusAddress(_ reference: GrantReference) -> UnsafeMutableRawPointer {
    frames.contents(grants.statusFrames[Int(reference) / 2048]) + Int(reference) % 2048 * 2
  }

  /// The entry of a reference; nil where the table has none.
  func grantEntry(_ reference: GrantReference) -> GrantEntry? {
    guard reference < grants.entries else { return nil }
    let p = entryAddress(reference)
    var entry = GrantEntry(flags: p.load(as: UInt16.self), domain: DomainID(p.load(fromByteOffset: 2, as: UInt16.self)), frame: .invalid)
    if grants.version == 1 {
      entry.frame = MachineFrameNumber(UInt64(p.load(fromByteOffset: 4, as: UInt32.self)))
    } else if entry.flags & GrantTable.Flag.typeMask == GrantTable.Flag.transitive {
      entry.transitive = (DomainID(p.load(fromByteOffset: 4, as: UInt16.self)), p.load(fromByteOffset: 8, as: UInt32.self))
    } else {
      entry.frame = MachineFrameNumber(p.load(fromByteOffset: 8, as: UInt64.self))
      if entry.flags & GrantTable.Flag.subPage != 0 {
        entry.offset = UInt32(p.load(fromByteOffset: 4, as: UInt16.self))
        entry.length = UInt32(p.load(fromByteOffset: 6, as: UInt16.self))
      }
    }
    return entry
  }

  /// Shows the granting guest that a grant is read or written, or no more.
  private func setInUse(_ reference: GrantReference, reading: Bool, writing: Bool) {
    // The table is gone with its domain.
    if reference >= grants.entries { return }
    let p = grants.version == 1 ? entryAddress(reference) : statusAddress(reference)
    var word = p.load(as: UInt16.self) & ~(GrantTable.Flag.reading | GrantTable.Flag.writing)
    if reading { word |= GrantTable.Flag.reading }
    if writing { word |= GrantTable.Flag.writing }
    p.storeBytes(of: word, as: UInt16.self)
  }

  /// Uses a grant that this domain gives to `user`: checks it, takes the references, and shows it.
  func acquire(_ reference: GrantReference, for user: DomainID, writable: Bool) throws(GrantStatus) -> MachineFrameNumber {
    guard let entry = grantEntry(reference) else { throw .badReference }
    guard entry.flags & GrantTable.Flag.typeMask == GrantTable.Flag.permitAccess, entry.domain == user else { throw .generalError }
    if writable, entry.flags & GrantTable.Flag.readOnly != 0 { throw .generalError }
    var use = grants.active[reference] ?? GrantTable.Active(frame: entry.frame)
    // While a grant is in use its frame is what it was at first.
    do throws(XenError) {
      if writable { try getAndType(use.frame, .writable) } else { try get(use.frame) }
    } catch {
      throw .badPage
    }
    if writable { use.writers += 1 } else { use.readers += 1 }
    grants.active[reference] = use
    setInUse(reference, reading: true, writing: use.writers > 0)
    return use.frame
  }

  /// The opposite of `acquire`.
  func releaseGrant(_ reference: GrantReference, writable: Bool) {
    guard var use = grants.active[reference] else { return }
    if writable {
      use.writers -= 1
      putAndType(use.frame)
    } else {
      use.readers -= 1
      frames.put(use.frame)
    }
    if use.readers + use.writers == 0 {
      grants.active[reference] = nil
      setInUse(reference, reading: false, writing: false)
    } else {
      grants.active[reference] = use
      setInUse(reference, reading: true, writing: use.writers > 0)
    }
  }
}

extension Domain {
  func swapGrantEntries(_ a: GrantReference, _ b: GrantReference) {
    let p = entryAddress(a), q = entryAddress(b)
    for n in 0..<grants.entryBytes {
      let byte = p.load(fromByteOffset: n, as: UInt8.self)
      p.storeBytes(of: q.load(fromByteOffset: n, as: UInt8.self), toByteOffset: n, as: UInt8.self)
      q.storeBytes(of: byte, toByteOffset: n, as: UInt8.self)
    }
  }
}
