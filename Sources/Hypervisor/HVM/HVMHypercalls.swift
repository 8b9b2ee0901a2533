import Processor
import X86
import XenABI

/// Hypercalls of a guest with page tables of its own: by VMCALL or VMMCALL, with addresses of its own address space.
extension VCPU {
  /// Arguments as in a paravirtual guest of the width that the processor has at this moment.
  func hypercallHVM() {
    let s = cpu.s
    if s.pointee.cpl != 0 {
      s.pointee.rax = XenError.EPERM.result & (isCompatCall ? 0xFFFF_FFFF : ~0)
      return
    }
    let wide = !isCompatCall
    let mask: UInt64 = wide ? ~0 : 0xFFFF_FFFF
    let arguments: HypercallArguments = wide
      ? [s.pointee.rdi, s.pointee.rsi, s.pointee.rdx, s.pointee.r10, s.pointee.r8, s.pointee.r9]
      : [s.pointee.rbx & mask, s.pointee.rcx & mask, s.pointee.rdx & mask, s.pointee.rsi & mask, s.pointee.rdi & mask, s.pointee.rbp & mask]
    let number = s.pointee.rax & mask
    callStart = s.pointee.retired
    switch call(UInt32(truncatingIfNeeded: number), number >> 32 == 0, arguments) {
    case .value(let value): s.pointee.rax = value & mask
    case .again(let a):
      if wide {
        (s.pointee.rdi, s.pointee.rsi, s.pointee.rdx, s.pointee.r10, s.pointee.r8, s.pointee.r9) = (a[0], a[1], a[2], a[3], a[4], a[5])
      } else {
        (s.pointee.rbx, s.pointee.rcx, s.pointee.rdx, s.pointee.rsi, s.pointee.rdi, s.pointee.rbp) = (a[0], a[1], a[2], a[3], a[4], a[5])
      }
      s.pointee.nextRIP = s.pointee.rip
    case .done: break
    }
    s.pointee.exitRequest |= ExitRequest.event
  }

  /// Which hypercalls there are; the others are a paravirtual guest's.
  static func isForHVM(_ which: Hypercall) -> Bool {
    switch which {
    case .memoryOp, .multicall, .setTimerOp, .xenVersion, .consoleIO, .grantTableOp, .vmAssist, .vcpuOp, .schedOp, .schedOpCompat,
         .eventChannelOp, .hvmOp, .sysctl, .domctl, .platformOp:
      true
    default: false
    }
  }

  // MARK: hvm_op (xen/include/public/hvm/hvm_op.h, params.h)

