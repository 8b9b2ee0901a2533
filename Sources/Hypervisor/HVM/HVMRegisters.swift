import Processor
import X86
import XenABI

/// Model-specific registers that a hypervisor has for its guests, and the page of hypercalls (xen/include/public/arch-x86/cpuid.h, leaf 3).
extension VCPU {
  /// Writing the address of a page fills it with stubs; the low bits are its number, of which there is one.
  static let hypercallPageRegister: UInt32 = 0x4000_0000

  func readHVMRegister(_ index: UInt32) -> MSRAnswer {
    switch index {
    case 0x4000_0000...0x4000_01FF: index == Self.hypercallPageRegister ? .value(0) : .fault
    default: .own
    }
  }

  func writeHVMRegister(_ index: UInt32, _ value: UInt64) -> MSRAnswer {
    switch index {
    case Self.hypercallPageRegister:
      guard value & 0xFFF == 0, let hvm = domain.hvm, let frame = hvm.memory[GuestFrameNumber(value >> 12)],
            hvm.memory.kind(GuestFrameNumber(value >> 12)) == .ram else { return .fault }
      domain.latchWidth(is64Bit: cpu.s.pointee.longMode)
      HypercallPage.fill(frame, of: domain, call: [0x0F, 0x01, 0xC1])
      return .value(value)
    case 0x4000_0001...0x4000_01FF: return .fault
    default: return .own
    }
  }
}

extension Domain {
  /// A guest of its own kind may be 32 or 64 bits wide; the layout of what it shares with the hypervisor is decided by the mode in which
  /// it announces itself (Xen's "has_32bit_shinfo").
  func latchWidth(is64Bit: Bool) {
    if isCompat == !is64Bit { return }
    isCompat = !is64Bit
    layout = is64Bit ? .wide : .compat
    if fifo == nil { events.limit = layout.twoLevelPorts }
    writeWallClock()
  }

  /// The time of day at the guest's time 0, where the guest looks for it.
  func writeWallClock() {
    let start = Int64(clamping: hypervisor.wallClockAtStart) &* 1_000_000_000 &- Int64(bitPattern: timeOffset)
    let (seconds, nanoseconds) = start.quotientAndRemainder(dividingBy: 1_000_000_000)
    let whole = nanoseconds < 0 ? (seconds - 1, nanoseconds + 1_000_000_000) : (seconds, nanoseconds)
    shared.storeBytes(of: UInt32(2), toByteOffset: layout.wallClockVersion, as: UInt32.self)
    shared.storeBytes(of: UInt32(truncatingIfNeeded: whole.0), toByteOffset: layout.wallClockSeconds, as: UInt32.self)
    shared.storeBytes(of: UInt32(truncatingIfNeeded: whole.0 >> 32), toByteOffset: layout.wallClockSecondsHigh, as: UInt32.self)
    shared.storeBytes(of: UInt32(truncatingIfNeeded: whole.1), toByteOffset: layout.wallClockNanoseconds, as: UInt32.self)
  }
}
