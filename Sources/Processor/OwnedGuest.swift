import X86
import X86Decoder

/// What an owner that runs guests on a processor without their noticing (a hypervisor) does to it between instructions, besides what
/// `Observation` tells it. All of it may also be called from within `ExecutionObserver`'s questions, before they are answered.
extension CPU {
  /// Another root of the page tables, and whether CPL 3 is the guest's kernel there or one of its programs.
  ///
  /// Each keeps its translations while the other runs, so both roots must stay what they are; `flushTLB` forgets both.
  public func switchAddressSpace(root: UInt64, deprivileged: Bool) {
    s.pointee.cr3 = root
    s.pointee.deprivileged = deprivileged
    selectTLB()
  }

  /// Host address of a byte of linear memory with the rights of a paravirtual kernel, if the TLB has its page for such an access.
  @inline(__always)
  public func cachedHost(deprivileged linear: UInt64, forWriting: Bool) -> UnsafeMutableRawPointer? {
    let entry = tlbs.base(TLBSet.deprivileged) + DataTLB.offset(linear)
    let tag = entry.load(fromByteOffset: forWriting ? DataTLB.writeTag : DataTLB.readTag, as: UInt64.self)
    if tag != linear & ~0xFFF { return nil }
    return UnsafeMutableRawPointer(bitPattern: entry.load(fromByteOffset: DataTLB.host, as: UInt.self) &+ UInt(linear & 0xFFF))
  }

  /// Where execution goes on.
  public func setRIP(_ rip: UInt64) {
    s.pointee.rip = rip
    s.pointee.nextRIP = rip
  }

  /// Replaces RFLAGS; what follows from the new ones is noticed before the next instruction.
  public func setRFLAGS(_ flags: UInt64) {
    setStatusFlags(flags)
    s.pointee.systemFlags = (flags & RFLAGS.writable & ~RFLAGS.status) | 2
    s.pointee.exitRequest |= ExitRequest.event
    selectTLB()
  }

  /// Loads CS and SS with flat segments that are known to stand in the guest's descriptor table, and CPL with their privilege.
  /// - Parameters:
  ///   - cs: RPL is the privilege; `long` makes it 64-bit code, else 32-bit.
  public func enterFlat(cs: UInt16, ss: UInt16, long: Bool) {
    let ring = cs & 3
    loadFlat(.cs, cs, Flat.ring(long ? Flat.code64 : Flat.code32, ring))
    loadFlat(.ss, ss, Flat.ring(Flat.data, ring))
    s.pointee.cpl = UInt8(ring)
    updateMode()
  }

  /// Enters a guest as IRET of a 64-bit kernel at CPL 0 does, with all its checks; flags are `setRFLAGS`'s.
  /// - Throws: #GP, #NP, #SS or a page fault of the descriptor tables; nothing but CPL's code segment has changed then.
  public func returnOutward(cs: UInt16, rip: UInt64, ss: UInt16, rsp: UInt64) throws(Fault) {
    let cpl = s.pointee.cpl
    s.pointee.cpl = 0
    do throws(Fault) {
      var descriptor = try checkReturnCode(cs)
      try returnOutward(cs, &descriptor, offset: rip, ss, rsp: rsp)
    } catch {
      s.pointee.cpl = cpl
      throw error
    }
    s.pointee.rsp = rsp
    s.pointee.rip = s.pointee.nextRIP
  }

  /// Loads ES, DS, FS or GS as a kernel that restores a guest's selectors does: one that faults becomes null.
  /// - Returns: false if it did.
  public func restoreSegment(_ seg: SegmentRegister, _ selector: UInt16) -> Bool {
    do throws(Fault) {
      try loadSegment(seg, selector)
      return true
    } catch {
      loadNull(seg, 0)
      return false
    }
  }
}