  func hvmOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    guard let hvm = domain.hvm else { throw .ENOSYS }
    switch a[0] {
    case HVMOp.setParameter, HVMOp.getParameter:
      // { domid u16, index u32, value u64 }
      let who = DomainID(try load(a[1], as: UInt16.self)), index = Int(try load(a[1] &+ 4, as: UInt32.self))
      if who != .own, who != domain.id { throw hypervisor.domains[who] == nil ? .ESRCH : .EPERM }
      guard index < HVMParameter.count else { throw .EINVAL }
      if a[0] == HVMOp.getParameter {
        guard HVMParameter.readable.contains(index) else { throw .EPERM }
        try store(a[1] &+ 8, hvm.parameters[index])
      } else {
        try setParameter(index, try load(a[1] &+ 8, as: UInt64.self))
      }
    case HVMOp.setUpcallVector:
      // { vcpu u32, vector u8 }
      let index = try load(a[1], as: UInt32.self), vector = try load(a[1] &+ 4, as: UInt8.self)
      if vector < 16 { throw .EINVAL }
      guard index < domain.vcpus.count else { throw .ENOENT }
      domain.vcpus[Int(index)].hvm?.upcallVector = vector
    case HVMOp.flushTLBs:
      domain.flushAll()
    default: throw .ENOSYS
    }
    return .zero
  }

  private func setParameter(_ index: Int, _ value: UInt64) throws(XenError) {
    guard let hvm = domain.hvm else { return }
    switch index {
    case HVMParameter.callbackIRQ:
      // A type in the highest byte; only the vector leads to a local APIC alone.
      domain.latchWidth(is64Bit: cpu.s.pointee.longMode)
      switch value >> 56 {
      case 2: hvm.callbackVector = UInt8(truncatingIfNeeded: value)
      default: hvm.callbackVector = 0
      }
      for v in domain.vcpus { v.hvm?.refresh() }
    case HVMParameter.vm86TSS, HVMParameter.vm86TSSSized, HVMParameter.acpiState: break
    default: throw .EPERM
    }
    hvm.parameters[index] = value
  }

  // MARK: memory_op

  private enum MapSpace {
    static let sharedInfo: UInt32 = 0, grantTable: UInt32 = 1, ownFrame: UInt32 = 2, ownFrames: UInt32 = 3, foreign: UInt32 = 4
    static let grantStatus: UInt64 = 0x8000_0000
  }

  /// { domid u16, size u16, space u32, idx, gpfn }
  /// - Parameter start: frames of a range that were placed before.
  func addToPhysmap(_ at: UInt64, _ start: UInt64) throws(XenError) -> HypercallOutcome {
    var reader = GuestReader(self, at)
    let who = DomainID(try reader.next(UInt16.self)), size = try reader.next(UInt16.self)
    let space = try reader.next(UInt32.self)
    let index = try reader.word(), frame = try reader.word()
    try checkOwn(who)
    if space == MapSpace.ownFrames {
      var n = start
      while n < UInt64(size) {
        if n > start, hasTakenLong { return .again([MemoryOp.addToPhysmap | n << 6, at, 0, 0, 0, 0]) }
        try place(MapSpace.ownFrame, index &+ n, GuestFrameNumber(frame &+ n))
        n += 1
      }
    } else {
      try place(space, index, GuestFrameNumber(frame))
    }
    return .zero
  }

  /// { domid u16, space u16, size u16, extra u16, idxs, gpfns, errs }
  func addToPhysmapBatch(_ at: UInt64, _ start: UInt64) throws(XenError) -> HypercallOutcome {
    var reader = GuestReader(self, at)
    let who = DomainID(try reader.next(UInt16.self)), space = try reader.next(UInt16.self)
    let size = try reader.next(UInt16.self)
    _ = try reader.next(UInt16.self)
    let indices = try reader.word(), frames = try reader.word(), errors = try reader.word()
    try checkOwn(who)
    var n = start
    while n < UInt64(size) {
      if n > start, hasTakenLong { return .again([MemoryOp.addToPhysmapBatch | n << 6, at, 0, 0, 0, 0]) }
      let index = try loadWord(indices &+ n * wordBytes), frame = try loadWord(frames &+ n * wordBytes)
      var result: Int32 = 0
      do throws(XenError) { try place(UInt32(space), index, GuestFrameNumber(frame)) } catch { result = -error.rawValue }
      try store(errors &+ n * 4, UInt32(bitPattern: result))
      n += 1
    }
    return .zero
  }

  /// { domid u16, gpfn }
  func removeFromPhysmap(_ at: UInt64) throws(XenError) -> HypercallOutcome {
    var reader = GuestReader(self, at)
    try checkOwn(DomainID(try reader.next(UInt16.self)))
    let frame = GuestFrameNumber(try reader.word())
    guard let hvm = domain.hvm, hvm.memory[frame] != nil, hvm.memory.kind(frame) != .foreign else { throw .ENOENT }
    domain.clearPhysical(frame)
    return .zero
  }

  private func checkOwn(_ who: DomainID) throws(XenError) {
    if who != .own, who != domain.id { throw hypervisor.domains[who] == nil ? .ESRCH : .EPERM }
  }

  private func place(_ space: UInt32, _ index: UInt64, _ frame: GuestFrameNumber) throws(XenError) {
    charge(Self.entryCost)
    guard let hvm = domain.hvm, frame.rawValue < hvm.memory.count, hvm.memory.kind(frame) != .foreign else { throw .EINVAL }
    switch space {
    case MapSpace.sharedInfo:
      if index != 0 { throw .EINVAL }
      try domain.placeShared(domain.sharedInfo, at: frame)
    case MapSpace.grantTable:
      let isStatus = index & MapSpace.grantStatus != 0
      let n = index & ~MapSpace.grantStatus
      if isStatus {
        guard domain.grants.version == 2, n < UInt64(domain.grants.statusFrames.count) else { throw .EINVAL }
        try domain.placeShared(domain.grants.statusFrames[Int(n)], at: frame)
      } else {
        guard n < UInt64(GrantTable.maximumFrames) else { throw .EINVAL }
        try domain.growGrantTable(to: Int(n) + 1)
        try domain.placeShared(domain.grants.frames[Int(n)], at: frame)
      }
    case MapSpace.ownFrame:
      // Moves a page of the guest's own.
      let from = GuestFrameNumber(index)
      guard let machine = hvm.memory[from], hvm.memory.kind(from) == .ram else { throw .EINVAL }
      if from == frame { return }
      hvm.memory.clear(from)
      domain.clearPhysical(frame)
      hvm.memory.set(frame, to: machine, .ram)
      hypervisor.setPhysical(of: machine, to: frame.rawValue)
      domain.highestPFN = max(domain.highestPFN, frame.rawValue)
      domain.physicalSpaceChanged()
    case MapSpace.foreign: throw .EPERM
    default: throw .ENOSYS
    }
  }

  /// One extent of populate_physmap or decrease_reservation, by guest frame numbers.
  func reservePhysical(_ command: UInt64, _ slot: UInt64, _ order: UInt32) throws(XenError) -> Bool {
    guard let hvm = domain.hvm else { return false }
    let first = try loadWord(slot)
    for n in 0..<UInt64(1) << UInt64(order) {
      let frame = GuestFrameNumber(first &+ n)
      if command == MemoryOp.decreaseReservation {
        guard hvm.memory.kind(frame) == .ram, let machine = hvm.memory[frame], frames[machine].pointee.flags & FrameInfo.allocated != 0 else { return false }
        domain.clearPhysical(frame)
      } else {
        guard frame.rawValue < hvm.memory.count, hvm.memory[frame] == nil, let machine = domain.allocateFrame() else { return false }
        hvm.memory.set(frame, to: machine, .ram)
        hypervisor.setPhysical(of: machine, to: frame.rawValue)
        domain.highestPFN = max(domain.highestPFN, frame.rawValue)
      }
    }
    return true
  }

  /// The memory map that the domain was built with.
  func storeMemoryMap(_ buffer: UInt64, room: UInt32, _ at: UInt64) throws(XenError) -> HypercallOutcome {
    guard let map = domain.hvm?.memoryMap else { throw .ENOSYS }
    let count = min(map.count, Int(room))
    for (n, region) in map.prefix(count).enumerated() {
      let p = buffer &+ UInt64(n) * 20
      try store(p, region.base)
      try store(p &+ 8, region.size)
      try store(p &+ 16, region.kind.rawValue)
    }
    try store(at, UInt32(count))
    return .zero
  }
}
