import Platform
import Testing

@testable import Devices

/// Two processors and an I/O APIC on one bus.
private final class Board {
  let clock = VirtualClock()
  let bus = APICBus()
  let cpus = [FakeProcessor(), FakeProcessor()]
  let apics: [LocalAPIC]
  let ioapic: IOAPIC

  init() {
    let (clock, bus) = (clock, bus)
    apics = (0..<2).map { LocalAPIC(id: UInt32($0), bus: bus, clock: clock, isBootstrap: $0 == 0) }
    ioapic = IOAPIC(bus: bus, id: 2)
    for n in 0..<2 {
      apics[n].processor = cpus[n]
      apics[n].tscNow = { clock.now * 2 }
      apics[n].tscToTime = { ($0 + 1) / 2 }
      write(n, 0xF0, 0x1FF)
    }
  }

  func read(_ cpu: Int, _ offset: UInt64) -> UInt32 {
    bus.currentProcessor = cpu
    return UInt32(bus.readMemory(offset, size: 4))
  }
  func write(_ cpu: Int, _ offset: UInt64, _ value: UInt32) {
    bus.currentProcessor = cpu
    bus.writeMemory(offset, UInt64(value), size: 4)
  }
  func command(_ cpu: Int, to destination: UInt32, _ low: UInt32) {
    write(cpu, 0x310, destination << 24)
    write(cpu, 0x300, low)
  }
  func redirect(_ input: Int, low: UInt32, destination: UInt32 = 0) {
    for (register, value) in [(0x11 + 2 * input, destination << 24), (0x10 + 2 * input, low)] {
      ioapic.writeMemory(0, UInt64(register), size: 4)
      ioapic.writeMemory(0x10, UInt64(value), size: 4)
    }
  }
  func entry(_ input: Int) -> UInt32 {
    ioapic.writeMemory(0, UInt64(0x10 + 2 * input), size: 4)
    return UInt32(ioapic.readMemory(0x10, size: 4))
  }
}

@Suite struct LocalAPICTests {
  private let board = Board()

  @Test func identityAndReset() {
    #expect(board.read(1, 0x20) == 1 << 24)
    #expect(board.read(0, 0x30) == 0x0005_0014)
    #expect(board.apics[0].readMSR(0x1B) == 0xFEE0_0900)
    #expect(board.apics[1].readMSR(0x1B) == 0xFEE0_0800)
    board.apics[0].reset()
    #expect(board.read(0, 0xF0) == 0xFF)
    #expect(board.read(0, 0x350) == 0x10000)
    #expect(board.read(0, 0xE0) == 0xFFFF_FFFF)
  }

  @Test func prioritiesOrderDelivery() {
    let apic = board.apics[0]
    apic.request(0x41, isLevel: false)
    apic.request(0x81, isLevel: false)
    #expect(board.cpus[0].request)
    #expect(apic.acknowledge() == 0x81)
    #expect(board.read(0, 0xA0) == 0x80)
    #expect(!board.cpus[0].request, "41h is below 81h in service")
    apic.request(0x8F, isLevel: false)
    #expect(!board.cpus[0].request, "the same class does not interrupt")
    apic.request(0x90, isLevel: false)
    #expect(apic.acknowledge() == 0x90)
    board.write(0, 0xB0, 0)
    board.write(0, 0xB0, 0)
    #expect(apic.acknowledge() == 0x8F)
    board.write(0, 0xB0, 0)
    apic.cr8 = 4
    #expect(!board.cpus[0].request)
    #expect(board.read(0, 0x80) == 0x40)
    apic.cr8 = 3
    #expect(apic.acknowledge() == 0x41)
    #expect(apic.acknowledge() == nil)
  }

  @Test func interprocessorInterrupts() {
    board.command(0, to: 1, 0x0000_4055)
    #expect(board.apics[1].acknowledge() == 0x55)
    board.command(0, to: 1, 0x0000_4400)
    #expect(board.cpus[1].nmis == 1)
    board.command(0, to: 0, 0x000C_4500)
    #expect(board.cpus[1].inits == 1 && board.cpus[0].inits == 0)
    #expect(board.read(1, 0xF0) == 0xFF, "INIT resets the APIC")
    board.command(0, to: 1, 0x0000_8500)
    #expect(board.cpus[1].inits == 1, "level de-assert does nothing")
    board.command(0, to: 1, 0x0000_4699)
    #expect(board.cpus[1].startups == [0x99])
    board.command(0, to: 0, 0x0004_4077)
    #expect(board.apics[0].acknowledge() == 0x77)
    board.command(0, to: 0, 0x0008_4200)
    #expect(board.cpus.map(\.smis) == [1, 1])
  }

