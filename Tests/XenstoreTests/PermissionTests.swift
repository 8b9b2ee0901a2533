import Testing

@testable import Xenstore

@Suite struct PermissionTests {
  let server = XenstoreServer()
  let dom0: Client
  let one: Client
  let two: Client

  init() {
    dom0 = Client(server)
    one = Client(server, domid: 1)
    two = Client(server, domid: 2)
    for domid in 1...2 {
      _ = dom0.ask(.makeDirectory, "/local/domain/\(domid)")
      _ = dom0.ask(.setPermissions, "/local/domain/\(domid)", "n\(domid)")
    }
  }

  @Test func ownersMayDoEverythingOthersNothing() {
    #expect(one.write("x", "1") == "OK|")
    #expect(two.ask(.read, "/local/domain/1/x") == "!EACCES")
    #expect(two.write("/local/domain/1/x", "2") == "!EACCES")
    #expect(two.ask(.remove, "/local/domain/1/x") == "!EACCES")
    #expect(two.ask(.directory, "/local/domain/1") == "!EACCES")
    #expect(two.ask(.getPermissions, "/local/domain/1/x") == "!EACCES")
    #expect(one.ask(.read, "x") == "1")
  }

  /// Whether a node exists is no business of who may not read above it.
  @Test func errorsTellNothing() {
    #expect(two.ask(.read, "/local/domain/1/none") == "!EACCES")
    #expect(two.ask(.makeDirectory, "/local/domain/1/none") == "!EACCES")
    #expect(one.ask(.read, "none") == "!ENOENT")
    #expect(one.ask(.read, "/none") == "!EACCES")
    #expect(one.write("/none", "") == "!EACCES")
  }

  @Test(arguments: [
    (["n1", "r2"], true, false), (["n1", "w2"], false, true), (["n1", "b2"], true, true), (["n1", "n2"], false, false),
    (["r1"], true, false), (["w1"], false, true), (["b1"], true, true), (["b1", "n2"], false, false),
    (["n1", "r3", "b2"], true, true), (["r1", "w2"], false, true),
  ])
  func theFirstEntryOfADomainDecides(permissions: [String], reads: Bool, writes: Bool) {
    _ = one.write("x", "1")
    let payload: [UInt8] = (["x"] + permissions).flatMap { Array($0.utf8) + [0] }
    #expect(one.text(one.send(.setPermissions, payload)) == "OK|")
    #expect(two.ask(.read, "/local/domain/1/x") == (reads ? "1" : "!EACCES"))
    #expect(two.write("/local/domain/1/x", "2") == (writes ? "OK|" : "!EACCES"))
  }

  @Test func permissionsComeAsTheyWereSet() {
    _ = one.write("x", "")
    #expect(one.ask(.setPermissions, "x", "n1", "r2", "w0", "b65535") == "OK|")
    #expect(one.ask(.getPermissions, "x") == "n1|r2|w0|b65535|")
  }

  @Test(arguments: [[], [""], ["x1"], ["n"], ["n-1"], ["n65536"], ["n1 "], ["1"], ["nn1"], ["n1", ""]])
  func badPermissionsAreRefused(permissions: [String]) {
    _ = one.write("x", "")
    let payload: [UInt8] = (["x"] + permissions).flatMap { Array($0.utf8) + [0] }
    #expect(one.text(one.send(.setPermissions, payload)) == "!EINVAL")
    #expect(one.ask(.getPermissions, "x") == "n1|")
  }

  @Test func onlyTheControlDomainChangesOwners() {
    _ = one.write("x", "")
    #expect(one.ask(.setPermissions, "x", "n2") == "!EPERM")
    #expect(two.ask(.setPermissions, "/local/domain/1/x", "b1") == "!EACCES")
    _ = one.ask(.setPermissions, "x", "n1", "b2")
    // Writing is not owning.
    #expect(two.ask(.setPermissions, "/local/domain/1/x", "b1") == "!EACCES")
    let before = (server.usage(of: 1).nodes, server.usage(of: 2).nodes)
    #expect(dom0.ask(.setPermissions, "/local/domain/1/x", "n2") == "OK|")
    #expect(server.usage(of: 1).nodes == before.0 - 1)
    #expect(server.usage(of: 2).nodes == before.1 + 1)
    #expect(two.ask(.read, "/local/domain/1/x") == "")
  }

