import Platform
import X86
import X86Decoder

/// Memory as instructions see it outside the fast path: segmentation, canonical and alignment checks, the TLB and its fill,
/// page crossings, devices, data breakpoints, and writes to pages that hold decoded code.
extension CPU {
  // MARK: Segmentation

  /// Linear address of `size` bytes at an offset, after the checks of SDM vol. 3A §5.3 (limit), §5.5 (type) and, in 64-bit mode,
  /// §3.3.7.1 (canonical). Violations are #SS(0) for SS and #GP(0) otherwise.
  @inline(__always)
  public func linear(_ seg: SegmentRegister, _ offset: UInt64, size: Int, write: Bool) throws(Fault) -> UInt64 {
    let cache = segment(seg)
    if s.pointee.codeSize == .bits64 {
      let address = seg.rawValue >= SegmentRegister.fs.rawValue ? offset &+ cache.pointee.base : offset
      if isCanonical(address), isCanonical(address &+ UInt64(truncatingIfNeeded: size &- 1)) { return address }
      throw segmentFault(seg)
    }
    if offset < cache.pointee.fastLimit, size <= 16 { return (cache.pointee.base &+ offset) & 0xFFFF_FFFF }
    try checkSegment(seg, offset, size: size, write: write)
    return (cache.pointee.base &+ offset) & 0xFFFF_FFFF
  }

  @inline(__always)
  public func isCanonical(_ address: UInt64) -> Bool {
    let unused: UInt64 = s.pointee.cr4 & (1 &<< 12) != 0 ? 7 : 16
    return UInt64(bitPattern: Int64(bitPattern: address &<< unused) &>> Int64(unused)) == address
  }

  /// Whether a value may be loaded into a register that holds a linear address (an MSR, the base of a descriptor table or of a segment):
  /// that goes by the widest addresses the processor has, not by those of the paging mode (Intel, "5-Level Paging and
  /// 5-Level EPT", on canonicality).
  func isCanonicalForRegister(_ value: UInt64) -> Bool {
    let unused: UInt64 = has(.la57) ? 7 : 16
    return UInt64(bitPattern: Int64(bitPattern: value &<< unused) &>> Int64(unused)) == value
  }

  @inline(never)
  func segmentFault(_ seg: SegmentRegister) -> Fault { seg == .ss ? .stack() : .generalProtection() }

  @inline(never)
  private func checkSegment(_ seg: SegmentRegister, _ offset: UInt64, size: Int, write: Bool) throws(Fault) {
    let cache = segment(seg).pointee
    if s.pointee.protectedMode {
      if !cache.usable { throw segmentFault(seg) }
      if write ? !cache.writable : !cache.readable { throw segmentFault(seg) }
    }
    let last = offset &+ UInt64(size) &- 1
    if cache.expandDown, s.pointee.protectedMode {
      let top: UInt64 = cache.big ? 0xFFFF_FFFF : 0xFFFF
      if offset <= UInt64(cache.limit) || last > top || last < offset { throw segmentFault(seg) }
    } else if last > UInt64(cache.limit) || last < offset {
      throw segmentFault(seg)
    }
  }

  // MARK: Translation

  /// Index in the TLB set for accesses the current instruction makes on its own behalf.
  @inline(__always)
  public var currentTLB: Int {
    s.pointee.cpl == 3 ? userTLB
      : s.pointee.systemFlags & RFLAGS.AC != 0 ? TLBSet.supervisorAC : TLBSet.supervisor
  }

  /// The TLB of accesses with the rights of CPL 3.
  @inline(__always)
  var userTLB: Int { s.pointee.deprivileged ? TLBSet.deprivileged : TLBSet.user }

