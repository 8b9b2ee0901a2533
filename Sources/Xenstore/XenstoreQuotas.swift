/// What an unprivileged domain may take up. The numbers are those of Xen 4.17's xenstored.
public struct XenstoreQuotas: Equatable, Sendable {
  /// Nodes it owns. ENOSPC beyond.
  public var nodes = 1000
  /// Watches it has set. E2BIG beyond.
  public var watches = 128
  /// Transactions it has open. ENOSPC beyond.
  public var transactions = 10
  /// Requests whose replies, or events caused elsewhere, are not delivered yet: beyond, its requests wait.
  public var outstanding = 20
  /// Bytes of everything kept for it. ENOMEM beyond; events are dropped and its requests wait.
  public var memory = 2_621_440
  /// Nodes read or changed in a transaction. ENOSPC beyond.
  public var transactionNodes = 1024
  /// Entries in a permission list. ENOSPC beyond.
  public var permissionsPerNode = 5
  /// Bytes of a path behind the domain's own directory. EINVAL beyond.
  public var pathLength = 2048
  /// Bytes of a node: value, children's names, permissions, header. ENOSPC beyond.
  public var nodeSize = 2048
  /// Milliseconds after which an event that its receiver does not fetch is dropped, so that it holds up nobody else.
  public var eventTimeout: UInt64 = 20_000

  public init() {}

  /// The names that `xenstore-control quota` shows.
  static let fields: [(name: String, path: WritableKeyPath<XenstoreQuotas, Int> & Sendable)] = [
    ("nodes", \.nodes), ("watches", \.watches), ("transactions", \.transactions), ("outstanding", \.outstanding),
    ("memory", \.memory), ("transaction-nodes", \.transactionNodes), ("node-permissions", \.permissionsPerNode),
    ("path-max", \.pathLength), ("node-size", \.nodeSize),
  ]
}

/// What a domain takes up at the moment.
public struct XenstoreUsage: Equatable, Sendable {
  public internal(set) var nodes = 0
  public internal(set) var memory = 0
  public internal(set) var watches = 0
  public internal(set) var transactions = 0
  public internal(set) var outstanding = 0
}
