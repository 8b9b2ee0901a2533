/// What a run of a test ROM showed, against what it should.
public struct ROMReport: Sendable {
  /// The first line that is not as expected.
  public struct Difference: Sendable, Equatable {
    /// From 1.
    public var line: Int
    /// Nil where one text has ended.
    public var expected: String?
    public var got: String?
    /// Up to three equal lines before.
    public var context: [String]
  }

  public var name: String
  public var end: ROMRun.End
  public var codes: [UInt8]
  public var passCode: UInt8
  public var instructions: UInt64
  public var hostSeconds: Double
  public var place: String
  public var events: [String]
  public var outputLines: Int
  /// Whether there was something to compare the output with.
  public var isCompared: Bool
  public var difference: Difference?

  public init(
    _ run: ROMRun, name: String, end: ROMRun.End, passCode: UInt8, expected: [UInt8]?, hostSeconds: Double
  ) {
    self.name = name
    self.end = end
    self.passCode = passCode
    self.hostSeconds = hostSeconds
    codes = run.codes
    instructions = run.instructions
    place = run.place
    events = run.lastEvents
    let lines = Self.lines(run.output)
    outputLines = lines.count
    isCompared = expected != nil
    difference = expected.flatMap { Self.difference(Self.lines($0), lines) }
  }

  /// Lines without their ends; blanks at the end of a line do not count, nor does an empty last line.
  static func lines(_ bytes: [UInt8]) -> [String] {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map { line in
      var line = line
      while let last = line.last, last == 0x20 || last == 0x0D { line.removeLast() }
      return String(decoding: line, as: UTF8.self)
    }
    while lines.last == "" { lines.removeLast() }
    return lines
  }

  static func difference(_ expected: [String], _ got: [String]) -> Difference? {
    for n in 0..<max(expected.count, got.count) {
      let e = n < expected.count ? expected[n] : nil, g = n < got.count ? got[n] : nil
      if e != g { return Difference(line: n + 1, expected: e, got: g, context: Array(got[max(0, n - 3)..<min(n, got.count)])) }
    }
    return nil
  }

  public var hasPassedCode: Bool { codes.last == passCode && (end == .halted || end == .timeout || end == .instructionLimit) }
  public var passed: Int { (hasPassedCode ? 1 : 0) + (isCompared && difference == nil ? 1 : 0) }
  public var failed: Int { (hasPassedCode ? 0 : 1) + (difference == nil ? 0 : 1) }
  public var skipped: Int { isCompared ? 0 : 1 }
  public var verdict: String { "\(passed) passed, \(failed) failed, \(skipped) skipped" }

  private var codeText: String { codes.isEmpty ? "none" : Hex.dump(codes.suffix(200)) }

  private var endText: String {
    switch end {
    case .halted: "HLT at \(place)"
    case .tripleFault: "triple fault at \(place)"
    case .instructionLimit: "the limit of instructions was reached at \(place)"
    case .timeout: "time was up at \(place)"
    }
  }

  /// What went wrong; empty if nothing did.
  public var problems: String {
    var out = ""
    if !hasPassedCode {
      out += "FAILED \(name): the last POST code is \(codes.last.map { Hex.text(UInt64($0), 2) } ?? "missing"), not \(Hex.text(UInt64(passCode), 2)); \(endText)\n"
      for event in events { out += "  event \(event)\n" }
    }
    if let d = difference {
      out += "FAILED \(name): the output differs in line \(d.line)\n"
      for line in d.context { out += "    \(line)\n" }
      out += "  expected: \(d.expected ?? "(no more lines)")\n  got:      \(d.got ?? "(no more lines)")\n"
    }
    return out
  }

  public var text: String {
    var out = problems
    out += "\(name): POST codes \(codeText)\n"
    out += "\(name): \(outputLines) lines of output" + (isCompared ? (difference == nil ? ", as expected\n" : "\n") : ", not compared (--expect)\n")
    out += "\(name): \(instructions) instructions in \(Decimal.text(hostSeconds, 2)) s; end: \(endText)\n"
    return out + verdict + "\n"
  }

  public var json: String {
    var differing = JSON.null
    if let d = difference {
      differing = .object([
        ("line", .integer(d.line)), ("expected", d.expected.map { .string($0) } ?? .null), ("got", d.got.map { .string($0) } ?? .null),
      ])
    }
    return JSON.object([
      ("command", .string("conform rom")), ("title", .string(name)), ("passed", .integer(passed)), ("failed", .integer(failed)),
      ("skipped", .integer(skipped)), ("hostSeconds", .number((hostSeconds * 1e6).rounded() / 1e6)),
      ("instructions", .integer(Int(clamping: instructions))), ("end", .string("\(end)")),
      ("postCodes", .array(codes.map { .string(Hex.text(UInt64($0), 2)) })), ("outputLines", .integer(outputLines)),
      ("difference", differing),
    ]).text
  }

  public var junit: String {
    func testcase(_ test: String, _ failure: String?, isSkipped: Bool = false) -> String {
      let head = "    <testcase classname=\"rom\" name=\"\(XML.escaped(name)) \(test)\""
      if let failure { return head + ">\n      <failure>\(XML.escaped(failure))</failure>\n    </testcase>\n" }
      return head + (isSkipped ? ">\n      <skipped/>\n    </testcase>\n" : "/>\n")
    }
    return """
      <?xml version="1.0" encoding="UTF-8"?>
      <testsuites name="xenolith conform rom">
        <testsuite name="\(XML.escaped(name))" tests="2" failures="\(failed)" skipped="\(skipped)">
      \(testcase("POST code", hasPassedCode ? nil : problems))\(testcase("output", difference == nil ? nil : problems, isSkipped: !isCompared))  </testsuite>
      </testsuites>

      """
  }
}
