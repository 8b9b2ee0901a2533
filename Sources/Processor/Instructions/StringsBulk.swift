import X86Decoder

/// Repeated string instructions a page at a time, where both sides are plain memory with an entry in the TLB.
///
/// Each function does what the same number of single elements would do, in order, and returns that number; 0 means that the
/// next element must go the long way (which raises its faults, reaches devices and fills the TLB).
extension CPU {
  /// How many of `most` elements from `offset` on lie within one page and one turn of the address size.
  @inline(__always)
  private func bulkSpan(_ run: StringRun, _ seg: SegmentRegister, _ offset: UInt64, _ most: Int, write: Bool) -> Int {
    let size = Int(run.size)
    guard let address = try? linear(seg, offset, size: size, write: write) else { return 0 }
    let inPage = Int(address & 0xFFF)
    if inPage &+ size > 4096 { return 0 }
    let room = run.backward ? inPage / size &+ 1 : (4096 &- inPage) / size
    let turn = run.backward ? offset / UInt64(size) &+ 1 : (run.mask &- offset) / UInt64(size)
    return min(most, room, Int(truncatingIfNeeded: min(turn, 4096)))
  }

  /// Host address of the lowest byte of `n` elements, `offset` being the first one processed.
  @inline(__always)
  private func bulkPointer(
    _ run: StringRun, _ seg: SegmentRegister, _ offset: UInt64, _ n: Int, write: Bool
  ) -> UnsafeMutableRawPointer? {
    let bytes = n &* Int(run.size)
    let lowest = run.backward ? offset &- UInt64(bytes &- Int(run.size)) : offset
    guard let address = try? linear(seg, lowest, size: bytes, write: write) else { return nil }
    return write ? bulkWrite(address, bytes) : bulkRead(address, bytes)
  }

  func bulkMove(_ run: StringRun, _ segment: SegmentRegister, _ most: Int) -> Int {
    var n = bulkSpan(run, segment, run.source, most, write: false)
    n = bulkSpan(run, .es, run.destination, n, write: true)
    if n < 2 { return 0 }
    guard let from = bulkPointer(run, segment, run.source, n, write: false),
      let to = bulkPointer(run, .es, run.destination, n, write: true)
    else { return 0 }
    HostStrings.move(to: to, from: from, count: n, size: Int(run.size), backward: run.backward)
    return n
  }

  func bulkFill(_ run: StringRun, _ value: UInt64, _ most: Int) -> Int {
    let n = bulkSpan(run, .es, run.destination, most, write: true)
    if n < 2 { return 0 }
    guard let to = bulkPointer(run, .es, run.destination, n, write: true) else { return 0 }
    HostStrings.fill(to, value, count: n, size: Int(run.size))
    return n
  }

  func bulkCompare(_ run: inout StringRun, _ segment: SegmentRegister, _ most: Int) -> Int {
    guard let whileEqual = run.continueWhileEqual, !run.backward else { return 0 }
    var n = bulkSpan(run, segment, run.source, most, write: false)
    n = bulkSpan(run, .es, run.destination, n, write: false)
    if n < 2 { return 0 }
    guard let a = bulkPointer(run, segment, run.source, n, write: false),
      let b = bulkPointer(run, .es, run.destination, n, write: false)
    else { return 0 }
    let size = Int(run.size)
    var k = HostStrings.prefix(a, b, count: n, size: size, whileEqual: whileEqual)
    run.ended = k < n
    if k == n { k = n &- 1 }
    let x = HostStrings.element(a, k, size), y = HostStrings.element(b, k, size)
    setFlagsSub(x &- y, x, run.size)
    return k &+ 1
  }

  func bulkScan(_ run: inout StringRun, _ a: UInt64, _ most: Int) -> Int {
    guard let whileEqual = run.continueWhileEqual, !run.backward else { return 0 }
    let n = bulkSpan(run, .es, run.destination, most, write: false)
    if n < 2 { return 0 }
    guard let b = bulkPointer(run, .es, run.destination, n, write: false) else { return 0 }
    let size = Int(run.size)
    var k = HostStrings.prefix(b, of: a, count: n, size: size, whileEqual: whileEqual)
    run.ended = k < n
    if k == n { k = n &- 1 }
    setFlagsSub(a &- HostStrings.element(b, k, size), a, run.size)
    return k &+ 1
  }
}

