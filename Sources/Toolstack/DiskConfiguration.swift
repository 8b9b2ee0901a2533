/// What is wrong with a device's specification, as the end of a sentence.
struct SpecificationError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A virtual disk.
///
/// Source: xl-disk-configuration(5).
public struct DiskConfiguration: Equatable, Sendable {
  public enum Format: String, CaseIterable, Sendable {
    case raw, qcow, qcow2, vhd, qed
    /// A drive without a medium.
    case empty
  }

  public enum Backend: String, CaseIterable, Sendable { case phy, tap, qdisk, standalone }

  /// The file or block device; empty for an empty drive.
  public var target: String
  public var format: Format
  public var device: VirtualDisk
  public var isWritable: Bool
  /// Others may write it at the same time: access `w!`, as in Xen's former tools.
  public var isShared = false
  public var isCDROM: Bool
  /// Whether the domain may give blocks back. Nil leaves it to the format.
  public var discard: Bool?
  public var isDirectIOSafe: Bool
  public var backend: Backend?
  /// The domain that serves it, where that is not the control domain.
  public var backendDomain: String?
  public var script: String?
}

extension DiskConfiguration {
  /// Reads a specification in any of its forms, from left to right: `key=value` parts and flags anywhere, up to `target=`, which
  /// takes the rest; old prefixes like `file:`; and parts by position: target, format (not with a prefix), device, access.
  init(parsing text: String) throws(SpecificationError) {
    var parser = Parser()
    try parser.parse(text)
    let isCDROM = parser.isCDROM ?? false
    guard let name = parser.device, !name.isEmpty else {
      throw SpecificationError("it does not say which device it is, like vdev=xvda")
    }
    guard let device = VirtualDisk(name) else {
      throw SpecificationError("the device \"\(name)\" is none of xvda, xvda1, hda, sda, and their like")
    }
    let target = parser.target ?? ""
    guard !target.isEmpty || isCDROM || parser.format == .empty else {
      throw SpecificationError("it does not say which file it is in, like target=/path/to/disk")
    }
    self.target = target
    format = target.isEmpty ? .empty : parser.format ?? .raw
    self.device = device
    // "cdrom" implies read-only.
    isWritable = (parser.isWritable ?? true) && !isCDROM
    isShared = parser.isShared && isWritable
    self.isCDROM = isCDROM
    discard = parser.discard
    isDirectIOSafe = parser.isDirectIOSafe
    backend = parser.backend
    backendDomain = parser.backendDomain
    script = parser.script
  }

  private struct Parser {
    var target: String?
    var format: Format?
    var device: String?
    var isWritable: Bool?
    var isShared = false
    var isCDROM: Bool?
    var discard: Bool?
    var isDirectIOSafe = false
    var backend: Backend?
    var backendDomain: String?
    var script: String?
    private var hadPrefix = false

    /// Old prefixes that say nothing any more.
    private static let plainPrefixes = ["tapdisk:", "tap2:", "tap:", "aio:", "ioemu:", "file:", "phy:"]
    private static let scriptPrefixes = ["iscsi:", "nbd:", "enbd:", "drbd:"]
    private static let formatPrefixes = ["raw:", "qcow2:", "qcow:", "vhd:"]

    mutating func parse(_ text: String) throws(SpecificationError) {
      var rest = text[...]
      while true {
        rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "\n" }
        if rest.isEmpty { return }
        if rest.hasPrefix("target=") {
          try setTarget(rest.dropFirst("target=".count))
          return
        }
        // Prefixes belong to the part behind them, which may have more of them.
        if target == nil, let end = try takePrefix(rest) {
          rest = rest[end...]
          continue
        }
        let end = rest.firstIndex(of: ",")
        let part = rest[..<(end ?? rest.endIndex)]
        try take(part)
        guard let end else { return }
        rest = rest[rest.index(after: end)...]
      }
    }

