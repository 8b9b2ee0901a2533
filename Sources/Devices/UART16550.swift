/// National Semiconductor 16550A UART: a PC serial port.
///
/// Datasheet: National PC16550D (June 1995). Ports: COM1 3F8h–3FFh IRQ 4, COM2 2F8h–2FFh IRQ 3.
///
/// By default the transmitter is infinitely fast: THRE and TEMT never leave 1, so that no guest polls for them. With
/// `exactTiming` a character takes its bits at the programmed rate. Received bytes arrive one character time
/// apart at 115200 baud or faster (exact: at the programmed rate) and wait outside while the FIFO is full.
///
/// Not modelled: parity, framing and overrun errors (they never occur), DMA modes, ring indicator input.

import Platform

public final class UART16550: Device, PortHandler {
  public let name: String
  public var irq: InterruptLine
  /// Takes every byte that leaves the transmitter.
  public var onTransmit: ((UInt8) -> Void)?

  private let clock: VirtualClock
  private let exactTiming: Bool
  private static let fifoSize = 16

  private var interruptEnable: UInt8 = 0
  private var fifoControl: UInt8 = 0
  private var lineControl: UInt8 = 0
  private var modemControl: UInt8 = 0
  private var scratch: UInt8 = 0
  private var divisor: UInt16 = 12
  /// Delta bits of the modem status register.
  private var modemDelta: UInt8 = 0
  /// Receiver FIFO (one byte deep when FIFOs are off).
  private var receiveFIFO: [UInt8] = []
  /// Bytes that came from outside and have not reached the FIFO.
  private var backlog: [UInt8] = []
  private var lastReceived: UInt8 = 0
  private var transmitFIFO: [UInt8] = []
  private var isShifting = false
  private var shiftRegister: UInt8 = 0
  private var breakReceived = false
  private var holdingEmptyPending = false
  private var timeoutPending = false
  private var irqLevel = false
  /// Earliest time at which the next byte can have been received.
  private var nextReceive: VirtualTime = 0
  private var receiveTimer: VirtualClock.Timer!
  private var timeoutTimer: VirtualClock.Timer!
  private var transmitTimer: VirtualClock.Timer!

  /// - Parameters:
  ///   - name: section name in saved states, such as "com1".
  ///   - exactTiming: makes transmitted characters take real time.
  public init(name: String, clock: VirtualClock, irq: InterruptLine = .unconnected, exactTiming: Bool = false) {
    self.name = name
    self.clock = clock
    self.irq = irq
    self.exactTiming = exactTiming
    receiveTimer = clock.makeTimer { [unowned self] _ in fillFIFO() }
    timeoutTimer = clock.makeTimer { [unowned self] _ in receiveTimeout() }
    transmitTimer = clock.makeTimer { [unowned self] _ in shiftedOut() }
  }

  // MARK: Outside

  /// Bytes from the other end of the line, in order. Any number may wait.
  public func receive(_ bytes: some Sequence<UInt8>) {
    backlog.append(contentsOf: bytes)
    fillFIFO()
  }

  /// Number of received bytes that the guest has not read yet.
  public var pendingInput: Int { backlog.count + receiveFIFO.count }

  // MARK: Timing

  /// Duration of a character: start, data, parity and stop bits.
  private var characterTime: VirtualTime {
    let data = UInt64(5 + (lineControl & 3))
    let bits = 1 + data + (lineControl.bit(3) ? 1 : 0) + (lineControl.bit(2) ? 2 : 1)
    let count = divisor == 0 ? 1 : UInt64(divisor)
    return bits * (exactTiming ? count : 1) * 1_000_000_000 / 115_200
  }

  private var fifosEnabled: Bool { fifoControl.bit(0) }
  private var receiveDepth: Int { fifosEnabled ? Self.fifoSize : 1 }
  private var triggerLevel: Int { fifosEnabled ? [1, 4, 8, 14][Int(fifoControl &>> 6)] : 1 }
  private var isLooping: Bool { modemControl.bit(4) }

  // MARK: Receiver

