#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Machine

/// Files and streams of the host, with errors as sentences.
enum HostFile {
  static var lastError: String { String(cString: strerror(errno)) }

  /// More than any image that is read as a whole; a stream that goes on (/dev/zero) ends earlier.
  private static let largestFile = 8 << 30
  private static let largestStream = 1 << 28

  /// The whole file, or its first `limit` bytes.
  /// - Parameter isRegular: nothing else will do, as others could make whoever reads them wait.
  static func contents(_ path: String, limit: Int = .max, isRegular isRequired: Bool = false) throws(MachineError) -> [UInt8] {
    let (file, status) = try openForReading(path, isRegular: isRequired)
    defer { close(file) }
    let isRegular = status.st_mode & S_IFMT == S_IFREG
    let largest = isRegular ? largestFile : largestStream
    guard limit <= largest || Int(status.st_size) <= largest else {
      throw .badImage("\(path) is larger than any image that can be loaded (\(status.st_size >> 30) GiB)")
    }
    var bytes: [UInt8] = []
    if isRegular { bytes.reserveCapacity(min(Int(status.st_size), limit)) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while bytes.count < limit {
      let count = read(file, &buffer, min(buffer.count, limit - bytes.count))
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .missingFile("\(path) cannot be read: \(lastError)") }
      if count == 0 { break }
      guard bytes.count + count <= largest else { throw .badImage("\(path) has no end within \(largest >> 20) MiB") }
      bytes.append(contentsOf: buffer[..<count])
    }
    return bytes
  }

  private static func openForReading(_ path: String, isRegular: Bool) throws(MachineError) -> (file: Int32, status: stat) {
    guard !path.isEmpty else { throw .usage("a file name is empty") }
    let file = open(path, O_RDONLY | O_CLOEXEC | (isRegular ? O_NONBLOCK : 0))
    guard file >= 0 else { throw .missingFile("\(path) cannot be opened: \(lastError)") }
    var status = stat()
    let reason: String
    if fstat(file, &status) != 0 {
      reason = "cannot be examined: \(lastError)"
    } else if status.st_mode & S_IFMT == S_IFDIR {
      reason = "is a directory, not a file"
    } else if isRegular, status.st_mode & S_IFMT != S_IFREG {
      reason = "is no regular file"
    } else {
      return (file, status)
    }
    close(file)
    throw .missingFile("\(path) \(reason)")
  }

  /// Opens a regular file that is read in parts; the caller closes it.
  static func openRegular(_ path: String) throws(MachineError) -> (file: Int32, size: Int) {
    let (file, status) = try openForReading(path, isRegular: true)
    return (file, Int(status.st_size))
  }

