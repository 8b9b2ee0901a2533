import Platform
import Processor
import XenABI

/// Saving and restoring domains with page tables of their own: their memory by guest frames, their processors as they are. Pages that the
/// hypervisor shares are not saved: the guest places them anew when it goes on, as under Xen.
extension Hypervisor {
  func savePVH(_ domain: Domain, _ hvm: HVMPlatform, to w: inout StateWriter) throws(BuildError) {
    w.put(UInt32(domain.vcpus.count))
    w.put(model.name)
    w.put(domain.isCompat)
    w.put(domain.maximumFrames)
    w.put(domain.highestPFN)
    w.put(domain.assists)
    w.put(domain.handle)
    w.put(now &+ domain.timeOffset)
    w.put(hvm.memory.count)
    w.put(UInt32(hvm.memoryMap.count))
    for region in hvm.memoryMap {
      w.put(region.base)
      w.put(region.size)
      w.put(region.kind.rawValue)
    }
    for value in hvm.parameters { w.put(value) }
    w.put(hvm.callbackVector)
    let all = (0..<hvm.memory.count).lazy.map { GuestFrameNumber($0) }
    if all.contains(where: { hvm.memory.kind($0) == .foreign }) {
      throw BuildError("domain \(domain.name) still maps memory that is not its own")
    }
    let ram = all.filter { hvm.memory.kind($0) == .ram }
    w.put(UInt64(ram.count))
    for frame in ram where !w.isBroken {
      guard let machine = hvm.memory[frame] else { continue }
      let contents = frames.contents(machine)
      let isZero = Self.isZero(contents)
      w.put(frame.rawValue)
      w.put(isZero ? StoredFrame.zero.rawValue : StoredFrame.contents.rawValue)
      if !isZero { w.put(raw: UnsafeRawBufferPointer(start: contents, count: 4096)) }
    }
    hvm.clock.now = max(hvm.clock.now, now &+ domain.timeOffset)
    for v in domain.vcpus { v.saveHVM(to: &w) }
    hvm.clock.save(to: &w)
  }

  /// Reads what `savePVH` wrote.
  func restorePVH(
    _ r: inout StateReader, name: String, weight: Int, cap: Int, paging: GuestPaging, shadowBytes: UInt64?, store: any EventService
  ) throws(BuildError) -> BuiltDomain {
    func failure(_ why: String) -> BuildError { BuildError("the saved domain \(name) cannot be restored: \(why)") }
    let head: PVHHead
    do throws(StateError) { head = try PVHHead(&r) } catch { throw failure("\(error)") }
    guard head.model == model.name else { throw failure("it was on a processor of the model \(head.model), and this is a \(model.name)") }
    guard head.space <= PVHBuilder.space(frames: frames.totalFrames) else { throw failure("it has more memory than the machine") }
    let hvm = HVMPlatform(frames: head.space, vcpus: head.vcpus, model: model)
    let domain: Domain
    do throws(XenError) { domain = try makeDomain(name: name, isCompat: head.isCompat, hvm: hvm, maximumFrames: head.maximumFrames) } catch {
      throw BuildError("the machine has no memory left for domain \(name)")
    }
    domain.weight = weight
    domain.cap = cap
    domain.pauseCount = 1
    do throws(StateError) {
      return try fillPVH(domain, hvm, head, &r, paging, shadowBytes, store)
    } catch {
      destroy(domain)
      throw failure("\(error)")
    }
  }

