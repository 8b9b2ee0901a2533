import Hypervisor
import Platform
import Toolstack
import XenABI

/// Kinds of domains that a campaign makes.
public enum GuestKind: String, CaseIterable, Sendable {
  case pv64, pv32
  /// Page tables of its own: by shadows of them, or by translation of every address in them.
  case pvhShadow = "pvh-shadow", pvhNested = "pvh-nested"

  var isWide: Bool { self != .pv32 }
  var isParavirtual: Bool { self == .pv64 || self == .pv32 }
}

/// A domain that does what it is told: a list of commands for each of its virtual processors.
final class ScriptedGuest: DomainObserver {
  let hypervisor: Hypervisor
  let kind: GuestKind
  let domain: Domain
  let console: ConsoleRing
  let storeLink: StoreLink
  let drivers: [GuestDriver]
  /// Machine frames by pseudo-physical number, as they were at the beginning.
  let frames: [MachineFrameNumber]
  let storeFrame: MachineFrameNumber
  let storePort: EventPort
  let storePage: UnsafeMutableRawPointer
  /// Its block device and its network interface, if it has them.
  var frontEnds: FrontEnds?
  /// Text that the domain wrote to the hypervisor's console.
  private(set) var text: [UInt8] = []

  /// Pages of the image, from its beginning; the numbers are pseudo-physical frames.
  enum Page {
    static let code = 0, script = 4, stack = 8, arena = 12, traps = 28, start = 32, image = 40
    /// Of a guest with tables of its own: L4, L3, L2, L1.
    static let tables = [33, 34, 35, 36]
    static let arenaPages = 16
  }
  static let processors = 4

  static func base(_ kind: GuestKind) -> UInt64 { kind.isWide ? 0xFFFF_FFFF_8000_0000 : 0xC000_0000 }
  var base: UInt64 { Self.base(kind) }
  func address(_ page: Int) -> UInt64 { base + UInt64(page) << 12 }

  /// The number by which the guest names a page in hypercalls and page tables.
  func number(_ page: Int) -> UInt64 { kind.isParavirtual ? frames[page].rawValue : UInt64(page) }

  init(_ hypervisor: Hypervisor, _ name: String, _ kind: GuestKind, pages: Int, _ services: CaseServices, processors: Int = 1, weight: Int = 256)
    throws(BuildError) {
    self.hypervisor = hypervisor
    self.kind = kind
    let base = Self.base(kind)
    var drivers: [GuestDriver] = []
    var image = [UInt8](repeating: 0, count: Page.script << 12)
    for n in 0..<Self.processors {
      let driver = GuestDriver(
        isWide: kind.isWide, isParavirtual: kind.isParavirtual, code: base + UInt64(Page.code + n) << 12, script: base + UInt64(Page.script + n) << 12,
        stackTop: base + UInt64(Page.stack + n + 1) << 12 - 16)
      image.replaceSubrange(n << 12..<n << 12 + driver.bytes.count, with: driver.bytes)
      drivers.append(driver)
    }
    self.drivers = drivers
    let kernel: DomainKernel
    if kind.isParavirtual {
      let segment = ParavirtualKernel.Segment(address: 0, bytes: image[...], size: UInt64(Page.image) << 12)
      kernel = .paravirtual(ParavirtualKernel(
        segments: [segment], entry: drivers[0].code, virtualBase: base, isCompat: !kind.isWide, hypercallPage: nil, initialP2M: nil, modulesByPFN: false))
    } else {
      image += [UInt8](repeating: 0, count: (Page.traps - Page.script) << 12) + PVHStart.pages(drivers: drivers, base: base, memoryPages: pages)
      let segment = ParavirtualKernel.Segment(address: 0, bytes: image[...], size: UInt64(Page.image) << 12)
      kernel = .pvh(PVHKernel(segments: [segment], entry: UInt32(Page.start) << 12))
    }
    storeLink = services.storeLink()
    let built = try hypervisor.build(
      DomainRequest(name: name, memoryBytes: UInt64(pages) << 12, vcpus: processors, weight: weight, paging: kind == .pvhNested ? .nested : .shadow,
                    shadowBytes: 64 << 12),
      kernel: kernel, store: storeLink)
    domain = built.domain
    console = built.console
    storeFrame = MachineFrameNumber(built.storeFrame)
    storePort = built.storePort
    storePage = built.storePage
    var list = [MachineFrameNumber](repeating: .invalid, count: pages)
    for frame in domain.machineFrames {
      let pfn = hypervisor.pseudoPhysical(of: frame)
      if pfn < UInt64(pages) { list[Int(pfn)] = frame }
    }
    frames = list
    domain.observer = self
    services.attach(built, storeLink)
    console.onOutput = { [unowned self] in if text.count < 1 << 16 { text += $0 } }
    hypervisor.unpause(domain)
  }

