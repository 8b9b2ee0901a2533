import ArgumentParser
import Control
import Machine

/// The commands that do something with one domain, as `xl` has them.
protocol DomainCommand: ParsableCommand {
  var service: ServiceOptions { get }
}

extension DomainCommand {
  /// Asks for something that has no result.
  func ask(_ request: ControlRequest) throws { _ = try service.connect().ask(request) }
}

struct PauseCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Stops a domain where it is.",
    discussion: """
      Examples:
        xenolith pause guest
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String
  func run() throws { try ask(.pause(domain: domain)) }
}

struct UnpauseCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "unpause", abstract: "Lets a paused domain run on.",
    discussion: """
      Examples:
        xenolith create --paused guest.cfg
        xenolith unpause guest
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String
  func run() throws { try ask(.unpause(domain: domain)) }
}

struct DestroyCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "destroy", abstract: "Ends a domain at once, without asking it.",
    discussion: """
      Examples:
        xenolith destroy guest
        xenolith destroy 3
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String
  func run() throws { try ask(.destroy(domain: domain)) }
}

struct ShutdownCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "shutdown", abstract: "Asks a domain to switch itself off.",
    discussion: """
      The domain's kernel is told by xenstore, and does it if it wants to.

      Examples:
        xenolith shutdown guest
        xenolith shutdown --wait --all
      """)
  @OptionGroup var service: ServiceOptions
  @Flag(name: [.customShort("w"), .long], help: "Wait until it has ended.") var wait = false
  @Flag(name: [.customShort("a"), .long], help: "All domains.") var all = false
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String?

  func validate() throws {
    if all == (domain != nil) { throw ValidationError("name a domain, or give --all") }
  }

  func run() throws {
    try EndRequest(reboots: false, wait: wait, all: all, domain: domain).send(service)
  }
}

struct RebootCommand: DomainCommand {
  static let configuration = CommandConfiguration(commandName: "reboot", abstract: "Asks a domain to start again.",
    discussion: """
      What becomes of the domain then is what its configuration says with on_reboot.

      Examples:
        xenolith reboot guest
        xenolith reboot --wait guest
      """)
  @OptionGroup var service: ServiceOptions
  @Flag(name: [.customShort("w"), .long], help: "Wait until it has ended.") var wait = false
  @Flag(name: [.customShort("a"), .long], help: "All domains.") var all = false
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String?

  func validate() throws {
    if all == (domain != nil) { throw ValidationError("name a domain, or give --all") }
  }

  func run() throws {
    try EndRequest(reboots: true, wait: wait, all: all, domain: domain).send(service)
  }
}

/// What `shutdown` and `reboot` have in common.
private struct EndRequest {
  var reboots: Bool
  var wait: Bool
  var all: Bool
  var domain: String?

  func send(_ service: ServiceOptions) throws {
    let connection = try service.connect()
    var names = [domain].compactMap { $0 }
    if all {
      guard case .domains(let list) = try connection.ask(.list(domain: nil)) else { throw ServiceConnection.surprise }
      names = list.filter { $0.shutdownReason == nil }.map { "\($0.id)" }
    }
    for name in names { try connection.send(.shutdown(domain: name, reboots: reboots, waits: wait)) }
    for _ in names where try connection.answer() == nil { throw ExitCode(130) }
  }
}

struct VCPUPinCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "vcpu-pin", abstract: "Lets virtual processors run on some physical processors only.",
    discussion: """
      CPUS is a list like 0-3,^2, or all. The machine has as many processors as `xenolith hypervisor --cpus` said.

      Examples:
        xenolith vcpu-pin guest 0 1
        xenolith vcpu-pin guest all 0-1
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String
  @Argument(help: ArgumentHelp("Number of a virtual processor, or all.", valueName: "vcpu")) var vcpu: String
  @Argument(help: ArgumentHelp("Physical processors.", valueName: "cpus")) var cpus: String

  func validate() throws {
    if vcpu != "all", Int(vcpu).map({ $0 >= 0 }) != true { throw ValidationError("\(vcpu) is no virtual processor: a number or all is") }
  }

  func run() throws {
    guard case .done = try service.connect().ask(.pin(domain: domain, vcpu: Int(vcpu), cpus: cpus)) else { throw ServiceConnection.surprise }
  }
}

struct SchedCreditCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "sched-credit", abstract: "Shows or changes domains' shares of the processor.",
    discussion: """
      Without -w and -c it shows them. A domain of twice the weight gets twice the time while both want it; the cap, in percent of a
      processor, holds even when nobody else wants it (0: no limit).

      Examples:
        xenolith sched-credit
        xenolith sched-credit -d guest -w 512 -c 50
      """)
  @OptionGroup var service: ServiceOptions
  @Option(name: [.customShort("d", allowingJoined: true), .long], help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String?
  @Option(name: [.customShort("w", allowingJoined: true), .long], help: ArgumentHelp("1 to 65535; 256 is normal.", valueName: "weight")) var weight: Int?
  @Option(name: [.customShort("c", allowingJoined: true), .long], help: ArgumentHelp("Percent.", valueName: "cap")) var cap: Int?

  func validate() throws {
    if domain == nil, weight != nil || cap != nil { throw ValidationError("-w and -c need a domain, by -d") }
  }

  func run() throws {
    switch try service.connect().ask(.schedule(domain: domain, weight: weight, cap: cap)) {
    case .done: break
    case .schedule(let list): try HostFile.standardOutput(DomainTables.schedule(list).utf8)
    default: throw ServiceConnection.surprise
    }
  }
}
