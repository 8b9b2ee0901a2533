/// A vector register's 32 bytes seen as lanes of any trivial type, lane 0 in the lowest bytes (SDM vol. 1 §4.6).
///
/// The loops below run over all 32 bytes whatever the vector length of the instruction: with a constant trip count the
/// compiler turns them into a few host vector instructions, and who stores the result drops what is too much.
extension Vector256 {
  @inline(__always) init(_ q0: UInt64, _ q1: UInt64 = 0, _ q2: UInt64 = 0, _ q3: UInt64 = 0) {
    self.init()
    self.q0 = q0
    self.q1 = q1
    self.q2 = q2
    self.q3 = q3
  }

  /// Lane `n`, which the caller keeps below 32 bytes.
  @inline(__always) func lane<T>(_ n: Int, as type: T.Type = T.self) -> T {
    withUnsafeBytes(of: self) { $0.baseAddress.unsafelyUnwrapped.load(fromByteOffset: n &* MemoryLayout<T>.size, as: T.self) }
  }

  @inline(__always) mutating func setLane<T>(_ n: Int, _ value: T) {
    withUnsafeMutableBytes(of: &self) {
      $0.baseAddress.unsafelyUnwrapped.storeBytes(of: value, toByteOffset: n &* MemoryLayout<T>.size, as: T.self)
    }
  }

  /// Number of lanes of a type in a register.
  @inline(__always) static func lanes<T>(of type: T.Type) -> Int { 32 / MemoryLayout<T>.size }

  /// Applies `body` to each lane.
  @inline(__always) func map<T>(_ body: (T) -> T) -> Vector256 {
    Self.combining(self, self) { a, _, result in
      for n in 0..<Self.lanes(of: T.self) { result.setLane(n, body(a.lane(n))) }
    }
  }

  /// Applies `body` to each pair of lanes.
  @inline(__always) static func zip<T>(_ a: Vector256, _ b: Vector256, _ body: (T, T) -> T) -> Vector256 {
    combining(a, b) { a, b, result in
      for n in 0..<lanes(of: T.self) { result.setLane(n, body(a.lane(n), b.lane(n))) }
    }
  }

  /// Lets `body` fill a result, zero at first, from the lanes of two values in memory. Loops over lanes belong in here: taking
  /// the address once outside the loop is what lets the compiler vectorise them.
  @inline(__always)
  static func combining(_ a: Vector256, _ b: Vector256, _ body: (VectorLanes, VectorLanes, VectorLanes) -> Void) -> Vector256 {
    var (first, second, result) = (a, b, Vector256())
    withUnsafeMutableBytes(of: &first) { first in
      withUnsafeMutableBytes(of: &second) { second in
        withUnsafeMutableBytes(of: &result) { result in body(VectorLanes(first), VectorLanes(second), VectorLanes(result)) }
      }
    }
    return result
  }

  @inline(__always) static func & (a: Vector256, b: Vector256) -> Vector256 {
    Vector256(a.q0 & b.q0, a.q1 & b.q1, a.q2 & b.q2, a.q3 & b.q3)
  }
  @inline(__always) static func | (a: Vector256, b: Vector256) -> Vector256 {
    Vector256(a.q0 | b.q0, a.q1 | b.q1, a.q2 | b.q2, a.q3 | b.q3)
  }
  @inline(__always) static func ^ (a: Vector256, b: Vector256) -> Vector256 {
    Vector256(a.q0 ^ b.q0, a.q1 ^ b.q1, a.q2 ^ b.q2, a.q3 ^ b.q3)
  }
  @inline(__always) static prefix func ~ (a: Vector256) -> Vector256 { Vector256(~a.q0, ~a.q1, ~a.q2, ~a.q3) }

  /// The 128-bit half `n` (0 or 1) as the low half of a new value.
  @inline(__always) func half(_ n: Int) -> Vector256 { n == 0 ? Vector256(q0, q1) : Vector256(q2, q3) }

  @inline(__always) init(low: Vector256, high: Vector256) { self.init(low.q0, low.q1, high.q0, high.q1) }

  /// What most AVX2 instructions do: the 128-bit operation on each half, knowing nothing of the other one.
  @inline(__always) static func perHalf(_ a: Vector256, _ b: Vector256, _ body: (Vector256, Vector256) -> Vector256) -> Vector256 {
    Vector256(low: body(a.half(0), b.half(0)), high: body(a.half(1), b.half(1)))
  }
}

/// The lanes of a value in memory; indices are the caller's responsibility.
struct VectorLanes {
  private let base: UnsafeMutableRawPointer

  @inline(__always) init(_ bytes: UnsafeMutableRawBufferPointer) { base = bytes.baseAddress.unsafelyUnwrapped }

  @inline(__always) func lane<T>(_ n: Int, as type: T.Type = T.self) -> T {
    base.load(fromByteOffset: n &* MemoryLayout<T>.size, as: T.self)
  }

  @inline(__always) func setLane<T>(_ n: Int, _ value: T) {
    base.storeBytes(of: value, toByteOffset: n &* MemoryLayout<T>.size, as: T.self)
  }
}
