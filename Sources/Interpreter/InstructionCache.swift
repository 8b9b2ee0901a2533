import Platform
import Processor
import X86Decoder

/// Instructions that were decoded before, for the loop that reports them one by one.
///
/// An entry is found by RIP and is good while the jump stamp is the one it was made with, as links between blocks are: the stamp changes with
/// mappings, modes, privileges and writes to bytes that were marked as decoded.
final class InstructionCache {
  private struct Entry {
    var rip: UInt64 = 0
    /// No stamp is 0.
    var stamp: UInt64 = 0
    var instruction = Instruction()
  }

  private static let count = 4096
  private let entries: UnsafeMutablePointer<Entry>

  init() {
    entries = .allocate(capacity: Self.count)
    entries.initialize(repeating: Entry(), count: Self.count)
  }

  deinit { entries.deallocate() }

  /// The instruction at RIP, with all faults of its fetch.
  @inline(__always)
  func instruction(_ cpu: CPU) throws(Fault) -> Instruction {
    let rip = cpu.s.pointee.rip
    let entry = entries + Int(truncatingIfNeeded: (rip ^ (rip &>> 12)) & UInt64(Self.count &- 1))
    if entry.pointee.rip == rip, entry.pointee.stamp == cpu.s.pointee.jumpStamp { return entry.pointee.instruction }
    return try decode(cpu, entry)
  }

  @inline(never)
  private func decode(_ cpu: CPU, _ entry: UnsafeMutablePointer<Entry>) throws(Fault) -> Instruction {
    let instruction = try Fetch.instruction(cpu)
    let offset = cpu.linearRIP & 0xFFF
    let length = UInt64(instruction.length)
    if offset &+ length > 4096 { return instruction }
    guard let page = try BlockLookup.page(cpu) else { return instruction }
    cpu.codeCache.mark(page.pointee.physicalPage, offset: offset, length: length)
    entry.initialize(to: Entry(rip: cpu.s.pointee.rip, stamp: cpu.s.pointee.jumpStamp, instruction: instruction))
    return instruction
  }
}