  /// Translates one page of an access, with all its faults, and enters ordinary memory into a TLB.
  /// Returns the physical address, A20 applied.
  @inline(never)
  @discardableResult
  public func fillTLB(_ tlb: Int, _ linear: UInt64, _ access: Access) throws(Fault) -> UInt64 {
    s.pointee.tlbMisses &+= 1
    // The supervisor TLB serves explicit accesses while RFLAGS.AC is clear, and implicit ones, which AC does not concern.
    let page = try translate(linear, access, user: tlb == TLBSet.user || tlb >= TLBSet.none,
                             implicit: tlb == TLBSet.supervisor)
    let physical = page.physical
    let word = pageWord(physical)
    if word & PhysicalMemory.PageBits.readable != 0, tlb != TLBSet.none, !isWatched(page: linear & ~0xFFF) {
      let storable = page.writableNow && word & PhysicalMemory.PageBits.writable != 0
      let writable = storable && word & PhysicalMemory.PageBits.noticed == 0
      if storable {
        s.pointee.pageTable[Int(physical &>> 12)] = word | PhysicalMemory.PageBits.cachedForWriting
        s.pointee.writers[Int(physical &>> 12)].insert(linear)
      }
      tlbs.fill(tlb, page: linear & ~0xFFF, host: word & ~PhysicalMemory.PageBits.mask,
                writable: writable, code: storable && !writable ? physical & ~0xFFF | 1 : 0,
                global: tlb == TLBSet.deprivileged ? linear &>> 63 != 0 : page.global)
    }
    return physical
  }

  /// Physical address for a store within a page where nothing but decoded code or a watcher stands in the way of the fast path, if the
  /// TLB knows.
  @inline(__always)
  public func codeStore(_ tlb: Int, _ linear: UInt64) -> UInt64? {
    let entry = tlbs.base(tlb) + DataTLB.offset(linear)
    let code = entry.load(fromByteOffset: DataTLB.code, as: UInt64.self)
    if entry.load(as: UInt64.self) != linear & ~0xFFF || code & 1 == 0 { return nil }
    // The code may be gone, or who watched.
    return pageWord(code) & PhysicalMemory.PageBits.noticed == 0 ? nil : (code & ~0xFFF) | (linear & 0xFFF)
  }

  /// Whether accesses to this page must take the slow path: a data breakpoint lies on it, or all memory is observed.
  @inline(__always)
  func isWatched(page: UInt64) -> Bool {
    if observes(.memory) { return true }
    if s.pointee.dr7 & 0xFF == 0 { return false }
    return dataBreakpointOnPage(page)
  }

  // MARK: Loads and stores by linear address

  @inline(__always)
  private func hostForRead(_ tlb: UnsafeMutableRawPointer, _ linear: UInt64, _ size: Int) -> UnsafeMutableRawPointer? {
    let entry = tlb + DataTLB.offset(linear)
    let t = linear &- entry.load(as: UInt64.self)
    if t > UInt64(truncatingIfNeeded: 4096 &- size) { return nil }
    return UnsafeMutableRawPointer(bitPattern: entry.load(fromByteOffset: DataTLB.host, as: UInt.self) &+ UInt(t))
  }

  @inline(__always)
  private func hostForWrite(_ tlb: UnsafeMutableRawPointer, _ linear: UInt64, _ size: Int) -> UnsafeMutableRawPointer? {
    let entry = tlb + DataTLB.offset(linear)
    let t = linear &- entry.load(fromByteOffset: DataTLB.writeTag, as: UInt64.self)
    if t > UInt64(truncatingIfNeeded: 4096 &- size) { return nil }
    return UnsafeMutableRawPointer(bitPattern: entry.load(fromByteOffset: DataTLB.host, as: UInt.self) &+ UInt(t))
  }

  @inline(__always)
  public func loadLinear<T: FixedWidthInteger>(_ linear: UInt64, as: T.Type) throws(Fault) -> T {
    let size = MemoryLayout<T>.size
    if let p = hostForRead(s.pointee.tlb, linear, size) { return p.loadUnaligned(as: T.self) }
    return T(truncatingIfNeeded: try slowLoad(currentTLB, linear, size))
  }

