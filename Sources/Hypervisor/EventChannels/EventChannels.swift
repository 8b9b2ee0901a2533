import XenABI

/// One end of an event channel.
enum EventBinding {
  case free
  /// Waits for a domain to connect.
  case unbound(remote: DomainID)
  case interdomain(remote: DomainID, port: EventPort)
  case virq(UInt32)
  case ipi
  /// The other end is a service of the hypervisor's own: console, xenstore, a back end.
  case service(EventService)
  case reserved

  /// EVTCHNSTAT_* (event_channel.h).
  var status: UInt32 {
    switch self {
    case .free, .reserved: 0
    case .unbound: 1
    case .interdomain, .service: 2
    case .virq: 4
    case .ipi: 5
    }
  }
}

/// Who is told when the guest sends to a port that leads to the hypervisor.
public protocol EventService: AnyObject {
  func guestNotified(_ domain: Domain, port: EventPort)
}

/// The ports of a domain.
struct EventChannels {
  struct Channel {
    var binding = EventBinding.free
    /// Virtual processor that is told.
    var vcpu = 0
    var priority: UInt8 = 7
  }

  /// Most ports the domain may have.
  var limit: Int
  private(set) var channels: [Channel] = [Channel(binding: .reserved)]
  /// No port below is free.
  private var firstFree = 1

  init(limit: Int) { self.limit = limit }

  func isValid(_ port: EventPort) -> Bool { port < channels.count }

  subscript(_ port: EventPort) -> Channel {
    get { channels[Int(port)] }
    set {
      channels[Int(port)] = newValue
      if case .free = newValue.binding { firstFree = min(firstFree, Int(port)) }
    }
  }

  /// A free port. Ports come lowest first.
  mutating func allocate() throws(XenError) -> EventPort {
    for n in firstFree..<max(firstFree, channels.count) {
      firstFree = n
      if case .free = channels[n].binding { return EventPort(n) }
    }
    if channels.count >= limit { throw .ENOSPC }
    channels.append(Channel())
    return EventPort(channels.count - 1)
  }

  /// Ports that are bound to something.
  var bound: [EventPort] {
    channels.indices.compactMap { n in
      if case .free = channels[n].binding { return nil }
      if case .reserved = channels[n].binding { return nil }
      return EventPort(n)
    }
  }
}

extension Domain {
  // MARK: Two-level delivery

  /// Whether the port's pending bit is set.
  func isPending(_ port: EventPort) -> Bool {
    if fifo != nil { return (fifoWord(port)?.load(as: UInt32.self) ?? 0) & FIFOEvents.Bit.pending != 0 }
    return twoLevelBit(port, layout.eventPending)
  }

  func twoLevelBit(_ port: EventPort, _ table: Int) -> Bool {
    guard Int(port) < layout.twoLevelPorts else { return false }
    return shared.load(fromByteOffset: table + Int(port >> 3), as: UInt8.self) >> UInt8(port & 7) & 1 != 0
  }

  /// Sets a bit and returns what it was.
  private func setBit(_ base: UnsafeMutableRawPointer, _ n: Int) -> Bool {
    let p = base + n / 8
    let old = p.load(as: UInt8.self)
    p.storeBytes(of: old | 1 << UInt8(n & 7), as: UInt8.self)
    return old >> UInt8(n & 7) & 1 != 0
  }

  func clearPending(_ port: EventPort) {
    if let word = fifoWord(port) {
      word.storeBytes(of: word.load(as: UInt32.self) & ~FIFOEvents.Bit.pending, as: UInt32.self)
    }
    guard Int(port) < layout.twoLevelPorts else { return }
    let p = shared + layout.eventPending + Int(port >> 3)
    p.storeBytes(of: p.load(as: UInt8.self) & ~(1 << UInt8(port & 7)), as: UInt8.self)
  }

  /// An event on a port: the pending bit, the selector, the upcall, and whoever polls.
  public func raise(_ port: EventPort) {
    guard state == .running, events.isValid(port), vcpus.indices.contains(events[port].vcpu) else { return }
    if hypervisor.trace != nil { hypervisor.note(.event, self, events[port].vcpu, "pending", [.init("port", .count(UInt64(port)))]) }
    if fifo != nil { return raiseFIFO(port) }
    guard Int(port) < layout.twoLevelPorts else { return }
    let wasPending = setBit(shared + layout.eventPending, Int(port))
    for v in vcpus where v.isPolling && (v.pollPorts.isEmpty || v.pollPorts.contains(port)) { v.wake() }
    if wasPending { return }
    announce(port)
  }

  /// Second half of `raise`, and of unmasking a port that is pending.
  private func announce(_ port: EventPort) {
    if twoLevelBit(port, layout.eventMask) { return }
    let v = vcpus[events[port].vcpu]
    v.noteInfoWrite()
    if !setBit(v.info + layout.pendingSelector, Int(port) / (layout.word * 8)) { v.notify() }
  }

  func unmask(_ port: EventPort) {
    if fifo != nil { return unmaskFIFO(port) }
    guard Int(port) < layout.twoLevelPorts else { return }
    let p = shared + layout.eventMask + Int(port >> 3)
    p.storeBytes(of: p.load(as: UInt8.self) & ~(1 << UInt8(port & 7)), as: UInt8.self)
    if isPending(port) { announce(port) }
  }

  // MARK: Binding

  /// A port that leads to a service of the hypervisor.
  func bindService(_ service: any EventService) throws(XenError) -> EventPort {
    let port = try events.allocate()
    events[port].binding = .service(service)
    events[port].vcpu = 0
    return port
  }

  /// A virtual interrupt for a processor, if the guest has bound it.
  func raise(virq: UInt32, vcpu: Int) {
    for port in events.channels.indices {
      if case .virq(let n) = events.channels[port].binding, n == virq, events.channels[port].vcpu == vcpu || !VIRQ.isPerVCPU(virq) {
        return raise(EventPort(port))
      }
    }
  }

  func close(_ port: EventPort) {
    let old = events[port].binding
    events[port] = EventChannels.Channel()
    clearPending(port)
    if case .interdomain(let remote, let other) = old, let peer = hypervisor.domains[remote], peer.events.isValid(other) {
      // The other end waits for a new connection.
      if case .interdomain(let back, let own) = peer.events[other].binding, back == id, own == port {
        peer.events[other].binding = .unbound(remote: id)
      }
    }
  }

  /// Sends to the other end.
  func send(_ port: EventPort) throws(XenError) {
    guard events.isValid(port) else { throw .EINVAL }
    switch events[port].binding {
    case .interdomain(let remote, let other): hypervisor.domains[remote]?.raise(other)
    case .ipi: raise(port)
    case .service(let service): service.guestNotified(self, port: port)
    case .unbound: break
    default: throw .EINVAL
    }
  }
}
