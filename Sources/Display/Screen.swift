import Devices

/// What a user does at a screen.
public enum ScreenEvent: Equatable, Sendable {
  case key(Key, isPressed: Bool)
  /// Relative movement (positive is right and up), wheel steps (away from the user), buttons held: bit 0 left, 1 right, 2 middle.
  case mouse(dx: Int16, dy: Int16, wheel: Int8, buttons: UInt8)
  /// The window was closed.
  case close
}

/// The characters of a text mode: code page 437 and VGA attributes, row by row.
public struct TextScreen: Equatable, Sendable {
  public struct Cell: Equatable, Sendable {
    public var code: UInt8
    public var attribute: UInt8
    public init(code: UInt8, attribute: UInt8) {
      self.code = code
      self.attribute = attribute
    }
  }

  public var columns: Int
  public var rows: Int
  public var cells: [Cell]
  /// Index of the cell with the cursor.
  public var cursor: Int?

  public init(columns: Int, rows: Int, cells: [Cell], cursor: Int?) {
    self.columns = columns
    self.rows = rows
    self.cells = cells
    self.cursor = cursor
  }
}

/// Something that shows the guest's display and brings what the user types and points at.
public protocol Screen: AnyObject {
  /// Shows a picture; `text` is the same as characters while the guest is in a text mode.
  func show(_ frame: Frame, text: TextScreen?)
  /// Events since the last call, in their order.
  func takeEvents() -> [ScreenEvent]
  /// Descriptors that become readable when there may be events.
  var waitDescriptors: [Int32] { get }
}

/// Why a display cannot be used, as one sentence for the user.
public struct DisplayError: Error, CustomStringConvertible, Sendable {
  public let description: String
  /// What the display needs is not there, rather than that the option is wrong.
  public let isUnavailable: Bool
  public init(_ description: String, isUnavailable: Bool = false) {
    self.description = description
    self.isUnavailable = isUnavailable
  }
}
