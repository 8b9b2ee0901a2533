/// What a machine is made of. Two machines with equal configurations, images and input logs run identically.
public struct MachineConfiguration: Sendable {
  /// RAM in bytes, a multiple of 4096.
  public var memory: UInt64 = 512 << 20
  public var processors = 1
  public var cpu = CPUSelection.standard
  /// What the real-time clock says at power-on, in seconds since 1970 (UTC): a fixed date, so that runs repeat.
  public var startTime: Int64 = Self.defaultStartTime
  /// Instructions a processor runs before the next one has its turn.
  public var quantum: UInt64 = 20_000
  public var hasHPET = true
  public var hasVGA = true
  /// Serial ports, at most four.
  public var serialPorts = 2
  /// The transmitters take as long as real ones (115200 baud) instead of no time.
  public var exactSerialTiming = false
  /// The display adapter's option ROM, for machines with firmware.
  public var videoBIOS: BootDescription.File?
  /// A port whose write ends the run.
  public var debugExit: DebugExitPort?
  public var boot: BootDescription

  public struct DebugExitPort: Sendable, Equatable {
    public var port: UInt16
    /// Exit code n by a write of n, or (n << 1) | 1 as with QEMU's device.
    public var isQEMUStyle: Bool
    public init(port: UInt16, isQEMUStyle: Bool) {
      self.port = port
      self.isQEMUStyle = isQEMUStyle
    }
  }

  /// 2026-01-01 00:00:00 UTC.
  public static let defaultStartTime: Int64 = 1_767_225_600
  /// Least RAM: room below 1 MiB, the tables, and a little kernel.
  public static let minimumMemory: UInt64 = 2 << 20
  /// Most RAM: what 40 physical address bits reach, less the hole.
  public static let maximumMemory: UInt64 = 1 << 39
  public static let maximumProcessors = 64

  public init(boot: BootDescription) { self.boot = boot }

  /// Checks what the types cannot.
  func validate() throws(MachineError) {
    guard memory >= Self.minimumMemory, memory <= Self.maximumMemory, memory % 4096 == 0 else {
      throw .usage("a machine has between 2M and 512G of memory in multiples of 4K, not \(describeSize(memory))")
    }
    guard (1...Self.maximumProcessors).contains(processors) else {
      throw .usage("a machine has between 1 and \(Self.maximumProcessors) processors, not \(processors)")
    }
    guard (0...4).contains(serialPorts) else {
      throw .usage("a machine has at most 4 serial ports, not \(serialPorts)")
    }
    if let rom = videoBIOS, !rom.bytes.starts(with: [0x55, 0xAA]) || rom.bytes.count > 1 << 18 {
      throw .badImage("\(rom.name) is no option ROM: those begin with 55 AA and have at most 256K")
    }
    guard quantum > 0 else { throw .usage("the scheduling quantum must be at least one instruction") }
  }
}
