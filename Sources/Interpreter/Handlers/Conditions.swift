import Processor
import X86Decoder

/// The sixteen conditions of Jcc, SETcc and CMOVcc, in encoding order: from lazy flags of any kind, and straight
/// from the operands of the instruction before, for fused compare-and-branch handlers.
protocol Condition: SendableMetatype {
  static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool
  /// After r = a − b.
  static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool
  /// After a logic operation: CF and OF are clear.
  static func afterLogic<T: Width>(_ r: T) -> Bool
}

enum ConditionO: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { Flags.overflow(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { T.signed((a ^ b) & (a ^ r)) < 0 }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { false }
}
enum ConditionNO: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { !Flags.overflow(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { T.signed((a ^ b) & (a ^ r)) >= 0 }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { true }
}
enum ConditionB: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { Flags.carry(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { a < b }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { false }
}
enum ConditionNB: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { !Flags.carry(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { a >= b }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { true }
}
enum ConditionZ: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { fr == 0 }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { r == 0 }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { r == 0 }
}
enum ConditionNZ: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { fr != 0 }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { r != 0 }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { r != 0 }
}
enum ConditionBE: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { Flags.carry(fr, fa, fk) || fr == 0 }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { a <= b }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { r == 0 }
}
enum ConditionNBE: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { !Flags.carry(fr, fa, fk) && fr != 0 }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { a > b }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { r != 0 }
}
enum ConditionS: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { Flags.sign(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { T.signed(r) < 0 }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { T.signed(r) < 0 }
}
enum ConditionNS: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { !Flags.sign(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { T.signed(r) >= 0 }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { T.signed(r) >= 0 }
}
enum ConditionP: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { Flags.parity(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { afterLogic(r) }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { Flags.evenParity(UInt64(truncatingIfNeeded: r) & 0xFF) }
}
enum ConditionNP: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { !Flags.parity(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { afterLogic(r) }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { !Flags.evenParity(UInt64(truncatingIfNeeded: r) & 0xFF) }
}
enum ConditionL: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { Flags.less(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { T.signed(a) < T.signed(b) }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { T.signed(r) < 0 }
}
enum ConditionNL: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { !Flags.less(fr, fa, fk) }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { T.signed(a) >= T.signed(b) }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { T.signed(r) >= 0 }
}
enum ConditionLE: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { Flags.less(fr, fa, fk) || fr == 0 }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { T.signed(a) <= T.signed(b) }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { T.signed(r) <= 0 }
}
enum ConditionNLE: Condition {
  @inline(__always) static func holds(_ fr: UInt64, _ fa: UInt64, _ fk: UInt32) -> Bool { !Flags.less(fr, fa, fk) && fr != 0 }
  @inline(__always) static func afterSub<T: Width>(_ a: T, _ b: T, _ r: T) -> Bool { T.signed(a) > T.signed(b) }
  @inline(__always) static func afterLogic<T: Width>(_ r: T) -> Bool { T.signed(r) > 0 }
}
