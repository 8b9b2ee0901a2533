import Platform
import SoftFloat
import Testing
import X86
import X86Decoder

@testable import Interpreter
@testable import Processor

#if DEBUG
private let rounds = 40
#else
private let rounds = 1500
#endif

/// Fast handlers of x87 and vector instructions against their generic methods: random operands of all classes, all controls. And that
/// the fast handlers are the ones that do the common cases.
struct FloatTests {
  /// An instruction's bytes; memory operands are `[rsi]`, 32 bytes of data.
  struct Code: CustomStringConvertible {
    let bytes: [UInt8]
    var description: String {
      let i = bytes.withUnsafeBytes { Decoder().decode($0.baseAddress.unsafelyUnwrapped, available: bytes.count, codeSize: .bits64) }
      return Disassembler.text(of: i, at: 0)
    }
    init(_ bytes: [UInt8]) { self.bytes = bytes + [UInt8](repeating: 0, count: 16 - bytes.count) }
  }

  /// ModRM bytes: xmm1, xmm2 and xmm1, [rsi]; xmm3 is the first source of VEX forms.
  private static let operands: [UInt8] = [0xCA, 0x0E]

  /// Arithmetic, comparison and conversion of SSE2, with legacy and VEX encodings.
  static let floats: [Code] = {
    var all: [Code] = []
    for modRM in operands {
      for (prefix, pp) in [([], 0), ([0x66], 1), ([0xF3], 2), ([0xF2], 3)] as [([UInt8], UInt8)] {
        for opcode in [0x51, 0x58, 0x59, 0x5A, 0x5B, 0x5C, 0x5D, 0x5E, 0x5F, 0x2A, 0x2C, 0x2D, 0x2E, 0x2F, 0xE6] as [UInt8] {
          for w in [0, 8] as [UInt8] where w == 0 || opcode & 0xFC == 0x2C || opcode == 0x2A {
            all.append(Code(prefix + (w == 0 ? [] : [0x48]) + [0x0F, opcode, modRM]))
            for l in [0, 4] as [UInt8] {
              for vvvv in [0x60, 0x78] as [UInt8] { all.append(Code([0xC4, 0xE1, w << 4 | vvvv | l | pp, opcode, modRM])) }
            }
          }
        }
      }
    }
    return all.filter { !$0.description.contains("bad") }
  }()

  /// VFMADD and its kin in all orders.
  static let fused: [Code] = {
    var all: [Code] = []
    for modRM in operands {
      for opcode in ([0x98, 0xA8, 0xB8] as [UInt8]).flatMap({ base in (0..<8).map { base + $0 } }) {
        for w in [0, 0x80] as [UInt8] {
          for l in [0, 4] as [UInt8] { all.append(Code([0xC4, 0xE2, w | 0x60 | l | 1, opcode, modRM])) }
        }
      }
    }
    return all
  }()

  /// Bit counts, BMI1, BMI2, ADX, with ecx (BLSI and its kin: eax) as destination, edx or memory as a source.
  static let bits: [Code] = {
    var all: [Code] = []
    for modRM in operands {
      for w in [[], [0x48], [0x66]] as [[UInt8]] {
        for opcode in [0xB8, 0xBC, 0xBD] as [UInt8] {
          all.append(Code((w == [0x66] ? w : []) + [0xF3] + (w == [0x66] ? [] : w) + [0x0F, opcode, modRM]))
        }
      }
      for w in [[], [0x48]] as [[UInt8]] {
        all.append(Code([0x66] + w + [0x0F, 0x38, 0xF6, modRM]))
        all.append(Code([0xF3] + w + [0x0F, 0x38, 0xF6, modRM]))
      }
      for w in [0, 0x80] as [UInt8] {
        for (pp, opcode) in [(0, 0xF2), (0, 0xF5), (2, 0xF5), (3, 0xF5), (0, 0xF7)] as [(UInt8, UInt8)] {
          // The other source is eax or edx.
          for vvvv in [0x78, 0x68] as [UInt8] { all.append(Code([0xC4, 0xE2, w | vvvv | pp, opcode, modRM])) }
        }
        for digit in [1, 2, 3] as [UInt8] { all.append(Code([0xC4, 0xE2, w | 0x78, 0xF3, modRM & 0xC7 | digit << 3])) }
      }
    }
    return all.filter { !$0.description.contains("bad") }
  }()

