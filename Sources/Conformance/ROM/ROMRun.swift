import Interpreter
import Machine
import Platform
import Processor
import X86
import X86Decoder

/// A test ROM that reports by ports: POST codes at one, text at another. It takes the place of a BIOS, in a machine that has
/// nothing but a processor, RAM below it and 15 MiB above the first.
///
/// Not modelled: devices; other ports read as ones. No interrupt ever comes, so a HLT ends the run.
public final class ROMRun {
  /// How a run ended.
  public enum End: Sendable, Equatable {
    /// HLT, which nothing can end.
    case halted
    case tripleFault
    /// The instructions allowed are used up.
    case instructionLimit
    /// `isExpired` said so.
    case timeout
  }

  private final class Bus: ProcessorBus {
    let postPort: UInt16
    let outputPort: UInt16?
    var codes: [UInt8] = []
    var output: [UInt8] = []
    /// A ROM that prints without end is cut off.
    static let outputLimit = 64 << 20
    static let codeLimit = 1 << 16

    init(postPort: UInt16, outputPort: UInt16?) {
      self.postPort = postPort
      self.outputPort = outputPort
    }

    func readPort(_ port: UInt16, size: Int) -> UInt32 { size == 4 ? ~0 : (1 << UInt32(size * 8)) - 1 }
    func writePort(_ port: UInt16, _ value: UInt32, size: Int) {
      if port == postPort, codes.count < Self.codeLimit { codes.append(UInt8(truncatingIfNeeded: value)) }
      if port == outputPort, output.count < Self.outputLimit { output.append(UInt8(truncatingIfNeeded: value)) }
    }
    func readDevice(_ address: UInt64, size: Int) -> UInt64 { ~0 }
    func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {}
    func acknowledgeInterrupt() -> UInt8? { nil }
    var taskPriority: UInt8 = 0
    func readAPICRegister(_ msr: UInt32) -> UInt64? { nil }
    func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { false }
  }

  private let memory: PhysicalMemory
  private let bus: Bus
  private let virtual: VirtualCPU

  /// POST codes in the order they came.
  public var codes: [UInt8] { bus.codes }
  public var output: [UInt8] { bus.output }
  public var instructions: UInt64 { virtual.retired }

  /// - Parameters:
  ///   - image: 4 KiB to 512 KiB in pages; its end lies at 1 MiB and at 4 GiB.
  ///   - outputPort: where text goes; nil if the ROM prints nothing.
  /// - Throws: a sentence about a size that cannot be a ROM's.
  public init(_ image: [UInt8], name: String, model: CPUModel, postPort: UInt16, outputPort: UInt16?) throws(MachineError) {
    guard !image.isEmpty, image.count % 4096 == 0, image.count <= 512 << 10 else {
      throw .badImage("\(name) has \(image.count) bytes; a ROM has a multiple of 4096, up to 524288")
    }
    memory = PhysicalMemory(limit: 1 << 32)
    let low: UInt64 = (1 << 20) - UInt64(image.count)
    memory.addMemory(at: PhysicalAddress(0), size: low)
    let rom = memory.addMemory(at: PhysicalAddress(low), size: UInt64(image.count), writable: false)
    image.withUnsafeBytes { rom.copyMemory(from: $0.baseAddress!, byteCount: image.count) }
    memory.map(rom, at: PhysicalAddress((1 << 32) - UInt64(image.count)), size: UInt64(image.count), writable: false)
    memory.addMemory(at: PhysicalAddress(1 << 20), size: 15 << 20)
    bus = Bus(postPort: postPort, outputPort: outputPort)
    virtual = VirtualCPU(index: 0, memory: memory, model: model, codeCache: CodeCache(memory: memory), bus: bus)
  }

  /// Runs from reset until the ROM stops.
  ///
  /// - Parameter isExpired: asked every few million instructions.
  public func run(instructions: UInt64 = .max, isExpired: () -> Bool) -> End {
    while true {
      let left = instructions - virtual.retired
      if left == 0 { return .instructionLimit }
      switch virtual.run(instructions: min(left, 5_000_000)) {
      case .halted, .waitForSIPI: return .halted
      case .shutdown: return .tripleFault
      case .budgetUsed, .stopRequested: if isExpired() { return .timeout }
      }
    }
  }

  /// Where the processor is, and what it would execute next.
  public var place: String {
    let cpu = virtual.cpu, s = cpu.s
    let linear = s.pointee.codeSize == .bits64 ? s.pointee.rip : (s.pointee.cs.base &+ s.pointee.rip) & 0xFFFF_FFFF
    var text = "\(Hex.text(UInt64(s.pointee.cs.selector), 4)):\(Hex.text(s.pointee.rip, 8))"
    if let physical = cpu.translateForDebugger(linear) {
      let bytes = (0..<15 as Range<UInt64>).map { UInt8(truncatingIfNeeded: cpu.readPhysical(physical &+ $0, 1)) }
      let instruction = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: 15, codeSize: s.pointee.codeSize) }
      text += " (\(Disassembler.text(of: instruction, at: s.pointee.rip)))"
    }
    return text
  }

  /// The last exceptions and interrupts, the newest last.
  public var lastEvents: [String] { virtual.cpu.environment.faultLog.recent.suffix(6).map { "\($0)" } }
}
