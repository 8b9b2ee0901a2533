import X86

/// The last interrupts and exceptions that were delivered, so that a triple fault can be explained after it happened.

/// One event, as it was when its delivery began.
public struct FaultRecord: Sendable {
  public var vector: UInt8 = 0
  public var kind: EventKind = .external
  public var hasErrorCode = false
  /// 0 for an event of its own; n for one that arose during the delivery of the record n places before in the chain.
  public var depth: UInt8 = 0
  public var cpl: UInt8 = 0
  public var processor: UInt32 = 0
  public var errorCode: UInt32 = 0
  public var codeSelector: UInt16 = 0
  public var stackSelector: UInt16 = 0
  /// RIP that the frame shows.
  public var rip: UInt64 = 0
  public var rsp: UInt64 = 0
  public var cr2: UInt64 = 0
  public var cr3: UInt64 = 0
  /// Instructions retired before.
  public var retired: UInt64 = 0
}

/// A ring of the last 64 records, in raw memory: recording costs a few stores.
public final class FaultLog {
  public static let capacity = 64
  private let records: UnsafeMutablePointer<FaultRecord>
  /// Records ever made.
  public private(set) var count = 0

  public init() {
    records = .allocate(capacity: Self.capacity)
    records.initialize(repeating: FaultRecord(), count: Self.capacity)
  }

  deinit { records.deallocate() }

  @inline(__always)
  func record(_ cpu: CPU, _ event: Event, depth: UInt8) {
    let s = cpu.s
    let p = records + (count & (Self.capacity &- 1))
    p.pointee.vector = event.vector
    p.pointee.kind = event.kind
    p.pointee.hasErrorCode = event.hasErrorCode
    p.pointee.depth = depth
    p.pointee.cpl = s.pointee.cpl
    p.pointee.processor = s.pointee.index
    p.pointee.errorCode = event.errorCode
    p.pointee.codeSelector = s.pointee.cs.selector
    p.pointee.stackSelector = s.pointee.ss.selector
    p.pointee.rip = event.returnRIP
    p.pointee.rsp = s.pointee.rsp
    p.pointee.cr2 = s.pointee.cr2
    p.pointee.cr3 = s.pointee.cr3
    p.pointee.retired = s.pointee.retired
    count &+= 1
  }

  /// The records still held, oldest first.
  public var recent: [FaultRecord] {
    let held = min(count, Self.capacity)
    return (0..<held).map { records[(count - held + $0) & (Self.capacity - 1)] }
  }

  /// The last event of a processor with everything that arose from its delivery, in order: after a triple fault, the whole story.
  public func lastChain(of processor: UInt32) -> [FaultRecord] {
    let own = recent.filter { $0.processor == processor }
    guard let start = own.lastIndex(where: { $0.depth == 0 }) else { return own }
    return Array(own[start...])
  }
}

extension FaultRecord: CustomStringConvertible {
  /// For example `#PF(error 0002) at 0010:00000000C0001234, CR2 00000000DEADBEEF, CPL 0`.
  public var description: String {
    func hex(_ v: UInt64, _ digits: Int) -> String {
      let text = String(v, radix: 16, uppercase: true)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    var text = kind == .external && vector != 2 ? "interrupt \(vector)" : Self.name(vector)
    if kind == .software { text = "INT \(vector)" }
    if hasErrorCode { text += "(error \(hex(UInt64(errorCode), 4)))" }
    text += " at \(hex(UInt64(codeSelector), 4)):\(hex(rip, 16))"
    if vector == 14, kind == .exception { text += ", CR2 \(hex(cr2, 16))" }
    return text + ", stack \(hex(UInt64(stackSelector), 4)):\(hex(rsp, 16)), CPL \(cpl), instruction \(retired)"
  }

  private static func name(_ vector: UInt8) -> String {
    let names = ["#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "vector 9", "#TS", "#NP", "#SS", "#GP", "#PF",
                 "vector 15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"]
    return Int(vector) < names.count ? names[Int(vector)] : "vector \(vector)"
  }
}
