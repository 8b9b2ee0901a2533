import Testing
import X86
import X86Decoder

@testable import Processor

/// Integer instructions with memory, stack and branches.
@Suite struct IntegerMemoryTests {
  typealias Machine = SystemTestMachine

  private func long() -> Machine {
    let m = Machine()
    m.enterLong()
    return m
  }

  private func protected() -> Machine {
    let m = Machine()
    m.enterProtected()
    return m
  }

  private func real() -> Machine {
    let m = Machine()
    m.enterReal()
    return m
  }

  // MARK: Bit offsets

  /// A register bit offset is signed and reaches beyond the operand.
  @Test(arguments: [-1, 0, 31, 32, 1000, -1000, 65537])
  func bitOffsetsInMemory(_ offset: Int) {
    let m = long()
    let base: UInt64 = 0x30_8000
    m.s.pointee.rbx = base
    m.s.pointee.rcx = UInt64(bitPattern: Int64(offset))
    // BTS [rbx], ecx
    #expect(m.execute([0x0F, 0xAB, 0x0B]) == .done)
    let byte = UInt64(bitPattern: Int64(base) + Int64(offset >> 3))
    #expect(m.get8(byte) == 1 << (offset & 7) && !m.cpu.cf)
    // BTR
    #expect(m.execute([0x0F, 0xB3, 0x0B]) == .done)
    #expect(m.get8(byte) == 0 && m.cpu.cf)
    // BTC with 64 bits
    #expect(m.execute([0x48, 0x0F, 0xBB, 0x0B]) == .done)
    #expect(m.get8(byte) == 1 << (offset & 7) && !m.cpu.cf)
    // BT with 16 bits
    m.s.pointee.rcx &= 0xFFFF
    if offset == Int(Int16(truncatingIfNeeded: offset)) {
      #expect(m.execute([0x66, 0x0F, 0xA3, 0x0B]) == .done)
      #expect(m.cpu.cf)
    }
  }

  @Test func immediateBitOffsetStaysInTheOperand() {
    let m = long()
    m.s.pointee.rbx = 0x30_8000
    // BTS dword [rbx], 35
    #expect(m.execute([0x0F, 0xBA, 0x2B, 35]) == .done)
    #expect(m.get32(0x30_8000) == 8)
  }

  // MARK: Write permission

  /// CMPXCHG writes in any case, so a read-only destination faults even when the comparison fails.
  @Test func compareAndExchangeNeedsWritePermission() {
    let m = long()
    m.put64(Machine.pml4 + 0x2000 + 8, 0x20_0085)
    m.cpu.flushTLB(keepGlobal: false)
    m.s.pointee.rbx = 0x3F_0000
    m.s.pointee.rax = 1
    #expect(m.execute([0x0F, 0xB1, 0x0B]) == .fault(14, 3))
    // The read of a read-modify-write faults as a write, too.
    m.s.pointee.rbx = 0x3F_0000
    #expect(m.execute([0x83, 0x03, 0x01]) == .fault(14, 3))
  }

  @Test func compareAndExchange8And16Bytes() {
    let m = long()
    m.s.pointee.rsi = 0x30_0000
    m.put64(0x30_0000, 0x1111_2222_3333_4444)
    m.s.pointee.rax = 0xFFFF_FFFF_3333_4444
    m.s.pointee.rdx = 0xFFFF_FFFF_1111_2222
    m.s.pointee.rbx = 0xAAAA_AAAA
    m.s.pointee.rcx = 0xBBBB_BBBB
    #expect(m.execute([0x0F, 0xC7, 0x0E]) == .done)
    #expect(m.cpu.zf && m.get64(0x30_0000) == 0xBBBB_BBBB_AAAA_AAAA)
    #expect(m.execute([0x0F, 0xC7, 0x0E]) == .done)
    #expect(!m.cpu.zf && m.s.pointee.rax == 0xAAAA_AAAA && m.s.pointee.rdx == 0xBBBB_BBBB)

    m.put64(0x30_0008, 0x99)
    m.s.pointee.rax = 0xBBBB_BBBB_AAAA_AAAA
    m.s.pointee.rdx = 0x99
    m.s.pointee.rbx = 5
    m.s.pointee.rcx = 6
    #expect(m.execute([0x48, 0x0F, 0xC7, 0x0E]) == .done)
    #expect(m.cpu.zf && m.get64(0x30_0000) == 5 && m.get64(0x30_0008) == 6)
    m.s.pointee.rsi = 0x30_0008
    #expect(m.execute([0x48, 0x0F, 0xC7, 0x0E]) == .fault(13, 0))
  }

