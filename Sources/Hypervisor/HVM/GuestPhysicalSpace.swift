#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Processor
import XenABI

/// The physical address space of a guest that has one of its own: which machine frame each of its frames is (Xen's p2m).
///
/// The table is flat, as the core reads it (`GuestPhysicalMap`), and costs memory only where it is touched.
final class GuestPhysicalSpace {
  /// What stands behind a frame.
  enum Kind: UInt64 {
    case none = 0
    /// Memory of the domain's own.
    case ram = 0x10
    /// A page that the hypervisor shares: shared_info, grant table.
    case shared = 0x20
    /// Memory of another domain, by a grant or a foreign mapping; the entry holds no reference.
    case foreign = 0x30
  }

  let map: UnsafeMutablePointer<UInt64>
  /// Frames that the space has.
  let count: UInt64

  init(count: UInt64) {
    self.count = count
    guard let table = calloc(Int(count), MemoryLayout<UInt64>.stride) else { fatalError("the host refused \(count * 8) bytes of address space") }
    map = table.bindMemory(to: UInt64.self, capacity: Int(count))
  }

  deinit { free(map) }

  func kind(_ frame: GuestFrameNumber) -> Kind {
    frame.rawValue < count ? Kind(rawValue: map[Int(frame.rawValue)] & 0x30) ?? .none : .none
  }

  /// The machine frame, or nil where there is none.
  @inline(__always)
  subscript(_ frame: GuestFrameNumber) -> MachineFrameNumber? {
    guard frame.rawValue < count else { return nil }
    let entry = map[Int(frame.rawValue)]
    return entry & GuestPhysicalMap.present == 0 ? nil : MachineFrameNumber(entry >> 12)
  }

  /// - Precondition: `frame.rawValue < count`.
  func set(_ frame: GuestFrameNumber, to machine: MachineFrameNumber, _ kind: Kind, writable: Bool = true) {
    map[Int(frame.rawValue)] = machine.address | GuestPhysicalMap.present | (writable ? GuestPhysicalMap.writable : 0) | kind.rawValue
  }

  func clear(_ frame: GuestFrameNumber) { map[Int(frame.rawValue)] = 0 }
}
