import Testing

@testable import Xenstore

@Suite struct WireTests {
  @Test func messagesHaveTheLayoutOfTheHeader() {
    let message = XenstoreMessage(.write, requestID: 0x0403_0201, transactionID: 5, payload: [9, 8])
    #expect(message.bytes == [11, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 2, 0, 0, 0, 9, 8])
  }

  @Test func typesHaveTheNumbersOfTheProtocol() {
    let numbers: [(XenstoreMessageType, UInt32)] = [
      (.control, 0), (.directory, 1), (.read, 2), (.getPermissions, 3), (.watch, 4), (.unwatch, 5),
      (.transactionStart, 6), (.transactionEnd, 7), (.introduce, 8), (.release, 9), (.getDomainPath, 10), (.write, 11),
      (.makeDirectory, 12), (.remove, 13), (.setPermissions, 14), (.watchEvent, 15), (.error, 16),
      (.isDomainIntroduced, 17), (.resume, 18), (.setTarget, 19), (.resetWatches, 21), (.directoryPart, 22),
    ]
    #expect(numbers.count == XenstoreMessageType.allCases.count)
    for (type, number) in numbers { #expect(type.rawValue == number) }
  }

  @Test func requestsMayArriveInAnyPieces() {
    let server = XenstoreServer()
    let id = server.connect(domid: 0)
    let stream =
      XenstoreMessage(.write, requestID: 1, payload: Array("/a\0one".utf8)).bytes
      + XenstoreMessage(.read, requestID: 2, payload: Array("/a\0".utf8)).bytes
    for byte in stream { #expect(server.receive([byte], on: id) == 1) }
    let expected =
      XenstoreMessage(.write, requestID: 1, payload: Array("OK\0".utf8)).bytes
      + XenstoreMessage(.read, requestID: 2, payload: Array("one".utf8)).bytes
    var output: [UInt8] = []
    while server.hasOutput(on: id) { output += server.takeOutput(on: id, upTo: 3) }
    #expect(output == expected)
    #expect(server.takeOutput(on: id, upTo: 100).isEmpty)
  }

  @Test func repliesRepeatRequestAndTransaction() {
    let server = XenstoreServer()
    let client = Client(server)
    let transaction = client.begin()
    let request = XenstoreMessage(.read, requestID: 77, transactionID: transaction, payload: Array("/tool\0".utf8))
    _ = server.receive(request.bytes, on: client.id)
    let reply = client.messages()
    #expect(reply == [XenstoreMessage(.read, requestID: 77, transactionID: transaction, payload: [])])
  }

  @Test func errorsCarryTheNameAndAZero() {
    let server = XenstoreServer()
    let client = Client(server)
    let reply = client.send(.read, "/none")
    #expect(reply?.rawType == 16)
    #expect(reply?.payload == Array("ENOENT\0".utf8))
  }

  @Test func unknownTypesAreAnsweredWithENOSYS() {
    let server = XenstoreServer()
    let id = server.connect(domid: 0)
    for type: UInt32 in [15, 16, 20, 23, 26, 65535, .max] {
      _ = server.receive(XenstoreMessage(rawType: type, requestID: type, payload: [0]).bytes, on: id)
      let expected = XenstoreMessage(.error, requestID: type, payload: Array("ENOSYS\0".utf8)).bytes
      #expect(server.takeOutput(on: id, upTo: .max) == expected)
    }
  }

  @Test func payloadsBeyondTheLimitEndTheConnection() {
    let server = XenstoreServer()
    let client = Client(server, domid: 3)
    _ = client.ask(.watch, "x", "t")
    let header = XenstoreMessage(.read, payload: [UInt8](repeating: 0, count: 4097)).bytes.prefix(16)
    _ = server.receive(Array(header), on: client.id)
    #expect(server.failure(of: client.id) == .protocolViolation)
    #expect(!server.canReceive(on: client.id))
    #expect(server.receive([0], on: client.id) == 0)
    #expect(!server.hasOutput(on: client.id))
    #expect(server.usage(of: 3).watches == 0)
    server.reset(client.id)
    #expect(client.ask(.getDomainPath, "3") == "/local/domain/3|")
  }

  @Test func payloadsAtTheLimitAreRead() {
    let server = XenstoreServer()
    let client = Client(server)
    let value = [UInt8](repeating: 65, count: 4096 - 3)
    #expect(client.text(client.send(.write, Array("/a\0".utf8) + value)) == "OK|")
    #expect(client.send(.read, "/a")?.payload == value)
  }

  @Test func oneStringMeansOneString() {
    let server = XenstoreServer()
    let client = Client(server)
    for payload in [[], Array("/tool".utf8), Array("/tool\0x".utf8), Array("/tool\0\0".utf8)] {
      #expect(client.text(client.send(.read, payload)) == "!EINVAL")
      #expect(client.text(client.send(.directory, payload)) == "!EINVAL")
      #expect(client.text(client.send(.makeDirectory, payload)) == "!EINVAL")
      #expect(client.text(client.send(.remove, payload)) == "!EINVAL")
    }
    #expect(client.text(client.send(.write, Array("/a".utf8))) == "!EINVAL")
  }

  @Test func unknownConnectionsAreHarmless() {
    let server = XenstoreServer()
    let id = server.connect(domid: 0)
    server.disconnect(id)
    server.disconnect(id)
    #expect(server.receive([1, 2, 3], on: id) == 0)
    #expect(server.takeOutput(on: id, upTo: 10).isEmpty)
    #expect(!server.hasOutput(on: id) && !server.canReceive(on: id))
  }
}
