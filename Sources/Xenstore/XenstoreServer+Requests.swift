/// The requests of the wire protocol. Each function takes a payload and gives that of the reply.
///
/// Source: docs/misc/xenstore.txt.
extension XenstoreServer {
  private static let ok = Array("OK\0".utf8)
  /// "This domain", where a number of a domain is asked for (xen/include/public/xen.h, DOMID_SELF).
  private static let selfDomid: UInt16 = 0x7FF0

  struct Request {
    var payload: [UInt8]
    var connection: Connection
    var caller: Caller
    var transaction: Transaction?
    var ticket: UInt32
  }

  func answer(_ message: XenstoreMessage, on c: Connection, ticket: UInt32) throws(XenstoreError) -> [UInt8] {
    guard let type = message.type, type != .watchEvent, type != .error else { throw .ENOSYS }
    var request = Request(
      payload: message.payload, connection: c, caller: caller(of: c), transaction: nil, ticket: ticket)
    switch type {
    case .control, .introduce, .release, .isDomainIntroduced, .resume, .setTarget:
      guard request.caller.isPrivileged else { throw .EACCES }
    default: break
    }
    // Watches are outside of transactions, whatever the header says.
    if message.transactionID != 0, type != .watch, type != .unwatch {
      guard let transaction = c.transactions[message.transactionID] else { throw .ENOENT }
      request.transaction = transaction
    }
    return try answer(type, request)
  }

  private func answer(_ type: XenstoreMessageType, _ r: Request) throws(XenstoreError) -> [UInt8] {
    switch type {
    case .read: return try readable(r).value
    case .directory: return try readable(r).childList
    case .directoryPart: return try directoryPart(r)
    case .write:
      guard let end = r.payload.firstIndex(of: 0) else { throw .EINVAL }
      let path = try path(r.payload[..<end], r)
      try write(Array(r.payload[(end + 1)...]), at: path, r.caller, r.transaction, ticket: r.ticket)
    case .makeDirectory: try makeDirectory(at: path(only(r), r), r.caller, r.transaction, ticket: r.ticket)
    case .remove: try remove(path(only(r), r), r.caller, r.transaction, ticket: r.ticket)
    case .getPermissions:
      let node = try node(at: path(only(r), r, allowSpecial: true), needing: .read, r.caller, r.transaction)
      var reply: [UInt8] = []
      for entry in node.permissions.entries { reply.append(terminated: entry.description) }
      return reply
    case .setPermissions: try setPermissions(r)
    case .watch: try watch(r)
    case .unwatch: try unwatch(r)
    case .resetWatches:
      dropWatches(of: r.connection)
      dropTransactions(of: r.connection)
    case .transactionStart:
      guard r.transaction == nil else { throw .EBUSY }
      return terminated("\(try begin(on: r.connection).id)")
    case .transactionEnd: try endTransaction(r)
    case .getDomainPath: return terminated(XenstorePath.home(of: try domid(only(r))).text)
    case .isDomainIntroduced:
      let domid = try domid(only(r))
      return terminated(domid == 0 || domid == Self.selfDomid || domains[domid] != nil ? "T" : "F")
    case .introduce: try introduce(r)
    case .release: try releaseConnected(r)
    case .resume: domains[try connectedDomain(only(r))]?.isShutDown = false
    case .setTarget: try setTarget(r)
    case .control: return try control(r)
    case .watchEvent, .error: throw .ENOSYS
    }
    return Self.ok
  }

  // MARK: Parameters

  func terminated(_ text: String) -> [UInt8] { Array(text.utf8) + [0] }

  /// A payload that is one string: its only zero is its last byte.
  func only(_ r: Request) throws(XenstoreError) -> ArraySlice<UInt8> {
    guard let end = r.payload.firstIndex(of: 0), end == r.payload.count - 1 else { throw .EINVAL }
    return r.payload[..<end]
  }

  private func path(
    _ given: ArraySlice<UInt8>, _ r: Request, allowSpecial: Bool = false
  ) throws(XenstoreError) -> XenstorePath {
    try XenstorePath(
      given, home: r.caller.home, limit: r.caller.isPrivileged ? XenstorePath.absoluteLimit : quotas.pathLength,
      allowSpecial: allowSpecial)
  }

  func domid(_ text: ArraySlice<UInt8>) throws(XenstoreError) -> UInt16 {
    guard let number = text.decimal.flatMap(UInt16.init(exactly:)) else { throw .EINVAL }
    return number
  }

