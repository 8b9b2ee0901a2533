/// Processors on which vCPUs may run, as written: "0-3,^2", "all,^7", "node:0".
///
/// Source: xl.cfg(5), `cpus`.
public struct CPUAffinity: Equatable, Sendable {
  enum Range: Equatable {
    case all
    case cpus(ClosedRange<Int>)
    /// The emulated machine has one node, 0, with all its processors.
    case nodes(ClosedRange<Int>)
  }

  struct Term: Equatable {
    var range: Range
    var excludes: Bool
  }

  let terms: [Term]

  /// Nil where the text is no such list.
  public init?(_ text: String) {
    var terms: [Term] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let term = Self.term(Self.trimmed(part)) else { return nil }
      terms.append(term)
    }
    self.terms = terms
  }

  private static func trimmed(_ text: Substring) -> Substring {
    let head = text.drop { $0 == " " || $0 == "\t" }
    return head.prefix(head.count - head.reversed().prefix { $0 == " " || $0 == "\t" }.count)
  }

  private static func term(_ text: Substring) -> Term? {
    var rest = text
    let excludes = rest.hasPrefix("^")
    if excludes { rest = rest.dropFirst() }
    if rest == "all" { return Term(range: .all, excludes: excludes) }
    for prefix in ["nodes:", "node:"] where rest.hasPrefix(prefix) {
      rest = rest.dropFirst(prefix.count)
      if rest.hasPrefix("^") { return nil }
      if rest == "all" { return Term(range: .all, excludes: excludes) }
      return range(rest).map { Term(range: .nodes($0), excludes: excludes) }
    }
    return range(rest).map { Term(range: .cpus($0), excludes: excludes) }
  }

  private static func range(_ text: Substring) -> ClosedRange<Int>? {
    func number(_ digits: Substring) -> Int? {
      digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(digits).flatMap { $0 <= 65535 ? $0 : nil } : nil
    }
    let ends = text.split(separator: "-", omittingEmptySubsequences: false)
    guard let first = ends.first.flatMap(number), ends.count <= 2 else { return nil }
    guard ends.count == 2 else { return first...first }
    guard let last = number(ends[1]), last >= first else { return nil }
    return first...last
  }

  /// Which of the machine's processors are meant. May be empty, where the text names none that are there.
  public func processors(of count: Int) -> [Int] {
    (0..<max(count, 0)).filter { cpu in
      terms.reduce(false) { allowed, term in
        let applies =
          switch term.range {
          case .all: true
          case .cpus(let range): range.contains(cpu)
          case .nodes(let range): range.contains(0)
          }
        return applies ? !term.excludes : allowed
      }
    }
  }
}
