/// IA-PC High Precision Event Timer block with three 64-bit timers, all of them periodic-capable.
///
/// Reference: IA-PC HPET Specification 1.0a. Memory: 1 KiB, usually at FED00000h. Interrupts: I/O APIC 20–23 by
/// choice of the guest, or in legacy replacement IRQ 0 (timer 0) and IRQ 8 (timer 1). The lines of the PIT and the RTC
/// pass through this device (inputs 0 and 1), because legacy replacement cuts them off.
///
/// An edge interrupt lowers and raises its line, which stays up until the next one.
///
/// Not modelled: FSB (MSI) delivery; periods shorter than a microsecond are stretched.

import Platform

public final class HPET: Device, MemoryHandler, InterruptSink {
  public let name = "hpet"
  public static let timerCount = 3

  private enum Config {
    static let level: UInt64 = 1 << 1, enable: UInt64 = 1 << 2, periodic: UInt64 = 1 << 3
    static let valueSet: UInt64 = 1 << 6, is32Bit: UInt64 = 1 << 8
    static let writable: UInt64 = 0x3F4E
    /// Periodic-capable, 64 bits wide, I/O APIC inputs 20–23.
    static let fixed: UInt64 = 0x00F0_0000_0000_0030
  }

  private struct Comparator {
    var config: UInt64 = Config.fixed
    var value: UInt64 = .max
    var period: UInt64 = 0
    /// Line that is up, or 255.
    var raisedLine: UInt8 = 255
  }

  private static let shortestPeriod: VirtualTime = 1000

  private let clock: VirtualClock
  private let lines: any InterruptSink
  private let rate: ClockRate
  private let capabilities: UInt64
  private var configuration: UInt64 = 0
  private var status: UInt64 = 0
  /// Main counter at clock tick `startTick`, or its value while halted.
  private var counterBase: UInt64 = 0
  private var startTick: UInt64 = 0
  private var comparators = [Comparator](repeating: Comparator(), count: HPET.timerCount)
  /// Levels of the PIT and the RTC.
  private var legacyInputs: UInt8 = 0
  private var timers: [VirtualClock.Timer] = []

  /// - Parameters:
  ///   - lines: the board's interrupt lines 0…23.
  ///   - frequency: of the main counter in Hz, at least 10 MHz and a divisor of 10^15.
  public init(clock: VirtualClock, lines: any InterruptSink, frequency: UInt64 = 100_000_000) {
    precondition(frequency >= 10_000_000 && frequency <= 1_000_000_000)
    self.clock = clock
    self.lines = lines
    rate = ClockRate(frequency)
    // Vendor 8086h, legacy replacement, 64-bit counter, number of the last timer, revision 1.
    capabilities = (1_000_000_000_000_000 / frequency) << 32 | 0x8086_A001 | UInt64(Self.timerCount - 1) << 8
    for n in 0..<Self.timerCount { timers.append(clock.makeTimer { [unowned self] _ in fired(n) }) }
  }

  private var isEnabled: Bool { configuration.bit(0) }
  /// Legacy replacement: the timers own IRQ 0 and 8.
  public var isLegacyReplacement: Bool { configuration.bit(1) }

  private var counter: UInt64 {
    isEnabled ? counterBase &+ (rate.ticks(at: clock.now) &- startTick) : counterBase
  }

  // MARK: Legacy lines

  /// Input 0 is the output of the PIT, input 1 the interrupt of the RTC.
  public func setInput(_ input: Int, level: Bool) {
    guard input == 0 || input == 1 else { return }
    legacyInputs = legacyInputs.settingBit(input, level)
    if !isLegacyReplacement { lines.setInput(input == 0 ? 0 : 8, level: level) }
  }

  // MARK: Timers

  private func mask(_ n: Int) -> UInt64 { comparators[n].config & Config.is32Bit != 0 ? 0xFFFF_FFFF : .max }

  /// Arms the event of a timer. A comparator equal to the counter matches now, unless it just did.
  private func arm(_ n: Int, justMatched: Bool = false) {
    guard isEnabled else { return clock.cancel(timers[n]) }
    var distance = (comparators[n].value &- counter) & mask(n)
    if distance == 0, justMatched {
      if mask(n) == .max { return clock.cancel(timers[n]) }
      distance = 1 << 32
    }
    let (tick, overflow) = rate.ticks(at: clock.now).addingReportingOverflow(distance)
    let time = overflow ? VirtualClock.never : rate.time(ofTick: tick)
    if time == VirtualClock.never { return clock.cancel(timers[n]) }
    clock.arm(timers[n], at: justMatched ? max(time, clock.now &+ Self.shortestPeriod) : max(time, clock.now))
  }

  private func fired(_ n: Int) {
    let comparator = comparators[n]
    if comparator.config & Config.periodic != 0, comparator.period & mask(n) != 0 {
      // The comparator moves on by whole periods past the counter; periods that went by unnoticed are one interrupt.
      let period = comparator.period & mask(n)
      let behind = (counter &- comparator.value) & mask(n)
      comparators[n].value = (comparator.value &+ (behind / period &+ 1) &* period) & mask(n)
    }
    interrupt(n)
    arm(n, justMatched: true)
  }

  private func line(_ n: Int) -> Int? {
    if isLegacyReplacement, n < 2 { return n == 0 ? 0 : 8 }
    let route = Int(comparators[n].config >> 9 & 31)
    return (Config.fixed >> 32).bit(route) ? route : nil
  }

  private func interrupt(_ n: Int) {
    let isLevel = comparators[n].config & Config.level != 0
    if isLevel { status = status.settingBit(n, true) }
    guard comparators[n].config & Config.enable != 0, let line = line(n) else { return }
    if !isLevel { lower(n) }
    comparators[n].raisedLine = UInt8(line)
    lines.setInput(line, level: true)
  }

