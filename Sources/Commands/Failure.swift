import ArgumentParser
import Machine

/// Turns every error into one sentence on standard error and an exit code.
enum Failure {
  /// Exit codes of sysexits.h, as far as they are used.
  static func code(_ kind: MachineError.Kind) -> Int32 {
    switch kind {
    case .usage: 64
    case .badImage: 65
    case .missingFile: 66
    case .internal: 70
    }
  }

  /// Says what went wrong with the command that `arguments` ask for. What was asked for as text (help, version) comes as an
  /// error too and goes to standard output. Returns the exit code.
  static func report(_ error: any Error, arguments: [String]) -> Int32 {
    if let error = error as? MachineError {
      let hint = error.kind == .usage ? hint(arguments) : ""
      HostFile.standardError("xenolith: \(error)\(hint)\n")
      return code(error.kind)
    }
    let code = XenolithCommand.exitCode(for: error).rawValue
    let text = XenolithCommand.fullMessage(for: error)
    if code == 0, !text.isEmpty {
      do throws(MachineError) {
        try HostFile.standardOutput((text + "\n").utf8)
      } catch {
        return report(error, arguments: arguments)
      }
    } else if !text.isEmpty {
      HostFile.standardError("xenolith: \(sentence(XenolithCommand.message(for: error)))\(hint(arguments))\n")
    }
    return code
  }

  /// The parser's messages in this program's style.
  static func sentence(_ message: String) -> String {
    var text = message.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    for (question, joined) in [(". Did you mean", ": did you mean"), (". Please", ": please")] {
      text.replace(question, with: joined)
    }
    if text.hasSuffix(".") { text.removeLast() }
    // IMAGE and other names keep their capitals.
    let second = text.dropFirst().first
    return second?.isLowercase == true ? text.prefix(1).lowercased() + text.dropFirst() : text
  }

  /// Where the options stand.
  static func hint(_ arguments: [String]) -> String {
    var command = "xenolith"
    var level = XenolithCommand.configuration.subcommands
    for argument in arguments {
      guard let next = level.first(where: { $0.configuration.commandName == argument }) else { break }
      command += " " + argument
      level = next.configuration.subcommands
    }
    return " (see \(command) --help)"
  }
}
