import Platform
import Processor
import Testing
import X86
@testable import Machine

private func end(_ program: [UInt8], limit: UInt64 = 10_000_000) throws -> EndReason {
  try Machine(.running(program)).run(host: BatchHost(), limits: .init(instructions: limit))
}

@Suite struct EndTests {
  @Test func exitPort() throws { #expect(try end(Program.exit5) == .exitCode(5)) }

  @Test func exitPortAsQEMU() throws {
    var configuration = MachineConfiguration.running(Program.exit5)
    configuration.debugExit = .init(port: 0xF4, isQEMUStyle: true)
    #expect(try Machine(configuration).run(host: BatchHost()) == .exitCode(11))
  }

  @Test func softOff() throws { #expect(try end(Program.powerOff) == .powerOff) }

  @Test func haltedForGood() throws {
    for program in [Program.haltForGood, Program.haltWithoutTimers] {
      guard case .haltedForGood(let why) = try end(program) else {
        Issue.record("did not notice that nothing can happen any more")
        return
      }
      #expect(!why.isEmpty)
    }
  }

  @Test func tripleFaultIsExplained() throws {
    guard case .tripleFault(let text) = try end(Program.tripleFault) else {
      Issue.record("no triple fault")
      return
    }
    #expect(text.contains("Triple fault on CPU 0") && text.contains("real mode") && text.contains("7c05"))
    #expect(text.contains("no entry for any exception"))
  }

  @Test func instructionLimitIsExact() throws {
    let machine = try Machine(.running(Program.spin))
    #expect(try machine.run(host: BatchHost(), limits: .init(instructions: 12_345)) == .instructionLimit)
    #expect(machine.retired == 12_345 && machine.clock.now == 12_345)
    #expect(try machine.run(host: BatchHost(), limits: .init(instructions: 2_000_001)) == .instructionLimit)
    #expect(machine.retired == 2_000_001)
  }

  @Test func resetStartsAnewOrEnds() throws {
    let once = try Machine(.running(Program.reset))
    once.endsOnReset = true
    #expect(try once.run(host: BatchHost()) == .reset)
    let again = try Machine(.running(Program.reset))
    #expect(try again.run(host: BatchHost(), limits: .init(instructions: 1000)) == .instructionLimit)
  }

  /// Time-stamp counters begin at 0 at every reset, also those of processors that did not run (SDM vol. 3A table 10-1).
  @Test func resetClearsTimeStampCounters() throws {
    var configuration = MachineConfiguration.running(Program.spin)
    configuration.processors = 2
    let machine = try Machine(configuration)
    func counters() -> [UInt64] {
      for connection in machine.connections { connection.resume() }
      return machine.processors.map { $0.cpu.readTSC() }
    }
    for _ in 0..<2 {
      let before = machine.retired
      #expect(try machine.run(host: BatchHost(), limits: .init(instructions: before + 12_345)) == .instructionLimit)
      #expect(counters() == [12_345, 12_345])
      machine.processors[0].cpu.s.pointee.tscOffset &+= 1000
      try machine.performReset()
      #expect(counters() == [0, 0])
    }
  }
}

@Suite struct LegacyBIOSTests {
  @Test func callersLearnThatNobodyIsThere() throws {
    let machine = try Machine(.running(Program.biosCalls))
    #expect(try machine.run(host: BatchHost(), limits: .init(instructions: 1000)) == .exitCode(3))
    func word(_ address: UInt64) -> UInt64 { machine.memory.read(address, size: 2) }
    #expect(word(0x500) == 639)
    #expect(word(0x502) >> 8 == 0x86 && word(0x506) & 1 == 1)
    #expect(word(0x504) >> 8 == 0x01 && word(0x508) & 1 == 1)
  }

  @Test func theResetVectorResets() throws {
    // jmp F000:FFF0
    let machine = try Machine(.running([0xEA, 0xF0, 0xFF, 0x00, 0xF0]))
    machine.endsOnReset = true
    #expect(try machine.run(host: BatchHost(), limits: .init(instructions: 1000)) == .reset)
  }
}

@Suite struct TimeTests {
  @Test func idleTimeIsSkippedToTheTimer() throws {
    let machine = try Machine(.running(Program.timer))
    #expect(try machine.run(host: BatchHost(), limits: .init(instructions: 100_000)) == .exitCode(42))
    #expect(machine.memory.read(0x500, size: 1) == 10)
    // Mode 2 raises OUT at once, which is the first interrupt; nine periods of 1193 ticks at 1.193182 MHz follow.
    #expect((8_990_000...9_020_000).contains(machine.clock.now))
    #expect(machine.retired < 500)
  }

  @Test func timeStampCounterFollowsIdleTime() throws {
    let machine = try Machine(.running(Program.timer))
    _ = try machine.run(host: BatchHost())
    machine.connections[0].resume()
    #expect(machine.processors[0].cpu.s.pointee.tscOffset &+ machine.retired == machine.clock.now)
  }

  @Test func appointmentsAreKeptOnTheInstruction() throws {
    let machine = try Machine(.running(Program.spin))
    var seen: [UInt64] = []
    for time in [5000, 100, 777] as [UInt64] { machine.schedule(at: time) { seen.append($0.retired) } }
    _ = try machine.run(host: BatchHost(), limits: .init(instructions: 10_000))
    #expect(seen == [100, 777, 5000])
  }

  @Test func aSleepingHostPacesAnIdleGuest() throws {
    final class Sleeper: MachineHost {
      var time: UInt64 = 0
      var slept: UInt64 = 0
      func wallTime() -> UInt64 { time }
      func service(_ machine: Machine, mayWait: UInt64) -> [InputEvent] {
        time += mayWait
        slept += mayWait
        return []
      }
      var isInteractive: Bool { true }
      var isInterrupted: Bool { false }
    }
    let host = Sleeper()
    #expect(try Machine(.running(Program.timer)).run(host: host) == .exitCode(42))
    // Ten idle milliseconds; less than one interval of service may be left over.
    #expect(host.slept >= 5_000_000 && host.slept <= 11_000_000)
  }
}

@Suite struct ProcessorsTests {
  @Test func startUpIPIsReachEveryProcessor() throws {
    let machine = try Machine(.running(Program.processors, processors: 4))
    #expect(try machine.run(host: BatchHost(), limits: .init(instructions: 1_000_000)) == .exitCode(9))
    #expect(machine.processors.allSatisfy { $0.retired > 0 })
    // Turns are on one time line.
    #expect(machine.clock.now == machine.retired)
  }

  /// EOI and self-IPI of the x2APIC can only be written (SDM vol. 3A table 11-6).
  @Test func x2APICRegistersByMSR() throws {
    let machine = try Machine(.running(Program.spin))
    let cpu = machine.processors[0].cpu
    let lapic = machine.connections[0].lapic
    func isRefused(_ index: UInt32, _ value: UInt64) -> Bool {
      do { try cpu.writeMSR(index, value) } catch { return error == .generalProtection() }
      return false
    }
    #expect(isRefused(0x80B, 0) && cpu.readMSR(0x808) == nil, "not in x2APIC mode yet")
    #expect(!isRefused(0x1B, 0xFEE0_0D00))
    #expect(!isRefused(0x80F, 0x1FF) && !isRefused(0x83F, 0x55))
    #expect(lapic.acknowledge() == 0x55 && cpu.readMSR(0x812) == 1 << 21)
    #expect(!isRefused(0x80B, 0) && cpu.readMSR(0x812) == 0)
    #expect(isRefused(0x80B, 1) && isRefused(0x83F, 0x100), "reserved bits")
    for writeOnly in [0x80B, 0x83F] as [UInt32] { #expect(cpu.readMSR(writeOnly) == nil) }
    for readOnly in [0x802, 0x803, 0x80A, 0x80D, 0x810, 0x820, 0x839] as [UInt32] {
      #expect(cpu.readMSR(readOnly) != nil && isRefused(readOnly, 0))
    }
    for absent in [0x800, 0x80E, 0x831, 0x840, 0x8FF] as [UInt32] { #expect(cpu.readMSR(absent) == nil && isRefused(absent, 0)) }
  }

  @Test func turnsAreDeterministic() throws {
    let hashes = try (0..<2).map { _ in
      let machine = try Machine(.running(Program.processors, processors: 4))
      _ = try machine.run(host: BatchHost())
      return SaveState.hash(machine)
    }
    #expect(hashes[0] == hashes[1])
  }
}

@Suite struct SaveStateTests {
  @Test(arguments: [0, 1, 17, 60, 93] as [UInt64]) func runGoesOnAsIfNothingHadHappened(at instruction: UInt64) throws {
    let straight = try Machine(.running(Program.timer))
    #expect(try straight.run(host: BatchHost()) == .exitCode(42))

    let first = try Machine(.running(Program.timer))
    _ = try first.run(host: BatchHost(), limits: .init(instructions: instruction))
    let bytes = SaveState.save(first)
    #expect(SaveState.save(first) == bytes)
    let second = try Machine(.running(Program.spin))
    try SaveState.restore(second, from: bytes, name: "s")
    #expect(SaveState.hash(second) == SaveState.hash(first))
    #expect(try second.run(host: BatchHost()) == .exitCode(42))
    #expect(SaveState.hash(second) == SaveState.hash(straight))
  }

  @Test func severalProcessorsKeepTheirTurns() throws {
    let straight = try Machine(.running(Program.processors, processors: 4))
    _ = try straight.run(host: BatchHost())
    let first = try Machine(.running(Program.processors, processors: 4))
    _ = try first.run(host: BatchHost(), limits: .init(instructions: 25))
    let second = try Machine(.running(Program.spin, processors: 4))
    try SaveState.restore(second, from: SaveState.save(first), name: "s")
    #expect(try second.run(host: BatchHost()) == .exitCode(9))
    #expect(SaveState.hash(second) == SaveState.hash(straight))
  }

  /// What was booted is in the file: the restored machine reboots as the uninterrupted one does.
  @Test func restoredMachineReboots() throws {
    let whole = try Machine(.running(Program.reset))
    #expect(try whole.run(host: BatchHost(), limits: .init(instructions: 1000)) == .instructionLimit)
    let first = try Machine(.running(Program.reset))
    #expect(try first.run(host: BatchHost(), limits: .init(instructions: 333)) == .instructionLimit)
    let bytes = SaveState.save(first)
    let second = try Machine(try SaveState.configuration(of: bytes, name: "s"))
    try SaveState.restore(second, from: bytes, name: "s")
    #expect(try second.run(host: BatchHost(), limits: .init(instructions: 1000)) == .instructionLimit)
    #expect(SaveState.hash(second) == SaveState.hash(whole))
  }

  /// A processor count that no machine has is the file's fault.
  @Test func impossibleMachinesAreDamage() throws {
    var bytes = SaveState.save(try Machine(.running(Program.timer)))
    // Behind magic (8), version (4) and memory (8).
    bytes[21] = 0x10
    #expect(sentence { () throws(MachineError) in _ = try SaveState.configuration(of: bytes, name: "s") }?
      .hasPrefix("s cannot be restored") == true)
  }

  @Test func configurationTravelsWithTheState() throws {
    let machine = try Machine(.running(Program.timer, processors: 2))
    let bytes = SaveState.save(machine)
    let found = try SaveState.configuration(of: bytes, name: "s")
    #expect(found.memory == 4 << 20 && found.processors == 2 && found.debugExit?.port == 0xF4)
    let other = try Machine(.running(Program.timer))
    #expect(sentence { () throws(MachineError) in try SaveState.restore(other, from: bytes, name: "s") }?
      .contains("another configuration") == true)
  }

  @Test func damagedStatesAreSentences() throws {
    let machine = try Machine(.running(Program.timer))
    let bytes = SaveState.save(machine)
    var seed: UInt64 = 7
    for round in 0..<60 {
      seed = seed &* 6364136223846793005 &+ 1442695040888963407
      var damaged = bytes
      if round < 20 {
        damaged.removeLast(1 + Int(seed >> 33) % (bytes.count - 1))
      } else {
        damaged[Int(seed >> 33) % bytes.count] ^= UInt8(truncatingIfNeeded: seed >> 16) | 1
      }
      // A flip that keeps everything decodable is allowed to pass; none may trap.
      _ = sentence { () throws(MachineError) in try SaveState.restore(machine, from: damaged, name: "s") }
    }
    #expect(sentence { () throws(MachineError) in try SaveState.restore(machine, from: [1, 2, 3], name: "s") }?
      .hasPrefix("s cannot be restored") == true)
  }
}

/// States that somebody forged: their parts inflate, but their fields hold anything.
@Suite struct ForgedStateTests {
  #if DEBUG
  private static let rounds = 60
  #else
  private static let rounds = 2000
  #endif

