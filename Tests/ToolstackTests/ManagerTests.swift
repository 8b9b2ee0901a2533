#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Control
import Hypervisor
import Platform
import Processor
import Testing
import XenABI
import Xenstore
@testable import Toolstack

/// An ELF file of a paravirtual kernel with a few bytes of code.
enum TinyKernel {
  private static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

  private static func note(_ kind: UInt32, _ value: [UInt8]) -> [UInt8] {
    bytes(UInt32(4)) + bytes(UInt32(value.count)) + bytes(kind) + Array("Xen\0".utf8) + value + [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
  }

  /// - Parameter initialP2M: where the kernel wants the table of its frames.
  static func elf(_ code: [UInt8], initialP2M: UInt64? = nil) -> [UInt8] {
    let base: UInt64 = 0x100000, header = 64 + 2 * 56
    let notes = note(6, Array("tiny\0".utf8)) + note(8, Array("generic\0".utf8)) + note(5, Array("xen-3.0\0".utf8))
      + note(3, bytes(UInt64(0))) + note(1, bytes(base)) + (initialP2M.map { note(15, bytes($0)) } ?? [])
    var file: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
    file += bytes(UInt16(2)) + bytes(UInt16(62)) + bytes(UInt32(1)) + bytes(base) + bytes(UInt64(64)) + bytes(UInt64(0)) + bytes(UInt32(0))
    for field in [64, 56, 2, 64, 0, 0] as [UInt16] { file += bytes(field) }
    func segment(_ type: UInt32, _ flags: UInt32, _ offset: Int, _ address: UInt64, _ size: Int, _ memory: UInt64) {
      file += bytes(type) + bytes(flags) + bytes(UInt64(offset)) + bytes(address) + bytes(address) + bytes(UInt64(size)) + bytes(memory) + bytes(UInt64(4096))
    }
    segment(1, 7, header, base, code.count, 4096)
    segment(4, 4, header + code.count, 0, notes.count, UInt64(notes.count))
    return file + code + notes
  }

  static let crash: [UInt8] = [0x0F, 0x0B]
  static let spin: [UInt8] = [0xEB, 0xFE]

  /// SCHEDOP_shutdown with a reason: push reason; mov rsi, rsp; mov edi, 2; mov eax, 29; syscall
  static func shutdown(_ reason: ShutdownReason) -> [UInt8] {
    [0x6A, UInt8(reason.rawValue), 0x48, 0x89, 0xE6, 0xBF, 2, 0, 0, 0, 0xB8, 29, 0, 0, 0, 0x0F, 0x05] + spin
  }
}

@Suite struct ManagerTests {
  private let manager = DomainManager(memoryBytes: 256 << 20, model: CPUModel.named("x86-64-v3")!)

  private func create(_ name: String, _ code: [UInt8], _ more: String = "", paused: Bool = false) throws -> ManagedDomain {
    let text = "name = \"\(name)\"\nkernel = \"k\"\nmemory = 8\n\(more)\n"
    let configuration = try DomainConfiguration(parsing: Array(text.utf8), file: "\(name).cfg")
    return try manager.create(configuration, kernel: TinyKernel.elf(code), ramdisk: [], paused: paused)
  }

  private func run(_ steps: Int = 40) {
    for _ in 0..<steps {
      if case .idle(let until) = manager.hypervisor.step(), let until { manager.hypervisor.advance(to: until) }
      manager.service()
      manager.reap()
    }
  }

  private var names: [String] { manager.domains.map(\.name) }

  @Test func domainsAreFoundByNumberAndName() throws {
    let one = try create("one", TinyKernel.spin), two = try create("two", TinyKernel.spin)
    #expect(manager.find("one") === one && manager.find("\(two.domain.id.rawValue)") === two)
    #expect(manager.find("") == nil && manager.find("d1") == nil && manager.find("three") == nil)
    #expect(throws: BuildError.self) { try create("one", TinyKernel.spin) }
    manager.destroy(one)
    #expect(manager.find("one") == nil && names == ["two"])
    #expect(!manager.store.exists("/local/domain/1") && manager.store.exists("/local/domain/2"))
  }

  @Test func aPausedDomainTakesNoTime() throws {
    let paused = try create("paused", TinyKernel.spin, paused: true)
    run()
    #expect(paused.domain.consumedTime == 0)
    manager.unpause(paused)
    manager.unpause(paused)
    run()
    #expect(paused.domain.consumedTime > 0)
    manager.pause(paused)
    manager.pause(paused)
    let time = paused.domain.consumedTime
    run()
    #expect(paused.domain.consumedTime == time)
    manager.unpause(paused)
    run()
    #expect(paused.domain.consumedTime > time, "pausing twice is pausing")
  }

