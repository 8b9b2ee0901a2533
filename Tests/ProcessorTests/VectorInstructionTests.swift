import Testing
import VectorOracle
import X86Decoder

@testable import Processor

extension VectorTests {
  /// Every form of every MMX, SSE, AVX, FMA, F16C, AES, PCLMULQDQ and SHA instruction against the host processor.
  @Suite(.enabled(if: vector_oracle_available(), "needs an x86-64 host with AVX2"))
  struct VectorInstructionTests {
    /// Cases for each combination of opcode map, opcode, prefix, VEX.W and VEX.L that is an instruction.
    static let repetitions = 12
    /// Opcodes whose ModRM.reg chooses among several instructions get more.
    private static func repetitions(map: UInt8, opcode: UInt8) -> Int {
      map == 1 && (opcode == 0xAE || (0x71...0x73).contains(opcode)) ? repetitions * 8 : repetitions
    }

    /// ModRM, displacement and immediate: a register, or memory at RSI or RDI; for gathers with a vector index.
    private static func tail(_ random: inout VectorRandom, vsib: Bool) -> [UInt8] {
      let reg = UInt8(random.below(8)) &<< 3
      let immediate = UInt8(truncatingIfNeeded: random.next())
      if vsib {
        return [reg | 4 | 0x40, UInt8(random.below(32)) &<< 3 | 6, UInt8(random.below(32)), immediate]
      }
      switch random.below(4) {
      case 0: return [reg | 6 | UInt8(random.below(2)), immediate, 0, 0]
      case 1: return [reg | 6 | UInt8(random.below(2)) | 0x40, UInt8(random.below(8)) &* 16, immediate, 0]
      default: return [reg | 0xC0 | UInt8(random.below(8)), immediate, 0, 0]
      }
    }

    private static func report(_ comparison: VectorComparison) {
      for line in comparison.differences.prefix(20) { Issue.record("\(line)") }
      #expect(comparison.differences.count == 0)
    }

    /// Registers that the test itself needs must not be written: RSP.
    private static func namesStackPointer(_ bytes: [UInt8]) -> Bool {
      let i = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: bytes.count, codeSize: .bits64) }
      return [i.op0, i.op1, i.op2].contains { $0.kind == .general && $0.register == 4 }
    }

    /// FXSAVE and its kin have their own tests.
    private static func isStateSave(_ bytes: [UInt8]) -> Bool {
      let i = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: bytes.count, codeSize: .bits64) }
      switch i.mnemonic {
      case .FXSAVE, .FXRSTOR, .XSAVE, .XSAVEOPT, .XSAVEC, .XSAVES, .XRSTOR, .XRSTORS: return true
      default: return false
      }
    }

    @Test(arguments: [1, 2, 3] as [UInt8])
    func legacyForms(map: UInt8) {
      let comparison = VectorComparison(seed: UInt64(map))
      for opcode in UInt8.min...UInt8.max {
        // Escapes to the other maps.
        if map == 1, opcode == 0x38 || opcode == 0x3A { continue }
        for prefix in [nil, 0x66, 0xF3, 0xF2] as [UInt8?] {
          for _ in 0..<Self.repetitions(map: map, opcode: opcode) * 2 {
            var bytes: [UInt8] = prefix.map { [$0] } ?? []
            let tail = Self.tail(&comparison.random, vsib: false)
            if comparison.random.oneIn(2) {
              // REX.B only with register operands: memory is at RSI or RDI.
              let b: UInt8 = tail[0] & 0xC0 == 0xC0 ? UInt8(comparison.random.below(2)) : 0
              bytes.append(0x40 | UInt8(comparison.random.below(2)) &<< 3 | UInt8(comparison.random.below(2)) &<< 2 | b)
            }
            bytes += map == 1 ? [0x0F] : map == 2 ? [0x0F, 0x38] : [0x0F, 0x3A]
            bytes.append(opcode)
            bytes += tail + [0, 0, 0, 0]
            if Self.namesStackPointer(bytes) || Self.isStateSave(bytes) { continue }
            comparison.compare(bytes, prepare: { instruction, state in
              // The manual wants the memory of SHA instructions aligned (exception type 4); AMD processors do not.
              if instruction.mnemonic.isSHA { alignPointers(&state) }
            })
          }
        }
      }
      #expect(comparison.executed > 500)
      Self.report(comparison)
    }

    @Test(arguments: [1, 2, 3] as [UInt8])
    func vexForms(map: UInt8) {
      let comparison = VectorComparison(seed: 100 + UInt64(map))
      for opcode in UInt8.min...UInt8.max {
        for control in UInt8(0)..<16 {
          for _ in 0..<Self.repetitions(map: map, opcode: opcode) {
            let vsib = map == 2 && opcode & 0xFC == 0x90
            let tail = Self.tail(&comparison.random, vsib: vsib)
            let register = tail[0] & 0xC0 == 0xC0
            let r = UInt8(comparison.random.below(2)) &<< 7
            let x: UInt8 = register || vsib ? UInt8(comparison.random.below(2)) &<< 6 : 0x40
            let b: UInt8 = register ? UInt8(comparison.random.below(2)) &<< 5 : 0x20
            let vvvv = comparison.random.oneIn(2) ? 15 : UInt8(comparison.random.below(16))
            // Bits of `control`: W, L and the two of pp.
            let bytes: [UInt8] =
              [0xC4, r | x | b | map, (control & 8) &<< 4 | vvvv &<< 3 | control & 7, opcode] + tail + [0, 0, 0, 0]
            if Self.namesStackPointer(bytes) { continue }
            comparison.compare(bytes, prepare: { instruction, state in
              if !vsib { return }
              // Indices that stay within the memory, and a mask of all kinds.
              let index = Int(instruction.index & 15)
              withUnsafeMutableBytes(of: &state.ymm) { ymm in
                for n in 0..<8 {
                  let wide = opcode & 1 != 0
                  let value = Int64(comparison.random.below(64)) - 32
                  if wide {
                    if n < 4 { ymm.storeBytes(of: value, toByteOffset: index * 32 + n * 8, as: Int64.self) }
                  } else {
                    ymm.storeBytes(of: Int32(value), toByteOffset: index * 32 + n * 4, as: Int32.self)
                  }
                }
              }
            })
          }
        }
      }
      #expect(comparison.executed > 500)
      Self.report(comparison)
    }
  }
}

extension Mnemonic {
  fileprivate var isSHA: Bool { "\(self)".hasPrefix("SHA") }
}

private func alignPointers(_ state: inout VectorState) {
  withUnsafeMutableBytes(of: &state.gpr) { gpr in
    for n in [6, 7] { gpr.storeBytes(of: VECTOR_MEMORY + 4096, toByteOffset: n * 8, as: UInt64.self) }
  }
}
