import Devices
import Interpreter
import Platform
import Processor

/// A PC: processors, memory, devices, one virtual clock, one input log.
///
/// Virtual time is instructions: each retired instruction of any processor takes one nanosecond, and processors take turns
/// on the one time line. So time never runs backwards between processors, a time-stamp counter is the same everywhere, and
/// a run depends on configuration, images and input log alone.
public final class Machine {
  public let configuration: MachineConfiguration
  public let layout: PhysicalLayout
  public let memory: PhysicalMemory
  public let ports = PortSpace()
  public let clock = VirtualClock()
  public let codeCache: CodeCache
  public private(set) var processors: [VirtualCPU] = []
  let apics = APICBus()
  let board: Board
  var connections: [ProcessorConnection] = []
  /// Host address of RAM from physical address 0.
  let lowRAM: UnsafeMutableRawPointer
  let firmware: FirmwareImage?

  /// The processor whose turn it is while it executes.
  unowned(unsafe) var running: VirtualCPU?
  /// Index of the processor that has the turn, and how many instructions of its turn are left.
  var turn = 0
  var turnLeft: UInt64 = 0
  var pendingEnd: EndReason?
  var pendingReset = false
  public internal(set) var input = InputLog()
  var replay: ArraySlice<InputRecord> = []
  var appointments: [(time: VirtualTime, action: (Machine) -> Void)] = []
  /// A guest's reset ends the run instead of starting it anew.
  public var endsOnReset = false
  /// Executes every instruction by its generic function, without decoded blocks: slower, with the same results.
  public var executesBySteps = false
  public internal(set) var exits = ExitCounts()

  /// Bytes that COM1… send, by port index.
  public var onSerialOutput: ((_ port: Int, _ byte: UInt8) -> Void)?
  /// Bytes written to the debug consoles at ports E9h and 402h.
  public var onDebugOutput: ((UInt8) -> Void)?

  /// Builds the machine and loads what it boots.
  public init(_ configuration: MachineConfiguration) throws(MachineError) {
    try configuration.validate()
    self.configuration = configuration
    layout = PhysicalLayout(memory: configuration.memory)
    try HostPages.checkAddressSpace(for: configuration, layout)
    memory = PhysicalMemory(limit: PhysicalLayout.highBase + layout.highMemory)
    lowRAM = memory.addMemory(at: PhysicalAddress(0), size: layout.lowMemory)
    memory.unmap(
      at: PhysicalAddress(PhysicalLayout.vgaWindow.lowerBound),
      size: PhysicalLayout.vgaWindow.upperBound - PhysicalLayout.vgaWindow.lowerBound)
    if layout.highMemory > 0 { memory.addMemory(at: PhysicalAddress(PhysicalLayout.highBase), size: layout.highMemory) }
    if case .firmware(let file?) = configuration.boot.method {
      firmware = try FirmwareImage(file, memory: memory)
    } else {
      firmware = nil
    }
    codeCache = CodeCache(memory: memory)
    let model = configuration.cpu.model.with(processorCount: UInt32(configuration.processors))
    board = try Board(configuration, clock: clock, ports: ports, memory: memory, apics: apics)
    for n in 0..<configuration.processors {
      let lapic = LocalAPIC(id: UInt32(n), bus: apics, clock: clock, isBootstrap: n == 0)
      let connection = ProcessorConnection(machine: self, lapic: lapic)
      let processor = VirtualCPU(
        index: n, memory: memory, model: model, codeCache: codeCache, bus: connection)
      connection.attach(processor)
      connections.append(connection)
      processors.append(processor)
    }
    connect()
    try powerOn()
  }