  /// Stops guests that only wait: their timers may tick without end.
  private final class Impatient: MachineHost {
    private var looks = 0
    func wallTime() -> UInt64 { 0 }
    func service(_ machine: Machine, mayWait: UInt64) -> [InputEvent] { [] }
    var isInteractive: Bool { false }
    var isInterrupted: Bool {
      looks += 1
      return looks > 500
    }
  }

  /// Restores `sections` with changed bytes; returns whether the machine took them. It runs on for a while if so.
  private func take(_ sections: [UInt8], from source: Machine, into machine: Machine) throws -> Bool {
    let refusal = sentence { () throws(MachineError) in
      try SaveState.restore(machine, from: SaveState.pack(source, sections: sections), name: "s")
    }
    if let refusal {
      #expect(refusal.hasPrefix("s cannot be restored: ") && !refusal.contains("\n"))
      return false
    }
    let before = machine.retired
    _ = try machine.run(host: Impatient(), limits: .init(instructions: before.addingReportingOverflow(5000).partialValue))
    _ = SaveState.hash(machine)
    return true
  }

  @Test(arguments: [1, 2, 3, 4] as [UInt64]) func changedFields(seed: UInt64) throws {
    var configuration = MachineConfiguration.running(Program.timer, processors: 2)
    configuration.hasVGA = seed == 1
    let source = try Machine(configuration), target = try Machine(configuration)
    _ = try source.run(host: BatchHost(), limits: .init(instructions: 60))
    let good = SaveState.sections(of: source)
    var random = seed &* 0x9E37_79B9_7F4A_7C15
    func next(_ n: Int) -> Int {
      random = random &* 6364136223846793005 &+ 1442695040888963407
      return Int(random >> 33) % n
    }
    var taken = 0
    // Video memory makes a state large.
    let rounds = configuration.hasVGA ? Self.rounds / 40 : Self.rounds / 4
    for _ in 0..<rounds {
      var changed = good
      for _ in 0...next(3) {
        let at = next(changed.count)
        switch next(3) {
        case 0: changed[at] ^= 1 << UInt8(next(8))
        case 1: changed[at] = UInt8(next(256))
        default: for n in at..<min(at + 8, changed.count) { changed[n] = 0xFF }
        }
      }
      if try take(changed, from: source, into: target) { taken += 1 }
    }
    // Most bytes are values that nobody can refuse.
    #expect(taken > 0)
  }

