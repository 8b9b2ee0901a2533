#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Hypervisor
import Processor
import XenABI

/// What a case found: what is wrong, and what had been done when it was seen.
struct IsolationProblem: Sendable {
  var life: Int
  var round: Int
  var kind: GuestKind
  var text: [String]
  var commands: [String]
}

/// One case: a hypervisor with victims and services, and, one after the other, hostile domains that do a number of things.
struct IsolationCase {
  let seed: UInt64
  let number: UInt64
  let length: Int
  var kind: GuestKind?
  /// From this round on the commands are executed one at a time, and everything is looked at after each.
  var singly: (life: Int, round: Int)?
  /// Told of every command before it is executed.
  var onCommand: ((_ life: Int, _ round: Int, _ processor: Int, GuestCommand) -> Void)?

  /// What was done.
  struct Work: Sendable {
    var commands = 0
    var domains = 0
    var killed = 0
    var hypercalls: [String: Calls] = [:]
    /// What services did for hostile domains: transfers of disks, frames of theirs, turns of xenstore.
    var transfers = 0, frames = 0, storeTurns = 0
    struct Calls: Sendable {
      var made = 0
      var succeeded = 0
    }
  }
  private(set) var work = Work()

  /// Hardly enough for the victims and a hostile domain.
  static let tightMemory: UInt64 = 4 << 20
  /// Seconds of the host's processor that a round may take; most take milliseconds.
  static let patience: Double = 15
  /// Most ns of the hypervisor's time that may go by in a round, which ends after 800 µs but for an operation under way.
  static let longestRound: UInt64 = 1_000_000_000

  init(seed: UInt64, number: UInt64, length: Int) {
    self.seed = seed
    self.number = number
    self.length = length
  }

  private final class Counter: HypervisorTrace {
    var calls: [String: Work.Calls] = [:]
    func wants(_ kind: TraceRecord.Kind) -> Bool { kind == .hypercall }
    func record(_ record: TraceRecord) {
      calls[record.name, default: .init()].made += 1
      if case .number = record.fields.last?.value { calls[record.name, default: .init()].succeeded += 1 }
    }
  }

  /// Runs the case to its end or to the first problem.
  mutating func run() -> IsolationProblem? {
    var random = FuzzRandom(seed: seed, number: number)
    // Little more than the domains need, in every fourth case: what cannot be allocated is refused.
    let isTight = random.chance(25)
    let hypervisor = Hypervisor(memoryBytes: isTight ? Self.tightMemory : 16 << 20, model: CPUModel.named("x86-64-v3")!)
    let mark = Victims.mark(seed &+ number)
    let services = CaseServices(hypervisor, mark: mark, disks: 4)
    let counter = Counter()
    var victims: Victims
    do {
      victims = try Victims(hypervisor, mark: mark, services, pvh: random.chance(70) ? .pvhShadow : .pvhNested, devices: random.chance(50))
    } catch {
      return IsolationProblem(life: 0, round: 0, kind: .pv64, text: ["the victims could not be built: \(error)"], commands: [])
    }
    hypervisor.trace = counter
    defer {
      work.hypercalls = counter.calls
      for guest in victims.guests {
        services.detach(guest)
        hypervisor.destroy(guest.domain)
      }
    }
    var life = 0
    while work.commands < length {
      let kind = self.kind ?? random.pick(GuestKind.allCases)
      if let problem = live(life, kind, hypervisor, services, isTight: isTight, &victims, &random) { return problem }
      life += 1
    }
    return nil
  }

  // MARK: The life of a hostile domain