  // MARK: Stack

  @Test func pushOfTheStackPointerStoresTheOldValue() {
    let m = protected()
    m.s.pointee.rsp = 0x6_0000
    #expect(m.execute([0x54]) == .done)
    #expect(m.get32(0x5_FFFC) == 0x6_0000 && m.s.pointee.rsp == 0x5_FFFC)
    m.put32(0x5_FFFC, 0x1234)
    #expect(m.execute([0x5C]) == .done)
    #expect(m.s.pointee.rsp == 0x1234)
  }

  /// POP [ESP] addresses memory with the incremented pointer, and a fault leaves ESP as it was.
  @Test func popToMemory() {
    let m = protected()
    m.s.pointee.rsp = 0x6_0000
    m.put32(0x6_0000, 0xCAFE)
    #expect(m.execute([0x8F, 0x04, 0x24]) == .done)
    #expect(m.s.pointee.rsp == 0x6_0004 && m.get32(0x6_0004) == 0xCAFE)

    let f = protected()
    f.s.pointee.ds.limit = 0xFFF
    f.s.pointee.ds.fastLimit = 0xFF1
    f.s.pointee.rsp = 0x6_0000
    let fault = f.fault { (cpu) throws(Fault) in
      var i = Instruction(.memory(4), codeSize: .bits32)
      i.displacement = 0x2000
      try cpu.POP(i)
    }
    #expect(fault == .generalProtection())
    #expect(f.s.pointee.rsp == 0x6_0000)
  }

  /// With a 32-bit operand size a selector is pushed as 16 bits.
  @Test func pushOfASelector() {
    let m = protected()
    m.put32(0x5_FFFC, 0xFFFF_FFFF)
    #expect(m.execute([0x1E]) == .done)
    #expect(m.get32(0x5_FFFC) == 0xFFFF_0000 | UInt32(Machine.data0) && m.s.pointee.rsp == 0x5_FFFC)
    #expect(m.execute([0x07]) == .done)
    #expect(m.s.pointee.es.selector == Machine.data0 && m.s.pointee.rsp == 0x6_0000)
    // POP SS holds interrupts back for one instruction.
    m.s.pointee.rsp = 0x5_FFFC
    #expect(m.execute([0x17]) == .done)
    #expect(m.s.pointee.interruptShadow == m.s.pointee.retired && m.s.pointee.shadowIsMovSS)
  }

  @Test func pushAllAndPopAll() {
    for bits16 in [false, true] {
      let m = protected()
      for n in 0..<8 as Range<UInt8> where n != 4 { m.cpu.setGPR(n, 0x1111_1111 * UInt64(n + 1)) }
      let size: UInt64 = bits16 ? 2 : 4
      #expect(m.execute(bits16 ? [0x66, 0x60] : [0x60]) == .done)
      #expect(m.s.pointee.rsp == 0x6_0000 - 8 * size)
      for n in 0..<8 as Range<UInt64> {
        let value: UInt64 = n == 4 ? 0x6_0000 : 0x1111_1111 * (n + 1)
        let at = 0x6_0000 - (n + 1) * size
        #expect(bits16 ? UInt64(m.get16(at)) == value & 0xFFFF : UInt64(m.get32(at)) == value)
      }
      for n in 0..<8 as Range<UInt8> where n != 4 { m.cpu.setGPR(n, 0xEEEE_EEEE) }
      #expect(m.execute(bits16 ? [0x66, 0x61] : [0x61]) == .done)
      #expect(m.s.pointee.rsp == 0x6_0000)
      for n in 0..<8 as Range<UInt8> where n != 4 {
        let whole: UInt64 = 0x1111_1111 * UInt64(n + 1)
        #expect(m.cpu.gpr(n) == (bits16 ? 0xEEEE_0000 | whole & 0xFFFF : whole))
      }
    }
  }

