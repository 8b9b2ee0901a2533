#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Control
import Machine

/// The commands that show domains, as `xl` has them.
struct ListCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Shows the domains of a hypervisor.",
    discussion: """
      State: r has something to do, b waits, p paused, s switched off, c crashed. Memory is in MiB, time in seconds.

      Examples:
        xenolith list
        xenolith list guest
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String?

  func run() throws {
    guard case .domains(let list) = try service.connect().ask(.list(domain: domain)) else { throw ServiceConnection.surprise }
    try HostFile.standardOutput(DomainTables.domains(list).utf8)
  }
}

struct VCPUListCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "vcpu-list", abstract: "Shows the virtual processors of domains.",
    discussion: """
      Examples:
        xenolith vcpu-list
        xenolith vcpu-list guest
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String?

  func run() throws {
    guard case .virtualProcessors(let list) = try service.connect().ask(.virtualProcessors(domain: domain)) else { throw ServiceConnection.surprise }
    try HostFile.standardOutput(DomainTables.virtualProcessors(list).utf8)
  }
}

struct DmesgCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "dmesg", abstract: "Shows the hypervisor's messages.",
    discussion: """
      Times are in seconds since the hypervisor began.

      Examples:
        xenolith dmesg
        xenolith dmesg --clear
      """)
  @OptionGroup var service: ServiceOptions
  @Flag(name: [.customShort("c"), .long], help: "Forget them afterwards.") var clear = false

  func run() throws {
    guard case .log(let lines) = try service.connect().ask(.log(clears: clear)) else { throw ServiceConnection.surprise }
    try HostFile.standardOutput(lines.map { $0 + "\n" }.joined().utf8)
  }
}

struct TopCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "Shows again and again what domains take up.",
    discussion: """
      On a terminal the table is refreshed until q or Ctrl-C. Percentages of time are those of the hypervisor's own time since the table before.

      Examples:
        xenolith top
        xenolith top --batch -n 10 -d 1
      """)
  @OptionGroup var service: ServiceOptions
  @Option(name: [.customShort("d", allowingJoined: true), .long], help: ArgumentHelp("Time between two tables.", valueName: "seconds")) var delay = 3.0
  @Option(name: [.customShort("n", allowingJoined: true), .customLong("iterations")], help: ArgumentHelp("End after so many tables.", valueName: "count")) var iterations: Int?
  @Flag(name: .shortAndLong, help: "Print tables one below the other.") var batch = false

  func validate() throws {
    if !(delay >= 0.05 && delay < 1e6) { throw ValidationError("--delay must be at least 0.05") }
    if let iterations, iterations < 1 { throw ValidationError("--iterations must be at least 1") }
  }

  func run() throws {
    let connection = try service.connect()
    let refreshes = !batch && Terminal.outputIsTerminal
    var before: MachineSummary?
    var count = 0
    let takesKeys = refreshes && Terminal.isTerminal
    if takesKeys { Terminal.makeRaw() }
    defer { Terminal.restore() }
    while true {
      guard case .statistics(let now) = try connection.ask(.statistics) else { throw ServiceConnection.surprise }
      let text = DomainTables.top(now, before: before)
      try HostFile.standardOutput(((refreshes ? "\u{1B}[H\u{1B}[2J" : "") + text).utf8)
      before = now
      count += 1
      if count == iterations ?? (batch || refreshes ? .max : 1) { return }
      if takesKeys {
        if Self.isEndKeyTyped(within: delay) { return }
      } else {
        Terminal.sleep(delay)
      }
      if Terminal.isInterrupted { throw ExitCode(refreshes ? 0 : 130) }
    }
  }
  /// Waits for q or Ctrl-C.
  private static func isEndKeyTyped(within seconds: Double) -> Bool {
    let end = HostFile.monotonicTime() &+ UInt64(seconds * 1e9)
    while !Terminal.isInterrupted {
      let now = HostFile.monotonicTime()
      guard now < end else { return false }
      var entry = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
      guard poll(&entry, 1, Int32((end - now) / 1_000_000 + 1)) > 0 else { continue }
      var key: UInt8 = 0
      guard read(0, &key, 1) == 1 else { return true }
      if key == UInt8(ascii: "q") || key == 3 { return true }
    }
    return false
  }
}