  @Test func everyEndIsTooEarly() throws {
    let source = try Machine(.running(Program.timer))
    let good = SaveState.sections(of: source)
    #expect(try take(good, from: source, into: source))
    for length in stride(from: 0, to: good.count, by: Self.rounds > 1000 ? 7 : 101) {
      #expect(try !take(Array(good[..<length]), from: source, into: source))
    }
  }
}

/// Types text at moments that only its own clock knows.
private final class Typist: MachineHost {
  private var time: UInt64 = 0
  private var texts: [String]
  init(_ texts: [String]) { self.texts = texts }
  func wallTime() -> UInt64 {
    time += 5_100_000
    return time
  }
  func service(_ machine: Machine, mayWait: UInt64) -> [InputEvent] {
    texts.isEmpty ? [] : [.serial(port: 0, bytes: Array(texts.removeFirst().utf8))]
  }
  var isInteractive: Bool { true }
  var isInterrupted: Bool { false }
}

@Suite struct InputLogTests {
  @Test func replayRepeatsTheRunExactly() throws {
    var printed: [UInt8] = []
    let machine = try Machine(.running(Program.echo))
    machine.keepsInputLog = true
    machine.onSerialOutput = { port, byte in if port == 0 { printed.append(byte) } }
    #expect(try machine.run(host: Typist(["he", "llo", "q"]), limits: .init(instructions: 50_000_000)) == .exitCode(1))
    #expect(String(decoding: printed, as: UTF8.self) == "helloq")
    #expect(machine.input.records.map(\.number) == [0, 1, 2])

    let log = InputLog.encode(machine.input.records)
    let again = try Machine(.running(Program.echo))
    again.replay(try InputLog.decode(log))
    #expect(try again.run(host: BatchHost(), limits: .init(instructions: 50_000_000)) == .exitCode(1))
    #expect(again.memory.read(0x500, size: 4) == machine.memory.read(0x500, size: 4))
    #expect(SaveState.hash(again) == SaveState.hash(machine))
  }

