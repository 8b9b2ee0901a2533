import Machine
import Testing

@testable import Conformance

struct MOOReaderTests {
  private static let add = MOOBuilder.Test(
    name: "add [bx],dx", bytes: [0x01, 0x17, 0xF4], before: [.ebx: 0x20, .edx: 0x1234], memory: [0x30020: 1, 0x30021: 2],
    after: [.eip: 0x103, .eflags: 2], memoryAfter: [0x30020: 0x35, 0x30021: 0x14], exception: 13)

  @Test func sixteenBits() throws {
    let bytes = MOOBuilder("C286", tests: [Self.add, Self.add]).bytes
    let file = try MOOReader.read(bytes, name: "folder/F7.4.MOO.gz")
    #expect(file.name == "F7.4")
    #expect(file.processor == .i80286)
    #expect(file.mnemonic == "add")
    #expect(!file.isWide)
    try #require(file.tests.count == 2)
    let test = file.tests[1]
    #expect(test.ordinal == 1)
    #expect(test.name == "add [bx],dx")
    #expect(test.bytes == [0x01, 0x17, 0xF4])
    #expect(test.exception == 13)
    #expect(test.hash.count == 20)
    #expect(test.initial.registers[.edx] == 0x1234)
    #expect(test.initial.registers[.cs] == 0x1000)
    #expect(!test.initial.registers.has(.cr0))
    #expect(test.initial.memory.contains(MOOByte(address: 0x30021, value: 2)))
    #expect(test.final.memory == [MOOByte(address: 0x30020, value: 0x35), MOOByte(address: 0x30021, value: 0x14)])
    #expect(test.expected(.eip) == 0x103)
    #expect(test.expected(.edx) == 0x1234)
  }

  @Test func thirtyTwoBitsWithMasks() throws {
    var test = Self.add
    test.before[.eax] = 0x8000_0001
    test.before[.gs] = 0x77
    test.masksAfter = [.eflags: 0xF7FF]
    let file = try MOOReader.read(MOOBuilder("386E", masks: [.eflags: 0xFFFF_FFEF], tests: [test]).bytes, name: "x")
    #expect(file.isWide)
    #expect(file.masks?[.eflags] == 0xFFFF_FFEF)
    #expect(file.tests[0].initial.registers[.eax] == 0x8000_0001)
    #expect(file.tests[0].initial.registers[.gs] == 0x77)
    #expect(file.tests[0].final.masks?[.eflags] == 0xF7FF)
    #expect(file.tests[0].final.masks?.has(.eax) == false)
  }

  @Test func onlySomeTestsAreKept() throws {
    let bytes = MOOBuilder("8086", tests: Array(repeating: Self.add, count: 7)).bytes
    let file = try MOOReader.read(bytes, name: "x", keep: { $0 % 3 == 1 })
    #expect(file.tests.map(\.ordinal) == [1, 4])
  }

  private static func message(_ bytes: [UInt8]) -> String? {
    do throws(MachineError) {
      _ = try MOOReader.read(bytes, name: "bad.MOO")
      return nil
    } catch {
      return error.description
    }
  }

  @Test func everyCutIsASentence() {
    let bytes = MOOBuilder("C286", tests: [Self.add]).bytes
    #expect(Self.message(bytes) == nil)
    for length in 0..<bytes.count {
      let text = Self.message(Array(bytes[..<length]))
      #expect(text?.hasPrefix("bad.MOO ") == true, "cut at \(length): \(text ?? "accepted")")
    }
  }

  @Test func damageNeverCrashes() {
    let bytes = MOOBuilder("C286", masks: [.eflags: 0xFFFF], tests: [Self.add, Self.add]).bytes
    var random = FuzzRandom(seed: 5, number: 0)
    var refused = 0
    for _ in 0..<5000 {
      var damaged = bytes
      for _ in 0...random.below(3) {
        damaged[random.below(damaged.count)] = random.pick([0, 1, 0x7F, 0x80, 0xFF, UInt8(truncatingIfNeeded: random.next())])
      }
      if Self.message(damaged) != nil { refused += 1 }
    }
    #expect(refused > 500)
  }

