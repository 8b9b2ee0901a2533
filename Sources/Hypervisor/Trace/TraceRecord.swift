import XenABI

/// One thing that happened inside the hypervisor.
public struct TraceRecord: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    /// A hypercall is done. Those that go on later, and IRET, are not told of.
    case hypercall
    /// Another virtual processor runs now.
    case `switch`
    /// A frame has become a page table or a descriptor table, or is none any more.
    case frame
    /// Something happened to the shadow page of a guest's table or of a larger page, or a translation was entered into one.
    case shadow
    /// An event is pending on a port.
    case event
    /// A grant is used by another domain, or no more.
    case grant
  }

  public enum Value: Sendable, Equatable {
    /// Shown in hexadecimal.
    case number(UInt64)
    case count(UInt64)
    case text(String)
  }

  public struct Field: Sendable, Equatable {
    public var name: String
    public var value: Value
    public init(_ name: String, _ value: Value) {
      self.name = name
      self.value = value
    }
  }

  /// Since the hypervisor began.
  public var nanoseconds: UInt64
  public var kind: Kind
  public var domain: DomainID
  public var vcpu: Int?
  /// Of a hypercall its name, of others what happened.
  public var name: String
  public var fields: [Field]

  /// A line: time, who, what.
  ///
  ///     1480 d1v0 hypercall console_io op=write count=28 buffer=0x108000 result=0x0
  ///     1602 d1 frame is segmentDescriptors mfn=0x513
  public var text: String {
    var line = "\(nanoseconds) \(domain)\(vcpu.map { "v\($0)" } ?? "") \(kind.rawValue) \(name)"
    for field in fields {
      switch field.value {
      case .number(let n): line += " \(field.name)=0x\(String(n, radix: 16))"
      case .count(let n): line += " \(field.name)=\(n)"
      case .text(let s): line += " \(field.name)=\(s)"
      }
    }
    return line
  }

  /// A JSON object on one line. Numbers above 2^53 are text, for readers whose numbers are floating-point.
  public var json: String {
    var line = "{\"ns\":\(nanoseconds),\"domain\":\(domain.rawValue)"
    if let vcpu { line += ",\"vcpu\":\(vcpu)" }
    line += ",\"kind\":\"\(kind.rawValue)\",\"name\":\(Self.quoted(name))"
    for field in fields {
      let value: String
      switch field.value {
      case .number(let n), .count(let n): value = n < 1 << 53 ? "\(n)" : "\"0x\(String(n, radix: 16))\""
      case .text(let s): value = Self.quoted(s)
      }
      line += ",\(Self.quoted(field.name)):\(value)"
    }
    return line + "}"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\" + String(scalar)
      case _ where scalar.value < 0x20: result += " "
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// Who is told what happens inside the hypervisor.
public protocol HypervisorTrace: AnyObject {
  /// Which kinds it wants to know of.
  func wants(_ kind: TraceRecord.Kind) -> Bool
  func record(_ record: TraceRecord)
}

extension Hypervisor {
  /// Tells of something; `fields` are only asked for where somebody wants to know.
  @inline(__always)
  func note(_ kind: TraceRecord.Kind, _ domain: Domain, _ vcpu: Int? = nil, _ name: @autoclosure () -> String, _ fields: @autoclosure () -> [TraceRecord.Field]) {
    guard let trace, trace.wants(kind) else { return }
    trace.record(TraceRecord(nanoseconds: now, kind: kind, domain: domain.id, vcpu: vcpu, name: name(), fields: fields()))
  }
}
