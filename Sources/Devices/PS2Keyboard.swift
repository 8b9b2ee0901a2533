/// A PS/2 keyboard: what travels over its cable, before the controller translates it.
///
/// Reference: IBM PS/2 Hardware Interface Technical Reference, "Keyboards". Part of `I8042`.
///
/// Not modelled: the fake shifts that some keyboards put around E0h keys while Num Lock or Shift is on; the overrun code
/// (a key that finds the buffer full is lost whole); per-key make/break types of set 3 by commands FBh–FDh.

import Platform

struct PS2Keyboard {
  /// Answers to commands, sent at once and before any key.
  private(set) var responses: [UInt8] = []
  /// Bytes of keys that wait to be sent.
  private(set) var events: [UInt8] = []
  private(set) var leds: UInt8 = 0
  private var scanCodeSet: UInt8 = 2
  private var isScanning = true
  private var expectedParameter: UInt8 = 0
  private var lastSent: UInt8 = 0
  private var typematic: UInt8 = 0x2B
  /// Set 3: which events are sent (F7h–FAh): bit 0 repeats, bit 1 breaks.
  private var set3Mode: UInt8 = 3
  private var pressed: Set<UInt16> = []
  private(set) var repeating: UInt16 = 0

  private static let eventCapacity = 64
  /// The buffer of IBM's keyboard.
  private static let responseCapacity = 16

  // MARK: Keys

  mutating func setKey(_ key: Key, down: Bool) {
    let isRepeat = down && pressed.contains(key.rawValue)
    if down { pressed.insert(key.rawValue) } else if pressed.remove(key.rawValue) == nil { return }
    if isRepeat || !isScanning { return }
    if down {
      repeating = key == .pause ? 0 : key.rawValue
    } else if repeating == key.rawValue {
      repeating = 0
    }
    enqueue(down ? make(key) : release(key))
  }

  private mutating func enqueue(_ bytes: [UInt8]) {
    if events.count + bytes.count <= Self.eventCapacity { events += bytes }
  }

  private func isDown(_ keys: Key...) -> Bool { keys.contains { pressed.contains($0.rawValue) } }

  private func make(_ key: Key) -> [UInt8] {
    if scanCodeSet == 3 { return [key.set3] }
    let first = scanCodeSet == 1
    switch key {
    case .pause:
      if isDown(.leftControl, .rightControl) { return first ? [0xE0, 0x46, 0xE0, 0xC6] : [0xE0, 0x7E, 0xE0, 0xF0, 0x7E] }
      return first ? [0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5] : [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77]
    case .printScreen:
      if isDown(.leftAlt, .rightAlt) { return first ? [0x54] : [0x84] }
      if isDown(.leftShift, .rightShift, .leftControl, .rightControl) { return first ? [0xE0, 0x37] : [0xE0, 0x7C] }
      return first ? [0xE0, 0x2A, 0xE0, 0x37] : [0xE0, 0x12, 0xE0, 0x7C]
    default:
      let code = first ? key.set1 : key.set2
      return key.isExtended ? [0xE0, code] : [code]
    }
  }

  private func release(_ key: Key) -> [UInt8] {
    if scanCodeSet == 3 { return set3Mode.bit(1) ? [0xF0, key.set3] : [] }
    let first = scanCodeSet == 1
    switch key {
    case .pause: return []
    case .printScreen:
      if isDown(.leftAlt, .rightAlt) { return first ? [0xD4] : [0xF0, 0x84] }
      if isDown(.leftShift, .rightShift, .leftControl, .rightControl) { return first ? [0xE0, 0xB7] : [0xE0, 0xF0, 0x7C] }
      return first ? [0xE0, 0xB7, 0xE0, 0xAA] : [0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12]
    default:
      let prefix: [UInt8] = key.isExtended ? [0xE0] : []
      return prefix + (first ? [key.set1 | 0x80] : [0xF0, key.set2])
    }
  }

  // MARK: Typematic

