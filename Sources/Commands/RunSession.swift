import ArgumentParser
import Devices
import Display
import Machine

/// One execution of `xenolith run`: from options to a machine, from the end of the run to an exit code.
final class RunSession {
  private let options: RunCommand

  init(_ options: RunCommand) { self.options = options }

  func run() throws(MachineError) -> Int32 {
    let control = options.control
    var screenshots: [Screenshot] = []
    for text in options.output.screenshot { screenshots.append(try Screenshot(text)) }
    try checkFiles(results: [control.stats, control.record, control.saveOnExit].compactMap { $0 } + screenshots.map(\.path))
    let saved: [UInt8]?
    if let path = control.restore { saved = try HostFile.contents(path) } else { saved = nil }
    let configuration = try makeConfiguration(saved)
    HostFile.patience = deadline(control.timeout)
    let endpoints = try makeEndpoints()
    let debugConsole = try makeDebugConsole()
    let screen = try makeScreen()

    let machine = try Machine(configuration)
    machine.endsOnReset = options.machine.noReboot
    machine.executesBySteps = options.control.singleStep
    if let saved, let path = control.restore { try SaveState.restore(machine, from: saved, name: path) }
    machine.onSerialOutput = { port, byte in if port < endpoints.count { endpoints[port].put(byte) } }
    if let debugConsole { machine.onDebugOutput = { debugConsole.put($0) } }
    machine.keepsInputLog = control.record != nil
    if let path = control.replay { try replay(path, machine) }
    var failure: MachineError?
    let timed = screenshots.filter { $0.time != nil }.sorted { $0.time! < $1.time! }
    var taken = 0
    for shot in timed {
      machine.schedule(at: shot.time!) { machine in
        taken += 1
        do throws(MachineError) { try shot.take(machine) } catch { failure = error }
      }
    }

    let host = CommandLineHost(endpoints: endpoints, screen: screen)
    Terminal.handleSignals()
    if screen is TextDisplay {
      Terminal.makeRaw(greeting: TextDisplay.enter, farewell: TextDisplay.leave)
    } else if endpoints.contains(where: { $0.kind == .stdio && $0.canBringInput }) {
      Terminal.makeRaw()
    }
    defer { Terminal.restore() }
    // The machine counts from power-on; the user means this run.
    let before = machine.retired
    let limits = Machine.Limits(
      instructions: control.maxInstructions.map { before.addingReportingOverflow($0.value) }.map { $1 ? .max : $0 },
      wallTime: control.timeout.map { UInt64($0 * 1e9) })
    let start = host.wallTime()
    HostFile.patience = deadline(control.timeout)
    let reason = try machine.run(host: host, limits: limits)
    let seconds = Double(host.wallTime() &- start) / 1e9
    host.flush()
    debugConsole?.flush()
    Terminal.restore()

    let broken = (endpoints + [debugConsole].compactMap { $0 }).lazy.compactMap(\.failure).first
    let outcome = RunOutcome(reason, broken: broken)
    if let message = outcome.message, !options.output.quiet || broken != nil { HostFile.standardError(message + "\n") }
    if taken < timed.count, !options.output.quiet {
      let others = timed.count - taken - 1
      HostFile.standardError(
        "xenolith: the run ended before the time of \(timed[taken].path)\(others > 0 ? " and of \(others) more" : "")\n")
    }
    // Who bounded the run does not wait for ever for its results to be read.
    HostFile.patience = deadline(control.timeout.map { _ in Self.resultPatience })
    let results = writeResults(machine, outcome, instructions: machine.retired &- before, seconds: seconds, screenshots: screenshots)
    if let failure = failure ?? results {
      // A result that nobody fetched in time makes no failure of the run.
      guard Terminal.isInterrupted || HostFile.monotonicTime() >= HostFile.patience else { throw failure }
      HostFile.standardError("xenolith: \(failure)\n")
      return Terminal.isInterrupted ? 130 : outcome.code
    }
    return outcome.code
  }

  /// Seconds that the results of a run with --timeout may wait for a reader.
  private static let resultPatience = 5.0

  /// Monotonic time so many seconds from now.
  private func deadline(_ seconds: Double?) -> UInt64 {
    guard let seconds else { return .max }
    let (time, overflow) = HostFile.monotonicTime().addingReportingOverflow(UInt64(seconds * 1e9))
    return overflow ? .max : time
  }

  // MARK: Files

