#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Devices
import Testing
@testable import Display

private func screen(_ text: String, cursor: Int? = nil, attribute: UInt8 = 7) -> TextScreen {
  let cells = Array(text.utf8).map { TextScreen.Cell(code: $0, attribute: attribute) }
  return TextScreen(columns: 4, rows: cells.count / 4, cells: cells, cursor: cursor)
}

@Suite struct TextDisplayTests {
  @Test func codePage437HasAllCharacters() {
    #expect(CodePage437.characters.count == 256)
    #expect(CodePage437.characters[0x41] == "A" && CodePage437.characters[0xDB] == "█" && CodePage437.characters[0xC9] == "╔")
    #expect(CodePage437.characters[0x7F] == "⌂" && CodePage437.characters[0xE1] == "ß" && CodePage437.characters[0xFE] == "■")
  }

  @Test func onlyChangedRowsAreDrawn() {
    var out = ""
    let display = TextDisplay(input: -1) { out += $0 }
    display.show(Frame(), text: screen("ab  cd  ", cursor: 5))
    #expect(out.contains("\u{1B}[1;1H") && out.contains("\u{1B}[2;1H") && out.hasSuffix("\u{1B}[2;2H\u{1B}[?25h"))
    out = ""
    display.show(Frame(), text: screen("ab  cd  ", cursor: 5))
    #expect(out.isEmpty)
    display.show(Frame(), text: screen("ab  xd  "))
    #expect(!out.contains("\u{1B}[1;1H") && out.contains("\u{1B}[2;1H") && out.contains("xd"))
  }

  @Test func coloursChangePlaces() {
    var out = ""
    let display = TextDisplay(input: -1) { out += $0 }
    // Bright red (VGA 4) on blue (VGA 1): ANSI 91 and 44.
    display.show(Frame(), text: screen("abcd", attribute: 0x1C))
    #expect(out.contains("\u{1B}[0;91;44mabcd"))
  }

  @Test func graphicsAreAnnouncedOnce() {
    var out = ""
    var frame = Frame()
    frame.resize(width: 320, height: 200)
    let display = TextDisplay(input: -1) { out += $0 }
    display.show(frame, text: nil)
    #expect(out.contains("320 × 200"))
    out = ""
    display.show(frame, text: nil)
    #expect(out.isEmpty)
  }

  @Test func typedBytesBecomeKeys() {
    var keys = TerminalKeys()
    func pressed(_ text: String) -> [Key] {
      keys.events(for: Array(text.utf8)).compactMap { if case .key(let key, true) = $0 { key } else { nil } }
    }
    #expect(pressed("a") == [.a])
    #expect(pressed("A!") == [.leftShift, .a, .leftShift, .digit1])
    #expect(pressed("\u{1B}[A\u{1B}OP\u{1B}[3~\u{1B}[24~") == [.up, .f1, .delete, .f12])
    #expect(pressed("\u{1B}") == [.escape])
    #expect(pressed("\u{3}") == [.leftControl, .c])
    #expect(pressed("\u{1}a") == [.leftControl, .a])
    #expect(keys.events(for: [1, UInt8(ascii: "x")]) == [.close])
    #expect(keys.events(for: Array("A".utf8)) == [
      .key(.leftShift, isPressed: true), .key(.a, isPressed: true), .key(.a, isPressed: false), .key(.leftShift, isPressed: false),
    ])
  }

  @Test func theEndOfInputCloses() {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let display = TextDisplay(input: ends[0]) { _ in }
    #expect(display.takeEvents().isEmpty)
    _ = write(ends[1], "q", 1)
    #expect(display.takeEvents() == [.key(.q, isPressed: true), .key(.q, isPressed: false)])
    close(ends[1])
    #expect(display.takeEvents() == [.close])
    #expect(display.waitDescriptors.isEmpty)
    close(ends[0])
  }
}