  /// Delay before the first repeat, in ns: 250 ms to 1 s.
  var repeatDelay: VirtualTime { (UInt64(typematic >> 5 & 3) + 1) * 250_000_000 }

  /// Interval between repeats: (8 + A) × 2^B × 4.17 ms.
  var repeatInterval: VirtualTime { (8 + UInt64(typematic & 7)) << UInt64(typematic >> 3 & 3) * 4_166_667 }

  /// The typematic timer ran out: sends the key once more unless a repeat still waits.
  mutating func repeatKey() {
    guard isScanning, events.isEmpty, scanCodeSet != 3 || set3Mode.bit(0), let key = Key(rawValue: repeating) else { return }
    enqueue(make(key))
  }

  // MARK: Commands

  /// An answer that finds the buffer full is lost.
  private mutating func respond(_ bytes: UInt8...) {
    if responses.count + bytes.count <= Self.responseCapacity { responses += bytes }
  }

  mutating func receive(_ byte: UInt8) {
    let command = expectedParameter
    expectedParameter = 0
    switch command {
    case 0xED: leds = byte & 7
    case 0xF3: typematic = byte & 0x7F
    case 0xF0:
      if byte == 0 {
        respond(0xFA, scanCodeSet)
        return
      }
      if byte <= 3 { scanCodeSet = byte }
    case 0xFB, 0xFC, 0xFD: break
    default: return execute(byte)
    }
    respond(0xFA)
  }

  private mutating func execute(_ command: UInt8) {
    switch command {
    case 0xED, 0xF0, 0xF3, 0xFB, 0xFC, 0xFD: expectedParameter = command
    case 0xEE:
      respond(0xEE)
      return
    case 0xF2:
      respond(0xFA, 0xAB, 0x83)
      return
    case 0xF4:
      events.removeAll()
      isScanning = true
    case 0xF5:
      setDefaults()
      isScanning = false
    case 0xF6: setDefaults()
    case 0xF7: set3Mode = 1
    case 0xF8: set3Mode = 2
    case 0xF9: set3Mode = 0
    case 0xFA: set3Mode = 3
    case 0xFE:
      respond(lastSent)
      return
    case 0xFF:
      let held = pressed
      self = PS2Keyboard()
      pressed = held
      responses = [0xFA, 0xAA]
      return
    default:
      respond(0xFE)
      return
    }
    respond(0xFA)
  }

  private mutating func setDefaults() {
    events.removeAll()
    repeating = 0
    typematic = 0x2B
    set3Mode = 3
    scanCodeSet = 2
  }

  mutating func takeResponse() -> UInt8? {
    if responses.isEmpty { return nil }
    lastSent = responses.removeFirst()
    return lastSent
  }

  mutating func takeEvent() -> UInt8? {
    if events.isEmpty { return nil }
    lastSent = events.removeFirst()
    return lastSent
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.put(responses)
    writer.put(events)
    for byte in [leds, scanCodeSet, expectedParameter, lastSent, typematic, set3Mode] { writer.put(byte) }
    writer.put(isScanning)
    writer.put(repeating)
    writer.put(UInt32(pressed.count))
    for key in pressed.sorted() { writer.put(key) }
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    responses = try reader.getBytes()
    events = try reader.getBytes()
    leds = try reader.get(UInt8.self)
    scanCodeSet = try reader.get(UInt8.self)
    expectedParameter = try reader.get(UInt8.self)
    lastSent = try reader.get(UInt8.self)
    typematic = try reader.get(UInt8.self)
    set3Mode = try reader.get(UInt8.self)
    isScanning = try reader.getBool()
    repeating = try reader.get(UInt16.self)
    let count = try reader.get(UInt32.self)
    guard count <= 512, responses.count <= Self.responseCapacity, events.count <= Self.eventCapacity else {
      throw StateError("the saved state of the keyboard is damaged")
    }
    pressed = []
    for _ in 0..<count { pressed.insert(try reader.get(UInt16.self)) }
  }
}
