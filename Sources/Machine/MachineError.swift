/// What went wrong before or outside the guest, as one sentence for the user, and whose fault it is.
public struct MachineError: Error, CustomStringConvertible, Sendable {
  public enum Kind: Sendable {
    /// The command line or configuration asks for something that does not exist or does not fit together.
    case usage
    /// A file's content is not what it should be, or the host cannot give what the configuration asks for.
    case badImage
    /// A file is not there or cannot be opened.
    case missingFile
    /// The host refused something, or the emulator contradicts itself.
    case `internal`
  }

  public let kind: Kind
  public let description: String

  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  public static func usage(_ text: String) -> MachineError { MachineError(.usage, text) }
  public static func badImage(_ text: String) -> MachineError { MachineError(.badImage, text) }
  public static func missingFile(_ text: String) -> MachineError { MachineError(.missingFile, text) }
}
