import Processor
import X86Decoder

/// Replacing the handlers of two neighbouring operations by one that does both. The second operation keeps its own handler.
enum Fusion {
  /// Handler for the pair, or nil. `first` and `second` are the table indices the operations were lowered to.
  static func pair(_ first: Int, _ second: Int, _ op: OperationPointer) -> Int? {
    if second >= HandlerTable.Jcc, second < HandlerTable.Jcc + 16 { return compareAndBranch(first, second - HandlerTable.Jcc, op) }
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
    if let w = member(first, HandlerTable.Bit_Reg_Reg, 2), cc == 2 || cc == 3 {
      op.pointee.index = 16
      return HandlerTable.Bit_Reg_Jcc + w * 2 + cc - 2
    }
    if let w = member(first, HandlerTable.Bit_Reg_Imm, 2), cc == 2 || cc == 3 {
      op.pointee.index = 0
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
