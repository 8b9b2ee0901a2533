import Platform
import Processor
import X86
import X86Decoder

/// Decoding a block: instructions from an entry point to the next jump that is always taken, the end of the page, or the length limit.
/// Conditional jumps do not end a block; they leave it by their links.
struct BlockBuilder {
  /// Most instructions in a block; also how far a run can overshoot its budget.
  static let maximumInstructions = 64

  private let cpu: CPU
  private let page: UnsafeMutablePointer<CodePage>
  private let host: UnsafeRawPointer
  private let decoder = Decoder()
  private let lowering: Lowering
  private let handlers = HandlerTable.addresses

  /// - Parameters:
  ///   - page: the record of the page that RIP is in.
  ///   - host: host address of the page's first byte.
  init(_ cpu: CPU, _ page: UnsafeMutablePointer<CodePage>, host: UnsafeRawPointer) {
    self.cpu = cpu
    self.page = page
    self.host = host
    lowering = Lowering(modeKey: cpu.s.pointee.modeKey, codeSize: cpu.s.pointee.codeSize)
  }

  private struct Slot {
    var instruction = Instruction()
    var offset: UInt64 = 0
    var handler = -1
    var crossesPage = false
  }

  /// Decodes the block at an offset of the page, enters it and returns its first operation.
  func build(at start: UInt64) -> OperationPointer {
    withUnsafeTemporaryAllocation(of: Slot.self, capacity: Self.maximumInstructions) { slots in
      let base = slots.baseAddress.unsafelyUnwrapped
      let (count, end) = decode(base, start)
      return emit(base, count, start: start, end: end)
    }
  }

  // MARK: Decoding

  /// Fills `slots`; returns how many, and the offset behind the last.
  private func decode(_ slots: UnsafeMutablePointer<Slot>, _ start: UInt64) -> (Int, UInt64) {
    let s = cpu.s
    // Offset in the page of the first byte beyond the segment limit.
    var room: UInt64 = 4096
    if s.pointee.modeKey & (1 &<< 3) == 0 {
      let rest = UInt64(s.pointee.cs.limit) &- s.pointee.rip &+ 1
      if rest < 4096 &- start { room = start &+ rest }
    }
    var offset = start
    var count = 0
    while count < Self.maximumInstructions, offset < room {
      if offset == s.pointee.stopOffset, count > 0 { break }
      var instruction = decoder.decode(host + Int(offset), available: Int(room &- offset), codeSize: s.pointee.codeSize)
      if instruction.mnemonic == .truncated {
        // Reaches into the next page or past the limit: a block of its own, fetched with all checks when executed.
        if count > 0 { break }
        slots.initialize(to: Slot(offset: offset, handler: HandlerTable.Outside_Crossing, crossesPage: true))
        return (1, 4096)
      }
      cpu.admit(&instruction)
      (slots + count).initialize(to: Slot(instruction: instruction, offset: offset))
      count += 1
      offset = offset &+ UInt64(instruction.length)
      if ends(instruction) { break }
    }
    return (count, offset)
  }

  /// Whether decoding stops behind an instruction. Conditional jumps that have no fast handler may go on behind as well.
  private func ends(_ i: Instruction) -> Bool {
    switch i.mnemonic {
    case .invalid, .tooLong, .truncated: return true
    case .JO, .JNO, .JB, .JNB, .JZ, .JNZ, .JBE, .JNBE, .JS, .JNS, .JP, .JNP, .JL, .JNL, .JLE, .JNLE: return false
    default: return decoder.map.endsBlock(i.row)
    }
  }

  // MARK: Emitting

  private func emit(_ slots: UnsafeMutablePointer<Slot>, _ count: Int, start: UInt64, end: UInt64) -> OperationPointer {
    // Operations, the jump behind the last, stubs of two slots for each branch and for that jump, decoded instructions of two slots.
    let needed = count + 1 + 2 * (count + 1) + 2 * count
    let first = cpu.codeCache.allocate(needed)
    var free = first + count + 1
    findDeadFlags(slots, count)
    for k in 0..<count {
      lowerSlot(slots + k, first + k, position: k, &free)
    }
    withUnsafeTemporaryAllocation(of: Int.self, capacity: count) { indices in
      let indices = indices.baseAddress.unsafelyUnwrapped
      for k in 0..<count { (indices + k).initialize(to: slots[k].handler) }
      Fusion.fuse(indices, count, first, handlers)
    }
    let last = slots + (count - 1)
    emitEnd(first + count, offset: last.pointee.crossesPage ? 4096 : end, count: count, &free)
    cpu.codeCache.giveBack(needed - (free - first))
    cpu.codeCache.insert(page, offset: start, length: end &- start, first)
    return first
  }

  /// Marks (by `handler` −2) the instructions whose flags nobody reads: later instructions of the block overwrite them before
  /// one reads them, accesses memory (it may fault), or leaves the block.
  private func findDeadFlags(_ slots: UnsafeMutablePointer<Slot>, _ count: Int) {
    let all: UInt32 = 0x8D5
    var live = all
    for k in stride(from: count - 1, through: 0, by: -1) {
      let row = slots[k].instruction.row
      let map = decoder.map
      if slots[k].crossesPage { continue }
      let maybeWritten = map.flagsMaybeModified(row)
      if maybeWritten != 0, maybeWritten & live == 0 { slots[k].handler = -2 }
      if usesMemory(slots[k].instruction) || map.endsBlock(row) || !isPlain(slots[k].instruction) {
        live = all
      } else {
        live = (live & ~map.flagsModified(row)) | map.flagsTested(row)
      }
    }
  }

  @inline(__always)
  private func usesMemory(_ i: Instruction) -> Bool {
    i.hasMemoryOperand || !decoder.map.attributes(i.row).intersection([.stack, .string, .implicitMemory]).isEmpty
  }