    private mutating func takePrefix(_ rest: Substring) throws(SpecificationError) -> Substring.Index? {
      guard let colon = rest.firstIndex(of: ":"), colon != rest.startIndex,
        rest[..<colon].utf8.allSatisfy({ (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) })
      else { return nil }
      let prefix = String(rest[...colon])
      if Self.formatPrefixes.contains(prefix) {
        try setFormat(prefix.dropLast())
      } else if Self.scriptPrefixes.contains(prefix) {
        script = "block-" + prefix.dropLast()
      } else if !Self.plainPrefixes.contains(prefix) {
        throw SpecificationError("the prefix \"\(prefix)\" is not known")
      }
      hadPrefix = true
      return rest.index(after: colon)
    }

    private mutating func take(_ part: Substring) throws(SpecificationError) {
      guard let equals = part.firstIndex(of: "=") else { return try takeFlagOrPosition(part) }
      let value = part[part.index(after: equals)...]
      switch part[..<equals] {
      case "format": try setFormat(value)
      case "vdev": try setDevice(value)
      case "access": try setAccess(value)
      case "devtype":
        guard value == "cdrom" || value == "disk" else { throw SpecificationError("devtype is \"\(value)\", but must be disk or cdrom") }
        isCDROM = value == "cdrom"
      case "backend": backendDomain = String(value)
      case "backendtype":
        guard let type = Backend(rawValue: String(value)) else {
          throw SpecificationError("backendtype is \"\(value)\", but must be one of \(Backend.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        backend = type
      case "script": script = String(value)
      case "specification":
        guard value == "xen" else { throw SpecificationError("specification is \"\(value)\", but only xen is supported") }
      case "grant_usage": break
      case let key: throw SpecificationError("the parameter \"\(key)\" is not known")
      }
    }

    private mutating func takeFlagOrPosition(_ part: Substring) throws(SpecificationError) {
      switch part {
      case "cdrom": isCDROM = true
      case "discard": discard = true
      case "no-discard": discard = false
      case "direct-io-safe": isDirectIOSafe = true
      case "trusted", "untrusted", "no-colo": break
      default: try takePosition(part)
      }
    }

    private mutating func takePosition(_ part: Substring) throws(SpecificationError) {
      if target == nil {
        target = String(part)
      } else if !hadPrefix, format == nil {
        // ",hdc:cdrom" is an empty drive, in the place of the format.
        if target == "", part.contains(":") {
          try setDevice(part)
          format = .empty
        } else {
          try setFormat(part)
        }
      } else if device == nil {
        try setDevice(part)
      } else if isWritable == nil {
        try setAccess(part)
      } else {
        throw SpecificationError("\"\(part)\" is one part too many")
      }
    }

    private mutating func setTarget(_ text: Substring) throws(SpecificationError) {
      guard target == nil || target == "" else { throw SpecificationError("it gives two targets") }
      target = String(text)
    }

    private mutating func setFormat(_ text: some StringProtocol) throws(SpecificationError) {
      guard let new = text.isEmpty ? Format.raw : Format(rawValue: String(text)) else {
        throw SpecificationError("the format \"\(text)\" is none of \(Format.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      guard format == nil || format == new else { throw SpecificationError("it gives two formats") }
      format = new
    }

    /// The device, in old forms with its kind: "hdc:cdrom".
    private mutating func setDevice(_ text: Substring) throws(SpecificationError) {
      guard device == nil else { throw SpecificationError("it gives two devices") }
      let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      device = String(parts[0])
      guard parts.count == 2 else { return }
      guard parts[1] == "cdrom" || parts[1] == "disk" else {
        throw SpecificationError("\"\(parts[1])\" behind the device must be disk or cdrom")
      }
      isCDROM = parts[1] == "cdrom"
    }

    private mutating func setAccess(_ text: Substring) throws(SpecificationError) {
      switch text {
      case "r", "ro": isWritable = false
      case "w", "rw", "": isWritable = true
      case "w!", "rw!":
        isWritable = true
        isShared = true
      default: throw SpecificationError("the access \"\(text)\" is none of ro, rw and rw!")
      }
    }
  }
}
