import Platform
import Testing

@testable import Devices

@Suite struct UART16550Tests {
  let clock = VirtualClock()
  let lines = Recorder()
  final class Output { var bytes: [UInt8] = [] }
  let output = Output()

  private func makeUART(exact: Bool = false) -> UART16550 {
    let uart = UART16550(name: "com1", clock: clock, irq: lines.line(4), exactTiming: exact)
    let output = output
    uart.onTransmit = { output.bytes.append($0) }
    uart.out(3, 0x03)
    return uart
  }

  @Test func transmitterIsAlwaysReady() {
    let uart = makeUART()
    for byte in Array("hello".utf8) {
      #expect(uart.in(5) & 0x60 == 0x60)
      uart.out(0, byte)
    }
    #expect(output.bytes == Array("hello".utf8))
  }

  @Test func exactTimingTakesTheTimeOfTheBits() {
    let uart = makeUART(exact: true)
    uart.out(3, 0x83)
    uart.out(0, 12)
    uart.out(1, 0)
    uart.out(3, 0x03)
    uart.out(0, 0x41)
    #expect(uart.in(5) & 0x60 == 0x20, "holding register empty, shift register busy")
    uart.out(0, 0x42)
    #expect(uart.in(5) & 0x60 == 0)
    clock.run(to: 10 * 1_000_000_000 / 9600 + 12)
    #expect(output.bytes == [0x41])
    clock.run(to: 20 * 1_000_000_000 / 9600 + 24)
    #expect(output.bytes == [0x41, 0x42])
    #expect(uart.in(5) & 0x60 == 0x60)
  }

  @Test func transmitInterruptFollowsEnableAndWrites() {
    let uart = makeUART()
    uart.out(4, 0x08)
    uart.out(1, 0x02)
    #expect(lines.levels[4])
    #expect(uart.in(2) == 0x02)
    #expect(!lines.levels[4], "reading IIR clears it")
    #expect(uart.in(2) == 0x01)
    uart.out(0, 0x55)
    #expect(lines.levels[4])
    uart.out(1, 0)
    #expect(!lines.levels[4])
  }

  @Test func receiveInterruptAndPriority() {
    let uart = makeUART()
    uart.out(4, 0x08)
    uart.out(1, 0x03)
    uart.receive([0x31])
    #expect(uart.in(2) == 0x04, "received data beats transmitter empty")
    #expect(uart.in(5) & 1 == 1)
    #expect(uart.in(0) == 0x31)
    #expect(uart.in(2) == 0x02)
  }

  @Test func fifoTriggerAndTimeout() {
    let uart = makeUART()
    uart.out(2, 0x87)
    uart.out(4, 0x08)
    uart.out(1, 0x01)
    uart.receive([1, 2, 3])
    clock.run(for: 200_000)
    #expect(!lines.levels[4])
    #expect(uart.in(2) == 0xC1)
    clock.run(for: 400_000)
    #expect(lines.levels[4], "four character times without a byte")
    #expect(uart.in(2) == 0xCC)
    #expect(uart.in(0) == 1)
    #expect(uart.in(2) == 0xC1)
    uart.receive([UInt8](4...12))
    clock.run(for: 2_000_000)
    #expect(uart.in(2) == 0xC4)
  }

  @Test func longInputIsNeverOverrun() {
    let uart = makeUART()
    uart.out(2, 0x07)
    let sent = (0..<500).map { UInt8(truncatingIfNeeded: $0) }
    uart.receive(sent)
    var received: [UInt8] = []
    for _ in 0..<100_000 where received.count < sent.count {
      clock.run(for: 50_000)
      let status = uart.in(5)
      #expect(status & 0x02 == 0)
      if status & 1 != 0 { received.append(uart.in(0)) }
    }
    #expect(received == sent)
  }

  @Test func loopback() {
    let uart = makeUART()
    uart.out(4, 0x1A)
    #expect(uart.in(6) & 0xF0 == 0x90, "OUT2 comes back as DCD, RTS as CTS")
    uart.out(0, 0x5A)
    #expect(output.bytes.isEmpty)
    #expect(uart.in(0) == 0x5A)
    uart.out(4, 0x10)
    #expect(uart.in(6) == 0x09, "CTS and DCD fell")
    uart.out(4, 0x08)
    #expect(uart.in(6) & 0xF0 == 0xB0)
  }

  @Test func interruptNeedsOUT2() {
    let uart = makeUART()
    uart.out(1, 0x02)
    #expect(!lines.levels[4])
    uart.out(4, 0x08)
    #expect(lines.levels[4])
  }

  @Test func divisorAndScratch() {
    let uart = makeUART()
    uart.out(3, 0x83)
    uart.out(0, 0x34)
    uart.out(1, 0x12)
    #expect(uart.in(0) == 0x34 && uart.in(1) == 0x12)
    uart.out(3, 0x03)
    #expect(uart.in(1) == 0)
    uart.out(7, 0xA7)
    #expect(uart.in(7) == 0xA7)
    uart.out(2, 0x00)
    #expect(uart.in(2) & 0xC0 == 0)
    uart.out(2, 0x01)
    #expect(uart.in(2) & 0xC0 == 0xC0)
  }

  @Test func stateSurvives() throws {
    let uart = makeUART(exact: true)
    uart.out(2, 0x07)
    uart.out(4, 0x0B)
    uart.out(1, 0x07)
    uart.receive(Array("input that waits for a long time".utf8))
    for byte in Array("output".utf8) { uart.out(0, byte) }
    clock.run(for: 1_000_000)
    let clock2 = VirtualClock()
    let other = UART16550(name: "com1", clock: clock2, exactTiming: true)
    let later = Output()
    other.onTransmit = { later.bytes.append($0) }
    try transplant(uart, clock, to: other, clock2)
    let before = output.bytes.count
    clock.run(for: 100_000_000)
    clock2.run(for: 100_000_000)
    #expect(later.bytes == Array(output.bytes[before...]))
    #expect(!later.bytes.isEmpty)
    for _ in 0..<40 { #expect(uart.in(0) == other.in(0)) }
    #expect(savedBytes(uart, clock) == savedBytes(other, clock2))
  }

  @Test func anyInputIsHarmless() throws {
    let uart = makeUART()
    var dice = Dice(state: 5)
    for _ in 0..<20_000 {
      uart.out(UInt16(dice.next(below: 8)), UInt8(truncatingIfNeeded: dice.next()))
      _ = uart.in(UInt16(dice.next(below: 8)))
      if dice.next(below: 20) == 0 { uart.receive([UInt8(truncatingIfNeeded: dice.next())]) }
      clock.run(for: dice.next(below: 100_000))
    }
    // Whatever it came to, it can be saved and restored.
    let clock2 = VirtualClock()
    try transplant(uart, clock, to: UART16550(name: "com1", clock: clock2), clock2)
  }
}
