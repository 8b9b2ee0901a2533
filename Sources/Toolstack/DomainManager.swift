import Hypervisor
import KernelImages
import Processor
import XenABI
import Xenstore

/// A domain with what it was made from and what leads to it.
public final class ManagedDomain {
  public let configuration: DomainConfiguration
  public internal(set) var domain: Domain
  public internal(set) var console: ConsoleRing
  /// Console text that nobody has fetched.
  public var onConsole: (([UInt8]) -> Void)? { didSet { console.onOutput = onConsole } }
  let kernel: ParavirtualKernel
  let ramdisk: [UInt8]
  var storeLink: StoreLink

  init(configuration: DomainConfiguration, kernel: ParavirtualKernel, ramdisk: [UInt8], built: BuiltDomain, storeLink: StoreLink) {
    self.configuration = configuration
    self.kernel = kernel
    self.ramdisk = ramdisk
    domain = built.domain
    console = built.console
    self.storeLink = storeLink
  }
}

/// Domains on one hypervisor: creates them from configurations, tells them by xenstore what they have, and does what was asked for when they end.
public final class DomainManager {
  public let hypervisor: Hypervisor
  public let store = XenstoreServer()
  public private(set) var domains: [ManagedDomain] = []
  /// Told of ends and new beginnings, one sentence each.
  public var onEvent: ((String) -> Void)?

  public init(memoryBytes: UInt64, model: CPUModel) {
    hypervisor = Hypervisor(memoryBytes: memoryBytes, model: model)
    // Permissions for a domain that is not there must not hold for one that comes later.
    store.host.domainExists = { [unowned hypervisor] id in id == 0 || hypervisor.domains[DomainID(id)] != nil }
  }

  // MARK: Creating

  /// Makes a domain and lets it run.
  /// - Parameters:
  ///   - kernel: the kernel file's bytes; `ramdisk` those of the initial RAM disk.
  @discardableResult
  public func create(_ configuration: DomainConfiguration, kernel: [UInt8], ramdisk: [UInt8]) throws(BuildError) -> ManagedDomain {
    if domains.contains(where: { $0.configuration.name == configuration.name }) {
      throw BuildError("a domain with the name \(configuration.name) exists already")
    }
    guard configuration.type == .pv else {
      throw BuildError("domain \(configuration.name) has type = \"\(configuration.type)\", which is not there yet: only \"pv\" is")
    }
    let parsed = try paravirtualKernel(kernel, name: configuration.kernel ?? "the kernel")
    let (built, link) = try build(configuration, parsed, ramdisk)
    let managed = ManagedDomain(configuration: configuration, kernel: parsed, ramdisk: ramdisk, built: built, storeLink: link)
    domains.append(managed)
    hypervisor.unpause(built.domain)
    return managed
  }

  private func build(_ configuration: DomainConfiguration, _ kernel: ParavirtualKernel, _ ramdisk: [UInt8]) throws(BuildError) -> (BuiltDomain, StoreLink) {
    let link = StoreLink(store)
    let request = DomainRequest(
      name: configuration.name, memoryBytes: UInt64(configuration.memory) << 20, vcpus: configuration.vcpus, weight: configuration.weight,
      cap: configuration.cap, commandLine: configuration.commandLine)
    let built = try hypervisor.build(request, kernel: kernel, ramdisk: ramdisk, store: link)
    link.attach(built)
    describe(built, configuration)
    return (built, link)
  }

  private func paravirtualKernel(_ file: [UInt8], name: String) throws(BuildError) -> ParavirtualKernel {
    do throws(ImageError) {
      let elf = try ELFFile(try KernelImage.elf(in: file, name: name), name: name)
      let notes = try XenKernelNotes(elf, name: name)
      let layout = try XenKernelLayout(elf, notes, kind: .pv, name: name)
      var segments = elf.loadableSegments.map {
        ParavirtualKernel.Segment(
          address: layout.pseudoPhysical(ofPhysical: $0.physicalAddress), bytes: elf.image[Int($0.offset)..<Int($0.offset + $0.fileSize)],
          size: $0.memorySize)
      }
      if notes.wantsSymbols {
        let symbols = elf.symbolImage
        let word: UInt64 = elf.is64Bit ? 8 : 4
        let end = (layout.end &- layout.virtualBase &+ word - 1) & ~(word - 1)
        segments.append(.init(address: end, bytes: symbols[...], size: UInt64(symbols.count)))
      }
      return ParavirtualKernel(
        segments: segments,
        entry: layout.entry, virtualBase: layout.virtualBase, isCompat: !elf.is64Bit, hypercallPage: notes.hypercallPage,
        initialP2M: notes.initialP2M, modulesByPFN: notes.takesUnmappedModule)
    } catch {
      throw BuildError(error.description)
    }
  }

