#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Testing
@testable import Control

/// Answers every byte by itself, and takes none while it is told so.
private final class Echo: StreamService {
  var takes = true
  var openings = 0
  var closings = 0
  func opened(_ connection: StreamConnection) { openings += 1 }
  func takes(from connection: StreamConnection) -> Bool { takes }
  func received(_ bytes: [UInt8], on connection: StreamConnection) -> Int {
    // At most three at a time.
    let part = bytes.prefix(3)
    connection.send(Array(part))
    return part.count
  }
  func moreOutput(for connection: StreamConnection, upTo limit: Int) -> [UInt8] { [] }
  func closed(_ connection: StreamConnection) { closings += 1 }
  func refusal(clients: Int) -> [UInt8] { Array("\(clients) is enough".utf8) }
}

@Suite struct SocketTests {
  private let path = "/tmp/xenolith-test-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"

  private func mode() -> UInt32 {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
  }

  @Test func aSocketIsTheUsersAloneAndGoesWithItsServer() throws {
    var server: StreamServer? = try StreamServer(path: path, name: "the test", service: Echo())
    #expect(mode() == 0o600)
    #expect(throws: SocketError.self) { try StreamServer(path: path, name: "the test", service: Echo()) }
    #expect(mode() == 0o600, "the refused server has not removed the other's socket")
    server = nil
    #expect(server == nil && access(path, F_OK) != 0)
  }

  @Test func aStaleSocketIsReplacedAndOtherFilesAreNot() throws {
    let old = try SocketAddress.listen(path, name: "the test")
    close(old)
    #expect(access(path, F_OK) == 0)
    do {
      _ = try SocketAddress.connect(path, name: "the test")
      Issue.record("a connection to nobody")
    } catch {
      #expect(error.kind == .nobody)
    }
    let server = try StreamServer(path: path, name: "the test", service: Echo())
    withExtendedLifetime(server) {}
    let file = path + ".file"
    close(open(file, O_CREAT | O_WRONLY, 0o600))
    defer { unlink(file) }
    #expect(throws: SocketError.self) { try SocketAddress.listen(file, name: "the test") }
    #expect(access(file, F_OK) == 0)
    #expect(throws: SocketError.self) { try SocketAddress.listen(String(repeating: "x", count: 200), name: "the test") }
  }

  @Test func oneClientTooManyIsToldSo() throws {
    let echo = Echo()
    let server = try StreamServer(path: path, name: "the test", service: echo, mostClients: 2)
    let loop = PollLoop()
    loop.add(server)
    func turn() { for _ in 0..<20 { loop.wait(nanoseconds: 0) } }
    var clients: [Int32] = []
    defer { for client in clients { close(client) } }
    for _ in 0..<3 { clients.append(try SocketAddress.connect(path, name: "the test")) }
    #expect(write(clients[2], "x", 1) == 1)
    turn()
    var buffer = [UInt8](repeating: 0, count: 64)
    #expect(read(clients[2], &buffer, 64) == 11 && Array(buffer[..<11]) == Array("2 is enough".utf8))
    #expect(read(clients[2], &buffer, 64) <= 0 && echo.openings == 2, "it is not served")
    // The others are, and another one when there is room.
    #expect(write(clients[0], "y", 1) == 1)
    turn()
    #expect(read(clients[0], &buffer, 64) == 1)
    close(clients.removeFirst())
    turn()
    clients.append(try SocketAddress.connect(path, name: "the test"))
    turn()
    #expect(echo.openings == 3)
  }

  @Test func clientsDoNotHoldUpEachOther() throws {
    let echo = Echo()
    let server = try StreamServer(path: path, name: "the test", service: echo)
    let loop = PollLoop()
    loop.add(server)
    func turn() { for _ in 0..<20 { loop.wait(nanoseconds: 0) } }
    let a = try SocketAddress.connect(path, name: "the test"), b = try SocketAddress.connect(path, name: "the test")
    defer { close(b) }
    turn()
    #expect(echo.openings == 2)
    var buffer = [UInt8](repeating: 0, count: 64)
    echo.takes = false
    #expect(write(a, "0123456789", 10) == 10)
    turn()
    SocketAddress.makeNonBlocking(a)
    #expect(read(a, &buffer, 64) < 0, "nothing is answered while nothing is taken")
    echo.takes = true
    turn()
    #expect(read(a, &buffer, 64) == 10 && Array(buffer[..<10]) == Array("0123456789".utf8), "what was not taken at once comes again")
    // One that sends and never reads.
    SocketAddress.makeNonBlocking(b)
    let much = [UInt8](repeating: 1, count: 1 << 16)
    for _ in 0..<64 {
      _ = write(b, much, much.count)
      turn()
    }
    #expect(write(a, "x", 1) == 1)
    turn()
    #expect(read(a, &buffer, 64) == 1)
    close(a)
    turn()
    #expect(echo.closings == 1)
  }
}
