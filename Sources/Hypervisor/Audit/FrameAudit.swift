import Platform
import Processor
import XenABI

/// Counts everything again that the frame table counts, from what holds it: page tables, roots, pins, descriptor tables, event channels,
/// and grants, of which services of the hypervisor's use some. What does not add up is a hole through which a domain could reach another
/// one's memory, or memory that is lost.
///
/// Called between steps; costs time in proportion to the machine's frames and page tables, so tests and campaigns ask for it, nobody else.
struct FrameAudit {
  private let hypervisor: Hypervisor
  private let frames: FrameTable
  private(set) var problems: [String] = []
  private var references: [UInt32]
  private var uses: [UInt32]
  private var linearUses: [Int32]
  /// Page-table entries that grants made, by domain, frame and whether they can be written through.
  private var granted: [GrantedEntry: Int] = [:]

  private struct GrantedEntry: Hashable {
    var domain: DomainID
    var frame: MachineFrameNumber
    var isReadOnly: Bool
  }

  init(_ hypervisor: Hypervisor) {
    self.hypervisor = hypervisor
    frames = hypervisor.frames
    let count = Int(frames.range.upperBound)
    references = Array(repeating: 0, count: count)
    uses = Array(repeating: 0, count: count)
    linearUses = Array(repeating: 0, count: count)
  }

  private mutating func report(_ text: String) {
    if problems.count < 20 { problems.append(text) }
  }

  private mutating func expect(_ frame: MachineFrameNumber, type: FrameType?, for what: @autoclosure () -> String) {
    guard frames.isRAM(frame) else { return report("\(what()) is \(frame), which is no memory") }
    references[Int(frame.rawValue)] += 1
    guard let type else { return }
    uses[Int(frame.rawValue)] += 1
    let p = frames[frame]
    if p.pointee.type != type || p.pointee.typeCount == 0 {
      report("\(what()) uses \(frame) as \(type), and it is \(p.pointee.typeCount == 0 ? .none : p.pointee.type)")
    }
  }

  mutating func run() {
    for domain in hypervisor.orderedDomains { holders(of: domain) }
    grants()
    var free: UInt64 = 0
    for number in frames.range {
      let frame = MachineFrameNumber(number)
      let p = frames[frame]
      guard p.pointee.ownerPlusOne != 0 else {
        free += 1
        continue
      }
      if p.pointee.flags & FrameInfo.allocated != 0 { references[Int(number)] += 1 }
      if p.pointee.flags & FrameInfo.shared != 0 { uses[Int(number)] += 1 }
      if p.pointee.flags & FrameInfo.pinned != 0 {
        references[Int(number)] += 1
        uses[Int(number)] += 1
      }
      if p.pointee.flags & FrameInfo.validating != 0 { report("\(frame) is being checked, and nobody runs") }
      let owner = DomainID(p.pointee.ownerPlusOne &- 1)
      if let domain = hypervisor.domains[owner] {
        if p.pointee.typeCount != 0, p.pointee.type.level != 0 { table(frame, p.pointee.type.level, of: domain) }
        let isOrdinary = p.pointee.flags & (FrameInfo.allocated | FrameInfo.shared) == FrameInfo.allocated
        if isOrdinary != domain.ownedFrames.contains(number) { report("\(frame) is in one list of \(owner)'s memory and not in the other") }
      }
    }
    if free != frames.freeFrames { report("\(free) frames have no owner, and \(frames.freeFrames) are counted as free") }
    returned()
    compare()
    mapped()
  }

  // MARK: Who holds frames

  private mutating func holders(of d: Domain) {
    for v in d.vcpus {
      if v.kernelRoot != .invalid { expect(v.kernelRoot, type: d.rootType, for: "the root of \(v.label)") }
      if let root = v.userRoot { expect(root, type: .l4, for: "the root of \(v.label)'s programs") }
      for frame in v.gdtFrames { expect(frame, type: .segmentDescriptors, for: "the GDT of \(v.label)") }
      if v.hvm == nil { for frame in v.mappedLDTFrames { expect(frame, type: .segmentDescriptors, for: "the LDT of \(v.label)") } }
      if v.hasOwnInfo { expect(v.infoFrame, type: .writable, for: "the vcpu_info of \(v.label)") }
    }
    for frame in d.serviceFrames { expect(frame, type: .writable, for: "a service of \(d.id)") }
    if let fifo = d.fifo {
      for frame in fifo.pages { expect(frame, type: .writable, for: "an event array of \(d.id)") }
      for control in fifo.controls.values { expect(control.frame, type: .writable, for: "an event control block of \(d.id)") }
    }
    if let hvm = d.hvm {
      space(of: d, hvm.memory)
      hvm.shadow?.audit().forEach { report("\(d.id): \($0)") }
    }
    for number in d.ownedFrames where frames.owner(MachineFrameNumber(number)) != d.id {
      report("\(d.id) lists \(MachineFrameNumber(number)), which is not its own")
    }
  }

