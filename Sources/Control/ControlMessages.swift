import FoundationEssentials

/// The messages of the control socket: requests of the `xenolith` commands to a running hypervisor, and its answers.
///
/// Each travels as one line of JSON, `{"id":1,"request":{"destroy":{"domain":"guest"}},"version":1}`. Requests are answered in any order (one
/// that waits for a domain's end is answered late), each by an answer with its number. After `console` more answers with the same number
/// follow, until `ended`.
public enum ControlProtocol {
  /// Changes whenever a message changes its meaning. Both sides refuse to talk to another version.
  public static let version = 1
  /// Longest line; whoever sends a longer one is not listened to any more.
  public static let lineLimit = 4 << 20
}

public enum ControlRequest: Codable, Equatable, Sendable {
  /// All domains, or one.
  case list(domain: String?)
  case create(DomainSource, paused: Bool)
  /// Text that comes from the domain from now on, and what nobody has seen yet.
  case console(domain: String)
  /// Typed on the console that this connection has asked for. Has no answer.
  case input(bytes: Data)
  case pause(domain: String)
  case unpause(domain: String)
  /// - waits: the answer comes when the domain has ended.
  case shutdown(domain: String, reboots: Bool, waits: Bool)
  case destroy(domain: String)
  /// The answer comes when the file is written, or when that failed.
  case save(domain: String, path: String, after: AfterSave)
  /// Writes memory and processors to a file for debuggers.
  case dumpCore(domain: String, path: String)
  /// - configuration: to use instead of the saved one.
  case restore(path: String, configuration: DomainSource?, paused: Bool)
  case virtualProcessors(domain: String?)
  /// Lets one virtual processor, or all (nil), run on some physical processors only: a list as xl.cfg(5) has it for `cpus`.
  case pin(domain: String, vcpu: Int?, cpus: String)
  /// Tells a domain how many of its virtual processors are to be up.
  case setProcessors(domain: String, count: Int)
  /// Tells a domain how much memory it is to have, in KiB.
  case setMemory(domain: String, kibibytes: UInt64)
  /// Shows weights and caps, or changes those of one domain.
  case schedule(domain: String?, weight: Int?, cap: Int?)
  /// The hypervisor's messages.
  case log(clears: Bool)
  case statistics
}

/// What is to become of a domain that is saved.
public enum AfterSave: String, Codable, Sendable {
  case destroy
  /// It runs on.
  case resume
  /// It goes on when it is unpaused.
  case pause
}

/// A domain's configuration file as it was read, and where: relative paths in it are those of the command's user.
public struct DomainSource: Codable, Equatable, Sendable {
  public var text: Data
  public var file: String
  public var directory: String
  public init(text: [UInt8], file: String, directory: String) {
    self.text = Data(text)
    self.file = file
    self.directory = directory
  }
}

public enum ControlAnswer: Codable, Equatable, Sendable {
  case done
  case failed(FailureReason, message: String)
  case domains([DomainSummary])
  case created(DomainSummary)
  case attached(DomainSummary)
  case console(bytes: Data)
  /// The domain is gone for good, or the console is taken away.
  case ended(reason: String)
  case virtualProcessors([VirtualProcessorSummary])
  case schedule([ScheduleSummary])
  case log([String])
  case statistics(MachineSummary)
}

/// Whose fault a failure is: decides the exit code.
public enum FailureReason: String, Codable, Sendable {
  case usage, badImage, missingFile, `internal`
}

public struct DomainSummary: Codable, Equatable, Sendable {
  public var name: String
  public var id: Int
  /// KiB it has, and may have.
  public var memory: UInt64
  public var maximumMemory: UInt64
  /// Virtual processors that are up.
  public var virtualProcessors: Int
  public var isRunnable: Bool
  public var isPaused: Bool
  /// Xen's name for the reason of a domain's end, while the domain is still there.
  public var shutdownReason: String?
  /// Of all its virtual processors, in nanoseconds.
  public var time: UInt64

  public init(
    name: String, id: Int, memory: UInt64, maximumMemory: UInt64, virtualProcessors: Int, isRunnable: Bool, isPaused: Bool,
    shutdownReason: String?, time: UInt64
  ) {
    self.name = name
    self.id = id
    self.memory = memory
    self.maximumMemory = maximumMemory
    self.virtualProcessors = virtualProcessors
    self.isRunnable = isRunnable
    self.isPaused = isPaused
    self.shutdownReason = shutdownReason
    self.time = time
  }

  /// As `xl list` shows it: running, blocked, paused, shut down, crashed.
  public var state: String {
    let crashed = shutdownReason == "crash" || shutdownReason == "watchdog"
    let ended = shutdownReason != nil
    return [
      (!ended && !isPaused && isRunnable, "r"), (!ended && !isRunnable, "b"), (isPaused, "p"), (ended && !crashed, "s"), (crashed, "c"), (false, "d"),
    ].map { $0.0 ? $0.1 : "-" }.joined()
  }
}

public struct VirtualProcessorSummary: Codable, Equatable, Sendable {
  public var domain: String
  public var id: Int
  public var index: Int
  public var isUp: Bool
  public var isRunnable: Bool
  public var isPaused: Bool
  public var time: UInt64
  /// Physical processor it ran on last.
  public var processor: Int
  /// Physical processors it may run on; nil for all.
  public var affinity: [Int]?

  public init(
    domain: String, id: Int, index: Int, isUp: Bool, isRunnable: Bool, isPaused: Bool, time: UInt64, processor: Int, affinity: [Int]?
  ) {
    self.domain = domain
    self.id = id
    self.index = index
    self.isUp = isUp
    self.isRunnable = isRunnable
    self.isPaused = isPaused
    self.time = time
    self.processor = processor
    self.affinity = affinity
  }
}

public struct ScheduleSummary: Codable, Equatable, Sendable {
  public var domain: String
  public var id: Int
  public var weight: Int
  /// Percent of a processor; 0 for no limit.
  public var cap: Int

  public init(domain: String, id: Int, weight: Int, cap: Int) {
    self.domain = domain
    self.id = id
    self.weight = weight
    self.cap = cap
  }
}

/// The hypervisor as a whole, with all domains at the same moment.
public struct MachineSummary: Codable, Equatable, Sendable {
  public var version: String
  /// Nanoseconds of its own time.
  public var time: UInt64
  /// KiB.
  public var memory: UInt64
  public var freeMemory: UInt64
  public var domains: [DomainSummary]

  public init(version: String, time: UInt64, memory: UInt64, freeMemory: UInt64, domains: [DomainSummary]) {
    self.version = version
    self.time = time
    self.memory = memory
    self.freeMemory = freeMemory
    self.domains = domains
  }
}
