import Processor
import X86
import XenABI

/// VCPUOP_initialise of a processor with page tables of its own (hvm/hvm_vcpu.h, struct vcpu_hvm_context). The other way to start one is
/// by INIT and start-up messages, as on hardware.
extension VCPU {
  func initialiseHVM(from caller: VCPU, _ at: UInt64) throws(XenError) {
    if isInitialised { throw .EEXIST }
    var r = Fields(vcpu: caller, at: at)
    let mode = try r.next(UInt32.self)
    _ = try r.next(UInt32.self)
    var first = HVMFirstState()
    switch mode {
    case 0: try first.read32(&r)
    case 1: try first.read64(&r)
    default: throw .EINVAL
    }
    processor.reset()
    try first.enter(self)
    isInitialised = true
  }

  /// Fields of a structure whose layout is the same for guests of both widths.
  fileprivate struct Fields {
    let vcpu: VCPU
    var at: UInt64

    mutating func next<T: FixedWidthInteger>(_: T.Type) throws(XenError) -> T {
      let value = try vcpu.load(at, as: T.self)
      at &+= UInt64(MemoryLayout<T>.size)
      return value
    }
  }
}

/// The registers such a processor begins with.
private struct HVMFirstState {
  var registers = [UInt64](repeating: 0, count: 8)
  var rip: UInt64 = 0, rflags: UInt64 = 0
  var cr0: UInt64 = 0, cr3: UInt64 = 0, cr4: UInt64 = 0, efer: UInt64 = 0
  /// CS, DS, SS, ES, TR; nil for those of 64-bit mode.
  var segments: [(base: UInt32, limit: UInt32, attributes: UInt16)]?

  mutating func read32(_ r: inout VCPU.Fields) throws(XenError) {
    for n in 0..<8 { registers[n] = UInt64(try r.next(UInt32.self)) }
    rip = UInt64(try r.next(UInt32.self))
    rflags = UInt64(try r.next(UInt32.self))
    cr0 = UInt64(try r.next(UInt32.self))
    cr3 = UInt64(try r.next(UInt32.self))
    cr4 = UInt64(try r.next(UInt32.self))
    _ = try r.next(UInt32.self)
    efer = try r.next(UInt64.self)
    var bases: [UInt32] = [], limits: [UInt32] = [], attributes: [UInt16] = []
    for _ in 0..<5 { bases.append(try r.next(UInt32.self)) }
    for _ in 0..<5 { limits.append(try r.next(UInt32.self)) }
    for _ in 0..<5 { attributes.append(try r.next(UInt16.self)) }
    segments = (0..<5).map { (bases[$0], limits[$0], attributes[$0]) }
    // Code, writable data and an active TSS, present, of ring 0.
    for n in 0..<5 {
      let a = attributes[n]
      if a & 0xF000 != 0 { throw .EINVAL }
      if a == 0, n == 1 || n == 3 { continue }
      guard a & 0x80 != 0, a & 0x60 == 0, (a & 0x10 != 0) == (n != 4) else { throw .EINVAL }
      switch n {
      case 0: if a & 8 == 0 { throw .EINVAL }
      case 4: if a & 15 != 11 && a & 15 != 3 { throw .EINVAL }
      default: if a & 8 != 0 || a & 2 == 0 { throw .EINVAL }
      }
    }
    if rip > UInt64(limits[0]) { throw .EINVAL }
  }

  mutating func read64(_ r: inout VCPU.Fields) throws(XenError) {
    for n in 0..<8 { registers[n] = try r.next(UInt64.self) }
    rip = try r.next(UInt64.self)
    rflags = try r.next(UInt64.self)
    cr0 = try r.next(UInt64.self)
    cr3 = try r.next(UInt64.self)
    cr4 = try r.next(UInt64.self)
    efer = try r.next(UInt64.self)
    guard cr0 & CR0.PG != 0, cr4 & CR4.PAE != 0, efer & EFER.LME != 0, XenLayout.isCanonical(rip) else { throw .EINVAL }
  }

  /// Loads everything as instructions would, so that nothing impossible is accepted.
  func enter(_ v: VCPU) throws(XenError) {
    let cpu = v.cpu, s = cpu.s
    if rflags & RFLAGS.VM != 0 || rflags & ~0x3F_7FD7 != 0 { throw .EINVAL }
    s.pointee.activity = .running
    do throws(Fault) {
      try cpu.setCR0(CR0.PE | CR0.ET)
      cpu.enterFlat(cs: 8, ss: 16, long: false)
      try cpu.setEFER(efer & ~EFER.LMA)
      try cpu.setCR4(cr4)
      try cpu.setCR3(cr3)
      try cpu.setCR0(cr0 | CR0.ET)
    } catch {
      v.processor.reset()
      throw .EINVAL
    }
    if s.pointee.cr0 & CR0.PE == 0 { throw .EINVAL }
    if let segments {
      for (n, c) in [s.pointee.cs, s.pointee.ds, s.pointee.ss, s.pointee.es, s.pointee.tr].enumerated() {
        var cache = c
        let (base, limit, a) = segments[n]
        cache.base = UInt64(base)
        cache.limit = limit
        // Attributes have their upper four bits at 12 here.
        cache.attributes = (a & 0xFF) | (a & 0xF00) << 4
        cache.usable = a & 0x80 != 0
        switch n {
        case 0: s.pointee.cs = cache
        case 1: s.pointee.ds = cache
        case 2: s.pointee.ss = cache
        case 3: s.pointee.es = cache
        default: s.pointee.tr = cache
        }
      }
    } else {
      cpu.enterFlat(cs: 8, ss: 16, long: true)
      s.pointee.ds = s.pointee.ss
      s.pointee.es = s.pointee.ss
      s.pointee.tr.limit = 0x67
    }
    for n in 0..<8 as Range<UInt8> { cpu.setGPR(n, registers[Int(n)]) }
    cpu.setRIP(rip)
    cpu.setRFLAGS(rflags)
    s.pointee.mtrrDefType = 0x806
    cpu.updateMode()
    cpu.updateVectorsEnabled()
  }
}