  /// Packed integers: everything of the 0F map that a fast handler might do, 0F38 and 0F3A.
  static let integers: [Code] = {
    var all: [Code] = []
    let main = (0x60...0x6F).map { UInt8($0) } + (0x74...0x76) + (0xD1...0xFE).map { UInt8($0) } + [0x14, 0x15, 0x16, 0x12, 0x54, 0x55, 0x56, 0x57]
    for modRM in operands {
      for opcode in main {
        all.append(Code([0x66, 0x0F, opcode, modRM]))
        for l in [0, 4] as [UInt8] { all.append(Code([0xC4, 0xE1, 0x60 | l | 1, opcode, modRM])) }
      }
      for opcode in [0x70, 0xC6, 0xC4, 0xC5] as [UInt8] {
        for (prefix, pp) in [([0x66], 1), ([0xF3], 2), ([0xF2], 3), ([], 0)] as [([UInt8], UInt8)] {
          for immediate in [0x1B, 0xE4, 0x4E, 0x93] as [UInt8] {
            if prefix != [] || opcode == 0xC6 { all.append(Code(prefix + [0x0F, opcode, modRM, immediate])) }
            for l in [0, 4] as [UInt8] {
              for vvvv in [0x60, 0x78] as [UInt8] { all.append(Code([0xC4, 0xE1, vvvv | l | pp, opcode, modRM, immediate])) }
            }
          }
        }
      }
      for opcode in 0...0x45 as ClosedRange<UInt8> {
        all.append(Code([0x66, 0x0F, 0x38, opcode, modRM]))
        for l in [0, 4] as [UInt8] {
          for vvvv in [0x60, 0x78] as [UInt8] { all.append(Code([0xC4, 0xE2, vvvv | l | 1, opcode, modRM])) }
        }
      }
      for opcode in [0x58, 0x59, 0x5A, 0x78, 0x79, 0x18, 0x19, 0x1A] as [UInt8] {
        for l in [0, 4] as [UInt8] { all.append(Code([0xC4, 0xE2, 0x78 | l | 1, opcode, modRM])) }
      }
      for opcode in [0x0E, 0x0F, 0x14, 0x16, 0x20, 0x22, 0x00, 0x46, 0x38, 0x39, 0x18, 0x19, 0x02, 0x06] as [UInt8] {
        for immediate in [0, 1, 5, 0x0B, 0x13, 0x21, 0xFF] as [UInt8] {
          all.append(Code([0x66, 0x0F, 0x3A, opcode, modRM, immediate]))
          for l in [0, 4] as [UInt8] {
            for w in [0, 0x80] as [UInt8] {
              for vvvv in [0x60, 0x78] as [UInt8] { all.append(Code([0xC4, 0xE3, w | vvvv | l | 1, opcode, modRM, immediate])) }
            }
          }
        }
      }
    }
    // Shifts by constants, of xmm2 to xmm3.
    for (opcode, digits) in [(0x71, [2, 4, 6]), (0x72, [2, 4, 6]), (0x73, [2, 3, 6, 7])] as [(UInt8, [UInt8])] {
      for digit in digits {
        for immediate in [0, 1, 7, 15, 16, 31, 40, 63, 64, 200] as [UInt8] {
          all.append(Code([0x66, 0x0F, opcode, 0xC2 | digit << 3, immediate]))
          for l in [0, 4] as [UInt8] { all.append(Code([0xC4, 0xE1, 0x60 | l | 1, opcode, 0xC2 | digit << 3, immediate])) }
        }
      }
    }
    return all.filter { !$0.description.contains("bad") }
  }()

