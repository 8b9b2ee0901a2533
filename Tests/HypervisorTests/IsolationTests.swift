import Testing
import XenABI

@testable import Hypervisor

/// Holes that `xenolith conform isolation` found, one test each, and the audit that finds them.
@Suite struct IsolationTests {
  /// mov rax, value; movq xmm0, rax; punpcklqdq xmm0, xmm0; movups [address], xmm0
  private func storeTwice(_ value: UInt64, at address: UInt32) -> [UInt8] {
    [0x48, 0xB8] + (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } + [0x66, 0x48, 0x0F, 0x6E, 0xC0, 0x66, 0x0F, 0x6C, 0xC0, 0x0F, 0x11, 0x04, 0x25]
      + (0..<4).map { UInt8(truncatingIfNeeded: address >> ($0 * 8)) }
  }

  @Test func anInstructionThatWritesSeveralEntriesLeavesNoneUnchecked() throws {
    // Both entries name a frame of the hypervisor's; the page is a page table of the guest's.
    let guest = try TestGuest(code: storeTwice(0x1007, at: UInt32(TestGuest.data)) + Code.spin)
    let (table, index) = try #require(guest.l1(of: TestGuest.data))
    let entry = guest.domain.frames.entry(table, index)
    try guest.domain.modify(table, index, entry & ~PTE.writable, level: 1, .normal)
    try guest.domain.pin(PTE.frame(entry), .l1)
    guest.run(steps: 3)
    #expect(guest.word(at: TestGuest.data) == 0)
    #expect(guest.word(at: TestGuest.data + 8) == 0)
    #expect(guest.hypervisor.auditFrames() == [])
  }

