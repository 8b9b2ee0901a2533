#if arch(x86_64)
import IntegerOracle
import Testing
import X86Decoder

@testable import Processor

/// Comparison of integer instructions with the host's silicon: registers, and all flags the manual defines. Flags it leaves
/// undefined are compared on AMD hosts, where the choices were measured, unless the choice follows Intel.
@Suite struct IntegerOracleTests {
  typealias Execute = (CPU, UInt8) throws(Fault) -> Void

  enum Undefined {
    static let none: UInt64 = 0
    static let adjust: UInt64 = 0x10
    static let product: UInt64 = 0xD4
    static let allButZero: UInt64 = 0x895
    static let bitTest: UInt64 = 0x894
    static let all: UInt64 = 0x8D5
  }

  struct Operation {
    let name: String
    let sizes: [UInt8]
    /// Flags that no comparison looks at, and those that only AMD hosts compare.
    let ignored: UInt64
    let onlyAMD: UInt64
    let execute: Execute

    init(
      _ name: String, _ sizes: [UInt8] = [1, 2, 4, 8], ignored: UInt64 = 0, onlyAMD: UInt64 = 0,
      _ execute: @escaping Execute
    ) {
      self.name = name
      self.sizes = sizes
      self.ignored = ignored
      self.onlyAMD = onlyAMD
      self.execute = execute
    }
  }

  // Register numbers of the oracle's A, B, C, D.
  static let a: UInt8 = 0, b: UInt8 = 3, c: UInt8 = 1

  static func binary(_ size: UInt8) -> Instruction { Instruction(.general(a, size), .general(b, size)) }
  static func shift(_ size: UInt8) -> Instruction { Instruction(.general(a, size), .general(c, 1)) }
  static func double(_ size: UInt8) -> Instruction {
    Instruction(.general(a, size), .general(b, size), .general(c, 1))
  }
  static func ternary(_ size: UInt8) -> Instruction {
    Instruction(.general(a, size), .general(b, size), .general(c, size))
  }

  static let edges: [UInt64] = [
    0, 1, 2, 0xF, 0x10, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000,
    0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF,
    0x0123_4567_89AB_CDEF, 0xA5A5_5A5A_C3C3_3C3C,
  ]

  /// The processor and the host must agree on one starting state.
  static func compare(_ test: IntegerTestCPU, _ operation: Operation, _ size: UInt8, _ host: Int32, _ start: HostRegisters)
    -> Bool
  {
    let s = test.s
    s.pointee.rax = start.rax
    s.pointee.rbx = start.rbx
    s.pointee.rcx = start.rcx
    s.pointee.rdx = start.rdx
    test.cpu.setStatusFlags(start.flags)
    if test.run({ cpu throws(Fault) in try operation.execute(cpu, size) }) != nil { return false }
    var expected = start
    host_execute(host, &expected)
    var mask = Flags.status & ~operation.ignored
    if !host_is_amd() { mask &= ~operation.onlyAMD }
    let flags = test.cpu.rflags()
    let explicit = Flags.explicit(flags)
    for cc in 0..<UInt8(16) {
      if test.cpu.condition(cc) != Flags.condition(cc, explicit.result, explicit.aux, FlagKind.explicit) { return false }
    }
    return s.pointee.rax == expected.rax && s.pointee.rbx == expected.rbx && s.pointee.rcx == expected.rcx
      && s.pointee.rdx == expected.rdx && flags & mask == expected.flags & mask
  }

