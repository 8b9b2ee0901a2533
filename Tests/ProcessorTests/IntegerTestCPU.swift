import X86
import X86Decoder

@testable import Processor

/// A processor's bare state with one linear range of host memory entered in its TLB: enough to execute integer
/// instructions one at a time, without a machine around it. Accesses outside the range must fault by segment limit, because
/// there are no page tables to look at.
final class IntegerTestCPU {
  let s: UnsafeMutablePointer<CPUState>
  let memory: UnsafeMutableRawPointer
  static let memorySize = 16 * 4096
  private let tlbs = TLBSet()

  var cpu: CPU { CPU(s) }

  init(_ codeSize: CodeSize) {
    let bytes = MemoryLayout<CPUState>.stride
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    s = raw.bindMemory(to: CPUState.self, capacity: 1)
    memory = .allocate(byteCount: Self.memorySize, alignment: 4096)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: Self.memorySize)
    s.pointee.flagKind = FlagKind.explicit
    s.pointee.flagResult = 1
    s.pointee.systemFlags = 2
    s.pointee.codeSize = codeSize
    s.pointee.stackSize = codeSize.rawValue
    s.pointee.protectedMode = codeSize != .bits16
    s.pointee.budget = 1000
    for name in SegmentRegister.allCases { setLimit(name, UInt32(Self.memorySize - 1)) }
    for page in 0..<UInt64(Self.memorySize / 4096) {
      tlbs.fill(
        TLBSet.supervisor, page: page * 4096, host: UInt(bitPattern: memory) + UInt(page * 4096), writable: true, code: 0,
        global: true)
    }
    s.pointee.tlb = tlbs.base(TLBSet.supervisor)
  }

  deinit {
    tlbs.deallocate()
    memory.deallocate()
    s.deallocate()
  }

  func setLimit(_ name: SegmentRegister, _ limit: UInt32) {
    let c = cpu.segment(name)
    c.pointee.limit = limit
    c.pointee.attributes = name == .cs ? 0x9B : 0x93
    c.pointee.usable = true
    c.pointee.fastLimit = limit >= 15 ? UInt64(limit) - 14 : 0
  }

  func bytes(_ at: Int, _ count: Int) -> [UInt8] {
    [UInt8](UnsafeRawBufferPointer(start: memory + at, count: count))
  }

  func setBytes(_ at: Int, _ values: [UInt8]) {
    for (n, v) in values.enumerated() { memory.storeBytes(of: v, toByteOffset: at + n, as: UInt8.self) }
  }

  /// Executes one instruction as the dispatcher would, and returns its fault, if any.
  func run(_ body: (CPU) throws(Fault) -> Void) -> Fault? {
    s.pointee.retireWeight = 1
    do throws(Fault) {
      try body(cpu)
      return nil
    } catch {
      return error
    }
  }
}

extension Operand {
  static func general(_ register: UInt8, _ size: UInt8) -> Operand {
    Operand(kind: .general, register: register, size: size)
  }
  static func memory(_ size: UInt8) -> Operand { Operand(kind: .memory, size: size) }
  static func immediate(_ size: UInt8) -> Operand { Operand(kind: .immediate, size: size) }
}

extension Instruction {
  /// An instruction with the operands given; operand size is the first operand's.
  init(_ op0: Operand = .none, _ op1: Operand = .none, _ op2: Operand = .none, codeSize: CodeSize = .bits64) {
    self.init()
    self.op0 = op0
    self.op1 = op1
    self.op2 = op2
    operandCount = op0.kind == .none ? 0 : op1.kind == .none ? 1 : op2.kind == .none ? 2 : 3
    operandSize = op0.size
    addressSize = codeSize.rawValue
  }
}

extension SystemTestMachine {
  /// Executes one instruction at CS:RIP, after putting it there. Requests to the run loop are taken as served.
  func execute(_ code: [UInt8]) -> Outcome {
    s.pointee.exitRequest = 0
    switch code.count {
    case 1: return run(code[0])
    case 2: return run(code[0], code[1])
    case 3: return run(code[0], code[1], code[2])
    case 4: return run(code[0], code[1], code[2], code[3])
    default: return run(code[0], code[1], code[2], code[3], code[4])
    }
  }
}