  @Test func severalRightEntriesAtOnceAreUpdates() throws {
    let guest = try TestGuest(code: Code.spin)
    let (table, index) = try #require(guest.l1(of: TestGuest.data))
    let entry = guest.domain.frames.entry(table, index)
    let other = guest.domain.frames.entry(try #require(guest.l1(of: TestGuest.entry)).table, try #require(guest.l1(of: TestGuest.entry)).index)
    let wanted = PTE.frame(other).address | 0x25
    let code = storeTwice(wanted, at: UInt32(TestGuest.data)) + Code.spin
    code.withUnsafeBytes { guest.domain.frames.write($0, at: PTE.frame(other).address) }
    try guest.domain.modify(table, index, entry & ~PTE.writable, level: 1, .normal)
    try guest.domain.pin(PTE.frame(entry), .l1)
    guest.run(steps: 3)
    #expect(guest.domain.state == .running)
    #expect(PTE.frame(guest.word(at: TestGuest.data)) == PTE.frame(other))
    #expect(PTE.frame(guest.word(at: TestGuest.data + 8)) == PTE.frame(other))
    #expect(guest.hypervisor.auditFrames() == [])
  }

  /// A guest whose data page is a page table of its, and whose RIP is at the code; the page behind `alias` is the same one.
  private func writing(_ code: [UInt8]) throws -> (guest: TestGuest, alias: UInt64) {
    let guest = try TestGuest(code: code + Code.spin)
    let domain = guest.domain!, v = domain.vcpus[0]
    let (table, index) = try #require(guest.l1(of: TestGuest.data))
    let entry = domain.frames.entry(table, index)
    try domain.modify(table, index, entry & ~PTE.writable, level: 1, .normal)
    try domain.pin(PTE.frame(entry), .l1)
    let l3 = PTE.frame(domain.frames.entry(v.kernelRoot, 0))
    let l2 = PTE.frame(domain.frames.entry(l3, 0))
    // Not the next one: its pages would have the same places in the TLB.
    try domain.modify(l2, 100, domain.frames.entry(l2, 0), level: 2, .normal)
    guest.hypervisor.running = v
    v.cpu.setRIP(TestGuest.entry)
    return (guest, TestGuest.data + 100 << 21)
  }

  @Test func aHypercallIsNoWriteToAPageTable() throws {
    let (guest, _) = try writing([0x0F, 0x05])
    let v = guest.domain.vcpus[0]
    let copy = guest.hypervisor.pageTableCopies.written
    // update_va_mapping of the page, with an entry that is not present: it would give back what the copy is mapped by.
    v.cpu.s.pointee.rax = UInt64(Hypercall.updateVAMapping.rawValue)
    v.cpu.s.pointee.rdi = TestGuest.data
    v.cpu.s.pointee.rsi = 0
    v.cpu.s.pointee.rdx = 0
    #expect(!v.emulatePageTableWrite(TestGuest.data))
    let info = guest.domain.frames[copy].pointee
    #expect(info.references == 1 && info.typeCount == 1)
    #expect(guest.hypervisor.auditFrames() == [])
  }

  @Test func noTranslationToTheCopyOfAPageTableStays() throws {
    // movsq
    let (guest, alias) = try writing([0x48, 0xA5])
    let v = guest.domain.vcpus[0]
    v.cpu.s.pointee.rdi = TestGuest.data
    v.cpu.s.pointee.rsi = alias + 8
    #expect(v.emulatePageTableWrite(TestGuest.data))
    #expect(v.cpu.cachedHost(deprivileged: alias, forWriting: false) == nil)
    #expect(v.cpu.cachedHost(deprivileged: TestGuest.data, forWriting: false) == nil)
  }

  /// A domain that grants a page to another one, which executes grant operations on the structures in its data.
  private func granting(version: UInt32, flags: UInt16, data: [UInt8], code: [UInt8]) throws -> (giver: TestGuest, taker: TestGuest) {
    let giver = try TestGuest(code: Code.spin)
    let taker = try TestGuest(on: giver.hypervisor, code: code, data: data)
    giver.domain.grants.version = version
    try giver.domain.growGrantTable(to: 1)
    let (table, index) = try #require(giver.l1(of: TestGuest.data))
    let frame = PTE.frame(giver.domain.frames.entry(table, index)).rawValue
    let entry = giver.domain.frames.contents(giver.domain.grants.frames[0]) + 8 * (version == 1 ? 8 : 16)
    entry.storeBytes(of: taker.domain.id.rawValue, toByteOffset: 2, as: UInt16.self)
    if version == 1 {
      entry.storeBytes(of: UInt32(frame), toByteOffset: 4, as: UInt32.self)
    } else {
      entry.storeBytes(of: UInt32(512 | 512 << 16), toByteOffset: 4, as: UInt32.self)
      entry.storeBytes(of: frame, toByteOffset: 8, as: UInt64.self)
    }
    entry.storeBytes(of: flags, as: UInt16.self)
    taker.run(steps: 20)
    return (giver, taker)
  }

  private func words(_ list: [UInt64]) -> [UInt8] { list.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } } }

  /// gnttab_map_grant_ref of reference 8 of domain 1, writable, at 3000H; behind it, at 2040H, gnttab_unmap_and_replace of the same place.
  private var mapAndReplace: [UInt8] { words([0x3000, 2 | 8 << 32, 1, 0, 0, 0, 0, 0, 0x3000, 0x3000, 0]) }

  @Test func aGrantedPageCannotTakeItsOwnPlace() throws {
    let (giver, taker) = try granting(
      version: 1, flags: 1, data: mapAndReplace,
      code: Code.hypercall(.grantTableOp, 0, 0x2000, 1) + Code.hypercall(.grantTableOp, 7, 0x2040, 1) + Code.spin)
    // The map succeeded, the replacement did not, and the grant is still in use.
    #expect(taker.word(at: 0x2010) >> 16 & 0xFFFF == 0)
    #expect(Int16(truncatingIfNeeded: taker.word(at: 0x2050) >> 32) == GrantStatus.generalError.rawValue)
    #expect(giver.domain.grants.active[8]?.writers == 1)
    #expect(giver.hypervisor.auditFrames() == [])
  }

  @Test func aGrantOfAPartOfAPageIsNotMapped() throws {
    let (giver, taker) = try granting(version: 2, flags: 1 | 1 << 8, data: mapAndReplace, code: Code.hypercall(.grantTableOp, 0, 0x2000, 1) + Code.spin)
    #expect(Int16(truncatingIfNeeded: taker.word(at: 0x2010) >> 16) == GrantStatus.generalError.rawValue)
    #expect(giver.domain.grants.active.isEmpty)
    #expect(giver.hypervisor.auditFrames() == [])
  }

  @Test func aTimerOfAllTimeStopsNobody() throws {
    // VCPUOP_set_periodic_timer with almost 2^64 ns.
    let bad = try TestGuest(code: Code.hypercall(.vcpuOp, 6, 0, UInt32(TestGuest.data)) + Code.storeResult(at: TestGuest.data + 8) + Code.spin, data: words([~0]))
    bad.run(steps: 4)
    #expect(bad.word(at: TestGuest.data + 8) == XenError.EINVAL.result)
    let before = bad.hypervisor.now
    bad.run(steps: 4)
    #expect(bad.hypervisor.now > before)
  }

  @Test func framesGivenBackInUseAreNotLost() throws {
    let probe = try TestGuest(code: Code.spin)
    let free = probe.hypervisor.frames.freeFrames
    let other = try TestGuest(on: probe.hypervisor, code: Code.spin)
    let (table, index) = try #require(other.l1(of: TestGuest.data))
    let entry = other.domain.frames.entry(table, index)
    // Mapped, given back, and pinned after that.
    try other.domain.modify(table, index, entry & ~PTE.writable, level: 1, .normal)
    #expect(other.domain.releaseFrame(PTE.frame(entry)))
    try other.domain.pin(PTE.frame(entry), .l1)
    probe.hypervisor.destroy(other.domain)
    #expect(probe.hypervisor.frames.freeFrames == free)
    #expect(probe.hypervisor.auditFrames() == [])
  }

  @Test func aFrameIsZeroWhenItIsHandedOut() throws {
    let probe = try TestGuest(code: Code.spin)
    let frames = probe.hypervisor.frames
    let frame = try #require(probe.hypervisor.allocateFrame(for: probe.domain.id))
    _ = frames.release(frame)
    // A store by an old translation, after the frame was given back.
    frames.contents(frame).storeBytes(of: 1, as: UInt64.self)
    let again = try #require(probe.hypervisor.allocateFrame(for: probe.domain.id))
    #expect(again == frame)
    #expect(frames.entry(again, 0) == 0)
  }

  @Test(arguments: [false, true]) func aSharedPageMayBeGrantedBeyondTheEnd(ofWriting isWritable: Bool) throws {
    let (giver, taker) = try granting(version: 1, flags: 1, data: [], code: Code.spin)
    let h = giver.hypervisor, domain = giver.domain!
    let entry = domain.frames.contents(domain.grants.frames[0]) + 8 * 8
    entry.storeBytes(of: UInt32(domain.sharedInfo.rawValue), toByteOffset: 4, as: UInt32.self)
    let frame = try domain.acquire(8, for: taker.domain.id, writable: isWritable)
    #expect(frame == domain.sharedInfo)
    let free = h.freeMemory
    h.destroy(domain)
    #expect(h.freeMemory > free && h.owner(of: frame) == domain.id)
    domain.releaseGrant(8, writable: isWritable)
    #expect(h.owner(of: frame) == nil && h.auditFrames() == [])
  }

  @Test func memoryOfADomainThatIsGoneIsZeroAndCostsNothing() throws {
    let guest = try TestGuest(code: Code.spin), other = try TestGuest(on: guest.hypervisor, code: Code.spin)
    let h = guest.hypervisor, first = guest.domain.machineFrames[0]
    h.frames.contents(first).storeBytes(of: 1, as: UInt64.self)
    h.destroy(guest.domain)
    #expect(h.frames[first].pointee.flags == FrameInfo.zero && h.frames.entry(first, 0) == 0)
    #expect(h.auditFrames() == [] && other.domain.state == .running)
  }

  @Test func theAuditSeesWhatDoesNotAddUp() throws {
    let guest = try TestGuest(code: Code.spin)
    let other = try TestGuest(on: guest.hypervisor, code: Code.spin)
    let frames = guest.hypervisor.frames
    #expect(guest.hypervisor.auditFrames() == [])
    let (table, index) = try #require(guest.l1(of: TestGuest.data))
    let entry = frames.entry(table, index)
    frames[PTE.frame(entry)].pointee.references += 1
    #expect(guest.hypervisor.auditFrames().count == 1)
    frames[PTE.frame(entry)].pointee.references -= 1
    let foreign = frames.entry(try #require(other.l1(of: TestGuest.data)).table, try #require(other.l1(of: TestGuest.data)).index)
    frames.setEntry(table, index, foreign)
    #expect(guest.hypervisor.auditFrames().contains { $0.contains("without a grant") })
    frames.setEntry(table, index, entry)
    #expect(guest.hypervisor.auditFrames() == [])
  }

  @Test func theAuditSeesWhatAProcessorCouldStillReach() throws {
    let guest = try TestGuest(code: storeTwice(1, at: UInt32(TestGuest.data)) + Code.spin)
    let other = try TestGuest(on: guest.hypervisor, code: Code.spin)
    let h = guest.hypervisor
    guest.run(steps: 3)
    #expect(h.auditFrames() == [])
    let (table, index) = try #require(guest.l1(of: TestGuest.data))
    let info = h.frames[PTE.frame(h.frames.entry(table, index))], right = info.pointee
    func seen(_ change: (inout FrameInfo) -> Void) -> [String] {
      change(&info.pointee)
      defer { info.pointee = right }
      return h.auditFrames().filter { $0.hasPrefix("d1v0 still translates \(String(TestGuest.data, radix: 16)) to ") }
    }
    #expect(seen { _ in } == [])
    #expect(seen { $0.ownerPlusOne = other.domain.id.rawValue + 1 }.contains { $0.contains("without a grant") })
    #expect(seen { $0.type = .l1 }.contains { $0.contains("which is l1, and can write there") })
    #expect(seen { $0.ownerPlusOne = 0 }.contains { $0.contains("is free, and would not forget it") })
    #expect(seen {
      $0.ownerPlusOne = 0
      $0.releasedAt = h.flushClock
    } == [])
    guest.domain.vcpus[0].flush()
    #expect(seen { $0.ownerPlusOne = other.domain.id.rawValue + 1 } == [])
  }
}
