import Testing
@testable import Control

@Suite struct MessageTests {
  @Test func everyRequestComesBack() throws {
    let requests: [ControlRequest] = [
      .list(domain: nil), .list(domain: "a"), .create(DomainSource(text: [0, 255, 10], file: "g.cfg", directory: "/tmp"), paused: true),
      .console(domain: "1"), .input(bytes: .init([27, 0, 200])), .pause(domain: "ü"), .unpause(domain: "\"\n"),
      .shutdown(domain: "a", reboots: true, waits: false), .destroy(domain: ""), .virtualProcessors(domain: nil),
      .save(domain: "a", path: "/f", after: .pause), .restore(path: "/f", configuration: nil, paused: true), .dumpCore(domain: "a", path: "/c"),
      .schedule(domain: "a", weight: 512, cap: nil), .log(clears: true), .statistics,
    ]
    for (n, request) in requests.enumerated() {
      let line = ControlLine.request(n, request)
      #expect(line.last == 10 && line.count { $0 == 10 } == 1, "one message, one line")
      let back = try ControlLine.readRequest(Array(line.dropLast()))
      #expect(back.id == n && back.request == request)
    }
  }

  @Test func answersComeBack() throws {
    let domain = DomainSummary(
      name: "a", id: 3, memory: 1, maximumMemory: .max, virtualProcessors: 2, isRunnable: true, isPaused: false, shutdownReason: nil, time: 5)
    let answers: [ControlAnswer] = [
      .done, .failed(.missingFile, message: "there is no domain a"), .domains([domain]), .created(domain), .console(bytes: .init([10, 13])),
      .ended(reason: "crash"), .log(["(XEN) x"]),
    ]
    for answer in answers {
      let back = try ControlLine.readAnswer(Array(ControlLine.answer(7, answer).dropLast()))
      #expect(back.id == 7 && back.answer == answer)
    }
  }

  @Test func nonsenseIsRefusedInOneSentence() {
    for (text, id, says) in [
      ("", 0, "does not speak"), ("{}", 0, "does not speak"), ("[1]", 0, "does not speak"), ("{\"version\":2,\"id\":9}", 9, "version 2"),
      ("{\"version\":1,\"id\":4,\"request\":{\"fly\":{}}}", 4, "unknown"),
      ("{\"version\":1,\"id\":5,\"request\":{\"destroy\":{\"domain\":1}}}", 5, "unknown"), ("{\"version\":1,\"id\":6}", 6, "unknown"),
    ] {
      do {
        _ = try ControlLine.readRequest(Array(text.utf8))
        Issue.record("\(text) was accepted")
      } catch {
        #expect(error.id == id && error.description.contains(says) && !error.description.contains("\n"), "\(text): \(error)")
      }
    }
  }

  @Test func linesAreCollected() {
    var buffer = LineBuffer(limit: 4)
    #expect(buffer.add([65]) == [])
    #expect(buffer.add([66, 10, 10, 67]) == [[65, 66], []])
    #expect(buffer.add([68, 69, 70]) == [] && !buffer.isOverfull)
    #expect(buffer.add([71, 10]) == [] && buffer.isOverfull)
    #expect(buffer.add([72, 10]) == [], "nothing makes sense after a line that was too long")
  }

  @Test func statesAreThoseOfXl() {
    func state(_ runnable: Bool, _ paused: Bool, _ reason: String?) -> String {
      DomainSummary(
        name: "", id: 1, memory: 0, maximumMemory: 0, virtualProcessors: 1, isRunnable: runnable, isPaused: paused, shutdownReason: reason, time: 0
      ).state
    }
    #expect(state(true, false, nil) == "r-----")
    #expect(state(false, false, nil) == "-b----")
    #expect(state(true, true, nil) == "--p---")
    #expect(state(true, false, "poweroff") == "---s--")
    #expect(state(true, false, "crash") == "----c-")
  }
}
