import Testing

@testable import KernelImages

@Suite struct XenKernelNotesTests {
  private func text(_ text: String) -> [UInt8] { Array(text.utf8) + [0] }

  /// What Debian's Linux 6.1 for amd64 says, but for its strings.
  private var linux: [(type: UInt32, body: [UInt8])] {
    [
      (6, text("linux")), (7, text("2.6")), (5, text("xen-3.0")), (8, text("generic")),
      (3, littleEndian(0xFFFF_FFFF_8000_0000 as UInt64)), (15, littleEndian(0x80_0000_0000 as UInt64)),
      (1, littleEndian(0xFFFF_FFFF_8100_0000 as UInt64)), (10, text("!writable_page_tables|pae_pgdir_above_4gb")),
      (17, littleEndian(0x8801 as UInt32)), (9, text("yes")), (13, littleEndian(1 as UInt64) + littleEndian(1 as UInt64)),
      (14, littleEndian(1 as UInt32)), (16, littleEndian(1 as UInt32)), (12, littleEndian(0xFFFF_8000_0000_0000 as UInt64)),
      (4, littleEndian(0 as UInt64)), (18, littleEndian(0x100_0000 as UInt64)), (11, text("no")), (99, [1]),
    ]
  }

  private func notes(_ file: KernelFile) throws(ImageError) -> XenKernelNotes {
    try XenKernelNotes(try ELFFile(file.bytes, name: "k"), name: "k")
  }

  private func layout(_ file: KernelFile, _ kind: XenKernelLayout.Kind = .pv) throws(ImageError) -> XenKernelLayout {
    let elf = try ELFFile(file.bytes, name: "k")
    return try XenKernelLayout(elf, try XenKernelNotes(elf, name: "k"), kind: kind, name: "k")
  }

  @Test(arguments: [true, false])
  func allNotesAreRead(inSegment: Bool) throws {
    let n = try notes(KernelFile(notes: linux, place: inSegment ? .segment : .section))
    #expect(n.origin == (inSegment ? .segments : .sections))
    #expect(n.guestOS == "linux" && n.guestVersion == "2.6" && n.xenVersion == "xen-3.0" && n.loader == "generic")
    #expect(n.virtualBase == 0xFFFF_FFFF_8000_0000)
    #expect(n.initialP2M == 0x80_0000_0000)
    #expect(n.entry == 0xFFFF_FFFF_8100_0000)
    #expect(n.hypercallPage == nil)
    #expect(n.requiredFeatures == .writablePageTables)
    #expect(n.supportedFeatures == [.writablePageTables, .paePageDirectoryAbove4GB, .dom0, .linuxRSDPUnrestricted])
    #expect(n.paeMode == .extendedCR3)
    #expect(n.l1FrameMasks == [XenKernelNotes.FrameMask(mask: 1, value: 1)])
    #expect(n.suspendCancel == 1)
    #expect(n.takesUnmappedModule)
    #expect(n.hypervisorStartLow == 0xFFFF_8000_0000_0000)
    #expect(n.physicalOffset == 0)
    #expect(n.physicalEntry == 0x100_0000)
    #expect(n.relocation == nil)
    #expect(!n.wantsSymbols)
  }

  @Test func numbersHaveFourOrEightBytes() throws {
    let n = try notes(KernelFile(
      is64Bit: false, entry: 0xC100_0000, virtual: 0xC100_0000,
      notes: [
        (2, littleEndian(0xC100_1000 as UInt32)), (9, text("yes,bimodal")), (11, text("yes")),
        (19, littleEndian(0x20_0000 as UInt32) + littleEndian(0x100_0000 as UInt32)),
      ]))
    #expect(n.hypercallPage == 0xC100_1000)
    #expect(n.paeMode == .bimodal)
    #expect(n.wantsSymbols)
    #expect(n.relocation == XenKernelNotes.Relocation(alignment: 0x20_0000, minimum: 0x100_0000, maximum: .max))
  }