  /// Wires that lead out of the board.
  private func connect() {
    let first = connections[0].lapic
    board.pic.output = InterruptLine(first, input: 0)
    for connection in connections { connection.lapic.acknowledgeExternal = { [board] in board.pic.acknowledge() } }
    for (n, port) in board.serial.enumerated() {
      port.onTransmit = { [unowned self] byte in onSerialOutput?(n, byte) }
    }
    board.debugConsole.onByte = { [unowned self] byte in onDebugOutput?(byte) }
    board.firmwareConsole.onByte = { [unowned self] byte in onDebugOutput?(byte) }
    board.power.onPowerOff = { [unowned self] in end(.powerOff) }
    board.debugExit?.onExit = { [unowned self] code in end(.exitCode(code)) }
    board.systemControlA.onReset = { [unowned self] kind in resetRequested(kind) }
    board.keyboard.onReset = { [unowned self] kind in resetRequested(kind) }
    board.pci.onMSI = { [apics] address, data in apics.deliverMSI(address: address, data: data) }
    board.pci.onMemoryMapChange = { [unowned self] in memoryMapChanged() }
    board.hostBridge.onAttributesChange = { [unowned self] segments in mapShadow(segments) }
    board.a20.onChange = { [unowned self] isOpen in
      for processor in processors { processor.a20Enabled = isOpen }
    }
    clock.onEarlierDeadline = { [unowned self] in running?.requestStop() }
  }

  // MARK: Power-on and reset

  /// Brings everything into its power-on state and loads what the machine boots.
  private func powerOn() throws(MachineError) {
    for device in board.devices { device.reset() }
    for connection in connections {
      connection.lapic.reset()
      connection.processor.reset()
      connection.rebase()
      // A processor without an APIC has its INTR pin on the PIC; a kernel without firmware expects the same of one that has.
      if firmware == nil || !configuration.cpu.model.features.contains(.apic) { connection.lapic.configureVirtualWire() }
    }
    turn = 0
    turnLeft = 0
    let high = layout.highMemory
    board.rtc.setMemorySize(low: layout.lowMemory, high: high)
    if case .firmware = configuration.boot.method {
      mapShadow(board.hostBridge.segments)
      return
    }
    board.setUpWithoutFirmware()
    for processor in processors { ChipsetSetup.setMemoryTypes(processor.cpu, model: configuration.cpu.model) }
    let memory = BootMemory(self.memory, layout: layout)
    let entry = try BootLoader.load(
      configuration.boot, into: memory, longMode: configuration.cpu.model.features.contains(.longMode),
      tables: writeTables(memory))
    entry.apply(to: processors[0])
    codeCache.dropAll()
  }

  /// ACPI tables at the top of low memory; root pointer, MP table and SMBIOS in the BIOS area; BIOS data area.
  private func writeTables(_ target: BootMemory) -> BootLoader.Tables {
    let description = Board.description(configuration)
    let tables = ACPITables(board: description, base: layout.acpiBase)
    let root = PhysicalLayout.biosArea.lowerBound
    target.put(tables.image, at: layout.acpiBase)
    target.put(tables.rsdp, at: root)
    target.put(MPTable.build(processors: configuration.processors, at: root + 0x100), at: root + 0x100)
    target.put(SMBIOS.build(configuration, at: root + 0x2000), at: root + 0x2000)
    LegacyBIOS.write(to: target, serialPorts: description.serialPorts.map(\.base))
    return BootLoader.Tables(rsdpAddress: root, rsdp: tables.rsdp)
  }

  private func resetRequested(_ kind: ResetKind) {
    // Without firmware nobody could catch a processor that starts at the reset vector.
    if kind == .processor, firmware != nil {
      processors[0].signalINIT()
    } else {
      pendingReset = true
      running?.requestStop()
    }
  }

  /// A machine without firmware and kernel has nothing to boot again.
  var canReboot: Bool {
    if case .firmware(nil) = configuration.boot.method { return false }
    return true
  }

  func performReset() throws(MachineError) {
    pendingReset = false
    try powerOn()
    memoryMapChanged()
  }

  /// Ends the run after the instruction at hand.
  public func end(_ reason: EndReason) {
    if pendingEnd == nil { pendingEnd = reason }
    running?.requestStop()
  }

