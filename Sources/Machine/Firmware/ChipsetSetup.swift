import Devices

/// The part of a firmware's work that a kernel takes for granted when it is started directly.
enum ChipsetSetup {
  /// Interrupt lines of PIRQA–PIRQD.
  static let pirqLines: [UInt8] = [10, 10, 11, 11]
  /// Where base addresses of PCI devices are laid out.
  static let pciMemoryBase: UInt64 = 0xE000_0000

  /// PCI interrupts and the SCI are levels: says so to the edge/level control registers.
  static func setLevelTriggered(_ pic: PIC8259) {
    var mask: UInt16 = 1 << ACPITables.PowerPorts.interrupt
    for line in pirqLines { mask |= 1 << UInt16(line) }
    pic.edgeLevelControl.writePort(0, UInt32(mask & 0xFF), size: 1)
    pic.edgeLevelControl.writePort(1, UInt32(mask >> 8), size: 1)
  }
}
