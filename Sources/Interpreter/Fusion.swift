import Processor
import X86Decoder

/// Replacing the handlers of two or three neighbouring operations by one that does them all. The others keep their own handlers.
enum Fusion {
  /// Lets one handler do as many operations as possible.
  ///
  /// - Parameters:
  ///   - handlers: for each operation of a block the table index it was lowered to.
  ///   - first: the operations; their handlers are replaced.
  static func fuse(_ handlers: UnsafeMutablePointer<Int>, _ count: Int, _ first: OperationPointer, _ addresses: UnsafePointer<UInt>) {
    let pairs = PairIndex.shared
    // From the last operation to the first: `gains[k]` is what the best choice from k on is worth, `choices[k]` that choice at k: a
    // handler and how many operations it covers.
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 3 * count + 2) { scratch in
      let gains = scratch.baseAddress.unsafelyUnwrapped
      let choices = gains + (count + 1)
      let fusions = choices + count
      gains[count] = 0
      for k in stride(from: count - 1, through: 0, by: -1) {
        var best = gains[k + 1], choice = 0, fusion = -1
        if k + 1 < count {
          // Fusions count more than pairs: they save more than the way from one handler to the next.
          if let index = pair(handlers[k], handlers[k + 1], first + k) {
            fusion = index
            if gains[k + 2] + 3 > best {
              best = gains[k + 2] + 3
              choice = index &<< 2 | 2
            }
          }
          if k + 2 < count, fusions[k + 1] >= 0, gains[k + 3] + 5 > best, let index = pairs.find(handlers[k], fusions[k + 1]) {
            best = gains[k + 3] + 5
            choice = index &<< 2 | 3
          }
          if gains[k + 2] + 2 > best, let index = pairs.find(handlers[k], handlers[k + 1]) {
            best = gains[k + 2] + 2
            choice = index &<< 2 | 2
          }
        }
        gains[k] = best
        choices[k] = choice
        fusions[k] = fusion
      }
      var k = 0
      while k < count {
        let choice = choices[k]
        if choice == 0 {
          k += 1
          continue
        }
        first[k].handler = addresses[choice &>> 2]
        // A pair whose second is itself a fusion: execution may be resumed there.
        if choice & 3 == 3 { first[k + 1].handler = addresses[fusions[k + 1]] }
        k += choice & 3
      }
    }
  }

  /// Handler for the pair, or nil. `first` and `second` are the table indices the operations were lowered to.
  static func pair(_ first: Int, _ second: Int, _ op: OperationPointer) -> Int? {
    if second >= HandlerTable.Jcc, second < HandlerTable.Jcc + 16 { return compareAndBranch(first, second - HandlerTable.Jcc, op) }
    if let index = registers(first, second, op) { return index }
    if let width = member(first, HandlerTable.Mov_Reg_Reg, 4), width >= 2 { return afterMove(width, second, op) }
    if let w = member(first, HandlerTable.Push_Reg, 2), second == first { return HandlerTable.Fused_Push_Push + w }
    if let w = member(first, HandlerTable.Pop_Reg, 2), second == first { return HandlerTable.Fused_Pop_Pop + w }
    return nil
  }

  /// Position in a family of `count` members, or nil.
  @inline(__always)
  private static func member(_ index: Int, _ family: Int, _ count: Int) -> Int? {
    index >= family && index < family + count ? index - family : nil
  }

  /// Position of a width of four (8, 16, 32, 64) among those of compare families (8, 32, 64).
  @inline(__always)
  private static func w3(_ width: Int) -> Int? { width == 0 ? 0 : width == 1 ? nil : width - 1 }

  /// Position of a condition among those fused with CMP: all but O, NO, P, NP.
  private static func cmpCondition(_ cc: Int) -> Int? {
    switch cc {
    case 2...9: return cc - 2
    case 12...15: return cc - 4
    default: return nil
    }
  }

  /// Z NZ S NS LE NLE, the conditions fused with TEST; the first four also with operations that write.
  private static func testCondition(_ cc: Int) -> Int? {
    switch cc {
    case 4: return 0
    case 5: return 1
    case 8: return 2
    case 9: return 3
    case 14: return 4
    case 15: return 5
    default: return nil
    }
  }

  private static func compareAndBranch(_ first: Int, _ cc: Int, _ op: OperationPointer) -> Int? {
    let cmp = 5, test = 6
    if let k = member(first, HandlerTable.ALU_Reg_Reg, 28) {
      return registerPair(k, cc, HandlerTable.FusedCmp_Reg_Reg, HandlerTable.FusedTest_Reg_Reg, HandlerTable.Fused_Reg_Reg)
    }
    if let k = member(first, HandlerTable.ALU_Reg_Imm, 28) {
      return registerPair(k, cc, HandlerTable.FusedCmp_Reg_Imm, HandlerTable.FusedTest_Reg_Imm, HandlerTable.Fused_Reg_Imm)
    }
    if let k = member(first, HandlerTable.ALU_Reg_Mem + cmp * 16, 16), let w = w3(k / 4), let c = cmpCondition(cc) {
      return HandlerTable.FusedCmp_Reg_Mem + (w * 4 + k % 4) * 12 + c
    }
    if let k = member(first, HandlerTable.ALU_Mem_Reg + cmp * 16, 16), let w = w3(k / 4), let c = cmpCondition(cc) {
      return HandlerTable.FusedCmp_Mem_Reg + (w * 4 + k % 4) * 12 + c
    }
    if let k = member(first, HandlerTable.ALU_Mem_Imm + cmp * 16, 16), let w = w3(k / 4), let c = cmpCondition(cc) {
      return HandlerTable.FusedCmp_Mem_Imm + (w * 4 + k % 4) * 12 + c
    }
    if let k = member(first, HandlerTable.ALU_Mem_Imm + test * 16, 16), let w = w3(k / 4), cc == 4 || cc == 5 {
      return HandlerTable.FusedTest_Mem_Imm + (w * 4 + k % 4) * 2 + cc - 4
    }
    if let k = member(first, HandlerTable.Step_Reg, 8), k % 4 >= 2, let c = testCondition(cc), c < 4 {
      return HandlerTable.Fused_Step + ((k / 4) * 2 + k % 4 - 2) * 4 + c
    }
    if let w = member(first, HandlerTable.Bit_Reg_Reg, 2) ?? member(first, HandlerTable.Bit_Reg_Imm, 2), cc == 2 || cc == 3 {
      return HandlerTable.Bit_Reg_Jcc + w * 2 + cc - 2
    }
    return nil
  }

  /// `k` is a position in a family [ADD OR AND SUB XOR CMP TEST][8, 16, 32, 64].
  private static func registerPair(_ k: Int, _ cc: Int, _ cmpFamily: Int, _ testFamily: Int, _ otherFamily: Int) -> Int? {
    let operation = k / 4, width = k % 4
    switch operation {
    case 5:
      guard let w = w3(width), let c = cmpCondition(cc) else { return nil }
      return cmpFamily + w * 12 + c
    case 6:
      guard let w = w3(width), let c = testCondition(cc) else { return nil }
      return testFamily + w * 6 + c
    case 0, 2, 3:
      guard width >= 2, let c = testCondition(cc), c < 4 else { return nil }
      return otherFamily + ((operation == 0 ? 0 : operation == 2 ? 1 : 2) * 2 + width - 2) * 4 + c
    default: return nil
    }
  }

  /// Number and width (0: 32, 1: 64 bits) of an operation that chains and feeds are made of.
  private static func step(_ index: Int) -> (number: Int, width: Int)? {
    if let k = member(index, HandlerTable.Mov_Reg_Reg, 4) { return k >= 2 ? (0, k - 2) : nil }
    if let k = member(index, HandlerTable.ALU_Reg_Reg_NoFlags, 10) { return (1 + k / 2, k % 2) }
    if let k = member(index, HandlerTable.ALU_Reg_Imm_NoFlags, 10) { return k / 2 == 0 ? (6, k) : k / 2 == 2 ? (7, k % 2) : nil }
    if let k = member(index, HandlerTable.Shift_Reg_Imm_NoFlags, 6) { return (8 + k / 2, k % 2) }
    if let k = member(index, HandlerTable.Rotate_Reg_Imm_NoFlags, 4) { return (11 + k / 2, k % 2) }
    return nil
  }

  /// Two register operations of which the second needs the result of the first.
  private static func registers(_ first: Int, _ second: Int, _ op: OperationPointer) -> Int? {
    guard let a = step(first), let b = step(second), a.width == b.width else { return nil }
    let next = op + 1
    // Steps 0–5 have a register as their second operand.
    if next.pointee.a == op.pointee.a {
      if b.number == 0 || (b.number < 6 && next.pointee.b == op.pointee.a) { return nil }
      return HandlerTable.Chain + (a.width * 13 + a.number) * 12 + b.number - 1
    }
    if b.number < 6, next.pointee.b == op.pointee.a { return HandlerTable.Feed + (a.width * 13 + a.number) * 6 + b.number }
    return nil
  }

  /// MOV r, r and an operation with an immediate on the same register, or another MOV.
  private static func afterMove(_ width: Int, _ second: Int, _ op: OperationPointer) -> Int? {
    let next = op + 1
    if let other = member(second, HandlerTable.Mov_Reg_Reg, 4), other >= 2 {
      return HandlerTable.Fused_Mov_Mov + (width - 2) * 2 + other - 2
    }
    if let k = member(second, HandlerTable.ALU_Reg_Imm, 28), k % 4 == width, next.pointee.a == op.pointee.a {
      switch k / 4 {
      case 0: return HandlerTable.Fused_Mov_ALU_Imm + width - 2
      case 2: return HandlerTable.Fused_Mov_ALU_Imm + 2 + width - 2
      case 3: return HandlerTable.Fused_Mov_ALU_Imm + 4 + width - 2
      default: return nil
      }
    }
    return nil
  }
}

