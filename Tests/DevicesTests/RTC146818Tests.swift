import Platform
import Testing

@testable import Devices

private let second: VirtualTime = 1_000_000_000
/// 2024-02-28 23:59:55 UTC, a Wednesday before a leap day.
private let start: Int64 = 1_709_164_795

@Suite struct RTC146818Tests {
  let clock = VirtualClock()
  let lines = Recorder()

  private func makeRTC() -> RTC146818 { RTC146818(clock: clock, startTime: start, irq: lines.line(8)) }
  private func read(_ rtc: RTC146818, _ n: UInt8) -> UInt8 {
    rtc.out(0, n)
    return rtc.in(1)
  }
  private func write(_ rtc: RTC146818, _ n: UInt8, _ value: UInt8) {
    rtc.out(0, n)
    rtc.out(1, value)
  }
  private func time(_ rtc: RTC146818) -> [UInt8] { [4, 2, 0].map { read(rtc, $0) } }
  private func date(_ rtc: RTC146818) -> [UInt8] { [0x32, 9, 8, 7, 6].map { read(rtc, $0) } }

  @Test func calendarConvertsBothWays() {
    for time: Int64 in [0, -1, 951_782_400, 1_709_164_795, 4_102_444_799, -2_208_988_800] {
      #expect(CalendarDate(secondsSince1970: time).secondsSince1970 == time)
    }
    let date = CalendarDate(secondsSince1970: 951_782_400)
    #expect(date == CalendarDate(year: 2000, month: 2, day: 29, hour: 0, minute: 0, second: 0))
    #expect(date.weekday == 3)
  }

  @Test func countsThroughMidnightAndLeapDay() {
    let rtc = makeRTC()
    #expect(time(rtc) == [0x23, 0x59, 0x55])
    #expect(date(rtc) == [0x20, 0x24, 0x02, 0x28, 0x04])
    clock.run(to: 5 * second)
    #expect(time(rtc) == [0, 0, 0])
    #expect(date(rtc) == [0x20, 0x24, 0x02, 0x29, 0x05])
    clock.run(to: (5 + 86_400) * second)
    #expect(date(rtc) == [0x20, 0x24, 0x03, 0x01, 0x06])
  }

  @Test func binaryAndTwelveHourFormats() {
    let rtc = makeRTC()
    write(rtc, 0x0B, 0x82)
    write(rtc, 0x0B, 0x84)
    write(rtc, 0, 59)
    write(rtc, 2, 59)
    write(rtc, 4, 0x8B)
    write(rtc, 0x0B, 0x04)
    clock.run(to: 2 * second)
    #expect(read(rtc, 4) == 12, "11:59 pm is followed by 12 am")
    #expect(read(rtc, 2) == 0)
  }

  @Test func setHoldsTheRegisters() {
    let rtc = makeRTC()
    write(rtc, 0x0B, 0x82)
    clock.run(to: 10 * second)
    #expect(time(rtc) == [0x23, 0x59, 0x55])
    write(rtc, 0x0B, 0x02)
    clock.run(to: 11 * second)
    #expect(time(rtc) == [0x23, 0x59, 0x56])
  }

  @Test func updateInProgressPrecedesTheUpdate() {
    let rtc = makeRTC()
    clock.run(to: second - 244_001)
    #expect(read(rtc, 0x0A) == 0x26)
    clock.run(to: second - 244_000)
    #expect(read(rtc, 0x0A) == 0xA6)
    #expect(read(rtc, 0) == 0x55)
    clock.run(to: second)
    #expect(read(rtc, 0x0A) == 0x26)
    #expect(read(rtc, 0) == 0x56)
  }

  /// A guest that waits for UIP to rise and fall gets its edge soon, and the next one exactly a second later.
  @Test func waitingForAnUpdateIsShort() {
    let rtc = makeRTC()
    clock.run(to: second / 10)
    func waitForUpdate() -> VirtualTime {
      rtc.out(0, 0x0A)
      while rtc.in(1) & 0x80 == 0 { clock.run(for: 2000) }
      while rtc.in(1) & 0x80 != 0 { clock.run(for: 2000) }
      return clock.now
    }
    let first = waitForUpdate()
    #expect(first < second / 10 + 100_000)
    #expect(read(rtc, 0) == 0x56)
    let next = waitForUpdate()
    #expect(next - first == second)
    #expect(read(rtc, 0) == 0x57)
  }

