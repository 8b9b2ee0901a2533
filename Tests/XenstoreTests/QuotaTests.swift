import Testing

@testable import Xenstore

@Suite struct QuotaTests {
  let server: XenstoreServer
  let dom0: Client
  let guest: Client

  init() {
    var quotas = XenstoreQuotas()
    quotas.nodes = 10
    quotas.watches = 3
    quotas.transactions = 2
    quotas.transactionNodes = 8
    server = XenstoreServer(quotas: quotas)
    dom0 = Client(server)
    guest = Client(server, domid: 4)
    _ = dom0.ask(.makeDirectory, "/local/domain/4")
    _ = dom0.ask(.setPermissions, "/local/domain/4", "n4")
  }

  @Test func nodes() {
    for i in 1..<10 { #expect(guest.write("n\(i)", "") == "OK|") }
    #expect(server.usage(of: 4).nodes == 10)
    #expect(guest.write("n10", "") == "!ENOSPC")
    #expect(guest.ask(.makeDirectory, "n10") == "!ENOSPC")
    #expect(guest.write("n1", "still") == "OK|")
    _ = guest.ask(.remove, "n1")
    #expect(guest.write("n2/x", "") == "OK|")
    #expect(guest.write("n2/y", "") == "!ENOSPC")
    #expect(dom0.write("/local/domain/4/more", "") == "OK|")
    #expect(server.isConsistent)
  }

  /// A path whose last nodes have no room leaves none of the first behind.
  @Test func pathsAreMadeAsAWhole() {
    #expect(guest.write("a/b/c/d/e/f/g/h/i/j/k", "") == "!ENOSPC")
    #expect(guest.ask(.directory, "/local/domain/4") == "")
    #expect(server.usage(of: 4).nodes == 1)
    #expect(server.isConsistent)
  }

  @Test func nodesInTransactions() {
    server.quotas.transactionNodes = 1000
    let t = guest.begin()
    for i in 1..<10 { #expect(guest.write("n\(i)", "", in: t) == "OK|") }
    #expect(guest.write("n10", "", in: t) == "!ENOSPC")
    #expect(guest.ask(.transactionEnd, "T", in: t) == "OK|")
    #expect(server.usage(of: 4).nodes == 10)

    // Two that each have room for themselves do not have it together.
    _ = guest.ask(.remove, "n1")
    _ = guest.write("d1", "")
    _ = guest.ask(.remove, "n2")
    _ = guest.ask(.remove, "n3")
    let u = guest.begin()
    let v = guest.begin()
    #expect(guest.write("n4/a", "", in: u) == "OK|")
    #expect(guest.write("n4/b", "", in: u) == "OK|")
    #expect(guest.write("n5/a", "", in: v) == "OK|")
    #expect(guest.ask(.transactionEnd, "T", in: u) == "OK|")
    #expect(guest.ask(.transactionEnd, "T", in: v) == "!ENOSPC")
    #expect(server.isConsistent)
  }

  @Test func sizesOfNodes() {
    #expect(guest.write("big", String(repeating: "v", count: 2048 - 32)) == "OK|")
    #expect(guest.write("big", String(repeating: "v", count: 2048 - 31)) == "!ENOSPC")
    #expect(guest.write("bigger", String(repeating: "v", count: 2048 - 31)) == "!ENOSPC")
    #expect(dom0.write("/big", String(repeating: "v", count: 4000)) == "OK|")
    // The names of children count as well.
    #expect(guest.write("big/child", "") == "!ENOSPC")
    #expect(server.isConsistent)
  }

  @Test func watches() {
    for i in 1...3 { #expect(guest.ask(.watch, "w", "\(i)") == "OK|") }
    #expect(guest.ask(.watch, "w", "4") == "!E2BIG")
    #expect(guest.ask(.unwatch, "w", "1") == "OK|")
    #expect(guest.ask(.watch, "w", "4") == "OK|")
    for i in 1...9 { #expect(dom0.ask(.watch, "/w", "\(i)") == "OK|") }
  }

  @Test func transactions() {
    let t = guest.begin()
    _ = guest.begin()
    #expect(guest.ask(.transactionStart, "") == "!ENOSPC")
    _ = guest.ask(.transactionEnd, "F", in: t)
    #expect(guest.begin() != 0)
    for _ in 0..<5 { #expect(dom0.begin() != 0) }
    #expect(server.usage(of: 4).transactions == 2)
    server.reset(guest.id)
    #expect(server.usage(of: 4).transactions == 0)
    #expect(server.usage(of: 4).memory == XenstoreServer.memory(of: "/local/domain/4", in: server))
  }

  @Test func nodesTouchedInATransaction() {
    let t = guest.begin()
    for i in 1...8 { #expect(guest.ask(.read, "n\(i)", in: t) == "!ENOENT") }
    #expect(guest.ask(.read, "n9", in: t) == "!ENOSPC")
    #expect(guest.ask(.read, "n1", in: t) == "!ENOENT")
    #expect(guest.ask(.transactionEnd, "T", in: t) == "!ENOMEM")
  }

  @Test func permissionsOfANode() {
    #expect(guest.ask(.setPermissions, "/local/domain/4", "n4", "r1", "r2", "r3", "r5") == "OK|")
    #expect(guest.ask(.setPermissions, "/local/domain/4", "n4", "r1", "r2", "r3", "r5", "r6") == "!ENOSPC")
    #expect(dom0.ask(.setPermissions, "/local/domain/4", "n4", "r1", "r2", "r3", "r5", "r6") == "OK|")
  }

  @Test func memory() {
    server.quotas.memory = 4000
    server.quotas.nodes = 1000
    var answers: [String] = []
    for i in 0..<20 { answers.append(guest.write("m\(i)", String(repeating: "x", count: 400))) }
    #expect(answers.contains("OK|") && answers.last == "!ENOMEM")
    #expect(server.usage(of: 4).memory <= 4000)
    #expect(guest.ask(.remove, "m0") == "OK|")
    #expect(guest.write("m0", String(repeating: "x", count: 400)) == "OK|")
  }

  /// A client that sends without fetching is not read from beyond a limit, and goes on where it was when it fetches.
  @Test func outstandingRequestsHoldBackTheRest() {
    let request = XenstoreMessage(.getDomainPath, requestID: 1, payload: Array("4\0".utf8)).bytes
    let flood = Array(repeatElement(request, count: 100).joined())
    let taken = server.receive(flood, on: guest.id)
    #expect(taken == 20 * request.count)
    #expect(!server.canReceive(on: guest.id))
    #expect(server.receive(flood, on: guest.id) == 0)
    #expect(server.usage(of: 4).outstanding == 20)
    // Others go on.
    #expect(dom0.write("/x", "") == "OK|")
    #expect(guest.messages().count == 20)
    #expect(server.usage(of: 4).outstanding == 0)
    #expect(server.receive(Array(flood[taken...]), on: guest.id) == 20 * request.count)
  }

  @Test func evenThePrivilegedFetchSometime() {
    let value = String(repeating: "v", count: 4000)
    _ = dom0.write("/v", value)
    let request = XenstoreMessage(.read, payload: Array("/v\0".utf8)).bytes
    let flood = Array(repeatElement(request, count: 400).joined())
    let taken = server.receive(flood, on: dom0.id)
    #expect(taken < flood.count)
    #expect(!server.canReceive(on: dom0.id))
    _ = server.takeOutput(on: dom0.id, upTo: .max)
    #expect(server.receive(Array(flood[taken...]), on: dom0.id) == flood.count - taken)
  }

  /// Events that a domain's request causes elsewhere count as its own until they are fetched, or too old.
  @Test func whoMakesEventsWaitsForThem() {
    let other = Client(server, domid: 5)
    _ = guest.ask(.setPermissions, "/local/domain/4", "r4")
    _ = other.ask(.watch, "/local/domain/4", "t")
    _ = other.takeEvents()
    server.quotas.outstanding = 4
    for i in 0..<8 {
      let request = XenstoreMessage(.write, payload: Array("n\(i)\0".utf8)).bytes
      _ = server.receive(request, on: guest.id)
      _ = guest.messages()
    }
    #expect(server.usage(of: 4).outstanding == 4)
    #expect(!server.canReceive(on: guest.id))
    server.advance(to: 19_999)
    #expect(!server.canReceive(on: guest.id))
    server.advance(to: 20_000)
    #expect(server.canReceive(on: guest.id))
    #expect(server.usage(of: 4).outstanding == 0)
    #expect(other.takeEvents() == [])
    #expect(guest.write("again", "") == "OK|")
    #expect(other.takeEvents() == ["/local/domain/4/again t"])
    #expect(server.usage(of: 4).outstanding == 0)
  }

  /// What is under way is sent to its end, however late: half a message would be the end of the connection.
  @Test func halfAnEventIsNotDropped() {
    let other = Client(server, domid: 5)
    _ = guest.ask(.setPermissions, "/local/domain/4", "r4")
    _ = other.ask(.watch, "/local/domain/4", "t")
    _ = other.takeEvents()
    _ = guest.write("a", "")
    _ = guest.write("b", "")
    let start = server.takeOutput(on: other.id, upTo: 20)
    server.advance(to: 20_000)
    let first = XenstoreMessage(.watchEvent, payload: Array("/local/domain/4/a\0t\0".utf8)).bytes
    #expect(start + server.takeOutput(on: other.id, upTo: .max) == first)
    #expect(server.usage(of: 4).outstanding == 0)
  }

  @Test func eventsDoNotFillAReceiverThatDoesNotFetch() {
    let other = Client(server, domid: 5)
    _ = other.ask(.watch, "/big", String(repeating: "t", count: 1000))
    _ = other.takeEvents()
    _ = dom0.ask(.makeDirectory, "/big")
    _ = dom0.ask(.setPermissions, "/big", "r0")
    server.quotas.memory = 10_000
    for i in 0..<100 { #expect(dom0.write("/big/n\(i)", "") == "OK|") }
    #expect(server.usage(of: 5).memory <= 10_000)
    #expect(other.takeEvents().count >= 5)
  }

  @Test func everythingIsGivenBack() {
    let clean = server.usage(of: 4)
    let t = guest.begin()
    _ = guest.write("a/b", "value", in: t)
    _ = guest.ask(.watch, "a", "t")
    _ = guest.write("c", "v")
    _ = guest.ask(.transactionEnd, "T", in: t)
    _ = guest.ask(.remove, "a")
    _ = guest.ask(.remove, "c")
    _ = guest.ask(.unwatch, "a", "t")
    _ = guest.takeEvents()
    #expect(server.usage(of: 4) == clean)
    server.release(4)
    #expect(server.usage(of: 4) == XenstoreUsage())
  }
}

extension XenstoreServer {
  /// Bytes that one node takes up.
  static func memory(of path: String, in server: XenstoreServer) -> Int {
    server.store.nodes.first { $0.key.text == path }.map { $0.value.size + path.utf8.count } ?? 0
  }
}
