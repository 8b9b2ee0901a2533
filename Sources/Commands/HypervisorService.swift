import Control
import Hypervisor
import Machine
import Toolstack
import XenABI

/// Does what commands ask for over the control socket.
final class HypervisorService: StreamService {
  /// Console bytes that a client may leave unread; what comes then is lost to it, as with xenconsoled.
  private static let consoleBacklog = 1 << 20
  /// Answers that may wait before more requests are read.
  private static let answerBacklog = 1 << 22

  /// What a connection is in the middle of.
  private final class Client {
    let connection: StreamConnection
    var lines = LineBuffer()
    /// The console it looks at.
    var console: (managed: ManagedDomain, viewer: Int, request: Int)?
    /// Requests that are answered when a domain ends.
    var waiting: [(id: DomainID, request: Int)] = []

    init(_ connection: StreamConnection) { self.connection = connection }

    func answer(_ request: Int, _ answer: ControlAnswer) { connection.send(ControlLine.answer(request, answer)) }
  }

  let manager: DomainManager
  private var clients: [Client] = []

  init(_ manager: DomainManager) { self.manager = manager }

  // MARK: Connections

  private func client(_ connection: StreamConnection) -> Client? { clients.first { $0.connection === connection } }

  func opened(_ connection: StreamConnection) { clients.append(Client(connection)) }

  func closed(_ connection: StreamConnection) {
    guard let client = client(connection) else { return }
    if let console = client.console { console.managed.console.detach(console.viewer) }
    clients.removeAll { $0 === client }
  }

  func takes(from connection: StreamConnection) -> Bool {
    guard connection.backlog < Self.answerBacklog else { return false }
    return client(connection)?.console?.managed.console.takesInput ?? true
  }

  func received(_ bytes: [UInt8], on connection: StreamConnection) -> Int {
    guard let client = client(connection) else { return bytes.count }
    for line in client.lines.add(bytes) {
      do throws(ControlLine.Unreadable) {
        let (id, request) = try ControlLine.readRequest(line)
        perform(request, id, client)
      } catch {
        client.answer(error.id, .failed(.usage, message: error.description))
      }
    }
    if client.lines.isOverfull {
      client.answer(0, .failed(.usage, message: "the message is longer than the control socket takes"))
      connection.close()
    }
    return bytes.count
  }

  func moreOutput(for connection: StreamConnection, upTo limit: Int) -> [UInt8] { [] }

  func refusal(clients: Int) -> [UInt8] {
    ControlLine.answer(0, .failed(.missingFile, message: "the hypervisor has \(clients) clients already, and takes no more"))
  }

  // MARK: Ends

  func domainEnded(_ end: DomainEnd) {
    let reason = end.reason?.name ?? "destroy"
    for client in clients {
      for waiting in client.waiting where waiting.id == end.id { client.answer(waiting.request, .ended(reason: reason)) }
      client.waiting.removeAll { $0.id == end.id }
      if let console = client.console, console.managed === end.managed, end.outcome != .restarted {
        console.managed.console.detach(console.viewer)
        client.console = nil
        client.answer(console.request, .ended(reason: reason))
      }
    }
  }

  // MARK: Requests

  private func perform(_ request: ControlRequest, _ id: Int, _ client: Client) {
    do throws(MachineError) {
      if let answer = try answer(request, id, client) { client.answer(id, answer) }
    } catch {
      client.answer(id, .failed(FailureReason(error.kind), message: error.description))
    }
  }

  private func find(_ name: String) throws(MachineError) -> ManagedDomain {
    guard let managed = manager.find(name) else { throw .missingFile("there is no domain \(name)") }
    return managed
  }

  private func found(_ name: String?) throws(MachineError) -> [ManagedDomain] {
    guard let name else { return manager.domains.sorted { $0.domain.id < $1.domain.id } }
    return [try find(name)]
  }

