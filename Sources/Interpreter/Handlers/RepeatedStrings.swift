import Processor
import X86
import X86Decoder

/// REP MOVS and REP STOS of up to a page, forwards in flat segments, as compilers and kernels copy and clear memory. Anything
/// else about them goes outside the chain.
///
/// Iterations count as instructions, so all but one are charged here.

/// `a` is the size of an element.
enum Rep_Movs {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let done = RepeatedStrings.move(cpu, size: Int(op.pointee.a), most: n &- Int(op.pointee.count) &+ 1)
    if done < 0 { return Outside.retry(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n &- max(done &- 1, 0), fr, fa)
  }
}

enum Rep_Stos<T: Width> {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    // The accumulator, repeated to eight bytes.
    let value = UInt64(truncatingIfNeeded: cpu.get(0, as: T.self)) &* (UInt64.max / UInt64(truncatingIfNeeded: T.max))
    let done = RepeatedStrings.fill(cpu, value, size: T.bitWidth / 8, most: n &- Int(op.pointee.count) &+ 1)
    if done < 0 { return Outside.retry(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n &- max(done &- 1, 0), fr, fa)
  }
}

enum RepeatedStrings {
  /// Number of bytes, or nil where the fast way is not for it.
  @inline(__always)
  private static func length(_ cpu: CPU, _ count: UInt64, _ size: Int, _ most: Int) -> Int? {
    if cpu.s.pointee.systemFlags & RFLAGS.DF != 0 || count > 4096 || Int(count) > most { return nil }
    let bytes = Int(count) &* size
    return bytes <= 4096 ? bytes : nil
  }

  /// Returns the iterations done, which is all of them, or −1.
  @inline(never)
  static func move(_ cpu: CPU, size: Int, most: Int) -> Int {
    let mask = cpu.s.pointee.addressMask
    let count = cpu.s.pointee.rcx & mask
    if count == 0 { return 0 }
    guard let bytes = length(cpu, count, size, most) else { return -1 }
    let source = cpu.s.pointee.rsi & mask, target = cpu.s.pointee.rdi & mask
    let from = cpu.readDistance(source), to = cpu.writeDistance(target)
    if from > UInt64(4096 &- bytes) || to > UInt64(4096 &- bytes) { return -1 }
    let first = cpu.host(source, from), other = cpu.host(target, to)
    // Onto what is still to be read: element by element then.
    if other > first, other < first + bytes { return -1 }
    other.copyMemory(from: first, byteCount: bytes)
    cpu.s.pointee.rcx = 0
    cpu.s.pointee.rsi = (source &+ UInt64(bytes)) & mask
    cpu.s.pointee.rdi = (target &+ UInt64(bytes)) & mask
    return Int(count)
  }

  @inline(never)
  static func fill(_ cpu: CPU, _ value: UInt64, size: Int, most: Int) -> Int {
    let mask = cpu.s.pointee.addressMask
    let count = cpu.s.pointee.rcx & mask
    if count == 0 { return 0 }
    guard let bytes = length(cpu, count, size, most) else { return -1 }
    let target = cpu.s.pointee.rdi & mask
    let to = cpu.writeDistance(target)
    if to > UInt64(4096 &- bytes) { return -1 }
    let host = cpu.host(target, to)
    var at = 0
    while at &+ 8 <= bytes {
      host.storeBytes(of: value, toByteOffset: at, as: UInt64.self)
      at &+= 8
    }
    var rest = value
    while at < bytes {
      host.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: at, as: UInt8.self)
      rest &>>= 8
      at &+= 1
    }
    cpu.s.pointee.rcx = 0
    cpu.s.pointee.rdi = (target &+ UInt64(bytes)) & mask
    return Int(count)
  }
}
