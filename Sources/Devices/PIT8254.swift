/// Intel 8254 Programmable Interval Timer at 1.193182 MHz.
///
/// Datasheet: Intel 8254 (order 231164-005). Ports: 40h–43h. IRQ 0 from the output of channel 0.
///
/// Nothing happens a tick: counts and outputs are computed from virtual time when somebody looks, and one event
/// is armed for the next change of the output of channel 0 when its line is connected.
///
/// Not modelled: reading a counter while it changes (a count read is always that of one instant); channel 1 is a
/// plain counter (its DRAM refresh output goes nowhere).

import Platform

public final class PIT8254: Device, PortHandler {
  public let name = "pit8254"
  public static let frequency: UInt64 = 1_193_182

  /// Output of channel 0.
  public var output: InterruptLine

  let clock: VirtualClock
  private let rate = ClockRate(PIT8254.frequency)
  private var channels = [Channel(gate: true), Channel(gate: true), Channel(gate: false)]
  private var outputLevel = false
  private var timer: VirtualClock.Timer!

  public init(clock: VirtualClock, output: InterruptLine = .unconnected) {
    self.clock = clock
    self.output = output
    timer = clock.makeTimer { [unowned self] _ in update() }
  }

  private var now: Int64 { Int64(rate.ticks(at: clock.now) & 0x7FFF_FFFF_FFFF_FFFF) }

  /// Sets the GATE pin of a channel (0…2).
  public func setGate(_ channel: Int, _ level: Bool) {
    guard channels.indices.contains(channel) else { return }
    channels[channel].setGate(level, at: now)
    if channel == 0 { update() }
  }

  public func gate(_ channel: Int) -> Bool { channels.indices.contains(channel) && channels[channel].gate }

  /// The OUT pin of a channel (0…2).
  public func out(_ channel: Int) -> Bool {
    guard channels.indices.contains(channel) else { return true }
    channels[channel].synchronise(at: now)
    return channels[channel].out(at: now)
  }

  /// Frequency in Hz of the square wave on a channel's output, 0 when it makes none.
  public func toneFrequency(_ channel: Int) -> UInt64 {
    guard channels.indices.contains(channel) else { return 0 }
    let c = channels[channel]
    return c.mode == 3 && c.isLoaded && c.gate ? PIT8254.frequency / UInt64(max(1, c.period)) : 0
  }

  private func update() {
    let t = now
    channels[0].synchronise(at: t)
    let level = channels[0].out(at: t)
    if level != outputLevel {
      outputLevel = level
      output.set(level)
    }
    if let next = channels[0].nextChange(after: t) {
      clock.arm(timer, at: rate.time(ofTick: UInt64(next)))
    } else {
      clock.cancel(timer)
    }
  }

  // MARK: Ports

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 {
    let n = Int(offset & 3)
    if n == 3 { return 0xFF }
    channels[n].synchronise(at: now)
    return UInt32(channels[n].read(at: now))
  }

  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    let n = Int(offset & 3)
    let t = now
    if n < 3 {
      channels[n].synchronise(at: t)
      channels[n].write(byte, at: t)
      if n == 0 { update() }
      return
    }
    let selected = Int(byte &>> 6)
    if selected == 3 {
      for k in 0..<3 where byte.bit(k + 1) {
        channels[k].synchronise(at: t)
        if !byte.bit(5) { channels[k].latchCount(at: t) }
        if !byte.bit(4) { channels[k].latchStatus(at: t) }
      }
      return
    }
    channels[selected].synchronise(at: t)
    if byte & 0x30 == 0 {
      channels[selected].latchCount(at: t)
    } else {
      channels[selected].control(byte)
      if selected == 0 { update() }
    }
  }

  // MARK: Device

  public func reset() {
    // The chip has no reset pin; a defined state at power-on keeps runs equal.
    channels = [Channel(gate: true), Channel(gate: true), Channel(gate: false)]
    update()
  }

  public func save(to writer: inout StateWriter) {
    for channel in channels { channel.save(to: &writer) }
    writer.put(outputLevel)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    for n in channels.indices { try channels[n].restore(from: &reader) }
    outputLevel = try reader.getBool()
  }
}
