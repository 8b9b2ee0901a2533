import Platform
import Testing

@testable import Devices

@Suite struct FwCfgTests {
  let memory: PhysicalMemory = {
    let memory = PhysicalMemory(limit: 1 << 24)
    memory.addMemory(at: PhysicalAddress(0), size: 1 << 20)
    return memory
  }()

  private func read(_ device: FwCfg, _ key: UInt16, _ count: Int) -> [UInt8] {
    device.registers.writePort(0, UInt32(key), size: 2)
    return (0..<count).map { _ in device.registers.in(1) }
  }

  private func dma(_ device: FwCfg, control: UInt32, length: UInt32, to address: UInt64, at block: UInt64 = 0x1000) -> UInt32 {
    func put(_ offset: UInt64, _ value: UInt64, _ size: Int) {
      for i in 0..<size { memory.write(block + offset + UInt64(i), value >> UInt64(8 * (size - 1 - i)) & 0xFF, size: 1) }
    }
    put(0, UInt64(control), 4)
    put(4, UInt64(length), 4)
    put(8, address, 8)
    device.dma.writePort(0, UInt32(block >> 32).byteSwapped, size: 4)
    device.dma.writePort(4, UInt32(truncatingIfNeeded: block).byteSwapped, size: 4)
    return UInt32(truncatingIfNeeded: memory.read(block, size: 4)).byteSwapped
  }

  @Test func signatureAndNumbers() {
    let device = FwCfg(memory: memory)
    device.setItem(FwCfg.Key.processorCount, number: UInt16(4))
    #expect(read(device, 0, 6) == Array("QEMU".utf8) + [0, 0])
    #expect(read(device, 1, 1) == [3])
    #expect(read(device, 5, 3) == [4, 0, 0])
    #expect(read(device, 0x777, 2) == [0, 0])
    #expect(device.dma.readPort(0, size: 4).byteSwapped == 0x5145_4D55)
    #expect(device.dma.readPort(4, size: 4).byteSwapped == 0x2043_4647)
  }

  @Test func directoryListsFiles() {
    let device = FwCfg(memory: memory)
    device.addFile("etc/e820", [1, 2, 3])
    device.addFile("bootorder", Array("x".utf8))
    device.addFile("etc/e820", [9, 8])
    let bytes = read(device, FwCfg.Key.directory, 4 + 2 * 64)
    #expect(bytes[0..<4] == [0, 0, 0, 2])
    #expect(bytes[4..<12] == [0, 0, 0, 1, 0, 0x21, 0, 0])
    #expect(bytes[12..<22] == ArraySlice(Array("bootorder\0".utf8)))
    #expect(bytes[68..<76] == [0, 0, 0, 2, 0, 0x20, 0, 0])
    #expect(read(device, 0x20, 3) == [9, 8, 0])
  }

  @Test func dmaSelectsSkipsAndReads() {
    let device = FwCfg(memory: memory)
    device.addFile("big", (0..<10_000).map { UInt8(truncatingIfNeeded: $0) })
    #expect(dma(device, control: 0x20 << 16 | 8, length: 0, to: 0) == 0)
    #expect(dma(device, control: 4, length: 1000, to: 0) == 0)
    #expect(dma(device, control: 2, length: 8000, to: 0x2F00) == 0)
    #expect(memory.read(0x2F00, size: 1) == 1000 & 0xFF)
    #expect(memory.read(0x2F00 + 7999, size: 1) == 8999 & 0xFF)
    memory.write(0x8000 + 1500, 0xAA, size: 1)
    #expect(dma(device, control: 2, length: 2000, to: 0x8000) == 0)
    #expect(memory.read(0x8000 + 1500, size: 1) == 0, "zeroes after the end")
    #expect(dma(device, control: 0x20 << 16 | 8 | 2, length: 4, to: 0x9000) == 0)
    #expect(memory.read(0x9000, size: 4) == 0x0302_0100)
    #expect(dma(device, control: 16, length: 4, to: 0x9000) == 1, "items cannot be written")
    #expect(dma(device, control: 2, length: 4, to: 0xFF_0000) == 1, "no memory there")
  }

  @Test func stateSurvives() throws {
    let device = FwCfg(memory: memory)
    device.addFile("a", [1, 2, 3, 4])
    _ = read(device, 0x20, 2)
    let other = FwCfg(memory: memory)
    try transplant(device, to: other)
    #expect(other.registers.in(1) == 3)
    #expect(device.registers.in(1) == 3)
    other.addFile("a", [7])
    #expect(read(other, 0x20, 1) == [7])
  }
}
