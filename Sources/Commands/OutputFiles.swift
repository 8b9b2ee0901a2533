#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Machine

/// The files that one command writes. Two results in one file would leave only the last, and a result over an image nothing to start again.
struct OutputFiles {
  /// Paths by identity.
  private var paths: [String: String] = [:]

  /// - Throws: when the file is written already, whatever its name.
  mutating func add(_ path: String) throws(MachineError) {
    guard path != "-", let identity = Self.identity(path) else { return }
    guard paths.updateValue(path, forKey: identity) == nil else { throw .usage("\(path) would be written twice") }
  }

  /// - Parameter heir: the file that may replace what was read: a saved machine goes on into the file that it came from.
  /// - Throws: when a file that is read would be lost.
  func protect(_ path: String, heir: String? = nil) throws(MachineError) {
    guard let identity = Self.identity(path), let output = paths[identity], output != heir else { return }
    throw .usage("\(output) would be written over \(path), which this run reads")
  }

  /// What tells whether two names lead to one file; nil for what can be written by several, such as a device or a pipe.
  static func identity(_ path: String, links: Int = 40) -> String? {
    var status = stat()
    if stat(path, &status) == 0 { return status.st_mode & S_IFMT == S_IFREG ? "\(status.st_dev) \(status.st_ino)" : nil }
    // A file that is not there yet is known by its folder and name, a symbolic link to it by where it leads.
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    var target = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = readlink(path, &target, target.count)
    if length > 0, links > 0 {
      let text = String(decoding: target[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
      return identity(text.hasPrefix("/") ? text : folder + "/" + text, links: links - 1)
    }
    guard let place = realpath(folder, nil) else { return nil }
    defer { free(place) }
    return String(cString: place) + "/" + path[(slash.map(path.index(after:)) ?? path.startIndex)...]
  }
}
