#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What is wrong with a socket, as one sentence.
public struct SocketError: Error, CustomStringConvertible, Sendable {
  public enum Kind: Sendable {
    /// Somebody serves it already.
    case inUse
    /// Nobody serves it.
    case nobody
    /// The host refuses it.
    case refused
  }
  public var kind: Kind
  public var description: String
}

/// Sockets by their paths.
public enum SocketAddress {
  /// `$XDG_RUNTIME_DIR/xenolith.sock`, or else a name of the user's own in /tmp.
  public static var control: String { inRuntimeFolder("xenolith.sock", or: "xenolith-\(getuid()).sock") }

  /// The store's beside that. Xen's tools find it there if XENSTORED_PATH says so.
  public static func store(beside control: String) -> String {
    control.hasSuffix(".sock") ? String(control.dropLast(5)) + "-xenstore.sock" : control + "-xenstore"
  }

  private static func inRuntimeFolder(_ name: String, or other: String) -> String {
    if let folder = getenv("XDG_RUNTIME_DIR").map({ String(cString: $0) }), folder.hasPrefix("/") { return folder + "/" + name }
    return "/tmp/" + other
  }

  private static var lastError: String { String(cString: strerror(errno)) }

  private static func with(_ path: String, _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32) throws(SocketError) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw SocketError(kind: .refused, description: "the socket path \(path) is \(bytes.isEmpty ? "empty" : "longer than the system allows")")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }

  private static func newSocket() throws(SocketError) -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw SocketError(kind: .refused, description: "the system gives no socket: \(lastError)") }
    return descriptor
  }

  /// Serves a path. A socket that nobody serves any more is replaced; the new one is the user's alone.
  /// - Returns: a descriptor that does not block.
  public static func listen(_ path: String, name: String) throws(SocketError) -> Int32 {
    var status = stat()
    if lstat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFSOCK else {
        throw SocketError(kind: .refused, description: "\(path) is there and is no socket")
      }
      if let other = try? connect(path, name: name) {
        close(other)
        throw SocketError(kind: .inUse, description: "a hypervisor serves \(path) already")
      }
      unlink(path)
    }
    let descriptor = try newSocket()
    let mask = umask(0o177)
    defer { umask(mask) }
    guard try with(path, { bind(descriptor, $0, $1) }) == 0, systemListen(descriptor) == 0 else {
      let reason = lastError
      close(descriptor)
      throw SocketError(kind: .refused, description: "\(name) cannot be served at \(path): \(reason)")
    }
    makeNonBlocking(descriptor)
    return descriptor
  }

  private static func systemListen(_ descriptor: Int32) -> Int32 {
    #if canImport(Glibc)
    Glibc.listen(descriptor, 16)
    #else
    Musl.listen(descriptor, 16)
    #endif
  }

  private static func systemConnect(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> Int32 {
    #if canImport(Glibc)
    Glibc.connect(descriptor, address, length)
    #else
    Musl.connect(descriptor, address, length)
    #endif
  }

  /// Connects to who serves a path.
  /// - Returns: a descriptor that blocks.
  public static func connect(_ path: String, name: String) throws(SocketError) -> Int32 {
    var status = stat()
    guard lstat(path, &status) == 0 else { throw SocketError(kind: .nobody, description: "no hypervisor runs at \(path)") }
    // In a folder that everybody writes to, somebody else's socket would get what is meant for the user's hypervisor.
    guard status.st_uid == getuid() || status.st_uid == 0 || getuid() == 0 else {
      throw SocketError(kind: .refused, description: "\(path) belongs to another user")
    }
    let descriptor = try newSocket()
    guard try with(path, { systemConnect(descriptor, $0, $1) }) == 0 else {
      let error = errno
      close(descriptor)
      if error == ECONNREFUSED || error == ENOENT { throw SocketError(kind: .nobody, description: "no hypervisor runs at \(path)") }
      throw SocketError(kind: .refused, description: "\(name) at \(path) cannot be reached: \(String(cString: strerror(error)))")
    }
    return descriptor
  }

  static func makeNonBlocking(_ descriptor: Int32) { _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL, 0) | O_NONBLOCK) }
}
