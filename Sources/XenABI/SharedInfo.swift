/// Byte offsets in the page that a domain shares with the hypervisor (xen/include/public/xen.h, struct shared_info; arch-x86/xen*.h).
public struct SharedInfoLayout: Sendable {
  /// Bytes of a guest's `unsigned long`.
  public let word: Int
  public let eventPending: Int
  public let eventMask: Int
  public let wallClockVersion: Int
  public let wallClockSeconds: Int
  public let wallClockNanoseconds: Int
  public let wallClockSecondsHigh: Int
  public let maximumPFN: Int
  public let pfnToMFNListList: Int
  public let nmiReason: Int
  /// Offset of `pending_sel` in a vcpu_info.
  public let pendingSelector: Int
  /// Offset of `arch.cr2` in a vcpu_info.
  public let cr2: Int

  public static let vcpuInfoBytes = 64
  public static let legacyVCPUs = 32
  /// Offsets in a vcpu_info that all guests share.
  public static let upcallPending = 0
  public static let upcallMask = 1
  public static let time = 32

  /// Event channels that fit into the two-level bitmaps.
  public var twoLevelPorts: Int { word * 8 * word * 8 }

  public static let wide = SharedInfoLayout(
    word: 8, eventPending: 2048, eventMask: 2560, wallClockVersion: 3072, wallClockSeconds: 3076, wallClockNanoseconds: 3080,
    wallClockSecondsHigh: 3084, maximumPFN: 3088, pfnToMFNListList: 3096, nmiReason: 3104, pendingSelector: 8, cr2: 16)
  public static let compat = SharedInfoLayout(
    word: 4, eventPending: 2048, eventMask: 2176, wallClockVersion: 2304, wallClockSeconds: 2308, wallClockNanoseconds: 2312,
    wallClockSecondsHigh: 2344, maximumPFN: 2316, pfnToMFNListList: 2320, nmiReason: 2324, pendingSelector: 4, cr2: 8)
}

/// Byte offsets in struct vcpu_time_info.
public enum TimeInfo {
  public static let version = 0
  public static let tscTimestamp = 8
  public static let systemTime = 16
  public static let tscToSystemMultiplier = 24
  public static let tscShift = 28
  public static let flags = 29
  public static let tscStable: UInt8 = 1
}

/// Byte offsets in struct start_info of a paravirtual guest (xen.h).
public struct StartInfoLayout: Sendable {
  public let pages: Int, sharedInfo: Int, flags: Int, storeFrame: Int, storePort: Int, consoleFrame: Int, consolePort: Int
  public let pageTableBase: Int, pageTableFrames: Int, p2mList: Int, moduleStart: Int, moduleLength: Int, commandLine: Int
  public let firstP2MPFN: Int, p2mFrames: Int, bytes: Int
  public static let commandLineBytes = 1024

  public static let wide = StartInfoLayout(
    pages: 32, sharedInfo: 40, flags: 48, storeFrame: 56, storePort: 64, consoleFrame: 72, consolePort: 80, pageTableBase: 88,
    pageTableFrames: 96, p2mList: 104, moduleStart: 112, moduleLength: 120, commandLine: 128, firstP2MPFN: 1152, p2mFrames: 1160,
    bytes: 1168)
  public static let compat = StartInfoLayout(
    pages: 32, sharedInfo: 36, flags: 40, storeFrame: 44, storePort: 48, consoleFrame: 52, consolePort: 56, pageTableBase: 60,
    pageTableFrames: 64, p2mList: 68, moduleStart: 72, moduleLength: 76, commandLine: 80, firstP2MPFN: 1104, p2mFrames: 1108,
    bytes: 1112)

  public static let flagPrivileged: UInt32 = 1
  public static let flagInitialDomain: UInt32 = 2
  /// The module's address is a frame number, not a virtual address.
  public static let flagModuleIsPFN: UInt32 = 8
}
