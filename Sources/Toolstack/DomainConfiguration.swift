import Hypervisor

/// A domain as its configuration file describes it.
///
/// Source: xl.cfg(5). Not modelled: what `DomainConfiguration.unsupportedKeys` lists; each of these gives a warning.
public struct DomainConfiguration: Equatable, Sendable {
  public enum GuestType: String, CaseIterable, Sendable { case pv, pvh, hvm }

  /// What becomes of a domain that has ended.
  public enum EndAction: String, CaseIterable, Sendable {
    case destroy, restart
    case renameRestart = "rename-restart"
    case preserve
    case coredumpDestroy = "coredump-destroy"
    case coredumpRestart = "coredump-restart"
    case softReset = "soft-reset"
  }

  public enum Firmware: Equatable, Sendable {
    case bios, uefi, seabios, rombios, ovmf, pvgrub32, pvgrub64
    case file(String)
  }

  public var name: String
  /// Nil: whoever builds the domain makes one.
  public var uuid: DomainUUID?
  public var type = GuestType.pv

  // Kernel.
  public var kernel: String?
  public var ramdisk: String?
  /// The kernel's command line: `cmdline`, or else made of `root` and `extra`.
  public var commandLine = ""

  // Memory, in MiB.
  public var memory = defaultMemory
  /// What it may grow to.
  public var maximumMemory = defaultMemory
  /// A PVH domain's addresses are translated twice (`hap`) instead of by shadow page tables. The opposite of xl's choice, for want of hardware.
  public var nestedTranslation = false
  /// MiB for shadow page tables; nil for as much as the memory asks for.
  public var shadowMemory: Int?

  // Processors.
  /// vCPUs that are there at the start.
  public var vcpus = 1
  public var maximumVCPUs = 1
  /// Where vCPUs may run: one entry for all of them, or one for each; the last counts for those beyond. Empty: anywhere.
  public var affinity: [CPUAffinity] = []
  /// Share of the processors in relation to other domains.
  public var weight = 256
  /// Percent of one processor that the domain may use at most; 0 for no limit.
  public var cap = 0

  // Devices.
  public var disks: [DiskConfiguration] = []
  public var networks: [NetworkConfiguration] = []
  public var framebuffers: [FramebufferConfiguration] = []
  /// An HVM domain's serial ports, as given.
  public var serial: [String] = []
  public var console: String?

  // Ends.
  public var onPoweroff = EndAction.destroy
  public var onReboot = EndAction.restart
  public var onCrash = EndAction.destroy
  public var onWatchdog = EndAction.destroy
  public var onSoftReset = EndAction.softReset

  // Firmware.
  /// Drives in the order in which they are tried: a floppy, c disk, d CD, n network.
  public var boot: String?
  public var firmware: Firmware?
  /// Whether the clock shows local time instead of UTC.
  public var localTime = false
  /// Seconds that the clock is ahead.
  public var clockOffset = 0

  /// What the user should know although the file can be used.
  public internal(set) var warnings: [ConfigurationWarning] = []
  var origin = ConfigurationOrigin()

  /// MiB of a domain whose file does not say.
  public static let defaultMemory = 128

  public init(name: String) { self.name = name }

  /// An error about a key, for whoever finds out later that its value is of no use: a file that is not there, say.
  /// - Parameters:
  ///   - index: which element of its list is meant.
  ///   - reason: what follows the key: "names /boot/vmlinuz, which is not there".
  public func error(_ key: String, element index: Int? = nil, _ reason: String) -> ConfigurationError {
    error(key, key: key, element: index, reason)
  }

  func error(_ words: String, key: String, element index: Int? = nil, _ reason: String) -> ConfigurationError {
    let place = origin.settings[key]
    let line = index.flatMap { i in origin.elementLines[key].flatMap { $0.indices.contains(i) ? $0[i] : nil } }
    return (place?.source ?? origin.file).error("\(words) \(reason)", key: key, line: line ?? place?.line)
  }

  /// The key that speaks of what keeps a domain from being built.
  func key(of cause: BuildError.Cause) -> String? {
    switch cause {
    case .name: "name"
    case .kind: "type"
    case .kernel: "kernel"
    case .memory: "memory"
    case .maximumMemory: "maxmem"
    case .processors: maximumVCPUs > vcpus ? "maxvcpus" : "vcpus"
    case .affinity: "cpus"
    case .shadowMemory: shadowMemory == nil ? "memory" : "shadow_memory"
    }
  }

  /// Where a vCPU may run.
  public func affinity(ofVCPU vcpu: Int) -> CPUAffinity? {
    affinity.isEmpty ? nil : affinity[min(vcpu, affinity.count - 1)]
  }
}
