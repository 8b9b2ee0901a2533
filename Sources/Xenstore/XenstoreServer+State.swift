/// Saving the server with everything in it, and making one again from it.
///
/// Kept: the tree with its generations, domains, connections with partly received requests and undelivered output, watches,
/// open transactions, the clock. Not kept: quotas and the watches of the hosting program; the owner sets both again.
extension XenstoreServer {
  private static let magic = Array("xenstore state 1".utf8)

  /// The whole state. Equal states give equal bytes.
  public func save() -> [UInt8] {
    var w = RecordWriter()
    w.put(Self.magic)
    w.put(store.generation)
    w.put(now)
    var open: [XenstorePath] = [.releaseDomain, .introduceDomain, .root]
    var nodes: [(XenstorePath, Node)] = []
    while let path = open.popLast() {
      guard let node = store[path] else { continue }
      nodes.append((path, node))
      open.append(contentsOf: node.children.reversed().map { path.child($0) })
    }
    w.put(nodes) { $0.put($1.0.text); Self.put($1.1, &$0) }
    w.put(domains.sorted { $0.key < $1.key }) { w, entry in
      w.put(UInt64(entry.key))
      w.put(entry.value.connection.map { UInt64($0.number) })
      w.put(entry.value.isShutDown)
      w.put(entry.value.target.map(UInt64.init))
    }
    w.put(UInt64(nextConnection))
    w.put(tickets.sorted { $0.key < $1.key }) { w, entry in
      w.put(UInt64(entry.key))
      w.put(UInt64(entry.value.domid))
    }
    w.put(connectionOrder.compactMap { connections[$0] }) { Self.put($1, &$0) }
    return w.bytes
  }

  /// Makes a server from saved bytes, which may come from anywhere.
  public convenience init(
    restoring bytes: [UInt8], quotas: XenstoreQuotas = XenstoreQuotas(), host: XenstoreHost = XenstoreHost()
  ) throws(XenstoreStateError) {
    self.init(quotas: quotas, host: host)
    var r = RecordReader(bytes[...])
    guard try r.text() == Self.magic else { throw XenstoreStateError(description: "this is no saved xenstore") }
    let generation = try r.number()
    now = try r.number()
    let nodes = try r.list { r throws(XenstoreStateError) in (try r.path(), try Self.node(&r)) }
    store = NodeStore(restoring: nodes, generation: generation)
    guard nodes.count == store.nodes.count, nodes.allSatisfy({ $0.1.generation <= generation }), isConsistent else {
      throw RecordReader.damaged
    }
    let records = try r.list { r throws(XenstoreStateError) in
      let domid = try r.number(UInt16.self)
      let connection = try r.optional().map { XenstoreConnectionID(number: UInt32(truncatingIfNeeded: $0)) }
      let isShutDown = try r.flag()
      let target = try r.optional().map { UInt16(truncatingIfNeeded: $0) }
      return (domid, DomainRecord(connection: connection, isShutDown: isShutDown, target: target))
    }
    domains = Dictionary(records) { $1 }
    nextConnection = try r.number(UInt32.self)
    let requests = try r.list { r throws(XenstoreStateError) in (try r.number(UInt32.self), try r.number(UInt16.self)) }
    tickets = Dictionary(requests.map { ($0.0, Ticket(domid: $0.1, pending: 0)) }) { $1 }
    let restored = try r.list(Self.connection)
    guard r.isAtEnd else { throw RecordReader.damaged }
    for c in restored {
      guard c.id.number < nextConnection, connections[c.id] == nil else { throw RecordReader.damaged }
      connections[c.id] = c
      connectionOrder.append(c.id)
      takeIntoAccount(c)
    }
    guard tickets.allSatisfy({ $0.value.pending > 0 }),
      domains.values.allSatisfy({ $0.connection == nil || connections[$0.connection!] != nil })
    else { throw RecordReader.damaged }
    for ticket in tickets.values { store.usage[ticket.domid, default: XenstoreUsage()].outstanding += 1 }
    nextTicket = (tickets.keys.max() ?? 0) &+ 1
  }

  private func takeIntoAccount(_ c: Connection) {
    var usage = usage(of: c.domid)
    usage.watches += c.watches.count
    usage.transactions += c.transactions.count
    usage.memory += c.watches.reduce(0) { $0 + $1.size } + c.transactions.values.reduce(0) { $0 + $1.size } + c.outputSize
    store.usage[c.domid] = usage
    for message in c.waiting { tickets[message.ticket]?.pending += 1 }
  }

  // MARK: Parts

  private static func put(_ permissions: NodePermissions, _ w: inout RecordWriter) {
    w.put(Array(zip(permissions.entries, permissions.ignored))) { w, entry in
      w.put(entry.0.description)
      w.put(entry.1)
    }
  }

