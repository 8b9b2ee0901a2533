import Hypervisor
import XenABI

/// What a hostile domain may know of its surroundings: all that it could name in a hypercall.
struct Surroundings {
  /// Frames of the hostile domain: ordinary ones, page tables, and those it shares with the hypervisor.
  var own: [MachineFrameNumber] = []
  var tables: [MachineFrameNumber] = []
  /// Its first root, and the L2 and the L1 under its image.
  var root = MachineFrameNumber.invalid
  var middle = MachineFrameNumber.invalid
  var bottom = MachineFrameNumber.invalid
  var special: [MachineFrameNumber] = []
  /// Frames of the others.
  var foreign: [MachineFrameNumber] = []
  var foreignSpecial: [MachineFrameNumber] = []
  var hypervisors: [MachineFrameNumber] = []
  var limit: UInt64 = 0
  var victims: [DomainID] = []
  /// Ports of the victims that wait for the hostile domain.
  var ports: [EventPort] = []
}

/// What a hostile domain knows of its services, and how far it has come in their rings.
struct ServicePorts {
  var store: EventPort = 0, console: EventPort = 0, block: EventPort = 0, network: EventPort = 0
  var blockEntries: UInt32 = 32
  var blockProducer: UInt32 = 0, transmitProducer: UInt32 = 0, receiveProducer: UInt32 = 0, storeProducer: UInt32 = 0
  /// The store does not listen to it any more.
  var isStoreStopped = false
}

/// Makes hypercalls and instructions of a hostile domain: structures that are right, or nearly so, with arguments that are not.
struct CallMaker {
  var random: FuzzRandom
  let guest: ScriptedGuest
  var surroundings: Surroundings
  private var arena = 0
  /// The processor that the next commands are for.
  var processor = 0
  var ports = ServicePorts()
  /// Addresses at which pages were that it gave back.
  var left: [UInt64] = []
  /// The domain lives for its services, and does little by which it might end early.
  var isPatient = false

  init(random: FuzzRandom, guest: ScriptedGuest, surroundings: Surroundings) {
    self.random = random
    self.guest = guest
    self.surroundings = surroundings
  }

  var isWide: Bool { guest.kind.isWide }
  var wordBytes: Int { isWide ? 8 : 4 }

  // MARK: Numbers

  mutating func bits(_ n: Int) -> UInt64 { random.next() & (1 << UInt64(n) - 1) }
  mutating func small(_ n: Int) -> UInt64 { UInt64(random.below(n)) }
  mutating func oneIn(_ n: Int) -> Bool { random.below(n) == 0 }

  /// Pseudo-physical number of one of a few pages that everything is tried on.
  mutating func pagePFN() -> Int {
    if oneIn(12) { return random.below(guest.frames.count) }
    return Self.firstPage + random.below(Self.pages)
  }
  static let firstPage = 64
  static let pages = 24

  mutating func pageAddress() -> UInt64 { guest.address(pagePFN()) }

  mutating func frame() -> UInt64 {
    let s = surroundings
    func one(_ list: [MachineFrameNumber], _ r: inout FuzzRandom) -> UInt64 { list.isEmpty ? 0 : list[r.below(list.count)].rawValue }
    switch random.below(100) {
    case 0..<50: return guest.number(pagePFN())
    case 50..<65: return one(s.tables, &random)
    case 65..<70: return one(s.special, &random)
    case 70..<82: return one(s.foreign, &random)
    case 82..<87: return one(s.foreignSpecial, &random)
    case 87..<91: return one(s.hypervisors, &random)
    case 91..<93: return one(s.own, &random)
    case 93..<95: return s.limit &+ small(4) &- 2
    case 95: return 0
    case 96: return ~0
    case 97: return 1 << small(64)
    default: return random.anyMagnitude()
    }
  }

  mutating func entry() -> UInt64 { entry(of: frame()) }

  mutating func entry(of frame: UInt64) -> UInt64 {
    var e = frame << 12
    if !oneIn(8) { e |= PTE.present }
    if oneIn(2) { e |= PTE.writable }
    if !oneIn(5) { e |= PTE.user }
    e |= bits(2) << 5
    if oneIn(10), isWide { e |= PTE.noExecute }
    if oneIn(20) { e |= PTE.global }
    if oneIn(24) { e |= PTE.large }
    if oneIn(40) { e |= bits(2) << 3 }
    if oneIn(24) { e |= 1 << 62 }
    if oneIn(30) { e |= bits(11) << 52 }
    return e
  }

  mutating func weirdAddress() -> UInt64 {
    let base = guest.base
    switch random.below(14) {
    case 0: return 0
    case 1: return ~0 &- bits(6)
    case 2: return isWide ? 0xFFFF_8000_0000_0000 &+ bits(16) : 0xF580_0000 &+ bits(16)
    case 3: return isWide ? 0xFFFF_8200_0000_0000 &+ bits(18) : 0xFFFF_F000 &+ bits(12)
    case 4: return isWide ? 0xFFFF_87FF_FFFF_FFF8 &+ bits(4) : 0xF57F_FFF0 &+ bits(5)
    case 5: return isWide ? 0x7FFF_FFFF_FFF0 &+ bits(5) : 0x1_0000_0000 &+ bits(30)
    case 6: return isWide ? 0x0000_8000_0000_0000 | bits(47) : bits(32)
    case 7: return base &+ UInt64(guest.frames.count) << 12 &- bits(4)
    case 8: return guest.address(pagePFN()) &+ 4096 &- bits(6)
    case 9: return base &+ 0x40_0000 &+ bits(24)
    case 10: return guest.address(random.below(guest.frames.count)) &+ bits(12)
    case 11: return bits(21)
    case 12: return UInt64(1) << small(64) &- bits(4)
    default: return random.next()
    }
  }

