#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Zeroed, page-aligned host memory that costs nothing until it is touched.
final class HostPages {
  let base: UnsafeMutableRawPointer
  let size: Int

  init(size: Int) throws(MachineError) {
    let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address, address != MAP_FAILED else {
      throw MachineError(.internal, "the host refused \(describeSize(UInt64(size))) of memory")
    }
    base = address
    self.size = size
  }

  deinit { munmap(base, size) }
}
