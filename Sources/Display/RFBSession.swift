import Devices

/// One viewer's side of the remote framebuffer protocol, without sockets: bytes come in, bytes to send come out.
///
/// Source: RFC 6143 (RFB 3.8); pseudo-encodings DesktopSize (−223) and QEMU extended key event (−258) of the
/// community's protocol description.
///
/// Not modelled: authentication, compressed encodings (raw only), colour maps, clipboard, cursor shapes.
struct RFBSession {
  private enum Phase { case version, security, initialise, normal, closed }

  private enum Encoding {
    static let raw: Int32 = 0, desktopSize: Int32 = -223, extendedKey: Int32 = -258
  }

  /// How the viewer wants pixels.
  private struct PixelFormat {
    var bytes = 4
    var isBigEndian = false
    var maximum: (red: UInt32, green: UInt32, blue: UInt32) = (255, 255, 255)
    var shift: (red: UInt32, green: UInt32, blue: UInt32) = (16, 8, 0)
  }

  private var phase = Phase.version
  private var incoming: [UInt8] = []
  private(set) var outgoing: [UInt8] = []
  private var minorVersion = 8
  private var format = PixelFormat()
  private var encodings: Set<Int32> = []
  private let name: String
  /// Size that the viewer knows, and what it shows.
  private var size = (width: 0, height: 0)
  private var shown: [UInt32] = []
  /// The viewer asked for an update; not incremental means everything.
  private var wantsUpdate = false
  private var wantsAll = false
  private var pointer: (x: Int, y: Int)?
  private var buttons: UInt8 = 0
  private var announcedExtendedKeys = false

  var isClosed: Bool { phase == .closed }

  /// Longest message a viewer may send before it is taken for hostile (a clipboard is skipped within this).
  private static let messageLimit = 1 << 20
  private static let bandHeight = 16

  init(name: String) {
    self.name = name
    outgoing = Array("RFB 003.008\n".utf8)
  }

  mutating func takeOutgoing() -> [UInt8] {
    defer { outgoing = [] }
    return outgoing
  }

  // MARK: Input

  /// Takes bytes from the viewer; returns what its user did.
  mutating func receive(_ bytes: some Sequence<UInt8>, frame: Frame) -> [ScreenEvent] {
    incoming += bytes
    var events: [ScreenEvent] = []
    while phase != .closed, let length = step(frame, &events) { incoming.removeFirst(length) }
    if incoming.count > Self.messageLimit { phase = .closed }
    return events
  }

  /// Handles the message at the front if it is complete; returns its length.
  private mutating func step(_ frame: Frame, _ events: inout [ScreenEvent]) -> Int? {
    switch phase {
    case .version:
      guard incoming.count >= 12 else { return nil }
      let text = String(decoding: incoming[..<12], as: UTF8.self)
      guard text.hasPrefix("RFB 003.") else {
        phase = .closed
        return nil
      }
      minorVersion = Int(text.dropFirst(8).prefix(3)) ?? 3
      if minorVersion >= 7 {
        outgoing += [1, 1]
        phase = .security
      } else {
        put(UInt32(1))
        phase = .initialise
      }
      return 12
    case .security:
      guard let choice = incoming.first else { return nil }
      if choice != 1 { phase = .closed } else { phase = .initialise }
      if minorVersion >= 8 { put(UInt32(choice == 1 ? 0 : 1)) }
      return 1
    case .initialise:
      guard !incoming.isEmpty else { return nil }
      sendInitialisation(frame)
      phase = .normal
      return 1
    case .normal: return message(&events)
    case .closed: return nil
    }
  }

  private mutating func sendInitialisation(_ frame: Frame) {
    size = (frame.width, frame.height)
    put(UInt16(truncatingIfNeeded: size.width))
    put(UInt16(truncatingIfNeeded: size.height))
    outgoing += [32, 24, 0, 1]
    for _ in 0..<3 { put(UInt16(255)) }
    outgoing += [16, 8, 0, 0, 0, 0]
    put(UInt32(name.utf8.count))
    outgoing += Array(name.utf8)
  }

  private func u16(_ at: Int) -> Int { Int(incoming[at]) << 8 | Int(incoming[at + 1]) }
  private func u32(_ at: Int) -> UInt32 { UInt32(u16(at)) << 16 | UInt32(u16(at + 2)) }

  private mutating func message(_ events: inout [ScreenEvent]) -> Int? {
    guard let type = incoming.first else { return nil }
    func has(_ count: Int) -> Bool { incoming.count >= count }
    switch type {
    case 0:
      guard has(20) else { return nil }
      setPixelFormat()
      return 20
    case 2:
      guard has(4), has(4 + u16(2) * 4) else { return nil }
      encodings = Set((0..<u16(2)).map { Int32(bitPattern: u32(4 + $0 * 4)) })
      return 4 + u16(2) * 4
    case 3:
      guard has(10) else { return nil }
      wantsUpdate = true
      if incoming[1] == 0 { wantsAll = true }
      return 10
    case 4:
      guard has(8) else { return nil }
      if let key = KeyMap.key(keysym: u32(4)) { events.append(.key(key, isPressed: incoming[1] != 0)) }
      return 8
    case 5:
      guard has(6) else { return nil }
      point(buttons: incoming[1], x: u16(2), y: u16(4), &events)
      return 6
    case 6:
      guard has(8) else { return nil }
      let length = 8 + Int(u32(4))
      guard length <= Self.messageLimit else {
        phase = .closed
        return nil
      }
      return has(length) ? length : nil
    case 255:
      guard has(2) else { return nil }
      guard incoming[1] == 0 else {
        phase = .closed
        return nil
      }
      guard has(12) else { return nil }
      // The key code is the position (XT scan code), right whatever the viewer's layout is.
      if let key = KeyMap.key(scanCode: u32(8)) ?? KeyMap.key(keysym: u32(4)) {
        events.append(.key(key, isPressed: u16(2) != 0))
      }
      return 12
    default:
      phase = .closed
      return nil
    }
  }

