/// Where a kernel's image lies, as its notes and program headers say together.
///
/// Source: xen/include/public/elfnote.h; what Xen's domain builders make of it.
public struct XenKernelLayout: Equatable, Sendable {
  public enum Kind: Sendable { case pv, pvh }

  /// Linear address of pseudo-physical 0; 0 for PVH, which starts without paging.
  public var virtualBase: UInt64
  /// What to take off the physical addresses of the program headers.
  public var physicalOffset: UInt64
  /// First byte and the byte behind the last, as linear addresses (PVH: physical).
  public var start: UInt64
  public var end: UInt64
  /// Linear address (PVH: physical) at which the kernel starts.
  public var entry: UInt64

  /// The linear address of a byte that a program header puts at a physical address.
  public func address(ofPhysical physical: UInt64) -> UInt64 { physical &- physicalOffset &+ virtualBase }

  /// The pseudo-physical address of the same.
  public func pseudoPhysical(ofPhysical physical: UInt64) -> UInt64 { physical &- physicalOffset }
}

extension XenKernelLayout {
  /// - Parameter name: what messages call the kernel.
  public init(_ elf: ELFFile, _ notes: XenKernelNotes, kind: Kind, name: String) throws(ImageError) {
    let segments = elf.loadableSegments
    guard let lowest = segments.map(\.physicalAddress).min(),
      // The reader has checked that these sums do not overflow.
      let highest = segments.map({ $0.physicalAddress + $0.memorySize }).max()
    else { throw ImageError("\(name) has no loadable segments") }

    switch kind {
    case .pvh:
      guard let physicalEntry = notes.physicalEntry else {
        throw ImageError("\(name) cannot start a PVH domain: it has no entry point for one (the ELF note PHYS32_ENTRY)")
      }
      virtualBase = 0
      physicalOffset = 0
      entry = UInt64(physicalEntry)
    case .pv:
      guard notes.loader.hasPrefix("generic") || notes.guestOS.hasPrefix("linux") else {
        throw ImageError(
          "\(name) cannot start a PV domain: it is made for the loader \"\(notes.loader)\" and the system \"\(notes.guestOS)\", not for a generic loader or Linux")
      }
      guard notes.xenVersion.hasPrefix("xen-3.0") else {
        throw ImageError("\(name) is made for the interface \"\(notes.xenVersion)\", not for xen-3.0")
      }
      guard notes.physicalOffset == nil || notes.virtualBase != nil else {
        throw ImageError("\(name) has an ELF note PADDR_OFFSET, but none that says VIRT_BASE")
      }
      virtualBase = notes.virtualBase ?? 0
      // In the days of __xen_guest, program headers held linear addresses.
      physicalOffset = notes.physicalOffset ?? (notes.origin == .guestSection ? virtualBase : 0)
      entry = notes.entry ?? elf.entry
    }
    start = lowest &- physicalOffset &+ virtualBase
    end = highest &- physicalOffset &+ virtualBase
    guard start < end, (start..<end).contains(entry), virtualBase <= start else {
      if kind == .pv, notes.entry == nil, notes.physicalEntry != nil {
        throw ImageError("\(name) cannot start a PV domain: it has only the entry point for type = \"pvh\"")
      }
      throw ImageError("\(name) has ELF notes that contradict its program headers: its entry point lies outside of it")
    }
    if kind == .pv, let p2m = notes.initialP2M, (start..<end).contains(p2m) {
      throw ImageError("\(name) wants its physical-to-machine table in the middle of itself")
    }
  }
}
