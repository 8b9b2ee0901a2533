import Testing

@testable import Xenstore

@Suite struct NodeTests {
  let server = XenstoreServer()
  let dom0: Client

  init() { dom0 = Client(server) }

  @Test func theTreeStartsAsThatOfXenstored() {
    #expect(dom0.ask(.directory, "/") == "tool|")
    #expect(dom0.ask(.directory, "/tool") == "xenstored|")
    #expect(dom0.ask(.getPermissions, "/") == "n0|")
    #expect(dom0.ask(.getPermissions, "@releaseDomain") == "n0|")
    #expect(dom0.ask(.getPermissions, "@introduceDomain") == "n0|")
    #expect(dom0.ask(.getPermissions, "@other") == "!ENOENT")
  }

  @Test func writesMakeTheNodesAbove() {
    #expect(dom0.write("/a/b/c", "v") == "OK|")
    #expect(dom0.ask(.read, "/a/b/c") == "v")
    #expect(dom0.ask(.read, "/a/b") == "")
    #expect(dom0.ask(.directory, "/a") == "b|")
    #expect(dom0.write("/a", "top") == "OK|")
    #expect(dom0.ask(.directory, "/a") == "b|")
    #expect(dom0.ask(.read, "/a") == "top")
    #expect(server.isConsistent)
  }

  @Test func valuesAreBytes() {
    let value: [UInt8] = [0, 255, 1, 0]
    dom0.send(.write, Array("/bin\0".utf8) + value)
    #expect(dom0.send(.read, "/bin")?.payload == value)
  }

  @Test func makeDirectoryLeavesWhatIsThere() {
    #expect(dom0.write("/a", "v") == "OK|")
    #expect(dom0.ask(.makeDirectory, "/a") == "OK|")
    #expect(dom0.ask(.read, "/a") == "v")
    #expect(dom0.ask(.makeDirectory, "/x/y") == "OK|")
    #expect(dom0.ask(.directory, "/x") == "y|")
  }

  @Test func removesTakeTheSubtree() {
    for path in ["/a/b/c", "/a/b/d", "/a/e"] { _ = dom0.write(path, "v") }
    #expect(dom0.ask(.remove, "/a/b") == "OK|")
    #expect(dom0.ask(.read, "/a/b/c") == "!ENOENT")
    #expect(dom0.ask(.directory, "/a") == "e|")
    // Not there, but the node above is: fine. Not there either: an error.
    #expect(dom0.ask(.remove, "/a/b") == "OK|")
    #expect(dom0.ask(.remove, "/a/b/c") == "!ENOENT")
    #expect(dom0.ask(.remove, "/") == "!EINVAL")
    #expect(dom0.ask(.remove, "@releaseDomain") == "!EINVAL")
    #expect(server.isConsistent)
  }

  @Test(arguments: [
    "", "//", "/a//b", "/a/", "a b", "/a.b", "/é", "@x", "/\u{1}", "relative/", "/a\n",
  ])
  func badPathsAreRefused(path: String) {
    #expect(dom0.ask(.read, path) == "!EINVAL")
    #expect(dom0.write(path, "v") == "!EINVAL")
  }

  @Test func pathsHaveALimit() {
    let longest = "/" + String(repeating: "a", count: 3071)
    #expect(dom0.write(longest, "v") == "OK|")
    #expect(dom0.write(longest + "a", "v") == "!EINVAL")

    // A domain's own directory does not count, in whichever form the path is given.
    let guest = Client(server, domid: 7)
    let own = String(repeating: "b", count: 2048)
    _ = dom0.ask(.makeDirectory, "/local/domain/7")
    _ = dom0.ask(.setPermissions, "/local/domain/7", "b7")
    #expect(guest.ask(.read, own) == "!ENOENT")
    #expect(guest.ask(.read, "/local/domain/7/" + own) == "!ENOENT")
    #expect(guest.ask(.read, own + "b") == "!EINVAL")
    #expect(guest.ask(.read, "/local/domain/7/" + own + "b") == "!EINVAL")
  }

  @Test func relativePathsBelongToTheDomain() {
    let guest = Client(server, domid: 7)
    _ = dom0.ask(.makeDirectory, "/local/domain/7")
    _ = dom0.ask(.setPermissions, "/local/domain/7", "n7")
    #expect(guest.write("data/x", "1") == "OK|")
    #expect(dom0.ask(.read, "/local/domain/7/data/x") == "1")
    #expect(guest.ask(.read, "/local/domain/7/data/x") == "1")
    #expect(guest.ask(.directory, "data") == "x|")
    #expect(dom0.write("y", "2") == "OK|")
    #expect(dom0.ask(.read, "/local/domain/0/y") == "2")
  }

  @Test func deepTreesAreNoTrouble() {
    let path = String(repeating: "/a", count: 1536)
    #expect(dom0.write(path, "deep") == "OK|")
    #expect(dom0.ask(.read, path) == "deep")
    #expect(dom0.ask(.remove, "/a") == "OK|")
    #expect(dom0.ask(.directory, "/") == "tool|")
    #expect(server.isConsistent)
  }

  @Test func longDirectoriesComeInParts() {
    let names = (0..<600).map { "child-number-\($0)" }
    for name in names { _ = dom0.write("/d/" + name, "") }
    #expect(dom0.ask(.directory, "/d") == "!E2BIG")

    var found: [String] = []
    var offset = 0
    var generations: Set<String> = []
    while true {
      guard let reply = dom0.send(.directoryPart, "/d", "\(offset)"), reply.type == .directoryPart else { break }
      #expect(reply.payload.count <= 4096)
      let strings = reply.strings.map { String(decoding: $0, as: UTF8.self) }
      generations.insert(strings[0])
      found += strings.dropFirst().filter { !$0.isEmpty }
      offset += strings.dropFirst().filter { !$0.isEmpty }.reduce(0) { $0 + $1.utf8.count + 1 }
      if strings.last == "" { break }
    }
    #expect(found == names)
    #expect(generations.count == 1)

    let beyond = dom0.send(.directoryPart, "/d", "1000000")
    #expect(beyond?.strings.count == 2 && beyond?.strings.last?.isEmpty == true)
    _ = dom0.write("/d/one-more", "")
    let later = dom0.send(.directoryPart, "/d", "0").map { String(decoding: $0.strings[0], as: UTF8.self) }
    #expect(later.map { !generations.contains($0) } == true)
    #expect(dom0.ask(.directoryPart, "/d") == "!EINVAL")
    #expect(dom0.ask(.directoryPart, "/d", "-1") == "!EINVAL")
    #expect(dom0.ask(.directoryPart, "/none", "0") == "!ENOENT")
  }
}
