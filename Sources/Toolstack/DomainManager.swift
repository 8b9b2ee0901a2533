import Control
import Hypervisor
import KernelImages
import Processor
import XenABI
import Xenstore

/// Domains on one hypervisor: creates them from configurations, tells them by xenstore what they have, and does what was asked for when they end.
public final class DomainManager {
  public let hypervisor: Hypervisor
  public let store = XenstoreServer()
  public let networks: VirtualNetworks
  public internal(set) var domains: [ManagedDomain] = []
  /// Told of ends and new beginnings, one sentence each.
  public var onEvent: ((String) -> Void)?
  /// Told of each end.
  public var onEnd: ((DomainEnd) -> Void)?

  /// Makes a core file of a domain, has it written, and returns its path.
  public var storeCore: ((_ name: String, _ body: FileBody) throws(BuildError) -> String)?
  /// Reads the kernel and the initial RAM disk that a configuration names.
  public var readFiles: ((DomainConfiguration) throws(BuildError) -> (kernel: [UInt8], ramdisk: [UInt8]))?

  public init(memoryBytes: UInt64, model: CPUModel) {
    hypervisor = Hypervisor(memoryBytes: memoryBytes, model: model)
    networks = VirtualNetworks(hypervisor)
    // Domains are introduced by whoever builds them.
    store.host.introduce = { _, _, _, _ in false }
    // Permissions for a domain that is not there must not hold for one that comes later.
    store.host.domainExists = { [unowned hypervisor] id in id == 0 || hypervisor.domains[DomainID(id)] != nil }
  }

  // MARK: Creating

  /// Makes a domain and lets it run.
  /// - Parameters:
  ///   - kernel: the kernel file's bytes; `ramdisk` those of the initial RAM disk.
  ///   - source: the configuration's file, without which the domain cannot be saved.
  ///   - paused: it waits for `unpause`.
  @discardableResult
  public func create(
    _ configuration: DomainConfiguration, kernel: [UInt8], ramdisk: [UInt8], source: DomainSource? = nil, paused: Bool = false
  ) throws(BuildError) -> ManagedDomain {
    if domains.contains(where: { $0.name == configuration.name }) {
      throw BuildError("a domain with the name \(configuration.name) exists already", cause: .name).located(in: configuration)
    }
    let images: DomainImages, devices: DomainDevices, built: BuiltDomain, link: StoreLink
    do throws(BuildError) {
      images = try self.images(configuration, kernel: kernel, ramdisk: ramdisk)
      devices = try DomainDevices(configuration)
      (built, link) = try build(configuration, images)
    } catch {
      throw error.located(in: configuration)
    }
    let managed = ManagedDomain(
      name: configuration.name, configuration: configuration, source: source, images: images, built: built, storeLink: link)
    managed.startedAt = hypervisor.now
    managed.devices = devices
    devices.attach(to: built.domain, store, networks)
    domains.append(managed)
    if paused { managed.isPaused = true } else { hypervisor.unpause(built.domain) }
    return managed
  }

  private func images(_ configuration: DomainConfiguration, kernel: [UInt8], ramdisk: [UInt8]) throws(BuildError) -> DomainImages {
    let name = configuration.kernel ?? "the kernel"
    let parsed: DomainKernel
    switch configuration.type {
    case .pv: parsed = .paravirtual(try paravirtualKernel(kernel, name: name))
    case .pvh: parsed = .pvh(try pvhKernel(kernel, name: name))
    case .hvm:
      throw BuildError("domain \(configuration.name) has type = \"hvm\", which is not there yet: \"pv\" and \"pvh\" are", cause: .kind)
    }
    return DomainImages(kernel: parsed, ramdisk: ramdisk)
  }

  /// What a domain starts from again.
  func images(of managed: ManagedDomain) throws(BuildError) -> DomainImages {
    if let images = managed.images { return images }
    guard let (kernel, ramdisk) = try readFiles?(managed.configuration) else { throw BuildError("its files are not at hand") }
    let images = try images(managed.configuration, kernel: kernel, ramdisk: ramdisk)
    managed.images = images
    return images
  }

  /// Builds the domain inside the hypervisor, paused, with its nodes in xenstore.
  func build(_ configuration: DomainConfiguration, _ images: DomainImages) throws(BuildError) -> (BuiltDomain, StoreLink) {
    try checkAffinity(configuration)
    let link = StoreLink(store)
    let request = DomainRequest(
      name: configuration.name, memoryBytes: UInt64(configuration.memory) << 20, maximumMemoryBytes: UInt64(configuration.maximumMemory) << 20,
      vcpus: configuration.maximumVCPUs, weight: configuration.weight, cap: configuration.cap, commandLine: configuration.commandLine, paging: configuration.nestedTranslation ? .nested : .shadow,
      shadowBytes: configuration.shadowMemory.map { UInt64($0) << 20 })
    let built = try hypervisor.build(request, kernel: images.kernel, ramdisk: images.ramdisk, store: link)
    link.attach(built)
    built.domain.handle = (configuration.uuid ?? DomainUUID(name: configuration.name)).bytes
    pin(built.domain, configuration)
    describe(built, configuration)
    return (built, link)
  }

