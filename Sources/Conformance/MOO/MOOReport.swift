/// Results of a campaign as text, JSON and JUnit.
public struct MOOReport: Sendable {
  public var results: [MOOFileResult]
  public var hostSeconds: Double
  /// The folder or folders, for titles.
  public var title: String
  /// Failures to show.
  public var failuresShown = 20

  public init(results: [MOOFileResult], hostSeconds: Double, title: String) {
    self.results = results
    self.hostSeconds = hostSeconds
    self.title = title
  }

  public var passed: Int { results.reduce(0) { $0 + $1.passed } }
  public var failed: Int { results.reduce(0) { $0 + $1.failed } }
  public var skipped: Int { results.reduce(0) { $0 + $1.skipped } }
  public var total: Int { passed + failed + skipped }

  /// Rules that applied to something, with the number of tests.
  public var ruled: [(rule: MOORule, tests: Int)] {
    MOORule.all.enumerated().compactMap { place, rule in
      let tests = results.reduce(0) { $0 + $1.ruled[place] }
      return tests == 0 ? nil : (rule, tests)
    }
  }

  // MARK: Text

  /// The last line of every report.
  public var verdict: String { "\(passed) passed, \(failed) failed, \(skipped) skipped" }

  /// Failures and the verdict only.
  public var brief: String { failureText + verdict + "\n" }

  private var failureText: String {
    var out = ""
    for failure in results.flatMap({ $0.failures }).prefix(failuresShown) { out += failure.text + "\n" }
    let kept = min(failuresShown, results.reduce(0) { $0 + $1.failures.count })
    if failed > kept, failed > 0 { out += "\(failed - kept) more failures are not shown (--failures)\n\n" }
    return out
  }

  public var text: String {
    var out = failureText
    for processor in [MOOProcessor.i8086, .i80286, .i80386] {
      let own = results.filter { $0.processor == processor }
      if own.isEmpty { continue }
      out += Self.row("opcode", processor.rawValue, "passed", "failed", "skipped")
      for r in own { out += Self.row(r.opcode, r.mnemonic, "\(r.passed)", "\(r.failed)", "\(r.skipped)") }
      let sum = own.reduce(into: (0, 0, 0)) { $0 = ($0.0 + $1.passed, $0.1 + $1.failed, $0.2 + $1.skipped) }
      out += Self.row("all", "", "\(sum.0)", "\(sum.1)", "\(sum.2)")
      let share = Double(sum.2) * 100 / Double(max(sum.0 + sum.1 + sum.2, 1))
      out += "\(Decimal.text(share, 2)) % skipped\n\n"
    }
    for (rule, tests) in ruled { out += "rule \(rule.id): \(tests) tests \(rule.effect.name): \(rule.reason)\n" }
    if !ruled.isEmpty { out += "\n" }
    let rate = hostSeconds > 0 ? " (\(Int(Double(passed + failed) / hostSeconds)) tests a second)" : ""
    out += "\(title): \(passed + failed) tests run in \(Decimal.text(hostSeconds, 2)) s\(rate)\n"
    return out + verdict + "\n"
  }

  private static func row(_ opcode: String, _ mnemonic: String, _ numbers: String...) -> String {
    var out = opcode.padded(8) + mnemonic.padded(8)
    for number in numbers { out += String(repeating: " ", count: max(1, 10 - number.count)) + number }
    return out + "\n"
  }

  // MARK: JSON

  public var json: String {
    JSON.object([
      ("command", .string("conform moo")), ("title", .string(title)), ("passed", .integer(passed)), ("failed", .integer(failed)),
      ("skipped", .integer(skipped)), ("hostSeconds", .number((hostSeconds * 1e6).rounded() / 1e6)),
      ("rules", .array(ruled.map { rule, tests in
        .object([
          ("id", .string(rule.id)), ("processor", .string(rule.processor.rawValue)), ("effect", .string(rule.effect.name)),
          ("reason", .string(rule.reason)), ("tests", .integer(tests)),
        ])
      })),
      ("opcodes", .array(results.map { r in
        .object([
          ("opcode", .string(r.opcode)), ("processor", .string(r.processor.rawValue)), ("mnemonic", .string(r.mnemonic)),
          ("passed", .integer(r.passed)), ("failed", .integer(r.failed)), ("skipped", .integer(r.skipped)),
        ])
      })),
      ("failures", .array(results.flatMap { r in r.failures.map { $0.json(opcode: r.opcode) } }.prefix(failuresShown).map { $0 })),
    ]).text
  }

