import X86
import X86Decoder

/// A stack that is being written while RSP and SS still have their old values: the frames of far calls, interrupts and exceptions
/// are pushed completely before any register changes, so that a fault on the way leaves the processor as it was.
struct StackCursor {
  let cpu: CPU
  var segment: SegmentCache
  /// The stack pointer, all 64 bits.
  var pointer: UInt64
  /// Width in bytes of the stack pointer: 2, 4, 8.
  let width: UInt8
  let tlb: Int
  /// Error code of the #SS that a violation of the segment's limit raises.
  let faultCode: UInt32

  /// The stack in use.
  init(current cpu: CPU) {
    self.cpu = cpu
    segment = cpu.s.pointee.ss
    pointer = cpu.s.pointee.rsp
    width = cpu.s.pointee.stackSize
    tlb = cpu.currentTLB
    faultCode = 0
  }

  /// A stack of an inner ring, outside 64-bit mode.
  init(_ cpu: CPU, segment: SegmentCache, pointer: UInt64, faultCode: UInt32) {
    self.cpu = cpu
    self.segment = segment
    self.pointer = pointer
    width = segment.big ? 4 : 2
    // CPL is that of the inner ring for these accesses; RFLAGS.AC still has its old value.
    tlb = segment.dpl == 3 ? cpu.userTLB : cpu.supervisorTLB
    self.faultCode = faultCode
  }

  /// A stack of 64-bit mode at privilege `cpl`.
  init(_ cpu: CPU, pointer64: UInt64, cpl: UInt8) {
    self.cpu = cpu
    segment = cpu.s.pointee.ss
    pointer = pointer64
    width = 8
    tlb = cpl == 3 ? cpu.userTLB : cpu.supervisorTLB
    faultCode = 0
  }

  mutating func push(_ value: UInt64, size: UInt8) throws(Fault) {
    var offset = pointer &- UInt64(size)
    let linear: UInt64
    if width == 8 {
      if !cpu.isCanonical(offset) || !cpu.isCanonical(offset &+ UInt64(size) &- 1) { throw .stack(faultCode) }
      linear = offset
      pointer = offset
    } else {
      let mask: UInt64 = width == 4 ? 0xFFFF_FFFF : 0xFFFF
      offset &= mask
      let last = offset &+ UInt64(size) &- 1
      if segment.expandDown, cpu.s.pointee.protectedMode || cpu.s.pointee.v86 {
        if offset <= UInt64(segment.limit) || last > (segment.big ? 0xFFFF_FFFF : 0xFFFF) { throw .stack(faultCode) }
      } else if last > UInt64(segment.limit) {
        throw .stack(faultCode)
      }
      linear = (segment.base &+ offset) & 0xFFFF_FFFF
      pointer = width == 2 ? (pointer & ~0xFFFF) | offset : offset
    }
    try cpu.storeWith(tlb, linear, value, size)
  }
}

extension CPU {
  /// The TLB of an explicit supervisor access.
  @inline(__always)
  var supervisorTLB: Int {
    s.pointee.systemFlags & RFLAGS.AC != 0 ? TLBSet.supervisorAC : TLBSet.supervisor
  }

  /// Stores with given rights instead of those of the current instruction.
  @inline(__always)
  func storeWith(_ tlb: Int, _ linear: UInt64, _ value: UInt64, _ size: UInt8) throws(Fault) {
    if tlb == TLBSet.supervisor {
      switch size {
      case 2: try storeSystem16(linear, UInt16(truncatingIfNeeded: value))
      case 4: try storeSystem32(linear, UInt32(truncatingIfNeeded: value))
      default: try storeSystem64(linear, value)
      }
    } else {
      try slowStore(tlb, linear, value, Int(size), system: true)
    }
  }
}