  mutating func address() -> UInt64 { oneIn(4) ? weirdAddress() : pageAddress() &+ (oneIn(3) ? bits(12) : bits(9) << 3) }

  mutating func domain() -> UInt64 {
    switch random.below(16) {
    case 0..<6: return UInt64(DomainID.own.rawValue)
    case 6..<8: return UInt64(guest.domain.id.rawValue)
    case 8..<12: return UInt64(random.pick(surroundings.victims).rawValue)
    case 12: return 0
    case 13: return 0x7FF0 + small(16)
    case 14: return 1 + small(8)
    default: return bits(16)
    }
  }

  mutating func count() -> UInt64 { oneIn(20) ? random.anyMagnitude() : 1 + small(4) }

  mutating func port() -> UInt64 {
    switch random.below(8) {
    case 0..<5: return small(12)
    case 5: return surroundings.ports.isEmpty ? 1 : UInt64(random.pick(surroundings.ports))
    case 6: return small(140_000)
    default: return random.anyMagnitude()
    }
  }

  mutating func reference() -> UInt64 {
    switch random.below(10) {
    case 0..<7: return UInt64(Victims.firstReference) + small(6)
    case 7: return small(600)
    case 8: return [511, 512, 255, 256, 0xFFFF_FFFF, 0x8000_0000][random.below(6)]
    default: return random.anyMagnitude()
    }
  }

  // MARK: Structures

  func structure() -> Structure { Structure(isWide: isWide) }

  /// Puts a structure into memory and names its address; now and then where no structure can be.
  mutating func place(_ structure: Structure) -> UInt64 {
    if oneIn(40) { return weirdAddress() }
    let size = structure.bytes.count
    let room = ScriptedGuest.Page.arenaPages << 12
    var at = arena
    if oneIn(12) { at = (at | 0xFFF) + 1 - min(size / 2, 4000) & ~3 }
    if oneIn(30) { at = random.below(room) }
    at = max(0, at)
    if at + size > room { at = 0 }
    guest.writeArena(structure.bytes, at: at)
    arena = (at + size + 15) & ~15
    if arena >= room { arena = 0 }
    return guest.address(ScriptedGuest.Page.arena) &+ UInt64(at)
  }

  /// The same, always where the guest finds it.
  mutating func stage(_ structure: Structure) -> UInt64 {
    let room = ScriptedGuest.Page.arenaPages << 12
    if arena + structure.bytes.count > room { arena = 0 }
    let at = arena
    guest.writeArena(structure.bytes, at: at)
    arena = (at + structure.bytes.count + 15) & ~15
    if arena >= room { arena = 0 }
    return guest.address(ScriptedGuest.Page.arena) &+ UInt64(at)
  }

  /// Room for results.
  mutating func room(_ bytes: Int) -> UInt64 {
    var s = structure()
    s.zeros(bytes)
    return place(s)
  }

  func call(_ number: Hypercall, _ arguments: [UInt64]) -> GuestCommand { GuestCommand(number: UInt64(number.rawValue), arguments: arguments) }

  /// A 64-bit argument as the guest passes it: a 32-bit one needs two.
  func wide(_ value: UInt64) -> [UInt64] { isWide ? [value] : [value & 0xFFFF_FFFF, value >> 32] }

  // MARK: What to do next

  /// The next commands of a processor; one, or several that belong together.
  mutating func next() -> [GuestCommand] {
    if isPatient {
      switch random.below(100) {
      case 0..<80: return serviceAttack()
      case 80..<86: return grantCall()
      case 86..<89: return eventCall()
      case 89..<95: return [oneIn(2) ? touch(pageAddress() &+ bits(9) << 3) : scribble(pageAddress() &+ bits(9) << 3)]
      case 95..<99: return [memoryOp()]
      default: return memoryCall()
      }
    }
    switch random.below(100) {
    case 0..<16: return memoryCall()
    case 16..<28: return grantCall()
    case 28..<36: return eventCall()
    case 36..<46: return processorCall()
    case 46..<51: return [multicall()]
    case 51..<68: return memoryAccess()
    case 68..<75: return instruction()
    case 75..<87: return attack()
    case 87..<98: return serviceAttack()
    default: return [anyCall()]
    }
  }

  mutating func anyCall() -> GuestCommand {
    var arguments: [UInt64] = []
    for _ in 0..<6 {
      switch random.below(6) {
      case 0: arguments.append(small(8))
      case 1: arguments.append(address())
      case 2: arguments.append(frame())
      case 3: arguments.append(room(64))
      case 4: arguments.append(domain())
      default: arguments.append(random.anyMagnitude())
      }
    }
    // IRET, stack_switch and set_trap_table with random arguments do little but end the domain.
    var number = small(50)
    if number == 23 || number == 0, !oneIn(20) { number = 17 }
    if oneIn(10) { number = random.anyMagnitude() }
    return GuestCommand(number: number, arguments: arguments)
  }

  mutating func multicall() -> GuestCommand {
    var s = structure()
    let n = random.below(12)
    for _ in 0..<n {
      let inner = hypercalls().first ?? anyCall()
      // The number and room for the result, then six arguments.
      s.word(inner.number)
      s.word(0)
      for k in 0..<6 { s.word(k < inner.arguments.count ? inner.arguments[k] : 0) }
    }
    return call(.multicall, [place(s), oneIn(20) ? count() : UInt64(n)])
  }

  /// Hypercalls alone.
  mutating func hypercalls() -> [GuestCommand] {
    switch random.below(5) {
    case 0, 1: memoryCall()
    case 2: grantCall()
    case 3: eventCall()
    default: processorCall()
    }
  }
}