  /// Runs an operation over all pairs of edge values and over random ones, with the flags all clear and all set.
  static func check(_ operation: Operation, counts: [UInt64] = [], skip: (HostRegisters, UInt8) -> Bool = { _, _ in false }) {
    let test = IntegerTestCPU(.bits64)
    var random = SplitMix(state: 42)
    for size in operation.sizes {
      let host = host_operation(operation.name, Int32(size))
      if host < 0 { continue }
      var cases: [HostRegisters] = []
      // Fewer operands where each meets many counts.
      let stride = counts.count > 1 ? 5 : 1
      for (n, x) in edges.enumerated() {
        for (m, y) in edges.enumerated() where (n + m) % stride == 0 {
          let z = random.next()
          cases.append(HostRegisters(rax: x, rbx: y, rcx: z, rdx: m & 1 == 0 ? z : y, flags: 0))
        }
      }
      for _ in 0..<(200 / stride) {
        let narrow = random.next() & 63
        cases.append(
          HostRegisters(rax: random.next() >> narrow, rbx: random.next() >> (random.next() & 63), rcx: random.next(),
                        rdx: random.next() >> narrow, flags: 0))
      }
      var tried = 0
      for k in cases {
        for count in counts.isEmpty ? [k.rcx] : counts {
          var start = k
          start.rcx = counts.isEmpty ? k.rcx : (k.rcx & ~0xFFFF) | count
          if skip(start, size) { continue }
          for flags in [0x202, 0x202 | Flags.status] {
            start.flags = flags
            tried += 1
            if !compare(test, operation, size, host, start) {
              var expected = start
              host_execute(host, &expected)
              Issue.record("""
                \(operation.name) size \(size): rax \(hex(start.rax)) rbx \(hex(start.rbx)) rcx \(hex(start.rcx)) \
                rdx \(hex(start.rdx)) flags \(hex(flags)): host rax \(hex(expected.rax)) rbx \(hex(expected.rbx)) \
                rcx \(hex(expected.rcx)) rdx \(hex(expected.rdx)) flags \(hex(expected.flags)), here \
                rax \(hex(test.s.pointee.rax)) rbx \(hex(test.s.pointee.rbx)) rcx \(hex(test.s.pointee.rcx)) \
                rdx \(hex(test.s.pointee.rdx)) flags \(hex(test.cpu.rflags()))
                """)
              return
            }
          }
        }
      }
      #expect(tried > 0)
    }
  }

  static func hex(_ v: UInt64) -> String { String(v, radix: 16) }

  @Test(arguments: 0..<19)
  func arithmeticAndLogic(_ index: Int) {
    let b = Self.binary
    let operations: [Operation] = [
      Operation("add") { cpu, n throws(Fault) in try cpu.ADD(b(n)) },
      Operation("or", onlyAMD: Undefined.adjust) { cpu, n throws(Fault) in try cpu.OR(b(n)) },
      Operation("adc") { cpu, n throws(Fault) in try cpu.ADC(b(n)) },
      Operation("sbb") { cpu, n throws(Fault) in try cpu.SBB(b(n)) },
      Operation("and", onlyAMD: Undefined.adjust) { cpu, n throws(Fault) in try cpu.AND(b(n)) },
      Operation("sub") { cpu, n throws(Fault) in try cpu.SUB(b(n)) },
      Operation("xor", onlyAMD: Undefined.adjust) { cpu, n throws(Fault) in try cpu.XOR(b(n)) },
      Operation("cmp") { cpu, n throws(Fault) in try cpu.CMP(b(n)) },
      Operation("test", onlyAMD: Undefined.adjust) { cpu, n throws(Fault) in try cpu.TEST(b(n)) },
      Operation("inc") { cpu, n throws(Fault) in try cpu.INC(b(n)) },
      Operation("dec") { cpu, n throws(Fault) in try cpu.DEC(b(n)) },
      Operation("neg") { cpu, n throws(Fault) in try cpu.NEG(b(n)) },
      Operation("not") { cpu, n throws(Fault) in try cpu.NOT(b(n)) },
      Operation("xadd") { cpu, n throws(Fault) in try cpu.XADD(b(n)) },
      Operation("xchg") { cpu, n throws(Fault) in try cpu.XCHG(b(n)) },
      Operation("cmpxchg") { cpu, n throws(Fault) in
        try cpu.CMPXCHG(Instruction(.general(Self.c, n), .general(Self.b, n)))
      },
      Operation("adcx", [4, 8]) { cpu, n throws(Fault) in try cpu.ADCX(b(n)) },
      Operation("adox", [4, 8]) { cpu, n throws(Fault) in try cpu.ADOX(b(n)) },
      Operation("crc32") { cpu, n throws(Fault) in
        try cpu.CRC32(Instruction(.general(Self.a, n == 8 ? 8 : 4), .general(Self.b, n)))
      },
    ]
    #expect(operations.count == 19)
    Self.check(operations[index])
  }

