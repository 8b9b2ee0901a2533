/// Intel 8259A Programmable Interrupt Controller, the cascaded pair of the PC/AT, with the edge/level
/// control registers of the ISA/PCI bridge.
///
/// Datasheet: Intel 8259A (order 231468-003); ELCR: Intel 82371SB (PIIX3) §2.5.2.
/// Ports: master 20h–21h, slave A0h–A1h, ELCR 4D0h–4D1h. Inputs 0–15; input 2 is the cascade.
///
/// A request in edge mode is the latched edge *and* the level, as in the chip: a line that falls before it is
/// acknowledged takes its request back, and an acknowledge that finds nothing yields IRQ 7 (or 15).
///
/// Not modelled: MCS-80/85 mode (ICW4.µPM = 0 behaves as 8086 mode), buffered mode pins.

import Platform

public final class PIC8259: Device, InterruptSink {
  public let name = "pic8259"

  /// The INT pin of the master.
  public var output: InterruptLine

  private var chips: [Chip]
  private var outputLevel = false

  public init(output: InterruptLine = .unconnected) {
    self.output = output
    chips = [Chip(isMaster: true), Chip(isMaster: false)]
  }

  // MARK: Ports

  /// Ports 20h–21h.
  public private(set) lazy var master = commandWindow(0)
  /// Ports A0h–A1h.
  public private(set) lazy var slave = commandWindow(1)
  /// Ports 4D0h–4D1h.
  public private(set) lazy var edgeLevelControl = PortWindow(
    read: { [unowned self] offset, _ in UInt32(chips[Int(offset & 1)].levelMask) },
    write: { [unowned self] offset, value, _ in
      // IRQ 0, 1, 2, 8 and 13 are edge-triggered for ever (PIIX3 §2.5.2).
      let fixed: UInt8 = offset & 1 == 0 ? 0x07 : 0x21
      chips[Int(offset & 1)].levelMask = UInt8(truncatingIfNeeded: value) & ~fixed
      chips[Int(offset & 1)].refresh()
      update()
    })

  private func commandWindow(_ n: Int) -> PortWindow {
    PortWindow(
      read: { [unowned self] offset, _ in
        let value = offset & 1 == 0 ? chips[n].readCommand() : chips[n].readMask()
        update()
        return UInt32(value)
      },
      write: { [unowned self] offset, value, _ in
        let byte = UInt8(truncatingIfNeeded: value)
        if offset & 1 == 0 { chips[n].writeCommand(byte) } else { chips[n].writeData(byte) }
        update()
      })
  }

  // MARK: Pins

  public func setInput(_ input: Int, level: Bool) {
    guard input >= 0, input < 16, input != 2 else { return }
    chips[input &>> 3].setInput(input & 7, level: level)
    update()
  }

  /// The two INTA cycles of the processor: moves the request into service and returns its vector.
  public func acknowledge() -> UInt8 {
    guard let line = chips[0].highestRequest else { return chips[0].vectorBase | 7 }
    chips[0].accept(line)
    defer { update() }
    guard line == 2, chips[0].hasSlave(at: 2) else { return chips[0].vectorBase | UInt8(line) }
    // The slave drops INT when it is acknowledged; a further request of its makes a new edge.
    chips[0].setInput(2, level: false)
    guard let inner = chips[1].highestRequest else { return chips[1].vectorBase | 7 }
    chips[1].accept(inner)
    return chips[1].vectorBase | UInt8(inner)
  }

  private func update() {
    chips[0].setInput(2, level: chips[1].highestRequest != nil)
    let level = chips[0].highestRequest != nil
    if level != outputLevel {
      outputLevel = level
      output.set(level)
    }
  }

  // MARK: Inspection

  /// Request, in-service and mask registers of both chips, master in the low byte.
  public var registers: (irr: UInt16, isr: UInt16, imr: UInt16) {
    func pair(_ field: KeyPath<Chip, UInt8>) -> UInt16 {
      UInt16(chips[0][keyPath: field]) | UInt16(chips[1][keyPath: field]) &<< 8
    }
    return (pair(\.request), pair(\.service), pair(\.mask))
  }

  // MARK: Device

  public func reset() {
    // The pins keep their levels over a reset; only the chips forget.
    for n in 0..<2 {
      let lines = chips[n].lines
      chips[n] = Chip(isMaster: n == 0)
      chips[n].lines = n == 0 ? lines & ~4 : lines
    }
    update()
  }

  public func save(to writer: inout StateWriter) {
    for chip in chips { chip.save(to: &writer) }
    writer.put(outputLevel)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    for n in 0..<2 { try chips[n].restore(from: &reader) }
    outputLevel = try reader.getBool()
  }

  /// One 8259A.
  struct Chip {
    let isMaster: Bool
    /// IRR, ISR, IMR.
    var request: UInt8 = 0
    var service: UInt8 = 0
    var mask: UInt8 = 0
    /// Levels of the pins.
    var lines: UInt8 = 0
    /// ELCR byte.
    var levelMask: UInt8 = 0
    /// ICW2, low three bits zero.
    var vectorBase: UInt8 = 0
    private var slaves: UInt8 = 0
    /// Line with the lowest priority; 7 in fully nested mode.
    private var lowest: UInt8 = 7
    /// 0 when initialised, otherwise the number of the ICW that is expected.
    private var expectedWord: UInt8 = 0
    private var needsWord4 = false
    private var isSingle = false
    private var isLevelTriggered = false
    private var autoEOI = false
    private var rotateOnAutoEOI = false
    private var specialMask = false
    private var specialFullyNested = false
    private var readsService = false
    private var polls = false

