import Processor
import Testing
import XenABI

@testable import Hypervisor

/// Small guests of a few instructions, each for one thing that a domain can do.
@Suite struct ParavirtualTests {
  @Test func aGuestSaysHelloAndSwitchesOff() throws {
    let hello = Array("Hello from ring 3\n".utf8)
    let guest = try TestGuest(code: Code.show(TestGuest.data, hello.count) + Code.shutdown(TestGuest.data + 0x100), data: hello)
    guest.run()
    #expect(guest.text == "Hello from ring 3\n")
    #expect(guest.domain.state == .shutdown(.poweroff))
  }

  @Test func aPageTableIsNeverWritable() throws {
    // MMUEXT_PIN_L1 of a page that is mapped writable is refused; the guest stores what it got.
    let probe = try TestGuest(code: Code.spin)
    let frame = probe.domain.frames.entry(try #require(probe.l1(of: TestGuest.data)).table, try #require(probe.l1(of: TestGuest.data)).index)
    #expect(frame & PTE.writable != 0)
    #expect(throws: XenError.EINVAL) { try probe.domain.pin(PTE.frame(frame), .l1) }
    // Read-only it can be pinned, and then not be mapped writable again.
    let (table, index) = try #require(probe.l1(of: TestGuest.data))
    try probe.domain.modify(table, index, frame & ~PTE.writable, level: 1, .normal)
    try probe.domain.pin(PTE.frame(frame), .l1)
    #expect(throws: XenError.EINVAL) { try probe.domain.modify(table, index, frame, level: 1, .normal) }
    try probe.domain.unpin(PTE.frame(frame))
    try probe.domain.modify(table, index, frame, level: 1, .normal)
  }

  @Test func framesOfOthersCannotBeMapped() throws {
    let first = try TestGuest(code: Code.spin)
    let second = try TestGuest(on: first.hypervisor, code: Code.spin)
    let (table, index) = try #require(first.l1(of: TestGuest.data))
    let foreign = second.domain.frames.entry(try #require(second.l1(of: TestGuest.data)).table, try #require(second.l1(of: TestGuest.data)).index)
    for entry in [foreign, foreign & ~PTE.writable, PTE.present | 1 << 40, PTE.present | PTE.large | foreign] {
      #expect(throws: XenError.self) { try first.domain.modify(table, index, entry, level: 1, .normal) }
    }
  }

  @Test func anUnhandledFaultEndsTheDomainAndNoOther() throws {
    let bad = try TestGuest(code: [0x0F, 0x0B])  // ud2
    let good = try TestGuest(on: bad.hypervisor, code: Code.show(TestGuest.data, 2) + Code.shutdown(TestGuest.data + 0x100), data: Array("ok".utf8))
    bad.run()
    good.run()
    #expect(bad.domain.state == .shutdown(.crash))
    #expect(good.domain.state == .shutdown(.poweroff))
    #expect(good.text == "ok")
    #expect(bad.hypervisor.console.lines.contains { $0.text.contains("no handler for vector 6") })
  }

  @Test func privilegedInstructionsOfTheKernelAreCarriedOut() throws {
    // mov rax, cr0; store; then CPUID behind the forced-emulation prefix with leaf 40000000H; store EBX.
    let code: [UInt8] = [0x0F, 0x20, 0xC0] + Code.storeResult(at: TestGuest.data)
      + [0xB8, 0, 0, 0, 0x40, 0x0F, 0x0B, 0x78, 0x65, 0x6E, 0x0F, 0xA2, 0x89, 0xD8] + Code.storeResult(at: TestGuest.data + 8)
      + Code.shutdown(TestGuest.data + 0x100)
    let guest = try TestGuest(code: code)
    guest.run()
    #expect(guest.domain.state == .shutdown(.poweroff))
    #expect(guest.word(at: TestGuest.data) & 0x8000_0001 == 0x8000_0001)
    #expect(guest.word(at: TestGuest.data + 8) == 0x566E_6558)
  }

  @Test(arguments: [
    (0, UInt64.max, TestGuest.entry), (0, 0xFFFF_FFFF_FFFF_F000, TestGuest.entry), (0, 0xFFFF_8000_0000_0000, TestGuest.entry),
    (0, 0x7FFF_FFFF_F000, TestGuest.entry), (0, 0x8000_0000_0000, TestGuest.entry), (0, 0x8000_0000, 0x8000_0000_0000),
    (0x7FFF_FFFF_0000, 0x8000_0000, 0x7FFF_FFFF_1000), (0xFFFF_FFFF_FFFF_F000, 0x8000_0000, 0xFFFF_FFFF_FFFF_F000),
  ] as [(UInt64, UInt64, UInt64)])
  func aKernelThatNamesAddressesOutsideItsPartIsRefused(base: UInt64, p2m: UInt64, entry: UInt64) throws {
    let h = Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
    final class Nobody: EventService { func guestNotified(_ domain: Domain, port: EventPort) {} }
    let kernel = ParavirtualKernel(
      segments: [.init(address: 0x1000, bytes: [0xEB, 0xFE], size: 2)], entry: entry, virtualBase: base, isCompat: false,
      hypercallPage: nil, initialP2M: p2m, modulesByPFN: false)
    let failure = #expect(throws: BuildError.self) {
      try h.build(DomainRequest(name: "odd", memoryBytes: 4 << 20), kernel: .paravirtual(kernel), store: Nobody())
    }
    #expect(failure?.description.contains("where no guest can have it") == true)
  }

  @Test func whatAGuestWritesToTheConsoleIsInTheLog() throws {
    let guest = try TestGuest(code: Code.show(TestGuest.data, 7) + Code.shutdown(TestGuest.data + 0x100), data: Array("a\u{1b}b\r\nc".utf8))
    guest.domain.writeToConsole([UInt8](repeating: 0x78, count: 300) + [10])
    guest.run()
    #expect(guest.text.hasSuffix("a\u{1b}b\r\nc\0"))
    let x = { String(repeating: "x", count: $0) }
    #expect(guest.hypervisor.console.lines.map(\.text) == ["(d1) \(x(256))", "(d1) \(x(44))", "(d1) ab", "(d1) c"])
  }

  /// As under Xen, where console and xenstore are channels to the control domain like others.
  @Test func aResetClosesEveryChannel() throws {
    let self0: [UInt8] = [0xF0, 0x7F]
    let code = Code.hypercall(.eventChannelOp, UInt32(EventChannelOp.reset.rawValue), UInt32(TestGuest.data))
      + Code.storeResult(at: TestGuest.data + 16) + Code.spin
    let guest = try TestGuest(code: code, data: self0 + [UInt8](repeating: 0xAA, count: 62))
    #expect(guest.domain.events.bound.count == 2)
    guest.run(steps: 20)
    #expect(guest.word(at: TestGuest.data + 16) == 0 && guest.domain.events.bound.isEmpty)
    // The console's service does not mistake what has the number now for its own.
    _ = try guest.domain.events.allocate()
    _ = try guest.domain.events.allocate()
    guest.console.type([1])
    guest.console.drain()
    #expect((1...2).allSatisfy { !guest.domain.isPending($0) })
  }

  @Test func unknownHypercallsAreRefused() throws {
    let code = [0xB8, 0x7F, 0, 0, 0, 0x0F, 0x05] + Code.storeResult(at: TestGuest.data)
      + [0x48, 0xB8, 0x1D, 0, 0, 0, 1, 0, 0, 0, 0x0F, 0x05] + Code.storeResult(at: TestGuest.data + 8)
      + Code.hypercall(.domctl) + Code.storeResult(at: TestGuest.data + 16) + Code.shutdown(TestGuest.data + 0x100)
    let guest = try TestGuest(code: code)
    guest.run()
    #expect(guest.word(at: TestGuest.data) == XenError.ENOSYS.result)
    // A number with bits above 31 is none.
    #expect(guest.word(at: TestGuest.data + 8) == XenError.ENOSYS.result)
    #expect(guest.word(at: TestGuest.data + 16) == XenError.EPERM.result)
  }

  @Test func processorTimeFollowsWeights() throws {
    let first = try TestGuest(code: Code.spin, weight: 256)
    let second = try TestGuest(on: first.hypervisor, code: Code.spin, weight: 512)
    let third = try TestGuest(on: first.hypervisor, code: Code.spin, weight: 128)
    for _ in 0..<140 { _ = first.hypervisor.step() }
    let times = [first, second, third].map { Double($0.domain.vcpus[0].schedule.consumed) }
    let total = times.reduce(0, +)
    for (time, share) in zip(times, [256.0, 512, 128].map { $0 / 896 }) {
      #expect(abs(time / total - share) < 0.05 * share + 0.01)
    }
    #expect(first.hypervisor.now == UInt64(total))
  }

  @Test func aDomainThatIsGoneLeavesNothing() throws {
    let probe = try TestGuest(code: Code.spin)
    let free = probe.hypervisor.frames.freeFrames
    let other = try TestGuest(on: probe.hypervisor, code: Code.spin)
    other.run(steps: 3)
    probe.hypervisor.destroy(other.domain)
    #expect(probe.hypervisor.frames.freeFrames == free)
  }
}

extension TestGuest {
  /// The L1 entry that maps an address of the guest's.
  func l1(of linear: UInt64) -> (table: MachineFrameNumber, index: Int)? {
    domain.findL1(linear, root: domain.vcpus[0].kernelRoot)
  }

  /// Eight bytes of the guest's memory.
  func word(at linear: UInt64) -> UInt64 {
    guard let (table, index) = l1(of: linear) else { return 0 }
    return domain.frames.entry(PTE.frame(domain.frames.entry(table, index)), Int(linear & 0xFFF) / 8)
  }
}
