#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import ArgumentParser
import Machine
import Testing
@testable import Commands

/// Files in a directory of their own that goes with the test.
private final class Folder {
  let path: String

  init() {
    // mkdtemp puts its own characters in the place of the last six.
    var template = Array(("/tmp/xenolith-" + String(repeating: "X", count: 6)).utf8CString)
    path = String(cString: mkdtemp(&template))
  }

  deinit { system("rm -rf '\(path)'") }

  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    try HostFile.store(bytes, to: path + "/" + name)
    return path + "/" + name
  }

  func text(_ name: String) throws -> String { String(decoding: try HostFile.contents(path + "/" + name), as: UTF8.self) }
}

/// Exit code of `xenolith` with these arguments.
private func code(_ arguments: [String]) -> Int32 {
  XenolithCommand.execute(arguments + ["--quiet", "--serial", "null"])
}

/// mov dx,3FBh; mov al,3; out dx,al; mov dx,3F8h; mov al,'H'; out dx,al; mov al,'i'; out dx,al; mov al,7; out F4h,al; hlt
private let greeting: [UInt8] = [
  0xBA, 0xFB, 0x03, 0xB0, 3, 0xEE, 0xBA, 0xF8, 0x03, 0xB0, 0x48, 0xEE, 0xB0, 0x69, 0xEE, 0xB0, 7, 0xE6, 0xF4, 0xF4,
]
private let spin: [UInt8] = [0xEB, 0xFE]

/// One after the other: how long somebody waits for readers of pipes is the process's own.
@Suite(.serialized) struct RunCommandTests {
  @Test func guestExitCodesComeThrough() throws {
    let folder = Folder()
    let load = "\(try folder.file("a.bin", greeting))@0x7c00"
    #expect(code(["run", "--load", load, "--debug-exit", "0xf4", "--memory", "4M"]) == 7)
    #expect(code(["run", "--load", load, "--debug-exit-qemu", "0xf4", "--memory", "4M"]) == 15)
    #expect(code(["run", "--load", load, "--debug-exit", "0xf4", "--debug-exit-qemu", "--memory", "4M"]) == 15)
  }

  @Test func endsHaveTheirCodes() throws {
    let folder = Folder()
    func run(_ program: [UInt8], _ more: String...) throws -> Int32 {
      code(["run", "--load", "\(try folder.file("p", program))@0x7c00", "--memory", "4M"] + more)
    }
    #expect(try run([0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF, 0xF4]) == 0)
    #expect(try run([0x0F, 0x01, 0x1E, 0x10, 0x7C, 0xCC]) == 101)
    #expect(try run([0xFA, 0xF4]) == 102)
    #expect(try run(spin, "--timeout", "0.05") == 103)
    #expect(try run(spin, "--max-instructions", "1k") == 104)
    #expect(try run([0xBA, 0xF9, 0x0C, 0xB0, 0x0E, 0xEE, 0xF4], "--no-reboot") == 0)
  }

  @Test func mistakesHaveTheirCodes() throws {
    let folder = Folder()
    let junk = try folder.file("junk", [1, 2, 3])
    #expect(code(["run", "--kernel", folder.path + "/none"]) == 66)
    #expect(code(["run", "--kernel", folder.path]) == 66)
    #expect(code(["run", "--kernel", junk]) == 65)
    #expect(code(["run", junk]) == 65)
    #expect(code(["run", "--restore", junk]) == 65)
    #expect(code(["run", "--bios", junk]) == 65)
    #expect(code(["run", "--replay", junk]) == 65)
    #expect(code(["run", "--load", junk]) == 64)
    #expect(code(["run", "--set", "eax=1"]) == 64)
    #expect(code(["run", "--load", "\(junk)@0", "--set", "eax"]) == 64)
    #expect(code(["run", "--load", "\(junk)@0", "--screenshot", "a.png@zz"]) == 64)
    #expect(code(["run", "--load", "\(junk)@0", "--memory", "-1"]) == 64)
    #expect(code(["run", "--load", "\(junk)@0", "--cpu", "z80"]) == 64)
    #expect(code(["run", "--load", "\(junk)@0", "--memory", "1M"]) == 64)
    #expect(code(["run", "--load", "\(junk)@0", "--display", "hologram"]) == 64)
    #expect(code(["run", "--load", "\(junk)@0", "--serial", "pigeon"]) == 64)
    #expect(code(["run", "--load", "\(junk)@0", "--set", "eip=3"]) == 64)
  }

