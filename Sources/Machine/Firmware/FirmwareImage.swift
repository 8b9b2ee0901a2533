import Platform

/// A BIOS image: at the end of the first 4 GiB, with its last 128 KiB also below 1 MiB, where real mode starts it.
///
/// Segments of C0000–FFFFF that read the bus and write RAM (a BIOS copying itself) are answered here: reads come from
/// the ROM, writes go to RAM.
final class FirmwareImage: MemoryHandler {
  private let rom: UnsafeMutableRawPointer
  private let size: UInt64
  private unowned let memory: PhysicalMemory

  init(_ file: BootDescription.File, memory: PhysicalMemory) throws(MachineError) {
    let size = UInt64(file.bytes.count)
    guard size >= 0x1_0000, size <= 16 << 20, size % 0x1_0000 == 0 else {
      throw .badImage("\(file.name) is no BIOS image: its size is \(size), not a multiple of 64K up to 16M")
    }
    self.size = size
    self.memory = memory
    rom = memory.addMemory(at: PhysicalAddress(0x1_0000_0000 - size), size: size, writable: false)
    file.bytes.withUnsafeBytes { rom.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    memory.addHandler(self, at: PhysicalAddress(0xC_0000), size: 0x4_0000)
  }

  /// The part of the image that appears at `base` below 1 MiB, if it reaches that far down.
  func host(_ base: UInt64, size part: UInt64) -> UnsafeMutableRawPointer? {
    let distance = 0x10_0000 - base
    return distance <= min(size, 0x2_0000) ? rom + Int(size - distance) : nil
  }

  func readMemory(_ offset: UInt64, size part: Int) -> UInt64 {
    memory.read(0xFFFC_0000 + offset, size: part)
  }

  func writeMemory(_ offset: UInt64, _ value: UInt64, size part: Int) {
    guard let low = memory.blocks.first, low.base.rawValue == 0,
      let target = UnsafeMutableRawPointer(bitPattern: low.host &+ UInt(0xC_0000 + offset)) else { return }
    withUnsafeBytes(of: value.littleEndian) { target.copyMemory(from: $0.baseAddress!, byteCount: part) }
  }
}