  @Test func multiplication() {
    func one(_ n: UInt8) -> Instruction { Instruction(.general(Self.b, n)) }
    Self.check(Operation("mul", ignored: Undefined.product) { cpu, n throws(Fault) in try cpu.MUL(one(n)) })
    Self.check(Operation("imul", ignored: Undefined.product) { cpu, n throws(Fault) in try cpu.IMUL(one(n)) })
    Self.check(
      Operation("imul2", ignored: Undefined.product) { cpu, n throws(Fault) in try cpu.IMUL(Self.binary(n)) })
    Self.check(
      Operation("imul2", ignored: Undefined.product) { cpu, n throws(Fault) in
        var i = Instruction(.general(Self.a, n), .general(Self.a, n), .general(Self.b, n))
        i.operandSize = n
        try cpu.IMUL(i)
      })
    Self.check(Operation("mulx", [4, 8]) { cpu, n throws(Fault) in try cpu.MULX(Self.ternary(n)) })
  }

  /// The host is asked only where 128-bit arithmetic says that the quotient fits; elsewhere #DE must come.
  @Test func division() {
    func one(_ n: UInt8) -> Instruction { Instruction(.general(Self.b, n)) }
    func dividend(_ r: HostRegisters, _ n: UInt8) -> UInt128 {
      switch n {
      case 1: return UInt128(r.rax & 0xFFFF)
      case 2: return UInt128((r.rax & 0xFFFF) | (r.rdx & 0xFFFF) << 16)
      case 4: return UInt128((r.rax & 0xFFFF_FFFF) | (r.rdx & 0xFFFF_FFFF) << 32)
      default: return UInt128(r.rax) | UInt128(r.rdx) << 64
      }
    }
    let test = IntegerTestCPU(.bits64)
    func faults(_ r: HostRegisters, _ body: (CPU) throws(Fault) -> Void) -> Bool {
      test.s.pointee.rax = r.rax
      test.s.pointee.rbx = r.rbx
      test.s.pointee.rdx = r.rdx
      return test.run(body) == .divide && test.s.pointee.rax == r.rax && test.s.pointee.rdx == r.rdx
    }
    Self.check(
      Operation("div", ignored: Undefined.all) { cpu, n throws(Fault) in try cpu.DIV(one(n)) },
      skip: { r, n in
        let bits = Int(n) * 8
        let divisor = UInt128(r.rbx) & ((1 << bits) - 1)
        if divisor != 0, dividend(r, n) / divisor < 1 << bits { return false }
        #expect(faults(r) { cpu throws(Fault) in try cpu.DIV(one(n)) })
        return true
      })
    Self.check(
      Operation("idiv", ignored: Undefined.all) { cpu, n throws(Fault) in try cpu.IDIV(one(n)) },
      skip: { r, n in
        let bits = Int(n) * 8
        let divisor = Int128(CPU.signExtend(r.rbx, n))
        let value = Int128(bitPattern: dividend(r, n) << (128 - 2 * bits)) >> (128 - 2 * bits)
        if divisor != 0 {
          let (quotient, overflow) = value.dividedReportingOverflow(by: divisor)
          let limit = Int128(1) << (bits - 1)
          if !overflow, quotient < limit, quotient >= -limit { return false }
        }
        #expect(faults(r) { cpu throws(Fault) in try cpu.IDIV(one(n)) })
        return true
      })
  }

