import Machine

/// How an end of a run appears outside: exit code, name in statistics, sentence on standard error.
struct RunOutcome {
  let code: Int32
  let name: String
  let message: String?

  /// - Parameter broken: why serial or debug output could not be written. It explains an interruption, and a run that lost
  ///   output is no success.
  init(_ reason: EndReason, broken: SerialEndpoint.Failure? = nil) {
    let own = RunOutcome(reason)
    guard let broken, own.code == 0 || reason == .interrupted else { self = own; return }
    code = broken.isReaderGone ? 130 : 70
    name = own.name
    message = "xenolith: \(broken.description)"
  }

  private init(_ reason: EndReason) {
    switch reason {
    case .powerOff: (code, name, message) = (0, "powerOff", nil)
    case .reset: (code, name, message) = (0, "reset", nil)
    case .exitCode(let value): (code, name, message) = (value & 0xFF, "debugExit", nil)
    case .tripleFault(let text): (code, name, message) = (101, "tripleFault", text)
    case .haltedForGood(let why):
      (code, name, message) = (102, "halted", "xenolith: the guest stopped for good: \(why)")
    case .timeout:
      (code, name, message) = (103, "timeout", "xenolith: the run was ended by --timeout")
    case .instructionLimit:
      (code, name, message) = (104, "maxInstructions", "xenolith: the run was ended by --max-instructions")
    case .interrupted: (code, name, message) = (130, "interrupted", "xenolith: interrupted")
    }
  }
}