  @Test func endsAreDealtWithAsConfigured() throws {
    var ends: [(ShutdownReason?, DomainEnd.Outcome)] = []
    manager.onEnd = { ends.append(($0.reason, $0.outcome)) }
    _ = try create("off", TinyKernel.shutdown(.poweroff))
    run()
    #expect(names.isEmpty && ends.count == 1 && ends[0] == (.poweroff, .gone))
    _ = try create("kept", TinyKernel.shutdown(.poweroff), "on_poweroff = \"preserve\"")
    run()
    #expect(names == ["kept"] && ends.count == 2 && ends[1] == (.poweroff, .preserved))
    #expect(manager.domains[0].domain.shutdownReason == .poweroff, "it is still there, with its memory")
    manager.destroy(manager.domains[0])
    #expect(names.isEmpty && ends.count == 3 && ends[2] == (nil, .gone))
  }

  @Test func aGuestThatCannotRunIsNotStartedForEver() throws {
    var ends: [DomainEnd.Outcome] = [], givenUp = 0
    manager.onEnd = {
      ends.append($0.outcome)
      givenUp += $0.isGivenUp ? 1 : 0
    }
    _ = try create("loop", TinyKernel.crash, "on_crash = \"restart\"")
    run(400)
    #expect(ends == [.restarted, .restarted, .restarted, .gone] && names.isEmpty && givenUp == 1)
    ends = []
    _ = try create("again", TinyKernel.crash, "on_crash = \"rename-restart\"")
    run(400)
    #expect(ends == [.restarted, .restarted, .restarted, .gone])
    #expect(names == ["again-1", "again-2", "again-3"])
    #expect((try? manager.store.readString("/local/domain/\(manager.domains[0].domain.id.rawValue)/name")) == "again-1")
  }

  @Test func aCrashLeavesACoreFile() throws {
    var cores: [[UInt8]] = []
    manager.storeCore = { (name, body) throws(BuildError) in
      let file = MemoryFile()
      try body(file)
      cores.append(file.bytes)
      return "\(name).core"
    }
    var events: [String] = []
    manager.onEvent = { events.append($0) }
    _ = try create("dumped", TinyKernel.crash, "on_crash = \"coredump-destroy\"")
    run()
    #expect(names.isEmpty && events == ["domain dumped ended: crash, dumped to dumped.core"])
    let core = try #require(cores.first)
    func word(_ at: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(core[at + $1]) << UInt64(8 * $1) } }
    #expect(Array(core[..<4]) == [0x7F, 0x45, 0x4C, 0x46] && core[16] == 4 && core[18] == 62)
    // Sections: nothing, notes, processors, shared page, frames, pages, names.
    let table = Int(word(40))
    #expect(core.count == table + 7 * 64 && core[60] == 7 && core[62] == 6)
    func section(_ n: Int) -> (offset: Int, size: Int) { (Int(word(table + n * 64 + 24)), Int(word(table + n * 64 + 32))) }
    #expect(section(2).size == 5168 && section(3).size == 4096 && section(4).size == 2048 * 16 && section(5).size == 8 << 20)
    // The processor stands at the crash: RIP lies behind FPU image, flags and sixteen words.
    #expect(word(section(2).offset + 520 + 128) == 0x100000)
    // The kernel's first bytes are where its frame number says.
    let page = section(5).offset + 0x100 * 4096
    #expect(word(section(4).offset + 0x100 * 16) == 0x100 && Array(core[page..<page + 2]) == TinyKernel.crash)
  }

  @Test func aSuspensionThatNobodyAskedForIsCancelled() throws {
    let domain = try create("alone", TinyKernel.shutdown(.suspend))
    run()
    #expect(domain.isAlive && names == ["alone"])
  }

