#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Host memory with a gibibyte on either side that nobody may touch: an access that misses it ends in SIGSEGV.
final class GuardedMemory {
  let base: UnsafeMutableRawPointer
  let size: Int
  private let reservation: UnsafeMutableRawPointer
  private static let guardSize = 1 << 30

  /// - Parameter size: in bytes, a multiple of the host's page size.
  init(size: Int) {
    self.size = size
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let p = mmap(nil, size + 2 * Self.guardSize, PROT_NONE, flags, -1, 0), p != MAP_FAILED,
          mprotect(p + Self.guardSize, size, PROT_READ | PROT_WRITE) == 0
    else { fatalError("the host refused address space for guarded memory") }
    reservation = p
    base = p + Self.guardSize
  }

  deinit { munmap(reservation, size + 2 * Self.guardSize) }

  /// From now on the host, too, refuses writes.
  func makeReadOnly() { mprotect(base, size, PROT_READ) }
}
