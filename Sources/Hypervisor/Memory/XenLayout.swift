/// Where the hypervisor's part of a paravirtual guest's address space lies (xen/include/public/arch-x86/xen-x86_64.h, xen-x86_32.h).
enum XenLayout {
  /// Slots of a 64-bit guest's top-level table that are the hypervisor's.
  static let firstSlot = 256
  static let lastSlot = 271
  static let start: UInt64 = 0xFFFF_8000_0000_0000
  static let end: UInt64 = 0xFFFF_8800_0000_0000

  /// Read-only table of the guest frame of every machine frame.
  static let machineToPhysicalSlot = 256
  static let machineToPhysical: UInt64 = 0xFFFF_8000_0000_0000

  /// Descriptor tables of the domain's virtual processors, for the processor alone.
  static let perDomainSlot = 260
  static let perDomain: UInt64 = 0xFFFF_8200_0000_0000
  /// Of one virtual processor: its GDT and its LDT, 16 pages each.
  static let perVCPUBytes: UInt64 = 1 << 17
  static func gdt(_ vcpu: Int) -> UInt64 { perDomain + UInt64(vcpu) * perVCPUBytes }
  static func ldt(_ vcpu: Int) -> UInt64 { gdt(vcpu) + (1 << 16) }
  static let tablePages = 16

  /// Pages of the GDT that are the guest's; the hypervisor's descriptors follow.
  static let guestGDTPages = 14
  static let guestGDTEntries = guestGDTPages * 512
  static let reservedSelector: UInt16 = UInt16(guestGDTEntries * 8)

  /// The hole of a 32-bit guest, from here to 4 GiB.
  static let compatStart: UInt64 = 0xF580_0000
  /// The first of the top L2's entries that is the hypervisor's.
  static let compatFirstL2Slot = Int((compatStart - 0xC000_0000) >> 21)

  static func isCanonical(_ linear: UInt64) -> Bool { UInt64(bitPattern: Int64(bitPattern: linear << 16) >> 16) == linear }

  /// The root that a 32-bit guest's CR3 names: its frame's upper bits stand in the lowest ones (xen-x86_32.h, xen_cr3_to_pfn).
  static func compatRoot(_ cr3: UInt64) -> UInt64 { ((cr3 &>> 12) & 0xF_FFFF) | ((cr3 & 0xFFF) &<< 20) }

  /// Whether a linear address may be the guest's.
  static func isGuest(_ linear: UInt64) -> Bool {
    isCanonical(linear) && (linear < start || linear >= end)
  }
}

/// Selectors of the flat segments in the reserved part of the GDT.
enum FlatSelector {
  // 64-bit guests: everything in ring 3.
  static let ring3Code32: UInt16 = 0xE023
  static let ring3Data: UInt16 = 0xE02B
  static let ring3Code64: UInt16 = 0xE033
  // 32-bit guests: the kernel in ring 1.
  static let compatKernelCode: UInt16 = 0xE019
  static let compatKernelData: UInt16 = 0xE021
  static let compatUserCode: UInt16 = 0xE02B
  static let compatUserData: UInt16 = 0xE033
}

/// The hypervisor's page of every GDT, from selector E000H.
enum ReservedDescriptors {
  private static let code64: UInt64 = 0x00AF_9B00_0000_FFFF
  private static let code32: UInt64 = 0x00CF_9B00_0000_FFFF
  private static let data: UInt64 = 0x00CF_9300_0000_FFFF
  private static func ring(_ descriptor: UInt64, _ dpl: UInt64) -> UInt64 { descriptor | dpl << 45 }

  static let wide: [UInt64] = [0, code64, data, 0, ring(code32, 3), ring(data, 3), ring(code64, 3)]
  static let compat: [UInt64] = [0, code64, data, ring(code32, 1), ring(data, 1), ring(code32, 3), ring(data, 3)]
}
