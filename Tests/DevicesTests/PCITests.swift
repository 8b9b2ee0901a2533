import Platform
import Testing

@testable import Devices

private final class Registers: PortHandler, MemoryHandler {
  var last: (UInt64, UInt64, Int)?
  func readPort(_ offset: UInt16, size: Int) -> UInt32 { 0xA0 + UInt32(offset) }
  func writePort(_ offset: UInt16, _ value: UInt32, size: Int) { last = (UInt64(offset), UInt64(value), size) }
  func readMemory(_ offset: UInt64, size: Int) -> UInt64 { 0xB0 + offset }
  func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int) { last = (offset, value, size) }
}

private final class Board {
  let ports = PortSpace()
  let memory = PhysicalMemory(limit: 1 << 32)
  let lines = Recorder()
  let clock = VirtualClock()
  let bus: PCIBus
  let host: PCIHostBridge
  let isa: PIIX3ISABridge
  let acpi: ACPIPowerManagement
  let pm: PIIX4PowerManagement
  let card: PCIDevice
  let registers = Registers()
  let buffer = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
  var mapChanges = 0
  var messages: [(UInt64, UInt32)] = []

  init() {
    buffer.initializeMemory(as: UInt8.self, repeating: 0x5A, count: 8192)
    memory.addMemory(at: PhysicalAddress(0), size: 1 << 20)
    bus = PCIBus(ports: ports, memory: memory, lines: lines)
    host = PCIHostBridge(bus: bus)
    isa = PIIX3ISABridge(bus: bus)
    acpi = ACPIPowerManagement(clock: clock)
    pm = PIIX4PowerManagement(bus: bus, acpi: acpi, ports: ports)
    card = PCIDevice(name: "card", vendor: 0x1AF4, device: 0x1000, classCode: 0x020000, interruptPin: 1)
    card.defineBAR(0, size: 32, region: .ports(registers, maximumSize: 4))
    card.defineBAR(1, size: 4096, region: .registers(registers))
    card.defineBAR(2, size: 8192, region: .memory(buffer, writable: true), is64Bit: true, isPrefetchable: true)
    card.addMSI()
    bus.attach(card, at: 3)
    ports.add(host, at: 0xCF8, count: 8, maximumSize: 4)
    bus.onMemoryMapChange = { [unowned self] in mapChanges += 1 }
    bus.onMSI = { [unowned self] in messages.append(($0, $1)) }
  }

  deinit { buffer.deallocate() }

  func select(_ device: Int, _ function: Int, _ register: Int) {
    ports.write(0xCF8, 0x8000_0000 | UInt32(device << 11 | function << 8 | register & 0xFC), size: 4)
  }
  func read(_ device: Int, _ function: Int, _ register: Int, _ size: Int = 4) -> UInt32 {
    select(device, function, register)
    return ports.read(0xCFC + UInt16(register & 3), size: size)
  }
  func write(_ device: Int, _ function: Int, _ register: Int, _ value: UInt32, _ size: Int = 4) {
    select(device, function, register)
    ports.write(0xCFC + UInt16(register & 3), value, size: size)
  }
}

@Suite struct PCITests {
  private let board = Board()

  @Test func devicesAreFoundAndOthersAreNot() {
    #expect(board.read(0, 0, 0) == 0x1237_8086)
    #expect(board.read(1, 0, 0) == 0x7000_8086)
    #expect(board.read(1, 3, 0) == 0x7113_8086)
    #expect(board.read(1, 0, 0x0E, 1) == 0x80, "several functions")
    #expect(board.read(2, 0, 0) == 0xFFFF_FFFF)
    #expect(board.read(3, 0, 2, 2) == 0x1000)
    #expect(board.read(3, 0, 0x0B, 1) == 0x02)
    board.ports.write(0xCF8, 0x8001_0000, size: 4)
    #expect(board.ports.read(0xCFC, size: 4) == 0xFFFF_FFFF, "there is no bus 1")
    board.ports.write(0xCF8, 0, size: 4)
    #expect(board.ports.read(0xCFC, size: 4) == 0xFFFF_FFFF, "disabled")
  }

  @Test func readOnlyBitsStay() {
    board.write(3, 0, 0, 0)
    #expect(board.read(3, 0, 0) == 0x1000_1AF4)
    board.write(3, 0, 4, 0xFFFF, 2)
    #expect(board.read(3, 0, 4, 2) == 0x0547)
    board.write(3, 0, 0x3C, 0xFFFF)
    #expect(board.read(3, 0, 0x3C, 2) == 0x01FF)
  }

