/// Nodes, as a caller sees and changes them, in the store itself or in a transaction's view of it.
extension XenstoreServer {
  /// The node at a path; a transaction notes that it was looked at.
  func look(at path: XenstorePath, _ caller: Caller, _ transaction: Transaction?) throws(XenstoreError) -> Node? {
    guard let transaction else { return store[path] }
    if let entry = transaction.entries[path] { return entry.node }
    if !caller.isPrivileged, transaction.entries.count >= quotas.transactionNodes {
      transaction.hasFailed = true
      throw .ENOSPC
    }
    let node = store[path]
    let before = transaction.size
    guard !exceedsMemory(caller, adding: (node?.size ?? 0) + path.text.utf8.count + 64) else {
      transaction.hasFailed = true
      throw .ENOMEM
    }
    transaction.adopt(node, at: path)
    charge(caller.domid, transaction.size - before)
    return node
  }

  /// The same for checks of permissions, which do not make the transaction depend on the node.
  private func glance(at path: XenstorePath, _ transaction: Transaction?) -> Node? {
    if let entry = transaction?.entries[path] { return entry.node }
    return store[path]
  }

  private func set(_ node: Node?, at path: XenstorePath, _ caller: Caller, _ transaction: Transaction?) {
    guard let transaction else {
      if let node { store.put(node, at: path) } else { store.remove(path) }
      return
    }
    let before = transaction.size
    var node = node
    node?.generation = store.nextGeneration()
    transaction.set(node, at: path)
    charge(caller.domid, transaction.size - before)
  }

  /// The node, if it is there and the caller has the rights. Else the error tells no more than the caller may know: whether
  /// the node exists is told only to those who have one of the rights on the nearest node above.
  func node(
    at path: XenstorePath, needing rights: Rights, _ caller: Caller, _ transaction: Transaction?
  ) throws(XenstoreError) -> Node {
    let found = try look(at: path, caller, transaction)
    if let found, found.permissions.rights(of: caller).isSuperset(of: rights) { return found }
    var above = path.parent
    while !above.isRoot, glance(at: above, transaction) == nil { above = above.parent }
    guard let permissions = glance(at: above, transaction)?.permissions,
      !permissions.rights(of: caller).isDisjoint(with: rights)
    else { throw .EACCES }
    throw found == nil ? .ENOENT : .EACCES
  }

  /// As `node(at:needing:)`, with nil for a node that is not there but may be made.
  private func writableNode(
    at path: XenstorePath, _ caller: Caller, _ transaction: Transaction?
  ) throws(XenstoreError) -> Node? {
    do {
      return try node(at: path, needing: .write, caller, transaction)
    } catch {
      guard error == .ENOENT else { throw error }
      return nil
    }
  }

  func write(
    _ value: [UInt8], at path: XenstorePath, _ caller: Caller, _ transaction: Transaction?, ticket: UInt32
  ) throws(XenstoreError) {
    if var node = try writableNode(at: path, caller, transaction) {
      let growth = value.count - node.value.count
      node.value = value
      try check(node, caller)
      guard growth <= 0 || !exceedsMemory(caller, adding: growth) else { throw .ENOMEM }
      set(node, at: path, caller, transaction)
    } else {
      try create(path, value: value, caller, transaction)
    }
    fire(path, .subtree, in: transaction, ticket: ticket)
  }

  func makeDirectory(
    at path: XenstorePath, _ caller: Caller, _ transaction: Transaction?, ticket: UInt32
  ) throws(XenstoreError) {
    guard try writableNode(at: path, caller, transaction) == nil else { return }
    try create(path, value: [], caller, transaction)
    fire(path, .subtree, in: transaction, ticket: ticket)
  }

  /// Makes a node and those missing above it; all, or none where there is no room.
  private func create(
    _ path: XenstorePath, value: [UInt8], _ caller: Caller, _ transaction: Transaction?
  ) throws(XenstoreError) {
    var missing: [XenstorePath] = []
    var above = path
    var parent: Node?
    repeat {
      missing.append(above)
      above = above.parent
      parent = try look(at: above, caller, transaction)
    } while parent == nil && !above.isRoot
    guard var parent, let top = missing.last else { throw .EIO }

    let permissions = parent.permissions.inherited(by: caller)
    var made: [(XenstorePath, Node)] = []
    for (i, place) in missing.enumerated() {
      var node = Node(permissions: permissions)
      if i == 0 { node.value = value } else { node.children = [missing[i - 1].name] }
      try check(node, caller)
      made.append((place, node))
    }
    parent.children.append(top.name)
    try check(parent, caller)
    if !caller.isPrivileged {
      let owned = usage(of: caller.domid).nodes + (transaction?.addedNodes[caller.domid] ?? 0)
      guard owned + made.count <= quotas.nodes else { throw .ENOSPC }
      let bytes = made.reduce(0) { $0 + $1.0.text.utf8.count + $1.1.size }
      guard !exceedsMemory(caller, adding: bytes) else { throw .ENOMEM }
    }
    set(parent, at: above, caller, transaction)
    for (place, node) in made.reversed() { set(node, at: place, caller, transaction) }
  }

