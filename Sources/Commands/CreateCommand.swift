#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Hypervisor
import Machine
import Processor
import Toolstack
import XenABI

/// `xenolith create`: domains from xl's configuration files, on a hypervisor in this process.
struct CreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create",
    abstract: "Starts domains from xl configuration files and runs them until the last one ends.",
    discussion: """
      The hypervisor is in this process; it runs until the last domain has ended. With -c the console of the domain is this
      terminal (Ctrl-A x ends everything, Ctrl-A p asks the domain to switch itself off); with several domains their lines are shown with their names.

      Paravirtual domains (type = "pv") of 64 and 32 bits with console, xenstore and a RAM disk are there. Disks, networks and
      other types of domains are not yet.

      Exit codes: 0 every domain ended by itself, 64 wrong option, 65 bad configuration or kernel, 66 missing file,
      101 a domain crashed, 103 --timeout, 130 interrupted.

      Examples:
        xenolith create -c guest.cfg
        xenolith create --timeout 60 one.cfg two.cfg
      """)

  @Flag(name: [.customShort("c"), .long], help: "Attach the console.")
  var console = false

  @Option(help: ArgumentHelp("Processor of the emulated machine.", valueName: "model"))
  var cpu = "x86-64-v3"

  @Option(help: ArgumentHelp("Memory of the emulated machine; the host gives what guests touch.", valueName: "size"))
  var memory = MemoryArgument(bytes: 16 << 30)

  @Option(help: ArgumentHelp("End after this much time.", valueName: "seconds"))
  var timeout: Double?

  @Option(help: ArgumentHelp("Write every hypercall and every change of a frame's type, a line each.", valueName: "file"))
  var trace: String?

  @Flag(name: .shortAndLong, help: "Say nothing but errors and what guests write.")
  var quiet = false

  @Argument(help: ArgumentHelp("Configuration files.", valueName: "config"))
  var configs: [String]

  func validate() throws {
    if let timeout, !(timeout > 0) { throw ValidationError("--timeout must be above 0") }
  }

  func run() throws {
    guard let model = CPUModel.named(cpu) else { throw MachineError.usage("\(cpu) is not a CPU model (see xenolith run --cpu help)") }
    guard model.features.contains(.longMode) else { throw MachineError.usage("a hypervisor needs a 64-bit processor, which \(cpu) is not") }
    guard memory.bytes >= 64 << 20, memory.bytes <= 1 << 40 else { throw MachineError.usage("--memory must be between 64M and 1T") }
    let session = CreateSession(DomainManager(memoryBytes: memory.bytes, model: model), quiet: quiet, attached: console, several: configs.count > 1)
    if let trace { try session.trace(to: trace) }
    for path in configs { try session.create(path) }
    let code = try session.run(timeout: timeout)
    if code != 0 { throw ExitCode(code) }
  }
}

/// One hypervisor with its domains, this terminal and the clock.
final class CreateSession {
  private let manager: DomainManager
  private let quiet: Bool
  private let attached: Bool
  /// Lines of consoles are shown with the domain's name.
  private let several: Bool
  private var escape = EscapeKeys()
  private var isEnded = false
  private var inputIsOpen = true
  /// By domain: a line that is not complete.
  private var lines: [String: [UInt8]] = [:]
  private var output: [UInt8] = []
  private var tracer: HypervisorTraceFile?

  init(_ manager: DomainManager, quiet: Bool, attached: Bool, several: Bool) {
    self.manager = manager
    self.quiet = quiet
    self.attached = attached
    self.several = several
    manager.hypervisor.wallClockAtStart = UInt64(time(nil))
    if !quiet {
      manager.hypervisor.console.onLine = { HostFile.standardError("(XEN) \($0.text)\r\n") }
      manager.onEvent = { HostFile.standardError("xenolith: \($0)\r\n") }
    }
  }

  /// Keeps a trace in a file from now on.
  func trace(to path: String) throws(MachineError) {
    let file = try SerialEndpoint(.file(path))
    tracer = HypervisorTraceFile(manager.hypervisor, file)
    manager.hypervisor.trace = tracer
  }

  // MARK: Domains