/// Where in the handler table the pair of two operations is: an open-addressed hash table.
struct PairIndex: @unchecked Sendable {
  static let shared = PairIndex()

  private static let capacity = 2048
  /// First << 16 | second, and the index; 0 is empty (no pair begins with handler 0 and ends with it).
  private let keys: UnsafeMutablePointer<UInt32>
  private let indices: UnsafeMutablePointer<Int32>

  private init() {
    precondition(HandlerTable.pairs.count < Self.capacity / 2)
    keys = .allocate(capacity: Self.capacity)
    indices = .allocate(capacity: Self.capacity)
    keys.initialize(repeating: 0, count: Self.capacity)
    indices.initialize(repeating: 0, count: Self.capacity)
    for (k, key) in HandlerTable.pairs.enumerated() {
      var slot = Self.slot(key)
      while keys[slot] != 0 { slot = (slot + 1) & (Self.capacity - 1) }
      keys[slot] = key
      indices[slot] = Int32(HandlerTable.Pair + k)
    }
  }

  @inline(__always)
  private static func slot(_ key: UInt32) -> Int { Int((key &* 0x9E37_79B1) &>> 21) }

  @inline(__always)
  func find(_ first: Int, _ second: Int) -> Int? {
    let key = UInt32(truncatingIfNeeded: first &<< 16 | second)
    var slot = Self.slot(key)
    while keys[slot] != 0 {
      if keys[slot] == key { return Int(indices[slot]) }
      slot = (slot &+ 1) & (Self.capacity &- 1)
    }
    return nil
  }
}
