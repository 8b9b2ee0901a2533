#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The terminal on standard input in raw mode, so that every key reaches the guest. It is given back on every way out of
/// the process: normal ends, signals, crashes.
enum Terminal {
  // Only the main thread and signal handlers touch these; handlers read what was written before they were installed.
  nonisolated(unsafe) private static var saved = termios()
  nonisolated(unsafe) private static var isRaw = false
  /// Sent when the terminal is given back.
  nonisolated(unsafe) private static var farewell: [UInt8] = []
  nonisolated(unsafe) private static var interrupts: sig_atomic_t = 0

  static var isTerminal: Bool { isatty(0) == 1 }

  static var outputIsTerminal: Bool { isatty(1) == 1 }

  /// Waits; a signal ends the wait.
  static func sleep(_ seconds: Double) { _ = poll(nil, 0, Int32(min(seconds * 1000, 1e9))) }

  /// A signal asked the run to end.
  static var isInterrupted: Bool { interrupts > 0 }

  /// - Parameters:
  ///   - greeting: what to send to the terminal first.
  ///   - farewell: what undoes it.
  static func makeRaw(greeting: String = "", farewell: String = "") {
    guard !isRaw, isTerminal, tcgetattr(0, &saved) == 0 else { return }
    var raw = saved
    cfmakeraw(&raw)
    // Output keeps its translation of newlines: messages of this program come through too.
    raw.c_oflag = saved.c_oflag
    isRaw = tcsetattr(0, TCSANOW, &raw) == 0
    if isRaw {
      HostFile.writeAll(1, greeting.utf8)
      self.farewell = Array(farewell.utf8)
    }
    atexit { Terminal.restore() }
  }

  /// Async-signal-safe.
  static func restore() {
    guard isRaw else { return }
    isRaw = false
    _ = farewell.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
    tcsetattr(0, TCSANOW, &saved)
  }

  static func handleSignals() {
    // Commands that only print end by it, as `| head` expects; a run has results to write yet.
    signal(SIGPIPE, SIG_IGN)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
      signal(number) { _ in
        // The second request does not wait for the run loop.
        if Terminal.interrupts > 0 {
          Terminal.restore()
          _exit(130)
        }
        Terminal.interrupts += 1
      }
      // A call that waits (for a reader of a pipe, say) ends then.
      var action = sigaction()
      sigaction(number, nil, &action)
      action.sa_flags &= ~Int32(truncatingIfNeeded: SA_RESTART)
      sigaction(number, &action, nil)
    }
    for number in [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE] {
      signal(number) { number in
        Terminal.restore()
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }
}