  /// The opposite of `build`: everything outside the domain that belongs to it goes, and then the domain.
  func dismantle(_ managed: ManagedDomain) {
    managed.console.disconnect()
    managed.devices.detach()
    store.release(managed.domain.id.rawValue)
    try? store.remove("/local/domain/\(managed.domain.id.rawValue)")
    if !domains.contains(where: { $0 !== managed && $0.domain.handle == managed.domain.handle }) { try? store.remove(Self.vmPath(managed.domain)) }
    hypervisor.destroy(managed.domain)
  }

  /// Takes a domain that is gone off the list, and lets go of its files.
  func forget(_ managed: ManagedDomain) {
    domains.removeAll { $0 === managed }
    managed.devices = DomainDevices()
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
      throw BuildError(error.description, cause: .kernel)
    }
  }

  private func pvhKernel(_ file: [UInt8], name: String) throws(BuildError) -> PVHKernel {
    do throws(ImageError) {
      let elf = try ELFFile(try KernelImage.elf(in: file, name: name), name: name)
      let layout = try XenKernelLayout(elf, try XenKernelNotes(elf, name: name), kind: .pvh, name: name)
      let segments = elf.loadableSegments.map {
        ParavirtualKernel.Segment(
          address: $0.physicalAddress, bytes: elf.image[Int($0.offset)..<Int($0.offset + $0.fileSize)], size: $0.memorySize)
      }
      return PVHKernel(segments: segments, entry: UInt32(layout.entry))
    } catch {
      throw BuildError(error.description, cause: .kernel)
    }
  }

  private static func vmPath(_ domain: Domain) -> String { "/vm/\(DomainUUID(bytes: domain.handle))" }

  /// What a domain finds about itself in xenstore, as Xen's tools write it (docs/misc/xenstore-paths.pandoc).
  func describe(_ built: BuiltDomain, _ configuration: DomainConfiguration) {
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
    let vm = Self.vmPath(built.domain)
    for (key, value) in [("", ""), ("/name", configuration.name), ("/uuid", "\(DomainUUID(bytes: built.domain.handle))")] {
      try? store.write(vm + key, value)
      try? store.setPermissions(vm + key, readable)
    }
    put("vm", vm, readable)
    put("memory", "", readable)
    put("memory/static-max", "\(configuration.maximumMemory * 1024)", readable)
    put("memory/target", "\(configuration.memory * 1024)", readable)
    put("cpu", "", readable)
    // A kernel that has come up takes down those that are not to be there yet.
    for n in 0..<built.domain.vcpus.count {
      put("cpu/\(n)", "", readable)
      put("cpu/\(n)/availability", n < configuration.vcpus ? "online" : "offline", readable)
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
    put("store/ring-ref", "\(built.storeFrame)", readable)
  }

  func checkAffinity(_ configuration: DomainConfiguration) throws(BuildError) {
    guard configuration.affinity.contains(where: { $0.processors(of: hypervisor.physicalProcessors).isEmpty }) else { return }
    throw BuildError(
      "domain \(configuration.name) may run on none of the machine's processors, which are 0 to \(hypervisor.physicalProcessors - 1)",
      cause: .affinity).located(in: configuration)
  }

  /// Where virtual processors may run: an entry of `cpus` for each, the last one for those beyond.
  func pin(_ domain: Domain, _ configuration: DomainConfiguration) {
    guard let last = configuration.affinity.last else { return }
    for n in domain.vcpus.indices {
      let affinity = n < configuration.affinity.count ? configuration.affinity[n] : last
      hypervisor.pin(domain, vcpu: n, to: Set(affinity.processors(of: hypervisor.physicalProcessors)))
    }
  }

  // MARK: Running

  /// Lets xenstore tell domains what they watch, and forget what they do not fetch. To be called now and then.
  public func service() {
    store.advance(to: hypervisor.now / 1_000_000)
    dropLateSaves()
    networks.service()
    for managed in domains where managed.isAlive {
      managed.devices.service()
      managed.storeLink.deliver(to: managed.domain)
    }
  }

  // MARK: Commands

  /// A domain by its number or its name.
  public func find(_ text: String) -> ManagedDomain? {
    domains.first { "\($0.domain.id.rawValue)" == text } ?? domains.first { $0.name == text }
  }

  public func pause(_ managed: ManagedDomain) {
    if managed.isPaused { return }
    managed.isPaused = true
    hypervisor.pause(managed.domain)
  }

  public func unpause(_ managed: ManagedDomain) {
    guard managed.isPaused else { return }
    managed.isPaused = false
    hypervisor.unpause(managed.domain)
  }

  /// Asks a domain to switch itself off, by the node that its kernel watches (docs/misc/xenstore-paths.pandoc, control/shutdown).
  /// - Parameter how: `poweroff`, `reboot`, `suspend`.
  public func requestShutdown(_ managed: ManagedDomain, _ how: String = "poweroff") {
    managed.endIsWanted = true
    try? store.write("/local/domain/\(managed.domain.id.rawValue)/control/shutdown", how)
    service()
  }

  /// Ends a domain at once, without asking it.
  public func destroy(_ managed: ManagedDomain) {
    let id = managed.domain.id
    dropSave(managed)
    dismantle(managed)
    forget(managed)
    onEvent?("domain \(managed.name) was destroyed")
    onEnd?(DomainEnd(managed: managed, id: id, reason: nil, outcome: .gone))
  }
}
