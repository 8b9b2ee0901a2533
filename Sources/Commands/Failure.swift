import ArgumentParser
import Machine

/// Turns the errors of the layers below into one sentence on standard error and an exit code.
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

  /// Runs `body`; a `MachineError` becomes its sentence and code.
  static func reported(_ body: () throws -> Void) throws {
    do {
      try body()
    } catch let error as MachineError {
      HostFile.standardError("xenolith: \(error)\n")
      throw ExitCode(code(error.kind))
    }
  }
}
