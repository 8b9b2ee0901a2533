import Platform
import Processor
import Testing
import XenABI
@testable import Hypervisor

/// A guest that suspends itself and says afterwards what that returned.
private struct SuspendingGuest {
  let guest: TestGuest
  var hypervisor: Hypervisor { guest.hypervisor }
  var domain: Domain { guest.domain }

  private static let reason: UInt64 = TestGuest.data
  private static let text: UInt64 = TestGuest.data + 16
  private static let result: UInt64 = TestGuest.data + 64

  init(on hypervisor: Hypervisor? = nil, isCompat: Bool = false) throws {
    let code =
      isCompat
      ? Code.hypercall32(.schedOp, 2, UInt32(Self.reason)) + Code.storeResult32(at: Self.result)
        + Code.hypercall32(.consoleIO, 0, 5, UInt32(Self.text)) + Code.spin
      : Code.hypercall(.schedOp, 2, UInt32(Self.reason)) + Code.storeResult(at: Self.result)
        + Code.show(Self.text, 5) + Code.spin
    var data = [UInt8](repeating: 0, count: 64)
    data[0] = UInt8(ShutdownReason.suspend.rawValue)
    data.replaceSubrange(16..<21, with: Array("again".utf8))
    guest = try TestGuest(on: hypervisor, code: code, data: data, isCompat: isCompat)
    guest.run()
    #expect(domain.shutdownReason == .suspend)
    prepare()
  }

  /// Machine frames by pseudo-physical ones.
  static func frames(of domain: Domain) -> [UInt64: MachineFrameNumber] {
    Dictionary(uniqueKeysWithValues: domain.ownedFrames.map { (domain.hypervisor.physical(of: MachineFrameNumber($0)), MachineFrameNumber($0)) })
  }

  static func startInfo(of domain: Domain) -> (pfn: UInt64, page: UnsafeMutableRawPointer)? {
    for (pfn, frame) in frames(of: domain).sorted(by: { $0.key < $1.key }) {
      let page = domain.frames.contents(frame)
      if Array("xen-3.0-x86_\(domain.isCompat ? "32" : "64")".utf8) == (0..<14).map({ page.load(fromByteOffset: $0, as: UInt8.self) }) { return (pfn, page) }
    }
    return nil
  }

  /// Does what a guest's kernel does before it suspends itself.
  private func prepare() {
    let frames = Self.frames(of: domain)
    let (pfn, info) = Self.startInfo(of: domain)!
    let words = GuestWords(domain), l = Self.startInfoLayout(of: domain)
    for field in [l.storeFrame, l.consoleFrame] {
      words.store(hypervisor.physical(of: MachineFrameNumber(words.load(info, at: field))), info, at: field)
    }
    domain.vcpus[0].cpu.s.pointee.rdx = frames[pfn]!.rawValue
    // The tree of its table of frames, in pages that nobody uses.
    let list = words.load(info, at: l.p2mList) >> 12
    let pages = 1024 / words.perPage
    words.store(frames[1001]!.rawValue, domain.frames.contents(frames[1000]!), at: 0)
    for n in 0..<pages { words.store(frames[list + UInt64(n)]!.rawValue, domain.frames.contents(frames[1001]!), at: n * words.bytes) }
    // A place that is marked.
    words.store(Self.marked(words), domain.frames.contents(frames[list + UInt64(pages) - 1]!), at: 4096 - words.bytes)
    words.store(frames[1000]!.rawValue, domain.shared, at: domain.layout.pfnToMFNListList)
    words.store(1024, domain.shared, at: domain.layout.maximumPFN)
  }

  /// An entry that is no frame.
  static func marked(_ words: GuestWords) -> UInt64 { 1 << UInt64(words.bytes * 8 - 1) | 5 }

  static func startInfoLayout(of domain: Domain) -> StartInfoLayout { domain.isCompat ? .compat : .wide }

  func saved() throws -> [UInt8] {
    var w = StateWriter()
    try hypervisor.save(domain, to: &w)
    return w.bytes
  }

  static func result(of domain: Domain) -> UInt64 {
    GuestWords(domain).load(domain.frames.contents(frames(of: domain)[result >> 12]!), at: Int(result & 0xFFF))
  }
}

private final class Listener: DomainObserver {
  var text = ""
  func domain(_ domain: Domain, wroteToConsole bytes: [UInt8]) { text += String(decoding: bytes, as: UTF8.self) }
  func domainEnded(_ domain: Domain) {}
}

private final class Nobody: EventService {
  func guestNotified(_ domain: Domain, port: EventPort) {}
}

@Suite struct SaveRestoreTests {
  private func restore(_ bytes: [UInt8], on h: Hypervisor) throws -> BuiltDomain {
    var r = StateReader(bytes)
    return try h.restore(&r, name: "restored", weight: 256, cap: 0, store: Nobody())
  }

  private func run(_ h: Hypervisor, steps: Int) {
    for _ in 0..<steps {
      if case .idle(let until) = h.step() {
        guard let until else { return }
        h.advance(to: until)
      }
    }
  }

