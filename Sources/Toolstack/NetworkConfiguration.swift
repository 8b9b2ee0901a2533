/// A network interface.
///
/// Source: xl-network-configuration(5).
public struct NetworkConfiguration: Equatable, Sendable {
  /// Nil: whoever builds the domain makes one.
  public var mac: MACAddress?
  /// The network it is plugged into. Nil for the default one.
  public var bridge: String?
  /// The kind of card an HVM domain sees.
  public var model: String?
  /// An HVM domain gets no emulated card.
  public var isParavirtualOnly = false
  public var addresses: String?
  public var script: String?
  /// The host's name for the interface.
  public var interfaceName: String?
  public var backendDomain: String?
  public var gatewayDevice: String?
  public var rate: Rate?
  public var deviceID: Int?
  public var mtu: Int?

  /// How fast the domain may send.
  public struct Rate: Equatable, Sendable {
    public var bytesPerSecond: UInt64
    /// Microseconds after which unused allowance is renewed.
    public var interval: UInt32
  }

  /// An interface of which nothing is said.
  public init() {}
}

extension NetworkConfiguration {
  /// Names of what was given and changes nothing.
  var ineffectiveParts: [String] {
    [("rate", rate != nil), ("ip", addresses != nil), ("script", script != nil), ("vifname", interfaceName != nil), ("model", model != nil),
     ("gatewaydev", gatewayDevice != nil)].filter(\.1).map(\.0)
  }

  /// Reads `key=value` parts between commas; none is needed.
  init(parsing text: String) throws(SpecificationError) {
    for (key, value) in try KeyValueList.parts(of: text) {
      switch key {
      case "mac":
        guard let mac = MACAddress(value) else {
          throw SpecificationError("mac is \"\(value)\", but must be like 00:16:3e:12:34:56, and no multicast address")
        }
        self.mac = mac
      case "bridge": bridge = value
      case "model": model = value
      case "type":
        guard value == "ioemu" || value == "vif" || value == "netfront" else {
          throw SpecificationError("type is \"\(value)\", but must be ioemu or vif")
        }
        isParavirtualOnly = value != "ioemu"
      case "ip": addresses = value
      case "script": script = value
      case "vifname": interfaceName = value
      case "backend": backendDomain = value
      case "gatewaydev", "netdev": gatewayDevice = value
      case "rate":
        guard let rate = Rate(value) else { throw SpecificationError("rate is \"\(value)\", but must be like 10Mb/s or 1MB/s@20ms") }
        self.rate = rate
      case "devid": deviceID = try KeyValueList.number(key, value, 0...255)
      case "mtu": mtu = try KeyValueList.number(key, value, 68...65535)
      case "accel", "vlan", "trusted", "untrusted": break
      default: throw SpecificationError("the parameter \"\(key)\" is not known")
      }
    }
  }
}

extension NetworkConfiguration.Rate {
  /// "250KB/s", "10Mb/s", "1MB/s@20ms": B for bytes, b for bits; the interval is in microseconds where it has no unit.
  init?(_ text: String) {
    let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    guard let (amount, unit) = Self.measure(halves[0]), unit.hasSuffix("/s") else { return nil }
    let factors: [Substring: UInt64] = ["": 1, "K": 1000, "M": 1_000_000, "G": 1_000_000_000]
    let kind = unit.dropLast(2)
    guard kind.last == "B" || kind.last == "b", let factor = factors[kind.dropLast()] else { return nil }
    let (product, overflow) = amount.multipliedReportingOverflow(by: factor)
    guard !overflow else { return nil }
    bytesPerSecond = kind.last == "b" ? product / 8 : product
    interval = 50_000
    guard halves.count == 2 else { return }
    let units: [Substring: UInt64] = ["": 1, "us": 1, "ms": 1000, "s": 1_000_000]
    guard let (time, name) = Self.measure(halves[1]), let scale = units[name], time > 0, time <= 1 << 32,
      let microseconds = UInt32(exactly: time * scale)
    else { return nil }
    interval = microseconds
  }

  private static func measure(_ text: Substring) -> (UInt64, Substring)? {
    let digits = text.prefix { ("0"..."9").contains($0) }
    return UInt64(digits).map { ($0, text.dropFirst(digits.count)) }
  }
}

/// The address of a network card.
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
  /// 6.
  public let bytes: [UInt8]

  /// Six groups of two hexadecimal digits; nil for anything else, and for addresses of groups.
  public init?(_ text: String) {
    let groups = text.split(separator: ":", omittingEmptySubsequences: false)
    let bytes = groups.compactMap { group in
      group.utf8.count == 2 && !group.contains("+") && !group.contains("-") ? UInt8(group, radix: 16) : nil
    }
    guard groups.count == 6, bytes.count == 6, bytes[0] & 1 == 0 else { return nil }
    self.bytes = bytes
  }

  /// A random one of Xen's range, 00:16:3e:00:00:00 to 00:16:3e:7f:ff:ff.
  public init(using generator: inout some RandomNumberGenerator) {
    bytes = [
      0x00, 0x16, 0x3E, UInt8.random(in: 0...0x7F, using: &generator), UInt8.random(in: 0...0xFF, using: &generator),
      UInt8.random(in: 0...0xFF, using: &generator),
    ]
  }

  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}

/// `key=value` parts and flags between commas.
enum KeyValueList {
  static func parts(of text: String) throws(SpecificationError) -> [(key: String, value: String)] {
    var result: [(String, String)] = []
    for part in text.split(separator: ",") {
      let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(trimmed)
      if words.count == 1, words[0].isEmpty { continue }
      guard words.count == 2 || ["trusted", "untrusted"].contains(words[0]) else {
        throw SpecificationError("\"\(words[0])\" must be followed by = and a value")
      }
      result.append((words[0], words.count == 2 ? words[1] : ""))
    }
    return result
  }

  static func number(_ key: String, _ text: String, _ range: ClosedRange<Int>) throws(SpecificationError) -> Int {
    guard let number = KeyReader.number(text), range.contains(number) else {
      throw SpecificationError("\(key) is \"\(text)\", but must be a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  static func flag(_ key: String, _ text: String) throws(SpecificationError) -> Bool {
    guard let number = KeyReader.number(text) else { throw SpecificationError("\(key) is \"\(text)\", but must be 0 or 1") }
    return number != 0
  }

  private static func trimmed(_ text: Substring) -> String {
    let head = text.drop { $0 == " " || $0 == "\t" }
    return String(head.prefix(head.count - head.reversed().prefix { $0 == " " || $0 == "\t" }.count))
  }
}
