import Testing

@testable import Xenstore

@Suite struct TransactionTests {
  let server = XenstoreServer()
  let a: Client
  let b: Client

  init() {
    a = Client(server)
    b = Client(server)
    _ = a.write("/x", "0")
    _ = a.write("/y", "0")
  }

  @Test func changesShowOnCommit() {
    let t = a.begin()
    #expect(a.write("/x", "1", in: t) == "OK|")
    #expect(a.write("/new/node", "n", in: t) == "OK|")
    #expect(a.ask(.remove, "/y", in: t) == "OK|")
    #expect(a.ask(.read, "/x", in: t) == "1")
    #expect(a.ask(.directory, "/", in: t) == "tool|x|new|")
    #expect(a.ask(.read, "/x") == "0")
    #expect(b.ask(.directory, "/") == "tool|x|y|")
    #expect(a.ask(.transactionEnd, "T", in: t) == "OK|")
    #expect(b.ask(.read, "/x") == "1")
    #expect(b.ask(.read, "/new/node") == "n")
    #expect(b.ask(.read, "/y") == "!ENOENT")
    #expect(server.isConsistent)
  }

  @Test func abortsLeaveNothing() {
    let t = a.begin()
    _ = a.write("/x", "1", in: t)
    _ = a.write("/new", "n", in: t)
    #expect(a.ask(.transactionEnd, "F", in: t) == "OK|")
    #expect(a.ask(.read, "/x") == "0")
    #expect(a.ask(.read, "/new") == "!ENOENT")
    #expect(a.ask(.read, "/x", in: t) == "!ENOENT")
  }

  @Test(arguments: ["write", "remove", "remove above", "permissions", "same value"])
  func changesToWhatWasReadConflict(change: String) {
    _ = a.write("/d/x", "0")
    let t = a.begin()
    _ = a.ask(.read, "/d/x", in: t)
    _ = a.write("/y", "1", in: t)
    switch change {
    case "write": _ = b.write("/d/x", "2")
    case "remove": _ = b.ask(.remove, "/d/x")
    case "remove above": _ = b.ask(.remove, "/d")
    case "permissions": _ = b.ask(.setPermissions, "/d/x", "r0")
    default: _ = b.write("/d/x", "0")
    }
    #expect(a.ask(.transactionEnd, "T", in: t) == "!EAGAIN")
    #expect(a.ask(.read, "/y") == "0")
    // It is over all the same.
    #expect(a.ask(.transactionEnd, "T", in: t) == "!ENOENT")
  }

  @Test func appearingAndReappearingNodesConflict() {
    let t = a.begin()
    #expect(a.ask(.read, "/z", in: t) == "!ENOENT")
    _ = b.write("/z", "")
    #expect(a.ask(.transactionEnd, "T", in: t) == "!EAGAIN")
    let u = a.begin()
    _ = a.ask(.read, "/z", in: u)
    _ = b.ask(.remove, "/z")
    _ = b.write("/z", "")
    #expect(a.ask(.transactionEnd, "T", in: u) == "!EAGAIN")
  }

  @Test func changesElsewhereDoNotConflict() {
    _ = a.write("/d/x", "0")
    _ = a.write("/e/x", "0")
    let t = a.begin()
    _ = a.ask(.read, "/d/x", in: t)
    _ = a.write("/d/x", "1", in: t)
    _ = b.write("/e/x", "2")
    _ = b.write("/e/new", "2")
    #expect(a.ask(.transactionEnd, "T", in: t) == "OK|")
    #expect(b.ask(.read, "/d/x") == "1")
  }

  @Test func ofTwoThatCrossOneFails() {
    let t = a.begin()
    let u = b.begin()
    _ = a.ask(.read, "/x", in: t)
    _ = b.ask(.read, "/y", in: u)
    _ = a.write("/y", "1", in: t)
    _ = b.write("/x", "2", in: u)
    #expect(a.ask(.transactionEnd, "T", in: t) == "OK|")
    #expect(b.ask(.transactionEnd, "T", in: u) == "!EAGAIN")
    #expect(a.ask(.read, "/x") == "0")
    #expect(a.ask(.read, "/y") == "1")
  }

  @Test func watchesFireAfterCommitOnly() {
    _ = b.ask(.watch, "/x", "t")
    _ = b.takeEvents()
    let t = a.begin()
    _ = a.write("/x", "1", in: t)
    _ = a.write("/x/sub", "1", in: t)
    #expect(b.takeEvents() == [])
    _ = a.ask(.transactionEnd, "T", in: t)
    #expect(b.takeEvents() == ["/x t", "/x/sub t"])
    let u = a.begin()
    _ = a.write("/x", "2", in: u)
    _ = a.ask(.transactionEnd, "F", in: u)
    #expect(b.takeEvents() == [])
  }

  @Test func watchersHearOfRemovalsInTransactions() {
    let guest = Client(server, domid: 3)
    _ = a.write("/g/x", "")
    _ = a.ask(.setPermissions, "/g/x", "r0")
    _ = guest.ask(.watch, "/g", "t")
    _ = guest.takeEvents()
    let t = a.begin()
    _ = a.ask(.remove, "/g/x", in: t)
    _ = a.ask(.transactionEnd, "T", in: t)
    #expect(guest.takeEvents() == ["/g/x t"])
  }

  @Test func rulesOfTheRequests() {
    #expect(a.ask(.transactionEnd, "T") == "!ENOENT")
    #expect(a.ask(.transactionEnd, "T", in: 99) == "!ENOENT")
    let t = a.begin()
    #expect(t != 0)
    #expect(a.ask(.transactionStart, "", in: t) == "!EBUSY")
    #expect(a.ask(.transactionEnd, "X", in: t) == "!EINVAL")
    #expect(a.ask(.transactionEnd, "", in: t) == "!EINVAL")
    #expect(a.ask(.read, "/x", in: t) == "0")
    // Transactions belong to a connection.
    #expect(b.ask(.read, "/x", in: t) == "!ENOENT")
    // Watches are outside of transactions, even of one that is not there.
    #expect(a.ask(.watch, "/x", "t", in: 99) == "OK|")
    #expect(a.ask(.unwatch, "/x", "t", in: 99) == "OK|")
    #expect(a.ask(.resetWatches, "") == "OK|")
    #expect(a.ask(.read, "/x", in: t) == "!ENOENT")
  }

  @Test func madeAndRemovedInsideIsNothing() {
    let t = a.begin()
    _ = a.write("/tmp/x", "1", in: t)
    _ = a.ask(.remove, "/tmp", in: t)
    #expect(a.ask(.directory, "/", in: t) == "tool|x|y|")
    #expect(a.ask(.transactionEnd, "T", in: t) == "OK|")
    #expect(a.ask(.directory, "/") == "tool|x|y|")
    #expect(server.isConsistent)
  }

  @Test func removedSubtreesAreGoneInside() {
    _ = a.write("/d/e/f", "1")
    let t = a.begin()
    _ = a.ask(.remove, "/d", in: t)
    #expect(a.ask(.read, "/d/e/f", in: t) == "!ENOENT")
    #expect(a.ask(.read, "/d/e/f") == "1")
    _ = a.write("/d/e/g", "2", in: t)
    #expect(a.ask(.directory, "/d/e", in: t) == "g|")
    #expect(a.ask(.transactionEnd, "T", in: t) == "OK|")
    #expect(a.ask(.directory, "/d/e") == "g|")
    #expect(server.isConsistent)
  }
}
