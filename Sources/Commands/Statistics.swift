import Machine

/// The object that `--stats` writes.
struct Statistics {
  /// Retired since power-on, and since the run began: they differ after --restore.
  var instructions: UInt64
  var runInstructions: UInt64
  var stateHash: UInt64
  var hostSeconds: Double
  var blocksDecoded: UInt64
  var tlbMisses: UInt64
  var exits: ExitCounts
  var peakBytes: UInt64
  var end: String

  var mips: Double { hostSeconds > 0 ? Double(runInstructions) / hostSeconds / 1e6 : 0 }

  /// One JSON object. The hash is text: JSON numbers lose bits beyond 2^53.
  var json: String {
    let digits = String(stateHash, radix: 16)
    let hash = String(repeating: "0", count: 16 - digits.count) + digits
    return """
      {
        "instructions": \(instructions),
        "runInstructions": \(runInstructions),
        "stateHash": "\(hash)",
        "hostSeconds": \(rounded(hostSeconds, 6)),
        "mips": \(rounded(mips, 3)),
        "blocksDecoded": \(blocksDecoded),
        "tlbMisses": \(tlbMisses),
        "exits": {"budgetUsed": \(exits.budgetUsed), "stopRequested": \(exits.stopRequested), "halted": \(exits.halted), "waitForSIPI": \(exits.waitForSIPI)},
        "peakBytes": \(peakBytes),
        "end": "\(end)"
      }

      """
  }

  private func rounded(_ value: Double, _ digits: Int) -> Double {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    return (value * scale).rounded() / scale
  }
}
