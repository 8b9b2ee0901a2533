/// Domains with page tables of their own (xen/include/public/hvm/, arch-x86/hvm/start_info.h).

/// A frame of a guest's own physical address space: its physical address divided by 4096.
public struct GuestFrameNumber: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable public init(_ value: UInt64) { rawValue = value }
  /// Guest-physical address of the frame's first byte.
  @inlinable public var address: UInt64 { rawValue &<< 12 }
  @inlinable public static func < (a: GuestFrameNumber, b: GuestFrameNumber) -> Bool { a.rawValue < b.rawValue }
  public var description: String { "gfn \(String(rawValue, radix: 16))" }
}

/// hvm_op.h, HVMOP_*
public enum HVMOp {
  public static let setParameter: UInt64 = 0
  public static let getParameter: UInt64 = 1
  public static let flushTLBs: UInt64 = 5
  public static let setUpcallVector: UInt64 = 23
}

/// hvm/params.h, HVM_PARAM_*
public enum HVMParameter {
  public static let callbackIRQ = 0
  public static let storeFrame = 1
  public static let storePort = 2
  public static let paeEnabled = 4
  public static let acpiState = 14
  public static let vm86TSS = 15
  public static let consoleFrame = 17
  public static let consolePort = 18
  public static let tripleFaultReason = 31
  public static let vm86TSSSized = 37
  public static let count = 39
  /// What a guest may ask for.
  public static let readable: Set<Int> = [callbackIRQ, storeFrame, storePort, vm86TSS, consoleFrame, consolePort, 34, 35, 36, vm86TSSSized, 32, 33, acpiState]
}

/// Byte offsets in what a PVH domain finds at the address in EBX (arch-x86/hvm/start_info.h, version 1).
public enum HVMStartInfo {
  public static let magicValue: UInt32 = 0x336E_C578
  public static let magic = 0, version = 4, flags = 8, modules = 12, moduleList = 16, commandLine = 24, rsdp = 32, memoryMap = 40, memoryMapEntries = 48
  public static let bytes: UInt64 = 56
  public static let moduleBytes: UInt64 = 32
  public static let memoryMapEntryBytes: UInt64 = 24
}