  @Test func everyEventSurvivesTheFile() throws {
    let events: [InputEvent] = [
      .serial(port: 3, bytes: [0, 255]), .key(.pause, isPressed: true), .mouse(dx: -5, dy: 7, wheel: -1, buttons: 3), .powerButton,
    ]
    let records = events.enumerated().map { InputRecord(number: UInt64($0), time: UInt64($0) * 1000, event: $1) }
    let bytes = InputLog.encode(records)
    #expect(try InputLog.decode(bytes) == records)
    for length in 0..<bytes.count {
      #expect(throws: StateError.self) { try InputLog.decode(Array(bytes[..<length])) }
    }
  }
}

@Suite struct ConfigurationTests {
  @Test func impossibleMachinesAreRefused() {
    func refusal(_ change: (inout MachineConfiguration) -> Void) -> String? {
      var configuration = MachineConfiguration.running(Program.spin)
      change(&configuration)
      return sentence { () throws(MachineError) in _ = try Machine(configuration) }
    }
    #expect(refusal { $0.memory = 4096 }?.contains("memory") == true)
    #expect(refusal { $0.memory = (4 << 20) + 1 } != nil)
    #expect(refusal { $0.processors = 0 } != nil)
    #expect(refusal { $0.processors = 1000 } != nil)
    #expect(refusal { $0.serialPorts = 9 } != nil)
    #expect(refusal { _ in } == nil)
  }

