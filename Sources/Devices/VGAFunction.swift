/// The VGA as a PCI function: the identity and base addresses of the Bochs/QEMU standard display.
///
/// Reference: QEMU, docs/specs/standard-vga.rst. PCI 1234:1111, BAR 0 frame buffer, BAR 2 registers (4 KiB): VGA
/// ports 3C0h–3DFh at 400h, DISPI registers at 500h.
///
/// Not modelled: EDID block (reads as all ones), the big-endian switch at 600h.

import Platform

public final class VGAFunction: PCIDevice {
  private let registers: RegisterWindow

  /// - Parameters:
  ///   - rom: host memory with a VGA BIOS for the expansion ROM, a power of two in size, or nil.
  public init(vga: VGA, rom: (host: UnsafeMutableRawPointer, size: UInt64)? = nil) {
    registers = RegisterWindow(vga: vga)
    super.init(name: "vga-pci", vendor: 0x1234, device: 0x1111, classCode: 0x030000, revision: 2,
               subsystemVendor: 0x1AF4, subsystem: 0x1100)
    defineBAR(0, size: UInt64(vga.frameBufferSize), region: .memory(vga.frameBuffer, writable: true), isPrefetchable: true)
    defineBAR(2, size: 0x1000, region: .registers(registers))
    if let rom { defineROM(size: rom.size, host: rom.host) }
  }

  private final class RegisterWindow: MemoryHandler {
    let vga: VGA
    init(vga: VGA) { self.vga = vga }

    func readMemory(_ offset: UInt64, size: Int) -> UInt64 {
      switch offset {
      case 0x400..<0x420:
        var value: UInt64 = 0
        for i in 0..<UInt64(size) where offset + i < 0x420 {
          value |= UInt64(vga.ports.readPort(UInt16(offset + i - 0x400 + 0x10), size: 1)) << (8 * i)
        }
        return value
      case 0x500..<0x516 where offset & 1 == 0:
        let saved = vga.dispi.index
        vga.dispi.index = UInt16(offset - 0x500) / 2
        defer { vga.dispi.index = saved }
        return UInt64(vga.dispi.read())
      default: return allOnes(size)
      }
    }

    func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int) {
      switch offset {
      case 0x400..<0x420:
        for i in 0..<UInt64(size) where offset + i < 0x420 {
          vga.ports.writePort(UInt16(offset + i - 0x400 + 0x10), UInt32(value >> (8 * i) & 0xFF), size: 1)
        }
      case 0x500..<0x516 where offset & 1 == 0 && size >= 2:
        let saved = vga.dispi.index
        vga.dispi.index = UInt16(offset - 0x500) / 2
        vga.writeDisplayInterface(UInt16(truncatingIfNeeded: value))
        vga.dispi.index = saved
      default: break
      }
    }
  }
}
