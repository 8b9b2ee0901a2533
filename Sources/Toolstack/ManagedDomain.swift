import Control
import Hypervisor
import XenABI

/// A domain with what it was made from and what leads to it. It stays the same when the domain starts again, with another domain inside.
public final class ManagedDomain {
  public internal(set) var name: String
  public let configuration: DomainConfiguration
  /// The configuration's file; nil for one that was made without.
  let source: DomainSource?
  public internal(set) var domain: Domain
  public let console = DomainConsole()
  /// What it is started from again; nil for a restored one, whose files are read when they are needed.
  var images: DomainImages?
  /// It is being saved.
  var save: SaveJob?
  var storeLink: StoreLink
  var devices = DomainDevices()
  /// By command.
  public internal(set) var isPaused = false
  /// It has ended and is kept to be looked at.
  public internal(set) var isPreserved = false
  /// Hypervisor's time of its start, and how many starts before ended soon after.
  var startedAt: UInt64 = 0
  var hastyEnds = 0
  /// The next end was asked for by command: it is no sign of a guest that cannot run.
  var endIsWanted = false

  init(
    name: String, configuration: DomainConfiguration, source: DomainSource?, images: DomainImages?, built: BuiltDomain, storeLink: StoreLink
  ) {
    self.name = name
    self.configuration = configuration
    self.source = source
    self.images = images
    domain = built.domain
    self.storeLink = storeLink
    console.connect(built.console)
  }

  /// What has ended of a domain that starts again.
  init(keeping other: ManagedDomain, as name: String) {
    self.name = name
    configuration = other.configuration
    source = other.source
    images = other.images
    domain = other.domain
    storeLink = other.storeLink
    isPreserved = true
  }

  /// Whether it has not ended.
  public var isAlive: Bool { domain.state == .running }
}

/// Contents of the files that a domain starts from.
public struct DomainImages {
  public var kernel: DomainKernel
  public var ramdisk: [UInt8]
}
