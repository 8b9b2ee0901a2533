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

  /// Asks the host for all the address space that a machine takes, and gives it back: a limit (`ulimit -v`) that is too low
  /// ends in a sentence before anything is built.
  static func checkAddressSpace(for configuration: MachineConfiguration, _ layout: PhysicalLayout) throws(MachineError) {
    let pages = (layout.highMemory > 0 ? PhysicalLayout.highBase + layout.highMemory : PhysicalLayout.highBase) / 4096
    // The page table and the code cache's tables have less than 64 bytes a page; a processor's TLBs are below 1 MiB; the rest is
    // for video memory, firmware, decoded code and the program's own heap.
    let size = layout.lowMemory + layout.highMemory + pages * 64 + UInt64(configuration.processors) << 20 + 96 << 20
    let address = mmap(nil, Int(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address, address != MAP_FAILED else {
      throw .badImage(
        "a machine with \(describeSize(configuration.memory)) of memory needs \(size >> 20)M of address space, which the host refused: give the machine less with --memory, or raise the limit that ulimit -v shows")
    }
    munmap(address, Int(size))
  }
}