  /// Whether all files can be written, before the run, and none is written twice or over one that is read.
  private func checkFiles(results: [String]) throws(MachineError) {
    let (boot, control) = (options.boot, options.control)
    var files = OutputFiles()
    for path in results {
      try HostFile.checkWritable(path)
      try files.add(path)
    }
    for text in options.output.serial + [options.output.debugcon].compactMap({ $0 }) {
      if case .file(let path) = SerialEndpoint.parse(text) { try files.add(path) }
    }
    let images = boot.load.map { String($0[..<($0.lastIndex(of: "@") ?? $0.endIndex)]) }
    let modules = boot.module.compactMap { $0.split(separator: " ").first.map(String.init) }
    for path in [options.image, boot.kernel, boot.initrd, boot.bios, boot.vgabios].compactMap({ $0 }) + images + modules {
      try files.protect(path)
    }
    if let path = control.restore { try files.protect(path, heir: control.saveOnExit) }
    if let path = control.replay { try files.protect(path, heir: control.record) }
  }

  // MARK: Results

  /// Writes each result, also when another one cannot be written; what cannot be had again comes first. Returns the first failure.
  private func writeResults(
    _ machine: Machine, _ outcome: RunOutcome, instructions: UInt64, seconds: Double, screenshots: [Screenshot]
  ) -> MachineError? {
    let control = options.control
    let peak = HostFile.peakMemory()
    var first: MachineError?
    func attempt(_ write: () throws(MachineError) -> Void) {
      do throws(MachineError) { try write() } catch { first = first ?? error }
    }
    if let path = control.saveOnExit {
      attempt { () throws(MachineError) in try HostFile.store(SaveState.save(machine), to: path) }
    }
    if let path = control.record {
      attempt { () throws(MachineError) in try HostFile.store(InputLog.encode(machine.input.records), to: path) }
    }
    if let path = control.stats {
      let statistics = Statistics(
        instructions: machine.retired, runInstructions: instructions, stateHash: SaveState.hash(machine), hostSeconds: seconds,
        blocksDecoded: machine.blocksDecoded, tlbMisses: machine.tlbMisses, exits: machine.exits,
        peakBytes: peak, end: outcome.name)
      attempt { () throws(MachineError) in try HostFile.store(Array(statistics.json.utf8), to: path) }
    }
    for shot in screenshots where shot.time == nil {
      attempt { () throws(MachineError) in try shot.take(machine) }
    }
    return first
  }

  private func replay(_ path: String, _ machine: Machine) throws(MachineError) {
    let bytes = try HostFile.contents(path)
    do { machine.replay(try InputLog.decode(bytes)) } catch { throw .badImage("\(path) cannot be replayed: \(error)") }
  }

  // MARK: Configuration

  private func makeConfiguration(_ saved: [UInt8]?) throws(MachineError) -> MachineConfiguration {
    let given = options.machine
    let boot = try makeBoot()
    var configuration: MachineConfiguration
    if let saved {
      configuration = try SaveState.configuration(of: saved, name: options.control.restore ?? "")
      if given.memory != nil || given.cpus != nil || given.cpu != nil || given.debugExit != nil || given.debugExitQemu != nil {
        throw .usage("--memory, --cpus, --cpu and --debug-exit come from the saved machine: leave them out with --restore")
      }
      if let boot { configuration.boot = boot }
      return configuration
    }
    let demonstration = BootDescription.File(name: DemonstrationROM.name, bytes: DemonstrationROM.image)
    configuration = MachineConfiguration(boot: boot ?? BootDescription(.firmware(demonstration)))
    configuration.videoBIOS = try videoBIOS()
    if let memory = given.memory { configuration.memory = memory.bytes }
    if let cpus = given.cpus { configuration.processors = cpus }
    if let cpu = given.cpu { configuration.cpu = try CPUSelection(cpu) }
    configuration.serialPorts = max(2, options.output.serial.count)
    if let port = given.debugExitQemu?.port {
      configuration.debugExit = .init(port: port, isQEMUStyle: true)
    } else if let port = given.debugExit?.port {
      configuration.debugExit = .init(port: port, isQEMUStyle: given.debugExitQemuStyle)
    }
    return configuration
  }

  private func makeBoot() throws(MachineError) -> BootDescription? {
    let boot = options.boot
    var description: BootDescription?
    if let path = boot.bios {
      description = BootDescription(.firmware(try file(path)))
    } else if !boot.load.isEmpty {
      var blobs: [BootDescription.Blob] = []
      for text in boot.load { blobs.append(try blob(text)) }
      description = BootDescription(.flat(blobs, entry: boot.entry?.value))
    } else if let path = boot.kernel {
      description = try kernel(path)
    } else if let path = options.image {
      description = try recognise(path)
    }
    guard var description else { return nil }
    for text in boot.set {
      let register = try RegisterArgument(text)
      description.registers[register.number] = register.value
    }
    return description
  }

