import Platform
import Processor
import XenABI

/// Memory of the guest by its linear addresses, as hypercalls name it: with the rights of the guest's kernel and its page tables.
extension VCPU {
  /// The processor's TLB has what the guest's kernel may reach.
  @inline(__always)
  private var usesKernelTLB: Bool { cpu.s.pointee.deprivileged }

  /// Host address of a byte and how many bytes from there lie on the same page.
  private func reach(_ linear: UInt64, _ access: Access) throws(XenError) -> (UnsafeMutableRawPointer, UInt64) {
    if usesKernelTLB, XenLayout.isGuest(linear), let p = cpu.cachedHost(deprivileged: linear, forWriting: access == .write) {
      return (p, 4096 - (linear & 0xFFF))
    }
    let physical: UInt64
    if hvm != nil {
      if !cpu.isCanonical(linear) { throw .EFAULT }
      let cr2 = cpu.s.pointee.cr2
      do throws(Fault) {
        physical = try cpu.translate(linear, access, user: false).physical
      } catch {
        // The guest sees nothing of it.
        cpu.s.pointee.cr2 = cr2
        throw .EFAULT
      }
    } else {
      if !domain.isCompat, !XenLayout.isGuest(linear) { throw .EFAULT }
      if domain.isCompat, linear >> 32 != 0 { throw .EFAULT }
      do throws(Fault) {
        physical = usesKernelTLB ? try cpu.fillTLB(TLBSet.deprivileged, linear, access)
          : try cpu.translate(linear, access, user: !domain.isCompat).physical
      } catch {
        throw .EFAULT
      }
    }
    guard let p = hypervisor.memory.host(physical, forWriting: access == .write) else { throw .EFAULT }
    if access == .write, hypervisor.memory.pageWord(physical) & PhysicalMemory.PageBits.noticed != 0 {
      hypervisor.memory.noteWrite(physical & ~0xFFF, size: 4096)
      cpu.s.pointee.exitRequest |= ExitRequest.codeChanged
    }
    return (p, 4096 - (physical & 0xFFF))
  }

  /// Copies from the guest; EFAULT where it may not read.
  func copyIn(_ linear: UInt64, _ destination: UnsafeMutableRawPointer, _ count: Int) throws(XenError) {
    var done = 0
    while done < count {
      let (p, room) = try reach(linear &+ UInt64(done), .read)
      let n = min(count - done, Int(room))
      (destination + done).copyMemory(from: p, byteCount: n)
      done += n
    }
  }

  /// Copies to the guest; EFAULT where it may not write.
  func copyOut(_ linear: UInt64, _ source: UnsafeRawPointer, _ count: Int) throws(XenError) {
    var done = 0
    while done < count {
      let (p, room) = try reach(linear &+ UInt64(done), .write)
      let n = min(count - done, Int(room))
      p.copyMemory(from: source + done, byteCount: n)
      done += n
    }
  }

  func load<T: FixedWidthInteger>(_ linear: UInt64, as: T.Type) throws(XenError) -> T {
    var value: T = 0
    let (p, room) = try reach(linear, .read)
    if room >= UInt64(MemoryLayout<T>.size) { return T(littleEndian: p.loadUnaligned(as: T.self)) }
    var failure: XenError?
    withUnsafeMutableBytes(of: &value) { bytes in
      do throws(XenError) { try copyIn(linear, bytes.baseAddress!, bytes.count) } catch { failure = error }
    }
    if let failure { throw failure }
    return T(littleEndian: value)
  }

  func store<T: FixedWidthInteger>(_ linear: UInt64, _ value: T) throws(XenError) {
    let (p, room) = try reach(linear, .write)
    if room >= UInt64(MemoryLayout<T>.size) {
      p.storeBytes(of: value.littleEndian, as: T.self)
      return
    }
    var failure: XenError?
    withUnsafeBytes(of: value.littleEndian) { bytes in
      do throws(XenError) { try copyOut(linear, bytes.baseAddress!, bytes.count) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Bytes of the guest's `unsigned long`.
  @inline(__always)
  var wordBytes: UInt64 { isCompatCall ? 4 : 8 }

  /// An `unsigned long` or a guest handle.
  func loadWord(_ linear: UInt64) throws(XenError) -> UInt64 {
    isCompatCall ? UInt64(try load(linear, as: UInt32.self)) : try load(linear, as: UInt64.self)
  }

  func storeWord(_ linear: UInt64, _ value: UInt64) throws(XenError) {
    if isCompatCall { try store(linear, UInt32(truncatingIfNeeded: value)) } else { try store(linear, value) }
  }

  func loadBytes(_ linear: UInt64, _ count: Int) throws(XenError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var failure: XenError?
    bytes.withUnsafeMutableBytes { b in
      do throws(XenError) { try copyIn(linear, b.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 8)!, count) } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }

  func storeBytes(_ linear: UInt64, _ bytes: [UInt8]) throws(XenError) {
    var failure: XenError?
    bytes.withUnsafeBytes { b in
      guard let base = b.baseAddress else { return }
      do throws(XenError) { try copyOut(linear, base, b.count) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

/// Fields of a structure in guest memory, one after the other with C's alignment; `unsigned long` and handles by the guest's width.
struct GuestReader {
  let vcpu: VCPU
  private(set) var address: UInt64

  init(_ vcpu: VCPU, _ address: UInt64) {
    self.vcpu = vcpu
    self.address = address
  }

  mutating func align(_ to: UInt64) { address = (address &+ to &- 1) & ~(to &- 1) }

  mutating func next<T: FixedWidthInteger>(_: T.Type) throws(XenError) -> T {
    // A 32-bit guest aligns 64-bit integers to 4 bytes.
    align(vcpu.isCompatCall ? min(UInt64(MemoryLayout<T>.size), 4) : UInt64(MemoryLayout<T>.size))
    let value = try vcpu.load(address, as: T.self)
    address &+= UInt64(MemoryLayout<T>.size)
    return value
  }

  mutating func word() throws(XenError) -> UInt64 {
    vcpu.isCompatCall ? UInt64(try next(UInt32.self)) : try next(UInt64.self)
  }
}