  @Test func logicalDestinations() {
    for n in 0..<2 {
      board.write(n, 0xE0, 0xFFFF_FFFF)
      board.write(n, 0xD0, 1 << (24 + UInt32(n)))
    }
    board.command(0, to: 2, 0x0000_4860)
    #expect(board.apics[1].acknowledge() == 0x60)
    #expect(board.apics[0].acknowledge() == nil)
    for n in 0..<2 {
      board.write(n, 0xE0, 0x0FFF_FFFF)
      board.write(n, 0xD0, UInt32(n + 1) << 28 | 1 << 24)
    }
    board.command(0, to: 0x11, 0x0000_4861)
    #expect(board.apics[0].acknowledge() == 0x61)
    #expect(board.apics[1].acknowledge() == nil)
    board.write(1, 0xB0, 0)
    board.command(0, to: 0xF1, 0x0000_4962)
    #expect(board.apics[1].acknowledge() == 0x62, "the one that has nothing in service")
  }

  @Test func lowestPriorityPrefersTheIdle() {
    board.write(0, 0x80, 0x20)
    board.bus.deliver(APICMessage(vector: 0x71, mode: .lowestPriority, destination: .everyone))
    #expect(board.apics[1].acknowledge() == 0x71)
    #expect(board.apics[0].acknowledge() == nil)
  }

  @Test func errorsAreLatchedByAWrite() {
    board.write(0, 0x370, 0xFE)
    board.command(0, to: 1, 0x0000_4005)
    #expect(board.read(0, 0x280) == 0)
    #expect(board.apics[0].acknowledge() == 0xFE)
    board.write(0, 0x280, 0)
    #expect(board.read(0, 0x280) == 0x20)
    _ = board.read(0, 0x3F0)
    board.write(0, 0x280, 0)
    #expect(board.read(0, 0x280) == 0x80)
    board.write(0, 0x280, 0)
    #expect(board.read(0, 0x280) == 0)
  }

  // MARK: Timer

  @Test func oneShotTimer() {
    board.write(0, 0x3E0, 0x3)
    board.write(0, 0x320, 0xEC)
    board.write(0, 0x380, 1000)
    board.clock.run(to: 8_000)
    #expect(board.read(0, 0x390) == 500)
    board.clock.run(to: 15_999)
    #expect(!board.cpus[0].request)
    board.clock.run(to: 16_000)
    #expect(board.apics[0].acknowledge() == 0xEC)
    #expect(board.read(0, 0x390) == 0)
    board.clock.run(to: 100_000)
    #expect(board.clock.nextDeadline == VirtualClock.never)
  }

  @Test func periodicTimerDoesNotDrift() {
    board.write(0, 0x3E0, 0xB)
    board.write(0, 0x320, 0x2_0040)
    board.write(0, 0x380, 10_000)
    var count = 0
    while board.clock.now < 1_000_000 {
      board.clock.run(to: board.clock.nextDeadline + 17)
      while board.apics[0].acknowledge() != nil {
        count += 1
        board.write(0, 0xB0, 0)
      }
    }
    #expect(count == 100)
    #expect(board.read(0, 0x390) == 10_000 - 17)
  }

  @Test func maskedTimerStillCounts() {
    board.write(0, 0x3E0, 0xB)
    board.write(0, 0x320, 0x1_0040)
    board.write(0, 0x380, 5000)
    board.clock.run(to: 2000)
    #expect(board.read(0, 0x390) == 3000)
    board.clock.run(to: 6000)
    #expect(board.apics[0].acknowledge() == nil)
  }

  @Test func aHostilePeriodCannotStallTheMachine() {
    board.write(0, 0x3E0, 0xB)
    board.write(0, 0x320, 0x2_0040)
    board.write(0, 0x380, 1)
    board.clock.now = 1_000_000
    board.clock.fireDue()
    #expect(board.clock.nextDeadline >= 1_001_000)
  }

  @Test func tscDeadline() {
    let apic = board.apics[0]
    #expect(apic.writeMSR(0x6E0, 5000))
    #expect(apic.readMSR(0x6E0) == 0, "ignored in other modes")
    board.write(0, 0x320, 0x4_0050)
    #expect(apic.writeMSR(0x6E0, 5001))
    #expect(apic.readMSR(0x6E0) == 5001)
    board.clock.run(to: 2500)
    #expect(!board.cpus[0].request)
    board.clock.run(to: 2501)
    #expect(apic.acknowledge() == 0x50)
    #expect(apic.readMSR(0x6E0) == 0)
    board.write(0, 0xB0, 0)
    #expect(apic.writeMSR(0x6E0, 17))
    board.clock.fireDue()
    #expect(apic.acknowledge() == 0x50, "a deadline in the past fires at once")
    #expect(apic.writeMSR(0x6E0, 1 << 40))
    #expect(apic.writeMSR(0x6E0, 0))
    #expect(board.clock.nextDeadline == VirtualClock.never)
  }

