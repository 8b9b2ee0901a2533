import ArgumentParser
import Devices
import Display
import Machine

/// `xenolith run`: emulates a PC until its end.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Emulates a PC.",
    discussion: """
      IMAGE is recognised by its content: Linux bzImage, ELF (vmlinux,
      multiboot, PVH), boot sector. Without anything to boot, a built-in ROM
      shows the machine.

      Examples:
        xenolith run --kernel vmlinuz --initrd initrd.gz --append console=ttyS0
        xenolith run --kernel xen.gz --append "com1=115200 console=com1" \\
            --module "vmlinuz console=hvc0" --module initrd.gz
        xenolith run --load test.bin@0x7c00 --debug-exit 0xf4 --timeout 10
        xenolith run --kernel vmlinuz --max-instructions 500M \\
            --save-on-exit half.state --stats -

      Ctrl-A x ends the run when the serial port is a terminal, Ctrl-A h shows
      what else there is.

      A run that no input can enter (standard input is a file or at its end, no
      window, no socket) skips idle time. A guest that waits for ever then keeps
      the host busy until --timeout, --max-instructions or Ctrl-C.

      Exit codes:
        0    the guest powered off (its own code with --debug-exit)
        64   usage error           65   bad image or configuration
        66   file or display missing, or not to be opened
        70   internal error, or output that cannot be written
        101  triple fault          102  halted with interrupts off for good
        103  --timeout             104  --max-instructions
        130  interrupted, or nobody reads standard output any more
      """)

  @Argument(help: "What to boot, recognised by its content.")
  var image: String?

  @OptionGroup(title: "Boot") var boot: BootOptions
  @OptionGroup(title: "Machine") var machine: MachineOptions
  @OptionGroup(title: "Input and output") var output: OutputOptions
  @OptionGroup(title: "Bounds, observation and state") var control: ControlOptions

  func validate() throws {
    if machine.cpu == "help" { return }
    if !boot.set.isEmpty, control.restore != nil {
      throw ValidationError("--set does not go with --restore: the registers come from the saved machine")
    }
    try boot.validate(image: image)
    try control.validate()
  }

  func run() throws {
    if machine.cpu == "help" {
      try HostFile.standardOutput(MachineOptions.cpuHelp.utf8)
      return
    }
    let code = try RunSession(self).run()
    if code != 0 { throw ExitCode(code) }
  }

  /// `--debug-exit-qemu` takes a port, or without one changes the meaning of `--debug-exit`'s. A negative number after an option
  /// is its value (and a wrong one), where the parser would see another option.
  static func normalise(_ arguments: [String]) -> [String] {
    var result: [String] = []
    for (n, argument) in arguments.enumerated() {
      let last = result.last ?? ""
      if last == "--" { return result + arguments[n...] }
      let isNegative = argument.hasPrefix("-") && argument.dropFirst().first?.isNumber == true
      if isNegative, last.hasPrefix("--"), !last.contains("="), !["--append", "--module"].contains(last) {
        result[result.count - 1] = "\(last)=\(argument)"
      } else if argument == "--debug-exit-qemu", PortArgument(argument: n + 1 < arguments.count ? arguments[n + 1] : "") == nil {
        result.append("--debug-exit-qemu-style")
      } else {
        result.append(argument)
      }
    }
    return result
  }
}

struct BootOptions: ParsableArguments {
  @Option(help: "Kernel to start directly: Linux, multiboot 1 and 2, PVH.")
  var kernel: String?
  @Option(help: "Initial RAM disk.")
  var initrd: String?
  @Option(parsing: .unconditional, help: "Kernel command line.")
  var append: String?
  @Option(parsing: .unconditionalSingleValue, help: ArgumentHelp("Multiboot module with its arguments; repeats.", valueName: "F ARGS"))
  var module: [String] = []
  @Option(parsing: .singleValue, help: ArgumentHelp("Puts a file at a physical address; repeats.", valueName: "F@ADDRESS"))
  var load: [String] = []
  @Option(help: "Where execution starts: below 1M in real mode, else in flat 32-bit protected mode.")
  var entry: AddressArgument?
  @Option(parsing: .singleValue, help: ArgumentHelp("Presets a general register; repeats.", valueName: "REG=VALUE"))
  var set: [String] = []
  @Option(help: "Firmware image, started at the reset vector, such as SeaBIOS.")
  var bios: String?
  @Option(help: ArgumentHelp("Option ROM of the display adapter (default: vgabios-stdvga.bin beside the firmware).", valueName: "F"))
  var vgabios: String?