  @Test(arguments: 0..<7)
  func shiftsAndRotates(_ index: Int) {
    let i = Self.shift
    let shifts = Undefined.adjust
    let operations: [Operation] = [
      Operation("rol", onlyAMD: Flags.of) { cpu, n throws(Fault) in try cpu.ROL(i(n)) },
      Operation("ror", onlyAMD: Flags.of) { cpu, n throws(Fault) in try cpu.ROR(i(n)) },
      Operation("rcl", onlyAMD: Flags.of) { cpu, n throws(Fault) in try cpu.RCL(i(n)) },
      Operation("rcr", onlyAMD: Flags.of) { cpu, n throws(Fault) in try cpu.RCR(i(n)) },
      Operation("shl", ignored: shifts, onlyAMD: Flags.of | Flags.cf) { cpu, n throws(Fault) in try cpu.SHL(i(n)) },
      Operation("shr", ignored: shifts, onlyAMD: Flags.of | Flags.cf) { cpu, n throws(Fault) in try cpu.SHR(i(n)) },
      Operation("sar", ignored: shifts, onlyAMD: Flags.of) { cpu, n throws(Fault) in try cpu.SAR(i(n)) },
    ]
    Self.check(operations[index], counts: Array(0...66) + [0xFF])
    // By one, OF is defined everywhere.
    let o = operations[index]
    Self.check(Operation(o.name, ignored: shifts, o.execute), counts: [1])
  }

  @Test func doubleShifts() {
    let operations: [(String, Execute)] = [
      ("shld", { cpu, n throws(Fault) in try cpu.SHLD(Self.double(n)) }),
      ("shrd", { cpu, n throws(Fault) in try cpu.SHRD(Self.double(n)) }),
    ]
    for (name, execute) in operations {
      Self.check(Operation(name, [4, 8], ignored: Undefined.adjust, onlyAMD: Flags.of, execute), counts: Array(0...66))
      Self.check(Operation(name, [2], ignored: Undefined.adjust, onlyAMD: Flags.of, execute), counts: Array(0...16))
      // With 16 bits and more than 16 places even the result is undefined; the choice is AMD's.
      if host_is_amd() {
        Self.check(
          Operation(name, [2], ignored: Undefined.adjust, execute), counts: Array(17...31))
      }
    }
  }

  @Test(arguments: 0..<20)
  func bits(_ index: Int) {
    let b = Self.binary, t = Self.ternary
    let wide: [UInt8] = [2, 4, 8], large: [UInt8] = [4, 8]
    let result = Flags.af | Flags.pf
    let operations: [Operation] = [
      Operation("bt", wide, onlyAMD: Undefined.bitTest) { cpu, n throws(Fault) in try cpu.BT(b(n)) },
      Operation("bts", wide, onlyAMD: Undefined.bitTest) { cpu, n throws(Fault) in try cpu.BTS(b(n)) },
      Operation("btr", wide, onlyAMD: Undefined.bitTest) { cpu, n throws(Fault) in try cpu.BTR(b(n)) },
      Operation("btc", wide, onlyAMD: Undefined.bitTest) { cpu, n throws(Fault) in try cpu.BTC(b(n)) },
      Operation("bsf", wide, onlyAMD: Undefined.allButZero) { cpu, n throws(Fault) in try cpu.BSF(b(n)) },
      Operation("bsr", wide, onlyAMD: Undefined.allButZero) { cpu, n throws(Fault) in try cpu.BSR(b(n)) },
      Operation("popcnt", wide) { cpu, n throws(Fault) in try cpu.POPCNT(b(n)) },
      Operation("lzcnt", wide, ignored: Flags.of, onlyAMD: Undefined.bitTest) { cpu, n throws(Fault) in
        try cpu.LZCNT(b(n))
      },
      Operation("tzcnt", wide, ignored: Flags.of, onlyAMD: Undefined.bitTest) { cpu, n throws(Fault) in
        try cpu.TZCNT(b(n))
      },
      Operation("andn", large, onlyAMD: result) { cpu, n throws(Fault) in try cpu.ANDN(t(n)) },
      Operation("bextr", large, ignored: result | Flags.sf) { cpu, n throws(Fault) in try cpu.BEXTR(t(n)) },
      Operation("bzhi", large, onlyAMD: result) { cpu, n throws(Fault) in try cpu.BZHI(t(n)) },
      Operation("pdep", large) { cpu, n throws(Fault) in try cpu.PDEP(t(n)) },
      Operation("pext", large) { cpu, n throws(Fault) in try cpu.PEXT(t(n)) },
      Operation("sarx", large) { cpu, n throws(Fault) in try cpu.SARX(t(n)) },
      Operation("shlx", large) { cpu, n throws(Fault) in try cpu.SHLX(t(n)) },
      Operation("shrx", large) { cpu, n throws(Fault) in try cpu.SHRX(t(n)) },
      Operation("blsi", large, onlyAMD: result) { cpu, n throws(Fault) in try cpu.BLSI(b(n)) },
      Operation("blsmsk", large, onlyAMD: result) { cpu, n throws(Fault) in try cpu.BLSMSK(b(n)) },
      Operation("blsr", large, onlyAMD: result) { cpu, n throws(Fault) in try cpu.BLSR(b(n)) },
    ]
    #expect(operations.count == 20)
    Self.check(operations[index])
    if operations[index].name == "bextr" || operations[index].name == "bzhi" {
      Self.check(operations[index], counts: [0, 1, 31, 32, 63, 64, 65, 0xFF, 0x100, 0x0804, 0x2000, 0x2001, 0x403F, 0xFF40])
    }
  }

