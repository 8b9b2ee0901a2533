import Platform
import Testing

@testable import Devices

@Suite struct I8042Tests {
  let clock = VirtualClock()
  let lines = Recorder()
  let gate = A20Gate()
  /// The clock holds timers of every controller, so all of them live as long as it.
  final class Keeper { var controllers: [I8042] = [] }
  private let keeper = Keeper()

  private func makeController(translated: Bool = true) -> I8042 {
    let controller = I8042(clock: clock, gate: gate, keyboardIRQ: lines.line(1), mouseIRQ: lines.line(12))
    if translated { controller.configureAsFirmware() }
    keeper.controllers.append(controller)
    return controller
  }

  /// Reads everything that comes within 20 ms.
  private func drain(_ c: I8042) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<40 {
      while c.command.in(0) & 1 != 0 { bytes.append(c.data.in(0)) }
      clock.run(for: 500_000)
    }
    return bytes
  }

  private func keyboard(_ c: I8042, _ bytes: UInt8...) -> [UInt8] {
    bytes.flatMap { byte -> [UInt8] in
      c.data.out(0, byte)
      return drain(c)
    }
  }

  private func mouse(_ c: I8042, _ bytes: UInt8...) -> [UInt8] {
    bytes.flatMap { byte -> [UInt8] in
      c.command.out(0, 0xD4)
      c.data.out(0, byte)
      return drain(c)
    }
  }

  @Test func selfTestsAndCommandByte() {
    let c = makeController(translated: false)
    c.command.out(0, 0xAA)
    #expect(drain(c) == [0x55])
    #expect(c.command.in(0) & 0x04 != 0)
    c.command.out(0, 0xAB)
    #expect(drain(c) == [0])
    c.command.out(0, 0x60)
    c.data.out(0, 0x65)
    c.command.out(0, 0x20)
    #expect(drain(c) == [0x65])
  }

  @Test func keysArriveTranslated() {
    let c = makeController()
    c.setKey(.a, down: true)
    #expect(lines.levels[1])
    #expect(c.data.in(0) == 0x1E)
    #expect(!lines.levels[1])
    c.setKey(.a, down: false)
    #expect(c.command.in(0) & 1 == 0, "the next byte takes its time")
    #expect(c.data.in(0) == 0x1E, "and the old one can be read again")
    clock.run(for: 500_000)
    #expect(drain(c) == [0x9E])
    c.setKey(.right, down: true)
    c.setKey(.right, down: false)
    #expect(drain(c) == [0xE0, 0x4D, 0xE0, 0xCD])
    c.setKey(.pause, down: true)
    c.setKey(.pause, down: false)
    #expect(drain(c) == [0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5])
    c.setKey(.printScreen, down: true)
    c.setKey(.printScreen, down: false)
    #expect(drain(c) == [0xE0, 0x2A, 0xE0, 0x37, 0xE0, 0xB7, 0xE0, 0xAA])
  }

  @Test func everyKeyHasDistinctCodesInAllSets() {
    var seen: Set<String> = []
    for key in Key.allCases {
      let c = makeController(translated: false)
      c.setKey(key, down: true)
      let set2 = drain(c)
      let translated = makeController()
      translated.setKey(key, down: true)
      let set1 = drain(translated)
      let direct = makeController(translated: false)
      _ = keyboard(direct, 0xF0, 1)
      direct.setKey(key, down: true)
      #expect(drain(direct) == set1, "\(key): set 1 is what the controller makes of set 2")
      #expect(!set2.isEmpty && set1.allSatisfy { $0 != 0xFF })
      seen.insert("\(set1)")
    }
    #expect(seen.count == Key.allCases.count)
    #expect(Set(Key.allCases.map(\.set3)).count == Key.allCases.count)
    #expect(Key.f12.set1 == 0x58 && Key.space.set1 == 0x39 && Key.f7.set1 == 0x41)
  }

  @Test func keyboardCommands() {
    let c = makeController()
    #expect(keyboard(c, 0xF2) == [0xFA, 0xAB, 0x41], "translated like keys")
    #expect(keyboard(c, 0xED, 0x05) == [0xFA, 0xFA])
    #expect(c.leds == 5)
    #expect(keyboard(c, 0xEE) == [0xEE])
    #expect(keyboard(c, 0xFF) == [0xFA, 0xAA])
    #expect(keyboard(c, 0x01) == [0xFE])
    #expect(keyboard(c, 0xF5) == [0xFA])
    c.setKey(.a, down: true)
    #expect(drain(c).isEmpty, "scanning is off")
    #expect(keyboard(c, 0xF4) == [0xFA])
    let raw = makeController(translated: false)
    #expect(keyboard(raw, 0xF0, 0) == [0xFA, 0xFA, 0x02])
    #expect(keyboard(raw, 0xF2) == [0xFA, 0xAB, 0x83])
    #expect(keyboard(raw, 0xF0, 3) == [0xFA, 0xFA])
    raw.setKey(.escape, down: true)
    raw.setKey(.escape, down: false)
    #expect(drain(raw) == [0x08, 0xF0, 0x08])
  }

  @Test func typematicRepeats() {
    let c = makeController()
    c.setKey(.x, down: true)
    #expect(c.data.in(0) == 0x2D)
    clock.run(to: 499_000_000)
    #expect(c.command.in(0) & 1 == 0)
    clock.run(to: 500_000_000)
    #expect(c.data.in(0) == 0x2D)
    clock.run(for: 100_000_000)
    #expect(c.data.in(0) == 0x2D)
    c.setKey(.x, down: false)
    #expect(drain(c) == [0xAD])
    clock.run(for: 1_000_000_000)
    #expect(c.command.in(0) & 1 == 0)
    c.setKey(.y, down: false)
    #expect(drain(c).isEmpty, "a key that was not down")
  }

  @Test func mouseReportsMotionAndButtons() {
    let c = makeController()
    #expect(mouse(c, 0xFF) == [0xFA, 0xAA, 0x00])
    c.moveMouse(dx: 5, dy: 5)
    #expect(drain(c).isEmpty, "not reporting yet")
    #expect(mouse(c, 0xF4) == [0xFA])
    c.moveMouse(dx: 10, dy: -3)
    #expect(lines.levels[12] && c.command.in(0) & 0x20 != 0)
    #expect(drain(c) == [0x28, 10, 0xFD])
    c.setMouseButtons(5)
    #expect(drain(c) == [0x0D, 0, 0])
    c.moveMouse(dx: -300, dy: 0)
    #expect(drain(c) == [0x1D, 0x01, 0, 0x1D, 0xD3, 0])
    #expect(mouse(c, 0xE9) == [0xFA, 0x26, 2, 100])
  }

  @Test func intelliMouseWheel() {
    let c = makeController()
    #expect(mouse(c, 0xF2) == [0xFA, 0])
    _ = mouse(c, 0xF3, 200, 0xF3, 100, 0xF3, 80)
    #expect(mouse(c, 0xF2) == [0xFA, 3])
    _ = mouse(c, 0xF4)
    c.moveMouse(dx: 0, dy: 0, wheel: 1)
    #expect(drain(c) == [0x08, 0, 0, 0xFF])
    _ = mouse(c, 0xF3, 200, 0xF3, 200, 0xF3, 80)
    #expect(mouse(c, 0xF2) == [0xFA, 4])
    c.setMouseButtons(0x10)
    #expect(drain(c) == [0x08, 0, 0, 0x20])
  }

  @Test func a20AndReset() {
    let c = makeController()
    var resets = 0
    c.onReset = { _ in resets += 1 }
    c.command.out(0, 0xD1)
    c.data.out(0, 0xDD)
    #expect(!gate.isOpen)
    c.command.out(0, 0xD0)
    #expect(drain(c)[0] & 2 == 0)
    c.command.out(0, 0xD1)
    c.data.out(0, 0xDF)
    #expect(gate.isOpen)
    c.command.out(0, 0xFF)
    #expect(resets == 0)
    c.command.out(0, 0xFE)
    #expect(resets == 1)
  }

  @Test func disabledPortsHoldTheirBytes() {
    let c = makeController()
    c.command.out(0, 0xAD)
    c.setKey(.b, down: true)
    #expect(drain(c).isEmpty)
    c.command.out(0, 0xAE)
    #expect(drain(c) == [0x30])
    c.command.out(0, 0xD3)
    c.data.out(0, 0x42)
    #expect(c.command.in(0) & 0x21 == 0x21)
    #expect(drain(c) == [0x42])
    c.command.out(0, 0xD2)
    c.data.out(0, 0x43)
    #expect(c.command.in(0) & 0x21 == 0x01)
    #expect(drain(c) == [0x43])
  }

  @Test func stateSurvives() throws {
    let c = makeController()
    _ = mouse(c, 0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF4)
    c.setKey(.leftShift, down: true)
    c.setKey(.right, down: true)
    c.moveMouse(dx: 400, dy: 20, wheel: -1)
    _ = c.data.in(0)
    let clock2 = VirtualClock()
    let other = I8042(clock: clock2, gate: A20Gate())
    try transplant(c, clock, to: other, clock2)
    var a: [UInt8] = [], b: [UInt8] = []
    for _ in 0..<3000 {
      clock.run(for: 500_000)
      clock2.run(for: 500_000)
      if c.command.in(0) & 1 != 0 { a.append(c.data.in(0)) }
      if other.command.in(0) & 1 != 0 { b.append(other.data.in(0)) }
    }
    #expect(a == b && a.count > 10)
    #expect(savedBytes(c, clock) == savedBytes(other, clock2))
  }

  /// Answers that nobody reads do not pile up; what fits comes in its order.
  @Test func unreadAnswersAreLost() throws {
    for commands in [[0x20], [0xAB], [0xD0], [0xD2], [0xD3], [0xD4, 0xEC], [0xD4, 0xEB], [0xD4, 0xF2], [0xD4, 0xE9], [0xD4, 0xFE]] as [[UInt8]] {
      let c = makeController()
      for _ in 0..<1000 {
        c.command.out(0, commands[0])
        if commands[0] > 0xD1 { c.data.out(0, commands.count > 1 ? commands[1] : 0x55) }
      }
      #expect((1...17).contains(drain(c).count), "\(commands)")
      // Afterwards it works as ever.
      c.command.out(0, 0xAB)
      #expect(drain(c) == [0])
    }
    for command in [0xEE, 0xF2, 0xF4, 0xFE, 0x11, 0xFF] as [UInt8] {
      let c = makeController(translated: false)
      for _ in 0..<1000 { c.data.out(0, command) }
      #expect((1...17).contains(drain(c).count), "\(command)")
      #expect(keyboard(c, 0xEE) == [0xEE])
    }
    // An answer is lost as a whole.
    let c = makeController(translated: false)
    for _ in 0..<1000 { c.data.out(0, 0xF2) }
    let identities = drain(c)
    #expect(identities.count % 3 == 0 && stride(from: 0, to: identities.count, by: 3).allSatisfy { identities[$0..<$0 + 3] == [0xFA, 0xAB, 0x83] })
  }

  @Test func anyInputIsHarmless() throws {
    let c = makeController()
    var dice = Dice(state: 19)
    for _ in 0..<30_000 {
      let byte = UInt8(truncatingIfNeeded: dice.next())
      switch dice.next(below: 7) {
      case 0: c.data.out(0, byte)
      case 1: c.command.out(0, byte)
      case 2: _ = c.data.in(0)
      case 3: c.setKey(Key.allCases[Int(dice.next(below: UInt64(Key.allCases.count)))], down: byte & 1 != 0)
      case 4: c.moveMouse(dx: Int32(truncatingIfNeeded: dice.next()), dy: .min, wheel: .max)
      case 5: c.setMouseButtons(byte)
      default: clock.run(for: dice.next(below: 3_000_000))
      }
    }
    // Whatever it came to, it can be saved and restored.
    let clock2 = VirtualClock()
    try transplant(c, clock, to: I8042(clock: clock2, gate: A20Gate()), clock2)
  }
}