  func validate(image: String?) throws {
    let ways = [image != nil, kernel != nil, !load.isEmpty, bios != nil].filter { $0 }.count
    if ways > 1 { throw ValidationError("IMAGE, --kernel, --load and --bios exclude each other: give one of them") }
    if kernel == nil && image == nil, initrd != nil || append != nil || !module.isEmpty {
      throw ValidationError("--initrd, --append and --module belong to a kernel: give --kernel too")
    }
    if entry != nil, load.isEmpty { throw ValidationError("--entry belongs to --load") }
    if let entry, entry.value >> 32 != 0 { throw ValidationError("--entry is an address below 4G: execution starts in real or 32-bit mode") }
    for text in set {
      do throws(MachineError) { _ = try RegisterArgument(text) } catch { throw ValidationError(error.description) }
    }
    if !set.isEmpty, kernel == nil, image == nil, load.isEmpty {
      throw ValidationError("--set belongs to --load, --kernel or IMAGE: firmware starts with the registers of a reset")
    }
    if vgabios != nil, bios == nil { throw ValidationError("--vgabios belongs to --bios: nothing else runs it") }
  }
}

struct MachineOptions: ParsableArguments {
  @Option(help: "RAM; K, M and G suffixes (default 512M).")
  var memory: MemoryArgument?
  @Option(help: "Number of processors (default 1).")
  var cpus: Int?
  @Option(help: ArgumentHelp("CPU model, with features added or removed; 'help' lists them.", valueName: "MODEL[,±FEATURE]"))
  var cpu: String?
  @Flag(help: "A guest's reset ends the run.")
  var noReboot = false
  @Option(help: ArgumentHelp("A write of n to this port ends the run with exit code n.", valueName: "PORT"))
  var debugExit: PortArgument?
  @Option(help: ArgumentHelp("The same with exit code (n << 1) | 1.", valueName: "PORT"))
  var debugExitQemu: PortArgument?
  @Flag(name: .customLong("debug-exit-qemu-style"), help: .hidden)
  var debugExitQemuStyle = false

  static var cpuHelp: String {
    var text = "CPU models (the first is the default):\n"
    for model in cpuModels {
      text += "  \(model.name)\(String(repeating: " ", count: max(1, 12 - model.name.count)))\(model.summary)\n"
    }
    text += "Features to add (+name) or remove (-name) after a comma:\n"
    var line = " "
    for name in CPUSelection.featureNames {
      if line.count + name.count > 100 {
        text += line + "\n"
        line = " "
      }
      line += " " + name
    }
    return text + line + "\n"
  }
}

struct OutputOptions: ParsableArguments {
  @Option(help: ArgumentHelp("none, sdl, text or vnc=HOST:N for port 5900 + N.", valueName: "KIND"))
  var display: String = "none"
  @Option(parsing: .singleValue, help: ArgumentHelp(
    "Writes the screen as PNG, at the end or when virtual time reaches TIME (10s, 500ms); repeats.", valueName: "F.png[@TIME]"))
  var screenshot: [String] = []
  @Option(parsing: .singleValue, help: ArgumentHelp(
    "COM1: stdio, null, file:F, unix:F[,server], tcp:HOST:PORT[,server]; repeats for COM2 …", valueName: "BACKEND"))
  var serial: [String] = []
  @Option(help: ArgumentHelp("Where bytes written to ports E9h and 402h go: stdio, null, file:F.", valueName: "BACKEND"))
  var debugcon: String?
  @Flag(help: "No messages about how the run ended.")
  var quiet = false
}

struct ControlOptions: ParsableArguments {
  @Option(help: "Ends the run after this many instructions; with --restore, those before the saved state do not count (K, M, G are decimal).")
  var maxInstructions: CountArgument?
  @Option(help: ArgumentHelp("Ends the run after this many seconds of real time.", valueName: "SECONDS"))
  var timeout: Double?
  @Flag(help: "Executes one instruction after the other, without decoded blocks: slower, same results.")
  var singleStep = false
  @Option(help: ArgumentHelp("Writes statistics as JSON at the end; - is standard output.", valueName: "FILE.json"))
  var stats: String?
  @Option(help: ArgumentHelp("Records everything that comes from outside.", valueName: "FILE"))
  var record: String?
  @Option(help: ArgumentHelp("Feeds what --record wrote.", valueName: "FILE"))
  var replay: String?
  @Option(help: ArgumentHelp("Saves the machine's state at the end.", valueName: "FILE"))
  var saveOnExit: String?
  @Option(help: ArgumentHelp("Starts from a saved state; the machine is as it was then.", valueName: "FILE"))
  var restore: String?

  func validate() throws {
    // Nanoseconds are counted in 64 bits.
    if let timeout, !(timeout >= 0 && timeout < 1e9) { throw ValidationError("--timeout takes seconds from 0 to 1000000000") }
  }
}