  /// All x87 instructions but those with environments, and without the transcendental ones, which take long.
  static let x87: [Code] = {
    var all: [Code] = []
    for opcode in 0xD8...0xDF as ClosedRange<UInt8> {
      for digit in 0..<8 as Range<UInt8> {
        if opcode == 0xD9, digit == 4 || digit == 6 { continue }
        if opcode == 0xDD, digit == 4 || digit == 6 { continue }
        all.append(Code([opcode, digit << 3 | 6]))
        if opcode == 0xD9, digit >= 6 { continue }
        for n in [0, 1, 3] as [UInt8] { all.append(Code([opcode, 0xC0 | digit << 3 | n])) }
      }
    }
    all += [[0xD9, 0xFA], [0xD9, 0xFC], [0xDF, 0xE0], [0x9B]].map { Code($0) }
    return all.filter { !$0.description.contains("bad") }
  }()

  // MARK: Random state

  private static func put(_ g: inout SeededGenerator, _ target: UnsafeMutableRawPointer, lanes: Int) {
    for k in 0..<32 / lanes {
      let field: UInt64
      let single = lanes == 4
      let maximum: UInt64 = single ? 0xFF : 0x7FF
      switch g.below(16) {
      case 0: field = 0
      case 1: field = maximum
      case 2: field = UInt64(1 + g.below(2))
      case 3: field = maximum - 1
      case 4...7: field = maximum / 2 + UInt64(g.below(70))
      default: field = maximum / 2 - 3 + UInt64(g.below(8))
      }
      let width: UInt64 = single ? 23 : 52
      var fraction = g.next() >> (64 - width)
      if g.chance(50) { fraction &= (~0 << UInt64(g.below(Int(width) + 1))) & ((1 << width) - 1) }
      let bits = field << width | fraction | UInt64(g.below(2)) << (single ? 31 : 63)
      if single {
        target.storeBytes(of: UInt32(truncatingIfNeeded: bits), toByteOffset: k * 4, as: UInt32.self)
      } else {
        target.storeBytes(of: bits, toByteOffset: k * 8, as: UInt64.self)
      }
    }
  }

  private static func extended(_ g: inout SeededGenerator) -> Extended80 {
    let field: Int
    switch g.below(16) {
    case 0: field = 0
    case 1: field = 0x7FFF
    case 2: field = 0x7FFE - g.below(2)
    case 3: field = 1 + g.below(3)
    case 4...6: field = 0x3FFF + g.below(66)
    case 7: field = g.below(0x8000)
    default: field = 0x3FFC + g.below(8)
    }
    var significand = g.next()
    if g.chance(60) { significand = significand & (~0 << UInt64(g.below(64))) }
    if field != 0, !g.chance(5) { significand |= 1 << 63 }
    if g.chance(8) { return Extended80(significand: 0, signExponent: UInt16(g.below(2)) << 15) }
    return Extended80(significand: significand, signExponent: UInt16(field) | UInt16(g.below(2)) << 15)
  }

