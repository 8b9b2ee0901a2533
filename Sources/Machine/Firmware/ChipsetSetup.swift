import Devices
import Processor
import X86

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

  /// Memory types as PC firmware programs them (SDM vol. 3A §12.11): everything write-back, the VGA window and the PCI
  /// window uncacheable. A kernel takes blank MTRRs for a sign that it must do without PAT too.
  static func setMemoryTypes(_ cpu: CPU, model: CPUModel) {
    guard model.features.contains(.mtrr) else { return }
    let writeBack: UInt64 = 0x0606_0606_0606_0606
    for n in cpu.s.pointee.msr.mtrrFixed.indices {
      // Range 2 is the second of the 16K ones: A0000–BFFFF.
      cpu.s.pointee.msr.mtrrFixed[n] = n == 2 ? 0 : writeBack
    }
    let window = PhysicalLayout.pciWindow.lowerBound
    let mask = (UInt64(1) << UInt64(model.physicalAddressBits)) - (PhysicalLayout.highBase - window)
    cpu.s.pointee.msr.mtrrVariable[0] = window
    cpu.s.pointee.msr.mtrrVariable[1] = mask | 0x800
    cpu.s.pointee.mtrrDefType = 0xC06
  }
}
