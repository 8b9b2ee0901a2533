import Interpreter
import Processor

/// What the processor reaches outside memory: ports, devices, interrupt requests.
final class CoreBus: ProcessorBus {
  struct Ports {
    var range: ClosedRange<UInt16>
    var read: PortReader?
    var write: PortWriter?
  }

  unowned(unsafe) var core: Core?
  var ports: [Ports] = []
  /// Vectors of requested interrupts, in order.
  var vectors: [UInt8] = []
  /// CR8 is its bits 7–4; nothing compares it with anything.
  var taskPriority: UInt8 = 0

  func clear() {
    vectors = []
    taskPriority = 0
    core?.virtual.setInterruptRequest(false)
  }

  private func handler(_ port: UInt16) -> Ports? { ports.first { $0.range.contains(port) } }

  func readPort(_ port: UInt16, size: Int) -> UInt32 {
    let ones: UInt32 = size >= 4 ? ~0 : 1 << UInt32(size * 8) - 1
    guard let core else { return ones }
    if let read = handler(port)?.read { return read(core, port, size) & ones }
    core.noteUnclaimed(PortAccess(port: port, size: size, isWrite: false, value: ones))
    return ones
  }

  func writePort(_ port: UInt16, _ value: UInt32, size: Int) {
    guard let core else { return }
    if let write = handler(port)?.write { return write(core, port, size, value) }
    core.noteUnclaimed(PortAccess(port: port, size: size, isWrite: true, value: value))
  }

  func readDevice(_ address: UInt64, size: Int) -> UInt64 {
    let ones: UInt64 = size >= 8 ? ~0 : 1 << UInt64(size * 8) - 1
    guard let core else { return ones }
    if let region = core.region(at: address), case .device(let read, _) = region.kind {
      return read(core, address - region.base, size) & ones
    }
    core.noteUnmapped(PhysicalAccess(address: address, size: size, isWrite: false, value: ones))
    return ones
  }

  func writeDevice(_ address: UInt64, _ value: UInt64, size: Int) {
    guard let core else { return }
    if let region = core.region(at: address), case .device(_, let write) = region.kind {
      return write(core, address - region.base, size, value)
    }
    core.noteUnmapped(PhysicalAccess(address: address, size: size, isWrite: true, value: value))
  }

  func acknowledgeInterrupt() -> UInt8? {
    let vector = vectors.isEmpty ? nil : vectors.removeFirst()
    core?.virtual.setInterruptRequest(!vectors.isEmpty)
    return vector
  }

  func readAPICRegister(_ msr: UInt32) -> UInt64? { nil }
  func writeAPICRegister(_ msr: UInt32, _ value: UInt64) -> Bool { false }
}

extension Core {
  func noteUnclaimed(_ access: PortAccess) {
    if exits.contains(.unclaimedPorts) { end(.port(access)) }
  }

  func noteUnmapped(_ access: PhysicalAccess) {
    if exits.contains(.unmappedMemory) { end(.unmapped(access)) }
  }
}