  /// Gives both machines the same random registers and data.
  private static func randomise(_ machines: [TestMachine], _ g: inout SeededGenerator) {
    let first = machines[0]
    let lanes = g.pick([4, 8])
    for n in 0..<4 as Range<UInt8> {
      withUnsafeMutableBytes(of: &first.cpu.vector(n).pointee) { put(&g, $0.baseAddress.unsafelyUnwrapped, lanes: lanes) }
    }
    put(&g, first.ram + Int(TestMachine.data), lanes: lanes)
    if g.chance(50) {
      // Equal operands, and small integers for conversions.
      first.cpu.vector(2).pointee.q0 = g.chance(50) ? first.cpu.vector(1).pointee.q0 : UInt64(g.below(1000)) &- 500
    }
    var mxcsr: UInt32 = 0x1F80 | UInt32(g.below(2)) << 5
    if g.chance(25) { mxcsr |= UInt32(g.below(4)) << 13 }
    if g.chance(15) { mxcsr |= UInt32(truncatingIfNeeded: g.next()) & 0x8040 }
    if g.chance(10) { mxcsr &= ~(UInt32(truncatingIfNeeded: g.next()) & 0x1F80) }
    if g.chance(20) { mxcsr |= UInt32(truncatingIfNeeded: g.next()) & 0x3F }
    first.s.pointee.mxcsr = mxcsr
    first.s.pointee.x87 = X87State()
    for n in 0..<8 as Range<UInt8> { first.cpu.physicalRegister(n).pointee = extended(&g) }
    first.s.pointee.x87.top = UInt8(g.below(8))
    first.s.pointee.x87.valid = g.chance(70) ? g.chance(50) ? 0xFF : 0xFF & ~(1 << ((first.s.pointee.x87.top &+ 7) & 7)) : g.byte()
    var control: UInt16 = 0x37F
    if g.chance(20) { control = control & ~0xC00 | UInt16(g.below(4)) << 10 }
    if g.chance(20) { control = control & ~0x300 | UInt16(g.below(4)) << 8 }
    if g.chance(10) { control &= ~(UInt16(truncatingIfNeeded: g.next()) & 0x3F) }
    first.s.pointee.x87.controlWord = control
    first.s.pointee.x87.statusWord = UInt16(truncatingIfNeeded: g.next()) & 0x4700
    if g.chance(30) { first.s.pointee.x87.statusWord |= 0x21 }
    first.cpu.updateErrorSummary()
    first.cpu.setGPR(0, g.chance(30) ? UInt64(g.below(0x4040)) : g.next())
    first.cpu.setGPR(1, g.next())
    first.cpu.setGPR(2, g.chance(10) ? 0 : g.chance(50) ? UInt64(g.below(4000)) &- 2000 : g.next() >> UInt64(g.below(64)))
    first.cpu.setStatusFlags(g.next())
    for other in machines.dropFirst() {
      for n in 0..<4 as Range<UInt8> { other.cpu.vector(n).pointee = first.cpu.vector(n).pointee }
      for n in 0..<3 as Range<UInt8> { other.cpu.setGPR(n, first.cpu.gpr(n)) }
      (other.ram + Int(TestMachine.data)).copyMemory(from: first.ram + Int(TestMachine.data), byteCount: 64)
      other.s.pointee.mxcsr = mxcsr
      other.s.pointee.x87 = first.s.pointee.x87
      other.cpu.setStatusFlags(first.cpu.statusFlags())
    }
  }

  /// What an instruction may change.
  private static func outcome(_ m: TestMachine) -> String {
    func hex(_ v: UInt64) -> String { String(v, radix: 16) }
    let s = m.s
    let x = s.pointee.x87
    let vectors = (0..<4 as Range<UInt8>).map { n in
      let v = m.cpu.vector(n).pointee
      return "\(hex(v.q0)) \(hex(v.q1)) \(hex(v.q2)) \(hex(v.q3))"
    }
    let registers = (0..<8 as Range<UInt8>).map { n in
      let r = m.cpu.physicalRegister(n).pointee
      return "\(hex(UInt64(r.signExponent))):\(hex(r.significand))"
    }
    let data = (0..<4 as Range<UInt64>).map { hex(m.get64(TestMachine.data + $0 * 8)) }
    let general = (0..<8 as Range<UInt8>).map { hex(m.cpu.gpr($0)) }
    return "rip \(hex(s.pointee.rip)) retired \(s.pointee.retired) flags \(hex(m.flags)) mxcsr \(hex(UInt64(s.pointee.mxcsr))) gpr \(general) "
      + "v \(vectors) cw \(hex(UInt64(x.controlWord))) sw \(hex(UInt64(x.statusWord))) top \(x.top) valid \(x.valid) st \(registers) "
      + "last \(hex(x.lastInstruction)) \(x.lastInstructionSelector) \(hex(UInt64(x.lastOpcode))) \(hex(x.lastOperand)) \(x.lastOperandSelector) data \(data)"
  }