  @Test func childrenInheritAndBelongToTheirMaker() {
    _ = one.ask(.makeDirectory, "shared")
    _ = one.ask(.setPermissions, "shared", "r1", "b2")
    #expect(two.write("/local/domain/1/shared/a/b", "v") == "OK|")
    #expect(dom0.ask(.getPermissions, "/local/domain/1/shared/a") == "r2|b2|")
    #expect(dom0.ask(.getPermissions, "/local/domain/1/shared/a/b") == "r2|b2|")
    #expect(one.ask(.read, "shared/a/b") == "v")
    #expect(one.write("shared/a/b", "w") == "!EACCES")
    // The control domain makes nodes that belong to whom the node above belongs.
    _ = dom0.write("/local/domain/1/shared/c", "")
    #expect(dom0.ask(.getPermissions, "/local/domain/1/shared/c") == "r1|b2|")
  }

  @Test func requestsOfTheControlDomainAreRefusedToOthers() {
    #expect(one.ask(.control, "help") == "!EACCES")
    #expect(one.ask(.introduce, "5", "1", "1") == "!EACCES")
    #expect(one.ask(.release, "2") == "!EACCES")
    #expect(one.ask(.isDomainIntroduced, "1") == "!EACCES")
    #expect(one.ask(.resume, "2") == "!EACCES")
    #expect(one.ask(.setTarget, "1", "2") == "!EACCES")
    #expect(one.ask(.getDomainPath, "0002") == "/local/domain/2|")
  }

  @Test func privilegedDomainsAreLikeTheControlDomain() {
    server.privilegedDomains = [1]
    #expect(one.write("/anything", "") == "OK|")
    #expect(one.ask(.isDomainIntroduced, "2") == "T|")
    #expect(two.ask(.isDomainIntroduced, "2") == "!EACCES")
  }

  @Test func aDomainActsForItsTarget() {
    _ = one.write("x", "1")
    _ = dom0.write("/for-one", "f")
    _ = dom0.ask(.setPermissions, "/for-one", "n0", "r1")
    #expect(dom0.ask(.setTarget, "2", "1") == "OK|")
    #expect(two.ask(.read, "/local/domain/1/x") == "1")
    #expect(two.write("/local/domain/1/x", "2") == "OK|")
    #expect(two.ask(.read, "/for-one") == "f")
    #expect(one.ask(.read, "/local/domain/2") == "!EACCES")
    #expect(dom0.ask(.setTarget, "2", "9") == "!ENOENT")
    #expect(dom0.ask(.setTarget, "2") == "!EINVAL")
    server.release(1)
    // A new domain of that number is none of its business.
    server.introduce(1)
    _ = dom0.write("/local/domain/1", "new")
    _ = dom0.ask(.setPermissions, "/local/domain/1", "n1")
    #expect(two.ask(.read, "/local/domain/1") == "!EACCES")
  }

  @Test func permissionsForDomainsThatAreNotThereNeverApply() {
    server.host.domainExists = { _ in false }
    _ = one.write("x", "1")
    #expect(one.ask(.setPermissions, "x", "n1", "r9") == "OK|")
    #expect(one.ask(.setPermissions, "x", "n9") == "!ENOENT")
    let nine = Client(server, domid: 9)
    #expect(nine.ask(.read, "/local/domain/1/x") == "!EACCES")
    #expect(one.ask(.setPermissions, "x", "n1", "r9") == "OK|")
    #expect(nine.ask(.read, "/local/domain/1/x") == "1")
  }
}
