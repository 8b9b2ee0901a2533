/// The store that domains and tools share: a tree of small values with permissions, watches and transactions, reached by
/// messages on connections. It does what Xen 4.17's xenstored does.
///
/// Nothing in here waits, reads a clock or depends on chance: the owner brings bytes (`receive`), fetches bytes
/// (`takeOutput`) and says how late it is (`advance`). How bytes travel (a ring page, a socket) is the transport's business.
///
/// A client may send anything. Whatever it sends, it gets an error for it at worst, or is not listened to any more; what it
/// takes up is bounded by `quotas`; a client that does not fetch its output is not read from, and holds up nobody else for
/// longer than `quotas.eventTimeout`.
///
/// Sources: docs/misc/xenstore.txt, xen/include/public/io/xs_wire.h.
///
/// Not modelled: the limit on writes a second (a domain that writes without end makes the transactions of others on the same
/// nodes fail with EAGAIN); soft quotas; live update; the later message types GET_FEATURE to SET_QUOTA and the depth of
/// watches, which Xen 4.17 does not have; logging switches of CONTROL.
public final class XenstoreServer {
  /// Bytes that may wait for a privileged client before its requests wait too. (Others are held by `quotas`.)
  static let privilegedOutputLimit = 1 << 20

  public var quotas: XenstoreQuotas
  public var host: XenstoreHost
  /// Domains that have all rights and no quotas, as domain 0 always has.
  public var privilegedDomains: Set<UInt16> = []

  var store = NodeStore()
  var connections: [XenstoreConnectionID: Connection] = [:]
  /// In the order in which they were made, in which they also get events.
  var connectionOrder: [XenstoreConnectionID] = []
  var nextConnection: UInt32 = 1
  var domains: [UInt16: DomainRecord] = [:]
  var tickets: [UInt32: Ticket] = [:]
  var nextTicket: UInt32 = 1
  var localWatches: [LocalWatch] = []
  var nextLocalWatch: UInt32 = 1
  var localEvents: [(watch: XenstoreWatchID, path: String)] = []
  var isDeliveringLocally = false
  public internal(set) var now: UInt64 = 0

  public init(quotas: XenstoreQuotas = XenstoreQuotas(), host: XenstoreHost = XenstoreHost()) {
    self.quotas = quotas
    self.host = host
  }

  // MARK: Connections

  /// Opens a connection that speaks for a domain; 0 is the control domain, as whom tools on a socket speak.
  public func connect(domid: UInt16) -> XenstoreConnectionID {
    let id = XenstoreConnectionID(number: nextConnection)
    nextConnection += 1
    connections[id] = Connection(id: id, domid: domid)
    connectionOrder.append(id)
    return id
  }

  /// Closes a connection: its watches and transactions end with it. An unknown one is ignored.
  public func disconnect(_ id: XenstoreConnectionID) {
    guard let c = connections[id] else { return }
    forget(c)
    connections[id] = nil
    connectionOrder.removeAll { $0 == id }
    for (domid, record) in domains where record.connection == id { domains[domid]?.connection = nil }
  }

  /// Brings a connection back to its first state, as after a ring was reset: no watches, transactions, or messages under way.
  public func reset(_ id: XenstoreConnectionID) {
    guard let c = connections[id] else { return }
    forget(c)
    c.failure = nil
  }

  /// Stops listening to a connection whose transport found it broken.
  public func fail(_ id: XenstoreConnectionID, _ reason: XenstoreConnectionError) {
    guard let c = connections[id] else { return }
    forget(c)
    c.failure = reason
  }

  /// Why the server does not listen to the connection any more, nil while it does.
  public func failure(of id: XenstoreConnectionID) -> XenstoreConnectionError? { connections[id]?.failure }

  /// All connections that have something to send, in a fixed order.
  public var connectionsWithOutput: [XenstoreConnectionID] {
    connectionOrder.filter { connections[$0]?.hasOutput == true }
  }

  /// What a domain takes up.
  public func usage(of domid: UInt16) -> XenstoreUsage { store.usage[domid] ?? XenstoreUsage() }

  private func forget(_ c: Connection) {
    dropWatches(of: c)
    dropTransactions(of: c)
    for message in c.dropAll() { settle(message, of: c) }
    c.input = XenstoreMessageAssembler()
  }

