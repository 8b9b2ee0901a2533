#if os(Linux)
import CFallocate
#endif
#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A disk in a plain file (or a block device of the host's), byte for byte.
///
/// An open file that may be written is locked against all others, one that is only read against writers, by `flock`. So two domains never
/// write one disk by mistake, be they in one process or in several.
///
/// Not modelled: discarding on block devices, and formats with a structure of their own.
public final class RawFileImage: BlockImage {
  public enum Access: Sendable {
    case readOnly
    case readWrite
    /// For file systems that are made for several writers: nobody is kept out.
    case sharedReadWrite
  }

  public let path: String
  public let sectors: UInt64
  public let isWritable: Bool
  public let canDiscard: Bool
  private let descriptor: Int32

  public init(path: String, access: Access) throws(BlockImageError) {
    let descriptor = open(path, (access == .readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      switch errno {
      case ENOENT, ENOTDIR: throw BlockImageError("is not there")
      case EISDIR: throw BlockImageError("is a directory")
      case EACCES, EPERM, EROFS: throw BlockImageError("cannot be opened for \(access == .readOnly ? "reading" : "writing"): \(Self.reason)")
      default: throw BlockImageError("cannot be opened: \(Self.reason)")
      }
    }
    do throws(BlockImageError) {
      (sectors, canDiscard) = try Self.look(descriptor)
      if access != .sharedReadWrite, flock(descriptor, (access == .readOnly ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 {
        throw BlockImageError(
          access == .readOnly ? "is being written by another domain" : "is in use by another domain, and only one may write (\"w!\" lets several)")
      }
    } catch {
      close(descriptor)
      throw error
    }
    self.path = path
    self.descriptor = descriptor
    isWritable = access != .readOnly
  }

  deinit { close(descriptor) }

  /// Whether a path leads to this file.
  public func isFile(_ path: String) -> Bool {
    var own = stat(), other = stat()
    return fstat(descriptor, &own) == 0 && stat(path, &other) == 0 && (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)
  }

  private static var reason: String { String(cString: strerror(errno)) }

  private static func look(_ descriptor: Int32) throws(BlockImageError) -> (sectors: UInt64, canDiscard: Bool) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw BlockImageError("cannot be looked at: \(reason)") }
    let kind = status.st_mode & S_IFMT
    if kind == S_IFDIR { throw BlockImageError("is a directory") }
    guard kind == S_IFREG || kind == S_IFBLK else { throw BlockImageError("is neither a file nor a block device") }
    let bytes = lseek(descriptor, 0, Int32(SEEK_END))
    guard bytes >= 0 else { throw BlockImageError("cannot be looked at: \(reason)") }
    if bytes == 0 { throw BlockImageError("is empty") }
    if bytes % sectorBytes != 0 { throw BlockImageError("has \(bytes) bytes, which is not a multiple of \(sectorBytes)") }
    return (UInt64(bytes / sectorBytes), kind == S_IFREG)
  }

  public func read(_ sector: UInt64, into target: UnsafeMutableRawBufferPointer) throws(BlockImageError) {
    var done = 0
    while done < target.count {
      let n = pread(descriptor, target.baseAddress! + done, target.count - done, off_t(sector) * off_t(sectorBytes) + off_t(done))
      if n < 0, errno == EINTR { continue }
      // A file that was cut since has nothing there any more.
      guard n > 0 else { throw BlockImageError(n == 0 ? "ends too early" : "cannot be read: \(Self.reason)") }
      done += n
    }
  }

  public func write(_ sector: UInt64, _ source: UnsafeRawBufferPointer) throws(BlockImageError) {
    var done = 0
    while done < source.count {
      let n = pwrite(descriptor, source.baseAddress! + done, source.count - done, off_t(sector) * off_t(sectorBytes) + off_t(done))
      if n < 0, errno == EINTR { continue }
      guard n > 0 else { throw BlockImageError("cannot be written: \(Self.reason)") }
      done += n
    }
  }

  public func flush() throws(BlockImageError) {
    if fdatasync(descriptor) != 0 { throw BlockImageError("cannot be flushed: \(Self.reason)") }
  }

  public func discard(_ sector: UInt64, count: UInt64) throws(BlockImageError) {
    #if os(Linux)
    let keepSize: Int32 = 1, punchHole: Int32 = 2
    if fallocate(descriptor, keepSize | punchHole, off_t(sector) * off_t(sectorBytes), off_t(count) * off_t(sectorBytes)) == 0 { return }
    #endif
    throw BlockImageError("cannot have holes: \(Self.reason)")
  }
}
