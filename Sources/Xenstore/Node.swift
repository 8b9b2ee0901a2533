/// A node of the tree, in the store or in a transaction's view of it.
struct Node: Equatable {
  var value: [UInt8] = []
  var permissions: NodePermissions
  /// Names of the nodes directly below, in the order of their creation.
  var children: [String] = []
  /// The count of all changes when this node was last changed. No two changes have the same.
  var generation: UInt64 = 0

  /// Bytes that the node's directory takes in a DIRECTORY reply.
  var childListSize: Int { children.reduce(0) { $0 + $1.utf8.count + 1 } }

  /// Bytes as quotas count them: a header of 24, 8 for each permission, value and children.
  var size: Int { 24 + 8 * permissions.entries.count + value.count + childListSize }

  /// The names, each with a zero.
  var childList: [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(childListSize)
    for name in children { result.append(terminated: name) }
    return result
  }
}

/// All nodes, by path, with the account of what each domain owns.
struct NodeStore {
  private(set) var nodes: [XenstorePath: Node] = [:]
  private(set) var generation: UInt64 = 0
  /// By owner.
  var usage: [UInt16: XenstoreUsage] = [:]

  /// The tree as a xenstored starts with: a root that belongs to the control domain, and the special watches.
  init() {
    let own = NodePermissions([XenstorePermission(.none, 0)])
    var root = Node(permissions: own)
    root.children = ["tool"]
    var tool = Node(permissions: own)
    tool.children = ["xenstored"]
    put(root, at: .root)
    put(tool, at: .root.child("tool"))
    put(Node(permissions: own), at: .root.child("tool").child("xenstored"))
    put(Node(permissions: own), at: .introduceDomain)
    put(Node(permissions: own), at: .releaseDomain)
  }

  init(restoring nodes: [(XenstorePath, Node)], generation: UInt64) {
    for (path, node) in nodes { account(path, node, sign: 1) }
    self.nodes = Dictionary(nodes) { $1 }
    self.generation = generation
  }

  subscript(path: XenstorePath) -> Node? { nodes[path] }

  mutating func nextGeneration() -> UInt64 {
    generation &+= 1
    return generation
  }

  mutating func put(_ node: Node, at path: XenstorePath) {
    if let old = nodes[path] { account(path, old, sign: -1) }
    var node = node
    node.generation = nextGeneration()
    account(path, node, sign: 1)
    nodes[path] = node
  }

  mutating func remove(_ path: XenstorePath) {
    guard let old = nodes.removeValue(forKey: path) else { return }
    _ = nextGeneration()
    account(path, old, sign: -1)
  }

  private mutating func account(_ path: XenstorePath, _ node: Node, sign: Int) {
    usage[node.permissions.owner, default: XenstoreUsage()].nodes += sign
    usage[node.permissions.owner, default: XenstoreUsage()].memory += sign * (node.size + path.text.utf8.count)
  }
}