  func domain(_ domain: Domain, wroteToConsole bytes: [UInt8]) { text += bytes }
  /// The console's port is the one that is bound after xenstore's.
  var consolePort: EventPort { storePort + 1 }
  func domainEnded(_ domain: Domain) {}

  // MARK: Memory, from outside

  /// Writes to a page of the image, if the domain still has it. Never into a page table.
  func write(_ bytes: [UInt8], page: Int, offset: Int) {
    let frame = frames[page]
    guard hypervisor.owner(of: frame) == domain.id, !domain.isPageTable(frame), offset + bytes.count <= 4096 else { return }
    bytes.withUnsafeBytes { _ = hypervisor.memory.load($0, at: frame.address + UInt64(offset)) }
  }

  /// The same for bytes that may cross pages.
  func writeArena(_ bytes: [UInt8], at offset: Int) {
    var done = 0
    while done < bytes.count, (offset + done) >> 12 < Page.arenaPages {
      let n = min(bytes.count - done, 4096 - (offset + done) & 0xFFF)
      write(Array(bytes[done..<done + n]), page: Page.arena + (offset + done) >> 12, offset: (offset + done) & 0xFFF)
      done += n
    }
  }

  func word(page: Int, offset: Int) -> UInt64 {
    hypervisor.memory.host(frames[page].address + UInt64(offset))?.load(as: UInt64.self) ?? 0
  }

  static func bytes(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

  // MARK: Scripts

  func give(_ commands: [GuestCommand], to processor: Int) {
    let driver = drivers[processor]
    var page: [UInt8] = []
    var count = 0
    for command in commands.prefix(GuestDriver.commands) {
      guard let address = driver.addresses[command.action] else { continue }
      count += 1
      page += Self.bytes(address) + Self.bytes(command.number)
      for n in 0..<6 { page += Self.bytes(n < command.arguments.count ? command.arguments[n] : 0) }
    }
    write(page, page: Page.script + processor, offset: 0)
    write(Self.bytes(0) + Self.bytes(UInt64(count)), page: Page.script + processor, offset: GuestDriver.index)
  }

  /// Commands the processor has begun, and how many it has.
  func progress(_ processor: Int) -> (begun: UInt64, of: UInt64) {
    (word(page: Page.script + processor, offset: GuestDriver.index), word(page: Page.script + processor, offset: GuestDriver.count))
  }

  func result(_ processor: Int, _ command: Int) -> UInt64 { word(page: Page.script + processor, offset: command * GuestCommand.bytes) }

  /// How often the processor found nothing to do.
  func idleCount(_ processor: Int = 0) -> UInt64 { word(page: Page.script + processor, offset: GuestDriver.counter) }

  var isAlive: Bool { domain.state == .running }

  /// Lets all domains run until this one has done what it was told, or for a time in ns.
  /// - Returns: whether all of it was begun and the processors have nothing more to do.
  func run(_ processors: [Int], nanoseconds: UInt64) -> Bool {
    let end = hypervisor.now + nanoseconds
    let idle = processors.map { idleCount($0) }
    while isAlive, hypervisor.now < end {
      if case .idle(let until) = hypervisor.step(limit: end) { hypervisor.advance(to: min(until ?? end, end)) }
      if zip(processors, idle).allSatisfy({ progress($0).begun >= progress($0).of && idleCount($0) != $1 }) { return true }
    }
    return false
  }

  /// Lets its first processor send an event.
  func kick(_ port: EventPort) {
    var s = Structure(isWide: kind.isWide)
    s.u32(UInt64(port))
    writeArena(s.bytes, at: 1088)
    give([GuestCommand(number: 32, arguments: [4, address(Page.arena) + 1088])], to: 0)
    _ = run([0], nanoseconds: 2_000_000)
  }

  /// A table that leads every trap to the next command, and the calls that install it.
  func firstCommands(_ processor: Int) -> [GuestCommand] {
    if !kind.isParavirtual { return [GuestCommand(number: 29)] }
    let driver = drivers[processor]
    let cs: UInt64 = kind.isWide ? 0xE033 : 0xE019
    var table: [UInt8] = []
    // The last vector's place is the end of the list.
    for vector in 0..<255 {
      let head: [UInt8] = [UInt8(vector), 3 | 4, UInt8(cs & 255), UInt8(cs >> 8)]
      let target = Self.bytes(driver.code)
      table += kind.isWide ? head + [0, 0, 0, 0] + target : head + target.prefix(4)
    }
    write(table, page: Page.traps + processor, offset: 0)
    let call = driver.code
    return [
      GuestCommand(number: 0, arguments: [address(Page.traps + processor)]),
      GuestCommand(number: 4, arguments: kind.isWide ? [call, call, call] : [cs, call, cs, call]),
      GuestCommand(number: 3, arguments: [kind.isWide ? 0xE02B : 0xE021, driver.stackTop]),
    ]
  }
}
