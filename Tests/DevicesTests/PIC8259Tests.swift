import Platform
import Testing

@testable import Devices

/// Both chips initialised as a PC BIOS does, all lines unmasked.
private func makePIC(autoEOI: Bool = false, levelMask: UInt8 = 0) -> (PIC8259, Recorder) {
  let cpu = Recorder()
  let pic = PIC8259(output: cpu.line(0))
  initialise(pic, autoEOI: autoEOI)
  return (pic, cpu)
}

private func initialise(_ pic: PIC8259, autoEOI: Bool = false, nested: Bool = false) {
  let word4: UInt8 = 0x01 | (autoEOI ? 2 : 0) | (nested ? 0x10 : 0)
  for (chip, base, cascade) in [(pic.master, UInt8(0x20), UInt8(4)), (pic.slave, 0x28, 2)] {
    chip.out(0, 0x11)
    chip.out(1, base)
    chip.out(1, cascade)
    chip.out(1, word4)
    chip.out(1, 0)
  }
}

@Suite struct PIC8259Tests {
  @Test func edgeRequestIsAcknowledgedOnce() {
    let (pic, cpu) = makePIC()
    pic.setInput(1, level: true)
    #expect(cpu.levels[0])
    #expect(pic.acknowledge() == 0x21)
    #expect(!cpu.levels[0])
    #expect(pic.registers.isr == 2)
    pic.master.out(0, 0x20)
    #expect(pic.registers.isr == 0)
    #expect(!cpu.levels[0], "an edge counts once although the line is still up")
    pic.setInput(1, level: false)
    pic.setInput(1, level: true)
    #expect(cpu.levels[0])
  }

  @Test func slaveRequestsComeThroughInput2() {
    let (pic, cpu) = makePIC()
    pic.setInput(12, level: true)
    pic.setInput(8, level: true)
    #expect(pic.acknowledge() == 0x28, "IRQ 8 beats IRQ 12")
    #expect(pic.registers.isr == 0x0104)
    #expect(!cpu.levels[0], "IRQ 12 is below IRQ 8 in service")
    pic.slave.out(0, 0x20)
    #expect(!cpu.levels[0], "the master's level 2 is still in service")
    pic.master.out(0, 0x20)
    #expect(cpu.levels[0])
    #expect(pic.acknowledge() == 0x2C)
  }

  @Test func higherPriorityInterruptsLower() {
    let (pic, cpu) = makePIC()
    pic.setInput(5, level: true)
    #expect(pic.acknowledge() == 0x25)
    pic.setInput(6, level: true)
    #expect(!cpu.levels[0])
    pic.setInput(3, level: true)
    #expect(pic.acknowledge() == 0x23)
    pic.master.out(0, 0x20)
    pic.master.out(0, 0x20)
    #expect(pic.acknowledge() == 0x26)
  }

  @Test func spuriousInterrupts() {
    let (pic, _) = makePIC()
    pic.setInput(4, level: true)
    pic.setInput(4, level: false)
    #expect(pic.acknowledge() == 0x27)
    #expect(pic.registers.isr == 0)
    pic.setInput(10, level: true)
    // The slave's request vanishes between the two INTA cycles: mask it behind the master's back.
    pic.master.out(1, 0)
    #expect(pic.acknowledge() == 0x2A)
  }

  @Test func levelTriggeredLineRequestsUntilItFalls() {
    let (pic, cpu) = makePIC()
    pic.edgeLevelControl.out(1, 0x08)
    #expect(pic.edgeLevelControl.in(1) == 0x08)
    pic.setInput(11, level: true)
    #expect(pic.acknowledge() == 0x2B)
    pic.slave.out(0, 0x20)
    pic.master.out(0, 0x20)
    #expect(cpu.levels[0], "still asserted")
    pic.setInput(11, level: false)
    #expect(!cpu.levels[0])
  }

  @Test func fixedEdgeLinesCannotBeLevel() {
    let (pic, _) = makePIC()
    pic.edgeLevelControl.out(0, 0xFF)
    pic.edgeLevelControl.out(1, 0xFF)
    #expect(pic.edgeLevelControl.in(0) == 0xF8)
    #expect(pic.edgeLevelControl.in(1) == 0xDE)
  }

