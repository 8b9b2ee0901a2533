import Processor
import Testing
import XenABI

@testable import Hypervisor

/// A hypercall takes a bounded time at once, whatever its arguments: others have their turns.
@Suite struct LongHypercallTests {
  /// Lets a hypercall run to its end; how often it was begun, and the longest time of one go in instructions.
  private func complete(_ v: VCPU, _ arguments: HypercallArguments) throws -> (goes: Int, longest: UInt64, result: UInt64) {
    v.hypervisor.running = v
    var arguments = arguments, goes = 0, longest: UInt64 = 0
    while true {
      v.callStart = v.cpu.s.pointee.retired
      let outcome = try v.memoryOp(arguments)
      goes += 1
      longest = max(longest, v.cpu.s.pointee.retired - v.callStart)
      switch outcome {
      case .again(let next): arguments = next
      case .value(let value): return (goes, longest, value)
      case .done: return (goes, longest, 0)
      }
    }
  }

  @Test(arguments: [GuestPaging.shadow, .nested]) func aBatchOfMovesInThePhysicalAddressSpaceIsInterrupted(_ paging: GuestPaging) throws {
    let h = Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
    let guest = try ShadowPagingTests.Guest(h, paging)
    try guest.enter(.flat, root: 0)
    let count: UInt64 = 20_000
    // A page goes to and fro between two places.
    for n in 0..<count {
      guest.write(0x10_0000 + n * 4, n % 2 == 0 ? 0x300 : 0x301, size: 4)
      guest.write(0x14_0000 + n * 4, n % 2 == 0 ? 0x301 : 0x300, size: 4)
    }
    guest.write(0x30_0000, 0x1234)
    // { domid, space, size, extra, idxs, gpfns, errs }
    guest.write(0x2000, 0x7FF0 | 2 << 16 | count << 32)
    guest.write(0x2008, 0x10_0000 | 0x14_0000 << 32)
    guest.write(0x2010, 0x18_0000)
    let done = try complete(guest.domain.vcpus[0], [MemoryOp.addToPhysmapBatch, 0x2000, 0, 0, 0, 0])
    #expect(done.result == 0)
    #expect(done.goes > 1)
    #expect(done.longest < VCPU.longCall + 10_000)
    #expect(guest.read(0x30_0000) == 0x1234)
    #expect((0..<count).allSatisfy { guest.read(0x18_0000 + ($0 & ~1) * 4) == 0 })
    #expect(h.auditFrames() == [])
  }

  @Test func givingMuchMemoryBackIsInterrupted() throws {
    let h = Hypervisor(memoryBytes: 512 << 20, model: CPUModel.named("x86-64-v3")!)
    let kernel = PVHKernel(segments: [.init(address: 0x1000, bytes: [0xEB, 0xFE], size: 2)], entry: 0x1000)
    final class Nobody: EventService { func guestNotified(_ domain: Domain, port: EventPort) {} }
    let domain = try h.build(DomainRequest(name: "much", memoryBytes: 256 << 20, vcpus: 8, paging: .nested), kernel: .pvh(kernel), store: Nobody()).domain
    let before = domain.frameCount
    func write(_ address: UInt64, _ value: UInt64) {
      h.memory.write(domain.hvm!.memory[GuestFrameNumber(address >> 12)]!.address | address & 0xFFF, value, size: 8)
    }
    // { extent_start, nr_extents, extent_order, mem_flags, domid } in a 32-bit guest
    for n in 0..<UInt64(64) { write(0x3000 + n * 4, 0x4000 + n * 512) }
    write(0x2000, 0x3000 | 64 << 32)
    write(0x2008, 9)
    write(0x2010, 0x7FF0)
    let done = try complete(domain.vcpus[0], [MemoryOp.decreaseReservation, 0x2000, 0, 0, 0, 0])
    #expect(done.result == 64)
    #expect(done.goes > 3)
    #expect(done.longest < VCPU.longCall * 2)
    #expect(domain.frameCount == before - 64 * 512)
    #expect(h.auditFrames() == [])
  }
}

@Suite struct ExhaustionTests {
  @Test func memoryOfDomainsThatEndedServesNewOnes() throws {
    let h = Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
    // Each has its memory and a pool of shadow pages; together they are more than the machine has.
    for _ in 0..<40 {
      let guest = try ShadowPagingTests.Guest(h, .shadow)
      h.destroy(guest.domain)
    }
    #expect(h.auditFrames() == [])
  }

  @Test func aGuestCannotFillTheLog() throws {
    let guest = try TestGuest(code: Code.spin)
    let before = guest.hypervisor.console.lines.count
    for n in 0..<1000 { guest.domain.complain("line \(n)") }
    #expect(guest.hypervisor.console.lines.count == before + 10)
  }
}
