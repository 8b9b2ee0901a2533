import XenABI

/// event_channel_op (xen/include/public/event_channel.h).
///
/// Not modelled: physical interrupts.
extension VCPU {
  func eventChannelOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    guard let op = EventChannelOp(rawValue: a[0]) else { throw .ENOSYS }
    let at = a[1]
    func id(_ offset: UInt64) throws(XenError) -> DomainID { DomainID(try load(at &+ offset, as: UInt16.self)) }
    func word(_ offset: UInt64) throws(XenError) -> UInt32 { try load(at &+ offset, as: UInt32.self) }
    switch op {
    case .allocateUnbound:
      let owner = try id(0), remote = try id(2)
      if owner != .own, owner != domain.id { throw hypervisor.domains[owner] == nil ? .ESRCH : .EPERM }
      let port = try domain.events.allocate()
      domain.events[port].binding = .unbound(remote: remote == .own ? domain.id : remote)
      try store(at &+ 4, port)
    case .bindInterdomain:
      let remote = try id(0), remotePort = try word(4)
      guard let peer = hypervisor.domain(remote, as: domain) else { throw .ESRCH }
      guard peer.events.isValid(remotePort), case .unbound(let expected) = peer.events[remotePort].binding, expected == domain.id else { throw .EINVAL }
      let port = try domain.events.allocate()
      domain.events[port].binding = .interdomain(remote: peer.id, port: remotePort)
      domain.events[port].vcpu = index
      peer.events[remotePort].binding = .interdomain(remote: domain.id, port: port)
      try store(at &+ 8, port)
      // Something may have been sent before: the new end looks once.
      domain.raise(port)
    case .bindVIRQ:
      let virq = try word(0), vcpu = try word(4)
      if virq >= VIRQ.count || (vcpu != 0 && !VIRQ.isPerVCPU(virq)) { throw .EINVAL }
      guard vcpu < domain.vcpus.count else { throw .ENOENT }
      charge(UInt64(domain.events.channels.count))
      for channel in domain.events.channels {
        if case .virq(let n) = channel.binding, n == virq, channel.vcpu == vcpu || !VIRQ.isPerVCPU(virq) { throw .EEXIST }
      }
      let port = try domain.events.allocate()
      domain.events[port].binding = .virq(virq)
      domain.events[port].vcpu = Int(vcpu)
      try store(at &+ 8, port)
    case .bindIPI:
      let vcpu = try word(0)
      guard vcpu < domain.vcpus.count else { throw .ENOENT }
      let port = try domain.events.allocate()
      domain.events[port].binding = .ipi
      domain.events[port].vcpu = Int(vcpu)
      try store(at &+ 4, port)
    case .bindPIRQ: throw .EPERM
    case .close:
      let port = try word(0)
      guard domain.events.isValid(port) else { throw .EINVAL }
      switch domain.events[port].binding {
      case .free, .reserved: throw .EINVAL
      default: domain.close(port)
      }
    case .send: try domain.send(try word(0))
    case .status:
      let who = try id(0), port = try word(4)
      if who != .own, who != domain.id { throw hypervisor.domains[who] == nil ? .ESRCH : .EPERM }
      guard domain.events.isValid(port) else { throw .EINVAL }
      let channel = domain.events[port]
      try store(at &+ 8, channel.binding.status)
      try store(at &+ 12, UInt32(channel.vcpu))
      switch channel.binding {
      case .unbound(let remote): try store(at &+ 16, remote.rawValue)
      case .interdomain(let remote, let other):
        try store(at &+ 16, remote.rawValue)
        try store(at &+ 20, other)
      case .service:
        try store(at &+ 16, UInt16(0))
        try store(at &+ 20, UInt32(0))
      case .virq(let n): try store(at &+ 16, n)
      default: break
      }
    case .bindVCPU:
      let port = try word(0), vcpu = try word(4)
      guard domain.events.isValid(port) else { throw .EINVAL }
      guard vcpu < domain.vcpus.count else { throw .ENOENT }
      switch domain.events[port].binding {
      case .unbound, .interdomain, .service: domain.events[port].vcpu = Int(vcpu)
      case .virq(let n):
        if VIRQ.isPerVCPU(n) { throw .EINVAL }
        domain.events[port].vcpu = Int(vcpu)
      default: throw .EINVAL
      }
    case .unmask:
      let port = try word(0)
      guard domain.events.isValid(port) else { throw .EINVAL }
      domain.unmask(port)
    case .reset, .resetContinue:
      let who = try id(0)
      if who != .own, who != domain.id { throw .EPERM }
      for port in domain.events.bound { domain.close(port) }
      domain.stopFIFO()
    case .initControl:
      // { gfn u64, offset u32, vcpu u32, link_bits u8 out }
      try domain.startFIFO(frame: try domain.machineFrame(try load(at, as: UInt64.self)), offset: try word(8), vcpu: try word(12))
      try store(at &+ 16, UInt8(17))
    case .expandArray:
      try domain.expandFIFO(try domain.machineFrame(try load(at, as: UInt64.self)))
    case .setPriority:
      let port = try word(0), priority = try word(4)
      guard domain.fifo != nil else { throw .ENOSYS }
      guard domain.events.isValid(port), priority < UInt32(FIFOEvents.priorities) else { throw .EINVAL }
      domain.events[port].priority = UInt8(priority)
    }
    return .zero
  }
}
