#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Platform

extension PhysicalMemory {
  /// Makes pages of RAM that lie one behind the other zero, and gives what they took back to the host.
  /// - Returns: false if they are as they were.
  func discard(_ pages: Range<UInt64>) -> Bool {
    guard let start = host(pages.lowerBound << 12) else { return false }
    let bytes = pages.count << 12
    #if os(Linux)
    // Private anonymous memory reads as zeros afterwards (madvise(2)).
    return madvise(start, bytes, MADV_DONTNEED) == 0
    #else
    start.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    return true
    #endif
  }
}
