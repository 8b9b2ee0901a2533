/// A PS/2 mouse with the IntelliMouse wheel and the five-button Explorer extension.
///
/// Reference: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Microsoft's IntelliMouse knock (rates 200, 100, 80 and
/// 200, 200, 80). Part of `I8042`.
///
/// Not modelled: the sample rate as a pace (a packet follows when the last one was taken).

import Platform

struct PS2Mouse {
  private(set) var responses: [UInt8] = []
  private(set) var events: [UInt8] = []
  private var id: UInt8 = 0
  private var rate: UInt8 = 100
  private var resolution: UInt8 = 2
  private var isScaled = false
  private var isRemote = false
  private var isWrapping = false
  private var isReporting = false
  private var expectedParameter: UInt8 = 0
  private var lastRates: [UInt8] = [0, 0, 0]
  private var lastSent: UInt8 = 0
  /// Bits 0–4: left, right, middle, fourth, fifth.
  private var buttons: UInt8 = 0
  private var reportedButtons: UInt8 = 0
  private var dx: Int32 = 0
  private var dy: Int32 = 0
  private var wheel: Int32 = 0

  // MARK: Motion

  /// Adds a motion in counts; positive is right, up, and wheel away from the user.
  mutating func move(dx x: Int32, dy y: Int32, wheel w: Int32) {
    guard isReporting || isRemote else { return }
    dx = max(-4096, min(dx &+ max(-4096, min(x, 4096)), 4096))
    dy = max(-4096, min(dy &+ max(-4096, min(y, 4096)), 4096))
    wheel = max(-64, min(wheel &+ max(-64, min(w, 64)), 64))
    report()
  }

  mutating func setButtons(_ state: UInt8) {
    buttons = state & 0x1F
    report()
  }

  /// In stream mode, queues a packet when something happened and the last packet is on its way.
  mutating func report() {
    guard isReporting, !isRemote, events.isEmpty else { return }
    if dx == 0, dy == 0, wheel == 0 || id == 0, buttons == reportedButtons { return }
    events = packet()
  }

  private mutating func packet() -> [UInt8] {
    var (x, y) = (max(-255, min(dx, 255)), max(-255, min(dy, 255)))
    dx -= x
    dy -= y
    if isScaled { (x, y) = (scale(x), scale(y)) }
    reportedButtons = buttons
    let flags = buttons & 7 | 8 | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)
    var bytes = [flags, UInt8(truncatingIfNeeded: x), UInt8(truncatingIfNeeded: y)]
    if id != 0 {
      // The wheel counts towards the user.
      let z = max(-8, min(-wheel, 7))
      wheel += z
      bytes.append(UInt8(truncatingIfNeeded: z) & (id == 4 ? 0x0F : 0xFF) | (id == 4 ? (buttons & 0x18) << 1 : 0))
    } else {
      wheel = 0
    }
    return bytes
  }

  /// 2:1 scaling of stream mode.
  private func scale(_ value: Int32) -> Int32 {
    let table: [Int32] = [0, 1, 1, 3, 6, 9]
    let size = abs(value)
    let scaled = size < 6 ? table[Int(size)] : min(size * 2, 255)
    return value < 0 ? -scaled : scaled
  }

  // MARK: Commands

  private static let responseCapacity = 16

  /// An answer that finds the buffer full is lost.
  private mutating func respond(_ bytes: [UInt8]) {
    if responses.count + bytes.count <= Self.responseCapacity { responses += bytes }
  }

  mutating func receive(_ byte: UInt8) {
    if isWrapping, byte != 0xEC, byte != 0xFF {
      respond([byte])
      return
    }
    switch expectedParameter {
    case 0xF3:
      expectedParameter = 0
      rate = byte
      lastRates = [lastRates[1], lastRates[2], byte]
      if lastRates == [200, 100, 80] { id = 3 } else if lastRates == [200, 200, 80], id == 3 { id = 4 }
      respond([0xFA])
    case 0xE8:
      expectedParameter = 0
      resolution = byte & 3
      respond([0xFA])
    default: execute(byte)
    }
  }

  private mutating func execute(_ command: UInt8) {
    switch command {
    case 0xE6: isScaled = false
    case 0xE7: isScaled = true
    case 0xE8, 0xF3: expectedParameter = command
    case 0xE9:
      let status = (isRemote ? 0x40 : 0) | (isReporting ? 0x20 : 0) | (isScaled ? 0x10 : 0)
        | (buttons & 1) << 2 | (buttons & 4) >> 1 | (buttons & 2) >> 1
      respond([0xFA, status, resolution, rate])
      return
    case 0xEA: isRemote = false
    case 0xEB:
      respond([0xFA] + packet())
      return
    case 0xEC: isWrapping = false
    case 0xEE: isWrapping = true
    case 0xF0: isRemote = true
    case 0xF2:
      respond([0xFA, id])
      return
    case 0xF4: isReporting = true
    case 0xF5:
      isReporting = false
      events.removeAll()
    case 0xF6: setDefaults()
    case 0xFE:
      respond([lastSent])
      return
    case 0xFF:
      setDefaults()
      id = 0
      isWrapping = false
      responses = [0xFA, 0xAA, 0x00]
      return
    default:
      respond([0xFE])
      return
    }
    respond([0xFA])
  }

  private mutating func setDefaults() {
    rate = 100
    resolution = 2
    isScaled = false
    isRemote = false
    isReporting = false
    (dx, dy, wheel) = (0, 0, 0)
    reportedButtons = buttons
    expectedParameter = 0
    events.removeAll()
  }

  mutating func takeResponse() -> UInt8? {
    if responses.isEmpty { return nil }
    lastSent = responses.removeFirst()
    return lastSent
  }

  mutating func takeEvent() -> UInt8? {
    if events.isEmpty { return nil }
    lastSent = events.removeFirst()
    report()
    return lastSent
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.put(responses)
    writer.put(events)
    for byte in [id, rate, resolution, expectedParameter, lastSent, buttons, reportedButtons] + lastRates { writer.put(byte) }
    for flag in [isScaled, isRemote, isWrapping, isReporting] { writer.put(flag) }
    for count in [dx, dy, wheel] { writer.put(count) }
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    responses = try reader.getBytes()
    events = try reader.getBytes()
    id = try reader.get(UInt8.self)
    rate = try reader.get(UInt8.self)
    resolution = try reader.get(UInt8.self)
    expectedParameter = try reader.get(UInt8.self)
    lastSent = try reader.get(UInt8.self)
    buttons = try reader.get(UInt8.self)
    reportedButtons = try reader.get(UInt8.self)
    try restoreArray(&lastRates, from: &reader)
    isScaled = try reader.getBool()
    isRemote = try reader.getBool()
    isWrapping = try reader.getBool()
    isReporting = try reader.getBool()
    dx = try reader.get(Int32.self)
    dy = try reader.get(Int32.self)
    wheel = try reader.get(Int32.self)
    guard responses.count <= Self.responseCapacity, events.count <= 4,
      (-4096...4096).contains(dx), (-4096...4096).contains(dy), (-64...64).contains(wheel)
    else {
      throw StateError("the saved state of the mouse is damaged")
    }
  }
}
