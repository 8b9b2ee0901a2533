import Processor
import X86Decoder

/// Packed integer and bitwise operations.

// MARK: Bitwise

enum PANDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { a & b }
}
enum PANDNOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { ~a & b }
}
enum POROperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { a | b }
}
enum PXOROperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { a ^ b }
}

// MARK: Comparison: all ones where it holds

enum PCMPEQBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.i8 .== b.i8) }
}
enum PCMPEQWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.i16 .== b.i16) }
}
enum PCMPEQDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.i32 .== b.i32) }
}
enum PCMPGTBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.i8 .> b.i8) }
}
enum PCMPGTWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.i16 .> b.i16) }
}
enum PCMPGTDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.i32 .> b.i32) }
}

// MARK: Arithmetic

enum PADDBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.u8 &+ b.u8) }
}
enum PADDWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.u16 &+ b.u16) }
}
enum PADDDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.u32 &+ b.u32) }
}
enum PADDQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { a &+ b }
}
enum PSUBBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.u8 &- b.u8) }
}
enum PSUBWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.u16 &- b.u16) }
}
enum PSUBDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.u32 &- b.u32) }
}
enum PSUBQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { a &- b }
}
enum PMINUBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u8.replacing(with: b.u8, where: b.u8 .< a.u8))
  }
}
enum PMAXUBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u8.replacing(with: b.u8, where: b.u8 .> a.u8))
  }
}
enum PMINSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.i16.replacing(with: b.i16, where: b.i16 .< a.i16))
  }
}
enum PMAXSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.i16.replacing(with: b.i16, where: b.i16 .> a.i16))
  }
}
enum PMULLWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.u16 &* b.u16) }
}
enum PMULUDQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    (a & Half(repeating: 0xFFFF_FFFF)) &* (b & Half(repeating: 0xFFFF_FFFF))
  }
}

// MARK: Unpacking and shuffling

enum PUNPCKLBWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    var r = SIMD16<UInt8>()
    r.evenHalf = a.u8.lowHalf
    r.oddHalf = b.u8.lowHalf
    return Half(lanes: r)
  }
}
enum PUNPCKLWDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    var r = SIMD8<UInt16>()
    r.evenHalf = a.u16.lowHalf
    r.oddHalf = b.u16.lowHalf
    return Half(lanes: r)
  }
}
/// PUNPCKLDQ, UNPCKLPS.
enum PUNPCKLDQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    var r = SIMD4<UInt32>()
    r.evenHalf = a.u32.lowHalf
    r.oddHalf = b.u32.lowHalf
    return Half(lanes: r)
  }
}
enum PUNPCKHBWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    var r = SIMD16<UInt8>()
    r.evenHalf = a.u8.highHalf
    r.oddHalf = b.u8.highHalf
    return Half(lanes: r)
  }
}
enum PUNPCKHWDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    var r = SIMD8<UInt16>()
    r.evenHalf = a.u16.highHalf
    r.oddHalf = b.u16.highHalf
    return Half(lanes: r)
  }
}
/// PUNPCKHDQ, UNPCKHPS.
enum PUNPCKHDQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    var r = SIMD4<UInt32>()
    r.evenHalf = a.u32.highHalf
    r.oddHalf = b.u32.highHalf
    return Half(lanes: r)
  }
}
/// PUNPCKHQDQ, UNPCKHPD.
enum PUNPCKHQDQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(a[1], b[1]) }
}
enum PSHUFDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    let n = Int(immediate)
    let x = b.u32
    return Half(lanes: SIMD4<UInt32>(x[n & 3], x[n &>> 2 & 3], x[n &>> 4 & 3], x[n &>> 6 & 3]))
  }
}
enum SHUFPSOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    let n = Int(immediate)
    let (x, y) = (a.u32, b.u32)
    return Half(lanes: SIMD4<UInt32>(x[n & 3], x[n &>> 2 & 3], y[n &>> 4 & 3], y[n &>> 6 & 3]))
  }
}
enum SHUFPDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    Half(a[Int(immediate & 1)], b[Int(immediate &>> 1 & 1)])
  }
}

// MARK: Shifts by a constant that is less than the lane's width; the source is `b`

enum PSLLWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    Half(lanes: b.u16 &<< SIMD8<UInt16>(repeating: UInt16(truncatingIfNeeded: immediate)))
  }
}
enum PSLLDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    Half(lanes: b.u32 &<< SIMD4<UInt32>(repeating: UInt32(truncatingIfNeeded: immediate)))
  }
}
enum PSLLQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    b &<< Half(repeating: UInt64(truncatingIfNeeded: immediate))
  }
}
enum PSRLWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    Half(lanes: b.u16 &>> SIMD8<UInt16>(repeating: UInt16(truncatingIfNeeded: immediate)))
  }
}
enum PSRLDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    Half(lanes: b.u32 &>> SIMD4<UInt32>(repeating: UInt32(truncatingIfNeeded: immediate)))
  }
}
enum PSRLQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    b &>> Half(repeating: UInt64(truncatingIfNeeded: immediate))
  }
}
enum PSRAWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    Half(lanes: b.i16 &>> SIMD8<Int16>(repeating: Int16(truncatingIfNeeded: immediate)))
  }
}
enum PSRADOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    Half(lanes: b.i32 &>> SIMD4<Int32>(repeating: Int32(truncatingIfNeeded: immediate)))
  }
}

// MARK: Byte shifts of 128 bits by 1 … 15

enum PSLLDQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    let n = UInt64(truncatingIfNeeded: immediate &* 8)
    let (l, h) = (b[0], b[1])
    return n < 64 ? Half(l &<< n, h &<< n | (l &>> 1) &>> (63 &- n)) : Half(0, l &<< n)
  }
}
enum PSRLDQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    let n = UInt64(truncatingIfNeeded: immediate &* 8)
    let (l, h) = (b[0], b[1])
    return n < 64 ? Half(l &>> n | (h &<< 1) &<< (63 &- n), h &>> n) : Half(h &>> n, 0)
  }
}
