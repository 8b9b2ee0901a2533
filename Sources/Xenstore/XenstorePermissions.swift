/// What a domain may do with a node: one entry of its permission list.
///
/// Source: docs/misc/xenstore.txt, SET_PERMS.
public struct XenstorePermission: Equatable, Sendable {
  public enum Access: Character, Sendable, CaseIterable {
    case none = "n"
    case read = "r"
    case write = "w"
    case readWrite = "b"

    var reads: Bool { self == .read || self == .readWrite }
    var writes: Bool { self == .write || self == .readWrite }
  }

  public var domid: UInt16
  public var access: Access

  public init(_ access: Access, _ domid: UInt16) {
    self.access = access
    self.domid = domid
  }

  /// "b3": both for domain 3.
  init(_ text: ArraySlice<UInt8>) throws(XenstoreError) {
    guard let first = text.first, let access = Access(rawValue: Character(UnicodeScalar(first))),
      let domid = text.dropFirst().decimal.flatMap(UInt16.init(exactly:))
    else { throw .EINVAL }
    self.init(access, domid)
  }

  public var description: String { "\(access.rawValue)\(domid)" }
}

/// The permission list of a node. The first entry names the owner, who may do everything, and what domains without
/// an entry of their own may do.
struct NodePermissions: Equatable {
  var entries: [XenstorePermission]
  /// One for each entry: it named no existing domain when it was set, so it must not apply to a later one of that number.
  var ignored: [Bool]

  init(_ entries: [XenstorePermission], ignored: [Bool]? = nil) {
    self.entries = entries
    self.ignored = ignored ?? [Bool](repeating: false, count: entries.count)
  }

  var owner: UInt16 { entries[0].domid }

  /// What a child of the node starts with: the same, but an unprivileged domain owns what it creates.
  func inherited(by caller: Caller) -> NodePermissions {
    var result = self
    if !caller.isPrivileged { result.entries[0].domid = caller.domid }
    return result
  }

  /// The first entry of the caller, or of the domain it acts for, decides.
  func rights(of caller: Caller) -> Rights {
    if caller.isPrivileged || caller.speaks(for: owner) { return .all }
    for i in entries.indices.dropFirst() where !ignored[i] && caller.speaks(for: entries[i].domid) {
      return Rights(entries[i].access)
    }
    return Rights(entries[0].access)
  }

  /// Forgets a domain that is no more.
  /// - Returns: whether there was an entry of it.
  mutating func remove(_ domid: UInt16) -> Bool {
    let kept = entries.indices.filter { $0 == 0 || entries[$0].domid != domid }
    guard kept.count < entries.count else { return false }
    ignored = kept.map { ignored[$0] }
    entries = kept.map { entries[$0] }
    return true
  }
}

struct Rights: OptionSet {
  let rawValue: UInt8
  static let read = Rights(rawValue: 1)
  static let write = Rights(rawValue: 2)
  static let owner = Rights(rawValue: 4)
  static let all: Rights = [.read, .write, .owner]

  init(rawValue: UInt8) { self.rawValue = rawValue }
  init(_ access: XenstorePermission.Access) {
    self = []
    if access.reads { insert(.read) }
    if access.writes { insert(.write) }
  }
}

/// In whose name something is done.
struct Caller {
  var domid: UInt16
  /// The domain it may act for (SET_TARGET).
  var target: UInt16?
  /// The control domain and the toolstack: all rights, no quotas.
  var isPrivileged: Bool

  static let toolstack = Caller(domid: 0, target: nil, isPrivileged: true)

  var home: String { XenstorePath.home(of: domid).text }

  func speaks(for other: UInt16) -> Bool { domid == other || target == other }
}
