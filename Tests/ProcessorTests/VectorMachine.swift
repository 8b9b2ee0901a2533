import Platform
import SoftFloat
import Testing
import VectorOracle
import X86
import X86Decoder

@testable import Processor

/// All tests that share `VectorMachine` and the oracle, one after the other.
@Suite(.serialized) enum VectorTests {}

/// A processor in 64-bit mode without paging (which real ones do not have) whose RAM is the oracle's memory, at the same address.
enum VectorMachine {
  private final class NoBus: ProcessorBus {
    func readPort(_ port: UInt16, size: Int) -> UInt32 { 0 }
    func writePort(_ port: UInt16, _ value: UInt32, size: Int) {}
    func readDevice(_ address: UInt64, size: Int) -> UInt64 { 0 }
    func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {}
    func acknowledgeInterrupt() -> UInt8? { nil }
    var taskPriority: UInt8 = 0
    func readAPICRegister(_ msr: UInt32) -> UInt64? { nil }
    func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { false }
  }

  /// Made once and never freed: a processor holds its environment, and that the bus, without retaining them.
  static let shared: CPU = {
    let memory = PhysicalMemory(limit: 1 << 30)
    if let host = vector_oracle_memory() {
      memory.map(UnsafeMutableRawPointer(host), at: PhysicalAddress(VECTOR_MEMORY), size: UInt64(VECTOR_MEMORY_SIZE), writable: true)
    } else {
      memory.addMemory(at: PhysicalAddress(VECTOR_MEMORY), size: UInt64(VECTOR_MEMORY_SIZE))
    }
    let bus = Unmanaged.passRetained(NoBus())
    let environment = ProcessorEnvironment(
      memory: memory, model: .x86_64v3, codeCache: CodeCache(memory: memory), bus: bus.takeUnretainedValue())
    let cpu = CPU.make(Unmanaged.passRetained(environment).takeUnretainedValue(), index: 0)
    cpu.reset(isINIT: false)
    return cpu
  }()

  /// Puts a state of the oracle into a processor in 64-bit mode with everything enabled.
  static func load(_ cpu: CPU, _ state: VectorState) {
    let s = cpu.s
    s.pointee.codeSize = .bits64
    s.pointee.cpl = 0
    s.pointee.protectedMode = true
    s.pointee.cr0 = CR0.PE | CR0.ET
    s.pointee.cr4 = CR4.OSXSAVE | CR4.OSFXSR | CR4.OSXMMEXCPT
    s.pointee.xcr0 = 7
    s.pointee.mxcsr = state.mxcsr
    withUnsafeBytes(of: state.gpr) { bytes in
      for n in 0..<16 { cpu.setGPR(UInt8(n), bytes.load(fromByteOffset: n * 8, as: UInt64.self)) }
    }
    cpu.setStatusFlags(state.rflags & 0x8D5)
    withUnsafeBytes(of: state.ymm) { bytes in
      for n in 0..<16 { cpu.vector(UInt8(n)).pointee = bytes.load(fromByteOffset: n * 32, as: Vector256.self) }
    }
    withUnsafeBytes(of: state.fx) { bytes in
      let head = bytes.load(as: UInt64.self)
      s.pointee.x87.controlWord = UInt16(truncatingIfNeeded: head)
      s.pointee.x87.statusWord = UInt16(truncatingIfNeeded: head &>> 16) & ~0x3800
      s.pointee.x87.top = UInt8(truncatingIfNeeded: head &>> 27) & 7
      s.pointee.x87.valid = UInt8(truncatingIfNeeded: head &>> 32)
      for n in 0..<8 {
        cpu.physicalRegister(s.pointee.x87.top &+ UInt8(n)).pointee = Extended80(
          significand: bytes.load(fromByteOffset: 32 + n * 16, as: UInt64.self),
          signExponent: bytes.load(fromByteOffset: 40 + n * 16, as: UInt16.self))
      }
    }
  }

  /// The processor's state as the oracle gives it.
  static func store(_ cpu: CPU, _ start: VectorState) -> VectorState {
    var state = start
    let s = cpu.s
    state.mxcsr = s.pointee.mxcsr
    state.rflags = start.rflags & ~0x8D5 | cpu.rflags() & 0x8D5
    withUnsafeMutableBytes(of: &state.gpr) { bytes in
      for n in 0..<16 { bytes.storeBytes(of: cpu.gpr(UInt8(n)), toByteOffset: n * 8, as: UInt64.self) }
    }
    withUnsafeMutableBytes(of: &state.ymm) { bytes in
      for n in 0..<16 { bytes.storeBytes(of: cpu.vector(UInt8(n)).pointee, toByteOffset: n * 32, as: Vector256.self) }
    }
    withUnsafeMutableBytes(of: &state.fx) { bytes in
      let x = s.pointee.x87
      let status = UInt64(x.statusWord | UInt16(x.top) &<< 11)
      bytes.storeBytes(of: UInt64(x.controlWord) | status &<< 16 | UInt64(x.valid) &<< 32, as: UInt64.self)
      for n in 0..<8 {
        let register = cpu.physicalRegister(x.top &+ UInt8(n)).pointee
        bytes.storeBytes(of: register.significand, toByteOffset: 32 + n * 16, as: UInt64.self)
        bytes.storeBytes(of: UInt64(register.signExponent), toByteOffset: 40 + n * 16, as: UInt64.self)
      }
    }
    return state
  }
}
