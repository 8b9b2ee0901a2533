import Testing

@testable import Xenstore

@Suite struct WatchTests {
  let server = XenstoreServer()
  let dom0: Client
  let guest: Client

  init() {
    dom0 = Client(server)
    guest = Client(server, domid: 4)
    _ = dom0.ask(.makeDirectory, "/local/domain/4")
    _ = dom0.ask(.setPermissions, "/local/domain/4", "n4")
  }

  @Test func aNewWatchFiresOnceAfterItsReply() {
    _ = server.receive(XenstoreMessage(.watch, requestID: 1, payload: Array("/none\0t k\0".utf8)).bytes, on: dom0.id)
    #expect(dom0.messages() == [
      XenstoreMessage(.watch, requestID: 1, payload: Array("OK\0".utf8)),
      XenstoreMessage(.watchEvent, payload: Array("/none\0t k\0".utf8)),
    ])
  }

  @Test func eventsComeForTheNodeAndBelow() {
    _ = dom0.ask(.watch, "/a/b", "t")
    _ = dom0.takeEvents()
    _ = dom0.write("/a/b", "1")
    _ = dom0.write("/a/b/c/d", "1")
    _ = dom0.write("/a/bc", "1")
    _ = dom0.write("/a", "1")
    _ = dom0.ask(.makeDirectory, "/a/b/m")
    _ = dom0.ask(.setPermissions, "/a/b/c", "r0")
    #expect(dom0.takeEvents() == ["/a/b t", "/a/b/c/d t", "/a/b/m t", "/a/b/c t"])
    // Nothing changes, nothing fires.
    _ = dom0.ask(.makeDirectory, "/a/b/m")
    _ = dom0.ask(.read, "/a/b")
    _ = dom0.ask(.remove, "/a/b/none")
    #expect(dom0.takeEvents() == [])
  }

  @Test func theRootSeesAllPathsButNoSpecialNames() {
    _ = dom0.ask(.watch, "/", "t")
    _ = dom0.takeEvents()
    server.introduce(9)
    _ = dom0.write("/x", "")
    #expect(dom0.takeEvents() == ["/x t"])
  }

  @Test func removalsReachWatchesBelow() {
    for path in ["/a/b/c", "/a/b/d"] { _ = dom0.write(path, "") }
    for path in ["/a", "/a/b", "/a/b/c", "/a/b/none"] { _ = dom0.ask(.watch, path, path.watchToken) }
    _ = dom0.takeEvents()
    _ = dom0.ask(.remove, "/a/b")
    // Each node goes from the leaves up; a watch on a node that was not there hears nothing.
    #expect(dom0.takeEvents() == ["/a/b/c w/a/b/c", "/a/b w/a", "/a/b w/a/b"])
  }

  @Test func relativeWatchesGetRelativePaths() {
    _ = guest.ask(.watch, "dev", "rel")
    _ = guest.ask(.watch, "/local/domain/4/dev", "abs")
    #expect(guest.takeEvents() == ["dev rel", "/local/domain/4/dev abs"])
    _ = dom0.write("/local/domain/4/dev/vif", "0")
    #expect(guest.takeEvents() == ["dev/vif rel", "/local/domain/4/dev/vif abs"])
    // The two name the same node, with different tokens; either form finds the watch.
    #expect(guest.ask(.unwatch, "/local/domain/4/dev", "rel") == "OK|")
    #expect(guest.ask(.unwatch, "dev", "rel") == "!ENOENT")
    #expect(guest.ask(.unwatch, "dev", "abs") == "OK|")
    _ = dom0.write("/local/domain/4/dev/vif", "1")
    #expect(guest.takeEvents() == [])
  }

  @Test func onePathMayBeWatchedWithSeveralTokens() {
    #expect(dom0.ask(.watch, "/a", "1") == "OK|")
    #expect(dom0.ask(.watch, "/a", "2") == "OK|")
    #expect(dom0.ask(.watch, "/a", "1") == "!EEXIST")
    #expect(dom0.ask(.watch, "/a", "") == "OK|")
    _ = dom0.takeEvents()
    _ = dom0.write("/a", "")
    #expect(dom0.takeEvents() == ["/a 1", "/a 2", "/a "])
    #expect(dom0.ask(.unwatch, "/a", "3") == "!ENOENT")
    #expect(dom0.ask(.unwatch, "/a") == "!EINVAL")
    #expect(dom0.ask(.watch, "/a") == "!EINVAL")
    #expect(dom0.ask(.watch, "/a b", "t") == "!EINVAL")
    #expect(dom0.ask(.watch, "/a", "t", "1") == "!EINVAL")
  }

  @Test func eventsNeedARightToRead() {
    _ = dom0.write("/secret/x", "")
    _ = guest.ask(.watch, "/secret", "t")
    _ = guest.takeEvents()
    _ = dom0.write("/secret/x", "1")
    #expect(guest.takeEvents() == [])
    _ = dom0.ask(.setPermissions, "/secret/x", "n0", "r4")
    #expect(guest.takeEvents() == ["/secret/x t"])
    _ = dom0.write("/secret/x", "2")
    #expect(guest.takeEvents() == ["/secret/x t"])
    // Losing the right is told; afterwards nothing is.
    _ = dom0.ask(.setPermissions, "/secret/x", "n0")
    #expect(guest.takeEvents() == ["/secret/x t"])
    _ = dom0.write("/secret/x", "3")
    #expect(guest.takeEvents() == [])
    // Reading the node above is enough.
    _ = dom0.ask(.setPermissions, "/secret", "r0")
    _ = guest.takeEvents()
    _ = dom0.write("/secret/x", "4")
    _ = dom0.ask(.remove, "/secret/x")
    #expect(guest.takeEvents() == ["/secret/x t"])
    _ = dom0.write("/secret/y", "")
    #expect(guest.takeEvents() == ["/secret/y t"])
  }

  @Test func waitingEventsAreNotDoubled() {
    _ = dom0.ask(.watch, "/a", "t")
    _ = dom0.takeEvents()
    for _ in 0..<5 { try? server.write("/a", "x") }
    #expect(dom0.takeEvents() == ["/a t"])
    try? server.write("/a", "x")
    #expect(dom0.takeEvents() == ["/a t"])
  }

  @Test func specialWatchesAreForTheControlDomain() {
    _ = dom0.ask(.watch, "@introduceDomain", "i")
    _ = dom0.ask(.watch, "@releaseDomain", "r")
    _ = guest.ask(.watch, "@releaseDomain", "r")
    #expect(dom0.takeEvents() == ["@introduceDomain i", "@releaseDomain r"])
    #expect(guest.takeEvents() == ["@releaseDomain r"])
    server.introduce(5)
    #expect(dom0.takeEvents() == ["@introduceDomain i"])
    server.introduce(5)
    #expect(dom0.takeEvents() == [])
    server.domainHasShutDown(5)
    server.domainHasShutDown(5)
    #expect(dom0.takeEvents() == ["@releaseDomain r"])
    #expect(dom0.ask(.resume, "5") == "OK|")
    server.domainHasShutDown(5)
    #expect(dom0.takeEvents() == ["@releaseDomain r"])
    server.release(5)
    #expect(dom0.takeEvents() == ["@releaseDomain r"])
    #expect(guest.takeEvents() == [])
    // Others see them if they are let.
    #expect(dom0.ask(.setPermissions, "@releaseDomain", "n0", "r4") == "OK|")
    #expect(guest.takeEvents() == ["@releaseDomain r"])
    server.introduce(6)
    server.release(6)
    #expect(guest.takeEvents() == ["@releaseDomain r"])
    #expect(guest.ask(.setPermissions, "@releaseDomain", "n4") == "!EACCES")
  }

  @Test func specialEventsAreAllDelivered() {
    _ = dom0.ask(.watch, "@introduceDomain", "i")
    _ = dom0.takeEvents()
    server.introduce(5)
    server.introduce(6)
    #expect(dom0.takeEvents() == ["@introduceDomain i", "@introduceDomain i"])
  }

  @Test func endedConnectionsWatchNoMore() {
    _ = guest.ask(.watch, "a", "t")
    #expect(server.usage(of: 4).watches == 1)
    #expect(guest.ask(.resetWatches, "") == "OK|")
    #expect(server.usage(of: 4).watches == 0)
    _ = guest.takeEvents()
    _ = guest.write("a", "")
    #expect(guest.takeEvents() == [])
    _ = guest.ask(.watch, "a", "t")
    server.disconnect(guest.id)
    #expect(server.usage(of: 4).watches == 0)
    _ = dom0.write("/local/domain/4/a", "")
  }

  @Test func eventsTooLongToSendAreLeftOut() {
    let token = String(repeating: "t", count: 3000)
    let path = "/" + String(repeating: "p", count: 2000)
    _ = dom0.ask(.watch, "/", token)
    _ = dom0.takeEvents()
    _ = dom0.write(path, "")
    _ = dom0.write("/short", "")
    #expect(dom0.takeEvents() == ["/short " + token])
  }
}

extension String {
  /// The token the removal test uses for a path.
  fileprivate var watchToken: String { "w" + self }
}