  private func readable(_ r: Request) throws(XenstoreError) -> Node {
    try node(at: path(only(r), r), needing: .read, r.caller, r.transaction)
  }

  // MARK: Nodes

  /// The node's generation, and as many whole names from the offset on as fit. An empty name marks the end of the list.
  private func directoryPart(_ r: Request) throws(XenstoreError) -> [UInt8] {
    let strings = r.payload[...].terminatedStrings
    guard strings.count == 2, let offset = strings[1].decimal else { throw .EINVAL }
    let node = try node(at: path(strings[0], r), needing: .read, r.caller, r.transaction)
    var reply = terminated("\(node.generation)")
    let list = node.childList
    guard offset < UInt64(list.count) else { return reply + [0] }
    var rest = list[Int(offset)...]
    let room = XenstoreMessage.payloadLimit - 1
    while let end = rest.firstIndex(of: 0), reply.count + (end - rest.startIndex) + 1 <= room {
      reply.append(contentsOf: rest[...end])
      rest = rest[(end + 1)...]
    }
    return rest.isEmpty ? reply + [0] : reply
  }

  private func setPermissions(_ r: Request) throws(XenstoreError) {
    let strings = r.payload[...].terminatedStrings
    guard strings.count >= 2 else { throw .EINVAL }
    guard r.caller.isPrivileged || strings.count - 1 <= quotas.permissionsPerNode else { throw .ENOSPC }
    var entries: [XenstorePermission] = []
    for text in strings.dropFirst() { entries.append(try XenstorePermission(text)) }
    try setPermissions(
      known(entries), at: path(strings[0], r, allowSpecial: true), r.caller, r.transaction, ticket: r.ticket)
  }

  /// Marks the entries of domains that are not there. An owner has to be there.
  func known(_ entries: [XenstorePermission]) throws(XenstoreError) -> NodePermissions {
    guard let owner = entries.first else { throw .EINVAL }
    func exists(_ domid: UInt16) -> Bool { domid == 0 || domains[domid] != nil || host.domainExists(domid) }
    guard exists(owner.domid) else { throw .ENOENT }
    return NodePermissions(entries, ignored: entries.map { !exists($0.domid) })
  }

  // MARK: Watches

  private func watch(_ r: Request) throws(XenstoreError) {
    let strings = r.payload[...].terminatedStrings
    guard strings.count == 2 else { throw .EINVAL }
    let path = try path(strings[0], r, allowSpecial: true)
    let isRelative = strings[0].first != UInt8(ascii: "/") && !path.isSpecial
    let c = r.connection
    let watch = Watch(
      path: path, token: Array(strings[1]), prefixLength: isRelative ? r.caller.home.utf8.count + 1 : 0)
    guard !c.watches.contains(where: { $0.path == path && $0.token == watch.token }) else { throw .EEXIST }
    guard r.caller.isPrivileged || usage(of: c.domid).watches < quotas.watches else { throw .E2BIG }
    guard !exceedsMemory(r.caller, adding: watch.size) else { throw .ENOMEM }
    c.watches.append(watch)
    charge(c.domid, watch.size)
    store.usage[c.domid, default: XenstoreUsage()].watches += 1
  }

  private func unwatch(_ r: Request) throws(XenstoreError) {
    let strings = r.payload[...].terminatedStrings
    guard strings.count == 2 else { throw .EINVAL }
    let path = try path(strings[0], r, allowSpecial: true)
    let c = r.connection
    guard let i = c.watches.firstIndex(where: { $0.path == path && $0.token == Array(strings[1]) }) else {
      throw .ENOENT
    }
    charge(c.domid, -c.watches[i].size)
    store.usage[c.domid, default: XenstoreUsage()].watches -= 1
    c.watches.remove(at: i)
  }

  // MARK: Transactions

  private func endTransaction(_ r: Request) throws(XenstoreError) {
    let word = try only(r)
    guard word.elementsEqual("T".utf8) || word.elementsEqual("F".utf8) else { throw .EINVAL }
    guard let transaction = r.transaction else { throw .ENOENT }
    // Whatever comes of it, the transaction is over, and its copies do not count against the domain any more.
    end(transaction, of: r.connection)
    if word.first == UInt8(ascii: "T") { try commit(transaction, r.caller, ticket: r.ticket) }
  }
}
