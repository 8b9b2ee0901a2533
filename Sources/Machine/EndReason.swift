/// Why a run ended.
public enum EndReason: Equatable, Sendable {
  /// The guest switched the machine off (ACPI soft-off).
  case powerOff
  /// The guest asked for a reset and the machine was told to end there.
  case reset
  /// The guest wrote to the debug exit port.
  case exitCode(Int32)
  /// A fault in the delivery of a double fault; the text explains it over several lines.
  case tripleFault(String)
  /// No processor will ever run again; the text says why.
  case haltedForGood(String)
  case timeout
  case instructionLimit
  /// From outside: a signal, a closed window, the escape key.
  case interrupted
}