  /// Lays the instructions out one in 32 bytes, each with a jump to itself behind it.
  private static func machines(_ codes: [Code]) -> [TestMachine] {
    let all = [TestMachine(), TestMachine()]
    for m in all {
      m.prepare(.paged64)
      m.cpu.setGPR(6, TestMachine.data)
      for (k, code) in codes.enumerated() {
        let length = Self.length(code)
        m.write(place(k), Array(code.bytes[0..<length]) + [0xEB, 0xFE])
      }
    }
    return all
  }
  private static func place(_ k: Int) -> UInt64 { TestMachine.code + 0x100 + UInt64(k % 480) * 32 }
  private static func length(_ code: Code) -> Int {
    Int(code.bytes.withUnsafeBytes { Decoder().decode($0.baseAddress.unsafelyUnwrapped, available: 16, codeSize: .bits64) }.length)
  }

  private func compare(_ codes: [Code], rounds: Int) {
    var failures = 0
    for begin in stride(from: 0, to: codes.count, by: 480) {
      let part = Array(codes[begin..<min(begin + 480, codes.count)])
      let both = Self.machines(part)
      var g = SeededGenerator(UInt64(begin) + 11)
      for _ in 0..<rounds {
        let k = g.below(part.count)
        for _ in 0..<8 {
          Self.randomise(both, &g)
          for m in both {
            m.s.pointee.rip = Self.place(k)
            m.s.pointee.systemFlags &= ~RFLAGS.TF
          }
          let input = Self.outcome(both[0])
          both[0].runBlocks(to: both[0].s.pointee.retired + 2)
          both[1].runSteps(to: both[1].s.pointee.retired + 2)
          let (blocks, steps) = (Self.outcome(both[0]), Self.outcome(both[1]))
          if blocks != steps {
            Issue.record("\(part[k]) \(part[k].bytes[0..<Self.length(part[k])])\nfrom   \(input)\nblocks \(blocks)\nsteps  \(steps)")
            failures += 1
            if failures == 5 { return }
            // The two must go on from the same state.
            both[1].s.pointee.retired = both[0].s.pointee.retired
            for n in 0..<8 as Range<UInt8> { both[1].cpu.setGPR(n, both[0].cpu.gpr(n)) }
          }
          // A fault's handler has changed these.
          for m in both { m.cpu.setGPR(6, TestMachine.data) }
        }
      }
    }
  }

  @Test func floatsEqualSteps() { compare(Self.floats, rounds: rounds * 8) }
  @Test func integersEqualSteps() { compare(Self.integers, rounds: rounds * 4) }
  @Test func fusedEqualSteps() { compare(Self.fused, rounds: rounds * 2) }
  @Test func bitsEqualSteps() { compare(Self.bits, rounds: rounds * 2) }
  @Test func x87EqualsSteps() { compare(Self.x87, rounds: rounds * 8) }

  // MARK: That the fast handlers do it

  /// Runs one instruction by blocks with doubles in xmm1 and xmm2. Returns what is in xmm1, MXCSR's flags, and whether it left the chain.
  private static func scalar(_ m: TestMachine, _ opcode: UInt8, _ a: Double, _ b: Double) -> (Double, flags: UInt32, generic: Bool) {
    m.write(TestMachine.code, [0xF2, 0x0F, opcode, 0xCA, 0xEB, 0xFE])
    m.s.pointee.rip = TestMachine.code
    m.cpu.vector(1).pointee.q0 = a.bitPattern
    m.cpu.vector(2).pointee.q0 = b.bitPattern
    let before = m.s.pointee.genericFloats
    m.runBlocks(to: m.s.pointee.retired + 2)
    return (Double(bitPattern: m.cpu.vector(1).pointee.q0), m.s.pointee.mxcsr & 0x3F, m.s.pointee.genericFloats != before)
  }

