import Devices
import Platform

/// The motherboard: every device of the PC, connected. Construction order is part of the machine's definition, because
/// timers with equal deadlines fire in the order of their making.
final class Board {
  let pic: PIC8259
  let ioapic: IOAPIC
  let router: InterruptRouter
  let pit: PIT8254
  let rtc: RTC146818
  let systemControlB: SystemControlB
  let a20 = A20Gate()
  let systemControlA: SystemControlA
  let keyboard: I8042
  let serial: [UART16550]
  let power: ACPIPowerManagement
  let hpet: HPET?
  let pci: PCIBus
  let hostBridge: PCIHostBridge
  let isaBridge: PIIX3ISABridge
  let powerBridge: PIIX4PowerManagement
  let vga: VGA?
  /// How firmware learns about the machine; not there without firmware.
  let firmwareConfiguration: FwCfg?
  private let videoMemory: HostPages?
  static let videoMemorySize = 16 << 20
  let debugConsole = DebugConsole(name: "debugcon")
  let firmwareConsole = DebugConsole(name: "firmware-console")
  let post = POSTPort()
  let debugExit: DebugExit?
  /// Everything with state, in the order of saved states.
  let devices: [any Device]

  /// Base port and ISA interrupt of COM1–COM4.
  static let serialPlaces: [(base: UInt16, line: Int)] = [(0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3)]

