import Platform
import Testing

@testable import Devices

/// Records what arrives on interrupt lines.
final class Recorder: InterruptSink {
  var levels = [Bool](repeating: false, count: 32)
  var rises = [Int](repeating: 0, count: 32)

  func setInput(_ input: Int, level: Bool) {
    if level, !levels[input] { rises[input] += 1 }
    levels[input] = level
  }

  func line(_ n: Int) -> InterruptLine { InterruptLine(self, input: n) }
}

/// Records what a local APIC does to its processor.
final class FakeProcessor: ProcessorSignals {
  var request = false
  var nmis = 0, smis = 0, inits = 0
  var startups: [UInt8] = []
  func setInterruptRequest(_ level: Bool) { request = level }
  func signalNMI() { nmis += 1 }
  func signalSMI() { smis += 1 }
  func signalINIT() { inits += 1 }
  func signalStartup(vector: UInt8) { startups.append(vector) }
}

extension VirtualClock {
  /// Moves on to `time`, firing timers exactly at their deadlines.
  func run(to time: VirtualTime) {
    while nextDeadline <= time {
      now = max(now, nextDeadline)
      fireDue()
    }
    now = time
  }

  func run(for duration: VirtualTime) { run(to: now + duration) }
}

func savedBytes(_ device: any Device, _ clock: VirtualClock? = nil) -> [UInt8] {
  var writer = StateWriter()
  clock?.save(to: &writer)
  device.save(to: &writer)
  return writer.bytes
}

/// Loads the state of `old` into `new` and checks that it saves the same bytes again.
func transplant(_ old: any Device, _ oldClock: VirtualClock? = nil, to new: any Device, _ newClock: VirtualClock? = nil) throws {
  let bytes = savedBytes(old, oldClock)
  var reader = StateReader(bytes)
  try newClock?.restore(from: &reader)
  try new.restore(from: &reader)
  #expect(reader.isAtEnd)
  #expect(savedBytes(new, newClock) == bytes)
}

/// A small deterministic generator for hostile input.
struct Dice {
  var state: UInt64
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
  mutating func next(below n: UInt64) -> UInt64 { next() % n }
}

extension PortHandler {
  func out(_ offset: UInt16, _ value: UInt8) { writePort(offset, UInt32(value), size: 1) }
  func `in`(_ offset: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: readPort(offset, size: 1)) }
}
