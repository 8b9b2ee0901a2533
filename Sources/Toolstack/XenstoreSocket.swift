import Control
import Xenstore

/// The way of Xen's own tools into the store (`xenstore-ls` and its like, by XENSTORED_PATH): a socket whose bytes are the store's messages.
/// Who reaches it speaks as the control domain.
public final class XenstoreSocket: StreamService {
  /// Bytes of events that a tool may leave unread. The store has no limit for the control domain; a tool that asks for events and does not
  /// read them is not listened to any more.
  private static let backlog = 8 << 20

  private let store: XenstoreServer
  private var numbers: [ObjectIdentifier: XenstoreConnectionID] = [:]

  public init(_ store: XenstoreServer) { self.store = store }

  public func opened(_ connection: StreamConnection) { numbers[ObjectIdentifier(connection)] = store.connect(domid: 0) }

  public func closed(_ connection: StreamConnection) {
    if let number = numbers.removeValue(forKey: ObjectIdentifier(connection)) { store.disconnect(number) }
  }

  public func takes(from connection: StreamConnection) -> Bool {
    guard let number = numbers[ObjectIdentifier(connection)] else { return false }
    return store.canReceive(on: number)
  }

  public func received(_ bytes: [UInt8], on connection: StreamConnection) -> Int {
    guard let number = numbers[ObjectIdentifier(connection)] else { return bytes.count }
    let taken = store.receive(bytes, on: number)
    // What is no message ends the connection: nothing behind it can be understood.
    guard store.failure(of: number) == nil else {
      connection.close()
      return bytes.count
    }
    return taken
  }

  public func moreOutput(for connection: StreamConnection, upTo limit: Int) -> [UInt8] {
    guard let number = numbers[ObjectIdentifier(connection)] else { return [] }
    if store.outputSize(on: number) > Self.backlog { connection.abort() }
    return store.takeOutput(on: number, upTo: limit)
  }
}