  private mutating func live(
    _ life: Int, _ kind: GuestKind, _ h: Hypervisor, _ services: CaseServices, isTight: Bool, _ victims: inout Victims, _ random: inout FuzzRandom
  ) -> IsolationProblem? {
    func problem(_ round: Int, _ text: [String], _ commands: [String] = []) -> IsolationProblem? {
      text.isEmpty ? nil : IsolationProblem(life: life, round: round, kind: kind, text: text, commands: commands)
    }
    let free = h.freeMemory
    let isPatient = random.chance(35)
    let processors = isPatient && random.chance(50) ? 1 : 1 + random.below(ScriptedGuest.processors)
    let guest: ScriptedGuest
    do {
      guest = try ScriptedGuest(h, "hostile", kind, pages: 128, services, processors: processors)
    } catch {
      // Where memory is short that may be; nothing of it may be left.
      work.commands += 10
      return problem(0, h.freeMemory == free && isTight ? [] : ["the hostile domain could not be built: \(error)"])
    }
    work.domains += 1
    victims.welcome(guest.domain.id)
    var maker = CallMaker(random: random, guest: guest, surroundings: look(at: guest, victims))
    maker.isPatient = isPatient
    guest.give(guest.firstCommands(0) + [maker.makeGrantTable()], to: 0)
    _ = guest.run([0], nanoseconds: 1_000_000)
    guest.give(maker.openWindows(), to: 0)
    _ = guest.run([0], nanoseconds: 1_000_000)
    if maker.isPatient || maker.oneIn(2) {
      guest.frontEnds = FrontEnds(guest, disk: Disk(services.medium, 0, isWritable: !maker.oneIn(5)), store: services.store, bridge: services.bridge)
      guest.frontEnds?.connect(options: maker.bits(3))
    }
    if processors > 1 {
      var list: [GuestCommand] = []
      for n in 1..<processors {
        _ = guest.firstCommands(n)
        list.append(maker.call(.vcpuOp, [VCPUOp.initialise, UInt64(n), maker.firstState(n, damaged: false)]))
        list.append(maker.call(.vcpuOp, [VCPUOp.up, UInt64(n), 0]))
      }
      guest.give(list, to: 0)
      _ = guest.run([0], nanoseconds: 1_000_000)
    }
    let logged = h.console.lines.count
    var round = 0
    var lazy = 0
    while guest.isAlive, work.commands < length, lazy < 2, round < (isPatient ? 12 : 60) {
      h.turn = [200, 1_000, 5_000, 50_000][maker.random.below(4)]
      var wrong = prepareServices(guest, services, &victims, &maker, round)
      var scripts: [[GuestCommand]] = []
      // Now and then one attack and a look at once, before anything else covers its traces.
      let isShort = !isPatient && maker.oneIn(3)
      for n in 0..<processors where guest.domain.vcpus[n].isUp {
        var list: [GuestCommand] = []
        maker.processor = n
        while list.count < (isShort ? 1 : 40) { list += isShort ? maker.attack() : maker.next() }
        scripts.append(Array(list.prefix(GuestDriver.commands)))
      }
      let up = (0..<processors).filter { guest.domain.vcpus[$0].isUp }
      if let singly, (life, round) >= singly {
        if let found = oneByOne(scripts, up, guest, h, services, victims, life, round) { return found }
      } else {
        for (n, list) in zip(up, scripts) {
          guest.give(list, to: n)
          for command in list { onCommand?(life, round, n, command) }
        }
        let begun = clock(), hypervisorTime = h.now
        _ = guest.run(up, nanoseconds: 800_000)
        let spent = clock() - begun
        // A domain pays with its own time, not with everybody's.
        let passed = h.now - hypervisorTime
        if passed > Self.longestRound { wrong.append("\(passed) ns went by in the round") }
        let done = up.map { Int(min(guest.progress($0).begun, UInt64(GuestDriver.commands))) }
        work.commands += max(done.reduce(0, +), 1)
        lazy = done.contains { $0 > 1 } ? 0 : lazy + 1
        wrong += h.auditFrames() + services.takeProblems() + services.excess(of: guest.domain.id)
        if spent > Self.patience { wrong.append("the round took \(spent) s of the processor") }
        if guest.isAlive { for v in guest.domain.vcpus { wrong += secretRegisters(v, victims) } }
        if round % 4 == 3 || !wrong.isEmpty { wrong += victims.changes() + victims.secrets(in: guest) }
        if !wrong.isEmpty {
          return problem(round, wrong, zip(scripts, done).flatMap { $0.prefix($1).suffix(12).map(\.description) })
        }
      }
      // New frames and ports are there to be named.
      if round % 8 == 7 { maker.surroundings = look(at: guest, victims) }
      round += 1
    }
    victims.settle()
    var wrong = services.takeProblems() + victims.changes() + victims.secrets(in: guest) + victims.scattered(in: guest)
    if victims.isSecret(in: guest.text) { wrong.append("a secret is on the console") }
    if guest.domain.shutdownReason == .crash {
      work.killed += 1
      if !h.console.lines.dropFirst(logged).contains(where: { $0.text.contains("\(guest.domain.id) hostile") }) && h.console.lines.count < 3000 {
        wrong.append("nothing says why the hostile domain was ended")
      }
    }
    if h.console.lines.count > 2000 { h.console.clear() }
    h.turn = .max
    services.detach(guest)
    if services.isCharged(guest.domain.id) { wrong.append("xenstore still counts something for the hostile domain") }
    h.destroy(guest.domain)
    work.transfers += guest.frontEnds?.disk.transfers ?? 0
    work.frames += services.takeFrames()
    work.storeTurns += services.takeTurns()
    wrong += h.auditFrames()
    if h.freeMemory != free { wrong.append("\(Int64(free) - Int64(h.freeMemory)) bytes were not given back") }
    wrong += victims.goOn() + victims.useServices(&maker.random)
    services.service(victims.guests)
    wrong += services.takeProblems()
    random = maker.random
    return problem(round, wrong)
  }

