/// The ISA bridge of the Intel PIIX3 (PCI interrupt routing) and the power management function of the PIIX4.
///
/// Datasheets: Intel 82371SB (order 290550-002) §2.2; Intel 82371AB (order 290562-001) §7.1.
/// PCI 01.0 (8086:7000) and 01.3 (8086:7113). The power management function maps the ACPI ports where PMBA says.
///
/// Not modelled: DMA, X-bus and motherboard device decoding (their registers are kept and read back), SMBus (its base can
/// be written, nothing answers there), USB, bus timing.

import Platform

public final class PIIX3ISABridge: PCIDevice {
  private static let routeControl = 0x60

  /// Creates the bridge and attaches it to `bus` at `number`, function 0.
  public init(bus: PCIBus, number: Int = 1) {
    super.init(name: "piix3-isa", vendor: 0x8086, device: 0x7000, classCode: 0x060100)
    define16(0x04, 0x0007, writable: 0x0008)
    define8(0x0E, 0x80)
    define8(0x4C, 0x4D, writable: 0xFF)
    define8(0x4E, 0x03, writable: 0xFF)
    define8(0x4F, 0x00, writable: 0xFF)
    for n in 0..<4 { define8(Self.routeControl + n, 0x80, writable: 0x8F) }
    define8(0x69, 0x02, writable: 0xFE)
    define8(0x70, 0x80, writable: 0xEF)
    define8(0x76, 0x0C, writable: 0xFF)
    define8(0x77, 0x0C, writable: 0xFF)
    define8(0x82, 0x00, writable: 0x8F)
    define8(0xA0, 0x08, writable: 0x3F)
    bus.attach(self, at: number)
    updateRoutes()
  }

  /// Routes PIRQ A–D (0…3) to an ISA interrupt (3–7, 9–12, 14, 15), as firmware does.
  public func setRoute(_ pirq: Int, to line: Int?) {
    writeConfiguration(Self.routeControl + (pirq & 3), line.map { UInt32($0 & 15) } ?? 0x80, size: 1)
  }

  private func updateRoutes() {
    for n in 0..<4 {
      let value = configuration[Self.routeControl + n]
      // IRQ 0, 1, 2, 8 and 13 are reserved values.
      let isReserved = (0x2107 as UInt16).bit(Int(value & 15))
      bus?.routes[n] = value.bit(7) || isReserved ? nil : Int(value & 15)
    }
    bus?.updateLines()
  }

  public override func writeConfiguration(_ offset: Int, _ value: UInt32, size: Int) {
    super.writeConfiguration(offset, value, size: size)
    if (offset..<offset + size).overlaps(Self.routeControl..<Self.routeControl + 4) { updateRoutes() }
  }

  public override func reset() {
    super.reset()
    updateRoutes()
  }

  public override func restore(from reader: inout StateReader) throws(StateError) {
    try super.restore(from: &reader)
    for n in 0..<4 {
      let value = configuration[Self.routeControl + n]
      bus?.routes[n] = value.bit(7) || (0x2107 as UInt16).bit(Int(value & 15)) ? nil : Int(value & 15)
    }
  }
}

public final class PIIX4PowerManagement: PCIDevice {
  private static let base = 0x40, miscellaneous = 0x80

  private let acpi: ACPIPowerManagement
  private let ports: PortSpace
  private var mapped: UInt16?

  /// Creates the function and attaches it to `bus` as function 3 of `number`.
  /// - Parameter hasSMM: false tells firmware (by APMC_EN, already set) that SMM is taken, so it does not try to use it.
  public init(bus: PCIBus, acpi: ACPIPowerManagement, ports: PortSpace, number: Int = 1, hasSMM: Bool = false) {
    self.acpi = acpi
    self.ports = ports
    super.init(
      name: "piix4-pm", vendor: 0x8086, device: 0x7113, classCode: 0x068000, revision: 3, interruptPin: 1)
    define8(0x3C, 9, writable: 0xFF)
    define32(Self.base, 1, writable: 0xFFC0)
    for offset in 0x44...0x57 { define8(offset, 0, writable: 0xFF) }
    define32(0x58, hasSMM ? 0 : 1 << 25, writable: 0xFFFF_FFFF)
    for offset in 0x5C...0x7F { define8(offset, 0, writable: 0xFF) }
    define8(Self.miscellaneous, 0, writable: 0x01)
    define32(0x90, 1, writable: 0xFFF0)
    define8(0xD2, 0, writable: 0x0F)
    bus.attach(self, at: number, function: 3)
  }

  /// Maps the ACPI ports at `port`, as firmware does.
  public func enable(at port: UInt16) {
    writeConfiguration(Self.base, UInt32(port), size: 4)
    writeConfiguration(Self.miscellaneous, 1, size: 1)
  }

  private func updateMapping() {
    let base = read16(Self.base) & 0xFFC0
    let wanted = configuration[Self.miscellaneous].bit(0) && base != 0 ? base : nil
    if wanted == mapped { return }
    if mapped != nil { ports.remove(acpi.registers) }
    mapped = wanted
    if let wanted { ports.add(acpi.registers, at: wanted, count: 64, maximumSize: 4) }
  }

  public override func writeConfiguration(_ offset: Int, _ value: UInt32, size: Int) {
    super.writeConfiguration(offset, value, size: size)
    updateMapping()
  }

  public override func reset() {
    super.reset()
    updateMapping()
  }

  public override func restore(from reader: inout StateReader) throws(StateError) {
    try super.restore(from: &reader)
    updateMapping()
  }
}
