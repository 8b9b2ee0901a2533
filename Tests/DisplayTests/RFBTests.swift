import Devices
import Testing
@testable import Display

private func picture(_ width: Int, _ height: Int, _ value: UInt32 = 0xFF12_3456) -> Frame {
  var frame = Frame()
  frame.resize(width: width, height: height)
  for n in frame.pixels.indices { frame.pixels[n] = value }
  return frame
}

private func u16(_ bytes: [UInt8], _ at: Int) -> Int { Int(bytes[at]) << 8 | Int(bytes[at + 1]) }
private func u32(_ bytes: [UInt8], _ at: Int) -> Int { u16(bytes, at) << 16 | u16(bytes, at + 2) }

/// A session behind its handshake.
private func connected(_ frame: Frame, encodings: [Int32] = [0]) -> RFBSession {
  var session = RFBSession(name: "guest")
  _ = session.receive(Array("RFB 003.008\n".utf8) + [1, 1], frame: frame)
  var message: [UInt8] = [2, 0, 0, UInt8(encodings.count)]
  for encoding in encodings { withUnsafeBytes(of: encoding.bigEndian) { message += $0 } }
  _ = session.receive(message, frame: frame)
  _ = session.takeOutgoing()
  return session
}

private let askAll: [UInt8] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0]
private let askChanges: [UInt8] = [3, 1, 0, 0, 0, 0, 0, 0, 0, 0]

@Suite struct RFBTests {
  @Test func handshakeByteByByte() {
    let frame = picture(40, 20)
    var session = RFBSession(name: "guest")
    var answer = session.takeOutgoing()
    #expect(answer == Array("RFB 003.008\n".utf8))
    answer = []
    for byte in Array("RFB 003.008\n".utf8) + [1, 1] {
      #expect(session.receive([byte], frame: frame).isEmpty)
      answer += session.takeOutgoing()
    }
    // One security type: none; result OK; then size, pixel format and name.
    #expect(answer.prefix(6) == [1, 1, 0, 0, 0, 0])
    let start = Array(answer.dropFirst(6))
    #expect(u16(start, 0) == 40 && u16(start, 2) == 20 && start[4] == 32 && start[5] == 24)
    #expect(u32(start, 20) == 5 && start.suffix(5) == Array("guest".utf8)[...])
  }

  @Test func oldViewersNeedNoSecurityMessage() {
    var session = RFBSession(name: "g")
    _ = session.takeOutgoing()
    _ = session.receive(Array("RFB 003.003\n".utf8) + [0], frame: picture(8, 8))
    #expect(session.takeOutgoing().prefix(8) == [0, 0, 0, 1, 0, 8, 0, 8])
  }

  @Test func updatesHoldOnlyWhatChanged() {
    var frame = picture(32, 48)
    var session = connected(frame)
    session.update(frame)
    #expect(session.takeOutgoing().isEmpty, "nobody asked")
    _ = session.receive(askAll, frame: frame)
    session.update(frame)
    let all = session.takeOutgoing()
    #expect(u16(all, 2) == 3 && all.count == 4 + 3 * (12 + 32 * 16 * 4))
    #expect(Array(all[16..<20]) == [0x56, 0x34, 0x12, 0xFF])

    _ = session.receive(askChanges, frame: frame)
    session.update(frame)
    #expect(session.takeOutgoing().isEmpty, "nothing changed")
    frame.pixels[20 * 32] = 0xFFFF_FFFF
    session.update(frame)
    let part = session.takeOutgoing()
    #expect(u16(part, 2) == 1 && u16(part, 6) == 16 && part.count == 4 + 12 + 32 * 16 * 4)
  }

  @Test func newSizesAreAnnounced() {
    var session = connected(picture(32, 16), encodings: [0, -223])
    _ = session.receive(askAll, frame: picture(32, 16))
    session.update(picture(64, 16))
    let update = session.takeOutgoing()
    #expect(u16(update, 2) == 2 && u16(update, 8) == 64 && u16(update, 10) == 16 && u32(update, 12) == 0xFFFF_FF21)
  }