  @Test func sizing() {
    let sizes: [(Int, UInt32)] = [
      (0x10, 0xFFFF_FFE1), (0x14, 0xFFFF_F000), (0x18, 0xFFFF_E00C), (0x1C, 0xFFFF_FFFF), (0x20, 0),
    ]
    for (offset, expected) in sizes {
      board.write(3, 0, offset, 0xFFFF_FFFF)
      #expect(board.read(3, 0, offset) == expected, "BAR at \(offset)")
    }
  }

  @Test func apertureFollowsItsRegister() {
    board.write(3, 0, 0x10, 0xC000)
    board.write(3, 0, 0x14, 0xE000_0000)
    board.write(3, 0, 0x18, 0xE100_0000)
    #expect(board.ports.read(0xC001, size: 1) == 0xFF, "decoding is off")
    board.write(3, 0, 4, 3, 2)
    #expect(board.ports.read(0xC001, size: 1) == 0xA1)
    #expect(board.memory.read(0xE000_0010, size: 4) == 0xC0)
    #expect(board.memory.read(0xE100_1000, size: 1) == 0x5A)
    #expect(board.mapChanges >= 2)
    board.memory.write(0xE000_0004, 77, size: 4)
    #expect(board.registers.last! == (4, 77, 4))
    board.write(3, 0, 0x14, 0xE200_0000)
    #expect(board.memory.read(0xE000_0010, size: 4) == 0xFFFF_FFFF)
    #expect(board.memory.read(0xE200_0010, size: 4) == 0xC0)
    board.write(3, 0, 4, 0, 2)
    #expect(board.memory.read(0xE100_1000, size: 1) == 0xFF)
    #expect(board.ports.read(0xC001, size: 1) == 0xFF)
  }

  @Test func aFrameBufferDoesNotReplaceRAM() {
    board.memory.write(0x8000, 0x1234, size: 2)
    board.write(3, 0, 0x18, 0x8000)
    board.write(3, 0, 4, 3, 2)
    #expect(board.memory.read(0x8000, size: 2) == 0x1234)
    board.write(3, 0, 4, 0, 2)
    #expect(board.memory.read(0x8000, size: 2) == 0x1234)
  }

  @Test func interruptPinsAreRoutedAndShared() {
    board.isa.setRoute(2, to: 10)
    board.card.setInterrupt(true)
    #expect(board.lines.levels[10], "INTA# of device 3 is PIRQ C")
    #expect(board.read(3, 0, 6, 2) & 8 == 8)
    board.isa.setRoute(2, to: 11)
    #expect(!board.lines.levels[10] && board.lines.levels[11])
    board.write(3, 0, 4, 0x400, 2)
    #expect(!board.lines.levels[11], "INTx disable")
    board.write(3, 0, 4, 0, 2)
    let other = PCIDevice(name: "other", vendor: 1, device: 2, classCode: 0, interruptPin: 1)
    board.bus.attach(other, at: 7)
    other.setInterrupt(true)
    board.card.setInterrupt(false)
    #expect(board.lines.levels[11], "the other device still asserts it")
    other.setInterrupt(false)
    #expect(!board.lines.levels[11])
    board.card.setInterrupt(true)
    board.write(1, 0, 0x62, 0x80, 1)
    #expect(!board.lines.levels[11])
  }

  @Test func messageSignalledInterrupts() {
    board.isa.setRoute(2, to: 10)
    let capability = Int(board.read(3, 0, 0x34, 1))
    #expect(board.read(3, 0, capability, 1) == 5)
    #expect(board.read(3, 0, 6, 2) & 0x10 != 0)
    board.write(3, 0, capability + 4, 0xFEE0_1000)
    board.write(3, 0, capability + 12, 0x41, 2)
    board.write(3, 0, capability + 2, 1, 2)
    board.write(3, 0, 4, 4, 2)
    board.card.setInterrupt(true)
    #expect(board.messages.count == 1 && board.messages[0] == (0xFEE0_1000, 0x41))
    #expect(!board.lines.levels[10])
    board.card.setInterrupt(false)
    board.card.setInterrupt(true)
    #expect(board.messages.count == 2)
  }