  init(
    _ configuration: MachineConfiguration, clock: VirtualClock, ports: PortSpace, memory: PhysicalMemory, apics: APICBus
  ) throws(MachineError) {
    pic = PIC8259()
    ioapic = IOAPIC(bus: apics)
    router = InterruptRouter(pic: pic, ioapic: ioapic)
    pit = PIT8254(clock: clock)
    rtc = RTC146818(clock: clock, startTime: configuration.startTime)
    systemControlB = SystemControlB(clock: clock, pit: pit)
    systemControlA = SystemControlA(gate: a20)
    keyboard = I8042(clock: clock, gate: a20, keyboardIRQ: router.line(1), mouseIRQ: router.line(12))
    var serial: [UART16550] = []
    for (n, place) in Self.serialPlaces.prefix(configuration.serialPorts).enumerated() {
      let port = UART16550(
        name: "com\(n + 1)", clock: clock, irq: router.line(place.line), exactTiming: configuration.exactSerialTiming)
      ports.add(port, at: place.base, count: 8)
      serial.append(port)
    }
    self.serial = serial
    power = ACPIPowerManagement(
      clock: clock, sci: router.line(Int(ACPITables.PowerPorts.interrupt)), timerBits: 32,
      powerOffType: UInt8(ACPITables.softOffType))
    if configuration.hasHPET {
      let timer = HPET(clock: clock, lines: router)
      hpet = timer
      // The HPET passes them to lines 0 and 8 unless a guest turns on its legacy replacement.
      pit.output = InterruptLine(timer, input: 0)
      rtc.irq = InterruptLine(timer, input: 1)
      memory.addHandler(timer, at: PhysicalAddress(PhysicalLayout.hpet), size: 0x400)
    } else {
      hpet = nil
      pit.output = router.line(0)
      rtc.irq = router.line(8)
    }
    pci = PCIBus(ports: ports, memory: memory, lines: router)
    hostBridge = PCIHostBridge(bus: pci)
    isaBridge = PIIX3ISABridge(bus: pci)
    powerBridge = PIIX4PowerManagement(bus: pci, acpi: power, ports: ports)
    if configuration.hasVGA {
      let pages = try HostPages(size: Self.videoMemorySize)
      let adapter = VGA(clock: clock, frameBuffer: pages.base, frameBufferSize: pages.size)
      pci.attach(VGAFunction(vga: adapter), at: 2)
      ports.add(adapter.ports, at: 0x3B0, count: 0x30)
      ports.add(adapter.displayInterface, at: 0x1CE, count: 3, maximumSize: 2)
      memory.addHandler(adapter, at: VGA.windowBase, size: VGA.windowSize)
      vga = adapter
      videoMemory = pages
    } else {
      vga = nil
      videoMemory = nil
    }
    if case .firmware(_?) = configuration.boot.method {
      let device = FwCfg(memory: memory)
      let tables = ACPITables(board: Self.description(configuration), base: 0)
      FirmwareConfiguration.fill(device, configuration, tables: tables)
      ports.add(device.registers, at: 0x510, count: 2, maximumSize: 2)
      ports.add(device.dma, at: 0x514, count: 8, maximumSize: 4)
      firmwareConfiguration = device
    } else {
      firmwareConfiguration = nil
    }
    debugExit = configuration.debugExit.map { DebugExit(style: $0.isQEMUStyle ? .qemu : .plain) }

    ports.add(pic.master, at: 0x20, count: 2)
    ports.add(pic.slave, at: 0xA0, count: 2)
    ports.add(pic.edgeLevelControl, at: 0x4D0, count: 2)
    ports.add(pit, at: 0x40, count: 4)
    ports.add(systemControlB, at: 0x61, count: 1)
    ports.add(keyboard.data, at: 0x60, count: 1)
    ports.add(keyboard.command, at: 0x64, count: 1)
    ports.add(rtc, at: 0x70, count: 2)
    ports.add(post, at: 0x80, count: 1)
    ports.add(power.apm, at: 0xB2, count: 2)
    ports.add(hostBridge, at: 0xCF8, count: 8, maximumSize: 4)
    // CF9h lies inside the configuration address register: byte accesses are the reset register's.
    ports.add(systemControlA.portCF9, at: 0xCF9, count: 1)
    ports.add(systemControlA.port92, at: 0x92, count: 1)
    ports.add(debugConsole, at: 0xE9, count: 1)
    ports.add(firmwareConsole, at: 0x402, count: 1)
    if let debugExit, let place = configuration.debugExit {
      ports.add(debugExit, at: place.port, count: 4, maximumSize: 4)
    }
    memory.addHandler(ioapic, at: PhysicalAddress(PhysicalLayout.ioapic), size: 0x1000)
    if configuration.cpu.model.features.contains(.apic) {
      memory.addHandler(apics, at: PhysicalAddress(PhysicalLayout.localAPIC), size: 0x1000)
    }

    var devices: [any Device] = [pic, ioapic, pit, rtc, systemControlB, systemControlA, keyboard]
    devices += serial as [any Device]
    devices.append(power)
    if let hpet { devices.append(hpet) }
    if let vga { devices.append(vga) }
    devices += pci.all as [any Device]
    devices += [debugConsole, firmwareConsole, post] as [any Device]
    if let firmwareConfiguration { devices.append(firmwareConfiguration) }
    if let debugExit { devices.append(debugExit) }
    self.devices = devices
  }

  /// What the ACPI tables say about the board.
  static func description(_ configuration: MachineConfiguration) -> ACPITables.Board {
    ACPITables.Board(
      layout: PhysicalLayout(memory: configuration.memory), processors: configuration.processors,
      hasHPET: configuration.hasHPET, serialPorts: Array(serialPlaces.prefix(configuration.serialPorts)))
  }

  /// What firmware does to the board before it starts a kernel.
  func setUpWithoutFirmware() {
    // All of C0000–FFFFF is RAM: the tables for the kernel lie there.
    for register in 0x59...0x5F { hostBridge.writeConfiguration(register, 0x33, size: 1) }
    for (n, line) in ChipsetSetup.pirqLines.enumerated() { isaBridge.setRoute(n, to: Int(line)) }
    ChipsetSetup.setLevelTriggered(pic)
    keyboard.configureAsFirmware()
    powerBridge.enable(at: ACPITables.PowerPorts.base)
    vga?.initialiseTextMode3()
    pci.assignResources(memoryBase: ChipsetSetup.pciMemoryBase)
  }
}