  /// Instructions that can neither fault nor be left in the middle when their operands are registers.
  private func isPlain(_ i: Instruction) -> Bool {
    switch i.mnemonic {
    case .MOV: return i.op0.kind == .general && (i.op1.kind == .general || i.op1.kind == .immediate)
    case .ADD, .OR, .AND, .SUB, .XOR, .CMP, .TEST, .INC, .DEC, .NEG, .NOT, .LEA, .MOVZX, .MOVSX, .MOVSXD, .SHL, .SHR, .SAR,
         .ROL, .ROR, .ADC, .SBB, .IMUL, .CBW, .CWDE, .CDQE, .CWD, .CDQ, .CQO, .BSWAP, .NOP, .RORX, .SHLX, .SHRX, .SARX, .SHLD, .SHRD:
      return true
    default: return false
    }
  }

  private func lowerSlot(_ slot: UnsafeMutablePointer<Slot>, _ op: OperationPointer, position: Int, _ free: inout OperationPointer) {
    let flagsDead = slot.pointee.handler == -2
    op.initialize(to: Operation())
    let length = UInt64(slot.pointee.instruction.length)
    op.pointee.count = UInt8(position + 1)
    op.pointee.location = UInt16(slot.pointee.offset) | UInt16(length) &<< 12
    let next = slot.pointee.offset &+ length
    if !slot.pointee.crossesPage {
      // Targets are kept relative to the page, where a displacement near 2 GiB does not fit: the generic function does such a branch,
      // and one that faults.
      if let index = lowering.branch(slot.pointee.instruction, csLimit: cpu.s.pointee.cs.limit),
         let target = Int32(exactly: Int64(next) &+ Int64(bitPattern: slot.pointee.instruction.immediate)), isReachable(target) {
        slot.pointee.handler = index
        op.pointee.handler = handlers[index]
        op.pointee.immediate = Int32(next)
        link(op, to: target, operandSize: slot.pointee.instruction.operandSize, &free)
        return
      }
      if let index = lowering.lower(slot.pointee.instruction, op, next: next, flagsDead: flagsDead) {
        slot.pointee.handler = index
        op.pointee.handler = handlers[index]
        if isFloat(slot.pointee.instruction.mnemonic) { keep(slot.pointee.instruction, distance: op, &free) }
        return
      }
      if isFloat(slot.pointee.instruction.mnemonic) {
        slot.pointee.handler = HandlerTable.Outside_Float
        op.pointee.handler = handlers[HandlerTable.Outside_Float]
        op.pointee.link = 0
        keep(slot.pointee.instruction, distance: op, &free)
        return
      }
      slot.pointee.handler = HandlerTable.Outside_Execute
    }
    op.pointee.handler = handlers[slot.pointee.handler]
    op.pointee.link = UInt(bitPattern: free)
    keep(slot.pointee.instruction, &free)
  }

  /// Stores a decoded instruction behind the block's operations.
  private func keep(_ instruction: Instruction, _ free: inout OperationPointer) {
    UnsafeMutableRawPointer(free).bindMemory(to: DecodedInstruction.self, capacity: 1)
      .initialize(to: DecodedInstruction(instruction: instruction, stamp: 0))
    free += 2
  }

  /// The same with the distance from its operation in the upper half of `link`: for `Outside.executeFloat`, where the fast handlers of
  /// x87 and vector instructions go when they give up.
  private func keep(_ instruction: Instruction, distance op: OperationPointer, _ free: inout OperationPointer) {
    op.pointee.link |= UInt(free - op) &<< 32
    keep(instruction, &free)
  }

  /// x87 and vector instructions stand last in the list of mnemonics.
  private func isFloat(_ mnemonic: Mnemonic) -> Bool { mnemonic.rawValue >= Mnemonic.F2XM1.rawValue }

  /// Whether a branch can go to a target relative to the page: to other than canonical addresses it faults (SDM vol. 2A, CALL, JMP, Jcc).
  private func isReachable(_ target: Int32) -> Bool {
    cpu.s.pointee.codeSize != .bits64 || cpu.isCanonical(cpu.s.pointee.codeBias &+ UInt64(bitPattern: Int64(target)))
  }

  /// Makes the stub for a branch target (an offset relative to the page) and links to it.
  private func link(_ op: OperationPointer, to target: Int32, operandSize: UInt8, _ free: inout OperationPointer) {
    let stub = free
    stub.initialize(to: Operation())
    stub.pointee.immediate = operandSize == 2 ? 0xFFFF : -1
    stub.pointee.displacement = target
    op.pointee.link = UInt(bitPattern: stub)
    // A 16-bit target may wrap to the segment's begin, on another page.
    if target >= 0, target < 4096, operandSize != 2 {
      stub.pointee.handler = handlers[HandlerTable.Control_Resolve]
      stub.pointee.link = UInt(bitPattern: op)
      free += 1
    } else {
      stub.pointee.handler = handlers[HandlerTable.Control_CrossPage]
      UnsafeMutableRawPointer(stub + 1).storeBytes(
        of: JumpCacheEntry(rip: 0, stamp: 0, operation: 0, codeBias: 0), as: JumpCacheEntry.self)
      free += 2
    }
  }

  /// The jump to whatever follows the block.
  private func emitEnd(_ op: OperationPointer, offset: UInt64, count: Int, _ free: inout OperationPointer) {
    op.initialize(to: Operation())
    op.pointee.handler = handlers[HandlerTable.Jmp]
    op.pointee.count = UInt8(count)
    op.pointee.location = UInt16(offset & 0xFFF)
    link(op, to: Int32(offset), operandSize: 8, &free)
  }
}
