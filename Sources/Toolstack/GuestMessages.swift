import Hypervisor
import XenABI

/// What guests write to the hypervisor's own console (console_io, and port E9h of PVH domains): lines of its log, as under Xen.
final class GuestMessages: DomainObserver {
  /// A longer line becomes several.
  private static let longestLine = 256
  /// By domain: a line that is not complete.
  private var lines: [DomainID: [UInt8]] = [:]

  func domain(_ domain: Domain, wroteToConsole text: [UInt8]) {
    var line = lines[domain.id] ?? []
    for byte in text {
      if byte == 10 || line.count == Self.longestLine {
        log(line, domain)
        line = []
      }
      // Nothing that a terminal would obey.
      if 0x20..<0x7F ~= byte || byte == 9 { line.append(byte) }
    }
    lines[domain.id] = line
  }

  func domainEnded(_ domain: Domain) {
    if let line = lines.removeValue(forKey: domain.id), !line.isEmpty { log(line, domain) }
  }

  private func log(_ line: [UInt8], _ domain: Domain) {
    domain.hypervisor.log("(\(domain.id)) \(String(decoding: line, as: UTF8.self))")
  }
}
