/// The types of messages. Numbers above those here, and the gaps, are answered with ENOSYS.
///
/// Source: xen/include/public/io/xs_wire.h of Xen 4.17, enum xsd_sockmsg_type.
public enum XenstoreMessageType: UInt32, Sendable, CaseIterable {
  case control = 0
  case directory = 1
  case read = 2
  case getPermissions = 3
  case watch = 4
  case unwatch = 5
  case transactionStart = 6
  case transactionEnd = 7
  case introduce = 8
  case release = 9
  case getDomainPath = 10
  case write = 11
  case makeDirectory = 12
  case remove = 13
  case setPermissions = 14
  case watchEvent = 15
  case error = 16
  case isDomainIntroduced = 17
  case resume = 18
  case setTarget = 19
  case resetWatches = 21
  case directoryPart = 22
}

/// A message of the wire protocol, in either direction: 16 bytes of header and a payload.
///
/// Source: xs_wire.h, struct xsd_sockmsg; docs/misc/xenstore.txt.
public struct XenstoreMessage: Equatable, Sendable {
  public static let headerSize = 16
  /// Longest payload, in either direction (XENSTORE_PAYLOAD_MAX).
  public static let payloadLimit = 4096

  /// A number, as a client may send one that is no type.
  public var rawType: UInt32
  /// Chosen by the client; the reply repeats it.
  public var requestID: UInt32
  /// 0 outside of transactions.
  public var transactionID: UInt32
  public var payload: [UInt8]

  public var type: XenstoreMessageType? { XenstoreMessageType(rawValue: rawType) }

  public init(rawType: UInt32, requestID: UInt32 = 0, transactionID: UInt32 = 0, payload: [UInt8]) {
    self.rawType = rawType
    self.requestID = requestID
    self.transactionID = transactionID
    self.payload = payload
  }

  public init(
    _ type: XenstoreMessageType, requestID: UInt32 = 0, transactionID: UInt32 = 0, payload: [UInt8] = []
  ) {
    self.init(rawType: type.rawValue, requestID: requestID, transactionID: transactionID, payload: payload)
  }

  /// The message as it travels.
  public var bytes: [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(Self.headerSize + payload.count)
    for word in [rawType, requestID, transactionID, UInt32(truncatingIfNeeded: payload.count)] {
      result.append(littleEndian: word)
    }
    result.append(contentsOf: payload)
    return result
  }

  /// The payload cut at its zero bytes; bytes after the last zero are left out.
  public var strings: [ArraySlice<UInt8>] { payload[...].terminatedStrings }
}

/// Cuts a stream of bytes into messages, however it arrives.
public struct XenstoreMessageAssembler: Sendable {
  private(set) var pending: [UInt8] = []

  public init() {}
  init(pending: [UInt8]) { self.pending = pending }

  public var isIdle: Bool { pending.isEmpty }

  /// Takes bytes from the front of `bytes` until a message is complete or the bytes are used up.
  /// - Returns: the message, or nil where more bytes are needed.
  public mutating func next(
    from bytes: inout ArraySlice<UInt8>
  ) throws(XenstoreConnectionError) -> XenstoreMessage? {
    take(from: &bytes, upTo: XenstoreMessage.headerSize)
    guard pending.count >= XenstoreMessage.headerSize else { return nil }
    let length = Int(pending.littleEndianWord(at: 12))
    guard length <= XenstoreMessage.payloadLimit else { throw .protocolViolation }
    take(from: &bytes, upTo: XenstoreMessage.headerSize + length)
    guard pending.count == XenstoreMessage.headerSize + length else { return nil }
    defer { pending.removeAll(keepingCapacity: true) }
    return XenstoreMessage(
      rawType: pending.littleEndianWord(at: 0), requestID: pending.littleEndianWord(at: 4),
      transactionID: pending.littleEndianWord(at: 8), payload: Array(pending[XenstoreMessage.headerSize...]))
  }

  private mutating func take(from bytes: inout ArraySlice<UInt8>, upTo size: Int) {
    let part = bytes.prefix(max(0, size - pending.count))
    pending.append(contentsOf: part)
    bytes = bytes.dropFirst(part.count)
  }
}

extension Array where Element == UInt8 {
  mutating func append(littleEndian word: UInt32) {
    for shift in stride(from: UInt32(0), to: 32, by: 8) { append(UInt8(truncatingIfNeeded: word >> shift)) }
  }

  /// The caller has checked that four bytes are there.
  func littleEndianWord(at offset: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(self[offset + $1]) << (8 * UInt32($1)) }
  }

  /// The characters and a zero, as strings travel.
  mutating func append(terminated text: some StringProtocol) {
    append(contentsOf: text.utf8)
    append(0)
  }
}

extension ArraySlice where Element == UInt8 {
  /// The parts that end in a zero byte, without it.
  var terminatedStrings: [ArraySlice<UInt8>] {
    var result: [ArraySlice<UInt8>] = []
    var rest = self
    while let end = rest.firstIndex(of: 0) {
      result.append(rest[..<end])
      rest = rest[(end + 1)...]
    }
    return result
  }

  /// The characters of an unsigned decimal number that fits; nil for anything else.
  var decimal: UInt64? {
    guard !isEmpty, count <= 20, allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return UInt64(String(decoding: self, as: UTF8.self))
  }
}