  @Test func miscellaneous() {
    func none() -> Instruction { Instruction() }
    Self.check(Operation("rorx", [4]) { cpu, n throws(Fault) in try cpu.RORX(Self.rotateBy(5, n)) })
    Self.check(Operation("rorx", [8]) { cpu, n throws(Fault) in try cpu.RORX(Self.rotateBy(37, n)) })
    Self.check(Operation("bswap", [2, 4, 8]) { cpu, n throws(Fault) in try cpu.BSWAP(Self.binary(n)) })
    Self.check(Operation("lahf", [1]) { cpu, n throws(Fault) in try cpu.LAHF(none()) })
    Self.check(Operation("sahf", [1]) { cpu, n throws(Fault) in try cpu.SAHF(none()) })
    Self.check(Operation("cmc", [1]) { cpu, n throws(Fault) in try cpu.CMC(none()) })
    Self.check(
      Operation("cbw", [2, 4, 8]) { cpu, n throws(Fault) in
        try n == 2 ? cpu.CBW(none()) : n == 4 ? cpu.CWDE(none()) : cpu.CDQE(none())
      })
    Self.check(
      Operation("cwd", [2, 4, 8]) { cpu, n throws(Fault) in
        try n == 2 ? cpu.CWD(none()) : n == 4 ? cpu.CDQ(none()) : cpu.CQO(none())
      })
  }

  static func rotateBy(_ count: UInt64, _ size: UInt8) -> Instruction {
    var i = Instruction(.general(a, size), .general(b, size), .immediate(1))
    i.immediate = count
    return i
  }

  /// All sixteen conditions, over all combinations of the status flags.
  @Test func conditions() {
    let names = ["o", "no", "b", "nb", "z", "nz", "be", "nbe", "s", "ns", "p", "np", "l", "nl", "le", "nle"]
    let test = IntegerTestCPU(.bits64)
    let bits: [UInt64] = [Flags.cf, Flags.pf, Flags.af, Flags.zf, Flags.sf, Flags.of]
    for (cc, name) in names.enumerated() {
      let set = Operation("set" + name, [1]) { cpu, n throws(Fault) in
        var i = Instruction(.general(Self.a, 1))
        i.opcode = 0x90 + UInt8(cc)
        try cpu.SETcc(i)
      }
      let move = Operation("cmov" + name, [2, 4, 8]) { cpu, n throws(Fault) in
        var i = Self.binary(n)
        i.opcode = 0x40 + UInt8(cc)
        try cpu.CMOVcc(i)
      }
      for combination in 0..<64 {
        var flags: UInt64 = 0x202
        for (n, bit) in bits.enumerated() where combination >> n & 1 != 0 { flags |= bit }
        let start = HostRegisters(
          rax: 0x1111_2222_3333_4444, rbx: 0x5555_6666_7777_8888, rcx: 0, rdx: 0, flags: flags)
        for operation in [set, move] {
          for size in operation.sizes {
            let host = host_operation(operation.name, Int32(size))
            #expect(Self.compare(test, operation, size, host, start), "\(operation.name) \(size) \(Self.hex(flags))")
          }
        }
      }
    }
  }
}

/// SplitMix64.
struct SplitMix {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
#endif