  // MARK: Memory map

  func memoryMapChanged() {
    codeCache.dropAll()
    for processor in processors { processor.cpu.flushTLB(keepGlobal: false) }
  }

  /// Puts RAM, ROM or nothing into the segments of C0000–FFFFF as the host bridge's attributes say (82441FX §3.2.18).
  private func mapShadow(_ segments: [PCIHostBridge.Segment]) {
    for segment in segments {
      let base = PhysicalAddress(segment.base)
      let ram = lowRAM + Int(segment.base)
      switch (segment.readsRAM, segment.writesRAM) {
      case (true, let writable): memory.map(ram, at: base, size: segment.size, writable: writable)
      case (false, true): memory.unmap(at: base, size: segment.size)
      case (false, false):
        if let rom = firmware?.host(segment.base, size: segment.size) {
          memory.map(rom, at: base, size: segment.size, writable: false)
        } else {
          memory.unmap(at: base, size: segment.size)
        }
      }
    }
    memoryMapChanged()
  }

  // MARK: Output

  /// Draws what the screen shows now. Returns false when the machine has no display.
  @discardableResult
  public func render(into frame: inout Frame) -> Bool {
    board.vga?.render(into: &frame)
    return board.vga != nil
  }

  /// The characters (code page 437) and attributes of a text mode; nil in graphics modes and without a display.
  public func textCells() -> (columns: Int, rows: Int, cells: [(code: UInt8, attribute: UInt8)], cursor: Int?)? {
    board.vga?.textCells()
  }

  // MARK: Input

  /// Lets an event from outside enter at the present instruction.
  public func enter(_ event: InputEvent) {
    input.enter(event, at: clock.now)
    switch event {
    case .serial(let port, let bytes):
      if board.serial.indices.contains(port) { board.serial[port].receive(bytes) }
    case .key(let key, let isPressed): board.keyboard.setKey(key, down: isPressed)
    case .mouse(let dx, let dy, let wheel, let buttons):
      board.keyboard.moveMouse(dx: Int32(dx), dy: Int32(dy), wheel: Int32(wheel))
      board.keyboard.setMouseButtons(buttons)
    case .powerButton: board.power.pressPowerButton()
    }
  }

  /// Bytes that wait in front of a serial port because the guest has not read them.
  public func serialBacklog(_ port: Int) -> Int {
    board.serial.indices.contains(port) ? board.serial[port].pendingInput : 0
  }

  /// Keeps all events that enter, for `InputLog.encode`.
  public var keepsInputLog: Bool {
    get { input.keepsRecords }
    set { input.keepsRecords = newValue }
  }

  /// Feeds recorded events instead of what the host brings.
  public func replay(_ records: [InputRecord]) { replay = records[...] }

  /// Runs `action` when virtual time reaches `time`, between two instructions. It must not change the machine.
  public func schedule(at time: VirtualTime, _ action: @escaping (Machine) -> Void) {
    let place = appointments.firstIndex { $0.time > time } ?? appointments.count
    appointments.insert((time, action), at: place)
  }

  /// Where every processor is, one line each.
  public var statusText: String {
    processors.map { processor in
      let s = processor.cpu.s.pointee
      return "CPU \(s.index): \(s.activity), \(s.retired) instructions, CS:RIP \(hexadecimal(UInt64(s.cs.selector))):\(hexadecimal(s.rip)), CPL \(s.cpl)"
    }.joined(separator: "\r\n") + "\r\nvirtual time \(Double(clock.now) / 1e9) s"
  }

  /// Instructions retired by all processors together.
  public var retired: UInt64 { processors.reduce(0) { $0 &+ $1.retired } }
  public var blocksDecoded: UInt64 { codeCache.blocksDecoded }
  public var tlbMisses: UInt64 { processors.reduce(0) { $0 &+ $1.cpu.s.pointee.tlbMisses } }
}