/// Element loops over host memory. Addresses need not be aligned.
private enum HostStrings {
  /// As `count` moves of single elements, including what overlapping ranges do to each other. Both pointers are to the lowest
  /// byte, whatever the direction.
  static func move(
    to: UnsafeMutableRawPointer, from: UnsafeMutableRawPointer, count: Int, size: Int, backward: Bool
  ) {
    let bytes = count &* size
    // Moving away from what is still to be read, or not overlapping at all: the order does not show.
    if to + bytes <= from || from + bytes <= to || (backward ? to >= from : to <= from) {
      to.copyMemory(from: from, byteCount: bytes)
      return
    }
    let distance = backward ? from - to : to - from
    if !backward, distance >= 32 {
      // Each piece is complete before it is read again.
      var done = 0
      while done < bytes {
        let piece = min(distance, bytes &- done)
        (to + done).copyMemory(from: from + done, byteCount: piece)
        done &+= piece
      }
      return
    }
    switch size {
    case 1: moveElements(to, from, count, backward, UInt8.self)
    case 2: moveElements(to, from, count, backward, UInt16.self)
    case 4: moveElements(to, from, count, backward, UInt32.self)
    default: moveElements(to, from, count, backward, UInt64.self)
    }
  }

  @inline(__always)
  private static func moveElements<T: FixedWidthInteger>(
    _ to: UnsafeMutableRawPointer, _ from: UnsafeMutableRawPointer, _ count: Int, _ backward: Bool, _: T.Type
  ) {
    for n in 0..<count {
      let at = (backward ? count &- 1 &- n : n) &* MemoryLayout<T>.size
      to.storeBytes(of: from.loadUnaligned(fromByteOffset: at, as: T.self), toByteOffset: at, as: T.self)
    }
  }

  static func fill(_ to: UnsafeMutableRawPointer, _ value: UInt64, count: Int, size: Int) {
    switch size {
    case 1: to.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: value), count: count)
    case 2: fillElements(to, UInt16(truncatingIfNeeded: value), count)
    case 4: fillElements(to, UInt32(truncatingIfNeeded: value), count)
    default: fillElements(to, value, count)
    }
  }

  @inline(__always)
  private static func fillElements<T: FixedWidthInteger>(_ to: UnsafeMutableRawPointer, _ value: T, _ count: Int) {
    for n in 0..<count { to.storeBytes(of: value, toByteOffset: n &* MemoryLayout<T>.size, as: T.self) }
  }

  static func element(_ p: UnsafeMutableRawPointer, _ n: Int, _ size: Int) -> UInt64 {
    switch size {
    case 1: return UInt64(p.load(fromByteOffset: n, as: UInt8.self))
    case 2: return UInt64(p.loadUnaligned(fromByteOffset: n &* 2, as: UInt16.self))
    case 4: return UInt64(p.loadUnaligned(fromByteOffset: n &* 4, as: UInt32.self))
    default: return p.loadUnaligned(fromByteOffset: n &* 8, as: UInt64.self)
    }
  }

  /// Number of leading pairs that are equal (or, with `whileEqual` false, unequal).
  static func prefix(
    _ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, count: Int, size: Int, whileEqual: Bool
  ) -> Int {
    switch size {
    case 1: return prefixElements(a, b, count, whileEqual, UInt8.self)
    case 2: return prefixElements(a, b, count, whileEqual, UInt16.self)
    case 4: return prefixElements(a, b, count, whileEqual, UInt32.self)
    default: return prefixElements(a, b, count, whileEqual, UInt64.self)
    }
  }

  @inline(__always)
  private static func prefixElements<T: FixedWidthInteger>(
    _ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, _ count: Int, _ whileEqual: Bool, _: T.Type
  ) -> Int {
    var n = 0
    while n < count {
      let at = n &* MemoryLayout<T>.size
      let equal = a.loadUnaligned(fromByteOffset: at, as: T.self) == b.loadUnaligned(fromByteOffset: at, as: T.self)
      if equal != whileEqual { break }
      n &+= 1
    }
    return n
  }

  /// Number of leading elements that are equal (or, with `whileEqual` false, unequal) to a value.
  static func prefix(
    _ p: UnsafeMutableRawPointer, of value: UInt64, count: Int, size: Int, whileEqual: Bool
  ) -> Int {
    switch size {
    case 1: return prefixElements(p, UInt8(truncatingIfNeeded: value), count, whileEqual)
    case 2: return prefixElements(p, UInt16(truncatingIfNeeded: value), count, whileEqual)
    case 4: return prefixElements(p, UInt32(truncatingIfNeeded: value), count, whileEqual)
    default: return prefixElements(p, value, count, whileEqual)
    }
  }

  @inline(__always)
  private static func prefixElements<T: FixedWidthInteger>(
    _ p: UnsafeMutableRawPointer, _ value: T, _ count: Int, _ whileEqual: Bool
  ) -> Int {
    var n = 0
    while n < count {
      let equal = p.loadUnaligned(fromByteOffset: n &* MemoryLayout<T>.size, as: T.self) == value
      if equal != whileEqual { break }
      n &+= 1
    }
    return n
  }
}