  /// What a domain finds about itself in xenstore, as Xen's tools write it (docs/misc/xenstore-paths.pandoc).
  private func describe(_ built: BuiltDomain, _ configuration: DomainConfiguration) {
    let id = built.domain.id.rawValue
    let path = "/local/domain/\(id)"
    let readable = [XenstorePermission(.none, 0), XenstorePermission(.read, id)]
    let writable = [XenstorePermission(.none, id)]
    func put(_ key: String, _ value: String, _ permissions: [XenstorePermission]) {
      // Nothing here can fail but for a store that the domain's own quota does not concern.
      try? store.write("\(path)/\(key)", value)
      try? store.setPermissions("\(path)/\(key)", permissions)
    }
    try? store.makeDirectory(path)
    try? store.setPermissions(path, readable)
    put("name", configuration.name, readable)
    put("domid", "\(id)", readable)
    put("vm", "/vm/\(configuration.name)", readable)
    put("memory", "", readable)
    put("memory/static-max", "\(configuration.maximumMemory * 1024)", readable)
    put("memory/target", "\(configuration.memory * 1024)", readable)
    put("cpu", "", readable)
    for n in 0..<configuration.vcpus {
      put("cpu/\(n)", "", readable)
      put("cpu/\(n)/availability", "online", readable)
    }
    put("device", "", readable)
    put("control", "", readable)
    for key in ["control/shutdown", "control/feature-poweroff", "control/feature-reboot", "control/feature-suspend", "control/sysrq", "data", "drivers", "feature", "attr", "error"] {
      put(key, "", writable)
    }
    put("console", "", readable)
    put("console/type", "xenconsoled", readable)
    put("store", "", readable)
    put("store/port", "\(built.storePort)", readable)
    put("store/ring-ref", "\(built.storeFrame.rawValue)", readable)
  }

  // MARK: Running

  /// Lets xenstore tell domains what they watch, and forget what they do not fetch. To be called now and then.
  public func service() {
    store.advance(to: hypervisor.now / 1_000_000)
    for managed in domains { managed.storeLink.deliver(to: managed.domain) }
  }

  /// Asks a domain to switch itself off, by the node that its kernel watches (docs/misc/xenstore-paths.pandoc, control/shutdown).
  public func requestShutdown(_ managed: ManagedDomain) {
    try? store.write("/local/domain/\(managed.domain.id.rawValue)/control/shutdown", "poweroff")
    service()
  }

  /// Deals with domains that have ended. Returns the reasons of those that are gone for good.
  public func reap() throws(BuildError) -> [ShutdownReason] {
    var gone: [ShutdownReason] = []
    for managed in domains {
      guard case .shutdown(let reason) = managed.domain.state else { continue }
      managed.console.drain()
      let action = action(for: reason, managed.configuration)
      onEvent?("domain \(managed.configuration.name) ended: \(reason)\(action == .restart ? ", starting again" : "")")
      store.release(managed.domain.id.rawValue)
      try? store.remove("/local/domain/\(managed.domain.id.rawValue)")
      hypervisor.destroy(managed.domain)
      if action == .restart {
        let (built, link) = try build(managed.configuration, managed.kernel, managed.ramdisk)
        managed.domain = built.domain
        managed.console = built.console
        managed.storeLink = link
        managed.console.onOutput = managed.onConsole
        hypervisor.unpause(built.domain)
      } else {
        domains.removeAll { $0 === managed }
        gone.append(reason)
      }
    }
    return gone
  }

  /// What the configuration wants to happen at an end. A guest that never got anywhere is not started again and again.
  private func action(for reason: ShutdownReason, _ c: DomainConfiguration) -> DomainConfiguration.EndAction {
    switch reason {
    case .poweroff, .suspend: return c.onPoweroff
    case .reboot: return c.onReboot
    case .crash: return c.onCrash
    case .watchdog: return c.onWatchdog
    case .softReset: return c.onSoftReset
    }
  }
}

/// Joins a domain's xenstore page and port with the store.
final class StoreLink: EventService {
  private let store: XenstoreServer
  private var ring: XenstoreRing?
  private var connection: XenstoreConnectionID?
  private var port: EventPort?

  init(_ store: XenstoreServer) { self.store = store }

  func attach(_ built: BuiltDomain) {
    let ring = XenstoreRing(page: built.storePage)
    ring.initialize()
    self.ring = ring
    port = built.storePort
    connection = store.introduce(built.domain.id.rawValue)
  }

  func guestNotified(_ domain: Domain, port: EventPort) {
    guard let ring, let connection else { return }
    if ring.service(store, on: connection) { domain.raise(port) }
  }

  /// Watch events that come up without a request of the domain's.
  func deliver(to domain: Domain) {
    guard let connection, let port, store.hasOutput(on: connection) else { return }
    guestNotified(domain, port: port)
  }
}