  @Test func otherFilesAreRefusedByName() {
    #expect(Self.message([])?.contains("not a MOO file") == true)
    #expect(Self.message(Array("PK\u{3}\u{4} something else".utf8))?.contains("cut short or damaged") == true)
    #expect(Self.message(MOOBuilder.chunk("RIFF", [1, 2, 3]))?.contains("not a MOO file") == true)
    #expect(Self.message(MOOBuilder("V20 ", tests: []).bytes)?.contains("'V20 '") == true)
    #expect(Self.message(MOOBuilder("C286", count: 3, tests: [Self.add]).bytes)?.contains("announces 3 tests and has 1") == true)
    var newer = MOOBuilder("C286", tests: []).bytes
    newer[8] = 2
    #expect(Self.message(newer)?.contains("version 2") == true)
  }

  @Test func aTestWithoutStatesOrInstructionIsRefused() {
    let head = MOOBuilder.chunk("MOO ", [1, 0, 0, 0, 1, 0, 0, 0] + Array("C286".utf8))
    let empty = MOOBuilder.chunk("INIT", []) + MOOBuilder.chunk("FINA", [])
    #expect(Self.message(head + MOOBuilder.chunk("TEST", [0, 0, 0, 0]))?.contains("no state before") == true)
    #expect(Self.message(head + MOOBuilder.chunk("TEST", [0, 0, 0, 0] + empty))?.contains("no instruction") == true)
    // A count of bytes of memory that the chunk cannot hold.
    let greedy = MOOBuilder.chunk("INIT", MOOBuilder.chunk("RAM ", [0xFF, 0xFF, 0xFF, 0xFF]))
    #expect(Self.message(head + MOOBuilder.chunk("TEST", [0, 0, 0, 0] + greedy))?.contains("'RAM '") == true)
  }

  @Test func opcodeNames() {
    #expect(MOOReader.opcodeName("a/b/0FA0.MOO") == "0FA0")
    #expect(MOOReader.opcodeName("F7.7.MOO.gz") == "F7.7")
    #expect(MOOReader.opcodeName("66C1.4.moo") == "66C1.4")
  }
}

struct JSONTests {
  private func parse(_ text: String) throws(MachineError) -> JSON { try JSON.parse(Array(text.utf8), name: "x.json") }

  @Test func values() throws {
    let document = try parse(#" {"a": [1, -2.5e1, true, null], "b": {"c": "x\n\"\u0041"}, "d": {}, "e": []} "#)
    #expect(document["b"]?["c"]?.string == "x\n\"A")
    #expect(document["a"] == .array([.number(1), .number(-25), .boolean(true), .null]))
    #expect(try parse(document.text) == document)
  }

  @Test func errorsAreSentences() {
    for bad in ["", "{", "[1,", "{\"a\" 1}", "\"abc", "tru", "1 2", "[1,]", "\"\\u00\"", "-", String(repeating: "[", count: 5000)] {
      do throws(MachineError) {
        _ = try parse(bad)
        Issue.record("accepted \(bad.prefix(20))")
      } catch {
        #expect(error.description.hasPrefix("x.json is no JSON"))
      }
    }
  }

  @Test func metadata() throws {
    let text = #"{"opcodes": {"27": {"flags-mask": 63487}, "F7": {"reg": {"4": {"flags-mask": 65323}, "5": {}}}, "0F02": {"flags-mask": 1}}}"#
    let metadata = try MOOMetadata(try parse(text), name: "x.json")
    #expect(metadata.definedFlags(0x27, isTwoByte: false, reg: 3) == 63487)
    #expect(metadata.definedFlags(0xF7, isTwoByte: false, reg: 4) == 65323)
    #expect(metadata.definedFlags(0xF7, isTwoByte: false, reg: 5) == 0xFFFF)
    #expect(metadata.definedFlags(0x02, isTwoByte: true, reg: 0) == 1)
    #expect(metadata.definedFlags(0x02, isTwoByte: false, reg: 0) == 0xFFFF)
    for bad in ["{}", #"{"opcodes": {"27": {"flags-mask": 70000}}}"#, #"{"opcodes": {"zz": {"flags-mask": 1}}}"#, #"{"opcodes": {"1234": {"flags-mask": 1}}}"#] {
      #expect(throws: MachineError.self) { try MOOMetadata(try JSON.parse(Array(bad.utf8), name: "x.json"), name: "x.json") }
    }
  }
}
