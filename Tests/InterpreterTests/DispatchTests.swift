import Platform
import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

/// Every instruction the decoder names must be known to `CPU.execute`.
struct DispatchTests {
  /// Encodings found by walking all opcodes: a few byte strings a mnemonic, for a mode.
  private static func encodings(_ codeSize: CodeSize) -> [Mnemonic: [[UInt8]]] {
    var found: [Mnemonic: [[UInt8]]] = [:]
    let decoder = Decoder()
    var bytes = [UInt8](repeating: 0, count: 16)
    func note(_ head: [UInt8]) {
      for k in 0..<16 { bytes[k] = k < head.count ? head[k] : 0 }
      let i = bytes.withUnsafeBytes { decoder.decode($0.baseAddress.unsafelyUnwrapped, available: 16, codeSize: codeSize) }
      switch i.mnemonic {
      case .invalid, .truncated, .tooLong: return
      default: break
      }
      if found[i.mnemonic, default: []].count < 12 { found[i.mnemonic, default: []].append(Array(bytes[0..<Int(i.length)])) }
    }
    let prefixes: [[UInt8]] = codeSize == .bits64
      ? [[], [0x66], [0xF2], [0xF3], [0x48], [0x66, 0x48], [0xF3, 0x48], [0xF2, 0x48], [0x67]]
      : [[], [0x66], [0xF2], [0xF3], [0x67]]
    // Memory at [rSI], which is data, and registers.
    let operands: [UInt8] = (0..<8).map { $0 << 3 | 6 } + (0..<64).map { 0xC0 | $0 } + [0x44, 0x4C]
    for prefix in prefixes {
      for opcode in 0...255 as ClosedRange<UInt8> {
        for operand in operands {
          note(prefix + [opcode, operand])
          note(prefix + [0x0F, opcode, operand])
          note(prefix + [0x0F, 0x38, opcode, operand])
          note(prefix + [0x0F, 0x3A, opcode, operand])
        }
      }
    }
    for map in 1...3 as ClosedRange<UInt8> {
      for last in 0...15 as ClosedRange<UInt8> {
        for opcode in 0...255 as ClosedRange<UInt8> {
          for operand in operands {
            let w = (last & 8) << 4
            // vvvv: 1111 for none, and register 2.
            note([0xC4, 0xE0 | map, w | 0x78 | last & 7, opcode, operand])
            note([0xC4, 0xE0 | map, w | 0x68 | last & 7, opcode, operand])
            if operand == 0x44 || operand == 0x4C { note([0xC4, 0xE0 | map, w | 0x58 | last & 7, opcode, operand, 0x26]) }
          }
        }
      }
    }
    return found
  }

  /// What raises #UD wherever it is executed here, and why.
  private static let refused: [Mnemonic: String] = [
    .UD0: "is #UD", .UD1: "is #UD", .UD2: "is #UD", .RSM: "#UD outside system management",
    .VMCALL: "no VMX", .VMMCALL: "no SVM", .VMFUNC: "no VMX", .VMLAUNCH: "no VMX", .VMRESUME: "no VMX", .VMXON: "no VMX",
    .VMXOFF: "no VMX", .VMPTRLD: "no VMX", .VMPTRST: "no VMX", .VMCLEAR: "no VMX", .VMREAD: "no VMX", .VMWRITE: "no VMX",
    .INVEPT: "no VMX", .INVVPID: "no VMX", .VMRUN: "no SVM", .VMLOAD: "no SVM", .VMSAVE: "no SVM", .STGI: "no SVM",
    .CLGI: "no SVM", .SKINIT: "no SVM", .INVLPGA: "no SVM",
  ]

  @Test func everyMnemonicIsDispatched() {
    let model = CPUModel.x86_64v3.with(adding: FeatureSet(Feature.allCases))
    let m = TestMachine(model: model)
    var missing: [String] = []
    var withoutEncoding: [String] = []
    let long = Self.encodings(.bits64), protected = Self.encodings(.bits32)
    for mnemonic in Mnemonic.allCases {
      switch mnemonic {
      case .invalid, .truncated, .tooLong: continue
      default: break
      }
      let attempts = (long[mnemonic] ?? []).map { (TestMode.paged64, $0) } + (protected[mnemonic] ?? []).map { (TestMode.flat32, $0) }
      if attempts.isEmpty {
        withoutEncoding.append("\(mnemonic)")
        continue
      }
      let known = attempts.contains { executes(m, $0.0, $0.1, mnemonic) }
      if known == (Self.refused[mnemonic] != nil) { missing.append("\(mnemonic) \(attempts[0].1)") }
    }
    #expect(missing.isEmpty, "not dispatched, or refused without need: \(missing)")
    #expect(withoutEncoding.isEmpty)
    #expect(long.count > 900)
  }

  /// Whether the instruction does anything but raise #UD.
  private func executes(_ m: TestMachine, _ mode: TestMode, _ bytes: [UInt8], _ mnemonic: Mnemonic) -> Bool {
    m.prepare(mode)
    m.s.pointee.cr4 |= CR4.FSGSBASE | CR4.PKE | CR4.PCE
    m.s.pointee.rsi = TestMachine.data
    m.s.pointee.rdi = TestMachine.data + 0x100
    m.s.pointee.rcx = 0
    m.write(TestMachine.code, bytes)
    var i = m.memory.host(TestMachine.code).map { Decoder.decode($0, available: 16, codeSize: m.s.pointee.codeSize) } ?? Instruction()
    #expect(i.mnemonic == mnemonic)
    m.cpu.admit(&i)
    m.s.pointee.nextRIP = m.s.pointee.rip &+ UInt64(i.length)
    m.s.pointee.budget = 1
    do throws(Fault) {
      try m.cpu.execute(i)
      return true
    } catch {
      return error.vector != Vector.UD.rawValue
    }
  }
}