  private mutating func setPixelFormat() {
    let bits = Int(incoming[4])
    guard [8, 16, 32].contains(bits), incoming[7] != 0, incoming[14] < 32, incoming[15] < 32, incoming[16] < 32 else {
      phase = .closed
      return
    }
    format.bytes = bits / 8
    format.isBigEndian = incoming[6] != 0
    format.maximum = (UInt32(u16(8)), UInt32(u16(10)), UInt32(u16(12)))
    format.shift = (UInt32(incoming[14]), UInt32(incoming[15]), UInt32(incoming[16]))
    wantsAll = true
  }

  /// Viewers say where the pointer is; a PS/2 mouse says how it moved.
  private mutating func point(buttons mask: UInt8, x: Int, y: Int, _ events: inout [ScreenEvent]) {
    let old = pointer ?? (x, y)
    pointer = (x, y)
    // RFB: bit 0 left, 1 middle, 2 right, 3 wheel up, 4 wheel down.
    let held = mask & 1 | (mask & 4) >> 1 | (mask & 2) << 1
    var wheel: Int8 = 0
    if mask & 8 != 0, buttons & 8 == 0 { wheel = 1 }
    if mask & 16 != 0, buttons & 16 == 0 { wheel = -1 }
    buttons = mask
    events.append(.mouse(dx: Int16(clamping: x - old.x), dy: Int16(clamping: old.y - y), wheel: wheel, buttons: held))
  }

  // MARK: Output

  private mutating func put<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.bigEndian) { outgoing += $0 }
  }

  private mutating func putRectangle(y: Int, width: Int, height: Int, encoding: Int32) {
    put(UInt16(0))
    put(UInt16(truncatingIfNeeded: y))
    put(UInt16(truncatingIfNeeded: width))
    put(UInt16(truncatingIfNeeded: height))
    put(encoding)
  }

  /// Sends what changed, if the viewer asked for it and everything before has left.
  mutating func update(_ frame: Frame) {
    guard phase == .normal, wantsUpdate, frame.width > 0 else { return }
    var header: [(y: Int, height: Int)] = []
    let isResized = size != (frame.width, frame.height)
    let canResize = encodings.contains(Encoding.desktopSize)
    if isResized, canResize { size = (frame.width, frame.height) }
    let width = min(size.width, frame.width), height = min(size.height, frame.height)
    let all = wantsAll || isResized || shown.count != frame.pixels.count
    for y in stride(from: 0, to: height, by: Self.bandHeight) {
      let rows = min(Self.bandHeight, height - y)
      let range = y * frame.width..<(y + rows) * frame.width
      if all || shown[range] != frame.pixels[range] { header.append((y, rows)) }
    }
    let announcesKeys = encodings.contains(Encoding.extendedKey) && !announcedExtendedKeys
    let extra = (isResized && canResize ? 1 : 0) + (announcesKeys ? 1 : 0)
    guard !header.isEmpty || extra > 0 else { return }
    outgoing += [0, 0]
    put(UInt16(header.count + extra))
    if isResized, canResize { putRectangle(y: 0, width: size.width, height: size.height, encoding: Encoding.desktopSize) }
    if announcesKeys {
      putRectangle(y: 0, width: 0, height: 0, encoding: Encoding.extendedKey)
      announcedExtendedKeys = true
    }
    for band in header {
      putRectangle(y: band.y, width: width, height: band.height, encoding: Encoding.raw)
      for y in band.y..<band.y + band.height {
        appendPixels(frame.pixels[y * frame.width..<y * frame.width + width])
      }
    }
    shown = frame.pixels
    wantsUpdate = false
    wantsAll = false
  }

  private mutating func appendPixels(_ pixels: ArraySlice<UInt32>) {
    let isNative = format.bytes == 4 && !format.isBigEndian && format.maximum == (255, 255, 255) && format.shift == (16, 8, 0)
    if isNative {
      pixels.withUnsafeBytes { outgoing += $0 }
      return
    }
    for pixel in pixels {
      let red = ((pixel >> 16 & 255) * format.maximum.red / 255) << format.shift.red
      let green = ((pixel >> 8 & 255) * format.maximum.green / 255) << format.shift.green
      let blue = ((pixel & 255) * format.maximum.blue / 255) << format.shift.blue
      let value = red | green | blue
      for n in 0..<format.bytes {
        let place = format.isBigEndian ? format.bytes - 1 - n : n
        outgoing.append(UInt8(truncatingIfNeeded: value >> UInt32(place * 8)))
      }
    }
  }
}
