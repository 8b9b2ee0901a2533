import Processor
import SoftFloat
import X86Decoder

/// VFMADD, VFMSUB, VFNMADD, VFNMSUB on the host, whose fused multiply-add is the right one by IEEE 754 on every host, once inexact is
/// flagged. `a`, `b` and the register `base` or memory are the three operands; `immediate` tells which are multiplied and which is
/// added (bits 0–1: 0 for 132, 1 for 213, 2 for 231), what is negated (bit 2: the product, 3: the addend), the format (bit 4: double)
/// and how many bytes are written (bits 8–15).
///
/// Two handlers only: those of different formats would be alike but for what they call, be merged by the optimiser, and lose their
/// tail calls.
enum FusedMultiplyAdd {
  @inline(__always)
  static func usable(_ cpu: CPU) -> Bool {
    VEX128Encoding.usable(cpu) && HostFloat.isUsable(mxcsr: cpu.s.pointee.mxcsr) && cpu.s.pointee.mxcsr & 0x20 != 0
  }

  @inline(__always)
  static func size(_ op: OperationPointer) -> UInt64 { UInt64(truncatingIfNeeded: op.pointee.immediate &>> 8) }

  /// False if a lane needs the generic method; nothing is changed then.
  @inline(never)
  static func execute(_ cpu: CPU, _ op: OperationPointer, _ third: UnsafeMutableRawPointer) -> Bool {
    op.pointee.immediate & 16 != 0 ? execute(cpu, op, third, Binary64.self) : execute(cpu, op, third, Binary32.self)
  }

  @inline(__always)
  private static func execute<F: HostFormat>(_ cpu: CPU, _ op: OperationPointer, _ third: UnsafeMutableRawPointer, _: F.Type) -> Bool {
    let own = cpu.vectorBytes(op.pointee.a), second = cpu.vectorBytes(op.pointee.b)
    let formula = op.pointee.immediate & 3
    let x = formula == 0 ? own : second
    let y = formula == 1 ? own : third
    let addend = formula == 0 ? second : formula == 1 ? third : own
    let size = Int(size(op))
    var result = (Half(), Half())
    let complete = withUnsafeMutableBytes(of: &result) { result in
      let result = result.baseAddress.unsafelyUnwrapped
      for offset in stride(from: 0, to: size, by: MemoryLayout<F.Bits>.size) {
        let r = HostFloat.tryFused(
          F(bits: x.loadUnaligned(fromByteOffset: offset, as: F.Bits.self)), F(bits: y.loadUnaligned(fromByteOffset: offset, as: F.Bits.self)),
          F(bits: addend.loadUnaligned(fromByteOffset: offset, as: F.Bits.self)),
          negateProduct: op.pointee.immediate & 4 != 0, negateAddend: op.pointee.immediate & 8 != 0)
        guard let r else { return false }
        result.storeBytes(of: r.bits, toByteOffset: offset, as: F.Bits.self)
      }
      own.copyMemory(from: result, byteCount: size)
      return true
    }
    if complete, size <= 16 { cpu.setHigh(op.pointee.a, Half()) }
    return complete
  }
}

enum Fused_Reg {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    if !FusedMultiplyAdd.usable(cpu) || !FusedMultiplyAdd.execute(cpu, op, cpu.vectorBytes(op.pointee.base)) {
      return Outside.executeFloat(cpu, op, n, fr, fa)
    }
    return Next.operation(cpu, op, n, fr, fa)
  }
}

enum Fused_Mem {
  static func run(_ cpu: CPU, _ op: OperationPointer, _ n: Int, _ fr: UInt64, _ fa: UInt64) {
    let address = IndexForm.address(cpu, op)
    if !FusedMultiplyAdd.usable(cpu) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    let distance = cpu.readDistance(address)
    if distance > 4096 &- FusedMultiplyAdd.size(op) {
      cpu.s.pointee.missAddress = address
      return Miss.read(cpu, op, n, fr, fa)
    }
    if !FusedMultiplyAdd.execute(cpu, op, cpu.host(address, distance)) { return Outside.executeFloat(cpu, op, n, fr, fa) }
    return Next.operation(cpu, op, n, fr, fa)
  }
}
