import Testing

@testable import Xenstore

@Suite struct StateTests {
  /// A server with something of everything in it.
  private func busyServer() -> (server: XenstoreServer, guest: XenstoreConnectionID, transaction: UInt32) {
    let server = XenstoreServer()
    let dom0 = Client(server)
    let guest = Client(server, domid: 3)
    server.introduce(4)
    server.domainHasShutDown(4)
    server.advance(to: 500)
    _ = dom0.ask(.makeDirectory, "/local/domain/3")
    _ = dom0.ask(.setPermissions, "/local/domain/3", "b3", "r4")
    _ = dom0.write("/local/domain/3/data", "d")
    _ = dom0.ask(.setTarget, "4", "3")
    _ = dom0.ask(.watch, "/local", "all")
    _ = guest.ask(.watch, "data", "rel")
    let transaction = guest.begin()
    _ = guest.write("inside", "i", in: transaction)
    _ = guest.ask(.read, "data", in: transaction)
    _ = guest.ask(.remove, "data", in: transaction)
    // Replies and events that nobody fetches, one of them half sent; and half a request.
    _ = server.receive(XenstoreMessage(.read, requestID: 9, payload: Array("data\0".utf8)).bytes, on: guest.id)
    _ = server.takeOutput(on: guest.id, upTo: 7)
    _ = server.receive(Array(XenstoreMessage(.read, requestID: 10, payload: Array("y\0".utf8)).bytes.prefix(17)), on: guest.id)
    return (server, guest.id, transaction)
  }

  @Test func aRestoredServerIsTheSame() throws {
    let (server, guest, transaction) = busyServer()
    let saved = server.save()
    let copy = try XenstoreServer(restoring: saved)
    #expect(copy.save() == saved)
    #expect(copy.isConsistent)
    #expect(copy.now == 500)
    for domid: UInt16 in [0, 3, 4] { #expect(copy.usage(of: domid) == server.usage(of: domid)) }

    // Both go on alike: the rest of the request, the output, the transaction, the watches.
    for s in [server, copy] {
      _ = s.receive([0], on: guest)
      let end = XenstoreMessage(.transactionEnd, requestID: 11, transactionID: transaction, payload: Array("T\0".utf8))
      _ = s.receive(end.bytes, on: guest)
    }
    let output = server.takeOutput(on: guest, upTo: .max)
    #expect(copy.takeOutput(on: guest, upTo: .max) == output)
    #expect(String(decoding: output, as: UTF8.self).contains("data\0rel\0"))
    #expect(try copy.readString("/local/domain/3/inside") == "i")
    #expect(!copy.exists("/local/domain/3/data"))
    #expect(copy.save() == server.save())
    copy.release(3)
    for id in copy.connectionsWithOutput { _ = copy.takeOutput(on: id, upTo: .max) }
    #expect(copy.usage(of: 3) == XenstoreUsage())
  }

  @Test func damagedStatesAreRefused() throws {
    let saved = busyServer().server.save()
    #expect(throws: XenstoreStateError.self) { try XenstoreServer(restoring: []) }
    #expect(throws: XenstoreStateError.self) { try XenstoreServer(restoring: Array("hello".utf8)) }
    for length in stride(from: 0, to: saved.count, by: 7) {
      #expect(throws: XenstoreStateError.self) { try XenstoreServer(restoring: Array(saved[..<length])) }
    }
    #expect(throws: XenstoreStateError.self) { try XenstoreServer(restoring: saved + [0]) }
  }

  /// Whatever bytes come, the server that is made of them works, or none is made.
  @Test func changedStatesNeverCrash() {
    let saved = busyServer().server.save()
    var random = SeededGenerator(state: 1)
    var refused = 0
    for _ in 0..<600 {
      var bytes = saved
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      guard let server = try? XenstoreServer(restoring: bytes) else {
        refused += 1
        continue
      }
      #expect(server.isConsistent)
      let client = Client(server)
      _ = client.write("/local/domain/3/data", "x")
      _ = client.ask(.remove, "/local")
      for id in server.connectionOrder { _ = server.takeOutput(on: id, upTo: 100) }
      server.release(3)
      #expect(server.isConsistent)
    }
    #expect(refused > 0 && refused < 600)
  }
}

/// A generator that gives the same numbers in every run (splitmix64).
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