  func dropWatches(of c: Connection) {
    for watch in c.watches { charge(c.domid, -watch.size) }
    store.usage[c.domid, default: XenstoreUsage()].watches -= c.watches.count
    c.watches = []
  }

  func dropTransactions(of c: Connection) {
    for transaction in c.transactions.values { end(transaction, of: c) }
  }

  // MARK: Bytes in and out

  /// Whether the server reads from the connection now: not while too much that it asked for waits to be delivered.
  public func canReceive(on id: XenstoreConnectionID) -> Bool {
    guard let c = connections[id], c.failure == nil else { return false }
    guard !isPrivileged(c.domid) else { return c.outputSize < Self.privilegedOutputLimit }
    let usage = usage(of: c.domid)
    return usage.outstanding < quotas.outstanding && usage.memory <= quotas.memory
  }

  /// Takes bytes that a client sent, and does what they ask for.
  /// - Returns: how many bytes were taken. The rest is to be brought again when `canReceive` says so.
  public func receive(_ bytes: [UInt8], on id: XenstoreConnectionID) -> Int {
    guard let c = connections[id] else { return 0 }
    var rest = bytes[...]
    while !rest.isEmpty, canReceive(on: id) {
      do {
        guard let message = try c.input.next(from: &rest) else { break }
        process(message, on: c)
      } catch {
        fail(id, error)
      }
    }
    deliverLocally()
    return bytes.count - rest.count
  }

  public func hasOutput(on id: XenstoreConnectionID) -> Bool { connections[id]?.hasOutput ?? false }

  /// Bytes that wait for the client.
  public func outputSize(on id: XenstoreConnectionID) -> Int { connections[id]?.outputSize ?? 0 }

  /// Bytes for the client, at most `limit`.
  public func takeOutput(on id: XenstoreConnectionID, upTo limit: Int) -> [UInt8] {
    guard let c = connections[id] else { return [] }
    let (bytes, done) = c.dequeue(upTo: limit)
    for message in done { settle(message, of: c) }
    return bytes
  }

  /// Says how late it is, in milliseconds of a clock of the owner's choice, and drops events that waited too long.
  public func advance(to milliseconds: UInt64) {
    now = max(now, milliseconds)
    for id in connectionOrder {
      guard let c = connections[id], c.hasOutput else { continue }
      for message in c.dropLate(at: now) { settle(message, of: c) }
    }
  }

  // MARK: Accounts

  func isPrivileged(_ domid: UInt16) -> Bool { domid == 0 || privilegedDomains.contains(domid) }

  func caller(of c: Connection) -> Caller {
    Caller(domid: c.domid, target: domains[c.domid]?.target, isPrivileged: isPrivileged(c.domid))
  }

  func charge(_ domid: UInt16, _ bytes: Int) {
    store.usage[domid, default: XenstoreUsage()].memory += bytes
  }

  /// Whether `bytes` more would be too much for the caller.
  func exceedsMemory(_ caller: Caller, adding bytes: Int) -> Bool {
    !caller.isPrivileged && usage(of: caller.domid).memory + bytes > quotas.memory
  }

  /// Starts counting a request of an unprivileged domain as outstanding.
  private func openTicket(for c: Connection) -> UInt32 {
    guard !isPrivileged(c.domid) else { return 0 }
    while nextTicket == 0 || tickets[nextTicket] != nil { nextTicket &+= 1 }
    let number = nextTicket
    nextTicket &+= 1
    tickets[number] = Ticket(domid: c.domid, pending: 1)
    store.usage[c.domid, default: XenstoreUsage()].outstanding += 1
    return number
  }

  private func settle(_ message: Outgoing, of c: Connection) {
    charge(c.domid, -message.bytes.count)
    settle(message.ticket)
  }

  private func settle(_ number: UInt32) {
    guard var ticket = tickets[number] else { return }
    ticket.pending -= 1
    tickets[number] = ticket.pending > 0 ? ticket : nil
    if ticket.pending <= 0 { store.usage[ticket.domid, default: XenstoreUsage()].outstanding -= 1 }
  }

  private func send(_ message: XenstoreMessage, on c: Connection, ticket: UInt32, deadline: UInt64? = nil) {
    tickets[ticket]?.pending += 1
    c.queue(Outgoing(bytes: message.bytes, ticket: ticket, deadline: deadline))
    charge(c.domid, message.bytes.count)
  }