  // MARK: JUnit

  /// One test case for each opcode, in a suite for each processor.
  public var junit: String {
    var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"xenolith conform moo\">\n"
    for processor in [MOOProcessor.i8086, .i80286, .i80386] {
      let own = results.filter { $0.processor == processor }
      if own.isEmpty { continue }
      let failing = own.filter { $0.failed > 0 }.count
      let idle = own.filter { $0.failed == 0 && $0.passed == 0 }.count
      out += "  <testsuite name=\"\(processor.rawValue)\" tests=\"\(own.count)\" failures=\"\(failing)\" skipped=\"\(idle)\">\n"
      for r in own {
        out += "    <testcase classname=\"moo.\(processor.rawValue)\" name=\"\(XML.escaped(r.opcode + (r.mnemonic.isEmpty ? "" : " " + r.mnemonic)))\""
        if r.failed > 0 {
          let details = r.failures.prefix(3).map(\.text).joined(separator: "\n")
          out += ">\n      <failure message=\"\(r.failed) of \(r.passed + r.failed) tests failed\">\(XML.escaped(details))</failure>\n    </testcase>\n"
        } else if r.passed == 0 {
          out += ">\n      <skipped message=\"\(r.skipped) tests skipped by rules\"/>\n    </testcase>\n"
        } else {
          out += "/>\n"
        }
      }
      out += "  </testsuite>\n"
    }
    return out + "</testsuites>\n"
  }
}

extension MOOFailure {
  /// State before, expected and got, side by side.
  var text: String {
    var out = "FAILED \(processor.rawValue) test \(test.ordinal): \(test.name)\n"
    out += "  bytes \(Hex.dump(test.bytes)), to a 386: \(disassembly)\n"
    if let exception = test.exception { out += "  the processor raised exception \(exception)\n" }
    out += "  before:"
    for register in MOORegister.allCases where test.initial.registers.has(register) {
      let wide = processor == .i80386
      out += " \(register.name(wide: wide))=\(Hex.text(UInt64(test.initial.registers[register]), wide ? 8 : 4))"
    }
    out += "\n  " + "".padded(10) + "before    expected  got\n"
    for d in differences {
      out += "  " + d.what.padded(10) + (d.before ?? "?").padded(10) + d.expected.padded(10) + d.got
      out += (d.note.isEmpty ? "" : "  (\(d.note))") + "\n"
    }
    return out
  }

  func json(opcode: String) -> JSON {
    .object([
      ("processor", .string(processor.rawValue)), ("opcode", .string(opcode)), ("test", .integer(test.ordinal)), ("name", .string(test.name)),
      ("hash", .string(test.hash.map { Hex.text(UInt64($0), 2).lowercased() }.joined())), ("bytes", .string(Hex.dump(test.bytes))),
      ("disassembly", .string(disassembly)),
      ("differences", .array(differences.map { d in
        .object([
          ("what", .string(d.what)), ("before", d.before.map { .string($0) } ?? .null), ("expected", .string(d.expected)), ("got", .string(d.got)),
          ("flags", .string(d.note)),
        ])
      })),
    ])
  }
}

enum XML {
  static func escaped(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "&": out += "&amp;"
      case "\"": out += "&quot;"
      // XML 1.0 has no other control characters.
      case _ where scalar.value < 0x20 && scalar != "\n" && scalar != "\t": out += "?"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}

enum Decimal {
  /// Fixed number of digits behind the point.
  static func text(_ value: Double, _ digits: Int) -> String {
    var scale = 1
    for _ in 0..<digits { scale *= 10 }
    let whole = Int((value * Double(scale)).rounded())
    let fraction = String(whole % scale)
    return "\(whole / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
  }
}

extension String {
  /// Filled up with spaces to at least `width`, and at least one.
  func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}