  @Test func automaticEOIAndRotation() {
    let (pic, cpu) = makePIC(autoEOI: true)
    pic.master.out(0, 0x80)
    pic.setInput(0, level: true)
    #expect(pic.acknowledge() == 0x20)
    #expect(pic.registers.isr == 0)
    pic.setInput(0, level: false)
    pic.setInput(0, level: true)
    pic.setInput(5, level: true)
    #expect(pic.acknowledge() == 0x25, "IRQ 0 went to the bottom")
    #expect(cpu.levels[0])
  }

  @Test func specificRotation() {
    let (pic, _) = makePIC()
    pic.master.out(0, 0xC3)
    pic.setInput(3, level: true)
    pic.setInput(7, level: true)
    #expect(pic.acknowledge() == 0x27)
    pic.master.out(0, 0x67)
    #expect(pic.registers.isr == 0)
    #expect(pic.acknowledge() == 0x23)
  }

  @Test func specialMaskModeLetsLowerLevelsThrough() {
    let (pic, cpu) = makePIC()
    pic.setInput(1, level: true)
    _ = pic.acknowledge()
    pic.setInput(6, level: true)
    #expect(!cpu.levels[0])
    pic.master.out(1, 0x02)
    #expect(!cpu.levels[0])
    pic.master.out(0, 0x68)
    #expect(cpu.levels[0])
    #expect(pic.acknowledge() == 0x26)
  }

  @Test func specialFullyNestedModeLetsTheSlaveInterruptItself() {
    let cpu = Recorder()
    let pic = PIC8259(output: cpu.line(0))
    initialise(pic, nested: true)
    pic.setInput(12, level: true)
    #expect(pic.acknowledge() == 0x2C)
    pic.setInput(9, level: true)
    #expect(cpu.levels[0])
    #expect(pic.acknowledge() == 0x29)
  }

  @Test func pollingAcknowledges() {
    let (pic, cpu) = makePIC()
    pic.setInput(4, level: true)
    pic.master.out(0, 0x0C)
    #expect(pic.master.in(0) == 0x84)
    #expect(!cpu.levels[0])
    #expect(pic.registers.isr == 0x10)
    pic.master.out(0, 0x0C)
    #expect(pic.master.in(0) == 0)
  }

  @Test func registerReadsSelectISROrIRR() {
    let (pic, _) = makePIC()
    pic.setInput(3, level: true)
    _ = pic.acknowledge()
    pic.setInput(6, level: true)
    pic.master.out(0, 0x0B)
    #expect(pic.master.in(0) == 0x08)
    pic.master.out(0, 0x0A)
    #expect(pic.master.in(0) == 0x40)
    pic.master.out(1, 0xA5)
    #expect(pic.master.in(1) == 0xA5)
  }

  @Test func stateSurvives() throws {
    let (old, _) = makePIC()
    old.edgeLevelControl.out(1, 0x0C)
    old.setInput(11, level: true)
    old.setInput(1, level: true)
    _ = old.acknowledge()
    old.master.out(0, 0x68)
    let cpu = Recorder()
    let new = PIC8259(output: cpu.line(0))
    try transplant(old, to: new)
    old.master.out(0, 0x20)
    new.master.out(0, 0x20)
    #expect(new.acknowledge() == old.acknowledge())
    #expect(savedBytes(old) == savedBytes(new))
  }

  @Test func anyInputIsHarmless() throws {
    let (pic, _) = makePIC()
    var dice = Dice(state: 1)
    for _ in 0..<20_000 {
      let value = UInt8(truncatingIfNeeded: dice.next())
      switch dice.next(below: 8) {
      case 0: pic.master.out(0, value)
      case 1: pic.master.out(1, value)
      case 2: pic.slave.out(0, value)
      case 3: pic.slave.out(1, value)
      case 4: pic.edgeLevelControl.out(UInt16(value & 1), value)
      case 5: _ = pic.acknowledge()
      case 6: _ = pic.master.in(UInt16(value & 1))
      default: pic.setInput(Int(dice.next(below: 18)) - 1, level: value & 1 != 0)
      }
    }
    // Whatever it came to, it can be saved and restored.
    try transplant(pic, to: PIC8259())
  }
}
