import XenABI

/// The FIFO way of delivering events (xen/include/public/event_channel.h, "FIFO ABI"): a word for each port in pages of the guest's, linked
/// into queues, one for each priority of each virtual processor.
struct FIFOEvents {
  static let wordsPerPage = 1024
  static let maximumPorts = 1 << 17
  static let priorities = 16

  enum Bit {
    static let pending: UInt32 = 1 << 31
    static let masked: UInt32 = 1 << 30
    static let linked: UInt32 = 1 << 29
    static let busy: UInt32 = 1 << 28
    static let link: UInt32 = (1 << 17) - 1
  }

  /// Pages of event words.
  var pages: [MachineFrameNumber] = []
  /// By virtual processor: the frame and offset of its control block.
  var controls: [Int: (frame: MachineFrameNumber, offset: Int)] = [:]
  /// Last port of each queue, by processor and priority; 0 for none.
  var tails: [Int: InlineArray<16, EventPort>] = [:]
}

extension Domain {
  /// The word of a port, which may be written; nil where the guest has no page for it.
  func fifoWord(_ port: EventPort) -> UnsafeMutableRawPointer? {
    guard let fifo, Int(port) / FIFOEvents.wordsPerPage < fifo.pages.count else { return nil }
    let frame = fifo.pages[Int(port) / FIFOEvents.wordsPerPage], offset = Int(port) % FIFOEvents.wordsPerPage * 4
    // The guest may have anything else in the same page, even code, or a page table that is shadowed.
    frames.memory.noteWrite(frame.address + UInt64(offset), size: 4)
    return frames.contents(frame) + offset
  }

  func raiseFIFO(_ port: EventPort) {
    guard let word = fifoWord(port) else { return }
    let old = word.load(as: UInt32.self)
    word.storeBytes(of: old | FIFOEvents.Bit.pending, as: UInt32.self)
    for v in vcpus where v.isPolling && (v.pollPorts.isEmpty || v.pollPorts.contains(port)) { v.wake() }
    if old & (FIFOEvents.Bit.masked | FIFOEvents.Bit.linked) == 0 { linkFIFO(port, word) }
  }

  /// Puts a pending port at the end of its queue.
  private func linkFIFO(_ port: EventPort, _ word: UnsafeMutableRawPointer) {
    let channel = events[port]
    let v = channel.vcpu, priority = Int(channel.priority)
    guard let control = fifo?.controls[v] else { return }
    word.storeBytes(of: (word.load(as: UInt32.self) & ~FIFOEvents.Bit.link) | FIFOEvents.Bit.linked, as: UInt32.self)
    var tails = fifo?.tails[v] ?? InlineArray(repeating: 0)
    var appended = false
    // The guest takes ports from the head; if it has taken the last one, the queue begins anew.
    if tails[priority] != 0, tails[priority] != port, let last = fifoWord(tails[priority]) {
      let w = last.load(as: UInt32.self)
      if w & FIFOEvents.Bit.linked != 0 {
        last.storeBytes(of: (w & ~FIFOEvents.Bit.link) | port, as: UInt32.self)
        appended = true
      }
    }
    tails[priority] = port
    fifo?.tails[v] = tails
    let block = frames.contents(control.frame) + control.offset
    if !appended {
      // { ready u32, reserved u32, head[16] u32 }
      frames.memory.noteWrite(control.frame.address + UInt64(control.offset), size: 72)
      block.storeBytes(of: port, toByteOffset: 8 + priority * 4, as: UInt32.self)
      let ready = block.load(as: UInt32.self)
      block.storeBytes(of: ready | 1 << UInt32(priority), as: UInt32.self)
      if ready >> UInt32(priority) & 1 == 0 { vcpus[v].notify() }
    }
  }

  func unmaskFIFO(_ port: EventPort) {
    guard let word = fifoWord(port) else { return }
    let old = word.load(as: UInt32.self) & ~FIFOEvents.Bit.masked
    word.storeBytes(of: old, as: UInt32.self)
    if old & FIFOEvents.Bit.pending != 0, old & FIFOEvents.Bit.linked == 0 { linkFIFO(port, word) }
  }

  /// A processor's control block; the first one changes the domain over from the two-level way.
  func startFIFO(frame: MachineFrameNumber, offset: UInt32, vcpu: UInt32) throws(XenError) {
    guard vcpu < vcpus.count else { throw .ENOENT }
    if offset > 4096 - 72 || offset & 7 != 0 { throw .EINVAL }
    if fifo?.controls[Int(vcpu)] != nil { throw .EINVAL }
    try getAndType(frame, .writable)
    if fifo == nil {
      fifo = FIFOEvents()
      events.limit = FIFOEvents.maximumPorts
    }
    fifo?.controls[Int(vcpu)] = (frame, Int(offset))
  }

  /// One more page of words; what was pending before is pending in it.
  func expandFIFO(_ frame: MachineFrameNumber) throws(XenError) {
    guard let fifo else { throw .EOPNOTSUPP }
    if fifo.pages.count == FIFOEvents.maximumPorts / FIFOEvents.wordsPerPage { throw .ENOSPC }
    try getAndType(frame, .writable)
    let isFirst = fifo.pages.isEmpty
    self.fifo?.pages.append(frame)
    if isFirst {
      for port in events.bound where twoLevelBit(port, layout.eventPending) { raiseFIFO(port) }
    }
  }

  /// Gives the guest's pages back and returns to the two-level way.
  func stopFIFO() {
    guard let old = fifo else { return }
    fifo = nil
    for frame in old.pages { putAndType(frame) }
    for control in old.controls.values { putAndType(control.frame) }
    events.limit = layout.twoLevelPorts
  }
}