  @Test(arguments: [false, true]) func aDomainGoesOnInAnotherHypervisor(isCompat: Bool) throws {
    let first = try SuspendingGuest(isCompat: isCompat)
    let bytes = try first.saved()
    #expect(bytes.count < 1 << 20, "pages of zeros are not stored")
    // Something else has the frames with the same numbers there.
    let h = Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
    let other = try TestGuest(on: h, code: Code.spin)
    let built = try restore(bytes, on: h)
    let listener = Listener()
    built.domain.observer = listener
    let frames = SuspendingGuest.frames(of: built.domain)
    #expect(Set(frames.values).isDisjoint(with: SuspendingGuest.frames(of: other.domain).values))
    #expect(frames[0] != SuspendingGuest.frames(of: first.domain)[0])
    h.unpause(built.domain)
    run(h, steps: 20)
    #expect(built.domain.state == .running && listener.text == "again")
    #expect(SuspendingGuest.result(of: built.domain) == 0, "another machine")
    // What the guest knows of frames is true.
    let (_, info) = try #require(SuspendingGuest.startInfo(of: built.domain))
    let words = GuestWords(built.domain), l = SuspendingGuest.startInfoLayout(of: built.domain)
    #expect(built.domain.isCompat == isCompat && words.bytes == (isCompat ? 4 : 8))
    let list = words.load(info, at: l.p2mList) >> 12, perPage = UInt64(words.perPage)
    func entry(_ pfn: UInt64) -> UInt64 { words.load(h.frames.contents(frames[list + pfn / perPage]!), index: Int(pfn % perPage)) }
    for pfn in [0, 5, 511, 512, 1000] as [UInt64] { #expect(entry(pfn) == frames[pfn]!.rawValue) }
    #expect(entry(1023) == SuspendingGuest.marked(words), "what is no frame stays")
    #expect(words.load(info, at: l.sharedInfo) == built.domain.sharedInfo.address)
    #expect(words.load(info, at: l.storeFrame) == built.storeFrame)
    let store = MachineFrameNumber(built.storeFrame)
    #expect(h.frames[store].pointee.type == .writable && h.frames[store].pointee.typeCount > 0)
    h.destroy(built.domain)
    #expect(frames.values.allSatisfy { h.frames.owner($0) == nil }, "all of it is given back")
  }

  @Test func theGuestsClockGoesOn() throws {
    let first = try SuspendingGuest()
    let before = first.hypervisor.now
    let bytes = try first.saved()
    let h = Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
    h.advance(to: before + 12_345_678_901)
    let built = try restore(bytes, on: h)
    #expect(h.now &+ built.domain.timeOffset == before)
    // A deadline of the guest's comes when its own clock says so, whatever the hypervisor's says; one that is over comes at once.
    #expect(built.domain.hostTime(ofGuest: before + 1000) == h.now + 1000)
    #expect(built.domain.hostTime(ofGuest: 5) == h.now)
    #expect(built.domain.hostTime(ofGuest: .max) > h.now)
  }

  @Test(arguments: [false, true]) func aCancelledSuspensionSaysSo(isCompat: Bool) throws {
    let first = try SuspendingGuest(isCompat: isCompat)
    _ = try first.saved()
    first.hypervisor.resume(first.domain)
    first.guest.run(steps: 20)
    #expect(first.domain.state == .running && first.guest.text == "again")
    #expect(SuspendingGuest.result(of: first.domain) == 1)
  }

  @Test func whatCannotBeSavedIsRefused() throws {
    let running = try TestGuest(code: Code.spin)
    var w = StateWriter()
    #expect(throws: BuildError.self) { try running.hypervisor.save(running.domain, to: &w) }
    let noStartInfo = try SuspendingGuest()
    noStartInfo.domain.vcpus[0].cpu.s.pointee.rdx = 0
    #expect(throws: BuildError.self) { try noStartInfo.saved() }
    let noTree = try SuspendingGuest()
    noTree.domain.shared.storeBytes(of: .max, toByteOffset: noTree.domain.layout.pfnToMFNListList, as: UInt64.self)
    #expect(throws: BuildError.self) { try noTree.saved() }
    let foreign = try SuspendingGuest()
    let frames = SuspendingGuest.frames(of: foreign.domain)
    foreign.hypervisor.setPhysical(of: frames[900]!, to: 901)
    #expect(throws: BuildError.self) { try foreign.saved() }
  }

  /// A file may say anything: it is refused, or what comes of it is a guest like others. The program does not trap, and no other domain is touched.
  @Test(arguments: [false, true]) func hostileBytesHarmNobody(isCompat: Bool) throws {
    let bytes = try SuspendingGuest(isCompat: isCompat).saved()
    for count in [0, 1, 100, 4000, bytes.count / 2, bytes.count - 1] {
      let h = Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
      #expect(throws: BuildError.self) { try restore(Array(bytes[..<count]), on: h) }
      #expect(h.domains.isEmpty, "nothing stays of what was refused")
    }
    var generator = SystemRandomNumberGenerator()
    var refused = 0, accepted = 0
    let h = Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
    let canary = try TestGuest(on: h, code: Code.spin, data: Array("canary".utf8))
    let canaryPage = h.frames.contents(SuspendingGuest.frames(of: canary.domain)[TestGuest.data >> 12]!)
    // Page tables and what describes processors lie at the ends; numbers matter more than single bits.
    for n in 0..<200 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        let place = n % 3 == 0 ? at % 4400 : n % 3 == 1 ? bytes.count - 1 - at % 6000 : at
        changed[place] = Bool.random(using: &generator) ? UInt8.random(in: 0...255, using: &generator) : changed[place] ^ 1 << UInt8.random(in: 0...7, using: &generator)
      }
      do {
        let built = try restore(changed, on: h)
        accepted += 1
        h.unpause(built.domain)
        run(h, steps: 4)
        h.destroy(built.domain)
      } catch {
        refused += 1
      }
      #expect(canaryPage.load(as: UInt32.self) == 0x616E_6163 && canary.domain.state == .running, "attempt \(n)")
      #expect(h.domains.count == 1)
    }
    #expect(refused > 5 && accepted > 5, "\(refused) refused, \(accepted) accepted")
  }
}
