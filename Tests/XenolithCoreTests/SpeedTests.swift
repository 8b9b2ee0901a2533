import Foundation
import Testing
import XenolithCore

/// Figures for README, printed when XENOLITH_MEASURE is set: instructions a second with and without hooks, on a loop of integer arithmetic and memory.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["XENOLITH_MEASURE"] != nil))
struct SpeedTests {
  private static let code: [UInt8] = [
    0x8B, 0x04, 0x8B,  // mov eax, [rbx + rcx * 4]
    0x69, 0xC0, 0x35, 0, 0, 0,  // imul eax, eax, 53
    0x01, 0xC2,  // add edx, eax
    0xC1, 0xC2, 0x05,  // rol edx, 5
    0x89, 0x14, 0x8B,  // mov [rbx + rcx * 4], edx
    0xFF, 0xC1,  // inc ecx
    0x81, 0xE1, 0xFF, 0x03, 0, 0,  // and ecx, 3FFh
    0xFF, 0xCE,  // dec esi
    0x75, 0xE3,  // jnz
    0xF4,
  ]

  /// Instructions a second, best of three.
  private func measure(_ count: UInt64, _ prepare: (Core) -> Void) throws -> (speed: Double, edx: UInt64) {
    var best = 0.0, edx: UInt64 = 0
    for _ in 0..<3 {
      let core = try makeCore(Self.code)
      prepare(core)
      core[.rbx] = dataBase
      core[.esi] = .max
      let start = clock()
      #expect(core.run(count: count) == .count)
      best = max(best, Double(count) / (Double(clock() - start) / Double(CLOCKS_PER_SEC)))
      edx = core[.edx]
    }
    return (best, edx)
  }

  @Test func figures() throws {
    let count: UInt64 = 5_000_000
    let plain = try measure(count * 80) { _ in }
    let reference = try measure(count) { _ in }
    var events: UInt64 = 0
    let cases: [(String, UInt64, (Core) -> Void)] = [
      ("no hooks, exits none", count * 80, { $0.exits = .none }),
      ("instruction hook", count, { $0.onInstruction { _, _ in events &+= 1 } }),
      ("instruction hook, elsewhere", count, { $0.onInstruction(in: 0...1) { _, _ in } }),
      ("branch hook", count, { $0.onBranch { _, _ in } }),
      ("memory hook", count, { $0.onMemory { _, _ in } }),
      ("exception hook", count * 80, { $0.onException { _, _ in .proceed } }),
    ]
    print("no hooks: \(Int(plain.speed / 1e6)) million instructions a second")
    for (name, n, prepare) in cases {
      let result = try measure(n, prepare)
      print("\(name): \(Int((result.speed / 1e5).rounded()) / 10).\(Int((result.speed / 1e5).rounded()) % 10) million instructions a second")
      #expect(result.edx == (n == count ? reference.edx : plain.edx))
    }
    #expect(events == 3 * count)
  }
}