  /// The VGA BIOS that is asked for, or the one that distributions install beside SeaBIOS.
  private func videoBIOS() throws(MachineError) -> BootDescription.File? {
    if let path = options.boot.vgabios { return try file(path) }
    guard let bios = options.boot.bios else { return nil }
    let folder = bios.lastIndex(of: "/").map { String(bios[..<$0]) } ?? "."
    for place in [folder, "/usr/share/seabios", "/usr/share/qemu"] {
      let path = place + "/vgabios-stdvga.bin"
      if HostFile.size(path) > 0 { return try file(path) }
    }
    return nil
  }

  private func file(_ path: String) throws(MachineError) -> BootDescription.File {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return BootDescription.File(name: name, bytes: try HostFile.contents(path))
  }

  private func kernel(_ path: String) throws(MachineError) -> BootDescription {
    let boot = options.boot
    var modules: [BootDescription.Module] = []
    for text in boot.module {
      let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
      guard let name = parts.first else { throw .usage("--module needs a file name") }
      modules.append(.init(file: try file(name), arguments: parts.count > 1 ? parts[1] : ""))
    }
    var initrd: BootDescription.File?
    if let path = boot.initrd { initrd = try file(path) }
    return BootDescription(.kernel(
      try file(path), initrd: initrd, commandLine: boot.append ?? "", modules: modules))
  }

  private func recognise(_ path: String) throws(MachineError) -> BootDescription {
    let head = try HostFile.contents(path, limit: 1 << 16)
    switch ImageKind.detect(head) {
    case .linuxBzImage, .elf, .multibootNonELF, .gzip: return try kernel(path)
    case .bootSector: return BootDescription(.bootSector(try file(path)))
    case .iso, .qcow2, .vhd:
      throw .usage("\(path) is a disk image, and this version has no disks yet: start a kernel with --kernel")
    case .unknown:
      throw .badImage("\(path) is nothing that can be recognised: start raw code with --load \(path)@ADDRESS")
    }
  }

  private func blob(_ text: String) throws(MachineError) -> BootDescription.Blob {
    guard let at = text.lastIndex(of: "@"), let address = Quantity.number(text[text.index(after: at)...]) else {
      throw .usage("--load takes FILE@ADDRESS, not '\(text)'")
    }
    return BootDescription.Blob(file: try file(String(text[..<at])), address: address)
  }

  // MARK: Input and output

  private func makeEndpoints() throws(MachineError) -> [SerialEndpoint] {
    let output = options.output
    var kinds: [SerialEndpoint.Kind] = []
    for text in output.serial {
      guard let kind = SerialEndpoint.parse(text) else {
        throw .usage("--serial takes stdio, null, file:F, unix:F or tcp:HOST:PORT, not '\(text)'")
      }
      kinds.append(kind)
    }
    guard kinds.count <= 4 else { throw .usage("a PC has at most four serial ports") }
    if output.display == "text", kinds.contains(.stdio) {
      throw .usage("--display text needs the terminal for itself: connect the serial port to something else than stdio")
    }
    guard kinds.filter({ $0 == .stdio }).count <= 1 else {
      throw .usage("only one serial port can be connected to stdio")
    }
    if output.serial.isEmpty, output.display == "none" {
      // Without being asked, standard input is read only where somebody sits at it.
      return [try SerialEndpoint(.stdio, readsInput: Terminal.isTerminal)]
    }
    var endpoints: [SerialEndpoint] = []
    for kind in kinds { endpoints.append(try SerialEndpoint(kind)) }
    return endpoints
  }

  private func makeDebugConsole() throws(MachineError) -> SerialEndpoint? {
    guard let text = options.output.debugcon else { return nil }
    switch SerialEndpoint.parse(text) {
    case .stdio: return try SerialEndpoint(.stdio, readsInput: false)
    case .some(.file(let path)): return try SerialEndpoint(.file(path))
    case .null: return nil
    default: throw .usage("--debugcon takes stdio, null or file:F, not '\(text)'")
    }
  }

  private func makeScreen() throws(MachineError) -> (any Screen)? {
    let kind = options.output.display
    do throws(DisplayError) {
      if kind == "none" { return nil }
      if kind == "sdl" { return try SDLDisplay(title: "Xenolith") }
      if kind == "text" {
        guard Terminal.isTerminal else { throw DisplayError("--display text needs a terminal on standard input") }
        return TextDisplay(input: 0) { HostFile.writeAll(1, $0.utf8) }
      }
      if kind.hasPrefix("vnc=") { return try VNCDisplay(address: String(kind.dropFirst(4)), name: "Xenolith") }
    } catch {
      throw MachineError(error.isUnavailable ? .missingFile : .usage, error.description)
    }
    throw .usage("--display takes none, sdl, text or vnc=HOST:N, not '\(kind)'")
  }
}
