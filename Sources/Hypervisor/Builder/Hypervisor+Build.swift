import Platform
import XenABI

/// What a new domain is to have.
public struct DomainRequest {
  public var name: String
  public var memoryBytes: UInt64
  public var vcpus: Int
  public var weight: Int
  public var cap: Int
  public var commandLine: String
  public init(name: String, memoryBytes: UInt64, vcpus: Int = 1, weight: Int = 256, cap: Int = 0, commandLine: String = "") {
    self.name = name
    self.memoryBytes = memoryBytes
    self.vcpus = vcpus
    self.weight = weight
    self.cap = cap
    self.commandLine = commandLine
  }
}

/// A built domain and what leads to its services.
public struct BuiltDomain {
  public let domain: Domain
  public let console: ConsoleRing
  /// Page that the domain shares with xenstore.
  public let storePage: UnsafeMutableRawPointer
  public let storeFrame: MachineFrameNumber
  public let storePort: EventPort
}

extension Hypervisor {
  /// Builds a paravirtual domain, paused at its first instruction.
  /// - Parameter store: answers on the domain's xenstore port.
  public func build(_ request: DomainRequest, kernel: ParavirtualKernel, ramdisk: [UInt8] = [], store: any EventService) throws(BuildError) -> BuiltDomain {
    let count = request.memoryBytes >> 12
    guard 1...SharedInfoLayout.legacyVCPUs ~= request.vcpus else {
      throw BuildError("domain \(request.name) cannot have \(request.vcpus) virtual processors: 1 to \(SharedInfoLayout.legacyVCPUs) are possible")
    }
    let domain: Domain
    do throws(XenError) {
      domain = try makeDomain(name: request.name, isCompat: kernel.isCompat, maximumFrames: count)
    } catch {
      throw BuildError("the machine has no memory left for domain \(request.name)")
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
    var builder = ParavirtualBuilder(domain, kernel)
    let result: ParavirtualBuilder.Result
    do throws(BuildError) {
      result = try builder.build(frames: count, vcpus: request.vcpus, ramdisk: ramdisk, commandLine: request.commandLine,
                                 consolePort: consolePort, storePort: storePort)
    } catch {
      destroy(domain)
      throw error
    }
    let console = ConsoleRing(domain: domain, page: frames.contents(result.consoleFrame), port: consolePort)
    domain.events[consolePort].binding = .service(console)
    return BuiltDomain(domain: domain, console: console, storePage: frames.contents(result.storeFrame), storeFrame: result.storeFrame, storePort: storePort)
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
private final class ServiceRelay: EventService {
  func guestNotified(_ domain: Domain, port: EventPort) {}
}
