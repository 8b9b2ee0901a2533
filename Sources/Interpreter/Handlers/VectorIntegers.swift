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

// MARK: SSSE3 to SSE4.2 and their kin

/// The nearest values within limits. Not generic: the compiler would not inline it everywhere.
@inline(__always)
private func clamped(_ x: SIMD8<Int16>, _ low: Int16, _ high: Int16) -> SIMD8<Int16> {
  let (low, high) = (SIMD8<Int16>(repeating: low), SIMD8<Int16>(repeating: high))
  let atLeast = x.replacing(with: low, where: x .< low)
  return atLeast.replacing(with: high, where: atLeast .> high)
}
@inline(__always)
private func clamped(_ x: SIMD4<Int32>, _ low: Int32, _ high: Int32) -> SIMD4<Int32> {
  let (low, high) = (SIMD4<Int32>(repeating: low), SIMD4<Int32>(repeating: high))
  let atLeast = x.replacing(with: low, where: x .< low)
  return atLeast.replacing(with: high, where: atLeast .> high)
}
@inline(__always)
private func clamped(_ x: SIMD8<Int32>, _ low: Int32, _ high: Int32) -> SIMD8<Int32> {
  let (low, high) = (SIMD8<Int32>(repeating: low), SIMD8<Int32>(repeating: high))
  let atLeast = x.replacing(with: low, where: x .< low)
  return atLeast.replacing(with: high, where: atLeast .> high)
}

// Loops over lanes in memory are no alternative: the compiler would guard the stack, and the handlers lose their tail calls.

enum PCMPEQQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: unsafeBitCast(a, to: SIMD2<Int64>.self) .== unsafeBitCast(b, to: SIMD2<Int64>.self))
  }
}
enum PCMPGTQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: unsafeBitCast(a, to: SIMD2<Int64>.self) .> unsafeBitCast(b, to: SIMD2<Int64>.self))
  }
}
enum PMINSDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.i32.replacing(with: b.i32, where: b.i32 .< a.i32))
  }
}
enum PMAXSDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.i32.replacing(with: b.i32, where: b.i32 .> a.i32))
  }
}
enum PMINUDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u32.replacing(with: b.u32, where: b.u32 .< a.u32))
  }
}
enum PMAXUDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u32.replacing(with: b.u32, where: b.u32 .> a.u32))
  }
}
enum PMINUWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u16.replacing(with: b.u16, where: b.u16 .< a.u16))
  }
}
enum PMAXUWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u16.replacing(with: b.u16, where: b.u16 .> a.u16))
  }
}
enum PMULLDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: a.u32 &* b.u32) }
}
enum PADDUSBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u8 &+ b.u8.replacing(with: ~a.u8, where: ~a.u8 .< b.u8))
  }
}
enum PADDUSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u16 &+ b.u16.replacing(with: ~a.u16, where: ~a.u16 .< b.u16))
  }
}
enum PSUBUSBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u8 &- b.u8.replacing(with: a.u8, where: a.u8 .< b.u8))
  }
}
enum PSUBUSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: a.u16 &- b.u16.replacing(with: a.u16, where: a.u16 .< b.u16))
  }
}
enum PADDSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let r = SIMD8<Int32>(truncatingIfNeeded: a.i16) &+ SIMD8<Int32>(truncatingIfNeeded: b.i16)
    return Half(lanes: SIMD8<Int16>(truncatingIfNeeded: clamped(r, -0x8000, 0x7FFF)))
  }
}
enum PSUBSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let r = SIMD8<Int32>(truncatingIfNeeded: a.i16) &- SIMD8<Int32>(truncatingIfNeeded: b.i16)
    return Half(lanes: SIMD8<Int16>(truncatingIfNeeded: clamped(r, -0x8000, 0x7FFF)))
  }
}
enum PAVGBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: (a.u8 | b.u8) &- ((a.u8 ^ b.u8) &>> 1)) }
}
enum PAVGWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: (a.u16 | b.u16) &- ((a.u16 ^ b.u16) &>> 1)) }
}
enum PMULHUWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let r = SIMD8<UInt32>(truncatingIfNeeded: a.u16) &* SIMD8<UInt32>(truncatingIfNeeded: b.u16)
    return Half(lanes: SIMD8<UInt16>(truncatingIfNeeded: r &>> 16))
  }
}
enum PMULHWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let r = SIMD8<Int32>(truncatingIfNeeded: a.i16) &* SIMD8<Int32>(truncatingIfNeeded: b.i16)
    return Half(lanes: SIMD8<Int16>(truncatingIfNeeded: r &>> 16))
  }
}
enum PMULHRSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let r = SIMD8<Int32>(truncatingIfNeeded: a.i16) &* SIMD8<Int32>(truncatingIfNeeded: b.i16)
    return Half(lanes: SIMD8<Int16>(truncatingIfNeeded: (r &>> 14 &+ 1) &>> 1))
  }
}
enum PMULDQOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let x = unsafeBitCast(a, to: SIMD2<Int64>.self), y = unsafeBitCast(b, to: SIMD2<Int64>.self)
    return Half(lanes: ((x &<< 32) &>> 32) &* ((y &<< 32) &>> 32))
  }
}
enum PABSBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: (b.i8 ^ (b.i8 &>> 7)) &- (b.i8 &>> 7)) }
}
enum PABSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: (b.i16 ^ (b.i16 &>> 15)) &- (b.i16 &>> 15)) }
}
enum PABSDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half { Half(lanes: (b.i32 ^ (b.i32 &>> 31)) &- (b.i32 &>> 31)) }
}
/// Sums of the products of neighbouring words.
enum PMADDWDOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    Half(lanes: ((a.i32 &<< 16) &>> 16) &* ((b.i32 &<< 16) &>> 16) &+ (a.i32 &>> 16) &* (b.i32 &>> 16))
  }
}
/// Saturated sums of the products of neighbouring bytes, unsigned in the first source and signed in the second.
enum PMADDUBSWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    // No product leaves 16 bits, only their sum.
    let even = (a.i16 & 0xFF) &* ((b.i16 &<< 8) &>> 8), odd = (a.i16 &>> 8 & 0xFF) &* (b.i16 &>> 8)
    let r = SIMD8<Int32>(truncatingIfNeeded: even) &+ SIMD8<Int32>(truncatingIfNeeded: odd)
    return Half(lanes: SIMD8<Int16>(truncatingIfNeeded: clamped(r, -0x8000, 0x7FFF)))
  }
}
/// Sums of the absolute differences of eight bytes each.
enum PSADBWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let greater = a.u8 .> b.u8
    let d = Half(lanes: (b.u8 &- a.u8).replacing(with: a.u8 &- b.u8, where: greater))
    let even = Half(repeating: 0x00FF_00FF_00FF_00FF)
    return (((d & even) &+ (d &>> 8 & even)) &* Half(repeating: 0x0001_0001_0001_0001)) &>> 48
  }
}
/// Bytes of the first source chosen by those of the second.
enum PSHUFBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let bytes = a.u8
    var result = Half()
    for half in 0..<2 {
      var numbers = b[half], word: UInt64 = 0
      for _ in 0..<8 {
        word = word &>> 8 | UInt64(bytes[Int(numbers & 15)]) &<< 56
        numbers &>>= 8
      }
      result[half] = word
    }
    return result & Half(lanes: ~(b.i8 &>> 7))
  }
}
/// 16 bytes of both sources, the second one low, from an offset on.
enum PALIGNROperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half {
    let offset = immediate & 0xFF
    if offset >= 32 { return Half() }
    if offset >= 16 { return offset == 16 ? a : PSRLDQOperation.apply(a, a, offset &- 16) }
    if offset == 0 { return b }
    return PSRLDQOperation.apply(b, b, offset) | PSLLDQOperation.apply(a, a, 16 &- offset)
  }
}
/// Four words of 64 bits by a byte of two-bit numbers.
@inline(__always)
private func shuffledWords(_ x: UInt64, _ immediate: Int32) -> UInt64 {
  let n = UInt64(truncatingIfNeeded: immediate)
  let w0 = x &>> ((n & 3) &* 16) & 0xFFFF, w1 = x &>> ((n &>> 2 & 3) &* 16) & 0xFFFF
  let w2 = x &>> ((n &>> 4 & 3) &* 16) & 0xFFFF, w3 = x &>> ((n &>> 6 & 3) &* 16) & 0xFFFF
  return w0 | w1 &<< 16 | w2 &<< 32 | w3 &<< 48
}
enum PSHUFLWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half { Half(shuffledWords(b[0], immediate), b[1]) }
}
enum PSHUFHWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _ immediate: Int32) -> Half { Half(b[0], shuffledWords(b[1], immediate)) }
}

