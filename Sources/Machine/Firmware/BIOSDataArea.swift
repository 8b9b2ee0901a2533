/// What a BIOS leaves in low memory and kernels still look at: the BIOS data area at 400h and the extended one.
enum BIOSDataArea {
  static func write(to memory: BootMemory, serialPorts: [UInt16], hardDisks: UInt8) {
    var area = ByteBuffer(count: 0x100)
    for (n, port) in serialPorts.prefix(4).enumerated() { area.set(port, at: n * 2) }
    area.set(UInt16(PhysicalLayout.ebda >> 4), at: 0x0E)
    // Equipment: floppy controller, x87, 80 × 25 colour, PS/2 mouse, serial ports.
    area.set(UInt16(0x0027) | UInt16(serialPorts.count) << 9, at: 0x10)
    area.set(UInt16(PhysicalLayout.ebda >> 10), at: 0x13)
    area.set(UInt8(3), at: 0x49)
    area.set(UInt16(80), at: 0x4A)
    area.set(UInt16(0x1000), at: 0x4C)
    area.set(UInt16(0x0607), at: 0x60)
    area.set(UInt16(0x3D4), at: 0x63)
    area.set(hardDisks, at: 0x75)
    area.set(UInt8(24), at: 0x84)
    area.set(UInt16(16), at: 0x85)
    memory.put(area, at: 0x400)
    // The first byte of the EBDA is its size in KiB.
    memory.put([1], at: PhysicalLayout.ebda)
  }
}