  /// What is recorded as granted must be what others have recorded as mapped.
  private mutating func grants() {
    var givers: [ObjectIdentifier: Domain] = [:]
    struct Use: Hashable { var giver: ObjectIdentifier, reference: GrantReference, isReadOnly: Bool }
    var counted: [Use: Int] = [:]
    for d in hypervisor.orderedDomains {
      givers[ObjectIdentifier(d)] = d
      for mapping in d.grants.mappings {
        guard let mapping else { continue }
        givers[ObjectIdentifier(mapping.giver)] = mapping.giver
        let use = Use(giver: ObjectIdentifier(mapping.giver), reference: mapping.reference, isReadOnly: mapping.isReadOnly)
        counted[use, default: 0] += (mapping.hasHost ? 1 : 0) + (mapping.hasDevice ? 1 : 0)
        if mapping.giver.grants.active[mapping.reference]?.frame != mapping.frame {
          report("\(d.id) maps \(mapping.frame) by grant \(mapping.reference) of \(mapping.giver.id), which is of another frame")
        }
      }
    }
    for giver in givers.values {
      for page in giver.pagesInService.values {
        counted[Use(giver: ObjectIdentifier(giver), reference: page.reference, isReadOnly: !page.isWritable), default: 0] += 1
        if giver.grants.active[page.reference]?.frame != page.frame {
          report("a service uses \(page.frame) by grant \(page.reference) of \(giver.id), which is of another frame")
        }
      }
      for (reference, active) in giver.grants.active {
        let readers = counted[Use(giver: ObjectIdentifier(giver), reference: reference, isReadOnly: true)] ?? 0
        let writers = counted[Use(giver: ObjectIdentifier(giver), reference: reference, isReadOnly: false)] ?? 0
        if (readers, writers) != (active.readers, active.writers) {
          report("grant \(reference) of \(giver.id) has \(active.readers) readers and \(active.writers) writers on record; \(readers) and \(writers) were found")
        }
        guard frames.isRAM(active.frame), active.readers >= 0, active.writers >= 0 else { continue }
        references[Int(active.frame.rawValue)] += UInt32(active.readers + active.writers)
        uses[Int(active.frame.rawValue)] += UInt32(active.writers)
      }
    }
  }

  /// A physical address space leads to the domain's own frames, to what the hypervisor shares with it, and to what it has mapped by grants.
  private mutating func space(of d: Domain, _ space: GuestPhysicalSpace) {
    for n in space.usedFrames.joined() {
      let entry = space.map[Int(n)]
      if entry == 0 { continue }
      let frame = MachineFrameNumber(entry >> 12), place = GuestFrameNumber(n)
      guard space[place] != nil, frames.isRAM(frame) else {
        report("\(place) of \(d.id) leads to \(frame), which is no memory")
        continue
      }
      if space.kind(place) == .foreign {
        granted[GrantedEntry(domain: d.id, frame: frame, isReadOnly: entry & GuestPhysicalMap.writable == 0), default: 0] += 1
      } else if frames.owner(frame) != d.id {
        report("\(place) of \(d.id) is a frame of \(owner(frame)) without a grant")
      }
    }
  }

  // MARK: Page tables