  @Test func filesToWriteAreProbedFirst() throws {
    let folder = Folder()
    let load = "\(try folder.file("a.bin", spin))@0x7c00"
    let old = try folder.file("old", [1, 2, 3]), new = folder.path + "/new"
    for option in ["--stats", "--record", "--save-on-exit", "--screenshot"] {
      // A run that would not end by itself shows that it did not start.
      for bad in [folder.path, folder.path + "/none/file", ""] {
        #expect(code(["run", "--load", load, option, bad, "--timeout", "60"]) == (bad.isEmpty ? 64 : 66))
      }
      // One that fails to start leaves files as they were.
      for path in [old, new] { #expect(code(["run", "--load", folder.path + "/none@0", option, path]) == 66) }
      #expect(try HostFile.contents(old) == [1, 2, 3])
      #expect(!HostFile.exists(new))
    }
    // Neither is the target of a link created that leads nowhere yet, nor a pipe without a reader waited for.
    let link = folder.path + "/link", pipe = folder.path + "/pipe"
    #expect(symlink("target", link) == 0 && mkfifo(pipe, 0o600) == 0)
    try HostFile.checkWritable(link)
    try HostFile.checkWritable(pipe)
    #expect(!HostFile.exists(folder.path + "/target"))
  }

  /// One file under two names is one file, be it there yet or not.
  @Test func filesAreWrittenOnce() throws {
    let folder = Folder()
    let program = try folder.file("a.bin", spin), old = try folder.file("old", [1, 2, 3]), new = folder.path + "/new"
    #expect(link(old, folder.path + "/hard") == 0 && symlink("new", folder.path + "/soft") == 0 && symlink(".", folder.path + "/here") == 0)
    func run(_ more: String...) -> Int32 { code(["run", "--load", program + "@0x7c00", "--max-instructions", "10"] + more) }
    for (a, b) in [(old, folder.path + "/./old"), (old, folder.path + "/hard"), (new, folder.path + "/here/new"), (new, folder.path + "/soft")] {
      #expect(run("--stats", a, "--save-on-exit", b) == 64, "\(b)")
      #expect(run("--stats", b, "--serial", "file:" + a) == 64, "\(b)")
      #expect(run("--debugcon", "file:" + a, "--serial", "file:" + b) == 64, "\(b)")
    }
    for option in ["--stats", "--save-on-exit", "--record", "--screenshot"] { #expect(run(option, folder.path + "/here/a.bin") == 64) }
    #expect(run("--serial", "file:" + program) == 64)
    #expect(try HostFile.contents(old) == [1, 2, 3] && HostFile.contents(program) == spin && !HostFile.exists(new))
    #expect(run("--stats", "/dev/null", "--save-on-exit", "/dev/null") == 104)
    #expect(run("--stats", old, "--save-on-exit", new) == 104)
    // A saved machine may go on into its own file.
    #expect(code(["run", "--restore", new, "--max-instructions", "10", "--stats", folder.path + "/soft"]) == 64)
    #expect(code(["run", "--restore", new, "--max-instructions", "10", "--save-on-exit", folder.path + "/soft"]) == 104)
    #expect(code(["run", "--restore", new, "--max-instructions", "10"]) == 104)
  }

  @Test func checksThatCannotFailAreRefused() throws {
    let folder = Folder()
    let short = try folder.file("short", [1, 2, 3, 4, 5, 6])
    for (arguments, expected) in [
      (["disassemble", short, "--offset", "6"], 64), (["disassemble", short, "--offset", "0xffffffffffffffff"], 64),
      (["disassemble", short, "--offset", "5", "--count", "0"], 0), (["conform", "fuzz", "--mode", "long64", "--cpu", "386"], 64),
      (["conform", "fuzz", "--count", "1", "--json", short, "--junit", folder.path + "/./short"], 64),
    ] as [([String], Int32)] {
      #expect(XenolithCommand.execute(arguments) == expected, "\(arguments)")
    }
    #expect(try HostFile.contents(short).count == 6)
  }

  @Test func fullDevicesEndTheRun() throws {
    let folder = Folder()
    // mov dx,3F8h; mov al,'A'; again: out dx,al; jmp again
    let load = "\(try folder.file("a.bin", [0xBA, 0xF8, 0x03, 0xB0, 0x41, 0xEE, 0xEB, 0xFD]))@0x7c00"
    #expect(code(["run", "--load", load, "--serial", "file:/dev/full", "--timeout", "60"]) == 70)
    #expect(code(["run", "--load", load, "--stats", "/dev/full", "--max-instructions", "100"]) == 70)
  }

  @Test func instructionsAreBoundedByRun() throws {
    let folder = Folder()
    let load = "\(try folder.file("a.bin", spin))@0x7c00"
    let state = folder.path + "/state", stats = folder.path + "/s.json"
    #expect(code(["run", "--load", load, "--memory", "4M", "--max-instructions", "1000", "--save-on-exit", state]) == 104)
    #expect(code(["run", "--restore", state, "--max-instructions", "500", "--stats", stats]) == 104)
    let text = try folder.text("s.json")
    #expect(text.contains("\"instructions\": 1500,") && text.contains("\"runInstructions\": 500,"))
    #expect(code(["run", "--restore", state, "--max-instructions", "0xffffffffffffffff", "--timeout", "0.01"]) == 103)
  }

  @Test func serialOutputGoesToItsFile() throws {
    let folder = Folder()
    let load = "\(try folder.file("a.bin", greeting))@0x7c00"
    let out = folder.path + "/out"
    #expect(code(["run", "--load", load, "--debug-exit", "0xf4", "--memory", "4M", "--serial", "file:" + out]) == 7)
    #expect(try folder.text("out") == "Hi")
  }

  @Test func savedMachinesGoOn() throws {
    let folder = Folder()
    let load = "\(try folder.file("a.bin", greeting))@0x7c00"
    let out = folder.path + "/out", state = folder.path + "/state"
    #expect(code(["run", "--load", load, "--debug-exit", "0xf4", "--memory", "4M", "--max-instructions", "6",
                  "--save-on-exit", state, "--serial", "file:" + out]) == 104)
    #expect(try folder.text("out") == "H")
    #expect(code(["run", "--restore", state, "--serial", "file:" + out]) == 7)
    #expect(try folder.text("out") == "i")
    #expect(code(["run", "--restore", state, "--memory", "4M"]) == 64)
  }

  @Test func statisticsAndScreenshotsAreWritten() throws {
    let folder = Folder()
    let load = "\(try folder.file("a.bin", spin))@0x7c00"
    let stats = folder.path + "/s.json", picture = folder.path + "/p.png", early = folder.path + "/e.png"
    #expect(code(["run", "--load", load, "--memory", "4M", "--max-instructions", "2000", "--stats", stats,
                  "--screenshot", picture, "--screenshot", early + "@1us"]) == 104)
    let text = try folder.text("s.json")
    #expect(text.contains("\"instructions\": 2000,") && text.contains("\"end\": \"maxInstructions\""))
    for path in [picture, early] { #expect(try HostFile.contents(path).starts(with: [0x89, 0x50, 0x4E, 0x47])) }
  }

  @Test func registersArePreset() throws {
    let folder = Folder()
    // out F4h,al; hlt
    let load = "\(try folder.file("a.bin", [0xE6, 0xF4, 0xF4]))@0x100000"
    #expect(code(["run", "--load", load, "--memory", "4M", "--debug-exit", "0xf4", "--set", "eax=0x2A"]) == 42)
  }
}
