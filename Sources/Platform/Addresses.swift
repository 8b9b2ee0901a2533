/// Typed addresses. Arithmetic wraps: an address computed by a guest is never a reason to trap the host.

/// An address on the memory bus.
public struct PhysicalAddress: Hashable, Comparable, Sendable {
  public var rawValue: UInt64
  @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  @inlinable public static func + (a: Self, n: UInt64) -> Self { Self(a.rawValue &+ n) }
  @inlinable public var pageNumber: UInt64 { rawValue &>> 12 }
}

/// Size of the smallest page, in bytes.
public let pageSize: UInt64 = 4096
