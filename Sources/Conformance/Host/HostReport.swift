import X86
import X86Decoder

/// Results of a comparison with the host's processor as text, JSON and JUnit.
public struct HostReport: Sendable {
  public var result: HostResult
  public var host: HostFeatures
  public var seed: UInt64
  public var hostSeconds: Double
  /// Options that the cases depend on beside the seed, as they stood on the command line.
  public var options: String
  public var failuresShown = 20

  public init(result: HostResult, host: HostFeatures, seed: UInt64, hostSeconds: Double, options: String = "") {
    self.result = result
    self.host = host
    self.seed = seed
    self.hostSeconds = hostSeconds
    self.options = options
  }

  /// The last line of every report.
  public var verdict: String { "\(result.passed) passed, \(result.failed) failed, \(result.skipped) skipped" }

  // MARK: Coverage

  private static var rows: Range<Int> { 1..<OpcodeMap.shared.rowCount }

  /// Rows that a rule keeps from being run on this host.
  public var excluded: [(rule: HostRule, rows: [UInt16])] {
    let table = HostRuleTable(host: host)
    return HostRule.all.enumerated().compactMap { n, rule in
      let rows = Self.rows.filter { table.excluding[$0] == n }.map { UInt16($0) }
      return rows.isEmpty ? nil : (rule, rows)
    }
  }

  private var allowed: [Int] {
    let table = HostRuleTable(host: host), catalog = HostCatalog.shared
    return Self.rows.filter { row in table.excluding[row] == nil && catalog.modes.contains { !$0.templates[row].isEmpty } }
  }

  private func hits(_ row: Int) -> Int { result.begun[0][row] + result.begun[1][row] }
  private func completions(_ row: Int) -> Int { result.completed[0][row] + result.completed[1][row] }

  /// Rows that no passed case has begun.
  public var missed: [UInt16] { allowed.filter { hits($0) == 0 }.map { UInt16($0) } }

  /// Rows a program may execute that always ended in an exception.
  public var neverCompleted: [UInt16] {
    allowed.filter { hits($0) > 0 && completions($0) == 0 && !OpcodeMap.attributes(UInt16($0)).contains(.privileged) }.map { UInt16($0) }
  }

  /// Cases by the feature that the first instruction belongs to.
  var groups: [(feature: Feature, rows: Int, hit: Int, passed: Int, failed: Int, skipped: Int)] {
    Feature.allCases.compactMap { feature in
      let rows = Self.rows.filter { OpcodeMap.feature(ofRow: UInt16($0)) == feature }
      if rows.isEmpty { return nil }
      func sum(_ counts: [Int]) -> Int { rows.reduce(0) { $0 + counts[$1] } }
      return (feature, rows.count, rows.filter { hits($0) > 0 }.count, sum(result.rowPassed), sum(result.rowFailed), sum(result.rowSkipped))
    }
  }

  /// Rules that applied to something.
  public var ruled: [(rule: HostRule, cases: Int)] {
    HostRule.all.enumerated().compactMap { n, rule in result.ruled[n] == 0 ? nil : (rule, result.ruled[n]) }
  }

  // MARK: Text

  public var brief: String { failureText + unsteadyText + verdict + "\n" }

  private var unsteadyText: String {
    if result.unsteady == 0 { return "" }
    return (result.isTooUnsteady ? "FAILED: " : "") + "\(result.unsteady) cases skipped: they differed behind others, and agreed alone: "
      + result.unsteadyCases.map { "\($0)" }.joined(separator: ", ") + (result.unsteady > result.unsteadyCases.count ? ", …" : "") + "\n"
  }

  private var failureText: String {
    var out = ""
    for failure in result.failures.prefix(failuresShown) { out += failure.text(seed: seed, options: options) + "\n" }
    let shown = min(failuresShown, result.failures.count)
    if result.failed > shown { out += "\(result.failed - shown) more failures are not shown (--failures)\n" }
    let rows = Self.rows.filter { result.rowFailed[$0] > 0 }
    if !rows.isEmpty {
      out += "failed by instruction:\n"
      for row in rows { out += "  " + HostCatalog.shared.name(UInt16(row)).padded(36) + "\(result.rowFailed[row])\n" }
      out += "\n"
    }
    return out
  }

  public var text: String {
    var out = failureText + Self.line("group", ["rows", "run", "passed", "failed", "skipped"])
    for g in groups { out += Self.line("\(g.feature)", ["\(g.rows)", "\(g.hit)", "\(g.passed)", "\(g.failed)", "\(g.skipped)"]) }
    out += Self.line("invalid", ["", "", "\(result.rowPassed[0])", "\(result.rowFailed[0])", "\(result.rowSkipped[0])"])
    out += Self.line("all", [
      "\(OpcodeMap.shared.rowCount - 1)", "\(Self.rows.filter { hits($0) > 0 }.count)", "\(result.passed)", "\(result.failed)", "\(result.skipped)",
    ]) + "\n"
    for (rule, cases) in ruled { out += "rule \(rule.id): \(cases) cases \(rule.effectName): \(rule.reason)\n" }
    out += unsteadyText
    for (rule, rows) in excluded {
      out += "not run, \(rule.id) (\(rule.reason)): \(rows.count) rows: " + rows.map { HostCatalog.shared.name($0) }.joined(separator: ", ") + "\n"
    }
    out += coverage("rows not hit", missed) + coverage("rows that always ended in an exception", neverCompleted)
    let rate = hostSeconds > 0 ? " (\(Int(Double(result.cases) / hostSeconds)) cases a second)" : ""
    out += "\(host.text), seed \(seed): \(result.cases) cases in \(Decimal.text(hostSeconds, 2)) s\(rate)\n"
    return out + verdict + "\n"
  }