  @inline(__always)
  public func storeLinear<T: FixedWidthInteger>(_ linear: UInt64, _ value: T) throws(Fault) {
    let size = MemoryLayout<T>.size
    if let p = hostForWrite(s.pointee.tlb, linear, size) {
      p.storeBytes(of: value, as: T.self)
      return
    }
    try slowStore(currentTLB, linear, UInt64(truncatingIfNeeded: value), size)
  }

  /// #AC: misaligned data accesses at CPL 3 when CR0.AM and RFLAGS.AC ask for it (SDM vol. 3A §6.15, vector 17).
  @inline(__always)
  var checksAlignment: Bool {
    s.pointee.cpl == 3 && s.pointee.cr0 & CR0.AM != 0 && s.pointee.systemFlags & RFLAGS.AC != 0
  }

  /// - Parameter system: an access of the processor's own, for observers.
  @inline(never)
  func slowLoad(_ tlb: Int, _ linear: UInt64, _ size: Int, system: Bool = false) throws(Fault) -> UInt64 {
    if checksAlignment, tlb == currentTLB, linear & UInt64(size - 1) != 0 { throw .alignment }
    noteDataAccess(linear, size: size, write: false)
    let first = 4096 - Int(linear & 0xFFF)
    let low = try fillTLB(tlb, linear, .read)
    if first >= size {
      let value = readPhysical(low, size)
      if observes(.memory) { reportAccess(linear, size, value, write: false, system: system, low) }
      return value
    }
    let high = try fillTLB(tlb, wrap(linear &+ UInt64(first)), .read)
    var value: UInt64 = 0
    for k in 0..<size {
      let byte = readPhysical(k < first ? low &+ UInt64(k) : high &+ UInt64(k - first), 1)
      value |= byte &<< UInt64(k * 8)
    }
    if observes(.memory) { reportAccess(linear, size, value, write: false, system: system, low, second: high) }
    return value
  }

  @inline(never)
  func slowStore(_ tlb: Int, _ linear: UInt64, _ value: UInt64, _ size: Int, system: Bool = false) throws(Fault) {
    if checksAlignment, tlb == currentTLB, linear & UInt64(size - 1) != 0 { throw .alignment }
    let first = 4096 - Int(linear & 0xFFF)
    if first >= size, let physical = codeStore(tlb, linear) {
      writePhysical(physical, value, size)
      return
    }
    let low = try fillTLB(tlb, linear, .write)
    if first >= size {
      noteDataAccess(linear, size: size, write: true)
      if observes(.memory) { reportAccess(linear, size, value, write: true, system: system, low) }
      writePhysical(low, value, size)
      return
    }
    let high = try fillTLB(tlb, wrap(linear &+ UInt64(first)), .write)
    noteDataAccess(linear, size: size, write: true)
    if observes(.memory) { reportAccess(linear, size, value, write: true, system: system, low, second: high) }
    for k in 0..<size {
      writePhysical(k < first ? low &+ UInt64(k) : high &+ UInt64(k - first), (value &>> UInt64(k * 8)) & 0xFF, 1)
    }
  }

  /// Linear addresses are 32 bits wide outside 64-bit mode.
  @inline(__always)
  func wrap(_ linear: UInt64) -> UInt64 { s.pointee.codeSize == .bits64 ? linear : linear & 0xFFFF_FFFF }

  @inline(__always)
  private func noteDataAccess(_ linear: UInt64, size: Int, write: Bool) {
    if s.pointee.dr7 & 0xFF != 0 { dataBreakpoint(linear, size: size, write: write) }
  }

  // MARK: Physical accesses

  /// Word of the physical page table; 0 where there is no memory.
  @inline(__always)
  public func pageWord(_ address: UInt64) -> UInt {
    let page = address &>> 12
    return page < s.pointee.pageCount ? s.pointee.pageTable[Int(truncatingIfNeeded: page)] : 0
  }