  private mutating func table(_ frame: MachineFrameNumber, _ level: Int, of domain: Domain) {
    for n in domain.guestSlots(frame, level) {
      let entry = frames.entry(frame, n)
      if entry & PTE.present == 0 { continue }
      let target = PTE.frame(entry)
      guard frames.isRAM(target) else {
        report("entry \(n) of L\(level) \(frame) of \(domain.id) leads to \(target), which is no memory")
        continue
      }
      if level == 1 {
        leaf(entry, target, n, of: frame, domain)
        continue
      }
      if entry & PTE.large != 0 { report("entry \(n) of L\(level) \(frame) of \(domain.id) is a large page") }
      if frames.owner(target) != domain.id { report("entry \(n) of L\(level) \(frame) of \(domain.id) leads to a frame of \(owner(target))") }
      if frames[target].pointee.type.level == level {
        if entry & PTE.writable != 0 { report("entry \(n) of L\(level) \(frame) of \(domain.id) is a linear page table that can be written") }
        linearUses[Int(target.rawValue)] += 1
        if target == frame { continue }
        linearUses[Int(frame.rawValue)] -= 1
        expect(target, type: .table(level: level), for: "entry \(n) of L\(level) \(frame)")
      } else {
        expect(target, type: .table(level: level - 1), for: "entry \(n) of L\(level) \(frame)")
      }
    }
    if level == 4 { ownSlots(frame, of: domain) }
  }

  private mutating func leaf(_ entry: UInt64, _ target: MachineFrameNumber, _ n: Int, of table: MachineFrameNumber, _ domain: Domain) {
    let isReadOnly = entry & PTE.writable == 0
    if entry & VCPU.grantedEntry != 0 {
      granted[GrantedEntry(domain: domain.id, frame: target, isReadOnly: isReadOnly), default: 0] += 1
      return
    }
    if frames.owner(target) != domain.id { report("entry \(n) of L1 \(table) of \(domain.id) maps a frame of \(owner(target)) without a grant") }
    expect(target, type: isReadOnly ? nil : .writable, for: "entry \(n) of L1 \(table)")
  }

  private mutating func ownSlots(_ table: MachineFrameNumber, of domain: Domain) {
    for slot in XenLayout.firstSlot...XenLayout.lastSlot {
      let wanted = hypervisor.ownSlot(slot, of: domain)
      if (frames.entry(table, slot) ^ wanted) & ~(PTE.accessed | PTE.dirty) != 0 { report("the hypervisor's slot \(slot) of L4 \(table) was changed") }
    }
  }

  private func owner(_ frame: MachineFrameNumber) -> String { frames.owner(frame).map { "\($0)" } ?? "nobody" }

  // MARK: Comparing

  private mutating func returned() {
    var seen = Set<UInt64>()
    for number in frames.returned {
      if frames.owner(MachineFrameNumber(number)) != nil { report("\(MachineFrameNumber(number)) is free and has an owner") }
      if !seen.insert(number).inserted { report("\(MachineFrameNumber(number)) is free twice") }
    }
  }

  private mutating func compare() {
    for number in frames.range {
      let frame = MachineFrameNumber(number), n = Int(number)
      let p = frames[frame]
      let owner = p.pointee.ownerPlusOne
      let now = owner == 0 ? 0 : p.pointee.references
      if now != references[n] { report("\(frame) of \(self.owner(frame)) has \(now) references on record; \(references[n]) were found") }
      // Of a domain that is gone only what others still map is left.
      guard owner != 0, hypervisor.domains[DomainID(owner &- 1)] != nil || DomainID(owner &- 1) == .xen else { continue }
      if p.pointee.typeCount != uses[n] { report("\(frame) of \(self.owner(frame)) has \(p.pointee.typeCount) uses as \(p.pointee.type) on record; \(uses[n]) were found") }
      if p.pointee.type.level != 0, p.pointee.typeCount != 0, p.pointee.linearUses != linearUses[n] {
        report("\(frame) of \(self.owner(frame)) stands \(p.pointee.linearUses) times in linear page tables on record; \(linearUses[n]) were found")
      }
    }
  }

  /// Every entry that a grant made belongs to a grant that is mapped.
  private mutating func mapped() {
    for (entry, count) in granted {
      let mappings = hypervisor.domains[entry.domain]?.grants.mappings ?? []
      let held = mappings.count { $0.map { $0.hasHost && $0.frame == entry.frame && $0.isReadOnly == entry.isReadOnly } ?? false }
      if count > held {
        report("\(entry.domain) has \(count) \(entry.isReadOnly ? "read-only" : "writable") entries for \(entry.frame), which \(held) grants allow")
      }
    }
  }
}

extension Hypervisor {
  /// What does not add up in the book-keeping of frames, page tables and grants, and what processors can reach that they may not; empty
  /// where all is well. Called while nobody runs.
  public func auditFrames() -> [String] {
    var audit = FrameAudit(self)
    audit.run()
    return audit.problems + TranslationAudit(self).problems()
  }
}