  // MARK: Inputs

  @Test func externalInterruptsPassThroughLINT0() {
    let apic = board.apics[0]
    apic.acknowledgeExternal = { 0x20 }
    apic.setInput(0, level: true)
    #expect(!board.cpus[0].request, "masked after reset")
    apic.configureVirtualWire()
    #expect(board.cpus[0].request)
    #expect(apic.acknowledge() == 0x20)
    apic.setInput(0, level: false)
    #expect(!board.cpus[0].request)
    apic.setInput(1, level: true)
    #expect(board.cpus[0].nmis == 1)
  }

  @Test func aDisabledAPICIsAWire() {
    let apic = board.apics[0]
    apic.acknowledgeExternal = { 0x33 }
    #expect(apic.writeMSR(0x1B, 0xFEE0_0000))
    apic.setInput(0, level: true)
    #expect(board.cpus[0].request)
    #expect(apic.acknowledge() == 0x33)
    #expect(board.read(0, 0x20) == 0xFFFF_FFFF)
  }

  // MARK: x2APIC

  @Test func x2APICModeAndItsFaults() {
    let apic = board.apics[1]
    #expect(apic.readMSR(0x802) == nil)
    #expect(apic.writeMSR(0x1B, 0xFEE0_0C00))
    #expect(apic.readMSR(0x802) == 1)
    #expect(apic.readMSR(0x80D) == 2)
    #expect(apic.writeMSR(0x80F, 0x1FF))
    #expect(apic.writeMSR(0x83F, 0x66))
    #expect(apic.acknowledge() == 0x66)
    #expect(!apic.writeMSR(0x80B, 1))
    #expect(apic.writeMSR(0x80B, 0))
    #expect(apic.readMSR(0x80B) == nil)
    #expect(!apic.writeMSR(0x802, 0))
    #expect(apic.readMSR(0x80E) == nil)
    #expect(apic.readMSR(0x831) == nil)
    #expect(!apic.writeMSR(0x80F, 1 << 32))
    #expect(!apic.writeMSR(0x1B, 0xFEE0_0800), "not back to xAPIC")
    #expect(apic.writeMSR(0x830, 0x0000_0000_0000_4044))
    #expect(board.apics[0].acknowledge() == 0x44)
    #expect(apic.writeMSR(0x830, 1 << 32 | 0x4845))
    #expect(apic.writeMSR(0x1B, 0xFEE0_0000))
    #expect(!apic.writeMSR(0x1B, 0xFEE0_0C00), "not from disabled")
    #expect(!apic.writeMSR(0x1B, 0xFEE0_0400))
  }

  // MARK: I/O APIC

  @Test func ioapicEdgeAndMask() {
    board.redirect(4, low: 0x1_0034)
    board.ioapic.setInput(4, level: true)
    #expect(board.apics[0].acknowledge() == nil)
    board.redirect(4, low: 0x34)
    #expect(board.apics[0].acknowledge() == nil, "an edge while masked is lost")
    board.ioapic.setInput(4, level: false)
    board.ioapic.setInput(4, level: true)
    #expect(board.apics[0].acknowledge() == 0x34)
    #expect(board.read(0, 0x180 + 0x10) == 0, "TMR is clear for edges")
  }

  @Test func ioapicLevelNeedsAnEOI() {
    board.redirect(10, low: 0x8000 | 0x91, destination: 1)
    board.ioapic.setInput(10, level: true)
    #expect(board.entry(10) & 0x4000 != 0)
    #expect(board.apics[1].acknowledge() == 0x91)
    #expect(board.apics[1].acknowledge() == nil)
    board.write(1, 0xB0, 0)
    #expect(board.apics[1].acknowledge() == 0x91, "still asserted: sent again")
    board.ioapic.setInput(10, level: false)
    board.write(1, 0xB0, 0)
    #expect(board.apics[1].acknowledge() == nil)
    #expect(board.entry(10) & 0x4000 == 0)
  }

