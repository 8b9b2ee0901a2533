import Backends
import Hypervisor
import XenABI
import Xenstore

/// The split devices that a configuration gives a domain: their files, their back ends, and their nodes in xenstore as xl makes them
/// (docs/misc/xenstore-paths.pandoc).
///
/// Files are opened once and stay open, and locked, while the domain is started again.
///
/// Not modelled: disks in other formats than raw, other back-end domains than the hypervisor itself, scripts, limits on an
/// interface's rate.
public final class DomainDevices {
  private struct Disk {
    var configuration: DiskConfiguration
    var image: any BlockImage
  }
  private var disks: [Disk] = []
  private var interfaces: [NetworkConfiguration] = []
  private var name = ""
  private var running: [XenbusBackend] = []

  /// None.
  init() {}

  /// Opens what the configuration names.
  public init(_ configuration: DomainConfiguration) throws(BuildError) {
    for (n, disk) in configuration.disks.enumerated() {
      func refuse(_ reason: String, isMissingFile: Bool = false) -> BuildError {
        BuildError(configuration.error("disk", element: n, reason), isMissingFile: isMissingFile)
      }
      guard disk.format == .raw || disk.format == .empty else {
        throw refuse("gives \(disk.device.name) the format \(disk.format.rawValue), and only raw is there yet")
      }
      guard disk.backendDomain == nil || disk.backendDomain == "0" || disk.backendDomain == "Domain-0" else {
        throw refuse("wants \(disk.device.name) from the domain \(disk.backendDomain!), and only 0 serves disks")
      }
      if disk.format == .empty {
        disks.append(Disk(configuration: disk, image: EmptyDrive()))
        continue
      }
      do throws(BlockImageError) {
        let access: RawFileImage.Access = disk.isShared ? .sharedReadWrite : disk.isWritable ? .readWrite : .readOnly
        disks.append(Disk(configuration: disk, image: try RawFileImage(path: disk.target, access: access)))
      } catch {
        let other = disks.first { ($0.image as? RawFileImage)?.isFile(disk.target) == true }
        if let other { throw refuse("gives \(disk.device.name) the file \(disk.target), which is \(other.configuration.device.name) already") }
        throw refuse("\(disk.target) \(error)", isMissingFile: true)
      }
    }
    for (n, interface) in configuration.networks.enumerated() {
      guard interface.backendDomain == nil || interface.backendDomain == "0" || interface.backendDomain == "Domain-0" else {
        throw BuildError(
          configuration.error("vif", element: n, "wants an interface from the domain \(interface.backendDomain!), and only 0 serves them"))
      }
    }
    interfaces = configuration.networks
    name = configuration.name
  }

  /// Gives a domain that was built its devices.
  func attach(to domain: Domain, _ store: XenstoreServer, _ networks: VirtualNetworks) {
    for disk in disks { running.append(start(disk, domain, store)) }
    var numbers = Set(interfaces.compactMap(\.deviceID))
    for interface in interfaces {
      let number = interface.deviceID ?? (0...).first { !numbers.contains($0) }!
      numbers.insert(number)
      running.append(start(interface, number, domain, store, networks))
    }
  }

  /// Takes the devices from a domain that has ended.
  func detach() {
    for backend in running { backend.stop() }
    running = []
  }

  /// Does what no event of the guest's announces.
  func service() {
    for backend in running { backend.service() }
  }

  private func start(_ disk: Disk, _ domain: Domain, _ store: XenstoreServer) -> XenbusBackend {
    let c = disk.configuration
    let driver = BlockBackend(domain: domain, image: disk.image, isCDROM: c.isCDROM, discard: c.discard ?? true)
    let backend = XenbusBackend(kind: "vbd", number: c.device.number, domain: domain, store: store, driver: driver)
    driver.onFailure = { [weak backend] in backend?.fail($0) }
    driver.onImageError = { [weak backend] in
      guard let backend else { return }
      backend.domain.hypervisor.log("\(backend.name): \(c.target) \($0)")
    }
    let type = c.isCDROM ? "cdrom" : "disk"
    backend.start(
      backend: [
        ("params", c.target), ("type", "file"), ("dev", c.device.name), ("mode", c.isWritable ? "w" : "r"), ("device-type", type),
        ("removable", c.isCDROM ? "1" : "0"), ("bootable", "1"), ("discard-enable", c.discard ?? true ? "1" : "0"),
      ],
      frontend: [("virtual-device", "\(c.device.number)"), ("device-type", type)])
    return backend
  }

  private func start(
    _ c: NetworkConfiguration, _ number: Int, _ domain: Domain, _ store: XenstoreServer, _ networks: VirtualNetworks
  ) -> XenbusBackend {
    let bridge = networks.bridge(c.bridge)
    let driver = NetworkBackend(domain: domain, bridge: bridge)
    let backend = XenbusBackend(kind: "vif", number: UInt32(number), domain: domain, store: store, driver: driver)
    driver.onFailure = { [weak backend] in backend?.fail($0) }
    let mac = c.mac ?? MACAddress(domain: name, interface: number)
    let common = [("handle", "\(number)"), ("mac", "\(mac)")] + (c.mtu.map { [("mtu", "\($0)")] } ?? [])
    backend.start(
      backend: common + [("bridge", bridge.name), ("type", "vif")] + (c.addresses.map { [("ip", $0)] } ?? []), frontend: common)
    return backend
  }
}

/// A drive without a medium.
private final class EmptyDrive: BlockImage {
  let sectors: UInt64 = 0
  let isWritable = false
  let canDiscard = false
  func read(_ sector: UInt64, into target: UnsafeMutableRawBufferPointer) throws(BlockImageError) { throw BlockImageError("has no medium") }
  func write(_ sector: UInt64, _ source: UnsafeRawBufferPointer) throws(BlockImageError) { throw BlockImageError("has no medium") }
  func flush() throws(BlockImageError) {}
  func discard(_ sector: UInt64, count: UInt64) throws(BlockImageError) { throw BlockImageError("has no medium") }
}
