import Processor
import Testing
import XenABI

@testable import Hypervisor

/// Sharing processors between domains of both kinds.
@Suite struct SchedulerTests {
  /// A domain that does nothing but count, forever.
  private static func spinner(_ h: Hypervisor, _ n: Int, weight: Int, cap: Int = 0) throws -> Domain {
    if n % 2 == 0 { return try TestGuest(on: h, code: Code.spin, weight: weight, cap: cap).domain }
    let kernel = PVHKernel(segments: [.init(address: 0x1000, bytes: Code.spin[...], size: 62)], entry: 0x1000)
    let request = DomainRequest(name: "pvh\(n)", memoryBytes: 4 << 20, weight: weight, cap: cap, paging: n % 4 == 1 ? .shadow : .nested)
    let domain = try h.build(request, kernel: .pvh(kernel), store: Nobody.shared).domain
    h.unpause(domain)
    return domain
  }

  private final class Nobody: EventService {
    nonisolated(unsafe) static let shared = Nobody()
    func guestNotified(_ domain: Domain, port: EventPort) {}
  }

  private static func run(_ h: Hypervisor, for nanoseconds: UInt64) {
    let end = h.now + nanoseconds
    while h.now < end { _ = h.step(limit: end) }
  }

  private static func time(_ d: Domain) -> Double { Double(d.vcpus.reduce(0) { $0 + $1.schedule.consumed }) }

  private static func hypervisor(processors: Int = 1) -> Hypervisor {
    let h = Hypervisor(memoryBytes: 256 << 20, model: CPUModel.named("x86-64-v3")!)
    h.physicalProcessors = processors
    return h
  }

  @Test func eightDomainsShareByWeight() throws {
    let h = Self.hypervisor()
    let weights = [128, 128, 256, 256, 512, 512, 768, 1024]
    let domains = try weights.enumerated().map { try Self.spinner(h, $0.offset, weight: $0.element) }
    Self.run(h, for: 1_500_000_000)
    let total = domains.reduce(0) { $0 + Self.time($1) }
    // Nobody waits while there is work, and the parts are the whole.
    #expect(abs(total - 1.5e9) < 1e6)
    for (d, weight) in zip(domains, weights) {
      let wanted = Double(weight) / Double(weights.reduce(0, +))
      #expect(abs(Self.time(d) / total - wanted) < 0.05 * wanted, "weight \(weight)")
    }
    // One that crashes and one that is destroyed leave the others as they were.
    let before = domains.map(Self.time)
    domains[7].crash("for the test")
    h.destroy(domains[6])
    h.destroy(domains[7])
    Self.run(h, for: 1_000_000_000)
    let rest = weights.dropLast(2).reduce(0, +)
    for n in 0..<6 {
      let wanted = Double(weights[n]) / Double(rest)
      #expect(abs((Self.time(domains[n]) - before[n]) / 1e9 - wanted) < 0.05 * wanted)
      #expect(domains[n].state == .running)
    }
  }

  @Test func capsHold() throws {
    let h = Self.hypervisor()
    let capped = try Self.spinner(h, 0, weight: 1024, cap: 20), other = try Self.spinner(h, 1, weight: 64)
    Self.run(h, for: 600_000_000)
    #expect(abs(Self.time(capped) / 6e8 - 0.2) < 0.01)
    #expect(abs(Self.time(other) / 6e8 - 0.8) < 0.01)
  }

  @Test func severalProcessorsWorkAtOnce() throws {
    let h = Self.hypervisor(processors: 3)
    let domains = try (0..<6).map { try Self.spinner(h, $0, weight: 256) }
    Self.run(h, for: 300_000_000)
    let total = domains.reduce(0) { $0 + Self.time($1) }
    #expect(abs(total / 9e8 - 1) < 0.01)
    for d in domains { #expect(abs(Self.time(d) / total - 1 / 6.0) < 0.05 / 6) }
  }

  @Test func pinningHolds() throws {
    let h = Self.hypervisor(processors: 2)
    let domains = try (0..<3).map { try Self.spinner(h, $0, weight: 256) }
    h.pin(domains[0], vcpu: 0, to: [0])
    h.pin(domains[1], vcpu: 0, to: [0])
    h.pin(domains[2], vcpu: 0, to: [1])
    for _ in 0..<2000 {
      _ = h.step()
      for (n, d) in domains.enumerated() where d.vcpus[0].schedule.consumed > 0 { #expect(d.vcpus[0].schedule.processor == (n == 2 ? 1 : 0)) }
    }
    Self.run(h, for: 500_000_000)
    let alone = Self.time(domains[2])
    #expect(abs(Self.time(domains[0]) / alone - 0.5) < 0.03)
    #expect(abs(Self.time(domains[1]) / alone - 0.5) < 0.03)
  }

  /// What a processor was is the sum of its parts, whatever the others do.
  @Test func runstatesAddUp() throws {
    let h = Self.hypervisor(processors: 2)
    let domains = try (0..<5).map { try Self.spinner(h, $0, weight: 256) }
    Self.run(h, for: 300_000_000)
    let now = h.now
    for d in domains {
      let r = d.vcpus[0].runstate
      let sum = RunStateKind.running.rawValue...RunStateKind.offline.rawValue
      let whole = sum.reduce(UInt64(0)) { $0 + r.total(RunStateKind(rawValue: $1)!, at: now) }
      #expect(whole >= now && whole < now + 2_000_000)
      #expect(r.total(.running, at: now) >= d.vcpus[0].schedule.consumed)
    }
  }
}
