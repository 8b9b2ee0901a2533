#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Synchronization

/// How far a long work is, on standard error: a bar on a terminal, a line every ten seconds otherwise. Nothing in the first second.
final class ProgressBar: Sendable {
  private struct State {
    var nextTime: UInt64
    var isShown = false
  }

  private let label: String
  private let isQuiet: Bool
  private let isTerminal = isatty(2) == 1
  private let state: Mutex<State>
  private static let width = 24

  init(label: String, isQuiet: Bool) {
    self.label = label
    self.isQuiet = isQuiet
    state = Mutex(State(nextTime: HostFile.monotonicTime() + 1_000_000_000))
  }

  /// - Parameter share: 0…1.
  func show(_ share: Double, _ text: String) {
    if isQuiet { return }
    let now = HostFile.monotonicTime()
    let isDue = state.withLock { state in
      if now < state.nextTime { return false }
      state.nextTime = now + (isTerminal ? 100_000_000 : 10_000_000_000)
      state.isShown = true
      return true
    }
    if !isDue { return }
    let percent = Int(share * 100)
    if isTerminal {
      let filled = min(Self.width, max(0, Int(share * Double(Self.width))))
      let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: Self.width - filled)
      HostFile.standardError("\r\u{1B}[K\(label) [\(bar)] \(percent) % \(text)")
    } else {
      HostFile.standardError("\(label): \(percent) %, \(text)\n")
    }
  }

  /// Takes the bar away.
  func finish() {
    if isTerminal, state.withLock({ $0.isShown }) { HostFile.standardError("\r\u{1B}[K") }
  }
}
