/// What a BIOS leaves in low memory for boots that have none: data areas that kernels still look at, and interrupt
/// vectors that lead somewhere. Boot code that asks the BIOS (Xen does, even when multiboot started it) is told that
/// there is no such service.
///
/// Not modelled: every service of INT 10h–1Ah but the equipment word and the memory size.
enum LegacyBIOS {
  /// Segment F000h, offset of the handlers.
  private static let handlerOffset: UInt16 = 0xE000
  private static let segment: UInt16 = 0xF000
  private static let conventionalKiB = UInt16(PhysicalLayout.ebda >> 10)

  static func write(to memory: BootMemory, serialPorts: [UInt16]) {
    writeDataAreas(memory, serialPorts: serialPorts)
    writeVectors(memory, equipment: equipment(serialPorts.count))
    // F000:FFF0, where a reboot jumps to: mov dx,CF9h; mov al,0Eh; out dx,al; hlt.
    memory.put([0xBA, 0xF9, 0x0C, 0xB0, 0x0E, 0xEE, 0xF4], at: 0xF_FFF0)
  }

  /// Floppy controller, x87, 80 × 25 colour, PS/2 mouse, serial ports.
  private static func equipment(_ serialPorts: Int) -> UInt16 { 0x0027 | UInt16(serialPorts) << 9 }

  /// The BIOS data area at 400h, the extended one below 640K.
  private static func writeDataAreas(_ memory: BootMemory, serialPorts: [UInt16]) {
    var area = ByteBuffer(count: 0x100)
    for (n, port) in serialPorts.prefix(4).enumerated() { area.set(port, at: n * 2) }
    area.set(UInt16(PhysicalLayout.ebda >> 4), at: 0x0E)
    area.set(equipment(serialPorts.count), at: 0x10)
    area.set(conventionalKiB, at: 0x13)
    area.set(UInt8(3), at: 0x49)
    area.set(UInt16(80), at: 0x4A)
    area.set(UInt16(0x1000), at: 0x4C)
    area.set(UInt16(0x0607), at: 0x60)
    area.set(UInt16(0x3D4), at: 0x63)
    area.set(UInt8(24), at: 0x84)
    area.set(UInt16(16), at: 0x85)
    memory.put(area, at: 0x400)
    // The first byte of the EBDA is its size in KiB.
    memory.put([1], at: PhysicalLayout.ebda)
  }

  private static func writeVectors(_ memory: BootMemory, equipment: UInt16) {
    var code = ByteBuffer()
    func handler(_ bytes: [UInt8]) -> UInt16 {
      let offset = handlerOffset + UInt16(code.count)
      code.put(bytes)
      return offset
    }
    let ignore = handler([0xCF])  // iret
    // Carry in the caller's flags: push bp; mov bp,sp; or byte [bp+6],1; pop bp; iret
    let carry: [UInt8] = [0x55, 0x89, 0xE5, 0x80, 0x4E, 0x06, 0x01, 0x5D, 0xCF]
    let unsupported = handler(carry)
    let noDisk = handler([0xB4, 0x01] + carry)  // mov ah,1: invalid function
    let noSystemService = handler([0xB4, 0x86] + carry)  // mov ah,86h: unsupported
    func constant(_ value: UInt16) -> UInt16 {  // mov ax,value; iret
      handler([0xB8, UInt8(truncatingIfNeeded: value), UInt8(value >> 8), 0xCF])
    }
    // Hardware interrupts are acknowledged: push ax; mov al,20h; (out A0h,al;) out 20h,al; pop ax; iret
    let master = handler([0x50, 0xB0, 0x20, 0xE6, 0x20, 0x58, 0xCF])
    let slave = handler([0x50, 0xB0, 0x20, 0xE6, 0xA0, 0xE6, 0x20, 0x58, 0xCF])
    var offsets = [UInt16](repeating: ignore, count: 256)
    for n in 0x08...0x0F { offsets[n] = master }
    for n in 0x70...0x77 { offsets[n] = slave }
    for n in 0x10...0x1A { offsets[n] = unsupported }
    offsets[0x11] = constant(equipment)
    offsets[0x12] = constant(conventionalKiB)
    offsets[0x13] = noDisk
    offsets[0x15] = noSystemService
    var table = ByteBuffer()
    for offset in offsets {
      table.put(offset)
      table.put(segment)
    }
    memory.put(table, at: 0)
    memory.put(code, at: UInt64(segment) << 4 + UInt64(handlerOffset))
  }
}