  func create(_ path: String) throws(MachineError) {
    let text = try HostFile.contents(path)
    let configuration: DomainConfiguration
    do throws(ConfigurationError) {
      configuration = try DomainConfiguration(parsing: text, file: path)
    } catch {
      throw .badImage(error.description)
    }
    for warning in configuration.warnings where !quiet { HostFile.standardError("xenolith: \(warning)\n") }
    guard let kernelPath = configuration.kernel else {
      throw .badImage(configuration.error("kernel", "there is no kernel, and a domain cannot boot from a disk yet").description)
    }
    let kernel = try part(kernelPath, "kernel", configuration)
    let ramdisk = try configuration.ramdisk.map { (p) throws(MachineError) in try part(p, "ramdisk", configuration) } ?? []
    let managed: ManagedDomain
    do throws(BuildError) {
      managed = try manager.create(configuration, kernel: kernel, ramdisk: ramdisk)
    } catch {
      throw .badImage("\(path): \(error)")
    }
    let name = configuration.name
    managed.onConsole = { [weak self] in self?.show($0, of: name) }
  }

  /// A file that a key of the configuration names.
  private func part(_ path: String, _ key: String, _ configuration: DomainConfiguration) throws(MachineError) -> [UInt8] {
    do throws(MachineError) { return try HostFile.contents(path) } catch {
      throw .missingFile(configuration.error(key, "\(error)").description)
    }
  }

  // MARK: Running

  func run(timeout: Double?) throws(MachineError) -> Int32 {
    Terminal.handleSignals()
    if attached { Terminal.makeRaw() }
    defer { Terminal.restore() }
    let start = HostFile.monotonicTime()
    let h = manager.hypervisor
    var crashed = false
    var lastLook: UInt64 = 0
    while !manager.domains.isEmpty {
      var wait: UInt64 = 0
      switch h.step() {
      case .ran: break
      case .idle(let until):
        if takesInput {
          // The guest's time is the host's while it waits.
          let due = until.map { $0 > h.now ? $0 - h.now : 0 } ?? 1_000_000_000
          wait = min(due, 50_000_000)
          h.advance(to: min(h.now + wait, until ?? .max))
        } else if let until {
          h.advance(to: until)
        } else {
          // Somebody may have been told something by xenstore a moment ago.
          manager.service()
          guard case .idle(nil) = h.step() else { continue }
          HostFile.standardError("xenolith: every domain waits for something that cannot come\n")
          return 102
        }
      }
      do throws(BuildError) {
        for reason in try manager.reap() where reason == .crash || reason == .watchdog { crashed = true }
      } catch {
        throw .badImage("a domain cannot be started again: \(error)")
      }
      let wall = HostFile.monotonicTime()
      if wait > 0 || wall &- lastLook > 5_000_000 {
        lastLook = wall
        look(wait)
        if isEnded || Terminal.isInterrupted { return 130 }
        if let timeout, Double(wall &- start) / 1e9 >= timeout {
          HostFile.standardError("xenolith: --timeout: \(manager.domains.count) domain(s) still run\n")
          return 103
        }
      }
    }
    flush()
    tracer?.flush()
    return crashed ? 101 : 0
  }

  private var takesInput: Bool { attached && inputIsOpen && !manager.domains.isEmpty }

  /// Shows what came and takes what was typed.
  private func look(_ wait: UInt64) {
    flush()
    manager.service()
    guard takesInput else { return }
    var entry = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
    guard poll(&entry, 1, Int32(wait / 1_000_000)) > 0 else { return }
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = read(0, &buffer, buffer.count)
    if count <= 0 {
      inputIsOpen = false
      return
    }
    var typed = Array(buffer[..<count])
    if Terminal.isTerminal {
      let (rest, commands) = escape.filter(typed)
      typed = rest
      if commands.contains(.end) { isEnded = true }
      if commands.contains(.powerButton), let first = manager.domains.first { manager.requestShutdown(first) }
      if commands.contains(.help) { HostFile.standardError(EscapeKeys.help) }
    }
    manager.domains.first?.console.type(typed)
  }

  // MARK: Output

  /// One domain's text goes out as it is; of several, whole lines with the name.
  private func show(_ bytes: [UInt8], of name: String) {
    guard attached else { return }
    if !several {
      output += bytes
    } else {
      var line = lines[name] ?? []
      for byte in bytes {
        line.append(byte)
        if byte == 10 {
          output += Array("\(name): ".utf8) + line
          line = []
        }
      }
      lines[name] = line
    }
    if output.count > 4096 { flush() }
  }

  private func flush() {
    if output.isEmpty { return }
    if !HostFile.writeAll(1, output) { isEnded = true }
    output.removeAll(keepingCapacity: true)
  }
}
