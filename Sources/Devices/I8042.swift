/// Intel 8042 keyboard controller of the PS/2, with a keyboard and a mouse.
///
/// Reference: IBM PS/2 Hardware Interface Technical Reference, "Keyboard/auxiliary device controller". Ports: 60h, 64h
/// (one port each). IRQ 1 (keyboard), IRQ 12 (mouse).
///
/// Answers to commands are there at once, so nobody waits for them; keys and motion come half a millisecond
/// after the last byte was read, as programs that read port 60h twice in one interrupt expect. A guest that gives commands and
/// reads nothing loses answers, as it does on hardware, whose controller has one output buffer and whose keyboard has 16 bytes.
///
/// Not modelled: the security commands (A4h–A6h answer "no password"), timeouts and parity errors, the input port's straps.

import Platform

public final class I8042: Device {
  public let name = "i8042"
  public var keyboardIRQ: InterruptLine
  public var mouseIRQ: InterruptLine
  /// The guest pulsed the reset output.
  public var onReset: ((ResetKind) -> Void)?
  /// The guest changed the keyboard's lamps: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
  public var onLEDs: ((UInt8) -> Void)?

  private enum Status {
    static let outputFull: UInt8 = 1, system: UInt8 = 4, command: UInt8 = 8, unlocked: UInt8 = 0x10, auxiliary: UInt8 = 0x20
  }
  private enum Mode {
    static let keyboardInterrupt: UInt8 = 1, mouseInterrupt: UInt8 = 2, system: UInt8 = 4
    static let keyboardDisabled: UInt8 = 0x10, mouseDisabled: UInt8 = 0x20, translate: UInt8 = 0x40
  }
  private enum Source: UInt8 { case controller = 0, keyboard = 1, mouse = 2 }

  private static let eventGap: VirtualTime = 500_000
  private static let answerCapacity = 16

  private let clock: VirtualClock
  private let gate: A20Gate
  private var keyboard = PS2Keyboard()
  private var mouse = PS2Mouse()
  /// Controller RAM; byte 0 is the command byte.
  private var memory = [UInt8](repeating: 0, count: 32)
  private var output: UInt8 = 0
  private var isOutputFull = false
  private var source: Source = .controller
  private var lastWriteWasCommand = false
  /// Controller command that waits for its data byte, or 0.
  private var expectedData: UInt8 = 0
  /// Answers of the controller itself: byte and source.
  private var answers: [UInt8] = []
  private var answerSources: [UInt8] = []
  private var outputPort: UInt8 = 0x01
  /// The last byte of the keyboard was F0h, being translated.
  private var pendingBreak = false
  private var nextEvent: VirtualTime = 0
  private var keyboardLevel = false
  private var mouseLevel = false
  private var eventTimer: VirtualClock.Timer!
  private var repeatTimer: VirtualClock.Timer!

  public init(
    clock: VirtualClock, gate: A20Gate, keyboardIRQ: InterruptLine = .unconnected, mouseIRQ: InterruptLine = .unconnected
  ) {
    self.clock = clock
    self.gate = gate
    self.keyboardIRQ = keyboardIRQ
    self.mouseIRQ = mouseIRQ
    memory[0] = Mode.keyboardInterrupt | Mode.mouseInterrupt
    eventTimer = clock.makeTimer { [unowned self] _ in fill() }
    repeatTimer = clock.makeTimer { [unowned self] _ in repeatKey() }
  }

  /// Leaves the controller as PC firmware does: self-test passed, both ports enabled, translation on.
  public func configureAsFirmware() {
    memory[0] = Mode.keyboardInterrupt | Mode.mouseInterrupt | Mode.system | Mode.translate
  }

  // MARK: The user

  /// Presses or releases a key. Repeated presses of a held key are ignored: the keyboard repeats by itself.
  public func setKey(_ key: Key, down: Bool) {
    let before = keyboard.repeating
    keyboard.setKey(key, down: down)
    if keyboard.repeating == 0 {
      clock.cancel(repeatTimer)
    } else if keyboard.repeating != before {
      clock.arm(repeatTimer, at: clock.now &+ keyboard.repeatDelay)
    }
    fill()
  }

