/// The differentiated system description table: what of the board cannot be found by probing.
extension ACPITables {
  /// Sleep type of S5 in PM1_CNT for the PIIX4 power management unit.
  static let softOffType: UInt64 = 0

  static func dsdtBody(_ board: Board) -> [UInt8] {
    var terms: [AML.Term] = []
    terms.append(AML.named("\\_S5", AML.packageOf([
      AML.integer(softOffType), AML.integer(softOffType), AML.integer(0), AML.integer(0),
    ])))
    var system: [AML.Term] = (0..<board.processors).map(processor)
    system.append(hostBridge(board))
    if board.hasHPET { system.append(highPrecisionTimer()) }
    terms.append(AML.scope("\\_SB", system))
    return Array(terms.joined())
  }

  private static func processor(_ index: Int) -> AML.Term {
    let digits = String(index, radix: 16, uppercase: true)
    return AML.device("C" + String(repeating: "0", count: 3 - digits.count) + digits, [
      AML.named("_HID", AML.string("ACPI0007")),
      AML.named("_UID", AML.integer(UInt64(index))),
    ])
  }

  private static func hostBridge(_ board: Board) -> AML.Term {
    let window = max(board.layout.lowMemory, PhysicalLayout.pciWindow.lowerBound)...PhysicalLayout.pciWindow.upperBound
    let resources = AML.resources([
      AML.busNumbers(0...0xFF),
      AML.io(0xCF8, 8),
      AML.ioWindow(0...0xCF7),
      AML.ioWindow(0xD00...0xFFFF),
      AML.memoryWindow(0xA_0000...0xB_FFFF, cacheable: true),
      AML.memoryWindow(window, cacheable: false),
    ])
    return AML.device("PCI0", [
      AML.named("_HID", AML.eisaID("PNP0A03")),
      AML.named("_UID", AML.integer(0)),
      AML.named("_CRS", resources),
      AML.named("_PRT", routing()),
      isaBridge(board),
    ])
  }

  /// Interrupt routing: pin p of device d is wired to PIRQ (d + p − 1) mod 4 (82371SB §2.1), and the links are
  /// fixed to these interrupt lines by `ChipsetSetup`.
  private static func routing() -> AML.Term {
    var entries: [AML.Term] = []
    for slot in 1..<32 as Range<UInt64> {
      for pin in 0..<4 as Range<UInt64> {
        let line = ChipsetSetup.pirqLines[Int((slot + pin + 3) & 3)]
        entries.append(AML.packageOf([
          AML.integer(slot << 16 | 0xFFFF), AML.integer(pin), AML.integer(0), AML.integer(UInt64(line)),
        ]))
      }
    }
    return AML.packageOf(entries)
  }

  private static func isaBridge(_ board: Board) -> AML.Term {
    var children: [AML.Term] = [AML.named("_ADR", AML.integer(0x1_0000))]
    func add(_ name: String, _ identifier: String, unit: UInt64? = nil, _ resources: [AML.Term]) {
      var terms = [AML.named("_HID", AML.eisaID(identifier))]
      if let unit { terms.append(AML.named("_UID", AML.integer(unit))) }
      terms.append(AML.named("_CRS", AML.resources(resources)))
      children.append(AML.device(name, terms))
    }
    add("RTC", "PNP0B00", [AML.io(0x70, 8), AML.irq(8)])
    add("KBD", "PNP0303", [AML.io(0x60, 1), AML.io(0x64, 1), AML.irq(1)])
    add("MOU", "PNP0F13", [AML.irq(12)])
    for (n, port) in board.serialPorts.enumerated() {
      add("COM\(n + 1)", "PNP0501", unit: UInt64(n + 1), [AML.io(port.base, 8, alignment: 8), AML.irq(port.line)])
    }
    return AML.device("ISA", children)
  }

  private static func highPrecisionTimer() -> AML.Term {
    AML.device("HPET", [
      AML.named("_HID", AML.eisaID("PNP0103")),
      AML.named("_UID", AML.integer(0)),
      AML.named("_CRS", AML.resources([AML.memory32(PhysicalLayout.hpet, 0x400)])),
    ])
  }
}