  private static func permissions(_ r: inout RecordReader) throws(XenstoreStateError) -> NodePermissions {
    let entries = try r.list { r throws(XenstoreStateError) in
      guard let entry = try? XenstorePermission(r.text()[...]) else { throw RecordReader.damaged }
      return (entry, try r.flag())
    }
    guard !entries.isEmpty else { throw RecordReader.damaged }
    return NodePermissions(entries.map { $0.0 }, ignored: entries.map { $0.1 })
  }

  private static func put(_ node: Node, _ w: inout RecordWriter) {
    w.put(node.value)
    put(node.permissions, &w)
    w.put(node.children) { $0.put($1) }
    w.put(node.generation)
  }

  private static func node(_ r: inout RecordReader) throws(XenstoreStateError) -> Node {
    let value = try r.text()
    let permissions = try permissions(&r)
    let children = try r.list { r throws(XenstoreStateError) in
      let name = try r.text()
      guard !name.isEmpty, !name.contains(UInt8(ascii: "/")) else { throw RecordReader.damaged }
      return String(decoding: name, as: UTF8.self)
    }
    return Node(value: value, permissions: permissions, children: children, generation: try r.number())
  }

  private static func put(_ c: Connection, _ w: inout RecordWriter) {
    w.put(UInt64(c.id.number))
    w.put(UInt64(c.domid))
    w.put(c.failure.map { UInt64($0.rawValue) })
    w.put(c.input.pending)
    w.put(c.sentBytes)
    w.put(Array(c.waiting)) { w, message in
      w.put(message.bytes)
      w.put(UInt64(message.ticket))
      w.put(message.deadline)
    }
    w.put(c.watches) { w, watch in
      w.put(watch.path.text)
      w.put(watch.token)
      w.put(watch.prefixLength)
    }
    w.put(UInt64(c.nextTransactionID))
    w.put(c.transactions.values.sorted { $0.id < $1.id }) { put($1, &$0) }
  }

  private static func connection(_ r: inout RecordReader) throws(XenstoreStateError) -> Connection {
    let id = XenstoreConnectionID(number: try r.number(UInt32.self))
    let c = Connection(id: id, domid: try r.number(UInt16.self))
    if let failure = try r.optional() {
      guard let reason = XenstoreConnectionError(rawValue: UInt32(truncatingIfNeeded: failure)) else {
        throw RecordReader.damaged
      }
      c.failure = reason
    }
    let pending = try r.text()
    guard pending.count < XenstoreMessage.headerSize + XenstoreMessage.payloadLimit else { throw RecordReader.damaged }
    c.input = XenstoreMessageAssembler(pending: pending)
    let sentBytes = try r.number(Int.self)
    let messages = try r.list { r throws(XenstoreStateError) in
      let bytes = try r.text()
      guard bytes.count >= XenstoreMessage.headerSize else { throw RecordReader.damaged }
      return Outgoing(bytes: bytes, ticket: try r.number(UInt32.self), deadline: try r.optional())
    }
    guard sentBytes >= 0, sentBytes == 0 || sentBytes < messages.first?.bytes.count ?? 0 else { throw RecordReader.damaged }
    c.restoreOutput(messages, sentBytes: sentBytes)
    c.watches = try r.list { r throws(XenstoreStateError) in
      let path = try r.path()
      let token = try r.text()
      let prefixLength = try r.number(Int.self)
      guard !token.contains(0), (0...path.text.utf8.count).contains(prefixLength) else { throw RecordReader.damaged }
      return Watch(path: path, token: token, prefixLength: prefixLength)
    }
    c.nextTransactionID = try r.number(UInt32.self)
    for transaction in try r.list(transaction) { c.transactions[transaction.id] = transaction }
    return c
  }

  private static func put(_ transaction: Transaction, _ w: inout RecordWriter) {
    w.put(UInt64(transaction.id))
    w.put(transaction.hasFailed)
    w.put(transaction.order) { w, path in
      guard let entry = transaction.entries[path] else { return }
      w.put(path.text)
      w.put(entry.base)
      w.put(entry.basePermissions != nil)
      if let permissions = entry.basePermissions { put(permissions, &w) }
      w.put(entry.node != nil)
      if let node = entry.node { put(node, &w) }
      w.put(entry.isModified)
      w.put(entry.event.map { UInt64($0.rawValue) })
    }
  }

  private static func transaction(_ r: inout RecordReader) throws(XenstoreStateError) -> Transaction {
    let id = try r.number(UInt32.self)
    let hasFailed = try r.flag()
    let entries = try r.list { r throws(XenstoreStateError) in
      let path = try r.path()
      var entry = Transaction.Entry(base: try r.optional())
      if try r.flag() { entry.basePermissions = try permissions(&r) }
      if try r.flag() { entry.node = try node(&r) }
      entry.isModified = try r.flag()
      entry.event = try r.optional().flatMap { WatchScope(rawValue: UInt8(truncatingIfNeeded: $0)) }
      return (path, entry)
    }
    return Transaction(id: id, restoring: entries, hasFailed: hasFailed)
  }
}