  private func check(_ node: Node, _ caller: Caller) throws(XenstoreError) {
    guard caller.isPrivileged || node.size <= quotas.nodeSize else { throw .ENOSPC }
  }

  func remove(
    _ path: XenstorePath, _ caller: Caller, _ transaction: Transaction?, ticket: UInt32
  ) throws(XenstoreError) {
    guard try writableNode(at: path, caller, transaction) != nil else {
      // Not being there is what was asked for, as long as the node above is there.
      guard glance(at: path.parent, transaction) != nil else { throw .ENOENT }
      return
    }
    guard !path.isRoot else { throw .EINVAL }
    try removeSubtree(path, caller, transaction, ticket: ticket)
  }

  private func removeSubtree(
    _ path: XenstorePath, _ caller: Caller, _ transaction: Transaction?, ticket: UInt32
  ) throws(XenstoreError) {
    // All are looked at before the first goes, so that a transaction without room for them fails as a whole.
    guard var parent = try look(at: path.parent, caller, transaction) else { throw .EIO }
    var victims: [XenstorePath] = []
    var open = [path]
    while let next = open.popLast() {
      victims.append(next)
      for name in try look(at: next, caller, transaction)?.children ?? [] { open.append(next.child(name)) }
    }
    // From the leaves up: a node's permissions are there to be asked when its event is sent.
    for victim in victims.reversed() {
      fire(victim, victim == path ? .subtree : .exact, in: transaction, ticket: ticket)
      set(nil, at: victim, caller, transaction)
    }
    parent.children.removeAll { $0 == path.name }
    set(parent, at: path.parent, caller, transaction)
  }

  func setPermissions(
    _ permissions: NodePermissions, at path: XenstorePath, _ caller: Caller, _ transaction: Transaction?, ticket: UInt32
  ) throws(XenstoreError) {
    var node = try node(at: path, needing: [.write, .owner], caller, transaction)
    guard caller.isPrivileged || permissions.owner == node.permissions.owner else { throw .EPERM }
    let old = node.permissions
    node.permissions = permissions
    try check(node, caller)
    set(node, at: path, caller, transaction)
    fire(path, .subtree, old: old, in: transaction, ticket: ticket)
  }

  // MARK: Transactions

  func begin(on c: Connection) throws(XenstoreError) -> Transaction {
    guard isPrivileged(c.domid) || usage(of: c.domid).transactions < quotas.transactions else { throw .ENOSPC }
    while c.nextTransactionID == 0 || c.transactions[c.nextTransactionID] != nil { c.nextTransactionID &+= 1 }
    let transaction = Transaction(id: c.nextTransactionID)
    c.nextTransactionID &+= 1
    c.transactions[transaction.id] = transaction
    store.usage[c.domid, default: XenstoreUsage()].transactions += 1
    return transaction
  }

  /// Gives back what a transaction takes up.
  func end(_ transaction: Transaction, of c: Connection) {
    c.transactions[transaction.id] = nil
    store.usage[c.domid, default: XenstoreUsage()].transactions -= 1
    charge(c.domid, -transaction.size)
  }

  /// Makes a transaction's changes everybody's, or none of them.
  func commit(_ transaction: Transaction, _ caller: Caller, ticket: UInt32) throws(XenstoreError) {
    guard !transaction.hasFailed else { throw .ENOMEM }
    for path in transaction.order where transaction.entries[path]?.base != store[path]?.generation { throw .EAGAIN }
    if !caller.isPrivileged {
      for (owner, added) in transaction.addedNodes where added > 0 && !isPrivileged(owner) {
        guard usage(of: owner).nodes + added <= quotas.nodes else { throw .ENOSPC }
      }
    }
    for path in transaction.order {
      guard let entry = transaction.entries[path], entry.isModified else { continue }
      if let node = entry.node { store.put(node, at: path) } else { store.remove(path) }
    }
    for path in transaction.order {
      guard let entry = transaction.entries[path], let scope = entry.event else { continue }
      fire(path, scope, old: entry.basePermissions, ticket: ticket)
    }
  }

  // MARK: The end of a domain

  /// Removes what a domain owned, with everything below, and the permissions others gave it.
  func removeAll(of domid: UInt16) {
    var open: [XenstorePath] = [.releaseDomain, .introduceDomain, .root]
    while let path = open.popLast() {
      guard var node = store[path] else { continue }
      if node.permissions.owner == domid, !path.isRoot, !path.isSpecial {
        try? removeSubtree(path, .toolstack, nil, ticket: 0)
        continue
      }
      // The root and the special names stay whatever happens.
      let owned = node.permissions.owner == domid
      if owned { node.permissions.entries[0].domid = 0 }
      if node.permissions.remove(domid) || owned { store.put(node, at: path) }
      open.append(contentsOf: node.children.reversed().map { path.child($0) })
    }
  }
}