// MARK: Packing: the lanes of the first source, then those of the second, saturated to half the width

enum PACKSSWBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let low = SIMD8<Int8>(truncatingIfNeeded: clamped(a.i16, -0x80, 0x7F)), high = SIMD8<Int8>(truncatingIfNeeded: clamped(b.i16, -0x80, 0x7F))
    return Half(unsafeBitCast(low, to: UInt64.self), unsafeBitCast(high, to: UInt64.self))
  }
}
enum PACKUSWBOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let low = SIMD8<UInt8>(truncatingIfNeeded: clamped(a.i16, 0, 0xFF)), high = SIMD8<UInt8>(truncatingIfNeeded: clamped(b.i16, 0, 0xFF))
    return Half(unsafeBitCast(low, to: UInt64.self), unsafeBitCast(high, to: UInt64.self))
  }
}
enum PACKSSDWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let low = SIMD4<Int16>(truncatingIfNeeded: clamped(a.i32, -0x8000, 0x7FFF)), high = SIMD4<Int16>(truncatingIfNeeded: clamped(b.i32, -0x8000, 0x7FFF))
    return Half(unsafeBitCast(low, to: UInt64.self), unsafeBitCast(high, to: UInt64.self))
  }
}
enum PACKUSDWOperation: VectorOperation {
  @inline(__always) static func apply(_ a: Half, _ b: Half, _: Int32) -> Half {
    let low = SIMD4<UInt16>(truncatingIfNeeded: clamped(a.i32, 0, 0xFFFF)), high = SIMD4<UInt16>(truncatingIfNeeded: clamped(b.i32, 0, 0xFFFF))
    return Half(unsafeBitCast(low, to: UInt64.self), unsafeBitCast(high, to: UInt64.self))
  }
}
