#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Hypervisor
import Machine
import Platform
import Toolstack

/// Files that hold a domain's memory, saved domains and cores: they are written and read piece after piece.
enum MemoryFile {
  /// Writes a file. What was there before stays if something goes wrong.
  /// - Throws: why a file cannot be written (`isMissingFile`), or what `body` throws.
  static func store(_ body: FileBody, to path: String) throws(BuildError) {
    var failure: BuildError?
    do throws(MachineError) {
      try HostFile.checkRegular(path)
      try HostFile.store(to: path, mayWriteInPlace: false) { (file) throws(MachineError) in
        do throws(BuildError) { try body(FileSink(file)) } catch {
          failure = error
          throw MachineError(.internal, error.description)
        }
      }
    } catch {
      throw failure ?? BuildError(error.description, isMissingFile: true)
    }
  }
}

/// An open file that is written from its beginning.
private final class FileSink: ByteSink {
  private let file: HostFile.Output

  init(_ file: HostFile.Output) { self.file = file }

  func take(_ bytes: UnsafeRawBufferPointer) throws(BuildError) {
    do throws(MachineError) { try file.write(bytes) } catch { throw BuildError(error.description, isMissingFile: true) }
  }
}

/// The file of a saved domain, open for reading.
final class SavedDomainFile: SavedBytes {
  private let file: Int32
  let count: Int

  init(_ path: String) throws(MachineError) {
    (file, count) = try HostFile.openRegular(path)
  }

  deinit { close(file) }

  func read(_ range: Range<Int>) throws(StateError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count)
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress! + done, $0.count - done, off_t(range.lowerBound + done)) }
      if count < 0, errno == EINTR { continue }
      // Somebody has made it shorter.
      guard count > 0 else { throw StateError(count < 0 ? "it cannot be read: \(HostFile.lastError)" : "it ends too early") }
      done += count
    }
    return bytes
  }
}