  private func fillFIFO() {
    var taken = 0
    while taken < backlog.count, receiveFIFO.count < receiveDepth, !isLooping, clock.now >= nextReceive {
      accept(backlog[taken])
      taken += 1
      nextReceive = clock.now &+ characterTime
    }
    if taken > 0 { backlog.removeFirst(taken) }
    if !backlog.isEmpty, receiveFIFO.count < receiveDepth, !isLooping {
      clock.arm(receiveTimer, at: nextReceive)
    }
    update()
  }

  private func accept(_ byte: UInt8) {
    receiveFIFO.append(byte)
    restartTimeout()
  }

  private func restartTimeout() {
    timeoutPending = false
    if fifosEnabled, !receiveFIFO.isEmpty {
      clock.arm(timeoutTimer, at: clock.now &+ 4 &* characterTime)
    } else {
      clock.cancel(timeoutTimer)
    }
  }

  private func receiveTimeout() {
    timeoutPending = fifosEnabled && !receiveFIFO.isEmpty
    update()
  }

  private func readReceiver() -> UInt8 {
    if !receiveFIFO.isEmpty {
      lastReceived = receiveFIFO.removeFirst()
      breakReceived = false
    }
    restartTimeout()
    fillFIFO()
    return lastReceived
  }

  // MARK: Transmitter

  private func transmit(_ byte: UInt8) {
    holdingEmptyPending = false
    if exactTiming {
      if transmitFIFO.count < (fifosEnabled ? Self.fifoSize : 1) { transmitFIFO.append(byte) }
      startShifting()
    } else {
      emit(byte)
      // The interrupt line drops and rises again, as if the character had gone out at once.
      update()
      holdingEmptyPending = true
    }
    update()
  }

  private func startShifting() {
    guard !isShifting, !transmitFIFO.isEmpty else { return }
    shiftRegister = transmitFIFO.removeFirst()
    isShifting = true
    if transmitFIFO.isEmpty { holdingEmptyPending = true }
    clock.arm(transmitTimer, at: clock.now &+ characterTime)
  }

  private func shiftedOut() {
    isShifting = false
    emit(shiftRegister)
    startShifting()
    update()
  }

  private func emit(_ byte: UInt8) {
    if isLooping {
      if receiveFIFO.count < receiveDepth { accept(byte & dataMask) }
    } else {
      onTransmit?(byte & dataMask)
    }
  }

  private var dataMask: UInt8 { 0xFF &>> (3 - (lineControl & 3)) }

  // MARK: Status

  private var lineStatus: UInt8 {
    var status: UInt8 = receiveFIFO.isEmpty ? 0 : 0x01
    if breakReceived { status |= 0x10 }
    if transmitFIFO.isEmpty { status |= 0x20 }
    if transmitFIFO.isEmpty, !isShifting { status |= 0x40 }
    return status
  }

  /// CTS, DSR, RI, DCD. The other end is always there and ready; in loopback the outputs come back.
  private var modemLines: UInt8 {
    if !isLooping { return 0xB0 }
    return (modemControl.bit(1) ? 0x10 : 0) | (modemControl.bit(0) ? 0x20 : 0)
      | (modemControl.bit(2) ? 0x40 : 0) | (modemControl.bit(3) ? 0x80 : 0)
  }

  /// IIR bits 3–0 in the order of priority (datasheet table "Interrupt Control Functions").
  private var interruptIdentity: UInt8 {
    if interruptEnable.bit(2), breakReceived { return 0x06 }
    if interruptEnable.bit(0) {
      if receiveFIFO.count >= triggerLevel { return 0x04 }
      if timeoutPending { return 0x0C }
    }
    if interruptEnable.bit(1), holdingEmptyPending { return 0x02 }
    if interruptEnable.bit(3), modemDelta != 0 { return 0x00 }
    return 0x01
  }

  private func update() {
    // OUT2 drives the buffer between INTRPT and the bus; loopback disconnects it.
    let level = interruptIdentity != 0x01 && modemControl.bit(3) && !isLooping
    if level != irqLevel {
      irqLevel = level
      irq.set(level)
    }
  }