  /// Nothing changes when the last of PUSHA's eight words does not fit.
  @Test func pushAllFaultsAsAWhole() {
    let m = real()
    m.s.pointee.rsp = 7
    m.put16(5, 0x5555)
    let fault = m.fault { (cpu) throws(Fault) in
      var i = Instruction(codeSize: .bits16)
      i.operandSize = 2
      try cpu.PUSHA(i)
    }
    #expect(fault == .stack())
    #expect(m.get16(5) == 0x5555 && m.s.pointee.rsp == 7)
  }

  /// Levels 0 to 3 of ENTER against the manual's picture, and LEAVE back.
  @Test(arguments: [0, 1, 2, 3])
  func nestedFrames(_ level: UInt8) {
    let m = protected()
    m.s.pointee.rbp = 0x5_8000
    m.put32(0x5_7FFC, 0xAAAA_0001)
    m.put32(0x5_7FF8, 0xAAAA_0002)
    #expect(m.execute([0xC8, 0x20, 0x00, level]) == .done)
    let frame: UInt64 = 0x5_FFFC
    #expect(m.get32(frame) == 0x5_8000 && m.s.pointee.rbp == frame)
    #expect(m.s.pointee.rsp == frame - 4 * UInt64(level) - 0x20)
    if level > 1 { #expect(m.get32(frame - 4) == 0xAAAA_0001) }
    if level > 2 { #expect(m.get32(frame - 8) == 0xAAAA_0002) }
    if level > 0 { #expect(UInt64(m.get32(frame - 4 * UInt64(level))) == frame) }
    #expect(m.execute([0xC9]) == .done)
    #expect(m.s.pointee.rsp == 0x6_0000 && m.s.pointee.rbp == 0x5_8000)
  }

  // MARK: Branches

  @Test func branchTargetsAreCheckedBeforeAnythingChanges() {
    let m = protected()
    m.s.pointee.cs.limit = 0x9FFF
    m.s.pointee.rax = 0xA000
    let rsp = m.s.pointee.rsp
    let target = { (opcode: Operand) -> Instruction in
      var i = Instruction(opcode, codeSize: .bits32)
      i.operandSize = 4
      return i
    }
    let call = target(.general(0, 4))
    #expect(m.fault { (cpu) throws(Fault) in try cpu.CALL(call) } == .generalProtection())
    #expect(m.fault { (cpu) throws(Fault) in try cpu.JMP(call) } == .generalProtection())
    #expect(m.s.pointee.rsp == rsp)
    m.put32(rsp, 0xA000)
    var ret = Instruction(codeSize: .bits32)
    ret.operandSize = 4
    #expect(m.fault { (cpu) throws(Fault) in try cpu.RET(ret) } == .generalProtection())
    #expect(m.s.pointee.rsp == rsp)
    var loop = Instruction(Operand(kind: .relative), codeSize: .bits32)
    loop.operandSize = 4
    loop.immediate = 0x10_0000
    m.s.pointee.rcx = 5
    #expect(m.fault { (cpu) throws(Fault) in try cpu.LOOP(loop) } == .generalProtection())
    #expect(m.s.pointee.rcx == 5)

    let l = long()
    l.s.pointee.rax = 0x0000_8000_0000_0000
    var jump = Instruction(.general(0, 8))
    jump.operandSize = 8
    #expect(l.fault { (cpu) throws(Fault) in try cpu.JMP(jump) } == .generalProtection())
  }

  @Test func callsAndReturns() {
    let m = long()
    let rip = m.s.pointee.rip
    // CALL +100H; RET 8
    #expect(m.execute([0xE8, 0x00, 0x01, 0x00, 0x00]) == .done)
    #expect(m.s.pointee.rip == rip + 0x105 && m.get64(m.s.pointee.rsp) == rip + 5)
    #expect(m.execute([0xC2, 0x08, 0x00]) == .done)
    #expect(m.s.pointee.rip == rip + 5 && m.s.pointee.rsp == 0x6_0008)
    // CALL [rsp]: the target is read before the push.
    m.put64(0x6_0008, 0x9100)
    #expect(m.execute([0xFF, 0x14, 0x24]) == .done)
    #expect(m.s.pointee.rip == 0x9100)
  }

  /// A 16-bit operand size truncates the target.
  @Test func sixteenBitBranchesWrap() {
    let m = real()
    m.s.pointee.rip = 0x9000
    // JMP -9010H
    #expect(m.execute([0xE9, 0xED, 0x6F]) == .done)
    #expect(m.s.pointee.rip == 0xFFF0)
  }

  @Test func loopsCountWithTheAddressSize() {
    let m = long()
    m.s.pointee.rcx = 0x1_0000_0001
    let rip = m.s.pointee.rip
    // LOOP with a 32-bit counter: it reaches zero, and the upper half goes.
    #expect(m.execute([0x67, 0xE2, 0x10]) == .done)
    #expect(m.s.pointee.rcx == 0 && m.s.pointee.rip == rip + 3)
    m.s.pointee.rip = rip
    // JECXZ
    m.s.pointee.rcx = 0x1_0000_0000
    #expect(m.execute([0x67, 0xE3, 0x10]) == .done)
    #expect(m.s.pointee.rip == rip + 0x13)
    m.s.pointee.rip = rip
    m.cpu.zf = false
    m.s.pointee.rcx = 2
    #expect(m.execute([0xE1, 0x10]) == .done)
    #expect(m.s.pointee.rip == rip + 2 && m.s.pointee.rcx == 1)
  }

  @Test func bound() {
    for (index, inside) in [(-6, false), (-5, true), (0, true), (7, true), (8, false)] {
      let m = protected()
      m.s.pointee.rbx = 0x30_0000
      m.put32(0x30_0000, UInt32(bitPattern: -5))
      m.put32(0x30_0004, 7)
      m.s.pointee.rax = UInt64(UInt32(bitPattern: Int32(index)))
      #expect(m.execute([0x62, 0x03]) == (inside ? .done : .fault(5, nil)))
    }
  }

  // MARK: Decimal arithmetic

  /// Sums and differences of all pairs of two-digit numbers.
  @Test func decimalAdjustment() {
    func bcd(_ n: Int) -> UInt64 { UInt64((n / 10) * 16 + n % 10) }
    let m = protected()
    for x in 0..<100 {
      for y in 0..<100 {
        let a = bcd(x), b = bcd(y)
        m.s.pointee.rax = a
        m.s.pointee.rbx = b
        m.s.pointee.rip = 0x9000
        #expect(m.execute([0x00, 0xD8]) == .done)
        #expect(m.execute([0x27]) == .done)
        let sum = x + y
        #expect(m.s.pointee.rax & 0xFF == bcd(sum % 100) && m.cpu.cf == (sum > 99))
        m.s.pointee.rax = a
        #expect(m.execute([0x28, 0xD8]) == .done)
        #expect(m.execute([0x2F]) == .done)
        let difference = (x - y + 100) % 100
        #expect(m.s.pointee.rax & 0xFF == bcd(difference) && m.cpu.cf == (x < y))
      }
    }
    // AAM, AAD with any base; base 0 divides.
    m.s.pointee.rip = 0x9000
    m.s.pointee.rax = 0x7B
    #expect(m.execute([0xD4, 0x0A]) == .done)
    #expect(m.s.pointee.rax == 0x0C03)
    #expect(m.execute([0xD5, 0x0A]) == .done)
    #expect(m.s.pointee.rax == 0x7B)
    // AAA carries into AH and beyond the low digit.
    m.s.pointee.rax = 0x00FA
    m.cpu.setStatusFlags(0)
    #expect(m.execute([0x37]) == .done)
    #expect(m.s.pointee.rax == 0x0200 && m.cpu.cf && m.cpu.af)
    #expect(m.execute([0xD4, 0x00]) == .fault(0, nil))
  }

  // MARK: Determinism

  @Test func randomNumbersAreAFunctionOfState() {
    let m = long(), n = long()
    n.s.pointee.retired = m.s.pointee.retired
    #expect(m.execute([0x48, 0x0F, 0xC7, 0xF0]) == .done)
    #expect(n.execute([0x48, 0x0F, 0xC7, 0xF0]) == .done)
    #expect(m.s.pointee.rax == n.s.pointee.rax && m.cpu.cf)
    let first = m.s.pointee.rax
    #expect(m.execute([0x48, 0x0F, 0xC7, 0xF0]) == .done)
    #expect(m.s.pointee.rax != first)
    #expect(m.execute([0x48, 0x0F, 0xC7, 0xF8]) == .done)
    #expect(m.s.pointee.rax != first)
  }
}
