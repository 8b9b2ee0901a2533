/// An open transaction: the nodes it has touched, as it sees them, and what they were when it first looked.
///
/// Nodes it has not touched are seen as they are. That is safe, because a commit succeeds only if every node touched is
/// still the one that was seen: what was read then holds at one moment, that of the commit.
final class Transaction {
  struct Entry {
    /// The node's generation when the transaction first touched it; nil where there was no node.
    var base: UInt64?
    /// Its permissions then: who could see the node is told of its end.
    var basePermissions: NodePermissions?
    /// As the transaction sees it; nil where it does not exist.
    var node: Node?
    var isModified = false
    /// The event to fire on commit.
    var event: WatchScope?
  }

  let id: UInt32
  private(set) var entries: [XenstorePath: Entry] = [:]
  /// In the order of their first touch: commits and events follow it.
  private(set) var order: [XenstorePath] = []
  /// A change was refused half-way for want of room: the rest must not be committed.
  var hasFailed = false
  /// Nodes that the transaction would add to each owner.
  private(set) var addedNodes: [UInt16: Int] = [:]
  /// Bytes kept.
  private(set) var size = 0

  init(id: UInt32) { self.id = id }

  init(id: UInt32, restoring entries: [(XenstorePath, Entry)], hasFailed: Bool) {
    self.id = id
    self.hasFailed = hasFailed
    for (path, entry) in entries where self.entries[path] == nil {
      order.append(path)
      self.entries[path] = entry
      size += Self.size(path, entry.node)
      if entry.isModified {
        if let owner = entry.basePermissions?.owner { addedNodes[owner, default: 0] -= 1 }
        if let owner = entry.node?.permissions.owner { addedNodes[owner, default: 0] += 1 }
      }
    }
  }

  private static func size(_ path: XenstorePath, _ node: Node?) -> Int { 64 + path.text.utf8.count + (node?.size ?? 0) }

  /// Remembers a node as it is in the store, at its first touch.
  func adopt(_ node: Node?, at path: XenstorePath) {
    order.append(path)
    entries[path] = Entry(base: node?.generation, basePermissions: node?.permissions, node: node)
    size += Self.size(path, node)
  }

  /// Replaces a node that was touched before.
  func set(_ node: Node?, at path: XenstorePath) {
    guard var entry = entries[path] else { return }
    if let owner = entry.node?.permissions.owner { addedNodes[owner, default: 0] -= 1 }
    if let owner = node?.permissions.owner { addedNodes[owner, default: 0] += 1 }
    size += (node?.size ?? 0) - (entry.node?.size ?? 0)
    entry.node = node
    entry.isModified = true
    entries[path] = entry
  }

  /// An event of the whole subtree replaces one of the node alone, not the other way round.
  func noteEvent(_ scope: WatchScope, at path: XenstorePath) {
    guard entries[path]?.event != .subtree else { return }
    entries[path]?.event = scope
  }
}