  // MARK: Ports

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 {
    let usesDivisor = lineControl.bit(7)
    switch offset & 7 {
    case 0: return UInt32(usesDivisor ? UInt8(truncatingIfNeeded: divisor) : readReceiver())
    case 1: return UInt32(usesDivisor ? UInt8(truncatingIfNeeded: divisor &>> 8) : interruptEnable)
    case 2:
      let identity = interruptIdentity
      if identity == 0x02 {
        holdingEmptyPending = false
        update()
      }
      return UInt32(identity | (fifosEnabled ? 0xC0 : 0))
    case 3: return UInt32(lineControl)
    case 4: return UInt32(modemControl)
    case 5:
      let status = lineStatus
      if breakReceived {
        breakReceived = false
        update()
      }
      return UInt32(status)
    case 6:
      let status = modemLines | modemDelta
      modemDelta = 0
      update()
      return UInt32(status)
    default: return UInt32(scratch)
    }
  }

  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    let usesDivisor = lineControl.bit(7)
    switch offset & 7 {
    case 0:
      if usesDivisor { divisor = divisor & 0xFF00 | UInt16(byte) } else { transmit(byte) }
    case 1:
      if usesDivisor {
        divisor = divisor & 0x00FF | UInt16(byte) &<< 8
        return
      }
      // Enabling the interrupt while the holding register is empty raises it.
      if byte.bit(1), !interruptEnable.bit(1), transmitFIFO.isEmpty { holdingEmptyPending = true }
      interruptEnable = byte & 0x0F
      update()
    case 2: writeFIFOControl(byte)
    case 3: writeLineControl(byte)
    case 4: writeModemControl(byte)
    case 7: scratch = byte
    default: break
    }
  }

  private func writeFIFOControl(_ byte: UInt8) {
    let toggles = byte.bit(0) != fifosEnabled
    if toggles || byte.bit(0) && byte.bit(1) {
      receiveFIFO.removeAll()
      restartTimeout()
    }
    if toggles || byte.bit(0) && byte.bit(2) { transmitFIFO.removeAll() }
    fifoControl = byte.bit(0) ? byte & 0xC9 : 0
    fillFIFO()
  }

  private func writeLineControl(_ byte: UInt8) {
    // A break in loopback comes back as a break character.
    if byte.bit(6), !lineControl.bit(6), isLooping {
      breakReceived = true
      if receiveFIFO.count < receiveDepth { accept(0) }
    }
    lineControl = byte
    update()
  }

  private func writeModemControl(_ byte: UInt8) {
    let before = modemLines
    modemControl = byte & 0x1F
    let after = modemLines
    let changed = before ^ after
    // RI sets its delta at its trailing edge only.
    modemDelta |= (changed &>> 4) & 0x0B | (changed.bit(6) && !after.bit(6) ? 0x04 : 0)
    fillFIFO()
  }

  // MARK: Device

  public func reset() {
    interruptEnable = 0
    fifoControl = 0
    lineControl = 0
    modemControl = 0
    divisor = 12
    modemDelta = 0
    receiveFIFO = []
    transmitFIFO = []
    isShifting = false
    breakReceived = false
    holdingEmptyPending = false
    timeoutPending = false
    clock.cancel(timeoutTimer)
    clock.cancel(transmitTimer)
    fillFIFO()
  }

  public func save(to writer: inout StateWriter) {
    for byte in [interruptEnable, fifoControl, lineControl, modemControl, scratch, modemDelta, lastReceived,
                 shiftRegister] { writer.put(byte) }
    writer.put(divisor)
    for bytes in [receiveFIFO, backlog, transmitFIFO] { writer.put(bytes) }
    for flag in [isShifting, breakReceived, holdingEmptyPending, timeoutPending, irqLevel] { writer.put(flag) }
    writer.put(nextReceive)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    interruptEnable = try reader.get(UInt8.self)
    fifoControl = try reader.get(UInt8.self)
    lineControl = try reader.get(UInt8.self)
    modemControl = try reader.get(UInt8.self)
    scratch = try reader.get(UInt8.self)
    modemDelta = try reader.get(UInt8.self)
    lastReceived = try reader.get(UInt8.self)
    shiftRegister = try reader.get(UInt8.self)
    divisor = try reader.get(UInt16.self)
    receiveFIFO = try reader.getBytes()
    backlog = try reader.getBytes()
    transmitFIFO = try reader.getBytes()
    isShifting = try reader.getBool()
    breakReceived = try reader.getBool()
    holdingEmptyPending = try reader.getBool()
    timeoutPending = try reader.getBool()
    irqLevel = try reader.getBool()
    nextReceive = try reader.get(UInt64.self)
  }
}
