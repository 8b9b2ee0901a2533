/// The store for the program that hosts the server: without messages, with all rights.
extension XenstoreServer {
  private func path(_ text: String, allowSpecial: Bool = false) throws(XenstoreError) -> XenstorePath {
    try XenstorePath(
      Array(text.utf8)[...], home: Caller.toolstack.home, limit: XenstorePath.absoluteLimit, allowSpecial: allowSpecial)
  }

  /// The value of a node. Relative paths are those of domain 0, here and below.
  public func read(_ text: String) throws(XenstoreError) -> [UInt8] {
    try node(at: path(text), needing: .read, .toolstack, nil).value
  }

  /// The value of a node as text.
  public func readString(_ text: String) throws(XenstoreError) -> String {
    String(decoding: try read(text), as: UTF8.self)
  }

  /// Writes a value; nodes that are missing are made.
  public func write(_ text: String, _ value: [UInt8]) throws(XenstoreError) {
    defer { deliverLocally() }
    try write(value, at: path(text), .toolstack, nil, ticket: 0)
  }

  /// Writes a value; nodes that are missing are made.
  public func write(_ text: String, _ value: String) throws(XenstoreError) { try write(text, Array(value.utf8)) }

  /// Makes a node with an empty value where there is none.
  public func makeDirectory(_ text: String) throws(XenstoreError) {
    defer { deliverLocally() }
    try makeDirectory(at: path(text), .toolstack, nil, ticket: 0)
  }

  /// Removes a node and all below it.
  public func remove(_ text: String) throws(XenstoreError) {
    defer { deliverLocally() }
    try remove(path(text), .toolstack, nil, ticket: 0)
  }

  /// The names of the nodes directly below one, in the order of their creation.
  public func list(_ text: String) throws(XenstoreError) -> [String] {
    try node(at: path(text), needing: .read, .toolstack, nil).children
  }

  public func exists(_ text: String) -> Bool { (try? read(text)) != nil }

  /// The permissions of a node or of a special name; the first entry names its owner.
  public func permissions(_ text: String) throws(XenstoreError) -> [XenstorePermission] {
    try node(at: path(text, allowSpecial: true), needing: .read, .toolstack, nil).permissions.entries
  }

  /// Sets the permissions of a node or of a special name. The domains named need not be there yet.
  public func setPermissions(_ text: String, _ entries: [XenstorePermission]) throws(XenstoreError) {
    guard !entries.isEmpty else { throw .EINVAL }
    defer { deliverLocally() }
    try setPermissions(NodePermissions(entries), at: path(text, allowSpecial: true), .toolstack, nil, ticket: 0)
  }

  /// Calls `handler` with the path of every change at or below a path, or with the special name watched, and once at the
  /// start. Calls come after the change is complete, in order, and may use the server.
  public func watch(
    _ text: String, handler: @escaping (String) -> Void
  ) throws(XenstoreError) -> XenstoreWatchID {
    let watch = LocalWatch(
      id: XenstoreWatchID(number: nextLocalWatch), path: try path(text, allowSpecial: true), handler: handler)
    nextLocalWatch += 1
    localWatches.append(watch)
    localEvents.append((watch.id, watch.path.text))
    deliverLocally()
    return watch.id
  }

  public func unwatch(_ id: XenstoreWatchID) { localWatches.removeAll { $0.id == id } }

  /// Calls the handlers of events that wait. A handler's own changes are queued behind.
  func deliverLocally() {
    guard !isDeliveringLocally else { return }
    isDeliveringLocally = true
    defer { isDeliveringLocally = false }
    while !localEvents.isEmpty {
      let batch = localEvents
      localEvents = []
      for event in batch { localWatches.first { $0.id == event.watch }?.handler(event.path) }
    }
  }
}
