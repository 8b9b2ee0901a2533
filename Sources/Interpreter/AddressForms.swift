import Processor
import X86Decoder

/// How a handler computes the linear address of its memory operand. Each memory handler exists once for each form.
protocol AddressForm: SendableMetatype {
  static func address(_ cpu: CPU, _ op: OperationPointer) -> UInt64
}

/// `[base + displacement]` in a flat segment. No base is register 16, which is zero.
enum BaseForm: AddressForm {
  @inline(__always)
  static func address(_ cpu: CPU, _ op: OperationPointer) -> UInt64 {
    (cpu.get(op.pointee.base, as: UInt64.self) &+ UInt64(bitPattern: Int64(op.pointee.displacement)))
      & cpu.s.pointee.addressMask
  }
}

/// `[base + index * scale + displacement]` in a flat segment.
enum IndexForm: AddressForm {
  @inline(__always)
  static func address(_ cpu: CPU, _ op: OperationPointer) -> UInt64 {
    (cpu.get(op.pointee.base, as: UInt64.self)
      &+ (cpu.get(op.pointee.index, as: UInt64.self) &* UInt64(op.pointee.scale))
      &+ UInt64(bitPattern: Int64(op.pointee.displacement))) & cpu.s.pointee.addressMask
  }
}

/// RIP-relative: the displacement is relative to the start of the page being executed.
enum RelativeForm: AddressForm {
  @inline(__always)
  static func address(_ cpu: CPU, _ op: OperationPointer) -> UInt64 {
    cpu.s.pointee.codeBias &+ UInt64(bitPattern: Int64(op.pointee.displacement))
  }
}

/// Any address in a segment that has a base or a limit, or FS/GS. An offset that needs checks turns into
/// an address that no TLB entry matches, so that the access takes the slow path and is executed with all checks.
enum SegmentForm: AddressForm {
  /// Not canonical, so never in a TLB.
  static var unchecked: UInt64 { 1 &<< 62 }

  @inline(__always)
  static func address(_ cpu: CPU, _ op: OperationPointer) -> UInt64 {
    let offset = (cpu.get(op.pointee.base, as: UInt64.self)
      &+ (cpu.get(op.pointee.index, as: UInt64.self) &<< UInt64(op.pointee.scale & 3))
      &+ UInt64(bitPattern: Int64(op.pointee.displacement))) & cpu.s.pointee.addressMask
    let segment = cpu.base + MemoryLayout<CPUState>.offset(of: \.es)! + (Int(op.pointee.scale &>> 4) &* MemoryLayout<SegmentCache>.stride)
    let cache = segment.assumingMemoryBound(to: SegmentCache.self)
    if offset >= cache.pointee.fastLimit { return unchecked }
    // Outside 64-bit mode linear addresses have 32 bits; real-mode sums stay below that.
    return (offset &+ cache.pointee.base) & (cpu.s.pointee.addressMask | 0xFFFF_FFFF)
  }
}