  @Test func pixelFormatsAreConverted() {
    let frame = picture(1, 1, 0xFFFF_0000)
    var session = connected(frame)
    // 16 bits, big-endian, 5-6-5.
    _ = session.receive([0, 0, 0, 0, 16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0] + askAll, frame: frame)
    session.update(frame)
    #expect(session.takeOutgoing().suffix(2) == [0xF8, 0x00])
  }

  @Test func keysComeBySymbolAndByPosition() {
    let frame = picture(8, 8)
    var session = connected(frame)
    #expect(session.receive([4, 1, 0, 0, 0, 0, 0xFF, 0x0D], frame: frame) == [.key(.enter, isPressed: true)])
    #expect(session.receive([4, 0, 0, 0, 0, 0, 0, 0x71], frame: frame) == [.key(.q, isPressed: false)])
    // Position of the key right of left shift on a German keyboard, symbol "y": the position counts.
    #expect(session.receive([255, 0, 0, 1, 0, 0, 0, 0x79, 0, 0, 0, 0x2C], frame: frame) == [.key(.z, isPressed: true)])
    #expect(session.receive([255, 0, 0, 1, 0, 0, 0xFF, 0x52, 0, 0, 0, 0xC8], frame: frame) == [.key(.up, isPressed: true)])
  }

  @Test func pointersBecomeMovements() {
    let frame = picture(8, 8)
    var session = connected(frame)
    #expect(session.receive([5, 0, 0, 100, 0, 50], frame: frame) == [.mouse(dx: 0, dy: 0, wheel: 0, buttons: 0)])
    #expect(session.receive([5, 4, 0, 110, 0, 40], frame: frame) == [.mouse(dx: 10, dy: 10, wheel: 0, buttons: 2)])
    #expect(session.receive([5, 8, 0, 110, 0, 40], frame: frame) == [.mouse(dx: 0, dy: 0, wheel: 1, buttons: 0)])
  }

  @Test func hostileViewersAreDropped() {
    let frame = picture(8, 8)
    var garbage = RFBSession(name: "g")
    _ = garbage.receive([UInt8](repeating: 0x41, count: 12), frame: frame)
    #expect(garbage.isClosed)
    for message in [[9], [255, 7], [6, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
                    [0, 0, 0, 0, 24] + [UInt8](repeating: 0, count: 15)] as [[UInt8]] {
      var session = connected(frame)
      _ = session.receive(message, frame: frame)
      #expect(session.isClosed, "\(message)")
    }
    var seed: UInt64 = 3
    for _ in 0..<300 {
      var session = connected(frame)
      var bytes: [UInt8] = []
      for _ in 0..<200 {
        seed = seed &* 6364136223846793005 &+ 1442695040888963407
        bytes.append(UInt8(truncatingIfNeeded: seed >> 40) % (seed & 1 == 0 ? 8 : 255))
      }
      _ = session.receive(bytes, frame: frame)
      session.update(frame)
    }
  }
}

@Suite struct ScanCodeTests {
  @Test func everyKeyHasAPosition() {
    var found: Set<Key> = []
    for code in 0...0xFF as ClosedRange<UInt32> { if let key = KeyMap.key(scanCode: code) { found.insert(key) } }
    #expect(found == Set(Key.allCases))
    #expect(KeyMap.key(scanCode: 0x1E) == .a && KeyMap.key(scanCode: 0x9C) == .keypadEnter && KeyMap.key(scanCode: 0x1C) == .enter)
    #expect(KeyMap.key(scanCode: 0) == nil && KeyMap.key(scanCode: 0x10000) == nil)
  }

  @Test func symbolsOfAllPrintableCharactersAreKnown() {
    for symbol in 0x20...0x7E as ClosedRange<UInt32> { #expect(KeyMap.key(keysym: symbol) != nil) }
    #expect(KeyMap.key(keysym: 0xFFBE) == .f1 && KeyMap.key(keysym: 0xFFB5) == .keypad5 && KeyMap.key(keysym: 0x20AC) == nil)
  }
}
