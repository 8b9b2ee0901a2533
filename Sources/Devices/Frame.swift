/// A picture of the guest's display.
public struct Frame: Sendable {
  public private(set) var width = 0
  public private(set) var height = 0
  /// Rows from top to bottom without padding; 0xFFRRGGBB, so the bytes in memory are B, G, R, A on little-endian hosts.
  public var pixels: [UInt32] = []

  public init() {}

  /// Gives the frame another size. The contents are undefined afterwards.
  public mutating func resize(width: Int, height: Int) {
    if width == self.width, height == self.height { return }
    self.width = max(0, width)
    self.height = max(0, height)
    pixels = [UInt32](repeating: 0xFF00_0000, count: self.width * self.height)
  }
}