  /// Exact operations leave PE clear, the first inexact one sets it, and neither leaves the chain for it.
  @Test func inexactIsFlaggedInTheChain() {
    let m = TestMachine()
    for (opcode, a, b, exact, inexact) in [
      (0x58, 1.5, 2.25, 3.75, 1e-30), (0x5C, 1.5, 2.25, -0.75, 1e-30), (0x59, 1.5, 2.25, 3.375, 1.0 / 3),
      (0x5E, 3.375, 2.25, 1.5, 5.0), (0x51, 0, 2.25, 1.5, 2.0),
    ] as [(UInt8, Double, Double, Double, Double)] {
      m.prepare(.paged64)
      let first = Self.scalar(m, opcode, a, b)
      #expect(first == (exact, 0, false), "opcode \(opcode)")
      let second = Self.scalar(m, opcode, 1.0 / 3, inexact)
      #expect(second.flags == 0x20 && !second.generic, "opcode \(opcode)")
      #expect(Self.scalar(m, opcode, a, b) == (exact, 0x20, false), "opcode \(opcode)")
    }
  }

  /// A denormal operand is the generic method's.
  @Test func denormalsLeaveTheChain() {
    let m = TestMachine()
    m.prepare(.paged64)
    _ = Self.scalar(m, 0x58, 1, 2)
    let denormal = Self.scalar(m, 0x58, 0x1p-1060, 2)
    #expect(denormal.generic && denormal.flags == 0x22 && denormal.0 == 2)
  }

  /// The instructions of compiled x87 code stay in the chain.
  @Test func x87StaysInTheChain() {
    let m = TestMachine()
    m.prepare(.paged64)
    m.cpu.setGPR(6, TestMachine.data)
    m.put64(TestMachine.data, 2.5.bitPattern)
    m.put32(TestMachine.data + 8, 7)
    m.put16(TestMachine.data + 16, 0xF7F)
    let code: [UInt8] = [
      0xDB, 0xE3,  // fninit
      0xDD, 0x06, 0xDB, 0x46, 0x08,  // fld qword [rsi]; fild dword [rsi + 8]
      0xD8, 0xC1, 0xD8, 0xC9, 0xDC, 0xF1, 0xD9, 0xFA,  // fadd st0, st1; fmul st0, st1; fdiv st1, st0; fsqrt
      0xDC, 0x0E, 0xDC, 0x06, 0xD9, 0xC9, 0xDE, 0xC1,  // fmul qword [rsi]; fadd qword [rsi]; fxch; faddp
      0xD9, 0x7E, 0x14, 0xD9, 0x6E, 0x10, 0xDB, 0x56, 0x0C, 0xD9, 0x6E, 0x14,  // fnstcw; fldcw; fist dword [rsi + 12]; fldcw
      0xD9, 0xC0, 0xDB, 0xF1, 0xDF, 0xE0, 0xDA, 0xC9, 0xD8, 0xD1,  // fld st0; fcomi st1; fnstsw ax; fcmove st0, st1; fcom st1
      0xDD, 0x5E, 0x18, 0xDF, 0x7E, 0x20,  // fstp qword [rsi + 24]; fistp qword [rsi + 32]
      0xEB, 0xFE,
    ]
    m.write(TestMachine.code, code)
    m.s.pointee.rip = TestMachine.code
    let before = m.s.pointee.genericFloats
    m.runBlocks(to: 24)
    // FNINIT alone.
    #expect(m.s.pointee.genericFloats == before + 1)
    #expect(m.get32(TestMachine.data + 12) == 24)
    #expect(m.get64(TestMachine.data + 32) == 24)
    #expect(abs(Double(bitPattern: m.get64(TestMachine.data + 24)) - 24.1835) < 0.001)
  }
}