  private mutating func oneByOne(_ scripts: [[GuestCommand]], _ up: [Int], _ guest: ScriptedGuest, _ h: Hypervisor, _ services: CaseServices,
                                 _ victims: Victims, _ life: Int, _ round: Int) -> IsolationProblem? {
    var done: [String] = []
    for k in 0..<GuestDriver.commands {
      for (n, list) in zip(up, scripts) where k < list.count && guest.isAlive {
        onCommand?(life, round, n, list[k])
        guest.give([list[k]], to: n)
        _ = guest.run([n], nanoseconds: 20_000)
        work.commands += 1
        done.append("v\(n) \(list[k].description) = \(String(guest.result(n, 0), radix: 16))")
        let wrong = h.auditFrames() + services.takeProblems() + services.excess(of: guest.domain.id) + victims.changes() + victims.secrets(in: guest)
        if !wrong.isEmpty { return IsolationProblem(life: life, round: round, kind: guest.kind, text: wrong, commands: done.suffix(12)) }
      }
    }
    return nil
  }

  private func secretRegisters(_ v: VCPU, _ victims: Victims) -> [String] {
    v.registers.filter { $0 & Victims.markMask == victims.mark }.map { "secret \(String($0, radix: 16)) is in a register of \(v.label)" }
  }

  /// Seconds of the host's processor that this thread had: what else the host does is no guest's fault.
  private func clock() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// What happens around the hostile domain between its rounds: services go on, victims' memory and nodes change, frames and input come in, and
  /// its devices are connected again.
  /// - Returns: what must not have happened.
  private func prepareServices(
    _ guest: ScriptedGuest, _ services: CaseServices, _ victims: inout Victims, _ maker: inout CallMaker, _ round: Int
  ) -> [String] {
    var wrong: [String] = []
    services.service(victims.guests + [guest])
    if round % 2 == 1 { victims.wander() }
    if round > 1, maker.oneIn(6) { victims.withdraw() }
    if maker.oneIn(4) { victims.stirStore() }
    if maker.oneIn(3) { services.send(maker.frameFromOutside()) }
    if maker.oneIn(4), guest.console.backlog < 4096 { guest.console.type([UInt8](repeating: 0x41, count: random(&maker, 700))) }
    let isWaiting = guest.progress(0).begun >= guest.progress(0).of
    if let ends = guest.frontEnds, isWaiting, guest.domain.vcpus[0].isUp {
      if !ends.isConnected, !maker.oneIn(3) { ends.connect(options: maker.bits(3)) }
      if round % 4 == 2 { wrong = ends.tryForbidden(&maker.random, other: maker.random.pick(victims.guests).domain.id) }
    }
    if isWaiting, guest.domain.vcpus[0].isUp, round % 8 == 5 { wrong += services.tryStore(guest) }
    maker.updatePorts()
    return wrong
  }

  private func random(_ maker: inout CallMaker, _ n: Int) -> Int { maker.random.below(n) }

  /// Everything that can be named.
  private func look(at guest: ScriptedGuest, _ victims: Victims) -> Surroundings {
    let h = guest.hypervisor
    var s = Surroundings()
    s.own = guest.domain.machineFrames
    s.tables = s.own.filter { guest.domain.isPageTable($0) }
    if !guest.kind.isParavirtual {
      // Such a guest names frames by its own numbers.
      s.own = (0..<UInt64(guest.frames.count)).map { MachineFrameNumber($0) }
      s.tables = ScriptedGuest.Page.tables.map { MachineFrameNumber(UInt64($0)) }
    }
    s.special = [guest.domain.sharedInfoFrame, guest.storeFrame] + guest.domain.grantTableFrames + guest.domain.grantStatusFrames
    s.root = guest.kind.isParavirtual ? guest.domain.vcpus.first?.root ?? .invalid : s.tables[0]
    s.middle = guest.kind.isParavirtual ? table(2, under: s.root, h, guest) : s.tables[3]
    s.bottom = guest.kind.isParavirtual ? table(1, under: s.root, h, guest) : s.tables[3]
    for victim in victims.guests {
      s.victims.append(victim.domain.id)
      s.foreign += victim.domain.machineFrames
      s.foreignSpecial += victim.domain.machineFrames.filter { victim.domain.isPageTable($0) } + victim.domain.grantTableFrames
        + [victim.domain.sharedInfoFrame, victim.storeFrame, victim.frames[Victims.readable], victim.frames[Victims.shared], victim.frames[Victims.partial]]
    }
    s.hypervisors = guest.domain.hypervisorTables + (1..<8).map { MachineFrameNumber($0) }
    s.limit = h.totalMemory >> 12
    s.ports = victims.ports
    return s
  }

  /// The L2 or L1 under the image.
  private func table(_ wanted: Int, under root: MachineFrameNumber, _ h: Hypervisor, _ guest: ScriptedGuest) -> MachineFrameNumber {
    var table = root
    for level in stride(from: guest.kind.isWide ? 4 : 3, to: wanted, by: -1) {
      let index = guest.base >> UInt64(3 + level * 9) & (level == 3 && !guest.kind.isWide ? 3 : 511)
      guard h.owner(of: table) == guest.domain.id, let host = h.memory.host(table.address) else { return .invalid }
      table = PTE.frame(host.load(fromByteOffset: Int(index) * 8, as: UInt64.self))
    }
    return table
  }
}