  static func size(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Names of the files in a folder, in order.
  static func list(_ path: String) throws(MachineError) -> [String] {
    guard let folder = opendir(path) else { throw .missingFile("\(path) cannot be opened: \(lastError)") }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      names.append(withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      })
    }
    return names.filter { $0 != "." && $0 != ".." }.sorted()
  }

  /// Whether a file that is written at the end can be: found out before the run, without touching what is in it.
  static func checkWritable(_ path: String) throws(MachineError) {
    if path == "-" { return }
    guard !path.isEmpty else { throw .usage("the name of a file to write is empty") }
    var status = stat()
    let isNew = stat(path, &status) != 0 && errno == ENOENT
    let isPlain = isNew || status.st_mode & S_IFMT == S_IFREG
    // A pipe is not opened: its reader would see the end when it is closed again.
    guard isPlain else {
      let reason = status.st_mode & S_IFMT == S_IFDIR ? "it is a directory" : access(path, W_OK) == 0 ? nil : lastError
      if let reason { throw .missingFile("\(path) cannot be written: \(reason)") }
      return
    }
    let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw .missingFile("\(path) cannot be \(isNew ? "created" : "written"): \(lastError)") }
    close(file)
    // A symbolic link that leads nowhere had its target created.
    if isNew, let place = realpath(path, nil) {
      unlink(place)
      free(place)
    }
  }

  /// Whether a file could be made there, or replaced, without waiting for anybody.
  static func checkRegular(_ path: String) throws(MachineError) {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG, status.st_mode & S_IFMT != S_IFDIR else { return }
    throw .missingFile("\(path) cannot be written: it is no regular file")
  }

  /// A file that is being written from its beginning.
  struct Output {
    fileprivate let file: Int32
    /// For messages.
    fileprivate let name: String

    func write(_ bytes: UnsafeRawBufferPointer) throws(MachineError) {
      guard writeRaw(file, bytes) else { throw MachineError(.internal, "\(name) cannot be written: \(reason(errno))") }
    }
  }

  /// Writes a file; "-" is standard output. What was in it is lost only when all of the new content is on disk.
  static func store(_ bytes: [UInt8], to path: String) throws(MachineError) {
    if path == "-" { return try standardOutput(bytes) }
    try store(to: path) { (file) throws(MachineError) in
      var failure: MachineError?
      bytes.withUnsafeBytes {
        do throws(MachineError) { try file.write($0) } catch { failure = error }
      }
      if let failure { throw failure }
    }
  }

  /// The same for contents that are made while they are written.
  /// - Parameters:
  ///   - mayWriteInPlace: a file whose folder takes no new one is written over, and lost if that fails.
  ///   - body: writes all of the file; with its error nothing is changed.
  static func store(to path: String, mayWriteInPlace: Bool = true, _ body: (Output) throws(MachineError) -> Void) throws(MachineError) {
    guard !path.isEmpty else { throw .usage("the name of a file to write is empty") }
    var status = stat()
    let isNew = lstat(path, &status) != 0
    if isNew || stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG {
      let place = isNew ? nil : realpath(path, nil)
      defer { free(place) }
      let target = place.map { String(cString: $0) } ?? path
      let (file, part, error) = openBeside(target, mode: isNew ? 0o666 : 0o600)
      // In a folder that takes no new file, and through a link that leads nowhere yet, the file is written in place.
      let isClosed = error == EACCES || error == EPERM || error == EROFS
      if file < 0, !(isClosed && mayWriteInPlace) {
        throw .missingFile("\(path) cannot be \(isNew ? "created" : "replaced"): \(String(cString: strerror(error)))")
      }
      if file >= 0 {
        if !isNew { fchmod(file, status.st_mode & 0o7777) }
        do throws(MachineError) {
          try fill(Output(file: file, name: path), toDisk: true, body)
          guard rename(part, target) == 0 else { throw MachineError(.internal, "\(path) cannot be replaced: \(lastError)") }
        } catch {
          unlink(part)
          throw error
        }
        return
      }
    }
    try fill(Output(file: create(path), name: path), body)
  }

  /// A new file in the same folder, to take the place of `target`; what somebody left is not touched. -1 and why where there can be none.
  private static func openBeside(_ target: String, mode: mode_t) -> (file: Int32, path: String, error: Int32) {
    let folder = target.lastIndex(of: "/").map { target[...$0] } ?? ""
    var path = "", file: Int32 = -1, error: Int32 = 0
    for n in 0..<100 {
      path = "\(folder).xenolith-\(getpid())-\(n).part"
      file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
      error = errno
      if file >= 0 || error != EEXIST { break }
    }
    return (file, path, error)
  }

  /// Opens a file to write it from its beginning. For a reader of a named pipe it waits as long as `writeAll` does.
  static func create(_ path: String) throws(MachineError) -> Int32 {
    var status = stat()
    let isPipe = stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
    while true {
      let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | (isPipe ? O_NONBLOCK : 0), 0o666)
      if file >= 0 { return file }
      let error = errno
      guard isPipe, error == ENXIO, !Terminal.isInterrupted, monotonicTime() < patience else {
        throw .missingFile("\(path) cannot be \(isPipe ? "written" : "created"): \(isPipe ? reason(error) : String(cString: strerror(error)))")
      }
      _ = poll(nil, 0, 20)
    }
  }

  /// Writes all of a file and closes it.
  private static func fill(_ output: Output, toDisk: Bool = false, _ body: (Output) throws(MachineError) -> Void) throws(MachineError) {
    do throws(MachineError) { try body(output) } catch {
      close(output.file)
      throw error
    }
    // A file system without fsync (EINVAL) keeps what it has taken.
    let done = !toDisk || fsync(output.file) == 0 || errno == EINVAL
    let error = errno
    guard close(output.file) == 0, done else { throw MachineError(.internal, "\(output.name) cannot be written: \(reason(done ? errno : error))") }
  }

  /// Monotonic time after which nobody waits for a reader any more, from --timeout. Set before anything is written.
  nonisolated(unsafe) static var patience = UInt64.max

  /// Writes everything, waiting where the stream is full. Returns false when it is closed or broken, and with EINTR when it
  /// stays full after a signal or the end of `patience`.
  @discardableResult
  static func writeAll(_ file: Int32, _ bytes: some Sequence<UInt8>) -> Bool { Array(bytes).withUnsafeBytes { writeRaw(file, $0) } }

  private static func writeRaw(_ file: Int32, _ bytes: UnsafeRawBufferPointer) -> Bool {
    // A pipe that poll calls writable takes this much at once (PIPE_BUF); more could block with no way out.
    let portion = 4096
    var rest = bytes[...]
    while !rest.isEmpty {
      var wait = pollfd(fd: file, events: Int16(POLLOUT), revents: 0)
      while poll(&wait, 1, 0) == 0 {
        if Terminal.isInterrupted || monotonicTime() >= patience {
          errno = EINTR
          return false
        }
        _ = poll(&wait, 1, 100)
      }
      let count = write(file, UnsafeRawBufferPointer(rebasing: rest).baseAddress, min(rest.count, portion))
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if count == 0 || (errno != EINTR && errno != EAGAIN) {
        return false
      }
    }
    return true
  }

  static func standardOutput(_ bytes: some Sequence<UInt8>) throws(MachineError) {
    guard writeAll(1, bytes) else { throw outputFailure(errno) }
  }

  static func outputFailure(_ error: Int32) -> MachineError {
    MachineError(.internal, "standard output cannot be written: \(error == EBADF ? "it is closed" : reason(error))")
  }

  /// Why something cannot be written.
  private static func reason(_ error: Int32) -> String {
    // What `writeAll` says when it has waited enough, and open of a named pipe (fifo(7)).
    error == EINTR || error == ENXIO ? "nobody reads it" : String(cString: strerror(error))
  }

  /// Standard streams that were closed would otherwise be the next files that are opened, and get what was meant for the
  /// stream. Writing to standard output still fails then: what takes its place is open for reading only.
  static func occupyClosedStreams() {
    for (stream, mode) in [(Int32(0), O_RDONLY), (1, O_RDONLY), (2, O_WRONLY)] where fcntl(stream, F_GETFD) < 0 {
      _ = open("/dev/null", mode)
    }
  }

  static func standardError(_ text: String) { writeAll(2, text.utf8) }

  /// Nanoseconds of the monotonic clock.
  static func monotonicTime() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  /// Most memory that this process has had resident, in bytes.
  static func peakMemory() -> UInt64 {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return UInt64(usage.ru_maxrss) * 1024
  }
}
