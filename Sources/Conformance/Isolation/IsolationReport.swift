/// Results of a campaign against the hypervisor as text, JSON and JUnit.
public struct IsolationReport: Sendable {
  public var result: IsolationResult
  public var seed: UInt64
  public var hostSeconds: Double

  public init(result: IsolationResult, seed: UInt64, hostSeconds: Double) {
    self.result = result
    self.seed = seed
    self.hostSeconds = hostSeconds
  }

  private var failed: Int { Int(clamping: result.failed) }
  private var passed: Int { Int(clamping: result.cases - result.failed) }
  public var verdict: String { "\(passed) passed, \(failed) failed, 0 skipped" }

  private var findings: String {
    result.findings.map { finding in
      "FAILED case \(finding.number) (\(finding.kind.rawValue), after \(finding.commands) commands): \(finding.text)\n"
        + "  repeat with: xenolith conform isolation --seed \(seed) --first \(finding.number) --cases 1\n"
    }.joined()
  }

  public var brief: String { findings + verdict + "\n" }

  public var text: String {
    var out = ""
    for (name, counts) in result.hypercalls.sorted(by: { $0.key < $1.key }) where !name.hasPrefix("hypercall ") {
      let label = name + String(repeating: " ", count: max(1, 32 - name.count))
      out += "\(label)\(counts.made) made, \(counts.succeeded) succeeded\n"
    }
    let rate = hostSeconds > 0 ? ", \(Int(Double(result.commands) / hostSeconds)) a second" : ""
    out += "seed \(seed): \(result.commands) hypercalls, instructions and accesses of \(result.domains) hostile domains, \(result.killed) of them ended for it; "
    out += "\(result.made) hypercalls, \(result.succeeded) of them successful; "
    out += "\(result.storeTurns) turns of xenstore, \(result.transfers) transfers of disks, \(result.frames) frames (\(Decimal.text(hostSeconds, 1)) s\(rate))\n"
    return out + findings + verdict + "\n"
  }

  public var json: String {
    JSON.object([
      ("command", .string("conform isolation")), ("title", .string("seed \(seed)")), ("passed", .integer(passed)), ("failed", .integer(failed)),
      ("skipped", .integer(0)), ("hostSeconds", .number((hostSeconds * 1e6).rounded() / 1e6)), ("commands", .integer(result.commands)),
      ("domains", .integer(result.domains)), ("killed", .integer(result.killed)), ("hypercalls", .integer(result.made)),
      ("succeeded", .integer(result.succeeded)), ("storeTurns", .integer(result.storeTurns)), ("transfers", .integer(result.transfers)),
      ("frames", .integer(result.frames)),
      ("failures", .array(result.findings.map { finding in
        .object([("case", .string("\(finding.number)")), ("kind", .string(finding.kind.rawValue)), ("text", .string(finding.text))])
      })),
    ]).text
  }

  public var junit: String {
    var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"xenolith conform isolation\">\n"
    out += "  <testsuite name=\"seed \(seed)\" tests=\"1\" failures=\"\(failed == 0 ? 0 : 1)\">\n    <testcase classname=\"isolation\" name=\"seed \(seed)\""
    out += failed == 0 ? "/>\n" : ">\n      <failure message=\"\(failed) cases failed\">\(XML.escaped(findings))</failure>\n    </testcase>\n"
    return out + "  </testsuite>\n</testsuites>\n"
  }
}
