import Control
import Hypervisor
import Platform
import XenABI
import Xenstore

/// A save that waits for the guest to suspend itself.
struct SaveJob {
  var after: AfterSave
  /// Hypervisor's time after which nobody waits any more.
  var deadline: UInt64
  var wasPaused: Bool
  /// Makes the file, and has it written.
  var store: (FileBody) throws(BuildError) -> Void
  var done: (BuildError?) -> Void
}

/// Saving domains to files, and making domains from them.
extension DomainManager {
  /// Time that a guest gets to suspend itself, in nanoseconds.
  private static let patience: UInt64 = 60_000_000_000

  // MARK: Saving

  /// Begins to save a domain: its kernel is asked by xenstore to suspend itself.
  /// - Parameters:
  ///   - store: makes the file, when there is something to write, and has it written.
  ///   - done: told the end, with what went wrong; the domain runs on then.
  public func save(
    _ managed: ManagedDomain, then after: AfterSave, store write: @escaping (FileBody) throws(BuildError) -> Void,
    done: @escaping (BuildError?) -> Void
  ) throws(BuildError) {
    guard managed.source != nil else { throw BuildError("domain \(managed.name) has no configuration file to be restored with") }
    guard managed.save == nil else { throw BuildError("domain \(managed.name) is being saved already") }
    let feature = try? store.readString("/local/domain/\(managed.domain.id.rawValue)/control/feature-suspend")
    guard feature == "1" else { throw BuildError("domain \(managed.name) has not said that it can suspend itself") }
    managed.save = SaveJob(
      after: after, deadline: hypervisor.now &+ Self.patience, wasPaused: managed.isPaused, store: write, done: done)
    unpause(managed)
    requestShutdown(managed, "suspend")
  }

  /// The domain has suspended itself.
  /// - Returns: whether it has ended by that.
  func finishSave(_ managed: ManagedDomain, _ job: SaveJob) -> Bool {
    managed.save = nil
    managed.endIsWanted = false
    var failure: BuildError?
    do throws(BuildError) {
      try job.store { (sink) throws(BuildError) in try write(managed, to: sink) }
    } catch {
      failure = error
    }
    if failure == nil, job.after == .destroy {
      onEvent?("domain \(managed.name) was saved")
      job.done(nil)
      return true
    }
    if failure == nil ? job.after == .pause : job.wasPaused { pause(managed) }
    runOn(managed)
    job.done(failure)
    return false
  }

  /// Lets a domain go on that has suspended itself.
  func runOn(_ managed: ManagedDomain) {
    store.domainHasResumed(managed.domain.id.rawValue)
    hypervisor.resume(managed.domain)
  }

  /// Gives up on guests that do not suspend themselves.
  func dropLateSaves() {
    for managed in domains {
      guard let job = managed.save, hypervisor.now >= job.deadline else { continue }
      try? store.write("/local/domain/\(managed.domain.id.rawValue)/control/shutdown", "")
      managed.save = nil
      if job.wasPaused { pause(managed) }
      job.done(BuildError("domain \(managed.name) has not suspended itself within \(Self.patience / 1_000_000_000) seconds"))
    }
  }

  private func write(_ managed: ManagedDomain, to sink: any ByteSink) throws(BuildError) {
    guard let source = managed.source else { throw BuildError("domain \(managed.name) has no configuration file to be restored with") }
    let domain = managed.domain
    let schedule = SaveFile.SavedSchedule(weight: domain.weight, cap: domain.cap, affinity: domain.vcpus.map { $0.affinity?.sorted() ?? [] })
    try SaveFile.write(name: managed.name, source: source, schedule: schedule, nodes: guestNodes(domain), to: sink) { (w) throws(BuildError) in
      try hypervisor.save(domain, to: &w)
    }
  }

  /// What a guest has written about itself, and what it was told to have of memory and processors. Its devices and requests to it are made anew.
  private func guestNodes(_ domain: Domain) -> [SaveFile.SavedNode] {
    let root = "/local/domain/\(domain.id.rawValue)"
    var nodes: [SaveFile.SavedNode] = []
    // What its kernel can be asked for it says only once, when it starts.
    var open = ["memory/target"] + domain.vcpus.indices.map { "cpu/\($0)/availability" }
    open += ["attr", "data", "drivers", "feature", "control/feature-poweroff", "control/feature-reboot", "control/feature-suspend"]
    while let path = open.popLast() {
      guard let value = try? store.read("\(root)/\(path)"), let children = try? store.list("\(root)/\(path)") else { continue }
      nodes.append(SaveFile.SavedNode(path: path, value: value))
      open += children.reversed().map { "\(path)/\($0)" }
    }
    return nodes
  }

  // MARK: Restoring

  /// Where virtual processors ran before, as far as this machine has these processors.
  private func pin(_ domain: Domain, _ schedule: SaveFile.SavedSchedule) {
    for (n, processors) in zip(domain.vcpus.indices, schedule.affinity) {
      let there = Set(processors.filter { $0 < hypervisor.physicalProcessors })
      hypervisor.pin(domain, vcpu: n, to: there.isEmpty ? nil : there)
    }
  }

  /// Makes a domain from a file, which may hold anything, and lets it run on.
  /// - Parameter source: a configuration to use instead of the saved one.
  public func restore(_ saved: any SavedBytes, source other: DomainSource? = nil, paused: Bool = false) throws(BuildError) -> ManagedDomain {
    let file = try SaveFile(saved)
    let source = other ?? file.source
    var configuration: DomainConfiguration
    do throws(ConfigurationError) { configuration = try DomainConfiguration(parsing: Array(source.text), file: source.file) } catch {
      throw BuildError("its configuration is no good: \(error)")
    }
    configuration.resolvePaths(in: source.directory)
    let name = other == nil ? file.name : configuration.name
    if domains.contains(where: { $0.name == name }) { throw BuildError("a domain with the name \(name) exists already") }
    if other != nil { try checkAffinity(configuration) }
    let devices = try DomainDevices(configuration)
    let schedule = other == nil ? file.schedule : nil
    let link = StoreLink(store)
    var reader = file.domain
    let built = try hypervisor.restore(&reader, name: name, weight: schedule?.weight ?? configuration.weight, cap: schedule?.cap ?? configuration.cap,
      paging: configuration.nestedTranslation ? .nested : .shadow, shadowBytes: configuration.shadowMemory.map { UInt64($0) << 20 }, store: link)
    guard reader.isAtEnd else {
      hypervisor.destroy(built.domain)
      throw BuildError("the saved domain \(name) is followed by something unknown")
    }
    link.attach(built)
    if let schedule { pin(built.domain, schedule) } else { pin(built.domain, configuration) }
    describe(built, configuration)
    let root = "/local/domain/\(built.domain.id.rawValue)"
    for node in file.nodes {
      try? store.write("\(root)/\(node.path)", node.value)
      if node.path.hasPrefix("cpu/") || node.path.hasPrefix("memory/") { continue }
      try? store.setPermissions("\(root)/\(node.path)", [XenstorePermission(.none, built.domain.id.rawValue)])
    }
    let managed = ManagedDomain(name: name, configuration: configuration, source: source, images: nil, built: built, storeLink: link)
    managed.startedAt = hypervisor.now
    managed.devices = devices
    devices.attach(to: built.domain, store, networks)
    domains.append(managed)
    if paused { managed.isPaused = true } else { hypervisor.unpause(built.domain) }
    return managed
  }
}
