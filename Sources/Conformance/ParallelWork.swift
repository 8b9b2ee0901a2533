import Dispatch

/// The host's cores.
public enum ParallelWork {
  /// Runs `body` once for each worker, all at the same time, and returns when the last is done.
  public static func run(workers: Int, _ body: @Sendable (_ worker: Int) -> Void) {
    if workers <= 1 { return body(0) }
    DispatchQueue.concurrentPerform(iterations: workers, execute: body)
  }
}
