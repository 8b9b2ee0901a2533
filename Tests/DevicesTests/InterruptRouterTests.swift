import Platform
import Testing

@testable import Devices

@Suite struct InterruptRouterTests {
  @Test func linesReachBothControllers() {
    let clock = VirtualClock()
    let bus = APICBus()
    let apic = LocalAPIC(id: 0, bus: bus, clock: clock, isBootstrap: true)
    apic.writeMemory(0xF0, 0x1FF, size: 4)
    let ioapic = IOAPIC(bus: bus)
    for (input, vector) in [(2, UInt64(0x30)), (5, 0x35), (20, 0x44)] {
      ioapic.writeMemory(0, UInt64(0x10 + 2 * input), size: 4)
      ioapic.writeMemory(0x10, vector, size: 4)
    }
    let pic = PIC8259()
    let router = InterruptRouter(pic: pic, ioapic: ioapic)
    router.line(0).set(true)
    #expect(apic.acknowledge() == 0x30, "ISA line 0 is input 2")
    apic.writeMemory(0xB0, 0, size: 4)
    router.line(5).set(true)
    #expect(apic.acknowledge() == 0x35)
    #expect(pic.registers.irr == 0x21)
    router.line(20).set(true)
    #expect(apic.acknowledge() == 0x44)
    #expect(pic.registers.irr == 0x21)
  }
}
