import Testing
import VectorOracle
import X86Decoder

@testable import Processor

extension VectorTests {
  /// FXSAVE, FXRSTOR and the XSAVE family against the host processor.
  @Suite(.enabled(if: vector_oracle_available(), "needs an x86-64 host with AVX2"))
  struct VectorStateSaveTests {
    private static let repetitions = 300

    /// Points RSI at the aligned area, asks for random components, and puts the x87 unit into its initial configuration at times.
    /// The vector registers stay in use: hosts differ in when they notice that they are all zero.
    private static func prepare(_ state: inout VectorState, _ random: inout VectorRandom) {
      let misaligned = random.oneIn(16) ? random.below(64) | 1 : 0
      let components = random.oneIn(3) ? 7 : random.below(16)
      withUnsafeMutableBytes(of: &state.gpr) { gpr in
        gpr.storeBytes(of: components | random.next() &<< 32, toByteOffset: 0, as: UInt64.self)
        gpr.storeBytes(of: random.next() &<< 32, toByteOffset: 2 * 8, as: UInt64.self)
        gpr.storeBytes(of: VectorComparison.areaAddress + misaligned, toByteOffset: 6 * 8, as: UInt64.self)
      }
      if random.oneIn(3) {
        withUnsafeMutableBytes(of: &state.fx) { fx in
          fx.initializeMemory(as: UInt8.self, repeating: 0)
          fx.storeBytes(of: 0x37F, as: UInt64.self)
        }
      }
      if random.oneIn(3) { state.mxcsr = 0x1F80 }
    }

    private static func report(_ comparison: VectorComparison) {
      for line in comparison.differences.prefix(12) { Issue.record("\(line)") }
      #expect(comparison.differences.count == 0)
      #expect(comparison.executed == repetitions)
    }

    private static let saves: [(name: String, bytes: [UInt8], supported: Bool)] = [
      ("FXSAVE", [0x0F, 0xAE, 0x06], true), ("FXSAVE64", [0x48, 0x0F, 0xAE, 0x06], true),
      ("XSAVE", [0x0F, 0xAE, 0x26], true), ("XSAVE64", [0x48, 0x0F, 0xAE, 0x26], true),
      ("XSAVEOPT", [0x0F, 0xAE, 0x36], vector_oracle_has_xsaveopt()), ("XSAVEOPT64", [0x48, 0x0F, 0xAE, 0x36], vector_oracle_has_xsaveopt()),
      ("XSAVEC", [0x0F, 0xC7, 0x26], vector_oracle_has_xsavec()), ("XSAVEC64", [0x48, 0x0F, 0xC7, 0x26], vector_oracle_has_xsavec()),
    ]

    @Test(arguments: saves.filter(\.supported).map(\.name))
    func saving(name: String) {
      let bytes = Self.saves.first { $0.name == name }!.bytes
      let comparison = VectorComparison(seed: 300 + UInt64(bytes.count) + UInt64(bytes.last!))
      comparison.isStateSave = true
      for _ in 0..<Self.repetitions {
        comparison.compare(bytes, prepare: { _, state in Self.prepare(&state, &comparison.random) })
      }
      Self.report(comparison)
    }

    private static let restores: [(name: String, bytes: [UInt8])] = [
      ("FXRSTOR", [0x0F, 0xAE, 0x0E]), ("FXRSTOR64", [0x48, 0x0F, 0xAE, 0x0E]), ("XRSTOR", [0x0F, 0xAE, 0x2E]), ("XRSTOR64", [0x48, 0x0F, 0xAE, 0x2E]),
    ]

    @Test(arguments: restores.map(\.name))
    func restoring(name: String) {
      let bytes = Self.restores.first { $0.name == name }!.bytes
      let comparison = VectorComparison(seed: 400 + UInt64(bytes.count) + UInt64(bytes.last!))
      comparison.isStateSave = true
      for _ in 0..<Self.repetitions {
        comparison.compare(bytes, memory: { memory in
          var random = VectorRandom(seed: comparison.random.next())
          let area = VectorComparison.area
          let status = random.oneIn(2) ? random.below(0x10000) : random.below(8) &<< 11
          memory[area] = (random.oneIn(2) ? 0x37F : random.below(0x10000)) | status &<< 16 | random.below(256) &<< 32
          memory[area + 1] = 0
          memory[area + 2] = 0
          // Reserved bits of MXCSR, but not the one that AMD processors have.
          let reserved = random.oneIn(16) ? UInt64(1) &<< (18 &+ random.below(14)) : 0
          memory[area + 3] = random.below(0x10000) | reserved | 0xFFFF_0000_0000
          let header = area + 64
          let present = random.oneIn(8) ? random.below(16) : random.below(8)
          let compacted = vector_oracle_has_xsavec() && random.oneIn(2)
          memory[header] = present
          memory[header + 1] = compacted ? 1 &<< 63 | present | random.below(random.oneIn(8) ? 16 : 8) : random.oneIn(16) ? random.below(4) : 0
          for n in 2..<8 { memory[header + n] = 0 }
          if random.oneIn(8) { memory[header + 2 + Int(random.below(6))] = 1 &<< random.below(64) }
        }, prepare: { _, state in Self.prepare(&state, &comparison.random) })
      }
      Self.report(comparison)
    }
  }
}
