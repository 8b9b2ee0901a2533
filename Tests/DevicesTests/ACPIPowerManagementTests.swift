import Platform
import Testing

@testable import Devices

@Suite struct ACPIPowerManagementTests {
  let clock = VirtualClock()
  let lines = Recorder()

  private func makePM(timerBits: Int = 24) -> ACPIPowerManagement {
    ACPIPowerManagement(clock: clock, sci: lines.line(9), timerBits: timerBits)
  }
  private func read(_ pm: ACPIPowerManagement, _ offset: UInt16, _ size: Int = 2) -> UInt32 {
    pm.registers.readPort(offset, size: size)
  }

  @Test func timerRunsAt3579545Hz() {
    let pm = makePM()
    clock.now = 1_000_000_000
    #expect(read(pm, 8, 4) == 3_579_545)
    clock.now = 10_000_000_000
    #expect(read(pm, 8, 4) == 35_795_450 & 0xFF_FFFF)
    #expect(read(makePM(timerBits: 32), 8, 4) == 35_795_450)
    #expect(read(pm, 9, 1) == 35_795_450 >> 8 & 0xFF)
  }

  @Test func timerStatusFollowsItsTopBit() {
    let pm = makePM()
    pm.isACPIEnabled = true
    pm.registers.writePort(2, 1, size: 2)
    let half = ClockRate(ACPIPowerManagement.timerFrequency).time(ofTick: 1 << 23)
    clock.run(to: half - 1)
    #expect(!lines.levels[9])
    clock.run(to: half)
    #expect(lines.levels[9])
    pm.registers.writePort(0, 1, size: 2)
    #expect(!lines.levels[9])
    clock.run(to: 2 * half)
    #expect(lines.rises[9] == 2)
  }

  @Test func powerButtonRaisesTheSCI() {
    let pm = makePM()
    #expect(!pm.pressPowerButton())
    pm.registers.writePort(0, 0xFFFF, size: 2)
    pm.apm.out(0, ACPIPowerManagement.enableCommand)
    #expect(read(pm, 4) == 1)
    pm.registers.writePort(2, 0x100, size: 2)
    #expect(pm.pressPowerButton())
    #expect(lines.levels[9])
    #expect(read(pm, 0) == 0x100)
    pm.registers.writePort(0, 0x100, size: 2)
    #expect(!lines.levels[9])
    pm.apm.out(0, ACPIPowerManagement.disableCommand)
    #expect(!pm.isACPIEnabled)
  }

  @Test func softOffPowersOff() {
    let pm = makePM()
    var isOff = false
    pm.onPowerOff = { isOff = true }
    pm.registers.writePort(4, 0x2001 | 1 << 10, size: 2)
    #expect(!isOff)
    #expect(read(pm, 0) == 0x8000, "other sleep states wake at once")
    #expect(read(pm, 4) == 0x0401, "SLP_EN is write-only")
    pm.registers.writePort(4, 0x2001, size: 2)
    #expect(isOff)
  }

  @Test func softOffByBytes() {
    let pm = makePM()
    var count = 0
    pm.onPowerOff = { count += 1 }
    pm.registers.writePort(4, 0x01, size: 1)
    pm.registers.writePort(5, 0x20, size: 1)
    #expect(count == 1)
  }

  @Test func generalPurposeEvents() {
    let pm = makePM()
    pm.isACPIEnabled = true
    pm.generalPurposeEvents.out(2, 0x04)
    pm.raiseEvent(2)
    #expect(lines.levels[9])
    #expect(pm.generalPurposeEvents.in(0) == 4)
    #expect(read(pm, 0x0C) == 4)
    pm.generalPurposeEvents.out(0, 4)
    #expect(!lines.levels[9])
  }

  @Test func otherCommandsAreSMIs() {
    let pm = makePM()
    var commands: [UInt8] = []
    pm.onSMICommand = { commands.append($0) }
    pm.apm.out(1, 0x77)
    pm.apm.out(0, 0x12)
    #expect(commands == [0x12])
    #expect(pm.apm.in(0) == 0x12 && pm.apm.in(1) == 0x77)
  }

  @Test func stateSurvives() throws {
    let pm = makePM()
    pm.isACPIEnabled = true
    pm.registers.writePort(2, 0x101, size: 2)
    pm.pressPowerButton()
    clock.run(to: 700_000_000)
    let clock2 = VirtualClock()
    let lines2 = Recorder()
    let other = ACPIPowerManagement(clock: clock2, sci: lines2.line(9))
    try transplant(pm, clock, to: other, clock2)
    for (c, p) in [(clock, pm), (clock2, other)] {
      p.registers.writePort(0, 0xFFFF, size: 2)
      c.run(to: 5_000_000_000)
    }
    #expect(lines.levels[9] && lines2.levels[9])
    #expect(savedBytes(pm, clock) == savedBytes(other, clock2))
  }
}