  /// - Returns: nil where the answer comes later.
  private func answer(_ request: ControlRequest, _ id: Int, _ client: Client) throws(MachineError) -> ControlAnswer? {
    switch request {
    case .list(let name):
      return .domains(try found(name).map(DomainSummary.init))
    case .create(let source, let paused):
      return .created(DomainSummary(try DomainFiles.create(source, paused: paused, on: manager)))
    case .console(let name):
      return try attach(try find(name), id, client)
    case .input(let bytes):
      client.console?.managed.console.type(Array(bytes))
      return nil
    case .pause(let name):
      manager.pause(try alive(name))
      return .done
    case .unpause(let name):
      manager.unpause(try alive(name))
      return .done
    case .shutdown(let name, let reboots, let waits):
      let managed = try alive(name)
      manager.requestShutdown(managed, reboots ? "reboot" : "poweroff")
      guard waits else { return .done }
      client.waiting.append((managed.domain.id, id))
      return nil
    case .destroy(let name):
      manager.destroy(try find(name))
      return .done
    case .save(let name, let path, let after):
      let managed = try alive(name)
      try HostFile.checkRegular(path)
      try HostFile.checkWritable(path)
      do throws(BuildError) {
        try manager.save(managed, then: after, store: { (body) throws(BuildError) in try MemoryFile.store(body, to: path) }, done: { [weak client] failure in
          client?.answer(id, failure.map { .failed($0.isMissingFile ? .missingFile : .badImage, message: $0.description) } ?? .done)
        })
      } catch {
        throw .badImage(error.description)
      }
      return nil
    case .dumpCore(let name, let path):
      let domain = try find(name).domain
      do throws(BuildError) {
        try MemoryFile.store({ (sink) throws(BuildError) in try manager.hypervisor.dumpCore(of: domain, to: sink) }, to: path)
      } catch { throw .missingFile(error.description) }
      return .done
    case .restore(let path, let configuration, let paused):
      return .created(DomainSummary(try DomainFiles.restore(path, configuration, paused: paused, on: manager)))
    case .virtualProcessors(let name):
      return .virtualProcessors(try found(name).flatMap { managed in
        managed.domain.vcpus.map {
          VirtualProcessorSummary(
            domain: managed.name, id: Int(managed.domain.id.rawValue), index: $0.index, isUp: $0.isUp, isRunnable: $0.isRunnable,
            isPaused: managed.domain.isPaused, time: $0.consumedTime, processor: $0.processorNumber, affinity: $0.affinity?.sorted())
        }
      })
    case .pin(let name, let vcpu, let cpus):
      return try pin(name, vcpu, cpus)
    case .setProcessors(let name, let count):
      let managed = try alive(name)
      do throws(BuildError) { try manager.setProcessors(managed, count) } catch { throw .usage(error.description) }
      return .done
    case .setMemory(let name, let kibibytes):
      let managed = try alive(name)
      do throws(BuildError) { try manager.setMemory(managed, kibibytes) } catch { throw .usage(error.description) }
      return .done
    case .schedule(let name, let weight, let cap):
      return try schedule(name, weight, cap)
    case .log(let clears):
      let lines = manager.hypervisor.console.lines.map { Self.line($0) }
      if clears { manager.hypervisor.console.clear() }
      return .log(lines)
    case .statistics:
      let h = manager.hypervisor
      return .statistics(MachineSummary(
        version: programVersion, time: h.now, memory: h.totalMemory / 1024, freeMemory: h.freeMemory / 1024,
        domains: try found(nil).map(DomainSummary.init)))
    }
  }

  private func alive(_ name: String) throws(MachineError) -> ManagedDomain {
    let managed = try find(name)
    guard managed.isAlive else { throw .badImage("domain \(managed.name) has ended: \(managed.domain.shutdownReason?.name ?? "it is gone")") }
    return managed
  }

  private func attach(_ managed: ManagedDomain, _ id: Int, _ client: Client) throws(MachineError) -> ControlAnswer? {
    guard client.console == nil else { throw .usage("this connection has a console already") }
    client.answer(id, .attached(DomainSummary(managed)))
    let viewer = managed.console.attach { [weak client] bytes in
      guard let client, client.connection.backlog < Self.consoleBacklog else { return }
      client.answer(id, .console(bytes: .init(bytes)))
    }
    client.console = (managed, viewer, id)
    return nil
  }

  private func pin(_ name: String, _ vcpu: Int?, _ text: String) throws(MachineError) -> ControlAnswer {
    let h = manager.hypervisor
    guard let cpus = CPUAffinity(text) else { throw .usage("\(text) is no list of processors like \"0-3,^2\", or \"all\"") }
    let processors = Set(cpus.processors(of: h.physicalProcessors))
    if processors.isEmpty { throw .usage("\(text) names none of the machine's processors, which are 0 to \(h.physicalProcessors - 1)") }
    for managed in try found(name) {
      if let vcpu, !managed.domain.vcpus.indices.contains(vcpu) { throw .usage("domain \(managed.name) has no virtual processor \(vcpu)") }
      for n in managed.domain.vcpus.indices where vcpu == nil || vcpu == n {
        h.pin(managed.domain, vcpu: n, to: processors.count == h.physicalProcessors ? nil : processors)
      }
    }
    return .done
  }

  private func schedule(_ name: String?, _ weight: Int?, _ cap: Int?) throws(MachineError) -> ControlAnswer {
    if let name, weight != nil || cap != nil {
      let domain = try find(name).domain
      if let weight {
        guard 1...65535 ~= weight else { throw .usage("the weight must be between 1 and 65535") }
      }
      if let cap {
        guard 0...12800 ~= cap else { throw .usage("the cap must be between 0 and 12800 percent") }
      }
      domain.weight = weight ?? domain.weight
      domain.cap = cap ?? domain.cap
      return .done
    }
    return .schedule(try found(name).map {
      ScheduleSummary(domain: $0.name, id: Int($0.domain.id.rawValue), weight: $0.domain.weight, cap: $0.domain.cap)
    })
  }

  /// As Xen's log has it, with the time in seconds.
  private static func line(_ line: HypervisorLog.Line) -> String {
    let micro = line.nanoseconds / 1000
    let fraction = String(micro % 1_000_000)
    return "(XEN) [\(micro / 1_000_000).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)] \(line.text)"
  }
}

extension DomainSummary {
  init(_ managed: ManagedDomain) {
    let domain = managed.domain
    self.init(
      name: managed.name, id: Int(domain.id.rawValue), memory: domain.frameCount * 4, maximumMemory: domain.maximumFrames * 4,
      virtualProcessors: domain.vcpus.count { $0.isUp }, isRunnable: domain.vcpus.contains { $0.isRunnable }, isPaused: domain.isPaused,
      shutdownReason: domain.shutdownReason?.name, time: domain.consumedTime)
  }
}

extension FailureReason {
  init(_ kind: MachineError.Kind) {
    switch kind {
    case .usage: self = .usage
    case .badImage: self = .badImage
    case .missingFile: self = .missingFile
    case .internal: self = .internal
    }
  }

  var kind: MachineError.Kind {
    switch self {
    case .usage: .usage
    case .badImage: .badImage
    case .missingFile: .missingFile
    case .internal: .internal
    }
  }
}