  private func lower(_ n: Int) {
    let line = comparators[n].raisedLine
    guard line != 255 else { return }
    comparators[n].raisedLine = 255
    lines.setInput(Int(line), level: false)
  }

  // MARK: Registers

  private func readRegister(_ offset: UInt64) -> UInt64 {
    switch offset {
    case 0x000: return capabilities
    case 0x010: return configuration
    case 0x020: return status
    case 0x0F0: return counter
    case 0x100..<(0x100 + 0x20 * UInt64(Self.timerCount)):
      let comparator = comparators[Int(offset - 0x100) / 0x20]
      switch offset & 0x1F {
      case 0x00: return comparator.config
      case 0x08: return comparator.value
      default: return 0
      }
    default: return 0
    }
  }

  /// Writes the bits of `value` that `lane` covers.
  private func writeRegister(_ offset: UInt64, _ value: UInt64, lane: UInt64) {
    let merged = readRegister(offset) & ~lane | value & lane
    switch offset {
    case 0x010: writeConfiguration(merged)
    case 0x020:
      for n in 0..<Self.timerCount where (value & lane & status).bit(n) {
        status = status.settingBit(n, false)
        lower(n)
      }
    case 0x0F0:
      // Writable only while halted; a running counter keeps counting (specification §2.3.7).
      if !isEnabled { counterBase = merged }
    case 0x100..<(0x100 + 0x20 * UInt64(Self.timerCount)):
      let n = Int(offset - 0x100) / 0x20
      switch offset & 0x1F {
      case 0x00: writeTimerConfiguration(n, merged)
      case 0x08: writeComparator(n, value, lane: lane)
      default: break
      }
    default: break
    }
  }

  private func writeConfiguration(_ value: UInt64) {
    let old = configuration
    let now = counter
    let tick = rate.ticks(at: clock.now)
    configuration = value & 3
    if (old ^ configuration).bit(0) {
      counterBase = now
      startTick = tick
      for n in 0..<Self.timerCount {
        if !isEnabled { lower(n) }
        arm(n)
      }
    }
    if (old ^ configuration).bit(1) {
      for n in 0..<2 {
        lower(n)
        let pin = n == 0 ? 0 : 8
        lines.setInput(pin, level: !isLegacyReplacement && legacyInputs.bit(n))
      }
    }
  }

  private func writeTimerConfiguration(_ n: Int, _ value: UInt64) {
    let old = comparators[n].config
    comparators[n].config = Config.fixed | value & Config.writable
    let new = comparators[n].config
    if new & Config.is32Bit != 0 {
      comparators[n].value &= 0xFFFF_FFFF
      comparators[n].period &= 0xFFFF_FFFF
    }
    if new & Config.enable == 0 || (old ^ new) & (Config.level | 0x3E00) != 0 { lower(n) }
    if (old ^ new) & Config.is32Bit != 0 { arm(n) }
    // A level interrupt whose status is still set shows as soon as it is enabled.
    if new & Config.enable & ~old != 0, new & Config.level != 0, status.bit(n) { interrupt(n) }
  }

  /// In periodic mode a write sets the period, and the comparator itself only after VAL_SET (specification §2.3.9.2.2).
  private func writeComparator(_ n: Int, _ value: UInt64, lane: UInt64) {
    func merge(_ old: UInt64) -> UInt64 { (old & ~lane | value & lane) & mask(n) }
    let isPeriodic = comparators[n].config & Config.periodic != 0
    if !isPeriodic || comparators[n].config & Config.valueSet != 0 {
      comparators[n].value = merge(comparators[n].value)
    }
    if isPeriodic { comparators[n].period = merge(comparators[n].period) }
    comparators[n].config &= ~Config.valueSet
    arm(n)
  }

  public func readMemory(_ offset: UInt64, size: Int) -> UInt64 {
    readRegister(offset & 0x3F8) >> ((offset & 7) * 8) & allOnes(size)
  }

  public func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int) {
    // Only aligned accesses of 4 and 8 bytes are allowed (specification §2.3.2).
    guard size >= 4, offset & UInt64(size - 1) == 0 else { return }
    let shift = (offset & 7) * 8
    writeRegister(offset & 0x3F8, value << shift, lane: allOnes(size) << shift)
  }

  // MARK: Device

  public func reset() {
    for n in 0..<Self.timerCount {
      lower(n)
      comparators[n] = Comparator()
      clock.cancel(timers[n])
    }
    let wasLegacy = isLegacyReplacement
    configuration = 0
    status = 0
    counterBase = 0
    startTick = 0
    if wasLegacy {
      for n in 0..<2 { lines.setInput(n == 0 ? 0 : 8, level: legacyInputs.bit(n)) }
    }
  }

  public func save(to writer: inout StateWriter) {
    for word in [configuration, status, counterBase, startTick] { writer.put(word) }
    for c in comparators {
      writer.put(c.config)
      writer.put(c.value)
      writer.put(c.period)
      writer.put(c.raisedLine)
    }
    writer.put(legacyInputs)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    configuration = try reader.get(UInt64.self)
    status = try reader.get(UInt64.self)
    counterBase = try reader.get(UInt64.self)
    startTick = try reader.get(UInt64.self)
    for n in comparators.indices {
      comparators[n].config = try reader.get(UInt64.self)
      comparators[n].value = try reader.get(UInt64.self)
      comparators[n].period = try reader.get(UInt64.self)
      comparators[n].raisedLine = try reader.get(UInt8.self)
    }
    legacyInputs = try reader.get(UInt8.self)
  }
}
