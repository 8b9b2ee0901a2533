import FoundationEssentials

/// Messages as lines, and lines as messages.
public enum ControlLine {
  private struct Request: Codable {
    var version: Int
    var id: Int
    var request: ControlRequest
  }

  private struct Answer: Codable {
    var version: Int
    var id: Int
    var answer: ControlAnswer
  }

  /// What can be read from a line of any version.
  private struct Head: Codable {
    var version: Int
    var id: Int?
  }

  private static func line(_ message: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Messages consist of what JSON has.
    guard let data = try? encoder.encode(message) else { return [] }
    return Array(data) + [10]
  }

  public static func request(_ id: Int, _ request: ControlRequest) -> [UInt8] {
    line(Request(version: ControlProtocol.version, id: id, request: request))
  }

  public static func answer(_ id: Int, _ answer: ControlAnswer) -> [UInt8] {
    line(Answer(version: ControlProtocol.version, id: id, answer: answer))
  }

  /// A line that is no message, as one sentence, with the number of the request if it had one.
  public struct Unreadable: Error, CustomStringConvertible {
    public var id: Int
    public var description: String
  }

  private static func read<T: Decodable>(_ line: [UInt8], as type: T.Type) throws(Unreadable) -> T {
    let data = Data(line)
    let decoder = JSONDecoder()
    guard let head = try? decoder.decode(Head.self, from: data) else {
      throw Unreadable(id: 0, description: "the other side of the control socket does not speak its protocol")
    }
    guard head.version == ControlProtocol.version else {
      throw Unreadable(
        id: head.id ?? 0,
        description: "the other side of the control socket speaks version \(head.version) of its protocol, this side \(ControlProtocol.version)")
    }
    guard let message = try? decoder.decode(type, from: data) else {
      throw Unreadable(id: head.id ?? 0, description: "the other side of the control socket sent a message that is unknown here")
    }
    return message
  }

  public static func readRequest(_ line: [UInt8]) throws(Unreadable) -> (id: Int, request: ControlRequest) {
    let message = try read(line, as: Request.self)
    return (message.id, message.request)
  }

  public static func readAnswer(_ line: [UInt8]) throws(Unreadable) -> (id: Int, answer: ControlAnswer) {
    let message = try read(line, as: Answer.self)
    return (message.id, message.answer)
  }
}

/// Collects bytes of a stream into lines.
public struct LineBuffer {
  private var bytes: [UInt8] = []
  private let limit: Int
  /// A line was longer than allowed: nothing of the stream makes sense any more.
  public private(set) var isOverfull = false

  public init(limit: Int = ControlProtocol.lineLimit) { self.limit = limit }

  /// Complete lines, without their ends.
  public mutating func add(_ new: some Sequence<UInt8>) -> [[UInt8]] {
    var lines: [[UInt8]] = []
    for byte in new where !isOverfull {
      if byte == 10 {
        lines.append(bytes)
        bytes = []
      } else {
        bytes.append(byte)
        isOverfull = bytes.count > limit
      }
    }
    return lines
  }
}