  /// Host address of a byte of a page of memory.
  @inline(__always)
  func hostByte(_ word: UInt, _ address: UInt64) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(bitPattern: (word & ~PhysicalMemory.PageBits.mask) &+ UInt(address & 0xFFF)).unsafelyUnwrapped
  }

  public func readPhysical(_ address: UInt64, _ size: Int) -> UInt64 {
    let word = pageWord(address)
    if word & PhysicalMemory.PageBits.readable != 0 {
      let p = hostByte(word, address)
      switch size {
      case 1: return UInt64(p.load(as: UInt8.self))
      case 2: return UInt64(p.loadUnaligned(as: UInt16.self))
      case 4: return UInt64(p.loadUnaligned(as: UInt32.self))
      case 8: return p.loadUnaligned(as: UInt64.self)
      default: break
      }
    }
    return environment.bus.readDevice(address, size: size)
  }

  func writePhysical(_ address: UInt64, _ value: UInt64, _ size: Int) {
    let word = pageWord(address)
    if word & PhysicalMemory.PageBits.writable != 0 {
      if word & PhysicalMemory.PageBits.noticed != 0 { noteStore(address, size, word) }
      let p = hostByte(word, address)
      switch size {
      case 1: p.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
      case 2: p.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
      case 4: p.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
      default: p.storeBytes(of: value, as: UInt64.self)
      }
    } else if word == 0 {
      environment.bus.writeDevice(address, value, size: size)
    }
  }

  /// A store to a page of decoded code or a watched one is about to happen.
  @inline(never)
  private func noteStore(_ address: UInt64, _ size: Int, _ word: UInt) {
    if word & PhysicalMemory.PageBits.code != 0, environment.codeCache.noteWrite(address, size: size) {
      s.pointee.exitRequest |= ExitRequest.codeChanged
    }
    if word & PhysicalMemory.PageBits.watched != 0 { environment.memory.onWatchedWrite?(address, size) }
  }

  // MARK: By segment

  @inline(__always)
  public func load8(_ seg: SegmentRegister, _ offset: UInt64) throws(Fault) -> UInt8 {
    try loadLinear(linear(seg, offset, size: 1, write: false), as: UInt8.self)
  }
  @inline(__always)
  public func load16(_ seg: SegmentRegister, _ offset: UInt64) throws(Fault) -> UInt16 {
    try loadLinear(linear(seg, offset, size: 2, write: false), as: UInt16.self)
  }
  @inline(__always)
  public func load32(_ seg: SegmentRegister, _ offset: UInt64) throws(Fault) -> UInt32 {
    try loadLinear(linear(seg, offset, size: 4, write: false), as: UInt32.self)
  }
  @inline(__always)
  public func load64(_ seg: SegmentRegister, _ offset: UInt64) throws(Fault) -> UInt64 {
    try loadLinear(linear(seg, offset, size: 8, write: false), as: UInt64.self)
  }
  @inline(__always)
  public func store8(_ seg: SegmentRegister, _ offset: UInt64, _ value: UInt8) throws(Fault) {
    try storeLinear(linear(seg, offset, size: 1, write: true), value)
  }
  @inline(__always)
  public func store16(_ seg: SegmentRegister, _ offset: UInt64, _ value: UInt16) throws(Fault) {
    try storeLinear(linear(seg, offset, size: 2, write: true), value)
  }
  @inline(__always)
  public func store32(_ seg: SegmentRegister, _ offset: UInt64, _ value: UInt32) throws(Fault) {
    try storeLinear(linear(seg, offset, size: 4, write: true), value)
  }
  @inline(__always)
  public func store64(_ seg: SegmentRegister, _ offset: UInt64, _ value: UInt64) throws(Fault) {
    try storeLinear(linear(seg, offset, size: 8, write: true), value)
  }

  /// 16 bytes, low half first. `aligned`: the instruction demands alignment and raises #GP(0) without it.
  public func load128(_ seg: SegmentRegister, _ offset: UInt64, aligned: Bool) throws(Fault) -> (UInt64, UInt64) {
    let a = try linear(seg, offset, size: 16, write: false)
    if aligned, a & 15 != 0 { throw .generalProtection() }
    if let p = hostForRead(s.pointee.tlb, a, 16) {
      return (p.loadUnaligned(as: UInt64.self), p.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }
    try checkAlignment(a, 16)
    return (try slowLoad(currentTLB, a, 8), try slowLoad(currentTLB, wrap(a &+ 8), 8))
  }

  public func store128(_ seg: SegmentRegister, _ offset: UInt64, _ low: UInt64, _ high: UInt64, aligned: Bool) throws(Fault) {
    let a = try linear(seg, offset, size: 16, write: true)
    if aligned, a & 15 != 0 { throw .generalProtection() }
    if let p = hostForWrite(s.pointee.tlb, a, 16) {
      p.storeBytes(of: low, as: UInt64.self)
      p.storeBytes(of: high, toByteOffset: 8, as: UInt64.self)
      return
    }
    try checkAlignment(a, 16)
    try probe(a, 16, .write)
    try slowStore(currentTLB, a, low, 8)
    try slowStore(currentTLB, wrap(a &+ 8), high, 8)
  }

  public func load256(_ seg: SegmentRegister, _ offset: UInt64, aligned: Bool) throws(Fault) -> Vector256 {
    let a = try linear(seg, offset, size: 32, write: false)
    if aligned, a & 31 != 0 { throw .generalProtection() }
    var v = Vector256()
    if let p = hostForRead(s.pointee.tlb, a, 32) {
      v.q0 = p.loadUnaligned(as: UInt64.self)
      v.q1 = p.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
      v.q2 = p.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
      v.q3 = p.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
      return v
    }
    try checkAlignment(a, 32)
    v.q0 = try slowLoad(currentTLB, a, 8)
    v.q1 = try slowLoad(currentTLB, wrap(a &+ 8), 8)
    v.q2 = try slowLoad(currentTLB, wrap(a &+ 16), 8)
    v.q3 = try slowLoad(currentTLB, wrap(a &+ 24), 8)
    return v
  }

  public func store256(_ seg: SegmentRegister, _ offset: UInt64, _ v: Vector256, aligned: Bool) throws(Fault) {
    let a = try linear(seg, offset, size: 32, write: true)
    if aligned, a & 31 != 0 { throw .generalProtection() }
    try checkAlignment(a, 32)
    try probe(a, 32, .write)
    try storeLinear(a, v.q0)
    try storeLinear(wrap(a &+ 8), v.q1)
    try storeLinear(wrap(a &+ 16), v.q2)
    try storeLinear(wrap(a &+ 24), v.q3)
  }

  @inline(__always)
  private func checkAlignment(_ linear: UInt64, _ size: Int) throws(Fault) {
    if checksAlignment, linear & UInt64(size - 1) != 0 { throw .alignment }
  }

  /// Raises the faults that an access to `count` bytes would raise; touches nothing but A and D bits.
  private func probe(_ linear: UInt64, _ count: Int, _ access: Access) throws(Fault) {
    if count == 0 { return }
    var page = linear & ~0xFFF
    let last = (linear &+ UInt64(count) &- 1) & ~0xFFF
    while true {
      let a = page == linear & ~0xFFF ? linear : wrap(page)
      let hit = access == .write ? hostForWrite(s.pointee.tlb, a, 1) != nil : hostForRead(s.pointee.tlb, a, 1) != nil
      if !hit { _ = try fillTLB(currentTLB, a, access) }
      if page == last { return }
      page = page &+ 4096
    }
  }

  public func checkWrite(_ seg: SegmentRegister, _ offset: UInt64, size: Int) throws(Fault) {
    let a = try linear(seg, offset, size: size, write: true)
    if size <= 8 { try checkAlignment(a, size) }
    try probe(a, size, .write)
  }

  public func checkRead(_ seg: SegmentRegister, _ offset: UInt64, size: Int) throws(Fault) {
    let a = try linear(seg, offset, size: size, write: false)
    try probe(a, size, .read)
  }

  /// Copies into guest memory; all faults come before the first byte.
  public func storeBytes(_ seg: SegmentRegister, _ offset: UInt64, _ source: UnsafeMutableRawPointer, count: Int) throws(Fault) {
    let a = try linear(seg, offset, size: count, write: true)
    try probe(a, count, .write)
    for k in 0..<count {
      try storeLinear(wrap(a &+ UInt64(k)), source.load(fromByteOffset: k, as: UInt8.self))
    }
  }

  // MARK: Implicit supervisor accesses (descriptor tables, TSS, stacks of handlers)

  @inline(__always)
  private func loadSystem<T: FixedWidthInteger>(_ linear: UInt64, as: T.Type) throws(Fault) -> T {
    let size = MemoryLayout<T>.size
    if let p = hostForRead(tlbs.base(TLBSet.supervisor), linear, size) { return p.loadUnaligned(as: T.self) }
    return T(truncatingIfNeeded: try slowLoad(TLBSet.supervisor, linear, size, system: true))
  }

  @inline(__always)
  private func storeSystem<T: FixedWidthInteger>(_ linear: UInt64, _ value: T) throws(Fault) {
    let size = MemoryLayout<T>.size
    if let p = hostForWrite(tlbs.base(TLBSet.supervisor), linear, size) {
      p.storeBytes(of: value, as: T.self)
      return
    }
    try slowStore(TLBSet.supervisor, linear, UInt64(truncatingIfNeeded: value), size, system: true)
  }

  /// Host address of a frame on the stack of the current ring that lies on one page and can be read in the fast way, or nil.
  @inline(__always)
  func stackFrame(_ linear: UInt64, size: Int) -> UnsafeMutableRawPointer? { hostForRead(s.pointee.tlb, linear, size) }

  /// Host address of a frame to be written with the rights of a TLB, likewise.
  @inline(__always)
  func newStackFrame(_ tlb: Int, _ linear: UInt64, size: Int) -> UnsafeMutableRawPointer? {
    hostForWrite(tlbs.base(tlb), linear, size)
  }

  public func loadSystem8(_ linear: UInt64) throws(Fault) -> UInt8 { try loadSystem(linear, as: UInt8.self) }
  public func loadSystem16(_ linear: UInt64) throws(Fault) -> UInt16 { try loadSystem(linear, as: UInt16.self) }
  public func loadSystem32(_ linear: UInt64) throws(Fault) -> UInt32 { try loadSystem(linear, as: UInt32.self) }
  public func loadSystem64(_ linear: UInt64) throws(Fault) -> UInt64 { try loadSystem(linear, as: UInt64.self) }
  public func storeSystem8(_ linear: UInt64, _ value: UInt8) throws(Fault) { try storeSystem(linear, value) }
  public func storeSystem16(_ linear: UInt64, _ value: UInt16) throws(Fault) { try storeSystem(linear, value) }
  public func storeSystem32(_ linear: UInt64, _ value: UInt32) throws(Fault) { try storeSystem(linear, value) }
  public func storeSystem64(_ linear: UInt64, _ value: UInt64) throws(Fault) { try storeSystem(linear, value) }

  // MARK: Bulk access of string instructions

  /// Host address of [linear, linear + count) if that is one page of plain memory with the right permissions;
  /// nil means element by element.
  @inline(__always)
  func bulkRead(_ linear: UInt64, _ count: Int) -> UnsafeMutableRawPointer? {
    hostForRead(s.pointee.tlb, linear, count)
  }

  @inline(__always)
  func bulkWrite(_ linear: UInt64, _ count: Int) -> UnsafeMutableRawPointer? {
    hostForWrite(s.pointee.tlb, linear, count)
  }
}
