/// Motorola MC146818 real-time clock with 128 bytes of CMOS memory.
///
/// Datasheet: Motorola MC146818 (1984), IBM PC/AT Technical Reference for the memory's use. Ports: 70h–71h. IRQ 8.
///
/// The date at power-on is a parameter; from there the clock runs on virtual time, so runs are deterministic. Registers
/// are brought up to date when somebody looks; events exist only while an interrupt is enabled. UIP is set for 244 µs
/// before an update. A guest that does nothing but poll register A for UIP (16 reads in a row) has the next update
/// moved forward to it, unless it was so served less than two updates ago: a wait for an update
/// costs microseconds, and an interval measured between two of them is still one second.
///
/// Not modelled: daylight saving, square-wave output, loss of battery power, the 1984 µs in which the registers are unstable
/// (an update is instantaneous), oscillators other than 32.768 kHz; the NMI mask in bit 7 of port 70h (nothing on this board raises
/// an NMI through it).

import Platform

public final class RTC146818: Device, PortHandler {
  public let name = "rtc"
  public var irq: InterruptLine

  private enum Register {
    static let seconds = 0, secondsAlarm = 1, minutes = 2, minutesAlarm = 3, hours = 4, hoursAlarm = 5
    static let weekday = 6, day = 7, month = 8, year = 9, a = 10, b = 11, c = 12, d = 13
    static let century = 0x32
  }
  private enum Flag {
    static let update: UInt8 = 0x10, alarm: UInt8 = 0x20, periodic: UInt8 = 0x40, request: UInt8 = 0x80
  }
  private static let second: VirtualTime = 1_000_000_000
  private static let updateWarning: VirtualTime = 244_000
  private static let pollsBeforeShortcut: UInt8 = 16

  private let clock: VirtualClock
  private let startTime: Int64
  private let oscillator = ClockRate(32_768)
  private var memory = [UInt8](repeating: 0, count: 128)
  private var index: UInt8 = 0
  /// Virtual time of the next update of the registers; `never` while the divider is held.
  private var nextUpdate: VirtualTime = RTC146818.second
  /// Oscillator tick up to which periodic interrupts are accounted for.
  private var periodicSeen: UInt64 = 0
  private var irqLevel = false
  /// Consecutive reads of register A.
  private var polls: UInt8 = 0
  private var updatesUntilShortcut: UInt8 = 0
  private var timer: VirtualClock.Timer!

  /// - Parameter startTime: date and time at power-on, in seconds since 1970-01-01 (UTC or local time, as the guest expects).
  public init(clock: VirtualClock, startTime: Int64, irq: InterruptLine = .unconnected) {
    self.clock = clock
    self.irq = irq
    self.startTime = startTime
    timer = clock.makeTimer { [unowned self] _ in update() }
    memory[Register.a] = 0x26
    memory[Register.b] = 0x02
    memory[Register.d] = 0x80
    storeDate(CalendarDate(secondsSince1970: startTime))
    setByte(0x14, 0x06)
  }

  // MARK: Configuration memory

  /// Sets a byte of the CMOS memory from outside (0…127) and the checksum over 10h–2Dh.
  public func setByte(_ address: Int, _ value: UInt8) {
    guard memory.indices.contains(address) else { return }
    memory[address] = value
    let sum = memory[0x10...0x2D].reduce(UInt16(0)) { $0 &+ UInt16($1) }
    memory[0x2E] = UInt8(truncatingIfNeeded: sum &>> 8)
    memory[0x2F] = UInt8(truncatingIfNeeded: sum)
  }

  public func byte(_ address: Int) -> UInt8 { memory.indices.contains(address) ? memory[address] : 0xFF }

  /// Describes RAM the way PC firmware expects it.
  /// - Parameters:
  ///   - low: bytes of RAM that start at address 0 (below 4 GiB).
  ///   - high: bytes of RAM that start at 4 GiB.
  public func setMemorySize(low: UInt64, high: UInt64) {
    func store(_ address: Int, _ value: UInt64, bytes: Int) {
      for i in 0..<bytes { setByte(address + i, UInt8(truncatingIfNeeded: value &>> UInt64(8 * i))) }
    }
    store(0x15, min(low, 640 << 10) >> 10, bytes: 2)
    let extended = low > 1 << 20 ? min((low - (1 << 20)) >> 10, 0xFFFF) : 0
    store(0x17, extended, bytes: 2)
    store(0x30, extended, bytes: 2)
    store(0x34, low > 16 << 20 ? min((low - (16 << 20)) >> 16, 0xFFFF) : 0, bytes: 2)
    store(0x5B, min(high >> 16, 0xFF_FFFF), bytes: 3)
  }

