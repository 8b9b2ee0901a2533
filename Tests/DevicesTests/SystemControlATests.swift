import Platform
import Testing

@testable import Devices

@Suite struct SystemControlATests {
  @Test func port92DrivesA20AndReset() throws {
    let gate = A20Gate()
    var changes: [Bool] = []
    gate.onChange = { changes.append($0) }
    let device = SystemControlA(gate: gate)
    var resets: [ResetKind] = []
    device.onReset = { resets.append($0) }
    #expect(device.port92.in(0) == 2)
    device.port92.out(0, 0)
    #expect(!gate.isOpen && device.port92.in(0) == 0)
    device.port92.out(0, 2)
    #expect(changes == [false, true])
    device.port92.out(0, 3)
    device.port92.out(0, 3)
    #expect(resets == [.processor], "the edge resets")
    let other = SystemControlA(gate: A20Gate())
    device.port92.out(0, 0xC0)
    try transplant(device, to: other)
    #expect(other.port92.in(0) == 0xC0)
  }

  @Test func portCF9Resets() {
    let device = SystemControlA(gate: A20Gate())
    var resets: [ResetKind] = []
    device.onReset = { resets.append($0) }
    device.portCF9.out(0, 0x02)
    #expect(resets.isEmpty)
    device.portCF9.out(0, 0x06)
    #expect(resets == [.system])
    device.portCF9.out(0, 0x00)
    device.portCF9.out(0, 0x04)
    #expect(resets == [.system, .processor])
  }
}
