/// Where things are in the physical address space of the PC (i440FX: RAM, a hole for devices below 4 GiB, more RAM above).
public struct PhysicalLayout: Sendable, Equatable {
  /// RAM from 0 up, in bytes; ends at or below the PCI hole.
  public let lowMemory: UInt64
  /// RAM from 4 GiB up.
  public let highMemory: UInt64

  /// Most RAM below 4 GiB: 3 GiB, so that every PCI window fits above it.
  public static let lowLimit: UInt64 = 0xC000_0000
  public static let highBase: UInt64 = 0x1_0000_0000
  public static let pciWindow: ClosedRange<UInt64> = 0xC000_0000...0xFEBF_FFFF
  public static let ioapic: UInt64 = 0xFEC0_0000
  public static let hpet: UInt64 = 0xFED0_0000
  public static let localAPIC: UInt64 = 0xFEE0_0000
  public static let vgaWindow: Range<UInt64> = 0xA_0000..<0xC_0000
  /// Extended BIOS data area: the last KiB of conventional memory.
  public static let ebda: UInt64 = 0x9_FC00
  /// The system BIOS area; without firmware it is RAM that holds the tables a kernel searches for there.
  public static let biosArea: Range<UInt64> = 0xF_0000..<0x10_0000
  /// Room for ACPI tables at the top of low memory.
  public static let acpiReserve: UInt64 = 0x1_0000

  /// - Parameter memory: RAM in bytes, a multiple of 4096.
  public init(memory: UInt64) {
    lowMemory = min(memory, Self.lowLimit)
    highMemory = memory - lowMemory
  }

  public var acpiBase: UInt64 { lowMemory - Self.acpiReserve }

  /// Kinds of the INT 15h, AX=E820h memory map (ACPI 6.4 table 15.1).
  public enum MapKind: UInt32, Sendable {
    case usable = 1, reserved, acpiReclaimable, acpiNVS
  }

  public struct MapEntry: Sendable, Equatable {
    public var base: UInt64
    public var length: UInt64
    public var kind: MapKind
  }

  /// The memory map a firmware would report.
  public var memoryMap: [MapEntry] {
    func entry(_ base: UInt64, _ end: UInt64, _ kind: MapKind) -> MapEntry {
      MapEntry(base: base, length: end - base, kind: kind)
    }
    var map = [
      entry(0, Self.ebda, .usable),
      entry(Self.ebda, 0xA_0000, .reserved),
      entry(Self.biosArea.lowerBound, Self.biosArea.upperBound, .reserved),
      entry(0x10_0000, acpiBase, .usable),
      entry(acpiBase, lowMemory, .acpiReclaimable),
      entry(0xFFFC_0000, 0x1_0000_0000, .reserved),
    ]
    if highMemory > 0 { map.append(entry(Self.highBase, Self.highBase + highMemory, .usable)) }
    return map
  }
}

/// "512M", "4G" and the like, as messages show sizes.
public func describeSize(_ bytes: UInt64) -> String {
  for (unit, letter) in [(UInt64(1) << 30, "G"), (1 << 20, "M"), (1 << 10, "K")] where bytes % unit == 0 && bytes > 0 {
    return "\(bytes / unit)\(letter)"
  }
  return "\(bytes)"
}
