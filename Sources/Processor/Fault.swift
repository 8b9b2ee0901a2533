/// An exception on its way to the guest, thrown by everything that executes outside the fast path.
///
/// It is a small trivial value: Swift passes it in registers and the check costs one instruction.
public struct Fault: Error, Equatable {
  public var vector: UInt8
  public var errorCode: UInt32
  public var hasErrorCode: Bool

  @inlinable public init(_ vector: Vector, errorCode: UInt32) {
    self.vector = vector.rawValue
    self.errorCode = errorCode
    hasErrorCode = true
  }

  @inlinable public init(_ vector: Vector) {
    self.vector = vector.rawValue
    errorCode = 0
    hasErrorCode = false
  }

  @inlinable public static var divide: Fault { Fault(.DE) }
  @inlinable public static var undefined: Fault { Fault(.UD) }
  @inlinable public static var deviceNotAvailable: Fault { Fault(.NM) }
  /// #GP(0) unless a selector is given.
  @inlinable public static func generalProtection(_ code: UInt32 = 0) -> Fault { Fault(.GP, errorCode: code) }
  @inlinable public static func stack(_ code: UInt32 = 0) -> Fault { Fault(.SS, errorCode: code) }
  @inlinable public static func notPresent(_ code: UInt32) -> Fault { Fault(.NP, errorCode: code) }
  @inlinable public static func invalidTSS(_ code: UInt32) -> Fault { Fault(.TS, errorCode: code) }
  @inlinable public static var alignment: Fault { Fault(.AC, errorCode: 0) }
  @inlinable public static var floatingPoint: Fault { Fault(.MF) }
  @inlinable public static var simd: Fault { Fault(.XM) }
}

/// Exception vectors (SDM vol. 3A table 6-1).
public enum Vector: UInt8, Sendable {
  case DE = 0, DB, NMI, BP, OF, BR, UD, NM, DF, coprocessorSegmentOverrun, TS, NP, SS, GP, PF
  case MF = 16, AC, MC, XM, VE, CP
}

/// What the instruction at hand wants to do with memory, as far as paging asks (bits of a page-fault error code).
public enum Access: UInt8 {
  case read = 0
  case write = 2
  case execute = 16
}