  @Test func attributeMap() {
    var changed: [PCIHostBridge.Segment] = []
    board.host.onAttributesChange = { changed = $0 }
    board.write(0, 0, 0x59, 0x30, 1)
    #expect(changed == [.init(base: 0xF0000, size: 0x10000, readsRAM: true, writesRAM: true)])
    board.write(0, 0, 0x5A, 0x21, 1)
    #expect(changed == [
      .init(base: 0xC0000, size: 0x4000, readsRAM: true, writesRAM: false),
      .init(base: 0xC4000, size: 0x4000, readsRAM: false, writesRAM: true),
    ])
    board.write(0, 0, 0x5F, 0x30, 1)
    #expect(changed == [.init(base: 0xEC000, size: 0x4000, readsRAM: true, writesRAM: true)])
    let total = board.host.segments.reduce(0) { $0 + $1.size }
    #expect(total == 0x40000)
    board.host.reset()
    #expect(changed.count == 4 && changed.allSatisfy { !$0.readsRAM && !$0.writesRAM })
  }

  @Test func smramLock() {
    board.write(0, 0, 0x72, 0x4A, 1)
    #expect(board.read(0, 0, 0x72, 1) == 0x4A)
    board.write(0, 0, 0x72, 0x1A, 1)
    board.write(0, 0, 0x72, 0x4A, 1)
    #expect(board.read(0, 0, 0x72, 1) == 0x1A)
  }

  @Test func powerManagementPortsMove() {
    #expect(board.ports.read(0x604, size: 2) == 0xFFFF)
    board.write(1, 3, 0x40, 0x601)
    board.write(1, 3, 0x80, 1, 1)
    board.acpi.isACPIEnabled = true
    #expect(board.ports.read(0x604, size: 2) == 1)
    board.write(1, 3, 0x40, 0xB001)
    #expect(board.ports.read(0x604, size: 2) == 0xFFFF)
    #expect(board.ports.read(0xB004, size: 2) == 1)
    board.clock.now = 1_000_000_000
    #expect(board.ports.read(0xB008, size: 4) == 3_579_545)
  }

  @Test func resourcesWithoutFirmware() {
    board.isa.setRoute(2, to: 10)
    board.bus.assignResources(memoryBase: 0xE000_0000)
    #expect(board.ports.read(0xC005, size: 1) == 0xA5)
    #expect(board.memory.read(UInt64(board.read(3, 0, 0x14)) + 8, size: 1) == 0xB8)
    #expect(board.card.mappedAddress(2).map { $0 % 8192 } == 0)
    #expect(board.read(3, 0, 0x3C, 1) == 10)
    #expect(board.card.isBusMaster)
  }

  @Test func stateSurvives() throws {
    board.isa.setRoute(2, to: 11)
    board.bus.assignResources(memoryBase: 0xE000_0000)
    board.pm.enable(at: 0x600)
    board.card.setInterrupt(true)
    board.write(0, 0, 0x59, 0x30, 1)
    let other = Board()
    var segments = 0
    other.host.onAttributesChange = { segments = $0.count }
    for (old, new) in zip(board.bus.all, other.bus.all) { try transplant(old, to: new) }
    #expect(segments == 13)
    #expect(other.memory.read(0xE000_0008, size: 1) == board.memory.read(0xE000_0008, size: 1))
    #expect(other.ports.read(0x608, size: 4) == 0)
    other.lines.levels = board.lines.levels
    other.card.setInterrupt(false)
    #expect(!other.lines.levels[11])
    board.card.setInterrupt(false)
    for (old, new) in zip(board.bus.all, other.bus.all) { #expect(savedBytes(old) == savedBytes(new)) }
  }

  @Test func anyInputIsHarmless() throws {
    var dice = Dice(state: 17)
    for _ in 0..<5_000 {
      let size = 1 << Int(dice.next(below: 3))
      board.select(Int(dice.next(below: 4)), Int(dice.next(below: 4)), Int(dice.next(below: 256)))
      let offset = 0xCFC + UInt16(dice.next(below: 4))
      if dice.next(below: 3) == 0 {
        _ = board.ports.read(offset, size: size)
      } else {
        board.ports.write(offset, UInt32(truncatingIfNeeded: dice.next()), size: size)
      }
    }
    // Whatever it came to, it can be saved and restored.
    let other = Board()
    for (old, new) in zip(board.bus.all, other.bus.all) { try transplant(old, to: new) }
    #expect(board.ports.read(0xCF8, size: 4) & 0x7F00_0003 == 0, "reserved bits of the address stay clear")
  }
}
