import Hypervisor
import XenABI

/// What happens inside the hypervisor, as lines of text: time in nanoseconds, who, what.
///
///     1480 d1v0 console_io(0, 1c, 108000, 7ff0, 0, 0) = 0
///     1602 d1 mfn 513 is a segmentDescriptors
final class HypervisorTraceFile: HypervisorTrace {
  private unowned let hypervisor: Hypervisor
  private let file: SerialEndpoint

  init(_ hypervisor: Hypervisor, _ file: SerialEndpoint) {
    self.hypervisor = hypervisor
    self.file = file
  }

  func hypercall(_ vcpu: VCPU, _ number: UInt32, _ arguments: [UInt64], result: UInt64) {
    let name = Hypercall(rawValue: number)?.name ?? "hypercall \(number)"
    let signed = Int64(bitPattern: result)
    let value = signed < 0 ? XenError(rawValue: Int32(truncatingIfNeeded: -signed)).map { "-\($0)" } ?? "\(signed)" : String(result, radix: 16)
    put("\(vcpu.label) \(name)(\(arguments.map { String($0, radix: 16) }.joined(separator: ", "))) = \(value)")
  }

  func frameType(_ domain: Domain, _ frame: MachineFrameNumber, _ type: FrameType) {
    put("\(domain.id) \(frame) is \(type == .none ? "no table any more" : "a \(type)")")
  }

  func shadow(_ domain: Domain, _ event: ShadowEvent, _ kind: String, _ frame: GuestFrameNumber) {
    put("\(domain.id) shadow \(kind) of \(frame) \(event)")
  }

  private func put(_ line: String) {
    for byte in "\(hypervisor.now) \(line)\n".utf8 { file.put(byte) }
  }

  func flush() { file.flush() }
}
