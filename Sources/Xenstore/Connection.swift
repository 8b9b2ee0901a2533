/// Names a connection of the server. Numbers are not used twice.
public struct XenstoreConnectionID: Hashable, Sendable, Comparable {
  public let number: UInt32

  public static func < (a: Self, b: Self) -> Bool { a.number < b.number }
}

/// A message on its way to a client.
struct Outgoing {
  var bytes: [UInt8]
  /// The request it belongs to, or that caused it; 0 for none. See `Ticket`.
  var ticket: UInt32
  /// Milliseconds of the owner's clock at which an event is dropped if it has not been fetched.
  var deadline: UInt64?

  var isEvent: Bool { bytes.littleEndianWord(at: 0) == XenstoreMessageType.watchEvent.rawValue }
  var payload: ArraySlice<UInt8> { bytes[XenstoreMessage.headerSize...] }
}

/// A request that is not done with: its reply, or an event that it caused elsewhere, is not delivered yet.
struct Ticket {
  var domid: UInt16
  /// Messages to be delivered, and 1 while the request is being worked on.
  var pending: Int
}

/// The server's end of a ring or socket.
final class Connection {
  let id: XenstoreConnectionID
  let domid: UInt16
  var input = XenstoreMessageAssembler()
  /// What is to be sent, oldest first; messages before `outputHead` are sent already.
  private(set) var output: [Outgoing] = []
  private(set) var outputHead = 0
  /// Bytes of the first message that are sent already.
  private(set) var sentBytes = 0
  /// Payloads of the events in `output`: one that waits already is not queued again.
  private var waitingEvents: Set<[UInt8]> = []
  var watches: [Watch] = []
  var transactions: [UInt32: Transaction] = [:]
  var nextTransactionID: UInt32 = 1
  var failure: XenstoreConnectionError?

  init(id: XenstoreConnectionID, domid: UInt16) {
    self.id = id
    self.domid = domid
  }

  var hasOutput: Bool { outputHead < output.count }
  /// Messages that wait.
  var waiting: ArraySlice<Outgoing> { output[outputHead...] }
  /// Bytes of the messages that wait.
  private(set) var outputSize = 0

  func isWaiting(event payload: [UInt8]) -> Bool { waitingEvents.contains(payload) }

  func queue(_ message: Outgoing) {
    // Special events are not the same because they look the same: each stands for another domain.
    if message.isEvent, message.payload.first != UInt8(ascii: "@") { waitingEvents.insert(Array(message.payload)) }
    output.append(message)
    outputSize += message.bytes.count
  }

  /// Takes up to `limit` bytes off the queue.
  /// - Returns: the bytes, and the messages that are sent completely with them.
  func dequeue(upTo limit: Int) -> (bytes: [UInt8], done: [Outgoing]) {
    var bytes: [UInt8] = []
    var done: [Outgoing] = []
    while bytes.count < limit, hasOutput {
      let message = output[outputHead]
      let part = message.bytes[sentBytes...].prefix(limit - bytes.count)
      bytes.append(contentsOf: part)
      sentBytes += part.count
      guard sentBytes == message.bytes.count else { break }
      sentBytes = 0
      outputHead += 1
      outputSize -= message.bytes.count
      waitingEvents.remove(Array(message.payload))
      done.append(message)
    }
    if outputHead == output.count || outputHead > 1024 {
      output.removeFirst(outputHead)
      outputHead = 0
    }
    return (bytes, done)
  }

  /// Drops the events whose deadline is past, but for one that is partly sent.
  func dropLate(at now: UInt64) -> [Outgoing] {
    var kept: [Outgoing] = []
    var dropped: [Outgoing] = []
    for (i, message) in waiting.enumerated() {
      if let deadline = message.deadline, deadline <= now, i > 0 || sentBytes == 0 {
        waitingEvents.remove(Array(message.payload))
        outputSize -= message.bytes.count
        dropped.append(message)
      } else {
        kept.append(message)
      }
    }
    guard !dropped.isEmpty else { return [] }
    output = kept
    outputHead = 0
    return dropped
  }

  func dropAll() -> [Outgoing] {
    defer {
      output = []
      outputHead = 0
      sentBytes = 0
      outputSize = 0
      waitingEvents = []
    }
    return Array(waiting)
  }

  func restoreOutput(_ messages: [Outgoing], sentBytes: Int) {
    for message in messages { queue(message) }
    self.sentBytes = sentBytes
  }
}