  /// Moves the mouse by counts: right, up, and wheel away from the user are positive.
  public func moveMouse(dx: Int32, dy: Int32, wheel: Int32 = 0) {
    mouse.move(dx: dx, dy: dy, wheel: wheel)
    fill()
  }

  /// Buttons that are down: bit 0 left, 1 right, 2 middle, 3 and 4 the side buttons.
  public func setMouseButtons(_ buttons: UInt8) {
    mouse.setButtons(buttons)
    fill()
  }

  /// Lamps: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
  public var leds: UInt8 { keyboard.leds }

  private func repeatKey() {
    guard keyboard.repeating != 0 else { return }
    keyboard.repeatKey()
    clock.arm(repeatTimer, at: clock.now &+ keyboard.repeatInterval)
    fill()
  }

  // MARK: Output buffer

  private var mode: UInt8 { memory[0] }

  private func load(_ byte: UInt8, from source: Source) {
    output = byte
    isOutputFull = true
    self.source = source
    updateLines()
  }

  /// Moves the next byte into the empty output buffer.
  private func fill() {
    if isOutputFull { return }
    if !answers.isEmpty {
      let from = Source(rawValue: answerSources.removeFirst()) ?? .controller
      return load(answers.removeFirst(), from: from)
    }
    let takesKeyboard = mode & Mode.keyboardDisabled == 0
    let takesMouse = mode & Mode.mouseDisabled == 0
    if takesKeyboard, loadKeyboard({ keyboard.takeResponse() }) { return }
    if takesMouse, let byte = mouse.takeResponse() { return load(byte, from: .mouse) }
    let hasEvent = takesKeyboard && !keyboard.events.isEmpty || takesMouse && !mouse.events.isEmpty
    if !hasEvent { return }
    if clock.now < nextEvent {
      clock.arm(eventTimer, at: nextEvent)
      return
    }
    if takesKeyboard, loadKeyboard({ keyboard.takeEvent() }) { return }
    if takesMouse, let byte = mouse.takeEvent() { load(byte, from: .mouse) }
  }

  /// Takes bytes of the keyboard until one comes out of the translation. Returns false when there was none.
  private func loadKeyboard(_ take: () -> UInt8?) -> Bool {
    while let byte = take() {
      if mode & Mode.translate == 0 {
        load(byte, from: .keyboard)
        return true
      }
      if byte == 0xF0 {
        pendingBreak = true
        continue
      }
      load(Key.translate(byte) | (pendingBreak ? 0x80 : 0), from: .keyboard)
      pendingBreak = false
      return true
    }
    return false
  }

  private func updateLines() {
    let key = isOutputFull && source != .mouse && mode & Mode.keyboardInterrupt != 0
    let aux = isOutputFull && source == .mouse && mode & Mode.mouseInterrupt != 0
    if key != keyboardLevel {
      keyboardLevel = key
      keyboardIRQ.set(key)
    }
    if aux != mouseLevel {
      mouseLevel = aux
      mouseIRQ.set(aux)
    }
  }

  private func answer(_ byte: UInt8, from source: Source = .controller) {
    guard answers.count < Self.answerCapacity else { return }
    answers.append(byte)
    answerSources.append(source.rawValue)
  }

  // MARK: Ports

  /// Port 60h.
  public private(set) lazy var data = PortWindow(
    read: { [unowned self] _, _ in
      let byte = output
      if isOutputFull {
        isOutputFull = false
        nextEvent = clock.now &+ Self.eventGap
        updateLines()
        fill()
      }
      return UInt32(byte)
    },
    write: { [unowned self] _, value, _ in
      lastWriteWasCommand = false
      writeData(UInt8(truncatingIfNeeded: value))
      fill()
    })

  /// Port 64h.
  public private(set) lazy var command = PortWindow(
    read: { [unowned self] _, _ in
      UInt32(
        (isOutputFull ? Status.outputFull : 0) | (mode & Mode.system != 0 ? Status.system : 0)
          | (lastWriteWasCommand ? Status.command : 0) | Status.unlocked
          | (isOutputFull && source == .mouse ? Status.auxiliary : 0))
    },
    write: { [unowned self] _, value, _ in
      lastWriteWasCommand = true
      execute(UInt8(truncatingIfNeeded: value))
      fill()
    })

