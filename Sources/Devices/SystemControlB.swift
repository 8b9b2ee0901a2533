/// System control port B: the speaker gate and the refresh toggle of the PC/AT.
///
/// Reference: IBM PC/AT Technical Reference §1; Intel 82371SB (PIIX3) §2.5.5 "NMI status and control". Port: 61h.
///
/// Not modelled: NMI from SERR# and IOCHK# (their status bits read 0); sound itself (the tone is offered as a number).

import Platform

public final class SystemControlB: Device, PortHandler {
  public let name = "port61"

  private let clock: VirtualClock
  private let pit: PIT8254
  /// Bits 3–0 as written: gate 2, speaker data, SERR and IOCHK masks.
  private var control: UInt8 = 0
  /// The refresh signal toggles every 15.085 µs, that is every 18 ticks of the PIT.
  private let rate = ClockRate(PIT8254.frequency)

  public init(clock: VirtualClock, pit: PIT8254) {
    self.clock = clock
    self.pit = pit
  }

  /// Frequency in Hz that the speaker is driven with, 0 when it is silent.
  public var speakerFrequency: UInt64 { control & 3 == 3 ? pit.toneFrequency(2) : 0 }

  public func readPort(_ offset: UInt16, size: Int) -> UInt32 {
    let refresh = (rate.ticks(at: clock.now) / 18) & 1
    return UInt32(control) | UInt32(refresh) &<< 4 | (pit.out(2) ? 0x20 : 0)
  }

  public func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    control = UInt8(truncatingIfNeeded: value) & 0x0F
    pit.setGate(2, control.bit(0))
  }

  public func reset() {
    control = 0
    pit.setGate(2, false)
  }

  public func save(to writer: inout StateWriter) { writer.put(control) }
  public func restore(from reader: inout StateReader) throws(StateError) { control = try reader.get(UInt8.self) & 0x0F }
}
