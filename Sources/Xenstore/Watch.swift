/// Which watches an event on a node reaches.
enum WatchScope: UInt8 {
  /// Only those set on that very node.
  case exact
  /// Also those set on a node above it.
  case subtree
}

/// A watch of a connection.
struct Watch: Equatable {
  var path: XenstorePath
  /// The client's own bytes, without a zero in them; every event repeats them.
  var token: [UInt8]
  /// Bytes to leave out in front of the paths of its events: a watch that was set by a relative path gets relative ones.
  var prefixLength: Int

  func matches(_ event: XenstorePath, _ scope: WatchScope) -> Bool {
    switch scope {
    case .exact: event == path
    case .subtree: event.isAtOrBelow(path)
    }
  }

  /// Path and token, each with a zero: the payload of the event.
  func payload(for event: XenstorePath) -> [UInt8] {
    var result: [UInt8] = []
    result.append(contentsOf: event.text.utf8.dropFirst(prefixLength))
    result.append(0)
    result.append(contentsOf: token)
    result.append(0)
    return result
  }

  /// Bytes as quotas count them.
  var size: Int { path.text.utf8.count + token.count }
}

/// A watch of the program that hosts the server.
struct LocalWatch {
  var id: XenstoreWatchID
  var path: XenstorePath
  var handler: (String) -> Void
}

/// Names a watch of the program that hosts the server.
public struct XenstoreWatchID: Hashable, Sendable {
  let number: UInt32
}