  private func writeData(_ byte: UInt8) {
    let command = expectedData
    expectedData = 0
    switch command {
    case 0x60...0x7F:
      memory[Int(command & 0x1F)] = byte
      updateLines()
    case 0xD1: writeOutputPort(byte)
    case 0xD2: answer(byte, from: .keyboard)
    case 0xD3: answer(byte, from: .mouse)
    case 0xD4:
      memory[0] &= ~Mode.mouseDisabled
      mouse.receive(byte)
    default:
      // Writing to the keyboard enables its clock.
      memory[0] &= ~Mode.keyboardDisabled
      let before = keyboard.leds
      keyboard.receive(byte)
      if keyboard.repeating == 0 { clock.cancel(repeatTimer) }
      if keyboard.leds != before { onLEDs?(keyboard.leds) }
    }
  }

  private func execute(_ command: UInt8) {
    expectedData = 0
    switch command {
    case 0x20...0x3F: answer(memory[Int(command & 0x1F)])
    case 0x60...0x7F, 0xD1, 0xD2, 0xD3, 0xD4: expectedData = command
    case 0xA4: answer(0xF1)
    case 0xA7: memory[0] |= Mode.mouseDisabled
    case 0xA8: memory[0] &= ~Mode.mouseDisabled
    case 0xA9, 0xAB: answer(0x00)
    case 0xAA:
      memory[0] |= Mode.system
      answers.removeAll()
      answerSources.removeAll()
      isOutputFull = false
      updateLines()
      answer(0x55)
    case 0xAD: memory[0] |= Mode.keyboardDisabled
    case 0xAE: memory[0] &= ~Mode.keyboardDisabled
    case 0xC0: answer(0x80)
    case 0xD0:
      answer(
        outputPort & 1 | (gate.isOpen ? 2 : 0) | (keyboardLevel ? 0x10 : 0) | (mouseLevel ? 0x20 : 0) | 0xC0)
    case 0xDD: gate.set(false)
    case 0xDF: gate.set(true)
    case 0xE0: answer(0x00)
    case 0xF0...0xFF: if !command.bit(0) { onReset?(.processor) }
    default: break
    }
  }

  private func writeOutputPort(_ byte: UInt8) {
    outputPort = byte
    gate.set(byte.bit(1))
    if !byte.bit(0) { onReset?(.processor) }
  }

  // MARK: Device

  public func reset() {
    keyboard = PS2Keyboard()
    mouse = PS2Mouse()
    for n in memory.indices { memory[n] = 0 }
    memory[0] = Mode.keyboardInterrupt | Mode.mouseInterrupt
    output = 0
    isOutputFull = false
    source = .controller
    lastWriteWasCommand = false
    expectedData = 0
    answers = []
    answerSources = []
    outputPort = 0x01
    pendingBreak = false
    nextEvent = 0
    clock.cancel(eventTimer)
    clock.cancel(repeatTimer)
    updateLines()
  }

  public func save(to writer: inout StateWriter) {
    keyboard.save(to: &writer)
    mouse.save(to: &writer)
    for bytes in [memory, answers, answerSources] { writer.put(bytes) }
    for byte in [output, source.rawValue, expectedData, outputPort] { writer.put(byte) }
    for flag in [isOutputFull, lastWriteWasCommand, pendingBreak, keyboardLevel, mouseLevel] { writer.put(flag) }
    writer.put(nextEvent)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    try keyboard.restore(from: &reader)
    try mouse.restore(from: &reader)
    memory = try reader.getBytes()
    answers = try reader.getBytes()
    answerSources = try reader.getBytes()
    output = try reader.get(UInt8.self)
    source = Source(rawValue: try reader.get(UInt8.self)) ?? .controller
    expectedData = try reader.get(UInt8.self)
    outputPort = try reader.get(UInt8.self)
    isOutputFull = try reader.getBool()
    lastWriteWasCommand = try reader.getBool()
    pendingBreak = try reader.getBool()
    keyboardLevel = try reader.getBool()
    mouseLevel = try reader.getBool()
    nextEvent = try reader.get(UInt64.self)
    guard memory.count == 32, answers.count == answerSources.count, answers.count <= Self.answerCapacity else {
      throw StateError("the saved state of the keyboard controller is damaged")
    }
  }
}
