/// What a kernel tells Xen about itself: in ELF notes named "Xen", or, if it is very old, in a section `__xen_guest`.
///
/// Source: xen/include/public/elfnote.h.
///
/// Not modelled: notes of crash dumps; symbol tables for BSD (`wantsSymbols` is read, nothing is done).
public struct XenKernelNotes: Equatable, Sendable {
  /// Where the kernel keeps them.
  public enum Origin: Sendable { case segments, sections, guestSection }

  /// A 32-bit kernel's page tables.
  public enum PAEMode: Sendable {
    case no
    case yes
    /// Third-level tables may lie above 4 GiB.
    case extendedCR3
    case bimodal
  }

  /// A way to recognise page-table entries that are not present but hold a frame number.
  public struct FrameMask: Equatable, Sendable {
    public var mask: UInt64
    public var value: UInt64
  }

  /// Where a PVH kernel may be loaded.
  public struct Relocation: Equatable, Sendable {
    /// Bytes; nil leaves it to the program headers.
    public var alignment: UInt32?
    public var minimum: UInt32 = 0
    /// The last byte's address at most.
    public var maximum: UInt32 = .max
  }

  public var origin: Origin
  public var guestOS = ""
  public var guestVersion = ""
  public var xenVersion = ""
  public var loader = ""
  /// Linear address; nil means the ELF entry point.
  public var entry: UInt64?
  /// Linear address. A kernel without one issues hypercalls itself.
  public var hypercallPage: UInt64?
  /// Linear address to which pseudo-physical 0 is mapped.
  public var virtualBase: UInt64?
  /// What the physical addresses in the program headers are too large by.
  public var physicalOffset: UInt64?
  /// Lowest address at which the hypervisor's hole may begin.
  public var hypervisorStartLow: UInt64?
  /// Linear address at which the kernel wants its physical-to-machine table.
  public var initialP2M: UInt64?
  public var paeMode = PAEMode.no
  public var supportedFeatures: XenFeatures = []
  public var requiredFeatures: XenFeatures = []
  public var wantsSymbols = false
  public var suspendCancel: UInt64 = 0
  /// The kernel finds an initial RAM disk by frame number; it need not be mapped.
  public var takesUnmappedModule = false
  public var l1FrameMasks: [FrameMask] = []
  /// Where a PVH domain starts, in 32-bit protected mode without paging.
  public var physicalEntry: UInt32?
  public var relocation: Relocation?

  /// Reads the notes of a kernel.
  /// - Parameter name: what messages call the file.
  public init(_ elf: ELFFile, name: String) throws(ImageError) {
    func xenNotes(_ notes: [ELFFile.Note]) -> [ELFFile.Note] { notes.filter { $0.name == "Xen" } }
    let sections = elf.sectionList
    var notes = xenNotes(elf.notes)
    origin = .segments
    if notes.isEmpty {
      notes = xenNotes(sections.filter { $0.type == ELFFile.noteSection }.flatMap {
        ELFFile.notes(in: Array($0.bytes), alignment: $0.alignment)
      })
      origin = .sections
    }
    if !notes.isEmpty {
      for note in notes { try read(note, name: name) }
    } else if let section = sections.first(where: { $0.name == "__xen_guest" }) {
      origin = .guestSection
      try read(String(decoding: section.bytes.prefix { $0 != 0 }, as: UTF8.self), name: name)
    } else {
      throw ImageError("\(name) is no kernel for Xen: it has neither Xen's ELF notes nor a section __xen_guest")
    }
  }

  // MARK: Notes

  private mutating func read(_ note: ELFFile.Note, name: String) throws(ImageError) {
    let body = note.description
    let text = String(decoding: body.prefix { $0 != 0 }, as: UTF8.self)
    // "Numeric types are either 4 or 8 bytes depending on the content of the desc field."
    let number = body.count == 4 ? body.u32(0).map(UInt64.init) : body.u64(0)
    switch note.type {
    case 1: entry = number
    case 2: hypercallPage = number
    case 3: virtualBase = number
    case 4: physicalOffset = number
    case 5: xenVersion = text
    case 6: guestOS = text
    case 7: guestVersion = text
    case 8: loader = text
    case 9: paeMode = text.contains("bimodal") ? .bimodal : text == "yes" ? .extendedCR3 : .no
    case 10: try readFeatures(text, name: name)
    case 11: wantsSymbols = text == "yes"
    case 12: hypervisorStartLow = number
    case 13: readFrameMasks(body)
    case 14: suspendCancel = number ?? 0
    case 15: initialP2M = number
    case 16: takesUnmappedModule = (number ?? 0) != 0
    case 17: supportedFeatures.formUnion(XenFeatures(rawValue: body.u32(0) ?? 0))
    case 18: physicalEntry = number.map { UInt32(truncatingIfNeeded: $0) }
    case 19:
      relocation = Relocation(
        alignment: body.u32(0), minimum: body.u32(4) ?? 0, maximum: body.u32(8) ?? .max)
    default: break
    }
  }

  private mutating func readFeatures(_ text: String, name: String) throws(ImageError) {
    let (supported, required, unknown) = XenFeatures.parse(text)
    if let unknown { throw ImageError("\(name) needs a feature of Xen that is not known: \(unknown)") }
    supportedFeatures.formUnion(supported)
    requiredFeatures.formUnion(required)
  }

  /// Pairs of mask and value, each as wide as a machine address of the kernel: 8 bytes, since all kernels use PAE.
  private mutating func readFrameMasks(_ body: [UInt8]) {
    var at = 0
    while let mask = body.u64(at), let value = body.u64(at + 8) {
      l1FrameMasks.append(FrameMask(mask: mask, value: value))
      at += 16
    }
  }

  // MARK: __xen_guest

  /// Reads a list like `GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xC0000000`.
  private mutating func read(_ list: String, name: String) throws(ImageError) {
    var page: UInt64?
    for part in list.split(separator: ",") {
      let words = part.split(separator: "=", maxSplits: 1).map(String.init)
      let value = words.count == 2 ? words[1] : ""
      switch words.first {
      case "LOADER": loader = value
      case "GUEST_OS": guestOS = value
      case "GUEST_VER": guestVersion = value
      case "XEN_VER": xenVersion = value
      case "PAE": paeMode = value == "yes[extended-cr3]" ? .extendedCR3 : value.hasPrefix("yes") ? .yes : .no
      case "BSD_SYMTAB": wantsSymbols = true
      case "VIRT_BASE": virtualBase = Self.number(value)
      case "VIRT_ENTRY": entry = Self.number(value)
      case "ELF_PADDR_OFFSET": physicalOffset = Self.number(value)
      case "HYPERCALL_PAGE": page = Self.number(value)
      case "FEATURES": try readFeatures(value, name: name)
      default: break
      }
    }
    // Here it is the number of a pseudo-physical page.
    hypercallPage = page.map { $0 &<< 12 &+ (virtualBase ?? 0) }
  }

  private static func number(_ text: String) -> UInt64? {
    text.lowercased().hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }
}
