/// PCI bus 0: who sits where, and how interrupt pins reach the board.
///
/// Reference: PCI Local Bus Specification 3.0 §2.2.6; Intel 82371SB (PIIX3) §2.2.9 (PIRQ routing). INTx# of device d
/// drives PIRQ (d + x − 1) mod 4, with INTA# as x = 0; a DSDT's _PRT must say the same.
///
/// Not modelled: further buses, type 1 configuration cycles.

import Platform

public final class PCIBus {
  let ports: PortSpace
  let memory: PhysicalMemory
  /// Where PIRQ A–D (0…3) go: an ISA interrupt line of the board each, or nil. The ISA bridge keeps it.
  var routes: [Int?] = [nil, nil, nil, nil]
  private var devices = [PCIDevice?](repeating: nil, count: 256)
  /// Devices that assert each PIRQ: one bit a device and pin.
  private var asserted = [Set<Int>](repeating: [], count: 4)
  private let lines: any InterruptSink
  private var lineLevels: UInt16 = 0

  /// Called after memory appeared or vanished in the physical address space: cached translations are stale.
  public var onMemoryMapChange: (() -> Void)?
  /// Delivers a message-signalled interrupt, usually `APICBus.deliverMSI`.
  public var onMSI: ((_ address: UInt64, _ data: UInt32) -> Void)?

  /// - Parameter lines: sink of the board's ISA interrupt lines 0…15.
  public init(ports: PortSpace, memory: PhysicalMemory, lines: any InterruptSink) {
    self.ports = ports
    self.memory = memory
    self.lines = lines
  }

  /// Puts a device at a device number (0…31) and function (0…7). The configuration space as it is then is its power-on state.
  public func attach(_ device: PCIDevice, at number: Int, function: Int = 0) {
    precondition((0..<32).contains(number) && (0..<8).contains(function), "PCI has 32 devices of 8 functions")
    let slot = number * 8 + function
    precondition(devices[slot] == nil, "two PCI devices at \(number).\(function)")
    devices[slot] = device
    device.bus = self
    device.deviceFunction = slot
    device.attached()
  }

  public func device(at number: Int, function: Int = 0) -> PCIDevice? {
    (0..<32).contains(number) && (0..<8).contains(function) ? devices[number * 8 + function] : nil
  }

  /// All devices in the order of their addresses.
  public var all: [PCIDevice] { devices.compactMap { $0 } }

  // MARK: Interrupts

  func signalMSI(address: UInt64, data: UInt32) { onMSI?(address, data) }

  func setPin(_ deviceFunction: Int, pin: Int, level: Bool) {
    let pirq = (deviceFunction / 8 + pin - 2) & 3
    if level {
      asserted[pirq].insert(deviceFunction * 4 + pin)
    } else {
      asserted[pirq].remove(deviceFunction * 4 + pin)
    }
    updateLines()
  }

  func updateLines() {
    var levels: UInt16 = 0
    for pirq in 0..<4 where !asserted[pirq].isEmpty {
      if let line = routes[pirq] { levels |= 1 << UInt16(line & 15) }
    }
    let changed = levels ^ lineLevels
    lineLevels = levels
    for line in 0..<16 where changed.bit(line) { lines.setInput(line, level: levels.bit(line)) }
  }

  func save(to writer: inout StateWriter) {
    for set in asserted {
      writer.put(UInt32(set.count))
      for member in set.sorted() { writer.put(UInt32(member)) }
    }
    writer.put(lineLevels)
  }

  func restore(from reader: inout StateReader) throws(StateError) {
    for n in 0..<4 {
      var set: Set<Int> = []
      let count = try reader.get(UInt32.self)
      guard count <= 1024 else { throw StateError("the saved state of the PCI bus is damaged") }
      for _ in 0..<count { set.insert(Int(try reader.get(UInt32.self))) }
      asserted[n] = set
    }
    lineLevels = try reader.get(UInt16.self)
  }

  // MARK: Boot without firmware

  /// Does what PC firmware does to the bus: gives every base address a place, sets interrupt lines, enables decoding.
  /// - Parameters:
  ///   - memoryBase: first address of the PCI window below 4 GiB.
  ///   - portBase: first I/O port for base addresses.
  public func assignResources(memoryBase: UInt64, portBase: UInt64 = 0xC000) {
    var nextMemory = memoryBase
    var nextPort = portBase
    for device in all {
      var command: UInt16 = device.command
      for aperture in device.declaredApertures {
        let alignment = max(aperture.size, aperture.isPorts ? 4 : pageSize)
        let base = ((aperture.isPorts ? nextPort : nextMemory) + alignment - 1) & ~(alignment - 1)
        let offset = 0x10 + 4 * aperture.index
        device.writeConfiguration(offset, UInt32(truncatingIfNeeded: base), size: 4)
        if aperture.is64Bit { device.writeConfiguration(offset + 4, UInt32(base >> 32), size: 4) }
        if aperture.isPorts { nextPort = base + alignment } else { nextMemory = base + alignment }
        command |= aperture.isPorts ? 1 : 2
      }
      let pin = Int(device.configuration[0x3D])
      if pin != 0, device.configuration[0x3C] == 0, let line = routes[(device.deviceFunction / 8 + pin - 2) & 3] {
        device.writeConfiguration(0x3C, UInt32(line), size: 1)
      }
      device.writeConfiguration(0x04, UInt32(command | 4), size: 2)
    }
  }
}