  // MARK: Requests and events

  private func process(_ message: XenstoreMessage, on c: Connection) {
    let ticket = openTicket(for: c)
    defer { settle(ticket) }
    var reply = XenstoreMessage(
      rawType: message.rawType, requestID: message.requestID, transactionID: message.transactionID, payload: [])
    do {
      reply.payload = try answer(message, on: c, ticket: ticket)
      guard reply.payload.count <= XenstoreMessage.payloadLimit else { throw XenstoreError.E2BIG }
      // A short reply is always given: an error must be possible.
      if reply.payload.count > 256, exceedsMemory(caller(of: c), adding: reply.payload.count) {
        throw XenstoreError.ENOMEM
      }
    } catch {
      reply.rawType = XenstoreMessageType.error.rawValue
      reply.payload = []
      reply.payload.append(terminated: ((error as? XenstoreError) ?? .EIO).rawValue)
    }
    // RELEASE and the like may have ended the connection that asked.
    guard connections[c.id] === c, c.failure == nil else { return }
    send(reply, on: c, ticket: ticket)
    if reply.type == .watch, let watch = c.watches.last {
      // A new watch fires once, so that its client looks at what is there already.
      sendEvent(watch.payload(for: watch.path), to: c, ticket: 0)
    }
  }

  /// Sends the events of a change to all who watch it and may see it, or keeps them for the commit.
  /// - Parameter old: the node's permissions before; who could see it then is told of the change.
  func fire(
    _ path: XenstorePath, _ scope: WatchScope, old: NodePermissions? = nil, in transaction: Transaction? = nil,
    ticket: UInt32 = 0
  ) {
    if let transaction { return transaction.noteEvent(scope, at: path) }
    var readers = old.map { [$0] } ?? []
    if let node = store[path] {
      readers.append(node.permissions)
      if !path.isSpecial, let parent = store[path.parent] { readers.append(parent.permissions) }
    }
    for id in connectionOrder {
      guard let c = connections[id], !c.watches.isEmpty else { continue }
      let receiver = caller(of: c)
      guard readers.contains(where: { $0.rights(of: receiver).contains(.read) }) else { continue }
      for watch in c.watches where watch.matches(path, scope) {
        sendEvent(watch.payload(for: path), to: c, ticket: ticket)
      }
    }
    for watch in localWatches where Watch(path: watch.path, token: [], prefixLength: 0).matches(path, scope) {
      localEvents.append((watch.id, path.text))
    }
  }

  private func sendEvent(_ payload: [UInt8], to c: Connection, ticket: UInt32) {
    guard payload.count <= XenstoreMessage.payloadLimit, !c.isWaiting(event: payload) else { return }
    let receiver = caller(of: c)
    guard !exceedsMemory(receiver, adding: XenstoreMessage.headerSize + payload.count) else { return }
    send(
      XenstoreMessage(.watchEvent, payload: payload), on: c, ticket: ticket,
      deadline: receiver.isPrivileged ? nil : now &+ quotas.eventTimeout)
  }
}

/// What the server asks of the program around it.
public struct XenstoreHost {
  /// A tool asked by INTRODUCE to serve a domain: attach its ring page (guest frame number and event channel given, grant 1
  /// holds the same page) to the connection. False, where that is impossible, refuses the request with EINVAL.
  public var introduce: (_ domid: UInt16, _ gfn: Int64, _ port: UInt32, XenstoreConnectionID) -> Bool
  /// The domain's connection was ended by RELEASE.
  public var release: (_ domid: UInt16) -> Void
  /// Whether there is a domain of that number: a permission for one that is not there yet must not apply to it later.
  public var domainExists: (_ domid: UInt16) -> Bool
  /// CONTROL print.
  public var print: (String) -> Void

  public init(
    introduce: @escaping (_ domid: UInt16, _ gfn: Int64, _ port: UInt32, XenstoreConnectionID) -> Bool = { _, _, _, _ in true },
    release: @escaping (_ domid: UInt16) -> Void = { _ in },
    domainExists: @escaping (_ domid: UInt16) -> Bool = { _ in true },
    print: @escaping (String) -> Void = { _ in }
  ) {
    self.introduce = introduce
    self.release = release
    self.domainExists = domainExists
    self.print = print
  }
}
