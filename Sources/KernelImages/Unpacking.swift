/// What all decompressors share.
enum Unpacking {
  /// Largest result accepted: more than any kernel, less than what hurts the host.
  static let limit = 1 << 30

  /// What a step of a decompressor did.
  struct Step {
    var consumed: Int
    var produced: Int
    var outcome: Outcome

    enum Outcome { case goesOn, isAtEnd, isBroken }
  }

  /// Runs a decompressor over `bytes` until it is at its end; what follows the end is left alone.
  /// - Returns: nil where it fails, wants more than there is, or gives more than `limit`.
  static func run(
    _ bytes: ArraySlice<UInt8>, limit: Int = limit,
    step: (_ input: UnsafeBufferPointer<UInt8>, _ output: UnsafeMutableBufferPointer<UInt8>) -> Step
  ) -> [UInt8]? {
    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    return bytes.withUnsafeBufferPointer { source in
      var at = 0
      while true {
        // The libraries count in 32 bits.
        let input = UnsafeBufferPointer(rebasing: source[at..<min(source.count, at + 1 << 30)])
        let done = chunk.withUnsafeMutableBufferPointer { step(input, $0) }
        at += done.consumed
        guard done.outcome != .isBroken, output.count + done.produced <= limit else { return nil }
        output.append(contentsOf: chunk[..<done.produced])
        if done.outcome == .isAtEnd { return output }
        if done.consumed == 0, done.produced == 0 { return nil }
      }
    }
  }
}
