import Processor
import Testing
import XenABI

@testable import Hypervisor

/// Which translations a change of roots leaves to a paravirtual kernel, and which none may survive.
@Suite struct KernelHalfTests {
  static let first: UInt64 = 0xFFFF_FF80_0000_0000, second = first + 0x1000
  static let flags = PTE.present | PTE.writable | PTE.user | PTE.accessed | PTE.dirty

  /// A guest with two pages in its kernel's half, and two roots that have them.
  private struct Roots {
    let guest: TestGuest
    var vcpu: VCPU { guest.domain.vcpus[0] }
    let l1: MachineFrameNumber
    let pages: [MachineFrameNumber]
    let other: MachineFrameNumber

    init() throws {
      let guest = try TestGuest(code: Code.spin)
      self.guest = guest
      let domain = guest.domain!
      let frames = domain.frames
      domain.maximumFrames += 8
      func frame() throws -> MachineFrameNumber { try #require(domain.allocateFrame()) }
      pages = [try frame(), try frame()]
      l1 = try frame()
      let l2 = try frame(), l3 = try frame()
      for n in 0..<2 { frames.setEntry(l1, n, pages[n].address | KernelHalfTests.flags) }
      frames.setEntry(l2, 0, l1.address | KernelHalfTests.flags)
      frames.setEntry(l3, 0, l2.address | KernelHalfTests.flags)
      let root = domain.vcpus[0].kernelRoot
      try domain.modify(root, 511, l3.address | KernelHalfTests.flags, level: 4, .normal)
      other = try frame()
      for n in [0, 511] { frames.setEntry(other, n, frames.entry(root, n)) }
      try domain.pin(other, .l4)
      domain.hypervisor.running = domain.vcpus[0]
      domain.vcpus[0].flush()
    }

    func touch() throws {
      try vcpu.store(KernelHalfTests.first, UInt64(1))
      try vcpu.store(KernelHalfTests.second, UInt64(2))
      _ = try vcpu.load(TestGuest.data, as: UInt64.self)
    }

    /// Whether the processor has a translation to write by.
    func isCached(_ linear: UInt64) -> Bool { vcpu.cpu.cachedHost(deprivileged: linear, forWriting: true) != nil }
  }

  @Test func theKernelsHalfStaysUnderAnotherRootThatHasIt() throws {
    let r = try Roots()
    try r.touch()
    #expect(r.vcpu.cpu.cachedHost(deprivileged: TestGuest.data, forWriting: false) != nil)
    try r.guest.domain.loadRoot(r.other, r.vcpu)
    #expect(r.isCached(Self.first) && r.isCached(Self.second))
    #expect(r.vcpu.cpu.cachedHost(deprivileged: TestGuest.data, forWriting: false) == nil)
  }

  @Test func aChangedEntryIsFollowedByAFlush() throws {
    let r = try Roots()
    try r.touch()
    try r.guest.domain.modify(r.l1, 0, r.pages[0].address | Self.flags & ~PTE.writable, level: 1, .normal)
    try r.guest.domain.loadRoot(r.other, r.vcpu)
    #expect(!r.isCached(Self.first) && !r.isCached(Self.second))
  }

  @Test func anEntryThatBecomesPresentIsNone() throws {
    let r = try Roots()
    try r.touch()
    try r.guest.domain.modify(r.l1, 2, r.pages[0].address | Self.flags, level: 1, .normal)
    try r.guest.domain.loadRoot(r.other, r.vcpu)
    #expect(r.isCached(Self.first))
  }

  @Test func aMappingChangedByItsAddressIsDroppedAlone() throws {
    let r = try Roots()
    try r.touch()
    _ = try r.vcpu.updateVAMapping([Self.first, r.pages[0].address | Self.flags & ~PTE.writable, 0, 0, 0, 0])
    #expect(!r.isCached(Self.first) && r.isCached(Self.second))
    try r.guest.domain.loadRoot(r.other, r.vcpu)
    #expect(r.isCached(Self.second))
  }

  @Test func anAliasInTheLowerHalfIsNoExcuse() throws {
    let r = try Roots()
    let domain = r.guest.domain!, root = r.vcpu.kernelRoot
    // The same L3 in the lower half, by which an entry is changed.
    try domain.modify(root, 1, domain.frames.entry(root, 511), level: 4, .normal)
    try r.touch()
    _ = try r.vcpu.updateVAMapping([1 << 39, r.pages[1].address | Self.flags, 0, 0, 0, 0])
    r.vcpu.flushForGuest()
    #expect(!r.isCached(Self.first))
  }

  @Test func rootsThatDifferShareNothing() throws {
    let r = try Roots()
    try r.touch()
    try r.guest.domain.modify(r.other, 511, 0, level: 4, .normal)
    r.vcpu.flush()
    try r.touch()
    try r.guest.domain.loadRoot(r.other, r.vcpu)
    #expect(!r.isCached(Self.first))
  }

  @Test func aPageThatBecomesATableIsWrittenByNobody() throws {
    let r = try Roots()
    try r.touch()
    try r.guest.domain.modify(r.l1, 0, r.pages[0].address | Self.flags & ~PTE.writable, level: 1, .normal)
    #expect(r.isCached(Self.first))
    r.guest.domain.frames.setEntry(r.pages[0], 0, 0)
    try r.guest.domain.pin(r.pages[0], .l1)
    #expect(!r.isCached(Self.first))
  }

  @Test func norByAnEntryThatAllowsStoresBesideCode() throws {
    let r = try Roots()
    let h = r.guest.hypervisor
    _ = h.codeCache.makePage(r.pages[0].rawValue, key: r.vcpu.cpu.codeKey)
    try r.vcpu.store(Self.first, UInt64(0))
    #expect(r.vcpu.cpu.codeStore(r.vcpu.cpu.currentTLB, Self.first) != nil)
    try r.guest.domain.modify(r.l1, 0, r.pages[0].address | Self.flags & ~PTE.writable, level: 1, .normal)
    try r.guest.domain.pin(r.pages[0], .l1)
    #expect(r.vcpu.cpu.codeStore(r.vcpu.cpu.currentTLB, Self.first) == nil)
  }
}
