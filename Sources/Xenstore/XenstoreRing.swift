/// The page that a domain shares with the server: two rings of bytes, and who has read and written how far.
///
/// The domain may write anything there at any time. Offsets run freely, modulo 2³²; each is read once for each turn, and used
/// only if it makes sense.
///
/// Sources: xs_wire.h, struct xenstore_domain_interface; docs/misc/xenstore-ring.txt.
///
/// Not modelled: order of memory accesses between threads: the server and the domain's vCPUs take turns.
public struct XenstoreRing {
  /// Bytes of either ring (XENSTORE_RING_SIZE).
  public static let size = 1024
  /// What the server can do: the domain may ask for a new beginning, and is told why the server stopped.
  public static let features: UInt32 = 1 | 2

  private enum Field {
    static let requests = 0
    static let replies = 1024
    static let requestConsumer = 2048
    static let requestProducer = 2052
    static let replyConsumer = 2056
    static let replyProducer = 2060
    static let features = 2064
    static let connection = 2068
    static let error = 2072
    static let eventChannel = 2076
  }

  private let page: UnsafeMutableRawPointer

  /// - Parameter page: 4096 bytes that stay where they are as long as the ring is used.
  public init(page: UnsafeMutableRawPointer) { self.page = page }

  /// Makes the page that of a new connection.
  public func initialize() {
    clearOffsets()
    set(Field.features, Self.features)
    set(Field.connection, 0)
    set(Field.error, 0)
  }

  /// The domain's event channel, where the builder of the domain put one there; else 0.
  public var eventChannel: UInt32 { word(at: Field.eventChannel) }

  /// Counts the bytes of requests and replies, modulo 2³².
  public var movedBytes: UInt32 { word(at: Field.requestConsumer) &+ word(at: Field.replyProducer) }

  /// Does what the ring asks for: brings requests to the server, fetches replies and events.
  /// - Returns: whether the domain has to be told by its event channel.
  public func service(_ server: XenstoreServer, on connection: XenstoreConnectionID) -> Bool {
    if word(at: Field.connection) == 1 {
      server.reset(connection)
      clearOffsets()
      set(Field.error, 0)
      set(Field.connection, 0)
      return true
    }
    if server.failure(of: connection) != nil { return false }
    var changed = false
    // Replies make room for requests, and requests make replies, until neither does.
    while true {
      guard let sent = sendReplies(server, connection), let taken = takeRequests(server, connection) else {
        return stop(server, connection, .ringIndex)
      }
      if let reason = server.failure(of: connection) { return stop(server, connection, reason) }
      changed = changed || sent || taken
      if !sent && !taken { return changed }
    }
  }

  /// - Returns: whether any bytes moved, nil where the offsets are impossible.
  private func takeRequests(_ server: XenstoreServer, _ connection: XenstoreConnectionID) -> Bool? {
    let consumer = word(at: Field.requestConsumer)
    let available = Int(word(at: Field.requestProducer) &- consumer)
    guard available <= Self.size else { return nil }
    guard available > 0, server.canReceive(on: connection) else { return false }
    let bytes = (0..<UInt32(available)).map { i in
      page.load(fromByteOffset: Field.requests + Int((consumer &+ i) % UInt32(Self.size)), as: UInt8.self)
    }
    let taken = server.receive(bytes, on: connection)
    set(Field.requestConsumer, consumer &+ UInt32(taken))
    return taken > 0
  }

  private func sendReplies(_ server: XenstoreServer, _ connection: XenstoreConnectionID) -> Bool? {
    let producer = word(at: Field.replyProducer)
    let used = Int(producer &- word(at: Field.replyConsumer))
    guard used <= Self.size else { return nil }
    let bytes = server.takeOutput(on: connection, upTo: Self.size - used)
    for (i, byte) in bytes.enumerated() {
      let place = Field.replies + Int((producer &+ UInt32(i)) % UInt32(Self.size))
      page.storeBytes(of: byte, toByteOffset: place, as: UInt8.self)
    }
    set(Field.replyProducer, producer &+ UInt32(bytes.count))
    return !bytes.isEmpty
  }

  private func stop(
    _ server: XenstoreServer, _ connection: XenstoreConnectionID, _ reason: XenstoreConnectionError
  ) -> Bool {
    server.fail(connection, reason)
    set(Field.error, reason.rawValue)
    return true
  }

  private func clearOffsets() {
    for field in [Field.requestConsumer, Field.requestProducer, Field.replyConsumer, Field.replyProducer] { set(field, 0) }
  }

  private func word(at field: Int) -> UInt32 { UInt32(littleEndian: page.load(fromByteOffset: field, as: UInt32.self)) }

  private func set(_ field: Int, _ value: UInt32) {
    page.storeBytes(of: value.littleEndian, toByteOffset: field, as: UInt32.self)
  }
}
