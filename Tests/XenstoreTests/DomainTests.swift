import Testing

@testable import Xenstore

@Suite struct DomainTests {
  let server = XenstoreServer()
  let dom0: Client

  init() { dom0 = Client(server) }

  @Test func introductionOnTheWire() {
    var asked: [(UInt16, Int64, UInt32)] = []
    server.host.introduce = { domid, gfn, port, _ in
      asked.append((domid, gfn, port))
      return domid != 9
    }
    #expect(dom0.ask(.isDomainIntroduced, "5") == "F|")
    #expect(dom0.ask(.introduce, "5", "-1", "3") == "OK|")
    #expect(dom0.ask(.isDomainIntroduced, "5") == "T|")
    #expect(dom0.ask(.isDomainIntroduced, "0") == "T|")
    #expect(dom0.ask(.isDomainIntroduced, "32752") == "T|")
    #expect(asked.count == 1 && asked[0] == (5, -1, 3))
    #expect(dom0.ask(.introduce, "9", "1", "3") == "!EINVAL")
    #expect(dom0.ask(.isDomainIntroduced, "9") == "F|")
    for bad in [["0", "1", "1"], ["5", "1"], ["5", "1", "0"], ["5", "x", "1"], ["32752", "1", "1"], ["70000", "1", "1"]] {
      #expect(dom0.text(dom0.send(.introduce, bad.flatMap { Array($0.utf8) + [0] })) == "!EINVAL")
    }
  }

  @Test func introducingAgainResets() {
    let guest = Client(server, domid: 5)
    _ = guest.ask(.watch, "x", "t")
    _ = guest.begin()
    _ = server.receive([1, 0, 0], on: guest.id)
    #expect(server.introduce(5) == guest.id)
    #expect(server.usage(of: 5).watches == 0 && server.usage(of: 5).transactions == 0)
    #expect(guest.ask(.getDomainPath, "5") == "/local/domain/5|")
  }

  @Test func releaseRemovesWhatTheDomainOwned() {
    let guest = Client(server, domid: 5)
    var released: [UInt16] = []
    server.host.release = { released.append($0) }
    _ = dom0.write("/local/domain/5/data", "")
    _ = dom0.ask(.setPermissions, "/local/domain/5", "n5")
    _ = dom0.write("/shared", "")
    _ = dom0.ask(.setPermissions, "/shared", "n0", "b5", "r6")
    _ = guest.write("/shared/own", "")
    _ = dom0.write("/shared/own/of-dom0", "")
    _ = dom0.ask(.watch, "/shared", "t")
    _ = dom0.takeEvents()
    #expect(dom0.ask(.release, "5") == "OK|")
    #expect(released == [5])
    #expect(dom0.ask(.read, "/local/domain/5") == "!ENOENT")
    #expect(dom0.ask(.directory, "/shared") == "")
    #expect(dom0.ask(.getPermissions, "/shared") == "n0|r6|")
    #expect(dom0.takeEvents().contains("/shared/own t"))
    #expect(server.usage(of: 5) == XenstoreUsage())
    #expect(server.isConsistent)
    #expect(!server.canReceive(on: guest.id))
    #expect(dom0.ask(.release, "5") == "!ENOENT")
    #expect(dom0.ask(.release, "0") == "!EINVAL")
    #expect(dom0.ask(.release, "x") == "!EINVAL")
  }

  @Test func theRootAndSpecialNamesSurviveTheirOwner() {
    server.introduce(5)
    _ = dom0.ask(.setPermissions, "/", "n5")
    _ = dom0.ask(.setPermissions, "@releaseDomain", "n5", "r6")
    server.release(5)
    #expect(dom0.ask(.getPermissions, "/") == "n0|")
    #expect(dom0.ask(.getPermissions, "@releaseDomain") == "n0|r6|")
    #expect(dom0.ask(.directory, "/") == "tool|")
    #expect(server.isConsistent)
  }

