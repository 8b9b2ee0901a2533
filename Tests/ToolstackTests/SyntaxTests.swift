import Testing

@testable import Toolstack

@Suite struct SyntaxTests {
  private func parse(_ text: String) throws(ConfigurationError) -> [String: ConfigurationSyntax.Value] {
    let settings = try ConfigurationSyntax.parse(Array(text.utf8), from: ConfigurationSource(name: "g.cfg"))
    return Dictionary(uniqueKeysWithValues: settings.map { ($0.key, $0.value) })
  }

  private func refusal(_ text: String) -> String? {
    do {
      _ = try parse(text)
      return nil
    } catch {
      return error.description
    }
  }

  @Test func settings() throws {
    let found = try parse("""
      # A comment
      name = "guest"   # another
      vcpus=2;memory = 0x100 ;
      empty = ''

      cpus = 'a "quoted" word'
      """)
    #expect(found == [
      "name": .atom("guest", line: 2), "vcpus": .atom("2", line: 3), "memory": .atom("0x100", line: 3),
      "empty": .atom("", line: 4), "cpus": .atom("a \"quoted\" word", line: 6),
    ])
    #expect(try parse("") == [:])
    #expect(try parse("# only this") == [:])
    #expect(try parse("a=1") == ["a": .atom("1", line: 1)])
    #expect(try parse("a = 1\r\nb = 2\r\n")["b"] == .atom("2", line: 2))
  }

  @Test func lists() throws {
    let found = try parse("""
      disk = [ "one",   # the first
        'two'
        , 3,
      ]
      none = []
      nested = [ ["a", "b"], [], [ [1] ] ]
      """)
    #expect(found["disk"] == .list([.atom("one", line: 1), .atom("two", line: 2), .atom("3", line: 3)], line: 1))
    #expect(found["none"] == .list([], line: 5))
    #expect(found["nested"] == .list([
      .list([.atom("a", line: 6), .atom("b", line: 6)], line: 6), .list([], line: 6),
      .list([.list([.atom("1", line: 6)], line: 6)], line: 6),
    ], line: 6))
  }

  @Test func escapes() throws {
    #expect(try parse(#"a = "\"\'\\\a\b\f\n\r\t\v\x41\101\7""#)["a"] == .atom("\"'\\\u{7}\u{8}\u{C}\n\r\t\u{B}AA\u{7}", line: 1))
  }

  @Test func laterSettingsReplaceAndAdd() throws {
    #expect(try parse("a = 1\na = 2")["a"] == .atom("2", line: 2))
    #expect(try parse("a = 'x'\na += 'y'")["a"] == .atom("xy", line: 2))
    #expect(try parse("a = ['x']\na += ['y', 'z']")["a"]
      == .list([.atom("x", line: 1), .atom("y", line: 2), .atom("z", line: 2)], line: 2))
    #expect(try parse("a += ['y']")["a"] == .list([.atom("y", line: 1)], line: 1))
    #expect(refusal("a = 'x'\na += ['y']") == "g.cfg, line 2: a: += cannot add a list to a string or a string to a list")
  }

  @Test(arguments: [
    ("a = 1\nb 2", "line 2: b must be followed by =, not by \"2\""),
    ("a = ", "line 1: a: a string in quotes, a number or a list is expected, not the end of the file"),
    ("a = \nb = 1", "line 1: a: a string in quotes, a number or a list is expected, not the end of the line"),
    ("a = word", "line 1: a: a string in quotes, a number or a list is expected, not \"word\""),
    ("a = 1 2", "line 1: a: \"2\" stands behind the value, where the line should end"),
    ("\n\na = \"open\nb = 1", "line 3: a: the string has no closing \" on its line"),
    ("a = 'open", "line 1: a: the string has no closing ' on its line"),
    ("\na = [ 1,\n2\nb = 3", "line 4: a: , or ] is expected in the list, not \"b\""),
    ("\na = [ 1,\n2\n", "line 2: a: the list that begins here has no ]"),
    ("a = [ 1, , 2 ]", "line 1: a: a string in quotes, a number or a list is expected, not \",\""),
    ("Name = 1", "line 1: \"Name\" stands where a key is expected: keys are lower-case letters, digits and _"),
    ("a = (1, 2)", "line 1: a: a string in quotes, a number or a list is expected, not \"(1,\" (Python is not evaluated)"),
    ("import os", "line 1: import must be followed by =, not by \"os\""),
    ("a = 'x' % 3", "line 1: a: \"%\" stands behind the value, where the line should end (Python is not evaluated)"),
    (#"a = "\q""#, #"line 1: a: \ is followed by "q"", which means nothing: write \\ for a backslash"#),
    (#"a = "\xZZ""#, #"line 1: a: \ is followed by "xZZ"", which means nothing: write \\ for a backslash"#),
    ("a = -1", "line 1: a: a string in quotes, a number or a list is expected, not \"-1\" (Python is not evaluated)"),
  ])
  func errorsNameTheLineAndTheKey(text: String, expected: String) {
    #expect(refusal(text) == "g.cfg, " + expected)
  }

  @Test func deepListsAreRefused() {
    #expect(refusal("a = " + String(repeating: "[", count: 100_000))?.contains("deep") == true)
  }

  @Test func randomTextNeverTraps() {
    let pieces = ["a", "=", "+=", "[", "]", "'", "\"", ",", "\n", "#", "\\", "x1", "12", " ", ";", "\u{0}", "é", "(", "\\x"]
    var seed: UInt64 = 3
    var sound = 0
    for _ in 0..<5000 {
      var text = ""
      for _ in 0..<12 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        text += pieces[Int(seed >> 33) % pieces.count]
      }
      if let sentence = refusal(text) {
        #expect(sentence.hasPrefix("g.cfg, line "))
      } else {
        sound += 1
      }
    }
    #expect(sound > 0)
  }
}
