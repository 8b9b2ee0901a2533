import Hypervisor
import XenABI

/// An end of a domain, and what became of it.
public struct DomainEnd {
  public enum Outcome: Equatable {
    /// It is no more.
    case gone
    /// It has started again.
    case restarted
    /// It is kept as it ended.
    case preserved
  }
  public let managed: ManagedDomain
  /// Its number when it ended.
  public let id: DomainID
  /// Nil for one that was destroyed by command.
  public let reason: ShutdownReason?
  public let outcome: Outcome
  /// It was to start again, and did not.
  public var isGivenUp = false
}

/// What becomes of domains that have ended (xl.cfg(5), on_poweroff and its like).
extension DomainManager {
  /// A guest that ends so soon after its start, in nanoseconds of the hypervisor's time, so many times in a row, will not do better next time.
  static let hastyTime: UInt64 = 1_000_000_000
  static let mostHastyEnds = 3

  /// Deals with domains that have ended since the last call.
  public func reap() {
    for managed in domains where !managed.isPreserved {
      guard case .shutdown(let reason) = managed.domain.state else { continue }
      managed.console.drain()
      let id = managed.domain.id
      store.domainHasShutDown(id.rawValue)
      let outcome: DomainEnd.Outcome
      var isGivenUp = false
      if reason == .suspend {
        guard let job = managed.save, finishSave(managed, job) else {
          // Nobody asked for it, or the guest runs on: its suspension is cancelled.
          if !managed.isAlive { runOn(managed) }
          continue
        }
        dismantle(managed)
        domains.removeAll { $0 === managed }
        outcome = .gone
      } else {
        dropSave(managed)
        outcome = perform(action(for: reason, managed), on: managed, after: reason)
        isGivenUp = outcome == .gone && configuredAction(for: reason, managed).startsAgain
      }
      managed.endIsWanted = false
      onEnd?(DomainEnd(managed: managed, id: id, reason: reason, outcome: outcome, isGivenUp: isGivenUp))
    }
  }

  /// A domain that is being saved has ended otherwise.
  func dropSave(_ managed: ManagedDomain) {
    guard let job = managed.save else { return }
    managed.save = nil
    job.done(BuildError("domain \(managed.name) has ended before it was saved"))
  }

  private func configuredAction(for reason: ShutdownReason, _ managed: ManagedDomain) -> DomainConfiguration.EndAction {
    let c = managed.configuration
    return switch reason {
    case .poweroff, .suspend: c.onPoweroff
    case .reboot: c.onReboot
    case .crash: c.onCrash
    case .watchdog: c.onWatchdog
    case .softReset: c.onSoftReset
    }
  }

  /// What is to happen: what the configuration wants, but for a domain that ends again and again.
  private func action(for reason: ShutdownReason, _ managed: ManagedDomain) -> DomainConfiguration.EndAction {
    let wanted = configuredAction(for: reason, managed)
    guard wanted.startsAgain else { return wanted }
    let isHasty = !managed.endIsWanted && hypervisor.now &- managed.startedAt < Self.hastyTime
    managed.hastyEnds = isHasty ? managed.hastyEnds + 1 : 0
    if managed.hastyEnds <= Self.mostHastyEnds { return wanted }
    onEvent?("domain \(managed.name) has ended \(managed.hastyEnds) times in a row right after its start, and is not started again")
    return wanted == .coredumpRestart ? .coredumpDestroy : .destroy
  }

  private func perform(_ action: DomainConfiguration.EndAction, on managed: ManagedDomain, after reason: ShutdownReason) -> DomainEnd.Outcome {
    let end = "domain \(managed.name) ended: \(reason.name)"
    switch action {
    case .destroy:
      onEvent?(end)
    case .coredumpDestroy:
      onEvent?("\(end), \(dump(managed))")
    case .preserve:
      onEvent?("\(end), kept as it is")
      managed.isPreserved = true
      return .preserved
    case .restart, .coredumpRestart, .softReset:
      onEvent?("\(end), \(action == .coredumpRestart ? dump(managed) + ", " : "")starting again")
      dismantle(managed)
      if startAgain(managed) { return .restarted }
      forget(managed)
      return .gone
    case .renameRestart:
      let kept = keep(managed)
      onEvent?("\(end), kept as \(kept.name), starting again")
      if startAgain(managed) { return .restarted }
      forget(managed)
      return .gone
    }
    dismantle(managed)
    forget(managed)
    return .gone
  }

  /// Writes a domain's memory and processors to a file. Returns what is to be said about it.
  private func dump(_ managed: ManagedDomain) -> String {
    guard let storeCore else { return "not dumped" }
    do throws(BuildError) {
      let path = try storeCore(managed.name) { (sink) throws(BuildError) in try hypervisor.dumpCore(of: managed.domain, to: sink) }
      return "dumped to \(path)"
    } catch {
      return "not dumped: \(error)"
    }
  }

  /// Lets another managed domain have the domain that has ended, under another name.
  private func keep(_ managed: ManagedDomain) -> ManagedDomain {
    var number = 1
    while domains.contains(where: { $0.name == "\(managed.name)-\(number)" }) { number += 1 }
    managed.devices.detach()
    let kept = ManagedDomain(keeping: managed, as: "\(managed.name)-\(number)")
    kept.domain.name = kept.name
    try? store.write("/local/domain/\(kept.domain.id.rawValue)/name", kept.name)
    domains.append(kept)
    return kept
  }

  private func startAgain(_ managed: ManagedDomain) -> Bool {
    do throws(BuildError) {
      let (built, link) = try build(managed.configuration, try images(of: managed))
      managed.domain = built.domain
      managed.storeLink = link
      managed.devices.attach(to: built.domain, store, networks)
      managed.console.connect(built.console)
      managed.startedAt = hypervisor.now
      if managed.isPaused { managed.isPaused = false }
      hypervisor.unpause(built.domain)
      return true
    } catch {
      onEvent?("domain \(managed.name) cannot be started again: \(error)")
      return false
    }
  }
}

extension DomainConfiguration.EndAction {
  var startsAgain: Bool {
    switch self {
    case .restart, .renameRestart, .coredumpRestart, .softReset: true
    case .destroy, .preserve, .coredumpDestroy: false
    }
  }
}
