import Platform
import Testing

@testable import Devices

private let rate = ClockRate(PIT8254.frequency)
private func at(_ tick: UInt64) -> VirtualTime { rate.time(ofTick: tick) }

@Suite struct PIT8254Tests {
  let clock = VirtualClock()
  let lines = Recorder()

  private func makePIT() -> PIT8254 { PIT8254(clock: clock, output: lines.line(0)) }

  private func program(_ pit: PIT8254, _ channel: Int, mode: UInt8, count: UInt16, bcd: Bool = false) {
    pit.out(3, UInt8(channel) << 6 | 0x30 | mode << 1 | (bcd ? 1 : 0))
    pit.out(UInt16(channel), UInt8(truncatingIfNeeded: count))
    pit.out(UInt16(channel), UInt8(truncatingIfNeeded: count >> 8))
  }

  private func count(_ pit: PIT8254, _ channel: Int) -> UInt16 {
    pit.out(3, UInt8(channel) << 6)
    let low = pit.in(UInt16(channel))
    return UInt16(low) | UInt16(pit.in(UInt16(channel))) << 8
  }

  @Test func tickConversionIsExactAndMonotonic() {
    for tick: UInt64 in [0, 1, 2, 1_193_182, 1_193_183, 1 << 40] {
      let time = rate.time(ofTick: tick)
      #expect(rate.ticks(at: time) == tick)
      if time > 0 { #expect(rate.ticks(at: time - 1) < tick) }
    }
    #expect(rate.time(ofTick: .max) == VirtualClock.never)
  }

  @Test func mode0InterruptsOnceAtTheEnd() {
    let pit = makePIT()
    clock.now = at(100)
    program(pit, 0, mode: 0, count: 50)
    #expect(!lines.levels[0])
    #expect(count(pit, 0) == 50, "the count is loaded by the next clock")
    clock.run(to: at(101))
    #expect(count(pit, 0) == 50)
    clock.run(to: at(111))
    #expect(count(pit, 0) == 40)
    clock.run(to: at(151) - 1)
    #expect(!lines.levels[0])
    clock.run(to: at(151))
    #expect(lines.levels[0])
    #expect(count(pit, 0) == 0)
    clock.run(to: at(153))
    #expect(count(pit, 0) == 0xFFFE)
    #expect(clock.nextDeadline == VirtualClock.never, "nothing else to come")
  }

  @Test func mode2IsPeriodicAndReloads() {
    let pit = makePIT()
    program(pit, 0, mode: 2, count: 1000)
    #expect(lines.levels[0])
    clock.run(to: at(1000) - 1)
    #expect(lines.rises[0] == 1)
    clock.run(to: at(1001))
    #expect(lines.rises[0] == 2)
    clock.run(to: at(10_001))
    #expect(lines.rises[0] == 11)
    #expect(count(pit, 0) == 1000)
    // A new count waits for the end of the period.
    clock.run(to: at(10_101))
    program2(pit, count: 100)
    clock.run(to: at(11_000))
    #expect(count(pit, 0) == 1)
    clock.run(to: at(11_001))
    #expect(count(pit, 0) == 100)
    let before = lines.rises[0]
    clock.run(to: at(12_001))
    #expect(lines.rises[0] == before + 10)
  }

  private func program2(_ pit: PIT8254, count: UInt16) {
    pit.out(0, UInt8(truncatingIfNeeded: count))
    pit.out(0, UInt8(truncatingIfNeeded: count >> 8))
  }

  @Test func mode3IsASquareWave() {
    let pit = makePIT()
    program(pit, 0, mode: 3, count: 10)
    for (tick, level) in [(1, true), (5, true), (6, false), (10, false), (11, true), (15, true), (16, false)] {
      clock.run(to: at(UInt64(tick)))
      #expect(lines.levels[0] == level, "tick \(tick)")
      #expect(pit.out(0) == level)
    }
    program(pit, 0, mode: 3, count: 7)
    let start = rate.ticks(at: clock.now) + 1
    for (offset, level) in [(0, true), (3, true), (4, false), (6, false), (7, true)] {
      clock.run(to: at(start + UInt64(offset)))
      #expect(lines.levels[0] == level, "odd count, \(offset)")
    }
  }

  @Test func mode3CountsByTwo() {
    let pit = makePIT()
    program(pit, 0, mode: 3, count: 100)
    clock.run(to: at(1 + 10))
    #expect(count(pit, 0) == 80)
    clock.run(to: at(1 + 60))
    #expect(count(pit, 0) == 80, "the second half starts over")
  }

  @Test func mode1NeedsATrigger() {
    let pit = makePIT()
    program(pit, 2, mode: 1, count: 20)
    clock.run(to: at(50))
    #expect(pit.out(2))
    pit.setGate(2, true)
    clock.run(to: at(51))
    #expect(!pit.out(2))
    clock.run(to: at(70))
    #expect(!pit.out(2))
    clock.run(to: at(71))
    #expect(pit.out(2))
  }

  @Test func mode4And5StrobeForOneTick() {
    let pit = makePIT()
    program(pit, 0, mode: 4, count: 30)
    clock.run(to: at(30))
    #expect(lines.levels[0])
    clock.run(to: at(31))
    #expect(!lines.levels[0])
    clock.run(to: at(32))
    #expect(lines.levels[0])
    program(pit, 2, mode: 5, count: 5)
    pit.setGate(2, true)
    clock.run(to: at(32 + 1 + 5))
    #expect(!pit.out(2))
    clock.run(to: at(32 + 1 + 6))
    #expect(pit.out(2))
  }

  @Test func gatePausesMode0() {
    let pit = makePIT()
    pit.setGate(2, true)
    program(pit, 2, mode: 0, count: 100)
    clock.run(to: at(41))
    pit.setGate(2, false)
    clock.run(to: at(500))
    #expect(count(pit, 2) == 60)
    pit.setGate(2, true)
    clock.run(to: at(560))
    #expect(pit.out(2))
    #expect(count(pit, 2) == 0)
  }

  @Test func readBackGivesStatusThenCount() {
    let pit = makePIT()
    program(pit, 0, mode: 2, count: 0x1234)
    pit.out(3, 0b1100_0010)
    #expect(pit.in(0) == 0xB4 | 0x40, "the count has not been loaded yet")
    clock.run(to: at(1))
    _ = pit.in(0)
    _ = pit.in(0)
    pit.out(3, 0b1100_0010)
    #expect(pit.in(0) == 0xB4)
    #expect(pit.in(0) == 0x34)
    #expect(pit.in(0) == 0x12)
  }

  @Test func latchHoldsWhileTimeGoesOn() {
    let pit = makePIT()
    program(pit, 0, mode: 2, count: 1000)
    clock.run(to: at(1))
    pit.out(3, 0)
    clock.run(to: at(501))
    #expect(pit.in(0) == 0xE8)
    #expect(pit.in(0) == 0x03)
    #expect(count(pit, 0) == 500)
  }

  @Test func bcdCountsInDecimal() {
    let pit = makePIT()
    program(pit, 0, mode: 0, count: 0x1000, bcd: true)
    clock.run(to: at(2))
    #expect(count(pit, 0) == 0x0999)
    program(pit, 0, mode: 0, count: 0, bcd: true)
    clock.run(to: at(2 + 2))
    #expect(count(pit, 0) == 0x9999)
  }

  @Test func portBShowsRefreshAndOutput2() throws {
    let pit = makePIT()
    let portB = SystemControlB(clock: clock, pit: pit)
    portB.out(0, 0x01)
    program(pit, 2, mode: 0, count: 100)
    #expect(portB.in(0) & 0x21 == 0x01)
    clock.run(to: at(101))
    #expect(portB.in(0) & 0x21 == 0x21)
    var toggles = 0
    var last = portB.in(0) & 0x10
    for i in 0..<1000 {
      clock.run(to: at(101) + UInt64(i) * 1000)
      let bit = portB.in(0) & 0x10
      if bit != last { toggles += 1 }
      last = bit
    }
    #expect((64...68).contains(toggles), "one millisecond has 66 refresh periods")
    program(pit, 2, mode: 3, count: 1193)
    portB.out(0, 0x03)
    #expect(portB.speakerFrequency == 1000)
    let other = SystemControlB(clock: clock, pit: pit)
    try transplant(portB, to: other)
    #expect(other.in(0) == portB.in(0))
  }

  @Test(arguments: [UInt8(0), 2, 3, 4]) func stateSurvives(mode: UInt8) throws {
    let pit = makePIT()
    program(pit, 0, mode: mode, count: 777)
    clock.run(to: at(400))
    if mode == 3 { program2(pit, count: 500) }
    let clock2 = VirtualClock()
    let lines2 = Recorder()
    let pit2 = PIT8254(clock: clock2, output: lines2.line(0))
    try transplant(pit, clock, to: pit2, clock2)
    lines2.levels = lines.levels
    lines2.rises = lines.rises
    clock.run(to: at(9_999))
    clock2.run(to: at(9_999))
    #expect(lines2.rises == lines.rises)
    #expect(savedBytes(pit, clock) == savedBytes(pit2, clock2))
  }

  @Test func anIllegalCountMakesNoEvents() {
    let pit = makePIT()
    for mode: UInt8 in [2, 3] {
      program(pit, 0, mode: mode, count: 1)
      #expect(clock.nextDeadline == VirtualClock.never)
    }
  }

  @Test func anyInputIsHarmless() throws {
    let pit = makePIT()
    var dice = Dice(state: 7)
    for _ in 0..<20_000 {
      switch dice.next(below: 6) {
      case 0: _ = pit.in(UInt16(dice.next(below: 4)))
      case 1: pit.setGate(Int(dice.next(below: 4)), dice.next() & 1 != 0)
      case 2: clock.run(for: dice.next(below: 3000))
      default: pit.out(UInt16(dice.next(below: 4)), UInt8(truncatingIfNeeded: dice.next()))
      }
    }
    clock.now = 1 << 62
    _ = pit.in(0)
    // Whatever it came to, it can be saved and restored.
    let clock2 = VirtualClock()
    try transplant(pit, clock, to: PIT8254(clock: clock2), clock2)
  }
}
