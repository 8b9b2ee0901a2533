/// Numbers that name things of Xen's world, each a type of its own.

/// A domain (xen.h, `domid_t`).
public struct DomainID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  @inlinable public init(_ value: UInt16) { rawValue = value }

  public static let control = DomainID(0)
  /// Domain identifiers from here on have other meanings.
  public static let firstReserved = DomainID(0x7FF0)
  /// The calling domain.
  public static let own = DomainID(0x7FF0)
  /// Owner of I/O memory.
  public static let io = DomainID(0x7FF1)
  /// Owner of the hypervisor's own frames.
  public static let xen = DomainID(0x7FF2)
  /// Owner of pages that copy on write share.
  public static let cow = DomainID(0x7FF3)
  public static let invalid = DomainID(0x7FF4)
  public static let idle = DomainID(0x7FFF)

  public static func < (a: DomainID, b: DomainID) -> Bool { a.rawValue < b.rawValue }
  public var description: String { "d\(rawValue)" }
}

/// A frame of the machine's memory: a physical address divided by 4096.
public struct MachineFrameNumber: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable public init(_ value: UInt64) { rawValue = value }
  /// Address of the frame's first byte.
  @inlinable public var address: UInt64 { rawValue &<< 12 }
  public static let invalid = MachineFrameNumber(~0)
  @inlinable public static func < (a: MachineFrameNumber, b: MachineFrameNumber) -> Bool { a.rawValue < b.rawValue }
  public var description: String { "mfn \(String(rawValue, radix: 16))" }
}

/// A frame of a paravirtual guest's own, contiguous numbering.
public struct PseudoPhysicalFrameNumber: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable public init(_ value: UInt64) { rawValue = value }
  @inlinable public static func < (a: PseudoPhysicalFrameNumber, b: PseudoPhysicalFrameNumber) -> Bool { a.rawValue < b.rawValue }
  public var description: String { "pfn \(String(rawValue, radix: 16))" }
}

/// An event channel's number within its domain.
public typealias EventPort = UInt32

/// A grant's index in the table of the domain that gives it.
public typealias GrantReference = UInt32
