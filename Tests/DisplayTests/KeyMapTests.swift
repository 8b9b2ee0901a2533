import Devices
import Testing
@testable import Display

@Test func usageCodesNameTheRightKeys() {
  // HID Usage Tables, keyboard page: a few of each row.
  let known: [(UInt32, Key)] = [
    (4, .a), (29, .z), (30, .digit1), (39, .digit0), (40, .enter), (41, .escape), (42, .backspace), (43, .tab), (44, .space),
    (45, .minus), (46, .equal), (47, .leftBracket), (49, .backslash), (51, .semicolon), (52, .quote), (53, .backquote),
    (54, .comma), (56, .slash), (57, .capsLock), (58, .f1), (69, .f12), (70, .printScreen), (72, .pause), (73, .insert),
    (74, .home), (75, .pageUp), (76, .delete), (77, .end), (78, .pageDown), (79, .right), (80, .left), (81, .down), (82, .up),
    (83, .numLock), (84, .keypadDivide), (88, .keypadEnter), (89, .keypad1), (98, .keypad0), (99, .keypadPeriod),
    (100, .international), (101, .menu), (224, .leftControl), (225, .leftShift), (226, .leftAlt), (227, .leftMeta),
    (228, .rightControl), (231, .rightMeta),
  ]
  for (usage, key) in known { #expect(KeyMap.key(usage: usage) == key, "usage \(usage)") }
  for usage in [0, 3, 102, 223, 232, 65535, .max] as [UInt32] { #expect(KeyMap.key(usage: usage) == nil) }
}

@Test func everyKeyHasOneUsage() {
  var seen: [Key: Int] = [:]
  for usage in 0..<300 as Range<UInt32> { if let key = KeyMap.key(usage: usage) { seen[key, default: 0] += 1 } }
  for key in Key.allCases { #expect(seen[key] == (key == .backslash ? 2 : 1), "\(key)") }
}

@Test func everyPrintableCharacterCanBeTyped() {
  for character in 0x20...0x7E as ClosedRange<UInt8> { #expect(KeyMap.keys(typing: character) != nil) }
  #expect(KeyMap.keys(typing: UInt8(ascii: "A"))! == (.a, true, false))
  #expect(KeyMap.keys(typing: UInt8(ascii: "@"))! == (.digit2, true, false))
  #expect(KeyMap.keys(typing: 3)! == (.c, false, true))
  #expect(KeyMap.keys(typing: 13)! == (.enter, false, false))
  #expect(KeyMap.keys(typing: 200) == nil)
}
