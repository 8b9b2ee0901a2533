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
  /// Of the frame, as the granting guest counts its frames.
  var number: UInt64
  /// Part of the page that may be copied.
  var offset: UInt32 = 0
  var length: UInt32 = 4096
  /// A grant of another domain's that is passed on.
  var transitive: (domain: DomainID, reference: GrantReference)?
}

extension Domain {
  /// Makes room for a number of frames.
  func growGrantTable(to count: Int) throws(XenError) {
    // Each entry of version 2 has its status word before anybody can use it.
    if grants.version == 2 { try growStatusFrames(for: count) }
    while grants.frames.count < count {
      guard let frame = hypervisor.allocateFrame(for: id, shared: true) else { throw .ENOMEM }
      hypervisor.setPhysical(of: frame, to: ~0)
      grants.frames.append(frame)
    }
  }

  /// A status word for each entry of version 2, in a table of so many frames.
  func growStatusFrames(for count: Int) throws(XenError) {
    let needed = (count * 256 * 2 + 4095) / 4096
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
    var entry = GrantEntry(flags: p.load(as: UInt16.self), domain: DomainID(p.load(fromByteOffset: 2, as: UInt16.self)), number: 0)
    if grants.version == 1 {
      entry.number = UInt64(p.load(fromByteOffset: 4, as: UInt32.self))
    } else if entry.flags & GrantTable.Flag.typeMask == GrantTable.Flag.transitive {
      entry.transitive = (DomainID(p.load(fromByteOffset: 4, as: UInt16.self)), p.load(fromByteOffset: 8, as: UInt32.self))
    } else {
      entry.number = p.load(fromByteOffset: 8, as: UInt64.self)
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
    var use: GrantTable.Active
    // While a grant is in use its frame is what it was at first.
    do throws(XenError) {
      if let known = grants.active[reference] { use = known } else { use = GrantTable.Active(frame: try machineFrame(entry.number)) }
      if writable { try getAndType(use.frame, .writable) } else { try get(use.frame) }
    } catch {
      throw .badPage
    }
    if writable { use.writers += 1 } else { use.readers += 1 }
    grants.active[reference] = use
    setInUse(reference, reading: true, writing: use.writers > 0)
    if hypervisor.trace != nil { noteGrant("used", reference, use.frame, writable, by: user) }
    return use.frame
  }

  /// The opposite of `acquire`.
  func releaseGrant(_ reference: GrantReference, writable: Bool) {
    guard var use = grants.active[reference] else { return }
    if hypervisor.trace != nil { noteGrant("released", reference, use.frame, writable) }
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
  /// Uses a grant for a copy, which may be limited to a part of the page, or pass on the grant of another domain's.
  func acquireForCopy(
    _ reference: GrantReference, for user: DomainID, writable: Bool, _ offset: UInt32, _ length: UInt32
  ) throws(GrantStatus) -> (frame: MachineFrameNumber, release: () -> Void) {
    if let entry = grantEntry(reference) {
      if let other = entry.transitive {
        guard entry.domain == user, !writable || entry.flags & GrantTable.Flag.readOnly == 0 else { throw .generalError }
        // To one further domain, which must have given it to this one; a chain goes no further, or it might lead in a circle.
        guard let giver = hypervisor.domains[other.domain], giver !== self, let real = giver.grantEntry(other.reference), real.transitive == nil else {
          throw .generalError
        }
        let frame = try giver.acquire(other.reference, for: id, writable: writable)
        return (frame, { giver.releaseGrant(other.reference, writable: writable) })
      }
      if entry.offset > offset || entry.offset + entry.length < offset + length { throw .generalError }
    }
    let frame = try acquire(reference, for: user, writable: writable)
    return (frame, { self.releaseGrant(reference, writable: writable) })
  }

  /// An entry by which this domain expects a frame from another: from now on the guest must not change it.
  /// - Returns: where a guest with a physical address space of its own wants the frame.
  func expectTransfer(_ reference: GrantReference, from giver: Domain) throws(GrantStatus) -> GuestFrameNumber {
    guard let entry = grantEntry(reference) else { throw .badReference }
    guard entry.flags == GrantTable.Flag.acceptTransfer, entry.domain == giver.id else { throw .badReference }
    let place = GuestFrameNumber(entry.number)
    if let hvm, place.rawValue >= hvm.memory.count || hvm.memory[place] != nil { throw .generalError }
    entryAddress(reference).storeBytes(of: entry.flags | GrantTable.Flag.transferCommitted, as: UInt16.self)
    return place
  }

  /// The frame is there: the guest finds its number.
  func completeTransfer(_ reference: GrantReference, _ frame: MachineFrameNumber) {
    let p = entryAddress(reference)
    if hvm == nil {
      if grants.version == 1 {
        p.storeBytes(of: UInt32(truncatingIfNeeded: frame.rawValue), toByteOffset: 4, as: UInt32.self)
      } else {
        p.storeBytes(of: frame.rawValue, toByteOffset: 8, as: UInt64.self)
      }
    }
    p.storeBytes(of: p.load(as: UInt16.self) | GrantTable.Flag.transferCompleted, as: UInt16.self)
  }

  /// Makes a frame that nobody uses another domain's, as it is.
  func give(_ frame: MachineFrameNumber, at number: GuestFrameNumber, to taker: Domain, _ place: GuestFrameNumber) {
    if let hvm {
      hvm.memory.clear(number)
      physicalSpaceChanged()
    } else {
      flushAll()
    }
    hypervisor.setPhysical(of: frame, to: ~0)
    ownedFrames.remove(frame.rawValue)
    frames[frame].pointee.ownerPlusOne = taker.id.rawValue &+ 1
    taker.ownedFrames.insert(frame.rawValue)
    if let hvm = taker.hvm {
      hvm.memory.set(place, to: frame, .ram)
      hypervisor.setPhysical(of: frame, to: place.rawValue)
      taker.highestPFN = max(taker.highestPFN, place.rawValue)
    }
  }

  @inline(never)
  private func noteGrant(_ what: String, _ reference: GrantReference, _ frame: MachineFrameNumber, _ writable: Bool, by user: DomainID? = nil) {
    var fields: [TraceRecord.Field] = [
      .init("reference", .count(UInt64(reference))), .init("mfn", .number(frame.rawValue)), .init("access", .text(writable ? "write" : "read")),
    ]
    if let user { fields.append(.init("by", .text("\(user)"))) }
    hypervisor.note(.grant, self, nil, what, fields)
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