  @Test func processorsAreChosenByName() throws {
    #expect(try CPUSelection("x86-64-v2,-pcid").model.features.contains(.pcid) == false)
    #expect(try CPUSelection("x86-64-v2,+AVX").model.features.contains(.xsave))
    let plain = try CPUSelection("x86-64-v3,-avx").model.features
    #expect(![Feature.avx, .avx2, .fma, .f16c].contains { plain.contains($0) } && plain.contains(.xsave))
    // A removed feature takes along what builds on it, through chains of any length.
    func lost(_ text: String) throws -> FeatureSet { CPUModel.x86_64v3.features.subtracting(try CPUSelection(text).model.features) }
    #expect(try lost("x86-64-v3,-sse41") == [.sse41, .sse42, .avx, .avx2, .fma, .f16c])
    #expect(try lost("x86-64-v3,-xsave").isSuperset(of: [.xsave, .xsavec, .xsaves, .xsaveopt, .xgetbv1, .avx, .avx2, .fma]))
    #expect(try lost("x86-64-v3,-apic,-tsc").isSuperset(of: [.apic, .x2apic, .tsc, .rdtscp, .tscDeadline]))
    #expect(try lost("x86-64-v3,-avx").subtracting([.avx, .avx2, .fma, .f16c]).isEmpty)
    let refused = [
      "386,+sse", "pentium,+pcid", "x86-64-v3,+vmx", "x86-64-v3,-fpu", "x86-64-v3,-sse", "x86-64-v3,-fxsr", "x86-64-v3,+avx2,-avx",
      "x86-64-v3,-sse41,+avx",
    ]
    for text in refused {
      #expect(throws: MachineError.self) { try CPUSelection(text) }
    }
    for bad in ["", "z80", "x86-64-v2,avx", "x86-64-v2,+nothing"] {
      #expect(throws: MachineError.self) { try CPUSelection(bad) }
    }
  }

  /// What a model can do CPUID says, whatever was added to it.
  @Test func everyFeatureHasItsLeaf() throws {
    for base in cpuModels.map(\.name) where base != "386" {
      for name in CPUSelection.featureNames {
        guard let model = try? CPUSelection("\(base),+\(name)").model else { continue }
        #expect(model.features.features.contains { "\($0)" == name })
        for feature in model.features.features where feature != .osxsave && feature != .ospke {
          guard let place = feature.cpuid else { continue }
          let r = model.cpuid(leaf: place.leaf, subleaf: place.subleaf, apicID: 0, xcr0: 1)
          let word = switch place.register { case .eax: r.eax; case .ebx: r.ebx; case .ecx: r.ecx; case .edx: r.edx }
          #expect(word >> UInt32(place.bit) & 1 == 1, "\(base),+\(name): CPUID hides \(feature)")
        }
        let leaf = { (n: UInt32) in model.cpuid(leaf: n, subleaf: 0, apicID: 0, xcr0: 1) }
        if model.features.contains(.xsave) { #expect(leaf(0xD).ebx == 576, "\(base),+\(name)") }
        #expect(leaf(0).eax == model.maximumLeaf)
        #expect(model.maximumExtendedLeaf == 0 || leaf(0x8000_0000).eax == model.maximumExtendedLeaf)
      }
    }
    #expect(try CPUSelection("pentium3,+avx").model.maximumLeaf == 0xD && CPUSelection("486,+sse").model.maximumLeaf == 1)
  }
}
