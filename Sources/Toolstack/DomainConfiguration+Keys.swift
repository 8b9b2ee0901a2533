import XenABI

extension DomainConfiguration {
  /// Reads a configuration file.
  /// - Parameters:
  ///   - bytes: its content.
  ///   - file: what messages call it.
  ///   - overrides: settings from the command line, like `memory=512`, that count instead of those in the file.
  public init(parsing bytes: [UInt8], file: String, overrides: [String] = []) throws(ConfigurationError) {
    let source = ConfigurationSource(name: file)
    var settings = try ConfigurationSyntax.parse(bytes, from: source)
    for text in overrides {
      let source = ConfigurationSource(name: "\(file) with \(text)", hasLines: false)
      settings = try ConfigurationSyntax.parse(Array(text.utf8), from: source, after: settings)
    }
    self.init(name: "")
    origin.file = source
    for setting in settings {
      origin.settings[setting.key] = ConfigurationOrigin.Place(source: setting.source, line: setting.line)
      if case .list(let elements, _) = setting.value { origin.elementLines[setting.key] = elements.map(\.line) }
    }
    try read(KeyReader(source: source, settings: settings))
    warnings = Self.warnings(about: settings) + warnings
  }

  private mutating func read(_ r: KeyReader) throws(ConfigurationError) {
    try readIdentity(r)
    try readKernel(r)
    try readMemory(r)
    try readProcessors(r)
    try readDevices(r)
    try readEnds(r)
    try readFirmware(r)
  }

  private mutating func warn(_ r: KeyReader, _ key: String, _ reason: String, line: Int? = nil) {
    guard let setting = r.setting(key) else { return }
    warnings.append(setting.source.warning("\(key) \(reason)", key: key, line: line ?? setting.line))
  }

  // MARK: Groups of keys

