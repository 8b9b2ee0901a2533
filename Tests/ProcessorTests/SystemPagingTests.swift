import Platform
import Testing
import X86

@testable import Processor

/// Page walks: results, accessed and dirty bits, error codes.
@Suite struct SystemPagingTests {
  typealias Machine = SystemTestMachine

  /// Linear 40000000h is mapped to physical 300000h by tables of its own.
  static let linear: UInt64 = 0x4000_0000
  static let pdpt: UInt64 = 0x20_1000, pd: UInt64 = 0x20_3000, pt: UInt64 = 0x20_4000
  static let frame: UInt64 = 0x30_0000

  private func long(_ pte: UInt64 = frame | 7, model: CPUModel = .x86_64v3) -> Machine {
    let m = Machine(model: model)
    m.enterLong()
    m.put64(Self.pdpt + 8, Self.pd | 7)
    m.put64(Self.pd, Self.pt | 7)
    m.put64(Self.pt, pte)
    return m
  }

  private func code(_ m: Machine, _ access: Access, user: Bool = false, implicit: Bool = false, _ linear: UInt64 = linear) -> UInt32? {
    let f = m.fault { (cpu) throws(Fault) in _ = try cpu.translate(linear, access, user: user, implicit: implicit) }
    if let f { #expect(f.vector == 14 && m.s.pointee.cr2 == linear) }
    return f?.errorCode
  }

  private func translation(_ m: Machine, _ access: Access, user: Bool = false, _ linear: UInt64 = linear) -> PageTranslation? {
    try? m.cpu.translate(linear, access, user: user)
  }

  @Test func fourLevelWalkFindsTheFrame() throws {
    let m = long()
    let t = try #require(translation(m, .read, Self.linear + 0x123))
    #expect(t.physical == Self.frame + 0x123)
    #expect(t.sizeBits == 12 && t.user && !t.global && !t.noExecute)
    #expect(m.cpu.translateForDebugger(Self.linear + 0x123) == Self.frame + 0x123)
  }

  @Test func readsSetAccessedAtEveryLevelAndNotDirty() throws {
    let m = long()
    let t = try #require(translation(m, .read))
    #expect(!t.writableNow, "a write must come back to set D")
    #expect(m.get64(Machine.pml4) & 0x60 == 0x20)
    #expect(m.get64(Self.pdpt + 8) & 0x60 == 0x20)
    #expect(m.get64(Self.pd) & 0x60 == 0x20)
    #expect(m.get64(Self.pt) & 0x60 == 0x20)
  }

  @Test func writesSetDirtyInTheLeafOnly() throws {
    let m = long()
    let t = try #require(translation(m, .write))
    #expect(t.writableNow)
    #expect(m.get64(Self.pd) & 0x60 == 0x20)
    #expect(m.get64(Self.pt) & 0x60 == 0x60)
  }

  @Test func aFaultSetsNothing() {
    let m = long(Self.frame | 6)
    #expect(code(m, .write) == 2)
    #expect(m.get64(Machine.pml4) & 0x20 == 0 && m.get64(Self.pd) & 0x20 == 0)
    let readOnly = long(Self.frame | 5)
    #expect(code(readOnly, .write, user: true) == 7)
    #expect(readOnly.get64(Self.pt) & 0x60 == 0 && readOnly.get64(Self.pd) & 0x20 == 0)
  }

  @Test(arguments: [Machine.pml4, pdpt + 8, pd, pt]) func notPresentAtAnyLevel(_ entry: UInt64) {
    let m = long()
    m.put64(entry, m.get64(entry) & ~1)
    #expect(code(m, .read) == 0)
    #expect(code(m, .write, user: true) == 6)
    #expect(code(m, .execute, user: true) == 0x14)
  }

  @Test func reservedBits() {
    let beyond: UInt64 = 1 << 45
    for entry in [Machine.pml4, Self.pdpt + 8, Self.pd, Self.pt] {
      let m = long()
      m.put64(entry, m.get64(entry) | beyond)
      #expect(code(m, .read) == 9)
    }
    let m = long()
    m.put64(Machine.pml4, m.get64(Machine.pml4) | 0x80)
    #expect(code(m, .write, user: true) == 0xF)
    // Bits 62–52 are software's in 4-level paging.
    let ignored = long(Self.frame | 7 | 0x7FF << 52)
    #expect(code(ignored, .read) == nil)
  }

  @Test func noExecute() {
    let m = long(Self.frame | 7 | 1 << 63)
    #expect(code(m, .execute) == 0x11)
    #expect(code(m, .read) == nil)
    m.s.pointee.efer &= ~EFER.NXE
    #expect(code(m, .read) == 9, "XD is reserved without NXE")
    // Without NXE and SMEP a fetch is not told apart.
    let plain = long(Self.frame | 6)
    plain.s.pointee.efer &= ~EFER.NXE
    #expect(code(plain, .execute) == 0)
  }

  @Test func largePages() throws {
    let m = long()
    m.put64(Self.pd, 0x40_0000 | 0x87)
    let t = try #require(translation(m, .write, Self.linear + 0x12_3456))
    #expect(t.physical == 0x52_3456 && t.sizeBits == 21)
    #expect(m.get64(Self.pd) & 0x60 == 0x60)
    m.put64(Self.pd, 0x40_2000 | 0x87)
    #expect(code(m, .read) == 9, "bits 20–13 are reserved")
    m.put64(Self.pdpt + 8, 0x87)
    let g = try #require(translation(m, .read, Self.linear + 0x12_3456))
    #expect(g.physical == 0x12_3456 && g.sizeBits == 30)
    let old = long(model: .x86_64v1)
    old.put64(Self.pdpt + 8, 0x87)
    #expect(code(old, .read) == 9, "the model has no 1 GiB pages")
  }

  @Test func rightsOfUserAndSupervisor() {
    let supervisorPage = long(Self.frame | 3)
    #expect(code(supervisorPage, .read, user: true) == 5)
    #expect(code(supervisorPage, .write) == nil)
    let readOnly = long(Self.frame | 5)
    #expect(code(readOnly, .write) == 3)
    readOnly.s.pointee.cr0 &= ~CR0.WP
    #expect(code(readOnly, .write) == nil)
    #expect(code(readOnly, .write, user: true) == 7)
  }

  @Test func smepAndSmap() {
    let m = long()
    m.s.pointee.cr4 |= CR4.SMEP
    #expect(code(m, .execute) == 0x11)
    #expect(code(m, .execute, user: true) == nil)
    m.s.pointee.cr4 |= CR4.SMAP
    #expect(code(m, .read) == 1)
    #expect(code(m, .write) == 3)
    m.s.pointee.systemFlags |= RFLAGS.AC
    #expect(code(m, .read) == nil)
    #expect(code(m, .read, implicit: true) == 1, "AC does not help implicit accesses")
    #expect(code(m, .read, user: true) == nil)
  }

  @Test func protectionKeys() {
    let m = long(Self.frame | 7 | 3 << 59, model: .x86_64v3.with(adding: [.pku]))
    m.s.pointee.cr4 |= CR4.PKE
    m.s.pointee.pkru = 1 << 7
    #expect(code(m, .read, user: true) == nil)
    #expect(code(m, .write, user: true) == 0x27)
    #expect(code(m, .write) == 0x23)
    m.s.pointee.cr0 &= ~CR0.WP
    #expect(code(m, .write) == nil, "without WP a supervisor may write")
    m.s.pointee.pkru = 1 << 6
    #expect(code(m, .read) == 0x21)
    #expect(code(m, .execute, user: true) == nil)
  }

  @Test func globalNeedsPGE() throws {
    let m = long(Self.frame | 0x107)
    #expect(try #require(translation(m, .read)).global == false)
    m.s.pointee.cr4 |= CR4.PGE
    #expect(try #require(translation(m, .read)).global)
  }

  // MARK: 32-bit paging

  private func twoLevel(model: CPUModel = .x86_64v3) -> Machine {
    let m = Machine(model: model)
    m.enterProtected()
    m.put32(0x20_0000 + 0x100 * 4, 0x20_1007)
    m.put32(0x20_1000, 0x30_0007)
    m.s.pointee.cr3 = 0x20_0000
    m.s.pointee.cr0 |= CR0.PG | CR0.WP
    return m
  }

  @Test func twoLevelWalk() throws {
    let m = twoLevel()
    let t = try #require(translation(m, .read, Self.linear + 4))
    #expect(t.physical == 0x30_0004)
    #expect(m.get32(0x20_0400) & 0x60 == 0x20 && m.get32(0x20_1000) & 0x60 == 0x20)
    #expect(try #require(translation(m, .write)).writableNow)
    #expect(m.get32(0x20_1000) & 0x60 == 0x60 && m.get32(0x20_0400) & 0x40 == 0)
    m.put32(0x20_1000, 0)
    m.put32(0x20_0400, 0x20_1007)
    #expect(code(m, .write) == 2)
    #expect(m.get32(0x20_0400) & 0x20 == 0, "no A in the PDE if the PTE is not present")
  }

  @Test func pagesOfFourMegabytes() throws {
    let m = twoLevel()
    m.put32(0x20_0400, 0x0040_0087)
    m.put32(0x40_0000, 0x30_0007)
    #expect(try #require(translation(m, .read)).physical == 0x30_0000, "PS is ignored without CR4.PSE")
    m.s.pointee.cr4 |= CR4.PSE
    #expect(try #require(translation(m, .read, Self.linear + 0x3_4567)).physical == 0x43_4567)
    // PSE-36: PDE bits 20–13 are address bits 39–32.
    m.put32(0x20_0400, 0x0040_0087 | 5 << 13)
    #expect(try #require(translation(m, .read)).physical == 0x5_0040_0000)
    m.put32(0x20_0400, 0x0040_0087 | 1 << 21)
    #expect(code(m, .read) == 9)
  }

  // MARK: PAE

  private func pae() -> Machine {
    let m = Machine()
    m.enterProtected()
    m.put64(0x20_0000 + 8, 0x20_1001)
    m.put64(0x20_1000, 0x20_2007)
    m.put64(0x20_2000, 0x30_0007)
    m.s.pointee.cr3 = 0x20_0000
    return m
  }

  @Test func paeLoadsItsPointersWithPaging() throws {
    let m = pae()
    m.put64(0x20_0000, 0x20_9001)
    m.put64(0x20_9000, 0x87)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR4(CR4.PAE) } == nil)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR0(cpu.s.pointee.cr0 | CR0.PG) } == nil)
    #expect(m.s.pointee.pae1 == 0x20_1001)
    #expect(try #require(translation(m, .read, Self.linear + 8)).physical == 0x30_0008)
    // Changes in memory are not seen before CR3 is written.
    m.put64(0x20_0008, 0)
    #expect(code(m, .read) == nil)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR3(0x20_0000) } == nil)
    #expect(code(m, .read) == 0)
    m.put64(0x20_0008, 0x20_1001 | 2)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR3(0x20_0000) } == .generalProtection())
  }

  @Test func paeReservesHighBits() {
    let m = pae()
    m.put64(0x20_0000, 0x20_9001)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR4(CR4.PAE) } == nil)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR0(cpu.s.pointee.cr0 | CR0.PG) } == nil)
    m.put64(0x20_2000, 0x30_0007 | 1 << 55)
    #expect(code(m, .read) == 9)
  }
}

