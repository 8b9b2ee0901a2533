/// The name of a node: an absolute path, or the name of a special watch ("@releaseDomain").
///
/// Source: docs/misc/xenstore.txt; xs_wire.h, XENSTORE_ABS_PATH_MAX.
struct XenstorePath: Hashable, Sendable {
  /// Bytes an absolute path may have.
  static let absoluteLimit = 3072
  static let root = XenstorePath(unchecked: "/")
  static let introduceDomain = XenstorePath(unchecked: "@introduceDomain")
  static let releaseDomain = XenstorePath(unchecked: "@releaseDomain")

  let text: String

  private init(unchecked text: String) { self.text = text }

  /// Checks the characters and slashes of a path that a client gave, and makes it absolute.
  /// - Parameters:
  ///   - home: what relative paths are relative to, without a slash at the end.
  ///   - limit: bytes the path may have behind "/local/domain/N/", or in all where it lies elsewhere.
  ///   - allowSpecial: whether a name that starts with "@" is meant.
  init(
    _ given: ArraySlice<UInt8>, home: String, limit: Int, allowSpecial: Bool
  ) throws(XenstoreError) {
    guard let first = given.first, given.allSatisfy(Self.isPermitted) else { throw .EINVAL }
    let name = String(decoding: given, as: UTF8.self)
    switch first {
    case UInt8(ascii: "@"):
      guard allowSpecial else { throw .EINVAL }
      text = name
    case UInt8(ascii: "/"): text = name
    default: text = home + "/" + name
    }
    let bytes = text.utf8
    guard bytes.count <= Self.absoluteLimit, bytes.count - Self.homePrefixLength(bytes) <= limit else { throw .EINVAL }
    guard bytes.count == 1 || bytes.last != UInt8(ascii: "/") else { throw .EINVAL }
    guard !zip(bytes, bytes.dropFirst()).contains(where: { $0 == UInt8(ascii: "/") && $1 == UInt8(ascii: "/") }) else {
      throw .EINVAL
    }
  }

  static func home(of domid: UInt16) -> XenstorePath { XenstorePath(unchecked: "/local/domain/\(domid)") }

  private static func isPermitted(_ c: UInt8) -> Bool {
    switch c {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: "_"),
      UInt8(ascii: "@"):
      true
    default: false
    }
  }

  /// Bytes of "/local/domain/N/" in front of a path, 0 where it does not begin so.
  private static func homePrefixLength(_ path: String.UTF8View) -> Int {
    let base = "/local/domain/"
    guard path.starts(with: base.utf8) else { return 0 }
    let digits = path.dropFirst(base.utf8.count).prefix { (0x30...0x39).contains($0) }
    guard (1...5).contains(digits.count) else { return 0 }
    let length = base.utf8.count + digits.count
    return path.dropFirst(length).first == UInt8(ascii: "/") ? length + 1 : 0
  }

  var isRoot: Bool { text.utf8.count == 1 }
  var isSpecial: Bool { text.utf8.first == UInt8(ascii: "@") }

  /// The last component; empty for the root.
  var name: String {
    guard let slash = text.utf8.lastIndex(of: UInt8(ascii: "/")) else { return text }
    return String(text[text.utf8.index(after: slash)...])
  }

  /// The node above; the root's is the root. Special names have none.
  var parent: XenstorePath {
    guard let slash = text.utf8.lastIndex(of: UInt8(ascii: "/")), slash != text.utf8.startIndex else { return .root }
    return XenstorePath(unchecked: String(text[..<slash]))
  }

  func child(_ name: String) -> XenstorePath {
    XenstorePath(unchecked: isRoot ? "/" + name : text + "/" + name)
  }

  /// Whether this is `other` or lies below it.
  func isAtOrBelow(_ other: XenstorePath) -> Bool {
    if other.isRoot { return !isSpecial }
    let own = text.utf8
    let above = other.text.utf8
    guard own.count >= above.count, own.starts(with: above) else { return false }
    return own.count == above.count || own.dropFirst(above.count).first == UInt8(ascii: "/")
  }
}
