/// What is wrong with an image file, as one sentence that names the file.
public struct ImageError: Error, CustomStringConvertible, Equatable, Sendable {
  public let description: String
  public init(_ description: String) { self.description = description }
}
