import Hypervisor
import Xenstore

/// How much of its processors and memory a running domain is to have. Its kernel is told by xenstore, and does it if it can
/// (docs/misc/xenstore-paths.pandoc, cpu/N/availability and memory/target).
extension DomainManager {
  private func path(_ managed: ManagedDomain) -> String { "/local/domain/\(managed.domain.id.rawValue)" }

  /// - Parameter count: virtual processors that are to be up, the first ones.
  public func setProcessors(_ managed: ManagedDomain, _ count: Int) throws(BuildError) {
    let most = managed.domain.vcpus.count
    guard 1...most ~= count else { throw BuildError("domain \(managed.name) can have 1 to \(most) virtual processors (maxvcpus)") }
    for n in 0..<most { try? store.write("\(path(managed))/cpu/\(n)/availability", n < count ? "online" : "offline") }
    service()
  }

  /// - Parameter kibibytes: memory that the domain is to have.
  public func setMemory(_ managed: ManagedDomain, _ kibibytes: UInt64) throws(BuildError) {
    let most = (try? store.readString("\(path(managed))/memory/static-max")).flatMap { UInt64($0) } ?? 0
    guard 1024...max(most, 1024) ~= kibibytes else { throw BuildError("domain \(managed.name) can have 1 to \(most >> 10) MiB of memory (maxmem)") }
    try? store.write("\(path(managed))/memory/target", "\(kibibytes)")
    service()
  }
}