/// What INVLPG, CR3 writes and the like leave in the TLB.
@Suite struct SystemInvalidationTests {
  typealias Machine = SystemTestMachine

  @Test func invlpgDropsAllPartsOfALargePage() throws {
    let m = Machine()
    m.enterLong()
    // Two parts of one 2 MiB page are in the TLB; then the page moves to other memory.
    m.put64(0x40_0000, 0x1111)
    m.put64(0x40_5000, 0x2222)
    m.put64(0x60_5000, 0x3333)
    #expect(try m.cpu.loadSystem64(0x40_0000) == 0x1111 && m.cpu.loadSystem64(0x40_5000) == 0x2222)
    m.put64(Machine.pml4 + 0x2000 + 2 * 8, 0x60_0087)
    #expect(try m.cpu.loadSystem64(0x40_5000) == 0x2222, "the TLB still holds the old page")
    m.s.pointee.rbx = 0x40_0000
    #expect(m.run(0x0F, 0x01, 0x3B) == .done)  // INVLPG [RBX]
    #expect(try m.cpu.loadSystem64(0x40_5000) == 0x3333)
  }

  @Test func globalPagesSurviveCR3() throws {
    let m = Machine()
    m.enterLong()
    m.s.pointee.cr4 |= CR4.PGE
    let entry = Machine.pml4 + 0x2000 + 2 * 8
    m.put64(entry, 0x40_0187)
    m.put64(0x40_0000, 0x1111)
    #expect(try m.cpu.loadSystem64(0x40_0000) == 0x1111)
    m.put64(entry, 0x60_0187)
    m.put64(0x60_0000, 0x2222)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR3(Machine.pml4) } == nil)
    #expect(try m.cpu.loadSystem64(0x40_0000) == 0x1111)
    #expect(m.fault { (cpu) throws(Fault) in try cpu.setCR4(CR4.PAE) } == nil)
    #expect(try m.cpu.loadSystem64(0x40_0000) == 0x2222)
  }

  @Test func aFilterNeverForgets() {
    var filter = LargePageFilter()
    for n in 0..<200 as Range<UInt64> { filter.insert(0xFFFF_8880_0000_0000 + n << 21, isGigabyte: false) }
    filter.insert(0x7F00_4000_0000, isGigabyte: true)
    for n in 0..<200 as Range<UInt64> { #expect(filter.mayContain(0xFFFF_8880_0000_0000 + n << 21 + 0x1F_FFFF)) }
    #expect(filter.mayContain(0x7F00_7FFF_F000) && !filter.mayContain(0x7F00_8000_0000))
    var wrong = 0
    for n in 0..<1000 as Range<UInt64> where filter.mayContain(0x5555_0000_0000 + n << 22) { wrong += 1 }
    #expect(wrong < 100)
  }
}
