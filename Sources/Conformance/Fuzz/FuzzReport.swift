/// Results of the fuzzer as text, JSON and JUnit.
public struct FuzzReport: Sendable {
  public var result: FuzzResult
  public var seed: UInt64
  public var hostSeconds: Double
  public var findingsShown: Int

  public init(result: FuzzResult, seed: UInt64, hostSeconds: Double, findingsShown: Int = 20) {
    self.result = result
    self.seed = seed
    self.hostSeconds = hostSeconds
    self.findingsShown = findingsShown
  }

  private var failed: Int { Int(clamping: result.failed) }
  private var passed: UInt64 { result.cases - result.failed - result.skipped }
  public var verdict: String { "\(passed) passed, \(failed) failed, \(result.skipped) skipped" }

  private var findings: String {
    result.findings.prefix(findingsShown).map { finding in
      "FAILED case \(finding.number) (\(finding.mode), \(finding.model)): \(finding.text)\n"
        + "  repeat with: xenolith conform fuzz --seed \(seed) --first \(finding.number) --count 1\n"
    }.joined()
  }

  public var brief: String { findings + verdict + "\n" }

  public var text: String {
    let rate = hostSeconds > 0 ? ", \(Int(Double(result.cases) / hostSeconds)) cases a second" : ""
    return findings + "seed \(seed): \(result.cases) cases with \(result.instructions) instructions, \(result.compared) of them also by single steps"
      + " (\(Decimal.text(hostSeconds, 1)) s\(rate))\n\(verdict)\n"
  }

  public var json: String {
    JSON.object([
      ("command", .string("conform fuzz")), ("title", .string("seed \(seed)")), ("passed", .integer(Int(clamping: passed))), ("failed", .integer(failed)),
      ("skipped", .integer(Int(clamping: result.skipped))), ("hostSeconds", .number((hostSeconds * 1e6).rounded() / 1e6)),
      ("instructions", .integer(Int(clamping: result.instructions))), ("compared", .integer(Int(clamping: result.compared))),
      ("failures", .array(result.findings.map { finding in
        .object([
          ("case", .string("\(finding.number)")), ("mode", .string("\(finding.mode)")), ("model", .string(finding.model)), ("text", .string(finding.text)),
        ])
      })),
    ]).text
  }

  public var junit: String {
    var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"xenolith conform fuzz\">\n"
    out += "  <testsuite name=\"seed \(seed)\" tests=\"1\" failures=\"\(failed == 0 ? 0 : 1)\">\n    <testcase classname=\"fuzz\" name=\"seed \(seed)\""
    out += failed == 0 ? "/>\n" : ">\n      <failure message=\"\(failed) cases failed\">\(XML.escaped(findings))</failure>\n    </testcase>\n"
    return out + "  </testsuite>\n</testsuites>\n"
  }
}
