import Devices

/// What a user does at a screen.
public enum ScreenEvent: Equatable, Sendable {
  case key(Key, isPressed: Bool)
  /// Relative movement (positive is right and up), wheel steps (away from the user), buttons held: bit 0 left, 1 right, 2 middle.
  case mouse(dx: Int16, dy: Int16, wheel: Int8, buttons: UInt8)
  /// The window was closed.
  case close
}

/// Something that shows the guest's display and brings what the user types and points at.
public protocol Screen: AnyObject {
  func show(_ frame: Frame)
  /// Events since the last call, in their order.
  func takeEvents() -> [ScreenEvent]
}

/// Why a display cannot be used, as one sentence for the user.
public struct DisplayError: Error, CustomStringConvertible, Sendable {
  public let description: String
  init(_ description: String) { self.description = description }
}
