#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Knows which case each thread is in, so that a crash or a hang can be named.
public enum FuzzWatch {
  public static let maximumWorkers = 256
  private static let idle = UInt64.max

  /// For each worker the number of its case and when it began. Written by the worker alone, read by the signal handler and the watching
  /// thread: plain words, which the hosts at hand write at once.
  nonisolated(unsafe) private static let cases: UnsafeMutablePointer<(number: UInt64, start: UInt64)> = {
    let p = UnsafeMutablePointer<(number: UInt64, start: UInt64)>.allocate(capacity: maximumWorkers)
    p.initialize(repeating: (idle, 0), count: maximumWorkers)
    return p
  }()

  static func begin(_ number: UInt64, _ worker: Int) {
    cases[worker].start = seconds()
    cases[worker].number = number
  }

  static func end(_ worker: Int) { cases[worker].number = idle }

  private static func seconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec)
  }

  /// The number of a case that has been running longer than `limit` seconds.
  public static func hanging(longerThan limit: UInt64) -> UInt64? {
    let now = seconds()
    for n in 0..<maximumWorkers where cases[n].number != idle && cases[n].start + limit < now { return cases[n].number }
    return nil
  }

  /// From now on a fatal signal names the cases under way on standard error and ends the process with code 1.
  public static func reportCrashes() {
    _ = cases
    for number in [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE] {
      signal(number) { number in FuzzWatch.crashed(number) }
    }
  }

  /// Async-signal-safe: no allocation, no locks.
  private static func crashed(_ signal: Int32) {
    text("\nFAILED: signal ")
    decimal(UInt64(signal))
    text(" in one of the cases")
    for n in 0..<maximumWorkers where cases[n].number != idle {
      text(" ")
      decimal(cases[n].number)
    }
    text("\n  repeat with --seed, --first CASE and --count 1\n")
    _exit(1)
  }

  private static func text(_ text: StaticString) { _ = write(2, text.utf8Start, text.utf8CodeUnitCount) }

  private static func decimal(_ value: UInt64) {
    var divisor: UInt64 = 1
    while value / divisor >= 10 { divisor *= 10 }
    while divisor > 0 {
      var digit = UInt8(0x30 + value / divisor % 10)
      _ = write(2, &digit, 1)
      divisor /= 10
    }
  }
}
