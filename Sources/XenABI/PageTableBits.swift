/// Bits of page-table entries as paravirtual guests use them (SDM vol. 3A §5.5; xen/include/public/arch-x86/xen.h).
public enum PTE {
  public static let present: UInt64 = 1 << 0
  public static let writable: UInt64 = 1 << 1
  public static let user: UInt64 = 1 << 2
  public static let writeThrough: UInt64 = 1 << 3
  public static let cacheDisable: UInt64 = 1 << 4
  public static let accessed: UInt64 = 1 << 5
  public static let dirty: UInt64 = 1 << 6
  public static let large: UInt64 = 1 << 7
  public static let global: UInt64 = 1 << 8
  public static let available: UInt64 = 7 << 9
  /// Set by Xen in the entries of a 64-bit guest's kernel pages (bit 9 of the available ones… of Xen's own use).
  public static let guestKernel: UInt64 = 1 << 52
  public static let noExecute: UInt64 = 1 << 63
  public static let address: UInt64 = 0x000F_FFFF_FFFF_F000

  @inlinable public static func frame(_ entry: UInt64) -> MachineFrameNumber { MachineFrameNumber((entry & address) &>> 12) }
}
