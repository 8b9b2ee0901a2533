import Platform
import Testing

@testable import Devices

@Suite struct HPETTests {
  let clock = VirtualClock()
  let lines = Recorder()

  private func makeHPET() -> HPET { HPET(clock: clock, lines: lines) }
  private func write(_ hpet: HPET, _ offset: UInt64, _ value: UInt64) { hpet.writeMemory(offset, value, size: 8) }

  @Test func identity() {
    let hpet = makeHPET()
    let capabilities = hpet.readMemory(0, size: 8)
    #expect(capabilities >> 32 == 10_000_000, "femtoseconds a tick")
    #expect(capabilities & 0xFFFF_FFFF == 0x8086_A201)
    #expect(hpet.readMemory(4, size: 4) == 10_000_000)
  }

  @Test func counterRunsOnlyWhileEnabled() {
    let hpet = makeHPET()
    clock.now = 1000
    #expect(hpet.readMemory(0xF0, size: 8) == 0)
    write(hpet, 0xF0, 500)
    write(hpet, 0x10, 1)
    clock.now = 2000
    #expect(hpet.readMemory(0xF0, size: 8) == 600)
    write(hpet, 0x10, 0)
    clock.now = 3000
    #expect(hpet.readMemory(0xF0, size: 8) == 600)
  }

  @Test func oneShotInLegacyReplacement() {
    let hpet = makeHPET()
    hpet.setInput(0, level: true)
    #expect(lines.levels[0], "the PIT passes through")
    write(hpet, 0x10, 3)
    #expect(!lines.levels[0], "and is cut off")
    write(hpet, 0x100, 0x4)
    write(hpet, 0x108, 1000)
    clock.run(to: 9_999)
    #expect(lines.rises[0] == 1)
    clock.run(to: 10_000)
    #expect(lines.rises[0] == 2)
    clock.run(to: 1_000_000)
    #expect(lines.rises[0] == 2)
    hpet.setInput(0, level: false)
    write(hpet, 0x10, 0)
    #expect(!lines.levels[0])
  }

  @Test func periodicByRouteAndValueSet() {
    let hpet = makeHPET()
    write(hpet, 0x10, 1)
    write(hpet, 0x120, 20 << 9 | 0x4C)
    write(hpet, 0x128, 300)
    write(hpet, 0x128, 100)
    clock.run(to: 2_999)
    #expect(lines.rises[20] == 0)
    clock.run(to: 3_000)
    #expect(lines.rises[20] == 1)
    clock.run(to: 10_000)
    #expect(lines.rises[20] == 8)
  }

  @Test func levelInterruptStaysUntilItsStatusIsCleared() {
    let hpet = makeHPET()
    write(hpet, 0x10, 1)
    write(hpet, 0x140, 21 << 9 | 0x6)
    write(hpet, 0x148, 50)
    clock.run(to: 500)
    #expect(lines.levels[21])
    #expect(hpet.readMemory(0x20, size: 4) == 4)
    write(hpet, 0x20, 4)
    #expect(!lines.levels[21])
  }

  @Test func thirtyTwoBitMode() {
    let hpet = makeHPET()
    write(hpet, 0xF0, 0xFFFF_FF00)
    write(hpet, 0x100, 22 << 9 | 0x104)
    hpet.writeMemory(0x108, 0x10, size: 4)
    write(hpet, 0x10, 1)
    clock.run(to: (0x110) * 10 - 1)
    #expect(lines.rises[22] == 0)
    clock.run(to: (0x110) * 10)
    #expect(lines.rises[22] == 1)
  }

  @Test func aHostilePeriodCannotStallTheMachine() {
    let hpet = makeHPET()
    write(hpet, 0x10, 1)
    write(hpet, 0x100, 20 << 9 | 0x4C)
    write(hpet, 0x108, 1)
    clock.now = 1_000_000
    clock.fireDue()
    #expect(clock.nextDeadline >= 1_001_000)
  }

  @Test func stateSurvives() throws {
    let hpet = makeHPET()
    write(hpet, 0x10, 1)
    write(hpet, 0x120, 20 << 9 | 0x4C)
    write(hpet, 0x128, 300)
    write(hpet, 0x128, 77)
    clock.run(to: 12_345)
    let clock2 = VirtualClock()
    let lines2 = Recorder()
    let other = HPET(clock: clock2, lines: lines2)
    try transplant(hpet, clock, to: other, clock2)
    let before = lines.rises[20]
    clock.run(to: 50_000)
    clock2.run(to: 50_000)
    #expect(lines2.rises[20] == lines.rises[20] - before)
    #expect(savedBytes(hpet, clock) == savedBytes(other, clock2))
  }

  @Test func anyInputIsHarmless() throws {
    let hpet = makeHPET()
    var dice = Dice(state: 13)
    for _ in 0..<20_000 {
      let offset = dice.next(below: 0x50) * 4
      if dice.next() & 1 == 0 {
        hpet.writeMemory(offset, dice.next() >> dice.next(below: 64), size: dice.next() & 1 == 0 ? 4 : 8)
      } else {
        _ = hpet.readMemory(dice.next(below: 0x400), size: 8)
      }
      clock.run(for: dice.next(below: 5000))
    }
    // Whatever it came to, it can be saved and restored.
    let clock2 = VirtualClock()
    try transplant(hpet, clock, to: HPET(clock: clock2, lines: Recorder()), clock2)
  }
}
