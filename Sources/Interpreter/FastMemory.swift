import Platform
import Processor
import X86Decoder

/// Memory access of handlers: one comparison in the TLB decides between a host access and the slow path.
extension CPU {
  /// Distance of an address from the read tag of its TLB entry; above 4096 − size is a miss or a page crossing.
  @inline(__always)
  func readDistance(_ linear: UInt64) -> UInt64 {
    linear &- (s.pointee.tlb + DataTLB.offset(linear)).load(as: UInt64.self)
  }

  @inline(__always)
  func writeDistance(_ linear: UInt64) -> UInt64 {
    linear &- (s.pointee.tlb + DataTLB.offset(linear)).load(fromByteOffset: DataTLB.writeTag, as: UInt64.self)
  }

  /// Host address after a hit.
  @inline(__always)
  func host(_ linear: UInt64, _ distance: UInt64) -> UnsafeMutableRawPointer {
    let page = (s.pointee.tlb + DataTLB.offset(linear)).load(fromByteOffset: DataTLB.host, as: UInt.self)
    return UnsafeMutableRawPointer(bitPattern: page &+ UInt(distance)).unsafelyUnwrapped
  }

  @inline(__always)
  func loadHost<T: Width>(_ linear: UInt64, _ distance: UInt64, as: T.Type) -> T {
    host(linear, distance).loadUnaligned(as: T.self)
  }

  @inline(__always)
  func storeHost<T: Width>(_ linear: UInt64, _ distance: UInt64, _ value: T) {
    host(linear, distance).storeBytes(of: value, as: T.self)
  }

  @inline(__always)
  var stack: UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(bitPattern: s.pointee.stackHost).unsafelyUnwrapped
  }

  /// PUSH on the stack page; false, with the address in `missAddress`, where that page does not reach.
  @inline(__always)
  func push<T: Width>(_ value: T) -> Bool {
    let sp = get(4, as: T.self) &- T(truncatingIfNeeded: T.bitWidth / 8)
    let address = UInt64(truncatingIfNeeded: sp)
    let distance = address &- s.pointee.stackTag
    if distance >= s.pointee.stackSpan {
      s.pointee.missAddress = address
      return false
    }
    (stack + Int(truncatingIfNeeded: distance)).storeBytes(of: value, as: T.self)
    set(4, sp)
    return true
  }

  /// The slot of the stack page that a stack pointer points to; nil, with the address in `missAddress`, where that page does not reach.
  @inline(__always)
  func stackSlot<T: Width>(at sp: T) -> T? {
    let address = UInt64(truncatingIfNeeded: sp)
    let distance = address &- s.pointee.stackTag
    if distance >= s.pointee.stackSpan {
      s.pointee.missAddress = address
      return nil
    }
    return (stack + Int(truncatingIfNeeded: distance)).loadUnaligned(as: T.self)
  }
}

extension Width {
  /// Largest distance at which an access of this width stays on its page.
  @inline(__always)
  static var limit: UInt64 { UInt64(truncatingIfNeeded: 4096 &- Self.bitWidth / 8) }
}

/// Slow paths of memory handlers. `missAddress` holds the linear address. They fill the TLB and dispatch the same operation again,
/// or execute the instruction outside the chain when the fast path can never do it: a fault, a device, a
/// page crossing, a watched page, a store over decoded code.
///
/// The optimiser merges the four into one function with a parameter for what differs. That must be one thing: with two the last would be passed on
/// the host's stack, the calls would not be jumps, and the stack would grow with every miss until the chain is left.
enum Miss {
  private enum Kind { case read, write, push, pop }

  @inline(never)
  static func read(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if fill(cpu, kind: .read) { return handler(of: op)(cpu, op, n, fr, fa) }
    return Outside.retry(cpu, op, n, fr, fa)
  }

  @inline(never)
  static func write(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if fill(cpu, kind: .write) { return handler(of: op)(cpu, op, n, fr, fa) }
    return Outside.retry(cpu, op, n, fr, fa)
  }

  /// A push.
  @inline(never)
  static func stack(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if fill(cpu, kind: .push) { return handler(of: op)(cpu, op, n, fr, fa) }
    return Outside.retry(cpu, op, n, fr, fa)
  }

  /// A pop: it may use the entry of a page that can be written, but not make the page dirty.
  @inline(never)
  static func stackRead(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if fill(cpu, kind: .pop) { return handler(of: op)(cpu, op, n, fr, fa) }
    return Outside.retry(cpu, op, n, fr, fa)
  }

  @inline(never)
  private static func fill(_ cpu: CPU, kind: Kind) -> Bool {
    switch kind {
    case .read: return fill(cpu, .read)
    case .write: return fill(cpu, .write)
    case .push: return fillStack(cpu, .write)
    case .pop: return fillStack(cpu, .read)
    }
  }

  /// True if the access is worth another try on the fast path.
  @inline(never)
  private static func fill(_ cpu: CPU, _ access: Access) -> Bool {
    let address = cpu.s.pointee.missAddress
    let page = address & ~0xFFF
    if hits(cpu, page, access) || isNearEnd(cpu, address) { return false }
    if cpu.s.pointee.tlb == cpu.s.pointee.tlbSet.base(TLBSet.none) { return false }
    if access == .write, cpu.codeStore(cpu.currentTLB, address) != nil { return false }
    let cr2 = cpu.s.pointee.cr2
    do {
      try cpu.fillTLB(cpu.currentTLB, address, access)
    } catch {
      // The instruction will raise its fault when it is executed with all checks, and maybe another one.
      cpu.s.pointee.cr2 = cr2
      return false
    }
    return hits(cpu, page, access)
  }

  /// Whether an access may reach beyond the canonical addresses or, outside 64-bit mode, beyond 4 GiB: it faults before any page is looked at.
  private static func isNearEnd(_ cpu: CPU, _ address: UInt64) -> Bool {
    if cpu.s.pointee.codeSize != .bits64 { return address > 0xFFFF_FFFF - 63 }
    return !cpu.isCanonical(address) || !cpu.isCanonical(address &+ 63)
  }

  private static func hits(_ cpu: CPU, _ page: UInt64, _ access: Access) -> Bool {
    let entry = cpu.s.pointee.tlb + DataTLB.offset(page)
    return entry.load(fromByteOffset: access == .write ? DataTLB.writeTag : DataTLB.readTag, as: UInt64.self) == page
  }

  @inline(never)
  private static func fillStack(_ cpu: CPU, _ access: Access) -> Bool {
    let address = cpu.s.pointee.missAddress
    let page = address & ~0xFFF
    // Stack slots have the width of the code size in fast handlers.
    let span = 4097 &- UInt64(cpu.s.pointee.codeSize.rawValue)
    if address & 0xFFF >= span { return false }
    if !hits(cpu, page, .write), !fill(cpu, access) || !hits(cpu, page, .write) { return false }
    cpu.s.pointee.stackTag = page
    cpu.s.pointee.stackHost = (cpu.s.pointee.tlb + DataTLB.offset(page)).load(fromByteOffset: DataTLB.host, as: UInt.self)
    cpu.s.pointee.stackSpan = span
    return true
  }
}