  // MARK: Time

  private var isBinary: Bool { memory[Register.b].bit(2) }
  private var is24Hour: Bool { memory[Register.b].bit(1) }
  /// SET holds the registers while the divider chain runs on.
  private var isSet: Bool { memory[Register.b].bit(7) }
  /// A divider control other than 010 holds the chain in reset.
  private var isDividerHeld: Bool { memory[Register.a] & 0x70 != 0x20 }

  private func encode(_ value: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: isBinary ? value : (value / 10) << 4 | value % 10)
  }

  private func decode(_ byte: UInt8) -> Int {
    isBinary ? Int(byte) : Int(byte &>> 4) * 10 + Int(byte & 15)
  }

  private func encodeHour(_ hour: Int) -> UInt8 {
    if is24Hour { return encode(hour) }
    return encode(hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? 0x80 : 0)
  }

  private func decodeHour(_ byte: UInt8) -> Int {
    if is24Hour { return decode(byte) }
    return decode(byte & 0x7F) % 12 + (byte.bit(7) ? 12 : 0)
  }

  private func storeDate(_ date: CalendarDate) {
    memory[Register.seconds] = encode(date.second)
    memory[Register.minutes] = encode(date.minute)
    memory[Register.hours] = encodeHour(date.hour)
    memory[Register.weekday] = encode(date.weekday)
    memory[Register.day] = encode(date.day)
    memory[Register.month] = encode(date.month)
    memory[Register.year] = encode(date.year % 100)
    // The century byte is the BIOS's, in BCD whatever the data mode.
    let century = date.year / 100 % 100
    memory[Register.century] = UInt8((century / 10) << 4 | century % 10)
  }

  private func loadDate() -> CalendarDate {
    let c = memory[Register.century]
    let century = Int(c &>> 4) * 10 + Int(c & 15)
    return CalendarDate(
      year: century * 100 + decode(memory[Register.year]), month: decode(memory[Register.month]),
      day: decode(memory[Register.day]), hour: decodeHour(memory[Register.hours]),
      minute: decode(memory[Register.minutes]), second: decode(memory[Register.seconds]))
  }

  /// Applies all updates and periodic ticks up to now to the registers and flags.
  private func synchronise() {
    if nextUpdate <= clock.now {
      let count = (clock.now &- nextUpdate) / Self.second &+ 1
      nextUpdate = nextUpdate &+ count &* Self.second
      if !isSet { advance(seconds: count) }
    }
    let shift = periodicShift
    let ticks = oscillator.ticks(at: clock.now)
    if let shift, ticks &>> shift != periodicSeen &>> shift { memory[Register.c] |= Flag.periodic }
    periodicSeen = ticks
  }

  /// log2 of the periodic interval in oscillator ticks, or nil when the rate is "none" (datasheet table 5).
  private var periodicShift: UInt64? {
    if isDividerHeld { return nil }
    switch UInt64(memory[Register.a] & 15) {
    case 0: return nil
    case 1: return 7
    case 2: return 8
    case let rate: return rate - 1
    }
  }

  private func advance(seconds: UInt64) {
    updatesUntilShortcut = UInt8(seconds >= UInt64(updatesUntilShortcut) ? 0 : UInt64(updatesUntilShortcut) - seconds)
    memory[Register.c] |= Flag.update
    let start = loadDate().secondsSince1970
    let alarm = (memory[Register.hoursAlarm], memory[Register.minutesAlarm], memory[Register.secondsAlarm])
    // An alarm repeats every day at the latest, so one day of seconds is enough to look at.
    if !memory[Register.c].isAlarm {
      for k in 1...min(seconds, 86_400) {
        let day = (start &+ Int64(k)) % 86_400
        let t = Int(day < 0 ? day + 86_400 : day)
        if matches(alarm.0, encodeHour(t / 3600)), matches(alarm.1, encode(t / 60 % 60)), matches(alarm.2, encode(t % 60)) {
          memory[Register.c] |= Flag.alarm
          break
        }
      }
    }
    storeDate(CalendarDate(secondsSince1970: start &+ Int64(truncatingIfNeeded: seconds)))
  }

  /// Alarm bytes C0h–FFh mean "don't care".
  private func matches(_ alarm: UInt8, _ value: UInt8) -> Bool { alarm >= 0xC0 || alarm == value }

  private func update() {
    synchronise()
    let enabled = memory[Register.b] & 0x70
    let pending = memory[Register.c] & enabled != 0
    memory[Register.c] = memory[Register.c].settingBit(7, pending)
    if pending != irqLevel {
      irqLevel = pending
      irq.set(pending)
    }
    // While the line is up nothing more can happen; reading register C comes back here.
    var next = VirtualClock.never
    if !pending {
      if enabled & (Flag.update | Flag.alarm) != 0 { next = nextUpdate }
      if enabled & Flag.periodic != 0, let shift = periodicShift {
        let tick = ((oscillator.ticks(at: clock.now) &>> shift) &+ 1) &<< shift
        next = min(next, oscillator.time(ofTick: tick))
      }
    }
    if next == VirtualClock.never { clock.cancel(timer) } else { clock.arm(timer, at: next) }
  }

  // MARK: Ports

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 {
    if offset & 1 == 0 { return 0xFF }
    let n = Int(index & 0x7F)
    synchronise()
    if n != Register.a { polls = 0 }
    switch n {
    case Register.a: return UInt32(memory[n] & 0x7F) | (isUpdating() ? 0x80 : 0)
    case Register.c:
      update()
      let value = memory[n]
      memory[n] = 0
      update()
      return UInt32(value)
    default: return UInt32(memory[n])
    }
  }

  /// UIP, with the shortcut described at the top of the file.
  private func isUpdating() -> Bool {
    if nextUpdate == VirtualClock.never || isSet { return false }
    if nextUpdate &- clock.now <= Self.updateWarning { return true }
    polls = min(polls &+ 1, Self.pollsBeforeShortcut)
    if polls < Self.pollsBeforeShortcut || updatesUntilShortcut > 0 { return false }
    polls = 0
    updatesUntilShortcut = 3
    nextUpdate = clock.now &+ 20_000
    update()
    return true
  }

  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    if offset & 1 == 0 {
      index = byte
      return
    }
    let n = Int(index & 0x7F)
    polls = 0
    synchronise()
    switch n {
    case Register.a, Register.b:
      let wasHeld = isDividerHeld
      if n == Register.a {
        memory[n] = byte & 0x7F
      } else {
        // SET clears the update interrupt enable (datasheet, register B).
        memory[n] = byte.bit(7) ? byte & ~Flag.update : byte
      }
      // The first update comes half a second after the divider is released (datasheet, register A).
      if isDividerHeld {
        nextUpdate = VirtualClock.never
      } else if wasHeld {
        nextUpdate = clock.now &+ Self.second / 2
      }
      update()
    case Register.c, Register.d: break
    default: memory[n] = byte
    }
  }

  // MARK: Device

  /// The reset pin clears the interrupt enables and flags; the clock runs on its battery.
  public func reset() {
    synchronise()
    memory[Register.b] &= 0x87
    memory[Register.c] = 0
    index = 0
    polls = 0
    update()
  }

  public func save(to writer: inout StateWriter) {
    writer.put(memory)
    writer.put(index)
    writer.put(nextUpdate)
    writer.put(periodicSeen)
    writer.put(irqLevel)
    writer.put(polls)
    writer.put(updatesUntilShortcut)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    let bytes = try reader.getBytes()
    guard bytes.count == memory.count else { throw StateError("the saved state of the CMOS memory is damaged") }
    memory = bytes
    index = try reader.get(UInt8.self)
    nextUpdate = try reader.get(UInt64.self)
    periodicSeen = try reader.get(UInt64.self)
    irqLevel = try reader.getBool()
    polls = try reader.get(UInt8.self)
    updatesUntilShortcut = try reader.get(UInt8.self)
  }
}

extension UInt8 {
  fileprivate var isAlarm: Bool { bit(5) }
}

/// A date of the proleptic Gregorian calendar; fields out of range are carried over.
struct CalendarDate: Equatable {
  var year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int

  init(year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int) {
    (self.year, self.month, self.day) = (year, month, day)
    (self.hour, self.minute, self.second) = (hour, minute, second)
  }

  init(secondsSince1970 time: Int64) {
    let bounded = Int(max(-1 << 40, min(time, 1 << 40)))
    var days = bounded / 86_400
    var rest = bounded % 86_400
    if rest < 0 {
      rest += 86_400
      days -= 1
    }
    // Count from 1 March 0000, so that the leap day is the last day of a year.
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60)
  }

  private var daysSince1970: Int {
    let m = max(1, min(month, 12))
    let y = m <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  var secondsSince1970: Int64 { Int64(daysSince1970 * 86_400 + hour * 3600 + minute * 60 + second) }

  /// 1 = Sunday … 7 = Saturday, as the RTC counts.
  var weekday: Int { ((daysSince1970 + 4) % 7 + 7) % 7 + 1 }
}