  @Test func ioapicEOIRegisterAndModeChangeClearRemoteIRR() {
    board.redirect(11, low: 0x8092)
    board.ioapic.setInput(11, level: true)
    board.ioapic.setInput(11, level: false)
    #expect(board.entry(11) & 0x4000 != 0)
    board.ioapic.writeMemory(0x40, 0x92, size: 4)
    #expect(board.entry(11) & 0x4000 == 0)
    board.ioapic.setInput(11, level: true)
    board.ioapic.setInput(11, level: false)
    board.redirect(11, low: 0x1_0092)
    board.redirect(11, low: 0x8092)
    #expect(board.entry(11) & 0x4000 == 0)
  }

  @Test func ioapicIdentity() {
    board.ioapic.writeMemory(0, 1, size: 4)
    #expect(board.ioapic.readMemory(0x10, size: 4) == 0x0017_0020)
    board.ioapic.writeMemory(0, 0, size: 4)
    #expect(board.ioapic.readMemory(0x10, size: 4) == 2 << 24)
  }

  @Test func messageSignalledInterrupts() {
    board.bus.deliverMSI(address: 0xFEE0_1000, data: 0x4A)
    #expect(board.apics[1].acknowledge() == 0x4A)
    board.bus.deliverMSI(address: 0xFEF0_1000, data: 0x4A)
    #expect(board.apics[1].acknowledge() == nil)
  }

  @Test func externalInterruptFromTheIOAPIC() {
    board.apics[0].acknowledgeExternal = { 0x21 }
    board.redirect(0, low: 0x700)
    board.ioapic.setInput(0, level: true)
    #expect(board.cpus[0].request)
    #expect(board.apics[0].acknowledge() == 0x21)
    #expect(!board.cpus[0].request)
  }

  // MARK: State

  @Test func stateSurvives() throws {
    board.redirect(10, low: 0x8000 | 0x91, destination: 1)
    board.ioapic.setInput(10, level: true)
    board.write(0, 0x3E0, 0x3)
    board.write(0, 0x320, 0x2_0040)
    board.write(0, 0x380, 1234)
    board.clock.run(to: 30_000)
    _ = board.apics[1].acknowledge()
    let other = Board()
    var writer = StateWriter()
    board.clock.save(to: &writer)
    for device in board.apics + [board.ioapic] as [any Device] { device.save(to: &writer) }
    var reader = StateReader(writer.bytes)
    try other.clock.restore(from: &reader)
    for device in other.apics + [other.ioapic] as [any Device] { try device.restore(from: &reader) }
    #expect(reader.isAtEnd)
    #expect(other.cpus[0].request == board.cpus[0].request)
    for b in [board, other] {
      _ = b.apics[0].acknowledge()
      b.write(0, 0xB0, 0)
      b.write(1, 0xB0, 0)
      b.clock.run(to: 99_999)
    }
    #expect(board.apics[1].acknowledge() == 0x91)
    #expect(other.apics[1].acknowledge() == 0x91)
    for n in 0..<2 { #expect(savedBytes(board.apics[n], board.clock) == savedBytes(other.apics[n], other.clock)) }
    #expect(savedBytes(board.ioapic) == savedBytes(other.ioapic))
  }

  @Test func anyInputIsHarmless() throws {
    var dice = Dice(state: 11)
    for n in 0..<30_000 {
      let cpu = Int(dice.next(below: 2))
      switch dice.next(below: 8) {
      case 0: _ = board.read(cpu, dice.next(below: 4096))
      case 1: board.bus.writeMemory(dice.next(below: 4096), dice.next(), size: 1 << Int(dice.next(below: 4)))
      case 2: board.ioapic.writeMemory(0, dice.next(below: 64), size: 4)
      case 3: board.ioapic.writeMemory(dice.next(below: 0x50), dice.next(), size: 4)
      case 4: board.ioapic.setInput(Int(dice.next(below: 26)) - 1, level: n & 1 == 0)
      case 5: _ = board.apics[cpu].acknowledge()
      case 6: _ = board.apics[cpu].writeMSR(0x800 + UInt32(dice.next(below: 64)), dice.next() & 0xFFFF)
      default:
        _ = board.apics[cpu].writeMSR(0x1B, dice.next(below: 4) << 10 | 0xFEE0_0000)
        board.clock.run(for: dice.next(below: 5000))
      }
    }
    // Whatever it came to, it can be saved and restored.
    let other = Board()
    for n in 0..<2 {
      try transplant(board.apics[n], to: other.apics[n])
      #expect(board.cpus[n].request == (board.apics[n].pendingVector != nil), "the request tells of the vector")
    }
    try transplant(board.ioapic, to: other.ioapic)
  }
}
