import Platform
import XenABI

/// How a domain with page tables of its own comes from its physical addresses to the machine's.
public enum GuestPaging: Sendable {
  /// By shadow page tables of the hypervisor's.
  case shadow
  /// The processor translates the addresses that it finds in the guest's tables.
  case nested
}

/// What a domain boots.
public enum DomainKernel {
  case paravirtual(ParavirtualKernel)
  case pvh(PVHKernel)
}

/// What a new domain is to have.
public struct DomainRequest {
  public var name: String
  public var memoryBytes: UInt64
  /// What a paravirtual domain may grow to by its balloon driver.
  public var maximumMemoryBytes: UInt64
  /// All it can ever have.
  public var vcpus: Int
  public var weight: Int
  public var cap: Int
  public var commandLine: String
  public var paging: GuestPaging
  /// Most bytes of shadow page tables; nil for what the memory asks for.
  public var shadowBytes: UInt64?
  public init(
    name: String, memoryBytes: UInt64, maximumMemoryBytes: UInt64 = 0, vcpus: Int = 1, weight: Int = 256, cap: Int = 0, commandLine: String = "", paging: GuestPaging = .shadow,
    shadowBytes: UInt64? = nil
  ) {
    self.name = name
    self.memoryBytes = memoryBytes
    self.maximumMemoryBytes = max(memoryBytes, maximumMemoryBytes)
    self.vcpus = vcpus
    self.weight = weight
    self.cap = cap
    self.commandLine = commandLine
    self.paging = paging
    self.shadowBytes = shadowBytes
  }
}

/// A built domain and what leads to its services.
public struct BuiltDomain {
  public let domain: Domain
  public let console: ConsoleRing
  /// Page that the domain shares with xenstore.
  public let storePage: UnsafeMutableRawPointer
  /// The same as the guest counts its frames.
  public let storeFrame: UInt64
  public let storePort: EventPort
}

extension Hypervisor {
  /// Builds a domain, paused at its first instruction.
  /// - Parameter store: answers on the domain's xenstore port.
  public func build(_ request: DomainRequest, kernel: DomainKernel, ramdisk: [UInt8] = [], store: any EventService) throws(BuildError) -> BuiltDomain {
    let count = request.memoryBytes >> 12
    guard 1...SharedInfoLayout.legacyVCPUs ~= request.vcpus else {
      throw BuildError(
        "domain \(request.name) cannot have \(request.vcpus) virtual processors: 1 to \(SharedInfoLayout.legacyVCPUs) are possible", cause: .processors)
    }
    // Before anything is made that is as large as the request.
    guard count <= frames.freeFrames else { throw .noMemory(for: request.name, pages: count) }
    guard request.maximumMemoryBytes <= totalMemory else {
      throw BuildError("the machine has \(totalMemory >> 20) MiB, less than domain \(request.name) could grow to", cause: .maximumMemory)
    }
    var isCompat = false
    var hvm: HVMPlatform?
    switch kernel {
    case .paravirtual(let k): isCompat = k.isCompat
    case .pvh: hvm = HVMPlatform(frames: PVHBuilder.space(frames: count), vcpus: request.vcpus, model: model)
    }
    let domain: Domain
    do throws(XenError) {
      domain = try makeDomain(name: request.name, isCompat: isCompat, hvm: hvm, maximumFrames: request.maximumMemoryBytes >> 12)
    } catch {
      throw .noMemory(for: request.name, pages: count)
    }
    domain.weight = request.weight
    domain.cap = request.cap
    domain.pauseCount = 1
    let storePort: EventPort, consolePort: EventPort
    do throws(XenError) {
      storePort = try domain.bindService(store)
      consolePort = try domain.bindService(ServiceRelay())
    } catch {
      throw BuildError("domain \(request.name) cannot have event channels (\(error))")
    }
    let storeFrame: MachineFrameNumber, consoleFrame: MachineFrameNumber, storeNumber: UInt64
    do throws(BuildError) {
      switch kernel {
      case .paravirtual(let k):
        var builder = ParavirtualBuilder(domain, k)
        let result = try builder.build(frames: count, vcpus: request.vcpus, ramdisk: ramdisk, commandLine: request.commandLine,
                                       consolePort: consolePort, storePort: storePort)
        (storeFrame, consoleFrame, storeNumber) = (result.storeFrame, result.consoleFrame, result.storeFrame.rawValue)
      case .pvh(let k):
        let result = try PVHBuilder(domain, k).build(frames: count, vcpus: request.vcpus, ramdisk: ramdisk, commandLine: request.commandLine,
                                                     consolePort: consolePort, storePort: storePort)
        (storeFrame, consoleFrame, storeNumber) = (result.storeFrame, result.consoleFrame, PVHBuilder.Place.store.rawValue)
        if request.paging == .shadow {
          let bytes = request.shadowBytes ?? ShadowPaging.defaultBytes(memory: request.memoryBytes, vcpus: request.vcpus)
          guard let shadow = ShadowPaging(domain, bytes: bytes) else {
            throw BuildError("the machine has no memory left for the shadow page tables of domain \(request.name)", cause: .shadowMemory)
          }
          hvm?.shadow = shadow
        }
      }
    } catch {
      destroy(domain)
      throw error
    }
    do throws(XenError) {
      return try attachServices(to: domain, store: (storeFrame, storePort), console: (consoleFrame, consolePort), number: storeNumber)
    } catch {
      destroy(domain)
      throw BuildError("the pages of domain \(request.name) for its services cannot be used (\(error))")
    }
  }

  /// Joins a domain's pages for console and xenstore with their services. As the services write there, the pages cannot become page tables,
  /// nor anybody else's.
  /// - Parameter number: of the store's frame, as the guest counts.
  func attachServices(
    to domain: Domain, store: (frame: MachineFrameNumber, port: EventPort), console: (frame: MachineFrameNumber, port: EventPort), number: UInt64
  ) throws(XenError) -> BuiltDomain {
    for frame in [store.frame, console.frame] {
      try domain.getAndType(frame, .writable)
      domain.serviceFrames.append(frame)
    }
    let ring = ConsoleRing(domain: domain, page: frames.contents(console.frame), port: console.port)
    domain.events[console.port].binding = .service(ring)
    return BuiltDomain(domain: domain, console: ring, storePage: frames.contents(store.frame), storeFrame: number, storePort: store.port)
  }

  /// Gives everything back that a domain has.
  public func destroy(_ domain: Domain) {
    domain.tearDown()
    forget(domain)
  }

  public func pause(_ domain: Domain) { domain.pauseCount += 1 }

  public func unpause(_ domain: Domain) { domain.pauseCount = max(0, domain.pauseCount - 1) }
}

/// Stands for a service until that is made.
final class ServiceRelay: EventService {
  func guestNotified(_ domain: Domain, port: EventPort) {}
}