  @Test func domainsWithoutConnection() {
    let guest = Client(server, domid: 5)
    server.disconnect(guest.id)
    #expect(dom0.ask(.release, "5") == "!EINVAL")
    #expect(dom0.ask(.isDomainIntroduced, "5") == "T|")
    #expect(server.introduce(5) != guest.id)
    #expect(dom0.ask(.release, "5") == "OK|")
    #expect(server.introducedDomains == [])
  }

  @Test func control() {
    var printed: [String] = []
    server.host.print = { printed.append($0) }
    #expect(dom0.ask(.control, "help").contains("quota"))
    #expect(dom0.ask(.control, "check") == "OK|")
    #expect(dom0.ask(.control, "print", "a text") == "OK|")
    #expect(printed == ["a text"])
    #expect(dom0.ask(.control, "quota").contains("watches          : 128\n"))
    #expect(dom0.ask(.control, "quota", "set", "watches", "7") == "OK|")
    #expect(server.quotas.watches == 7)
    #expect(dom0.ask(.control, "quota", "set", "watches", "0") == "!EINVAL")
    #expect(dom0.ask(.control, "quota", "set", "none", "5") == "!EINVAL")
    #expect(dom0.ask(.control, "quota", "0").hasPrefix("Domain 0:\nnodes: 5\n"))
    #expect(dom0.ask(.control, "quota", "77") == "!ENOENT")
    #expect(dom0.ask(.control, "live-update", "-s") == "!EINVAL")
    #expect(dom0.text(dom0.send(.control, [])) == "!EINVAL")
  }
}

@Suite struct DirectTests {
  let server = XenstoreServer()

  @Test func nodes() throws {
    try server.write("/a/b", "v")
    try server.makeDirectory("/a/c")
    #expect(try server.readString("/a/b") == "v")
    #expect(try server.list("/a") == ["b", "c"])
    #expect(server.exists("/a/c") && !server.exists("/a/d"))
    try server.setPermissions("/a", [XenstorePermission(.none, 3), XenstorePermission(.readWrite, 4)])
    #expect(try server.permissions("/a") == [XenstorePermission(.none, 3), XenstorePermission(.readWrite, 4)])
    try server.remove("/a")
    #expect(throws: XenstoreError.ENOENT) { try server.read("/a/b") }
    #expect(throws: XenstoreError.EINVAL) { try server.write("/a b", "") }
    #expect(throws: XenstoreError.EINVAL) { try server.setPermissions("/tool", []) }
    // Large values and many entries are the toolstack's own business.
    try server.write("/large", [UInt8](repeating: 1, count: 10_000))
    #expect(try server.read("/large").count == 10_000)
  }

  @Test func watchesCallBackAfterTheChange() throws {
    final class Log { var lines: [String] = [] }
    let log = Log()
    let server = server
    let id = try server.watch("/a") { path in
      log.lines.append(path + "=" + ((try? server.readString(path)) ?? "none"))
      // What a handler changes is told afterwards.
      if path == "/a/one" { try? server.write("/a/two", "2") }
    }
    #expect(log.lines == ["/a=none"])
    try server.write("/a/one", "1")
    #expect(log.lines == ["/a=none", "/a/one=1", "/a/two=2"])

    let guest = Client(server, domid: 3)
    try server.setPermissions("/a", [XenstorePermission(.none, 3)])
    #expect(guest.write("/a/three", "3") == "OK|")
    #expect(log.lines.last == "/a/three=3")
    try server.remove("/a")
    #expect(log.lines.last == "/a=none")
    server.unwatch(id)
    let count = log.lines.count
    try server.write("/a", "")
    #expect(log.lines.count == count)
  }

  @Test func specialWatches() throws {
    final class Log { var lines: [String] = [] }
    let log = Log()
    _ = try server.watch("@releaseDomain") { log.lines.append($0) }
    server.introduce(2)
    server.domainHasShutDown(2)
    server.release(2)
    #expect(log.lines == ["@releaseDomain", "@releaseDomain", "@releaseDomain"])
  }
}