  private mutating func readIdentity(_ r: KeyReader) throws(ConfigurationError) {
    guard let name = try r.filledText("name") else {
      throw r.error("name", "is missing: give the domain one, like name = \"guest\"")
    }
    guard name.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") }) else {
      throw r.error("name", "is \"\(name)\", but must be without blanks and slashes")
    }
    self.name = name
    if let text = try r.text("uuid") {
      guard let uuid = DomainUUID(text) else {
        throw r.error("uuid", "is \"\(text)\", but must look like 01234567-89ab-cdef-0123-456789abcdef")
      }
      self.uuid = uuid
    }
    var byBuilder: GuestType?
    if let builder = try r.text("builder") {
      switch builder {
      case "hvm": byBuilder = .hvm
      case "generic", "linux": byBuilder = .pv
      default: throw r.error("builder", "is \"\(builder)\", but must be generic or hvm; use type instead")
      }
    }
    type = try r.choice("type", GuestType.self) ?? byBuilder ?? .pv
    if let byBuilder, byBuilder != type { warn(r, "builder", "says something else than type, which counts") }
  }

  private mutating func readKernel(_ r: KeyReader) throws(ConfigurationError) {
    kernel = try r.filledText("kernel")
    ramdisk = try r.filledText("ramdisk")
    let root = try r.text("root")
    let extra = try r.text("extra")
    if let whole = try r.text("cmdline") {
      commandLine = whole
      for key in ["root", "extra"] { warn(r, key, "has no effect where cmdline is given") }
    } else {
      commandLine = [root.map { "root=" + $0 }, extra].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " ")
    }
  }

  private mutating func readMemory(_ r: KeyReader) throws(ConfigurationError) {
    let most = 1 << 24
    let given = try r.number("memory", 1...most, unit: "megabytes")
    let maximum = try r.number("maxmem", 1...most, unit: "megabytes")
    memory = given ?? min(maximum ?? Self.defaultMemory, Self.defaultMemory)
    maximumMemory = maximum ?? memory
    guard maximumMemory >= memory else {
      throw r.error("maxmem", "is \(maximumMemory), less than memory, which is \(memory)")
    }
    // It would have to be told of memory that it does not have, and get it as it touches it.
    if maximumMemory > memory, type != .pv {
      warn(r, "maxmem", "has no effect on a domain that is not paravirtual: it keeps the \(memory) megabytes of memory")
      maximumMemory = memory
    }
    nestedTranslation = try r.flag("hap") ?? false
    shadowMemory = try r.number("shadow_memory", 1...1024, unit: "megabytes")
  }

  private mutating func readProcessors(_ r: KeyReader) throws(ConfigurationError) {
    let most = SharedInfoLayout.legacyVCPUs
    vcpus = try r.number("vcpus", 1...most) ?? 1
    maximumVCPUs = try r.number("maxvcpus", 1...most) ?? vcpus
    guard maximumVCPUs >= vcpus else {
      throw r.error("maxvcpus", "is \(maximumVCPUs), less than vcpus, which is \(vcpus)")
    }
    for element in try r.textOrTexts("cpus") ?? [] {
      guard let cpus = CPUAffinity(element.text) else {
        throw r.error(
          "cpus", "has \"\(element.text)\", but must be a list of processors like \"0-3,^2\", or \"all\"", line: element.line)
      }
      affinity.append(cpus)
    }
    weight = try r.number("cpu_weight", 1...65535) ?? 256
    cap = try r.number("cap", 0...128 * 100, unit: "percent") ?? 0
  }

  private mutating func readDevices(_ r: KeyReader) throws(ConfigurationError) {
    for element in try r.texts("disk") ?? [] {
      do {
        disks.append(try DiskConfiguration(parsing: element.text))
      } catch {
        throw r.error("disk", "\"\(element.text)\": \(error.description)", line: element.line)
      }
      let disk = disks[disks.count - 1]
      if disks.dropLast().contains(where: { $0.device.number == disk.device.number }) {
        throw r.error("disk", "\"\(element.text)\": another disk is \(disk.device.name) already", line: element.line)
      }
    }
    for element in try r.texts("vif") ?? [] {
      do {
        networks.append(try NetworkConfiguration(parsing: element.text))
      } catch {
        throw r.error("vif", "\"\(element.text)\": \(error.description)", line: element.line)
      }
      for part in networks[networks.count - 1].ineffectiveParts {
        warn(r, "vif", "has \(part)=, which is not supported yet and has no effect", line: element.line)
      }
    }
    for element in try r.texts("vfb") ?? [] {
      do {
        framebuffers.append(try FramebufferConfiguration(parsing: element.text))
      } catch {
        throw r.error("vfb", "\"\(element.text)\": \(error.description)", line: element.line)
      }
    }
    try readDisplay(r)
    serial = try r.textOrTexts("serial")?.map(\.text) ?? []
    console = try r.text("console")
    if try r.number("nics", 0...64) != nil { warn(r, "nics", "is out of use: the network interfaces are those in vif") }
  }

  /// The keys for an HVM domain's display describe the framebuffer of others, if one of them asks for it.
  private mutating func readDisplay(_ r: KeyReader) throws(ConfigurationError) {
    var display = FramebufferConfiguration()
    display.vnc = try r.flag("vnc") ?? false
    display.sdl = try r.flag("sdl") ?? false
    display.vncListen = try r.text("vnclisten")
    display.vncDisplay = try r.number("vncdisplay", 0...59635)
    display.vncUnused = try r.flag("vncunused") ?? true
    display.vncPassword = try r.text("vncpasswd")
    display.opengl = try r.flag("opengl") ?? false
    display.keymap = try r.text("keymap")
    display.xDisplay = try r.text("display")
    display.xAuthority = try r.text("xauthority")
    if display.vnc || display.sdl { framebuffers.append(display) }
  }

  private mutating func readEnds(_ r: KeyReader) throws(ConfigurationError) {
    onPoweroff = try r.choice("on_poweroff", EndAction.self) ?? onPoweroff
    onReboot = try r.choice("on_reboot", EndAction.self) ?? onReboot
    onCrash = try r.choice("on_crash", EndAction.self) ?? onCrash
    onWatchdog = try r.choice("on_watchdog", EndAction.self) ?? onWatchdog
    onSoftReset = try r.choice("on_soft_reset", EndAction.self) ?? onSoftReset
  }

  private mutating func readFirmware(_ r: KeyReader) throws(ConfigurationError) {
    if let order = try r.text("boot") {
      guard !order.isEmpty, order.utf8.allSatisfy({ "acdn".utf8.contains($0) }) else {
        throw r.error("boot", "is \"\(order)\", but must be an order of a (floppy), c (disk), d (CD) and n (network)")
      }
      boot = order
    }
    if let bios = try r.text("bios") {
      switch bios {
      case "seabios": firmware = .seabios
      case "rombios": firmware = .rombios
      case "ovmf": firmware = .ovmf
      default: throw r.error("bios", "is \"\(bios)\", but must be seabios, rombios or ovmf")
      }
    }
    if let name = try r.filledText("firmware") {
      firmware =
        switch name {
        case "bios": .bios
        case "uefi": .uefi
        case "seabios": .seabios
        case "rombios": .rombios
        case "ovmf": .ovmf
        case "pvgrub32": .pvgrub32
        case "pvgrub64": .pvgrub64
        default: .file(name)
        }
    }
    if let path = try r.filledText("firmware_override") { firmware = .file(path) }
    localTime = try r.flag("localtime") ?? false
    clockOffset = try r.number("rtc_timeoffset", -(1 << 40)...(1 << 40), unit: "seconds") ?? 0
  }
}
