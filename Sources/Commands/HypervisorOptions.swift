import ArgumentParser
import Control
import Hypervisor
import Machine
import Processor
import Toolstack

/// Where a running hypervisor is reached.
struct ServiceOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Control socket of the hypervisor (default: xenolith.sock in $XDG_RUNTIME_DIR, or /tmp/xenolith-UID.sock).", valueName: "path"))
  var socket: String?

  var path: String { socket ?? SocketAddress.control }

  func connect() throws(MachineError) -> ServiceConnection { try ServiceConnection(path) }

  /// A connection to a hypervisor, if one runs.
  func connectIfRunning() throws(MachineError) -> ServiceConnection? {
    do throws(SocketError) { return ServiceConnection(try ControlClient(path: path)) } catch {
      if error.kind == .nobody { return nil }
      throw MachineError(error)
    }
  }
}

/// What a hypervisor is like that a command hosts itself.
struct HostingOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Processor of the emulated machine (default: x86-64-v3).", valueName: "model"))
  var cpu: String?

  @Option(help: ArgumentHelp("Physical processors of the emulated machine that virtual ones share.", valueName: "number"))
  var cpus: Int?

  @Option(help: ArgumentHelp("Memory of the emulated machine (default: 16G); the host gives what guests touch.", valueName: "size"))
  var memory: MemoryArgument?

  @Option(
    help: ArgumentHelp(
      "Write what happens inside the hypervisor, a line each; as JSON where the file's name ends in .jsonl. Kinds: hypercall, switch, frame, shadow, event, grant; all, if none is named.",
      valueName: "file[,kind…]"))
  var trace: String?

  @Option(help: ArgumentHelp("Write every frame of the domains' networks, for tcpdump and Wireshark.", valueName: "file"))
  var pcap: String?

  @Option(help: ArgumentHelp("Where the domains' networks lead: user (the host's, by sockets of this program) or none (default: user).", valueName: "kind"))
  var uplink: UplinkKind?

  @Option(help: ArgumentHelp("End after this much time.", valueName: "seconds"))
  var timeout: Double?

  @Option(help: ArgumentHelp("Socket of the store, for Xen's tools with XENSTORED_PATH (default: beside the control socket).", valueName: "path"))
  var xenstoreSocket: String?

  @Option(help: ArgumentHelp("Folder for core files of domains that ask for them when they crash (on_crash = \"coredump-destroy\").", valueName: "folder"))
  var coreFolder = "."

  @Flag(name: .shortAndLong, help: "Say nothing but errors and what guests write.")
  var quiet = false

  func validate() throws {
    if let cpus, !(1...64 ~= cpus) { throw ValidationError("--cpus must be between 1 and 64") }
    if let timeout, !(timeout > 0) { throw ValidationError("--timeout must be above 0") }
  }

  /// The first of these options that only makes sense for a hypervisor that is not there yet.
  var firstGiven: String? {
    let given = [
      ("--cpu", cpu != nil), ("--cpus", cpus != nil), ("--memory", memory != nil), ("--trace", trace != nil), ("--pcap", pcap != nil),
      ("--uplink", uplink != nil), ("--timeout", timeout != nil), ("--xenstore-socket", xenstoreSocket != nil),
    ]
    return given.first { $0.1 }?.0
  }

  func makeSession() throws(MachineError) -> HypervisorSession {
    let name = cpu ?? "x86-64-v3"
    guard let model = CPUModel.named(name) else { throw .usage("\(name) is not a CPU model (see xenolith run --cpu help)") }
    guard model.features.contains(.longMode) else { throw .usage("a hypervisor needs a 64-bit processor, which \(name) is not") }
    let bytes = memory?.bytes ?? 16 << 30
    guard bytes >= 64 << 20, bytes <= 1 << 40 else { throw .usage("--memory must be between 64M and 1T") }
    // Who bounds the time of the run bounds the time that its pipes may take.
    if let timeout { HostFile.patience = HostFile.monotonicTime() &+ UInt64(min(timeout, 1e9) * 1e9) }
    let session = HypervisorSession(DomainManager(memoryBytes: bytes, model: model), quiet: quiet, cores: coreFolder)
    session.manager.hypervisor.physicalProcessors = cpus ?? 1
    guard HostFile.isFolder(coreFolder) else { throw .missingFile("\(coreFolder) is no folder for core files") }
    if let trace { try session.trace(to: trace) }
    if let pcap { try session.capture(to: pcap) }
    session.manager.networks.hasUplink = uplink != UplinkKind.none
    return session
  }
}

/// Where networks of domains lead.
enum UplinkKind: String, ExpressibleByArgument, CaseIterable {
  case user, none
}

/// A command's talk with a running hypervisor, with failures as the user reads them.
final class ServiceConnection {
  let client: ControlClient

  init(_ client: ControlClient) {
    self.client = client
    Terminal.handleSignals()
  }

  convenience init(_ path: String) throws(MachineError) {
    do throws(SocketError) { self.init(try ControlClient(path: path)) } catch { throw MachineError(error) }
  }

  func send(_ request: ControlRequest) throws(MachineError) {
    do throws(SocketError) { try client.send(request) } catch { throw MachineError(error) }
  }

  /// The next answer; nil where a signal came instead.
  func answer() throws(MachineError) -> ControlAnswer? {
    let answer: ControlAnswer?
    do throws(SocketError) { answer = try client.answer(isInterrupted: { Terminal.isInterrupted }) } catch { throw MachineError(error) }
    if case .failed(let reason, let message) = answer { throw MachineError(reason.kind, message) }
    return answer
  }

  /// Sends a request and waits for its answer.
  /// - Throws: also an exit code, when a signal ends the wait.
  func ask(_ request: ControlRequest) throws -> ControlAnswer {
    try send(request)
    guard let answer = try answer() else { throw ExitCode(130) }
    return answer
  }

  static let surprise = MachineError(.internal, "the hypervisor answered something else than was asked")
}