  @Test func fewLooksAtRegisterAChangeNothing() {
    let rtc = makeRTC()
    clock.run(to: second / 2)
    for _ in 0..<100 {
      #expect(read(rtc, 0x0A) == 0x26)
      #expect(read(rtc, 0) == 0x55)
    }
    clock.run(to: second - 1)
    #expect(read(rtc, 0) == 0x55)
  }

  @Test func periodicInterrupt() {
    let rtc = makeRTC()
    write(rtc, 0x0A, 0x26)
    write(rtc, 0x0B, 0x42)
    var count = 0
    while clock.now < second {
      clock.run(to: min(clock.nextDeadline, second))
      if lines.levels[8] {
        count += 1
        #expect(read(rtc, 0x0C) & 0xC0 == 0xC0)
      }
    }
    #expect(count == 1024)
  }

  @Test func updateAndAlarmInterrupts() {
    let rtc = makeRTC()
    write(rtc, 1, 0x02)
    write(rtc, 3, 0xFF)
    write(rtc, 5, 0x00)
    write(rtc, 0x0B, 0x22)
    clock.run(to: 7 * second - 1)
    #expect(!lines.levels[8])
    clock.run(to: 7 * second)
    #expect(lines.levels[8])
    #expect(read(rtc, 0x0C) == 0xF0)
    #expect(!lines.levels[8])
    #expect(read(rtc, 0x0C) == 0)
    write(rtc, 0x0B, 0x12)
    clock.run(to: 8 * second)
    #expect(read(rtc, 0x0C) & 0x90 == 0x90)
  }

  @Test func memorySizes() {
    let rtc = makeRTC()
    rtc.setMemorySize(low: 512 << 20, high: 3 << 30)
    #expect(rtc.byte(0x15) == 0x80 && rtc.byte(0x16) == 0x02)
    #expect(rtc.byte(0x17) == 0xFF && rtc.byte(0x18) == 0xFF)
    #expect(Int(rtc.byte(0x34)) | Int(rtc.byte(0x35)) << 8 == (512 - 16) << 4)
    #expect(Int(rtc.byte(0x5B)) | Int(rtc.byte(0x5C)) << 8 == 3 << 14)
    let sum = (0x10...0x2D).reduce(0) { $0 + Int(rtc.byte($1)) }
    #expect(Int(rtc.byte(0x2E)) << 8 | Int(rtc.byte(0x2F)) == sum)
  }

  @Test func stateSurvives() throws {
    let rtc = makeRTC()
    write(rtc, 0x0B, 0x52)
    write(rtc, 0x40, 0x99)
    clock.run(to: second / 3)
    let clock2 = VirtualClock()
    let lines2 = Recorder()
    let rtc2 = RTC146818(clock: clock2, startTime: 0, irq: lines2.line(8))
    try transplant(rtc, clock, to: rtc2, clock2)
    for (c, r) in [(clock, rtc), (clock2, rtc2)] {
      c.run(to: 5 * second)
      _ = read(r, 0x0C)
      c.run(to: 9 * second)
    }
    #expect(time(rtc) == time(rtc2))
    #expect(savedBytes(rtc, clock) == savedBytes(rtc2, clock2))
  }

  @Test func anyInputIsHarmless() throws {
    let rtc = makeRTC()
    var dice = Dice(state: 3)
    for _ in 0..<3_000 {
      write(rtc, UInt8(truncatingIfNeeded: dice.next()), UInt8(truncatingIfNeeded: dice.next()))
      _ = read(rtc, UInt8(dice.next(below: 16)))
      clock.run(for: dice.next(below: 3_000_000))
    }
    clock.now = 1 << 61
    _ = read(rtc, 0)
    // Whatever it came to, it can be saved and restored.
    let clock2 = VirtualClock()
    try transplant(rtc, clock, to: RTC146818(clock: clock2, startTime: 0), clock2)
  }
}
