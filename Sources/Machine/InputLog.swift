import Devices
import Platform

/// Something that came from outside the machine.
public enum InputEvent: Equatable, Sendable {
  case serial(port: Int, bytes: [UInt8])
  case key(Key, isPressed: Bool)
  /// Relative movement (positive is right and up), wheel steps (away from the user), buttons held: bit 0 left, 1 right, 2 middle.
  case mouse(dx: Int16, dy: Int16, wheel: Int8, buttons: UInt8)
  case powerButton
}

/// An event with its place in the run. Virtual time is exact to the instruction, so number and time say all.
public struct InputRecord: Equatable, Sendable {
  public var number: UInt64
  public var time: VirtualTime
  public var event: InputEvent
}

/// The one door through which the outside world enters: every event gets a number and the virtual time of its entry.
public struct InputLog: Sendable {
  public private(set) var nextNumber: UInt64 = 0
  /// All events so far, when `keepsRecords` is set.
  public private(set) var records: [InputRecord] = []
  public var keepsRecords = false

  public init() {}

  mutating func enter(_ event: InputEvent, at time: VirtualTime) {
    if keepsRecords { records.append(InputRecord(number: nextNumber, time: time, event: event)) }
    nextNumber += 1
  }

  mutating func restore(nextNumber: UInt64) { self.nextNumber = nextNumber }

  // MARK: As a file

  private static let magic: UInt64 = 0x4755_504E_494E_4558  // "XENINPUG"

  public static func encode(_ records: [InputRecord]) -> [UInt8] {
    var writer = StateWriter()
    writer.put(magic)
    writer.put(UInt64(records.count))
    for r in records {
      writer.put(r.number)
      writer.put(r.time)
      switch r.event {
      case .serial(let port, let bytes):
        writer.put(UInt8(0))
        writer.put(UInt8(port))
        writer.put(bytes)
      case .key(let key, let isPressed):
        writer.put(UInt8(1))
        writer.put(key.rawValue)
        writer.put(isPressed)
      case .mouse(let dx, let dy, let wheel, let buttons):
        writer.put(UInt8(2))
        writer.put(dx)
        writer.put(dy)
        writer.put(wheel)
        writer.put(buttons)
      case .powerButton:
        writer.put(UInt8(3))
      }
    }
    return writer.bytes
  }

  public static func decode(_ bytes: [UInt8]) throws(StateError) -> [InputRecord] {
    var reader = StateReader(bytes)
    guard try reader.get(UInt64.self) == magic else { throw StateError("it is not an input log") }
    let count = try reader.get(UInt64.self)
    var records: [InputRecord] = []
    var last: VirtualTime = 0
    for _ in 0..<count {
      let number = try reader.get(UInt64.self)
      let time = try reader.get(UInt64.self)
      guard time >= last else { throw StateError("its events are not in the order of time") }
      last = time
      let event: InputEvent
      switch try reader.get(UInt8.self) {
      case 0: event = .serial(port: Int(try reader.get(UInt8.self)), bytes: try reader.getBytes())
      case 1:
        guard let key = Key(rawValue: try reader.get(UInt16.self)) else { throw StateError("it has an unknown key") }
        event = .key(key, isPressed: try reader.getBool())
      case 2:
        event = .mouse(
          dx: try reader.get(Int16.self), dy: try reader.get(Int16.self), wheel: try reader.get(Int8.self),
          buttons: try reader.get(UInt8.self))
      case 3: event = .powerButton
      case let kind: throw StateError("it has an event of unknown kind \(kind)")
      }
      records.append(InputRecord(number: number, time: time, event: event))
    }
    return records
  }
}

/// What runs a machine for somebody: brings input, shows output, knows the wall clock.
public protocol MachineHost: AnyObject {
  /// Monotonic wall time in nanoseconds. It decides only when to look for input and how long to sleep.
  func wallTime() -> UInt64
  /// Looks for input and shows what changed; called every few milliseconds of wall time. Waits for input for at most
  /// `mayWait` nanoseconds when the guest is idle, else 0.
  func service(_ machine: Machine, mayWait: UInt64) -> [InputEvent]
  /// Input may come at any moment, so that virtual time should not run ahead of the wall clock.
  var isInteractive: Bool { get }
  /// The user wants the run to end.
  var isInterrupted: Bool { get }
}

/// Nobody: no input, no pacing.
public final class BatchHost: MachineHost {
  public init() {}
  public func wallTime() -> UInt64 { 0 }
  public func service(_ machine: Machine, mayWait: UInt64) -> [InputEvent] { [] }
  public var isInteractive: Bool { false }
  public var isInterrupted: Bool { false }
}
