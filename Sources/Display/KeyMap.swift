import Devices

/// Translates what hosts call keys into the keys of the guest's keyboard.
public enum KeyMap {
  /// The key with this USB HID usage code of page 7 (HID Usage Tables 1.4, chapter 10); SDL's scan codes are the same numbers.
  public static func key(usage: UInt32) -> Key? {
    switch usage {
    case 4...29: return letters[Int(usage) - 4]
    case 30...39: return digits[Int(usage) - 30]
    case 40...57: return punctuation[Int(usage) - 40]
    case 58...69: return functions[Int(usage) - 58]
    case 70...82: return navigation[Int(usage) - 70]
    case 83...99: return keypad[Int(usage) - 83]
    case 100: return .international
    case 101: return .menu
    case 224...231: return modifiers[Int(usage) - 224]
    default: return nil
    }
  }

  private static let letters: [Key] = [
    .a, .b, .c, .d, .e, .f, .g, .h, .i, .j, .k, .l, .m, .n, .o, .p, .q, .r, .s, .t, .u, .v, .w, .x, .y, .z,
  ]
  private static let digits: [Key] = [
    .digit1, .digit2, .digit3, .digit4, .digit5, .digit6, .digit7, .digit8, .digit9, .digit0,
  ]
  /// Usage 50 is the key beside a short Enter, the same switch as backslash.
  private static let punctuation: [Key] = [
    .enter, .escape, .backspace, .tab, .space, .minus, .equal, .leftBracket, .rightBracket, .backslash, .backslash,
    .semicolon, .quote, .backquote, .comma, .period, .slash, .capsLock,
  ]
  private static let functions: [Key] = [.f1, .f2, .f3, .f4, .f5, .f6, .f7, .f8, .f9, .f10, .f11, .f12]
  private static let navigation: [Key] = [
    .printScreen, .scrollLock, .pause, .insert, .home, .pageUp, .delete, .end, .pageDown, .right, .left, .down, .up,
  ]
  private static let keypad: [Key] = [
    .numLock, .keypadDivide, .keypadMultiply, .keypadMinus, .keypadPlus, .keypadEnter, .keypad1, .keypad2, .keypad3,
    .keypad4, .keypad5, .keypad6, .keypad7, .keypad8, .keypad9, .keypad0, .keypadPeriod,
  ]
  private static let modifiers: [Key] = [
    .leftControl, .leftShift, .leftAlt, .leftMeta, .rightControl, .rightShift, .rightAlt, .rightMeta,
  ]

  /// The key at this position: an XT (set 1) make code, with bit 7 set where the keyboard sends E0h before it, as in QEMU's
  /// extended key events.
  public static func key(scanCode: UInt32) -> Key? {
    switch scanCode {
    case 0xC6, 0xE046: return .pause
    case 0xB7: return .printScreen
    case 1...0x7F: return Key.allCases.first { !isExtended($0) && UInt32($0.set1) == scanCode }
    case 0x81...0xFF: return Key.allCases.first { isExtended($0) && UInt32($0.set1) == scanCode & 0x7F }
    default: return nil
    }
  }

  /// Keys whose codes have the prefix E0h.
  private static func isExtended(_ key: Key) -> Bool { key.rawValue >> 8 == 0xE0 }

  /// The key of a US keyboard that makes an X11 keysym (X11 protocol, appendix A).
  public static func key(keysym: UInt32) -> Key? {
    switch keysym {
    case 0x20...0x7E: return keys(typing: UInt8(keysym))?.key
    case 0xFFBE...0xFFC9: return functions[Int(keysym - 0xFFBE)]
    case 0xFFB0...0xFFB9:
      return keysym == 0xFFB0 ? .keypad0 : keypad[Int(keysym - 0xFFB1) + 6]
    default: return keysyms[keysym]
    }
  }

  private static let keysyms: [UInt32: Key] = [
    0xFF08: .backspace, 0xFF09: .tab, 0xFE20: .tab, 0xFF0D: .enter, 0xFF13: .pause, 0xFF14: .scrollLock, 0xFF15: .printScreen,
    0xFF1B: .escape, 0xFF50: .home, 0xFF51: .left, 0xFF52: .up, 0xFF53: .right, 0xFF54: .down, 0xFF55: .pageUp,
    0xFF56: .pageDown, 0xFF57: .end, 0xFF61: .printScreen, 0xFF63: .insert, 0xFF67: .menu, 0xFF7F: .numLock,
    0xFF8D: .keypadEnter, 0xFF95: .keypad7, 0xFF96: .keypad4, 0xFF97: .keypad8, 0xFF98: .keypad6, 0xFF99: .keypad2,
    0xFF9A: .keypad9, 0xFF9B: .keypad3, 0xFF9C: .keypad1, 0xFF9E: .keypad0, 0xFF9F: .keypadPeriod, 0xFFAA: .keypadMultiply,
    0xFFAB: .keypadPlus, 0xFFAD: .keypadMinus, 0xFFAE: .keypadPeriod, 0xFFAF: .keypadDivide, 0xFFE1: .leftShift,
    0xFFE2: .rightShift, 0xFFE3: .leftControl, 0xFFE4: .rightControl, 0xFFE5: .capsLock, 0xFFE7: .leftMeta, 0xFFE8: .rightMeta,
    0xFFE9: .leftAlt, 0xFFEA: .rightAlt, 0xFE03: .rightAlt, 0xFFEB: .leftMeta, 0xFFEC: .rightMeta, 0xFFFF: .delete,
  ]

  /// The key of a US keyboard that types an ASCII character, and whether Shift or Control is held with it.
  public static func keys(typing character: UInt8) -> (key: Key, shift: Bool, control: Bool)? {
    switch character {
    case 0x08, 0x7F: return (.backspace, false, false)
    case 0x09: return (.tab, false, false)
    case 0x0A, 0x0D: return (.enter, false, false)
    case 0x1B: return (.escape, false, false)
    case 1...26: return (letters[Int(character) - 1], false, true)
    case 0x61...0x7A: return (letters[Int(character) - 0x61], false, false)
    case 0x41...0x5A: return (letters[Int(character) - 0x41], true, false)
    case 0x31...0x39: return (digits[Int(character) - 0x31], false, false)
    case 0x30: return (.digit0, false, false)
    default: break
    }
    for (keys, shift) in [(plain, false), (shifted, true)] {
      if let key = keys[character] { return (key, shift, false) }
    }
    return nil
  }

  private static func table(_ pairs: [(Character, Key)]) -> [UInt8: Key] {
    Dictionary(uniqueKeysWithValues: pairs.map { ($0.0.asciiValue!, $0.1) })
  }

  private static let plain = table([
    (" ", .space), ("-", .minus), ("=", .equal), ("[", .leftBracket), ("]", .rightBracket), ("\\", .backslash),
    (";", .semicolon), ("'", .quote), ("`", .backquote), (",", .comma), (".", .period), ("/", .slash),
  ])
  private static let shifted = table([
    ("!", .digit1), ("@", .digit2), ("#", .digit3), ("$", .digit4), ("%", .digit5), ("^", .digit6), ("&", .digit7),
    ("*", .digit8), ("(", .digit9), (")", .digit0), ("_", .minus), ("+", .equal), ("{", .leftBracket),
    ("}", .rightBracket), ("|", .backslash), (":", .semicolon), ("\"", .quote), ("~", .backquote), ("<", .comma),
    (">", .period), ("?", .slash),
  ])
}
