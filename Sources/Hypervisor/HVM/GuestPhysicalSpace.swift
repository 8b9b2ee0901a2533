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
  /// Whether anything ever was in each region of 512 frames: most of the space is empty for ever.
  private var isUsed: [Bool]
  private static let region = 512

  init(count: UInt64) {
    self.count = count
    isUsed = [Bool](repeating: false, count: Int(count) / Self.region + 1)
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
    isUsed[Int(frame.rawValue) / Self.region] = true
  }

  /// Frames among which all are that are not empty, lowest first.
  var usedFrames: [Range<UInt64>] {
    isUsed.indices.filter { isUsed[$0] }.map { UInt64($0 * Self.region)..<min(UInt64(($0 + 1) * Self.region), count) }
  }

  func clear(_ frame: GuestFrameNumber) { map[Int(frame.rawValue)] = 0 }
}
