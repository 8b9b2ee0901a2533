import Testing
import VectorOracle
import X86
import X86Decoder

@testable import Processor

extension VectorTests {
  /// What vector instructions refuse and when, which no unprivileged program on a host can show.
  @Suite struct VectorFaultTests {
    private let cpu = VectorMachine.shared
    private static let memory = VECTOR_MEMORY + 2048

    init() {
      VectorMachine.load(cpu, VectorState())
      cpu.s.pointee.mxcsr = 0x1F80
      cpu.s.pointee.rsi = Self.memory
      cpu.s.pointee.rax = ~0
      cpu.s.pointee.rdx = ~0
    }

    /// Executes one instruction; the vector of the exception it raises.
    @discardableResult
    private func run(_ bytes: [UInt8], _ codeSize: CodeSize = .bits64) -> Vector? {
      let i = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: bytes.count, codeSize: codeSize) }
      do throws(Fault) {
        #expect(try cpu.executeVector(i), "\(bytes) is not a vector instruction")
        return nil
      } catch {
        return Vector(rawValue: error.vector)
      }
    }

    private static let addps: [UInt8] = [0x0F, 0x58, 0xC1]
    private static let vaddps: [UInt8] = [0xC5, 0xF0, 0x58, 0xC2]
    private static let paddbMMX: [UInt8] = [0x0F, 0xFC, 0xC1]
    private static let paddb: [UInt8] = [0x66, 0x0F, 0xFC, 0xC1]
    private static let fxsave: [UInt8] = [0x0F, 0xAE, 0x06]
    private static let xsave: [UInt8] = [0x0F, 0xAE, 0x26]
    private static let ldmxcsr: [UInt8] = [0x0F, 0xAE, 0x16]

    // MARK: Availability

    @Test func emulationBit() {
      cpu.s.pointee.cr0 |= CR0.EM | CR0.TS
      #expect(run(Self.addps) == .UD)
      #expect(run(Self.paddb) == .UD)
      #expect(run(Self.paddbMMX) == .UD)
      #expect(run(Self.ldmxcsr) == .UD)
      #expect(run(Self.fxsave) == .NM)
      // VEX instructions do not look at CR0.EM.
      #expect(run(Self.vaddps) == .NM)
    }

    @Test func taskSwitched() {
      cpu.s.pointee.cr0 |= CR0.TS
      for bytes in [Self.addps, Self.paddb, Self.paddbMMX, Self.ldmxcsr, Self.fxsave, Self.xsave, Self.vaddps] { #expect(run(bytes) == .NM) }
    }

    @Test func operatingSystemSupport() {
      cpu.s.pointee.cr0 |= CR0.TS
      cpu.s.pointee.cr4 = 0
      #expect(run(Self.addps) == .UD)
      #expect(run(Self.vaddps) == .UD)
      #expect(run(Self.xsave) == .UD)
      #expect(run(Self.paddbMMX) == .NM)
      cpu.s.pointee.cr4 = CR4.OSXSAVE
      cpu.s.pointee.xcr0 = 3
      #expect(run(Self.vaddps) == .UD)
      #expect(run(Self.addps) == .UD)
    }

    @Test func vexOutsideProtectedMode() {
      cpu.s.pointee.protectedMode = false
      #expect(run(Self.vaddps) == .UD)
      #expect(run(Self.addps) == nil)
    }

    @Test func pendingX87Exception() {
      cpu.s.pointee.x87.statusWord = 0x80
      #expect(run(Self.paddbMMX) == .MF)
      #expect(run([0x0F, 0x77]) == .MF)
      #expect(run(Self.paddb) == nil)
      // CVTPI2PS from memory leaves the x87 unit alone.
      #expect(run([0x0F, 0x2A, 0x06]) == nil)
      #expect(run([0x0F, 0x2A, 0xC1]) == .MF)
    }

    // MARK: SIMD exceptions

    @Test func unmaskedExceptionIsUndefinedWithoutSupport() {
      cpu.vector(1).pointee.q0 = 0x7F80_0001
      cpu.s.pointee.mxcsr = 0x1F00
      let before = cpu.vector(0).pointee
      #expect(run(Self.addps) == .XM)
      #expect(cpu.s.pointee.mxcsr == 0x1F01)
      cpu.s.pointee.cr4 &= ~CR4.OSXMMEXCPT
      #expect(run(Self.addps) == .UD)
      #expect(cpu.vector(0).pointee == before)
    }

    // MARK: Alignment

    @Test func alignment() {
      cpu.s.pointee.rsi = Self.memory + 8
      #expect(run([0x0F, 0x58, 0x06]) == .GP)
      #expect(run([0xC5, 0xF0, 0x58, 0x06]) == nil)
      #expect(run([0xC5, 0xF8, 0x28, 0x06]) == .GP)
      #expect(run([0x0F, 0x10, 0x06]) == nil)
      cpu.s.pointee.rsi = Self.memory + 16
      #expect(run([0xC5, 0xFC, 0x28, 0x06]) == .GP)
      #expect(run([0xC5, 0xF8, 0x28, 0x06]) == nil)
    }

    // MARK: Masks and gathers

    /// VPGATHERQQ ymm0, [rsi + ymm1], ymm2 with a third address that is not canonical.
    @Test func gatherStopsAtFault() {
      cpu.setWords(Self.memory, [1, 2, 3, 4])
      cpu.vector(0).pointee = Vector256(10, 11, 12, 13)
      cpu.vector(1).pointee = Vector256(0, 8, 1 << 62, 24)
      cpu.vector(2).pointee = Vector256(1 << 63, ~0, 1 << 63, 1 << 63)
      let gather: [UInt8] = [0xC4, 0xE2, 0xED, 0x91, 0x04, 0x0E]
      #expect(run(gather) == .GP)
      #expect(cpu.vector(0).pointee == Vector256(1, 2, 12, 13))
      #expect(cpu.vector(2).pointee == Vector256(0, 0, ~0, ~0))
      cpu.vector(1).pointee.q2 = 16
      #expect(run(gather) == nil)
      #expect(cpu.vector(0).pointee == Vector256(1, 2, 3, 4))
      #expect(cpu.vector(2).pointee == Vector256())
    }

    /// VPMASKMOVQ at the end of the canonical addresses.
    @Test func maskedMoveTouchesOnlyItsLanes() {
      cpu.s.pointee.rsi = 0x7FFF_FFFF_FFF0
      cpu.vector(1).pointee = Vector256(~0, 0, 0, 0)
      let load: [UInt8] = [0xC4, 0xE2, 0xF5, 0x8C, 0x06]
      let store: [UInt8] = [0xC4, 0xE2, 0xF5, 0x8E, 0x06]
      #expect(run(load) == nil)
      #expect(run(store) == nil)
      cpu.vector(1).pointee = Vector256(~0, 0, ~0, 0)
      #expect(run(load) == .GP)
      // A store that faults in a later lane has written none.
      cpu.s.pointee.rsi = Self.memory
      cpu.setWords(Self.memory, [5, 6])
      cpu.vector(0).pointee = Vector256(70, 71, 72, 73)
      cpu.s.pointee.rsi = 0x7FFF_FFFF_FFF0
      #expect(run(store) == .GP)
      #expect(cpu.words(Self.memory, 2) == [5, 6])
    }

    /// MASKMOVDQU with FS as its segment.
    @Test func maskedStoreHeedsSegmentOverride() {
      cpu.setWords(Self.memory, [0, 0, 0, 0])
      cpu.s.pointee.fs.base = 16
      defer { cpu.s.pointee.fs.base = 0 }
      cpu.s.pointee.rdi = Self.memory
      cpu.vector(0).pointee = Vector256(0x0807_0605_0403_0201, 0x1817_1615_1413_1211)
      cpu.vector(1).pointee = Vector256(0x80, 1 << 63)
      #expect(run([0x64, 0x66, 0x0F, 0xF7, 0xC1]) == nil)
      #expect(cpu.words(Self.memory, 4) == [0, 0, 1, 0x18 << 56])
    }

    // MARK: Registers that do not exist outside 64-bit mode

    @Test func zeroAllOutside64BitMode() {
      for n: UInt8 in 0..<16 { cpu.vector(n).pointee = Vector256(1, 2, 3, 4) }
      cpu.s.pointee.codeSize = .bits32
      #expect(run([0xC5, 0xFC, 0x77], .bits32) == nil)
      #expect(cpu.vector(7).pointee == Vector256())
      #expect(cpu.vector(8).pointee == Vector256(1, 2, 3, 4))
    }

    // MARK: Extended state

    @Test func initialComponentsAreSkipped() {
      cpu.setWords(Self.memory, [UInt64](repeating: ~0, count: 104))
      cpu.setWords(Self.memory + 512, [UInt64](repeating: 0, count: 8))
      cpu.s.pointee.x87 = X87State()
      cpu.s.pointee.x87.controlWord = 0x37F
      for n: UInt8 in 0..<16 { cpu.vector(n).pointee = Vector256() }
      cpu.vector(3).pointee.q2 = 33
      #expect(cpu.componentsInUse() == XSaveLayout.avx)
      // XSAVEOPT: only AVX, and MXCSR with it.
      #expect(run([0x0F, 0xAE, 0x36]) == nil)
      #expect(cpu.words(Self.memory, 5) == [~0, ~0, ~0, 0xFFFF_0000_1F80, ~0])
      #expect(cpu.words(Self.memory + 160, 2) == [~0, ~0])
      #expect(cpu.words(Self.memory + 512, 2) == [4, 0])
      #expect(cpu.words(Self.memory + 576 + 48, 1) == [33])
      // XSAVEC: MXCSR belongs to SSE and is in use when not 1F80H.
      cpu.s.pointee.mxcsr = 0x3F80
      #expect(run([0x0F, 0xC7, 0x26]) == nil)
      #expect(cpu.words(Self.memory + 512, 2) == [6, 1 << 63 | 7])
      #expect(cpu.words(Self.memory + 160, 2) == [0, 0])
      // XSAVE stores all.
      #expect(run(Self.xsave) == nil)
      #expect(cpu.words(Self.memory, 1) == [0x37F])
    }

    @Test func supervisorForms() {
      let (xsaves, xrstors): ([UInt8], [UInt8]) = ([0x0F, 0xC7, 0x2E], [0x0F, 0xC7, 0x1E])
      cpu.setWords(Self.memory + 512, [UInt64](repeating: 0, count: 8))
      // The standard format is not for XRSTORS.
      #expect(run(xrstors) == .GP)
      cpu.vector(5).pointee = Vector256(1, 2, 3, 4)
      cpu.s.pointee.mxcsr = 0x9F80
      #expect(run(xsaves) == nil)
      cpu.vector(5).pointee = Vector256()
      cpu.s.pointee.mxcsr = 0x1F80
      #expect(run(xrstors) == nil)
      #expect(cpu.vector(5).pointee == Vector256(1, 2, 3, 4))
      #expect(cpu.s.pointee.mxcsr == 0x9F80)
      cpu.s.pointee.cpl = 3
      #expect(run(xsaves) == .GP)
      #expect(run(xrstors) == .GP)
    }

    @Test func protectionKeysAreState() {
      cpu.s.pointee.xcr0 = 7 | XSaveLayout.pkru
      cpu.setWords(Self.memory + 512, [UInt64](repeating: 0, count: 8))
      cpu.s.pointee.pkru = 0x5555_5554
      defer { cpu.s.pointee.pkru = 0 }
      #expect(run(Self.xsave) == nil)
      #expect(cpu.words(Self.memory + 2688, 1) == [0x5555_5554])
      cpu.s.pointee.pkru = 0
      #expect(run([0x0F, 0xAE, 0x2E]) == nil)
      #expect(cpu.s.pointee.pkru == 0x5555_5554)
    }

    @Test func operandsOutsideMemoryFault() {
      cpu.s.pointee.rsi = 1 << 47
      for bytes in [Self.fxsave, Self.xsave, [0x0F, 0xAE, 0x0E], [0x0F, 0xAE, 0x2E], [0x0F, 0x10, 0x06], [0x0F, 0x11, 0x06]] {
        #expect(run(bytes) == .GP)
      }
    }
  }
}

extension CPU {
  fileprivate func setWords(_ address: UInt64, _ words: [UInt64]) {
    for (n, word) in words.enumerated() { try? store64(.ds, address + UInt64(n) * 8, word) }
  }

  fileprivate func words(_ address: UInt64, _ count: Int) -> [UInt64] {
    (0..<count).compactMap { try? load64(.ds, address + UInt64($0) * 8) }
  }
}
