/// What a virtual disk is made of: sectors of 512 bytes.
public protocol BlockImage: AnyObject {
  /// Sectors there are. It does not change.
  var sectors: UInt64 { get }
  var isWritable: Bool { get }
  /// Whether `discard` gives room back.
  var canDiscard: Bool { get }

  /// Reads as many bytes as `target` has room for, from a sector on. The caller stays within the disk.
  func read(_ sector: UInt64, into target: UnsafeMutableRawBufferPointer) throws(BlockImageError)
  /// Writes bytes from a sector on. The caller stays within the disk.
  func write(_ sector: UInt64, _ source: UnsafeRawBufferPointer) throws(BlockImageError)
  /// Brings what was written to the medium.
  func flush() throws(BlockImageError)
  /// Gives sectors back; they read as zeros afterwards.
  func discard(_ sector: UInt64, count: UInt64) throws(BlockImageError)
}

/// Bytes of a sector in the ring's protocol, whatever the medium's own are.
public let sectorBytes = 512

/// Why a disk cannot be used. The description goes on from the name of the file: "is a directory".
public struct BlockImageError: Error, CustomStringConvertible, Equatable, Sendable {
  public let description: String
  public init(_ description: String) { self.description = description }
}
