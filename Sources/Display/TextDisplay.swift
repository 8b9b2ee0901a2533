#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Devices

/// The guest's text modes in a terminal: rows that changed are drawn with ANSI colours, typed bytes become keys.
///
/// The owner puts the terminal into raw mode and gives it back; `enter` and `leave` are the sequences for the other screen page.
public final class TextDisplay: Screen {
  /// Switches to a page of its own and back, so that what the terminal showed before returns.
  public static let enter = "\u{1B}[?1049h\u{1B}[2J"
  public static let leave = "\u{1B}[0m\u{1B}[?25h\u{1B}[?1049l"

  private let input: Int32
  private let write: (String) -> Void
  private var shown: TextScreen?
  private var shownGraphics: (width: Int, height: Int)?
  private var keys = TerminalKeys()
  private var isClosed = false

  /// - Parameters:
  ///   - input: descriptor of the terminal to read keys from.
  ///   - write: puts text on the terminal.
  public init(input: Int32, write: @escaping (String) -> Void) {
    self.input = input
    self.write = write
  }

  public var waitDescriptors: [Int32] { isClosed ? [] : [input] }

  // MARK: Picture

  public func show(_ frame: Frame, text: TextScreen?) {
    guard let text else { return showGraphics(frame) }
    shownGraphics = nil
    let old = shown
    if old == text { return }
    let isSameSize = old?.columns == text.columns && old?.rows == text.rows
    var out = "\u{1B}[?25l" + (isSameSize ? "" : "\u{1B}[0m\u{1B}[2J")
    for row in 0..<text.rows {
      let range = row * text.columns..<(row + 1) * text.columns
      if isSameSize, let old, old.cells[range] == text.cells[range] { continue }
      out += "\u{1B}[\(row + 1);1H" + Self.line(text.cells[range])
    }
    out += "\u{1B}[0m"
    if let cursor = text.cursor, text.columns > 0 {
      out += "\u{1B}[\(cursor / text.columns + 1);\(cursor % text.columns + 1)H\u{1B}[?25h"
    }
    write(out)
    shown = text
  }

  private func showGraphics(_ frame: Frame) {
    if let size = shownGraphics, size == (frame.width, frame.height) { return }
    shownGraphics = (frame.width, frame.height)
    shown = nil
    write("\u{1B}[0m\u{1B}[2J\u{1B}[1;1HThe guest is in a graphics mode of \(frame.width) × \(frame.height) pixels.")
  }

  /// One row; colours are set only where they change.
  private static func line(_ cells: ArraySlice<TextScreen.Cell>) -> String {
    var out = ""
    var attribute: UInt8?
    for cell in cells {
      if cell.attribute != attribute {
        attribute = cell.attribute
        out += colours(cell.attribute)
      }
      out.append(CodePage437.characters[Int(cell.code)])
    }
    return out
  }

  /// VGA attributes count colours blue, green, red from bit 0; ANSI counts red, green, blue.
  private static func colours(_ attribute: UInt8) -> String {
    func ansi(_ colour: UInt8) -> Int { Int(colour & 2 | (colour & 1) << 2 | (colour & 4) >> 2) }
    let foreground = (attribute & 8 != 0 ? 90 : 30) + ansi(attribute & 7)
    return "\u{1B}[0;\(foreground);\(40 + ansi(attribute >> 4 & 7))m"
  }

  // MARK: Keys

  public func takeEvents() -> [ScreenEvent] {
    var ready = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
    guard !isClosed, poll(&ready, 1, 0) > 0 else { return [] }
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = read(input, &buffer, buffer.count)
    if count < 0, errno == EINTR || errno == EAGAIN { return [] }
    guard count > 0 else {
      isClosed = true
      return [.close]
    }
    return keys.events(for: buffer[..<count])
  }
}

/// Turns the bytes a terminal sends for keys into presses and releases. Ctrl-A x closes.
struct TerminalKeys {
  private var isEscaped = false

  mutating func events(for bytes: some Collection<UInt8>) -> [ScreenEvent] {
    var events: [ScreenEvent] = []
    var rest = Array(bytes)[...]
    while let byte = rest.first {
      if isEscaped {
        isEscaped = false
        rest.removeFirst()
        if byte == UInt8(ascii: "x") { events.append(.close) } else { Self.type(1, &events) }
        continue
      }
      if byte == 1 {
        isEscaped = true
        rest.removeFirst()
      } else if let (key, length) = Self.sequence(rest) {
        Self.press([key], &events)
        rest.removeFirst(length)
      } else {
        Self.type(byte, &events)
        rest.removeFirst()
      }
    }
    return events
  }

  private static func type(_ byte: UInt8, _ events: inout [ScreenEvent]) {
    guard let (key, shift, control) = KeyMap.keys(typing: byte) else { return }
    press((shift ? [.leftShift] : []) + (control ? [.leftControl] : []) + [key], &events)
  }

  /// Presses keys in their order and releases them in the opposite one.
  private static func press(_ keys: [Key], _ events: inout [ScreenEvent]) {
    events += keys.map { .key($0, isPressed: true) }
    events += keys.reversed().map { .key($0, isPressed: false) }
  }

  /// A key that a terminal sends as an escape sequence (ECMA-48 CSI, SS3; xterm's numbers), and how long it is.
  private static func sequence(_ bytes: ArraySlice<UInt8>) -> (Key, Int)? {
    let text = bytes.prefix(5).map { Character(UnicodeScalar($0)) }
    guard text.count >= 3, text[0] == "\u{1B}", text[1] == "[" || text[1] == "O" else { return nil }
    let letters: [Character: Key] = [
      "A": .up, "B": .down, "C": .right, "D": .left, "H": .home, "F": .end, "P": .f1, "Q": .f2, "R": .f3, "S": .f4,
    ]
    if let key = letters[text[2]] { return (key, 3) }
    guard text[1] == "[", let end = text.firstIndex(of: "~"), let number = Int(String(text[2..<end])) else { return nil }
    let numbers: [Int: Key] = [
      1: .home, 2: .insert, 3: .delete, 4: .end, 5: .pageUp, 6: .pageDown, 7: .home, 8: .end, 11: .f1, 12: .f2, 13: .f3, 14: .f4,
      15: .f5, 17: .f6, 18: .f7, 19: .f8, 20: .f9, 21: .f10, 23: .f11, 24: .f12,
    ]
    return numbers[number].map { ($0, end + 1) }
  }
}