  private func fillPVH(
    _ domain: Domain, _ hvm: HVMPlatform, _ head: PVHHead, _ r: inout StateReader, _ paging: GuestPaging, _ shadowBytes: UInt64?, _ store: any EventService
  ) throws(StateError) -> BuiltDomain {
    domain.highestPFN = head.highestPFN
    domain.assists = head.assists
    domain.handle = head.handle
    domain.timeOffset = head.time &- now
    hvm.memoryMap = head.memoryMap
    hvm.parameters = head.parameters
    hvm.callbackVector = head.callbackVector
    for _ in 0..<head.frames {
      let frame = GuestFrameNumber(try r.get(UInt64.self))
      let stored = try r.get(UInt8.self)
      guard frame.rawValue < head.space, hvm.memory[frame] == nil, let kind = StoredFrame(rawValue: stored) else {
        throw StateError("a page in it has an impossible place")
      }
      guard let machine = domain.allocateFrame() else { throw StateError("the machine has no memory left") }
      hvm.memory.set(frame, to: machine, .ram)
      setPhysical(of: machine, to: frame.rawValue)
      if kind == .contents { try r.get(raw: UnsafeMutableRawBufferPointer(start: frames.contents(machine), count: 4096)) }
    }
    // Ports come in the order in which the builder makes them, so the guest finds those it knows.
    let ports: (store: EventPort, console: EventPort)
    do throws(XenError) { ports = (try domain.bindService(store), try domain.bindService(ServiceRelay())) } catch {
      throw StateError("it cannot have event channels")
    }
    hvm.parameters[HVMParameter.storePort] = UInt64(ports.store)
    hvm.parameters[HVMParameter.consolePort] = UInt64(ports.console)
    let storeFrame = GuestFrameNumber(hvm.parameters[HVMParameter.storeFrame]), consoleFrame = GuestFrameNumber(hvm.parameters[HVMParameter.consoleFrame])
    guard let storePage = hvm.memory[storeFrame], let consolePage = hvm.memory[consoleFrame], storePage != consolePage else {
      throw StateError("its pages for services are not there")
    }
    let built: BuiltDomain
    do throws(XenError) {
      built = try attachServices(to: domain, store: (storePage, ports.store), console: (consolePage, ports.console), number: storeFrame.rawValue)
    } catch {
      throw StateError("its pages for services are no ordinary memory")
    }
    domain.writeWallClock()
    setPhysical(of: domain.sharedInfo, to: ~0)
    for n in 0..<head.vcpus { domain.vcpus.append(VCPU(domain: domain, index: n)) }
    if paging == .shadow {
      let bytes = shadowBytes ?? ShadowPaging.defaultBytes(memory: head.frames << 12, vcpus: head.vcpus)
      guard let shadow = ShadowPaging(domain, bytes: bytes) else { throw StateError("the machine has no memory left") }
      hvm.shadow = shadow
    }
    var isUp: [Bool] = []
    for v in domain.vcpus { isUp.append(try v.restoreHVM(from: &r)) }
    try hvm.clock.restore(from: &r)
    guard isUp[0] else { throw StateError("its first processor cannot go on") }
    // The call that suspended the guest returns: this is another machine than before.
    domain.vcpus[0].cpu.s.pointee.rax = 0
    for (n, v) in domain.vcpus.enumerated() where isUp[n] { v.bringUp() }
    return built
  }
}

/// What stands before the memory.
private struct PVHHead {
  var model: String, isCompat: Bool
  var maximumFrames: UInt64, highestPFN: UInt64, assists: UInt64, handle: [UInt8], time: UInt64
  /// Frames of the physical address space, and those that have memory.
  var space: UInt64, frames: UInt64
  var memoryMap: [MemoryRegion] = [], parameters: [UInt64] = [], callbackVector: UInt8
  var vcpus: Int

  init(_ r: inout StateReader) throws(StateError) {
    vcpus = Int(try r.get(UInt32.self))
    guard 1...SharedInfoLayout.legacyVCPUs ~= vcpus else { throw StateError("it has an impossible number of processors") }
    model = try r.getString()
    isCompat = try r.getBool()
    maximumFrames = try r.get(UInt64.self)
    highestPFN = try r.get(UInt64.self)
    assists = try r.get(UInt64.self)
    handle = try r.getBytes()
    guard handle.count == 16 else { throw StateError("its identity has not 16 bytes") }
    time = try r.get(UInt64.self)
    space = try r.get(UInt64.self)
    guard maximumFrames < 1 << 28, highestPFN < space, space <= PVHBuilder.space(frames: maximumFrames) else {
      throw StateError("it says it has an impossible amount of memory")
    }
    let regions = try r.get(UInt32.self)
    guard regions <= 16 else { throw StateError("its memory map is impossible") }
    for _ in 0..<regions {
      let base = try r.get(UInt64.self), size = try r.get(UInt64.self)
      guard let kind = MemoryRegion.Kind(rawValue: try r.get(UInt32.self)) else { throw StateError("its memory map is impossible") }
      memoryMap.append(MemoryRegion(base: base, size: size, kind: kind))
    }
    for _ in 0..<HVMParameter.count { parameters.append(try r.get(UInt64.self)) }
    callbackVector = try r.get(UInt8.self)
    frames = try r.get(UInt64.self)
    guard frames <= maximumFrames else { throw StateError("it says it has an impossible amount of memory") }
  }
}

extension VCPU {
  /// The processor with its local APIC.
  fileprivate func saveHVM(to w: inout StateWriter) {
    guard let hvm else { return }
    w.put(state != .offline)
    w.put(isInitialised)
    // Its time-stamp counter in relation to the guest's clock.
    w.put(cpu.s.pointee.tscOffset &- timeBase &- domain.timeOffset)
    w.put(singleShot.map { $0 &+ domain.timeOffset } ?? .max)
    w.put(hvm.upcallVector)
    processor.save(to: &w)
    hvm.lapic.save(to: &w)
  }

  /// - Returns: whether it is up.
  fileprivate func restoreHVM(from r: inout StateReader) throws(StateError) -> Bool {
    guard let hvm else { return false }
    let isUp = try r.getBool()
    isInitialised = try r.getBool()
    let counter = try r.get(UInt64.self), deadline = try r.get(UInt64.self)
    let vector = try r.get(UInt8.self)
    guard vector == 0 || vector >= 16 else { throw StateError("a processor in it has an impossible state") }
    try processor.restore(from: &r)
    hvm.upcallVector = vector
    timeBase = 0
    cpu.s.pointee.tscOffset = counter &+ domain.timeOffset
    if deadline != .max { singleShot = domain.hostTime(ofGuest: deadline) }
    try hvm.lapic.restore(from: &r)
    return isUp
  }
}
