import Platform
import Processor

/// Rights of a page; reading is always allowed.
public struct PageRights: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let write = PageRights(rawValue: 1)
  public static let execute = PageRights(rawValue: 2)
  /// CPL 3 may use the page.
  public static let user = PageRights(rawValue: 4)
  public static let all: PageRights = [.write, .execute, .user]
}

extension Core {
  /// Maps pages of 4 KiB in the tables that the core made for 64-bit mode: from then on `linear` leads to `physical`, whether or not something
  /// is mapped there. Accesses against the rights raise #PF.
  ///
  /// ```swift
  /// try core.mapPages(linear: 0x7FFF_FFFF_0000, to: 0x8000, size: 0x1000, [.write])
  /// ```
  ///
  /// - Throws: `unaligned`, `linearRange`, `notCanonical`, `outsideAddressSpace` (for the physical range), `noPageTables`, `pageTablesFull`; nothing has
  ///   changed then.
  public func mapPages(linear: UInt64, to physical: UInt64, size: UInt64, _ rights: PageRights = .all) throws(CoreError) {
    if size == 0 || (linear | physical | size) & 0xFFF != 0 { throw .unaligned(address: linear, size: size) }
    if physical >= addressSpace || size > addressSpace - physical {
      throw .outsideAddressSpace(address: physical, size: size, limit: addressSpace)
    }
    try setPages(linear, size) { IdentityTables.entry(physical + $0, rights) }
  }

  /// Takes pages of 4 KiB out of the tables that the core made for 64-bit mode: accesses raise #PF.
  ///
  /// - Throws: `unaligned`, `linearRange`, `notCanonical`, `noPageTables`, `pageTablesFull`; nothing has changed then.
  public func unmapPages(linear: UInt64, size: UInt64) throws(CoreError) {
    if size == 0 || (linear | size) & 0xFFF != 0 { throw .unaligned(address: linear, size: size) }
    try setPages(linear, size) { _ in 0 }
  }

  /// - Parameter entry: of the page at an offset.
  private func setPages(_ linear: UInt64, _ size: UInt64, _ entry: (UInt64) -> UInt64) throws(CoreError) {
    guard tables != nil else { throw .noPageTables }
    let (last, overflow) = linear.addingReportingOverflow(size - 1)
    if overflow { throw .linearRange(linear: linear, size: size) }
    func isCanonical(_ address: UInt64) -> Bool { UInt64(bitPattern: Int64(bitPattern: address << 16) >> 16) == address }
    if !isCanonical(linear) { throw .notCanonical(linear: linear) }
    // Between the halves no address is canonical.
    if !isCanonical(last) || (linear ^ last) >> 63 != 0 { throw .notCanonical(linear: 1 << 47) }
    if !tables!.hasRoom(linear...last) { throw .pageTablesFull }
    for offset in stride(from: 0, to: size, by: 4096) { tables!.set(linear + offset, entry(offset)) }
    cpu.flushTLB(keepGlobal: false)
  }
}

/// 4-level page tables that lie behind the address space: at first an identity map of 4 GiB by pages of 2 MiB.
///
/// Accessed and dirty bits are set from the beginning, so that a walk changes nothing.
struct IdentityTables {
  /// Room for tables in bytes.
  static let size: UInt64 = 1 << 20
  private static let bits: UInt64 = 0x67
  private static let large: UInt64 = 0x80
  private static let noExecute: UInt64 = 1 << 63
  private static let address: UInt64 = 0x000F_FFFF_FFFF_F000

  static func base(addressSpace: UInt64) -> UInt64 { max(addressSpace, 4 << 30) }

  static func entry(_ physical: UInt64, _ rights: PageRights) -> UInt64 {
    0x61 | physical | (rights.contains(.write) ? 2 : 0) | (rights.contains(.user) ? 4 : 0) | (rights.contains(.execute) ? 0 : noExecute)
  }

  let base: UInt64
  let host: UnsafeMutablePointer<UInt64>
  /// Bytes of tables in use.
  var used: UInt64

  init(_ memory: PhysicalMemory, addressSpace: UInt64) {
    base = Self.base(addressSpace: addressSpace)
    host = memory.addMemory(at: PhysicalAddress(base), size: Self.size).bindMemory(to: UInt64.self, capacity: Int(Self.size / 8))
    used = 6 * 4096
    host[0] = base + 0x1000 | Self.bits
    for gigabyte in 0..<4 as Range<UInt64> {
      let directory = 2 + gigabyte
      host[512 + Int(gigabyte)] = base + directory * 4096 | Self.bits
      for n in 0..<512 as Range<UInt64> {
        host[Int(directory * 512 + n)] = gigabyte << 30 | n << 21 | Self.large | Self.bits
      }
    }
  }

  private static let shifts: [UInt64] = [39, 30, 21]

  /// Whether the tables that pages of 4 KiB in this range still need can be had.
  func hasRoom(_ range: ClosedRange<UInt64>) -> Bool {
    var room = (Self.size - used) / 4096
    /// For each level the piece of the address space that the last new table is for.
    var counted: [UInt64?] = [nil, nil, nil]
    for piece in range.lowerBound >> 21...range.upperBound >> 21 {
      let linear = piece << 21
      var table: Int? = 0
      for (level, shift) in Self.shifts.enumerated() {
        if let at = table {
          let entry = host[at + Int(linear >> shift & 0x1FF)]
          table = entry & 1 != 0 && entry & Self.large == 0 ? Int((entry & Self.address) - base) / 8 : nil
        }
        if table == nil, counted[level] != linear >> shift {
          if room == 0 { return false }
          room -= 1
          counted[level] = linear >> shift
        }
      }
    }
    return true
  }

  /// Sets the entry of a page of 4 KiB, with the tables above it, for which there must be room.
  mutating func set(_ linear: UInt64, _ entry: UInt64) {
    var table = 0
    for shift in Self.shifts {
      let index = table + Int(linear >> shift & 0x1FF)
      let old = host[index]
      if old & 1 == 0 || old & Self.large != 0 {
        let new = Int(used / 8)
        used += 4096
        for n in 0..<512 {
          // Pages of 4 KiB for one of 2 MiB.
          host[new + n] = old & Self.large == 0 ? 0 : old & ~Self.large | UInt64(n) << 12
        }
        host[index] = base + UInt64(new) * 8 | Self.bits
      }
      table = Int((host[index] & Self.address) - base) / 8
    }
    host[table + Int(linear >> 12 & 0x1FF)] = entry
  }
}
