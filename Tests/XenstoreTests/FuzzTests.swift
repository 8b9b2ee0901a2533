import Testing

@testable import Xenstore

/// Clients that mean no good. Whatever they send, the server stays whole, within bounds, and of use to others.
@Suite struct FuzzTests {
  private func check(_ server: XenstoreServer, _ guests: [UInt16]) {
    #expect(server.isConsistent)
    for domid in guests {
      let usage = server.usage(of: domid)
      #expect(usage.memory >= 0 && usage.memory <= server.quotas.memory + 10_000)
      #expect((0...server.quotas.nodes).contains(usage.nodes))
      #expect((0...server.quotas.watches).contains(usage.watches))
      #expect((0...server.quotas.transactions).contains(usage.transactions))
      #expect((0...server.quotas.outstanding).contains(usage.outstanding))
    }
  }

  private func release(_ guests: [UInt16], of server: XenstoreServer) {
    for domid in guests { server.release(domid) }
    for domid in guests { #expect(server.usage(of: domid) == XenstoreUsage()) }
    #expect(server.isConsistent)
    let dom0 = Client(server)
    #expect(dom0.write("/alive", "yes") == "OK|")
    #expect(dom0.ask(.read, "/alive") == "yes")
  }

  @Test func randomBytes() {
    var random = SeededGenerator(state: 7)
    let server = XenstoreServer()
    let guests: [UInt16] = [1, 2, 3]
    for _ in 0..<3000 {
      let domid = guests.randomElement(using: &random)!
      let id = server.introduce(domid)
      // Mostly small words, so that many headers are sound.
      let bytes = (0..<Int.random(in: 1...200, using: &random)).map { i in
        i % 4 == 0 ? UInt8.random(in: 0...24, using: &random) : Bool.random(using: &random) ? 0 : UInt8.random(in: 0...255, using: &random)
      }
      _ = server.receive(bytes, on: id)
      _ = server.takeOutput(on: id, upTo: Int.random(in: 0...100, using: &random))
    }
    check(server, guests)
    release(guests, of: server)
  }

  /// Sound messages with few paths, so that domains meet; output is fetched now and then.
  @Test(arguments: 1...6)
  func randomRequests(seed: UInt64) {
    var random = SeededGenerator(state: seed)
    var quotas = XenstoreQuotas()
    quotas.nodes = 40
    quotas.memory = 30_000
    quotas.watches = 10
    quotas.transactions = 3
    quotas.transactionNodes = 20
    let server = XenstoreServer(quotas: quotas)
    let guests: [UInt16] = [1, 2, 3]
    var ids: [XenstoreConnectionID] = []
    for domid in guests {
      ids.append(server.introduce(domid))
      try? server.makeDirectory("/local/domain/\(domid)")
      try? server.setPermissions("/local/domain/\(domid)", [XenstorePermission(.readWrite, domid)])
    }
    let control = server.connect(domid: 0)
    let names = ["a", "b", "a/b", "a/b/c", "/", "/local", "/local/domain/1", "/local/domain/2/a", "/local/domain/3/a/b", "@releaseDomain", ""]
    let words = ["n1", "b2", "r3", "w0", "n2", "T", "F", "1", "2", "0", "token", "99999", ""]
    for round in 0..<6000 {
      let id = Int.random(in: 0..<20, using: &random) == 0 ? control : ids.randomElement(using: &random)!
      var payload = Array(names.randomElement(using: &random)!.utf8) + [0]
      switch Int.random(in: 0..<8, using: &random) {
      case 0: payload = []
      case 1: payload = Array(words.randomElement(using: &random)!.utf8) + [0]
      case 2, 3: payload += Array(words.randomElement(using: &random)!.utf8) + [0]
      case 4:
        for _ in 0..<Int.random(in: 1...8, using: &random) { payload += Array(words.randomElement(using: &random)!.utf8) + [0] }
      case 5: payload += [UInt8](repeating: 120, count: Int.random(in: 0...3000, using: &random))
      default: break
      }
      // The control domain asks for anything but the end of the test.
      var type = UInt32.random(in: 0...24, using: &random)
      if id == control, type == 8 || type == 9 { type = 2 }
      let message = XenstoreMessage(
        rawType: type, requestID: UInt32(round),
        transactionID: Bool.random(using: &random) ? 0 : UInt32.random(in: 1...12, using: &random), payload: payload)
      let bytes = message.bytes
      let taken = server.receive(bytes, on: id)
      #expect(taken == bytes.count || taken == 0 || !server.canReceive(on: id))
      // What was not taken of a message is brought later, as a transport does.
      var rest = Array(bytes[taken...])
      for _ in 0..<100 where !rest.isEmpty {
        _ = server.takeOutput(on: id, upTo: 1000)
        if !server.hasOutput(on: id) { server.advance(to: server.now + 20_000) }
        rest.removeFirst(server.receive(rest, on: id))
      }
      // The control domain gave it more than its share, and it has no more words left.
      if !rest.isEmpty { server.reset(id) }
      if Int.random(in: 0..<3, using: &random) == 0 {
        _ = server.takeOutput(on: ids.randomElement(using: &random)!, upTo: Int.random(in: 1...5000, using: &random))
      }
      if round % 500 == 0 {
        check(server, guests)
        if let copy = try? XenstoreServer(restoring: server.save(), quotas: server.quotas) {
          #expect(copy.save() == server.save())
          for domid in guests + [0] { #expect(copy.usage(of: domid) == server.usage(of: domid)) }
        } else {
          Issue.record("a saved server cannot be restored")
        }
      }
    }
    check(server, guests)
    server.disconnect(control)
    release(guests, of: server)
  }

  /// A ring page full of anything.
  @Test func randomPages() {
    var random = SeededGenerator(state: 3)
    let server = XenstoreServer()
    let page = Page()
    let ring = XenstoreRing(page: page.memory)
    let connection = server.introduce(2)
    for _ in 0..<2000 {
      for _ in 0..<20 {
        page.memory.storeBytes(
          of: UInt8.random(in: 0...30, using: &random), toByteOffset: Int.random(in: 0..<1024, using: &random), as: UInt8.self)
      }
      page[Int.random(in: 512...520, using: &random) * 4] = UInt32.random(in: 0...1100, using: &random)
      if Int.random(in: 0..<3, using: &random) == 0 { page[2068] = 1 }
      _ = ring.service(server, on: connection)
    }
    check(server, [2])
    release([2], of: server)
  }
}
