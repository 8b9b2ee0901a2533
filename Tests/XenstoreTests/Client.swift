import Testing
@testable import Xenstore

/// A client of the server under test, on a connection of its own.
final class Client {
  let server: XenstoreServer
  let id: XenstoreConnectionID
  /// Events that came while replies were awaited, as "path token".
  private(set) var events: [String] = []
  private var requestID: UInt32 = 0
  private var assembler = XenstoreMessageAssembler()

  /// Introduces the domain, or connects as the control domain.
  init(_ server: XenstoreServer, domid: UInt16 = 0) {
    self.server = server
    id = domid == 0 ? server.connect(domid: 0) : server.introduce(domid)
  }

  /// Everything the server has for this client.
  func messages() -> [XenstoreMessage] {
    var result: [XenstoreMessage] = []
    var bytes = server.takeOutput(on: id, upTo: .max)[...]
    while !bytes.isEmpty {
      guard let message = try? assembler.next(from: &bytes) else { break }
      result.append(message)
    }
    return result
  }

  /// Sends a request and returns its reply.
  @discardableResult
  func send(_ type: XenstoreMessageType, _ payload: [UInt8], in transaction: UInt32 = 0) -> XenstoreMessage? {
    requestID += 1
    let request = XenstoreMessage(type, requestID: requestID, transactionID: transaction, payload: payload)
    _ = server.receive(request.bytes, on: id)
    return collect().first { $0.requestID == requestID }
  }

  /// The same with strings, each of which gets its zero.
  @discardableResult
  func send(_ type: XenstoreMessageType, _ strings: String..., in transaction: UInt32 = 0) -> XenstoreMessage? {
    send(type, strings.flatMap { Array($0.utf8) + [0] }, in: transaction)
  }

  /// The reply's payload as text with "|" for zeros, or the name of the error with a "!" in front.
  func ask(_ type: XenstoreMessageType, _ strings: String..., in transaction: UInt32 = 0) -> String {
    text(send(type, strings.flatMap { Array($0.utf8) + [0] }, in: transaction))
  }

  func text(_ reply: XenstoreMessage?) -> String {
    guard let reply else { return "(no reply)" }
    let text = String(decoding: reply.payload.map { $0 == 0 ? UInt8(ascii: "|") : $0 }, as: UTF8.self)
    return reply.type == .error ? "!" + text.dropLast() : text
  }

  func write(_ path: String, _ value: String, in transaction: UInt32 = 0) -> String {
    text(send(.write, Array(path.utf8) + [0] + Array(value.utf8), in: transaction))
  }

  func begin() -> UInt32 {
    guard let reply = send(.transactionStart, ""), reply.type == .transactionStart else { return 0 }
    return UInt32(String(decoding: reply.payload.dropLast(), as: UTF8.self)) ?? 0
  }

  /// Events that have come since the last call.
  func takeEvents() -> [String] {
    _ = collect()
    defer { events = [] }
    return events
  }

  private func collect() -> [XenstoreMessage] {
    let all = messages()
    for message in all where message.type == .watchEvent {
      #expect(message.requestID == 0 && message.transactionID == 0)
      let parts = message.strings.map { String(decoding: $0, as: UTF8.self) }
      events.append(parts.joined(separator: " "))
    }
    return all.filter { $0.type != .watchEvent }
  }
}
