import Testing

@testable import Xenstore

/// A page as a domain sees it.
final class Page {
  let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
  private(set) var notifications = 0

  init() { memory.initializeMemory(as: UInt8.self, repeating: 0, count: 4096) }
  deinit { memory.deallocate() }

  subscript(field: Int) -> UInt32 {
    get { memory.load(fromByteOffset: field, as: UInt32.self) }
    set { memory.storeBytes(of: newValue, toByteOffset: field, as: UInt32.self) }
  }

  /// Puts bytes into the request ring, as many as have room.
  func send(_ bytes: [UInt8]) -> Int {
    let room = 1024 - Int(self[2052] &- self[2048])
    for byte in bytes.prefix(room) {
      memory.storeBytes(of: byte, toByteOffset: Int(self[2052] % 1024), as: UInt8.self)
      self[2052] &+= 1
    }
    return min(room, bytes.count)
  }

  func receive() -> [UInt8] {
    var bytes: [UInt8] = []
    while self[2056] != self[2060] {
      bytes.append(memory.load(fromByteOffset: 1024 + Int(self[2056] % 1024), as: UInt8.self))
      self[2056] &+= 1
    }
    return bytes
  }
}

@Suite struct RingTests {
  let server = XenstoreServer()
  let page = Page()
  let ring: XenstoreRing
  let connection: XenstoreConnectionID

  init() throws {
    connection = server.introduce(3)
    try server.makeDirectory("/local/domain/3")
    try server.setPermissions("/local/domain/3", [XenstorePermission(.none, 3)])
    ring = XenstoreRing(page: page.memory)
    ring.initialize()
  }

  @Test func aNewRing() {
    #expect(page[2064] == 3)
    #expect(page[2068] == 0 && page[2072] == 0)
    #expect(!ring.service(server, on: connection))
    page[2076] = 17
    #expect(ring.eventChannel == 17)
  }

  @Test func requestsAndReplies() {
    let request = XenstoreMessage(.write, requestID: 6, payload: Array("x\0hello".utf8)).bytes
    #expect(page.send(request) == request.count)
    #expect(ring.service(server, on: connection))
    #expect(page[2048] == page[2052])
    #expect(page.receive() == XenstoreMessage(.write, requestID: 6, payload: Array("OK\0".utf8)).bytes)
    #expect(!ring.service(server, on: connection))
    // The domain has read: that alone is no reason to tell it something.
    #expect((try? server.readString("/local/domain/3/x")) == "hello")
  }

  /// Requests and replies longer than the rings, across the wrap of the ring and of the offsets.
  @Test(arguments: [0, 1000, UInt32.max - 500])
  func longMessages(start: UInt32) throws {
    for field in [2048, 2052, 2056, 2060] { page[field] = start }
    let value = (0..<1900).map { UInt8(truncatingIfNeeded: $0) }
    var bytes = XenstoreMessage(.write, requestID: 1, payload: Array("x\0".utf8) + value).bytes
    bytes += XenstoreMessage(.read, requestID: 2, payload: Array("x\0".utf8)).bytes
    var rest = bytes
    var received: [UInt8] = []
    for _ in 0..<10 {
      rest.removeFirst(page.send(rest))
      _ = ring.service(server, on: connection)
      received += page.receive()
    }
    #expect(rest.isEmpty)
    let expected =
      XenstoreMessage(.write, requestID: 1, payload: Array("OK\0".utf8)).bytes
      + XenstoreMessage(.read, requestID: 2, payload: value).bytes
    #expect(received == expected)
  }

  @Test func eventsComeUnasked() throws {
    _ = page.send(XenstoreMessage(.watch, payload: Array("x\0t\0".utf8)).bytes)
    _ = ring.service(server, on: connection)
    _ = page.receive()
    try server.write("/local/domain/3/x", "1")
    #expect(ring.service(server, on: connection))
    #expect(page.receive() == XenstoreMessage(.watchEvent, payload: Array("x\0t\0".utf8)).bytes)
  }

  @Test(arguments: [(2052, 1025 as UInt32), (2052, UInt32.max), (2060, 1025), (2056, 1)])
  func impossibleOffsetsEndTheConnection(field: Int, value: UInt32) {
    page[field] = value
    #expect(ring.service(server, on: connection))
    #expect(page[2072] == 2)
    #expect(server.failure(of: connection) == .ringIndex)
    #expect(!ring.service(server, on: connection))

    // The domain may begin anew.
    page[2068] = 1
    #expect(ring.service(server, on: connection))
    #expect([2048, 2052, 2056, 2060, 2068, 2072].allSatisfy { page[$0] == 0 })
    _ = page.send(XenstoreMessage(.getDomainPath, payload: Array("3\0".utf8)).bytes)
    #expect(ring.service(server, on: connection))
    #expect(page.receive().count == 16 + 16)
  }

  @Test func brokenMessagesEndTheConnection() {
    var bytes = XenstoreMessage(.read, payload: []).bytes
    bytes[13] = 0xFF
    _ = page.send(bytes)
    #expect(ring.service(server, on: connection))
    #expect(page[2072] == 3)
  }

  @Test func aRingThatIsNotReadHoldsBackRequests() {
    let request = XenstoreMessage(.getDomainPath, payload: Array("3\0".utf8)).bytes
    var sent = 0
    for _ in 0..<1000 {
      sent += page.send(request)
      _ = ring.service(server, on: connection)
    }
    #expect(server.usage(of: 3).outstanding <= server.quotas.outstanding)
    #expect(page[2052] &- page[2048] <= 1024)
    var replies = 0
    for _ in 0..<100 {
      replies += page.receive().count
      _ = ring.service(server, on: connection)
    }
    #expect(replies == sent / request.count * 32)
  }
}