    init(isMaster: Bool) { self.isMaster = isMaster }

    private func isLevel(_ line: Int) -> Bool { isLevelTriggered || levelMask.bit(line) }

    func hasSlave(at line: Int) -> Bool { !isSingle && slaves.bit(line) }

    mutating func setInput(_ line: Int, level: Bool) {
      let old = lines.bit(line)
      lines = lines.settingBit(line, level)
      if !level {
        request = request.settingBit(line, false)
      } else if isLevel(line) || !old {
        request = request.settingBit(line, true)
      }
    }

    /// After a change of the trigger mode: level inputs show their level at once.
    mutating func refresh() {
      for line in 0..<8 where isLevel(line) { request = request.settingBit(line, lines.bit(line)) }
    }

    /// The unmasked request that beats everything in service, or nil.
    var highestRequest: Int? {
      let candidates = request & ~mask
      if candidates == 0 { return nil }
      for k in 1...8 {
        let line = Int((lowest &+ UInt8(k)) & 7)
        if candidates.bit(line) {
          // A slave in service may interrupt again in special fully nested mode.
          if specialFullyNested, isMaster, hasSlave(at: line) { return line }
          if !service.bit(line) { return line }
        }
        if service.bit(line), !(specialMask && mask.bit(line)) { return nil }
      }
      return nil
    }

    mutating func accept(_ line: Int) {
      if !isLevel(line) { request = request.settingBit(line, false) }
      if autoEOI {
        if rotateOnAutoEOI { lowest = UInt8(line) }
      } else {
        service = service.settingBit(line, true)
      }
    }

    private func highestService() -> Int? {
      for k in 1...8 {
        let line = Int((lowest &+ UInt8(k)) & 7)
        // In special mask mode a non-specific EOI leaves masked lines in service.
        if service.bit(line), !(specialMask && mask.bit(line)) { return line }
      }
      return nil
    }

    mutating func readCommand() -> UInt8 {
      if polls { return poll() }
      return readsService ? service : request
    }

    mutating func readMask() -> UInt8 { polls ? poll() : mask }

    private mutating func poll() -> UInt8 {
      polls = false
      guard let line = highestRequest else { return 0 }
      accept(line)
      return 0x80 | UInt8(line)
    }

    mutating func writeCommand(_ value: UInt8) {
      if value.bit(4) { return initialise(value) }
      if value.bit(3) { return operationWord3(value) }
      operationWord2(value)
    }

    private mutating func initialise(_ value: UInt8) {
      request = 0
      service = 0
      mask = 0
      lowest = 7
      autoEOI = false
      rotateOnAutoEOI = false
      specialMask = false
      specialFullyNested = false
      readsService = false
      polls = false
      needsWord4 = value.bit(0)
      isSingle = value.bit(1)
      isLevelTriggered = value.bit(3)
      slaves = 0
      expectedWord = 2
      refresh()
    }

    private mutating func operationWord2(_ value: UInt8) {
      let line = Int(value & 7)
      switch value &>> 5 {
      case 0b000: rotateOnAutoEOI = false
      case 0b100: rotateOnAutoEOI = true
      case 0b001: if let n = highestService() { service = service.settingBit(n, false) }
      case 0b101:
        if let n = highestService() {
          service = service.settingBit(n, false)
          lowest = UInt8(n)
        }
      case 0b011: service = service.settingBit(line, false)
      case 0b111:
        service = service.settingBit(line, false)
        lowest = UInt8(line)
      case 0b110: lowest = UInt8(line)
      default: break
      }
    }

    private mutating func operationWord3(_ value: UInt8) {
      if value.bit(6) { specialMask = value.bit(5) }
      if value.bit(2) { polls = true; return }
      if value.bit(1) { readsService = value.bit(0) }
    }

    mutating func writeData(_ value: UInt8) {
      switch expectedWord {
      case 2:
        vectorBase = value & 0xF8
        expectedWord = isSingle ? (needsWord4 ? 4 : 0) : 3
      case 3:
        slaves = isMaster ? value : 0
        expectedWord = needsWord4 ? 4 : 0
      case 4:
        specialFullyNested = value.bit(4)
        autoEOI = value.bit(1)
        expectedWord = 0
      default:
        mask = value
      }
    }

    func save(to writer: inout StateWriter) {
      for byte in [request, service, mask, lines, levelMask, vectorBase, slaves, lowest, expectedWord] {
        writer.put(byte)
      }
      for flag in [needsWord4, isSingle, isLevelTriggered, autoEOI, rotateOnAutoEOI, specialMask,
                   specialFullyNested, readsService, polls] {
        writer.put(flag)
      }
    }

    mutating func restore(from reader: inout StateReader) throws(StateError) {
      request = try reader.get(UInt8.self)
      service = try reader.get(UInt8.self)
      mask = try reader.get(UInt8.self)
      lines = try reader.get(UInt8.self)
      levelMask = try reader.get(UInt8.self)
      vectorBase = try reader.get(UInt8.self)
      slaves = try reader.get(UInt8.self)
      lowest = try reader.get(UInt8.self) & 7
      expectedWord = try reader.get(UInt8.self)
      needsWord4 = try reader.getBool()
      isSingle = try reader.getBool()
      isLevelTriggered = try reader.getBool()
      autoEOI = try reader.getBool()
      rotateOnAutoEOI = try reader.getBool()
      specialMask = try reader.getBool()
      specialFullyNested = try reader.getBool()
      readsService = try reader.getBool()
      polls = try reader.getBool()
    }
  }
}