  @Test func theOldSectionIsRead() throws {
    let list = "GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xC0000000,ELF_PADDR_OFFSET=0xC0000000,"
      + "VIRT_ENTRY=0xC0100000,HYPERCALL_PAGE=0x101,FEATURES=writable_page_tables|unknown,PAE=yes[extended-cr3],LOADER=generic"
    let file = KernelFile(
      is64Bit: false, entry: 0xC010_0000, virtual: 0xC010_0000, physical: 0xC010_0000, place: .guestSection(list))
    let n = try notes(file)
    #expect(n.origin == .guestSection)
    #expect(n.guestOS == "linux" && n.xenVersion == "xen-3.0" && n.loader == "generic")
    #expect(n.hypercallPage == 0xC010_1000)
    #expect(n.supportedFeatures == .writablePageTables && n.requiredFeatures == [])
    #expect(n.paeMode == .extendedCR3)
    let l = try layout(file)
    #expect(l == XenKernelLayout(
      virtualBase: 0xC000_0000, physicalOffset: 0xC000_0000, start: 0xC010_0000, end: 0xC010_0001, entry: 0xC010_0000))
    #expect(l.pseudoPhysical(ofPhysical: 0xC010_0000) == 0x10_0000)

    // Without an offset, it is the base.
    var old = file
    old.place = .guestSection("GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xC0000000,PAE=yes")
    #expect(try layout(old) == l)
    #expect(try notes(old).paeMode == .yes)
    #expect(try notes(old).hypercallPage == nil)
  }

  @Test func placesOfPVAndPVH() throws {
    let file = KernelFile(code: [UInt8](repeating: 0x90, count: 64), notes: linux)
    let pv = try layout(file)
    #expect(pv == XenKernelLayout(
      virtualBase: 0xFFFF_FFFF_8000_0000, physicalOffset: 0, start: 0xFFFF_FFFF_8100_0000,
      end: 0xFFFF_FFFF_8100_0040, entry: 0xFFFF_FFFF_8100_0000))
    #expect(pv.address(ofPhysical: 0x100_0010) == 0xFFFF_FFFF_8100_0010)
    #expect(try layout(file, .pvh) == XenKernelLayout(
      virtualBase: 0, physicalOffset: 0, start: 0x100_0000, end: 0x100_0040, entry: 0x100_0000))
  }

  @Test func kernelsThatDoNotFitAreOneSentence() {
    func refusal(_ kind: XenKernelLayout.Kind = .pv, _ change: (inout KernelFile) -> Void) -> String? {
      var file = KernelFile(notes: linux)
      change(&file)
      return sentence { () throws(ImageError) in _ = try layout(file, kind) }
    }
    func set(_ file: inout KernelFile, _ type: UInt32, _ body: [UInt8]?) {
      file.notes.removeAll { $0.type == type }
      if let body { file.notes.append((type, body)) }
    }
    #expect(refusal { _ in } == nil)
    #expect(refusal { $0.place = .nowhere } == "k is no kernel for Xen: it has neither Xen's ELF notes nor a section __xen_guest")
    #expect(refusal(.pvh) { set(&$0, 18, nil) }?.contains("PHYS32_ENTRY") == true)
    #expect(refusal { set(&$0, 5, text("xen-2.0")) } == "k is made for the interface \"xen-2.0\", not for xen-3.0")
    #expect(refusal { set(&$0, 8, text("")); set(&$0, 6, text("hurd")) }?.contains("\"hurd\"") == true)
    #expect(refusal { set(&$0, 10, text("!writable_page_tables|!flying")) } == "k needs a feature of Xen that is not known: flying")
    #expect(refusal { set(&$0, 3, nil) }?.contains("VIRT_BASE") == true)
    #expect(refusal { set(&$0, 1, littleEndian(0x1000 as UInt64)) }?.contains("entry point") == true)
    // Linux has had no 32-bit PV since 5.9, but its notes look the same otherwise.
    #expect(refusal { set(&$0, 1, nil); $0.entry = 0x100_0000 }?.hasSuffix("only the entry point for type = \"pvh\"") == true)
    #expect(refusal { set(&$0, 15, littleEndian(0xFFFF_FFFF_8100_0000 as UInt64)) }?.contains("physical-to-machine") == true)
    #expect(refusal { $0.code = [] }?.contains("no loadable segments") == true)
  }

  @Test func hostileFilesNeverTrap() {
    for place in [KernelFile.Place.segment, .section, .guestSection("GUEST_OS=linux,HYPERCALL_PAGE=0xFFFFFFFFFFFFFFFF,VIRT_BASE=")] {
      let image = KernelFile(notes: linux, place: place).bytes
      var seed: UInt64 = 9
      var refused = 0
      for _ in 0..<3000 {
        var changed = image
        for _ in 0..<3 {
          seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          changed[Int(seed >> 33) % changed.count] = UInt8(truncatingIfNeeded: seed >> 20)
        }
        guard let elf = try? ELFFile(changed, name: "k"), let notes = try? XenKernelNotes(elf, name: "k") else {
          refused += 1
          continue
        }
        _ = try? XenKernelLayout(elf, notes, kind: .pvh, name: "k")
        // What is accepted lies within itself.
        guard let layout = try? XenKernelLayout(elf, notes, kind: .pv, name: "k") else { continue }
        #expect(layout.start < layout.end && (layout.start..<layout.end).contains(layout.entry))
      }
      #expect(refused > 0 && refused < 3000)
    }
  }
}
