import Machine
import Testing
@testable import Commands

@Suite struct HelpTests {
  @Test func everyCommandOnDomainsHasExamples() {
    let commands = XenolithCommand.configuration.groupedSubcommands.flatMap(\.subcommands)
    #expect(commands.count > 15)
    for command in commands {
      let help = XenolithCommand.helpMessage(for: command)
      #expect(help.contains("Examples:") && help.contains("xenolith \(command.configuration.commandName!)"), "\(help)")
    }
  }
}

@Suite struct CampaignArgumentTests {
  /// A campaign that runs nothing would pass.
  @Test(arguments: ["isolation --count 0", "isolation --cases 0", "host --count 0", "fuzz --count 0"])
  func campaignsOfNothingAreRefused(_ text: String) {
    #expect(throws: (any Error).self) { try XenolithCommand.parseAsRoot(["conform"] + text.split(separator: " ").map(String.init)) }
  }

  @Test(arguments: ["isolation --count 1", "isolation --cases 1", "host --count 1", "fuzz --count 1"])
  func campaignsOfOneAreNot(_ text: String) {
    #expect(throws: Never.self) { try XenolithCommand.parseAsRoot(["conform"] + text.split(separator: " ").map(String.init)) }
  }
}

@Suite struct QuantityTests {
  @Test func numbers() {
    #expect(Quantity.number("0x7c00") == 0x7C00)
    #expect(Quantity.number("1_000") == 1000)
    #expect(Quantity.number("0b101") == 5)
    #expect(Quantity.number("0o17") == 15)
    for bad in ["", "x", "0x", "-1", "1.5", "99999999999999999999"] { #expect(Quantity.number(bad) == nil, "\(bad)") }
  }

  @Test func memorySizes() {
    #expect(Quantity.memory("512M") == 512 << 20)
    #expect(Quantity.memory("2g") == 2 << 30)
    #expect(Quantity.memory("640K") == 640 << 10)
    // As with QEMU's -m.
    #expect(Quantity.memory("256") == 256 << 20)
    for bad in ["", "M", "12Q", "99999999999T", "-4M"] { #expect(Quantity.memory(bad) == nil, "\(bad)") }
  }

  @Test func counts() {
    #expect(CountArgument(argument: "2G")?.value == 2_000_000_000)
    #expect(CountArgument(argument: "0x10")?.value == 16)
    #expect(CountArgument(argument: "5k")?.value == 5000)
  }

  @Test func times() {
    #expect(Quantity.time("10s") == 10_000_000_000)
    #expect(Quantity.time("1.5") == 1_500_000_000)
    #expect(Quantity.time("500ms") == 500_000_000)
    #expect(Quantity.time("20us") == 20_000)
    for bad in ["", "s", "-1s", "abc", "1e40"] { #expect(Quantity.time(bad) == nil, "\(bad)") }
  }

  @Test func screenshotsMayNameATime() throws {
    #expect(try Screenshot("a.png").time == nil)
    #expect(try Screenshot("a.png@2s").time == 2_000_000_000)
    #expect(try Screenshot("a.png@2s").path == "a.png")
    #expect(try Screenshot("user@host.png").path == "user@host.png")
    #expect(try Screenshot("me@home/a").path == "me@home/a")
    for bad in ["a.png@zz", "a.png@", "a@-1s"] { #expect(throws: MachineError.self) { try Screenshot(bad) } }
  }

  @Test func registerNames() throws {
    #expect(RegisterArgument.number("eax") == 0 && RegisterArgument.number("rdi") == 7)
    #expect(RegisterArgument.number("sp") == 4 && RegisterArgument.number("r15") == 15)
    for bad in ["", "r16", "r7", "eip", "xmm0"] { #expect(RegisterArgument.number(bad) == nil) }
    #expect(try RegisterArgument("EBX=0x10").value == 16)
    for bad in ["eax", "eax=", "eax=-1", "=1", ""] { #expect(throws: MachineError.self) { try RegisterArgument(bad) } }
  }
}

@Suite struct OptionTests {
  private func run(_ arguments: [String]) throws -> RunCommand {
    try #require(try XenolithCommand.parseAsRoot(RunCommand.normalise(arguments)) as? RunCommand)
  }

  private func refusal(_ arguments: [String]) -> String? {
    do {
      _ = try run(arguments)
      return nil
    } catch {
      #expect(XenolithCommand.exitCode(for: error).rawValue == 64)
      return XenolithCommand.message(for: error)
    }
  }

  @Test func directBoot() throws {
    let command = try run([
      "run", "--kernel", "k", "--initrd", "i", "--append", "a b", "--module", "m x", "--module", "-n", "--memory", "1G",
      "--cpus", "4", "--max-instructions", "5M", "--timeout", "2.5", "--serial", "stdio", "--serial", "null",
    ])
    #expect(command.boot.kernel == "k" && command.boot.module == ["m x", "-n"])
    #expect(command.machine.memory?.bytes == 1 << 30 && command.machine.cpus == 4)
    #expect(command.control.maxInstructions?.value == 5_000_000 && command.control.timeout == 2.5)
    #expect(command.output.serial == ["stdio", "null"])
  }

  @Test func debugExitInBothStyles() throws {
    #expect(try run(["run", "--load", "f@0", "--debug-exit", "0xf4"]).machine.debugExit?.port == 0xF4)
    let withPort = try run(["run", "--load", "f@0", "--debug-exit-qemu", "0x501"])
    #expect(withPort.machine.debugExitQemu?.port == 0x501)
    let asFlag = try run(["run", "--load", "f@0", "--debug-exit", "0xf4", "--debug-exit-qemu"])
    #expect(asFlag.machine.debugExitQemuStyle && asFlag.machine.debugExit?.port == 0xF4)
  }

  @Test func mistakesAreUsageErrors() {
    #expect(refusal(["run", "--entry", "0x7c00"])?.contains("--load") == true)
    #expect(refusal(["run", "image", "--kernel", "k"])?.contains("exclude each other") == true)
    #expect(refusal(["run", "--load", "a@0", "--append", "x"])?.contains("--kernel") == true)
    #expect(refusal(["run", "--kernel", "k", "--memory", "lots"]) != nil)
    #expect(refusal(["run", "--kernel", "k", "--debug-exit", "70000"]) != nil)
    #expect(refusal(["run", "--set", "eax=1"])?.contains("--set belongs to") == true)
    #expect(refusal(["run", "--restore", "s", "--set", "eax=1"])?.contains("saved machine") == true)
    #expect(refusal(["run", "--load", "a@0", "--set", "eax"])?.contains("REG=VALUE") == true)
    #expect(refusal(["nonsense"]) != nil)
    #expect(refusal(["disassemble", "f", "--bits", "8"])?.contains("16, 32 or 64") == true)
  }

  @Test func negativeNumbersAreValues() {
    for option in ["--memory", "--max-instructions", "--debug-exit"] {
      #expect(refusal(["run", option, "-1"])?.contains("'-1' is invalid") == true)
    }
    #expect(refusal(["run", "--timeout", "-2.5"])?.contains("--timeout takes seconds") == true)
    #expect(RunCommand.normalise(["--append", "-1", "--memory=1", "-2"]) == ["--append", "-1", "--memory=1", "-2"])
    #expect(RunCommand.normalise(["--", "--memory", "-1"]) == ["--", "--memory", "-1"])
  }

  @Test func messagesHaveOneStyle() {
    #expect(Failure.sentence("Unknown option '--a'. Did you mean '--b'?") == "unknown option '--a': did you mean '--b'?")
    #expect(Failure.sentence("Can't do.\nPlease use:\n    a") == "can't do: please use: a")
    #expect(Failure.sentence("IMAGE, --kernel and --load exclude each other") == "IMAGE, --kernel and --load exclude each other")
    #expect(Failure.hint(["run", "--x"]) == " (see xenolith run --help)")
    #expect(Failure.hint(["conform", "rom", "run"]) == " (see xenolith conform rom --help)")
    #expect(Failure.hint(["nonsense"]) == " (see xenolith --help)")
  }

  @Test func serialBackends() {
    #expect(SerialEndpoint.parse("stdio") == .stdio)
    #expect(SerialEndpoint.parse("null") == .null)
    #expect(SerialEndpoint.parse("file:/a:b") == .file("/a:b"))
    #expect(SerialEndpoint.parse("unix:/s,server") == .unix("/s", isServer: true))
    #expect(SerialEndpoint.parse("tcp:localhost:4000") == .tcp(host: "localhost", port: 4000, isServer: false))
    #expect(SerialEndpoint.parse("tcp:[::1]:4000,server") == .tcp(host: "[::1]", port: 4000, isServer: true))
    for bad in ["", "file:", "tcp:host", "tcp:h:99999", "pipe:x", "unix"] { #expect(SerialEndpoint.parse(bad) == nil) }
  }
}

@Suite struct EscapeKeyTests {
  @Test func ordinaryBytesPass() {
    var keys = EscapeKeys()
    let (guest, commands) = keys.filter([3, 65, 0, 255])
    #expect(guest == [3, 65, 0, 255] && commands.isEmpty)
  }

  @Test func commandsAreTakenOutEvenWhenSplit() {
    var keys = EscapeKeys()
    #expect(keys.filter([65, 1]).guest == [65])
    let (guest, commands) = keys.filter([UInt8(ascii: "x"), 66])
    #expect(guest == [66] && commands == [.end])
    #expect(keys.filter([1, 1]).guest == [1])
    #expect(keys.filter([1, UInt8(ascii: "c"), 1, UInt8(ascii: "p"), 1, UInt8(ascii: "?")]).commands == [.status, .powerButton, .help])
  }
}

@Suite struct OutcomeTests {
  @Test func exitCodesAreThoseOfTheManual() {
    let codes: [(EndReason, Int32)] = [
      (.powerOff, 0), (.exitCode(7), 7), (.tripleFault(""), 101), (.haltedForGood(""), 102), (.timeout, 103),
      (.instructionLimit, 104), (.interrupted, 130),
    ]
    for (reason, code) in codes { #expect(RunOutcome(reason).code == code) }
    let full = SerialEndpoint.Failure(description: "full", isReaderGone: false)
    let gone = SerialEndpoint.Failure(description: "gone", isReaderGone: true)
    #expect(RunOutcome(.interrupted, broken: full).code == 70 && RunOutcome(.interrupted, broken: gone).code == 130)
    #expect(RunOutcome(.powerOff, broken: full).code == 70 && RunOutcome(.tripleFault(""), broken: full).code == 101)
    #expect(RunOutcome(.interrupted, broken: gone).message == "xenolith: gone")
    #expect(Failure.code(.usage) == 64 && Failure.code(.badImage) == 65)
    #expect(Failure.code(.missingFile) == 66 && Failure.code(.internal) == 70)
  }

  @Test func statisticsAreJSON() {
    let text = Statistics(
      instructions: 5_000_000, runInstructions: 1_000_000, stateHash: 0xAB, hostSeconds: 0.5, blocksDecoded: 3, tlbMisses: 4, exits: ExitCounts(),
      peakBytes: 5, end: "powerOff").json
    #expect(text.contains("\"instructions\": 5000000") && text.contains("\"runInstructions\": 1000000"))
    #expect(text.contains("\"stateHash\": \"00000000000000ab\""))
    #expect(text.contains("\"mips\": 2.0"))
  }
}