  private func coverage(_ title: String, _ rows: [UInt16]) -> String {
    "\(title): \(rows.count)" + (rows.isEmpty ? "" : ": " + rows.map { HostCatalog.shared.name($0) }.joined(separator: ", ")) + "\n"
  }

  private static func line(_ name: String, _ numbers: [String]) -> String {
    var out = name.padded(16)
    for number in numbers { out += String(repeating: " ", count: max(1, 10 - number.count)) + number }
    return out + "\n"
  }

  // MARK: JSON and JUnit

  public var json: String {
    func names(_ rows: [UInt16]) -> JSON { .array(rows.map { .string(HostCatalog.shared.name($0)) }) }
    return JSON.object([
      ("command", .string("conform host")), ("title", .string("\(host.text), seed \(seed)")), ("passed", .integer(result.passed)),
      ("failed", .integer(result.failed)), ("skipped", .integer(result.skipped)), ("unsteady", .integer(result.unsteady)),
      ("hostSeconds", .number((hostSeconds * 1e6).rounded() / 1e6)),
      ("rules", .array(ruled.map { rule, cases in
        .object([("id", .string(rule.id)), ("effect", .string(rule.effectName)), ("reason", .string(rule.reason)), ("tests", .integer(cases))])
      })),
      ("groups", .array(groups.map { g in
        .object([
          ("name", .string("\(g.feature)")), ("rows", .integer(g.rows)), ("run", .integer(g.hit)), ("passed", .integer(g.passed)), ("failed", .integer(g.failed)),
          ("skipped", .integer(g.skipped)),
        ])
      })),
      ("invalid", .object([
        ("passed", .integer(result.rowPassed[0])), ("failed", .integer(result.rowFailed[0])), ("skipped", .integer(result.rowSkipped[0])),
      ])),
      ("excluded", .array(excluded.map { rule, rows in
        .object([("id", .string(rule.id)), ("reason", .string(rule.reason)), ("rows", names(rows))])
      })),
      ("missed", names(missed)), ("neverCompleted", names(neverCompleted)),
      ("failures", .array(result.failures.prefix(failuresShown).map { failure in
        .object([
          ("case", .string("\(failure.number)")), ("instruction", .string(HostCatalog.shared.name(failure.row))), ("replay", .string(failure.replay.text)),
          ("listing", .array(failure.listing.map { .string($0) })),
          ("differences", .array(failure.differences.map { d in
            .object([("what", .string(d.what)), ("before", .string(d.before)), ("host", .string(d.host)), ("core", .string(d.core)), ("flags", .string(d.note))])
          })),
        ])
      })),
    ]).text
  }

  /// One test case for each group of instructions.
  public var junit: String {
    let all = groups
    var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"xenolith conform host\">\n"
    let failing = all.filter { $0.failed > 0 }.count, idle = all.filter { $0.failed == 0 && $0.passed == 0 }.count
    out += "  <testsuite name=\"\(XML.escaped(host.text))\" tests=\"\(all.count)\" failures=\"\(failing)\" skipped=\"\(idle)\">\n"
    for g in all {
      out += "    <testcase classname=\"host\" name=\"\(g.feature)\""
      if g.failed > 0 {
        let own = result.failures.filter { OpcodeMap.feature(ofRow: $0.row) == g.feature }
        let details = own.prefix(3).map { $0.text(seed: seed, options: options) }.joined(separator: "\n")
        out += ">\n      <failure message=\"\(g.failed) of \(g.passed + g.failed) cases failed\">\(XML.escaped(details))</failure>\n    </testcase>\n"
      } else if g.passed == 0 {
        out += ">\n      <skipped message=\"\(g.skipped) cases skipped by rules\"/>\n    </testcase>\n"
      } else {
        out += "/>\n"
      }
    }
    return out + "  </testsuite>\n</testsuites>\n"
  }
}

extension HostFailure {
  /// The code, what differs, and the line that repeats it.
  public func text(seed: UInt64, options: String = "") -> String {
    var out = "FAILED case \(number): \(HostCatalog.shared.name(row)) (--seed \(seed)\(options) --case \(number))\n"
    for line in listing { out += "  \(line)\n" }
    let width = max(10, differences.map(\.host.count).max() ?? 0) + 2
    out += "  " + "".padded(12) + "before".padded(width) + "host".padded(width) + "core\n"
    for d in differences {
      out += "  " + d.what.padded(12) + d.before.padded(width) + d.host.padded(width) + d.core + (d.note.isEmpty ? "" : "  (\(d.note))") + "\n"
    }
    return out + "  repeat with: xenolith conform host --replay '\(replay.text)'\n"
  }
}
