import XenABI

/// A page that a domain has granted to the control domain, and that a service of the hypervisor's uses in its stead.
///
/// The grant is in use until `close`, or until nobody has the object any more. The guest may change the page at any time.
public final class GrantedPage {
  public let reference: GrantReference
  public let isWritable: Bool
  private let giver: Domain
  private let frame: MachineFrameNumber
  private let contents: UnsafeMutableRawPointer
  private var isOpen = true
  public static let bytes = 4096

  fileprivate init(_ giver: Domain, _ reference: GrantReference, _ frame: MachineFrameNumber, isWritable: Bool) {
    self.giver = giver
    self.reference = reference
    self.frame = frame
    self.isWritable = isWritable
    contents = giver.frames.contents(frame)
    giver.pagesInService[ObjectIdentifier(self)] = PageInService(reference: reference, frame: frame, isWritable: isWritable)
  }

  deinit { close() }

  /// Gives the grant back. The page is not to be used afterwards.
  public func close() {
    guard isOpen else { return }
    isOpen = false
    giver.pagesInService[ObjectIdentifier(self)] = nil
    giver.releaseGrant(reference, writable: isWritable)
  }

  /// Copies bytes out of the page.
  public func read(_ offset: Int, into target: UnsafeMutableRawBufferPointer) {
    precondition(isOpen && offset >= 0 && offset <= Self.bytes - target.count)
    target.copyMemory(from: UnsafeRawBufferPointer(start: contents + offset, count: target.count))
  }

  /// Copies bytes into the page; code that was decoded from there is forgotten.
  public func write(_ offset: Int, _ source: UnsafeRawBufferPointer) {
    precondition(isOpen && isWritable && offset >= 0 && offset <= Self.bytes - source.count)
    giver.frames.write(source, at: frame.address + UInt64(offset))
  }

  /// A 32-bit word, read once.
  public func word(_ offset: Int) -> UInt32 {
    precondition(isOpen && offset >= 0 && offset <= Self.bytes - 4)
    return UInt32(littleEndian: contents.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
}

/// A granted page that a service uses, as the audit looks for it.
struct PageInService {
  var reference: GrantReference
  var frame: MachineFrameNumber
  var isWritable: Bool
}

/// What services that stand for the control domain do with a domain's grants and event channels.
extension Domain {
  /// Uses a grant that this domain gives to the control domain.
  /// - Throws: EINVAL for what is no grant of a whole page of the domain's own, or not to the control domain, or not writable.
  public func map(_ reference: GrantReference, writable: Bool) throws(XenError) -> GrantedPage {
    guard let entry = grantEntry(reference), entry.flags & GrantTable.Flag.subPage == 0 || grants.version == 1 else { throw .EINVAL }
    do throws(GrantStatus) {
      return GrantedPage(self, reference, try acquire(reference, for: .control, writable: writable), isWritable: writable)
    } catch {
      throw .EINVAL
    }
  }

  /// Connects a service to a port that waits for the control domain.
  public func connect(_ port: EventPort, to service: any EventService) throws(XenError) {
    guard events.isValid(port), case .unbound(let remote) = events[port].binding, remote == .control else { throw .EINVAL }
    events[port].binding = .service(service)
  }

  /// Lets go of a port; it waits for a new connection.
  public func disconnect(_ port: EventPort, from service: any EventService) {
    if isConnected(port, to: service) { events[port].binding = .unbound(remote: .control) }
  }

  /// An event from a service, if the guest has not closed the port, and maybe uses its number for something else.
  public func raise(_ port: EventPort, from service: any EventService) {
    if isConnected(port, to: service) { raise(port) }
  }

  private func isConnected(_ port: EventPort, to service: any EventService) -> Bool {
    if events.isValid(port), case .service(let other) = events[port].binding { other === service } else { false }
  }
}
