import Platform
import Processor
import XenABI

/// What a domain is doing.
public enum DomainState: Sendable, Equatable {
  case running
  /// Ended by SCHEDOP_shutdown or by the hypervisor; the reason is Xen's (poweroff, reboot, suspend, crash, watchdog).
  case shutdown(ShutdownReason)
  /// Its memory is given back.
  case dead
}

/// Reasons of SCHEDOP_shutdown (xen/include/public/sched.h).
public enum ShutdownReason: UInt32, Sendable {
  case poweroff = 0, reboot, suspend, crash, watchdog, softReset
}

/// A guest: its memory, its virtual processors, and what it shares with the hypervisor.
public final class Domain {
  public let id: DomainID
  public var name: String
  public let hypervisor: Hypervisor
  /// A 32-bit guest. Of a paravirtual one (PAE) the kernel runs in ring 1; one with page tables of its own may change its mind.
  public internal(set) var isCompat: Bool
  /// What makes it a domain with page tables of its own (PVH); nil for a paravirtual one.
  let hvm: HVMPlatform?
  let frames: FrameTable
  public internal(set) var vcpus: [VCPU] = []
  public internal(set) var state: DomainState = .running
  /// How often it was paused; it runs at 0.
  public internal(set) var pauseCount = 0

  /// Frames the domain has, in the order of its pseudo-physical numbers at its birth; for giving them back.
  var ownedFrames: Set<UInt64> = []
  /// Frames it has given back while they were in use: they are free when that ends, at the latest with the domain. May name others' by then.
  var releasedFrames: Set<UInt64> = []
  /// Most frames it may have.
  public internal(set) var maximumFrames: UInt64 = 0
  /// Highest pseudo-physical frame number the guest has told of.
  var highestPFN: UInt64 = 0
  public var frameCount: UInt64 { UInt64(ownedFrames.count) }

  let sharedInfo: MachineFrameNumber
  var layout: SharedInfoLayout
  var events: EventChannels
  /// Set when the guest has changed to the FIFO way.
  var fifo: FIFOEvents?
  var grants: GrantTable
  /// L2s of a 32-bit guest that stand in the last entry of a root: their end is the hypervisor's.
  var topL2s: Set<UInt64> = []
  var kernelHalf = KernelHalf()
  private var complaints = GuestLines(maximum: 10)
  private var consoleLines = GuestLines(maximum: 1000)
  /// What the guest has written to the hypervisor's console since the last end of a line.
  private var consoleLine: [UInt8] = []
  private static let longestConsoleLine = 256
  /// Bits of vm_assist.
  var assists: UInt64 = 0
  /// Tables under the slot of the domain's descriptor tables: L3, then L2, then L1s on demand.
  var perDomainTables: [MachineFrameNumber] = []
  /// Share of processor time beside other domains', and most of it in percent of a processor (0: no limit).
  public var weight = 256
  public var cap = 0
  public var handle = [UInt8](repeating: 0, count: 16)
  /// What the domain's system time is ahead of the hypervisor's, in ns, modulo 2⁶⁴: that of a restored domain goes on where it was.
  var timeOffset: UInt64 = 0
  /// Pages of the domain's rings with services of the hypervisor, which write to them: they stay writable memory of the domain.
  var serviceFrames: [MachineFrameNumber] = []
  /// Grants of the domain's that services use at the moment.
  var pagesInService: [ObjectIdentifier: PageInService] = [:]
  /// Told of what the domain writes to Xen's console, and of its end.
  public weak var observer: (any DomainObserver)?

  init(id: DomainID, name: String, hypervisor: Hypervisor, isCompat: Bool, hvm: HVMPlatform?, sharedInfo: MachineFrameNumber) {
    self.id = id
    self.name = name
    self.hypervisor = hypervisor
    self.isCompat = isCompat
    self.hvm = hvm
    self.sharedInfo = sharedInfo
    frames = hypervisor.frames
    layout = isCompat ? .compat : .wide
    events = EventChannels(limit: layout.twoLevelPorts)
    grants = GrantTable()
  }

  // MARK: Memory

  /// One more frame, zeroed; nil at the domain's limit, or when the machine has no more.
  func allocateFrame() -> MachineFrameNumber? {
    guard frameCount < maximumFrames, let frame = hypervisor.allocateFrame(for: id) else { return nil }
    ownedFrames.insert(frame.rawValue)
    return frame
  }

  /// The domain gives a frame away for good.
  func releaseFrame(_ frame: MachineFrameNumber) -> Bool {
    guard frames.isRAM(frame), frames[frame].pointee.flags & FrameInfo.shared == 0, frames.release(frame) else { return false }
    ownedFrames.remove(frame.rawValue)
    if frames.owner(frame) == id { releasedFrames.insert(frame.rawValue) }
    return true
  }

  /// Host address of the shared page.
  @inline(__always)
  var shared: UnsafeMutableRawPointer { frames.contents(sharedInfo) }

  /// Forgets all translations of the domain's processors.
  func flushAll() {
    for v in vcpus { v.flush() }
  }

  // MARK: Time

  /// When a time of the guest's clock comes, on the hypervisor's: now, where it is over.
  func hostTime(ofGuest time: UInt64) -> UInt64 {
    let now = hypervisor.now, here = now &+ timeOffset
    return time <= here ? now : now &+ min(time - here, .max >> 1)
  }

  // MARK: Life

  /// Whether its virtual processors may run.
  var isRunnable: Bool { state == .running && pauseCount == 0 }

  /// Ends the domain; the reason is the toolstack's business.
  func shutDown(_ reason: ShutdownReason) {
    guard state == .running else { return }
    if !consoleLine.isEmpty { endConsoleLine() }
    state = .shutdown(reason)
    for v in vcpus { v.processor.requestStop() }
    hypervisor.domainEnded(self)
  }

  /// A line about what the guest does, in the hypervisor's log: so many in a second and no more.
  public func complain(_ line: String) { complaints.add(line, of: self) }

  /// What the guest writes to the hypervisor's own console (console_io, and port E9h of PVH domains): lines of the log, as under Xen.
  func writeToConsole(_ bytes: [UInt8]) {
    observer?.domain(self, wroteToConsole: bytes)
    for byte in bytes {
      if byte == 10 || consoleLine.count == Self.longestConsoleLine { endConsoleLine() }
      // Nothing that a terminal would obey.
      if 0x20..<0x7F ~= byte || byte == 9 { consoleLine.append(byte) }
    }
  }

  private func endConsoleLine() {
    consoleLines.add("(\(id)) \(String(decoding: consoleLine, as: UTF8.self))", of: self)
    consoleLine = []
  }

  /// The guest did what no guest may, or what cannot be gone on from.
  func crash(_ why: String) {
    guard state == .running else { return }
    hypervisor.log("\(id) \(name) crashed: \(why)")
    if let v = hypervisor.running, v.domain === self { hypervisor.log(v.registersText) }
    shutDown(.crash)
  }
}

/// Who wants to know what a domain does.
public protocol DomainObserver: AnyObject {
  /// Text for the hypervisor's console.
  func domain(_ domain: Domain, wroteToConsole text: [UInt8])
  func domainEnded(_ domain: Domain)
}
