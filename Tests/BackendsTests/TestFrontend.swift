@testable import Backends
@testable import Hypervisor
import Processor
import XenABI
import Xenstore

/// A domain without a program, whose memory, grants and ports a test handles as a guest's driver would.
final class TestFrontend {
  let hypervisor: Hypervisor
  let domain: Domain
  let store: XenstoreServer
  private var nextReference: GrantReference = 8

  private final class Nobody: EventService {
    func guestNotified(_ domain: Domain, port: EventPort) {}
  }
  private let nobody = Nobody()

  init(on other: TestFrontend? = nil) throws {
    hypervisor = other?.hypervisor ?? Hypervisor(memoryBytes: 256 << 20, model: CPUModel.named("x86-64-v3")!)
    store = other?.store ?? XenstoreServer()
    let kernel = ParavirtualKernel(
      segments: [.init(address: 0x1000, bytes: [0xEB, 0xFE][...], size: 4096)], entry: 0x1000, virtualBase: 0, isCompat: false,
      hypercallPage: nil, initialP2M: nil, modulesByPFN: false)
    domain = try hypervisor.build(DomainRequest(name: "front", memoryBytes: 4 << 20), kernel: .paravirtual(kernel), store: nobody).domain
    domain.maximumFrames += 4096
    try domain.growGrantTable(to: 16)
    store.introduce(domain.id.rawValue)
  }

  // MARK: Memory

  struct Page {
    var frame: MachineFrameNumber
    var reference: GrantReference
    var contents: UnsafeMutableRawPointer

    func word(_ offset: Int) -> UInt32 { contents.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) { contents.storeBytes(of: value, toByteOffset: offset, as: T.self) }
    func fill(_ byte: UInt8) { contents.initializeMemory(as: UInt8.self, repeating: byte, count: 4096) }
    func bytes(_ range: Range<Int>) -> [UInt8] { range.map { contents.load(fromByteOffset: $0, as: UInt8.self) } }
  }

  /// A new page, granted to the control domain or another.
  func page(readOnly: Bool = false, to user: DomainID = .control) -> Page {
    let frame = domain.allocateFrame()!
    defer { nextReference += 1 }
    grant(nextReference, frame, readOnly: readOnly, to: user)
    return Page(frame: frame, reference: nextReference, contents: domain.frames.contents(frame))
  }

  func grant(_ reference: GrantReference, _ frame: MachineFrameNumber, readOnly: Bool = false, to user: DomainID = .control) {
    let at = Int(reference) * 8
    let p = domain.frames.contents(domain.grants.frames[at / 4096]) + at % 4096
    p.storeBytes(of: user.rawValue, toByteOffset: 2, as: UInt16.self)
    p.storeBytes(of: UInt32(frame.rawValue), toByteOffset: 4, as: UInt32.self)
    p.storeBytes(of: GrantTable.Flag.permitAccess | (readOnly ? GrantTable.Flag.readOnly : 0), as: UInt16.self)
  }

  /// Grants that somebody uses.
  var grantsInUse: Int { domain.grants.active.count }

  // MARK: Ports

  func port() throws -> EventPort {
    let port = try domain.events.allocate()
    domain.events[port].binding = .unbound(remote: .control)
    return port
  }

  func kick(_ port: EventPort) throws { try domain.send(port) }

  /// Whether an event has come since the last question.
  func takeEvent(_ port: EventPort) -> Bool {
    defer { domain.clearPending(port) }
    return domain.isPending(port)
  }

  // MARK: Xenstore

  func write(_ device: XenbusBackend, _ key: String, _ value: String) throws {
    try store.write("\(device.frontendPath)/\(key)", value)
  }
  func enter(_ device: XenbusBackend, _ state: XenbusState) throws { try write(device, "state", "\(state.rawValue)") }
  func read(_ device: XenbusBackend, _ key: String) -> String? { try? store.readString("\(device.backendPath)/\(key)") }
}

/// A ring as a front end sees it.
struct FrontRing {
  let pages: [TestFrontend.Page]
  let slotBytes: Int
  var entries: UInt32 { SharedRing.entries(pages: pages.count, slotBytes: slotBytes) }
  private(set) var producer: UInt32 = 0
  private(set) var consumer: UInt32 = 0
  /// The first page, which has the indices.
  var page: TestFrontend.Page { pages[0] }

  init(_ page: TestFrontend.Page, slotBytes: Int) { self.init([page], slotBytes: slotBytes) }

  init(_ pages: [TestFrontend.Page], slotBytes: Int) {
    self.pages = pages
    self.slotBytes = slotBytes
    for page in pages { page.fill(0) }
    page.set(4, 1 as UInt32)
    page.set(12, 1 as UInt32)
  }

  mutating func put(_ slot: [UInt8]) {
    let at = 64 + Int(producer & (entries - 1)) * slotBytes
    for (n, byte) in slot.enumerated() { pages[(at + n) / 4096].set((at + n) % 4096, byte) }
    producer &+= 1
  }

  func push() { page.set(0, producer) }

  /// Responses that have come, `bytes` of each.
  mutating func responses(_ bytes: Int) -> [[UInt8]] {
    var result: [[UInt8]] = []
    while consumer != page.word(8) {
      let at = 64 + Int(consumer & (entries - 1)) * slotBytes
      result.append((at..<at + bytes).flatMap { pages[$0 / 4096].bytes($0 % 4096..<$0 % 4096 + 1) })
      consumer &+= 1
    }
    page.set(12, consumer &+ 1)
    return result
  }
}

extension FixedWidthInteger {
  /// Little-endian.
  var bytes: [UInt8] { withUnsafeBytes(of: littleEndian) { Array($0) } }
}