  /// What is wrong with a domain of these settings.
  private func refusal(_ more: String, kernel: [UInt8]? = nil) -> String? {
    let text = "name = \"bad\"\nkernel = \"k\"\n\(more)\n"
    do {
      let configuration = try DomainConfiguration(parsing: Array(text.utf8), file: "bad.cfg")
      _ = try manager.create(configuration, kernel: kernel ?? TinyKernel.elf(TinyKernel.spin), ramdisk: [])
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test func whatTheBuilderRefusesHasItsLine() throws {
    let free = manager.hypervisor.freeMemory
    #expect(refusal("memory = 16777216") == "bad.cfg, line 3: memory: the machine has no 16777216 MiB left for domain bad")
    #expect(refusal("memory = 257") == "bad.cfg, line 3: memory: the machine has no 257 MiB left for domain bad")
    #expect(refusal("memory = 8\nmaxmem = 300") == "bad.cfg, line 4: maxmem: the machine has 255 MiB, less than domain bad could grow to")
    #expect(refusal("memory = 1") == "bad.cfg, line 3: memory: domain bad has too little memory for its kernel and initial RAM disk")
    #expect(refusal("memory = 8", kernel: [1, 2, 3])?.hasPrefix("bad.cfg, line 2: kernel: k is no kernel") == true)
    #expect(refusal("type = \"hvm\"")?.hasPrefix("bad.cfg, line 3: type: domain bad has type") == true)
    #expect(refusal("cpus = \"5\"")?.hasPrefix("bad.cfg, line 3: cpus: ") == true)
    #expect(refusal("disk = [ \"a,qcow2,xvda,w\" ]") == "bad.cfg, line 3: disk gives xvda the format qcow2, and only raw is there yet")
    _ = try create("bad", TinyKernel.spin)
    #expect(refusal("") == "bad.cfg, line 1: name: a domain with the name bad exists already")
    manager.destroy(try #require(manager.find("bad")))
    #expect(manager.hypervisor.freeMemory == free && manager.hypervisor.domains.isEmpty)
  }

  @Test(arguments: [UInt64.max, 0xFFFF_FFFF_FFFF_F000, 0xFFFF_8000_0000_0000, 0xFFFF_7FFF_FFFF_F000, 0x8000_0000_0000])
  func tablesOfFramesLieWhereGuestsMayHaveThem(address: UInt64) {
    let refused = refusal("memory = 8", kernel: TinyKernel.elf(TinyKernel.spin, initialP2M: address))
    #expect(refused?.contains("where no guest can have it") == true, "\(refused ?? "accepted")")
  }

  @Test func domainsHaveTheirIdentity() throws {
    let uuid = "01234567-89ab-cdef-0123-456789abcdef"
    let one = try create("one", TinyKernel.spin, "uuid = \"\(uuid)\""), two = try create("two", TinyKernel.spin)
    #expect(one.domain.handle == DomainUUID(uuid)?.bytes)
    #expect(two.domain.handle == DomainUUID(name: "two").bytes && DomainUUID(name: "two") != DomainUUID(name: "three"))
    #expect((try? manager.store.readString("/local/domain/1/vm")) == "/vm/\(uuid)")
    #expect((try? manager.store.readString("/vm/\(uuid)/name")) == "one" && (try? manager.store.readString("/vm/\(uuid)/uuid")) == uuid)
    manager.destroy(one)
    #expect(!manager.store.exists("/vm/\(uuid)") && manager.store.exists("/vm/\(DomainUUID(bytes: two.domain.handle))"))
  }

  @Test func anAddressSpaceLargerThanTheMachineIsNotMade() {
    #expect(throws: BuildError.self) {
      try manager.hypervisor.build(
        DomainRequest(name: "huge", memoryBytes: 16 << 40), kernel: .pvh(PVHKernel(segments: [], entry: 0)), store: StoreLink(manager.store))
    }
  }

  @Test func aDomainCanHaveRoomToGrow() throws {
    let domain = try create("growing", TinyKernel.spin, "maxmem = 32\nvcpus = 2\nmaxvcpus = 4").domain
    #expect(domain.vcpus.count == 4 && domain.frameCount <= 8 << 8 && domain.maximumFrames == 32 << 8)
    let path = "/local/domain/\(domain.id.rawValue)"
    #expect((0..<4).map { try? manager.store.readString("\(path)/cpu/\($0)/availability") } == ["online", "online", "offline", "offline"])
    #expect((try? manager.store.readString("\(path)/memory/target")) == "8192")
    #expect((try? manager.store.readString("\(path)/memory/static-max")) == "32768")
    let managed = try #require(manager.find("growing"))
    try manager.setProcessors(managed, 3)
    #expect((0..<4).map { try? manager.store.readString("\(path)/cpu/\($0)/availability") } == ["online", "online", "online", "offline"])
    try manager.setMemory(managed, 32 << 10)
    #expect((try? manager.store.readString("\(path)/memory/target")) == "32768")
    for bad in [0, 5, -1] { #expect(throws: BuildError.self) { try manager.setProcessors(managed, bad) } }
    for bad in [0, 1023, 32769, .max] as [UInt64] { #expect(throws: BuildError.self) { try manager.setMemory(managed, bad) } }
  }

  @Test func aDiskOfADomainIsNoOtherOfItsDisks() throws {
    let path = "/tmp/xenolith-disk-\(getpid())"
    let file = open(path, O_CREAT | O_RDWR, 0o600)
    #expect(file >= 0 && ftruncate(file, 4096) == 0)
    close(file)
    defer { unlink(path) }
    #expect(refusal("disk = [ \"\(path),raw,xvda,w\",\n\"\(path),raw,hda,w\" ]") == "bad.cfg, line 4: disk gives hda the file \(path), which is xvda already")
  }

  @Test func onlyGuestsThatCanAreSaved() throws {
    let domain = try create("deaf", TinyKernel.spin)
    #expect(throws: BuildError.self) { try manager.save(domain, then: .destroy, store: { _ in }, done: { _ in }) }
  }
}

@Suite struct ConsoleTests {
  @Test func theFirstViewerSeesWhatNobodySaw() {
    let console = DomainConsole()
    var one: [UInt8] = [], two: [UInt8] = []
    console.show([1, 2])
    let first = console.attach { one += $0 }
    #expect(one == [1, 2])
    let second = console.attach { two += $0 }
    console.show([3])
    #expect(one == [1, 2, 3] && two == [3])
    console.detach(first)
    console.show([4])
    console.detach(second)
    console.show([UInt8](repeating: 5, count: 1 << 20))
    #expect(one.count == 3 && two == [3, 4])
    one = []
    _ = console.attach { one += $0 }
    #expect(one.count == 256 << 10, "what is kept is bounded")
  }
}

@Suite struct SaveFileTests {
  private let source = DomainSource(text: Array("name = \"a\"".utf8), file: "a.cfg", directory: "/d")

  private let schedule = SaveFile.SavedSchedule(weight: 512, cap: 50, affinity: [[1], []])

  private func made(words: UInt32 = 1000, limit: Int = .max) throws -> [UInt8] {
    let file = MemoryFile(limit: limit)
    try SaveFile.write(name: "a", source: source, schedule: schedule, nodes: [.init(path: "data/x", value: [1, 2])], to: file) { w in
      for n in 0..<words { w.put(n) }
    }
    return file.bytes
  }

  @Test(arguments: [1000, 1 << 20] as [UInt32]) func whatIsWrittenComesBack(words: UInt32) throws {
    var file = try SaveFile(MemoryFile(made(words: words)))
    #expect(file.name == "a" && file.source == source && file.schedule == schedule && file.nodes == [.init(path: "data/x", value: [1, 2])])
    var wrong = 0
    for n in 0..<words where try file.domain.get(UInt32.self) != n { wrong += 1 }
    #expect(wrong == 0)
    #expect(file.domain.isAtEnd)
    #expect(throws: StateError.self) { try file.domain.get(UInt8.self) }
  }

  @Test func aFullDiskEndsTheSave() throws {
    let whole = try made().count
    for (words, limit) in [(1000, 10), (1 << 20, 3 << 20), (1000, whole - 1)] as [(UInt32, Int)] {
      #expect { try made(words: words, limit: limit) } throws: { ($0 as? BuildError)?.description == "full" }
    }
  }

  @Test func onePortionIsHeldAtATime() throws {
    let file = MemoryFile()
    _ = try SaveFile.write(name: "a", source: source, schedule: schedule, nodes: [], to: file) { w in
      w.put([UInt8](repeating: 1, count: 5 << 20))
      #expect(w.bytes.count < StateWriter.portion)
      for n in 0..<1 << 20 as Range<UInt32> { w.put(n) }
      #expect(w.bytes.count < StateWriter.portion)
    }
    #expect(file.largest == StateWriter.portion)
  }

  @Test func aFileThatShrinksIsRefused() throws {
    let file = MemoryFile(try made(words: 1 << 20))
    var saved = try SaveFile(file)
    file.bytes.removeLast(2 << 20)
    #expect(throws: StateError.self) { for _ in 0..<1 << 20 { _ = try saved.domain.get(UInt32.self) } }
  }

  @Test func aDamagedFileIsRefusedInOneSentence() throws {
    let whole = try made()
    for n in stride(from: 0, to: whole.count, by: 37) {
      var damaged = whole
      damaged[n] ^= 0x10
      #expect(throws: BuildError.self, "byte \(n)") { try SaveFile(MemoryFile(damaged)) }
      #expect(throws: BuildError.self, "length \(n)") { try SaveFile(MemoryFile(Array(whole[..<n]))) }
    }
    #expect(throws: BuildError.self) { try SaveFile(MemoryFile(whole + [0])) }
    do { _ = try SaveFile(MemoryFile([1, 2, 3])) } catch { #expect(error.description == "it is no saved domain") }
  }
}

/// A file in memory, which is full at some point.
private final class MemoryFile: ByteSink, SavedBytes {
  var bytes: [UInt8]
  /// Bytes of the largest piece that was taken.
  private(set) var largest = 0
  private let limit: Int

  init(_ bytes: [UInt8] = [], limit: Int = .max) {
    self.bytes = bytes
    self.limit = limit
  }

  var count: Int { bytes.count }

  func take(_ piece: UnsafeRawBufferPointer) throws(BuildError) {
    if bytes.count + piece.count > limit { throw BuildError("full") }
    largest = max(largest, piece.count)
    bytes += piece
  }

  func read(_ range: Range<Int>) throws(StateError) -> [UInt8] {
    if range.upperBound > bytes.count { throw StateError("it ends too early") }
    return Array(bytes[range])
  }
}
