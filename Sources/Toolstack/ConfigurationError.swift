import Hypervisor

/// What is wrong with a domain's configuration file: one sentence that names the file, the line and the key.
public struct ConfigurationError: Error, CustomStringConvertible, Equatable, Sendable {
  public let file: String
  /// Nil where something is missing, and for a setting of the command line.
  public let line: Int?
  /// Nil where the file is wrong before it comes to a key.
  public let key: String?
  /// The sentence without file and line; it names the key.
  public let reason: String

  public var description: String { line.map { "\(file), line \($0): \(reason)" } ?? "\(file): \(reason)" }
}

extension BuildError {
  /// The same with file, key and line of what the domain's configuration says about its cause.
  func located(in configuration: DomainConfiguration) -> BuildError {
    guard !isLocated, let key = cause.flatMap({ configuration.key(of: $0) }) else { return self }
    return BuildError(configuration.error("\(key):", key: key, description))
  }

  /// A fault in a configuration that turns up when the domain is built.
  init(_ error: ConfigurationError, isMissingFile: Bool = false) {
    self.init(error.description, isMissingFile: isMissingFile)
    isLocated = true
  }
}

/// What the user should know although the file can be used, in the same form.
public struct ConfigurationWarning: CustomStringConvertible, Equatable, Sendable {
  public let file: String
  public let line: Int?
  public let key: String
  public let reason: String

  public var description: String { line.map { "\(file), line \($0): \(reason)" } ?? "\(file): \(reason)" }
}

/// Where settings come from.
struct ConfigurationSource: Equatable, Sendable {
  /// What messages call it.
  var name: String
  /// Whether messages name a line. The command line has only one.
  var hasLines = true

  func error(_ reason: String, key: String?, line: Int?) -> ConfigurationError {
    ConfigurationError(file: name, line: hasLines ? line : nil, key: key, reason: reason)
  }

  func warning(_ reason: String, key: String, line: Int) -> ConfigurationWarning {
    ConfigurationWarning(file: name, line: hasLines ? line : nil, key: key, reason: reason)
  }
}

/// Where the parts of a domain's configuration were said.
struct ConfigurationOrigin: Equatable, Sendable {
  struct Place: Equatable, Sendable {
    var source: ConfigurationSource
    var line: Int
  }

  var file = ConfigurationSource(name: "the domain's configuration")
  var settings: [String: Place] = [:]
  /// Lines of the elements of lists.
  var elementLines: [String: [Int]] = [:]
}
